"""What the built-in learners are called, and what their options make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.datasets import load_diabetes, load_digits

import nearkin as nk
from nearkin.components import read_params
from nearkin.errors import ParameterError
from nearkin.hooks import LearnerSpec
from nearkin.registry import default_registry

NAMES = ("knn", "centroid", "attention")


def made(text: str, task: str) -> Any:
    registry = default_registry()
    part = registry.parse("learner", text)
    spec = registry.resolve("learner", part.name)
    return registry.build(spec, task, params=read_params(spec, part))


@pytest.mark.parametrize("name", NAMES)
def test_every_example_learns_every_task(name: str) -> None:
    spec = default_registry().resolve("learner", name)
    assert isinstance(spec, LearnerSpec)
    for task in spec.tasks:
        rows, targets = (load_digits if task == "classes" else load_diabetes)(return_X_y=True)
        for params in spec.examples:
            model = default_registry().build(spec, task, params=dict(params)).fit(rows[:200], targets[:200])
            assert (is_classifier if task == "classes" else is_regressor)(model)
            assert model.predict(rows[200:210]).shape == (10,)
            assert len(model.reasons(rows[200:203], most=2)) == 3


def test_options_as_they_are_written() -> None:
    assert repr(made("attention0:temperature=0.05", "classes")) == repr(nk.AttentionClassifier(None, temperature=0.05))
    assert repr(made("attention:temperature=sqrt:heads=2", "numbers")) == repr(
        nk.AttentionRegressor(temperature="sqrt", heads=2)
    )
    assert repr(made("centroid:per_class=auto", "classes")) == repr(nk.CentroidClassifier("auto"))
    assert repr(made("centroid3", "classes")) == repr(nk.CentroidClassifier(3))
    assert repr(made("knn7:weights=distance", "numbers")) == repr(nk.KNNRegressor(7, weights="distance"))
    assert repr(made("knn:weights=softmax:temperature=0.5", "classes")) == repr(
        nk.KNNClassifier(weights="softmax", temperature=0.5)
    )
    assert repr(made("logistic:C=auto", "classes")) == repr(nk.LogisticClassifier("auto"))
    assert repr(made("logistic:C=0.5", "classes")) == repr(nk.LogisticClassifier(0.5))
    assert repr(made("linear", "numbers")) == repr(nk.LinearRegressor("ridge", alpha="auto"))
    assert repr(made("linear:method=lasso:alpha=2", "numbers")) == repr(nk.LinearRegressor("lasso", alpha=2.0))
    with pytest.raises(ParameterError, match="C is 'best', a number above 0 or 'auto' expected"):
        made("logistic:C=best", "classes").fit([[0.0], [1.0]], ["a", "b"])
    with pytest.raises(ParameterError, match="no option 'temprature'"):
        made("attention:temprature=2", "classes")


@pytest.mark.parametrize(("few", "rows"), [(1, "1 row"), (2, "2 rows")])
def test_a_machine_with_probabilities_says_what_labels_it_needs(few: int, rows: str) -> None:
    labels = np.array(["many"] * 9 + ["few"] * few)
    table = np.random.default_rng(0).normal(size=(len(labels), 2))
    with pytest.raises(ParameterError, match=f"probabilities of svm are calibrated in 3 folds, and a label has {rows}"):
        made("svm:probabilities=true", "classes").fit(table, labels)
    three = np.r_[np.repeat("many", 9), np.repeat("few", 3)]
    table = np.random.default_rng(0).normal(size=(12, 2))
    assert made("svm:probabilities=true", "classes").fit(table, three).predict_proba(table).shape == (12, 2)
