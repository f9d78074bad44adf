"""Logistic regression that can be read: probabilities, distance to the boundary, weights by column, and what to distrust.

>>> import nearkin as nk
>>> rows = [[20, 1], [25, 3], [30, 2], [50, 2], [55, 1], [60, 3]]
>>> model = nk.LogisticClassifier(feature_names=["age", "shoes"]).fit(rows, ["no", "no", "no", "yes", "yes", "yes"])
>>> model.predict([{"age": 58, "shoes": 2}]).tolist(), model.reasons([[58, 2]])[0][0].what
(['yes'], 'age')
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from nearkin.errors import ParameterError
from nearkin.learning.column_weights import Scale, mean_and_steps
from nearkin.learning.linear_reading import LinearReading, given_intercept, given_weights, positive
from nearkin.learning.logistic_loss import descend
from nearkin.learning.logistic_stream import Stream
from nearkin.learning.logistic_strength import choose_strength
from nearkin.learning.named_columns import checked_names
from nearkin.learning.seeds import seed_of
from nearkin.learning.weight_warnings import column_warnings, large_warnings, size_warnings
from nearkin.search_parameters import whole_number

Penalty = Literal["l1", "l2", "elastic"]


def _streams(model: LogisticClassifier) -> bool:
    if model.solver != "sgd":
        raise AttributeError(f"partial_fit needs solver='sgd', this one has solver={model.solver!r}")
    return True


class LogisticClassifier(ClassifierMixin, LinearReading):  # type: ignore[misc]
    """Multinomial logistic regression over standardized columns, read in the columns' names and units.

    With ``solver="lbfgs"`` the weights are those of scikit-learn's ``LogisticRegression`` on standardized rows, for every
    penalty. With ``solver="sgd"`` it is stochastic gradient descent with averaged weights (one label against the rest, where
    there are three or more), which also learns from streams: scikit-learn's ``SGDClassifier``, with L1 slower proximal steps.

    Sources: D. Cox, "The regression analysis of binary sequences" (1958); H. Zou, T. Hastie, "Regularization and variable
    selection via the elastic net" (2005).

    Parameters
    ----------
    C
        Inverse strength of the penalty as in scikit-learn, or ``"auto"``: of 0.0001, 0.001, ..., 10,000 the one with the least
        log-loss in cross-validation.
    penalty
        ``"l2"``, ``"l1"`` (weights that are not needed become 0) or ``"elastic"``, a mixture.
    l1_ratio
        Share of L1 in the mixture.
    standardize
        Learn on columns in standard deviations, so that the penalty treats all alike. Weights come out in the columns' units.
    fit_intercept
        Whether there is one; it has no penalty (with sgd that of the weights, which is small). Without one columns are not centred
        either, and a row of zeros is on the boundary.
    solver
        ``"lbfgs"``, or ``"sgd"`` for very many rows and for `partial_fit`.
    cv
        Folds for ``C="auto"``.
    max_iter
        Iterations (lbfgs) or rounds over the rows (sgd) at most.
    tol
        lbfgs: the largest slope that counts as flat; besides, ten iterations that gain less than ten times this share of the
        objective are the end, see `nearkin.learning.logistic_loss.descend`. sgd: less gain in log-loss than this in five rounds
        is the end.
    random_state
        Seed of folds and of the order of rows; None for the setting.
    feature_names
        Names of the columns. Records and DataFrames are then read by these names, whatever their order.

    Attributes
    ----------
    classes_ : ndarray
        Labels, sorted.
    coef_, intercept_ : ndarray
        (1, columns) and (1,), or one row a label for three or more; in the units of the rows.
    C_ : float
        The C that was used.
    cv_losses_ : dict
        For ``C="auto"``: C to mean log-loss on held-out rows and its standard error.
    loss_curve_ : ndarray
        Mean log-loss on the training rows, without penalty, at the start and after each iteration or round; for `partial_fit`
        of each batch, before it was learned from.
    n_iter_ : int
        Iterations, rounds or batches.
    warnings_ : list of str
        What makes the weights hard to read: constant and dependent columns, weights that are very large or next to nothing,
        labels that a boundary divides without error, a solver that was not done.
    """

    def __init__(
        self,
        C: float | Literal["auto"] = 1.0,
        *,
        penalty: Penalty = "l2",
        l1_ratio: float = 0.5,
        standardize: bool = True,
        fit_intercept: bool = True,
        solver: Literal["lbfgs", "sgd"] = "lbfgs",
        cv: int = 5,
        max_iter: int = 500,
        tol: float = 1e-4,
        random_state: Any = None,
        feature_names: Sequence[Any] | None = None,
    ) -> None:
        self.C = C
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.cv = cv
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.feature_names = feature_names

    @classmethod
    def from_weights(
        cls,
        weights: Any,
        intercept: Any = 0.0,
        *,
        classes: Sequence[Any] = (False, True),
        feature_names: Sequence[Any] | None = None,
    ) -> Self:
        """A classifier with given weights, fitted without data.

        Parameters
        ----------
        weights
            Name to weight, or (columns,), which speak for the second label; for three or more labels (labels, columns).
        intercept
            A number, or one for each of three or more labels.
        classes
            The labels, sorted.

        Raises
        ------
        ParameterError
            Weights, intercepts and labels that do not go together.

        Examples
        --------
        >>> model = LogisticClassifier.from_weights({"debt": -2.0, "income": 0.5}, 1.0, classes=("bad", "good"))
        >>> model.predict([{"income": 3, "debt": 2}]).tolist()
        ['bad']
        """
        numbers, names = given_weights(weights)
        labels = np.asarray(classes)
        if len(labels) < 2 or not np.array_equal(np.unique(labels), labels):
            raise ParameterError(f"classes are {list(classes)!r}, two or more different labels in order expected")
        coef = np.atleast_2d(numbers)
        rows = 1 if len(labels) == 2 else len(labels)
        bias = np.atleast_1d(given_intercept(intercept))
        if len(coef) != rows or bias.shape != (rows,):
            raise ParameterError(
                f"{len(labels)} labels need weights of {rows} rows and as many intercepts, got {len(coef)} and {bias.size}"
            )
        model = cls(feature_names=names if feature_names is None else feature_names)
        if model.feature_names is not None:
            checked_names(model.feature_names, coef.shape[1])
        model.classes_, model.coef_, model.intercept_ = labels, coef, bias
        model.n_features_in_ = coef.shape[1]
        model._against_rest = False
        model._keep_centre(np.zeros(coef.shape[1]), None)
        model.warnings_ = []
        return model

    # ---- learning ----------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from (n, columns) rows (or records, or a DataFrame) and n labels of at least two kinds.

        Raises
        ------
        ParameterError
            An option that there is not; one label only; ``C="auto"`` with a label that has one row. What is no matrix of
            finite numbers is refused by scikit-learn, with a ValueError.
        """
        self._need_options()
        for earlier in ("_stream", "cv_losses_"):
            self.__dict__.pop(earlier, None)
        rows, targets = self._take_rows(X, y)
        check_classification_targets(targets)
        self.classes_, codes = np.unique(targets, return_inverse=True)
        if len(self.classes_) < 2:
            raise ParameterError("y has one class, the same label in every row, and there is nothing to tell it from")
        self._keep_centre(*mean_and_steps(rows))
        scale = self._scale(rows) if self.solver == "sgd" else Scale.of(rows, centre=self.fit_intercept)
        unfinished = (self._stream_through if self.solver == "sgd" else self._descend)(rows, codes, scale)
        self._put_back(self._inner, scale)
        self.warnings_ = self._warnings(rows, codes) + unfinished
        return self

    @available_if(_streams)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Sequence[Any] | None = None) -> Self:
        """Learn from a batch of a stream, its rows in order, each once; only with ``solver="sgd"``.

        Goes on from an earlier `fit` too. The first batch should be a large one: columns are standardized by it, and the length
        of steps is found. How the stream is cut into batches after it does not matter.

        Parameters
        ----------
        classes
            All labels that may come, at the first call.

        Raises
        ------
        ParameterError
            No `classes` at the first call, other ones later, or a label that is not among them.
        """
        self._need_options()
        first = not hasattr(self, "_stream")
        rows, targets = self._take_rows(X, y, reset=first)
        check_classification_targets(targets)
        if first:
            self._begin(rows, classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ParameterError(
                f"classes are {list(classes)!r}, and were {self.classes_.tolist()!r} at the first call"
            )
        known = np.isin(targets, self.classes_)
        if not known.all():
            raise ParameterError(
                f"label {targets[~known].tolist()[0]!r} is not among the classes {self.classes_.tolist()!r}"
            )
        self._stream.learn(rows, np.searchsorted(self.classes_, targets))
        self._inner, self.loss_curve_ = self._stream.weights(), np.array(self._stream.losses)
        self.n_iter_ = len(self.loss_curve_)
        self._keep_centre(*self._stream.centre())
        self._put_back(self._inner, self._stream.scale)
        self.warnings_ = self._stream.warnings() + self._weight_warnings()
        return self

    def _begin(self, rows: np.ndarray, classes: Sequence[Any] | None) -> None:
        if classes is None:
            raise ParameterError("classes must be passed on the first call to partial_fit")
        labels = np.unique(np.asarray(classes))
        if len(labels) < 2:
            raise ParameterError(f"classes has one class, {labels.tolist()!r}, and there is nothing to tell it from")
        self.classes_ = labels
        self._begin_stream(self._scale(rows))

    def _scale(self, rows: np.ndarray) -> Scale:
        return Scale.of(rows, centre=self.fit_intercept) if self.standardize else Scale.none(rows.shape[1])

    def _begin_stream(self, scale: Scale) -> None:
        self.C_ = float(self.C)
        self._stream = Stream(
            len(self.classes_), scale, self.C_, self._l1(), self.fit_intercept, seed_of(self.random_state)
        )

    def _stream_through(self, rows: np.ndarray, codes: np.ndarray, scale: Scale) -> list[str]:
        """Rounds over all rows until the loss no longer falls; `partial_fit` may go on from there."""
        self._begin_stream(scale)
        done = self._stream.rounds(rows, codes, self.max_iter, self.tol)
        self._inner, self.loss_curve_ = self._stream.weights(), np.array(self._stream.losses)
        self.n_iter_ = len(self.loss_curve_) - 1
        return [] if done else [f"the loss still fell after {self.max_iter} rounds: raise max_iter"]

    def _descend(self, rows: np.ndarray, codes: np.ndarray, scale: Scale) -> list[str]:
        count = len(self.classes_)
        how: dict[str, Any] = {"l1_ratio": self._l1(), "intercept": self.fit_intercept}
        how |= {"max_iter": self.max_iter, "tol": self.tol}
        self.C_ = self._strength(rows, codes, how) if self.C == "auto" else float(self.C)
        units = None if self.standardize else 1 / scale.spread
        found = descend(scale.apply(rows), codes, count, C=self.C_, units=units, **how)
        self._inner, self.loss_curve_, self.n_iter_ = found.weights, found.losses, max(1, found.iterations)
        if found.converged:
            return []
        hint = "raise max_iter" if found.iterations == self.max_iter else "floats tell no more, raise tol or lower C"
        return [f"the solver was not done after {found.iterations} iterations: {hint}"]

    def _strength(self, rows: np.ndarray, codes: np.ndarray, how: dict[str, Any]) -> float:
        count, seed = len(self.classes_), seed_of(self.random_state)
        found = choose_strength(rows, codes, count, folds=self.cv, seed=seed, scaled=self.standardize, **how)
        self.cv_losses_ = dict(found.losses)
        return found.C

    def _put_back(self, inner: np.ndarray, scale: Scale) -> None:
        """Weights of scaled columns as weights of the rows' own units, and how they make probabilities."""
        self._against_rest = self.solver == "sgd"
        self.coef_ = inner[:, :-1] / scale.spread
        self.intercept_ = inner[:, -1] - self.coef_ @ scale.mean

    def _l1(self) -> float:
        return {"l2": 0.0, "l1": 1.0, "elastic": float(self.l1_ratio)}[self.penalty]

    def _need_options(self) -> None:
        self._need_names()
        if self.C == "auto" and self.solver == "sgd":
            raise ParameterError("C='auto' needs solver='lbfgs'", hint="give C as a number")
        if self.C != "auto" and not positive(self.C):
            raise ParameterError(f"C is {self.C!r}, a number above 0 or 'auto' expected")
        if not 0 <= self.l1_ratio <= 1:
            raise ParameterError(f"l1_ratio is {self.l1_ratio!r}, a number from 0 to 1 expected")
        if not positive(self.tol):
            raise ParameterError(f"tol is {self.tol!r}, a number above 0 expected")
        whole_number("max_iter", self.max_iter, 1)
        whole_number("cv", self.cv, 2)

    def _need_names(self) -> None:
        if self.penalty not in ("l1", "l2", "elastic"):
            raise ParameterError(f"penalty is {self.penalty!r}, one of l1, l2, elastic expected")
        if self.solver not in ("lbfgs", "sgd"):
            raise ParameterError(f"solver is {self.solver!r}, one of lbfgs, sgd expected")

    # ---- what it says ------------------------------------------------------------------------------------------------

    def decision_function(self, X: Any) -> np.ndarray:
        """(m,) log-odds of the second of two labels; (m, classes) scores of three or more."""
        scores = self._scores(self._checked(X))
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """(m,) labels."""
        codes = self._both(self._checked(X)).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: Any) -> np.ndarray:
        """(m, classes) float64 probabilities, in the order of `classes_`."""
        scores = self._scores(self._checked(X))
        if len(self.classes_) == 2:
            return np.asarray(np.exp(-np.logaddexp(0, np.concatenate([scores, -scores], axis=1))))
        logarithms = -np.logaddexp(0, -scores) if self._against_rest else scores
        shares = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def signed_distance(self, X: Any) -> np.ndarray:
        """(m,) Euclidean distance of each row to the boundary, in the units of the rows.

        For two labels it is positive on the side of the second. For more it is the distance to the nearest boundary between the
        predicted label and another one, and never negative. Where there is no boundary, because weights do not differ, it is
        infinite.
        """
        rows = self._checked(X)
        if len(self.classes_) == 2:
            scores, norm = self._scores(rows)[:, 0], float(np.linalg.norm(self.coef_))
            return np.asarray(scores / norm if norm else np.where(scores < 0, -np.inf, np.inf))
        scores = self._scores(rows)
        best, index = scores.argmax(axis=1), np.arange(len(rows))
        squares = self.coef_ @ self.coef_.T
        sizes = np.diag(squares)
        norms = np.sqrt(np.maximum(sizes[:, None] + sizes[None] - 2 * squares, 0))[best]
        lead = scores[index, best][:, None] - scores
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.where(norms > 0, lead / norms, np.inf)
        apart[index, best] = np.inf
        return np.asarray(apart.min(axis=1))

    def contributions(self, X: Any) -> np.ndarray:
        """(m, columns) what each column adds to the lead, in score, of the predicted label over the next best one.

        Counted from the mean of the training rows (from 0 for given weights): a column with its mean value adds nothing.
        """
        rows = self._checked(X)
        order = np.argsort(-self._both(rows), axis=1, kind="stable")
        coef = np.concatenate([np.zeros_like(self.coef_), self.coef_]) if len(self.classes_) == 2 else self.coef_
        return np.asarray((rows - self._mean) * (coef[order[:, 0]] - coef[order[:, 1]]))

    def _both(self, rows: np.ndarray) -> np.ndarray:
        scores = self._scores(rows)
        return np.concatenate([np.zeros_like(scores), scores], axis=1) if len(self.classes_) == 2 else scores

    # ---- what to distrust --------------------------------------------------------------------------------------------

    def _warnings(self, rows: np.ndarray, codes: np.ndarray) -> list[str]:
        said = column_warnings(rows, self._names, self.fit_intercept) + self._weight_warnings()
        if (self._both(rows).argmax(axis=1) == codes).all():
            said.append(
                f"a boundary divides all {len(rows)} rows without error: without a penalty the weights would grow for ever, "
                f"so that their size, and how sure the probabilities look, is due to C={self.C_:g}"
            )
        return said

    def _weight_warnings(self) -> list[str]:
        per_step, names = self._varying()
        return size_warnings(per_step, names) + large_warnings(per_step, names)
