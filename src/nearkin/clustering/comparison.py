"""Every clusterer side by side on the same rows: objective, silhouette, time, memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nearkin.centroids import Ended
from nearkin.clustering.problem import Problem, objective_by_rule, problem_of
from nearkin.clustering.quality import SilhouetteKind, silhouette_of
from nearkin.clustering.silhouettes import Labelled, Silhouette, as_counts
from nearkin.errors import MissingDependencyError, NearkinError, NotSupportedError, ParameterError
from nearkin.metrics import Metric
from nearkin.registry import Registry, default_registry
from nearkin.resident_memory import resident_bytes, watch_peak

FEW = 64
"""Rows that a method is warmed up with."""


@dataclass(frozen=True)
class MethodRow:
    """What one clusterer made of the rows.

    Attributes
    ----------
    method
        As it can be asked for again.
    objective
        Σ weight · cost of each row to the nearest of the centroids, by the same costs for all methods: those that the metric's
        rule asks for (squared distances for means and directions, else distances). None where the method found nothing.
    silhouette
        See `Silhouette`.
    seconds
        That clustering took, all starts together.
    peak_bytes
        By how much the process grew at most meanwhile, resident memory; memory that earlier methods left free is used first and
        not counted. None where that is not known.
    iterations
        Of the best start; None where the method counts none.
    ended
        Why they ended.
    refused
        Why the method is not right under the metric; else "".
    error
        What went wrong; else "".
    notes
        Sentences for the user.
    """

    method: str
    objective: float | None = None
    silhouette: Silhouette | None = None
    seconds: float | None = None
    peak_bytes: int | None = None
    iterations: int | None = None
    ended: Ended | None = None
    refused: str = ""
    error: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def compare_methods(
    vectors: Any,
    k: int,
    *,
    metric: str | Metric | None = None,
    methods: Sequence[str] | None = None,
    weights: Any = None,
    n_init: int | None = None,
    silhouette: SilhouetteKind | None = "auto",
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
) -> tuple[MethodRow, ...]:
    """Cluster the same rows by every method and measure each the same way.

    Parameters
    ----------
    metric
        Left out, ``"euclidean"`` for all methods.
    methods
        With options or without; left out, every one that there is. Those that are not right under the metric have a row that says
        why, and so has one that fails.
    silhouette
        As for `nearkin.Clustering.quality`.
    vectors, k, weights, n_init, seed, threads
        As for `nearkin.cluster`.

    Returns
    -------
    rows
        The best objective first, then those that failed, then those that were refused.

    Raises
    ------
    VectorError, ParameterError, UnknownNameError
        No method found anything, because of the rows, the weights, k, or names that nothing has.

    Examples
    --------
    >>> rows = compare_methods([[1], [2], [40], [41]], 2, methods=["lloyd", "kmeans"])
    >>> sorted((row.method.partition(":")[0], row.objective) for row in rows)
    [('kmeans', 1.0), ('lloyd', 1.0)]
    """
    registry = registry or default_registry()
    chosen = registry.names("clusterer") if methods is None else list(methods)
    if not chosen:
        raise ParameterError("methods is empty, at least one clusterer expected")
    common = {"metric": metric or "euclidean", "weights": weights, "n_init": n_init, "seed": seed, "threads": threads}
    found = [_row(vectors, k, method, silhouette, registry, common) for method in chosen]
    blamed = [error for _, error in found if error is not None]
    if blamed and all(row.objective is None for row, _ in found):
        raise blamed[0]
    return tuple(sorted((row for row, _ in found), key=_place))


def _row(
    vectors: Any, k: int, method: str, silhouette: SilhouetteKind | None, registry: Registry, common: dict[str, Any]
) -> tuple[MethodRow, NearkinError | None]:
    """The row, and the error if the arguments themselves may be to blame."""
    try:
        problem = problem_of(vectors, method=method, registry=registry, **common)
    except NotSupportedError as error:
        return MethodRow(method, refused=str(error)), None
    except MissingDependencyError as error:
        return MethodRow(method, error=str(error)), None
    except NearkinError as error:
        return MethodRow(method, error=str(error)), error
    try:
        return _measured(problem, k, silhouette), None
    except NearkinError as error:
        return MethodRow(problem.approach.method, error=str(error)), error
    except Exception as error:  # whatever a stranger's clusterer raises
        return MethodRow(problem.approach.method, error=f"{type(error).__name__}: {error}"), None


def _measured(problem: Problem, k: int, silhouette: SilhouetteKind | None) -> MethodRow:
    _warm_up(problem, k)
    before = resident_bytes()
    start = time.perf_counter()
    with watch_peak() as peak:
        found = problem.solve(k)
    seconds = time.perf_counter() - start
    grown = None if before is None or peak.bytes is None or peak.since_start else max(0, peak.bytes - before)
    objective = objective_by_rule(problem.metric)
    costs = objective.assign(problem.prepared, found.centroids)[1]
    data = Labelled(problem.prepared, found.labels, as_counts(problem.mass), k, problem.metric, problem.threads)
    notes = list(found.notes)
    measured = silhouette_of(data, silhouette, problem.seed, notes)
    return MethodRow(
        problem.approach.method,
        float(np.sum(problem.mass * costs)),
        measured,
        seconds,
        grown,
        found.iterations,
        found.ended,
        notes=tuple(notes),
    )


def _warm_up(problem: Problem, k: int) -> None:
    """What is loaded and compiled once is no part of the time and memory of a method."""
    few = replace(problem, prepared=problem.prepared[: max(k, FEW)], weights=None, tries=1)
    few.solve(min(k, len(few.prepared)))


def _place(row: MethodRow) -> tuple[int, float]:
    return (2 if row.refused else 1 if row.error else 0), row.objective or 0.0
