"""Some of the rows of a collection, seen as rows of their own: samples, and everything but what was held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nearkin.errors import NotSupportedError
from nearkin.filters import Filter
from nearkin.ids import IdTable
from nearkin.rows import Metadata, Rows


class Subset(Rows):
    """The rows at ascending positions of other rows, in that order, read where they are; nothing can be added.

    >>> from nearkin.rows import MemoryRows
    >>> rows = MemoryRows(1, "float32")
    >>> rows.commit(vectors=np.float32([[0], [10], [20], [30]]), ids=[0, 1, 2, 3])
    >>> some = Subset(rows, np.array([1, 3]))
    >>> len(some), some.take(np.array([1])).tolist()
    (2, [[30.0]])
    """

    def __init__(self, rows: Rows, positions: np.ndarray) -> None:
        super().__init__(rows.dim, rows.dtype)
        self.positions = positions
        self.ids = IdTable(None, 0)
        self.alive = rows.alive[positions]
        self._all = rows

    def take(self, positions: np.ndarray) -> np.ndarray:
        return self._all.take(self.positions[positions])

    def span(self, start: int, stop: int) -> np.ndarray:
        return self._all.take(self.positions[start:stop])

    def pieces(self, positions: np.ndarray) -> list[tuple[int, np.ndarray]]:
        return []  # they lie between others

    def metadata(self, positions: np.ndarray) -> list[dict[str, Any]]:
        return self._all.metadata(self.positions[positions])

    def matching(self, filter: Filter) -> np.ndarray:
        return np.flatnonzero(np.isin(self.positions, self._all.matching(filter)))

    def commit(
        self,
        *,
        delete: np.ndarray | None = None,
        vectors: np.ndarray | None = None,
        ids: Sequence[Any] = (),
        metadata: Sequence[Metadata] | None = None,
    ) -> None:
        raise NotSupportedError("a subset of rows is only read", hint="change the rows that it is taken from")

    def close(self) -> None:
        """The rows that it is taken from stay open."""
