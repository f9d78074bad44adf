"""Formulas with mistakes, wrong arguments and fits that fail are refused in plain words; the rest means what Python means."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import ParameterError, PluginContractError


def no_return(a, b):
    if a[0] > b[0]:
        return 1.0


def writes(a, b):
    a[0] = 5.0
    return 1.0


@pytest.mark.parametrize(
    ("function", "words"),
    [(no_return, "does not return a number on every path"), (writes, r"at `a\[0\] = .*`: rows are read-only")],
)
def test_common_mistakes_are_said_before_anything_is_built(function, words):
    with pytest.raises(PluginContractError, match=words):
        nk.build(np.eye(3), metric=nk.metric("mistaken")(function))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": no_return}, r'write @nearkin.metric\("my-metric"\)'),
        ({"name": "My Metric"}, "'My Metric' is not a name"),
        ({"name": "../../evil"}, "is not a name"),
        ({"name": "x", "dtype": "float64"}, "dtype 'float64', 'float32' or 'bits' expected"),
        ({"name": "x", "fit": 5}, "fit=5, a function"),
        ({"name": "x", "axioms": "symmetric"}, "axioms='symmetric', a set"),
        ({"name": "x", "axioms": None}, "axioms=None, a set"),
        ({"name": "x", "axioms": [1]}, "'1' is not an axiom"),
    ],
)
def test_wrong_arguments_of_metric_are_refused(arguments, words):
    with pytest.raises(ParameterError, match=words):
        nk.metric(**arguments)


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (lambda rows: None, "gave object of shape"),
        (lambda rows: np.array(["x"]), "array of finite numbers expected"),
        (lambda rows: rows[0] * np.nan, "array of finite numbers expected"),
        (lambda rows: 1 / 0, "failed on 3 rows: ZeroDivisionError"),
        (lambda rows: rows.__setitem__(0, 0), "read-only"),
    ],
)
def test_a_fit_that_goes_wrong_is_said(fit, words):
    metric = nk.metric("fitted", fit=fit)(lambda_free_weighted)
    with pytest.raises(PluginContractError, match=words):
        nk.build(np.eye(3), metric=metric)


def lambda_free_weighted(a, b, params):
    return params[0] * abs(a[0] - b[0])


def test_parameters_of_other_types_mean_the_same():
    both = np.random.default_rng(3).normal(size=(90, 4)).astype(np.float32)
    rows, queries = both[:80], both[80:]
    found = [
        nk.build(
            rows, metric=nk.metric("fitted", fit=lambda given, kind=kind: np.full(2, 3, kind))(lambda_free_weighted)
        )
        .search(queries, 5)
        .distances
        for kind in ("f4", ">f4", "f2", ">i8", "f8")
    ]
    for each in found[1:]:
        np.testing.assert_allclose(each, found[0], rtol=1e-6)


SCALE = 2.0


def test_a_number_of_the_module_that_changed_is_seen(monkeypatch):
    def scaled(a, b):
        return SCALE * abs(a[0] - b[0])

    assert nk.build([[1.0]], metric=nk.metric("scaled")(scaled)).search([[2.0]], 1).distances.tolist() == [[2.0]]
    monkeypatch.setitem(globals(), "SCALE", 10.0)
    assert nk.build([[1.0]], metric=nk.metric("scaled")(scaled)).search([[2.0]], 1).distances.tolist() == [[10.0]]


def test_attributes_are_no_globals_and_functions_of_math_may_be_imported(monkeypatch):
    monkeypatch.setitem(globals(), "shape", (3, 4))
    monkeypatch.setitem(globals(), "root", math.sqrt)

    def rooted(a, b):
        return root(np.sqrt(abs(a.shape[0] - b[0])))  # noqa: F821

    assert nk.build([[1.0]], metric=nk.metric("rooted")(rooted)).search([[17.0]], 1).distances.tolist() == [[0.0]]


def test_wrapped_functions_and_constants_beyond_float32_are_refused():
    def doubled(function):
        @functools.wraps(function)
        def inner(a, b):
            return 2 * function(a, b)

        return inner

    with pytest.raises(ParameterError, match="is wrapped by a decorator"):
        nk.metric("x")(doubled(no_return))

    def tiny(a, b):
        return abs(a[0] - b[0]) / 1e-300

    with pytest.raises(ParameterError, match="constant 1e-300 is 0 in float32"):
        nk.metric("x")(tiny)


def test_reading_beyond_the_rows_is_refused():
    @nk.metric("one-too-far")
    def one_too_far(a, b):
        total = 0.0
        for i in range(a.shape[0]):
            total += abs(a[i] - b[i + 1])
        return total

    with pytest.raises(
        PluginContractError, match="reads beyond its arrays for rows of 3 columns: index 3 is out of bounds"
    ):
        nk.build(np.eye(3), metric=one_too_far)

    @nk.metric("short-params", fit=lambda rows: rows[0, :2])
    def short_params(a, b, params):
        total = 0.0
        for i in range(a.shape[0]):
            total += params[i] * abs(a[i] - b[i])
        return total

    with pytest.raises(PluginContractError, match=r"rows of 3 columns and parameters of shape \(2,\)"):
        nk.build(np.eye(3), metric=short_params)


def test_a_number_of_a_function_that_is_called_is_seen_too(monkeypatch):
    def calls(a, b):
        return by_scale(abs(a[0] - b[0]))

    assert nk.build([[1.0]], metric=nk.metric("calls")(calls)).search([[2.0]], 1).distances.tolist() == [[2.0]]
    monkeypatch.setitem(globals(), "SCALE", 10.0)
    assert nk.build([[1.0]], metric=nk.metric("calls")(calls)).search([[2.0]], 1).distances.tolist() == [[10.0]]


def by_scale(x):
    return x * SCALE


def test_a_metric_asked_for_by_another_of_its_names_opens_its_collection(tmp_path):
    nk.build(np.eye(3), metric="l2").save(tmp_path / "kept")
    for name in ("l2", "euclidean"):
        with nk.open(tmp_path / "kept", metric=name) as kept:
            assert kept.search(np.eye(3), 1).ids.ravel().tolist() == [0, 1, 2]
