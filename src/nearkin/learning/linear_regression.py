"""Linear regression that can be read: weights by column and unit, what each column adds, and what to distrust.

>>> import nearkin as nk
>>> price = nk.LinearRegressor.from_weights({"sqft": 150, "bedrooms": 30_000, "age": -2_000, "distance": -5_000}, 50_000)
>>> price.predict({"sqft": 2000, "bedrooms": 3, "age": 5, "distance": 10}).tolist()
[380000.0]
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LassoCV, LinearRegression, Ridge, RidgeCV
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted

from nearkin.errors import ParameterError
from nearkin.learning.column_weights import Scale, mean_and_steps
from nearkin.learning.linear_reading import LinearReading, given_weights, positive
from nearkin.learning.named_columns import checked_names
from nearkin.learning.seeds import seed_of
from nearkin.learning.weight_warnings import column_warnings, size_warnings
from nearkin.search_parameters import whole_number

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-4, 6, 41))
"""Strengths of ridge that ``alpha="auto"`` tries."""


class LinearRegressor(RegressorMixin, LinearReading):  # type: ignore[misc]
    """Numbers as weighed sums of columns: scikit-learn's least squares, ridge or lasso, read in the columns' names and units.

    Sources: A. Hoerl, R. Kennard, "Ridge regression" (1970); R. Tibshirani, "Regression shrinkage and selection via the
    lasso" (1996).

    Parameters
    ----------
    method
        ``"ols"``; ``"ridge"``, ‖y - Xw‖² + alpha · ‖w‖²; ``"lasso"``, ‖y - Xw‖² / 2n + alpha · ‖w‖₁, where weights that are not
        needed become 0.
    alpha
        Strength of the penalty as in scikit-learn, or ``"auto"``: the one with the least squared error on rows held out, each row
        alone for ridge, in folds for lasso. Least squares have none.
    standardize
        Learn on columns in standard deviations, so that the penalty treats all alike. Weights come out in the columns' units.
    fit_intercept
        Whether there is one; it has no penalty. Without one columns are not centred either, and a row of zeros gets 0.
    cv
        Folds for lasso with ``alpha="auto"``.
    max_iter
        Iterations of lasso at most.
    random_state
        Seed of the folds; None for the setting.
    feature_names
        Names of the columns. Records and DataFrames are then read by these names, whatever their order.

    Attributes
    ----------
    coef_ : ndarray
        (columns,) weights in the units of the rows.
    intercept_ : float
        Prediction where all columns are 0.
    base_ : float
        Prediction that `contributions` are counted from: for the mean of the training rows.
    alpha_ : float or None
        The alpha that was used.
    n_iter_ : int
        Iterations of lasso, else 1.
    warnings_ : list of str
        What makes the weights hard to read: constant and dependent columns, weights next to nothing, an alpha at the end of what
        was tried, a solver that was not done.
    """

    def __init__(
        self,
        method: Literal["ols", "ridge", "lasso"] = "ols",
        *,
        alpha: float | Literal["auto"] = 1.0,
        standardize: bool = True,
        fit_intercept: bool = True,
        cv: int = 5,
        max_iter: int = 10_000,
        random_state: Any = None,
        feature_names: Sequence[Any] | None = None,
    ) -> None:
        self.method = method
        self.alpha = alpha
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.max_iter = max_iter
        self.random_state = random_state
        self.feature_names = feature_names

    @classmethod
    def from_weights(cls, weights: Any, intercept: float = 0.0, *, feature_names: Sequence[Any] | None = None) -> Self:
        """A regressor with given weights, fitted without data; it predicts from arrays, records and DataFrames.

        Parameters
        ----------
        weights
            Name to weight, or (columns,) numbers.

        Raises
        ------
        ParameterError
            Weights that are no finite numbers, or another number of names.
        """
        numbers, names = given_weights(weights)
        if numbers.ndim != 1:
            raise ParameterError(f"weights have shape {numbers.shape}, (columns,) expected")
        if not isinstance(intercept, Real) or not np.isfinite(float(intercept)):
            raise ParameterError(f"intercept is {intercept!r}, a finite number expected")
        model = cls(feature_names=names if feature_names is None else feature_names)
        if model.feature_names is not None:
            checked_names(model.feature_names, len(numbers))
        model.coef_, model.intercept_, model.n_features_in_ = numbers, float(intercept), len(numbers)
        model.base_, model.alpha_, model.warnings_ = float(intercept), None, []
        model._keep_centre(np.zeros(len(numbers)), None)
        return model

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from (n, columns) rows (or records, or a DataFrame) and n numbers.

        Raises
        ------
        ParameterError
            An option that there is not. What is no matrix of finite numbers is refused by scikit-learn, with a ValueError.
        """
        self._need_options()
        rows, numbers = self._take_rows(X, y, y_numeric=True)
        numbers = np.asarray(numbers, dtype=np.float64)
        scale = Scale.of(rows, centre=self.fit_intercept) if self.standardize else Scale.none(rows.shape[1])
        solver = self._solver(len(rows))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            solver.fit(scale.apply(rows), numbers)
        self.coef_ = solver.coef_ / scale.spread
        self.intercept_ = float(solver.intercept_ - self.coef_ @ scale.mean)
        self.n_iter_ = int(np.max(getattr(solver, "n_iter_", None) or 1))
        self.alpha_ = None if self.method == "ols" else float(getattr(solver, "alpha_", self.alpha))
        self._keep_centre(*mean_and_steps(rows))
        self.base_ = float(self.intercept_ + self.coef_ @ self._mean)
        self.warnings_ = self._warnings(rows) + self._unfinished(caught)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(m,) float64 numbers."""
        return self._scores(self._checked(X))[:, 0]

    def contributions(self, X: Any) -> np.ndarray:
        """(m, columns) what each column adds to `base_`; with it they sum to the prediction.

        Counted from the mean of the training rows (from 0 for given weights): a column with its mean value adds nothing.
        """
        check_is_fitted(self)
        return np.asarray((self._checked(X) - self._mean) * self.coef_)

    def _solver(self, rows: int) -> Any:
        if self.method == "ols":
            return LinearRegression(fit_intercept=self.fit_intercept)
        if self.method == "ridge":
            if self.alpha == "auto":
                if rows < 2:
                    raise ParameterError(
                        f"alpha='auto' holds rows out and needs two or more, there are n_samples={rows}"
                    )
                return RidgeCV(ALPHAS, fit_intercept=self.fit_intercept)
            return Ridge(self.alpha, fit_intercept=self.fit_intercept)
        if self.alpha == "auto":
            if rows < self.cv:
                raise ParameterError(
                    f"alpha='auto' needs a row for each of the {self.cv} folds, there are n_samples={rows}"
                )
            folds = KFold(self.cv, shuffle=True, random_state=seed_of(self.random_state))
            return LassoCV(cv=folds, fit_intercept=self.fit_intercept, max_iter=self.max_iter)
        return Lasso(self.alpha, fit_intercept=self.fit_intercept, max_iter=self.max_iter)

    def _need_options(self) -> None:
        if self.method not in ("ols", "ridge", "lasso"):
            raise ParameterError(f"method is {self.method!r}, one of ols, ridge, lasso expected")
        given = self.alpha
        if given != "auto" and not positive(given):
            raise ParameterError(
                f"alpha is {given!r}, a number above 0 or 'auto' expected", hint="without penalty: ols"
            )
        whole_number("max_iter", self.max_iter, 1)
        whole_number("cv", self.cv, 2)

    def _warnings(self, rows: np.ndarray) -> list[str]:
        said = column_warnings(rows, self._names, self.fit_intercept) + size_warnings(*self._varying())
        if self.method == "ridge" and self.alpha == "auto" and self.alpha_ in (ALPHAS[0], ALPHAS[-1]):
            said.append(f"alpha={self.alpha_:g} is at the end of what was tried, {ALPHAS[0]:g} to {ALPHAS[-1]:g}")
        return said

    def _unfinished(self, caught: list[warnings.WarningMessage]) -> list[str]:
        unfinished = any(issubclass(each.category, ConvergenceWarning) for each in caught)
        others = [str(each.message) for each in caught if not issubclass(each.category, ConvergenceWarning)]
        said = list(dict.fromkeys(others))
        if unfinished:
            said.append(f"the solver was not done after {self.max_iter} iterations: raise max_iter or alpha")
        return said
