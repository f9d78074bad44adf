"""The scikit-learn estimator against scikit-learn's own, and in the pipelines it is for."""

from __future__ import annotations

import pickle

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans as Reference
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import nearkin as nk
from nearkin import errors

ROWS, TRUTH = make_blobs(300, centers=4, n_features=5, random_state=0)
LOOSE = np.random.default_rng(1).normal(size=(400, 3))
SAME_DRAWS = {
    "check_sample_weight_equivalence_on_dense_data": "k-means++ draws other rows for a repeated row than for one of weight 2"
}


@pytest.mark.parametrize("given", [{}, {"method": "kmeans"}])
def test_it_is_an_estimator_by_scikit_learns_own_checks(given):
    results = check_estimator(nk.KMeans(**given), expected_failed_checks=SAME_DRAWS, on_skip=None, on_fail=None)
    failed = {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert not failed
    skipped = {each["check_name"] for each in results if each["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}
    assert len(results) > 40


@pytest.mark.parametrize("k", [1, 4, 9])
def test_from_the_same_start_it_ends_where_scikit_learn_ends(k):
    for rows in (ROWS, LOOSE):
        start = rows[:k]
        ours = nk.KMeans(k, init=start, tol=0).fit(rows)
        theirs = Reference(k, init=start, n_init=1, tol=0).fit(rows)
        assert ours.inertia_ <= theirs.inertia_ * (1 + 1e-6)
        np.testing.assert_allclose(ours.inertia_, theirs.inertia_, rtol=1e-5)
        np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(ours.predict(rows), theirs.predict(rows))
        np.testing.assert_allclose(ours.transform(rows), theirs.transform(rows), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(ours.score(rows), theirs.score(rows), rtol=1e-5)


def test_by_itself_it_is_no_worse_than_scikit_learn():
    ours = nk.KMeans(8, random_state=0).fit(LOOSE)
    theirs = Reference(8, n_init=10, random_state=0).fit(LOOSE)
    assert ours.inertia_ <= theirs.inertia_ * 1.02
    assert adjusted_rand_score(nk.KMeans(4, random_state=0).fit_predict(ROWS), TRUTH) > 0.85


def test_weights_are_rows_that_were_repeated():
    weights = np.random.default_rng(2).integers(0, 4, len(LOOSE))
    repeated = np.repeat(LOOSE, weights, axis=0)
    start = LOOSE[weights > 0][:5]
    one = nk.KMeans(5, init=start, tol=0).fit(LOOSE, sample_weight=weights)
    other = nk.KMeans(5, init=start, tol=0).fit(repeated)
    np.testing.assert_allclose(one.cluster_centers_, other.cluster_centers_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.inertia_, other.inertia_, rtol=1e-5)
    np.testing.assert_allclose(one.score(LOOSE, sample_weight=weights), -one.inertia_, rtol=1e-5)


def test_centroids_are_in_the_units_of_the_rows_under_a_metric_that_scales_them():
    rows = LOOSE * [1, 100, 10_000] + [5, 0, 0]
    ours = nk.KMeans(3, metric="standardized-euclidean", random_state=0).fit(rows)
    means = np.stack([rows[ours.labels_ == cluster].mean(axis=0) for cluster in range(3)])
    np.testing.assert_allclose(ours.cluster_centers_, means, rtol=1e-3, atol=1e-2)
    scaled = make_pipeline(StandardScaler(), nk.KMeans(3, random_state=0)).fit_predict(rows)
    assert adjusted_rand_score(scaled, ours.labels_) > 0.95


def test_other_methods_and_metrics():
    for method, metric in (("kmedoids", "manhattan"), ("kmedians", "manhattan"), ("spherical", "cosine")):
        ours = nk.KMeans(4, method=method, metric=metric, random_state=0).fit(ROWS)
        nearest = ours.transform(ROWS)
        np.testing.assert_array_equal(nearest.argmin(axis=1), ours.predict(ROWS))
        assert nearest.min() >= 0
        assert ours.clustering_.k == 4


class TestPartialFit:
    def test_centroids_are_means_of_the_rows_they_were_nearest_to(self):
        first, *blocks = np.array_split(LOOSE, 8)
        ours = nk.KMeans(3, random_state=0).partial_fit(first)
        counts = ours._running.counts.copy()
        assert counts.sum() == len(first)
        sums = ours.cluster_centers_ * counts[:, None]
        for block in blocks:
            labels = ours.predict(block)
            ours.partial_fit(block)
            for cluster in range(3):
                sums[cluster] += block[labels == cluster].sum(axis=0)
                counts[cluster] += (labels == cluster).sum()
            np.testing.assert_allclose(ours.cluster_centers_, sums / counts[:, None], rtol=1e-4, atol=1e-5)
        assert counts.sum() == len(LOOSE)
        assert ours.n_iter_ == 8

    def test_a_stream_comes_close_to_all_rows_at_once(self):
        order = np.random.default_rng(0).permutation(len(ROWS))
        stream = nk.KMeans(4, random_state=0)
        for block in np.array_split(ROWS[order], 10):
            stream.partial_fit(block)
        whole = nk.KMeans(4, random_state=0).fit(ROWS)
        assert -stream.score(ROWS) <= 1.1 * whole.inertia_

    def test_it_goes_on_after_fit(self):
        ours = nk.KMeans(4, random_state=0).fit(ROWS)
        before = ours.cluster_centers_.copy()
        nearest = ours.predict(ROWS[:1])[0]
        ours.partial_fit(ROWS[:1] + 1)
        moved = np.abs(ours.cluster_centers_ - before).sum(axis=1) > 0
        assert moved.nonzero()[0].tolist() == [nearest]
        assert not hasattr(ours, "clustering_")

    @pytest.mark.parametrize(
        ("given", "error", "said"),
        [
            ({"n_clusters": 9}, errors.ParameterError, "n_samples=5, at least n_clusters=9"),
            ({"n_clusters": 0}, errors.ParameterError, "at least 1"),
            ({"n_clusters": 2, "method": "kmedoids"}, errors.NotSupportedError, "'kmeans' or 'lloyd' or 'minibatch'"),
            ({"n_clusters": 2, "method": "fuzzy"}, errors.NotSupportedError, "all rows at once"),
            ({"n_clusters": 2, "metric": "manhattan"}, errors.NotSupportedError, "medians"),
        ],
    )
    def test_what_has_no_running_means_is_refused(self, given, error, said):
        with pytest.raises(error, match=said):
            nk.KMeans(**given).partial_fit(ROWS[:5])


def test_pipelines_grids_names_and_copies():
    frame = pandas.DataFrame(ROWS, columns=list("abcde"))
    ours = nk.KMeans(4, random_state=0).fit(frame)
    assert ours.feature_names_in_.tolist() == list("abcde")
    assert ours.get_feature_names_out().tolist() == [f"kmeans{at}" for at in range(4)]
    named = clone(ours).set_output(transform="pandas").fit_transform(frame)
    assert list(named.columns) == [f"kmeans{at}" for at in range(4)]
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again.transform(frame), ours.transform(frame))
    assert not hasattr(again, "clustering_")
    pipeline = make_pipeline(nk.KMeans(random_state=0), KNeighborsClassifier(3))
    grid = GridSearchCV(pipeline, {"kmeans__n_clusters": [1, 6]}, cv=3).fit(ROWS, TRUTH)
    assert grid.best_params_ == {"kmeans__n_clusters": 6}


def test_the_seed_decides():
    generator = np.random.RandomState(5)
    for state in (3, generator):
        one = nk.KMeans(6, n_init=1, random_state=state).fit(LOOSE)
        assert one.labels_.dtype == np.int64
    same = [nk.KMeans(6, n_init=1, random_state=3).fit(LOOSE).inertia_ for _ in range(2)]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("given", "rows", "error", "said"),
    [
        ({"n_clusters": 301}, ROWS, errors.ParameterError, "301 centroids asked of 300 rows"),
        ({"method": "kmens"}, ROWS, errors.UnknownNameError, "did you mean 'kmeans'"),
        ({"method": "kmedians", "metric": "euclidean"}, ROWS, errors.NotSupportedError, "means"),
        ({}, np.full((9, 2), np.nan), ValueError, "NaN"),
        ({}, [["a"]], ValueError, "convert"),
    ],
)
def test_what_is_wrong_is_said(given, rows, error, said):
    with pytest.raises(error, match=said):
        nk.KMeans(**given).fit(rows)


@pytest.mark.parametrize("weights", [np.ones(3), -np.ones(300), np.zeros(300), np.full(300, np.nan)])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(errors.ParameterError, match="weights must be 300 non-negative numbers"):
        nk.KMeans(2).fit(ROWS, sample_weight=weights)


def _two_halves(offset):
    rng = np.random.default_rng(0)
    return rng.normal((0.3, 0, 0), size=(1000, 3)), rng.normal(offset, size=(1000, 3))


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "standardized-euclidean"])
def test_going_on_after_fit_weighs_the_old_rows_as_they_were(metric):
    """One cluster: its centroid is that of all rows, however they came."""
    first, second = _two_halves([0, 3, 0])
    went_on = nk.KMeans(1, metric=metric, random_state=0).fit(first).partial_fit(second)
    in_blocks = nk.KMeans(1, metric=metric, random_state=0).partial_fit(first).partial_fit(second)
    np.testing.assert_allclose(went_on.cluster_centers_, in_blocks.cluster_centers_, atol=1e-4)
    if metric == "cosine":
        rows = np.concatenate([first, second])
        mean = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
        np.testing.assert_allclose(went_on.cluster_centers_[0], mean / np.linalg.norm(mean), atol=1e-4)


def test_the_rate_of_the_method_is_that_of_partial_fit():
    stream = nk.KMeans(1, method="online:rate=0.5", random_state=0).partial_fit(np.zeros((10, 1)))
    assert stream.partial_fit(np.full((10, 1), 100.0)).cluster_centers_.item() > 90


@pytest.mark.parametrize("method", ["skmeans", "spherical-kmeans", "spherical"])
def test_aliases_go_on_as_well(method):
    rows = np.random.default_rng(0).normal(size=(50, 3))
    assert nk.KMeans(2, method=method, random_state=0).partial_fit(rows).predict(rows).shape == (50,)


def test_a_block_that_is_refused_leaves_nothing_behind():
    model = nk.KMeans(2, metric="angular", random_state=0)
    with pytest.raises(errors.VectorError):
        model.partial_fit([[1, 0], [0, 1], [0, 0]])
    assert not hasattr(model, "cluster_centers_")
    assert model.partial_fit([[1, 0], [0, 1], [1, 1]]).n_iter_ == 1


def test_without_a_random_state_the_seed_is_that_of_the_settings(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(300, 3))
    monkeypatch.setenv("NEARKIN_SEED", "7")
    for learn in ("fit", "partial_fit"):
        unsaid, said = (getattr(nk.KMeans(5, n_init=1, random_state=seed), learn)(rows) for seed in (None, 7))
        np.testing.assert_array_equal(unsaid.labels_, said.labels_)


def test_a_generator_gives_the_seed():
    rows = np.random.default_rng(0).normal(size=(300, 3))
    one, same = (nk.KMeans(5, random_state=np.random.default_rng(3)).fit(rows) for _ in range(2))
    np.testing.assert_array_equal(one.labels_, same.labels_)


def test_medoids_are_the_rows_that_were_given():
    rows = np.random.default_rng(0).uniform(1, 9, (60, 3)).astype(np.float32)
    found = nk.KMeans(3, method="kmedoids", metric="cosine", random_state=0).fit(rows)
    np.testing.assert_array_equal(found.cluster_centers_, rows[found.clustering_.medoids])
