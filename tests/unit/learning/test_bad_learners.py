"""Learners that do what they should not: each has a row with its error, or a note, and the others are as without it."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier

import nearkin as nk
from nearkin import errors
from nearkin.hooks import LearnerSpec, hookimpl
from nearkin.registry import Registry

IRIS, SPECIES = load_iris(return_X_y=True)
KNN = KNeighborsClassifier(5)


class Bad(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Nearest neighbours with one thing wrong."""

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    def fit(self, X: Any, y: Any) -> Bad:
        if self.wrong == "exits":
            sys.exit(3)
        self.model_ = KNeighborsClassifier(5).fit(X.copy(), y)
        if self.wrong != "no classes":
            self.classes_ = self.model_.classes_
        X[:] = 0
        return self

    def predict(self, X: Any) -> Any:
        found = self.model_.predict(X)
        X[:] = 0
        return {"short": found[:-1], "wide": np.column_stack([found, found]), "single": found[0]}.get(self.wrong, found)

    def predict_proba(self, X: Any) -> Any:
        found = self.model_.predict_proba(X)
        X[:] = 0
        wrongs = {"nan": found * np.nan, "outside": found * 3 - 1, "sums": found * 0.6, "columns": found[:, 1:]}
        if self.wrong == "raises":
            raise RuntimeError("not today")
        return wrongs.get(self.wrong, found)


class Stubborn(Bad):
    """Cannot be copied."""

    def __sklearn_clone__(self) -> Any:
        raise RuntimeError("no copies")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Bad("exits"), "SystemExit: 3"),
        (Bad("short"), "predicted an array of shape (29,), (30,) expected"),
        (Bad("wide"), "shape (30, 2)"),
        (Bad("single"), "shape ()"),
        (Stubborn(), "RuntimeError: no copies"),
        (Bad, "TypeError: Cannot clone object"),
    ],
)
def test_one_that_fails_has_a_row_with_its_error(bad: Any, said: str) -> None:
    found = nk.compare_learners(IRIS, SPECIES, methods={"bad": bad, "knn": KNN}, seed=0)
    assert [row.method for row in found] == ["knn", "majority", "bad"]
    assert said in found["bad"].error
    with pytest.raises(errors.ParameterError, match=re.escape(said)):
        nk.judge(bad, IRIS, SPECIES, seed=0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nan", "90 of them are not finite"),
        ("outside", "they lie between -1 and 2, 0 to 1 expected"),
        ("sums", "those of a row sum to between 0.6 and 0.6, 1 expected"),
        ("columns", "they have shape (30, 2), (30, 3) expected"),
        ("no classes", "classes_"),
        ("raises", "RuntimeError: not today"),
    ],
)
def test_what_are_no_probabilities_are_left_out_with_a_note(wrong: str, said: str) -> None:
    found = nk.compare_learners(IRIS, SPECIES, methods={"bad": Bad(wrong), "knn": KNN}, seed=0)
    bad, good = found["bad"].judgement, found["knn"].judgement
    assert bad is not None
    assert good is not None
    np.testing.assert_array_equal(bad.predicted, good.predicted)
    assert bad.probabilities is None
    assert bad.scores["log-loss"] is None
    assert said in " ".join(bad.notes)
    assert good.scores["log-loss"] is not None


def test_one_that_writes_into_its_rows_spoils_no_other() -> None:
    rows = IRIS.copy()
    found = nk.compare_learners(rows, SPECIES, methods={"bad": Bad(), "knn": KNN}, seed=0)
    np.testing.assert_array_equal(rows, IRIS)
    alone = nk.judge(KNN, IRIS, SPECIES, seed=0)
    for name in ("bad", "knn"):
        judged = found[name].judgement
        assert judged is not None
        np.testing.assert_array_equal(judged.predicted, alone.predicted)
        np.testing.assert_array_equal(judged.probabilities, alone.probabilities)


def test_numbers_that_cannot_be_squared_are_never_best() -> None:
    rows, numbers = IRIS[:, :3], IRIS[:, 3]
    huge = TransformedTargetRegressor(
        LinearRegression(), func=np.negative, inverse_func=lambda z: z * 1e200, check_inverse=False
    )
    found = nk.compare_learners(rows, numbers, methods={"huge": huge, "knn": "knn"}, task="numbers", seed=0)
    assert [row.method for row in found] == ["knn", "majority", "huge"]
    assert "cannot be squared" in found["huge"].error
    with pytest.raises(errors.ParameterError, match="cannot be squared"):
        nk.judge("knn", rows, numbers * 1e200, task="numbers", seed=0)
    small = nk.judge("knn", rows, numbers * 1e-6, task="numbers", seed=0).scores["MAE"]
    assert str(small).count("e-07 ") == 2


def test_dates_as_labels_have_a_report_in_json() -> None:
    days = np.array(["2024-01-01", "2024-01-02", "2024-01-03"], dtype="datetime64[D]")[SPECIES]
    found = nk.judge(KNN, IRIS, days, seed=0).to_dict()
    assert json.loads(json.dumps(found))["labels"][0] == "2024-01-01"


class Offering:
    """A plugin of one learner."""

    def __init__(self, name: str, made: Any) -> None:
        self.spec = LearnerSpec(name=name, summary="one of two", make=lambda task: made, tasks=("classes",))

    @hookimpl
    def nearkin_learners(self) -> list[LearnerSpec]:
        return [self.spec]


def test_two_plugins_may_offer_one_name() -> None:
    registry = Registry()
    for plugin in ("one", "two"):
        registry.register(Offering("near", KNN), plugin)
        registry.register(Offering("majority", KNN), f"{plugin}-more")
    registry.register(Offering("alone", KNN), "third")
    registry.register(Offering("nothing", KNeighborsClassifier), "fourth")
    found = nk.compare_learners(IRIS, SPECIES, registry=registry, seed=0)
    qualified = {"one/near", "two/near", "one-more/majority", "two-more/majority"}
    assert {row.method for row in found} == qualified | {"alone", "nothing", "majority"}
    assert found.baseline == "majority"
    assert found["majority"].scores["accuracy"].value < 0.5  # type: ignore[union-attr]
    assert "a scikit-learn estimator expected" in found["nothing"].error
