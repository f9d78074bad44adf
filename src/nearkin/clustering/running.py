"""`nearkin.cluster`: k clusters of rows, by any clusterer under any metric that the two allow."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from nearkin.clustering.file_rows import FileRows
from nearkin.clustering.in_blocks import cluster_blocks, in_file, streams
from nearkin.clustering.number_of_clusters import choose
from nearkin.clustering.problem import approach_of
from nearkin.clustering.result import Clustering
from nearkin.files import read_vectors
from nearkin.metrics import Metric
from nearkin.registry import Registry, default_registry
from nearkin.search_parameters import whole_number
from nearkin.vectors import as_matrix


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
        is mapped from one for reading, are read block by block by the methods that can, and what is asked of the result afterwards
        is answered from a sample of the rows (`Clustering.sample`).
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
    memory
        By how much the process may grow while it clusters a file, such as ``"200MB"``; None for blocks of the usual size.
    seed
        The same seed gives the same result; None for the setting.
    threads
        Threads to use; None for the setting.

    Raises
    ------
    NotSupportedError
        The method is not right under the metric, or needs all rows in memory and they are too many; the message names another.
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
    how = approach_of(
        method=method,
        registry=registry,
        init=init,
        metric=metric,
        n_init=n_init,
        max_iter=max_iter,
        tol=tol,
        seed=seed,
        threads=threads,
    )
    if k != "auto":
        k = whole_number("k", k, 1)
    if in_file(vectors, memory):
        source = FileRows(vectors, how.metric, registry)
        if streams(source, how, memory, registry):
            return cluster_blocks(source, how, k, weights, memory)
        vectors = vectors if isinstance(vectors, np.ndarray) else read_vectors(vectors, registry=registry).vectors
    problem = how.problem(vectors, weights)
    choice, partition = choose(problem) if k == "auto" else (None, problem.solve(k))
    medoids = None if partition.medoids is None else as_matrix(vectors, dtype=how.metric.dtype)[partition.medoids]
    return Clustering(partition, problem, problem.mass, choice, medoids)
