"""What every ivf index shares, whatever scans its cells: how many it has and looks into, and the rows to find them in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from math import sqrt
from typing import ClassVar

import numpy as np

from nearkin.centroids import Clusterer
from nearkin.errors import VectorError
from nearkin.indexes import Index, Layout
from nearkin.lloyd import Lloyd
from nearkin.metrics import Euclidean, unit_rows
from nearkin.objectives import ABSOLUTE, DIRECTIONS, SQUARES, MetricSums
from nearkin.search_parameters import SearchParameter
from nearkin.starts import rebalanced
from nearkin_plugins.faiss_kmeans import KMeans

SETTLED = 2e-3
"""From centroids of other rows, k-means ends when the inertia falls by less than this share: on SIFT after 6 iterations, with what
random rows reach in 10."""

NPROBE: Mapping[str, SearchParameter] = {
    "nprobe": SearchParameter("cells looked into for each query; more find more and take longer")
}

ROWS_PER_CENTROID = 100
"""Training on more rows a cell hardly places the centroids better: on 300,000 SIFT rows in 1,024 cells, 256 a cell and twenty
iterations took six times as long as 100 and ten, and recall@10 at nprobe 32 was 0.963 instead of 0.961."""


class CellIndex(Index):
    """An ivf index whose centroids a clusterer finds.

    Parameters
    ----------
    nlist
        Cells; left out, the square root of the number of rows.
    """

    name = "ivf"
    rows_apart = True
    search_params: ClassVar[Mapping[str, SearchParameter]] = NPROBE

    def __init__(self, layout: Layout, *, nlist: int | None = None, clusterer: str = "kmeans") -> None:
        super().__init__(layout)
        self.nlist = nlist or usual_nlist(layout.rows)
        self._start: np.ndarray | None = None
        self._training_threads = 1
        self._options = "" if clusterer == "kmeans" else f":clusterer={clusterer}"

    @property
    def label(self) -> str:
        return f"ivf{self.nlist}{self._options}"

    def use_threads(self, threads: int) -> None:
        self._training_threads = threads
        super().use_threads(threads)

    def train_rows(self) -> int:
        return max(self.nlist, super().train_rows())

    def sample_rows(self, n: int) -> int:
        return min(n, max(super().sample_rows(n), ROWS_PER_CENTROID * self.nlist))

    def search_defaults(self, n: int) -> dict[str, int]:
        return {"nprobe": usual_nprobe(self.nlist)}

    def check_rows_suffice(self, n: int) -> None:
        need_rows_for_cells(self.nlist, n)
        super().check_rows_suffice(n)

    def start_from(self, present: Index) -> None:
        """The centroids of an index with as many cells, unless a transform, which is learned anew, lies between."""
        if isinstance(present, CellIndex) and present.nlist == self.nlist and self.layout.transform is None:
            self._start = present.centroids()

    @abstractmethod
    def centroids(self) -> np.ndarray:
        """(nlist, width) what stands for the cells, a copy."""

    def _clustered(self, vectors: np.ndarray) -> np.ndarray:
        """Centroids for rows such as these, in the form that cells are found by."""
        start, self._start = self._start, None
        clusterer = self.layout.clusterer or Lloyd()
        rows = self._rows_to_cluster(vectors)
        return cell_centroids(clusterer, rows, self.nlist, self.layout, start, threads=self._training_threads)

    def _rows_to_cluster(self, vectors: np.ndarray) -> np.ndarray:
        """At random and not the first ones: rows often come sorted, and cells are wanted wherever there are rows."""
        most = ROWS_PER_CENTROID * self.nlist
        if len(vectors) <= most:
            return vectors
        chosen = np.random.default_rng(self.layout.seed).choice(len(vectors), most, replace=False)
        return np.asarray(vectors[np.sort(chosen)])


def cell_centroids(
    clusterer: Clusterer,
    vectors: np.ndarray,
    nlist: int,
    layout: Layout,
    start: np.ndarray | None = None,
    *,
    threads: int = 1,
) -> np.ndarray:
    """Centroids for the cells of an IVF index, in the form that its coarse quantizer stores.

    Cells are probed by squared distance or inner product to their centroids, which are the means of their rows therefore. A
    clusterer that finds other centroids (directions, medians or medoids) divides the rows as it does, under its own objective, and
    the means of its clusters are taken. Under inner product the rows' directions are clustered and the centroids have length one,
    so that no cell wins by the length of its centroid; packed bits are clustered as 0 and 1 and rounded (the majority of each bit).

    Parameters
    ----------
    start
        Centroids of the same form to start from; those of nearly empty cells move to where the rows are.
    """

    def found(rows: np.ndarray, first: np.ndarray | None) -> np.ndarray:
        if first is None:
            return means_by(clusterer, rows, nlist, layout.seed, threads=threads)
        begun = rebalanced(first, rows, seed=layout.seed)
        return means_by(_soon_settled(clusterer), rows, nlist, layout.seed, begun, threads=threads)

    if layout.space.dtype == "bits":
        first = None if start is None else _zeros_and_ones(start)
        return np.packbits(found(_zeros_and_ones(vectors), first) > 0.5, axis=1)
    if layout.space.label == "inner-product":
        return unit_rows(found(unit_rows(vectors), start))
    return np.ascontiguousarray(found(vectors, start), dtype=np.float32)


def means_by(
    clusterer: Clusterer, rows: np.ndarray, k: int, seed: int = 0, start: np.ndarray | None = None, *, threads: int = 1
) -> np.ndarray:
    """(k, dim) means of the clusters that a clusterer divides rows into under the objective that it is made for.

    One without rows is moved to the row that is farthest from its own mean.
    """
    rule = clusterer.rules[0]
    if "mean" in clusterer.rules:
        return clusterer.fit(rows, k, seed=seed, start=start, threads=threads).centroids
    objective = MetricSums(Euclidean()) if rule == "medoid" else {"direction": DIRECTIONS, "median": ABSOLUTE}[rule]
    given = unit_rows(rows) if rule == "direction" else rows  # rows of zeros stay, and belong to any cluster
    labels = clusterer.fit(given, k, objective=objective, seed=seed, start=start, threads=threads).labels
    means = SQUARES.centres(rows, labels, np.ones(len(rows)), np.zeros((k, rows.shape[1]), dtype=np.float32))
    empty = np.flatnonzero(np.bincount(labels, minlength=k) == 0)
    if empty.size:
        apart = np.square(rows - means[labels], dtype=np.float64).sum(axis=1)
        means[empty] = rows[np.argsort(-apart, kind="stable")[: empty.size]]
    return means


def _soon_settled(clusterer: Clusterer) -> Clusterer:
    """A clusterer for rows that there are centroids of already."""
    return KMeans(clusterer.max_iter, max(SETTLED, clusterer.tol)) if isinstance(clusterer, KMeans) else clusterer


def _zeros_and_ones(packed: np.ndarray) -> np.ndarray:
    return np.unpackbits(packed, axis=1).astype(np.float32)


def usual_nlist(rows: int) -> int:
    """Cells for so many rows: about as many as rows in each.

    >>> usual_nlist(10_000), usual_nlist(0)
    (100, 1)
    """
    return max(1, round(sqrt(rows)))


def usual_nprobe(nlist: int) -> int:
    """Of so many cells, how many to look into: an eighth, and all of a few.

    >>> usual_nprobe(1024), usual_nprobe(100), usual_nprobe(10)
    (128, 32, 10)
    """
    return min(nlist, max(32, -(-nlist // 8)))


def need_rows_for_cells(nlist: int, n: int) -> None:
    """Raise VectorError if there are fewer rows than cells."""
    if n < nlist:
        raise VectorError(
            f"ivf was asked for {nlist:,} cells, and there are only {n:,} rows to find them in",
            hint=f"use nlist of at most {usual_nlist(n)}, or leave the number out",
        )
