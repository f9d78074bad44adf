"""Fuzzy c-means: each row belongs to every cluster, to the nearer ones more."""

from __future__ import annotations

from math import isfinite

import numpy as np

from nearkin.centroids import Clusterer, Ended, Partition, Task, need_stops
from nearkin.errors import ParameterError
from nearkin.metrics import squared_l2
from nearkin.objectives import directions
from nearkin.starts import need_init, starting_centroids
from nearkin.vectors import block_rows

LARGEST_M = 30.0
"""Beyond, memberships are alike whatever the rows, and their powers leave the range of float64."""

MEMBERSHIP_BYTES = 256 << 20
"""Memberships of more bytes are not kept."""

MELTED = 1e-3
"""Share of the mean cost of a row below which two centroids are one."""


class Fuzzy(Clusterer):
    """Fuzzy c-means: memberships u that sum to 1 for each row, and centroids, which make J = Σ w u^m ||x - c||² least.

    A row's membership falls with its squared distance to the power of 1 / (m - 1); a row on a centroid belongs to that one
    alone. The history is J; the inertia is the cost of each row with its nearest centroid, so that methods can be compared, and
    is not what is made less. Rows are read in blocks, and memberships are kept if they take at most 256 MiB.

    Source: J. Bezdek, "Pattern Recognition with Fuzzy Objective Function Algorithms" (1981).

    Parameters
    ----------
    m
        Fuzziness, above 1 (there it is k-means) to 30; with a large m, and in many dimensions even with 2, clusters melt together.
    max_iter
        Iterations at most.
    tol
        Stop when J falls by less than this share.
    init
        Where to start, see `nearkin.starts`.

    Raises
    ------
    ParameterError
        An option is out of range.

    Examples
    --------
    >>> found = Fuzzy().fit(np.float32([[0], [1], [5.5], [10], [11]]), 2, seed=1)
    >>> found.memberships.round(2)[2].tolist()
    [0.5, 0.5]
    """

    name = "fuzzy"
    rules = ("mean", "direction")

    def __init__(self, m: float = 2.0, max_iter: int = 100, tol: float = 1e-6, init: str = "k-means++") -> None:
        if not (isfinite(m) and 1 < m <= LARGEST_M):
            raise ParameterError(
                f"m is {m}, a number above 1 and up to {LARGEST_M:g} expected", hint="m=1 is lloyd" if m == 1 else None
            )
        need_stops(max_iter, tol)
        need_init(init)
        self.m = float(m)
        self.max_iter = max_iter
        self.tol = tol
        self.init = init

    def _fit(self, task: Task) -> Partition:
        centroids = starting_centroids(self.init, task)
        history = list[float]()
        ended: Ended = "max_iter"
        for _ in range(self.max_iter):
            moved, cost = self._step(task, centroids)
            history.append(cost)
            if len(history) > 1 and history[-2] - cost <= self.tol * history[-2]:
                ended = "converged"
                break
            centroids = moved
        memberships, cost = self._memberships(task, centroids)
        found = task.partition(centroids, (*history, cost))
        notes = _notes(task, found, memberships, self.m)
        return Partition(
            centroids,
            found.labels,
            found.inertia,
            found.history,
            ended,
            memberships=memberships,
            notes=notes,
            iterations=len(history),
        )

    def _step(self, task: Task, centroids: np.ndarray) -> tuple[np.ndarray, float]:
        """Centroids after one iteration, and J of those before it."""
        sums = np.zeros(centroids.shape)
        weight, cost = np.zeros(task.k), 0.0
        for some in _blocks(task):
            rows = task.vectors[some]
            apart = task.objective.costs(rows, centroids)
            powers = task.mass[some, None] * memberships_of(apart, self.m) ** self.m
            sums += powers.T @ rows
            weight += powers.sum(axis=0)
            cost += float((powers * apart).sum())
        if task.objective.rule == "direction":
            return directions(sums, centroids), cost
        held = weight[:, None] > 0
        return np.where(held, sums / np.where(held, weight[:, None], 1), centroids).astype(np.float32), cost

    def _memberships(self, task: Task, centroids: np.ndarray) -> tuple[np.ndarray | None, float]:
        """(n, k) memberships, None where they are too many, and J."""
        n, cost = len(task.vectors), 0.0
        kept = np.empty((n, task.k)) if 8 * n * task.k <= MEMBERSHIP_BYTES else None
        for some in _blocks(task):
            apart = task.objective.costs(task.vectors[some], centroids)
            shares = memberships_of(apart, self.m)
            cost += float((task.mass[some, None] * shares**self.m * apart).sum())
            if kept is not None:
                kept[some] = shares
        return kept, cost


def _blocks(task: Task) -> list[slice]:
    step = block_rows(32 * max(task.k, task.vectors.shape[1]))
    return [slice(start, start + step) for start in range(0, len(task.vectors), step)]


def memberships_of(costs: np.ndarray, m: float) -> np.ndarray:
    """(n, k) memberships of rows whose squared distances are given: u_i = 1 / Σ_j (d_i² / d_j²)^(1 / (m - 1)).

    Distances are taken as shares of the smallest one, so that no power leaves the range of float64.

    >>> memberships_of(np.array([[1.0, 4.0], [0.0, 9.0], [0.0, 0.0]]), 2.0).tolist()
    [[0.8, 0.2], [1.0, 0.0], [0.5, 0.5]]
    """
    least = costs.min(axis=1, keepdims=True)
    on_it = costs == least  # a row on a centroid has no other
    share = np.divide(least, costs, out=np.ones_like(costs), where=~on_it)
    shares = np.where(on_it, 1.0, share ** (1 / (m - 1)))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _notes(task: Task, found: Partition, memberships: np.ndarray | None, m: float) -> tuple[str, ...]:
    notes = list[str]()
    if memberships is None:
        size = 8 * len(task.vectors) * task.k / 2**30
        notes.append(
            f"memberships of {len(task.vectors):,} rows in {task.k:,} clusters, {size:,.1f} GiB, were not kept"
        )
    if 1 < task.k <= 2048:
        apart = squared_l2(found.centroids, found.centroids)
        np.fill_diagonal(apart, np.inf)
        melted = int((apart.min(axis=1) < MELTED * found.inertia / task.mass.sum()).sum())
        if melted:
            notes.append(
                f"{melted} of {task.k} centroids lie on another one: clusters melt together with m={m:g}, use a smaller m"
            )
    return tuple(notes)
