"""How good recommenders are, on the same questions, beside popularity."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.accuracy import Interval
from nearkin.errors import ParameterError
from nearkin.interactions import Interactions
from nearkin.paired import Comparison, Difference, compare
from nearkin.recommenders import Recommender
from nearkin.recommending.popularity import Popular
from nearkin.recommending.ranking_quality import MEASURES, coverage, novelty, personalization, ranking_measures
from nearkin.recommending.splits import Split, SplitKind, given_split, leave_last_out, user_holdout
from nearkin.registry import default_registry
from nearkin.search_parameters import whole_number
from nearkin.suggestions import Suggestions

if TYPE_CHECKING:
    from nearkin.registry import Registry

Given = str | Recommender


@dataclass(frozen=True, eq=False)
class RecommenderRow:
    """How good one recommender is.

    Attributes
    ----------
    name
        As it was given; of several alike the later ones with a number.
    ndcg, recall, precision, map, hit_rate : Interval
        Means over the users, with 95 % intervals; see `against` for differences, which are surer than two intervals side by side.
    coverage
        Share of the items that it knows, those of the training part and for `content` those of its collection, that anybody is
        recommended.
    novelty
        Mean self-information of what is recommended, in bits.
    personalization
        1 less the mean overlap of two users' lists.
    against : mapping of str to Comparison
        Each measure beside that of popularity, user by user; empty for popularity itself.
    values : mapping of str to ndarray
        (users,) of each measure.
    learn_seconds, answer_seconds
        Of learning, and of recommending to all users in one call.
    """

    name: str
    ndcg: Interval
    recall: Interval
    precision: Interval
    map: Interval
    hit_rate: Interval
    coverage: float
    novelty: float
    personalization: float
    learn_seconds: float
    answer_seconds: float
    values: Mapping[str, np.ndarray] = field(repr=False)
    against: Mapping[str, Comparison] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; without `values`."""
        kept = {name: value for name, value in vars(self).items() if name not in ("values", "against")}
        plain = {name: asdict(value) if isinstance(value, Interval) else value for name, value in kept.items()}
        return {**plain, "against_popular": {name: asdict(value) for name, value in self.against.items()}}


@dataclass(frozen=True, eq=False)
class RecommenderEvaluation:
    """Recommenders on the same questions, the best NDCG first.

    Attributes
    ----------
    rows : sequence of RecommenderRow
        One a recommender, popularity among them.
    k
        Items recommended to each user.
    users
        How many were asked for.
    split
        How they were chosen.
    notes
        What was left out and how ties were broken.
    """

    rows: Sequence[RecommenderRow]
    k: int
    users: int
    split: str
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> RecommenderRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r} was not evaluated; {', '.join(row.name for row in self.rows)} were")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        rows = [row.to_dict() for row in self.rows]
        return {"split": self.split, "k": self.k, "users": self.users, "rows": rows, "notes": list(self.notes)}

    def __str__(self) -> str:
        k = self.k
        head = ["recommender", f"NDCG@{k}", "95 % interval", "against popular", f"recall@{k}", f"precision@{k}"]
        head += [f"MAP@{k}", "hit rate", "coverage", "novelty", "personal"]
        lines = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
        shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        title = f"{self.users:,} users, {self.split}"
        return "\n".join([title, "", *(line.rstrip() for line in shown), *(f"Note: {note}." for note in self.notes)])


def _cells(row: RecommenderRow) -> list[str]:
    beside = "" if not row.against else "{0.mean:+.3f} ({0.low:+.3f} to {0.high:+.3f})".format(
        row.against["ndcg"].difference
    )  # fmt: skip
    means = [f"{getattr(row, name).mean:.3f}" for name in ("recall", "precision", "map", "hit_rate")]
    interval = f"{row.ndcg.low:.3f} to {row.ndcg.high:.3f}"
    rest = [f"{row.coverage:.3f}", f"{row.novelty:.2f}", f"{row.personalization:.3f}"]
    return [row.name, f"{row.ndcg.mean:.3f}", interval, beside, *means, *rest]


def evaluate_recommender(
    recommender: Given | Iterable[Given],
    interactions: Interactions,
    *,
    split: SplitKind = "user-holdout",
    test: Interactions | None = None,
    k: int = 10,
    share: float = 0.2,
    given: float = 0.8,
    seed: int = 0,
    registry: Registry | None = None,
) -> RecommenderEvaluation:
    """Learn from part of the events and see how much of the rest is found, beside popularity.

    Parameters
    ----------
    recommender
        One or several: names with options as on the command line, or recommenders, of which copies are fitted anew.
    interactions
        All events, or, with `test`, those to learn from.
    split
        ``"user-holdout"``: a share of the users is not learned from; part of what each had to do with is given as a history, and
        the liked rest is to be found. ``"leave-last-out"``: the last item that each user liked is to be found, all else is learned
        from.
    test
        What is to be found, for users of `interactions`; then there is no split to make. Items that a user has in `interactions`
        are not asked of them, since they are never recommended; `notes` counts them.
    k
        Items recommended to each.
    share, given
        Of the users held out, and of the items of each that are given, for ``"user-holdout"``.
    seed
        Of what is drawn at random.

    Returns
    -------
    RecommenderEvaluation
        Printed, it is a table. Wanted are items with weights above 0; what was given or learned of a user is never recommended.
        Items that nobody in the training part had to do with cannot be found, and count as missed.

    Raises
    ------
    ParameterError
        Options that make no sense; events that leave nothing to learn from or to find.
    UnknownNameError
        No recommender has that name.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> users = np.repeat(np.arange(200), 8)
    >>> items = 20 * (users % 2) + rng.integers(0, 20, 1600)
    >>> found = evaluate_recommender("item-knn", Interactions(users, items), k=5)
    >>> [row.name for row in found.rows], found["item-knn"].against["ndcg"].certain
    (['item-knn', 'popular'], True)
    """
    k = whole_number("k", k, 1)
    registry = registry or default_registry()
    chosen = _named(recommender, registry)
    parts = _split_of(interactions, split, test, share, given, whole_number("seed", seed, 0, 2**63))
    yardstick = _row(
        next((name for name, each in chosen if each.name == Popular.name), Popular.name), Popular(), parts, k
    )
    rows = [_row(name, each, parts, k, yardstick) for name, each in chosen if each.name != Popular.name]
    ranked = sorted([*rows, yardstick], key=lambda row: -row.ndcg.mean)
    return RecommenderEvaluation(tuple(ranked), k, len(parts.users), parts.kind, parts.notes)


def _split_of(
    interactions: Interactions, split: str, test: Interactions | None, share: float, given: float, seed: int
) -> Split:
    for what, events in (("interactions", interactions), ("test", test)):
        if not (isinstance(events, Interactions) or (events is None and what == "test")):
            raise ParameterError(
                f"{what} is a {type(events).__name__}, nearkin.Interactions expected",
                hint="nk.Interactions(users, items)",
            )
    if not len(interactions):
        raise ParameterError("there are no interactions to learn from")
    if test is not None:
        return given_split(interactions, test)
    if split == "user-holdout":
        return user_holdout(interactions, share=share, given=given, seed=seed)
    if split == "leave-last-out":
        return leave_last_out(interactions)
    raise ParameterError(f"split is {split!r}, 'user-holdout' or 'leave-last-out' expected")


def _named(recommender: Given | Iterable[Given], registry: Registry) -> list[tuple[str, Recommender]]:
    """Fresh recommenders, each with a name of its own."""
    several = (
        list(recommender) if isinstance(recommender, Iterable) and not isinstance(recommender, str) else [recommender]
    )
    if not several:
        raise ParameterError("there is no recommender to evaluate", hint='pass "als", for one')
    named: list[tuple[str, Recommender]] = []
    for each in several:
        if not isinstance(each, str | Recommender):
            raise _no_recommender(each)
        name = each if isinstance(each, str) else each.name
        # What fit learns takes the place of what was learned before, so that a copy may share it, and with it whole collections.
        made = registry.make("recommender", each) if isinstance(each, str) else copy(each)
        before = sum(other == name or other.startswith(f"{name} (") for other, _ in named)
        named.append((f"{name} ({before + 1})" if before else name, made))
    return named


def _no_recommender(given: Any) -> ParameterError:
    if isinstance(given, type) and issubclass(given, Recommender):
        return ParameterError(f"{given.__name__} is a class, a recommender expected", hint=f"pass {given.__name__}()")
    return ParameterError(f"{given!r:.60} is a {type(given).__name__}, a recommender or its name expected")


def _row(
    name: str, recommender: Recommender, split: Split, k: int, beside: RecommenderRow | None = None
) -> RecommenderRow:
    start = time.perf_counter()
    recommender.fit(split.train)
    learned = time.perf_counter()
    answer = (
        recommender.recommend(split.users, k)
        if split.histories is None
        else recommender.recommend_for(split.histories, k)
    )
    answered = time.perf_counter()
    wanted = np.array([len(each) for each in split.wanted])
    values = ranking_measures(_hits(answer, split.wanted, k), wanted)
    largest = {**dict.fromkeys(MEASURES, 1.0), "precision": float((np.minimum(k, wanted) / k).max())}
    means = {measure: _interval(values[measure], largest[measure]) for measure in MEASURES}
    return RecommenderRow(
        name=name,
        ndcg=means["ndcg"],
        recall=means["recall"],
        precision=means["precision"],
        map=means["map"],
        hit_rate=means["hit_rate"],
        coverage=coverage(answer.codes, len(recommender.items)),
        novelty=novelty(answer.codes, recommender.popularity, len(recommender.users)),
        personalization=personalization(answer.codes),
        learn_seconds=learned - start,
        answer_seconds=answered - learned,
        values=values,
        against={}
        if beside is None
        else {each: _comparison(values[each], beside.values[each], largest[each]) for each in MEASURES},
    )


def _interval(values: np.ndarray, largest: float) -> Interval:
    """Of a mean of values that are at most `largest`: intervals reckon with queries that were never asked and have all there is."""
    found = Interval.of(values / largest)
    return replace(found, mean=found.mean * largest, low=found.low * largest, high=found.high * largest)


def _comparison(first: np.ndarray, second: np.ndarray, largest: float) -> Comparison:
    """As `_interval`, of two."""
    found = compare(first / largest, second / largest)
    gap = found.difference
    scaled = Difference(gap.mean * largest, gap.low * largest, gap.high * largest, gap.queries, unit="users")
    return replace(found, first=found.first * largest, second=found.second * largest, difference=scaled)


def _hits(answer: Suggestions, wanted: Sequence[Sequence[Any]], k: int) -> np.ndarray:
    """(users, k) whether the item at each rank is wanted; answers have fewer columns where there are fewer items."""
    hits = np.zeros((len(answer), k), dtype=bool)
    there = answer.codes >= 0
    for row, (ids, asked) in enumerate(zip(answer.ids.tolist(), wanted, strict=True)):
        sought = set(asked)
        hits[row, : len(ids)] = [each in sought for each in ids]
    hits[:, : there.shape[1]] &= there
    return hits
