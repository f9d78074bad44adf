"""The sampled silhouette beside scikit-learn's: error, how often the interval holds the exact value, seconds and peak memory.

The exact mean is computed once by nearkin and by scikit-learn. Then, over seeds, nearkin's stratified sample (each sampled row
compared with all rows) and scikit-learn's ``sample_size`` of as many rows (compared with each other, so that small clusters nearly
vanish). Clusters are those of Lloyd, and the same with the rows of some clusters thinned out, so that clusters are of unlike size.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import nearkin as nk
from datasets import FILES, load
from equal_recall import frozen, json_line, show, table
from nearkin.clustering.quality import labelled
from nearkin.clustering.silhouettes import Labelled, exact_silhouette, sampled_silhouette
from nearkin.resident_memory import resident_bytes, watch_peak

HEADERS = ("data", "what", "mean", "root mean square error", "interval holds the exact mean", "seconds", "peak, MB")


def thinned(vectors: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels of which every other cluster has kept a fiftieth."""
    kept = (labels % 2 == 0) | (np.random.default_rng(0).random(len(labels)) < 0.02)
    return np.ascontiguousarray(vectors[kept]), labels[kept]


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it gives, seconds, and by how many MB the process grew."""
    before, start = resident_bytes() or 0, time.perf_counter()
    with watch_peak() as peak:
        value = call()
    return value, time.perf_counter() - start, ((peak.bytes or 0) - before) / 1e6


def run(name: str, data: Labelled, metric: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Exact and sampled, ours and theirs, on one clustering."""
    from sklearn.metrics import silhouette_score

    vectors, labels = data.rows, data.labels
    seeds = range(options.seeds)
    sampled_silhouette(data, 0, rows=50)  # what is loaded on first use is not its own time
    exact, exact_seconds, exact_peak = timed(lambda: exact_silhouette(data).mean)
    theirs, their_seconds, their_peak = timed(lambda: silhouette_score(vectors, labels, metric=metric))
    drawn, seconds, peak = timed(lambda: [sampled_silhouette(data, seed, rows=options.sample) for seed in seeds])
    of_them, their_sample_seconds, their_sample_peak = timed(
        lambda: [
            silhouette_score(vectors, labels, metric=metric, sample_size=drawn[0].rows, random_state=seed)
            for seed in seeds
        ]
    )
    covered = float(np.mean([each.low <= exact <= each.high for each in drawn]))
    means = np.array([each.mean for each in drawn])
    sizes = np.bincount(labels)
    label = f"{name}, {len(vectors):,} rows, {options.k} clusters of {sizes.min():,} to {sizes.max():,}"
    results = [
        result(label, "nearkin, exact", exact, exact, exact_seconds, exact_peak),
        result(label, "scikit-learn, exact", theirs, exact, their_seconds, their_peak),
        result(label, f"nearkin, {drawn[0].rows:,} rows", means, exact, seconds / options.seeds, peak, covered),
        result(
            label,
            f"scikit-learn, {drawn[0].rows:,} rows",
            np.array(of_them),
            exact,
            their_sample_seconds / options.seeds,
            their_sample_peak,
        ),
    ]
    return results


def result(
    data: str, what: str, means: Any, exact: float, seconds: float, peak: float, covered: float | None = None
) -> dict[str, Any]:
    """Facts of one line."""
    error = float(np.sqrt(np.mean((np.asarray(means) - exact) ** 2)))
    return {
        "data": data,
        "what": what,
        "mean": float(np.mean(means)),
        "error": error,
        "covered": covered,
        "seconds": seconds,
        "peak_mb": peak,
    }


def line(found: dict[str, Any]) -> list[str]:
    """A row of the table."""
    covered = "" if found["covered"] is None else f"{found['covered']:.0%}"
    return [
        found["data"],
        found["what"],
        f"{found['mean']:.5f}",
        f"{found['error']:.1e}",
        covered,
        f"{found['seconds']:.2f}",
        f"{found['peak_mb']:,.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=["sift", "fashion-mnist"], choices=list(FILES))
    parser.add_argument("--rows", type=int, default=20_000, help="the first rows, since exact values take all pairs")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--sample", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    results = []
    for name in options.data:
        data = load(name)
        vectors = frozen(data.vectors, options.rows)
        found = nk.cluster(vectors, options.k, metric=data.metric, seed=0, threads=options.threads)
        whole = labelled(found)
        few, labels = thinned(found.prepared, found.labels)
        thin = replace(whole, rows=few, labels=labels, mass=np.ones(len(few)))
        results += run(data.name, whole, data.metric, options) + run(
            f"{data.name}, thinned", thin, data.metric, options
        )
    show(table(HEADERS, [line(found) for found in results]))
    show(json_line({"results": results}))


if __name__ == "__main__":
    main()
