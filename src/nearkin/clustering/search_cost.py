"""What a clustering would cost in recall as the coarse half of an IVF index: neighbours that lie in cells not looked into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.accuracy import Interval, without_itself
from nearkin.errors import ParameterError, VectorError
from nearkin.indexes import Found
from nearkin.measurement import exact_neighbours
from nearkin.metrics import Metric
from nearkin.objectives import MetricSums
from nearkin.search_parameters import whole_number
from nearkin.vectors import as_vectors, block_rows

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering

ROWS_ASKED = 1_000
"""Rows that ask, where no queries are given."""


@dataclass(frozen=True)
class ProbePoint:
    """Recall and work at one nprobe.

    Attributes
    ----------
    nprobe
        Cells looked into, those of the nearest centroids.
    recall
        Share of the true neighbours that lie in them.
    scanned
        Mean share of all rows that lie in them.
    """

    nprobe: int
    recall: Interval
    scanned: float


@dataclass(frozen=True)
class SearchCost:
    """Recall that cells lose by themselves, before any codec.

    Attributes
    ----------
    points
        By nprobe, ascending.
    k
        Neighbours of each query.
    cells
        Clusters, which are the cells.
    queries
        That were asked.
    of_rows
        Whether they were rows of the clustering, each left out of its own answer; otherwise they were given.
    usual
        The nprobe that `sentence` tells about.
    """

    points: tuple[ProbePoint, ...]
    k: int
    cells: int
    queries: int
    of_rows: bool
    usual: int

    def at(self, nprobe: int) -> ProbePoint:
        """The point of an nprobe that was measured.

        Raises
        ------
        ParameterError
            It was not.
        """
        for point in self.points:
            if point.nprobe == nprobe:
                return point
        measured = ", ".join(str(point.nprobe) for point in self.points)
        raise ParameterError(f"recall was not measured at nprobe {nprobe}, only at {measured}")

    @property
    def sentence(self) -> str:
        """What this clustering costs."""
        point = self.at(self.usual)
        asked = "rows, each left out of its own answer" if self.of_rows else "queries"
        return (
            f"this clustering costs you {1 - point.recall.mean:.3f} recall@{self.k} at nprobe {point.nprobe} of {self.cells:,}: "
            f"{point.recall.mean:.3f} of the neighbours lie in the cells looked into (95 % interval {point.recall.low:.3f} to "
            f"{point.recall.high:.3f}, {self.queries:,} {asked}), which hold {point.scanned:.1%} of the rows"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "sentence": self.sentence}


def search_cost_of(
    clustering: Clustering,
    nprobe: int | Sequence[int] | None = None,
    k: int = 10,
    queries: Any = None,
    seed: int | None = None,
) -> SearchCost:
    """Measure what cells lose, see `nearkin.Clustering.search_cost`."""
    n = len(clustering.labels)
    if n < 2:
        raise VectorError("a single row has no neighbours", hint="cluster at least two rows")
    own: np.ndarray | None = None
    if queries is None:
        rng = np.random.default_rng(clustering.seed if seed is None else seed)
        places = np.sort(rng.choice(len(clustering.prepared), min(len(clustering.prepared), ROWS_ASKED), replace=False))
        own = places if clustering.sample is None else clustering.sample[places]
        asked = np.ascontiguousarray(clustering.prepared[places])
    else:
        asked = _prepared_queries(clustering, queries)
    k = min(whole_number("k", k, 1), n if own is None else n - 1)
    probes, usual = _probes(nprobe, clustering.k)
    neighbours = true_neighbours(clustering, asked, own, k)
    recalls, scanned = _curve(clustering, asked, neighbours, probes)
    points = tuple(
        ProbePoint(probe, Interval.of(recalls[:, place]), float(scanned[place])) for place, probe in enumerate(probes)
    )
    return SearchCost(points, k, clustering.k, len(asked), own is not None, usual)


def _prepared_queries(clustering: Clustering, queries: Any) -> np.ndarray:
    metric = clustering.metric
    asked = as_vectors(queries, dtype=metric.dtype, longest=metric.longest_row, what="queries")
    if not len(asked):
        raise VectorError("there are no queries to measure with", hint="pass at least one")
    wanted = clustering.centroids.shape[1]
    if asked.shape[1] != wanted:
        raise VectorError(f"queries have {asked.shape[1]} columns, {wanted} were clustered")
    return metric.prepare_queries(asked)


def _probes(nprobe: int | Sequence[int] | None, cells: int) -> tuple[list[int], int]:
    """The numbers of cells to measure, and the one to tell about: an eighth of them where none is named."""
    if nprobe is None:
        probes = sorted({min(cells, 1 << power) for power in range(cells.bit_length() + 1)})
        return probes, max(probe for probe in probes if probe <= max(1, cells / 8))
    given = list(nprobe) if isinstance(nprobe, Sequence | np.ndarray) else [nprobe]
    probes = sorted({whole_number("nprobe", each, 1, cells) for each in given})
    if not probes:
        raise ParameterError("nprobe is empty, at least one number of cells expected")
    return probes, probes[0]


def true_neighbours(clustering: Clustering, asked: np.ndarray, own: np.ndarray | None, k: int) -> np.ndarray:
    """(nq, k) numbers of the exact nearest of all rows to prepared queries, without the row that asks."""
    wanted = k if own is None else k + 1
    rows, metric = clustering.prepared, clustering.metric
    if clustering.source is not None:
        found = nearest_of_blocks(metric, clustering.source.blocks(clustering.step), asked, wanted)
    elif metric.reduces_to == "l2":
        truth = exact_neighbours(rows, asked, metric="sqeuclidean", k=wanted, threads=clustering.threads)
        found = Found(truth.positions, truth.distances)
    else:
        found = _scanned(MetricSums(metric), rows, asked, wanted)
    return found.positions if own is None else without_itself(found, own, k).positions


def nearest_of_blocks(
    metric: Metric, blocks: Iterable[tuple[np.ndarray, np.ndarray]], asked: np.ndarray, k: int
) -> Found:
    """The exact k nearest rows of prepared queries, in one pass over blocks of prepared rows with their numbers.

    Distances are values of the space that the metric reduces to. Those of rows that are no nearer to any query than the k nearest
    so far are not looked at again.
    """
    pairwise, step = metric.space.pairwise, block_rows(8 * len(asked))
    positions, nearest = np.empty((len(asked), 0), dtype=np.int64), np.empty((len(asked), 0))
    for numbers, rows in blocks:
        for start in range(0, len(rows), step):
            values = np.asarray(pairwise(asked, rows[start : start + step]), dtype=np.float64)
            here = numbers[start : start + step]
            if nearest.shape[1] == k:
                nearer = (values < nearest.max(axis=1, keepdims=True)).any(axis=0)
                values, here = values[:, nearer], here[nearer]
            together = np.concatenate([nearest, values], axis=1)
            numbered = np.concatenate([positions, np.broadcast_to(here, values.shape)], axis=1)
            if together.shape[1] > k:
                chosen = np.argpartition(together, k - 1, axis=1)[:, :k]
                together, numbered = (np.take_along_axis(each, chosen, axis=1) for each in (together, numbered))
            positions, nearest = numbered, together
    order = nearest.argsort(axis=1, kind="stable")
    return Found(np.take_along_axis(positions, order, axis=1), np.take_along_axis(nearest, order, axis=1))


def _scanned(distances: MetricSums, rows: np.ndarray, asked: np.ndarray, k: int) -> Found:
    """The exact k nearest by any metric, a block of queries at a time."""
    positions, nearest = [], []
    step = block_rows(8 * len(rows))
    for start in range(0, len(asked), step):
        values = distances.costs(asked[start : start + step], rows)
        chosen = np.argpartition(values, k - 1, axis=1)[:, :k]
        positions.append(chosen)
        nearest.append(np.take_along_axis(values, chosen, axis=1))
    return Found(np.concatenate(positions), np.concatenate(nearest))


def _curve(
    clustering: Clustering, asked: np.ndarray, neighbours: np.ndarray, probes: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(nq, probes) recall of each query, and (probes,) mean share of the rows scanned."""
    recalls = np.empty((len(asked), len(probes)))
    scanned = np.zeros(len(probes))
    sizes, last = clustering.sizes, np.array(probes) - 1
    step = block_rows(40 * clustering.k)
    for start in range(0, len(asked), step):
        some = slice(start, start + step)
        order = clustering.objective.costs(asked[some], clustering.partition.centroids).argsort(axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(clustering.k)[None], axis=1)
        of_neighbours = np.take_along_axis(rank, clustering.labels[neighbours[some]], axis=1)
        recalls[some] = (of_neighbours[:, :, None] < np.array(probes)).mean(axis=1)
        scanned += sizes[order].cumsum(axis=1)[:, last].sum(axis=0)
    return recalls, scanned / (len(asked) * len(clustering.labels))
