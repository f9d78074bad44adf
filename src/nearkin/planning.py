"""From a budget to a plan, and to an index whose recall was shown."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from nearkin.accuracy import Interval, least_queries
from nearkin.budgets import Budget
from nearkin.candidates import Candidate, Shape, candidate, candidates, is_exact, within
from nearkin.certification import Certificate, certify
from nearkin.errors import BudgetError, NearkinError, ParameterError, VectorError
from nearkin.examination import HELD_OUT, Examination, examine
from nearkin.indexes import FEW_ROWS
from nearkin.indexing import Built, Recipe
from nearkin.intake import real_number
from nearkin.plan_search import IMPATIENCE, Progress, Ranked, Search, print_nothing
from nearkin.rows import Rows
from nearkin.search_parameters import whole_number
from nearkin.subsets import Subset
from nearkin.trials import Examiner, Trial
from nearkin.vectors import as_vectors

BUILT = 3
"""Plans that are built over all rows before an exact one is."""

SURPRISE = 2.0
"""What a query takes over all rows may be so many times what was expected of one index, and not of another."""


@dataclass(frozen=True)
class Choice:
    """The plan that was chosen for a budget, and why.

    Attributes
    ----------
    plan
        With every number filled in.
    search
        Search parameters.
    wanted
        Recall@k that was aimed at.
    recall
        What was measured, on all rows where `certified`, else on a sample of `measured_rows`.
    certified
        Whether the index was built and its recall shown on queries that had no say in the choice.
    held_out
        Whether the queries were rows held out; otherwise they were given.
    seconds_a_query, latency
        Measured where certified, otherwise expected; `latency` is what 95 of 100 single queries take, 0 if nobody asked.
    build_seconds
        Building alone; expected where nothing was built.
    planning_seconds
        All the rest: truth, trials, certification.
    predicted
        Bytes of the index by component.
    trials
        Everything that was tried, the best first.
    left_out
        Plans that serve the metric and fit the memory, and were not tried for lack of time.
    notes
        What else there is to know, in words.
    """

    plan: str
    search: Mapping[str, int]
    budget: Budget
    metric: str
    rows: int
    dim: int
    k: int
    queries: int
    held_out: bool
    wanted: float
    recall: Interval
    certified: bool
    measured_rows: int
    seconds_a_query: float
    latency: float
    build_seconds: float
    planning_seconds: float
    predicted: Mapping[str, int]
    trials: tuple[Trial, ...] = ()
    left_out: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """What was chosen and how sure it is, in a sentence."""
        where = f"on {self.queries:,} " + ("rows held out" if self.held_out else "of your queries")
        how = "shown " + where if self.certified else f"on a sample of {self.measured_rows:,} rows, {where}"
        settings = ", ".join(f"{name}={value}" for name, value in self.search.items())
        return (
            f"{self.plan}{' with ' + settings if settings else ''}: recall@{self.k} {self.recall.mean:.3f} "
            f"({self.recall.low:.3f} to {self.recall.high:.3f}), {how}"
        )


@dataclass(frozen=True)
class _Shown:
    """A plan that meets the budget over all rows."""

    candidate: Candidate
    built: Built
    certificate: Certificate

    def seconds(self, budget: Budget) -> float:
        """What a query takes."""
        timing = self.certificate.timing
        return timing.of(budget) if timing else 0.0


@dataclass
class Chooser:
    """Finds, builds and certifies a plan for rows.

    Attributes
    ----------
    recipe
        Metric, registry and seed; its plan counts only where the budget's is fixed.
    queries
        (nq, dim) checked queries; None to hold out rows.
    keep_vectors
        Whether the rows stay where an index can read them again.
    seconds
        For the search; None for a time that follows from what building takes.
    """

    rows: Rows
    recipe: Recipe
    budget: Budget
    k: int = 10
    queries: np.ndarray | None = None
    keep_vectors: bool = True
    threads: int = 1
    seconds: float | None = None
    progress: Progress = print_nothing
    notes: list[str] = field(default_factory=list)
    _nearest: list[tuple[Certificate, Candidate, int]] = field(default_factory=list)
    _last: tuple[str, Built] | None = None

    def __post_init__(self) -> None:
        self._start = time.perf_counter()
        self._shape = Shape(self.rows.count, self.rows.dim, self.rows if self.keep_vectors else None)
        self._examiner = Examiner(self.budget, self.threads, self.recipe.plan.search, patient=self.budget.fixed)
        self._found = within(self._candidates(), self.budget.memory, self._shape)

    def _candidates(self) -> list[Candidate]:
        if self.budget.fixed:
            self.recipe.make(self._shape.dim, self._shape.rows, self._shape.stored)  # a refusal says why
            one = candidate(self.recipe, self.recipe.plan, self._shape)
            return [one] if one is not None else []
        return candidates(self.recipe, self._shape)

    # ---- choosing only ---------------------------------------------------------------------------------------------

    def choose(self) -> Choice:
        """The plan that is expected to meet the budget; only samples are built.

        Raises
        ------
        BudgetError
            No plan meets it.
        """
        exam, search = self._begin()
        for wanted in self.budget.levels:
            for ranked in search.run(wanted):
                if self.budget.latency is None or search.latency(ranked) <= self.budget.latency:
                    return self._expected(exam, search, ranked, wanted)
        raise self._nothing(search)

    def _begin(self) -> tuple[Examination, Search]:
        self.progress("finding the right answers")
        exam = examine(self.rows, self.queries, self.k, self.recipe, self.threads, self._queries_wanted())
        few = least_queries(max(self.budget.levels))
        if self.queries is not None and len(exam.asked) < 2 * few:
            self.notes.append(
                f"{len(exam.asked):,} queries are too few to show a recall of {max(self.budget.levels):g} of anything but an "
                f"exact plan: pass {2 * few:,} or more, or none, so that rows are held out"
            )
        search = Search(exam, self._found, self._shape, self._examiner, seconds=self.seconds, progress=self.progress)
        return exam, search

    def _queries_wanted(self) -> int:
        return max(HELD_OUT, 4 * least_queries(max(self.budget.levels)))

    def _expected(self, exam: Examination, search: Search, ranked: Ranked, wanted: float) -> Choice:
        trial, one = ranked.latest, ranked.candidate
        assert trial.recall is not None
        facts = self._facts(exam, search, one, wanted)
        return Choice(
            **facts,
            search=trial.search,
            recall=trial.recall,
            certified=False,
            measured_rows=trial.rows,
            seconds_a_query=search.cost(ranked),
            latency=search.latency(ranked),
            build_seconds=ranked.build_seconds(self._shape.rows),
            planning_seconds=time.perf_counter() - self._start,
        )

    def _facts(self, exam: Examination, search: Search | None, one: Candidate, wanted: float) -> dict[str, Any]:
        trials = search.trials() if search is not None else []
        return {
            "plan": one.text,
            "budget": self.budget,
            "metric": self.recipe.metric.name,
            "rows": self._shape.rows,
            "dim": self._shape.dim,
            "k": exam.k,
            "queries": len(exam.asked),
            "held_out": self.queries is None,
            "wanted": wanted,
            "predicted": one.predicted,
            "trials": tuple(trials),
            "left_out": len(self._found) - len(trials) if search is not None else 0,
            "notes": tuple(self.notes),
        }

    # ---- building --------------------------------------------------------------------------------------------------

    def build(self) -> tuple[Recipe, Built, Choice]:
        """The index over all rows with its recall shown, what built it, and how it was chosen.

        Raises
        ------
        BudgetError
            No plan meets the budget; the message names the nearest that was found.
        """
        exam, search = self._begin()
        for wanted in self.budget.levels:
            shown = self._fastest_shown(exam, search, wanted)
            if shown is not None:
                return self._finished(exam, search, shown)
        raise self._nothing(search)

    def _fastest_shown(self, exam: Examination, search: Search, wanted: float) -> _Shown | None:
        """Of plans that are expected to be good the one that is built the soonest, and then any that is expected to be much faster
        and can still be built in the time: what a query takes over all rows may surprise, and so it is measured."""
        best, expected = None, math.inf
        for one, seconds, build_seconds in self._in_turn(search, wanted):
            if best is not None and not (IMPATIENCE * seconds < expected and build_seconds < search.left()):
                continue
            shown = self._attempt(one, exam, wanted)
            if shown is not None and (best is None or shown.seconds(self.budget) < best.seconds(self.budget)):
                best, expected = shown, seconds
        return best

    def _in_turn(self, search: Search, wanted: float) -> Iterator[tuple[Candidate, float, float]]:
        """Plans with what a query and building are expected to take: good ones, then others, and exact ones last."""
        if len(self._found) == 1:
            yield self._found[0], math.inf, 0.0
            return
        ranking = [] if self._shape.rows < FEW_ROWS else search.run(wanted)  # on so few a recall cannot be measured
        firsts = {each.candidate.asked.index.name: each for each in reversed(ranking)}.values()
        good = [each for each in firsts if search.cost(each) <= SURPRISE * search.cost(ranking[0])]
        good.sort(key=lambda each: each.build_seconds(self._shape.rows))
        for ranked in [*good, *[each for each in ranking if each not in good][:BUILT]]:
            yield ranked.candidate, search.cost(ranked), ranked.build_seconds(self._shape.rows)
        known = {ranked.candidate.text for ranked in ranking[:BUILT]}
        yield from ((one, math.inf, 0.0) for one in self._found if is_exact(one) and one.text not in known)

    def _attempt(self, one: Candidate, exam: Examination, wanted: float) -> _Shown | None:
        """Build and certify; None, and a note, if it does not meet the budget."""
        self.progress(f"building {one.text} over {self._shape.rows:,} rows")
        try:
            built = self._filled(one, exam)
            assert built.index is not None
            self.progress(f"certifying {one.text}")
            certificate = certify(built.index, exam, wanted, self._examiner, self.recipe.seed, exact=is_exact(one))
            # Rows that asked may not be in it yet, and the ceiling holds for all of them.
            taken = math.ceil(sum(built.index.allocated().values()) * len(self.rows) / built.index.n)
        except Exception as error:
            if self.budget.fixed or isinstance(error, MemoryError):
                raise
            self.notes.append(f"{one.text} failed: {error.message if isinstance(error, NearkinError) else repr(error)}")
            return None
        over = self.budget.memory is not None and taken > self.budget.memory
        shortfall = f"takes {taken:,} bytes" if over else certificate.shortfall
        if shortfall:
            self.notes.append(f"{one.text} over all rows {shortfall}")
            self._nearest.append((certificate, one, taken))
            return None
        return _Shown(one, built, certificate)

    def _filled(self, one: Candidate, exam: Examination) -> Built:
        """Over all rows, unless those that ask must be left out for the others to be found as if they were not there."""
        if self._last is not None and self._last[0] == one.text:
            return self._last[1]
        self._last = None  # two at a time may not fit into memory
        index = one.recipe.make(self._shape.dim, self._shape.rows, self._shape.stored)
        if index.rows_apart or not len(exam.left_out):
            built = one.recipe.filled(self.rows, self.threads, self.keep_vectors, left_out=exam.left_out)
        else:
            built = one.recipe.filled(Subset(self.rows, exam.kept), self.threads, self.keep_vectors)
        self._last = one.text, built
        return built

    def _finished(self, exam: Examination, search: Search, shown: _Shown) -> tuple[Recipe, Built, Choice]:
        one, built, certificate = shown.candidate, shown.built, self._deepened(shown.certificate, exam)
        assert built.index is not None
        built.index.set_defaults(certificate.search)
        if built.index.n < len(self.rows):  # rows that asked were not in it
            self.progress(f"building {one.text} again with the rows that asked")
            again = one.recipe.filled(self.rows, self.threads, self.keep_vectors)
            assert again.index is not None
            again.index.set_defaults(certificate.search)
            built = Built(again.index, built.timings + again.timings)
        choice = self._certified(exam, search, replace(shown, built=built, certificate=certificate))
        recipe = replace(one.recipe, plan=replace(one.recipe.plan, search=dict(certificate.search)))
        took = replace(built.timings, calibrate=choice.planning_seconds)
        return recipe, replace(built, timings=took, notes=choice.notes), choice

    def _deepened(self, certificate: Certificate, exam: Examination) -> Certificate:
        """Among the rows that asked there are candidates too: re-ranking goes deeper in proportion, unless its depth was given."""
        search = dict(certificate.search)
        if "rerank" in search and "rerank" not in self._examiner.fixed:
            search["rerank"] = math.ceil(search["rerank"] * len(self.rows) / len(exam.kept))
        return replace(certificate, search=search)

    def _certified(self, exam: Examination, search: Search, shown: _Shown) -> Choice:
        certificate, timing = shown.certificate, shown.certificate.timing
        if certificate.raised:
            often = "once" if certificate.raised == 1 else f"{certificate.raised} times"
            self.notes.append(f"effort was raised {often}, since the certifying queries found too little")
        return Choice(
            **self._facts(exam, search, shown.candidate, certificate.wanted),
            search=certificate.search,
            recall=certificate.recall,
            certified=True,
            measured_rows=self._shape.rows,
            seconds_a_query=shown.seconds(self.budget),
            latency=timing.p95 if timing else 0.0,
            build_seconds=shown.built.timings.total,
            planning_seconds=time.perf_counter() - self._start - shown.built.timings.total,
        )

    def _nothing(self, search: Search) -> BudgetError:
        """What to say if no plan meets the budget."""
        wanted = min(self.budget.levels)
        recalls = [(each.recall.mean, each.plan) for each in search.trials() if each.recall is not None]
        recalls += [(shown.recall.mean, one.text) for shown, one, _ in self._nearest]
        tried = f"{len(search.trials()) or len(self._nearest)} plans were tried"
        nearest = "" if not recalls else f"; the best recall was {max(recalls)[0]:.3f}, by {max(recalls)[1]}"
        hints = ["a lower recall"] + ["more memory"] * (self.budget.memory is not None)
        hints += ["more time for a query"] * (self.budget.latency is not None)
        reasons = f" ({self.notes[-1]})" if self.notes else ""
        return BudgetError(
            f"no plan meets {self.budget} at a recall of {wanted:g}: {tried}{nearest}{reasons}",
            hint="ask for " + " or ".join(hints),
        )


def chooser_of(rows: Rows, recipe: Recipe, budget: Budget, *, k: int, queries: Any, **options: Any) -> Chooser:
    """What finds a plan for rows; `options` are those of `Chooser`, None for its defaults."""
    metric = recipe.metric
    if queries is not None:
        queries = as_vectors(queries, dim=rows.dim, dtype=metric.dtype, what="queries", longest=metric.longest_row)
        if not len(queries):
            raise VectorError("there are no queries to measure with", hint="pass some, or none to hold out rows")
    seconds = options.get("seconds")
    if seconds is not None and real_number("seconds", seconds) <= 0:
        raise ParameterError(f"seconds is {seconds!r}, the time for the search is to be above 0")
    given = {name: value for name, value in options.items() if value is not None}
    return Chooser(rows, recipe, budget, k=whole_number("k", k, 1), queries=queries, **given)
