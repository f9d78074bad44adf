"""Bytes predicted before building beside those allocated after, for every index and codec that go together.

Rows are random with clusters of unequal size, of few columns so that all of it takes minutes; and the SIFT rows where
`NEARKIN_DATA` names a folder that has them. Target: within 5 % at 10,000, 100,000 and 300,000 rows, blocks of fast-scan included.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

import nearkin as nk
from datasets import load
from nearkin.memory_accounting import prediction_error
from nearkin.plans import legal_pairs, make_index, parse_plan
from nearkin.registry import Registry, default_registry

DIM = 16
TARGET = 0.05
METRICS = ("euclidean", "inner-product", "manhattan", "hamming")
"""One for each of faiss's own spaces, one that is compiled, and packed bits."""

BESIDES = ("ivf,pq,refine-f16", "ivf,pq,refine-int8", "hnsw32,pq,refine-f32", "opq,ivf,pq", "faiss:IVF64,PQ8x4fs")
"""Plans with a refinement, a transform, and a factory string."""


def clustered(rows: int, bits: bool, seed: int = 0) -> np.ndarray:
    """Rows around centres of which some have a hundred times as many as others."""
    rng = np.random.default_rng(seed)
    shares = rng.pareto(1.0, 300) + 0.05
    owner = rng.choice(300, rows, p=shares / shares.sum())
    drawn = rng.normal(size=(300, DIM))[owner] + rng.normal(scale=0.5, size=(rows, DIM))
    return np.packbits(drawn > 0, axis=1) if bits else drawn.astype(np.float32)


def plans(metric: nk.Metric, dim: int, registry: Registry) -> Iterator[str]:
    """Every index with every codec that serves the metric, at their usual numbers."""
    for index, codec in legal_pairs(metric, metric.prepared_dim(dim), registry):
        if index.name == "faiss":
            continue
        if index.inner:
            yield f"{index.name},{index.inner}"
        else:
            yield index.name if codec.lossless else f"{index.name},{codec.name}"
    if metric.name == "euclidean":
        yield from ("flat,pq8x4", "ivf,pq8x4", "ivf,pq8x8", *BESIDES)


def compared(
    name: str, vectors: np.ndarray, metric: str, threads: int, only: list[str] | None
) -> Iterator[dict[str, Any]]:
    """Predicted and allocated bytes of each plan over these rows."""
    registry = default_registry()
    made = registry.make("metric", metric)
    prepared = np.ascontiguousarray(made.prepare(vectors))
    for plan in dict.fromkeys(only or plans(made, vectors.shape[1], registry)):
        index = make_index(parse_plan(plan, registry), made, prepared.shape[1], registry, rows=len(vectors))
        predicted = index.cost(len(vectors))
        index.use_threads(threads)
        sample = np.random.default_rng(0).choice(len(vectors), index.sample_rows(len(vectors)), replace=False)
        index.train(prepared[np.sort(sample)])
        for start in range(0, len(prepared), 50_000):
            index.add(prepared[start : start + 50_000])
        allocated = index.allocated()
        error = prediction_error(predicted, allocated) or 0.0
        yield {
            "data": name,
            "rows": len(vectors),
            "metric": metric,
            "plan": plan,
            "predicted": sum(predicted.values()),
            "allocated": sum(allocated.values()),
            "error": error,
        }
        print(
            f"{name:>14} {len(vectors):>8,} {metric:<14} {plan:<24} {sum(predicted.values()):>12,} "
            f"{sum(allocated.values()):>12,} {error:+7.2%}{'  beyond' if abs(error) > TARGET else ''}",
            flush=True,
        )


def main() -> None:
    """All data, sizes, metrics and plans; then one line of JSON with the worst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 300_000])
    parser.add_argument("--metrics", nargs="*", default=list(METRICS))
    parser.add_argument("--plans", nargs="*", help="Only these, instead of all.")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    found = []
    print(f"{'data':>14} {'rows':>8} {'metric':<14} {'plan':<24} {'predicted':>12} {'allocated':>12}   error")
    for rows in given.rows:
        for metric in given.metrics:
            vectors = clustered(rows, bits=metric == "hamming")
            found += compared("clustered", vectors, metric, given.threads, given.plans)
        if os.environ.get("NEARKIN_DATA"):
            sift = load("sift", 1)
            found += compared(sift.name, sift.vectors[:rows], "euclidean", given.threads, given.plans)
    worst = max(found, key=lambda each: abs(each["error"]))
    print(json.dumps({"target": TARGET, "compared": len(found), "worst": worst, "met": abs(worst["error"]) <= TARGET}))


if __name__ == "__main__":
    main()
