"""The temperature of attention, from keys whose own value is held out: the one whose means come closest to it.

Each of some keys, drawn at random, attends to all others but itself (leave-one-out). Labels are judged by the log-loss of the share
that the true one gets, numbers by their squared error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nearkin.learning.attended_keys import Keys
from nearkin.learning.attended_values import ValueTable
from nearkin.learning.softmax_sums import shares_of

HELD_OUT = 1000
"""Keys that are held out at most."""
SCORES = 1 << 23
"""Scores of these that are kept in memory; fewer keys are held out where there are many, and at least 100."""
STEPS = 25
"""Temperatures that are tried before the best is refined."""
RANGE = (1e-4, 1e2)
"""Of temperatures that are tried, as shares of how far the scores of a key spread."""
LEAST_SHARE = 1e-15
"""As small as the share of a true label can be, for its logarithm."""


class Shown(NamedTuple):
    """Scores of the keys that held-out ones attend to.

    Attributes
    ----------
    scores
        (heads, m, k), -inf for none.
    found
        (heads, m, k) numbers of these keys, -1 for none; None where they are all keys.
    """

    scores: np.ndarray
    found: np.ndarray | None


def rows_to_hold_out(keys: Keys, seed: int) -> np.ndarray:
    """Numbers of keys, drawn at random."""
    most = min(keys.count, HELD_OUT, max(100, SCORES // (keys.count * keys.heads)))
    return np.asarray(np.random.default_rng(seed).permutation(keys.count)[:most])


def fitted_temperature(shown: Shown, values: ValueTable, own: np.ndarray, otherwise: float) -> float:
    """The temperature with the least loss; where all are as good, such as for values that are all the same, the one given."""
    finite = np.where(np.isfinite(shown.scores), shown.scores, np.nan)
    spreads = np.fmax.reduce(finite, axis=2) - np.fmin.reduce(finite, axis=2)
    spread = float(np.nanmedian(spreads)) if np.isfinite(spreads).any() else 0.0
    return least_loss(lambda temperature: _loss(shown, values, own, temperature), spread, otherwise)


def least_loss(loss: Callable[[float], float], spread: float, otherwise: float) -> float:
    """The temperature with the least loss, tried on a scale of logarithms and then refined.

    Parameters
    ----------
    spread
        How far scores differ.
    otherwise
        The answer where they do not, or where every temperature is as good.

    Examples
    --------
    >>> round(least_loss(lambda temperature: (temperature - 0.3) ** 2, 1.0, 1.0), 2)
    0.3
    """
    from scipy.optimize import minimize_scalar

    if not spread > 0:
        return otherwise
    logs = np.log(spread) + np.linspace(np.log(RANGE[0]), np.log(RANGE[1]), STEPS)
    losses = np.array([loss(float(np.exp(each))) for each in logs])
    if np.ptp(losses) <= 1e-12 * max(1.0, float(np.abs(losses).max())):
        return otherwise
    best = int(losses.argmin())
    around = (logs[max(0, best - 1)], logs[min(STEPS - 1, best + 1)])
    refined = minimize_scalar(
        lambda log: loss(float(np.exp(log))), bounds=around, method="bounded", options={"xatol": 0.01}
    )
    return float(np.exp(refined.x if refined.fun <= losses[best] else logs[best]))


def log_loss(shares: np.ndarray) -> float:
    """Mean of -log of the shares that true labels get, none of which counts as less than 1e-15."""
    return float(-np.log(np.maximum(shares, LEAST_SHARE)).mean())


def _loss(shown: Shown, values: ValueTable, own: np.ndarray, temperature: float) -> float:
    shares = shares_of(shown.scores, temperature)
    if shown.found is None:
        everything = np.arange(shares.shape[2])
        means = np.mean([values.summed(everything, each) for each in shares], axis=0)
    else:
        means = values.mixed(shown.found, shares)
    if values.codes is None:
        return float(((means - values.numbers[own]) ** 2).mean())
    return log_loss(means[np.arange(len(own)), values.codes[own]])
