"""Indexes over faiss: the same answer in every batch, masks, full effort, state, bytes; and the escape to factory strings."""

from __future__ import annotations

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import NotSupportedError, ParameterError, PluginContractError, VectorError
from nearkin.indexes import Found, Index, Mask
from nearkin.plans import make_index, parse_plan
from nearkin.registry import default_registry
from nearkin_plugins import faiss_factory
from nearkin_plugins.faiss_exact_l2 import below_blas

EFFORT = {"flat": {}, "ivf": {"nprobe": 8}, "hnsw": {"ef_search": 10_000}}
PLANS = (
    "flat",
    "flat,f16",
    "flat,pq4x4",
    "flat,pq4x8",
    "ivf8",
    "ivf8,int8",
    "ivf8,pq4x4",
    "hnsw8",
    "hnsw8,pq4x4",
    "hnsw8,f16",
)
REFINED = ("flat,pq4x4,refine-f32", "ivf8,pq4x4,refine-f16", "hnsw8,int8,refine-f32", "ivf8,pq4x8,refine-int8")


def rows(n: int = 500, dim: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def built(plan: str, vectors: np.ndarray, metric: str = "euclidean") -> Index:
    registry = default_registry()
    index = make_index(
        parse_plan(plan, registry), registry.make("metric", metric), vectors.shape[1], registry, rows=len(vectors)
    )
    index.train(vectors)
    index.add(vectors)
    return index


def effort(plan: str, n: int = 500) -> dict[str, int]:
    return {**EFFORT[plan.split(",")[0].rstrip("0123456789")], **({"rerank": n} if "refine" in plan else {})}


def squared(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return ((queries[:, None].astype(np.float64) - vectors[None].astype(np.float64)) ** 2).sum(axis=2)


# ---- batches -----------------------------------------------------------------------------------------------------------

FAR = {
    "around the origin": lambda rng, n, dim: rng.normal(size=(n, dim)),
    "far from it": lambda rng, n, dim: rng.normal(size=(n, dim)) + 1000,
    "two far clusters": lambda rng, n, dim: rng.choice([-1000, 1000], (n, 1)) + rng.normal(scale=0.01, size=(n, dim)),
    "clusters far from each other": lambda rng, n, dim: (
        rng.normal(scale=500, size=(5, dim))[rng.integers(0, 5, n)] + rng.normal(scale=0.1, size=(n, dim))
    ),
}


@pytest.mark.parametrize("place", FAR)
@pytest.mark.parametrize("plan", ["flat", "ivf8", "hnsw8", "flat,pq64x4,refine-f32"])
def test_the_size_of_a_batch_changes_nothing(plan, place):
    """Not even where faiss goes through BLAS: from 128,000 values in a batch of queries on."""
    dim = 256
    vectors = FAR[place](np.random.default_rng(0), 520, dim).astype(np.float32)
    assert 19 < below_blas(dim) < 520
    mine = nk.build(vectors, plan=plan)
    params = effort(plan, 520)
    whole = mine.search(vectors, 5, **params)
    assert (whole.distances[:, 0] == 0).all()
    for size in (1, 19, 20, below_blas(dim), below_blas(dim) + 1):
        part = mine.search(vectors[:size], 5, **params)
        assert part.distances.tolist() == whole.distances[:size].tolist()
        assert part.ids.tolist() == whole.ids[:size].tolist()
    if plan != "flat,pq64x4,refine-f32":
        true = np.sort(np.sqrt(squared(vectors, vectors)), axis=1)[:, :5]
        np.testing.assert_allclose(whole.distances, true, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("place", FAR)
@pytest.mark.parametrize("plan", ["flat", "ivf8", "hnsw8"])
def test_a_range_holds_every_row_inside_in_a_batch_of_any_size(plan, place):
    dim = 256
    vectors = FAR[place](np.random.default_rng(1), 520, dim).astype(np.float32)
    true = np.sqrt(squared(vectors, vectors))
    limit = float(np.median(np.sort(true, axis=1)[:, 3]))
    found = nk.build(vectors, plan=plan).range_search(vectors, limit, **effort(plan))
    surely, perhaps = true <= limit * (1 - 1e-6), true <= limit * (1 + 1e-6)
    got = np.zeros_like(surely)
    got[np.repeat(np.arange(520), found.counts), found.positions] = True
    assert not (surely & ~got).any()
    assert not (got & ~perhaps).any()


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "sqeuclidean", "manhattan", "chebyshev", "inner-product"])
@pytest.mark.parametrize("plan", ["flat", "ivf8", "hnsw8"])
def test_ranges_under_every_metric(metric, plan):
    vectors = rows()
    mine = nk.build(vectors, metric=metric, plan=plan)
    true = mine.metric.distances(vectors[:30], vectors)
    for share in (0.01, 0.2):
        limit = float(np.quantile(true, share))
        found = mine.range_search(vectors[:30], limit, **effort(plan))
        got = np.zeros_like(true, dtype=bool)
        got[np.repeat(np.arange(30), found.counts), found.positions] = True
        tiny = 1e-5 * max(1, abs(limit))
        assert not ((true <= limit - tiny) & ~got).any()
        assert not (got & (true > limit + tiny)).any()
        assert (np.diff(found.distances)[np.diff(np.repeat(np.arange(30), found.counts)) == 0] >= 0).all()


# ---- masks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [0, 1, 3, 250, 499, 500])
@pytest.mark.parametrize("plan", [*PLANS, *REFINED])
def test_masks(plan, allowed):
    vectors = rows()
    index = built(plan, vectors)
    mask = Mask(np.isin(np.arange(500), np.random.default_rng(allowed).permutation(500)[:allowed]))
    found = index.search(vectors[:15], 10, mask=mask, params=effort(plan))
    positions, distances = found
    reached = positions >= 0
    assert (reached.sum(axis=1) == min(10, allowed)).all()
    assert mask.allowed[positions[reached]].all()
    assert np.isposinf(distances[~reached]).all()
    assert all(len(set(row[row >= 0].tolist())) == (row >= 0).sum() for row in positions)
    if plan in ("flat", "ivf8", "hnsw8", "flat,pq4x4,refine-f32") and allowed:
        true = np.sort(np.where(mask.allowed, squared(vectors[:15], vectors), np.inf), axis=1)[:, : min(10, allowed)]
        np.testing.assert_allclose(distances[:, : min(10, allowed)], true, rtol=1e-4, atol=1e-5)
    inside = index.range_search(vectors[:5], 1e9, mask=mask, params=effort(plan))
    assert np.diff(inside.limits).tolist() == [allowed] * 5
    assert mask.allowed[inside.positions].all()


@pytest.mark.parametrize("plan", ["flat", "ivf4", "hnsw8"])
@pytest.mark.parametrize("allowed", [0, 1, 60, 200])
def test_masks_on_packed_bits(plan, allowed):
    bits = np.random.default_rng(0).integers(0, 256, (200, 6), dtype=np.uint8)
    index = built(plan, bits, "hamming")
    mask = Mask(np.arange(200) < allowed)
    found = index.search(
        bits[-9:], 7, mask=mask, params={"ivf4": {"nprobe": 4}, "hnsw8": {"ef_search": 300}}.get(plan, {})
    )
    true = np.unpackbits(bits[-9:, None] ^ bits[None], axis=2).sum(axis=2).astype(float)
    true[:, allowed:] = np.inf
    assert found.distances.tolist() == [
        [*row[: min(7, allowed)], *[np.inf] * (7 - min(7, allowed))] for row in np.sort(true, axis=1).tolist()
    ]


# ---- hnsw --------------------------------------------------------------------------------------------------------------


def test_hnsw_at_full_effort_finds_what_its_graph_cannot_reach():
    """Equal rows fill each other's link lists, so that a walk seldom leaves them; a scan of the rows does not walk."""
    vectors = np.repeat(rows(4, 6), [300, 1, 1, 1], axis=0)
    mine = nk.build(vectors, plan="hnsw4")
    found = mine.search(vectors[-3:], 1, ef_search=303)
    assert found.ids[:, 0].tolist() == [300, 301, 302]
    assert (found.distances == 0).all()


def test_hnsw_answers_k_even_where_fewer_candidates_were_asked_for():
    mine = nk.build(rows(400), plan="hnsw8")
    assert mine.search(rows(5, seed=1), 50, ef_search=1).complete.all()
    refined = nk.build(rows(400), plan="hnsw8,int8,refine-f32")
    assert refined.search(rows(5, seed=1), 10, ef_search=1, rerank=60).complete.all()


def test_more_effort_finds_more():
    vectors, queries = rows(3000, 16), rows(50, 16, seed=1)
    truth = nk.exact_neighbours(vectors, queries, k=10)
    for plan, knob, values in (("hnsw4", "ef_search", (10, 40, 400)), ("ivf64", "nprobe", (1, 8, 64))):
        mine = nk.build(vectors, plan=plan)
        recalls = [
            nk.recall(mine.search(queries, 10, **{knob: each}).positions, truth.positions).mean() for each in values
        ]
        assert recalls == sorted(recalls)
        assert recalls[0] < recalls[-1]
        assert recalls[-1] > 0.95
    assert recalls[-1] == 1


def test_cells_asked_for_beyond_those_there_are():
    mine = nk.build(rows(), plan="ivf8")
    assert mine.search(rows(5), 3, nprobe=1000).ids.tolist() == mine.search(rows(5), 3, nprobe=8).ids.tolist()


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("ivf600", "ivf was asked for 600 cells, and there are only 500 rows to find them in; use nlist of at most 22"),
        ("ivf0", "ivf has nlist=0, at least 1 expected"),
        ("hnsw1", "hnsw has M=1, 2 to 512 expected"),
        ("hnsw600", "hnsw has M=600"),
        ("hnsw8:ef_construction=0", "ef_construction=0, at least 1 expected"),
    ],
)
def test_numbers_that_no_index_can_have(plan, said):
    with pytest.raises((ParameterError, VectorError), match=said):
        nk.build(rows(), plan=plan)


# ---- state, bytes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [*PLANS, *REFINED, "faiss:IVF4,PQ4x4fs", "faiss:Flat"])
def test_an_index_restored_answers_the_same(plan):
    vectors = rows()
    index = built(plan, vectors)
    registry = default_registry()
    other = make_index(parse_plan(plan, registry), registry.make("metric", "euclidean"), 8, registry, rows=500)
    other.restore(index.state())
    assert (other.n, other.label, other.is_trained) == (500, index.label, True)
    assert other.allocated() == index.allocated()
    assert other.resolve({}) == index.resolve({})
    for each in (index.search(vectors[:40], 7), other.search(vectors[:40], 7)):
        np.testing.assert_array_equal(each.positions, index.search(vectors[:40], 7).positions)
        np.testing.assert_array_equal(each.distances, index.search(vectors[:40], 7).distances)
    other.add(vectors[:3])
    assert other.search(vectors[:1], 2, params=None).positions.shape == (1, 2)
    assert other.n == 503


@pytest.mark.parametrize("n", [400, 3000])
@pytest.mark.parametrize(
    "plan", [*PLANS, *REFINED, "ivf", "hnsw32", "flat,int8", "ivf,pq,refine-f16", "flat,pq1x4", "ivf8,pq8x4"]
)
def test_bytes_allocated_are_those_predicted(plan, n):
    """Exact for codes, codebooks, centroids and refinement; the graph and half-filled blocks of fast-scan by chance."""
    index = built(plan, rows(n))
    predicted, allocated = index.cost(n), index.allocated()
    assert set(predicted) == set(allocated)
    for part, size in allocated.items():
        by_chance = part == "graph" or (part == "codes" and "ivf" in plan and "pq" in plan and "x8" not in plan)
        slack = 0.05 * size + 32 * 8 * 8 if by_chance else 0
        assert abs(size - predicted[part]) <= slack, part


def test_bytes_of_a_factory_string_are_near_what_was_predicted():
    for factory in ("Flat", "SQ8", "IVF8,Flat", "PQ4x8np"):
        index = built(f"faiss:{factory}", rows(3000))
        assert index.allocated()["index"] == pytest.approx(index.cost(3000)["index"], rel=0.02, abs=10_000)


def test_search_parameters_are_not_kept_from_when_there_were_fewer_rows():
    index = built("flat,pq1x4,refine-f32", rows(20))
    index.search(rows(1), 1, params={"rerank": 1000})
    more = rows(2000, seed=4)
    index.add(more)
    found = index.search(more[:50], 1, params={"rerank": 5000})
    assert (found.distances == 0).all()


# ---- the escape to factory strings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "params", "least"),
    [
        ("Flat", {}, 1.0),
        ("IVF8,Flat", {"nprobe": 8}, 1.0),
        ("OPQ4,IVF8,PQ4x4fs,RFlat", {"nprobe": 8, "k_factor": 100}, 0.95),
        ("HNSW16,Flat", {"ef_search": 400}, 0.99),
        ("SQ8", {}, 0.9),
        ("PCA4,Flat", {}, 0.2),
    ],
)
def test_good_strings_work(factory, params, least):
    vectors, queries = rows(600), rows(30, seed=9)
    mine = nk.build(vectors, plan=f"faiss:{factory}")
    truth = nk.exact_neighbours(vectors, queries, k=10)
    found = mine.search(queries, 10, **params)
    assert nk.recall(found.positions, truth.positions).mean() >= least
    assert mine.plan == f"faiss:{factory}"
    assert set(params) == set(mine.search_defaults)
    mine.delete([0, 1, 2])
    again = mine.search(queries, 10, **params)
    assert not np.isin(again.ids, [0, 1, 2]).any()
    assert again.complete.all()


def test_a_string_under_cosine_and_inner_product():
    vectors = rows(300)
    for metric in ("cosine", "inner-product"):
        mine = nk.build(vectors, plan="faiss:Flat", metric=metric)
        truth = nk.exact_neighbours(vectors, vectors[:9], metric=metric, k=4)
        found = mine.search(vectors[:9], 4)
        np.testing.assert_allclose(found.distances, truth.distances, atol=1e-5)


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("Nonsense", "faiss refuses the factory string 'Nonsense'"),
        ("IVF,Flat", "faiss refuses"),
        ("PQ3", "faiss refuses the factory string 'PQ3'"),  # 3 does not divide 8 columns
        ("Fl\x00at", "is no faiss factory string"),
        ("Flat\n", None),
        ("\ud800", "is no faiss factory string"),
        ("-c", "faiss refuses"),
        ("IDMap,Flat", "faiss refuses"),  # it takes no rows without ids
    ],
)
def test_nonsense_is_refused_before_any_work(factory, said):
    if said is None:
        assert nk.build(rows(20), plan=f"faiss:{factory}").plan == "faiss:Flat"
        return
    with pytest.raises(ParameterError, match=said) as caught:
        nk.build(rows(20), plan=f"faiss:{factory}")
    assert "\n" not in str(caught.value)


def test_strings_without_a_factory():
    for plan in ("faiss:", "faiss:  "):
        with pytest.raises(ParameterError, match="no faiss factory string after the colon; for example faiss:HNSW32"):
            nk.build(rows(20), plan=plan)


@pytest.mark.parametrize(("factory", "signal"), [("HNSW0,Flat", 6), ("PQ4x0", 8)])
def test_a_string_that_ends_the_process_is_refused(factory, signal):
    """faiss asserts on the one and divides by zero on the other; this process lives and says so."""
    with pytest.raises(
        NotSupportedError, match=rf"faiss crashes on .* \(exit code -{signal} on 2048 rows\); use a plan"
    ):
        nk.build(rows(20), plan=f"faiss:{factory}")


def test_any_death_of_the_child_is_a_refusal(monkeypatch):
    monkeypatch.setattr(faiss_factory, "_PROBE", "import os; os.abort()")
    faiss_factory.probe.cache_clear()
    with pytest.raises(NotSupportedError, match=r"faiss crashes on the factory string 'SQ4'"):
        nk.build(rows(20), plan="faiss:SQ4")
    faiss_factory.probe.cache_clear()


def test_a_string_that_never_answers_is_refused(monkeypatch):
    monkeypatch.setattr(faiss_factory, "_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(faiss_factory, "PROBE_SECONDS", 0.3)
    faiss_factory.probe.cache_clear()
    with pytest.raises(NotSupportedError, match=r"did not finish 'SQ4' on 2048 rows in 0.3 s"):
        nk.build(rows(20), plan="faiss:SQ4")
    faiss_factory.probe.cache_clear()


def test_a_string_that_answers_something_else_is_refused():
    """LSH of one bit: every row is as near as every other."""
    with pytest.raises(ParameterError, match=r"share .*% with brute force"):
        nk.build(rows(100), plan="faiss:LSH1")


def test_a_metric_that_strings_do_not_serve():
    with pytest.raises(NotSupportedError, match=r"does not serve metric manhattan.*nearest legal plan: "):
        nk.build(rows(20), plan="faiss:Flat", metric="manhattan")


def test_a_string_that_needs_more_rows_than_there_are():
    with pytest.raises(VectorError, match="needs at least 64 rows to train, got 40"):
        nk.build(rows(40), plan="faiss:IVF64,Flat")
    with pytest.raises(VectorError, match="faiss cannot train PQ4x8np on 40 rows"):
        nk.build(rows(40), plan="faiss:PQ4x8np")


def test_parameters_of_a_string_are_those_that_it_has():
    mine = nk.build(rows(100), plan="faiss:Flat")
    with pytest.raises(ParameterError, match="'nprobe' is not a search parameter of faiss: it takes none"):
        mine.search(rows(1), 1, nprobe=3)


# ---- what the base class keeps -----------------------------------------------------------------------------------------


def test_an_index_that_answers_another_shape_breaks_its_contract(monkeypatch):
    index = built("flat,int8", rows())
    short = Found(np.zeros((3, 1), np.int64), np.zeros((3, 1), np.float32))
    monkeypatch.setattr(type(index), "tidy", False)
    monkeypatch.setattr(index, "_search", lambda queries, k, mask, params: short)
    with pytest.raises(PluginContractError, match=r"answered 3 queries with arrays of shapes \(3, 1\)"):
        index.search(rows(3), 2)


@pytest.mark.parametrize("plan", ["flat", "ivf8", "hnsw8"])
def test_under_cosine_a_row_is_itself_in_a_batch_of_any_size(plan):
    vectors = 3 * rows(300, 48)
    vectors[7] *= 1e-25  # one odd row must not change how the others are scaled
    vectors[8] *= 1e25
    mine = nk.build(vectors, metric="cosine", plan=plan)
    params = effort(plan)
    whole = mine.search(vectors, 4, **params)
    assert (whole.distances[:, 0] == 0).all()
    for query in range(0, 300, 7):
        single = mine.search(vectors[query : query + 1], 4, **params)
        assert single.distances[0].tolist() == whole.distances[query].tolist()


@pytest.mark.parametrize("plan", ["flat,pq3", "ivf4,pq3", "hnsw4,pq3", "ivf4,pq3,refine-f16"])
def test_rows_that_are_all_equal_have_distances(plan: str) -> None:
    same = np.full((60, 6), 2, dtype=np.float32)
    asked = np.stack([same[0], same[0] + 1])
    found = nk.build(same, plan=plan).search(asked, 5)
    np.testing.assert_allclose(found.distances, np.repeat([[0], [6**0.5]], 5, axis=1), atol=5e-3)


@pytest.mark.parametrize("plan", ["flat,pq3", "ivf4,pq3", "ivf4,pq3,refine-f16"])
def test_a_query_of_zeros_is_at_0_from_everything_under_inner_product(plan: str) -> None:
    rows = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    found = nk.build(rows, metric="inner-product", plan=plan, search={"nprobe": 4} if "ivf" in plan else None).search(
        np.zeros((2, 6), dtype=np.float32), 5
    )
    assert (found.positions >= 0).all()
    np.testing.assert_allclose(found.distances, 0, atol=1e-6)
