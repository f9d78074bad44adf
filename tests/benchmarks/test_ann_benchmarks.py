"""The module for ann-benchmarks, beside a stand-in for what it inherits there, on every setting of its own config."""

from __future__ import annotations

import importlib
import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "benchmarks" / "ann_benchmarks"

BASE = """
class BaseANN:
    def done(self):
        pass

    def set_query_arguments(self):
        pass
"""


@pytest.fixture(scope="module")
def nearkin_class(tmp_path_factory):
    """The constructor, imported as a module of ann-benchmarks is."""
    home = tmp_path_factory.mktemp("ann")
    algorithms = home / "stand_in_for_ann" / "algorithms"
    (algorithms / "base").mkdir(parents=True)
    (algorithms / "base" / "module.py").write_text(BASE)
    shutil.copytree(FOLDER, algorithms / "nearkin", ignore=shutil.ignore_patterns("__pycache__"))
    sys.path.insert(0, str(home))
    try:
        yield importlib.import_module("stand_in_for_ann.algorithms.nearkin.module").Nearkin
    finally:
        sys.path.remove(str(home))


def settings():
    """(kind, constructor arguments, query arguments) as the runner makes them of config.yml, the first and last of each."""
    config = yaml.safe_load((FOLDER / "config.yml").read_text())
    for kind, metrics in config.items():
        for (definition,) in metrics.values():
            assert definition["constructor"] == "Nearkin"
            assert definition["module"] == "ann_benchmarks.algorithms.nearkin"
            for group in definition["run_groups"].values():
                asked = list(itertools.product(*group["query_args"]))
                for options in group["arg_groups"]:
                    yield kind, options, [asked[0], asked[-1]]


def truth(vectors, queries, metric, k):
    """Brute force in float64."""
    if metric == "hamming":
        values = (queries[:, None, :] != vectors[None]).sum(axis=2)
    elif metric == "angular":
        values = 1 - (queries @ vectors.T) / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(vectors, axis=1)
    else:
        values = np.linalg.norm(queries[:, None, :] - vectors[None], axis=2)
    return np.argsort(values, axis=1, kind="stable")[:, :k], np.sort(values, axis=1)[:, :k], values


@pytest.mark.parametrize("metric", ["euclidean", "angular", "hamming"])
def test_every_setting_of_the_config(nearkin_class, metric):
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(600, 16)), rng.normal(size=(12, 16))
    if metric == "hamming":
        vectors, queries = rng.random((600, 64)) < 0.5, rng.random((12, 64)) < 0.5
    nearest, ordered, values = truth(vectors, queries, metric, 10)
    kinds = 0
    for kind, options, asked in settings():
        if (kind == "bit") != (metric == "hamming"):
            continue
        kinds += 1
        algorithm = nearkin_class(metric, options)
        algorithm.fit(vectors)
        for arguments in asked:
            algorithm.set_query_arguments(*arguments)
            assert all(f"={value}" in str(algorithm) for value in arguments)
            single = [algorithm.query(query, 10) for query in queries]
            algorithm.batch_query(queries, 10)
            batch = algorithm.get_batch_results()
            for one, other in zip(single, batch, strict=True):
                assert one.tolist() == other.tolist()
                assert len(set(one.tolist())) == len(one)
                assert len(one) == 0 or one.min() >= 0
        # at the largest parameters, everything but what the codes blur: ties may stand in for each other
        found = np.take_along_axis(values, np.stack(batch), axis=1)
        assert (found <= ordered[:, -1:] + 1e-6).mean() > 0.95
        if options["plan"] == "flat":
            assert np.array_equal(np.stack(batch), nearest)
        assert algorithm.get_additional()["nearkin_bytes"] > 0
        algorithm.done()
    assert kinds == (2 if metric == "hamming" else 4)


def test_fewer_found_than_asked_are_given_without_padding(nearkin_class):
    algorithm = nearkin_class("euclidean", {"plan": "ivf8", "search": ["nprobe"]})
    algorithm.fit(np.random.default_rng(0).normal(size=(64, 4)))
    algorithm.set_query_arguments(1)
    algorithm.batch_query(np.zeros((3, 4)), 60)
    assert all(0 < len(row) < 60 and row.min() >= 0 for row in algorithm.get_batch_results())


def test_the_wrong_number_of_query_arguments_is_an_error(nearkin_class):
    with pytest.raises(ValueError):
        nearkin_class("euclidean", {"plan": "ivf", "search": ["nprobe"]}).set_query_arguments(1, 2)
