from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin import ALS, Interactions, ItemKNN, State, UserKNN, recommenders
from nearkin.errors import InputError, NotTrainedError, ParameterError, UnknownIdError, VectorError
from nearkin.recommenders import largest
from nearkin.recommending.popularity import Popular

LIKED = Interactions(["a", "a", "b", "b", "c"], ["tea", "milk", "tea", "cup", "tea"])


@given(
    st.lists(st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), min_size=6, max_size=6), max_size=5),
    st.integers(1, 9),
)
def test_the_largest_come_first_and_ties_by_column(rows, k):
    scores = np.array(rows, dtype=np.float32).reshape(-1, 6)
    codes, values = largest(scores, k)
    for row, found, given_values in zip(scores.tolist(), codes.tolist(), values.tolist(), strict=True):
        order = [each for each in sorted(range(6), key=lambda each: (-row[each], each)) if np.isfinite(row[each])][:k]
        assert found == order + [-1] * (k - len(order))
        assert given_values == [row[each] for each in order] + [-np.inf] * (k - len(order))


@pytest.mark.parametrize("make", [ItemKNN, UserKNN, ALS, Popular])
def test_what_was_seen_with_weights_that_sum_to_nothing_was_seen(make):
    events = Interactions(["a", "a", "a", "b", "b"], [1, 1, 2, 1, 2], weights=[1, -1, 1, 1, 1])
    found = make().fit(events).recommend("a", 2)
    assert found.counts.tolist() == [0]
    assert found.reasons == ["only 0 items are left to recommend"]


@pytest.mark.parametrize("make", [ItemKNN, UserKNN, ALS, Popular])
def test_order_among_unknown_and_padding(make):
    fitted = make().fit(LIKED)
    assert fitted.recommend(["c", "nobody"], 3, among=["milk", "soap"]).ids.tolist() == [["milk", None, None]] * 2
    assert fitted.recommend("c", 2).users == ["c"]
    assert fitted.recommend([], 2).codes.shape == (0, 2)
    assert fitted.recommend_for([], 2).codes.shape == (0, 2)
    assert fitted.recommend("nobody", 1).reasons == ["an unknown user: all by popularity"]


@pytest.mark.parametrize("make", [ItemKNN, UserKNN, ALS, Popular])
def test_restored_by_another_it_answers_the_same(make):
    fitted = make().fit(LIKED)
    again = make()
    state = fitted.state()
    again.restore(State({name: array.copy() for name, array in state.arrays.items()}, dict(state.meta)))
    asked = ["a", "b", "c", "nobody"]
    assert again.recommend(asked, 2).ids.tolist() == fitted.recommend(asked, 2).ids.tolist()
    assert again.recommend_for([["milk"]], 2).ids.tolist() == fitted.recommend_for([["milk"]], 2).ids.tolist()


def test_items_come_in_the_same_order_whatever_that_of_events():
    back = Interactions(["c", "b", "b", "a", "a"], ["tea", "cup", "tea", "milk", "tea"])
    assert Popular().fit(back).items.tolist() == Popular().fit(LIKED).items.tolist() == ["cup", "milk", "tea"]
    numbers = Interactions([3, 1, 2], [30, 10, 20])
    assert Popular().fit(numbers).users.tolist() == [1, 2, 3]


def test_bad_questions_are_refused():
    fitted = ItemKNN().fit(LIKED)
    with pytest.raises(NotTrainedError, match="this item-knn was not fitted"):
        ItemKNN().recommend("a")
    with pytest.raises(InputError, match="there are no interactions"):
        ItemKNN().fit(Interactions([], []))
    with pytest.raises(ParameterError, match="among is 'tea', several item ids expected"):
        fitted.recommend("a", among="tea")
    with pytest.raises(VectorError, match="weights of a history"):
        fitted.recommend_for([{"tea": float("nan")}])
    with pytest.raises(UnknownIdError, match="'soap'"):
        fitted.similar_items("soap")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda made: made.recommend_for(["tea", "milk"]),
            "history 0 is 'tea', item ids or item id to weight expected",
        ),
        (lambda made: made.recommend_for("tea"), "histories is 'tea', one history a user expected"),
        (lambda made: made.recommend_for({"tea": 1}), "histories is {'tea': 1}, one history"),
        (lambda made: made.recommend_for(None), "histories is None"),
        (lambda made: made.recommend_for([{"tea": None}]), "the weight of 'tea' is None, a number expected"),
        (lambda made: made.recommend_for([{"tea": "x"}]), "the weight of 'tea' is 'x', a number expected"),
        (lambda made: made.recommend_for([{"tea": 1e31}]), "the weight of 'tea' is 1e\\+31, at most 1e\\+30"),
        (lambda made: made.recommend_for([[["tea"]]]), "history 0 holds \\['tea'\\], an item id"),
        (lambda made: made.recommend(None), "users is None, an id"),
        (lambda made: made.recommend(1.5), "users is 1.5, an id"),
        (lambda made: made.recommend([["a"]]), "users: place 0 holds \\['a'\\], a whole number or text"),
        (lambda made: made.similar_items(None), "items is None, an id"),
        (lambda made: made.recommend("a", 10**9), "k is 1000000000, at most 1,000,000"),
        (lambda made: made.similar_items("tea", 10**9), "k is 1000000000, at most 1,000,000"),
    ],
)
def test_what_is_no_id_no_history_or_no_weight_is_refused(ask, said):
    with pytest.raises(InputError, match=said):
        ask(ItemKNN().fit(LIKED))


def test_an_item_that_comes_again_in_a_history_counts_again():
    fitted = ItemKNN().fit(LIKED)
    twice, heavy = fitted.recommend_for([["milk", "cup", "cup"], {"milk": 1, "cup": 2}], 3)
    assert twice == heavy
    assert dict(twice[0].because)["cup"] > dict(twice[0].because)["milk"]


@pytest.mark.parametrize("make", [ItemKNN, UserKNN, ALS, Popular])
def test_a_large_k_takes_no_more_columns_than_there_are_items(make):
    fitted = make().fit(LIKED)
    found = fitted.recommend(["a", "nobody"], 1_000_000)
    assert found.codes.shape == (2, 3)
    assert found.counts.tolist() == [1, 3]
    assert found.reasons[0].endswith("only 1 item is left to recommend")


@pytest.mark.parametrize("make", [ItemKNN, UserKNN, ALS])
def test_the_state_is_a_copy(make):
    fitted = make().fit(LIKED)
    before = fitted.recommend_for([["tea"], ["cup"]], 2).scores.copy()
    state, again = fitted.state(), make()
    again.restore(state)
    for array in state.arrays.values():
        array[...] = 0
    np.testing.assert_array_equal(fitted.recommend_for([["tea"], ["cup"]], 2).scores, before)
    np.testing.assert_array_equal(again.recommend_for([["tea"], ["cup"]], 2).scores, before)


def test_options_on_which_answers_depend_are_restored():
    fitted = UserKNN("jaccard", 1, 2.0, "bm25").fit(LIKED)
    again = UserKNN()
    again.restore(fitted.state())
    assert (again.similarity, again.n_neighbors, again.shrinkage, again.weighting) == ("jaccard", 1, 2.0, "bm25")
    assert again.recommend_for([["tea"]], 2)[0] == fitted.recommend_for([["tea"]], 2)[0]


def test_one_history_is_explained_with_work_done_once():
    class Counting(ItemKNN):
        works = 0

        def _parts_of(self, history, weights):
            Counting.works += 1
            return super()._parts_of(history, weights)

    found = Counting().fit(LIKED).recommend_for([["tea"], ["milk", "cup"]], 2)
    rows = list(found)
    assert all(each.because for row in rows for each in row[:1])
    assert Counting.works == 2


def test_similar_items_in_blocks_are_those_of_one(monkeypatch):
    fitted = ItemKNN().fit(LIKED)
    whole = fitted.similar_items(["tea", "milk", "cup"], 2)
    monkeypatch.setattr(recommenders, "block_rows", lambda size: 1)
    assert fitted.similar_items(["tea", "milk", "cup"], 2).ids.tolist() == whole.ids.tolist()
