"""Logistic regression as a problem of optimisation: log-loss, its gradient, the penalty, and the way down.

The objective is scikit-learn's: the mean log-loss and, divided by C · n, (1 - r) / 2 · ‖w‖² + r · ‖w‖₁ of all weights without
intercepts. It is solved by L-BFGS-B (R. Byrd et al., 1995; SciPy's), the L1 part exactly, as two non-negative halves w = u - v.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

GAINS = 10
"""So many iterations that gained next to nothing are the end."""


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
        Whether the solver was done, see `descend`, and not out of iterations or at the end of what floats can tell.
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
        sign = np.where(codes == 1, 1.0, -1.0)
        margin = sign * scores[:, 0]
        loss = float(np.logaddexp(0, -margin).mean())
        off = (-sign * expit(-margin))[:, None]
    else:
        scores -= scores.max(axis=1, keepdims=True)
        own = (np.arange(len(codes)), codes)
        right = scores[own]
        off = np.exp(scores, out=scores)
        off[own] = 0  # the others are summed alone: what is next to nothing beside 1 is all that a sure row teaches
        others = off.sum(axis=1)
        total = others + np.exp(right)
        loss = float(np.where(right == 0, np.log1p(others), np.log(total) - right).mean())
        off /= total[:, None]
        off[own] = -others / total
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
    units: np.ndarray | None = None,
    max_iter: int = 500,
    tol: float = 1e-4,
    start: np.ndarray | None = None,
) -> Descent:
    """The weights of least loss and penalty.

    Done means that no slope is larger than `tol`, and the objective within ten times `tol` of its least, as a share of it: by
    what strong convexity (L2) or the size that weights can have (L1) proves or, where that proves nothing, by what the last
    `GAINS` iterations gained or, where floats end the way, by what the curvature on it promises.

    Parameters
    ----------
    rows
        (n, columns), best of variance one, which is quick; what the penalty sees is up to `units`.
    units
        (columns,) factors of the weights in the penalty; none for 1.
    start
        Where to begin, none for zeros.
    """
    shape = (1 if classes == 2 else classes, rows.shape[1] + 1)
    strength = 1 / (C * len(rows))
    factors = np.ones(shape[1] - 1) if units is None else units
    problem = _Problem(rows, codes, shape, (1 - l1_ratio) * strength, l1_ratio * strength, intercept, factors)
    return _Way(problem, tol).down(np.zeros(shape) if start is None else start, max_iter)


class _Problem:
    """The objective over one vector of variables: weights, or their positive and negative halves; then the intercepts.

    A variable is its weight times the root of the curvature that rows and penalty give its column at least about 0.
    """

    def __init__(
        self,
        rows: np.ndarray,
        codes: np.ndarray,
        shape: tuple[int, int],
        l2: float,
        l1: float,
        intercept: bool,
        units: np.ndarray,
    ) -> None:
        self.rows, self.codes, self.shape, self.intercept = rows, codes, shape, intercept
        self.l2, self.l1 = l2, l1
        curvature = np.einsum("ij,ij->j", rows, rows) / len(rows) + 4 * l2 * units**2
        self.steps = np.sqrt(np.where(curvature > 0, curvature, 1.0))
        self.units = units / self.steps

    def packed(self, weights: np.ndarray) -> np.ndarray:
        plain = (weights[:, :-1] * self.steps).ravel()
        halves = [np.maximum(plain, 0), np.maximum(-plain, 0)] if self.l1 else [plain]
        return np.concatenate([*halves, weights[:, -1]])

    def unpacked(self, variables: np.ndarray) -> np.ndarray:
        plain, last = self._parts(variables)
        return np.concatenate([plain / self.steps, last[:, None]], axis=1)

    def _parts(self, variables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs, columns = self.shape[0], self.shape[1] - 1
        size = outputs * columns
        plain = variables[:size] - variables[size : 2 * size] if self.l1 else variables[:size]
        return plain.reshape(outputs, columns), variables[-outputs:]

    def bounds(self) -> list[tuple[float | None, float | None]] | None:
        outputs, size = self.shape[0], self.shape[0] * (self.shape[1] - 1)
        if not self.l1:
            return None
        return [(0.0, None)] * (2 * size) + [(None, None)] * outputs

    def penalty(self, variables: np.ndarray) -> float:
        outputs, columns = self.shape[0], self.shape[1] - 1
        both = variables[:-outputs].reshape(-1, columns) * self.units
        squares = ((self._parts(variables)[0] * self.units) ** 2).sum() if self.l2 else 0.0
        return float((self.l1 * both.sum() if self.l1 else 0.0) + 0.5 * self.l2 * squares)

    def evaluate(self, variables: np.ndarray) -> tuple[float, np.ndarray]:
        plain, last = self._parts(variables)
        weights = np.concatenate([plain / self.steps, last[:, None]], axis=1)
        loss, gradient = log_loss_and_gradient(weights, self.rows, self.codes)
        slope = gradient[:, :-1] / self.steps + self.l2 * self.units**2 * plain
        halves = [slope + self.l1 * self.units, self.l1 * self.units - slope] if self.l1 else [slope]
        end = gradient[:, -1] if self.intercept else np.zeros(self.shape[0])
        return loss + self.penalty(variables), np.concatenate([*(half.ravel() for half in halves), end])

    def slopes(self, variables: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """The gradient, 0 where a variable is at its bound and would go on beyond it."""
        if not self.l1:
            return gradient
        free = np.ones(len(variables), dtype=bool)
        free[: -self.shape[0]] = (variables[: -self.shape[0]] > 0) | (gradient[: -self.shape[0]] < 0)
        return np.where(free, gradient, 0.0)

    def above(self, variables: np.ndarray, slopes: np.ndarray, value: float) -> float:
        """By how much the objective may be above its least, as a share of it at most."""
        outputs, columns = self.shape[0], self.shape[1] - 1
        of_weights = slopes[:-outputs].reshape(-1, columns) / self.units
        bounds = [np.inf]
        with np.errstate(over="ignore"):
            if self.l2:
                bounds.append(float((of_weights**2).sum()) / (2 * self.l2))
            if self.l1:
                sizes = float((variables[:-outputs].reshape(-1, columns) * self.units).sum())
                bounds.append(float(np.abs(of_weights).max(initial=0)) * (sizes + value / self.l1))
        return min(bounds) / value if value else 0.0


class _Way:
    """The iterations of a descent, and whether they have come to the end."""

    def __init__(self, problem: _Problem, tol: float) -> None:
        self.problem = problem
        self.tol = tol
        self.values: list[float] = []
        self.losses: list[float] = []
        self.converged = False
        self._last = (np.empty(0), np.empty(0))

    def down(self, start: np.ndarray, max_iter: int) -> Descent:
        first = self.problem.packed(start)
        self._remember(first, self._evaluate(first)[0])
        found = minimize(
            self._evaluate,
            first,
            jac=True,
            method="L-BFGS-B",
            bounds=self.problem.bounds(),
            callback=self._look,
            options={"maxiter": max_iter, "maxls": 50, "gtol": 0.0, "ftol": 0.0, "maxfun": 20 * max_iter},
        )
        done = self.converged or (len(self.values) <= max_iter and self._flat(found))
        return Descent(self.problem.unpacked(found.x), np.array(self.losses), done)

    def _flat(self, found: Any) -> bool:
        """Whether, where floats end the way, the curvature on it promises no gain that counts."""
        slopes = self.problem.slopes(found.x, self.problem.evaluate(found.x)[1])
        gain = float(slopes @ found.hess_inv.matvec(slopes)) / 2
        return float(np.abs(slopes).max()) <= self.tol and gain <= self.tol * self.values[-1]

    def _evaluate(self, variables: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.problem.evaluate(variables)
        self._last = variables.copy(), gradient
        return value, gradient

    def _remember(self, variables: np.ndarray, value: float) -> None:
        self.values.append(value)
        self.losses.append(value - self.problem.penalty(variables))

    def _look(self, intermediate_result: Any) -> None:
        variables, value = intermediate_result.x, float(intermediate_result.fun)
        self._remember(variables, value)
        seen, gradient = self._last
        if not np.array_equal(seen, variables):
            gradient = self.problem.evaluate(variables)[1]
        slopes = self.problem.slopes(variables, gradient)
        if np.abs(slopes).max() <= self.tol and (
            self.problem.above(variables, slopes, value) <= 10 * self.tol or self._gained_little()
        ):
            self.converged = True
            raise StopIteration

    def _gained_little(self) -> bool:
        return len(self.values) > GAINS and self.values[-1 - GAINS] - self.values[-1] <= 10 * self.tol * self.values[-1]
