"""Where recall is lost: the parts add up, and each cause is found where it was put."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import NearkinError, ParameterError, StateError, VectorError
from nearkin.questions import Questions

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(40, 16))
ROWS = (np.repeat(CENTRES, 40, axis=0) + 0.6 * RNG.normal(size=(1600, 16))).astype(np.float32)
QUERIES = (CENTRES[RNG.integers(0, 40, 120)] + 0.6 * RNG.normal(size=(120, 16))).astype(np.float32)


def losses(plan, queries=QUERIES, metric="euclidean", rows=ROWS, **search):
    return nk.evaluate(nk.build(rows, plan=plan, metric=metric, search=search), queries).losses


def assert_sum(found):
    assert sum(part.mean for part in found.parts.values()) == pytest.approx(1 - found.recall, abs=1e-9)
    for part in found.parts.values():
        assert part.low <= part.mean <= part.high


@pytest.mark.parametrize(
    ("plan", "search", "cause", "advice"),
    [
        ("ivf32", {"nprobe": 1}, "probing", "raise nprobe from 1 to "),
        ("hnsw4", {"ef_search": 10}, "probing", "raise ef_search from 10 to "),
        (
            "flat,pq4x4",
            {},
            "quantization",
            "take flat,pq4x4,refine-f16, which re-ranks on a finer copy (32 bytes a row more)",
        ),
        ("ivf32,pq4x4", {"nprobe": 32}, "quantization", "take ivf32,pq4x4,refine-f16"),
        ("flat,pq4x4,refine-f32", {"rerank": 10}, "depth", "raise rerank from 10 to "),
        ("flat,pq4x4,refine-pq8x8", {"rerank": 400}, "quantization", "take flat,pq4x4,refine-f16"),
        ("pca4,flat", {}, "quantization", "take pca4,flat,refine-f16"),
    ],
)
def test_a_loss_is_found_where_it_was_made(plan, search, cause, advice):
    found = losses(plan, **search)
    assert_sum(found)
    assert max(found.parts, key=lambda name: found.parts[name].mean) == cause
    assert found.parts[cause].mean > 0.8 * (1 - found.recall)
    assert found.parts[cause].low > 0
    assert advice in found.advice


def test_two_causes_are_told_apart():
    found = losses("ivf32,pq4x4,refine-f32", nprobe=1, rerank=10)
    assert_sum(found)
    assert found.depth.mean > 0.02
    assert found.probing.mean > 0.02
    assert found.quantization.mean == pytest.approx(0, abs=0.02)
    wide = losses("ivf32,pq4x4,refine-f32", nprobe=32, rerank=1600)
    assert (wide.recall, wide.advice) == (1, "recall is 1.000, and no single cause takes more than 0.000 of it")


def test_what_a_surrogate_loses_is_what_its_space_loses():
    """Exact candidates by cosine, as many as are re-ranked: what is missing then is the space's doing, and nothing else's."""
    rows = (ROWS * np.random.default_rng(1).uniform(0.2, 3, (1600, 1))).astype(np.float32)
    depth = 20
    found = losses("surrogate:space=cosine,ivf16,pq8x4", metric="manhattan", rows=rows, nprobe=4, rerank=depth)
    assert_sum(found)
    assert found.depth.mean > 0.1
    deepest = found.furthest["rerank"]
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, QUERIES)]
    near = np.argsort(-unit[1] @ unit[0].T, axis=1)[:, :deepest]
    true = np.abs(QUERIES[:, None] - rows[None]).sum(axis=2).argsort(axis=1)[:, :10]
    reached = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(near.tolist(), true.tolist(), strict=True)])
    assert found.surrogate.mean == pytest.approx(1 - reached, abs=0.01)


def test_an_exact_plan_loses_nothing():
    found = losses("flat")
    assert (found.recall, found.search) == (1, {})
    assert {part.mean for part in found.parts.values()} == {0}


class Blinkered(nk.Index):
    """A stranger's index that looks at the first `effort` rows only."""

    name = "blinkered"
    search_params: ClassVar = {"effort": nk.SearchParameter("rows looked at")}

    def __init__(self, layout):
        super().__init__(layout)
        self._rows = np.empty((0, layout.dim), dtype=np.float32)

    def search_defaults(self, n):
        return {"effort": max(1, n // 4)}

    def _train(self, vectors):
        pass

    def _add(self, vectors):
        self._rows = np.concatenate([self._rows, vectors])

    def _search(self, queries, k, mask, params):
        values = self.layout.space.pairwise(queries, self._rows[: params["effort"]])
        order = np.argsort(values, axis=1, kind="stable")[:, :k]
        found = np.full((len(queries), k), -1), np.full((len(queries), k), np.inf, dtype=np.float32)
        found[0][:, : order.shape[1]] = order
        found[1][:, : order.shape[1]] = np.take_along_axis(values, order, axis=1)
        return nk.Found(*found)

    def _cost(self, n):
        return {"codes": n * self.layout.codec.code_size}

    def _allocated(self):
        return {"codes": self._rows.nbytes}

    def _state(self):
        return nk.State({"rows": self._rows})

    def _restore(self, state):
        self._rows = state.arrays["rows"]


class Plugin:
    @nk.hookimpl
    def nearkin_indexes(self):
        return [
            nk.IndexSpec(
                name="blinkered", summary="first rows only", make=Blinkered, accepts={"faiss:flat": frozenset({"l2"})}
            )
        ]


def test_indexes_of_strangers_take_part():
    registry = nk.Registry()
    registry.load_entry_points()
    registry.register(Plugin(), "stranger")
    mixed = np.random.default_rng(2).permutation(ROWS)
    found = nk.evaluate(nk.build(mixed, plan="blinkered", registry=registry), QUERIES).losses
    assert_sum(found)
    assert found.recall == pytest.approx(0.25, abs=0.05)
    assert found.probing.mean == pytest.approx(1 - found.recall)
    assert found.advice.startswith("raise effort from 400 to 1,600: recall goes from 0.")


# ---- the evaluation itself -----------------------------------------------------------------------------------------------


def test_quality_is_that_of_the_queries_given():
    mine = nk.build(ROWS, plan="ivf32", search={"nprobe": 2})
    found = nk.evaluate(mine, QUERIES, k=5)
    truth = ((QUERIES[:, None] - ROWS[None]) ** 2).sum(axis=2).argsort(axis=1)[:, :5]
    answers = mine.search(QUERIES, 5).positions
    assert found.quality.recall.mean == pytest.approx(nk.recall(answers, truth).mean())
    assert (found.k, found.rows, found.dim, found.own_rows, found.search) == (5, 1600, 16, False, {"nprobe": 2})
    assert found.notes == ()
    assert nk.evaluate(mine, QUERIES, search={"nprobe": 32}).quality.recall.mean == 1
    assert mine.search_defaults == {"nprobe": 2}


def test_rows_that_ask_are_not_their_own_answers():
    mine = nk.build(ROWS, plan="ivf32", search={"nprobe": 2})
    asked = Questions.of_rows(mine, 100, 10, 0)
    distances = ((asked.asked[:, None] - ROWS[None]) ** 2).sum(axis=2)
    distances[np.arange(100), asked.own] = np.inf
    assert asked.truth.positions.tolist() == distances.argsort(axis=1)[:, :10].tolist()
    found = nk.evaluate(mine, rows_asked=100)
    assert found.own_rows
    assert found.quality.recall.queries == 100
    assert "100 of the rows asked, each left out of its own answer" in found.notes[0]
    assert "a graph looks better than it is" in found.notes[0]


def test_deleted_and_added_rows():
    mine = nk.build(ROWS, plan="ivf32", search={"nprobe": 32})
    mine.delete(range(0, 1600, 2))
    mine.add(QUERIES[:20])
    found = nk.evaluate(mine, rows_asked=300)
    assert (found.rows, found.quality.recall.mean) == (820, 1)
    assert "20 rows are not in the index yet" in found.notes[1]


def test_an_evaluation_is_json():
    found = nk.evaluate(nk.build(ROWS, plan="ivf8,int8"), QUERIES[:10])
    facts = json.loads(json.dumps(found.to_dict()))
    assert facts["losses"]["quantization"]["mean"] == found.losses.quantization.mean
    assert len(facts["quality"]["recalls"]) == 10


def test_ids_and_metrics_of_all_kinds():
    names = [f"row {each}" for each in range(400)]
    mine = nk.build(np.abs(ROWS[:400]), ids=names, metric="cosine", plan="hnsw8,int8")
    assert nk.evaluate(mine, rows_asked=50).quality.recall.mean > 0.8
    bits = np.random.default_rng(0).integers(0, 256, (300, 4), dtype=np.uint8)
    packed = nk.evaluate(nk.build(bits, metric="hamming", plan="ivf8", search={"nprobe": 1}), rows_asked=50)
    assert packed.losses.probing.mean > 0
    assert_sum(packed.losses)


def test_more_neighbours_than_rows():
    assert nk.evaluate(nk.build(ROWS[:4]), k=10).k == 3
    assert nk.evaluate(nk.build(ROWS[:4]), QUERIES, k=10).k == 4


@pytest.mark.parametrize(
    ("given_values", "said"),
    [
        ({"k": 0}, "k is 0"),
        ({"rows_asked": 0}, "rows_asked is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"queries": np.empty((0, 16))}, "no queries"),
        ({"queries": [[1.0]]}, "1 columns"),
        ({"search": {"ef_search": 3}}, "ef_search"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(given_values, said):
    with pytest.raises(NearkinError, match=said):
        nk.evaluate(nk.build(ROWS[:100], plan="ivf4"), **given_values)


def test_no_collection_no_rows_and_no_vectors():
    with pytest.raises(ParameterError, match="a ndarray cannot be evaluated"):
        nk.evaluate(ROWS)
    with pytest.raises(VectorError, match="a collection of 1 rows"):
        nk.evaluate(nk.build(ROWS[:1]))
    for queries in (None, QUERIES):
        with pytest.raises(StateError, match="needs the rows"):
            nk.evaluate(nk.build(ROWS, keep_vectors=False), queries)
    empty = nk.build(ROWS[:2])
    empty.delete([0, 1])
    with pytest.raises(VectorError, match="no rows to ask for"):
        nk.evaluate(empty)
