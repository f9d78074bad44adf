"""An index brought up to date is the same as one that had all rows, and the one before is left as it was."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import nearkin as nk
from nearkin.baseline import FACT, Baseline, measured
from nearkin.indexing import Built
from nearkin.metrics import squared_l2
from nearkin.renewal import GONE, GROWTH, copied, decide, extended, renew


def rows_of(count, dim=8, seed=0, loc=0.0):
    return np.random.default_rng(seed).normal(loc=loc, size=(count, dim)).astype(np.float32)


def nearest(rows, queries, k):
    return np.argsort(squared_l2(queries.astype(np.float64), rows.astype(np.float64)), axis=1, kind="stable")[:, :k]


def renewed(mine, **options):
    return renew(mine.recipe, mine.rows, mine.index, mine.covered, mine.facts, 1, **options)


PLANS = [
    "ivf8",
    "ivf8,pq4",
    "ivf8,pq4x4,refine-f32",
    "ivf8,int8",
    "hnsw8",
    "pca4,ivf8",
    "pca4,ivf8,refine-f32",
    "ivf8,pruned50",
]


@pytest.mark.parametrize("plan", PLANS)
def test_extended_answers_as_if_it_had_always_had_the_rows(plan):
    rows = rows_of(600)
    mine = nk.build(rows[:400], plan=plan, threads=1)
    before = mine.index.search(rows[:20], 10)
    alike = copied(mine.recipe, mine.rows, mine.index)
    mine.add(rows[400:])
    built = extended(mine.recipe, mine.rows, mine.index, 400, 1)
    assert built.index is not mine.index
    assert (built.index.n, mine.index.n) == (600, 400)
    alike.add(mine.recipe.metric.prepare(rows[400:]))
    for found, wanted in zip(built.index.search(rows[:20], 10), alike.search(rows[:20], 10), strict=True):
        np.testing.assert_array_equal(found, wanted)
    for found, wanted in zip(mine.index.search(rows[:20], 10), before, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert built.index.resolve({}) == mine.index.resolve({})


@pytest.mark.parametrize("plan", ["ivf8", "ivf8,pq4x4,refine-f32", "hnsw8"])
def test_extended_index_finds_what_brute_force_finds(plan):
    rows = rows_of(600)
    mine = nk.build(rows[:400], plan=plan, search={"rerank": 600} if "refine" in plan else None, threads=1)
    mine.add(rows[400:])
    mine.optimize()
    assert mine.uncovered == 0
    assert "added to an index" in mine.notes[0]
    asked = rows_of(50, seed=9)
    everything = {"ef_search": 600} if plan == "hnsw8" else {"nprobe": 8}
    np.testing.assert_array_equal(mine.search(asked, 10, **everything).positions, nearest(rows, asked, 10))


@pytest.mark.parametrize("metric", ["cosine", "inner-product", "manhattan", "hamming"])
def test_other_metrics_are_extended_and_retrained(metric):
    rows = rows_of(500, 16)
    if metric == "hamming":
        rows = np.random.default_rng(0).integers(0, 256, (500, 16)).astype(np.uint8)
    mine = nk.build(rows[:300], metric=metric, plan="ivf6", threads=1)
    mine.add(rows[300:])
    for retrain in (False, True):
        built = renewed(mine, retrain=retrain)
        prepared = mine.metric.prepare_queries(rows[:40])
        found = built.index.search(prepared, 5, params={"nprobe": 6})
        wanted = mine.exact_search(rows[:40], 5)
        np.testing.assert_allclose(
            mine.true_distances(rows[:40], found.positions),
            mine.true_distances(rows[:40], wanted.positions),
            rtol=1e-4,
            atol=1e-5,
        )


def test_searches_go_on_with_the_index_before_while_it_is_extended():
    rows = rows_of(3000)
    mine = nk.build(rows[:1500], plan="ivf16,pq4,refine-f32", threads=1)
    index, wanted = mine.index, mine.index.search(rows[:8], 5)
    mine.add(rows[1500:])
    stop, wrong = threading.Event(), []

    def ask():
        while not stop.is_set():
            found = index.search(rows[:8], 5)
            if not np.array_equal(found.positions, wanted.positions):
                wrong.append(found)

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(5):
        extended(mine.recipe, mine.rows, index, 1500, 1)
    stop.set()
    asking.join()
    assert not wrong
    assert index.n == 1500


def decided(mine, **options):
    return decide(mine.rows, mine.index, mine.covered, mine.facts, **options).action


def test_every_action_of_the_rule():
    rows = rows_of(2000)
    mine = nk.build(rows[:200], plan="ivf", threads=1)
    assert decided(mine) == "keep"
    assert decided(mine, retrain=True) == "retrain"
    mine.add(rows[200:800])
    assert GROWTH == 4
    assert decided(mine) == "extend"  # exactly four times as many
    mine.add(rows[800:801])
    assert decided(mine) == "rebuild"
    assert decided(mine, retrain=True) == "rebuild"
    gone = nk.build(rows[:200], plan="ivf")
    gone.adopt(gone.index, 200, measured(gone.recipe, gone.rows, Built(gone.index), 1).facts)
    gone.delete(range(int(200 * GONE)))
    assert decided(gone) == "keep"
    gone.delete([199])
    assert decided(gone) == "rebuild"
    flat = nk.build(rows[:200], plan="flat")
    flat.add(rows[200:300])
    assert decided(flat) == "rebuild"
    graph = nk.build(rows[:100], plan="hnsw8")
    graph.add(rows[100:])
    assert decided(graph) == "extend"
    assert decided(graph, retrain=True) == "rebuild"
    assert decide(mine.rows, None, 0, {}).action == "rebuild"


def test_nothing_is_said_to_be_built_of_no_rows(tmp_path):
    with nk.create(tmp_path / "mine", dim=2, plan="hnsw8") as mine:
        mine.optimize()
        assert mine.notes == ["there are no rows, and so no index"]
        mine.add([[0, 1], [1, 0]])
        mine.optimize()
        mine.delete(where="$id >= 0")
        mine.optimize()
        assert mine.notes == ["there are no rows, and so no index"]
        assert mine.search([[0, 1]], 1).counts.tolist() == [0]


def test_growth_counts_from_the_training_and_not_from_the_last_extension():
    rows = rows_of(2000)
    mine = nk.build(rows[:200], plan="ivf", threads=1)
    for stop in (400, 800):
        mine.add(rows[len(mine.rows) : stop])
        mine.optimize()
        assert "trained on 200" in mine.notes[0]
    assert Baseline.among(mine.facts).positions == 200
    assert mine.plan == "ivf14"
    mine.add(rows[800:900])
    mine.optimize()
    assert mine.plan == "ivf30"
    assert FACT not in mine.facts


def test_what_was_measured_stays_until_it_is_trained_again(tmp_path):
    rows = rows_of(900)
    nk.build_folder(lambda: iter([nk.Block(rows[:600])]), tmp_path / "mine", plan="ivf8").close()
    with nk.open(tmp_path / "mine") as mine:
        first = Baseline.among(mine.facts)
        assert (first.positions, first.rows, len(first.asked)) == (600, 600, 400)
        mine.add(rows[600:])
        mine.optimize()
        assert Baseline.among(mine.facts) == first
    with nk.open(tmp_path / "mine") as mine:
        assert Baseline.among(mine.facts) == first
        mine.optimize(retrain=True)
        again = Baseline.among(mine.facts)
        assert (again.positions, again.rows) == (900, 900)
        assert again.cells.count == 8


def test_retraining_starts_from_the_present_cells_and_serves_rows_of_another_kind():
    rows = np.concatenate([rows_of(600), rows_of(600, seed=1, loc=8)])
    mine = nk.build(rows[:600], plan="ivf12", threads=1)
    mine.add(rows[600:])
    before = extended(mine.recipe, mine.rows, mine.index, 600, 1).index
    after = renewed(mine, retrain=True).index
    assert after.label == before.label == "ivf12"
    assert after.assigned(rows)[1].mean() < 0.9 * before.assigned(rows)[1].mean()
    assert after.cell_sizes().max() < before.cell_sizes().max()
    still = nk.build(rows[:600], plan="ivf12")
    moved = renewed(still, retrain=True).index.assigned(rows[:600])[1].mean()
    assert moved <= 1.001 * still.index.assigned(rows[:600])[1].mean()


def test_a_promise_is_kept_after_extending():
    rows = rows_of(800, 6)
    mine = nk.build(rows[:500], metric="manhattan", plan="surrogate:space=l2,ivf8,pq3", threads=1)
    mine.add(rows[500:])
    mine.optimize()
    assert mine.uncovered == 0
    assert any("recall@10" in note for note in mine.notes)


def test_measured_recall_is_that_of_brute_force():
    rows = rows_of(700)
    mine = nk.build(rows, plan="ivf16", search={"nprobe": 2})
    found = Baseline.among(measured(mine.recipe, mine.rows, Built(mine.index), 1).facts)
    asked = np.array(found.asked)
    apart = squared_l2(rows[asked].astype(np.float64), rows.astype(np.float64))
    answer = mine.search(rows[asked], 11).positions
    by_hand = []
    for row, positions in zip(apart, answer, strict=True):
        last = np.sqrt(np.sort(row)[10]) * 1.0001  # the row itself is the first
        by_hand.append((np.sqrt(row[positions[1:]]) <= last).mean())
    np.testing.assert_allclose(found.recalls, by_hand)
    centres = mine.index.centroids()
    np.testing.assert_allclose(mine.index.assigned(rows)[1], squared_l2(rows, centres).min(axis=1), rtol=1e-4)
    assert found.cells.count == 16
    assert mine.index.cell_sizes().sum() == 700
