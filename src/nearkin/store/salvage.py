"""What can be trusted of a damaged folder, and a list of what is gone.

A row counts as saved if its id, metadata and position have the checksum written with them and every block of vectors that it
touches has, too. What the record of the last commit says (how many rows, and the sum of their checksums) shows whether all are
there; the index of the ids, a second list of all rows, names those that are not.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from nearkin.errors import MEND, CorruptFileError, ParameterError
from nearkin.mapped_pages import let_go
from nearkin.state import State
from nearkin.store.damaged_database import DatabaseContent, read_damaged
from nearkin.store.durability import storage_errors
from nearkin.store.header import Committed, Header, Mark
from nearkin.store.replacement import DATABASE_NAME
from nearkin.store.row_table import DIGEST, Record
from nearkin.store.vector_file import BLOCK_BYTES, SUFFIXES, row_bytes
from nearkin.vectors import DType

VECTOR_FILE = "000001"


class LostRow(NamedTuple):
    """A row that was there and cannot be trusted any more.

    Attributes
    ----------
    position
        Where it was; None if that is not known.
    id
        Its id; None if that is not known.
    reason
        What happened to it.
    """

    position: int | None
    id: int | str | None
    reason: str


@dataclass(frozen=True)
class Salvaged:
    """Rows that can be trusted, by ascending position, and those that cannot.

    Attributes
    ----------
    dim, dtype
        Of the vectors.
    header, committed
        Facts and the record of the last commit; None if they cannot be read.
    records
        Id and metadata of each row.
    lost
        Rows known to be gone.
    unnamed
        Further rows that are gone, of which neither id nor position is known.
    gaps
        Ranges of positions (first, last) without a row: the unnamed ones were there, as deleted rows were.
    doubts
        What cannot be proven, in words.
    problems
        What is damaged, in words.
    vectors
        Positions of `records` to the (m, dim) vectors there.
    fields
        Fields that had an index.
    marks
        What was committed together with rows.
    embedder_state
        What the embedder has learned; None if there is none, or it cannot be read.
    """

    dim: int
    dtype: DType
    header: Header | None
    committed: Committed | None
    records: tuple[Record, ...]
    lost: tuple[LostRow, ...]
    unnamed: int
    gaps: tuple[tuple[int, int], ...]
    doubts: tuple[str, ...]
    problems: tuple[str, ...]
    vectors: Callable[[np.ndarray], np.ndarray]
    fields: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    embedder_state: State | None = None


def salvage(
    path: Path, *, dim: int | None = None, dtype: DType | None = None, trust_vectors: bool | None = None
) -> Salvaged:
    """Read what can be trusted of a folder, and change nothing.

    Parameters
    ----------
    dim, dtype
        What the vectors are, where the header cannot be read; the number of columns is worked out where it can be.
    trust_vectors
        Whether rows are kept whose vectors have no checksum any more: True keeps them, False counts them as lost, None
        refuses to choose.

    Raises
    ------
    CorruptFileError
        No row is left of which anything is known, or nothing tells what the vectors are; or their checksums are gone and
        `trust_vectors` is None.
    FormatVersionError
        It comes from a newer nearkin.
    StorageError
        It cannot be read.
    """
    if not (path / DATABASE_NAME).is_file():
        raise CorruptFileError(f"{path / DATABASE_NAME} is missing, and with it all ids", hint=MEND)
    vector_bytes = _largest_file(path / "vectors")
    found = read_damaged(path / DATABASE_NAME, vector_bytes)
    records, lost, doubts = _rows_that_were_there(found)
    if vector_bytes and not records and not lost and found.committed is None:  # an empty folder would be no repair
        raise CorruptFileError(
            f"no row can be read from {path / DATABASE_NAME}, and nothing else tells the ids",
            hint=MEND,
        )
    dim, dtype = _shape(found, dim, dtype, path)
    file = _VectorBytes(path / "vectors" / f"{VECTOR_FILE}.{SUFFIXES[dtype]}", row_bytes(dim, dtype), found)
    kept, gone = file.split(records, trust_vectors)
    lost += gone
    if trust_vectors and file.unlisted:
        doubts.append("vectors whose checksums are gone were taken as they are")
        kept, more = file.split_finite(kept, dtype)
        lost += more
    unnamed = max(0, found.committed.rows - len(kept) - len(lost)) if found.committed else 0
    return Salvaged(
        dim,
        dtype,
        found.header,
        found.committed,
        tuple(kept),
        tuple(sorted(lost, key=lambda row: -1 if row.position is None else row.position)),
        unnamed,
        _gaps([row.position for row in records], found.committed.positions) if unnamed and found.committed else (),
        tuple(doubts),
        (*found.problems, *file.problems),
        lambda positions: file.rows(dtype)[positions],
        found.fields,
        found.marks,
        found.embedder_state,
    )


# ---- which rows were there -------------------------------------------------------------------------------------------


def _rows_that_were_there(found: DatabaseContent) -> tuple[list[Record], list[LostRow], list[str]]:
    """Records that are whole and were not deleted, rows known to be lost, and what cannot be proven.

    A row never changes at its position, so that a whole record is right wherever it was found: only whether it had been
    deleted is open. Pages that are not in use any more may still hold rows that were.
    """
    records = _of_one_kind(found)
    committed = found.committed
    if committed is not None and _adds_up(records, committed):
        return _sorted(records), [], []
    listed = found.listed
    usable = len(set(listed.values())) == len(listed) and (committed is None or len(listed) == committed.rows)
    doubts, lost = [], []
    if committed is None:
        doubts.append(
            "the record of the last commit cannot be read, so that it cannot be proven that all rows are there"
        )
    if usable and listed:
        there = {at: row for at, row in records.items() if listed.get(at) == row.id}
        if committed is None or not _adds_up(there, committed):
            reason = "it is not in the index of ids: deleted before, or damaged there"
            lost += [LostRow(at, row.id, reason) for at, row in records.items() if at not in there]
    else:
        there = _without_one_too_many(records, committed)
        if committed is not None and not _adds_up(there, committed):
            doubts.append("rows that had been deleted may be among those that were found")
    named = {at: key for at, key in {**listed, **found.broken}.items() if at not in found.records}
    lost += [LostRow(at, key, "its record is damaged") for at, key in named.items()]
    return _sorted(there), lost, doubts


def _sorted(records: dict[int, Record]) -> list[Record]:
    return [records[at] for at in sorted(records)]


def _of_one_kind(found: DatabaseContent) -> dict[int, Record]:
    """Without records whose id is of another kind than the others', which its checksum does not tell; no id twice."""
    kinds = Counter(type(row.id) for row in found.records.values())
    kind = kinds.most_common(1)[0][0] if kinds else int
    if found.committed is not None:
        kind = str if found.committed.id_kind == "str" else int
    last: dict[Any, int] = {}
    for at in sorted(found.records):
        last[found.records[at].id] = at  # an earlier row of the same id was replaced, and is deleted
    return {at: row for at, row in found.records.items() if type(row.id) is kind and last[row.id] == at}


def _adds_up(records: dict[int, Record], committed: Committed) -> bool:
    total = sum(row.checksum for row in records.values())
    return len(records) == committed.rows and total % DIGEST == committed.digest


def _without_one_too_many(records: dict[int, Record], committed: Committed | None) -> dict[int, Record]:
    """Without a deleted row that came back, where the sum of the checksums says which it is."""
    if committed is None or len(records) != committed.rows + 1:
        return records
    over = (sum(row.checksum for row in records.values()) - committed.digest) % DIGEST
    back = [at for at, row in records.items() if row.checksum == over]
    return {at: row for at, row in records.items() if at != back[0]} if len(back) == 1 else records


def _gaps(positions: list[int], total: int) -> tuple[tuple[int, int], ...]:
    edges = [-1, *positions, total]
    return tuple((low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1)


# ---- vectors ---------------------------------------------------------------------------------------------------------


def _shape(found: DatabaseContent, dim: int | None, dtype: DType | None, path: Path) -> tuple[int, DType]:
    """Columns and type of the vectors: from the header, as given, or the columns from bytes and rows."""
    header = found.header
    if header is not None:
        if not header.keep_vectors:
            raise CorruptFileError(
                f"{path} keeps no vectors, so that its index cannot be built over the rows that are left",
                hint=MEND,
            )
        return header.dim, header.dtype
    if dtype is None:
        raise CorruptFileError(
            f"the facts of {path} cannot be read, so that its metric is not known", hint="pass metric= (--metric)"
        )
    columns = _columns(found, dtype)
    if dim is not None and columns is not None and dim != columns:
        raise ParameterError(f"dim is {dim}, and the vectors in {path} have {columns} columns", hint="leave dim out")
    dim = dim if dim is not None else columns
    if dim is None:
        raise CorruptFileError(
            f"the facts of {path} cannot be read, so that the number of columns is not known",
            hint="pass dim= (--dim)",
        )
    return dim, dtype


def _columns(found: DatabaseContent, dtype: DType) -> int | None:
    """Columns of the vectors, from their bytes and their number; None if these are not known."""
    if found.committed is None or not found.committed.positions or not found.blocks:
        return None
    if sorted(found.blocks) != list(range(len(found.blocks))):
        return None
    columns, rest = divmod(
        sum(size for size, _ in found.blocks.values()), found.committed.positions * row_bytes(1, dtype)
    )
    return columns if columns and not rest else None


class _VectorBytes:
    """The vector file and how many bytes of each block are confirmed by a checksum."""

    def __init__(self, path: Path, of_row: int, found: DatabaseContent) -> None:
        self._path = path
        self._of_row = of_row
        self.problems: list[str] = []
        self.unlisted: set[int] = set()
        with storage_errors(path, "read"):
            there = path.stat().st_size if path.is_file() else 0
            self._bytes = np.memmap(path, dtype=np.uint8, mode="r") if there else np.empty(0, dtype=np.uint8)
        positions = found.committed.positions if found.committed else max(found.records, default=-1) + 1
        self._total = positions * of_row
        if found.committed is None:  # rows at the end may have been deleted, and their vectors are in the checksum
            listed = (number * BLOCK_BYTES + min(size, BLOCK_BYTES) for number, (size, _) in found.blocks.items())
            self._total = max([self._total, *(end for end in listed if end <= there)])
        if there < self._total:
            self.problems.append(f"{path} has {there:,} bytes, {self._total:,} are committed")
        blocks = range(-(-self._total // BLOCK_BYTES))
        self._good = np.array([self._confirmed(number, found.blocks.get(number)) for number in blocks], dtype=np.int64)

    def _confirmed(self, number: int, listed: tuple[int, int] | None) -> int:
        """Leading bytes of a block that have a checksum which holds; of one without, those that are there."""
        start = number * BLOCK_BYTES
        expected = min(BLOCK_BYTES, self._total - start)
        content = self._bytes[start : start + expected]
        if listed is None:
            self.unlisted.add(number)
            return len(content)
        # an entry of an earlier commit confirms what the block held then
        for size in dict.fromkeys((expected, min(max(0, listed[0]), expected))):
            if size <= len(content) and crc32(np.ascontiguousarray(content[:size]).data) == listed[1] and size:
                let_go(content)
                return size
        if len(content) == expected:
            self.problems.append(f"{self._path}: block {number} does not have the checksum that was written with it")
        return 0

    def split(self, records: list[Record], trust: bool | None) -> tuple[list[Record], list[LostRow]]:
        """Records whose vectors are confirmed, and the others as lost."""
        kept, lost, unsure = [], [], 0
        for record in records:
            first = record.position * self._of_row
            state = self._state(first, first + self._of_row)
            unsure += state == "unlisted"
            if state == "good" or (state == "unlisted" and trust):
                kept.append(record)
            else:
                reason = "its vector has no checksum any more" if state == "unlisted" else "its vector is damaged"
                lost.append(LostRow(record.position, record.id, reason))
        if unsure and trust is None:
            raise CorruptFileError(
                f"the checksums of the vectors of {unsure:,} of {len(records):,} rows in {self._path} are gone, so that "
                "nothing tells whether these are what was written",
                hint="pass trust_vectors=True (--trust-vectors) to take them, or False (--no-trust-vectors) to do without",
            )
        return kept, lost

    def _state(self, start: int, stop: int) -> str:
        unlisted = False
        for number in range(start // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES + 1):
            needed = min(stop, (number + 1) * BLOCK_BYTES) - number * BLOCK_BYTES
            if number >= len(self._good) or self._good[number] < needed:
                return "bad"
            unlisted |= number in self.unlisted
        return "unlisted" if unlisted else "good"

    def split_finite(self, records: list[Record], dtype: DType) -> tuple[list[Record], list[LostRow]]:
        """Records without those whose vectors hold what no vector does: nothing else speaks against unconfirmed ones."""
        if dtype != "float32":
            return records, []
        finite = [bool(np.isfinite(self.rows(dtype)[record.position]).all()) for record in records]
        bad = [record for record, good in zip(records, finite, strict=True) if not good]
        return [record for record, good in zip(records, finite, strict=True) if good], [
            LostRow(record.position, record.id, "its vector is not finite") for record in bad
        ]

    def rows(self, dtype: DType) -> np.ndarray:
        """All whole rows of the file as they lie there; only those of kept records are to be read."""
        whole = len(self._bytes) // self._of_row
        plain = np.asarray(self._bytes)[: whole * self._of_row]
        return plain.view("<f4" if dtype == "float32" else "u1").reshape(whole, -1)


def _largest_file(folder: Path) -> int:
    with storage_errors(folder, "read"):
        if not folder.is_dir():
            return 0
        return max((os.stat(each).st_size for each in folder.iterdir() if each.is_file()), default=0)
