"""Scores, limits and bands beside numpy's, with ties, tiny clusters, weights, and new rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

import nearkin as nk
from nearkin.clustering.outliers import fences, weighted_quantile
from nearkin.errors import ParameterError, VectorError


def groups(sizes=(400, 200), seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(size, 3)) + 20 * at for at, size in enumerate(sizes)]).astype(np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_scores_are_distances_to_the_nearest_centroid_by_the_metric(metric):
    rows, new = groups() + 1, groups(seed=5)[::20] + 1.5
    found = nk.cluster(rows, 2, metric=metric)
    for given, scored in ((rows, found.outliers()), (new, found.outliers(new))):
        apart = found.metric.distances(given, found.centroids)
        np.testing.assert_allclose(scored.scores, apart.min(axis=1), rtol=1e-3, atol=1e-6)
        np.testing.assert_array_equal(scored.labels, apart.argmin(axis=1))


def test_limits_are_quantiles_of_the_clustered_rows_for_new_rows_too():
    found = nk.cluster(groups(), 2)
    distances = found.distances()
    wanted = np.quantile(distances, [0.9, 0.98], method="inverted_cdf")
    for vectors in (None, groups(seed=3)):
        outliers = found.outliers(vectors, warning=0.9, critical=0.98)
        np.testing.assert_allclose(outliers.limits, np.tile(wanted, (2, 1)))
    counts = found.outliers(warning=0.9, critical=0.98).counts
    assert counts == {"normal": 540, "warning": 48, "critical": 12}


def test_bands_rows_and_codes_say_the_same():
    outliers = nk.cluster(groups(), 2).outliers()
    limits = outliers.limits[outliers.labels]
    above = (outliers.scores[:, None] > limits).sum(axis=1)
    np.testing.assert_array_equal(outliers.codes, above)
    assert outliers.bands.tolist() == [("normal", "warning", "critical")[code] for code in above]
    rows = outliers.rows("critical")
    assert set(rows) == set(np.flatnonzero(above == 2))
    assert (np.diff(outliers.scores[rows]) <= 0).all()
    assert sum(len(outliers.rows(band)) for band in ("normal", "warning", "critical")) == 600
    with pytest.raises(ParameterError, match="band is 'bad'"):
        outliers.rows("bad")


def test_a_far_row_is_critical_and_a_near_one_normal():
    found = nk.cluster(groups(), 2)
    assert found.outliers([[0, 0, 0], [500, 0, 0]]).bands.tolist() == ["normal", "critical"]


def test_rows_that_tie_with_a_limit_are_not_beyond_it():
    found = nk.cluster([[1.0]] * 50 + [[2.0]] * 50, 1)
    assert found.outliers().counts == {"normal": 100, "warning": 0, "critical": 0}
    same = nk.cluster([[3.0]] * 10, 1)
    assert same.outliers().counts["normal"] == 10
    assert same.outliers([[3.0], [3.1]]).bands.tolist() == ["normal", "critical"]


def test_limits_by_cluster_are_its_own_where_it_has_the_rows():
    rows = np.concatenate(
        [groups((400,)), 5 * groups((150,), seed=1) + 200, groups((30,), seed=2) - 300, [[900, 0, 0]]]
    )
    start = [[0, 0, 0], [200, 200, 200], [-300, -300, -300], [900, 0, 0]]
    found = nk.cluster(rows, 4, init=start)
    outliers, shared = found.outliers(per_cluster=True), found.outliers()
    distances = found.distances()
    for cluster, quantiles in ((0, [0.95, 0.99]), (1, [0.95, 0.99]), (2, [0.95])):
        own = np.quantile(distances[found.labels == cluster], quantiles, method="inverted_cdf")
        np.testing.assert_allclose(outliers.limits[cluster][: len(own)], own)
    assert outliers.limits[2, 1] == shared.limits[0, 1]
    np.testing.assert_array_equal(outliers.limits[3], shared.limits[0])
    assert outliers.pooled == (2, 3)
    assert (outliers.limits[:, 0] <= outliers.limits[:, 1]).all()


def test_whole_weights_are_as_many_rows():
    rows = groups((60, 40))
    weights = np.random.default_rng(0).integers(0, 4, 100)
    start = rows[[0, -1]]
    weighted = nk.cluster(rows, 2, weights=weights, init=start)
    repeated = nk.cluster(np.repeat(rows, weights, axis=0), 2, init=start)
    for options in ({}, {"rule": "tukey"}):
        np.testing.assert_allclose(weighted.outliers(**options).limits, repeated.outliers(**options).limits, rtol=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.95, 0.99])
def test_quantiles_without_weights_are_those_of_numpy(share):
    for n in (1, 2, 20, 99, 100, 101):
        values = np.random.default_rng(n).normal(size=n)
        wanted = np.quantile(values, share, method="inverted_cdf")
        assert weighted_quantile(values, np.ones(n), share) == wanted


def test_fences_leave_rows_without_outliers_in_peace():
    rows = np.random.default_rng(0).uniform(size=(500, 2)).astype(np.float32)
    found = nk.cluster(rows, 1)
    assert found.outliers(rule="tukey").counts["normal"] == 500
    assert found.outliers().counts["critical"] == 5
    low, high = np.quantile(found.distances(), [0.25, 0.75], method="inverted_cdf")
    wanted = [high + 1.5 * (high - low), high + 3 * (high - low)]
    np.testing.assert_allclose(found.outliers(rule="tukey").limits[0], wanted)
    assert "Tukey" in found.outliers(rule="tukey").rule
    few = nk.cluster(groups((300, 10)), 2, init=[[0, 0, 0], [20, 20, 20]]).outliers(rule="tukey", per_cluster=True)
    assert few.pooled == (1,)


def test_fences_of_the_textbook():
    np.testing.assert_allclose(fences(np.arange(1.0, 101.0), np.ones(100)), [75 + 75, 75 + 150])


@pytest.mark.parametrize(
    "limits", [{"warning": 0.99, "critical": 0.9}, {"warning": 0.0}, {"critical": 1.0}, {"warning": float("nan")}]
)
def test_quantiles_out_of_order_or_range_are_refused(limits):
    with pytest.raises(ParameterError, match="0 < warning <= critical < 1 expected"):
        nk.cluster(groups(), 2).outliers(**limits)


def test_other_rules_and_bad_rows_are_refused():
    found = nk.cluster(groups(), 2)
    with pytest.raises(ParameterError, match="rule is 'sigma'"):
        found.outliers(rule="sigma")
    with pytest.raises(VectorError, match="NaN"):
        found.outliers([[1, 2, float("nan")]])
    with pytest.raises(VectorError, match="2 columns, 3 were clustered"):
        found.outliers([[1, 2]])


def test_it_is_json():
    made = json.loads(json.dumps(nk.cluster(groups(), 2).outliers([[0, 0, 0]], per_cluster=True).to_dict()))
    assert made["counts"] == {"normal": 1, "warning": 0, "critical": 0}
    assert made["bands"] == ["normal"]
