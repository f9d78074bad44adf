"""Lloyd's algorithm under any objective whose centroids can be computed: k-means, spherical k-means and k-medians."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nearkin.centroids import Ended, Partition, Task, need_stops
from nearkin.nearest_centroids import own_costs
from nearkin.objectives import Objective
from nearkin.partial_sums import PartialSums, RepeatedSums, all_merged, farthest, new_centroids, sums_of_block
from nearkin.row_source import RowsTask, StreamingClusterer
from nearkin.running_centroids import RUNNING_RULES, need_running
from nearkin.starts import need_init, starting_centroids

FARTHEST = "the rows farthest from their centroids"


class Lloyd(StreamingClusterer):
    """Rows go to their nearest centroid, centroids to the centre of their rows, until the inertia falls no more.

    A cluster that runs empty takes the row that is farthest from its centroid.

    Sources: S. Lloyd, "Least squares quantization in PCM" (1982); E. Forgy (1965).

    Parameters
    ----------
    max_iter
        Iterations at most.
    tol
        Stop when the inertia falls by less than this share; 0 goes on until no row changes its cluster, or centroids come back to
        where they were without a lower inertia.
    init
        Where to start, see `nearkin.starts`.
    """

    name = "lloyd"
    rules = ("mean", "direction", "median")
    goes_on = True

    def __init__(self, max_iter: int = 25, tol: float = 1e-4, init: str = "k-means++") -> None:
        need_stops(max_iter, tol)
        need_init(init)
        self.max_iter = max_iter
        self.tol = tol
        self.init = init

    def _fit(self, task: Task) -> Partition:
        start, objective = starting_centroids(self.init, task), task.objective
        if objective.rule not in RUNNING_RULES:
            found = self._iterated(start, lambda old: _by_centres(task, old))
            labels, costs = objective.assign(task.vectors, found.centroids, task.threads)
            return found.partition(labels, float(task.mass @ costs))
        sums = RepeatedSums(task.vectors, objective, task.mass, task.threads)
        found = self._iterated(
            start,
            lambda old: _by_sums(sums.under(old), objective, old),
            lambda old: _by_sums(sums.anew(old), objective, old),
        )
        labels = sums.label(found.centroids)
        return found.partition(labels, float(task.mass @ own_costs(task.vectors, found.centroids, labels)))

    def _fit_rows(self, task: RowsTask) -> Partition:
        """The same, with every block mapped to its sums."""
        objective, threads = task.objective, task.threads
        need_running(objective)

        def step(old: np.ndarray) -> Step:
            parts = (sums_of_block(rows, old, objective, mass, threads) for rows, mass in task.blocks())
            return _by_sums(all_merged(parts), objective, old)

        found = self._iterated(task.starting_centroids(self.init), step)
        return found.partition(*task.assigned(found.centroids))

    def _iterated(
        self,
        centroids: np.ndarray,
        step: Callable[[np.ndarray], Step],
        confirm: Callable[[np.ndarray], Step] | None = None,
    ) -> Run:
        """Iterations until they end; the step that they would end with is confirmed, where steps are taken from the ones before."""
        history, reseeded, least, been = list[float](), 0, np.inf, set[bytes]()
        for _ in range(self.max_iter):
            inertia, moved, empty = step(centroids)
            history.append(inertia)
            slow = len(history) > 1 and history[-2] - history[-1] <= self.tol * history[-2]
            ends = np.array_equal(moved, centroids) or (slow and self.tol > 0)
            if ends and confirm is not None:
                drifted = moved
                history[-1], moved, empty = confirm(centroids)
                ends = np.array_equal(moved, drifted)
            if ends:
                return Run(centroids, history, "converged", reseeded)
            if history[-1] < least:
                least, been = history[-1], set()
            elif moved.tobytes() in been:  # as ties and rounding may have it, where no tolerance ends the iterations
                return Run(centroids, history, "oscillating", reseeded)
            else:
                been.add(moved.tobytes())
            reseeded, centroids = reseeded + empty, moved
        return Run(centroids, history, "max_iter", reseeded)


class Step(NamedTuple):
    """What an iteration finds: the inertia before it, centroids after it, and how many clusters ran empty."""

    inertia: float
    moved: np.ndarray
    reseeded: int


class Run(NamedTuple):
    """Where iterations ended."""

    centroids: np.ndarray
    history: list[float]
    ended: Ended
    reseeded: int

    def partition(self, labels: np.ndarray, inertia: float) -> Partition:
        """The result, once rows are labelled."""
        return Partition(
            self.centroids,
            labels,
            inertia,
            (*self.history, inertia),
            ended=self.ended,
            reseeded=self.reseeded,
            reseeding=FARTHEST if self.reseeded else "",
            iterations=len(self.history),
        )


def _by_sums(total: PartialSums, objective: Objective, old: np.ndarray) -> Step:
    return Step(total.inertia, *new_centroids(total, objective, old))


def _by_centres(task: Task, old: np.ndarray) -> Step:
    """Where the rows of a cluster are needed to find its centroid."""
    labels, costs = task.objective.assign(task.vectors, old, task.threads)
    moved = task.objective.centres(task.vectors, labels, task.mass, old)
    return Step(float((task.mass * costs).sum()), *reseeded_empty(moved, task, labels, costs))


def reseeded_empty(centroids: np.ndarray, task: Task, labels: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, int]:
    """Centroids of clusters without weight moved to distinct rows of the largest costs, and how many there were."""
    weight = np.bincount(labels, weights=task.mass, minlength=len(centroids))
    empty = np.flatnonzero(weight == 0)
    far = farthest(task.mass * costs, task.vectors, empty.size) if empty.size else empty
    if far.size:
        centroids = centroids.copy()
        centroids[empty[: far.size]] = task.vectors[far]
    return centroids, int(far.size)
