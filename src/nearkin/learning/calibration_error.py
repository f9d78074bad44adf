"""How far stated probabilities are from what comes true: the expected calibration error, and the bins that it is made of.

Top-label: of each row counts the probability of its likeliest label, and whether that label is right.

>>> calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, True, True, False])).__round__(3)
0.1
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from scipy.stats import norm

from nearkin.errors import ParameterError, VectorError
from nearkin.search_parameters import whole_number

Binning = Literal["width", "mass"]


class CalibrationBins(NamedTuple):
    """Rows by their stated probability; what a reliability picture shows. Bins without rows are left out.

    Attributes
    ----------
    low, high
        (b,) least and largest probability that a bin is for (of equal mass: that it holds).
    stated
        (b,) mean probability of its rows.
    true
        (b,) share of its rows that are right.
    rows
        (b,) number of its rows.
    """

    low: np.ndarray
    high: np.ndarray
    stated: np.ndarray
    true: np.ndarray
    rows: np.ndarray


def calibration_bins(probability: Any, right: Any, *, bins: int = 15, binning: Binning = "width") -> CalibrationBins:
    """Sort rows into bins by the probability of their likeliest label.

    Parameters
    ----------
    probability
        (n,) between 0 and 1.
    right
        (n,) whether the label is the true one.
    bins
        Number of bins, at most.
    binning
        ``"width"``: of equal width from 0 to 1, a bin with its upper end (Guo et al.). ``"mass"``: of equally many rows; rows of
        one probability stay together.

    Raises
    ------
    ParameterError, VectorError
        No rows, shapes that differ, probabilities outside 0 to 1, or another way of binning.
    """
    stated, hits = _checked(probability, right)
    count = whole_number("bins", bins, 1)
    if binning not in get_args(Binning):
        raise ParameterError(f"binning is {binning!r}, one of {', '.join(get_args(Binning))} expected")
    if binning == "width":
        edges = np.linspace(0, 1, count + 1)
        place = np.searchsorted(edges[1:-1], stated, side="left")
    else:
        cuts = np.sort(stated)[(len(stated) * np.arange(1, count)) // count]
        place = np.searchsorted(np.unique(cuts), stated, side="right")
    found, place = np.unique(place, return_inverse=True)
    rows = np.bincount(place)
    if binning == "width":
        low, high = edges[found], edges[found + 1]
    else:
        low, high = np.full(len(rows), np.inf), np.zeros(len(rows))
        np.minimum.at(low, place, stated)
        np.maximum.at(high, place, stated)
    return CalibrationBins(
        low, high, np.bincount(place, stated) / rows, np.bincount(place, hits.astype(np.float64)) / rows, rows
    )


def calibration_error(
    probability: Any, right: Any, *, bins: int = 15, binning: Binning = "width", debiased: bool = False
) -> float:
    """The expected calibration error: the mean over rows of how far a bin's stated probability is from its share of right rows.

    Few rows a bin make it too large, even where the probabilities are perfect. `debiased` takes off what chance alone would add
    where each share varies normally around what was seen.

    Sources: M. Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning" (2015);
    C. Guo et al., "On calibration of modern neural networks" (2017) for the top label; A. Kumar, P. Liang, T. Ma, "Verified
    uncertainty calibration" (2019) for the correction.

    Parameters
    ----------
    probability, right, bins, binning
        As for `calibration_bins`.
    debiased
        Whether to take off what chance adds; never below 0.

    Returns
    -------
    float
        Between 0 (calibrated) and 1.

    Raises
    ------
    ParameterError, VectorError
        As for `calibration_bins`.
    """
    found = calibration_bins(probability, right, bins=bins, binning=binning)
    gaps = np.abs(found.stated - found.true)
    if debiased:
        spread = np.sqrt(found.true * (1 - found.true) / found.rows)
        gaps = 2 * gaps - _folded_mean(gaps, spread)
    return max(0.0, float(np.average(gaps, weights=found.rows)))


def _folded_mean(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Mean of the size of a normal number."""
    ratio = np.divide(mean, spread, out=np.full_like(mean, np.inf), where=spread > 0)
    around = spread * np.sqrt(2 / np.pi) * np.exp(-np.square(ratio) / 2)
    return np.asarray(around + mean * (1 - 2 * norm.cdf(-ratio)))


def _checked(probability: Any, right: Any) -> tuple[np.ndarray, np.ndarray]:
    stated, hits = np.asarray(probability, dtype=np.float64), np.asarray(right)
    if stated.ndim != 1 or hits.shape != stated.shape or hits.dtype != bool:
        raise VectorError(
            f"probability and right have shapes {stated.shape} and {hits.shape}, (n,) numbers and (n,) true or false expected"
        )
    if not len(stated):
        raise VectorError("there are no rows to measure with", hint="pass at least one")
    if not (np.isfinite(stated) & (stated > -1e-9) & (stated < 1 + 1e-9)).all():
        raise VectorError("probabilities lie outside 0 to 1")
    return stated, hits
