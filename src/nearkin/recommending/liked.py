"""Rows of a collection that are most like those that somebody liked, and least like those that they did not.

The score of a row i is

    sum_a w_a s(a, i) / sum_a w_a  -  beta  sum_b v_b s(b, i) / sum_b v_b

over the liked rows a and the disliked rows b with their weights, where s is the similarity of the metric, as searches answer it.
Under cosine, correlation and inner product that is the similarity to one row, J. Rocchio's query ("Relevance feedback in
information retrieval", 1971), and one search finds the best. Under any other metric a mean of rows stands for none of them (a mean
of bits or of categories is no row at all), and the sum is computed pair by pair: for all rows where they are few, otherwise for the
union of the neighbours of each liked row, taken deeper until no row outside of it can be better. That is the threshold algorithm of
R. Fagin, A. Lotem and M. Naor ("Optimal aggregation algorithms for middleware", 2003): what is not among the m nearest of a liked
row is at most as similar to it as the m-th.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.errors import ParameterError, UnknownIdError
from nearkin.filters import Where
from nearkin.ids import close_spellings, read_ids
from nearkin.metrics import unit_rows
from nearkin.recommending.similarities import is_linear, never_negative, similarities
from nearkin.suggestions import Because, Suggestions
from nearkin.views import View

if TYPE_CHECKING:
    from nearkin.collection_reader import CollectionReader

BETA = 0.5
"""What disliked rows count beside liked ones."""

Liked = Mapping[Any, float] | Iterable[Any]

FEW_PAIRS = 1 << 22
"""Pairs of a row and a liked or disliked one that are all computed."""

FIRST, DEEPEST, DEEPER = 64, 4096, 4
"""Neighbours of each liked row at first, at last, and how many times as many from one look to the next."""


@dataclass(frozen=True)
class Taste:
    """Liked and disliked rows.

    Attributes
    ----------
    positions
        (m,) where they are, the liked ones first.
    shares
        (m,) float64 what the similarity to each counts; those of the liked ones add up to 1, those of the others to -beta.
    liked
        How many are liked.
    rows
        (m, dim) as they are stored.
    """

    positions: np.ndarray
    shares: np.ndarray
    liked: int
    rows: np.ndarray


def recommend(
    collection: CollectionReader,
    liked: Liked,
    *,
    disliked: Liked = (),
    k: int = 10,
    where: Where | None = None,
    among: Iterable[Any] | None = None,
    exclude: Iterable[Any] = (),
    exclude_seen: bool = True,
    beta: float = BETA,
    threads: int | None = None,
) -> Suggestions:
    """See `nearkin.Collection.recommend`."""
    collection._need_open()
    collection._need_vectors("recommend")
    wanted = collection._asked(k)
    taste = _taste(collection, liked, disliked, beta)
    view = _view(collection, where, among, exclude)
    hidden = taste.positions if exclude_seen else np.empty(0, dtype=np.int64)
    search = _Search(collection, view, taste, hidden, collection._threads_for(threads))
    positions, parts = search.best(wanted)
    order = np.lexsort((positions, -parts.sum(axis=0)))[:wanted]
    reason = _why_fewer(len(order), wanted, view, hidden, narrowed=where is not None or among is not None)
    return _suggestions(collection, taste, positions[order], parts[:, order], wanted, reason)


# ---- what is asked ---------------------------------------------------------------------------------------------------


def _taste(collection: CollectionReader, liked: Liked, disliked: Liked, beta: float) -> Taste:
    if isinstance(beta, bool) or not isinstance(beta, int | float) or not (isfinite(beta) and beta >= 0):
        raise ParameterError(f"beta is {beta!r}, a number of at least 0 expected")
    good, bad = _weights(liked, "liked"), _weights(disliked, "disliked")
    if not good:
        raise ParameterError("nothing is liked, at least one id expected", hint="pass liked=[...] (--liked)")
    both = [each for each in good if each in bad]
    if both:
        raise ParameterError(f"{both[0]!r} is both liked and disliked", hint="leave it out of one of the two")
    positions = positions_of(collection, [*good, *bad])
    shares = np.concatenate([_shares(good), -float(beta) * _shares(bad)])
    return Taste(positions, shares, len(good), collection.rows.take(positions))


def _weights(given: Liked, what: str) -> dict[Any, float]:
    """Ids with their weights; an id that comes again counts again."""
    if isinstance(given, Mapping):
        pairs = list(zip(read_ids(list(given)), given.values(), strict=True))
    else:
        pairs = [(each, 1.0) for each in read_ids(given)]
    found: dict[Any, float] = {}
    for each, weight in pairs:
        if isinstance(weight, bool | str) or not _is_weight(weight):
            raise ParameterError(f"the weight of {each!r} in {what} is {weight!r}, a number above 0 expected")
        found[each] = found.get(each, 0.0) + float(weight)
    return found


def _is_weight(weight: Any) -> bool:
    try:
        return 0 < float(weight) < 1e30
    except (TypeError, ValueError):
        return False


def _shares(weights: Mapping[Any, float]) -> np.ndarray:
    values = np.fromiter(weights.values(), dtype=np.float64, count=len(weights))
    return values / values.sum() if len(values) else values


def positions_of(collection: CollectionReader, ids: list[Any]) -> np.ndarray:
    """Positions of ids.

    Raises
    ------
    UnknownIdError
        There is no row with one of them; the message has close spellings.
    """
    try:
        return collection.rows.ids.positions(ids)
    except UnknownIdError as error:
        missing = next(each for each in ids if each not in collection)
        there = collection.ids.tolist()
        such = f"its ids are such as {', '.join(map(repr, there[:3]))}" if there else None
        raise UnknownIdError(error.message, hint=close_spellings(missing, there) or error.hint or such) from error


def _view(
    collection: CollectionReader, where: Where | None, among: Iterable[Any] | None, exclude: Iterable[Any]
) -> View:
    """The rows that may be answered."""
    out = read_ids(exclude)
    if among is None and not out:
        return collection._view_of(where)
    if isinstance(among, str):
        raise ParameterError(f"among is {among!r}, several ids expected", hint=f"among=[{among!r}]")
    ids = collection.rows.ids
    with collection._moment():  # of one moment, as a change in between would be in one of the two and not in the other
        return restricted(
            collection, where, None if among is None else ids.existing(among), ids.existing(out) if out else None
        )


def restricted(
    collection: CollectionReader, where: Where | None, only: np.ndarray | None, out: np.ndarray | None = None
) -> View:
    """The rows that a filter keeps, of those at some positions (None for all), without those at others."""
    if only is None and out is None:
        return collection._view_of(where)
    with collection._moment():
        view = collection._current()
        allowed = np.full(len(collection.rows), only is None)
        if only is not None:
            allowed[only] = True
        if out is not None:
            allowed[out] = False
        positions = np.flatnonzero(allowed & collection._allowed(where))
        key = blake2b(positions.tobytes()).digest()
        return view.restricted.get(key) or view.only(key, positions)


# ---- how it is found -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Search:
    collection: CollectionReader
    view: View
    taste: Taste
    hidden: np.ndarray
    """Positions that are not answered."""
    threads: int

    def best(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions, the k best among them, and (m, n) what each liked or disliked row adds to the score of each."""
        if not self.view.count:
            return self._with_parts(np.empty(0, dtype=np.int64))
        if is_linear(self.collection.metric):
            query = self._rocchio()
            if query is not None:
                return self._with_parts(self._neighbours(query, k + len(self.hidden))[0].ravel())
        if self.view.count * len(self.taste.positions) <= FEW_PAIRS:
            return self._scan(k)
        return self._widened(k)

    def _rocchio(self) -> np.ndarray | None:
        """(1, dim) the row, in the metric's space, whose similarities are the scores; None where nothing is left of it."""
        metric = self.collection.metric
        prepared = metric.prepare_queries(self.taste.rows).astype(np.float64)
        query = self.taste.shares @ prepared
        length, longest = np.linalg.norm(query), np.linalg.norm(prepared, axis=1).max()
        if not length > 1e-6 * longest:  # rounding alone would say where it points
            return None
        made = query[None, :].astype(np.float32)
        return unit_rows(made) if metric.reduces_to == "l2" else made

    def _neighbours(self, prepared: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """(nq, depth) positions and distances, as many as there are."""
        found = self.view.search(prepared, min(depth, self.view.count), self.threads, {})
        return found.positions, self.collection.metric.finish(found.distances)

    def _with_parts(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those of the positions that may be answered, each once, and the parts of their scores, from the rows themselves."""
        left = np.setdiff1d(positions[positions >= 0], self.hidden)
        if not len(left):
            return left, np.empty((len(self.taste.shares), 0))
        return left, self._parts(self.collection.rows.take(left))

    def _parts(self, rows: np.ndarray) -> np.ndarray:
        alike = similarities(self.collection.metric, self.taste.rows, rows)
        return np.asarray(self.taste.shares[:, None] * alike)

    def _scan(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The best of all rows, block by block."""
        allowed = self.view.allowed.copy()
        allowed[self.hidden] = False
        positions, parts = np.empty(0, dtype=np.int64), np.empty((len(self.taste.shares), 0))
        for first, block in self.collection.rows.blocks(0, len(allowed)):
            some = np.flatnonzero(allowed[first : first + len(block)])
            if not some.size:
                continue
            positions = np.concatenate([positions, first + some])
            parts = np.concatenate([parts, self._parts(np.asarray(block[some]))], axis=1)
            best = np.lexsort((positions, -parts.sum(axis=0)))[:k]
            positions, parts = positions[best], parts[:, best]
        return positions, parts

    def _widened(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Candidates: the neighbours of each liked row, and of their mean where one can be made, deeper until none is missing."""
        metric, liked = self.collection.metric, self.taste.liked
        prepared = metric.prepare_queries(self.taste.rows[:liked])
        asked = prepared
        if metric.reduces_to is not None:  # a row near several lies between them, near the mean
            mean = (self.taste.shares[:liked] @ prepared.astype(np.float64))[None, :].astype(np.float32)
            asked = np.concatenate([prepared, mean])
        depth = max(FIRST, 2 * (k + len(self.hidden)))
        while True:
            found, distances = self._neighbours(asked, depth)
            positions, parts = self._with_parts(found.ravel())
            if depth >= min(DEEPEST, self.view.count) or self._is_complete(found, distances, parts, k):
                return positions, parts
            depth *= DEEPER

    def _is_complete(self, found: np.ndarray, distances: np.ndarray, parts: np.ndarray, k: int) -> bool:
        """Whether no row outside can score more than the k-th inside: none is more similar to a liked row than its last."""
        liked = self.taste.liked
        if parts.shape[1] < k or (found[:liked, -1] < 0).any():
            return False
        if liked < len(self.taste.shares) and not never_negative(self.collection.metric):
            return False  # being unlike what is disliked may add any amount
        last = self.collection.metric.similarity(distances[:liked, -1].astype(np.float64))
        return bool(np.sort(parts.sum(axis=0))[-k] >= float(self.taste.shares[:liked] @ last))


# ---- what is answered ------------------------------------------------------------------------------------------------


def _why_fewer(count: int, k: int, view: View, hidden: np.ndarray, *, narrowed: bool) -> str:
    if count >= k:
        return ""
    seen = int(view.allowed[hidden[hidden < len(view.allowed)]].sum())
    kept = f"{view.count:,} row{'' if view.count == 1 else 's'}"
    whole = f"{kept} may be answered" if narrowed else f"the collection has {kept}"
    return f"{whole}, {seen:,} of them liked or disliked, {k:,} asked" if seen else f"{whole}, {k:,} asked"


def _suggestions(
    collection: CollectionReader, taste: Taste, positions: np.ndarray, parts: np.ndarray, k: int, reason: str
) -> Suggestions:
    count = len(positions)
    codes, scores = np.full((1, k), -1, dtype=np.int64), np.full((1, k), -np.inf, dtype=np.float32)
    codes[0, :count], scores[0, :count] = np.arange(count), parts.sum(axis=0)
    ids = collection.rows.ids
    whose = ids.at(taste.positions).tolist()

    def explain(row: int, code: int) -> list[Because]:
        total = float(np.abs(parts[:, code]).sum()) or 1.0
        return [Because(each, float(part) / total) for each, part in zip(whose, parts[:, code], strict=True) if part]

    return Suggestions(
        [None], codes, scores, np.zeros(1, dtype=np.int64), [reason], np.asarray(ids.at(positions)), explain
    )
