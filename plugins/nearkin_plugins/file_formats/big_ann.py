"""Files of the billion-scale benchmarks: rows and columns as two little-endian uint32, then the values.

Source: https://big-ann-benchmarks.com/neurips21.html (fbin, u8bin, i8bin) and usearch's `load_matrix`
(https://github.com/unum-cloud/usearch, python/usearch/io.py: ibin, hbin, bbin). DiskANN and cuVS use the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, ClassVar

import numpy as np

from nearkin.errors import CorruptFileError, VectorError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin_plugins.file_formats.plain_matrices import Matrix, map_matrix, matrix_blocks, need_end, need_possible

_HEAD = np.dtype("<u4")
_MOST_ROWS = (1 << 32) - 1


class BigAnnFormat(VectorFormat):
    """What these formats share; they differ in `value`, the little-endian type of a component."""

    value: ClassVar[str]

    def _describe(self, path: Path) -> FileSummary:
        matrix = self._matrix(path)
        return FileSummary(matrix.rows, matrix.dim, matrix.dtype.name)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        return matrix_blocks(self._memory_map(path), rows)

    def _memory_map(self, path: Path) -> np.ndarray:
        return map_matrix(self._matrix(path), path)

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        """The number of rows is filled in at the end."""
        first = next(blocks)
        rows, dim = 0, first.vectors.shape[1]
        with path.open("wb") as file:
            _write_head(file, rows, dim)
            for block in chain([first], blocks):
                file.write(block.vectors.astype(self.value, copy=False).data)
                rows += len(block.vectors)
            if rows > _MOST_ROWS:
                raise VectorError(f"{rows:,} rows do not fit in a {self.name} file, which holds {_MOST_ROWS:,} at most")
            file.seek(0)
            _write_head(file, rows, dim)

    def _matrix(self, path: Path) -> Matrix:
        with path.open("rb") as file:
            head = file.read(2 * _HEAD.itemsize)
        if len(head) < 2 * _HEAD.itemsize:
            raise CorruptFileError(f"{path} has {len(head)} bytes, too few for a head of {self.name}")
        rows, dim = np.frombuffer(head, _HEAD).tolist()
        matrix = Matrix(np.dtype(self.value), len(head), rows, dim)
        need_possible(matrix, path, self.name)
        need_end(path, matrix.end, self.name)
        return matrix


def _write_head(file: IO[bytes], rows: int, dim: int) -> None:
    file.write(np.array([rows & _MOST_ROWS, dim], dtype=_HEAD).tobytes())


class FbinFormat(BigAnnFormat):
    """Rows of float32.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = FbinFormat().write(f"{folder}/x.fbin", [Block(np.float32([[1, 2], [3, 4]]))])
    ...     next(FbinFormat().read(f"{folder}/x.fbin")).vectors.tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """

    name = "fbin"
    suffixes = (".fbin", ".f32bin")
    value = "<f4"


class HbinFormat(BigAnnFormat):
    """Rows of float16. Other types are rounded to it; what is too large for it is refused."""

    name = "hbin"
    suffixes = (".hbin", ".f16bin")
    dtypes = frozenset({"float16"})
    value = "<f2"


class U8binFormat(BigAnnFormat):
    """Rows of bytes: small whole numbers, or packed bits (bbin)."""

    name = "u8bin"
    suffixes = (".u8bin", ".bbin")
    dtypes = frozenset({"uint8"})
    value = "u1"


class I8binFormat(BigAnnFormat):
    """Rows of int8. Other types are written if every value is a whole number that fits."""

    name = "i8bin"
    suffixes = (".i8bin",)
    dtypes = frozenset({"int8"})
    value = "i1"


class IbinFormat(BigAnnFormat):
    """Rows of int32. Other types are written if every value is a whole number that fits."""

    name = "ibin"
    suffixes = (".ibin", ".i32bin")
    dtypes = frozenset({"int32"})
    value = "<i4"
