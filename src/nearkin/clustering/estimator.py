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
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from nearkin.building import make_metric
from nearkin.centroids import Clusterer, Task, checked_mass, checked_start
from nearkin.clustering.problem import Approach, approach_of
from nearkin.clustering.running import cluster
from nearkin.errors import NearkinError, NotSupportedError, ParameterError
from nearkin.objectives import cluster_sums
from nearkin.registry import default_registry
from nearkin.running_centroids import RUNNING_RULES, RunningCentroids
from nearkin.search_parameters import whole_number
from nearkin.settings import load_settings
from nearkin.starts import starting_centroids
from nearkin.vectors import as_vectors

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering
    from nearkin.metrics import Metric


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
        Seed, or a generator of numpy's that one is drawn from at each `fit`; None for the setting `seed`.

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
        After `fit`, what else can be asked: quality, troubles, outliers, a picture. A pickle or a copy leaves it out, and
        the rows with it.
    n_features_in_ : int
        Columns.
    feature_names_in_ : ndarray
        Their names, where they were given as a data frame.
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
        random_state: int | np.random.Generator | np.random.RandomState | None = None,
        threads: int | None = None,
    ) -> None:
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
        self._keep(found.problem.approach, found.partition.centroids)
        self.labels_, self.inertia_ = found.labels, found.inertia
        self.n_iter_ = max(1, found.iterations or 1)
        # A direction does not tell how far its rows agree, which the next rows are weighed against.
        self._sums = cluster_sums(found.prepared, found.labels, found.mass, found.k) if self._runs() else None
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
            how, running, prepared = self._begun(rows, mass)
        else:
            how, prepared = self._how, self._prepared(rows)
            running = vars(self).get("_running") or self._gone_on()
        running.update(prepared, mass)
        self._running = running
        self._keep(how, running.centroids)
        self.labels_, costs = how.objective.assign(prepared, self._centroids, how.threads)
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
        how = self._how
        costs = how.objective.costs(self._prepared(self._checked(X, reset=False)), self._centroids)
        return how.as_distances(costs)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the inertia of (m, dim) rows, so that larger is better, as scikit-learn wants a score."""
        _, costs = self._assigned(X)
        mass = 1.0 if sample_weight is None else _weights(sample_weight, len(costs))
        return -float((mass * costs).sum())

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _begun(self, rows: np.ndarray, mass: np.ndarray) -> tuple[Approach, RunningCentroids, np.ndarray]:
        """How rows are clustered, centroids to go on from, and the rows of the first block, prepared."""
        how = self._approach()
        self._need_running(how)
        k = whole_number("n_clusters", self.n_clusters, 1)
        if len(rows) < k:
            raise ParameterError(
                f"the first block of partial_fit has n_samples={len(rows)}, at least n_clusters={k} are needed"
            )
        problem = how.problem(rows, mass)
        start = problem.start
        if start is not None:
            start = how.objective.allowed(checked_start(start, (k, problem.prepared.shape[1]), np.dtype(np.float32)))
        task = Task(problem.prepared, k, how.objective, mass, how.seed, start, how.threads)
        centroids = starting_centroids(getattr(how.clusterer, "init", "k-means++"), task)
        return how, self._moving(how, centroids, np.zeros(k)), problem.prepared

    def _gone_on(self) -> RunningCentroids:
        """The centroids of `fit`, ready to go on."""
        self._need_running(self._how)
        assert self._sums is not None  # kept by `fit` wherever centroids go on
        sums, weight = self._sums
        means = np.where(weight[:, None] > 0, sums / np.where(weight > 0, weight, 1)[:, None], self._centroids)
        return self._moving(self._how, means, weight)

    def _moving(self, how: Approach, means: np.ndarray, weight: np.ndarray) -> RunningCentroids:
        return how.clusterer.running(means, weight, how.objective, how.threads)

    def _runs(self) -> bool:
        how = self._how
        return _goes_on(how.clusterer) and how.objective.rule in RUNNING_RULES

    def _need_running(self, how: Approach) -> None:
        if not _goes_on(how.clusterer):
            raise NotSupportedError(
                f"method {how.clusterer.name!r} needs all rows at once, and partial_fit shows it a block at a time",
                hint=f"use method={' or '.join(map(repr, _going_on()))}",
            )
        if how.objective.rule not in RUNNING_RULES:
            raise NotSupportedError(
                f"partial_fit moves running means, and under metric {how.metric_name!r} centroids are {how.objective.rule}s",
                hint="use metric='euclidean' or 'cosine', or fit on all rows",
            )

    def _approach(self) -> Approach:
        return approach_of(
            method=self.method,
            registry=default_registry(),
            init=self.init,
            metric=self.metric,
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            seed=self._seed(),
            threads=self.threads,
        )

    def _keep(self, how: Approach, centroids: np.ndarray) -> None:
        self._how, self._centroids = how, centroids
        medoids = vars(self)["clustering_"].medoid_vectors if "clustering_" in vars(self) else None
        self.cluster_centers_ = how.metric.unprepare(centroids) if medoids is None else medoids
        self._n_features_out = len(centroids)

    def _assigned(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        how = self._how
        return how.objective.assign(self._prepared(self._checked(X, reset=False)), self._centroids, how.threads)

    def _prepared(self, rows: np.ndarray) -> np.ndarray:
        self._how.metric.need_accepted(rows)
        return self._how.metric.prepare(rows)

    def _checked(self, X: Any, *, reset: bool) -> np.ndarray:
        wide = self.metric is not None and make_metric(self.metric, default_registry())[0].dtype == "bits"
        # What is not bits is refused later in words: a cast would make bits of anything.
        checked: np.ndarray = validate_data(self, X, dtype=None if wide else np.float32, order="C", reset=reset)
        return as_vectors(checked, dtype="bits") if wide else checked

    def _seed(self) -> int:
        given = self.random_state
        if given is None or isinstance(given, int | np.integer):
            return load_settings({"seed": None if given is None else int(given)}).seed
        if isinstance(given, np.random.Generator):
            return int(given.integers(2**31 - 1))
        return int(check_random_state(given).randint(2**31 - 1))

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("clustering_", None)
        return state


def _weights(given: Any, rows: int) -> np.ndarray:
    """(rows,) weights; a number stands for all of them."""
    mass = np.asarray(given, dtype=np.float64)
    return checked_mass(np.full(rows, mass) if mass.ndim == 0 else mass, rows)


def _goes_on(clusterer: Clusterer) -> bool:
    """Whether the centroids of a clusterer go on with new rows, under some metric."""
    return clusterer.goes_on and not set(RUNNING_RULES).isdisjoint(clusterer.rules)


def _going_on() -> list[str]:
    """Methods that do, of those that can be made here."""
    registry, found = default_registry(), []
    for name in registry.names("clusterer"):
        try:
            if _goes_on(registry.make("clusterer", name)):
                found.append(name)
        except NearkinError:
            continue
    return found
