"""Re-ranking in numpy, for pairs that no library re-ranks itself."""

from __future__ import annotations

import numpy as np
import pytest

import nearkin as nk
from nearkin.codecs import Float32
from nearkin.errors import ParameterError
from nearkin.flat_index import FlatIndex
from nearkin.indexes import Layout, Mask
from nearkin.metrics import L2
from nearkin.refinement import RefinedIndex
from nearkin_plugins.faiss_codecs import Float16, Int8, ProductQuantizer

N, DIM = 400, 8


def rows(seed: int = 0, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def refined(refinement=Float32, n: int = N) -> RefinedIndex:
    layout = Layout(L2, DIM, ProductQuantizer(DIM, 2, 4), refinement(DIM))
    inner = FlatIndex(Layout(L2, DIM, ProductQuantizer(DIM, 2, 4)))
    index = RefinedIndex(layout, inner)
    index.train(rows())
    index.add(rows(n=n))
    return index


def true() -> np.ndarray:
    return ((rows(1, 20)[:, None].astype(float) - rows()[None]) ** 2).sum(axis=2)


def test_all_candidates_re_ranked_on_float32_is_exact():
    found = refined().search(rows(1, 20), 5, params={"rerank": N})
    np.testing.assert_allclose(found.distances, np.sort(true(), axis=1)[:, :5], rtol=1e-5)
    assert found.positions.tolist() == np.argsort(true(), axis=1)[:, :5].tolist()


@pytest.mark.parametrize("refinement", [Float16, Int8])
def test_the_distances_are_those_to_the_finer_copy(refinement):
    codec = refinement(DIM)
    codec.train(rows())
    copy = codec.decode(codec.encode(rows()))
    expected = np.sort(((rows(1, 20)[:, None].astype(float) - copy[None]) ** 2).sum(axis=2), axis=1)[:, :5]
    found = refined(refinement).search(rows(1, 20), 5, params={"rerank": N})
    np.testing.assert_allclose(found.distances, expected, rtol=1e-5)


def test_only_the_candidates_asked_for_are_re_ranked():
    index = refined()
    coarse = index.inner.search(rows(1, 20), 30)
    found = index.search(rows(1, 20), 5, params={"rerank": 30})
    for query in range(20):
        among = coarse.positions[query]
        best = among[np.argsort(true()[query, among], kind="stable")[:5]]
        assert found.positions[query].tolist() == best.tolist()
    few = index.search(rows(1, 20), 5, params={"rerank": 1})  # at least k candidates, whatever was asked
    assert (few.positions >= 0).all()


def test_masks_and_padding():
    mask = Mask(np.arange(N) < 3)
    found = refined().search(rows(1, 4), 6, mask=mask, params={"rerank": N})
    assert (np.sort(found.positions[:, :3], axis=1) == [0, 1, 2]).all()
    assert (found.positions[:, 3:] == -1).all()
    assert np.isposinf(found.distances[:, 3:]).all()


def test_what_it_says_of_itself():
    index = refined()
    assert index.cost(N) == {"codes": N, "codebooks": 4 * DIM * 16, "refinement": 4 * DIM * N}
    assert index.allocated() == index.cost(N)
    assert index.train_rows() == 16
    assert set(index.knobs) == {"rerank"}
    assert index.resolve({}) == {"rerank": 100}
    assert index.label == "flat"
    with pytest.raises(ParameterError, match="needs a refinement codec"):
        RefinedIndex(Layout(L2, DIM, Float32(DIM)), index.inner)


def test_state():
    index, other = (
        refined(Int8),
        RefinedIndex(
            Layout(L2, DIM, ProductQuantizer(DIM, 2, 4), Int8(DIM)),
            FlatIndex(Layout(L2, DIM, ProductQuantizer(DIM, 2, 4))),
        ),
    )
    other.restore(index.state())
    one, two = (each.search(rows(1, 20), 5) for each in (index, other))
    np.testing.assert_array_equal(one.positions, two.positions)
    np.testing.assert_array_equal(one.distances, two.distances)


@pytest.mark.parametrize("metric", ["manhattan", "chebyshev"])
def test_a_plan_that_only_numpy_re_ranks(metric, tmp_path):
    mine = nk.build(rows(), metric=metric, plan="flat,pq4x4,refine-f32")
    exact = mine.exact_search(rows(1, 20), 5)
    found = mine.search(rows(1, 20), 5, rerank=N)
    np.testing.assert_allclose(found.distances, exact.distances, rtol=1e-6)
    mine.save(tmp_path / "a")
    with nk.open(tmp_path / "a") as again:
        assert again.search(rows(1, 20), 5, rerank=N).ids.tolist() == found.ids.tolist()
        assert again.plan == mine.plan == "flat,pq4x4,refine-f32"
