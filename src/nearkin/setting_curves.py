"""A plan under several search parameters: recall, speed and latency along its usual knob."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.accuracy import Interval, recall, tie_recall
from nearkin.collection import Collection
from nearkin.measurement import Truth, measure_speed
from nearkin.tradeoffs import Setting

REPEATS = 2
"""Batches that are timed, after a warm-up."""

SINGLES = (10, 100)
"""Queries asked alone, at least and at most."""

PROBED = 16
"""Queries that show how long the others will take."""

FEWEST, FEWEST_TIMED = 100, 32
"""Queries that recall is measured with, and speed, however slow the plan."""

RECALL_SHARE, SPEED_SHARE = 1 / 160, 1 / 600
"""Of all the time, what one setting may take for asking every query once, and for timing."""

PLAN_SHARE = 1 / 30
"""Of all the time, what one plan may take before the rest of its settings is left out."""

PLENTY = 0.99
"""Recall from which on more work is not worth measuring."""

LESS = (1 / 2, 1 / 4, 1 / 8)
"""Shares of the usual work that are measured besides; the last where the usual work gives plenty."""

SAME = 0.002
"""Difference in recall that is none."""

ALONE = 3
"""Times as long as others that the only setting of a plan may take."""


@dataclass(frozen=True)
class Question:
    """Queries in random order, and their exact neighbours.

    Attributes
    ----------
    ties
        Whether the k-th neighbour of some queries is no nearer than the next one, so that either is a right answer.
    """

    queries: np.ndarray
    k: int
    truth: Truth
    ties: bool

    @classmethod
    def of(cls, queries: np.ndarray, k: int, truth: Truth) -> Question:
        """From the k + 1 exact neighbours of each query, or k where there are no more rows.

        >>> far = Truth(np.array([[0, 1, 2]]), np.array([[1.0, 2.0, 2.0]]))
        >>> Question.of(np.zeros((1, 1)), 2, far).ties, Question.of(np.zeros((1, 1)), 1, far).ties
        (True, False)
        """
        distances = truth.distances
        tied = np.zeros(len(queries), dtype=bool)
        if distances.shape[1] > k:
            tied = distances[:, k] <= distances[:, k - 1] + 1e-6 * np.abs(distances[:, k - 1])
        return cls(queries, k, Truth(truth.positions[:, :k], distances[:, :k]), bool(tied.mean() > 0.01))

    def recall(self, collection: Collection, positions: np.ndarray) -> Interval:
        """Of the answers to the first queries; with ties counted as right if there are any."""
        count = len(positions)
        if not self.ties:
            return Interval.of(recall(positions, self.truth.positions[:count]))
        true = collection.true_distances(self.queries[:count], positions)
        return Interval.of(tie_recall(true, self.truth.distances[:count]))


def settings_of(
    collection: Collection, question: Question, limit: float, left: Callable[[], float]
) -> tuple[Setting, ...]:
    """A collection under its usual search parameters, and under less and more of the one that decides its work.

    Parameters
    ----------
    limit
        Seconds that all plans together may take.
    left
        Seconds that are left; without any, only the usual parameters are measured.

    Examples
    --------
    >>> import nearkin as nk
    >>> rows = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    >>> truth = nk.exact_neighbours(rows, rows[:5], k=3)
    >>> found = settings_of(nk.build(rows, plan="ivf16"), Question.of(rows[:5], 2, truth), 60.0, lambda: 1.0)
    >>> [each.search["nprobe"] for each in found], found[-1].recall.mean
    ([2, 4, 8, 16], 1.0)
    """
    usual = collection.search_defaults
    knob = next((name for name in usual if name != "rerank"), "rerank" if "rerank" in usual else "")
    seconds = limit if knob else ALONE * limit
    begun = time.perf_counter()

    def late() -> bool:
        return left() <= 0 or time.perf_counter() - begun > PLAN_SHARE * limit

    found = [_measured(collection, question, usual, seconds, usual=True)]
    if not knob or late():
        return tuple(found)
    best = found[0].recall.mean
    for share in LESS if best >= PLENTY else LESS[:2]:
        # Where half the work changed nothing, as in a graph that keeps as many candidates as are ranked again, both are less.
        lower = (
            (knob, "rerank")
            if len(found) > 1 and found[0].recall.mean >= best - SAME and "rerank" in usual
            else (knob,)
        )
        fewer = {name: max(1, int(value * share)) if name in lower else value for name, value in usual.items()}
        if fewer not in [each.search for each in found] and not late():
            found.insert(0, _measured(collection, question, fewer, limit))
    for more in _more(usual, knob):
        if found[-1].recall.mean >= PLENTY or late():
            break
        found.append(_measured(collection, question, more, limit))
    return tuple(found)


def _more(usual: Mapping[str, int], knob: str) -> Iterator[dict[str, int]]:
    yield {**usual, knob: 2 * usual[knob]}
    if knob != "rerank" and "rerank" in usual:
        yield {**usual, knob: 2 * usual[knob], "rerank": 3 * usual["rerank"]}
    yield {**usual, knob: 4 * usual[knob], **({"rerank": 3 * usual["rerank"]} if "rerank" in usual else {})}


def _measured(
    collection: Collection, question: Question, search: Mapping[str, int], limit: float, *, usual: bool = False
) -> Setting:
    """Recall on every query that there is time for, speed on fewer."""
    queries, k = question.queries, question.k
    settings: dict[str, Any] = dict(search)

    def ask(some: np.ndarray) -> np.ndarray:
        return collection.search(some, k, **settings).positions

    ask(queries[:1])
    alone = _seconds(lambda: ask(queries[:1]))
    each = _seconds(lambda: ask(queries[:PROBED])) / len(queries[:PROBED])
    asked = _how_many(limit * RECALL_SHARE / each, FEWEST, len(queries))
    start = time.perf_counter()
    answers = ask(queries[:asked])
    each = (time.perf_counter() - start) / asked
    timed = _how_many(limit * SPEED_SHARE / each / (REPEATS + 1), FEWEST_TIMED, len(queries))
    singles = int(np.clip(limit * SPEED_SHARE / alone, *SINGLES))
    return Setting(
        search=dict(search),
        recall=question.recall(collection, answers),
        speed=measure_speed(ask, queries[:timed], repeats=REPEATS, singles=singles),
        usual=usual,
    )


def _how_many(affordable: float, fewest: int, there: int) -> int:
    return int(min(there, max(affordable, fewest)))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return max(time.perf_counter() - start, 1e-9)
