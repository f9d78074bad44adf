"""Where the recall that is missing is lost: found by raising one effort after the other until it brings nothing more.

Any index takes part: what can be raised is what it says (`Index.knobs`), ``rerank`` is depth and every other one is probing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from nearkin.collection import Collection
from nearkin.errors import NearkinError
from nearkin.indexes import Index
from nearkin.legality import REFINE
from nearkin.metrics import L2
from nearkin.paired import Difference
from nearkin.plans import exact_plan, make_index, parse_plan
from nearkin.questions import Questions

ENOUGH = 0.0005
"""A doubling that brings less recall than this has brought nothing; after `IDLE` such doublings in a row no more are tried."""

CAUSES = ("probing", "depth", "quantization", "surrogate")

IDLE = 2
DEEPEST = 16
"""Times the present depth of re-ranking that are tried at most: deeper, it costs more than any other way to that recall."""

FINER = ("f16", "f32", "bits")
"""Codecs of a copy to re-rank on, the smallest first, among which one is advised."""

MOST_OF_IT = 0.8
"""Share of what a knob can bring for which it is advised: the rest costs as much again."""


@dataclass(frozen=True)
class Effort:
    """Search parameters, and the recall that they give."""

    search: Mapping[str, int]
    recalls: np.ndarray

    @property
    def recall(self) -> float:
        """Mean over queries."""
        return float(self.recalls.mean())


@dataclass(frozen=True)
class Losses:
    """Recall that is missing, by cause; the four add up to 1 - recall.

    Attributes
    ----------
    depth
        What re-ranking as deep as helps brings (at most 16 times as deep as now).
    probing
        What all other search parameters bring on top of it, raised as far as helps, re-ranking deeper again where that helps then.
    quantization
        What is lost even so, by the codes or by the copy that re-ranks; of a surrogate index, what the same depth of candidates
        from an exact index in the surrogate space brings on top.
    surrogate
        What a surrogate index loses even so: true neighbours that are not among the candidates in its space.
    recall
        Now, ties counted as right.
    search
        Search parameters now.
    furthest
        Search parameters from which on nothing more was gained.
    advice
        What to do about the largest part, in a sentence.
    """

    recall: float
    search: Mapping[str, int]
    furthest: Mapping[str, int]
    advice: str
    probing: Difference
    depth: Difference
    quantization: Difference
    surrogate: Difference

    @property
    def parts(self) -> dict[str, Difference]:
        """The four by name."""
        return {name: getattr(self, name) for name in CAUSES}


def explain_losses(collection: Collection, questions: Questions, search: Mapping[str, int]) -> Losses:
    """Where a collection loses recall on these queries.

    Parameters
    ----------
    search
        Search parameters now, every one of them.

    Notes
    -----
    Recall never falls when a search looks at more, or by little. The order of the steps matters where causes overlap: what deeper
    re-ranking and more probing bring only together is counted as probing.
    """
    depth, others = _knobs(collection, search)
    now = Effort(search, questions.recalls(collection, search))
    deep, deeper = _raised(collection, questions, now, depth)
    wide, wider = _raised(collection, questions, deep, others)
    if others and depth:
        wide, _ = _raised(collection, questions, wide, _limits(collection, wide.search, ("rerank",)))
    index = collection.index
    inner = None if index is None or index.wrapped is None else _exact_inner(collection, questions, wide)
    left = 1.0 - wide.recalls
    none = Difference.nothing(len(left))
    causes = {"depth": deep.recalls - now.recalls} if depth else {}
    causes["probing"] = wide.recalls - deep.recalls
    if index is None or _loses_nothing(index):  # what cannot be found however far the search goes is not reached by it
        causes["probing"] = causes["probing"] + left
    else:
        causes["quantization"] = left if inner is None else inner - wide.recalls
    if inner is not None:
        causes["surrogate"] = 1.0 - inner
    parts = {name: Difference.of(causes[name]) if name in causes else none for name in CAUSES}
    found = Losses(now.recall, dict(search), dict(wide.search), "", **parts)
    return replace(found, advice=_advice(collection, found, {"depth": deeper, "probing": wider}))


def _knobs(collection: Collection, search: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Search parameters that are depth, and all others, with the most that is tried of each."""
    names = [] if collection.index is None else list(search)
    depth = _limits(collection, search, tuple(name for name in names if name == "rerank"))
    return depth, _limits(collection, search, tuple(name for name in names if name != "rerank"))


def _limits(collection: Collection, search: Mapping[str, int], names: tuple[str, ...]) -> dict[str, int]:
    rows = max(1, len(collection.rows))
    return {name: min(rows, DEEPEST * search[name]) if name == "rerank" else rows for name in names}


def _raised(
    collection: Collection, questions: Questions, start: Effort, limits: Mapping[str, int]
) -> tuple[Effort, list[Effort]]:
    """The best of the efforts reached by doubling some parameters together for as long as that helps, and all of them."""
    efforts, best, idle = [start], start, 0
    while idle < IDLE and any(efforts[-1].search[name] < most for name, most in limits.items()):
        raised = {
            name: max(efforts[-1].search[name], min(most, 2 * efforts[-1].search[name]))
            for name, most in limits.items()
        }
        search = {**efforts[-1].search, **raised}
        efforts.append(Effort(search, questions.recalls(collection, search)))
        helped = efforts[-1].recall > best.recall + ENOUGH
        idle = 0 if helped else idle + 1
        best = efforts[-1] if helped else best
    return best, efforts


def _loses_nothing(index: Index) -> bool:
    """Whether the distances that decide are those of the rows."""
    last = index.layout.refinement or index.layout.codec
    return index.wrapped is None and index.layout.transform is None and index.layout.codec.lossless and last.lossless


def _exact_inner(collection: Collection, questions: Questions, effort: Effort) -> np.ndarray | None:
    """Recall by query if the index that is wrapped were exact, at the same depth; None where that cannot be built."""
    recipe = collection.recipe.filled_in(collection.plan)
    fixed = {name: value for name, value in effort.search.items() if name == "rerank"}
    plan = replace(recipe.plan, inner=exact_plan(L2, recipe.registry), search=fixed)
    try:
        other = replace(recipe, plan=plan)
        built = other.build(collection.rows, collection.threads)
    except NearkinError:
        return None
    if built.index is None or built.index.wrapped is None:
        return None
    exactly = Collection(collection.rows, other, collection.metric_text, threads=collection.threads, readonly=True)
    exactly.adopt(built.index, len(collection.rows))
    return questions.recalls(exactly, fixed)


# ---- advice ------------------------------------------------------------------------------------------------------------


def _advice(collection: Collection, losses: Losses, efforts: Mapping[str, list[Effort]]) -> str:
    """What to do about the largest part, with the numbers that were measured."""
    name, largest = max(losses.parts.items(), key=lambda part: part[1].mean)
    if largest.mean <= max(ENOUGH, 0.005):
        return f"recall is {losses.recall:.3f}, and no single cause takes more than {max(0.0, largest.mean):.3f} of it"
    if name in efforts and len(efforts[name]) > 1:
        return _raise_knobs(efforts[name])
    if name == "probing":
        return f"{largest.mean:.3f} of the recall is never reached, however far the search goes: take flat or ivf"
    if name == "surrogate":
        return (
            f"{largest.mean:.3f} of the recall is not among {losses.furthest.get('rerank', 0):,} candidates in the "
            "surrogate's space: take another surrogate:space=, or ivf or flat, which compare by the metric itself"
        )
    return _finer(collection, largest.mean)


def _raise_knobs(efforts: list[Effort]) -> str:
    """The least effort that brings most of what there is to gain."""
    start, best = efforts[0], max(efforts, key=lambda each: each.recall)
    wanted = start.recall + MOST_OF_IT * (best.recall - start.recall)
    enough = next(each for each in efforts if each.recall >= wanted)
    changed = ", ".join(
        f"{name} from {start.search[name]:,} to {value:,}"
        for name, value in enough.search.items()
        if value != start.search[name]
    )

    return f"raise {changed}: recall goes from {start.recall:.3f} to {enough.recall:.3f}"


def _finer(collection: Collection, lost: float) -> str:
    """A finer copy to re-rank on if there is a legal one, else a codec of more bytes."""
    index, registry = collection.index, collection.recipe.registry
    assert index is not None
    layout = index.layout
    base, now = collection.plan.partition(f",{REFINE}")[0], layout.refinement.code_size if layout.refinement else 0
    for name in FINER:
        text = f"{base},{REFINE}{name}"
        try:
            plan = parse_plan(text, registry)
            made = make_index(plan, collection.metric, layout.dim, registry, rows=max(1, len(collection)))
        except NearkinError:
            continue
        size = made.layout.refinement.code_size if made.layout.refinement else 0
        if size > now:
            more = f"{size - now:,} bytes a row more"
            return f"the codes lose {lost:.3f} of the recall: take {text}, which re-ranks on a finer copy ({more})"
    return (
        f"the codes lose {lost:.3f} of the recall: take a codec of more bytes a row than {layout.codec.label} "
        f"({layout.codec.code_size:,}), or flat without one"
    )
