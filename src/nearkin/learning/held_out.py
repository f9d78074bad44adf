"""Probabilities of rows by a classifier that did not learn from them: splits, and one column for every label.

>>> [test.tolist() for _, test in stratified_splits(np.array([0, 0, 0, 1]), 2, seed=0)]
[[0, 2], [1, 3]]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from nearkin.errors import ParameterError
from nearkin.learning.sureness import HeldOut

Split = tuple[np.ndarray, np.ndarray]
"""Row numbers to learn from, and to ask with."""

Distances = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Row numbers to learn from and to ask with, to the distance of the latter from the nearest of the former."""

LEAST_PREDICTED = 0.8
"""Share of rows whose predicted label has the largest score, at least, where there are no probabilities."""


def stratified_splits(codes: np.ndarray, folds: int, seed: int) -> Iterator[Split]:
    """Every row asks once; the rows of a label are dealt to the folds in turn, however few they are."""
    fold = _dealt(codes, seed) % folds
    for number in range(min(folds, len(codes)) if len(codes) > 1 else 0):
        test = np.flatnonzero(fold == number)
        if len(test):
            yield np.flatnonzero(fold != number), test


def one_split(codes: np.ndarray, share: float, seed: int) -> Iterator[Split]:
    """A share of the rows asks, of each label about as much, and at least one row is left to learn from."""
    asked = min(len(codes) - 1, max(1, round(share * len(codes))))
    if asked > 0:
        dealt = _dealt(codes, seed)
        places = np.floor(np.arange(1, len(codes) + 1) * asked / len(codes)) > np.floor(
            np.arange(len(codes)) * asked / len(codes)
        )
        asks = places[dealt]
        yield np.flatnonzero(~asks), np.flatnonzero(asks)


def _dealt(codes: np.ndarray, seed: int) -> np.ndarray:
    """(n,) place of each row in an order by label, shuffled within a label."""
    order = np.lexsort((np.random.default_rng(seed).random(len(codes)), codes))
    place = np.empty(len(codes), dtype=np.int64)
    place[order] = np.arange(len(codes))
    return place


def held_out_rows(
    estimator: Any, X: Any, y: np.ndarray, splits: list[Split], distances: Distances | None
) -> tuple[HeldOut, Any]:
    """Ask with the rows of every split; also the estimator of the last one.

    Parameters
    ----------
    estimator
        Cloned for each split.
    X, y
        n rows and (n,) labels.

    Raises
    ------
    ParameterError
        Rows that a split asks and learns from, or that ask twice; scores that are not one for each label.
    """
    need_apart(splits)
    classes, codes = np.unique(y, return_inverse=True)
    parts, far, asked, fitted = [np.empty((0, len(classes)))], [np.empty(0)], [np.empty(0, np.int64)], None
    said = [np.empty(0, bool)]
    for train, test in splits:
        if len(np.unique(codes[train])) < 2 <= len(classes):  # many classifiers refuse to learn one label
            found = np.zeros((len(test), len(classes)))
            found[:, codes[train[:1]]] = 1
        else:
            fitted = clone(estimator).fit(_safe_indexing(X, train), y[train])
            rows = _safe_indexing(X, test)
            found = class_probabilities(fitted, rows, classes)
            said.append(_predicted(fitted, rows, classes, found))
        parts.append(found)
        asked.append(test)
        if distances is not None:
            far.append(distances(train, test))
    _need_scores_of_labels(estimator, np.concatenate(said))
    which = np.concatenate(asked)
    known = None if distances is None else np.concatenate(far)
    return HeldOut(np.concatenate(parts), codes[which], known), fitted


def need_apart(splits: list[Split]) -> None:
    """Refuse splits whose answers are no independent ones of rows that were not learned from.

    Raises
    ------
    ParameterError
        A split asks rows that it learns from, or a row asks twice.

    Examples
    --------
    >>> need_apart([(np.array([0, 1]), np.array([1]))])
    Traceback (most recent call last):
        ...
    nearkin.errors.ParameterError: cv has a split that asks with 1 of the rows that it learns from: ...
    """
    for train, test in splits:
        both = np.intersect1d(train, test)
        if len(both):
            raise ParameterError(
                f"cv has a split that asks with {len(both):,} of the rows that it learns from: they say nothing of others",
                hint="such as cv=5, or validation=0.2",
            )
    if splits:
        rows, times = np.unique(np.concatenate([test for _, test in splits]), return_counts=True)
        if (times > 1).any():
            raise ParameterError(
                f"cv asks with {int((times > 1).sum()):,} of {len(rows):,} rows more than once, and an error rate is learned from "
                "rows that ask once",
                hint="such as cv=5 or StratifiedKFold, not repeated and not drawn anew; or validation=0.2",
            )


def _predicted(estimator: Any, X: Any, classes: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(m,) whether the label with the largest score is predicted, for an estimator without probabilities."""
    if hasattr(estimator, "predict_proba"):
        return np.empty(0, bool)
    return np.asarray(classes[found.argmax(axis=1)] == estimator.predict(X))


def _need_scores_of_labels(estimator: Any, predicted: np.ndarray) -> None:
    """Now and then a vote is tied and the scores decide otherwise; where they do throughout, they are of something else."""
    if len(predicted) and predicted.mean() < LEAST_PREDICTED:
        raise ParameterError(
            f"{type(estimator).__name__} predicts another label than that of its largest score for {1 - predicted.mean():.0%} of "
            "rows: its scores are not one for each label",
            hint="scores of pairs of labels come from decision_function_shape='ovo'; 'ovr' gives one a label",
        )


def class_probabilities(estimator: Any, X: Any, classes: np.ndarray) -> np.ndarray:
    """(m, classes) float64 probabilities in the order of all labels, 0 for those that the estimator does not know.

    Of a classifier without ``predict_proba`` they are the softmax of its ``decision_function``.

    Raises
    ------
    ParameterError
        It has neither, or scores that are not one for each label.
    """
    known = len(estimator.classes_)
    if hasattr(estimator, "predict_proba"):
        found = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    elif hasattr(estimator, "decision_function"):
        scores = np.asarray(estimator.decision_function(X), dtype=np.float64)
        found = softmax(np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores, axis=1)
    else:
        raise ParameterError(
            f"{type(estimator).__name__} has neither predict_proba nor decision_function, so that nothing tells how sure it is",
            hint="use another classifier",
        )
    if found.shape[1] != known and known > 1:
        raise ParameterError(
            f"{type(estimator).__name__} gives {found.shape[1]:,} scores a row for {known:,} labels",
            hint="scores of pairs of labels come from decision_function_shape='ovo'; 'ovr' gives one a label",
        )
    if known == len(classes) == found.shape[1]:
        return found
    full = np.zeros((len(found), len(classes)))
    full[:, np.searchsorted(classes, estimator.classes_)] = found[:, :known] if known > 1 else 1.0
    return full
