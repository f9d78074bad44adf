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
    """
    classes, codes = np.unique(y, return_inverse=True)
    parts, far, asked, fitted = [np.empty((0, len(classes)))], [np.empty(0)], [np.empty(0, np.int64)], None
    for train, test in splits:
        if len(np.unique(codes[train])) < 2 <= len(classes):  # many classifiers refuse to learn one label
            found = np.zeros((len(test), len(classes)))
            found[:, codes[train[:1]]] = 1
        else:
            fitted = clone(estimator).fit(_safe_indexing(X, train), y[train])
            found = class_probabilities(fitted, _safe_indexing(X, test), classes)
        parts.append(found)
        asked.append(test)
        if distances is not None:
            far.append(distances(train, test))
    which = np.concatenate(asked)
    known = None if distances is None else np.concatenate(far)
    return HeldOut(np.concatenate(parts), codes[which], known), fitted


def class_probabilities(estimator: Any, X: Any, classes: np.ndarray) -> np.ndarray:
    """(m, classes) float64 probabilities in the order of all labels, 0 for those that the estimator does not know.

    Of a classifier without ``predict_proba`` they are the softmax of its ``decision_function``.

    Raises
    ------
    ParameterError
        It has neither.
    """
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
    if len(estimator.classes_) == len(classes):
        return found
    full = np.zeros((len(found), len(classes)))
    full[:, np.searchsorted(classes, estimator.classes_)] = found[:, : len(estimator.classes_)]
    return full
