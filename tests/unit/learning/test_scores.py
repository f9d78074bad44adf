"""Scores against scikit-learn, intervals against simulations, paired tests against formulas of SciPy and of the papers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from nearkin.learning import paired_tests, score_intervals
from nearkin.learning.calibration_error import calibration_error
from nearkin.learning.paired_tests import corrected_resampled_t, holm, mcnemar
from nearkin.learning.score_intervals import area, scores_by_class, scores_of_classes, scores_of_numbers
from nearkin.learning.scores import class_scores, confidences, confusion_matrix, number_scores, reliability, roc_auc


def drawn(seed: int, n: int = 120, classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return truth, probabilities.argmax(axis=1), probabilities


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(12, 80))
@settings(deadline=None, max_examples=40)
def test_scores_are_scikit_learns(seed: int, classes: int, n: int) -> None:
    truth, predicted, probabilities = drawn(seed, n, classes)
    found = class_scores(truth, predicted, classes, probabilities)
    every = {"average": "macro", "zero_division": 0}
    there = np.bincount(truth, minlength=classes) > 0
    recalls = metrics.recall_score(truth, predicted, labels=np.flatnonzero(there), average=None, zero_division=0)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["balanced accuracy"] == pytest.approx(recalls.mean())
    assert found["precision"] == pytest.approx(metrics.precision_score(truth, predicted, **every))
    assert found["recall"] == pytest.approx(metrics.recall_score(truth, predicted, **every))
    assert found["F1"] == pytest.approx(metrics.f1_score(truth, predicted, **every))
    assert found["log-loss"] == pytest.approx(metrics.log_loss(truth, probabilities, labels=range(classes)))
    if there.all():
        given_ = probabilities[:, 1] if classes == 2 else probabilities
        assert found["ROC-AUC"] == pytest.approx(metrics.roc_auc_score(truth, given_, multi_class="ovr"))
    else:
        assert found["ROC-AUC"] is None


def test_a_probability_of_zero_is_as_bad_as_in_scikit_learn() -> None:
    truth, sure = np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]])
    assert class_scores(truth, np.array([1, 1]), 2, sure)["log-loss"] == pytest.approx(metrics.log_loss(truth, sure))


def test_without_probabilities_three_scores_are_not_defined() -> None:
    truth, predicted, _ = drawn(0)
    found = scores_of_classes(truth, predicted, 3, None)
    assert [name for name, value in found.items() if value is None] == ["ROC-AUC", "log-loss", "calibration error"]


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.52, 0.48]])
    labels = np.array([0, 1, 0, 0])
    # two bins: |0.5 - 0.95| for two rows, |1 - 0.535| for the two others
    assert calibration_error(*confidences(labels, probabilities), bins=10) == pytest.approx((2 * 0.45 + 2 * 0.465) / 4)
    bins = reliability(labels, probabilities, bins=10)
    assert [(each.rows, each.accuracy) for each in bins] == [(2, 1.0), (2, 0.5)]
    assert bins[1].confidence == pytest.approx(0.95)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_numbers_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=40)
    predicted = truth + rng.normal(size=40)
    found = number_scores(truth, predicted)
    assert found["MAE"] == pytest.approx(metrics.mean_absolute_error(truth, predicted))
    assert found["RMSE"] == pytest.approx(metrics.root_mean_squared_error(truth, predicted))
    assert found["R2"] == pytest.approx(metrics.r2_score(truth, predicted))
    assert number_scores(np.ones(3), np.zeros(3))["R2"] is None


# ---- intervals -------------------------------------------------------------------------------------------------------


def test_the_value_of_the_bootstrap_on_the_rows_themselves_is_the_score() -> None:
    """What is drawn is scored by the same formulas: a draw that is the rows as they are gives their scores."""
    truth, predicted, _ = drawn(3, 90, 4)
    confusion = confusion_matrix(truth, predicted, 4)
    as_drawn = tuple(each[None, :] for each in (confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)))
    found = class_scores(truth, predicted, 4)
    for name, value in score_intervals._macro(as_drawn).items():
        assert value[0] == pytest.approx(found[name])


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_the_sums_that_are_drawn_again_give_the_calibration_error(seed: int) -> None:
    truth, _, probabilities = drawn(seed)
    rounded = np.round(probabilities, 1)  # on the edges of bins
    for each in (probabilities, rounded):
        sums = np.abs(score_intervals._gaps(truth, each).sum(axis=0)).sum() / len(truth)
        assert sums == pytest.approx(calibration_error(*confidences(truth, each)))


def population(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes, and a model that is too sure of itself."""
    truth = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    logits = 1.8 * (rng.normal(size=(n, 3)) + 1.1 * np.eye(3)[truth])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return truth, probabilities.argmax(axis=1), probabilities


def test_intervals_of_labels_cover_the_true_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_intervals, "DRAWS", 300)  # enough, and quick
    rng = np.random.default_rng(0)
    truth, predicted, probabilities = population(rng, 200_000)
    exact = class_scores(truth, predicted, 3, probabilities)
    runs, inside = 100, dict.fromkeys(exact, 0)
    for _ in range(runs):
        truth, predicted, probabilities = population(rng, 250)
        for name, score in scores_of_classes(truth, predicted, 3, probabilities, seed=1).items():
            assert score is not None
            inside[name] += score.low <= (exact[name] or 0) <= score.high
    shares = {name: count / runs for name, count in inside.items()}
    assert min(shares.values()) >= 0.89, shares
    assert shares["F1"] < 1  # an interval that holds everything says nothing


def test_calibrated_probabilities_are_seldom_called_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_intervals, "DRAWS", 200)
    rng, told = np.random.default_rng(8), 0
    for _ in range(100):
        probabilities = rng.dirichlet([1, 1, 1], 150)
        truth = (rng.random((150, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 2)
        score = scores_of_classes(truth, probabilities.argmax(axis=1), 3, probabilities)["calibration error"]
        assert score is not None
        told += score.low > 0
    assert told <= 11
    sure = np.eye(3)[truth] * 0.4 + 0.2  # always right, and sure of it at 0.6
    score = scores_of_classes(truth, truth, 3, sure)["calibration error"]
    assert score is not None
    assert score.low > 0.3


def test_rows_of_different_folds_are_not_compared() -> None:
    rng = np.random.default_rng(9)
    truth, folds = rng.integers(0, 2, 200), np.arange(200) % 4
    scores = np.round(rng.normal(size=200) + truth, 1)
    inside = [(metrics.roc_auc_score(truth[folds == each], scores[folds == each])) for each in range(4)]
    pairs = [truth[folds == each].sum() * (1 - truth[folds == each]).sum() for each in range(4)]
    moved = scores + 10 * folds  # the models differ in level
    found = area(truth, np.column_stack([-moved, moved]), folds)
    whole = area(truth, np.column_stack([-scores, scores]))
    assert found is not None
    assert whole is not None
    assert found.value == pytest.approx(np.average(inside, weights=pairs))
    assert found.high - found.low == pytest.approx(whole.high - whole.low, rel=0.15)
    assert area(truth, np.column_stack([-scores, scores]), np.arange(200)) is None


def test_one_probability_for_all_orders_nothing() -> None:
    found = area(np.arange(60) % 2, np.full((60, 2), 0.5))
    assert found is not None
    assert (found.value, found.low < 0.45, found.high > 0.55, found.low > 0.2) == (0.5, True, True, True)


def test_intervals_of_numbers_cover_the_true_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_intervals, "DRAWS", 300)
    rng = np.random.default_rng(1)

    def sample(n: int) -> tuple[np.ndarray, np.ndarray]:
        truth = rng.normal(3, 2, n)
        return truth, 3 + 0.6 * (truth - 3) + rng.normal(0, 1, n)

    exact = number_scores(*sample(400_000))
    runs, inside = 100, dict.fromkeys(exact, 0)
    for _ in range(runs):
        for name, score in scores_of_numbers(*sample(200), seed=1).items():
            assert score is not None
            inside[name] += score.low <= (exact[name] or 0) <= score.high
    shares = {name: count / runs for name, count in inside.items()}
    assert min(shares.values()) >= 0.88, shares
    assert min(shares.values()) < 1


def test_the_area_of_two_classes_has_delongs_variance() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 80)
    scores = np.round(rng.normal(size=80) + truth, 1)  # with ties
    ones, others = scores[truth == 1], scores[truth == 0]
    wins = (ones[:, None] > others) + 0.5 * (ones[:, None] == others)
    variance = wins.mean(axis=1).var(ddof=1) / len(ones) + wins.mean(axis=0).var(ddof=1) / len(others)
    both = np.column_stack([-scores, scores])
    found, value = area(truth, both), wins.mean()
    assert found is not None
    assert found.value == pytest.approx(value)
    assert found.value == pytest.approx(roc_auc(truth, both))
    reach = stats.norm.ppf(0.975) * np.sqrt(variance) / (value * (1 - value))
    ends = [1 / (1 + np.exp(-(np.log(value / (1 - value)) + side * reach))) for side in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(ends, rel=1e-4)


def test_the_area_of_several_classes_spreads_as_its_interval_says() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(200):
        truth, _, probabilities = population(rng, 200)
        found.append(area(truth, probabilities))
    values = np.array([each.value for each in found if each is not None])
    reaches = np.array([(each.high - each.low) / 2 / 1.96 for each in found if each is not None])
    assert np.median(reaches) == pytest.approx(values.std(), rel=0.15)


def test_no_score_is_known_to_a_point() -> None:
    truth = np.arange(30) % 3
    sure = np.eye(3)[truth]
    found = scores_of_classes(truth, truth, 3, sure)
    for name in ("accuracy", "balanced accuracy", "F1", "ROC-AUC"):
        score = found[name]
        assert score is not None
        assert (score.value, score.high) == (1.0, 1.0)
        assert score.low < 0.95
    by_class = scores_by_class(truth, truth, np.array(["a", "b", "c"]))
    assert all(each.f1.low < 0.9 and each.rows == 10 for each in by_class)


def test_a_label_that_is_never_predicted() -> None:
    truth, predicted = np.array([0] * 20 + [1] * 5), np.zeros(25, dtype=int)
    _, never = scores_by_class(truth, predicted, np.array(["a", "b"]))
    assert (never.precision.value, never.precision.low, never.precision.high) == (0.0, 0.0, 1.0)
    assert (never.recall.value, never.f1.value) == (0.0, 0.0)


# ---- paired tests ----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(deadline=None, max_examples=60)
def test_mcnemar_is_a_binomial_test_of_the_rows_that_differ(pairs: list[tuple[bool, bool]]) -> None:
    one, other = np.array(pairs).T
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    if first + second == 0:
        assert mcnemar(one, other) == 1.0
        return
    assert mcnemar(one, other) == pytest.approx(stats.binomtest(first, first + second).pvalue)


def test_methods_that_are_equally_good_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(5)
    p_values = [mcnemar(*(rng.random((2, 200)) < 0.7)) for _ in range(400)]
    assert np.mean(np.array(p_values) < 0.05) < 0.06


def test_the_corrected_t_is_that_of_nadeau_and_bengio() -> None:
    differences = np.array([0.3, 0.1, 0.25, 0.2, 0.4])
    value, reach = corrected_resampled_t(differences, 20, 80)
    t = differences.mean() / np.sqrt((1 / 5 + 20 / 80) * differences.var(ddof=1))
    assert value == pytest.approx(2 * stats.t.sf(t, 4))
    assert reach == pytest.approx(stats.t.ppf(0.975, 4) * differences.mean() / t)
    # without the correction it is the usual test
    assert corrected_resampled_t(differences, 0, 80)[0] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert corrected_resampled_t(np.zeros(5), 1, 4) == (1.0, 0.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(deadline=None, max_examples=60)
def test_holm_step_by_step(p_values: list[float]) -> None:
    """Rejected at a level are those that the procedure of the paper rejects at it, one after the other."""
    found = holm(p_values)
    for level in (0.01, 0.05, 0.3):
        rejected: set[int] = set()
        for rank, at in enumerate(np.argsort(p_values, kind="stable").tolist()):
            if p_values[at] * (len(p_values) - rank) > level:
                break
            rejected.add(at)
        assert {at for at, value in enumerate(found) if value <= level} == rejected


def test_a_gain_is_positive_where_the_method_is_better() -> None:
    rng = np.random.default_rng(6)
    right, worse = rng.random(300) < 0.9, rng.random(300) < 0.6
    found = paired_tests.compare_labels("b", right, worse)
    assert found.difference == pytest.approx(right.mean() - worse.mean())
    assert found.low > 0
    assert found.certain
    folds = np.arange(300) % 5
    numbers = paired_tests.compare_numbers("b", rng.random(300), 4 + rng.random(300), folds)
    assert numbers.low > 3
    assert numbers.certain
