"""Items whose content is like that of a user's history: the vectors of a collection, and nothing of other users."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nearkin.errors import InputError, StateError
from nearkin.metrics import unit_rows
from nearkin.recommenders import Recommender
from nearkin.recommending.liked import restricted
from nearkin.recommending.similarities import is_linear, similarities
from nearkin.state import State
from nearkin.vectors import block_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from nearkin.collection import Collection

BY_INDEX = 100_000
"""Items from which on the collection's index is asked, where the metric allows that, instead of all items compared."""


class ContentRecommender(Recommender):
    """Items most like those of a user's history, by the vectors and the metric of a collection.

    The score of an item is the mean of its similarities to the items of the history, weighted: what has a weight below 0 was
    disliked and counts against it. Items that nobody had to do with yet are recommended like all others, which is what content is
    for; items of a history that the collection does not have say nothing. Of more than 100,000 items under cosine, correlation or
    inner product the collection's index finds the best, by one batch of queries (Rocchio's, 1971); otherwise all are compared.

    Parameters
    ----------
    collection
        A `nearkin.Collection` whose ids are items, or the folder of one. It must not change between `fit` and `recommend`.

    Raises
    ------
    InputError
        In `fit`: no item of the interactions is in the collection.
    StateError
        The rows of the collection were not kept, or changed since `fit`.

    Examples
    --------
    >>> import nearkin as nk
    >>> drinks = nk.build([[1, 0], [0.9, 0.1], [0, 1]], ids=["tea", "mate", "beer"], metric="cosine")
    >>> content = ContentRecommender(drinks).fit(nk.Interactions(["ann", "bob"], ["tea", "beer"]))
    >>> content.recommend("ann", k=1)[0][0].id  # which nobody has bought yet
    'mate'
    """

    name: ClassVar[str] = "content"

    def __init__(self, collection: Collection | str | os.PathLike[str]) -> None:
        self.collection = collection

    # ---- the contract ----------------------------------------------------------------------------------------------

    def _more_items(self) -> Sequence[Any]:
        ids: list[Any] = self._rows.ids.tolist()
        return ids

    def fit(self, interactions: Any) -> ContentRecommender:
        """As every recommender, once some item is known."""
        where = set(self._rows.ids.tolist())
        items = interactions.items.tolist()
        if len(items) and not any(each in where for each in items):
            theirs = f", whose ids are such as {next(iter(where))!r}" if where else ", which is empty"
            raise InputError(
                f"none of the {len(items):,} items, such as {items[0]!r}, is in the collection{theirs}",
                hint="build the collection with the items' ids, of the same type",
            )
        super().fit(interactions)
        return self

    def _learn(self, matrix: csr_array) -> None:
        self._find_items()

    def _scores(self, histories: csr_array) -> np.ndarray:
        self._need_unchanged()
        weights, used = self._known(histories)
        scores = np.full(histories.shape, -np.inf, dtype=np.float32)
        told = np.flatnonzero(np.diff(weights.indptr))
        rows = self._rows.rows.take(self._row_of_item[used])
        if not len(told) or not len(used):
            return scores
        linear = is_linear(self._rows.metric)
        profiles = (weights[told] @ self._prepared(rows)).astype(np.float32) if linear else None
        for codes, vectors in self._blocks():
            if profiles is None:
                found = weights[told] @ similarities(self._rows.metric, rows, vectors)
            else:
                found = profiles @ self._prepared(vectors).T
            if len(told) == len(scores) and len(codes) == 1 + codes[-1] - codes[0] and (np.diff(codes) > 0).all():
                scores[:, codes[0] : codes[-1] + 1] = found  # many times as fast as by codes
            else:
                scores[np.ix_(told, codes)] = found
        return scores

    def _best(
        self, histories: csr_array, k: int, hidden: csr_array, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        if len(self.items) <= BY_INDEX or not is_linear(self._rows.metric):
            return super()._best(histories, k, hidden, among)
        self._need_unchanged()
        return self._asked(histories, k, hidden, among)

    def _parts(self, history: Sequence[int], weights: np.ndarray, item: int) -> np.ndarray | None:
        places = self._row_of_item[np.asarray(history, dtype=np.int64)]
        parts = np.zeros(len(places))
        there = (places >= 0) & (weights != 0)
        if self._row_of_item[item] < 0 or not there.any():
            return None
        rows = self._rows.rows.take(places[there])
        alike = similarities(self._rows.metric, rows, self._rows.rows.take(self._row_of_item[[item]]))[:, 0]
        parts[there] = weights[there] * alike / np.abs(weights[there]).sum()
        return parts

    def _alike(self, items: np.ndarray) -> np.ndarray:
        self._need_unchanged()
        alike = np.full((len(items), len(self.items)), -np.inf, dtype=np.float32)
        there = np.flatnonzero(self._row_of_item[items] >= 0)
        rows = self._rows.rows.take(self._row_of_item[items[there]])
        for codes, vectors in self._blocks() if len(there) else ():
            alike[np.ix_(there, codes)] = similarities(self._rows.metric, rows, vectors)
        return alike

    def _state(self) -> State:
        return State()

    def _restore(self, state: State) -> None:
        """The collection holds all that there is beside ids and histories."""
        self._find_items()

    # ---- the collection --------------------------------------------------------------------------------------------

    @property
    def _rows(self) -> Collection:
        """The collection, opened for reading where a folder was given."""
        if isinstance(self.collection, str | os.PathLike):
            from nearkin.building import open_collection

            self.collection = open_collection(self.collection, readonly=True)
        self.collection._need_vectors("recommending by content")
        return self.collection

    def _find_items(self) -> None:
        """Where in the collection each item is, -1 for those that it does not have."""
        alive = np.flatnonzero(self._rows.rows.alive)
        where = dict(zip(self._rows.rows.ids.at(alive).tolist(), alive.tolist(), strict=True))
        self._row_of_item = np.array([where.get(each, -1) for each in self.items.tolist()], dtype=np.int64)
        self._alive = self._rows.rows.alive

    def _need_unchanged(self) -> None:
        alive = self._rows.rows.alive
        if alive is not self._alive and not np.array_equal(alive, self._alive):
            raise StateError("the collection has changed since fit", hint="fit again")

    def _known(self, histories: csr_array) -> tuple[csr_array, np.ndarray]:
        """(m, used) weights of the items that the collection has, their magnitudes adding up to 1 in each row, and the codes of
        those."""
        from scipy.sparse import csr_array

        counted = csr_array(histories, copy=True)
        counted.data[self._row_of_item[counted.indices] < 0] = 0.0
        counted.eliminate_zeros()
        used = np.flatnonzero(np.bincount(counted.indices, minlength=1))
        counted = counted[:, used]
        totals = np.asarray(abs(counted).sum(axis=1)).ravel()
        counted.data /= np.repeat(totals, np.diff(counted.indptr))
        return counted, used

    def _prepared(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._rows.metric.prepare(rows), dtype=np.float32)

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Codes of items and their rows, of all that the collection has."""
        codes = np.flatnonzero(self._row_of_item >= 0)
        codes = codes[np.argsort(self._row_of_item[codes])]
        step = block_rows(4 * max(1, self._rows.dim))
        for start in range(0, len(codes), step):
            some = codes[start : start + step]
            yield some, self._rows.rows.take(self._row_of_item[some])

    def _asked(
        self, histories: csr_array, k: int, hidden: csr_array, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best by the collection's index: each row is asked for as many more as it has hidden items."""
        weights, used = self._known(histories)
        profiles = weights @ self._prepared(self._rows.rows.take(self._row_of_item[used])).astype(np.float64)
        lengths = np.linalg.norm(profiles, axis=1)
        directed = self._rows.metric.reduces_to == "l2"
        queries = unit_rows(profiles.astype(np.float32)) if directed else profiles.astype(np.float32)
        allowed = None if among is None else self._row_of_item[among & (self._row_of_item >= 0)]
        view = restricted(self._rows, None, allowed)
        where = np.full(len(self._rows.rows), -1, dtype=np.int64)
        where[self._row_of_item[self._row_of_item >= 0]] = np.flatnonzero(self._row_of_item >= 0)
        codes = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        depths = 1 << np.ceil(np.log2(k + np.diff(hidden.indptr))).astype(np.int64)
        depths[lengths == 0] = 0
        for depth in np.unique(depths[depths > 0]).tolist() if view.count else ():
            some = np.flatnonzero(depths == depth)
            found = view.search(queries[some], min(depth, view.count), self._rows.threads, {})
            alike = self._rows.metric.similarity(self._rows.metric.finish(found.distances))
            alike = alike * lengths[some, None] if directed else alike
            for row, positions, values in zip(some.tolist(), found.positions, alike, strict=True):
                seen = hidden.indices[hidden.indptr[row] : hidden.indptr[row + 1]]
                its = np.where(positions < 0, -1, where[positions])
                left = np.flatnonzero((its >= 0) & ~np.isin(its, seen))[:k]
                codes[row, : len(left)], scores[row, : len(left)] = its[left], values[left]
        return codes, scores
