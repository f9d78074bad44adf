"""How strong the penalty of logistic regression is to be: the C with the least log-loss on rows that were held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from nearkin.errors import ParameterError
from nearkin.learning.column_weights import Scale
from nearkin.learning.logistic_loss import descend, log_loss_and_gradient

STRENGTHS = tuple(float(10.0**power) for power in range(-4, 5))
"""Values of C that are tried, the strongest penalty first."""

RISES = 2
"""After so many values in a row without less loss, larger ones are not tried."""


@dataclass(frozen=True)
class Strength:
    """The C that was chosen.

    Attributes
    ----------
    C
        With the least mean loss.
    losses
        C to mean log-loss on held-out rows, and its standard error over the folds.
    """

    C: float
    losses: Mapping[float, tuple[float, float]]


def choose_strength(
    rows: np.ndarray, codes: np.ndarray, classes: int, *, folds: int, seed: int, scaled: bool, **how: Any
) -> Strength:
    """Try `STRENGTHS` on stratified folds; `how` goes to `descend`.

    Raises
    ------
    ParameterError
        A label with one row.
    """
    fewest = int(np.bincount(codes, minlength=classes).min())
    if fewest < 2:
        raise ParameterError(
            f"C='auto' holds rows of every label out, and one label has {fewest} row", hint="give C as a number"
        )
    parts = [
        _Fold.of(rows, codes, parts, scaled, how.get("intercept", True))
        for parts in StratifiedKFold(min(folds, fewest), shuffle=True, random_state=seed).split(rows, codes)
    ]
    losses: dict[float, tuple[float, float]] = {}
    best, since = STRENGTHS[0], 0
    for C in STRENGTHS:
        found = np.array([part.loss(classes, C, how) for part in parts])
        losses[C] = (float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found))))
        if losses[C][0] < losses[best][0] or best == C:
            best, since = C, 0
        else:
            since += 1
        if since == RISES:
            break
    return Strength(best, losses)


@dataclass
class _Fold:
    """Training and held-out rows, scaled by the training rows; the last weights are where the next C begins."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    units: np.ndarray | None
    weights: np.ndarray | None = None

    @classmethod
    def of(cls, rows: np.ndarray, codes: np.ndarray, parts: Sequence[np.ndarray], scaled: bool, centre: bool) -> _Fold:
        train, test = parts
        scale = Scale.of(rows[train], centre)
        units = None if scaled else 1 / scale.spread
        return cls((scale.apply(rows[train]), codes[train]), (scale.apply(rows[test]), codes[test]), units)

    def loss(self, classes: int, C: float, how: Mapping[str, Any]) -> float:
        self.weights = descend(*self.train, classes, C=C, units=self.units, start=self.weights, **how).weights
        return log_loss_and_gradient(self.weights, *self.test)[0]
