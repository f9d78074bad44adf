"""What a collection answers: searches, rows and facts about fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.collection_state import CollectionState
from nearkin.errors import NotSupportedError
from nearkin.fields import FieldFacts, summarize_fields
from nearkin.filters import Where, as_filter
from nearkin.grouping import (
    REMEMBERED,
    Ask,
    Blocks,
    Groups,
    distances_of_all,
    keys_of,
    nearest_groups,
    why_fewer_groups,
)
from nearkin.indexes import Found
from nearkin.intake import PADDED, real_number
from nearkin.results import RangeResult, SearchResult
from nearkin.rows import Row
from nearkin.search_parameters import whole_number
from nearkin.true_distances import true_distances
from nearkin.truths import exact_truth
from nearkin.views import View

if TYPE_CHECKING:
    from nearkin.labelling import CollectionClassifier
    from nearkin.learning.decisions import Decisions


class CollectionReader(CollectionState):
    """A collection that is asked; `nearkin.Collection` changes it, too."""

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        where: Where | None = None,
        group_by: str | None = None,
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
            (nq, dim) numbers; for one vector pass ``vector[None, :]``. Or items, where there is an embedder: texts, or dicts.
        k
            Neighbours wanted. Where there are fewer, the result is padded and says why.
        where
            Only rows that a filter on their metadata keeps: ``'price < 50 and tags has "new"'``, or the same as a dict.
        group_by
            A field of the metadata: k of its values are found instead of k rows, each by its nearest row, such as the best passage
            of each document. Rows without the field count by themselves.
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
        prepared = self._metric.prepare_queries(self.checked_queries(queries))
        cores = self._threads_for(threads)
        if group_by is not None:

            def ask(some: np.ndarray, depth: int) -> Found:
                return view.search(prepared[some], depth, cores, params, allow_fewer=allow_fewer)

            scanned = None if allow_fewer or not view.keeps_vectors else view.allowed
            return self._grouped(ask, group_by, prepared, k, view.count, scanned, filtered=where is not None)
        found = view.search(prepared, k, cores, params, allow_fewer=allow_fewer)
        return self._result(view.count, found, k, filtered=where is not None)

    def _grouped(
        self,
        ask: Ask,
        group_by: str,
        prepared: np.ndarray,
        k: int,
        rows: int,
        scanned: np.ndarray | None,
        *,
        filtered: bool,
    ) -> SearchResult:
        """The best rows of k groups, and why there are fewer; the rows that may be `scanned`, where they may."""

        def scan(some: np.ndarray) -> Blocks:
            assert scanned is not None
            return distances_of_all(self._rows, scanned, prepared[some], self._metric)

        groups = self._groups_by(group_by).of
        found, exhausted = nearest_groups(ask, groups, len(prepared), k, rows, None if scanned is None else scan)

        def explain(query: int, count: int) -> str:
            return why_fewer_groups(count, k, group_by, filtered=filtered, exhausted=bool(exhausted[query]))

        return self._result(rows, found, k, explain=explain)

    def _groups_by(self, field: str) -> Groups:
        keys = keys_of(field)
        with self._moment():
            groups = self._groups.pop(keys, None) or Groups(self._rows, keys, self._moment)
            for oldest in list(self._groups)[: 1 - REMEMBERED]:
                del self._groups[oldest]
            self._groups[keys] = groups
            return groups

    def exact_search(
        self,
        queries: Any,
        k: int = 10,
        *,
        where: Where | None = None,
        group_by: str | None = None,
        threads: int | None = None,
        cached: bool = False,
    ) -> SearchResult:
        """The k nearest rows by comparing every row, block by block, whatever the plan; needs the rows to be kept.

        `group_by` is that of `search`.

        With `cached`, an answer that took long is kept in the user's cache folder and found there again (`nearkin.truths`).
        """
        self._need_open()
        self._need_vectors("exact_search")
        k = self._asked(k)
        prepared, allowed = self._metric.prepare_queries(self.checked_queries(queries)), self._allowed(where)
        rows, cores = int(np.count_nonzero(allowed)), self._threads_for(threads)

        def ask(some: np.ndarray, depth: int) -> Found:
            return exact_truth(self._rows, allowed, prepared[some], depth, cores, self._recipe, cache=cached)

        if group_by is not None:
            return self._grouped(ask, group_by, prepared, k, rows, allowed, filtered=where is not None)
        return self._result(rows, ask(np.arange(len(prepared)), k), k, filtered=where is not None)

    def true_distances(self, queries: Any, positions: np.ndarray) -> np.ndarray:
        """(nq, k) distances, float64, computed on the stored rows; +inf where a position is -1."""
        self._need_open()
        self._need_vectors("true_distances")
        asked = self.checked_queries(queries)
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
        asked = self.checked_queries(queries)
        found = self._margins.range_search(view, asked, limit, self._threads_for(threads), params)
        ids = self._rows.ids.at(found.positions)
        return RangeResult(found.limits, found.positions, found.distances, ids, self._metric.similarity)

    def classifier(
        self,
        label: str,
        *,
        method: str = "knn",
        k: int | None = None,
        error_rate: float | None = None,
        scope: float | None = 0.99,
        where: Where | None = None,
    ) -> CollectionClassifier:
        """Learn to label queries from a field of the metadata; what it gives has `decide`, for as long as no row changes.

        How sure it may be is learned from the rows themselves: each is labelled by the others (for methods other than ``knn``, by
        a model that learned from four fifths of them), and its label is known. See `nearkin.SureClassifier`.

        Parameters
        ----------
        label
            Field with the labels: text, numbers, true or false. Rows without one are left out.
        method
            A learner (``nearkin components learners``) with options. ``knn`` asks this collection, under its metric and plan; any
            other learns from the stored vectors.
        k
            Neighbours that vote; None for 5.
        error_rate
            Largest share of wrong answers, such as 0.05; None to answer whatever the probability.
        scope
            Share of rows like those known that is to be in scope; None to hold nothing for out of scope.
        where
            Only rows that a filter keeps.

        Raises
        ------
        UnknownNameError
            No such learner, or no row has the field.
        ParameterError
            No labels, labels that are lists or objects, vectors that were made from the label, too, or a share that is none.
        NotSupportedError
            The learner gives no labels, or the vectors were not kept.
        """
        from nearkin.labelling import classifier

        given: dict[str, Any] = {"k": k, "error_rate": error_rate, "scope": scope, "where": where}
        return classifier(self, label, method=method, **given)

    def classify(
        self,
        queries: Any,
        label: str,
        *,
        method: str = "knn",
        k: int | None = None,
        error_rate: float | None = None,
        scope: float | None = 0.99,
        where: Where | None = None,
        most: int = 5,
    ) -> Decisions:
        """Labels for queries, how sure, and which rows or columns decided: `classifier` and its `decide` in one.

        Parameters
        ----------
        queries
            As for `search`.
        label, method, k, error_rate, scope, where
            As for `classifier`.
        most
            Reasons of each query, at most.

        Examples
        --------
        >>> import nearkin as nk
        >>> kinds = [{"kind": "low"}, {"kind": "low"}, {"kind": "high"}, {"kind": "high"}]
        >>> mine = nk.build([[0.0], [0.2], [0.9], [1.1]], metadata=kinds)
        >>> found = mine.classify([[0.3]], "kind", k=1)[0]
        >>> found.label, found.reasons[0].what
        ('low', 1)
        """
        given: dict[str, Any] = {"k": k, "error_rate": error_rate, "scope": scope, "where": where}
        return self.classifier(label, method=method, **given).decide(queries, most)

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

    def get(self, ids: Iterable[Any]) -> list[Row]:
        """Rows by id, in the order asked.

        Raises
        ------
        UnknownIdError
            There is no row with one of the ids.
        """
        with self._moment():
            self._need_open()
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
        first = whole_number("offset", offset, 0)
        most = None if limit is None else whole_number("limit", limit, 0)
        with self._moment():
            kept = self.positions(where)[first : None if most is None else first + most]
            return self._rows_at(kept, vectors=vectors)

    def count(self, where: Where | None = None) -> int:
        """Rows that a filter keeps; without one, all."""
        self._need_open()
        return len(self) if where is None else len(self.positions(where))

    def fields(self) -> dict[str, FieldFacts]:
        """Fields of the metadata by name, nested ones as ``size.width``: in how many rows, of which types, and whether indexed."""
        with self.unchanging():
            self._need_open()
            metadata = self._rows.metadata(np.flatnonzero(self._rows.alive))
            return summarize_fields(metadata, self._rows.indexed_fields)

    def positions(self, where: Where | None = None) -> np.ndarray:
        """(m,) ascending positions of the rows that are there and that a filter keeps."""
        self._need_open()
        return np.flatnonzero(self._allowed(where))

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _rows_at(self, positions: np.ndarray, *, vectors: bool) -> list[Row]:
        kept = vectors and self._keep_vectors
        taken: Iterable[Any] = self._rows.take(positions) if kept else [None] * len(positions)
        metadata = self._rows.metadata(positions)
        found = self._rows.ids.at(positions).tolist()
        return [Row(*each) for each in zip(found, taken, metadata, strict=True)]

    def _view_of(self, where: Where | None) -> View:
        """What a search reads: the rows that are there now and that a filter keeps."""
        self._need_settled()
        if where is None:
            return self._current()
        filter = as_filter(where)
        with self._moment():  # a change in between would be in the filter's rows and not in the view
            view = self._current()
            return view.restricted.get(filter) or view.only(filter, self._rows.matching(filter))

    def _allowed(self, where: Where | None) -> np.ndarray:
        """(n,) which rows are not deleted and kept by a filter."""
        if where is None:
            return self._rows.alive
        with self._moment():
            allowed = np.zeros(len(self._rows), dtype=bool)
            allowed[self._rows.matching(as_filter(where))] = True
            return allowed
