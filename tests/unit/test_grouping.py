"""The best row of each group, against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearkin as nk
from nearkin import errors

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
    rows = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    values = [n % 3 for n in range(200)]
    found = made(rows, values).search(rows[:20], 5, group_by="group")
    for query, distances in zip(rows[:20], found.distances, strict=True):
        assert np.allclose(distances[:3], brute(rows, values, query.astype(float), list(range(200)), 5), atol=1e-4)
    assert found.counts.tolist() == [3] * 20
