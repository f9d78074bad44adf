"""Methods side by side: the same objective for all, and a row for those that cannot or fail."""

from __future__ import annotations

import json

import numpy as np
import pytest

import nearkin as nk
from nearkin.centroids import Clusterer, Partition
from nearkin.errors import ParameterError, UnknownNameError, VectorError
from nearkin.hooks import ClustererSpec, hookimpl
from nearkin.registry import Registry, default_registry


def groups(seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(40, 3)) + at for at in (0, 8, 20)]).astype(np.float32) + 1


class Fails(Clusterer):
    """Raises in the middle."""

    name = "fails"

    def _fit(self, task):
        raise RuntimeError("no luck")


class Worst(Clusterer):
    """The first rows, whatever they are."""

    name = "worst"

    def _fit(self, task):
        return task.partition(task.vectors[: task.k].copy(), ended="one pass", notes=("did nothing",))


class Offers:
    """A plugin with both."""

    @hookimpl
    def nearkin_clusterers(self):
        return [
            ClustererSpec(name="fails", summary="For a test.", make=Fails),
            ClustererSpec(name="worst", summary="For a test.", make=Worst),
        ]


@pytest.fixture
def registry():
    made = Registry(strict=True)
    made.load_entry_points()
    made.register(Offers(), "test")
    return made


@pytest.mark.parametrize(("metric", "power"), [("euclidean", 2), ("manhattan", 1), ("cosine", 1), ("chebyshev", 1)])
def test_the_objective_is_the_same_for_all_methods(metric, power):
    rows = groups()
    able = [row for row in nk.compare_clusterers(rows, 3, metric=metric) if row.objective is not None]
    assert able
    for row in able:
        found = nk.cluster(rows, 3, method=row.method, metric=metric)
        nearest = found.metric.distances(rows, found.centroids).min(axis=1)
        factor = 2 if metric == "cosine" else 1  # squared distances of directions
        assert row.objective == pytest.approx(factor * (nearest**power).sum(), rel=1e-3), row.method
        assert row.silhouette.mean == pytest.approx(found.quality().silhouette.mean, abs=1e-6)
        assert row.seconds > 0
        assert row.peak_bytes is None or row.peak_bytes >= 0
        assert row.ended == found.ended


def test_every_method_has_a_row_and_the_best_comes_first(registry):
    rows = nk.compare_clusterers(groups(), 3, registry=registry)
    assert {row.method.partition(":")[0] for row in rows} == set(registry.names("clusterer"))
    objectives = [row.objective for row in rows if row.objective is not None]
    assert objectives == sorted(objectives)
    assert rows[len(objectives) - 1].method == "worst"
    assert rows[len(objectives) - 1].notes == ("did nothing",)
    (failed,) = [row for row in rows if row.error]
    assert (failed.method, failed.error, failed.objective) == ("fails", "RuntimeError: no luck", None)


def test_methods_that_are_not_right_under_the_metric_say_why():
    rows = {row.method.partition(":")[0]: row for row in nk.compare_clusterers(groups(), 3, metric="manhattan")}
    assert "not right under 'manhattan'" in rows["kmeans"].refused
    assert rows["kmeans"].objective is None
    assert rows["lloyd"].refused == ""
    refused = [row.refused != "" for row in nk.compare_clusterers(groups(), 3, metric="manhattan")]
    assert refused == sorted(refused)


def test_an_unknown_method_beside_others_is_a_row():
    rows = nk.compare_clusterers(groups(), 3, methods=["lloyd:init=random", "loyd", "lloyd:depth=3"])
    assert rows[0].method.startswith("lloyd:init=random")
    assert {row.method for row in rows if row.error} == {"loyd", "lloyd:depth=3"}


def test_what_no_method_can_do_is_raised():
    with pytest.raises(ParameterError, match="200 centroids asked of 120 rows"):
        nk.compare_clusterers(groups(), 200, methods=["lloyd", "kmeans"])
    with pytest.raises(VectorError, match="NaN"):
        nk.compare_clusterers([[float("nan")]], 1)
    with pytest.raises(UnknownNameError):
        nk.compare_clusterers(groups(), 2, metric="cosinus")
    with pytest.raises(UnknownNameError):
        nk.compare_clusterers(groups(), 2, methods=["loyd"])
    with pytest.raises(ParameterError, match="methods is empty"):
        nk.compare_clusterers(groups(), 2, methods=[])


def test_weights_and_options_reach_the_methods():
    rows, weights = groups(), np.random.default_rng(0).uniform(0, 2, 120)
    (row,) = nk.compare_clusterers(rows, 3, methods=["lloyd"], weights=weights, n_init=2, seed=5, silhouette=None)
    assert row.silhouette is None
    assert row.objective == pytest.approx(nk.cluster(rows, 3, weights=weights, n_init=2, seed=5).inertia, rel=1e-5)
    assert row.iterations == nk.cluster(rows, 3, weights=weights, n_init=2, seed=5).iterations
    (once,) = nk.compare_clusterers(rows, 3, methods=["lloyd:max_iter=1"], seed=5, silhouette=None)
    assert once.iterations == 1


def test_it_is_json():
    made = [row.to_dict() for row in nk.compare_clusterers(groups(), 2)]
    assert {row["method"].partition(":")[0] for row in json.loads(json.dumps(made))} == set(
        default_registry().names("clusterer")
    )


def test_a_partition_may_come_without_history(registry):
    (row,) = nk.compare_clusterers(groups(), 2, methods=["worst"], registry=registry)
    assert row.iterations is None
    assert isinstance(Worst().fit(groups(), 2), Partition)
