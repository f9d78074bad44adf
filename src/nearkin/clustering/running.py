"""`nearkin.cluster`: k clusters of rows, by any clusterer under any metric that the two allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from nearkin.building import make_metric
from nearkin.centroids import Clusterer, Partition
from nearkin.clustering.file_rows import FileRows
from nearkin.clustering.in_blocks import Asked, cluster_blocks, in_file, streams
from nearkin.clustering.result import Clustering
from nearkin.components import Part
from nearkin.errors import NotSupportedError, ParameterError, PluginContractError, VectorError
from nearkin.files import read_vectors
from nearkin.metrics import CentroidRule, Metric
from nearkin.objectives import ABSOLUTE, DIRECTIONS, SQUARES, MetricSums, Objective
from nearkin.registry import Registry, default_registry
from nearkin.settings import load_settings
from nearkin.vectors import as_vectors

ITERATIONS = 300
"""At most, where the user names none and the method counts them; indexes are content with fewer."""

FEW_ROWS = 10_000
"""Up to so many rows, several starts cost little."""
STARTS_OF_FEW = 10

USUAL_METRIC: Mapping[CentroidRule, str] = {
    "mean": "euclidean",
    "direction": "cosine",
    "median": "manhattan",
    "medoid": "euclidean",
}
"""The metric of a method that is named without one, by the kind of its centroids."""

INIT_NAMES = {"kmeans++": "k-means++", "forgy": "random", "random-partition": "partition", "uniform": "box"}
"""Other names of starts."""


def cluster(
    vectors: Any,
    k: int,
    *,
    method: str = "lloyd",
    init: str | np.ndarray | None = None,
    metric: str | Metric | None = None,
    weights: Any = None,
    n_init: int | None = None,
    max_iter: int | None = None,
    tol: float | None = None,
    memory: int | str | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
) -> Clustering:
    """Divide rows into k clusters.

    Parameters
    ----------
    vectors
        (n, dim) numbers, or packed bits (uint8) for a metric on bits; or the path of a file of vectors. A file, and an array that
        is mapped from one for reading, are read block by block by the methods that can.
    k
        Clusters, 1 to n.
    method
        Clusterer with options, such as ``"lloyd"`` or ``"minibatch:batch_size=4096"``; `nearkin components clusterers` lists them.
    init
        Where to start: ``"k-means++"``, ``"random"`` (rows), ``"partition"``, ``"box"``, or (k, dim) centroids. Left out, what the
        method thinks best.
    metric
        What similar means; left out, that of the method: ``"cosine"`` for spherical, ``"manhattan"`` for kmedians, else
        ``"euclidean"``.
    weights
        (n,) how much each row counts, at least 0.
    n_init
        Starts to try, of which the best is kept; left out, 10 for up to 10,000 rows and 1 for more.
    max_iter, tol
        As for the method; left out, up to 300 iterations.
    memory
        By how much the process may grow while it clusters a file, such as ``"200MB"``; None for blocks of the usual size.
    seed
        The same seed gives the same result; None for the setting.
    threads
        Threads to use; None for the setting.

    Raises
    ------
    NotSupportedError
        The method is not right under the metric, or needs all rows in memory, and they are too many; the message names another.
    BudgetError
        The memory does not suffice for labels and centroids.
    ParameterError, VectorError, UnknownNameError
        One sentence each, with the numbers.

    Examples
    --------
    >>> import nearkin as nk
    >>> found = nk.cluster([[1], [2], [3], [40], [41]], 2)
    >>> found.labels.tolist(), found.centroids.ravel().tolist()
    ([1, 1, 1, 0, 0], [40.5, 2.0])
    """
    registry = registry or default_registry()
    settings = load_settings({"seed": seed, "threads": threads})
    start = None if init is None or isinstance(init, str) else np.asarray(init)
    options = {"init": init if isinstance(init, str) else None, "max_iter": max_iter, "tol": tol}
    clusterer, name = make_clusterer(method, options, registry)
    made, metric_name = make_metric(metric or USUAL_METRIC[clusterer.rules[0]], registry)
    objective = objective_of(made, clusterer, registry)
    asked = Asked(clusterer, objective, made, name, metric_name, k, n_init, settings.seed, settings.cores)
    if in_file(vectors, memory):
        source = FileRows(vectors, made, registry)
        if streams(clusterer, objective, source, memory, registry):
            return cluster_blocks(source, asked, start, weights, memory)
        vectors = vectors if isinstance(vectors, np.ndarray) else read_vectors(vectors, registry=registry).vectors
    return _cluster_array(vectors, asked, start, weights)


def _cluster_array(vectors: Any, asked: Asked, start: np.ndarray | None, weights: Any) -> Clustering:
    prepared = _prepared(vectors, asked.metric)
    if start is not None:
        start = asked.metric.prepare(as_vectors(start, dtype=asked.metric.dtype, what="init"))
    tries = _tries(asked.n_init, start, len(prepared))

    def fitted(trial: int) -> Partition:
        given = {"objective": asked.objective, "weights": weights, "start": start, "threads": asked.threads}
        return asked.clusterer.fit(prepared, asked.k, seed=asked.seed + trial, **given)

    best = min(map(fitted, range(tries)), key=lambda found: found.inertia)
    mass = np.ones(len(prepared)) if weights is None else np.asarray(weights, dtype=np.float64)
    return asked.result(best, prepared, mass)


def make_clusterer(method: str, options: Mapping[str, Any], registry: Registry) -> tuple[Clusterer, str]:
    """The clusterer that is meant, with options beside those in its name, and its whole name.

    Raises
    ------
    ParameterError
        The method has no such option.
    """
    part = registry.parse("clusterer", method)
    spec = registry.resolve("clusterer", part.name)
    known = {each.name for each in fields(spec.params)} if spec.params else set()
    given = {name: value for name, value in options.items() if value is not None}
    if "init" in given:
        given["init"] = INIT_NAMES.get(given["init"].lower(), given["init"].lower())
    for name in given:
        if name not in known:
            raise ParameterError(
                f"method {part.name!r} has no {name}", hint=f"its options are {', '.join(sorted(known)) or 'none'}"
            )
    if "max_iter" in known and "max_iter" not in part.options:
        given.setdefault("max_iter", ITERATIONS)
    whole = Part(part.name, {**part.options, **given})
    made = registry.make("clusterer", str(whole))
    if not isinstance(made, Clusterer):
        raise PluginContractError(
            f"clusterer {part.name!r} was made as a {type(made).__name__}, a nearkin.Clusterer expected"
        )
    return made, str(whole)


def objective_of(metric: Metric, clusterer: Clusterer, registry: Registry) -> Objective:
    """What a clusterer makes least under a metric.

    Raises
    ------
    NotSupportedError
        The clusterer finds no centroids that are right under the metric.
    """
    if metric.centroid_rule in clusterer.rules:
        return {"mean": SQUARES, "direction": DIRECTIONS, "median": ABSOLUTE}[metric.centroid_rule]
    if not {"non-negative", "identity"} <= metric.axioms:
        raise NotSupportedError(
            f"metric {metric.name!r} is no distance, since a row need not be nearest to itself; nothing can be clustered by it",
            hint="use metric='cosine'",
        )
    if "medoid" in clusterer.rules:
        return MetricSums(metric)
    wanted = metric.centroid_rule or "medoid"
    raise NotSupportedError(
        f"method {clusterer.name!r} finds centroids by {' or '.join(clusterer.rules)}, which is not right under "
        f"{metric.name!r}: its centroids are {_KINDS[wanted]}",
        hint=f"use method={_method_for(wanted, registry)!r}, or metric={USUAL_METRIC[clusterer.rules[0]]!r}",
    )


_KINDS: Mapping[CentroidRule, str] = {
    "mean": "means",
    "direction": "directions of length one",
    "median": "medians",
    "medoid": "rows (medoids)",
}


def _method_for(rule: CentroidRule, registry: Registry) -> str:
    """A method whose centroids are of a kind: the one named for it, else `lloyd`, else the first that can."""
    able = [
        spec.name
        for spec in registry.specs("clusterer")
        if rule in getattr(registry.make("clusterer", spec.name), "rules", ())
    ]
    return "lloyd" if "lloyd" in able else (able or ["lloyd"])[0]


def _prepared(vectors: Any, metric: Metric) -> np.ndarray:
    rows = as_vectors(vectors, dtype=metric.dtype, longest=metric.longest_row)
    if not len(rows):
        raise VectorError("there are no rows to cluster", hint="pass at least one vector")
    if metric.needs_fit:
        metric.fit(rows)
    if metric.refuses_rows:
        metric.need_accepted(rows)
    return metric.prepare(rows)


def _tries(n_init: int | None, start: np.ndarray | None, n: int) -> int:
    if n_init is not None and n_init < 1:
        raise ParameterError(f"n_init is {n_init}, at least 1 expected")
    if start is not None:
        return 1
    return n_init or (STARTS_OF_FEW if n <= FEW_ROWS else 1)
