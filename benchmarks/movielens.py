"""Recommenders on MovieLens 100k (the ua split) beside the `implicit` package and popularity: NDCG@10, and seconds for all users.

    export NEARKIN_DATA=... OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    python benchmarks/movielens.py            # about three minutes
    python benchmarks/movielens.py --quick    # the defaults, nothing tuned

Both sides learn from the same ratings as weights (the peers from ones where that is better for them), are asked for the same users,
never answer what a user has rated in the training part, and are judged by the same function: what is in `ua.test` is wanted, ten
ratings a user. Options of both are tuned on ten ratings a user taken from `ua.base`, never on `ua.test`; beside what was tuned is
nearkin with its defaults. Needs `pip install implicit`; without it the peers are left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

import nearkin as nk
from nearkin.recommending.popularity import Popular
from nearkin.recommending.ranking_quality import ranking_measures

K = 10
ROUNDS = 9
Recommend = Callable[[], np.ndarray]


class Part(NamedTuple):
    """Ratings to learn from, and those to find."""

    train: csr_matrix
    test: csr_matrix

    @property
    def events(self) -> nk.Interactions:
        users, items = self.train.nonzero()
        return nk.Interactions(users.astype(np.int64), items.astype(np.int64), weights=self.train.data)

    def ndcg(self, answered: np.ndarray) -> np.ndarray:
        """(users,) NDCG@10 of those who have something to find."""
        wanted = np.diff(self.test.indptr)
        there = self.test.toarray() > 0
        hits = np.take_along_axis(there, np.maximum(answered, 0), axis=1) & (answered >= 0)
        return ranking_measures(hits[wanted > 0], wanted[wanted > 0])["ndcg"]


class Way(NamedTuple):
    """A recommender with options: `fit` learns from a part and gives what recommends to all users."""

    name: str
    options: str
    fit: Callable[[Part], Recommend]


def read(folder: Path, name: str) -> np.ndarray:
    return np.loadtxt(folder / "movielens-100k" / name, dtype=np.int64)[:, :3]


def matrix(rows: np.ndarray) -> csr_matrix:
    return csr_matrix((rows[:, 2].astype(float), (rows[:, 0] - 1, rows[:, 1] - 1)), shape=(943, 1682))


def validation(rows: np.ndarray, seed: int = 0) -> Part:
    """Ten ratings a user held out, or half of them where there are fewer than twenty."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(rows), dtype=bool)
    for user in np.unique(rows[:, 0]):
        own = np.flatnonzero(rows[:, 0] == user)
        held[rng.permutation(own)[: min(K, len(own) // 2)]] = True
    return Part(matrix(rows[~held]), matrix(rows[held]))


def grid(**options: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*options.values()):
        yield dict(zip(options, values, strict=True))


def ours(name: str, make: Callable[..., nk.Recommender], options: dict[str, Any]) -> Way:
    def fit(part: Part) -> Recommend:
        fitted = make(**options).fit(part.events)
        users = list(range(943))
        return lambda: fitted.recommend(users, K).ids

    return Way(name, json.dumps(options), fit)


def peer(name: str, make: Callable[..., Any], options: dict[str, Any], ones: bool) -> Way:
    def fit(part: Part) -> Recommend:
        given = part.train.copy()
        if ones:
            given.data[:] = 1.0
        model = make(**options)
        model.fit(given, show_progress=False)
        users = np.arange(943)
        return lambda: model.recommend(users, given, N=K)[0]

    return Way(name, json.dumps({**options, "ones": ones}), fit)


def our_ways(quick: bool) -> dict[str, list[Way]]:
    knn = grid(n_neighbors=(100, 200, 300), balance=(0.5, 0.6, 0.7), damping=(0.0, 0.5))
    als = grid(regularization=(0.3, 0.4, 0.6), alpha=(1.0, 2.0, 4.0), factors=(64,))
    users = grid(n_neighbors=(50, 100, 200), weighting=("none", "tf-idf"))
    return {
        "item-knn": [ours("item-knn", nk.ItemKNN, each) for each in ([{}] if quick else [{}, *knn])],
        "als": [ours("als", nk.ALS, each) for each in ([{}] if quick else [{}, *als])],
        "user-knn": [ours("user-knn", nk.UserKNN, each) for each in ([{}] if quick else [{}, *users])],
    }


def peer_ways(quick: bool) -> dict[str, list[Way]]:
    """The peer's ALS and its item-item recommenders, over wider grids than ours."""
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

    both = (False,) if quick else (False, True)
    sizes = (200,) if quick else (50, 100, 200, 300, 500)
    item = [peer("Cosine", CosineRecommender, {"K": k}, ones) for k in sizes for ones in both]
    item += [peer("TFIDF", TFIDFRecommender, {"K": k}, ones) for k in sizes for ones in both]
    bm25 = [{}] if quick else list(grid(K1=(1.2, 10.0, 100.0), B=(0.2, 0.5, 0.8)))
    item += [peer("BM25", BM25Recommender, {"K": k, **more}, ones) for k in sizes for more in bm25 for ones in both]
    values = grid(
        factors=(64,) if quick else (16, 32, 64, 96),
        regularization=(30.0,) if quick else (1.0, 10.0, 30.0, 60.0),
        alpha=(1.0,) if quick else (0.5, 1.0, 2.0),
    )
    fixed = {"iterations": 15, "random_state": 0}
    als = [peer("ALS", AlternatingLeastSquares, {**each, **fixed}, ones) for each in values for ones in both]
    return {"implicit item-item": item, "implicit als": als}


def measured(way: Way, part: Part) -> dict[str, Any]:
    """NDCG@10, seconds to learn, and the median of several calls for all users."""
    start = time.perf_counter()
    recommend = way.fit(part)
    learned = time.perf_counter() - start
    answered = recommend()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        recommend()
        times.append(time.perf_counter() - start)
    values = part.ndcg(answered)
    return {
        "name": way.name,
        "options": way.options,
        "values": values,
        "ndcg": float(values.mean()),
        "learn_seconds": learned,
        "all_users_seconds": statistics.median(times),
    }


def tuned(ways: list[Way], part: Part) -> Way:
    return max(ways, key=lambda way: float(part.ndcg(way.fit(part)()).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tune nothing")
    quick = parser.parse_args().quick
    folder = Path(os.environ.get("NEARKIN_DATA", ""))
    if not (folder / "movielens-100k" / "ua.base").is_file():
        raise SystemExit("NEARKIN_DATA names no folder with movielens-100k")
    rows = read(folder, "ua.base")
    part, inner = Part(matrix(rows), matrix(read(folder, "ua.test"))), validation(rows)
    families = our_ways(quick)
    try:
        families |= peer_ways(quick)
    except ImportError as error:
        print(f"without the peers: {error}")
    found = {"popular": measured(ours("popular", Popular, {}), part)}
    for family, ways in families.items():
        best = ways[0] if len(ways) == 1 else tuned(ways, inner)
        found[family] = measured(best, part)
        if not family.startswith("implicit") and not quick:
            found[f"{family}, defaults"] = measured(ways[0], part)
    report(found)


def report(found: dict[str, dict[str, Any]]) -> None:
    popular = found["popular"]
    for family, row in found.items():
        row["times_popular"] = row["ndcg"] / popular["ndcg"]
        quality = f"NDCG@10 {row['ndcg']:.4f}  {row['times_popular']:.2f} x popular"
        speed = f"learned in {row['learn_seconds']:.2f} s, 943 users in {1000 * row['all_users_seconds']:.0f} ms"
        print(f"{family:22} {quality}  {speed}  {row['name']} {row['options']}")
    beside = {}
    for mine, theirs in (("als", "implicit als"), ("item-knn", "implicit item-item")):
        for each in (mine, f"{mine}, defaults"):
            if each in found and theirs in found:
                beside[each] = str(nk.compare(found[each]["values"], found[theirs]["values"]))
                print(f"{each} beside {theirs}: {beside[each]}")
    plain = {name: {key: value for key, value in row.items() if key != "values"} for name, row in found.items()}
    print(
        json.dumps(
            {"benchmark": "movielens", "threads": os.environ.get("OMP_NUM_THREADS", ""), **plain, "beside": beside}
        )
    )


if __name__ == "__main__":
    main()
