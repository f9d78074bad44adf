"""A classifier that knows when it does not know: calibrated, silent where it would err too often, and out of its scope.

>>> from sklearn.datasets import load_digits
>>> from sklearn.naive_bayes import GaussianNB
>>> pixels, digits = load_digits(return_X_y=True)
>>> sure = SureClassifier(GaussianNB(var_smoothing=0.1), error_rate=0.05).fit(pixels[:1500], digits[:1500])
>>> found = sure.decide(pixels[1500:])
>>> 0.5 < found.coverage < 1, sure.decide(pixels[:1] * 0 + 16)[0].why.partition(":")[0]
(True, 'out of scope')
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, column_or_1d, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from nearkin.building import build, make_metric
from nearkin.errors import ParameterError
from nearkin.items import items_in
from nearkin.learners import Explains
from nearkin.learning.abstention import need_error_rate
from nearkin.learning.decisions import Decisions
from nearkin.learning.held_out import (
    Split,
    class_probabilities,
    held_out_rows,
    one_split,
    stratified_splits,
)
from nearkin.learning.neighbours import KNNClassifier
from nearkin.learning.scope import need_scope
from nearkin.learning.seeds import seed_of
from nearkin.learning.sureness import Sureness
from nearkin.registry import default_registry
from nearkin.search_parameters import whole_number

if TYPE_CHECKING:
    from nearkin.accuracy import Interval
    from nearkin.collection import Collection
    from nearkin.metrics import Metric

USUAL_NEIGHBOURS = 5
"""Of the classifier that is taken where none is given, if there are so many rows."""


class SureClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Any classifier with calibrated probabilities, and `decide`, which answers only where it may.

    `fit` asks the classifier about rows that it has not learned from. Their probabilities give the temperature that makes
    probabilities true (`nearkin.learning.temperature_scaling`), and the threshold above which at most `error_rate` of the answers
    is wrong, with 95 % confidence (`nearkin.learning.abstention`); their distances to the nearest row that was learned from give
    the limit of the scope (`nearkin.learning.scope`). All three promises are for rows drawn like these. With `validation` they
    are of the very classifier that answers; with `cv`, of those of the folds, which saw fewer rows than the one that
    answers in the end.

    `predict` and `predict_proba` always answer, as scikit-learn expects.

    Parameters
    ----------
    estimator
        A classifier with ``predict_proba`` or ``decision_function``; None for `nearkin.KNNClassifier`, with fewer than five
        neighbours where there are fewer rows.
    error_rate
        Largest share of wrong answers, such as 0.05; None to answer always.
    scope
        Share of rows like those known that is to be in scope; None to hold nothing for out of scope, and to take rows that are not
        numbers, if the estimator does.
    metric
        Of the distance to the nearest row; None for the estimator's own, or euclidean.
    cv
        Folds, at least 2, or a splitter of scikit-learn under which no row asks twice.
    validation
        Share of the rows to hold out instead, which the estimator then never learns from.
    random_state
        Seed of the folds; None for the setting.

    Attributes
    ----------
    classes_ : ndarray
        Labels, sorted.
    estimator_
        The classifier, fitted.
    training_rows_ : ndarray
        (n,) rows that it learned from; those that reasons number are places in it.
    held_out_ : nearkin.learning.sureness.HeldOut
        What the classifier said of rows that it had not learned from.
    temperature_, smoothing_ : float
        See `nearkin.learning.temperature_scaling.TemperatureScaling`.
    threshold_ : float
        Probability that an answer needs; +inf where none is enough.
    error_, coverage_ : nearkin.accuracy.Interval or None
        Share of wrong answers among the held-out rows that are answered, and share of these.
    ece_before_, ece_after_ : float or None
        Expected calibration error on held-out rows.
    distance_limit_ : float
        A row farther than this from all known ones is out of scope; +inf where none is.
    notes_ : tuple
        What cannot be promised, and why.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        error_rate: float | None = None,
        scope: float | None = 0.99,
        metric: str | Metric | None = None,
        cv: Any = 5,
        validation: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.error_rate = error_rate
        self.scope = scope
        self.metric = metric
        self.cv = cv
        self.validation = validation
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.scope is None and self.estimator is not None and _takes_sparse(self.estimator)
        return tags

    # ---- learning --------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from n rows and their labels, and how sure to be.

        Raises
        ------
        ParameterError, VectorError
            An error rate, a scope or a validation share that is none, splits under which rows ask twice or were
            learned from, scores that are not one for each label, or what the estimator or the metric refuses.
        """
        need_error_rate(self.error_rate)
        need_scope(self.scope)
        rows, given, labels = self._taken(X, y)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        seed = seed_of(self.random_state)
        splits = self._splits(rows, codes, seed)
        least = min((len(train) for train, _ in splits), default=len(codes))
        model = KNNClassifier(min(USUAL_NEIGHBOURS, least)) if self.estimator is None else self.estimator
        self._apart = _Apart(self._metric(), seed)
        distances = None if given is None else partial(self._apart.nearest, given)
        self.held_out_, fitted = held_out_rows(model, rows, labels, splits, distances)
        self.sureness_ = Sureness.of(self.held_out_, error_rate=self.error_rate, scope=self.scope, seed=seed)
        whole = self.validation is None or not splits or fitted is None
        self.training_rows_ = np.arange(len(codes)) if whole else splits[0][0]
        self.estimator_ = clone(model).fit(rows, labels) if whole else fitted
        self._known = None if given is None else given[self.training_rows_]
        self._index: Collection | None = None
        return self

    def _taken(self, X: Any, y: Any) -> tuple[Any, np.ndarray | None, np.ndarray]:
        """Rows for the estimator, the same as numbers for distances, and labels."""
        if self.scope is None and _unreadable(X):
            validate_data(self, X, skip_check_array=True)
            given, labels = X, column_or_1d(y, warn=True)
            check_consistent_length(X, labels)
        else:
            given, labels = validate_data(self, X, y, **self._reading(reset=True))
        check_classification_targets(labels)
        rows = X if hasattr(X, "iloc") else given
        return rows, None if self.scope is None else given, np.asarray(labels)

    def _reading(self, reset: bool) -> dict[str, Any]:
        if (self.scope if reset else self._known) is None:
            return {"accept_sparse": "csr" if get_tags(self).input_tags.sparse else False}
        return {"dtype": None if _on_bits(self._metric() if reset else self._apart.metric) else "numeric"}

    def _splits(self, rows: Any, codes: np.ndarray, seed: int) -> list[Split]:
        share = self.validation
        if share is not None:
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
                raise ParameterError(
                    f"validation is {share!r}, a share above 0 and below 1 expected", hint="such as 0.2"
                )
            return list(one_split(codes, share, seed))
        if isinstance(self.cv, int | np.integer | float):
            return list(stratified_splits(codes, whole_number("cv", self.cv, 2), seed))
        return list(check_cv(self.cv, codes, classifier=True).split(rows, codes))

    def _metric(self) -> str | Metric:
        own = getattr(self.estimator, "metric", None) if self.estimator is not None else None
        return self.metric if self.metric is not None else own if own is not None else "euclidean"

    # ---- answering -------------------------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> np.ndarray:
        """(m, classes) float64 calibrated probabilities."""
        rows, _ = self._rows(X)
        return self.sureness_.scaling.apply(self._raw(rows))

    def predict(self, X: Any) -> np.ndarray:
        """(m,) likeliest labels, sure or not."""
        rows, _ = self._rows(X)
        return np.asarray(self.classes_[self._raw(rows).argmax(axis=1)])

    def decide(self, X: Any, most: int = 5) -> Decisions:
        """Labels where they are sure enough, and why not elsewhere.

        Parameters
        ----------
        most
            Reasons of each row, at most; 0 for none. They are the estimator's, if it has `reasons`.

        Returns
        -------
        Decisions
            One `Decision` a row.
        """
        rows, numbers = self._rows(X)
        wanted = whole_number("most", most, 0)
        far = None if numbers is None else self._collection().search(numbers, 1).distances[:, 0].astype(np.float64)
        explains = wanted > 0 and isinstance(self.estimator_, Explains)
        reasons = self.estimator_.reasons(rows, wanted) if explains else ()
        return self.sureness_.decide(self.classes_.tolist(), self._raw(rows), far, reasons)

    def _rows(self, X: Any) -> tuple[Any, np.ndarray | None]:
        check_is_fitted(self)
        if self._known is None and _unreadable(X):
            validate_data(self, X, skip_check_array=True, reset=False)
            return X, None
        numbers = validate_data(self, X, reset=False, **self._reading(reset=False))
        return (X if hasattr(X, "iloc") else numbers), None if self._known is None else numbers

    def _raw(self, rows: Any) -> np.ndarray:
        return class_probabilities(self.estimator_, rows, self.classes_)

    def _collection(self) -> Collection:
        if self._index is None:  # a copy or a pickle brings rows, not the index
            assert self._known is not None
            self._index = self._apart.index(self._known)
        return self._index

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_index" in state:
            state["_index"] = None
        return state

    # ---- how sure --------------------------------------------------------------------------------------------------

    @property
    def temperature_(self) -> float:
        """Probabilities are taken to the power of 1 / temperature."""
        return self.sureness_.scaling.temperature

    @property
    def smoothing_(self) -> float:
        """Share of equal probabilities that is mixed in before."""
        return self.sureness_.scaling.smoothing

    @property
    def threshold_(self) -> float:
        """Probability that an answer needs."""
        return self.sureness_.answer.threshold

    @property
    def error_(self) -> Interval | None:
        """Share of wrong answers among the held-out rows that are answered; None where none is."""
        return self.sureness_.answer.error

    @property
    def coverage_(self) -> Interval | None:
        """Share of the held-out rows that is answered; None where none was held out."""
        return self.sureness_.answer.coverage

    @property
    def ece_before_(self) -> float | None:
        """Expected calibration error of the estimator's probabilities on held-out rows."""
        return self.sureness_.ece_before

    @property
    def ece_after_(self) -> float | None:
        """The same of the calibrated ones, each half of the rows by the temperature of the other half."""
        return self.sureness_.ece_after

    @property
    def distance_limit_(self) -> float:
        """Distance to the nearest known row beyond which a row is out of scope."""
        return self.sureness_.limit

    @property
    def notes_(self) -> tuple[str, ...]:
        """What cannot be promised, and why."""
        return self.sureness_.notes


def _unreadable(X: Any) -> bool:
    """Whether rows are none of numbers, or named columns that may be anything: only the estimator knows what to do with them."""
    return hasattr(X, "iloc") or (isinstance(X, list | tuple | np.ndarray) and items_in(X) is not None)


def _on_bits(metric: str | Metric) -> bool:
    return make_metric(metric, default_registry())[0].dtype == "bits"


def _takes_sparse(estimator: Any) -> bool:
    return bool(get_tags(estimator).input_tags.sparse)


class _Apart:
    """Distances between some rows and others, by an exact index of the latter."""

    def __init__(self, metric: str | Metric, seed: int) -> None:
        self.metric, self._seed = metric, seed

    def index(self, rows: np.ndarray) -> Collection:
        return build(rows, metric=self.metric, plan="flat", seed=self._seed)

    def nearest(self, rows: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        found = self.index(_safe_indexing(rows, train)).search(_safe_indexing(rows, test), 1)
        return np.asarray(found.distances[:, 0], dtype=np.float64)
