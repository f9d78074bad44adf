"""Bytes of fast-scan codes: whole blocks of 32 rows, in tables whose size is a power of two.

Sources: F. André, A.-M. Kermarrec and N. Le Scouarnec, "Quicker ADC" (2019), for the blocks; faiss's AlignedTable for the rounding.
"""

from __future__ import annotations

from math import log1p, sqrt
from statistics import NormalDist

import numpy as np

BLOCK = 32
LEAST = 256
"""Elements of the smallest table that faiss makes."""

UNEQUAL = 0.6
"""Standard deviation of the rows in a cell, as a share of their mean: 0.4 to 1.0 on SIFT, Fashion-MNIST and WordNet, with 64 to
2,048 cells over 10,000 and 60,000 rows."""

QUANTILES = 512


def table_bytes(rows: np.ndarray, code_size: int) -> np.ndarray:
    """Bytes that faiss reserves for lists of so many rows.

    >>> table_bytes(np.array([0, 1, 33]), 16).tolist()
    [0, 512, 1024]
    """
    sizes = np.ceil(np.asarray(rows) / BLOCK) * (BLOCK * code_size)
    return reserved(sizes)


def reserved(elements: np.ndarray) -> np.ndarray:
    """Elements that a table has room for.

    >>> reserved(np.array([0, 10, 257])).tolist()
    [0, 256, 512]
    """
    rounded = np.exp2(np.ceil(np.log2(np.maximum(elements, LEAST))))
    return np.where(np.asarray(elements) > 0, rounded, 0).astype(np.int64)


def expected_bytes(n: int, nlist: int, code_size: int) -> int:
    """Bytes of n rows in so many cells of unequal size, whose sizes are taken to be spread as a log-normal law spreads them.

    >>> expected_bytes(1024, 1, 16), expected_bytes(10_000, 100, 8) > 80_000
    (16384, True)
    """
    if nlist <= 1:
        return int(table_bytes(np.array([n]), code_size)[0])
    spread = sqrt(log1p(UNEQUAL**2))
    normal = NormalDist()
    shares = np.exp([spread * normal.inv_cdf((each + 0.5) / QUANTILES) for each in range(QUANTILES)])
    rows = shares / shares.mean() * n / nlist
    return round(float(table_bytes(rows, code_size).mean()) * nlist)
