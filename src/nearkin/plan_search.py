"""The plan that meets a budget: tried on samples, extrapolated, built, and certified on queries that had no say in the choice.

1. Plans that serve the metric and fit the memory (`nearkin.candidates`) are tried on a small sample of the rows.
2. The best of them, and variants of the best, are tried on a larger sample; what a query takes at all rows follows from the two.
3. The winner is built over all rows. Half of the queries choose its search parameters; with the other half the lower end of the
   recall's interval must be what was wanted, or effort is raised until it is, or the next plan is built.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nearkin.budgets import Budget
from nearkin.candidates import Candidate, Shape, candidate, variants
from nearkin.examination import Examination
from nearkin.hooks import IndexSpec
from nearkin.trials import Examiner, Trial

SMALL, LARGE = 8192, 32_768
"""Rows of the samples."""

TRIAL_QUERIES = 300
MARGIN = 0.25
"""Share of what the wanted recall leaves that a trial must give more: it counts the mean, and what is built the lower end."""

LEAST_SECONDS = 6.0
"""A search may take so long however quickly an index is built, and besides twice as long as building the plan that is built the
soonest of the good ones."""

SCREENING = 0.5
"""Share of the time that goes to the small sample."""

HARDEST = 2.0
"""Where no plan has given the recall yet, the small sample may take so many times all the time besides."""

WORTH_A_LOOK = 3.0
"""Plans that take so many times as long as the best may still turn out to be good."""

FINALISTS = 8
"""Plans that are tried on the large sample, at most."""

ALIKE = 1.08
"""Of plans whose time differs by less, the smallest is taken: so little may be noise."""

SLOW_TO_BUILD = 2.5
IMPATIENCE = 1.3
"""A plan that takes `SLOW_TO_BUILD` times as long to build as another one must be so many times as fast."""

USUAL_GROWTH = 0.5
"""A query over twice the rows takes 2 to this power as long, of plans that were tried on one sample only and are not exact."""

TRAINING_GROWTH = 0.5
"""Training takes samples: of twice the rows it takes 2 to this power as long."""

Progress = Callable[[str], None]


def print_nothing(sentence: str) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Ranked:
    """A candidate with what is known of it.

    Attributes
    ----------
    trials
        By number of rows.
    """

    candidate: Candidate
    trials: Mapping[int, Trial]

    @property
    def latest(self) -> Trial:
        """The trial on the most rows."""
        return self.trials[max(self.trials)]

    @property
    def scans(self) -> bool:
        """Whether its index compares every row, so that each row more takes the same time more."""
        index = self.candidate.recipe.registry.resolve("index", self.candidate.asked.index.name)
        return isinstance(index, IndexSpec) and index.exact

    def seconds(self, rows: int, budget: Budget, growth: float) -> float:
        """What a query will take over so many rows: by the growth between two trials, or else the one that is given."""
        known = self._reached(budget)
        if not known or not self.latest.reached:
            return math.inf
        *before, last = sorted(known)
        if self.scans and before:
            each_row = max(0.0, known[last] - known[before[-1]]) / (last - before[-1])
            return known[last] + each_row * (rows - last)
        own = self.growth(budget)
        return float(known[last] * (rows / last) ** (growth if own is None else own))

    def growth(self, budget: Budget) -> float | None:
        """The power of the rows that what a query takes grows with, none if it was tried on one sample only; growing with the rows
        or a little faster is the most that is believed."""
        known = self._reached(budget)
        if len(known) < 2:
            return None
        low, high = sorted(known)[-2:]
        return float(np.clip(math.log(known[high] / known[low]) / math.log(high / low), 0.0, 1.1))

    def _reached(self, budget: Budget) -> dict[int, float]:
        return {n: trial.timing.of(budget) for n, trial in self.trials.items() if trial.reached and trial.timing}

    def build_seconds(self, rows: int) -> float:
        """What building over so many rows will take."""
        last = self.latest
        factor = max(1.0, rows / last.rows)
        return float(last.train_seconds * factor**TRAINING_GROWTH + last.add_seconds * factor)


class Search:
    """The search for a plan over the rows of an examination, before anything is built over all of them.

    Parameters
    ----------
    found
        Candidates for all rows, the most promising first.
    shape
        Of all rows.
    seconds
        How long the search may take; None for `LEAST_SECONDS` and twice what building the best will take.
    """

    def __init__(
        self,
        exam: Examination,
        found: list[Candidate],
        shape: Shape,
        examiner: Examiner,
        *,
        seconds: float | None = None,
        progress: Progress = print_nothing,
    ) -> None:
        self.exam = exam
        self.found = found
        self.shape = shape
        self.examiner = examiner
        self.known: dict[str, Ranked] = {}
        self.order: list[str] = []
        self._given_seconds = seconds
        self._progress = progress
        self._start = time.perf_counter()
        self._seed = found[0].recipe.seed
        self._choosing, _ = exam.halves(self._seed)
        self._samples: dict[int, Examination] = {}
        self._ceilings: dict[str, float] = {}

    # ---- time ------------------------------------------------------------------------------------------------------

    def _allowed(self) -> float:
        if self._given_seconds is not None:
            return self._given_seconds
        ranking = self.ranking()
        near = [each for each in ranking if self.cost(each) <= WORTH_A_LOOK * self.cost(ranking[0])]
        return LEAST_SECONDS + 2 * min((each.build_seconds(self.shape.rows) for each in near), default=0.0)

    def left(self, share: float = 1.0) -> float:
        """Seconds that are left of the search, or of a share of it."""
        return share * self._allowed() - (time.perf_counter() - self._start)

    # ---- trials ----------------------------------------------------------------------------------------------------

    def run(self, wanted: float) -> list[Ranked]:
        """Plans that are expected to give the recall, the best first."""
        self._start, self.known, self.order = time.perf_counter(), {}, []
        may = len(self.exam.rows) - len(self.exam.left_out)
        small, large = min(SMALL, may), min(LARGE, may)
        if may <= 2 * SMALL:
            small = large = may
        goal = wanted + MARGIN * (1 - wanted)
        self._screen(small, goal)
        if large > small:
            self._compare(large, goal)
        if len(self.found) > 1:  # one that was given is kept to
            self._vary(large, goal)
        return self.result()

    def _screen(self, rows: int, goal: float) -> None:
        exam = self._sample(rows)
        for number, one in enumerate(self.found):
            if self.left(SCREENING) <= (0 if self.best() is not None else -HARDEST * self._allowed()):
                break
            if self._hopeless(one, exam, goal):
                continue
            self._progress(
                f"trying {one.text}, plan {number + 1} of {len(self.found)}, {max(0, self.left()):.0f} s left"
            )
            self._try(one, exam, goal)

    def _hopeless(self, one: Candidate, exam: Examination, goal: float) -> bool:
        """Whether the copy of the rows that has the last word loses too much, however many rows are compared with it."""
        finest = one.asked.refinement or one.asked.codec
        if finest is None or one.asked.inner or (one.asked.transform and not one.asked.refinement):
            return False
        label = str(finest)
        if label not in self._ceilings:
            scan = replace(one.recipe.exact().plan, codec=finest)
            bound = candidate(one.recipe, scan, Shape(len(exam.rows), self.shape.dim))
            trial = None if bound is None else self.examiner.try_out(bound, exam, 0.0, math.inf)
            self._ceilings[label] = 1.0 if trial is None or trial.recall is None else trial.recall.mean
        return self._ceilings[label] < goal

    def _compare(self, rows: int, goal: float) -> None:
        """Try the best plan of each index on the large sample, the soonest built first; then the best, until it is one that was."""
        exam = self._sample(rows)
        for _ in range(FINALISTS):
            ranked = self._next(rows)
            if ranked is None:
                break
            self._progress(f"trying {ranked.candidate.text} on {rows:,} rows, {max(0, self.left()):.0f} s left")
            self._try(ranked.candidate, exam, goal)

    def _next(self, rows: int) -> Ranked | None:
        ranking = self.ranking()
        near = [each for each in ranking if self.cost(each) <= WORTH_A_LOOK * self.cost(ranking[0])]
        firsts = {each.candidate.asked.index.name: each for each in reversed(near)}
        waiting = [*sorted(firsts.values(), key=lambda each: each.build_seconds(rows)), *near[:1]]
        fresh = [each for each in waiting if rows not in each.trials and not self._costs_too_much(each, rows)]
        return fresh[0] if fresh else None

    def _vary(self, rows: int, goal: float) -> None:
        """Variants of the best plan on the same sample, as long as there is time and one is better."""
        exam = self._sample(rows)
        tried: set[str] = set()
        while (best := self.best()) is not None and best.candidate.text not in tried:
            tried.add(best.candidate.text)
            for one in variants(best.candidate, self.shape):
                if one.text in self.known or self._costs_too_much(best, rows) or not self._fits(one):
                    continue
                self._progress(f"trying {one.text}, a variant of the best, {max(0, self.left()):.0f} s left")
                self._try(one, exam, goal)

    def _fits(self, one: Candidate) -> bool:
        memory = self.examiner.budget.memory
        return memory is None or one.bytes <= memory

    def _costs_too_much(self, ranked: Ranked, rows: int) -> bool:
        """Whether there is not the time to build it over so many rows."""
        return ranked.build_seconds(rows) > self.left()

    def _try(self, one: Candidate, exam: Examination, goal: float) -> None:
        sampled = one.at(Shape(len(exam.rows), self.shape.dim, exam.rows if self.shape.stored is not None else None))
        if sampled is None:
            return
        best = self.best()
        limit = 2 * WORTH_A_LOOK * self.cost(best) if best is not None else math.inf
        trial = self.examiner.try_out(sampled, exam, goal, max(limit, 4 * exam.exact_seconds))
        before = self.known.get(one.text)
        trials = {**(before.trials if before else {}), len(exam.rows): replace(trial, plan=one.text, bytes=one.bytes)}
        if before is None:
            self.order.append(one.text)
        self.known[one.text] = Ranked(one, trials)

    def _sample(self, rows: int) -> Examination:
        if rows not in self._samples:
            asked = self._choosing[:TRIAL_QUERIES]
            self._samples[rows] = self.exam.sampled(rows, asked, self.found[0].recipe, self.examiner.threads)
        return self._samples[rows]

    # ---- judging ---------------------------------------------------------------------------------------------------

    def cost(self, ranked: Ranked) -> float:
        """Seconds that a query will take over all rows."""
        return ranked.seconds(self.shape.rows, self.examiner.budget, self._growth(ranked))

    def _growth(self, ranked: Ranked) -> float:
        """Of a plan that was tried on one sample only: that of plans with the same index, or the usual one."""
        name = ranked.candidate.asked.index.name
        known = [
            each.growth(self.examiner.budget) for each in self.known.values() if each.candidate.asked.index.name == name
        ]
        measured = [each for each in known if each is not None]
        if measured:
            return sum(measured) / len(measured)
        return 1.0 if ranked.scans else USUAL_GROWTH

    def ranking(self) -> list[Ranked]:
        """Plans that are expected to give the recall, the best first: the fastest, unless one that is nearly as fast is
        smaller or is built much sooner."""
        able = [self.known[text] for text in self.order if self.known[text].latest.reached]
        ranking = sorted(able, key=self.cost)
        if len(ranking) > 1:
            first = self._preferred(ranking)
            ranking.remove(first)
            ranking.insert(0, first)
        return ranking

    def result(self) -> list[Ranked]:
        """The ranking, with plans in front that were tried on the largest sample: what is known of others is an estimate."""
        ranking = self.ranking()
        largest = max((max(each.trials) for each in ranking), default=0)
        return sorted(ranking, key=lambda each: largest not in each.trials)

    def _preferred(self, ranking: list[Ranked]) -> Ranked:
        """Of plans that are nearly as fast as the first, those that are not slow to build; of these the fastest, or the smallest
        that is about as fast."""
        near = [each for each in ranking if self.cost(each) <= IMPATIENCE * self.cost(ranking[0])]
        build = {each.candidate.text: each.build_seconds(self.shape.rows) for each in near}
        most = max(1.0, SLOW_TO_BUILD * min(build.values()))
        soon = [each for each in near if build[each.candidate.text] <= most]
        alike = [each for each in soon if self.cost(each) <= ALIKE * self.cost(soon[0])]
        return min(alike, key=lambda each: each.candidate.bytes)

    def latency(self, ranked: Ranked) -> float:
        """Seconds that 95 of 100 queries asked alone will take at most; 0 where that was not measured."""
        timing = ranked.latest.timing
        return 0.0 if timing is None else timing.p95 * self.cost(ranked) / timing.of(self.examiner.budget)

    def trials(self) -> list[Trial]:
        """The latest trial of each plan, those that reached the recall first, in order of what a query will take."""
        ranking = self.ranking()
        known = [ranked.candidate.text for ranked in ranking]
        return [
            *(ranked.latest for ranked in ranking),
            *(self.known[text].latest for text in self.order if text not in known),
        ]

    def best(self) -> Ranked | None:
        """The first of the ranking, if any plan gave the recall."""
        ranking = self.ranking()
        return ranking[0] if ranking else None
