"""How many clusters: silhouettes and inertia over a grid of k, the best silhouette, and the elbow beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from nearkin.centroids import Ended, Partition
from nearkin.clustering.problem import Problem, problem_of
from nearkin.clustering.silhouettes import (
    Labelled,
    Silhouette,
    as_counts,
    cheap_to_compute,
    exact_silhouette,
    sampled_silhouette,
    silhouette_is_defined,
)
from nearkin.errors import ParameterError, VectorError
from nearkin.metrics import Metric
from nearkin.registry import Registry, default_registry
from nearkin.search_parameters import whole_number

SEARCHED_ROWS = 20_000
"""The curve is drawn with at most so many rows, chosen at random; the clustering itself has all."""

EXACT_ROWS, SAMPLED_ROWS = 3_000, 1_000
"""Up to so many rows silhouettes of the curve are exact, since there are many of them; else so many rows are sampled."""

MOST = 50
"""Clusters tried at most, and never more than the square root of the rows where that is above 10."""

NO_STRUCTURE, WEAK = 0.25, 0.5
"""Mean silhouettes up to which there is no substantial structure, and only a weak one.
Source: L. Kaufman and P. Rousseeuw, "Finding groups in data" (1990), table 4 of chapter 2."""


@dataclass(frozen=True)
class KPoint:
    """What so many clusters give.

    Attributes
    ----------
    silhouette
        None for a single cluster.
    seconds
        That clustering and measuring took.
    """

    k: int
    inertia: float
    silhouette: Silhouette | None
    seconds: float
    ended: Ended


@dataclass(frozen=True)
class KChoice:
    """How many clusters, and why.

    Attributes
    ----------
    curve
        What each k gave, ascending.
    k
        The number to take: that of the best silhouette.
    by_silhouette
        The least k of the highest mean silhouette; None where no k has one.
    by_elbow
        Where the inertia bends most; None where the curve has no bend.
    why
        One sentence.
    rows, of
        Rows that the curve was drawn with, and those that are clustered.
    """

    curve: tuple[KPoint, ...]
    k: int
    by_silhouette: int | None
    by_elbow: int | None
    why: str
    rows: int
    of: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def choose_k(
    vectors: Any,
    *,
    method: str = "lloyd",
    init: str | None = None,
    metric: str | Metric | None = None,
    weights: Any = None,
    ks: Sequence[int] | None = None,
    most: int | None = None,
    n_init: int | None = None,
    max_iter: int | None = None,
    tol: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
) -> KChoice:
    """How many clusters rows fall into, by silhouette, with the elbow of the inertia beside it.

    Parameters
    ----------
    ks
        Numbers of clusters to try; left out, 1 to 10 and then about a quarter more each time.
    most
        The largest of those; left out, the square root of the rows, 10 at least and 50 at most.
    vectors, method, init, metric, weights, n_init, max_iter, tol, seed, threads
        As for `nearkin.cluster`.

    Raises
    ------
    ParameterError
        A number of clusters is not between 1 and the number of rows.
    VectorError
        There are fewer than three rows.

    Examples
    --------
    >>> rows = [[0], [1], [2], [50], [51], [52], [90], [91], [92]]
    >>> choose_k(rows).k
    3
    """
    problem = problem_of(
        vectors,
        method=method,
        registry=registry or default_registry(),
        init=init,
        metric=metric,
        weights=weights,
        n_init=n_init,
        max_iter=max_iter,
        tol=tol,
        seed=seed,
        threads=threads,
    )
    return choose(problem, ks, most)[0]


def choose(
    problem: Problem, ks: Sequence[int] | None = None, most: int | None = None, of: int | None = None
) -> tuple[KChoice, Partition]:
    """The choice, and the clustering of the problem's rows with as many clusters.

    Parameters
    ----------
    of
        Rows of which those of the problem are a sample; None where they are all.
    """
    if problem.start is not None:
        raise ParameterError(
            f"init gives {len(problem.start)} centroids, and k is to be chosen", hint="pass k, or an init by name"
        )
    if len(problem.prepared) < 3:
        raise VectorError(f"{len(problem.prepared)} rows are too few to choose k by", hint="pass k")
    searched = _some_rows(problem)
    tried = _grid(len(searched.prepared), ks, most)
    found = {k: _tried(searched, k) for k in tried}
    curve = tuple(found[k][0] for k in tried)
    scored = [point for point in curve if point.silhouette is not None]
    best = max(scored, key=lambda point: (point.silhouette.mean, -point.k), default=None)  # type: ignore[union-attr]
    by_silhouette = None if best is None else best.k
    by_elbow = elbow([point.k for point in curve], [point.inertia for point in curve])
    k = by_silhouette or by_elbow or tried[0]
    rows, of = len(searched.prepared), of or len(problem.prepared)
    choice = KChoice(curve, k, by_silhouette, by_elbow, _why(best, by_elbow, rows, of), rows, of)
    return choice, found[k][1] if searched is problem else problem.solve(k)


def elbow(ks: Sequence[int], inertias: Sequence[float]) -> int | None:
    """The k whose inertia lies farthest below the chord from the first to the last; None for fewer than three, or a straight line.

    Both axes are scaled to 0..1, and the inertia is that of the best clustering with up to so many clusters.

    Source: V. Satopää et al., "Finding a kneedle in a haystack: detecting knee points in system behavior" (2011).

    >>> elbow([1, 2, 3, 4, 5], [100.0, 40.0, 10.0, 8.0, 6.0])
    3
    """
    falling = np.minimum.accumulate(np.asarray(inertias, dtype=np.float64))
    if len(ks) < 3 or not falling[0] > falling[-1]:
        return None
    x = (np.asarray(ks, dtype=np.float64) - ks[0]) / (ks[-1] - ks[0])
    y = (falling - falling[-1]) / (falling[0] - falling[-1])
    below = 1 - x - y
    return int(ks[int(below.argmax())]) if below.max() > 1e-9 else None


def _grid(n: int, ks: Sequence[int] | None, most: int | None) -> list[int]:
    if ks is not None:
        chosen = sorted({whole_number("k", k, 1, n) for k in ks})
        if not chosen:
            raise ParameterError("ks is empty, at least one number of clusters expected")
        return chosen
    largest = min(n - 1, MOST, max(10, round(sqrt(n)))) if most is None else whole_number("most", most, 1, n)
    grid, k = list[int](), 1
    while k < largest:
        grid.append(k)
        k = max(k + 1, min(largest, round(1.25 * k))) if k >= 10 else k + 1
    return [*grid, largest]


def _some_rows(problem: Problem) -> Problem:
    """The problem itself, or one of as many of its rows as the curve is drawn with."""
    n = len(problem.prepared)
    if n <= SEARCHED_ROWS:
        return problem
    chosen = np.sort(np.random.default_rng(problem.seed).choice(n, SEARCHED_ROWS, replace=False))
    weights = None if problem.weights is None else problem.mass[chosen]
    return replace(problem, prepared=np.ascontiguousarray(problem.prepared[chosen]), weights=weights)


def _tried(problem: Problem, k: int) -> tuple[KPoint, Partition]:
    start = time.perf_counter()
    found = problem.solve(k)
    data = Labelled(problem.prepared, found.labels, as_counts(problem.mass), k, problem.metric, problem.threads)
    silhouette = None
    if silhouette_is_defined(data):
        exact = cheap_to_compute(data, EXACT_ROWS)
        silhouette = exact_silhouette(data) if exact else sampled_silhouette(data, problem.seed, SAMPLED_ROWS)
    return KPoint(k, found.inertia, silhouette, time.perf_counter() - start, found.ended), found


def _why(best: KPoint | None, by_elbow: int | None, rows: int, of: int) -> str:
    bend = "the inertia has no elbow" if by_elbow is None else f"the elbow of the inertia is at {by_elbow}"
    if best is None or best.silhouette is None:
        return f"no number of clusters has a silhouette, and {bend}"
    value = best.silhouette.mean
    said = f"k = {best.k} has the highest mean silhouette, {best.silhouette}, and {bend}"
    if value <= NO_STRUCTURE:
        said += f"; that is at most {NO_STRUCTURE:g}: these rows have no substantial clusters, whatever k is"
    elif value <= WEAK:
        said += f"; that is at most {WEAK:g}: the clusters are weak and could be artificial"
    if rows < of:
        said += f"; the curve was drawn with {rows:,} of {of:,} rows"
    return said
