"""How many training rows a method can be fitted on in a given time, found by fitting it on a few."""

from __future__ import annotations

from collections.abc import Callable
from math import log2

FIRST = 250
"""Rows of the first attempt; the others have twice as many as the one before."""

SURE = 2.0
"""A time predicted to be so many times shorter than allowed is believed at once."""


def affordable_rows(seconds_for: Callable[[int], float], rows: int, seconds: float) -> int:
    """All rows, or the largest of 250, 500, 1000, ... whose time is within the allowance.

    The first attempt is made twice, since a method that is called for the first time loads what it needs. Then twice the rows are
    tried each time, and rows are only cut after two sizes were timed and the last was timed again: a busy machine makes a time
    longer and never shorter.

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
    >>> affordable_rows(lambda rows: 3.1, 8000, 12.0)
    8000
    """
    if rows <= FIRST:
        return rows
    seconds_for(FIRST)
    size, last = FIRST, seconds_for(FIRST)
    while 2 * size < rows:
        took = seconds_for(2 * size)
        if _predicted(last, took, 2.0) > seconds:
            took = min(took, seconds_for(2 * size))
        if took > seconds:
            return size
        size *= 2
        if SURE * _predicted(last, took, rows / size) <= seconds:
            return rows
        if _predicted(last, took, min(2.0, rows / size)) > seconds:
            return size
        last = took
    return rows


def _predicted(last: float, took: float, times: float) -> float:
    """Seconds for so many times the rows of an attempt, whose time grows on as it grew from half the rows, or as a straight line
    if that is more."""
    power = min(3.0, max(0.0, log2(max(took, 1e-9) / max(last, 1e-9))))
    return float(max(took * times**power, took + 2 * max(0.0, took - last) * (times - 1)))
