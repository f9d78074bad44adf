"""Lloyd's iterations beside faiss and scikit-learn: same start, iterations and threads, in one process; speed and WCSS.

300,000 SIFT rows and 1,024 centroids that are rows drawn at random. The libraries take turns; ratios are medians over rounds of the
other's seconds by nearkin's in the same round. faiss uses all rows (`max_points_per_centroid` raised) and does not label them;
nearkin and scikit-learn do. The inertia of each is taken of its centroids in float64.

    python benchmarks/lloyd_speed.py
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from statistics import median

import faiss
import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from datasets import load
from nearkin.lloyd import Lloyd
from nearkin.objectives import SQUARES
from nearkin.settings import available_cores

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Rows and centroids to start from, to centroids."""


def runs(iterations: int, threads: int) -> dict[str, Run]:
    """What is compared."""

    def nearkin(rows: np.ndarray, start: np.ndarray) -> np.ndarray:
        return Lloyd(max_iter=iterations, tol=0).fit(rows, len(start), start=start, threads=threads).centroids

    def by_faiss(rows: np.ndarray, start: np.ndarray) -> np.ndarray:
        most = len(rows) // len(start) + 1
        given = {"niter": iterations, "min_points_per_centroid": 1, "max_points_per_centroid": most}
        kmeans = faiss.Kmeans(rows.shape[1], len(start), **given)
        kmeans.train(rows, init_centroids=start)
        return np.asarray(kmeans.centroids)

    def by_sklearn(algorithm: str) -> Run:
        def run(rows: np.ndarray, start: np.ndarray) -> np.ndarray:
            given = {"init": start, "n_init": 1, "max_iter": iterations, "tol": 0.0, "algorithm": algorithm}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that iterations ended before it converged
                return np.asarray(KMeans(len(start), **given).fit(rows).cluster_centers_, dtype=np.float32)

        return run

    sklearn = {f"scikit-learn {each}": by_sklearn(each) for each in ("lloyd", "elkan")}
    return {"nearkin": nearkin, "faiss": by_faiss, **sklearn}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sift")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--k", type=int, default=1024)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=available_cores())
    options = parser.parse_args()
    data = load(options.data)
    rows = data.vectors[: options.rows]
    chosen = np.random.default_rng(0).choice(len(rows), options.k, replace=False)
    compared = runs(options.iterations, options.threads)
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    inertia: dict[str, float] = {}
    faiss.omp_set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        for each in range(options.rounds + 1):  # the first warms up, with few rows
            for name, run in compared.items():
                given = rows if each else rows[: 4 * options.k]
                began = time.perf_counter()
                centroids = run(given, rows[chosen].copy())
                if each:
                    seconds[name].append(time.perf_counter() - began)
                    inertia[name] = float(SQUARES.assign(rows, centroids)[1].sum())
                    print(f"round {each}: {name} {seconds[name][-1]:.2f} s", flush=True)
    _tell(data.name, len(rows), rows.shape[1], options, seconds, inertia)


def _tell(
    name: str,
    n: int,
    dim: int,
    options: argparse.Namespace,
    seconds: dict[str, list[float]],
    inertia: dict[str, float],
) -> None:
    print(f"\n{name}, {n:,} x {dim}, k = {options.k:,}, {options.iterations} iterations, {options.threads} threads\n")
    print("| library | seconds (median) | its seconds by nearkin's | inertia | by nearkin's |")
    print("|---|---|---|---|---|")
    results = {}
    for library, took in seconds.items():
        ratio = median(other / own for other, own in zip(took, seconds["nearkin"], strict=True))
        share = inertia[library] / inertia["nearkin"]
        results[library] = {"seconds": took, "ratio": ratio, "inertia": inertia[library], "inertia_ratio": share}
        print(f"| {library} | {median(took):.2f} | {ratio:.2f} | {inertia[library]:.6g} | {share:.6f} |")
    print(json.dumps({"data": name, "rows": n, "dim": dim, **vars(options), "results": results}))


if __name__ == "__main__":
    main()
