"""Every verdict by a case made for it; other rows raise the alarm, more of the same do not."""

from __future__ import annotations

import json

import numpy as np
import pytest

import nearkin as nk
from nearkin.baseline import FACT, Baseline, Cells, measured
from nearkin.errors import CorruptFileError, ParameterError
from nearkin.index_health import NEW_ROWS, recall_of
from nearkin.indexing import Built
from nearkin.renewal import extended


def rows_of(count, dim=16, seed=0, loc=0.0):
    return np.random.default_rng(seed).normal(loc=loc, size=(count, dim)).astype(np.float32)


def known(rows, plan, **options):
    """A collection in memory with what was true of its index."""
    mine = nk.build(rows, plan=plan, threads=1, **options)
    mine.adopt(mine.index, len(mine.rows), measured(mine.recipe, mine.rows, Built(mine.index), 1).facts)
    return mine


def grow(mine, rows):
    """Add rows to the index whatever the rule of optimize says."""
    mine.add(rows)
    built = extended(mine.recipe, mine.rows, mine.index, mine.covered, 1)
    mine.adopt(built.index, len(mine.rows), mine.facts)


@pytest.mark.parametrize("plan", ["ivf", "ivf,pq,refine-f16", "hnsw8,int8", "flat", "pca8,ivf"])
@pytest.mark.parametrize("dim", [4, 48])
def test_more_rows_of_the_same_kind_raise_no_alarm(plan, dim):
    rng = np.random.default_rng(3)
    centres = 2 * rng.normal(size=(30, dim))

    def draw(count):
        return centres[rng.integers(0, 30, count)] + rng.normal(size=(count, dim))

    mine = known(draw(600), plan.replace("pca8", "pca3"))
    for more in (600, 1200, 3600):
        grow(mine, draw(more))
        found = nk.health(mine)
        assert (found.verdict, found.alarm) == ("fine", False), found.reason
        assert found.rows == len(mine)


@pytest.mark.parametrize(
    ("metric", "plan"),
    [
        ("euclidean", "ivf,pq,refine-f16"),
        ("cosine", "ivf"),
        ("cosine", "ivf8,pruned50"),
        ("inner-product", "ivf"),
        ("manhattan", "surrogate:space=l2,ivf,pq"),
    ],
)
def test_rows_of_another_kind_raise_it_inside_the_index_and_before(metric, plan):
    mine = known(rows_of(2000) + np.float32(np.eye(16)[0] * 4), plan, metric=metric)
    assert nk.health(mine).verdict == "fine"
    later = 1.5 * rows_of(400, seed=1) + np.float32(np.eye(16)[1] * 8)
    mine.add(later)
    waiting = nk.health(mine)
    grow(mine, later[:0])
    taken = nk.health(mine)
    for found in (waiting, taken):
        assert found.verdict == "retrain"
        assert "400 rows added since lie" in found.reason
        assert found.residuals.ratio > 1.1
        assert found.residuals.rise == pytest.approx(400 / 2400 * (found.residuals.ratio - 1))
    assert (waiting.uncovered, taken.uncovered) == (400, 0)


def test_few_rows_say_nothing():
    mine = known(rows_of(1000), "ivf")
    mine.add(rows_of(NEW_ROWS - 1, loc=9))
    assert nk.health(mine).verdict == "fine"
    mine.add(rows_of(1, loc=9))
    assert nk.health(mine).verdict == "retrain"


def test_retraining_silences_the_alarm(tmp_path):
    nk.build_folder(lambda: iter([nk.Block(rows_of(1000))]), tmp_path / "mine", plan="ivf").close()
    with nk.open(tmp_path / "mine") as mine:
        mine.add(rows_of(500, loc=5))
        assert nk.health(mine).verdict == "retrain"
        mine.optimize()
        assert nk.health(mine).verdict == "retrain"
        mine.optimize(retrain=True)
        found = nk.health(mine)
    assert found.verdict == "fine"
    assert (found.trained_rows, found.added) == (1500, 0)
    with nk.open(tmp_path / "mine", readonly=True) as mine:
        assert nk.health(mine) == found


def test_shifted_and_much_larger_is_to_be_rebuilt():
    mine = known(rows_of(300), "ivf")
    mine.add(rows_of(1000, loc=4))
    found = nk.health(mine)
    assert found.verdict == "rebuild"
    assert "4.3 times as many rows" in found.reason


def test_deleted_rows_call_for_rebuilding():
    mine = known(rows_of(500), "ivf")
    mine.delete(range(150))
    assert nk.health(mine).verdict == "fine"
    mine.delete([150])
    found = nk.health(mine)
    assert (found.verdict, found.deleted) == ("rebuild", pytest.approx(151 / 500))
    assert found.reason == "30% of the 500 rows that the index was trained on were deleted since, more than 30%"


def test_a_long_tail_calls_for_optimizing():
    mine = known(rows_of(4000), "ivf")
    mine.add(rows_of(999, seed=1))
    assert nk.health(mine).verdict == "fine"
    mine.add(rows_of(1, seed=2))
    found = nk.health(mine)
    assert found.verdict == "optimize"
    assert found.reason == "1,000 of 5,000 rows are not in the index and are searched one by one"
    flat = known(rows_of(1000), "flat")
    flat.add(rows_of(2000, seed=1))
    assert nk.health(flat).verdict == "fine"


def test_cells_that_fill_unevenly_raise_the_alarm():
    """Rows that crowd into one cell lie no farther from it than others."""
    mine = known(rows_of(3000), "ivf")
    centre = mine.index.centroids()[0]
    grow(mine, centre + 0.1 * rows_of(600, seed=1))
    found = nk.health(mine)
    assert found.residuals.ratio < 1
    assert found.verdict == "retrain"
    assert "imbalance factor" in found.reason
    sizes = mine.index.cell_sizes().astype(float)
    assert found.cells.imbalance == pytest.approx(len(sizes) * (sizes**2).sum() / sizes.sum() ** 2)
    assert found.cells.largest == sizes.max()


def test_recall_lost_by_rows_added_raises_the_alarm_where_there_are_no_cells():
    """A codebook that knows nothing of the later rows: all of them get nearly the same codes."""
    mine = known(rows_of(2000), "flat,pq8x4,refine-f32", search={"rerank": 200})
    assert nk.health(mine).recall.then.mean > 0.95
    grow(mine, 0.2 * rows_of(1500, seed=1) + 12)
    found = nk.health(mine)
    assert found.cells is None
    assert found.verdict == "retrain"
    assert "points of recall@10" in found.reason
    assert found.recall.since.mean < found.recall.trained.mean


def test_duplicates_are_counted():
    rows = rows_of(300)
    mine = nk.build(np.concatenate([rows, rows[:7], rows[:2]]), plan="flat")
    assert nk.health(mine).duplicates == 9
    mine.delete([0, 300, 307])
    assert nk.health(mine).duplicates == 7  # the three equal to row 0 are gone


def test_no_index_no_rows_and_rows_that_were_not_kept(tmp_path):
    mine = nk.build(rows_of(5), plan="flat")
    mine.delete(range(5))
    empty = nk.health(mine)
    assert (empty.verdict, empty.reason, empty.recall, empty.rows) == ("fine", "there are no rows", None, 0)
    lean = nk.build(rows_of(500), plan="ivf,pq", keep_vectors=False)
    found = nk.health(lean)
    assert (found.verdict, found.recall, found.residuals, found.duplicates) == ("fine", None, None, None)
    assert found.cells.count == 22
    assert any("not kept" in note for note in found.notes)
    nk.build(rows_of(1500), plan="ivf").save(tmp_path / "mine")
    for each in (tmp_path / "mine" / "built").rglob("*.bin"):
        each.write_bytes(b"")
    with nk.open(tmp_path / "mine", readonly=True) as damaged:
        found = nk.health(damaged)
    assert (found.verdict, found.cells) == ("rebuild", None)
    assert found.reason == "the index cannot be used, and 1,500 rows are searched one by one"


def test_without_a_baseline_it_says_so_and_compares_with_the_rows_covered():
    mine = nk.build(rows_of(1000), plan="ivf")
    found = nk.health(mine)
    assert found.cells_then is None
    assert any("nothing was measured" in note for note in found.notes)
    mine.add(rows_of(300, loc=5))
    assert nk.health(mine).verdict == "retrain"


@pytest.mark.parametrize(
    "change",
    [{"cells": {"count": 1}}, {"asked": [1, 2]}, {"recalls": [2.0]}, {"rows": "x"}, {"positions": 1}, {"search": 3}],
)
def test_a_broken_baseline_is_reported(change):
    mine = known(rows_of(400), "ivf")
    facts = {FACT: {**mine.facts[FACT], **change}}
    with pytest.raises(CorruptFileError, match="when it was trained"):
        Baseline.among(facts)
    mine.adopt(mine.index, 400, facts)
    found = nk.health(mine)
    assert found.verdict == "fine"
    assert any("when it was trained" in note for note in found.notes)


def test_a_baseline_comes_back_from_json():
    mine = known(rows_of(400), "ivf")
    there = Baseline.among(mine.facts)
    assert Baseline.from_dict(json.loads(json.dumps(there.to_dict()))) == there
    assert json.loads(json.dumps(nk.health(mine).to_dict()))["verdict"] == "fine"


def test_cells_by_hand():
    found = Cells.of(np.array([6, 0, 3, 3]))
    assert (found.count, found.empty, found.largest, found.imbalance) == (4, 1, 6, 4 * 54 / 144)
    assert Cells.of(np.zeros(3, int)).imbalance == 1


def test_what_is_lost_does_not_count_what_growth_takes_from_all():
    before, since = np.full(100, 0.7), np.full(100, 0.7)
    assert recall_of(before, since, 0.9, None).lost == 0
    found = recall_of(np.full(200, 0.9), np.full(200, 0.5), 0.25, None)
    assert found.now.mean == pytest.approx(0.8)
    assert found.lost == pytest.approx(0.1)
    assert 0 < found.lost_low < found.lost


def test_input_is_checked():
    with pytest.raises(ParameterError, match="ndarray has no health"):
        nk.health(np.eye(3))
    mine = nk.build(rows_of(50), plan="flat")
    for wrong in ({"rows_asked": 0}, {"seed": -1}, {"rows_asked": 1.5}):
        with pytest.raises(ParameterError):
            nk.health(mine, **wrong)


@pytest.mark.parametrize("look", [nk.health, lambda mine: measured(mine.recipe, mine.rows, Built(mine.index), 1)])
def test_rows_are_placed_on_the_threads_that_are_allowed(look, monkeypatch):
    mine = nk.build(np.random.default_rng(0).normal(size=(500, 8)), plan="ivf4", threads=1)
    done, assigned = [], mine.index.assigned
    monkeypatch.setattr(mine.index, "use_threads", done.append)
    monkeypatch.setattr(mine.index, "assigned", lambda rows: done.append("assigned") or assigned(rows))
    look(mine)
    assert done[:2] == [1, "assigned"]
