"""The grid holds what is legal, names what is not, and takes a stranger's components as it takes the built-in ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from nearkin.codecs import Codec
from nearkin.compatibility import compatibility
from nearkin.errors import NearkinError
from nearkin.hooks import CodecSpec, hookimpl
from nearkin.plan_grid import plan_grid
from nearkin.plans import make_index, parse_plan
from nearkin.registry import Registry, default_registry


def grid_of(metric: str, dim: int = 32, registry: Registry | None = None):
    registry = registry or default_registry()
    return plan_grid(registry.make("metric", metric), dim, registry)


@pytest.mark.parametrize("metric", ["cosine", "inner-product", "manhattan", "jensen-shannon", "hamming"])
def test_every_legal_pair_is_there_and_every_plan_can_be_made(metric):
    registry = default_registry()
    made = registry.make("metric", metric)
    plans = {each.plan for each in plan_grid(made, 32, registry).candidates}
    for plan in plans:
        make_index(parse_plan(plan, registry), made, 32, registry, rows=10_000)
    detour = {"faiss"} | ({"surrogate"} if made.space.label in ("l2", "inner-product") else set())
    for each in compatibility(registry, dim=32):
        if each.metric == metric and each.legal and each.index not in detour:
            plain = each.codec in ("f32", "bits")
            codec = "pruned" if each.codec.startswith("pruned") else each.codec
            assert (each.index if plain else f"{each.index},{codec}") in plans


def test_small_codes_are_refined_and_large_ones_are_not():
    plans = {each.plan for each in grid_of("euclidean").candidates}
    assert {"ivf,pq,refine-f16", "ivf,pq,refine-int8", "hnsw,int8,refine-f16", "pca,flat,refine-f16"} <= plans
    assert not {"ivf,f16,refine-int8", "ivf,int8,refine-int8", "ivf,refine-f16"} & plans


def test_order_is_from_the_exact_plan_to_what_follows_from_others():
    found = grid_of("euclidean").candidates
    assert found[0].plan == "flat"
    assert [each.level for each in found] == sorted(each.level for each in found)
    assert len({each.plan for each in found}) == len(found)


def test_what_takes_no_part_is_named():
    reasons = {each.plan: each.reason for each in grid_of("manhattan").left_out}
    assert reasons["faiss"] == "it cannot be made without options: factory"
    assert "hnsw with int8 serves" in reasons["hnsw,int8"]
    assert "pca,flat" in reasons


class Halves(Codec):
    """Half precision, written by a stranger."""

    name = "halves"

    @property
    def code_size(self) -> int:
        return 2 * self.dim

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        return vectors.astype(np.float16).view(np.uint8)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(codes).view(np.float16).astype(np.float32)


class Nameless(Halves):
    name = "nameless"

    @property
    def code_size(self) -> int:
        raise RuntimeError("no idea")


def unmakable(dim: int) -> Codec:
    raise RuntimeError("cannot be made")


class Stranger:
    @hookimpl
    def nearkin_codecs(self) -> Iterable[CodecSpec]:
        return [
            CodecSpec(name="halves", summary="Half precision.", make=Halves),
            CodecSpec(name="f16", summary="Half precision under a name that is taken.", make=Halves),
            CodecSpec(name="nameless", summary="Raises when asked for its size.", make=Nameless),
            CodecSpec(name="unmakable", summary="Raises when made.", make=unmakable),
        ]


@pytest.fixture
def with_stranger() -> Registry:
    registry = Registry()
    registry.load_entry_points()
    registry.register(Stranger(), "stranger")
    return registry


def test_a_stranger_takes_part_and_one_that_raises_is_a_candidate_with_its_error(with_stranger):
    found = grid_of("euclidean", registry=with_stranger).candidates
    plans = {each.plan: each for each in found}
    assert not plans["ivf,halves"].error
    assert {"flat,stranger/f16", "flat,codecs/f16"} <= set(plans)  # two of one name: each by its plugin
    assert "RuntimeError: no idea" in plans["flat,nameless"].error
    assert "cannot be made" in plans["flat,unmakable"].error


def test_without_an_exact_index_there_is_no_grid():
    registry = Registry()
    with pytest.raises(NearkinError, match="no plugin offers an exact index"):
        plan_grid(default_registry().make("metric", "euclidean"), 8, registry)
