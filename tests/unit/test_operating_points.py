"""The least search parameters that are enough, and how few are asked for."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearkin.codecs import Float32
from nearkin.flat_index import FlatIndex
from nearkin.indexes import Layout
from nearkin.metrics import L2
from nearkin.operating_points import Quality, ladder, spread, sufficient
from nearkin.search_parameters import RERANK, SearchParameter


class Knobs(FlatIndex):
    """An index with an effort and a depth, of which nothing is searched here."""

    name = "knobs"
    search_params: ClassVar = {"effort": SearchParameter("more finds more")}

    def search_defaults(self, n):
        return {"effort": 16, "rerank": 100}

    @property
    def knobs(self):
        return {**self.search_params, "rerank": RERANK}


def knobs():
    index = Knobs(Layout(L2, 1, Float32(1)))
    index.train(np.zeros((4000, 1), np.float32))
    index.add(np.zeros((4000, 1), np.float32))
    return index


def test_a_ladder_goes_from_the_least_to_many_times_the_default_in_small_steps():
    values = ladder(knobs(), "effort")
    assert values[0] == 1
    assert values[-1] == 16 * 64
    assert all(high <= max(low + 1, 1.25 * low) for low, high in pairwise(values))


def test_a_ladder_ends_at_the_number_of_rows():
    assert ladder(knobs(), "rerank")[-1] == 4000


@settings(max_examples=60)
@given(st.integers(1, 900), st.integers(10, 3000))
def test_the_least_of_each_are_found(effort, depth):
    """Recall is enough from an effort and a depth on that do not depend on each other."""
    index = knobs()
    quality = Quality(lambda p: 0.5 * min(1, p["effort"] / effort) + 0.5 * min(1, p["rerank"] / depth), 0.999)
    found = sufficient(index, quality, fixed={}, rerank_least=10)
    assert found
    assert all(quality.enough(each) for each in found)
    least = min(each["effort"] for each in found), min(each["rerank"] for each in found)
    for name, value, wanted in (("effort", least[0], effort), ("rerank", least[1], depth)):
        values = ladder(index, name)
        below = [each for each in values if each < value]
        assert value * 1.002 >= wanted
        assert not below or below[-1] < wanted
    assert len(quality.known) < 60


def test_less_depth_is_traded_for_more_effort():
    quality = Quality(lambda p: min(1.0, p["effort"] * p["rerank"] / 4096), 1.0)
    found = sufficient(knobs(), quality, fixed={}, rerank_least=10)
    assert len(found) > 4
    efforts, depths = [each["effort"] for each in found], [each["rerank"] for each in found]
    assert efforts == sorted(efforts)
    assert depths == sorted(depths, reverse=True)


def test_what_cannot_be_reached_is_given_up_early():
    quality = Quality(lambda p: 0.9, 0.95)
    assert sufficient(knobs(), quality, fixed={}, rerank_least=10) == []
    assert len(quality.known) < 30


def test_what_takes_too_long_is_given_up():
    quality = Quality(lambda p: p["effort"] / 1024, 1.0, lambda p: p["effort"] >= 32)
    assert sufficient(knobs(), quality, fixed={"rerank": 50}, rerank_least=10) == []
    assert max(dict(key)["effort"] for key in quality.known) <= 64


def test_fixed_parameters_stay():
    quality = Quality(lambda p: p["effort"] / 100, 0.5)
    (found,) = sufficient(knobs(), quality, fixed={"rerank": 37}, rerank_least=10)
    assert found["rerank"] == 37
    assert 50 <= found["effort"] <= 60
    assert sufficient(knobs(), Quality(lambda p: 1.0, 0.5), fixed={"rerank": 37, "effort": 2}, rerank_least=10) == [
        {"rerank": 37, "effort": 2}
    ]


@pytest.mark.parametrize("count", [1, 6, 7, 40])
def test_of_many_some_are_timed_first_and_last_among_them(count):
    choices = [{"effort": number} for number in range(count)]
    some = spread(choices)
    assert some[0] == choices[0]
    assert some[-1] == choices[-1]
    assert len(some) == min(count, 6)
