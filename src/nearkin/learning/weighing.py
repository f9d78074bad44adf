"""How much each neighbour counts: equally, by nearness, or by a softmax of nearness.

>>> weigh(np.float32([[0.5, 1.0, np.inf]]), "distance").tolist()
[[2.0, 1.0, 0.0]]
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from nearkin.errors import ParameterError

Weighting = Literal["uniform", "distance", "softmax"]


def need_weighting(weights: str, temperature: float | None) -> None:
    """Refuse a weighting that there is not, and a temperature that has no meaning.

    Raises
    ------
    ParameterError
        With what there is.
    """
    if weights not in get_args(Weighting):
        raise ParameterError(f"weights is {weights!r}, one of {', '.join(get_args(Weighting))} expected")
    if temperature is None:
        return
    if weights != "softmax":
        raise ParameterError(
            f"temperature is {temperature!r}, and weights={weights!r} has none", hint='use weights="softmax"'
        )
    need_temperature(temperature)


def need_temperature(given: Any, expected: str = "a number") -> None:
    """Refuse a temperature that no score can be divided by.

    Raises
    ------
    ParameterError
        It is no number, or not above 0.
    """
    number = isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)
    if not number or not 0 < given < np.inf:
        raise ParameterError(f"temperature is {given!r}, {expected} above 0 expected")


def weigh(distances: np.ndarray, weights: Weighting, temperature: float = 1.0) -> np.ndarray:
    """(nq, k) float64 weights of neighbours at distances that ascend; 0 where there is none (distance +inf).

    ``uniform``: 1. ``distance``: 1 / distance; where some are at distance 0, these count 1 and all others nothing (as in
    scikit-learn). ``softmax``: exp(-(d - nearest) / temperature), the weights of attention, whose sum is divided out later.
    """
    there = np.isfinite(distances)
    plain = np.where(there, distances, 0).astype(np.float64)
    if weights == "uniform":
        return np.asarray(there, dtype=np.float64)
    if weights == "softmax":
        nearest = plain[:, :1] if plain.shape[1] else plain
        return np.where(there, np.exp(-(plain - nearest) / temperature), 0.0)
    lowest = np.where(there, plain, np.inf)
    negative = lowest.min(axis=1, initial=np.inf) < 0
    if negative.any():
        raise ParameterError(
            "weights='distance' needs distances of at least 0, and this metric gives negative ones",
            hint='use weights="uniform" or "softmax"',
        )
    zero = there & (plain == 0)
    inverse = np.where(there & ~zero, 1.0 / np.where(plain > 0, plain, 1), 0.0)
    return np.where(zero.any(axis=1)[:, None], zero.astype(np.float64), inverse)
