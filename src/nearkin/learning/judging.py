"""`nearkin.judge`: how good one method is on rows that it has not seen, and where it goes wrong.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> rows = np.concatenate([rng.normal(0, 1, (60, 2)), rng.normal(3, 1, (60, 2))])
>>> found = judge("knn", rows, ["left"] * 60 + ["right"] * 60, seed=0)
>>> print(found.scores["accuracy"])
0.958 (0.901 to 0.985)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nearkin.embedders import Embedder
from nearkin.errors import NotSupportedError
from nearkin.learners import LearningTask
from nearkin.learning.cross_validation import Outcome, Trial, cross_validate, make_trial, need_outcome
from nearkin.learning.estimators import as_embedder, as_estimator
from nearkin.learning.folds import rare_classes
from nearkin.learning.score_intervals import (
    ClassScores,
    Scores,
    scores_by_class,
    scores_of_classes,
    scores_of_numbers,
)
from nearkin.learning.scores import ReliabilityBin, confusion_matrix, reliability
from nearkin.registry import Registry, default_registry

if TYPE_CHECKING:
    from nearkin.learning.learning_curves import LearningCurve


class ConfusedPair(NamedTuple):
    """Rows of one label that were given another."""

    truth: Any
    predicted: Any
    rows: int
    share: float
    """Of the rows that have the label."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """One method on rows that it had not seen.

    Attributes
    ----------
    method
        As it can be asked for again, or how the estimator prints.
    scores
        Score name to `Score`, or None where it is not defined: for labels accuracy, balanced accuracy, precision, recall, F1 (means
        over the classes), ROC-AUC (each class against the rest), log-loss and calibration error; for numbers MAE, MSE, RMSE, R2.
        The intervals of 95 % are about other rows of the same kind, with the models as they were fitted in these folds; what
        another training set would change is not in them. The models had a fold less of rows than one fitted on all.
    predicted
        (n,) prediction for each row, by the model that had not seen it.
    probabilities
        (n, classes) where the method gives them.
    fit_seconds, predict_seconds
        All folds together; predicting is `predict` alone, without the probabilities.
    embed_seconds
        Of making vectors in all folds, 0 for rows that are vectors; methods that are compared share them.
    rows_fitted
        Training rows in a fold.
    notes
        Sentences for the user.
    trial
        Rows, targets and folds.
    estimator
        The method, not fitted.
    """

    method: str
    scores: Scores
    predicted: np.ndarray
    probabilities: np.ndarray | None
    fit_seconds: float
    predict_seconds: float
    embed_seconds: float
    rows_fitted: int
    notes: tuple[str, ...]
    trial: Trial = field(repr=False)
    estimator: Any = field(repr=False)

    @property
    def task(self) -> LearningTask:
        """``"classes"`` or ``"numbers"``."""
        return self.trial.targets.task

    @property
    def labels(self) -> np.ndarray:
        """(classes,) labels, sorted; none for numbers."""
        return self.trial.targets.labels

    @cached_property
    def codes(self) -> np.ndarray:
        """(n,) predictions as numbers of the labels."""
        self._need_classes("codes")
        return np.searchsorted(self.labels, self.predicted)

    @property
    def cut(self) -> bool:
        """Whether a budget allowed fewer training rows than there are."""
        return self.rows_fitted < self.trial.trained

    @property
    def right(self) -> np.ndarray:
        """(n,) which rows got their label."""
        self._need_classes("right")
        return np.asarray(self.codes == self.trial.targets.values)

    @cached_property
    def confusion(self) -> np.ndarray:
        """(classes, classes) rows by true label (down) and predicted one (across), in the order of `labels`."""
        self._need_classes("confusion")
        return confusion_matrix(self.trial.targets.values, self.codes, len(self.labels))

    @cached_property
    def by_class(self) -> tuple[ClassScores, ...]:
        """Precision, recall and F1 of each label, in the order of `labels`."""
        self._need_classes("by_class")
        return scores_by_class(self.trial.targets.values, self.codes, self.labels, seed=self.trial.seed)

    @cached_property
    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """Of predictions by confidence, how many are right; none without probabilities."""
        if self.probabilities is None:
            return ()
        return reliability(self.trial.targets.values, self.probabilities)

    def most_confused(self, most: int = 10) -> list[ConfusedPair]:
        """The pairs of labels with the most rows of the first that were given the second."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        rows = self.trial.targets.rows_by_class
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = [(int(at // len(wrong)), int(at % len(wrong))) for at in order if wrong.flat[at]]
        names = self.labels.tolist()
        return [
            ConfusedPair(names[one], names[other], int(wrong[one, other]), float(wrong[one, other] / rows[one]))
            for one, other in pairs
        ]

    def learning_curve(self, shares: Sequence[float] | None = None) -> LearningCurve:
        """How the score grows with the rows, in the same folds; see `nearkin.learning_curve`."""
        from nearkin.learning.learning_curves import curve_of

        most = min(1.0, self.rows_fitted / self.trial.trained)
        whole = None if most < 1 else self.codes if self.task == "classes" else self.predicted
        return curve_of(self.trial, self.method, self.estimator, shares, most=most, whole=whole)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; predictions of single rows are left out."""
        from nearkin.reporting.learner_tables import judgement_dict

        return judgement_dict(self)

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "your rows",
        overwrite: bool = False,
        curve: bool = True,
        remarks: Sequence[str] = (),
    ) -> None:
        """Write a page (``.html``), Markdown with PNG files beside it (``.md``), or ``.json``; any other path is a folder of all.

        Parameters
        ----------
        title
            What the rows are called.
        overwrite
            Replace what is there.
        curve
            Whether to draw the learning curve, for which the method is fitted again on fewer rows.
        remarks
            Sentences on how the rows came about.

        Raises
        ------
        MissingDependencyError
            matplotlib is not installed.
        ParameterError
            Something is at `path` that may not be replaced.
        StorageError
            Writing failed.
        """
        from nearkin.reporting.learner_files import LearnerReport, write_learner_report

        write_learner_report(LearnerReport(self, None, title, tuple(remarks), curve), path, overwrite=overwrite)

    def _need_classes(self, what: str) -> None:
        if self.task != "classes":
            raise NotSupportedError(
                f"{what} is of labels, and these are numbers", hint="the scores are MAE, MSE, RMSE, R2"
            )


def judge(
    method: Any,
    X: Any,
    y: Any,
    *,
    cv: int = 5,
    task: LearningTask | None = None,
    embedder: str | Embedder | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
    progress: Callable[[str], None] = lambda words: None,
) -> Judgement:
    """Cross-validate one method: every row is predicted once, by a model fitted without its fold.

    Parameters
    ----------
    method
        A scikit-learn estimator, or a learner's name with options: ``"knn:n_neighbors=7"``.
    X
        (n, dim) vectors, a data frame of numbers, or n texts or records with an `embedder`.
    y
        n labels or numbers.
    cv
        Folds. Rows of each label are dealt out to them equally.
    task
        ``"classes"`` or ``"numbers"``; None to see it from `y`.
    embedder
        Turns texts or records into vectors; one that learns does so in each fold, from the training rows.
    seed, threads
        Of folds and methods; None for the settings.

    Raises
    ------
    ParameterError
        Targets that are missing or all alike, fewer rows than folds; the method failed.
    UnknownNameError
        There is no such learner or embedder.
    NotSupportedError
        The learner does not do the task.

    Examples
    --------
    >>> import nearkin as nk
    >>> numbers = [float(each % 7) for each in range(60)]
    >>> found = nk.judge("knn:n_neighbors=1", [[each] for each in numbers], numbers, task="numbers")
    >>> found.scores["MAE"].value
    0.0
    """
    registry = registry or default_registry()
    trial = make_trial(X, y, cv=cv, task=task, embedder=as_embedder(embedder, registry), seed=seed, threads=threads)
    of = None if trial.step is None else trial.step.embedder
    name, estimator = as_estimator(method, trial.targets.task, registry, of)
    outcome = need_outcome(cross_validate(trial, {name: estimator}, progress=progress)[name])
    return judgement_of(trial, name, outcome)


def judgement_of(trial: Trial, name: str, outcome: Outcome) -> Judgement:
    """Score what a method predicted."""
    targets = trial.targets
    rare = rare_classes(targets, trial.cv)
    notes = (*([rare] if rare else []), *outcome.notes)
    if targets.task == "numbers":
        scores = scores_of_numbers(targets.values, outcome.predicted, seed=trial.seed)
        predicted = outcome.predicted
    else:
        given = (targets.values, outcome.predicted, len(targets.labels), outcome.probabilities)
        scores = scores_of_classes(*given, seed=trial.seed, folds=trial.folds)
        if outcome.probabilities is not None and scores["ROC-AUC"] is None:
            notes = (
                *notes,
                "no ROC-AUC: it compares rows of one fold, and the folds are too small to hold every label",
            )
        predicted = targets.labels[outcome.predicted]
    return Judgement(
        name,
        scores,
        predicted,
        outcome.probabilities,
        outcome.fit_seconds,
        outcome.predict_seconds,
        outcome.embed_seconds,
        outcome.rows_fitted,
        notes,
        trial,
        outcome.estimator,
    )
