"""Plans: index, codec and refinement in one short string; which are legal, and what each will cost.

Grammar: ``index[,codec][,refine-CODEC]``. Each part is a name with its usual number and options after colons:
``ivf1024,pq48x8,refine-f16``, ``ivf:nlist=1024:clusterer=lloyd``, ``hnsw32,int8``. A number left out is chosen from the data.
``faiss:FACTORY`` is the escape to a raw faiss factory string. An index that wraps another one takes the rest as the plan of that
other: ``surrogate:space=cosine,ivf1024,pq64x4``.

Whether a metric, an index and a codec go together is computed from what they declare, before any work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nearkin.codecs import Codec, Float32, PackedBits
from nearkin.components import Part, read_params
from nearkin.errors import NearkinError, NotSupportedError, ParameterError, UnknownNameError
from nearkin.hooks import IndexSpec, Spec
from nearkin.indexes import Index, Layout, StoredRows
from nearkin.metrics import INNER_PRODUCT, L2, Metric, Space, SquaredEuclidean
from nearkin.refinement import RefinedIndex
from nearkin.registry import Registry
from nearkin.vectors import DType

LOSSLESS: Mapping[DType, type[Codec]] = {"float32": Float32, "bits": PackedBits}
"""Codec that a plan means when it names none: the kernel's own, whatever plugins there are."""

REFINE = "refine-"
ESCAPE = "faiss:"


@dataclass(frozen=True)
class Plan:
    """An index, the codec of its rows, the codec of the copy it re-ranks on, and default search parameters.

    `inner` is the plan of the index that the first one wraps, if it wraps one.

    >>> print(Plan(Part("ivf", {"nlist": 64}), Part("int8")))
    ivf:nlist=64,int8
    """

    index: Part
    codec: Part | None = None
    refinement: Part | None = None
    search: Mapping[str, int] = field(default_factory=dict)
    inner: Plan | None = None

    def __str__(self) -> str:
        if self.inner is not None:
            return f"{self.index},{self.inner}"
        if self.index.name == "faiss":
            return ESCAPE + str(self.index.options["factory"])
        parts = [str(self.index)]
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
    if text[start:].lstrip().startswith(ESCAPE):
        factory = text[start:].lstrip().removeprefix(ESCAPE).strip()
        if not factory:
            raise ParameterError(
                f"plan {text!r} has no faiss factory string after the colon", hint="for example faiss:HNSW32"
            )
        return Plan(Part("faiss", {"factory": factory}))
    found: dict[str, Part] = {}
    order = ("index", "codec", "refinement")
    offset = start
    for piece in text[start:].split(","):
        with _position(text, offset):
            kind, part = _read_piece(piece.strip(), registry, first=offset == start)
            if found and order.index(kind) <= max(order.index(each) for each in found):
                wanted = "nothing more" if "refinement" in found else f"a {REFINE}CODEC part"
                raise ParameterError(f"{piece.strip()!r} is a {kind}, {wanted} expected here")
        found[kind] = part
        offset += len(piece) + 1
        if kind == "index" and _inner_of(part, registry) and offset <= len(text):
            return Plan(part, inner=_read_plan(text, offset, registry))
    return Plan(found["index"], found.get("codec"), found.get("refinement"))


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


def _read_piece(piece: str, registry: Registry, *, first: bool) -> tuple[str, Part]:
    if not piece:
        raise ParameterError(
            "an empty part, " + ("the name of an index" if first else "a codec or refine-CODEC") + " expected"
        )
    if first:
        return "index", _parse_as(piece, "index", registry, "the first part is an index")
    if piece.startswith(REFINE):
        return "refinement", _parse_as(
            piece.removeprefix(REFINE), "codec", registry, f"{REFINE} is followed by a codec"
        )
    return "codec", _parse_as(piece, "codec", registry, f"after the index comes a codec or {REFINE}CODEC")


def _parse_as(piece: str, kind: str, registry: Registry, rule: str) -> Part:
    try:
        return registry.parse(kind, piece)
    except UnknownNameError as error:
        name = piece.partition(":")[0]
        for other in ("codec", "index", "metric"):
            if other != kind and any(registry.has(other, each) for each in (name, name.rstrip("0123456789x"))):
                article = "an" if other == "index" else "a"
                raise ParameterError(f"{piece!r} is the name of {article} {other}, and {rule}") from error
        raise


@dataclass(frozen=True)
class Verdict:
    """Whether a pair is legal, and if not, why."""

    legal: bool
    reason: str = ""


def verdict(space: Space, spec: IndexSpec, codec: Codec) -> Verdict:
    """Whether an index is right for a space and a codec, from what they declare."""
    if codec.dtype != space.dtype:
        return Verdict(
            False, f"codec {codec.label} stores {_words(codec.dtype)}, the metric compares {_words(space.dtype)}"
        )
    if spec.inner and not codec.lossless:
        return Verdict(
            False, f"{spec.name} compares the rows as they are, {codec.label} goes with the index that it wraps"
        )
    labels = ([codec.native.label] if codec.native else []) + ["decoded"]
    serves = [spec.accepts.get(label, frozenset()) for label in labels]
    if any(space.label in spaces or "pairwise" in spaces for spaces in serves):
        return Verdict(True)
    known = sorted(set().union(*serves))
    if known:
        return Verdict(False, f"{spec.name} with {codec.label} serves {', '.join(known)}, not {space.label}")
    return Verdict(False, f"{spec.name} cannot scan {codec.label} codes")


def _words(dtype: DType) -> str:
    return "packed bits" if dtype == "bits" else "float32 rows"


def refinement_verdict(codec: Codec, refinement: Codec) -> Verdict:
    """Whether re-ranking on `refinement` makes sense over `codec`: it must be finer."""
    if refinement.dtype != codec.dtype:
        return Verdict(
            False, f"{REFINE}{refinement.label} stores {_words(refinement.dtype)}, {codec.label} {_words(codec.dtype)}"
        )
    if codec.lossless:
        return Verdict(
            False, f"{codec.label} loses nothing, so {REFINE}{refinement.label} could only make answers worse"
        )
    if refinement.code_size <= codec.code_size:
        return Verdict(
            False,
            f"{REFINE}{refinement.label} keeps {refinement.code_size} bytes a row, no more than {codec.label} "
            f"({codec.code_size}), so it cannot refine it",
        )
    return Verdict(True)


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
    space = metric.space
    codec = codec_of(plan, space.dtype, dim, registry)
    refinement = make_codec(plan.refinement, dim, registry) if plan.refinement else None
    found = verdict(space, spec, codec)
    if found.legal and refinement:
        found = refinement_verdict(codec, refinement)
    if not found.legal:
        nearest = nearest_legal(plan, metric, dim, registry)
        raise NotSupportedError(
            f"plan {plan} does not serve metric {metric.name}: {found.reason}", hint=f"nearest legal plan: {nearest}"
        )
    options = read_params(spec, plan.index)
    clusterer = registry.make("clusterer", options["clusterer"]) if "clusterer" in options else None
    inner = _inner_maker(plan, registry, rows, seed)
    layout = Layout(space, dim, codec, refinement, clusterer, rows=rows, seed=seed, inner=inner, stored=stored)
    alone = refinement is None or refines_itself(spec, space, refinement)
    index: Index = registry.build(spec, layout if alone else replace(layout, refinement=None), params=options)
    index.options = _beside_defaults(spec, options)
    if not alone:
        index = RefinedIndex(layout, index)
    index.plugin = _chosen(plan.index)
    index.set_defaults(plan.search)
    return index


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


def _beside_defaults(spec: Spec, params: Mapping[str, Any]) -> dict[str, Any]:
    """The params that are not as the component has them by itself; a label must not lose them."""
    if spec.params is None:
        return {}
    fields = {each.name: each.default for each in dataclasses.fields(spec.params)}
    return {name: value for name, value in params.items() if value != fields[name]}


def refines_itself(spec: IndexSpec, space: Space, refinement: Codec) -> bool:
    """Whether the index re-ranks on this codec in its own library."""
    label = refinement.native.label if refinement.native else "decoded"
    return space.label in spec.refines.get(label, frozenset())


def label_of(index: Index, plan: Plan) -> str:
    """The plan that an index was made from, with every number filled in: ``ivf245,pq64x4,refine-f16``.

    Where the plan chose between plugins (``other/ivf``), so does the label: it must name the same components again.
    """
    layout = index.layout
    parts = [index.plugin + index.label]
    if index.wrapped is not None and plan.inner is not None:
        return f"{parts[0]},{label_of(index.wrapped, plan.inner)}"
    if plan.codec and not isinstance(layout.codec, tuple(LOSSLESS.values())):
        parts.append(_chosen(plan.codec) + layout.codec.label)
    if plan.refinement and layout.refinement:
        parts.append(f"{REFINE}{_chosen(plan.refinement)}{layout.refinement.label}")
    return ",".join(parts)


def _chosen(part: Part) -> str:
    """The plugin that a part names, ``other/``, or nothing."""
    plugin, slash, _ = part.name.rpartition("/")
    return plugin + slash


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
    asked = codec_of(plan, metric.dtype, dim, registry)
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
    parts = [str(plan.index) if same else spec.name]
    same_codec = plan.codec is not None and codec.name == asked.name
    if not codec.lossless:
        parts.append(str(plan.codec) if same_codec else codec.name)
    if plan.refinement:
        refinement = make_codec(plan.refinement, dim, registry)
        parts += [f"{REFINE}{plan.refinement}"] if refinement_verdict(codec, refinement).legal else []
    return ",".join(parts)


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
