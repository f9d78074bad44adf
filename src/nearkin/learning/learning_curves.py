"""How the score grows with the training rows, and whether more rows would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from sklearn.base import clone

from nearkin.embedders import Embedder
from nearkin.errors import ParameterError
from nearkin.learners import LearningTask
from nearkin.learning.cross_validation import Outcome, Trial, make_trial, need_outcome, seeded, take
from nearkin.learning.estimators import as_embedder, as_estimator
from nearkin.learning.folds import nested_order
from nearkin.learning.score_intervals import Score, scores_of_numbers, share
from nearkin.paired import Difference
from nearkin.registry import Registry, default_registry

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
ENOUGH = 0.01
"""A gain of accuracy from the last step that is surely below this is said not to be worth more rows."""

MoreRows = Literal["help", "hardly help", "unclear"]


@dataclass(frozen=True)
class CurvePoint:
    """A share of the training rows.

    Attributes
    ----------
    rows
        Training rows in a fold.
    score
        Accuracy, or MAE for numbers, over all rows held out.
    """

    share: float
    rows: int
    score: Score


@dataclass(frozen=True)
class LearningCurve:
    """Score by training rows; each set of rows holds the smaller ones.

    Attributes
    ----------
    method, task
        Of what.
    measure
        ``"accuracy"``, or ``"MAE"`` for numbers.
    points
        From few rows to all.
    gain
        By how much the last step made it better, with its 95 % interval, row by row; of MAE as a share of the step before.
    more_rows
        ``"help"``: the gain of the last step is surely above 0. ``"hardly help"``: surely below 0.01, or 1 % of the MAE. Otherwise
        ``"unclear"``.
    """

    method: str
    task: LearningTask
    measure: str
    points: tuple[CurvePoint, ...]
    gain: Score
    more_rows: MoreRows

    @property
    def sentence(self) -> str:
        """The same in words."""
        before, last = self.points[-2:]
        step = f"from {before.rows:,} to {last.rows:,} rows"
        if self.measure == "accuracy":
            by = f"accuracy changed by {self.gain.value:+.1%} ({self.gain.low:+.1%} to {self.gain.high:+.1%})"
        else:
            by = f"the mean error shrank by {self.gain.value:.1%} ({self.gain.low:+.1%} to {self.gain.high:+.1%})"
        return f"{_VERDICT[self.more_rows]}: {step}, {by}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "sentence": self.sentence}


_VERDICT = {
    "help": "More rows would help",
    "hardly help": "More rows would hardly help",
    "unclear": "Whether more rows would help cannot be told",
}


def learning_curve(
    method: Any,
    X: Any,
    y: Any,
    *,
    shares: Sequence[float] | None = None,
    cv: int = 5,
    task: LearningTask | None = None,
    embedder: str | Embedder | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
) -> LearningCurve:
    """Fit a method on growing shares of the rows, and score each on the same rows held out.

    Parameters
    ----------
    shares
        Of the training rows of a fold, above 0 and at most 1, ascending; None for 0.1, 0.2, 0.4, 0.7, 1. An embedder that learns
        does so from the same share.
    method, X, y, cv, task, embedder, seed, threads
        As for `nearkin.judge`.

    Raises
    ------
    ParameterError
        Shares that do not ascend, or fewer than two; else as for `nearkin.judge`.

    Examples
    --------
    >>> import numpy as np
    >>> import nearkin as nk
    >>> rows = np.random.default_rng(0).normal(size=(300, 2))
    >>> found = nk.learning_curve("knn", rows, rows.sum(axis=1) > 0, shares=(0.2, 0.6, 1), seed=0)
    >>> [point.rows for point in found.points], found.measure
    ([48, 144, 240], 'accuracy')
    """
    registry = registry or default_registry()
    trial = make_trial(X, y, cv=cv, task=task, embedder=as_embedder(embedder, registry), seed=seed, threads=threads)
    of = None if trial.step is None else trial.step.embedder
    return curve_of(trial, *as_estimator(method, trial.targets.task, registry, of), shares)


def curve_of(
    trial: Trial,
    name: str,
    estimator: Any,
    shares: Sequence[float] | None = None,
    *,
    most: float = 1.0,
    whole: np.ndarray | None = None,
) -> LearningCurve:
    """`learning_curve` in folds that are there; shares with too few rows to fit on are passed over where none were asked for.

    Parameters
    ----------
    most
        Share that the usual shares end with.
    whole
        (n,) predictions by models that were fitted on all training rows, where there are some.
    """
    asked = _checked([most * each for each in SHARES] if shares is None else shares)
    predicted = np.zeros((len(asked), trial.count), dtype=trial.targets.values.dtype)
    failed = np.zeros(len(asked), dtype=bool)
    model = seeded(estimator, trial)
    for train, test in trial.halves():
        order = nested_order(_codes(trial, train), len(train), seed=trial.seed)
        for at, each in enumerate(asked):
            if whole is not None and each == 1:
                predicted[at, test] = whole[test]
                continue
            some = np.sort(train[order[: max(2, round(each * len(train)))]])
            try:
                predicted[at, test] = _predicted(trial, model, some, test)
            except Exception as error:
                if shares is not None or each == asked[-1]:
                    raise need_error(model, error) from error
                failed[at] = True  # fewer rows than neighbours, or a single label among them
    kept = np.flatnonzero(~failed)
    if len(kept) < 2:
        raise ParameterError(f"{trial.count:,} rows are too few for a learning curve of {name}", hint="pass shares=")
    return _curve(trial, name, [asked[at] for at in kept.tolist()], predicted[kept])


def need_error(model: Any, error: Exception) -> Exception:
    """The error that `nearkin.judge` would raise."""
    try:
        need_outcome(Outcome(model, np.empty(0), None, 0.0, 0.0, 0.0, 0, (), error))
    except Exception as found:
        return found
    return error


def _checked(shares: Sequence[float]) -> list[float]:
    asked = list(shares)
    if len(asked) < 2 or sorted(set(asked)) != asked or not (asked[0] > 0 and asked[-1] <= 1):
        raise ParameterError(f"shares are {asked}, at least two expected that ascend, above 0 and at most 1")
    return asked


def _codes(trial: Trial, some: np.ndarray) -> np.ndarray | None:
    return trial.targets.values[some] if trial.targets.task == "classes" else None


def _predicted(trial: Trial, model: Any, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are told where the method is judged on all rows
        known, asked = trial.vectors(train, test)
        answers = np.asarray(clone(model).fit(take(known, np.arange(len(train))), trial.wanted[train]).predict(asked))
    if trial.targets.task == "numbers":
        return answers.reshape(len(test))
    return np.searchsorted(trial.targets.labels, answers)


def _curve(trial: Trial, name: str, shares: list[float], predicted: np.ndarray) -> LearningCurve:
    truth, sizes = trial.targets.values, trial.count * (trial.cv - 1) / trial.cv
    if trial.targets.task == "classes":
        right = predicted == truth
        scores = [share(each) for each in right]
        found = Difference.of(right[-1].astype(np.float64) - right[-2])
        gain = Score(found.mean, found.low, found.high)
        measure = "accuracy"
    else:
        found_scores = [scores_of_numbers(truth, each, seed=trial.seed)["MAE"] for each in predicted]
        scores = [each for each in found_scores if each is not None]
        errors = np.abs(predicted[-2:] - truth)
        gain = _relative(errors[0] - errors[1], float(errors[0].mean()))
        measure = "MAE"
    points = tuple(CurvePoint(each, round(each * sizes), score) for each, score in zip(shares, scores, strict=True))
    more: MoreRows = "help" if gain.low > 0 else "hardly help" if gain.high < ENOUGH else "unclear"
    return LearningCurve(name, trial.targets.task, measure, points, gain, more)


def _relative(gains: np.ndarray, before: float) -> Score:
    """Mean gain as a share of the error before, with the interval of a normal mean."""
    from nearkin.accuracy import CONFIDENCE_Z

    scale = before or 1.0
    mean, reach = float(gains.mean()), CONFIDENCE_Z * float(gains.std(ddof=1)) / len(gains) ** 0.5
    return Score(mean / scale, (mean - reach) / scale, (mean + reach) / scale)
