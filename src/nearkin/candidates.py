"""Plans that serve a metric, from what components declare, each with the bytes that it will take.

First what plugins suggest (`Spec.suggests`), then every other pair of index and codec that is legal, with and without a copy to
re-rank on: components that no suggestion names come first, so that a stranger's take part like the built-ins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest

from nearkin.components import Part, options_needed, read_params
from nearkin.errors import BudgetError, NearkinError, NotSupportedError
from nearkin.hooks import IndexSpec, Spec
from nearkin.indexing import Recipe
from nearkin.legality import is_detour
from nearkin.plans import Plan, compares_all, parse_plan, serves
from nearkin.registry import Registry
from nearkin.rows import Rows

PLANNED_KINDS = ("index", "codec", "transform")
"""Kinds of components whose suggestions are whole plans."""


@dataclass(frozen=True)
class Shape:
    """Rows that are, or are to be.

    Attributes
    ----------
    stored
        Where they stay and can be read again; None where only the index is kept, or there are none yet.
    """

    rows: int
    dim: int
    stored: Rows | None = None


@dataclass(frozen=True)
class Twist:
    """A number of a plan, times a factor, or another refinement: ``Twist("codec", "M", 0.5)``, ``Twist("refinement", "f16")``."""

    field: str
    name: str
    factor: float = 1.0


@dataclass(frozen=True)
class Candidate:
    """A plan that is legal, for so many rows.

    Attributes
    ----------
    asked
        The plan with the numbers that were given; others are chosen from the rows.
    twists
        What is changed of the numbers that were chosen.
    recipe
        What builds it.
    text
        The plan with every number filled in, ``ivf245,pq96x4,refine-f16``.
    predicted
        Bytes by component.
    """

    asked: Plan
    twists: tuple[Twist, ...]
    recipe: Recipe
    text: str
    predicted: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """Predicted bytes in all."""
        return sum(self.predicted.values())

    def at(self, shape: Shape) -> Candidate | None:
        """The same for other rows: numbers that were chosen are chosen anew."""
        return candidate(self.recipe, self.asked, shape, self.twists)


def candidates(recipe: Recipe, shape: Shape) -> list[Candidate]:
    """Every legal plan, the most promising first.

    Parameters
    ----------
    recipe
        Metric, registry and seed; its own plan does not count.

    Examples
    --------
    >>> from nearkin.metrics import Euclidean
    >>> from nearkin.registry import default_registry
    >>> recipe = Recipe(Plan(Part("flat")), Euclidean(), default_registry())
    >>> [each.text for each in candidates(recipe, Shape(10_000, 32))][:2]
    ['flat', 'ivf100,pq16x4,refine-f16']
    """
    found: dict[str, Candidate] = {}
    for plan in [*_suggested(recipe), *_generic(recipe)]:
        each = candidate(recipe, plan, shape)
        if each is not None:
            found.setdefault(each.text, each)
    return list(found.values())


def candidate(recipe: Recipe, plan: Plan, shape: Shape, twists: tuple[Twist, ...] = ()) -> Candidate | None:
    """A plan with its bytes; None if it does not serve the metric, or not so few rows or columns."""
    try:
        made = _filled_in(replace(recipe, plan=plan), shape)
        for twist in twists:
            label = _twisted(parse_plan(made.text, recipe.registry), twist, recipe)
            made = _filled_in(replace(recipe, plan=replace(label, search=plan.search)), shape)
    except NearkinError:
        return None
    return replace(made, asked=plan, twists=twists)


def _filled_in(recipe: Recipe, shape: Shape) -> Candidate:
    found = serves(recipe.plan, recipe.metric, recipe.metric.prepared_dim(shape.dim), recipe.registry)
    if not found.legal:
        raise NotSupportedError(found.reason)
    index = recipe.make(shape.dim, shape.rows, shape.stored)
    index.check_rows_suffice(shape.rows)
    return Candidate(recipe.plan, (), recipe, recipe.label_of(index), index.cost(shape.rows))


def is_exact(one: Candidate) -> bool:
    """Whether a plan compares every row as it is."""
    return compares_all(one.asked, one.recipe.registry)


def within(found: list[Candidate], memory: int | None, shape: Shape) -> list[Candidate]:
    """Those that take no more bytes than allowed.

    Raises
    ------
    BudgetError
        None does; the message names the smallest.
    """
    if memory is None:
        return found
    fitting = [each for each in found if each.bytes <= memory]
    if not fitting:
        least = min(found, key=lambda each: each.bytes)
        raise BudgetError(
            f"no plan keeps {shape.rows:,} rows of {shape.dim:,} columns in {memory:,} bytes: the smallest, {least.text}, "
            f"takes {least.bytes:,}",
            hint=f"allow memory={least.bytes}, or fewer rows",
        )
    return fitting


def variants(one: Candidate, shape: Shape) -> Iterator[Candidate]:
    """The same plan with one number changed by the factors that its component declares, or another copy to re-rank on."""
    seen = {one.text}
    for twist in _twists(parse_plan(one.text, one.recipe.registry), one.recipe):
        made = candidate(one.recipe, one.asked, shape, (*one.twists, twist))
        if made is not None and made.text not in seen:
            seen.add(made.text)
            yield made


def _twists(plan: Plan, recipe: Recipe) -> Iterator[Twist]:
    target = plan.inner or plan
    for field in ("codec", "index"):
        part = getattr(target, field)
        spec = recipe.registry.resolve(field, part.name) if part is not None else None
        for name, factors in spec.scales.items() if spec is not None else ():
            yield from (Twist(field, name, factor) for factor in factors)
    if plan.refinement is not None:
        yield from (Twist("refinement", spec.name) for spec in recipe.registry.specs("codec"))


def _twisted(plan: Plan, twist: Twist, recipe: Recipe) -> Plan:
    if plan.inner is not None:
        return replace(plan, inner=_twisted(plan.inner, twist, recipe))
    if twist.field == "refinement":
        return replace(plan, refinement=Part(twist.name))
    part = getattr(plan, twist.field)
    value = read_params(recipe.registry.resolve(twist.field, part.name), part)[twist.name]
    changed = Part(part.name, {**part.options, twist.name: max(1, round(twist.factor * value))})
    return replace(plan, index=changed) if twist.field == "index" else replace(plan, codec=changed)


def _suggested(recipe: Recipe) -> Iterator[Plan]:
    """Those of indexes, codecs and transforms; of each kind in turns, so that no component's list keeps another's waiting."""
    for kind in PLANNED_KINDS:
        for turn in zip_longest(*(_suggestions(spec, recipe) for spec in _as_offered(kind, recipe.registry))):
            for text in turn:
                try:
                    if text is not None:
                        yield parse_plan(text, recipe.registry)
                except NearkinError:
                    continue  # another part of it is missing here, or its name is taken twice


def _as_offered(kind: str, registry: Registry) -> list[Spec]:
    """Specs in the order that plugins were loaded in and name them, which says what they think of first."""
    return [spec for plugin in registry.plugins.values() for spec in plugin.specs if spec.kind == kind]


def _suggestions(spec: Spec, recipe: Recipe) -> tuple[str, ...]:
    return () if isinstance(spec, IndexSpec) and is_detour(spec, recipe.metric.space) else spec.suggests


def _generic(recipe: Recipe) -> Iterator[Plan]:
    """Every index with every codec and refinement, legal or not, those with a component that nobody suggests first."""
    registry = recipe.registry
    codecs = [
        Part(registry.name_of(spec), dict(example)) for spec in registry.specs("codec") for example in spec.examples
    ]
    named = {name for plan in _suggested(recipe) for name in _names(plan)}
    plans = [
        Plan(Part(registry.name_of(index)), codec, refinement)
        for index in registry.specs("index")
        if isinstance(index, IndexSpec) and not options_needed(index) and not is_detour(index, recipe.metric.space)
        for codec in [None, *codecs]
        for refinement in ([None, *codecs] if codec is not None and not index.inner else [None])
    ]
    return iter(sorted(plans, key=lambda plan: all(name in named for name in _names(plan))))


def _names(plan: Plan) -> list[str]:
    return [part.name for part in (plan.index, plan.codec) if part is not None]
