"""Surrogate plans: candidates from another space, ranked by the metric; right at full effort, honest about what they reach."""

from __future__ import annotations

import math

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import NotSupportedError, ParameterError, VectorError
from nearkin.plans import parse_plan
from nearkin.registry import default_registry, load_registry
from nearkin.settings import load_settings
from nearkin_plugins.surrogate_spaces import SPACES, scaled

ROWS, QUERIES, K = 400, 20, 10


@nk.metric("trimmed", axioms={"non-negative", "identity", "symmetric"})
def trimmed(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += min(abs(a[i] - b[i]), 5.0)
    return total


@nk.metric("lopsided", axioms={"non-negative", "identity"})
def lopsided(a, b):
    """Not symmetric: what the row has more than the query counts double."""
    total = 0.0
    for i in range(a.shape[0]):
        total += max(a[i] - b[i], 2.0 * (b[i] - a[i]))
    return total


@nk.metric("own-hellinger", axioms={"non-negative", "identity", "symmetric", "triangle"})
def hellinger(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += (math.sqrt(abs(a[i])) - math.sqrt(abs(b[i]))) ** 2
    return math.sqrt(total)


@nk.metric("own-tanimoto", dtype="bits", axioms={"non-negative", "identity", "symmetric", "triangle"})
def tanimoto(a, b):
    both, only_a, only_b = nk.bit_counts(a, b)
    either = both + only_a + only_b
    return 1.0 - both / either if either > 0 else 0.0


@nk.metric("scrambled", axioms={"non-negative", "symmetric"})
def scrambled(a, b):
    """Near and far have nothing to do with where rows lie."""
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return abs(math.sin(1e5 * total))


class Scaled(nk.Metric):
    """A formula over rows that the metric prepares."""

    name = "scaled-l1"

    def prepare(self, vectors):
        return np.asarray(vectors * np.linspace(1, 3, vectors.shape[1], dtype=np.float32))

    @staticmethod
    def kernel(a, b):
        total = 0.0
        for i in range(a.shape[0]):
            total += abs(a[i] - b[i])
        return total

    def pairwise(self, queries, vectors):
        return super().pairwise(self.prepare(queries), self.prepare(vectors))


METRICS = {
    "trimmed": trimmed,
    "lopsided": lopsided,
    "tanimoto": tanimoto,
    "manhattan": "manhattan",
    "hamming": "hamming",
}


def data(metric, rows=ROWS, dim=16, seed=3):
    rng = np.random.default_rng(seed)
    if isinstance(metric, str) and metric:
        metric = default_registry().make("metric", metric)
    if getattr(metric, "dtype", "float32") == "bits":
        both = rng.integers(0, 256, size=(rows + QUERIES, dim), dtype=np.uint8)
        both[1::2] &= both[::2]
    else:
        both = rng.normal(scale=3, size=(rows + QUERIES, dim)).astype(np.float32)
        both = both[:, : len(getattr(metric, "columns", ())) or dim]
        if getattr(metric, "refuses_rows", False) and metric.refuses(both).any():  # amounts and shares are not negative
            both = np.abs(both)
    return both[:rows], both[rows:]


def assert_nearest(found, true):
    reached = np.take_along_axis(true, found.positions, axis=1)
    np.testing.assert_allclose(found.distances, reached, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(reached, np.sort(true, axis=1)[:, : reached.shape[1]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("keep_vectors", [True, False])
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", METRICS)
def test_at_full_effort_it_is_right_in_every_way_of_use(name, space, keep_vectors, tmp_path):
    metric = METRICS[name]
    rows, queries = data(metric)
    plan = f"surrogate:space={space},ivf4,pq8x4"
    if rows.dtype == np.uint8 and space == "root":
        with pytest.raises(NotSupportedError, match="not for packed bits"):
            nk.build(rows, metric=metric, plan=plan)
        return
    effort = {"nprobe": 4, "rerank": ROWS}
    mine = nk.build(rows, metric=metric, plan=plan, keep_vectors=keep_vectors, search=effort)
    assert mine.plan == plan
    true = mine.metric.distances(queries, rows)
    found = mine.search(queries, K, **effort)
    assert_nearest(found, true)
    assert_nearest(mine.search(queries, K, threads=2, **effort), true)
    assert ("rows" in mine.allocated_bytes()) is not keep_vectors
    if keep_vectors:
        limit = float(np.quantile(true, 0.05))
        sure = np.abs(true - limit) > 1e-4
        for query, hits in enumerate(mine.range_search(queries, limit, **effort)):
            reached = np.zeros(ROWS, dtype=bool)
            reached[[hit.id for hit in hits]] = True
            assert (reached == (true[query] <= limit))[sure[query]].all()
        mine.upsert(queries[:1], ids=[int(found.ids[0, 0])])
        assert mine.search(queries[:1], 1, **effort).ids[0, 0] == found.ids[0, 0]
    gone = np.unique(found.ids[1:, 0])
    mine.delete(gone.tolist())
    again = mine.search(queries[1:], K, **effort)
    assert again.complete.all()
    assert not np.isin(again.ids, gone).any()
    mine.save(tmp_path / "kept")
    fresh = {} if isinstance(metric, str) else {"metric": metric.fresh()}
    with nk.open(tmp_path / "kept", **fresh) as kept:
        np.testing.assert_array_equal(kept.search(queries[1:], K, **effort).ids, again.ids)
        assert kept.search_defaults == mine.search_defaults
        assert kept.plan == plan


@pytest.mark.parametrize("space", ["l2", "landmarks"])
@pytest.mark.parametrize("name", [spec.name for spec in default_registry().specs("metric")])
def test_every_metric_is_right_inside(name, space):
    metric = default_registry().make("metric", name)
    rows, queries = data(metric)
    effort = {"nprobe": 4, "rerank": ROWS}
    codec = "" if metric.columns else ",pq8x4"
    mine = nk.build(rows, metric=name, plan=f"surrogate:space={space},ivf4{codec}", search=effort)
    found = mine.search(queries, K)
    true = mine.metric.distances(queries, rows)
    reached = np.take_along_axis(true, found.positions, axis=1)
    scale = np.abs(true).max()
    np.testing.assert_allclose(found.distances, reached, rtol=1e-4, atol=1e-5 * scale)
    np.testing.assert_allclose(reached, np.sort(true, axis=1)[:, :K], rtol=1e-4, atol=1e-5 * scale)


def test_a_metric_that_prepares_its_rows():
    rows, queries = data("")
    mine = nk.build(rows, metric=Scaled(), plan="surrogate:space=l2,ivf4,pq8x4")
    weights = np.linspace(1, 3, 16)
    true = np.abs((queries[:, None] - rows[None]).astype(np.float64) * weights).sum(axis=2)
    assert_nearest(mine.search(queries, K, nprobe=4, rerank=ROWS), true)


def test_rows_that_came_in_several_blocks_and_lie_on_disk(tmp_path):
    rows, queries = data(trimmed)
    mine = nk.build(rows[:100], metric=trimmed, plan="surrogate:space=l2,flat")
    for start in range(100, ROWS, 100):
        mine.add(rows[start : start + 100])
    mine.optimize()
    true = mine.metric.distances(queries, rows)
    assert_nearest(mine.search(queries, K, rerank=ROWS), true)
    mine.save(tmp_path / "kept")
    with nk.open(tmp_path / "kept", metric=trimmed.fresh()) as kept:
        assert_nearest(kept.search(queries, K, rerank=ROWS), true)
        kept.add(queries)
        kept.optimize()
        assert kept.search(queries, 1, rerank=ROWS).ids.ravel().tolist() == list(range(ROWS, ROWS + QUERIES))


def test_rows_damaged_on_disk_are_not_ranked(tmp_path):
    rows, queries = data(trimmed)
    nk.build(rows, metric=trimmed, plan="surrogate:space=l2,flat").save(tmp_path / "kept")
    (file,) = (tmp_path / "kept" / "vectors").iterdir()
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with (
        nk.open(tmp_path / "kept", metric=trimmed.fresh()) as kept,
        pytest.raises(nk.errors.CorruptFileError, match="checksum"),
    ):
        kept.search(queries, K)


def test_the_space_is_the_one_that_serves():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(8, 0.2), size=3000).astype(np.float32)
    mine = nk.build(shares, metric=hellinger, plan="surrogate,flat")
    assert mine.notes[0].startswith("surrogate:space=root,flat: recall@10 1.000")
    rows, _ = data(tanimoto, rows=2000)
    mine = nk.build(rows, metric=tanimoto, plan="surrogate,ivf8,pq16x4")
    assert mine.notes[0].startswith("surrogate:space=")


@pytest.fixture(scope="module")
def hopeless():
    """A collection whose metric no space is close to, and no cells help."""
    rows = np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float32)  # more cells than are tried
    return rows, nk.build(rows, metric=scrambled, plan="surrogate,ivf,pq")


def test_where_no_surrogate_serves_it_falls_back_and_says_so(hopeless, tmp_path):
    rows, mine = hopeless
    assert mine.plan == "flat"
    first, ivf, second, flat = mine.notes
    assert "recall@10 0." in first
    assert "with 400 of the rows as queries" in first
    assert ivf == "that is below 0.95, so ivf is tried instead"
    assert second.startswith("ivf141: recall@10")
    assert flat.startswith("that is ")
    assert flat.endswith(", so flat is tried instead")
    queries = rows[:5] + 0.01
    assert_nearest(mine.search(queries, K), mine.metric.distances(queries, rows))
    mine.save(tmp_path / "kept")
    with nk.open(tmp_path / "kept", metric=scrambled.fresh()) as kept:
        assert kept.plan == "flat"
        np.testing.assert_array_equal(kept.search(queries, K).ids, mine.search(queries, K).ids)
        assert kept.predicted_bytes() == mine.predicted_bytes()


def test_a_space_or_parameters_chosen_by_hand_stay():
    rows = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    mine = nk.build(rows, metric=scrambled, plan="surrogate:space=l2,ivf,pq")
    assert mine.plan.startswith("surrogate:space=l2,ivf")
    assert len(mine.notes) == 1
    mine = nk.build(rows, metric=scrambled, plan="surrogate,ivf,pq", search={"nprobe": 2, "rerank": 20})
    assert mine.plan.startswith("surrogate:space=")
    assert mine.search_defaults == {"nprobe": 2, "rerank": 20}


def test_the_promised_recall_is_kept_on_held_out_rows():
    rng = np.random.default_rng(1)
    centres = rng.normal(scale=4, size=(40, 24))
    rows = (centres[rng.integers(0, 40, 8000)] + rng.normal(size=(8000, 24))).astype(np.float32)
    split = nk.hold_out(rows, 300)
    for promise in (0.9, 0.99):
        found = nk.measure(split.vectors, metric=trimmed, plan=f"surrogate:recall={promise}", queries=split.queries)
        assert found.recall.mean >= promise - 0.02
    assert ":recall=0.99," in found.plan


@pytest.mark.parametrize(
    ("plan", "error", "words"),
    [
        ("surrogate:space=l3,ivf", ParameterError, "has space='l3', one of auto, l2"),
        ("surrogate:recall=1,ivf", ParameterError, "has recall=1, a number between 0 and 1"),
        ("surrogate,int8", ParameterError, "position 10: 'int8' is the name of a codec"),
        ("surrogate,", ParameterError, "position 10: an empty part"),
        ("surrogate,ivf,pq,refine-f16", NotSupportedError, "re-ranks on the rows themselves, so refine-f16"),
        ("surrogate,surrogate,ivf", NotSupportedError, "so surrogate has no place inside it"),
        ("surrogate:space=l2,ivf,pq7x4", ParameterError, "pq"),
        ("surrogate,ivf500", VectorError, "only 400 rows"),
    ],
)
def test_plans_that_make_no_sense_are_refused(plan, error, words):
    rows, _ = data(trimmed)
    with pytest.raises(error, match=words):
        nk.build(rows, metric=trimmed, plan=plan)


def test_plans_are_read_and_written():
    registry = default_registry()
    plan = parse_plan("surrogate:space=cosine,ivf64,pq8x4", registry)
    assert str(parse_plan(str(plan), registry)) == str(plan)
    assert plan.inner.codec.options == {"M": 8, "bits": 4}
    assert str(parse_plan("surrogate", registry)) == "surrogate,ivf,pq"
    assert parse_plan("surrogate,faiss:IVF4,Flat", registry).inner.index.options == {"factory": "IVF4,Flat"}


def test_an_illegal_plan_is_offered_inside_a_surrogate():
    with pytest.raises(NotSupportedError, match="nearest legal plan: surrogate,hnsw"):
        nk.build(data(trimmed)[0], metric=trimmed, plan="hnsw")


@pytest.mark.parametrize("power", [1, 2])
def test_classical_scaling_gives_the_distances_back(power):
    rng = np.random.default_rng(2)
    points = rng.normal(size=(60, 5))
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    axes, spreads, chosen = scaled(squares if power == 1 else np.sqrt(squares), 10)
    assert chosen == power
    assert len(spreads) == 5
    coordinates = axes * np.sqrt(spreads)
    np.testing.assert_allclose(((coordinates[:, None] - coordinates[None]) ** 2).sum(axis=2), squares, atol=1e-8)


def test_rows_all_alike_and_few_rows():
    same = np.ones((300, 8), dtype=np.float32)
    mine = nk.build(same, metric=trimmed, plan="surrogate,ivf4,pq4x4")
    assert mine.search(same[:2], 3).distances.tolist() == [[0, 0, 0]] * 2
    with pytest.raises(VectorError, match="equally far"):
        nk.build(same, metric=trimmed, plan="surrogate:space=landmarks,flat")
    tiny = nk.build([[1.0, 2.0], [3.0, 4.0]], metric=trimmed, plan="surrogate:space=l2,flat")
    assert tiny.search([[1.0, 2.0]], 5).counts.tolist() == [2]


SECOND = """
from nearkin.hooks import IndexSpec, hookimpl
from nearkin_plugins.indexes import SurrogateParams


@hookimpl
def nearkin_indexes():
    return [IndexSpec(name="surrogate", summary="the same again", make="nearkin_plugins.surrogate:SurrogateIndex",
                      params=SurrogateParams, accepts={"decoded": frozenset({"pairwise"})}, inner="ivf,pq")]
"""


def test_a_plugin_chosen_in_the_plan_is_kept_and_a_fallback_has_its_own(tmp_path):
    (tmp_path / "second.py").write_text(SECOND)
    registry = load_registry(load_settings({"plugins": (str(tmp_path / "second.py"),)}))
    rows, queries = data(trimmed)
    for count, plan in ((ROWS, "second/surrogate:space=l2,flat"), (20, "flat")):
        asked = "second/surrogate:space=l2,flat" if count == ROWS else "second/surrogate,flat"
        mine = nk.build(rows[:count], metric=trimmed, plan=asked, registry=registry)
        assert mine.plan == plan
        mine.save(tmp_path / plan.replace("/", "-"))
        with nk.open(tmp_path / plan.replace("/", "-"), metric=trimmed.fresh(), registry=registry) as kept:
            assert kept.plan == plan
            np.testing.assert_array_equal(kept.search(queries, 3).ids, mine.search(queries, 3).ids)


def test_few_rows_are_compared_and_it_is_said(tmp_path):
    rows, queries = data(trimmed)
    mine = nk.build(rows[:20], metric=trimmed, plan="surrogate")
    assert mine.plan == "flat"
    assert mine.notes == ["20 rows are too few to choose an index by measuring, so every row is compared"]
    assert_nearest(mine.search(queries, 5), mine.metric.distances(queries, rows[:20]))
    mine.delete(mine.ids.tolist())
    mine.add(rows[:1])
    mine.optimize()
    assert mine.search(rows[:1], 1).distances.tolist() == [[0.0]]


def test_few_answers_are_as_good_as_many():
    rng = np.random.default_rng(5)
    centres = rng.normal(scale=5, size=(30, 16))
    rows = (np.repeat(centres, 20, axis=0) + rng.normal(size=(600, 16))).astype(np.float32)
    mine = nk.build(rows, metric=trimmed, plan="surrogate:space=l2")
    assert (mine.search(rows, 1).distances[:, 0] == 0).mean() > 0.95
