"""Budget in, plan out: the promise is measured on queries that had no say, and kept, or refused with numbers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

import nearkin as nk
from nearkin.accuracy import least_queries, recall
from nearkin.budgets import Budget
from nearkin.certification import certify
from nearkin.errors import BudgetError, NotSupportedError, ParameterError, VectorError
from nearkin.examination import examine
from nearkin.flat_index import FlatIndex
from nearkin.hooks import IndexSpec, hookimpl
from nearkin.indexes import Found
from nearkin.indexing import Recipe
from nearkin.plans import parse_plan
from nearkin.registry import Registry
from nearkin.rows import MemoryRows
from nearkin.search_parameters import SearchParameter
from nearkin.trials import Examiner

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(60, 16))


def draw(count, seed):
    rng = np.random.default_rng(seed)
    return (CENTRES[rng.integers(0, 60, count)] + 0.5 * rng.normal(size=(count, 16))).astype(np.float32)


VECTORS = draw(3000, 1)
QUERIES = draw(600, 2)


def judged(collection, vectors=VECTORS, k=10):
    """Recall on queries that nobody has seen."""
    queries = draw(400, 3)
    truth = nk.exact_neighbours(vectors, queries, k=k)
    return recall(collection.search(queries, k).positions, truth.positions).mean()


@pytest.mark.parametrize("queries", [None, QUERIES])
@pytest.mark.parametrize("wanted", [0.8, 0.95])
def test_a_recall_is_kept(wanted, queries):
    mine = nk.build(VECTORS, recall=wanted, queries=queries, seconds=0.5, seed=3)
    chosen = mine.choice
    assert chosen.certified
    assert chosen.recall.low >= wanted
    assert chosen.held_out is (queries is None)
    assert chosen.plan == mine.plan
    assert mine.search_defaults == chosen.search
    assert judged(mine) >= wanted - 0.02
    assert len(mine) == 3000
    assert mine.ids.tolist() == list(range(3000))


@pytest.mark.parametrize("plan", ["ivf", "hnsw8", "ivf,pq,refine-f16"])
def test_a_plan_that_is_given_is_kept_to(plan):
    mine = nk.build(VECTORS, plan=plan, recall=0.9, seed=1)
    assert mine.plan.startswith(plan.partition(",")[0])
    assert mine.choice.recall.low >= 0.9
    assert judged(mine) >= 0.88
    assert mine.index.n == 3000, "rows that asked are in it again"
    assert (mine.search(VECTORS[:500], 1).positions.ravel() == np.arange(500)).mean() > 0.9


def test_a_plan_that_is_given_is_not_varied():
    chosen = nk.plan(VECTORS, plan="ivf", recall=0.9, seconds=30)
    assert [each.plan for each in chosen.trials] == ["ivf55"]


def test_a_plan_that_cannot_give_the_recall_is_refused_with_the_best_it_gave():
    with pytest.raises(BudgetError, match=r"the best recall was 0\.\d+, by ivf55,pq4x4.*ask for a lower recall"):
        nk.build(VECTORS, plan="ivf,pq4x4", recall=0.95)


def test_a_plan_that_would_be_wrong_is_refused_as_ever():
    with pytest.raises(NotSupportedError, match="nearest legal plan"):
        nk.build(VECTORS, plan="hnsw,pq", metric="manhattan", recall=0.9)


def test_memory_is_a_ceiling():
    full = VECTORS.nbytes
    mine = nk.build(VECTORS, recall=0.9, memory=full // 2, seconds=0.5)
    assert sum(mine.allocated_bytes().values()) <= full // 2
    assert mine.choice.recall.low >= 0.9


def test_the_ceiling_holds_for_a_graph_with_the_rows_that_asked(monkeypatch):
    whole = sum(nk.build(VECTORS, plan="hnsw8").allocated_bytes().values())
    ceiling = int(0.95 * whole)  # enough only as long as the 300 rows that ask are left out
    monkeypatch.setattr("nearkin.planning.within", lambda found, memory, shape: found)  # let the prediction pass
    with pytest.raises(BudgetError, match=r"over all rows takes [\d,]+ bytes"):
        nk.build(VECTORS, plan="hnsw8", recall=0.8, memory=ceiling)


def test_memory_that_no_plan_fits_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr("nearkin.planning.examine", lambda *given: pytest.fail("work was done"))
    with pytest.raises(BudgetError, match="no plan keeps 3,000 rows of 16 columns in 100 bytes: the smallest"):
        nk.build(VECTORS, memory=100)


def test_without_a_recall_the_highest_level_that_fits_is_taken():
    mine = nk.build(VECTORS, memory=VECTORS.nbytes // 6, seconds=0.5)
    assert sum(mine.allocated_bytes().values()) <= VECTORS.nbytes // 6
    assert mine.choice.wanted in (0.99, 0.95, 0.9, 0.8, 0.5)
    assert mine.choice.recall.low >= mine.choice.wanted


def test_a_latency_that_nothing_keeps_is_refused():
    with pytest.raises(BudgetError, match="more time for a query"):
        nk.build(VECTORS, recall=0.9, latency=1e-9, seconds=0.2)


def test_single_queries_are_timed_alone():
    chosen = nk.plan(VECTORS, recall=0.9, optimize="single", latency="1s", seconds=0.5)
    assert 0 < chosen.seconds_a_query <= chosen.latency <= 1


def test_few_rows_are_compared_one_by_one():
    mine = nk.build(VECTORS[:60], recall=0.9)
    assert mine.plan == "flat"
    assert mine.choice.recall.mean == 1.0


def test_few_queries_show_nothing_but_an_exact_plan():
    mine = nk.build(VECTORS, recall=0.95, queries=QUERIES[:30], seconds=0.3)
    assert mine.plan == "flat"
    assert any("30 queries are too few" in note for note in mine.notes)
    assert least_queries(0.95) > 30


def test_planning_alone_builds_nothing_and_says_how_sure_it_is():
    chosen = nk.plan(VECTORS, recall=0.9, seconds=0.5, seed=5)
    assert not chosen.certified
    assert chosen.measured_rows <= 3000
    assert chosen.trials[0].plan == chosen.plan
    assert chosen.build_seconds > 0
    assert chosen.sentence.startswith(chosen.plan)
    assert set(chosen.to_dict()) >= {"plan", "search", "trials", "recall", "budget"}
    built = nk.build(VECTORS, plan=chosen.plan, search=chosen.search)
    assert judged(built) >= 0.88


def test_the_budget_is_kept_in_a_folder_too(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    with nk.build_folder(tmp_path / "v.npy", tmp_path / "mine", plan="ivf,int8", recall=0.9) as mine:
        assert mine.choice.recall.low >= 0.9
        chosen = mine.search_defaults
    with nk.open(tmp_path / "mine") as again:
        assert again.search_defaults == chosen
        again.optimize()
        assert again.plan.startswith("ivf55,int8")
        assert again.search_defaults == chosen


def test_a_chosen_plan_becomes_the_folders_own(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    with nk.build_folder(tmp_path / "v.npy", tmp_path / "mine", recall=0.9, memory=60_000, seconds=0.3) as mine:
        plan = mine.plan
        assert plan != "flat"
    with nk.open(tmp_path / "mine") as again:
        again.add(VECTORS[:5] + 1, ids=range(5000, 5005))
        again.optimize()
        assert again.plan.partition(",")[2] == plan.partition(",")[2]


class Lying(FlatIndex):
    """Finds everything on samples, and over all rows the more the higher the effort."""

    name = "lying"
    rows_apart = True
    search_params: ClassVar = {"effort": SearchParameter("more finds more")}

    def search_defaults(self, n):
        return {"effort": 1}

    def _search(self, queries, k, mask, params):
        found = super()._search(queries, k, mask, params)
        if self.n < 2900:
            return found
        lost = found.positions % 9 > params["effort"]
        return Found(np.where(lost, -1, found.positions), np.where(lost, np.float32(np.inf), found.distances))


class Failing(FlatIndex):
    """Cannot be searched."""

    name = "failing"

    def _search(self, queries, k, mask, params):
        raise ZeroDivisionError("out of luck")


class Strangers:
    """Indexes of a plugin."""

    @hookimpl
    def nearkin_indexes(self):
        accepts = {"decoded": frozenset({"pairwise"})}
        return [
            IndexSpec(name="lying", summary="For a test.", make=Lying, accepts=accepts),
            IndexSpec(name="failing", summary="For a test.", make=Failing, accepts=accepts),
        ]


@pytest.fixture
def strangers():
    registry = Registry()
    registry.load_entry_points(disabled=["codecs", "transforms"])  # few plans, so that all are tried
    registry.register(Strangers(), "strangers")
    return registry


def test_what_looked_good_on_samples_is_measured_again_on_all_rows(strangers):
    mine = nk.build(VECTORS, plan="lying", recall=0.9, registry=strangers)
    assert mine.search_defaults["effort"] >= 7
    assert judged(mine) >= 0.88


def test_a_component_that_fails_is_an_entry_and_not_the_end(strangers):
    chosen = nk.plan(VECTORS, recall=0.9, seconds=60, registry=strangers)
    failed = [each for each in chosen.trials if each.plan == "failing"]
    assert failed
    assert "ZeroDivisionError: out of luck" in failed[0].failure
    assert chosen.plan != "failing"


def test_effort_is_raised_where_the_other_half_finds_too_little():
    registry = Registry()
    registry.load_entry_points()
    rows = MemoryRows(16, "float32")
    rows.commit(vectors=VECTORS, ids=np.arange(3000))
    recipe = Recipe(parse_plan("ivf", registry), nk.build(VECTORS[:10]).metric, registry, 0)
    exam = examine(rows, QUERIES[:240], 10, recipe, 1)
    index = recipe.filled(rows, 1).index
    examiner = Examiner(Budget.of(recall=0.9), 1)
    shown = [certify(index, exam, 0.9, examiner, seed) for seed in range(20)]
    assert all(each.recall.low >= 0.9 for each in shown)
    assert any(each.raised for each in shown)
    assert not any(each.shortfall for each in shown)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"recall": 2}, ParameterError, "above 0 and below 1"),
        ({"recall": 0.9, "queries": np.zeros((0, 16), np.float32)}, VectorError, "no queries"),
        ({"recall": 0.9, "queries": np.zeros((5, 3), np.float32)}, VectorError, "3 columns"),
        ({"recall": 0.9, "k": 0}, ParameterError, "k is 0"),
        ({"recall": 0.9, "seconds": -1}, ParameterError, "above 0"),
        ({}, ParameterError, "no budget was given"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(given, error, words):
    with pytest.raises(error, match=words):
        nk.plan(VECTORS, **given)


def test_bytes_before_there_is_data():
    found = nk.predicted_plans(1_000_000, 768, memory="1GB")
    assert all(each.bytes <= 1e9 for each in found)
    with pytest.raises(BudgetError, match="no plan keeps"):
        nk.predicted_plans(1_000_000, 768, memory="1kB")
    with pytest.raises(ParameterError, match="rows"):
        nk.predicted_plans(0, 768)
