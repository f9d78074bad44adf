"""Metadata as a table of SQLite: filters mean the same in memory as on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from threading import Lock
from typing import Any

import numpy as np

from nearkin.errors import FilterError
from nearkin.filters import Filter

TABLE = "CREATE TABLE rows (position INTEGER PRIMARY KEY, id NOT NULL, metadata TEXT)"


class MetadataTable:
    """Rows by position with id and metadata, for filters to select from.

    >>> from nearkin.filters import as_filter
    >>> table = MetadataTable()
    >>> table.change([], [(0, "a", '{"price": 30}'), (1, "b", '{"price": 70}'), (2, "c", None)])
    >>> table.matching(as_filter("price < 50")).tolist(), table.matching(as_filter("not price < 50")).tolist()
    ([0], [1, 2])
    """

    def __init__(self) -> None:
        self._turn = Lock()
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.execute(TABLE)

    def change(self, delete: Iterable[int], rows: Iterable[tuple[int, Any, str | None]]) -> None:
        """Delete positions, and add rows as (position, id, metadata as JSON)."""
        with self._turn:
            self._connection.execute("BEGIN")
            self._connection.executemany("DELETE FROM rows WHERE position = ?", ((each,) for each in delete))
            self._connection.executemany("INSERT INTO rows VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")

    def matching(self, filter: Filter) -> np.ndarray:
        """(m,) ascending positions of the rows that a filter keeps."""
        with self._turn:
            return select_positions(self._connection, filter)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""
        with self._turn:
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            (size,) = self._connection.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(size)

    def close(self) -> None:
        """Let go of the memory."""
        with self._turn:
            self._connection.close()


def select_positions(connection: sqlite3.Connection, filter: Filter) -> np.ndarray:
    """(m,) ascending positions of the rows of a table ``rows`` that a filter keeps.

    Raises
    ------
    FilterError
        It is more than SQLite can take.
    """
    condition = filter.sql()
    query = f"SELECT position FROM rows WHERE {condition.text}"
    try:
        found = connection.execute(query, condition.parameters).fetchall()
    except (OverflowError, UnicodeError) as error:
        raise FilterError(f"the filter has a value that cannot be compared: {error}") from error
    return np.sort(np.fromiter((position for (position,) in found), dtype=np.int64, count=len(found)))
