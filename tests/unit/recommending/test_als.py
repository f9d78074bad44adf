from __future__ import annotations

import numpy as np
import pytest
from tests.unit.recommending.rating_tables import events, history, ratings

from nearkin import ALS, Interactions
from nearkin.errors import NearkinError, ParameterError


def confidence(table: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    size = np.abs(table)
    return 1 + alpha * size / size[table != 0].mean(), (table > 0).astype(float)


def ridges(table: np.ndarray, scaling: str, regularization: float) -> tuple[np.ndarray, np.ndarray]:
    there = table != 0
    users, items = there.sum(axis=1).astype(float), there.sum(axis=0).astype(float)
    if scaling == "mean":
        users[:], items[:] = users.mean(), items.mean()
    elif scaling == "none":
        users[:], items[:] = 1, 1
    return regularization * users, regularization * items


def exact(c: np.ndarray, p: np.ndarray, ridge: np.ndarray, other: np.ndarray) -> np.ndarray:
    eye = np.eye(other.shape[1])
    return np.array(
        [
            np.linalg.solve((other.T * cu) @ other + r * eye, other.T @ (cu * pu))
            for cu, pu, r in zip(c, p, ridge, strict=True)
        ]
    )


@pytest.mark.parametrize("scaling", ["mean", "count", "none"])
def test_users_are_solved_for_exactly_known_or_not(scaling):
    table = ratings(2)
    fitted = ALS(factors=5, scaling=scaling, regularization=0.2).fit(events(table))
    c, p = confidence(table, 1.0)
    items = fitted.item_factors.astype(float)
    wanted = exact(c, p, ridges(table, scaling, 0.2)[0], items)
    np.testing.assert_allclose(fitted.user_factors, wanted, rtol=1e-4, atol=1e-5)
    found = fitted.recommend_for([history(row) for row in table], 14, exclude_seen=False)
    scores = np.sort(wanted @ items.T, axis=1)[:, ::-1]
    liking = (table > 0).any(axis=1)
    np.testing.assert_allclose(found.scores[liking], scores[liking], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scaling", ["mean", "count", "none"])
def test_it_converges_to_where_exact_alternation_does_not_move(scaling):
    table = ratings(7)
    fitted = ALS(factors=3, scaling=scaling, regularization=0.3, iterations=200).fit(events(table))
    c, p = confidence(table, 1.0)
    by_user, by_item = ridges(table, scaling, 0.3)
    users = exact(c, p, by_user, fitted.item_factors.astype(float))
    items = exact(c.T, p.T, by_item, users)
    np.testing.assert_allclose(fitted.item_factors, items, rtol=0.01, atol=0.01)


def test_losses_are_those_of_the_definition_and_descend():
    table = ratings(8)
    fitted = ALS(factors=4, regularization=0.2, iterations=300, scaling="count").fit(events(table))
    assert all(after <= before * (1 + 1e-5) for before, after in zip(fitted.losses, fitted.losses[1:], strict=False))
    c, p = confidence(table, 1.0)
    by_user, by_item = ridges(table, "count", 0.2)
    users, items = fitted.user_factors.astype(float), fitted.item_factors.astype(float)
    loss = (c * (p - users @ items.T) ** 2).sum()
    loss += (by_user * (users**2).sum(axis=1)).sum() + (by_item * (items**2).sum(axis=1)).sum()
    assert fitted.losses[-1] == pytest.approx(loss, rel=1e-3)


def test_parts_are_those_of_the_paper():
    table = ratings(9)
    fitted = ALS(factors=4).fit(events(table))
    found = fitted.recommend(list(range(len(table))), 3)
    given = fitted._histories
    for user in range(len(table)):
        row = given[[user]]
        for rank in range(3 - int(found.filled[user])):
            parts = fitted._parts(row.indices, row.data, int(found.codes[user, rank]))
            assert parts.sum() == pytest.approx(found.scores[user, rank], rel=1e-3, abs=1e-5)
            assert (parts[row.data < 0] == 0).all()


def test_search_and_scores_answer_the_same():
    """With few seen among many items it is a search; under among it is not."""
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(50), 6), rng.integers(0, 2000, 300)
    users, items = np.r_[users, np.arange(2000) % 50], np.r_[items, np.arange(2000)]
    liked = Interactions(users, items, weights=rng.uniform(1, 5, len(users)))  # no two items alike, so that none tie
    fitted = ALS(factors=8, iterations=3).fit(liked)
    few = [[int(each) for each in rng.choice(2000, size, replace=False)] for size in (1, 3, 9, 20, 60)]
    searched, scored = fitted.recommend_for(few, 5), fitted.recommend_for(few, 5, among=list(range(2000)))
    np.testing.assert_allclose(searched.scores, scored.scores, rtol=1e-4)
    assert searched.ids.tolist() == scored.ids.tolist()
    assert not any(set(ids) & set(seen) for ids, seen in zip(searched.ids.tolist(), few, strict=True))


def test_an_approximate_plan_is_searched():
    rng = np.random.default_rng(0)
    liked = Interactions(rng.integers(0, 200, 8000), rng.integers(0, 3000, 8000))
    exactly = ALS(factors=8, iterations=2).fit(liked).recommend_for([[5, 17]], 10)
    found = ALS(factors=8, iterations=2, plan="ivf16").fit(liked).recommend_for([[5, 17]], 10)
    assert found.counts.tolist() == [10]
    assert len(set(found.ids[0]) & set(exactly.ids[0])) >= 1


def test_who_only_disliked_gets_what_is_popular():
    fitted = ALS(factors=2).fit(Interactions(["a", "a", "b"], ["tea", "milk", "tea"]))
    assert fitted.recommend_for([{"tea": -1}], 1).filled.tolist() == [1]


def test_a_dislike_makes_the_alike_less_likely():
    table = ratings(3, users=60, disliked=0)
    fitted = ALS(factors=4, regularization=0.1).fit(events(table))
    liked = fitted._histories[[0]]
    plain, against = liked.copy(), liked.copy()
    against.data = against.data.copy()
    item = int(liked.indices[0])
    against.data[0] = -5.0
    assert fitted._scores(against)[0, item] < fitted._scores(plain)[0, item]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factors": 0}, "factors is 0"),
        ({"regularization": 0}, "regularization is 0, a number from 1e-06 to"),
        ({"regularization": 1e9}, "regularization is 1000000000.0, a number from 1e-06 to"),
        ({"alpha": 1e30}, "alpha is 1e\\+30, a number above 0 to"),
        ({"alpha": -1}, "alpha is -1, a number above 0 to"),
        ({"scaling": "half"}, "scaling is 'half'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ParameterError, match=said):
        ALS(**options)


DRINKS = Interactions(
    ["Anna", "Anna", "Anna", "Ben", "Ben", "Cleo", "Cleo", "Dan", "Dan", "Dan"],
    ["tea", "milk", "honey", "tea", "milk", "beer", "nuts", "beer", "nuts", "crisps"],
)


@pytest.mark.parametrize("factors", [2, 4, 64])
def test_rounding_is_not_recommended(factors):
    found = ALS(factors=factors).fit(DRINKS).recommend(["Anna", "Ben"], 3)
    assert found.reasons == ["all by popularity", "the last 2 by popularity"]
    assert found.ids[1, 0] == "honey"


def test_where_nothing_is_learned_all_get_what_is_popular():
    nothing_liked = Interactions(["a", "a", "b"], ["tea", "milk", "tea"], weights=[0, -1, 0])
    for fitted in (ALS(regularization=1e3).fit(DRINKS), ALS(factors=2).fit(nothing_liked)):
        found = fitted.recommend(fitted.users, 2)
        assert found.filled.tolist() == found.counts.tolist()
        assert fitted.recommend_for([["tea"]], 1).reasons == ["all by popularity"]
        assert fitted.similar_items("tea").counts.tolist() == [0]


def test_a_plan_that_cannot_be_read_is_told_before_learning_and_nothing_is_learned():
    made = ALS(plan="ifv")
    with pytest.raises(NearkinError, match="ifv"):
        made.fit(DRINKS)
    assert not made.fitted
    again = ALS(factors=2).fit(DRINKS)
    before = again.recommend("Ben", 2).ids.tolist()
    again.plan = "ifv"
    with pytest.raises(NearkinError, match="ifv"):
        again.fit(Interactions(["z"], ["soap"]))
    assert again.recommend("Ben", 2).ids.tolist() == before


def test_options_are_restored():
    table = ratings(4)
    fitted = ALS(factors=4, regularization=0.05, alpha=4.0, scaling="count").fit(events(table))
    again = ALS()
    again.restore(fitted.state())
    assert (again.factors, again.regularization, again.alpha, again.scaling) == (4, 0.05, 4.0, "count")
    asked = [history(row) for row in table]
    np.testing.assert_array_equal(again.recommend_for(asked, 5).scores, fitted.recommend_for(asked, 5).scores)
    assert again.recommend_for(asked, 2)[0] == fitted.recommend_for(asked, 2)[0]
