"""Search parameters for a wanted recall, found by asking an index for the neighbours of its own rows.

Truth is the exact answer. The fastest parameters are taken whose recall is high enough with some certainty.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from nearkin.accuracy import Interval, least_queries, tie_recall, without_itself
from nearkin.indexes import Found, Index, Mask
from nearkin.operating_points import Params, Quality, spread, sufficient

K = 10
QUERIES = 400
"""Rows that ask, unless exact answers for so many take more than `SECONDS`; but no fewer than `FEWEST`."""

SECONDS = 20.0
FEWEST = 100
TURNS = 3
"""Times that each choice is timed."""


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Attributes
    ----------
    search
        Search parameters.
    recall
        Recall@10 at them, ties of the last neighbour counted as right.
    wanted
        Recall that was asked for.
    speedup
        How many times as fast as the exact answer; 0 where the recall is too low to be worth timing.
    """

    search: Mapping[str, int]
    recall: Interval
    wanted: float
    speedup: float = 0.0

    @property
    def reached(self) -> bool:
        """Whether the lower end of the interval is what was wanted."""
        return self.recall.low >= self.wanted

    @property
    def shortfall(self) -> str:
        """What speaks against using it, in words; nothing if it keeps its promise and is faster than the exact answer."""
        if not self.reached:
            return f"that is below {self.wanted:g}"
        return "" if self.speedup > 1 else "that is no faster than comparing every row"

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.search.items())
        return (
            f"recall@{K} {self.recall.mean:.3f} ({self.recall.low:.3f} to {self.recall.high:.3f}) at {settings or 'no settings'}, "
            f"with {self.recall.queries:,} of the rows as queries"
            + (f", {self.speedup:.1f} times as fast as exact" if self.speedup else "")
        )


def sampled(alive: np.ndarray, seed: int, wanted: float = 0.0) -> np.ndarray:
    """Positions of rows that serve as queries, in random order; more of them where a wanted recall is too high for few to show."""
    rng = np.random.default_rng(seed)
    return rng.choice(alive, min(max(QUERIES, 2 * least_queries(wanted)), len(alive)), replace=False)


def calibrate(
    index: Index,
    prepared: np.ndarray,
    asked: np.ndarray,
    exact: Callable[[np.ndarray, int], Found],
    wanted: float,
    *,
    fixed: Mapping[str, int],
    mask: Mask | None,
    threads: int,
) -> Calibration:
    """Find the fastest search parameters of an index that give a recall, and make them its defaults.

    Parameters
    ----------
    prepared
        (nq, dim) queries, which are rows of the index at the (nq,) positions `asked`.
    exact
        Queries and k to the exact k nearest rows of each, itself included.
    fixed
        Search parameters that are not to be changed.
    """
    k = min(K, index.n - 1)
    prepared, asked = _affordable(prepared, asked, exact, k + 1)
    start = time.perf_counter()
    truth = without_itself(exact(prepared, k + 1), asked, k).distances.astype(np.float64)
    exact_seconds = time.perf_counter() - start
    asking = _Asking(index, prepared, asked, truth, mask, threads)
    quality = Quality(
        lambda params: asking.recall(params).low, wanted, lambda params: asking.answer(params).seconds > exact_seconds
    )
    reached = spread(sufficient(index, quality, fixed=fixed, rerank_least=k))
    timed = [(asking.seconds(params), params) for params in reached]
    seconds, params = min(timed, default=(0.0, quality.best()), key=itemgetter(0))
    best = Calibration(params, asking.recall(params), wanted)
    if reached:
        best = replace(best, speedup=exact_seconds / max(seconds, 1e-9))
    index.set_defaults(best.search)
    return best


class _Answer(NamedTuple):
    recall: Interval
    seconds: float


@dataclass
class _Asking:
    """Rows that ask an index, each combination of search parameters once."""

    index: Index
    prepared: np.ndarray
    asked: np.ndarray
    truth: np.ndarray
    mask: Mask | None
    threads: int
    answers: dict[tuple[tuple[str, int], ...], _Answer] = field(default_factory=dict)

    def recall(self, params: Params) -> Interval:
        return self.answer(params).recall

    def answer(self, params: Params) -> _Answer:
        key = tuple(sorted(params.items()))
        if key not in self.answers:
            k = self.truth.shape[1]
            start = time.perf_counter()
            found = self.index.search(self.prepared, k + 1, mask=self.mask, params=params, threads=self.threads)
            seconds = time.perf_counter() - start
            recalls = tie_recall(without_itself(found, self.asked, k).distances, self.truth)
            self.answers[key] = _Answer(Interval.of(recalls), seconds)
        return self.answers[key]

    def seconds(self, params: Params) -> float:
        turns = []
        for _ in range(TURNS):
            start = time.perf_counter()
            self.index.search(self.prepared, K, mask=self.mask, params=params, threads=self.threads)
            turns.append(time.perf_counter() - start)
        return min(turns)


def _affordable(
    prepared: np.ndarray, asked: np.ndarray, exact: Callable[[np.ndarray, int], Found], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first of the queries, as many as can be answered exactly in the time there is."""
    exact(prepared[:1], k)  # what is compiled or loaded on first use is not the scan's own time
    start = time.perf_counter()
    exact(prepared[:FEWEST], k)
    count = max(FEWEST, int(SECONDS * FEWEST / (time.perf_counter() - start)))
    return prepared[:count], asked[:count]
