"""Recommending by content: what is liked and disliked among the rows of a collection, and histories of users over one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearkin as nk
from nearkin.components import as_written
from nearkin.errors import InputError, NotSupportedError, ParameterError, StateError, UnknownIdError
from nearkin.recommending import content, liked
from nearkin.registry import default_registry

METRICS = [
    "cosine",
    "inner-product",
    "correlation",
    "euclidean",
    "sqeuclidean",
    "manhattan",
    "angular",
    "hellinger",
    "canberra",
]


def rows_for(metric: str, n: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if metric in ("hamming", "jaccard", "dice"):
        return rng.integers(1, 256, (n, dim)).astype(np.uint8)
    rows = rng.normal(size=(n, dim)).astype(np.float32)
    return np.abs(rows) + np.float32(0.01) if metric == "hellinger" else rows


def by_brute_force(collection, vectors, likes, dislikes, beta):
    """(n,) score of every row, one pair at a time, in float64."""
    metric = collection.metric

    def mean(weights):
        if not weights:
            return 0.0
        total = sum(weights.values())
        parts = [
            weight / total * metric.similarity(metric.distances(vectors[each : each + 1], vectors))[0]
            for each, weight in weights.items()
        ]
        return np.sum(parts, axis=0)

    return mean(likes) - beta * mean(dislikes)


def check_best(found, scores, hidden, k):
    """The answer is the k best of the scores, ties in any order."""
    left = np.array([row for row in range(len(scores)) if row not in hidden], dtype=np.int64)
    best = np.sort(scores[left])[::-1][:k]
    assert found.counts[0] == len(best)
    np.testing.assert_allclose(found.scores[0, : len(best)], best, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(scores[found.ids[0, : len(best)].tolist()], best, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("metric", [*METRICS, "hamming", "jaccard", "dice"])
@pytest.mark.parametrize("few", [True, False])
def test_the_best_rows_are_those_of_brute_force(metric, few, monkeypatch):
    """Compared one by one, and by candidates that are widened until none is missing."""
    if not few:
        monkeypatch.setattr(liked, "FEW_PAIRS", 0)
        monkeypatch.setattr(liked, "FIRST", 8)
    vectors = rows_for(metric, 200)
    collection = nk.build(vectors, metric=metric)
    for beta in (0.0, 0.5, 1.5):
        likes, dislikes = {3: 1.0, 50: 2.5, 120: 0.5}, {7: 1.0, 60: 3.0}
        found = collection.recommend(likes, disliked=dislikes, k=12, beta=beta)
        check_best(found, by_brute_force(collection, vectors, likes, dislikes, beta), {*likes, *dislikes}, 12)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000),
    metric=st.sampled_from(["cosine", "euclidean", "inner-product"]),
    k=st.integers(1, 40),
    data=st.data(),
)
def test_any_likes_among_any_rows(seed, metric, k, data):
    vectors = rows_for(metric, 30, 3, seed)
    collection = nk.build(vectors, metric=metric)
    some = data.draw(st.lists(st.integers(0, 29), min_size=1, max_size=6, unique=True))
    cut = data.draw(st.integers(1, len(some)))
    among = data.draw(st.none() | st.lists(st.integers(0, 35), max_size=20))
    exclude = data.draw(st.lists(st.integers(0, 35), max_size=5))
    found = collection.recommend(some[:cut], disliked=some[cut:], k=k, among=among, exclude=exclude)
    scores = by_brute_force(collection, vectors, dict.fromkeys(some[:cut], 1), dict.fromkeys(some[cut:], 1), 0.5)
    out = {*some, *exclude, *(set() if among is None else set(range(30)) - set(among))}
    check_best(found, scores, out, k)
    assert bool(found.reasons[0]) == (found.counts[0] < k)
    assert (found.ids[0, found.counts[0] :] == -1).all()


def test_a_compiled_kernel():
    @nk.metric("biased-l1", axioms={"non-negative", "identity", "symmetric"})
    def biased(a, b):
        total = 0.0
        for i in range(len(a)):
            total += (i + 1) * abs(a[i] - b[i])
        return total

    vectors = rows_for("manhattan", 60)
    collection = nk.build(vectors, metric=biased)
    check_best(
        collection.recommend([1, 2], disliked=[3], k=5),
        by_brute_force(collection, vectors, {1: 1, 2: 1}, {3: 1}, 0.5),
        {1, 2, 3},
        5,
    )


def test_distances_below_zero_without_a_similarity_are_refused():
    @nk.metric("minus-product")
    def product(a, b):
        total = 0.0
        for i in range(len(a)):
            total -= a[i] * b[i]
        return total

    collection = nk.build(rows_for("manhattan", 20), metric=product)
    with pytest.raises(NotSupportedError, match="has distances below 0"):
        collection.recommend([1])


def test_candidates_stop_at_the_bound(monkeypatch):
    """Where no depth is enough to be sure, the candidates of the deepest look are answered."""
    monkeypatch.setattr(liked, "FEW_PAIRS", 0)
    monkeypatch.setattr(liked, "FIRST", 4)
    monkeypatch.setattr(liked, "DEEPEST", 16)
    vectors = rows_for("manhattan", 500, 16)
    found = nk.build(vectors, metric="manhattan").recommend([1, 2, 3], k=3)
    scores = by_brute_force(nk.build(vectors, metric="manhattan"), vectors, {1: 1, 2: 1, 3: 1}, {}, 0)
    assert found.counts[0] == 3
    np.testing.assert_allclose(found.scores[0], scores[found.ids[0].tolist()], rtol=1e-5)  # whichever they are


def test_opposite_likes_have_no_direction_and_are_answered_all_the_same():
    vectors = np.float32([[1, 0], [-1, 0], [0, 1], [0.6, 0.8]])
    found = nk.build(vectors, metric="cosine").recommend([0, 1], k=2)
    assert sorted(found.ids[0].tolist()) == [2, 3]
    np.testing.assert_allclose(found.scores[0], 0, atol=1e-7)


def test_shares_say_because_of_what():
    vectors = np.float32([[1, 0], [0, 1], [0.8, 0.6], [-0.6, 0.8]])
    shop = nk.build(vectors, ids=["x", "y", "both", "left"], metric="cosine")
    found = shop.recommend({"x": 3, "y": 1}, k=1)
    assert found.ids.tolist() == [["both"]]
    assert found.scores[0, 0] == pytest.approx(0.75 * 0.8 + 0.25 * 0.6)
    assert dict(found.because(0, 0)) == pytest.approx({"x": 0.8, "y": 0.2})
    against = shop.recommend(["x"], disliked=["y"], k=1, beta=1)
    assert dict(against.because(0, 0)) == pytest.approx({"x": 0.8 / 1.4, "y": -0.6 / 1.4})


def test_filters_and_reasons():
    vectors = rows_for("cosine", 20)
    shop = nk.build(vectors, metric="cosine", metadata=[{"price": price} for price in range(20)])
    found = shop.recommend([1, 2], k=5, where="price < 6")
    assert set(found.ids[0, :4].tolist()) == {0, 3, 4, 5}
    assert found.reasons == ["6 rows may be answered, 2 of them liked or disliked, 5 asked"]
    assert shop.recommend([1], k=25).reasons == ["the collection has 20 rows, 1 of them liked or disliked, 25 asked"]
    assert shop.recommend([1], k=2, where="price < 0").reasons == ["0 rows may be answered, 2 asked"]
    assert shop.recommend([1], k=19).reasons == [""]
    kept = shop.recommend([1], k=1, exclude_seen=False)
    assert kept.ids.tolist() == [[1]]
    assert shop.recommend([1], where="price < 6", among=[0, 10, 77], k=3).ids[0].tolist() == [0, -1, -1]


def test_rows_that_are_deleted_or_added_are_seen():
    shop = nk.build(rows_for("cosine", 20), metric="cosine")
    first = shop.recommend([0], k=1).ids[0, 0]
    shop.delete([first])
    assert shop.recommend([0], k=19).ids[0, 18] == -1
    assert first not in shop.recommend([0], k=19).ids
    shop.add(rows_for("cosine", 20)[:1] * 2, ids=[99])
    assert shop.recommend([0], k=1).ids.tolist() == [[99]]


def test_a_saved_collection_and_an_inexact_plan(tmp_path):
    vectors = rows_for("cosine", 500)
    nk.build(vectors, metric="cosine", plan="ivf16,int8,refine-f32").save(tmp_path / "c")
    with nk.open(tmp_path / "c") as shop:
        found = shop.recommend([3], k=450)  # more than one look into the usual cells finds
        assert found.counts.tolist() == [450]
        assert (np.diff(found.scores[0]) <= 0).all()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"liked": []}, ParameterError, "nothing is liked"),
        ({"liked": "tea"}, ParameterError, "single string 'tea'"),
        ({"liked": ["taa"]}, UnknownIdError, "no row with id 'taa'; did you mean 'tea'"),
        ({"liked": [3]}, UnknownIdError, "no row with id 3"),
        ({"liked": ["tea"], "disliked": ["beer", "taa"]}, UnknownIdError, "'taa'"),
        ({"liked": ["tea"], "disliked": ["tea"]}, ParameterError, "both liked and disliked"),
        ({"liked": {"tea": 0}}, ParameterError, "weight of 'tea' in liked is 0, a number above 0"),
        ({"liked": {"tea": float("nan")}}, ParameterError, "is nan"),
        ({"liked": {"tea": "much"}}, ParameterError, "'much'"),
        ({"liked": ["tea"], "beta": -1}, ParameterError, "beta is -1"),
        ({"liked": ["tea"], "beta": float("inf")}, ParameterError, "beta is inf"),
        ({"liked": ["tea"], "k": 0}, ParameterError, "k is 0"),
        ({"liked": ["tea"], "among": "beer"}, ParameterError, "among is 'beer'"),
    ],
)
def test_bad_input(arguments, error, words):
    shop = nk.build(np.eye(2), ids=["tea", "beer"], metric="cosine")
    with pytest.raises(error, match=words):
        shop.recommend(**arguments)


def test_rows_that_were_not_kept_are_needed():
    shop = nk.build(rows_for("cosine", 20), metric="cosine", keep_vectors=False)
    with pytest.raises(StateError, match="recommend needs the rows"):
        shop.recommend([1])


# ---- histories -------------------------------------------------------------------------------------------------------


def made_events(rng, users=12, items=25, n=150):
    return nk.Interactions(
        rng.integers(0, users, n), rng.integers(0, items, n), weights=rng.choice([-1.0, 0.0, 1.0, 2.0], n)
    )


def scores_of_history(collection, vectors, history):
    weights = {item: weight for item, weight in history.items() if weight and item < len(vectors)}
    if not weights:
        return None
    alike = collection.metric.similarity(collection.metric.distances(vectors[list(weights)], vectors))
    values = np.array(list(weights.values()))
    return values @ alike / np.abs(values).sum()


@pytest.mark.parametrize("metric", ["cosine", "inner-product", "euclidean", "manhattan", "jaccard"])
@pytest.mark.parametrize("by_index", [False, True])
def test_users_get_what_brute_force_gives(metric, by_index, monkeypatch):
    if by_index:
        monkeypatch.setattr(content, "BY_INDEX", 0)
    rng = np.random.default_rng(1)
    vectors = rows_for(metric, 40)  # items 25 to 39 nobody has touched
    collection = nk.build(vectors, metric=metric)
    events = made_events(rng)
    made = nk.ContentRecommender(collection).fit(events)
    matrix = events.matrix()
    found = made.recommend(events.users, k=8)
    assert set(range(40)) == set(made.items.tolist())
    for row in range(len(events.users)):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        history = dict(zip(events.items[matrix.indices[part]].tolist(), matrix.data[part].tolist(), strict=True))
        scores = scores_of_history(collection, vectors, history)
        if scores is not None:
            left = np.sort(np.delete(scores, list(history)))[::-1][:8]
            np.testing.assert_allclose(found.scores[row], left, rtol=2e-5, atol=2e-5)
            np.testing.assert_allclose(scores[found.ids[row].tolist()], left, rtol=2e-5, atol=2e-5)
            assert not set(history) & set(found.ids[row].tolist())  # those of weight 0 were seen, too


@pytest.mark.parametrize("by_index", [False, True])
def test_among_and_cold_users_and_items_without_content(by_index, monkeypatch):
    if by_index:
        monkeypatch.setattr(content, "BY_INDEX", 0)
    vectors = rows_for("cosine", 10)
    events = nk.Interactions([1, 1, 2, 3], [0, 1, 77, 78])
    made = nk.ContentRecommender(nk.build(vectors, metric="cosine")).fit(events)
    found = made.recommend([1, 2, 9], k=4, among=[0, 5, 77, 78])
    assert found.ids[0, 2] == 5  # unlike the history; 77 and 78 have no content, and come by popularity alone
    assert found.scores[0, 2] < 0
    assert set(found.ids[0, :2].tolist()) == {77, 78}
    assert found.filled.tolist() == [2, 3, 4]
    assert found.reasons[1].startswith("all by popularity")
    assert found.reasons[2] == "an unknown user: all by popularity"
    assert made.recommend_for([{5: 1, 6: -1}], k=2).counts.tolist() == [2]


def test_shares_and_similar_items():
    vectors = np.float32([[1, 0], [0, 1], [0.8, 0.6], [0.6, -0.8]])
    made = nk.ContentRecommender(nk.build(vectors, metric="cosine")).fit(
        nk.Interactions(["a", "a"], [0, 1], weights=[3, 1])
    )
    found = made.recommend("a", k=1)
    assert found.ids.tolist() == [[2]]
    assert dict(found.because(0, 0)) == pytest.approx({0: 0.8, 1: 0.2})
    assert made.similar_items(3, k=3).ids.tolist() == [[0, 2, 1]]


def test_it_is_restored_over_the_same_collection():
    collection = nk.build(rows_for("cosine", 30), metric="cosine")
    made = nk.ContentRecommender(collection).fit(made_events(np.random.default_rng(0)))
    again = nk.ContentRecommender(collection)
    again.restore(made.state())
    np.testing.assert_array_equal(made.recommend(made.users, 5).ids, again.recommend(made.users, 5).ids)


def test_a_folder_is_opened_and_named_as_a_component(tmp_path):
    nk.build(rows_for("cosine", 30), metric="cosine").save(tmp_path / "c")
    events = made_events(np.random.default_rng(0))
    made = default_registry().make("recommender", f"content:{as_written(str(tmp_path / 'c'))}")
    assert made.fit(events).recommend(events.users[:1], 3).counts.tolist() == [3]


def test_what_cannot_be():
    collection = nk.build(rows_for("cosine", 10), metric="cosine")
    with pytest.raises(
        InputError, match="none of the 1 items, such as 'tea', is in the collection, whose ids are such as 0"
    ):
        nk.ContentRecommender(collection).fit(nk.Interactions([1], ["tea"]))
    made = nk.ContentRecommender(collection).fit(nk.Interactions([1], [2]))
    collection.delete([3])
    with pytest.raises(StateError, match="has changed since fit"):
        made.recommend(1)
