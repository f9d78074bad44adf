"""For every check of the embedder contract, an embedder that is broken in just that way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pytest

from nearkin.embedders import Embedder, ModelSize, Role, Told, digest_of
from nearkin.hashing_embedder import HashingEmbedder
from nearkin.hooks import EmbedderSpec
from nearkin.state import State
from nearkin.testing import checks


@dataclass(frozen=True)
class Params:
    """Options of the embedders of this file."""

    dim: int = 32
    ngrams: int = 3


class Right(HashingEmbedder):
    name = "under-test"


class NotAnEmbedder:
    name = "under-test"

    def __init__(self, dim: int, ngrams: int) -> None:
        self.dim = dim


class OneColumnShort(Right):
    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        return super()._embed(items, role)[:, 1:]


class EachInstanceDiffers(Right):
    instances = count(1)

    def __init__(self, dim: int, ngrams: int) -> None:
        super().__init__(dim, ngrams)
        self.scale = np.float32(1 + 0.005 * (next(self.instances) % 2))

    def state(self) -> State:
        return State({"scale": np.array([self.scale])})

    def restore(self, state: State) -> None:
        self.scale = state.arrays["scale"][0]

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        return np.asarray(self.scale * super()._embed(items, role))


class CentresTheBatch(Right):
    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        vectors = super()._embed(items, role)
        return np.asarray(vectors - vectors.sum(axis=0) / max(1, len(vectors)))


class AllTheSame(Right):
    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        return np.ones((len(items), self.dim), dtype=np.float32)


class WantsItems(Right):
    def embed(self, items: Sequence[Any], **given: Any) -> np.ndarray:
        return super().embed(items, **given) if isinstance(items, str) or len(items) else np.empty((0, 3))


class NoQueries(Right):
    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        if role == "query":
            raise KeyError("query")
        return super()._embed(items, role)


class TakesAString(Right):
    def embed(self, items: Sequence[Any], *, role: Role = "document", told: Told | None = None) -> np.ndarray:
        return super().embed(list(items), role=role, told=told)


class TakesAnything(Right):
    def _listed(self, items: Any, first: int = 0) -> list[Any]:
        return super()._listed(items if isinstance(items, str | Mapping) else [str(each) for each in items], first)


class TellsNothing(Right):
    def embed(self, items: Sequence[Any], *, role: Role = "document", told: Told | None = None) -> np.ndarray:
        return super().embed(items, role=role)


class KeepsTheBatch(Right):
    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        self.items = items
        time.sleep(0.02)
        return super()._embed(self.items, role)


class IdentityOfTheObject(Right):
    instances = count(1)

    def __init__(self, dim: int, ngrams: int) -> None:
        super().__init__(dim, ngrams)
        self.number = next(self.instances)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {**super().identity, "object": self.number}

    def state(self) -> State:
        return State(meta={"number": self.number})

    def restore(self, state: State) -> None:
        self.number = state.meta["number"]


class IdentityOfTheClass(Right):
    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "hashing"}


class WatchesNothing(Right):
    def check_canaries(self, stored: np.ndarray) -> None:
        pass


class TextOfAnother(Right):
    @property
    def text(self) -> str:
        return f"{self.name}:dim=64:ngrams=3"


class KeepsStrings(Right):
    def state(self) -> State:
        return State({"words": np.array(["a", "b"])})


class OtherCanariesOnceRestored(Right):
    others = False

    @property
    def canaries(self) -> Sequence[Any]:
        return tuple(reversed(super().canaries)) if self.others else super().canaries

    def restore(self, state: State) -> None:
        self.others = True


class NegativeSize(Right):
    def size(self) -> ModelSize:
        return ModelSize(-1, -4)


class FitsToNothing(Right):
    def _fit(self, items: Sequence[Any]) -> None:
        pass


class Learner(HashingEmbedder):
    """Columns weighted by how often they are zero."""

    name = "under-test"
    needs_fit = True
    weights: np.ndarray | None = None

    @property
    def fitted(self) -> bool:
        return self.weights is not None

    @property
    def dim(self) -> int:
        self.need_fitted()
        return self._dim

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "kind": "under-test",
            "dim": self._dim,
            "ngrams": self.ngrams,
            "learned": digest_of(self.state().arrays),
        }

    @property
    def text(self) -> str:
        return f"{self.name}:dim={self._dim}:ngrams={self.ngrams}"

    def _fit(self, items: Sequence[Any]) -> None:
        plain = HashingEmbedder(self._dim, self.ngrams).embed(items)
        self.weights = 1 + (plain == 0).mean(axis=0, dtype=np.float32)

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        return super()._embed(items, role) * self.weights

    def state(self) -> State:
        return State({} if self.weights is None else {"weights": self.weights})

    def restore(self, state: State) -> None:
        self.weights = state.arrays["weights"]


class EmbedsBeforeFit(Learner):
    @property
    def fitted(self) -> bool:
        return True

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        return HashingEmbedder._embed(self, items, role) * (1 if self.weights is None else self.weights)


class AddsUpWhatItLearns(Learner):
    def _fit(self, items: Sequence[Any]) -> None:
        before = self.weights
        super()._fit(items)
        if before is not None:
            self.weights = before + self.weights


class IdentityWithoutLearning(Learner):
    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "under-test", "dim": self._dim, "ngrams": self.ngrams}


class ForgetsWhatItLearned(IdentityWithoutLearning):
    """Its items are all learned from in the same way: it keeps no promise about others."""

    def _fit(self, items: Sequence[Any]) -> None:
        self.weights = np.linspace(1, 2, self._dim, dtype=np.float32)

    def restore(self, state: State) -> None:
        self.weights = state.arrays["weights"][::-1]


class CopiesAreTheSame(Learner):
    def __deepcopy__(self, memo: dict[int, Any]) -> CopiesAreTheSame:
        return self


class Records(Embedder):
    """Two values of each record."""

    name = "under-test"
    takes = "record"
    dim = 2

    def __init__(self, dim: int, ngrams: int) -> None:
        self.power = ngrams

    @property
    def canaries(self) -> Sequence[Any]:
        return ({"a": 1, "b": 2}, {"a": 3, "b": 1})

    @property
    def text(self) -> str:
        return f"under-test:ngrams={self.power}"

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "under-test", "power": self.power}

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        return np.float32([[each["a"] ** self.power, each["b"]] for each in items]).reshape(-1, 2)


class TakesColumnsOut(Records):
    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        for each in items:
            each.pop("c", None)
        return super()._embed(items, role)


RECORDS = ({"a": 1.0, "b": 0.25}, {"a": 2, "b": 3, "c": float("nan")}, {"a": 0.5, "b": -1, "c": "other"})

BROKEN: list[tuple[str, Callable[..., Any]]] = [
    ("made", NotAnEmbedder),
    ("embeds", OneColumnShort),
    ("deterministic", EachInstanceDiffers),
    ("batch-independent", CentresTheBatch),
    ("distinguishes", AllTheSame),
    ("empty-list", WantsItems),
    ("roles", NoQueries),
    ("told", TellsNothing),
    ("single-item", TakesAString),
    ("wrong-kind", TakesAnything),
    ("two-threads", KeepsTheBatch),
    ("items-unchanged", TakesColumnsOut),
    ("fingerprint-stable", IdentityOfTheObject),
    ("fingerprint-differs", IdentityOfTheClass),
    ("text-makes-it", TextOfAnother),
    ("state-restores", KeepsStrings),
    ("state-restores", ForgetsWhatItLearned),
    ("canaries-constant", OtherCanariesOnceRestored),
    ("canaries-watch", WatchesNothing),
    ("size-told", NegativeSize),
    ("fit-refused", FitsToNothing),
    ("not-fitted", EmbedsBeforeFit),
    ("learns-anew", AddsUpWhatItLearns),
    ("fingerprint-of-learned", IdentityWithoutLearning),
    ("copies-learn-apart", CopiesAreTheSame),
]


def spec_of(make: Any, **more: Any) -> EmbedderSpec:
    items = RECORDS if isinstance(make, type) and issubclass(make, Records) else ()
    return EmbedderSpec(name="under-test", summary="For a test.", make=make, params=Params, **{"items": items, **more})


@pytest.mark.parametrize("make", [Right, Learner, Records])
def test_a_right_embedder_passes(failed: Callable[..., dict[str, str]], make: Callable[..., Any]) -> None:
    assert failed(spec_of(make, examples=({}, {"ngrams": 2}))) == {}


def test_items_that_are_no_texts_are_needed(failed: Callable[..., dict[str, str]]) -> None:
    found = failed(spec_of(Records, items=()))
    assert set(found) == {"embeds"}
    assert "EmbedderSpec.items has 0 items" in found["embeds"]


@pytest.mark.parametrize(("check", "make"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_embedder_fails_its_check_only(
    failed: Callable[..., dict[str, str]], check: str, make: Callable[..., Any]
) -> None:
    found = failed(spec_of(make))
    assert set(found) == {check}, found


def test_a_known_failure_of_no_check_fails_its_check_only(failed: Callable[..., dict[str, str]]) -> None:
    assert set(failed(spec_of(Right, known_failures={"no-such-check": "why"}))) == {"known-failures-named"}


def test_every_check_has_a_broken_embedder() -> None:
    assert {check for check, _ in BROKEN} | {"known-failures-named"} == {check.name for check in checks("embedder")}
