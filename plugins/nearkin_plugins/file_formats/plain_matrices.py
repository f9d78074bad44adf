"""A matrix that lies in a file row after row: checked against the length of the file, then memory-mapped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import CorruptFileError
from nearkin.formats import Block
from nearkin.vectors import block_rows

LARGEST_DIM = 1_000_000
"""A width above this is taken for a damaged file."""


class Matrix(NamedTuple):
    """Where the rows are, as the head of a file claims it."""

    dtype: np.dtype[Any]
    offset: int
    rows: int
    dim: int

    @property
    def nbytes(self) -> int:
        """Bytes of the rows; Python's integers do not overflow."""
        return self.rows * self.dim * self.dtype.itemsize

    @property
    def end(self) -> int:
        """Offset behind the last row."""
        return self.offset + self.nbytes


def need_possible(matrix: Matrix, path: Path, kind: str) -> None:
    """Raise CorruptFileError unless a file can hold the matrix that its head claims."""
    if not 1 <= matrix.dim <= LARGEST_DIM or matrix.rows < 0:
        raise CorruptFileError(
            f"{path} claims {matrix.rows:,} rows of {matrix.dim:,} columns, 1 to {LARGEST_DIM:,} columns expected",
            hint=f"it may be no {kind} file",
        )
    held = path.stat().st_size - matrix.offset
    if held < matrix.nbytes:
        raise CorruptFileError(
            f"{path} is cut short: {matrix.nbytes:,} bytes for {matrix.rows:,} rows of {matrix.dim:,} columns of "
            f"{matrix.dtype.name} expected, {max(0, held):,} found",
            hint=f"or it is no {kind} file",
        )


def need_end(path: Path, end: int, kind: str) -> None:
    """Raise CorruptFileError if there is more in a file than its head tells of."""
    more = path.stat().st_size - end
    if more:
        raise CorruptFileError(
            f"{path} has {more:,} bytes after the last row that its head tells of", hint=f"it may be no {kind} file"
        )


def map_matrix(matrix: Matrix, path: Path) -> np.ndarray:
    """(rows, dim) read-only; `need_possible` was asked before."""
    shape = (matrix.rows, matrix.dim)
    if not matrix.nbytes:
        return np.empty(shape, matrix.dtype)
    return np.memmap(path, dtype=matrix.dtype, mode="r", offset=matrix.offset, shape=shape)


def matrix_blocks(array: np.ndarray, rows: int, ids: np.ndarray | None = None) -> Iterator[Block]:
    """Blocks of a matrix; one without rows for a matrix without rows."""
    step = min(rows, block_rows(array.shape[1] * array.itemsize))
    for start in range(0, max(1, len(array)), step):
        run = slice(start, start + step)
        yield Block(np.asarray(array[run]), None if ids is None else np.array(ids[run], dtype=np.int64))
