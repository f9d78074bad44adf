"""Runs the checks of a kind on a component, or on everything that a plugin offers, and reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np

from nearkin.centroids import Clusterer
from nearkin.codecs import Codec
from nearkin.components import Part, read_params
from nearkin.embedders import Embedder
from nearkin.errors import MissingDependencyError, ParameterError, UnknownNameError
from nearkin.formats import VectorFormat
from nearkin.hooks import IndexSpec, LearnerSpec, Spec
from nearkin.indexes import Index
from nearkin.learners import Learner
from nearkin.metrics import Metric
from nearkin.recommenders import Recommender
from nearkin.registry import Registry
from nearkin.testing.centroid_checks import CENTROID_CHECKS
from nearkin.testing.clusterer_checks import CLUSTERER_CHECKS
from nearkin.testing.codec_checks import CODEC_CHECKS
from nearkin.testing.contract import Check, CheckFailed, Checks, NotApplicable, Subject, expect, first_line, options
from nearkin.testing.embedder_checks import EMBEDDER_CHECKS
from nearkin.testing.embedder_learning_checks import EMBEDDER_LEARNING_CHECKS
from nearkin.testing.format_checks import FORMAT_CHECKS
from nearkin.testing.index_behaviour_checks import BEHAVIOUR_CHECKS
from nearkin.testing.index_checks import INDEX_CHECKS
from nearkin.testing.index_subjects import declared
from nearkin.testing.learner_checks import LEARNER_CHECKS
from nearkin.testing.metric_checks import METRIC_CHECKS
from nearkin.testing.recommender_checks import RECOMMENDER_CHECKS
from nearkin.testing.samples import DIM
from nearkin.testing.transform_checks import TRANSFORM_CHECKS
from nearkin.transforms import Transform

Outcome = Literal["passed", "failed", "known failure", "skipped"]

CONTRACTS: dict[str, type] = {
    "metric": Metric,
    "transform": Transform,
    "codec": Codec,
    "clusterer": Clusterer,
    "index": Index,
    "embedder": Embedder,
    "learner": Learner,
    "recommender": Recommender,
    "format": VectorFormat,
}
"""Kind to the class that its components derive from."""

_OWN = (
    METRIC_CHECKS,
    CENTROID_CHECKS,
    TRANSFORM_CHECKS,
    CODEC_CHECKS,
    CLUSTERER_CHECKS,
    INDEX_CHECKS,
    BEHAVIOUR_CHECKS,
    EMBEDDER_CHECKS,
    EMBEDDER_LEARNING_CHECKS,
    LEARNER_CHECKS,
    RECOMMENDER_CHECKS,
    FORMAT_CHECKS,
)


@dataclass(frozen=True)
class Result:
    """What came of one check on one component, over all its examples.

    Attributes
    ----------
    reason
        Why it failed or was skipped: one sentence with the numbers, and the example if it is not the only one.
    seconds
        Time that it took, shared preparation included where it came first.
    """

    name: str
    promise: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """Results of all checks on one component."""

    component: str
    kind: str
    results: tuple[Result, ...]

    @property
    def failed(self) -> tuple[Result, ...]:
        """Results of the checks that failed."""
        return tuple(result for result in self.results if result.outcome == "failed")

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    def __str__(self) -> str:
        counts = {outcome: 0 for outcome in ("passed", "failed", "known failure", "skipped")}
        for result in self.results:
            counts[result.outcome] += 1
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
        lines = [f"{self.kind} {self.component}: {said}"]
        lines += [f"  {result.name}: {result.reason}" for result in self.failed]
        return "\n".join(lines)


def checks(kind: str) -> list[Check]:
    """Every check of a kind, in the order that they run in.

    Raises
    ------
    UnknownNameError
        There is no such kind.

    Examples
    --------
    >>> [check.name for check in checks("metric")][:3]
    ['made', 'known-failures-named', 'distances-shape']
    """
    if kind not in CONTRACTS:
        raise UnknownNameError(
            f"there is no kind of component called {kind!r}", hint=f"kinds are {', '.join(CONTRACTS)}"
        )
    found = Checks(kind)
    found.gate(made)
    found.add(known_failures_named)
    return [*found, *(check for own in _OWN if own.kind == kind for check in own)]


def made(subject: Subject) -> None:
    """The example makes a component of its kind's class, under the spec's name, and can be written as text."""
    spec = subject.spec
    for component in _components(subject):
        wanted = CONTRACTS[spec.kind]
        expect(
            isinstance(component, wanted),
            f"a {type(component).__name__} was made, a nearkin {wanted.__name__} expected",
        )
        if not isinstance(spec, LearnerSpec):  # scikit-learn's estimators have no such name
            names = (spec.name, *spec.aliases)
            expect(component.name in names, f"the component is called {component.name!r}, its spec {spec.name!r}")
    written = {key: value for key, value in subject.params.items() if value is not None}
    text = str(Part(spec.name, written))
    back = (
        subject.registry.parse(spec.kind, text)
        if subject.registry.has(spec.kind, spec.name)
        else Part(spec.name, written)
    )
    expect(dict(back.options) == written, f"written as {text!r} and read back, its params are {dict(back.options)}")


def _components(subject: Subject) -> Iterator[Any]:
    if subject.spec.kind in ("codec", "transform"):
        yield subject.make(DIM)
    elif isinstance(subject.spec, LearnerSpec):
        yield from (subject.make(task) for task in subject.spec.tasks)
    elif isinstance(subject.spec, IndexSpec):
        yield from (pair.untrained() for pair in (*declared(subject).pairs, *declared(subject).refined))
    else:
        yield subject.make()


def known_failures_named(subject: Subject) -> None:
    """Every known failure of the spec is the name of a check and says why."""
    known = {check.name for check in checks(subject.spec.kind)}
    for name, reason in subject.spec.known_failures.items():
        expect(name in known, f"known_failures names {name!r}, and no check of a {subject.spec.kind} is called so")
        expect(str(reason).strip(), f"known_failures gives no reason for {name!r}")


def subjects(spec: Spec, registry: Registry, *, seed: int = 0, rows: np.ndarray | None = None) -> list[Subject]:
    """A subject for each example of a spec.

    Raises
    ------
    ParameterError
        An example that its params refuse.
    """
    return [
        Subject(spec, registry, read_params(spec, Part(spec.name, example)), seed, rows) for example in spec.examples
    ]


def run_check(check: Check, subject: Subject) -> tuple[Outcome, str]:
    """Outcome of a check on one subject, and why; nothing that a component raises comes through.

    Known failures are not looked at.
    """
    try:
        check.run(subject)
    except NotApplicable as error:
        return "skipped", str(error)
    except MissingDependencyError as error:
        return "skipped", str(error)
    except CheckFailed as error:
        return "failed", str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a component may raise anything, SystemExit included
        return "failed", f"it raised {type(error).__name__}: {first_line(error)}"
    return "passed", ""


def check_component(spec: Spec, registry: Registry, *, seed: int = 0, rows: np.ndarray | None = None) -> Report:
    """Check a component with each of the examples of its spec.

    Parameters
    ----------
    registry
        Where the other components come from that it needs: an index is checked with the codecs and metrics of it.
    seed
        The same seed gives the same rows.
    rows
        Rows to check with instead of random ones, for a component that is made for particular rows.

    Examples
    --------
    >>> from nearkin.registry import default_registry
    >>> registry = default_registry()
    >>> check_component(registry.resolve("codec", "f32"), registry).ok
    True
    """
    try:
        cases = subjects(spec, registry, seed=seed, rows=rows)
    except ParameterError as error:
        first = checks(spec.kind)[0]
        return Report(spec.name, spec.kind, (Result(first.name, first.promise, "failed", f"an example: {error}"),))
    if not cases:
        reason = "its spec has no examples, which its author checks with a file or a model of their own"
        left = tuple(Result(each.name, each.promise, "skipped", reason) for each in checks(spec.kind))
        return Report(spec.name, spec.kind, left)
    closed: dict[int, str] = {}
    results = [_over_examples(check, cases, closed) for check in checks(spec.kind)]
    return Report(spec.name, spec.kind, tuple(results))


def _over_examples(check: Check, cases: list[Subject], closed: dict[int, str]) -> Result:
    """One result for all examples: the worst. `closed` is the examples that failed a gate, and which."""
    start = perf_counter()
    said: list[tuple[Outcome, str]] = []
    for number, subject in enumerate(cases):
        if number in closed:
            said.append(("skipped", f"{closed[number]} failed"))
            continue
        outcome, reason = run_check(check, subject)
        if outcome == "failed" and check.gate:
            closed[number] = check.name
        example = options(subject.spec.examples[number])
        said.append((outcome, f"with {example}: {reason}" if example and reason else reason))
    outcome, reason = min(said, key=lambda each: ("failed", "passed", "skipped").index(each[0]))
    spec = cases[0].spec
    if check.name in spec.known_failures:
        if outcome == "failed":
            outcome, reason = "known failure", f"{spec.known_failures[check.name]} ({reason})"
        elif outcome == "passed":
            outcome, reason = "failed", "it is declared in known_failures and passes: take it out"
    return Result(check.name, check.promise, outcome, "" if outcome == "passed" else reason, perf_counter() - start)


def check_plugin(name: str, registry: Registry, *, seed: int = 0) -> list[Report]:
    """Check everything that a plugin of the registry offers.

    Raises
    ------
    UnknownNameError
        The registry has no plugin of this name.

    Examples
    --------
    >>> from nearkin.registry import default_registry
    >>> [report.component for report in check_plugin("embedders", default_registry())]
    ['hashing', 'lsa', 'sentence-transformers', 'word-vectors', 'table']
    """
    if name not in registry.plugins:
        failed = {failure.name: failure for failure in registry.failures}
        why = f": {failed[name].line}" if name in failed else ""
        owners = [each.name for each in registry.plugins.values() if any(spec.name == name for spec in each.specs)]
        raise UnknownNameError(
            f"no plugin is called {name!r}{why}",
            hint=f"{name} is a component of the plugin {owners[0]}: check that"
            if owners
            else f"loaded are {', '.join(sorted(registry.plugins)) or 'none'}",
        )
    return check_specs(registry.plugins[name].specs, registry, seed=seed)


def check_specs(specs: Iterable[Spec], registry: Registry, *, seed: int = 0) -> list[Report]:
    """Check each of several components."""
    return [check_component(spec, registry, seed=seed) for spec in specs]
