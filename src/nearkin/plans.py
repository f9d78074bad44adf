"""Plans: transform, index, codec and refinement in one short string, and the index that a plan makes.

Grammar: ``[transform,]index[,codec][,refine-CODEC]``. Each part is a name with its usual number and options after colons:
``ivf1024,pq48x8,refine-f16``, ``pca64,ivf:nlist=1024:clusterer=lloyd``, ``hnsw32,int8``. A number left out is chosen from the data.
``faiss:FACTORY`` in the place of the index is the escape to a raw faiss factory string. An index that wraps another one takes the
rest as the plan of that other: ``surrogate:space=cosine,ivf1024,pq64x4``.

Whether its parts go together is computed from what they declare (`nearkin.legality`), before any work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nearkin.codecs import Codec, Float32, PackedBits
from nearkin.components import Part, read_params
from nearkin.errors import NearkinError, NotSupportedError, ParameterError, UnknownNameError
from nearkin.hooks import CodecSpec, IndexSpec, Spec
from nearkin.indexes import Index, Layout, StoredRows
from nearkin.legality import (
    REFINE,
    Verdict,
    refinement_verdict,
    refines_itself,
    transform_verdict,
    transforms_itself,
    verdict,
)
from nearkin.metrics import INNER_PRODUCT, L2, Metric, Space, SquaredEuclidean
from nearkin.refinement import RefinedIndex
from nearkin.registry import Registry
from nearkin.transformed import TransformedIndex
from nearkin.transforms import Transform
from nearkin.vectors import DType

LOSSLESS: Mapping[DType, type[Codec]] = {"float32": Float32, "bits": PackedBits}
"""Codec that a plan means when it names none: the kernel's own, whatever plugins there are."""

ESCAPE = "faiss:"


@dataclass(frozen=True)
class Plan:
    """An index, the codec of its rows, the codec of the copy it re-ranks on, and default search parameters.

    `inner` is the plan of the index that the first one wraps, if it wraps one; `transform` is what the rows go through first.

    >>> print(Plan(Part("ivf", {"nlist": 64}), Part("int8")))
    ivf:nlist=64,int8
    """

    index: Part
    codec: Part | None = None
    refinement: Part | None = None
    search: Mapping[str, int] = field(default_factory=dict)
    inner: Plan | None = None
    transform: Part | None = None

    def __str__(self) -> str:
        parts = [str(self.transform)] if self.transform else []
        if self.inner is not None:
            return ",".join([*parts, str(self.index), str(self.inner)])
        if self.index.name == "faiss":
            return ",".join([*parts, ESCAPE + str(self.index.options["factory"])])
        parts.append(str(self.index))
        parts += [str(self.codec)] if self.codec else []
        parts += [f"{REFINE}{self.refinement}"] if self.refinement else []
        return ",".join(parts)


def as_plan(plan: str | Plan, search: Mapping[str, int] | None, registry: Registry) -> Plan:
    """A plan of text or as it is, with default search parameters."""
    made = _with_inner(plan, registry) if isinstance(plan, Plan) else parse_plan(plan, registry)
    if search is not None and not isinstance(search, Mapping):
        raise ParameterError(f"search is {search!r}, a dict of search parameters expected")
    return replace(made, search=dict(search)) if search else made


def parse_plan(text: str, registry: Registry) -> Plan:
    """Read a plan.

    Raises
    ------
    ParameterError
        The text does not follow the grammar; the message gives the position and what was expected there.
    UnknownNameError
        A part has a name that no component has.

    Examples
    --------
    >>> from nearkin.registry import default_registry
    >>> plan = parse_plan("ivf1024,pq48x8,refine-f16", default_registry())
    >>> plan.index.options, plan.codec.options, plan.refinement.name
    ({'nlist': 1024}, {'M': 48, 'bits': 8}, 'f16')
    """
    if not isinstance(text, str):
        raise ParameterError(f"a plan is text such as 'ivf,pq,refine-f16', got {type(text).__name__}")
    return _with_inner(_read_plan(text, 0, registry), registry)


def _read_plan(text: str, start: int, registry: Registry) -> Plan:
    """The plan that begins at a position of the text."""
    found: dict[str, Part] = {}
    order = ("transform", "index", "codec", "refinement")
    offset = start
    for piece in text[start:].split(","):
        if "index" not in found and piece.lstrip().startswith(ESCAPE):
            return Plan(_factory_of(text, offset), transform=found.get("transform"))
        with _position(text, offset):
            kind, part = _read_piece(piece.strip(), registry, before=tuple(found))
            if found and order.index(kind) <= max(order.index(each) for each in found):
                wanted = "nothing more" if "refinement" in found else f"a {REFINE}CODEC part"
                raise ParameterError(f"{piece.strip()!r} is a {kind}, {wanted} expected here")
        found[kind] = part
        offset += len(piece) + 1
        if kind == "index" and _inner_of(part, registry) and offset <= len(text):
            return Plan(part, inner=_read_plan(text, offset, registry), transform=found.get("transform"))
    if "index" not in found:
        raise ParameterError(
            f"plan {text!r} has a transform and no index", hint=f"for example {found['transform']},ivf,pq"
        )
    return Plan(found["index"], found.get("codec"), found.get("refinement"), transform=found.get("transform"))


def _factory_of(text: str, start: int) -> Part:
    """The faiss factory string that begins at a position of the text; whatever follows belongs to it."""
    factory = text[start:].lstrip().removeprefix(ESCAPE).strip()
    if not factory:
        raise ParameterError(
            f"plan {text!r} has no faiss factory string after the colon", hint="for example faiss:HNSW32"
        )
    return Part("faiss", {"factory": factory})


def _with_inner(plan: Plan, registry: Registry) -> Plan:
    """With the inner plan that its index means if it names none."""
    usual = "" if plan.inner is not None else _inner_of(plan.index, registry)
    return replace(plan, inner=parse_plan(usual, registry)) if usual else plan


def _inner_of(part: Part, registry: Registry) -> str:
    spec = registry.resolve("index", part.name)
    return spec.inner if isinstance(spec, IndexSpec) else ""


class _position:
    """Put the plan and the position in front of an error's message."""

    def __init__(self, text: str, offset: int) -> None:
        self.place = f"plan {text!r}, position {offset}: "

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, NearkinError):
            raise type(error)(self.place + error.message, hint=error.hint) from error


def _read_piece(piece: str, registry: Registry, *, before: tuple[str, ...]) -> tuple[str, Part]:
    """Kind and part of a piece of the text, after pieces of the kinds `before`."""
    indexed = "index" in before
    if not piece:
        raise ParameterError(
            "an empty part, " + ("a codec or refine-CODEC" if indexed else "the name of an index") + " expected"
        )
    if not before and _names(piece, "transform", registry) and not _names(piece, "index", registry):
        return "transform", registry.parse("transform", piece)
    if not indexed:
        rule = "after the transform comes an index" if before else "the first part is an index, or a transform"
        return "index", _parse_as(piece, "index", registry, rule)
    if piece.startswith(REFINE):
        return "refinement", _parse_as(
            piece.removeprefix(REFINE), "codec", registry, f"{REFINE} is followed by a codec"
        )
    return "codec", _parse_as(piece, "codec", registry, f"after the index comes a codec or {REFINE}CODEC")


def _parse_as(piece: str, kind: str, registry: Registry, rule: str) -> Part:
    try:
        return registry.parse(kind, piece)
    except UnknownNameError as error:
        for other in ("codec", "index", "metric", "transform"):
            if other != kind and _names(piece, other, registry):
                article = "an" if other == "index" else "a"
                raise ParameterError(f"{piece!r} is the name of {article} {other}, and {rule}") from error
        raise


def _names(piece: str, kind: str, registry: Registry) -> bool:
    """Whether a piece, numbers and options aside, is the name of a component of this kind."""
    name = piece.partition(":")[0]
    return any(registry.has(kind, each) for each in (name, name.rstrip("0123456789x")))


def make_index(
    plan: Plan,
    metric: Metric,
    dim: int,
    registry: Registry,
    *,
    rows: int,
    seed: int = 0,
    stored: StoredRows | None = None,
) -> Index:
    """The untrained index of a plan, or a refusal before any work.

    Parameters
    ----------
    metric
        Fitted if it needs to be, since its space may depend on it.
    dim
        Columns of the *prepared* rows.
    rows
        Rows expected; numbers that the plan leaves out are chosen from it.
    stored
        Where an index may read the rows again; None where nobody keeps them.

    Raises
    ------
    NotSupportedError
        The combination would be wrong; the hint is the nearest legal plan.
    """
    spec = registry.resolve("index", plan.index.name)
    assert isinstance(spec, IndexSpec)
    plan = _with_inner(plan, registry)
    layout = _layout(plan, metric.space, dim, registry)
    found = _verdict_on(layout, spec)
    if not found.legal:
        nearest = nearest_legal(plan, metric, dim, registry)
        raise NotSupportedError(
            f"plan {plan} does not serve metric {metric.name}: {found.reason}", hint=f"nearest legal plan: {nearest}"
        )
    options = read_params(spec, plan.index)
    clusterer = registry.make("clusterer", options["clusterer"]) if "clusterer" in options else None
    inner = _inner_maker(plan, registry, rows, seed)
    layout = replace(layout, clusterer=clusterer, rows=rows, seed=seed, inner=inner, stored=stored)

    def make(own: Layout) -> Index:
        made: Index = registry.build(spec, own, params=options)
        made.options = _beside_defaults(spec, options)
        return made

    index = _of_layout(layout, make, spec)
    index.plugin = _chosen(plan.index)
    index.set_defaults(plan.search)
    return index


def serves(plan: Plan, metric: Metric, dim: int, registry: Registry) -> Verdict:
    """Whether a plan is right for prepared rows of `dim` columns under a metric, and if not, why.

    >>> from nearkin.registry import default_registry
    >>> serves(Plan(Part("ivf"), Part("pq")), SquaredEuclidean(), 64, default_registry()).legal
    True
    """
    spec = registry.resolve("index", plan.index.name)
    assert isinstance(spec, IndexSpec)
    return _verdict_on(_layout(_with_inner(plan, registry), metric.space, dim, registry), spec)


def _transform_of(plan: Plan, space: Space, dim: int, registry: Registry) -> Transform | None:
    """The transform of a plan, or the one that its codec expects where that keeps the order of the space."""
    if plan.transform is not None:
        return make_transform(plan.transform, dim, registry)
    spec = registry.resolve("codec", plan.codec.name) if plan.codec else None
    if not isinstance(spec, CodecSpec) or not spec.transform or not registry.has("transform", spec.transform):
        return None
    transform = make_transform(registry.parse("transform", spec.transform), dim, registry)
    return transform if space.label in transform.spaces else None


def _layout(plan: Plan, space: Space, dim: int, registry: Registry) -> Layout:
    """The codecs and the transform of a plan."""
    transform = _transform_of(plan, space, dim, registry)
    codec = codec_of(plan, space.dtype, dim if transform is None else transform.width, registry)
    refinement = make_codec(plan.refinement, dim, registry) if plan.refinement else None
    return Layout(space, dim, codec, refinement, transform=transform)


def _verdict_on(layout: Layout, spec: IndexSpec) -> Verdict:
    found = verdict(layout.space, spec, layout.codec)
    if found.legal and layout.transform:
        found = transform_verdict(layout.space, spec, layout.transform)
    if found.legal and layout.refinement:
        found = refinement_verdict(layout.space, layout.codec, layout.refinement, layout.transform)
    return found


def _of_layout(layout: Layout, make: Callable[[Layout], Index], spec: IndexSpec) -> Index:
    """The index itself, with nearkin's own transform and re-ranking around it where it has none that fit."""
    transform, refinement = layout.transform, layout.refinement
    if transform is not None and not transforms_itself(spec, layout.space, layout.codec):
        bare = make(replace(layout, dim=layout.width, refinement=None, transform=None))
        index: Index = TransformedIndex(replace(layout, refinement=None), bare)
    elif refinement is None or refines_itself(spec, layout.space, layout.codec, refinement):
        return make(layout)
    else:
        index = make(replace(layout, refinement=None))
    return RefinedIndex(layout, index) if refinement is not None else index


def _inner_maker(plan: Plan, registry: Registry, rows: int, seed: int) -> Callable[[int], Index] | None:
    """Makes the index that the plan's own index wraps, for rows of so many columns."""
    inner = plan.inner
    if inner is None:
        return None
    if inner.refinement or inner.inner:
        what = f"{REFINE}{inner.refinement}" if inner.refinement else str(inner.index)
        raise NotSupportedError(
            f"plan {plan}: {plan.index.name} re-ranks on the rows themselves, so {what} has no place inside it",
            hint=f"use {plan.index},{replace(inner, refinement=None) if inner.refinement else inner.inner}",
        )
    return lambda dim: make_index(inner, SquaredEuclidean(), dim, registry, rows=rows, seed=seed)


def codec_of(plan: Plan, dtype: DType, dim: int, registry: Registry) -> Codec:
    """The untrained codec of a plan; a lossless one if it names none."""
    return make_codec(plan.codec, dim, registry) if plan.codec else LOSSLESS[dtype](dim)


def make_codec(part: Part, dim: int, registry: Registry) -> Codec:
    """The untrained codec that a part of a plan names."""
    spec = registry.resolve("codec", part.name)
    params = read_params(spec, part)
    codec: Codec = registry.build(spec, dim, params=params)
    codec.options = _beside_defaults(spec, params)
    return codec


def make_transform(part: Part, dim: int, registry: Registry) -> Transform:
    """The untrained transform that a part of a plan names."""
    spec = registry.resolve("transform", part.name)
    params = read_params(spec, part)
    transform: Transform = registry.build(spec, dim, params=params)
    transform.options = _beside_defaults(spec, params)
    return transform


def _beside_defaults(spec: Spec, params: Mapping[str, Any]) -> dict[str, Any]:
    """The params that are not as the component has them by itself; a label must not lose them."""
    if spec.params is None:
        return {}
    fields = {each.name: each.default for each in dataclasses.fields(spec.params)}
    return {name: value for name, value in params.items() if value != fields[name]}


def label_of(index: Index, plan: Plan) -> str:
    """The plan that an index was made from, with every number filled in: ``ivf245,pq64x4,refine-f16``.

    Where the plan chose between plugins (``other/ivf``), so does the label: it must name the same components again.
    """
    layout = index.layout
    parts = [_chosen(plan.transform) + layout.transform.label] if plan.transform and layout.transform else []
    parts.append(index.plugin + index.label)
    if index.wrapped is not None and plan.inner is not None:
        return ",".join([*parts, label_of(index.wrapped, plan.inner)])
    if plan.codec and not isinstance(layout.codec, tuple(LOSSLESS.values())):
        parts.append(_chosen(plan.codec) + layout.codec.label)
    if plan.refinement and layout.refinement:
        parts.append(f"{REFINE}{_chosen(plan.refinement)}{layout.refinement.label}")
    return ",".join(parts)


def _chosen(part: Part) -> str:
    """The plugin that a part names, ``other/``, or nothing."""
    plugin, slash, _ = part.name.rpartition("/")
    return plugin + slash


def compares_all(plan: Plan, registry: Registry) -> bool:
    """Whether a plan compares every row, as it is."""
    spec = registry.resolve("index", plan.index.name)
    bare = not (plan.codec or plan.refinement or plan.inner or plan.transform)
    return bare and isinstance(spec, IndexSpec) and spec.exact


def exact_plan(space: Space, registry: Registry) -> Plan:
    """An index that is exact in this space, the built-in one (loaded first) if it is there; no name is asked for, so that
    another plugin with an index called flat takes nothing away.

    Raises
    ------
    NotSupportedError
        No plugin offers one.
    """
    codec = LOSSLESS[space.dtype](1)  # what is legal does not depend on the number of columns
    for plugin in registry.plugins.values():
        for spec in plugin.specs:
            if isinstance(spec, IndexSpec) and spec.exact and verdict(space, spec, codec).legal:
                return Plan(Part(f"{plugin.name}/{spec.name}"))
    raise NotSupportedError(f"no plugin offers an exact index for {space.label}", hint="turn the built-in indexes on")


def nearest_legal(plan: Plan, metric: Metric, dim: int, registry: Registry) -> str:
    """The legal plan most like an illegal one: the same index if it can be, then the codec nearest in bytes."""
    wrapping = _wrapped(plan, metric, dim, registry)
    if wrapping is not None:
        return wrapping
    transform = _useful_transform(plan, metric.space, dim, registry)
    asked = codec_of(plan, metric.dtype, transform.width if transform else dim, registry)
    choices = [(spec.name == plan.index.name, codec, spec) for spec, codec in legal_pairs(metric, dim, registry)]
    if not choices:
        return "none"
    same, codec, spec = min(
        choices,
        key=lambda choice: (
            not choice[0],
            choice[2].name != "flat",
            choice[1].name != asked.name,
            abs(choice[1].code_size - asked.code_size),
        ),
    )
    parts = [str(plan.transform)] if transform else []
    parts.append(str(plan.index) if same else spec.name)
    same_codec = plan.codec is not None and codec.name == asked.name
    if not codec.lossless:
        parts.append(str(plan.codec) if same_codec else codec.name)
    if plan.refinement:
        refinement = make_codec(plan.refinement, dim, registry)
        refined = make_codec(Part(codec.name), dim, registry) if transform else codec
        legal = refinement_verdict(metric.space, refined, refinement).legal
        parts += [f"{REFINE}{plan.refinement}"] if legal else []
    return ",".join(parts)


def _useful_transform(plan: Plan, space: Space, dim: int, registry: Registry) -> Transform | None:
    """The transform of a plan, if it is any good in this space and the plan's index does not wrap another one."""
    if plan.transform is None or plan.inner is not None:
        return None
    transform = make_transform(plan.transform, dim, registry)
    return transform if space.label in transform.spaces else None


def _wrapped(plan: Plan, metric: Metric, dim: int, registry: Registry) -> str | None:
    """The same plan inside an index that wraps it, if that serves the metric."""
    for spec in registry.specs("index") if plan.inner is None else ():
        if isinstance(spec, IndexSpec) and spec.inner and metric.space.label not in (L2.label, INNER_PRODUCT.label):
            wrapping = Plan(Part(spec.name), inner=replace(plan, refinement=None))
            try:
                make_index(wrapping, metric, dim, registry, rows=1)
            except NearkinError:
                continue
            return str(wrapping)
    return None


def legal_pairs(metric: Metric, dim: int, registry: Registry) -> Iterator[tuple[IndexSpec, Codec]]:
    """Every index and codec that serve a metric, with the codecs' default numbers."""
    for spec in registry.specs("index"):
        for codec_spec in registry.specs("codec"):
            try:
                codec = registry.build(codec_spec, dim, params=read_params(codec_spec, Part(codec_spec.name)))
            except NearkinError:
                continue  # this codec cannot be made for so many columns, or a package is missing
            if isinstance(spec, IndexSpec) and verdict(metric.space, spec, codec).legal:
                yield spec, codec
