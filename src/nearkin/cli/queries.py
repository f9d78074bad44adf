"""What a search asks: vectors of a file, or texts and records for the embedder of the index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nearkin.cli.rendering import note
from nearkin.cli.session import Session
from nearkin.errors import InputError, ParameterError, StorageError

if TYPE_CHECKING:
    from nearkin.bound_embedder import EmbedderRecord
    from nearkin.collection import Collection
    from nearkin.item_files import ItemSource


class Questions(NamedTuple):
    """Queries, and what they are called."""

    queries: Any
    """(nq, dim) numbers, or a list of texts or records."""
    ids: Any = None


@dataclass(frozen=True)
class Asked:
    """The options of a search that say what is asked.

    Attributes
    ----------
    query
        A file, ``-``, or where there is no such file, a text.
    file, texts
        The same, made explicit.
    column
        Column of a file that holds the texts.
    """

    query: str | None
    file: str | None
    texts: Sequence[str]
    column: str | None
    format: str | None

    def read(self, session: Session, collection: Collection, directory: str) -> Questions:
        """The queries.

        Raises
        ------
        StorageError
            There is no such file, and no embedder that would take it for a text.
        InputError
            A record that is no JSON object, or nothing is asked.
        """
        record = collection.embedder_record
        if self.texts:
            return Questions([_item(text, record, directory) for text in self.texts])
        path = self.file if self.file is not None else self.query or ""
        if path != "-" and self.file is None and not _is_there(path):
            if record is None:
                if Path(path).suffix or Path(path).is_dir():  # the reader of files tells what is wrong with it
                    return self._vectors(session, path)
                raise StorageError(
                    f"there is no file {path!r}, and {directory} has no embedder that would take it for a text",
                    hint="name a file of vectors, or build the index with --embedder",
                )
            if Path(path).suffix and " " not in path.strip():
                note(f"there is no file {path}, so it is searched for as a text (--query-file says that it is a file)")
            return Questions([_item(path, record, directory)])
        items = None if record is None else self._items(session, record, path)
        return self._vectors(session, path) if items is None else items

    def _vectors(self, session: Session, path: str) -> Questions:
        found = session.read(path, self.format)
        return Questions(found.vectors, found.ids)

    def _items(self, session: Session, record: EmbedderRecord, path: str) -> Questions | None:
        """Texts or records of a file; None if it holds vectors."""
        from nearkin.cli.standard_input import stdin_in_a_file
        from nearkin.item_files import ItemOptions

        options = ItemOptions(text=self.column, format=self.format)
        if path != "-":
            return _questions(_items_of_file(path, record, options, session))
        with stdin_in_a_file() as place:
            source = _items_of_stdin(place, record, options, session)
            if source is None:
                return _vectors_of_stdin(session, place, self.format)
            return _questions(source)


def read_queries(session: Session, collection: Collection, path: str) -> Any:
    """Queries of a file as a collection takes them: vectors, or items where it has an embedder."""
    record = collection.embedder_record
    return session.read(path).vectors if record is None else queries_of_file(session, record, path).queries


def queries_of_file(session: Session, record: EmbedderRecord, path: str) -> Questions:
    """Queries of a file: texts or records for an embedder, or vectors."""
    asked = Asked(None, path, (), None, None)
    found = asked._items(session, record, path)
    return asked._vectors(session, path) if found is None else found


def _is_there(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a text may be too long for a name, or have a NUL character
        return False


def _items_of_file(path: str, record: EmbedderRecord, options: Any, session: Session) -> ItemSource | None:
    from nearkin.documents import kind_of
    from nearkin.item_files import lines_of, open_items

    kind = kind_of(path, session.registry, options.format)
    if kind == "vectors":
        return None
    if kind == "document" and record.takes == "text":
        return lines_of(Path(path), path)
    return open_items([path], record.takes, record.field, options, registry=session.registry)


def _items_of_stdin(place: Path, record: EmbedderRecord, options: Any, session: Session) -> ItemSource | None:
    from nearkin.cli.standard_input import items_in_file

    return items_in_file(place, record, options, session.registry)


def _vectors_of_stdin(session: Session, place: Path, format: str | None) -> Questions:
    from nearkin.files import read_vectors
    from nearkin.sources import open_source

    source, named = session.source_in_file(place, format)
    if not callable(source):
        found = read_vectors(source, registry=session.registry, format=named)
        return Questions(found.vectors, found.ids)
    import numpy as np

    blocks = list(open_source(source, registry=session.registry).read())
    ids = None if blocks[0].ids is None else [each for block in blocks for each in block.ids or ()]
    return Questions(np.concatenate([block.vectors for block in blocks]), ids)


def _questions(source: ItemSource | None) -> Questions | None:
    if source is None:
        return None
    blocks = list(source.read())
    items = [each for block in blocks for each in block.items]
    if not items:
        raise InputError(f"there are no queries in {', '.join(source.names)}")
    ids = None if blocks[0].ids is None else [each for block in blocks for each in block.ids or ()]
    return Questions(items, ids)


def _item(text: str, record: EmbedderRecord | None, directory: str) -> Any:
    """A text as the embedder takes it: as it is, or as the JSON object that it is."""
    if record is None:
        raise ParameterError(
            f"{directory} has no embedder to turn a text into a vector", hint="build the index with --embedder"
        )
    if record.takes == "text":
        if not text.strip():
            raise InputError("the text to search for is empty", hint="ask in a few words")
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{text[:60]!r} is no file, and no JSON object, which this index of records is asked with: {error}",
            hint="for example '{\"height\": 179}', or --query-file FILE",
        ) from error
    if not isinstance(found, dict):
        raise InputError(f"{text[:60]!r} is JSON, but no object with named values, which this index is asked with")
    return found
