"""Lp metrics: Manhattan, Chebyshev, and Minkowski between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from nearkin.errors import ParameterError
from nearkin.metrics import ALL_AXIOMS, Metric
from nearkin.state import State
from nearkin_plugins.distances.blocks import one_against_many

LARGEST_P = 1000.0
MOST_PRODUCTS = 8


def manhattan(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of absolute differences, over two rows."""
    total = 0.0
    for i in range(a.shape[0]):
        total += abs(a[i] - b[i])
    return total


def chebyshev(a: np.ndarray, b: np.ndarray) -> float:
    """Largest absolute difference, over two rows."""
    worst = 0.0
    for i in range(a.shape[0]):
        worst = max(worst, abs(a[i] - b[i]))
    return worst


class Manhattan(Metric):
    """Σ |a_i - b_i|, the L1 distance: one large difference weighs no more than many small ones.

    Source: "city block" distance; ``cityblock`` in SciPy, ``METRIC_L1`` in faiss. Axioms: all four. Reduces to nothing:
    faiss computes it natively; where numba is installed, flat and surrogate scan it by the compiled formula.

    >>> Manhattan().distances(np.float32([[0, 0]]), np.float32([[3, -4]])).tolist()
    [[7.0]]
    """

    name = "manhattan"
    centroid_rule = "median"
    axioms = ALL_AXIOMS
    native: ClassVar[Mapping[str, str]] = {"faiss": "METRIC_L1"}
    kernel = staticmethod(manhattan)

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return one_against_many(_sum_apart, queries, vectors)


class Chebyshev(Metric):
    """max |a_i - b_i|, the L∞ distance: rows are as far apart as their most different column.

    Source: P. Chebyshev's minimax norm; ``chebyshev`` in SciPy, ``METRIC_Linf`` in faiss. Axioms: all four. Reduces to
    nothing: faiss computes it natively; where numba is installed, flat and surrogate scan it by the compiled formula.

    >>> Chebyshev().distances(np.float32([[0, 0]]), np.float32([[3, -4]])).tolist()
    [[4.0]]
    """

    name = "chebyshev"
    axioms = ALL_AXIOMS
    native: ClassVar[Mapping[str, str]] = {"faiss": "METRIC_Linf"}
    kernel = staticmethod(chebyshev)

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return one_against_many(lambda row, rows: _apart(row, rows).max(axis=1), queries, vectors)


class Minkowski(Metric):
    """(Σ |a_i - b_i|^p)^(1/p), the Lp distance: the larger p, the more the largest differences decide.

    Source: H. Minkowski's norms; ``minkowski`` in SciPy and scikit-learn, where p is 2 as well if it is left out. Axioms: all
    four, since p below 1, where the triangle inequality fails, is refused. With p=2 it reduces to squared L2 and is
    `euclidean`, with p=1 it is computed as `manhattan`; any other p is a compiled formula of its own, fastest for whole
    numbers. Differences whose powers would leave float32 are scaled first.

    Parameters
    ----------
    p
        From 1 to 1,000.

    Raises
    ------
    ParameterError
        p is out of that range.

    Examples
    --------
    ∛(3³ + 4³ + 5³) = 6:

    >>> Minkowski(p=3).distances(np.float32([[0, 0, 0]]), np.float32([[3, -4, 5]])).round(6).tolist()
    [[6.0]]
    """

    name = "minkowski"
    axioms = ALL_AXIOMS

    def __init__(self, p: float = 2.0) -> None:
        self._set(p)

    def _set(self, p: float) -> None:
        if not 1.0 <= p <= LARGEST_P:
            below = "below 1 the triangle inequality fails; write such a formula with nearkin.metric"
            raise ParameterError(
                f"p is {p}, a number from 1 to {LARGEST_P:g} expected",
                hint="p without end is chebyshev" if p > 1 else below,
            )
        self.p = float(p)
        self.reduces_to = "l2" if p == 2 else None  # type: ignore[misc]
        self.centroid_rule = {1.0: "median", 2.0: "mean"}.get(self.p)  # type: ignore[misc, assignment]
        self.native = Manhattan.native if p == 1 else {}  # type: ignore[misc]
        self.kernel = None if p == 2 else manhattan if p == 1 else minkowski_kernel(self.p)  # type: ignore[misc]

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        if self.reduces_to is not None:
            return super().pairwise(queries, vectors)
        return one_against_many(_sum_apart if self.p == 1 else self._distance, queries, vectors)

    def _distance(self, row: np.ndarray, rows: np.ndarray) -> np.ndarray:
        apart = _apart(row, rows)
        largest = apart.max(axis=1)
        apart /= np.where(largest > 0, largest, 1.0)[:, None]
        np.power(apart, self.p, out=apart)
        return np.asarray(largest * apart.sum(axis=1) ** (1 / self.p))

    def finish(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(np.maximum(values, 0))) if self.reduces_to is not None else values

    def unfinish(self, distance: float) -> float:
        return distance * abs(distance) if self.reduces_to is not None else distance

    def state(self) -> State:
        return State(meta={"p": self.p})

    def restore(self, state: State) -> None:
        self._set(float(state.meta["p"]))


@lru_cache(maxsize=64)
def minkowski_kernel(p: float) -> Callable[..., Any]:
    """The formula for one p: as a constant of the compiled code, so that small powers become products."""
    root = 1 / p
    raised = _by_products(p) if p <= MOST_PRODUCTS and (2 * p).is_integer() else _by_power(p)

    def scaled(a: np.ndarray, b: np.ndarray) -> Any:
        largest = np.float64(0.0)
        for i in range(a.shape[0]):
            largest = max(largest, abs(np.float64(a[i]) - np.float64(b[i])))
        if largest == 0.0:
            return np.float32(0.0)
        total = np.float64(0.0)
        for i in range(a.shape[0]):
            total += raised(abs(np.float64(a[i]) - np.float64(b[i])) / largest)
        return np.float32(largest * total**root)

    def minkowski(a: np.ndarray, b: np.ndarray) -> Any:
        total = 0.0
        for i in range(a.shape[0]):
            total += raised(abs(a[i] - b[i]))
        if 1e-25 < total < 1e25:
            return math.exp(math.log(total) * root)
        return scaled(a, b)

    return minkowski


def _by_products(p: float) -> Callable[[Any], Any]:
    """x^p for whole p and halves between them, in instructions that loops can be vectorised over."""
    more, half = int(p) - 1, not p.is_integer()

    def raised(x: Any) -> Any:
        value = x
        for _ in range(more):
            value *= x
        return value * math.sqrt(x) if half else value

    return raised


def _by_power(p: float) -> Callable[[Any], Any]:
    def raised(x: Any) -> Any:
        return x**p

    return raised


def _apart(row: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(m, dim) absolute differences."""
    apart = rows - row
    return np.asarray(np.abs(apart, out=apart))


def _sum_apart(row: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(_apart(row, rows).sum(axis=1))
