"""k nearest neighbours against scikit-learn's, and where there is none to compare with against brute force."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import nearkin as nk
from nearkin import errors
from nearkin.learning.weighing import weigh

DIGITS, LABELS = load_digits(return_X_y=True)
DIABETES, PROGRESSION = load_diabetes(return_X_y=True)


@pytest.mark.parametrize(
    "estimator",
    [
        nk.KNNClassifier(),
        nk.KNNRegressor(),
        nk.KNNClassifier(weights="distance", metric="manhattan"),
        nk.KNNRegressor(weights="softmax", temperature=0.5),
    ],
    ids=["classifier", "regressor", "distance", "softmax"],
)
def test_they_are_estimators_by_scikit_learns_own_checks(estimator: Any) -> None:
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    assert {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"} == {}
    assert {each["check_name"] for each in results if each["status"] == "skipped"} <= {"check_array_api_input"}
    assert len(results) > 40


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev", "cosine"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_the_same_probabilities_as_scikit_learn(metric: str, weights: Any) -> None:
    ours = nk.KNNClassifier(7, metric=metric, weights=weights).fit(DIGITS[:1000], LABELS[:1000])
    theirs = KNeighborsClassifier(7, metric=metric, weights=weights).fit(DIGITS[:1000], LABELS[:1000])
    one, other = ours.predict_proba(DIGITS[1000:]), theirs.predict_proba(DIGITS[1000:])
    # whole numbers of up to 16 tie often: of neighbours at one distance either may be the last
    distances = theirs.kneighbors(DIGITS[1000:], 8)[0]
    apart = distances[:, 7] - distances[:, 6] > 1e-5
    assert apart.mean() > 0.1
    np.testing.assert_allclose(one[apart], other[apart], atol=1e-4)
    assert (ours.predict(DIGITS[1000:]) == theirs.predict(DIGITS[1000:])).mean() > 0.99


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_same_numbers_as_scikit_learn(outputs: int) -> None:
    numbers = PROGRESSION if outputs == 1 else np.stack([PROGRESSION, -PROGRESSION, DIABETES[:, 0]], axis=1)
    for weights in ("uniform", "distance"):
        ours = nk.KNNRegressor(6, weights=weights).fit(DIABETES[:300], numbers[:300])
        theirs = KNeighborsRegressor(6, weights=weights).fit(DIABETES[:300], numbers[:300])
        np.testing.assert_allclose(ours.predict(DIABETES[300:]), theirs.predict(DIABETES[300:]), rtol=1e-4)


def test_softmax_weights_are_those_of_attention() -> None:
    distances = np.float32([[0.2, 0.5, 1.5], [1.0, 1.0, np.inf]])
    weights = weigh(distances, "softmax", 0.3)
    expected = np.exp(-distances.astype(np.float64) / 0.3)
    np.testing.assert_allclose(
        weights / weights.sum(1, keepdims=True), expected / expected.sum(1, keepdims=True), rtol=1e-5
    )


@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from(["uniform", "distance", "softmax"]))
@settings(deadline=None, max_examples=30)
def test_votes_of_brute_force(seed: int, k: int, weights: Any) -> None:
    rng = np.random.default_rng(seed)
    rows, asked = rng.normal(size=(30, 3)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    labels = rng.choice(["a", "b", "c"], 30)
    ours = nk.KNNClassifier(k, weights=weights).fit(rows, labels)
    apart = np.sqrt(((asked[:, None].astype(np.float64) - rows[None]) ** 2).sum(2))
    for row, distances in enumerate(apart):
        near = np.argsort(distances)[:k]
        votes = weigh(distances[near][None], weights)[0]
        wanted = [votes[labels[near] == each].sum() / votes.sum() for each in ours.classes_]
        np.testing.assert_allclose(ours.predict_proba(asked[row : row + 1])[0], wanted, rtol=1e-4, atol=1e-6)


def test_a_metric_of_ones_own_and_bits() -> None:
    @nk.metric(name="twice-first")
    def twice_first(a: np.ndarray, b: np.ndarray) -> float:
        total = 0.0
        for i in range(a.shape[0]):
            total += (2.0 if i == 0 else 1.0) * abs(a[i] - b[i])
        return total

    stretched = DIGITS * np.where(np.arange(64) == 0, 2, 1)
    ours = nk.KNNClassifier(1, metric=twice_first).fit(DIGITS[:500], LABELS[:500]).kneighbors(DIGITS[500:600], 3)[0]
    theirs = KNeighborsClassifier(1, metric="manhattan").fit(stretched[:500], LABELS[:500])
    np.testing.assert_allclose(ours, theirs.kneighbors(stretched[500:600], 3)[0], rtol=1e-5)
    bits = np.packbits(DIGITS > 8, axis=1)
    assert nk.KNNClassifier(5, metric="hamming").fit(bits[:900], LABELS[:900]).score(bits[900:], LABELS[900:]) > 0.8


def test_an_approximate_plan_says_what_it_costs() -> None:
    exact = nk.KNNClassifier(5).fit(DIGITS, LABELS)
    assert exact.plan_effect_ is None
    rough = nk.KNNClassifier(5, plan="ivf16", search={"nprobe": 1}).fit(DIGITS, LABELS).plan_effect_
    assert rough is not None
    near = KNeighborsClassifier(5).fit(DIGITS, LABELS).kneighbors(n_neighbors=5, return_distance=False)
    votes = np.array([np.bincount(LABELS[each], minlength=10).argmax() for each in near])
    assert abs(rough.exact - (votes == LABELS).mean()) < 0.01
    assert rough.plan < rough.exact
    assert rough.recall.mean < 0.99
    assert 0.9 < rough.agreement < 1
    number = nk.KNNRegressor(5, plan="ivf8", search={"nprobe": 1}).fit(DIABETES, PROGRESSION).plan_effect_
    assert number is not None
    assert number.exact > 0.3


def test_a_recall_is_kept() -> None:
    model = nk.KNNClassifier(5, recall=0.9, random_state=0).fit(np.tile(DIGITS, (3, 1)), np.tile(LABELS, 3))
    assert model.collection_ is not None
    assert model.collection_.choice is not None
    assert model.collection_.choice.recall.low >= 0.9


def test_in_pipelines_searches_copies_and_pickles() -> None:
    pipe = make_pipeline(StandardScaler(), nk.KNNClassifier())
    assert cross_val_score(pipe, DIGITS[:600], LABELS[:600], cv=3).mean() > 0.85
    search = GridSearchCV(nk.KNNClassifier(), {"n_neighbors": [1, 5], "weights": ["uniform", "distance"]}, cv=3)
    assert search.fit(DIGITS[:400], LABELS[:400]).best_score_ > 0.85
    model = nk.KNNClassifier(3, metric="cosine").fit(DIGITS[:300], LABELS[:300])
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(DIGITS[300:400]), model.predict(DIGITS[300:400]))
    assert not hasattr(clone(model), "classes_")


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"n_neighbors": 0}, errors.ParameterError, "n_neighbors is 0"),
        ({"weights": "near"}, errors.ParameterError, "weights is 'near', one of uniform, distance, softmax"),
        ({"temperature": 1.0}, errors.ParameterError, "weights='uniform' has none"),
        ({"weights": "softmax", "temperature": 0.0}, errors.ParameterError, "temperature is 0.0"),
        ({"metric": "cosin"}, errors.UnknownNameError, "cosine"),
        ({"plan": "ivf,pq", "metric": "manhattan"}, errors.NotSupportedError, "manhattan"),
        ({"weights": "distance", "metric": "inner-product"}, errors.ParameterError, "this metric gives negative ones"),
    ],
)
def test_what_is_wrong_is_said(given: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        nk.KNNClassifier(**given).fit(DIGITS[:50], LABELS[:50]).predict(DIGITS[50:60])


def test_rows_are_its_own(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", DIGITS[:100].astype(np.float32))
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r+")
    for given_ in (rows, np.asarray(rows)[:]):
        model = nk.KNNClassifier(1).fit(given_, LABELS[:100])
        wanted = model.kneighbors(DIGITS[100:110])
        kept = rows.copy()
        rows[:] = 0
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).kneighbors(DIGITS[100:110]), wanted)
        rows[:] = kept


@pytest.mark.parametrize("estimator", [nk.KNNClassifier(3), nk.KNNRegressor(3), nk.AttentionClassifier(3)])
def test_what_was_learned_stays_whatever_is_set_or_drawn_later(estimator: Any) -> None:
    state = np.random.RandomState(3)
    model = clone(estimator).set_params(random_state=state).fit(DIGITS[:300], LABELS[:300])
    before, wanted = state.get_state()[2], model.predict(DIGITS[300:350])
    model.set_params(metric="cosine")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(DIGITS[300:350]), wanted)
    assert state.get_state()[2] == before


def test_more_neighbours_than_rows() -> None:
    model = nk.KNNClassifier(5).fit([[0.0], [1.0]], ["a", "b"])
    with pytest.raises(errors.ParameterError, match="n_neighbors is 5, and there are n_samples=2 training rows"):
        model.predict([[0.3]])


@pytest.mark.parametrize("weights", ["uniform", "distance", "softmax"])
def test_reasons_are_the_neighbours_and_add_up_to_the_probability(weights: Any) -> None:
    model = nk.KNNClassifier(6, weights=weights).fit(DIGITS[:500], LABELS[:500])
    asked = DIGITS[500:520]
    distances, positions = model.kneighbors(asked)
    for row, whys in enumerate(model.reasons(asked, most=6)):
        assert [why.what for why in whys] == positions[row].tolist()
        assert [why.label for why in whys] == LABELS[positions[row]].tolist()
        np.testing.assert_allclose([why.distance for why in whys], distances[row])
        for label, share in zip(model.classes_, model.predict_proba(asked)[row], strict=True):
            assert sum(why.weight for why in whys if why.label == label) == pytest.approx(share)
    assert [len(each) for each in model.reasons(asked)] == [5] * 20
    numbers = nk.KNNRegressor(2).fit(DIABETES, np.stack([PROGRESSION, -PROGRESSION], axis=1)).reasons(DIABETES[:1])[0]
    assert numbers[0] == (0, [PROGRESSION[0], -PROGRESSION[0]], 0.0, 0.5)
    with pytest.raises(errors.ParameterError, match="most is 0"):
        model.reasons(asked, most=0)
