"""Values of a table as they come from files, data frames and JSON: what is missing, what is a number, a category, a date.

>>> read_numbers([1, "2.5", None, "NA"], "age", Reading()).tolist()
[1.0, 2.5, nan, nan]
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from nearkin.components import as_written
from nearkin.errors import InputError
from nearkin.items import plain_value
from nearkin_plugins.tables.names import joined_names

MISSING_TEXTS = frozenset({"", "NA", "NaN", "nan", "NULL", "null"})
"""Texts that stand for a missing value in every column; so do None, NaN, NaT and pandas' NA."""
LARGEST = 1e150
"""Numbers beyond it are refused: their squares would not be numbers."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SWITCHES = {"true": 1.0, "false": 0.0}
_QUICK = (int, float, bool, np.floating, np.integer, np.bool_, type(None))


@dataclass(frozen=True)
class Reading:
    """How values are read: further texts that mean missing, whether what cannot be read is refused or missing, and the number of
    the first item, for messages."""

    missing: frozenset[str] = frozenset()
    refuse: bool = True
    first: int = 0

    def is_missing(self, value: Any) -> bool:
        """Whether a value says that there is none."""
        if isinstance(value, str):
            text = value.strip()
            return text in MISSING_TEXTS or text in self.missing
        if value is None or type(value).__name__ in ("NAType", "NaTType"):
            return True
        try:
            return bool(value != value)
        except (TypeError, ValueError, ArithmeticError):
            return False


class _UnreadableError(Exception):
    """What a value should have been."""


class Absent:
    """Stands where a record does not name a column at all."""


def column_of(records: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Values of one column; `Absent` where a record does not name it."""
    return [record.get(name, Absent) for record in records]


def absent_in(cells: Sequence[Any]) -> np.ndarray:
    """Which records do not name the column."""
    return np.fromiter((cell is Absent for cell in cells), dtype=bool, count=len(cells))


def _read(cells: Sequence[Any], column: str, reading: Reading, read: Callable[[Any], Any], missing: Any) -> list[Any]:
    """Each value as `read` has it. Equal texts, of which a table has many, are read once."""
    texts: dict[str, Any] = {}

    def one(cell: Any) -> Any:
        if cell is Absent or reading.is_missing(cell):
            return missing
        try:
            return read(cell)
        except _UnreadableError:
            if reading.refuse:
                raise
            return missing

    def value_of(cell: Any) -> Any:
        if type(cell) is not str:
            return one(cell)
        if cell not in texts:
            texts[cell] = one(cell)
        return texts[cell]

    found: list[Any] = []
    try:
        for cell in cells:
            found.append(value_of(cell))
    except _UnreadableError as error:
        raise InputError(
            f"item {reading.first + len(found)}, column {column!r}: {_shown(cells[len(found)])} is no {error}",
            hint=_hint(cells[len(found)]),
        ) from None
    return found


def _hint(cell: Any) -> str:
    if isinstance(cell, str):
        named = as_written(joined_names([cell.strip()]))
        return f"mend it, or say that it means missing: missing={named}, or unreadable=missing for all such"
    return "mend it, or treat all such values as missing: unreadable=missing"


def _shown(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}..."


# ---- numbers ---------------------------------------------------------------------------------------------------------


def read_numbers(cells: Sequence[Any], column: str, reading: Reading) -> np.ndarray:
    """(n,) float64, NaN where missing. Numbers, booleans (1 and 0), and texts of these, with blanks around.

    Raises
    ------
    InputError
        A value is no number, or infinite, or beyond `LARGEST`; the item and the column are named.
    """
    if all(issubclass(kind, _QUICK) for kind in set(map(type, cells))):
        try:
            values = np.array(cells, dtype=np.float64)
        except OverflowError:  # whole numbers longer than a float
            values = np.array([np.inf])
        if not (np.abs(values) > LARGEST).any():
            return values.reshape(len(cells))
    return np.array(_read(cells, column, reading, number_of, np.nan), dtype=np.float64).reshape(len(cells))


def number_of(value: Any) -> float:
    """One value that is not missing."""
    expected = f"number from {-LARGEST:g} to {LARGEST:g}"
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in _SWITCHES:
            return _SWITCHES[text.lower()]
        if not _NUMBER.fullmatch(text):
            raise _UnreadableError("number")
        number = float(text)
    elif isinstance(value, Real | Decimal | np.bool_):
        try:
            number = float(value)
        except (OverflowError, ValueError):
            number = math.inf
    else:
        raise _UnreadableError("number")
    if not abs(number) <= LARGEST:
        raise _UnreadableError(expected)
    return number


# ---- categories ------------------------------------------------------------------------------------------------------


def read_categories(cells: Sequence[Any], column: str, reading: Reading) -> list[str | None]:
    """The category of each value as text; None where missing.

    Blanks around a text do not count; 4, 4.0 and "4" are one category, and so are True, "True" and "true".

    Raises
    ------
    InputError
        A value is a list, a dict or something else that is no category.
    """
    return _read(cells, column, reading, category_of, None)


def category_of(value: Any) -> str:
    """One value that is not missing."""
    if isinstance(value, str):
        text = value.strip()
        return text.lower() if text.lower() in _SWITCHES else text
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, date | np.datetime64):
        return str(plain_value(value))  # the text that metadata keeps
    if isinstance(value, Real | Decimal):
        return _number_as_text(value)
    raise _UnreadableError("text, number or date")


def _number_as_text(value: Real | Decimal) -> str:
    number = number_of(value)
    if abs(number) < 2**53 and number == int(number):
        return str(int(number))
    return str(int(value)) if isinstance(value, int | np.integer) else repr(number)


# ---- dates -----------------------------------------------------------------------------------------------------------


def read_moments(cells: Sequence[Any], column: str, reading: Reading) -> np.ndarray:
    """(n,) datetime64 in microseconds, NaT where missing: dates, datetimes, datetime64, timestamps of pandas, and ISO texts.

    What has a time zone is taken in UTC.

    Raises
    ------
    InputError
        A value is no date.
    """
    found = _read(cells, column, reading, moment_of, None)
    return np.array(found, dtype="datetime64[us]").reshape(len(cells))


def moment_of(value: Any) -> datetime:
    """One value that is not missing, without a time zone."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        elif isinstance(value, np.datetime64):
            value = value.astype("datetime64[us]").item()
        if isinstance(value, datetime):
            plain = value if value.tzinfo is None else value.astimezone(UTC)
            return datetime(
                plain.year, plain.month, plain.day, plain.hour, plain.minute, plain.second, plain.microsecond
            )
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day)
    except (ValueError, OverflowError):
        pass
    raise _UnreadableError("date such as 2024-02-29 or 2024-02-29T18:30")
