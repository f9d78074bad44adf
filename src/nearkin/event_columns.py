"""Events out of the columns of a table: which of them name user, item, weight and time, and what their cells say.

>>> found = find_columns("it", ["userId", "movieId", "rating"], {"rating": ["4.5"]})
>>> found.user, found.item, found.weight, found.time
('userId', 'movieId', 'rating', None)
"""

from __future__ import annotations

import difflib
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any, Literal, NamedTuple

import numpy as np

from nearkin.errors import FilterError, InputError, ParameterError, UnknownNameError
from nearkin.filters.instants import read_instant
from nearkin.items import is_missing

OnBad = Literal["fail", "skip"]
ROLES = ("user", "item", "weight", "time")
LARGEST = 1e30
"""Weights beyond are taken for mistakes; their sums and products would leave the range of float32."""

_KNOWN = {
    "user": "user userid uid username who customer customerid client clientid member memberid visitor visitorid account "
    "accountid buyer person reviewer reviewerid session sessionid basket basketid order orderid invoice invoiceno "
    "transaction transactionid",
    "item": "item itemid iid movie movieid product productid sku asin isbn book bookid song songid track trackid artist "
    "artistid article articleid stockcode business businessid recipe recipeid anime animeid what",
    "weight": "weight rating score stars overall bookrating count counts quantity qty plays playcount value strength "
    "preference events",
    "time": "time timestamp datetime date when ts eventtime unixreviewtime reviewtime createdat invoicedate day",
}
"""Names of columns without capitals and what is no letter, the most telling first."""

_SHORT = {2: ("user", "item"), 3: ("user", "item", "weight"), 4: ROLES}
_NUMBERED = re.compile(r"column[0-9]+")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_FINER = ((1e17, 1e9, "nanoseconds"), (1e14, 1e6, "microseconds"), (1e11, 1e3, "milliseconds"))
"""Numbers from which on a time is in a finer unit than seconds, which would be after the year 5138."""

_DATES = (19000101, 22001231)
"""Numbers such as 20260131, of which seconds would all be of a few weeks of 1970."""


@dataclass(frozen=True)
class EventColumns:
    """Which column is what.

    Attributes
    ----------
    guessed
        Roles whose column nobody named.
    passed_over
        Columns whose names tell of numbers or times, and whose values are none.
    """

    user: str
    item: str
    weight: str | None = None
    time: str | None = None
    guessed: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The guesses in words; empty if there are none."""
        parts = [f"{getattr(self, role)!r} is the {role}" for role in ROLES if role in self.guessed]
        said = [f"column {', '.join(parts)}"] if parts else []
        said += [f"column {name!r} is left out, whose values are no numbers" for name in self.passed_over]
        return "; ".join(said)

    @property
    def used(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(name for role in ROLES if (name := getattr(self, role)) is not None)


class Events(NamedTuple):
    """What was read of a table: ids once each, codes, weights and times of the events, and what there is to tell."""

    users: list[Any]
    user_codes: np.ndarray
    items: list[Any]
    item_codes: np.ndarray
    weights: np.ndarray | None
    times: np.ndarray | None
    notes: tuple[str, ...]


def need_column(what: str, name: str, names: Sequence[str]) -> None:
    """Raise UnknownNameError if a column is not there, with those that are."""
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        raise UnknownNameError(f"{what} has no column {name!r}{meant}; it has {listed_columns(names)}")


def listed_columns(names: Sequence[str]) -> str:
    """Names of columns for an error.

    >>> listed_columns(["a", "b"])
    "'a', 'b'"
    >>> listed_columns([f"column{at}" for at in range(1, 22)])
    "'column1' to 'column21'"
    """
    if len(names) > 2 and [f"column{at}" for at in range(1, len(names) + 1)] == list(names):
        return f"{names[0]!r} to {names[-1]!r}"
    more = f", ... ({len(names)} in all)" if len(names) > 12 else ""
    return ", ".join(map(repr, names[:12])) + more


def find_columns(
    what: str, names: Sequence[str], sample: Mapping[str, Sequence[Any]], **asked: str | None
) -> EventColumns:
    """The columns that are asked for, and for the other roles those with a well-known name.

    Of a table without names (column1, column2, ...) the first four are user, item, weight and time.

    Parameters
    ----------
    what
        Name of the table, for errors.
    sample
        First values of columns, so that one that is guessed for weight or time can be seen to hold none.
    **asked
        ``user``, ``item``, ``weight``, ``time``: names of columns; None to guess.

    Raises
    ------
    UnknownNameError
        There is no such column.
    ParameterError
        None can be guessed for user or item, or one is named for two.
    """
    given = {role: name for role in ROLES if (name := asked.get(role)) is not None}
    for name in given.values():
        need_column(what, name, names)
    if len(set(given.values())) < len(given):
        raise ParameterError(f"one column of {what} is named for two of {', '.join(given)}")
    free = [name for name in names if name not in given.values()]
    unnamed = not given and all(_NUMBERED.fullmatch(name) for name in names)
    guesses = _by_place([name for name in free if not _is_empty(sample.get(name, ()))]) if unnamed else _by_name(free)
    found = {**{role: name for role, name in guesses.items() if role not in given}, **given}
    useless = [
        role for role in ("weight", "time") if role in found and role not in given and not _reads(role, sample, found)
    ]
    passed = tuple(found.pop(role) for role in useless)
    for role in ("user", "item"):
        if role not in found:
            raise ParameterError(
                f"none of the columns of {what} has a name that tells the {role}; it has {listed_columns(names)}",
                hint=f"name it: {role}=... (--{role}-column)"
                + ("; if the file has no header, --format csv:header=false" if _all_text(sample) else ""),
            )
    return EventColumns(**found, guessed=tuple(role for role in found if role not in given), passed_over=passed)


def _by_name(names: Sequence[str]) -> dict[str, str]:
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name in reversed(names)}
    found = {}
    for role, known in _KNOWN.items():
        name = next((plain[each] for each in known.split() if each in plain), None)
        if name is not None:
            found[role] = name
    return found


def _by_place(names: Sequence[str]) -> dict[str, str]:
    return dict(zip(_SHORT.get(len(names), ()), names, strict=False))


def _is_empty(values: Sequence[Any]) -> bool:
    return bool(len(values)) and all(map(_missing, values))


def _reads(role: str, sample: Mapping[str, Sequence[Any]], found: Mapping[str, str]) -> bool:
    """Whether one of the first values of a column is a number, or a time."""
    for value in sample.get(found[role], ()):
        try:
            (read_weight if role == "weight" else read_time)(value)
        except ValueError:
            continue
        return True
    return False


def _all_text(sample: Mapping[str, Sequence[Any]]) -> bool:
    return all(value is None or isinstance(value, str) for values in sample.values() for value in values)


def _missing(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, str) and value.strip().lower() in _MISSING)


# ---- cells -----------------------------------------------------------------------------------------------------------


def read_weight(value: Any) -> float:
    """A number from a cell.

    >>> read_weight(" 4.5"), read_weight(True)
    (4.5, 1.0)

    A ValueError says so where it is none, or beyond 1e30.
    """
    try:
        number = float(value)
        if -LARGEST <= number <= LARGEST and not (isinstance(value, str) and "_" in value):
            return number
    except (TypeError, ValueError):
        number = None
    if _missing(value):
        raise ValueError("is missing")
    if number is None or (isfinite(number) and abs(number) <= LARGEST):
        raise ValueError(f"{_short(value)} is not a number")
    raise ValueError(f"{_short(value)} is no number between -1e30 and 1e30")


def read_time(value: Any) -> float:
    """Seconds since 1970 from a cell: a number, an ISO date or time, a datetime.

    >>> read_time("881250949"), read_time("1970-01-02"), read_time("1970-01-01T01:00+01:00")
    (881250949.0, 86400.0, 0.0)

    A ValueError says so where it is none of those.
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    if isinstance(value, np.datetime64):
        return float(value.astype("datetime64[us]").astype(np.int64)) / 1e6
    try:
        return read_weight(value)
    except ValueError:
        if _missing(value):
            raise
    try:
        instant = read_instant(str(value).strip())
    except FilterError:
        raise ValueError(f"{_short(value)} is neither a number of seconds nor an ISO date") from None
    whole, _, fraction = instant.partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction}")


def read_id(value: Any) -> int | str:
    """A whole number or a text from a cell; a whole number that was made a float by a gap in its column is one still.

    A ValueError says so where it is missing, or something else.
    """
    if is_missing(value):
        raise ValueError("is missing")
    if isinstance(value, str):
        text = value.strip()
        if not text:
            raise ValueError("is missing")
        if "\0" in text:
            raise ValueError("has a NUL character")
        return text
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise ValueError(f"{_short(value)} is a {type(value).__name__}, a whole number or a text expected")
    if int(value) == -1 or not -(1 << 63) <= int(value) < 1 << 63:
        raise ValueError(f"{value} cannot be used, 64-bit whole numbers other than -1 expected")
    return int(value)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


# ---- rows ------------------------------------------------------------------------------------------------------------


@dataclass
class EventReader:
    """Gathers events block by block; of each id one copy is kept, and of each event 8 bytes a column.

    Attributes
    ----------
    what
        Name of the table, for errors.
    untyped
        Whether all cells are text, so that ids which are all whole numbers are meant as those.
    """

    what: str
    columns: EventColumns
    on_bad: OnBad = "fail"
    untyped: bool = False
    rows: int = 0
    skipped: int = 0
    first_problem: str = ""
    _users: dict[Any, int] = field(default_factory=dict)
    _items: dict[Any, int] = field(default_factory=dict)
    _user_codes: array[int] = field(default_factory=lambda: array("q"))
    _item_codes: array[int] = field(default_factory=lambda: array("q"))
    _weights: array[float] = field(default_factory=lambda: array("d"))
    _times: array[float] = field(default_factory=lambda: array("d"))
    _bare_times: bool = False
    """Whether a time is a number, so that its unit has to be guessed."""

    def __post_init__(self) -> None:
        if self.on_bad not in ("fail", "skip"):
            raise ParameterError(f"on_bad is {self.on_bad!r}, 'fail' or 'skip' expected")

    def take(self, block: Mapping[str, Sequence[Any]]) -> None:
        """Read the rows of a block: a list of values for each column that is used.

        Raises
        ------
        InputError
            A row cannot be read, and such rows are not to be passed over.
        """
        columns = self.columns
        users, items = block[columns.user], block[columns.item]
        weights: Sequence[Any] = [1.0] * len(users) if columns.weight is None else block[columns.weight]
        times = [0.0] * len(users) if columns.time is None else block[columns.time]
        for row in zip(users, items, weights, times, strict=True):
            self._take(*row)
            self.rows += 1

    def _take(self, user: Any, item: Any, weight: Any, time: Any) -> None:
        role = "user"
        try:
            who = user if type(user) is str and user in self._users else read_id(user)
            role = "item"
            what = item if type(item) is str and item in self._items else read_id(item)
            role = "weight"
            much = read_weight(weight)
            role = "time"
            when = read_time(time)
        except ValueError as error:
            self._bad(f"{role} {error} in column {getattr(self.columns, role)!r}", error)
            return
        self._user_codes.append(self._users.setdefault(who, len(self._users)))
        self._item_codes.append(self._items.setdefault(what, len(self._items)))
        self._weights.append(much)
        self._times.append(when)
        self._bare_times = self._bare_times or (self.columns.time is not None and _is_number(time))

    def _bad(self, problem: str, error: ValueError) -> None:
        problem = f"row {self.rows:,} of {self.what}: the {problem}"
        if self.on_bad == "fail":
            raise InputError(
                problem, hint='correct it, or leave such rows out: on_bad="skip" (--on-bad skip)'
            ) from error
        self.skipped += 1
        self.first_problem = self.first_problem or problem

    def events(self) -> Events:
        """All that was read.

        Raises
        ------
        InputError
            Nothing was, or ids are of several kinds.
        """
        if not self._user_codes:
            why = (
                f"none of its {self.rows:,} rows can be used ({self.first_problem})" if self.rows else "it has no rows"
            )
            raise InputError(f"there are no events in {self.what}: {why}")
        told = [self.columns.told] if self.columns.told else []
        if self.skipped:
            told.append(f"{self.skipped:,} of {self.rows:,} rows were left out ({self.first_problem})")
        times, unit = self._seconds()
        if times is not None:
            first, last = np.floor([times.min(), times.max()]).astype("datetime64[s]").astype("datetime64[D]")
            told.append(f"times are {f'taken for {unit}, ' if unit else ''}from {first} to {last}")
        weights = None if self.columns.weight is None else np.array(self._weights)
        users, items = self._ids(self._users, "user"), self._ids(self._items, "item")
        codes = np.array(self._user_codes, dtype=np.int64), np.array(self._item_codes, dtype=np.int64)
        return Events(users, codes[0], items, codes[1], weights, times, tuple(told))

    def _ids(self, found: Mapping[Any, int], role: str) -> list[Any]:
        ids = list(found)
        texts = [each for each in ids if isinstance(each, str)]
        if texts and len(texts) < len(ids):
            number = next(each for each in ids if not isinstance(each, str))
            raise InputError(
                f"the {role}s of {self.what} are both whole numbers such as {number} and texts such as {texts[0]!r}",
                hint="turn all into text",
            )
        if self.untyped and all(_WHOLE.fullmatch(each) for each in ids):
            numbers = list(map(int, ids))
            return numbers if all(-(1 << 63) <= each < 1 << 63 and each != -1 for each in numbers) else ids
        return ids

    def _seconds(self) -> tuple[np.ndarray | None, str]:
        """Times in seconds, and what the numbers among them are taken for."""
        if self.columns.time is None:
            return None, ""
        times = np.array(self._times)
        if not self._bare_times:
            return times, ""
        days = _days(times)
        if days is not None:
            return days, "dates such as 20260131"
        middle = float(np.median(np.abs(times)))
        for least, divisor, unit in _FINER:
            if middle >= least:
                return times / divisor, unit
        return times, "seconds"


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _days(numbers: np.ndarray) -> np.ndarray | None:
    """Seconds of numbers that are all dates written yyyymmdd; None of others."""
    if numbers.min() < _DATES[0] or numbers.max() > _DATES[1] or (numbers % 1).any():
        return None
    whole = numbers.astype(np.int64)
    years, months, days = whole // 10_000, whole // 100 % 100, whole % 100
    if months.min() < 1 or months.max() > 12 or days.min() < 1:
        return None
    month = (12 * (years - 1970) + months - 1).astype("datetime64[M]")
    day = month.astype("datetime64[D]") + (days - 1)
    if (day.astype("datetime64[M]") != month).any():
        return None
    return day.astype("datetime64[s]").astype(np.float64)


def read_table(table: Any, on_bad: OnBad = "fail", **asked: str | None) -> Events:
    """Events of a table in memory: a DataFrame, an Arrow table, lists by name of the column, or a list of dicts.

    Raises
    ------
    InputError
        It is none of those, or a row cannot be read.
    ParameterError
        As for `find_columns`.
    """
    columns = _columns_of(table)
    names = list(columns)
    found = find_columns("the table", names, {name: list(values[:1000]) for name, values in columns.items()}, **asked)
    reader = EventReader("the table", found, on_bad)
    taken = {name: _plain(columns[name]) for name in found.used}
    if len({len(values) for values in taken.values()}) > 1:
        raise InputError(f"the columns of the table have {sorted({len(each) for each in taken.values()})} values")
    reader.take(taken)
    return reader.events()


def _columns_of(table: Any) -> dict[str, Any]:
    if isinstance(table, Mapping):
        return {str(name): values for name, values in table.items()}
    if hasattr(table, "column_names") and hasattr(table, "to_pylist"):
        return {name: table.column(name).to_pylist() for name in table.column_names}
    if hasattr(table, "columns") and hasattr(table, "iloc"):
        return {str(name): table.iloc[:, at] for at, name in enumerate(table.columns)}
    if isinstance(table, Sequence) and table and all(isinstance(each, Mapping) for each in table):
        names = dict.fromkeys(str(name) for each in table for name in each)
        return {name: [each.get(name) for each in table] for name in names}
    raise InputError(
        f"the table is a {type(table).__name__}, a DataFrame, an Arrow table, lists by name or a list of dicts expected"
    )


def _plain(values: Any) -> list[Any]:
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        values = values.astype("datetime64[us]")  # of nanoseconds, tolist makes bare numbers
    return list(values.tolist()) if hasattr(values, "tolist") else list(values)
