"""collection.sqlite: a connection, its transactions, and SQLite's errors in nearkin's words.

It keeps a rollback journal rather than a write-ahead log. The file by itself is then the whole truth between commits,
so that a closed folder can be copied by any tool and opened from a disk that cannot be written; and a byte that flips
in a log left by a crash cannot silently undo acknowledged commits. Readers load at opening and hold no lock afterwards,
so they do not keep the writer waiting.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nearkin.errors import MEND, CorruptFileError, LockedError, NearkinError, StorageError
from nearkin.store.durability import storage_errors
from nearkin.store.failpoints import failpoint
from nearkin.store.schema import check_schema, create_schema

WAIT_SECONDS = 30.0
PAGE_BYTES = 4096
"""Of new databases; SQLite's own choice. Tests that go through every byte take less."""
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SYSTEM = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_PROTOCOL,
}


class Database:
    """One connection, used by one thread at a time.

    Parameters
    ----------
    path
        The database, which must exist.
    """

    def __init__(self, path: Path, *, readonly: bool) -> None:
        self.path = path
        self.readonly = readonly
        self._turn = threading.Lock()
        with sqlite_errors(path):
            self.connection = _connect(path, "rw")
        try:
            with storage_errors(path, "opened"), sqlite_errors(path):
                self._prepare()
        except BaseException:
            self.connection.close()
            raise

    @classmethod
    def create(cls, path: Path) -> Database:
        """Make a new database with the tables of the newest format."""
        with sqlite_errors(path):
            connection = _connect(path, "rwc")
            try:
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("BEGIN IMMEDIATE")
                create_schema(connection)
                connection.execute("COMMIT")
            finally:
                connection.close()
        return cls(path, readonly=False)

    def _prepare(self) -> None:
        if not self.readonly:
            self.connection.execute("PRAGMA journal_mode = DELETE")
            # EXTRA is FULL and a sync of the folder once the journal is deleted, without which a power cut just after a
            # commit could bring the journal back and undo the commit
            self.connection.execute("PRAGMA synchronous = EXTRA")
            self.connection.execute("PRAGMA fullfsync = ON")
        # trusted_schema stays on: before 3.41, SQLite lets no index use json_extract without it; check_schema refuses what
        # nearkin did not make
        self.connection.execute("PRAGMA cell_size_check = ON")
        with self._transaction("BEGIN" if self.readonly else "BEGIN IMMEDIATE"):
            check_schema(self.connection, self.path, readonly=self.readonly)
            if not self.readonly:
                failpoint("schema checked")
        if self.readonly:
            self.connection.execute("PRAGMA query_only = ON")
        elif self.connection.execute("PRAGMA freelist_count").fetchone()[0]:
            self._check_free_pages()

    def _check_free_pages(self) -> None:
        """A page that is listed as free and is not would be written over by the next commit."""
        found = self.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise CorruptFileError(f"{self.path} is damaged: {found}", hint=MEND)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one commit and changes nothing."""
        with self._turn, sqlite_errors(self.path), self._transaction("BEGIN"):
            yield self.connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is committed at the end, or rolled back if anything is raised."""
        with self._turn, storage_errors(self.path, "written"), sqlite_errors(self.path):
            with self._transaction("BEGIN IMMEDIATE"):
                yield self.connection
                failpoint("before commit")
            failpoint("after commit")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self.connection.execute(begin)
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the first error says more; SQLite also rolls back by itself on some
                self.connection.execute("ROLLBACK")
            raise

    def compact(self) -> None:
        """Give back the pages that nothing uses any more."""
        with self._turn, sqlite_errors(self.path):
            self.connection.execute("VACUUM")

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            self.connection.close()


def written_for_all(path: Path) -> bool:
    """Whether the head of a database says that every SQLite may read and write it; SQLite itself says so to writers only."""
    with storage_errors(path, "read"), open(path, "rb") as file:
        return file.read(20)[18:] == b"\x01\x01"


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # readers too connect with "rw", which falls back to reading where nothing may be written: a journal that a killed
    # writer left has to be played back before the file can be read
    address = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """No exception of sqlite3 leaves this."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, UnicodeError, OverflowError) as error:
        raise _translated(path, error) from error


def _translated(path: Path, error: Exception) -> NearkinError:
    code = getattr(error, "sqlite_errorcode", None) or 0
    if code & 0xFF in _BUSY:
        return LockedError(f"{path} is in use by another program", hint="try again when it is done")
    if code == sqlite3.SQLITE_READONLY_ROLLBACK:
        return StorageError(
            f"{path} has an interrupted commit that must be undone first", hint="open it once where it can be written"
        )
    if code & 0xFF in _SYSTEM and code not in (sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS):
        return StorageError(f"{path} cannot be read or written: {error}")
    return CorruptFileError(f"{path} is damaged: {error}", hint=MEND)
