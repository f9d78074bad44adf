"""For every check of the index contract, an index that is broken in just that way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from nearkin.errors import PluginContractError
from nearkin.flat_index import FlatIndex
from nearkin.hooks import IndexSpec
from nearkin.indexes import Found, Layout, Mask, RangeFound
from nearkin.search_parameters import SearchParameter
from nearkin.state import State
from nearkin.testing import checks
from nearkin_plugins import codecs, metrics


class Right(FlatIndex):
    """Right: nearkin's own flat index, under another name."""

    name = "under-test"


class Knobbed(Right):
    """Right: has a search parameter, so that full effort can be asked of it."""

    search_params: ClassVar[Mapping[str, SearchParameter]] = {"effort": SearchParameter("ignored")}

    def search_defaults(self, n: int) -> dict[str, int]:
        return {"effort": 1}


class NotAnIndex:
    name = "under-test"

    def __init__(self, layout: Layout) -> None:
        self.layout = layout


class Positions32(Right):
    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        found = super()._search(queries, k, mask, params)
        return Found(found.positions.astype(np.int32), found.distances)


class MissesTheNearest(Knobbed):
    rows_apart = False  # nor does it say so

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        if mask is not None or k == self.n:
            return super()._search(queries, k, mask, params)
        found = super()._search(queries, k + 1, mask, params)
        return Found(found.positions[:, 1:], found.distances[:, 1:])


class TwiceAsFar(Right):
    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        found = super()._search(queries, k, mask, params)
        return Found(found.positions, 2 * found.distances)


class FarthestFirst(Right):
    def search(self, queries: np.ndarray, k: int, **given: Any) -> Found:
        found = super().search(queries, k, **given)
        if (found.positions < 0).any():
            return found
        return Found(found.positions[:, ::-1], found.distances[:, ::-1])


class PadsWithZero(Right):
    def search(self, queries: np.ndarray, k: int, **given: Any) -> Found:
        found = super().search(queries, k, **given)
        found.distances[:, self.n :] = 0
        return found


class IgnoresMasks(Right):
    rows_apart = False

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        return super()._search(queries, k, None, params)


class HalfTheRadius(Right):
    def _range(self, queries: np.ndarray, radius: float, mask: Mask | None, params: Mapping[str, int]) -> RangeFound:
        return super()._range(queries, radius / 2, mask, params)


class SecondPartReversed(Right):
    parts = 0

    def _add(self, vectors: np.ndarray) -> None:
        self.parts += 1
        super()._add(vectors[::-1] if self.parts == 2 else vectors)


class SkipsEveryOther(Knobbed):
    """With less than full effort it looks at every other row: which those are depends on the rows before."""

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        if params["effort"] >= self.n:
            return super()._search(queries, k, mask, params)
        allowed = np.ones(self.n, bool) if mask is None else mask.allowed.copy()
        allowed[1::2] = False
        return super()._search(queries, k, Mask(allowed), params)


class NoEmptyParts(Right):
    def _add(self, vectors: np.ndarray) -> None:
        if not len(vectors):
            raise ValueError("cannot add an empty array")
        super()._add(vectors)


class OneQueryIsFarther(Right):
    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        found = super()._search(queries, k, mask, params)
        return Found(found.positions, found.distances + 1) if len(queries) == 1 else found


class StateOutOfOrder(Right):
    def _state(self) -> State:
        state = super()._state()
        return State({**state.arrays, "codes": state.arrays["codes"][::-1]}, state.meta)


class ParameterWithoutDefault(Knobbed):
    def search_defaults(self, n: int) -> dict[str, int]:
        return {}


class TakesAnyParameter(Right):
    def resolve(self, params: Mapping[str, Any]) -> dict[str, int]:
        return dict(params)


class TenTimesTheCost(Right):
    def _cost(self, n: int) -> dict[str, int]:
        return {"codes": 10 * n * self.layout.codec.code_size}


class AddsUntrained(Right):
    def add(self, vectors: np.ndarray) -> None:
        self.is_trained = True
        super().add(vectors)


class TrainsOnNothing(Right):
    def train(self, vectors: np.ndarray) -> None:
        self._check_rows(vectors)
        self._train(vectors)
        self.is_trained = True


class TrainsOnAnyWidth(Right):
    def _check_rows(self, vectors: np.ndarray) -> None:
        pass


class TwoThreadsAreFarther(Right):
    threads = 1

    def use_threads(self, threads: int) -> None:
        self.threads = threads

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        found = super()._search(queries, k, mask, params)
        return Found(found.positions, found.distances + self.threads - 1)


class OneQueryBuffer(Right):
    """Keeps the queries in one place for every thread."""

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        self.buffer = queries
        time.sleep(0.005)
        return super()._search(self.buffer, k, mask, params)


class MovesQueries(Right):
    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        found = super()._search(queries, k, mask, params)
        if queries.flags.writeable:
            queries += 1
        return found


class OpensTheMask(Right):
    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        found = super()._search(queries, k, mask, params)
        if mask is not None and mask.allowed.flags.writeable:
            mask.allowed[:] = True
        return found


class WantsWritable(Right):
    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        if not queries.flags.writeable:
            raise ValueError("buffer source array is read-only")
        return super()._search(queries, k, mask, params)


class DropsTheRefinement(Right):
    """Declares that it re-ranks itself, and answers with the coarse codec."""


L2_FLAT = {"faiss:flat": frozenset({"l2"})}
EVERYTHING = {"decoded": frozenset({"pairwise"})}

BROKEN: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    ("made", NotAnIndex, {}),
    ("search-shape", Positions32, {}),
    ("nearest-found", MissesTheNearest, {}),
    ("distances-true", TwiceAsFar, {}),
    (
        "refinement",
        DropsTheRefinement,
        {"accepts": {"faiss:pqfs": frozenset({"l2"})}, "refines": {"faiss:flat": frozenset({"l2"})}},
    ),
    ("sorted-nearest-first", FarthestFirst, {}),
    ("padded", PadsWithZero, {}),
    ("mask-kept", IgnoresMasks, {}),
    ("range-found", HalfTheRadius, {}),
    ("added-in-parts", SecondPartReversed, {}),
    ("positions-in-order", NoEmptyParts, {}),
    ("rows-apart", SkipsEveryOther, {}),
    ("batch-independent", OneQueryIsFarther, {}),
    ("state-restores", StateOutOfOrder, {}),
    ("search-parameters", ParameterWithoutDefault, {}),
    ("search-parameters", TakesAnyParameter, {}),
    ("cost-honest", TenTimesTheCost, {}),
    ("not-trained", AddsUntrained, {}),
    ("too-few-rows", TrainsOnNothing, {}),
    ("wrong-width", TrainsOnAnyWidth, {}),
    ("threads-agree", TwoThreadsAreFarther, {}),
    ("searched-at-once", OneQueryBuffer, {}),
    ("input-unchanged", MovesQueries, {}),
    ("input-unchanged", OpensTheMask, {}),
    ("read-only-input", WantsWritable, {}),
    ("transform-applied", Right, {"transforms": True}),
    # A codec is declared by its label, and "f32" is the name of one: no pair is left to check anything else with.
    ("plans-match-accepts", Right, {"accepts": {"f32": frozenset({"l2"})}}),
]


def spec_of(make: Callable[..., Any], **more: Any) -> IndexSpec:
    given = {"accepts": L2_FLAT, "exact": not issubclass(make, Knobbed) if isinstance(make, type) else True, **more}
    return IndexSpec(name="under-test", summary="For a test of the kit.", make=make, **given)


@pytest.mark.parametrize("make", [Right, Knobbed])
def test_a_right_index_passes_with_every_codec_and_space(
    failed: Callable[..., dict[str, str]], make: Callable[..., Any]
) -> None:
    assert failed(spec_of(make, accepts=EVERYTHING), codecs, metrics) == {}


@pytest.mark.parametrize(("check", "make", "more"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_index_fails_its_check_only(
    failed: Callable[..., dict[str, str]], check: str, make: Callable[..., Any], more: dict[str, Any]
) -> None:
    found = failed(spec_of(make, **more), codecs)
    assert set(found) == {check}, found


def test_a_known_failure_of_no_check_fails_its_check_only(failed: Callable[..., dict[str, str]]) -> None:
    assert set(failed(spec_of(Right, known_failures={"no-such-check": "why"}))) == {"known-failures-named"}


def test_every_check_has_a_broken_index() -> None:
    assert {check for check, _, _ in BROKEN} | {"known-failures-named"} == {check.name for check in checks("index")}


def test_the_reason_names_the_pair(failed: Callable[..., dict[str, str]]) -> None:
    reason = failed(spec_of(TwiceAsFar), codecs)["distances-true"]
    assert reason.startswith("f32 under l2: query ")


def test_an_index_wrong_in_one_space_only_is_found(failed: Callable[..., dict[str, str]]) -> None:
    class WrongUnderInnerProduct(Right):
        def __init__(self, layout: Layout, **params: Any) -> None:
            super().__init__(layout, **params)
            self.wrong = layout.space.label == "inner-product"

        def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
            found = super()._search(-queries if self.wrong else queries, k, mask, params)
            return Found(found.positions, -found.distances if self.wrong else found.distances)

    both = {"faiss:flat": frozenset({"l2", "inner-product"})}
    found = failed(spec_of(WrongUnderInnerProduct, accepts=both), codecs)
    assert "nearest-found" in found
    assert "inner-product" in found["nearest-found"]


def test_an_index_that_raises_fails_and_stops_nothing(report_of: Callable[..., Any]) -> None:
    class Raises(Right):
        def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
            raise SystemExit("gone")

    report = report_of(spec_of(Raises), codecs)
    assert [result.name for result in report.failed] == ["search-shape"]
    assert "SystemExit: gone" in report.failed[0].reason
    assert {result.outcome for result in report.results[3:]} == {"skipped"}


def test_contract_errors_of_the_base_class_are_failures(failed: Callable[..., dict[str, str]]) -> None:
    class OneTooFew(Right):
        def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
            found = super()._search(queries, k, mask, params)
            return Found(found.positions[:, 1:], found.distances[:, 1:])

    found = failed(spec_of(OneTooFew), codecs)
    assert set(found) == {"search-shape"}
    assert PluginContractError.__name__ in found["search-shape"]
