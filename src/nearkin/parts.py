"""A folder of files of one format (part_0.npy, part_1.npy, ...), read as if it were one file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.errors import CorruptFileError, StorageError
from nearkin.formats import Block, FileSummary, VectorFormat

_HIDDEN = (".", "_")
"""Names that begin so are no parts: what is being written, and notes such as Spark's _SUCCESS."""


class PartsFormat(VectorFormat):
    """The parts of a folder in natural order of their names (part_2 before part_10), not those of its folders.

    Parts agree in columns, in dtype and in whether they have ids. A part without the further columns of another one has
    rows of empty metadata.

    Parameters
    ----------
    part
        Format of every part.

    Examples
    --------
    >>> import tempfile
    >>> from nearkin.npy_format import NpyFormat
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in (10, 2):
    ...         np.save(f"{folder}/part_{number}.npy", np.float32([[number, 0]]))
    ...     [block.vectors.tolist() for block in PartsFormat(NpyFormat()).read(folder)]
    [[[2.0, 0.0]], [[10.0, 0.0]]]
    """

    def __init__(self, part: VectorFormat) -> None:
        self.part = part
        self.name = part.name  # type: ignore[misc]
        self.suffixes = part.suffixes  # type: ignore[misc]
        self.keeps = part.keeps  # type: ignore[misc]
        self.reads_records = part.reads_records  # type: ignore[misc]

    def describe(self, path: str | os.PathLike[str]) -> FileSummary:
        first: FileSummary | None = None
        rows: int | None = 0
        fields: dict[str, None] = {}
        for each in self._parts(Path(path)):
            summary = self.part.describe(each)
            first = first or summary
            _need_alike(summary, first, each)
            fields.update(dict.fromkeys(summary.metadata))
            rows = None if rows is None or summary.rows is None else rows + summary.rows
        if first is None:
            raise self._nothing(Path(path))
        return replace(first, rows=rows, metadata=tuple(fields))

    def memory_map(self, path: str | os.PathLike[str]) -> np.ndarray | None:
        parts = self._parts(Path(path))
        return self.part.memory_map(parts[0]) if len(parts) == 1 else None

    def write(self, path: str | os.PathLike[str], blocks: Iterable[Block]) -> int:
        raise StorageError(f"{path} is a folder, it cannot be replaced by a file")

    def _checked(self, path: Path, rows: int) -> Iterator[Block]:
        whole = self.describe(path)
        kinds: dict[type, Path] = {}
        for part in self._parts(path):
            for block in self.part.read(part, rows=rows):
                _need_one_kind_of_ids(block, kinds, part)
                if whole.metadata and block.metadata is None:
                    yield block._replace(metadata=[{} for _ in range(len(block.vectors))])
                else:
                    yield block

    def _checked_records(self, path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
        for part in self._parts(path):
            yield from self.part.records(part, rows=rows)

    def _describe(self, path: Path) -> FileSummary:
        return self.describe(path)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        return self._checked(path, rows)

    def _parts(self, folder: Path) -> list[Path]:
        parts = [each for each in files_of(folder) if each.name.lower().endswith(self.suffixes)]
        if not parts:
            raise self._nothing(folder)
        return parts

    def _nothing(self, folder: Path) -> StorageError:
        return StorageError(f"{folder} is a folder without {self.name} files ({', '.join(self.suffixes)})")


def files_of(folder: Path) -> list[Path]:
    """Regular files of a folder in natural order, hidden ones (``.x``, ``_x``) left out.

    Raises
    ------
    StorageError
        The folder cannot be listed.
    """
    try:
        found = [each for each in folder.iterdir() if each.is_file() and not each.name.startswith(_HIDDEN)]
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror or error}") from error
    return sorted(found, key=_natural)


def stored_bytes(path: Path) -> int:
    """Bytes of a file, or of all files of a folder of parts."""
    return sum(each.stat().st_size for each in files_of(path)) if path.is_dir() else path.stat().st_size


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Digits count as numbers; the name itself settles 1 and 01."""
    pieces = re.split(r"([0-9]+)", path.name)
    return [(int(piece), "") if odd % 2 else (0, piece) for odd, piece in enumerate(pieces)], path.name


def _need_alike(summary: FileSummary, first: FileSummary, part: Path) -> None:
    for what, one, other in (
        ("columns", summary.dim, first.dim),
        ("values of type", summary.dtype, first.dtype),
        ("ids", summary.ids, first.ids),
    ):
        if one != other:
            raise CorruptFileError(
                f"{part} has {_count(one, what)}, the first part of its folder {_count(other, what)}",
                hint="the parts of a folder must be alike",
            )


def _need_one_kind_of_ids(block: Block, kinds: dict[type, Path], part: Path) -> None:
    if block.ids is None or not len(block.ids):
        return
    kinds.setdefault(str if isinstance(block.ids[0], str) else int, part)
    if len(kinds) > 1:
        raise CorruptFileError(
            f"ids are text in {kinds[str]} and integers in {kinds[int]}",
            hint="turn them all into text (csv and tsv: text_ids=true)",
        )


def _count(value: object, what: str) -> str:
    if isinstance(value, bool):
        return what if value else f"no {what}"
    return f"{value} {what}" if isinstance(value, int) else f"{what} {value}"
