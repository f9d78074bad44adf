"""Clusterers: promises that each keeps, and Lloyd's algorithm against its definition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearkin as nk
from nearkin.centroids import Clusterer, Partition
from nearkin.clustering.problem import derived_seed
from nearkin.errors import NotSupportedError, ParameterError, PluginContractError, UnknownNameError, VectorError
from nearkin.hooks import ClustererSpec
from nearkin.lloyd import Lloyd
from nearkin.objectives import SQUARES
from nearkin.registry import default_registry
from nearkin_plugins.cells import means_by
from nearkin_plugins.faiss_kmeans import KMeans

SPECS = tuple(spec for spec in default_registry().specs("clusterer") if isinstance(spec, ClustererSpec))
ALL_NAMES = tuple(spec.name for spec in SPECS)
NAMES = tuple(spec.name for spec in SPECS if "mean" in spec.rules)
"""Those that squared distances are made for; the kit has the promises of the others."""
NO_DEADLINE = settings(deadline=None)


def blobs(n: int = 300, k: int = 5, dim: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    labels[:k] = np.arange(k)
    return (rng.normal(scale=100, size=(k, dim))[labels] + rng.normal(size=(n, dim))).astype(np.float32), labels


def squared(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((vectors[:, None].astype(np.float64) - centroids[None].astype(np.float64)) ** 2).sum(axis=2)


def clusterer(name: str, **params: int) -> Clusterer:
    text = ":".join([name, *(f"{key}={value}" for key, value in params.items())])
    made = default_registry().make("clusterer", text)
    assert isinstance(made, Clusterer)
    return made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 2, 5, 40, 300])
def test_rows_belong_to_the_nearest_centroid(name, k):
    vectors, _ = blobs()
    found = clusterer(name).fit(vectors, k, seed=3)
    true = squared(vectors, found.centroids)
    assert (found.centroids.dtype, found.centroids.shape) == (np.float32, (k, 3))
    chosen = true[np.arange(300), found.labels]
    np.testing.assert_allclose(chosen, true.min(axis=1), rtol=1e-4, atol=1e-2)
    assert found.inertia == pytest.approx(true.min(axis=1).sum(), rel=1e-3, abs=0.5)
    assert found.sizes.sum() == 300
    if k == 1:
        np.testing.assert_allclose(found.centroids[0], vectors.mean(axis=0), rtol=1e-4, atol=1e-3)


def test_well_separated_blobs_are_found():
    vectors, labels = blobs(seed=4)
    found = Lloyd().fit(vectors, 5, seed=0)
    pairs = {(int(a), int(b)) for a, b in zip(labels, found.labels, strict=True)}
    assert len(pairs) == 5


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name):
    vectors = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    one, two, other = (clusterer(name).fit(vectors, 20, seed=seed) for seed in (7, 7, 8))
    assert one.centroids.tolist() == two.centroids.tolist()
    assert one.labels.tolist() == two.labels.tolist()
    assert one.centroids.tolist() != other.centroids.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_the_inertia_never_rises(name):
    vectors = np.random.default_rng(1).normal(size=(400, 6)).astype(np.float32)
    history = clusterer(name).fit(vectors, 12).history
    assert len(history) >= 2
    assert all(later <= earlier * (1 + 1e-4) for earlier, later in pairwise(history))


@pytest.mark.parametrize("name", NAMES)
def test_whole_weights_are_rows_given_again(name):
    """A fixed point is the weighted mean of its rows, whatever the start."""
    vectors, _ = blobs(60, 3)
    weights = np.random.default_rng(0).integers(1, 5, 60).astype(float)
    found = clusterer(name, max_iter=100).fit(vectors, 3, seed=2, weights=weights)
    for cell in range(3):
        inside = found.labels == cell
        np.testing.assert_allclose(
            found.centroids[cell], np.average(vectors[inside], axis=0, weights=weights[inside]), rtol=1e-3, atol=1e-2
        )
    expected = (weights * squared(vectors, found.centroids).min(axis=1)).sum()
    assert found.inertia == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("distinct", [1, 2, 5])
def test_fewer_distinct_rows_than_centroids(name, distinct):
    vectors = np.repeat(np.eye(5, dtype=np.float32)[:distinct], 8, axis=0)
    found = clusterer(name).fit(vectors, min(8, len(vectors)))
    assert np.isfinite(found.centroids).all()
    assert found.sizes.sum() == len(vectors)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [0, -1, 11])
def test_k_outside_the_rows_is_refused(name, k):
    with pytest.raises(ParameterError, match=f"{k} centroids asked of 10 rows, 1 to 10 expected"):
        clusterer(name).fit(blobs(10)[0], k)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", [np.ones(9), -np.ones(10), np.zeros(10), np.full(10, np.nan), np.ones((10, 1))])
def test_weights_that_do_not_fit_are_refused(name, weights):
    with pytest.raises(ParameterError, match="weights must be 10 non-negative numbers, not all zero"):
        clusterer(name).fit(blobs(10)[0], 2, weights=weights)


@pytest.mark.parametrize("name", NAMES)
def test_rows_go_through_the_gate_and_are_not_changed(name):
    vectors, _ = blobs(30)
    vectors = np.asfortranarray(vectors.astype(np.float64))
    vectors.flags.writeable = False
    assert clusterer(name).fit(vectors, 3).sizes.sum() == 30
    with pytest.raises(VectorError, match="NaN"):
        clusterer(name).fit([[np.nan]], 1)


@pytest.mark.parametrize("name", NAMES)
def test_at_least_one_iteration(name):
    with pytest.raises(ParameterError, match="max_iter is 0, at least 1 expected"):
        clusterer(name, max_iter=0)
    assert clusterer(name, max_iter=1).fit(blobs()[0], 5).sizes.sum() == 300


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 100))
@NO_DEADLINE
def test_assign_is_brute_force(n, k, seed):
    rng = np.random.default_rng(seed)
    vectors, centroids = rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(k, 3)).astype(np.float32)
    labels, distances = SQUARES.assign(vectors, centroids)
    true = squared(vectors, centroids)
    np.testing.assert_allclose(distances, true.min(axis=1), rtol=1e-9)
    np.testing.assert_allclose(true[np.arange(n), labels], true.min(axis=1), rtol=1e-9)


def test_lloyd_stops_at_a_fixed_point():
    vectors, _ = blobs(200, 4)
    found = Lloyd(max_iter=200, tol=0).fit(vectors, 4, seed=1)
    for cell in range(4):
        np.testing.assert_allclose(
            found.centroids[cell], vectors[found.labels == cell].mean(axis=0), rtol=1e-5, atol=1e-4
        )
    assert len(found.history) < 50


class _Broken(Lloyd):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def _fit(self, task):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Partition(np.zeros((3, 3), np.float32), np.zeros(10, int), 0.0), "gave centroids and labels of shapes"),
        (Partition(np.zeros((2, 3), np.float32), np.zeros(9, int), 0.0), "gave centroids and labels of shapes"),
        (
            Partition(np.full((2, 3), np.nan, np.float32), np.zeros(10, int), 0.0),
            "gave centroids with NaN or infinite values",
        ),
        (Partition(np.zeros((2, 3), np.float32), np.full(10, 2), 0.0), r"gave labels outside 0\.\.1"),
        (Partition(np.zeros((2, 3), np.float32), np.full(10, -1), 0.0), r"gave labels outside 0\.\.1"),
    ],
)
def test_a_clusterer_that_breaks_the_contract_is_named(answer, said):
    with pytest.raises(PluginContractError, match=f"clusterer 'lloyd' {said}"):
        _Broken(answer).fit(blobs(10)[0], 2)


@pytest.mark.parametrize("name", ALL_NAMES)
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner-product", "manhattan", "hamming"])
def test_every_clusterer_serves_ivf_under_every_metric(name, metric):
    rng = np.random.default_rng(0)
    vectors = rng.integers(0, 256, (200, 6), dtype=np.uint8) if metric == "hamming" else rng.normal(size=(200, 6))
    if metric != "cosine":
        vectors[::20] = 0
    mine = nk.build(vectors, metric=metric, plan=f"ivf5:clusterer={name}")
    found = mine.search(vectors[:9], 4, nprobe=5)
    exact = mine.exact_search(vectors[:9], 4)
    np.testing.assert_allclose(found.distances, exact.distances, rtol=1e-5, atol=1e-5)
    assert mine.plan == ("ivf5" if name == "kmeans" else f"ivf5:clusterer={name}")


@pytest.mark.parametrize("name", ALL_NAMES)
def test_cells_of_every_clusterer_are_those_of_blobs(name):
    """Well separated groups, one a cell: each is found in the one cell whose centroid is the mean of the group."""
    rng = np.random.default_rng(1)
    centres = 10 * np.eye(6, 8) + 3
    rows = np.repeat(centres, 40, axis=0) + rng.normal(scale=0.1, size=(240, 8))
    means = means_by(clusterer(name), rows.astype(np.float32), 6, seed=2)
    nearest = squared(centres.astype(np.float32), means)
    assert sorted(nearest.argmin(axis=1).tolist()) == list(range(6)), nearest.round(2)
    np.testing.assert_allclose(means[nearest.argmin(axis=1)], rows.reshape(6, 40, 8).mean(axis=1), atol=0.01)


@pytest.mark.parametrize("name", ["spherical", "kmedians", "kmedoids"])
def test_cells_of_other_centroids_have_means_and_none_is_lost(name):
    """More cells than distinct rows, rows of zeros, and a start: still (k, dim) finite centroids, each a mean of its rows."""
    rows = np.concatenate([np.zeros((5, 3)), np.eye(3), 7 * np.eye(3)]).astype(np.float32)
    means = means_by(clusterer(name), rows, 8, start=rows[:8].copy())
    assert means.shape == (8, 3)
    assert means.dtype == np.float32
    assert np.isfinite(means).all()


def test_a_clusterer_is_never_ignored_by_cells_that_the_metric_finds_itself():
    rows = np.abs(np.random.default_rng(0).normal(size=(100, 4))) + 0.1
    with pytest.raises(NotSupportedError, match="clusterer=bisecting finds cells by squared distances") as caught:
        nk.build(rows, metric="canberra", plan="ivf4:clusterer=bisecting")
    assert "centroids=mean" in str(caught.value.hint)
    assert nk.build(rows, metric="canberra", plan="ivf4:centroids=medoid").search(
        rows[:3], 1, nprobe=4
    ).ids.tolist() == [
        [0],
        [1],
        [2],
    ]


@pytest.mark.parametrize("make", [KMeans, Lloyd])
def test_a_start_is_where_iterations_begin(make):
    """Centroids of three groups, given, stay with their groups in one iteration; from elsewhere they would not get there."""
    rng = np.random.default_rng(0)
    centres = np.float32([[0, 0], [100, 0], [0, 100]])
    rows = np.concatenate([centre + rng.normal(size=(50, 2)) for centre in centres]).astype(np.float32)
    start = centres + 3
    kept = start.copy()
    found = make(max_iter=1).fit(rows, 3, start=start)
    np.testing.assert_allclose(found.centroids, rows.reshape(3, 50, 2).mean(axis=1), atol=1e-3)
    np.testing.assert_array_equal(start, kept)
    assert (found.sizes == 50).all()


@pytest.mark.parametrize("make", [KMeans, Lloyd])
def test_a_settled_start_ends_early_and_no_worse(make):
    rows = np.random.default_rng(0).normal(size=(4000, 8)).astype(np.float32)
    cold = make(max_iter=20, tol=2e-3).fit(rows, 32)
    warm = make(max_iter=20, tol=2e-3).fit(rows, 32, start=cold.centroids)
    assert warm.inertia <= 1.0001 * cold.inertia
    assert len(warm.history) < 8
    assert warm.ended == "converged"


def test_a_clusterer_that_takes_no_start_goes_on_without():
    class Means(Clusterer):
        name = "means"

        def _fit(self, task):
            labels = np.arange(len(task.vectors)) % task.k
            centroids = np.stack([task.vectors[labels == cluster].mean(axis=0) for cluster in range(task.k)])
            return Partition(centroids.astype(np.float32), labels, 0.0)

    rows = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    with_start = Means().fit(rows, 2, start=rows[:2])
    np.testing.assert_array_equal(with_start.centroids, Means().fit(rows, 2).centroids)


@pytest.mark.parametrize("start", [np.zeros((2, 2)), np.zeros((3, 5)), np.full((3, 2), np.nan)])
def test_a_start_that_does_not_fit_is_refused(start):
    with pytest.raises(ParameterError, match="start has shape"):
        Lloyd().fit(np.zeros((9, 2), np.float32), 3, start=start)


@pytest.mark.parametrize("metric", ["cosine", "hellinger", "correlation", "standardized-euclidean", "haversine"])
def test_medoids_are_told_as_the_rows_that_were_given(metric):
    rows = np.random.default_rng(0).uniform(1, 40, (60, 2 if metric == "haversine" else 4)).astype(np.float32)
    found = nk.cluster(rows, 3, method="kmedoids", metric=metric)
    np.testing.assert_array_equal(found.centroids, rows[found.medoids])
    np.testing.assert_array_equal(found.assign(found.centroids), np.arange(3))


def seeds_of(starts):
    """Those of so many starts from seed 0."""
    return [0, *(derived_seed(0, trial) for trial in range(1, starts))]


def test_the_best_start_is_the_best_by_what_the_method_makes_less():
    rows = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    reached = [nk.cluster(rows, 5, method="fuzzy", n_init=1, seed=seed).history[-1] for seed in seeds_of(4)]
    assert nk.cluster(rows, 5, method="fuzzy", n_init=4, seed=0).history[-1] == min(reached)


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("method", ["kmeans", "lloyd", "kmedoids", "fuzzy", "bisecting", "minibatch", "online"])
def test_iterations_that_were_cut_short_are_all_that_were_allowed(method, most):
    rows = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    found = nk.cluster(rows, 20, method=method, max_iter=most, n_init=1)
    assert (found.iterations, found.ended) == (most, "max_iter")


@pytest.mark.parametrize("method", ["online:rate=0.9", "minibatch:batch_size=20", "lloyd", "kmeans"])
def test_the_best_of_several_starts_has_the_least_inertia(method):
    rows = np.random.default_rng(3).normal(size=(300, 4)).astype(np.float32)
    alone = [nk.cluster(rows, 12, method=method, n_init=1, seed=seed, max_iter=4) for seed in seeds_of(6)]
    best = nk.cluster(rows, 12, method=method, n_init=6, seed=0, max_iter=4)
    assert best.inertia == min(each.inertia for each in alone)
    assert all(each.history[-1] == each.inertia for each in [*alone, best])


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"method": 3}, ParameterError, "method is a int, the name of a clusterer expected"),
        ({"method": "lloid"}, UnknownNameError, "did you mean 'lloyd'"),
        ({"weights": ["a"] * 9}, ParameterError, "weights must be 9 non-negative numbers"),
        ({"n_init": 0}, ParameterError, "n_init is 0"),
        ({"k": True}, ParameterError, "k is True"),
        ({"rows": np.full((9, 2), np.nan)}, VectorError, r"in 9 of 9 rows \(.*\); remove them$"),
        (
            {"rows": np.zeros((9, 2)), "metric": "cosine"},
            VectorError,
            r"have none: 9 of 9 rows \(.*\); remove them, or take",
        ),
    ],
)
def test_bad_arguments_end_in_a_sentence(given, error, said):
    rows = given.pop("rows", np.arange(18.0).reshape(9, 2))
    with pytest.raises(error, match=said):
        nk.cluster(rows, given.pop("k", 2), **given)


@pytest.mark.parametrize("scale", [1e-30, 1e15])
def test_the_kmeans_of_faiss_separates_tiny_and_huge_values(scale: float) -> None:
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.normal(at, 0.1, (40, 4)) for at in (0, 5, 10)]).astype(np.float32)
    result = nk.cluster((rows * scale).astype(np.float32), 3, method="kmeans", seed=0)
    assert sorted(result.sizes.tolist()) == [40, 40, 40]
