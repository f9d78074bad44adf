"""What `nearkin.cluster` gives: centroids in the user's units, who belongs where, and what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.centroids import Ended, Partition
from nearkin.errors import VectorError
from nearkin.metrics import Metric
from nearkin.objectives import Objective
from nearkin.vectors import as_vectors


@dataclass(frozen=True, eq=False)
class Clustering:
    """k centroids, the rows of each, and what can be asked of them.

    Attributes
    ----------
    partition
        What the clusterer found, in the space that the metric prepares rows for.
    prepared
        (n, dim) rows that were clustered, prepared by the metric.
    metric
        Fitted.
    objective
        What was made least.
    method
        Clusterer with its options, as it can be asked for again.
    metric_name
        The metric as it can be asked for again.
    mass
        (n,) weight of each row; 1 where none were given.
    seed
        Of everything random.
    threads
        That were used.
    """

    partition: Partition
    prepared: np.ndarray
    metric: Metric
    objective: Objective
    method: str
    metric_name: str
    mass: np.ndarray
    seed: int = 0
    threads: int = 1

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.partition.centroids)

    @property
    def centroids(self) -> np.ndarray:
        """(k, dim) centroids in the units of the rows that were given."""
        return self.metric.unprepare(self.partition.centroids)

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64 cluster of each row."""
        return self.partition.labels

    @property
    def inertia(self) -> float:
        """Σ weight · cost over the rows: squared distances (WCSS) where centroids are means or directions, else distances."""
        return self.partition.inertia

    @property
    def history(self) -> tuple[float, ...]:
        """What was made less, after each iteration."""
        return self.partition.history

    @property
    def ended(self) -> Ended:
        """Why iterations ended."""
        return self.partition.ended

    @property
    def sizes(self) -> np.ndarray:
        """(k,) rows in each cluster."""
        return self.partition.sizes

    @property
    def medoids(self) -> np.ndarray | None:
        """(k,) numbers of the rows that are the centroids, where they are rows."""
        return self.partition.medoids

    @property
    def memberships(self) -> np.ndarray | None:
        """(n, k) share of each row in each cluster, where a row may belong to several."""
        return self.partition.memberships

    def assign(self, vectors: Any) -> np.ndarray:
        """(m,) int64 cluster of each of (m, dim) new rows: the one whose centroid is nearest.

        Raises
        ------
        VectorError
            The rows have another number of columns, or the metric is not defined on some of them.
        """
        return self.nearest(vectors)[0]

    def nearest(self, vectors: Any) -> tuple[np.ndarray, np.ndarray]:
        """(m,) int64 cluster of each of (m, dim) new rows, and its (m,) float64 distance from that centroid, by the metric."""
        labels, costs = self.objective.assign(self._prepared(vectors), self.partition.centroids)
        return labels, self._as_distances(costs)

    def distances(self) -> np.ndarray:
        """(n,) float64 distance of each clustered row from its centroid, by the metric."""
        return self._as_distances(self.objective.assign(self.prepared, self.partition.centroids)[1])

    def _as_distances(self, costs: np.ndarray) -> np.ndarray:
        """Costs of means and directions are values of the space; other costs are distances already."""
        return self.metric.finish(costs) if self.objective.rule in ("mean", "direction") else costs

    def _prepared(self, vectors: Any) -> np.ndarray:
        rows = as_vectors(vectors, dtype=self.metric.dtype, longest=self.metric.longest_row)
        self.metric.need_accepted(rows)
        prepared = self.metric.prepare(rows)
        if prepared.shape[1] != self.partition.centroids.shape[1]:
            raise VectorError(f"rows have {rows.shape[1]} columns, {self.centroids.shape[1]} were clustered")
        return prepared
