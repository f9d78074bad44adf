"""How sure a classifier may be, learned from held-out rows: temperature, threshold, and the limit of its scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.learners import Reason
from nearkin.learning.abstention import Threshold, choose_threshold
from nearkin.learning.calibration_error import calibration_error
from nearkin.learning.decisions import Decisions
from nearkin.learning.scope import beyond, scope_limit
from nearkin.learning.temperature_scaling import TemperatureScaling, fit_temperature

DIGITS = 9
"""Of a probability that count when it is compared with a threshold."""


@dataclass(frozen=True)
class HeldOut:
    """Rows that asked a classifier which had not learned from them.

    Attributes
    ----------
    probabilities
        (n, classes) as the classifier gives them; or (n, few) without some that are zero, of other labels in each row.
    codes
        (n,) columns of the true labels.
    distances
        (n,) to the nearest row that it had learned from; None where nothing is to be out of scope.
    unseen
        Labels without a column.
    """

    probabilities: np.ndarray
    codes: np.ndarray
    distances: np.ndarray | None
    unseen: int = 0


@dataclass(frozen=True)
class Sureness:
    """What held-out rows say about a classifier.

    >>> rng = np.random.default_rng(0)
    >>> first = rng.uniform(0.5, 1, 2000)
    >>> codes = (rng.random(2000) > first).astype(int)  # the probability of the first label is what it says
    >>> claimed = first**3 / (first**3 + (1 - first) ** 3)  # three times the log-odds
    >>> sure = Sureness.of(HeldOut(np.stack([claimed, 1 - claimed], axis=1), codes, None), error_rate=0.1)
    >>> round(sure.scaling.temperature), sure.ece_before > 0.1 > 0.03 > sure.ece_after
    (3, True)

    Attributes
    ----------
    scaling
        What calibrates probabilities.
    answer
        From which probability on answers are given, and what that costs.
    limit, scope
        Distance beyond which a row is out of scope (+inf: none is), and the share of known rows within it; None where distances
        were not asked for, or some are below 0.
    ece_before, ece_after
        Expected calibration error before and after; the latter of each half of the rows with what the other half gave. None for
        fewer than two rows.
    rows
        Held-out rows.
    notes
        What cannot be said, and why.
    """

    scaling: TemperatureScaling
    answer: Threshold
    limit: float
    scope: float | None
    ece_before: float | None
    ece_after: float | None
    rows: int
    notes: tuple[str, ...]

    @classmethod
    def of(cls, held_out: HeldOut, *, error_rate: float | None, scope: float | None = None, seed: int = 0) -> Sureness:
        """Learn from held-out rows.

        Raises
        ------
        ParameterError
            An error rate or a scope that is none.
        """
        given, codes, unseen = held_out.probabilities, held_out.codes, held_out.unseen
        scaling = fit_temperature(given, codes, unseen)
        far = held_out.distances
        scope, limit, unknown = _scope(far, scope)
        inside = np.ones(len(codes), dtype=bool) if far is None or scope is None else ~beyond(far, limit)
        right = given.argmax(axis=1) == codes
        stated = _rounded(scaling.apply(given, unseen).max(axis=1, initial=0.0)) if len(codes) else np.empty(0)
        answer = choose_threshold(stated, right, error_rate, answerable=inside)
        notes = [each for each in (answer.reason, unknown) if each]
        before, after = _errors(held_out, seed) if len(codes) > 1 else (None, None)
        return cls(scaling, answer, limit, scope, before, after, len(codes), tuple(notes))

    def decide(
        self,
        labels: Sequence[Any],
        probabilities: np.ndarray,
        distances: np.ndarray | None,
        reasons: Sequence[Sequence[Reason]] = (),
        columns: np.ndarray | None = None,
    ) -> Decisions:
        """Decisions on rows.

        Parameters
        ----------
        labels
            All there are, of the columns of the probabilities.
        probabilities
            (m, classes) as the classifier gives them, or (m, few) without some that are zero.
        distances
            (m,) to the nearest row that it learned from.
        reasons
            One sequence a row, or empty.
        columns
            (m, few) numbers of the labels that the columns are of, in each row.
        """
        calibrated = self.scaling.apply(probabilities, len(labels) - np.shape(probabilities)[1])
        best = np.asarray(probabilities).argmax(axis=1) if len(calibrated) else np.empty(0, np.int64)
        every = np.arange(len(best))
        codes = best if columns is None else columns[every, best]
        return Decisions(
            [labels[code] for code in codes.tolist()],
            _rounded(calibrated[every, best]),
            threshold=self.answer.threshold,
            distances=None if self.scope is None else distances,
            limit=self.limit,
            scope=self.scope,
            error_rate=self.answer.error_rate,
            reasons=reasons,
            notes=self.notes,
        )


def _scope(distances: np.ndarray | None, scope: float | None) -> tuple[float | None, float, str]:
    """The share of known rows that a limit is of, the limit, and why there is none."""
    if distances is None or scope is None:
        return None, np.inf, ""
    if (distances < 0).any():
        return (
            None,
            np.inf,
            "nothing is held for out of scope: distances below 0 do not tell how far a row is from known ones",
        )
    limit = scope_limit(distances, scope)
    few = (
        f"nothing is held for out of scope: {len(distances):,} held-out rows do not tell within which distance {scope:.4g} of "
        "rows lie"
    )
    return scope, limit, few if limit == np.inf else ""


def _rounded(probabilities: np.ndarray) -> np.ndarray:
    """Without the last digits, by which equal votes may differ when they are added in another order."""
    return np.asarray(probabilities.round(DIGITS))


def _errors(held_out: HeldOut, seed: int) -> tuple[float, float]:
    """Calibration error before, and after: of each half by the temperature of the other."""
    given, codes, unseen = held_out.probabilities, held_out.codes, held_out.unseen
    right = given.argmax(axis=1) == codes
    stated = np.empty(len(codes))
    order = np.random.default_rng(seed).permutation(len(codes))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    for one, other in (halves, halves[::-1]):
        stated[one] = fit_temperature(given[other], codes[other], unseen).apply(given[one], unseen).max(axis=1)
    return calibration_error(given.max(axis=1), right), calibration_error(stated, right)
