"""Centroids that go on with new rows, and the clusterers made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearkin.errors import ParameterError, VectorError
from nearkin.lloyd import Lloyd
from nearkin.metrics import unit_rows
from nearkin.objectives import DIRECTIONS, SQUARES
from nearkin.running_centroids import RunningCentroids
from nearkin_plugins import online
from nearkin_plugins.minibatch import MiniBatch
from nearkin_plugins.online import Online, one_pass_in_numpy


def blobs(n=2000, k=8, dim=4, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(scale=20, size=(k, dim))
    return (centres[rng.integers(0, k, n)] + rng.normal(size=(n, dim)) + shift).astype(np.float32)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 99))
@settings(deadline=None)
def test_one_centroid_is_the_weighted_mean_of_all_that_came(sizes, seed):
    rng = np.random.default_rng(seed)
    rows, mass = rng.normal(size=(sum(sizes), 3)).astype(np.float32), rng.uniform(0.5, 2, sum(sizes))
    running = RunningCentroids(np.zeros((1, 3)), np.zeros(1), SQUARES)
    first = 0
    for size in sizes:
        running.update(rows[first : first + size], mass[first : first + size])
        first += size
    np.testing.assert_allclose(running.centroids[0], np.average(rows, axis=0, weights=mass), atol=1e-6)
    assert running.counts[0] == pytest.approx(mass.sum())


def test_a_constant_rate_lets_the_past_fade():
    running = RunningCentroids(np.float32([[0]]), np.array([1000]), SQUARES, rate=0.5)
    for value in (8, 8, 8):
        running.update(np.float32([[value]]))
    assert running.centroids.tolist() == [[7.0]]
    twice = RunningCentroids(np.float32([[0]]), np.zeros(1), SQUARES, rate=0.5)
    twice.update(np.float32([[8]]), np.array([3.0]))
    assert twice.centroids.tolist() == [[7.0]]


def test_directions_keep_length_one():
    rows = unit_rows(blobs())
    running = RunningCentroids(rows[:5], np.ones(5), DIRECTIONS)
    labels, costs = running.update(rows)
    np.testing.assert_allclose(np.linalg.norm(running.centroids, axis=1), 1, rtol=1e-6)
    expected = 2 - 2 * rows.astype(float) @ rows[:5].T.astype(float)
    np.testing.assert_array_equal(labels, expected.argmin(axis=1))
    np.testing.assert_allclose(costs, expected.min(axis=1), atol=1e-6)


def test_what_is_restored_goes_on_the_same():
    rows = blobs()
    one = RunningCentroids(rows[:4], np.zeros(4), SQUARES)
    one.update(rows[:1000])
    two = RunningCentroids.restored(one.state(), SQUARES)
    for each in (one, two):
        each.update(rows[1000:])
    assert one.centroids.tolist() == two.centroids.tolist()
    assert one.counts.tolist() == two.counts.tolist()


@pytest.mark.parametrize("rate", [0, 1.5, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ParameterError, match="a number above 0 and at most 1 expected"):
        RunningCentroids(np.zeros((1, 1)), np.zeros(1), SQUARES, rate)


@pytest.mark.parametrize("counts", [np.zeros(3), -np.ones(2), np.full(2, np.nan)])
def test_counts_that_do_not_fit_are_refused(counts):
    with pytest.raises(ParameterError, match=r"counts have shape .*, \(2,\) numbers of at least 0 expected"):
        RunningCentroids(np.zeros((2, 1)), counts, SQUARES)


def test_rows_of_another_width_are_refused():
    with pytest.raises(VectorError, match="rows have 2 columns, the centroids have 1"):
        RunningCentroids(np.zeros((2, 1)), np.zeros(2), SQUARES).update(np.zeros((3, 2), np.float32))


@pytest.mark.parametrize("batch_size", [1, 64, 5000])
def test_minibatch_comes_near_lloyd(batch_size):
    rows = blobs(1000)
    start = Lloyd(max_iter=1).fit(rows, 8, seed=1).centroids
    found = MiniBatch(batch_size=batch_size).fit(rows, 8, seed=1, start=start)
    assert found.inertia <= 1.05 * Lloyd().fit(rows, 8, start=start).inertia


def test_minibatch_sets_starved_centroids_down_elsewhere():
    """All centroids start in one of eight blobs; those that no row comes to leave it."""
    rows = blobs(4000)
    start = rows[:1] + np.float32(1e-3) * np.arange(8, dtype=np.float32)[:, None]
    found = MiniBatch(batch_size=200, max_iter=20).fit(rows, 8, start=start)
    assert found.reseeded > 0
    assert "rows of a batch" in found.reseeding
    assert found.inertia <= 0.5 * Lloyd(max_iter=1).fit(rows, 1).inertia


def test_minibatch_stops_when_its_inertia_falls_no_more():
    found = MiniBatch(batch_size=100, max_iter=1000).fit(blobs(), 8, seed=0)
    assert found.ended == "converged"
    assert len(found.history) < 100
    assert MiniBatch(max_iter=1).fit(blobs(), 8).ended == "max_iter"


@pytest.mark.parametrize("make", [MiniBatch, Online])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_they_end_no_worse_than_they_start(make, shift):
    rows = blobs(shift=shift)
    start = Lloyd(max_iter=100, tol=0).fit(rows, 8, seed=0).centroids
    found = make().fit(rows, 8, start=start)
    assert found.inertia <= (1 + 1e-9) * SQUARES.assign(rows, start)[1].sum()


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("directed", [False, True])
def test_online_moves_row_by_row(rate, directed, monkeypatch):
    """The loop as its definition says it, in numpy, and compiled."""
    rows = unit_rows(blobs(300)) if directed else blobs(300)
    objective = DIRECTIONS if directed else SQUARES
    order, mass = np.random.default_rng(0).permutation(300), np.random.default_rng(1).integers(0, 3, 300).astype(float)
    means, counts = rows[:5].astype(np.float64), np.zeros(5)
    expected, seen = means.copy(), counts.copy()
    for number in order:
        if mass[number] > 0:
            others = expected / np.linalg.norm(expected, axis=1)[:, None] if directed else expected
            nearest = ((rows[number] - others) ** 2).sum(axis=1).argmin()
            seen[nearest] += mass[number]
            share = 1 - (1 - rate) ** mass[number] if rate else mass[number] / seen[nearest]
            expected[nearest] += share * (rows[number] - expected[nearest])
    one_pass_in_numpy(rows, order, mass, np.zeros(rows.shape[1]), means, counts, rate, directed)
    np.testing.assert_allclose(means, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(counts, seen)
    given = {"objective": objective, "seed": 3, "weights": mass}
    compiled = Online(rate=rate).fit(rows, 5, **given)
    monkeypatch.setattr(online, "numba_is_installed", lambda: False)
    plain = Online(rate=rate).fit(rows, 5, **given)
    np.testing.assert_allclose(plain.centroids, compiled.centroids, rtol=1e-4, atol=1e-5)


def test_online_by_hand():
    """MacQueen on a line: 0 and 10 begin; 2, 9 and 4 come in turn."""
    rows, means, counts = np.float32([[2], [9], [4]]), np.array([[0.0], [10.0]]), np.ones(2)
    one_pass_in_numpy(rows, np.arange(3), np.ones(3), np.zeros(rows.shape[1]), means, counts, 0.0, False)
    assert (means.ravel().tolist(), counts.tolist()) == ([2.0, 9.5], [3.0, 2.0])


@pytest.mark.parametrize(
    ("make", "given", "said"),
    [
        (MiniBatch, {"batch_size": 0}, "batch_size is 0, at least 1 expected"),
        (MiniBatch, {"max_iter": 0}, "max_iter is 0, at least 1 expected"),
        (MiniBatch, {"tol": -1}, "tol is -1, at least 0 expected"),
        (MiniBatch, {"init": "x"}, "init is 'x', one of"),
        (Online, {"rate": 2}, "rate is 2, a number from 0 to 1 expected"),
        (Online, {"tol": float("nan")}, "tol is nan, at least 0 expected"),
    ],
)
def test_options_out_of_range_are_refused(make, given, said):
    with pytest.raises(ParameterError, match=said):
        make(**given)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("rate", [0.003, 0.3, 1.0])
def test_batches_of_any_size_draw_as_rows_one_by_one(rate, directed):
    """Rows keep to their centroids, which lie far apart; a weight is so many rows."""
    rng = np.random.default_rng(0)
    start = 100 * np.eye(3, dtype=np.float32)
    rows = (start[rng.integers(0, 3, 200)] + rng.normal(size=(200, 3))).astype(np.float32)
    mass = rng.integers(0, 4, 200).astype(float)
    objective = DIRECTIONS if directed else SQUARES
    if directed:
        rows, start = unit_rows(rows), unit_rows(start)
    expected = start.astype(np.float64)
    for row, times in zip(rows, mass, strict=True):
        nearest = ((row - expected) ** 2).sum(axis=1).argmin()
        for _ in range(int(times)):
            expected[nearest] += rate * (row - expected[nearest])
    for size in (1, 7, 200):
        running = RunningCentroids(start, np.zeros(3), objective, rate=rate)
        for first in range(0, 200, size):
            running.update(rows[first : first + size], mass[first : first + size])
        wanted = unit_rows(expected.astype(np.float32)) if directed else expected
        np.testing.assert_allclose(running.centroids, wanted, rtol=1e-5, atol=1e-6)
        assert running.counts.sum() == mass.sum()
