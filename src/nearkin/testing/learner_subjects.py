"""Learners under examination: rows with labels of every kind and with numbers, and a learner that has learned from them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.learners import LearningTask
from nearkin.testing.contract import NotApplicable, Subject, expect, first_line, read_only

TRAINED = 120
ASKED = 30
COLUMNS = 6
CLOSE = 1e-5
"""By which probabilities, and numbers as a share of the largest, may round differently."""


@dataclass(frozen=True)
class Ground:
    """Rows to learn from and rows to ask, with what is right for them. All read-only."""

    name: str
    task: LearningTask
    rows: np.ndarray
    targets: np.ndarray
    asked: np.ndarray
    answers: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The labels that there are."""
        return np.unique(self.targets)


def grounds(subject: Subject) -> list[Ground]:
    """One for each kind of target: texts, whole numbers, booleans; numbers."""
    return subject.once("grounds", lambda: _grounds(subject))


def of_task(subject: Subject, task: LearningTask) -> list[Ground]:
    """The grounds of one task.

    Raises
    ------
    NotApplicable
        The learner does not do it.
    """
    found = [ground for ground in grounds(subject) if ground.task == task]
    if not found:
        raise NotApplicable(f"it does not predict {task}")
    return found


def one_of_each(subject: Subject) -> list[Ground]:
    """The first ground of each task."""
    return [next(ground for ground in grounds(subject) if ground.task == task) for task in _tasks(subject)]


def _tasks(subject: Subject) -> tuple[LearningTask, ...]:
    tasks: tuple[LearningTask, ...] = getattr(subject.spec, "tasks", ("classes",))
    return tasks


def _grounds(subject: Subject) -> list[Ground]:
    rng, found = subject.rng("learners"), []
    kinds: dict[str, list[Any]] = {"texts": ["ash", "birch", "cedar"], "whole numbers": [-3, 7, 40]}
    kinds["booleans"] = [False, True]
    for name, labels in kinds.items():
        if "classes" in _tasks(subject):
            rows, codes = _blobs(rng, len(labels))
            found.append(_ground(name, "classes", rows, np.array(labels)[codes]))
    if "numbers" in _tasks(subject):
        rows = rng.standard_normal((TRAINED + ASKED, COLUMNS))
        numbers = 40 + rows @ np.array([9.0, -6.0, 3.0, 0, 0, 0]) + 0.1 * rng.standard_normal(len(rows))
        found.append(_ground("numbers", "numbers", rows, numbers))
    return found


def _blobs(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Groups that any learner can tell apart, of unequal size."""
    codes = rng.permutation(np.minimum(np.arange(TRAINED + ASKED) % (count + 1), count - 1))
    return 5.0 * np.eye(COLUMNS)[codes] + rng.standard_normal((len(codes), COLUMNS)), codes


def _ground(name: str, task: LearningTask, rows: np.ndarray, targets: np.ndarray) -> Ground:
    parts = (rows[:TRAINED], targets[:TRAINED], rows[TRAINED:], targets[TRAINED:])
    return Ground(name, task, *(read_only(part) for part in parts))


def fresh(subject: Subject, ground: Ground) -> Any:
    """A learner that has learned nothing."""
    return subject.make(ground.task)


def learned(subject: Subject, ground: Ground) -> Any:
    """One learner for all checks that has learned from the ground; none changes it."""
    return subject.once(f"learned {ground.name}", lambda: fresh(subject, ground).fit(ground.rows, ground.targets))


def predicted(subject: Subject, ground: Ground) -> np.ndarray:
    """What it predicts for the rows that are asked."""
    return subject.once(f"predicted {ground.name}", lambda: np.asarray(learned(subject, ground).predict(ground.asked)))


def probabilities(learner: Any, rows: np.ndarray) -> np.ndarray | None:
    """Of the labels of each row; None where the learner gives none."""
    return np.asarray(learner.predict_proba(rows)) if hasattr(learner, "predict_proba") else None


def same_answers(learner: Any, subject: Subject, ground: Ground, what: str) -> None:
    """Break the promise unless a learner answers as the shared one does, up to rounding."""
    same_predictions(learner.predict(ground.asked), predicted(subject, ground), f"{what} ({ground.name})")
    given, wanted = (probabilities(each, ground.asked) for each in (learner, learned(subject, ground)))
    if given is not None and wanted is not None:
        moved = float(np.abs(given - wanted).max()) if given.shape == wanted.shape else np.inf
        expect(moved <= CLOSE, f"{what} ({ground.name}) moves a probability by {moved:.3g}")


def same_predictions(given: Any, wanted: np.ndarray, what: str) -> None:
    """Break the promise unless labels are equal and numbers equal up to rounding."""
    got = np.asarray(given)
    expect(got.shape == wanted.shape, f"{what} gives predictions of shape {got.shape}, {wanted.shape} expected")
    if wanted.dtype.kind == "f":
        moved = float(np.abs(got - wanted).max() / (np.abs(wanted).max() or 1.0))
        expect(moved <= CLOSE, f"{what} moves a prediction by {moved:.3g} of the largest")
    else:
        differ = int((got != wanted).sum())
        expect(not differ, f"{what} changes {differ} of {len(wanted)} labels")


def scikit_learn_failures(estimator: Any) -> dict[str, str]:
    """Names of scikit-learn's own checks that an estimator fails, and why."""
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_skip=None, on_fail=None)
    return {each["check_name"]: first_line(each["exception"]) for each in results if each["status"] == "failed"}
