"""What comes into a collection beside the vectors: ids and metadata, checked as a whole before anything is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.errors import ParameterError
from nearkin.ids import read_ids
from nearkin.metadata_text import MetadataText, metadata_text
from nearkin.metrics import Metric
from nearkin.vectors import Gate, OnBad, Screened

PADDED = 1_000_000
"""Neighbours that may be asked for even where there are fewer rows."""


@dataclass(frozen=True)
class Added:
    """What an add or build took in."""

    ids: list[Any]
    skipped: np.ndarray
    """Row numbers of the input that were left out as bad."""
    replaced: int = 0
    """Rows that were there before under the same ids."""


def gate_of(metric: Metric, dim: int, on_bad: OnBad) -> Gate:
    """The gate for rows of `dim` columns that are to be stored under a metric."""
    return Gate(
        dim=dim,
        dtype=metric.dtype,
        on_bad=on_bad,
        longest=metric.longest_row,
        refuse=metric.refuses if metric.refuses_rows else None,
        reason=metric.bad_row_reason,
    )


def ids_of_kept(ids: Iterable[Any] | None, screened: Screened, first: int = 0) -> list[Any] | None:
    """Ids of the rows that passed the gate, from one id for every row that came in; `first` is the number of the first.

    Raises
    ------
    ParameterError
        No list of whole numbers or strings, or another number of ids than rows.
    """
    return None if ids is None else _kept(read_ids(ids, first), screened, "ids")


def metadata_of_kept(
    metadata: Iterable[Any] | None, screened: Screened, first: int = 0
) -> list[MetadataText | None] | None:
    """Metadata of the rows that passed the gate, as it is stored.

    Raises
    ------
    ParameterError
        Not one dict for every row that came in, or something in one that JSON cannot hold.
    """
    if metadata is None:
        return None
    if isinstance(metadata, Mapping | str | bytes) or not isinstance(metadata, Iterable):
        raise ParameterError(f"metadata is a {type(metadata).__name__}, a list with one dict a row expected")
    found = [metadata_text(each, row) for row, each in enumerate(metadata, first)]
    return list(_kept(found, screened, "metadata dicts"))


def _kept(values: list[Any], screened: Screened, what: str) -> list[Any]:
    rows = len(screened.vectors) + len(screened.skipped)
    if len(values) != rows:
        raise ParameterError(f"{len(values)} {what} were given for {rows} rows")
    return values if screened.kept is None else [values[row] for row in screened.kept]


def owned(array: np.ndarray, given: Any) -> np.ndarray:
    """Rows that nobody else changes: a copy, unless the gate made one or they cannot be written to."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap) and base.base is not None:
        base = base.base
    if isinstance(base, np.memmap) and base.mode == "r":
        return array
    if isinstance(base, np.ndarray) and base.base is None and not base.flags.writeable:
        return array
    if isinstance(given, np.ndarray) and not np.may_share_memory(array, given):
        return array
    return array.copy()


def real_number(name: str, value: Any) -> float:
    """A number other than NaN, or a ParameterError that says what was given."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ParameterError(f"{name} is {value!r}, a number expected") from error
    if number != number or isinstance(value, bool | str | bytes):
        raise ParameterError(f"{name} is {value!r}, a number expected")
    return number
