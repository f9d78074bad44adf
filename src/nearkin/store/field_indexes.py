"""Indexes on fields of the metadata, so that filters look rows up instead of reading all of them.

They are SQLite's own indexes on the expression that a filter has for the field, and SQLite keeps them with every change. The table
``fields`` says which there should be.
"""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path
from zlib import crc32

from nearkin.errors import CorruptFileError
from nearkin.filters import field_sql


def index_name(field: str) -> str:
    """Name of the index on a field.

    >>> index_name("price")
    'field_683b531f41ec88a2'
    """
    return f"field_{sha256(field.encode()).hexdigest()[:16]}"


def definition(field: str) -> str:
    """The statement that makes the index on a field."""
    return f"CREATE INDEX {index_name(field)} ON rows ({field_sql(field)})"


def create_field_index(connection: sqlite3.Connection, field: str) -> None:
    """Make the index on a field, inside the caller's transaction."""
    connection.execute(definition(field))
    connection.execute("INSERT INTO fields (name, checksum) VALUES (?, ?)", (field, crc32(field.encode())))


def drop_field_index(connection: sqlite3.Connection, field: str) -> None:
    """Take the index on a field away, inside the caller's transaction."""
    connection.execute(f"DROP INDEX {index_name(field)}")
    connection.execute("DELETE FROM fields WHERE name = ?", (field,))


def read_indexed_fields(connection: sqlite3.Connection, path: Path) -> tuple[str, ...]:
    """Fields that have an index, in order; none in formats from before there were any.

    Raises
    ------
    CorruptFileError
        The list is not what was written.
    """
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'fields'").fetchone():
        return ()
    found = connection.execute("SELECT name, checksum FROM fields ORDER BY name").fetchall()
    for name, checksum in found:
        if not isinstance(name, str) or crc32(name.encode()) != checksum:
            raise CorruptFileError(
                f"{path}: the name of an indexed field does not have the checksum written with it",
                hint="nearkin repair makes the indexes of fields again",
            )
    return tuple(name for name, _ in found)
