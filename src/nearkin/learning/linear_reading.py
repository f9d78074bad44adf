"""What linear models have in common: columns with names, rows in, weights and contributions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from nearkin.errors import ParameterError
from nearkin.learners import Reason
from nearkin.learning.column_weights import ColumnWeights, column_reasons
from nearkin.learning.named_columns import are_records, by_name, checked_names, need_sizes
from nearkin.search_parameters import whole_number


class LinearReading(BaseEstimator):  # type: ignore[misc]
    """An estimator whose scores are ``rows @ coef_.T + intercept_``, and which can be read by column.

    Subclasses set ``coef_``, ``intercept_``, and with `_keep_centre` where the rows lie that they saw.
    """

    feature_names: Sequence[Any] | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    # ---- rows --------------------------------------------------------------------------------------------------------

    def _take_rows(self, X: Any, y: Any, **how: Any) -> tuple[np.ndarray, np.ndarray]:
        rows, targets = validate_data(self, by_name(X, self.feature_names), y, dtype=np.float64, **how)
        if self.feature_names is not None:
            checked_names(self.feature_names, rows.shape[1])
        need_sizes(rows, self._names)
        return rows, targets

    def _checked(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        if are_records(X):
            return np.asarray(check_array(by_name(X, self._known_names())))
        rows: np.ndarray = validate_data(self, by_name(X, self.feature_names), dtype=np.float64, reset=False)
        return rows

    def _known_names(self) -> Sequence[Any] | None:
        if self.feature_names is not None:
            return self.feature_names
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else list(names)

    @property
    def _names(self) -> tuple[Any, ...]:
        names = self._known_names()
        return tuple(range(self.n_features_in_) if names is None else names)

    def _keep_centre(self, mean: np.ndarray, spread: np.ndarray | None) -> None:
        """Where the rows lie that contributions are counted from, and standard deviations (0 for constant columns)."""
        self._mean = mean
        self._steps: np.ndarray | None = spread

    def _scores(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows @ np.atleast_2d(self.coef_).T + np.atleast_1d(self.intercept_))

    def _varying(self) -> tuple[np.ndarray, list[Any]]:
        """Weights a standard deviation, and names, of the columns that are not constant."""
        steps = np.zeros(self.n_features_in_) if self._steps is None else self._steps
        names = [name for name, step in zip(self._names, steps, strict=True) if step > 0]
        return (np.atleast_2d(self.coef_) * steps)[:, steps > 0], names

    # ---- reading -----------------------------------------------------------------------------------------------------

    def weights(self) -> ColumnWeights:
        """Weight of each column, in its own unit and a standard deviation; print it, or take ``to_pandas()``."""
        check_is_fitted(self)
        labels = getattr(self, "classes_", None)
        return ColumnWeights(
            names=self._names,
            per_unit=np.atleast_2d(self.coef_),
            steps=self._steps,
            intercept=np.atleast_1d(self.intercept_),
            labels=None if labels is None else tuple(labels.tolist()),
        )

    def contributions(self, X: Any) -> np.ndarray:
        """(m, columns) what each column of each row adds to the prediction, see the class."""
        raise NotImplementedError

    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        """The `most` columns of each row that add the largest `contributions`, as shares of all of them."""
        return column_reasons(self._names, self.contributions(X), whole_number("most", most, 1))


def given_weights(weights: Any) -> tuple[np.ndarray, list[Any] | None]:
    """(columns,) or (outputs, columns) weights, and their names where a mapping was given.

    Raises
    ------
    ParameterError
        No weights, or one that is no finite number.
    """
    names = list(weights) if isinstance(weights, Mapping) else None
    try:
        numbers = np.array(list(weights.values()) if isinstance(weights, Mapping) else weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"weights are {weights!r}, numbers expected") from error
    if numbers.ndim not in (1, 2) or not numbers.size:
        raise ParameterError(f"weights have shape {numbers.shape}, (columns,) or (labels, columns) expected")
    if not np.isfinite(numbers).all():
        raise ParameterError(f"{int((~np.isfinite(numbers)).sum())} of {numbers.size} weights are not finite")
    return numbers, names


def given_intercept(intercept: Any) -> np.ndarray:
    """One number, or several, as float64.

    Raises
    ------
    ParameterError
        What is no finite number.
    """
    try:
        numbers = np.array(intercept, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"intercept is {intercept!r}, numbers expected") from error
    if isinstance(intercept, str) or not np.isfinite(numbers).all():
        raise ParameterError(f"intercept is {intercept!r}, finite numbers expected")
    return numbers


def positive(value: Any) -> bool:
    """Whether a value is a finite number above 0.

    >>> positive(0.5), positive(0), positive("auto"), positive(True)
    (True, False, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_) and 0 < float(value) < np.inf
