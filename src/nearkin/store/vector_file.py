"""Raw little-endian rows in one append-only file, with a checksum for every block of 1 MiB.

The file counts up to the rows that SQLite has committed. What is committed is never written to again; what lies beyond
is left from a commit that did not happen, and the next writer cuts it off.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from nearkin.errors import MEND, CorruptFileError, ParameterError
from nearkin.mapped_pages import let_go
from nearkin.store.durability import storage_errors, sync_file, sync_folder, write_pieces
from nearkin.store.failpoints import failpoint
from nearkin.vectors import DType, block_rows

BLOCK_BYTES = 1 << 20
WORTH_A_THREAD = 1 << 18
"""Bytes; to hand fewer to another thread takes longer than to wait for the disk."""

FEW = 16
"""Rows that are taken without letting go of the pages around them: systems map 64 KiB to 2 MiB around each."""
SUFFIXES = {"float32": "f32", "bits": "u8"}


def row_bytes(dim: int, dtype: DType) -> int:
    """Bytes of a row in the file.

    >>> row_bytes(3, "float32"), row_bytes(3, "bits")
    (12, 3)
    """
    return dim * (4 if dtype == "float32" else 1)


class Block(NamedTuple):
    """Checksum of a block of the file; the last block grows until it is full."""

    number: int
    size: int
    checksum: int


class _Committed(NamedTuple):
    """Replaced as a whole by a commit, so that a search in another thread never sees half of one."""

    blocks: tuple[Block, ...]
    verified: np.ndarray

    @property
    def size(self) -> int:
        return (len(self.blocks) - 1) * BLOCK_BYTES + self.blocks[-1].size if self.blocks else 0


class VectorFile:
    """Rows of a collection.

    Parameters
    ----------
    path
        The file; made by the first write.
    dim, dtype
        Columns, and ``"float32"`` or ``"bits"`` (bytes).
    blocks
        What is committed.

    Raises
    ------
    CorruptFileError
        The file is shorter than what is committed.
    """

    def __init__(self, path: Path, dim: int, dtype: DType, blocks: Sequence[Block], *, readonly: bool) -> None:
        self.path = path
        self._dim = dim
        self._dtype = np.dtype("<f4" if dtype == "float32" else "u1")
        self._row_bytes = dim * self._dtype.itemsize
        self._committed = _Committed(tuple(blocks), np.zeros(len(blocks), dtype=bool))
        self._mapped = np.empty((0, dim), dtype=self._dtype)
        self._refuse_short()
        if readonly:
            self._rows(self._committed)  # mapped now: by the time that it is read, another file may be in its place
        else:
            self.cut()

    @property
    def size(self) -> int:
        """Bytes that are committed."""
        return self._committed.size

    @property
    def block_count(self) -> int:
        """Blocks that have a checksum."""
        return len(self._committed.blocks)

    # ---- writing ---------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, vectors: np.ndarray) -> Iterator[list[Block]]:
        """Write rows after those committed while the context runs; when it ends they are on the disk, or it raises.

        Gives the blocks that are new or grew. The rows count once `accept` is called.
        """
        content = np.ascontiguousarray(vectors, dtype=self._dtype).reshape(-1).view(np.uint8).data
        if len(content) < WORTH_A_THREAD:
            self._write(content)
            yield self._grown(content)
            return
        with ThreadPoolExecutor(1) as pool:  # the disk works while SQLite takes in what belongs to the rows
            written = pool.submit(self._write, content)
            yield self._grown(content)
            written.result()

    def _write(self, content: memoryview) -> None:
        new = not self.path.exists()
        with storage_errors(self.path, "written"):
            self.path.parent.mkdir(exist_ok=True)
            with open(self.path, "xb" if new else "r+b", buffering=0) as file:
                failpoint("vector file opened")
                file.seek(self.size)
                write_pieces(file, content)
                failpoint("vectors written")
                sync_file(file.fileno())
                failpoint("vectors synced")
            if new:
                sync_folder(self.path.parent)
                sync_folder(self.path.parent.parent)

    def _grown(self, content: memoryview) -> list[Block]:
        """Blocks after appending bytes; the last one's checksum goes on from what is stored, not from what is read."""
        grown: list[Block] = []
        number, filled = divmod(self.size, BLOCK_BYTES)
        checksum = self._committed.blocks[-1].checksum if filled else 0
        done = 0
        while done < len(content):
            piece = content[done : done + BLOCK_BYTES - filled]
            grown.append(Block(number, filled + len(piece), crc32(piece, checksum)))
            done += len(piece)
            number, filled, checksum = number + 1, 0, 0
        return grown

    def accept(self, grown: Sequence[Block]) -> None:
        """Count rows that were written and have been committed."""
        if grown:
            first, (blocks, verified) = grown[0].number, self._committed
            unread = np.zeros(len(grown), dtype=bool)
            self._committed = _Committed((*blocks[:first], *grown), np.append(verified[:first], unread))

    def cut(self) -> None:
        """Take away what lies beyond the committed rows."""
        if self.path.exists() and self.path.stat().st_size > self.size:
            with storage_errors(self.path, "cut"), open(self.path, "r+b", buffering=0) as file:
                file.truncate(self.size)
                failpoint("tail cut")

    # ---- reading ---------------------------------------------------------------------------------------------------

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(m, dim) rows at positions, a copy."""
        positions = np.asarray(positions, dtype=np.int64)
        rows = self._rows(self._committed)
        if positions.size and not 0 <= positions.min() <= positions.max() < len(rows):
            raise ParameterError(
                f"positions {positions.min()} to {positions.max()} were asked for, there are 0 to {len(rows) - 1}"
            )
        if positions.size > FEW:
            return self._gathered(positions)
        return np.asarray(self.mapped(positions)[positions])

    def _gathered(self, positions: np.ndarray) -> np.ndarray:
        """Many rows, from one part of the file after the other, so that the file does not end up in memory."""
        taken = np.empty((len(positions), self._dim), dtype=self._dtype)
        order = np.argsort(positions, kind="stable")
        step = block_rows(self._row_bytes)
        for first in range(0, int(positions.max()) + 1, step):
            start, stop = np.searchsorted(positions, [first, first + step], sorter=order)
            here = order[start:stop]
            taken[here] = self.mapped(positions[here])[positions[here]]
            self.let_go(first, first + step)
        return taken

    def mapped(self, positions: np.ndarray) -> np.ndarray:
        """All rows as they are mapped, read-only; those at `positions` (negative ones are none) are verified, and no
        others may be read."""
        committed = self._committed
        if not committed.verified.all():
            wanted = np.unique(positions[positions >= 0])
            first = wanted * self._row_bytes // BLOCK_BYTES
            last = ((wanted + 1) * self._row_bytes - 1) // BLOCK_BYTES
            for step in range(int((last - first).max(initial=-1)) + 1):
                self._verify_blocks(committed, np.unique(np.minimum(first + step, last)).tolist())
        return self._rows(committed)

    def span(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, dim) rows, a read-only view."""
        committed = self._committed
        rows = self._rows(committed)
        start, stop, _ = slice(start, stop).indices(len(rows))
        if start < stop:
            last = (stop * self._row_bytes - 1) // BLOCK_BYTES
            self._verify_blocks(committed, range(start * self._row_bytes // BLOCK_BYTES, last + 1))
        return rows[start:stop]

    def let_go(self, start: int, stop: int) -> None:
        """Take rows out of the memory of the process; they are read again when they are touched."""
        let_go(self._mapped[start:stop])

    def problems(self) -> list[str]:
        """Read every block again; what is wrong, in words."""
        committed = self._committed
        committed.verified[:] = False
        found: list[str] = []
        try:
            self._refuse_short()
        except CorruptFileError as error:
            return [error.message]
        for block in committed.blocks:
            try:
                self._verify_blocks(committed, [block.number])
            except CorruptFileError as error:
                found.append(error.message)
        return found

    def _rows(self, committed: _Committed) -> np.ndarray:
        """All committed rows, mapped again after they became more; not verified."""
        rows, size = self._mapped, committed.size
        if rows.nbytes != size:
            with storage_errors(self.path, "read"), open(self.path, "rb") as file:
                mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
            rows = self._mapped = np.frombuffer(mapped, dtype=self._dtype).reshape(-1, self._dim)
        return rows

    def _verify_blocks(self, committed: _Committed, numbers: Iterable[int]) -> None:
        content = self._rows(committed).reshape(-1).view(np.uint8)
        for number in numbers:
            if not committed.verified[number]:
                start, block = number * BLOCK_BYTES, committed.blocks[number]
                self._check(block, crc32(content[start : start + block.size].data))
                committed.verified[number] = True
                let_go(content[start : start + block.size])

    def _check(self, block: Block, found: int) -> None:
        if found == block.checksum:
            return
        first = block.number * BLOCK_BYTES // self._row_bytes
        last = math.ceil((block.number * BLOCK_BYTES + block.size) / self._row_bytes) - 1
        raise CorruptFileError(
            f"{self.path}: block {block.number} (positions {first:,} to {last:,}) has checksum {found:08x}, "
            f"it was written with {block.checksum:08x}",
            hint=MEND,
        )

    def _refuse_short(self) -> None:
        found = self.path.stat().st_size if self.path.exists() else 0
        if found < self.size:
            raise CorruptFileError(
                f"{self.path} has {found:,} bytes, {self.size:,} are committed ({self.size // self._row_bytes:,} rows)",
                hint=MEND,
            )


def read_blocks(found: Sequence[tuple[int, int, int]], total: int, path: Path) -> list[Block]:
    """Blocks as stored in order of their number, refused unless they make up `total` bytes without a gap."""
    blocks = [Block(*each) for each in found]
    sizes = [BLOCK_BYTES] * (total // BLOCK_BYTES) + ([total % BLOCK_BYTES] if total % BLOCK_BYTES else [])
    if [(block.number, block.size) for block in blocks] != list(enumerate(sizes)):
        raise CorruptFileError(
            f"{path} lists {len(blocks):,} blocks of vectors, {len(sizes):,} that make up {total:,} bytes are expected",
            hint=MEND,
        )
    return blocks
