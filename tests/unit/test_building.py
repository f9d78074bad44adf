"""Building: what is given stays the caller's, and what is wrong is said before work is done."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import ParameterError, VectorError
from nearkin.rows import MemoryRows
from nearkin_plugins.metrics import Mahalanobis


@pytest.fixture
def rows():
    return np.random.default_rng(3).normal(size=(400, 6)).astype(np.float32)


def test_a_metric_object_serves_two_collections(rows):
    metric = Mahalanobis()
    first = nk.build(rows, metric=metric)
    before = first.search(rows[:5], k=4)
    nk.build(rows * np.float32([1, 100, 1, 1000, 1, 1]), metric=metric)
    after = first.search(rows[:5], k=4)
    assert np.array_equal(before.positions, after.positions)
    assert np.array_equal(before.distances, after.distances)
    assert metric.state().arrays == {}, "the caller's own metric was fitted"


@pytest.mark.parametrize("seed", [0, 2**31 - 2, 2**31, 2**63])
@pytest.mark.parametrize("clusterer", ["kmeans", "lloyd"])
def test_any_seed_builds(rows, seed, clusterer):
    found = nk.build(rows, plan=f"ivf4:clusterer={clusterer}", seed=seed).search(rows, k=1, nprobe=4)
    assert np.array_equal(found.positions[:, 0], np.arange(len(rows)))


@pytest.mark.parametrize("given", [{"threads": 1025}, {"threads": 2.5}, {"seed": 0.5}, {"seed": float("inf")}])
def test_threads_and_seeds_out_of_range_are_refused(rows, given):
    with pytest.raises(ParameterError, match="whole number"):
        nk.build(rows, **given)


def test_cells_are_found_all_over_sorted_rows():
    rng = np.random.default_rng(5)
    groups = np.repeat(rng.normal(size=(40, 8)) * 50, 500, axis=0)
    rows = (groups + rng.normal(size=groups.shape)).astype(np.float32)
    plan = "ivf16"  # its centroids are trained on 4,096 of 20,000 rows
    shuffled = rng.permutation(len(rows))
    asked = rows[::50]

    def share_found(vectors):
        built = nk.build(vectors, plan=plan)
        truth, found = built.exact_search(asked, 10), built.search(asked, 10, nprobe=1)
        return nk.recall(found.positions, truth.positions).mean()

    assert share_found(rows) > share_found(rows[shuffled]) - 0.02


def test_a_graph_that_is_asked_for_every_row_gives_every_row():
    rows = np.repeat(np.random.default_rng(0).normal(size=(50, 4)), 40, axis=0)
    graph = nk.build(rows, plan="hnsw4")
    assert graph.search(rows[:20], k=len(rows)).complete.all()


def test_rows_that_are_not_kept_take_no_memory(rows):
    seen = weakref.WeakSet()

    class Seen(MemoryRows):
        def __init__(self, *given):
            super().__init__(*given)
            seen.add(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nearkin.building.MemoryRows", Seen)
        mine = nk.build(rows, plan="flat,int8", keep_vectors=False)
    gc.collect()
    assert not seen
    assert len(mine.search(rows[:1], k=3)) == 1


def test_rows_far_beyond_what_a_metric_was_fitted_on_are_refused():
    rows = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32) * np.float32(1e-10)
    mine = nk.build(rows, metric="mahalanobis")
    far = np.float32([[1e12, 0, 0, 0]])
    with pytest.raises(VectorError, match=r"1e\+18 standard deviations .*row 0"):
        mine.add(far)
    with pytest.raises(VectorError, match="standard deviations"):
        mine.search(far, k=3)
    found = mine.search(np.concatenate([rows[:2], far / 1e10]), k=3)
    assert found.complete.all()
    assert np.isfinite(found.distances).all()
    assert mine.add(np.concatenate([far, rows[:1]]), on_bad="skip").skipped.tolist() == [0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("readonly", [False, True])
def test_rows_are_copied_once_at_most(dtype, readonly):
    given = (100 * np.random.default_rng(0).normal(size=(200_000, 32))).astype(dtype)
    given.flags.writeable = not readonly
    once = given.size * 4
    tracemalloc.start()
    mine = nk.build(given, plan="flat,int8")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    copies = 0 if readonly and dtype == np.float32 else 1
    assert peak < (copies + 0.7) * once, "a third of the rows is taken for training"
    assert len(mine) == len(given)


def test_rows_that_were_given_may_change_afterwards(rows):
    mine = nk.build(rows)
    kept = rows.copy()
    rows[:] = 0
    assert np.array_equal(mine.get([7])[0].vector, kept[7])
    assert mine.exact_search(kept[7:8], 1).ids.tolist() == [[7]]


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "inner-product"])
@pytest.mark.parametrize("plan", ["flat", "ivf4"])
def test_rows_whose_squares_vanish_are_refused(metric, plan, rows):
    with pytest.raises(VectorError, match=r"is \de-23, .* below 1e-15 .*; scale the rows up"):
        nk.build(rows * np.float32(1e-23), metric=metric, plan=plan)
    assert len(nk.build(np.zeros((20, 3)), metric=metric)) == 20


@pytest.mark.parametrize("metric", ["cosine", "manhattan", "chebyshev", "mahalanobis"])
def test_short_rows_are_right_where_nothing_is_squared(metric, rows):
    short = rows * np.float32(1e-23)
    found = nk.build(short, metric=metric).search(short, k=1)
    assert np.array_equal(found.positions[:, 0], np.arange(len(rows)))


class Logarithm(nk.Metric):
    """-inf from itself, and beyond float32 from the rest."""

    name = "logarithm"

    def pairwise(self, queries, vectors):
        apart = np.abs(queries[:, None, 0].astype(np.float64) - vectors[None, :, 0])
        return np.where(apart == 0, -np.inf, 1e300 * apart)


def test_distances_beyond_float32_are_still_in_order():
    numbers = np.arange(20.0)[:, None]
    found = nk.build(numbers, metric=Logarithm()).search(numbers[:2], k=3)
    assert found.ids.tolist() == [[0, 1, 2], [1, 0, 2]]
    assert found.distances[:, 0].tolist() == [-np.inf, -np.inf]
    assert found.complete.all()
