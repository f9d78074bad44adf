"""faiss's scan over float32 rows under squared L2, kept exact where its way through BLAS is not.

Large batches go through ||q||² - 2 q·x + ||x||² in float32. Its error is about 1e-7 of ||q||², whatever the distance: values
depend on the size of the batch, a row is not 0 from itself, and where neighbours are close to each other and far from the
origin they are picked by rounding. Distances are therefore computed again by subtraction, and a query whose neighbours are
so close is searched again in batches that faiss scans by subtraction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nearkin.indexes import RangeFound

CLOSE = 0.01
"""Share of ||q||² below which the k-th distance is close: rounding then reaches 1e-5 to 1e-4 of it."""


def below_blas(dim: int) -> int:
    """Most queries that faiss scans by subtraction in one batch."""
    import faiss

    return max(1, (int(faiss.cvar.distance_compute_blas_threshold) - 1) // dim)


def search_l2(index: Any, queries: np.ndarray, k: int, parameters: Any) -> tuple[np.ndarray, np.ndarray]:
    """Distances and positions of the k nearest rows of an IndexFlatL2, with the same answer in every batch."""
    most = below_blas(queries.shape[1])
    if len(queries) <= most:
        distances, positions = index.search(queries, k, params=parameters)
        return distances, positions
    _, positions = index.search(queries, k, params=parameters)
    distances = _direct_distances(index, queries, positions)
    order = np.argsort(distances, axis=1, kind="stable")
    distances = np.take_along_axis(distances, order, axis=1)
    positions = np.take_along_axis(positions, order, axis=1)
    kth = distances[:, -1]
    doubtful = np.flatnonzero((kth > 0) & (kth < CLOSE * np.einsum("ij,ij->i", queries, queries)))
    for start in range(0, len(doubtful), most):
        some = doubtful[start : start + most]
        distances[some], positions[some] = index.search(queries[some], k, params=parameters)
    return distances, positions


def range_l2(index: Any, queries: np.ndarray, radius: float) -> RangeFound:
    """Every row of an IndexFlatL2 strictly inside the radius, in batches scanned by subtraction."""
    most = below_blas(queries.shape[1])
    parts = [index.range_search(queries[start : start + most], radius) for start in range(0, len(queries), most)]
    counts = [np.diff(limits.astype(np.int64)) for limits, _, _ in parts]
    return RangeFound(
        np.concatenate([[0], *counts]).cumsum().astype(np.int64),
        np.concatenate([np.empty(0, np.int64), *(positions for _, _, positions in parts)]),
        np.concatenate([np.empty(0, np.float32), *(distances for _, distances, _ in parts)]),
    )


def _direct_distances(index: Any, queries: np.ndarray, positions: np.ndarray) -> np.ndarray:
    import faiss

    distances = np.full(positions.shape, np.inf, dtype=np.float32)
    index.compute_distance_subset(
        len(queries),
        faiss.swig_ptr(queries),
        positions.shape[1],
        faiss.swig_ptr(distances),
        faiss.swig_ptr(positions),
    )
    return distances
