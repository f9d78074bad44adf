"""The best row of each group, against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearkin as nk
from nearkin import collection_reader, errors
from nearkin.grouping import Groups, keys_of, nearest_groups
from nearkin.indexes import Found

VALUES = st.sampled_from(["a", "b", "c", 1, True, None, ["x"], "missing"])


def made(rows: np.ndarray, values: list[Any], plan: str = "flat") -> nk.Collection:
    extra = [{} if value == "missing" else {"group": value, "n": n} for n, value in enumerate(values)]
    return nk.build(rows, metadata=extra, plan=plan)


def brute(rows: np.ndarray, values: list[Any], query: np.ndarray, kept: list[int], k: int) -> list[float]:
    """Distances of the k nearest groups, computed in float64."""
    best: dict[str, float] = {}
    for row in kept:
        alone = values[row] is None or values[row] == "missing"
        name = f"row {row}" if alone else f"{type(values[row])} {values[row]}"
        far = float(np.linalg.norm(rows[row].astype(float) - query))
        best[name] = min(far, best.get(name, np.inf))
    return sorted(best.values())[:k]


@settings(max_examples=40, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=60), st.integers(1, 8), st.integers(0, 9), st.booleans(), st.booleans())
def test_as_brute_force(values: list[Any], k: int, seed: int, exact: bool, filtered: bool) -> None:
    chance = np.random.default_rng(seed)
    rows = chance.integers(-4, 5, (len(values), 3)).astype(np.float32)  # with ties
    collection = made(rows, values)
    kept = [row for row in range(len(values)) if not filtered or (values[row] != "missing" and row >= 5)]
    queries = chance.normal(size=(3, 3)).astype(np.float32)
    ask = collection.exact_search if exact else collection.search
    found = ask(queries, k, where="n >= 5" if filtered else None, group_by="group")
    for query, positions, distances in zip(queries, found.positions, found.distances, strict=True):
        wanted = brute(rows, values, query.astype(float), kept, k)
        assert np.allclose(distances[: len(wanted)], wanted, atol=1e-4)
        assert (positions[len(wanted) :] == -1).all()
        assert np.isinf(distances[len(wanted) :]).all()
        there = positions[positions >= 0].tolist()
        assert set(there) <= set(kept)
    assert found.complete.tolist() == [len(wanted) == k] * 3
    if len(wanted) < k:
        which = "that the filter keeps" if filtered else "of the collection"
        assert found.reason[0].startswith(f"the rows {which} have {len(wanted)} different value")


def test_through_an_index_that_reaches_few_rows() -> None:
    """Two groups far apart: the plan looks near one, and is asked for more until it has the other."""
    chance = np.random.default_rng(0)
    rows = np.concatenate([chance.normal(size=(300, 4)), 50 + chance.normal(size=(5, 4))]).astype(np.float32)
    collection = made(rows, ["near"] * 300 + ["far"] * 5, plan="ivf8")
    found = collection.search(rows[:4], 2, group_by="group", nprobe=1)
    assert found.complete.all()
    assert (found.positions[:, 0] == np.arange(4)).all()
    assert (found.positions[:, 1] >= 300).all()
    few = collection.search(rows[:4], 2, group_by="group", nprobe=1, allow_fewer=True)
    assert few.counts.tolist() == [1] * 4
    assert few.reason[0] == "the rows that the plan reached have 1 different values of group, 2 asked"


def test_nested_fields_and_on_disk(tmp_path: Any) -> None:
    rows = np.arange(4, dtype=np.float32)[:, None]
    extra = [{"in": {"document": name}} for name in "aabb"]
    nk.build(rows, metadata=extra, ids=list("wxyz")).save(tmp_path / "mine")
    with nk.open(tmp_path / "mine") as mine:
        mine.delete(["w"])
        assert mine.search([[0.0]], 2, group_by="in.document").ids.tolist() == [["x", "y"]]


@pytest.mark.parametrize("field", ["$id", 3])
def test_what_is_no_field(field: Any) -> None:
    with pytest.raises(errors.ParameterError, match="group_by is"):
        nk.build(np.eye(3)).search(np.eye(3), 1, group_by=field)


def test_many_queries_for_rows_of_few_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearkin.grouping.AT_ONCE", 500)
    monkeypatch.setattr("nearkin.grouping.QUERIES_AT_ONCE", 7)
    monkeypatch.setattr("nearkin.grouping.block_rows", lambda size: 9)
    monkeypatch.setattr("nearkin.grouping.READ_AT_ONCE", 11)
    rows = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    values = [n % 3 for n in range(200)]
    found = made(rows, values).search(rows[:20], 5, group_by="group")
    for query, distances in zip(rows[:20], found.distances, strict=True):
        assert np.allclose(distances[:3], brute(rows, values, query.astype(float), list(range(200)), 5), atol=1e-4)
    assert found.counts.tolist() == [3] * 20


@pytest.mark.parametrize("on_disk", [False, True])
def test_rows_that_are_deleted_meanwhile_are_gone(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, on_disk: bool
) -> None:
    """Between the search for rows and the look at their metadata; they are no groups of their own."""
    mine = made(np.arange(5, dtype=np.float32)[:, None], ["a", "a", "b", "b", "c"])
    if on_disk:
        mine.save(tmp_path / "mine")
        mine = nk.open(tmp_path / "mine")

    def late(*given: Any) -> Any:
        if 2 in mine:
            mine.delete([0, 2])
        return nearest_groups(*given)

    monkeypatch.setattr(collection_reader, "nearest_groups", late)
    found = mine.search([[0.0]], 3, group_by="group")
    assert found.positions.tolist() == [[1, 3, 4]]
    mine.upsert([[0.5]], ids=[0], metadata=[{"group": "c"}])
    assert mine.search([[0.0]], 3, group_by="group").positions.tolist() == [[5, 1, 3]]
    mine.close()


def test_all_rows_are_compared_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of being asked for by the thousand, where all are in one group."""
    rows = np.random.default_rng(2).normal(size=(3000, 4)).astype(np.float32)
    mine, read, depths = made(rows, ["one"] * 3000), [], []
    metadata, search = mine.rows.metadata, type(mine._current()).search
    monkeypatch.setattr(mine.rows, "metadata", lambda some: read.extend(some.tolist()) or metadata(some))
    monkeypatch.setattr(
        type(mine._current()),
        "search",
        lambda view, prepared, k, *given, **named: depths.append(k) or search(view, prepared, k, *given, **named),
    )
    for _ in range(2):
        found = mine.search(rows[:3], 10, group_by="group")
        assert found.positions[:, :2].tolist() == [[0, -1], [1, -1], [2, -1]]
        assert mine.exact_search(rows[:3], 10, group_by="group").positions.tolist() == found.positions.tolist()
    assert sorted(read) == list(range(3000))
    assert max(depths) < 300


def test_the_fields_whose_groups_are_kept_are_few() -> None:
    mine = nk.build(np.eye(3), metadata=[{f"f{n}": 1 for n in range(9)}] * 3)
    for n in range(9):
        assert mine.search(np.eye(3), 2, group_by=f"f{n}").counts.tolist() == [1] * 3
    assert list(mine._groups) == [("f5",), ("f6",), ("f7",), ("f8",)]


PAIRS = [(metric, plan) for metric in ("cosine", "inner-product") for plan in ("flat", "ivf4", "flat,int8")]


@pytest.mark.parametrize(("metric", "plan"), [*PAIRS, ("manhattan", "flat"), ("jaccard", "flat")])
def test_every_metric(metric: str, plan: str) -> None:
    """The nearest of 50 rows each, which the plan is asked for only at first, and then all rows are compared."""
    rows = np.random.default_rng(3).normal(size=(200, 8)).astype(np.float32)
    rows = (rows > 0).astype(np.uint8) if metric == "jaccard" else rows
    mine = nk.build(rows, metric=metric, metadata=[{"group": n % 4} for n in range(200)], plan=plan)
    found = mine.search(rows[:5], 6, group_by="group")
    all_rows = mine.exact_search(rows[:5], 200)
    for query in range(5):
        seen: dict[int, float] = {}
        for position, distance in zip(all_rows.positions[query], all_rows.distances[query], strict=True):
            seen.setdefault(int(position) % 4, float(distance))
        assert np.allclose(found.distances[query, :4], list(seen.values()), atol=1e-5)
    assert found.counts.tolist() == [4] * 5


def test_why_there_are_fewer_is_said_of_each_query() -> None:
    """One reached two of four rows, the other all."""
    answers = Found(np.array([[0, 1, -1, -1], [0, 1, 2, 3]]), np.zeros((2, 4), np.float32))

    def ask(some: np.ndarray, depth: int) -> Found:
        return Found(answers.positions[some, :depth], answers.distances[some, :depth])

    rows = made(np.eye(4, dtype=np.float32), ["a", "b", "a", "b"]).rows
    grouped = nearest_groups(ask, Groups(rows, keys_of("group")).of, 2, 3, 4)
    assert grouped.found.positions.tolist() == [[0, 1, -1], [0, 1, -1]]
    assert grouped.exhausted.tolist() == [False, True]
