"""Scores with 95 % intervals, from predictions of rows that the models had not seen.

Rows are drawn anew, the predictions stay as they are. So an interval says where the score of these fitted models may lie on
other rows of the same kind. How much another training set would change the models is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np

from nearkin.accuracy import CONFIDENCE_Z, Interval
from nearkin.learning.scores import BINS, class_scores, confidences, confusion_matrix, number_scores, row_losses
from nearkin.vectors import block_rows

DRAWS = 1000
"""Times that rows are drawn anew."""

ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval.

    >>> print(Score(0.9, 0.85, 0.94))
    0.900 (0.850 to 0.940)
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class ClassScores:
    """Scores of one label.

    Attributes
    ----------
    rows
        That have the label.
    """

    label: Any
    rows: int
    precision: Score
    recall: Score
    f1: Score


Scores = dict[str, Score | None]


def share(right: np.ndarray) -> Score:
    """Of the rows that are right: Wilson's interval with continuity correction."""
    found = Interval.of(np.asarray(right, dtype=np.float64))
    return Score(found.mean, found.low, found.high)


# ---- labels ----------------------------------------------------------------------------------------------------------


def scores_of_classes(
    truth: np.ndarray, predicted: np.ndarray, classes: int, probabilities: np.ndarray | None, *, seed: int = 0
) -> Scores:
    """The scores of `class_scores`: accuracy with Wilson's interval, ROC-AUC with DeLong's, the others with that of the bootstrap.

    The bootstrap draws n rows with replacement `DRAWS` times and takes the middle 95 % of the scores. Where the rows are few or all
    alike, a score of 0 or 1 in every draw gets Wilson's interval, since no score is known to a point. Drawing rows adds calibration
    error of itself, once in the measured value and once more in each draw: its interval is lowered by that much.

    Sources: B. Efron, R. Tibshirani, "An introduction to the bootstrap" (1993); E. DeLong et al., "Comparing the areas under two
    or more correlated receiver operating characteristic curves" (1988).
    """
    values = class_scores(truth, predicted, classes, probabilities)
    found: Scores = dict.fromkeys(values)
    found["accuracy"] = share(truth == predicted)
    drawn = _macro(_drawn_confusions(confusion_matrix(truth, predicted, classes), seed))
    for name, draws in drawn.items():
        value = values[name]
        found[name] = None if value is None else _between(value, draws, len(truth))
    if probabilities is None:
        return found
    found["ROC-AUC"] = area(truth, probabilities)
    sums = _drawn_sums(np.column_stack([row_losses(truth, probabilities), _gaps(truth, probabilities)]), seed)
    loss, error = values["log-loss"], values["calibration error"]
    if loss is not None and error is not None:
        found["log-loss"] = _ends(loss, sums[:, 0] / len(truth))
        found["calibration error"] = _lowered(error, np.abs(sums[:, 1:]).sum(axis=1) / len(truth))
    return found


def scores_by_class(
    truth: np.ndarray, predicted: np.ndarray, labels: np.ndarray, *, seed: int = 0
) -> tuple[ClassScores, ...]:
    """Precision, recall and F1 of each label: the first two with Wilson's interval, F1 with the bootstrap's."""
    count = len(labels)
    confusion = confusion_matrix(truth, predicted, count)
    right, of_truth, of_predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    hits, there, named = _drawn_confusions(confusion, seed)
    f1 = _ratio(2 * hits, there + named)
    values = _ratio(2 * right, of_truth + of_predicted)
    return tuple(
        ClassScores(
            label,
            int(of_truth[at]),
            _of_counts(right[at], of_predicted[at]),
            _of_counts(right[at], of_truth[at]),
            _between(float(values[at]), f1[:, at], int(of_truth[at])),
        )
        for at, label in enumerate(labels.tolist())
    )


def _of_counts(right: int, of: int) -> Score:
    return share(np.arange(int(of)) < int(right)) if of else Score(0.0, 0.0, 1.0)


Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]


def _drawn_confusions(confusion: np.ndarray, seed: int) -> Drawn:
    """(draws, classes) each: rows that are right, that have a label, and that were given it.

    Rows drawn with replacement fall into the cells of the confusion matrix as a multinomial distribution says.
    """
    across, down = np.nonzero(confusion)
    counts = confusion[across, down]
    total, classes = int(counts.sum()), len(confusion)
    cells = np.random.default_rng(seed).multinomial(total, counts / total, DRAWS)
    at = np.arange(classes)
    right = across == down
    hits = np.zeros((DRAWS, classes), dtype=np.int64)
    hits[:, across[right]] = cells[:, right]
    there = cells @ (across[:, None] == at).astype(np.int64)
    return hits, there, cells @ (down[:, None] == at).astype(np.int64)


def _macro(drawn: Drawn) -> dict[str, np.ndarray]:
    hits, there, named = drawn
    recall, precision, f1 = _ratio(hits, there), _ratio(hits, named), _ratio(2 * hits, there + named)
    seen = (there + named) > 0
    return {
        "balanced accuracy": recall.sum(axis=1) / np.maximum((there > 0).sum(axis=1), 1),
        "precision": precision.sum(axis=1) / seen.sum(axis=1),
        "recall": recall.sum(axis=1) / seen.sum(axis=1),
        "F1": f1.sum(axis=1) / seen.sum(axis=1),
    }


def _ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(one / np.maximum(other, 1))


def _gaps(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(n, bins): right or not minus confidence, in the column of its bin, whose upper end is in it."""
    confidence, right = confidences(truth, probabilities)
    edges = np.linspace(0, 1, BINS + 1)
    gaps = np.zeros((len(truth), BINS))
    gaps[np.arange(len(truth)), np.clip(np.searchsorted(edges, confidence) - 1, 0, BINS - 1)] = right - confidence
    return gaps


# ---- areas -----------------------------------------------------------------------------------------------------------


def area(truth: np.ndarray, probabilities: np.ndarray) -> Score | None:
    """ROC-AUC, of several classes the mean of each against the rest, with DeLong's interval on the logit scale.

    The part that each row has in the mean area is summed over the classes before its variance is taken, so that classes count as
    what they are: not independent. An area of exactly 1 or 0 gets Wilson's interval for the rows of the smallest class.
    """
    rows = np.bincount(truth, minlength=probabilities.shape[1])
    if len(rows) < 2 or (rows == 0).any():
        return None
    columns = [1] if len(rows) == 2 else list(range(len(rows)))
    areas, parts = [], np.zeros(len(truth))
    for each in columns:
        mine = truth == each
        value, part = _placements(probabilities[:, each], mine)
        areas.append(value)
        parts += part / len(columns)
    mean, error = float(np.mean(areas)), float(np.sqrt((parts**2).sum()))
    if error == 0 or mean <= 0 or mean >= 1:
        edge = Interval.of(np.full(int(rows.min()), round(mean)))
        return Score(mean, min(mean, edge.low), max(mean, edge.high))
    middle, reach = log(mean / (1 - mean)), CONFIDENCE_Z * error / (mean * (1 - mean))
    return Score(mean, *(1 / (1 + exp(-min(max(middle + side * reach, -700), 700))) for side in (-1, 1)))


def _placements(scores: np.ndarray, mine: np.ndarray) -> tuple[float, np.ndarray]:
    """The area, and (n,) by how much each row draws it from its mean, squares of which add up to DeLong's variance."""
    from scipy.stats import rankdata

    ones, others = int(mine.sum()), int((~mine).sum())
    among_all = rankdata(scores)
    inside = np.empty(len(scores))
    inside[mine], inside[~mine] = rankdata(scores[mine]), rankdata(scores[~mine])
    beaten = np.where(mine, (among_all - inside) / others, 1 - (among_all - inside) / ones)
    value = float(beaten[mine].mean())
    counts = np.where(mine, np.sqrt(ones * max(ones - 1, 1)), np.sqrt(others * max(others - 1, 1)))
    return value, (beaten - value) / counts


# ---- numbers ---------------------------------------------------------------------------------------------------------


def scores_of_numbers(truth: np.ndarray, predicted: np.ndarray, *, seed: int = 0) -> Scores:
    """The scores of `number_scores`, with intervals of the bootstrap over rows."""
    values = number_scores(truth, predicted)
    centred = truth - truth.mean()
    errors = predicted - truth
    sums = _drawn_sums(np.column_stack([np.abs(errors), errors**2, centred, centred**2]), seed) / len(truth)
    spread = sums[:, 3] - sums[:, 2] ** 2
    drawn = {"MAE": sums[:, 0], "MSE": sums[:, 1], "RMSE": np.sqrt(sums[:, 1])}
    if values["R2"] is not None:
        there = spread > 0
        drawn["R2"] = 1 - sums[there, 1] / spread[there]
    return {name: None if value is None else _ends(value, drawn[name]) for name, value in values.items()}


def _drawn_sums(columns: np.ndarray, seed: int) -> np.ndarray:
    """(draws, m) sums over n rows drawn with replacement, of (n, m) values."""
    rng, n = np.random.default_rng(seed), len(columns)
    sums = np.empty((DRAWS, columns.shape[1]))
    step = min(block_rows(8 * n), DRAWS)
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        times = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(size)])
        sums[start : start + size] = times.astype(np.float64) @ columns
    return sums


def _ends(value: float, draws: np.ndarray) -> Score:
    low, high = (float(each) for each in np.quantile(draws, ENDS)) if len(draws) else (value, value)
    return Score(value, min(low, value), max(high, value))


def _lowered(value: float, draws: np.ndarray) -> Score:
    """Of a score that is at least 0 and grows by being measured on few rows."""
    added = max(0.0, float(draws.mean()) - value)
    low, high = (float(each) for each in np.quantile(draws, ENDS))
    return Score(value, min(value, max(0.0, low - 2 * added)), max(value, high - added))


def _between(value: float, draws: np.ndarray, rows: int) -> Score:
    """Of a score between 0 and 1, which no rows show to a point."""
    if np.ptp(draws) > 0 or not rows:
        return _ends(value, draws)
    edge = Interval.of(np.full(rows, value))
    return Score(value, edge.low, edge.high)
