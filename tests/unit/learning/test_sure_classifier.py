"""The estimator: scikit-learn's own checks, what it promises on rows it never saw, and inputs of every kind."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GroupKFold, RepeatedStratifiedKFold, ShuffleSplit, cross_val_score
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import check_estimator

import nearkin as nk
from nearkin import errors
from nearkin.learners import Reason
from nearkin.learning.calibration_error import calibration_error

DIGITS, LABELS = load_digits(return_X_y=True)
BOASTING = GaussianNB(var_smoothing=0.1)


@pytest.mark.parametrize(
    "estimator",
    [
        nk.SureClassifier(cv=2),
        nk.SureClassifier(GaussianNB(), error_rate=0.1, cv=2),
        nk.SureClassifier(LinearSVC(), scope=None, validation=0.3),
    ],
    ids=["neighbours", "bayes", "no probabilities"],
)
@pytest.mark.filterwarnings("ignore")  # what scikit-learn says of its own checks' data
def test_it_is_an_estimator_by_scikit_learns_own_checks(estimator: Any) -> None:
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    assert {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"} == {}
    assert len(results) > 40


def test_what_it_says_holds_on_rows_that_it_never_saw() -> None:
    sure = nk.SureClassifier(BOASTING, error_rate=0.05).fit(DIGITS[::2], LABELS[::2])
    found, true = sure.decide(DIGITS[1::2]), LABELS[1::2]
    right = np.array(found.likeliest) == true
    assert (~right[found.known]).mean() <= 0.05 < (~right).mean()
    assert sure.error_.low <= (~right[found.known]).mean() <= sure.error_.high
    assert abs(sure.coverage_.mean - found.coverage) < 0.05
    assert sure.temperature_ > 2
    assert sure.ece_after_ < 0.03 < sure.ece_before_
    assert calibration_error(found.probabilities, right) < 0.035
    np.testing.assert_array_equal(sure.predict(DIGITS[1::2]), found.likeliest)
    np.testing.assert_array_equal(
        sure.predict(DIGITS[1::2]), clone(BOASTING).fit(DIGITS[::2], LABELS[::2]).predict(DIGITS[1::2])
    )
    np.testing.assert_allclose(sure.predict_proba(DIGITS[1::2]).max(axis=1), found.probabilities)


def test_each_decision_says_why() -> None:
    sure = nk.SureClassifier(BOASTING, error_rate=0.02).fit(DIGITS[:1500], LABELS[:1500])
    found = sure.decide(np.concatenate([DIGITS[1500:], np.full((1, 64), 16.0), -DIGITS[:1]]))
    kinds = {each.why.partition(":")[0] for each in found}
    assert kinds == {"sure", "not sure", "out of scope"}
    for each in found:
        assert each.known == (each.why == "sure") == (each.label is not None)
        assert each.distance is not None
        if each.why.startswith("not sure"):
            stated, needed = (float(word) for word in each.why[len("not sure: ") :].replace(" needed", "").split(", "))
            assert stated < needed
            assert each.probability < sure.threshold_
    assert found[-1].why.startswith("out of scope: distance ")
    assert f"0.99 of known rows lie within {sure.distance_limit_:.4g}" in found[-1].why
    assert found.labels.count(None) == (~found.known).sum()


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "hamming"])
def test_the_scope_is_that_of_brute_force(metric: str) -> None:
    rows = np.packbits(DIGITS > 8, axis=1) if metric == "hamming" else DIGITS + 0.1
    model = nk.KNNClassifier(3, metric=metric)
    sure = nk.SureClassifier(model, validation=0.3, scope=0.9).fit(rows[:600], LABELS[:600])
    known = np.setdiff1d(np.arange(600), sure.training_rows_)
    bits = DIGITS > 8 if metric == "hamming" else rows
    near = KNeighborsClassifier(1, metric=metric, algorithm="brute").fit(
        bits[sure.training_rows_], LABELS[sure.training_rows_]
    )
    distances = np.sort(near.kneighbors(bits[known], 1)[0][:, 0]) * (64 if metric == "hamming" else 1)
    assert len(known) == 180
    assert sure.distance_limit_ == pytest.approx(distances[int(np.ceil(181 * 0.9)) - 1], rel=1e-4, abs=1e-6)


def test_the_error_rate_holds_over_splits_with_validation() -> None:
    """Each time of a model that never learned from the rows that decided the threshold, judged on many more rows."""
    rng, broken = np.random.default_rng(0), 0
    for seed in range(40):
        centres = rng.normal(size=(3, 2)) * 1.2
        codes = rng.integers(0, 3, 3600)
        rows = centres[codes] + rng.normal(size=(3600, 2))
        sure = nk.SureClassifier(GaussianNB(), error_rate=0.1, scope=None, validation=0.5, random_state=seed)
        found = sure.fit(rows[:600], codes[:600]).decide(rows[600:])
        wrong = np.array(found.likeliest)[found.known] != codes[600:][found.known]
        broken += bool(len(wrong)) and wrong.mean() > 0.1 + 2 * np.sqrt(0.09 / len(wrong))
    assert broken <= 4


class WithReasons(GaussianNB):  # type: ignore[misc]
    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        return [[Reason("width", None, None, 1.0)][:most] for _ in X]


def test_reasons_are_the_estimators() -> None:
    found = nk.SureClassifier(WithReasons()).fit(DIGITS[:100], LABELS[:100]).decide(DIGITS[:2])
    assert found[0].reasons == (Reason("width", None, None, 1.0),)
    assert nk.SureClassifier(GaussianNB()).fit(DIGITS[:100], LABELS[:100]).decide(DIGITS[:2])[0].reasons == ()
    assert found[0].to_dict()["reasons"][0] == {"what": "width", "label": None, "distance": None, "weight": 1.0}


def test_texts_frames_and_sparse_rows_without_a_scope() -> None:
    texts = ["free money now", "win money", "lunch at noon", "see you at noon"] * 10
    labels = ["spam", "spam", "ham", "ham"] * 10
    sure = nk.SureClassifier(make_pipeline(CountVectorizer(), MultinomialNB()), scope=None).fit(texts, labels)
    assert sure.decide(["money money", "noon"]).labels == ["spam", "ham"]
    counts = CountVectorizer().fit_transform(texts)
    assert nk.SureClassifier(MultinomialNB(), scope=None).fit(counts, labels).score(counts, labels) == 1
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(DIGITS[:200], columns=[f"p{at}" for at in range(64)])
    model = nk.SureClassifier(BOASTING).fit(frame, LABELS[:200])
    assert list(model.estimator_.feature_names_in_) == list(frame.columns)
    assert model.decide(frame).coverage > 0.9


def test_splitters_copies_and_pickles() -> None:
    groups = np.arange(300) // 3
    splits = list(GroupKFold(5).split(DIGITS[:300], LABELS[:300], groups))
    by_groups = nk.SureClassifier(BOASTING, cv=splits).fit(DIGITS[:300], LABELS[:300])
    assert len(by_groups.held_out_.codes) == 300
    some = nk.SureClassifier(BOASTING, cv=ShuffleSplit(1, test_size=0.2, random_state=0)).fit(
        DIGITS[:300], LABELS[:300]
    )
    assert len(some.held_out_.codes) == 60
    again = pickle.loads(pickle.dumps(by_groups))
    np.testing.assert_array_equal(again.decide(DIGITS[300:400]).distances, by_groups.decide(DIGITS[300:400]).distances)
    assert cross_val_score(nk.SureClassifier(BOASTING), DIGITS[:300], LABELS[:300], cv=3).mean() > 0.7
    assert not hasattr(clone(by_groups), "classes_")


@pytest.mark.parametrize(
    ("cv", "said"),
    [
        (RepeatedStratifiedKFold(n_splits=2, n_repeats=3, random_state=0), "cv asks with 60 of 60 rows more than once"),
        (ShuffleSplit(4, test_size=0.5, random_state=0), "rows more than once"),
        ([(np.arange(40), np.arange(30, 60))], "asks with 10 of the rows that it learns from"),
    ],
    ids=["repeated", "drawn anew", "learned from"],
)
def test_rows_that_ask_twice_or_were_learned_from_are_refused(cv: Any, said: str) -> None:
    with pytest.raises(errors.ParameterError, match=said):
        nk.SureClassifier(BOASTING, cv=cv).fit(DIGITS[:60], LABELS[:60])


@pytest.mark.parametrize(
    ("labels", "said"),
    [(3, "SVC predicts another label than that of its largest score"), (10, "SVC gives 45 scores a row for 10 labels")],
)
def test_scores_of_pairs_of_labels_are_refused(labels: int, said: str) -> None:
    some = labels > LABELS[:600]
    rows, y = DIGITS[:600][some], LABELS[:600][some]
    with pytest.raises(errors.ParameterError, match=said) as caught:
        nk.SureClassifier(SVC(decision_function_shape="ovo")).fit(rows, y)
    assert "'ovr' gives one a label" in str(caught.value.hint)
    assert nk.SureClassifier(SVC()).fit(rows, y).score(rows, y) > 0.95


@given(
    st.integers(2, 30),
    st.integers(1, 4),
    st.sampled_from(["numbers", "texts", "truth"]),
    st.sampled_from([None, 0.05, 0.5]),
    st.booleans(),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=25)
def test_few_rows_one_label_and_duplicates(
    rows: int, labels: int, kind: str, rate: Any, duplicates: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    given_ = np.ones((rows, 2)) if duplicates else rng.normal(size=(rows, 2))
    codes = rng.integers(0, labels, rows)
    y = {"numbers": codes, "texts": np.array(list("abcd"))[codes], "truth": codes > 0}[kind]
    sure = nk.SureClassifier(nk.KNNClassifier(1), error_rate=rate, random_state=seed).fit(given_, y)
    found = sure.decide(given_)
    assert len(found) == rows
    assert set(found.likeliest) <= set(y.tolist())
    probabilities = sure.predict_proba(given_)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    if rate is None:
        assert found.known.all()
    elif rate == 0.05:  # 90 right answers are the fewest that could
        assert not found.known.any()
        assert "no probability keeps the share of wrong answers to 0.05" in found.notes[0]
    assert any("nothing is held for out of scope" in each for each in found.notes)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e9])
def test_what_is_far_is_out_of_scope_at_every_scale(scale: float) -> None:
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(400, 3)) * scale, rng.integers(0, 2, 400)
    found = nk.SureClassifier(GaussianNB()).fit(rows, y).decide(np.concatenate([rows[:50], rows[:50] * 100]))
    assert not found.out_of_scope[:50].any()
    assert found.out_of_scope[50:].mean() > 0.9


def test_distances_below_zero_hold_nothing_for_out_of_scope() -> None:
    sure = nk.SureClassifier(nk.KNNClassifier(metric="inner-product")).fit(DIGITS[:300], LABELS[:300])
    found = sure.decide(DIGITS[:3])
    assert found.notes == (
        "nothing is held for out of scope: distances below 0 do not tell how far a row is from known ones",
    )
    assert (found.scope, found.distances, sure.distance_limit_) == (None, None, np.inf)


def test_what_was_learned_stays_whatever_is_set_or_drawn_later() -> None:
    state = np.random.RandomState(3)
    sure = nk.SureClassifier(metric="manhattan", random_state=state).fit(DIGITS[:300], LABELS[:300])
    before = state.get_state()[2]
    far = sure.decide(DIGITS[300:310]).distances
    again = pickle.loads(pickle.dumps(sure.set_params(metric="cosine")))
    np.testing.assert_array_equal(again.decide(DIGITS[300:310]).distances, far)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(sure)).decide(DIGITS[300:310]).distances, far)
    assert state.get_state()[2] == before


def test_two_rows_and_no_classifier_named() -> None:
    sure = nk.SureClassifier().fit([[0.0], [1.0]], ["a", "b"])
    assert sure.predict([[0.1]]).tolist() == ["a"]


def test_one_row_and_no_row() -> None:
    sure = nk.SureClassifier(nk.KNNClassifier(1), error_rate=0.1).fit([[1.0]], ["a"])
    assert (sure.temperature_, sure.threshold_, sure.coverage_, sure.ece_before_) == (1.0, np.inf, None, None)
    assert sure.decide([[2.0]])[0].why == "not sure: 1.00, and no probability is enough"
    with pytest.raises(ValueError, match="0 sample"):
        sure.decide(np.empty((0, 1)))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"error_rate": 5}, "error_rate is 5"),
        ({"scope": 1.0}, "scope is 1.0"),
        ({"scope": True}, "scope is True"),
        ({"cv": 1}, "cv is 1"),
        ({"cv": 2.5}, "cv is 2.5"),
        ({"validation": 0}, "validation is 0"),
        ({"validation": 1.0}, "validation is 1.0"),
        ({"estimator": nk.KNNClassifier(1000)}, "n_neighbors is 1000"),
    ],
)
def test_what_is_wrong_is_said(asked: Any, said: str) -> None:
    with pytest.raises(errors.ParameterError, match=said):
        nk.SureClassifier(**asked).fit(DIGITS[:50], LABELS[:50])


def test_rows_that_are_none_and_classifiers_that_cannot_say() -> None:
    with pytest.raises(ValueError, match="NaN"):
        nk.SureClassifier().fit([[np.nan], [1.0]], [0, 1])

    class Mute(GaussianNB):  # type: ignore[misc]
        predict_proba = property()  # type: ignore[assignment]

    with pytest.raises(errors.ParameterError, match="Mute has neither predict_proba nor decision_function"):
        nk.SureClassifier(Mute()).fit(DIGITS[:50], LABELS[:50])
    with pytest.raises(ValueError, match="features"):
        nk.SureClassifier().fit(DIGITS[:50], LABELS[:50]).decide([[1.0]])


def test_a_label_that_one_fold_never_saw() -> None:
    y = np.array(["rare", *["often", "other"] * 30])
    sure = nk.SureClassifier(BOASTING, random_state=1).fit(DIGITS[:61], y)
    assert sure.held_out_.probabilities.shape == (61, 3)
    assert np.isfinite(sure.predict_proba(DIGITS[:61])).all()
    assert sure.smoothing_ > 0
