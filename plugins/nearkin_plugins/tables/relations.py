"""Columns that say the same twice, and so count twice: found after learning, told, and left as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

ROWS = 10_000
"""Looked at, at most; evenly spread."""
LEAST_ROWS = 10
CORRELATED = 0.95
INFLATED = 10.0
_MOST_COLUMNS = 300
_RIDGE = 1e-6
"""Keeps the inverse finite where a column is a sum of others to the last digit."""


def numeric_notes(columns: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> Iterator[str]:
    """Of (n,) numbers by the name of their column, NaN where missing: pairs correlated by 0.95 or more, and columns whose variance
    inflation factor is 10 or more, that is which are nine tenths a sum of others.

    Source: D. Belsley, E. Kuh, R. Welsch, "Regression Diagnostics" (1980), for the factor.
    """
    told: set[str] = set()
    names, matrix = _varying(columns, weights)
    if len(names) < 2 or len(matrix) < LEAST_ROWS:
        return
    with np.errstate(invalid="ignore"):
        correlations = np.corrcoef(matrix, rowvar=False)
    for i, j in combinations(range(len(names)), 2):
        if abs(correlations[i, j]) >= CORRELATED:
            told |= {names[i], names[j]}
            yield (
                f"columns {names[i]!r} and {names[j]!r} are collinear (correlation {correlations[i, j]:.2f}): what they share "
                f"counts twice; leave one out, or halve their weights"
            )
    if len(matrix) < 5 * len(names):
        return
    factors = np.diag(np.linalg.inv(correlations + _RIDGE * np.eye(len(names))))
    for name, factor in zip(names, factors.tolist(), strict=True):
        if factor >= INFLATED and name not in told:
            yield (
                f"column {name!r} is nearly a sum of other columns (variance inflation {_told(factor)}): what they share counts "
                f"twice"
            )


def _told(factor: float) -> str:
    return f"{factor:.0f}" if factor < 1000 else "over 1,000"


def _varying(columns: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> tuple[list[str], np.ndarray]:
    """Columns that count and vary, a sample of their rows, and missing values as means."""
    names, found = [], []
    for name, values in list(columns.items())[:_MOST_COLUMNS]:
        some = _some(values)
        known = ~np.isnan(some)
        if weights.get(name, 1.0) and known.any() and np.ptp(some[known]) > 0:
            names.append(name)
            found.append(np.where(known, some, some[known].mean()))
    return names, np.stack(found, axis=1) if found else np.empty((0, 0))


def categorical_notes(columns: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> Iterator[str]:
    """Of (n,) codes of categories by the name of their column: those that decide another one in every row."""
    counted = {name: _some(codes) for name, codes in columns.items() if weights.get(name, 1.0)}
    kinds = {name: len(np.unique(codes)) for name, codes in counted.items()}
    for one, other in combinations([name for name in counted if kinds[name] > 1], 2):
        if len(counted[one]) < LEAST_ROWS:
            continue
        pairs = len(np.unique(counted[one] * (int(counted[other].max()) + 1) + counted[other]))
        decides = [name for name in (one, other) if pairs == kinds[name] <= len(counted[name]) / 5]
        if len(decides) == 2:
            yield f"columns {one!r} and {other!r} decide each other: they count twice; leave one out, or halve their weights"
        elif decides:
            rest = other if decides[0] == one else one
            yield f"column {decides[0]!r} decides column {rest!r}: where {rest!r} differs, both count"


def _some(values: np.ndarray) -> np.ndarray:
    if len(values) <= ROWS:
        return values
    return values[np.linspace(0, len(values) - 1, ROWS).astype(np.int64)]
