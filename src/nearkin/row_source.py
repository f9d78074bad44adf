"""Rows that are read block by block, again and again: what clusterers work on whose rows do not fit into memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from nearkin.centroids import Clusterer, Partition, Task, checked_mass, checked_start, need_clusters
from nearkin.errors import ParameterError
from nearkin.mapped_pages import is_mapped, let_go
from nearkin.objectives import Objective
from nearkin.starts import starting_centroids

PIECE = 128
"""Rows that lie together in the file and stay together where rows are read in another order."""


class RowSource(ABC):
    """Rows in blocks, prepared by the metric.

    Attributes
    ----------
    rows, dim
        How many there are, and their columns.
    """

    rows: int
    dim: int

    @abstractmethod
    def blocks(self, step: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Blocks of at most so many rows: (m,) int64 numbers and (m, dim) float32 rows.

        Parameters
        ----------
        rng
            Shuffles the rows, as well as the source can: where rows can only be read in turn, within blocks.
        """

    def taken(self, numbers: np.ndarray, step: int) -> np.ndarray:
        """(m, dim) rows of ascending numbers, in one reading that stops at the last."""
        found = []
        for here, rows in self.blocks(step):
            first, last = np.searchsorted(numbers, [here[0], here[-1] + 1])
            found.append(rows[numbers[first:last] - here[0]])
            if last == len(numbers):
                break
        return np.concatenate(found)


class ArrayRows(RowSource):
    """Rows of an array; those of a mapped file leave memory again block by block.

    >>> [(numbers.tolist(), rows.tolist()) for numbers, rows in ArrayRows(np.float32([[1], [2], [3]])).blocks(2)]
    [([0, 1], [[1.0], [2.0]]), ([2], [[3.0]])]
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.rows, self.dim = vectors.shape

    def blocks(self, step: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if rng is None:
            for start in range(0, self.rows, step):
                block = self.vectors[start : start + step]
                yield np.arange(start, start + len(block)), block
                # all of it: with the pages that are touched, some before and behind come into memory
                let_go(self.vectors)
            return
        if not is_mapped(self.vectors):
            every = rng.permutation(self.rows)
            for start in range(0, self.rows, step):
                some = every[start : start + step]
                yield some, self.vectors[some]
            return
        piece = min(PIECE, step) if self.rows > step else 1
        order = rng.permutation(-(-self.rows // piece))
        for first in range(0, len(order), step // piece):
            starts = order[first : first + step // piece]
            numbers = (starts[:, None] * piece + np.arange(piece)).ravel()
            numbers = numbers[numbers < self.rows]
            shuffled = rng.permutation(len(numbers))
            yield numbers[shuffled], self._pieces(starts, numbers, piece)[shuffled]

    def taken(self, numbers: np.ndarray, step: int) -> np.ndarray:
        if len(numbers) == self.rows and not is_mapped(self.vectors):
            return self.vectors
        return super().taken(numbers, step)

    def _pieces(self, starts: np.ndarray, numbers: np.ndarray, piece: int) -> np.ndarray:
        """Rows of these numbers, which are those of pieces."""
        rows = np.empty((len(numbers), self.dim), dtype=self.vectors.dtype)
        done = 0
        for start in starts * piece:
            some = self.vectors[start : start + piece]
            rows[done : done + len(some)] = some
            done += len(some)
            let_go(self.vectors)  # after each piece: a system may bring in as much as a megabyte around it
        return rows


@dataclass(frozen=True, eq=False)
class RowsTask:
    """What is to be clustered block by block, checked.

    Attributes
    ----------
    source
        The rows.
    k, objective, seed, start, threads
        As for `nearkin.centroids.Task`.
    mass
        (n,) weight of each row; None for 1.
    step
        Rows of a block, at most.
    sample
        Rows that a start is found among, at most.
    """

    source: RowSource
    k: int
    objective: Objective
    mass: np.ndarray | None
    seed: int
    start: np.ndarray | None
    threads: int
    step: int
    sample: int

    @property
    def weight(self) -> float:
        """Of all rows together."""
        return float(self.source.rows if self.mass is None else self.mass.sum())

    def blocks(self, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows and their weights, block by block; shuffled as `RowSource.blocks` can, where a generator is given."""
        for numbers, rows in self.source.blocks(self.step, rng):
            yield rows, np.ones(len(rows)) if self.mass is None else self.mass[numbers]

    def starting_centroids(self, init: str) -> np.ndarray:
        """(k, dim) centroids to start from: those given, or found among rows drawn at random."""
        if self.start is not None:
            return self.start
        n = self.source.rows
        numbers = np.arange(n)
        if n > self.sample:
            numbers = np.sort(np.random.default_rng(self.seed).choice(n, self.sample, replace=False))
        rows = self.source.taken(numbers, self.step)
        mass = np.ones(len(rows)) if self.mass is None or not self.mass[numbers].any() else self.mass[numbers]
        return starting_centroids(init, Task(rows, self.k, self.objective, mass, self.seed, None, self.threads))

    def assigned(self, centroids: np.ndarray) -> tuple[np.ndarray, float]:
        """(n,) int64 labels of all rows and the inertia, in one reading."""
        labels, inertia = np.empty(self.source.rows, dtype=np.int64), 0.0
        for numbers, rows in self.source.blocks(self.step):
            found, costs = self.objective.assign(rows, centroids, self.threads)
            labels[numbers] = found
            inertia += float(costs.sum() if self.mass is None else self.mass[numbers] @ costs)
        return labels, inertia


class StreamingClusterer(Clusterer):
    """A clusterer that needs no more of its rows in memory than a block: it writes `_fit_rows`."""

    def fit_rows(self, task: RowsTask) -> Partition:
        """Find k centroids of rows that are read block by block.

        Raises
        ------
        ParameterError, NotSupportedError, PluginContractError
            As for `fit`; whether rows are of the form that the objective asks for is seen from the first block.

        Examples
        --------
        >>> from nearkin.lloyd import Lloyd
        >>> from nearkin.objectives import SQUARES
        >>> rows = ArrayRows(np.float32([[0], [1], [10], [11]]))
        >>> sorted(Lloyd().fit_rows(RowsTask(rows, 2, SQUARES, None, 1, None, 1, 3, 4)).centroids.ravel().tolist())
        [0.5, 10.5]
        """
        self.need_rule(task.objective)
        n, dim = task.source.rows, task.source.dim
        need_clusters(task.k, n)
        if task.step < 1 or task.sample < 1:
            raise ParameterError(f"step is {task.step} and sample {task.sample}, at least 1 expected")
        for _, rows in task.source.blocks(task.step):
            task.objective.need_rows(rows)
            break
        mass, start = task.mass, task.start
        if mass is not None:
            mass = checked_mass(mass, n)
        if start is not None:
            start = task.objective.allowed(checked_start(start, (task.k, dim), np.dtype(np.float32)))
        return self._checked(self._fit_rows(replace(task, mass=mass, start=start)), task.k, (n, dim))

    @abstractmethod
    def _fit_rows(self, task: RowsTask) -> Partition: ...
