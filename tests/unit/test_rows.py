"""Rows in memory: append-only positions, all or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from nearkin.errors import NotSupportedError
from nearkin.rows import ForgottenRows, MemoryRows


def filled() -> MemoryRows:
    rows = MemoryRows(2, "float32")
    rows.commit(vectors=np.float32([[0, 0], [1, 1], [2, 2]]), ids=["a", "b", "c"], metadata=[{}, {"n": 1}, {"n": 2}])
    rows.commit(delete=np.array([1]), vectors=np.float32([[3, 3]]), ids=["b"], metadata=[{"n": 3}])
    return rows


def test_positions_are_never_used_twice_and_ids_may_be():
    rows = filled()
    assert (len(rows), rows.count, rows.alive.tolist()) == (4, 3, [True, False, True, True])
    assert rows.ids.positions(["a", "b", "c"]).tolist() == [0, 3, 2]
    assert rows.take(np.array([3, 0])).tolist() == [[3, 3], [0, 0]]
    assert rows.span(1, 3).tolist() == [[1, 1], [2, 2]]
    assert rows.metadata(np.array([0, 1, 3])) == [{}, {}, {"n": 3}]


def test_alive_is_replaced_and_never_changed():
    rows = filled()
    before = rows.alive
    rows.commit(delete=np.array([0]))
    assert before.tolist() == [True, False, True, True]
    assert rows.alive.tolist() == [False, False, True, True]


def test_metadata_given_out_is_a_copy():
    rows = filled()
    rows.metadata(np.array([3]))[0]["n"] = 99
    assert rows.metadata(np.array([3])) == [{"n": 3}]


@pytest.mark.parametrize("dtype", ["float32", "bits"])
def test_no_rows(dtype):
    rows = MemoryRows(5, dtype)
    assert rows.span(0, 0).shape == (0, 5)
    assert rows.span(0, 0).dtype == (np.float32 if dtype == "float32" else np.uint8)
    assert list(rows.blocks()) == []
    assert (len(rows), rows.count) == (0, 0)


def test_blocks_cover_every_row_once(monkeypatch):
    rows = MemoryRows(2, "float32")
    expected = np.arange(20, dtype=np.float32).reshape(10, 2)
    for start in (0, 4, 5):
        rows.commit(
            vectors=expected[start : {0: 4, 4: 5, 5: 10}[start]], ids=list(range(start, {0: 4, 4: 5, 5: 10}[start]))
        )
    monkeypatch.setattr("nearkin.rows.block_rows", lambda _: 3)
    parts = list(rows.blocks(1, 9))
    assert [start for start, _ in parts] == [1, 4, 7]
    np.testing.assert_array_equal(np.concatenate([block for _, block in parts]), expected[1:9])


def test_forgotten_rows_keep_what_is_deleted_and_refuse_vectors():
    rows = ForgottenRows.of(filled())
    assert rows.alive.tolist() == [True, False, True, True]
    assert rows.ids.positions(["b"]).tolist() == [3]
    assert rows.metadata(np.array([1, 2, 3])) == [{}, {"n": 2}, {"n": 3}]
    rows.commit(delete=np.array([0]))
    assert rows.count == 2
    for call in (lambda: rows.take(np.array([0])), lambda: rows.span(0, 1), lambda: list(rows.blocks())):
        with pytest.raises(NotSupportedError, match="keep_vectors=False"):
            call()


def test_large_blocks_stay_where_they_are_and_small_ones_are_joined(monkeypatch):
    monkeypatch.setattr("nearkin.rows.BLOCK_BYTES", 100 * 8)
    rows = MemoryRows(2, "float32")
    expected = np.arange(1000, dtype=np.float32).reshape(500, 2)
    rows.commit(vectors=expected[:300], ids=list(range(300)))
    for each in range(300, 500):
        rows.commit(vectors=expected[each : each + 1], ids=[each])
    assert np.shares_memory(rows.span(0, 300), expected)
    assert len(rows._blocks) < 20
    np.testing.assert_array_equal(rows.span(0, 500), expected)
    np.testing.assert_array_equal(rows.span(299, 302), expected[299:302])
    scattered = np.random.default_rng(0).permutation(500)
    np.testing.assert_array_equal(rows.take(scattered), expected[scattered])


def test_a_reader_goes_on_with_the_rows_that_there_were():
    rows = MemoryRows(1, "float32")
    rows.commit(vectors=np.float32([[0]]), ids=[0])
    before = rows._blocks
    rows.commit(vectors=np.float32([[1]]), ids=[1])
    assert [block.tolist() for block in before if len(block)] == [[[0.0]]]
    assert rows.take(np.array([1, 0])).tolist() == [[1], [0]]
