"""`nearkin.compare_learners`: every method on the same rows in the same folds, with tests of whether they differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from nearkin.embedders import Embedder
from nearkin.errors import NearkinError, ParameterError, UnknownNameError
from nearkin.hooks import LearnerSpec
from nearkin.learners import LearningTask
from nearkin.learning.cross_validation import Outcome, Trial, cross_validate, make_trial, need_outcome, sentence_of
from nearkin.learning.estimators import as_embedder, as_estimator
from nearkin.learning.folds import rare_classes
from nearkin.learning.judging import Judgement, judgement_of
from nearkin.learning.paired_tests import PairedTest, compare_labels, compare_numbers, holm, mcnemar
from nearkin.learning.score_intervals import Scores
from nearkin.registry import Registry, default_registry

BASELINE = "majority"
"""The learner that looks at no row; where no plugin has one of that name, scikit-learn's is taken."""


@dataclass(frozen=True)
class LearnerRow:
    """One method of a comparison.

    Attributes
    ----------
    method
        As it can be asked for again.
    scores
        As in `Judgement.scores`; empty where it failed.
    judgement
        Everything about it; None where it failed.
    against_best, against_baseline
        The paired tests; None for the best, or the baseline, itself. A method that a budget cut is not tested against the best.
    yardstick
        Whether it is there to be compared with only.
    error
        What went wrong; else "".
    """

    method: str
    scores: Scores = field(default_factory=dict)
    judgement: Judgement | None = field(default=None, repr=False)
    against_best: PairedTest | None = None
    against_baseline: PairedTest | None = None
    yardstick: bool = False
    error: str = ""

    @property
    def rows_fitted(self) -> int | None:
        """Training rows in a fold."""
        return None if self.judgement is None else self.judgement.rows_fitted

    @property
    def cut(self) -> bool:
        """Whether a budget allowed it fewer training rows than there are."""
        return self.judgement is not None and self.judgement.cut

    @property
    def fit_seconds(self) -> float | None:
        """All folds together."""
        return None if self.judgement is None else self.judgement.fit_seconds

    @property
    def predict_seconds(self) -> float | None:
        """All folds together."""
        return None if self.judgement is None else self.judgement.predict_seconds


@dataclass(frozen=True, eq=False)
class LearnerComparison:
    """Methods on the same rows in the same folds.

    Attributes
    ----------
    rows
        The best first (by accuracy, or for numbers by mean squared error), then those that failed.
    baseline
        The method that looks at no row.
    trial
        Rows, targets and folds.
    notes
        Sentences for the user.
    """

    rows: tuple[LearnerRow, ...]
    baseline: str
    trial: Trial = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> LearningTask:
        """``"classes"`` or ``"numbers"``."""
        return self.trial.targets.task

    @property
    def best(self) -> Judgement:
        """The judgement of the best method."""
        found = self.rows[0].judgement
        if found is None:
            raise ParameterError("no method could be fitted")
        return found

    @cached_property
    def by_method(self) -> Mapping[str, LearnerRow]:
        """Rows by method."""
        return {row.method: row for row in self.rows}

    def __getitem__(self, method: str) -> LearnerRow:
        if method not in self.by_method:
            raise UnknownNameError(f"method {method!r} was not compared, these were: {', '.join(self.by_method)}")
        return self.by_method[method]

    def __iter__(self) -> Iterator[LearnerRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def cut(self) -> tuple[str, ...]:
        """Methods that a budget allowed fewer training rows than there are, so that they may be better than their scores."""
        return tuple(row.method for row in self.rows if row.cut)

    @property
    def as_good(self) -> tuple[str, ...]:
        """Methods that the best one is not surely better than; those that had fewer rows are in `cut` instead."""
        return tuple(row.method for row in self.rows if row.against_best is not None and not row.against_best.certain)

    @property
    def sentence(self) -> str:
        """Which is best, and whether that is more than chance."""
        best, others = self.rows[0].method, self.as_good
        said = f"{best} is best"
        if others:
            said += f", and on these rows not surely better than {_some(others)}"
        elif any(row.against_best is not None for row in self.rows):
            said += ", surely better than every other one"
            said += " that had all rows" if set(self.cut) - {best} else ""
        if self.cut:
            said += f" (fitted on fewer rows, for the time: {_some(self.cut)})"
        test = self.rows[0].against_baseline
        if test is None:
            return said
        beats = test.certain and test.difference > 0
        return f"{said}; it {'beats' if beats else 'does not surely beat'} {self.baseline}, which looks at no row"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; predictions of single rows are left out."""
        from nearkin.reporting.learner_tables import comparison_dict

        return comparison_dict(self)

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "your rows",
        overwrite: bool = False,
        curve: bool = True,
        remarks: Sequence[str] = (),
    ) -> None:
        """Write all methods and the best one in detail; parameters and errors as for `Judgement.report`."""
        from nearkin.reporting.learner_files import LearnerReport, write_learner_report

        report = LearnerReport(self.best, self, title, tuple(remarks), curve)
        write_learner_report(report, path, overwrite=overwrite)


def _some(methods: Sequence[str]) -> str:
    return ", ".join(methods[:4]) + (f" and {len(methods) - 4} more" if len(methods) > 4 else "")


def compare_learners(
    X: Any,
    y: Any,
    *,
    methods: Sequence[Any] | Mapping[str, Any] | None = None,
    cv: int = 5,
    task: LearningTask | None = None,
    embedder: str | Embedder | None = None,
    budget: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
    progress: Callable[[str], None] = lambda words: None,
) -> LearnerComparison:
    """Cross-validate many methods in the same folds, and test each against the best and against the baseline.

    For labels the test is McNemar's, exact, over all rows; for numbers the corrected resampled t test of mean squared errors over
    the folds (C. Nadeau, Y. Bengio, 2003). p values are corrected by Holm's method. The best is chosen on the rows that it is
    judged on, so those against it are corrected for all k (k - 1) / 2 pairs of k methods: of equally good methods, one is called
    surely better in at most 5 % of comparisons. Those against the baseline are corrected among themselves. The best method's own
    score is flattered a little where many are about as good.

    Parameters
    ----------
    methods
        Learners by name with options, scikit-learn estimators, or estimators by a name of yours; None for every learner that does
        the task, yardsticks too. The baseline is always among them.
        A name that two plugins offer is written with its plugin in front.
    budget
        Seconds that a method may take, about, for all folds; one that would take longer is fitted on 250, 500, 1000, ... rows, with
        a note, and not tested against the best. How many that are depends on the machine, and so do its scores; without a budget
        a seed gives the same scores again.
    X, y, cv, task, embedder, seed, threads
        As for `nearkin.judge`.

    Raises
    ------
    ParameterError, InputError, UnknownNameError
        As for `nearkin.judge`, where all methods fail. One that fails while others do not has a row with its error.

    Examples
    --------
    >>> import numpy as np
    >>> import nearkin as nk
    >>> rows = np.random.default_rng(0).normal(size=(120, 2))
    >>> found = nk.compare_learners(rows, rows[:, 0] > 0, methods=["knn", "knn:n_neighbors=1"], seed=0)
    >>> found.rows[0].against_baseline.certain, found.rows[-1].method
    (True, 'majority')
    """
    registry = registry or default_registry()
    if budget is not None and not budget > 0:
        raise ParameterError(f"budget is {budget!r}, seconds above 0 expected")
    trial = make_trial(X, y, cv=cv, task=task, embedder=as_embedder(embedder, registry), seed=seed, threads=threads)
    made, failed = _made(methods, trial, registry)
    baseline = next((name for name in made if name.partition(":")[0] == BASELINE), BASELINE)
    if baseline not in made:
        made[baseline] = _baseline(trial.targets.task, registry)
    found = cross_validate(trial, made, budget=budget, progress=progress)
    _need_some(found, failed, baseline)
    progress("scoring")
    judged, found = _judged(trial, found)
    _need_some(found, failed, baseline)
    errors = failed | {name: sentence_of(each.error) for name, each in found.items() if each.error is not None}
    rows = [_row(name, each, _is_yardstick(name, registry)) for name, each in judged.items()]
    rows = _tested(sorted(rows, key=_place), baseline)
    rows += [LearnerRow(name, yardstick=_is_yardstick(name, registry), error=why) for name, why in errors.items()]
    rare = rare_classes(trial.targets, trial.cv)
    return LearnerComparison(tuple(rows), baseline, trial, (rare,) if rare else ())


def _made(
    methods: Sequence[Any] | Mapping[str, Any] | None, trial: Trial, registry: Registry
) -> tuple[dict[str, Any], dict[str, str]]:
    """Estimators by name, and errors of those that could not be made."""
    task, embedder = trial.targets.task, None if trial.step is None else trial.step.embedder
    if isinstance(methods, Mapping):
        return {str(name): as_estimator(each, task, registry, embedder)[1] for name, each in methods.items()}, {}
    if methods is not None:
        if isinstance(methods, str) or not len(methods):
            raise ParameterError(f"methods is {methods!r}, a list of learners expected", hint='such as methods=["knn"]')
        return dict(as_estimator(each, task, registry, embedder) for each in methods), {}
    made, failed = {}, {}
    for spec in registry.specs("learner"):
        if isinstance(spec, LearnerSpec) and task in spec.tasks:
            name = registry.name_of(spec)  # with its plugin in front where two offer the name
            try:
                text, estimator = as_estimator(name, task, registry, embedder)
                made[text] = estimator
            except NearkinError as error:  # a package that is not installed
                failed[name] = sentence_of(error)
    return made, failed


def _baseline(task: LearningTask, registry: Registry) -> Any:
    spec = _spec(BASELINE, registry)
    if spec is not None and task in spec.tasks:
        return registry.make("learner", BASELINE, task)
    from sklearn.dummy import DummyClassifier, DummyRegressor

    return DummyClassifier(strategy="prior") if task == "classes" else DummyRegressor()


def _is_yardstick(name: str, registry: Registry) -> bool:
    spec = _spec(name.partition(":")[0], registry)
    return name == BASELINE or (spec is not None and spec.yardstick)


def _spec(name: str, registry: Registry) -> LearnerSpec | None:
    """The learner that a name means; None where it means none, or several."""
    try:
        spec = registry.resolve("learner", name)
    except NearkinError:
        return None
    return spec if isinstance(spec, LearnerSpec) else None


def _need_some(found: Mapping[str, Outcome], failed: Mapping[str, str], baseline: str) -> None:
    """Raise what the first method failed with, if nothing but the baseline is left."""
    others = [each for name, each in found.items() if name != baseline]
    if others and all(each.error is not None for each in others):
        need_outcome(others[0])
    if not others and failed:
        name, why = next(iter(failed.items()))
        raise ParameterError(f"no learner could be made; {name}: {why}")


def _judged(trial: Trial, found: Mapping[str, Outcome]) -> tuple[dict[str, Judgement], dict[str, Outcome]]:
    """Judgements of those that did not fail, and all with the errors of those whose predictions cannot be scored."""
    judged, outcomes = {}, dict(found)
    for name, each in found.items():
        if each.error is None:
            try:
                judged[name] = judgement_of(trial, name, each)
            except Exception as error:
                outcomes[name] = each._replace(error=error)
    return judged, outcomes


def _row(name: str, judged: Judgement, yardstick: bool) -> LearnerRow:
    return LearnerRow(name, judged.scores, judged, yardstick=yardstick)


def _place(row: LearnerRow) -> float:
    accuracy, squared = row.scores.get("accuracy"), row.scores.get("MSE")
    return -accuracy.value if accuracy is not None else squared.value if squared is not None else np.inf


def _tested(rows: list[LearnerRow], baseline: str) -> list[LearnerRow]:
    """With the paired tests, the rows in order."""
    base = next((row.judgement for row in rows if row.method == baseline), None)
    against_best, against_base = _against_best(rows), _against(rows, base)
    return [
        replace(row, against_best=best, against_baseline=other)
        for row, best, other in zip(rows, against_best, against_base, strict=True)
    ]


def _against_best(rows: Sequence[LearnerRow]) -> list[PairedTest | None]:
    """Corrected for the tests of all pairs, since any of them might have been the best."""
    whole = [at for at, row in enumerate(rows) if at == 0 or not row.cut]
    pairs = [(one, other) for at, other in enumerate(whole) for one in whole[at + 1 :]]
    against = {one: _test(rows[one].judgement, rows[0].judgement) for one in whole[1:]}
    p_values = [
        _p_value(rows[one].judgement, rows[other].judgement) if other else against[one].p_value for one, other in pairs
    ]
    corrected = dict(zip(pairs, holm(p_values), strict=True))
    return [replace(against[at], adjusted=corrected[at, 0]) if at in against else None for at in range(len(rows))]


def _p_value(one: Any, other: Any) -> float:
    return mcnemar(one.right, other.right) if one.task == "classes" else _test(one, other).p_value


def _against(rows: Sequence[LearnerRow], other: Judgement | None) -> list[PairedTest | None]:
    found = [None if other is None or row.judgement is other else _test(row.judgement, other) for row in rows]
    corrected = iter(holm([each.p_value for each in found if each is not None]))
    return [None if each is None else replace(each, adjusted=next(corrected)) for each in found]


def _test(one: Any, other: Any) -> PairedTest:
    if one.task == "classes":
        return compare_labels(other.method, one.right, other.right)
    truth = one.trial.targets.values
    squares = [(each.predicted - truth) ** 2 for each in (one, other)]
    return compare_numbers(other.method, squares[0], squares[1], one.trial.folds)
