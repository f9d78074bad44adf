"""Clustering rows that stay in their file: the same as in memory, under a ceiling, or refused."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import nearkin as nk
from nearkin.clustering.search_cost import nearest_of_blocks
from nearkin.errors import BudgetError, NotSupportedError, ParameterError, StorageError, VectorError
from nearkin.objectives import SQUARES
from nearkin.resident_memory import resident_bytes
from nearkin.row_source import ArrayRows, RowsTask

STREAMING = ("lloyd", "minibatch")


def blobs(n=6000, k=6, dim=8, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(scale=9, size=(k, dim))[rng.integers(0, k, n)] + rng.normal(size=(n, dim)) + 3).astype("f4")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    np.save(folder / "x.npy", blobs())
    np.save(folder / "wide.npy", blobs().astype(np.float64))
    for name in ("x.fvecs", "x.csv"):
        nk.convert(folder / "x.npy", folder / name)
    return folder


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("name", ["x.npy", "wide.npy", "x.fvecs", "x.csv", "mapped"])
def test_lloyd_over_a_file_is_lloyd_in_memory(files, name, metric):
    rows, start = blobs(), blobs()[:6]
    given = np.load(files / "x.npy", mmap_mode="r") if name == "mapped" else files / name
    weights = np.random.default_rng(0).integers(0, 3, len(rows))
    memory = nk.cluster(rows, 6, metric=metric, init=start, weights=weights, threads=1)
    found = nk.cluster(given, 6, metric=metric, init=start, weights=weights, threads=1, memory="1MB")
    assert found.step < len(rows)
    np.testing.assert_allclose(found.centroids, memory.centroids, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.labels, memory.labels)
    assert found.inertia == pytest.approx(memory.inertia, rel=1e-5)
    np.testing.assert_allclose(found.distances(), memory.distances(), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(found.assign(given if name == "mapped" else rows), memory.labels)


@pytest.mark.parametrize("name", ["x.npy", "x.csv"])
def test_minibatch_over_a_file_comes_near_lloyd(files, name):
    found = nk.cluster(files / name, 6, method="minibatch:batch_size=500", seed=1, memory="1MB")
    again = nk.cluster(files / name, 6, method="minibatch:batch_size=500", seed=1, memory="1MB", threads=2)
    assert found.labels.tolist() == again.labels.tolist()
    best = nk.cluster(blobs(), 6, init=found.centroids)
    assert found.inertia <= 1.05 * best.inertia


def test_a_file_keeps_a_sample_at_hand(files):
    found = nk.cluster(files / "x.npy", 6, memory="1MB")
    some = found.at_hand
    rows, labels, mass = some.prepared, some.labels, some.mass
    assert 0 < len(rows) < 6000
    np.testing.assert_array_equal(rows, blobs()[found.sample])
    np.testing.assert_array_equal(labels, found.labels[found.sample])
    np.testing.assert_array_equal(mass, np.ones(len(rows)))
    assert some.inertia == pytest.approx(float((found.distances()[found.sample] ** 2).sum()), rel=1e-5)
    whole = nk.cluster(blobs(), 6)
    assert whole.at_hand is whole


def test_what_is_asked_of_a_file_is_answered_from_the_sample_with_the_numbers_of_the_file(files, tmp_path):
    rows = blobs()
    rows[-1] += 500  # the last row of a file is no row of a smaller sample
    np.save(tmp_path / "far.npy", rows)
    found = nk.cluster(tmp_path / "far.npy", 6, init=blobs()[:6], memory="1MB", max_iter=1)
    memory = nk.cluster(rows, 6, init=blobs()[:6], max_iter=1)
    quality, true = found.quality(), memory.quality()
    assert quality.sizes == true.sizes
    assert any("rows, which stay in their file" in each for each in quality.notes)
    assert not any("not the means" in each for each in nk.cluster(files / "x.npy", 6, memory="1MB").quality().notes)
    assert quality.silhouette.mean == pytest.approx(true.silhouette.mean, abs=0.1)
    assert found.outliers().rows("critical")[0] == 5999
    medoids = found.medoid_rows()
    np.testing.assert_array_equal(found.labels[medoids], np.arange(6))
    assert np.isin(medoids, found.sample).all()
    assert found.search_cost(6).points[0].recall.mean == 1.0
    assert found.stability(2).runs == 2
    found.picture(tmp_path / "drawn.png")


@pytest.mark.parametrize(("metric", "name"), [("euclidean", "x.npy"), ("cosine", "x.csv")])
def test_neighbours_are_sought_in_the_whole_file(tmp_path, metric, name):
    rows = np.random.default_rng(0).normal(size=(6000, 4)).astype("f4")
    np.save(tmp_path / "x.npy", rows)
    if name != "x.npy":
        nk.convert(tmp_path / "x.npy", tmp_path / name)
    found = nk.cluster(tmp_path / name, 30, metric=metric, memory="1900kB", init=rows[:30])
    memory = nk.cluster(rows, 30, metric=metric, init=rows[:30])
    np.testing.assert_array_equal(found.labels, memory.labels)
    assert len(found.sample) < 5000
    queries = np.random.default_rng(1).normal(size=(200, 4)).astype("f4")
    for cost, true in zip(
        found.search_cost(queries=queries, k=7).points, memory.search_cost(queries=queries, k=7).points, strict=True
    ):
        assert cost.recall.mean == pytest.approx(true.recall.mean, abs=1e-3)
        assert cost.scanned == pytest.approx(true.scanned)
    own = found.search_cost(1)
    asked = found.sample[
        np.sort(np.random.default_rng(found.seed).choice(len(found.sample), own.queries, replace=False))
    ]
    apart = found.metric.distances(rows[asked], rows)
    apart[np.arange(len(asked)), asked] = np.inf
    neighbours = apart.argpartition(10, axis=1)[:, :10]
    shares = (found.labels[neighbours] == found.labels[asked][:, None]).mean()
    assert own.of_rows
    assert own.points[0].recall.mean == pytest.approx(shares, abs=1e-3)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("step", [3, 64, 1000])
def test_the_nearest_of_blocks_are_those_of_brute_force(metric, step):
    made = nk.cluster(blobs(400), 2, metric=metric).metric
    rows, asked = made.prepare(blobs(400)), made.prepare(blobs(30, seed=5))
    found = nearest_of_blocks(made, ArrayRows(rows).blocks(step), asked, 9)
    wanted = np.argsort(made.space.pairwise(asked, rows), axis=1, kind="stable")[:, :9]
    np.testing.assert_array_equal(found.positions, wanted)
    few = nearest_of_blocks(made, ArrayRows(rows[:9]).blocks(step), asked, 9)
    np.testing.assert_array_equal(np.sort(few.positions, axis=1), np.tile(np.arange(9), (30, 1)))


def test_what_is_of_the_sample_says_so(files):
    found = nk.cluster(files / "x.npy", 6, memory="1MB")
    stability = found.stability(2)
    assert (stability.rows, stability.of) == (len(found.sample), 6000)
    assert f"over 2 seeds on {stability.rows:,} of 6,000 rows the adjusted" in stability.sentence
    whole = nk.cluster(blobs(), 6).stability(2)
    assert (whole.rows, whole.of) == (6000, 6000)
    assert whole.sentence.startswith("over 2 seeds the adjusted")


def test_the_number_of_clusters_of_a_file_is_chosen_from_the_sample(files):
    found = nk.cluster(files / "x.npy", "auto", memory="1MB")
    assert found.choice is not None
    assert found.k == found.choice.k == 6
    assert (found.choice.rows, found.choice.of) == (len(found.sample), 6000)
    assert found.choice.why.endswith(f"; the curve was drawn with {found.choice.rows:,} of 6,000 rows")


@pytest.mark.parametrize("metric", ["standardized-euclidean", "mahalanobis"])
def test_a_metric_is_fitted_to_the_file(files, metric):
    found = nk.cluster(files / "x.csv", 6, metric=metric, seed=0)
    again = nk.cluster(blobs(), 6, metric=metric, init=found.centroids)
    assert found.inertia == pytest.approx(again.inertia, rel=1e-3)
    np.testing.assert_allclose(found.centroids, again.centroids, rtol=1e-2, atol=0.1)


def test_methods_that_need_all_rows_are_refused_by_name(files):
    with pytest.raises(NotSupportedError, match=r"method 'online' needs all rows of .* in memory") as caught:
        nk.cluster(files / "x.npy", 6, method="online", memory="300kB")
    assert "'lloyd' or 'minibatch'" in str(caught.value)
    with pytest.raises(NotSupportedError, match=r"method 'lloyd' under 'manhattan' needs all rows of .* in memory"):
        nk.cluster(files / "x.npy", 6, metric="manhattan", memory="300kB")


def test_methods_that_need_all_rows_load_a_file_where_memory_has_no_ceiling(files):
    found = nk.cluster(files / "x.fvecs", 6, metric="manhattan", seed=0)
    assert found.inertia == pytest.approx(nk.cluster(blobs(), 6, metric="manhattan", seed=0).inertia)


def test_a_file_has_as_many_starts_as_rows_in_memory(files):
    rows = np.random.default_rng(0).normal(size=(500, 5)).astype("f4")
    np.save(files / "few.npy", rows)
    assert nk.cluster(files / "few.npy", 10).inertia == pytest.approx(nk.cluster(rows, 10).inertia, rel=1e-5)


def test_neighbouring_seeds_share_no_start():
    rows = np.random.default_rng(0).normal(size=(500, 5))
    assert len({round(nk.cluster(rows, 10, seed=seed).inertia, 3) for seed in range(6)}) > 3


@pytest.mark.parametrize("method", STREAMING)
def test_what_cannot_be_done_is_told(files, tmp_path, method):
    with pytest.raises(
        BudgetError, match=r"memory='100kB' has no room for the labels of 6,000 rows, .* bytes are needed"
    ):
        nk.cluster(files / "x.npy", 6, method=method, memory="100kB")
    with pytest.raises(ParameterError, match="the rows are in memory already"):
        nk.cluster(blobs(), 6, method=method, memory="1MB")
    with pytest.raises(ParameterError, match="6001 centroids asked of 6000 rows"):
        nk.cluster(files / "x.npy", 6001, method=method)
    with pytest.raises(ParameterError, match="weights must be 6000 non-negative numbers"):
        nk.cluster(files / "x.npy", 6, method=method, weights=np.ones(5))
    with pytest.raises(ParameterError, match=r"start has shape \(2, 8\)"):
        nk.cluster(files / "x.npy", 6, method=method, init=np.zeros((2, 8)))
    with pytest.raises(StorageError, match="there is no file"):
        nk.cluster(tmp_path / "none.npy", 6, method=method)
    np.save(tmp_path / "bad.npy", np.where(np.arange(40)[:, None] == 33, np.nan, np.ones((40, 2), "f4")))
    with pytest.raises(VectorError, match=r"1 of 40 rows \(row 33\)"):
        nk.cluster(tmp_path / "bad.npy", 6, method=method)
    np.save(tmp_path / "empty.npy", np.empty((0, 2), "f4"))
    with pytest.raises(VectorError, match="there are no rows to cluster"):
        nk.cluster(tmp_path / "empty.npy", 1, method=method)


@pytest.mark.parametrize("step", [3, 128, 400, 5000])
def test_rows_come_once_each_in_any_order(step):
    rows = np.arange(1000, dtype=np.float32)[:, None]
    for rng in (None, np.random.default_rng(0)):
        seen = list(ArrayRows(rows).blocks(step, rng))
        numbers = np.concatenate([each for each, _ in seen])
        np.testing.assert_array_equal(np.sort(numbers), np.arange(1000))
        np.testing.assert_array_equal(np.concatenate([some for _, some in seen])[:, 0], numbers)
        assert max(len(each) for each, _ in seen) <= max(step, 1)
        assert (rng is None) == (numbers == np.arange(1000)).all()


def test_taken_rows_are_those_asked_for():
    rows = np.arange(100, dtype=np.float32)[:, None]
    chosen = np.array([0, 7, 8, 99])
    assert ArrayRows(rows).taken(chosen, 9)[:, 0].tolist() == chosen.tolist()
    task = RowsTask(ArrayRows(rows), 3, SQUARES, None, 0, None, 1, 9, 10)
    assert np.isin(task.starting_centroids("random"), rows).all()


CHILD = """
import sys
import nearkin as nk
from nearkin.resident_memory import resident_bytes, watch_peak
import numpy as np
np.save(sys.argv[3], np.random.default_rng(0).normal(size=(5000, 64)).astype("f4"))
nk.cluster(sys.argv[3], 16, method=sys.argv[2], max_iter=2, threads=1)
before = resident_bytes()
with watch_peak() as peak:
    nk.cluster(sys.argv[1], 16, method=sys.argv[2], max_iter=2, threads=1, memory="10MB")
print(peak.bytes - before)
"""


@pytest.mark.skipif(sys.platform != "linux" or not resident_bytes(), reason="resident bytes are read from /proc")
@pytest.mark.parametrize("method", STREAMING)
def test_a_file_of_ten_times_the_ceiling_keeps_to_it(tmp_path, method):
    path = tmp_path / "large.npy"
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (400_000, 64))
    rng = np.random.default_rng(0)
    for start in range(0, len(rows), 50_000):
        rows[start : start + 50_000] = rng.normal(size=(50_000, 64))
    rows.flush()
    del rows
    command = [sys.executable, "-c", CHILD, str(path), method, str(tmp_path / "small.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 10_000_000
