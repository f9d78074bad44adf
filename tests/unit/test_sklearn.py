"""The scikit-learn transformer against scikit-learn's own, and in the pipelines it is for."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import DBSCAN, SpectralClustering
from sklearn.datasets import make_blobs
from sklearn.manifold import TSNE
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from nearkin import errors
from nearkin.sklearn import NearkinTransformer

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(120, 6)).astype(np.float32)
QUERIES = RNG.normal(size=(17, 6)).astype(np.float32)
BLOBS, LABELS = make_blobs(150, centers=4, n_features=5, random_state=0)


@pytest.mark.parametrize(
    "given", [{}, {"n_neighbors": 2, "mode": "connectivity"}, {"plan": "ivf1", "metric": "manhattan"}]
)
def test_it_is_an_estimator_by_scikit_learns_own_checks(given):
    results = check_estimator(NearkinTransformer(**given), on_skip=None, on_fail=None)
    failed = {each["check_name"]: each["exception"] for each in results if each["status"] not in ("passed", "skipped")}
    assert not failed
    skipped = {each["check_name"] for each in results if each["status"] == "skipped"}
    assert skipped <= {
        "check_array_api_input"
    }  # it wants a variable of the environment that is set before SciPy is loaded
    assert len(results) > 40


def equal(found, wanted):
    """Two sparse graphs, entry by entry in the order in which they are stored."""
    assert found.format == wanted.format == "csr"
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found.indptr, wanted.indptr)
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_allclose(found.data, wanted.data, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "manhattan", "chebyshev", "cosine"])
@pytest.mark.parametrize("mode", ["distance", "connectivity"])
@pytest.mark.parametrize("k", [1, 7, 119])
def test_the_graph_is_that_of_scikit_learn(metric, mode, k):
    ours = NearkinTransformer(n_neighbors=k, mode=mode, metric=metric)
    theirs = KNeighborsTransformer(n_neighbors=k, mode=mode, metric=metric, algorithm="brute")
    rows, queries = ROWS.astype(np.float64), QUERIES.astype(np.float64)
    equal(ours.fit_transform(rows), theirs.fit_transform(rows))
    equal(ours.transform(queries), theirs.transform(queries))
    equal(ours.kneighbors_graph(), theirs.kneighbors_graph())
    equal(ours.kneighbors_graph(queries, 3, "distance"), theirs.kneighbors_graph(queries, 3, "distance"))
    for given in (None, queries):
        for one, other in zip(ours.kneighbors(given, 4), theirs.kneighbors(given, 4), strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)
        np.testing.assert_array_equal(
            ours.kneighbors(given, 4, return_distance=False), theirs.kneighbors(given, 4, return_distance=False)
        )
    assert ours.get_feature_names_out()[:2].tolist() == ["nearkintransformer0", "nearkintransformer1"]


@pytest.mark.parametrize("plan", ["flat", "ivf4,pq3x4", "hnsw8", "ivf4,pq3x4,refine-int8"])
@pytest.mark.parametrize("rows", [ROWS, np.repeat(ROWS[:40], 3, axis=0)], ids=["plain", "thrice"])
def test_each_row_is_its_own_first_neighbour_whatever_the_plan(plan, rows):
    graph = NearkinTransformer(n_neighbors=4, plan=plan).fit_transform(rows)
    assert np.array_equal(np.diff(graph.indptr), np.full(len(rows), 5))
    first = graph.indptr[:-1]
    assert np.array_equal(graph.indices[first], np.arange(len(rows)))
    assert not graph.data[first].any()  # explicit zeros
    assert all(len(set(row)) == 5 for row in graph.indices.reshape(-1, 5).tolist())
    assert (np.diff(graph.data.reshape(-1, 5), axis=1) >= 0).all()
    assert (graph.data >= 0).all()


def test_estimators_that_take_it_as_precomputed_agree_with_scikit_learn():
    ours, theirs = NearkinTransformer(n_neighbors=20), KNeighborsTransformer(n_neighbors=20)
    spectral = SpectralClustering(4, affinity="precomputed_nearest_neighbors", n_neighbors=10, random_state=0)
    for estimator, rows in ((DBSCAN(eps=2.0, metric="precomputed"), BLOBS), (spectral, ROWS.astype(np.float64))):
        found = make_pipeline(ours, clone(estimator)).fit_predict(rows)
        assert np.array_equal(found, make_pipeline(theirs, clone(estimator)).fit_predict(rows))
        assert len(set(found.tolist())) >= 4
    classify = KNeighborsClassifier(5, metric="precomputed")
    found = make_pipeline(ours, clone(classify)).fit(BLOBS[::2], LABELS[::2]).predict(BLOBS[1::2])
    wanted = make_pipeline(theirs, clone(classify)).fit(BLOBS[::2], LABELS[::2]).predict(BLOBS[1::2])
    assert np.array_equal(found, wanted)
    assert (found == LABELS[1::2]).mean() > 0.9
    drawn = TSNE(init="random", metric="precomputed", perplexity=6, max_iter=250, random_state=0)
    assert make_pipeline(ours, drawn).fit_transform(BLOBS).shape == (150, 2)


def test_its_parameters_can_be_searched_for():
    pipeline = make_pipeline(NearkinTransformer(n_neighbors=20), KNeighborsClassifier(5, metric="precomputed"))
    grid = GridSearchCV(pipeline, {"nearkintransformer__plan": ["flat", "ivf4"]}, cv=3)
    assert grid.fit(BLOBS, LABELS).best_score_ > 0.9


@pytest.mark.parametrize("again", [lambda made: pickle.loads(pickle.dumps(made)), copy.deepcopy])
def test_a_copy_answers_the_same(again):
    fitted = NearkinTransformer(plan="ivf4", seed=3, search={"nprobe": 2}).fit(ROWS)
    equal(again(fitted).transform(QUERIES), fitted.transform(QUERIES))
    assert again(NearkinTransformer(n_neighbors=9)).n_neighbors == 9


def test_packed_bits():
    bits = RNG.integers(0, 256, size=(40, 4), dtype=np.uint8)
    ours = NearkinTransformer(n_neighbors=39, metric="hamming").fit_transform(bits).toarray()
    wide = np.unpackbits(bits, axis=1)
    np.testing.assert_allclose(ours, (wide[:, None] != wide[None]).sum(axis=2))


def refused(given, act, error, message):
    with pytest.raises(error, match=message):
        act(NearkinTransformer(**given))


def test_what_cannot_be_done_is_refused():
    refused({}, lambda made: made.transform(ROWS), ValueError, "not fitted")
    refused({}, lambda made: made.fit(ROWS * np.nan), ValueError, "NaN")
    refused({}, lambda made: made.fit(ROWS[0]), ValueError, "1D array")
    refused({}, lambda made: made.fit(ROWS).transform(ROWS[:, :2]), ValueError, "2 features")
    refused({"mode": "both"}, lambda made: made.fit(ROWS), errors.ParameterError, "'both'")
    refused({"n_neighbors": 0}, lambda made: made.fit(ROWS), errors.ParameterError, "n_neighbors is 0")
    refused({"n_neighbors": 120}, lambda made: made.fit_transform(ROWS), ValueError, "n_neighbors <= n_samples_fit")
    refused({"plan": "ivf,pq", "metric": "manhattan"}, lambda made: made.fit(ROWS), errors.NotSupportedError, "serve")


def test_every_row_has_its_neighbours_whatever_the_plan_reaches():
    graph = NearkinTransformer(plan="ivf40", n_neighbors=30, search={"nprobe": 1}).fit_transform(ROWS)
    assert (np.diff(graph.indptr) == 31).all()
