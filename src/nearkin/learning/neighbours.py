"""k nearest neighbours as scikit-learn estimators, over any metric and any plan.

>>> import nearkin as nk
>>> rows, labels = [[0.0], [0.2], [0.9], [1.1]], ["low", "low", "high", "high"]
>>> model = nk.KNNClassifier(3).fit(rows, labels)
>>> model.predict([[0.3], [0.8]]).tolist(), model.predict_proba([[0.3]]).round(2).tolist()
(['low', 'high'], [[0.33, 0.67]])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from nearkin.accuracy import Interval, without_itself
from nearkin.building import build, make_metric
from nearkin.errors import ParameterError
from nearkin.indexes import Found
from nearkin.learners import Reason
from nearkin.learning.seeds import seed_of
from nearkin.learning.votes import by_label, shares_of_votes, voted
from nearkin.learning.weighing import Weighting, need_weighting, weigh
from nearkin.plans import compares_all
from nearkin.registry import default_registry
from nearkin.search_parameters import whole_number
from nearkin.vectors import as_vectors, block_rows

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.metrics import Metric
    from nearkin.plans import Plan

MEASURED_ROWS = 1000
"""Rows that show, by their neighbours without themselves, what an approximate plan costs."""


class PlanEffect(NamedTuple):
    """What a plan that is not exact costs, measured on rows of the training set, each left out of its own neighbours.

    Attributes
    ----------
    recall
        Share of the true neighbours that the plan finds.
    exact, plan
        Score (share of right labels, or R²) by true neighbours, and by those that the plan finds.
    agreement
        Share of rows with the same prediction; for numbers, the same to a millionth.
    rows
        Rows that asked.
    """

    recall: Interval
    exact: float
    plan: float
    agreement: float
    rows: int


class _Neighbours(BaseEstimator):  # type: ignore[misc]
    """What the two estimators have in common: rows in a collection, and neighbours with weights."""

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        metric: str | Metric = "euclidean",
        weights: Weighting = "uniform",
        temperature: float | None = None,
        plan: str | Plan | None = None,
        recall: float | None = None,
        search: Mapping[str, int] | None = None,
        random_state: Any = None,
        threads: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.weights = weights
        self.temperature = temperature
        self.plan = plan
        self.recall = recall
        self.search = search
        self.random_state = random_state
        self.threads = threads

    collection_: Collection | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    # ---- neighbours ------------------------------------------------------------------------------------------------

    def kneighbors(self, X: Any, n_neighbors: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Distances and row numbers of the nearest training rows, in scikit-learn's order of the two.

        Returns
        -------
        tuple
            (m, k) float32 distances and (m, k) int64 rows, nearest first.

        Raises
        ------
        ParameterError
            More neighbours than training rows.
        """
        check_is_fitted(self)
        k = self._k(self.n_neighbors if n_neighbors is None else n_neighbors)
        found = self._collection().search(self._checked(X), k)
        return found.distances, found.positions

    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        """For each row the neighbours that decided, the one with the most weight first.

        Examples
        --------
        >>> model = KNNClassifier(3, weights="distance").fit([[0.0], [1.0], [3.0]], ["low", "low", "high"])
        >>> [(why.what, str(why.label), why.distance, round(why.weight, 2)) for why in model.reasons([[2.5]])[0]]
        [(2, 'high', 0.5, 0.65), (1, 'low', 1.5, 0.22), (0, 'low', 2.5, 0.13)]
        """
        distances, positions = self.kneighbors(X)
        shares = shares_of_votes(self._weights(distances))
        shown = whole_number("most", most, 1)
        return [
            [
                Reason(int(position), self._label(int(position)), float(distance), float(share))
                for position, distance, share in zip(*each, strict=True)
                if position >= 0
            ]
            for each in zip(positions[:, :shown], distances[:, :shown], shares[:, :shown], strict=True)
        ]

    def _label(self, position: int) -> Any:
        raise NotImplementedError

    def _collection(self) -> Collection:
        if self.collection_ is None:  # a copy or a pickle brings rows, not the index
            self.collection_ = build(self._rows, **self._how)
        return self.collection_

    def _k(self, k: int) -> int:
        wanted = whole_number("n_neighbors", k, 1)
        if wanted > len(self._rows):
            raise ParameterError(f"n_neighbors is {wanted}, and there are n_samples={len(self._rows)} training rows")
        return wanted

    def _take_rows(self, X: Any, y: Any, **how: Any) -> np.ndarray:
        """Check rows and targets, keep the rows, and build the collection; return the targets."""
        need_weighting(self.weights, self.temperature)
        rows, targets = validate_data(self, X, y, dtype=None if self._on_bits() else np.float32, order="C", **how)
        kept: np.ndarray = (
            np.array(rows) if rows is X or rows.base is not None else rows
        )  # it may be a view of what X has
        kept.flags.writeable = False  # so that the collection needs no copy of its own
        self._rows = kept
        k, seed = whole_number("n_neighbors", self.n_neighbors, 1), seed_of(self.random_state)
        given: dict[str, Any] = {"metric": self.metric, "plan": self.plan, "recall": self.recall, "search": self.search}
        self._how = {**given, "k": min(k, len(kept)), "seed": seed, "threads": self.threads}
        self.collection_ = build(kept, **self._how)
        return np.asarray(targets)

    def _checked(self, X: Any) -> np.ndarray:
        wide = self._collection().metric.dtype == "bits"
        rows: np.ndarray = validate_data(self, X, dtype=None if wide else np.float32, order="C", reset=False)
        return as_vectors(rows, dtype="bits") if wide else rows

    def _on_bits(self) -> bool:
        return make_metric(self.metric, default_registry())[0].dtype == "bits"

    def _weights(self, distances: np.ndarray) -> np.ndarray:
        return weigh(distances, self.weights, 1.0 if self.temperature is None else self.temperature)

    def _weighed(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """(m, k) weights, with a sum of 1 a row, and row numbers of the neighbours."""
        distances, positions = self.kneighbors(X)
        return shares_of_votes(self._weights(distances)), positions

    def _approximate(self) -> bool:
        recipe = self._collection().recipe
        return not compares_all(recipe.plan, recipe.registry)

    def _own_neighbours(self) -> tuple[np.ndarray, dict[str, Found]]:
        """Some training rows, and their neighbours without themselves: the true ones and those that the plan finds."""
        collection, k = self._collection(), min(self.n_neighbors, len(self._rows) - 1)
        asked = np.arange(len(self._rows))
        if len(asked) > MEASURED_ROWS:
            asked = np.sort(np.random.default_rng(self._how["seed"]).choice(asked, MEASURED_ROWS, replace=False))
        rows = self._rows[asked]
        answers = {"exact": collection.exact_search(rows, k + 1), "plan": collection.search(rows, k + 1)}
        return asked, {
            name: without_itself(Found(each.positions, each.distances), asked, k) for name, each in answers.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "collection_" in state:
            state["collection_"] = None
        return state


def _recall(found: np.ndarray, true: np.ndarray) -> Interval:
    shared = [len(np.intersect1d(one, other)) / len(other) for one, other in zip(found, true, strict=True)]
    return Interval.of(np.array(shared))


class KNNClassifier(ClassifierMixin, _Neighbours):  # type: ignore[misc]
    """The label that most of the nearest rows have, under any metric and over any plan.

    Exact by default. Of labels with equal weight, the first in `classes_` is predicted, as by scikit-learn.

    Sources: E. Fix, J. Hodges, "Discriminatory analysis" (1951); T. Cover, P. Hart, "Nearest neighbor pattern
    classification" (1967).

    Parameters
    ----------
    n_neighbors
        Neighbours that vote, at most the number of training rows.
    metric
        Name or `nearkin.Metric`, compiled ones too.
    weights
        ``"uniform"``, ``"distance"`` (1 / distance) or ``"softmax"`` (exp(-distance / temperature)).
    temperature
        Of softmax; None for 1.
    plan, recall, search
        As for `nearkin.build`: an approximate plan, or the recall that one must keep. `plan_effect_` says what it then costs.
    random_state
        Seed of building; None for the setting.
    threads
        None for the setting.

    Attributes
    ----------
    classes_ : ndarray
        Labels, sorted.
    collection_ : nearkin.Collection
        The training rows.
    plan_effect_ : PlanEffect or None
        Of a plan that is not exact.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Keep (n, dim) rows with their n labels.

        Raises
        ------
        ParameterError, NotSupportedError, VectorError, BudgetError
            As for `nearkin.build`. What is no matrix of finite numbers is refused by scikit-learn, with a ValueError.
        """
        targets = self._take_rows(X, y)
        check_classification_targets(targets)
        self.classes_, self._codes = np.unique(targets, return_inverse=True)
        self.plan_effect_ = self._effect() if self._approximate() and len(self._rows) > 2 else None
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(m, classes) float64 shares of the neighbours' weight that each label has."""
        shares, positions = self._weighed(X)
        return by_label(self._codes_at(positions), shares, len(self.classes_))

    def predict(self, X: Any) -> np.ndarray:
        """(m,) labels."""
        shares, positions = self._weighed(X)
        return np.asarray(self.classes_[self._likeliest(positions, shares)])

    def _label(self, position: int) -> Any:
        return self.classes_[self._codes[position]]

    def _codes_at(self, positions: np.ndarray) -> np.ndarray:
        return np.where(positions >= 0, self._codes[positions], 0)

    def _likeliest(self, positions: np.ndarray, shares: np.ndarray) -> np.ndarray:
        return voted(self._codes_at(positions), shares).likeliest

    def _effect(self) -> PlanEffect:
        asked, answers = self._own_neighbours()
        found = {
            name: self._likeliest(each.positions, shares_of_votes(self._weights(each.distances)))
            for name, each in answers.items()
        }
        right = {name: float((codes == self._codes[asked]).mean()) for name, codes in found.items()}
        agreement = float((found["exact"] == found["plan"]).mean())
        recall = _recall(answers["plan"].positions, answers["exact"].positions)
        return PlanEffect(recall, right["exact"], right["plan"], agreement, len(asked))


class KNNRegressor(RegressorMixin, _Neighbours):  # type: ignore[misc]
    """The weighed mean of the nearest rows' numbers, under any metric and over any plan; parameters as for `KNNClassifier`.

    Source: N. Altman, "An introduction to kernel and nearest-neighbor nonparametric regression" (1992).

    Examples
    --------
    >>> rows, numbers = [[0.0], [1.0], [2.0], [3.0]], [0.0, 10.0, 20.0, 30.0]
    >>> KNNRegressor(2).fit(rows, numbers).predict([[1.4]]).tolist()
    [15.0]
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Keep (n, dim) rows with their n numbers, or (n, outputs) of them.

        Raises
        ------
        ParameterError, NotSupportedError, VectorError, BudgetError
            As for `KNNClassifier`.
        """
        targets = self._take_rows(X, y, multi_output=True, y_numeric=True)
        self._targets = np.array(targets, dtype=np.float64)  # a copy, whatever becomes of the caller's
        self.plan_effect_ = self._effect() if self._approximate() and len(self._rows) > 2 else None
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(m,) or (m, outputs) float64 weighed means."""
        weights, positions = self._weighed(X)
        return self._means(weights, positions)

    def _label(self, position: int) -> Any:
        return self._targets[position].tolist()

    def _means(self, weights: np.ndarray, positions: np.ndarray) -> np.ndarray:
        targets = self._targets.reshape(len(self._targets), -1)
        means = np.empty((len(weights), targets.shape[1]))
        step = block_rows(8 * max(1, weights.shape[1] * targets.shape[1]))
        for start in range(0, len(weights), step):
            some = slice(start, start + step)
            means[some] = np.einsum("qk,qko->qo", weights[some], targets[positions[some]])
        return means[:, 0] if self._targets.ndim == 1 else means

    def _effect(self) -> PlanEffect:
        from sklearn.metrics import r2_score

        asked, answers = self._own_neighbours()
        found = {
            name: self._means(shares_of_votes(self._weights(each.distances)), each.positions)
            for name, each in answers.items()
        }
        right = {name: float(r2_score(self._targets[asked], means)) for name, means in found.items()}
        close = np.isclose(found["exact"], found["plan"], rtol=1e-6, atol=0).reshape(len(asked), -1).all(axis=1)
        recall = _recall(answers["plan"].positions, answers["exact"].positions)
        return PlanEffect(recall, right["exact"], right["plan"], float(close.mean()), len(asked))
