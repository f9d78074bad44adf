"""What a clustering minimises: Σ weight · cost(row, centroid of its cluster), and the centroid that is best for a cluster.

The two belong together: the mean is best under squared Euclidean distance, the direction of the sum under cosine, the median of
each column under Manhattan distance, and under any other distance the best known centre is a row, the medoid. An iteration
that mixes them (means under Manhattan distance, say) need not descend, and is refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from nearkin.errors import ParameterError
from nearkin.metrics import CentroidRule, Metric, squared_l2, unit_rows
from nearkin.nearest_centroids import nearest_centroids, own_costs
from nearkin.vectors import DType, block_rows

ROWS_LOOKED_AT = 1024
"""Rows whose form is checked before they are clustered."""


class Objective(ABC):
    """Costs between rows and centroids, and the centroid of a cluster that makes its costs least.

    Rows are prepared by the metric that is meant, see `nearkin.metrics.Metric.prepare`.

    Attributes
    ----------
    rule
        What a centroid is: ``"mean"``, ``"direction"``, ``"median"`` or ``"medoid"``.
    dtype
        What rows are: float32, or packed bits.
    """

    rule: ClassVar[CentroidRule]
    dtype: DType = "float32"

    @abstractmethod
    def costs(self, vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        """(n, dim) rows and (k, dim) centroids to (n, k) float64 costs, at least 0."""

    @abstractmethod
    def centres(self, vectors: np.ndarray, labels: np.ndarray, mass: np.ndarray, old: np.ndarray) -> np.ndarray:
        """(k, dim) best centroids of the clusters; one whose rows have no mass stays as it is in `old`.

        Parameters
        ----------
        labels, mass
            (n,) cluster and weight of each row.
        """

    def assign(self, vectors: np.ndarray, centroids: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """(n,) int64 nearest centroid of each row and (n,) float64 cost, in blocks, on so many threads where there are ways to."""
        labels = np.empty(len(vectors), dtype=np.int64)
        least = np.empty(len(vectors), dtype=np.float64)
        step = block_rows(8 * max(centroids.shape))
        for start in range(0, len(vectors), step):
            block = self.costs(vectors[start : start + step], centroids)
            nearest = block.argmin(axis=1)
            labels[start : start + step] = nearest
            least[start : start + step] = block[np.arange(len(block)), nearest]
        return labels, least

    def allowed(self, centroids: np.ndarray) -> np.ndarray:
        """Centroids brought to the form that the rule asks for, such as length one."""
        return centroids

    def need_rows(self, vectors: np.ndarray) -> None:
        """Raise ParameterError if rows are not of the form that the rule asks for; some are looked at."""


class SquaredDistances(Objective):
    """Σ ||x - c||², within-cluster sum of squares (WCSS): the mean is best.

    >>> SQUARES.costs(np.float32([[0, 0]]), np.float32([[3, 4]])).tolist()
    [[25.0]]
    """

    rule: ClassVar[CentroidRule] = "mean"

    def costs(self, vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        return squared_l2(vectors, centroids)

    def assign(self, vectors: np.ndarray, centroids: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        labels = nearest_centroids(vectors, centroids, threads)
        return labels, own_costs(vectors, centroids, labels)

    def centres(self, vectors: np.ndarray, labels: np.ndarray, mass: np.ndarray, old: np.ndarray) -> np.ndarray:
        sums, weight = cluster_sums(vectors, labels, mass, len(old))
        means = sums / np.where(weight > 0, weight, 1)[:, None]
        return np.where(weight[:, None] > 0, means, old).astype(np.float32)


class Directions(SquaredDistances):
    """Σ ||x - c||² = Σ 2 (1 - cos(x, c)) over rows and centroids of length one: the direction of the sum is best.

    Source: I. Dhillon and D. Modha, "Concept decompositions for large sparse text data using clustering" (2001).
    """

    rule = "direction"

    def centres(self, vectors: np.ndarray, labels: np.ndarray, mass: np.ndarray, old: np.ndarray) -> np.ndarray:
        sums, _ = cluster_sums(vectors, labels, mass, len(old))
        return directions(sums, old)

    def allowed(self, centroids: np.ndarray) -> np.ndarray:
        return unit_rows(centroids)

    def need_rows(self, vectors: np.ndarray) -> None:
        """Rows have length one, or zero, which is as far from every direction."""
        some = vectors[:: -(-len(vectors) // ROWS_LOOKED_AT)]
        lengths = np.linalg.norm(some.astype(np.float64), axis=1)
        wrong = lengths[(lengths > 0) & (np.abs(lengths - 1) > 1e-3)]
        if wrong.size:
            raise ParameterError(
                f"centroids that are directions want rows of length one, and {wrong.size} of {len(some)} looked at have others, "
                f"such as {wrong[0]:.6g}",
                hint="scale them with nearkin.metrics.unit_rows, or cluster them by nearkin.cluster(..., metric='cosine')",
            )


class AbsoluteDifferences(Objective):
    """Σ Σ |x_i - c_i|, Manhattan distance: the weighted median of each column is best.

    >>> rows, labels = np.float32([[1], [2], [3], [4], [100]]), np.zeros(5, dtype=np.int64)
    >>> ABSOLUTE.centres(rows, labels, np.ones(5), np.float32([[0]])).tolist()
    [[3.0]]
    """

    rule = "median"

    def costs(self, vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        values = np.empty((len(vectors), len(centroids)), dtype=np.float64)
        step = block_rows(8 * centroids.size)
        for start in range(0, len(vectors), step):
            block = vectors[start : start + step, None, :].astype(np.float64)
            np.abs(block - centroids[None]).sum(axis=2, out=values[start : start + step])
        return values

    def centres(self, vectors: np.ndarray, labels: np.ndarray, mass: np.ndarray, old: np.ndarray) -> np.ndarray:
        moved = np.array(old, dtype=np.float32)
        for cluster, members in members_of(labels):
            if mass[members].sum() > 0:
                moved[cluster] = _medians(vectors, members[mass[members] > 0], mass)
        return moved


class MetricSums(Objective):
    """Σ d(x, c) of any metric, for c one of the rows: the medoid is best.

    Parameters
    ----------
    metric
        Fitted; rows and centroids are prepared by it.
    """

    rule = "medoid"

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.dtype = metric.dtype

    def costs(self, vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        values = self.metric.space.pairwise(vectors, centroids)
        return np.asarray(self.metric.finish(values) if self.metric.reduces_to else values, dtype=np.float64)

    def centres(self, vectors: np.ndarray, labels: np.ndarray, mass: np.ndarray, old: np.ndarray) -> np.ndarray:
        moved = np.array(old)
        for cluster, members in members_of(labels):
            weighted = members[mass[members] > 0]
            if weighted.size:
                rows = vectors[weighted]
                moved[cluster] = rows[self.sums(rows, rows, mass[weighted]).argmin()]
        return moved

    def sums(self, candidates: np.ndarray, vectors: np.ndarray, mass: np.ndarray) -> np.ndarray:
        """(m,) weighted sum of the costs of (n, dim) rows to each of (m, dim) candidates, in blocks: the medoid has the least."""
        step = block_rows(8 * len(vectors))
        starts = range(0, len(candidates), step)
        return np.concatenate([mass @ self.costs(vectors, candidates[start : start + step]) for start in starts])


SQUARES = SquaredDistances()
DIRECTIONS = Directions()
ABSOLUTE = AbsoluteDifferences()


def cluster_sums(vectors: np.ndarray, labels: np.ndarray, mass: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(k, dim) float64 weighted sums of the rows of each cluster, and their (k,) weights."""
    sums = np.zeros((k, vectors.shape[1]), dtype=np.float64)
    step = block_rows(16 * vectors.shape[1])
    for start in range(0, len(vectors), step):
        some = slice(start, start + step)
        order = np.argsort(labels[some], kind="stable")
        present, starts = np.unique(labels[some][order], return_index=True)
        weighted = vectors[some][order] * mass[some][order, None]
        sums[present] += np.add.reduceat(weighted, starts, axis=0)
    return sums, np.bincount(labels, weights=mass, minlength=k)


def directions(sums: np.ndarray, old: np.ndarray) -> np.ndarray:
    """(k, dim) float32 sums scaled to length one; where rows cancel, so that there is no direction, the old centroid.

    >>> directions(np.array([[0.0, 3.0], [0.0, 0.0]]), np.float32([[1, 0], [1, 0]])).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), old).astype(np.float32)


def members_of(labels: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each cluster that has rows, with the numbers of its rows, ascending.

    >>> [(cluster, rows.tolist()) for cluster, rows in members_of(np.array([2, 0, 2]))]
    [(0, [1]), (2, [0, 2])]
    """
    order = np.argsort(labels, kind="stable")
    clusters, starts = np.unique(labels[order], return_index=True)
    for cluster, members in zip(clusters, np.split(order, starts[1:]), strict=True):
        yield int(cluster), members


def _medians(vectors: np.ndarray, members: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Weighted median of each column of some rows, whose weights are above 0, few columns at a time."""
    weight = mass[members]
    alike = bool((weight == weight[0]).all())
    found = np.empty(vectors.shape[1])
    step = block_rows(40 * len(members))
    for first in range(0, len(found), step):
        rows = vectors[members, first : first + step]
        found[first : first + step] = _middles(rows) if alike else _weighted_middles(rows, weight)
    return found


def _middles(rows: np.ndarray) -> np.ndarray:
    """Of each column, the middle between the two values in the middle."""
    low, high = (len(rows) - 1) // 2, len(rows) // 2
    rows.partition((low, high), axis=0)
    return np.asarray((rows[low].astype(np.float64) + rows[high]) / 2)


def _weighted_middles(rows: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Of each column, the middle between the lowest and the highest value that halve the weight."""
    order = np.argsort(rows, axis=0, kind="stable")
    reached = np.cumsum(mass[order], axis=0)
    half = reached[-1] / 2
    low = (reached < half * (1 - 1e-12)).sum(axis=0)
    high = (reached <= half * (1 + 1e-12)).sum(axis=0)
    columns = np.arange(rows.shape[1])
    ends = [rows[order[np.minimum(at, len(rows) - 1), columns], columns].astype(np.float64) for at in (low, high)]
    return np.asarray((ends[0] + ends[1]) / 2)
