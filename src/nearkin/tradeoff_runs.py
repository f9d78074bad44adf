"""Measuring every plan of the grid on one set of vectors, within a time limit.

Truth is found once and serves all plans. What codecs and indexes do alone is measured first, and from it what a pair of them will
take is estimated; a plan that no longer fits in the time is left out by name.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

import numpy as np

import nearkin as package
from nearkin.building import build, make_metric
from nearkin.collection import Collection
from nearkin.errors import NearkinError, ParameterError, VectorError
from nearkin.intake import real_number
from nearkin.measurement import Truth, hold_out
from nearkin.metrics import Metric
from nearkin.plan_grid import Candidate, LeftOut, PlanGrid, plan_grid
from nearkin.reconstruction import reconstruction_error
from nearkin.registry import Registry, default_registry
from nearkin.search_parameters import whole_number
from nearkin.setting_curves import Question, settings_of
from nearkin.settings import load_settings
from nearkin.tradeoffs import Histogram, TradeOff, TradeOffs
from nearkin.vectors import as_vectors

LIMIT = 240.0
"""Seconds that measuring may take unless it is told otherwise."""

TRIAL_ROWS = 400, 800
TRIAL_FROM = 5000
"""From so many rows on, a plan that nothing is known about is tried on a few of them first."""

SAMPLE = 4096
TESTED = 1024
"""Rows that codecs learn from, and others that their error is measured on."""

LONG = 0.1
"""Share of all the time from which on a plan waits for the others, if it would take most of what is left."""

HISTOGRAM_QUERIES, HISTOGRAM_ROWS, BINS = 200, 500, 60


def measure_tradeoffs(
    vectors: Any,
    *,
    metric: str | Metric = "euclidean",
    queries: Any = None,
    k: int = 10,
    recall: float = 0.95,
    queries_held_out: int = 1000,
    seconds: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
    progress: Callable[[str], None] = lambda words: None,
) -> TradeOffs:
    """Build and measure every plan that is legal for a metric.

    Parameters
    ----------
    vectors
        (n, dim) numbers, or packed bits (uint8) for a metric on bits.
    queries
        (nq, dim) numbers; left out, `queries_held_out` rows are taken out of `vectors` before anything is built.
    recall
        Recall that a recommended plan must surely have; above 0 and below 1.
    seconds
        Time that measuring may take, 240 unless it is said. The exact plan is measured whatever it takes, and a plan that was
        begun is finished.
    progress
        Called with a few words before each plan.

    Raises
    ------
    VectorError, ParameterError, UnknownNameError
        One sentence each, with the numbers. A plan that cannot be built is no error, but a row that says why.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(600, 8))
    >>> found = measure_tradeoffs(rows, queries_held_out=50, seconds=0.01)
    >>> found.exact.plan, found.exact.settings[0].recall.mean, len(found.left_out) > 20
    ('flat', 1.0, True)
    """
    registry = registry or default_registry()
    settings = load_settings({"seed": seed, "threads": threads})
    limit, wanted = _above_zero(seconds), _share(recall)
    clock = _Clock(limit)
    progress("finding the exact neighbours")
    given = _Given(metric, settings.seed, settings.cores, registry)
    bench = _Bench.of(given, vectors, queries, whole_number("k", k, 1), queries_held_out)
    grid = plan_grid(bench.metric, bench.metric.prepared_dim(bench.vectors.shape[1]), registry)
    run = _Run(bench, clock, grid, progress)
    rows, left_out = run.all()
    return TradeOffs(
        **bench.facts(),
        held_out=queries is None,
        wanted=wanted,
        limit=limit,
        seconds=clock.passed,
        rows=rows,
        left_out=(*grid.left_out, *left_out),
        histogram=bench.histogram(),
        versions=_versions(),
        drift=run.drift(),
    )


def _above_zero(seconds: float | None) -> float:
    limit = LIMIT if seconds is None else real_number("seconds", seconds)
    if limit <= 0:
        raise ParameterError(f"seconds is {limit:g}, a number above 0 expected")
    return limit


def _share(recall: float) -> float:
    wanted = real_number("recall", recall)
    if not 0 < wanted < 1:
        raise ParameterError(f"recall is {wanted:g}, a number between 0 and 1 expected")
    return wanted


def _versions() -> dict[str, str]:
    return {
        "nearkin": package.__version__,
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "faiss": metadata.version("faiss-cpu"),
        "machine": f"{platform.system()} {platform.machine()}",
    }


class _Clock:
    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._start = time.perf_counter()

    @property
    def passed(self) -> float:
        return time.perf_counter() - self._start

    @property
    def left(self) -> float:
        return self.limit - self.passed


@dataclass(frozen=True)
class _Given:
    """What every plan is built with."""

    metric: str | Metric
    seed: int
    threads: int
    registry: Registry

    def build(self, vectors: np.ndarray, plan: str, *, threads: int = 0) -> Collection:
        return build(
            vectors,
            metric=self.metric,
            plan=plan,
            seed=self.seed,
            threads=threads or self.threads,
            registry=self.registry,
        )


@dataclass
class _Bench:
    """Rows, and what is asked of them with the exact answers."""

    given: _Given
    metric: Metric
    metric_text: str
    vectors: np.ndarray
    question: Question
    _errors: dict[tuple[str, str], float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, given: _Given, vectors: Any, queries: Any, k: int, held_out: int) -> _Bench:
        dtype = make_metric(given.metric, given.registry)[0].dtype
        rows = as_vectors(vectors, dtype=dtype)
        if queries is None:
            rows, asked, _ = hold_out(rows, held_out, seed=given.seed)
        else:
            rows, asked = rows.copy(), as_vectors(queries, dim=rows.shape[1], dtype=dtype, what="queries")
        if not len(asked):
            raise VectorError("there are no queries to measure with", hint="pass at least one")
        rows.flags.writeable = False  # nobody else has them, so that building needs no copy
        asked = asked[np.random.default_rng(given.seed).permutation(len(asked))]  # the first few are a fair sample
        with given.build(rows, "flat") as exact:
            k = min(k, len(exact))
            found = exact.exact_search(asked, min(k + 1, len(exact)))
            truth = Truth(found.positions, found.distances.astype(np.float64))
            return cls(given, exact.metric, exact.metric_text, rows, Question.of(asked, k, truth))

    def facts(self) -> dict[str, Any]:
        """What holds for all plans."""
        count, dim = self.vectors.shape
        return {
            "metric": self.metric_text,
            "count": count,
            "dim": dim,
            "k": self.question.k,
            "queries": len(self.question.queries),
            "ties": self.question.ties,
            "seed": self.given.seed,
            "threads": self.given.threads,
            "float32_row": dim * self.vectors.itemsize,
        }

    def build(self, plan: str) -> Collection:
        """A plan over all rows."""
        return self.given.build(self.vectors, plan)

    def try_out(self, plan: str, count: int) -> None:
        """A plan over some rows; by one thread, since so few rows are not worth waiting for others."""
        self.given.build(self.some(count), plan, threads=1).close()

    def some(self, count: int) -> np.ndarray:
        """Random rows."""
        rng = np.random.default_rng(self.given.seed)
        picked = rng.choice(len(self.vectors), min(count, len(self.vectors)), replace=False)
        return np.asarray(self.vectors[picked])

    def reconstruction_error(self, candidate: Candidate) -> float | None:
        """Of a candidate's transform and codec, measured once for each pair of them; None where they refuse so few rows."""
        key = candidate.transform, candidate.codec
        if key not in self._errors:
            plan, rows = replace(candidate, refinement="").plan, self.metric.prepare(self.some(SAMPLE + TESTED))
            seed, registry = self.given.seed, self.given.registry
            try:
                found = reconstruction_error(plan, self.metric, rows, registry, tested=TESTED, seed=seed)
            except NearkinError:
                found = None
            self._errors[key] = found
        return self._errors[key]

    def histogram(self) -> Histogram | None:
        """Distances from queries to their nearest rows and to random ones; None where none are finite."""
        truth = self.question.truth.distances[:, : self.question.k]
        asked = self.question.queries[:HISTOGRAM_QUERIES]
        far = self.metric.distances(asked, self.some(HISTOGRAM_ROWS)).ravel()
        parts = [each[np.isfinite(each)] for each in (truth[:, 0], truth[:, -1], far)]
        if not all(map(len, parts)):
            return None
        edges = np.linspace(min(each.min() for each in parts), max(each.max() for each in parts), BINS + 1)
        if not (np.diff(edges) > 0).all():
            return None
        nearest, kth, random = (tuple(np.histogram(each, edges)[0].tolist()) for each in parts)
        near, middle = float(np.median(parts[0])), float(np.median(parts[2]))
        return Histogram(tuple(edges.tolist()), nearest, kth, random, middle / near if near > 0 else None)


class _Run:
    """The candidates of a grid one after the other, the informative and the quick ones first."""

    def __init__(self, bench: _Bench, clock: _Clock, grid: PlanGrid, progress: Callable[[str], None]) -> None:
        self._bench = bench
        self._clock = clock
        self._queue = list(grid.candidates)
        self._exact = grid.candidates[0].index
        self._total = len(grid.candidates)
        self._progress = progress
        self._took: dict[str, float] = {}
        self._rows: list[TradeOff] = []
        self._left_out: list[LeftOut] = []
        self._postponed: set[str] = set()

    def all(self) -> tuple[tuple[TradeOff, ...], tuple[LeftOut, ...]]:
        """What was measured, and what there was no time for."""
        while self._queue:
            level = min(each.level for each in self._queue)
            chosen = min((each for each in self._queue if each.level == level), key=self._turn)
            self._queue.remove(chosen)
            self._take(chosen)
        return tuple(self._rows), tuple(self._left_out)

    def drift(self) -> float | None:
        """Speed of the exact plan now, over what it was at first; None if it is the only one."""
        if len(self._rows) < 2:
            return None
        with self._bench.build(self._exact) as again:
            now = settings_of(again, self._bench.question, self._clock.limit, lambda: 0.0)[0]
        return now.speed.batch_qps / self._rows[0].settings[0].speed.batch_qps

    def _turn(self, candidate: Candidate) -> tuple[int, int]:
        """What comes first of a level: the quick, and of those that take about as long the small."""
        return round(math.log2(1 + self._expected(candidate))), candidate.code_size

    def _take(self, candidate: Candidate) -> None:
        expected, left = self._expected(candidate), self._clock.left
        if not self._rows:
            self._rows.append(self._measured(candidate, must=True))
        elif candidate.error:
            self._rows.append(self._row(candidate, error=candidate.error))
        elif expected >= left:
            about = f"it would take about {expected:,.0f} s, and " if expected > 0 else ""
            reason = f"{about}{max(0.0, left):,.0f} of {self._clock.limit:,.0f} s were left"
            self._left_out.append(LeftOut(candidate.plan, reason))
        elif (
            expected > max(left / 2, self._clock.limit * LONG) and self._queue and candidate.plan not in self._postponed
        ):
            self._postponed.add(candidate.plan)
            self._queue.append(replace(candidate, level=99))
        else:
            self._rows.append(self._measured(candidate))

    def _measured(self, candidate: Candidate, *, must: bool = False) -> TradeOff:
        start = time.perf_counter()
        self._progress(
            f"{len(self._rows) + 1} of {self._total} plans, at most {max(0.0, self._clock.left):.0f} s more: {candidate.plan}"
        )
        try:
            with self._bench.build(candidate.plan) as collection:
                found = self._row(
                    candidate,
                    plan=collection.plan,
                    settings=settings_of(collection, self._bench.question, self._clock.limit, lambda: self._clock.left),
                    predicted=dict(collection.predicted_bytes()),
                    allocated=dict(collection.allocated_bytes()),
                    reconstruction_error=self._bench.reconstruction_error(candidate),
                    train_seconds=collection.timings.train,
                    build_seconds=collection.timings.total,
                )
        except (Exception, SystemExit) as error:  # a stranger's code may raise anything, and the other plans go on
            if must:
                raise
            found = self._row(candidate, error=f"{type(error).__name__}: {error}")
        took = time.perf_counter() - start
        self._took[candidate.plan] = took
        return replace(found, seconds=took)

    def _row(self, candidate: Candidate, *, plan: str = "", **measured: Any) -> TradeOff:
        registry, vectors = self._bench.given.registry, self._bench.vectors
        return TradeOff(
            asked=candidate.plan,
            plan=plan or candidate.plan,
            index=candidate.index,
            codec=candidate.codec,
            refinement=candidate.refinement,
            transform=candidate.transform,
            plugin=registry.owner(registry.resolve("index", candidate.index)),
            rows=len(vectors),
            float32_bytes=vectors.nbytes,
            **measured,
        )

    # ---- what a plan will take -------------------------------------------------------------------------------------

    def _expected(self, candidate: Candidate) -> float:
        """Seconds to build and measure a plan, from what its parts took; 0 where nothing is known."""
        if candidate.error:
            return 0.0
        if candidate.plan in self._took:
            return self._took[candidate.plan]
        if candidate.refinement:
            return 1.2 * self._expected(replace(candidate, refinement=""))
        if candidate.codec and candidate.index != self._exact:
            index, codec = Candidate(candidate.index), Candidate(self._exact, candidate.codec)
            return self._expected(index) + max(0.0, self._expected(codec) - self._took.get(self._exact, 0.0))
        return self._tried(candidate) if self._took else 0.0

    def _tried(self, candidate: Candidate) -> float:
        """Seconds that building will take, from building over a few rows, and over twice as many where that is long."""
        n = len(self._bench.vectors)
        key = f"trial of {candidate.plan}"
        if key not in self._took:
            if n < TRIAL_FROM or self._clock.left <= 0:
                return 0.0
            few, more = TRIAL_ROWS
            first = self._trial(candidate, few)
            self._took[key] = first * n / few
            if self._took[key] > self._clock.limit * LONG:
                second = self._trial(candidate, more)
                self._took[key] = second + max(0.0, second - first) * (n - more) / (more - few)
        return self._took[key]

    def _trial(self, candidate: Candidate, count: int) -> float:
        start = time.perf_counter()
        try:
            self._bench.try_out(candidate.plan, count)
        except (Exception, SystemExit):  # it will be said when it is measured
            return 0.0
        return time.perf_counter() - start
