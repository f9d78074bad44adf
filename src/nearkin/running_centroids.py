"""Centroids that go on with new rows: each moves towards the rows that are nearest to it, the less the more it has seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nearkin.errors import NotSupportedError, ParameterError, VectorError
from nearkin.objectives import Objective, cluster_sums

RUNNING_RULES = ("mean", "direction")
"""Kinds of centroids that a sum and a count of rows determine, so that rows can be taken in without those before."""


class RunningCentroids:
    """k centroids with the weight that each has seen; `update` takes in a batch of rows.

    A centroid is the running mean of the rows it was nearest to when they came (its direction, where the objective asks for
    directions): c + (x - c) / count. With a constant rate, c + rate (x - c), the past fades and centroids follow rows that drift;
    each row of a batch draws in its turn, so that batches of any size come to the same while rows keep to their centroids.

    Sources: J. MacQueen, "Some methods for classification and analysis of multivariate observations" (1967), for rows one by one;
    D. Sculley, "Web-scale k-means clustering" (2010), for batches.

    Parameters
    ----------
    centroids
        (k, dim) to begin with, prepared by the metric.
    counts
        (k,) weight of the rows that each stands for already; 0 for a mere start, which the first rows then replace.
    objective
        Whose rule is ``"mean"`` or ``"direction"``.
    rate
        Above 0, at most 1: share of the way that a row of weight 1 draws its centroid, one of weight 2 as two such rows; None for
        1 / count.
    threads
        To use.

    Raises
    ------
    NotSupportedError
        Centroids under the objective are no running means.
    ParameterError
        Counts that do not fit the centroids, or a rate out of range.

    Examples
    --------
    >>> from nearkin.objectives import SQUARES
    >>> running = RunningCentroids(np.float32([[0], [10]]), np.array([1, 1]), SQUARES)
    >>> labels, costs = running.update(np.float32([[2], [13], [16]]))
    >>> labels.tolist(), costs.tolist(), running.centroids.ravel().tolist(), running.counts.tolist()
    ([0, 1, 1], [4.0, 9.0, 36.0], [1.0, 13.0], [2.0, 3.0])
    """

    def __init__(
        self,
        centroids: np.ndarray,
        counts: np.ndarray,
        objective: Objective,
        rate: float | None = None,
        threads: int = 1,
    ) -> None:
        need_running(objective)
        if rate is not None and not 0 < rate <= 1:
            raise ParameterError(f"rate is {rate}, a number above 0 and at most 1 expected")
        self.objective = objective
        self.rate = rate
        self.threads = threads
        self._means = np.array(centroids, dtype=np.float64, ndmin=2)
        self.counts = np.array(counts, dtype=np.float64)
        if self.counts.shape != (len(self._means),) or not (self.counts >= 0).all():
            raise ParameterError(
                f"counts have shape {self.counts.shape}, {(len(self._means),)} numbers of at least 0 expected"
            )

    @property
    def centroids(self) -> np.ndarray:
        """(k, dim) float32 centroids now."""
        return self.objective.allowed(self._means.astype(np.float32))

    def update(self, vectors: np.ndarray, mass: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Take in rows, all of them compared with the centroids as they are before.

        Parameters
        ----------
        vectors
            (n, dim) float32, prepared by the metric.
        mass
            (n,) weight of each row; 1 where none are given.

        Returns
        -------
        (n,) int64 labels and (n,) float64 costs of the rows under the centroids that they met.
        """
        if vectors.shape[1] != self._means.shape[1]:
            raise VectorError(f"rows have {vectors.shape[1]} columns, the centroids have {self._means.shape[1]}")
        mass = np.ones(len(vectors)) if mass is None else np.asarray(mass, dtype=np.float64)
        labels, costs = self.objective.assign(vectors, self.centroids, self.threads)
        k = len(self._means)
        if self.rate is None:
            self.take(*cluster_sums(vectors, labels, mass, k))
        else:
            sums, share = cluster_sums(vectors, labels, _left_of_each(labels, mass, self.rate), k)
            self.counts += np.bincount(labels, weights=mass, minlength=k)
            self._draw(sums, share, share)
        return labels, costs

    def take(self, sums: np.ndarray, weight: np.ndarray) -> None:
        """Take in rows by their (k, dim) weighted sums and (k,) weights alone, such as another machine has found.

        The order of the rows is not in them: with a constant rate, all of a cluster's count alike.
        """
        self.counts += weight
        rate = self.rate
        share = weight / np.where(weight > 0, self.counts, 1) if rate is None else 1 - (1 - rate) ** weight
        self._draw(sums, weight, share)

    def _draw(self, sums: np.ndarray, weight: np.ndarray, share: np.ndarray) -> None:
        """Move centroids by (k,) shares of the way to the means of sums of these (k,) weights."""
        met = np.flatnonzero(weight > 0)
        mean = sums[met] / weight[met, None]
        self._means[met] += share[met, None] * (mean - self._means[met])

    def move(self, clusters: np.ndarray, rows: np.ndarray, counts: np.ndarray | float = 0.0) -> None:
        """Set some centroids down on rows, with so much weight to their name."""
        self._means[clusters] = rows
        self.counts[clusters] = counts

    def state(self) -> dict[str, np.ndarray]:
        """Arrays from which `restored` goes on as if nothing had happened."""
        return {"means": self._means.copy(), "counts": self.counts.copy()}

    @classmethod
    def restored(
        cls, state: Mapping[str, np.ndarray], objective: Objective, rate: float | None = None
    ) -> RunningCentroids:
        """What `state` was taken of.

        >>> from nearkin.objectives import SQUARES
        >>> once = RunningCentroids(np.float32([[3]]), np.array([2]), SQUARES)
        >>> RunningCentroids.restored(once.state(), SQUARES).centroids.tolist()
        [[3.0]]
        """
        return cls(state["means"], state["counts"], objective, rate)


def _left_of_each(labels: np.ndarray, mass: np.ndarray, rate: float) -> np.ndarray:
    """(n,) share in its centroid that each row of a batch has once those after it in its cluster have drawn as well."""
    order = np.argsort(labels, kind="stable")
    reached = np.cumsum(mass[order])
    ends = np.searchsorted(labels[order], labels[order], side="right") - 1
    after = np.empty(len(mass))
    after[order] = np.maximum(reached[ends] - reached, 0)
    return np.asarray((1 - (1 - rate) ** mass) * (1 - rate) ** after)


def need_running(objective: Objective) -> None:
    """Raise NotSupportedError unless centroids under the objective are means or directions of sums."""
    if objective.rule not in RUNNING_RULES:
        raise NotSupportedError(
            f"a {objective.rule} is not determined by sums of rows, as a mean or a direction is",
            hint="use metric='euclidean' or metric='cosine'",
        )
