"""Logistic regression by stochastic gradient descent: a thin cover of scikit-learn's `SGDClassifier`, with its loss told."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler

from nearkin.learning.column_weights import Scale

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
    """

    def __init__(self, classes: int, scale: Scale, C: float, l1_ratio: float, intercept: bool, seed: int) -> None:
        self.classes = classes
        self.scale = scale
        self.seed = seed
        self.losses: list[float] = []
        self._strength = 1 / C
        self._first = 0
        self._seen = StandardScaler()
        penalty = {0.0: "l2", 1.0: "l1"}.get(l1_ratio, "elasticnet")
        self._sgd = SGDClassifier(
            loss="log_loss",
            penalty=penalty,
            alpha=self._strength / STREAM_ROWS,
            l1_ratio=l1_ratio,
            fit_intercept=intercept,
            shuffle=False,
            average=True,
            random_state=seed,
        )

    def learn(self, rows: np.ndarray, codes: np.ndarray) -> None:
        """Each row once, in order; the loss is that before learning."""
        scaled = self.scale.apply(rows)
        self._first = self._first or len(rows)
        self._seen.partial_fit(rows)
        self.losses.append(self._loss(scaled, codes))
        self._sgd.partial_fit(scaled, codes, classes=np.arange(self.classes))

    def rounds(self, rows: np.ndarray, codes: np.ndarray, most: int, tol: float) -> bool:
        """All rows in a new order each time, until the loss no longer falls; whether it came to that."""
        self._sgd.set_params(alpha=self._strength / len(rows))
        self._first = len(rows)
        self._seen.partial_fit(rows)
        rng, scaled = np.random.default_rng(self.seed), self.scale.apply(rows)
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

    def weights(self) -> np.ndarray:
        """(1 or classes, columns + 1) for scaled columns, the intercept last."""
        return np.concatenate([self._sgd.coef_, self._sgd.intercept_[:, None]], axis=1)

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
