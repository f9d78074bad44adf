"""Logistic regression against scikit-learn's, against numbers worked out by hand, and in what it says of itself."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import nearkin as nk
from nearkin import errors
from nearkin.learning.logistic_loss import log_loss_and_gradient

IRIS, SPECIES = load_iris(return_X_y=True)
KINDS = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
CANCER, BENIGN = load_breast_cancer(return_X_y=True)
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(300, 4)) * [1, 10, 0.1, 1] + [0, 50, 3, 0]
NOISY = (ROWS @ [1.0, 0.1, 5.0, 0] - 20 + RNG.logistic(size=300) > 0).astype(int)
SHUFFLED = np.random.default_rng(1).permutation(len(IRIS))


@pytest.mark.parametrize(
    "estimator",
    [
        nk.LogisticClassifier(),
        nk.LogisticClassifier(penalty="l1", standardize=False),
        nk.LogisticClassifier("auto", penalty="elastic"),
        nk.LogisticClassifier(solver="sgd"),
    ],
    ids=["l2", "l1", "auto", "sgd"],
)
def test_it_is_an_estimator_by_scikit_learns_own_checks(estimator: Any) -> None:
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    assert {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"} == {}
    assert len(results) > 50


@pytest.mark.parametrize(("penalty", "ratio"), [("l2", 0.0), ("l1", 1.0), ("elastic", 0.5)])
@pytest.mark.parametrize("C", [0.05, 2.0])
@pytest.mark.parametrize(("rows", "labels"), [(IRIS, KINDS), (CANCER[:, :6], BENIGN)], ids=["three", "two"])
def test_the_optimum_of_scikit_learn(
    penalty: Any, ratio: float, C: float, rows: np.ndarray, labels: np.ndarray
) -> None:
    ours = nk.LogisticClassifier(C, penalty=penalty, tol=1e-7, max_iter=5000).fit(rows, labels)
    theirs = LogisticRegression(
        C=C, l1_ratio=ratio, solver="saga" if ratio else "lbfgs", tol=1e-7, max_iter=20_000, random_state=0
    )
    theirs.fit(StandardScaler().fit_transform(rows), labels)
    np.testing.assert_allclose(ours.weights().per_step, theirs.coef_, atol=2e-3)
    scaled = StandardScaler().fit_transform(rows)
    np.testing.assert_allclose(ours.predict_proba(rows), theirs.predict_proba(scaled), atol=1e-3)
    np.testing.assert_allclose(ours.decision_function(rows), theirs.decision_function(scaled), atol=5e-3)
    if penalty == "l1":
        assert ((ours.coef_ == 0) == (theirs.coef_ == 0)).mean() > 0.9


def test_without_standardizing_it_is_scikit_learns_as_it_is() -> None:
    ours = nk.LogisticClassifier(0.7, standardize=False, tol=1e-7, max_iter=5000).fit(IRIS, KINDS)
    theirs = LogisticRegression(C=0.7, tol=1e-7, max_iter=5000).fit(IRIS, KINDS)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(ours.predict_log_proba(IRIS), np.log(theirs.predict_proba(IRIS)), atol=1e-2)
    plain = nk.LogisticClassifier(fit_intercept=False, standardize=False).fit(IRIS, KINDS)
    assert plain.intercept_.tolist() == [0, 0, 0]


@given(st.integers(0, 1000), st.sampled_from([2, 3, 5]))
@settings(max_examples=20, deadline=None)
def test_the_gradient_is_that_of_the_loss(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    rows, codes = rng.normal(size=(12, 3)), rng.integers(0, classes, 12)
    shape = (1 if classes == 2 else classes, 4)

    def loss(flat: np.ndarray) -> float:
        return log_loss_and_gradient(flat.reshape(shape), rows, codes)[0]

    def slope(flat: np.ndarray) -> np.ndarray:
        return log_loss_and_gradient(flat.reshape(shape), rows, codes)[1].ravel()

    assert check_grad(loss, slope, rng.normal(size=shape).ravel()) < 1e-5


def test_the_loss_curve_is_the_log_loss_on_the_way() -> None:
    model = nk.LogisticClassifier().fit(IRIS, KINDS)
    assert model.loss_curve_[0] == pytest.approx(np.log(3))
    assert model.loss_curve_[-1] == pytest.approx(log_loss(KINDS, model.predict_proba(IRIS)))
    assert len(model.loss_curve_) == model.n_iter_ + 1
    for stop in (1, 3, 7):
        cut = nk.LogisticClassifier(max_iter=stop).fit(IRIS, KINDS)
        assert cut.loss_curve_[-1] == pytest.approx(log_loss(KINDS, cut.predict_proba(IRIS)))
        np.testing.assert_allclose(cut.loss_curve_, model.loss_curve_[: stop + 1], rtol=1e-6)
        assert any(f"not done after {stop} iterations" in line for line in cut.warnings_)
    sparse = nk.LogisticClassifier(penalty="l1").fit(IRIS, KINDS)
    assert sparse.loss_curve_[-1] == pytest.approx(log_loss(KINDS, sparse.predict_proba(IRIS)))


def test_strength_by_cross_validation() -> None:
    model = nk.LogisticClassifier("auto", random_state=0).fit(CANCER, BENIGN)
    best = min(model.cv_losses_, key=lambda C: model.cv_losses_[C][0])
    assert best == model.C_
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"logisticregression__C": list(model.cv_losses_)},
        scoring="neg_log_loss",
        cv=5,
    ).fit(CANCER, BENIGN)
    theirs = dict(zip(model.cv_losses_, -search.cv_results_["mean_test_score"], strict=True))
    for C, (mean, error) in model.cv_losses_.items():
        assert abs(mean - theirs[C]) < 4 * error + 0.02
    again = nk.LogisticClassifier("auto", random_state=0).fit(CANCER, BENIGN)
    np.testing.assert_array_equal(again.coef_, model.coef_)
    again.set_params(C=1.0).fit(CANCER, BENIGN)
    assert not hasattr(again, "cv_losses_")


def test_weights_are_read_by_column() -> None:
    table = pandas.DataFrame(ROWS, columns=["small", "large", "tiny", "none"])
    model = nk.LogisticClassifier().fit(table, NOISY)
    weights = model.weights()
    assert weights.names == ("small", "large", "tiny", "none")
    assert weights["large"] == model.coef_[0, 1]
    np.testing.assert_allclose(weights.per_step, model.coef_ * ROWS.std(axis=0))
    assert weights.shares.sum() == pytest.approx(1)
    frame = weights.to_pandas()
    assert frame["column"].tolist()[-1] == "none"
    assert frame["share"].is_monotonic_decreasing
    np.testing.assert_allclose(frame["odds a step"], np.exp(frame["a step"]))
    text = str(weights).splitlines()
    assert text[0].split()[0] == "column"
    assert text[-1].startswith("a step is one standard deviation; weights speak for 1 and against 0; intercept -")
    assert "and 2 more" in weights.top(2)
    shuffled = model.weights()
    assert [shuffled.names[i] for i in shuffled.order()] == frame["column"].tolist()


def test_weights_of_several_labels() -> None:
    weights = nk.LogisticClassifier(feature_names=["sl", "sw", "pl", "pw"]).fit(IRIS, KINDS).weights()
    assert weights["pl"].shape == (3,)
    assert "a step for setosa" in str(weights)
    assert list(weights.to_pandas())[:2] == ["column", "weight a unit for setosa"]
    many = nk.LogisticClassifier().fit(RNG.normal(size=(80, 3)), np.arange(80) % 8)
    assert "most against" in str(many.weights())


@pytest.mark.parametrize("standardize", [True, False])
def test_the_distance_to_the_boundary_of_two_labels(standardize: bool) -> None:
    model = nk.LogisticClassifier(standardize=standardize).fit(ROWS, NOISY)
    distance = model.signed_distance(ROWS)
    assert ((distance > 0) == (model.predict(ROWS) == 1)).all()
    feet = ROWS - distance[:, None] * model.coef_ / np.linalg.norm(model.coef_)
    np.testing.assert_allclose(model.predict_proba(feet), 0.5, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(feet - ROWS, axis=1), np.abs(distance), rtol=1e-9)


def test_the_distance_to_the_nearest_boundary_of_three_labels() -> None:
    model = nk.LogisticClassifier(0.1).fit(IRIS, KINDS)
    distance, codes = model.signed_distance(IRIS), model.predict_proba(IRIS).argmax(axis=1)
    assert (distance >= 0).all()
    rng = np.random.default_rng(0)
    for row, apart, code in list(zip(IRIS, distance, codes, strict=True))[::10]:
        ways = rng.normal(size=(2000, 4))
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        assert (model.predict_proba(row + 0.999 * apart * ways).argmax(axis=1) == code).all()
        edges = [
            (model.coef_[code] - model.coef_[other]) / np.linalg.norm(model.coef_[code] - model.coef_[other])
            for other in range(3)
            if other != code
        ]
        beyond = [model.predict_proba([row - 1.001 * apart * edge]).argmax() != code for edge in edges]
        assert any(beyond)


def test_without_a_boundary_everything_is_infinitely_far() -> None:
    model = nk.LogisticClassifier().fit(np.ones((9, 2)), [0, 0, 1, 1, 1, 1, 1, 0, 1])
    assert model.signed_distance([[1, 1]]).tolist() == [np.inf]
    assert any("all weights are 0" in line or "the same in every row" in line for line in model.warnings_)


def test_contributions_are_the_lead_over_the_runner_up() -> None:
    model = nk.LogisticClassifier().fit(IRIS, KINDS)
    parts, centre = model.contributions(IRIS), IRIS.mean(axis=0)
    scores, base = model.decision_function(IRIS), model.decision_function([centre])[0]
    order = np.argsort(-scores, axis=1)
    index = np.arange(len(IRIS))
    lead = scores[index, order[:, 0]] - scores[index, order[:, 1]]
    np.testing.assert_allclose(parts.sum(axis=1), lead - (base[order[:, 0]] - base[order[:, 1]]), atol=1e-9)
    two = nk.LogisticClassifier().fit(ROWS, NOISY)
    signs = np.where(two.predict(ROWS) == 1, 1, -1)[:, None]
    np.testing.assert_allclose(two.contributions(ROWS), signs * (ROWS - ROWS.mean(axis=0)) * two.coef_)
    (reasons,) = two.reasons(ROWS[:1], most=2)
    assert [reason.what for reason in reasons] == np.argsort(-np.abs(two.contributions(ROWS[:1])[0]))[:2].tolist()
    assert sum(abs(each.weight) for each in two.reasons(ROWS[:1], most=9)[0]) == pytest.approx(1)


# ---- streams ---------------------------------------------------------------------------------------------------------


def stream_of(sizes: list[int], **given: Any) -> nk.LogisticClassifier:
    model = nk.LogisticClassifier(solver="sgd", random_state=0, **given)
    rows, labels, start = IRIS[SHUFFLED], KINDS[SHUFFLED], 0
    for size in sizes:
        model.partial_fit(rows[start : start + size], labels[start : start + size], classes=np.unique(KINDS))
        start += size
    return model


@given(st.lists(st.integers(1, 25), min_size=1, max_size=5), st.booleans(), st.sampled_from(["l2", "l1", "elastic"]))
@settings(max_examples=15, deadline=None)
def test_it_does_not_matter_how_a_stream_is_cut_after_its_first_batch(
    sizes: list[int], standardize: bool, penalty: Any
) -> None:
    one = stream_of([25, sum(sizes)], standardize=standardize, penalty=penalty, C=0.01)
    other = stream_of([25, *sizes], standardize=standardize, penalty=penalty, C=0.01)
    np.testing.assert_allclose(other.coef_, one.coef_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(other.intercept_, one.intercept_, rtol=1e-9, atol=1e-9)
    assert other.n_iter_ == 1 + len(sizes) == len(other.loss_curve_)


def test_batches_as_lists_arrays_and_tables_are_the_same() -> None:
    names = ["sl", "sw", "pl", "pw"]
    rows, labels = IRIS[SHUFFLED], KINDS[SHUFFLED]
    forms: list[Any] = [
        (rows, labels),
        (rows.tolist(), labels.tolist()),
        (pandas.DataFrame(rows, columns=names)[names[::-1]], pandas.Series(labels)),
        ([dict(zip(names, row, strict=True)) for row in rows.tolist()], labels),
    ]
    found = []
    for X, y in forms:
        model = nk.LogisticClassifier(solver="sgd", feature_names=names, random_state=0)
        found.append(model.partial_fit(X[:75], y[:75], classes=np.unique(KINDS)).partial_fit(X[75:], y[75:]).coef_)
    for each in found[1:]:
        np.testing.assert_allclose(each, found[0], rtol=1e-6)


def test_a_stream_learns_and_says_how_well() -> None:
    rng = np.random.default_rng(0)
    model = nk.LogisticClassifier(solver="sgd")
    for _ in range(40):
        rows = rng.normal(size=(50, 3))
        model.partial_fit(rows, rows @ [2.0, -1, 0] + rng.logistic(size=50) > 0, classes=[False, True])
    assert model.loss_curve_[0] == pytest.approx(np.log(2))
    assert model.loss_curve_[-10:].mean() < 0.55
    np.testing.assert_allclose(model.weights().per_step[0], [2, -1, 0], atol=0.4)
    assert model.warnings_ == []
    hasty = nk.LogisticClassifier(solver="sgd").partial_fit(IRIS[:4], SPECIES[:4], classes=[0, 1, 2])
    assert "the first batch, which had 4 rows" in hasty.warnings_[0]


def test_rounds_come_near_to_the_optimum() -> None:
    ours = nk.LogisticClassifier(solver="sgd", random_state=0).fit(CANCER, BENIGN)
    exact = nk.LogisticClassifier().fit(CANCER, BENIGN)
    assert ours.loss_curve_[-1] < exact.loss_curve_[-1] + 0.02
    assert ours.loss_curve_[-1] == pytest.approx(log_loss(BENIGN, ours.predict_proba(CANCER)))
    before = ours.coef_.copy()
    ours.partial_fit(CANCER[:50], BENIGN[:50])
    assert (ours.coef_ != before).any()
    cut = nk.LogisticClassifier(solver="sgd", max_iter=2).fit(CANCER, BENIGN)
    assert any("after 2 rounds" in line for line in cut.warnings_)


@pytest.mark.parametrize("penalty", ["l1", "elastic"])
@pytest.mark.parametrize(("rows", "labels"), [(ROWS, NOISY), (IRIS, KINDS)], ids=["two", "three"])
def test_rounds_with_l1_come_near_to_the_optimum_too(penalty: Any, rows: np.ndarray, labels: np.ndarray) -> None:
    given: dict[str, Any] = {"C": 0.1, "penalty": penalty}
    ours = nk.LogisticClassifier(solver="sgd", random_state=0, **given).fit(rows, labels)
    exact = nk.LogisticClassifier(**given).fit(rows, labels)
    assert ours.loss_curve_[-1] == pytest.approx(log_loss(labels, ours.predict_proba(rows)))
    assert abs(ours.loss_curve_[-1] - exact.loss_curve_[-1]) < (0.02 if rows is ROWS else 0.2)


def test_only_sgd_takes_streams() -> None:
    assert not hasattr(nk.LogisticClassifier(), "partial_fit")
    assert hasattr(nk.LogisticClassifier(solver="sgd"), "partial_fit")


# ---- what it says, and refuses ---------------------------------------------------------------------------------------


def said(rows: np.ndarray, labels: Any, names: list[str], **given: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return "\n".join(nk.LogisticClassifier(feature_names=names, **given).fit(rows, labels).warnings_)


def test_what_makes_weights_hard_to_read_is_said() -> None:
    a, b, c = np.random.default_rng(3).normal(size=(3, 200))
    noisy = (a + np.random.default_rng(4).logistic(size=200) > 0).astype(int)
    assert said(np.c_[a, b], noisy, ["a", "b"]) == ""
    assert "1 of 3 columns is the same in every row and has no weight: b" in said(
        np.c_[a, a * 0, c], noisy, ["a", "b", "c"]
    )
    assert "a and b rise and fall together (correlation 1.000)" in said(np.c_[a, 3 * a + 1, c], noisy, ["a", "b", "c"])
    assert "a and b rise and fall against each other" in said(np.c_[a, -a + 0.01 * b], noisy, ["a", "b"])
    assert "3 columns depend on each other exactly: a, b, c" in said(np.c_[a, b, a + b], noisy, ["a", "b", "c"])
    apart = said(np.c_[a, b], a > 0, ["a", "b"], C=1e4)
    assert "a boundary divides all 200 rows without error" in apart
    assert "1 of 2 columns is very large" in apart or "2 of 2 columns are very large" in apart
    assert "1 of 2 columns is next to nothing" in said(np.c_[a, b], noisy, ["a", "b"], C=0.05, penalty="l1")
    assert "there are 30 columns and 20 rows" in said(
        np.random.default_rng(0).normal(size=(20, 30)), np.arange(20) % 2, [f"c{i}" for i in range(30)]
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"C": 0}, "C is 0, a number above 0 or 'auto' expected"),
        ({"C": "best"}, "C is 'best'"),
        ({"penalty": "l3"}, "penalty is 'l3', one of l1, l2, elastic expected"),
        ({"solver": "adam"}, "solver is 'adam', one of lbfgs, sgd expected"),
        ({"solver": "sgd", "C": "auto"}, "C='auto' needs solver='lbfgs'"),
        ({"l1_ratio": 2}, "l1_ratio is 2"),
        ({"tol": 0}, "tol is 0"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"cv": 1}, "cv is 1"),
        ({"feature_names": ["a"]}, "feature_names has 1 names, and the rows have 4 columns"),
        ({"feature_names": ["a", "b", "a", "c"]}, "feature_names has 'a' twice"),
        ({"feature_names": "abcd"}, "feature_names is the text 'abcd'"),
    ],
)
def test_what_is_wrong_is_said(given: Any, said: str) -> None:
    with pytest.raises(errors.ParameterError, match=said):
        nk.LogisticClassifier(**given).fit(IRIS, KINDS)


def test_labels_that_cannot_be_learned_from() -> None:
    with pytest.raises(
        errors.ParameterError,
        match="y has one class, the same label in every row, and there is nothing to tell it from",
    ):
        nk.LogisticClassifier().fit([[0.0], [1.0]], ["a", "a"])
    with pytest.raises(errors.ParameterError, match="C='auto' holds rows of every label out, and one label has 1 row"):
        nk.LogisticClassifier("auto").fit([[0.0], [1.0], [2.0]], ["a", "a", "b"])
    model = nk.LogisticClassifier(solver="sgd")
    with pytest.raises(errors.ParameterError, match="classes must be passed on the first call"):
        model.partial_fit([[0.0], [1.0]], ["a", "b"])
    with pytest.raises(errors.ParameterError, match="classes has one class"):
        model.partial_fit([[0.0]], ["a"], classes=["a"])
    model.partial_fit([[0.0], [1.0]], ["a", "b"], classes=["a", "b"])
    with pytest.raises(errors.ParameterError, match=r"label 'c' is not among the classes \['a', 'b'\]"):
        model.partial_fit([[0.0]], ["c"])
    with pytest.raises(errors.ParameterError, match=r"were .* at the first call"):
        model.partial_fit([[0.0]], ["a"], classes=["a", "b", "c"])


def test_records_are_read_by_name() -> None:
    names = ["small", "large", "tiny", "none"]
    records = [dict(zip(names, row, strict=True)) for row in ROWS.tolist()]
    model = nk.LogisticClassifier(feature_names=names).fit(records, NOISY)
    np.testing.assert_array_equal(
        model.predict([dict(reversed(each.items())) for each in records]), model.predict(ROWS)
    )
    fitted = nk.LogisticClassifier().fit(pandas.DataFrame(ROWS, columns=names), NOISY)
    np.testing.assert_array_equal(fitted.predict(records), model.predict(ROWS))
    with pytest.raises(errors.ParameterError, match="the columns have no names"):
        nk.LogisticClassifier().fit(records, NOISY)
    with pytest.raises(errors.VectorError, match="row 1 has no column 'tiny'"):
        model.predict([records[0], {"small": 1, "large": 2, "none": 0}])
    with pytest.raises(errors.VectorError, match="column 'small' of row 0 is 'x', a number expected"):
        model.predict({**records[0], "small": "x"})
    with pytest.raises(errors.VectorError, match="row 1 is a int, a mapping like row 0 expected"):
        model.predict([records[0], 3])
    with pytest.raises(errors.VectorError, match="the table has no column 'none'"):
        model.predict(pandas.DataFrame(ROWS[:, :3], columns=names[:3]))


def test_given_weights() -> None:
    model = nk.LogisticClassifier.from_weights({"debt": -2.0, "income": 0.5}, 1.0, classes=("bad", "good"))
    odds = np.exp(1 - 2 * 0.5 + 0.5 * 3)
    probability = model.predict_proba({"income": 3, "debt": 0.5})[0, 1]
    assert probability == pytest.approx(odds / (1 + odds))
    assert model.predict(pandas.DataFrame({"income": [3.0, 0.0], "debt": [0.5, 4.0]})).tolist() == ["good", "bad"]
    assert model.weights().shares is None
    assert "a unit" in str(model.weights())
    assert model.reasons([[4.0, 1.0]])[0][0].what == "debt"
    three = nk.LogisticClassifier.from_weights(np.eye(3), [0, 0, 1], classes=["a", "b", "c"])
    np.testing.assert_allclose(three.predict_proba([[0, 0, 0]])[0], np.exp([0, 0, 1]) / (2 + np.e))
    for arguments, wrong in [
        (({"a": 1.0}, [0.0, 1.0]), "2 labels need weights of 1 rows and as many intercepts, got 1 and 2"),
        (([np.nan],), "1 of 1 weights are not finite"),
        (({"a": "x"},), "numbers expected"),
        (([],), "weights have shape"),
        (([1.0], np.nan), "intercept is nan, finite numbers expected"),
        (([1.0], "x"), "intercept is 'x', numbers expected"),
        (([1.0], [[0.0], [1.0, 2.0]]), "numbers expected"),
    ]:
        with pytest.raises(errors.ParameterError, match=wrong):
            nk.LogisticClassifier.from_weights(*arguments)
    with pytest.raises(errors.ParameterError, match="two or more different labels in order"):
        nk.LogisticClassifier.from_weights([1.0], classes=("b", "a"))


def test_in_pipelines_searches_copies_and_pickles() -> None:
    assert cross_val_score(make_pipeline(StandardScaler(), nk.LogisticClassifier()), CANCER, BENIGN, cv=3).mean() > 0.95
    search = GridSearchCV(nk.LogisticClassifier(), {"C": [0.1, 1], "penalty": ["l1", "l2"]}, cv=3).fit(IRIS, KINDS)
    assert search.best_score_ > 0.9
    model = nk.LogisticClassifier(solver="sgd").fit(IRIS, KINDS)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(IRIS), model.predict_proba(IRIS))
    assert not hasattr(clone(model), "classes_")


def test_scores_beyond_floats_stay_probabilities() -> None:
    model = nk.LogisticClassifier.from_weights([1e5])
    np.testing.assert_array_equal(model.predict_proba([[-1.0], [1.0]]), [[1, 0], [0, 1]])
    assert model.predict_log_proba([[1.0]])[0].tolist() == [-np.inf, 0] or model.predict_log_proba([[1.0]])[0, 1] == 0


def test_predictions_are_those_of_what_was_fitted_whatever_is_set_later() -> None:
    for solver, other in [("lbfgs", "sgd"), ("sgd", "lbfgs")]:
        model = nk.LogisticClassifier(solver=solver).fit(IRIS, KINDS)
        before = model.predict_proba(IRIS)
        np.testing.assert_array_equal(model.set_params(solver=other).predict_proba(IRIS), before)
