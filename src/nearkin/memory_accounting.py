"""What a collection keeps besides its index, by component: vectors, ids, tombstones and metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.errors import NotSupportedError
from nearkin.mapped_pages import is_mapped
from nearkin.rows import MemoryRows, Rows

if TYPE_CHECKING:
    from nearkin.collection import Collection

MAPPED = "vectors mapped"
"""Bytes of files that are mapped: in memory only as far as they are touched, and given back when others need it."""


def kept_bytes(rows: Rows) -> dict[str, int]:
    """Bytes in memory by component, those that are 0 left out: ``vectors`` (or ``vectors mapped`` from files), ``id table``,
    ``tombstones`` and ``metadata`` (which a folder leaves on disk).

    >>> rows = MemoryRows(2, "float32")
    >>> rows.commit(vectors=np.float32([[1, 2], [3, 4]]), ids=[0, 1])
    >>> kept_bytes(rows)
    {'vectors': 16, 'tombstones': 2}
    """
    sizes = {"vectors": 0, MAPPED: 0}
    for block in _vectors(rows):
        sizes[MAPPED if is_mapped(block) else "vectors"] += block.nbytes
    sizes["id table"] = rows.ids.nbytes
    sizes["tombstones"] = rows.alive.nbytes
    sizes["metadata"] = rows.metadata_bytes() if isinstance(rows, MemoryRows) else 0
    return {name: size for name, size in sizes.items() if size}


def _vectors(rows: Rows) -> list[np.ndarray]:
    """The arrays that hold the rows, none of them read."""
    try:
        return [block for _, block in rows.pieces(np.empty(0, np.int64))]
    except NotSupportedError:  # they were not kept
        return []


def disk_bytes(rows: Rows) -> dict[str, int]:
    """Bytes by component in a folder; empty for rows in memory."""
    sizes = getattr(rows, "sizes", None)
    return dict(sizes()) if sizes is not None else {}


def memory_of(collection: Collection) -> dict[str, Any]:
    """All bytes of a collection by component, JSON-able: of its index ``predicted`` before building and ``allocated`` since,
    ``kept`` besides, on ``disk``; and what the rows take as ``float32``."""
    return {
        "predicted": collection.predicted_bytes(),
        "allocated": collection.allocated_bytes(),
        "kept": collection.kept_bytes(),
        "disk": collection.disk_bytes(),
        "float32": float32_bytes(len(collection), collection.dim, collection.metric.dtype),
    }


def float32_bytes(rows: int, dim: int, dtype: str) -> int:
    """Bytes of rows as they came: float32, or packed bits.

    >>> float32_bytes(10, 3, "float32"), float32_bytes(10, 3, "bits")
    (120, 30)
    """
    return rows * dim * (4 if dtype == "float32" else 1)


def prediction_error(predicted: Mapping[str, int], allocated: Mapping[str, int]) -> float | None:
    """By what share of the bytes allocated the prediction is off; None where nothing is allocated.

    >>> prediction_error({"codes": 90, "ids": 20}, {"codes": 100})
    0.1
    """
    real = sum(allocated.values())
    return (sum(predicted.values()) - real) / real if real else None
