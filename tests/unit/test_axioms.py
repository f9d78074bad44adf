"""Axioms tried on rows: every broken one is found with the rows that break it, and rounding is not taken for one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import nearkin as nk
from nearkin.axioms import PAIRS_ROWS, ROUNDING, SAMPLE_ROWS, Counterexample, counterexamples, need_axioms
from nearkin.errors import ParameterError, PluginContractError
from nearkin.indexing import Recipe
from nearkin.metrics import ALL_AXIOMS, Axiom, Cosine, Euclidean, Metric
from nearkin.registry import default_registry


def numpy_metric(
    pairwise: Callable[[np.ndarray, np.ndarray], np.ndarray], axioms: frozenset[Axiom] = ALL_AXIOMS
) -> Metric:
    """A metric of a function over blocks of rows."""
    members = {"name": "under-test", "axioms": axioms, "pairwise": lambda self, q, x: pairwise(q, x)}
    made: Metric = type("UnderTest", (Metric,), members)()
    return made


def city_block(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return cdist(queries.astype(float), vectors.astype(float), "cityblock")


def uphill_is_farther(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    apart = queries[:, None, :] - vectors[None, :, :]
    return (2 * np.maximum(apart, 0) + np.maximum(-apart, 0)).sum(axis=2)


def squared(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return city_block(queries, vectors) ** 2


LINE = [[0], [1], [2]]
BROKEN: dict[Axiom, tuple[Callable[..., np.ndarray], tuple[int, ...], tuple[float, ...], str]] = {
    "non-negative": (
        lambda q, x: city_block(q, x) * (city_block(q, x) - 1.5),
        (0, 1),
        (-0.5,),
        "the distance of row 0 [0] to row 1 [1] is -0.5",
    ),
    "identity": (
        lambda q, x: city_block(q, x) + 3 * (city_block(q, x) == 0) * (q == 2),
        (2,),
        (3,),
        "the distance of row 2 [2] to itself is 3",
    ),
    "symmetric": (
        uphill_is_farther,
        (0, 2),
        (2, 4),
        "the distance of row 0 [0] to row 2 [2] is 2, and back 4",
    ),
    "triangle": (
        squared,
        (0, 2, 1),
        (4, 1, 1),
        "the distance of row 0 [0] to row 2 [2] is 4, and over row 1 [1] it is 1 + 1",
    ),
}


@pytest.mark.parametrize("axiom", BROKEN)
def test_each_broken_axiom_is_found_with_its_rows(axiom):
    pairwise, positions, distances, sentence = BROKEN[axiom]
    (found,) = counterexamples(numpy_metric(pairwise), LINE, axioms=[axiom])
    assert isinstance(found, Counterexample)
    assert (found.axiom, found.positions, found.distances) == (axiom, positions, distances)
    assert [row.tolist() for row in found.rows] == [LINE[at] for at in positions]
    assert str(found) == sentence


@pytest.mark.parametrize("axiom", BROKEN)
def test_what_is_not_declared_is_not_tried(axiom):
    pairwise = BROKEN[axiom][0]
    assert axiom in [found.axiom for found in counterexamples(numpy_metric(pairwise), LINE)]
    assert axiom not in [found.axiom for found in counterexamples(numpy_metric(pairwise, ALL_AXIOMS - {axiom}), LINE)]
    assert counterexamples(numpy_metric(pairwise), LINE, axioms=[]) == []


def excesses(table: np.ndarray) -> dict[str, float]:
    """By how much a table of distances breaks each axiom, one pair and one detour after the other."""
    every = range(len(table))
    return {
        "non-negative": max(-table[i, j] for i in every for j in every),
        "identity": max(abs(table[i, i]) for i in every),
        "symmetric": max(abs(table[i, j] - table[j, i]) for i in every for j in every),
        "triangle": max(table[i, j] - (table[i, k] + table[k, j]) for i in every for j in every for k in every),
    }


@given(n=st.integers(1, 7), seed=st.integers(0, 1000), integers=st.booleans())
def test_the_worst_violation_is_the_one_that_loops_find(n, seed, integers):
    rng = np.random.default_rng(seed)
    table = rng.integers(-2, 6, (n, n)).astype(float) if integers else rng.normal(1, 1, (n, n))
    metric = numpy_metric(lambda q, x: table[np.ix_(q[:, 0].astype(int), x[:, 0].astype(int))])
    found = {each.axiom: each for each in counterexamples(metric, np.arange(n)[:, None])}
    slack = ROUNDING * (np.abs(table).max() or 1)
    assert set(found) == {axiom for axiom, excess in excesses(table).items() if excess > slack}
    for axiom, each in found.items():
        first, *more = each.distances
        excess = {
            "non-negative": lambda first=first: -first,
            "identity": lambda first=first: abs(first),
            "symmetric": lambda first=first, more=more: abs(first - more[0]),
            "triangle": lambda first=first, more=more: first - sum(more),
        }[axiom]()
        assert excess == pytest.approx(excesses(table)[axiom])
        assert table[each.positions[0], each.positions[min(1, len(each.positions) - 1)]] == first


HARD = {
    "huge": lambda rows: rows * 1e15,
    "tiny": lambda rows: rows * 1e-15,
    "duplicates": lambda rows: np.repeat(rows[:5], 8, axis=0),
    "near duplicates": lambda rows: rows[:1] + 1e-3 * rows,
    "far from the origin": lambda rows: rows + 1e5,
    "of every size": lambda rows: rows * 10.0 ** np.linspace(-12, 12, len(rows))[:, None],
    "zeros among them": lambda rows: np.where(np.arange(len(rows))[:, None] % 3, rows, 0),
    "one": lambda rows: rows[:1],
    "none": lambda rows: rows[:0],
}


def angle_in_float32(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    q, x = (rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-300) for rows in (queries, vectors))
    return np.arccos((q @ x.T).clip(-1, 1))


def length_of_difference_in_float32(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.abs(queries[:, None, :] - vectors[None, :, :]).sum(axis=2)


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize(
    "metric",
    [numpy_metric(city_block), numpy_metric(length_of_difference_in_float32), Euclidean(), Cosine()],
    ids=["city block", "in float32", "euclidean", "cosine"],
)
def test_right_metrics_pass_on_hard_rows(metric, kind):
    rows = HARD[kind](np.random.default_rng(0).normal(size=(40, 6)))
    assert counterexamples(metric, rows) == []


def test_what_float32_rounds_is_no_counterexample():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=6) + 1e-3 * rng.normal(size=(30, 6))).astype(np.float32)
    values = angle_in_float32(rows, rows)
    assert values.diagonal().max() > ROUNDING * values.max()  # in float32 a row is not at an angle of 0 to itself
    assert counterexamples(numpy_metric(angle_in_float32), rows) == []


def test_nor_of_a_compiled_formula():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=6) + 1e-3 * rng.normal(size=(30, 6))).astype(np.float32)
    assert angle.distances(rows, rows).diagonal().max() > ROUNDING * angle.distances(rows, rows).max()
    assert counterexamples(angle, rows) == []
    (found,) = counterexamples(squares, rows)
    assert found.axiom == "triangle"


def test_a_metric_that_takes_no_float64_is_judged_by_its_float32():
    def strict(queries, vectors):
        assert queries.dtype == np.float32
        return squared(queries, vectors)

    (found,) = counterexamples(numpy_metric(strict), LINE)
    assert found.axiom == "triangle"


@nk.metric("angle", axioms=ALL_AXIOMS)
def angle(a, b):
    ab = 0.0
    aa = 0.0
    bb = 0.0
    for i in range(a.shape[0]):
        ab += a[i] * b[i]
        aa += a[i] * a[i]
        bb += b[i] * b[i]
    return math.acos(max(-1.0, min(1.0, ab / math.sqrt(aa * bb))))


@nk.metric("squares", axioms=ALL_AXIOMS)
def squares(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += (a[i] - b[i]) ** 2
    return total


@nk.metric("scaled-uphill", axioms=["symmetric"], fit=lambda rows: 1 / (rows.std(axis=0) + 1))
def scaled_uphill(a, b, params):
    total = 0.0
    for i in range(a.shape[0]):
        total += params[i] * max(a[i] - b[i], 0.0)
    return total


def test_infinite_distances_are_distances():
    def apart(queries, vectors):
        values = city_block(queries, vectors)
        return np.where(values > 1.5, np.inf, values)

    assert [each.axiom for each in counterexamples(numpy_metric(apart), LINE)] == ["triangle"]
    assert [each.axiom for each in counterexamples(numpy_metric(apart), [*LINE, [9]])] == ["triangle"]
    two_islands = [[0], [1], [9], [10]]
    assert counterexamples(numpy_metric(apart), two_islands) == []


def test_packed_bits():
    class Xor(Metric):
        name = "xor"
        dtype = "bits"
        axioms = ALL_AXIOMS

        def pairwise(self, queries, vectors):
            return np.bitwise_count(queries[:, None] ^ vectors[None]).sum(axis=2).astype(float) ** self.power

    rows = np.random.default_rng(0).integers(0, 256, (60, 4), dtype=np.uint8)
    Xor.power = 1
    assert counterexamples(Xor(), rows) == []
    Xor.power = 3
    assert [each.axiom for each in counterexamples(Xor(), rows)] == ["triangle"]


def test_rows_that_are_refused_are_left_out_and_names_kept():
    class Refusing(Metric):
        name = "refusing"
        axioms = ALL_AXIOMS
        refuses_rows = True

        def refuses(self, vectors):
            return vectors[:, 0] < 0

        def pairwise(self, queries, vectors):
            assert (queries >= 0).all()
            return squared(queries, vectors)

    rows = [[-1], [0], [-1], [1], [2]]
    (found,) = counterexamples(Refusing(), rows)
    assert found.positions == (1, 4, 3)
    (found,) = counterexamples(Refusing(), rows, positions=np.array([5, 6, 7, 8, 9]))
    assert found.positions == (6, 9, 8)
    assert counterexamples(Refusing(), [[-1.0]]) == []


def test_of_many_rows_some_are_looked_at():
    seen = []

    def counted(queries, vectors):
        seen.append(len(queries))
        return squared(queries, vectors)

    rows = np.random.default_rng(0).normal(size=(20 * PAIRS_ROWS, 2))
    (found,) = counterexamples(numpy_metric(counted), rows)
    assert max(seen) == PAIRS_ROWS
    start, end, over = (rows[at] for at in found.positions)
    assert found.distances == pytest.approx(
        [np.abs(start - end).sum() ** 2, np.abs(start - over).sum() ** 2, np.abs(over - end).sum() ** 2], rel=1e-5
    )


def test_wrong_questions():
    with pytest.raises(ParameterError, match="'transitive' is not an axiom, non-negative, identity"):
        counterexamples(Euclidean(), LINE, axioms=["transitive"])
    with pytest.raises(nk.errors.VectorError, match="2-D"):
        counterexamples(Euclidean(), [1.0, 2.0])
    nothing = numpy_metric(lambda q, x: np.where(q == x.T, np.nan, 1.0))
    with pytest.raises(PluginContractError, match=r"gave NaN for 3 of 9 pairs \(first: rows 7 and 7\)"):
        counterexamples(nothing, LINE, positions=np.array([7, 8, 9]))


# ---- at build ------------------------------------------------------------------------------------------------------------


def rows_of(error: pytest.ExceptionInfo[PluginContractError]) -> list[int]:
    return [int(word.split()[0]) for word in str(error.value).split("row ")[1:]]


@pytest.mark.parametrize("plan", ["flat", "ivf4"])
def test_a_formula_with_a_wrong_declaration_is_refused_before_an_index_is_trained(plan, monkeypatch):
    monkeypatch.setattr(Recipe, "build", lambda *given: pytest.fail("an index was trained"))
    rows = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    with pytest.raises(PluginContractError, match="declares the axiom triangle, and rows break it") as caught:
        nk.build(rows, metric=squares, plan=plan)
    assert caught.value.hint == "correct the formula, or leave triangle out of its axioms"
    start, end, over = rows[rows_of(caught)].astype(float)
    direct, detour = ((start - end) ** 2).sum(), ((start - over) ** 2).sum() + ((over - end) ** 2).sum()
    assert direct > detour
    assert float(re.findall(r"\] is ([\d.]+),", str(caught.value))[0]) == pytest.approx(direct, rel=1e-4)


def test_rows_left_out_do_not_shift_the_positions():
    rows = np.full((400, 1), np.nan, dtype=np.float32)
    rows[[30, 200, 399], 0] = [0, 1, 2]
    with pytest.raises(PluginContractError) as caught:
        nk.build(rows, metric=squares, on_bad="skip")
    assert rows_of(caught) == [30, 399, 200]
    assert "row 30 [0] to row 399 [2] is 4, and over row 200 [1] it is 1 + 1" in str(caught.value)


def test_all_broken_axioms_are_named_together():
    wrong = numpy_metric(lambda q, x: uphill_is_farther(q, x) - 1, frozenset({"non-negative", "identity", "symmetric"}))
    with pytest.raises(PluginContractError) as caught:
        nk.build(LINE, metric=wrong)
    assert caught.value.message.startswith(
        "metric 'under-test' declares the axioms non-negative, identity and symmetric, and rows break them: "
        "the distance of row 0 [0] to row 0 [0] is -1; the distance of row 0 [0] to itself is -1; "
    )
    assert caught.value.hint == "correct the formula, or leave non-negative, identity and symmetric out of its axioms"


def test_a_fitted_formula_is_tried_after_it_is_fitted():
    rows = np.random.default_rng(0).normal(size=(100, 3))
    with pytest.raises(PluginContractError, match="declares the axiom symmetric"):
        nk.build(rows, metric=scaled_uphill)


def test_nothing_declared_nothing_refused():
    rows = np.random.default_rng(0).normal(size=(100, 3))
    wrong = numpy_metric(lambda q, x: uphill_is_farther(q, x) - 1, frozenset())
    assert len(nk.build(rows, metric=wrong)) == 100


def test_right_declarations_build():
    rows = np.random.default_rng(0).normal(size=(100, 3))
    assert nk.build(rows, metric=numpy_metric(city_block)).search(rows[:1], 1).ids.tolist() == [[0]]
    assert nk.build(rows[:1], metric=numpy_metric(city_block)).search(rows[:1], 1).ids.tolist() == [[0]]


def test_not_a_number_is_refused_with_the_rows_of_the_user():
    rows = np.arange(1.0, 4.0)[:, None]
    rows[1] = np.nan
    odd = numpy_metric(lambda q, x: np.where((q == 3) & (x.T == 1), np.nan, np.abs(q - x.T)))
    with pytest.raises(PluginContractError, match=r"gave NaN for 1 of 4 pairs \(first: rows 2 and 0\)"):
        nk.build(rows, metric=odd, on_bad="skip")


def test_the_sample_is_small_and_the_same_again():
    asked = []

    def counted(queries, vectors):
        asked.append(queries.copy())
        return city_block(queries, vectors)

    rows = np.random.default_rng(0).normal(size=(5000, 2)).astype(np.float32)
    for seed in (3, 3, 4):
        need_axioms(numpy_metric(counted), rows, seed=seed)
    assert [len(each) for each in asked] == [SAMPLE_ROWS] * 3
    assert np.array_equal(asked[0], asked[1])
    assert not np.array_equal(asked[0], asked[2])


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_reductions_and_native_metrics_are_left_to_the_kit(metric, monkeypatch):
    monkeypatch.setattr("nearkin.building.need_axioms", lambda *given, **more: pytest.fail("tried"))
    assert len(nk.build(np.eye(3), metric=metric)) == 3


def test_a_space_says_what_its_values_hold():
    assert squares.space.axioms == ALL_AXIOMS
    assert numpy_metric(city_block, frozenset({"symmetric"})).space.axioms == {"symmetric"}
    assert default_registry().make("metric", "manhattan").space.axioms == ALL_AXIOMS
    assert Euclidean().space.axioms == frozenset()  # its space has squared distances
