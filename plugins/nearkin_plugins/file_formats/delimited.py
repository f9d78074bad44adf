"""Delimited text: csv and tsv, in UTF-8 or an encoding that is named, with or without a header, read line by line.

Source: RFC 4180. The first rows decide what each column is, so the block size never changes an answer.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TextIO

import numpy as np

from nearkin.errors import CorruptFileError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.vectors import block_rows
from nearkin_plugins.file_formats.cells import (
    Columns,
    look_at,
    names_for_records,
    read_list,
    read_number,
    read_number_or_nan,
    read_plain,
    read_whole,
    write_cell,
)
from nearkin_plugins.file_formats.columns import (
    ID_COLUMN,
    Layout,
    Table,
    metadata_columns,
    need_different,
    need_known_fields,
    numbered,
)
from nearkin_plugins.file_formats.options import read_delimiter, read_encoding
from nearkin_plugins.file_formats.text_lines import NUMBER_BYTES, SAMPLE_CHARACTERS, SAMPLE_ROWS, text_lines


class Row(NamedTuple):
    """The cells of a row and the line that it ends on."""

    line: int
    cells: list[str]


class DelimitedFormat(VectorFormat):
    """Text with a delimiter. Vectors are read as float32 and written with nine digits, which keeps every bit of one.

    Further columns come back as numbers where the first 1,000 rows hold plain numbers, otherwise as text; an empty cell
    and a missing field are the same.

    Parameters
    ----------
    id
        Column of the ids; if not given, one called ``id`` or an unnamed pandas index.
    vectors
        Column of lists, or columns of numbers separated by commas, with ``*`` for any text.
    allow_missing
        Read a number that is missing as NaN, instead of refusing the file.
    header
        Whether the first line names the columns; seen from the values if not given. Without names, columns are called
        column1, column2, …
    text_ids
        Keep ids as text even if they are all whole numbers.
    delimiter
        One character, or one of comma, tab, semicolon, space, pipe.
    encoding
        Of the text that is read; what is written is UTF-8.
    """

    keeps = frozenset({"ids", "metadata"})
    reads_records = True
    untyped = True
    default_delimiter: ClassVar[str]

    def __init__(
        self,
        id: str | None = None,
        vectors: str | None = None,
        header: bool | None = None,
        text_ids: bool = False,
        delimiter: str | None = None,
        allow_missing: bool = False,
        encoding: str = "utf-8",
    ) -> None:
        self.id = id
        self.vectors = vectors
        self.allow_missing = allow_missing
        self.header = header
        self.text_ids = text_ids
        self.delimiter = read_delimiter(delimiter or self.default_delimiter)
        self.encoding = read_encoding(encoding)

    def _describe(self, path: Path) -> FileSummary:
        with self._open(path) as (reader, _):
            layout = reader.layout
            has_ids = layout.id is not None
            return FileSummary(None, reader.dim, "float32", has_ids, layout.metadata, layout.components)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        with self._open(path) as (reader, lines):
            step = min(rows, block_rows(NUMBER_BYTES * reader.dim))
            while run := list(islice(lines, step)):
                yield reader.block(run)

    def _records(self, path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
        with path.open(encoding=self.encoding, newline="") as file:
            lines = _rows(file, self.delimiter, path)
            sample = _sample(lines)
            if not sample:
                raise CorruptFileError(f"{path} is empty, rows of values expected")
            if self.header is None:
                _refuse_another_delimiter(sample, path, self.name, self.delimiter)
            has_header, names = names_for_records([row.cells for row in sample], self.header)
            need_different(str(path), names)
            body = sample[1:] if has_header else sample
            if not body:
                raise CorruptFileError(f"{path} has a header and no rows")
            lines = chain(body, lines)
            while run := list(islice(lines, rows)):
                yield [{name: cell or None for name, cell in zip(names, row.cells, strict=True)} for row in run]

    @contextmanager
    def _open(self, path: Path) -> Iterator[tuple[_RowReader, Iterator[Row]]]:
        """A reader for the file's columns, and its rows without the header; there is at least one."""
        with path.open(encoding=self.encoding, newline="") as file:
            rows = _rows(file, self.delimiter, path)
            sample = _sample(rows)
            if not sample:
                raise CorruptFileError(f"{path} is empty, rows of numbers expected")
            columns = look_at([row.cells for row in sample], self.header)
            body = sample[1:] if columns.has_header else sample
            if not body:
                raise CorruptFileError(f"{path} has a header and no rows")
            table = Table(str(path), self.name, columns.names, columns.named("number"), columns.named("list"))
            layout = table.lay_out(self.id, self.vectors)
            reader = _RowReader(path, self.name, columns, layout, self.text_ids, body[0], self.allow_missing)
            yield reader, chain(body, rows)

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        first = next(blocks)
        components = [numbered(component) for component in range(first.vectors.shape[1])]
        fields = metadata_columns(first.metadata or [], {ID_COLUMN, *components}, self.name)
        done = 0
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=self.delimiter)
            writer.writerow([ID_COLUMN] * (first.ids is not None) + components + fields)
            for block in chain([first], blocks):
                need_known_fields(block.metadata or [], fields, done)
                writer.writerows(_cells(block, fields))
                done += len(block.vectors)


LONGEST_CELL = 1 << 30
"""Characters of a cell, at most; the csv module stops at 131,072 of itself."""


class CsvFormat(DelimitedFormat):
    """Comma-separated, or by another delimiter that is given.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/x.csv").write_text("id,x,y,color\\n7,0.5,1,red\\n")
    ...     block = next(CsvFormat().read(f"{folder}/x.csv"))
    >>> block.ids.tolist(), block.vectors.tolist(), block.metadata
    ([7], [[0.5, 1.0]], [{'color': 'red'}])
    """

    name = "csv"
    suffixes = (".csv",)
    default_delimiter = "comma"


class TsvFormat(DelimitedFormat):
    """Tab-separated."""

    name = "tsv"
    suffixes = (".tsv",)
    default_delimiter = "tab"


def _rows(file: TextIO, delimiter: str, path: Path) -> Iterator[Row]:
    """Rows of one width; blank lines are left out."""
    csv.field_size_limit(max(LONGEST_CELL, csv.field_size_limit()))
    reader = csv.reader(text_lines(file, path), delimiter=delimiter, strict=True)
    width = 0
    try:
        for cells in reader:
            if not cells:
                continue
            width = width or len(cells)
            if len(cells) != width:
                raise CorruptFileError(f"{path} line {reader.line_num} has {len(cells)} cells, {width} expected")
            yield Row(reader.line_num, cells)
    except csv.Error as error:
        raise CorruptFileError(f"{path} line {reader.line_num} cannot be read: {error}") from error


OTHER_DELIMITERS = {";": "semicolon", "\t": "tab", "|": "pipe", ",": "comma"}


def _refuse_another_delimiter(sample: Sequence[Row], path: Path, format: str, delimiter: str) -> None:
    """One column in which every row has another delimiter equally often is a file that is separated by that one.

    Raises
    ------
    CorruptFileError
        With the option that names it.
    """
    if len(sample[0].cells) > 1 or len(sample) < 2:
        return
    for character, name in OTHER_DELIMITERS.items():
        counts = {row.cells[0].count(character) for row in sample}
        if character != delimiter and len(counts) == 1 and max(counts):
            raise CorruptFileError(
                f"every row of {path} is a single cell with {max(counts)} {name}{'s' * (max(counts) > 1)} in it, as if "
                f"separated by {name}",
                hint=f"say so with --format {format}:delimiter={name}, or --format {format}:header=true if it is not",
            )


def _sample(rows: Iterator[Row]) -> list[Row]:
    sample: list[Row] = []
    characters = 0
    for row in islice(rows, SAMPLE_ROWS):
        sample.append(row)
        characters += sum(map(len, row.cells))
        if characters > SAMPLE_CHARACTERS and len(sample) > 1:
            break
    return sample


@dataclass(frozen=True)
class _RowReader:
    """Turns rows of text into blocks."""

    path: Path
    format: str
    columns: Columns
    layout: Layout
    text_ids: bool
    first: Row
    allow_missing: bool

    @cached_property
    def dim(self) -> int:
        """Columns of the vectors; lists are measured by the first row."""
        if not self.layout.as_list:
            return len(self.layout.vectors)
        return len(self._cell(self.first, self._places[self.layout.vectors[0]], read_list, "a list of numbers"))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.columns.names)}

    def block(self, rows: list[Row]) -> Block:
        read = self._lists if self.layout.as_list else self._numbers
        wide = read(rows, [self._places[name] for name in self.layout.vectors])
        with np.errstate(over="ignore"):
            vectors = wide.astype(np.float32)
        large = np.isinf(vectors) & np.isfinite(wide)
        if large.any():
            row, component = np.argwhere(large)[0].tolist()
            name = self.layout.vectors[0 if self.layout.as_list else component]
            raise CorruptFileError(
                f"{self.path} line {rows[row].line}, column {name!r}: {wide[row, component]:g} does not fit in float32"
            )
        return Block(vectors, self._ids(rows), self._metadata(rows) if self.layout.metadata else None)

    def _numbers(self, rows: list[Row], places: list[int]) -> np.ndarray:
        values = np.empty((len(rows), len(places)))
        for at, row in enumerate(rows):
            cells = [row.cells[place] for place in places]
            try:
                values[at] = [float(cell) for cell in cells]
                plain = "_" not in "".join(cells)
            except ValueError:
                plain = False
            if not plain:
                values[at] = [self._cell(row, place, self._read_number, "a number") for place in places]
        return values

    @property
    def _read_number(self) -> Callable[[str], float]:
        return read_number_or_nan if self.allow_missing else read_number

    def _lists(self, rows: list[Row], places: list[int]) -> np.ndarray:
        lists = [self._cell(row, places[0], read_list, "a list of numbers") for row in rows]
        for row, values in zip(rows, lists, strict=True):
            if len(values) != self.dim:
                raise CorruptFileError(
                    f"{self.path} line {row.line}, column {self.columns.names[places[0]]!r}: a list of {len(values)} "
                    f"numbers, {self.dim} expected"
                )
        return np.array(lists)

    def _cell(self, row: Row, place: int, read: Callable[[str], Any], wanted: str) -> Any:
        text = row.cells[place]
        try:
            return read(text)
        except ValueError as error:
            shown = repr(text if len(text) <= 40 else text[:37] + "...") if text.strip() else "the cell is empty and"
            verb = "is not" if text.strip() else "holds no"
            name = self.columns.names[place]
            raise CorruptFileError(
                f"{self.path} line {row.line}, column {name!r} ({place + 1}): {shown} {verb} "
                f"{wanted if text.strip() else wanted.removeprefix('a ')}",
                hint=self._way_out(name, empty=not text.strip()),
            ) from error

    def _way_out(self, name: str, *, empty: bool) -> str:
        if name == self.layout.id:
            return f"keep ids as text with --format {self.format}:text_ids=true"
        correct = "fill it in, write nan and pass --on-bad skip," if empty else "correct it,"
        return f"{correct} or say which columns are the vectors with --format {self.format}:vectors=..."

    def _ids(self, rows: list[Row]) -> Sequence[Any] | np.ndarray | None:
        if self.layout.id is None:
            return None
        place = self._places[self.layout.id]
        if self.text_ids or place not in self.columns.whole:
            return [row.cells[place] for row in rows]
        return np.array([self._cell(row, place, read_whole, "a whole number") for row in rows], dtype=np.int64)

    def _metadata(self, rows: list[Row]) -> list[dict[str, Any]]:
        places = [(name, self._places[name]) for name in self.layout.metadata]
        return [
            {name: self._value(row.cells[place], place) for name, place in places if row.cells[place]} for row in rows
        ]

    def _value(self, text: str, place: int) -> Any:
        if place in self.columns.plain:
            try:
                return read_plain(text)
            except ValueError:  # a later row than those the column was judged by
                return text
        return text


def _cells(block: Block, fields: list[str]) -> Iterator[list[str]]:
    ids = None if block.ids is None else list(map(str, block.ids))
    for at, row in enumerate(block.vectors.tolist()):
        cells = [] if ids is None else [ids[at]]
        cells += [f"{value:.9g}" for value in row]
        cells += [write_cell(block.metadata[at].get(field)) for field in fields] if block.metadata else []
        yield cells
