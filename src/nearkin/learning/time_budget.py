"""How many training rows a method can be fitted on in a given time, found by fitting it on a few."""

from __future__ import annotations

from collections.abc import Callable
from math import log2

FIRST = 250
"""Rows of the first attempt."""

SURE = 4.0
"""A time predicted to be so many times shorter than allowed is believed at once."""


def affordable_rows(seconds_for: Callable[[int], float], rows: int, seconds: float) -> int:
    """The most rows, up to all, whose time is predicted to be within the allowance.

    Attempts are made with twice the rows each time, and the time is taken to go on growing as it grew from the last one to this.

    Parameters
    ----------
    seconds_for
        Fits on so many rows, and says how long that took.
    seconds
        Allowed.

    Examples
    --------
    >>> affordable_rows(lambda rows: rows**2 * 1e-6, 8000, 4.0), affordable_rows(lambda rows: rows * 1e-6, 8000, 4.0)
    (2000, 8000)
    """
    size, last, growth = FIRST, 0.0, 2.0
    while size < rows:
        took = max(seconds_for(size), 1e-9)
        if last > 1e-3:
            growth = min(3.0, max(1.0, log2(took / last)))
        if took * (rows / size) ** growth * SURE <= seconds:
            return rows
        if took * 2**growth > seconds:
            return int(min(rows, size * max(1.0, (seconds / took) ** (1 / growth))))
        last, size = took, 2 * size
    return rows
