"""The ways into a collection: what build refuses before any work, and what open finds."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

import nearkin as nk
from nearkin import errors
from nearkin.metrics import Euclidean
from nearkin.plans import parse_plan
from nearkin.registry import default_registry


def rows(n: int = 60, dim: int = 6) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, dim))


BAD_ROWS = rows()
BAD_ROWS[[3, 4, 11], 0] = np.nan

REFUSED = {
    "one dimension": (
        lambda: nk.build(np.zeros(4)),
        errors.VectorError,
        r"vectors must be 2-D .* got 1-D of shape \(4,\)",
    ),
    "nothing": (lambda: nk.build([]), errors.VectorError, "must be 2-D"),
    "no rows": (lambda: nk.build(np.empty((0, 3))), errors.VectorError, "there are no rows to build from"),
    "no columns": (lambda: nk.build(np.empty((3, 0))), errors.VectorError, "have 0 columns"),
    "text": (lambda: nk.build([["a"]]), errors.VectorError, "numbers expected"),
    "NaN": (lambda: nk.build(BAD_ROWS), errors.VectorError, r"3 of 60 rows \(rows 3, 4, 11\)"),
    "only bad rows": (
        lambda: nk.build(np.full((4, 2), np.nan), on_bad="skip"),
        errors.VectorError,
        "none of the 4 rows can be used: vectors have NaN or infinite values in 4 of 4 rows",
    ),
    "more cells than rows": (
        lambda: nk.build(rows(), plan="ivf100"),
        errors.VectorError,
        "ivf was asked for 100 cells, and there are only 60 rows to find them in; use nlist of at most 8",
    ),
    "too few rows for a codec": (
        lambda: nk.build(rows(), plan="flat,pq6x8"),
        errors.VectorError,
        "flat with codec pq6x8 needs at least 256 rows to train, got 60; use flat",
    ),
    "too few rows for a refinement": (
        lambda: nk.build(rows(), plan="ivf4,pq2x4,refine-pq6x8"),
        errors.VectorError,
        "at least 256 rows",
    ),
    "fewer ids": (lambda: nk.build(rows(), ids=[1, 2]), errors.ParameterError, "2 ids were given for 60 rows"),
    "ids that repeat": (
        lambda: nk.build(rows(3), ids=["a", "b", "a"]),
        errors.ParameterError,
        "'a' is at rows 0 and 2",
    ),
    "an id of -1": (lambda: nk.build(rows(1), ids=[-1]), errors.ParameterError, "id -1 of row 0 cannot be used"),
    "fewer metadata": (
        lambda: nk.build(rows(3), metadata=[{}]),
        errors.ParameterError,
        "1 metadata dicts were given for 3 rows",
    ),
    "an unknown metric": (lambda: nk.build(rows(), metric="cosin"), errors.UnknownNameError, "cosin.*cosine"),
    "a number as metric": (
        lambda: nk.build(rows(), metric=3),
        errors.ParameterError,
        "metric is a int, a name or a Metric expected",
    ),
    "an unknown index": (lambda: nk.build(rows(), plan="ivff"), errors.UnknownNameError, "position 0.*ivff.*ivf"),
    "an unknown codec": (lambda: nk.build(rows(), plan="flat,int9"), errors.UnknownNameError, "position 5.*int9.*int8"),
    "a plan of another type": (
        lambda: nk.build(rows(), plan=7),
        errors.ParameterError,
        "a plan is text such as .*, got int",
    ),
    "no plan": (lambda: nk.build(rows(), plan=7), errors.ParameterError, "got int"),
    "a metric as codec": (
        lambda: nk.build(rows(), plan="flat,cosine"),
        errors.ParameterError,
        "'cosine' is the name of a metric",
    ),
    "an unknown search parameter": (
        lambda: nk.build(rows(), plan="ivf4", search={"nprob": 3}),
        errors.ParameterError,
        "'nprob' is not a search parameter of ivf",
    ),
    "a search parameter of 0": (
        lambda: nk.build(rows(), plan="ivf4", search={"nprobe": 0}),
        errors.ParameterError,
        "nprobe is 0",
    ),
    "search as text": (
        lambda: nk.build(rows(), search="nprobe=3"),
        errors.ParameterError,
        "search is 'nprobe=3', a dict",
    ),
    "an illegal plan": (
        lambda: nk.build(rows(), metric="manhattan", plan="hnsw,pq6x4"),
        errors.NotSupportedError,
        r"plan hnsw,pq:M=6:bits=4 does not serve metric manhattan: .*; nearest legal plan: surrogate,hnsw,pq:M=6:bits=4",
    ),
    "bits under a metric of numbers": (
        lambda: nk.build(rows(), plan="flat,bits"),
        errors.NotSupportedError,
        "stores packed bits",
    ),
    "numbers under a metric of bits": (
        lambda: nk.build(rows(), metric="hamming"),
        errors.VectorError,
        "packed bits .*np.packbits",
    ),
    "a pointless refinement": (
        lambda: nk.build(rows(), plan="flat,f32,refine-f16"),
        errors.NotSupportedError,
        "f32 loses nothing",
    ),
    "a negative seed": (lambda: nk.build(rows(), seed=-1), errors.ParameterError, "seed is -1"),
    "threads as text": (lambda: nk.build(rows(), threads="many"), errors.ParameterError, "threads is 'many'"),
    "on_bad": (lambda: nk.build(rows(), on_bad="ignore"), errors.ParameterError, "on_bad is 'ignore'"),
    "no collection there": (lambda: nk.open("nowhere/at/all"), errors.UnknownCollectionError, "nowhere/at/all"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_built_is_refused_in_one_sentence(name):
    call, kind, said = REFUSED[name]
    with pytest.raises(kind, match=said) as caught:
        call()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_an_illegal_plan_is_refused_before_training(monkeypatch):
    def never(*_args, **_kwargs):
        raise AssertionError("work was done")

    monkeypatch.setattr("nearkin.indexes.Index.train", never)
    monkeypatch.setattr("nearkin.collection.Collection.screen", never)
    for plan, metric in (
        ("hnsw,pq6x4", "manhattan"),
        ("ivf100", "euclidean"),
        ("flat,pq6x8", "cosine"),
        ("flat,bits", "cosine"),
    ):
        with pytest.raises((errors.NotSupportedError, errors.VectorError)):
            nk.build(rows(), plan=plan, metric=metric)


def test_the_nearest_legal_plan_is_legal():
    with pytest.raises(errors.NotSupportedError) as caught:
        nk.build(rows(), metric="manhattan", plan="ivf5,int8")
    nearest = caught.value.hint.removeprefix("nearest legal plan: ")
    assert nk.build(rows(), metric="manhattan", plan=nearest).search(rows(1), 1).ids.tolist() == [[0]]


LIKE = rows(30, 4).astype(np.float32)
INPUTS = {
    "float64": LIKE.astype(np.float64),
    "float16": LIKE.astype(np.float16),
    "int": (100 * LIKE).astype(int),
    "list": LIKE.tolist(),
    "Fortran": np.asfortranarray(LIKE),
    "strided": np.repeat(np.repeat(LIKE, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": np.ascontiguousarray(LIKE[::-1, ::-1])[::-1, ::-1],
    "frame": pandas.DataFrame(LIKE, columns=list("abcd")),
    "bool": LIKE > 0,
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis"])
def test_any_layout_and_type_works_and_is_left_unchanged(name, metric):
    given = INPUTS[name]
    before = np.array(given, copy=True)
    if isinstance(given, np.ndarray):
        given = given[:]
        given.flags.writeable = False
    as_numbers = np.asarray(given, dtype=np.float64).astype(np.float32)
    mine = nk.build(given, metric=metric, plan="ivf3")
    expected = nk.build(np.ascontiguousarray(as_numbers), metric=metric, plan="ivf3")
    found, wanted = (each.search(as_numbers[:7], 5, nprobe=3) for each in (mine, expected))
    np.testing.assert_array_equal(found.distances, wanted.distances)
    np.testing.assert_array_equal(np.asarray(given), before)
    if isinstance(given, list):
        assert given == before.tolist()


def test_a_read_only_map_stays_on_disk(tmp_path):
    np.save(tmp_path / "rows.npy", LIKE)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    mine = nk.build(mapped)
    assert np.shares_memory(mine._rows.span(0, 30), mapped)
    changing = np.load(tmp_path / "rows.npy", mmap_mode="r+")
    assert not np.shares_memory(nk.build(changing)._rows.span(0, 30), changing)


def test_skipped_rows_are_listed():
    mine = nk.build(
        BAD_ROWS, on_bad="skip", ids=list(range(1000, 1060)), metadata=[{"row": each} for each in range(60)]
    )
    assert mine.skipped.tolist() == [3, 4, 11]
    assert len(mine) == 57
    assert 1003 not in mine
    assert [row.metadata["row"] for row in mine.get([1002, 1005, 1059])] == [2, 5, 59]


def test_a_plan_object_and_default_search_parameters():
    plan = parse_plan("ivf4", default_registry())
    mine = nk.build(rows(), plan=plan, search={"nprobe": 3})
    assert mine.search_defaults == {"nprobe": 3}
    assert nk.build(rows(), plan=plan).search_defaults != {"nprobe": 3}
    assert plan.search == {}


def test_a_metric_object_is_not_changed_by_building_with_it():
    made = default_registry().make("metric", "mahalanobis")
    one = nk.build(rows(), metric=made)
    before = one.search(rows(3), 4).distances
    nk.build(100 * rows(), metric=made)
    np.testing.assert_array_equal(one.search(rows(3), 4).distances, before)
    assert nk.build(rows(), metric=Euclidean()).search(rows(1), 1).ids.tolist() == [[0]]


def test_the_seed_decides_what_is_built():
    def codes(seed):
        return nk.build(rows(400), plan="ivf8,pq6x4", seed=seed)._index.state().arrays["faiss"].tobytes()

    assert codes(5) == codes(5)
    assert codes(5) != codes(6)


@pytest.mark.parametrize("plan", ["flat", "ivf4,pq6x4,refine-f16", "hnsw8,int8", "faiss:IVF4,Flat"])
@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis:shrinkage=0.2"])
@pytest.mark.parametrize("ids", [None, [f"row {each}" for each in range(80)]], ids=["numbers", "strings"])
def test_what_is_saved_opens_as_it_was(tmp_path, plan, metric, ids):
    mine = nk.build(rows(80), metric=metric, plan=plan, ids=ids, metadata=[{"n": each} for each in range(80)])
    first = mine.ids[0]
    mine.delete([first])
    mine.add(rows(1), [first])
    mine.add(rows(4) + 1, None if ids is None else list("wxyz"))
    mine.save(tmp_path / "a")
    with nk.open(tmp_path / "a") as again:
        for each in ("dim", "metric_text", "plan", "uncovered", "keeps_vectors", "search_defaults"):
            assert getattr(again, each) == getattr(mine, each)
        assert again.ids.tolist() == mine.ids.tolist()
        one, two = (each.search(rows(9), 12) for each in (mine, again))
        assert one.ids.tolist() == two.ids.tolist()
        np.testing.assert_array_equal(one.distances, two.distances)
        assert again.problems == []
        again.optimize()
        again.add(rows(1), None if ids is None else ["late"])
    with nk.open(tmp_path / "a", readonly=True) as third:
        assert len(third) == 85
        assert third.uncovered == 1


def test_a_damaged_index_is_reported_and_nothing_is_lost(tmp_path):
    mine = nk.build(rows(), plan="ivf4")
    mine.save(tmp_path / "a")
    (index,) = [path for path in (tmp_path / "a" / "built").rglob("*") if path.is_file() and path.name != "spec.json"]
    data = bytearray(index.read_bytes())
    data[len(data) // 2] ^= 1
    index.write_bytes(bytes(data))
    with nk.open(tmp_path / "a") as again:
        assert len(again.problems) == 1
        assert again.search(rows(5), 1).ids[:, 0].tolist() == [0, 1, 2, 3, 4]
        again.optimize()
    with nk.open(tmp_path / "a") as third:
        assert third.problems == []
        assert third.plan == "ivf4"


def test_a_bare_name_is_looked_up_in_the_folder_of_indexes(tmp_path, monkeypatch):
    (tmp_path / "store").mkdir()
    nk.build(rows()).save(tmp_path / "store" / "wiki")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEARKIN_INDEXES", "store")
    with nk.open("wiki") as found:
        assert len(found) == 60
    with pytest.raises(errors.UnknownCollectionError):
        nk.open("other")
