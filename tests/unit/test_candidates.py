"""Plans from declarations: what is offered, in which order, and what it will take."""

from __future__ import annotations

import pytest

from nearkin.building import make_metric
from nearkin.candidates import Shape, candidate, candidates, is_exact, variants, within
from nearkin.errors import BudgetError
from nearkin.flat_index import FlatIndex
from nearkin.hooks import CodecSpec, IndexSpec, hookimpl
from nearkin.indexing import Recipe
from nearkin.plans import parse_plan, serves
from nearkin.registry import Registry, default_registry
from nearkin_plugins.faiss_codecs import Float16

SHAPE = Shape(20_000, 32)


class Theirs(FlatIndex):
    """An index under another name."""

    name = "theirs"


class AlsoTheirs(Float16):
    """A codec under another name."""

    name = "also-theirs"


class Strangers:
    """A plugin with an index and a codec that no suggestion of the built-ins knows."""

    @hookimpl
    def nearkin_indexes(self):
        return [
            IndexSpec(
                name="theirs",
                summary="For a test.",
                make=Theirs,
                accepts={"decoded": frozenset({"pairwise"})},
                suggests=("theirs,int8", "theirs,nothing-of-the-kind"),
            )
        ]

    @hookimpl
    def nearkin_codecs(self):
        return [CodecSpec(name="also-theirs", summary="For a test.", make=AlsoTheirs)]


def recipe_of(metric="euclidean", registry=None, seed=0):
    registry = registry or default_registry()
    return Recipe(parse_plan("flat", registry), make_metric(metric, registry)[0], registry, seed)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan", "canberra", "hamming", "jaccard"])
def test_every_candidate_is_legal_and_says_what_it_takes(metric):
    recipe = recipe_of(metric)
    found = candidates(recipe, SHAPE)
    assert len({each.text for each in found}) == len(found)
    assert any(is_exact(each) for each in found)
    for each in found:
        plan = parse_plan(each.text, recipe.registry)
        assert serves(plan, recipe.metric, recipe.metric.prepared_dim(32), recipe.registry).legal, each.text
        assert each.bytes > 0


def test_suggestions_come_first_and_the_escape_never():
    texts = [each.text for each in candidates(recipe_of(), SHAPE)]
    assert texts.index("ivf141,pq16x4,refine-f16") < texts.index("ivf141,bf16")
    assert not any("faiss" in text for text in texts)
    assert not any("surrogate" in text for text in texts)


def test_a_stranger_takes_part_before_built_ins_that_nobody_suggests():
    registry = Registry()
    registry.load_entry_points()
    registry.register(Strangers(), "strangers")
    texts = [each.text for each in candidates(recipe_of(registry=registry), SHAPE)]
    for mine in ("theirs,int8", "theirs", "theirs,pq16x4", "ivf141,also-theirs"):
        assert mine in texts, mine
    assert texts.index("theirs,int8") < texts.index("ivf141")
    assert texts.index("ivf141,also-theirs") < texts.index("ivf141,bf16")


def test_a_wrapping_index_is_offered_where_the_metric_needs_it():
    assert any(each.text.startswith("surrogate") for each in candidates(recipe_of("canberra"), SHAPE))


def test_memory_is_a_ceiling_and_the_refusal_names_the_smallest_plan():
    found = candidates(recipe_of(), SHAPE)
    fitting = within(found, 1_000_000, SHAPE)
    assert fitting
    assert all(each.bytes <= 1_000_000 for each in fitting)
    least = min(found, key=lambda each: each.bytes)
    assert within(found, least.bytes, SHAPE)
    with pytest.raises(BudgetError, match=f"{least.text}, takes {least.bytes:,}"):
        within(found, least.bytes - 1, SHAPE)


def test_variants_change_one_number_at_a_time_and_follow_the_rows():
    one = candidate(recipe_of(), parse_plan("ivf,pq,refine-f16", default_registry()), SHAPE)
    texts = {each.text: each for each in variants(one, SHAPE)}
    assert {
        "ivf70,pq16x4,refine-f16",
        "ivf282,pq16x4,refine-f16",
        "ivf141,pq8x4,refine-f16",
        "ivf141,pq32x4,refine-f16",
    } <= set(texts)
    assert "ivf141,pq16x4,refine-f32" in texts
    assert "ivf141,pq16x4,refine-f16" not in texts
    half = texts["ivf70,pq16x4,refine-f16"].at(Shape(2_500, 32))
    assert half.text == "ivf25,pq16x4,refine-f16"
    assert {each.text for each in variants(half, Shape(2_500, 32))} >= {"ivf12,pq16x4,refine-f16"}


def test_a_number_that_was_given_stays():
    one = candidate(recipe_of(), parse_plan("ivf99,pq8x8", default_registry()), SHAPE)
    assert one.at(Shape(5_000, 32)).text == "ivf99,pq8x8"


def test_too_few_rows_for_a_plan_are_no_candidate():
    assert candidate(recipe_of(), parse_plan("ivf99", default_registry()), Shape(50, 32)) is None
