"""Probabilities that mean what they say: one temperature, fitted on rows that the classifier did not learn from.

>>> boasting = np.array([[0.99, 0.01]] * 40)
>>> fitted = fit_temperature(boasting, np.array([0, 0, 0, 1] * 10))
>>> fitted.temperature > 1, fitted.apply(boasting)[0, 0].round(1)
(True, np.float64(0.8))
"""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from nearkin.errors import ParameterError, VectorError

TEMPERATURES = (0.02, 50.0)
"""Between these it is looked for."""

SHARES = np.geomspace(1e-4, 0.5, 8)
"""Smoothing that is tried where probabilities are zero."""

SEARCHED = 3000
"""Rows that the smoothing is looked for with, where there are more; the temperature is then fitted to all."""

ROUGHLY = 0.02
"""How exact the logarithm of the temperature is while the smoothing is looked for."""

_LEAST = np.finfo(np.float64).tiny


class TemperatureScaling(NamedTuple):
    """How probabilities p of C labels become calibrated ones: softmax(log((1 - smoothing) p + smoothing / C) / temperature).

    Order and ties of the labels stay as they are, so the likeliest label does, too.

    Attributes
    ----------
    temperature
        Above 1 for a classifier that claims too much, below 1 for one that claims too little.
    smoothing
        Share of equal probabilities that is mixed in.
    """

    temperature: float = 1.0
    smoothing: float = 0.0

    def apply(self, probabilities: np.ndarray, unseen: int = 0) -> np.ndarray:
        """(m, classes) float64 calibrated probabilities.

        Parameters
        ----------
        unseen
            Labels without a column, whose probability is zero in all rows.
        """
        given = np.asarray(probabilities, dtype=np.float64)
        classes = given.shape[1] + unseen
        logs = _logs(given, self.smoothing, classes) / self.temperature
        total = logsumexp(logs, axis=1, keepdims=True)
        if unseen:
            total = np.logaddexp(total, _logs(np.zeros(1), self.smoothing, classes) / self.temperature + np.log(unseen))
        return np.asarray(np.exp(logs - total))


def fit_temperature(probabilities: Any, codes: Any, unseen: int = 0) -> TemperatureScaling:
    """The temperature under which held-out labels are likeliest.

    Minimised is the log-loss over the rows and (log T)² / 2: a temperature about 1 is expected as firmly as one row would say it,
    which keeps a few rows that are all right from claiming certainty, and counts nothing among thousands.

    Where probabilities are zero, as those of neighbours are, a label that was held for impossible would make every temperature
    infinitely bad: a share of equal probabilities is mixed in, fitted together with the temperature. Where none is zero, the
    share is 0. To the loss is added -log(share): as if one row more had a label that was held for impossible.

    Source: C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On calibration of modern neural networks" (2017).

    Parameters
    ----------
    probabilities
        (n, classes) of rows that the classifier has not seen.
    codes
        (n,) columns of the true labels.
    unseen
        Labels without a column, whose probability is zero in all rows.

    Raises
    ------
    VectorError, ParameterError
        Shapes that do not go together, probabilities that are none, or codes beyond the columns.
    """
    given, true = _checked(probabilities, codes)
    if given.shape[1] + unseen < 2 or not len(given):
        return TemperatureScaling()
    rows = _Rows.of(given, true, unseen)
    if given.min() > 0 and not unseen:
        return TemperatureScaling(rows.best_temperature(0.0)[0], 0.0)
    every = ceil(len(given) / SEARCHED)
    some = rows if every == 1 else _Rows.of(given[::every], true[::every], unseen)
    losses = [some.best_temperature(share, ROUGHLY)[1] - np.log(share) for share in SHARES]
    best = int(np.argmin(losses))
    ends = np.log(SHARES[max(0, best - 1)]), np.log(SHARES[min(len(SHARES) - 1, best + 1)])
    found = minimize_scalar(
        lambda scale: some.best_temperature(float(np.exp(scale)), ROUGHLY)[1] - scale,
        bounds=ends,
        method="bounded",
        options={"xatol": 0.1},
    )
    share = float(np.exp(found.x))
    return TemperatureScaling(rows.best_temperature(share)[0], share)


class _Rows(NamedTuple):
    """What the log-loss needs of rows: each kind of row once, without the labels that are zero in all of them.

    Attributes
    ----------
    values
        (u, w) probabilities, descending.
    true
        (u,) of the true label.
    counts
        (u,) rows of the kind.
    zeros, classes
        Labels left out, and all labels.
    """

    values: np.ndarray
    true: np.ndarray
    counts: np.ndarray
    zeros: int
    classes: int

    @classmethod
    def of(cls, given: np.ndarray, true: np.ndarray, unseen: int) -> _Rows:
        width = max(1, int(np.count_nonzero(given, axis=1).max()))
        values = -np.sort(-given, axis=1)[:, :width]
        kinds, counts = np.unique(
            np.column_stack([values, given[np.arange(len(true)), true]]), axis=0, return_counts=True
        )
        return cls(kinds[:, :-1], kinds[:, -1], counts, given.shape[1] + unseen - width, given.shape[1] + unseen)

    def best_temperature(self, smoothing: float, exact: float = 1e-3) -> tuple[float, float]:
        """Temperature, its logarithm as exact as this, and what is minimised there."""
        logs, true = _logs(self.values, smoothing, self.classes), _logs(self.true, smoothing, self.classes)
        zero = float(_logs(np.zeros(1), smoothing, self.classes)[0])

        def loss(scale: float) -> float:
            heat = np.exp(scale)
            total = logsumexp(logs / heat, axis=1)
            if self.zeros:
                total = np.logaddexp(total, zero / heat + np.log(self.zeros))
            return float(self.counts @ (total - true / heat) + scale**2 / 2)

        bounds = np.log(TEMPERATURES[0]), np.log(TEMPERATURES[1])
        found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": exact})
        return float(np.exp(found.x)), float(found.fun)


def _logs(probabilities: np.ndarray, smoothing: float, classes: int) -> np.ndarray:
    mixed = (1 - smoothing) * probabilities + smoothing / classes
    return np.asarray(np.log(np.maximum(mixed, _LEAST)))


def _checked(probabilities: Any, codes: Any) -> tuple[np.ndarray, np.ndarray]:
    given, true = np.asarray(probabilities, dtype=np.float64), np.asarray(codes)
    if given.ndim != 2 or true.shape != (len(given),):
        raise VectorError(
            f"probabilities and codes have shapes {given.shape} and {true.shape}, (n, classes) and (n,) expected"
        )
    if not (np.isfinite(given).all() and (given >= 0).all()):
        raise VectorError("probabilities are below 0 or not finite")
    if true.dtype.kind not in "iu" or (len(true) and not 0 <= true.min() <= true.max() < given.shape[1]):
        raise ParameterError(f"codes are not all whole numbers from 0 to {given.shape[1] - 1}")
    return given, true
