"""What one search reads: the built index, the tail of rows that it does not cover, and which rows are deleted.

A view is never changed, only replaced, so that searches go on in other threads while rows are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.errors import ParameterError, StateError
from nearkin.indexes import Found, Index, Mask, RangeFound, empty_found, merge_found
from nearkin.indexing import Recipe, flat_over
from nearkin.rows import Rows


@dataclass(frozen=True)
class View:
    """An index over positions 0 to `covered`, and an exact one over the rest."""

    index: Index | None
    index_mask: Mask | None
    covered: int
    tail: Index | None
    tail_mask: Mask | None
    count: int

    @classmethod
    def of(cls, rows: Rows, index: Index | None, covered: int, recipe: Recipe) -> View:
        """The view of rows as they are now."""
        alive = rows.alive
        return cls(
            index,
            _mask_of(alive[:covered]) if index is not None else None,
            covered,
            flat_over(rows, covered, recipe) if len(alive) > covered else None,
            _mask_of(alive[covered:]),
            rows.count,
        )

    def search(self, prepared: np.ndarray, k: int, threads: int, params: Mapping[str, int]) -> Found:
        """The k nearest positions in index and tail together."""
        found = None
        if self.index is not None:
            found = self.index.search(prepared, k, mask=self.index_mask, params=params, threads=threads)
            if self.tail is None:
                return found
        self._refuse_params(params)
        if self.tail is None:
            return empty_found(len(prepared), k)
        last = self.tail.search(prepared, k, mask=self.tail_mask, threads=threads)
        last = Found(np.where(last.positions < 0, -1, last.positions + self.covered), last.distances)
        return last if found is None else merge_found(found, last, k)

    def range_search(
        self, prepared: np.ndarray, radius: float, slack: float, threads: int, params: Mapping[str, int]
    ) -> RangeFound:
        """Positions whose value is at most `radius`, or `radius` + `slack` where the index's values are not exact."""
        self._refuse_params(params)
        found = []
        if self.index is not None:
            found.append(
                self.index.range_search(prepared, radius + slack, mask=self.index_mask, params=params, threads=threads)
            )
        if self.tail is not None:
            tail = self.tail.range_search(prepared, radius, mask=self.tail_mask, threads=threads)
            found.append(RangeFound(tail.limits, tail.positions + self.covered, tail.distances))
        if not found:
            return RangeFound(np.zeros(len(prepared) + 1, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        return found[0] if len(found) == 1 else _merged(found[0], found[1])

    def to_faiss(self) -> Any:
        """The faiss index behind it, refused where that would answer something else; see `Collection.to_faiss`."""
        if self.index is None or self.tail is not None:
            left = 0 if self.tail is None else self.tail.n
            raise StateError(
                f"{left:,} rows are not in the index yet", hint="call optimize() to build it over all of them"
            )
        if self.index_mask is not None:
            raise StateError(
                f"{self.covered - self.index_mask.count:,} rows were deleted, and the faiss index still finds them",
                hint="build a new collection of the rows that are left",
            )
        return self.index.to_faiss()

    def _refuse_params(self, params: Mapping[str, int]) -> None:
        if params and self.index is None:
            raise ParameterError(
                f"search parameters {', '.join(params)} were given, and this collection has no index yet",
                hint="call optimize() to build one",
            )


def _mask_of(alive: np.ndarray) -> Mask | None:
    return None if alive.all() else Mask(alive)


def _merged(first: RangeFound, second: RangeFound) -> RangeFound:
    counts = [np.diff(each.limits) for each in (first, second)]
    query = np.concatenate([np.repeat(np.arange(len(count)), count) for count in counts])
    order = np.argsort(query, kind="stable")
    return RangeFound(
        first.limits + second.limits,
        np.concatenate([first.positions, second.positions])[order],
        np.concatenate([first.distances, second.distances])[order],
    )
