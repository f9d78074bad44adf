"""Folders built block by block hold what a build in memory would have saved, and refuse what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearkin as nk
from nearkin import errors
from nearkin.metrics import Cosine, Euclidean
from nearkin.npy_format import NpyFormat
from nearkin.staging import Reservoir

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(300, 8)).astype(np.float32)
NAMES = [f"row {number}" for number in range(len(ROWS))]
PAGES = [{"page": number} if number % 3 else {} for number in range(len(ROWS))]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 7 rows and commits of 20, so that little data makes many of them."""
    monkeypatch.setattr("nearkin.sources.READ_ROWS", 7)
    monkeypatch.setattr("nearkin.staging.ROWS_A_COMMIT", 20)


def in_blocks(rows, ids=None, metadata=None, step=9):
    """A function that gives blocks, as `build_folder` takes it."""

    def cut(values, start):
        return None if values is None else values[start : start + step]

    return lambda: (
        nk.Block(rows[start : start + step], cut(ids, start), cut(metadata, start))
        for start in range(0, len(rows), step)
    )


def same(one: nk.Collection, other: nk.Collection) -> None:
    """Every row, fact and answer of two collections."""
    assert one.ids.tolist() == other.ids.tolist()
    assert (one.plan, one.metric_text, one.search_defaults) == (other.plan, other.metric_text, other.search_defaults)
    assert (one.deleted, one.uncovered, one.keeps_vectors) == (0, 0, other.keeps_vectors)
    for row, wanted in zip(one.get(one.ids), other.get(other.ids), strict=True):
        assert (row.id, row.metadata) == (wanted.id, wanted.metadata)
        assert np.array_equal(row.vector, wanted.vector)
    found, wanted = one.search(ROWS[:40], 5), other.search(ROWS[:40], 5)
    assert np.array_equal(found.positions, wanted.positions)
    assert np.array_equal(found.distances, wanted.distances)
    assert one.verify() == other.verify() == []


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("metric", "plan"),
    [
        ("euclidean", "flat"),
        ("cosine", "ivf8,pq4x4,refine-f16"),
        ("mahalanobis:shrinkage=0.2", "ivf8,int8"),
        ("manhattan", "hnsw8"),
        ("manhattan", "surrogate:space=l2,ivf8,pq4x4"),
    ],
)
def test_what_is_built_is_what_would_have_been_saved(tmp_path, metric, plan, keep):
    np.save(tmp_path / "rows.npy", ROWS)
    # a surrogate would choose its parameters by the time that they take
    options = {"metric": metric, "plan": plan, "keep_vectors": keep, "threads": 1}
    options["search"] = {"nprobe": 8, "rerank": 50} if "surrogate" in plan else None
    nk.build(ROWS, **options).save(tmp_path / "memory")
    with (
        nk.open(tmp_path / "memory") as wanted,
        nk.build_folder(tmp_path / "rows.npy", tmp_path / "blocks", **options) as mine,
    ):
        same(mine, wanted)
        assert mine.disk_bytes() == pytest.approx(wanted.disk_bytes(), rel=0.3, abs=8000)  # what was measured
        assert mine.timings.read > 0
        assert mine.timings.save > 0
    names = {each.relative_to(tmp_path / "memory").parts[0] for each in (tmp_path / "memory").rglob("*")}
    assert names == {each.relative_to(tmp_path / "blocks").parts[0] for each in (tmp_path / "blocks").rglob("*")}


@pytest.mark.parametrize("ids", [None, NAMES, list(range(900, 600, -1))])
@pytest.mark.parametrize("step", [1, 9, 300])
def test_blocks_of_any_length_with_ids_and_metadata(tmp_path, ids, step):
    nk.build(ROWS, ids=ids, metadata=PAGES).save(tmp_path / "memory")
    with (
        nk.open(tmp_path / "memory") as wanted,
        nk.build_folder(in_blocks(ROWS, ids, PAGES, step), tmp_path / "blocks") as mine,
    ):
        same(mine, wanted)
        mine.add(ROWS[:1], None if ids is None else ["new"] if ids is NAMES else [5000])
        assert len(mine) == 301


@pytest.mark.parametrize("array", [ROWS.astype(">f8"), np.asfortranarray(ROWS), (ROWS * 9).astype(np.int16)])
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "parquet", "tsv"])
def test_any_file(tmp_path, suffix, array):
    np.save(tmp_path / "rows.npy", array)
    if suffix != "npy":
        nk.convert(tmp_path / "rows.npy", tmp_path / f"rows.{suffix}")
    loaded = nk.read_vectors(tmp_path / f"rows.{suffix}")
    nk.build(loaded.vectors, ids=loaded.ids, metadata=loaded.metadata).save(tmp_path / "memory")
    with (
        nk.open(tmp_path / "memory") as wanted,
        nk.build_folder(tmp_path / f"rows.{suffix}", tmp_path / "blocks") as mine,
    ):
        same(mine, wanted)


BAD = np.array(ROWS)
BAD[[3, 55, 56, 299], [0, 1, 2, 3]] = [np.nan, np.inf, -np.inf, np.nan]
LONG = np.array(ROWS)
LONG[[8, 200]] = 3e18
ZERO = np.array(ROWS)
ZERO[[0, 17, 290]] = 0
WIDE = ROWS.astype(np.float64)
WIDE[100, 2] = 1e300
BOTH = np.array(LONG)
BOTH[250, 3] = np.nan

REFUSED = {
    "NaN": (BAD, {}, r"NaN or infinite values in 4 of 300 rows \(rows 3, 55, 56, 299\)"),
    "beyond float32": (WIDE, {}, r"values beyond the range of float32 \(3.4e38\) in 1 of 300 rows \(row 100\)"),
    "too long": (LONG, {}, r"longer than 1e\+18 .* 2 of 300 rows \(rows 8, 200\)"),
    "too long and later NaN": (BOTH, {}, r"NaN or infinite values in 1 of 300 rows \(row 250\)"),
    "no direction": (ZERO, {"metric": "cosine"}, r"3 of 300 rows \(rows 0, 17, 290\)"),
    "only bad rows": (ROWS * np.nan, {"on_bad": "skip"}, "none of the 300 rows can be used"),
    "only bad rows to fit": (ROWS * np.nan, {"on_bad": "skip", "metric": "mahalanobis"}, "none of the 300 rows"),
    "no rows": (ROWS[:0], {}, "there are no rows to build from"),
    "too few rows": (ROWS, {"plan": "ivf400"}, "400 cells, and there are only 300 rows"),
    "too few rows for a codec": (ROWS[:99], {"plan": "flat,pq4x8"}, "at least 256 rows to train, got 99"),
    "wrong type": (ROWS, {"metric": "hamming"}, r"packed bits \(uint8\) expected"),
    "wrong on_bad": (ROWS, {"on_bad": "ignore"}, "'fail' or 'skip' expected"),
    "two ids": (ROWS, {"ids": ["a", *NAMES[1:-1], "a"]}, "1 of 300 repeat: 'a' is at rows 0 and 299"),
    "two whole ids": (ROWS, {"ids": [*range(299), 30]}, "1 of 300 repeat: 30 is at rows 30 and 299"),
    "twice in a block": (ROWS, {"ids": [5, 5, *range(10, 308)]}, "1 of 300 repeat: 5 is at rows 0 and 1"),
    "two kinds of ids": (ROWS, {"ids": [*NAMES[:150], *range(150)]}, "mix whole numbers and strings"),
    "an id of -1": (ROWS, {"ids": [*range(299), -1]}, "id -1 of row 299 cannot be used"),
    "metadata": (ROWS, {"metadata": [*PAGES[:200], {"x": np.nan}, *PAGES[201:]]}, "metadata of row 200 cannot"),
    "an illegal plan": (ROWS, {"metric": "manhattan", "plan": "ivf,pq"}, "does not serve metric manhattan"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_in_the_same_words_and_nothing_is_left(tmp_path, name):
    rows, options, message = REFUSED[name]
    with pytest.raises(errors.NearkinError, match=message) as in_memory:
        nk.build(rows, **options)
    ids, metadata = options.pop("ids", None), options.pop("metadata", None)
    source = in_blocks(rows, ids, metadata)
    if ids is None and metadata is None:
        np.save(tmp_path / "rows.npy", rows)
        source = tmp_path / "rows.npy"
    before = sorted(tmp_path.iterdir())
    with pytest.raises(errors.NearkinError, match=message) as in_blocks_too:
        nk.build_folder(source, tmp_path / "mine", **options)
    assert type(in_blocks_too.value) is type(in_memory.value)
    assert str(in_blocks_too.value) == str(in_memory.value) or name == "no rows"
    assert sorted(tmp_path.iterdir()) == before


def test_bad_rows_are_left_out_wherever_they_are(tmp_path):
    rows = np.array(BAD)
    rows[[0, 1]] = 0
    options = {"metric": "cosine", "on_bad": "skip"}
    nk.build(rows, ids=NAMES, metadata=PAGES, **options).save(tmp_path / "memory")
    with (
        nk.open(tmp_path / "memory") as wanted,
        nk.build_folder(in_blocks(rows, NAMES, PAGES), tmp_path / "blocks", **options) as mine,
    ):
        same(mine, wanted)
        assert mine.skipped.tolist() == [0, 1, 3, 55, 56, 299]


class FarOut(Euclidean):
    """Refuses rows that are far from the rows that it was fitted to."""

    name = "far-out"
    needs_fit = True
    refuses_rows = True
    bad_row_reason = "rows far from the mean"
    centre = None

    def fit(self, sample):
        self.centre = sample.mean(axis=0)

    def refuses(self, vectors):
        none = np.zeros(len(vectors), dtype=bool)
        return none if self.centre is None else np.linalg.norm(vectors - self.centre, axis=1) > 100

    def state(self):
        return nk.State({"centre": self.centre})

    def restore(self, state):
        self.centre = state.arrays["centre"]


def test_rows_that_a_fitted_metric_refuses(tmp_path):
    rows = np.array(ROWS)
    rows[[10, 290]] = 1000
    np.save(tmp_path / "rows.npy", rows)
    with pytest.raises(errors.VectorError, match=r"rows far from the mean: 2 of 300 rows \(rows 10, 290\)"):
        nk.build_folder(tmp_path / "rows.npy", tmp_path / "mine", metric=FarOut())
    nk.build(rows, metric=FarOut(), on_bad="skip").save(tmp_path / "memory")
    with (
        nk.open(tmp_path / "memory", metric=FarOut()) as wanted,
        nk.build_folder(tmp_path / "rows.npy", tmp_path / "mine", metric=FarOut(), on_bad="skip") as mine,
    ):
        same(mine, wanted)
        assert mine.skipped.tolist() == [10, 290]
        assert np.array_equal(mine.metric.centre, wanted.metric.centre)


def test_a_metric_object_whose_name_brings_another_back_is_refused(tmp_path):
    class Doubled(Euclidean):
        def finish(self, values):
            return 2 * super().finish(values)

    with pytest.raises(errors.ParameterError, match="measures something else"):
        nk.build_folder(in_blocks(ROWS), tmp_path / "mine", metric=Doubled())
    assert not list(tmp_path.iterdir())


def test_a_formula_is_tried_before_anything_is_trained(tmp_path, monkeypatch):
    class Lopsided(nk.Metric):
        name = "lopsided"
        axioms = frozenset({"symmetric"})

        def pairwise(self, queries, vectors):
            return np.maximum(queries[:, None, 0] - vectors[None, :, 0], 0)

    monkeypatch.setattr("nearkin.indexes.Index.train", lambda *given: pytest.fail("trained"))
    rows = np.array(ROWS)
    rows[:100] = np.nan
    said = []
    for build in (
        lambda: nk.build(rows, metric=Lopsided(), on_bad="skip"),
        lambda: nk.build_folder(in_blocks(rows), tmp_path / "mine", metric=Lopsided(), on_bad="skip"),
    ):
        with pytest.raises(errors.PluginContractError, match="declares the axiom symmetric") as error:
            build()
        said.append(str(error.value))
    assert said[0] == said[1]  # the same rows, by the numbers that they have in the file


def test_what_the_head_of_a_file_tells_is_refused_before_its_rows_are_read(tmp_path, monkeypatch):
    np.save(tmp_path / "rows.npy", ROWS)
    monkeypatch.setattr(NpyFormat, "_read", lambda *given: pytest.fail("read"))
    for options, message in (
        ({"plan": "ivf400"}, "400 cells"),
        ({"metric": "manhattan", "plan": "ivf,pq"}, "does not serve"),
        ({"metric": "nosuch"}, "no metric is called"),
        ({"overwrite": True}, "is a file of"),
    ):
        place = tmp_path / ("rows.npy" if "overwrite" in options else "mine")
        with pytest.raises(errors.NearkinError, match=message):
            nk.build_folder(tmp_path / "rows.npy", place, **options)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda: [], "no rows to build from"),
        (lambda: [nk.Block(ROWS[:0])], "no rows to build from"),
        (lambda: [ROWS], "gave a ndarray, a nearkin.Block expected"),
        (lambda: [nk.Block(ROWS), nk.Block(ROWS[:, :3])], "3 columns, 8 expected"),
        (lambda: [nk.Block(ROWS, NAMES), nk.Block(ROWS)], r"others have none \(from row 300 on\)"),
        (lambda: [nk.Block(ROWS[:5], NAMES[:5]), nk.Block(ROWS)], r"others have none \(from row 5 on\)"),
        (lambda: [nk.Block(ROWS), nk.Block(ROWS, NAMES)], "mix whole numbers and strings|others have none"),
        (lambda: [nk.Block(ROWS, NAMES[:4])], "4 ids were given for 300 rows"),
        (lambda: (nk.Block(np.fromfile(name)) for name in ["/no/such/file"]), "source of the rows cannot be read"),
        (ROWS, r"the source is a ndarray.*nearkin.build"),
        ("nosuch.npy", "there is no file"),
    ],
)
def test_sources_that_are_none(tmp_path, source, message):
    with pytest.raises(errors.NearkinError, match=message):
        nk.build_folder(source, tmp_path / "mine")
    assert not list(tmp_path.iterdir())


def test_what_was_there_is_replaced_only_when_told_and_only_by_a_whole_folder(tmp_path):
    nk.build(ROWS[:10]).save(tmp_path / "mine")
    with pytest.raises(errors.ParameterError, match="overwrite=True"):
        nk.build_folder(in_blocks(ROWS), tmp_path / "mine")

    def breaks_off():
        yield nk.Block(ROWS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nk.build_folder(breaks_off, tmp_path / "mine", overwrite=True)
    with nk.open(tmp_path / "mine") as mine:
        assert len(mine) == 10
        with pytest.raises(errors.LockedError):
            nk.build_folder(in_blocks(ROWS), tmp_path / "mine", overwrite=True)
    nk.build_folder(in_blocks(ROWS), tmp_path / "mine", overwrite=True).close()
    with nk.open(tmp_path / "mine") as mine:
        assert len(mine) == 300
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_a_metric_object_is_not_changed(tmp_path):
    metric = Cosine()
    with nk.build_folder(in_blocks(ROWS), tmp_path / "mine", metric=metric, plan="ivf4", search={"nprobe": 3}) as mine:
        assert mine.metric is not metric
        assert mine.search_defaults == {"nprobe": 3}


KILLED = """
import sys, os, signal
import numpy as np
import nearkin as nk
def blocks():
    yield nk.Block(np.ones((70_000, 2), np.float32))
    os.kill(os.getpid(), signal.SIGKILL)
nk.build_folder(blocks, sys.argv[1])
"""


def test_a_killed_build_leaves_nothing_at_the_place(tmp_path):
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path / "mine"], check=False).returncode < 0
    assert not (tmp_path / "mine").exists()
    nk.build_folder(in_blocks(ROWS), tmp_path / "mine").close()


PEAK = """
import re, sys
import nearkin as nk
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
nk.build_folder(sys.argv[1], sys.argv[2], plan="ivf4,pq2x4", threads=1).close()
before = peak()
with nk.build_folder(sys.argv[3], sys.argv[4], plan="ivf16,pq4x4", threads=1) as mine:
    mine.exact_search(mine.get([5])[0].vector[None], k=1)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    rows = np.random.default_rng(0).random((400_000, 128), dtype=np.float32)
    np.save(tmp_path / "few.npy", rows[:1000])
    np.save(tmp_path / "many.npy", rows)
    places = [tmp_path / name for name in ("few.npy", "few", "many.npy", "many")]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *places], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert int(done.stdout) < 150e6 < rows.nbytes == 204_800_000  # a 35 MB sample and blocks of 32 MiB


@given(parts=st.lists(st.integers(0, 9), min_size=1, max_size=9), most=st.integers(1, 12), seed=st.integers(0, 99))
@settings(deadline=None)
def test_a_sample_has_rows_that_came_each_once_and_all_where_they_are_few(parts, most, seed):
    rows = np.arange(sum(parts) + 1, dtype=np.float32)[:, None]
    sample = Reservoir(most, seed)
    for stop, count in zip(np.cumsum(parts).tolist(), parts, strict=True):
        sample.add(rows[stop - count : stop])
    sample.add(rows[-1:])
    found = sample.rows[:, 0].tolist()
    assert len(set(found)) == len(found) == min(most, len(rows))
    if len(rows) <= most:
        assert found == rows[:, 0].tolist()


def test_every_row_is_as_likely_to_be_sampled():
    hits = np.zeros(40)
    for seed in range(1500):
        sample = Reservoir(10, seed)
        for start in range(0, 40, 8):
            sample.add(np.arange(start, start + 8, dtype=np.float32)[:, None])
        hits[sample.rows[:, 0].astype(int)] += 1
    assert np.abs(hits / 1500 - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 1500)
