"""Options of the file formats that users may set; apart from the readers, so that listing them loads nothing."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from nearkin.errors import ParameterError

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "space": " ", "pipe": "|"}
FAISS_METRICS = {"l2": (b"IxF2", 1), "ip": (b"IxFI", 0)}
"""Metric of a faiss index to the code of its file and faiss's number."""


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
    allow_missing
        Read a number that is missing (an empty cell, NA, a null) as NaN, instead of refusing the file.
    """

    id: str | None = None
    vectors: str | None = None
    allow_missing: bool = False


@dataclass(frozen=True)
class DelimitedOptions(ColumnOptions):
    """Columns, and how the text is laid out.

    Attributes
    ----------
    header
        Whether the first line names the columns; seen from the values if not given.
    text_ids
        Keep ids as text even if they are all whole numbers.
    encoding
        Of the text that is read, such as latin-1; what is written is UTF-8.
    """

    header: bool | None = None
    text_ids: bool = False
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        read_encoding(self.encoding)


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
        super().__post_init__()
        read_delimiter(self.delimiter)


def read_encoding(text: str) -> str:
    """The encoding that Python knows by a name; a mark at the beginning of UTF-8 is no text.

    >>> read_encoding("utf-8"), read_encoding("latin-1")
    ('utf-8-sig', 'iso8859-1')
    """
    try:
        name = codecs.lookup(text).name
    except LookupError as error:
        raise ParameterError(f"encoding {text!r} is unknown", hint="for example latin-1, cp1252 or utf-16") from error
    return "utf-8-sig" if name == "utf-8" else name


def read_delimiter(text: str) -> str:
    """The character that a delimiter's name stands for.

    >>> read_delimiter("tab")
    '\\t'
    """
    character = DELIMITERS.get(text, text)
    if len(character) != 1 or character.isalnum() or character in '"\r\n\0.+-_':
        raise ParameterError(
            f"delimiter {text!r} is not one of {', '.join(DELIMITERS)}, nor one character that no number has"
        )
    return character


@dataclass(frozen=True)
class FaissOptions:
    """How a faiss index is written.

    Attributes
    ----------
    metric
        Of the index that is written: ``l2``, or ``ip`` for inner product.
    """

    metric: str = "l2"

    def __post_init__(self) -> None:
        if self.metric not in FAISS_METRICS:
            raise ParameterError(f"metric {self.metric!r} is not one of {', '.join(FAISS_METRICS)}")


@dataclass(frozen=True)
class SafetensorsOptions:
    """Which tensor of the file.

    Attributes
    ----------
    tensor
        Name of the matrix; if not given, the only one, or one called vectors, embeddings or embedding.
    """

    tensor: str | None = None


@dataclass(frozen=True)
class Hdf5Options:
    """Which datasets of an HDF5 file.

    Attributes
    ----------
    dataset
        Name of the vectors, such as ``test``; if not given, ``train`` as in ann-benchmarks, one called vectors or
        embeddings, or the only 2-D dataset.
    ids
        Name of the ids, read if it is there.
    """

    dataset: str | None = None
    ids: str = "ids"


@dataclass(frozen=True)
class JsonLinesOptions:
    """Which keys of an object mean what.

    Attributes
    ----------
    id
        Key of the ids.
    vectors
        Key of the vectors; if not given, vector, vectors, embedding or embeddings, or the only key with a list of numbers.
    """

    id: str = "id"
    vectors: str | None = None


@dataclass(frozen=True)
class Word2vecOptions:
    """How words are read.

    Attributes
    ----------
    text_ids
        Keep words as text even if they are all whole numbers.
    """

    text_ids: bool = False


@dataclass(frozen=True)
class GloveOptions:
    """How a line is taken apart.

    Attributes
    ----------
    dim
        Columns, if words with spaces inside make it hard to see.
    """

    dim: int | None = None

    def __post_init__(self) -> None:
        if self.dim is not None and self.dim < 1:
            raise ParameterError(f"dim is {self.dim}, at least 1 is needed")
