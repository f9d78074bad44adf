"""Lloyd's algorithm under any objective whose centroids can be computed: k-means, spherical k-means and k-medians."""

from __future__ import annotations

import numpy as np

from nearkin.centroids import Clusterer, Ended, Partition, Task
from nearkin.errors import ParameterError
from nearkin.starts import need_init, starting_centroids

FARTHEST = "the rows farthest from their centroids"


class Lloyd(Clusterer):
    """Rows go to their nearest centroid, centroids to the centre of their rows, until the inertia falls no more.

    A cluster that runs empty takes the row that is farthest from its centroid.

    Sources: S. Lloyd, "Least squares quantization in PCM" (1982); E. Forgy (1965).

    Parameters
    ----------
    max_iter
        Iterations at most.
    tol
        Stop when the inertia falls by less than this share; 0 goes on until no row changes its cluster.
    init
        Where to start, see `nearkin.starts`.
    """

    name = "lloyd"
    rules = ("mean", "direction", "median")

    def __init__(self, max_iter: int = 25, tol: float = 1e-4, init: str = "k-means++") -> None:
        if max_iter < 1:
            raise ParameterError(f"max_iter is {max_iter}, at least 1 expected")
        if not tol >= 0:
            raise ParameterError(f"tol is {tol}, at least 0 expected")
        need_init(init)
        self.max_iter = max_iter
        self.tol = tol
        self.init = init

    def _fit(self, task: Task) -> Partition:
        centroids = starting_centroids(self.init, task)
        objective, history, reseeded = task.objective, list[float](), 0
        ended: Ended = "max_iter"
        before: np.ndarray | None = None
        for _ in range(self.max_iter):
            labels, costs = objective.assign(task.vectors, centroids)
            history.append(float((task.mass * costs).sum()))
            settled = before is not None and np.array_equal(labels, before)
            slow = len(history) > 1 and history[-2] - history[-1] <= self.tol * history[-2]
            if settled or (slow and self.tol > 0):
                ended = "converged"
                break
            moved = objective.centres(task.vectors, labels, task.mass, centroids)
            moved, empty = reseeded_empty(moved, task, labels, costs)
            reseeded += empty
            before, centroids = None if empty else labels, moved
        found = task.partition(centroids)
        history.append(found.inertia)
        return Partition(
            centroids,
            found.labels,
            found.inertia,
            tuple(history),
            ended=ended,
            reseeded=reseeded,
            reseeding=FARTHEST if reseeded else "",
        )


def reseeded_empty(centroids: np.ndarray, task: Task, labels: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, int]:
    """Centroids of clusters without weight moved to the rows of the largest costs, and how many there were."""
    weight = np.bincount(labels, weights=task.mass, minlength=len(centroids))
    empty = np.flatnonzero(weight == 0)
    lost = task.mass * costs
    far = np.argsort(-lost, kind="stable")[: empty.size]
    far = far[lost[far] > 0]
    if far.size:
        centroids = centroids.copy()
        centroids[empty[: far.size]] = task.vectors[far]
    return centroids, int(far.size)
