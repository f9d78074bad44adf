from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin import ALS, Interactions, ItemKNN, State, UserKNN
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
