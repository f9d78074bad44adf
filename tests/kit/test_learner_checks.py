"""For every check of the learner contract, a learner that is broken in just that way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from nearkin.hooks import LearnerSpec
from nearkin.learners import Reason
from nearkin.testing import checks, learner_checks


@dataclass(frozen=True)
class Params:
    """Options of the learners of this file."""

    seed: int = 0
    n_jobs: int | None = None


class Right(ClassifierMixin, BaseEstimator):
    """The nearest mean, and a softmax over the squared distances."""

    def __init__(self, seed: int = 0, n_jobs: int | None = None) -> None:
        self.seed = seed
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any) -> Any:
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("one class is too few")
        self.means_ = np.stack([X[codes == code].mean(axis=0) for code in range(len(self.classes_))])
        self.shares_ = np.bincount(codes) / len(codes)
        return self

    def rows_of(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def scores(self, rows: np.ndarray) -> np.ndarray:
        scores = -((rows[:, None] - self.means_[None]) ** 2).sum(axis=2) / (1 + np.abs(rows).max())
        return np.asarray(scores)

    def predict_proba(self, X: Any) -> np.ndarray:
        rows = self.rows_of(X)
        scores = np.stack([self.scores(row[None])[0] for row in rows])
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> np.ndarray:
        codes = Right.predict_proba(self, X).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        found = []
        for row in Right.predict_proba(self, X):
            order = np.argsort(-row)[:most]
            found.append([Reason(self.classes_[i], self.classes_[i], 1.0, float(row[i])) for i in order])
        return found


class RightNumbers(RegressorMixin, BaseEstimator):
    """Least squares, with columns as reasons."""

    def __init__(self, seed: int = 0, n_jobs: int | None = None) -> None:
        self.seed = seed
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any) -> Any:
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self.coef_ = np.linalg.lstsq(np.column_stack([X, np.ones(len(X))]), y)[0]
        return self

    def predict(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(X @ self.coef_[:-1] + self.coef_[-1])

    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        parts = np.asarray(X) * self.coef_[:-1]
        parts /= np.abs(parts).sum(axis=1, keepdims=True)
        order = np.argsort(-np.abs(parts), axis=1)[:, :most]
        return [[Reason(int(j), None, None, float(row[j])) for j in js] for row, js in zip(parts, order, strict=True)]


class Nothing:
    def __init__(self, seed: int, n_jobs: int | None) -> None:
        self.seed = seed


class FitGivesNothing(Right):
    def fit(self, X: Any, y: Any) -> Any:
        super().fit(X, y)


class NumbersAreNotFinite(RightNumbers):
    def predict(self, X: Any) -> np.ndarray:
        return super().predict(X) * np.nan


class EachInstanceDiffers(Right):
    instances = count(1)

    def fit(self, X: Any, y: Any) -> Any:
        super().fit(X, y)
        self.means_ = self.means_ * (1 + 0.01 * next(self.instances))
        return self


class BooleansAsNumbers(Right):
    def predict(self, X: Any) -> np.ndarray:
        found = super().predict(X)
        return found.astype(np.int64) if found.dtype.kind == "b" else found


class SharesTooSmall(Right):
    def predict_proba(self, X: Any) -> np.ndarray:
        return 0.9 * super().predict_proba(X)


class ColumnsReversed(Right):
    def predict_proba(self, X: Any) -> np.ndarray:
        return super().predict_proba(X)[:, ::-1]


class AlwaysTheMost(Right):
    def predict_proba(self, X: Any) -> np.ndarray:
        rows = self.rows_of(X)
        return np.tile(self.shares_, (len(rows), 1))

    def predict(self, X: Any) -> np.ndarray:
        codes = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[codes])


class AlwaysTheMean(RightNumbers):
    def fit(self, X: Any, y: Any) -> Any:
        super().fit(X, y)
        self.coef_ = np.append(0 * self.coef_[:-1] + 1e-9, np.mean(y))
        return self


class AddsUp(Right):
    def fit(self, X: Any, y: Any) -> Any:
        before = getattr(self, "means_", None)
        super().fit(X, y)
        if before is not None and before.shape == self.means_.shape:
            self.means_ = (self.means_ + before) / 2
        return self


class SurerInABatch(Right):
    def predict_proba(self, X: Any) -> np.ndarray:
        shares = super().predict_proba(X) ** (1 + 0.1 * len(X))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))


class KeepsTheBatch(Right):
    def predict(self, X: Any) -> np.ndarray:
        self.batch = X
        time.sleep(0.02)
        return super().predict(self.batch)


class ThreadsBlur(Right):
    def predict_proba(self, X: Any) -> np.ndarray:
        shares = super().predict_proba(X) ** (1 / (self.n_jobs or 1))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))


class WritesIntoRows(Right):
    def fit(self, X: Any, y: Any) -> Any:
        super().fit(X, y)
        if isinstance(X, np.ndarray) and X.flags.writeable:
            X[0] += 1
        return self


class WritesIntoLabels(Right):
    def fit(self, X: Any, y: Any) -> Any:
        super().fit(X, y)
        if isinstance(y, np.ndarray) and y.flags.writeable:
            y[:] = np.sort(y)
        return self


class LooksAtTheRowsLater(Right):
    def fit(self, X: Any, y: Any) -> Any:
        super().fit(X, y)
        self.kept_ = X
        self.ends_ = float(X[0, 0])
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        shares = super().predict_proba(X)
        return shares if self.kept_[0, 0] == self.ends_ else shares[:, ::-1]


class WrapsItsOption(Right):
    def __init__(self, seed: Any = 0, n_jobs: int | None = None) -> None:
        super().__init__([seed], n_jobs)


class LosesItsMeans(Right):
    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "means_" in state:
            state["means_"] = state["means_"][::-1]
        return state


class TakesNaN(Right):
    def fit(self, X: Any, y: Any) -> Any:
        return super().fit(np.nan_to_num(np.asarray(X)), y)


class TakesAnyWidth(Right):
    def rows_of(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return np.resize(check_array(X), (len(X), self.means_.shape[1]))


class SaysTooFew(Right):
    def fit(self, X: Any, y: Any) -> Any:
        if len(np.unique(y)) < 2:
            raise ValueError("too few labels")
        return super().fit(X, y)


class FallsBeforeFit(Right):
    def rows_of(self, X: Any) -> np.ndarray:
        self.means_.shape  # noqa: B018
        return super().rows_of(X)


class GivesAllReasons(Right):
    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        return super().reasons(X, most=100)


class ReasonsUnordered(Right):
    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        return [row[::-1] for row in super().reasons(X, most=most)]


class SharesTwice(Right):
    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        return [[each._replace(weight=2 * each.weight) for each in row] for row in super().reasons(X, most)]


class NegativeShares(Right):
    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        return [[each._replace(weight=-each.weight) for each in row] for row in super().reasons(X, most)]


class LabelsOfOthers(Right):
    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        return [[each._replace(label=self.classes_[0]) for each in row] for row in super().reasons(X, most)]


class ColumnsThatAreNot(RightNumbers):
    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        return [[each._replace(what=each.what + 1) for each in row] for row in super().reasons(X, most)]


class SetsMoreThanItsOptions(Right):
    def __init__(self, seed: int = 0, n_jobs: int | None = None) -> None:
        super().__init__(seed, n_jobs)
        self.other = 1


BROKEN: list[tuple[str, type]] = [
    ("made", Nothing),
    ("fits", FitGivesNothing),
    ("fits", NumbersAreNotFinite),
    ("seeds-repeat", EachInstanceDiffers),
    ("labels-come-back", BooleansAsNumbers),
    ("probabilities-sum", SharesTooSmall),
    ("most-probable", ColumnsReversed),
    ("learns", AlwaysTheMost),
    ("learns", AlwaysTheMean),
    ("learns-anew", AddsUp),
    ("one-at-a-time", SurerInABatch),
    ("two-threads", KeepsTheBatch),
    ("threads-given", ThreadsBlur),
    ("input-unchanged", WritesIntoRows),
    ("input-unchanged", WritesIntoLabels),
    ("own-copy", LooksAtTheRowsLater),
    ("clones", WrapsItsOption),
    ("pickles", LosesItsMeans),
    ("not-finite", TakesNaN),
    ("wrong-width", TakesAnyWidth),
    ("one-class", SaysTooFew),
    ("not-fitted", FallsBeforeFit),
    ("reasons-counted", GivesAllReasons),
    ("reasons-counted", ReasonsUnordered),
    ("reasons-share", SharesTwice),
    ("reasons-share", NegativeShares),
    ("reasons-name", LabelsOfOthers),
    ("reasons-name", ColumnsThatAreNot),
    ("scikit-learn", SetsMoreThanItsOptions),
]


def spec_of(kind: type, **more: Any) -> LearnerSpec:
    def make(task: str, **params: Any) -> Any:
        return kind(**params)

    tasks = ("numbers",) if issubclass(kind, RightNumbers) else ("classes",)
    return LearnerSpec(name="under-test", summary="For a test.", make=make, params=Params, tasks=tasks, **more)


@pytest.mark.parametrize("kind", [Right, RightNumbers])
def test_a_right_learner_passes(failed: Callable[..., dict[str, str]], kind: type) -> None:
    assert failed(spec_of(kind, examples=({}, {"seed": 2}))) == {}


@pytest.mark.parametrize(("check", "kind"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_learner_fails_its_check_only(
    failed: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch, check: str, kind: type
) -> None:
    if check != "scikit-learn":  # which has checks of its own for many of these
        monkeypatch.setattr(learner_checks, "scikit_learn_failures", lambda estimator: {})
    found = failed(spec_of(kind))
    assert set(found) == {check}, found


def test_a_known_failure_of_no_check_fails_its_check_only(failed: Callable[..., dict[str, str]]) -> None:
    assert set(failed(spec_of(Right, known_failures={"no-such-check": "why"}))) == {"known-failures-named"}


def test_every_check_has_a_broken_learner() -> None:
    assert {check for check, _ in BROKEN} | {"known-failures-named"} == {check.name for check in checks("learner")}
