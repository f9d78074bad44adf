"""A collection on disk: its truth as `Rows`, and the built index beside it.

::

    collection.sqlite    rows, ids, metadata, header: truth, and the commit point
    vectors/000001.f32   rows as raw little-endian floats (.u8 for packed bits): truth
    built/<plan>-<hash>/ the built index: derived, can be deleted without loss where the vectors are kept
    LOCK                 held by the one writer
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.errors import (
    FilterError,
    NearkinError,
    ParameterError,
    ReadOnlyError,
    StorageError,
    UnknownCollectionError,
    UnknownNameError,
)
from nearkin.filters.names import as_field
from nearkin.rows import Metadata
from nearkin.state import State
from nearkin.store.built import Built, other_builds, remove_folders, write_built
from nearkin.store.database import Database
from nearkin.store.durability import storage_errors
from nearkin.store.failpoints import failpoint
from nearkin.store.field_indexes import create_field_index, drop_field_index
from nearkin.store.folder_reader import VECTOR_FILE, FolderReader
from nearkin.store.header import (
    Committed,
    Header,
    Mark,
    read_committed,
    write_committed,
    write_embedder_state,
    write_header,
    write_mark,
)
from nearkin.store.lock import WriterLock
from nearkin.store.replacement import DATABASE_NAME, real_path, replaced_name, what_is_at, write_folder
from nearkin.store.row_table import change_rows, make_records
from nearkin.store.vector_file import SUFFIXES, Block

__all__ = ["Built", "Folder", "Header", "write_folder"]


class Folder(FolderReader):
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

    def __init__(self, path: Path, database: Database, lock: WriterLock | None) -> None:
        super().__init__(path, database, readonly=lock is None)
        self._lock = lock
        self._unsure = False
        if lock is not None:
            remove_folders(other_builds(self._built_folder, self._committed.built))

    @classmethod
    def create(cls, path: str | os.PathLike[str], header: Header, embedder_state: State | None = None) -> Folder:
        """Make a folder without rows and open it for writing.

        Parameters
        ----------
        embedder_state
            What the embedder of the header has learned; without it, that has to learn yet, and `settle` fixes the columns.

        Raises
        ------
        ParameterError
            Something other than an empty folder is at `path`.
        """
        waits = header.embedder is not None and embedder_state is None
        if waits != (header.dim == 0) or header.dim < 0 or header.dtype not in SUFFIXES:
            raise ParameterError(f"rows of {header.dim} columns of {header.dtype!r} cannot be stored")

        def fill(folder: Path) -> None:
            database = Database.create(folder / DATABASE_NAME)
            try:
                with database.writing() as connection:
                    write_header(connection, header)
                    if embedder_state is not None:
                        write_embedder_state(connection, embedder_state)
                    write_committed(connection, Committed())
            finally:
                database.close()

        if (real_path(path) / DATABASE_NAME).is_file():
            raise ParameterError(
                f"there is a collection at {real_path(path)} already",
                hint="open it and add to it (nearkin.open, nearkin add), or choose another path",
            )
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

    # ---- writing ---------------------------------------------------------------------------------------------------

    def commit(
        self,
        *,
        delete: np.ndarray | None = None,
        vectors: np.ndarray | None = None,
        ids: Sequence[Any] = (),
        metadata: Sequence[Metadata] | None = None,
        mark: Mark | None = None,
    ) -> None:
        """Delete positions and append rows, all or nothing, on the disk when this returns.

        Parameters
        ----------
        mark
            Kept or taken away in the same commit.

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
        if not gone.size and not records and mark is None:
            return
        with self._transaction() as connection, self._writing(rows) as grown:
            after = change_rows(connection, self._database.path, self._committed, gone, records)
            after = replace(after, generation=after.generation + 1)
            blocks = [(VECTOR_FILE, *block) for block in grown]
            connection.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", blocks)
            failpoint("blocks recorded")
            if mark is not None:
                write_mark(connection, mark)
            write_committed(connection, after)
        self._record(gone, ids)
        if self._vectors is not None:
            self._vectors.accept(grown)
        self._committed, self._unsure = after, False

    def settle(self, header: Header, embedder_state: State) -> None:
        """Fix the columns of a folder whose embedder had to learn from the first items, and keep what it has learned.

        Raises
        ------
        ParameterError
            They are fixed already.
        """
        self._need_writable()
        if self.dim or header.dim < 1:
            raise ParameterError(f"the rows of {self.path} have {self.dim} columns, {header.dim} were to be fixed")
        after = replace(self._committed, generation=self._committed.generation + 1)
        with self._transaction() as connection:
            write_header(connection, header)
            write_embedder_state(connection, embedder_state)
            write_committed(connection, after)
        self.header, self.dim, self._committed, self._unsure = header, header.dim, after, False
        self._vectors = self._open_vectors(self.path, [], readonly=False)

    def replace_header(self, header: Header) -> None:
        """Keep other facts of the same rows."""
        self._need_writable()
        after = replace(self._committed, generation=self._committed.generation + 1)
        with self._transaction() as connection:
            write_header(connection, header)
            write_committed(connection, after)
        self.header, self._committed, self._unsure = header, after, False

    def reserve_ids(self, next_id: int) -> None:
        """Let automatic whole numbers go on from `next_id` at least: those below may have been ids of rows that are gone."""
        self._need_writable()
        if next_id <= self._committed.next_id or self.ids.kind == "str":
            return
        after = replace(self._committed, generation=self._committed.generation + 1, next_id=next_id)
        with self._transaction() as connection:
            write_committed(connection, after)
        self.ids.reserve(next_id)
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

    def index_field(self, name: str) -> None:
        """Make an index on a field of the metadata, which filters then use; nothing if there is one.

        Raises
        ------
        FilterError
            The name cannot be that of a field, or is that of the id.
        """
        self._need_writable()
        name = _field_of_metadata(name)
        if name not in self._indexed:
            self._change_fields(create_field_index, name, (*self._indexed, name))

    def drop_field_index(self, name: str) -> None:
        """Take the index on a field away.

        Raises
        ------
        UnknownNameError
            There is none.
        """
        self._need_writable()
        name = _field_of_metadata(name)
        if name not in self._indexed:
            there = f"there are indexes on {', '.join(self._indexed)}" if self._indexed else "no field has one"
            raise UnknownNameError(f"there is no index on the field {name!r}, {there}")
        self._change_fields(drop_field_index, name, tuple(each for each in self._indexed if each != name))

    def _change_fields(self, change: Callable[[Any, str], None], name: str, after: tuple[str, ...]) -> None:
        committed = replace(self._committed, generation=self._committed.generation + 1)
        with self._transaction() as connection:
            change(connection, name)
            write_committed(connection, committed)
        self._committed, self._indexed, self._unsure = committed, tuple(sorted(after)), False

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

    def _writing(self, rows: np.ndarray) -> AbstractContextManager[list[Block]]:
        """Vectors on their way to the disk; nothing where there are none, or none are kept."""
        return self._vectors.writing(rows) if self._vectors is not None and len(rows) else nullcontext([])

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

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _need_writable(self) -> None:
        self._need_open()
        if self._lock is None:
            raise ReadOnlyError(f"the collection in {self.path} was opened for reading only")
        if self._unsure:
            raise StorageError(
                f"the last commit to {self.path} failed in a way that leaves open whether it was written",
                hint="close the collection and open it again",
            )

    def close(self) -> None:
        """Let go of files and the lock; a second call does nothing."""
        super().close()
        if self._lock is not None:
            self._lock.release()


def _field_of_metadata(name: str) -> str:
    """The name as filters write it."""
    field = as_field(name)
    if not field.keys:
        raise FilterError(f"{name} is the id of a row, which is looked up without an index of its own")
    return str(field)


def _unknown(path: Path) -> UnknownCollectionError:
    old = replaced_name(path)
    if old.exists() and not path.exists():
        return UnknownCollectionError(
            f"there is nothing at {path}, its replacement was interrupted", hint=f"rename {old} to {path}"
        )
    damaged = path.with_name(path.name + ".damaged")
    if damaged.exists() and not path.exists():
        return UnknownCollectionError(
            f"there is nothing at {path}, its repair was interrupted", hint="run nearkin repair again, which goes on"
        )
    if not path.exists():
        return UnknownCollectionError(what_is_at(path), hint="nearkin create or nearkin build makes a collection")
    return UnknownCollectionError(f"{what_is_at(path)} and not a collection")
