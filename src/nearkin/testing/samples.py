"""Rows and items that the checks try: ordinary ones, and those that break careless code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nearkin.vectors import DType

DIM = 16
ROWS = 320
QUERIES = 12

TEXTS = (
    "Similar things should be close.",
    "close things should be similar",
    "compress a file",
    "how do I compress files?",
    "",
    "naïve façade, 日本語 text and an emoji 🙂",
    "one line\nand another\twith a tab",
    "word " * 300,
)


def ordinary_rows(rng: np.random.Generator, n: int, dim: int, dtype: DType) -> np.ndarray:
    """(n, dim) rows in a few loose groups, with columns of different spread; or random packed bits."""
    if dtype == "bits":
        prototypes = rng.integers(0, 256, (6, dim), dtype=np.uint8)
        noise = np.packbits(rng.random((n, 8 * dim)) < 0.2, axis=1)
        return np.asarray(prototypes[rng.integers(0, 6, n)] ^ noise)
    centres = 3.0 * rng.standard_normal((6, dim))
    rows = centres[rng.integers(0, 6, n)] + rng.standard_normal((n, dim)) * np.linspace(0.5, 2.0, dim)
    return rows.astype(np.float32)


def accepted_rows(
    rng: np.random.Generator, n: int, dim: int, dtype: DType, refuses: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """`ordinary_rows` that a metric does not refuse: as they are, else their magnitudes, else shares that sum to 1.

    Where it refuses most of all three, whatever it leaves of the first is returned, possibly nothing.
    """
    rows = ordinary_rows(rng, n, dim, dtype)
    if dtype == "bits":
        return rows
    magnitudes = np.abs(rows) + np.float32(0.01)
    for attempt in (rows, magnitudes, magnitudes / magnitudes.sum(axis=1, keepdims=True)):
        good = ~np.asarray(refuses(attempt), dtype=bool)
        if good.mean() > 0.5:
            return np.ascontiguousarray(attempt[good])
    return np.ascontiguousarray(rows[~np.asarray(refuses(rows), dtype=bool)])


def row_families(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Small sets of rows made from ordinary ones, by what is special about them."""
    few = rows[:24]
    families = {"ordinary": few, "duplicates": np.repeat(rows[:8], 3, axis=0)}
    if rows.dtype == np.uint8:
        extremes = np.stack([np.zeros_like(rows[0]), np.full_like(rows[0], 255), rows[0], ~rows[0]])
        return {**families, "all zeros and all ones": extremes}
    constant = np.linspace(0, 3, 12, dtype=np.float32)[:, None] * np.ones((1, rows.shape[1]), np.float32)
    sparse = np.where(np.arange(rows.shape[1]) % 4 == 0, few, np.float32(0))
    return {
        **families,
        "constant rows": constant,
        "rows with zeros": sparse,
        "tiny values": few * np.float32(1e-6),
        "huge values": few * np.float32(1e6),
        "near duplicates": rows[:1] + few * np.float32(1e-3),
    }
