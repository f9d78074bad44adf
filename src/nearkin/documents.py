"""Text files as documents: one file is one text. Which files those are, and their text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from nearkin.errors import CorruptFileError, NotSupportedError, StorageError, UnknownNameError
from nearkin.files import RUNS_CODE, Formats, find_format, name_of_format

Kind = Literal["document", "records", "vectors"]

SUFFIXES = (".txt", ".md", ".rst")
"""Endings of documents, whatever format claims them for vectors."""
_HEAD = 8192


def kind_of(path: str | os.PathLike[str], formats: Formats, format: str | None = None) -> Kind:
    """What a file holds, told by its name, or by the format that is named for it: a text, rows of named values, or vectors.

    Raises
    ------
    StorageError
        There is no such file.
    AmbiguousNameError, UnknownNameError
        Two formats claim the ending; or no format has the name.
    """
    place = Path(path)
    if format is None:
        if not place.exists():
            raise StorageError(f"there is no file {place}")
        if place.suffix.lower() in SUFFIXES or (place.is_dir() and documents_below(place, formats)):
            return "document"
        if place.suffix.lower() in RUNS_CODE:
            return "vectors"
        if place.suffix.lower() == ".json":
            raise NotSupportedError(
                f"{place} is JSON as a whole, and records are read line by line",
                hint=f"write one object a line: jq -c '.[]' {place.name} > {place.stem}.jsonl",
            )
        try:
            format = name_of_format(place, formats)
        except UnknownNameError:
            return "document"
    return "records" if find_format(place, registry=formats, format=format).reads_records else "vectors"


def find_documents(paths: Iterable[str | os.PathLike[str]], formats: Formats) -> list[Path]:
    """The files that are meant: a folder stands for the text files below it, sorted, but for hidden ones.

    Raises
    ------
    StorageError
        There is no such file, or a folder has no text file.
    """
    found: list[Path] = []
    for each in map(Path, paths):
        if not each.is_dir():
            found.append(each)
            continue
        below = documents_below(each, formats)
        if not below:
            raise StorageError(f"{each} is a folder without text files")
        found += below
    return list(dict.fromkeys(found))


def documents_below(folder: Path, formats: Formats) -> list[Path]:
    """Text files of a folder and of those in it, sorted by name."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = [Path(place) / name for name in sorted(names) if not name.startswith(".")]
        found += [each for each in files if _is_document(each, formats)]
    return sorted(found)


def _is_document(path: Path, formats: Formats) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file() or path.suffix.lower() in (*RUNS_CODE, ".json"):
        return False
    try:
        name_of_format(path, formats)
    except UnknownNameError:
        return not _is_binary(path)
    return False


def document_name(path: Path) -> str:
    """What a document is called in ids and metadata.

    >>> document_name(Path("./notes/../notes/a.md"))
    'notes/a.md'
    """
    return Path(os.path.normpath(path)).as_posix()


def read_document(path: Path) -> str:
    """The text of a file, in UTF-8 with or without a byte-order mark; line ends as \\n.

    Raises
    ------
    StorageError
        It cannot be read.
    CorruptFileError
        It is binary, or its text is in another encoding.
    """
    with _open_text(path) as file:
        return file.read()


def document_lines(path: Path) -> Iterator[str]:
    """The lines of the text of a file, read one by one; otherwise as `read_document`."""
    with _open_text(path) as file:
        yield from file


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    try:
        if not path.is_file():
            what = "is no file" if path.exists() else "is not there"
            raise StorageError(f"{path} {what}, a text file expected")
        if _is_binary(path):
            raise CorruptFileError(f"{path} is a binary file, text expected", hint="turn it into text first")
        with path.open(encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError as error:
        raise CorruptFileError(
            f"{path} is no text that can be read: it is not UTF-8 ({error.reason})",
            hint="text in another encoding is changed by iconv -f LATIN1 -t UTF-8",
        ) from error
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path}: {error.strerror or error}") from error


def _is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" in file.read(_HEAD)
