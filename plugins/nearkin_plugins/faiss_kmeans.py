"""k-means by faiss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nearkin.centroids import Clusterer, Ended, Partition, Task, need_stops
from nearkin.nearest_centroids import own_costs
from nearkin.vectors import block_rows

LARGEST_SEED = 2**31 - 2
"""faiss keeps seeds in 31 bits."""

NEVER = -1e9
"""A share that ends nothing: faiss sums costs without the weights, which may well rise while those with weights fall."""

FAR_OFF = 10.0
"""Squared distance of the mean from the origin, in variances, above which rows are moved there: faiss computes distances from
inner products in float32."""

SPLIT = "half of a large cluster's place"


class KMeans(Clusterer):
    """Lloyd's iterations in faiss from random rows; an empty cluster splits a large one.

    Labels are those of faiss, in float32; the inertia is summed in float64 from the rows themselves. Rows of weight 0 are
    labelled, and have no part in the training. The history of weighted rows is the inertia at the end alone, since faiss sums costs
    without weights.

    Source: faiss, Clustering.

    Parameters
    ----------
    max_iter
        Iterations at most.
    tol
        Stop when the inertia falls by less than this share; not with weights.

    Raises
    ------
    ParameterError
        An option is out of range.

    Examples
    --------
    >>> rows = np.float32([[0], [1], [10], [11]])
    >>> sorted(KMeans().fit(rows, 2, seed=1).centroids.ravel().tolist())
    [0.5, 10.5]
    """

    name = "kmeans"
    rules = ("mean", "direction")
    goes_on = True

    def __init__(self, max_iter: int = 10, tol: float = 1e-6) -> None:
        need_stops(max_iter, tol)
        self.max_iter = max_iter
        self.tol = tol

    def _fit(self, task: Task) -> Partition:
        spherical = task.objective.rule == "direction"
        origin = None if spherical else _far_origin(task.vectors)
        vectors = task.vectors if origin is None else _moved(task.vectors, -origin)
        start = task.start if task.start is None or origin is None else _moved(task.start, -origin)
        with _faiss_threads(task.threads):
            kmeans = self._trained(task, vectors, start, spherical)
            _, labels = kmeans.index.search(vectors, 1)
        moved = np.ascontiguousarray(kmeans.centroids)
        centroids = task.objective.allowed(moved if origin is None else _moved(moved, origin))
        costs = own_costs(task.vectors, centroids, labels[:, 0])
        inertia = float((task.mass * costs).sum())
        splits = sum(each["nsplit"] for each in kmeans.iteration_stats)
        return Partition(
            centroids,
            labels[:, 0],
            inertia,
            (*self._history(task, kmeans, spherical), inertia),
            ended=_ended(task, kmeans, self.max_iter, labels[:, 0], centroids),
            reseeded=splits,
            reseeding=SPLIT if splits else "",
            iterations=len(kmeans.obj),
        )

    def _trained(self, task: Task, vectors: np.ndarray, start: np.ndarray | None, spherical: bool) -> Any:
        import faiss

        weights, weighted = None, not (task.mass == 1).all()
        if weighted:
            counted = np.flatnonzero(task.mass > 0)
            if task.k <= len(counted) < len(vectors):
                vectors, mass = vectors[counted], task.mass[counted]
            else:
                mass = task.mass
            # Where an empty cluster looks for one to split, faiss wants weights above 1, and looks for ever if none is.
            weights = (mass / mass.mean()).astype(np.float32)
        kmeans = faiss.Kmeans(
            vectors.shape[1],
            task.k,
            niter=self.max_iter,
            spherical=spherical,
            early_stop_threshold=NEVER if weighted else self.tol,
            seed=task.seed % LARGEST_SEED + 1,  # faiss takes a seed of 0 for "none"
            min_points_per_centroid=1,  # or it prints a warning
            max_points_per_centroid=len(vectors) // task.k + 1,  # or it trains on some of the rows
        )
        kmeans.train(vectors, weights=weights, init_centroids=start)
        if kmeans.index.ntotal == 0:  # as many centroids as rows: it copies these and leaves its index empty
            kmeans.index.add(np.ascontiguousarray(kmeans.centroids))
        return kmeans

    def _history(self, task: Task, kmeans: Any, spherical: bool) -> tuple[float, ...]:
        """What faiss made less, before each iteration; where centroids are directions, it sums inner products instead."""
        if not (task.mass == 1).all():
            return ()
        sums = (float(each) for each in kmeans.obj)
        if not spherical:
            return tuple(sums)
        squares = float(np.einsum("ij,ij->", task.vectors, task.vectors, dtype=np.float64))
        return tuple(max(0.0, squares + len(task.vectors) - 2 * each) for each in sums)


@contextmanager
def _faiss_threads(threads: int) -> Iterator[None]:
    """Hold faiss, and the products that it asks of BLAS, to so many threads; it counts for each calling thread by itself."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _ended(task: Task, kmeans: Any, most: int, labels: np.ndarray, centroids: np.ndarray) -> Ended:
    """Whether faiss stopped before its last iteration, or another one would move nothing."""
    if len(kmeans.obj) < most:
        return "converged"
    again = task.objective.centres(task.vectors, labels, task.mass, centroids)
    scale = float(np.abs(centroids).max()) or 1.0
    return "converged" if np.abs(again - centroids).max() <= 1e-6 * scale else "max_iter"


def _far_origin(vectors: np.ndarray) -> np.ndarray | None:
    """The mean of the rows, float64, if it is far from the origin beside how far rows are from it; else None."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    square = float(mean @ mean)
    variance = float(np.einsum("ij,ij->", vectors, vectors, dtype=np.float64)) / len(vectors) - square
    return mean if square > FAR_OFF * variance else None


def _moved(vectors: np.ndarray, by: np.ndarray) -> np.ndarray:
    """(n, dim) float32 rows moved in float64."""
    moved = np.empty(vectors.shape, dtype=np.float32)
    step = block_rows(16 * vectors.shape[1])
    for start in range(0, len(vectors), step):
        moved[start : start + step] = vectors[start : start + step] + by
    return moved
