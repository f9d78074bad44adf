"""Methods fitted and asked fold by fold: every row is predicted once, by a model that has not seen it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from nearkin.errors import InputError, NearkinError, ParameterError
from nearkin.items import items_in
from nearkin.learners import LearningTask
from nearkin.learning.embedding_step import EmbeddingStep
from nearkin.learning.folds import Targets, folds_of, nested_order, targets_of
from nearkin.learning.time_budget import affordable_rows
from nearkin.settings import load_settings

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Trial:
    """Rows to predict, how they are divided, and how they become vectors.

    Attributes
    ----------
    rows
        (n, dim) matrix, a data frame of numbers, or n items.
    targets
        What is to be predicted.
    folds
        (n,) fold in which each row is held out.
    step
        What turns items into vectors, fitted in each fold; None for rows that are vectors.
    """

    rows: Any
    targets: Targets
    folds: np.ndarray
    seed: int
    threads: int
    step: EmbeddingStep | None = None

    @property
    def cv(self) -> int:
        """Folds."""
        return int(self.folds.max()) + 1

    @property
    def count(self) -> int:
        """Rows."""
        return len(self.folds)

    @property
    def trained(self) -> int:
        """Training rows of the fold that has fewest."""
        return self.count - int(np.bincount(self.folds).max())

    @property
    def wanted(self) -> np.ndarray:
        """(n,) labels or numbers, as learners get them."""
        return self.targets.labels[self.targets.values] if self.targets.task == "classes" else self.targets.values

    def vectors(self, train: np.ndarray, *others: np.ndarray) -> list[Any]:
        """Training rows, and others, as vectors; an embedder learns from the training rows alone."""
        if self.step is None:
            return [take(self.rows, some) for some in (train, *others)]
        step = clone(self.step).fit(take(self.rows, train))
        return [step.transform(take(self.rows, some)) for some in (train, *others)]

    def halves(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers of the training rows and of those held out, fold by fold."""
        for fold in range(self.cv):
            yield np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)


class Outcome(NamedTuple):
    """What one method predicted."""

    estimator: Any
    """As it was before it was fitted."""
    predicted: np.ndarray
    """(n,) numbers of labels, or numbers."""
    probabilities: np.ndarray | None
    """(n, classes), where it gives them."""
    fit_seconds: float
    """All folds together."""
    predict_seconds: float
    embed_seconds: float
    """Of embedding in all folds, which is done once for all methods."""
    rows_fitted: int
    """Training rows of a fold, of which there may have been more."""
    notes: tuple[str, ...]
    error: BaseException | None


def make_trial(
    X: Any,
    y: Any,
    *,
    cv: int,
    task: LearningTask | None = None,
    embedder: Any = None,
    seed: int | None = None,
    threads: int | None = None,
) -> Trial:
    """Check rows and targets, and divide the rows into folds.

    Raises
    ------
    ParameterError
        Other numbers of rows and targets; targets as `targets_of` refuses them; folds as `folds_of` does.
    InputError
        Texts or records without an embedder.
    """
    given = {name: value for name, value in {"seed": seed, "threads": threads}.items() if value is not None}
    settings = load_settings(given)
    targets = targets_of(y, task)
    rows, step = _rows_of(X, embedder, settings.threads)
    count = len(rows) if isinstance(rows, list) else rows.shape[0]
    if count != len(targets.values):
        raise ParameterError(f"there are {count:,} rows and {len(targets.values):,} targets, one a row expected")
    folds = folds_of(targets.values if targets.task == "classes" else None, cv, seed=settings.seed, rows=count)
    return Trial(rows, targets, folds, settings.seed, settings.threads, step)


def _rows_of(X: Any, embedder: Any, threads: int) -> tuple[Any, EmbeddingStep | None]:
    if embedder is not None:
        step = embedder if isinstance(embedder, EmbeddingStep) else EmbeddingStep(embedder, threads=threads)
        return _items(X), step
    if items_in(X) is not None:
        raise InputError(
            "these are texts or records, and no embedder is given to turn them into vectors",
            hint='pass embedder="lsa" for texts, embedder="table" for records (--embedder)',
        )
    rows = X if hasattr(X, "iloc") or hasattr(X, "tocsr") else np.asarray(X)
    if len(rows.shape) != 2:
        raise ParameterError(f"rows have shape {rows.shape}, (rows, columns) expected")
    return (rows.tocsr() if hasattr(rows, "tocsr") else rows), None


def _items(X: Any) -> list[Any]:
    items = items_in(X, records=True)
    if items is None:
        raise InputError("these are vectors, and an embedder takes texts or records", hint="leave embedder out")
    return items


def take(rows: Any, some: np.ndarray) -> Any:
    """Some of the rows, whatever holds them."""
    if isinstance(rows, list):
        return [rows[at] for at in some.tolist()]
    return rows.iloc[some] if hasattr(rows, "iloc") else rows[some]


# ---- running ---------------------------------------------------------------------------------------------------------


@dataclass
class _Runner:
    """One method on its way through the folds."""

    name: str
    estimator: Any
    predicted: np.ndarray
    probabilities: np.ndarray | None
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0
    embed_seconds: float = 0.0
    rows_fitted: int = 0
    notes: dict[str, None] = field(default_factory=dict)
    error: BaseException | None = None

    def outcome(self) -> Outcome:
        return Outcome(
            self.estimator,
            self.predicted,
            self.probabilities,
            self.fit_seconds,
            self.predict_seconds,
            self.embed_seconds,
            self.rows_fitted,
            tuple(self.notes),
            self.error,
        )


def cross_validate(
    trial: Trial,
    methods: Mapping[str, Any],
    *,
    budget: float | None = None,
    progress: Progress = lambda words: None,
) -> dict[str, Outcome]:
    """Predict every row once by each method; what fails keeps its error, and the others go on.

    Parameters
    ----------
    methods
        Estimators by name; they are copied for each fold.
    budget
        Seconds that a method may take for all folds. One that would take longer is fitted on 250, 500, 1000, ... rows, and says so;
        how many depends on the machine.
    """
    runners = [_started(name, each, trial) for name, each in methods.items()]
    for fold, (train, test) in enumerate(trial.halves()):
        start = time.perf_counter()
        vectors = trial.vectors(train, test)
        took = time.perf_counter() - start if trial.step is not None else 0.0
        for runner in runners:
            runner.embed_seconds += took
            if runner.error is None:
                progress(f"{runner.name}, fold {fold + 1} of {trial.cv}")
                _run_fold(runner, trial, train, test, vectors, budget)
    return {runner.name: runner.outcome() for runner in runners}


def _started(name: str, estimator: Any, trial: Trial) -> _Runner:
    runner = _Runner(name, estimator, *_empty(trial))
    try:
        runner.estimator = seeded(estimator, trial)
    except Exception as error:  # a class, or what scikit-learn cannot copy
        runner.error = error
    return runner


def _empty(trial: Trial) -> tuple[np.ndarray, np.ndarray | None]:
    if trial.targets.task == "numbers":
        return np.zeros(trial.count), None
    return np.zeros(trial.count, dtype=np.int64), np.zeros((trial.count, len(trial.targets.labels)))


def _run_fold(
    runner: _Runner, trial: Trial, train: np.ndarray, test: np.ndarray, vectors: list[Any], budget: float | None
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            used = _used_rows(runner, trial, train, vectors, budget)
            model = clone(runner.estimator)
            start = time.perf_counter()
            model.fit(take(vectors[0], used), trial.wanted[train[used]])
            fitted = time.perf_counter()
            answers = model.predict(_own(vectors[1]))
            runner.predict_seconds += time.perf_counter() - fitted
            runner.fit_seconds += fitted - start
            runner.predicted[test] = _as_values(answers, trial.targets, runner.name, len(test))
            _keep_probabilities(runner, model, trial.targets, test, vectors[1])
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's learner raises, an exit too
            runner.error = error
            return
    runner.notes.update(dict.fromkeys(_said(each) for each in caught if issubclass(each.category, UserWarning)))
    taken, done = runner.fit_seconds + runner.predict_seconds, int(trial.folds[test[0]]) + 1
    if budget is not None and taken > 2 * budget and done < trial.cv:
        runner.error = ParameterError(
            f"{done} of {trial.cv} folds took {taken:.0f} s, and the budget is {budget:g} s",
            hint="allow more (--budget)",
        )


def _used_rows(
    runner: _Runner, trial: Trial, train: np.ndarray, vectors: list[Any], budget: float | None
) -> np.ndarray:
    """Which training rows a method is fitted on: all, or as many as its time allows, with the same shares of labels."""
    count = len(train)
    if budget is None:
        runner.rows_fitted = count
        return np.arange(count)
    order = nested_order(
        trial.targets.values[train] if trial.targets.task == "classes" else None, count, seed=trial.seed
    )
    if not runner.rows_fitted:

        def timed(size: int) -> float:
            some = np.sort(order[:size])
            start = time.perf_counter()
            clone(runner.estimator).fit(take(vectors[0], some), trial.wanted[train[some]]).predict(_own(vectors[1]))
            return time.perf_counter() - start

        runner.rows_fitted = affordable_rows(timed, count, budget / trial.cv)
        if runner.rows_fitted < count:
            runner.notes[
                f"fitted on {runner.rows_fitted:,} of {count:,} rows in each fold, since all would take more than {budget:g} s on "
                "this machine; with all rows it may do better, and another machine may allow another number"
            ] = None
    return np.sort(order[: min(count, runner.rows_fitted)])


def _own(rows: Any) -> Any:
    """A copy, since a learner may write into what it is given, and others get the same rows."""
    return take(rows, np.arange(rows.shape[0]))


def _as_values(answers: Any, targets: Targets, name: str, rows: int) -> np.ndarray:
    given = np.asarray(answers)
    if given.shape not in ((rows,), (rows, 1)):
        raise ParameterError(f"{name} predicted an array of shape {given.shape}, ({rows},) expected")
    given = given.reshape(rows)
    if targets.task == "numbers":
        numbers = np.asarray(given, dtype=np.float64)
        if not np.isfinite(numbers).all():
            raise ParameterError(f"{name} predicted {int((~np.isfinite(numbers)).sum()):,} numbers that are not finite")
        return numbers
    codes = np.clip(np.searchsorted(targets.labels, given), 0, len(targets.labels) - 1)
    if not np.all(targets.labels[codes] == given):
        raise ParameterError(f"{name} predicted labels that no row has")
    return np.asarray(codes)


def _keep_probabilities(runner: _Runner, model: Any, targets: Targets, test: np.ndarray, rows: Any) -> None:
    """Those that are probabilities; else none at all, with a note, since the predictions may be good without."""
    if runner.probabilities is None:
        return
    if not hasattr(model, "predict_proba"):
        runner.probabilities = None
        return
    try:
        columns, given = _probabilities(model, targets, rows)
        runner.probabilities[test[:, None], columns[None, :]] = given
    except Exception as error:  # whatever a stranger's learner raises
        runner.probabilities = None
        runner.notes[f"no scores of its probabilities: {sentence_of(error)}"] = None


SUM_ERROR = 1e-3
"""How far probabilities of a row may be from 1 in sum; single precision is well within."""


def _probabilities(model: Any, targets: Targets, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """(m,) numbers of the labels that a model knows, and (rows, m) probabilities, checked."""
    known = np.asarray(model.classes_)
    columns = np.clip(np.searchsorted(targets.labels, known), 0, len(targets.labels) - 1)
    if known.ndim != 1 or len(np.unique(columns)) != len(known) or not np.all(targets.labels[columns] == known):
        raise ParameterError("classes_ are not labels of the rows, each once")
    given = np.asarray(model.predict_proba(_own(rows)), dtype=np.float64)
    if given.shape != (rows.shape[0], len(known)):
        raise ParameterError(f"they have shape {given.shape}, {(rows.shape[0], len(known))} expected")
    if not np.isfinite(given).all():
        raise ParameterError(f"{int((~np.isfinite(given)).sum()):,} of them are not finite")
    if given.min() < -SUM_ERROR or given.max() > 1 + SUM_ERROR:
        raise ParameterError(f"they lie between {given.min():g} and {given.max():g}, 0 to 1 expected")
    sums = given.sum(axis=1)
    if np.abs(sums - 1).max() > SUM_ERROR:
        raise ParameterError(f"those of a row sum to between {sums.min():g} and {sums.max():g}, 1 expected")
    return columns, np.clip(given, 0, 1)


def _said(caught: warnings.WarningMessage) -> str:
    return " ".join(str(caught.message).split())[:200]


def seeded(estimator: Any, trial: Trial) -> Any:
    """A copy whose seeds and threads are those of the trial, where it leaves them open."""
    made = clone(estimator)
    ours = {"random_state": trial.seed, "threads": trial.threads}
    for name, value in made.get_params(deep=True).items():
        last = name.rpartition("__")[2]
        if value is None and last in ours:
            made.set_params(**{name: ours[last]})
    return made


def need_outcome(outcome: Outcome) -> Outcome:
    """Raise what a method failed with: as it is, if it is an error of nearkin's, else in one sentence."""
    error = outcome.error
    if error is None:
        return outcome
    if isinstance(error, NearkinError):
        raise error
    raise ParameterError(f"{outcome.estimator!r} failed: {sentence_of(error)}") from error


def sentence_of(error: BaseException) -> str:
    """An error in one line.

    >>> sentence_of(ValueError("Input X\\nhas NaN")), sentence_of(ParameterError("k is 0"))
    ('ValueError: Input X has NaN', 'k is 0')
    """
    words = " ".join(str(error).split())
    if isinstance(error, NearkinError):
        return words
    return f"{type(error).__name__}: {words[:240]}"
