"""Rows of a table to cluster: which of its columns are meant, and what to do with rows that lack some of them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import NotSupportedError, ParameterError, VectorError
from nearkin.files import Loaded, find_format, name_of_format, read_vectors, summarize
from nearkin.registry import Registry
from nearkin.vectors import block_rows

PathLike = str | os.PathLike[str]
LISTED = 12


class TableRows(NamedTuple):
    """Rows with numbers in every column."""

    vectors: Any
    """(n, dim) numbers; or the path of a file that is to be read block by block."""
    ids: Sequence[Any] | None
    """n ids of the file, or numbers of its rows from 0 on; None for these where the file is not read yet."""
    numbered: bool
    """Whether they are numbers of rows."""
    columns: tuple[str, ...]
    """dim names, or none where the file has none."""
    dropped: int
    """Rows left out because a number is missing."""
    weights: np.ndarray | None = None
    """(n,) float64 weight of each row, where a column of weights was named."""


def read_table(
    path: PathLike,
    *,
    numeric: Sequence[str] | None = None,
    weights: str | None = None,
    id: str | None = None,
    format: str | None = None,
    drop_missing: bool = False,
    registry: Registry,
) -> TableRows:
    """Rows of a file of vectors, or the columns of a table that are named.

    Parameters
    ----------
    numeric
        Columns of numbers: a name, one in other letter case, or a part that only one name has; ``*`` stands for any text.
    weights
        Column that says how much each row counts; it is not clustered by.
    id
        Column of the ids.
    format
        Name and options; by default from the file's name.
    drop_missing
        Leave rows out where a number is missing, instead of refusing them.

    Raises
    ------
    ParameterError
        There is no such column, or several that might be meant.
    VectorError
        Numbers are missing; the message counts them by column.
    NotSupportedError
        The format names no columns.
    """
    what = os.fspath(path)
    if weights is not None:
        text = format_of_columns(path, numeric=[weights], id=id, format=format, registry=registry)
        (column,) = summarize(path, registry=registry, format=text).columns
        mass = read_vectors(path, registry=registry, format=text).vectors[:, 0].astype(np.float64)
        plain = format_of_columns(path, id=id, format=format, registry=registry)
        others = [name for name in summarize(path, registry=registry, format=plain).columns if name != column]
        numeric = others if numeric is None else numeric
    text = format_of_columns(path, numeric=numeric, id=id, format=format, registry=registry)
    loaded = read_vectors(path, registry=registry, format=text)
    columns = summarize(path, registry=registry, format=text).columns
    if weights is None:
        return without_missing(loaded, columns, what, drop_missing)
    gathered = Loaded(np.column_stack([loaded.vectors, mass]), loaded.ids, None)
    rows = without_missing(gathered, (*columns, column), what, drop_missing)
    return rows._replace(vectors=rows.vectors[:, :-1], columns=columns, weights=rows.vectors[:, -1].astype(np.float64))


def format_of_columns(
    path: PathLike,
    *,
    numeric: Sequence[str] | None = None,
    id: str | None = None,
    format: str | None = None,
    registry: Registry,
) -> str:
    """The format with options that read the columns named, and missing numbers as NaN; errors as for `read_table`."""
    text = format or name_of_format(path, registry)
    spec = registry.resolve("format", registry.parse("format", text).name)
    known = {each.name for each in fields(spec.params)} if spec.params else set()
    if numeric is not None and "allow_missing" not in known:
        raise NotSupportedError(
            f"{spec.name} files name no columns of numbers, so none can be chosen",
            hint="leave --numeric out, or write the table as csv or parquet",
        )
    if id is not None:
        text += f":id={id}"
    if "allow_missing" in known and "allow_missing=" not in text:
        text += ":allow_missing=true"
    if numeric is None:
        return text
    summary = find_format(path, registry=registry, format=text).describe(path)
    chosen = choose_columns(numeric, (*summary.columns, *summary.metadata), os.fspath(path))
    return f"{text}:vectors={','.join(map(_as_option, chosen))}"


def choose_columns(asked: Sequence[str], names: Sequence[str], what: str) -> list[str]:
    """Which columns are meant; patterns with ``*`` are left to the format.

    >>> choose_columns(["age", "income"], ["Age", "Annual Income (k$)", "Spending Score"], "mall.csv")
    ['Age', 'Annual Income (k$)']
    """
    chosen = [name if "*" in name else _meant(name.strip(), names, what) for name in asked]
    twice = sorted({name for name in chosen if chosen.count(name) > 1})
    if twice:
        raise ParameterError(f"column {twice[0]!r} is asked for twice")
    return chosen


def _meant(name: str, names: Sequence[str], what: str) -> str:
    if name in names:
        return name
    small = name.lower()
    for found in (
        [each for each in names if each.lower() == small],
        [each for each in names if small and small in each.lower()],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise ParameterError(f"{name!r} may be any of {len(found)} columns of {what}: {_listed(found)}")
    spelled = {
        word: each for each in reversed(names) for word in (*re.split(r"[^a-z0-9]+", each.lower()), each.lower())
    }
    close = list(dict.fromkeys(spelled[word] for word in difflib.get_close_matches(small, spelled, n=3)))
    meant = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
    raise ParameterError(f"{what} has no column {name!r}{meant}; it has {_listed(names)}")


def _as_option(name: str) -> str:
    """A column's name inside of the options of a format, where commas and colons mean something."""
    return name.replace(",", "?").replace(":", "?")


def _listed(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > LISTED else ""
    return ", ".join(map(repr, names[:LISTED])) + more


def without_missing(loaded: Loaded, columns: tuple[str, ...], what: str, drop_missing: bool) -> TableRows:
    """Rows of a file that is loaded, those left out that lack a number; errors as for `read_table`."""
    vectors = loaded.vectors
    ids: Sequence[Any] | np.ndarray = range(len(vectors)) if loaded.ids is None else loaded.ids
    lacking, of = _missing(vectors)
    if not lacking.any():
        return TableRows(vectors, ids, loaded.ids is None, columns, 0)  # type: ignore[arg-type]
    count, shown = int(lacking.sum()), _shown(of, columns)
    if not drop_missing:
        raise VectorError(
            f"{what} lacks numbers in {count:,} of {len(vectors):,} rows ({shown})",
            hint="pass --drop-missing to leave these rows out, or fill them in",
        )
    if count == len(vectors):
        raise VectorError(f"{what} lacks numbers in all of its {count:,} rows ({shown})", hint="choose other columns")
    kept = np.flatnonzero(~lacking)
    return TableRows(vectors[kept], [ids[int(row)] for row in kept], loaded.ids is None, columns, count)


def _missing(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) which rows lack a number, and (dim,) how many each column lacks."""
    lacking, of = np.zeros(len(vectors), dtype=bool), np.zeros(vectors.shape[1], dtype=np.int64)
    if vectors.dtype.kind != "f":
        return lacking, of
    step = block_rows(vectors.shape[1])
    for start in range(0, len(vectors), step):
        gaps = np.isnan(vectors[start : start + step])
        lacking[start : start + step] = gaps.any(axis=1)
        of += gaps.sum(axis=0)
    return lacking, of


def _shown(of: np.ndarray, columns: Sequence[str]) -> str:
    """Columns by how much they lack, the first few."""
    order = [int(at) for at in np.argsort(-of, kind="stable") if of[at]]
    shown = ", ".join(f"{columns[at] if columns else f'column {at}'} {of[at]:,}" for at in order[:5])
    return shown + (f" and {len(order) - 5} more columns" if len(order) > 5 else "")
