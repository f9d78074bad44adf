"""Tables of collection.sqlite, and how files of older formats are brought up to date.

The format is SQLite's ``user_version``: the number of migrations applied. A migration, once released, never changes.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from pathlib import Path

from nearkin.errors import CorruptFileError, FormatVersionError
from nearkin.store.field_indexes import definition, index_name, read_indexed_fields

APPLICATION_ID = 0x6E6B696E  # "nkin"

MIGRATIONS: tuple[str, ...] = (
    # id has no type, so that whole numbers stay numbers and strings strings
    """
    CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE rows (
        position INTEGER PRIMARY KEY,
        id NOT NULL,
        metadata TEXT,
        id_checksum INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX rows_by_id ON rows (id);
    CREATE TABLE blocks (
        file INTEGER NOT NULL,
        block INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (file, block)
    ) WITHOUT ROWID;
    """,
    # which fields of the metadata have an index of their own; nearkin.store.field_indexes makes these
    """
    CREATE TABLE fields (name TEXT PRIMARY KEY, checksum INTEGER NOT NULL) WITHOUT ROWID;
    """,
)


def create_schema(connection: sqlite3.Connection) -> None:
    """Make the tables of the newest format in an empty database, inside the caller's transaction."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _apply(connection, 0)


def check_schema(connection: sqlite3.Connection, path: Path, *, readonly: bool) -> None:
    """Refuse what is not a collection of this format, migrating older ones, inside the caller's transaction.

    Raises
    ------
    FormatVersionError
        From a newer nearkin.
    CorruptFileError
        Not a collection, or its tables are not the ones that were made.
    """
    application, version = _number(connection, "application_id"), _number(connection, "user_version")
    if application != APPLICATION_ID or version < 1:
        raise CorruptFileError(f"{path} is a SQLite database, but not of a nearkin collection")
    if version > len(MIGRATIONS):
        raise FormatVersionError(
            f"{path} is in format {version}, this nearkin knows formats up to {len(MIGRATIONS)}",
            hint="install a newer nearkin",
        )
    _check_tables(connection, path, version)
    if not readonly:  # a reader reads older formats as they are
        _apply(connection, version)


def _apply(connection: sqlite3.Connection, version: int) -> None:
    for script in MIGRATIONS[version:]:
        for statement in script.split(";"):  # executescript would commit the caller's transaction
            if statement.strip():
                connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _check_tables(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Every table as it was made: a type that changed in the file would change values on their way in."""
    found = _definitions(connection)
    expected = dict(_expected(MIGRATIONS[:version]))
    for field in read_indexed_fields(connection, path):
        expected[index_name(field)] = ("index", f"rows: {definition(field)}")
    for name, made in expected.items():
        if found.get(name) != made:
            raise CorruptFileError(f"{path}: the definition of {name} is {found.get(name)!r}, not what was written")
    for name, (kind, _) in found.items():
        if kind in ("trigger", "view") or (kind == "index" and name not in expected):
            raise CorruptFileError(f"{path} has the {kind} {name!r}, which nearkin does not make")


@lru_cache
def _expected(migrations: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript("".join(migrations))
        return _definitions(connection)
    finally:
        connection.close()


def _definitions(connection: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    listed = connection.execute("SELECT name, type, tbl_name || ': ' || sql FROM sqlite_schema").fetchall()
    return {name: (kind, made) for name, kind, made in listed if not str(name).startswith("sqlite_")}


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
