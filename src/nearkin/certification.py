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

FINE = 8
"""Steps until a search parameter that is raised has doubled."""

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
    params, raised, known = dict(fitting[0]), 0, _Known(index, exam, choosing, examiner)
    while (recall := _recall(index, exam, params, certifying, examiner)).low < wanted and raised < RAISES and not exact:
        higher = _raised(known, params)
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


@dataclass
class _Known:
    """Recall and seconds of the choosing half at search parameters, each measured once."""

    index: Index
    exam: Examination
    choosing: np.ndarray
    examiner: Examiner
    values: dict[tuple[tuple[str, int], ...], tuple[float, float]] = field(default_factory=dict)

    def at(self, params: dict[str, int]) -> tuple[float, float]:
        key = tuple(sorted(params.items()))
        if key not in self.values:
            recall = _recall(self.index, self.exam, params, self.choosing, self.examiner).mean
            timing = self.examiner.time(self.index, self.exam.asked[self.choosing], self.exam.k, params)
            self.values[key] = recall, timing.of(self.examiner.budget)
        return self.values[key]


def _raised(known: _Known, params: dict[str, int]) -> dict[str, int] | None:
    """One search parameter a step higher, the one that gives the choosing half most for its time; None if none goes higher."""
    steps = []
    for name, value in params.items():
        higher = [each for each in ladder(known.index, name, FINE) if each > value]
        if name not in known.examiner.fixed and higher:
            steps.append({**params, name: higher[0]})
    if len(steps) < 2:
        return steps[0] if steps else None
    recall, seconds = known.at(params)
    least = 0.01 * seconds  # less is noise
    gains = [
        ((found - recall) / max(least, took - seconds), step) for step in steps for found, took in [known.at(step)]
    ]
    return max(gains, key=lambda pair: pair[0])[1]
