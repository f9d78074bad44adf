"""Flat and ivf over codes that faiss does not know, against brute force over the decoded rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin.codecs import Codec
from nearkin.indexes import Layout, Mask
from nearkin.metrics import INNER_PRODUCT, L2, Space
from nearkin.testing.contract import written
from nearkin_plugins.decoded_scan import DecodedFlatIndex, DecodedIVFIndex, smallest
from nearkin_plugins.pruned_codec import Pruned

DIM = 12


def rows(n: int, seed: int = 0, far: float = 0.0) -> np.ndarray:
    return (far + np.random.default_rng(seed).normal(size=(n, DIM))).astype(np.float32)


def built(make, space: Space, n: int = 500, far: float = 0.0):
    index = make(Layout(space, DIM, Pruned(DIM, 30), rows=n))
    index.train(rows(n, far=far))
    index.add(rows(n, far=far))
    return index


def decoded(n: int, far: float = 0.0) -> np.ndarray:
    codec = Pruned(DIM, 30)
    return codec.decode(codec.encode(rows(n, far=far)))


@pytest.mark.parametrize("space", [L2, INNER_PRODUCT], ids=lambda space: space.label)
@pytest.mark.parametrize("make", [DecodedFlatIndex, DecodedIVFIndex])
@pytest.mark.parametrize("k", [1, 10, 500, 600])
def test_everything_probed_is_brute_force_over_the_decoded_rows(make, space: Space, k: int) -> None:
    index = built(make, space)
    found = index.search(rows(30, seed=1), k, params={"nprobe": 500} if index.knobs else {})
    true = np.sort(space.pairwise(rows(30, seed=1), decoded(500)), axis=1)[:, :k]
    np.testing.assert_allclose(found.distances[:, : true.shape[1]], true, rtol=1e-4, atol=1e-4)
    assert (found.positions[:, 500:] == -1).all()


@pytest.mark.parametrize("make", [DecodedFlatIndex, DecodedIVFIndex])
def test_rows_far_from_the_origin_keep_their_order(make) -> None:
    """||q||² - 2 q·x + ||x||² in float32 has nothing left of a distance of 4 at a length of 3,000, around the origin."""
    index = built(make, L2, far=1000.0)
    queries = rows(30, seed=1, far=1000.0)
    found = index.search(queries, 5, params={"nprobe": 500} if index.knobs else {})
    true = np.sort(L2.pairwise(queries, decoded(500, far=1000.0)), axis=1)[:, :5]
    np.testing.assert_allclose(found.distances, true, rtol=1e-3)


class Quarters(Codec):
    """Whole numbers and quarters of them, exactly."""

    name = "quarters"

    @property
    def code_size(self) -> int:
        return 4 * self.dim

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        return np.rint(4 * vectors).astype("<i4").view(np.uint8)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(codes).view("<i4").astype(np.float32) / 4


@pytest.mark.parametrize("make", [DecodedFlatIndex, DecodedIVFIndex])
@pytest.mark.parametrize("nlist", [1, 60])
def test_rows_close_to_each_other_and_far_from_the_centre_keep_their_order(make, nlist: int) -> None:
    """Two heaps, 20,000 apart in each column: the centre between them is of no help to float32."""
    rng = np.random.default_rng(0)
    heaps = np.float32([-10_000, 10_000])
    vectors, queries = (
        (heaps[rng.integers(0, 2, (n, 1))] + rng.integers(-40, 40, (n, DIM)) / 4).astype(np.float32) for n in (600, 30)
    )
    options = {"nlist": nlist} if make is DecodedIVFIndex else {}
    index = make(Layout(L2, DIM, Quarters(DIM), rows=600), **options)
    index.train(vectors)
    index.add(vectors)
    found = index.search(queries, 10, params={"nprobe": nlist} if index.knobs else {})
    np.testing.assert_allclose(found.distances, np.sort(L2.pairwise(queries, vectors), axis=1)[:, :10], rtol=1e-4)


@pytest.mark.parametrize("far", [0.0, 3000.0])
def test_rows_go_to_the_cell_whose_centroid_is_nearest(far: float) -> None:
    vectors = rows(2000, far=far)
    index = DecodedIVFIndex(Layout(L2, DIM, Quarters(DIM), rows=2000), nlist=60)
    index.train(vectors)
    index.add(vectors)
    offsets, _, positions = index._ordered()
    cells = np.repeat(np.arange(60), np.diff(offsets))
    assert (L2.pairwise(vectors, index._centroids).argmin(axis=1)[positions] == cells).mean() > 0.99


@pytest.mark.parametrize("make", [DecodedFlatIndex, DecodedIVFIndex])
def test_a_mask_leaves_its_rows_and_no_others(make) -> None:
    index = built(make, L2)
    allowed = np.random.default_rng(3).random(500) < 0.02
    found = index.search(rows(30, seed=1), 50, mask=Mask(allowed), params={"nprobe": 500} if index.knobs else {})
    count = int(allowed.sum())
    assert all(set(row[:count].tolist()) == set(np.flatnonzero(allowed).tolist()) for row in found.positions)
    assert (found.positions[:, count:] == -1).all()
    assert np.isinf(found.distances[:, count:]).all()


def test_only_the_probed_cells_are_looked_into() -> None:
    index = built(DecodedIVFIndex, L2)
    for nprobe in (1, 3):
        found = index.search(rows(30, seed=1), 500, params={"nprobe": nprobe})
        sizes = np.diff(index._ordered()[0])
        assert (found.positions >= 0).sum(axis=1).max() <= np.sort(sizes)[-nprobe:].sum()
        assert (found.positions >= 0).any(axis=1).all()


def test_rows_added_after_a_search_are_found() -> None:
    index = built(DecodedIVFIndex, L2)
    before = index.search(rows(5, seed=1), 3)
    index.add(rows(5, seed=1))
    after = index.search(rows(5, seed=1), 1)
    assert after.positions[:, 0].tolist() == [500, 501, 502, 503, 504]
    assert (after.distances[:, 0] < before.distances[:, 0]).all()


@pytest.mark.parametrize("make", [DecodedFlatIndex, DecodedIVFIndex])
def test_the_state_brings_the_same_answers_back(make) -> None:
    index = built(make, L2, far=50.0)
    fresh = make(Layout(L2, DIM, Pruned(DIM, 30), rows=500))
    fresh.restore(written(index.state()))
    queries = rows(10, seed=1, far=50.0)
    for one, other in zip(index.search(queries, 7), fresh.search(queries, 7), strict=True):
        assert np.array_equal(one, other)
    assert index.allocated() == fresh.allocated()


def test_many_queries_are_answered_in_parts(monkeypatch) -> None:
    index = built(DecodedIVFIndex, L2)
    whole = index.search(rows(200, seed=1), 10)
    monkeypatch.setattr("nearkin_plugins.decoded_scan.CANDIDATE_BYTES", 100_000)
    parts = index.search(rows(200, seed=1), 10)
    np.testing.assert_allclose(parts.distances, whole.distances, rtol=1e-5)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=5), st.integers(1, 6))
def test_the_smallest_are_the_smallest(values: list[list[int]], k: int) -> None:
    given_values = np.float32(values)
    columns, found = smallest(given_values, k)
    assert found.tolist() == np.sort(given_values, axis=1)[:, :k].tolist()
    assert np.array_equal(np.take_along_axis(given_values, columns, axis=1), found)
    assert all(
        left < right
        for nearest, row in zip(found.tolist(), columns.tolist(), strict=True)
        for (value, left), (other, right) in itertools.pairwise(zip(nearest, row, strict=True))
        if value == other
    )
    assert all(len(set(row)) == len(row) for row in columns.tolist())


@given(
    st.integers(1, 40).flatmap(
        lambda dim: st.tuples(
            st.just(dim), st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=dim, max_size=dim), max_size=4)
        )
    ),
    st.integers(1, 99),
)
def test_pruning_keeps_the_largest_coordinates(given_rows: tuple[int, list[list[float]]], percent: int) -> None:
    dim, lists = given_rows
    vectors = np.array(lists, dtype=np.float32).reshape(len(lists), dim)
    codec = Pruned(dim, percent)
    codes = codec.encode(vectors)
    back = codec.decode(codes)
    scales = np.ascontiguousarray(codes[:, :4]).view("<f4")[:, 0]
    assert np.array_equal(back, codec._decode_in_numpy(codes, scales))
    for row, kept in zip(vectors, back, strict=True):
        size = np.abs(row)
        step = size.max(initial=0) / 127
        threshold = np.sort(size)[-codec.kept]
        assert np.count_nonzero(kept) <= codec.kept
        assert (np.abs(row - kept)[size > threshold] <= 0.5 * step * (1 + 1e-5)).all()
        assert (np.abs(row - kept) <= np.maximum(threshold, 0.5 * step) * (1 + 1e-5)).all()


def test_pruning_halves_and_more_is_smaller_than_bytes() -> None:
    assert [Pruned(384, percent).code_size for percent in (50, 70, 90)] == [244, 167, 90]
    assert Pruned(3, 99).kept == 1
