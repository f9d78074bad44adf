"""For every check of the embedder contract, an embedder that is broken in just that way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pytest

from nearkin.embedders import Role
from nearkin.hashing_embedder import HashingEmbedder
from nearkin.hooks import EmbedderSpec
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
        self.scale = np.float32(next(self.instances))

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
    def embed(self, items: Sequence[Any], *, role: Role = "document") -> np.ndarray:
        return super().embed(list(items), role=role)


class IdentityOfTheObject(Right):
    @property
    def identity(self) -> Mapping[str, Any]:
        return {**super().identity, "object": id(self)}


class IdentityOfTheClass(Right):
    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "hashing"}


class WatchesNothing(Right):
    def check_canaries(self, stored: np.ndarray) -> None:
        pass


BROKEN: list[tuple[str, Callable[..., Any]]] = [
    ("made", NotAnEmbedder),
    ("embeds", OneColumnShort),
    ("deterministic", EachInstanceDiffers),
    ("batch-independent", CentresTheBatch),
    ("distinguishes", AllTheSame),
    ("empty-list", WantsItems),
    ("roles", NoQueries),
    ("single-string", TakesAString),
    ("fingerprint-stable", IdentityOfTheObject),
    ("fingerprint-differs", IdentityOfTheClass),
    ("canaries-watch", WatchesNothing),
]


def spec_of(make: Callable[..., Any], **more: Any) -> EmbedderSpec:
    return EmbedderSpec(name="under-test", summary="For a test of the kit.", make=make, params=Params, **more)


def test_a_right_embedder_passes(failed: Callable[..., dict[str, str]]) -> None:
    assert failed(spec_of(Right, examples=({}, {"ngrams": 0}))) == {}


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
