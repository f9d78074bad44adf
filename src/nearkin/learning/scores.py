"""Scores of predictions, by their usual names: of labels, with or without probabilities, and of numbers.

Values are scikit-learn's, a division by zero counts as 0, and what is not defined is None.

>>> class_scores(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2)["accuracy"]
0.75
>>> number_scores(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0]))["RMSE"] == (4 / 3) ** 0.5
True
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn import metrics

from nearkin.learning.calibration_error import calibration_bins, calibration_error

LARGER_IS_BETTER = {
    "accuracy": True,
    "balanced accuracy": True,
    "precision": True,
    "recall": True,
    "F1": True,
    "ROC-AUC": True,
    "log-loss": False,
    "calibration error": False,
    "MAE": False,
    "MSE": False,
    "RMSE": False,
    "R2": True,
}
"""Every score by name."""

BINS = 15
"""Of the calibration error, of equal width."""

LEAST = float(np.finfo(np.float64).eps)
"""A probability below this counts as this, so that one certain mistake is not an infinite loss (as in scikit-learn)."""


class PerClass(NamedTuple):
    """(classes,) arrays, one number a class."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    rows: np.ndarray


class ReliabilityBin(NamedTuple):
    """Predictions of about the same confidence, and how many of them are right."""

    low: float
    high: float
    rows: int
    confidence: float
    """Mean over the rows."""
    accuracy: float


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(classes, classes) rows with the true label down and the predicted one across; labels are numbers from 0."""
    return np.asarray(metrics.confusion_matrix(truth, predicted, labels=np.arange(classes)))


def per_class(truth: np.ndarray, predicted: np.ndarray, classes: int) -> PerClass:
    """Precision, recall, F1 and rows of each class."""
    found = metrics.precision_recall_fscore_support(truth, predicted, labels=np.arange(classes), zero_division=0)
    return PerClass(*found)


def class_scores(
    truth: np.ndarray, predicted: np.ndarray, classes: int, probabilities: np.ndarray | None = None
) -> dict[str, float | None]:
    """Scores of labels.

    Precision, recall and F1 are means over the classes that are in the truth or among the predictions ("macro"); balanced
    accuracy is the mean recall of those in the truth.

    Parameters
    ----------
    truth, predicted
        (n,) numbers of the labels, from 0.
    probabilities
        (n, classes); without them there is no ROC-AUC, log-loss or calibration error.
    """
    each = per_class(truth, predicted, classes)
    there = each.rows > 0
    seen = there | (np.bincount(predicted, minlength=classes) > 0)
    found: dict[str, float | None] = {
        "accuracy": float((truth == predicted).mean()),
        "balanced accuracy": float(each.recall[there].mean()),
        "precision": float(each.precision[seen].mean()),
        "recall": float(each.recall[seen].mean()),
        "F1": float(each.f1[seen].mean()),
        "ROC-AUC": None,
        "log-loss": None,
        "calibration error": None,
    }
    if probabilities is not None:
        found["ROC-AUC"] = roc_auc(truth, probabilities)
        found["log-loss"] = float(row_losses(truth, probabilities).mean())
        found["calibration error"] = calibration_error(*confidences(truth, probabilities), bins=BINS)
    return found


def row_losses(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(n,) minus the logarithm of the right label's probability, whose mean is the log-loss."""
    of_truth = probabilities[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.clip(of_truth, LEAST, 1.0)))


def roc_auc(truth: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Area under the ROC curve; of several classes the mean of each against the rest. None where a class has no rows, or all."""
    rows = np.bincount(truth, minlength=probabilities.shape[1])
    if len(rows) < 2 or (rows == 0).any():
        return None
    if len(rows) == 2:
        return float(metrics.roc_auc_score(truth, probabilities[:, 1]))
    found = [metrics.roc_auc_score(truth == each, probabilities[:, each]) for each in range(len(rows))]
    return float(np.mean(found))


def confidences(truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) probability of the likeliest label of each row, and whether it is the right one."""
    likeliest = np.clip(probabilities.max(axis=1), 0, 1)  # a sum of shares may be a rounding above
    return likeliest, probabilities.argmax(axis=1) == truth


def reliability(truth: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """The bins of the calibration error that have rows."""
    found = calibration_bins(*confidences(truth, probabilities), bins=bins)
    columns = (found.low, found.high, found.rows, found.stated, found.true)
    return tuple(ReliabilityBin(*each) for each in zip(*(column.tolist() for column in columns), strict=True))


def number_scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float | None]:
    """Scores of numbers; R2 is None where all true numbers are equal."""
    squared = float(metrics.mean_squared_error(truth, predicted))
    varies = len(truth) > 1 and np.ptp(truth) > 0
    return {
        "MAE": float(metrics.mean_absolute_error(truth, predicted)),
        "MSE": squared,
        "RMSE": squared**0.5,
        "R2": float(metrics.r2_score(truth, predicted)) if varies else None,
    }
