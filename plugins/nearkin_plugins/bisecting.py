"""Bisecting k-means: the rows are split in two, and one of the parts again, until there are k."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nearkin.centroids import Clusterer, Partition, Task
from nearkin.errors import ParameterError
from nearkin.lloyd import FARTHEST, Lloyd
from nearkin.starts import need_init

STRATEGIES = ("largest-cost", "largest-size")


class Bisecting(Clusterer):
    """From one cluster on, the one of the largest cost (or size) is split in two by Lloyd's algorithm, until there are k.

    A split looks at the rows of its cluster only, so that many clusters take little longer than few, and clusters come out of
    more even size. But a row may end near the centroid of another part. Rows are therefore labelled with their nearest centroid
    at the end, and because that leaves centroids beside the centres of their rows, Lloyd's iterations over all rows go on from
    there unless ``refine`` is false. A start that is given takes the place of the splits.

    Sources: M. Steinbach, G. Karypis and V. Kumar, "A comparison of document clustering techniques" (2000); options as
    BisectingKMeans of scikit-learn has them.

    Parameters
    ----------
    bisecting_strategy
        What is split next: the cluster of ``"largest-cost"`` or ``"largest-size"`` (by weight).
    max_iter
        Iterations at most of each split, and of the refinement.
    tol
        Of each split and of the refinement, see `nearkin.lloyd.Lloyd`.
    n_init
        Starts of each split, of which the best is kept.
    init
        Where to start each split, see `nearkin.starts`.
    refine
        Whether to end with Lloyd's iterations over all rows; false for what the splits gave, each row with its nearest centroid.

    Raises
    ------
    ParameterError
        An option is out of range.

    Examples
    --------
    >>> rows = np.float32([[0], [1], [10], [11], [50]])
    >>> sorted(Bisecting().fit(rows, 3, seed=1).centroids.ravel().tolist())
    [0.5, 10.5, 50.0]
    """

    name = "bisecting"
    rules = ("mean", "direction", "median")

    def __init__(
        self,
        bisecting_strategy: str = "largest-cost",
        max_iter: int = 25,
        tol: float = 1e-4,
        n_init: int = 1,
        init: str = "k-means++",
        refine: bool = True,
    ) -> None:
        if bisecting_strategy not in STRATEGIES:
            raise ParameterError(f"bisecting_strategy is {bisecting_strategy!r}, {' or '.join(STRATEGIES)} expected")
        if n_init < 1:
            raise ParameterError(f"n_init is {n_init}, at least 1 expected")
        need_init(init)
        self.by_cost = bisecting_strategy == "largest-cost"
        self.n_init = n_init
        self.refine = refine
        self._lloyd = Lloyd(max_iter=max_iter, tol=tol, init=init)

    def _fit(self, task: Task) -> Partition:
        if task.start is not None:
            return self._lloyd.fit_task(task)
        centroids, history, splits = self._split(task)
        if self.refine:
            found = self._lloyd.fit_task(replace(task, start=centroids))
            history += found.history
        else:
            found = replace(task.partition(centroids), iterations=max((most for most, _ in splits), default=0))
            history.append(found.inertia)
        reseeded = found.reseeded + sum(count for _, count in splits)
        return replace(found, history=tuple(history), reseeded=reseeded, reseeding=FARTHEST if reseeded else "")

    def _split(self, task: Task) -> tuple[np.ndarray, list[float], list[tuple[int, int]]]:
        """(k, dim) centroids, the cost after each split, and of each split the iterations and how often they reseeded a cluster."""
        rng = task.rng
        parts = [_whole(task)]
        history, splits = [parts[0].cost], list[tuple[int, int]]()
        while len(parts) < task.k:
            able = [number for number, part in enumerate(parts) if part.may_be_split]
            if not able:
                break
            number = max(able, key=lambda each: parts[each].cost if self.by_cost else parts[each].weight)
            halves, split = self._halves(task, parts[number], rng)
            splits.append((split.iterations or 0, split.reseeded))
            parts[number : number + 1] = halves
            if len(halves) == 2:
                history.append(sum(part.cost for part in parts))
        centroids = np.stack([part.centroid for part in parts])
        return _with_more(task, centroids, rng), history, splits

    def _halves(self, task: Task, part: _Part, rng: np.random.Generator) -> tuple[list[_Part], Partition]:
        """Two parts of one (that one alone, marked, where its rows do not come apart), and the best try at it."""
        vectors, mass = task.vectors[part.rows], task.mass[part.rows]
        tries = []
        for _ in range(self.n_init):
            seed = int(rng.integers(2**31))
            tries.append(self._lloyd.fit_task(Task(vectors, 2, task.objective, mass, seed, threads=task.threads)))
        best = min(tries, key=lambda found: found.inertia)
        inside = [best.labels == side for side in (0, 1)]
        if not all(mass[rows].any() for rows in inside):
            return [replace(part, may_be_split=False)], best
        halves = [_part(task, part.rows[rows], best.centroids[side]) for side, rows in enumerate(inside)]
        return halves, best


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows that were not split yet, by their numbers, with their centroid, cost and weight."""

    rows: np.ndarray
    centroid: np.ndarray
    cost: float
    weight: float
    may_be_split: bool


def _whole(task: Task) -> _Part:
    rows = np.arange(len(task.vectors))
    return _part(task, rows, np.array(task.vectors[task.mass.argmax()]))


def _part(task: Task, rows: np.ndarray, near: np.ndarray) -> _Part:
    """A part with the centre of its rows; `near` where they have none."""
    vectors, mass = task.vectors[rows], task.mass[rows]
    centroid = task.objective.centres(vectors, np.zeros(len(rows), dtype=np.int64), mass, near[None])
    costs = task.objective.costs(vectors, centroid)[:, 0]
    cost = float((mass * costs).sum())
    return _Part(rows, centroid[0], cost, float(mass.sum()), cost > 0 and bool(np.count_nonzero(mass) > 1))


def _with_more(task: Task, centroids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """k centroids: where rows could not be split so often, rows drawn at random, which share a place or have no weight."""
    more = task.k - len(centroids)
    if not more:
        return centroids
    drawn = rng.choice(len(task.vectors), more, replace=False)
    return np.concatenate([centroids, task.objective.allowed(task.vectors[drawn])])
