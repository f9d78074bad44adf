"""Plans with a transform: what each learns, and that index, refinement, saving and range search go through it rightly."""

from __future__ import annotations

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import NotSupportedError, ParameterError, VectorError
from nearkin.metrics import INNER_PRODUCT, L2
from nearkin.plans import parse_plan
from nearkin.registry import default_registry
from nearkin_plugins.faiss_codecs import ProductQuantizer
from nearkin_plugins.projections import OPQ, PCA, RandomRotation

N, DIM = 600, 16


def rows(n: int = N, seed: int = 0) -> np.ndarray:
    """Rows that spread over few directions, far from the origin."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(DIM, DIM)))[0]
    return (5 + rng.normal(size=(n, DIM)) * np.geomspace(4, 0.05, DIM) @ turn).astype(np.float32)


def brute_force(queries: np.ndarray, vectors: np.ndarray, k: int, metric: str = "euclidean") -> np.ndarray:
    measure = default_registry().make("metric", metric)
    return np.sort(measure.distances(queries, vectors), axis=1)[:, :k]


def test_pca_keeps_as_much_of_the_spread_as_the_svd_of_centred_rows():
    low = PCA(DIM, D=4)
    low.train(rows(), space=L2, codec=None)
    centred = rows().astype(np.float64) - rows().astype(np.float64).mean(axis=0)
    best = np.linalg.svd(centred, compute_uv=False)[:4]
    kept = low.apply(rows()).astype(np.float64)
    kept -= kept.mean(axis=0)
    np.testing.assert_allclose(np.linalg.svd(kept, compute_uv=False), best, rtol=1e-4)


def test_pca_of_products_keeps_the_mean_that_pca_of_distances_may_drop():
    flat = np.zeros((400, DIM), dtype=np.float32)
    flat[:, 0] = 10.0  # all rows share it: no distance depends on it, and every product does
    flat[:, 1:] = np.random.default_rng(0).normal(size=(400, DIM - 1))
    by_distance, by_product = PCA(DIM, D=1), PCA(DIM, D=1)
    by_distance.train(flat, space=L2, codec=None)
    by_product.train(flat, space=INNER_PRODUCT, codec=None)
    assert np.abs(by_product.matrix[0, 0]) > 0.99
    assert np.abs(by_distance.matrix[0, 0]) < 0.1


@pytest.mark.parametrize("make", [RandomRotation, OPQ])
def test_a_rotation_changes_no_distance(make):
    turn = make(DIM)
    turn.train(rows(), space=L2, codec=ProductQuantizer(DIM, 4))
    np.testing.assert_allclose(turn.matrix @ turn.matrix.T, np.eye(DIM), atol=1e-5)


def test_opq_loses_less_than_pq_alone():
    def error(of: np.ndarray) -> float:
        codec = ProductQuantizer(DIM, 4)
        codec.train(of)
        return float(((codec.decode(codec.encode(of)) - of) ** 2).sum(axis=1).mean())

    turn = OPQ(DIM)
    turn.train(rows(), space=L2, codec=ProductQuantizer(DIM, 4))
    assert error(turn.apply(rows())) < 0.8 * error(rows())


def test_rotations_depend_on_the_seed_alone():
    turns = [RandomRotation(DIM) for _ in range(3)]
    for turn, seed in zip(turns, (1, 1, 2), strict=True):
        turn.train(rows(), space=L2, codec=None, seed=seed)
    assert np.array_equal(turns[0].matrix, turns[1].matrix)
    assert not np.array_equal(turns[0].matrix, turns[2].matrix)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner-product", "sqeuclidean"])
@pytest.mark.parametrize(
    "plan",
    [
        "pca5,flat",
        "pca5,ivf8",
        "pca5,hnsw8",
        "pca8,ivf8,pq4",
        "opq,ivf8,pq4",
        "pca8,flat,pruned50",
        "pca8,ivf8,pruned50",
    ],
)
def test_full_re_ranking_on_float32_is_exact(plan: str, metric: str) -> None:
    mine = nk.build(rows(), metric=metric, plan=f"{plan},refine-f32")
    effort = {"rerank": N} | ({"nprobe": 8} if "ivf" in plan else {}) | ({"ef_search": N} if "hnsw" in plan else {})
    found = mine.search(rows(20, seed=1), 10, **effort)
    np.testing.assert_allclose(found.distances, brute_force(rows(20, seed=1), rows(), 10, metric), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("plan", ["rotate,flat", "pca16,ivf8", "pca16,hnsw8"])
def test_a_transform_that_drops_nothing_finds_everything(plan: str) -> None:
    mine = nk.build(rows(), plan=plan)
    effort = {"nprobe": 8} if "ivf" in plan else {"ef_search": N} if "hnsw" in plan else {}
    found = mine.search(rows(20, seed=1), 10, **effort)
    np.testing.assert_allclose(found.distances, brute_force(rows(20, seed=1), rows(), 10), rtol=1e-3)


def test_values_without_refinement_are_those_of_the_projected_rows():
    mine = nk.build(rows(), plan="pca3,flat")
    low = PCA(DIM, D=3)
    low.train(rows(), space=L2, codec=None)
    expected = brute_force(low.apply(rows(20, seed=1)), low.apply(rows()), 10)
    np.testing.assert_allclose(mine.search(rows(20, seed=1), 10).distances, expected, rtol=1e-3)


@pytest.mark.parametrize(
    "plan",
    [
        "pca5,ivf8,int8,refine-f16",
        "opq,ivf8,pq4",
        "pca6,flat,pruned50,refine-f32",
        "pca6,hnsw8",
        "ivf8,rabitq,refine-f16",
    ],
)
def test_a_saved_collection_answers_as_before_and_goes_on(plan: str, tmp_path) -> None:
    mine = nk.build(rows(), plan=plan)
    mine.save(tmp_path / "saved")
    before = mine.search(rows(20, seed=1), 10)
    with nk.open(tmp_path / "saved") as again:
        assert again.plan == mine.plan
        after = again.search(rows(20, seed=1), 10)
        assert np.array_equal(before.ids, after.ids)
        assert np.array_equal(before.distances, after.distances)
        again.add(rows(50, seed=2))
        again.delete([0, 1, 2])
        again.optimize()
        assert len(again) == N + 47
        assert not np.isin(again.search(rows(20, seed=1), 10).ids, [0, 1, 2]).any()


@pytest.mark.parametrize("plan", ["pca8,flat", "pca8,ivf8,refine-f32", "flat,rabitq", "ivf8,pruned50"])
def test_a_range_search_returns_nothing_that_is_farther(plan: str) -> None:
    mine = nk.build(rows(), plan=plan, search={"nprobe": 8} if "ivf" in plan else None)
    queries = rows(20, seed=1)
    true = default_registry().make("metric", "euclidean").distances(queries, rows())
    radius = float(np.quantile(true, 0.05))
    found = mine.range_search(queries, radius)
    for query, hits in enumerate(found):
        assert all(true[query, hit.id] <= radius * (1 + 1e-5) for hit in hits)
    share = sum(len(hits) for hits in found) / int((true <= radius).sum())
    assert share > 0.9


def test_the_plan_with_its_numbers_filled_in_names_the_transform():
    assert nk.build(rows(), plan="pca,ivf,pq,refine-f16").plan == "pca3,ivf24,pq1x4,refine-f16"
    assert nk.build(rows(), plan="surrogate:space=l2,pca8,ivf8").plan == "surrogate:space=l2,pca8,ivf8"
    assert nk.build(rows(), plan="flat,rabitq").plan == "flat,rabitq"


def test_plans_are_read_and_written_alike():
    registry = default_registry()
    texts = ("pca64,ivf,pq,refine-f16", "opq,ivf1024,pq96", "rotate,flat,int4", "surrogate,pca8,ivf,pq")
    for text in (*texts, "pca8,faiss:IVF4,PQ4x4fs", "surrogate,faiss:PCA4,Flat"):
        plan = parse_plan(text, registry)
        assert parse_plan(str(plan), registry) == plan


def test_a_transform_before_a_faiss_string_can_be_written_as_well_as_made(tmp_path):
    mine = nk.build(rows(), plan="pca8,faiss:IVF4,Flat")
    assert mine.plan == "pca8,faiss:IVF4,Flat"
    mine.save(tmp_path / "saved")
    with nk.open(tmp_path / "saved") as again:
        assert np.array_equal(again.search(rows(20, seed=1), 5).ids, mine.search(rows(20, seed=1), 5).ids)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("pca4,faiss:", "has no faiss factory string after the colon"),
        ("pca4", "has a transform and no index"),
        ("pca4,pca4,flat", "position 5: 'pca4' is the name of a transform, and after the transform comes an index"),
        ("flat,pca4", "'pca4' is the name of a transform, and after the index comes a codec"),
        ("pca4,int8", "'int8' is the name of a codec, and after the transform comes an index"),
        ("pca99,flat", "pca cannot keep 99 of 16 columns; use at most pca16"),
        ("pca0,flat", "pca has D=0"),
        ("opq5,ivf8,pq4", "M=5 does not divide 16 columns"),
        ("pca4,surrogate,ivf,pq", "surrogate compares the rows as they are, pca4 goes with the index that it wraps"),
        ("pca4,flat,refine-int8", "refine-int8 keeps 16 bytes a row, no more than f32 (16)"),
        ("pca4,", "position 5: an empty part, the name of an index expected"),
    ],
)
def test_plans_that_make_no_sense_are_refused(plan: str, message: str) -> None:
    with pytest.raises((ParameterError, NotSupportedError)) as error:
        nk.build(rows(), plan=plan)
    assert message in str(error.value)


def test_a_refinement_keeps_the_order_of_the_metric_too():
    """Signs around a centre decode to negative values, and a distribution has none."""
    shares = np.abs(rows())
    with pytest.raises(
        NotSupportedError, match="rabitq keeps the order of inner-product, l2, not of a compiled formula"
    ) as error:
        nk.build(shares, metric="jensen-shannon", plan="flat,pq1x4,refine-rabitq")
    assert error.value.hint is not None
    nk.build(shares, metric="jensen-shannon", plan=error.value.hint.removeprefix("nearest legal plan: "))
    assert len(nk.build(shares, plan="flat,pq1x4,refine-rabitq")) == N


def test_other_metrics_refuse_transforms_and_name_what_serves():
    with pytest.raises(NotSupportedError, match="pca4 keeps the order of inner-product, l2, not of") as error:
        nk.build(rows(), metric="manhattan", plan="pca4,ivf8")
    assert error.value.hint is not None
    nk.build(rows(), metric="manhattan", plan=error.value.hint.removeprefix("nearest legal plan: "))


@pytest.mark.parametrize("plan", ["opq,flat,pq4", "opq,flat", "opq2,ivf2,int8", "opq,flat,pruned50"])
@pytest.mark.parametrize("columns", [4, DIM])
def test_too_few_rows_for_a_rotation_are_refused_before_any_work(plan: str, columns: int):
    with pytest.raises(VectorError, match="needs at least 16 rows to train, got 10"):
        nk.build(rows(10)[:, :columns].copy(), plan=plan)
    assert len(nk.build(rows(16)[:, :columns].copy(), plan=plan)) == 16


@pytest.mark.parametrize(("plan", "copies"), [("rotate,flat,int8", 2), ("rotate,flat,pruned50", 1)])
def test_every_copy_of_the_matrix_is_counted(plan: str, copies: int) -> None:
    """faiss copies the matrix that rows are checked with before they reach it."""
    mine = nk.build(rows(), plan=plan)
    assert mine.allocated_bytes()["transform"] == mine.predicted_bytes()["transform"] == copies * 4 * DIM * DIM


def test_half_precision_looks_at_what_comes_out():
    """Each value fits into half precision, and their sum along one direction does not."""
    large = np.full((100, DIM), 60_000, dtype=np.float32)
    large[:, 0] *= np.linspace(-1, 1, 100)
    with pytest.raises(VectorError, match="f16 holds values up to 65,504"):
        nk.build(large, plan="pca2,flat,f16", metric="inner-product")
