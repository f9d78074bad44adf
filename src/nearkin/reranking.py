"""The k nearest of each query's own candidates, by the metric itself, read where the rows lie."""

from __future__ import annotations

import numpy as np

from nearkin.indexes import Found, StoredRows, empty_found
from nearkin.metrics import INNER_PRODUCT, L2, Metric, Space, as_values
from nearkin.rows import Rows
from nearkin.vectors import block_rows


class PreparedRows:
    """Rows of a collection as its metric prepares them for an index."""

    def __init__(self, rows: Rows, metric: Metric) -> None:
        self._rows = rows
        self._metric = metric
        self._as_they_are = type(metric).prepare is Metric.prepare

    def pieces(self, positions: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """The rows where they lie, unless the metric changes them."""
        return self._rows.pieces(positions) if self._as_they_are else []

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(m, dim) prepared rows."""
        return np.ascontiguousarray(self._metric.prepare(self._rows.take(positions)))


class OwnRows:
    """Rows that an index keeps itself, since nobody else does.

    >>> rows = OwnRows(2, np.dtype(np.float32))
    >>> rows.add(np.float32([[1, 2], [3, 4]]))
    >>> rows.take(np.array([1])).tolist()
    [[3.0, 4.0]]
    """

    def __init__(self, dim: int, dtype: np.dtype) -> None:
        self._blocks = [np.empty((0, dim), dtype=dtype)]

    def add(self, rows: np.ndarray) -> None:
        """Append a copy of (n, dim) rows."""
        self._blocks.append(rows.copy())

    def all(self) -> np.ndarray:
        """Every row, in order of position."""
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0]

    def pieces(self, positions: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """All of them."""
        return [(0, self.all())]

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(m, dim) rows at positions."""
        return np.asarray(self.all()[positions])


def nearest_candidates(
    space: Space, stored: StoredRows, queries: np.ndarray, candidates: np.ndarray, k: int, threads: int = 1
) -> Found:
    """The k nearest candidates of each query, nearest first, padded where there are fewer.

    Parameters
    ----------
    queries
        (nq, dim) prepared queries.
    candidates
        (nq, m) positions, -1 for none.

    Examples
    --------
    >>> from nearkin.metrics import L2
    >>> rows = OwnRows(1, np.dtype(np.float32))
    >>> rows.add(np.float32([[0], [5], [2]]))
    >>> nearest_candidates(L2, rows, np.float32([[1.9]]), np.array([[0, 1, -1]]), 2).positions.tolist()
    [[0, 1]]
    """
    kernel = space.compiled
    if kernel is None:
        return _in_numpy(space, stored, queries, candidates, k)
    pieces = stored.pieces(candidates)
    if pieces:
        return _sorted(kernel.rerank(queries, candidates, pieces, k, threads))
    best = empty_found(len(queries), k)
    step = block_rows(candidates.shape[1] * queries.shape[1] * queries.itemsize)
    for start in range(0, len(queries), step):
        some = candidates[start : start + step]
        positions, places = np.unique(some, return_inverse=True)
        none = int(np.searchsorted(positions, 0))  # 1 where some candidates are -1, which come first
        taken = [(none, stored.take(positions[none:]))]
        places = np.where(some < 0, -1, places.reshape(some.shape))
        found = _sorted(kernel.rerank(queries[start : start + step], places, taken, k, threads))
        best.positions[start : start + step] = np.where(found.positions < 0, -1, positions[found.positions])
        best.distances[start : start + step] = found.distances
    return best


def _sorted(best: tuple[np.ndarray, np.ndarray]) -> Found:
    positions, distances = best
    order = np.argsort(distances, axis=1, kind="stable")
    return Found(np.take_along_axis(positions, order, axis=1), np.take_along_axis(distances, order, axis=1))


def _in_numpy(space: Space, stored: StoredRows, queries: np.ndarray, candidates: np.ndarray, k: int) -> Found:
    best = empty_found(len(queries), k)
    step = block_rows(candidates.shape[1] * queries.shape[1] * queries.itemsize)
    for start in range(0, len(queries), step):
        wanted = np.unique(candidates[start : start + step])
        wanted = wanted[wanted >= 0]
        taken = stored.take(wanted) if wanted.size else np.empty((0, queries.shape[1]))
        if space.label in (L2.label, INNER_PRODUCT.label) and wanted.size:
            some = slice(start, start + step)
            found = _all_at_once(space, taken, queries[some], wanted, candidates[some])
            best.positions[some, : candidates.shape[1]] = found.positions[:, :k]
            best.distances[some, : candidates.shape[1]] = found.distances[:, :k]
            continue
        for row, positions in enumerate(candidates[start : start + step], start):
            positions = positions[positions >= 0]
            if not positions.size:
                continue
            here = taken[np.searchsorted(wanted, positions)]
            values = as_values(space.pairwise(queries[row : row + 1], here), (1, len(positions)))[0]
            order = np.argsort(values, kind="stable")[:k]
            best.positions[row, : order.size] = positions[order]
            best.distances[row, : order.size] = values[order]
    return best


def _all_at_once(
    space: Space, taken: np.ndarray, queries: np.ndarray, wanted: np.ndarray, candidates: np.ndarray
) -> Found:
    """All candidates in order, under squared distances and inner products, which numpy has for many queries in one go."""
    here = taken[np.minimum(np.searchsorted(wanted, candidates), len(wanted) - 1)]
    if space.label == L2.label:
        here = here - queries[:, None, :]
        values = np.einsum("ijk,ijk->ij", here, here)
    else:
        values = -np.einsum("ijk,ik->ij", here, queries)
    return _sorted((candidates, np.where(candidates < 0, np.inf, values).astype(np.float32)))
