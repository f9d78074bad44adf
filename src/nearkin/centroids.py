"""Clusterer contract: k centroids for n rows, under the objective that a metric asks for.

Clustering is both a thing users want and the coarse half of an IVF index.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from nearkin.errors import NotSupportedError, ParameterError, PluginContractError
from nearkin.metrics import CentroidRule
from nearkin.objectives import SQUARES, Objective
from nearkin.running_centroids import RunningCentroids
from nearkin.vectors import as_vectors

Ended = Literal["converged", "max_iter", "oscillating", "one pass"]
"""Why iterations ended: nothing moves any more; there were no more of them; they came back to where they had been; there was but
one pass over the rows."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be clustered, checked.

    Attributes
    ----------
    vectors
        (n, dim) float32 (or packed bits, uint8, where the objective says so), prepared by the metric; may be read-only or mapped.
    k
        Centroids, 1 to n.
    objective
        What is to be made least; its rule is one of the clusterer's.
    mass
        (n,) float64 weight of each row, at least 0 and not all 0; 1 where none were given.
    seed
        The same seed gives the same result.
    start
        (k, dim) centroids to start from, free to be changed; None to choose them.
    threads
        That may be used.
    """

    vectors: np.ndarray
    k: int
    objective: Objective
    mass: np.ndarray
    seed: int = 0
    start: np.ndarray | None = None
    threads: int = 1

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator of the seed."""
        return np.random.default_rng(self.seed)

    def partition(self, centroids: np.ndarray, history: tuple[float, ...] = (), **more: object) -> Partition:
        """Rows labelled with their nearest centroid, and the inertia that comes of it."""
        labels, costs = self.objective.assign(self.vectors, centroids, self.threads)
        inertia = float((self.mass * costs).sum())
        return Partition(centroids, labels, inertia, history, **more)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Partition:
    """k centroids and which rows belong to each: what a clusterer finds.

    Attributes
    ----------
    centroids
        (k, dim) float32, or packed bits.
    labels
        (n,) int64, the nearest centroid of each row.
    inertia
        Sum over the rows of weight times cost to the nearest centroid; squared distances for ``"mean"`` (WCSS).
    history
        What the clusterer makes less, after each iteration.
    ended
        Why iterations ended.
    reseeded
        How often a cluster without rows was given a new centroid.
    reseeding
        What it was given, such as ``"the row farthest from its centroid"``.
    medoids
        (k,) int64 numbers of the rows that are the centroids, where they are rows.
    memberships
        (n, k) float64 share of each row in each cluster, each row summing to 1, where a row may belong to several.
    notes
        Sentences for the user.
    iterations
        Iterations (or passes over the rows) that were made, as the clusterer's ``max_iter`` counts them, the one that found that
        nothing moves any more among them; None where the clusterer does not say.
    """

    centroids: np.ndarray
    labels: np.ndarray
    inertia: float
    history: tuple[float, ...] = ()
    ended: Ended = "converged"
    reseeded: int = 0
    reseeding: str = ""
    medoids: np.ndarray | None = None
    memberships: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    iterations: int | None = None

    @property
    def sizes(self) -> np.ndarray:
        """(k,) rows in each cluster."""
        return np.bincount(self.labels, minlength=len(self.centroids))


class Clusterer(ABC):
    """Base of every clusterer: write `_fit`, get the checks.

    Attributes
    ----------
    name
        How users ask for it: ``nk.cluster(rows, 5, method=NAME)``, and in a plan ``ivf:clusterer=NAME``.
    rules
        Of which kinds its centroids may be; the first is the one it is named for.
    goes_on
        Whether its centroids are running means of the rows so far, so that it can go on with new rows without the old ones.
    """

    name: ClassVar[str]
    rules: ClassVar[tuple[CentroidRule, ...]] = ("mean",)
    goes_on: ClassVar[bool] = False

    def fit(
        self,
        vectors: np.ndarray,
        k: int,
        *,
        objective: Objective = SQUARES,
        seed: int = 0,
        weights: np.ndarray | None = None,
        start: np.ndarray | None = None,
        threads: int = 1,
    ) -> Partition:
        """Find k centroids that make the sum of weight times cost small.

        Parameters
        ----------
        vectors
            (n, dim) rows, prepared by the metric that the objective stands for.
        k
            Number of centroids, 1 to n.
        objective
            `nearkin.objectives.SQUARES` (squared Euclidean distance) unless another is given.
        seed
            The same seed gives the same result.
        weights
            (n,) non-negative weight of each row.
        start
            (k, dim) centroids to start from, such as those of some of the rows; a clusterer that cannot starts anew.
        threads
            That may be used.

        Raises
        ------
        ParameterError
            k is not between 1 and n, or weights or start do not fit.
        NotSupportedError
            The clusterer does not find centroids such as the objective asks for.

        Examples
        --------
        >>> from nearkin.lloyd import Lloyd
        >>> rows = np.float32([[0], [1], [10], [11]])
        >>> sorted(Lloyd().fit(rows, 2, seed=1).centroids.ravel().tolist())
        [0.5, 10.5]
        """
        self.need_rule(objective)
        vectors = as_vectors(vectors, dtype=objective.dtype)
        n = len(vectors)
        need_clusters(k, n)
        objective.need_rows(vectors)
        mass = checked_mass(weights, n)
        if start is not None:
            start = objective.allowed(checked_start(start, (k, vectors.shape[1]), vectors.dtype))
        return self.fit_task(Task(vectors, k, objective, mass, seed, start, threads))

    def fit_task(self, task: Task) -> Partition:
        """`fit` for what is checked already, as a clusterer's own task is that has another one do a part of its work.

        Raises
        ------
        PluginContractError
            The clusterer's answer does not fit the task.

        Examples
        --------
        >>> from nearkin.lloyd import Lloyd
        >>> task = Task(np.float32([[0], [1], [10], [11]]), 2, SQUARES, np.ones(4), seed=1)
        >>> sorted(Lloyd().fit_task(task).centroids.ravel().tolist())
        [0.5, 10.5]
        """
        return self._checked(self._fit(task), task.k, task.vectors.shape)

    @abstractmethod
    def _fit(self, task: Task) -> Partition: ...

    def running(
        self, means: np.ndarray, weight: np.ndarray, objective: Objective, threads: int = 1
    ) -> RunningCentroids:
        """Centroids that go on with new rows as this clusterer moves them, where it `goes_on`.

        Parameters
        ----------
        means, weight
            (k, dim) means and (k,) weights of the rows of each cluster so far.

        Raises
        ------
        NotSupportedError
            Centroids under the objective are no running means.
        """
        return RunningCentroids(means, weight, objective, threads=threads)

    def need_rule(self, objective: Objective) -> None:
        """Raise NotSupportedError unless centroids are such as this clusterer finds."""
        if objective.rule not in self.rules:
            raise NotSupportedError(
                f"clusterer {self.name!r} finds centroids by {' or '.join(self.rules)}, and {objective.rule} is asked for"
            )

    def _checked(self, found: Partition, k: int, rows: tuple[int, ...]) -> Partition:
        """A result, if it fits k clusters of rows of this shape."""
        wanted = (k, rows[1]), (rows[0],)
        shapes = found.centroids.shape, found.labels.shape
        if shapes != wanted:
            raise PluginContractError(
                f"clusterer {self.name!r} gave centroids and labels of shapes {shapes}, {wanted} expected"
            )
        if not np.isfinite(found.centroids).all():
            raise PluginContractError(f"clusterer {self.name!r} gave centroids with NaN or infinite values")
        if found.labels.size and not 0 <= int(found.labels.min()) <= int(found.labels.max()) < k:
            raise PluginContractError(f"clusterer {self.name!r} gave labels outside 0..{k - 1}")
        return found


def need_stops(max_iter: int, tol: float = 0.0) -> None:
    """Raise ParameterError unless these can end iterations: at least 1, and at least 0."""
    if max_iter < 1:
        raise ParameterError(f"max_iter is {max_iter}, at least 1 expected")
    if not tol >= 0:
        raise ParameterError(f"tol is {tol}, at least 0 expected")


def need_clusters(k: int, n: int) -> None:
    """Raise ParameterError unless so many centroids can be had of n rows."""
    if not 1 <= k <= n:
        raise ParameterError(f"{k} centroids asked of {n} rows, 1 to {n} expected")


def checked_mass(weights: np.ndarray | None, n: int) -> np.ndarray:
    """(n,) float64 weights; raise ParameterError unless they are n non-negative numbers, not all zero."""
    if weights is None:
        return np.ones(n)
    try:
        mass = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        mass = np.empty(0)
    if mass.shape != (n,) or not (np.isfinite(mass).all() and (mass >= 0).all() and mass.sum() > 0):
        raise ParameterError(f"weights must be {n} non-negative numbers, not all zero")
    return mass


def checked_start(start: np.ndarray, shape: tuple[int, int], dtype: np.dtype[Any]) -> np.ndarray:
    """A copy of (k, dim) centroids to start from; raise ParameterError if they are of another shape or not finite."""
    found = np.array(start, dtype=dtype, order="C")
    if found.shape != shape or not np.isfinite(found).all():
        raise ParameterError(f"start has shape {found.shape}, {shape} finite numbers expected")
    return found
