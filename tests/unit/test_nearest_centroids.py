"""Nearest centroids by float32 scores and bounds, against float64 brute force; also far from the origin and among ties."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearkin as nk
from nearkin import centroid_bounds, nearest_centroids, starts
from nearkin.centroid_bounds import BoundedAssignment
from nearkin.centroids import Task
from nearkin.lloyd import Lloyd
from nearkin.nearest_centroids import SquaresFrom, own_costs
from nearkin.objectives import SQUARES, cluster_sums


def brute(vectors, centroids):
    return ((vectors[:, None].astype(np.float64) - centroids[None].astype(np.float64)) ** 2).sum(axis=2)


def rows_and_centroids(n=3000, k=200, dim=16, shift=0.0, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(n, dim)) * scale + shift).astype(np.float32)
    return rows, rows[rng.choice(n, k, replace=False)].copy()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("shift", "scale"),
    [(0, 1), (1e4, 1), (1e6, 10), (0, 1e-12), (0, 1e-18), (0, 1e-20), (0, 1e-22), (0, 1e-36), (0, 1e15)],
)
def test_every_label_is_a_nearest_centroid(shift, scale, threads):
    rows, centroids = rows_and_centroids(shift=shift, scale=scale)
    labels = nearest_centroids.nearest_centroids(rows, centroids, threads)
    true = brute(rows, centroids)
    np.testing.assert_allclose(true[np.arange(len(rows)), labels], true.min(axis=1), rtol=1e-6)
    np.testing.assert_allclose(own_costs(rows, centroids, labels), true[np.arange(len(rows)), labels], rtol=1e-12)


def test_without_threadpoolctl_labels_are_the_same(monkeypatch):
    rows, centroids = rows_and_centroids()
    wanted = nearest_centroids.nearest_centroids(rows, centroids, 2)
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    monkeypatch.setattr(nearest_centroids.importlib.util, "find_spec", lambda name: None)
    np.testing.assert_array_equal(nearest_centroids.nearest_centroids(rows, centroids, 2), wanted)


def test_of_equal_centroids_the_first_is_taken():
    rows, centroids = rows_and_centroids()
    twice = np.concatenate([centroids, centroids])
    labels = nearest_centroids.nearest_centroids(rows, twice)
    assert labels.max() < len(centroids)
    np.testing.assert_array_equal(labels, brute(rows, centroids).argmin(axis=1))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (1e4, 1), (0, 1e-18), (0, 1e-20), (0, 1e-22)])
def test_bounds_change_no_label_while_centroids_move(shift, scale, threads, monkeypatch):
    monkeypatch.setattr(centroid_bounds, "CHUNK", 700)
    monkeypatch.setattr(centroid_bounds, "GROUP", 16)
    rows, centroids = rows_and_centroids(shift=shift, scale=scale)
    rng = np.random.default_rng(1)
    assignment = BoundedAssignment(rows, threads)
    for step in range(12):
        labels = assignment.labels(centroids)
        true = brute(rows, centroids)
        np.testing.assert_allclose(true[np.arange(len(rows)), labels], true.min(axis=1), rtol=1e-6)
        sums, weight = cluster_sums(rows, labels, np.ones(len(rows)), len(centroids))
        centroids = np.where(weight[:, None] > 0, sums / np.maximum(weight, 1)[:, None], centroids).astype(np.float32)
        if step == 6:  # centroids that jump, as those of empty clusters do
            centroids[rng.choice(len(centroids), 5)] = rows[rng.choice(len(rows), 5)]


def test_bounds_spare_comparisons(monkeypatch):
    compared = []
    whole = centroid_bounds._Chunk._compare_group

    def counted(self, group, needed):
        compared.append(len(needed))
        return whole(self, group, needed)

    monkeypatch.setattr(centroid_bounds._Chunk, "_compare_group", counted)
    rows, centroids = rows_and_centroids(20_000, 256, 4)
    assignment = BoundedAssignment(rows)
    shares = []
    for _ in range(10):
        labels = assignment.labels(centroids)
        shares.append(sum(compared) / len(rows) / 4)
        compared.clear()
        sums, weight = cluster_sums(rows, labels, np.ones(len(rows)), len(centroids))
        centroids = np.where(weight[:, None] > 0, sums / np.maximum(weight, 1)[:, None], centroids).astype(np.float32)
    assert shares[-1] < 0.6


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_lloyd_is_the_same_on_any_threads_and_by_the_plain_loop(shift):
    rows, start = rows_and_centroids(4000, 256, 8, shift)
    one, two = (Lloyd(max_iter=15, tol=0).fit(rows, 256, start=start, threads=threads) for threads in (1, 2))
    assert one.labels.tolist() == two.labels.tolist()
    assert one.centroids.tolist() == two.centroids.tolist()
    centroids = start
    for _ in range(15):
        labels = brute(rows, centroids).argmin(axis=1)
        centroids = SQUARES.centres(rows, labels, np.ones(len(rows)), centroids)
    np.testing.assert_allclose(one.inertia, brute(rows, centroids).min(axis=1).sum(), rtol=1e-3)
    assert one.inertia == pytest.approx(brute(rows, one.centroids).min(axis=1).sum(), rel=1e-9)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 50), st.sampled_from([0.0, 1e4]))
@settings(deadline=None)
def test_squares_from_rows_are_right_to_a_share(n, m, seed, shift):
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(n, 3)) + shift).astype(np.float32)
    others = np.concatenate([rows[:1], (rng.normal(size=(m, 3)) + shift).astype(np.float32)])
    found = SquaresFrom(rows)(others)
    np.testing.assert_allclose(found, brute(rows, others), rtol=1e-2, atol=1e-5 if shift else 1e-9)
    assert found[0, 0] == 0


def blas_now():
    import threadpoolctl

    libraries = [each for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"]
    return {each["num_threads"] for each in libraries if each.get("threading_layer") != "openmp"}


@pytest.fixture
def _three_blas_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        if blas_now() != {3}:
            pytest.skip("the library behind numpy's products does not let itself be held to a number of threads")
        yield


@pytest.mark.usefixtures("_three_blas_threads")
def test_callers_that_overlap_give_the_threads_back():
    first, second, third = (nearest_centroids.blas_threads(threads) for threads in (2, 1, 2))
    first.__enter__()
    assert blas_now() == {2}
    second.__enter__()
    third.__enter__()
    assert blas_now() == {1}
    first.__exit__(None, None, None)
    assert blas_now() == {1}
    second.__exit__(None, None, None)
    third.__exit__(None, None, None)
    assert blas_now() == {3}
    with pytest.raises(ZeroDivisionError), nearest_centroids.blas_threads(1):
        raise ZeroDivisionError
    assert blas_now() == {3}


@pytest.mark.usefixtures("_three_blas_threads")
def test_callers_in_three_threads_give_the_threads_back():
    rows, _ = rows_and_centroids(n=3000)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            list(pool.map(lambda seed: nk.cluster(rows, 100, threads=2, seed=seed, n_init=1, max_iter=5), range(3)))
    assert blas_now() == {3}


@pytest.mark.usefixtures("_three_blas_threads")
@pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin", reason="Apple's libraries do not survive a fork"
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_child_is_not_held_by_its_parent():
    with nearest_centroids.blas_threads(1):
        child = os.fork()
        if child == 0:
            held = blas_now()
            with nearest_centroids.blas_threads(2):
                inside = blas_now()
            os._exit(0 if (held, inside, blas_now()) == ({3}, {2}, {3}) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert blas_now() == {1}
    assert blas_now() == {3}


@pytest.mark.usefixtures("_three_blas_threads")
def test_a_start_is_found_on_the_threads_that_it_may_use(monkeypatch):
    seen = list[set[int]]()

    class Watched(SquaresFrom):
        def __call__(self, others):
            seen.append(blas_now())
            return super().__call__(others)

    monkeypatch.setattr(starts, "SquaresFrom", Watched)
    monkeypatch.setattr(starts, "WORTH", 1)
    rows, _ = rows_and_centroids(n=300)
    starts.starting_centroids("k-means++", Task(rows, 5, SQUARES, np.ones(len(rows)), threads=2))
    assert seen
    assert all(each == {2} for each in seen)


def test_a_start_of_rows_very_close_together_is_that_of_the_same_rows_apart():
    rows, _ = rows_and_centroids()
    apart, close = (Task((rows * np.float32(scale)), 300, SQUARES, np.ones(len(rows))) for scale in (1, 2.0**-75))
    np.testing.assert_array_equal(
        starts.starting_centroids("k-means++", close) * np.float32(2.0**75),
        starts.starting_centroids("k-means++", apart),
    )
