"""Logistic regression as a problem of optimisation: log-loss, its gradient, the penalty, and the way down.

The objective is scikit-learn's: the mean log-loss and, divided by C · n, (1 - r) / 2 · ‖w‖² + r · ‖w‖₁ of all weights without
intercepts. It is solved by L-BFGS-B (R. Byrd et al., 1995; SciPy's), the L1 part exactly, as two non-negative halves w = u - v.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize


@dataclass(frozen=True)
class Descent:
    """Weights that were found, and the way to them.

    Attributes
    ----------
    weights
        (1 or classes, columns + 1), the intercept last.
    losses
        Mean log-loss on the training rows, without penalty, at the start and after each iteration.
    converged
        Whether the solver was done before it had used up its iterations.
    """

    weights: np.ndarray
    losses: np.ndarray
    converged: bool

    @property
    def iterations(self) -> int:
        """How many."""
        return len(self.losses) - 1


def log_loss_and_gradient(weights: np.ndarray, rows: np.ndarray, codes: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean log-loss of labels, and its gradient.

    Parameters
    ----------
    weights
        (1, columns + 1) for two labels, (classes, columns + 1) for more; the intercept last.
    rows
        (n, columns).
    codes
        (n,) numbers of the labels.

    Examples
    --------
    >>> loss, slope = log_loss_and_gradient(np.zeros((1, 2)), np.array([[1.0], [-1.0]]), np.array([1, 0]))
    >>> round(loss, 4), slope.tolist()
    (0.6931, [[-0.5, 0.0]])
    """
    scores = rows @ weights[:, :-1].T + weights[:, -1]
    if len(weights) == 1:
        margin = np.where(codes == 1, scores[:, 0], -scores[:, 0])
        loss = float(np.logaddexp(0, -margin).mean())
        with np.errstate(over="ignore"):
            off = (1 / (1 + np.exp(-scores[:, 0])) - codes)[:, None]
    else:
        scores -= scores.max(axis=1, keepdims=True)
        right = scores[np.arange(len(codes)), codes]
        off = np.exp(scores, out=scores)
        total = off.sum(axis=1, keepdims=True)
        loss = float((np.log(total[:, 0]) - right).mean())
        off /= total
        off[np.arange(len(codes)), codes] -= 1
    gradient = np.empty_like(weights)
    gradient[:, :-1] = off.T @ rows
    gradient[:, -1] = off.sum(axis=0)
    return loss, gradient / len(rows)


def descend(
    rows: np.ndarray,
    codes: np.ndarray,
    classes: int,
    *,
    C: float,
    l1_ratio: float = 0.0,
    intercept: bool = True,
    max_iter: int = 500,
    tol: float = 1e-4,
    start: np.ndarray | None = None,
) -> Descent:
    """The weights of least loss and penalty; `start` is where to begin, none for zeros."""
    shape = (1 if classes == 2 else classes, rows.shape[1] + 1)
    problem = _Problem(rows, codes, shape, (1 - l1_ratio) / (C * len(rows)), l1_ratio / (C * len(rows)), intercept)
    first = problem.packed(np.zeros(shape) if start is None else start)
    losses = [problem.evaluate(first)[0] - problem.penalty(first)]

    def remember(intermediate_result: Any) -> None:
        losses.append(float(intermediate_result.fun) - problem.penalty(intermediate_result.x))

    found = minimize(
        problem.evaluate,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=problem.bounds(),
        callback=remember,
        options={
            "maxiter": max_iter,
            "maxls": 50,
            "gtol": tol,
            "ftol": 64 * np.finfo(float).eps,
            "maxfun": 20 * max_iter,
        },
    )
    return Descent(problem.unpacked(found.x), np.array(losses), found.status != 1)


@dataclass(frozen=True)
class _Problem:
    """The objective over one vector of variables: weights, or their positive and negative halves; then the intercepts."""

    rows: np.ndarray
    codes: np.ndarray
    shape: tuple[int, int]
    l2: float
    l1: float
    intercept: bool

    def packed(self, weights: np.ndarray) -> np.ndarray:
        plain = weights[:, :-1].ravel()
        halves = [np.maximum(plain, 0), np.maximum(-plain, 0)] if self.l1 else [plain]
        return np.concatenate([*halves, weights[:, -1]])

    def unpacked(self, variables: np.ndarray) -> np.ndarray:
        outputs, columns = self.shape[0], self.shape[1] - 1
        size = outputs * columns
        plain = variables[:size] - variables[size : 2 * size] if self.l1 else variables[:size]
        return np.concatenate([plain.reshape(outputs, columns), variables[-outputs:, None]], axis=1)

    def bounds(self) -> list[tuple[float | None, float | None]] | None:
        outputs, size = self.shape[0], self.shape[0] * (self.shape[1] - 1)
        if not self.l1:
            return None
        return [(0.0, None)] * (2 * size) + [(None, None)] * outputs

    def penalty(self, variables: np.ndarray) -> float:
        sizes = variables[: -self.shape[0]].sum() if self.l1 else 0.0
        squares = (self.unpacked(variables)[:, :-1] ** 2).sum() if self.l2 else 0.0
        return float(self.l1 * sizes + 0.5 * self.l2 * squares)

    def evaluate(self, variables: np.ndarray) -> tuple[float, np.ndarray]:
        weights = self.unpacked(variables)
        loss, gradient = log_loss_and_gradient(weights, self.rows, self.codes)
        slope = (gradient[:, :-1] + self.l2 * weights[:, :-1]).ravel()
        halves = [slope + self.l1, self.l1 - slope] if self.l1 else [slope]
        last = gradient[:, -1] if self.intercept else np.zeros(self.shape[0])
        return loss + self.penalty(variables), np.concatenate([*halves, last])
