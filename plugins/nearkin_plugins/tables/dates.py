"""Dates as days on a line, as turns of a circle, and back to text.

>>> noon = np.array(["1970-07-02T12:00"], dtype="datetime64[us]")
>>> day_numbers(noon).tolist(), turns(noon, "day").tolist(), turns(noon, "week").tolist()
([182.5], [0.5], [0.42857142857142855])
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

PARTS: Mapping[str, int] = {"time": 1, "year": 2, "week": 2, "day": 2}
"""Part of a date to its columns: days on a line; the times of the year, the week and the day on circles."""

_DAY = 86_400_000_000
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FIRST, _LAST = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59", "us")


def day_numbers(moments: np.ndarray) -> np.ndarray:
    """(n,) float64 days since 1970, with their fractions; NaN where there is no date."""
    micros = moments.astype("datetime64[us]").astype(np.int64)
    return np.where(np.isnat(moments), np.nan, micros / _DAY)


def turns(moments: np.ndarray, part: str) -> np.ndarray:
    """(n,) float64 from 0 to 1: how far the year (in twelve equal months), the week from Monday, or the day has gone.

    The week goes in whole days. Any value where there is no date.
    """
    plain = np.where(np.isnat(moments), np.datetime64(0, "us"), moments)
    days = plain.astype("datetime64[D]")
    if part == "day":
        return np.asarray((plain - days).astype(np.int64) / _DAY)
    if part == "week":
        return np.asarray((days.astype(np.int64) + 3) % 7 / 7)
    months = plain.astype("datetime64[M]")
    start, end = months.astype("datetime64[us]"), (months + 1).astype("datetime64[us]")
    within = (plain - start).astype(np.int64) / (end - start).astype(np.int64)
    return np.asarray((months.astype(np.int64) % 12 + within) / 12)


def date_texts(days: np.ndarray, *, hours: bool) -> list[str]:
    """ISO texts of days since 1970: with hours and minutes, or the nearest date."""
    unit = "m" if hours else "D"
    steps = np.round(days * (1440 if hours else 1))
    limits = (
        _FIRST.astype(f"datetime64[{unit}]").astype(np.int64),
        _LAST.astype(f"datetime64[{unit}]").astype(np.int64),
    )
    return [str(each) for each in np.clip(steps, *limits).astype(np.int64).astype(f"datetime64[{unit}]")]


def wall_texts(parts: Mapping[str, np.ndarray]) -> list[str]:
    """What places on circles say where there is no line: month and day, weekday, time of day; those without a direction are left
    out."""
    count = len(next(iter(parts.values())))
    found: list[list[str]] = [[] for _ in range(count)]
    for part, places in parts.items():
        share = np.arctan2(places[:, 1], places[:, 0]) / (2 * np.pi) % 1.0
        clear = np.hypot(places[:, 0], places[:, 1]) > 1e-3
        for row in np.flatnonzero(clear).tolist():
            found[row].append(_turn_text(part, float(share[row])))
    return [" ".join(each) for each in found]


def _turn_text(part: str, share: float) -> str:
    if part == "week":
        return _WEEKDAYS[round(share * 7) % 7]
    if part == "day":
        minutes = round(share * 1440) % 1440
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    month, within = divmod(share * 12 + 1e-4, 1.0)
    return f"{int(month) % 12 + 1:02d}-{int(within * 30.4) + 1:02d}"
