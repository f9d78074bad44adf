"""The nearest groups of rows: of the rows that share a value of a field, such as the passages of a document, only the best."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import ParameterError
from nearkin.filters.names import as_field
from nearkin.indexes import FLOAT32_MAX, Found, empty_found
from nearkin.metrics import Metric, as_values
from nearkin.rows import Rows
from nearkin.vectors import block_rows

DEEPER = 4
"""So many times as many rows are asked for where those before were of too few groups."""
FIRST = 3
"""Rows that are asked for at first, for every group that is wanted."""

SHARE = 1 / 64
"""Of all rows: instead of asking for more than that many, all rows are compared and the nearest of each group kept. Sorting so many
for each query takes as long."""

AT_ONCE = 1 << 21
"""Rows that are found at once, of all queries together."""
QUERIES_AT_ONCE = 1024
"""Queries that are compared with all rows together."""
READ_AT_ONCE = 1 << 14
"""Rows whose metadata is read at once."""
REMEMBERED = 4
"""Fields of a collection whose groups are kept for the next search."""

GONE = np.iinfo(np.int64).min
"""Stands for the group of a row that was deleted before its metadata was read."""
_UNKNOWN = GONE + 1

Ask = Callable[[np.ndarray, int], Found]
"""Numbers of queries, and how many rows each is to get, to the nearest rows."""
GroupsOf = Callable[[np.ndarray], np.ndarray]
"""(m,) positions to numbers of their groups, `GONE` where there is none."""
Blocks = Iterator[tuple[np.ndarray, np.ndarray]]
"""All rows, some at a time: (m,) ascending positions and the (nq, m) float32 distances."""
Scan = Callable[[np.ndarray], Blocks]
"""Numbers of queries to the distances of all rows."""


class Grouped(NamedTuple):
    """The best row of each group, by query."""

    found: Found
    """(nq, k) padded."""
    exhausted: np.ndarray
    """(nq,) whether a query saw every row there is."""


class Groups:
    """Which group each row is in, by its value of a field; a row without a value is a group of its own.

    What is at a position never changes, so it is read once. A row that was deleted before that has no group.

    >>> from nearkin.rows import MemoryRows
    >>> rows = MemoryRows(1, "float32")
    >>> rows.commit(vectors=np.zeros((3, 1), np.float32), ids=[0, 1, 2], metadata=[{"d": "a"}, {}, {"d": "a"}])
    >>> Groups(rows, keys_of("d")).of(np.array([2, 0, 1])).tolist()
    [0, 0, -2]
    """

    def __init__(
        self,
        rows: Rows,
        keys: tuple[str, ...],
        moment: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._rows = rows
        self._keys = keys
        self._moment = moment
        self._numbers: dict[str, int] = {}
        self._known = np.empty(0, dtype=np.int64)

    def of(self, positions: np.ndarray) -> np.ndarray:
        """A number for the group of each row: from 0 on those that have a value, below 0 rows by themselves, or `GONE`."""
        with self._moment():  # in another thread, a row may be deleted between two looks at it
            new = len(self._rows) - len(self._known)
            self._known = np.concatenate([self._known, np.full(new, _UNKNOWN)]) if new else self._known
            unknown = np.unique(positions[self._known[positions] == _UNKNOWN])
            alive = self._rows.alive[unknown]
            self._known[unknown[~alive]] = GONE
            for start in range(0, len(unknown), READ_AT_ONCE):
                some = unknown[start : start + READ_AT_ONCE][alive[start : start + READ_AT_ONCE]]
                self._known[some] = [
                    self._number(*each) for each in zip(some.tolist(), self._rows.metadata(some), strict=True)
                ]
            return np.asarray(self._known[positions])

    def _number(self, position: int, metadata: Any) -> int:
        value = _value(metadata, self._keys)
        if value is None:
            return -1 - position
        return self._numbers.setdefault(json.dumps(value, sort_keys=True), len(self._numbers))


def keys_of(field: Any) -> tuple[str, ...]:
    """The names, from outside to inside, that lead to a field of the metadata.

    >>> keys_of("in.document")
    ('in', 'document')
    """
    name = as_field(field) if isinstance(field, str) else None
    if name is None or not name.keys:
        raise ParameterError(
            f"group_by is {field!r}, the name of a field of the metadata expected", hint="such as 'document'"
        )
    return name.keys


def _value(metadata: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(metadata, dict):
            return None
        metadata = metadata.get(key)
    return metadata


def nearest_groups(ask: Ask, groups: GroupsOf, queries: int, k: int, rows: int, scan: Scan | None = None) -> Grouped:
    """The k nearest groups of each query, each by its nearest row.

    Queries are asked for more rows until they have k groups, or have all rows; those that would need more than a share of the rows
    are compared with all of them. Before that, what is found is as exact as `ask`: a group whose rows it passes over is not found.

    Parameters
    ----------
    queries
        Their number.
    rows
        How many rows there are to be found.
    scan
        Compares queries with all rows; None where that cannot be, so that they are asked for more and more.
    """
    found, exhausted = empty_found(queries, k), np.zeros(queries, dtype=bool)
    waiting, depth = np.arange(queries), max(1, min(rows, FIRST * k))
    while len(waiting) and (scan is None or depth <= max(FIRST * k, SHARE * rows)):
        again: list[int] = []
        for query, near, far in _answers(ask, waiting, depth):
            there = np.flatnonzero(near >= 0)
            best = there[_first_of_each(groups(near[there]), k)]
            found.positions[query, : len(best)], found.distances[query, : len(best)] = near[best], far[best]
            exhausted[query] = len(there) >= rows
            if len(best) < k and len(there) >= depth < rows:
                again.append(query)
        waiting, depth = np.array(again, dtype=np.int64), min(rows, DEEPER * depth)
    for start in range(0, len(waiting), QUERIES_AT_ONCE):
        assert scan is not None  # without it, none is left waiting
        some = waiting[start : start + QUERIES_AT_ONCE]
        found.positions[some], found.distances[some] = _of_all_rows(scan(some), groups, len(some), k)
        exhausted[some] = True
    return Grouped(found, exhausted)


def _answers(ask: Ask, waiting: np.ndarray, depth: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Queries and their rows, some queries at a time: the answers of all might not fit in memory."""
    step = max(1, AT_ONCE // depth)
    for start in range(0, len(waiting), step):
        some = waiting[start : start + step]
        found = ask(some, depth)
        yield from zip(some.tolist(), found.positions, found.distances, strict=True)


def _first_of_each(numbers: np.ndarray, k: int) -> np.ndarray:
    """Places of the first row of each group, of at most k groups.

    >>> _first_of_each(np.array([7, GONE, 7, -3, 2]), 2).tolist()
    [0, 3]
    """
    there = np.flatnonzero(numbers != GONE)
    return there[np.sort(np.unique(numbers[there], return_index=True)[1])[:k]]


def _of_all_rows(blocks: Blocks, groups: GroupsOf, queries: int, k: int) -> Found:
    """The k nearest groups among the rows of all blocks."""
    best, numbers = empty_found(queries, k), np.full((queries, k), GONE)
    for positions, values in blocks:
        nearest, distances, of_groups = _nearest_of_each(positions, values, groups(positions))
        for query in range(queries):
            some = np.flatnonzero((distances[query] <= best.distances[query, -1]) & (distances[query] < np.inf))
            near = np.concatenate([best.positions[query], nearest[query, some]])
            far = np.concatenate([best.distances[query], distances[query, some]])
            both = np.concatenate([numbers[query], of_groups[some]])
            order = np.lexsort((near, far))
            kept = order[_first_of_each(both[order], k)]
            for whole, new in ((best.positions, near), (best.distances, far), (numbers, both)):
                whole[query, : len(kept)] = new[kept]
    return best


def _nearest_of_each(
    positions: np.ndarray, values: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(nq, g) the nearest row of each group, the first of those that are equally near; (nq, g) its distance; (g,) the groups.

    >>> _nearest_of_each(np.array([3, 5, 8]), np.array([[0.5, 2, 0.5]]), np.array([1, 0, 1]))
    (array([[5, 3]]), array([[2. , 0.5]]), array([0, 1]))
    """
    order = np.argsort(numbers, kind="stable")
    of_groups, starts = np.unique(numbers[order], return_index=True)
    if not len(order):
        return (*np.empty((2, len(values), 0)), of_groups)
    sizes = np.diff(starts, append=len(order))
    values = values[:, order]
    least = np.minimum.reduceat(values, starts, axis=1)
    places = np.where(values == np.repeat(least, sizes, axis=1), np.arange(len(order)), len(order))
    return positions[order][np.minimum.reduceat(places, starts, axis=1)], least, of_groups


def distances_of_all(rows: Rows, allowed: np.ndarray, prepared: np.ndarray, metric: Metric) -> Blocks:
    """Distances, in the metric's space, of prepared queries from all rows that are allowed."""
    step = block_rows(8 * max(len(prepared), rows.dim))
    for first, block in rows.blocks(0, len(allowed)):
        for start in range(first, first + len(block), step):
            here = start + np.flatnonzero(allowed[start : min(start + step, first + len(block))])
            if here.size:
                ready = metric.prepare(block[here - first])
                values = as_values(metric.space.pairwise(prepared, ready), (len(prepared), len(ready)))
                yield here, np.where(values < np.inf, np.minimum(values, FLOAT32_MAX), np.inf).astype(np.float32)


def why_fewer_groups(count: int, k: int, field: str, *, filtered: bool, exhausted: bool) -> str:
    """Why a query got `count` of `k` groups.

    >>> why_fewer_groups(3, 10, "document", filtered=False, exhausted=True)
    'the rows of the collection have 3 different values of document, 10 asked'
    """
    which = "that the filter keeps" if filtered else "of the collection"
    if exhausted:
        return f"the rows {which} have {count:,} different value{'' if count == 1 else 's'} of {field}, {k:,} asked"
    return f"the rows that the plan reached have {count:,} different values of {field}, {k:,} asked"
