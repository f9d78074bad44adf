"""JSON lines: an object or an array of numbers on every line, in UTF-8.

Source: https://jsonlines.org, https://github.com/ndjson/ndjson-spec; NaN, Infinity and -Infinity as Python writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from nearkin.errors import CorruptFileError, ParameterError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.vectors import block_rows
from nearkin_plugins.file_formats.columns import VECTOR_COLUMNS, metadata_columns, need_known_fields
from nearkin_plugins.file_formats.text_lines import (
    NUMBER_BYTES,
    SAMPLE_CHARACTERS,
    SAMPLE_ROWS,
    as_float32,
    text_lines,
)

METADATA_KEY = "metadata"
"""What ``nearkin get`` nests the metadata of a row under."""


class Line(NamedTuple):
    """The number of a line, and what its JSON says."""

    number: int
    value: Any


class JsonLinesFormat(VectorFormat):
    """An object a line with the vector, an id and metadata, as ``nearkin get`` prints them too; or an array a line.

    Vectors are read as float32 and written with nine digits, which keeps every bit of one. A null and a missing field are
    the same. Fields of metadata appear in one of the first 1,000 lines.

    Parameters
    ----------
    id
        Key of the ids.
    vector
        Key of the vectors; if not given, vector, vectors, embedding or embeddings, or the only key with a list of numbers.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/x.jsonl").write_text('{"id": "a", "vector": [0.5, 1], "color": "red"}')
    ...     block = next(JsonLinesFormat().read(f"{folder}/x.jsonl"))
    >>> block.ids, block.vectors.tolist(), block.metadata
    (['a'], [[0.5, 1.0]], [{'color': 'red'}])
    """

    name = "jsonl"
    suffixes = (".jsonl", ".ndjson")
    keeps = frozenset({"ids", "metadata"})
    reads_records = True

    def __init__(self, id: str = "id", vectors: str | None = None) -> None:
        self.id = id
        self.vectors = vectors

    def _describe(self, path: Path) -> FileSummary:
        with self._open(path) as (reader, _):
            return FileSummary(None, reader.dim, "float32", reader.id_type is not None, reader.fields)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        with self._open(path) as (reader, lines):
            step = min(rows, block_rows(NUMBER_BYTES * reader.dim))
            while run := list(islice(lines, step)):
                yield reader.block(run)

    def _records(self, path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            lines = _parsed(file, path)
            first = True
            while run := list(islice(lines, rows)):
                for line in run:
                    if not isinstance(line.value, dict):
                        _fail(path, line.number, f"{json.dumps(line.value)[:40]} is not an object with named values")
                yield [_flat(line.value) for line in run]
                first = False
            if first:
                raise CorruptFileError(f"{path} is empty, lines of JSON expected")

    @contextmanager
    def _open(self, path: Path) -> Iterator[tuple[_LineReader, Iterator[Line]]]:
        """A reader for the file's keys, and its lines; there is at least one."""
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            lines = _parsed(file, path)
            sample = list(islice(lines, 1))
            if not sample:
                raise CorruptFileError(f"{path} is empty, lines of JSON expected")
            size = SAMPLE_CHARACTERS // max(1, len(str(sample[0].value)))
            sample += islice(lines, min(SAMPLE_ROWS, size))
            yield self._reader(sample, path), chain(sample, lines)

    def _reader(self, sample: list[Line], path: Path) -> _LineReader:
        number, first = sample[0]
        if not isinstance(first, dict):
            return _LineReader(path, None, self.id, None, (), len(_numbers(first, number, path)))
        vector = self._vector_key(first, number, path)
        id_type = None
        if self.id in first:
            id_type = type(first[self.id])
            if id_type not in (int, str):
                _fail(path, number, f"{self.id!r} is a {id_type.__name__}, a whole number or text expected")
        fields = dict.fromkeys(
            key
            for line in sample
            if isinstance(line.value, dict)
            for key in _flat(line.value)
            if key not in (self.id, vector)
        )
        return _LineReader(path, vector, self.id, id_type, tuple(fields), len(_numbers(first[vector], number, path)))

    def _vector_key(self, row: dict[str, Any], number: int, path: Path) -> str:
        keys = ", ".join(map(repr, list(row)[:12])) or "none"
        if self.vectors is not None:
            if self.vectors not in row:
                raise ParameterError(f"{path} line {number} has no key {self.vectors!r}; it has {keys}")
            return self.vectors
        called = [key for key in row if key.lower() in VECTOR_COLUMNS]
        lists = [key for key, value in row.items() if _is_vector(value)]
        for found in (called, lists):
            if len(found) == 1:
                return found[0]
        if lists:
            raise ParameterError(
                f"{path} line {number} has {len(lists)} lists of numbers: {', '.join(map(repr, lists[:12]))}",
                hint=f"choose one with --format jsonl:vectors={lists[0]}",
            )
        _fail(path, number, f"there is no list of numbers; the keys are {keys}")

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        first = next(blocks)
        vector = self.vectors or VECTOR_COLUMNS[0]
        fields = metadata_columns(first.metadata or [], {self.id, vector, METADATA_KEY, *VECTOR_COLUMNS}, self.name)
        done = 0
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for block in chain([first], blocks):
                need_known_fields(block.metadata or [], fields, done)
                for at, row in enumerate(_rounded(block.vectors)):
                    head = {} if block.ids is None else {self.id: _plain_id(block.ids[at])}
                    known: dict[str, Any] = {} if done + at else dict.fromkeys(fields)  # the first line names all
                    rest = {**known, **block.metadata[at]} if block.metadata else {}
                    file.write(json.dumps({**head, vector: row, **rest}, ensure_ascii=False) + "\n")
                done += len(block.vectors)


def _parsed(file: Any, path: Path) -> Iterator[Line]:
    """Every line that is not blank."""
    for number, line in enumerate(text_lines(file, path), 1):
        if line.isspace():
            continue
        try:
            yield Line(number, json.loads(line))
        except json.JSONDecodeError as error:
            raise CorruptFileError(
                f"{path} line {number}, character {error.pos + 1} is not JSON: {error.msg}"
            ) from error
        except ValueError as error:  # Python reads whole numbers of up to 4,300 digits
            raise CorruptFileError(f"{path} line {number} has a number with too many digits") from error
        except RecursionError as error:
            raise CorruptFileError(f"{path} line {number} has lists within lists, too many to read") from error


@dataclass(frozen=True)
class _LineReader:
    """Turns lines into blocks.

    Attributes
    ----------
    vector
        Key of the vectors; None if every line is an array.
    id_type
        Of the ids, None if there are none.
    """

    path: Path
    vector: str | None
    id: str
    id_type: type | None
    fields: tuple[str, ...]
    dim: int

    def block(self, lines: list[Line]) -> Block:
        rows = [self._vector(line) for line in lines]
        vectors = as_float32(np.array(rows, dtype=np.float64), [line.number for line in lines], self.path)
        return Block(vectors, self._ids(lines), [self._metadata(line) for line in lines] if self.fields else None)

    def _vector(self, line: Line) -> list[float]:
        value = line.value
        if self.vector is not None:
            if not isinstance(value, dict) or self.vector not in value:
                _fail(self.path, line.number, f"there is no {self.vector!r}, which the first line has")
            value = value[self.vector]
        found = _numbers(value, line.number, self.path)
        if len(found) != self.dim:
            _fail(self.path, line.number, f"a vector of {len(found)} numbers, {self.dim} expected")
        if self.vector is not None and not self.fields:
            more = [key for key in _flat(line.value) if key not in (self.id, self.vector)]
            if more:
                _fail(self.path, line.number, f"a field {more[0]!r}, which none of the first {SAMPLE_ROWS:,} lines has")
        return found

    def _ids(self, lines: list[Line]) -> list[str] | np.ndarray | None:
        if self.vector is None:
            return None
        ids = [line.value.get(self.id) for line in lines]
        for id, line in zip(ids, lines, strict=True):
            if (type(id) is not self.id_type) if self.id_type else id is not None:
                wanted = {int: "a whole number", str: "text"}.get(self.id_type or object, "no id")
                _fail(self.path, line.number, f"the id is {str(id)[:40]!r}, {wanted} expected as in the first line")
            if self.id_type is int and not -(1 << 63) <= id < 1 << 63:
                _fail(self.path, line.number, f"the id {str(id)[:40]} does not fit in 64 bits")
        if self.id_type is None:
            return None
        return np.array(ids, dtype=np.int64) if self.id_type is int else ids

    def _metadata(self, line: Line) -> dict[str, Any]:
        fields = _flat(line.value).items()
        return {key: value for key, value in fields if key not in (self.id, self.vector) and value is not None}


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """An object with the fields of its ``metadata``, if that is an object, among its own."""
    nested = row.get(METADATA_KEY)
    if not isinstance(nested, dict):
        return row
    return {**nested, **{key: value for key, value in row.items() if key != METADATA_KEY}}


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and set(map(type, value)) <= {int, float}


def _numbers(value: Any, number: int, path: Path) -> list[float]:
    if not _is_vector(value):
        _fail(path, number, f"{json.dumps(value)[:40]} is not a list of numbers")
    try:
        return list(map(float, value))
    except OverflowError:
        _fail(path, number, "a number is too large")


def _fail(path: Path, number: int, what: str) -> NoReturn:
    raise CorruptFileError(f"{path} line {number}: {what}")


def _rounded(vectors: np.ndarray) -> Iterator[list[float]]:
    """Rows of floats that JSON writes with nine digits at most."""
    for row in vectors.tolist():
        yield [float(f"{value:.9g}") for value in row]


def _plain_id(id: Any) -> int | str:
    return id if isinstance(id, str) else int(id)
