"""Checks of the format contract."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.errors import NotSupportedError, ParameterError, StorageError
from nearkin.formats import Block, VectorFormat
from nearkin.hooks import FormatSpec
from nearkin.testing.contract import Checks, NotApplicable, Subject, expect, expect_error, fail, first_line

FORMAT_CHECKS = Checks("format")

_ROWS, _DIM = 23, 5
_WORDS = ("plain", "with, comma", 'with "quotes"', "naïve 日本語 🙂", "a;b\tc", " padded ")


class _Interrupted(Exception):
    """What goes wrong half-way through writing."""


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nearkin-check-") as name:
        yield Path(name)


def _format(subject: Subject) -> VectorFormat:
    made: VectorFormat = subject.make()
    return made


def _writable(subject: Subject) -> VectorFormat:
    made = _format(subject)
    if not made.writable:
        raise NotApplicable("it is read only, so the kit has no file of it")
    return made


def _path(folder: Path, made: VectorFormat) -> Path:
    return folder / f"vectors{made.suffixes[0]}"


def _dtypes(made: VectorFormat) -> list[str]:
    """Declared dtypes, float32 first if it is one of them."""
    return sorted(made.dtypes, key=lambda name: (name != "float32", name))


def _vectors(subject: Subject, dtype: str) -> np.ndarray:
    rng = subject.rng(f"vectors {dtype}")
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, (_ROWS, _DIM), dtype=dtype, endpoint=True)
    rows = rng.standard_normal((_ROWS, _DIM)) * 10.0 ** rng.integers(-3, 3, (_ROWS, 1))
    return rows.astype(dtype)


def _block(subject: Subject, made: VectorFormat, dtype: str | None = None) -> Block:
    """Rows with as much beside them as the format keeps."""
    ids: list[Any] | None = [f"id {row}" for row in range(_ROWS)] if "ids" in made.keeps else None
    if "integer ids" in made.keeps:
        ids = [7 * row for row in range(_ROWS)]
    words = [
        {"title": f"{_WORDS[row % len(_WORDS)]} {row}", "note": _WORDS[-1 - row % len(_WORDS)]} for row in range(_ROWS)
    ]
    return Block(_vectors(subject, dtype or _dtypes(made)[0]), ids, words if "metadata" in made.keeps else None)


def _cut(block: Block, *places: int) -> Iterator[Block]:
    for start, stop in zip((0, *places), (*places, len(block.vectors)), strict=True):
        ids = block.ids[start:stop] if block.ids is not None else None
        metadata = block.metadata[start:stop] if block.metadata is not None else None
        yield Block(block.vectors[start:stop], ids, metadata)


def _read(made: VectorFormat, path: Path, rows: int = 1000) -> tuple[np.ndarray, list[Any], list[Any]]:
    """Vectors, ids and metadata of a whole file."""
    blocks = list(made.read(path, rows=rows))
    expect(blocks, f"a file of {_ROWS} rows was read as no block at all")
    ids = [each for block in blocks for each in (block.ids if block.ids is not None else ())]
    metadata = [each for block in blocks for each in (block.metadata if block.metadata is not None else ())]
    return np.concatenate([block.vectors for block in blocks]), ids, metadata


def _expect_rows(got: np.ndarray, wanted: np.ndarray, what: str) -> None:
    expect(got.shape == wanted.shape, f"{what} has shape {got.shape}, {wanted.shape} was written")
    expect(got.dtype == wanted.dtype, f"{what} is {got.dtype}, {wanted.dtype} was written")
    different = int((got != wanted).any(axis=1).sum())
    expect(not different, f"{what} has {different} of {len(wanted)} rows with other values than were written")


@FORMAT_CHECKS.gate
def writes_and_reads(subject: Subject) -> None:
    """Vectors that were written in several blocks are read back in their order, and write gives their number."""
    made = _writable(subject)
    with _folder() as folder:
        rows = made.write(_path(folder, made), _cut(_block(subject, made), 7, 8))
        expect(rows == _ROWS, f"write gave {rows} for {_ROWS} rows")
        got, _, _ = _read(made, _path(folder, made))
        wanted = _block(subject, made).vectors
        expect(got.shape == wanted.shape, f"shape {wanted.shape} was written, {got.shape} read back")
        expect(np.allclose(got, wanted, rtol=1e-3), "other values were read back than were written")


@FORMAT_CHECKS.add
def suffixes_declared(subject: Subject) -> None:
    """Suffixes are lower case with a dot, and the spec declares the same as the class."""
    made, spec = _format(subject), subject.spec
    expect(made.suffixes, "it has no suffixes")
    for suffix in made.suffixes:
        expect(suffix.startswith(".") and suffix == suffix.lower(), f"suffix {suffix!r} is not lower case with a dot")
    if isinstance(spec, FormatSpec):
        expect(
            set(spec.suffixes) == set(made.suffixes),
            f"the spec has suffixes {spec.suffixes}, the class {made.suffixes}",
        )


@FORMAT_CHECKS.add
def dtypes_exact(subject: Subject) -> None:
    """Vectors of every declared dtype come back exactly."""
    made = _writable(subject)
    with _folder() as folder:
        for dtype in _dtypes(made):
            made.write(_path(folder, made), [_block(subject, made, dtype)])
            _expect_rows(_read(made, _path(folder, made))[0], _vectors(subject, dtype), f"a file of {dtype}")


@FORMAT_CHECKS.add
def ids_kept(subject: Subject) -> None:
    """A format that says it keeps ids gives them back, text and whole numbers; one that does not gives none."""
    _check_beside(subject, "ids")


@FORMAT_CHECKS.add
def text_ids_refused(subject: Subject) -> None:
    """write of a format that says it keeps integer ids only raises ParameterError for text."""
    made = _writable(subject)
    if "integer ids" not in made.keeps:
        raise NotApplicable("it keeps any ids, or none")
    texts = _block(subject, made)._replace(ids=[f"id {row}" for row in range(_ROWS)])
    with _folder() as folder:
        expect_error(ParameterError, "write of text ids", lambda: made.write(_path(folder, made), [texts]))


@FORMAT_CHECKS.add
def metadata_kept(subject: Subject) -> None:
    """A format that says it keeps metadata gives it back; one that does not gives none."""
    _check_beside(subject, "metadata")


def _check_beside(subject: Subject, what: str) -> None:
    made = _writable(subject)
    with _folder() as folder:
        for block in (_block(subject, made), _numbered(_block(subject, made))):
            made.write(_path(folder, made), _cut(block, 9))
            _, ids, metadata = _read(made, _path(folder, made))
            got: Sequence[Any] = ids if what == "ids" else metadata
            beside = block.ids if what == "ids" else block.metadata
            wanted = [] if beside is None else list(beside)
            expect(len(got) == len(wanted), f"{len(wanted)} {what} were written, {len(got)} came back")
            for row, (one, other) in enumerate(zip(got, wanted, strict=True)):
                expect(one == other, f"{what} of row {row} were {other!r} and came back as {one!r}")


def _numbered(block: Block) -> Block:
    """The block with whole numbers for ids, if it has ids."""
    return block if block.ids is None else block._replace(ids=[7 * row for row in range(_ROWS)])


@FORMAT_CHECKS.add
def records_agree(subject: Subject) -> None:
    """A format that says it reads records gives a dict for every row, in order, with the metadata in it, in lists no longer than
    asked; one that does not raises NotSupportedError."""
    made = _format(subject)
    with _folder() as folder:
        path = _path(folder, made)
        if not made.reads_records:
            expect_error(NotSupportedError, "records", lambda: list(made.records(path)))
            return
        block = _block(subject, _writable(subject))
        made.write(path, [block])
        for rows in (1000, 7):
            lists = list(made.records(path, rows=rows))
            longest = max(map(len, lists), default=0)
            expect(longest <= rows, f"a list of {longest} records was given, at most {rows} were asked for")
            found = [each for some in lists for each in some]
            expect(len(found) == _ROWS, f"{_ROWS} rows were written, {len(found)} records came back")
            for row, wanted in enumerate(block.metadata or ()):
                got = {name: found[row].get(name) for name in wanted}
                expect(got == wanted, f"record {row} has {got!r}, {wanted!r} was written")


@FORMAT_CHECKS.add
def small_blocks(subject: Subject) -> None:
    """Blocks are never larger than asked, and read row by row they give the same file."""
    made = _writable(subject)
    with _folder() as folder:
        made.write(_path(folder, made), [_block(subject, made)])
        whole, _, _ = _read(made, _path(folder, made))
        for rows in (1, 7):
            sizes = [len(each.vectors) for each in made.read(_path(folder, made), rows=rows)]
            expect(max(sizes) <= rows, f"a block of {max(sizes)} rows was given, at most {rows} were asked for")
            _expect_rows(_read(made, _path(folder, made), rows=rows)[0], whole, f"the file in blocks of {rows}")
        expect_error(ParameterError, "blocks of 0 rows", lambda: list(made.read(_path(folder, made), rows=0)))


@FORMAT_CHECKS.add
def describe_agrees(subject: Subject) -> None:
    """describe says the rows (or None), columns, dtype, ids and metadata that reading gives."""
    made = _writable(subject)
    with _folder() as folder:
        made.write(_path(folder, made), [_block(subject, made)])
        summary = made.describe(_path(folder, made))
        got, ids, metadata = _read(made, _path(folder, made))
    keys = {key for each in metadata for key in each}
    expect(summary.rows in (None, len(got)), f"describe says {summary.rows} rows, {len(got)} are read")
    expect(summary.dim == got.shape[1], f"describe says {summary.dim} columns, {got.shape[1]} are read")
    expect(summary.dtype == str(got.dtype), f"describe says {summary.dtype}, {got.dtype} is read")
    expect(summary.ids == bool(ids), f"describe says ids={summary.ids}, {len(ids)} ids are read")
    expect(set(summary.metadata) == keys, f"describe says metadata {summary.metadata}, {sorted(keys)} are read")
    named = len(summary.columns)
    expect(named in (0, summary.dim), f"describe names {named} columns, the vectors have {summary.dim}")


@FORMAT_CHECKS.add
def memory_map_agrees(subject: Subject) -> None:
    """memory_map gives nothing, or the file's rows in an array that cannot be written to."""
    made = _writable(subject)
    with _folder() as folder:
        made.write(_path(folder, made), [_block(subject, made)])
        mapped = made.memory_map(_path(folder, made))
        if mapped is None:
            raise NotApplicable("it cannot be memory-mapped")
        _expect_rows(np.array(mapped), _read(made, _path(folder, made))[0], "the memory map")
        expect(not mapped.flags.writeable, "the memory map can be written to")
        del mapped


@FORMAT_CHECKS.add
def missing_file(subject: Subject) -> None:
    """A file that is not there, or is a folder, raises StorageError."""
    made = _format(subject)
    with _folder() as folder:
        path = _path(folder, made)
        for what in ("a missing file", "a folder"):
            expect_error(StorageError, f"describe of {what}", lambda: made.describe(path))
            expect_error(StorageError, f"read of {what}", lambda: list(made.read(path)))
            if what == "a missing file":
                path.mkdir()


@FORMAT_CHECKS.add
def garbage_refused(subject: Subject) -> None:
    """An empty file and a file of random bytes raise StorageError."""
    made = _format(subject)
    with _folder() as folder:
        path = _path(folder, made)
        for what, content in (("an empty file", b""), ("random bytes", subject.rng("garbage").bytes(777))):
            path.write_bytes(content)
            expect_error(StorageError, f"read of {what}", lambda: list(made.read(path)))
            expect_error(StorageError, f"describe of {what}", lambda: made.describe(path))


def _raises(call: Callable[[], Any]) -> bool:
    try:
        call()
    except Exception:  # whatever it is: only what stays behind matters here
        return True
    return False


@FORMAT_CHECKS.add
def old_file_kept(subject: Subject) -> None:
    """A write that fails half-way leaves the old file as it was and nothing beside it; one that works replaces it."""
    made = _writable(subject)
    with _folder() as folder:
        path = _path(folder, made)
        made.write(path, [_block(subject, made)])
        old = path.read_bytes()

        def breaking() -> Iterator[Block]:
            yield next(_cut(_block(subject, made), 5))
            raise _Interrupted("the source of the rows broke")

        expect(_raises(lambda: made.write(path, breaking())), "write raised nothing though the source of the rows did")
        expect(path.is_file() and path.read_bytes() == old, "the old file was changed by a write that failed")
        left = sorted(each.name for each in folder.iterdir() if each != path)
        expect(not left, f"a write that failed leaves {', '.join(left)}")
        made.write(path, _cut(_block(subject, made), 3, 4))
        _expect_rows(_read(made, path)[0], _block(subject, made).vectors, "a file written over another")


@FORMAT_CHECKS.add
def read_only_said(subject: Subject) -> None:
    """write of a format that says it is read only raises NotSupportedError."""
    made = _format(subject)
    if made.writable:
        raise NotApplicable("it can be written")
    with _folder() as folder:
        block = Block(_vectors(subject, "float32"))
        expect_error(NotSupportedError, "write", lambda: made.write(_path(folder, made), [block]))
        expect(not any(folder.iterdir()), "write left a file though the format is read only")


@FORMAT_CHECKS.add
def input_unchanged(subject: Subject) -> None:
    """Writing does not change the vectors, and takes read-only and strided ones."""
    made = _writable(subject)
    with _folder() as folder:
        block = _block(subject, made)
        wanted = block.vectors.copy()
        made.write(_path(folder, made), [block])
        expect(np.array_equal(block.vectors, wanted), "write changed the vectors it was given")
        for what, vectors in (("rows", wanted.copy()), ("columns", np.asfortranarray(wanted))):
            vectors.flags.writeable = False
            try:
                made.write(_path(folder, made), [Block(vectors, block.ids, block.metadata)])
            except (ValueError, TypeError, StorageError) as error:
                fail(f"write of read-only {what} raised {type(error).__name__}: {first_line(error)}")
            _expect_rows(_read(made, _path(folder, made))[0], wanted, f"a file written from read-only {what}")
