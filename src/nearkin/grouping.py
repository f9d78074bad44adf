"""The nearest groups of rows: of the rows that share a value of a field, such as the passages of a document, only the best."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import ParameterError
from nearkin.filters.names import as_field
from nearkin.indexes import Found
from nearkin.rows import Rows

DEEPER = 4
"""So many times as many rows are asked for where those before were of too few groups."""
FIRST = 3
"""Rows that are asked for at first, for every group that is wanted."""

AT_ONCE = 1 << 21
"""Rows that are found at once, of all queries together."""

Ask = Callable[[np.ndarray, int], Found]
"""Numbers of queries, and how many rows each is to get, to the nearest rows."""


class Grouped(NamedTuple):
    """The best row of each group, by query."""

    found: Found
    """(nq, k) padded."""
    exhausted: bool
    """Whether queries with fewer than k groups saw every row there is."""


class Groups:
    """Which group each row is in, by its value of a field; a row without a value is a group of its own.

    >>> from nearkin.rows import MemoryRows
    >>> rows = MemoryRows(1, "float32")
    >>> rows.commit(vectors=np.zeros((3, 1), np.float32), ids=[0, 1, 2], metadata=[{"d": "a"}, {}, {"d": "a"}])
    >>> Groups(rows, "d").of(np.array([2, 0, 1]))
    ['"a"', '"a"', 1]
    """

    def __init__(self, rows: Rows, field: str) -> None:
        name = as_field(field) if isinstance(field, str) else None
        if name is None or not name.keys:
            raise ParameterError(
                f"group_by is {field!r}, the name of a field of the metadata expected", hint="such as 'document'"
            )
        self._rows = rows
        self._keys = name.keys
        self._known: dict[int, str | int] = {}

    def of(self, positions: np.ndarray) -> list[str | int]:
        """A name for the group of each row."""
        wanted = positions.tolist()
        new = np.array([each for each in dict.fromkeys(wanted) if each not in self._known], dtype=np.int64)
        for position, metadata in zip(new.tolist(), self._rows.metadata(new) if len(new) else (), strict=True):
            value = _value(metadata, self._keys)
            self._known[position] = position if value is None else json.dumps(value, sort_keys=True)
        return [self._known[each] for each in wanted]


def _value(metadata: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(metadata, dict):
            return None
        metadata = metadata.get(key)
    return metadata


def nearest_groups(ask: Ask, groups: Groups, queries: int, k: int, rows: int) -> Grouped:
    """The k nearest groups of each query, each by its nearest row.

    Queries are asked for more rows until they have k groups, or have all rows. What is found is as exact as `ask`: a group whose
    rows it passes over is not found.

    Parameters
    ----------
    queries
        Their number.
    rows
        How many rows there are to be found.
    """
    positions = np.full((queries, k), -1, dtype=np.int64)
    distances = np.full((queries, k), np.inf, dtype=np.float32)
    waiting, depth, exhausted = np.arange(queries), max(1, min(rows, FIRST * k)), True
    while len(waiting):
        again: list[int] = []
        for query, near, far in _answers(ask, waiting, depth):
            there = np.flatnonzero(near >= 0)
            best = _first_of_each(groups.of(near[there]), there, k)
            positions[query, : len(best)], distances[query, : len(best)] = near[best], far[best]
            if len(best) < k and len(there) >= depth < rows:
                again.append(query)
            elif len(best) < k and len(there) < rows:
                exhausted = False
        waiting, depth = np.array(again, dtype=np.int64), min(rows, DEEPER * depth)
    return Grouped(Found(positions, distances), exhausted)


def _answers(ask: Ask, waiting: np.ndarray, depth: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Queries and their rows, some queries at a time: the answers of all might not fit in memory."""
    step = max(1, AT_ONCE // depth)
    for start in range(0, len(waiting), step):
        some = waiting[start : start + step]
        found = ask(some, depth)
        yield from zip(some.tolist(), found.positions, found.distances, strict=True)


def _first_of_each(names: list[str | int], places: np.ndarray, k: int) -> np.ndarray:
    """Places of the first row of each group, of at most k groups."""
    first: dict[str | int, int] = {}
    for name, place in zip(names, places.tolist(), strict=True):
        first.setdefault(name, place)
    return np.array(list(first.values())[:k], dtype=np.int64)


def why_fewer_groups(count: int, k: int, field: str, *, filtered: bool, exhausted: bool) -> str:
    """Why a query got `count` of `k` groups.

    >>> why_fewer_groups(3, 10, "document", filtered=False, exhausted=True)
    'the rows of the collection have 3 different values of document, 10 asked'
    """
    which = "that the filter keeps" if filtered else "of the collection"
    if exhausted:
        return f"the rows {which} have {count:,} different value{'' if count == 1 else 's'} of {field}, {k:,} asked"
    return f"the rows that the plan reached have {count:,} different values of {field}, {k:,} asked"
