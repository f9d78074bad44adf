from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from tests.unit.recommending.rating_tables import all_scores, events, ratings, weighted

from nearkin import Interactions, UserKNN
from nearkin.errors import NotSupportedError
from nearkin.recommending.user_neighbours import largest_entries


def likeness(table: np.ndarray, similarity: str, weighting: str, shrink: float) -> np.ndarray:
    x = (table > 0).astype(float) if similarity == "jaccard" else weighted(table, weighting)
    if similarity == "adjusted-cosine":
        x = np.array([np.where(row != 0, v - v[row != 0].mean(), 0) for row, v in zip(table, x, strict=True)])
    near = np.zeros((len(table),) * 2)
    for u in range(len(near)):
        for v in range(len(near)):
            if similarity == "jaccard":
                either = ((x[u] > 0) | (x[v] > 0)).sum()
                value = (x[u] * x[v]).sum() / either if either else 0.0
            else:
                under = np.sqrt((x[u] ** 2).sum() * (x[v] ** 2).sum())
                value = (x[u] * x[v]).sum() / under if under > 1e-12 else 0.0
            both = ((table[u] != 0) & (table[v] != 0)).sum()
            near[u, v] = max(0.0, value * (both / (both + shrink) if shrink else 1.0))
    return near


@pytest.mark.parametrize("similarity", ["cosine", "jaccard", "adjusted-cosine"])
@pytest.mark.parametrize(("weighting", "shrinkage"), [("none", 0.0), ("tf-idf", 2.0), ("bm25", 0.0)])
def test_scores_are_those_of_the_definition(similarity, weighting, shrinkage):
    table = ratings(4)
    near = likeness(table, similarity, weighting, shrinkage)
    found = all_scores(UserKNN(similarity, 100, shrinkage, weighting).fit(events(table)), table)
    there = np.isfinite(found)
    np.testing.assert_allclose(found[there], (near @ table / np.abs(table).max())[there], rtol=1e-4, atol=1e-4)
    assert np.abs((near @ table / np.abs(table).max())[~there]).max(initial=0) < 1e-4


def test_only_the_nearest_users_count():
    table = ratings(6, users=40)
    near = likeness(table, "cosine", "tf-idf", 0.0)
    edge = np.sort(near, axis=1)[:, -5]
    assert (np.diff(np.sort(near, axis=1), axis=1)[:, -5] > 1e-6).all()
    found = all_scores(UserKNN(n_neighbors=5).fit(events(table)), table)
    there = np.isfinite(found)
    wanted = np.where(near >= edge[:, None], near, 0.0) @ table / np.abs(table).max()
    np.testing.assert_allclose(found[there], wanted[there], rtol=1e-4, atol=1e-4)


def test_somebody_unknown_gets_what_the_likes_of_them_had():
    liked = Interactions(["A", "A", "B", "B", "C", "C"], ["tea", "milk", "beer", "nuts", "beer", "crisps"])
    first = UserKNN(similarity="jaccard").fit(liked).recommend_for([["tea"]], 1)[0][0]
    assert (first.id, first.because) == ("milk", (("tea", 1.0),))


def test_it_does_not_compare_items():
    with pytest.raises(NotSupportedError, match="user-knn does not compare items"):
        UserKNN().fit(Interactions(["a"], ["tea"])).similar_items("tea")


@pytest.mark.parametrize("similarity", ["cosine", "jaccard", "adjusted-cosine"])
@pytest.mark.parametrize("size", [1e-60, 1e-200, 1e29])
def test_the_size_of_weights_does_not_matter(similarity, size):
    table = ratings(2)
    usual = UserKNN(similarity).fit(events(table)).recommend(range(len(table)), 5)
    sized = UserKNN(similarity).fit(events(size * table)).recommend(range(len(table)), 5)
    np.testing.assert_allclose(sized.scores, usual.scores, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 50])
def test_the_largest_entries_are_those_of_a_sort(n):
    rng = np.random.default_rng(0)
    dense = rng.integers(-3, 6, (40, 30)).astype(float)
    found = largest_entries(csr_array(dense), n).toarray()
    for row, kept in zip(dense, found, strict=True):
        best = [each for each in np.lexsort((np.arange(30), -row)) if row[each] > 0][:n]
        assert kept.tolist() == [row[each] if each in best else 0 for each in range(30)]
