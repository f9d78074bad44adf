"""Names of items out of a file: a column of ids, and one of titles."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from nearkin.errors import CorruptFileError, InputError, ParameterError
from nearkin.event_columns import listed_columns, need_column
from nearkin.files import Formats
from nearkin.recommending.event_files import delimiter_of, reader_of, recoded
from nearkin.registry import default_registry

IDS = (
    "id",
    "itemid",
    "item",
    "movieid",
    "movie",
    "productid",
    "product",
    "sku",
    "asin",
    "isbn",
    "bookid",
    "trackid",
    "artistid",
)
TITLES = ("title", "name", "itemname", "movietitle", "booktitle", "productname", "label", "description", "text")
_NUMBERED = re.compile(r"column[0-9]+")


def read_item_names(
    path: str | os.PathLike[str],
    *,
    id: str | None = None,
    title: str | None = None,
    format: str | None = None,
    encoding: str | None = None,
    registry: Formats | None = None,
) -> dict[str, str]:
    """Titles by the text of the id; of a file without a header, the second column by the first.

    Parameters
    ----------
    id, title
        Names of the columns; left out, well-known names.
    encoding
        Of text; None for UTF-8, and for Latin-1 where it is not that.

    Raises
    ------
    ParameterError
        There is no such column.
    StorageError, CorruptFileError
        The file cannot be read.
    """
    formats: Formats = default_registry() if registry is None else registry
    for each in ("utf-8", "latin-1") if encoding is None else (encoding,):
        try:
            return _read(path, (id, title), format, each, formats)
        except CorruptFileError as error:
            if encoding is not None or each == "latin-1" or not isinstance(error.__cause__, UnicodeDecodeError):
                raise
    raise AssertionError("one of the two has returned or raised")


def _read(
    path: str | os.PathLike[str], asked: tuple[str | None, ...], format: str | None, encoding: str, formats: Formats
) -> dict[str, str]:
    names: dict[str, str] = {}
    columns: tuple[str, str] | None = None
    with recoded(path, encoding) as place:
        delimiter = None if format is not None else delimiter_of(place, formats)
        for block in reader_of(place, formats, format, delimiter).records(place):
            if columns is None:
                there = list(dict.fromkeys(name for each in block for name in each))
                columns = (
                    _column(path, there, asked[0], IDS, "id", 0),
                    _column(path, there, asked[1], TITLES, "title", 1),
                )
            for each in block:
                key, value = each.get(columns[0]), each.get(columns[1])
                if key is not None and value is not None:
                    names[_text(key)] = str(value).strip()
    if not names:
        raise InputError(f"there are no names of items in {path}")
    return names


def _text(key: Any) -> str:
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key).strip()


def _column(
    path: str | os.PathLike[str], names: Sequence[str], asked: str | None, known: Sequence[str], what: str, place: int
) -> str:
    if asked is not None:
        need_column(os.fspath(path), asked, names)
        return asked
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name in reversed(names)}
    found = next((plain[each] for each in known if each in plain), None)
    if found is None and len(names) > place and all(_NUMBERED.fullmatch(name) for name in names):
        return names[place]
    if found is None:
        raise ParameterError(
            f"{path} has no column whose name tells the {what} of an item; it has {listed_columns(names)}",
            hint=f"call one {known[0]!r}",
        )
    return found
