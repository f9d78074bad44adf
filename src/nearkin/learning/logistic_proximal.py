"""Stochastic gradient descent with an L1 penalty, whose averaged weights do not depend on how the rows come in batches.

>>> model = ProximalDescent(classes=2, l1_ratio=1.0, alpha=0.01, eta0=0.5)
>>> model.partial_fit(np.array([[1.0], [-1.0]]), np.array([1, 0])).coef_.round(3).tolist()
[[0.352]]
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.special import expit


class ProximalDescent:
    """One label against the rest, row by row: a step down the log-loss, then all weights nearer to 0 by the step's share of L1.

    Source: J. Duchi, Y. Singer, "Efficient online and batch learning using forward backward splitting" (2009). scikit-learn's
    averaged descent leaves out of the average what L1 takes from the weights.

    Parameters
    ----------
    alpha
        Strength of the penalty.
    eta0
        Length of steps.

    Attributes
    ----------
    coef_ : ndarray
        (1 or classes, columns) mean of the weights after each row; there after the first rows.
    """

    coef_: np.ndarray

    def __init__(self, classes: int, l1_ratio: float, alpha: float, eta0: float) -> None:
        self.classes = classes
        self.l1_ratio = l1_ratio
        self.alpha = alpha
        self.eta0 = eta0
        self._weights = np.empty((0, 0))
        self._count = 0

    def set_params(self, **given: float) -> Self:
        """Another `alpha` or `eta0` from here on."""
        for name, value in given.items():
            setattr(self, name, value)
        return self

    def partial_fit(self, rows: np.ndarray, codes: np.ndarray, classes: Any = None) -> Self:
        """Each row once, in order."""
        wanted = codes[:, None] == (np.arange(self.classes) if self.classes > 2 else [1])
        if not self._count:
            self._weights = np.zeros((wanted.shape[1], rows.shape[1]))
            self.coef_ = self._weights.copy()
        weights, kept = self._weights, 1 - self.eta0 * self.alpha * (1 - self.l1_ratio)
        less, total = self.eta0 * self.alpha * self.l1_ratio, np.zeros_like(weights)
        for row, right in zip(rows, wanted, strict=True):
            off = expit(weights @ row) - right
            weights = kept * weights - self.eta0 * off[:, None] * row
            weights = weights - np.minimum(np.maximum(weights, -less), less)
            total += weights
        before, self._count, self._weights = self._count, self._count + len(rows), weights
        self.coef_ = (self.coef_ * before + total) / self._count
        return self

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        """(m, classes) probabilities: of each label against the rest, with a sum of 1."""
        logarithms = -np.logaddexp(0, -(rows @ self.coef_.T))
        if self.classes == 2:
            second = np.exp(logarithms)
            return np.concatenate([1 - second, second], axis=1)
        shares = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))
