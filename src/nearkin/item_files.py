"""Items of files: texts of a column, records of a table, chunks of documents, lines; read more than once, block by block."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from nearkin.chunks import OVERLAP, WORDS, check_sizes, chunks
from nearkin.documents import document_lines, document_name, find_documents, kind_of, read_document
from nearkin.embedders import Takes
from nearkin.errors import CorruptFileError, InputError, NotSupportedError, ParameterError
from nearkin.event_columns import listed_columns, need_column
from nearkin.files import Formats, find_format
from nearkin.formats import WITH_RECORDS
from nearkin.items import ItemBlock, plain_number
from nearkin.resuming import file_facts

READ_ROWS = 4096
"""Rows of a table that are read at once."""

CHUNK_FIELDS = ("document", "chunk", "start")
"""What the metadata of a chunk says of it: the document, the number of the chunk in it, and the characters before it."""

_VECTORS = ("vector", "vectors", "embedding", "embeddings")
_COMPONENT = re.compile(r"vector_[0-9]+")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class ItemOptions:
    """How items are read from files.

    Attributes
    ----------
    text
        Column of the texts; None for one that is called like the field of the collection, or text, or is the only one.
    id
        Column of the ids; None for one that is called id, if there is one.
    chunk, overlap
        Words in a chunk, and of those that it shares with the chunk before; None for those of `nearkin.chunks` where a document
        is cut, while texts of a column are cut only where `chunk` is given.
    format
        Format of the files; None for those of their names.
    """

    text: str | None = None
    id: str | None = None
    chunk: int | None = None
    overlap: int | None = None
    format: str | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Words in a chunk, and those shared with the one before."""
        words = WORDS if self.chunk is None else self.chunk
        shared = min(OVERLAP, words // 5) if self.overlap is None else self.overlap
        check_sizes(words, shared)
        return words, shared


@dataclass(frozen=True)
class ItemSource:
    """Items that can be read more than once.

    Attributes
    ----------
    names
        The files.
    facts
        The same for the same files, unchanged, read in the same way; None where that cannot be told.
    read
        Gives the blocks from the first one on.
    """

    names: tuple[str, ...]
    facts: list[Any] | None
    read: Callable[[], Iterator[ItemBlock]]


def open_items(
    paths: Iterable[str | os.PathLike[str]],
    takes: Takes,
    field: str,
    options: ItemOptions,
    *,
    registry: Formats,
    text_ids: bool | None = None,
) -> ItemSource:
    """The items of files, one file after the other.

    Parameters
    ----------
    takes
        What the items are to be: ``"text"`` or ``"record"``.
    field
        Field of the metadata that will hold a text.
    text_ids
        Whether ids are kept as text even where all are whole numbers; None to see that from the first rows.

    Raises
    ------
    StorageError
        A file is not there, or there is none in a folder.
    NotSupportedError
        Files of vectors; or documents for an embedder of records.
    ParameterError
        Sizes of chunks that cannot be.
    """
    files = find_files(paths, registry, options.format)
    if not files:
        raise InputError("no file is given to read items from")
    words, shared = options.sizes
    _need_readable(files, takes, options)
    facts = [file_facts(path) for path, _ in files]
    cut = (words, shared) if options.chunk is not None or any(kind == "document" for _, kind in files) else None

    def read() -> Iterator[ItemBlock]:
        for path, kind in files:
            if kind == "document":
                yield _of_document(path, words, shared)
            else:
                yield from _Table(path, takes, field, options, registry, text_ids).read()

    told = [takes, field, options.text, options.id, cut, options.chunk, options.format]
    return ItemSource(tuple(str(path) for path, _ in files), [facts, told], read)


def find_files(
    paths: Iterable[str | os.PathLike[str]], registry: Formats, format: str | None
) -> list[tuple[Path, str]]:
    """Files and what each holds; folders of documents as the documents that are in them."""
    found: dict[Path, str] = {}
    for each in paths:
        kind = kind_of(each, registry, format)
        many = find_documents([each], registry) if kind == "document" else [Path(each)]
        found.update(dict.fromkeys(many, kind))
    return list(found.items())


def _need_readable(files: Sequence[tuple[Path, str]], takes: Takes, options: ItemOptions) -> None:
    for path, kind in files:
        if kind == "vectors":
            raise NotSupportedError(
                f"{path} is a file of vectors, texts or records expected",
                hint=f"items come from text files, and from {WITH_RECORDS} files",
            )
        if kind == "document" and takes == "record":
            raise NotSupportedError(
                f"{path} is a text, and this embedder takes records", hint=f"{WITH_RECORDS} files hold records"
            )
    if takes == "record" and (options.text is not None or options.chunk is not None):
        raise ParameterError(
            "text and chunk (--text, --chunk) are for texts, and this embedder takes records",
            hint="all columns of a file make the record",
        )
    if options.text is not None and all(kind == "document" for _, kind in files):
        raise ParameterError(
            f"{files[0][0]} is a text without columns, and text={options.text!r} (--text) names one",
            hint=f"{WITH_RECORDS} files have columns",
        )


def _of_document(path: Path, words: int, overlap: int) -> ItemBlock:
    """The chunks of a document; one empty text where it has none, which is then told of."""
    name = document_name(path)
    return _as_chunks(name, read_document(path), words, overlap, {})._replace(origin=str(path))


def _as_chunks(document: str, text: str, words: int, overlap: int, extra: dict[str, Any]) -> ItemBlock:
    cut = chunks(text, words, overlap)
    ids = [f"{document}#{number}" for number in range(len(cut))] or [f"{document}#0"]
    places = [(number, each.start) for number, each in enumerate(cut)] or [(0, 0)]
    metadata = [{"document": document, "chunk": number, "start": start, **extra} for number, start in places]
    return ItemBlock(
        [each.text for each in cut] or [""], ids, metadata, chunks=[(document, number) for number, _ in places]
    )


def lines_of(path: Path, name: str) -> ItemSource:
    """The lines of a text as items; those without words are left out."""

    def read() -> Iterator[ItemBlock]:
        kept = filter(None, map(str.strip, document_lines(path)))
        first = 0
        while some := list(islice(kept, READ_ROWS)):
            yield ItemBlock(some, origin=name, first=first)
            first += len(some)

    return ItemSource((name,), None, read)


class _Table:
    """Rows of a file with named values, as items."""

    def __init__(
        self, path: Path, takes: Takes, field: str, options: ItemOptions, registry: Formats, text_ids: bool | None
    ) -> None:
        self._path = path
        self._takes = takes
        self._field = field
        self._options = options
        self._reader = find_format(path, registry=registry, format=options.format)
        self._as_text = getattr(self._reader, "text_ids", False) or bool(text_ids)
        self._whole_ids = False
        self._numbers: set[str] = set()
        self._first = 0

    def read(self) -> Iterator[ItemBlock]:
        names: list[str] = []
        for some in self._reader.records(self._path, rows=READ_ROWS):
            if not names:
                names = list(dict.fromkeys(name for each in some for name in each))
                key, column = self._key(names), self._column(names) if self._takes == "text" else None
                self._whole_ids = key is not None and not self._as_text and _all_whole(some, key)
            ids = None if key is None else [self._id(each, key, row) for row, each in enumerate(some, self._first)]
            self._read_numbers(some, first=not self._first, but={key, column})
            if column is None:
                kept = [{name: value for name, value in each.items() if name != key} for each in some]
                yield ItemBlock(kept, ids, None, str(self._path), self._first)
            else:
                yield from self._texts(some, ids, key, column)
            self._first += len(some)

    def _read_numbers(self, some: list[dict[str, Any]], *, first: bool, but: set[str | None]) -> None:
        """Of a format in which all is text: columns whose every filled cell of the first rows is a number hold numbers."""
        if not self._reader.untyped:
            return
        if first:
            cells = [(name, value) for each in some for name, value in each.items() if name not in but]
            filled = [(name, plain_number(value)) for name, value in cells if not _is_missing(value)]
            self._numbers = {name for name, _ in filled} - {name for name, number in filled if number is None}
        for each in some:
            for name in self._numbers:
                value = each.get(name)
                number = None if value is None else plain_number(value)
                each[name] = number if number is not None or _is_missing(value) else value

    def _key(self, names: Sequence[str]) -> str | None:
        wanted = self._options.id or getattr(self._reader, "id", None)
        if self._options.id is None and wanted not in names:
            wanted = None
        if wanted is not None:
            need_column(str(self._path), wanted, names)
            return str(wanted)
        return "id" if "id" in names else None

    def _column(self, names: Sequence[str]) -> str:
        wanted = self._options.text
        if wanted is not None:
            need_column(str(self._path), wanted, names)
            return wanted
        others = [name for name in names if name != self._key(names)]
        for called in (self._field, "text"):
            if called in others:
                return called
        if len(others) == 1:
            return others[0]
        raise ParameterError(
            f"{self._path} has no column {self._field!r}; it has {listed_columns(names)}",
            hint=f"say which one holds the text: text={_likely(others or names)!r} (--text)",
        )

    def _id(self, record: dict[str, Any], key: str, row: int) -> Any:
        value = record.get(key)
        if value is None or value == "":
            raise InputError(f"row {row:,} of {self._path} has no id in column {key!r}", hint="fill it in")
        if not self._whole_ids or not isinstance(value, str):
            return str(value) if self._as_text and isinstance(value, int) else value
        if not _WHOLE.fullmatch(value):
            raise CorruptFileError(
                f"row {row:,} of {self._path}: id {value[:40]!r} is not a whole number, as those before are",
                hint=f"keep ids as text with --format {self._reader.name}:text_ids=true",
            )
        return int(value)

    def _texts(
        self, some: list[dict[str, Any]], ids: list[Any] | None, key: str | None, column: str
    ) -> Iterator[ItemBlock]:
        self._need_free(some, column)
        texts = [self._text(each.get(column), row, column) for row, each in enumerate(some, self._first)]
        metadata = [_others(each, {key, column}) for each in some]
        if self._options.chunk is None:
            yield ItemBlock(texts, ids, metadata, str(self._path), self._first)
            return
        name = document_name(self._path)
        for row, text in enumerate(texts):
            document = f"{name}:{self._first + row}" if ids is None else str(ids[row])
            made = _as_chunks(document, text, *self._options.sizes, metadata[row])
            yield made._replace(origin=str(self._path), first=self._first + row)

    def _text(self, value: Any, row: int, column: str) -> str:
        if value is not None and not isinstance(value, str):
            raise InputError(
                f"row {row:,} of {self._path}: column {column!r} holds a {type(value).__name__}, text expected"
            )
        return value or ""

    def _need_free(self, some: list[dict[str, Any]], column: str) -> None:
        """Refuse columns whose place in the metadata is taken."""
        taken = {self._field, *(CHUNK_FIELDS if self._options.chunk is not None else ())} - {column}
        for name in dict.fromkeys(name for each in some for name in each):
            if name in taken and name != self._options.id:
                raise ParameterError(
                    f"{self._path} has a column {name!r}, where the metadata of a row keeps its own {name}",
                    hint="rename the column, or create the index with field=... for another name of the text",
                )


def _likely(names: Sequence[str]) -> str:
    """The column that most likely holds the texts."""
    known = ("text", "question", "title", "content", "body", "description", "message", "name")
    return next((name for word in known for name in names if word in name.lower()), names[-1])


def _is_missing(cell: str | None) -> bool:
    """Whether a cell of a column of numbers says that there is none."""
    return cell is None or cell.strip().lower() in ("", "na", "n/a", "nan", "null", "none")


def _all_whole(some: Sequence[dict[str, Any]], key: str) -> bool:
    values = [each.get(key) for each in some]
    return all(isinstance(value, str) and _WHOLE.fullmatch(value) for value in values)


def _others(record: dict[str, Any], taken: set[str | None]) -> dict[str, Any]:
    """The values beside the text; nothing that is missing, and no vectors."""
    return {
        name: value
        for name, value in record.items()
        if name not in taken and value is not None and not _is_vector(name, value)
    }


def _is_vector(name: str, value: Any) -> bool:
    """A list of numbers, or one of the columns that an export of vectors to csv has."""
    return (name.lower() in _VECTORS and isinstance(value, list)) or bool(_COMPONENT.fullmatch(name))


def named_afresh(source: ItemSource) -> ItemSource:
    """The same items, of which nobody can tell whether they are the same the next time."""
    return replace(source, facts=None)
