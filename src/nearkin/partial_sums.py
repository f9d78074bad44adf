"""An iteration of Lloyd's algorithm as map and reduce: blocks of rows to partial sums, sums merged, and new centroids of them.

Blocks may come from memory, from a file, or from other machines: `sums_of_block` needs the block and the centroids alone, `merged`
two results in any order, and `new_centroids` what all blocks came to. Only centroids that sums determine can be found so: means and
directions.

>>> from nearkin.objectives import SQUARES
>>> rows, centroids = np.float32([[0], [2], [9], [11]]), np.float32([[1], [8]])
>>> parts = [sums_of_block(block, centroids, SQUARES) for block in (rows[:3], rows[3:])]
>>> new_centroids(merged(*parts), SQUARES, centroids)[0].tolist()
[[1.0], [10.0]]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from nearkin.centroid_bounds import BoundedAssignment
from nearkin.errors import VectorError
from nearkin.nearest_centroids import own_costs
from nearkin.objectives import Objective, cluster_sums, directions
from nearkin.running_centroids import need_running

CANCELLED = 1e-6
"""An inertia below this share of the rows' sum of squares is not computed from sums, whose rounding it would show."""

RENEWED = 0.25
"""Share of rows that change their cluster above which sums are taken anew."""

RENEWED_EVERY = 16
"""Calls after which they are in any case: what a very long row leaves behind when it goes is rounded to its own digits."""


@dataclass(frozen=True, eq=False)
class PartialSums:
    """What some rows say of k clusters.

    Attributes
    ----------
    sums
        (k, dim) float64 weighted sums of the rows of each cluster.
    weight
        (k,) float64 weight of the rows of each.
    inertia
        Σ weight · cost.
    far_losses
        (m,) float64, the largest of weight · cost, above 0 and descending; m at most k.
    far_rows
        (m, dim) rows of these, no two alike, from which clusters that run empty start again.
    """

    sums: np.ndarray
    weight: np.ndarray
    inertia: float
    far_losses: np.ndarray
    far_rows: np.ndarray


def sums_of_block(
    vectors: np.ndarray, centroids: np.ndarray, objective: Objective, mass: np.ndarray | None = None, threads: int = 1
) -> PartialSums:
    """Map: what one block of rows comes to under given centroids.

    Parameters
    ----------
    vectors
        (n, dim) float32 rows, prepared by the metric.
    centroids
        (k, dim) float32.
    mass
        (n,) weight of each row; 1 where none are given.
    threads
        To use.

    Raises
    ------
    NotSupportedError
        Centroids under the objective are neither means nor directions.
    VectorError
        Rows and centroids differ in width.
    """
    need_running(objective)
    if vectors.shape[1] != centroids.shape[1]:
        raise VectorError(f"rows have {vectors.shape[1]} columns, the centroids have {centroids.shape[1]}")
    mass = np.ones(len(vectors)) if mass is None else np.asarray(mass, dtype=np.float64)
    labels, costs = objective.assign(vectors, centroids, threads)
    lost = mass * costs
    sums, weight = cluster_sums(vectors, labels, mass, len(centroids))
    far = farthest(lost, vectors, len(centroids))
    return PartialSums(sums, weight, float(lost.sum()), lost[far], vectors[far])


def merged(first: PartialSums, second: PartialSums) -> PartialSums:
    """What two sets of rows come to together."""
    losses = np.concatenate([first.far_losses, second.far_losses])
    rows = np.concatenate([first.far_rows, second.far_rows])
    far = farthest(losses, rows, len(first.sums))
    return PartialSums(
        first.sums + second.sums,
        first.weight + second.weight,
        first.inertia + second.inertia,
        losses[far],
        rows[far],
    )


def all_merged(parts: Iterable[PartialSums]) -> PartialSums:
    """What any number of sets of rows, at least one, come to together."""
    return reduce(merged, parts)


def new_centroids(total: PartialSums, objective: Objective, old: np.ndarray) -> tuple[np.ndarray, int]:
    """Reduce: (k, dim) float32 centroids of the sums, and how many clusters without weight were given a far row instead."""
    need_running(objective)
    if objective.rule == "direction":
        moved = directions(total.sums, old)
    else:
        held = total.weight[:, None] > 0
        moved = np.where(held, total.sums / np.where(held, total.weight[:, None], 1), old).astype(np.float32)
    empty = np.flatnonzero(total.weight == 0)[: len(total.far_losses)]
    moved[empty] = total.far_rows[: empty.size]
    return moved, int(empty.size)


def farthest(losses: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the rows of the largest losses above 0, so many at most, descending; of equal losses and of equal rows the first.

    >>> farthest(np.array([1.0, 3.0, 0.0, 3.0, 3.0]), np.float32([[1], [5], [0], [5], [7]]), 2).tolist()
    [1, 4]
    """
    some = np.flatnonzero(losses > 0)
    few = some
    if some.size > 2 * most:
        edge = np.partition(losses[some], some.size - 2 * most)[some.size - 2 * most]
        few = some[losses[some] >= edge]
    found = _distinct(few[np.argsort(-losses[few], kind="stable")], rows, most)
    if len(found) < most and few.size < some.size:
        found = _distinct(some[np.argsort(-losses[some], kind="stable")], rows, most)
    return np.array(found, dtype=np.int64)


def _distinct(numbers: np.ndarray, rows: np.ndarray, most: int) -> list[int]:
    """The first of these whose rows are unlike those before, so many at most."""
    found, seen = list[int](), set[bytes]()
    for number in numbers.tolist():
        if len(found) == most:
            break
        row = (rows[number] + 0).tobytes()  # whose zeros have one sign
        if row not in seen:
            seen.add(row)
            found.append(number)
    return found


class RepeatedSums:
    """`sums_of_block` of the same rows in memory again and again: what did not change since the last time is not done again.

    Labels are found by `nearkin.centroid_bounds`, only rows that change their cluster are moved between sums, and the inertia is
    computed from sums: Σ w ||x - o||² - 2 Σ s·(c - o) + Σ W ||c - o||² with the mean of the rows as the origin o.

    Parameters
    ----------
    vectors, objective, mass, threads
        As for `sums_of_block`.

    Attributes
    ----------
    labels
        (n,) int64 under the centroids of the last call.
    """

    def __init__(self, vectors: np.ndarray, objective: Objective, mass: np.ndarray, threads: int = 1) -> None:
        need_running(objective)
        self.labels = np.zeros(len(vectors), dtype=np.int64)
        self._vectors = vectors
        self._mass = mass
        self._bounds = BoundedAssignment(vectors, threads)
        all_sums, all_weight = cluster_sums(vectors, self.labels, mass, 1)
        self._origin = (all_sums / all_weight)[0]
        squares = own_costs(vectors, self._origin[None], self.labels)
        self._squares = float(mass @ squares)
        self._sums: np.ndarray | None = None
        self._weight = all_weight
        self._age = 0

    def under(self, centroids: np.ndarray) -> PartialSums:
        """The sums under (k, dim) float32 centroids, the k of every call the same."""
        before, self.labels = self.labels, self._bounds.labels(centroids)
        self._sums, self._weight = self._moved(before, len(centroids))
        return self._partial(centroids)

    def anew(self, centroids: np.ndarray) -> PartialSums:
        """What `under` gave for the same centroids just now, from sums that have never been moved between."""
        if self._age:
            self._sums, self._weight = self._taken(len(centroids))
        return self._partial(centroids)

    def _partial(self, centroids: np.ndarray) -> PartialSums:
        assert self._sums is not None
        k, inertia = len(centroids), self._inertia(centroids)
        losses, far = np.empty(0), np.empty((0, centroids.shape[1]), dtype=np.float32)
        if not self._weight.all() or inertia < CANCELLED * self._squares:
            lost = self._mass * own_costs(self._vectors, centroids, self.labels)
            numbers = farthest(lost, self._vectors, k)
            inertia, losses, far = float(lost.sum()), lost[numbers], self._vectors[numbers]
        return PartialSums(self._sums, self._weight, inertia, losses, np.asarray(far))

    def label(self, centroids: np.ndarray) -> np.ndarray:
        """(n,) int64 labels under (k, dim) centroids, after which no sums are asked for any more."""
        return self._bounds.labels(centroids)

    def _moved(self, before: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Sums and weights, from those under the labels before where few rows have changed."""
        changed = np.flatnonzero(before != self.labels)
        if self._sums is None or changed.size > RENEWED * len(before) or self._age >= RENEWED_EVERY:
            return self._taken(k)
        self._age += 1
        rows, mass = self._vectors[changed], self._mass[changed]
        come, _ = cluster_sums(rows, self.labels[changed], mass, k)
        gone, _ = cluster_sums(rows, before[changed], mass, k)
        return self._sums + come - gone, np.bincount(self.labels, weights=self._mass, minlength=k)

    def _taken(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        self._age = 0
        return cluster_sums(self._vectors, self.labels, self._mass, k)

    def _inertia(self, centroids: np.ndarray) -> float:
        assert self._sums is not None
        moved = centroids - self._origin
        drawn = self._sums - self._weight[:, None] * self._origin
        squares = np.einsum("ij,ij->i", moved, moved)
        return float(self._squares - 2 * np.einsum("ij,ij->", drawn, moved) + self._weight @ squares)
