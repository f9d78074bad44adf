"""An index brought up to date: rows added since are put into a copy of it, or it is trained again, or built anew.

The rule: an index is extended while there are at most `GROWTH` times the rows that it was trained on and fewer than `GONE` of
those were deleted, and built anew otherwise. A graph that learns nothing from rows is extended whatever their number, and an
index that is no more than a copy of them is built anew, which is as quick.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from nearkin.baseline import FACT, Baseline, is_copy, learns
from nearkin.errors import CorruptFileError
from nearkin.indexes import Index
from nearkin.indexing import Built, Recipe, Timings
from nearkin.rows import Rows
from nearkin.state import State

GROWTH = 4
"""Times the rows of the training: then a number of cells that is the square root of the rows is half of what it would be now. On
300,000 rows of SIFT, ivf,pq,refine-f16 trained on 75,000 of them had recall@10 0.991 at 17,000 queries/s, trained on all of them
0.994 at 14,500; trained on 30,000, 0.991 at 13,100."""

GONE = 0.3
"""Share of the rows of the training."""

Action = Literal["keep", "extend", "retrain", "rebuild"]


@dataclass(frozen=True)
class Renewal:
    """What is to be done about an index, and why in a sentence."""

    action: Action
    reason: str


def renew(
    recipe: Recipe,
    rows: Rows,
    index: Index | None,
    covered: int,
    facts: Mapping[str, Any],
    threads: int,
    *,
    retrain: bool = False,
) -> Built:
    """An index over every position; the present one is left as it is, since searches in other threads go on with it.

    Parameters
    ----------
    index
        The present one, over positions 0 to `covered`; None if there is none.
    facts
        What was kept with it.
    retrain
        Train on all rows, from what the present index has learned where it can, whatever the rule says.

    Returns
    -------
    Built
        Its first note is the reason. Facts are those of the last training; none where it was trained now.
    """
    decided = decide(rows, index, covered, facts, retrain=retrain)
    if index is None or decided.action == "rebuild":
        built = recipe.build(rows, threads)
    elif decided.action == "keep":
        return Built(index, notes=(decided.reason,), facts=facts)
    elif decided.action == "retrain":
        again = recipe.filled_in(recipe.label_of(index))
        built = recipe.keep_promise(again.filled(rows, threads, present=index), rows, threads)
    else:
        built = extended(recipe, rows, index, covered, threads)
        if built.index is not None and built.index.label == index.label:  # else another plan took its place
            since = trained_before(rows, covered, facts)
            built = replace(built, facts={**facts, FACT: since.to_dict()})
    return replace(built, notes=(decided.reason, *built.notes))


def decide(
    rows: Rows, index: Index | None, covered: int, facts: Mapping[str, Any], *, retrain: bool = False
) -> Renewal:
    """What the rule says of an index; arguments as for `renew`."""
    if not rows.count:
        return Renewal("rebuild", "there are no rows, and so no index")
    if index is None or not covered:
        return Renewal("rebuild", f"{rows.count:,} rows had no index yet, so it was built")
    trained = trained_before(rows, covered, facts)
    times, gone = growth(rows, trained), deleted_since(rows, trained)
    if learns(index) and times > GROWTH:
        grown = f"{rows.count:,} rows are {times:.1f} times the {trained.rows:,} that it was trained on"
        return Renewal("rebuild", f"{grown}, so it was built anew")
    if is_copy(index) and len(rows) > covered:
        return Renewal("rebuild", f"the index was made anew of all {rows.count:,} rows, of which it learns nothing")
    if retrain:
        if learns(index):
            return Renewal("retrain", f"it was trained again on all {rows.count:,} rows, starting from what it was")
        return Renewal("rebuild", "it learns nothing from rows, so it was built anew")
    if gone > GONE:
        lost = f"{gone:.0%} of the {trained.rows:,} rows that it was trained on were deleted"
        return Renewal("rebuild", f"{lost}, so it was built anew")
    tail = len(rows) - covered
    if not tail:
        return Renewal("keep", f"the index covers all {rows.count:,} rows already")
    return Renewal("extend", f"{tail:,} rows were added to an index that was trained on {trained.rows:,}")


def trained_before(rows: Rows, covered: int, facts: Mapping[str, Any]) -> Baseline:
    """What is known of the last training; an index without facts of it was trained on the rows that it covers."""
    try:
        known = Baseline.among(facts)
    except CorruptFileError:
        known = None
    if known is not None and known.positions <= covered:
        return known
    counts = facts.get("trained")
    if known is None and isinstance(counts, Mapping) and counts.get("positions") == covered:
        return Baseline(covered, int(counts["rows"]))
    return Baseline(covered, int(np.count_nonzero(rows.alive[:covered])))


def growth(rows: Rows, trained: Baseline) -> float:
    """How many times the rows of the training there are now."""
    return rows.count / max(1, trained.rows)


def deleted_since(rows: Rows, trained: Baseline) -> float:
    """Share of the rows of the training that were deleted since."""
    left = int(np.count_nonzero(rows.alive[: trained.positions]))
    return (trained.rows - left) / trained.rows if trained.rows else 0.0


def copied(recipe: Recipe, rows: Rows, index: Index) -> Index:
    """Another index with the same content, that changes nothing of the first when it changes."""
    state = index.state()
    # What a library wrote to a file, or what is mapped read-only, is nobody's to change in place.
    arrays = {
        name: each if isinstance(each, np.memmap) or not each.flags.writeable else each.copy()
        for name, each in state.arrays.items()
    }
    copy = recipe.filled_in(recipe.label_of(index)).make(rows.dim, max(1, rows.count), rows)
    copy.restore(State(arrays, state.meta))
    return copy


def extended(recipe: Recipe, rows: Rows, index: Index, covered: int, threads: int) -> Built:
    """A copy of an index over positions 0 to `covered` that has those after them, too, whatever the rule says."""
    start = time.perf_counter()
    longer = copied(recipe, rows, index)
    longer.use_threads(threads)
    for _, block in rows.blocks(covered):
        longer.add(recipe.metric.prepare(block))
    built = Built(longer, Timings(add=time.perf_counter() - start))
    return recipe.keep_promise(built, rows, threads)
