"""Queries with known answers, put to indexes: one half of the queries chooses among them, the other certifies the choice.

Queries are the user's, or rows held out before anything is built; then those rows never train an index and are never an answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from nearkin.accuracy import TIE_TOLERANCE
from nearkin.indexes import Found, Index, Mask
from nearkin.indexing import Recipe, exact_over
from nearkin.metrics import Metric
from nearkin.rows import Rows
from nearkin.subsets import Subset
from nearkin.truths import exact_truth

HELD_OUT = 1000
"""Rows held out to ask with, but no more than one in `ROWS_A_QUERY`."""

ROWS_A_QUERY = 10
MOST_QUERIES = 2000
"""Of many given queries, how many are asked."""

FEWEST_QUERIES = 100
TRUTH_SECONDS = 20.0
"""Queries are left out where exact answers would take longer."""

TIES = 2
"""Times k: the neighbours among which ties of the k-th are looked for."""


@dataclass(frozen=True)
class Truth:
    """Which rows are right answers to each query.

    Attributes
    ----------
    positions
        (nq, m) rows, -1 for one that is no right answer; beyond k only those as near as the k-th.
    wanted
        (nq,) right answers that there can be, at most k.
    """

    positions: np.ndarray
    wanted: np.ndarray

    @classmethod
    def of(cls, found: Found, metric: Metric, k: int) -> Truth:
        """From the exact nearest rows, more than k of them.

        >>> from nearkin.metrics import Euclidean
        >>> found = Found(np.array([[4, 1, 2, 0]]), np.float32([[0, 1, 1, 4]]))
        >>> Truth.of(found, Euclidean(), 2).positions.tolist()
        [[4, 1, 2, -1]]
        """
        distances = metric.finish(found.distances).astype(np.float64)
        last = distances[:, [min(k, distances.shape[1]) - 1]]
        with np.errstate(invalid="ignore"):
            right = (distances <= last + TIE_TOLERANCE * np.abs(last)) & (found.positions >= 0)
        return cls(np.where(right, found.positions, -1), np.minimum(k, right.sum(axis=1)))

    def recalls(self, positions: np.ndarray) -> np.ndarray:
        """Per query, the share of its k answers that are right; one as near as the k-th neighbour is."""
        hits = ((positions[:, :, None] == self.positions[:, None, :]) & (positions[:, :, None] >= 0)).any(axis=2)
        return np.asarray(np.minimum(1.0, hits.sum(axis=1) / np.maximum(1, self.wanted)))

    def some(self, queries: np.ndarray) -> Truth:
        """Of some of the queries."""
        return Truth(self.positions[queries], self.wanted[queries])


@dataclass(frozen=True)
class Examination:
    """Rows, queries and their right answers.

    Attributes
    ----------
    rows
        What is searched; positions of answers are positions in it.
    asked
        (nq, dim) prepared queries.
    left_out
        Positions of `rows` that are no answers: those that ask.
    exact_seconds
        What the exact answer took a query.
    """

    rows: Rows
    asked: np.ndarray
    truth: Truth
    left_out: np.ndarray
    k: int
    exact_seconds: float = 0.0

    def recalls(self, index: Index, params: dict[str, int], queries: np.ndarray, threads: int) -> np.ndarray:
        """(nq,) recalls of an index over the rows, or over all but those left out if it has so many fewer."""
        asked, truth = self.asked[queries], self.truth.some(queries)
        kept = self.kept
        apart = len(kept) == len(self.rows) or index.n < len(self.rows)
        alive = self.rows.alive[kept] if apart else self.rows.alive.copy()
        if not apart:
            alive[self.left_out] = False
        mask = None if alive.all() else Mask(alive)
        found = index.search(asked, self.k, mask=mask, params=params, threads=threads).positions
        return truth.recalls(np.where(found < 0, -1, kept[found]) if apart and len(self.left_out) else found)

    @property
    def kept(self) -> np.ndarray:
        """Positions of the rows that were not left out, deleted ones included."""
        return np.setdiff1d(np.arange(len(self.rows)), self.left_out, assume_unique=True)

    def halves(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the queries that choose and of those that certify."""
        order = np.random.default_rng(seed).permutation(len(self.asked))
        return np.sort(order[: (len(order) + 1) // 2]), np.sort(order[(len(order) + 1) // 2 :])

    def sampled(self, count: int, queries: np.ndarray, recipe: Recipe, threads: int) -> Examination:
        """The same questions to a random sample of the rows that may be answers."""
        may = np.setdiff1d(np.flatnonzero(self.rows.alive), self.left_out, assume_unique=True)
        if count < len(may):
            may = np.sort(np.random.default_rng(recipe.seed).choice(may, count, replace=False))
        rows = Subset(self.rows, may)
        asked, k = self.asked[queries], min(self.k, len(may))
        truth = _truth(rows, rows.alive, asked, k, recipe, threads, cache=False)
        seconds = self.exact_seconds * len(may) / max(1, self.rows.count)
        return Examination(rows, asked, truth, np.empty(0, np.int64), k, seconds)


def examine(
    rows: Rows, queries: np.ndarray | None, k: int, recipe: Recipe, threads: int, wanted: int = HELD_OUT
) -> Examination:
    """Find the right answers to queries, or to rows that are held out.

    Parameters
    ----------
    queries
        (nq, dim) checked queries, not prepared; None to hold out rows.
    recipe
        Metric, registry and seed.
    wanted
        Rows to hold out, if there are enough.
    """
    rng = np.random.default_rng(recipe.seed)
    alive = np.flatnonzero(rows.alive)
    left_out = np.empty(0, dtype=np.int64)
    if queries is None:
        left_out = np.sort(rng.choice(alive, min(wanted, max(1, len(alive) // ROWS_A_QUERY)), replace=False))
        rng.shuffle(left_out)  # of which the first may be asked only
        queries = rows.take(left_out)
    elif len(queries) > max(wanted, MOST_QUERIES):
        queries = queries[rng.choice(len(queries), max(wanted, MOST_QUERIES), replace=False)]
    asked = recipe.metric.prepare_queries(queries)
    may = rows.alive.copy()
    may[left_out] = False
    k = min(k, int(np.count_nonzero(may)))
    seconds = _exact_seconds(rows, may, asked, k, recipe, threads)
    asked = asked[: max(FEWEST_QUERIES, int(TRUTH_SECONDS / max(seconds, 1e-9)))]
    truth = _truth(rows, may, asked, k, recipe, threads, cache=True)
    return Examination(rows, asked, truth, np.sort(left_out), k, seconds)


def _exact_seconds(rows: Rows, may: np.ndarray, asked: np.ndarray, k: int, recipe: Recipe, threads: int) -> float:
    """Seconds that the exact answer to one more query takes: reading and preparing the rows is shared by all."""
    few = asked[:FEWEST_QUERIES]
    seconds = []
    for some in (few[:1], few[:1], few):  # the first time something may be compiled or loaded
        start = time.perf_counter()
        exact_over(rows, may, some, k, threads, recipe)
        seconds.append(time.perf_counter() - start)
    return max(seconds[2] - seconds[1], 0.1 * seconds[2]) / len(few)


def _truth(
    rows: Rows, may: np.ndarray, asked: np.ndarray, k: int, recipe: Recipe, threads: int, *, cache: bool
) -> Truth:
    wanted = min(TIES * k, int(np.count_nonzero(may)))
    return Truth.of(exact_truth(rows, may, asked, wanted, threads, recipe, cache=cache), recipe.metric, k)
