"""`nearkin.KMeans`: the clusterers as one scikit-learn estimator, for pipelines, grid searches and streams.

>>> import nearkin as nk
>>> rows = [[1.0], [2.0], [3.0], [40.0], [41.0]]
>>> found = nk.KMeans(2, random_state=0).fit(rows)
>>> found.labels_.tolist(), found.cluster_centers_.ravel().tolist()
([1, 1, 1, 0, 0], [40.5, 2.0])
>>> found.predict([[5.0]]).tolist(), found.transform([[5.0]]).tolist()
([1], [[35.5, 3.0]])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from nearkin.building import make_metric
from nearkin.centroids import Task
from nearkin.clustering.problem import USUAL_METRIC, make_clusterer, objective_of
from nearkin.clustering.running import cluster
from nearkin.errors import MissingDependencyError, NotSupportedError, ParameterError
from nearkin.registry import default_registry
from nearkin.running_centroids import RunningCentroids
from nearkin.starts import starting_centroids

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data
except ImportError:
    # The class is there all the same, so that `from nearkin import *` works; making one says what to install.
    check_is_fitted = None
    ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseEstimator = (
        type("_", (), {}) for _ in range(4)
    )

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering
    from nearkin.metrics import Metric
    from nearkin.objectives import Objective

STREAMED = ("lloyd", "minibatch", "online", "spherical", "kmeans")
"""Methods whose centroids are running means or directions of the rows so far; the others need to see all rows again."""


class KMeans(ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """k clusters of rows by any clusterer under any metric that the two allow, as a scikit-learn estimator.

    Rows are compared as float32, so distances differ from scikit-learn's in the seventh digit. Under the same seed the result
    is the same.

    Parameters
    ----------
    n_clusters
        Clusters, 1 to the number of rows.
    method, init, n_init, max_iter, tol, metric, threads
        As for `nearkin.cluster`; left out, what is best for the method.
    random_state
        Seed, or a generator of numpy's that one is drawn from; None for the setting `seed`.

    Attributes
    ----------
    cluster_centers_ : ndarray
        (n_clusters, dim) centroids in the units of the rows.
    labels_ : ndarray
        (n,) int64 cluster of each row of `fit`, or of the last `partial_fit`.
    inertia_ : float
        Σ weight · cost over those rows.
    n_iter_ : int
        Iterations of the run that was kept; after `partial_fit`, blocks.
    clustering_ : Clustering
        After `fit`, what else can be asked: quality, troubles, outliers, a picture. A pickle leaves it out, and the rows with it.
    n_features_in_ : int
        Columns.
    feature_names_in_ : ndarray
        Their names, where they were given as a data frame.

    Raises
    ------
    MissingDependencyError
        scikit-learn is not installed.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        method: str = "lloyd",
        init: str | np.ndarray | None = None,
        n_init: int | None = None,
        max_iter: int | None = None,
        tol: float | None = None,
        metric: str | Metric | None = None,
        random_state: int | np.random.RandomState | None = None,
        threads: int | None = None,
    ) -> None:
        if check_is_fitted is None:
            raise MissingDependencyError("nearkin.KMeans needs scikit-learn 1.6", hint='pip install "nearkin[learn]"')
        self.n_clusters = n_clusters
        self.method = method
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.metric = metric
        self.random_state = random_state
        self.threads = threads

    # ---- learning --------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Divide (n, dim) rows into clusters; `y` is not used.

        Parameters
        ----------
        sample_weight
            (n,) how much each row counts, at least 0.

        Raises
        ------
        NotSupportedError
            The method is not right under the metric.
        ParameterError, VectorError, UnknownNameError
            As for `nearkin.cluster`. What is no matrix of finite numbers is refused by scikit-learn, with a ValueError.
        """
        rows = self._checked(X, reset=True)
        found = cluster(
            rows,
            self.n_clusters,
            method=self.method,
            init=self.init,
            metric=self.metric,
            weights=None if sample_weight is None else _weights(sample_weight, len(rows)),
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            seed=self._seed(),
            threads=self.threads,
        )
        self.clustering_: Clustering = found
        self._keep(found.metric, found.objective, found.partition.centroids)
        self.labels_, self.inertia_ = found.labels, found.inertia
        self.n_iter_ = max(1, len(found.history) - 1)
        self._seen = np.bincount(found.labels, weights=found.mass, minlength=found.k)
        self.__dict__.pop("_running", None)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Move the centroids by another block of rows: each is the mean (or direction) of all rows that it was nearest to.

        The first block, of at least `n_clusters` rows, is where k-means++ starts and what the metric is fitted on. After `fit`
        the centroids go on from what it found.

        Source: J. MacQueen, "Some methods for classification and analysis of multivariate observations" (1967).

        Raises
        ------
        NotSupportedError
            The method, or the metric, has centroids of which there are no running means.
        ParameterError, VectorError, UnknownNameError
            As for `fit`.
        """
        first = not hasattr(self, "cluster_centers_")
        rows = self._checked(X, reset=first)
        mass = np.ones(len(rows)) if sample_weight is None else _weights(sample_weight, len(rows))
        if first:
            self._start(rows, mass)
        elif "_running" not in vars(self):
            self._need_streamed(self._objective)
            self._running = RunningCentroids(self._centroids, self._seen, self._objective)
        prepared = self._prepared(rows)
        self._running.update(prepared, mass)
        self._keep(self._metric, self._objective, self._running.centroids)
        self.labels_, costs = self._objective.assign(prepared, self._centroids)
        self.inertia_ = float((mass * costs).sum())
        self.n_iter_ = 1 if first else self.n_iter_ + 1
        self.__dict__.pop("clustering_", None)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """`fit`, and the (n,) clusters of the rows."""
        return self.fit(X, y, sample_weight).labels_

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """`fit`, and the (n, n_clusters) distances of the rows from the centroids."""
        return self.fit(X, y, sample_weight).transform(X)

    # ---- asking ----------------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """(m,) int64 cluster of each of (m, dim) rows: the one whose centroid is nearest."""
        return self._assigned(X)[0]

    def transform(self, X: Any) -> np.ndarray:
        """(m, n_clusters) float64 distances of (m, dim) rows from the centroids, by the metric."""
        check_is_fitted(self)
        costs = self._objective.costs(self._prepared(self._checked(X, reset=False)), self._centroids)
        return self._metric.finish(costs) if self._objective.rule in ("mean", "direction") else costs

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the inertia of (m, dim) rows, so that larger is better, as scikit-learn wants a score."""
        _, costs = self._assigned(X)
        mass = 1.0 if sample_weight is None else _weights(sample_weight, len(costs))
        return -float((mass * costs).sum())

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _start(self, rows: np.ndarray, mass: np.ndarray) -> None:
        registry = default_registry()
        given = {"init": self.init if isinstance(self.init, str) else None, "max_iter": self.max_iter, "tol": self.tol}
        clusterer, _ = make_clusterer(self.method, given, registry)
        metric, _ = make_metric(self.metric or USUAL_METRIC[clusterer.rules[0]], registry)
        objective = objective_of(metric, clusterer, registry)
        self._need_streamed(objective)
        if len(rows) < self.n_clusters or self.n_clusters < 1:
            raise ParameterError(
                f"the first block of partial_fit has n_samples={len(rows)}, at least n_clusters={self.n_clusters} are needed"
                if self.n_clusters > 0
                else f"n_clusters is {self.n_clusters}, at least 1 expected"
            )
        if metric.needs_fit:
            metric.fit_for_centroids(rows)
        prepared = metric.prepare(rows)
        start = (
            None
            if self.init is None or isinstance(self.init, str)
            else metric.prepare(np.asarray(self.init, dtype=np.float32))
        )
        task = Task(prepared, self.n_clusters, objective, mass, self._seed() or 0, start)
        init = getattr(clusterer, "init", "k-means++")
        self._keep(metric, objective, starting_centroids(init, task))
        self._running = RunningCentroids(self._centroids, np.zeros(self.n_clusters), objective)

    def _need_streamed(self, objective: Objective) -> None:
        name = self.method.partition(":")[0].rpartition("/")[2]
        if name not in STREAMED:
            raise NotSupportedError(
                f"method {name!r} needs all rows at once, and partial_fit shows it a block at a time",
                hint=f"use method={STREAMED[0]!r}, or {' or '.join(map(repr, STREAMED[1:]))}",
            )
        if objective.rule not in ("mean", "direction"):
            raise NotSupportedError(
                f"partial_fit moves running means, and under metric {self.metric!r} centroids are {objective.rule}s",
                hint="use metric='euclidean' or 'cosine', or fit on all rows",
            )

    def _keep(self, metric: Metric, objective: Objective, centroids: np.ndarray) -> None:
        self._metric, self._objective, self._centroids = metric, objective, centroids
        self.cluster_centers_ = metric.unprepare(centroids)
        self._n_features_out = len(centroids)

    def _assigned(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        return self._objective.assign(self._prepared(self._checked(X, reset=False)), self._centroids)

    def _prepared(self, rows: np.ndarray) -> np.ndarray:
        self._metric.need_accepted(rows)
        return self._metric.prepare(rows)

    def _checked(self, X: Any, *, reset: bool) -> np.ndarray:
        wide = self.metric is not None and make_metric(self.metric, default_registry())[0].dtype == "bits"
        checked: np.ndarray = validate_data(self, X, dtype=np.uint8 if wide else np.float32, order="C", reset=reset)
        return checked

    def _seed(self) -> int | None:
        if self.random_state is None or isinstance(self.random_state, int | np.integer):
            return None if self.random_state is None else int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("clustering_", None)
        return state


def _weights(given: Any, rows: int) -> np.ndarray:
    """(rows,) weights; a number stands for all of them."""
    mass = np.asarray(given, dtype=np.float64)
    mass = np.full(rows, mass) if mass.ndim == 0 else mass
    if mass.shape != (rows,) or not (np.isfinite(mass).all() and (mass >= 0).all() and mass.sum() > 0):
        raise ParameterError(
            f"sample_weight has shape {mass.shape}, {rows} non-negative numbers that are not all zero expected"
        )
    return mass
