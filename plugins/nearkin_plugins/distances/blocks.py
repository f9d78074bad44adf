"""Rows taken in blocks, so that temporaries stay small whatever the number of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nearkin.vectors import block_rows

CACHE_BYTES = 1 << 20
"""Temporaries of a pairwise loop: small enough to stay in a processor's cache between two passes."""


def wide(rows: np.ndarray) -> np.ndarray:
    """Rows in float64."""
    return rows.astype(np.float64)


def one_against_many(
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray],
    queries: np.ndarray,
    vectors: np.ndarray,
    ready: Callable[[np.ndarray], np.ndarray] = wide,
) -> np.ndarray:
    """(nq, n) values of a symmetric distance in float64, one query against one block of rows at a time.

    Parameters
    ----------
    distance
        A (dim,) row and (m, dim) rows, which it may change, to (m,) values.
    ready
        What is done to rows of either side first.

    Examples
    --------
    >>> def widest(row, rows):
    ...     return np.abs(rows - row).max(axis=1)
    >>> one_against_many(widest, np.float32([[0, 0]]), np.float32([[3, -4], [1, 0]])).tolist()
    [[4.0, 1.0]]
    """
    if len(queries) > len(vectors):  # symmetric, so the shorter side is the one looped over in Python
        return one_against_many(distance, vectors, queries, ready).T
    values = np.empty((len(queries), len(vectors)), dtype=np.float64)
    step = block_rows(8 * vectors.shape[1], CACHE_BYTES)
    asked = ready(queries)
    for start in range(0, len(vectors), step):
        block = ready(vectors[start : start + step])
        for row, query in enumerate(asked):
            values[row, start : start + step] = distance(query, block)
    return values


def mapped(vectors: np.ndarray, rule: Callable[[np.ndarray], np.ndarray], width: int | None = None) -> np.ndarray:
    """(n, width) float32 rows that a rule makes of (m, dim) ones; what leaves the range of float32 becomes infinite.

    >>> mapped(np.float32([[1, 2]]), lambda rows: 2.0 * rows).tolist()
    [[2.0, 4.0]]
    """
    dim = vectors.shape[1]
    rows = np.empty((len(vectors), dim if width is None else width), dtype=np.float32)
    step = block_rows(16 * dim)
    for start in range(0, len(vectors), step):
        with np.errstate(over="ignore"):
            rows[start : start + step] = rule(vectors[start : start + step])
    return rows
