"""Rows in memory: added in any parts they are the same rows, and large blocks are never copied together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nearkin as nk
from nearkin.rows import MemoryRows


@given(
    parts=st.lists(st.integers(0, 9), max_size=12),
    picks=st.lists(st.integers(0, 10**6), max_size=20),
    ends=st.tuples(st.integers(0, 120), st.integers(0, 120)),
)
def test_rows_in_parts_are_the_rows_at_once(parts, picks, ends):
    whole = np.arange(3 * sum(parts), dtype=np.float32).reshape(-1, 3)
    rows = MemoryRows(3, "float32")
    for stop, count in zip(np.cumsum(parts).tolist(), parts, strict=True):
        rows.commit(vectors=whole[stop - count : stop], ids=range(stop - count, stop))
    positions = np.array([pick % len(whole) for pick in picks] if len(whole) else [], dtype=np.int64)
    start, stop = sorted(min(end, len(whole)) for end in ends)
    assert np.array_equal(rows.take(positions), whole[positions])
    assert np.array_equal(rows.span(start, stop), whole[start:stop])
    assert [len(block) for _, block in rows.blocks()] == ([len(whole)] if len(whole) else [])


def test_many_small_adds_leave_few_blocks():
    rows = MemoryRows(2, "float32")
    for row in range(1000):
        rows.commit(vectors=np.full((1, 2), row, dtype=np.float32), ids=[row])
    assert len(rows._blocks) <= 11
    assert rows.take(np.array([999, 0, 500]))[:, 0].tolist() == [999, 0, 500]


@pytest.fixture
def mapped(tmp_path):
    """32 MiB of rows in a file, which is one block of work."""
    array = np.random.default_rng(0).normal(size=(1 << 18, 32)).astype(np.float32)
    np.save(tmp_path / "rows.npy", array)
    return np.load(tmp_path / "rows.npy", mmap_mode="r")


def test_a_mapped_file_stays_on_disk_when_rows_are_added(mapped):
    mine = nk.build(mapped, plan="flat,int8")
    mine.add(mapped[:3] + 1)
    mine.search(mapped[:2], k=1)
    assert np.shares_memory(mine._rows.span(5, 9), mapped)
    assert mine.exact_search(mapped[:2] + 1, k=1).positions.tolist() == [[len(mapped)], [len(mapped) + 1]]


@pytest.mark.parametrize("metric", ["cosine", "manhattan", "inner-product"])
def test_exact_search_over_blocks_is_the_flat_answer(metric, monkeypatch):
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(700, 6)).astype(np.float32)
    mine = nk.build(rows, metric=metric)
    gone = rng.choice(700, 200, replace=False)
    mine.delete(gone)
    whole = mine.search(rows[:30], k=600)
    monkeypatch.setattr("nearkin.rows.block_rows", lambda row_bytes: 64)
    found = mine.exact_search(rows[:30], k=600)
    assert np.array_equal(found.positions, whole.positions)
    assert np.allclose(found.distances, whole.distances, rtol=1e-5, atol=1e-6)
    assert found.counts.tolist() == [500] * 30
    assert found.reason[0] == whole.reason[0]
