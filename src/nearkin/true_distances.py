"""Distances computed on the stored rows themselves: what an index answered is checked against them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nearkin.indexes import FLOAT32_MAX, Index, RangeFound
from nearkin.metrics import Metric
from nearkin.rows import Rows
from nearkin.views import View

SAMPLE = 64
NEIGHBOURS = 50
TAKEN = 8192
"""Rows taken at once: rows that are taken one by one from a mapped file keep the pages around them in memory."""

EPSILON = float(np.finfo(np.float32).eps)


def true_distances(metric: Metric, rows: Rows, queries: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(nq, k) distances, float64, of the rows at (nq, k) positions; +inf where a position is -1."""
    distances = np.full(positions.shape, np.inf)
    step = max(1, TAKEN // max(1, positions.shape[1]))
    for start in range(0, len(positions), step):
        some = positions[start : start + step]
        wanted = np.unique(some[some >= 0])
        taken = rows.take(wanted)
        for query, row in enumerate(some, start):
            found = row >= 0
            if found.any():
                these = taken[np.searchsorted(wanted, row[found])]
                distances[query, found] = metric.distances(queries[query : query + 1], these)[0]
    return distances


def checked_range(metric: Metric, rows: Rows, queries: np.ndarray, candidates: RangeFound, limit: float) -> RangeFound:
    """The candidates whose true distance is at most `limit`, nearest first.

    Both are compared in float32, as distances are returned: the distance of a hit, given as the limit, finds the hit again.
    """
    counts, positions, distances = [0], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for query in range(len(queries)):
        found = candidates.positions[candidates.limits[query] : candidates.limits[query + 1]]
        true = metric.distances(queries[query : query + 1], rows.take(found))[0] if len(found) else np.empty(0)
        inside = true.astype(np.float32) <= np.float32(limit)
        order = np.lexsort((found[inside], true[inside]))
        positions.append(found[inside][order])
        distances.append(true[inside][order].astype(np.float32))
        counts.append(int(inside.sum()))
    return RangeFound(np.cumsum(counts), np.concatenate(positions), np.concatenate(distances))


class RangeMargins:
    """How far the values of an index may lie from the true ones: a range search looks so much farther for candidates.

    Both parts are measured on the rows and kept until there are others.
    """

    def __init__(self, metric: Metric, rows: Rows, seed: int) -> None:
        self._metric = metric
        self._rows = rows
        self._seed = seed
        self._code_error: tuple[Index | None, float] = None, 0.0
        self._longest: tuple[int, float] = 0, 0.0

    def range_search(
        self, view: View, queries: np.ndarray, limit: float, threads: int, params: Mapping[str, int]
    ) -> RangeFound:
        """Rows of a view within a distance, computed on the stored rows; candidates come from a little farther.

        Parameters
        ----------
        queries
            (nq, dim) checked queries, not prepared.
        """
        radius = min(max(float(self._metric.unfinish(limit)), -FLOAT32_MAX), FLOAT32_MAX)
        prepared = self._metric.prepare_queries(queries)
        around = radius + self.of_rounding(radius, prepared)
        slack = self.of_codes(view.index, view.covered, threads)
        candidates = view.range_search(prepared, around, slack, threads, params)
        return checked_range(self._metric, self._rows, queries, candidates, limit)

    def of_rounding(self, radius: float, prepared: np.ndarray) -> float:
        """Rounding of a value near `radius` between these queries and any row, computed in float32.

        A sum of n float32 terms is off by at most n 2^-24 of the sum of their magnitudes (N. Higham, "Accuracy and
        stability of numerical algorithms", 2002, section 3.1). Distances add what is positive, so that is a share of the
        value; an inner product may cancel, and its terms add up to at most ||q|| ||x||.
        """
        share = 1e-5 + float(prepared.shape[1] * EPSILON)
        if self._metric.space.label != "inner-product":
            return share * abs(radius) + 1e-6
        return share * (abs(radius) + longest_of(prepared) * self._longest_row()) + 1e-6

    def of_codes(self, index: Index | None, covered: int, threads: int) -> float:
        """Largest difference between an index's values and the true ones among sampled rows; 0 if it is lossless."""
        if index is None or index.lossless:
            return 0.0
        known, error = self._code_error
        if known is not index:
            error = code_error(self._metric, self._rows, index, covered, self._seed, threads)
            self._code_error = index, error
        return error

    def _longest_row(self) -> float:
        seen, longest = self._longest
        total = len(self._rows)
        for _, block in self._rows.blocks(seen, total):
            longest = max(longest, longest_of(self._metric.prepare(block)))
        self._longest = total, longest
        return longest


def longest_of(rows: np.ndarray) -> float:
    """Largest Euclidean length of the rows; 0 if there are none."""
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    return float(np.sqrt(squares.max(initial=0.0)))


def code_error(metric: Metric, rows: Rows, index: Index, covered: int, seed: int, threads: int) -> float:
    """Largest difference between an index's values and the true ones, among the neighbours of sampled rows.

    A range search over a lossy codec widens its radius by this much, so that few rows inside are lost.
    """
    alive = np.flatnonzero(rows.alive[:covered])
    if not alive.size:
        return 0.0
    sample = np.sort(np.random.default_rng(seed).choice(alive, min(SAMPLE, alive.size), replace=False))
    prepared = metric.prepare_queries(rows.take(sample))
    found = index.search(prepared, min(NEIGHBOURS, index.n), threads=threads)
    worst = 0.0
    for query, row in enumerate(found.positions):
        reached = row >= 0
        true = metric.space.pairwise(prepared[query : query + 1], metric.prepare(rows.take(row[reached])))[0]
        worst = max(worst, float(np.abs(true - found.distances[query, reached]).max(initial=0.0)))
    return worst
