"""What users write for a budget, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin.budgets import LEVELS, Budget, read_bytes, read_seconds
from nearkin.errors import ParameterError


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("200MB", 200_000_000), ("4GiB", 4 << 30), ("1.5k", 1500), ("12", 12), (" 2 gb ", 2_000_000_000), (77, 77)],
)
def test_bytes(text, bytes_):
    assert read_bytes(text) == bytes_


@pytest.mark.parametrize(
    ("text", "seconds"), [("2ms", 0.002), ("500us", 0.0005), ("1s", 1.0), (0.25, 0.25), ("7µs", 7e-6)]
)
def test_seconds(text, seconds):
    assert read_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("wrong", ["", "MB", "-5MB", "5 parsecs", 0, -1, True, math.nan, math.inf, "1e999", None, [1]])
def test_wrong_bytes_are_refused_with_an_example(wrong):
    with pytest.raises(ParameterError, match="200MB"):
        read_bytes(wrong)


@pytest.mark.parametrize("wrong", ["", "2", "2 minutes", 0, -0.1, False, "nan", math.inf])
def test_wrong_seconds_are_refused_with_an_example(wrong):
    with pytest.raises(ParameterError, match="2ms"):
        read_seconds(wrong)


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused_in_a_sentence(text):
    for read in (read_bytes, read_seconds):
        try:
            value = read(text)
        except ParameterError as refusal:
            error = refusal
        else:
            assert 0 < value < math.inf
            continue
        assert repr(text) in error.message


@pytest.mark.parametrize("wrong", [0, 1, 1.2, -0.5, True, "0.9", math.nan])
def test_wrong_recalls_are_refused(wrong):
    with pytest.raises(ParameterError, match="recall is"):
        Budget.of(recall=wrong)


def test_a_recall_of_one_is_the_plan_flat():
    with pytest.raises(ParameterError, match='plan="flat"'):
        Budget.of(recall=1)


def test_without_a_recall_the_highest_that_the_rest_allows_is_aimed_at():
    assert Budget.of(memory=10).levels == LEVELS
    assert Budget.of(recall=0.7).levels == (0.7,)


def test_nothing_asked_for_is_no_budget():
    assert not Budget.of(optimize="single").given
    assert Budget.of(latency="1ms").given
    with pytest.raises(ParameterError, match="batch, single"):
        Budget.of(optimize="speed")
