"""Recommender contract: from who had to do with what, to what each might like next.

An author writes `_learn` and `_scores`; `_parts` says because of what, `_alike` which items are alike, and `_best` is for those
that can find the best items without scoring them all. What users have seen, `among`, unknown users, ties and padding are
dealt with here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from nearkin.errors import (
    InputError,
    NotSupportedError,
    NotTrainedError,
    ParameterError,
    PluginContractError,
)
from nearkin.histories import History, asked_ids, read_histories
from nearkin.ids import IdTable, read_ids
from nearkin.interactions import Interactions, id_array
from nearkin.search_parameters import whole_number
from nearkin.state import State
from nearkin.suggestions import Because, Suggestions
from nearkin.vectors import block_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Parts = Callable[[int], np.ndarray | None]
"""Item code to what each item of a history adds to its score."""

MOST = 1_000_000
"""Items at most that are asked for each user."""


class Recommender(ABC):
    """Base of every recommender.

    Attributes
    ----------
    name
        How users ask for it.
    users, items : ndarray
        Ids of those it knows, once fitted.
    popularity : ndarray
        (items,) float64: the share of the known users who liked each item (a weight above 0 in sum), which answers those of whom
        nothing is known.
    """

    name: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    """Names of attributes, arguments of the constructor too, that `state` keeps and `restore` takes over."""
    users: np.ndarray
    items: np.ndarray
    popularity: np.ndarray

    # ---- what an author writes -------------------------------------------------------------------------------------

    @abstractmethod
    def _learn(self, matrix: csr_array) -> None:
        """Learn from (users, items) float64 weights; rows and columns are in the order of `users` and `items`."""

    @abstractmethod
    def _scores(self, histories: csr_array) -> np.ndarray:
        """(m, items) scores of all items for m histories (m, items), larger is better; -inf or NaN where there is nothing to say,
        which counts as 0: what is popular is answered before scores below 0.

        A row of the matrix that `_learn` saw is the history of that user: what is known of a user is in the history alone.
        """

    def _best(
        self, histories: csr_array, k: int, hidden: csr_array, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(m, k) item codes, padded with -1, and their scores, best first.

        Parameters
        ----------
        hidden
            (m, items) with an entry where an item must not be answered.
        among
            (items,) bool of those that may be; None for all.
        """
        codes, scores = (
            np.full((histories.shape[0], k), -1),
            np.full((histories.shape[0], k), -np.inf, dtype=np.float32),
        )
        step = block_rows(16 * max(1, len(self.items)))
        for start in range(0, len(codes), step):
            some = slice(start, start + step)
            found = np.array(self._checked_scores(histories[some]), dtype=np.float32)
            found[np.isnan(found)] = -np.inf
            if among is not None:
                found[:, ~among] = -np.inf
            found[places(hidden[some])] = -np.inf
            codes[some], scores[some] = largest(found, k)
        return codes, scores

    def _best_known(
        self, codes: np.ndarray, histories: csr_array, k: int, hidden: csr_array, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `_best`, of users that it learned from, by their position (-1 for those it did not): for a recommender that keeps
        what it would otherwise work out again from their histories. The answers are those of `_best`."""
        return self._best(histories, k, hidden, among)

    def _parts(self, history: Sequence[int], weights: np.ndarray, item: int) -> np.ndarray | None:
        """(h,) what each item of a history adds to the score of an item; None if the recommender cannot tell."""
        return None

    def _parts_of(self, history: Sequence[int], weights: np.ndarray) -> Parts:
        """`_parts` of one history for any item: for a recommender with work to do that is the same for all items."""
        return lambda item: self._parts(history, weights, item)

    def _alike(self, items: np.ndarray) -> np.ndarray:
        """(m, items) how alike all items are to each of some, larger is more alike."""
        raise NotSupportedError(f"{self.name} does not compare items", hint="item-knn, als and content do")

    def _state(self) -> State:
        """What was learned."""
        raise NotSupportedError(f"{self.name} cannot be kept")

    def _restore(self, state: State) -> None:
        raise NotSupportedError(f"{self.name} cannot be kept")

    def _more_items(self) -> Sequence[Any]:
        """Ids of items that it knows from elsewhere and can recommend before anybody had to do with them."""
        return ()

    # ---- what users call -------------------------------------------------------------------------------------------

    @property
    def fitted(self) -> bool:
        """Whether it has learned."""
        return hasattr(self, "popularity")

    def fit(self, interactions: Interactions) -> Self:
        """Learn from events.

        Raises
        ------
        InputError
            There are none.
        """
        if not len(interactions):
            raise InputError("there are no interactions to learn from")
        with self._all_or_nothing():
            self._learn_from(interactions)
        return self

    def _learn_from(self, interactions: Interactions) -> None:
        known = set(interactions.items.tolist())
        more = [each for each in self._more_items() if each not in known]
        users, self.users = _in_order(interactions.users.tolist())
        items, self.items = _in_order([*interactions.items.tolist(), *more])
        matrix = interactions.matrix()
        matrix.resize((matrix.shape[0], len(items)))
        matrix = matrix[users][:, items].tocsr()
        matrix.sort_indices()
        liked = np.bincount(matrix.indices[matrix.data > 0], minlength=matrix.shape[1])
        self.popularity = liked / max(1, matrix.shape[0])
        self._histories = matrix
        self._forget_places()
        self._learn(matrix.copy())

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """What fails to learn knows what it knew before."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def recommend(
        self, users: Any, k: int = 10, *, exclude_seen: bool = True, among: Iterable[Any] | None = None
    ) -> Suggestions:
        """The best items for users.

        Parameters
        ----------
        users
            One id, or several. Of whom nothing is known gets what is popular, and a reason.
        k
            Items a user, up to 1,000,000; there are never more columns than items.
        exclude_seen
            Leave out what the user had to do with.
        among
            Item ids, the only ones that may be answered; those that are not known are passed over.

        Raises
        ------
        NotTrainedError
            It was not fitted.
        ParameterError
            k is no whole number above 0, or something is no id.
        """
        self._need_fitted()
        asked = asked_ids(users, "users")
        where = self._places("users")
        codes = np.array([where.get(each, -1) for each in asked], dtype=np.int64)
        histories = self._rows_of(codes)
        return self._answer(asked, histories, k, exclude_seen, among, known=codes)

    def recommend_for(
        self,
        histories: Sequence[History],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        among: Iterable[Any] | None = None,
    ) -> Suggestions:
        """The best items for whoever has had to do with certain items, known users or not.

        Parameters
        ----------
        histories
            One a user: item ids, each as often as it counts, or item id to weight, below 0 for what is disliked. Unknown items are
            passed over.
        k, exclude_seen, among
            As for `recommend`.

        Raises
        ------
        NotTrainedError, ParameterError
            As for `recommend`; a text is no history.
        VectorError
            A weight is not finite, or beyond 1e30.
        """
        self._need_fitted()
        rows = read_histories(histories, self._places("items"))
        return self._answer([None] * rows.shape[0], rows, k, exclude_seen, among, known=None)

    def seen(self, user: Any) -> int:
        """How many items a user had to do with; 0 for one that is not known."""
        self._need_fitted()
        codes = np.array([code for code, each in enumerate(self.users.tolist()) if each == user], dtype=np.int64)
        return int(np.diff(self._histories[codes].indptr).sum())

    def similar_items(self, items: Any, k: int = 10) -> Suggestions:
        """Items most like one or several items, themselves left out; a row an item, whose id stands in `users`.

        Raises
        ------
        UnknownIdError
            There is no such item.
        NotSupportedError
            It does not compare items.
        """
        self._need_fitted()
        asked, wanted = asked_ids(items, "items"), whole_number("k", k, 1, MOST)
        codes = IdTable(self.items, len(self.items)).positions(asked)
        k = min(wanted, len(self.items))
        found, scores = np.full((len(codes), k), -1), np.full((len(codes), k), -np.inf, dtype=np.float32)
        step = block_rows(16 * len(self.items))
        for start in range(0, len(codes), step):
            some = codes[start : start + step]
            alike = np.array(self._alike(some), dtype=np.float32)
            alike[np.isnan(alike)] = -np.inf
            alike[np.arange(len(some)), some] = -np.inf
            found[start : start + step], scores[start : start + step] = largest(alike, k)
        nothing = np.zeros(len(codes), dtype=np.int64)
        counts = (found >= 0).sum(axis=1).tolist()
        short = [f"only {count} items compare with it" if count < wanted else "" for count in counts]
        return Suggestions(asked, found, scores, nothing, short, self.items)

    def state(self) -> State:
        """All that was learned, as arrays of its own and JSON, with the options that it was made with.

        Raises
        ------
        NotTrainedError
            Nothing was.
        NotSupportedError
            The recommender cannot be kept.
        """
        self._need_fitted()
        own, kept = self._state(), self._histories
        arrays = {"indptr": kept.indptr, "indices": kept.indices, "data": kept.data, "popularity": self.popularity}
        arrays |= {f"own.{key}": value for key, value in own.arrays.items()}
        meta = {"users": self.users.tolist(), "items": self.items.tolist(), "own": dict(own.meta)}
        meta["options"] = {name: getattr(self, name) for name in self.options}
        return State({key: np.array(value) for key, value in arrays.items()}, meta)

    def restore(self, state: State) -> None:
        """Be the recommender whose `state` this is, with its options."""
        with self._all_or_nothing():
            self._take_over(state)

    def _take_over(self, state: State) -> None:
        from scipy.sparse import csr_array

        users, items = state.meta["users"], state.meta["items"]
        arrays = {key: np.array(value) for key, value in state.arrays.items()}
        for name in self.options:
            setattr(self, name, state.meta["options"][name])
        self.users, self.items = id_array(users), id_array(items)
        shape = len(users), len(items)
        self._histories = csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        self._forget_places()
        own = {key.removeprefix("own."): value for key, value in arrays.items() if key.startswith("own.")}
        self.popularity = np.asarray(arrays["popularity"], dtype=np.float64)
        self._restore(State(own, state.meta["own"]))

    # ---- how it is answered ----------------------------------------------------------------------------------------

    def _need_fitted(self) -> None:
        if not self.fitted:
            raise NotTrainedError(f"this {self.name} was not fitted", hint="call fit with interactions")

    def _forget_places(self) -> None:
        self._where: dict[str, dict[Any, int]] = {}

    def _places(self, what: Literal["users", "items"]) -> dict[Any, int]:
        """Id to position, made once."""
        if what not in self._where:
            self._where[what] = {each: code for code, each in enumerate(getattr(self, what).tolist())}
        return self._where[what]

    def _rows_of(self, codes: np.ndarray) -> csr_array:
        """Histories of known users; empty ones for -1."""
        from scipy.sparse import csr_array

        kept = self._histories
        counts = np.where(codes >= 0, np.diff(kept.indptr)[codes], 0)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        # Entries by their place: a product of matrices would lose those whose weights sum to 0, and they were seen too.
        taken = np.arange(indptr[-1]) + np.repeat(kept.indptr[codes] - indptr[:-1], counts)
        return csr_array((kept.data[taken], kept.indices[taken], indptr), shape=(len(codes), len(self.items)))

    def _answer(
        self,
        users: Sequence[Any],
        histories: csr_array,
        k: int,
        exclude_seen: bool,
        among: Iterable[Any] | None,
        *,
        known: np.ndarray | None,
    ) -> Suggestions:
        from scipy.sparse import csr_array

        wanted = whole_number("k", k, 1, MOST)
        k = min(wanted, len(self.items))
        if isinstance(among, str):
            raise ParameterError(f"among is {among!r}, several item ids expected", hint=f"among=[{among!r}]")
        allowed = None if among is None else self._allowed(among)
        hidden = histories if exclude_seen else csr_array(histories.shape)
        if known is None:
            codes, scores = self._best(histories, k, hidden, allowed)
        else:
            codes, scores = self._best_known(known, histories, k, hidden, allowed)
        if codes.shape != (len(users), k) or scores.shape != codes.shape:
            raise PluginContractError(f"{self.name} answers {codes.shape} items, {(len(users), k)} expected")
        warm = np.diff(histories.indptr) > 0
        codes[~warm], scores[~warm] = -1, -np.inf
        filled = self._fill(codes, scores, histories, hidden, allowed)
        strangers = np.zeros(len(codes), dtype=bool) if known is None else known < 0
        found = Suggestions(users, codes, scores, filled, [""] * len(codes), self.items, self._explainer(histories))
        reasons = [
            self._reason(each, unknown, popular, count, wanted)
            for each, unknown, popular, count in zip(
                warm.tolist(), strangers.tolist(), found.by_popularity, found.counts.tolist(), strict=True
            )
        ]
        return replace(found, reasons=reasons)

    def _allowed(self, among: Iterable[Any]) -> np.ndarray:
        where, allowed = self._places("items"), np.zeros(len(self.items), dtype=bool)
        allowed[[where[each] for each in read_ids(among) if each in where]] = True
        return allowed

    def _fill(
        self,
        codes: np.ndarray,
        scores: np.ndarray,
        histories: csr_array,
        hidden: csr_array,
        allowed: np.ndarray | None,
    ) -> np.ndarray:
        """Popular items that have no score, in place, after those that score above 0 and before those below; how many for each
        row. They count as 0, or as popular as they are where nothing has a score."""
        filled = np.zeros(len(codes), dtype=np.int64)
        order = np.argsort(-self.popularity, kind="stable")
        if allowed is not None:
            order = order[allowed[order]]
        for row in np.flatnonzero((codes < 0).any(axis=1) | (scores < 0).any(axis=1)).tolist():
            there, first = int((codes[row] >= 0).sum()), int((scores[row] >= 0).sum())
            taken = np.concatenate([codes[row, :there], hidden.indices[hidden.indptr[row] : hidden.indptr[row + 1]]])
            if there < codes.shape[1]:  # all that has a score is in the row
                more = order[: codes.shape[1] + len(taken)]
            else:
                more = order[~np.isfinite(self._checked_scores(histories[[row]])[0, order])]
            more = more[~np.isin(more, taken)][: codes.shape[1] - first]
            end = first + len(more)
            left = slice(first, first + min(there - first, codes.shape[1] - end))
            codes[row, end : end + left.stop - first] = codes[row, left].copy()
            scores[row, end : end + left.stop - first] = scores[row, left].copy()
            codes[row, first:end] = more
            scores[row, first:end] = 0.0 if there else self.popularity[more]
            filled[row] = len(more)
        return filled

    def _reason(self, warm: bool, unknown: bool, popular: np.ndarray, count: int, k: int) -> str:
        said = []
        if not warm:
            said.append("an unknown user" if unknown else "nothing known in the history")
        if popular.any():
            said.append(f"{_which(np.flatnonzero(popular), count)} by popularity")
        if count < k:
            said.append(f"only {count} {'item is' if count == 1 else 'items are'} left to recommend")
        return ": ".join([said[0], ", ".join(said[1:])]) if len(said) > 1 and not warm else ", ".join(said)

    def _explainer(self, histories: csr_array) -> Any:
        ids = self.items
        made: dict[int, Parts] = {}  # of the row asked last: what is the same for all its items is worked out once

        def explain(row: int, item: int) -> list[Because]:
            part = slice(histories.indptr[row], histories.indptr[row + 1])
            history = histories.indices[part]
            parts = made.get(row)
            if parts is None:
                parts = self._parts_of(history, histories.data[part])
                made.clear()
                made[row] = parts
            added = parts(item)
            if added is None:
                return []
            total = float(np.abs(added).sum()) or 1.0
            return [
                Because(each, float(share) / total)
                for each, share in zip(ids[history].tolist(), added, strict=True)
                if share
            ]

        return explain

    def _checked_scores(self, histories: csr_array) -> np.ndarray:
        scores = np.asarray(self._scores(histories))
        if scores.shape != histories.shape:
            raise PluginContractError(f"{self.name} gives scores of shape {scores.shape}, {histories.shape} expected")
        return scores


def _in_order(ids: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Positions that sort ids, and those sorted: what is learned does not depend on the order of events."""
    table = id_array(ids)
    order = np.argsort(table, kind="stable")
    return order, table[order]


def _which(ranks: np.ndarray, count: int) -> str:
    """Successive ranks of a row in words."""
    first, end = int(ranks[0]), int(ranks[-1]) + 1
    if end - first == count:
        return "all"
    if end == count:
        return f"the last {end - first}"
    return f"the first {end}" if not first else f"{end - first} after the first {first}"


def places(matrix: csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every entry, those of 0 too."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices


def largest(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(m, k) columns with the largest finite values of each row and those values, descending, lower columns first among equals;
    padded with -1 and -inf.

    >>> codes, values = largest(np.float32([[1, 3, 3, -np.inf]]), 4)
    >>> codes.tolist(), values.tolist()
    ([[1, 2, 0, -1]], [[3.0, 3.0, 1.0, -inf]])
    """
    m, n = scores.shape
    take = min(k, n)
    codes, values = np.full((m, k), -1, dtype=np.int64), np.full((m, k), -np.inf, dtype=np.float32)
    if not take:
        return codes, values
    # The k-th value of each row, and all that are as large: a few more than k where values are equal.
    edge = np.partition(scores, n - take, axis=1)[:, n - take, None]
    rows, columns = np.nonzero(scores >= np.maximum(edge, np.finfo(scores.dtype).min))
    order = np.lexsort((columns, -scores[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
    best = ranks < take
    codes[rows[best], ranks[best]] = columns[best]
    values[rows[best], ranks[best]] = scores[rows[best], columns[best]]
    return codes, values
