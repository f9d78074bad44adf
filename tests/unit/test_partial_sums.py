"""Map and reduce of an iteration: however rows are split, sums are those of one block, and of the definition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearkin.centroids import Task
from nearkin.errors import NotSupportedError, VectorError
from nearkin.lloyd import Lloyd, reseeded_empty
from nearkin.metrics import unit_rows
from nearkin.objectives import ABSOLUTE, DIRECTIONS, SQUARES
from nearkin.partial_sums import RENEWED_EVERY, RepeatedSums, all_merged, new_centroids, sums_of_block
from nearkin.row_source import ArrayRows, RowsTask
from nearkin.running_centroids import RunningCentroids

OBJECTIVES = {"mean": SQUARES, "direction": DIRECTIONS}


def made(n, k, rule, seed=0, dim=3):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, dim)).astype(np.float32)
    centroids = rng.normal(size=(k, dim)).astype(np.float32)
    mass = rng.integers(0, 4, n).astype(float)
    return (unit_rows(rows), unit_rows(centroids), mass) if rule == "direction" else (rows, centroids, mass)


def same(first, second):
    np.testing.assert_allclose(first.sums, second.sums, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(first.weight, second.weight)
    assert first.inertia == pytest.approx(second.inertia, rel=1e-12)
    np.testing.assert_allclose(first.far_losses, second.far_losses)
    np.testing.assert_array_equal(first.far_rows, second.far_rows)


@given(
    st.integers(1, 60),
    st.integers(1, 8),
    st.lists(st.integers(0, 60), max_size=6),
    st.integers(0, 99),
    st.sampled_from(sorted(OBJECTIVES)),
)
@settings(deadline=None)
def test_any_split_gives_what_one_block_gives(n, k, cuts, seed, rule):
    rows, centroids, mass = made(n, k, rule, seed)
    objective = OBJECTIVES[rule]
    edges = sorted({0, n, *(min(cut, n) for cut in cuts)})
    spans = [slice(*pair) for pair in pairwise(edges)]
    whole = sums_of_block(rows, centroids, objective, mass)
    split = all_merged(sums_of_block(rows[some], centroids, objective, mass[some]) for some in spans)
    same(whole, split)
    found, expected = (new_centroids(each, objective, centroids) for each in (split, whole))
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    assert found[1] == expected[1]


def test_one_iteration_is_that_of_the_definition():
    rows, centroids, mass = made(200, 5, "mean")
    mass += 1
    total = sums_of_block(rows, centroids, SQUARES, mass)
    distances = ((rows[:, None].astype(float) - centroids[None]) ** 2).sum(axis=2)
    labels = distances.argmin(axis=1)
    assert total.inertia == pytest.approx((mass * distances.min(axis=1)).sum())
    moved, empty = new_centroids(total, SQUARES, centroids)
    assert empty == 0
    for cluster in range(5):
        inside = labels == cluster
        np.testing.assert_allclose(
            moved[cluster], np.average(rows[inside], axis=0, weights=mass[inside]), rtol=1e-5, atol=1e-6
        )


def test_clusters_without_rows_take_the_farthest_row_of_any_block():
    rows = np.float32([[0], [1], [50], [2]])
    centroids = np.float32([[0], [999]])
    total = all_merged(sums_of_block(rows[i : i + 1], centroids, SQUARES) for i in range(4))
    moved, empty = new_centroids(total, SQUARES, centroids)
    assert (moved.ravel().tolist(), empty) == ([13.25, 50.0], 1)


@pytest.mark.parametrize("rule", sorted(OBJECTIVES))
def test_repeated_sums_are_those_of_every_row_anew(rule):
    rows, centroids, mass = made(5000, 200, rule, dim=8)
    objective = OBJECTIVES[rule]
    repeated = RepeatedSums(rows, objective, mass)
    for _ in range(8):
        found, expected = repeated.under(centroids), sums_of_block(rows, centroids, objective, mass)
        np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.weight, expected.weight)
        assert found.inertia == pytest.approx(expected.inertia, rel=1e-9)
        centroids, _ = new_centroids(found, objective, centroids)


def test_an_inertia_that_sums_would_lose_is_computed_from_differences():
    rows = (np.repeat([[0.0], [1e6]], 50, axis=0) + np.linspace(0, 1, 100)[:, None]).astype(np.float32)
    centroids = np.float32([rows[:50].mean(), rows[50:].mean()])[:, None]
    expected = ((rows.reshape(2, 50).astype(float) - centroids) ** 2).sum()
    assert RepeatedSums(rows, SQUARES, np.ones(100)).under(centroids).inertia == pytest.approx(expected, rel=1e-9)


def test_medians_are_refused_in_one_sentence():
    rows, centroids, _ = made(9, 2, "mean")
    for call in (
        lambda: sums_of_block(rows, centroids, ABSOLUTE),
        lambda: RunningCentroids(centroids, np.zeros(2), ABSOLUTE),
        lambda: RepeatedSums(rows, ABSOLUTE, np.ones(9)),
        lambda: Lloyd().fit_rows(RowsTask(ArrayRows(rows), 2, ABSOLUTE, None, 0, None, 1, 4, 9)),
    ):
        with pytest.raises(NotSupportedError, match="a median is not determined by sums of rows"):
            call()


def test_rows_of_another_width_are_refused():
    rows, centroids, _ = made(9, 2, "mean")
    with pytest.raises(VectorError, match="rows have 2 columns, the centroids have 3"):
        sums_of_block(rows[:, :2], centroids, SQUARES)


@pytest.mark.parametrize("rule", sorted(OBJECTIVES))
@pytest.mark.parametrize("step", [7, 100, 10_000])
def test_lloyd_over_blocks_is_lloyd_in_memory(rule, step):
    rows, centroids, mass = made(2000, 20, rule)
    whole = Lloyd(max_iter=9).fit(rows, 20, objective=OBJECTIVES[rule], weights=mass, start=centroids)
    task = RowsTask(ArrayRows(rows), 20, OBJECTIVES[rule], mass, 0, centroids, 1, step, 99)
    blocks = Lloyd(max_iter=9).fit_rows(task)
    np.testing.assert_allclose(blocks.centroids, whole.centroids, atol=1e-5)
    np.testing.assert_array_equal(blocks.labels, whole.labels)
    np.testing.assert_allclose(blocks.history, whole.history, rtol=1e-6)


def huge_row_that_leaves():
    """Ordinary rows, with a huge one that goes over to other huge ones in the second iteration, and where to start."""
    small = np.random.default_rng(0).normal(size=(1000, 1))
    huge = np.float64([[1e18], [3e18], *[[1.6e18]] * 20])
    return np.concatenate([small, huge]).astype(np.float32), np.float32([[0], [3e18]])


@pytest.mark.parametrize("tol", [0.0, 1e-4])
def test_converged_means_are_those_of_the_rows_though_a_huge_one_was_among_them(tol):
    rows, start = huge_row_that_leaves()
    found = Lloyd(tol=tol).fit(rows, 2, start=start)
    assert found.ended == "converged"
    assert found.centroids[0, 0] == pytest.approx(rows[:1000].mean(dtype=np.float64), rel=1e-6)


def test_sums_are_taken_anew_from_time_to_time_and_when_asked():
    rows, start = huge_row_that_leaves()
    sums = RepeatedSums(rows, SQUARES, np.ones(len(rows)))
    sums.under(start)
    after = np.float32([[0], [1.67e18]])
    wanted = float(rows[:1000].sum(dtype=np.float64))
    assert abs(sums.under(after).sums[0, 0] - wanted) > 1
    for _ in range(RENEWED_EVERY):
        last = sums.under(after).sums[0, 0]
    assert last == pytest.approx(wanted)
    sums.under(start)
    sums.under(after)
    assert sums.anew(after).sums[0, 0] == pytest.approx(wanted)


@pytest.mark.parametrize("copies", [3, 100])
def test_empty_clusters_start_from_distinct_rows(copies):
    """The farthest row is there many times; no two clusters take it."""
    near = np.float32([[0], [1], [2], [3]])
    rows = np.concatenate([np.full((copies, 1), 50, dtype=np.float32), near])
    start = np.float32([[0], [900], [901], [902]])
    for block in (len(rows), 2):
        parts = (sums_of_block(rows[at : at + block], start, SQUARES) for at in range(0, len(rows), block))
        moved, empty = new_centroids(all_merged(parts), SQUARES, start)
        assert (empty, sorted(moved[1:].ravel().tolist())) == (3, [2, 3, 50])
    task = Task(rows, 4, ABSOLUTE, np.ones(len(rows)))
    moved, empty = reseeded_empty(start, task, *ABSOLUTE.assign(rows, start))
    assert (empty, sorted(moved[1:].ravel().tolist())) == (3, [2, 3, 50])
