"""Items beside vectors: whether what a user gives is text, records or numbers, and the metadata that an item leaves behind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import InputError, ParameterError


class ItemBlock(NamedTuple):
    """A run of items of a file: what a `nearkin.Block` is for vectors."""

    items: list[Any]
    ids: list[Any] | None = None
    """One id an item, whole numbers or text, or None if there are none."""
    metadata: list[dict[str, Any]] | None = None
    """One JSON-able dict an item, or None if there is nothing else."""
    origin: str = ""
    """The file that they are from."""
    first: int = 0
    """Number of the first one in that file."""
    chunks: list[tuple[str, int] | None] | None = None
    """Document and number of each item that is a chunk, None for one that is not; or None if no item is."""

    def part(self, start: int, stop: int | None = None) -> ItemBlock:
        """Some of the items.

        >>> ItemBlock(["a", "b", "c"], first=7).part(1, 2)
        ItemBlock(items=['b'], ids=None, metadata=None, origin='', first=8, chunks=None)
        """
        some = slice(start, stop)
        ids, metadata = self.ids and self.ids[some], self.metadata and self.metadata[some]
        return ItemBlock(
            self.items[some], ids, metadata, self.origin, self.first + start, self.chunks and self.chunks[some]
        )


_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]")


def plain_number(text: str) -> int | float | None:
    """A whole number or a decimal one; None for anything else, such as a code with leading zeros.

    >>> plain_number("42"), plain_number("0.5"), plain_number("007"), plain_number("1_000")
    (42, 0.5, None, None)
    """
    if _WHOLE.fullmatch(text):
        return int(text)
    if _LEADING_ZERO.match(text) or "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def items_in(given: Any, *, records: bool = False) -> list[Any] | None:
    """The items as a list if `given` holds texts or dicts; None if it holds numbers.

    With `records`, rows of a data frame are dicts; otherwise a data frame is left to those who read numbers.

    >>> items_in(["a", "b"]), items_in([[1.0, 2.0]])
    (['a', 'b'], None)

    Raises
    ------
    InputError
        A single item, not in a list.
    """
    if isinstance(given, str | bytes):
        raise InputError(f"this is a single text: {given[:40]!r}, a list of texts expected", hint="pass [text]")
    if isinstance(given, Mapping):
        raise InputError("this is a single dict, a list of dicts expected", hint="pass [record]")
    if isinstance(given, Iterator):
        raise InputError(
            f"this is a {type(given).__name__}, which can be read once; a list expected", hint="pass list(...)"
        )
    if hasattr(given, "isna") and hasattr(given, "columns"):
        return _records_of(given) if records else None
    if isinstance(given, np.ndarray):
        return given.tolist() if given.dtype.kind in "UTO" and _are_items(given) else None
    if isinstance(given, Sequence) or hasattr(given, "tolist"):
        return list(given) if _are_items(given) else None
    return None


def _are_items(given: Iterable[Any]) -> bool:
    """By the first that is not missing."""
    return isinstance(next((each for each in given if not is_missing(each)), None), str | Mapping)


def is_missing(item: Any) -> bool:
    """Whether there is none: None, NaN, or pandas' NA.

    >>> [is_missing(each) for each in (None, float("nan"), "", 0.5)]
    [True, True, False, False]
    """
    return item is None or (isinstance(item, float) and item != item) or type(item).__name__ == "NAType"


def _records_of(frame: Any) -> list[Any]:
    """Rows of a data frame as dicts, missing values as None."""
    missing = frame.isna().to_numpy()
    names = [str(each) for each in frame.columns]
    rows = zip(*(frame.iloc[:, column].tolist() for column in range(len(names))), strict=True)
    return [
        {name: None if gone else value for name, value, gone in zip(names, row, gaps, strict=True)}
        for row, gaps in zip(rows, missing.tolist(), strict=True)
    ]


def metadata_of_items(items: Sequence[Any], field: str, metadata: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Metadata with the items in it: texts under `field`, records as they are.

    >>> metadata_of_items(["a text"], "text", [{"page": 3}])
    [{'page': 3, 'text': 'a text'}]

    Raises
    ------
    ParameterError
        Another number of dicts than of items, something else than dicts, or a field of an item that says something else.
    """
    given = [None] * len(items) if metadata is None else list(metadata)
    if len(given) != len(items):
        raise ParameterError(f"{len(given)} metadata dicts were given for {len(items)} items")
    return [
        _with_item(each, _plain(item, field), row) for row, (item, each) in enumerate(zip(items, given, strict=True))
    ]


def _with_item(metadata: Any, item: dict[str, Any], row: int) -> dict[str, Any]:
    if metadata is None:
        return item
    if not isinstance(metadata, Mapping):
        raise ParameterError(f"metadata {row} is a {type(metadata).__name__}, a dict expected")
    for name, value in item.items():
        if name in metadata and _differ(metadata[name], value):
            raise ParameterError(
                f"metadata {row} has {name}={metadata[name]!r}, and that field keeps the item itself",
                hint="rename it, or keep texts under another name with field=...",
            )
    return {**metadata, **item}


def _differ(one: Any, other: Any) -> bool:
    try:
        return bool(one != other)
    except (ValueError, TypeError):  # an array
        return True


def _plain(item: Any, field: str) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        return {field: None if is_missing(item) else item}
    return {str(name): plain_value(value) for name, value in item.items()}


def plain_value(value: Any) -> Any:
    """A value of a record as JSON has it: numbers of numpy plain, dates as ISO text, NaN and pandas' NA as None.

    >>> plain_value(np.float32(0.5)), plain_value(np.datetime64("2024-02-29", "ns")), plain_value(float("nan"))
    (0.5, '2024-02-29T00:00:00', None)
    """
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
