"""Every trouble on rows made to show it, and on rows that must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import nearkin as nk
from nearkin.clustering.misplaced_centroids import pulled_centroids, sparse_centroids
from nearkin.clustering.result import Clustering
from nearkin.lloyd import Lloyd
from nearkin.objectives import AbsoluteDifferences, MetricSums


def groups(sizes=(60, 60, 60), dim=3, seed=0, apart=10.0):
    rng = np.random.default_rng(seed)
    centres = apart * np.eye(len(sizes), max(dim, len(sizes)))[:, :dim]
    return np.concatenate([rng.normal(size=(size, dim)) + at for size, at in zip(sizes, centres, strict=True)]).astype(
        np.float32
    )


def kinds(found):
    return [each.kind for each in found.troubles()]


def only(found, kind):
    (trouble,) = [each for each in found.troubles() if each.kind == kind]
    return trouble


@pytest.mark.parametrize("dim", [3, 5, 40])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("seed", range(3))
def test_groups_well_apart_have_no_trouble(dim, metric, seed):
    assert nk.cluster(groups(dim=dim, seed=seed) + 1, 3, metric=metric, seed=seed).troubles() == ()


def test_noise_has_no_trouble_either():
    rows = np.random.default_rng(0).normal(size=(500, 20)).astype(np.float32)
    assert nk.cluster(rows, 5).troubles() == ()


def test_more_clusters_than_distinct_rows_are_counted():
    found = nk.cluster([[1.0], [1.0], [2.0], [2.0], [3.0], [-0.0], [0.0]], 6)
    few = only(found, "too few distinct rows")
    assert "6 clusters were asked of 7 rows, only 4 of which are distinct" in few.sentence
    assert few.advice == "ask for at most 4 clusters"
    empty = only(found, "empty clusters")
    assert empty.clusters == tuple(np.flatnonzero(found.sizes == 0))
    assert len(empty.clusters) == 2
    assert nk.cluster([[1.0], [2.0], [3.0], [0.0]], 4).troubles() == ()


def test_clusters_that_ran_empty_are_told_with_the_policy():
    rows = groups()
    start = np.concatenate([rows[:1], rows[:1] + 1e4, rows[:1] - 1e4])
    found = nk.cluster(rows, 3, init=start)
    assert found.partition.reseeded
    trouble = only(found, "reseeded clusters")
    assert found.partition.reseeding in trouble.sentence
    assert "empty clusters" not in kinds(found)


def test_iterations_that_ended_too_early_say_what_they_still_gained():
    rows = np.random.default_rng(0).normal(size=(2000, 6)).astype(np.float32)
    found = nk.cluster(rows, 20, init="random", max_iter=3, n_init=1)
    gained = 1 - found.history[-1] / found.history[-2]
    trouble = only(found, "not converged")
    assert f"{gained:.2%}" in trouble.sentence
    assert "max_iter" in trouble.advice
    assert "not converged" not in kinds(nk.cluster(rows, 20))
    settled = replace(found, partition=replace(found.partition, history=(5.0, 5.0)))
    assert "not converged" not in kinds(settled)
    assert "more than 3 by" in trouble.advice
    once = nk.cluster(rows, 20, init="random", max_iter=1, n_init=1)
    assert "more than 1 by" in only(once, "not converged").advice
    silent = replace(found, partition=replace(found.partition, history=(), iterations=None))
    assert only(silent, "not converged").sentence == "iterations ended for want of more"
    told = replace(found, partition=replace(found.partition, history=(), iterations=7))
    assert only(told, "not converged").sentence == "iterations ended after 7 for want of more"


def test_oscillation_is_told():
    found = nk.cluster(groups(), 3)
    moving = replace(found, partition=replace(found.partition, ended="oscillating"))
    assert only(moving, "oscillating").sentence.startswith(f"after {found.iterations} iterations rows came back")
    assert "oscillating" not in kinds(found)


def test_copies_are_told_where_they_weigh():
    rows = groups()
    copied = np.concatenate([rows, np.repeat(rows[:1], 90, axis=0)])
    trouble = only(nk.cluster(copied, 3), "duplicates")
    assert "91 of 270 rows have copies, and row 0 occurs 91 times" in trouble.sentence
    assert "duplicates" not in kinds(nk.cluster(np.concatenate([rows, rows[:30]]), 3))
    assert "duplicates" not in kinds(nk.cluster([[1.0], [1.0], [5.0], [5.0]], 2))


@pytest.mark.parametrize("dim", [2, 10, 60])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_a_centroid_between_groups_stands_in_a_sparse_region(dim, metric):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, dim)).astype(np.float32)
    rows[:100, 0] -= 60 + 4 * dim
    rows[100:200, 0] += 60 + 4 * dim
    rows[200:, 1] += 3000
    found = nk.cluster(rows, 2, metric=metric)
    between = int(found.labels[0])
    if metric == "manhattan":  # a median may lie in either group; a centroid put between them must be seen as well
        centroids = found.partition.centroids.copy()
        centroids[between, 0] = 0
        found = replace(found, partition=replace(found.partition, centroids=centroids))
    trouble = only(found, "sparse region")
    assert trouble.clusters == (between,)
    (seen,) = sparse_centroids(found)
    costs = found.objective.costs(found.prepared, found.partition.centroids[between][None])[:, 0]
    nearest = np.sqrt(costs.min()) if metric == "euclidean" else costs.min()
    assert seen.nearest == pytest.approx(nearest, rel=1e-5)
    assert f"{seen.nearest:.4g}" in trouble.sentence
    assert "sparse region" not in kinds(nk.cluster(rows, 3, metric=metric, seed=1))


def test_a_grid_of_whole_numbers_is_no_sparse_region():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.integers(0, 5, (200, 3)), rng.integers(40, 45, (200, 3))]).astype(np.float32)
    assert "sparse region" not in kinds(nk.cluster(rows, 2))


def test_the_textbook_row_far_out_pulls_its_centroid():
    found = nk.cluster([[1], [2], [3], [4], [100]], 1)
    trouble = only(found, "pulled centroid")
    assert "the mean is [22], the medoid, row 2, is [3]" in trouble.sentence
    assert trouble.sentence.startswith("row 4 pulls the centroid of cluster 0: it lies 97.5 from where most")
    (seen,) = pulled_centroids(found)
    assert (seen.row, seen.rows) == (4, 5)
    assert seen.moved == pytest.approx(22 - 2.5)
    assert found.medoid_rows().tolist() == [2]
    assert "pulled centroid" not in kinds(nk.cluster([[1], [2], [3], [4], [5]], 1))
    assert "pulled centroid" not in kinds(nk.cluster([[1], [2], [3], [4], [100]], 1, metric="manhattan"))


@pytest.mark.parametrize("dim", [3, 30])
def test_a_row_far_out_is_named_among_many(dim):
    rows = groups(dim=dim)
    rows[70, 1] += 300
    start = np.stack([rows[0], rows[60], rows[130]])
    found = nk.cluster(rows, 3, init=start)
    trouble = only(found, "pulled centroid")
    assert trouble.clusters == (int(found.labels[70]),)
    assert trouble.sentence.startswith("row 70 pulls")
    same = np.zeros((20, 2), np.float32)
    same[3] = 9
    assert "beyond all of their spread" in only(nk.cluster(same, 1), "pulled centroid").sentence


def test_medoids_are_sought_only_of_the_clusters_that_are_told(monkeypatch):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(180, 2)) + np.repeat([[100 * at, 0] for at in range(9)], 20, axis=0)).astype(np.float32)
    rows[::20, 1] += 40 + np.arange(9)
    found, asked = nk.cluster(rows, 9, init=rows[1::20]), []
    assert len(pulled_centroids(found)) == 9
    distances, least = Clustering.distances, MetricSums.sums
    monkeypatch.setattr(Clustering, "distances", lambda self: asked.append("distances") or distances(self))
    monkeypatch.setattr(MetricSums, "sums", lambda self, *rest: asked.append("medoid") or least(self, *rest))
    told = [each for each in found.troubles() if each.kind == "pulled centroid"]
    assert sorted(asked) == ["distances", *5 * ["medoid"]]
    medoids = found.medoid_rows()
    assert len(told) == 5
    for each in told:
        assert f"the medoid, row {medoids[each.clusters[0]]}, is" in each.sentence


def test_a_row_of_no_weight_pulls_nothing():
    rows, weights = np.float32([[1], [2], [3], [4], [5], [100]]), np.ones(6)
    weights[5] = 0
    assert "pulled centroid" not in kinds(nk.cluster(rows, 1, weights=weights))


def test_one_cluster_that_holds_nearly_all_is_named():
    rows = groups((200, 5, 5), apart=300)
    found = nk.cluster(rows, 3)
    trouble = only(found, "one large cluster")
    assert trouble.clusters == (int(found.labels[0]),)
    assert "holds 200 of 210 rows" in trouble.sentence
    assert f"{found.quality().imbalance:.2f}" in trouble.sentence
    assert "one large cluster" not in kinds(nk.cluster(groups((200, 100, 60)), 3))
    weighted = nk.cluster(rows, 3, weights=np.repeat([1, 60, 60], (200, 5, 5)), init=rows[[0, 200, 205]])
    assert "one large cluster" not in kinds(weighted)
    weighted = nk.cluster(rows, 3, weights=np.repeat([1, 900, 1], (200, 5, 5)), init=rows[[0, 200, 205]])
    assert "cluster 1 holds 4,500 of 4,705 by weight" in only(weighted, "one large cluster").sentence


def test_a_column_in_another_unit_is_named():
    rows = groups()
    rows[:, 1] *= 1000
    trouble = only(nk.cluster(rows, 3), "unlike units")
    share = rows[:, 1].var() / rows.var(axis=0).sum()
    assert trouble.sentence.startswith(f"column 1 makes {share:.1%} of the variance")
    assert "standardized-euclidean" in trouble.advice
    assert "unlike units" not in kinds(nk.cluster(rows, 3, metric="standardized-euclidean"))
    assert "unlike units" not in kinds(nk.cluster(groups(), 3))


def test_one_row_far_out_is_no_other_unit():
    rows = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    rows[5, 0] = 1000
    assert "unlike units" not in kinds(nk.cluster(rows, 2))
    constant = np.zeros((50, 3), np.float32)
    constant[:, 1] = np.arange(50)
    assert "unlike units" not in kinds(nk.cluster(constant, 2))


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan", "chebyshev"])
def test_medoid_rows_are_those_of_brute_force(metric):
    rows = groups(dim=4, sizes=(30, 40, 50)) + 2
    method = "kmedoids" if metric == "chebyshev" else "lloyd"
    weights = np.random.default_rng(0).uniform(0, 2, len(rows))
    found = nk.cluster(rows, 3, metric=metric, method=method, weights=None if method == "kmedoids" else weights)
    mass = np.ones(len(rows)) if method == "kmedoids" else weights
    apart = found.metric.distances(rows, rows)
    for cluster, row in enumerate(found.medoid_rows()):
        members = np.flatnonzero(found.labels == cluster)
        sums = apart[np.ix_(members, members)] @ mass[members]
        assert sums[members == row] == pytest.approx(sums.min(), rel=1e-6)


def test_the_medoid_of_a_large_cluster_is_nearly_the_best():
    rows = np.random.default_rng(0).normal(size=(6000, 2)).astype(np.float32)
    found = nk.cluster(rows, 1)
    (row,) = found.medoid_rows()
    sums = (
        np.linalg.norm(rows - rows[row], axis=1).sum(),
        np.linalg.norm(rows[:, None] - rows[None, :500], axis=2).sum(0),
    )
    assert sums[0] < 1.01 * sums[1].min()


def test_a_cluster_without_rows_has_no_medoid_row():
    found = nk.cluster([[1.0], [1.0], [2.0]], 3)
    assert sorted(found.medoid_rows().tolist()) == [-1, 0, 2]


class Restless(AbsoluteDifferences):
    """Medians of rows half at 0 and half at 1, where every place between is as good: now one end, now the other."""

    def centres(self, vectors, labels, mass, old):
        return 1 - old


def test_lloyd_sees_that_it_goes_round_in_circles():
    rows = np.float32([[0], [1]] * 4)
    found = Lloyd(max_iter=50, tol=0, init="random").fit(rows, 1, objective=Restless())
    assert found.ended == "oscillating"
    assert len(found.history) < 10
    assert Lloyd(max_iter=50, init="random").fit(rows, 1, objective=Restless()).ended == "converged"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
def test_lloyd_to_the_end_converges_on_ordinary_rows(metric, seed):
    rows = np.random.default_rng(seed).normal(size=(400, 3)).astype(np.float32)
    assert nk.cluster(rows, 12, metric=metric, tol=0, n_init=1, seed=seed).ended == "converged"


def test_columns_that_float32_rounds_are_told():
    rng = np.random.default_rng(0)
    rows = np.r_[rng.normal(0, 0.02, (50, 2)), rng.normal(0.3, 0.02, (50, 2))]
    places = rows + np.array([500_000, 4_649_776])
    far = [each for each in nk.cluster(places, 2).troubles() if each.kind == "rounded"]
    assert len(far) == 1
    assert "columns 0, 1" in far[0].sentence
    for given in (rows, rows + np.array([0, 100]), places.astype(np.float32)):
        assert not any(each.kind == "rounded" for each in nk.cluster(given, 2).troubles())


def test_fuzzy_clusters_that_fall_together_are_told():
    rows = np.random.default_rng(0).normal(size=(400, 100))
    kinds = {
        m: [each.kind for each in nk.cluster(rows, 8, method=f"fuzzy:m={m}", n_init=1).troubles()] for m in (2.0, 1.02)
    }
    assert "coinciding centroids" in kinds[2.0]
    assert "coinciding centroids" not in kinds[1.02]
