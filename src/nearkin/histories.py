"""Histories as users give them: item ids, or item id to weight, for each of several users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.errors import ParameterError, VectorError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

History = Mapping[Any, float] | Iterable[Any]
"""Item ids, or item id to weight (below 0 for what is disliked)."""

LARGEST_WEIGHT = 1e30
"""Of a history: sums of larger ones are no float32 numbers."""


def asked_ids(ids: Any, what: str) -> list[Any]:
    """One id or several, as a list.

    >>> asked_ids("ann", "users"), asked_ids([1, 2], "users")
    (['ann'], [1, 2])

    Raises
    ------
    ParameterError
        Something is neither a whole number nor text.
    """
    if _is_id(ids):
        return [ids]
    if not isinstance(ids, Iterable) or isinstance(ids, bytes):
        raise ParameterError(f"{what} is {ids!r}, an id (a whole number or text) or several expected")
    found = list(ids)
    wrong = next((row for row, each in enumerate(found) if not _is_id(each)), None)
    if wrong is not None:
        raise ParameterError(f"{what}: place {wrong} holds {found[wrong]!r}, a whole number or text expected")
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int | np.integer) and not isinstance(value, bool)


def read_histories(histories: Any, where: Mapping[Any, int]) -> csr_array:
    """(m, items) float64 weights of m histories, those of the same item added up; unknown items are passed over.

    Parameters
    ----------
    where
        Item id to column.

    Examples
    --------
    >>> read_histories([["tea", "tea"], {"milk": -1.0}], {"milk": 0, "tea": 1}).toarray().tolist()
    [[0.0, 2.0], [-1.0, 0.0]]

    Raises
    ------
    ParameterError
        Something is no history, no id or no number.
    VectorError
        A weight is not finite, or beyond 1e30.
    """
    from scipy.sparse import csr_array

    if isinstance(histories, str | bytes | Mapping) or not isinstance(histories, Iterable):
        raise ParameterError(
            f"histories is {histories!r}, one history a user expected", hint="recommend_for([[...]]) is for one user"
        )
    indptr, columns, weights = [0], [], []
    for row, history in enumerate(histories):
        given = _weights_of(row, history, where)
        columns += list(given)
        weights += list(given.values())
        indptr.append(len(columns))
    shape = (len(indptr) - 1, len(where))
    return csr_array((np.array(weights, dtype=np.float64), np.array(columns, dtype=np.int64), indptr), shape=shape)


def _weights_of(row: int, history: Any, where: Mapping[Any, int]) -> dict[int, float]:
    """Column to weight."""
    if isinstance(history, str | bytes) or not isinstance(history, Iterable):
        raise ParameterError(
            f"history {row} is {history!r}, item ids or item id to weight expected",
            hint=f"[[{history!r}]] is one user who had to do with one item",
        )
    pairs = history.items() if isinstance(history, Mapping) else ((each, 1.0) for each in history)
    found: dict[int, float] = {}
    for each, weight in pairs:
        if not _is_id(each):
            raise ParameterError(f"history {row} holds {each!r}, an item id (a whole number or text) expected")
        size = _number(row, each, weight)
        if each in where:
            found[where[each]] = found.get(where[each], 0.0) + size
    return found


def _number(row: int, item: Any, weight: Any) -> float:
    if not isinstance(weight, int | float | np.number | np.bool_) or isinstance(weight, np.complexfloating):
        raise ParameterError(f"history {row}: the weight of {item!r} is {weight!r}, a number expected")
    size = float(weight)
    if not isfinite(size):
        raise VectorError(f"the weights of a history are not all finite numbers: {item!r} has {size} in history {row}")
    if abs(size) > LARGEST_WEIGHT:
        raise VectorError(f"history {row}: the weight of {item!r} is {size:g}, at most {LARGEST_WEIGHT:g} can be used")
    return size
