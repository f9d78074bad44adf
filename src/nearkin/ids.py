"""The user's ids: whole numbers or strings, one a row, and where each row is.

Positions are never used twice; an id can be used again once its row is deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from sys import getsizeof
from threading import Lock
from typing import Any

import numpy as np

from nearkin.errors import ParameterError, UnknownIdError

INT64 = np.iinfo(np.int64)
NUMBER_BYTES = getsizeof(1 << 20)
MANY = 20_000
"""Ids from which on only those with the same first letter are compared with one that is misspelt."""
GROWTH = 8
"""One free place in a table for so many that are taken, once there is no more room."""


class IdTable:
    """Ids by position, and positions by id.

    Parameters
    ----------
    ids
        One a position, or None for the positions themselves.
    n
        Number of positions.
    alive
        (n,) False where the row is deleted; None if none is.

    Examples
    --------
    >>> table = IdTable(["a", "b"], 2)
    >>> table.positions(["b"]).tolist()
    [1]
    >>> table.positions(["c"])
    Traceback (most recent call last):
        ...
    nearkin.errors.UnknownIdError: there is no row with id 'c'
    """

    def __init__(self, ids: Sequence[Any] | np.ndarray | None, n: int, alive: np.ndarray | None = None) -> None:
        self.n = n
        self._table: np.ndarray | None = None if ids is None else _as_table(ids)
        self._room = self._table  # the table and free places after it, so that adding does not copy it each time
        self._alive = alive
        self._where: dict[Any, int] | None = None
        self._lock = Lock()  # readers make `_where` on first use, while a writer may be adding to the table
        self._next = n
        if self._table is not None and n and self._table.dtype != object:
            self._next = max(0, int(self._table.max()) + 1)  # never below 0, as where ids come by `extend`

    @property
    def table(self) -> np.ndarray | None:
        """(n,) ids, int64 or objects of str; None while the ids are the positions themselves."""
        return self._table

    @property
    def kind(self) -> str:
        """``"int"`` or ``"str"``."""
        return "str" if self._table is not None and self._table.dtype == object else "int"

    @property
    def nbytes(self) -> int:
        """Bytes of the table and of the index from ids to positions, which is made when an id is first looked up."""
        table, where = self._table, self._where
        size = 0 if self._room is None else self._room.nbytes
        if table is not None and table.dtype == object:
            size += sum(map(getsizeof, table.tolist()))
        if where is not None:  # its texts are those of the table; its numbers are objects of their own
            size += getsizeof(where) + NUMBER_BYTES * len(where) * (2 if self.kind == "int" else 1)
        return size

    @property
    def next_number(self) -> int:
        """The next automatic id, where ids are numbers: above all that there ever were."""
        return self._next

    def reserve(self, number: int) -> None:
        """Let automatic ids go on from a number at least."""
        self._next = max(self._next, number)

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Ids at positions."""
        return positions if self._table is None else self._table[positions]

    def positions(self, ids: Iterable[Any]) -> np.ndarray:
        """Positions of ids.

        Raises
        ------
        UnknownIdError
            No row has one of them.
        """
        wanted = read_ids(ids)
        where = self._lookup()
        missing = [each for each in wanted if each not in where]
        if missing:
            raise UnknownIdError(_unknown(missing, where))
        return np.fromiter((where[each] for each in wanted), dtype=np.int64, count=len(wanted))

    def existing(self, ids: Iterable[Any]) -> np.ndarray:
        """Positions of those ids that there are."""
        found = map(self._lookup().get, read_ids(ids))  # one look at each: another thread may forget it after the first
        return np.array([position for position in found if position is not None], dtype=np.int64)

    def next_ids(self, ids: Sequence[Any] | None, count: int, *, replace: bool = False) -> list[Any]:
        """Check ids for `count` new rows, or choose them; nothing is stored yet.

        Parameters
        ----------
        replace
            Whether ids that exist already are allowed (upsert).

        Raises
        ------
        ParameterError
            Another number of ids than rows, ids given twice or there already, ids of another kind than the table's.
        """
        if ids is None:
            if self.kind == "str":
                raise ParameterError(
                    "this collection's ids are strings, and new rows came without ids", hint="pass ids="
                )
            if self._next + count - 1 > INT64.max:
                raise ParameterError(
                    f"there are no {count} whole numbers of 64 bits after id {self._next - 1}", hint="pass ids="
                )
            return list(range(self._next, self._next + count))
        wanted = read_ids(ids)
        if len(wanted) != count:
            raise ParameterError(f"{len(wanted)} ids were given for {count} rows")
        need_distinct(wanted)
        kind = "str" if wanted and isinstance(wanted[0], str) else "int"
        if wanted and self.n and kind != self.kind:
            raise ParameterError(f"the new ids are of type {kind}, this collection's are of type {self.kind}")
        if not replace and self.n:
            where = self._lookup()
            there = [each for each in wanted if each in where]
            if there:
                raise ParameterError(f"{_some(there)} there already", hint="use upsert to replace rows")
        return wanted

    def extend(self, ids: Sequence[Any]) -> None:
        """Store ids that `next_ids` returned at the next positions."""
        count = len(ids)
        automatic = self._table is None and list(ids) == list(range(self.n, self.n + count))
        with self._lock:
            if count and not automatic:
                self._append(_as_table(ids))
            if self._where is not None:
                self._where.update(zip(ids, range(self.n, self.n + count), strict=True))
            self.n += count
            if count and not isinstance(ids[0], str):
                self._next = max(self._next, max(ids) + 1)
            if self._alive is not None:
                self._alive = np.concatenate([self._alive, np.ones(count, dtype=bool)])

    def _append(self, new: np.ndarray) -> None:
        """Ids at the end of the table. Places that are taken are not written again, so a table that was read stays as it is."""
        if not self.n:
            self._table = self._room = new
            return
        end, room = self.n + len(new), self._room
        if room is None or len(room) < end:
            room = np.empty(max(end, self.n + self.n // GROWTH), dtype=new.dtype)
            room[: self.n] = np.arange(self.n) if self._table is None else self._table
            self._room = room
        room[self.n : end] = new
        self._table = room[:end]

    def forget(self, positions: np.ndarray) -> None:
        """Free the ids of deleted rows."""
        where = self._lookup()
        with self._lock:
            for each in self.at(positions).tolist():
                where.pop(each, None)
            alive = np.ones(self.n, dtype=bool) if self._alive is None else self._alive.copy()
            alive[positions] = False
            self._alive = alive

    def _lookup(self) -> dict[Any, int]:
        with self._lock:
            if self._where is None:
                keys = range(self.n) if self._table is None else self._table.tolist()
                if self._alive is None:
                    self._where = dict(zip(keys, range(self.n), strict=True))
                else:
                    self._where = {key: row for row, key in enumerate(keys) if self._alive[row]}
            return self._where


def read_ids(ids: Iterable[Any], first: int = 0) -> list[Any]:
    """Ids as Python ints, or as strings; all of one kind.

    Parameters
    ----------
    first
        Number of the first row, for errors.

    Raises
    ------
    ParameterError
        No list, or something in it that cannot be an id; the message names the row.

    Examples
    --------
    >>> read_ids(np.array([3, 1]))
    [3, 1]
    """
    if isinstance(ids, str | bytes):
        raise ParameterError(f"ids is the single string {ids!r}, a list of ids expected")
    found = ids.tolist() if isinstance(ids, np.ndarray) and ids.ndim else _listed(ids)
    if _surely_fine(ids, found):
        return found
    for row, each in enumerate(found):
        if isinstance(each, str):
            found[row] = _plain_text(each, first + row)
            continue
        if isinstance(each, bool | np.bool_) or not isinstance(each, int | np.integer):
            raise ParameterError(
                f"id {each!r} of row {first + row} is of type {type(each).__name__}, int or str expected"
            )
        number = int(each)
        if not INT64.min <= number <= INT64.max or number == -1:
            raise ParameterError(
                f"id {number} of row {first + row} cannot be used, 64-bit whole numbers other than -1 expected"
            )
        found[row] = number
    kinds = {type(each) for each in found}
    if len(kinds) > 1:
        raise ParameterError("ids mix whole numbers and strings, one kind expected")
    return found


def _plain_text(given: str, row: int) -> str:
    if not given.isprintable() and _UNSTORABLE.search(given):
        raise ParameterError(f"id {given!r} of row {row} is not valid Unicode text, or has a NUL character")
    return given if type(given) is str else str.__str__(given)  # np.str_ and enumerations as the text they are


def _surely_fine(ids: Iterable[Any], found: list[Any]) -> bool:
    """Whether all are whole numbers, or texts of printable letters, without a look at each."""
    if isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype == np.int64:
        return not (ids == -1).any()
    return {*map(type, found)} == {str} and "".join(found).isprintable()


def _listed(ids: Iterable[Any]) -> list[Any]:
    try:
        return list(ids)
    except TypeError as error:
        raise ParameterError(f"ids is {ids!r}, a list of ids expected", hint=f"pass [{ids!r}]") from error


def _as_table(ids: Sequence[Any] | np.ndarray) -> np.ndarray:
    if isinstance(ids, np.ndarray) and ids.dtype in (np.dtype(np.int64), np.dtype(object)):
        return ids
    if len(ids) and isinstance(ids[0], str):
        table = np.empty(len(ids), dtype=object)
        table[:] = ids
        return table
    return np.asarray(ids, dtype=np.int64)


def need_distinct(ids: list[Any]) -> None:
    """Raise ParameterError if an id is there twice; the message has the rows of the first that is."""
    if len(set(ids)) == len(ids):
        return
    first: dict[Any, int] = {}
    for row, each in enumerate(ids):
        if each in first:
            twice = len(ids) - len(set(ids))
            raise ParameterError(
                f"ids must differ, and {twice} of {len(ids)} repeat: {each!r} is at rows {first[each]} and {row}"
            )
        first[each] = row


def close_spellings(missing: Any, ids: Iterable[Any]) -> str:
    """Ids that are written much as one that there is not, as a hint; empty if none is, or ids are numbers.

    >>> close_spellings("qeen", ["king", "queen"]), close_spellings(7, [1, 2])
    ("did you mean 'queen'?", '')
    """
    if not isinstance(missing, str):
        return ""
    known = [each for each in ids if isinstance(each, str) and abs(len(each) - len(missing)) <= 2]
    if len(known) > MANY:
        known = [each for each in known if each[:1].lower() == missing[:1].lower()]
    same = [each for each in known if each.lower() == missing.lower()]
    close = same or get_close_matches(missing, known, n=3)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""


def _some(ids: list[Any]) -> str:
    shown = ", ".join(repr(each) for each in ids[:5]) + (", ..." if len(ids) > 5 else "")
    return f"id {shown} is" if len(ids) == 1 else f"{len(ids)} of the ids ({shown}) are"


def _unknown(missing: list[Any], where: dict[Any, int]) -> str:
    if len(missing) > 1:
        return f"there are no rows with {len(missing)} of the ids ({', '.join(repr(each) for each in missing[:5])})"
    other: int | str | None = None
    if not isinstance(missing[0], str):
        other = str(missing[0])
    elif _WHOLE_NUMBER.fullmatch(missing[0]):
        other = int(missing[0])
    kind = f" (there is {other!r}, a {type(other).__name__})" if other is not None and other in where else ""
    return f"there is no row with id {missing[0]!r}{kind}"


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL, where SQLite ends a text, and halves of surrogate pairs, which UTF-8 does not have."""

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}")
