"""Gower's distance of rows with numbers and categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from nearkin.errors import ParameterError, VectorError
from nearkin.metrics import ALL_AXIOMS, Metric, need_fitted
from nearkin.state import State
from nearkin_plugins.distances.blocks import one_against_many
from nearkin_plugins.distances.number_lists import Numbers, as_numbers

ANY_DIFFERENCE = 1e30
"""What differences of categories are multiplied by before they are cut off at 1."""


def gower(a: np.ndarray, b: np.ndarray, params: np.ndarray) -> Any:
    """Mean over the columns of scaled differences cut off at 1, over two rows."""
    total = 0.0
    for i in range(a.shape[0]):
        share = abs(a[i] - b[i]) * params[i]
        share = min(share, 1.0)
        total += share
    return total / a.shape[0]


class Gower(Metric):
    """Mean over the columns of |a_i - b_i| / range_i for numbers, and of 0 (same) or 1 (other) for categories; from 0 to 1.

    The ranges, largest less smallest value, are those of the rows given to `fit`; a difference beyond the range counts as 1, and
    so does any difference in a column that did not vary. Categories are numbers too, codes whose order means nothing.
    Codecs that lose something turn a category into no category at all, and are refused where some columns are categories.
    There are no missing values: rows with NaN are refused, so fill numbers in, and give a missing category a code of its own.

    Source: J. Gower, "A general coefficient of similarity and some of its properties" (1971). Axioms: all four. Reduces to
    nothing: a compiled formula, `pairwise` in numpy where there is no numba.

    Parameters
    ----------
    categorical
        Columns that are categories, counted from 0: text as ``2/5``, or any sequence of numbers; the others are numbers.

    Raises
    ------
    ParameterError
        No column numbers, or a column that the rows do not have.

    Examples
    --------
    Height of 150 to 200 cm, and a code for the colour of the eyes: 10 cm of 50 and another colour are (0.2 + 1) / 2 apart.

    >>> metric = Gower(categorical=[1])
    >>> metric.fit(np.float32([[150, 1], [200, 3], [180, 2]]))
    >>> metric.distances(np.float32([[170, 2]]), np.float32([[180, 1], [180, 2]])).round(4).tolist()
    [[0.6, 0.1]]
    """

    name = "gower"
    axioms = ALL_AXIOMS
    kernel = staticmethod(gower)
    needs_fit = True
    similarity_rule = "Gower's coefficient, 1 - distance, from 0 to 1"

    def __init__(self, categorical: Numbers | None = None) -> None:
        self._set(() if categorical is None or len(categorical) == 0 else _columns(categorical))
        self._scales: np.ndarray | None = None

    def _set(self, categorical: tuple[int, ...]) -> None:
        self.categorical = categorical
        self.needs_exact_rows = bool(categorical)

    def fit(self, sample: np.ndarray) -> None:
        """Learn the ranges of the columns from (n, dim) rows.

        Raises
        ------
        VectorError
            No rows.
        ParameterError
            A categorical column that the rows do not have.
        """
        if not len(sample):
            raise VectorError(f"metric {self.name!r} needs at least 1 row to fit, got 0")
        dim = sample.shape[1]
        if self.categorical and max(self.categorical) >= dim:
            raise ParameterError(
                f"categorical names column {max(self.categorical)}, and the rows have columns 0 to {dim - 1}"
            )
        spread = sample.max(axis=0).astype(np.float64) - sample.min(axis=0)
        spread[list(self.categorical)] = 0.0
        self._scales = (1.0 / np.maximum(spread, 1.0 / ANY_DIFFERENCE)).astype(np.float32)

    def kernel_params(self) -> np.ndarray | None:
        return self._scales

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        need_fitted(self, self._scales)
        assert self._scales is not None
        scales = self._scales.astype(np.float64)
        if vectors.shape[1] != len(scales):
            raise VectorError(f"vectors have {vectors.shape[1]} columns, metric 'gower' was fitted on {len(scales)}")

        def distance(row: np.ndarray, rows: np.ndarray) -> np.ndarray:
            parts = np.abs(rows - row)
            parts *= scales
            return np.asarray(np.minimum(parts, 1.0, out=parts).mean(axis=1))

        return one_against_many(distance, queries, vectors)

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        return np.asarray(1.0 - distances)

    def state(self) -> State:
        arrays = {} if self._scales is None else {"scales": self._scales}
        return State(arrays, {"categorical": list(self.categorical)})

    def restore(self, state: State) -> None:
        self._set(tuple(int(each) for each in state.meta["categorical"]))
        self._scales = state.arrays.get("scales")


def _columns(given: Numbers) -> tuple[int, ...]:
    numbers = as_numbers(given, "categorical")
    if (numbers != np.floor(numbers)).any() or numbers.min() < 0:
        raise ParameterError(
            f"categorical is {'/'.join(f'{each:g}' for each in numbers)}, numbers of columns from 0 on expected"
        )
    return tuple(sorted({int(each) for each in numbers}))
