"""Index contract: k nearest positions among prepared rows. The exact oracle in numpy is `nearkin.flat_index.FlatIndex`.

An index sees float32 (or packed-bit), C-contiguous, finite rows, already prepared for its space, and knows them only by
position 0..n-1. Ids, tombstones and the user's metric belong to the collection. An author writes `_train`, `_add`,
`_search`, `_cost`, `_allocated`, `_state` and `_restore` (and `_range` if a range can be searched natively); the base class checks,
pads, sorts and grows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from nearkin.centroids import Clusterer
from nearkin.codecs import Codec
from nearkin.errors import NotSupportedError, NotTrainedError, ParameterError, PluginContractError, VectorError
from nearkin.metrics import Space
from nearkin.search_parameters import RERANK, SearchParameter, unknown_knob, whole_number
from nearkin.state import State
from nearkin.transforms import Transform

FEW_ROWS = 100
"""Fewer rows cannot show a recall with any certainty: an index that may fall back gives way to an exact one."""


class StoredRows(Protocol):
    """Rows that can be read by position, prepared for the space of an index."""

    def pieces(self, positions: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Contiguous arrays that hold the rows at positions (of any shape, -1 is none), each with its first position; empty
        if they do not lie anywhere as the space wants them. Other rows of the arrays are not to be read."""
        ...

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(m, dim) rows at positions."""
        ...


@dataclass(frozen=True)
class Layout:
    """What an index is built from, resolved and checked for legality before.

    Attributes
    ----------
    dim
        Columns of the prepared rows.
    refinement
        Codec of the copy that candidates are re-ranked on, or None.
    clusterer
        Finds the centroids of an IVF index, or None where the index has none.
    rows
        Rows expected; numbers that a plan leaves out are chosen from it.
    inner
        Makes the untrained index of the rest of the plan, for rows of so many columns under squared L2; None where the
        index wraps no other.
    stored
        Where the rows can be read again; None where nobody else keeps them, so that an index that needs them must.
    transform
        What the rows go through before they are encoded, for an index that applies it itself (`IndexSpec.transforms`); its
        re-ranking compares the rows as they came.
    """

    space: Space
    dim: int
    codec: Codec
    refinement: Codec | None = None
    clusterer: Clusterer | None = None
    rows: int = 0
    seed: int = 0
    inner: Callable[[int], Index] | None = None
    stored: StoredRows | None = None
    transform: Transform | None = None

    @property
    def width(self) -> int:
        """Columns of the rows that are encoded."""
        return self.dim if self.transform is None else self.transform.width


class Mask:
    """Which positions a search may return.

    >>> mask = Mask(np.array([True, False, True]))
    >>> mask.count, mask.packed.tolist()
    (2, [5])
    """

    def __init__(self, allowed: np.ndarray) -> None:
        self.allowed = allowed

    @cached_property
    def packed(self) -> np.ndarray:
        """Little-endian bits, as faiss's IDSelectorBitmap reads them."""
        return np.packbits(self.allowed, bitorder="little")

    @cached_property
    def count(self) -> int:
        """Positions that may be returned."""
        return int(np.count_nonzero(self.allowed))


FLOAT32_MAX = float(np.finfo(np.float32).max)


class Found(NamedTuple):
    """Answer of a search: (nq, k) positions padded with -1, and distances padded with +inf, nearest first."""

    positions: np.ndarray
    distances: np.ndarray


class RangeFound(NamedTuple):
    """Answer of a range search in faiss's layout: hits of query i are at ``limits[i]:limits[i + 1]``."""

    limits: np.ndarray
    positions: np.ndarray
    distances: np.ndarray


class Index(ABC):
    """Base of every index.

    Attributes
    ----------
    name
        How users ask for it.
    search_params
        Name to `SearchParameter`: what may be set at each search.
    tidy
        Whether `_search` answers sorted and padded already, so that the base class need not look again.
    """

    name: ClassVar[str]
    tidy: ClassVar[bool] = False
    wrapped: Index | None = None
    """The index that this one gets its candidates from, where a plan names both."""
    rows_apart: bool = False
    """Whether adding a row changes nothing for other rows, so that masking a row is the same as never having added it; links
    between rows break that."""
    promised_recall: float = 0.0
    """Recall@10 that its search parameters are to be set for once all rows are in; 0 leaves them as they are."""
    fallback: str = ""
    """Plan to use instead, and after that an exact one, where the promise cannot be kept; none keeps the index all the same."""
    plugin: str = ""
    """The plugin that a plan chose it from, ``other/``, or nothing; set by whoever makes the index from a plan."""
    options: Mapping[str, Any] = MappingProxyType({})
    """What a plan chose besides the defaults; set by whoever makes the index from a plan."""
    search_params: ClassVar[Mapping[str, SearchParameter]] = {}

    def __init__(self, layout: Layout, **params: Any) -> None:
        self.layout = layout
        self.params = params
        self.n = 0
        self.is_trained = False
        self._chosen: dict[str, int] = {}
        self._defaults: dict[str, int] = {}

    # ---- what an author writes -------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """Name with the numbers filled in, as in a plan: ``flat``, ``ivf245``; it must name the same index again."""
        return ":".join([self.name, *(f"{name}={value}" for name, value in self.options.items())])

    def train_rows(self) -> int:
        """Fewest rows that training needs."""
        layout = self.layout
        refinement = layout.refinement.train_rows if layout.refinement else 0
        transform = layout.transform.train_rows if layout.transform else 0
        return max(1, layout.codec.train_rows, refinement, transform)

    def sample_rows(self, n: int) -> int:
        """Of n rows, how many training can use; it is given a random sample of that many."""
        return min(n, max(self.train_rows(), 65_536))

    @abstractmethod
    def _train(self, vectors: np.ndarray) -> None:
        """Learn from a sample of the rows to come."""

    @abstractmethod
    def _add(self, vectors: np.ndarray) -> None:
        """Append rows at the next positions."""

    @abstractmethod
    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        """Nearest k <= n positions of each query."""

    @abstractmethod
    def _cost(self, n: int) -> dict[str, int]:
        """Bytes by component for n rows, known before training."""

    @abstractmethod
    def _allocated(self) -> dict[str, int]:
        """Bytes by component as they are now."""

    @abstractmethod
    def _state(self) -> State: ...

    @abstractmethod
    def _restore(self, state: State) -> None: ...

    def _range(
        self, queries: np.ndarray, radius: float, mask: Mask | None, params: Mapping[str, int]
    ) -> RangeFound | None:
        """Positions within the radius, any order; None if the index cannot (the base class then grows k)."""
        return None

    def search_defaults(self, n: int) -> dict[str, int]:
        """Search parameters used where a search sets none, for n rows."""
        return {}

    def cell_sizes(self) -> np.ndarray | None:
        """(nlist,) rows in each cell, deleted ones too; None where there are no cells."""
        return None

    def assigned(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """(n,) cells that prepared rows belong to, and how far each is from what stands for its cell; None without cells."""
        return None

    def start_from(self, present: Index) -> None:
        """Let training start from what another index has learned, where the two are alike and that saves time."""

    def to_faiss(self) -> Any:
        """The faiss index that this one searches, not a copy, with its search parameters set to the defaults.

        Raises
        ------
        NotSupportedError
            It searches none, or one of another space.
        """
        raise NotSupportedError(
            f"{self.label} over codec {self.layout.codec.label} is searched by nearkin, there is no faiss index behind it",
            hint="faiss serves flat, ivf and hnsw under metrics that it computes; see nearkin components",
        )

    def use_threads(self, threads: int) -> None:
        """Let the library behind this index use so many threads in calls from this thread."""

    # ---- what the base class makes of it ---------------------------------------------------------------------------

    @property
    def lossless(self) -> bool:
        """Whether the values that it answers are those of the rows as they were given."""
        return self.layout.codec.lossless and self.layout.transform is None

    @property
    def knobs(self) -> dict[str, SearchParameter]:
        """Search parameters that this index takes, `rerank` included where it refines."""
        return {**self.search_params, **({"rerank": RERANK} if self.layout.refinement else {})}

    def train(self, vectors: np.ndarray) -> None:
        """Learn from (n, dim) prepared rows.

        Raises
        ------
        VectorError
            Too few rows, or values out of the codec's range.
        """
        self.check_rows_suffice(len(vectors))
        self._check_rows(vectors)
        self._train(vectors)
        self.is_trained = True

    def check_rows_suffice(self, n: int) -> None:
        """Raise VectorError if n rows are too few to train on."""
        needed = self.train_rows()
        if n < needed:
            raise VectorError(
                f"{self.label} with codec {self.layout.codec.label} needs at least {needed:,} rows to train, got {n:,}",
                hint="use flat, fewer cells, or a codec that needs fewer rows (f32, f16, int8)",
            )

    def add(self, vectors: np.ndarray) -> None:
        """Append (n, dim) prepared rows at positions `n`, `n` + 1, ..."""
        if not self.is_trained:
            raise NotTrainedError(f"index {self.name} has not been trained", hint="call train(vectors) first")
        self._check_rows(vectors)
        self._add(vectors)
        self.n += len(vectors)
        self._defaults = self._full_defaults()

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        mask: Mask | None = None,
        params: Mapping[str, Any] | None = None,
        threads: int = 0,
    ) -> Found:
        """Nearest k positions of (nq, dim) prepared queries.

        Parameters
        ----------
        mask
            Positions allowed; None for all.
        params
            Search parameters; see `knobs`.
        threads
            Threads for this call; 0 leaves the library's setting.
        """
        if k > self.n:
            return self._search_padded(queries, k, mask, params, threads)
        resolved = self.resolve(params) if params else self._defaults
        if threads:
            self.use_threads(threads)
        found = self._search(queries, k, mask, resolved)
        return found if self.tidy else self._tidied(found.positions, found.distances, len(queries), k)

    def _search_padded(
        self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, Any] | None, threads: int
    ) -> Found:
        """More asked than there are rows: search for all of them and pad the rest."""
        padded = empty_found(len(queries), k)
        if self.n:
            found = self.search(queries, self.n, mask=mask, params=params, threads=threads)
            padded.positions[:, : self.n] = found.positions
            padded.distances[:, : self.n] = found.distances
        return padded

    def range_search(
        self,
        queries: np.ndarray,
        radius: float,
        *,
        mask: Mask | None = None,
        params: Mapping[str, Any] | None = None,
        threads: int = 0,
    ) -> RangeFound:
        """Positions whose value in the index's space is at most `radius`, nearest first for each query.

        Values are the index's own: over a lossy codec they are not the true ones, so whoever asks must check them.
        """
        radius = min(max(radius, -FLOAT32_MAX), FLOAT32_MAX)
        if not self.n:
            return RangeFound(np.zeros(len(queries) + 1, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        resolved = self.resolve(params) if params else self._defaults
        if threads:
            self.use_threads(threads)
        found = self._range(queries, radius, mask, resolved)
        if found is None:
            found = self._range_by_growing(queries, radius, mask, resolved)
        return _sorted_range(found)

    def _range_by_growing(
        self, queries: np.ndarray, radius: float, mask: Mask | None, params: Mapping[str, int]
    ) -> RangeFound:
        """Ask for more and more neighbours until the last one lies outside the radius or there are no more."""
        allowed = self.n if mask is None else max(1, mask.count)
        k = min(64, allowed)
        while True:
            found = self.search(queries, k, mask=mask, params=params)
            last = found.distances[:, -1]
            if k >= allowed or not (last <= radius).any():
                break
            k = min(4 * k, allowed)
        inside = (found.distances <= radius) & (found.positions >= 0)
        limits = np.concatenate([[0], np.cumsum(inside.sum(axis=1))]).astype(np.int64)
        return RangeFound(limits, found.positions[inside], found.distances[inside])

    def set_defaults(self, params: Mapping[str, Any]) -> None:
        """Use these search parameters wherever a search sets none."""
        self._chosen = {name: self.resolve(params)[name] for name in params}
        self._defaults = self._full_defaults()

    def resolve(self, params: Mapping[str, Any]) -> dict[str, int]:
        """Search parameters with the defaults filled in.

        Raises
        ------
        ParameterError
            An unknown name, or a value that is not a whole number in range.
        """
        knobs = self.knobs
        resolved = dict(self._defaults)
        for name, value in params.items():
            if name not in knobs:
                raise ParameterError(unknown_knob(self.name, name, knobs))
            resolved[name] = whole_number(name, value, knobs[name].least)
        return resolved

    def cost(self, n: int) -> dict[str, int]:
        """Bytes by component for n rows, predicted before building; without the copy of the rows that a collection keeps."""
        return {part: size for part, size in self._cost(n).items() if size}

    def allocated(self) -> dict[str, int]:
        """Bytes by component as built."""
        return {part: size for part, size in self._allocated().items() if size}

    def state(self) -> State:
        """Everything needed to `restore` this index."""
        inner = self._state()
        return State(inner.arrays, {"rows": self.n, "search": dict(self._chosen), "index": dict(inner.meta)})

    def restore(self, state: State) -> None:
        """Take back what `state` gave; the arrays must have been verified before."""
        self._restore(State(state.arrays, state.meta["index"]))
        self.n = int(state.meta["rows"])
        self.is_trained = True
        self._chosen = {**state.meta.get("search", {}), **self._chosen}
        self._defaults = self._full_defaults()

    def _full_defaults(self) -> dict[str, int]:
        defaults = self.search_defaults(self.n)
        if self.layout.refinement:
            defaults.setdefault("rerank", 100)
        return {**defaults, **self._chosen}

    def _check_rows(self, vectors: np.ndarray) -> None:
        wanted = np.float32 if self.layout.space.dtype == "float32" else np.uint8
        if vectors.ndim != 2 or vectors.shape[1] != self.layout.dim or vectors.dtype != wanted:
            raise VectorError(
                f"index {self.name} was made for {np.dtype(wanted)} rows of {self.layout.dim} columns, "
                f"got {vectors.dtype} of shape {vectors.shape}"
            )
        self._check_encodable(vectors)
        if self.layout.refinement:
            self.layout.refinement.check(vectors)

    def _check_encodable(self, vectors: np.ndarray) -> None:
        """Raise VectorError if the rows that are encoded are out of the codec's range."""
        codec, transform = self.layout.codec, self.layout.transform
        if transform is None:
            codec.check(vectors)
        elif transform.matrix is not None and type(codec).check is not Codec.check:
            codec.check(transform.apply(vectors))

    def _tidied(self, positions: np.ndarray, distances: np.ndarray, nq: int, k: int) -> Found:
        """Check the shape, pad with -1 and +inf, and sort rows that are not sorted."""
        if positions.shape != (nq, k) or distances.shape != (nq, k):
            raise PluginContractError(
                f"index {self.name!r} answered {nq} queries with arrays of shapes {positions.shape} and "
                f"{distances.shape}, {(nq, k)} expected"
            )
        if positions.size and positions.min() < 0:
            distances = np.where(positions < 0, np.float32(np.inf), distances)
        if k > 1 and (distances[:, 1:] < distances[:, :-1]).any():
            order = np.argsort(distances, axis=1, kind="stable")
            positions = np.take_along_axis(positions, order, axis=1)
            distances = np.take_along_axis(distances, order, axis=1)
        return Found(positions, distances)


def empty_found(nq: int, k: int) -> Found:
    """An answer of padding only."""
    return Found(np.full((nq, k), -1, dtype=np.int64), np.full((nq, k), np.inf, dtype=np.float32))


def merge_found(first: Found, second: Found, k: int) -> Found:
    """The k nearest of two answers whose positions do not overlap.

    >>> near = Found(np.array([[0, 1]]), np.float32([[0.1, 0.4]]))
    >>> far = Found(np.array([[5, -1]]), np.float32([[0.2, np.inf]]))
    >>> merge_found(near, far, 2).positions.tolist()
    [[0, 5]]
    """
    positions = np.concatenate([first.positions, second.positions], axis=1)
    distances = np.concatenate([first.distances, second.distances], axis=1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return Found(np.take_along_axis(positions, order, axis=1), np.take_along_axis(distances, order, axis=1))


def masked_by_growing(search: Callable[[int], Found], k: int, mask: Mask, n: int) -> Found:
    """Apply a mask outside a library that knows none: ask for more until every query has k allowed positions.

    Parameters
    ----------
    search
        k to the unmasked answer with (nq, k) entries.
    n
        Rows in the index; nothing more can be asked for.
    """
    wanted = min(k, mask.count)
    ask = min(n, k + (n - mask.count))
    ask = min(ask, 4 * k + 16)
    while True:
        found = search(ask)
        keep = (found.positions >= 0) & mask.allowed[found.positions]
        if ask >= n or not len(keep) or int(keep.sum(axis=1).min()) >= wanted:
            break
        ask = min(n, 4 * ask)
    answer = empty_found(len(keep), k)
    rank = np.cumsum(keep, axis=1) - 1
    query, column = np.nonzero(keep & (rank < k))
    answer.positions[query, rank[query, column]] = found.positions[query, column]
    answer.distances[query, rank[query, column]] = found.distances[query, column]
    return answer


def _sorted_range(found: RangeFound) -> RangeFound:
    query = np.repeat(np.arange(len(found.limits) - 1), np.diff(found.limits))
    order = np.lexsort((found.positions, found.distances, query))
    return RangeFound(found.limits, found.positions[order], found.distances[order])
