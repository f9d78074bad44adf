"""Who had to do with what: events of users and items, with a weight and perhaps a time.

>>> bought = Interactions(["ann", "ann", "bob"], ["tea", "milk", "tea"], weights=[1, 2, 1])
>>> len(bought.users), len(bought.items), bought.matrix().toarray().tolist()
(2, 2, [[1.0, 2.0], [1.0, 0.0]])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.errors import ParameterError, VectorError
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
        n numbers, such as ratings or counts; left out, 1 each. Below 0 for what a user turned down.
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

    Raises
    ------
    ParameterError
        Ids of several kinds, or not one of each for every event.
    VectorError
        Weights or times that are not finite numbers.
    """

    def __init__(self, users: Iterable[Any], items: Iterable[Any], *, weights: Any = None, times: Any = None) -> None:
        whose, what = read_ids(users), read_ids(items)
        if len(whose) != len(what):
            raise ParameterError(
                f"there are {len(whose):,} users and {len(what):,} items, one of each an event expected"
            )
        self.users, self.user_codes = _codes(whose)
        self.items, self.item_codes = _codes(what)
        self.weights = np.ones(len(whose)) if weights is None else _numbers(weights, len(whose), "weights")
        self.times = None if times is None else _numbers(_seconds(times), len(whose), "times")

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
        return some

    def decayed(self, half_life: float, *, now: float | None = None) -> Interactions:
        """The same events, each weight halved for every `half_life` seconds that passed until `now`.

        Parameters
        ----------
        half_life
            Seconds, above 0.
        now
            Seconds, by the clock of `times`; left out, the time of the last event. Later events keep their weight.

        Raises
        ------
        ParameterError
            There are no times, or the half-life is not above 0.

        Examples
        --------
        >>> Interactions(["a", "a"], [1, 2], times=[0, 10]).decayed(5).weights.tolist()
        [0.25, 1.0]
        """
        if self.times is None:
            raise ParameterError("the interactions have no times to decay by", hint="pass times=")
        if isinstance(half_life, bool) or not 0 < half_life < inf:
            raise ParameterError(f"half_life is {half_life!r}, a number of seconds above 0 expected")
        aged = self.select(np.arange(len(self)))
        if len(self):
            last = float(self.times.max()) if now is None else float(now)
            aged.weights = self.weights * 0.5 ** (np.maximum(0.0, last - self.times) / half_life)
        return aged


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
