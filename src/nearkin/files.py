"""Files of vectors: find the format by the name, load, convert, summarize.

>>> import tempfile
>>> from nearkin.npy_format import NpyFormat
>>> from nearkin.hooks import FormatSpec
>>> class OnlyNpy:
...     def specs(self, kind): return [FormatSpec(name="npy", summary="", make=NpyFormat, suffixes=(".npy",))]
...     def make(self, kind, text): return NpyFormat()
>>> with tempfile.TemporaryDirectory() as folder:
...     np.save(f"{folder}/x.npy", np.eye(2, dtype=np.float32))
...     read_vectors(f"{folder}/x.npy", registry=OnlyNpy()).vectors.tolist()
[[1.0, 0.0], [0.0, 1.0]]
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from nearkin.components import as_written
from nearkin.errors import AmbiguousNameError, CorruptFileError, NotSupportedError, StorageError, UnknownNameError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.hooks import FormatSpec, Spec
from nearkin.parts import PartsFormat, files_of, stored_bytes
from nearkin.store.replacement import DATABASE_NAME

PathLike = str | os.PathLike[str]

_TORCH = "np.save('vectors.npy', torch.load('{name}', map_location='cpu', weights_only=True).float().numpy())"
_PICKLE = "np.save('vectors.npy', np.asarray(pickle.load(open('{name}', 'rb')), dtype='float32'))"
_JOBLIB = "np.save('vectors.npy', np.asarray(joblib.load('{name}'), dtype='float32'))"

RUNS_CODE = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), _TORCH),
    **dict.fromkeys((".pkl", ".pickle"), _PICKLE),
    ".joblib": _JOBLIB,
}
"""Endings of pickled files, and what saves the numbers of one; reading one runs whatever code its author put there."""

_PLAUSIBLE_RATIO = 64
"""Memory for a whole file is asked for at once only if its rows are at most this many times its bytes."""


class Formats(Protocol):
    """What is needed of a registry."""

    def specs(self, kind: str) -> Iterable[Spec]:
        """Every spec of a kind."""

    def make(self, kind: str, text: str) -> Any:
        """The component that a text like ``csv:id=sku`` names."""


class Loaded(NamedTuple):
    """A file in memory, or mapped into it."""

    vectors: np.ndarray
    """(n, dim) in the dtype of the file; read-only and memory-mapped where the format can."""
    ids: list[Any] | np.ndarray | None
    """n ids, text or integers, or None if the file has none."""
    metadata: list[dict[str, Any]] | None
    """n JSON-able dicts, or None if the file has no further columns."""


def find_format(path: PathLike, *, registry: Formats | None = None, format: str | None = None) -> VectorFormat:
    """The format that reads and writes a file; for a folder of parts, one that reads them all as one file.

    Parameters
    ----------
    registry
        Where formats are looked up; the registry of this process if not given.
    format
        Name and options, ``"csv:id=sku"``; chosen by the ending of the file's name (in a folder, of the files' names) if
        not given.

    Raises
    ------
    UnknownNameError
        No format has this name or ending; the message lists all endings and the nearest.
    AmbiguousNameError
        Two formats claim the ending, or a folder has files of several formats.
    NotSupportedError
        A file that would run code when read (.pt, .bin, .pkl and their like).
    StorageError
        A folder without files of vectors.
    """
    formats: Formats = _default_registry() if registry is None else registry
    made = _made(formats, format or name_of_format(path, formats))
    return PartsFormat(made) if os.path.isdir(path) else made


def name_of_format(path: PathLike, formats: Formats) -> str:
    """Name of the format that a file's ending tells, or the endings of a folder's files; errors as for `find_format`."""
    place = Path(path)
    # a folder that may not be looked into is for the reader to tell of
    return _name_in_folder(place, formats) if os.path.isdir(place) else _name_by_suffix(place, formats)


def with_columns(path: PathLike, formats: Formats, format: str | None, columns: Mapping[str, str | None]) -> str | None:
    """A format with the columns that are named, such as ``csv:id=sku``; None for that of the file's name, if none is."""
    given = [f"{name}={as_written(column)}" for name, column in columns.items() if column is not None]
    return ":".join([format or name_of_format(path, formats), *given]) if given else format


def read_vectors(path: PathLike, *, registry: Formats | None = None, format: str | None = None) -> Loaded:
    """Load a whole file.

    Parameters
    ----------
    registry, format
        As for `find_format`.

    Raises
    ------
    StorageError, CorruptFileError
        The file cannot be read, or is damaged.
    UnknownNameError, NotSupportedError
        As for `find_format`.
    """
    reader = find_format(path, registry=registry, format=format)
    mapped = reader.memory_map(path)
    summary = reader.describe(path)
    if mapped is not None and not summary.ids and not summary.metadata:
        return Loaded(mapped, None, None)
    gathered = _Gathered(Path(path), summary, mapped)
    for block in reader.read(path):
        gathered.add(block)
    return gathered.loaded()


def convert(
    source: PathLike,
    target: PathLike,
    *,
    registry: Formats | None = None,
    source_format: str | None = None,
    target_format: str | None = None,
    rows: int = 65_536,
    on_loss: Callable[[list[str]], None] | None = None,
) -> int:
    """Read one file and write another, block by block; return the number of rows.

    The dtype is kept where the target's format holds it; otherwise it becomes float32.

    Parameters
    ----------
    registry, source_format, target_format
        As for `find_format`.
    rows
        Rows in a block, at most.
    on_loss
        Called with "ids" and "metadata", whichever the source has and the target's format cannot keep.

    Raises
    ------
    StorageError, CorruptFileError
        The source cannot be read or the target not written; what stood at `target` before is unchanged.
    ParameterError, VectorError
        The source has no rows, or values that the target's format does not hold.
    """
    reader = find_format(source, registry=registry, format=source_format)
    writer = find_writer(target, registry=registry, format=target_format)
    summary = reader.describe(source)
    kept = {part.removeprefix("integer ") for part in writer.keeps}
    has = {"ids": summary.ids, "metadata": bool(summary.metadata)}
    lost = [part for part, there in has.items() if there and part not in kept]
    if lost and on_loss is not None:
        on_loss(lost)
    return writer.write(target, reader.read(source, rows=rows))


def summarize(path: PathLike, *, registry: Formats | None = None, format: str | None = None) -> FileSummary:
    """Rows, columns, dtype, and whether there are ids and metadata, from the head of a file.

    Raises
    ------
    StorageError, CorruptFileError, UnknownNameError, NotSupportedError
        As for `read_vectors`.
    """
    return find_format(path, registry=registry, format=format).describe(path)


def _default_registry() -> Formats:
    from nearkin.registry import default_registry  # loading plugins takes time, and a caller may bring its own

    return default_registry()


def find_writer(path: PathLike, *, registry: Formats | None = None, format: str | None = None) -> VectorFormat:
    """The format that writes a file; arguments as for `find_format`.

    Raises
    ------
    UnknownNameError
        The name has no ending, or one that no format has.
    NotSupportedError
        The ending is that of a pickled file.
    """
    target, formats = Path(path), _default_registry() if registry is None else registry
    ending = target.suffix.lower()
    if format is None and ending in RUNS_CODE and not _longest(target, formats):
        raise NotSupportedError(
            f"{target} would be pickled, as {ending} files are, and nearkin writes none",
            hint="write .npy or .safetensors",
        )
    if format is None and not ending and not target.is_dir():
        raise UnknownNameError(
            f"{target} has no ending that tells its format",
            hint="write .npy, or name the format: target_format='npy' (--to npy)",
        )
    return find_format(target, registry=formats, format=format)


def _made(formats: Formats, text: str) -> VectorFormat:
    made: VectorFormat = formats.make("format", text)
    return made


def _name_by_suffix(path: Path, formats: Formats) -> str:
    found = _claims(path, formats)
    if not found:
        if not path.suffix and not os.path.lexists(path):
            raise StorageError(f"there is no file {path}")
        raise _no_format(path, formats)
    if len(found) > 1:
        ending = _longest(path, formats)
        raise AmbiguousNameError(
            f"{len(found)} formats read files ending in {ending!r}: {', '.join(sorted(found))}",
            hint=f"choose one with format={found[0]!r} (--format {found[0]})",
        )
    return found[0]


def _name_in_folder(folder: Path, formats: Formats) -> str:
    """The one format of a folder's files; those that no format reads are passed over."""
    if (folder / DATABASE_NAME).is_file():
        raise StorageError(f"{folder} is a folder with a saved index, files of vectors expected")
    parts = [each for each in files_of(folder) if _longest(each, formats)]
    names = sorted({_name_by_suffix(each, formats) for each in parts})
    if not names:
        raise StorageError(f"{folder} is a folder without files of vectors; known are {_listed(formats)}")
    if len(names) > 1:
        raise AmbiguousNameError(
            f"{folder} is a folder with files of {len(names)} formats: {', '.join(names)}",
            hint=f"choose one with format={names[0]!r} (--format {names[0]})",
        )
    return names[0]


def _claims(path: Path, formats: Formats) -> list[str]:
    """Names of the formats that claim the longest ending of a file's name."""
    ending = _longest(path, formats)
    return list(dict.fromkeys(spec.name for spec in _specs(formats) if ending in spec.suffixes))


def _longest(path: Path, formats: Formats) -> str:
    """The longest known ending of a file's name, "" if there is none."""
    name = path.name.lower()
    return max((each for spec in _specs(formats) for each in spec.suffixes if name.endswith(each)), key=len, default="")


def _specs(formats: Formats) -> list[FormatSpec]:
    return [spec for spec in formats.specs("format") if isinstance(spec, FormatSpec)]


def _listed(formats: Formats) -> str:
    return ", ".join(sorted({suffix for spec in _specs(formats) for suffix in spec.suffixes})) or "none"


def _no_format(path: Path, formats: Formats) -> Exception:
    ending = path.suffix.lower()
    if ending in RUNS_CODE:
        named = "; for word2vec's, --format word2vec-binary" if ending == ".bin" else ""
        return NotSupportedError(
            f"{path} is refused: {ending} files are pickled, and reading one runs the code in it",
            hint="save plain numbers where you trust it: " + RUNS_CODE[ending].format(name=path.name) + named,
        )
    known = sorted({suffix for spec in _specs(formats) for suffix in spec.suffixes})
    close = difflib.get_close_matches(ending, known, n=1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    what = (
        f"no format reads files ending in {ending!r}{meant}"
        if ending
        else f"{path} has no ending that tells its format"
    )
    return UnknownNameError(
        f"{what}; known are {_listed(formats)}", hint="or name the format: format='csv' (--format csv)"
    )


class _Gathered:
    """Blocks put together. Where the head of the file tells the size, rows go straight to their place; of a file that is
    memory-mapped, only ids and metadata are kept.
    """

    def __init__(self, path: Path, summary: FileSummary, mapped: np.ndarray | None) -> None:
        self._path = path
        self._summary = summary
        self._mapped = mapped
        self._rows = 0
        self._pieces: list[np.ndarray] = []
        self._ids: list[Sequence[Any] | np.ndarray] = []
        self._metadata: list[dict[str, Any]] | None = None
        self._whole: np.ndarray | None = None
        if summary.rows is not None and mapped is None:
            dtype = np.dtype(summary.dtype)
            if summary.rows * summary.dim * dtype.itemsize <= _PLAUSIBLE_RATIO * stored_bytes(path):
                self._whole = np.empty((summary.rows, summary.dim), dtype)

    def add(self, block: Block) -> None:
        """Take the rows of a block; once they are in their place, nothing of it is held on to but ids and metadata."""
        start, self._rows = self._rows, self._rows + len(block.vectors)
        if self._whole is not None:
            place = self._whole[start : self._rows]
            if place.shape != block.vectors.shape or place.dtype != block.vectors.dtype:
                raise self._other_rows()
            place[:] = block.vectors
        elif self._mapped is None:
            self._pieces.append(block.vectors)
        if block.ids is not None:
            self._ids.append(block.ids)
        if block.metadata is not None:
            self._metadata = self._metadata or []
            self._metadata += block.metadata

    def loaded(self) -> Loaded:
        """Everything that was added."""
        if self._summary.rows not in (None, self._rows) or (
            self._mapped is not None and len(self._mapped) != self._rows
        ):
            raise self._other_rows()
        return Loaded(self._vectors(), self._all_ids(), self._metadata)

    def _vectors(self) -> np.ndarray:
        for known in (self._mapped, self._whole):
            if known is not None:
                return known
        if not self._pieces:
            raise CorruptFileError(f"{self._path} holds no rows")
        return np.concatenate(self._pieces)

    def _all_ids(self) -> list[Any] | np.ndarray | None:
        arrays = [part for part in self._ids if isinstance(part, np.ndarray)]
        if arrays and len(arrays) == len(self._ids):
            return np.concatenate(arrays)
        return [each for part in self._ids for each in part] if self._ids else None

    def _other_rows(self) -> CorruptFileError:
        head = f"{self._summary.rows} of {self._summary.dim} columns of {self._summary.dtype}"
        return CorruptFileError(f"{self._path} has other rows than its head says: {head} expected")
