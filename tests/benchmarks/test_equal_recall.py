"""What the benchmarks at equal recall choose and count, by hand: no peer is needed."""

from __future__ import annotations

import importlib
import json
import sys
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def of_benchmarks(name):
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


shared = of_benchmarks("equal_recall")


def point(recall, seconds):
    return shared.Point(None, {}, np.empty((0, 1)), recall, seconds)


def test_geometric_mean():
    assert shared.geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    assert shared.geometric_mean(iter([0.5, 2.0, 8.0])) == pytest.approx(2.0)
    assert isnan(shared.geometric_mean([]))


def test_fastest_leaves_out_what_misses_the_target():
    points = [point(0.94, 1.0), point(0.95, 3.0), point(0.99, 2.0), point(1.0, 4.0)]
    assert [each.seconds for each in shared.fastest(points, 0.95)] == [2.0, 3.0, 4.0]
    assert [each.seconds for each in shared.fastest(points, 0.95, 1)] == [2.0]
    assert [each.seconds for each in shared.fastest(points, 0.995)] == [4.0]
    assert shared.fastest(points[:3], 0.995) == []


def test_a_mean_that_lost_its_last_digit_reaches_its_target():
    assert 0.3 + 0.6 < 0.9
    assert shared.reaches(0.3 + 0.6, 0.9)
    assert not shared.reaches(0.8999, 0.9)


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0, 1))
def test_least_step_is_the_first_that_reaches_the_target(recalls, target):
    rising = sorted(recalls)
    enough = [step for step, recall in enumerate(rising) if shared.reaches(recall, target)]
    assert shared.least_step(len(rising), rising.__getitem__, target) == (enough[0] if enough else None)


def test_bytes_of_hnswlib():
    # vectors 512, label 8, 33 numbers on the ground level; a fifteenth of 17 numbers above it
    assert shared.hnswlib_bytes(10_000, 128, 16) == round(10_000 * (512 + 8 + 4 * 33 + 4 * 17 / 15))
    # what hnswlib 0.8.0 itself says of such an index, a header and the level of each row included
    assert shared.hnswlib_bytes(10_000, 128, 16) == pytest.approx(6_603_956 - 4 * 10_000, rel=0.001)


def test_halves_are_all_queries_once_and_differ_by_seed():
    queries = np.arange(11.0)[:, None]
    first, second = shared.halves(queries, seed=1)
    assert (len(first), len(second)) == (5, 6)
    assert np.array_equal(np.sort(np.concatenate([first, second]), axis=0), queries)
    assert not np.array_equal(first, shared.halves(queries, seed=2)[0])


def test_the_judge_counts_ties_and_no_padding():
    rows = np.array([[0.0], [1.0], [1.0], *[[float(10 + n)] for n in range(20)]])
    judge = shared.Judge(rows, np.array([[0.0]]), "euclidean", 1)
    nearest = np.arange(10)[None, :]
    assert judge.recall(nearest) == 1
    assert judge.plain_recall(nearest) == 1
    assert judge.recall(np.array([[0, 1, 2, 3, 4, 5, 6, 20, 21, -1]])) == pytest.approx(0.7)
    twins = np.concatenate([rows, [[float(10 + 6)]]])  # the tenth neighbour twice
    judge = shared.Judge(twins, np.array([[0.0]]), "euclidean", 1)
    either = [judge.recall(np.array([[*range(9), last]])) for last in (9, len(twins) - 1)]
    plain = [judge.plain_recall(np.array([[*range(9), last]])) for last in (9, len(twins) - 1)]
    assert either == [1, 1]
    assert sorted(plain) == pytest.approx([0.9, 1])


def test_json_has_null_for_what_is_not_finite():
    found = json.loads(shared.json_line({"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": np.float64("nan")}}))
    assert found == {"a": None, "b": [1.5, None], "c": {"d": None}}


def test_a_table_is_markdown():
    assert shared.table(["a", "b"], [["1", "2"]]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]


def test_the_grid_names_each_plan_once_and_all_parse():
    from nearkin.plans import parse_plan
    from nearkin.registry import default_registry

    plans = list(of_benchmarks("against_grid").plans(10_000, 128, ["ivf", "hnsw", "flat"]))
    assert len(plans) == len(set(plans)) == 6 * 34
    assert "ivf50,pq16x8,refine-int8" in plans
    assert "hnsw16,f16,refine-int8" not in plans
    for plan in plans:
        parse_plan(plan, default_registry())


def test_the_summary_is_of_the_best_peer_of_each_case():
    peers = of_benchmarks("peers")

    def result(target, library, ratio, seconds):
        return {
            "data": "d", "target": target, "library": library, "qps": 1.0, "nearkin_over_this": ratio, "build_seconds": seconds,
        }  # fmt: skip

    mine = [
        {
            "data": "d",
            "target": target,
            "library": "nearkin",
            "reached": target < 0.95,
            "qps": 1.0,
            "build_seconds": 2.0,
            "with_planning_seconds": 8.0,
        }
        for target in (0.9, 0.95)
    ]
    found = peers.summary(
        [
            result(0.9, "hnswlib", 4.0, 10.0),
            result(0.9, "SVS", 1.0, 30.0),
            result(0.95, "hnswlib", 4.0, 8.0),
            {"data": "d", "target": 0.95, "library": "SVS"},  # it did not reach the target
            result(0.9, "faiss IVF,PQx4fs,Refine", 1.5, 1.0),
            *mine,
        ]
    )
    assert found["over_best_peer"] == {"d 0.9": 1.0, "d 0.95": 4.0}
    assert found["over_best_peer_mean"] == pytest.approx(2.0)
    assert found["over_best_peer_least"] == 1.0
    assert found["over_faiss_grid_least"] == 1.5
    assert found["nearkin_missed"] == ["d 0.95"]
    assert found["build_over_hnswlib_most"] == pytest.approx(2 / 8)
    assert found["planned_over_hnswlib_most"] == pytest.approx(1.0)
