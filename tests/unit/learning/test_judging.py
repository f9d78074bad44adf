"""Judging one method: folds, out-of-fold predictions, learning curves; embedders learn from training rows only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline

import nearkin as nk
from nearkin import errors
from nearkin.learning.folds import folds_of, nested_order, targets_of, task_of
from nearkin.learning.time_budget import affordable_rows
from nearkin.metrics import unit_rows

IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
DIABETES, PROGRESSION = load_diabetes(return_X_y=True)


# ---- folds -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), min_size=4, max_size=60), st.integers(2, 4), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_folds_are_equally_large_and_so_are_classes_in_them(codes: list[int], cv: int, seed: int) -> None:
    given_ = np.array(codes)
    folds = folds_of(given_, cv, seed=seed)
    assert np.ptp(np.bincount(folds, minlength=cv)) <= 1
    for code in np.unique(given_):
        assert np.ptp(np.bincount(folds[given_ == code], minlength=cv)) <= 1


def test_beginnings_of_the_nested_order_have_the_shares_of_all() -> None:
    codes = np.repeat([0, 1, 2], [60, 30, 10])
    order = nested_order(codes, 100, seed=0)
    assert sorted(order.tolist()) == list(range(100))
    for size in (10, 20, 50):
        counts = np.bincount(codes[order[:size]], minlength=3)
        np.testing.assert_allclose(counts, np.array([0.6, 0.3, 0.1]) * size, atol=1)


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (["1.5", "2"], "classes"),
        ([True, False], "classes"),
        (list(range(20)) * 9, "classes"),
        ([each / 7 for each in range(21)], "numbers"),
        (list(range(21)), "numbers"),
        (list(range(77)) * 100, "classes"),
    ],
)
def test_what_is_predicted_is_seen(y: Any, task: str) -> None:
    assert task_of(y) == task


@pytest.mark.parametrize(
    ("y", "how", "said"),
    [
        (["a", "a"], {}, "all 2 rows have the label 'a'"),
        (["a", "b"], {}, "each of the 2 rows has a label of its own"),
        (["a", None, "b", "a"], {}, "1 of 4 rows have no label, row 1 first"),
        ([[1], [2]], {}, "the label of row 0 is a list, and a label is text"),
        (["x", "y", "x"], {"task": "numbers"}, "some targets are no numbers"),
        ([1.0, float("inf"), 2.0], {"task": "numbers"}, "1 targets are not finite"),
        (["a", "b", "a"], {"task": "labels"}, "'classes' or 'numbers' expected"),
    ],
)
def test_targets_that_cannot_be_learned(y: Any, how: Any, said: str) -> None:
    with pytest.raises(errors.ParameterError, match=said):
        targets_of(y, **how)


# ---- judgement -------------------------------------------------------------------------------------------------------


def test_every_row_is_predicted_by_a_model_that_has_not_seen_it() -> None:
    found = nk.judge(KNeighborsClassifier(5), IRIS, NAMES, seed=3)
    split = PredefinedSplit(found.trial.folds)
    np.testing.assert_array_equal(
        found.predicted, cross_val_predict(KNeighborsClassifier(5), IRIS, NAMES, cv=split, method="predict")
    )
    probabilities = cross_val_predict(KNeighborsClassifier(5), IRIS, NAMES, cv=split, method="predict_proba")
    np.testing.assert_allclose(found.probabilities, probabilities)
    accuracy = found.scores["accuracy"]
    assert accuracy is not None
    assert accuracy.value == pytest.approx((found.predicted == NAMES).mean())
    assert found.confusion.sum() == 150
    assert found.confusion.diagonal().sum() == found.right.sum()
    assert [each.rows for each in found.by_class] == [50, 50, 50]
    first = found.most_confused(1)[0]
    assert first.rows == ((first.truth == NAMES) & (first.predicted == found.predicted)).sum()
    assert found.rows_fitted == 120
    json.dumps(found.to_dict(), allow_nan=False)


def test_numbers() -> None:
    found = nk.judge(KNeighborsRegressor(9), DIABETES, PROGRESSION, seed=0)
    assert found.task == "numbers"
    scores = cross_val_score(
        KNeighborsRegressor(9),
        DIABETES,
        PROGRESSION,
        cv=PredefinedSplit(found.trial.folds),
        scoring="neg_mean_squared_error",
    )
    mse = found.scores["MSE"]
    assert mse is not None
    assert mse.value == pytest.approx(-scores.mean(), rel=0.02)  # folds differ by a row
    with pytest.raises(errors.NotSupportedError, match="confusion is of labels"):
        _ = found.confusion


def test_rare_labels_are_told_and_their_rows_count() -> None:
    labels = np.where(np.arange(150) == 0, "alone", NAMES)
    labels[:3] = ["alone", "pair", "pair"]
    found = nk.judge("knn", IRIS, labels, seed=0)
    assert "2 labels have fewer rows than the 5 folds (alone 1, pair 2)" in found.notes[0]
    assert "1 of one row cannot be predicted" in found.notes[0]
    assert not found.right[0]
    assert found.probabilities is not None
    assert found.probabilities[0, found.labels.tolist().index("alone")] == 0
    assert found.confusion.sum() == 150


class Blind(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts something else than it has learned."""

    def fit(self, X: Any, y: Any) -> Blind:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.full(len(X), "nowhere")


@pytest.mark.parametrize(
    ("method", "how", "kind", "said"),
    [
        ("knn", {"cv": 1}, errors.ParameterError, "cv is 1"),
        ("knn", {"cv": 151}, errors.ParameterError, "150 rows cannot be divided into 151 folds"),
        ("knm", {}, errors.UnknownNameError, "knn"),
        (3, {}, errors.ParameterError, "method is a int"),
        ("knn:n_neighbors=121", {}, errors.ParameterError, "n_neighbors is 121"),
        (Blind(), {}, errors.ParameterError, "predicted labels that no row has"),
        (KNeighborsClassifier(500), {}, errors.ParameterError, "failed: ValueError: Expected n_neighbors"),
    ],
)
def test_what_is_wrong_is_said(method: Any, how: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        nk.judge(method, IRIS, NAMES, **how)


def test_rows_and_targets_have_to_agree() -> None:
    with pytest.raises(errors.ParameterError, match="150 rows and 149 targets"):
        nk.judge("knn", IRIS, NAMES[:-1])
    with pytest.raises(errors.InputError, match="no embedder is given"):
        nk.judge("knn", ["a b", "c d"] * 5, [0, 1] * 5)
    with pytest.raises(errors.InputError, match="these are vectors"):
        nk.judge("knn", IRIS, NAMES, embedder="lsa")


def test_warnings_of_a_method_are_notes() -> None:
    found = nk.judge(LogisticRegression(max_iter=1), IRIS, NAMES)
    assert any("converge" in note for note in found.notes)


# ---- learning curves -------------------------------------------------------------------------------------------------


def test_the_last_point_of_the_curve_is_the_judgement() -> None:
    found = nk.judge("knn", IRIS, NAMES, seed=0)
    ours, alone = found.learning_curve(), nk.learning_curve("knn", IRIS, NAMES, seed=0)
    assert ours == alone
    assert ours.points[-1].score == found.scores["accuracy"]
    assert [point.rows for point in ours.points] == [12, 24, 48, 84, 120]


def test_whether_more_rows_would_help() -> None:
    rng = np.random.default_rng(0)
    rows = rng.uniform(size=(900, 2))
    checkered = (np.floor(rows * 7).sum(axis=1) % 2).astype(int)  # small squares: every row counts
    assert nk.learning_curve("knn:n_neighbors=1", rows, checkered, seed=0).more_rows == "help"
    apart = rng.normal(size=(900, 2)) + 20 * np.arange(900)[:, None].repeat(2, 1) % 40
    easy = nk.learning_curve("knn", apart, np.arange(900) % 2, seed=0)
    assert easy.more_rows == "hardly help"
    assert easy.sentence.startswith("More rows would hardly help: from 504 to 720 rows")
    number = nk.learning_curve("knn", rows, rows.sum(axis=1) * 9, task="numbers", seed=0)
    assert (number.measure, number.more_rows) == ("MAE", "help")


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.2), (0.0, 1.0), (0.5, 1.5)])
def test_shares_have_to_ascend(shares: Sequence[float]) -> None:
    with pytest.raises(errors.ParameterError, match="at least two expected that ascend"):
        nk.learning_curve("knn", IRIS, NAMES, shares=shares)


# ---- embedders inside of folds ---------------------------------------------------------------------------------------


class Marked(nk.Embedder):
    """Learns which texts there are: those that it has seen lie elsewhere than those that it has not."""

    name = "marked"
    needs_fit = True
    fits: ClassVar[list[frozenset[str]]] = []

    def __init__(self) -> None:
        self.seen: frozenset[str] = frozenset()

    @property
    def dim(self) -> int:
        return 2

    @property
    def identity(self) -> dict[str, Any]:
        return {"seen": sorted(self.seen)}

    @property
    def fitted(self) -> bool:
        return bool(self.seen)

    def _fit(self, items: Sequence[Any]) -> None:
        self.seen = frozenset(items)
        Marked.fits.append(self.seen)

    def _embed(self, items: Sequence[Any], role: Any) -> np.ndarray:
        return np.float32([[1, 0] if item in self.seen else [0, 1] for item in items])


def test_an_embedder_that_learns_has_not_seen_the_rows_held_out() -> None:
    """Every row held out lies where no training row does; a leak would put it among them."""
    texts, labels = [f"text {at}" for at in range(40)], np.arange(40) % 2
    found = nk.judge("knn:n_neighbors=1", texts, labels, embedder=Marked(), seed=0)
    for train, test in found.trial.halves():
        known, asked = found.trial.vectors(train, test)
        assert known[:, 0].all()
        assert asked[:, 1].all()
    already = Marked()
    already.fit(texts)  # one that has seen everything learns anew
    Marked.fits.clear()
    nk.judge("knn:n_neighbors=1", texts, labels, embedder=already, seed=0)
    assert [len(seen) for seen in Marked.fits] == [32] * 5
    assert already.seen == frozenset(texts)


class Counted(nk.Embedder):
    """Does not learn, and counts what it embeds."""

    name = "counted"
    embedded: ClassVar[list[str]] = []

    @property
    def dim(self) -> int:
        return 3

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": "counted"}

    def _embed(self, items: Sequence[Any], role: Any) -> np.ndarray:
        Counted.embedded += items
        return np.float32([[len(item), item.count("a"), 1] for item in items])


def test_an_embedder_that_does_not_learn_embeds_an_item_once() -> None:
    texts = [("a" if at % 2 else "b") * (1 + at // 2) for at in range(30)]
    Counted.embedded.clear()
    found = nk.judge("knn:n_neighbors=1", texts, np.arange(30) % 2, embedder=Counted(), seed=0)
    assert sorted(Counted.embedded) == sorted(texts)
    scores = cross_val_score(
        make_pipeline(nk.EmbeddingStep(Counted()), nk.KNNClassifier(1)), texts, np.arange(30) % 2, cv=3
    )
    assert len(scores) == 3
    assert len(Counted.embedded) == 30
    accuracy = found.scores["accuracy"]
    assert accuracy is not None
    assert accuracy.value > 0.5


def test_the_step_embeds_as_the_embedder_does() -> None:
    texts = ["a parcel is late", "my parcel is lost", "close my account", "open an account"]
    step = nk.EmbeddingStep(Counted()).fit(texts)
    plain = Counted().embed(texts)
    np.testing.assert_allclose(step.transform(texts), unit_rows(plain))
    np.testing.assert_array_equal(nk.EmbeddingStep(Counted(), unit=False).fit_transform(texts), plain)
    assert list(step.get_feature_names_out()) == ["embeddingstep0", "embeddingstep1", "embeddingstep2"]
    assert clone(step).embedder is step.embedder
    with pytest.raises(errors.InputError, match="these are no texts"):
        step.transform([[1.0, 2.0]])


def test_records_of_a_table() -> None:
    records = [
        {"size": float(row[0]), "petal": float(row[2]), "kind": "wide" if row[3] > 1 else "thin"} for row in IRIS
    ]
    found = nk.judge("knn", records, NAMES, embedder="table", seed=0)
    assert found.right.mean() > 0.9


def test_attention_goes_by_distance_on_vectors_that_are_made_for_it() -> None:
    records = [{"size": float(row[0]), "petal": float(row[2])} for row in IRIS]
    assert nk.judge("attention:k=20", records, NAMES, embedder="table").method == "attention:k=20:metric=euclidean"
    assert nk.judge("attention:metric=cosine", IRIS, NAMES).method == "attention:metric=cosine"
    compared = nk.compare_learners(records, NAMES, methods=["attention"], embedder="table")
    assert compared["attention:metric=euclidean"].scores["accuracy"].value > 0.9


# ---- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("power", "most"), [(1.0, 8000), (2.0, 8000), (3.0, 8000)])
def test_rows_that_a_time_allows(power: float, most: int) -> None:
    tried = []

    def seconds_for(rows: int) -> float:
        tried.append(rows)
        return 1e-9 * float(rows) ** power

    assert affordable_rows(seconds_for, 100_000, 1e-9 * 10_000**power) == most
    assert max(tried) <= 10_000
    assert affordable_rows(seconds_for, 200, 1e-30) == 200


@pytest.mark.parametrize("label", [{"a": 1}, ["a"], ("a", 2), {"a"}])
@pytest.mark.parametrize("held", [list, lambda labels: np.array([*labels, None], dtype=object)[:-1]])
def test_labels_that_hold_several_values(label: Any, held: Any) -> None:
    labels = held(["b", *[label] * 149])
    with pytest.raises(errors.ParameterError, match=f"the label of row 1 is a {type(label).__name__}, and a label is"):
        nk.judge("knn", IRIS, labels)


def test_no_rows_are_cut_for_a_cost_that_does_not_grow_or_a_cold_start() -> None:
    assert affordable_rows(lambda rows: 3.1, 8002, 12.0) == 8002
    cold = iter([30.0])
    assert affordable_rows(lambda rows: next(cold, 1e-4 * rows), 8002, 12.0) == 8002
    assert affordable_rows(lambda rows: 3.0 + 1e-4 * rows, 64_000, 12.0) == 64_000
    assert affordable_rows(lambda rows: 3.0 + 1e-3 * rows, 64_000, 12.0) == 8000


def test_one_slow_moment_of_the_machine_cuts_nothing() -> None:
    calls = []

    def seconds_for(rows: int) -> float:
        calls.append(rows)
        return 1e-4 * rows + (20.0 if len(calls) == 3 else 0.0)

    assert affordable_rows(seconds_for, 8002, 12.0) == 8002
