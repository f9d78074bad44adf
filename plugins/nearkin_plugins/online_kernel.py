"""One pass of online k-means, compiled; importing this needs numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    "error_model": "numpy",
}


def _compiled(function: Callable[..., None]) -> Any:
    """Kept on disk where there is a place for it."""
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        return numba.njit(**_OPTIONS)(function)


@_compiled
def _weigh(means: np.ndarray, halves: np.ndarray, scales: np.ndarray, cluster: int, directed: bool) -> None:
    square = 0.0
    for column in range(means.shape[1]):
        square += means[cluster, column] ** 2
    if directed:
        scales[cluster] = 1 / np.sqrt(square) if square > 0 else 0.0
    else:
        halves[cluster] = square / 2


@_compiled
def one_pass(
    rows: np.ndarray,
    order: np.ndarray,
    mass: np.ndarray,
    origin: np.ndarray,
    means: np.ndarray,
    counts: np.ndarray,
    rate: float,
    directed: bool,
) -> None:
    """`nearkin_plugins.online.one_pass_in_numpy`, row by row in machine code."""
    k, dim = means.shape
    halves, scales = np.zeros(k), np.ones(k)
    for cluster in range(k):
        _weigh(means, halves, scales, cluster, directed)
    row = np.empty(dim)
    for number in order:
        weight = mass[number]
        if weight <= 0:
            continue
        for column in range(dim):
            row[column] = rows[number, column] - origin[column]
        nearest, most = 0, -np.inf
        for cluster in range(k):
            product = 0.0
            for column in range(dim):
                product += row[column] * means[cluster, column]
            score = (product - halves[cluster]) * scales[cluster]
            if score > most:
                nearest, most = cluster, score
        counts[nearest] += weight
        share = weight / counts[nearest] if rate == 0 else 1 - (1 - rate) ** weight
        for column in range(dim):
            means[nearest, column] += share * (row[column] - means[nearest, column])
        _weigh(means, halves, scales, nearest, directed)
