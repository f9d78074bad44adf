"""Options of the file formats that users may set; apart from the readers, so that listing them loads nothing."""

from __future__ import annotations

from dataclasses import dataclass

from nearkin.errors import ParameterError

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "space": " ", "pipe": "|"}


@dataclass(frozen=True)
class NpzOptions:
    """Which arrays of an .npz archive are read, and how one is written.

    Attributes
    ----------
    array
        Name of the vectors; if not given, the only 2-D array, or the one called vectors, train or embeddings.
    ids
        Name of the ids, read if it is there.
    compressed
        Write with deflate; smaller on disk, slower to read.
    """

    array: str | None = None
    ids: str = "ids"
    compressed: bool = False


@dataclass(frozen=True)
class ColumnOptions:
    """Which columns of a table mean what.

    Attributes
    ----------
    id
        Column of the ids; if not given, one called ``id`` or an unnamed pandas index.
    vectors
        Column of lists, or columns of numbers separated by commas, with ``*`` for any text: ``x,y,z`` or ``f*``.
    """

    id: str | None = None
    vectors: str | None = None


@dataclass(frozen=True)
class DelimitedOptions(ColumnOptions):
    """Columns, and how the text is laid out.

    Attributes
    ----------
    header
        Whether the first line names the columns; seen from the values if not given.
    text_ids
        Keep ids as text even if they are all whole numbers.
    """

    header: bool | None = None
    text_ids: bool = False


@dataclass(frozen=True)
class CsvOptions(DelimitedOptions):
    """As for every delimited file, and the delimiter.

    Attributes
    ----------
    delimiter
        One character, or one of comma, tab, semicolon, space, pipe.
    """

    delimiter: str = "comma"

    def __post_init__(self) -> None:
        read_delimiter(self.delimiter)


def read_delimiter(text: str) -> str:
    """The character that a delimiter's name stands for.

    >>> read_delimiter("tab")
    '\\t'
    """
    character = DELIMITERS.get(text, text)
    if len(character) != 1 or character in '"\r\n':
        raise ParameterError(f"delimiter {text!r} is not one character or one of {', '.join(DELIMITERS)}")
    return character
