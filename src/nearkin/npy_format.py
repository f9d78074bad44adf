"""NumPy's .npy: the reference of the formats, and the header that other formats of numpy share."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO, FileIO
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from nearkin.errors import CorruptFileError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.vectors import block_rows

_NPY_MAGIC = b"\x93NUMPY"
_NPY_HEADER_LIMIT = 65_535


class NpyHeader(NamedTuple):
    """What stands before the values of an array in numpy's format."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the values; Python's integers do not overflow as a product in numpy would."""
        total = self.dtype.itemsize
        for size in self.shape:
            total *= size
        return total


def read_npy_header(file: IO[bytes]) -> NpyHeader:
    """Read magic and header of numpy's format, and stop in front of the values.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1.0 and 2.0; 3.0 is for
    records with field names, which are no vectors.

    Raises
    ------
    CorruptFileError
        Not of this format, or an array of Python objects, which would run code when read.

    Examples
    --------
    >>> file = BytesIO()
    >>> write_npy_header(file, np.dtype("<f4"), 3, 2)
    >>> _ = file.seek(0)
    >>> read_npy_header(file)
    NpyHeader(shape=(3, 2), fortran_order=False, dtype=dtype('float32'))
    """
    head = file.read(8)
    if head[:6] != _NPY_MAGIC or head[6:] not in (b"\x01\x00", b"\x02\x00"):
        raise CorruptFileError(f"it starts with {head!r}, an array in numpy's format of version 1.0 or 2.0 expected")
    version = head[6]
    length = file.read(2 if version == 1 else 4)
    if int.from_bytes(length, "little") > _NPY_HEADER_LIMIT:
        raise CorruptFileError(f"it claims a header of {int.from_bytes(length, 'little'):,} bytes")
    text = BytesIO(length + file.read(int.from_bytes(length, "little")))
    parse = np.lib.format.read_array_header_1_0 if version == 1 else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = parse(text)
    if dtype.hasobject:
        raise CorruptFileError(
            "it holds pickled objects, which run code when read",
            hint="save plain numbers: np.save(path, array.astype('float32'))",
        )
    if any(isinstance(size, bool) or size < 0 for size in shape):
        raise CorruptFileError(f"it claims an array of shape {shape}")
    return NpyHeader(shape, fortran_order, dtype)


def write_npy_header(file: IO[bytes], dtype: np.dtype[Any], rows: int, dim: int) -> None:
    """A version 1.0 header padded to 128 bytes, so that it can be written again with another row count."""
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}"
    file.write(_NPY_MAGIC + b"\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode("ascii") + b"\n")


def write_npy(file: IO[bytes], blocks: Iterator[Block]) -> None:
    """Stream rows behind a header of fixed length, whose row count is filled in at the end."""
    first = next(blocks)
    dtype, dim = first.vectors.dtype, first.vectors.shape[1]
    rows = 0
    write_npy_header(file, dtype, rows, dim)
    for block in chain([first], blocks):
        file.write(block.vectors.data)
        rows += len(block.vectors)
    file.seek(0)
    write_npy_header(file, dtype, rows, dim)


class NpyFormat(VectorFormat):
    """NumPy's .npy, memory-mapped. Object arrays are refused: unpickling them runs code.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = NpyFormat().write(f"{folder}/two.npy", [Block(np.float32([[1, 2], [3, 4]]))])
    ...     NpyFormat().describe(f"{folder}/two.npy")
    FileSummary(rows=2, dim=2, dtype='float32', ids=False, metadata=(), columns=())
    """

    name = "npy"
    suffixes = (".npy",)
    dtypes = frozenset(
        {"bool", "float16", "float32", "float64"}
        | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
    )

    def _describe(self, path: Path) -> FileSummary:
        header, _ = self._head(path)
        return FileSummary(rows=header.shape[0], dim=header.shape[1], dtype=header.dtype.name)

    def _head(self, path: Path) -> tuple[NpyHeader, int]:
        """The header, and the byte at which the values begin; refused unless they are all there."""
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                raise CorruptFileError(
                    f"{path} is an .npz archive with the name of an .npy file", hint="rename it to .npz"
                )
            file.seek(0)
            try:
                header = read_npy_header(file)
            except CorruptFileError as error:
                raise CorruptFileError(f"{path} is refused: {error.message}", hint=error.hint) from error
            start = file.tell()
        need_matrix(header, str(path))
        held = path.stat().st_size - start
        if header.nbytes > held:
            raise CorruptFileError(f"{path} is cut short: {header.nbytes:,} bytes of rows expected, {held:,} found")
        return header, start

    def _memory_map(self, path: Path) -> np.ndarray:
        header, start = self._head(path)
        if not header.nbytes:
            return np.empty(header.shape, dtype=header.dtype)
        order = "F" if header.fortran_order else "C"
        return np.memmap(path, dtype=header.dtype, mode="r", offset=start, shape=header.shape, order=order)  # type: ignore[call-overload,no-any-return]

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        """Read, not mapped: pages of a map count as memory of the process for as long as it is there."""
        header, start = self._head(path)
        total, dim = header.shape
        step = min(rows, block_rows(dim * header.dtype.itemsize))
        take = _read_columns if header.fortran_order else _read_rows
        with path.open("rb", buffering=0) as file:
            for first in range(0, max(1, total), step):
                yield Block(take(file, header, start, first, min(step, total - first)))

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        with path.open("wb") as file:
            write_npy(file, blocks)


def _read_rows(file: FileIO, header: NpyHeader, start: int, first: int, count: int) -> np.ndarray:
    """Rows from `first` on of an array in row order whose values begin at byte `start`."""
    dim = header.shape[1]
    block = np.empty((count, dim), dtype=header.dtype)
    _fill(file, block, start + first * dim * header.dtype.itemsize)
    return block


def _read_columns(file: FileIO, header: NpyHeader, start: int, first: int, count: int) -> np.ndarray:
    """The same of an array in column order: a piece of every column."""
    total, dim = header.shape
    block = np.empty((dim, count), dtype=header.dtype)
    for column, piece in enumerate(block):
        _fill(file, piece, start + (column * total + first) * header.dtype.itemsize)
    return block.T


def _fill(file: FileIO, array: np.ndarray, place: int) -> None:
    """Read a contiguous array from a place in a file."""
    file.seek(place)
    target = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(target):
        got = file.readinto(target[done:])
        if not got:
            raise CorruptFileError(f"{file.name} became shorter while it was read")
        done += got


def need_matrix(header: NpyHeader, what: str) -> None:
    """Raise CorruptFileError unless the array is 2-D, of numbers, with at least one column."""
    if len(header.shape) != 2 or header.dtype.kind not in "fiub":
        raise CorruptFileError(
            f"{what} holds a {len(header.shape)}-D array of {header.dtype}, a 2-D array of numbers expected"
        )
    if header.shape[1] == 0:
        raise CorruptFileError(f"{what} has rows of 0 columns, at least 1 is needed")
