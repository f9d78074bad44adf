"""What makes the weights of a linear model hard to read, in sentences: columns first, then weights.

>>> rows = np.array([[1.0, 2.0, 5.0], [2.0, 4.0, 5.0], [3.0, 6.0, 5.0]])
>>> for line in column_warnings(rows, ("metres", "feet", "year")): print(line)
1 of 3 columns is the same in every row and has no weight: year
metres and feet rise and fall together (correlation 1.000): how the weight is shared between them says nothing
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nearkin.learning.column_weights import mean_and_steps

CORRELATED = 0.98
"""From this correlation on, two columns say the same."""

DEPENDENT = 1e-8
"""A share of the variance under which columns count as exactly dependent."""

MOST_COLUMNS = 1500
"""With more columns than this no dependence is looked for: it takes the cube of their number."""

LARGE = 5.0
"""Log-odds a standard deviation (odds times 148) from which on a weight is very large."""

SMALL = 1e-3
"""Share of the largest weight under which a weight is next to nothing."""

SHOWN = 5


def listed(names: Sequence[Any]) -> str:
    """The first few of several names.

    >>> listed(["a", "b"]), listed(range(9))
    ('a, b', '0, 1, 2, 3, 4 and 4 more')
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(str(each) for each in names[:SHOWN]) + more


def _columns(count: int, of: int) -> str:
    return f"{count} of {of} columns {'is' if count == 1 else 'are'}"


def column_warnings(rows: np.ndarray, names: Sequence[Any], intercept: bool = True) -> list[str]:
    """Of constant columns (which are the `intercept` where there is no other), and of those that others explain."""
    n, columns = rows.shape
    mean, steps = mean_and_steps(rows)
    constant = steps == 0
    said = []
    if constant.any() and intercept:
        which = [names[i] for i in np.flatnonzero(constant).tolist()]
        verb = "has" if len(which) == 1 else "have"
        said.append(f"{_columns(len(which), columns)} the same in every row and {verb} no weight: {listed(which)}")
    left = np.flatnonzero(~constant)
    if len(left) > n - 1:
        said.append(
            f"there are {len(left)} columns and {n} rows: many weights give the same predictions, "
            "and only the penalty chooses among them"
        )
    elif 1 < len(left) <= MOST_COLUMNS:
        said += _together((rows[:, left] - mean[left]) / steps[left], [names[i] for i in left.tolist()])
    return said


def _together(scaled: np.ndarray, names: Sequence[Any]) -> list[str]:
    correlation = scaled.T @ scaled / len(scaled)
    first, second = np.nonzero(np.triu(np.abs(correlation) >= CORRELATED, k=1))
    said = []
    for i, j in list(zip(first.tolist(), second.tolist(), strict=True))[:SHOWN]:
        how = "rise and fall together" if correlation[i, j] > 0 else "rise and fall against each other"
        said.append(
            f"{names[i]} and {names[j]} {how} (correlation {correlation[i, j]:.3f}): "
            "how the weight is shared between them says nothing"
        )
    if len(first) > SHOWN:
        said.append(f"so do {len(first) - SHOWN} other pairs of columns")
    values, vectors = np.linalg.eigh(correlation)
    null = values <= DEPENDENT * values[-1]
    taking_part = np.abs(vectors[:, null]).max(axis=1, initial=0) > 1e-3
    told = np.zeros(len(names), dtype=bool)
    told[np.concatenate([first, second])] = True
    if (taking_part & ~told).any():
        which = [names[i] for i in np.flatnonzero(taking_part).tolist()]
        said.append(
            f"{len(which)} columns depend on each other exactly: {listed(which)}; "
            "one of them could be left out without changing what can be predicted"
        )
    return said


def size_warnings(per_step: np.ndarray, names: Sequence[Any]) -> list[str]:
    """Of weights that are next to nothing beside the largest; (outputs, columns) weights a standard deviation."""
    sizes = np.abs(per_step).max(axis=0, initial=0.0)
    largest = sizes.max(initial=0.0)
    if not largest:
        return ["all weights are 0: the prediction is the same for every row"] if len(names) else []
    small = np.flatnonzero(sizes < SMALL * largest)
    if not len(small):
        return []
    return [
        f"{_columns(len(small), len(names))} next to nothing, less than {SMALL:g} of the largest weight: "
        f"{listed([names[i] for i in small.tolist()])}"
    ]


def large_warnings(per_step: np.ndarray, names: Sequence[Any]) -> list[str]:
    """Of log-odds a standard deviation that no table of ordinary size can bear out."""
    sizes = np.abs(per_step).max(axis=0, initial=0.0)
    large = [i for i in np.argsort(-sizes, kind="stable").tolist() if sizes[i] > LARGE]
    if not large:
        return []
    return [
        f"{_columns(len(large), len(names))} very large, more than {LARGE:g} in log-odds a standard deviation: "
        f"{listed([f'{names[i]} ({sizes[i]:.3g})' for i in large])}; a smaller C holds weights back"
    ]
