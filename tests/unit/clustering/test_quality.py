"""Measures of a clustering beside scikit-learn's, and the sampled silhouette beside the exact one."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import nearkin as nk
from nearkin.centroids import Partition
from nearkin.clustering import silhouettes as module
from nearkin.clustering.silhouettes import Labelled, exact_silhouette, sampled_silhouette, student_quantile
from nearkin.errors import ParameterError
from nearkin.metrics import Cosine, Euclidean, SquaredEuclidean, unit_rows

METRICS = {"euclidean": "euclidean", "sqeuclidean": "sqeuclidean", "cosine": "cosine", "manhattan": "manhattan"}
"""The same distance here and in scikit-learn."""


def groups(n=300, dim=4, k=3, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    centres = 4 * rng.normal(size=(k, dim))
    return (centres[rng.integers(0, k, n)] + rng.normal(size=(n, dim)) + shift).astype(np.float32)


def labelled(rows, labels, metric=None, mass=None, threads=1):
    k = int(labels.max()) + 1
    metric = metric or Euclidean()
    return Labelled(metric.prepare(rows), labels, np.ones(len(rows)) if mass is None else mass, k, metric, threads)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_silhouette_and_its_clusters_are_those_of_scikit_learn(metric, shift):
    from sklearn.metrics import silhouette_samples

    rows = groups(shift=shift)
    found = nk.cluster(rows, 5, metric=metric, seed=1)
    silhouette = found.quality("exact").silhouette
    values = silhouette_samples(rows.astype(np.float64), found.labels, metric=METRICS[metric])
    # directions of rows so far out are all but the same, and float32 rounds them
    tolerance = 0.02 if metric == "cosine" and shift else 1e-5
    assert silhouette.mean == pytest.approx(values.mean(), abs=tolerance)
    assert (silhouette.low, silhouette.high, silhouette.rows, silhouette.exact) == (
        silhouette.mean,
        silhouette.mean,
        300,
        True,
    )
    wanted = [values[found.labels == cluster].mean() for cluster in range(5)]
    np.testing.assert_allclose(silhouette.clusters, wanted, atol=tolerance)


def test_groups_far_apart_and_far_out_do_not_cancel():
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(50, 8)) + at for at in (-1e4, 1e4, 1e4 + 6)]).astype(np.float32)
    labels = np.repeat([0, 1, 2], 50)
    wanted = silhouette_score(rows.astype(np.float64), labels)
    assert exact_silhouette(labelled(rows, labels)).mean == pytest.approx(wanted, abs=1e-5)
    wanted = silhouette_score(rows.astype(np.float64), labels, metric="sqeuclidean")
    assert exact_silhouette(labelled(rows, labels, SquaredEuclidean())).mean == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("far", [0.0, 1e6, 1e12])
@pytest.mark.parametrize("shift", [0.0, 2000.0])
def test_a_cluster_far_away_costs_the_others_no_digits(far, shift):
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(50, 4)) + at for at in (0, 4, 1000 * far)]).astype(np.float32)
    rows = np.float32(1e-3) * (rows + np.float32(shift))
    labels = np.repeat([0, 1, 2], 50)
    wanted = silhouette_score(rows.astype(np.float64), labels, metric="sqeuclidean")
    assert exact_silhouette(labelled(rows, labels, SquaredEuclidean())).mean == pytest.approx(wanted, abs=1e-9)


def test_a_distance_that_is_no_multiple_of_squares_is_summed_pair_by_pair():
    class Capped(SquaredEuclidean):
        """A multiple of squares but for a short way."""

        def finish(self, values):
            squares = np.maximum(values, 0)
            return np.where((squares > 2) & (squares < 2.1), 2.1, squares)

    rows = unit_rows(groups(60))
    data = labelled(rows, np.arange(60) % 3, Capped())
    assert data.squares_factor is None
    assert replace(data, metric=SquaredEuclidean()).squares_factor == 1
    assert labelled(rows, np.arange(60) % 3, Cosine()).squares_factor == 0.5


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("block", [7, 1000])
def test_blocks_and_threads_change_nothing(metric, block, monkeypatch):
    found = nk.cluster(groups(200), 4, metric=metric, seed=0)
    data = module.Labelled(found.prepared, found.labels, found.mass, 4, found.metric)
    whole = exact_silhouette(data).mean
    monkeypatch.setattr(module, "BLOCK_PAIRS", block)
    assert exact_silhouette(data).mean == pytest.approx(whole, abs=1e-12)
    assert exact_silhouette(replace(data, threads=2)).mean == pytest.approx(whole, abs=1e-12)


def test_a_row_alone_has_silhouette_zero_and_equal_rows_do_too():
    rows, labels = np.float32([[0], [1], [9]]), np.array([0, 0, 1])
    found = exact_silhouette(labelled(rows, labels))
    assert found.clusters[1] == 0
    for metric in (Euclidean(), SquaredEuclidean()):
        equal = np.full((6, 2), 0.1, np.float32)
        same = labelled(equal, np.repeat([0, 1], 3), metric, np.array([0.3, 1.1, 0.7, 2.3, 0.9, 1.3]))
        assert exact_silhouette(same).mean == 0


def test_small_weights_all_the_same_change_nothing_and_rows_of_weight_zero_are_as_good_as_absent():
    rows, labels = groups(120), np.arange(120) % 3
    plain = exact_silhouette(labelled(rows, labels)).mean
    assert exact_silhouette(labelled(rows, labels, mass=np.full(120, 0.4))).mean == pytest.approx(plain, abs=1e-12)
    mass = np.ones(120)
    mass[::4] = 0
    without = exact_silhouette(labelled(rows[mass > 0], labels[mass > 0])).mean
    for metric in (Euclidean(), SquaredEuclidean()):
        wanted = exact_silhouette(labelled(rows[mass > 0], labels[mass > 0], metric)).mean
        assert exact_silhouette(labelled(rows, labels, metric, mass)).mean == pytest.approx(wanted, abs=1e-12)
    assert sampled_silhouette(labelled(rows, labels, mass=mass), 0).mean == pytest.approx(without, abs=1e-12)


def test_weighted_silhouettes_are_those_of_the_formula():
    rng = np.random.default_rng(0)
    rows, labels, mass = groups(40), rng.integers(0, 3, 40), rng.uniform(0.1, 3, 40)
    apart = np.linalg.norm(rows[:, None].astype(np.float64) - rows, axis=2)
    values = []
    assert mass.min() < 1 < mass.max()
    for i in range(40):
        others = np.arange(40) != i
        mean = {c: np.average(apart[i][others & (labels == c)], weights=mass[others & (labels == c)]) for c in range(3)}
        rest = mass[others & (labels == labels[i])].sum()
        a = mean[labels[i]] * rest / (rest + max(0, mass[i] - 1))
        b = min(value for c, value in mean.items() if c != labels[i])
        values.append((b - a) / max(a, b))
    wanted = np.average(values, weights=mass)
    assert exact_silhouette(labelled(rows, labels, mass=mass)).mean == pytest.approx(wanted, abs=1e-9)


def unequal(n=4000, seed=0):
    """Large clusters beside two small ones, not well apart."""
    rng = np.random.default_rng(seed)
    sizes = [n - 60, 40, 20]
    rows = np.concatenate([rng.normal(size=(size, 3)) + at for size, at in zip(sizes, (0, 3, 5), strict=True)])
    labels = np.repeat([0, 1, 2], sizes)
    large = np.flatnonzero(labels == 0)
    labels[large[rows[large, 0] > 0]] = 3
    return rows.astype(np.float32), labels


def test_a_sample_is_unbiased_and_its_interval_covers():
    rows, labels = unequal()
    data = labelled(rows, labels)
    exact = exact_silhouette(data).mean
    drawn = [sampled_silhouette(data, seed, rows=200) for seed in range(200)]
    means = np.array([each.mean for each in drawn])
    assert abs(means.mean() - exact) < 4 * means.std() / np.sqrt(200)
    covered = np.mean([each.low <= exact <= each.high for each in drawn])
    assert 0.9 <= covered <= 0.99
    assert all(not each.exact and None not in each.clusters and each.rows >= 200 for each in drawn)
    assert np.mean([each.high - each.low for each in drawn]) < 0.2


def test_a_sample_with_weights_is_unbiased_and_its_interval_covers():
    rows, labels = unequal(1500)
    data = labelled(rows, labels, mass=np.random.default_rng(1).uniform(0.2, 5, 1500))
    exact = exact_silhouette(data).mean
    drawn = [sampled_silhouette(data, seed, rows=150) for seed in range(200)]
    means = np.array([each.mean for each in drawn])
    assert abs(means.mean() - exact) < 4 * means.std() / np.sqrt(200) + 1e-3
    assert 0.9 <= np.mean([each.low <= exact <= each.high for each in drawn]) <= 0.995


def test_rows_compared_with_a_sample_of_rows_give_nearly_the_same():
    rows, labels = unequal()
    data = labelled(rows, labels)
    exact = exact_silhouette(data).mean
    means = [sampled_silhouette(data, seed, rows=300, work=300 * 3 * 500.0).mean for seed in range(40)]
    assert abs(np.mean(means) - exact) < 0.01
    assert len(set(means)) == 40


def test_a_sample_of_all_rows_is_exact():
    rows, labels = unequal(300)
    data = labelled(rows, labels)
    drawn = sampled_silhouette(data, 0, rows=300)
    assert drawn.exact
    assert (drawn.low, drawn.high) == (drawn.mean, drawn.mean)
    assert drawn.mean == pytest.approx(exact_silhouette(data).mean, abs=1e-12)


@pytest.mark.parametrize("metric", [Euclidean(), Cosine()])
def test_memory_is_bounded(metric):
    rows = groups(6000, 8)
    data = labelled(rows, np.arange(6000) % 4, metric)
    tracemalloc.start()
    try:
        exact_silhouette(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30e6  # all pairs would be 288 MB


def test_auto_is_exact_for_few_rows_and_where_no_pairs_are_needed(monkeypatch):
    rows = groups(400)
    assert nk.cluster(rows, 3).quality().silhouette.exact
    monkeypatch.setattr(module, "EXACT_ROWS", 300)
    monkeypatch.setattr(module, "SAMPLED_ROWS", 100)
    assert not nk.cluster(rows, 3).quality().silhouette.exact
    assert nk.cluster(rows, 3, metric="cosine").quality().silhouette.exact
    assert nk.cluster(rows, 3).quality("exact").silhouette.exact
    assert nk.cluster(rows, 3).quality(None).silhouette is None
    first, again, other = (nk.cluster(rows, 3).quality(seed=seed).silhouette for seed in (1, 1, 2))
    assert first == again != other


def test_indices_are_those_of_scikit_learn():
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

    rows = groups(shift=100)
    for seed, options in ((0, {}), (1, {"max_iter": 1, "init": "random"})):
        found = nk.cluster(rows, 6, seed=seed, n_init=1, **options)
        quality = found.quality()
        plain = rows.astype(np.float64)
        assert quality.davies_bouldin == pytest.approx(davies_bouldin_score(plain, found.labels), rel=1e-5)
        assert quality.calinski_harabasz == pytest.approx(calinski_harabasz_score(plain, found.labels), rel=1e-6)


def test_sums_of_squares_are_those_of_their_definition_and_add_up():
    rows = groups(shift=1e4)
    weights = np.random.default_rng(0).uniform(0, 2, len(rows))
    found = nk.cluster(rows, 4, weights=weights)
    quality, plain = found.quality(), rows.astype(np.float64)
    means = np.stack(
        [np.average(plain[found.labels == c], axis=0, weights=weights[found.labels == c]) for c in range(4)]
    )
    centre = np.average(plain, axis=0, weights=weights)
    assert quality.wcss == pytest.approx((weights * ((plain - means[found.labels]) ** 2).sum(axis=1)).sum())
    assert quality.tss == pytest.approx((weights * ((plain - centre) ** 2).sum(axis=1)).sum())
    assert quality.bcss == pytest.approx(quality.tss - quality.wcss)
    assert quality.residual < 1e-9
    assert quality.sizes == tuple(np.bincount(found.labels))
    shares = np.bincount(found.labels, weights=weights) / weights.sum()
    assert quality.imbalance == pytest.approx(4 * (shares**2).sum())


def as_copies(found, rows, weights):
    """The same clusters of rows that are repeated as often as they weigh."""
    labels = np.repeat(found.labels, weights)
    copies = nk.cluster(np.repeat(rows, weights, axis=0), found.k, init=rows[: found.k], metric=found.metric_name)
    partition = replace(found.partition, labels=labels)
    return replace(copies, partition=partition)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("kind", ["exact", "sample"])
def test_whole_weights_are_as_many_rows_to_every_measure(metric, kind):
    rows = groups(60, k=4)
    rows[0] += 300  # alone in its cluster
    for seed, alone in ((0, 1), (1, 3)):
        weights = np.random.default_rng(seed).integers(0, 5, 60)
        weights[0] = alone
        found = nk.cluster(rows, 5, weights=weights, metric=metric, seed=0)
        copies = as_copies(found, rows, weights)
        one, other = found.quality(kind), copies.quality(kind)
        assert one.silhouette.mean == pytest.approx(other.silhouette.mean, abs=1e-9)
        assert one.silhouette.clusters == pytest.approx(other.silhouette.clusters, abs=1e-9)
        for measure in ("davies_bouldin", "calinski_harabasz", "imbalance", "wcss", "bcss", "tss"):
            wanted = getattr(other, measure)
            assert getattr(one, measure) == (None if wanted is None else pytest.approx(wanted, rel=1e-5)), measure
        assert one.sizes == tuple(np.bincount(found.labels, minlength=5))
        for options in ({}, {"rule": "tukey"}, {"per_cluster": True}, {"per_cluster": True, "rule": "tukey"}):
            limits, pooled = found.outliers(**options).limits, found.outliers(**options).pooled
            np.testing.assert_allclose(limits, copies.outliers(**options).limits, rtol=1e-5)
            assert pooled == copies.outliers(**options).pooled


def test_a_row_that_weighs_less_than_two_is_alone_in_its_cluster():
    rows, labels = np.float32([[0], [1], [9]]), np.array([0, 0, 1])
    for weight, wanted in ((0.5, 0), (1, 0), (1.9, 0), (2, 1)):
        found = exact_silhouette(labelled(rows, labels, mass=np.array([1, 1, weight])))
        assert found.clusters[1] == wanted


@pytest.mark.parametrize("weight", [1 / 60, 1e-6])
def test_weights_that_count_no_rows_measure_as_those_of_a_mean_of_one(weight):
    rows = groups(60)
    quality, plain = (nk.cluster(rows, 3, weights=np.full(60, each)).quality() for each in (weight, 1.0))
    assert quality.calinski_harabasz == pytest.approx(plain.calinski_harabasz)
    assert quality.silhouette.mean == pytest.approx(plain.silhouette.mean)
    assert quality.imbalance == pytest.approx(plain.imbalance)


def test_what_has_no_meaning_is_none_with_a_reason():
    quality = nk.cluster(groups(), 3, metric="manhattan").quality()
    assert quality.wcss is quality.bcss is quality.tss is quality.residual is quality.calinski_harabasz is None
    assert quality.silhouette is not None
    assert quality.davies_bouldin is not None
    assert "centroids are medians under manhattan" in quality.notes[0]
    alone = nk.cluster(groups(), 1).quality()
    assert alone.silhouette is alone.davies_bouldin is alone.calinski_harabasz is None
    assert len(alone.notes) == 3
    every = nk.cluster([[0.0], [1.0], [5.0]], 3).quality()
    assert every.calinski_harabasz is None
    assert every.silhouette.mean == 0


def test_davies_bouldin_is_by_the_metric():
    found = nk.cluster(groups(), 3, metric="manhattan")
    rows, labels = groups().astype(np.float64), found.labels
    centres = np.stack([np.median(rows[labels == c], axis=0) for c in range(3)])
    spread = np.array([np.abs(rows[labels == c] - centres[c]).sum(axis=1).mean() for c in range(3)])
    apart = np.abs(centres[:, None] - centres).sum(axis=2)
    ratios = [max((spread[i] + spread[j]) / apart[i, j] for j in range(3) if i != j) for i in range(3)]
    assert found.quality().davies_bouldin == pytest.approx(np.mean(ratios), rel=1e-5)


def test_empty_clusters_count_for_sizes_only():
    from sklearn.metrics import davies_bouldin_score, silhouette_score

    rows = groups(90)
    found = nk.cluster(rows, 3)
    centroids = np.concatenate([found.partition.centroids, np.full((1, 4), 1e3, np.float32)])
    partition = Partition(centroids, found.labels, found.inertia)
    quality = replace(found, partition=partition).quality()
    assert quality.sizes[3] == 0
    assert quality.silhouette.clusters[3] is None
    assert quality.silhouette.mean == pytest.approx(silhouette_score(rows, found.labels), abs=1e-5)
    assert quality.davies_bouldin == pytest.approx(davies_bouldin_score(rows, found.labels), rel=1e-4)


def test_iterations_that_ended_early_are_said_where_it_shows():
    found = nk.cluster(groups(), 6, init="random", max_iter=1, n_init=1, seed=2)
    quality = found.quality()
    assert quality.wcss < found.inertia
    assert "are not the means of their rows" in quality.notes[0]
    assert nk.cluster(groups(), 6).quality().notes == ()


def test_another_silhouette_is_refused():
    with pytest.raises(ParameterError, match="silhouette is 'fast', one of"):
        nk.cluster(groups(), 2).quality("fast")


def test_it_is_json():
    made = json.loads(json.dumps(nk.cluster(groups(), 3).quality().to_dict()))
    assert made["silhouette"]["exact"] is True
    assert len(made["sizes"]) == 3


@pytest.mark.parametrize("freedom", [3, 5, 10, 30, 200])
def test_student_quantiles_are_those_of_scipy(freedom):
    from scipy.stats import t

    assert student_quantile(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=0.02)
