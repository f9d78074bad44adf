"""What a damaged collection.sqlite still says: read around the damage, nothing believed that its own checksum does not confirm.

The file is opened so that nothing can be written to it. Where its first page is not what nearkin writes, so that SQLite finds no
tables, a first page that names them is put before the others, in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from nearkin.errors import CorruptFileError, FormatVersionError, StorageError
from nearkin.state import State
from nearkin.store.database import sqlite_errors
from nearkin.store.durability import storage_errors
from nearkin.store.field_indexes import read_indexed_fields
from nearkin.store.header import Committed, Header, Mark, read_committed, read_embedder_state, read_header, read_marks
from nearkin.store.row_table import Record, is_intact
from nearkin.store.schema import MIGRATIONS, check_schema
from nearkin.store.vector_file import row_bytes

PAGE_SIZES = tuple(1 << power for power in range(9, 17))
TRIED = {4096, 512}
"""Page sizes tried where the file does not say one."""
SHORT_SCHEMA = (
    "CREATE TABLE facts(name PRIMARY KEY,value,checksum)WITHOUT ROWID",
    "CREATE TABLE rows(position INTEGER PRIMARY KEY,id,metadata,id_checksum,checksum)",
    "CREATE INDEX rows_by_id ON rows(id)",
    "CREATE TABLE blocks(file,block,bytes,checksum,PRIMARY KEY(file,block))WITHOUT ROWID",
)
"""The tables of the first format as far as reading needs them; short, so that they fit on one page of any size."""
MANY = 1 << 16
"""Positions looked for where nothing says how many there are."""
PROBES = 1 << 13
"""Questions that SQLite may fail to answer before the search between damaged pages ends."""
ROW = "position, id, metadata, id_checksum, checksum"


class DatabaseContent(NamedTuple):
    """What can be read; every part may be missing or incomplete, and only `header`, `committed` and `records` are confirmed.

    Attributes
    ----------
    records
        Rows by position, all of whose checksums hold.
    broken
        Ids by position of rows whose ids hold and whose metadata do not.
    listed
        Ids by position as the index of the ids has them, without any checksum.
    blocks
        Bytes and checksum of blocks of the vector file, by number.
    problems
        Why something is missing, in words.
    fields
        Fields that had an index.
    marks
        What was committed together with rows.
    embedder_state
        What the embedder has learned.
    """

    header: Header | None
    committed: Committed | None
    records: dict[int, Record]
    broken: dict[int, Any]
    listed: dict[int, Any]
    blocks: dict[int, tuple[int, int]]
    problems: tuple[str, ...]
    fields: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    embedder_state: State | None = None

    @property
    def worth(self) -> tuple[int, int]:
        """How much was read, to choose between two readings."""
        return len(self.records) + len(self.blocks), (self.header is not None) + (self.committed is not None)


def read_damaged(path: Path, vector_bytes: int) -> DatabaseContent:
    """Everything that can be read of a database.

    Parameters
    ----------
    vector_bytes
        Size of the vector file: it limits the positions where the record of the last commit cannot be read.

    Raises
    ------
    FormatVersionError
        It is not damaged but of a newer nearkin.
    StorageError
        The system does not let it be read.
    """
    why = ""
    try:
        with closing(_as_it_is(path)) as connection:
            check_schema(connection, path, readonly=True)
            found = _content(connection, path, vector_bytes)
            if found.worth[0]:
                return found
    except FormatVersionError:
        raise
    except (CorruptFileError, sqlite3.Error, UnicodeError, OverflowError) as error:
        why = getattr(error, "message", f"{path} is damaged: {error}")
    readings = list(_with_other_first_pages(path, vector_bytes))
    best = max(readings, key=lambda each: each.worth, default=DatabaseContent(None, None, {}, {}, {}, {}, ()))
    return best._replace(problems=tuple(filter(None, (why, *best.problems))))


def _as_it_is(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, neither locks nor a journal that is to be played back."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


# ---- another first page ----------------------------------------------------------------------------------------------


def _with_other_first_pages(path: Path, vector_bytes: int) -> Iterator[DatabaseContent]:
    with storage_errors(path, "read"):
        content = path.read_bytes()
    said = int.from_bytes(content[16:18], "big")
    said = 65_536 if said == 1 else said
    for page in [said] if said in PAGE_SIZES and said not in TRIED else sorted(TRIED, reverse=True):
        for head in (_first_page(page)[:100] + content[100:page], *map(partial(_first_page, page), _usual_roots(page))):
            with suppress(CorruptFileError, sqlite3.Error), closing(_grafted(content, page, head)) as connection:
                yield _content(connection, path, vector_bytes)


def _usual_roots(page: int) -> list[dict[str, int]]:
    """The pages on which tables begin in a new database, and in one that was compacted."""
    found: list[dict[str, int]] = []
    for compacted in (False, True):
        for scripts in (MIGRATIONS[:1], MIGRATIONS):
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
                connection.execute(f"PRAGMA page_size = {page}")
                connection.executescript("".join(scripts))
                if compacted:
                    connection.execute("VACUUM")
                roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0"))
            if roots not in found:
                found.append(roots)
    return found


def _first_page(page: int, roots: Mapping[str, int] | None = None) -> bytes:
    """A first page that names the tables and says where they begin."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as template:
        template.execute(f"PRAGMA page_size = {page}")
        for statement in SHORT_SCHEMA:
            template.execute(statement)
        template.execute("PRAGMA writable_schema = ON")
        for name, root in (roots or {}).items():
            template.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", (root, name))
        return template.serialize()[:page]


def _grafted(content: bytes, page: int, first: bytes) -> sqlite3.Connection:
    """The database in memory with another first page; what is missing at the end is empty pages."""
    pages = max(-(-len(content) // page), min(int.from_bytes(content[28:32], "big"), 4 * len(content) // page))
    counted = first[:28] + pages.to_bytes(4, "big") + bytes(8) + first[40:]  # and no list of free pages
    whole = counted + content[page:]
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(whole.ljust(pages * page, b"\0"))
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


# ---- reading around the damage ---------------------------------------------------------------------------------------


def _content(connection: sqlite3.Connection, path: Path, vector_bytes: int) -> DatabaseContent:
    problems: list[str] = []
    header = _fact(lambda: read_header(connection, path), path, problems)
    committed = _fact(lambda: read_committed(connection, path), path, problems)
    fields = _fact(lambda: read_indexed_fields(connection, path), path, problems)
    listed = _listed(connection)
    positions = _positions(header, committed, listed, vector_bytes)
    listed = {at: key for at, key in listed.items() if at < positions}
    records, broken = _rows(connection, path, positions, committed.rows if committed else None, listed, problems)
    learned = _embedder_state(connection, header, path, problems)
    return DatabaseContent(
        header,
        committed,
        {at: row for at, row in records.items() if 0 <= at < positions},
        broken,
        listed,
        _blocks(connection, path, problems),
        tuple(dict.fromkeys(problems)),
        fields or (),
        tuple(_fact(lambda: read_marks(connection, path), path, problems) or ()),
        learned,
    )


def _embedder_state(
    connection: sqlite3.Connection, header: Header | None, path: Path, problems: list[str]
) -> State | None:
    if header is None or header.embedder is None or not header.dim:
        return None
    found: State | None = _fact(lambda: read_embedder_state(connection, path), path, problems)
    return found


def _positions(header: Header | None, committed: Committed | None, listed: dict[int, Any], vector_bytes: int) -> int:
    """How many positions there are, at most."""
    if committed is not None:
        return committed.positions
    if header is not None and header.keep_vectors:
        return vector_bytes // row_bytes(header.dim, header.dtype)
    return max(listed, default=MANY) + 1


def _fact(read: Callable[[], Any], path: Path, problems: list[str]) -> Any:
    try:
        with sqlite_errors(path):
            return read()
    except StorageError as error:
        problems.append(error.message)
        return None


def _rows(
    connection: sqlite3.Connection,
    path: Path,
    positions: int,
    expected: int | None,
    listed: dict[int, Any],
    problems: list[str],
) -> tuple[dict[int, Record], dict[int, Any]]:
    """Rows by position, and ids of rows whose metadata are damaged; the index of the ids is not used."""
    whole: dict[int, Record] = {}
    broken: dict[int, Any] = {}

    def take(row: tuple[Any, ...]) -> None:
        of_id, of_all = is_intact(row)
        if of_all:
            whole[row[0]] = Record(*row)
        elif of_id:
            broken[row[0]] = row[1]

    # Without limits every leaf is visited, whatever the keys above them say; with limits, keys lead around a damaged page.
    failed = _scan(connection, f"SELECT {ROW} FROM rows NOT INDEXED ORDER BY position", (), take)[1]
    if failed:
        problems.append(f"{path} is damaged: {failed}")
        _scan(connection, f"SELECT {ROW} FROM rows NOT INDEXED ORDER BY position DESC", (), take)
    if (failed or len(whole) != expected) and (whole or broken):  # else these are not the pages of the table
        _between(connection, positions, take)
        for position in sorted(listed.keys() - whole.keys() - broken.keys()):
            _scan(connection, f"SELECT {ROW} FROM rows NOT INDEXED WHERE position = ?", (position,), take)
    return whole, {at: key for at, key in broken.items() if at not in whole}


def _between(connection: sqlite3.Connection, positions: int, take: Callable[[tuple[Any, ...]], None]) -> None:
    """Ranges of positions from both ends, and what lies between halved, until nothing is left to try."""
    limits = f"SELECT {ROW} FROM rows NOT INDEXED WHERE position BETWEEN ? AND ? ORDER BY position"
    ranges, failures = [(0, positions - 1)], 0
    while ranges and failures < PROBES:
        low, high = ranges.pop()
        if low > high:
            continue
        last, failed = _scan(connection, limits, (low, high), take)
        if not failed:
            continue
        failures += 1
        low = max(low, last + 1) if last is not None else low
        first, failed = _scan(connection, f"{limits} DESC", (low, high), take)
        if not failed or low >= high:
            continue
        high = min(high, first - 1) if first is not None else high
        middle = (low + high) // 2
        ranges += [(low, middle), (middle + 1, high)]


def _scan(
    connection: sqlite3.Connection, query: str, bound: tuple[int, ...], take: Callable[[tuple[Any, ...]], None]
) -> tuple[int | None, str]:
    """Give rows to `take` until the end or until SQLite cannot go on: the last position, and why."""
    last: int | None = None
    try:
        connection.text_factory = _text_or_bytes
        for row in connection.execute(query, bound):
            take(row)
            last = row[0] if type(row[0]) is int else last
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        return last, str(error)
    finally:
        connection.text_factory = str
    return last, ""


def _text_or_bytes(value: bytes) -> Any:
    """Text, or bytes that are none: one damaged text must not end a scan."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _listed(connection: sqlite3.Connection) -> dict[int, Any]:
    found: dict[int, Any] = {}

    def take(row: tuple[Any, ...]) -> None:
        if type(row[0]) is int and row[0] >= 0 and isinstance(row[1], int | str):
            found.setdefault(*row)

    for order in ("", " DESC"):
        if not _scan(connection, f"SELECT position, id FROM rows INDEXED BY rows_by_id ORDER BY id{order}", (), take)[
            1
        ]:
            break
    return found


def _blocks(connection: sqlite3.Connection, path: Path, problems: list[str]) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}

    def take(row: tuple[Any, ...]) -> None:
        if {*map(type, row)} == {int} and row[1] == 1 and row[0] >= 0:
            found.setdefault(row[0], (row[2], row[3]))

    for order in ("", " DESC"):
        query = f"SELECT block, file, bytes, checksum FROM blocks ORDER BY file{order}, block{order}"
        failed = _scan(connection, query, (), take)[1]
        if not failed:
            break
        problems.append(f"{path} is damaged: {failed}")
    return found
