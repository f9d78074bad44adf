"""Linear regression against scikit-learn's, and with given weights against sums worked out by hand."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso, LassoCV, LinearRegression, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import nearkin as nk
from nearkin import errors
from nearkin.learning.linear_regression import ALPHAS

TABLE, PROGRESS = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
ROWS, NUMBERS = TABLE.to_numpy(), PROGRESS.to_numpy()
SCALED = StandardScaler().fit_transform(ROWS)
HOUSE = {"sqft": 150, "bedrooms": 30_000, "age": -2_000, "distance": -5_000}


@pytest.mark.parametrize(
    "estimator",
    [
        nk.LinearRegressor(),
        nk.LinearRegressor("ridge", alpha="auto"),
        nk.LinearRegressor("lasso", standardize=False),
        nk.LinearRegressor("lasso", alpha="auto", cv=2),
    ],
    ids=["ols", "ridge", "lasso", "auto"],
)
def test_it_is_an_estimator_by_scikit_learns_own_checks(estimator: Any) -> None:
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    assert {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"} == {}
    assert len(results) > 45


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"method": "ols"}, LinearRegression()),
        ({"method": "ridge", "alpha": 3.0}, Ridge(3.0)),
        ({"method": "ridge", "alpha": "auto"}, RidgeCV(ALPHAS)),
        ({"method": "lasso", "alpha": 2.0}, Lasso(2.0)),
        ({"method": "lasso", "alpha": "auto", "random_state": 3}, LassoCV(cv=KFold(5, shuffle=True, random_state=3))),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_the_numbers_of_scikit_learn(ours: Any, theirs: Any) -> None:
    model = nk.LinearRegressor(**ours).fit(ROWS, NUMBERS)
    theirs.fit(SCALED, NUMBERS)
    np.testing.assert_allclose(model.predict(ROWS), theirs.predict(SCALED), rtol=1e-9)
    np.testing.assert_allclose(model.weights().per_step[0], theirs.coef_, rtol=1e-8, atol=1e-9)
    assert model.alpha_ == getattr(theirs, "alpha_", getattr(theirs, "alpha", None))
    plain = nk.LinearRegressor(**ours, standardize=False).fit(ROWS, NUMBERS)
    np.testing.assert_allclose(plain.coef_, clone(theirs).fit(ROWS, NUMBERS).coef_, rtol=1e-6, atol=1e-9)


def test_contributions_add_up() -> None:
    model = nk.LinearRegressor().fit(TABLE, PROGRESS)
    assert model.base_ == pytest.approx(NUMBERS.mean())
    np.testing.assert_allclose(model.base_ + model.contributions(TABLE).sum(axis=1), model.predict(TABLE))
    (reasons,) = model.reasons(TABLE[:1], most=3)
    parts = model.contributions(TABLE[:1])[0]
    assert [each.what for each in reasons] == [TABLE.columns[i] for i in np.argsort(-np.abs(parts))[:3]]
    assert reasons[0].weight == pytest.approx(parts[np.argmax(np.abs(parts))] / np.abs(parts).sum())
    assert (reasons[0].label, reasons[0].distance) == (None, None)


def test_the_house_price() -> None:
    model = nk.LinearRegressor.from_weights(HOUSE, intercept=50_000)
    house = {"age": 5, "distance": 10, "bedrooms": 3, "sqft": 2000, "colour": "red"}
    assert model.predict(house).tolist() == [380_000]
    assert model.predict([house, {**house, "age": 6}]).tolist() == [380_000, 378_000]
    assert model.predict([[2000, 3, 5, 10]]).tolist() == [380_000]
    assert model.predict(pandas.DataFrame([house])).tolist() == [380_000]
    assert model.contributions(house).tolist() == [[300_000, 90_000, -10_000, -50_000]]
    shares = [(each.what, round(each.weight, 4)) for each in model.reasons(house)[0]]
    assert shares == [("sqft", 0.6667), ("bedrooms", 0.2), ("distance", -0.1111), ("age", -0.0222)]
    assert "distance" in str(model.weights())


def test_the_credit_score() -> None:
    weights = {"income": 0.002, "debt": -200, "history": 150, "utilization": -300}
    model = nk.LinearRegressor.from_weights(weights, 600)
    asked = {"income": 75_000, "debt": 0.3, "history": 0.95, "utilization": 0.25}
    assert model.predict(asked)[0] == pytest.approx(757.5, abs=1e-9)
    np.testing.assert_allclose(model.contributions(asked), [[150, -60, 142.5, -75]])


def test_given_weights_without_names() -> None:
    model = nk.LinearRegressor.from_weights([1.0, -2.0], 3)
    assert model.predict([[10, 1]]).tolist() == [11]
    assert model.weights().names == (0, 1)
    named = nk.LinearRegressor.from_weights(np.array([1.0, -2.0]), feature_names=["a", "b"])
    assert named.predict({"b": 1, "a": 10}).tolist() == [8]
    with pytest.raises(ValueError, match="X has 3 features"):
        model.predict([[1, 2, 3]])
    for given, wrong in [
        (([[1.0]],), r"weights have shape \(1, 1\)"),
        (([1.0], np.nan), "intercept is nan"),
        (([np.inf],), "1 of 1 weights are not finite"),
    ]:
        with pytest.raises(errors.ParameterError, match=wrong):
            nk.LinearRegressor.from_weights(*given)
    with pytest.raises(errors.ParameterError, match="feature_names has 1 names"):
        nk.LinearRegressor.from_weights([1.0, 2.0], feature_names=["a"])


def test_what_makes_weights_hard_to_read_is_said_and_nothing_else_is_heard() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 100))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nk.LinearRegressor().fit(np.c_[a, b], a + b + rng.normal(size=100)).warnings_ == []
        same = nk.LinearRegressor(feature_names=["m", "ft", "k"]).fit(np.c_[a, 3.28 * a, a * 0 + 1], a + b)
        assert same.warnings_ == [
            "1 of 3 columns is the same in every row and has no weight: k",
            "m and ft rise and fall together (correlation 1.000): how the weight is shared between them says nothing",
        ]
        cut = nk.LinearRegressor("lasso", alpha=1e-9, max_iter=1).fit(rng.normal(size=(60, 50)), rng.normal(size=60))
        assert any("not done after 1 iterations" in line for line in cut.warnings_)
        nothing = nk.LinearRegressor("lasso", alpha=1e3).fit(np.c_[a, b], a)
        assert nothing.warnings_ == ["all weights are 0: the prediction is the same for every row"]
        end = nk.LinearRegressor("ridge", alpha="auto").fit(np.c_[a, b], a)
        assert end.warnings_[-1] == "alpha=0.0001 is at the end of what was tried, 0.0001 to 1e+06"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "elastic"}, "method is 'elastic', one of ols, ridge, lasso expected"),
        ({"method": "ridge", "alpha": 0}, "alpha is 0, a number above 0 or 'auto' expected; without penalty: ols"),
        ({"method": "ridge", "alpha": "best"}, "alpha is 'best'"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"cv": 1}, "cv is 1"),
        (
            {"method": "lasso", "alpha": "auto", "cv": 500},
            "needs a row for each of the 500 folds, there are n_samples=442",
        ),
    ],
)
def test_what_is_wrong_is_said(given: Any, said: str) -> None:
    with pytest.raises(errors.ParameterError, match=said):
        nk.LinearRegressor(**given).fit(ROWS, NUMBERS)


def test_in_searches_copies_and_pickles() -> None:
    assert cross_val_score(nk.LinearRegressor("ridge", alpha="auto"), ROWS, NUMBERS, cv=3).mean() > 0.4
    assert GridSearchCV(nk.LinearRegressor("ridge"), {"alpha": [1, 10]}, cv=3).fit(ROWS, NUMBERS).best_score_ > 0.4
    model = nk.LinearRegressor().fit(TABLE, PROGRESS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(TABLE), model.predict(TABLE))
    assert not hasattr(clone(model), "coef_")


@pytest.mark.parametrize(
    "given", [{}, {"method": "ridge", "alpha": 3.0}, {"method": "lasso"}, {"method": "ridge", "alpha": "auto"}]
)
def test_without_an_intercept_zeros_get_0(given: Any) -> None:
    model = nk.LinearRegressor(**given, fit_intercept=False).fit(ROWS, NUMBERS)
    assert model.intercept_ == 0
    assert model.predict(np.zeros((1, ROWS.shape[1]))).tolist() == [0]
    theirs = model._solver(len(ROWS)).fit(ROWS / ROWS.std(axis=0), NUMBERS)
    np.testing.assert_allclose(model.predict(ROWS), theirs.predict(ROWS / ROWS.std(axis=0)), rtol=1e-9)


def test_what_scikit_learn_says_is_said_once() -> None:
    with pytest.raises(
        errors.ParameterError, match="alpha='auto' holds rows out and needs two or more, there are n_samples=1"
    ):
        nk.LinearRegressor("ridge", alpha="auto").fit([[1.0, 2.0]], [3.0])
    said = nk.LinearRegressor("ridge", alpha="auto").fit([[1.0, 2.0], [2.0, 1.0]], [3.0, 4.0]).warnings_
    assert len(said) == len(set(said))
