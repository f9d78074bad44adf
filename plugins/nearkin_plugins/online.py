"""Online k-means: rows come one by one, and each moves the centroid that is nearest to it."""

from __future__ import annotations

import numpy as np

from nearkin.centroids import Clusterer, Ended, Partition, Task, need_stops
from nearkin.errors import ParameterError
from nearkin.kernels import numba_is_installed
from nearkin.objectives import DIRECTIONS, Objective
from nearkin.running_centroids import RunningCentroids, need_running
from nearkin.starts import need_init, starting_centroids


class Online(Clusterer):
    """Every row x draws its nearest centroid c by c + rate (x - c); the rate is one over the rows that c has seen, or constant.

    The rows come in an order drawn anew for every pass. After each pass the inertia is taken; the best centroids seen are kept,
    so that it ends no worse than it began, and the history ends with theirs. Compiled where numba is installed.

    Source: J. MacQueen, "Some methods for classification and analysis of multivariate observations" (1967).

    Parameters
    ----------
    max_iter
        Passes over the rows, at most.
    rate
        Above 0, at most 1: the constant rate; 0 for one over the rows seen.
    tol
        Stop when a pass lowers the inertia by less than this share.
    init
        Where to start, see `nearkin.starts`.

    Examples
    --------
    >>> rows = np.float32([[0], [1], [10], [11]])
    >>> sorted(Online().fit(rows, 2, seed=1).centroids.ravel().tolist())
    [0.5, 10.5]
    """

    name = "online"
    rules = ("mean", "direction")
    goes_on = True

    def __init__(self, max_iter: int = 5, rate: float = 0.0, tol: float = 1e-4, init: str = "k-means++") -> None:
        need_stops(max_iter, tol)
        if not 0 <= rate <= 1:
            raise ParameterError(f"rate is {rate}, a number from 0 to 1 expected", hint="0 is one over the rows seen")
        need_init(init)
        self.max_iter = max_iter
        self.rate = rate
        self.tol = tol
        self.init = init

    def running(
        self, means: np.ndarray, weight: np.ndarray, objective: Objective, threads: int = 1
    ) -> RunningCentroids:
        return RunningCentroids(means, weight, objective, self.rate or None, threads=threads)

    def _fit(self, task: Task) -> Partition:
        need_running(task.objective)
        start = starting_centroids(self.init, task)
        best = found = task.partition(start)
        history, ended = [best.inertia], _MAX_ITER
        passes = _Passes(task, start, self.rate)
        for number in range(self.max_iter):
            found = task.partition(passes.after(number))
            history.append(found.inertia)
            slow = history[-2] - found.inertia <= self.tol * history[-2]
            best = min(best, found, key=lambda each: each.inertia)
            if slow and self.tol > 0:
                ended = "converged"
                break
        made = len(history) - 1
        if found is not best:
            history.append(best.inertia)
        return Partition(best.centroids, best.labels, best.inertia, tuple(history), ended=ended, iterations=made)


_MAX_ITER: Ended = "max_iter"


class _Passes:
    """Centroids that go through the rows again and again."""

    def __init__(self, task: Task, start: np.ndarray, rate: float) -> None:
        self._task = task
        self._rate = rate
        self._directed = task.objective.rule == DIRECTIONS.rule
        # as the origin, so that squares of rows far from it do not cancel; directions have one of their own
        self._origin = np.zeros(start.shape[1]) if self._directed else start.mean(axis=0, dtype=np.float64)
        self._means = start - self._origin
        self._counts = np.zeros(len(start))

    def after(self, number: int) -> np.ndarray:
        """(k, dim) float32 centroids after one more pass, of this number."""
        order = np.random.default_rng([self._task.seed, number]).permutation(len(self._task.vectors))
        given = (
            self._task.vectors,
            order,
            self._task.mass,
            self._origin,
            self._means,
            self._counts,
            self._rate,
            self._directed,
        )
        if numba_is_installed():
            from nearkin_plugins.online_kernel import one_pass

            one_pass(*given)
        else:
            one_pass_in_numpy(*given)
        return self._task.objective.allowed((self._means + self._origin).astype(np.float32))


def one_pass_in_numpy(
    rows: np.ndarray,
    order: np.ndarray,
    mass: np.ndarray,
    origin: np.ndarray,
    means: np.ndarray,
    counts: np.ndarray,
    rate: float,
    directed: bool,
) -> None:
    """Move the means row by row, in place.

    Parameters
    ----------
    rows
        (n, dim) float32.
    order
        Numbers of the rows as they come.
    mass
        (n,) float64 weight of each row; those without are passed over.
    origin
        (dim,) float64 point that rows lie about.
    means, counts
        (k, dim) and (k,) float64: the centroids, seen from the origin, and the weight that each has seen.
    rate
        As for `Online`.
    directed
        Whether the nearest is that of the largest cosine.
    """
    squares = np.einsum("ij,ij->i", means, means)
    for number in order[mass[order] > 0]:
        row = rows[number] - origin
        products = means @ row
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = np.where(squares > 0, products / np.sqrt(squares), 0) if directed else products - squares / 2
        nearest = int(scores.argmax())
        counts[nearest] += mass[number]
        share = mass[number] / counts[nearest] if rate == 0 else 1 - (1 - rate) ** mass[number]
        means[nearest] += share * (row - means[nearest])
        squares[nearest] = means[nearest] @ means[nearest]
