"""Right answers, ties among them; rows held out are as if they were not there."""

from __future__ import annotations

import numpy as np
import pytest

import nearkin as nk
from nearkin.accuracy import recall
from nearkin.building import make_metric
from nearkin.examination import Examination, Truth, examine
from nearkin.indexes import Found
from nearkin.indexing import Recipe
from nearkin.plans import parse_plan
from nearkin.registry import default_registry
from nearkin.rows import MemoryRows
from nearkin.subsets import Subset

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(600, 6)).astype(np.float32)


def rows_of(vectors):
    rows = MemoryRows(vectors.shape[1], "float32")
    rows.commit(vectors=vectors, ids=np.arange(len(vectors)))
    return rows


def recipe_of(plan="flat", metric="euclidean"):
    registry = default_registry()
    return Recipe(parse_plan(plan, registry), make_metric(metric, registry)[0], registry, 3)


def brute_force(queries, vectors, k):
    squares = ((queries[:, None, :].astype(np.float64) - vectors[None]) ** 2).sum(axis=2)
    return np.argsort(squares, axis=1, kind="stable")[:, :k]


def test_held_out_rows_are_no_answers_and_all_others_may_be():
    exam = examine(rows_of(VECTORS), None, 10, recipe_of(), 1)
    assert len(exam.asked) == len(exam.left_out) == 60
    kept = np.setdiff1d(np.arange(600), exam.left_out)
    truth = kept[brute_force(exam.asked, VECTORS[kept], 10)]
    assert not np.isin(exam.truth.positions, exam.left_out).any()
    assert recall(exam.truth.positions, truth).mean() == 1.0


def test_given_queries_hold_nothing_out():
    queries = RNG.normal(size=(30, 6)).astype(np.float32)
    exam = examine(rows_of(VECTORS), queries, 5, recipe_of(), 1)
    assert not len(exam.left_out)
    assert recall(exam.truth.positions, brute_force(queries, VECTORS, 5)).mean() == 1.0


def test_an_index_over_all_rows_and_one_over_the_others_are_judged_alike():
    rows, recipe = rows_of(VECTORS), recipe_of("ivf12,int8")
    exam = examine(rows, None, 10, recipe, 1)
    queries = np.arange(len(exam.asked))
    every = recipe.filled(rows, 1, left_out=exam.left_out).index
    others = recipe.filled(Subset(rows, exam.kept), 1).index
    assert every.n == 600
    assert others.n == 540
    for nprobe in (1, 4, 12):
        both = [exam.recalls(index, {"nprobe": nprobe}, queries, 1) for index in (every, others)]
        np.testing.assert_array_equal(*both)
    assert both[0].mean() > 0.9


def test_deleted_rows_are_no_answers():
    rows = rows_of(VECTORS)
    rows.commit(delete=np.arange(100))
    exam = examine(rows, VECTORS[:20] + 0.01, 3, recipe_of(), 1)
    assert exam.truth.positions[:, :3].min() >= 100
    index = recipe_of().filled(rows, 1).index
    assert exam.recalls(index, {}, np.arange(20), 1).mean() == 1.0


def test_ties_of_the_last_neighbour_count_as_right():
    metric, _ = make_metric("euclidean", default_registry())
    truth = Truth.of(Found(np.array([[7, 3, 5, 9]]), np.float32([[0, 1, 1, 4]])), metric, 2)
    assert truth.recalls(np.array([[7, 5]])).tolist() == [1.0]
    assert truth.recalls(np.array([[5, 3]])).tolist() == [1.0]
    assert truth.recalls(np.array([[7, 9]])).tolist() == [0.5]
    assert truth.recalls(np.array([[9, -1]])).tolist() == [0.0]


def test_the_halves_are_disjoint_and_depend_on_the_seed():
    truth = Truth(np.zeros((101, 1), np.int64), np.ones(101))
    exam = Examination(rows_of(VECTORS), np.zeros((101, 6), np.float32), truth, np.empty(0, np.int64), 1)
    choose, certify = exam.halves(1)
    assert sorted([*choose, *certify]) == list(range(101))
    assert not np.array_equal(choose, exam.halves(2)[0])


def test_a_sample_leaves_out_what_is_left_out():
    exam = examine(rows_of(VECTORS), None, 10, recipe_of(), 1)
    some = exam.sampled(200, np.arange(40), recipe_of(), 1)
    assert len(some.rows) == 200
    assert not np.isin(some.rows.positions, exam.left_out).any()
    taken = VECTORS[some.rows.positions]
    assert recall(some.truth.positions, brute_force(exam.asked[:40], taken, 10)).mean() == 1.0


@pytest.mark.parametrize("plan", ["hnsw8", "ivf8", "flat,int8,refine-f32", "pca3,ivf8,pq3x4"])
def test_only_links_between_rows_keep_an_index_from_forgetting(plan):
    index = recipe_of(plan).make(6, 600)
    assert index.rows_apart is (not plan.startswith("hnsw"))


def test_a_subset_is_read_only():
    some = Subset(rows_of(VECTORS), np.array([5, 9]))
    np.testing.assert_array_equal(some.span(0, 2), VECTORS[[5, 9]])
    with pytest.raises(nk.errors.NotSupportedError, match="only read"):
        some.commit(delete=np.array([0]))
