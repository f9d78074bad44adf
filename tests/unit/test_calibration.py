"""Search parameters for a recall: the fastest that are enough, measured on the rows themselves."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from nearkin.accuracy import Interval
from nearkin.calibration import Calibration, calibrate, sampled
from nearkin.codecs import Float32
from nearkin.flat_index import FlatIndex
from nearkin.indexes import Found, Layout
from nearkin.metrics import L2
from nearkin.search_parameters import SearchParameter

ROWS = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)


class Clock:
    """Time that passes only where something says so."""

    def __init__(self):
        self.now = 1.0

    def perf_counter(self):
        self.now += 1e-3
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("nearkin.calibration.time", made)
    Careless.clock = made
    return made


class Careless(FlatIndex):
    """Finds a row in `effort` x `care` of 1,000 cases, and takes its time."""

    name = "careless"
    search_params: ClassVar = {"effort": SearchParameter("more finds more"), "care": SearchParameter("so does this")}

    def search_defaults(self, n):
        return {"effort": 32, "care": 16}

    def _search(self, queries, k, mask, params):
        self.asked.append((params["effort"], params["care"]))
        self.clock.now += 1e-3 * params["effort"]  # care costs nothing: the least effort that is enough is the fastest
        found = super()._search(queries, k, mask, params)
        chance = min(1.0, params["effort"] * params["care"] / 1000)
        lost = (found.positions * 2654435761 % 1000) / 1000 >= chance
        return Found(np.where(lost, -1, found.positions), np.where(lost, np.float32(np.inf), found.distances))


def careless():
    index = Careless(Layout(L2, 4, Float32(4)))
    index.asked = []
    index.train(ROWS)
    index.add(ROWS)
    return index


def calibrated(index, wanted, rows=ROWS, **fixed):
    exact = FlatIndex(Layout(L2, rows.shape[1], Float32(rows.shape[1])))
    exact.train(rows)
    exact.add(rows)
    asked = sampled(np.arange(len(rows)), seed=1)

    def slow(queries, k):
        Careless.clock.now += 1.0  # more than any effort takes
        return exact.search(queries, k)

    return calibrate(index, rows[asked], asked, slow, wanted, fixed=fixed, mask=None, threads=1)


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95])
def test_what_is_taken_is_enough_and_becomes_the_default(wanted):
    index = careless()
    found = calibrated(index, wanted)
    assert found.reached
    assert found.recall.low >= wanted
    assert found.search["effort"] * found.search["care"] >= 1000 * wanted
    assert index.resolve({}) == dict(found.search)
    assert f"recall@10 {found.recall.mean:.3f}" in str(found)
    assert "with 400 of the rows as queries" in str(found)


def test_the_fastest_is_taken():
    assert calibrated(careless(), 0.8).search == {"effort": 13, "care": 64}


def test_what_is_fixed_stays():
    found = calibrated(careless(), 0.9, effort=8)
    assert found.search["effort"] == 8
    assert found.search["care"] * 8 >= 900
    assert found.reached
    index = careless()
    found = calibrated(index, 0.9, effort=8, care=3)
    assert found.search == {"effort": 8, "care": 3}
    assert set(index.asked) == {(8, 3)}
    assert not found.reached
    assert found.shortfall == "that is below 0.9"


def test_a_row_is_not_its_own_neighbour_even_among_its_doubles():
    doubles = np.repeat(ROWS[:40], 15, axis=0)
    index = FlatIndex(Layout(L2, 4, Float32(4)))
    index.train(doubles)
    index.add(doubles)
    found = calibrated(index, 0.9, rows=doubles)
    assert found.recall.mean == 1.0
    assert dict(found.search) == {}
    assert "at no settings" in str(found)


def test_what_speaks_against_it_is_said():
    certain = Interval(0.99, 0.98, 1.0, 400)
    assert Calibration({}, certain, 0.95, speedup=2.0).shortfall == ""
    assert Calibration({}, certain, 0.95, speedup=0.9).shortfall == "that is no faster than comparing every row"
    assert Calibration({}, certain, 0.99, speedup=5.0).shortfall == "that is below 0.99"


def test_sampled_rows_are_alive_and_the_same_each_time():
    alive = np.flatnonzero(np.arange(1000) % 3)
    first = sampled(alive, 5)
    assert len(set(first.tolist())) == 400
    assert np.isin(first, alive).all()
    np.testing.assert_array_equal(first, sampled(alive, 5))
    assert len(sampled(alive[:7], 5)) == 7
