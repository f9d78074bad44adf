"""VectorFormat contract: files of vectors, read and written in blocks; the reference is `nearkin.npy_format.NpyFormat`.

An author of a format writes `_describe`, `_read` and, if it can be written, `_write`; the base class checks what goes
through (shapes, dtypes, ids), writes beside the old file and swaps at the end, and turns the errors of libraries into
one sentence that names the file.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
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
    VectorError,
)
from nearkin.mapped_pages import let_go

WITH_RECORDS = "csv, tsv, jsonl, parquet and arrow"
"""Built-in formats whose rows have named values."""


class Block(NamedTuple):
    """A run of rows of a file."""

    vectors: np.ndarray
    """(rows, dim), numbers of any dtype; the gate of the collection checks the values."""
    ids: Sequence[Any] | np.ndarray | None = None
    """One id a row, integers or text, or None if the file has none."""
    metadata: Sequence[dict[str, Any]] | None = None
    """One JSON-able dict a row, or None if the file has no further columns."""


@dataclass(frozen=True)
class FileSummary:
    """What the head of a file says, without reading its rows."""

    rows: int | None
    """None if only reading the whole file tells."""
    dim: int
    dtype: str
    ids: bool = False
    """Whether the file has ids of its own."""
    metadata: tuple[str, ...] = ()
    """Names of the further columns."""
    columns: tuple[str, ...] = ()
    """Names of the columns of the vectors, where each has one."""


class VectorFormat(ABC):
    """One kind of file.

    Attributes
    ----------
    suffixes
        File name endings, lower case with the dot, that this format reads.
    writable
        Whether `write` works.
    keeps
        What survives a round trip besides the vectors: any of ``"ids"`` and ``"metadata"``; ``"integer ids"`` instead of
        ``"ids"`` if text ids cannot be written, which `_write` then refuses.
    dtypes
        numpy dtype names that a round trip returns unchanged. Others are written as float32, or, where the format has
        no float32, as its only dtype: rounded to fewer digits if that is a float, refused if a whole number would change.
    reads_records
        Whether `records` works: rows of named values, whether or not some of them are vectors.
    untyped
        Whether all values of records are text, as in csv: columns that read as numbers are then taken for numbers.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    writable: ClassVar[bool] = True
    keeps: ClassVar[frozenset[str]] = frozenset()
    dtypes: ClassVar[frozenset[str]] = frozenset({"float32"})
    reads_records: ClassVar[bool] = False
    untyped: ClassVar[bool] = False

    # ---- what an author writes -------------------------------------------------------------------------------------

    @abstractmethod
    def _describe(self, path: Path) -> FileSummary:
        """Summarise a regular file that exists."""

    @abstractmethod
    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        """Blocks of at most `rows` rows, all of one width and dtype; one of 0 rows for a file without rows.

        Sizes that the file claims are compared with its length before memory is asked for.
        """

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        """Write at least one block to a new file.

        The blocks are of one width and of one dtype out of `dtypes`, C-contiguous and in native byte order; ids are an
        int64 array or a list of text, in all blocks or in none, and so is metadata.
        """
        raise PluginContractError(f"format {self.name!r} says it is writable but has no _write")

    def _memory_map(self, path: Path) -> np.ndarray | None:
        return None

    def _records(self, path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
        """Lists of at most `rows` records, every value under its name; None where there is none."""
        raise PluginContractError(f"format {self.name!r} says it reads records but has no _records")

    # ---- what the base class makes of it ---------------------------------------------------------------------------

    def describe(self, path: str | os.PathLike[str]) -> FileSummary:
        """Rows, columns and dtype, from as little of the file as possible.

        Raises
        ------
        StorageError, CorruptFileError
            The file cannot be read, or is not of this format.
        """
        with _reading(self.name, Path(path)):
            return self._describe(Path(path))

    def read(self, path: str | os.PathLike[str], *, rows: int = 65_536) -> Iterator[Block]:
        """Read a file in blocks of at most `rows` rows; vectors are C-contiguous and in native byte order.

        Raises
        ------
        ParameterError
            `rows` is not positive.
        StorageError, CorruptFileError
            While iterating: the file cannot be read, or is not of this format.
        """
        if rows < 1:
            raise ParameterError(f"a block of {rows} rows was asked for, at least 1 is needed")
        return self._checked(Path(path), rows)

    def records(self, path: str | os.PathLike[str], *, rows: int = 8192) -> Iterator[list[dict[str, Any]]]:
        """Read the rows of a file as dicts of named values, JSON-able, in lists of at most `rows`; no vectors are looked for.

        Text stays text: whether it means a number is for those to say who use it. What is missing is None.

        Raises
        ------
        ParameterError
            `rows` is not positive.
        NotSupportedError
            Files of this format have no named values.
        StorageError, CorruptFileError
            While iterating: the file cannot be read, or is not of this format.
        """
        if rows < 1:
            raise ParameterError(f"a block of {rows} rows was asked for, at least 1 is needed")
        if not self.reads_records:
            raise NotSupportedError(
                f"{path} is a {self.name} file, which has no columns with names", hint=f"{WITH_RECORDS} files have"
            )
        return self._checked_records(Path(path), rows)

    def _checked_records(self, path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
        with _reading(self.name, path):
            for some in self._records(path, rows):
                if len(some) > rows or not all(isinstance(each, dict) for each in some):
                    raise PluginContractError(
                        f"format {self.name!r} gave {len(some)} records, at most {rows} dicts expected"
                    )
                yield some

    def memory_map(self, path: str | os.PathLike[str]) -> np.ndarray | None:
        """The whole file as one read-only memory-mapped array; None if its format or byte order does not allow it."""
        with _reading(self.name, Path(path)):
            array = self._memory_map(Path(path))
        usable = array is not None and array.dtype.isnative and array.flags.aligned
        return array if usable else None

    def write(self, path: str | os.PathLike[str], blocks: Iterable[Block]) -> int:
        """Write blocks to a file, replacing it only once everything is on disk; return the number of rows.

        Raises
        ------
        NotSupportedError
            The format is read only.
        ParameterError, VectorError
            There are no rows, or they do not go together or into this format.
        StorageError
            The file could not be written. After any error, what stood at `path` before is unchanged.
        """
        if not self.writable:
            raise NotSupportedError(f"{self.name} files can be read, not written", hint="write .npy or .parquet")
        target = Path(os.path.realpath(path))  # through a symbolic link, not over it
        part = target.with_name(f".nearkin-{secrets.token_hex(8)}.part")
        going_out = _Outgoing(self)
        try:
            with _writing(self.name, target):
                _need_replaceable(target)
                prepared = going_out.prepare(blocks)
                first = next(prepared, None)
                if first is None:
                    raise ParameterError(f"there are no rows to write to {target}")
                self._write(part, chain([first], prepared))
                _replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        return going_out.rows

    def _checked(self, path: Path, rows: int) -> Iterator[Block]:
        first: np.ndarray | None = None
        with _reading(self.name, path):
            for block in self._read(path, rows):
                plain = block._replace(vectors=_plain(block.vectors))
                first = plain.vectors if first is None else first
                _check_block(plain, rows, first, self.name, path)
                yield plain
                let_go(block.vectors)  # of a file that is mapped, or all of it would end up in memory


def _plain(vectors: np.ndarray) -> np.ndarray:
    """C-contiguous, aligned and in native byte order, copied only if it is not."""
    return np.require(vectors, dtype=vectors.dtype.newbyteorder("="), requirements=["C", "A"])


def _check_block(block: Block, rows: int, first: np.ndarray, name: str, path: Path) -> None:
    vectors = block.vectors
    if vectors.ndim != 2 or vectors.shape[0] > rows or vectors.dtype.kind not in "fiub":
        raise PluginContractError(
            f"format {name!r} gave a block of shape {vectors.shape} and type {vectors.dtype}, at most {rows} rows of "
            "numbers expected"
        )
    if vectors.shape[1] == 0:
        raise CorruptFileError(f"{path} has rows of 0 columns, at least 1 is needed")
    if vectors.shape[1] != first.shape[1]:
        raise CorruptFileError(f"{path} has a row of {vectors.shape[1]} columns after rows of {first.shape[1]}")
    if vectors.dtype != first.dtype:
        raise PluginContractError(f"format {name!r} gave a block of {vectors.dtype} after blocks of {first.dtype}")
    for part, what in ((block.ids, "ids"), (block.metadata, "metadata")):
        if part is not None and len(part) != len(vectors):
            raise PluginContractError(f"format {name!r} gave {len(part)} {what} for {len(vectors)} rows")


@contextmanager
def _reading(name: str, path: Path) -> Iterator[None]:
    """Refuse what is no regular file, and turn what a library raises on a bad one into one sentence with its name.

    Parsers meet hostile bytes here and raise nearly anything (struct, zip, arrow, unicode errors), hence the wide net;
    nearkin's own errors and a consumer's GeneratorExit pass through.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise StorageError(f"{path} is a folder, a {name} file expected")
        if not stat.S_ISREG(mode):  # a pipe or device would block, or never end
            raise StorageError(f"{path} is not a regular file", hint="write it to a file first")
        yield
    except NearkinError:
        raise
    except FileNotFoundError as error:
        raise StorageError(f"there is no file {path}") from error
    except ImportError as error:
        raise _missing(name, error) from error
    except MemoryError as error:
        raise StorageError(f"{path} needs more memory than there is", hint="read it in smaller blocks") from error
    except UnicodeDecodeError as error:
        raise CorruptFileError(
            f"{path} is no {name} file that can be read: its text is not UTF-8 ({error.reason})",
            hint=encoding_hint(error),
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: a place before the start
            raise StorageError(f"{path}: {error.strerror or error}") from error
        raise CorruptFileError(f"{path} is no {name} file that can be read: {_first_line(error)}") from error


def encoding_hint(error: UnicodeDecodeError) -> str:
    """How a file whose text is not UTF-8 becomes one that can be read.

    >>> encoding_hint(UnicodeDecodeError("utf-8", b"\\xff\\xfea", 0, 1, "invalid start byte"))
    'this looks like UTF-16: iconv -f UTF-16 -t UTF-8 changes it'
    """
    if bytes(error.object[:2]) in (b"\xff\xfe", b"\xfe\xff"):
        return "this looks like UTF-16: iconv -f UTF-16 -t UTF-8 changes it"
    return (
        "text in another encoding is changed by iconv -f LATIN1 -t UTF-8; csv and tsv can also be read as they are, with --format "
        "csv:encoding=latin-1"
    )


@contextmanager
def _writing(name: str, path: Path) -> Iterator[None]:
    """Name the file in errors of the disk; other exceptions may come from the caller's blocks and pass as they are."""
    try:
        yield
    except NearkinError:
        raise
    except ImportError as error:
        raise _missing(name, error) from error
    except UnicodeEncodeError as error:
        raise ParameterError(f"ids or metadata hold text that is not valid Unicode: {error.object!r}") from error
    except FileNotFoundError as error:
        raise StorageError(f"{path} cannot be written: there is no folder {path.parent}") from error
    except OSError as error:
        raise StorageError(
            f"{path} was not written: {error.strerror or error}", hint="what stood there before is unchanged"
        ) from error


def _missing(name: str, error: ImportError) -> MissingDependencyError:
    return MissingDependencyError(f"{name} files need the package {error.name}", hint='pip install "nearkin[files]"')


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _need_replaceable(target: Path) -> None:
    if target.is_dir():
        raise StorageError(f"{target} is a folder, it cannot be replaced by a file")
    if target.exists() and not target.is_file():
        raise StorageError(f"{target} is not a regular file", hint="write to a file, then send it on")


def _replace(part: Path, target: Path) -> None:
    """Put `part` in the place of `target`, so that a crash leaves either the old file or the whole new one."""
    if target.exists():
        part.chmod(stat.S_IMODE(target.stat().st_mode))
    _sync(part)
    part.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Outgoing:
    """Blocks on their way into a file: made plain, checked against the first one, and counted."""

    def __init__(self, format: VectorFormat) -> None:
        self.format = format
        self.rows = 0
        self._first: Block | None = None

    def prepare(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Plain blocks with rows in them, in the form that `VectorFormat._write` is promised."""
        source: np.ndarray | None = None
        for block in blocks:
            vectors = np.asarray(block.vectors)
            self._check(vectors, block, source)
            source = vectors if source is None else source
            if not len(vectors):
                continue
            ids = None if block.ids is None else _plain_ids(block.ids)
            metadata = None if block.metadata is None else list(block.metadata)
            made = Block(_as_dtype(vectors, self.format.name, self.format.dtypes), ids, metadata)
            self._compare(made)
            self._first = self._first or made
            self.rows += len(vectors)
            yield made

    def _check(self, vectors: np.ndarray, block: Block, source: np.ndarray | None) -> None:
        if vectors.ndim != 2 or vectors.shape[1] == 0 or vectors.dtype.kind not in "fiub":
            raise VectorError(
                f"a block to write has shape {vectors.shape} and type {vectors.dtype}, rows of numbers expected"
            )
        if source is not None and vectors.shape[1] != source.shape[1]:
            raise VectorError(f"a block of {vectors.shape[1]} columns follows blocks of {source.shape[1]}")
        if source is not None and vectors.dtype.name != source.dtype.name:
            raise VectorError(f"a block of {vectors.dtype.name} follows blocks of {source.dtype.name}")
        for part, what in ((block.ids, "ids"), (block.metadata, "metadata")):
            if part is not None and len(part) != len(vectors):
                raise ParameterError(f"a block to write has {len(part)} {what} for {len(vectors)} rows")

    def _compare(self, block: Block) -> None:
        first = self._first or block
        for name in ("ids", "metadata"):
            if (getattr(block, name) is None) != (getattr(first, name) is None):
                raise ParameterError(f"some blocks have {name} and others have none (from row {self.rows:,} on)")
        if type(block.ids) is not type(first.ids):
            raise ParameterError(
                f"ids are text in some blocks and integers in others (from row {self.rows:,} on)",
                hint="turn them all into text",
            )


def _plain_ids(ids: Sequence[Any] | np.ndarray) -> np.ndarray | list[str]:
    """Ids as an int64 array or a list of text."""
    values = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    if all(isinstance(value, str) for value in values):
        return [str(value) for value in values]
    for value in values:
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
            raise ParameterError(f"id {value!r} is of type {type(value).__name__}, all integers or all text expected")
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError as error:
        raise ParameterError("an id does not fit in 64 bits", hint="turn the ids into text") from error


def _as_dtype(vectors: np.ndarray, name: str, dtypes: frozenset[str]) -> np.ndarray:
    """Rows in a dtype that the format holds; refuses what would overflow or, for whole numbers, change."""
    if vectors.dtype.name in dtypes:
        return _plain(vectors)
    wanted = np.dtype("float32" if "float32" in dtypes else sorted(dtypes)[0])
    with np.errstate(over="ignore", invalid="ignore"):
        made = np.ascontiguousarray(vectors, dtype=wanted)
        bad = ~np.isfinite(made) & np.isfinite(vectors) if wanted.kind == "f" else made != vectors
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        raise VectorError(
            f"{vectors[row, column]} (row {row}, column {column} of its block) does not fit in {wanted}, "
            f"which {name} files hold",
            hint="write .npy, which holds every type of number",
        )
    return made
