"""Collection: the one object that users hold. Rows and ids, metric and plan; search, add, delete, save.

An index knows positions only. A collection owns the ids, the tombstones of deleted rows, the tail of rows that its index does
not cover yet, the metric and the plan.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.baseline import measured
from nearkin.collection_state import CollectionState
from nearkin.errors import NotSupportedError, ParameterError
from nearkin.fields import FieldFacts, summarize_fields
from nearkin.filters import Filter, as_filter
from nearkin.forks import process_generation
from nearkin.indexing import Built, Recipe
from nearkin.intake import PADDED, Added, gate_of, ids_of_kept, metadata_of_kept, owned, real_number
from nearkin.planning import Choice, chooser_of
from nearkin.renewal import decide, renew
from nearkin.results import RangeResult, SearchResult
from nearkin.rows import MemoryRows, Metadata, Row
from nearkin.search_parameters import whole_number
from nearkin.true_distances import true_distances
from nearkin.truths import exact_truth
from nearkin.vectors import OnBad, Screened
from nearkin.views import View

if TYPE_CHECKING:
    from nearkin.formats import Block
    from nearkin.store.folder import Folder
    from nearkin.store.header import Header, Mark

Where = str | Mapping[str, Any] | Filter
"""A filter: an expression, the same as a dict, or one that was read before; see `nearkin.filters`."""


class Collection(CollectionState):
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

    # ---- asking ----------------------------------------------------------------------------------------------------

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        where: Where | None = None,
        allow_fewer: bool = False,
        threads: int | None = None,
        **params: int,
    ) -> SearchResult:
        """The k nearest rows of each query: k, or all there are.

        A query for which the plan reaches fewer is asked again with larger search parameters, and at last compared with every row.
        Under a filter that keeps few rows, all of these are compared; otherwise the index passes over the others.

        Parameters
        ----------
        queries
            (nq, dim) numbers; for one vector pass ``vector[None, :]``.
        k
            Neighbours wanted. Where there are fewer, the result is padded and says why.
        where
            Only rows that a filter on their metadata keeps: ``'price < 50 and tags has "new"'``, or the same as a dict.
        allow_fewer
            Leave it at what the plan reaches; the result says where that is fewer than there are.
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
        FilterError
            The filter cannot be read.
        """
        view = self._view_of(where)
        if type(k) is not int or not 1 <= k <= PADDED:
            k = self._asked(k)
        prepared = self._metric.prepare_queries(self._checked_queries(queries))
        found = view.search(prepared, k, self._threads_for(threads), params, allow_fewer=allow_fewer)
        return self._result(view.count, found, k, filtered=where is not None)

    def exact_search(
        self,
        queries: Any,
        k: int = 10,
        *,
        where: Where | None = None,
        threads: int | None = None,
        cached: bool = False,
    ) -> SearchResult:
        """The k nearest rows by comparing every row, block by block, whatever the plan; needs the rows to be kept.

        With `cached`, an answer that took long is kept in the user's cache folder and found there again (`nearkin.truths`).
        """
        self._need_open()
        self._need_vectors("exact_search")
        k = self._asked(k)
        prepared, allowed = self._metric.prepare_queries(self._checked_queries(queries)), self._allowed(where)
        found = exact_truth(self._rows, allowed, prepared, k, self._threads_for(threads), self._recipe, cache=cached)
        return self._result(int(np.count_nonzero(allowed)), found, k, filtered=where is not None)

    def true_distances(self, queries: Any, positions: np.ndarray) -> np.ndarray:
        """(nq, k) distances, float64, computed on the stored rows; +inf where a position is -1."""
        self._need_open()
        self._need_vectors("true_distances")
        asked = self._checked_queries(queries)
        return true_distances(self._metric, self._rows, asked, positions)

    def range_search(
        self,
        queries: Any,
        max_distance: float,
        *,
        where: Where | None = None,
        threads: int | None = None,
        **params: int,
    ) -> RangeResult:
        """Every row within `max_distance` of each query, nearest first.

        Candidates come from the plan; the distance of each is then computed on the stored rows, so a row that is
        returned is within the distance (compared in float32). A plan that is not exact may miss some.

        Raises
        ------
        NotSupportedError
            The rows were not kept, so distances cannot be checked.
        """
        view = self._view_of(where)
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
        with self._lock:
            return self._rows_at(self._rows.ids.positions(ids), vectors=True)

    def select(
        self, where: Where | None = None, *, limit: int | None = None, offset: int = 0, vectors: bool = True
    ) -> list[Row]:
        """Rows that a filter keeps, in the order they were added.

        Parameters
        ----------
        where
            As for `search`; None for all rows.
        limit
            Rows at most; None for all.
        offset
            Rows to pass over first.
        vectors
            False leaves the vectors out (None in their place), which is quicker.

        Examples
        --------
        >>> import nearkin as nk
        >>> shop = nk.build([[0.0], [1.0], [2.0]], metadata=[{"price": 30}, {"price": 70}, {"price": 40}])
        >>> [row.id for row in shop.select("price < 50")], shop.count("price < 50")
        ([0, 2], 2)
        """
        self._need_open()
        first = whole_number("offset", offset, 0)
        most = None if limit is None else whole_number("limit", limit, 0)
        with self._lock:  # a row that another thread deletes in between would come back without its metadata
            kept = self.positions(where)[first : None if most is None else first + most]
            return self._rows_at(kept, vectors=vectors)

    def count(self, where: Where | None = None) -> int:
        """Rows that a filter keeps; without one, all."""
        self._need_open()
        return len(self) if where is None else len(self.positions(where))

    def _rows_at(self, positions: np.ndarray, *, vectors: bool) -> list[Row]:
        kept = vectors and self._keep_vectors
        taken: Iterable[Any] = self._rows.take(positions) if kept else [None] * len(positions)
        metadata = self._rows.metadata(positions)
        found = self._rows.ids.at(positions).tolist()
        return [Row(*each) for each in zip(found, taken, metadata, strict=True)]

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

    def delete(self, ids: Iterable[Any] | None = None, *, where: Where | None = None) -> int:
        """Delete rows by id, or those that a filter keeps; return how many.

        Raises
        ------
        UnknownIdError
            There is no row with one of the ids; nothing was deleted.
        ParameterError
            Neither ids nor a filter, or both.
        FilterError
            The filter cannot be read.
        """
        if (ids is None) == (where is None):
            raise ParameterError(
                "delete takes ids or where, exactly one of them", hint="for example where='price < 50'"
            )
        with self._lock:
            self._need_writable()
            positions = self.positions(where) if ids is None else np.unique(self._rows.ids.positions(ids))
            self._rows.commit(delete=positions)
            self._view = None
        return len(positions)

    def optimize(self, *, retrain: bool = False) -> None:
        """Bring the index up to date with all rows, by the rule of `nearkin.renewal`, which `notes` then tell of.

        With `retrain`, it is trained on all rows again, from what it has learned where it can. Where the collection has a budget
        and the index is built anew, its plan is found again, too.

        Raises
        ------
        BudgetError
            No plan meets the budget for the rows that there are now; the index is as it was.
        VectorError
            Too few rows for the plan.
        """
        with self._lock:
            self._need_writable()
            self._need_vectors("optimize")
            recipe, built, choice = self._renewed(retrain=retrain)
            if isinstance(self._rows, MemoryRows):
                self.take_over(recipe, built, choice)
                return
            self.take_over(recipe, measured(recipe, self._rows, built, self._threads), choice)
            if self._index is not None:
                state, header = self._index.state(), self._header()
                self._folder("an index").publish(self.plan, state, self._covered, header=header, facts=self.facts)

    def _renewed(self, *, retrain: bool) -> tuple[Recipe, Built, Choice | None]:
        present = self._rows, self._index, self._covered, self.facts
        decided = decide(*present, retrain=retrain)
        if self.budget is None or decided.action != "rebuild" or not len(self):
            return self._recipe, renew(self._recipe, *present, self._threads, retrain=retrain), self.choice
        chooser = chooser_of(self._rows, self._recipe, self.budget, k=10, queries=None, threads=self._threads)
        recipe, built, choice = chooser.build()
        return recipe, replace(built, notes=(decided.reason, *built.notes)), choice

    def _header(self) -> Header:
        from nearkin.saving import header_of

        return header_of(self._recipe, self._metric_text, self.dim, keep_vectors=self._keep_vectors, budget=self.budget)

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
        ids: Sequence[Any] | np.ndarray | None,
        metadata: Sequence[Metadata] | None,
        *,
        replace: bool = False,
        mark: Mark | None = None,
    ) -> Added:
        """What `add` does after `screen`; rows that share memory with what they were `given` as are copied."""
        with self._lock:
            extra = metadata_of_kept(metadata, screened)
            chosen = ids_of_kept(ids, screened)
            new = self._rows.ids.next_ids(chosen, len(screened.vectors), replace=replace)
            old = self._rows.ids.existing(new) if replace else np.empty(0, dtype=np.int64)
            marked: dict[str, Any] = {} if mark is None else {"mark": mark}
            vectors = owned(screened.vectors, given)
            self._rows.commit(delete=old, vectors=vectors, ids=new, metadata=extra, **marked)
            self._view = None
        return Added(new, screened.skipped, len(old))

    def _take_block(self, screened: Screened, block: Block, *, replace: bool, mark: Mark | None) -> Added:
        """Add the rows of a block that passed the gate, and keep a mark in the same commit (in a folder only)."""
        with self._lock:
            self._need_writable()
            self._need_vectors("add")
            return self._store(screened, block.vectors, block.ids, block.metadata, replace=replace, mark=mark)

    def _mark(self, name: str) -> dict[str, Any] | None:
        """What was kept under a name together with rows; None if nothing was."""
        self._need_open()
        return self._folder("a mark").mark(name)

    def positions(self, where: Where | None = None) -> np.ndarray:
        """(m,) ascending positions of the rows that are there and that a filter keeps."""
        self._need_open()
        return np.flatnonzero(self._allowed(where))

    def screen(self, vectors: Any, on_bad: OnBad = "fail", *, source: Any = None) -> Screened:
        """The gate that `add` sends rows through, for callers who want to look first; see `nearkin.vectors.Gate`."""
        gate = gate_of(self._metric, self.dim, on_bad)
        screened = gate.take(vectors, source=source)
        gate.need_good()
        return screened

    # ---- fields ----------------------------------------------------------------------------------------------------

    def fields(self) -> dict[str, FieldFacts]:
        """Fields of the metadata by name, nested ones as ``size.width``: in how many rows, of which types, and whether indexed."""
        self._need_open()
        with self._lock:
            indexed = self._rows.indexed_fields
            metadata = self._rows.metadata(np.flatnonzero(self._rows.alive))
        return summarize_fields(metadata, indexed)

    def index_field(self, name: str) -> None:
        """Make filters on a field of the metadata quick: the rows that they keep are looked up, not searched for.

        Raises
        ------
        FilterError
            The name cannot be that of a field.
        NotSupportedError
            The collection is in memory, where filters read every row.
        """
        with self._lock:
            self._need_writable()
            self._folder("an index on a field").index_field(name)

    def drop_field_index(self, name: str) -> None:
        """Take the index of a field away; filters on it go on working.

        Raises
        ------
        UnknownNameError
            There is no index on it.
        """
        with self._lock:
            self._need_writable()
            self._folder("an index on a field").drop_field_index(name)

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
        from nearkin.saving import need_named, save_folder

        with self._lock:
            self._need_open()
            need_named(self._recipe, self._metric_text, self._rows if self._keep_vectors else None)
            label = self.plan if self._index is not None else None
            given = self._rows, self._index, label, self._covered
            save_folder(Path(path), self._header(), *given, overwrite=overwrite, facts=self.facts)

    def close(self) -> None:
        """Let go of files and the lock; the object can only be closed again afterwards."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._view = self._index = None
                if self._process == process_generation():  # what a forked child closes, its parent goes on using
                    self._rows.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _view_of(self, where: Where | None) -> View:
        """What a search reads: the rows that are there now and that a filter keeps."""
        if where is None:
            return self._current()
        filter = as_filter(where)
        with self._lock:  # a change in between would be in the filter's rows and not in the view
            view = self._current()
            return view.restricted.get(filter) or view.only(filter, self._rows.matching(filter))

    def _allowed(self, where: Where | None) -> np.ndarray:
        """(n,) which rows are not deleted and kept by a filter."""
        if where is None:
            return self._rows.alive
        with self._lock:
            allowed = np.zeros(len(self._rows), dtype=bool)
            allowed[self._rows.matching(as_filter(where))] = True
            return allowed

    def _folder(self, what: str) -> Folder:
        from nearkin.store.folder import Folder

        if not isinstance(self._rows, Folder):
            raise NotSupportedError(f"{what} needs a collection on disk", hint="save it, and open the folder")
        return self._rows
