"""One plan, built over some rows and asked until its fastest sufficient search parameters are known."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from nearkin.accuracy import Interval
from nearkin.budgets import Budget
from nearkin.candidates import Candidate
from nearkin.errors import NearkinError
from nearkin.examination import Examination
from nearkin.indexes import Index
from nearkin.operating_points import Params, Quality, spread, sufficient

SINGLES = 60
"""Queries that are asked alone to time a plan."""

TURNS = 5
SECONDS = 0.12
"""A batch is timed up to `TURNS` times, until that took so long."""


@dataclass(frozen=True)
class Timing:
    """What a query takes.

    Attributes
    ----------
    batch
        Seconds a query in a batch.
    single, p95
        Seconds of a query asked alone: the median, and what 95 of 100 take at most.
    """

    batch: float
    single: float
    p95: float

    def of(self, budget: Budget) -> float:
        """What is to be small."""
        return self.batch if budget.optimize == "batch" else self.single


@dataclass(frozen=True)
class Trial:
    """What came out of trying a plan.

    Attributes
    ----------
    plan
        With every number filled in.
    rows
        Rows that it was tried on.
    wanted
        Recall that it was asked for.
    recall
        Recall at `search`; the highest that was seen where what was wanted was not reached.
    search
        The fastest search parameters with the recall.
    timing
        None where the recall was not reached.
    bytes
        Predicted for all rows.
    failure
        Why there is no more to say, in words; empty if all went well.
    """

    plan: str
    rows: int
    wanted: float
    recall: Interval | None = None
    search: Mapping[str, int] = field(default_factory=dict)
    timing: Timing | None = None
    train_seconds: float = 0.0
    add_seconds: float = 0.0
    bytes: int = 0
    failure: str = ""

    @property
    def build_seconds(self) -> float:
        """Seconds that building over its rows took."""
        return self.train_seconds + self.add_seconds

    @property
    def reached(self) -> bool:
        """Whether it gave the recall, within the latency."""
        return self.timing is not None and not self.failure


class Examiner:
    """Puts one budget's questions to indexes.

    Parameters
    ----------
    fixed
        Search parameters that stay as they are.
    patient
        Look for the recall however long a query takes.
    """

    def __init__(self, budget: Budget, threads: int, fixed: Params | None = None, *, patient: bool = False) -> None:
        self.patient = patient
        self.budget = budget
        self.threads = threads
        self.fixed = fixed or {}

    def time(self, index: Index, asked: np.ndarray, k: int, params: Params) -> Timing:
        """Time a search: the fastest of some batches, and quantiles over single queries; what is not asked for is not timed."""
        batch, single, p95 = 0.0, 0.0, 0.0
        if self.budget.optimize == "batch":
            batch = self._batch(index, asked, k, params) / len(asked)
        if self.budget.optimize == "single" or self.budget.latency is not None:
            single, p95 = self._single(index, asked, k, params)
        return Timing(batch or single, single or batch, p95)

    def _batch(self, index: Index, asked: np.ndarray, k: int, params: Params) -> float:
        turns: list[float] = []
        while len(turns) < TURNS and sum(turns) < SECONDS:
            start = time.perf_counter()
            index.search(asked, k, params=params, threads=self.threads)
            turns.append(time.perf_counter() - start)
        return min(turns)

    def _single(self, index: Index, asked: np.ndarray, k: int, params: Params) -> tuple[float, float]:
        turns = []
        for query in asked[:SINGLES]:
            start = time.perf_counter()
            index.search(query[None, :], k, params=params, threads=self.threads)
            turns.append(time.perf_counter() - start)
        return float(np.median(turns)), float(np.quantile(turns, 0.95))

    def choices(
        self, index: Index, exam: Examination, queries: np.ndarray, wanted: float, limit: float
    ) -> tuple[list[tuple[Timing, dict[str, int]]], Quality]:
        """Search parameters that are enough with their timings, the fastest first, and everything that was asked.

        Parameters
        ----------
        limit
            Seconds a query beyond which it is not worth going on.
        """
        took: dict[tuple[tuple[str, int], ...], float] = {}

        def recall_at(params: Params) -> float:
            start = time.perf_counter()
            recalls = exam.recalls(index, dict(params), queries, self.threads)
            took[tuple(sorted(params.items()))] = (time.perf_counter() - start) / len(queries)
            return float(recalls.mean())

        quality = Quality(recall_at, wanted, lambda params: took[tuple(sorted(params.items()))] > limit)
        fixed = {name: value for name, value in self.fixed.items() if name in index.knobs}
        found = sufficient(index, quality, fixed=fixed, rerank_least=exam.k)
        timed = [(self.time(index, exam.asked[queries], exam.k, params), params) for params in spread(found)]
        return sorted(timed, key=lambda pair: pair[0].of(self.budget)), quality

    def in_time(self, timing: Timing) -> bool:
        """Whether the latency is kept."""
        return self.budget.latency is None or timing.p95 <= self.budget.latency

    def try_out(self, one: Candidate, exam: Examination, wanted: float, limit: float) -> Trial:
        """Build a plan over the rows of an examination and find its fastest search parameters.

        What goes wrong in a component, whoever wrote it, is an entry of the list that users see, and the search goes on.
        """
        tried = Trial(one.text, len(exam.rows), wanted, bytes=one.bytes)
        try:
            built = one.recipe.filled(exam.rows, self.threads)
            index = built.index
            assert index is not None
            queries = np.arange(len(exam.asked))
            found, quality = self.choices(index, exam, queries, wanted, limit)
            fitting = [each for each in found if self.in_time(each[0])]
            params = (fitting or found)[0][1] if found else quality.best()
            recall = Interval.of(exam.recalls(index, dict(params), queries, self.threads))
        except NearkinError as error:
            return replace(tried, failure=error.message)
        except Exception as error:
            return replace(tried, failure=f"{type(error).__name__}: {error}")
        took = built.timings
        tried = replace(tried, recall=recall, search=params, train_seconds=took.train, add_seconds=took.add)
        if not found:
            return replace(tried, failure="does not reach it")
        late = "" if fitting else f"takes {found[0][0].p95 * 1e3:.3g} ms"
        return replace(tried, timing=(fitting or found)[0][0], failure=late)
