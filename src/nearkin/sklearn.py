"""A scikit-learn transformer over a collection: the graph of nearest neighbours that its estimators take as precomputed.

The only module that imports scikit-learn as a whole is this one, and nothing imports it but you: what inherits from an
estimator cannot wait for its first call.

>>> from sklearn.datasets import load_iris
>>> from nearkin.sklearn import NearkinTransformer
>>> rows = load_iris().data
>>> graph = NearkinTransformer(n_neighbors=5).fit_transform(rows)
>>> graph.shape, graph.nnz // len(rows)
((150, 150), 6)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from nearkin.building import build, make_metric
from nearkin.errors import ParameterError
from nearkin.registry import default_registry
from nearkin.search_parameters import whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearkin.collection import Collection
    from nearkin.metrics import Metric
    from nearkin.plans import Plan

__all__ = ["NearkinTransformer"]

Mode = Literal["distance", "connectivity"]


class NearkinTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Rows to the sparse graph of their nearest neighbours, as `sklearn.neighbors.KNeighborsTransformer` gives it.

    Everything that takes such a graph with ``metric="precomputed"`` can follow it: TSNE, DBSCAN, Isomap,
    KNeighborsClassifier, SpectralClustering (``affinity="precomputed_nearest_neighbors"``).

    Rows are compared as float32, so distances differ from scikit-learn's in the seventh digit. A plan that is not exact
    may miss neighbours; it gives as many as were asked all the same.

    Parameters
    ----------
    n_neighbors
        Neighbours of each row. As in scikit-learn, a row is its own neighbour: ``mode="distance"`` gives one more.
    mode
        ``"distance"``, or ``"connectivity"`` for ones.
    metric, plan, search, seed, threads
        As for `nearkin.build`.

    Attributes
    ----------
    collection_ : Collection
        The rows and their index. A pickle leaves it out, and it is built again from the rows when that is read.
    n_samples_fit_ : int
        Rows of the fitted data.
    n_features_in_ : int
        Columns of the fitted data.
    """

    def __init__(
        self,
        *,
        n_neighbors: int = 5,
        mode: Mode = "distance",
        metric: str | Metric = "euclidean",
        plan: str | Plan = "flat",
        search: Mapping[str, int] | None = None,
        seed: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.mode = mode
        self.metric = metric
        self.plan = plan
        self.search = search
        self.seed = seed
        self.threads = threads

    # ---- scikit-learn's protocol -----------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Build a collection of (n, dim) rows; `y` is not used.

        What is no matrix of finite numbers is refused by scikit-learn's own checks, with a ValueError.

        Raises
        ------
        NotSupportedError, ParameterError, UnknownNameError
            As for `nearkin.build`.
        """
        _need_mode(self.mode)
        whole_number("n_neighbors", self.n_neighbors, 1)
        self._fit_X = self._checked(X, reset=True)
        self.collection_: Collection = self._built()
        self.n_samples_fit_ = self._n_features_out = len(self._fit_X)
        return self

    def transform(self, X: Any) -> csr_matrix:
        """(m, n) CSR: the neighbours of m rows among the n fitted ones, nearest first in each row.

        Raises
        ------
        ParameterError
            More neighbours are asked for than there are rows.
        """
        check_is_fitted(self)
        return self.kneighbors_graph(X, self._entries(), self.mode)

    def fit_transform(self, X: Any, y: Any = None) -> csr_matrix:
        """`fit` and `transform`; each row is there as its own first neighbour, whatever the plan."""
        self.fit(X)
        others = self._entries() - 1
        nearest, distances = np.arange(self.n_samples_fit_)[:, None], np.zeros((self.n_samples_fit_, 1))
        if others:
            more, which = self.kneighbors(n_neighbors=others)
            nearest, distances = np.hstack([nearest, which]), np.hstack([distances, more])
        return self._graph(distances, nearest, self.mode)

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
        """Distances and positions of the nearest rows, nearest first, in scikit-learn's order.

        Parameters
        ----------
        X
            (m, dim) rows; None for the fitted ones, none of which is then its own neighbour.
        n_neighbors
            Other than that of the transformer.

        Returns
        -------
        distances : ndarray
            (m, n_neighbors) float64; left out with ``return_distance=False``.
        positions : ndarray
            (m, n_neighbors) row numbers of the fitted data.
        """
        check_is_fitted(self)
        k = whole_number("n_neighbors", self.n_neighbors if n_neighbors is None else n_neighbors, 1)
        rows = self._fit_X if X is None else self._checked(X, reset=False)
        there = self.n_samples_fit_ - (X is None)
        if k > there:
            raise ParameterError(f"Expected n_neighbors <= n_samples_fit, got {k} neighbours of {there} rows")
        found = self.collection_.search(rows, k + (X is None))
        distances, positions = found.to_faiss()
        if X is None:
            distances, positions = _without_itself(distances, positions)
        if not return_distance:
            return positions
        distances = distances.astype(np.float64)
        if (
            "non-negative" in self.collection_.metric.axioms
        ):  # rounding may leave the range, and scikit-learn refuses it
            np.maximum(distances, 0, out=distances)
        return distances, positions

    def kneighbors_graph(
        self, X: Any = None, n_neighbors: int | None = None, mode: Mode = "connectivity"
    ) -> csr_matrix:
        """`kneighbors` as an (m, n) CSR matrix of distances or ones."""
        _need_mode(mode)
        distances, positions = self.kneighbors(X, n_neighbors)
        return self._graph(distances, positions, mode)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _checked(self, X: Any, *, reset: bool) -> np.ndarray:
        metric, _ = make_metric(self.metric, default_registry())
        dtype = np.uint8 if metric.dtype == "bits" else np.float32
        checked: np.ndarray = validate_data(self, X, dtype=dtype, order="C", reset=reset)
        return checked

    def _built(self) -> Collection:
        return build(
            self._fit_X,
            metric=self.metric,
            plan=self.plan,
            search=self.search,
            seed=self.seed,
            threads=self.threads,
        )

    def _entries(self) -> int:
        return self.n_neighbors + (self.mode == "distance")

    def _graph(self, distances: np.ndarray, positions: np.ndarray, mode: Mode) -> csr_matrix:
        rows, k = positions.shape
        data = distances.ravel() if mode == "distance" else np.ones(rows * k)
        return csr_matrix((data, positions.ravel(), np.arange(0, rows * k + 1, k)), shape=(rows, self.n_samples_fit_))

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("collection_", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_fit_X" in state:
            self.collection_ = self._built()


def _need_mode(mode: Any) -> None:
    if mode not in ("distance", "connectivity"):
        raise ParameterError(f"mode is {mode!r}, 'distance' or 'connectivity' expected")


def _without_itself(distances: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The neighbours of every row without that row; among ties it may be missing, and the last one goes."""
    own = positions == np.arange(len(positions))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(positions), positions.shape[1] - 1)
    return distances[~own].reshape(shape), positions[~own].reshape(shape)
