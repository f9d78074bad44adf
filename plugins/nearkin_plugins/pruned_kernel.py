"""The compiled reading of pruned codes; importing this needs numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def _compiled(function: Callable[..., None]) -> Any:
    """Kept on disk where there is a place for it."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


@_compiled
def unpack(codes: np.ndarray, scales: np.ndarray, bitmap: int, values: int, rows: np.ndarray) -> None:
    """Write (n, dim) rows from codes whose bitmap and values begin at these bytes.

    There is no branch on a bit, which a processor could not foresee: a column that was dropped reads the next value and takes it
    0 times.
    """
    n, dim = rows.shape
    last = codes.shape[1] - 1
    for row in range(n):
        place = values
        for column in range(dim):
            kept = (codes[row, bitmap + (column >> 3)] >> (7 - (column & 7))) & 1
            value = np.int8(codes[row, min(place, last)])
            rows[row, column] = scales[row] * np.float32(value * kept)
            place += kept
