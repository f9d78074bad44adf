"""What the text of a cell means, and what the first rows of a delimited file say about its columns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nearkin.items import plain_number
from nearkin_plugins.file_formats.columns import ID_COLUMN, VECTOR_COLUMNS

Kind = Literal["number", "list", "text"]

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_BRACKETS = {"[": "]", "(": ")"}


def read_number(text: str) -> float:
    """A number; unlike Python, without underscores.

    >>> read_number(" 1e3")
    1000.0
    """
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return float(text)


MISSING = frozenset({"", "na", "n/a", "null", "none"})
"""What stands in cells for a number that nobody has, in small letters."""


def read_number_or_nan(text: str) -> float:
    """A number, or NaN where the cell says that it is missing.

    >>> read_number_or_nan(" NA "), read_number_or_nan("2")
    (nan, 2.0)
    """
    return float("nan") if text.strip().lower() in MISSING else read_number(text)


def read_list(text: str) -> list[float]:
    """Numbers between brackets or without, separated by commas or by white space.

    >>> read_list("[0.1, 0.2]"), read_list("0.1 0.2")
    ([0.1, 0.2], [0.1, 0.2])
    """
    body = text.strip()
    if body[:1] in _BRACKETS:
        if body[-1] != _BRACKETS[body[0]]:
            raise ValueError(f"{text!r} has no closing bracket")
        body = body[1:-1]
    parts = body.split(",") if "," in body else body.split()
    if not parts:
        raise ValueError("the list is empty")
    return [read_number(part) for part in parts]


def read_whole(text: str) -> int:
    """A whole number of 64 bits, written as Python writes it: ``7``, not ``07`` or ``7.0``."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number")
    number = int(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"{text!r} does not fit in 64 bits")
    return number


def read_plain(text: str) -> int | float:
    """A whole number or a decimal one; a code with leading zeros is not taken for a number."""
    number = plain_number(text)
    if number is None:
        raise ValueError(f"{text!r} is not a plain number")
    return number


def write_cell(value: Any) -> str:
    """Text of a metadata value; lists and objects as JSON.

    >>> write_cell(None), write_cell(True), write_cell([1, "é"])
    ('', 'true', '[1, "é"]')
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def reads_as(read: Callable[[str], Any], text: str) -> bool:
    """Whether a reader of this module accepts a text."""
    try:
        read(text)
    except ValueError:
        return False
    return True


def kind_of(cells: Sequence[str]) -> Kind:
    """What at least half of the cells that are not empty hold; a list has brackets or more than one number."""
    filled = [cell for cell in cells if cell.strip().lower() not in MISSING]
    if not filled:
        return "text"
    if 2 * sum(reads_as(read_number, cell) for cell in filled) >= len(filled):
        return "number"
    if 2 * sum(reads_as(read_list, cell) for cell in filled) >= len(filled):
        return "list"
    return "text"


@dataclass(frozen=True)
class Columns:
    """Names and kinds of the columns, seen from the first rows.

    Attributes
    ----------
    has_header
        Whether the first row names the columns.
    whole, plain
        Positions of the columns whose every cell is a whole number, and whose every filled cell is a plain number.
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    has_header: bool
    whole: frozenset[int]
    plain: frozenset[int]

    def named(self, kind: Kind) -> set[str]:
        """Names of the columns of a kind."""
        return {name for name, each in zip(self.names, self.kinds, strict=True) if each == kind}


def look_at(rows: Sequence[Sequence[str]], header: bool | None) -> Columns:
    """Judge the columns by the first rows, all of one width.

    >>> look_at([["id", "x"], ["a", "0.5"]], None)
    Columns(names=('id', 'x'), kinds=('text', 'number'), has_header=True, whole=frozenset(), plain=frozenset({1}))
    """
    below = list(zip(*rows[1:], strict=True)) if len(rows) > 1 else [()] * len(rows[0])
    if header is None:
        header = _is_header(rows[0], below)
    cells = below if header else list(zip(*rows, strict=True))
    names = rows[0] if header else [f"column{number}" for number in range(1, len(rows[0]) + 1)]
    return Columns(
        tuple(name.strip() for name in names),
        tuple(kind_of(column) for column in cells),
        header,
        frozenset(at for at, column in enumerate(cells) if all(reads_as(read_whole, cell) for cell in column)),
        frozenset(at for at, column in enumerate(cells) if all(reads_as(read_plain, cell) for cell in column if cell)),
    )


def names_for_records(rows: Sequence[Sequence[str]], header: bool | None) -> tuple[bool, tuple[str, ...]]:
    """Whether the first row names the columns, and their names, for rows that need not hold numbers.

    A first row without numbers and without the same name twice is a header, which text above text would not show otherwise. A
    column without a name is called by its number.

    >>> names_for_records([["text", ""], ["where is my card", "x"]], None)
    (True, ('text', 'column2'))
    >>> names_for_records([["A11", "6"], ["A12", "48"]], None)
    (False, ('column1', 'column2'))
    """
    first = [cell.strip() for cell in rows[0]]
    if header is None:
        below = list(zip(*rows[1:], strict=True)) if len(rows) > 1 else [()] * len(first)
        named = [cell for cell in first if cell]
        texts = bool(named) and len(set(named)) == len(named) and not any(reads_as(read_list, cell) for cell in named)
        header = texts or _is_header(first, below)
    return header, tuple((cell if header else "") or f"column{number}" for number, cell in enumerate(first, 1))


def _is_header(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a first row names columns: it has a known name, or text above numbers.

    pandas names the columns of an array 0, 1, 2, …; above values that are not whole numbers, that is a header too.
    """
    if any(cell.strip().lower() in (ID_COLUMN, *VECTOR_COLUMNS) for cell in first):
        return True
    if list(first) == [str(number) for number in range(len(first))]:
        return any(reads_as(read_number, cell) and not cell.isdigit() for column in below for cell in column)
    texts = [not reads_as(read_list, cell) for cell in first]
    if not any(below):
        return all(texts)
    return any(text and kind_of(column) != "text" for text, column in zip(texts, below, strict=True))
