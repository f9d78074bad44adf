"""Labels by the rows of a collection, against scikit-learn's neighbours and loops that leave each row out of its own neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

import nearkin as nk
from nearkin import errors
from nearkin.learners import Reason
from nearkin.learning.sureness import HeldOut, Sureness
from nearkin.registry import Registry

DIGITS, LABELS = load_digits(return_X_y=True)
ROWS = DIGITS + np.random.default_rng(0).normal(scale=1e-3, size=DIGITS.shape)  # so that no two distances tie
KIND = ["even" if label % 2 == 0 else "odd" for label in LABELS]


def collection(count: int = 600, **how: Any) -> nk.Collection:
    metadata = [{"digit": int(label), "kind": kind} for label, kind in zip(LABELS[:count], KIND, strict=False)]
    return nk.build(ROWS[:count], ids=[f"row {at}" for at in range(count)], metadata=metadata, **how)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_the_neighbours_of_scikit_learn(metric: str, weights: Any) -> None:
    mine = collection(metric=metric)
    labels = mine.classifier("digit", k=7, method=f"knn:weights={weights}", scope=0.9)
    theirs = KNeighborsClassifier(7, metric=metric, weights=weights).fit(ROWS[:600], LABELS[:600])
    found = labels.decide(ROWS[600:900])
    votes = theirs.predict_proba(ROWS[600:900])
    assert found.likeliest == theirs.predict(ROWS[600:900]).tolist()
    np.testing.assert_allclose(found.probabilities, labels.sureness.scaling.apply(votes).max(axis=1), rtol=1e-3)
    distances, near = theirs.kneighbors(ROWS[600:900])
    np.testing.assert_allclose(found.distances, distances[:, 0], rtol=1e-3, atol=1e-5)
    assert {each.what for each in mine.classify(ROWS[600:601], "digit", k=7, most=7)[0].reasons} == {
        f"row {at}" for at in near[0]
    }
    assert sum(each.weight for each in mine.classify(ROWS[600:601], "digit", k=7, most=7)[0].reasons) == pytest.approx(
        1
    )
    apart = np.sort(theirs.kneighbors(ROWS[:600], 2)[0][:, 1])
    assert labels.sureness.limit == pytest.approx(apart[int(np.ceil(601 * 0.9)) - 1], rel=1e-3)


def test_every_row_is_judged_without_itself() -> None:
    labels = collection(300).classifier("kind", k=3, error_rate=0.1)
    wrong = answered = 0
    for row in range(300):
        others = np.delete(np.arange(300), row)
        model = KNeighborsClassifier(3).fit(ROWS[others], np.array(KIND)[others])
        votes = model.predict_proba(ROWS[row : row + 1])
        far = float(model.kneighbors(ROWS[row : row + 1], 1)[0][0, 0])
        stated = labels.sureness.scaling.apply(votes)[0]
        if stated.max() >= labels.sureness.answer.threshold - 1e-9 and far <= labels.sureness.limit * (1 + 1e-4):
            answered += 1
            wrong += model.classes_[votes[0].argmax()] != KIND[row]
    error, coverage = labels.sureness.answer.error, labels.sureness.answer.coverage
    assert error is not None
    assert coverage is not None
    assert coverage.mean == pytest.approx(answered / 300, abs=0.004)
    assert error.mean == pytest.approx(wrong / answered, abs=0.004)


def test_rows_without_a_label_and_filters() -> None:
    metadata: list[dict[str, Any]] = [
        {"kind": KIND[row], "part": row % 2} if row % 3 else {"kind": [None, ""][row % 2]} for row in range(300)
    ]
    mine = nk.build(ROWS[:300], metadata=metadata)
    labels = mine.classifier("kind", k=3)
    assert (labels.rows, labels.left_out, labels.classes) == (200, 100, ["even", "odd"])
    assert labels.notes[0] == "100 of 300 rows have no kind and were left out"
    known = np.flatnonzero(np.arange(300) % 3)
    theirs = KNeighborsClassifier(3).fit(ROWS[known], np.array(KIND)[known])
    assert labels.decide(ROWS[300:400]).likeliest == theirs.predict(ROWS[300:400]).tolist()
    half = mine.classify(ROWS[300:310], "kind", k=3, where="part = 1")
    assert {each.what % 2 for decision in half for each in decision.reasons} == {1}


def test_labels_of_every_type() -> None:
    given = [True, 1, 1.0, "1", 2.5, False, None, float("nan")] * 5
    mine = nk.build(np.arange(40.0)[:, None], metadata=[{"label": None if each != each else each} for each in given])
    labels = mine.classifier("label", k=1)
    assert labels.classes == [False, True, 1, 2.5, "1"]
    assert [type(each) for each in labels.classes[:3]] == [bool, bool, int]
    found = labels.decide([[0.1], [1.1], [3.1], [5.1]])
    assert found.labels == [True, 1, "1", False]
    assert [each["label"] for each in found.to_dicts()] == [True, 1, "1", False]


@pytest.mark.parametrize("name", ["my label", "is", "null", "1", "x'y", "`a.b`", "Grösse-2"])
@pytest.mark.parametrize("where", [None, "part = 1"])
def test_a_field_of_any_name_that_some_rows_lack(name: str, where: Any) -> None:
    metadata = [{name.strip("`"): "xy"[row % 2], "part": row % 2} if row % 3 else {"part": 1} for row in range(30)]
    mine = nk.build(np.arange(30.0)[:, None], metadata=metadata)
    assert mine.classify([[7.1]], name, k=1, where=where).labels == ["y"]


def test_inner_fields_and_names_with_blanks() -> None:
    mine = nk.build([[0.0], [1.0]], metadata=[{"a": {"b": "x"}, "the kind": 1}, {"a": {"b": "y"}, "the kind": 2}])
    assert mine.classify([[0.9]], "a.b", k=1).labels == ["y"]
    assert mine.classify([[0.9]], "`the kind`", k=1).labels == [2]


@pytest.mark.parametrize(("rows", "k"), [(1, 5), (2, 1), (2, 1000), (3, 2)])
def test_few_rows_and_huge_k(rows: int, k: int) -> None:
    mine = nk.build(np.arange(float(rows))[:, None], metadata=[{"kind": str(at % 2)} for at in range(rows)])
    found = mine.classify([[0.1], [50.0]], "kind", k=k, error_rate=0.05)
    assert found.labels == [None, None]
    assert len(found[0].reasons) == min(rows, k, 5)
    assert any("no probability keeps" in each for each in found.notes)
    assert mine.classify([[0.1]], "kind", k=k)[0].known
    assert len(mine.classifier("kind", k=k).decide(np.empty((0, 1)))) == 0


def test_duplicates_and_one_label() -> None:
    mine = nk.build(np.ones((200, 2)), metadata=[{"kind": "same"}] * 200)
    found = mine.classify([[1.0, 1.0], [1.0, 1.1]], "kind", error_rate=0.05)
    assert [each.why.partition(":")[0] for each in found] == ["sure", "out of scope"]
    assert found.notes == ("all rows have the kind 'same', so that every query has",)


@pytest.mark.parametrize("method", ["knn", "logistic", "svm", "naive-bayes", "centroid", "tree"])
@pytest.mark.parametrize("rows", [1, 8])
def test_one_label_is_that_of_every_query_by_every_method(method: str, rows: int) -> None:
    mine = nk.build(np.arange(2.0 * rows).reshape(rows, 2), metadata=[{"kind": "same"}] * rows)
    found = mine.classify([[1.0, 1.0]], "kind", method=method)
    assert (found.labels, found.probabilities.tolist()) == (["same"], [1.0])
    assert found.notes[0] == "all rows have the kind 'same', so that every query has"


@pytest.mark.parametrize("method", ["knn", "logistic", "centroid"])
def test_no_query_has_no_decision(method: str) -> None:
    labels = collection(60).classifier("kind", method=method)
    assert len(labels.decide(np.empty((0, 64)))) == 0
    with pytest.raises(errors.VectorError):
        labels.decide(np.empty((0, 3)))


def test_inner_products_hold_nothing_for_out_of_scope() -> None:
    found = collection(300, metric="inner-product").classify(ROWS[:3], "kind")
    assert "distances below 0 do not tell" in found.notes[0]
    assert [each.distance for each in found] == [None] * 3


def test_equal_votes_are_answered_together() -> None:
    votes = np.tile([[0.7, 0.3]], (200, 1))
    sure = Sureness.of(HeldOut(votes, np.zeros(200, int), None), error_rate=0.05)
    votes[::2, 0] = 0.7 - 1e-13
    assert sure.decide(["a", "b"], votes, None).known.all()


def test_what_is_far_from_every_row_is_out_of_scope() -> None:
    mine = collection(1500)
    labels = mine.classifier("digit", k=5)
    assert labels.decide(ROWS[1500:]).out_of_scope.mean() < 0.08  # other writers
    far = labels.decide(np.full((2, 64), 16.0))
    assert far.out_of_scope.all()
    assert far.labels == [None, None]
    assert mine.classify(np.full((2, 64), 16.0), "digit", scope=None).known.all()


# ---- other methods ---------------------------------------------------------------------------------------------------


class ColumnReasons(GaussianNB):  # type: ignore[misc]
    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        return [[Reason(3, None, None, 0.7), Reason(1, None, None, -0.3)][:most] for _ in X]


class RowReasons(KNeighborsClassifier):  # type: ignore[misc]
    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        near = zip(*self.kneighbors(X, most), strict=True)
        self.seen = self._y
        return [
            [Reason(int(row), self.classes_[self._y[row]], far, 0.2) for far, row in zip(*each, strict=True)]
            for each in near
        ]


class CentroidReasons(NearestCentroid):  # type: ignore[misc]
    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        return [[Reason(each, each, 1.0, 1.0)] for each in self.predict(X)]


class Plugin:
    @nk.hookimpl
    def nearkin_learners(self) -> Iterable[nk.LearnerSpec]:
        for name, kind in {
            "bayes": GaussianNB,
            "columns": ColumnReasons,
            "near": RowReasons,
            "centres": CentroidReasons,
        }.items():
            yield nk.LearnerSpec(name=name, summary="For these tests.", make=lambda task, kind=kind: kind())
        yield nk.LearnerSpec(name="numbers", summary="Gives none.", make=lambda task: None, tasks=("numbers",))


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    found.load_entry_points()
    found.register(Plugin(), "mine")
    return found


def test_methods_of_the_registry(registry: Registry) -> None:
    mine = collection(registry=registry)
    labels = mine.classifier("digit", method="bayes", error_rate=0.5)
    found = labels.decide(ROWS[600:700])
    model = GaussianNB().fit(ROWS[:600].astype(np.float32), LABELS[:600])
    assert found.likeliest == model.predict(ROWS[600:700]).tolist()
    assert found[0].reasons[0].weight == 0  # evidence beside, since the method does not say what decided
    assert found[0].reasons[0].distance == found[0].distance
    nearest = KNeighborsClassifier(1).fit(ROWS[:600], LABELS[:600]).kneighbors(ROWS[600:700])
    np.testing.assert_allclose(found.distances, nearest[0][:, 0], rtol=1e-4)
    assert found[0].reasons[0].what == f"row {nearest[1][0, 0]}"


def test_reasons_speak_of_the_collection(registry: Registry) -> None:
    mine = collection(registry=registry)
    (found,) = mine.classify(ROWS[600:601], "kind", method="columns", most=1)
    assert found.reasons == (Reason(3, None, None, 0.7),)
    near = mine.classify(ROWS[600:601], "digit", method="near")[0].reasons
    assert [each.label for each in near] == [int(LABELS[int(each.what.removeprefix("row "))]) for each in near]
    (centre,) = mine.classify(ROWS[600:601], "kind", method="centres")
    assert centre.reasons == (Reason(centre.likeliest, centre.likeliest, 1.0, 1.0),)
    records = [
        {"height": float(at), "width": float(at % 7), "age": at % 3, "old": at % 2, "kind": KIND[at]}
        for at in range(60)
    ]
    table = nk.build(records, embedder="table:numeric=height,width,age,old", registry=registry)
    assert [each.what for each in table.classify(records[:1], "kind", method="columns")[0].reasons] == ["old", "width"]


def test_bits() -> None:
    bits = np.packbits(DIGITS > 8, axis=1)
    mine = nk.build(bits[:900], metric="hamming", metadata=[{"digit": int(each)} for each in LABELS[:900]])
    found = mine.classify(bits[900:], "digit")
    assert (np.array(found.likeliest) == LABELS[900:]).mean() > 0.8


# ---- items -----------------------------------------------------------------------------------------------------------


def test_texts_and_records() -> None:
    texts = ["pay the invoice", "invoice overdue", "lunch at noon", "dinner at noon"] * 3
    labels = [{"kind": each} for each in ["work", "work", "meal", "meal"] * 3]
    mine = nk.build(texts, embedder="hashing", metadata=labels)
    assert mine.classify(["an invoice", "noon"], "kind", k=3).labels == ["work", "meal"]
    with pytest.raises(errors.InputError, match="a single text"):
        mine.classify("an invoice", "kind")


def test_vectors_that_know_the_label_are_refused() -> None:
    people = [{"height": 150.0 + at, "kind": "tall" if at > 25 else "short"} for at in range(50)]
    leaking = nk.build(people, embedder="table")
    with pytest.raises(
        errors.ParameterError, match="the vectors of this collection were made from the column 'kind', too"
    ):
        leaking.classifier("kind")
    fair = nk.build(people, embedder="table:numeric=height")
    assert fair.classify([{"height": 199.0}], "kind").labels == ["tall"]
    weightless = nk.build(people, embedder="table:weights=kind=0")
    assert weightless.classify([{"height": 151.0}], "kind").labels == ["short"]


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "given", "kind", "said"),
    [
        ("kinds", {}, errors.UnknownNameError, r"no row has the field 'kinds' \(did you mean 'kind'\?\)"),
        ("kind", {"where": "digit > 100"}, errors.ParameterError, "none of 0 rows has a label in the field 'kind'"),
        ("kind", {"method": "kn"}, errors.UnknownNameError, "knn"),
        (
            "kind",
            {"method": "knn:metric=cosine"},
            errors.ParameterError,
            "knn asks the collection, which compares by euclidean",
        ),
        ("kind", {"method": "knn:n_neighbors=3", "k": 2}, errors.ParameterError, "k and n_neighbors both"),
        ("kind", {"method": "knn:weights=near"}, errors.ParameterError, "weights is 'near'"),
        ("kind", {"method": "bayes", "k": 2}, errors.ParameterError, "bayes is not decided by k neighbours"),
        ("kind", {"method": "numbers"}, errors.NotSupportedError, "numbers gives numbers, not labels"),
        ("kind", {"k": 0}, errors.ParameterError, "k"),
        ("kind", {"error_rate": 0.0}, errors.ParameterError, "error_rate is 0.0"),
        ("kind", {"scope": 2}, errors.ParameterError, "scope is 2"),
        ("kind", {"where": "digit <"}, errors.FilterError, "filter"),
        ("", {}, errors.ParameterError, "label is '', the name of a field of the metadata expected"),
    ],
)
def test_what_is_wrong_is_said(registry: Registry, label: str, given: Any, kind: type[Exception], said: str) -> None:
    mine = collection(30, registry=registry)
    with pytest.raises(kind, match=said):
        mine.classifier(label, **given)


def test_labels_that_are_none(tmp_path: Path) -> None:
    lists = nk.build([[0.0], [1.0]], metadata=[{"kind": ["a"]}, {"kind": "b"}])
    with pytest.raises(errors.ParameterError, match="the field kind of row 0 is a list"):
        lists.classifier("kind")
    nulls = nk.build([[0.0], [1.0]], metadata=[{"kind": None}, {"kind": ""}])
    with pytest.raises(errors.ParameterError, match="none of 2 rows has a label"):
        nulls.classifier("kind")
    with pytest.raises(errors.UnknownNameError):
        nk.build([[0.0]]).classifier("kind")


def test_a_collection_that_changed_or_that_has_no_vectors() -> None:
    mine = collection(50)
    labels = mine.classifier("kind")
    mine.delete(["row 3"])
    with pytest.raises(errors.StateError, match="the collection was changed since this classifier learned from it"):
        labels.decide(ROWS[:1])
    assert "row 3" not in [each.what for each in mine.classify(ROWS[3:4], "kind")[0].reasons]
    with pytest.raises(errors.VectorError, match="columns"):
        mine.classify([[1.0]], "kind")
    with pytest.raises(errors.NotSupportedError, match="keep_vectors=False"):
        collection(50, keep_vectors=False).classifier("kind")
