"""Collection: the one object that users hold. Rows and ids, metric and plan; search, add, delete, save.

An index knows positions only. A collection owns the ids, the tombstones of deleted rows, the tail of rows that its index does
not cover yet, the metric and the plan.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.baseline import measured
from nearkin.errors import ClosedError, NotSupportedError, ParameterError, ReadOnlyError, StateError
from nearkin.indexes import Found, Index
from nearkin.indexing import Built, Recipe, Timings
from nearkin.intake import PADDED, Added, gate_of, ids_of_kept, metadata_of_kept, owned, real_number
from nearkin.memory_accounting import disk_bytes, kept_bytes
from nearkin.metrics import Metric
from nearkin.renewal import renew
from nearkin.results import RangeResult, SearchResult, why_fewer
from nearkin.rows import ForgottenRows, Metadata, Row, Rows
from nearkin.search_parameters import whole_number
from nearkin.settings import THREADS
from nearkin.true_distances import RangeMargins, true_distances
from nearkin.truths import exact_truth
from nearkin.vectors import OnBad, Screened, as_vectors
from nearkin.views import View

if TYPE_CHECKING:
    from nearkin.planning import Choice


class Collection:
    """Vectors with ids under one metric, searched through one plan. Made by `nearkin.build` and `nearkin.open`.

    Examples
    --------
    >>> import numpy as np
    >>> import nearkin as nk
    >>> mine = nk.build(np.eye(4), metric="cosine", ids=["n", "e", "s", "w"])
    >>> hits = mine.search([[0, 1, 0, 0.5]], k=2)
    >>> hits.ids.tolist(), hits.distances.astype(float).round(3).tolist()
    ([['e', 'w']], [[0.106, 0.553]])
    """

    def __init__(
        self,
        rows: Rows,
        recipe: Recipe,
        metric_text: str,
        *,
        threads: int = 1,
        readonly: bool = False,
        keep_vectors: bool = True,
    ) -> None:
        self._rows = rows
        self._recipe = recipe
        self._metric = recipe.metric
        self._metric_text = metric_text
        self._threads = threads
        self._readonly = readonly
        self._keep_vectors = keep_vectors
        self._closed = False
        self._lock = RLock()
        self._index: Index | None = None
        self._covered = 0
        self._view: View | None = None
        self._margins = RangeMargins(recipe.metric, rows, recipe.seed)
        self.timings = Timings()
        self.facts: Mapping[str, Any] = {}
        self.path: Path | None = None
        self.skipped = np.empty(0, dtype=np.int64)
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.choice: Choice | None = None

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
        return self._recipe.label_of(self._index) if self._index is not None else str(self._recipe.plan)

    @property
    def uncovered(self) -> int:
        """Rows that the index does not cover yet; they are searched one by one."""
        return len(self._rows) - self._covered

    @property
    def deleted(self) -> int:
        """Rows that were deleted or replaced and still take up space, until the collection is built anew."""
        return len(self._rows) - self._rows.count

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
        return self._index.resolve({}) if self._index is not None else dict(self._recipe.plan.search)

    @property
    def threads(self) -> int:
        """Threads that searches and building use."""
        return self._threads

    @property
    def rows(self) -> Rows:
        """Rows, ids and metadata by position, and which are deleted; not to be changed."""
        return self._rows

    @property
    def recipe(self) -> Recipe:
        """Everything that decides what index is built over the rows."""
        return self._recipe

    @property
    def index(self) -> Index | None:
        """The index as built, which knows positions only; None where there is none yet."""
        return self._index

    def predicted_bytes(self) -> dict[str, int]:
        """Bytes by component of the index over the present rows, as predicted before building."""
        recipe = self._recipe.filled_in(self.plan)
        return dict(recipe.predicted(self.dim, max(1, len(self)), self._rows if self._keep_vectors else None))

    def allocated_bytes(self) -> dict[str, int]:
        """Bytes by component of the index as built."""
        return self._index.allocated() if self._index is not None else {}

    def kept_bytes(self) -> dict[str, int]:
        """Bytes by component of what is kept in memory besides the index: rows, ids, tombstones, metadata."""
        return kept_bytes(self._rows)

    def disk_bytes(self) -> dict[str, int]:
        """Bytes by component in the folder; empty for a collection in memory."""
        return disk_bytes(self._rows)

    def verify(self) -> list[str]:
        """Read every byte of a collection's folder again and compare it with its checksums; what is wrong, in words."""
        self._need_open()
        check = getattr(self._rows, "verify", None)
        return list(check()) if check is not None else []

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
        if type(k) is not int or not 1 <= k <= PADDED:
            k = self._asked(k)
        prepared = self._metric.prepare_queries(self._checked_queries(queries))
        return self._result(view.count, view.search(prepared, k, self._threads_for(threads), params), k)

    def exact_search(
        self, queries: Any, k: int = 10, *, threads: int | None = None, cached: bool = False
    ) -> SearchResult:
        """The k nearest rows by comparing every row, block by block, whatever the plan; needs the rows to be kept.

        With `cached`, an answer that took long is kept in the user's cache folder and found there again (`nearkin.truths`).
        """
        self._need_open()
        self._need_vectors("exact_search")
        k = self._asked(k)
        prepared, alive = self._metric.prepare_queries(self._checked_queries(queries)), self._rows.alive
        found = exact_truth(self._rows, alive, prepared, k, self._threads_for(threads), self._recipe, cache=cached)
        return self._result(int(np.count_nonzero(alive)), found, k)

    def true_distances(self, queries: Any, positions: np.ndarray) -> np.ndarray:
        """(nq, k) distances, float64, computed on the stored rows; +inf where a position is -1."""
        self._need_open()
        self._need_vectors("true_distances")
        asked = self._checked_queries(queries)
        return true_distances(self._metric, self._rows, asked, positions)

    def range_search(
        self, queries: Any, max_distance: float, *, threads: int | None = None, **params: int
    ) -> RangeResult:
        """Every row within `max_distance` of each query, nearest first.

        Candidates come from the plan; the distance of each is then computed on the stored rows, so a row that is
        returned is within the distance (compared in float32). A plan that is not exact may miss some.

        Raises
        ------
        NotSupportedError
            The rows were not kept, so distances cannot be checked.
        """
        view = self._current()
        limit = real_number("max_distance", max_distance)
        if not self._keep_vectors:
            raise NotSupportedError(
                f"range search over {self.plan} checks distances on the rows, and they were not kept",
                hint="build with keep_vectors=True",
            )
        asked = self._checked_queries(queries)
        found = self._margins.range_search(view, asked, limit, self._threads_for(threads), params)
        ids = self._rows.ids.at(found.positions)
        return RangeResult(found.limits, found.positions, found.distances, ids, self._metric.similarity)

    def get(self, ids: Iterable[Any]) -> list[Row]:
        """Rows by id, in the order asked.

        Raises
        ------
        UnknownIdError
            There is no row with one of the ids.
        """
        self._need_open()
        positions = self._rows.ids.positions(ids)
        vectors: Iterable[Any] = self._rows.take(positions) if self._keep_vectors else [None] * len(positions)
        metadata = self._rows.metadata(positions)
        found = self._rows.ids.at(positions).tolist()
        return [Row(*each) for each in zip(found, vectors, metadata, strict=True)]

    def to_faiss(self) -> Any:
        """The faiss index behind this collection, the object itself; `docs/interoperability.md` says what it answers.

        Raises
        ------
        NotSupportedError
            There is no faiss index behind the plan, or not in the metric's own space.
        StateError
            Rows were added since it was built, or deleted, so that it answers something else.
        """
        return self._current().to_faiss()

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

    def optimize(self, *, retrain: bool = False) -> None:
        """Bring the index up to date with all rows, by the rule of `nearkin.renewal`, which `notes` then tell of.

        With `retrain`, it is trained on all rows again, from what it has learned where it can.
        """
        with self._lock:
            self._need_writable()
            self._need_vectors("optimize")
            present = self._rows, self._index, self._covered, self.facts
            built = renew(self._recipe, *present, self._threads, retrain=retrain)
            if hasattr(self._rows, "publish"):
                built = measured(self._recipe, self._rows, built, self._threads)
            self.take_over(self._recipe, built)
            self._publish()

    def take_over(self, recipe: Recipe, built: Built, choice: Choice | None = None) -> None:
        """Use an index that was built over all rows by a recipe, chosen for a budget or not."""
        self._recipe, self.choice = recipe, choice
        self._index, self.timings, self.notes = built.index, built.timings, list(built.notes)
        self.facts = built.facts
        self._covered = len(self._rows) if self._index is not None else 0
        self._view = None

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
            return self._store(self.screen(vectors, on_bad), vectors, ids, metadata, replace=replace)

    def _store(
        self,
        screened: Screened,
        given: Any,
        ids: Sequence[Any] | None,
        metadata: Sequence[Metadata] | None,
        *,
        replace: bool = False,
    ) -> Added:
        """What `add` does after `screen`; rows that share memory with what they were `given` as are copied."""
        with self._lock:
            extra = metadata_of_kept(metadata, screened)
            chosen = ids_of_kept(ids, screened)
            new = self._rows.ids.next_ids(chosen, len(screened.vectors), replace=replace)
            old = self._rows.ids.existing(new) if replace else np.empty(0, dtype=np.int64)
            self._rows.commit(delete=old, vectors=owned(screened.vectors, given), ids=new, metadata=extra)
            self._view = None
        return Added(new, screened.skipped)

    def screen(self, vectors: Any, on_bad: OnBad = "fail", *, source: Any = None) -> Screened:
        """The gate that `add` sends rows through, for callers who want to look first; see `nearkin.vectors.Gate`."""
        gate = gate_of(self._metric, self.dim, on_bad)
        screened = gate.take(vectors, source=source)
        gate.need_good()
        return screened

    # ---- keeping ---------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the collection to a folder that `nearkin.open` reads. The folder appears complete or not at all.

        Raises
        ------
        ParameterError
            Something is at `path` already and `overwrite` is not set; or the metric was given as an object, and its name
            does not bring it back.
        StorageError
            Writing failed, for example on a full disk; what was at `path` is intact.
        """
        from nearkin.saving import header_of, need_named, save_folder

        with self._lock:
            self._need_open()
            need_named(self._recipe, self._metric_text, self._rows if self._keep_vectors else None)
            header = header_of(self._recipe, self._metric_text, self.dim, keep_vectors=self._keep_vectors)
            label = self.plan if self._index is not None else None
            given = self._rows, self._index, label, self._covered
            save_folder(Path(path), header, *given, overwrite=overwrite, facts=self.facts)

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

    def _current(self) -> View:
        view = self._view
        if view is None:
            with self._lock:
                self._need_open()
                view = self._view = self._view or View.of(self._rows, self._index, self._covered, self._recipe)
        return view

    def adopt(self, index: Index, covered: int, facts: Mapping[str, Any] | None = None) -> None:
        """Use an index that was restored, over the first `covered` positions, with the facts that were kept with it."""
        self._index, self._covered, self.facts, self._view = index, covered, facts or {}, None

    def forget_vectors(self) -> None:
        """Keep only the index: the rows are let go, and what needs them is refused from now on."""
        with self._lock:
            self._rows, self._keep_vectors, self._view = ForgottenRows.of(self._rows), False, None
            self._margins = RangeMargins(self._metric, self._rows, self._recipe.seed)

    def _publish(self) -> None:
        """Write the index beside the rows, if they live on disk."""
        publish = getattr(self._rows, "publish", None)
        if publish is not None and self._index is not None:
            publish(self.plan, self._index.state(), self._covered, facts=self.facts)

    def _checked_queries(self, queries: Any) -> np.ndarray:
        metric = self._metric
        return as_vectors(queries, dim=self._rows.dim, dtype=metric.dtype, what="queries", longest=metric.longest_row)

    def _asked(self, k: Any) -> int:
        """A right k: beyond all rows the answer is padded, and padding is kept to what fits in memory."""
        return whole_number("k", k, 1, max(len(self._rows), PADDED))

    def _result(self, rows: int, found: Found, k: int) -> SearchResult:
        return SearchResult(
            found.positions,
            self._metric.finish(found.distances),
            k,
            self._rows.ids.table,
            self._metric.similarity,
            lambda count: why_fewer(count, k, rows, self.search_defaults),
        )

    def _threads_for(self, threads: int | None) -> int:
        return self._threads if threads is None else whole_number("threads", threads, 1, THREADS)

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
