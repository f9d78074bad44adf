"""Quality of answers, paired comparison, worst queries: against hand computations, SciPy and simulation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

import nearkin as nk
from nearkin.accuracy import without_itself
from nearkin.errors import NearkinError, ParameterError, VectorError
from nearkin.indexes import Found
from nearkin.measurement import Speed
from nearkin.paired import Difference
from nearkin.quality import Quality, distance_error, rank_correlation, worst_count


def quality(found, true, truth, truth_distances, answered=None):
    true, truth_distances = np.array(true, float), np.array(truth_distances, float)
    given_distances = true if answered is None else np.array(answered, float)
    return Quality.of(Found(np.array(found), given_distances), true, Found(np.array(truth), truth_distances))


# ---- senses of recall --------------------------------------------------------------------------------------------------


def test_senses_of_recall_by_hand():
    inf = np.inf
    seen = quality(
        found=[[1, 2, 3], [6, 4, 9], [9, 8, 7], [5, -1, -1]],
        true=[[1, 2, 3], [1, 2, 5], [8, 9, 9], [1, inf, inf]],
        truth=[[1, 2, 3], [4, 5, 6], [1, 2, 3], [5, 6, 7]],
        truth_distances=[[1, 2, 3], [1, 1, 2], [1, 2, 3], [1, 2, 3]],
    )
    assert seen.k == 3
    assert seen.recall.mean == pytest.approx((1 + 2 / 3 + 0 + 1 / 3) / 4)
    assert seen.recalls == pytest.approx((1, 2 / 3, 0, 1 / 3))
    assert seen.one_at_one.mean == 0.75  # row 6 is no nearer than row 4, and as near
    assert seen.one_at_k.mean == 0.75
    assert (seen.worst, seen.worst_queries) == (0, 1)


def test_the_nearest_row_among_k_is_another_number_than_in_the_first_place():
    seen = quality([[5, 4]], [[2.0, 1.0]], [[4, 5]], [[1.0, 2.0]], answered=[[0.5, 0.6]])
    assert (seen.recall.mean, seen.one_at_k.mean, seen.one_at_one.mean) == (1, 1, 0)
    assert (seen.distance_error, seen.rank_correlation) == (0, -1)


def test_the_worst_twentieth_is_averaged():
    recalls = np.linspace(0, 1, 41)
    found = np.where(np.arange(40)[None] < (recalls * 40)[:, None], 1.0, 5.0)
    seen = quality(np.zeros((41, 40), int), found, np.zeros((41, 40), int), np.ones((41, 40)))
    assert seen.worst_queries == worst_count(41) == 3
    assert seen.worst == pytest.approx((0 + 1 / 40 + 2 / 40) / 3)


@pytest.mark.parametrize(("queries", "worst"), [(1, 1), (19, 1), (20, 1), (21, 2), (1000, 50)])
def test_how_many_are_the_worst(queries, worst):
    assert worst_count(queries) == worst


@pytest.mark.parametrize(
    ("true", "truth", "expected"),
    [
        ([[1, 2]], [[1, 2]], 0),
        ([[2, 1]], [[1, 2]], 0),  # the i-th nearest found, whatever its place
        ([[2, 3]], [[1, 2]], 2 / 3),
        ([[1, np.inf]], [[1, 2]], 0),  # a missing row has no distance
        ([[-3, -1]], [[-3, -2]], 1 / 5),
        ([[0, 0]], [[0, 0]], None),
        ([[0, 1], [2, 2]], [[0, 0], [1, 1]], 1),
        ([[1 - 1e-9]], [[1]], 0),
    ],
)
def test_distance_error_by_hand(true, truth, expected):
    assert distance_error(np.array(true, float), np.array(truth, float)) == (
        None if expected is None else pytest.approx(expected)
    )


@given(st.integers(2, 12), st.integers(0, 10**6))
def test_rank_correlation_is_that_of_scipy(k, seed):
    rng = np.random.default_rng(seed)
    answered, true = rng.integers(0, 6, (2, 1, k)).astype(float)
    found = rank_correlation(answered, true)
    if np.ptp(answered) and np.ptp(true):
        assert found == pytest.approx(spearmanr(answered[0], true[0]).statistic)
    else:
        assert found is None


def test_padding_has_no_rank():
    assert rank_correlation(np.array([[1, 2, np.inf]]), np.array([[3, 4, np.inf]])) == 1
    assert rank_correlation(np.array([[1, np.inf]]), np.array([[3, np.inf]])) is None


# ---- a row does not answer itself ----------------------------------------------------------------------------------------


def test_the_row_that_asks_is_left_out_and_among_ties_the_last():
    found = Found(np.array([[4, 1, 2], [1, 2, 3]]), np.float32([[0, 1, 2], [0, 0, 0]]))
    left = without_itself(found, np.array([4, 9]), 2)
    assert left.positions.tolist() == [[1, 2], [1, 2]]
    assert left.distances.tolist() == [[1, 2], [0, 0]]


# ---- paired ------------------------------------------------------------------------------------------------------------


def test_all_or_nothing_differences_give_the_interval_of_bonett_and_price():
    """Their formula, worked out for 20 and 5 discordant of 100: centre 15 / 102, variance of Laplace's shares."""
    differences = np.repeat([1.0, -1.0, 0.0], [20, 5, 75])
    one, other = 21 / 102, 6 / 102
    reach = 1.959964 * np.sqrt((one + other - (one - other) ** 2) / 102)
    found = Difference.of(differences)
    assert found.mean == 0.15
    assert (found.low, found.high) == (pytest.approx(one - other - reach), pytest.approx(one - other + reach))


@pytest.mark.parametrize("n", [30, 100, 500])
@pytest.mark.parametrize("differing", [0.01, 0.1, 0.6])
def test_the_interval_of_a_difference_holds_the_true_one(n, differing):
    rng = np.random.default_rng([n, int(100 * differing)])
    chance = np.array([differing / 3, 2 * differing / 3])
    steps = rng.choice([-1.0, 1.0, 0.0], p=[*chance, 1 - differing], size=(1000, n))
    for scale in (1.0, 0.2):
        runs = [Difference.of(scale * each) for each in steps]
        true = scale * (chance[1] - chance[0])
        assert np.mean([each.low <= true <= each.high for each in runs]) >= 0.93


@pytest.mark.parametrize("n", [8, 60])
def test_the_level_of_the_test_is_right(n):
    """Plans that are equally good are called different in 5 of 100 runs, or in fewer where recalls are coarse."""
    rng = np.random.default_rng(n)
    hardness = rng.beta(8, 1, (400, n, 1))
    pairs = rng.binomial(10, np.repeat(hardness, 2, axis=2)) / 10
    p = np.array([nk.compare(pair[:, 0], pair[:, 1], seed=run).p_value for run, pair in enumerate(pairs)])
    for level in (0.05, 0.2):
        assert (p <= level).mean() <= level + 2.5 * np.sqrt(level * (1 - level) / 400)
    assert n < 60 or (p <= 0.2).mean() >= 0.12  # and it is not merely timid


def test_a_difference_that_intervals_overlap_for_is_found_query_by_query():
    rng = np.random.default_rng(0)
    hard = rng.beta(4, 1, 400)
    worse = rng.binomial(20, hard) / 20
    better = np.minimum(1, worse + 0.05 * (rng.random(400) < 0.3))
    seen = nk.compare(better, worse)
    assert seen.certain
    assert seen.difference.low > 0
    assert str(seen).startswith(f"{better.mean():.3f} against {worse.mean():.3f}: +0.0")
    assert nk.compare(worse, better).difference.mean == -seen.difference.mean


def test_few_differences_are_tried_in_every_way():
    one = np.array([1.0, 1.0, 1.0, 1.0, 0.5])
    assert nk.compare(one, np.array([0.9, 0.9, 0.9, 0.9, 0.5])).p_value == 2 / 16
    assert nk.compare(one, one).p_value == 1


def test_a_comparison_depends_on_the_seed_only():
    rng = np.random.default_rng(1)
    pair = rng.binomial(10, 0.9, (2, 200)) / 10
    assert nk.compare(*pair, seed=3) == nk.compare(*pair, seed=3)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ([1.0], [1.0, 0.5], "1 and 2 queries cannot be the same ones"),
        ([2.0], [1.0], "numbers from 0 to 1"),
        ([[1.0]], [[1.0]], r"shape \(1, 1\)"),
        ("a", [1.0], "a str has no recalls"),
        ([], [], "there are no queries"),
    ],
)
def test_what_cannot_be_compared_is_refused(first, second, said):
    with pytest.raises((ParameterError, VectorError), match=said):
        nk.compare(first, second)


def test_measurements_are_compared_and_written_as_json(monkeypatch):
    monkeypatch.setattr("nearkin.measurement.measure_speed", lambda *_args, **_kwargs: Speed(1.0, 1.0, 2.0, 3.0))
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(500, 8)), rng.normal(size=(60, 8))
    exact, coarse = (nk.measure(rows, plan="ivf16", search={"nprobe": n}, queries=queries) for n in (16, 2))
    seen = nk.compare(exact, coarse)
    assert (seen.first, seen.certain) == (1, True)
    assert seen.second == pytest.approx(np.mean(coarse.quality.recalls))
    facts = json.loads(json.dumps(coarse.to_dict()))
    assert facts["quality"]["recalls"] == list(coarse.quality.recalls)
    assert facts["recall"]["mean"] == coarse.recall.mean
    assert facts["kept"] == {"vectors": 500 * 8 * 4, "tombstones": 500}
    with pytest.raises(NearkinError, match="recall@10 and recall@5"):
        nk.compare(exact, nk.measure(rows, queries=queries, k=5))
