"""A method refitted in two dimensions, so that what it predicts where can be drawn."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import clone

from nearkin.learning.cross_validation import take
from nearkin.learning.folds import nested_order

if TYPE_CHECKING:
    from nearkin.learning.judging import Judgement

ROWS = 3000
"""Rows at most that the plane is found with, and that the method is refitted on."""

ACROSS, UP = 160, 110
"""Places at which the method is asked."""

MOST_NAMED = 6
"""Labels that have colours of their own; of more, the others are drawn together."""


class Plane(NamedTuple):
    """Rows in two dimensions, and predictions in the background."""

    points: np.ndarray
    """(m, 2) rows that are drawn."""
    values: np.ndarray
    """(m,) numbers of `names`, or numbers."""
    grid: np.ndarray
    """(up, across) the same of the predictions."""
    extent: tuple[float, float, float, float]
    """Left, right, bottom, top."""
    names: tuple[str, ...]
    """Labels; none for numbers."""
    rest: str
    """Which of them stands for all other labels; empty if none does."""
    axes: tuple[str, str]
    caption: str

    @property
    def range(self) -> tuple[float, float]:
        """Of the numbers, without the outermost 2 %."""
        low, high = np.quantile(self.values, [0.01, 0.99])
        return float(low), float(high)


def plane_of(judged: Judgement) -> Plane | None:
    """The two columns, or the two directions along which rows spread most, with the method refitted there.

    None where rows are not a dense matrix of numbers, or where the method cannot be fitted in two dimensions.
    """
    trial = judged.trial
    codes = trial.targets.values if judged.task == "classes" else None
    some = np.sort(nested_order(codes, trial.count, seed=trial.seed)[:ROWS])
    matrix = _dense(trial.vectors(some)[0] if trial.step is not None else take(trial.rows, some))
    if matrix is None:
        return None
    points, axes, how = _in_two(matrix, trial.rows)
    if trial.step is not None and matrix.shape[1] == 2:
        axes, how = ("first dimension", "second dimension"), "The two dimensions that the embedder gives."
    model = clone(judged.estimator)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the plane, which is a picture
            model.fit(points, trial.wanted[some])
            extent = _extent(points)
            asked = _places(extent)
            answers = np.asarray(model.predict(asked))
    except Exception:  # a metric of more columns, or whatever else a learner needs
        return None
    return _plane(judged, some, points, answers, extent, axes, how)


def _dense(rows: Any) -> np.ndarray | None:
    if hasattr(rows, "tocsr"):
        return None
    try:
        matrix = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return matrix if matrix.ndim == 2 and matrix.shape[1] > 1 and np.isfinite(matrix).all() else None


def _in_two(matrix: np.ndarray, rows: Any) -> tuple[np.ndarray, tuple[str, str], str]:
    if matrix.shape[1] == 2:
        given = getattr(rows, "columns", ("first column", "second column"))
        names = [str(each) for each in given]
        return matrix, (names[0], names[-1]), "The two columns as they are."
    centred = matrix - matrix.mean(axis=0)
    _, spreads, directions = np.linalg.svd(centred, full_matrices=False)
    held = float((spreads[:2] ** 2).sum() / max(float((spreads**2).sum()), 1e-300))
    axes = ("first principal component", "second principal component")
    note = f"The plane along which the rows spread most, with {held:.0%} of their variance."
    return np.asarray(centred @ directions[:2].T), axes, note


def _extent(points: np.ndarray) -> tuple[float, float, float, float]:
    low, high = np.quantile(points, [0.002, 0.998], axis=0)
    room = 0.06 * np.maximum(high - low, 1e-9)
    low, high = low - room, high + room
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _places(extent: tuple[float, float, float, float]) -> np.ndarray:
    left, right, bottom, top = extent
    across, up = np.meshgrid(np.linspace(left, right, ACROSS), np.linspace(bottom, top, UP))
    return np.column_stack([across.ravel(), up.ravel()])


def _plane(
    judged: Judgement,
    some: np.ndarray,
    points: np.ndarray,
    answers: np.ndarray,
    extent: tuple[float, float, float, float],
    axes: tuple[str, str],
    how: str,
) -> Plane:
    told = (
        f"{how} The background is what {judged.method.partition('(')[0]} predicts when it is fitted in this plane alone: a picture "
        "of its manner, not of its accuracy, which stands on all columns."
    )
    if len(some) < judged.trial.count:
        told += f" {len(some):,} of {judged.trial.count:,} rows are drawn."
    truth = judged.trial.targets.values[some]
    if judged.task == "numbers":
        return Plane(points, truth, answers.astype(float).reshape(UP, ACROSS), extent, (), "", axes, told)
    codes = np.searchsorted(judged.labels, answers)
    names, renamed, rest = _named(judged)
    if rest:
        told += f" The {MOST_NAMED} largest labels have colours."
    return Plane(points, renamed[truth], renamed[codes].reshape(UP, ACROSS), extent, names, rest, axes, told)


def _named(judged: Judgement) -> tuple[tuple[str, ...], np.ndarray, str]:
    """Names that are drawn, (classes,) which of them each label has, and the one that stands for all others."""
    labels, count = [str(each) for each in judged.labels.tolist()], len(judged.labels)
    if count <= MOST_NAMED:
        return tuple(labels), np.arange(count), ""
    largest = np.argsort(-judged.trial.targets.rows_by_class, kind="stable")[:MOST_NAMED]
    renamed = np.full(count, MOST_NAMED)
    renamed[largest] = np.arange(MOST_NAMED)
    rest = f"{count - MOST_NAMED:,} other labels"
    return (*(labels[at] for at in largest.tolist()), rest), renamed, rest
