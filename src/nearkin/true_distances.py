"""Distances computed on the stored rows themselves: what an index answered is checked against them."""

from __future__ import annotations

import numpy as np

from nearkin.indexes import Index, RangeFound
from nearkin.metrics import Metric
from nearkin.rows import Rows

SAMPLE = 64
NEIGHBOURS = 50


def true_distances(metric: Metric, rows: Rows, queries: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(nq, k) distances, float64, of the rows at (nq, k) positions; +inf where a position is -1."""
    distances = np.full(positions.shape, np.inf)
    for query, row in enumerate(positions):
        found = row >= 0
        if found.any():
            distances[query, found] = metric.distances(queries[query : query + 1], rows.take(row[found]))[0]
    return distances


def checked_range(metric: Metric, rows: Rows, queries: np.ndarray, candidates: RangeFound, limit: float) -> RangeFound:
    """The candidates whose true distance is at most `limit`, nearest first."""
    counts, positions, distances = [0], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for query in range(len(queries)):
        found = candidates.positions[candidates.limits[query] : candidates.limits[query + 1]]
        true = metric.distances(queries[query : query + 1], rows.take(found))[0] if len(found) else np.empty(0)
        inside = true <= limit
        order = np.lexsort((found[inside], true[inside]))
        positions.append(found[inside][order])
        distances.append(true[inside][order].astype(np.float32))
        counts.append(int(inside.sum()))
    return RangeFound(np.cumsum(counts), np.concatenate(positions), np.concatenate(distances))


def code_error(metric: Metric, rows: Rows, index: Index, covered: int, seed: int) -> float:
    """Largest difference between an index's values and the true ones, among the neighbours of sampled rows.

    A range search over a lossy codec widens its radius by this much, so that few rows inside are lost.
    """
    alive = np.flatnonzero(rows.alive[:covered])
    if not alive.size:
        return 0.0
    sample = np.sort(np.random.default_rng(seed).choice(alive, min(SAMPLE, alive.size), replace=False))
    prepared = metric.prepare_queries(rows.take(sample))
    found = index.search(prepared, min(NEIGHBOURS, index.n))
    worst = 0.0
    for query, row in enumerate(found.positions):
        reached = row >= 0
        true = metric.space.pairwise(prepared[query : query + 1], metric.prepare(rows.take(row[reached])))[0]
        worst = max(worst, float(np.abs(true - found.distances[query, reached]).max(initial=0.0)))
    return worst
