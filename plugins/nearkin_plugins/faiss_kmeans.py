"""k-means by faiss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import log2
from typing import Any, NamedTuple

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

SQUARES_FROM, SQUARES_TO = 1e-12, 1e24
"""Mean squared length of rows that faiss, which computes with such squares in float32, is shown as they are."""

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
        frame = _Frame() if spherical else _frame_of(task.vectors)
        vectors, start = frame.into(task.vectors), None if task.start is None else frame.into(task.start)
        with _faiss_threads(task.threads):
            kmeans = self._trained(task, vectors, start, spherical)
            _, labels = kmeans.index.search(vectors, 1)
        centroids = task.objective.allowed(frame.back(np.ascontiguousarray(kmeans.centroids)))
        costs = own_costs(task.vectors, centroids, labels[:, 0])
        inertia = float((task.mass * costs).sum())
        splits = sum(each["nsplit"] for each in kmeans.iteration_stats)
        return Partition(
            centroids,
            labels[:, 0],
            inertia,
            (*self._history(task, kmeans, spherical, frame.scale), inertia),
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

    def _history(self, task: Task, kmeans: Any, spherical: bool, scale: float) -> tuple[float, ...]:
        """What faiss made less, before each iteration; where centroids are directions, it sums inner products instead."""
        if not (task.mass == 1).all():
            return ()
        sums = (float(each) / scale**2 for each in kmeans.obj)
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


class _Frame(NamedTuple):
    """Where rows are shown to faiss: less an origin, times a scale."""

    origin: np.ndarray | None = None
    scale: float = 1.0

    def into(self, rows: np.ndarray) -> np.ndarray:
        """(n, dim) float32 rows in the frame; themselves where it is the plain one."""
        if self.origin is None and self.scale == 1:
            return rows
        moved = np.empty(rows.shape, dtype=np.float32)
        step = block_rows(16 * rows.shape[1])
        for start in range(0, len(rows), step):
            some = rows[start : start + step].astype(np.float64)
            moved[start : start + step] = (some if self.origin is None else some - self.origin) * self.scale
        return moved

    def back(self, centroids: np.ndarray) -> np.ndarray:
        """(k, dim) float32 centroids out of the frame."""
        if self.origin is None and self.scale == 1:
            return centroids
        plain = centroids.astype(np.float64) / self.scale
        return np.asarray(plain if self.origin is None else plain + self.origin, dtype=np.float32)


def _frame_of(vectors: np.ndarray) -> _Frame:
    """The mean as the origin if it is far beside how far rows are from it; a power of two as the scale if squares leave float32."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    square = float(mean @ mean)
    variance = float(np.einsum("ij,ij->", vectors, vectors, dtype=np.float64)) / len(vectors) - square
    far = square > FAR_OFF * variance
    spread = variance if far else variance + square
    usual = SQUARES_FROM <= spread <= SQUARES_TO or spread <= 0
    return _Frame(mean if far else None, 1.0 if usual else 2.0 ** -round(log2(spread) / 2))
