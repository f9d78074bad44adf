"""The index contract: what the base class keeps, and the exact numpy index that everything is compared with."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearkin.codecs import Float32, PackedBits
from nearkin.errors import NotTrainedError, ParameterError, PluginContractError, VectorError
from nearkin.flat_index import FlatIndex
from nearkin.indexes import (
    Found,
    Index,
    Layout,
    Mask,
    RangeFound,
    SearchParameter,
    empty_found,
    masked_by_growing,
    merge_found,
    whole_number,
)
from nearkin.metrics import INNER_PRODUCT, L2, Space
from nearkin.state import State

NO_DEADLINE = settings(deadline=None)


def flat(vectors: np.ndarray, space: Space = L2) -> FlatIndex:
    codec = Float32(vectors.shape[1]) if space.dtype == "float32" else PackedBits(vectors.shape[1])
    index = FlatIndex(Layout(space, vectors.shape[1], codec))
    index.train(vectors)
    index.add(vectors)
    return index


def grid(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-2, 3, (n, 2)).astype(np.float32)


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 1000), st.sampled_from([L2, INNER_PRODUCT]), st.data())
@NO_DEADLINE
def test_the_exact_index_is_a_sorted_list(n, k, seed, space, data):
    """Ties go to the smaller position; masked rows are not there; what is missing is padded."""
    vectors, queries = grid(n, seed), grid(4, seed + 1)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    index = flat(vectors, space)
    true = space.pairwise(queries, vectors)
    for mask in (None, Mask(allowed)):
        found = index.search(queries, k, mask=mask)
        assert found.positions.shape == found.distances.shape == (4, k)
        for query in range(4):
            keys = [(true[query, row], row) for row in range(n) if mask is None or allowed[row]]
            best = sorted(keys)[:k]
            assert found.positions[query].tolist() == [row for _, row in best] + [-1] * (k - len(best))
            assert found.distances[query].tolist() == [value for value, _ in best] + [np.inf] * (k - len(best))


@given(st.integers(1, 30), st.floats(-10, 40), st.integers(0, 1000), st.data())
@NO_DEADLINE
def test_the_exact_range_is_a_filter(n, radius, seed, data):
    vectors, queries = grid(n, seed), grid(3, seed + 1)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    true = L2.pairwise(queries, vectors)
    found = flat(vectors).range_search(queries, radius, mask=Mask(allowed))
    for query in range(3):
        span = slice(found.limits[query], found.limits[query + 1])
        expected = sorted((true[query, row], row) for row in range(n) if allowed[row] and true[query, row] <= radius)
        assert found.positions[span].tolist() == [row for _, row in expected]


def test_blocks_do_not_show(monkeypatch):
    vectors, queries = grid(50, 0), grid(6, 1)
    whole = flat(vectors).search(queries, 9)
    within = flat(vectors).range_search(queries, 4.0)
    monkeypatch.setattr("nearkin.flat_index.block_rows", lambda *_: 7)
    np.testing.assert_array_equal(flat(vectors).search(queries, 9).positions, whole.positions)
    np.testing.assert_array_equal(flat(vectors).range_search(queries, 4.0).positions, within.positions)


def test_rows_added_in_pieces():
    vectors = grid(20, 0)
    index = FlatIndex(Layout(L2, 2, Float32(2)))
    index.train(vectors)
    assert index.search(vectors[:1], 3).positions.tolist() == [[-1, -1, -1]]
    assert index.range_search(vectors[:2], 5.0).limits.tolist() == [0, 0, 0]
    for start in (0, 5, 6):
        index.add(vectors[start : {0: 5, 5: 6, 6: 20}[start]])
    assert index.n == 20
    np.testing.assert_array_equal(index.search(vectors, 4).positions, flat(vectors).search(vectors, 4).positions)
    np.testing.assert_array_equal(index.rows(np.array([7, 0])), vectors[[7, 0]])


class Sloppy(Index):
    """Answers in any order, with padding in the middle; the base class tidies up."""

    name = "sloppy"
    search_params: ClassVar = {"effort": SearchParameter("how hard to look", least=2)}

    def __init__(self, layout, k_off=0):
        super().__init__(layout)
        self.k_off = k_off
        self.asked = []

    def _train(self, vectors):
        pass

    def _add(self, vectors):
        self.vectors = vectors

    def _search(self, queries, k, mask, params):
        self.asked.append((k, dict(params)))
        values = L2.pairwise(queries, self.vectors)
        if mask is not None:
            values = np.where(mask.allowed, values, np.inf)
        order = np.argsort(values, axis=1)[:, : k + self.k_off][:, ::-1]
        distances = np.take_along_axis(values, order, axis=1).astype(np.float32)
        return Found(np.where(np.isinf(distances), -1, order), np.where(np.isinf(distances), 123, distances))

    def search_defaults(self, n):
        return {"effort": 5}

    def _cost(self, n):
        return {"rows": n, "nothing": 0}

    def _allocated(self):
        return {"rows": self.n, "nothing": 0}

    def _state(self):
        return State({"vectors": self.vectors}, {"name": "x"})

    def _restore(self, state):
        self.vectors = state.arrays["vectors"]
        assert state.meta == {"name": "x"}


def sloppy(**options) -> Sloppy:
    index = Sloppy(Layout(L2, 2, Float32(2)), **options)
    index.train(grid(9, 0))
    index.add(grid(9, 0))
    return index


def test_the_base_class_sorts_and_pads():
    index, queries = sloppy(), grid(3, 1)
    found, exact = index.search(queries, 4), flat(grid(9, 0)).search(queries, 4)
    np.testing.assert_array_equal(found.distances, exact.distances)
    mask = Mask(np.arange(9) < 2)
    masked = index.search(queries, 4, mask=mask)
    assert (masked.positions[:, 2:] == -1).all()
    assert np.isposinf(masked.distances[:, 2:]).all()
    assert (masked.positions[:, :2] >= 0).all()
    more = index.search(queries, 20)
    assert more.positions.shape == (3, 20)
    assert (more.positions[:, 9:] == -1).all()
    assert index.search(queries[:0], 4).positions.shape == (0, 4)


def test_a_range_is_found_by_asking_for_more():
    index, queries = sloppy(), grid(3, 1)
    true = L2.pairwise(queries, grid(9, 0))
    found = index.range_search(queries, 4.0, mask=Mask(np.arange(9) != 3))
    for query in range(3):
        span = slice(found.limits[query], found.limits[query + 1])
        assert sorted(found.positions[span].tolist()) == [row for row in range(9) if row != 3 and true[query, row] <= 4]
        assert (np.diff(found.distances[span]) >= 0).all()


def test_search_parameters_are_resolved_and_checked():
    index = sloppy()
    index.search(grid(1, 0), 2)
    index.search(grid(1, 0), 2, params={"effort": 7})
    index.set_defaults({"effort": 3})
    index.search(grid(1, 0), 2)
    assert index.asked == [(2, {"effort": 5}), (2, {"effort": 7}), (2, {"effort": 3})]
    assert index.resolve({"effort": 9.0}) == {"effort": 9}
    for value in (1, 0, -2, 2.5, "7", None, True, [3], float("nan"), float("inf")):
        with pytest.raises(ParameterError, match="effort is"):
            index.resolve({"effort": value})
    with pytest.raises(
        ParameterError, match=r"'efort' is not a search parameter of sloppy: it takes effort \(did you mean"
    ):
        index.search(grid(1, 0), 2, params={"efort": 3})
    with pytest.raises(ParameterError, match="'effort' is not a search parameter of flat: it takes none"):
        flat(grid(3, 0)).search(grid(1, 0), 1, params={"effort": 3})


def test_an_answer_of_another_shape_breaks_the_contract():
    with pytest.raises(PluginContractError, match=r"index 'sloppy' answered 2 queries with arrays of shapes \(2, 3\)"):
        sloppy(k_off=-1).search(grid(2, 0), 4)


def test_state_comes_back_with_the_rows_and_defaults():
    index = sloppy()
    other = Sloppy(Layout(L2, 2, Float32(2)))
    other.restore(index.state())
    assert (other.n, other.is_trained, other.resolve({})) == (9, True, {"effort": 5})
    np.testing.assert_array_equal(other.search(grid(2, 0), 3).positions, index.search(grid(2, 0), 3).positions)


def test_nothing_is_added_before_training_or_of_another_shape():
    index = FlatIndex(Layout(L2, 2, Float32(2)))
    with pytest.raises(NotTrainedError, match="index flat has not been trained"):
        index.add(grid(1, 0))
    with pytest.raises(VectorError, match="flat with codec f32 needs at least 1 rows to train, got 0"):
        index.train(grid(0, 0))
    index.train(grid(1, 0))
    for bad in (np.zeros((1, 3), np.float32), np.zeros((1, 2)), np.zeros(2, np.float32), np.zeros((1, 2), np.uint8)):
        with pytest.raises(VectorError, match="index flat was made for float32 rows of 2 columns, got"):
            index.add(bad)
    assert index.n == 0


def test_costs_leave_out_what_takes_nothing():
    assert sloppy().cost(7) == {"rows": 7}
    assert sloppy().allocated() == {"rows": 9}


@given(st.lists(st.booleans(), max_size=40))
@NO_DEADLINE
def test_masks_pack_little_endian(allowed):
    mask = Mask(np.array(allowed, dtype=bool))
    assert mask.count == sum(allowed)
    for row, each in enumerate(allowed):
        assert bool(mask.packed[row // 8] >> (row % 8) & 1) == each


@given(st.integers(1, 30), st.integers(1, 12), st.data())
@NO_DEADLINE
def test_a_mask_outside_the_library_gives_the_same(n, k, data):
    vectors, queries = grid(n, n), grid(3, 99)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    index = flat(vectors)
    asked = []

    def search(ask: int) -> Found:
        asked.append(ask)
        return index.search(queries, ask)

    found = masked_by_growing(search, k, Mask(allowed), n)
    exact = index.search(queries, k, mask=Mask(allowed))
    np.testing.assert_array_equal(found.positions, exact.positions)
    np.testing.assert_array_equal(found.distances, exact.distances)
    assert max(asked) <= n
    assert asked == sorted(set(asked))


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 8), st.integers(0, 100))
@NO_DEADLINE
def test_merging_is_sorting_both(k, left, right, seed):
    values = np.sort(np.random.default_rng(seed).integers(0, 9, (2, 1, 8)).astype(np.float32), axis=2)
    halves = []
    for which, count in enumerate((left, right)):
        found = empty_found(1, 8)
        found.positions[0, :count] = np.arange(count) + 100 * which
        found.distances[0, :count] = values[which, 0, :count]
        halves.append(found)
    merged = merge_found(halves[0], halves[1], k)
    everything = sorted(
        [
            *zip(values[0, 0, :left], range(left), strict=True),
            *zip(values[1, 0, :right], range(100, 100 + right), strict=True),
        ]
    )
    best = everything[:k]
    assert merged.distances[0].tolist() == [value for value, _ in best] + [np.inf] * (k - len(best))
    assert set(merged.positions[0].tolist()) - {-1} == {row for row in merged.positions[0].tolist() if row >= 0}
    assert (merged.positions[0] >= 0).sum() == len(best)


def test_packed_bits_in_the_exact_index():
    space = Space("faiss:METRIC_Hamming", lambda q, x: np.unpackbits(q[:, None] ^ x[None], axis=2).sum(axis=2), "bits")
    bits = np.random.default_rng(0).integers(0, 256, (30, 3), dtype=np.uint8)
    found = flat(bits, space).search(bits[:5], 1)
    assert found.positions[:, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 3), (3.0, 3), (np.int8(3), 3), (np.float32(3), 3), (2**31 - 1, 2**31 - 1)]
)
def test_whole_numbers(value, expected):
    found = whole_number("k", value, 1)
    assert (found, type(found)) == (expected, int)


@pytest.mark.parametrize(
    "value",
    [0, -1, 2.5, "3", b"3", None, True, np.True_, np.array([3]), [3], float("nan"), float("-inf"), 1j, object()],
)
def test_what_is_no_whole_number(value):
    with pytest.raises(ParameterError, match=r"k is .*, a whole number of at least 1 expected"):
        whole_number("k", value, 1)


def test_numbers_that_no_library_takes():
    with pytest.raises(ParameterError, match="k is 2147483648, at most 2,147,483,647 can be used"):
        whole_number("k", 2**31, 1)
    with pytest.raises(ParameterError, match="at most 9 can be used"):
        whole_number("k", 10, 1, 9)


def test_an_empty_range():
    found = sloppy().range_search(grid(2, 0), -1.0)
    assert isinstance(found, RangeFound)
    assert found.limits.tolist() == [0, 0, 0]
