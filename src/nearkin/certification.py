"""The last step to a promise: search parameters of a built index that half of the queries choose and the other half certifies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nearkin.accuracy import Interval
from nearkin.examination import Examination
from nearkin.indexes import Index
from nearkin.operating_points import Params, ladder
from nearkin.trials import Examiner, Timing

RAISES = 40
"""Times that effort is raised where the certifying half finds too little."""

TOO_SLOW = 4.0
"""A plan is given up where a query takes so many times as long as comparing every row."""


@dataclass(frozen=True)
class Certificate:
    """What was promised of an index and shown.

    Attributes
    ----------
    recall
        On the queries that certify; they had no say in the choice of the plan, and only a yes or no on the effort.
    search
        Search parameters.
    raised
        How many times the effort was raised because the certifying half found too little.
    shortfall
        What speaks against it, in words; nothing if the lower end of the recall is what was wanted and the latency is kept.
    """

    wanted: float
    recall: Interval
    search: Mapping[str, int] = field(default_factory=dict)
    timing: Timing | None = None
    raised: int = 0
    shortfall: str = ""


def certify(
    index: Index, exam: Examination, wanted: float, examiner: Examiner, seed: int, *, exact: bool = False
) -> Certificate:
    """Set the search parameters of an index to the fastest that give a recall with certainty, and say how it was shown.

    Parameters
    ----------
    exact
        The index finds every neighbour by its construction, so that no number of queries is too small to show it.
    """
    choosing, certifying = exam.halves(seed)
    limit = math.inf if examiner.patient else TOO_SLOW * exam.exact_seconds
    found, quality = examiner.choices(index, exam, choosing, 0.0 if exact else wanted, limit)
    fitting = [params for timing, params in found if examiner.in_time(timing)]
    if not fitting:
        recall = _recall(index, exam, dict(found[0][1]) if found else quality.best(), certifying, examiner)
        late = f"takes {found[0][0].p95 * 1e3:.3g} ms for one query" if found else ""
        return Certificate(wanted, recall, shortfall=late or f"gives a recall of {recall.mean:.3f} at most")
    params, raised = dict(fitting[0]), 0
    while (recall := _recall(index, exam, params, certifying, examiner)).low < wanted and raised < RAISES and not exact:
        higher = _raised(index, exam, params, choosing, examiner)
        if higher is None:
            break
        params, raised = higher, raised + 1
    index.set_defaults(params)
    timing = examiner.time(index, exam.asked, exam.k, params)
    shortfall = "" if examiner.in_time(timing) else f"takes {timing.p95 * 1e3:.3g} ms for one query"
    if recall.low < wanted and not exact:
        shortfall = f"gives a recall of {recall.mean:.3f} ({recall.low:.3f} to {recall.high:.3f})"
    return Certificate(wanted, recall, params, timing, raised, shortfall)


def _recall(index: Index, exam: Examination, params: Params, queries: np.ndarray, examiner: Examiner) -> Interval:
    return Interval.of(exam.recalls(index, dict(params), queries, examiner.threads))


def _raised(
    index: Index, exam: Examination, params: dict[str, int], choosing: np.ndarray, examiner: Examiner
) -> dict[str, int] | None:
    """One search parameter a step higher, the one that gives the choosing half most for its time; None if none goes higher."""
    asked = exam.asked[choosing]

    def tried(some: dict[str, int]) -> tuple[float, float]:
        recall = _recall(index, exam, some, choosing, examiner).mean
        return recall, examiner.time(index, asked, exam.k, some).of(examiner.budget)

    steps = []
    for name, value in params.items():
        higher = [each for each in ladder(index, name) if each > value]
        if name not in examiner.fixed and higher:
            steps.append({**params, name: higher[0]})
    if len(steps) < 2:
        return steps[0] if steps else None
    recall, seconds = tried(params)
    least = 0.01 * seconds  # less is noise
    gains = [((found - recall) / max(least, took - seconds), step) for step in steps for found, took in [tried(step)]]
    return max(gains, key=lambda pair: pair[0])[1]
