"""The faiss index behind a collection answers, once its values are finished, what the collection answers."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

import nearkin as nk
from nearkin import errors

ROWS = np.random.default_rng(0).normal(size=(600, 16)).astype(np.float32)
QUERIES = ROWS[:30] + 0.1
NAMES = [f"row {number}" for number in range(len(ROWS))]
PLANS = [
    "flat",
    "flat,pq8x4",
    "ivf16",
    "ivf16,pq8x4",
    "hnsw16",
    "hnsw16,int8",
    "ivf16,int8,refine-f16",
    "hnsw16,int8,refine-f32",
]


def answers_alike(mine, queries):
    index = mine.to_faiss()
    values, positions = index.search(mine.metric.prepare_queries(queries), 10)
    if index.metric_type == faiss.METRIC_INNER_PRODUCT:
        values = -values
    found = mine.search(queries, 10)
    assert np.array_equal(positions, found.positions)
    assert np.array_equal(mine.ids[positions], found.ids)
    np.testing.assert_allclose(mine.metric.finish(values.astype(np.float32)), found.distances, rtol=1e-5, atol=1e-6)
    return index


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner-product", "mahalanobis"])
def test_reductions(metric, plan):
    if metric == "inner-product" and plan == "hnsw16":
        pytest.skip("a walk by inner products may end elsewhere from one search to the next")
    answers_alike(nk.build(ROWS, metric=metric, plan=plan, ids=NAMES, threads=1), QUERIES)


def test_a_factory_string():
    index = answers_alike(nk.build(ROWS, metric="cosine", plan="faiss:IVF8,PQ8x4fs", search={"nprobe": 3}), QUERIES)
    assert index.nprobe == 3


@pytest.mark.parametrize("plan", ["flat", "ivf16", "hnsw16"])
@pytest.mark.parametrize("metric", ["manhattan", "chebyshev"])
def test_metrics_of_faiss(metric, plan):
    answers_alike(nk.build(ROWS, metric=metric, plan=plan, ids=NAMES), QUERIES)


@pytest.mark.parametrize("plan", ["flat", "ivf8"])
def test_packed_bits(plan):
    bits = np.random.default_rng(0).permutation(1 << 16)[:500].astype("<u8").view(np.uint8).reshape(500, 8)
    mine = nk.build(bits, metric="hamming", plan=plan)
    values, _ = mine.to_faiss().search(bits[:20], 5)
    assert np.array_equal(mine.metric.finish(values.astype(np.float32)), mine.search(bits[:20], 5).distances)


@pytest.mark.parametrize("chosen", [3, 16])
def test_search_parameters_are_those_of_the_collection(chosen):
    mine = nk.build(ROWS, plan="ivf16", search={"nprobe": chosen})
    assert answers_alike(mine, QUERIES).nprobe == chosen
    walk = nk.build(ROWS, plan="hnsw16", search={"ef_search": 30 + chosen}).to_faiss()
    assert walk.hnsw.efSearch == 30 + chosen
    refined = nk.build(ROWS, plan="ivf16,int8,refine-f16", search={"nprobe": 2, "rerank": 10 * chosen}).to_faiss()
    assert refined.k_factor == chosen
    assert faiss.downcast_index(refined.base_index).nprobe == 2


def test_an_opened_folder_and_a_copy(tmp_path):
    nk.build(ROWS, plan="ivf16,pq8x4", ids=NAMES).save(tmp_path / "mine")
    with nk.open(tmp_path / "mine", readonly=True) as mine:
        index = answers_alike(mine, QUERIES)
        copy = faiss.clone_index(index)
        copy.reset()
        assert index.ntotal == 600
        answers_alike(mine, QUERIES)


@nk.metric("my-squares")
def squares(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += (a[i] - b[i]) ** 2
    return total


@pytest.mark.parametrize(
    ("metric", "plan"),
    [
        (squares, "flat"),
        (squares, "ivf8"),
        ("manhattan", "flat,int8"),
        ("manhattan", "surrogate:space=l2,ivf8,pq8x4"),
        ("euclidean", "flat,pq8x4,refine-pq8x8"),
    ],
)
def test_without_a_faiss_index_in_the_metrics_space_the_error_says_so(metric, plan):
    mine = nk.build(ROWS, metric=metric, plan=plan, search={})
    if "surrogate" in plan and "surrogate" not in mine.plan:
        mine = nk.build(ROWS, metric=metric, plan=plan, search={"rerank": 50})
    with pytest.raises(errors.NotSupportedError, match="there is no faiss index"):
        mine.to_faiss()


def test_rows_that_it_does_not_know_or_should_not_find(tmp_path):
    mine = nk.build(ROWS, plan="ivf16")
    mine.add(ROWS[:2])
    with pytest.raises(errors.StateError, match=r"2 rows are not in the index yet; call optimize"):
        mine.to_faiss()
    mine.optimize()
    assert mine.to_faiss().ntotal == 602
    mine.delete([5])
    with pytest.raises(errors.StateError, match=r"1 rows were deleted"):
        mine.to_faiss()
    mine.close()
    with pytest.raises(errors.ClosedError):
        mine.to_faiss()
