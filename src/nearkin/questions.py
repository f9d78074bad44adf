"""Queries with their true answers, put to a collection again and again under other search parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.accuracy import tie_recall, without_itself
from nearkin.collection import Collection
from nearkin.errors import VectorError
from nearkin.filters import Where
from nearkin.indexes import Found
from nearkin.quality import Quality
from nearkin.search_parameters import whole_number


@dataclass(frozen=True)
class Questions:
    """Queries, and the exact neighbours of each.

    Attributes
    ----------
    asked
        (nq, dim) queries.
    own
        (nq,) positions of the rows that ask, which are left out of their own answers; None where the queries are no rows.
    truth
        (nq, k) positions of the true neighbours and their distances in float64, nearest first.
    where
        The filter that they are asked under; None for none.
    """

    asked: np.ndarray
    own: np.ndarray | None
    truth: Found
    where: Where | None = None

    @classmethod
    def of(cls, collection: Collection, queries: Any, k: int, where: Where | None = None) -> Questions:
        """Queries that the collection does not contain, with at most as many neighbours as there are rows that a filter keeps."""
        asked = collection.checked_queries(queries)
        if not len(asked):
            raise VectorError("there are no queries to measure with", hint="pass at least one")
        kept = collection.count(where)
        if not kept:
            raise VectorError("the filter keeps no rows that could be found")
        return cls._answered(collection, asked, None, min(whole_number("k", k, 1), kept), where)

    @classmethod
    def of_rows(cls, collection: Collection, count: int, k: int, seed: int, where: Where | None = None) -> Questions:
        """Random rows of the collection that a filter keeps, each left out of its own answer."""
        alive = collection.positions(where)
        if len(alive) < 2:
            kept = "collection" if where is None else "filter that keeps"
            raise VectorError(
                f"a {kept} {'of ' if where is None else ''}{len(alive)} rows has none that could ask about others",
                hint="pass queries=",
            )
        chosen = np.sort(np.random.default_rng(seed).choice(alive, min(count, len(alive)), replace=False))
        if not collection.keeps_vectors:  # refused in the words of what is missing
            collection.exact_search(np.empty((0, collection.dim)))
        asked = np.ascontiguousarray(collection.rows.take(chosen))
        return cls._answered(collection, asked, chosen, min(whole_number("k", k, 1), len(alive) - 1), where)

    @classmethod
    def _answered(
        cls, collection: Collection, asked: np.ndarray, own: np.ndarray | None, k: int, where: Where | None
    ) -> Questions:
        found = collection.exact_search(asked, k if own is None else k + 1, where=where, cached=True)
        truth = Found(found.positions, found.distances)
        truth = truth if own is None else without_itself(truth, own, k)
        distances = collection.true_distances(asked, truth.positions)
        order = np.argsort(distances, axis=1, kind="stable")  # float32 may have put nearly equal ones in another
        sorted_truth = (np.take_along_axis(each, order, axis=1) for each in (truth.positions, distances))
        return cls(asked, own, Found(*sorted_truth), where)

    @property
    def k(self) -> int:
        """Neighbours of each query."""
        return int(self.truth.positions.shape[1])

    def answers(self, collection: Collection, params: Mapping[str, int]) -> Found:
        """(nq, k) positions and distances of what the collection finds."""
        settings: dict[str, Any] = dict(params)
        found = collection.search(self.asked, self.k + (self.own is not None), where=self.where, **settings)
        answer = Found(found.positions, found.distances)
        return answer if self.own is None else without_itself(answer, self.own, self.k)

    def recalls(self, collection: Collection, params: Mapping[str, int]) -> np.ndarray:
        """(nq,) recall of each query, rows as near as the k-th true neighbour counted as right."""
        found = self.answers(collection, params)
        return tie_recall(collection.true_distances(self.asked, found.positions), self.truth.distances)

    def quality(self, collection: Collection, params: Mapping[str, int]) -> Quality:
        """Everything about the answers beside the truth."""
        found = self.answers(collection, params)
        return Quality.of(found, collection.true_distances(self.asked, found.positions), self.truth)
