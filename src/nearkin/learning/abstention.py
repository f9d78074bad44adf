"""From which probability on to answer, so that a stated share of wrong answers is kept.

>>> probability = np.linspace(0.5, 1, 1000)
>>> chosen = choose_threshold(probability, probability > 0.6, error_rate=0.05)
>>> 0.55 < chosen.threshold < 0.65, chosen.coverage.mean > 0.8
(True, True)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from typing import Any

import numpy as np
from scipy.stats import beta

from nearkin.accuracy import Interval
from nearkin.errors import ParameterError, VectorError

CONFIDENCE = 0.95
"""How surely a stated error rate is kept."""

STARTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the rows at which the search for a threshold begins."""


@dataclass(frozen=True)
class Threshold:
    """From which probability on answers are given.

    Attributes
    ----------
    threshold
        Answers need at least this probability; +inf where none is enough.
    error_rate
        That was asked for; None if none was.
    error
        Share of wrong answers among the held-out rows that are answered, with its interval; None where none is.
    coverage
        Share of held-out rows that are answered, with its interval; None where no row was held out.
    reason
        Why nothing is answered; else "".
    """

    threshold: float
    error_rate: float | None
    error: Interval | None
    coverage: Interval | None
    reason: str = ""


def error_bound(errors: np.ndarray | int, answers: np.ndarray | int, confidence: float = CONFIDENCE) -> Any:
    """Upper end of the one-sided interval of an error rate, of which so many of so many answers were wrong.

    Source: C. Clopper, E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial" (1934).

    >>> round(float(error_bound(0, 59)), 3), float(error_bound(3, 3))
    (0.05, 1.0)
    """
    wrong, asked = np.asarray(errors), np.asarray(answers)
    with np.errstate(invalid="ignore"):
        bound = beta.ppf(confidence, wrong + 1, np.maximum(asked - wrong, 1e-9))
    return np.where(wrong >= asked, 1.0, bound)


def need_error_rate(error_rate: float | None) -> None:
    """Refuse an error rate that is none.

    Raises
    ------
    ParameterError
        It is not above 0 and below 1.
    """
    number = isinstance(error_rate, int | float | np.number) and not isinstance(error_rate, bool)
    if error_rate is not None and not (number and 0 < error_rate < 1):
        raise ParameterError(f"error_rate is {error_rate!r}, a share above 0 and below 1 expected", hint="such as 0.05")


def choose_threshold(
    probability: Any,
    right: Any,
    error_rate: float | None,
    *,
    answerable: Any = None,
    confidence: float = CONFIDENCE,
) -> Threshold:
    """The threshold that answers most rows while, with the confidence, at most a share `error_rate` of answers is wrong.

    A threshold counts as good if the Clopper-Pearson bound of the error among the held-out rows above it is at most `error_rate`.
    Looking at many thresholds until one is good would break the confidence, so it is shared out: the search begins at five
    thresholds (those that answer 1/16, 1/8, 1/4, 1/2 and all of the rows), each with a fifth of 1 - `confidence`, and from each
    goes on to lower thresholds as long as they are good; the lowest that was reached is taken. With the confidence, none that
    was found good has a larger error rate than asked for on rows like these.

    Sources: Y. Geifman, R. El-Yaniv, "Selective classification for deep neural networks" (2017) for the problem and the bound;
    A. Angelopoulos, S. Bates, E. Candès, M. Jordan, L. Lei, "Learn then test" (2021) for the order of the tests.

    Parameters
    ----------
    probability, right
        (n,) probability of the likeliest label of each held-out row, and whether it was the true one.
    error_rate
        None to answer always.
    answerable
        (n,) False where no answer is given whatever the probability; None for all.

    Raises
    ------
    ParameterError
        An error rate that is none.
    VectorError
        Shapes that differ.
    """
    need_error_rate(error_rate)
    stated, hits = np.asarray(probability, dtype=np.float64), np.asarray(right, dtype=bool)
    allowed = np.ones(len(stated), dtype=bool) if answerable is None else np.asarray(answerable, dtype=bool)
    if stated.ndim != 1 or hits.shape != stated.shape or allowed.shape != stated.shape:
        raise VectorError(f"probability and right have shapes {stated.shape} and {hits.shape}, (n,) expected of both")
    threshold = (
        0.0 if error_rate is None else _lowest_good(stated[allowed], hits[allowed], float(error_rate), confidence)
    )
    answered = allowed & (stated >= threshold)
    error = Interval.of((~hits[answered]).astype(np.float64)) if answered.any() else None
    coverage = Interval.of(answered.astype(np.float64)) if len(stated) else None
    reason = "" if error_rate is None or threshold < np.inf else _why_none(hits[allowed], float(error_rate), confidence)
    return Threshold(threshold, None if error_rate is None else float(error_rate), error, coverage, reason)


def _lowest_good(stated: np.ndarray, hits: np.ndarray, error_rate: float, confidence: float) -> float:
    order = np.argsort(-stated, kind="stable")
    levels = stated[order]
    last = np.flatnonzero(np.append(levels[1:] < levels[:-1], True)) if len(levels) else np.empty(0, np.int64)
    answers = last + 1  # rows of one probability are answered together
    wrong = np.cumsum(~hits[order])[last] if len(levels) else answers
    good = error_bound(wrong, answers, 1 - (1 - confidence) / len(STARTS)) <= error_rate
    reached = -1
    for start in STARTS:
        place = int(np.searchsorted(answers, ceil(len(levels) * start)))
        while place < len(good) and good[place]:
            reached = max(reached, place)
            place += 1
    return float(levels[last[reached]]) if reached >= 0 else np.inf


def _why_none(hits: np.ndarray, error_rate: float, confidence: float) -> str:
    """In a sentence, with the number of rows that could say more."""
    least = ceil(log((1 - confidence) / len(STARTS)) / log(1 - error_rate))
    few = f"; at least {least:,} answers, all of them right, would be needed" if len(hits) < 2 * least else ""
    return (
        f"no probability keeps the share of wrong answers to {error_rate:.4g} with {confidence:.0%} confidence: of "
        f"{len(hits):,} held-out rows {int((~hits).sum()):,} were wrong{few}"
    )
