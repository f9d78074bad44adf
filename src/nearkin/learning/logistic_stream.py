"""Logistic regression by stochastic gradient descent: scikit-learn's `SGDClassifier` (L1: `ProximalDescent`), its loss told."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler

from nearkin.learning.column_weights import Scale
from nearkin.learning.logistic_proximal import ProximalDescent

STREAM_ROWS = 10_000
"""Rows that a stream is taken to have, where the penalty is 1 / (C · rows)."""

FIRST_ROWS = 30
"""Rows that the first batch should have, where columns are standardized by it."""

PATIENCE = 5
"""Rounds without gain that end the learning."""


class Stream:
    """Weights that are learned row by row, and the log-loss on the way.

    Parameters
    ----------
    classes
        Number of labels.
    scale
        That rows are divided by.

    All steps have one length, a share of the inverse of the loss's largest curvature, 4 / (1 + mean ‖x‖²), which the first rows
    tell: a quarter in a stream, all of it where rows come again. Weights are averaged over all steps (F. Bach, E. Moulines,
    2013). scikit-learn's own schedule begins with steps that a short stream does not recover from.
    """

    def __init__(self, classes: int, scale: Scale, C: float, l1_ratio: float, intercept: bool, seed: int) -> None:
        self.classes = classes
        self.scale = scale
        self.seed = seed
        self.losses: list[float] = []
        self._strength = 1 / C
        self._intercept = intercept
        self._first = 0
        self._seen = StandardScaler()
        self._sgd = self._descent(l1_ratio)

    def _descent(self, l1_ratio: float) -> Any:
        alpha = self._strength / STREAM_ROWS
        if l1_ratio:
            return ProximalDescent(self.classes, l1_ratio, alpha, 1.0)
        return SGDClassifier(
            loss="log_loss",
            penalty="l2",
            alpha=alpha,
            fit_intercept=False,
            shuffle=False,
            average=True,
            learning_rate="constant",
            eta0=1.0,
            random_state=self.seed,
        )

    def learn(self, rows: np.ndarray, codes: np.ndarray) -> None:
        """Each row once, in order; the loss is that before learning."""
        scaled = self._scaled(rows)
        self._meet(rows, scaled, share=0.25)
        self.losses.append(self._loss(scaled, codes))
        self._sgd.partial_fit(scaled, codes, classes=np.arange(self.classes))

    def rounds(self, rows: np.ndarray, codes: np.ndarray, most: int, tol: float) -> bool:
        """All rows in a new order each time, until the loss no longer falls; whether it came to that."""
        self._sgd.set_params(alpha=self._strength / len(rows))
        rng, scaled = np.random.default_rng(self.seed), self._scaled(rows)
        self._meet(rows, scaled, share=1.0)
        self.losses.append(self._loss(scaled, codes))
        best, since = np.inf, 0
        for _ in range(most):
            order = rng.permutation(len(rows))
            self._sgd.partial_fit(scaled[order], codes[order], classes=np.arange(self.classes))
            self.losses.append(self._loss(scaled, codes))
            since = 0 if self.losses[-1] < best - tol else since + 1
            best = min(best, self.losses[-1])
            if since == PATIENCE:
                return True
        return False

    def _scaled(self, rows: np.ndarray) -> np.ndarray:
        """Scaled rows and, for the intercept, a column of ones (of zeros without one).

        scikit-learn averages weights right over several calls of partial_fit, but not its own intercept.
        """
        last = np.full((len(rows), 1), float(self._intercept))
        return np.concatenate([self.scale.apply(rows), last], axis=1)

    def _meet(self, rows: np.ndarray, scaled: np.ndarray, share: float) -> None:
        if not self._first:
            self._first = len(rows)
            self._sgd.set_params(eta0=4 * share / float((scaled**2).sum(axis=1).mean() or 1.0))
        self._seen.partial_fit(rows)

    def weights(self) -> np.ndarray:
        """(1 or classes, columns + 1) for scaled columns, the intercept last."""
        return np.array(self._sgd.coef_)

    def centre(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of all rows that were learned from."""
        return np.array(self._seen.mean_), np.sqrt(self._seen.var_)

    def warnings(self) -> list[str]:
        """Of a first batch that is too small to say what a usual value is."""
        scaled = bool((self.scale.spread != 1).any() or self.scale.mean.any())
        if not scaled or self._first >= FIRST_ROWS:
            return []
        return [
            f"columns are standardized by the first batch, which had {self._first} rows: "
            f"give {FIRST_ROWS} or more, or set standardize=False"
        ]

    def _loss(self, scaled: np.ndarray, codes: np.ndarray) -> float:
        if not hasattr(self._sgd, "coef_"):
            return float(np.log(self.classes))
        right = self._sgd.predict_proba(scaled)[np.arange(len(codes)), codes]
        return float(-np.log(np.maximum(right, np.finfo(np.float64).tiny)).mean())
