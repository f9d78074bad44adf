"""Rows in SQLite: position, id, metadata, and checksums over them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from nearkin.errors import CorruptFileError, ParameterError
from nearkin.ids import IdTable
from nearkin.store.header import Committed

DIGEST = 1 << 64
ROWS_AT_ONCE = 4096
BOUND_AT_ONCE = 500
"""Positions bound in one statement; every SQLite allows 999."""


class Record(NamedTuple):
    """A row of the table. `checksum` goes on from `id_checksum` over the metadata, so that ids can be read alone."""

    position: int
    id: int | str
    metadata: str | None
    id_checksum: int
    checksum: int


def make_records(first: int, ids: Sequence[Any], metadata: Sequence[Mapping[str, Any]] | None) -> list[Record]:
    """Records of new rows at positions from `first` on.

    Raises
    ------
    ParameterError
        Metadata that JSON cannot hold, or of another number than the ids.
    """
    if metadata is not None and len(metadata) != len(ids):
        raise ParameterError(f"metadata has {len(metadata)} entries for {len(ids)} rows")
    if metadata is None:
        sums = id_checksums(range(first, first + len(ids)), ids)
        return list(map(Record, range(first, first + len(ids)), ids, repeat(None), sums, sums))
    records = []
    sums = id_checksums(range(first, first + len(ids)), ids)
    for row, (each, given, of_id) in enumerate(zip(ids, metadata, sums, strict=True)):
        text = _as_json(given, row) if given else None
        records.append(Record(first + row, each, text, of_id, crc32((text or "").encode(), of_id)))
    return records


def id_checksums(positions: Iterable[int], ids: Sequence[int | str]) -> list[int]:
    """Checksums of positions and their ids, of which there may be millions.

    >>> id_checksums([0, 1], [7, 8]) == [crc32(b"0 7"), crc32(b"1 8")] == id_checksums([0, 1], ["7", "8"])
    True
    """
    return [crc32(f"{position} {each}".encode()) for position, each in zip(positions, ids, strict=True)]


def _as_json(given: Mapping[str, Any], row: int) -> str:
    try:
        text = json.dumps(dict(given), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(
            f"metadata of row {row} cannot be stored as JSON: {error}", hint="a missing number is None, not NaN"
        ) from error
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair is a string in Python and in JSON, but not in UTF-8
        text = json.dumps(dict(given))
    return text


def change_rows(
    connection: sqlite3.Connection, path: Path, committed: Committed, delete: np.ndarray, records: Sequence[Record]
) -> Committed:
    """Delete positions and insert records; what is then committed, apart from its generation."""
    digest, next_id = committed.digest, committed.next_id
    gone = delete.tolist()
    for position in gone:
        found = connection.execute("SELECT checksum FROM rows WHERE position = ?", (position,)).fetchone()
        if found is None:
            raise CorruptFileError(
                f"{path}: the row at position {position:,} is missing", hint="restore it from a copy"
            )
        digest -= found[0]
    connection.executemany("DELETE FROM rows WHERE position = ?", ((position,) for position in gone))
    connection.executemany(
        "INSERT INTO rows (position, id, metadata, id_checksum, checksum) VALUES (?, ?, ?, ?, ?)", records
    )
    id_kind = committed.id_kind
    if records:
        digest += sum(record.checksum for record in records)
        id_kind = "str" if isinstance(records[0].id, str) else "int"
        if id_kind == "int":
            next_id = max(next_id, 1 + max(int(record.id) for record in records))
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
    rows = connection.execute("SELECT position, id, id_checksum, checksum FROM rows ORDER BY position")
    while some := rows.fetchmany(ROWS_AT_ONCE):
        at, of_rows, id_sums, sums = zip(*some, strict=True)
        if not {*map(type, at + id_sums + sums)} <= {int} or {*map(type, of_rows)} != {kind}:
            raise _damaged(path, "rows hold values of the wrong type")
        if id_checksums(at, of_rows) != list(id_sums):
            raise _damaged(path, "ids do not have the checksums that were written with them")
        positions.append(np.array(at, dtype=np.int64))
        ids.append(np.array(of_rows, dtype=ids[0].dtype))
        digest += sum(sums)
    found = sum(map(len, ids))
    if found != committed.rows or digest % DIGEST != committed.digest:
        raise _damaged(path, f"{found:,} rows were found, they are not the {committed.rows:,} that are committed")
    return _by_position(np.concatenate(positions), np.concatenate(ids), path, committed)


def _by_position(at: np.ndarray, ids: np.ndarray, path: Path, committed: Committed) -> tuple[IdTable, np.ndarray]:
    if at.size and (at[0] < 0 or at[-1] >= committed.positions or (np.diff(at) <= 0).any()):
        raise _damaged(path, f"positions {at[0]:,} to {at[-1]:,} are not in order below {committed.positions:,}")
    alive = np.zeros(committed.positions, dtype=bool)
    alive[at] = True
    return IdTable(_table(at, ids, committed), committed.positions, None if alive.all() else alive), alive


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
    (expected,) = id_checksums([record.position], [record.id])
    if not isinstance(text, str | None) or crc32((text or "").encode(), expected) != record.checksum:
        raise _damaged(path, f"the row at position {record.position:,} does not have the checksum written with it")
    try:
        found = json.loads(text) if text else {}
    except ValueError as error:
        raise _damaged(path, f"metadata at position {record.position:,} is not JSON: {error}") from error
    return dict(found)


def _damaged(path: Path, what: str) -> CorruptFileError:
    return CorruptFileError(f"{path}: {what}", hint="restore it from a copy")
