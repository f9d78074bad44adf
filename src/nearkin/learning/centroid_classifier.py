"""The label of the nearest centroid, as a scikit-learn estimator: one or several centroids a label, by any clusterer.

>>> import nearkin as nk
>>> rows, labels = [[0.0], [0.5], [5.0], [5.5]], ["low", "low", "high", "high"]
>>> model = nk.CentroidClassifier().fit(rows, labels)
>>> model.predict([[1.0], [4.0]]).tolist(), model.centroids_.ravel().tolist(), model.centroid_labels_.tolist()
(['low', 'high'], [5.25, 0.25], ['high', 'low'])
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from nearkin.building import make_metric
from nearkin.clustering.problem import USUAL_METHOD, Approach, approach_of
from nearkin.learners import Reason
from nearkin.learning.held_out_temperature import least_loss, log_loss
from nearkin.learning.seeds import seed_of
from nearkin.learning.softmax_sums import shares_of
from nearkin.learning.weighing import need_temperature
from nearkin.objectives import members_of
from nearkin.registry import default_registry
from nearkin.running_centroids import RUNNING_RULES
from nearkin.search_parameters import whole_number
from nearkin.vectors import as_vectors, block_rows

if TYPE_CHECKING:
    from nearkin.metrics import Metric

CHOICES = (1, 2, 4, 8)
"""Centroids a label that ``per_class="auto"`` tries."""
STARTS = 3
"""Starts of which the best is kept, where a label has several centroids."""
HELD_OUT_SHARE = 5
"""One of so many rows of each label is held out to find a temperature, and the number of centroids."""


@dataclass(frozen=True, eq=False)
class _Centroids:
    """Centroids of every label.

    Attributes
    ----------
    prepared
        (m, dim) as the metric prepares rows.
    shown
        (m, dim) in the units of the rows.
    codes
        (m,) ascending number of the label of each.
    """

    prepared: np.ndarray
    shown: np.ndarray
    codes: np.ndarray


class CentroidClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The label whose centroid is nearest, under any metric that has centroids.

    A centroid is what makes the costs of its rows least: the mean under Euclidean distances, the direction under the cosine, the
    median under Manhattan distance, and a row (the medoid) under any other distance.

    Sources: J. Rocchio, "Relevance feedback in information retrieval" (1971); with several centroids a label, T. Hastie,
    R. Tibshirani and J. Friedman, "The elements of statistical learning", section 13.2.1 (2009).

    Parameters
    ----------
    per_class
        Centroids of each label, at most its rows; ``"auto"`` for the one of 1, 2, 4 and 8 that is right most often for held-out
        rows (the smallest of those).
    metric
        Name or `nearkin.Metric`.
    clusterer
        That finds the centroids, with options as for `nearkin.cluster`; None for the metric's own: lloyd, spherical, kmedians or
        kmedoids.
    temperature
        T: the probability of a label is softmax(-d / T) over the distances d of each label's nearest centroid. None for the one
        with the least log-loss: a fifth of the rows of each label is held out, centroids are found without them, and again with all
        rows. Where no label has five rows, T is the mean distance of rows to their own centroid.
    random_state
        Seed; None for the setting.
    threads
        None for the setting.

    Attributes
    ----------
    classes_ : ndarray
        Labels, sorted.
    centroids_ : ndarray
        (m, dim) in the units of the rows.
    centroid_labels_ : ndarray
        (m,) the label of each.
    per_class_ : int
        Centroids of a label with enough rows.
    temperature_ : float
        T.
    """

    def __init__(
        self,
        per_class: int | Literal["auto"] = 1,
        *,
        metric: str | Metric = "euclidean",
        clusterer: str | None = None,
        temperature: float | None = None,
        random_state: Any = None,
        threads: int | None = None,
    ) -> None:
        self.per_class = per_class
        self.metric = metric
        self.clusterer = clusterer
        self.temperature = temperature
        self.random_state = random_state
        self.threads = threads

    # ---- learning --------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> Self:
        """Find the centroids of (n, dim) rows with their n labels.

        Raises
        ------
        NotSupportedError
            The metric has no centroids, or the clusterer finds others than are right under it.
        ParameterError, VectorError, UnknownNameError
            As for `nearkin.cluster`. What is no matrix of finite numbers is refused by scikit-learn, with a ValueError.
        """
        self._need_parameters()
        wide = self._on_bits()
        rows, targets = validate_data(self, X, y, dtype=None if wide else np.float32, order="C")
        rows = as_vectors(rows, dtype="bits") if wide else rows
        check_classification_targets(targets)
        self.classes_, codes = np.unique(targets, return_inverse=True)
        how = self._approach()
        prepared = how.problem(rows, None).prepared
        self.per_class_, temperature = self._tuned(how, prepared, rows, codes)
        self._how, self._found = how, _centroids_of(how, prepared, rows, codes, self.per_class_)
        self.centroids_ = self._found.shown
        self.centroid_labels_ = self.classes_[self._found.codes]
        if self.temperature is not None:
            temperature = float(self.temperature)
        self.temperature_ = self._usual_temperature(prepared, codes) if temperature is None else temperature
        return self

    def _need_parameters(self) -> None:
        if self.per_class != "auto":
            whole_number("per_class", self.per_class, 1)
        if self.temperature is not None:
            need_temperature(self.temperature)

    def _approach(self) -> Approach:
        registry = default_registry()
        metric = make_metric(self.metric, registry)[0]
        return approach_of(
            method=self.clusterer or USUAL_METHOD[metric.centroid_rule or "medoid"],
            metric=self.metric,
            registry=registry,
            seed=seed_of(self.random_state),
            threads=self.threads,
        )

    def _tuned(
        self, how: Approach, prepared: np.ndarray, rows: np.ndarray, codes: np.ndarray
    ) -> tuple[int, float | None]:
        """Centroids a label, and the temperature, as held-out rows want them; None where too few can be held out."""
        choices = CHOICES if self.per_class == "auto" else (int(self.per_class),)
        held = held_out(codes, how.seed)
        if not held.any():
            return choices[0], None
        if len(choices) == 1 and self.temperature is not None:
            return choices[0], None
        right, found = -1, (choices[0], 1.0)
        for each in choices:
            centroids = _centroids_of(how, prepared[~held], rows[~held], codes[~held], each)
            distances = _to_labels(how, centroids, prepared[held], len(self.classes_))[0]
            score = int((distances.argmin(axis=1) == codes[held]).sum())
            if score > right:
                right, found = score, (each, _temperature(distances, codes[held]))
        return found

    def _usual_temperature(self, prepared: np.ndarray, codes: np.ndarray) -> float:
        classes, total = len(self.classes_), 0.0
        step = block_rows(16 * classes)
        for start in range(0, len(codes), step):
            own = codes[start : start + step]
            distances = _to_labels(self._how, self._found, prepared[start : start + step], classes)[0]
            total += float(distances[np.arange(len(own)), own].sum())
        return total / len(codes) or 1.0

    # ---- asking ----------------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """(m,) labels."""
        codes = self._distances(X)[0].argmin(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: Any) -> np.ndarray:
        """(m, classes) float64: softmax of minus the distances over the temperature."""
        distances = self._distances(X)[0]
        return shares_of(-distances, self.temperature_)

    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        """For each row the nearest centroid of each label, the nearest first; the weight is the label's probability.

        ``centroid 3`` is row 3 of `centroids_`.

        Examples
        --------
        >>> model = CentroidClassifier(temperature=1.0).fit([[0.0], [0.4], [3.0], [3.2]], ["low", "low", "high", "high"])
        >>> [(why.what, str(why.label), round(why.distance, 2), round(why.weight, 2)) for why in model.reasons([[1.0]])[0]]
        [('centroid 1', 'low', 0.8, 0.79), ('centroid 0', 'high', 2.1, 0.21)]
        """
        distances, nearest = self._distances(X)
        shares = shares_of(-distances, self.temperature_)
        order = np.argsort(distances, axis=1, kind="stable")[:, : whole_number("most", most, 1)]
        return [
            [
                Reason(f"centroid {numbers[code]}", self.classes_[code], float(far[code]), float(share[code]))
                for code in codes
            ]
            for codes, numbers, far, share in zip(order, nearest, distances, shares, strict=True)
        ]

    def _distances(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        wide = self._how.metric.dtype == "bits"
        rows = validate_data(self, X, dtype=None if wide else np.float32, order="C", reset=False)
        rows = as_vectors(rows, dtype="bits") if wide else rows
        return _to_labels(self._how, self._found, self._how.metric.prepare_queries(rows), len(self.classes_))

    def _on_bits(self) -> bool:
        return make_metric(self.metric, default_registry())[0].dtype == "bits"


def held_out(codes: np.ndarray, seed: int) -> np.ndarray:
    """(n,) True for a fifth of the rows of each label, drawn at random.

    >>> held_out(np.array([0] * 10 + [1] * 4), 0).sum()
    np.int64(2)
    """
    order = np.random.default_rng(seed).permutation(len(codes))
    counts = np.bincount(codes)
    ordered = order[np.argsort(codes[order], kind="stable")]
    place = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    held = np.zeros(len(codes), dtype=bool)
    held[ordered] = place < np.repeat(counts // HELD_OUT_SHARE, counts)
    return held


def _centroids_of(
    how: Approach, prepared: np.ndarray, rows: np.ndarray, codes: np.ndarray, per_class: int
) -> _Centroids:
    """So many centroids of each label, or as many as it has rows."""
    if per_class == 1 and how.objective.rule in RUNNING_RULES and how.clusterer.name in USUAL_METHOD.values():
        return _means_of(how, prepared, codes)
    found, shown, labels = [], [], []
    for code, own in members_of(codes):
        k = min(per_class, len(own))
        problem = how.prepared_problem(prepared[own], None)
        partition = replace(problem, tries=1 if k == 1 else STARTS).solve(k)
        found.append(partition.centroids)
        medoids = partition.medoids
        shown.append(how.metric.unprepare(partition.centroids) if medoids is None else rows[own[medoids]])
        labels.append(np.full(k, code))
    return _Centroids(np.concatenate(found), np.concatenate(shown), np.concatenate(labels))


def _means_of(how: Approach, prepared: np.ndarray, codes: np.ndarray) -> _Centroids:
    """One centroid of each label, a mean or a direction, of all labels at once."""
    labels, first, dense = np.unique(codes, return_index=True, return_inverse=True)
    found = how.objective.centres(prepared, dense, np.ones(len(codes)), prepared[first])
    return _Centroids(found, how.metric.unprepare(found), labels)


def _to_labels(
    how: Approach, centroids: _Centroids, prepared: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """(m, classes) distances of rows from the nearest centroid of each label, and its number."""
    distances, numbers = np.empty((len(prepared), classes)), np.empty((len(prepared), classes), dtype=np.int64)
    starts = np.searchsorted(centroids.codes, np.arange(classes))
    every = np.arange(len(centroids.codes))
    step = block_rows(32 * max(*centroids.prepared.shape))
    for start in range(0, len(prepared), step):
        some = slice(start, start + step)
        costs = how.as_distances(how.objective.costs(prepared[some], centroids.prepared))
        least = np.minimum.reduceat(costs, starts, axis=1)
        distances[some] = least
        if len(every) == classes:
            numbers[some] = every
        else:
            nearest = costs == least[:, centroids.codes]
            numbers[some] = np.minimum.reduceat(np.where(nearest, every, len(every)), starts, axis=1)
    return distances, numbers


def _temperature(distances: np.ndarray, codes: np.ndarray) -> float:
    """The one with the least log-loss."""
    own = np.arange(len(codes))
    spread = float(np.median(np.ptp(distances, axis=1)))
    usual = float(distances[own, codes].mean()) or 1.0
    return least_loss(lambda each: log_loss(shares_of(-distances, each)[own, codes]), spread, usual)
