"""Where iterations of a clusterer begin: uniform in the box, random rows, a random partition, k-means++, or given centroids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import log

import numpy as np

from nearkin.centroids import Task
from nearkin.errors import ParameterError
from nearkin.nearest_centroids import WORTH, SquaresFrom, blas_threads
from nearkin.objectives import SQUARES

ROWS_TO_REBALANCE = 32
"""Rows a centroid that show where the rows are."""

ROWS_TO_START = 32
"""Rows a centroid among which k-means++ finds its start, where there are more."""

FEWEST_TO_START = 20_000
"""Rows that it looks at however few centroids are wanted."""


def starting_centroids(init: str, task: Task, rng: np.random.Generator | None = None) -> np.ndarray:
    """(k, dim) centroids to start from: those that the task brings, or else found by the way that is named.

    Parameters
    ----------
    init
        ``"k-means++"``, ``"random"`` (rows, Forgy), ``"partition"`` or ``"box"``.
    rng
        Left out, a fresh generator of the task's seed.

    Raises
    ------
    ParameterError
        There is no such way, or under this objective centroids have to be rows and it gives none.
    """
    if task.start is not None:
        return task.start
    need_init(init)
    if task.objective.rule == "medoid" and init not in OF_ROWS:
        raise ParameterError(f"init={init!r} gives no rows, and medoids are rows: use {' or '.join(OF_ROWS)}")
    with blas_threads(task.threads):
        return task.objective.allowed(STARTS[init](task, rng or task.rng))


def need_init(init: str) -> None:
    """Raise ParameterError unless there is a start of this name."""
    if init not in STARTS:
        raise ParameterError(f"init is {init!r}, one of {', '.join(STARTS)} expected")


def plus_plus_rows(task: Task, rng: np.random.Generator) -> np.ndarray:
    """k numbers of rows, each drawn with probability proportional to weight times cost to the nearest of those drawn before.

    Of a few candidates at each step, the one that leaves the least is taken.

    Source: D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding" (2007), the greedy form of its section on
    experiments.
    """
    vectors, mass, costs = task.vectors, task.mass, _costs_of(task)
    trials = 2 + int(log(task.k))
    chosen = [int(rng.choice(len(vectors), p=mass / mass.sum()))]
    nearest = costs(vectors[chosen])[:, 0]
    while len(chosen) < task.k:
        odds = mass * nearest
        total = odds.sum()
        if total <= 0:  # fewer distinct rows than centroids: the rest are drawn anyhow and share their place
            chosen.append(int(rng.integers(len(vectors))))
            continue
        tried = rng.choice(len(vectors), trials, p=odds / total)
        left = np.minimum(nearest[:, None], costs(vectors[tried]))
        best = int((mass @ left).argmin())
        chosen.append(int(tried[best]))
        nearest = left[:, best]
    return np.array(chosen)


def _costs_of(task: Task) -> Callable[[np.ndarray], np.ndarray]:
    """What gives the (n, m) costs of the task's rows from m others: in float32 where that is faster and right."""
    if task.objective.rule in ("mean", "direction") and task.vectors.size * task.k >= WORTH:
        squares = SquaresFrom(task.vectors)
        if squares.in_range:
            return squares
    return lambda others: task.objective.costs(task.vectors, others)


def _plus_plus(task: Task, rng: np.random.Generator) -> np.ndarray:
    """Of very many rows, the start is found among some drawn at random."""
    most = max(FEWEST_TO_START, ROWS_TO_START * task.k)
    if len(task.vectors) > most and np.count_nonzero(task.mass) > most:
        drawn = np.sort(rng.choice(len(task.vectors), most, replace=False, p=task.mass / task.mass.sum()))
        task = replace(task, vectors=task.vectors[drawn], mass=np.ones(most))
    return np.array(task.vectors[plus_plus_rows(task, rng)])


def _rows(task: Task, rng: np.random.Generator) -> np.ndarray:
    """Forgy's start: rows, those of more weight more often; distinct as long as enough rows have any."""
    weighted = int(np.count_nonzero(task.mass))
    if weighted < task.k:
        return np.array(task.vectors[rng.choice(len(task.vectors), task.k, replace=False)])
    chosen = rng.choice(len(task.vectors), task.k, replace=False, p=task.mass / task.mass.sum())
    return np.array(task.vectors[chosen])


def _partition(task: Task, rng: np.random.Generator) -> np.ndarray:
    """Centres of clusters that rows were dealt to at random; every cluster gets a row."""
    labels = rng.permutation(np.arange(len(task.vectors)) % task.k)
    return task.objective.centres(task.vectors, labels, task.mass, _rows(task, rng))


def _box(task: Task, rng: np.random.Generator) -> np.ndarray:
    """Places drawn uniformly between the least and the largest value of each column."""
    low, high = task.vectors.min(axis=0), task.vectors.max(axis=0)
    return rng.uniform(low, high, (task.k, task.vectors.shape[1])).astype(np.float32)


STARTS: Mapping[str, Callable[[Task, np.random.Generator], np.ndarray]] = {
    "k-means++": _plus_plus,
    "random": _rows,
    "partition": _partition,
    "box": _box,
}
OF_ROWS = ("k-means++", "random")


def rebalanced(centroids: np.ndarray, vectors: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Centroids of other rows as a start for these: where they stand too thin, those of nearly empty clusters are moved there.

    A cluster with m times the mean of rows asks for m - 1 more centroids, which are rows of such clusters, drawn with
    probability proportional to their squared distance from their centroid. On SIFT, with half of the rows rotated, ten
    iterations from a start that was not rebalanced ended 2.5 % above a start from random rows, and 0.1 % from one that was.

    >>> moved = rebalanced(np.float32([[0], [9], [99]]), np.float32([[0], [1], [8], [10]] + [[0]] * 8))
    >>> moved.ravel().tolist()
    [0.0, 9.0, 1.0]
    """
    rng = np.random.default_rng(seed)
    if len(vectors) > ROWS_TO_REBALANCE * len(centroids):
        vectors = vectors[rng.choice(len(vectors), ROWS_TO_REBALANCE * len(centroids), replace=False)]
    labels, distances = SQUARES.assign(vectors, centroids)
    sizes = np.bincount(labels, minlength=len(centroids))
    share = sizes / sizes.mean()
    wanted = int(np.maximum(0, np.round(share) - 1).sum())
    odds = distances * (share[labels] >= 1.5)
    count = min(wanted, len(centroids) // 2, int(np.count_nonzero(odds)))
    moved = np.array(centroids, dtype=np.float32)
    if count:
        chosen = rng.choice(len(vectors), count, replace=False, p=odds / odds.sum())
        moved[np.argsort(sizes, kind="stable")[:count]] = vectors[chosen]
    return moved
