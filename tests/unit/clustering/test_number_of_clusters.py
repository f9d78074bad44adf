"""k by silhouette and elbow: groups are counted, and rows without groups are said to have none."""

from __future__ import annotations

import json

import numpy as np
import pytest

import nearkin as nk
from nearkin.clustering import number_of_clusters as module
from nearkin.clustering.number_of_clusters import elbow
from nearkin.errors import NotSupportedError, ParameterError, VectorError


def groups(k, n=60, dim=9, seed=0):
    rng = np.random.default_rng(seed)
    centres = 15 * np.eye(dim)[:k]
    return np.concatenate([rng.normal(size=(n, dim)) + centre for centre in centres]).astype(np.float32)


@pytest.mark.parametrize("k", [2, 3, 6, 9])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_groups_are_counted(k, metric):
    rows = groups(k, seed=k + 2)
    choice = nk.choose_k(rows, metric=metric, n_init=5)
    assert choice.k == choice.by_silhouette == k
    assert f"k = {k} has the highest mean silhouette" in choice.why
    assert "no substantial" not in choice.why
    assert "weak" not in choice.why


def test_auto_is_the_choice_and_the_clustering_of_it():
    rows = groups(4)
    found = nk.cluster(rows, "auto", seed=3)
    same = nk.cluster(rows, 4, seed=3)
    np.testing.assert_array_equal(found.labels, same.labels)
    assert found.choice.k == found.k == 4
    assert same.choice is None
    assert nk.cluster(rows, "auto", seed=3).choice.by_elbow == found.choice.by_elbow


def test_each_point_of_the_curve_is_that_clustering():
    rows = groups(3, n=30)
    choice = nk.choose_k(rows, ks=[4, 1, 2, 2], seed=2)
    assert [point.k for point in choice.curve] == [1, 2, 4]
    assert choice.rows == 90
    assert choice.curve[0].silhouette is None
    for point in choice.curve[1:]:
        alone = nk.cluster(rows, point.k, seed=2)
        assert point.inertia == alone.inertia
        assert point.silhouette == alone.quality().silhouette
        assert point.ended == alone.ended


def test_rows_without_groups_are_said_to_have_none():
    rows = np.random.default_rng(0).normal(size=(400, 30)).astype(np.float32)
    choice = nk.choose_k(rows)
    assert max(point.silhouette.mean for point in choice.curve[1:]) < 0.25
    assert "no substantial clusters" in choice.why
    flat = np.random.default_rng(0).uniform(size=(300, 2)).astype(np.float32)
    assert "weak" in nk.choose_k(flat).why


def test_rows_all_the_same_have_one_cluster():
    choice = nk.choose_k([[1.0, 2.0]] * 12)
    assert choice.by_elbow is None
    assert choice.by_silhouette is None or choice.curve[1].silhouette.mean == 0
    assert nk.cluster([[1.0, 2.0]] * 12, "auto").k == 1


def test_two_distinct_rows_are_two_clusters():
    assert nk.cluster([[0.0]] * 5 + [[1.0]] * 5, "auto").k == 2


def test_the_elbow_is_the_point_farthest_below_the_chord():
    ks, inertias = np.array([1, 2, 4, 7, 10, 20]), np.array([100.0, 60, 20, 15, 12, 10])
    first, last = np.array([ks[0], inertias[0]]), np.array([ks[-1], inertias[-1]])
    scale = last - first
    chord = np.ones(2) / np.sqrt(2)  # both axes run over 0..1
    away = [
        np.linalg.norm(point - (point @ chord) * chord) for point in (np.stack([ks, inertias], axis=1) - first) / scale
    ]
    assert elbow(list(ks), list(inertias)) == ks[int(np.argmax(away))] == 4


@pytest.mark.parametrize(
    ("ks", "inertias"), [([1, 2], [2.0, 1.0]), ([1, 2, 3], [3.0, 2.0, 1.0]), ([1, 2, 3], [1.0, 1.0, 1.0]), ([], [])]
)
def test_a_straight_line_has_no_elbow(ks, inertias):
    assert elbow(ks, inertias) is None


def test_an_inertia_that_rises_by_chance_is_no_elbow():
    assert elbow([1, 2, 3, 4, 5], [100.0, 20.0, 90.0, 15.0, 12.0]) == 2


@pytest.mark.parametrize(("n", "largest"), [(3, 2), (8, 7), (50, 10), (400, 20), (10_000, 50)])
def test_the_grid_ends_where_clusters_get_too_small(n, largest):
    grid = module._grid(n, None, None)
    assert grid[0] == 1
    assert grid[-1] == largest
    assert (np.diff(grid) > 0).all()
    assert module._grid(n, None, 2) == [1, 2]


def test_a_curve_of_many_rows_has_sampled_silhouettes(monkeypatch):
    monkeypatch.setattr(module, "EXACT_ROWS", 100)
    monkeypatch.setattr(module, "SAMPLED_ROWS", 90)
    choice = nk.choose_k(groups(3), ks=[2, 3, 4])
    assert choice.k == 3
    for point in choice.curve:
        assert not point.silhouette.exact
        assert point.silhouette.low < point.silhouette.mean < point.silhouette.high


def test_many_rows_are_searched_by_a_sample(monkeypatch):
    monkeypatch.setattr(module, "SEARCHED_ROWS", 100)
    rows, weights = groups(3), np.ones(180)
    found = nk.cluster(rows, "auto", weights=weights)
    assert found.k == 3
    assert len(found.labels) == 180
    assert found.choice.rows == 100
    assert "drawn with 100 of 180 rows" in found.choice.why
    assert found.inertia == nk.cluster(rows, 3, weights=weights).inertia


def test_what_cannot_be_chosen_is_refused():
    rows = groups(3, n=10)
    with pytest.raises(ParameterError, match="init gives 3 centroids"):
        nk.cluster(rows, "auto", init=rows[:3])
    with pytest.raises(VectorError, match="2 rows are too few"):
        nk.cluster([[0.0], [1.0]], "auto")
    with pytest.raises(ParameterError, match="k is 31"):
        nk.choose_k(rows, ks=[2, 31])
    with pytest.raises(ParameterError, match="ks is empty"):
        nk.choose_k(rows, ks=[])
    with pytest.raises(ParameterError, match="most is 0"):
        nk.choose_k(rows, most=0)
    with pytest.raises(NotSupportedError):
        nk.cluster(rows, "auto", method="kmeans", metric="manhattan")


@pytest.mark.parametrize("k", ["many", 2.5, None, True])
def test_other_words_for_k_are_refused(k):
    with pytest.raises(ParameterError, match="k is"):
        nk.cluster([[0.0], [1.0], [3.0]], k)


def test_it_is_json():
    made = json.loads(json.dumps(nk.choose_k(groups(2, n=10)).to_dict()))
    assert made["k"] == 2
    assert made["curve"][1]["silhouette"]["exact"] is True


@pytest.mark.parametrize("weights", [[1, 1], [-1] * 6, [0] * 6, [[1] * 6], [np.nan] * 6])
def test_bad_weights_are_refused_in_one_sentence(weights, monkeypatch):
    monkeypatch.setattr(module, "SEARCHED_ROWS", 4)
    rows = [[0], [1], [2], [50], [51], [52]]
    for ask in (lambda: nk.choose_k(rows, weights=weights), lambda: nk.cluster(rows, "auto", weights=weights)):
        with pytest.raises(ParameterError, match="weights must be 6 non-negative numbers"):
            ask()
