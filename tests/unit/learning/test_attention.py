"""Attention against softmax(q·k / T) · v written out in float64."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import nearkin as nk
from nearkin import errors
from nearkin.learning import attended_keys, held_out_temperature, softmax_sums

DIGITS, LABELS = load_digits(return_X_y=True)
DIABETES, PROGRESSION = load_diabetes(return_X_y=True)


def scores_of(metric: str, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    q, k = queries.astype(np.float64), keys.astype(np.float64)
    if metric == "euclidean":
        return -0.5 * ((q[:, None] - k[None]) ** 2).sum(axis=2)
    if metric == "cosine":
        q, k = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (q, k))
    return q @ k.T


def reference(
    metric: str, queries: np.ndarray, keys: np.ndarray, T: float, heads: int = 1, k: int | None = None
) -> Any:
    """(nq, n) weights, and the (nq,) mass left out."""
    if metric == "cosine":
        queries, keys = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (queries, keys))
    size, total, missed = queries.shape[1] // heads, 0.0, 0.0
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = scores_of("euclidean" if metric == "euclidean" else "inner-product", queries[:, part], keys[:, part])
        whole = np.exp((scores - scores.max(axis=1, keepdims=True)) / T)
        whole /= whole.sum(axis=1, keepdims=True)
        kept = whole if k is None else np.where(scores >= -np.sort(-scores, axis=1)[:, k - 1 : k], whole, 0)
        total = total + kept / kept.sum(axis=1, keepdims=True) / heads
        missed = missed + (1 - kept.sum(axis=1)) / heads
    return total, missed


def drawn(seed: int, n: int = 60, m: int = 7, dim: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)).astype(np.float32), rng.normal(size=(m, dim)).astype(np.float32)


METRICS = ["inner-product", "cosine", "euclidean"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("k", [None, 1, 5])
def test_the_formula(metric: Any, heads: int, k: int | None) -> None:
    keys, queries = drawn(1)
    values = np.random.default_rng(2).normal(size=(60, 3))
    weights, missed = reference(metric, queries, keys, 0.7, heads, k)
    model = nk.AttentionRegressor(k, temperature=0.7, heads=heads, metric=metric).fit(keys, values)
    np.testing.assert_allclose(model.predict(queries), weights @ values, atol=1e-6)
    found = model.attend(queries)
    np.testing.assert_allclose(found.values, weights @ values, atol=1e-6)
    np.testing.assert_allclose(found.left_out, missed, atol=1e-6)
    there = found.ids >= 0
    np.testing.assert_allclose(
        np.where(there, np.take_along_axis(weights, found.ids, axis=1), 0), found.weights, atol=1e-6
    )
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)
    assert (np.diff(found.weights, axis=1) <= 0).all()


@given(st.integers(0, 10_000), st.sampled_from(METRICS), st.floats(1e-3, 1e3), st.sampled_from([1, 2]))
@settings(deadline=None, max_examples=40)
def test_arrays_are_attended_to_by_the_formula(seed: int, metric: Any, T: float, heads: int) -> None:
    keys, queries = drawn(seed)
    values = np.random.default_rng(seed).normal(size=60)
    weights, _ = reference(metric, queries, keys, T, heads)
    found = nk.attend(queries, keys, values, temperature=T, heads=heads, metric=metric)
    np.testing.assert_allclose(found.values[:, 0], weights @ values, atol=1e-4)
    assert found.left_out.tolist() == [0] * 7


def test_blocks_and_large_scores_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, queries = drawn(3, n=500)
    values = np.arange(500.0)
    whole = nk.attend(queries, keys, values, temperature=0.5)
    far = nk.attend(queries * 1e3, keys * 1e3, values, temperature=0.5e6)
    np.testing.assert_allclose(far.values, whole.values, rtol=1e-3)
    monkeypatch.setattr(attended_keys, "block_rows", lambda row_bytes, budget=0: 7)
    again = nk.attend(queries, keys, values, temperature=0.5)
    np.testing.assert_allclose(again.values, whole.values)
    np.testing.assert_allclose(again.weights, whole.weights)
    np.testing.assert_array_equal(again.ids, whole.ids)
    sharp = nk.attend(queries * 1e6, keys, values, temperature=1e-6)
    np.testing.assert_array_equal(sharp.values[:, 0], (queries.astype(float) @ keys.astype(float).T).argmax(axis=1))


@pytest.mark.parametrize(
    "estimator",
    [
        nk.AttentionClassifier(),
        nk.AttentionRegressor(),
        nk.AttentionClassifier(None, temperature="sqrt"),
        nk.AttentionRegressor(3, metric="euclidean"),
    ],
    ids=["classifier", "regressor", "all rows", "euclidean"],
)
def test_they_are_estimators_by_scikit_learns_own_checks(estimator: Any) -> None:
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    assert {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"} == {}
    assert {each["check_name"] for each in results if each["status"] == "skipped"} <= {"check_array_api_input"}
    assert len(results) > 40


@pytest.mark.parametrize("k", [None, 10])
def test_the_fitted_temperature_has_the_least_held_out_loss(k: int | None) -> None:
    rows, labels = DIGITS[:300], LABELS[:300]
    model = nk.AttentionClassifier(k, metric="cosine").fit(rows, labels)
    scores = scores_of("cosine", rows, rows)
    np.fill_diagonal(scores, -np.inf)
    if k is not None:
        scores = np.where(scores >= -np.sort(-scores, axis=1)[:, k - 1 : k], scores, -np.inf)

    def loss(T: float) -> float:
        shares = np.exp((scores - scores.max(axis=1, keepdims=True)) / T)
        right = (shares * (labels[:, None] == labels[None])).sum(axis=1) / shares.sum(axis=1)
        return float(-np.log(np.maximum(right, 1e-15)).mean())

    least = min(loss(T) for T in np.geomspace(1e-4, 10, 400))
    assert loss(model.temperature_) <= least + 1e-3
    assert model.temperature_ < 0.2  # √64 would weigh all digits alike


def test_a_fitted_temperature_for_numbers() -> None:
    rows = StandardScaler().fit_transform(DIABETES)[:200]
    targets = np.stack([PROGRESSION[:200], -2 * PROGRESSION[:200]], axis=1)
    model = nk.AttentionRegressor(None, metric="euclidean").fit(rows, targets)
    scores = scores_of("euclidean", rows.astype(np.float32), rows.astype(np.float32))
    np.fill_diagonal(scores, -np.inf)

    def loss(T: float) -> float:
        shares = np.exp((scores - scores.max(axis=1, keepdims=True)) / T)
        return float(((shares / shares.sum(axis=1, keepdims=True) @ targets - targets) ** 2).mean())

    assert loss(model.temperature_) <= min(loss(T) for T in np.geomspace(1e-3, 1e3, 300)) * (1 + 1e-4)
    assert cross_val_score(nk.AttentionRegressor(metric="euclidean"), rows, PROGRESSION[:200], cv=4).mean() > 0.2


def test_without_anything_to_fit_it_is_the_temperature_of_the_paper() -> None:
    assert nk.AttentionClassifier(temperature="sqrt").fit(DIGITS[:40], LABELS[:40]).temperature_ == 8
    assert nk.AttentionClassifier(temperature="sqrt", heads=4).fit(DIGITS[:40], LABELS[:40]).temperature_ == 4
    assert nk.AttentionRegressor().fit([[1.0, 2.0]], [3.0]).temperature_ == pytest.approx(2**0.5)
    assert nk.AttentionRegressor().fit(DIGITS[:40], np.ones(40)).temperature_ == 8
    assert nk.AttentionRegressor().fit([[1.0, 2.0]], [3.0]).predict([[5.0, 5.0]]).tolist() == [3.0]


def test_held_out_truncation_is_what_lies_beyond_k() -> None:
    rows = DIGITS[:200]
    model = nk.AttentionClassifier(8, temperature=0.1, metric="cosine").fit(rows, LABELS[:200])
    scores = scores_of("cosine", rows, rows)
    np.fill_diagonal(scores, -np.inf)
    ordered = -np.sort(-np.exp(scores / 0.1), axis=1)
    missed = 1 - ordered[:, :8].sum(axis=1) / ordered.sum(axis=1)
    assert model.truncation_.mean == pytest.approx(missed.mean(), abs=1e-4)
    assert nk.AttentionClassifier(None).fit(rows, LABELS[:200]).truncation_.mean == 0


def test_the_bound_holds_and_is_refused_where_it_would_not() -> None:
    model = nk.AttentionClassifier(5, temperature=0.05, metric="cosine").fit(DIGITS[:800], LABELS[:800])
    exact, bound = model.attend(DIGITS[800:900]), model.attend(DIGITS[800:900], left_out="bound")
    assert (bound.left_out >= exact.left_out - 1e-9).all()
    assert (bound.left_out < 1).all()
    assert exact.how == "exact"
    assert bound.how == "bound"
    assert np.isnan(model.attend(DIGITS[800:801], left_out=None).left_out).all()
    rough = nk.AttentionClassifier(5, plan="ivf8", search={"nprobe": 1}, temperature=1.0).fit(
        DIGITS[:800], LABELS[:800]
    )
    with pytest.raises(errors.ParameterError, match="found for sure"):
        rough.attend(DIGITS[:1], left_out="bound")
    assert rough.predict(DIGITS[800:850]).shape == (50,)


def test_labels_copies_pickles_and_searches() -> None:
    rows, labels = DIGITS[:500], LABELS[:500].astype(str)
    model = nk.AttentionClassifier(20, metric="cosine").fit(rows, labels)
    assert (model.predict(DIGITS[500:700]) == LABELS[500:700].astype(str)).mean() > 0.9
    np.testing.assert_allclose(model.predict_proba(DIGITS[500:700]).sum(axis=1), 1)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(again.predict_proba(DIGITS[500:510]), model.predict_proba(DIGITS[500:510]))
    assert len(again.collections_) == 1
    search = GridSearchCV(
        make_pipeline(StandardScaler(), nk.AttentionClassifier()), {"attentionclassifier__heads": [1, 4]}, cv=3
    )
    assert search.fit(rows, labels).best_score_ > 0.8


@pytest.mark.parametrize("metric", METRICS)
def test_reasons_are_the_rows_with_the_most_weight(metric: Any) -> None:
    keys, queries = drawn(5)
    labels = np.array(["a", "b", "c"])[np.arange(60) % 3]
    model = nk.AttentionClassifier(10, temperature=0.5, metric=metric).fit(keys, labels)
    weights, _ = reference(metric, queries, keys, 0.5, 1, 10)
    distances = nk.build(keys, metric=metric).metric.distances(queries, keys)
    for row, whys in enumerate(model.reasons(queries, most=3)):
        assert [why.what for why in whys] == np.argsort(-weights[row])[:3].tolist()
        assert [why.label for why in whys] == [labels[why.what] for why in whys]
        np.testing.assert_allclose([why.weight for why in whys], weights[row, [why.what for why in whys]], atol=1e-6)
        np.testing.assert_allclose(
            [why.distance for why in whys], distances[row, [why.what for why in whys]], atol=1e-5
        )
    numbers = nk.AttentionRegressor(2, temperature=1.0).fit(keys, np.arange(60.0)).reasons(queries[:1])[0]
    assert [why.label for why in numbers] == [float(why.what) for why in numbers]


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({"temperature": 0}, errors.ParameterError, "temperature is 0, 'fit', 'sqrt' or a number above 0"),
        ({"temperature": "warm"}, errors.ParameterError, "temperature is 'warm'"),
        ({"temperature": True}, errors.ParameterError, "temperature is True"),
        ({"metric": "manhattan"}, errors.ParameterError, "one of inner-product, cosine, euclidean"),
        ({"heads": 5}, errors.ParameterError, "divides the 64 columns"),
        ({"k": 0}, errors.ParameterError, "k is 0"),
        ({"k": None, "plan": "ivf8"}, errors.ParameterError, "plan is of an index"),
    ],
)
def test_what_is_wrong_is_said(asked: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        nk.AttentionClassifier(**asked).fit(DIGITS[:50], LABELS[:50])


def test_rows_and_values_that_cannot_be_attended_to() -> None:
    keys, queries = drawn(1)
    with pytest.raises(errors.VectorError, match="row 1 of the keys has length zero"):
        nk.attend(queries, [[1.0, 0, 0, 0], [0.0, 0, 0, 0]], [1, 2], metric="cosine")
    with pytest.raises(errors.VectorError, match="one a row of 60"):
        nk.attend(queries, keys, np.ones(59))
    with pytest.raises(errors.VectorError, match="NaN"):
        nk.attend(queries, keys, np.full(60, np.nan))
    with pytest.raises(errors.VectorError, match="no keys"):
        nk.attend(queries, keys[:0], [])
    with pytest.raises(errors.ParameterError, match="numbers and have no labels"):
        _ = nk.attend(queries, keys, np.ones(60)).labels
    assert nk.attend(queries[:0], keys, np.ones(60)).values.shape == (0, 1)


def test_few_keys_are_held_out_where_there_are_many() -> None:
    keys = attended_keys.keys_of_rows(np.zeros((200_000, 1), np.float32), "product")
    assert len(held_out_temperature.rows_to_hold_out(keys, 0)) == 100


def test_left_out_mass_of_nothing_found() -> None:
    nothing = np.full((1, 2, 3), -np.inf)
    assert softmax_sums.mass_left_out(nothing, 1.0, np.zeros((1, 2))).tolist() == [1, 1]
    assert softmax_sums.bound_of_rest(nothing, 1.0, 9).tolist() == [1, 1]
