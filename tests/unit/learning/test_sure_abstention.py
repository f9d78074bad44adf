"""The promise of an error rate by simulation, and the bound it rests on against scipy's and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from nearkin import errors
from nearkin.learning.abstention import choose_threshold, error_bound
from nearkin.learning.scope import beyond, scope_limit


@pytest.mark.parametrize(("wrong", "answers"), [(0, 1), (0, 59), (3, 100), (40, 41), (7, 7)])
def test_the_bound_is_the_rate_at_which_so_few_errors_are_a_chance_of_five_in_a_hundred(
    wrong: int, answers: int
) -> None:
    bound = float(error_bound(wrong, answers))
    chance = binom.cdf(wrong, answers, bound)
    assert chance == pytest.approx(1.0 if wrong == answers else 0.05, abs=1e-9)


def drawn(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that claim too much, and whether the label is right; the chance of an error at p is (1 - p) / 1.5 + 0.01."""
    stated = rng.beta(4, 1, rows)
    return stated, rng.random(rows) > (1 - stated) / 1.5 + 0.01


LEVELS = np.linspace(0, 1, 200_001)


def true_error(threshold: float) -> float:
    """The mean over the density 4 p³ above the threshold."""
    above = LEVELS[threshold <= LEVELS]
    return float(np.average((1 - above) / 1.5 + 0.01, weights=4 * above**3))


@pytest.mark.parametrize(("rows", "error_rate"), [(300, 0.15), (1500, 0.06), (1500, 0.1)])
def test_the_error_rate_is_kept_in_at_least_95_of_100_runs(rows: int, error_rate: float) -> None:
    rng, broken, answered = np.random.default_rng(rows), 0, 0
    for _ in range(200):
        chosen = choose_threshold(*drawn(rng, rows), error_rate)
        if chosen.threshold < np.inf:
            answered += 1
            broken += true_error(chosen.threshold) > error_rate
    assert broken <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)
    assert answered > 120  # or the promise would cost nothing


def test_no_better_than_promised_is_not_kept_by_answering_nothing() -> None:
    rng = np.random.default_rng(1)
    chosen = choose_threshold(*drawn(rng, 20_000), 0.1)
    assert chosen.error is not None
    assert chosen.coverage is not None
    assert 0.08 < chosen.error.mean <= 0.1  # many rows leave little to be careful about
    assert chosen.coverage.mean > 0.6


def test_where_no_threshold_can_nothing_is_answered_and_it_is_said() -> None:
    wrong = choose_threshold(np.linspace(0, 1, 50), np.arange(50) % 2 == 0, 0.05)
    assert wrong.threshold == np.inf
    assert wrong.error is None
    assert wrong.coverage is not None
    assert wrong.coverage.mean == 0
    assert "of 50 held-out rows 25 were wrong; at least 90 answers, all of them right, would be needed" in wrong.reason
    assert float(error_bound(0, 90, 0.99)) <= 0.05 < float(error_bound(0, 89, 0.99))
    none = choose_threshold(np.empty(0), np.empty(0, dtype=bool), 0.05)
    assert (none.threshold, none.coverage) == (np.inf, None)


def test_rows_of_one_probability_are_answered_together() -> None:
    stated = np.repeat([0.9, 0.6], 500)
    right = np.ones(1000, dtype=bool)
    right[500:600] = False
    assert choose_threshold(stated, right, 0.05).threshold == 0.9
    assert choose_threshold(stated, right, 0.3).threshold == 0.6
    assert choose_threshold(stated, right, None).threshold == 0
    alone = choose_threshold(stated, right, 0.3, answerable=stated > 0.7)
    assert alone.coverage is not None
    assert (alone.threshold, alone.coverage.mean) == (0.9, 0.5)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.booleans()), max_size=80), st.floats(0.01, 0.99))
@settings(deadline=None, max_examples=100)
def test_what_is_answered_is_within_the_bound(rows: list[tuple[float, bool]], error_rate: float) -> None:
    stated, right = np.array([each for each, _ in rows]), np.array([each for _, each in rows], dtype=bool)
    chosen = choose_threshold(stated, right, error_rate)
    answered = stated >= chosen.threshold
    assert (
        not answered.any() or float(error_bound(int((~right[answered]).sum()), int(answered.sum()), 0.95)) <= error_rate
    )


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan"), "few", True])
def test_error_rates_that_are_none(rate: Any) -> None:
    with pytest.raises(
        errors.ParameterError, match=r"error_rate is .*, a share above 0 and below 1 expected; such as 0\.05"
    ):
        choose_threshold(np.ones(3), np.ones(3, dtype=bool), rate)


@pytest.mark.parametrize("rows", [99, 100, 500])
def test_a_new_row_is_in_scope_as_often_as_promised(rows: int) -> None:
    rng = np.random.default_rng(rows)
    inside = [not beyond(rng.exponential(size=1), scope_limit(rng.exponential(size=rows), 0.9))[0] for _ in range(3000)]
    assert 0.9 - 0.02 < np.mean(inside) < 0.9 + 1 / rows + 0.02


def test_too_few_rows_limit_nothing_and_equal_distances_are_inside() -> None:
    assert scope_limit(np.zeros(98), 0.99) == np.inf
    limit = scope_limit(np.full(99, 0.3), 0.99)
    assert limit == 0.3
    assert beyond(np.array([3e-9, 4e-9]), 3e-9).tolist() == [False, True]
    assert beyond(np.array([0.3, 0.300001, 0.31, np.inf]), limit).tolist() == [False, False, True, True]
