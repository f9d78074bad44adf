from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.recommending.rating_tables import all_scores, events, ratings, weighted

from nearkin import Interactions, ItemKNN
from nearkin.errors import ParameterError


def likeness(table: np.ndarray, similarity: str, weighting: str, damping: float, balance: float, shrink: float):
    """[j, h]: how much item h of a history speaks for item j."""
    counts = 1.0 / (table != 0).sum(axis=1) ** damping
    x = (table > 0).astype(float) if similarity == "jaccard" else weighted(table, weighting)
    if similarity == "adjusted-cosine":
        x = np.array([np.where(row != 0, v - v[row != 0].mean(), 0) for row, v in zip(table, x, strict=True)])
    near = np.zeros((table.shape[1],) * 2)
    for j in range(len(near)):
        for h in range(len(near)):
            product = (counts * x[:, j] * x[:, h]).sum()
            squares = [(counts * x[:, each] ** 2).sum() for each in (j, h)]
            if similarity == "jaccard":
                either = (counts * ((x[:, j] > 0) | (x[:, h] > 0))).sum()
                value = product / either if either else 0.0
            else:
                under = squares[1] ** balance * squares[0] ** (1 - balance)
                value = product / under if under > 1e-12 else 0.0
            both = ((table[:, j] != 0) & (table[:, h] != 0)).sum()
            near[j, h] = max(0.0, value * (both / (both + shrink) if shrink else 1.0)) if j != h else 0.0
    return near


@pytest.mark.parametrize("similarity", ["cosine", "jaccard", "adjusted-cosine"])
@pytest.mark.parametrize(("weighting", "shrinkage"), [("none", 0.0), ("tf-idf", 2.0), ("bm25", 0.0)])
@pytest.mark.parametrize(("damping", "balance"), [(0.0, 0.5), (0.5, 0.6), (1.0, 1.0)])
def test_scores_are_those_of_the_definition(similarity, weighting, shrinkage, damping, balance):
    table = ratings(3)
    fitted = ItemKNN(similarity, 100, shrinkage, weighting, damping, balance).fit(events(table))
    wanted = by_largest(table) @ likeness(table, similarity, weighting, damping, balance, shrinkage).T
    found = all_scores(fitted, table)
    there = np.isfinite(found)
    np.testing.assert_allclose(found[there], wanted[there], rtol=1e-4, atol=1e-5)
    assert np.abs(wanted[~there]).max(initial=0) < 1e-5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 8))
def test_only_the_nearest_count(seed, n_neighbors):
    table = ratings(seed, users=12, items=9)
    near = likeness(table, "cosine", "none", 0.5, 0.6, 0.0)
    edge = np.sort(near, axis=1)[:, -n_neighbors]
    if (np.diff(np.sort(near, axis=1), axis=1)[:, -n_neighbors] < 1e-6).any():
        return  # ties at the edge may fall either way
    wanted = by_largest(table) @ np.where(near >= edge[:, None], near, 0.0).T
    found = all_scores(ItemKNN(n_neighbors=n_neighbors).fit(events(table)), table)
    there = np.isfinite(found)
    np.testing.assert_allclose(found[there], wanted[there], rtol=1e-4, atol=1e-4)


def by_largest(table: np.ndarray) -> np.ndarray:
    return table / np.abs(table).max(axis=1, keepdims=True)


def test_few_neighbours_of_many_items_score_as_many_of_few():
    """Scores are summed sparsely or over dense blocks."""
    table = ratings(1, users=60, items=300, share=0.05)
    few = ItemKNN(n_neighbors=3).fit(events(table))
    dense = few._neighbours.toarray()
    assert few._neighbours.nnz < 300 * 300 / 32
    scores = few._scores(few._histories)
    there = np.isfinite(scores)
    np.testing.assert_allclose(scores[there], (by_largest(table) @ dense.T)[there], rtol=1e-5, atol=1e-5)


def test_similar_items_are_ordered_by_likeness():
    table = ratings(5, disliked=0)
    near = likeness(table, "cosine", "none", 0.5, 0.6, 0.0)
    found = ItemKNN().fit(events(table)).similar_items(list(range(14)), 3)
    for item in range(14):
        np.testing.assert_allclose(found.scores[item], np.sort(near[item])[::-1][:3], rtol=1e-5)


def test_what_anna_likes_is_recommended_to_who_likes_the_same():
    liked = Interactions(["A", "A", "B", "C", "C"], ["tea", "milk", "tea", "beer", "nuts"])
    first = ItemKNN().fit(liked).recommend("B", k=1)[0][0]
    assert (first.id, [each.id for each in first.because]) == ("milk", ["tea"])


def test_disliked_items_speak_against_their_neighbours():
    liked = Interactions(["a", "a", "b", "b", "c", "c"], ["tea", "milk", "beer", "nuts", "tea", "beer"])
    found = ItemKNN().fit(liked).recommend_for([{"tea": 1, "beer": -1}], 2)
    assert found.ids.tolist() == [["milk", "nuts"]]
    assert found.scores[0, 0] > 0 > found.scores[0, 1]
    assert found.because(0, 1) == (("beer", -1.0),)


def test_what_leads_nowhere_is_filled_by_popularity():
    liked = Interactions(["a", "a", "b", "c", "c"], ["tea", "milk", "soap", "tea", "milk"])
    found = ItemKNN().fit(liked).recommend(["b", "a"], 2)
    assert found.filled.tolist() == [2, 1]
    assert found.because(0, 0) == ()
    assert set(found.ids[0].tolist()) == {"tea", "milk"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"similarity": "euclid"}, "similarity is 'euclid', one of 'cosine', 'jaccard', 'adjusted-cosine' expected"),
        ({"weighting": "idf"}, "weighting is 'idf'"),
        ({"n_neighbors": 0}, "n_neighbors is 0"),
        ({"shrinkage": -1}, "shrinkage is -1, a number from 0 expected"),
        ({"balance": 1.5}, "balance is 1.5, a number from 0 to 1 expected"),
        ({"damping": float("nan")}, "damping is nan"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ParameterError, match=said):
        ItemKNN(**options)


DRINKS = Interactions(
    ["Anna", "Anna", "Anna", "Ben", "Ben", "Cleo", "Cleo", "Dan", "Dan", "Dan"],
    ["tea", "milk", "honey", "tea", "milk", "beer", "nuts", "beer", "nuts", "crisps"],
)


def test_what_is_like_the_disliked_comes_after_what_is_unknown():
    found = ItemKNN().fit(DRINKS).recommend_for([{"beer": -1}, {"tea": 1, "nuts": -1}, {"beer": -1}], 5)
    assert found.ids[0].tolist() == ["milk", "tea", "honey", "crisps", "nuts"]
    assert found.scores[0, :3].tolist() == [0, 0, 0]
    assert (np.diff(found.scores[0]) <= 0).all()
    assert (found.filled.tolist(), found.reasons[0]) == ([3, 0, 3], "the first 3 by popularity")
    assert found.by_popularity[0].tolist() == [True, True, True, False, False]
    assert (found.because(0, 0), found.because(0, 4)) == ((), (("beer", -1.0),))
    assert found.ids[1].tolist() == ["milk", "honey", "crisps", "beer", None]


def test_what_is_popular_stands_between_the_like_and_the_unlike():
    apart = Interactions(["a", "a", "b", "b", "c"], ["tea", "milk", "beer", "nuts", "soap"])
    found = ItemKNN().fit(apart).recommend_for([{"tea": 1, "beer": -1}], 3)
    assert found.ids[0].tolist() == ["milk", "soap", "nuts"]
    assert found.reasons == ["1 after the first 1 by popularity"]
    assert [len(each.because) for each in found[0]] == [1, 0, 1]


@pytest.mark.parametrize("size", [1e-60, 1e-200, 1e29])
def test_the_size_of_weights_does_not_matter(size):
    table = ratings(2)
    usual = ItemKNN().fit(events(table))
    sized = ItemKNN().fit(events(size * table)).recommend(range(len(table)), 5)
    np.testing.assert_allclose(sized.scores, usual.recommend(range(len(table)), 5).scores, rtol=1e-5)
    assert (
        usual.recommend_for([{1: size, 2: -size}], 5).ids.tolist()
        == usual.recommend_for([{1: 1, 2: -1}], 5).ids.tolist()
    )
