"""The truth of a collection: rows, ids, metadata and which are deleted; in memory here, on disk in `nearkin.store`.

Everything else of a collection (its index) can be built again from this.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from sys import getsizeof
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import NotSupportedError
from nearkin.filters import Filter
from nearkin.ids import IdTable
from nearkin.metadata_table import MetadataTable
from nearkin.metadata_text import MetadataText, metadata_text
from nearkin.vectors import BLOCK_BYTES, DType, block_rows

Metadata = Mapping[str, Any] | MetadataText | None
"""Of one row: what JSON can hold, or the text that was made of it."""


class Row(NamedTuple):
    """One stored row."""

    id: Any
    vector: np.ndarray | None
    metadata: dict[str, Any]


class Rows(ABC):
    """Rows by position, append-only; a deleted row keeps its position and is never returned.

    Attributes
    ----------
    ids
        Ids by position.
    alive
        (n,) boolean, False where the row is deleted; replaced, never changed in place.
    """

    ids: IdTable
    alive: np.ndarray

    def __init__(self, dim: int, dtype: DType) -> None:
        self.dim = dim
        self.dtype = dtype

    def __len__(self) -> int:
        """Positions, deleted ones included."""
        return len(self.alive)

    @property
    def count(self) -> int:
        """Rows that are not deleted."""
        return int(np.count_nonzero(self.alive))

    @abstractmethod
    def commit(
        self,
        *,
        delete: np.ndarray | None = None,
        vectors: np.ndarray | None = None,
        ids: Sequence[Any] = (),
        metadata: Sequence[Metadata] | None = None,
    ) -> None:
        """Delete positions and append rows, all or nothing."""

    @abstractmethod
    def take(self, positions: np.ndarray) -> np.ndarray:
        """(m, dim) rows at positions."""

    @abstractmethod
    def span(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, dim) rows, deleted ones included; a view where it can be."""

    @abstractmethod
    def pieces(self, positions: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Contiguous arrays that hold the rows at positions (of any shape, -1 is none), each with its first position, without
        a copy. Other rows of the arrays may not have been verified: they are not to be read.
        """

    @abstractmethod
    def metadata(self, positions: np.ndarray) -> list[dict[str, Any]]:
        """Metadata of rows; empty dicts where there is none."""

    @abstractmethod
    def matching(self, filter: Filter) -> np.ndarray:
        """(m,) ascending positions of the rows that are not deleted and that a filter keeps."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files."""

    @property
    def indexed_fields(self) -> tuple[str, ...]:
        """Fields of the metadata that filters look up instead of reading every row."""
        return ()

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Blocks of (first position, rows) of bounded size."""
        end = len(self) if stop is None else stop
        step = block_rows(self.dim * (4 if self.dtype == "float32" else 1))
        for first in range(start, end, step):
            yield first, self.span(first, min(end, first + step))

    def _record(self, delete: np.ndarray | None, ids: Sequence[Any]) -> None:
        """Bring `ids` and `alive` up to date after a commit."""
        alive = self.alive.copy()
        if delete is not None and len(delete):
            alive[delete] = False
            self.ids.forget(delete)
        self.ids.extend(ids)
        self.alive = np.concatenate([alive, np.ones(len(ids), dtype=bool)])


class MemoryRows(Rows):
    """Rows in memory, in the blocks that they came in: a memory-mapped file stays on disk when rows are added to it.

    >>> rows = MemoryRows(2, "float32")
    >>> rows.commit(vectors=np.float32([[1, 2], [3, 4]]), ids=[0, 1])
    >>> rows.commit(delete=np.array([0]))
    >>> len(rows), rows.count, rows.take(np.array([1])).tolist()
    (2, 1, [[3.0, 4.0]])
    """

    def __init__(self, dim: int, dtype: DType) -> None:
        super().__init__(dim, dtype)
        self.ids = IdTable(None, 0)
        self.alive = np.empty(0, dtype=bool)
        self._blocks: tuple[np.ndarray, ...] = (
            np.empty((0, dim), dtype=np.float32 if dtype == "float32" else np.uint8),
        )
        self._metadata: dict[int, MetadataText] = {}
        self._table: MetadataTable | None = None

    def commit(
        self,
        *,
        delete: np.ndarray | None = None,
        vectors: np.ndarray | None = None,
        ids: Sequence[Any] = (),
        metadata: Sequence[Metadata] | None = None,
    ) -> None:
        first = len(self)
        texts = [metadata_text(each, row) for row, each in enumerate(metadata or ())]
        if vectors is not None and len(vectors):
            self._blocks = _appended(self._blocks, vectors)
        self._metadata.update((first + row, text) for row, text in enumerate(texts) if text is not None)
        for position in () if delete is None else delete.tolist():
            self._metadata.pop(position, None)
        self._record(delete, ids)
        if self._table is not None:
            self._table.change(() if delete is None else delete.tolist(), self._records(np.arange(first, len(self))))

    def matching(self, filter: Filter) -> np.ndarray:
        if self._table is None:
            table = MetadataTable()
            table.change((), self._records(np.flatnonzero(self.alive)))
            self._table = table
        return self._table.matching(filter)

    def _records(self, positions: np.ndarray) -> Iterator[tuple[int, Any, str | None]]:
        ids = self.ids.at(positions).tolist()
        return zip(positions.tolist(), ids, map(self._metadata.get, positions.tolist()), strict=True)

    def take(self, positions: np.ndarray) -> np.ndarray:
        blocks = self._blocks
        if len(blocks) == 1:
            return np.asarray(blocks[0][positions])
        starts = _starts(blocks)
        owner = np.searchsorted(starts, positions, side="right") - 1
        taken = np.empty((len(positions), self.dim), dtype=blocks[0].dtype)
        for number in np.unique(owner).tolist():
            here = owner == number
            taken[here] = blocks[number][positions[here] - starts[number]]
        return taken

    def span(self, start: int, stop: int) -> np.ndarray:
        blocks = self._blocks
        parts = [
            block[max(0, start - first) : stop - first]
            for first, block in zip(_starts(blocks).tolist(), blocks, strict=True)
            if first < stop and start < first + len(block)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([blocks[0][:0], *parts])

    def pieces(self, positions: np.ndarray) -> list[tuple[int, np.ndarray]]:
        blocks = self._blocks
        return list(zip(_starts(blocks).tolist(), blocks, strict=True))

    def metadata(self, positions: np.ndarray) -> list[dict[str, Any]]:
        return [json.loads(self._metadata.get(position, "{}")) for position in positions.tolist()]

    def metadata_bytes(self) -> int:
        """Bytes of all metadata as the texts that they are, and of the table that filters read, once one was asked for."""
        texts = getsizeof(self._metadata) + sum(map(getsizeof, self._metadata.values())) if self._metadata else 0
        return texts + (0 if self._table is None else self._table.nbytes)

    def close(self) -> None:
        self._blocks = (self._blocks[0][:0].copy(),)
        if self._table is not None:
            self._table.close()


def _appended(blocks: tuple[np.ndarray, ...], rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Blocks with rows after the last: small ones are joined, so that many adds leave few blocks and large ones stay put."""
    kept = [block for block in blocks if len(block)]
    while kept and len(kept[-1]) <= len(rows) and kept[-1].nbytes + rows.nbytes <= BLOCK_BYTES:
        rows = np.concatenate([kept.pop(), rows])
    return (*kept, rows)


def _starts(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Position of the first row of each block."""
    return np.cumsum([0, *(len(block) for block in blocks[:-1])])


class ForgottenRows(MemoryRows):
    """Ids and metadata without the vectors, for a collection that keeps only its index."""

    @classmethod
    def of(cls, rows: Rows) -> ForgottenRows:
        """The same positions, ids and metadata without the vectors."""
        forgotten = cls(rows.dim, rows.dtype)
        forgotten.ids, forgotten.alive = rows.ids, rows.alive
        known = zip(range(len(rows)), rows.metadata(np.arange(len(rows))), strict=True)
        texts = ((position, metadata_text(each, position)) for position, each in known)
        forgotten._metadata = {position: text for position, text in texts if text is not None}
        return forgotten

    def commit(
        self,
        *,
        delete: np.ndarray | None = None,
        vectors: np.ndarray | None = None,
        ids: Sequence[Any] = (),
        metadata: Sequence[Metadata] | None = None,
    ) -> None:
        super().commit(delete=delete, ids=ids, metadata=metadata)

    def take(self, positions: np.ndarray) -> np.ndarray:
        raise vectors_not_kept()

    def span(self, start: int, stop: int) -> np.ndarray:
        raise vectors_not_kept()

    def pieces(self, positions: np.ndarray) -> list[tuple[int, np.ndarray]]:
        raise vectors_not_kept()


def vectors_not_kept() -> NotSupportedError:
    """What asking for the vectors of a collection without them raises."""
    return NotSupportedError(
        "this collection was built with keep_vectors=False and has only its index, not the rows",
        hint="build it again with the vectors kept",
    )
