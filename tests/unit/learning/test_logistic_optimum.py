"""Where logistic regression ends: at the optimum whatever C, penalty and the columns' units; else it says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import nearkin as nk
from nearkin import errors
from nearkin.learning.logistic_loss import descend, log_loss_and_gradient

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(300, 4))
NOISY = (ROWS @ [1, 1, 0.5, 0] + RNG.logistic(size=300) > 0).astype(int)
APART = (ROWS[:, 0] + 0.3 * ROWS[:, 1] > 0.1).astype(int)
DIGITS, NUMERALS = load_digits(return_X_y=True)


def objective(model: nk.LogisticClassifier, rows: np.ndarray, labels: np.ndarray, ratio: float = 0.0) -> float:
    """scikit-learn's, over C · n, from the fitted weights."""
    codes = np.searchsorted(model.classes_, labels)
    loss = log_loss_and_gradient(np.c_[model.coef_, model.intercept_], rows, codes)[0]
    weights = model.weights().per_step if model.standardize else model.coef_
    penalty = (1 - ratio) / 2 * (weights**2).sum() + ratio * np.abs(weights).sum()
    return float(loss + penalty / (model.C_ * len(rows)))


def by_newton(rows: np.ndarray, codes: np.ndarray, outputs: int, C: float) -> np.ndarray:
    """The optimum by Newton's method, which needs no tolerance: from a small C to the one that is asked for."""
    wide, shape = np.c_[rows, np.ones(len(rows))], (outputs, rows.shape[1] + 1)
    held = np.tile([1.0] * rows.shape[1] + [0.0], outputs)
    weights = np.zeros(shape)
    for strength in np.geomspace(1.0, C, 40):
        for _ in range(10):
            slope = (
                log_loss_and_gradient(weights, rows, codes)[1].ravel() * len(rows) + held * weights.ravel() / strength
            )
            scores = wide @ weights.T if outputs > 1 else np.c_[np.zeros(len(rows)), wide @ weights[0]]
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            bend = -shares[:, :, None] * shares[:, None, :]
            for code in range(shares.shape[1]):
                bend[:, code, code] = shares[:, code] * (shares.sum(axis=1) - shares[:, code])
            bend = bend if outputs > 1 else bend[:, 1:, 1:]
            curves = np.einsum("ipq,ij,ik->pjqk", bend, wide, wide).reshape(slope.size, slope.size)
            weights = weights - (np.linalg.pinv(curves + np.diag(held / strength), hermitian=True) @ slope).reshape(
                shape
            )
    return np.asarray(weights[:, :-1])


def unfinished(model: nk.LogisticClassifier) -> list[str]:
    return [line for line in model.warnings_ if "not done" in line]


@pytest.mark.parametrize("C", [1e2, 1e6, 1e10])
@pytest.mark.parametrize("several", [False, True])
def test_a_boundary_without_error_has_the_weights_of_its_C(C: float, several: bool) -> None:
    labels = APART + (ROWS[:, 0] + 0.3 * ROWS[:, 1] > 2) if several else APART
    model = nk.LogisticClassifier(C, max_iter=5000).fit(ROWS, labels)
    assert unfinished(model) == []
    theirs = by_newton(StandardScaler().fit_transform(ROWS), np.asarray(labels), 3 if several else 1, C)
    found = model.weights().per_step
    np.testing.assert_allclose(found, theirs, atol=0.02 * np.abs(theirs).max())
    assert any(f"is due to C={C:g}" in line for line in model.warnings_)


def test_weights_that_C_alone_holds_grow_with_it() -> None:
    sizes = [np.linalg.norm(nk.LogisticClassifier(C).fit(ROWS, APART).coef_) for C in (1e6, 1e8, 1e10)]
    assert sizes[1] > 1.2 * sizes[0]
    assert sizes[2] > 1.2 * sizes[1]


def test_several_labels_with_a_large_C_come_to_the_optimum() -> None:
    model = nk.LogisticClassifier(100.0).fit(DIGITS, NUMERALS)
    assert unfinished(model) == []
    assert objective(model, DIGITS, NUMERALS) * 100 * len(DIGITS) == pytest.approx(616.47, rel=0.01)
    model.set_params(tol=1e-6).fit(DIGITS, NUMERALS)
    assert objective(model, DIGITS, NUMERALS) * 100 * len(DIGITS) == pytest.approx(616.47, rel=1e-4)


@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic"])
@pytest.mark.parametrize("factor", [1e-3, 1e7, 1e12])
def test_without_standardizing_the_unit_of_a_column_does_not_matter_to_the_way(penalty: Any, factor: float) -> None:
    ratio = {"l2": 0.0, "l1": 1.0, "elastic": 0.5}[penalty]
    rows = ROWS * [factor, 1, 1, 1] + [0, 0, 30, 0]
    model = nk.LogisticClassifier(0.3, penalty=penalty, standardize=False).fit(rows, NOISY)
    assert unfinished(model) == []
    scaled, units = rows * [1 / factor, 1, 1, 1] - [0, 0, 30, 0], np.array([factor, 1, 1, 1])

    def value(halves: np.ndarray) -> float:
        weights = halves[:4] - halves[4:8]
        sizes, squares = (halves[:8] / np.tile(units, 2)).sum(), ((weights / units) ** 2).sum()
        loss = log_loss_and_gradient(np.array([[*weights, halves[8]]]), scaled, NOISY)[0]
        return float(loss + ((1 - ratio) / 2 * squares + ratio * sizes) / (0.3 * len(rows)))

    least = minimize(
        value, np.zeros(9), bounds=[(0, None)] * 8 + [(None, None)], options={"maxiter": 5000, "ftol": 1e-14}
    )
    assert objective(model, rows, NOISY, ratio) == pytest.approx(least.fun, rel=2e-4)


@pytest.mark.parametrize("given", [{"penalty": "l1"}, {"C": 1e6}, {}])
def test_a_way_that_was_cut_is_not_done(given: Any) -> None:
    model = nk.LogisticClassifier(**{"C": 1e4, **given}, max_iter=3).fit(ROWS, APART)
    assert unfinished(model) == ["the solver was not done after 3 iterations: raise max_iter"]


def test_what_floats_cannot_tell_any_better_is_done_or_said() -> None:
    tight = nk.LogisticClassifier(1e14, tol=1e-12).fit(ROWS, NOISY)
    assert tight.n_iter_ < 500
    assert unfinished(tight) in (
        [],
        [f"the solver was not done after {tight.n_iter_} iterations: floats tell no more, raise tol or lower C"],
    )


def test_losses_of_rows_that_are_sure_keep_their_digits() -> None:
    rows, codes = np.array([[40.0], [-40.0]]), np.array([1, 0])
    for weights in (np.array([[1.0, 0.0]]), np.array([[-0.5, 0.0], [0.5, 0.0]])):
        loss, slope = log_loss_and_gradient(weights, rows, codes)
        assert loss == pytest.approx(np.exp(-40), rel=1e-9)
        assert slope[-1, 0] == pytest.approx(-40 * np.exp(-40), rel=1e-9)


def test_the_way_may_begin_at_its_end() -> None:
    found = descend(ROWS, NOISY, 2, C=1.0, tol=1e-6)
    again = descend(ROWS, NOISY, 2, C=1.0, tol=1e-4, start=found.weights)
    assert again.converged
    assert again.iterations <= 1
    np.testing.assert_allclose(again.weights, found.weights, atol=1e-4)


# ---- without an intercept --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_without_an_intercept_zeros_are_on_the_boundary(solver: Any) -> None:
    rows = ROWS + 5
    for labels in (NOISY, NOISY + (ROWS[:, 2] > 1)):
        model = nk.LogisticClassifier(fit_intercept=False, solver=solver).fit(rows, labels)
        assert not model.intercept_.any()
        np.testing.assert_allclose(model.decision_function(np.zeros((1, 4))), 0)
        if solver == "lbfgs":
            theirs = LogisticRegression(fit_intercept=False, tol=1e-8, max_iter=5000).fit(
                rows / rows.std(axis=0), labels
            )
            np.testing.assert_allclose(model.weights().per_step, theirs.coef_, atol=5e-3)
    stream = nk.LogisticClassifier(fit_intercept=False, solver="sgd").partial_fit(rows, NOISY, classes=[0, 1])
    assert stream.intercept_.tolist() == [0]
    auto = nk.LogisticClassifier("auto", fit_intercept=False).fit(rows, NOISY)
    assert auto.intercept_.tolist() == [0]


def test_without_an_intercept_a_constant_column_is_one() -> None:
    model = nk.LogisticClassifier(fit_intercept=False).fit(np.c_[ROWS, np.ones(300)], ROWS[:, 0] > 0.7)
    assert model.coef_[0, 4] < -0.5
    assert not any("has no weight" in line for line in model.warnings_)


# ---- columns beyond floats -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator", [nk.LogisticClassifier(), nk.LogisticClassifier(solver="sgd"), nk.LinearRegressor()]
)
@pytest.mark.parametrize("factor", [1e160, 1e-170])
def test_columns_beyond_floats_are_refused(estimator: Any, factor: float) -> None:
    with pytest.raises(
        errors.ParameterError, match=r"the largest number of column 1 is \S+, and one from 1e-100 to 1e\+100"
    ):
        estimator.fit(ROWS * [1, factor, 1, 1], NOISY)


@pytest.mark.parametrize("factor", [1e90, 1e-90])
def test_columns_within_them_are_learned_from(factor: float) -> None:
    plain = nk.LogisticClassifier().fit(ROWS, NOISY)
    model = nk.LogisticClassifier().fit(ROWS * factor, NOISY)
    np.testing.assert_allclose(model.predict_proba(ROWS * factor), plain.predict_proba(ROWS), atol=1e-6)
    np.testing.assert_allclose(model.signed_distance(ROWS * factor), plain.signed_distance(ROWS) * factor, rtol=1e-4)
    assert model.warnings_ == plain.warnings_
    numbers = ROWS @ [1.0, 2, 3, 4]
    assert nk.LinearRegressor().fit(ROWS * factor, numbers).score(ROWS * factor, numbers) > 0.999


def test_a_column_that_differs_by_rounding_is_the_same_in_every_row() -> None:
    rounded = 1e8 + 1e-8 * np.round(ROWS[:, 3])
    said = nk.LogisticClassifier().fit(np.c_[ROWS[:, :3], rounded], NOISY).warnings_
    assert [line for line in said if "column" in line] == [
        "1 of 4 columns is the same in every row and has no weight: 3"
    ]
