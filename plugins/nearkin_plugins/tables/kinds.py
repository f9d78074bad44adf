"""Which kind the columns of a table are of, found by looking at their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import InputError
from nearkin_plugins.tables.cells import Absent, Reading, column_of, read_categories, read_moments, read_numbers

FEW = 20
"""Different texts that a column of categories always may have; beyond, one in twenty of its values."""
COUNTED = 10
"""Records from which on whole numbers that go up by one are taken for numbers of rows."""


class Kinds(NamedTuple):
    """Names of the columns of each kind, and why others are left out."""

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def found_kinds(records: Sequence[Mapping[str, Any]], reading: Reading) -> Kinds:
    """The kinds of all columns of the records.

    Numbers are numeric; booleans and texts of few different values are categories; dates and ISO texts are dates. Columns without
    values, texts that all differ or nearly so (names, keys, free text), whole numbers that only count the rows, and lists and the
    like are left out.

    Raises
    ------
    InputError
        No column is left.
    """
    by_kind: dict[str, list[str]] = {"numeric": [], "categorical": [], "dates": []}
    notes = []
    names = dict.fromkeys(name for record in records for name in record if isinstance(name, str) and name)
    for name in names:
        kind, why = _kind_of(column_of(records, name), name, Reading(reading.missing))
        if kind:
            by_kind[kind].append(name)
        else:
            notes.append(f"column {name!r} is left out: {why}")
    if not any(by_kind.values()):
        raise InputError(
            "none of the columns can be compared" + "".join(f"; {note}" for note in notes[:5]),
            hint="name columns: numeric=height,weight:categorical=hobby",
        )
    numeric, categorical, dates = (tuple(each) for each in by_kind.values())
    return Kinds(numeric, categorical, dates, tuple(notes))


def _kind_of(cells: list[Any], name: str, reading: Reading) -> tuple[str, str]:
    """The kind, or nothing and why."""
    present = [cell for cell in cells if cell is not Absent and not reading.is_missing(cell)]
    if not present:
        return "", "it has no values"
    if all(isinstance(cell, bool | np.bool_) for cell in present):
        return "categorical", ""
    if _reads(read_numbers, present, name, reading):
        switches = {str(cell).strip().lower() for cell in present} <= {"true", "false"}
        if _counts_rows(present, name, reading):
            return "", "it only counts the rows"
        return "categorical" if switches else "numeric", ""
    if _reads(read_moments, present, name, reading):
        return "dates", ""
    if not _reads(read_categories, present, name, reading):
        return "", f"values such as {str(present[0])[:40]!r} are no numbers, texts or dates"
    different = len(set(read_categories(present, name, reading)))
    if different == len(present):
        return "", f"all of its {different:,} texts differ"
    if different > max(FEW, len(present) / 20):
        return "", f"it has {different:,} different texts in {len(present):,} values"
    return "categorical", ""


def _reads(read: Callable[[Sequence[Any], str, Reading], Any], cells: list[Any], name: str, reading: Reading) -> bool:
    try:
        read(cells, name, reading)
    except InputError:
        return False
    return True


def _counts_rows(present: list[Any], name: str, reading: Reading) -> bool:
    values = np.sort(read_numbers(present, name, reading))  # a sample of records may be in any order
    return len(values) >= COUNTED and values[0] in (0, 1) and bool((np.diff(values) == 1).all())
