"""Recall, its interval, held-out queries and whole measurements, against numbers worked out by hand and by simulation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nearkin as nk
from nearkin.accuracy import Interval, recall, tie_recall
from nearkin.errors import NearkinError, ParameterError, StateError, VectorError
from nearkin.measurement import Speed, measure_collection, measure_speed

# ---- recall ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([[1, 2, 3]], [[1, 2, 3]], [1]),
        ([[3, 1, 2]], [[1, 2, 3]], [1]),
        ([[1, 9, 8]], [[1, 2, 3]], [1 / 3]),
        ([[7, 8, 9]], [[1, 2, 3]], [0]),
        ([[1, -1, -1]], [[1, 2, 3]], [1 / 3]),
        ([[1, -1, -1]], [[1, -1, -1]], [1]),  # there was one true neighbour, and it was found
        ([[-1, -1]], [[-1, -1]], [0]),
        ([[5, 1, 2, 3]], [[1, 2]], [1]),  # recall of the 2 true ones among 4 answers
        ([[1], [2]], [[1], [1]], [1, 0]),
    ],
)
def test_recall_by_hand(found, truth, expected):
    assert recall(np.array(found), np.array(truth)).tolist() == expected


@given(st.data())
def test_recall_is_the_share_of_the_intersection(data):
    n, k = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 6))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    found = np.array([rng.permutation(9)[:k] for _ in range(n)], dtype=int).reshape(n, k)
    truth = np.array([rng.permutation(9)[:k] for _ in range(n)], dtype=int).reshape(n, k)
    assert recall(found, truth).tolist() == [
        len(set(a) & set(b)) / k for a, b in zip(found.tolist(), truth.tolist(), strict=True)
    ]


@pytest.mark.parametrize("shapes", [((2, 3), (3, 3)), ((3,), (3,)), ((2, 3), (2,)), ((1, 2, 3), (1, 2, 3))])
def test_recall_of_other_shapes_is_refused(shapes):
    with pytest.raises(ParameterError, match="have shapes"):
        recall(np.zeros(shapes[0], int), np.zeros(shapes[1], int))


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([[0.0, 1.0, 2.0]], [[0.0, 1.0, 2.0]], 1),
        ([[2.0, 2.0, 2.0]], [[0.0, 1.0, 2.0]], 1),  # rows tied with the third: any of them is right
        ([[0.0, 2.00001, 2.1]], [[0.0, 1.0, 2.0]], 2 / 3),
        ([[0.0, np.inf, np.inf]], [[0.0, 1.0, 2.0]], 1 / 3),
        ([[0.0, np.inf]], [[0.0, np.inf]], 1),
        ([[-3.0, -2.0]], [[-3.0, -2.0]], 1),
        ([[-3.0, -1.9]], [[-3.0, -2.0]], 1 / 2),
        ([[0.0, 0.0]], [[0.0, 0.0]], 1),
        ([[0.0, 1e-3]], [[0.0, 0.0]], 1 / 2),
    ],
)
def test_recall_with_ties_by_hand(found, truth, expected):
    assert tie_recall(np.array(found), np.array(truth)).tolist() == [expected]


def test_ties_count_as_right_whichever_the_truth_names():
    rows = np.repeat(np.eye(4), 25, axis=0)
    mine = nk.build(rows, plan="ivf4", metric="euclidean")
    asked = np.eye(4)
    found, truth = mine.search(asked, 10, nprobe=4), mine.exact_search(asked, 10)
    shuffled = np.array([25 * query + np.random.default_rng(0).permutation(25)[:10] for query in range(4)])
    assert recall(shuffled, truth.positions).mean() < 0.9
    for positions in (found.positions, shuffled):
        assert tie_recall(mine.true_distances(asked, positions), truth.distances.astype(float)).tolist() == [1] * 4


# ---- the interval ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # R. G. Newcombe (1998), table I, method 4: score with continuity correction
    [(81, 263, 0.2535, 0.3682), (15, 148, 0.0598, 0.1644), (0, 20, 0.0000, 0.2005), (1, 29, 0.0018, 0.1963)],
)
def test_all_or_nothing_queries_give_the_published_interval(successes, n, low, high):
    found = Interval.of(np.repeat([1.0, 0.0], [successes, n - successes]))
    assert (found.mean, found.queries) == (pytest.approx(successes / n), n)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def correlated(rng, mean, n, agreement):
    """Recalls at 10 whose queries differ: a beta-distributed chance for each, then ten hits or misses."""
    chance = rng.beta(mean * agreement, (1 - mean) * agreement, n) if agreement else np.full(n, mean)
    return rng.binomial(10, chance) / 10


@pytest.mark.parametrize("n", [20, 50, 200, 1000])
@pytest.mark.parametrize("mean", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("agreement", [None, 10.0, 2.0])
def test_the_interval_holds_the_true_recall(n, mean, agreement):
    rng = np.random.default_rng([n, int(100 * mean), int(agreement or 0)])
    runs = [Interval.of(correlated(rng, mean, n, agreement)) for _ in range(1000)]
    covered = np.mean([each.low <= mean <= each.high for each in runs])
    assert covered >= 0.93


@pytest.mark.parametrize("n", [20, 50, 200, 1000])
@pytest.mark.parametrize("mean", [0.5, 0.8, 0.95, 0.99])
def test_the_interval_holds_all_or_nothing_recall(n, mean):
    rng = np.random.default_rng([n, int(100 * mean)])
    runs = [Interval.of((rng.random(n) < mean).astype(float)) for _ in range(1000)]
    assert np.mean([each.low <= mean <= each.high for each in runs]) >= 0.93


def test_the_interval_is_not_wider_than_it_need_be():
    """Independent hits at 0.95 over 1,000 queries: ten thousand trials, so about ±0.0043; a little more is allowed."""
    rng = np.random.default_rng(0)
    widths = [each.high - each.low for each in (Interval.of(correlated(rng, 0.95, 1000, None)) for _ in range(50))]
    assert 0.0085 <= np.mean(widths) <= 0.0105


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_interval_lies_around_the_mean_and_never_shrinks_to_a_point(values):
    found = Interval.of(np.array(values))
    assert 0 <= found.low <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.high <= 1
    assert found.high - found.low > 0.05
    mirrored = Interval.of(1 - np.array(values))
    assert (mirrored.low, mirrored.high) == (
        pytest.approx(1 - found.high, abs=1e-6),
        pytest.approx(1 - found.low, abs=1e-6),
    )


def test_perfect_recall_has_an_honest_lower_end():
    ends = [Interval.of(np.ones(n)).low for n in (1, 10, 100, 1000)]
    assert ends == sorted(ends)
    assert ends[0] < 0.2
    assert 0.99 < ends[-1] < 1
    assert str(Interval.of(np.ones(100))) == "1.000 (95 % interval 0.954 to 1.000, 100 queries)"
    with pytest.raises(VectorError, match="no queries to measure with"):
        Interval.of(np.empty(0))


# ---- held-out queries --------------------------------------------------------------------------------------------------


@given(st.integers(2, 60), st.integers(1, 100), st.integers(0, 2**40))
def test_no_row_is_both_indexed_and_asked(n, count, seed):
    rows = np.arange(n, dtype=np.float32)[:, None]
    split = nk.hold_out(rows, count, seed=seed)
    assert len(split.queries) == min(count, n // 2)
    assert sorted([*split.vectors[:, 0].tolist(), *split.queries[:, 0].tolist()]) == list(range(n))
    assert split.kept.tolist() == split.vectors[:, 0].tolist()
    again = nk.hold_out(rows, count, seed=seed)
    assert again.queries.tolist() == split.queries.tolist()


def test_which_rows_are_held_out_depends_on_the_seed():
    rows = np.arange(100.0)[:, None]
    assert nk.hold_out(rows, 10, seed=1).queries.tolist() != nk.hold_out(rows, 10, seed=2).queries.tolist()


def test_packed_bits_stay_packed_bits():
    assert nk.hold_out(np.zeros((4, 2), np.uint8), 1).queries.dtype == np.uint8


@pytest.mark.parametrize(
    ("vectors", "given_values", "said"),
    [
        (np.eye(4), {"count": 0}, "the number of queries held out is 0, a whole number of at least 1"),
        (np.eye(4), {"count": -1}, "is -1"),
        (np.eye(4), {"count": 2.5}, "is 2.5"),
        (np.eye(4), {"count": "a"}, "is 'a'"),
        (np.eye(4), {"seed": -1}, "seed is -1, a whole number of at least 0"),
        (np.eye(1), {}, "1 rows cannot be split"),
        (np.empty((0, 2)), {}, "0 rows cannot be split"),
        ([[1.0], [np.nan], [3.0]], {}, r"1 of 3 rows \(row 1\)"),
        ([1.0, 2.0], {}, "must be 2-D"),
    ],
)
def test_what_cannot_be_split_is_refused(vectors, given_values, said):
    with pytest.raises((VectorError, ParameterError), match=said):
        nk.hold_out(vectors, **given_values)


# ---- whole measurements ------------------------------------------------------------------------------------------------


def rows_and_queries():
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 8)), rng.normal(size=(40, 8))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Speed is not what these tests are about."""
    monkeypatch.setattr("nearkin.measurement.measure_speed", lambda *_args, **_kwargs: Speed(1.0, 1.0, 2.0, 3.0))


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner-product", "manhattan"])
def test_an_exact_plan_has_recall_one_and_a_coarse_one_less(metric):
    rows, queries = rows_and_queries()
    exact = nk.measure(rows, metric=metric, plan="flat", queries=queries)
    assert (exact.recall.mean, exact.tie_recall.mean) == (1, 1)
    assert not exact.held_out
    assert (exact.rows, exact.dim, exact.k, exact.recall.queries) == (400, 8, 10, 40)
    coarse = nk.measure(rows, metric=metric, plan="ivf16", search={"nprobe": 1}, queries=queries)
    assert 0 < coarse.recall.mean < 0.9
    assert coarse.recall.low <= coarse.recall.mean <= coarse.recall.high
    assert coarse.search == {"nprobe": 1}


def test_the_recall_is_that_of_brute_force():
    rows, queries = rows_and_queries()
    measured = nk.measure(rows, plan="flat,pq4x4", queries=queries, k=5, seed=3)
    mine = nk.build(rows, plan="flat,pq4x4", seed=3)
    true = ((queries[:, None] - rows[None]) ** 2).sum(axis=2).argsort(axis=1)[:, :5]
    found = mine.search(queries, 5).ids
    expected = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found.tolist(), true.tolist(), strict=True)])
    assert measured.recall.mean == pytest.approx(expected)


def test_held_out_rows_are_not_indexed():
    rows, _ = rows_and_queries()
    measured = nk.measure(rows, plan="flat", queries_held_out=50)
    assert (measured.rows, measured.recall.queries, measured.held_out) == (350, 50, True)
    assert measured.float32_bytes == 350 * 8 * 4
    assert measured.allocated == {"codes": 350 * 8 * 4}


def test_more_asked_than_there_are_rows():
    measured = nk.measure(np.eye(4), queries_held_out=1, k=10)
    assert (measured.k, measured.recall.mean) == (3, 1)


def test_packed_bits_are_measured():
    bits = np.random.default_rng(0).integers(0, 256, (200, 4), dtype=np.uint8)
    measured = nk.measure(bits, metric="hamming", plan="ivf4", search={"nprobe": 4})
    assert measured.tie_recall.mean == 1
    assert measured.float32_bytes == 100 * 4


def test_a_measurement_is_json():
    facts = json.loads(json.dumps(nk.measure(np.eye(6), queries_held_out=2).to_dict()))
    assert facts["recall"]["queries"] == 2
    assert facts["plan"] == "flat"


@pytest.mark.parametrize(
    "given_values", [{"k": 0}, {"k": "a"}, {"k": 2.5}, {"queries": np.empty((0, 8))}, {"queries": [[1.0]]}]
)
def test_what_cannot_be_measured_is_refused(given_values):
    rows, _ = rows_and_queries()
    with pytest.raises(NearkinError):
        nk.measure(rows, **given_values)


def test_without_vectors_nothing_can_be_measured():
    rows, queries = rows_and_queries()
    mine = nk.build(rows, keep_vectors=False)
    with pytest.raises(StateError, match="exact_search needs the rows"):
        measure_collection(mine, queries)


def test_exact_neighbours():
    rows, queries = rows_and_queries()
    truth = nk.exact_neighbours(rows, queries, metric="cosine", k=3)
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, queries)]
    distances = 1 - unit[1] @ unit[0].T
    assert truth.positions.tolist() == distances.argsort(axis=1)[:, :3].tolist()
    np.testing.assert_allclose(truth.distances, np.sort(distances, axis=1)[:, :3], atol=1e-6)
    assert nk.exact_neighbours(rows[:2], queries, k=10).positions.shape == (40, 2)
    with pytest.raises(ParameterError, match="k is 0"):
        nk.exact_neighbours(rows, queries, k=0)


def test_speed_counts_queries_and_orders_its_quantiles():
    asked = []
    speed = measure_speed(lambda batch: asked.append(len(batch)), np.zeros((7, 2)), repeats=3, singles=20)
    assert asked == [7] * 4 + [1] * 30
    assert 0 <= speed.p50_us <= speed.p95_us <= speed.p99_us
    assert speed.batch_qps > 0
