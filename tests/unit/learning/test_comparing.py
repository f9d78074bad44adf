"""Methods side by side: the same folds for all, tests between them, failures and time limits told, reports written."""

from __future__ import annotations

import json
import time
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier

import nearkin as nk
from nearkin import errors
from nearkin.learning.comparing import LearnerRow, _tested
from nearkin.learning.paired_tests import holm, mcnemar
from nearkin.registry import default_registry
from nearkin.reporting.learner_pictures import MOST_LABELS, shown_labels
from nearkin.reporting.learner_plane import plane_of

IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
DIABETES, PROGRESSION = load_diabetes(return_X_y=True)


class Recording(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Remembers the rows that it was given, in a list that its copies share."""

    seen: ClassVar[dict[str, list[Any]]] = {}

    def __init__(self, name: str = "", fails: bool = False, rest: float = 0.0) -> None:
        self.name = name
        self.fails = fails
        self.rest = rest

    def fit(self, X: Any, y: Any) -> Recording:
        if self.fails:
            raise RuntimeError("no such luck\nand more")
        time.sleep(self.rest * len(X))
        self.classes_ = np.unique(y)
        Recording.seen.setdefault(self.name, []).append(np.array(X))
        return self

    def predict(self, X: Any) -> np.ndarray:
        Recording.seen[self.name].append(np.array(X))
        return np.full(len(X), self.classes_[0])


def test_all_methods_get_the_same_folds() -> None:
    Recording.seen.clear()
    found = nk.compare_learners(IRIS, NAMES, methods={"a": Recording("a"), "b": Recording("b"), "knn": "knn"}, seed=0)
    assert len(Recording.seen["a"]) == 10
    for one, other in zip(Recording.seen["a"], Recording.seen["b"], strict=True):
        np.testing.assert_array_equal(one, other)
    alone = nk.judge("knn", IRIS, NAMES, seed=0)
    judged = found["knn"].judgement
    assert judged is not None
    np.testing.assert_array_equal(judged.predicted, alone.predicted)
    assert judged.scores == alone.scores


def test_the_best_comes_first_and_each_is_tested() -> None:
    methods = {"tree": DecisionTreeClassifier(max_depth=1), "logistic": LogisticRegression(max_iter=1000), "knn": "knn"}
    found = nk.compare_learners(IRIS, NAMES, methods=methods, seed=0)
    accuracies = [row.scores["accuracy"].value for row in found.rows]  # type: ignore[union-attr]
    assert accuracies == sorted(accuracies, reverse=True)
    assert (found.baseline, found.rows[-1].method) == ("majority", "majority")
    assert found.rows[0].against_best is None
    assert found.rows[-1].against_baseline is None
    best, others = found.best, found.rows[1:]
    raw = [mcnemar(row.judgement.right, best.right) for row in others]  # type: ignore[union-attr]
    tests = [row.against_best for row in others]
    assert [each.p_value for each in tests if each] == pytest.approx(raw)
    rights = [row.judgement.right for row in found.rows]  # type: ignore[union-attr]
    every = [mcnemar(one, other) for one, other in combinations(rights, 2)]  # those with the best first
    assert [each.adjusted for each in tests if each] == pytest.approx(holm(every)[: len(others)])
    assert found["tree"].against_best is not None
    assert found["tree"].against_best.certain
    assert found["tree"].against_best.difference < 0
    assert found.sentence.endswith("it beats majority, which looks at no row")
    with pytest.raises(errors.UnknownNameError, match="'forest' was not compared"):
        found["forest"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_of_equally_good_methods_none_is_surely_better() -> None:
    """The best of ten is chosen on the rows that it is tested on."""
    rng, told = np.random.default_rng(0), 0
    for _ in range(300):
        rights = rng.random((10, 150)) < 0.7
        order = np.argsort(-rights.sum(axis=1), kind="stable")
        rows = [LearnerRow(str(at), judgement=Given(rights[at])) for at in order]  # type: ignore[arg-type]
        told += any(row.against_best.certain for row in _tested(rows, "none") if row.against_best is not None)
    assert told / 300 <= 0.07


class Given:
    """What the tests take of a judgement."""

    task, method, cut = "classes", "", False

    def __init__(self, right: np.ndarray) -> None:
        self.right = right


def test_numbers_are_compared_by_folds() -> None:
    found = nk.compare_learners(DIABETES, PROGRESSION, methods={"ridge": Ridge(0.1), "knn": "knn"}, seed=0)
    test = found["knn"].against_baseline
    assert test is not None
    assert test.test == "corrected resampled t"
    assert test.certain
    trial = found.trial
    squares = {
        name: (found[name].judgement.predicted - trial.targets.values) ** 2  # type: ignore[union-attr]
        for name in ("knn", "majority")
    }
    by_fold = [(squares["majority"] - squares["knn"])[trial.folds == fold].mean() for fold in range(5)]
    assert test.difference == pytest.approx(np.mean(by_fold))


def test_every_learner_that_does_the_task_is_there() -> None:
    found = nk.compare_learners(IRIS, NAMES, seed=0)
    specs = [spec for spec in default_registry().specs("learner") if "classes" in spec.tasks]  # type: ignore[attr-defined]
    assert {row.method for row in found.rows} == {spec.name for spec in specs} | {"majority"}
    assert all(not row.error for row in found.rows)


def test_a_method_that_fails_has_a_row_and_the_others_go_on() -> None:
    Recording.seen.clear()
    found = nk.compare_learners(IRIS, NAMES, methods={"bad": Recording("bad", fails=True), "knn": "knn"}, seed=0)
    assert [row.method for row in found.rows] == ["knn", "majority", "bad"]
    assert found["bad"].error == "RuntimeError: no such luck and more"
    assert found["bad"].scores == {}
    with pytest.raises(errors.ParameterError, match="no such luck"):
        nk.compare_learners(IRIS, NAMES, methods={"bad": Recording("bad", fails=True)})


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ({"methods": []}, errors.ParameterError, "methods is"),
        ({"methods": "knn"}, errors.ParameterError, "a list of learners expected"),
        ({"methods": ["knm"]}, errors.UnknownNameError, "knn"),
        ({"budget": 0}, errors.ParameterError, "budget is 0"),
    ],
)
def test_what_is_wrong_is_said(how: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        nk.compare_learners(IRIS, NAMES, **how)


def test_a_slow_method_gets_fewer_rows_and_says_so() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(2400, 2)), np.arange(2400) % 3
    Recording.seen.clear()
    slow = Recording("slow", rest=5e-4)  # 0.8 s a fold for all rows
    found = nk.compare_learners(rows, labels, methods={"slow": slow, "knn": "knn"}, cv=3, budget=1.2, seed=0)
    judged = found["slow"].judgement
    assert judged is not None
    assert judged.rows_fitted in (250, 500, 1000)
    assert (found["slow"].cut, found.cut) == (True, ("slow",))
    assert found["slow"].against_best is None or found.rows[0].method == "slow"
    assert "fitted on fewer rows, for the time: slow" in found.sentence
    assert f"fitted on {judged.rows_fitted:,} of 1,600 rows in each fold" in judged.notes[0]


def test_a_comparison_is_walked_through_and_counted() -> None:
    found = nk.compare_learners(IRIS, NAMES, methods=["knn"], seed=0)
    assert [row.method for row in found] == ["knn", "majority"]
    assert len(found) == 2


def test_an_embedder_is_fitted_once_a_fold_for_all_methods() -> None:
    texts = ["a parcel is late", "my parcel is lost", "close my account", "open an account"] * 6
    labels = ["post", "post", "bank", "bank"] * 6
    found = nk.compare_learners(texts, labels, methods=["knn:n_neighbors=1", "knn"], embedder="lsa", cv=3, seed=0)
    assert found.best.right.all()


# ---- reports ---------------------------------------------------------------------------------------------------------


def test_a_report_in_every_form(tmp_path: Any) -> None:
    found = nk.compare_learners(IRIS, NAMES, methods=["knn", "knn:n_neighbors=1"], seed=0)
    found.report(tmp_path / "iris.html", title="<b>iris</b>", remarks=["a remark"])
    page = (tmp_path / "iris.html").read_text()
    assert "&lt;b&gt;iris&lt;/b&gt;" in page
    assert "<b>iris" not in page
    assert "http" not in page.replace("http://www.w3.org/", "")
    for word in (
        "a remark",
        "McNemar",
        "Which labels are taken for which",
        "Would more rows help?",
        "What is predicted where",
    ):
        assert word in page
    found.report(tmp_path / "folder", curve=False)
    names = {each.name for each in (tmp_path / "folder").iterdir()}
    pictures = {f"{name}.png" for name in ("methods", "confusion", "reliability", "boundary")}
    assert names == {"learners.html", "learners.md", "learners.json", *pictures}
    with pytest.raises(errors.ParameterError, match="already"):
        found.report(tmp_path / "folder")
    with pytest.raises(errors.ParameterError, match="is there already"):
        found.report(tmp_path / "iris.html")
    found.best.report(tmp_path / "best.json", curve=False)
    assert json.loads((tmp_path / "best.json").read_text())["learning_curve"] is None
    found.best.report(tmp_path / "best.md", curve=False)
    assert "best-confusion.png" in (tmp_path / "best.md").read_text()
    assert (tmp_path / "best-confusion.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(errors.ParameterError, match="is no report"):
        found.best.report(tmp_path / "best.pdf")


def test_numbers_in_a_report(tmp_path: Any) -> None:
    found = nk.judge("knn", DIABETES[:, :2], PROGRESSION, seed=0)
    found.report(tmp_path / "numbers.html")
    page = (tmp_path / "numbers.html").read_text()
    assert "Predicted and true numbers" in page
    assert "The two columns as they are." in page


def test_the_background_is_what_the_method_predicts_in_the_plane() -> None:
    found = nk.judge("knn:n_neighbors=3", IRIS[:, 2:], NAMES, seed=0)
    plane = plane_of(found)
    assert plane is not None
    left, right, bottom, top = plane.extent
    up, across = plane.grid.shape
    model = nk.KNNClassifier(3).fit(IRIS[:, 2:], NAMES)
    for row, column in [(0, 0), (up // 2, across // 2), (up - 1, across - 1), (20, 90)]:
        place = [[left + (right - left) * column / (across - 1), bottom + (top - bottom) * row / (up - 1)]]
        assert plane.names[plane.grid[row, column]] == model.predict(place)[0]


def test_the_plane_of_an_embedder_is_not_called_the_columns() -> None:
    texts = ["a parcel is late", "my parcel is lost", "close my account", "open an account"] * 6
    found = nk.judge("knn", texts, ["post", "post", "bank", "bank"] * 6, embedder="lsa:dim=2", cv=3, seed=0)
    plane = plane_of(found)
    assert plane is not None
    assert plane.axes == ("first dimension", "second dimension")
    assert "that the embedder gives" in plane.caption


def test_of_many_labels_those_that_are_confused_most_are_drawn() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 5)
    rows = labels[:, None] * 10.0 + rng.normal(size=(200, 2))
    rows[labels == 7] = rows[labels == 31] + rng.normal(size=(5, 2))
    found = nk.judge("knn:n_neighbors=1", rows, labels.astype(str), seed=0)
    shown = shown_labels(found)
    assert len(shown) <= MOST_LABELS
    assert set(found.labels[shown[:2]]) == {"7", "31"}
