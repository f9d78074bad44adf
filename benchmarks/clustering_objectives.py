"""The objective of every clustering method beside that of the library it is known from, from the same start, over all rows.

Target: no worse than 1.0001 times the reference. Methods that draw their own starts are compared by the median over seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import faiss
import kmedoids
import numpy as np
import skfuzzy
from sklearn.cluster import BisectingKMeans
from sklearn.cluster import KMeans as SklearnKMeans

import nearkin as nk
from datasets import load
from nearkin.metrics import unit_rows
from nearkin.objectives import SQUARES
from nearkin.settings import available_cores

MATRIX_ROWS = 10_000
"""Rows that kmedoids is given: its matrix of distances takes 4 bytes a pair."""
FUZZY_ROWS = 20_000
Timed = tuple[float, float]


def timed(call: Callable[[], float]) -> Timed:
    """The objective that a call gives, and its seconds."""
    start = time.perf_counter()
    objective = call()
    return objective, time.perf_counter() - start


def wcss(rows: np.ndarray, centroids: np.ndarray) -> float:
    return float(SQUARES.assign(rows, np.asarray(centroids, dtype=np.float32))[1].sum())


def ours(rows: np.ndarray, k: int, **options: Any) -> nk.Clustering:
    return nk.cluster(rows, k, n_init=None if "init" in options else 1, **options)


def by_faiss(rows: np.ndarray, k: int, start: np.ndarray, iterations: int, spherical: bool) -> float:
    found = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=iterations,
        spherical=spherical,
        min_points_per_centroid=1,
        max_points_per_centroid=len(rows),
    )
    found.train(rows, init_centroids=start)
    return wcss(rows, found.centroids)


def by_kmedoids(rows: np.ndarray, chosen: np.ndarray) -> float:
    between = np.sqrt(SQUARES.costs(rows, rows)).astype(np.float32)
    return float(kmedoids.fasterpam(between, chosen.astype(np.uint64), n_cpu=1).loss)


def by_skfuzzy(rows: np.ndarray, k: int, start: np.ndarray, m: float, iterations: int) -> float:
    first = SQUARES.costs(rows, start) ** (-1 / (m - 1))
    first /= first.sum(axis=1, keepdims=True)
    return float(skfuzzy.cmeans(rows.T.astype(np.float64), k, m, 1e-9, iterations, init=first.T)[4][-1])


def pairs(
    rows: np.ndarray, k: int, iterations: int, threads: int, seed: int
) -> Iterator[tuple[str, str, Timed, Timed]]:
    """Method, reference, and of either the objective and seconds."""
    rng = np.random.default_rng(seed)
    start = rows[np.sort(rng.choice(len(rows), k, replace=False))]
    given = {"init": start, "max_iter": iterations, "tol": 0.0, "threads": threads}
    faiss.omp_set_num_threads(threads)

    def sklearn_kmeans() -> float:
        found = SklearnKMeans(k, init=start, n_init=1, max_iter=iterations, tol=0).fit(rows)
        return wcss(rows, found.cluster_centers_)

    yield (
        "lloyd",
        "scikit-learn KMeans",
        timed(lambda: ours(rows, k, method="lloyd", **given).inertia),
        timed(sklearn_kmeans),
    )
    plain = timed(lambda: by_faiss(rows, k, start, iterations, False))
    yield "kmeans", "faiss Kmeans", timed(lambda: ours(rows, k, method="kmeans", **given).inertia), plain
    unit, first = unit_rows(rows), unit_rows(start)
    spherical = timed(lambda: by_faiss(unit, k, first, iterations, True))
    yield "spherical", "faiss spherical", timed(lambda: ours(rows, k, method="spherical", **given).inertia), spherical
    yield from own_starts(rows, k, threads)
    yield from of_fewer(rows, k, iterations, threads, rng)


def own_starts(rows: np.ndarray, k: int, threads: int, seeds: int = 3) -> Iterator[tuple[str, str, Timed, Timed]]:
    """Bisecting: the median of three seeds on either side."""

    def mine() -> float:
        found = [ours(rows, k, method="bisecting", seed=seed, threads=threads).inertia for seed in range(seeds)]
        return float(np.median(found))

    def theirs() -> float:
        made = [BisectingKMeans(k, init="k-means++", random_state=seed).fit(rows) for seed in range(seeds)]
        return float(np.median([wcss(rows, each.cluster_centers_) for each in made]))

    yield "bisecting", "scikit-learn BisectingKMeans", timed(mine), timed(theirs)


def of_fewer(
    rows: np.ndarray, k: int, iterations: int, threads: int, rng: np.random.Generator
) -> Iterator[tuple[str, str, Timed, Timed]]:
    """Methods whose references do not take all rows."""
    some = rows[np.sort(rng.choice(len(rows), min(len(rows), MATRIX_ROWS), replace=False))]
    chosen = np.sort(rng.choice(len(some), k, replace=False))
    mine = timed(lambda: ours(some, k, method="kmedoids", init=some[chosen], threads=threads).inertia)
    yield f"kmedoids, {len(some):,} rows", "kmedoids FasterPAM", mine, timed(lambda: by_kmedoids(some, chosen))
    few = rows[np.sort(rng.choice(len(rows), min(len(rows), FUZZY_ROWS), replace=False))]
    start = few[np.sort(rng.choice(len(few), k, replace=False))] + np.float32(1e-3)
    given = {"init": start, "max_iter": iterations, "tol": 0.0, "threads": threads}
    mine = timed(lambda: ours(few, k, method="fuzzy:m=1.3", **given).history[-1])
    theirs = timed(lambda: by_skfuzzy(few, k, start, 1.3, iterations))
    yield f"fuzzy m=1.3, {len(few):,} rows", "scikit-fuzzy cmeans", mine, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--data", nargs="+", default=["fashion-mnist", "sift"])
    parser.add_argument("-k", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    for name in options.data:
        dataset = load(name)
        rows = dataset.vectors
        print(f"\n{dataset.name}, {len(rows):,} x {rows.shape[1]}, k = {options.k}, {options.threads} threads\n")
        print(
            "| method | reference | objective | reference's | ratio | seconds | reference's |\n|---|---|---|---|---|---|---|"
        )
        for method, reference, mine, theirs in pairs(
            rows, options.k, options.iterations, options.threads, options.seed
        ):
            ratio = mine[0] / theirs[0]
            print(
                f"| {method} | {reference} | {mine[0]:.6g} | {theirs[0]:.6g} | {ratio:.5f} | {mine[1]:.1f} | {theirs[1]:.1f} |",
                flush=True,
            )
            results.append({"data": dataset.name, "method": method, "reference": reference, "ratio": ratio})
    print(json.dumps({"largest_ratio": max(each["ratio"] for each in results), "results": results}))


if __name__ == "__main__":
    main()
