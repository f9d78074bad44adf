"""What one search reads: the built index, the tail of rows that it does not cover, and which rows may be returned.

A view is never changed, only replaced, so that searches go on in other threads while rows are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import Any

import numpy as np

from nearkin.completion import complete, filtered, is_short, widened
from nearkin.errors import ParameterError, StateError
from nearkin.indexes import Found, Index, Mask, RangeFound, empty_found, merge_found
from nearkin.indexing import Recipe, exact_over
from nearkin.plans import compares_all
from nearkin.reranking import PreparedRows, nearest_candidates
from nearkin.rows import Rows
from nearkin.survivors import Survivors, worth_gathering
from nearkin.tail import Tail, mask_of

NO_TAIL = Tail(0, ())

REMEMBERED = 4
"""Restrictions of a view that are kept for the next search under the same filter."""


@dataclass(frozen=True, eq=False)
class View:
    """An index over positions 0 to `covered`, and an exact one over the rest.

    Attributes
    ----------
    allowed
        (n,) which positions may be returned: rows that are not deleted and that a filter keeps.
    count
        How many those are.
    survivors
        The allowed rows by themselves, where they are so few that all of them are compared.
    usual
        Search parameters of the index where a search sets none and they are not the index's own.
    restricted
        What a filter made of this view, by the filter.
    """

    rows: Rows
    recipe: Recipe
    keeps_vectors: bool
    index: Index | None
    covered: int
    tail: Tail
    allowed: np.ndarray
    count: int
    index_mask: Mask | None
    tail_masks: tuple[Mask | None, ...]
    survivors: Survivors | None = None
    usual: Mapping[str, int] = field(default_factory=dict)
    restricted: dict[Any, View] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rows: Rows,
        index: Index | None,
        covered: int,
        recipe: Recipe,
        *,
        keeps_vectors: bool = True,
        tail: Tail = NO_TAIL,
    ) -> View:
        """The view of rows as they are now; what `tail` has of those that the index does not cover is taken from there."""
        alive, tail = rows.alive, tail.grown(rows, covered, recipe)
        return cls(
            rows,
            recipe,
            keeps_vectors,
            index,
            covered,
            tail,
            alive,
            int(np.count_nonzero(alive)),
            mask_of(alive[:covered]) if index is not None else None,
            tail.masks(alive),
        )

    def only(self, filter: Any, positions: np.ndarray) -> View:
        """The same view of the rows at some positions alone, remembered under the filter that keeps them."""
        allowed = np.zeros(len(self.allowed), dtype=bool)
        allowed[positions[positions < len(allowed)]] = True
        allowed &= self.allowed
        count = int(np.count_nonzero(allowed))
        exact = self.index is None or compares_all(self.recipe.plan, self.recipe.registry)
        few = self.keeps_vectors and worth_gathering(count, self.count, self.rows, exact=exact)
        view = replace(
            self,
            allowed=allowed,
            count=count,
            index_mask=mask_of(allowed[: self.covered]) if self.index is not None else None,
            tail_masks=self.tail.masks(allowed),
            survivors=Survivors.of(self.rows, np.flatnonzero(allowed), self.recipe) if few else None,
            usual={} if few or self.index is None else filtered(self.index, count, self.count),
            restricted={},
        )
        for oldest in list(self.restricted)[: 1 - REMEMBERED]:
            self.restricted.pop(oldest, None)
        self.restricted[filter] = view
        return view

    def search(
        self, prepared: np.ndarray, k: int, threads: int, params: Mapping[str, int], *, allow_fewer: bool = False
    ) -> Found:
        """The k nearest positions, as many as there are up to k unless fewer are allowed."""
        if self.survivors is not None:
            self._check(params)
            return self.survivors.search(prepared, k, threads)
        if self.usual:
            params = {**self.usual, **params}
        found = self._search(prepared, k, threads, params)
        wanted = min(k, self.count)
        if allow_fewer or not wanted or not is_short(found.positions, wanted):
            return found
        return complete(found, wanted, self._attempts(prepared, k, threads, params))

    def _attempts(
        self, prepared: np.ndarray, k: int, threads: int, params: Mapping[str, int]
    ) -> Iterator[Callable[[np.ndarray], Found]]:
        """Ways to find more: the index with larger search parameters, and at last every row."""
        for wider in widened(self.index, params) if self.index is not None else ():
            yield partial(self._asked_again, prepared, k, threads, wider)
        if self.keeps_vectors:
            yield lambda short: exact_over(self.rows, self.allowed, prepared[short], k, threads, self.recipe)

    def _asked_again(
        self, prepared: np.ndarray, k: int, threads: int, params: Mapping[str, int], short: np.ndarray
    ) -> Found:
        return self._search(prepared[short], k, threads, params)

    def _search(self, prepared: np.ndarray, k: int, threads: int, params: Mapping[str, int]) -> Found:
        found = None
        if self.index is not None:
            found = self.index.search(prepared, k, mask=self.index_mask, params=params, threads=threads)
            if not self.tail.parts:
                return found
            found = self._uncoded(prepared, found, threads)
        self._check(params)
        last = self.tail.search(prepared, k, self.tail_masks, threads)
        if found is None or last is None:
            return found or last or empty_found(len(prepared), k)
        return merge_found(found, last, k)

    def _uncoded(self, prepared: np.ndarray, found: Found, threads: int) -> Found:
        """What the index found, with the values of the rows themselves instead of those of their codes.

        The nearest by their codes are those that seem nearer than they are: beside them, rows of the tail, which are compared
        themselves, would hardly ever be among the k.
        """
        assert self.index is not None
        if has_exact_values(self.index) or not self.keeps_vectors:
            return found
        metric = self.recipe.metric
        stored, k = PreparedRows(self.rows, metric), found.positions.shape[1]
        return nearest_candidates(metric.space, stored, prepared, found.positions, k, threads)

    def range_search(
        self, prepared: np.ndarray, radius: float, slack: float, threads: int, params: Mapping[str, int]
    ) -> RangeFound:
        """Positions whose value is at most `radius`, or `radius` + `slack` where the index's values are not exact."""
        self._check(params)
        if self.survivors is not None:
            return self.survivors.range_search(prepared, radius, threads)
        found = []
        if self.index is not None:
            found.append(
                self.index.range_search(prepared, radius + slack, mask=self.index_mask, params=params, threads=threads)
            )
        found += self.tail.range_search(prepared, radius, self.tail_masks, threads)
        if not found:
            return RangeFound(np.zeros(len(prepared) + 1, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        return reduce(_merged, found)

    def to_faiss(self) -> Any:
        """The faiss index behind it, refused where that would answer something else; see `Collection.to_faiss`."""
        if self.index is None or self.tail.parts:
            raise StateError(
                f"{self.tail.n:,} rows are not in the index yet", hint="call optimize() to build it over all of them"
            )
        if self.index_mask is not None:
            raise StateError(
                f"{self.covered - self.index_mask.count:,} rows were deleted, and the faiss index still finds them",
                hint="build a new collection of the rows that are left",
            )
        return self.index.to_faiss()

    def _check(self, params: Mapping[str, int]) -> None:
        """Refuse search parameters that there are none of."""
        if params and self.index is None:
            raise ParameterError(
                f"search parameters {', '.join(params)} were given, and this collection has no index yet",
                hint="call optimize() to build one",
            )
        if params and self.index is not None:
            self.index.resolve(params)


def has_exact_values(index: Index) -> bool:
    """Whether what a search of an index answers are the values of the rows as they were given, if only after refinement."""
    refinement = index.layout.refinement
    return index.lossless if refinement is None else refinement.lossless


def _merged(first: RangeFound, second: RangeFound) -> RangeFound:
    counts = [np.diff(each.limits) for each in (first, second)]
    query = np.concatenate([np.repeat(np.arange(len(count)), count) for count in counts])
    order = np.argsort(query, kind="stable")
    return RangeFound(
        first.limits + second.limits,
        np.concatenate([first.positions, second.positions])[order],
        np.concatenate([first.distances, second.distances])[order],
    )
