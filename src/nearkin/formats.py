"""VectorFormat contract: files of vectors, read and written in blocks; npy, the reference.

An author of a format writes `_describe`, `_read` and, if it can be written, `_write`; the base class checks what goes
through (block shapes, ids, sizes) and turns the errors of libraries into one sentence that names the file.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from nearkin.errors import (
    CorruptFileError,
    MissingDependencyError,
    NearkinError,
    NotSupportedError,
    ParameterError,
    PluginContractError,
    StorageError,
)


class Block(NamedTuple):
    """A run of rows of a file."""

    vectors: np.ndarray
    """(rows, dim), numbers of any dtype; the gate of the collection checks the values."""
    ids: Sequence[Any] | None = None
    """One id a row, or None if the file has none."""
    metadata: Sequence[dict[str, Any]] | None = None
    """One JSON-able dict a row, or None if the file has no further columns."""


@dataclass(frozen=True)
class FileSummary:
    """What the head of a file says, without reading its rows."""

    rows: int | None
    """None if only reading the whole file tells."""
    dim: int
    dtype: str


class VectorFormat(ABC):
    """One kind of file.

    Attributes
    ----------
    suffixes
        File name endings, lower case with the dot, that this format reads.
    writable
        Whether `write` works.
    keeps
        What survives a round trip besides the vectors: any of ``"ids"`` and ``"metadata"``.
    dtypes
        numpy dtype names that a round trip returns unchanged; others are written as float32.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    writable: ClassVar[bool] = True
    keeps: ClassVar[frozenset[str]] = frozenset()
    dtypes: ClassVar[frozenset[str]] = frozenset({"float32"})

    def describe(self, path: str | os.PathLike[str]) -> FileSummary:
        """Rows, columns and dtype, from as little of the file as possible.

        Raises
        ------
        StorageError, CorruptFileError
            The file cannot be read, or is not of this format.
        """
        with _errors_named(self.name, Path(path)):
            return self._describe(Path(path))

    def read(self, path: str | os.PathLike[str], *, rows: int = 65_536) -> Iterator[Block]:
        """Read a file in blocks of at most `rows` rows.

        Raises
        ------
        ParameterError
            `rows` is not positive.
        StorageError, CorruptFileError
            The file cannot be read, or is not of this format.
        """
        if rows < 1:
            raise ParameterError(f"a block of {rows} rows was asked for, at least 1 is needed")
        return self._checked(Path(path), rows)

    def write(self, path: str | os.PathLike[str], blocks: Iterable[Block]) -> int:
        """Write blocks to a file, replacing it only once everything is written; return the number of rows.

        Raises
        ------
        NotSupportedError
            The format is read only.
        StorageError
            The file could not be written; what stood at `path` before is unchanged.
        """
        if not self.writable:
            raise NotSupportedError(f"{self.name} files can be read, not written", hint="write .npy or .parquet")
        target = Path(path)
        part = target.with_name(f".{target.name}.part-{os.getpid()}")
        try:
            with _errors_named(self.name, target):
                rows = self._write(part, blocks)
                part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return rows

    def memory_map(self, path: str | os.PathLike[str]) -> np.ndarray | None:
        """The whole file as one read-only memory-mapped array, or None if the format cannot."""
        with _errors_named(self.name, Path(path)):
            return self._memory_map(Path(path))

    @abstractmethod
    def _describe(self, path: Path) -> FileSummary: ...

    @abstractmethod
    def _read(self, path: Path, rows: int) -> Iterator[Block]: ...

    def _write(self, path: Path, blocks: Iterable[Block]) -> int:
        raise PluginContractError(f"format {self.name!r} says it is writable but has no _write")

    def _memory_map(self, path: Path) -> np.ndarray | None:
        return None

    def _checked(self, path: Path, rows: int) -> Iterator[Block]:
        dim = None
        with _errors_named(self.name, path):
            for block in self._read(path, rows):
                _check_block(block, rows, dim, self.name, path)
                dim = block.vectors.shape[1]
                yield block


def _check_block(block: Block, rows: int, dim: int | None, name: str, path: Path) -> None:
    shape = block.vectors.shape
    if len(shape) != 2 or shape[0] > rows:
        raise PluginContractError(f"format {name!r} gave a block of shape {shape}, at most {rows} rows of one width asked")
    if dim is not None and shape[1] != dim:
        raise CorruptFileError(f"{path} has a row of {shape[1]} columns after rows of {dim}")
    for part, what in ((block.ids, "ids"), (block.metadata, "metadata")):
        if part is not None and len(part) != shape[0]:
            raise PluginContractError(f"format {name!r} gave {len(part)} {what} for {shape[0]} rows")


@contextmanager
def _errors_named(name: str, path: Path) -> Iterator[None]:
    """Turn what a library raises on a bad file into one sentence with the file's name.

    Parsers meet hostile bytes here and raise nearly anything (struct, zip, arrow, unicode errors), hence the wide net;
    nearkin's own errors and a consumer's GeneratorExit pass through.
    """
    try:
        yield
    except NearkinError:
        raise
    except FileNotFoundError as error:
        raise StorageError(f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise StorageError(f"{path} is a folder, a {name} file expected") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} files need the package {error.name}", hint='pip install "nearkin[files]"'
        ) from error
    except Exception as error:
        raise CorruptFileError(f"{path} is not a {name} file that can be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class NpyFormat(VectorFormat):
    """NumPy's .npy, memory-mapped. Object arrays are refused: unpickling them runs code.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """

    name = "npy"
    suffixes = (".npy",)
    dtypes = frozenset({"float32", "float64", "float16", "uint8", "int8", "int32"})

    def _describe(self, path: Path) -> FileSummary:
        array = self._memory_map(path)
        return FileSummary(rows=len(array), dim=array.shape[1], dtype=str(array.dtype))

    def _memory_map(self, path: Path) -> np.ndarray:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            if "allow_pickle" in str(error) or "object" in str(error).lower():
                raise CorruptFileError(
                    f"{path} holds pickled objects, which run code when read, so it is refused",
                    hint="save plain numbers: np.save(path, array.astype('float32'))",
                ) from error
            raise
        if not isinstance(array, np.ndarray):
            array.close()
            raise CorruptFileError(f"{path} is an .npz archive with the name of an .npy file", hint="rename it to .npz")
        if array.ndim != 2 or array.dtype.kind not in "fiub":
            raise CorruptFileError(
                f"{path} holds a {array.ndim}-D array of {array.dtype}, a 2-D array of numbers expected"
            )
        return array

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        array = self._memory_map(path)
        for start in range(0, len(array), rows):
            yield Block(np.asarray(array[start : start + rows]))

    def _write(self, path: Path, blocks: Iterable[Block]) -> int:
        """Stream the rows behind a header of fixed length, whose row count is filled in at the end."""
        rows = 0
        shape: tuple[int, ...] = ()
        dtype = np.dtype(np.float32)
        with path.open("wb") as file:
            for block in blocks:
                if not shape:
                    shape = block.vectors.shape
                    dtype = block.vectors.dtype if str(block.vectors.dtype) in self.dtypes else dtype
                    _write_npy_header(file, dtype, 0, shape[1])
                file.write(np.ascontiguousarray(block.vectors, dtype=dtype).data)
                rows += len(block.vectors)
            if not shape:
                raise ParameterError("there are no rows to write")
            file.seek(0)
            _write_npy_header(file, dtype, rows, shape[1])
        return rows


def _write_npy_header(file: Any, dtype: np.dtype[Any], rows: int, dim: int) -> None:
    """A version 1.0 header padded to 128 bytes, so that it can be written again with another row count."""
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}"
    file.write(b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode("ascii") + b"\n")
