"""Checks of the recommender contract, on planted groups of users who each like items of their own kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nearkin.errors import NotSupportedError, NotTrainedError, ParameterError, UnknownIdError
from nearkin.histories import read_histories
from nearkin.interactions import Interactions
from nearkin.recommenders import Recommender
from nearkin.suggestions import Suggestions
from nearkin.testing.contract import (
    CheckFailed,
    Checks,
    NotApplicable,
    Subject,
    expect,
    expect_error,
    expect_json,
    written,
)

RECOMMENDER_CHECKS = Checks("recommender")

GROUPS = 4
USERS = 60
ITEMS = 48
EVENTS = 10
K = 8
_SHARE = 1e-3
"""Share of the largest score by which rounding, in another order of sums, may move a score."""


def _events(subject: Subject) -> tuple[list[str], list[str], np.ndarray]:
    """Users who mostly like items of their own group; the first items of a group are liked more."""
    rng = subject.rng("events")
    users, items = [], []
    for user in range(USERS):
        group = user % GROUPS
        own = group + GROUPS * np.minimum(rng.geometric(0.15, EVENTS) - 1, ITEMS // GROUPS - 1)
        strange = rng.random(EVENTS) < 0.1
        picked = np.where(strange, rng.integers(0, ITEMS, EVENTS), own)
        users += [f"user {user}"] * EVENTS
        items += [f"item {each}" for each in picked.tolist()]
    weights = rng.choice([1.0, 2.0, 3.0], len(users))
    weights[rng.random(len(users)) < 0.05] = -1.0
    return users, items, weights


def _interactions(subject: Subject, order: np.ndarray | None = None) -> Interactions:
    users, items, weights = _events(subject)
    taken = np.arange(len(users)) if order is None else order
    return Interactions([users[each] for each in taken], [items[each] for each in taken], weights=weights[taken])


def _fitted(subject: Subject) -> Recommender:
    """One for all checks; none changes it."""
    fitted: Recommender = subject.once("recommender", lambda: subject.make().fit(_interactions(subject)))
    return fitted


def _asked(subject: Subject) -> list[str]:
    return [f"user {each}" for each in range(USERS)]


def _answer(subject: Subject) -> Suggestions:
    return subject.once("answer", lambda: _fitted(subject).recommend(_asked(subject), K))


def _histories(subject: Subject) -> list[dict[str, float]]:
    """What each known user had to do with, in sum."""
    users, items, weights = _events(subject)
    found: dict[str, dict[str, float]] = {each: {} for each in _asked(subject)}
    for user, item, weight in zip(users, items, weights.tolist(), strict=True):
        found[user][item] = found[user].get(item, 0.0) + weight
    return list(found.values())


def _same(got: Suggestions, wanted: Suggestions, what: str) -> None:
    """Break the promise unless two answers have the same scores, and the same items but for ties."""
    expect(
        got.codes.shape == wanted.codes.shape,
        f"{what} answers {got.codes.shape} items, {wanted.codes.shape} expected",
    )
    one, other = (np.where(each.codes >= 0, each.scores, 0.0) for each in (got, wanted))
    size = np.abs(other).max(axis=1, keepdims=True) + 1e-6
    moved = float((np.abs(one - other) / size).max()) if one.size else 0.0
    expect(moved <= _SHARE, f"{what} moves a score by {moved:.3g} of the largest")
    for row in range(len(got)):
        differing = set(got.ids[row].tolist()) ^ set(wanted.ids[row].tolist())
        last = float(other[row, -1]) + 2 * _SHARE * float(size[row, 0])
        scores = _scored(got, row) | _scored(wanted, row)
        sure = [each for each in differing if each is not None and scores[each] > last]
        expect(not sure, f"{what} answers other items: {sorted(sure)[:3]} in one of the two answers only")


def _scored(answer: Suggestions, row: int) -> dict[Any, float]:
    return dict(zip(answer.ids[row].tolist(), answer.scores[row].tolist(), strict=True))


@RECOMMENDER_CHECKS.gate
def answers_shaped(subject: Subject) -> None:
    """k known items for each user, none twice, with finite scores; -1 and -inf where there are no more, at the end of a row."""
    answer = _answer(subject)
    items = len(_fitted(subject).items)
    shape = (USERS, K)
    expect(answer.codes.shape == shape, f"codes are {answer.codes.shape}, {shape} expected")
    there = answer.codes >= 0
    expect((answer.codes < items).all(), f"a code is {int(answer.codes.max())}, there are {items} items")
    expect((there[:, :-1] >= there[:, 1:]).all(), "an item stands after a place without one")
    expect(np.isfinite(answer.scores[there]).all(), "the score of an item is not finite")
    expect(np.isneginf(answer.scores[~there]).all(), "the score of a place without an item is not -inf")
    for row in answer.codes:
        found = row[row >= 0].tolist()
        expect(len(set(found)) == len(found), f"an item is answered twice in a row: {found}")


@RECOMMENDER_CHECKS.add
def order_descending(subject: Subject) -> None:
    """The scores of a row descend."""
    scores = _answer(subject).scores
    wrong = int((scores[:, :-1] < scores[:, 1:]).sum())
    expect(not wrong, f"at {wrong} places a score is larger than the one before it")


@RECOMMENDER_CHECKS.add
def seen_left_out(subject: Subject) -> None:
    """What a user had to do with is not recommended."""
    for ids, history in zip(_answer(subject).ids.tolist(), _histories(subject), strict=True):
        seen = sorted(set(ids) & set(history))
        expect(not seen, f"{seen[:3]} are recommended to a user who had to do with them")


@RECOMMENDER_CHECKS.add
def seen_when_asked(subject: Subject) -> None:
    """With exclude_seen=False what a user had to do with can be recommended too."""
    answer = _fitted(subject).recommend(_asked(subject), ITEMS, exclude_seen=False)
    for ids, history in zip(answer.ids.tolist(), _histories(subject), strict=True):
        lost = sorted(set(history) - set(ids))
        expect(not lost, f"{lost[:3]} are left out of all items, and nothing was to be")


@RECOMMENDER_CHECKS.add
def among_kept(subject: Subject) -> None:
    """Only items that are among those allowed are answered."""
    allowed = [f"item {each}" for each in range(0, ITEMS, 3)]
    answer = _fitted(subject).recommend(_asked(subject), K, among=[*allowed, "an unknown item"])
    others = sorted({each for each in answer.ids.ravel().tolist() if each is not None} - set(allowed))
    expect(not others, f"{others[:3]} are answered and were not among the items allowed")


@RECOMMENDER_CHECKS.add
def as_many_as_there_are(subject: Subject) -> None:
    """Each user gets k items, or all that are left where these are fewer."""
    recommender = _fitted(subject)
    items = len(recommender.items)
    for k in (K, ITEMS + 5):
        counts = recommender.recommend(_asked(subject), k).counts
        wanted = [min(k, items - len(history)) for history in _histories(subject)]
        row = next((row for row, count in enumerate(wanted) if counts[row] != count), -1)
        expect(row < 0, f"a user gets {counts[row]} items with k={k}, {wanted[row]} are left")


@RECOMMENDER_CHECKS.add
def unknown_answered(subject: Subject) -> None:
    """Unknown users, empty histories and histories of unknown items get items, and a reason."""
    recommender = _fitted(subject)
    for what, answer in (
        ("an unknown user", recommender.recommend(["nobody", "user 0"], K)),
        ("an empty history", recommender.recommend_for([{}], K)),
        ("a history of unknown items", recommender.recommend_for([["an unknown item"]], K)),
    ):
        expect(answer.counts[0] == K, f"{what} gets {answer.counts[0]} items, {K} expected")
        expect(answer.reasons[0], f"{what} gets items and no reason")


@RECOMMENDER_CHECKS.add
def disliked_answered(subject: Subject) -> None:
    """A history of disliked items only is answered, with finite scores."""
    answer = _fitted(subject).recommend_for([{"item 0": -1.0, "item 4": -2.0}], K)
    expect(answer.counts[0] == K, f"such a history gets {answer.counts[0]} items, {K} expected")
    expect(np.isfinite(answer.scores[0]).all(), "a score is not finite")


@RECOMMENDER_CHECKS.add
def worse_than_unknown_last(subject: Subject) -> None:
    """What scores below 0 comes after what is there for its popularity, of which nothing is known."""
    liked = "item 0"
    answer = _fitted(subject).recommend_for([{"item 1": -1.0}, {liked: 1.0, "item 5": -2.0}, {"item 2": -3.0}], ITEMS)
    for row in range(len(answer)):
        popular = np.flatnonzero(answer.by_popularity[row])
        below = np.flatnonzero((answer.codes[row] >= 0) & (answer.scores[row] < 0))
        wrong = len(popular) and len(below) and below[0] < popular[-1]
        expect(not wrong, f"an item that scores {answer.scores[row, below[:1]]} comes before popular ones")


@RECOMMENDER_CHECKS.add
def small_and_large_weights(subject: Subject) -> None:
    """Weights of a size of 1e-29 or 1e29, in events or in histories, give as many items as others do, with finite scores."""
    for size in (1e-29, 1e29):
        users, items, weights = _events(subject)
        learned = subject.make().fit(Interactions(users, items, weights=size * weights))
        told = [{each: size * weight for each, weight in history.items()} for history in _histories(subject)[::6]]
        for answer in (learned.recommend(_asked(subject), K), _fitted(subject).recommend_for(told, K)):
            expect((answer.counts == K).all(), f"with weights of {size:g} a user gets {answer.counts.min()} items")
            expect(np.isfinite(answer.scores).all(), f"with weights of {size:g} a score is not finite")


@RECOMMENDER_CHECKS.add
def seeded(subject: Subject) -> None:
    """Another recommender with the same options that learns from the same events answers the same."""
    _same(_again(subject), _answer(subject), "another one with the same options")


def _again(subject: Subject) -> Suggestions:
    again: Recommender = subject.once("again", lambda: subject.make().fit(_interactions(subject)))
    return again.recommend(_asked(subject), K)


def _need_seeded(subject: Subject) -> None:
    try:
        _same(_again(subject), _answer(subject), "")
    except CheckFailed:
        raise NotApplicable("it answers otherwise each time that it is fitted") from None


@RECOMMENDER_CHECKS.add
def order_of_events(subject: Subject) -> None:
    """The order in which events come does not matter."""
    _need_seeded(subject)
    order = subject.rng("order").permutation(USERS * EVENTS)
    other = subject.make().fit(_interactions(subject, order))
    _same(other.recommend(_asked(subject), K), _answer(subject), "another order of events")


@RECOMMENDER_CHECKS.add
def fitted_anew(subject: Subject) -> None:
    """A recommender that is fitted again forgets what it learned before."""
    _need_seeded(subject)
    half = np.arange(USERS * EVENTS // 2)
    again = subject.make().fit(_interactions(subject, half))
    again.recommend(_asked(subject), K)
    again.fit(_interactions(subject))
    _same(again.recommend(_asked(subject), K), _answer(subject), "fitting again")


@RECOMMENDER_CHECKS.add
def one_as_many(subject: Subject) -> None:
    """A user alone gets what the user gets among many."""
    answer = _answer(subject)
    for row, user in list(enumerate(_asked(subject)))[::7]:
        alone = _fitted(subject).recommend(user, K)
        _same(alone, _part(answer, [row]), "asking for a user alone")


def _part(answer: Suggestions, rows: Sequence[int]) -> Suggestions:
    some = np.asarray(rows)
    users, reasons = [answer.users[row] for row in rows], [answer.reasons[row] for row in rows]
    return Suggestions(users, answer.codes[some], answer.scores[some], answer.filled[some], reasons, answer.item_ids)


@RECOMMENDER_CHECKS.add
def known_as_history(subject: Subject) -> None:
    """A known user gets what somebody with the same history gets."""
    given = _fitted(subject).recommend_for(_histories(subject), K)
    _same(given, _answer(subject), "asking for the same histories")


@RECOMMENDER_CHECKS.add
def input_unchanged(subject: Subject) -> None:
    """Neither the events nor a history is changed."""
    events = _interactions(subject)
    before = [each.copy() for each in (events.user_codes, events.item_codes, events.weights, events.matrix().data)]
    recommender = subject.make().fit(events)
    histories = _histories(subject)
    recommender.recommend_for(histories, K)
    after = (events.user_codes, events.item_codes, events.weights, events.matrix().data)
    same = all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    expect(same, "the events that it learned from are changed")
    expect(histories == _histories(subject), "a history is changed by asking for it")
    _need_seeded(subject)
    _same(recommender.recommend(_asked(subject), K), _answer(subject), "asking for another answer before")


@RECOMMENDER_CHECKS.add
def state_round_trip(subject: Subject) -> None:
    """A fresh recommender that is given the state, as plain arrays and JSON, answers the same."""
    recommender = _fitted(subject)
    try:
        state = recommender.state()
    except NotSupportedError as error:
        raise NotApplicable(str(error)) from error
    expect_json(state, "the state")
    again: Recommender = subject.make()
    again.restore(written(state))
    _same(again.recommend(_asked(subject), K), _answer(subject), "the restored one")
    _same(
        again.recommend_for(_histories(subject), K),
        recommender.recommend_for(_histories(subject), K),
        "the restored one, asked for histories,",
    )


@RECOMMENDER_CHECKS.add
def because_of_history(subject: Subject) -> None:
    """What a suggestion is there because of is in the user's history, once, and the sizes of the shares sum to 1 at most."""
    answer = _answer(subject)
    for row, history in enumerate(_histories(subject)):
        for rank in range(0, K, 3):
            parts = answer.because(row, rank, most=EVENTS)
            named = [part.id for part in parts]
            strange = sorted(set(named) - set(history))
            expect(not strange, f"a suggestion is there because of {strange[:3]}, which are not in the history")
            expect(len(set(named)) == len(named), f"a suggestion is there twice because of the same item: {named}")
            total = sum(abs(part.share) for part in parts)
            expect(total <= 1 + 1e-6, f"the shares of a suggestion sum to {total:.3f}, 1 at most expected")


@RECOMMENDER_CHECKS.add
def parts_sum_to_score(subject: Subject) -> None:
    """Where a recommender says what each item of the history adds, these sum to the score."""
    recommender = _fitted(subject)
    answer = recommender.recommend_for(_histories(subject), K)
    for row, history in list(enumerate(_histories(subject)))[::5]:
        given = read_histories([history], recommender._places("items"))
        for rank in np.flatnonzero((answer.codes[row] >= 0) & ~answer.by_popularity[row]).tolist():
            parts = recommender._parts(given.indices, given.data, int(answer.codes[row, rank]))
            if parts is None:
                raise NotApplicable("it does not say what each item of a history adds")
            total, score = float(np.sum(parts)), float(answer.scores[row, rank])
            size = max(float(np.abs(parts).sum()), abs(score), 1e-9)
            expect(abs(total - score) <= _SHARE * size, f"the parts of a score of {score:.5g} sum to {total:.5g}")


@RECOMMENDER_CHECKS.add
def better_than_popular(subject: Subject) -> None:
    """To users who like one of several kinds of items it recommends more of that kind than what is popular with all would be."""
    answer = _answer(subject)
    own = (
        np.array([[_group(each) for each in ids] for ids in answer.ids.tolist()]) == np.arange(USERS)[:, None] % GROUPS
    )
    share = float(own.mean())
    expect(
        share > 1.5 / GROUPS,
        f"{share:.3f} of the recommended items are of the user's kind, chance gives {1 / GROUPS:.3f}",
    )


def _group(item: Any) -> int:
    return -1 if item is None else int(str(item).split()[-1]) % GROUPS


@RECOMMENDER_CHECKS.add
def similar_items_others(subject: Subject) -> None:
    """Similar items are other ones, most similar first, and more often of the same kind than by chance."""
    recommender = _fitted(subject)
    asked = recommender.items.tolist()
    try:
        answer = recommender.similar_items(asked, 5)
    except NotSupportedError as error:
        raise NotApplicable(str(error)) from error
    found = [(each, other) for each, ids in zip(asked, answer.ids.tolist(), strict=True) for other in ids if other]
    itself = [each for each, other in found if each == other]
    expect(not itself, f"{itself[:3]} are similar to themselves")
    expect((answer.scores[:, :-1] >= answer.scores[:, 1:]).all(), "a similarity is larger than the one before it")
    share = sum(_group(each) == _group(other) for each, other in found) / max(1, len(found))
    expect(
        share > 1.2 / GROUPS, f"{share:.3f} of the similar items are of the same kind, chance gives {1 / GROUPS:.3f}"
    )


@RECOMMENDER_CHECKS.add
def errors_told(subject: Subject) -> None:
    """Asking before fitting, k below 1 and similar items of an unknown one are errors of nearkin's own."""
    fresh: Recommender = subject.make()
    expect_error(NotTrainedError, "recommend before fit", lambda: fresh.recommend("user 0"))
    recommender = _fitted(subject)
    expect_error(ParameterError, "k=0", lambda: recommender.recommend("user 0", 0))
    expect_error(UnknownIdError, "an unknown item", lambda: recommender.similar_items("an unknown item"))
