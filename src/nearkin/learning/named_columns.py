"""Rows whose columns have names: records, DataFrames and arrays become one matrix, in one order of columns.

>>> by_name([{"age": 10, "sqft": 2000}], ["sqft", "age"]).tolist()
[[2000.0, 10.0]]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nearkin.errors import ParameterError, VectorError

LARGEST = 1e100
"""Numbers beyond it, or below its inverse, are refused: sums of squares would overflow or vanish."""


def are_records(X: Any) -> bool:
    """Whether rows are mappings of column name to number, or one such mapping."""
    if isinstance(X, Mapping):
        return not hasattr(X, "shape")  # some of SciPy's sparse matrices are mappings
    return isinstance(X, list | tuple) and len(X) > 0 and isinstance(X[0], Mapping)


def by_name(X: Any, names: Sequence[str] | None) -> Any:
    """Rows as they are, or where they bring names, the named columns in the order of `names`.

    Parameters
    ----------
    X
        A matrix; a mapping or a list of them; a DataFrame. Columns that `names` does not have are left out.
    names
        None where columns have no names.

    Raises
    ------
    ParameterError
        Records, and no names.
    VectorError
        A record or DataFrame without one of the columns, or a value of a record that is no number.
    """
    if are_records(X):
        if names is None:
            raise ParameterError("rows are records, and the columns have no names", hint="give feature_names=[...]")
        return _from_records([X] if isinstance(X, Mapping) else X, names)
    if names is None or not hasattr(X, "columns"):
        return X
    absent = [name for name in names if name not in X.columns]
    if absent:
        raise VectorError(
            f"the table has no column {absent[0]!r}, one of {len(absent)} of {len(names)} that are absent"
        )
    return X[list(names)].to_numpy()


def _from_records(records: Sequence[Any], names: Sequence[str]) -> np.ndarray:
    rows = np.empty((len(records), len(names)))
    for i, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise VectorError(f"row {i} is a {type(record).__name__}, a mapping like row 0 expected")
        for j, name in enumerate(names):
            if name not in record:
                raise VectorError(f"row {i} has no column {name!r}", hint=f"columns are {', '.join(map(str, names))}")
            try:
                rows[i, j] = record[name]
            except (TypeError, ValueError) as error:
                raise VectorError(f"column {name!r} of row {i} is {record[name]!r}, a number expected") from error
    return rows


def need_sizes(rows: np.ndarray, names: Sequence[Any]) -> None:
    """Refuse columns whose squares no float64 holds.

    Raises
    ------
    ParameterError
        A column whose largest number is beyond `LARGEST`, or above 0 and below 1 / `LARGEST`.
    """
    sizes = np.abs(rows).max(axis=0, initial=0.0)
    wrong = np.flatnonzero((sizes > LARGEST) | ((sizes > 0) & (sizes < 1 / LARGEST)))
    if len(wrong):
        raise ParameterError(
            f"the largest number of column {names[wrong[0]]!r} is {sizes[wrong[0]]:.3g}, "
            f"and one from {1 / LARGEST:g} to {LARGEST:g} can be computed with",
            hint="give the column in another unit, or its logarithm",
        )


def checked_names(names: Any, columns: int) -> list[str]:
    """Names as a list, as many as columns and each once.

    Raises
    ------
    ParameterError
        Another number of names, or one twice.
    """
    if isinstance(names, str):
        raise ParameterError(f"feature_names is the text {names!r}, a list of names expected")
    given = list(names)
    if len(given) != columns:
        raise ParameterError(f"feature_names has {len(given)} names, and the rows have {columns} columns")
    twice = sorted({str(each) for each in given if given.count(each) > 1})
    if twice:
        raise ParameterError(f"feature_names has {twice[0]!r} twice")
    return given
