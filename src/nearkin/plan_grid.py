"""Every plan worth measuring under a metric: each index with each codec that is legal, refined where the codes are small.

What exists and what goes together is read from the specs, so that a stranger's components are in the grid like the built-in ones.
What cannot take part is named with its reason, and a component that raises is in the grid with its error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from nearkin.codecs import Codec
from nearkin.components import Part, options_needed
from nearkin.errors import NearkinError
from nearkin.hooks import CodecSpec, IndexSpec, Spec, TransformSpec
from nearkin.legality import REFINE, is_detour, refinement_verdict, transform_verdict, verdict
from nearkin.metrics import Metric
from nearkin.plans import LOSSLESS, exact_plan, make_codec, make_transform
from nearkin.registry import Registry

REFINEMENTS = ("f16", "int8")
"""Codecs of the copies that candidates are re-ranked on, the first the more informative."""

SMALL = 4
"""Codes are small, and worth refining, from a so many-th of float32 on."""

PRUNED_PERCENTS = (70, 90)
"""Shares of the coordinates that are pruned, beside the half that the codec prunes by itself."""


@dataclass(frozen=True)
class Candidate:
    """A plan to measure.

    Attributes
    ----------
    code_size
        Bytes of a code, where the plan names a codec.
    level
        0 for the exact plan, 1 for what codecs and indexes do alone, more for what follows from these; lower ones first.
    error
        Why it cannot be built, if that is known already.
    """

    index: str
    codec: str = ""
    refinement: str = ""
    transform: str = ""
    code_size: int = 0
    level: int = 1
    error: str = ""

    @property
    def plan(self) -> str:
        """As text.

        >>> Candidate("ivf", "pq:bits=8", "f16").plan
        'ivf,pq:bits=8,refine-f16'
        """
        refinement = f"{REFINE}{self.refinement}" if self.refinement else ""
        return ",".join(filter(None, (self.transform, self.index, self.codec, refinement)))


@dataclass(frozen=True)
class LeftOut:
    """A plan that was not measured, and why."""

    plan: str
    reason: str


@dataclass(frozen=True)
class PlanGrid:
    """What to measure, in order, and what takes no part."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]


def plan_grid(metric: Metric, dim: int, registry: Registry) -> PlanGrid:
    """Every plan worth measuring.

    Parameters
    ----------
    metric
        Fitted if it needs to be, since its space may depend on it.
    dim
        Columns of the *prepared* rows.

    Raises
    ------
    NotSupportedError
        No plugin offers an exact index for the metric's space.

    Examples
    --------
    >>> from nearkin.registry import default_registry
    >>> from nearkin.metrics import SquaredEuclidean
    >>> grid = plan_grid(SquaredEuclidean(), 32, default_registry())
    >>> [each.plan for each in grid.candidates][:3]
    ['flat', 'flat,bf16', 'flat,f16']
    >>> any(each.plan == "hnsw,int8" for each in grid.candidates)
    True
    """
    maker = _Grid(metric, dim, registry)
    maker.fill()
    ordered = sorted(maker.candidates, key=lambda each: each.level)
    return PlanGrid(tuple({each.plan: each for each in reversed(ordered)}.values())[::-1], tuple(maker.left_out))


@dataclass
class _Grid:
    metric: Metric
    dim: int
    registry: Registry
    candidates: list[Candidate] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def fill(self) -> None:
        exact = self.registry.resolve("index", exact_plan(self.metric.space, self.registry).index.name)
        first = self.registry.name_of(exact)
        self.candidates.append(Candidate(first, level=0))
        lossless = LOSSLESS[self.metric.dtype]
        others = [(label, codec) for label, codec in self._codecs() if not isinstance(codec, lossless)]
        variants = [("", lossless(self.dim)), *others]
        for spec in self.registry.specs("index"):
            if isinstance(spec, IndexSpec) and self._takes_part(spec):
                self._pair(spec, self.registry.name_of(spec), variants, alone=spec is exact)
        self._pruned(first)
        self._low_rank(first)

    def _takes_part(self, spec: IndexSpec) -> bool:
        """Whether an index can be made without being told anything, and is not a detour."""
        if is_detour(spec, self.metric.space):
            reason = f"other indexes serve {self.metric.space.label} without a detour"
            self.left_out.append(LeftOut(self.registry.name_of(spec), reason))
            return False
        needed = options_needed(spec)
        if needed:
            self.left_out.append(
                LeftOut(self.registry.name_of(spec), f"it cannot be made without options: {', '.join(needed)}")
            )
        return not needed

    def _codecs(self) -> Iterator[tuple[str, Codec]]:
        """Codecs as a plan names them: those with examples of several native kinds (pq with 4 and 8 bits) once for each."""
        for spec in self.registry.specs("codec"):
            seen: set[str] = set()
            for example in spec.examples if isinstance(spec, CodecSpec) else ():
                part = Part(self.registry.name_of(spec), example)
                try:
                    codec = make_codec(part, self.dim, self.registry)
                    kind = codec.native.label if codec.code_size and codec.native else ""
                except Exception as error:  # a stranger's code may raise anything
                    self._cannot_be_made(part, error)
                    continue
                if kind not in seen:
                    yield str(part), codec
                seen.add(kind)

    def _cannot_be_made(self, part: Part, error: Exception) -> None:
        if isinstance(error, NearkinError) and not part.options and error.exit_code != 4:
            self.left_out.append(LeftOut(str(part), str(error)))
        elif not part.options:
            first = self.candidates[0].index
            said = f"{type(error).__name__}: {error}"
            self.candidates.append(Candidate(first, str(part), level=1, error=said))

    def _pair(self, spec: IndexSpec, name: str, variants: list[tuple[str, Codec]], *, alone: bool) -> None:
        """An index with every codec that it serves; `alone` where it is exact, so that only the codec loses anything."""
        for label, codec in variants:
            try:
                self._add_pair(spec, name, label, codec, alone=alone)
            except Exception as error:  # a stranger's code may raise anything
                self.candidates.append(Candidate(name, label, error=f"{type(error).__name__}: {error}"))

    def _add_pair(self, spec: IndexSpec, name: str, label: str, codec: Codec, *, alone: bool) -> None:
        space = self.metric.space
        found = verdict(space, spec, codec)
        if not found.legal:
            if codec.dtype == space.dtype and not spec.inner:
                self.left_out.append(LeftOut(Candidate(name, label).plan, found.reason))
            return
        if alone and not label:
            return  # it is the first candidate
        level = 1 if alone or not label else 3
        self.candidates.append(Candidate(name, label, code_size=codec.code_size if label else 0, level=level))
        if not codec.lossless and SMALL * codec.code_size <= 4 * self.dim:
            self._refine(name, label, codec, alone=alone)

    def _refine(self, index: str, label: str, codec: Codec, *, alone: bool, transform: str = "") -> None:
        for number, name in enumerate(self._refinements()):
            refinement = make_codec(Part(name), self.dim, self.registry)
            lossy = make_transform(Part(transform), self.dim, self.registry) if transform else None
            if refinement_verdict(self.metric.space, codec, refinement, lossy).legal:
                level = 4 + number if alone or number else 2
                self.candidates.append(Candidate(index, label, name, transform, codec.code_size, level))

    def _refinements(self) -> list[str]:
        """As a plan names them; of several with one name the one that was loaded first, which is the built-in one."""
        first: dict[str, Spec] = {}
        for plugin in self.registry.plugins.values():
            for spec in plugin.specs:
                if spec.kind == "codec":
                    first.setdefault(spec.name, spec)
        return [self.registry.name_of(first[name]) for name in REFINEMENTS if name in first]

    def _pruned(self, exact: str) -> None:
        """Pruning by the shares that textbooks name."""
        if any(each.plan == f"{exact},pruned" for each in self.candidates):
            for percent in PRUNED_PERCENTS:
                self.candidates.append(Candidate(exact, f"pruned:percent={percent}", level=3))

    def _low_rank(self, exact: str) -> None:
        """Transforms into fewer columns, before the exact index."""
        index = self.registry.resolve("index", exact)
        for spec in self.registry.specs("transform"):
            if not isinstance(spec, TransformSpec) or self.metric.dtype != "float32":
                continue
            name = self.registry.name_of(spec)
            try:
                transform = make_transform(Part(name), self.dim, self.registry)
                narrower = transform.width < self.dim
                assert isinstance(index, IndexSpec)
                found = transform_verdict(self.metric.space, index, transform)
            except Exception as error:  # a stranger's code may raise anything
                self.left_out.append(LeftOut(f"{name},{exact}", f"{type(error).__name__}: {error}"))
                continue
            if not found.legal:
                self.left_out.append(LeftOut(f"{name},{exact}", found.reason))
            elif narrower:
                self.candidates.append(Candidate(exact, transform=name, level=1))
                codec = LOSSLESS[self.metric.dtype](transform.width)
                self._refine(exact, "", codec, alone=True, transform=name)
