"""Whether a collection is what it says: its bytes, its ids, and an index that answers for the rows that are stored.

Checksums tell that a file holds what was written. That what was written is the index of these rows is another question, and
asking sampled rows for their neighbours answers it.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.errors import NearkinError, StorageError
from nearkin.indexes import Found, Index, Mask
from nearkin.indexing import exact_over
from nearkin.rows import Rows
from nearkin.search_parameters import whole_number
from nearkin.true_distances import RangeMargins
from nearkin.views import has_exact_values

if TYPE_CHECKING:
    from nearkin.collection_state import CollectionState

NEIGHBOURS = 10
"""Neighbours that each sampled row is asked for; fewer where there are few rows."""
NEARER = 0.2
"""An index over these rows finds neighbours that are nearer than random rows by far more than this share of what exact
search finds; one over other rows, or with its positions moved, by nothing."""
EXPLAINED = 0.5
"""Distances are those of the next positions if these leave at most this share of the error."""


@dataclass(frozen=True)
class Verification:
    """What was read and compared, and what is wrong.

    Attributes
    ----------
    bytes_read, rows, blocks, index_files
        Bytes of the folder, rows (ids and metadata), blocks of vectors and files of the built index whose checksums were
        compared; for a collection in memory only rows are counted.
    distances
        Distances of the index that were computed again on the stored rows.
    problems
        What is wrong, in words.
    seconds
        What it took.
    """

    bytes_read: int
    rows: int
    blocks: int
    index_files: int
    distances: int
    problems: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The same, JSON-able."""
        return {**dataclasses.asdict(self), "problems": list(self.problems), "ok": self.ok}


def verify(collection: CollectionState, sample: int = 64, seed: int = 0) -> Verification:
    """Read all of a collection again, and hold its index against its rows.

    Every checksum, count and id is compared with what was written. Then some rows are asked for their neighbours: positions
    must be of rows that are there, distances those of the stored rows (but for rounding, where the index keeps them whole),
    and neighbours nearer than chance.

    Parameters
    ----------
    sample
        Rows to ask, at least 1.
    seed
        Which rows these are.

    Raises
    ------
    ClosedError
        The collection was closed.

    Examples
    --------
    >>> import nearkin as nk
    >>> mine = nk.build(np.random.default_rng(0).normal(size=(500, 8)), plan="ivf8,pq4x8")
    >>> found = verify(mine)
    >>> found.ok, found.rows, found.distances
    (True, 500, 640)
    """
    sample = whole_number("sample", sample, 1)
    seed = whole_number("seed", seed, 0)
    start = time.perf_counter()
    with collection.unchanging():
        found = _looked_at(collection, sample, seed)
    return dataclasses.replace(found, seconds=time.perf_counter() - start)


def _looked_at(collection: CollectionState, sample: int, seed: int) -> Verification:
    collection._need_open()
    rows, index = collection.rows, collection.index
    check, inventory = getattr(rows, "verify", None), getattr(rows, "inventory", None)
    problems = [*collection.problems, *(check() if check is not None else ())]
    of_bytes, blocks, files = inventory() if inventory is not None else (0, 0, 0)
    problems += id_problems(rows)
    distances = 0
    if index is not None:
        asked = _Sample(collection, index, sample, seed)
        try:
            problems += asked.problems()
        except StorageError as error:  # rows that cannot be read cannot be compared
            problems.append(error.message)
        distances = asked.compared
    return Verification(of_bytes, rows.count, blocks, files, distances, tuple(dict.fromkeys(problems)), 0.0)


def id_problems(rows: Rows) -> list[str]:
    """What is wrong with ids and the positions behind them, in words: each row that is there has one id of its own."""
    alive = np.flatnonzero(rows.alive)
    ids = rows.ids.at(alive).tolist()
    if len(rows.ids.at(np.arange(len(rows)))) != len(rows):
        return [f"there are {len(rows.ids.at(np.arange(len(rows)))):,} ids for {len(rows):,} positions"]
    if len(set(ids)) != len(ids):
        return [f"{len(ids) - len(set(ids)):,} of {len(ids):,} ids belong to more than one row"]
    try:
        back = rows.ids.positions(ids)
    except NearkinError as error:
        return [f"ids do not lead back to their rows: {error.message}"]
    wrong = np.flatnonzero(back != alive)
    if wrong.size:
        first = int(wrong[0])
        return [f"{wrong.size:,} ids lead to other rows, {ids[first]!r} to {back[first]:,} instead of {alive[first]:,}"]
    return []


class _Sample:
    """Rows that are asked for their neighbours, and what the index makes of them."""

    def __init__(self, collection: CollectionState, index: Index, sample: int, seed: int) -> None:
        self._collection = collection
        self._index = index
        self._rng = np.random.default_rng(seed)
        self._alive = collection.rows.alive[: collection.covered]
        self._sample = sample
        self.compared = 0

    def problems(self) -> list[str]:
        """What is wrong with the index, in words."""
        covered, index = len(self._alive), self._index
        if index.n != covered:
            return [f"the index has {index.n:,} rows, {covered:,} were recorded"]
        there = np.flatnonzero(self._alive)
        if not there.size or not self._collection.keeps_vectors:
            return []
        asked = np.sort(self._rng.choice(there, min(self._sample, there.size), replace=False))
        queries = self._collection.rows.take(asked)
        prepared = self._collection.metric.prepare_queries(queries)
        k = min(NEIGHBOURS, max(1, there.size // 4))
        mask = None if self._alive.all() else Mask(self._alive)
        try:
            found = index.search(prepared, k, mask=mask, threads=self._collection.threads)
        except Exception as error:  # native code and plugins raise anything over a state that is not theirs
            return [f"the index cannot be searched: {type(error).__name__}: {error}"]
        wrong = self._impossible(found)
        return [wrong] if wrong else self._wrong_distances(prepared, found, k)

    def _impossible(self, found: Found) -> str:
        """Positions that no right index answers."""
        covered = len(self._alive)
        outside = (found.positions < -1) | (found.positions >= covered)
        if outside.any():
            return f"the index answers position {int(found.positions[outside][0]):,}, it covers {covered:,}"
        gone = (found.positions >= 0) & ~self._alive[np.maximum(found.positions, 0)]
        if gone.any():
            return f"the index answers position {int(found.positions[gone][0]):,}, whose row was deleted"
        for row in found.positions:
            inside = row[row >= 0]
            if len(np.unique(inside)) < len(inside):
                return f"the index answers one position more than once ({', '.join(map(str, inside.tolist()))})"
        return ""

    def _wrong_distances(self, prepared: np.ndarray, found: Found, k: int) -> list[str]:
        reached = found.positions >= 0
        if not reached.any():
            return ["the index finds nothing for rows that are in it"]
        true = self._true(prepared, found.positions)
        self.compared = int(reached.sum())
        if has_exact_values(self._index):
            wrong = self._beyond_rounding(prepared, found, true, reached)
            if wrong:
                return [wrong]
        random = self._among_random(prepared)
        return [
            each for each in (self._moved(prepared, found, true), self._far(prepared, true, reached, random, k)) if each
        ]

    def _beyond_rounding(self, prepared: np.ndarray, found: Found, true: np.ndarray, reached: np.ndarray) -> str:
        """Of an index that keeps the rows whole: distances that are not those of the rows."""
        margins = RangeMargins(self._collection.metric, self._collection.rows, 0)
        largest = float(np.abs(true[reached]).max())
        # twice: the value of the index and the true one are each rounded
        allowed = 2 * np.array([margins.of_rounding(float(value), prepared) for value in (0.0, largest)])
        share = (allowed[1] - allowed[0]) / largest if largest else 0.0
        off = np.abs(np.where(reached, found.distances - true, 0.0))
        wrong = ~(off <= allowed[0] + share * np.abs(np.where(reached, true, 0.0)))
        if not wrong.any():
            return ""
        query, column = (int(each[0]) for each in np.nonzero(wrong))
        return (
            f"{int(wrong.sum()):,} of {int(reached.sum()):,} distances of the index are not those of the stored rows, "
            f"{found.distances[query, column]:.6g} instead of {true[query, column]:.6g} "
            f"for the row at position {int(found.positions[query, column]):,}"
        )

    def _moved(self, prepared: np.ndarray, found: Found, true: np.ndarray) -> str:
        """Whether the distances are those of the rows one position further, or one before.

        The error of a codec is about the same whether distances are held against the rows before or after the right ones, so
        that it cannot pass for this.
        """
        n = len(self._alive)
        inner = (found.positions > 0) & (found.positions < n - 1)
        if not inner.any():
            return ""
        errors = {0: self._error(found, true, inner)}
        for step in (-1, 1):
            there = self._true(prepared, np.where(inner, found.positions + step, -1))
            errors[step] = self._error(found, there, inner)
        for step, words in ((1, "after"), (-1, "before")):
            if errors[step] < EXPLAINED * min(errors[0], errors[-step]):
                return f"the distances of the index are those of the rows one position {words} the ones that it names"
        return ""

    def _error(self, found: Found, true: np.ndarray, where: np.ndarray) -> float:
        return float(np.abs(found.distances[where].astype(np.float64) - true[where]).mean())

    def _far(self, prepared: np.ndarray, true: np.ndarray, reached: np.ndarray, random: np.ndarray, k: int) -> str:
        """Neighbours that are as far as rows taken at random, although there are nearer ones."""
        collection = self._collection
        nearest = exact_over(
            collection.rows, self._alive, prepared, k, collection.threads, collection.recipe
        ).distances.astype(np.float64)
        with np.errstate(invalid="ignore"):
            best = np.where(np.isfinite(nearest), nearest, np.nan)
            found = np.nanmean(np.where(reached, true, np.nan)[reached.any(axis=1)], axis=1)
            gained = float((random[reached.any(axis=1)] - found).mean())
            possible = float((random - np.nanmean(best, axis=1)).mean())
        spread = float(np.std(random)) + 1e-6 * float(np.abs(random).mean())
        if not possible > 1e-3 * spread or gained >= NEARER * possible:
            return ""
        return (
            "the neighbours that the index finds are hardly nearer than rows taken at random "
            f"({gained / possible:.0%} of what exact search gains), so it was built over other rows"
        )

    def _among_random(self, prepared: np.ndarray) -> np.ndarray:
        """(nq,) mean value between each query and some rows taken at random."""
        there = np.flatnonzero(self._alive)
        some = np.sort(self._rng.choice(there, min(256, there.size), replace=False))
        metric = self._collection.metric
        values = metric.space.pairwise(prepared, metric.prepare(self._collection.rows.take(some)))
        return np.asarray(np.asarray(values, dtype=np.float64).mean(axis=1))

    def _true(self, prepared: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """(nq, k) values in the index's space, float64, of the stored rows; +inf where a position is -1."""
        metric, rows = self._collection.metric, self._collection.rows
        values = np.full(positions.shape, np.inf)
        for query, row in enumerate(positions):
            reached = row >= 0
            if reached.any():
                ready = metric.prepare(rows.take(row[reached]))
                values[query, reached] = metric.space.pairwise(prepared[query : query + 1], ready)[0]
        return values
