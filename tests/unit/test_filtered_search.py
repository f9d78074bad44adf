"""Searches under a filter beside brute force over the rows that it keeps; every plan gives as many as there are."""

from __future__ import annotations

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors, survivors
from nearkin.plans import compares_all
from nearkin.rows import MemoryRows

PLANS = ["flat", "ivf32", "ivf32,pq8x4,refine-f32", "hnsw8", "hnsw8,int8", "flat,int8"]
ROWS, DIM = 6000, 8


def kept_by(name: str, number: int) -> bool:
    return {"all": True, "most": number % 5 != 0, "few": number % 100 == 0, "one": number == 77, "none": False}[name]


WHERE = {"all": "n >= 0", "most": "not fifth = true", "few": 'tags has "hundredth"', "one": "n = 77", "none": "n < 0"}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(ROWS, DIM)).astype(np.float32)


@pytest.fixture(scope="module", params=PLANS)
def mine(request: pytest.FixtureRequest, rows: np.ndarray) -> nk.Collection:
    metadata = [
        {"n": n, "fifth": n % 5 == 0, "tags": ["hundredth"] if n % 100 == 0 else ["other"]} for n in range(ROWS)
    ]
    mine = nk.build(rows[:-500], plan=request.param, metadata=metadata[:-500])
    mine.add(rows[-500:], metadata=metadata[-500:])  # a tail that the index does not cover
    mine.delete([77 * 60])
    return mine


@pytest.fixture(autouse=True, params=[survivors.FEW, 100], ids=["gathered", "masked"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows that are compared by themselves: any number here, or so few that the index has to pass over the others."""
    if "mine" in request.fixturenames:
        request.getfixturevalue("mine")._current().restricted.clear()
    monkeypatch.setattr(survivors, "FEW", request.param)
    if request.param == 100:
        monkeypatch.setattr(survivors, "SHARE", 0)
        monkeypatch.setattr(survivors, "SHARE_OF_EXACT", 0)
    return int(request.param)


@pytest.mark.parametrize("name", list(WHERE))
@pytest.mark.parametrize("k", [1, 10, ROWS + 5])
def test_every_row_that_is_kept_and_no_other(
    mine: nk.Collection, rows: np.ndarray, name: str, k: int, few: int
) -> None:
    kept = [n for n in range(ROWS) if kept_by(name, n) and n != 77 * 60]
    queries = rows[:5] + np.float32(0.01)
    found = mine.search(queries, k, where=WHERE[name])
    assert mine.count(WHERE[name]) == len(kept)
    assert found.counts.tolist() == [min(k, len(kept))] * 5
    for query, row in zip(queries, found.positions, strict=True):
        answered = row[row >= 0].tolist()
        assert set(answered) <= set(kept)
        assert len(set(answered)) == len(answered)
        if 0 < len(kept) <= few and name != "all":  # all of them are compared
            true = np.sort(np.linalg.norm(rows[kept].astype(float) - query, axis=1))[: len(answered)]
            np.testing.assert_allclose(np.linalg.norm(rows[answered].astype(float) - query, axis=1), true, rtol=1e-5)


def test_the_reason_for_fewer(mine: nk.Collection, rows: np.ndarray) -> None:
    assert mine.search(rows[:1], 3, where="n = 77").reason == ["the filter keeps 1 row, 3 asked"]
    assert mine.search(rows[:1], 3, where="n < 0").reason == ["the filter keeps 0 rows, 3 asked"]


def test_recall_under_filters_that_keep_a_share(mine: nk.Collection, rows: np.ndarray) -> None:
    """The index passes over the other rows; it finds most of the true neighbours all the same."""
    queries = rows[100:200] + np.float32(0.01)
    for share in (2, 4, 10):
        where = f"n between 0 and {ROWS // share}"
        found = mine.search(queries, 10, where=where)
        true = mine.exact_search(queries, 10, where=where)
        assert np.isin(found.ids, np.arange(ROWS // share + 1)).all()
        recalls = [np.isin(one, other).mean() for one, other in zip(found.ids, true.ids, strict=True)]
        assert np.mean(recalls) > 0.6


def test_ranges(mine: nk.Collection, rows: np.ndarray) -> None:
    for name in ("few", "one", "none"):
        kept = [n for n in range(ROWS) if kept_by(name, n)]
        (hits,) = mine.range_search(rows[:1], 3.0, where=WHERE[name])
        true = {n for n in kept if np.linalg.norm(rows[n].astype(float) - rows[0]) <= 3.0}
        assert {hit.id for hit in hits} == true
    (hits,) = mine.range_search(rows[:1], 2.5, where="not fifth = true")
    assert all(hit.id % 5 for hit in hits)


def test_filters_that_are_dicts_and_filters_that_were_read(mine: nk.Collection, rows: np.ndarray) -> None:
    text = mine.search(rows[:3], 5, where="n < 300 and not fifth = true").ids.tolist()
    as_dict = mine.search(rows[:3], 5, where={"n": {"$lt": 300}, "$not": {"fifth": True}}).ids.tolist()
    read = mine.search(rows[:3], 5, where=nk.as_filter("n < 300 and not fifth = true")).ids.tolist()
    assert text == as_dict == read


def test_a_filter_sees_every_change() -> None:
    mine = nk.build(np.eye(4), metadata=[{"n": n} for n in range(4)])
    assert mine.select("n > 1", vectors=False)[0] == nk.Row(2, None, {"n": 2})
    mine.upsert([[5, 0, 0, 0]], [0], metadata=[{"n": 9}])
    mine.delete(where="n = 3")
    mine.add([[6, 0, 0, 0]], metadata=[{"n": 10}])
    assert [row.id for row in mine.select("n > 1")] == [2, 0, 4]
    assert mine.search([[6, 0, 0, 0]], 2, where="n >= 9").ids.tolist() == [[4, 0]]
    assert mine.delete(where="not n = 2") == 3
    assert mine.ids.tolist() == [2]


def test_select() -> None:
    mine = nk.build(np.eye(5), ids=list("abcde"), metadata=[{"n": n} for n in range(5)])
    assert [row.id for row in mine.select(limit=2, offset=1)] == ["b", "c"]
    assert [row.id for row in mine.select("n != 2", limit=2, offset=2)] == ["d", "e"]
    assert mine.select("n = 1")[0].vector.tolist() == [0, 1, 0, 0, 0]
    assert mine.select(limit=0) == []
    with pytest.raises(errors.ParameterError, match="limit is -1"):
        mine.select(limit=-1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.search(np.eye(3), where="n <"), "column 4"),
        (lambda c: c.search(np.eye(3), where=7), "a filter is a int"),
        (lambda c: c.count("n = 1 or"), "column 9"),
        (lambda c: c.delete(where="n ="), "column 4"),
    ],
)
def test_filters_that_cannot_be_read(call, message) -> None:
    mine = nk.build(np.eye(3), metadata=[{"n": n} for n in range(3)])
    with pytest.raises(errors.FilterError, match=message):
        call(mine)
    assert len(mine) == 3


def test_delete_takes_ids_or_a_filter() -> None:
    mine = nk.build(np.eye(3), metadata=[{"n": n} for n in range(3)])
    for given in ({}, {"ids": [1], "where": "n = 1"}):
        with pytest.raises(errors.ParameterError, match="exactly one"):
            mine.delete(**given)


def test_search_parameters_are_checked_under_any_filter(mine: nk.Collection, rows: np.ndarray) -> None:
    for where in (None, "n = 77", "n >= 0"):
        with pytest.raises(errors.ParameterError, match="effort"):
            mine.search(rows[:1], 1, where=where, effort=3)


def test_without_vectors_all_that_the_index_reaches() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 4))
    mine = nk.build(rows, plan="ivf16", metadata=[{"n": n} for n in range(500)], keep_vectors=False)
    found = mine.search(rows[:3], 10, where="n < 10", nprobe=1)
    assert np.sort(found.ids, axis=1).tolist() == [list(range(10))] * 3
    assert mine.search(rows[:3], 500, nprobe=1).complete.all()
    assert mine.search(rows[:3], 500, nprobe=1, allow_fewer=True).counts.max() < 500


@pytest.mark.parametrize(
    ("kept", "total", "dim", "exact", "worth"),
    [
        (8192, 300_000, 128, False, True),
        (8193, 300_000, 128, False, False),
        (20_000, 1_000_000, 128, False, True),
        (20_001, 1_000_000, 128, False, False),
        (30_000, 60_000, 128, True, True),
        (30_001, 60_000, 128, True, False),
        (65_536, 300_000, 128, True, True),  # 32 MB
        (65_537, 300_000, 128, True, False),
        (100, 100, 128, True, False),  # nothing to pass over
    ],
)
def test_which_are_worth_gathering(kept: int, total: int, dim: int, exact: bool, worth: bool, few: int) -> None:
    if few == survivors.FEW == 8192:
        assert survivors.worth_gathering(kept, total, MemoryRows(dim, "float32"), exact=exact) is worth


@pytest.mark.parametrize(
    ("plan", "exact"), [("flat", True), ("flat,int8", False), ("ivf8", False), ("pca4,flat", False), ("hnsw8", False)]
)
def test_which_indexes_compare_all_rows(rows: np.ndarray, plan: str, exact: bool) -> None:
    recipe = nk.build(rows[:300], plan=plan).recipe
    assert compares_all(recipe.plan, recipe.registry) is exact


def test_an_index_looks_at_more_of_itself_under_a_filter(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearkin.views.worth_gathering", lambda *_, **__: False)
    mine = nk.build(rows, plan="ivf64", search={"nprobe": 4}, metadata=[{"n": n} for n in range(ROWS)])
    queries, where = rows[:200] + np.float32(0.01), f"n < {ROWS // 9 + 1}"
    true = mine.exact_search(queries, 10, where=where)

    def recall(**params: int) -> float:
        found = mine.search(queries, 10, where=where, **params)
        return float(np.mean([np.isin(one, other).mean() for one, other in zip(found.ids, true.ids, strict=True)]))

    assert recall() == recall(nprobe=12) > recall(nprobe=4) + 0.05
    found = nk.evaluate(mine, queries, where=where)
    assert (found.search, found.kept) == ({"nprobe": 12}, ROWS // 9 + 1)
    assert abs(found.quality.recall.mean - recall()) < 1e-9
    assert nk.evaluate(mine, queries, where=where, search={"nprobe": 4}).search == {"nprobe": 4}
