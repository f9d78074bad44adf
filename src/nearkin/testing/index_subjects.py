"""Every pair of codec and space that an index declares, as layouts, rows and true distances to check it with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from nearkin.centroids import Clusterer
from nearkin.codecs import Codec, Float32, PackedBits
from nearkin.components import Part, read_params
from nearkin.errors import MissingDependencyError, NearkinError
from nearkin.flat_index import FlatIndex
from nearkin.hooks import IndexSpec, Spec
from nearkin.indexes import Index, Layout
from nearkin.legality import refines_itself
from nearkin.lloyd import Lloyd
from nearkin.metrics import INNER_PRODUCT, L2, Metric, Space
from nearkin.registry import Registry
from nearkin.testing.contract import NotApplicable, Subject, options
from nearkin.testing.samples import DIM, QUERIES, ROWS, accepted_rows
from nearkin.transforms import Transform
from nearkin.vectors import DType, as_vectors

K = 10


def canberra(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Σ |a - b| / (|a| + |b|): stands for every metric that only numpy computes."""
    q, x = queries.astype(np.float64)[:, None], vectors.astype(np.float64)[None]
    total = np.abs(q) + np.abs(x)
    return np.asarray((np.abs(q - x) / np.where(total == 0, 1, total)).sum(axis=2))


PAIRWISE = Space("pairwise", canberra)


def _none(rows: np.ndarray) -> np.ndarray:
    """No row is refused."""
    return np.zeros(len(rows), dtype=bool)


class SpaceMetric(Metric):
    """A metric that is nothing but its space; asks `nearkin.plans` for indexes."""

    def __init__(self, space: Space) -> None:
        self.name = f"(any of {space.label})"  # type: ignore[misc]
        self.dtype = space.dtype  # type: ignore[misc]
        self._space = space

    @property
    def space(self) -> Space:
        return self._space


class Ground(NamedTuple):
    """A space, and rows and queries prepared for it."""

    space: Space
    rows: np.ndarray
    queries: np.ndarray


def grounds(subject: Subject) -> list[Ground]:
    """Squared L2, inner product, one that only numpy computes, and of every metric of the registry the native one or the
    formula, with rows that the metric takes.
    """
    found = {space.label: Ground(space, *_rows_of(subject, space.dtype)) for space in (L2, INNER_PRODUCT, PAIRWISE)}
    for spec in subject.registry.specs("metric"):
        try:
            metric: Metric = subject.registry.build(spec, params=read_params(spec, Part(spec.name)))
            if metric.reduces_to is not None or not (metric.native or metric.kernel):
                continue
            ground = _prepared(subject, metric)
        except NearkinError:
            continue  # a package is missing, or it refuses such rows
        if metric.native or ground.space.compiled is not None:
            found.setdefault(ground.space.label if metric.native else f"kernel {spec.name}", ground)
    return list(found.values())


def _prepared(subject: Subject, metric: Metric) -> Ground:
    """The space of a metric that is fitted to rows that it takes."""
    rows, queries = _rows_of(subject, metric.dtype, metric.refuses, len(metric.columns) or DIM)
    metric.fit(rows)
    return Ground(metric.space, metric.prepare(rows), metric.prepare_queries(queries))


@dataclass(frozen=True)
class CodecMaker:
    """A codec with params: makes fresh ones."""

    text: str
    make: Callable[[int], Codec]


def codec_makers(registry: Registry) -> list[CodecMaker]:
    """Every codec of the registry with each of its examples; float32 and packed bits even if the registry has none."""
    makers = [CodecMaker("f32", Float32), CodecMaker("bits", PackedBits)]
    for spec in registry.specs("codec"):
        for example in spec.examples:
            text = ":".join(each for each in (spec.name, options(example)) if each)
            params = read_params(spec, Part(spec.name, example))
            makers.append(CodecMaker(text, partial(_made_codec, registry, spec, params)))
    return list({maker.text: maker for maker in makers}.values())


def _made_codec(registry: Registry, spec: Spec, params: dict[str, Any], dim: int) -> Codec:
    codec: Codec = registry.build(spec, dim, params=params)
    return codec


@dataclass(frozen=True)
class Pair:
    """A codec and a space that an index declares."""

    spec: IndexSpec
    registry: Registry
    params: Mapping[str, Any]
    seed: int
    space: Space
    codec: CodecMaker
    kept_rows: np.ndarray
    kept_queries: np.ndarray
    refinement: CodecMaker | None = None

    @property
    def rows(self) -> np.ndarray:
        """A copy each time, so that an index that changes what it is given spoils no other check."""
        return self.kept_rows.copy()

    @property
    def queries(self) -> np.ndarray:
        """A copy each time."""
        return self.kept_queries.copy()

    def __str__(self) -> str:
        refined = f",refine-{self.refinement.text}" if self.refinement else ""
        formula = f" {self.space.kernel.source.name}" if self.space.kernel else ""
        return f"{self.codec.text}{refined} under {self.space.label}{formula}"

    def untrained(self) -> Index:
        """A fresh index."""
        return self.made(None)

    def made(self, transform: Transform | None) -> Index:
        """A fresh index that applies a transform."""
        dim = self.rows.shape[1]
        refinement = self.refinement.make(dim) if self.refinement else None
        codec = self.codec.make(dim if transform is None else transform.width)
        layout = Layout(self.space, dim, codec, refinement, rows=len(self.rows), seed=self.seed, transform=transform)
        return made_index(self.registry, self.spec, self.params, layout)

    def trained(self) -> Index:
        """A fresh trained index without rows."""
        index = self.untrained()
        index.train(self.rows)
        return index

    def built(self) -> Index:
        """A fresh index with all rows."""
        index = self.trained()
        index.add(self.rows)
        return index

    @cached_property
    def index(self) -> Index:
        """An index with all rows, shared by the checks that only search it."""
        return self.built()

    @cached_property
    def exact_rows(self) -> bool:
        """Whether what ranks the rows loses nothing."""
        return self.finest.lossless

    @cached_property
    def finest(self) -> Codec:
        """The codec that decides the order of the answers, trained."""
        codec = (self.refinement or self.codec).make(self.rows.shape[1])
        if codec.train_rows:
            codec.train(self.rows)
        return codec

    @cached_property
    def true(self) -> np.ndarray:
        """(nq, n) values of the space between queries and rows."""
        return np.asarray(self.space.pairwise(self.queries, self.rows), dtype=np.float64)

    @cached_property
    def scale(self) -> float:
        """Largest magnitude of a true value."""
        return float(np.abs(self.true).max()) or 1.0

    @cached_property
    def slack(self) -> float:
        """How far an answer's value may lie from the true one: rounding, and the codec's own error on these rows.

        An index may encode differences from a centroid instead of rows, or look values up in tables of 8 bits, hence the
        factor and the share.
        """
        rounding = 1e-4 * self.scale
        if self.exact_rows:
            return rounding
        decoded = self.finest.decode(self.finest.encode(self.rows))
        error = np.abs(np.asarray(self.space.pairwise(self.queries, decoded), dtype=np.float64) - self.true)
        return rounding + 1.5 * float(error.max()) + 0.02 * self.scale


def made_index(registry: Registry, spec: IndexSpec, params: Mapping[str, Any], layout: Layout) -> Index:
    """An index with its params, defaults filled in, and with the clusterer that they name."""
    full = read_params(spec, Part(spec.name, params))
    if "clusterer" in full:
        named = registry.has("clusterer", str(full["clusterer"]))
        clusterer: Clusterer = registry.make("clusterer", full["clusterer"]) if named else Lloyd()
        layout = replace(layout, clusterer=clusterer)
    if spec.inner:
        layout = replace(layout, inner=lambda dim: _flat(dim, layout))
    index: Index = registry.build(spec, layout, params=full)
    return index


def _flat(dim: int, layout: Layout) -> Index:
    """What an index that wraps another gets to wrap here: one that loses nothing, so that what is lost is its own."""
    return FlatIndex(Layout(L2, dim, Float32(dim), rows=layout.rows, seed=layout.seed))


def full_effort(index: Index) -> dict[str, int]:
    """Every search parameter at the number of rows: the most that it can be asked to do."""
    return {name: max(index.n, knob.least) for name, knob in index.knobs.items()}


def accepted(spec: IndexSpec, space: Space, codec: Codec) -> bool:
    """Whether the spec says that it is right with this codec in this space."""
    if codec.dtype != space.dtype or (spec.inner and not codec.lossless):
        return False
    if codec.spaces and space.label not in codec.spaces:
        return False
    labels = ["decoded", *([codec.native.label] if codec.native else [])]
    return any({space.label, "pairwise"} & set(spec.accepts.get(label, ())) for label in labels)


@dataclass
class IndexSubject:
    """The pairs that one example of an index is checked with."""

    pairs: list[Pair] = field(default_factory=list)
    refined: list[Pair] = field(default_factory=list)


def declared(subject: Subject) -> IndexSubject:
    """Every pair of codec and space that the spec accepts, and the first of them with each refinement it declares."""
    return subject.once("pairs", lambda: _declared(subject))


def pairs(subject: Subject) -> list[Pair]:
    """Every pair that the spec accepts.

    Raises
    ------
    NotApplicable
        There is none among the codecs and metrics of the registry.
    """
    found = declared(subject).pairs
    if not found:
        raise NotApplicable("it accepts no codec and metric of this registry")
    return found


def _declared(subject: Subject) -> IndexSubject:
    spec = subject.spec
    found = IndexSubject()
    if not isinstance(spec, IndexSpec):
        return found
    makers = [maker for maker in codec_makers(subject.registry) if _can_be_made(maker)]
    for space, rows, queries in grounds(subject):
        for maker in makers:
            if accepted(spec, space, _tried(maker, rows)):
                pair = Pair(spec, subject.registry, subject.params, subject.seed, space, maker, rows, queries)
                found.pairs.append(pair)
    for pair in found.pairs:
        found.refined.extend(_refinements(pair, makers))
    return found


def _refinements(pair: Pair, makers: list[CodecMaker]) -> Iterator[Pair]:
    """A lossy pair with every finer codec that the index re-ranks on itself."""
    codec = _tried(pair.codec, pair.rows)
    for maker in makers:
        finer = _tried(maker, pair.rows)
        if (
            refines_itself(pair.spec, pair.space, codec, finer)
            and finer.dtype == codec.dtype
            and not codec.lossless
            and finer.code_size > codec.code_size
        ):
            yield replace(pair, refinement=maker)


def _can_be_made(maker: CodecMaker) -> bool:
    try:
        maker.make(DIM)
    except MissingDependencyError:
        return False
    return True


def _tried(maker: CodecMaker, rows: np.ndarray) -> Codec:
    return maker.make(rows.shape[1])


def _rows_of(
    subject: Subject, dtype: DType, refuses: Callable[[np.ndarray], np.ndarray] = _none, dim: int = DIM
) -> tuple[np.ndarray, np.ndarray]:
    if subject.rows is not None and (subject.rows.dtype == np.uint8) == (dtype == "bits"):
        rows = as_vectors(subject.rows, dtype=dtype)
        rows = np.ascontiguousarray(rows[~refuses(rows)][:ROWS])
        return rows, np.ascontiguousarray(rows[::3][:QUERIES])
    rows = accepted_rows(subject.rng(f"rows {dtype}"), ROWS + QUERIES, dim, dtype, refuses)
    return rows[:-QUERIES], rows[-QUERIES:]
