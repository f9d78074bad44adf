"""Recommending by what is liked under a metric that has no Rocchio query: candidates beside all rows compared.

    NEARKIN_DATA=... python benchmarks/recommend_liked.py

The liked rows are random, or among the 200 neighbours of one row. Both sides are the same call, with and without the bound on
pairs.
"""

from __future__ import annotations

import argparse
import json
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import nearkin as nk
from datasets import load
from nearkin.recommending import liked as recommending

CASES = (("sift", "euclidean", "ivf"), ("wordnet", "euclidean", "ivf"), ("wordnet", "manhattan", "flat"))
TASTES = ((1, "random"), (3, "near"), (5, "random"), (5, "near"))


def main() -> None:
    """Print a line a case, and one of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    lines = []
    for name, metric, plan in CASES:
        data = load(name)
        collection = nk.build(data.vectors, metric=metric, plan=plan)
        for count, kind in TASTES:
            line = {"data": data.name, "rows": len(data.vectors), "metric": metric, "plan": collection.plan}
            line |= {"liked": count, "kind": kind, **compared(collection, data.vectors, count, kind, rounds)}
            print("  ".join(f"{key} {value}" for key, value in line.items()), flush=True)
            lines.append(line)
    print(json.dumps({"benchmark": "recommend_liked", "cases": lines}))


def compared(collection: nk.Collection, vectors: np.ndarray, count: int, kind: str, rounds: int) -> dict[str, Any]:
    """Share of the 10 best rows that candidates find, and medians of seconds."""
    rng = np.random.default_rng(0)
    found, every, some = [], [], []
    for _ in range(rounds):
        first = int(rng.integers(len(vectors)))
        near = collection.search(vectors[first : first + 1], 200).ids[0]
        ids = rng.choice(near if kind == "near" else len(vectors), count, replace=False).tolist()
        best, taken = timed(collection, ids, few_pairs=1 << 60)
        every.append(taken)
        mine, taken = timed(collection, ids, few_pairs=0)
        some.append(taken)
        found.append(len(best & mine) / 10)
    ratio = median(every) / median(some)
    return {
        "recall": round(float(np.mean(found)), 3),
        "all_ms": round(1e3 * median(every), 1),
        "candidates_ms": round(1e3 * median(some), 1),
        "ratio": round(ratio, 2),
    }


def timed(collection: nk.Collection, ids: list[int], *, few_pairs: int) -> tuple[set[int], float]:
    """The 10 best, and the seconds that they took."""
    recommending.FEW_PAIRS = few_pairs
    start = perf_counter()
    found = collection.recommend(ids, k=10)
    return set(found.ids[0].tolist()), perf_counter() - start


if __name__ == "__main__":
    main()
