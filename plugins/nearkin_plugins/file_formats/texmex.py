"""TEXMEX files: before every row its dimension as a little-endian int32, then the values.

Source: http://corpus-texmex.irisa.fr/ (SIFT1M, GIST1M, SIFT1B).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nearkin.errors import CorruptFileError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.vectors import block_rows

LARGEST_DIM = 1_000_000
"""A dimension above this is taken for a damaged file; faiss draws the same line."""


class TexmexFormat(VectorFormat):
    """What the three TEXMEX formats share; they differ in `value`, the little-endian type of a component."""

    value: ClassVar[str]

    def _describe(self, path: Path) -> FileSummary:
        records = self._whole_rows(path)
        return FileSummary(rows=len(records), dim=records.dtype["row"].shape[0], dtype=np.dtype(self.value).name)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        records = self._whole_rows(path)
        step = min(rows, block_rows(records.itemsize))
        for start in range(0, len(records), step):
            run = records[start : start + step]
            self._check_dims(run, start, path)
            yield Block(np.asarray(run["row"]))

    def _memory_map(self, path: Path) -> np.ndarray:
        records = self._whole_rows(path)
        step = block_rows(records.itemsize)
        for start in range(0, len(records), step):
            self._check_dims(records[start : start + step], start, path)
        rows: np.ndarray = records["row"]
        return rows

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        with path.open("wb") as file:
            for block in blocks:
                dim = block.vectors.shape[1]
                step = block_rows(self._record(dim).itemsize)
                for start in range(0, len(block.vectors), step):
                    rows = block.vectors[start : start + step]
                    records = np.empty(len(rows), dtype=self._record(dim))
                    records["dim"] = dim
                    records["row"] = rows
                    file.write(records.tobytes())

    def _record(self, dim: int) -> np.dtype[Any]:
        return np.dtype([("dim", "<i4"), ("row", self.value, (dim,))])

    def _whole_rows(self, path: Path) -> np.ndarray:
        """The whole file, memory-mapped, once its first dimension and its length agree."""
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4)
        if len(head) < 4:
            raise CorruptFileError(f"{path} has {size} bytes, too few for one row of {self.name}")
        dim = int.from_bytes(head, "little", signed=True)
        if not 1 <= dim <= LARGEST_DIM:
            raise CorruptFileError(
                f"{path} says that its first row has {dim:,} columns, 1 to {LARGEST_DIM:,} expected",
                hint=f"it may be no {self.name} file",
            )
        record = self._record(dim)
        if size % record.itemsize:
            raise CorruptFileError(
                f"{path} has {size:,} bytes, {size % record.itemsize:,} more than {size // record.itemsize:,} whole "
                f"rows of {dim} columns",
                hint=f"it is cut short, or not a {self.name} file",
            )
        return np.memmap(path, dtype=record, mode="r")

    def _check_dims(self, records: np.ndarray, start: int, path: Path) -> None:
        dim = records.dtype["row"].shape[0]
        odd = np.flatnonzero(records["dim"] != dim)
        if odd.size:
            row = int(odd[0])
            raise CorruptFileError(
                f"{path} says that row {start + row:,} has {int(records['dim'][row]):,} columns, row 0 has {dim}"
            )


class FvecsFormat(TexmexFormat):
    """Rows of float32.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = FvecsFormat().write(f"{folder}/x.fvecs", [Block(np.float32([[1, 2], [3, 4]]))])
    ...     next(FvecsFormat().read(f"{folder}/x.fvecs")).vectors.tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """

    name = "fvecs"
    suffixes = (".fvecs",)
    value = "<f4"


class BvecsFormat(TexmexFormat):
    """Rows of bytes: small whole numbers, or packed bits. Other types are written if every value is one of 0 to 255."""

    name = "bvecs"
    suffixes = (".bvecs",)
    dtypes = frozenset({"uint8"})
    value = "u1"


class IvecsFormat(TexmexFormat):
    """Rows of int32. Other types are written if every value is a whole number that fits."""

    name = "ivecs"
    suffixes = (".ivecs",)
    dtypes = frozenset({"int32"})
    value = "<i4"
