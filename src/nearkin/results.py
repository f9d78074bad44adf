"""What searches answer: neighbours by query, with distances, similarities and the reason where there are fewer than asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nearkin.errors import MissingDependencyError, ParameterError

if TYPE_CHECKING:
    import pandas
    import pyarrow

Explain = Callable[[int, int], str]
"""Number of a query and of the neighbours that it got, to why there are not more."""


class Hit(NamedTuple):
    """One neighbour of one query."""

    id: Any
    distance: float
    similarity: float


class SearchResult:
    """The neighbours of nq queries, nearest first.

    Rows with fewer than k neighbours are padded: position -1, distance +inf, id None (-1 where ids are integers).
    Iterating gives, for each query, the list of its `Hit`s without padding.

    Attributes
    ----------
    positions
        (nq, k) int64 row numbers in the collection.
    distances
        (nq, k) float32, smaller is nearer.
    k
        Neighbours asked for.

    Examples
    --------
    >>> found = SearchResult(np.array([[4, -1]]), np.array([[0.5, np.inf]], dtype=np.float32), k=2)
    >>> found.counts.tolist(), found.complete.tolist()
    ([1], [False])
    >>> [hit.id for hit in found[0]]
    [4]
    """

    __slots__ = ("_explain", "_id_table", "_similarity", "distances", "k", "positions")

    def __init__(
        self,
        positions: np.ndarray,
        distances: np.ndarray,
        k: int,
        id_table: np.ndarray | None = None,
        similarity: Callable[[np.ndarray], np.ndarray] | None = None,
        explain: Explain | None = None,
    ) -> None:
        self.positions = positions
        self.distances = distances
        self.k = k
        self._id_table = id_table
        self._similarity = similarity
        self._explain = explain

    @property
    def ids(self) -> np.ndarray:
        """(nq, k) ids as the user gave them; -1 (integer ids) or None (string ids) where there is no neighbour."""
        if self._id_table is None:
            return self.positions
        if not len(self._id_table):
            return np.full(self.positions.shape, None, dtype=object)
        ids = self._id_table[self.positions]
        missing = self.positions < 0
        if missing.any():
            ids[missing] = None if ids.dtype == object else -1
        return np.asarray(ids)

    @property
    def similarities(self) -> np.ndarray:
        """(nq, k) float32, larger is more alike, by the metric's documented rule; -inf where there is no neighbour.

        Raises
        ------
        ParameterError
            The result was not made by a collection, so there is no rule.
        """
        if self._similarity is None:
            raise ParameterError("this result has no similarity rule", hint="it was not made by a collection")
        values = np.asarray(self._similarity(self.distances), dtype=np.float32)
        return np.where(self.positions < 0, np.float32(-np.inf), values)

    @property
    def counts(self) -> np.ndarray:
        """(nq,) number of neighbours found for each query."""
        return np.asarray(np.count_nonzero(self.positions >= 0, axis=1))

    @property
    def complete(self) -> np.ndarray:
        """(nq,) whether each query got the k neighbours asked for."""
        return np.asarray(self.counts >= self.k)

    @property
    def reason(self) -> list[str]:
        """For each query, why it got fewer than k neighbours; empty where it did not."""
        counts = self.counts
        explain = self._explain or (lambda query, count: f"{count} rows found")
        return ["" if count >= self.k else explain(query, int(count)) for query, count in enumerate(counts)]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, query: int) -> list[Hit]:
        # Of this query alone: iterating would otherwise take time that grows with the square of the queries.
        count = int(np.count_nonzero(self.positions[query] >= 0))
        positions, distances = self.positions[query][:count], self.distances[query][:count]
        ids = positions if self._id_table is None else self._id_table[positions]
        return _hits(ids, distances, self._similarity)

    def __iter__(self) -> Iterator[list[Hit]]:
        return (self[query] for query in range(len(self)))

    def to_faiss(self) -> tuple[np.ndarray, np.ndarray]:
        """``(D, I)`` in faiss's order: distances, then positions."""
        return self.distances, self.positions

    def to_columns(self) -> dict[str, np.ndarray]:
        """Long form, one row a hit: query, rank, id, distance, similarity."""
        queries, ranks = np.nonzero(self.positions >= 0)
        columns = {"query": queries, "rank": ranks, "id": self.ids[queries, ranks]}
        columns["distance"] = self.distances[queries, ranks]
        if self._similarity is not None:
            columns["similarity"] = self.similarities[queries, ranks]
        return columns

    def to_pandas(self) -> pandas.DataFrame:
        """Long form as a DataFrame (needs pandas)."""
        return columns_to_pandas(self.to_columns())

    def to_arrow(self) -> pyarrow.Table:
        """Long form as a pyarrow Table (needs pyarrow)."""
        return columns_to_arrow(self.to_columns())


@dataclass(frozen=True, eq=False)
class RangeResult:
    """Every row within a distance of each query, nearest first; hits of query i are at ``limits[i]:limits[i + 1]``.

    Examples
    --------
    >>> found = RangeResult(np.array([0, 1, 1]), np.array([7]), np.float32([0.5]), np.array([7]), lambda d: 1 - d)
    >>> [len(hits) for hits in found], found[0][0].id
    ([1, 0], 7)
    """

    limits: np.ndarray
    positions: np.ndarray
    distances: np.ndarray
    ids: np.ndarray
    similarity: Callable[[np.ndarray], np.ndarray]

    @property
    def counts(self) -> np.ndarray:
        """(nq,) number of rows found for each query."""
        return np.diff(self.limits)

    @property
    def similarities(self) -> np.ndarray:
        """Similarity of each hit, by the metric's documented rule."""
        return np.asarray(self.similarity(self.distances), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.limits) - 1

    def __getitem__(self, query: int) -> list[Hit]:
        if not -len(self) <= query < len(self):
            raise IndexError(query)
        span = slice(self.limits[query % len(self)], self.limits[query % len(self) + 1])
        return _hits(self.ids[span], self.distances[span], self.similarity)

    def __iter__(self) -> Iterator[list[Hit]]:
        return (self[query] for query in range(len(self)))

    def to_faiss(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``(lims, D, I)`` in faiss's order."""
        return self.limits, self.distances, self.positions

    def to_columns(self) -> dict[str, np.ndarray]:
        """Long form, one row a hit: query, rank, id, distance, similarity."""
        queries = np.repeat(np.arange(len(self)), self.counts)
        ranks = np.arange(len(queries)) - np.repeat(self.limits[:-1], self.counts)
        return {
            "query": queries,
            "rank": ranks,
            "id": self.ids,
            "distance": self.distances,
            "similarity": self.similarities,
        }

    def to_pandas(self) -> pandas.DataFrame:
        """Long form as a DataFrame (needs pandas)."""
        return columns_to_pandas(self.to_columns())

    def to_arrow(self) -> pyarrow.Table:
        """Long form as a pyarrow Table (needs pyarrow)."""
        return columns_to_arrow(self.to_columns())


def _hits(ids: np.ndarray, distances: np.ndarray, similarity: Callable[[np.ndarray], np.ndarray] | None) -> list[Hit]:
    """The hits of one query; similarity is NaN where there is no rule."""
    similarities = np.asarray(similarity(distances) if similarity else np.full(len(ids), np.nan), dtype=np.float32)
    return [Hit(*each) for each in zip(ids.tolist(), distances.tolist(), similarities.tolist(), strict=True)]


def columns_to_pandas(columns: dict[str, np.ndarray]) -> pandas.DataFrame:
    """A DataFrame of columns."""
    try:
        import pandas
    except ImportError as error:
        raise MissingDependencyError("to_pandas needs pandas", hint="pip install pandas") from error
    return pandas.DataFrame(columns)


def columns_to_arrow(columns: dict[str, np.ndarray]) -> pyarrow.Table:
    """A pyarrow Table of columns."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingDependencyError("to_arrow needs pyarrow", hint='pip install "nearkin[files]"') from error
    return pyarrow.table({name: pyarrow.array(column.tolist()) for name, column in columns.items()})


def why_fewer(count: int, k: int, total: int, knobs: Iterable[str], *, filtered: bool = False) -> str:
    """Why a query got `count` of `k` neighbours among `total` rows of a collection, or those that a filter keeps.

    >>> why_fewer(3, 10, 3, ["nprobe"])
    'the collection has 3 rows, 10 asked'
    >>> why_fewer(2, 10, 3, ["nprobe"])
    'the plan reached 2 of 3: raise its search parameters (nprobe)'
    """
    if count >= total and filtered:
        return f"the filter keeps {total:,} row{'' if total == 1 else 's'}, {k:,} asked"
    if count >= total:
        return f"the collection has {total:,} row{'' if total == 1 else 's'}, {k:,} asked"
    named = ", ".join(knobs)
    remedy = f": raise its search parameters ({named})" if named else ", and has no search parameter to raise"
    return f"the plan reached {count:,} of {min(k, total):,}{remedy}"
