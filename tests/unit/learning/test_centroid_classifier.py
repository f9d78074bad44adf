"""Nearest centroids against means, directions, medians and medoids worked out class by class."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestCentroid
from sklearn.utils.estimator_checks import check_estimator

import nearkin as nk
from nearkin import errors
from nearkin.learning.centroid_classifier import held_out

DIGITS, LABELS = load_digits(return_X_y=True)
TRAIN, TEST = slice(0, 1000), slice(1000, None)


@pytest.mark.parametrize(
    "estimator",
    [nk.CentroidClassifier(), nk.CentroidClassifier(metric="manhattan"), nk.CentroidClassifier(2, temperature=0.5)],
    ids=["means", "medians", "several"],
)
def test_they_are_estimators_by_scikit_learns_own_checks(estimator: Any) -> None:
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    assert {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"} == {}
    assert {each["check_name"] for each in results if each["status"] == "skipped"} <= {"check_array_api_input"}


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_:UserWarning")  # corners of digits are always 0
@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_the_same_labels_as_scikit_learn(metric: str) -> None:
    ours = nk.CentroidClassifier(metric=metric).fit(DIGITS[TRAIN], LABELS[TRAIN])
    theirs = NearestCentroid(metric=metric).fit(DIGITS[TRAIN], LABELS[TRAIN])
    np.testing.assert_allclose(ours.centroids_, theirs.centroids_, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours.predict(DIGITS[TEST]), theirs.predict(DIGITS[TEST]))


@pytest.mark.parametrize("metric", ["cosine", "chebyshev", "canberra", "correlation", "mahalanobis:shrinkage=0.5"])
def test_the_nearest_of_each_labels_own_centroids(metric: str) -> None:
    rows, labels = DIGITS[:200].astype(np.float32), LABELS[:200]
    model = nk.CentroidClassifier(metric=metric).fit(rows, labels)
    fitted = nk.build(rows, metric=metric).metric
    distances = fitted.distances(DIGITS[300:400].astype(np.float32), model.centroids_.astype(np.float32))
    np.testing.assert_array_equal(model.predict(DIGITS[300:400]), distances.argmin(axis=1))
    if metric == "cosine":
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        sums = np.stack([unit[labels == each].sum(axis=0) for each in range(10)])
        np.testing.assert_allclose(model.centroids_, sums / np.linalg.norm(sums, axis=1, keepdims=True), atol=1e-5)
    if metric in ("chebyshev", "canberra"):
        for code, centroid in enumerate(model.centroids_):
            own = rows[labels == code]
            sums = fitted.distances(own, own).sum(axis=0)
            at = int(np.flatnonzero((own == centroid).all(axis=1))[0])
            assert sums[at] == pytest.approx(sums.min())


def test_bits_and_a_metric_of_ones_own_have_medoids() -> None:
    bits = np.packbits(DIGITS > 8, axis=1)
    model = nk.CentroidClassifier(3, metric="hamming").fit(bits[:600], LABELS[:600])
    assert model.score(bits[600:], LABELS[600:]) > 0.75
    assert model.centroids_.dtype == np.uint8
    assert model.centroids_.shape == (30, 8)

    @nk.metric(name="cubes", axioms={"non-negative", "identity", "symmetric"})
    def cubes(a: np.ndarray, b: np.ndarray) -> float:
        total = 0.0
        for i in range(a.shape[0]):
            total += abs(a[i] - b[i]) ** 3
        return total

    own = nk.CentroidClassifier(metric=cubes).fit(DIGITS[:200], LABELS[:200])
    assert all((DIGITS[:200] == each).all(axis=1).any() for each in own.centroids_)


def test_several_centroids_and_the_choice_of_their_number() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [6, 6], [0, 6], [6, 0]])
    rows = np.repeat(corners, 50, axis=0) + rng.normal(size=(200, 2))
    labels = np.repeat(["same", "same", "other", "other"], 50)  # one mean each would be in the same place
    assert nk.CentroidClassifier(random_state=0).fit(rows, labels).score(rows, labels) < 0.75
    chosen = nk.CentroidClassifier("auto", random_state=0).fit(rows, labels)
    assert chosen.per_class_ >= 2
    assert chosen.score(rows, labels) > 0.97
    assert sorted(chosen.centroid_labels_.tolist()) == ["other"] * chosen.per_class_ + ["same"] * chosen.per_class_
    plain = nk.CentroidClassifier("auto").fit(rows[:50].repeat(2, axis=0) + [[0, 0], [20, 20]] * 50, ["a", "b"] * 50)
    assert plain.per_class_ == 1
    few = nk.CentroidClassifier(5).fit([[0.0], [1.0], [9.0]], ["a", "a", "b"])
    assert few.centroid_labels_.tolist() == ["a", "a", "b"]


def test_probabilities_are_a_softmax_of_distances() -> None:
    model = nk.CentroidClassifier(temperature=2.5).fit(DIGITS[TRAIN], LABELS[TRAIN])
    asked = DIGITS[TEST][:50]
    distances = np.sqrt(((asked[:, None] - model.centroids_[None].astype(np.float64)) ** 2).sum(axis=2))
    shares = np.exp(-distances / 2.5)
    np.testing.assert_allclose(model.predict_proba(asked), shares / shares.sum(axis=1, keepdims=True), rtol=1e-4)
    for row, whys in enumerate(model.reasons(asked, most=3)):
        assert [why.label for why in whys] == np.argsort(distances[row])[:3].tolist()
        np.testing.assert_allclose([why.distance for why in whys], np.sort(distances[row])[:3], rtol=1e-4)
        np.testing.assert_allclose([why.weight for why in whys], np.sort(model.predict_proba(asked)[row])[::-1][:3])


def test_the_temperature_has_nearly_the_least_log_loss_of_rows_to_come() -> None:
    model = nk.CentroidClassifier(random_state=0).fit(DIGITS[TRAIN], LABELS[TRAIN])

    def loss(temperature: float) -> float:
        other = nk.CentroidClassifier(temperature=temperature, random_state=0).fit(DIGITS[TRAIN], LABELS[TRAIN])
        right = other.predict_proba(DIGITS[TEST])[np.arange(len(LABELS[TEST])), LABELS[TEST]]
        return float(-np.log(np.maximum(right, 1e-15)).mean())

    assert loss(model.temperature_) < min(loss(T) for T in np.geomspace(0.3, 30, 15)) + 0.1


def test_few_rows_and_one_label() -> None:
    model = nk.CentroidClassifier("auto").fit([[0.0], [2.0], [10.0], [14.0]], ["a", "a", "b", "b"])
    assert model.temperature_ == 1.5
    assert model.per_class_ == 1
    one = nk.CentroidClassifier().fit([[1.0], [1.0]], ["a", "a"])
    assert one.temperature_ == 1
    assert one.predict_proba([[3.0]]).tolist() == [[1]]


def test_many_labels_with_few_rows() -> None:
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(300), rng.integers(0, 300, 400)])
    rows = (rng.normal(size=(300, 5))[labels] + 0.1 * rng.normal(size=(700, 5))).astype(np.float32)
    means = np.stack([rows[labels == each].mean(axis=0, dtype=np.float64) for each in range(300)])
    model = nk.CentroidClassifier().fit(rows, labels)
    np.testing.assert_allclose(model.centroids_, means, rtol=1e-5, atol=1e-6)
    apart = np.sqrt(((rows[:, None] - means[None]) ** 2).sum(axis=2))
    np.testing.assert_array_equal(model.predict(rows), apart.argmin(axis=1))
    some = labels < 40
    rows, labels = rows[some], labels[some]
    several = nk.CentroidClassifier(3).fit(rows, labels)
    centroids = several.centroids_.astype(np.float64)
    apart = np.sqrt(((rows[:50, None] - centroids[None]) ** 2).sum(axis=2))
    for row, whys in enumerate(several.reasons(rows[:50], most=2)):
        nearest = [
            min(np.flatnonzero(several.centroid_labels_ == why.label), key=apart[row].__getitem__) for why in whys
        ]
        assert [why.what for why in whys] == [f"centroid {each}" for each in nearest]


def test_a_fifth_of_each_label_is_held_out() -> None:
    codes = np.array([0] * 4 + [1] * 5 + [2] * 23)
    held = held_out(codes, 3)
    assert np.bincount(codes[held], minlength=3).tolist() == [0, 1, 4]


def test_it_comes_back_from_a_pickle() -> None:
    model = nk.CentroidClassifier(2, metric="cosine").fit(DIGITS[:300], LABELS[:300])
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(DIGITS[300:400]), model.predict_proba(DIGITS[300:400]))


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"metric": "inner-product"}, errors.NotSupportedError, "no distance"),
        ({"metric": "chebyshev", "clusterer": "lloyd"}, errors.NotSupportedError, "not right under 'chebyshev'"),
        ({"metric": "cosine", "clusterer": "kmedians"}, errors.NotSupportedError, "not right under 'cosine'"),
        ({"per_class": 0}, errors.ParameterError, "per_class is 0"),
        ({"per_class": "some"}, errors.ParameterError, "per_class is 'some'"),
        ({"temperature": 0.0}, errors.ParameterError, "temperature is 0.0, a number above 0 expected"),
        ({"clusterer": "loyd"}, errors.UnknownNameError, "lloyd"),
    ],
)
def test_what_is_wrong_is_said(given: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        nk.CentroidClassifier(**given).fit(DIGITS[:50], LABELS[:50])
