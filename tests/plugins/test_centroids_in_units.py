"""Centroids come back in the units of the rows: worked out by hand, or from the rows of the cluster."""

from __future__ import annotations

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import VectorError
from nearkin_plugins.distances.affine import WeightedEuclidean
from nearkin_plugins.distances.sphere import Haversine


@pytest.mark.parametrize(
    "metric", ["euclidean", "mahalanobis", "standardized-euclidean", "weighted-euclidean:weights=4/0.25/1"]
)
def test_the_centroid_under_an_affine_metric_is_the_mean_of_the_rows(metric: str) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(90, 3)) * [1, 10, 0.1] + [5, -200, 3]).astype(np.float32)
    found = nk.cluster(rows, 3, metric=metric, tol=0, seed=1)
    for cluster in range(3):
        inside = rows[found.labels == cluster].astype(np.float64)
        np.testing.assert_allclose(found.centroids[cluster], inside.mean(axis=0), rtol=1e-5, atol=1e-5)


def test_a_column_that_is_not_looked_at_has_no_centroid() -> None:
    metric = WeightedEuclidean("1/0/4")
    np.testing.assert_array_equal(metric.unprepare(np.float32([[1, 0, 6]])), [[1, np.nan, 3]])


def test_the_middle_of_places_on_the_equator_and_over_the_date_line() -> None:
    found = nk.cluster([[0, 170], [0, -170], [10, 0], [-10, 0]], 2, metric="haversine", seed=0)
    middles = sorted(np.abs(found.centroids).round(3).tolist())
    assert middles == [[0.0, 0.0], [0.0, 180.0]]
    np.testing.assert_allclose(found.distances(), np.radians(10) * 6371.0088, rtol=1e-5)


@pytest.mark.parametrize("radius", [1.0, 6371.0088])
def test_places_come_back_whatever_the_radius_and_the_fit(radius: float) -> None:
    rows = np.float32([[48.8566, 2.3522], [-90, 0], [89.9, -179.5], [0, 180]])
    for fit in ("fit", "fit_for_centroids"):
        metric = Haversine(radius)
        getattr(metric, fit)(rows)
        np.testing.assert_allclose(
            metric.distances(metric.unprepare(metric.prepare(rows)), rows).diagonal() / radius, 0, atol=1e-6
        )


def test_the_centroid_of_shares_sums_to_one() -> None:
    rows = np.float32([[1, 3, 0], [10, 30, 0], [0, 0, 2], [0, 1, 99]])
    found = nk.cluster(rows, 2, metric="hellinger", seed=0)
    np.testing.assert_allclose(found.centroids.sum(axis=1), 1, rtol=1e-6)
    assert sorted(found.centroids.round(2).tolist())[1] == [0.25, 0.75, 0.0]


@pytest.mark.parametrize(("p", "rule"), [(1.0, "median"), (2.0, "mean"), (1.5, None), (3.0, None)])
def test_minkowski_has_the_rule_of_its_p(p: float, rule: str | None) -> None:
    metric = nk.Registry(strict=True)
    metric.load_entry_points()
    made = metric.make("metric", f"minkowski:p={p}")
    assert made.centroid_rule == rule
    again = metric.make("metric", "minkowski")
    again.restore(made.state())
    assert again.centroid_rule == rule


@pytest.mark.parametrize("method", ["lloyd", "minibatch"])
def test_centroids_with_nan_where_the_metric_does_not_look_can_be_given_back(method, tmp_path):
    rows = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    metric = "weighted-euclidean:weights=1/0/2"
    found = nk.cluster(rows, 4, metric=metric, seed=0)
    assert np.isnan(found.centroids[:, 1]).all()
    np.save(tmp_path / "x.npy", rows)
    for given in (rows, tmp_path / "x.npy"):
        again = nk.cluster(given, 4, metric=metric, init=found.centroids, method=method)
        assert again.inertia == pytest.approx(found.inertia, rel=0.05)
    again = nk.cluster(rows, 4, metric=metric, init=found.centroids)
    np.testing.assert_array_equal(again.labels, found.labels)
    wrong = found.centroids.copy()
    wrong[2, 0] = np.nan
    with pytest.raises(VectorError, match="init"):
        nk.cluster(rows, 4, metric=metric, init=wrong)


@pytest.mark.parametrize(
    "metric", ["euclidean", "cosine", "correlation", "hellinger", "mahalanobis", "manhattan", "angular"]
)
def test_nan_in_centroids_is_refused_where_the_metric_looks(metric):
    rows = np.random.default_rng(0).uniform(size=(50, 3)).astype(np.float32)
    with pytest.raises(VectorError, match="init"):
        nk.cluster(rows, 2, metric=metric, init=np.array([[1.0, np.nan, 2.0], [3.0, np.nan, 1.0]]))
