"""What a linear model weighs: a table of its weights by column, and what each column adds to a prediction.

>>> print(ColumnWeights(("sqft", "age"), np.array([[150.0, -5000.0]]), steps=np.array([400.0, 5.0]), intercept=np.array([5e4])))
column  weight a unit    a step  share
sqft             +150    +6e+04    71%
age             -5000  -2.5e+04    29%
a step is one standard deviation; intercept +50000
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nearkin.learners import Reason
from nearkin.results import columns_to_pandas

if TYPE_CHECKING:
    import pandas

SHOWN_CLASSES = 6
"""Up to so many labels have a column each in the printed table; of more, the one that the column speaks for most, and against."""


class Scale(NamedTuple):
    """Mean and standard deviation (1 where it is 0) of each column.

    >>> Scale.of(np.array([[0.0, 3.0], [2.0, 3.0]])).spread.tolist()
    [1.0, 1.0]
    """

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, centre: bool = True) -> Scale:
        """Of (n, columns) rows; without `centre`, as where there is no intercept to make up for it, the mean counts as 0."""
        mean, steps = mean_and_steps(rows)
        return cls(mean if centre else np.zeros_like(mean), np.where(steps > 0, steps, 1.0))

    @classmethod
    def none(cls, columns: int) -> Scale:
        """That changes nothing."""
        return cls(np.zeros(columns), np.ones(columns))

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Rows in standard deviations from the mean."""
        return np.asarray((rows - self.mean) / self.spread)


def mean_and_steps(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, 0 where the column is constant or differs by rounding only.

    >>> mean_and_steps(np.array([[0.0, 3.0], [2.0, 3.0]]))[1].tolist()
    [1.0, 0.0]
    """
    mean, steps = rows.mean(axis=0), rows.std(axis=0)
    constant = (steps <= 10 * np.finfo(np.float64).eps * np.abs(mean)) | (rows.min(axis=0) == rows.max(axis=0))
    return mean, np.where(constant, 0.0, steps)


@dataclass(frozen=True)
class ColumnWeights:
    """Weights of a linear model by column; prints as a table, the largest first.

    Attributes
    ----------
    names
        (columns,) names, or numbers where columns have none.
    per_unit
        (1, columns) float64, or (classes, columns) for three or more labels: what one unit of the column adds to the
        prediction; for labels, to the log-odds of the last one, or to the score of each.
    steps
        (columns,) standard deviation of each column, 0 where it is constant; None where the model saw no rows.
    intercept
        (1,) or (classes,) prediction where all columns are 0.
    labels
        None for numbers.
    """

    names: tuple[Any, ...]
    per_unit: np.ndarray
    steps: np.ndarray | None
    intercept: np.ndarray
    labels: tuple[Any, ...] | None = None

    @property
    def per_step(self) -> np.ndarray | None:
        """As `per_unit`, for one standard deviation of the column: these compare. None where the model saw no rows."""
        return None if self.steps is None else np.asarray(self.per_unit * self.steps)

    @property
    def shares(self) -> np.ndarray | None:
        """(columns,) importance: mean size of `per_step` over labels as a share of all columns, with a sum of 1."""
        if self.per_step is None:
            return None
        sizes = np.abs(self.per_step).mean(axis=0)
        return np.asarray(sizes / (sizes.sum() or 1.0))

    def __getitem__(self, name: Any) -> Any:
        """Weight of a unit of the column of that name: a number, or one for each of several labels."""
        weights = self.per_unit[:, self.names.index(name)]
        return float(weights[0]) if len(weights) == 1 else weights

    def order(self) -> np.ndarray:
        """Numbers of the columns, the most important first."""
        sizes = np.abs(self.per_unit).mean(axis=0) if self.shares is None else self.shares
        return np.argsort(-sizes, kind="stable")

    def to_columns(self) -> dict[str, np.ndarray]:
        """The whole table by heading, the most important column first."""
        order, shares, steps = self.order(), self.shares, self.per_step
        table: dict[str, np.ndarray] = {"column": np.array([self.names[i] for i in order], dtype=object)}
        several = len(self.per_unit) > 1 and self.labels is not None
        for row, weights in enumerate(self.per_unit):
            about = f" for {self.labels[row]}" if several and self.labels is not None else ""
            table[f"weight a unit{about}"] = weights[order]
            if steps is not None:
                table[f"a step{about}"] = steps[row, order]
        if self.labels is not None and not several and steps is not None:
            table["odds a step"] = np.exp(np.clip(steps[0, order], -700, 700))
        if shares is not None:
            table["share"] = shares[order]
        return table

    def to_pandas(self) -> pandas.DataFrame:
        """The whole table as a DataFrame (needs pandas)."""
        return columns_to_pandas(self.to_columns())

    def top(self, count: int) -> str:
        """The printed table of the `count` most important columns."""
        cells = {name: _cells(name, column[:count]) for name, column in self._shown().items()}
        wide = {name: max(map(len, [name, *column])) for name, column in cells.items()}
        lines = ["  ".join(_aligned(name, name, wide[name]) for name in cells)]
        lines += [
            "  ".join(_aligned(name, column[row], wide[name]) for name, column in cells.items())
            for row in range(len(next(iter(cells.values()))))
        ]
        left = len(self.names) - count
        return "\n".join(
            [each.rstrip() for each in lines] + ([f"and {left} more"] if left > 0 else []) + [self._foot()]
        )

    def __str__(self) -> str:
        return self.top(len(self.names))

    def _shown(self) -> dict[str, np.ndarray]:
        table = self.to_columns()
        if len(self.per_unit) == 1 or self.labels is None:
            return table
        weights = (self.per_unit if self.per_step is None else self.per_step)[:, self.order()]
        what = "a unit" if self.per_step is None else "a step"
        shown = {"column": table["column"]}
        if len(self.labels) <= SHOWN_CLASSES:
            shown |= {f"{what} for {label}": weights[row] for row, label in enumerate(self.labels)}
        else:
            for heading, rows in (("most for", weights.argmax(axis=0)), ("most against", weights.argmin(axis=0))):
                texts = [f"{self.labels[row]} {weights[row, i]:+.3g}" for i, row in enumerate(rows)]
                shown[heading] = np.array(texts, dtype=object)
        return shown | ({"share": table["share"]} if "share" in table else {})

    def _foot(self) -> str:
        parts = [] if self.steps is None else ["a step is one standard deviation"]
        if self.labels is not None and len(self.per_unit) == 1:
            parts.append(f"weights speak for {self.labels[1]} and against {self.labels[0]}")
        if len(self.per_unit) == 1:
            parts.append(f"intercept {self.intercept[0]:+.6g}")
        return "; ".join(parts)


def _cells(name: str, values: np.ndarray) -> list[str]:
    if name == "share":
        return [f"{value:.0%}" for value in values]
    if name == "odds a step":
        return [f"x {value:.3g}" for value in values]
    return [
        value if isinstance(value, str) else f"{value}" if name == "column" else f"{value:+.4g}" for value in values
    ]


def _aligned(heading: str, text: str, width: int) -> str:
    return text.ljust(width) if heading in ("column", "most for", "most against") else text.rjust(width)


def column_reasons(names: tuple[Any, ...], contributions: np.ndarray, most: int) -> list[list[Reason]]:
    """For each row of (m, columns) contributions the `most` largest as shares: sizes of all columns' shares add up to 1."""
    totals = np.abs(contributions).sum(axis=1, keepdims=True)
    shares = contributions / np.where(totals > 0, totals, 1)
    order = np.argsort(-np.abs(shares), axis=1, kind="stable")[:, :most]
    return [
        [Reason(names[j], None, None, float(row[j])) for j in first] for row, first in zip(shares, order, strict=True)
    ]
