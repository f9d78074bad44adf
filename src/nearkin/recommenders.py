"""Recommender contract: from who had to do with what, to what each might like next.

An author writes `_learn` and `_scores`; `_parts` says because of what, `_alike` which items are alike, and `_best` is for those
that can find the best items without scoring them all. What users have seen, `among`, unknown users, ties and padding are
dealt with here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from nearkin.errors import (
    InputError,
    NotSupportedError,
    NotTrainedError,
    ParameterError,
    PluginContractError,
    VectorError,
)
from nearkin.ids import IdTable, read_ids
from nearkin.interactions import Interactions, id_array
from nearkin.search_parameters import whole_number
from nearkin.state import State
from nearkin.suggestions import Because, Suggestions
from nearkin.vectors import block_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

History = Mapping[Any, float] | Iterable[Any]
"""Item ids, or item id to weight (below 0 for what is disliked)."""


class Recommender(ABC):
    """Base of every recommender.

    Attributes
    ----------
    name
        How users ask for it.
    users, items : ndarray
        Ids of those it knows, once fitted.
    popularity : ndarray
        (items,) float64: the share of the known users who had to do with each item, which answers those of whom nothing is known.
    """

    name: ClassVar[str]
    users: np.ndarray
    items: np.ndarray
    popularity: np.ndarray

    # ---- what an author writes -------------------------------------------------------------------------------------

    @abstractmethod
    def _learn(self, matrix: csr_array) -> None:
        """Learn from (users, items) float64 weights; rows and columns are in the order of `users` and `items`."""

    @abstractmethod
    def _scores(self, histories: csr_array) -> np.ndarray:
        """(m, items) scores of all items for m histories (m, items), larger is better; -inf or NaN where there is nothing to say.

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
        known = set(interactions.items.tolist())
        more = [each for each in self._more_items() if each not in known]
        users, self.users = _in_order(interactions.users.tolist())
        items, self.items = _in_order([*interactions.items.tolist(), *more])
        matrix = interactions.matrix()
        matrix.resize((matrix.shape[0], len(items)))
        matrix = matrix[users][:, items].tocsr()
        matrix.sort_indices()
        self.popularity = np.bincount(matrix.indices[matrix.data > 0], minlength=matrix.shape[1]) / max(
            1, matrix.shape[0]
        )
        self._histories = matrix
        self._forget_places()
        self._learn(matrix.copy())
        return self

    def recommend(
        self, users: Any, k: int = 10, *, exclude_seen: bool = True, among: Iterable[Any] | None = None
    ) -> Suggestions:
        """The best items for users.

        Parameters
        ----------
        users
            One id, or several. Of whom nothing is known gets what is popular, and a reason.
        k
            Items a user.
        exclude_seen
            Leave out what the user had to do with.
        among
            Item ids, the only ones that may be answered; those that are not known are passed over.

        Raises
        ------
        NotTrainedError
            It was not fitted.
        ParameterError
            k is no whole number above 0.
        """
        self._need_fitted()
        asked = [users] if isinstance(users, str | int | np.integer) else list(users)
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
            One a user: item ids, or item id to weight, below 0 for what is disliked. Unknown items are passed over.
        k, exclude_seen, among
            As for `recommend`.

        Raises
        ------
        NotTrainedError, ParameterError
            As for `recommend`.
        """
        self._need_fitted()
        rows = self._history_rows(histories)
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
        asked = [items] if isinstance(items, str | int | np.integer) else list(items)
        codes = IdTable(self.items, len(self.items)).positions(asked)
        alike = np.array(self._alike(codes), dtype=np.float32)
        alike[np.isnan(alike)] = -np.inf
        alike[np.arange(len(codes)), codes] = -np.inf
        found, scores = largest(alike, whole_number("k", k, 1))
        nothing = np.zeros(len(codes), dtype=np.int64)
        short = [
            f"only {count} items compare with it" if count < k else "" for count in (found >= 0).sum(axis=1).tolist()
        ]
        return Suggestions(asked, found, scores, nothing, short, self.items)

    def state(self) -> State:
        """All that was learned, as arrays and JSON.

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
        ids = {"users": self.users.tolist(), "items": self.items.tolist()}
        return State(
            {**arrays, **{f"own.{key}": value for key, value in own.arrays.items()}}, {**ids, "own": dict(own.meta)}
        )

    def restore(self, state: State) -> None:
        """Be the recommender whose `state` this is."""
        from scipy.sparse import csr_array

        users, items, arrays = state.meta["users"], state.meta["items"], state.arrays
        self.users, self.items = id_array(users), id_array(items)
        shape = len(users), len(items)
        self._histories = csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        self._forget_places()
        own = {key.removeprefix("own."): value for key, value in arrays.items() if key.startswith("own.")}
        self._restore(State(own, state.meta["own"]))
        self.popularity = np.asarray(arrays["popularity"], dtype=np.float64)

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

    def _history_rows(self, histories: Sequence[History]) -> csr_array:
        from scipy.sparse import csr_array

        where = self._places("items")
        rows, columns, weights = [], [], []
        for row, history in enumerate(histories):
            given = history if isinstance(history, Mapping) else dict.fromkeys(history, 1.0)
            for each, weight in given.items():
                if each in where:
                    rows.append(row)
                    columns.append(where[each])
                    weights.append(float(weight))
        if not np.isfinite(weights).all():
            raise VectorError("the weights of a history are not all finite numbers")
        return csr_array((np.array(weights), (rows, columns)), shape=(len(histories), len(where)))

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

        k = whole_number("k", k, 1)
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
        filled = self._fill(codes, scores, hidden, allowed)
        strangers = np.zeros(len(codes), dtype=bool) if known is None else known < 0
        reasons = [
            self._reason(each, unknown, full, count, k)
            for each, unknown, full, count in zip(
                warm.tolist(), strangers.tolist(), filled.tolist(), (codes >= 0).sum(axis=1).tolist(), strict=True
            )
        ]
        explain = self._explainer(histories)
        return Suggestions(users, codes, scores, filled, reasons, self.items, explain)

    def _allowed(self, among: Iterable[Any]) -> np.ndarray:
        where, allowed = self._places("items"), np.zeros(len(self.items), dtype=bool)
        allowed[[where[each] for each in read_ids(among) if each in where]] = True
        return allowed

    def _fill(self, codes: np.ndarray, scores: np.ndarray, hidden: csr_array, allowed: np.ndarray | None) -> np.ndarray:
        """Popular items in the places that are left, in place; how many for each row. They score below all others."""
        filled = np.zeros(len(codes), dtype=np.int64)
        order = np.argsort(-self.popularity, kind="stable")
        if allowed is not None:
            order = order[allowed[order]]
        for row in np.flatnonzero((codes < 0).any(axis=1)).tolist():
            there = int((codes[row] >= 0).sum())
            taken = np.concatenate([codes[row, :there], hidden.indices[hidden.indptr[row] : hidden.indptr[row + 1]]])
            more = order[: codes.shape[1] + len(taken)]
            more = more[~np.isin(more, taken)][: codes.shape[1] - there]
            last = min(0.0, float(scores[row, there - 1])) if there else 1.0
            codes[row, there : there + len(more)] = more
            scores[row, there : there + len(more)] = last + self.popularity[more] - 1.0
            filled[row] = len(more)
        return filled

    def _reason(self, warm: bool, unknown: bool, filled: int, count: int, k: int) -> str:
        said = []
        if not warm:
            said.append("an unknown user" if unknown else "nothing known in the history")
        if filled:
            said.append(f"{'all' if filled == count else f'the last {filled}'} by popularity")
        if count < k:
            said.append(f"only {count} {'item is' if count == 1 else 'items are'} left to recommend")
        return ": ".join([said[0], ", ".join(said[1:])]) if len(said) > 1 and not warm else ", ".join(said)

    def _explainer(self, histories: csr_array) -> Any:
        ids = self.items

        def explain(row: int, item: int) -> list[Because]:
            part = slice(histories.indptr[row], histories.indptr[row + 1])
            history = histories.indices[part]
            added = self._parts(history, histories.data[part], item)
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
