"""Mini-batch k-means: centroids move with every batch of rows, so that few passes over the rows suffice."""

from __future__ import annotations

import numpy as np

from nearkin.centroids import Ended, Partition, Task, need_stops
from nearkin.errors import ParameterError
from nearkin.lloyd import FARTHEST
from nearkin.partial_sums import all_merged, new_centroids, sums_of_block
from nearkin.row_source import ArrayRows, RowsTask, StreamingClusterer
from nearkin.running_centroids import RunningCentroids, need_running
from nearkin.starts import need_init
from nearkin.vectors import block_rows

PATIENCE = 10
"""Batches without a new low of the smoothed inertia after which it no longer falls."""

STARVED = 0.01
"""A centroid with less than this share of the weight of the heaviest is set down elsewhere."""

REASSIGN_EVERY = 10
"""Rows a centroid that are seen between two looks for starved ones."""

BLOCK = 1 << 16
"""Rows in memory that are put into another order at once, beside which a copy of all of them would be large."""

FAR = "rows of a batch, drawn by their distance from their centroids"


class MiniBatch(StreamingClusterer):
    """Every batch draws the centroids that are nearest to its rows towards them, by the share that it has in all they have seen.

    Batches are drawn without replacement, pass after pass, until their inertia, smoothed over about a pass, no longer falls. In a
    file that can only be read in turn, batches are drawn within blocks. At the end one iteration of Lloyd's algorithm over all
    rows takes out the noise of the last batches.

    Sources: D. Sculley, "Web-scale k-means clustering" (2010); the stopping rule and the reassignment of starved centroids
    follow scikit-learn, MiniBatchKMeans.

    Parameters
    ----------
    batch_size
        Rows of a batch.
    max_iter
        Passes over the rows, at most.
    tol
        The smoothed inertia falls while it falls by more than this share of itself.
    init
        Where to start, see `nearkin.starts`.

    Examples
    --------
    >>> rows = np.float32([[0], [1], [10], [11]])
    >>> sorted(MiniBatch(batch_size=2).fit(rows, 2, seed=1).centroids.ravel().tolist())
    [0.5, 10.5]
    """

    name = "minibatch"
    rules = ("mean", "direction")
    goes_on = True

    def __init__(self, batch_size: int = 4096, max_iter: int = 10, tol: float = 1e-4, init: str = "k-means++") -> None:
        if batch_size < 1:
            raise ParameterError(f"batch_size is {batch_size}, at least 1 expected")
        need_stops(max_iter, tol)
        need_init(init)
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.init = init

    def _fit(self, task: Task) -> Partition:
        n, dim = task.vectors.shape
        step = max(1, min(BLOCK, block_rows(4 * dim)) // self.batch_size) * self.batch_size
        mass = None if (task.mass == 1).all() else task.mass
        given = task.k, task.objective, mass, task.seed, task.start, task.threads
        return self._fit_rows(RowsTask(ArrayRows(task.vectors), *given, step=step, sample=n))

    def _fit_rows(self, task: RowsTask) -> Partition:
        need_running(task.objective)
        start = task.starting_centroids(self.init)
        running = RunningCentroids(start, np.zeros(task.k), task.objective, threads=task.threads)
        watch = _Watch(running, task, self.tol)
        ended: Ended = "max_iter"
        history = []
        for number in range(self.max_iter):
            history.append(self._one_pass(task, number, watch))
            if watch.settled:
                ended = "converged"
                break
        parts = (
            sums_of_block(rows, running.centroids, task.objective, mass, task.threads) for rows, mass in task.blocks()
        )
        total = all_merged(parts)
        centroids, empty = new_centroids(total, task.objective, running.centroids)
        labels, inertia = task.assigned(centroids)
        if task.start is not None:
            centroids, labels, inertia = _no_worse(task, centroids, labels, inertia)
        given = {FAR: watch.reassigned, FARTHEST: empty}
        return Partition(
            centroids,
            labels,
            inertia,
            (*history, total.inertia, inertia),
            ended=ended,
            reseeded=watch.reassigned + empty,
            reseeding=" or ".join(what for what, count in given.items() if count),
            iterations=len(history),
        )

    def _one_pass(self, task: RowsTask, number: int, watch: _Watch) -> float:
        """The mean loss of the pass's batches, as an inertia of all rows."""
        rng = np.random.default_rng([task.seed, number])
        lost = weight = 0.0
        for rows, mass in task.blocks(rng):
            order = rng.permutation(len(rows))
            for first in range(0, len(rows), self.batch_size):
                some = order[first : first + self.batch_size]
                lost += watch.take(rows[some], mass[some], rng)
                weight += float(mass[some].sum())
                if watch.settled:
                    break
            if watch.settled:
                break
        return lost / max(weight, 1e-300) * task.weight


class _Watch:
    """Takes batches in, follows their inertia, and sets starved centroids down elsewhere."""

    def __init__(self, running: RunningCentroids, task: RowsTask, tol: float) -> None:
        self.running = running
        self.reassigned = 0
        self._task = task
        self._tol = tol
        self._smoothed: float | None = None
        self._low = np.inf
        self._stale = 0
        self._seen = 0

    @property
    def settled(self) -> bool:
        return self._stale >= PATIENCE

    def take(self, rows: np.ndarray, mass: np.ndarray, rng: np.random.Generator) -> float:
        """Take in a batch; its loss under the centroids that it met."""
        _, costs = self.running.update(rows, mass)
        lost, weight = mass * costs, float(mass.sum())
        self._seen += len(rows)
        if self._seen >= REASSIGN_EVERY * self._task.k:
            self._seen = 0
            self._reassign(rows, lost, rng)
        loss = float(lost.sum())
        if weight > 0:
            self._follow(loss / weight, min(1.0, 2 * weight / self._task.weight))
        return loss

    def _follow(self, loss: float, share: float) -> None:
        before = loss if self._smoothed is None else self._smoothed
        self._smoothed = before + share * (loss - before)
        falls = self._smoothed < self._low * (1 - self._tol)
        self._stale = 0 if falls else self._stale + 1
        self._low = min(self._low, self._smoothed)

    def _reassign(self, rows: np.ndarray, lost: np.ndarray, rng: np.random.Generator) -> None:
        counts = self.running.counts
        starved = np.flatnonzero(counts < STARVED * counts.max())
        most = min(len(rows) // 2, int(np.count_nonzero(lost)))
        starved = starved[np.argsort(counts[starved], kind="stable")][:most]
        if starved.size:
            drawn = rng.choice(len(rows), starved.size, replace=False, p=lost / lost.sum())
            others = np.delete(counts, starved)
            self.running.move(starved, rows[drawn], float(others.min()))
            self.reassigned += int(starved.size)


def _no_worse(
    task: RowsTask, centroids: np.ndarray, labels: np.ndarray, inertia: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """What was found, or the centroids that were given to start from where they were better."""
    assert task.start is not None
    before, least = task.assigned(task.start)
    return (task.start, before, least) if least < inertia else (centroids, labels, inertia)
