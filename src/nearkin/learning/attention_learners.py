"""Attention as scikit-learn estimators: labels or numbers of the nearest training rows, weighed by a softmax of their scores.

>>> import nearkin as nk
>>> rows, labels = [[1.0, 0.1], [0.9, 0.2], [0.1, 1.0], [0.3, 0.8]], ["tea", "tea", "milk", "milk"]
>>> model = nk.AttentionClassifier(temperature=0.2).fit(rows, labels)
>>> model.predict([[0.8, 0.3]]).tolist(), model.predict_proba([[0.8, 0.3]]).round(2).tolist()
(['tea'], [[0.14, 0.86]])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from nearkin.accuracy import Interval
from nearkin.building import build
from nearkin.errors import ParameterError
from nearkin.learners import Reason
from nearkin.learning.attended_keys import checked_heads, keys_of_rows
from nearkin.learning.attended_values import ValueTable, label_table
from nearkin.learning.attention import (
    LIKENESS,
    Attended,
    Attention,
    AttentionMetric,
    Finder,
    LeftOut,
    Temperature,
    need_attention,
    need_bound_to_hold,
    prepared_rows,
)
from nearkin.learning.seeds import seed_of
from nearkin.plans import compares_all
from nearkin.search_parameters import whole_number

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.plans import Plan


class _Indexed(Finder):
    """An index a head, over the columns of that head."""

    def __init__(self, collections: list[Collection], columns: list[slice]) -> None:
        self.collections = collections
        self._columns = columns
        self.exact = all(compares_all(each.recipe.plan, each.recipe.registry) for each in collections)

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        heads = zip(self.collections, self._columns, strict=True)
        return np.stack([each.search(queries[:, part], k).positions for each, part in heads])


class _Attention(BaseEstimator):  # type: ignore[misc]
    """What the two estimators have in common: keys with values, an index over them, and a temperature."""

    def __init__(
        self,
        k: int | None = 64,
        *,
        temperature: Temperature = "fit",
        heads: int = 1,
        metric: AttentionMetric = "inner-product",
        plan: str | Plan | None = None,
        recall: float | None = None,
        search: Mapping[str, int] | None = None,
        random_state: Any = None,
        threads: int | None = None,
    ) -> None:
        self.k = k
        self.temperature = temperature
        self.heads = heads
        self.metric = metric
        self.plan = plan
        self.recall = recall
        self.search = search
        self.random_state = random_state
        self.threads = threads

    temperature_: float
    truncation_: Interval

    # ---- learning --------------------------------------------------------------------------------------------------

    def _take_rows(self, X: Any, y: Any, **how: Any) -> np.ndarray:
        """Check and keep the rows; return the targets."""
        need_attention(self.temperature, self.metric, self.k)
        self._need_index_wanted()
        self._how: dict[str, Any] = {**self.get_params(deep=False), "random_state": seed_of(self.random_state)}
        rows, targets = validate_data(self, X, y, dtype=np.float32, order="C", **how)
        checked_heads(self.heads, rows.shape[1])
        kept = np.array(prepared_rows(rows, self.metric, "rows"))
        kept.flags.writeable = False  # so that an index needs no copy of its own
        self._rows = kept
        return np.asarray(targets)

    def _need_index_wanted(self) -> None:
        given = [name for name in ("plan", "recall", "search") if getattr(self, name) is not None]
        if self.k is None and given:
            raise ParameterError(
                f"{given[0]} is of an index of nearest rows, and with k=None all rows are attended to",
                hint="leave it out, or name a k",
            )

    def _learn(self, values: ValueTable) -> None:
        self._values = values
        self._made: Attention | None = None
        attention, seed = self._attention(), self._how["random_state"]
        self.temperature_ = attention.temperature(self.temperature, seed)
        self.truncation_ = Interval.of(attention.held_out_shares(self.temperature_, seed))

    def _attention(self) -> Attention:
        if self._made is None:  # a copy or a pickle brings rows, not the index
            how = self._how
            keys = keys_of_rows(self._rows, LIKENESS[how["metric"]], how["heads"])
            finder = (
                None if how["k"] is None else _Indexed([self._built(part) for part in keys.columns()], keys.columns())
            )
            self._made = Attention(keys, self._values, how["k"], finder)
        return self._made

    def _built(self, part: slice) -> Collection:
        how = self._how
        rows = np.ascontiguousarray(self._rows[:, part])
        rows.flags.writeable = False
        given = {name: how[name] for name in ("plan", "recall", "search", "threads")}
        metric = "euclidean" if LIKENESS[how["metric"]] == "closeness" else "inner-product"
        return build(rows, metric=metric, k=min(how["k"], len(rows)), seed=how["random_state"], **given)

    @property
    def collections_(self) -> list[Collection]:
        """The index of each head; none where all rows are attended to."""
        check_is_fitted(self)
        finder = self._attention().finder
        return finder.collections if isinstance(finder, _Indexed) else []

    # ---- asking ----------------------------------------------------------------------------------------------------

    def attend(self, X: Any, *, left_out: LeftOut = "exact") -> Attended:
        """Weighed means of the values, the training rows (as ids, by number) that they come from, and the mass left out.

        Parameters
        ----------
        left_out
            ``"exact"`` compares each query with all rows; ``"bound"`` does not, and needs a plan that finds the nearest rows for
            sure; None leaves it at NaN.

        Raises
        ------
        ParameterError
            A bound, and a plan that may miss some of the nearest rows.
        """
        need_attention(self.temperature, left_out=left_out)
        asked = self._asked(X)
        attention = self._attention()
        need_bound_to_hold(attention, left_out)
        return attention.answer(asked, self.temperature_, left_out)

    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        """For each row the training rows with the most weight, by the distance of the metric."""
        asked = self._asked(X)
        attention = self._attention()
        shown = whole_number("most", most, 1)
        found = attention.answer(asked, self.temperature_, None, shown)
        numbers, weights = found.ids[:, :shown], found.weights[:, :shown]
        scores = attention.keys.scores_of(asked, np.stack([numbers] * self._how["heads"])).sum(axis=0)
        distances = _distances(self._how["metric"], scores)
        return [
            [
                Reason(int(number), self._label(int(number)), float(distance), float(weight))
                for number, distance, weight in zip(*each, strict=True)
                if number >= 0
            ]
            for each in zip(numbers, distances, weights, strict=True)
        ]

    def _label(self, number: int) -> Any:
        raise NotImplementedError

    def _means(self, X: Any) -> np.ndarray:
        asked = self._asked(X)
        return self._attention().means(asked, self.temperature_)

    def _asked(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float32, order="C", reset=False)
        return prepared_rows(rows, self._how["metric"], "queries")

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_made" in state:
            state["_made"] = None
        return state


def _distances(metric: str, scores: np.ndarray) -> np.ndarray:
    if metric == "euclidean":
        return np.asarray(np.sqrt(np.maximum(-2 * scores, 0)))
    return np.asarray(np.maximum(1 - scores, 0) if metric == "cosine" else -scores)


class AttentionClassifier(ClassifierMixin, _Attention):  # type: ignore[misc]
    """Labels of the nearest rows, weighed by softmax(q·k / T).

    Sources: A. Vaswani et al., "Attention is all you need" (2017); over the nearest rows only, with a temperature that is learned,
    T. Plötz and S. Roth, "Neural nearest neighbors networks" (2018).

    Parameters
    ----------
    k
        Rows with the largest scores that are attended to, or all where there are fewer; None for all, without an index.
    temperature
        T: ``"fit"`` takes the one with the least log-loss (squared error, for numbers) over up to 1,000 training rows, each held
        out of its own neighbours; ``"sqrt"`` the square root of the columns of a head, as in the paper; or a number.
    heads
        The columns are split into so many equal parts, each with nearest rows and a softmax of its own; the mean counts.
    metric
        The score: ``"inner-product"`` q·k; ``"cosine"`` the same of rows scaled to length one; ``"euclidean"`` -||q - k||² / 2.
    plan, recall, search
        As for `nearkin.build`, of the index (of each head) that finds the k rows. Their scores are computed on the rows themselves.
    random_state
        Seed of the rows that are held out, and of building; None for the setting.
    threads
        None for the setting.

    Attributes
    ----------
    classes_ : ndarray
        Labels, sorted.
    temperature_ : float
        T.
    truncation_ : nearkin.accuracy.Interval
        Share of the whole mass that k leaves out, of up to 256 held-out rows: exact for each, compared with all rows.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Keep (n, dim) rows with their n labels, and find the temperature.

        Raises
        ------
        ParameterError, NotSupportedError, VectorError, BudgetError
            As for `nearkin.build`. What is no matrix of finite numbers is refused by scikit-learn, with a ValueError.
        """
        targets = self._take_rows(X, y)
        check_classification_targets(targets)
        self.classes_, codes = np.unique(targets, return_inverse=True)
        self._learn(label_table(self.classes_, codes))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(m, classes) float64 shares of the weight that each label has."""
        return self._means(X)

    def predict(self, X: Any) -> np.ndarray:
        """(m,) labels."""
        codes = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def _label(self, number: int) -> Any:
        assert self._values.codes is not None
        return self.classes_[self._values.codes[number]]


class AttentionRegressor(RegressorMixin, _Attention):  # type: ignore[misc]
    """Numbers, or vectors, of the nearest rows, weighed by softmax(q·k / T); parameters as for `AttentionClassifier`.

    Under the Euclidean distance this is the kernel regression of E. Nadaraya (1964) and G. Watson (1964), with a Gaussian of
    variance T.

    Examples
    --------
    >>> rows, numbers = [[0.0], [1.0], [2.0], [3.0]], [0.0, 10.0, 20.0, 30.0]
    >>> AttentionRegressor(metric="euclidean", temperature=0.1).fit(rows, numbers).predict([[1.5]]).round(2).tolist()
    [15.0]
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Keep (n, dim) rows with their n numbers, or (n, outputs) of them, and find the temperature.

        Raises
        ------
        ParameterError, NotSupportedError, VectorError, BudgetError
            As for `AttentionClassifier`.
        """
        targets = self._take_rows(X, y, multi_output=True, y_numeric=True).astype(np.float64)
        self._flat = targets.ndim == 1
        self._learn(ValueTable(targets.reshape(len(targets), -1)))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(m,) or (m, outputs) float64 weighed means."""
        means = self._means(X)
        return means[:, 0] if self._flat else means

    def _label(self, number: int) -> Any:
        value = self._values.numbers[number]
        return float(value[0]) if self._flat else value.tolist()
