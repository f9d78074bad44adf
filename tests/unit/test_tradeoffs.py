"""What is read off measured trade-offs: curves that nothing beats, a recommendation, and the textbook claims."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.made_tradeoffs import FLAT, four, row, setting, tradeoffs

from nearkin.claims import judge_claims
from nearkin.recommendation import recommend
from nearkin.tradeoffs import pareto

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@given(POINTS)
def test_the_pareto_points_are_those_that_no_other_beats(points):
    kept = pareto(points)
    values = [points[at] for at in kept]
    unbeaten = {p for p in points if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in points)}
    assert set(values) == unbeaten
    assert len(values) == len(unbeaten)
    assert values == sorted(values)


def test_rows_that_are_good_enough_come_first_and_then_by_recall():
    assert [each.plan for each in four().measured] == ["ivf", "flat,int8", "flat", "flat,pq"]
    assert [each.plan for each in four().failed] == ["theirs"]


def test_a_plan_is_shown_under_its_fastest_setting_that_is_good_enough():
    ivf = four().rows[1]
    assert ivf.shown(0.95).search == {"nprobe": 16}
    assert ivf.shown(0.85).search == {"nprobe": 4}
    assert ivf.shown(0.99).search == {"nprobe": 16}  # none is: the one with the highest recall


def test_curves():
    found = four()
    assert [(r.plan, s.recall.mean) for r, s in found.fastest_curve()] == [
        ("ivf", 0.9),
        ("ivf", 0.97),
        ("flat,int8", 0.995),
        ("flat", 1.0),
    ]
    assert [r.plan for r, _ in found.smallest_curve()] == ["flat,pq", "flat,int8", "flat"]


def test_bytes_and_compression():
    made = row("flat,int8", 25, setting(1, 1), predicted={"codes": 20_000}, allocated={"codes": 24_000, "ids": 1000})
    assert (made.row_bytes, made.compression, made.prediction_error) == (25, 4, 0.25)


def test_a_plan_that_another_index_took_the_place_of_says_so():
    assert row("ivf8", 1, index="ivf").label == "ivf8"
    assert row("ivf8", 1, index="surrogate", asked="surrogate").label == "ivf8 (instead of surrogate)"


# ---- recommendation --------------------------------------------------------------------------------------------------


def test_the_fastest_and_the_smallest_that_are_surely_good_enough():
    best = recommend(four())
    assert (best.row.plan, best.setting.search, best.reached) == ("ivf", {"nprobe": 16}, True)
    assert best.smallest.plan == "flat,int8"
    assert best.sentence.startswith("Take ivf with nprobe=16: of the 4 plans measured it is the fastest")
    assert "recall 0.970, interval 0.960 to 0.980" in best.sentence
    assert (
        "5,000 queries a second (5.0 times flat) and 110 bytes a vector (1.1 times the size of float32)"
        in best.sentence
    )
    assert "take flat,int8, with 25 bytes a vector (4.0 times smaller than float32)" in best.sentence


def test_a_mean_above_what_is_wanted_is_not_enough():
    found = tradeoffs(FLAT, row("ivf", 100, setting(0.96, 9000, width=0.02, nprobe=4)))
    assert recommend(found).row.plan == "flat"


def test_where_nothing_is_good_enough_the_highest_recall_is_named():
    best = recommend(replace(four(), wanted=0.999))
    assert not best.reached
    assert best.row.plan == "flat"
    assert best.sentence.startswith("No plan that was measured has a recall@10 of surely 0.999")


# ---- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recall", "width", "size", "verdict"),
    [
        (0.995, 0.004, 25, "holds"),
        (0.995, 0.006, 25, "too close to call"),
        (0.98, 0.005, 25, "does not hold"),
        (0.995, 0.004, 40, "does not hold"),  # 2.5 times smaller
    ],
)
def test_int8(recall, width, size, verdict):
    claim = judge_claims(tradeoffs(FLAT, row("flat,int8", size, setting(recall, 1, width=width))))[0]
    assert claim.verdict == verdict
    assert (claim.compression, claim.recall) == (100 / size, recall)


def test_pruning_and_low_rank_with_their_refined_plans():
    found = tradeoffs(
        FLAT,
        row("pca5,flat", 20, setting(0.7, 1), asked="pca,flat"),
        row("pca5,flat,refine-f16", 70, setting(0.99, 1), asked="pca,flat,refine-f16"),
        row("flat,pruned70", 15, setting(0.96, 1, width=0.005), asked="flat,pruned:percent=70"),
    )
    verdicts = {claim.plan: claim.verdict for claim in judge_claims(found)}
    assert verdicts == {
        "flat,int8": "not measured",
        "pca5,flat": "does not hold",
        "flat,pruned": "not measured",
        "flat,pruned70": "holds",
        "flat,pruned:percent=90": "not measured",
    }
    assert judge_claims(found)[1].refined_recall == 0.99
