"""A collection on disk: its truth as `Rows`, and the built index beside it.

::

    collection.sqlite    rows, ids, metadata, header: truth, and the commit point
    vectors/000001.f32   rows as raw little-endian floats (.u8 for packed bits): truth
    built/<plan>-<hash>/ the built index: derived, can be deleted without loss where the vectors are kept
    LOCK                 held by the one writer
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from nearkin.errors import (
    ClosedError,
    CorruptFileError,
    NearkinError,
    ParameterError,
    ReadOnlyError,
    StateError,
    StorageError,
    UnknownCollectionError,
)
from nearkin.rows import Metadata, Rows, vectors_not_kept
from nearkin.state import State
from nearkin.store.built import Built, BuiltRecord, other_builds, read_built, remove_folders, write_built
from nearkin.store.database import Database
from nearkin.store.durability import storage_errors
from nearkin.store.header import Committed, Header, read_committed, read_header, write_committed, write_header
from nearkin.store.lock import WriterLock
from nearkin.store.replacement import DATABASE_NAME, real_path, replaced_name, what_is_at, write_folder
from nearkin.store.row_table import change_rows, make_records, read_ids_and_alive, read_metadata, row_problems
from nearkin.store.vector_file import SUFFIXES, Block, VectorFile, read_blocks

__all__ = ["Built", "Folder", "Header", "write_folder"]

VECTOR_FILE = 1


class Folder(Rows):
    """Rows on disk; made by `create` or `open`.

    A reader sees the commit that was the last when it was opened, whatever a writer does meanwhile.

    Examples
    --------
    >>> import tempfile
    >>> header = Header(2, "float32", "euclidean", "flat", {}, seed=0, keep_vectors=True)
    >>> with tempfile.TemporaryDirectory() as home:
    ...     with Folder.create(home + "/wiki", header) as folder:
    ...         folder.commit(vectors=np.float32([[1, 2], [3, 4]]), ids=["a", "b"], metadata=[{}, {"page": 7}])
    ...     with Folder.open(home + "/wiki", readonly=True) as folder:
    ...         folder.ids.positions(["b"]).tolist(), folder.span(1, 2).tolist(), folder.metadata(np.array([1]))
    ([1], [[3.0, 4.0]], [{'page': 7}])
    """

    header: Header

    def __init__(self, path: Path, database: Database, lock: WriterLock | None) -> None:
        with database.reading() as connection:
            self.header = read_header(connection, database.path)
            self._committed = read_committed(connection, database.path)
            self.ids, self.alive = read_ids_and_alive(connection, database.path, self._committed)
            super().__init__(self.header.dim, self.header.dtype)
            blocks = self._read_blocks(connection, database.path, self._committed.positions)
        self._vectors = self._open_vectors(path, blocks, readonly=lock is None) if self.header.keep_vectors else None
        self.path = path
        self._database = database
        self._lock = lock
        self._closed = False
        self._unsure = False
        if lock is not None:
            remove_folders(other_builds(self._built_folder, self._committed.built))

    @classmethod
    def create(cls, path: str | os.PathLike[str], header: Header) -> Folder:
        """Make a folder without rows and open it for writing.

        Raises
        ------
        ParameterError
            Something other than an empty folder is at `path`.
        """
        if header.dim < 1 or header.dtype not in SUFFIXES:
            raise ParameterError(f"rows of {header.dim} columns of {header.dtype!r} cannot be stored")

        def fill(folder: Path) -> None:
            database = Database.create(folder / DATABASE_NAME)
            try:
                with database.writing() as connection:
                    write_header(connection, header)
                    write_committed(connection, Committed())
            finally:
                database.close()

        write_folder(path, fill)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, readonly: bool = False) -> Folder:
        """Open a folder for reading and writing, or for reading beside a writer.

        Raises
        ------
        UnknownCollectionError
            There is no collection at `path`; the message says what is.
        LockedError
            Another writer has it open.
        CorruptFileError
            It is damaged.
        FormatVersionError
            It comes from a newer nearkin, or from an older one and is opened only for reading.
        """
        place = real_path(path)
        with storage_errors(place, "read"):
            if not (place / DATABASE_NAME).exists():
                raise _unknown(place)
        with ExitStack() as undo:
            lock = None
            if not readonly:
                lock = WriterLock.acquire(place)
                undo.callback(lock.release)
            database = Database(place / DATABASE_NAME, readonly=readonly)
            undo.callback(database.close)
            folder = cls(place, database, lock)
            undo.pop_all()
        return folder

    def _read_blocks(self, connection: Any, path: Path, positions: int) -> list[Block]:
        row_bytes = self.dim * (4 if self.dtype == "float32" else 1) if self.header.keep_vectors else 0
        query = "SELECT block, bytes, checksum FROM blocks WHERE file = ? ORDER BY block"
        return read_blocks(connection.execute(query, (VECTOR_FILE,)).fetchall(), positions * row_bytes, path)

    def _open_vectors(self, path: Path, blocks: list[Block], *, readonly: bool) -> VectorFile:
        file = path / "vectors" / f"{VECTOR_FILE:06d}.{SUFFIXES[self.dtype]}"
        return VectorFile(file, self.dim, self.dtype, blocks, readonly=readonly)

    # ---- writing ---------------------------------------------------------------------------------------------------

    def commit(
        self,
        *,
        delete: np.ndarray | None = None,
        vectors: np.ndarray | None = None,
        ids: Sequence[Any] = (),
        metadata: Sequence[Metadata] | None = None,
    ) -> None:
        """Delete positions and append rows, all or nothing, on the disk when this returns.

        Raises
        ------
        ClosedError, ReadOnlyError
            The folder cannot be written through this object.
        StorageError
            Writing failed, for example on a full disk; folder and object are as after the last commit.
        """
        self._need_writable()
        ids = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        rows = self._checked_vectors(vectors, len(ids))
        gone = self._still_alive(delete)
        records = make_records(len(self), ids, metadata)
        if not gone.size and not records:
            return
        grown: list[Block] = []
        with self._transaction() as connection:
            if self._vectors is not None and records:
                grown = self._vectors.write(rows)
            after = change_rows(connection, self._database.path, self._committed, gone, records)
            after = replace(after, generation=after.generation + 1)
            blocks = [(VECTOR_FILE, *block) for block in grown]
            connection.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", blocks)
            write_committed(connection, after)
        self._record(gone, ids)
        if self._vectors is not None:
            self._vectors.accept(grown)
        self._committed, self._unsure = after, False

    def publish(
        self,
        label: str,
        state: State,
        covered: int,
        *,
        header: Header | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a built index and make it the collection's; the one before is removed.

        Parameters
        ----------
        label
            The plan with its numbers filled in.
        covered
            The index has positions 0 to covered - 1.
        header
            Takes the place of the one before in the same commit, where the plan was chosen after the folder was made.
        facts
            What was true when it was built, JSON-able; `built` gives it back.

        Raises
        ------
        StorageError
            Writing failed; the index before is still the collection's.
        """
        self._need_writable()
        if not 0 <= covered <= len(self):
            raise ParameterError(f"an index over {covered:,} rows was given, there are {len(self):,}")
        generation = self._committed.generation + 1
        built = write_built(self._built_folder, label, state, covered, generation=generation, facts=facts)
        after = replace(self._committed, generation=generation, built=built)
        try:
            with self._transaction() as connection:
                if header is not None:
                    write_header(connection, header)
                write_committed(connection, after)
        except BaseException:
            if not self._unsure:
                remove_folders([self._built_folder / built.folder])
            raise
        self.header, self._committed, self._unsure = header or self.header, after, False
        remove_folders(other_builds(self._built_folder, built))

    def forget_vectors(self) -> None:
        """Remove the rows for good and keep ids, metadata and the built index."""
        self._need_writable()
        header = replace(self.header, keep_vectors=False)
        after = replace(self._committed, generation=self._committed.generation + 1)
        with self._transaction() as connection:
            connection.execute("DELETE FROM blocks")
            write_header(connection, header)
            write_committed(connection, after)
        self.header, self._committed, self._unsure, self._vectors = header, after, False, None
        remove_folders([self.path / "vectors"])
        self._database.compact()

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """A commit; `_unsure` stays set until it is known that this object and the disk agree."""
        self._unsure = True
        try:
            with self._database.writing() as connection:
                self._refuse_another_generation(connection)
                yield connection
        except BaseException:
            self._undo()
            raise

    def _refuse_another_generation(self, connection: Any) -> None:
        found = read_committed(connection, self._database.path).generation
        if found != self._committed.generation:
            raise StorageError(
                f"{self.path} is at commit {found}, this object knows commit {self._committed.generation}",
                hint="something else changed it, close and open it again",
            )

    def _undo(self) -> None:
        """After a failure: cut off what was written, unless the disk may have taken the commit all the same."""
        with suppress(NearkinError):
            with self._database.reading() as connection:
                self._refuse_another_generation(connection)
            self._unsure = False
            if self._vectors is not None:
                self._vectors.cut()

    def _checked_vectors(self, vectors: np.ndarray | None, count: int) -> np.ndarray:
        if self._vectors is None or (vectors is None and not count):
            return np.empty((0, self.dim))
        dtype = np.float32 if self.dtype == "float32" else np.uint8
        if vectors is None or vectors.shape != (count, self.dim) or vectors.dtype != dtype:
            given = "none" if vectors is None else f"{vectors.dtype} of shape {vectors.shape}"
            raise ParameterError(f"vectors are {given}, {dtype.__name__} of shape {(count, self.dim)} expected")
        return vectors

    def _still_alive(self, delete: np.ndarray | None) -> np.ndarray:
        gone = np.unique(np.asarray(() if delete is None else delete, dtype=np.int64))
        if gone.size and not 0 <= gone[0] <= gone[-1] < len(self):
            raise ParameterError(
                f"positions {gone[0]} to {gone[-1]} were to be deleted, there are 0 to {len(self) - 1}"
            )
        return np.asarray(gone[self.alive[gone]])

    # ---- reading ---------------------------------------------------------------------------------------------------

    def take(self, positions: np.ndarray) -> np.ndarray:
        return self._need_vectors().take(positions)

    def span(self, start: int, stop: int) -> np.ndarray:
        return self._need_vectors().span(start, stop)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """As of all rows; a block that has been worked on is let go of, so that not all of them end up in memory."""
        file = self._need_vectors()
        for first, block in super().blocks(start, stop):
            yield first, block
            file.let_go(first, first + len(block))

    def pieces(self, positions: np.ndarray) -> list[tuple[int, np.ndarray]]:
        return [(0, self._need_vectors().mapped(positions))]

    def metadata(self, positions: np.ndarray) -> list[dict[str, Any]]:
        """Metadata of rows; empty dicts where there is none.

        Raises
        ------
        StateError
            A writer deleted one of the rows after this reader was opened.
        CorruptFileError
            A row is not what was written.
        """
        self._need_open()
        wanted = np.asarray(positions, dtype=np.int64)
        present = wanted[self.alive[wanted]].tolist()
        with self._database.reading() as connection:
            found = read_metadata(connection, self._database.path, present)
            missing = [position for position in present if position not in found]
            if missing:
                self._refuse_missing(connection, missing)
        return [found.get(position, {}) for position in wanted.tolist()]

    def _refuse_missing(self, connection: Any, missing: list[int]) -> None:
        where = f"position {missing[0]:,}" + (f" and {len(missing) - 1:,} more" if len(missing) > 1 else "")
        if read_committed(connection, self._database.path).generation != self._committed.generation:
            raise StateError(
                f"{self.path}: a writer deleted the row at {where} after this was opened", hint="open it again"
            )
        raise CorruptFileError(f"{self._database.path}: the row at {where} is missing", hint="restore it from a copy")

    def built(self) -> Built | None:
        """The published index, verified as a whole; None if there is none.

        A reader whose index a writer has replaced meanwhile gets the newer one, if that has no rows it does not know.

        Raises
        ------
        CorruptFileError
            It is damaged or missing. The rows are not concerned.
        StateError
            A writer replaced it after this reader was opened.
        """
        self._need_open()
        record = self._committed.built
        if record is None:
            return None
        try:
            return read_built(self._built_folder, record)
        except CorruptFileError as error:
            newer = self._latest_build()
            if newer == record:
                raise CorruptFileError(error.message, hint=self._way_out()) from error
        if newer is None or newer.covered > len(self):
            raise StateError(f"a writer replaced the index of {self.path} after this was opened", hint="open it again")
        return read_built(self._built_folder, newer)

    def _latest_build(self) -> BuiltRecord | None:
        with self._database.reading() as connection:
            return read_committed(connection, self._database.path).built

    def _way_out(self) -> str:
        if self.header.keep_vectors:
            return "the rows are safe, and the index can be built from them again"
        return "the collection keeps no vectors to build the index from, restore it from a copy"

    def sizes(self) -> dict[str, int]:
        """Bytes on disk: ``vectors``, ``rows`` (SQLite) and ``index``."""
        self._need_open()
        record = self._committed.built
        return {
            "vectors": _bytes_below(self.path / "vectors"),
            "rows": self._database.path.stat().st_size,
            "index": _bytes_below(self._built_folder / record.folder) if record else 0,
        }

    def verify(self) -> list[str]:
        """Read everything again, every checksum and count; what is wrong in words, empty if nothing is."""
        self._need_open()
        problems = []
        try:
            with self._database.reading() as connection:
                problems += self._database_problems(connection)
        except StorageError as error:
            problems.append(error.message)
        if self._vectors is not None:
            problems += self._vectors.problems()
        try:
            self.built()
        except StorageError as error:
            problems.append(str(error))
        return problems

    def _database_problems(self, connection: Any) -> list[str]:
        path = self._database.path
        found = [str(each) for (each,) in connection.execute("PRAGMA integrity_check")]
        problems = [f"{path}: {each}" for each in found if each != "ok"]
        read_header(connection, path)
        committed = read_committed(connection, path)
        problems += row_problems(connection, path, committed)
        self._read_blocks(connection, path, committed.positions)
        return problems

    # ---- inside ----------------------------------------------------------------------------------------------------

    @property
    def _built_folder(self) -> Path:
        return self.path / "built"

    def _need_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the collection in {self.path} was closed", hint="open it again")

    def _need_writable(self) -> None:
        self._need_open()
        if self._lock is None:
            raise ReadOnlyError(f"the collection in {self.path} was opened for reading only")
        if self._unsure:
            raise StorageError(
                f"the last commit to {self.path} failed in a way that leaves open whether it was written",
                hint="close the collection and open it again",
            )

    def _need_vectors(self) -> VectorFile:
        self._need_open()
        if self._vectors is None:
            raise vectors_not_kept()
        return self._vectors

    def close(self) -> None:
        """Let go of files and the lock; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._database.close()
        self._vectors = None
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def _unknown(path: Path) -> UnknownCollectionError:
    old = replaced_name(path)
    if old.exists() and not path.exists():
        return UnknownCollectionError(
            f"there is nothing at {path}, its replacement was interrupted", hint=f"rename {old} to {path}"
        )
    here = what_is_at(path)
    return UnknownCollectionError(here if not path.exists() else f"{here} and not a collection")


def _bytes_below(path: Path) -> int:
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
