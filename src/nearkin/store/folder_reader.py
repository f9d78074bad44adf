"""What a folder says: everything that is read of a collection on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from nearkin.errors import MEND, ClosedError, CorruptFileError, StateError, StorageError
from nearkin.filters import Filter
from nearkin.metadata_table import select_positions
from nearkin.rows import Rows, vectors_not_kept
from nearkin.state import State
from nearkin.store.built import Built, BuiltRecord, read_built
from nearkin.store.database import Database, written_for_all
from nearkin.store.field_indexes import read_indexed_fields
from nearkin.store.header import Header, Mark, read_committed, read_embedder_state, read_header, read_mark, read_marks
from nearkin.store.row_table import need_sound_metadata, read_ids_and_alive, read_metadata, row_problems
from nearkin.store.vector_file import SUFFIXES, Block, VectorFile, read_blocks

VECTOR_FILE = 1


class FolderReader(Rows):
    """Rows on disk as of one commit; the base of `nearkin.store.folder.Folder`, which writes them too."""

    header: Header

    def __init__(self, path: Path, database: Database, *, readonly: bool) -> None:
        with database.reading() as connection:
            self.header = read_header(connection, database.path)
            self._committed = read_committed(connection, database.path)
            self.ids, self.alive = read_ids_and_alive(connection, database.path, self._committed)
            super().__init__(self.header.dim, self.header.dtype)
            blocks = self._read_blocks(connection, database.path, self._committed.positions)
            self._indexed = read_indexed_fields(connection, database.path)
        self._vectors = self._open_vectors(path, blocks, readonly=readonly) if self.header.keep_vectors else None
        self.path = path
        self._database = database
        self._closed = False
        self._sound = False

    def _read_blocks(self, connection: Any, path: Path, positions: int) -> list[Block]:
        row_bytes = self.dim * (4 if self.dtype == "float32" else 1) if self.header.keep_vectors else 0
        query = "SELECT block, bytes, checksum FROM blocks WHERE file = ? ORDER BY block"
        return read_blocks(connection.execute(query, (VECTOR_FILE,)).fetchall(), positions * row_bytes, path)

    def _open_vectors(self, path: Path, blocks: list[Block], *, readonly: bool) -> VectorFile:
        file = path / "vectors" / f"{VECTOR_FILE:06d}.{SUFFIXES[self.dtype]}"
        return VectorFile(file, self.dim, self.dtype, blocks, readonly=readonly)

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
        known = self._committed.generation  # before `alive`: a commit in another thread replaces both
        present = wanted[self.alive[wanted]].tolist()
        with self._database.reading() as connection:
            found = read_metadata(connection, self._database.path, present)
            missing = [position for position in present if position not in found]
            if missing:
                self._refuse_missing(connection, missing, known)
        return [found.get(position, {}) for position in wanted.tolist()]

    def matching(self, filter: Filter) -> np.ndarray:
        """Positions of the rows that a filter keeps; the first filter of all verifies the metadata that it reads.

        Raises
        ------
        StateError
            A writer deleted rows after this reader was opened.
        CorruptFileError
            Metadata, or an index on it, is not what was written.
        """
        self._need_open()
        with self._database.reading() as connection:
            self._refuse_deletions(connection)
            if not self._sound:
                need_sound_metadata(connection, self._database.path)
                self._sound = True
            found = select_positions(connection, filter)
        found = found[found < len(self)]  # a writer may have added more
        return np.asarray(found[self.alive[found]])

    def _refuse_deletions(self, connection: Any) -> None:
        """A filter reads the rows that are there now: refused if some that this reader knows are gone."""
        if read_committed(connection, self._database.path).generation == self._committed.generation:
            return
        (there,) = connection.execute("SELECT count(*) FROM rows WHERE position < ?", (len(self),)).fetchone()
        if there < self.count:
            gone = self.count - there
            raise StateError(
                f"{self.path}: a writer deleted {gone:,} row{'' if gone == 1 else 's'} after this was opened",
                hint="open it again",
            )

    def _refuse_missing(self, connection: Any, missing: list[int], known: int) -> None:
        where = f"position {missing[0]:,}" + (f" and {len(missing) - 1:,} more" if len(missing) > 1 else "")
        if read_committed(connection, self._database.path).generation != known:
            raise StateError(
                f"{self.path}: a writer deleted the row at {where} after this was opened", hint="open it again"
            )
        raise CorruptFileError(f"{self._database.path}: the row at {where} is missing", hint=MEND)

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

    def inventory(self) -> tuple[int, int, int]:
        """Bytes that `verify` reads, blocks of vectors, and files of the built index."""
        self._need_open()
        record = self._committed.built
        files = sum(each.is_file() for each in (self._built_folder / record.folder).rglob("*")) if record else 0
        return sum(self.sizes().values()), self._vectors.block_count if self._vectors is not None else 0, files

    def verify(self) -> list[str]:
        """Read everything again, every checksum and count; what is wrong in words, empty if nothing is."""
        return [*self.database_problems(), *self.truth_problems(), *self.index_problems()]

    def database_problems(self) -> list[str]:
        """What SQLite says of its file; where the truth in it is whole, it can be written anew from that."""
        self._need_open()
        path = self._database.path
        try:
            if not written_for_all(path):
                return [f"{path}: its head says that only a newer SQLite may write to it"]
            with self._database.reading() as connection:
                found = [str(each) for (each,) in connection.execute("PRAGMA integrity_check")]
        except StorageError as error:
            return [error.message]
        return [f"{path}: {each}" for each in found if each != "ok"]

    def truth_problems(self) -> list[str]:
        """What of rows, ids, metadata, facts and vectors is not what was written."""
        self._need_open()
        problems = []
        try:
            with self._database.reading() as connection:
                problems += self._record_problems(connection)
        except StorageError as error:
            problems.append(error.message)
        return problems + (self._vectors.problems() if self._vectors is not None else [])

    def index_problems(self) -> list[str]:
        """What of the built index is not what was written."""
        try:
            self.built()
        except StorageError as error:
            return [str(error)]
        return []

    def _record_problems(self, connection: Any) -> list[str]:
        path = self._database.path
        header = read_header(connection, path)
        if header.dim != self.dim:
            raise StateError(f"the embedder of {self.path} learned after this was opened", hint="open it again")
        if header.embedder is not None and self.dim:
            read_embedder_state(connection, path)
        committed = read_committed(connection, path)
        problems = row_problems(connection, path, committed)
        self._read_blocks(connection, path, committed.positions)
        return problems

    @property
    def indexed_fields(self) -> tuple[str, ...]:
        return self._indexed

    def mark(self, name: str) -> dict[str, Any] | None:
        """What a commit kept under a name; None if nothing."""
        self._need_open()
        with self._database.reading() as connection:
            return read_mark(connection, name, self._database.path)

    def marks(self, start: str) -> list[Mark]:
        """What commits kept under names that begin so."""
        self._need_open()
        with self._database.reading() as connection:
            return [each for each in read_marks(connection, self._database.path) if each.name.startswith(start)]

    def embedder_state(self) -> State:
        """What the embedder has learned, verified; empty where there is none, or it has not learned yet."""
        self._need_open()
        if self.header.embedder is None or not self.dim:
            return State()
        with self._database.reading() as connection:
            return read_embedder_state(connection, self._database.path)

    # ---- inside ----------------------------------------------------------------------------------------------------

    @property
    def _built_folder(self) -> Path:
        return self.path / "built"

    def _need_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the collection in {self.path} was closed", hint="open it again")

    def _need_vectors(self) -> VectorFile:
        self._need_open()
        if self._vectors is None:
            raise vectors_not_kept()
        return self._vectors

    def close(self) -> None:
        """Let go of files; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._database.close()
            self._vectors = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def _bytes_below(path: Path) -> int:
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
