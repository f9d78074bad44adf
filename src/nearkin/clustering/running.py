"""`nearkin.cluster`: k clusters of rows, by any clusterer under any metric that the two allow."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from nearkin.centroids import Partition
from nearkin.clustering.number_of_clusters import KChoice, choose
from nearkin.clustering.problem import Problem, problem_of
from nearkin.clustering.result import Clustering
from nearkin.metrics import Metric
from nearkin.registry import Registry, default_registry
from nearkin.search_parameters import whole_number


def cluster(
    vectors: Any,
    k: int | Literal["auto"],
    *,
    method: str = "lloyd",
    init: str | np.ndarray | None = None,
    metric: str | Metric | None = None,
    weights: Any = None,
    n_init: int | None = None,
    max_iter: int | None = None,
    tol: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
) -> Clustering:
    """Divide rows into k clusters.

    Parameters
    ----------
    vectors
        (n, dim) numbers, or packed bits (uint8) for a metric on bits.
    k
        Clusters, 1 to n; ``"auto"`` to choose by silhouette, see `nearkin.choose_k`: `Clustering.choice` has the curve.
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
    seed
        The same seed gives the same result; None for the setting.
    threads
        Threads to use; None for the setting.

    Raises
    ------
    NotSupportedError
        The method is not right under the metric; the message names one that is.
    ParameterError, VectorError, UnknownNameError
        One sentence each, with the numbers.

    Examples
    --------
    >>> import nearkin as nk
    >>> found = nk.cluster([[1], [2], [3], [40], [41]], 2)
    >>> found.labels.tolist(), found.centroids.ravel().tolist()
    ([1, 1, 1, 0, 0], [40.5, 2.0])
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
    if k == "auto":
        choice, partition = choose(problem)
        return clustering_of(problem, partition, choice)
    return clustering_of(problem, problem.solve(whole_number("k", k, 1)))


def clustering_of(problem: Problem, partition: Partition, choice: KChoice | None = None) -> Clustering:
    """What was found, together with what was asked."""
    return Clustering(
        partition,
        problem.prepared,
        problem.metric,
        problem.objective,
        problem.method,
        problem.metric_name,
        problem.mass,
        problem.seed,
        problem.threads,
        problem,
        choice,
    )
