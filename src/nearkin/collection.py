"""Collection: the one object that users hold. Rows and ids, metric and plan; search, add, delete, save.

An index knows positions only. A collection owns the ids, the tombstones of deleted rows, the tail of rows that its index does
not cover yet, the metric and the plan. What a search reads is one immutable `_View`, replaced as a whole by every change, so
that searches go on in other threads while rows are added.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from nearkin.components import Part
from nearkin.errors import (
    ClosedError,
    NotSupportedError,
    ParameterError,
    ReadOnlyError,
    StateError,
    VectorError,
)
from nearkin.indexes import Found, Index, Mask, RangeFound, empty_found, merge_found, whole_number
from nearkin.metrics import Metric
from nearkin.plans import Plan, label_of, make_index
from nearkin.registry import Registry
from nearkin.results import RangeResult, SearchResult
from nearkin.rows import ForgottenRows, Metadata, Rows
from nearkin.vectors import OnBad, as_vectors, name_rows, screen


class Row(NamedTuple):
    """One stored row."""

    id: Any
    vector: np.ndarray | None
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Added:
    """What an add or build took in."""

    ids: list[Any]
    skipped: np.ndarray
    """Row numbers of the input that were left out as bad."""


@dataclass(frozen=True)
class Timings:
    """Seconds that building an index took."""

    train: float = 0.0
    add: float = 0.0

    @property
    def total(self) -> float:
        return self.train + self.add


@dataclass(frozen=True)
class _View:
    """What one search reads: never changed, only replaced."""

    index: Index | None
    index_mask: Mask | None
    covered: int
    tail: Index | None
    tail_mask: Mask | None
    count: int


class Collection:
    """Vectors with ids under one metric, searched through one plan. Made by `nearkin.build` and `nearkin.open`.

    Examples
    --------
    >>> import numpy as np
    >>> import nearkin as nk
    >>> mine = nk.build(np.eye(4), metric="cosine", ids=["n", "e", "s", "w"])
    >>> hits = mine.search([[0, 1, 0, 0.5]], k=2)
    >>> hits.ids.tolist(), hits.distances.round(3).tolist()
    ([['e', 'w']], [[0.1059999987483025, 0.5529999732971191]])
    """

    def __init__(
        self,
        rows: Rows,
        metric: Metric,
        metric_text: str,
        plan: Plan,
        registry: Registry,
        *,
        seed: int = 0,
        threads: int = 1,
        readonly: bool = False,
        keep_vectors: bool = True,
    ) -> None:
        self._rows = rows
        self._metric = metric
        self._metric_text = metric_text
        self._plan = plan
        self._registry = registry
        self._seed = seed
        self._threads = threads
        self._readonly = readonly
        self._keep_vectors = keep_vectors
        self._closed = False
        self._lock = RLock()
        self._index: Index | None = None
        self._covered = 0
        self._view: _View | None = None
        self._code_error: float | None = None
        self.timings = Timings()
        self.path: Path | None = None
        self.skipped = np.empty(0, dtype=np.int64)
        self.problems: list[str] = []

    # ---- facts -----------------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Columns of the vectors (bytes, for packed bits)."""
        return self._rows.dim

    @property
    def metric(self) -> Metric:
        """The metric, fitted."""
        return self._metric

    @property
    def metric_text(self) -> str:
        """The metric as it was asked for, with its options."""
        return self._metric_text

    @property
    def plan(self) -> str:
        """The plan with every number filled in once the index is built."""
        return label_of(self._index) if self._index is not None else str(self._plan)

    @property
    def uncovered(self) -> int:
        """Rows that the index does not cover yet; they are searched one by one."""
        return len(self._rows) - self._covered

    @property
    def readonly(self) -> bool:
        """Whether changes are refused."""
        return self._readonly

    @property
    def keeps_vectors(self) -> bool:
        """Whether the rows themselves are kept beside the index."""
        return self._keep_vectors

    @property
    def search_defaults(self) -> dict[str, int]:
        """Search parameters used where a search sets none."""
        return self._index.resolve({}) if self._index is not None else dict(self._plan.search)

    @property
    def ids(self) -> np.ndarray:
        """Ids of all rows, in the order they were added."""
        return np.asarray(self._rows.ids.at(np.flatnonzero(self._rows.alive)))

    def __len__(self) -> int:
        return self._rows.count

    def __contains__(self, key: Any) -> bool:
        try:
            return bool(len(self._rows.ids.existing([key])))
        except ParameterError:
            return False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self):,} rows x {self.dim}"
        return f"<nearkin.Collection {state}, {self._metric_text}, {self.plan}>"

    # ---- asking ----------------------------------------------------------------------------------------------------

    def search(self, queries: Any, k: int = 10, *, threads: int | None = None, **params: int) -> SearchResult:
        """The k nearest rows of each query.

        Parameters
        ----------
        queries
            (nq, dim) numbers; for one vector pass ``vector[None, :]``.
        k
            Neighbours wanted. Where there are fewer, the result is padded and says why.
        threads
            Threads for this call; None for the collection's.
        **params
            Search parameters of the plan, such as ``nprobe``, ``ef_search`` and ``rerank``.

        Raises
        ------
        VectorError
            Queries of another width, or with NaN or infinite values.
        ParameterError
            k below 1, or a search parameter that the plan does not have.
        """
        view = self._current()
        if type(k) is not int or k < 1:
            k = whole_number("k", k, 1)
        prepared = self._prepared_queries(queries)
        found = self._search_view(view, prepared, k, self._threads_for(threads), params)
        return SearchResult(
            found.positions,
            self._metric.finish(found.distances),
            k,
            self._rows.ids.table,
            self._metric.similarity,
            lambda count: self._why_fewer(view.count, count, k),
        )

    def _search_view(
        self, view: _View, prepared: np.ndarray, k: int, threads: int, params: Mapping[str, int]
    ) -> Found:
        found = None
        if view.index is not None:
            found = view.index.search(prepared, k, mask=view.index_mask, params=params, threads=threads)
        elif params:
            raise ParameterError(
                f"search parameters {', '.join(params)} were given, and this collection has no index yet",
                hint="call optimize() to build one",
            )
        if view.tail is None:
            return found if found is not None else empty_found(len(prepared), k)
        last = view.tail.search(prepared, k, mask=view.tail_mask, threads=threads)
        last = Found(np.where(last.positions < 0, -1, last.positions + view.covered), last.distances)
        return last if found is None else merge_found(found, last, k)

    def range_search(
        self, queries: Any, max_distance: float, *, threads: int | None = None, **params: int
    ) -> RangeResult:
        """Every row within `max_distance` of each query, nearest first.

        Candidates come from the plan; the distance of each is then computed on the stored rows, so a row that is
        returned is within the distance. A plan that is not exact may miss some.

        Raises
        ------
        NotSupportedError
            The plan's codec is lossy and the rows were not kept, so distances cannot be checked.
        """
        view = self._current()
        limit = _real_number("max_distance", max_distance)
        if not self._keep_vectors and not self._lossless():
            raise NotSupportedError(
                f"range search over {self.plan} needs the rows to check distances, and they were not kept",
                hint="build with keep_vectors=True, or with a plan whose codec is lossless",
            )
        raw = as_vectors(queries, dim=self.dim, dtype=self._metric.dtype, what="queries")
        prepared = self._prepared_queries(raw)
        candidates = self._range_candidates(view, prepared, limit, self._threads_for(threads), params)
        limits, positions, distances = self._checked_range(raw, prepared, candidates, limit)
        return RangeResult(limits, positions, distances, self._rows.ids.at(positions), self._metric.similarity)

    def _range_candidates(
        self, view: _View, prepared: np.ndarray, limit: float, threads: int, params: Mapping[str, int]
    ) -> RangeFound:
        radius = float(self._metric.unfinish(limit))
        margin = 1e-5 * abs(radius) + 1e-6
        found = []
        if view.index is not None:
            slack = margin if self._lossless() else margin + self._measured_code_error(view)
            found.append(
                view.index.range_search(
                    prepared, radius + slack, mask=view.index_mask, params=params, threads=threads
                )
            )
        if view.tail is not None:
            tail = view.tail.range_search(prepared, radius + margin, mask=view.tail_mask, threads=threads)
            found.append(RangeFound(tail.limits, tail.positions + view.covered, tail.distances))
        if not found:
            return RangeFound(np.zeros(len(prepared) + 1, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        return found[0] if len(found) == 1 else _merged_ranges(found[0], found[1])

    def _checked_range(
        self, raw: np.ndarray, prepared: np.ndarray, candidates: RangeFound, limit: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keep the candidates whose true distance is within the limit, nearest first."""
        counts, kept_positions, kept_distances = [0], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for query in range(len(prepared)):
            positions = candidates.positions[candidates.limits[query] : candidates.limits[query + 1]]
            if self._keep_vectors:
                distances = self._metric.distances(raw[query : query + 1], self._rows.take(positions))[0]
            else:
                span = slice(candidates.limits[query], candidates.limits[query + 1])
                distances = self._metric.finish(candidates.distances[span])
            inside = distances <= limit
            order = np.lexsort((positions[inside], distances[inside]))
            kept_positions.append(positions[inside][order])
            kept_distances.append(distances[inside][order].astype(np.float32))
            counts.append(int(inside.sum()))
        return np.cumsum(counts), np.concatenate(kept_positions), np.concatenate(kept_distances)

    def _measured_code_error(self, view: _View) -> float:
        """Largest difference between the index's values and the true ones among neighbours of sampled rows."""
        if self._code_error is None:
            rng = np.random.default_rng(self._seed)
            sample = np.sort(rng.choice(np.flatnonzero(self._rows.alive), min(64, self._rows.count), replace=False))
            prepared = self._metric.prepare_queries(self._rows.take(sample))
            found = view.index.search(prepared, min(50, view.index.n)) if view.index else empty_found(0, 1)
            worst = 0.0
            for row, positions in enumerate(found.positions):
                positions = positions[positions >= 0]
                rows = self._metric.prepare(self._rows.take(positions))
                true = self._metric.space.pairwise(prepared[row : row + 1], rows)[0]
                worst = max(worst, float(np.abs(true - found.distances[row, : len(positions)]).max(initial=0.0)))
            self._code_error = worst
        return self._code_error

    def get(self, ids: Iterable[Any]) -> list[Row]:
        """Rows by id, in the order asked.

        Raises
        ------
        UnknownIdError
            There is no row with one of the ids.
        """
        self._need_open()
        positions = self._rows.ids.positions(ids)
        vectors: Sequence[Any] = self._rows.take(positions) if self._keep_vectors else [None] * len(positions)
        metadata = self._rows.metadata(positions)
        found = self._rows.ids.at(positions).tolist()
        return [Row(*each) for each in zip(found, vectors, metadata, strict=True)]

    # ---- changing --------------------------------------------------------------------------------------------------

    def add(
        self,
        vectors: Any,
        ids: Sequence[Any] | None = None,
        *,
        metadata: Sequence[Metadata] | None = None,
        on_bad: OnBad = "fail",
    ) -> Added:
        """Add rows under new ids; they are found by the next search.

        Parameters
        ----------
        vectors
            (n, dim) numbers.
        ids
            One a row, whole numbers or strings; None continues the whole numbers.
        metadata
            One JSON-able dict a row.
        on_bad
            ``"fail"`` refuses everything if a row has NaN or infinite values (or cannot be compared under the
            metric); ``"skip"`` leaves such rows out and lists them.

        Raises
        ------
        VectorError, ParameterError
            Nothing was added.
        """
        return self._take_in(vectors, ids, metadata, on_bad, replace=False)

    def upsert(
        self,
        vectors: Any,
        ids: Sequence[Any],
        *,
        metadata: Sequence[Metadata] | None = None,
        on_bad: OnBad = "fail",
    ) -> Added:
        """Add rows, replacing those whose ids exist already; all or nothing."""
        if ids is None:
            raise ParameterError("upsert needs ids to know which rows to replace", hint="use add for new rows")
        return self._take_in(vectors, ids, metadata, on_bad, replace=True)

    def delete(self, ids: Iterable[Any]) -> int:
        """Delete rows by id; return how many.

        Raises
        ------
        UnknownIdError
            There is no row with one of the ids; nothing was deleted.
        """
        with self._lock:
            self._need_writable()
            positions = np.unique(self._rows.ids.positions(ids))
            self._rows.commit(delete=positions)
            self._view = None
        return len(positions)

    def optimize(self) -> None:
        """Build the index anew over all rows, so that none is searched one by one."""
        with self._lock:
            self._need_writable()
            self._need_vectors("optimize")
            self._build_index()
            self._publish()

    def _take_in(
        self,
        vectors: Any,
        ids: Sequence[Any] | None,
        metadata: Sequence[Metadata] | None,
        on_bad: OnBad,
        *,
        replace: bool,
    ) -> Added:
        with self._lock:
            self._need_writable()
            self._need_vectors("add")
            screened = self.screen(vectors, on_bad)
            chosen = None if ids is None else _kept(list(ids), screened.kept, len(screened.skipped), "ids")
            extra = None if metadata is None else _kept(metadata, screened.kept, len(screened.skipped), "metadata")
            new = self._rows.ids.next_ids(chosen, len(screened.vectors), replace=replace)
            if extra is not None and len(extra) != len(new):
                raise ParameterError(f"{len(extra)} metadata dicts were given for {len(new)} rows")
            old = self._rows.ids.existing(new) if replace else np.empty(0, dtype=np.int64)
            self._rows.commit(delete=old, vectors=_owned(screened.vectors, vectors), ids=new, metadata=extra)
            self._view = None
        return Added(new, screened.skipped)

    def screen(self, vectors: Any, on_bad: OnBad = "fail") -> Any:
        """The gate that `add` sends rows through, for callers who want to look first."""
        return screen(
            vectors,
            dim=self.dim,
            dtype=self._metric.dtype,
            on_bad=on_bad,
            refuse=self._metric.refuses if self._metric.refuses_rows else None,
            reason=self._metric.bad_row_reason,
        )

    # ---- keeping ---------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the collection to a folder that `nearkin.open` reads. The folder appears complete or not at all.

        Raises
        ------
        ParameterError
            Something is at `path` already and `overwrite` is not set.
        StorageError
            Writing failed, for example on a full disk; what was at `path` is intact.
        """
        from nearkin.store.folder import Folder, write_folder

        with self._lock:
            self._need_open()

            def fill(folder: Path) -> None:
                with_rows = Folder.create(folder, self.header())
                try:
                    self._copy_rows_to(with_rows)
                    if self._index is not None:
                        with_rows.publish(label_of(self._index), self._index.state(), self._covered)
                finally:
                    with_rows.close()

            write_folder(Path(path), fill, overwrite=overwrite)

    def _copy_rows_to(self, target: Rows) -> None:
        """Every position, deleted ones too (and deleted again), since the index refers to positions."""
        ids = self._rows.ids.at(np.arange(len(self._rows))).tolist()
        dead = np.flatnonzero(~self._rows.alive)
        for position in dead.tolist():  # an id that was used again must not meet its own past
            ids[position] = _tombstone_id(position, ids)
        step = 65_536
        for start in range(0, len(self._rows), step):
            stop = min(len(self._rows), start + step)
            vectors = self._rows.span(start, stop) if self._keep_vectors else None
            metadata = self._rows.metadata(np.arange(start, stop))
            target.commit(vectors=vectors, ids=ids[start:stop], metadata=metadata)
        if dead.size:
            target.commit(delete=dead)

    def close(self) -> None:
        """Let go of files and the lock; the object can only be closed again afterwards."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._view = self._index = None
                self._rows.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _current(self) -> _View:
        view = self._view
        if view is None:
            with self._lock:
                self._need_open()
                view = self._view = self._view or self._make_view()
        return view

    def _make_view(self) -> _View:
        alive = self._rows.alive
        covered = self._covered
        tail = self._make_tail() if len(alive) > covered else None
        return _View(
            self._index,
            _mask_of(alive[:covered]) if self._index is not None else None,
            covered,
            tail,
            _mask_of(alive[covered:]),
            self._rows.count,
        )

    def _make_tail(self) -> Index:
        """An exact index over the rows that the built one does not cover."""
        index = make_index(Plan(Part("flat")), self._metric, self.prepared_dim(), self._registry, rows=self.uncovered)
        trained = False
        for _, block in self._rows.blocks(self._covered):
            prepared = self._metric.prepare(block)
            if not trained:
                index.train(prepared)
                trained = True
            index.add(prepared)
        return index

    def _build_index(self) -> None:
        """Train and fill the plan's index over every row; deleted ones take part only as positions."""
        alive = np.flatnonzero(self._rows.alive)
        if not alive.size:
            self._index, self._covered, self._view = None, 0, None
            return
        index = make_index(
            self._plan,
            self._metric,
            self.prepared_dim(),
            self._registry,
            rows=len(alive),
            seed=self._seed,
        )
        index.use_threads(self._threads)
        start = time.perf_counter()
        index.train(self._training_sample(index, alive))
        trained = time.perf_counter()
        for _, block in self._rows.blocks():
            index.add(self._metric.prepare(block))
        self.timings = Timings(trained - start, time.perf_counter() - trained)
        self._index, self._covered, self._view, self._code_error = index, len(self._rows), None, None

    def _training_sample(self, index: Index, alive: np.ndarray) -> np.ndarray:
        wanted = index.sample_rows(len(alive))
        if wanted < len(alive):
            rng = np.random.default_rng(self._seed)
            alive = np.sort(rng.choice(alive, wanted, replace=False))
        return np.ascontiguousarray(self._metric.prepare(self._rows.take(alive)))

    def adopt(self, index: Index, covered: int) -> None:
        """Use an index that was restored."""
        self._index, self._covered, self._view = index, covered, None

    def forget_vectors(self) -> None:
        """Keep only the index: the rows are let go, and what needs them is refused from now on."""
        forgotten = ForgottenRows(self.dim, self._metric.dtype)
        ids, everything = self._rows.ids.at(np.arange(len(self._rows))).tolist(), np.arange(len(self._rows))
        forgotten.commit(ids=ids, metadata=self._rows.metadata(everything))
        self._rows, self._keep_vectors, self._view = forgotten, False, None

    def _publish(self) -> None:
        """Write the index beside the rows, if they live on disk."""
        publish = getattr(self._rows, "publish", None)
        if publish is not None and self._index is not None:
            publish(label_of(self._index), self._index.state(), self._covered)

    def header(self) -> Any:
        """What a saved folder says of this collection."""
        from nearkin import __version__
        from nearkin.store.folder import Header

        return Header(
            dim=self.dim,
            dtype=self._metric.dtype,
            metric=self._metric_text,
            metric_state=self._metric.state(),
            plan=str(self._plan),
            search=dict(self._plan.search),
            seed=self._seed,
            keep_vectors=self._keep_vectors,
            library=__version__,
        )

    def _prepared_queries(self, queries: Any) -> np.ndarray:
        raw = as_vectors(queries, dim=self.dim, dtype=self._metric.dtype, what="queries")
        if self._metric.refuses_rows:
            refused = self._metric.refuses(raw)
            if refused.any():
                raise VectorError(f"{self._metric.bad_row_reason}: {name_rows(np.flatnonzero(refused), len(raw))} of the queries")
        return self._metric.prepare_queries(raw)

    def prepared_dim(self) -> int:
        """Columns of the rows as the index sees them."""
        probe = np.ones((1, self.dim), dtype=np.float32 if self._metric.dtype == "float32" else np.uint8)
        return int(self._metric.prepare(probe).shape[1])

    def _threads_for(self, threads: int | None) -> int:
        return self._threads if threads is None else whole_number("threads", threads, 1)

    def _lossless(self) -> bool:
        """Whether the index's values are the true ones."""
        return self._index is None or self._index.layout.codec.lossless

    def _why_fewer(self, total: int, count: int, k: int) -> str:
        if total < k:
            return f"the collection has {total:,} rows, {k:,} asked"
        return f"the plan reached {count:,} of {k:,}: raise its search parameters ({', '.join(self.search_defaults)})"

    def _need_open(self) -> None:
        if self._closed:
            raise ClosedError("this collection was closed", hint="open it again with nearkin.open(path)")

    def _need_writable(self) -> None:
        self._need_open()
        if self._readonly:
            raise ReadOnlyError("this collection was opened for reading only", hint="open it without readonly=True")

    def _need_vectors(self, operation: str) -> None:
        if not self._keep_vectors:
            raise StateError(
                f"{operation} needs the rows, and this collection was built with keep_vectors=False",
                hint="build it again with the vectors kept",
            )


def with_plan(plan: Plan, search: Mapping[str, int] | None) -> Plan:
    """A plan with default search parameters."""
    return replace(plan, search=dict(search)) if search else plan


def _mask_of(alive: np.ndarray) -> Mask | None:
    return None if alive.all() else Mask(alive)


def _kept(values: Sequence[Any], kept: np.ndarray | None, skipped: int, what: str) -> Sequence[Any]:
    """Ids or metadata of the rows that were kept."""
    if kept is None:
        return values
    if len(values) != len(kept) + skipped:
        raise ParameterError(f"{len(values)} {what} were given for {len(kept) + skipped} rows")
    return [values[row] for row in kept]


def _owned(array: np.ndarray, given: Any) -> np.ndarray:
    """Rows that nobody else can change: a copy, unless the gate made one or they are a read-only file."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap) and base.base is not None:
        base = base.base
    if isinstance(base, np.memmap) and base.mode == "r":
        return array
    if isinstance(given, np.ndarray) and not np.shares_memory(array, given):
        return array
    return array.copy()


def _merged_ranges(first: RangeFound, second: RangeFound) -> RangeFound:
    query = np.concatenate([np.repeat(np.arange(len(each.limits) - 1), np.diff(each.limits)) for each in (first, second)])
    order = np.argsort(query, kind="stable")
    return RangeFound(
        first.limits + second.limits,
        np.concatenate([first.positions, second.positions])[order],
        np.concatenate([first.distances, second.distances])[order],
    )


def _real_number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} is {value!r}, a number expected") from error
    if number != number:
        raise ParameterError(f"{name} is NaN, a number expected")
    return number


def _tombstone_id(position: int, ids: list[Any]) -> Any:
    """An id for a deleted position that no row has."""
    return f"\x00deleted {position}" if ids and isinstance(ids[0], str) else -(2 + position) - (1 << 62)
