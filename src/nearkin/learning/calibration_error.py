"""How far the probability of a predicted label is from how often such predictions are right.

>>> sure = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
>>> round(expected_calibration_error(sure, np.array([0, 1, 1])), 3)
0.333
"""

from __future__ import annotations

import numpy as np

BINS = 15


def confidence_bins(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(n,) number of the bin that each confidence is in: of equal width from 0 to 1, the upper end belonging to its bin.

    >>> confidence_bins(np.array([0.0, 0.5, 0.51, 1.0]), 2).tolist()
    [0, 0, 1, 1]
    """
    return np.asarray(np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1))


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Mean over rows of the gap, in its bin, between mean confidence and the share that is right.

    Source: C. Guo et al., "On calibration of modern neural networks" (2017).

    Parameters
    ----------
    probabilities
        (n, classes); a row's confidence is its largest.
    labels
        (n,) right columns of these.
    """
    confidence = probabilities.max(axis=1)
    gaps = (probabilities.argmax(axis=1) == labels) - confidence
    sums = np.bincount(confidence_bins(confidence, bins), gaps, minlength=bins)
    return float(np.abs(sums).sum() / len(labels))
