"""collection.sqlite written anew from its own tables, where these are whole and something around them is not.

That is SQLite's index of the ids, its list of free pages, and the like. A damaged file is not repaired in place: what is freed
in it may be in use.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from nearkin.errors import MEND, CorruptFileError
from nearkin.store.database import Database, sqlite_errors
from nearkin.store.durability import storage_errors, sync_folder
from nearkin.store.field_indexes import definition, read_indexed_fields
from nearkin.store.header import read_committed, read_header
from nearkin.store.row_table import ROWS_AT_ONCE, row_problems

SUFFIX = "-rewritten"


def rewrite_database(path: Path) -> None:
    """Replace a database by one with the same tables, written and verified beside it. The writer's lock must be held.

    Raises
    ------
    CorruptFileError
        What was copied is not what is committed; the file is as it was.
    StorageError
        Writing failed; the file is as it was.
    """
    fresh = path.with_name(path.name + SUFFIX)
    journal = path.with_name(path.name + "-journal")
    with storage_errors(path, "written"):
        try:
            remove_rewritten(path)
            with sqlite_errors(path):
                _copy(path, fresh)
            if journal.exists() and journal.stat().st_size:  # it would be played back into the new file
                raise CorruptFileError(f"{path} has an interrupted commit", hint="open it once where it can be written")
            os.replace(fresh, path)
            sync_folder(path.parent)
        finally:
            remove_rewritten(path)


def remove_rewritten(path: Path) -> None:
    """Remove what an interrupted `rewrite_database` left beside a database."""
    for end in ("", "-journal"):
        path.with_name(path.name + SUFFIX + end).unlink(missing_ok=True)


def _copy(path: Path, fresh: Path) -> None:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as source:
        source.execute("PRAGMA cell_size_check = ON")
        source.execute("BEGIN")
        made = Database.create(fresh)
        try:
            with made.writing() as target:
                _copy_tables(source, target, path)
                read_header(target, path)
                problems = row_problems(target, path, read_committed(target, path))
                if problems:
                    raise CorruptFileError(problems[0], hint=MEND)
        finally:
            made.close()


def _copy_tables(source: sqlite3.Connection, target: sqlite3.Connection, path: Path) -> None:
    query = "SELECT name FROM sqlite_schema WHERE type = 'table'"
    there = {name for (name,) in source.execute(query)}
    for (name,) in target.execute(query).fetchall():
        if name not in there:  # of a newer format
            continue
        rows = source.execute(f'SELECT * FROM "{name}" NOT INDEXED')
        while some := rows.fetchmany(ROWS_AT_ONCE):
            marks = ", ".join("?" * len(some[0]))
            target.executemany(f'INSERT INTO "{name}" VALUES ({marks})', some)
    for field in read_indexed_fields(target, path):
        target.execute(definition(field))
