"""For every check of the format contract, a format that is broken in just that way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearkin.errors import ParameterError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.hooks import FormatSpec
from nearkin.npy_format import NpyFormat
from nearkin.testing import checks


class Lines(VectorFormat):
    """Right: one JSON object a line, behind a line with the dtype; keeps ids and metadata."""

    name = "under-test"
    suffixes = (".lines",)
    keeps = frozenset({"ids", "metadata"})
    dtypes = frozenset({"float32", "float64", "int32"})

    def _describe(self, path: Path) -> FileSummary:
        with path.open(encoding="utf-8") as file:
            dtype = json.loads(file.readline())["dtype"]
            first = json.loads(file.readline())
            return FileSummary(
                None, len(first["vector"]), dtype, first["id"] is not None, tuple(first["metadata"] or ())
            )

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        with path.open(encoding="utf-8") as file:
            dtype = json.loads(file.readline())["dtype"]
            found = [json.loads(line) for line in file]
        for start in range(0, len(found), rows):
            yield self.block(found[start : start + rows], dtype)

    def block(self, found: list[dict[str, Any]], dtype: str) -> Block:
        vectors = np.array([each["vector"] for each in found], dtype=dtype)
        return Block(vectors, [each["id"] for each in found], [each["metadata"] for each in found])

    def _write(self, path: Path, blocks: Iterable[Block]) -> None:
        with path.open("w", encoding="utf-8") as file:
            for number, block in enumerate(blocks):
                if not number:
                    file.write(json.dumps({"dtype": str(block.vectors.dtype)}) + "\n")
                for row in range(len(block.vectors)):
                    file.write(json.dumps(line_of(block, row)) + "\n")


def line_of(block: Block, row: int) -> dict[str, Any]:
    return {
        "vector": block.vectors[row].tolist(),
        "id": np.asarray(block.ids)[row].item() if block.ids is not None else None,
        "metadata": block.metadata[row] if block.metadata is not None else None,
    }


class NamedValues(Lines):
    """Right: gives its rows as records, too."""

    reads_records = True

    def _records(self, path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
        for block in self._read(path, rows):
            yield [{"id": id, **extra} for id, extra in zip(block.ids or (), block.metadata or (), strict=True)]


class RecordsWithoutMetadata(NamedValues):
    def _records(self, path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
        yield from ([{"id": each["id"]} for each in some] for some in super()._records(path, rows))


class RecordsOfOneBlock(NamedValues):
    def _records(self, path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
        yield from list(super()._records(path, rows))[:1]


class RecordsOfVectors(Lines):
    def records(self, path: Any, *, rows: int = 8192) -> Iterator[list[dict[str, Any]]]:
        yield []


class IntegerIds(Lines):
    """Right: refuses text ids."""

    keeps = frozenset({"integer ids", "metadata"})

    def _write(self, path: Path, blocks: Iterable[Block]) -> None:
        kept = list(blocks)
        if any(isinstance(block.ids, list) for block in kept):
            raise ParameterError("ids are text")
        super()._write(path, kept)


class CountsTextIds(IntegerIds):
    def _write(self, path: Path, blocks: Iterable[Block]) -> None:
        text = [
            block._replace(ids=np.arange(len(block.vectors))) if isinstance(block.ids, list) else block
            for block in blocks
        ]
        super()._write(path, text)


class NotAFormat:
    name = "under-test"


class LosesTheLastBlock(Lines):
    def _write(self, path: Path, blocks: Iterable[Block]) -> None:
        super()._write(path, list(blocks)[:-1])


class LoudSuffix(Lines):
    suffixes = (".LINES",)


class SaysFloat16(Lines):
    dtypes = Lines.dtypes | {"float16"}

    def block(self, found: list[dict[str, Any]], dtype: str) -> Block:
        return super().block(found, "float32" if dtype == "float16" else dtype)


class NumbersTheRows(Lines):
    def block(self, found: list[dict[str, Any]], dtype: str) -> Block:
        return super().block(found, dtype)._replace(ids=list(range(len(found))))


class StripsMetadata(Lines):
    def block(self, found: list[dict[str, Any]], dtype: str) -> Block:
        block = super().block(found, dtype)
        stripped = [{key: value.strip() for key, value in row.items()} for row in block.metadata or ()]
        return block._replace(metadata=stripped)


class BlocksOfTen(Lines):
    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        return super()._read(path, max(rows, 10))


class CountsTheIdAsColumn(Lines):
    def _describe(self, path: Path) -> FileSummary:
        summary = super()._describe(path)
        return replace(summary, dim=summary.dim + 1)


class MapsWritable(Lines):
    def _memory_map(self, path: Path) -> np.ndarray:
        return np.concatenate([block.vectors for block in self._read(path, 1000)])


class DescribesWhatIsNotThere(Lines):
    def describe(self, path: Any) -> FileSummary:
        return super().describe(path) if Path(path).is_file() else FileSummary(0, 1, "float32")


class SkipsWhatItCannotRead(Lines):
    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        try:
            yield from super()._read(path, rows)
        except ValueError:
            return


class WritesInPlace(Lines):
    def write(self, path: Any, blocks: Iterable[Block]) -> int:
        Path(path).touch()
        rows = super().write(Path(path).with_suffix(".copy"), self.truncating(Path(path), blocks))
        Path(path).with_suffix(".copy").replace(path)
        return rows

    def truncating(self, path: Path, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            path.write_bytes(b"")
            yield block


class LeavesItsSpill(Lines):
    def _write(self, path: Path, blocks: Iterable[Block]) -> None:
        spill = path.with_name("spill")
        spill.touch()
        super()._write(path, blocks)
        spill.unlink()


class WritesThoughReadOnly(Lines):
    writable = False

    def write(self, path: Any, blocks: Iterable[Block]) -> int:
        self._write(Path(path), blocks)
        return 0


class SwapsBytesInPlace(Lines):
    def write(self, path: Any, blocks: Iterable[Block]) -> int:
        kept = list(blocks)
        rows = super().write(path, kept)
        for block in kept:
            if block.vectors.flags.writeable:
                block.vectors.byteswap(inplace=True)
        return rows


class WantsWritable(Lines):
    def write(self, path: Any, blocks: Iterable[Block]) -> int:
        kept = list(blocks)
        if not all(block.vectors.flags.writeable for block in kept):
            raise ValueError("buffer source array is read-only")
        return super().write(path, kept)


BROKEN: list[tuple[str, Callable[..., Any]]] = [
    ("made", NotAFormat),
    ("writes-and-reads", LosesTheLastBlock),
    ("suffixes-declared", LoudSuffix),
    ("dtypes-exact", SaysFloat16),
    ("ids-kept", NumbersTheRows),
    ("text-ids-refused", CountsTextIds),
    ("metadata-kept", StripsMetadata),
    ("records-agree", RecordsWithoutMetadata),
    ("records-agree", RecordsOfOneBlock),
    ("records-agree", RecordsOfVectors),
    ("small-blocks", BlocksOfTen),
    ("describe-agrees", CountsTheIdAsColumn),
    ("memory-map-agrees", MapsWritable),
    ("missing-file", DescribesWhatIsNotThere),
    ("garbage-refused", SkipsWhatItCannotRead),
    ("old-file-kept", WritesInPlace),
    ("old-file-kept", LeavesItsSpill),
    ("read-only-said", WritesThoughReadOnly),
    ("input-unchanged", SwapsBytesInPlace),
    ("input-unchanged", WantsWritable),
]


def spec_of(make: Callable[..., Any], **more: Any) -> FormatSpec:
    given = {"suffixes": getattr(make, "suffixes", ()), "name": getattr(make, "name", "under-test"), **more}
    return FormatSpec(summary="For a test of the kit.", make=make, **given)


class ReadOnly(Lines):
    """Right: can be read only."""

    writable = False


@pytest.mark.parametrize("make", [Lines, NamedValues, IntegerIds, ReadOnly, NpyFormat])
def test_a_right_format_passes(failed: Callable[..., dict[str, str]], make: Callable[..., Any]) -> None:
    assert failed(spec_of(make)) == {}


@pytest.mark.parametrize(("check", "make"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_format_fails_its_check_only(
    failed: Callable[..., dict[str, str]], check: str, make: Callable[..., Any]
) -> None:
    found = failed(spec_of(make))
    assert set(found) == {check}, found


def test_suffixes_of_spec_and_class_must_agree(failed: Callable[..., dict[str, str]]) -> None:
    assert set(failed(spec_of(Lines, suffixes=(".line",)))) == {"suffixes-declared"}


def test_a_known_failure_of_no_check_fails_its_check_only(failed: Callable[..., dict[str, str]]) -> None:
    assert set(failed(spec_of(Lines, known_failures={"no-such-check": "why"}))) == {"known-failures-named"}


def test_every_check_has_a_broken_format() -> None:
    assert {check for check, _ in BROKEN} | {"known-failures-named"} == {check.name for check in checks("format")}
