"""Search parameters for a wanted recall, found by asking an index for the neighbours of its own rows.

Truth is the exact answer. The fastest parameters are taken whose recall is high enough with some certainty.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np

from nearkin.accuracy import Interval, tie_recall, without_itself
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


def sampled(alive: np.ndarray, seed: int) -> np.ndarray:
    """Positions of rows that serve as queries, in random order."""
    rng = np.random.default_rng(seed)
    return rng.choice(alive, min(QUERIES, len(alive)), replace=False)


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

    measured: dict[tuple[tuple[str, int], ...], Interval] = {}

    def low_end(params: Params) -> float:
        found = index.search(prepared, k + 1, mask=mask, params=params, threads=threads)
        recall = Interval.of(tie_recall(without_itself(found, asked, k).distances, truth))
        measured[tuple(sorted(params.items()))] = recall
        return recall.low

    def seconds_at(params: Params) -> float:
        turns = []
        for _ in range(TURNS):
            start = time.perf_counter()
            index.search(prepared, K, mask=mask, params=params, threads=threads)
            turns.append(time.perf_counter() - start)
        return min(turns)

    quality = Quality(low_end, wanted)
    reached = spread(sufficient(index, quality, fixed=fixed, rerank_least=k))
    seconds, params = min(
        ((seconds_at(each), each) for each in reached), default=(0.0, quality.best()), key=itemgetter(0)
    )
    best = Calibration(params, measured[tuple(sorted(params.items()))], wanted)
    if reached:
        best = replace(best, speedup=exact_seconds / max(seconds, 1e-9))
    index.set_defaults(best.search)
    return best


def _affordable(
    prepared: np.ndarray, asked: np.ndarray, exact: Callable[[np.ndarray, int], Found], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first of the queries, as many as can be answered exactly in the time there is."""
    exact(prepared[:1], k)  # what is compiled or loaded on first use is not the scan's own time
    start = time.perf_counter()
    exact(prepared[:FEWEST], k)
    count = max(FEWEST, int(SECONDS * FEWEST / (time.perf_counter() - start)))
    return prepared[:count], asked[:count]
