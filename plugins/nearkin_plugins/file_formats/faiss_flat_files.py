"""faiss index files that hold plain rows: IndexFlat, IndexIDMap over one, and their binary forms.

Their layout is read here, with every size checked, because faiss's own reader trusts the file that it is given.
Source: faiss/impl/index_write.cpp (https://github.com/facebookresearch/faiss), little-endian: a code of four letters,
the header (columns, rows, two unused numbers, trained, metric), the number of values, the values; an IDMap has a header, an
index, the number of ids, the ids.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from nearkin.errors import CorruptFileError, NotSupportedError, ParameterError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin_plugins.file_formats.options import FAISS_METRICS
from nearkin_plugins.file_formats.plain_matrices import Matrix, map_matrix, matrix_blocks, need_end, need_possible

_FLAT = (b"IxF2", b"IxFI", b"IxFl")
_ID_MAPS = (b"IxMp", b"IxM2")
_BINARY_FLAT = (b"IBxF",)
_BINARY_ID_MAPS = (b"IBMp", b"IBM2")
_HEADER = struct.Struct("<iqqqBi")
_BINARY_HEADER = struct.Struct("<iiqBi")
_ARGUMENT = struct.Struct("<f")
"""Follows the header for metrics other than inner product and L2."""
_COUNT = struct.Struct("<Q")
_UNUSED = 1 << 20


class _Head(NamedTuple):
    rows: int
    dim: int
    """Columns, or bytes of packed bits."""


class _Content(NamedTuple):
    matrix: Matrix
    ids: Matrix | None


class FaissFormat(VectorFormat):
    """Rows and ids of a Flat index, or of an IDMap over one; other kinds of index do not keep the rows as they were.

    Parameters
    ----------
    metric
        Of the index that is written: l2 or ip.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = FaissFormat().write(f"{folder}/x.faiss", [Block(np.float32([[1, 2]]), ids=[7])])
    ...     block = next(FaissFormat().read(f"{folder}/x.faiss"))
    >>> block.vectors.tolist(), block.ids.tolist()
    ([[1.0, 2.0]], [7])
    """

    name = "faiss"
    suffixes = (".faiss", ".index")
    keeps = frozenset({"integer ids"})

    def __init__(self, metric: str = "l2") -> None:
        self.metric = metric

    def _describe(self, path: Path) -> FileSummary:
        matrix, ids = _content(path)
        return FileSummary(matrix.rows, matrix.dim, matrix.dtype.name, ids is not None)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        matrix, places = _content(path)
        ids = None if places is None else map_matrix(places, path)[:, 0]
        return matrix_blocks(map_matrix(matrix, path), rows, ids)

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        """Numbers of rows are filled in at the end."""
        first = next(blocks)
        dim = first.vectors.shape[1]
        ids: list[np.ndarray] = []
        rows = 0
        with path.open("wb") as file:
            self._write_head(file, rows, dim, mapped=first.ids is not None)
            for block in chain([first], blocks):
                file.write(block.vectors.astype("<f4", copy=False).data)
                rows += len(block.vectors)
                ids += [] if block.ids is None else [_integers(block.ids)]
            if ids:
                file.write(_COUNT.pack(rows))
                for each in ids:
                    file.write(each.astype("<i8", copy=False).data)
            file.seek(0)
            self._write_head(file, rows, dim, mapped=bool(ids))

    def _write_head(self, file: IO[bytes], rows: int, dim: int, *, mapped: bool) -> None:
        code, metric = FAISS_METRICS[self.metric]
        header = _HEADER.pack(dim, rows, _UNUSED, _UNUSED, 1, metric)
        file.write((b"IxM2" + header if mapped else b"") + code + header + _COUNT.pack(rows * dim))


def _integers(ids: object) -> np.ndarray:
    if isinstance(ids, np.ndarray):
        return ids
    raise ParameterError("ids are text, and faiss files hold integers", hint="write .parquet or .npz, which keep them")


def _content(path: Path) -> _Content:
    """Where rows and ids are, once all sizes agree with each other and with the length of the file."""
    with path.open("rb") as file:
        code = _code(file)
        outer: _Head | None = None
        if code in _ID_MAPS + _BINARY_ID_MAPS:
            outer = _read_head(file, binary=code in _BINARY_ID_MAPS)
            code = _code(file)
        if code not in _FLAT + _BINARY_FLAT:
            raise _refusal(path, code)
        matrix = _read_matrix(file, path, binary=code in _BINARY_FLAT)
        need_possible(matrix, path, "faiss")
        ids = None
        if outer is not None:
            file.seek(matrix.end)
            (count,) = _unpack(file, _COUNT)
            if outer != (matrix.rows, matrix.dim) or count != matrix.rows:
                raise CorruptFileError(
                    f"{path} claims {outer.rows:,} rows of {outer.dim:,} columns, {count:,} ids, and {matrix.rows:,} rows of "
                    f"{matrix.dim:,} columns within"
                )
            ids = Matrix(np.dtype("<i8"), file.tell(), count, 1)
            need_possible(ids, path, "faiss")
    need_end(path, (ids or matrix).end, "faiss")
    return _Content(matrix, ids)


def _read_matrix(file: IO[bytes], path: Path, *, binary: bool) -> Matrix:
    head = _read_head(file, binary=binary)
    (count,) = _unpack(file, _COUNT)
    if count != head.rows * head.dim:
        raise CorruptFileError(f"{path} claims {count:,} values for {head.rows:,} rows of {head.dim:,} columns")
    return Matrix(np.dtype("u1" if binary else "<f4"), file.tell(), head.rows, head.dim)


def _read_head(file: IO[bytes], *, binary: bool) -> _Head:
    if binary:
        bits, code_size, rows, _, _ = _unpack(file, _BINARY_HEADER)
        if bits != 8 * code_size:
            raise CorruptFileError(f"{file.name} claims {bits:,} bits in {code_size:,} bytes")
        return _Head(rows, code_size)
    dim, rows, _, _, _, metric = _unpack(file, _HEADER)
    if metric > 1:
        _unpack(file, _ARGUMENT)
    return _Head(rows, dim)


def _unpack(file: IO[bytes], form: struct.Struct) -> tuple[int, ...]:
    content = file.read(form.size)
    if len(content) < form.size:
        raise CorruptFileError(f"{file.name} is cut short within its header")
    return form.unpack(content)


def _code(file: IO[bytes]) -> bytes:
    return file.read(4)


def _refusal(path: Path, code: bytes) -> Exception:
    if len(code) == 4 and code[:1] == b"I" and code.isalnum():
        return NotSupportedError(
            f"{path} is a faiss index of kind {code.decode()!r}, only Flat ones and IDMaps over them keep plain rows",
            hint="if you trust the file: index = faiss.read_index(path); faiss.extract_index_ivf(index).make_direct_map() "
            "if it is an IVF; np.save('vectors.npy', index.reconstruct_n(0, index.ntotal))",
        )
    return CorruptFileError(f"{path} starts with {code!r}, which no faiss index does")
