"""What a recommender is judged on: events to learn from, what it is told of each user, and what it should find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from nearkin.errors import ParameterError
from nearkin.interactions import Interactions

SplitKind = Literal["user-holdout", "leave-last-out"]


@dataclass(frozen=True, eq=False)
class Split:
    """Events to learn from, and questions.

    Attributes
    ----------
    train
        What recommenders learn from.
    users
        One a question: who is asked for.
    histories
        What is told of each, item id to weight; None where the users are known from `train`.
    wanted
        One a question: ids of the items to be found, at least one.
    kind
        What kind of split it is, in words.
    notes
        What was left out and how ties were broken, in sentences.
    """

    train: Interactions
    users: list[Any]
    histories: list[dict[Any, float]] | None
    wanted: list[list[Any]]
    kind: str
    notes: tuple[str, ...] = ()


class _Pairs(NamedTuple):
    """Each user and item once, in the order of users: the sum of the weights, and the last event with a weight above 0."""

    users: np.ndarray
    items: np.ndarray
    weights: np.ndarray
    last: np.ndarray
    of_event: np.ndarray


def _pairs(events: Interactions) -> _Pairs:
    width = max(1, len(events.items))
    keys, of_event = np.unique(events.user_codes * width + events.item_codes, return_inverse=True)
    last = np.zeros(len(keys), dtype=np.int64)
    np.maximum.at(last, of_event, np.where(events.weights > 0, _ranks(events), 0))
    weights = np.bincount(of_event, weights=events.weights, minlength=len(keys))
    return _Pairs(keys // width, keys % width, weights, last, of_event)


def _ranks(events: Interactions) -> np.ndarray:
    """(n,) place of each event in time; among equal times in the order given."""
    if events.times is None:
        return np.arange(len(events))
    ranks = np.empty(len(events), dtype=np.int64)
    ranks[np.argsort(events.times, kind="stable")] = np.arange(len(events))
    return ranks


def leave_last_out(events: Interactions) -> Split:
    """For each user the last item with a weight above 0 is asked for, all before and after it is learned from.

    The last is by the last event with a weight above 0: having turned down an item later does not make it the last that was liked.
    All events of the user with that item are held out. Users with one item only are learned from and not asked for.

    Raises
    ------
    ParameterError
        No user has two items.

    Examples
    --------
    >>> split = leave_last_out(Interactions(["a", "a", "b"], ["tea", "milk", "tea"], times=[2, 1, 1]))
    >>> split.users, split.wanted, len(split.train)
    (['a'], [['tea']], 2)
    """
    pairs = _pairs(events)
    several = np.bincount(pairs.users, minlength=len(events.users)) > 1
    liked = np.flatnonzero((pairs.weights > 0) & several[pairs.users])
    order = liked[np.lexsort((pairs.last[liked], pairs.users[liked]))]
    final = order[np.r_[pairs.users[order][1:] != pairs.users[order][:-1], True]] if len(order) else order
    if not len(final):
        raise ParameterError("no user has two items, so that one could be held out", hint="pass more events")
    notes = _left_out(len(np.unique(pairs.users)) - len(final), "with fewer than two items, or none that they liked")
    notes += _tied(events, pairs, final)
    out = np.zeros(len(pairs.users), dtype=bool)
    out[final] = True
    wanted = [[each] for each in events.items[pairs.items[final]].tolist()]
    users = events.users[pairs.users[final]].tolist()
    return Split(_trimmed(events, ~out[pairs.of_event]), users, None, wanted, "leave-last-out", tuple(notes))


def _tied(events: Interactions, pairs: _Pairs, final: np.ndarray) -> list[str]:
    if events.times is None:
        return ["there are no times: the last item is the last in the order of events"]
    by_rank = np.sort(events.times)
    when = by_rank[pairs.last]
    at_end = dict(zip(pairs.users[final].tolist(), when[final].tolist(), strict=True))
    same = np.array([at_end.get(user) == time for user, time in zip(pairs.users.tolist(), when.tolist(), strict=True)])
    tied = int((np.bincount(pairs.users[same & (pairs.weights > 0)], minlength=1) > 1).sum())
    if not tied:
        return []
    return [f"the last time of {tied:,} users is that of several items: the last one in the order of events is taken"]


def user_holdout(events: Interactions, *, share: float = 0.2, given: float = 0.8, seed: int = 0) -> Split:
    """A share of the users is not learned from: part of what each had to do with is told, and the liked rest is asked for.

    Parameters
    ----------
    share
        Of the users with two items or more, at least one user.
    given
        Share of a user's items that are told, at random; at least one, and at least one is left.

    Raises
    ------
    ParameterError
        Shares that are not between 0 and 1; fewer than two users, or none with two items.

    Examples
    --------
    >>> events = Interactions([u for u in range(10) for _ in range(4)], list(range(8)) * 5)
    >>> split = user_holdout(events, share=0.3, given=0.5)
    >>> len(split.users), len(split.train.users), [len(each) for each in split.histories]
    (3, 7, [2, 2, 2])
    """
    for name, value in (("share", share), ("given", given)):
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < 1:
            raise ParameterError(f"{name} is {value!r}, a number between 0 and 1 expected")
    pairs, rng = _pairs(events), np.random.default_rng(seed)
    counts = np.bincount(pairs.users, minlength=len(events.users))
    able = np.flatnonzero(counts > 1)
    if not len(able) or (counts > 0).sum() < 2:
        raise ParameterError("there are no two users, one of them with two items, so that one could be held out")
    many = min(max(1, round(share * len(able))), int((counts > 0).sum()) - 1)
    chosen = np.zeros(len(events.users), dtype=bool)
    chosen[rng.choice(able, many, replace=False)] = True
    users, histories, wanted = [], [], []
    starts = np.searchsorted(pairs.users, np.arange(len(counts) + 1))
    for user in np.flatnonzero(chosen).tolist():
        own = np.arange(starts[user], starts[user + 1])
        told = np.zeros(len(own), dtype=bool)
        told[rng.permutation(len(own))[: min(max(1, round(given * len(own))), len(own) - 1)]] = True
        asked = own[~told & (pairs.weights[own] > 0)]
        if len(asked):
            ids = events.items[pairs.items[own[told]]].tolist()
            users.append(events.users[user : user + 1].tolist()[0])
            histories.append(dict(zip(ids, pairs.weights[own[told]].tolist(), strict=True)))
            wanted.append(events.items[pairs.items[asked]].tolist())
    if not users:
        raise ParameterError("of no user that was held out there is an item left that they liked", hint="lower given")
    train = _trimmed(events, ~chosen[events.user_codes])
    notes = _left_out(many - len(users), "that were held out and liked nothing of what is asked for")
    return Split(train, users, histories, wanted, "user-holdout", tuple(notes))


def given_split(train: Interactions, test: Interactions) -> Split:
    """What users of `test` had to do with, weights above 0, is asked for, and `train` learned from.

    Items that the user has in `train` are not asked for, since what was seen is not recommended.

    Raises
    ------
    ParameterError
        Nothing in `test` has a weight above 0, or all of that is in `train` for the same user.
    """
    pairs = _pairs(test)
    liked = pairs.weights > 0
    if not liked.any():
        raise ParameterError("test has no event with a weight above 0, so that there is nothing to find")
    seen = _in(train, test, pairs)
    asked = np.flatnonzero(liked & ~seen)
    if not len(asked):
        raise ParameterError("train has all that test asks for, of the same users", hint="test with other events")
    codes, starts = np.unique(pairs.users[asked], return_index=True)
    wanted = [part.tolist() for part in np.split(test.items[pairs.items[asked]], starts[1:])]
    users = test.users[codes].tolist()
    known = set(train.users[np.unique(train.user_codes)].tolist())
    strangers = sum(each not in known for each in users)
    again = int((liked & seen).sum())
    notes = [f"{strangers:,} users of test are unknown to the training part"] if strangers else []
    notes += [f"{again:,} items of test are in the training part of the same user and not asked for"] if again else []
    notes += _left_out(len(np.unique(pairs.users)) - len(users), "with nothing liked in test that is left to find")
    return Split(train, users, None, wanted, "given test", tuple(notes))


def _in(train: Interactions, test: Interactions, pairs: _Pairs) -> np.ndarray:
    """(pairs,) whether the user of each pair of `test` has the item in `train`."""
    codes = []
    for ids, known in ((test.users, train.users), (test.items, train.items)):
        where = {each: code for code, each in enumerate(known.tolist())}
        codes.append(np.array([where.get(each, -1) for each in ids.tolist()], dtype=np.int64))
    users, items = codes[0][pairs.users], codes[1][pairs.items]
    width = max(1, len(train.items))
    there = np.isin(users * width + items, train.user_codes * width + train.item_codes)
    return np.asarray(there & (users >= 0) & (items >= 0))


def _left_out(count: int, which: str) -> list[str]:
    return [f"{count:,} users {which} are not asked for"] if count else []


def _trimmed(events: Interactions, kept: np.ndarray) -> Interactions:
    """Some events, with only the users and items that are in them."""
    return Interactions(
        events.users[events.user_codes[kept]],
        events.items[events.item_codes[kept]],
        weights=events.weights[kept],
        times=None if events.times is None else events.times[kept],
    )
