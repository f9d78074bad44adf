"""What `nearkin.cluster` gives: centroids in the user's units, who belongs where, and what can be asked of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nearkin.centroids import Ended, Partition
from nearkin.clustering.medoid_rows import medoid_rows_of
from nearkin.clustering.number_of_clusters import KChoice
from nearkin.clustering.outliers import LimitRule, Outliers, outliers_of
from nearkin.clustering.problem import Problem
from nearkin.clustering.quality import ClusterQuality, SilhouetteKind, quality_of
from nearkin.clustering.search_cost import SearchCost, search_cost_of
from nearkin.clustering.stability import Stability, stability_of
from nearkin.clustering.trouble import Trouble, troubles_of
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
    problem
        What was asked, to ask it again; of rows that stay in a file, that of the sample.
    mass
        (n,) weight of each row; 1 where none were given.
    choice
        How k was chosen, where it was ``"auto"``.
    medoid_vectors
        (k, dim) the medoids as they were given, where centroids are rows.
    source
        Where rows that stay in a file are read from, block by block; None where they are in memory.
    sample
        (m,) ascending numbers of the rows of a file, drawn at random, from which `quality`, `stability`, `medoid_rows` and
        `troubles` are answered; None where all are in memory.
    step
        Rows of a block that is read.
    """

    partition: Partition
    problem: Problem
    mass: np.ndarray
    choice: KChoice | None = None
    medoid_vectors: np.ndarray | None = None
    source: RowSource | None = None
    sample: np.ndarray | None = None
    step: int = READ_ROWS

    @property
    def prepared(self) -> np.ndarray:
        """(n, dim) rows that were clustered, prepared by the metric; of a file, (m, dim) those of the sample."""
        return self.problem.prepared

    @property
    def metric(self) -> Metric:
        """Fitted."""
        return self.problem.metric

    @property
    def metric_name(self) -> str:
        """The metric as it can be asked for again."""
        return self.problem.approach.metric_name

    @property
    def objective(self) -> Objective:
        """What was made least."""
        return self.problem.approach.objective

    @property
    def method(self) -> str:
        """The clusterer with its options, as it can be asked for again."""
        return self.problem.approach.method

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.problem.seed

    @property
    def threads(self) -> int:
        """That were used."""
        return self.problem.threads

    @property
    def at_hand(self) -> Clustering:
        """The clustering itself; of rows in a file, the same clusters of the rows of the sample."""
        if self.source is None:
            return self
        mass = self.mass[self.sample]
        costs = self.objective.assign(self.prepared, self.partition.centroids, self.threads)[1]
        some = replace(self.partition, labels=self.labels[self.sample], inertia=float(mass @ costs))
        return replace(self, partition=some, mass=mass, source=None)

    def row_number(self, place: int) -> int:
        """Number, among all rows, of the row at a place of `prepared`."""
        return place if self.sample is None else int(self.sample[place])

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.partition.centroids)

    @property
    def centroids(self) -> np.ndarray:
        """(k, dim) centroids in the units of the rows that were given."""
        if self.medoid_vectors is not None:
            return self.medoid_vectors
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
    def iterations(self) -> int | None:
        """Iterations (or passes over the rows) that were made, as ``max_iter`` counts them; None where the method does not say."""
        return self.partition.iterations

    @property
    def ended(self) -> Ended:
        """Why iterations ended."""
        return self.partition.ended

    @property
    def sizes(self) -> np.ndarray:
        """(k,) rows in each cluster, each counted once whatever its weight."""
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
        metric = self.metric
        rows = as_vectors(vectors, dtype=metric.dtype, longest=metric.longest_row, remedy="remove them")
        labels, costs = np.empty(len(rows), dtype=np.int64), np.empty(len(rows))
        for start in range(0, max(1, len(rows)), self.step):
            some = slice(start, start + self.step)
            prepared = self._prepared(rows[some])
            labels[some], costs[some] = self.objective.assign(prepared, self.partition.centroids, self.threads)
            let_go(rows[some])
        return labels, self.problem.approach.as_distances(costs)

    def distances(self) -> np.ndarray:
        """(n,) float64 distance of each clustered row from its centroid, by the metric."""
        if self.source is None:
            return self.problem.approach.as_distances(
                self.objective.assign(self.prepared, self.partition.centroids, self.threads)[1]
            )
        found = np.empty(self.source.rows)
        for numbers, rows in self.source.blocks(self.step):
            found[numbers] = self.objective.assign(rows, self.partition.centroids, self.threads)[1]
        return self.problem.approach.as_distances(found)

    def quality(self, silhouette: SilhouetteKind | None = "auto", seed: int | None = None) -> ClusterQuality:
        """How good the clusters are, by the usual measures.

        Parameters
        ----------
        silhouette
            ``"exact"``: of every row, in bounded memory. ``"sample"``: of some rows of every cluster, with an interval. ``"auto"``:
            exact up to 10,000 rows, and for more where the metric is a multiple of squared Euclidean distance (as cosine is) and
            sums need no pairs. None leaves it out.
        seed
            Of the sample; None for that of the clustering.

        Raises
        ------
        ParameterError
            `silhouette` is none of these.

        Examples
        --------
        >>> import nearkin as nk
        >>> quality = nk.cluster([[0], [1], [10], [11]], 2).quality()
        >>> quality.wcss, quality.bcss, quality.tss, quality.sizes, round(quality.silhouette.mean, 3)
        (1.0, 100.0, 101.0, (2, 2), 0.9)
        """
        return quality_of(self, silhouette, seed)

    def stability(self, runs: int = 10) -> Stability:
        """Whether other seeds find the same clusters: adjusted Rand indices between as many runs, of a file on the sample.

        Raises
        ------
        ParameterError
            There are fewer than two runs.

        Examples
        --------
        >>> import nearkin as nk
        >>> nk.cluster([[0], [1], [10], [11]], 2).stability(3).mean
        1.0
        """
        return stability_of(self, runs)

    def troubles(self) -> tuple[Trouble, ...]:
        """What may be wrong, with numbers and what to try; empty where nothing was found.

        Examples
        --------
        >>> import nearkin as nk
        >>> [each.kind for each in nk.cluster([[1], [1], [2], [2]], 3).troubles()]
        ['empty clusters', 'too few distinct rows']
        """
        return troubles_of(self)

    def medoid_rows(self) -> np.ndarray:
        """(k,) int64 numbers of the rows that stand for the clusters: of each, the one with the least weighted sum of distances.

        Of a cluster of more than 2,000 rows it is the best of a sample, of rows near the centroid and of random ones, measured
        against random rows. -1 for a cluster without rows.

        Examples
        --------
        >>> import nearkin as nk
        >>> nk.cluster([[1], [2], [3], [4], [100]], 1).medoid_rows().tolist()
        [2]
        """
        return medoid_rows_of(self)

    def outliers(
        self,
        vectors: Any = None,
        *,
        warning: float = 0.95,
        critical: float = 0.99,
        per_cluster: bool = False,
        rule: LimitRule = "quantile",
    ) -> Outliers:
        """Score rows by their distance from the nearest centroid, beside limits from the rows that were clustered.

        Parameters
        ----------
        vectors
            (m, dim) new rows; left out, those that were clustered.
        warning, critical
            Quantiles of the distances of the rows that were clustered, by weight, above which a row is in that band; a distance
            that equals a limit is not above it.
        per_cluster
            Whether each cluster has limits of its own. One with fewer than 1 / (1 - quantile) rows by weight, 20 and 100, shows no
            such quantile and has that of all rows.
        rule
            ``"quantile"``; or ``"tukey"``, the fences 1.5 and 3 interquartile ranges above the upper quartile, which leave rows
            without outliers in peace.

        Raises
        ------
        ParameterError
            The quantiles are not between 0 and 1, or not in order.
        VectorError
            New rows have another number of columns, NaN, or are refused by the metric.

        Examples
        --------
        >>> import nearkin as nk
        >>> found = nk.cluster([[0], [1], [2], [3]], 1).outliers([[1], [60]])
        >>> found.scores.tolist(), found.bands.tolist()
        ([0.5, 58.5], ['normal', 'critical'])
        """
        return outliers_of(self, vectors, warning=warning, critical=critical, per_cluster=per_cluster, rule=rule)

    def search_cost(
        self,
        nprobe: int | Sequence[int] | None = None,
        k: int = 10,
        queries: Any = None,
        *,
        seed: int | None = None,
    ) -> SearchCost:
        """The recall that an IVF index with these centroids would lose by looking into some cells only.

        A row's cell is its cluster, cells are looked into in the order of the costs between the query and their centroids, and
        neighbours are the exact ones by the metric, among all rows; those of a file are read once. What a codec loses comes on top.

        Parameters
        ----------
        nprobe
            Cells looked into, one number or several; left out, 1, 2, 4 and so on up to all.
        k
            Neighbours of each query.
        queries
            (nq, dim); left out, up to 1,000 rows ask (of a file, rows of the sample), each left out of its own answer. Centroids
            were fitted to such rows as well.
        seed
            Which rows ask; None for that of the clustering.

        Raises
        ------
        ParameterError, VectorError
            nprobe is not between 1 and the number of clusters, or the queries do not fit.

        Examples
        --------
        >>> import nearkin as nk
        >>> rows = [[0], [1], [2], [10], [11], [12]]
        >>> cost = nk.cluster(rows, 2).search_cost(k=2)
        >>> [(point.nprobe, point.recall.mean, round(point.scanned, 2)) for point in cost.points]
        [(1, 1.0, 0.5), (2, 1.0, 1.0)]
        """
        return search_cost_of(self, nprobe, k, queries, seed)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        ids: Sequence[Any] | None = None,
        columns: Sequence[str] = (),
        title: str = "your vectors",
        overwrite: bool = False,
    ) -> None:
        """Write a folder with clusters.html, the pictures, labels.csv, centroids.csv and clusters.json.

        Parameters
        ----------
        ids
            n ids of the rows; left out, their numbers.
        columns
            dim names of the columns.
        title
            What the headings call the rows.
        overwrite
            Replace a clustering that is there. Any other folder that is not empty is refused all the same.

        Raises
        ------
        MissingDependencyError
            matplotlib is not installed.
        ParameterError
            Something is at `path` that may not be replaced, or ids or columns are too few or too many.
        StorageError
            Writing failed; what was there is still there.
        """
        from nearkin.reporting.cluster_files import write_report
        from nearkin.reporting.cluster_tables import ClusterReport

        write_report(ClusterReport(self, ids, tuple(columns), title), path, overwrite=overwrite)

    def picture(self, path: str | os.PathLike[str], *, columns: Sequence[str] = ()) -> None:
        """Draw the rows in two dimensions with the centroids, as .png or .svg.

        Raises
        ------
        MissingDependencyError
            matplotlib is not installed.
        ParameterError
            The name has another ending.
        StorageError
            The file cannot be written.
        """
        from nearkin.reporting.cluster_files import write_picture

        write_picture(self, path, tuple(columns))

    def _prepared(self, rows: np.ndarray) -> np.ndarray:
        self.metric.need_accepted(rows)
        prepared = self.metric.prepare(rows)
        if prepared.shape[1] != self.partition.centroids.shape[1]:
            raise VectorError(f"rows have {rows.shape[1]} columns, {self.centroids.shape[1]} were clustered")
        return prepared
