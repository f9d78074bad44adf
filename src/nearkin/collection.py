"""Collection: the one object that users hold. Rows and ids, metric and plan; search, add, delete, save.

An index knows positions only. A collection owns the ids, the tombstones of deleted rows, the tail of rows that its index does
not cover yet, the metric and the plan.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.baseline import measured
from nearkin.bound_embedder import need_items
from nearkin.collection_answers import CollectionAnswers
from nearkin.errors import NotSupportedError, ParameterError, StateError
from nearkin.filters import Where
from nearkin.forks import process_generation
from nearkin.ids import read_ids
from nearkin.indexing import Built, Recipe
from nearkin.intake import Added, gate_of, ids_of_kept, metadata_of_kept, owned
from nearkin.items import is_missing, metadata_of_items
from nearkin.metadata_text import metadata_text
from nearkin.planning import Choice, chooser_of
from nearkin.renewal import decide, renew
from nearkin.rows import MemoryRows, Metadata
from nearkin.state import State
from nearkin.vectors import OnBad, Screened

if TYPE_CHECKING:
    from nearkin.formats import Block
    from nearkin.store.folder import Folder
    from nearkin.store.header import Header, Mark


class Collection(CollectionAnswers):
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
            (n, dim) numbers; or items, which the embedder of the collection turns into vectors: texts, or dicts of named values.
        ids
            One a row, whole numbers or strings; None continues the whole numbers.
        metadata
            One JSON-able dict a row; items are kept in it, too.
        on_bad
            ``"fail"`` refuses everything if a row has NaN or infinite values (or cannot be compared under the
            metric); ``"skip"`` leaves such rows out and lists them.

        Raises
        ------
        VectorError, ParameterError, InputError
            Nothing was added.
        EmbedderMismatchError
            The embedder at hand is not the one that filled the collection.
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
        with self.unchanging():
            self._need_writable()
            positions = self.positions(where) if ids is None else np.unique(self._rows.ids.positions(ids))
            with self._lock:
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
        with self.unchanging():
            self._need_writable()
            self._need_vectors("optimize")
            recipe, built, choice = self._renewed(retrain=retrain)
            if not isinstance(self._rows, MemoryRows):
                built = measured(recipe, self._rows, built, self._threads)
                self._publish(recipe, built)
            self.take_over(recipe, built, choice)

    def _publish(self, recipe: Recipe, built: Built) -> None:
        """Write an index over all rows to the folder, unless it is the one that is there."""
        index = built.index
        if index is None or (index is self._index and built.facts == self.facts):
            return
        label, facts = recipe.label_of(index), built.facts
        folder = self._folder("an index")
        folder.publish(label, index.state(), len(folder), header=self._header(recipe), facts=facts)

    def _renewed(self, *, retrain: bool) -> tuple[Recipe, Built, Choice | None]:
        present = self._rows, self._index, self._covered, self.facts
        decided = decide(*present, retrain=retrain)
        if self.budget is None or decided.action != "rebuild" or not len(self):
            return self._recipe, renew(self._recipe, *present, self._threads, retrain=retrain), self.choice
        chooser = chooser_of(self._rows, self._recipe, self.budget, k=10, queries=None, threads=self._threads)
        recipe, built, choice = chooser.build()
        return recipe, replace(built, notes=(decided.reason, *built.notes)), choice

    def _header(self, recipe: Recipe) -> Header:
        """The facts that a folder keeps of this collection, under a recipe."""
        from nearkin.saving import header_of

        return header_of(
            recipe,
            self._metric_text,
            self.dim,
            keep_vectors=self._keep_vectors,
            budget=self.budget,
            embedder=self._bound,
        )

    def _take_in(
        self,
        vectors: Any,
        ids: Sequence[Any] | None,
        metadata: Sequence[Metadata] | None,
        on_bad: OnBad,
        *,
        replace: bool,
    ) -> Added:
        with self.unchanging():
            self._need_writable()
            self._need_vectors("add")
            items = self._items_in(vectors)
            if items is not None:
                self._rows.ids.next_ids(None if ids is None else read_ids(ids), len(items), replace=replace)
                vectors, metadata = self._embedded(items, metadata, on_bad)
                if on_bad == "fail":
                    self.need_known(vectors, items, "item")
            self._need_settled()
            return self._store(self.screen(vectors, on_bad), vectors, ids, metadata, replace=replace)

    def _embedded(
        self, items: list[Any], metadata: Sequence[Metadata] | None, on_bad: OnBad
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Vectors of items, and their metadata with the items in it; the first ones are learned from, if need be."""
        bound = self._need_embedder()
        need_items(bound.embedder, items, on_bad)
        extra = metadata_of_items(items, bound.record.field, metadata)
        for row, each in enumerate(extra):
            metadata_text(each, row)
        if not bound.record.fitted:
            self.fit_embedder([item for item in items if not is_missing(item)])
        return self._need_embedder().embed_those_there(items, on_bad), extra

    def fit_embedder(self, items: Any) -> None:
        """Let the embedder learn from items, before there are rows; `add` does so with the first items where this was not called.

        What the embedder does not learn here it never will: give it items as many and as different as will come.

        Parameters
        ----------
        items
            Texts or dicts such as will be added; they are not added.

        Raises
        ------
        StateError
            It has learned already.
        """
        with self.unchanging():
            self._need_writable()
            bound = self._need_embedder()
            if bound.record.fitted:
                raise StateError(f"the embedder {bound.record.text} of this collection has learned, or does not learn")
            bound = bound.fitted_to(bound.items_in(items) or items)
            self._recipe.make(bound.embedder.dim, 1)
            folder = self._folder("an embedder that learns later")
            header = replace(self._header(self._recipe), dim=bound.embedder.dim, embedder=bound.record.to_dict())
            with self._lock:
                folder.settle(header, bound.learned() or State())
                self._view = None  # before the embedder, without which no search looks for a view
                self._bound = bound

    def _store(
        self,
        screened: Screened,
        given: Any,
        ids: Sequence[Any] | np.ndarray | None,
        metadata: Sequence[Metadata] | None,
        *,
        replace: bool = False,
        mark: Mark | None = None,
        gone: Sequence[Any] = (),
    ) -> Added:
        """What `add` does after `screen`; rows that share memory with what they were `given` as are copied. Those with the ids of
        `gone` are deleted in the same commit."""
        with self.unchanging():
            extra = metadata_of_kept(metadata, screened)
            chosen = ids_of_kept(ids, screened)
            new = self._rows.ids.next_ids(chosen, len(screened.vectors), replace=replace)
            old = self._rows.ids.existing(new) if replace else np.empty(0, dtype=np.int64)
            marked: dict[str, Any] = {} if mark is None else {"mark": mark}
            vectors = owned(screened.vectors, given)
            delete = np.union1d(old, self._rows.ids.existing(gone)) if gone else old
            with self._lock:
                self._keep_fields()
                self._rows.commit(delete=delete, vectors=vectors, ids=new, metadata=extra, **marked)
                self._view = None
        return Added(new, screened.skipped, len(old))

    def _keep_fields(self) -> None:
        """Put the names in records that came in on the disk, if there are new ones, before their rows."""
        if self._bound is None or isinstance(self._rows, MemoryRows):
            return
        folder = self._folder("names of fields")
        if list(self._bound.record.fields) != list((folder.header.embedder or {}).get("fields", ())):
            folder.replace_header(self._header(self._recipe))

    def _take_block(
        self, screened: Screened, block: Block, *, replace: bool, mark: Mark | None, gone: Sequence[Any] = ()
    ) -> Added:
        """Add the rows of a block that passed the gate, and in the same commit keep a mark (in a folder only) and delete others."""
        with self.unchanging():
            self._need_writable()
            self._need_vectors("add")
            given = block.vectors, block.ids, block.metadata
            return self._store(screened, *given, replace=replace, mark=mark, gone=gone)

    def _mark(self, name: str) -> dict[str, Any] | None:
        """What was kept under a name together with rows; None if nothing was."""
        self._need_open()
        return self._folder("a mark").mark(name)

    def screen(self, vectors: Any, on_bad: OnBad = "fail", *, source: Any = None) -> Screened:
        """The gate that `add` sends rows through, for callers who want to look first; see `nearkin.vectors.Gate`."""
        gate = gate_of(self._metric, self.dim, on_bad)
        screened = gate.take(vectors, source=source)
        gate.need_good()
        return screened

    # ---- fields ----------------------------------------------------------------------------------------------------

    def index_field(self, name: str) -> None:
        """Make filters on a field of the metadata quick: the rows that they keep are looked up, not searched for.

        Raises
        ------
        FilterError
            The name cannot be that of a field.
        NotSupportedError
            The collection is in memory, where filters read every row.
        """
        with self.unchanging():
            self._need_writable()
            self._folder("an index on a field").index_field(name)

    def drop_field_index(self, name: str) -> None:
        """Take the index of a field away; filters on it go on working.

        Raises
        ------
        UnknownNameError
            There is no index on it.
        """
        with self.unchanging():
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

        with self.unchanging():
            self._need_open()
            need_named(self._recipe, self._metric_text, self._rows if self._keep_vectors else None)
            label = self.plan if self._index is not None else None
            given = self._rows, self._index, label, self._covered
            learned = self.embedder_state()
            header = self._header(self._recipe)
            save_folder(Path(path), header, *given, overwrite=overwrite, facts=self.facts, embedder_state=learned)

    def close(self) -> None:
        """Let go of files and the lock; the object can only be closed again afterwards."""
        if self._process != process_generation():  # what a forked child closes, its parent goes on using
            self._closed, self._view, self._index = True, None, None
            return
        with self.unchanging(), self._lock:
            if not self._closed:
                self._closed, self._view, self._index = True, None, None
                self._rows.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def _folder(self, what: str) -> Folder:
        from nearkin.store.folder import Folder

        if not isinstance(self._rows, Folder):
            raise NotSupportedError(f"{what} needs a collection on disk", hint="save it, and open the folder")
        return self._rows
