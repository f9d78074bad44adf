from __future__ import annotations

import json
from math import log2
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from nearkin import ALS, ContentRecommender, Interactions, ItemKNN, Recommender, build, evaluate_recommender
from nearkin.errors import ParameterError, UnknownNameError
from nearkin.recommending.ranking_quality import coverage, novelty, personalization, ranking_measures
from nearkin.recommending.splits import given_split, leave_last_out, user_holdout


def plain(found: list[int], wanted: set[int], k: int) -> dict[str, float]:
    """The measures of one user, from their definitions."""
    hits = [rank for rank, item in enumerate(found[:k], 1) if item in wanted]
    ideal = sum(1 / log2(rank + 1) for rank in range(1, min(k, len(wanted)) + 1))
    precisions = [len([each for each in hits if each <= rank]) / rank for rank in hits]
    return {
        "ndcg": sum(1 / log2(rank + 1) for rank in hits) / ideal,
        "recall": len(hits) / len(wanted),
        "precision": len(hits) / k,
        "map": sum(precisions) / min(k, len(wanted)),
        "hit_rate": float(bool(hits)),
    }


@given(
    st.permutations(list(range(12))), st.sets(st.integers(0, 15), min_size=1), st.integers(1, 10), st.integers(0, 10)
)
def test_measures_are_those_of_the_definition(items, wanted, k, there):
    found = items[: min(k, there)]
    hits = np.zeros((1, k), dtype=bool)
    hits[0, : len(found)] = [each in wanted for each in found]
    got = ranking_measures(hits, np.array([len(wanted)]))
    for name, value in plain(found, wanted, k).items():
        assert got[name][0] == pytest.approx(value, abs=1e-12), name


def test_ndcg_is_that_of_scikit_learn():
    from sklearn.metrics import ndcg_score

    rng = np.random.default_rng(0)
    relevant, scores = rng.random((50, 30)) < 0.2, rng.random((50, 30))
    relevant[:, 0] = True
    order = np.argsort(-scores, axis=1)[:, :10]
    got = ranking_measures(np.take_along_axis(relevant, order, axis=1), relevant.sum(axis=1))
    assert got["ndcg"].mean() == pytest.approx(ndcg_score(relevant, scores, k=10))


def test_measures_of_all_lists():
    rng = np.random.default_rng(1)
    codes = np.array([rng.permutation(20)[:4] for _ in range(9)])
    pairs = [(a, b) for a in range(9) for b in range(9) if a != b]
    shared = np.mean([len(set(codes[a]) & set(codes[b])) / 4 for a, b in pairs])
    assert personalization(codes) == pytest.approx(1 - shared)
    shares = rng.uniform(0.1, 1, 20)
    assert novelty(codes, shares, 100) == pytest.approx(np.mean([-log2(shares[each]) for each in codes.ravel()]))
    assert coverage(codes, 40) == len(set(codes.ravel().tolist())) / 40
    assert (personalization(codes[:1]), novelty(np.array([[-1]]), shares, 9)) == (0.0, 0.0)
    assert f"{novelty(np.array([[0]]), np.ones(1), 3):.2f}" == "0.00"


@given(st.lists(st.sets(st.integers(0, 7), max_size=4), min_size=2, max_size=9))
def test_lists_of_any_length_overlap(lists):
    codes = np.array([[*sorted(each), *[-1] * (4 - len(each))] for each in lists])
    told = [each for each in lists if each]
    shared = [len(a & b) / max(len(a), len(b)) for row, a in enumerate(told) for b in told[:row]]
    assert personalization(codes) == pytest.approx(1 - np.mean(shared) if shared else 0.0)


# ---- splits ----------------------------------------------------------------------------------------------------------


def as_set(events: Interactions) -> set[tuple[Any, Any]]:
    users, items = events.users[events.user_codes].tolist(), events.items[events.item_codes].tolist()
    return set(zip(users, items, strict=True))


def some_events(seed: int, times: bool = True) -> Interactions:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 12, 80), rng.integers(0, 9, 80)
    return Interactions(
        users, items, weights=rng.choice([1.0, 3.0, -1.0], 80), times=rng.permutation(80) if times else None
    )


@given(st.integers(0, 500), st.booleans())
def test_the_last_liked_item_is_left_out(seed, times):
    events = some_events(seed, times)
    split = leave_last_out(events)
    asked = {(user, wanted[0]) for user, wanted in zip(split.users, split.wanted, strict=True)}
    assert not asked & as_set(split.train)
    assert asked | as_set(split.train) == as_set(events)
    when = np.arange(80) if events.times is None else events.times
    table = events.matrix().toarray()
    for user, wanted in zip(split.users, split.wanted, strict=True):
        own = (events.users[events.user_codes] == user) & (events.weights > 0)
        row = table[events.users.tolist().index(user)]
        last = {each: when[own & (events.items[events.item_codes] == each)].max() for each in events.items[row > 0]}
        assert max(last, key=lambda each: last[each]) == wanted[0]


def test_an_item_that_was_turned_down_later_is_not_the_last_that_was_liked():
    events = Interactions(["a", "a", "a"], [1, 2, 1], weights=[5, 5, -1], times=[1, 2, 3])
    assert leave_last_out(events).wanted == [[2]]
    disliked_at_once = Interactions(["a", "a", "a"], [1, 2, 3], weights=[5, 0, 0], times=[1, 1, 1])
    assert leave_last_out(disliked_at_once).notes == ()  # nothing else that was liked is as late


def test_ties_in_time_and_users_left_out_are_told():
    events = Interactions(["a", "a", "a", "b", "c", "c"], [1, 2, 3, 1, 1, 2], times=[1, 5, 5, 2, 1, 2])
    split = leave_last_out(events)
    assert dict(zip(split.users, split.wanted, strict=True)) == {"a": [3], "c": [2]}
    assert split.notes == (
        "1 users with fewer than two items, or none that they liked are not asked for",
        "the last time of 1 users is that of several items: the last one in the order of events is taken",
    )


@given(st.integers(0, 500), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_users_held_out_are_not_learned_from(seed, share, told):
    events = some_events(seed)
    try:
        split = user_holdout(events, share=share, given=told, seed=seed)
    except ParameterError:
        reject()  # nobody who was held out liked what they were not told
    assert not set(split.users) & set(split.train.users.tolist())
    table = events.matrix().toarray()
    items = events.items.tolist()
    for user, history, wanted in zip(split.users, split.histories, split.wanted, strict=True):
        row = table[events.users.tolist().index(user)]
        assert history
        assert wanted
        assert not set(history) & set(wanted)
        assert all(row[items.index(each)] > 0 for each in wanted)
        assert all(row[items.index(each)] == weight for each, weight in history.items())


def test_a_given_test_part_asks_for_what_it_likes():
    train = Interactions(["a", "b"], [1, 2])
    split = given_split(train, Interactions(["a", "c", "d"], [2, 1, 1], weights=[1, 1, -1]))
    assert (split.users, split.wanted) == (["a", "c"], [[2], [1]])
    assert split.notes == (
        "1 users of test are unknown to the training part",
        "1 users with nothing liked in test that is left to find are not asked for",
    )


def test_what_a_user_has_already_is_not_asked_for():
    train = Interactions(["a", "b", "b"], [1, 1, 2])
    split = given_split(train, Interactions(["b", "a", "a", "z"], [2, 1, 2, 1]))
    assert (split.users, split.wanted) == (["a", "z"], [[2], [1]])
    assert "2 items of test are in the training part of the same user and not asked for" in split.notes
    with pytest.raises(ParameterError, match="train has all that test asks for"):
        given_split(train, train)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: leave_last_out(Interactions(["a", "b"], [1, 2])), "no user has two items"),
        (lambda: user_holdout(Interactions(["a", "a"], [1, 2])), "there are no two users"),
        (lambda: user_holdout(some_events(0), share=1.0), "share is 1.0, a number between 0 and 1 expected"),
        (lambda: given_split(some_events(0), Interactions(["a"], [1], weights=[-1])), "test has no event"),
        (lambda: evaluate_recommender("item-knn", some_events(0), split="half"), "split is 'half'"),
        (lambda: user_holdout(some_events(0), share="0.2"), "share is '0.2', a number between"),
        (lambda: evaluate_recommender("item-knn", some_events(0), given="x"), "given is 'x', a number between"),
        (lambda: evaluate_recommender(ItemKNN, some_events(0)), "ItemKNN is a class, a recommender expected"),
        (lambda: evaluate_recommender(["als", 3], some_events(0)), "3 is a int, a recommender or its name expected"),
        (lambda: evaluate_recommender("als", [1, 2]), "interactions is a list, nearkin.Interactions expected"),
        (lambda: evaluate_recommender("als", some_events(0), test=[]), "test is a list, nearkin.Interactions expected"),
        (lambda: evaluate_recommender([], some_events(0)), "there is no recommender"),
        (lambda: evaluate_recommender("item-knn", Interactions([], [])), "there are no interactions"),
        (lambda: evaluate_recommender("item-knn", some_events(0), k=0), "k is 0"),
    ],
)
def test_splits_that_cannot_be_made_are_refused(call, said):
    with pytest.raises(ParameterError, match=said):
        call()


# ---- evaluation ------------------------------------------------------------------------------------------------------


class Knows(Recommender):
    """It answers what is wanted, first of all."""

    name = "knows"

    def __init__(self, wanted: dict[Any, list[Any]]) -> None:
        self.wanted = wanted

    def _learn(self, matrix: Any) -> None:
        pass

    def _scores(self, histories: Any) -> np.ndarray:
        scores = np.tile(self.popularity, (histories.shape[0], 1))
        for row, user in enumerate(self.users.tolist()):
            for each in self.wanted.get(user, ()):
                scores[row, self.items.tolist().index(each)] = 2.0
        return scores


def planted(seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(200), 10)
    return Interactions(users, 25 * (users % 3) + rng.integers(0, 25, 2000), times=np.arange(2000))


def test_who_knows_all_is_perfect_and_surely_better_than_popular():
    train = Interactions(np.r_[:40, :40], np.r_[:40, [(each + 1) % 40 for each in range(40)]])
    wanted = {user: [(user + 7) % 40, (user + 9) % 40] for user in range(40)}
    test = Interactions(np.repeat(np.arange(40), 2), np.array(list(wanted.values())).ravel())
    found = evaluate_recommender(Knows(wanted), train, test=test, k=2)
    row = found["knows"]
    means = [each.mean for each in (row.ndcg, row.recall, row.precision, row.map, row.hit_rate)]
    assert means == [1.0] * 5
    assert (found.rows[0].name, row.coverage, found.users, found.split) == ("knows", 1.0, 40, "given test")
    assert row.against["ndcg"].certain
    assert row.against["ndcg"].difference.mean == pytest.approx(1 - found["popular"].ndcg.mean)


@pytest.mark.parametrize("split", ["user-holdout", "leave-last-out"])
def test_neighbours_beat_popularity_on_planted_groups(split):
    found = evaluate_recommender(["popular", "item-knn", ItemKNN("jaccard")], planted(), split=split, k=5, seed=3)
    assert [row.name for row in found.rows][-1] == "popular"
    assert sorted(row.name for row in found.rows) == ["item-knn", "item-knn (2)", "popular"]
    for row in found.rows[:-1]:
        assert row.against["recall"].difference.low > 0
        assert row.personalization > found["popular"].personalization
        assert len(row.values["ndcg"]) == found.users
    assert found["popular"].against == {}


def test_the_same_seed_asks_the_same():
    one, again, other = (evaluate_recommender("item-knn", planted(), seed=seed)["item-knn"] for seed in (1, 1, 2))
    assert one.values["ndcg"].tolist() == again.values["ndcg"].tolist()
    assert one.values["ndcg"].tolist() != other.values["ndcg"].tolist()


def test_a_recommender_that_is_given_is_not_fitted():
    mine = ItemKNN()
    evaluate_recommender(mine, planted())
    assert not mine.fitted


def test_recommenders_over_collections_and_fitted_ones_are_taken_and_left_as_they_were():
    events = planted()
    vectors = np.random.default_rng(0).normal(size=(75, 8)).astype(np.float32)
    content = ContentRecommender(build(vectors, ids=list(range(75)), metric="cosine"))
    factors = ALS(factors=4, iterations=2).fit(events)
    before = factors.recommend(0).ids.tolist()
    found = evaluate_recommender([content, factors], events, split="leave-last-out", k=5)
    assert {row.name for row in found.rows} == {"content", "als", "popular"}
    assert not content.fitted
    assert factors.recommend(0).ids.tolist() == before


def test_intervals_of_precision_are_those_of_recall_where_one_item_is_wanted():
    row = evaluate_recommender("item-knn", planted(), split="leave-last-out", k=5)["item-knn"]
    recall, precision = row.against["recall"].difference, row.against["precision"].difference
    assert recall.low > 0
    assert 5 * precision.low == pytest.approx(recall.low)
    assert 5 * precision.high == pytest.approx(recall.high)
    assert (5 * row.precision.low, 5 * row.precision.high) == pytest.approx((row.recall.low, row.recall.high))
    assert row.against["precision"].p_value == pytest.approx(row.against["recall"].p_value)
    assert str(precision).endswith("200 users)")


def test_it_prints_a_table_and_becomes_json():
    found = evaluate_recommender("item-knn", planted(), split="leave-last-out", k=5)
    lines = str(found).splitlines()
    assert lines[0] == "200 users, leave-last-out"
    assert lines[2].split("  ")[0] == "recommender"
    assert {line.split()[0] for line in lines[3:]} == {"item-knn", "popular"}
    back = json.loads(json.dumps(found.to_dict()))
    assert [row["name"] for row in back["rows"]] == ["item-knn", "popular"]
    assert back["rows"][0]["against_popular"]["ndcg"]["difference"]["low"] > 0


def test_fewer_items_than_k_and_unknown_users_are_measured():
    train = Interactions(["a", "b"], [1, 2])
    found = evaluate_recommender("item-knn", train, test=Interactions(["a", "c"], [2, 9]), k=10)
    assert found["item-knn"].values["recall"].tolist() == [1.0, 0.0]
    assert found["item-knn"].values["precision"].tolist() == [0.1, 0.0]
    assert found.notes == ("1 users of test are unknown to the training part",)


def test_names_that_nothing_has_are_refused():
    with pytest.raises(UnknownNameError):
        evaluate_recommender("item-nn", planted())
    with pytest.raises(KeyError, match="'als' was not evaluated; item-knn, popular were"):
        evaluate_recommender("item-knn", planted())["als"]
