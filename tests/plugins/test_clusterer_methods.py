"""k-medoids, fuzzy c-means, bisecting and k-means by faiss: what each does beyond the promises that all keep."""

from __future__ import annotations

import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearkin as nk
from nearkin import objectives as objectives_module
from nearkin.centroids import Clusterer, Partition, Task
from nearkin.errors import MissingDependencyError, ParameterError, PluginContractError
from nearkin.hooks import ClustererSpec
from nearkin.lloyd import FARTHEST, Lloyd
from nearkin.metrics import Euclidean, Metric, squared_l2
from nearkin.objectives import ABSOLUTE, DIRECTIONS, SQUARES, MetricSums
from nearkin.registry import default_registry
from nearkin_plugins import fuzzy as fuzzy_module
from nearkin_plugins import kmedoids as kmedoids_module
from nearkin_plugins import minibatch as minibatch_module
from nearkin_plugins.bisecting import Bisecting
from nearkin_plugins.faiss_kmeans import KMeans
from nearkin_plugins.fuzzy import Fuzzy, memberships_of
from nearkin_plugins.kmedoids import KMedoids
from nearkin_plugins.minibatch import MiniBatch
from nearkin_plugins.online import Online

BY_ROWS = MetricSums(Euclidean())
QUICK = settings(deadline=None, max_examples=60)


def distances(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(squared_l2(rows, rows))


@given(st.integers(4, 16), st.integers(1, 4), st.integers(0, 10_000))
@QUICK
def test_no_swap_of_one_medoid_makes_weighted_costs_less(n: int, k: int, seed: int) -> None:
    """The library takes a matrix that weights have made asymmetric: a swap is judged by the right side of it."""
    rng = np.random.default_rng(seed)
    rows, weights = rng.normal(size=(n, 2)).astype(np.float32), rng.uniform(0.01, 20, n)
    found = KMedoids().fit(rows, k, objective=BY_ROWS, weights=weights, seed=seed)
    costs = weights[:, None] * distances(rows)
    assert found.medoids is not None
    medoids = found.medoids.tolist()
    assert len(set(medoids)) == k
    assert found.inertia == pytest.approx(costs[:, medoids].min(axis=1).sum(), rel=1e-5, abs=1e-9)
    for place in range(k):
        for other in set(range(n)) - set(medoids):
            swapped = [*medoids[:place], other, *medoids[place + 1 :]]
            assert costs[:, swapped].min(axis=1).sum() >= found.inertia * (1 - 1e-5)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("init", ["k-means++", "build", "random"])
def test_rows_without_weight_are_no_medoids(full: bool, init: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not full:
        monkeypatch.setattr(kmedoids_module, "FULL_ROWS", 150)
        monkeypatch.setattr(kmedoids_module, "SAMPLE", 100)
        monkeypatch.setattr(kmedoids_module, "MEMBERS", 20)
    rows = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    weights = (np.arange(400) % 2).astype(float)
    found = KMedoids(init=init).fit(rows, 3, objective=BY_ROWS, weights=weights)
    assert found.medoids is not None
    assert (found.medoids % 2 == 1).all()
    only = KMedoids().fit(rows[:5], 4, objective=BY_ROWS, weights=np.float64([0, 1, 0, 0, 1]))
    assert only.medoids is not None
    assert len(set(only.medoids.tolist())) == 4


@pytest.mark.parametrize("k", [1, 7, 60])
def test_samples_keep_their_promises(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 60 clusters a sample would be larger than the matrix may be: medoids are drawn, and moved."""
    monkeypatch.setattr(kmedoids_module, "FULL_ROWS", 250)
    monkeypatch.setattr(kmedoids_module, "SAMPLE", 120)
    monkeypatch.setattr(kmedoids_module, "MEMBERS", 40)
    rows = np.random.default_rng(1).normal(size=(900, 4)).astype(np.float32)
    first, second = (KMedoids().fit(rows, k, objective=BY_ROWS, seed=5, threads=threads) for threads in (1, 2))
    assert first.medoids is not None
    np.testing.assert_array_equal(first.medoids, second.medoids)
    np.testing.assert_array_equal(first.centroids, rows[first.medoids])
    assert first.inertia == pytest.approx(distances(rows)[:, first.medoids].min(axis=1).sum(), rel=1e-6)
    assert list(first.history) == sorted(first.history, reverse=True)
    again = KMedoids().fit(rows, k, objective=BY_ROWS, start=first.centroids)
    assert again.inertia <= first.inertia * (1 + 1e-9)
    assert first.inertia <= 1.1 * np.median(
        [
            distances(rows)[:, np.random.default_rng(draw).choice(900, k, replace=False)].min(axis=1).sum()
            for draw in range(9)
        ]
    )


def test_a_start_between_rows_is_the_rows_nearest_to_it() -> None:
    rows = np.float32([[0], [1], [2], [10], [11], [12]])
    found = KMedoids().fit(rows, 2, objective=BY_ROWS, start=np.float32([[0.9], [11.2]]))
    assert sorted(found.centroids.ravel().tolist()) == [1.0, 11.0]
    assert found.history[0] == found.history[-1] == 4.0
    same = KMedoids().fit(rows, 2, objective=BY_ROWS, start=np.float32([[1], [1]]))
    assert len(set(same.centroids.ravel().tolist())) == 2


def test_without_the_package_the_pip_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kmedoids", None)
    with pytest.raises(MissingDependencyError) as caught:
        KMedoids().fit(np.zeros((3, 1), np.float32), 1, objective=BY_ROWS)
    assert caught.value.hint == 'pip install "nearkin[medoids]"'


def test_a_metric_that_gives_nan_is_named() -> None:
    class Odd(Metric):
        name = "odd"

        def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
            return np.where(queries[:, :1] > vectors[:, 0], np.nan, 1.0)

    with pytest.raises(PluginContractError, match="gave NaN for 3 of 9 pairs of rows"):
        KMedoids().fit(np.float32([[1], [2], [3]]), 2, objective=MetricSums(Odd()))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: KMedoids(max_iter=0), "max_iter is 0, at least 1 expected"),
        (lambda: KMedoids(init="box"), "init is 'box', one of k-means"),
        (lambda: KMedoids(samples=0), "samples is 0, at least 1 expected"),
        (lambda: Fuzzy(m=1), "m is 1, a number above 1 and up to 30 expected"),
        (lambda: Fuzzy(m=float("nan")), "m is nan"),
        (lambda: Fuzzy(m=31), "m is 31"),
        (lambda: Fuzzy(max_iter=0), "max_iter is 0"),
        (lambda: Fuzzy(tol=-1), "tol is -1, at least 0 expected"),
        (lambda: Fuzzy(init="somewhere"), "init is 'somewhere'"),
        (
            lambda: Bisecting(bisecting_strategy="widest"),
            "bisecting_strategy is 'widest', largest-cost or largest-size",
        ),
        (lambda: Bisecting(n_init=0), "n_init is 0, at least 1 expected"),
        (lambda: Bisecting(max_iter=0), "max_iter is 0"),
        (lambda: KMeans(tol=-1), "tol is -1, at least 0 expected"),
    ],
)
def test_options_out_of_range_are_refused(make, said) -> None:
    with pytest.raises(ParameterError, match=said):
        make()


@given(st.integers(1, 20), st.integers(1, 6), st.floats(1.01, 30), st.integers(0, 1000))
@QUICK
def test_memberships_are_the_formula(n: int, k: int, m: float, seed: int) -> None:
    costs = np.random.default_rng(seed).uniform(0.1, 9, (n, k))
    direct = 1 / np.stack([((costs[:, [i]] / costs) ** (1 / (m - 1))).sum(axis=1) for i in range(k)], axis=1)
    np.testing.assert_allclose(memberships_of(costs, m), direct, rtol=1e-9, atol=1e-300)


def test_memberships_of_rows_on_centroids_and_very_far_ones() -> None:
    found = memberships_of(np.float64([[0, 1e-300, 1], [1e300, 1e300, 1e300], [1e-300, 1e300, 5]]), 1.05)
    np.testing.assert_allclose(found, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1, 0, 0]], atol=1e-12)


def test_fuzzy_centroids_are_weighted_means_and_its_history_falls() -> None:
    rng = np.random.default_rng(0)
    rows, weights = rng.normal(size=(200, 3)).astype(np.float32), rng.uniform(0, 3, 200)
    found = Fuzzy(m=1.5, tol=0, max_iter=500).fit(rows, 4, weights=weights)
    assert found.memberships is not None
    powers = weights[:, None] * found.memberships**1.5
    np.testing.assert_allclose(found.centroids, powers.T @ rows / powers.sum(axis=0)[:, None], atol=1e-4)
    assert all(later <= earlier * (1 + 1e-7) for earlier, later in zip(found.history, found.history[1:], strict=False))
    assert found.history[-1] == pytest.approx((powers * squared_l2(rows, found.centroids)).sum(), rel=1e-9)


def test_with_little_fuzziness_fuzzy_is_lloyd() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(50, 2)) + shift for shift in (0, 20, 40)]).astype(np.float32)
    crisp = nk.cluster(rows, 3, method="lloyd", seed=1)
    found = nk.cluster(rows, 3, method="fuzzy:m=1.01", seed=1)
    assert found.inertia == pytest.approx(crisp.inertia, rel=1e-6)


def test_memberships_that_take_too_much_are_left_out_and_melted_clusters_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    melted = Fuzzy(m=3.0).fit(rows, 5)
    assert "5 of 5 centroids lie on another one" in melted.notes[0]
    monkeypatch.setattr(fuzzy_module, "MEMBERSHIP_BYTES", 8 * 300 * 5 - 1)
    found = Fuzzy(m=1.2).fit(rows, 5)
    assert found.memberships is None
    assert "memberships of 300 rows in 5 clusters" in found.notes[0]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    whole = Fuzzy().fit(rows, 4)
    monkeypatch.setattr(fuzzy_module, "block_rows", lambda *_: 33)
    some = Fuzzy().fit(rows, 4)
    np.testing.assert_allclose(some.centroids, whole.centroids, atol=1e-5)
    np.testing.assert_allclose(some.memberships, whole.memberships, atol=1e-5)


@pytest.mark.parametrize("strategy", ["largest-cost", "largest-size"])
def test_bisecting_splits_what_it_says(strategy: str) -> None:
    """Many rows close together, and few far apart: the first are split by size, the others by cost."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(scale=0.1, size=(80, 1)), 100 + 5 * rng.normal(size=(10, 1))]).astype(np.float32)
    found = Bisecting(bisecting_strategy=strategy, refine=False).fit(rows, 3, seed=0)
    near = int((found.centroids < 50).sum())
    assert near == (2 if strategy == "largest-size" else 1)
    assert list(found.history) == sorted(found.history, reverse=True)


@pytest.mark.parametrize("objective", [SQUARES, DIRECTIONS])
def test_refinement_makes_it_no_worse(objective) -> None:
    rows = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
    rows = objective.allowed(rows)
    plain, refined = (Bisecting(refine=refine).fit(rows, 12, objective=objective) for refine in (False, True))
    assert refined.inertia <= plain.inertia
    assert refined.history[:12] == plain.history[:12]
    best = Bisecting(n_init=5, refine=False).fit(rows, 2, objective=objective)
    once = Bisecting(refine=False).fit(rows, 2, objective=objective)
    assert best.inertia <= once.inertia * (1 + 1e-3)


def test_bisecting_stops_splitting_equal_rows_and_rows_without_weight() -> None:
    rows = np.repeat(np.float32([[0], [5], [9]]), 4, axis=0)
    found = Bisecting().fit(rows, 7, seed=1)
    assert found.inertia == 0
    weights = np.float64([1] * 8 + [0] * 4)
    beside = Bisecting(refine=False).fit(rows, 2, weights=weights, seed=1)
    assert sorted(beside.centroids.ravel().tolist()) == [0.0, 5.0]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_kmeans_of_faiss_ends_with_weights_of_any_size_and_empty_clusters(scale: float) -> None:
    """faiss looks for a cluster to split among those of weight above 1, for ever if there is none."""
    rows = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    found = KMeans().fit(rows, 8, weights=np.random.default_rng(0).uniform(0, scale, 60))
    assert found.reseeded > 0
    assert found.reseeding
    assert found.inertia < 1e-6 * scale


def test_kmeans_of_faiss_keeps_digits_far_from_the_origin() -> None:
    rng = np.random.default_rng(0)
    rows = (np.repeat([[0, 0], [8, 0], [0, 8]], 100, axis=0) + rng.normal(scale=0.5, size=(300, 2)) + 2**20).astype(
        np.float32
    )
    found = nk.cluster(rows, 3, method="kmeans", seed=1)
    wide = rows.astype(np.float64)
    best = sum(((part - part.mean(axis=0)) ** 2).sum() for part in wide.reshape(3, 100, 2))
    assert found.inertia == pytest.approx(best, rel=0.02)


def test_kmeans_of_faiss_ends_truthfully() -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    assert KMeans(max_iter=2).fit(rows, 20).ended == "max_iter"
    assert KMeans(max_iter=300).fit(rows, 20).ended == "converged"
    weighted = KMeans(max_iter=300).fit(rows, 20, weights=np.random.default_rng(1).uniform(0.5, 2, 2000))
    assert weighted.ended == "converged"
    assert weighted.history == (weighted.inertia,)


def test_directions_of_rows_of_other_lengths_are_refused() -> None:
    with pytest.raises(ParameterError, match="want rows of length one"):
        nk.Clusterer.fit(KMeans(), np.float32([[3, 4], [1, 0]]), 1, objective=DIRECTIONS)


def test_aliases_make_the_same() -> None:
    registry = default_registry()
    for alias, name in {"pam": "kmedoids", "k-medians": "kmedians", "skmeans": "spherical", "fcm": "fuzzy"}.items():
        assert registry.make("clusterer", alias).name == name


def test_a_method_is_named_without_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal reads rules from specs, so that a clusterer whose package is missing breaks no other's message."""
    registry = nk.Registry(strict=True)
    registry.load_entry_points()
    broken = [spec for spec in registry.specs("clusterer") if isinstance(spec, ClustererSpec)]
    monkeypatch.setattr(
        registry,
        "specs",
        lambda kind: [replace(spec, make="nowhere:Nothing") for spec in broken if kind == "clusterer"],
    )
    with pytest.raises(nk.errors.NotSupportedError) as caught:
        nk.cluster(np.ones((4, 2)), 2, method="lloyd", metric="chebyshev", registry=registry)
    assert "method='kmedoids'" in str(caught.value.hint)


@pytest.mark.parametrize("threads", [1, 2])
def test_kmeans_of_faiss_keeps_to_its_threads_and_gives_them_back(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    faiss = pytest.importorskip("faiss")
    seen = list[int]()

    class Watched(faiss.Kmeans):  # type: ignore[misc,name-defined]
        def train(self, *rows: object, **options: object) -> object:
            seen.append(faiss.omp_get_max_threads())
            return super().train(*rows, **options)

    monkeypatch.setattr(faiss, "Kmeans", Watched)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        KMeans().fit(np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32), 5, threads=threads)
        assert (seen, faiss.omp_get_max_threads()) == ([threads], 3)
    finally:
        faiss.omp_set_num_threads(before)


def test_clusters_that_ran_empty_within_splits_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = list[int]()
    whole = Lloyd.fit_task

    def watched(self: Lloyd, task: Task) -> Partition:
        found = whole(self, task)
        counted.append(found.reseeded)
        return found

    monkeypatch.setattr(Lloyd, "fit_task", watched)
    corner = np.random.default_rng(0).normal(size=(60, 2)) * np.float64([[1, 0.01]] * 30 + [[0.01, 1]] * 30)
    found = Bisecting(init="box", refine=False).fit(np.abs(corner), 30, seed=0)
    assert 0 < found.reseeded == sum(counted)
    assert found.reseeding == FARTHEST


def test_what_minibatch_gives_empty_clusters_is_said() -> None:
    """No batch moves the far centroids, which only the iteration at the end sets down on the farthest rows."""
    rows = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    start = np.concatenate([rows[:3], np.full((2, 2), 1e6, dtype=np.float32)])
    found = MiniBatch(max_iter=1, batch_size=30).fit(rows, 5, start=start)
    assert (found.reseeded, found.reseeding) == (2, FARTHEST)


@pytest.mark.parametrize("make", [MiniBatch, Online])
def test_rows_in_memory_are_not_copied_as_a_whole(make: type[Clusterer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minibatch_module, "BLOCK", 4096)
    rows = np.random.default_rng(0).normal(size=(100_000, 32)).astype(np.float32)
    made, start = make(), rows[:4].copy()
    made.fit(rows[:2000], 4, start=start)  # compiled
    tracemalloc.start()
    made.fit(rows, 4, start=start)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 0.9 * rows.nbytes


@given(st.integers(1, 12), st.integers(1, 5), st.booleans(), st.integers(0, 10_000))
@QUICK
def test_medians_are_those_of_rows_given_so_many_times(n: int, dim: int, alike: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(-3, 4, (n, dim)).astype(np.float32)
    mass = np.full(n, 3.0) if alike else rng.integers(0, 4, n).astype(float)
    labels, old = np.zeros(n, dtype=np.int64), np.full((1, dim), 9, dtype=np.float32)
    wanted = np.median(np.repeat(rows, mass.astype(int), axis=0), axis=0) if mass.any() else old[0]
    for bytes_at_once in (1, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(objectives_module, "block_rows", lambda size, most=bytes_at_once: max(1, most // size))
            np.testing.assert_array_equal(ABSOLUTE.centres(rows, labels, mass, old)[0], wanted)


@pytest.mark.parametrize("alike", [True, False])
def test_medians_take_less_memory_than_the_rows(alike: bool) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 1000)).astype(np.float32)
    mass = np.ones(20_000) if alike else rng.uniform(1, 2, 20_000)
    tracemalloc.start()
    ABSOLUTE.centres(rows, np.zeros(20_000, dtype=np.int64), mass, rows[:1])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < rows.nbytes
