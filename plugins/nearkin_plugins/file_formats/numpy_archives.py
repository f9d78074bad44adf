"""NumPy's .npz: a zip archive of .npy arrays, read through in blocks without unpacking it."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from nearkin.errors import CorruptFileError, ParameterError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.npy_format import NpyFormat, NpyHeader, need_matrix, read_npy_header, write_npy
from nearkin.vectors import block_rows

VECTOR_ARRAYS = ("vectors", "train", "embeddings")
"""Names that are taken for the vectors if an archive has several 2-D arrays; the first that is there."""

_DEFLATE_RATIO = 1040
"""Deflate makes nothing smaller than a 1032nd of itself, so a larger claim is false."""


class NpzFormat(VectorFormat):
    """An array of vectors in an .npz archive, and one of ids if there.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.savez.html

    Parameters
    ----------
    array
        Name of the vectors. If not given: the only 2-D array, or the one called vectors, train or embeddings.
    ids
        Name of the ids; left out if the archive has none.
    compressed
        Write with deflate.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = NpzFormat().write(f"{folder}/x.npz", [Block(np.float32([[1, 2]]), ids=["a"])])
    ...     next(NpzFormat().read(f"{folder}/x.npz")).ids
    ['a']
    """

    name = "npz"
    suffixes = (".npz",)
    keeps = frozenset({"ids"})
    dtypes = NpyFormat.dtypes

    def __init__(self, array: str | None = None, ids: str = "ids", compressed: bool = False) -> None:
        self.array = array
        self.ids = ids
        self.compressed = compressed

    def _describe(self, path: Path) -> FileSummary:
        with zipfile.ZipFile(path) as archive:
            _, header = self._find(archive, path)
            has_ids = f"{self.ids}.npy" in archive.namelist()
        return FileSummary(header.shape[0], header.shape[1], header.dtype.name, ids=has_ids)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        with zipfile.ZipFile(path) as archive:
            member, header = self._find(archive, path)
            ids = self._read_ids(archive, header.shape[0], path)
            row = 0
            with archive.open(member) as stream:
                read_npy_header(stream)
                for vectors in _stream(stream, header, rows):
                    yield Block(vectors, None if ids is None else ids[row : row + len(vectors)])
                    row += len(vectors)

    def _find(self, archive: zipfile.ZipFile, path: Path) -> tuple[zipfile.ZipInfo, NpyHeader]:
        """The member with the vectors, its sizes checked."""
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if self.array is not None and self.array not in members:
            raise ParameterError(f"{path} has no array {self.array!r}; it has {', '.join(members) or 'none'}")
        name = self.array or _choose(archive, members, path)
        header = _header(archive, members[name], f"array {name!r} of {path}")
        need_matrix(header, f"array {name!r} of {path}")
        return members[name], header

    def _read_ids(self, archive: zipfile.ZipFile, rows: int, path: Path) -> Sequence[Any] | np.ndarray | None:
        if f"{self.ids}.npy" not in archive.namelist():
            return None
        what = f"array {self.ids!r} of {path}"
        member = archive.getinfo(f"{self.ids}.npy")
        header = _header(archive, member, what)
        if header.shape != (rows,) or header.dtype.kind not in "iuU":
            raise CorruptFileError(
                f"{what} has shape {header.shape} and type {header.dtype}, {rows} integers or texts expected"
            )
        with archive.open(member) as stream:
            read_npy_header(stream)
            ids = _fill(stream, np.empty(header.shape, header.dtype))
        if ids.dtype.kind == "U":
            return list(ids.tolist())
        if ids.dtype.kind == "u" and ids.size and int(ids.max()) > np.iinfo(np.int64).max:
            raise CorruptFileError(f"{what} holds {ids.max()}, which does not fit in 64 bits with a sign")
        return ids.astype(np.int64)

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        """Rows go to a nameless file first: the header of a zip member cannot be filled in at the end."""
        method = zipfile.ZIP_DEFLATED if self.compressed else zipfile.ZIP_STORED
        ids: list[np.ndarray | list[str]] = []
        with tempfile.TemporaryFile(dir=path.parent) as rows:
            write_npy(rows, _noting_ids(blocks, ids))
            rows.seek(0)
            with zipfile.ZipFile(path, "w", method) as archive:
                with archive.open(f"{self.array or 'vectors'}.npy", "w", force_zip64=True) as member:
                    shutil.copyfileobj(rows, member, 1 << 20)
                if ids:
                    with archive.open(f"{self.ids}.npy", "w", force_zip64=True) as member:
                        _write_ids(member, ids)


def _choose(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path) -> str:
    wide = [name for name, info in members.items() if _is_matrix(archive, info)]
    if len(wide) == 1:
        return wide[0]
    if not wide:
        for name, info in members.items():  # an array of objects says why it is refused
            _header(archive, info, f"array {name!r} of {path}")
        raise CorruptFileError(f"{path} has no 2-D array of numbers; it has {', '.join(members) or 'no array at all'}")
    for name in VECTOR_ARRAYS:
        if name in wide:
            return name
    raise ParameterError(
        f"{path} has {len(wide)} 2-D arrays: {', '.join(wide)}", hint=f"choose one with --format npz:array={wide[0]}"
    )


def _is_matrix(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if not member.filename.endswith(".npy"):
        return False
    try:
        header = _header(archive, member, member.filename)
    except CorruptFileError:
        return False
    return len(header.shape) == 2 and header.dtype.kind in "fiub"


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str) -> NpyHeader:
    """Header of a member whose claimed sizes are possible."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CorruptFileError(f"{what} is compressed by method {member.compress_type}, stored or deflate expected")
    held = Path(str(archive.filename)).stat().st_size
    if member.compress_size > held or member.file_size > _DEFLATE_RATIO * member.compress_size + 100:
        raise CorruptFileError(
            f"{what} claims {member.file_size:,} bytes out of {member.compress_size:,}, in a file of {held:,}"
        )
    with archive.open(member) as stream:
        try:
            header = read_npy_header(stream)
        except CorruptFileError as error:
            raise CorruptFileError(f"{what} is refused: {error.message}", hint=error.hint) from error
        start = stream.tell()
    if header.nbytes != member.file_size - start:
        raise CorruptFileError(
            f"{what} has {member.file_size - start:,} bytes of values, {header.nbytes:,} expected for {header.shape}"
        )
    return header


def _stream(stream: IO[bytes], header: NpyHeader, rows: int) -> Iterator[np.ndarray]:
    """Blocks of the rows that follow a header; column-major ones have to be read whole."""
    total, dim = header.shape
    step = min(rows, block_rows(dim * header.dtype.itemsize))
    if header.fortran_order:
        whole = _fill(stream, np.empty((dim, total), header.dtype)).T
    for start in range(0, max(1, total), step):
        count = min(step, total - start)
        if header.fortran_order:
            yield whole[start : start + count]
        else:
            yield _fill(stream, np.empty((count, dim), header.dtype))


def _fill(stream: IO[bytes], array: np.ndarray) -> np.ndarray:
    """Read an array's bytes; `array` is C-contiguous."""
    if not array.nbytes:
        return array
    target = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(target):
        piece = stream.read(min(len(target) - done, 1 << 20))
        if not piece:
            raise CorruptFileError(f"an array is cut short: {len(target):,} bytes expected, {done:,} found")
        target[done : done + len(piece)] = piece
        done += len(piece)
    return array


def _noting_ids(blocks: Iterator[Block], ids: list[np.ndarray | list[str]]) -> Iterator[Block]:
    for block in blocks:
        if block.ids is not None:
            ids.append(block.ids if isinstance(block.ids, np.ndarray) else list(block.ids))
        yield block


def _write_ids(file: IO[bytes], ids: list[np.ndarray | list[str]]) -> None:
    """One array of all ids; texts are padded to the longest, a block at a time."""
    longest = max((len(text) for block in ids if isinstance(block, list) for text in block), default=0)
    dtype = np.dtype(f"<U{max(1, longest)}") if isinstance(ids[0], list) else np.dtype(np.int64)
    header = {"descr": dtype.str, "fortran_order": False, "shape": (sum(map(len, ids)),)}
    np.lib.format.write_array_header_1_0(file, header)
    for block in ids:
        if isinstance(block, list) and any(text.endswith("\0") for text in block):
            raise ParameterError("an id ends with a NUL character, which npz files cannot keep", hint="write .parquet")
        file.write(np.array(block, dtype=dtype).tobytes())
