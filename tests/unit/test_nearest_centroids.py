"""Nearest centroids by float32 scores and bounds, against float64 brute force; also far from the origin and among ties."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearkin import centroid_bounds, nearest_centroids
from nearkin.centroid_bounds import BoundedAssignment
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
@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (1e4, 1), (1e6, 10), (0, 1e-12), (0, 1e15)])
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
@pytest.mark.parametrize("shift", [0, 1e4])
def test_bounds_change_no_label_while_centroids_move(shift, threads, monkeypatch):
    monkeypatch.setattr(centroid_bounds, "CHUNK", 700)
    monkeypatch.setattr(centroid_bounds, "GROUP", 16)
    rows, centroids = rows_and_centroids(shift=shift)
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
