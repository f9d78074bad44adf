"""The rows that a filter keeps, gathered and compared one by one, where they are few.

An index that looks at a part of the rows finds few of those that a selective filter keeps; comparing all of them loses
nothing, and is faster besides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nearkin.indexes import Found, Index, RangeFound
from nearkin.indexing import Recipe
from nearkin.rows import Rows

FEW = 8192
SHARE = 0.02
"""At equal recall, a batch over as many rows takes the index as long: 7,000 of 300,000 of SIFT, 8,000 of 60,000 of WordNet."""

SHARE_OF_EXACT = 0.5
"""Where the index compares every row all the same, passing over half of them takes it twice as long as comparing half."""

MOST_BYTES = 1 << 25


def worth_gathering(kept: int, total: int, rows: Rows, *, exact: bool) -> bool:
    """Whether `kept` of `total` rows are few enough to be compared by themselves, and take no more than 32 MB.

    Few are 8,192 or 2 %, and half of the rows where the index is `exact` and compares all of them otherwise.
    """
    row_bytes = rows.dim * (4 if rows.dtype == "float32" else 1)
    few = max(FEW, (SHARE_OF_EXACT if exact else SHARE) * total)
    return kept < total and kept <= few and kept * row_bytes <= MOST_BYTES


@dataclass(frozen=True, eq=False)
class Survivors:
    """Rows at some positions in an exact index of their own; None where there are none."""

    positions: np.ndarray
    index: Index | None

    @classmethod
    def of(cls, rows: Rows, positions: np.ndarray, recipe: Recipe) -> Survivors:
        """Gather the rows at ascending positions."""
        if not positions.size:
            return cls(positions, None)
        prepared = recipe.metric.prepare(rows.take(positions))
        index = recipe.exact().make(rows.dim, len(positions))
        index.train(prepared)
        index.add(prepared)
        return cls(positions, index)

    def search(self, prepared: np.ndarray, k: int, threads: int) -> Found:
        """The k nearest of them, by their positions among all rows."""
        if self.index is None:
            return Found(np.full((len(prepared), k), -1, np.int64), np.full((len(prepared), k), np.inf, np.float32))
        found = self.index.search(prepared, k, threads=threads)
        return Found(np.where(found.positions < 0, -1, self.positions[found.positions]), found.distances)

    def range_search(self, prepared: np.ndarray, radius: float, threads: int) -> RangeFound:
        """Those within a radius, by their positions among all rows."""
        if self.index is None:
            return RangeFound(np.zeros(len(prepared) + 1, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        found = self.index.range_search(prepared, radius, threads=threads)
        return RangeFound(found.limits, self.positions[found.positions], found.distances)
