"""What `nearkin.cluster` gives: centroids in the user's units, who belongs where, and what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.centroids import Ended, Partition
from nearkin.errors import VectorError
from nearkin.mapped_pages import let_go
from nearkin.metrics import Metric
from nearkin.objectives import Objective
from nearkin.row_source import RowSource
from nearkin.vectors import as_vectors

READ_ROWS = 65_536
"""Rows that are prepared and compared at once."""


@dataclass(frozen=True, eq=False)
class Clustering:
    """k centroids, the rows of each, and what can be asked of them.

    Attributes
    ----------
    partition
        What the clusterer found, in the space that the metric prepares rows for.
    prepared
        (n, dim) rows that were clustered, prepared by the metric; of rows that stay in a file, those of the sample.
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
    source
        Where the rows are read from block by block; None where they are in memory.
    sample
        (m,) ascending numbers of the rows that `prepared` holds, drawn at random; None for all.
    step
        Rows of a block that is read.
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
    source: RowSource | None = None
    sample: np.ndarray | None = None
    step: int = READ_ROWS

    @property
    def at_hand(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(m, dim) prepared rows that are in memory, their (m,) labels and (m,) weights: all rows, or the sample of a file."""
        chosen = slice(None) if self.sample is None else self.sample
        return self.prepared, self.labels[chosen], self.mass[chosen]

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
        rows = as_vectors(vectors, dtype=self.metric.dtype, longest=self.metric.longest_row)
        labels, costs = np.empty(len(rows), dtype=np.int64), np.empty(len(rows))
        for start in range(0, max(1, len(rows)), self.step):
            some = slice(start, start + self.step)
            prepared = self._prepared(rows[some])
            labels[some], costs[some] = self.objective.assign(prepared, self.partition.centroids, self.threads)
            let_go(rows[some])
        return labels, self._as_distances(costs)

    def distances(self) -> np.ndarray:
        """(n,) float64 distance of each clustered row from its centroid, by the metric."""
        if self.source is None:
            return self._as_distances(self.objective.assign(self.prepared, self.partition.centroids, self.threads)[1])
        found = np.empty(self.source.rows)
        for numbers, rows in self.source.blocks(self.step):
            found[numbers] = self.objective.assign(rows, self.partition.centroids, self.threads)[1]
        return self._as_distances(found)

    def _as_distances(self, costs: np.ndarray) -> np.ndarray:
        """Costs of means and directions are values of the space; other costs are distances already."""
        return self.metric.finish(costs) if self.objective.rule in ("mean", "direction") else costs

    def _prepared(self, rows: np.ndarray) -> np.ndarray:
        self.metric.need_accepted(rows)
        prepared = self.metric.prepare(rows)
        if prepared.shape[1] != self.partition.centroids.shape[1]:
            raise VectorError(f"rows have {rows.shape[1]} columns, {self.centroids.shape[1]} were clustered")
        return prepared
