"""Rows that the built index does not cover yet, each compared with the query.

They lie in exact indexes of their own, a few large and small ones, so that a row that is added is found at once and no row is taken
up more than a few times: a new part takes in those before it that are no larger (as in the logarithmic method of J. Bentley and
J. Saxe, "Decomposable searching problems", 1980).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nearkin.indexes import Found, Index, Mask, RangeFound, merge_found
from nearkin.indexing import Recipe, flat_over
from nearkin.rows import Rows


@dataclass(frozen=True, eq=False)
class Part:
    """An exact index over positions from `start` on."""

    start: int
    index: Index

    @property
    def stop(self) -> int:
        """The position after the last."""
        return self.start + self.index.n


@dataclass(frozen=True, eq=False)
class Tail:
    """Exact indexes over consecutive positions from `start` on; never changed, only followed by another.

    >>> from nearkin.metrics import Euclidean
    >>> from nearkin.plans import parse_plan
    >>> from nearkin.registry import default_registry
    >>> from nearkin.rows import MemoryRows
    >>> recipe = Recipe(parse_plan("flat", default_registry()), Euclidean(), default_registry())
    >>> rows, tail = MemoryRows(1, "float32"), Tail(0, ())
    >>> for n in range(6):
    ...     rows.commit(vectors=np.float32([[n]]), ids=[n])
    ...     tail = tail.grown(rows, 0, recipe)
    >>> [(part.start, part.stop) for part in tail.parts]
    [(0, 4), (4, 6)]
    """

    start: int
    parts: tuple[Part, ...]

    @property
    def n(self) -> int:
        """Positions in it."""
        return self.parts[-1].stop - self.start if self.parts else 0

    def grown(self, rows: Rows, start: int, recipe: Recipe) -> Tail:
        """The tail of all rows from `start` on, with what this one has of them."""
        parts = list(self.parts) if self.start == start else []
        first = parts[-1].stop if parts else start
        if first == len(rows):
            return Tail(start, tuple(parts))
        while parts and parts[-1].index.n <= len(rows) - first:
            first = parts.pop().start
        return Tail(start, (*parts, Part(first, flat_over(rows, first, recipe))))

    def masks(self, allowed: np.ndarray) -> tuple[Mask | None, ...]:
        """Of each part, where some of its positions are not among the (n,) allowed ones."""
        return tuple(mask_of(allowed[part.start : part.stop]) for part in self.parts)

    def search(self, prepared: np.ndarray, k: int, masks: tuple[Mask | None, ...], threads: int) -> Found | None:
        """The k nearest positions; None if there are no rows."""
        best: Found | None = None
        for part, mask in zip(self.parts, masks, strict=True):
            found = part.index.search(prepared, k, mask=mask, threads=threads)
            found = Found(np.where(found.positions < 0, -1, found.positions + part.start), found.distances)
            best = found if best is None else merge_found(best, found, k)
        return best

    def range_search(
        self, prepared: np.ndarray, radius: float, masks: tuple[Mask | None, ...], threads: int
    ) -> list[RangeFound]:
        """Positions within a radius, part by part."""
        found = []
        for part, mask in zip(self.parts, masks, strict=True):
            inside = part.index.range_search(prepared, radius, mask=mask, threads=threads)
            found.append(RangeFound(inside.limits, inside.positions + part.start, inside.distances))
        return found


def mask_of(allowed: np.ndarray) -> Mask | None:
    """A mask, None where everything is allowed."""
    return None if allowed.all() else Mask(allowed)
