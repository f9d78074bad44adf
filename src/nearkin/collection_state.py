"""What a collection holds: rows, recipe, index; and the facts about them that users ask for.

`nearkin.collection` adds what is done with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.errors import ClosedError, InputError, NotTrainedError, ParameterError, ReadOnlyError, StateError
from nearkin.forks import need_same_process, process_generation
from nearkin.grouping import Groups
from nearkin.indexes import Found, Index
from nearkin.indexing import Built, Recipe, Timings
from nearkin.intake import PADDED
from nearkin.items import items_in
from nearkin.memory_accounting import disk_bytes, kept_bytes
from nearkin.metrics import Metric
from nearkin.results import Explain, SearchResult, why_fewer
from nearkin.rows import ForgottenRows, Rows
from nearkin.search_parameters import whole_number
from nearkin.settings import THREADS
from nearkin.true_distances import RangeMargins
from nearkin.vectors import as_vectors
from nearkin.views import NO_TAIL, View

if TYPE_CHECKING:
    from nearkin.bound_embedder import BoundEmbedder, EmbedderRecord
    from nearkin.budgets import Budget
    from nearkin.embedders import Embedder
    from nearkin.planning import Choice
    from nearkin.state import State


class CollectionState:
    """Rows with ids under one metric, a recipe for an index, and the index; the base of `nearkin.Collection`."""

    def __init__(
        self,
        rows: Rows,
        recipe: Recipe,
        metric_text: str,
        *,
        threads: int = 1,
        readonly: bool = False,
        keep_vectors: bool = True,
        embedder: BoundEmbedder | None = None,
    ) -> None:
        self._bound = None if embedder is None else embedder.using(threads)
        self._rows = rows
        self._recipe = recipe
        self._metric = recipe.metric
        self._metric_text = metric_text
        self._threads = threads
        self._readonly = readonly
        self._keep_vectors = keep_vectors
        self._closed = False
        self._process = process_generation()
        self._changing = RLock()  # held by a change from its first look to its end, which may take minutes; taken first
        self._lock = RLock()  # held while rows, index and view are replaced, or have to be those of one moment
        self._index: Index | None = None
        self._covered = 0
        self._view: View | None = None
        self._tail = NO_TAIL
        self._groups: dict[tuple[str, ...], Groups] = {}  # by what leads to the field
        self._margins = RangeMargins(recipe.metric, rows, recipe.seed)
        self.timings = Timings()
        self.facts: Mapping[str, Any] = {}
        """What was true of the index when it was trained; `nearkin.baseline` reads it."""
        self.path: Path | None = None
        self.skipped = np.empty(0, dtype=np.int64)
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.choice: Choice | None = None
        self.budget: Budget | None = None
        """What each `optimize` finds a plan for, by measuring; None where the plan was given."""

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
    def embedder(self) -> Embedder | None:
        """The embedder that turns items into vectors, loaded and compared with the one that filled the collection; None if the
        collection was filled with vectors.

        Raises
        ------
        EmbedderMismatchError
            The one at hand is another.
        """
        return None if self._bound is None else self._bound.embedder

    @property
    def embedder_record(self) -> EmbedderRecord | None:
        """What the collection knows of its embedder without loading it."""
        return None if self._bound is None else self._bound.record

    def embedder_state(self) -> State | None:
        """What the embedder has learned, and the vectors of its canaries; None where there is none, or it has not learned yet."""
        return None if self._bound is None else self._bound.learned()

    @property
    def plan(self) -> str:
        """The plan with every number filled in once the index is built."""
        return self._recipe.label_of(self._index) if self._index is not None else str(self._recipe.plan)

    @property
    def uncovered(self) -> int:
        """Rows that the index does not cover yet; they are searched one by one."""
        return int(np.count_nonzero(self._rows.alive[self._covered :]))

    @property
    def covered(self) -> int:
        """Positions that the index has, from 0 on."""
        return self._covered

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
        """Bytes by component of the index over the present rows, as predicted before building; empty as long as the embedder has
        to learn how many columns there are."""
        if not self.dim:
            return {}
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
        """Read every byte of a collection's folder again, and hold its index against the rows; what is wrong, in words.

        `nearkin.verify` says besides what was looked at.
        """
        from nearkin.soundness import verify

        return list(verify(self).problems)

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

    # ---- for those who build and change it -------------------------------------------------------------------------

    def checked_queries(self, queries: Any) -> np.ndarray:
        """(nq, dim) queries as the metric takes them, from numbers or from items; the gate that every search sends them through.

        Raises
        ------
        VectorError, InputError
            Another width, values that are not finite; items, and no embedder.
        EmbedderMismatchError
            The embedder at hand is not the one that filled the collection.
        """
        metric = self._metric
        self._need_settled()
        if type(queries) is not np.ndarray or queries.dtype.kind not in "fiu":
            items = self._items_in(queries)
            if items is not None:
                queries = self._need_embedder().embed(items, "query")
                self.need_known(queries, items, "query")
        return as_vectors(queries, dim=self._rows.dim, dtype=metric.dtype, what="queries", longest=metric.longest_row)

    def need_known(self, vectors: np.ndarray, items: Sequence[Any], what: str) -> None:
        """Refuse items of which the embedder knows nothing, where the metric compares no rows of zeros.

        Raises
        ------
        InputError
            With the number and the beginning of the first.
        """
        unknown = ~vectors.any(axis=1)
        if unknown.any() and self._metric.refuses_rows and self._metric.refuses(vectors[unknown][:1]).any():
            row = int(unknown.argmax())
            raise InputError(
                f"{what} {row} has nothing that the embedder knows: {str(items[row])[:60]!r}",
                hint="use other words" if what == "query" else 'leave it out: on_bad="skip" (--on-bad skip)',
            )

    @contextmanager
    def unchanging(self) -> Iterator[None]:
        """Rows and index stay as they are inside: what changes them in other threads waits, and searches do not."""
        need_same_process(self._process)  # in a child, a lock that a thread of the parent held is never let go of
        with self._changing:
            yield

    @contextmanager
    def _moment(self) -> Iterator[None]:
        """Everything that is read inside is of one moment, between two changes; for what is quick."""
        need_same_process(self._process)
        with self._lock:
            yield

    def take_over(self, recipe: Recipe, built: Built, choice: Choice | None = None) -> None:
        """Use an index that was built over all rows by a recipe, chosen for a budget or not."""
        with self._lock:
            self._recipe, self.choice = recipe, choice
            self._index, self.timings, self.notes = built.index, built.timings, list(built.notes)
            self.facts = built.facts
            self._covered = len(self._rows) if self._index is not None else 0
            self._view = None

    def _current(self) -> View:
        view = self._view
        if view is None:
            with self._moment():
                self._need_open()
                view = self._view = self._view or View.of(
                    self._rows,
                    self._index,
                    self._covered,
                    self._recipe,
                    keeps_vectors=self._keep_vectors,
                    tail=self._tail,
                )
                self._tail = view.tail
        need_same_process(self._process)
        return view

    def adopt(self, index: Index, covered: int, facts: Mapping[str, Any] | None = None) -> None:
        """Use an index that was restored, over the first `covered` positions, with the facts that were kept with it."""
        self._index, self._covered, self.facts, self._view = index, covered, facts or {}, None

    def forget_vectors(self) -> None:
        """Keep only the index: the rows are let go, and what needs them is refused from now on."""
        with self.unchanging(), self._lock:
            self._rows, self._keep_vectors, self._view = ForgottenRows.of(self._rows), False, None
            self._tail, self._groups = NO_TAIL, {}
            self._margins = RangeMargins(self._metric, self._rows, self._recipe.seed)

    def _asked(self, k: Any) -> int:
        """A right k: beyond all rows the answer is padded, and padding is kept to what fits in memory."""
        return whole_number("k", k, 1, max(len(self._rows), PADDED))

    def _result(
        self, rows: int, found: Found, k: int, *, filtered: bool = False, explain: Explain | None = None
    ) -> SearchResult:
        return SearchResult(
            found.positions,
            self._metric.finish(found.distances),
            k,
            self._rows.ids.table,
            self._metric.similarity,
            explain or (lambda query, count: why_fewer(count, k, rows, self.search_defaults, filtered=filtered)),
        )

    def _threads_for(self, threads: int | None) -> int:
        return self._threads if threads is None else whole_number("threads", threads, 1, THREADS)

    def _items_in(self, given: Any) -> list[Any] | None:
        """The items if something given is those; None if it is vectors."""
        return items_in(given) if self._bound is None else self._bound.items_in(given)

    def _need_embedder(self) -> BoundEmbedder:
        if self._bound is None:
            raise InputError(
                "these are texts or records, and this collection has no embedder to turn them into vectors",
                hint="pass vectors, or build it with embedder=... (--embedder)",
            )
        return self._bound

    def _need_settled(self) -> None:
        """Refuse what needs vectors as long as the embedder has to learn from the first items."""
        if self._bound is not None and not self._bound.record.fitted:
            raise NotTrainedError(
                f"the embedder {self._bound.record.text} learns from the first items, and none were added",
                hint="add texts or records first, or open it again if another process did",
            )

    def _need_open(self) -> None:
        need_same_process(self._process)
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
