"""What the built-in learners are called, and what their options make."""

from __future__ import annotations

from typing import Any

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
    with pytest.raises(ParameterError, match="no option 'temprature'"):
        made("attention:temprature=2", "classes")
