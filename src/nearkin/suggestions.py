"""What a recommender answers: for each user the best items, their scores, and because of what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np


class Because(NamedTuple):
    """An item that the user had to do with, and its share in a suggestion (below 0 where it speaks against)."""

    id: Any
    share: float


class Suggestion(NamedTuple):
    """One item for one user.

    Attributes
    ----------
    score
        Larger is better; what it means is the recommender's.
    because
        What spoke for it most, the largest share first; empty where it is there for its popularity alone.
    """

    id: Any
    score: float
    because: tuple[Because, ...]


Explain = Callable[[int, int], Sequence[Because]]
"""Row and item code to all that the score is made of."""


@dataclass(frozen=True, eq=False)
class Suggestions:
    """The best items for each of several users, best first.

    Attributes
    ----------
    users
        Their ids, one a row; None for one that was asked for by a history alone.
    codes : ndarray
        (nu, k) int64 positions of the items, -1 where there is none.
    scores : ndarray
        (nu, k) float32, descending; -inf where there is no item.
    filled : ndarray
        (nu,) how many of the items are there for their popularity, since nothing in the user's history leads to any other: after
        those with a score above 0, before those below, which are worse than unknown.
    reasons
        One a user: why popularity or fewer than k items; else "".
    """

    users: Sequence[Any]
    codes: np.ndarray
    scores: np.ndarray
    filled: np.ndarray
    reasons: Sequence[str]
    item_ids: np.ndarray
    explain: Explain | None = None

    @property
    def ids(self) -> np.ndarray:
        """(nu, k) item ids; None, or -1 for numbers, where there is none."""
        if not len(self.item_ids):
            return np.full(self.codes.shape, -1)
        return self._ids_at(self.codes)

    def _ids_at(self, codes: np.ndarray) -> np.ndarray:
        ids = self.item_ids[np.maximum(codes, 0)]
        missing = codes < 0
        if missing.any():
            ids[missing] = None if ids.dtype == object else -1
        return np.asarray(ids)

    @cached_property
    def counts(self) -> np.ndarray:
        """(nu,) items of each user."""
        return np.asarray(np.count_nonzero(self.codes >= 0, axis=1))

    @cached_property
    def by_popularity(self) -> np.ndarray:
        """(nu, k) bool: which of the items those of `filled` are."""
        ranks = np.arange(self.codes.shape[1])
        below = np.count_nonzero((self.codes >= 0) & (self.scores < 0), axis=1)
        end = np.where(self.filled > 0, self.counts - below, 0)
        return np.asarray((ranks >= (end - self.filled)[:, None]) & (ranks < end[:, None]))

    def because(self, row: int, rank: int, most: int = 3) -> tuple[Because, ...]:
        """What led to an item: the parts of a user's history with the largest share in its score.

        Parameters
        ----------
        row, rank
            Place of the item in `ids`.
        most
            Parts at most.
        """
        if self.explain is None or rank >= self.counts[row] or self.by_popularity[row, rank]:
            return ()
        parts = sorted(self.explain(row, int(self.codes[row, rank])), key=lambda part: -part.share)
        return tuple(parts[:most])

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> list[Suggestion]:
        count = int(self.counts[row])
        ids = self._ids_at(self.codes[row, :count]).tolist()
        return [Suggestion(ids[rank], float(self.scores[row, rank]), self.because(row, rank)) for rank in range(count)]

    def __iter__(self) -> Iterator[list[Suggestion]]:
        return (self[row] for row in range(len(self)))
