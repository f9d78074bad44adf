"""Temperature against an optimizer of scipy on all rows and labels, and calibration errors against loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from nearkin import errors
from nearkin.learning.calibration_error import calibration_bins, calibration_error
from nearkin.learning.temperature_scaling import TemperatureScaling, fit_temperature


def simulated(rng: np.random.Generator, rows: int, labels: int, heat: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose logits are `heat` times too large, and labels drawn from the true ones."""
    logits = rng.normal(size=(rows, labels)) * 2
    codes = np.array([rng.choice(labels, p=each) for each in softmax(logits, axis=1)])
    return softmax(logits * heat, axis=1), codes


@pytest.mark.parametrize(("labels", "heat"), [(2, 3.0), (7, 0.4), (20, 1.0)])
def test_the_optimum_of_scipy(labels: int, heat: float) -> None:
    given_, codes = simulated(np.random.default_rng(labels), 2000, labels, heat)

    def loss(scale: np.ndarray) -> float:
        logs = log_softmax(np.log(given_) / np.exp(scale[0]), axis=1)
        return float(-logs[np.arange(2000), codes].sum())

    fitted = fit_temperature(given_, codes)
    wanted = float(np.exp(minimize(loss, [0.0], method="Nelder-Mead").x[0]))
    assert fitted.temperature == pytest.approx(wanted, rel=0.01)
    assert fitted.temperature == pytest.approx(heat, rel=0.15)
    assert fitted.smoothing == 0


def test_the_optimum_of_scipy_with_zeros() -> None:
    rng = np.random.default_rng(3)
    true, codes = simulated(rng, 1500, 6, 1.0)
    votes = np.stack([np.bincount(rng.choice(6, 5, p=each), minlength=6) for each in true]) / 5

    def loss(both: np.ndarray) -> float:
        share = 1 / (1 + np.exp(-both[1]))
        logs = log_softmax(np.log((1 - share) * votes + share / 6) / np.exp(both[0]), axis=1)
        return float(-logs[np.arange(1500), codes].sum() + both[0] ** 2 / 2 - np.log(share))

    fitted = fit_temperature(votes, codes)
    best = minimize(loss, [0.0, -2.0], method="Nelder-Mead").fun
    found = loss(np.array([np.log(fitted.temperature), np.log(fitted.smoothing / (1 - fitted.smoothing))]))
    assert found == pytest.approx(best, rel=1e-3)
    assert np.isfinite(fitted.apply(votes)).all()


def test_labels_keep_their_order_and_few_rows_claim_no_certainty() -> None:
    votes = np.array([[0.0, 0.4, 0.6], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    applied = TemperatureScaling(0.5, 0.1).apply(votes)
    np.testing.assert_allclose(applied.sum(axis=1), 1)
    assert applied[0, 0] < applied[0, 1] < applied[0, 2]
    assert applied[1, 0] == applied[1, 1]
    assert applied.argmax(axis=1).tolist() == votes.argmax(axis=1).tolist()
    sure = fit_temperature(np.tile([[0.9, 0.1]], (10, 1)), np.zeros(10, int)).apply(np.array([[0.9, 0.1]]))
    assert 0.9 < sure[0, 0] < 0.999
    unanimous = fit_temperature(np.tile([[1.0, 0.0]], (10, 1)), np.zeros(10, int)).apply(np.array([[1.0, 0.0]]))
    assert 0.9 < unanimous[0, 0] < 0.999


def test_calibration_makes_probabilities_true() -> None:
    given_, codes = simulated(np.random.default_rng(5), 6000, 5, 4.0)
    fitted = fit_temperature(given_[:3000], codes[:3000])
    asked, right = given_[3000:], given_[3000:].argmax(axis=1) == codes[3000:]
    before = calibration_error(asked.max(axis=1), right)
    after = calibration_error(fitted.apply(asked).max(axis=1), right)
    assert before > 0.1 > 0.03 > after


@pytest.mark.parametrize("binning", ["width", "mass"])
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_bins_hold_every_row_once(binning: Any, rows: list[tuple[float, bool]], bins: int) -> None:
    stated, right = np.array([each for each, _ in rows]), np.array([each for _, each in rows])
    found = calibration_bins(stated, right, bins=bins, binning=binning)
    assert found.rows.sum() == len(rows)
    assert len(found.rows) <= bins
    assert (found.low <= found.stated + 1e-12).all()
    assert (found.stated <= found.high + 1e-12).all()
    if binning == "width":
        place = [
            next(at for at in range(bins) if each <= np.linspace(0, 1, bins + 1)[at + 1] or at == bins - 1)
            for each in stated
        ]
        gaps = [
            abs(np.sum(stated[np.equal(place, at)]) - np.sum(right[np.equal(place, at)])) for at in sorted(set(place))
        ]
        assert calibration_error(stated, right, bins=bins) == pytest.approx(sum(gaps) / len(rows), abs=1e-12)
    assert 0 <= calibration_error(stated, right, bins=bins, binning=binning, debiased=True) <= 1


def test_chance_is_taken_off() -> None:
    rng, plain, debiased = np.random.default_rng(0), [], []
    for _ in range(50):
        stated = rng.random(300)
        right = rng.random(300) < stated
        plain.append(calibration_error(stated, right))
        debiased.append(calibration_error(stated, right, debiased=True))
    assert np.mean(debiased) < 0.75 * np.mean(plain)


@pytest.mark.parametrize(
    ("stated", "right", "more", "said"),
    [
        ([], [], {}, "there are no rows"),
        ([0.5], [1], {}, "shapes"),
        ([0.5, 0.6], [True], {}, "shapes"),
        ([1.5], [True], {}, "outside 0 to 1"),
        ([float("nan")], [True], {}, "outside 0 to 1"),
        ([0.5], [True], {"bins": 0}, "bins is 0"),
        ([0.5], [True], {"binning": "round"}, "one of width, mass"),
    ],
)
def test_what_cannot_be_measured(stated: Any, right: Any, more: Any, said: str) -> None:
    with pytest.raises(errors.InputError, match=said):
        calibration_error(stated, np.array(right, dtype=bool) if not right or right[0] is True else right, **more)


@pytest.mark.parametrize(
    ("given_", "codes", "said"),
    [
        (np.ones((2, 2)), [0], "shapes"),
        (-np.ones((1, 2)), [0], "below 0"),
        (np.full((1, 2), np.nan), [0], "not finite"),
        (np.ones((1, 2)), [2], "whole numbers from 0 to 1"),
        (np.ones((1, 2)), [0.5], "whole numbers from 0 to 1"),
    ],
)
def test_probabilities_that_are_none(given_: Any, codes: Any, said: str) -> None:
    with pytest.raises(errors.InputError, match=said):
        fit_temperature(given_, codes)
