"""HDF5: a 2-D dataset, such as those of ann-benchmarks (train, test, neighbors, distances).

Source: https://docs.hdfgroup.org (File Format Specification), https://github.com/erikbern/ann-benchmarks. The HDF5 library
does not survive every damaged file, so it only runs in a child process (`hdf5_child`); values that lie in one piece are
memory-mapped here, others come through a pipe. It writes in this process, where the content is ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from nearkin.errors import CorruptFileError, MissingDependencyError, NotSupportedError, ParameterError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.npy_format import NpyFormat, read_npy_header, write_npy
from nearkin.vectors import block_rows
from nearkin_plugins.file_formats import hdf5_child
from nearkin_plugins.file_formats.plain_matrices import LARGEST_DIM, Matrix, map_matrix, matrix_blocks, need_possible

SIGNATURE = b"\x89HDF\r\n\x1a\n"
VECTOR_DATASETS = ("train", "vectors", "embeddings")
"""Names that are taken for the vectors if a file has several 2-D datasets; the first that is there."""

_MOST_RATIO = 1_040
"""Deflate makes nothing smaller than a 1032nd of itself, so a larger claim is taken for false."""
_LONGEST_LINE = 1 << 28


class Dataset(NamedTuple):
    """What the child process says of one; of a hostile file, any of it may be false."""

    shape: list[int]
    dtype: str
    stored: int
    offset: int | None
    elsewhere: bool
    chunk: int

    @property
    def is_numbers(self) -> bool:
        """Whether it holds numbers of a type that vectors have."""
        return self.dtype[1:2] in tuple("fiub") and np.dtype(self.dtype).itemsize <= 8


class Found(NamedTuple):
    """The vectors and ids of a file."""

    name: str
    matrix: Matrix
    mapped: bool
    """Whether the values lie in one piece."""
    ids: Dataset | None


class Hdf5Format(VectorFormat):
    """A 2-D dataset and, if there, one of ids. Data in other files (external, virtual) is refused.

    Parameters
    ----------
    dataset
        Name of the vectors, such as ``test``; if not given, ``train`` as in ann-benchmarks, one called vectors or
        embeddings, or the only 2-D dataset.
    ids
        Name of the ids; left out if the file has none.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = Hdf5Format().write(f"{folder}/x.hdf5", [Block(np.float32([[1, 2]]), ids=["a"])])
    ...     block = next(Hdf5Format().read(f"{folder}/x.hdf5"))
    >>> block.vectors.tolist(), block.ids
    ([[1.0, 2.0]], ['a'])
    """

    name = "hdf5"
    suffixes = (".hdf5", ".h5")
    keeps = frozenset({"ids"})
    dtypes = NpyFormat.dtypes

    def __init__(self, dataset: str | None = None, ids: str = "ids") -> None:
        self.dataset = dataset
        self.ids = ids

    def _describe(self, path: Path) -> FileSummary:
        found = self._find(path)
        return FileSummary(found.matrix.rows, found.matrix.dim, found.matrix.dtype.name, found.ids is not None)

    def _memory_map(self, path: Path) -> np.ndarray | None:
        found = self._find(path)
        return map_matrix(found.matrix, path) if found.mapped else None

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        found = self._find(path)
        matrix = found.matrix
        if (found.mapped and found.ids is None) or not matrix.rows:
            yield from matrix_blocks(map_matrix(matrix._replace(offset=max(0, matrix.offset)), path), rows)
            return
        mapped = map_matrix(matrix, path) if found.mapped else None
        done = 0
        for ids, values in self._stream(path, found):
            run = mapped[done : done + len(values)] if mapped is not None else values
            for start in range(0, len(run), rows):
                part = slice(start, start + rows)
                yield Block(np.asarray(run[part]), None if ids is None else ids[part])
            done += len(run)
        if done != matrix.rows:
            raise CorruptFileError(f"{path} has {done:,} rows that can be read, {matrix.rows:,} expected")

    def _stream(self, path: Path, found: Found) -> Iterator[tuple[Any, np.ndarray]]:
        """Ids and values (only their number if they are memory-mapped) of runs of rows, from a child process."""
        matrix = found.matrix
        step = block_rows(matrix.dim * matrix.dtype.itemsize)
        asked = {
            "path": str(path),
            "dataset": found.name,
            "values": not found.mapped,
            "ids": None if found.ids is None else self.ids,
            "text": found.ids is not None and found.ids.dtype == "text",
            "step": step,
        }
        with _child(asked, path) as output:
            for start in range(0, matrix.rows, step):
                count = min(step, matrix.rows - start)
                yield _read_run(output, found, count, path)

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        """Rows go to a nameless file first: values lie in one piece only if their number is known."""
        import h5py

        ids: list[Any] = []
        with tempfile.TemporaryFile(dir=path.parent) as spool:
            write_npy(spool, _noting_ids(blocks, ids))
            spool.seek(0)
            shape, _, dtype = read_npy_header(spool)
            rows = np.memmap(spool, dtype, "r", offset=spool.tell(), shape=(shape[0], shape[1]))
            step = block_rows(shape[1] * dtype.itemsize)
            try:
                with h5py.File(path, "w") as file:
                    data = file.create_dataset(self.dataset or VECTOR_DATASETS[0], shape, dtype)
                    for start in range(0, len(rows), step):
                        data[start : start + step] = rows[start : start + step]
                    if ids:
                        _write_ids(file, self.ids, ids)
            except RuntimeError as error:  # what h5py makes of a full disk when a file is closed
                raise OSError(f"h5py could not write it: {error}") from error

    def _find(self, path: Path) -> Found:
        """The vectors and the ids, their sizes checked."""
        _need_whole(path)
        datasets = _look(path)
        name = self._choose(datasets, path)
        data, what = datasets[name], f"dataset {name!r} of {path}"
        if len(data.shape) != 2 or not data.is_numbers:
            raise CorruptFileError(
                f"{what} has shape {data.shape} and type {data.dtype}, a 2-D one of numbers expected"
            )
        if data.elsewhere:
            raise NotSupportedError(f"{what} keeps its values in other files", hint="copy it into a file of its own")
        matrix = Matrix(np.dtype(data.dtype), -1 if data.offset is None else data.offset, *data.shape)
        if data.offset is not None:
            need_possible(matrix, path, self.name)
        stored = min(data.stored, path.stat().st_size)
        if matrix.dim > LARGEST_DIM or matrix.nbytes > _MOST_RATIO * stored or data.chunk > hdf5_child.LARGEST_CHUNK:
            raise CorruptFileError(
                f"{what} claims {matrix.rows:,} rows of {matrix.dim:,} columns in chunks of {data.chunk:,} bytes, out of "
                f"{stored:,} bytes in all"
            )
        ids = datasets.get(self.ids)
        if ids is not None and (
            ids.shape != [matrix.rows] or not (ids.dtype == "text" or ids.dtype[1:2] in ("i", "u"))
        ):
            raise CorruptFileError(
                f"dataset {self.ids!r} of {path} has shape {ids.shape} and type {ids.dtype}, {matrix.rows} integers or "
                "texts expected"
            )
        return Found(name, matrix, data.offset is not None, ids)

    def _choose(self, datasets: dict[str, Dataset], path: Path) -> str:
        shown = ", ".join(f"{name} {tuple(each.shape)}" for name, each in list(datasets.items())[:12]) or "none"
        if self.dataset is not None:
            name = self.dataset.strip("/")
            if name not in datasets:
                raise ParameterError(f"{path} has no dataset {self.dataset!r}; it has {shown}")
            return name
        wide = [name for name, each in datasets.items() if len(each.shape) == 2 and each.is_numbers]
        if not wide:
            raise CorruptFileError(f"{path} has no 2-D dataset of numbers; it has {shown}")
        called = [name for name in VECTOR_DATASETS if name in wide]
        if len(wide) > 1 and not called:
            raise ParameterError(
                f"{path} has {len(wide)} 2-D datasets: {', '.join(wide[:12])}",
                hint=f"choose one with --format hdf5:dataset={wide[0]}",
            )
        return called[0] if called else wide[0]


# ---- the child process -----------------------------------------------------------------------------------------------


def _look(path: Path) -> dict[str, Dataset]:
    """Datasets of a file, as a child process finds them; remembered until the file changes."""
    stat = path.stat()
    return _looked(path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=16)
def _looked(path: Path, *_: int) -> dict[str, Dataset]:
    with _child({"path": str(path)}, path) as output:
        answer = _read_line(output, path)
    return {name: Dataset(**each) for name, each in answer.items()}


@contextmanager
def _child(asked: dict[str, Any], path: Path) -> Iterator[IO[bytes]]:
    """Standard output of a child process, which is stopped at the end."""
    if _lacks_h5py():
        raise MissingDependencyError("hdf5 files need the package h5py", hint='pip install "nearkin[files]"')
    command = [sys.executable, "-P", str(hdf5_child.__file__), json.dumps(asked)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            if process.stdout is None:
                raise CorruptFileError(f"{path} cannot be read: no pipe to the process that reads it")
            yield process.stdout
        finally:
            process.kill()


def _lacks_h5py() -> bool:
    from importlib.util import find_spec

    return find_spec("h5py") is None


def _read_line(output: IO[bytes], path: Path) -> dict[str, Any]:
    line = output.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise CorruptFileError(f"{path} is damaged: the HDF5 library crashes on it")
    answer: dict[str, Any] = json.loads(line)
    if "refused" in answer and isinstance(answer["refused"], str):
        raise CorruptFileError(f"{path} is no hdf5 file that can be read: {answer['refused'].splitlines()[0]}")
    return answer


def _read_run(output: IO[bytes], found: Found, count: int, path: Path) -> tuple[Any, np.ndarray]:
    """Ids and values of the next rows."""
    head = _read_line(output, path)
    matrix = found.matrix
    values = np.empty((count, 0 if found.mapped else matrix.dim), matrix.dtype)
    if head["bytes"] != values.nbytes:
        raise CorruptFileError(f"{path} has a run of {head['bytes']:,} bytes, {values.nbytes:,} expected")
    content = output.read(values.nbytes)
    if len(content) < values.nbytes:
        raise CorruptFileError(f"{path} is damaged: the HDF5 library crashes on it")
    if content:
        values = np.frombuffer(content, matrix.dtype).reshape(values.shape)
    ids = head["ids"]
    if ids is not None and len(ids) != count:
        raise CorruptFileError(f"{path} has {len(ids):,} ids for {count:,} rows")
    if ids is not None and found.ids is not None and found.ids.dtype != "text":
        ids = np.array(ids, dtype=np.int64)
    return ids, values


def _need_whole(path: Path) -> None:
    """Refuse a file that is no HDF5 file, or shorter than its superblock says, before anything else looks at it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(96)
    if head[:8] != SIGNATURE:
        raise CorruptFileError(f"{path} is no HDF5 file: it starts with {head[:8]!r}")
    version = head[8] if len(head) > 8 else 255
    if version > 3 or len(head) < 52:
        raise CorruptFileError(f"{path} has an HDF5 superblock of version {version} in {size:,} bytes")
    width = head[13] if version < 2 else head[9]
    start = {0: 24, 1: 28}.get(version, 12)
    if width != 8:
        raise CorruptFileError(f"{path} has HDF5 offsets of {width} bytes, 8 expected")
    end = int.from_bytes(head[start + 16 : start + 24], "little")
    if end > size:
        raise CorruptFileError(f"{path} is cut short: {end:,} bytes expected, {size:,} found")


# ---- writing ---------------------------------------------------------------------------------------------------------


def _noting_ids(blocks: Iterator[Block], ids: list[Any]) -> Iterator[Block]:
    for block in blocks:
        if block.ids is not None:
            ids.append(block.ids)
        yield block


def _write_ids(file: Any, name: str, ids: list[Any]) -> None:
    import h5py

    if isinstance(ids[0], np.ndarray):
        file.create_dataset(name, data=np.concatenate(ids))
        return
    texts = [text for block in ids for text in block]
    for text in texts:
        if "\0" in text:
            raise ParameterError(
                f"id {text!r} has a NUL character, which hdf5 files cannot keep", hint="write .parquet"
            )
    file.create_dataset(name, data=texts, dtype=h5py.string_dtype())
