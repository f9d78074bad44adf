"""Who had to do with what: events of users and items, with a weight and perhaps a time.

>>> bought = Interactions(["ann", "ann", "bob"], ["tea", "milk", "tea"], weights=[1, 2, 1])
>>> len(bought.users), len(bought.items), bought.matrix().toarray().tolist()
(2, 2, [[1.0, 2.0], [1.0, 0.0]])
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.errors import ParameterError, VectorError
from nearkin.event_columns import LARGEST, Events, OnBad, read_table
from nearkin.ids import read_ids

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Interactions:
    """Events, one a row: a user, an item, a weight, perhaps a time.

    Parameters
    ----------
    users, items
        n ids each, whole numbers or strings; an event that comes again counts again.
    weights
        n numbers between -1e30 and 1e30, such as ratings or counts; left out, 1 each. Below 0 for what a user turned down.
    times
        n numbers of seconds, or numpy datetimes; left out where they are not known.

    Attributes
    ----------
    users, items : ndarray
        Each id once, in the order of its first event; int64, or objects of str.
    user_codes, item_codes : ndarray
        (n,) int64 positions in those tables.
    weights : ndarray
        (n,) float64.
    times : ndarray or None
        (n,) float64 seconds.
    notes : tuple of str
        What there is to tell of the table that they were read from: columns that were guessed, rows that were left out.

    Raises
    ------
    ParameterError
        Ids of several kinds, or not one of each for every event.
    VectorError
        Weights or times that are not finite numbers, or weights beyond 1e30.
    """

    def __init__(self, users: Iterable[Any], items: Iterable[Any], *, weights: Any = None, times: Any = None) -> None:
        whose, what = read_ids(users), read_ids(items)
        if len(whose) != len(what):
            raise ParameterError(
                f"there are {len(whose):,} users and {len(what):,} items, one of each an event expected"
            )
        self.users, self.user_codes = _codes(whose)
        self.items, self.item_codes = _codes(what)
        self.weights = np.ones(len(whose)) if weights is None else _weights(weights, len(whose))
        self.times = None if times is None else _numbers(_seconds(times), len(whose), "times")
        self.notes: tuple[str, ...] = ()

    @classmethod
    def from_table(
        cls,
        table: Any,
        *,
        user: str | None = None,
        item: str | None = None,
        weight: str | None = None,
        time: str | None = None,
        on_bad: OnBad = "fail",
    ) -> Interactions:
        """Events of a table in memory; `nearkin.read_interactions` reads files.

        Parameters
        ----------
        table
            A DataFrame, an Arrow table, lists by name of the column, or a list of dicts.
        user, item, weight, time
            Names of the columns; those left out are guessed by well-known names, such as userId, movieId, rating and timestamp,
            and `notes` says which were taken.
        on_bad
            ``"skip"`` leaves out rows that lack an id, a number or a time, and `notes` counts them; ``"fail"`` refuses them.

        Raises
        ------
        ParameterError
            There is no such column, or none whose name tells the user or the item.
        InputError
            A row cannot be read; there is none; ids are of several kinds.

        Examples
        --------
        >>> bought = Interactions.from_table({"customer": ["ann", "bob"], "sku": [7, 8], "when": ["2026-01-31", "2026-02-01"]})
        >>> bought.items.tolist(), (bought.times[1] - bought.times[0]).item()
        ([7, 8], 86400.0)
        >>> print(*bought.notes, sep=", ")
        column 'customer' is the user, 'sku' is the item, 'when' is the time, times are from 2026-01-31 to 2026-02-01
        """
        return cls.of_events(read_table(table, on_bad, user=user, item=item, weight=weight, time=time))

    @classmethod
    def of_events(cls, read: Events) -> Interactions:
        """What a reader of tables has gathered."""
        made: Interactions = object.__new__(cls)
        made.users, made.items = id_array(read.users), id_array(read.items)
        made.user_codes, made.item_codes = read.user_codes, read.item_codes
        made.weights = np.ones(len(read.user_codes)) if read.weights is None else read.weights
        made.times, made.notes = read.times, read.notes
        return made

    def __len__(self) -> int:
        return len(self.user_codes)

    def __repr__(self) -> str:
        return f"Interactions({len(self):,} events of {len(self.users):,} users with {len(self.items):,} items)"

    def matrix(self) -> csr_array:
        """(users, items) float64, compressed by rows and sorted: the sum of the weights of each pair."""
        return self._matrix.copy()

    @cached_property
    def _matrix(self) -> csr_array:
        from scipy.sparse import coo_array

        shape = len(self.users), len(self.items)
        matrix = coo_array((self.weights, (self.user_codes, self.item_codes)), shape=shape).tocsr()
        matrix.sum_duplicates()
        return matrix

    def select(self, events: np.ndarray) -> Interactions:
        """Some of the events (positions, or a mask), with the same users and items, so that codes stay the same."""
        some: Interactions = object.__new__(Interactions)
        some.users, some.items = self.users, self.items
        some.user_codes, some.item_codes = self.user_codes[events], self.item_codes[events]
        some.weights = self.weights[events]
        some.times = None if self.times is None else self.times[events]
        some.notes = self.notes
        return some

    def at_least(self, weight: float) -> Interactions:
        """The same events, those of a smaller weight with weight 0: seen, so that it is not recommended again, and not liked.

        Raises
        ------
        ParameterError
            `weight` is no finite number, or above that of all events.

        Examples
        --------
        >>> Interactions(["a", "a"], [1, 2], weights=[2, 5]).at_least(4).weights.tolist()
        [0.0, 5.0]
        """
        least = _finite("weight", weight)
        if len(self) and self.weights.max() < least:
            raise ParameterError(
                f"no event has a weight of at least {least:g}, the largest is {self.weights.max():g}",
                hint="ask for less, so that something is liked",
            )
        kept = self.select(np.arange(len(self)))
        kept.weights = np.where(self.weights >= least, self.weights, 0.0)
        return kept

    def decayed(self, half_life: float | str, *, now: float | None = None) -> Interactions:
        """The same events, each weight halved for every `half_life` seconds that passed until `now`.

        Parameters
        ----------
        half_life
            Seconds, above 0; or text with a unit: ``"12h"``, ``"30d"`` (s, min, h, d, w, y).
        now
            Seconds, by the clock of `times`; left out, the time of the last event. Later events keep their weight.

        Raises
        ------
        ParameterError
            There are no times, the half-life is not above 0, or `now` is no finite number.

        Examples
        --------
        >>> Interactions(["a", "a"], [1, 2], times=[0, 10]).decayed(5).weights.tolist()
        [0.25, 1.0]
        """
        if self.times is None:
            raise ParameterError("the interactions have no times to decay by", hint="pass times=")
        half_life = read_half_life(half_life)
        at = None if now is None else _finite("now", now)
        aged = self.select(np.arange(len(self)))
        if len(self):
            last = float(self.times.max()) if at is None else at
            aged.weights = self.weights * 0.5 ** (np.maximum(0.0, last - self.times) / half_life)
        return aged


_SECONDS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_557_600.0}
_HALF_LIFE = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]*)\s*")


def read_half_life(given: float | str) -> float:
    """Seconds from a number of seconds, or from text with a unit; a year is 365.25 days.

    >>> read_half_life("30d"), read_half_life("12h"), read_half_life(60)
    (2592000.0, 43200.0, 60.0)

    Raises
    ------
    ParameterError
        It is neither, or not above 0.
    """
    found = _HALF_LIFE.fullmatch(given.lower()) if isinstance(given, str) else None
    if found is not None and found[2] in _SECONDS:
        value = float(found[1]) * _SECONDS[found[2]]
    elif isinstance(given, int | float | np.number) and not isinstance(given, bool):
        value = float(given)
    else:
        value = 0.0
    if not 0 < value < inf:
        raise ParameterError(
            f"half_life is {given!r}, a number of seconds above 0 or text such as '30d' expected",
            hint=f"units are {', '.join(filter(None, _SECONDS))}",
        )
    return value


def _codes(ids: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Each id once, and the position of every event's."""
    where: dict[Any, int] = {}
    codes = np.fromiter((where.setdefault(each, len(where)) for each in ids), dtype=np.int64, count=len(ids))
    return id_array(list(where)), codes


def id_array(ids: Sequence[Any]) -> np.ndarray:
    """Ids that `read_ids` gave as int64, or as objects of str.

    >>> id_array(["a", "b"]).dtype, id_array([1, 2]).dtype
    (dtype('O'), dtype('int64'))
    """
    return np.array(ids, dtype=object if len(ids) and isinstance(ids[0], str) else np.int64)


def _seconds(times: Any) -> Any:
    array = np.asarray(times)
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            raise VectorError(f"times: event {int(np.flatnonzero(np.isnat(array))[0])} has no time")
        return array.astype("datetime64[us]").astype(np.int64) / 1e6
    return array


def _finite(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not isfinite(value):
        raise ParameterError(f"{what} is {value!r}, a finite number expected")
    return float(value)


def _weights(values: Any, count: int) -> np.ndarray:
    weights = _numbers(values, count, "weights")
    wrong = np.flatnonzero(np.abs(weights) > LARGEST)
    if len(wrong):
        raise VectorError(
            f"weights: event {int(wrong[0])} has {weights[wrong[0]]:g}, numbers between -1e30 and 1e30 expected"
        )
    return weights


def _numbers(values: Any, count: int, what: str) -> np.ndarray:
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise VectorError(f"{what} are not numbers: {error}") from error
    if numbers.shape != (count,):
        raise ParameterError(f"{what} have shape {numbers.shape}, one for each of {count:,} events expected")
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise VectorError(f"{what}: event {int(wrong[0])} has {numbers[wrong[0]]}, finite numbers expected")
    return numbers
