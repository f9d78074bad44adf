"""Rows in SQLite: position, id, metadata, and checksums over them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from operator import lt
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from nearkin.errors import MEND, CorruptFileError, ParameterError
from nearkin.ids import INT64, IdTable
from nearkin.metadata_text import metadata_text
from nearkin.rows import Metadata
from nearkin.store.failpoints import failpoint
from nearkin.store.header import Committed
from nearkin.store.row_checksums import id_checksums

DIGEST = 1 << 64
ROWS_AT_ONCE = 1 << 15
BOUND_AT_ONCE = 500
"""Positions bound in one statement; every SQLite allows 999."""


class Record(NamedTuple):
    """A row of the table. `checksum` goes on from `id_checksum` over the metadata, so that ids can be read alone."""

    position: int
    id: int | str
    metadata: str | None
    id_checksum: int
    checksum: int


@dataclass(frozen=True)
class Records:
    """Columns of new rows at positions from `first` on; what they are is said of `Record`."""

    first: int
    ids: Sequence[Any]
    metadata: Sequence[str | None]
    id_checksums: Sequence[int]
    checksums: Sequence[int]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Rows as the table has them, in the order of `Record`."""
        positions = range(self.first, self.first + len(self.ids))
        return zip(positions, self.ids, self.metadata, self.id_checksums, self.checksums, strict=True)


def make_records(first: int, ids: Sequence[Any], metadata: Sequence[Metadata] | None) -> Records:
    """Records of new rows at positions from `first` on.

    Raises
    ------
    ParameterError
        Metadata that JSON cannot hold, or of another number than the ids.
    """
    if metadata is not None and len(metadata) != len(ids):
        raise ParameterError(f"metadata has {len(metadata)} entries for {len(ids)} rows")
    sums = id_checksums(range(first, first + len(ids)), ids)
    if metadata is None:
        return Records(first, ids, [None] * len(ids), sums, sums)
    texts = [metadata_text(given, row) for row, given in enumerate(metadata)]
    encoded = (text.encode() if text else b"" for text in texts)
    return Records(first, ids, texts, sums, list(map(crc32, encoded, sums)))


def change_rows(
    connection: sqlite3.Connection, path: Path, committed: Committed, delete: np.ndarray, records: Records
) -> Committed:
    """Delete positions and insert records; what is then committed, apart from its generation."""
    digest, next_id = committed.digest, committed.next_id
    gone = delete.tolist()
    for position in gone:
        found = connection.execute("SELECT checksum FROM rows WHERE position = ?", (position,)).fetchone()
        if found is None:
            raise CorruptFileError(f"{path}: the row at position {position:,} is missing", hint=MEND)
        digest -= found[0]
    connection.executemany("DELETE FROM rows WHERE position = ?", ((position,) for position in gone))
    failpoint("rows deleted")
    connection.executemany(
        "INSERT INTO rows (position, id, metadata, id_checksum, checksum) VALUES (?, ?, ?, ?, ?)", records
    )
    failpoint("rows inserted")
    id_kind = committed.id_kind
    if records:
        digest += sum(records.checksums)
        id_kind = "str" if isinstance(records.ids[0], str) else "int"
        if id_kind == "int":
            next_id = max(next_id, 1 + max(map(int, records.ids)))
    return replace(
        committed,
        positions=committed.positions + len(records),
        rows=committed.rows - len(gone) + len(records),
        digest=digest % DIGEST,
        id_kind=id_kind,
        next_id=next_id,
    )


def read_ids_and_alive(connection: sqlite3.Connection, path: Path, committed: Committed) -> tuple[IdTable, np.ndarray]:
    """Ids by position and which positions have a row, verified against what is committed.

    Raises
    ------
    CorruptFileError
        A row is missing, too many, or not what was written.
    """
    kind = str if committed.id_kind == "str" else int
    positions: list[np.ndarray] = [np.empty(0, dtype=np.int64)]
    ids: list[np.ndarray] = [np.empty(0, dtype=object if kind is str else np.int64)]
    digest = 0
    for at, of_rows, sums, digest_of_rows in _spans(connection, path, committed.positions):
        if type(digest_of_rows) is not int or not {*map(type, of_rows)} <= {kind}:
            raise _damaged(path, "rows hold values of the wrong type")
        if not _ascending(at) or id_checksums(at, of_rows) != sums:
            raise _damaged(path, "ids do not have the checksums that were written with them")
        positions.append(np.array(at, dtype=np.int64))
        ids.append(np.array(of_rows, dtype=ids[0].dtype))
        digest += digest_of_rows
    found = sum(map(len, ids))
    if found != committed.rows or digest % DIGEST != committed.digest:
        raise _damaged(path, f"{found:,} rows were found, they are not the {committed.rows:,} that are committed")
    return _by_position(np.concatenate(positions), np.concatenate(ids), path, committed)


class _Span(NamedTuple):
    """Columns of rows that follow each other, as they are stored."""

    positions: Sequence[int]
    ids: list[Any]
    id_checksums: list[Any]
    digest: int
    """Sum of their checksums."""


def _spans(connection: sqlite3.Connection, path: Path, positions: int) -> Iterator[_Span]:
    """All rows, in order. SQLite makes one text of a column, which takes a third of the time of one tuple a row.

    The first and the last reach as far as positions can, so that a row where none should be is found.
    """
    for start in range(0, max(1, positions), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, positions)
        bounds = (start or int(INT64.min), stop - 1 if stop < positions else int(INT64.max))
        try:
            yield from _span(connection, start, stop, bounds)
        except ValueError as error:
            raise _damaged(path, f"rows hold values that nothing wrote: {error}") from error


def _span(connection: sqlite3.Connection, start: int, stop: int, bounds: tuple[int, int]) -> Iterator[_Span]:
    columns = (
        "json_group_array(id), json_group_array(id_checksum), sum(checksum), count(*), min(position), max(position)"
    )
    rows = "FROM rows WHERE position BETWEEN ? AND ?"
    try:
        ids, sums, digest, *extent = connection.execute(f"SELECT {columns} {rows}", bounds).fetchone()
    except sqlite3.DataError:  # ids of very many bytes do not fit into one text
        if stop - start < 2:
            raise
        middle = (start + stop) // 2
        yield from _span(connection, start, middle, (bounds[0], middle - 1))
        yield from _span(connection, middle, stop, (middle, bounds[1]))
        return
    positions: Sequence[int] = range(start, stop)
    if extent != [stop - start, start, stop - 1]:  # some are deleted
        positions = json.loads(connection.execute(f"SELECT json_group_array(position) {rows}", bounds).fetchone()[0])
    yield _Span(positions, json.loads(ids), json.loads(sums), digest or 0)


def _ascending(positions: Sequence[int]) -> bool:
    return isinstance(positions, range) or all(map(lt, positions, positions[1:]))


def _by_position(at: np.ndarray, ids: np.ndarray, path: Path, committed: Committed) -> tuple[IdTable, np.ndarray]:
    if at.size and (at[0] < 0 or at[-1] >= committed.positions or (np.diff(at) <= 0).any()):
        raise _damaged(path, f"positions {at[0]:,} to {at[-1]:,} are not in order below {committed.positions:,}")
    alive = np.zeros(committed.positions, dtype=bool)
    alive[at] = True
    table = IdTable(_table(at, ids, committed), committed.positions, None if alive.all() else alive)
    if committed.id_kind == "int":
        table.reserve(committed.next_id)
    return table, alive


def _table(positions: np.ndarray, ids: np.ndarray, committed: Committed) -> np.ndarray | None:
    """Ids by position for an IdTable, None if they are the positions."""
    if committed.id_kind == "str":
        texts = np.full(committed.positions, "", dtype=object)
        texts[positions] = ids
        return texts
    if committed.next_id == committed.positions and np.array_equal(ids, positions):
        return None
    # deleted rows stand for the highest id there ever was: the next automatic id follows it
    table = np.full(committed.positions, committed.next_id - 1, dtype=np.int64)
    table[positions] = ids
    return table


def read_metadata(connection: sqlite3.Connection, path: Path, positions: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Metadata by position, of those that have a row.

    Raises
    ------
    CorruptFileError
        A row is not what was written.
    """
    found: dict[int, dict[str, Any]] = {}
    wanted = sorted(set(positions))
    for start in range(0, len(wanted), BOUND_AT_ONCE):
        some = wanted[start : start + BOUND_AT_ONCE]
        marks = ", ".join("?" * len(some))
        query = f"SELECT position, id, metadata, id_checksum, checksum FROM rows WHERE position IN ({marks})"
        for row in connection.execute(query, some):
            found[row[0]] = _verified_metadata(Record(*row), path)
    return found


def need_sound_metadata(connection: sqlite3.Connection, path: Path) -> None:
    """Compare every row's metadata, and every index of the table, with what was written: filters read both unchecked.

    Raises
    ------
    CorruptFileError
        A row or an index is not what was written.
    """
    with ThreadPoolExecutor(1) as pool:  # SQLite compares table and indexes meanwhile, on the other processor
        indexes = pool.submit(_integrity, path)
        rows = connection.execute("SELECT position, coalesce(metadata, ''), id_checksum, checksum FROM rows")
        while some := rows.fetchmany(ROWS_AT_ONCE):
            for position, text, of_id, checksum in some:
                if not isinstance(text, str) or crc32(text.encode(), of_id) != checksum:
                    raise _damaged(path, f"the row at position {position:,} does not have the checksum written with it")
        found = indexes.result()
    if found != "ok":
        raise _damaged(path, found)


def _integrity(path: Path) -> str:
    """What SQLite says of the rows and their indexes, on a connection of its own: the caller's transaction keeps writers away."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        (found,) = connection.execute("PRAGMA integrity_check(rows)").fetchone()
    return str(found)


def row_problems(connection: sqlite3.Connection, path: Path, committed: Committed) -> list[str]:
    """Read every row again; what is wrong, in words."""
    problems = []
    try:
        read_ids_and_alive(connection, path, committed)
    except CorruptFileError as error:
        problems.append(error.message)
    for row in connection.execute("SELECT position, id, metadata, id_checksum, checksum FROM rows"):
        try:
            _verified_metadata(Record(*row), path)
        except CorruptFileError as error:
            problems.append(error.message)
    return problems


def is_intact(row: Sequence[Any]) -> tuple[bool, bool]:
    """Whether the values of a row, in the order of `Record`, have the checksum of position and id, and that of all.

    >>> is_intact((0, "a", None, crc32(b"0 a"), crc32(b"0 a"))), is_intact((0, "a", "{}", crc32(b"0 a"), crc32(b"0 a")))
    ((True, True), (True, False))
    """
    position, key, text, of_id, of_all = row
    if {type(position), type(of_id), type(of_all)} != {int} or type(key) not in (int, str):
        return False, False
    try:
        if id_checksums([position], [key]) != [of_id]:
            return False, False
        return True, isinstance(text, str | None) and crc32((text or "").encode(), of_id) == of_all
    except UnicodeError:
        return False, False


def _verified_metadata(record: Record, path: Path) -> dict[str, Any]:
    text = record.metadata
    expected = crc32(f"{record.position} {record.id}".encode())
    if not isinstance(text, str | None) or crc32((text or "").encode(), expected) != record.checksum:
        raise _damaged(path, f"the row at position {record.position:,} does not have the checksum written with it")
    try:
        found = json.loads(text) if text else {}
    except ValueError as error:
        raise _damaged(path, f"metadata at position {record.position:,} is not JSON: {error}") from error
    return dict(found)


def _damaged(path: Path, what: str) -> CorruptFileError:
    return CorruptFileError(f"{path}: {what}", hint=MEND)
