"""A folder built from texts or tables: made, filled through an embedder, indexed; each step goes on where it was interrupted."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.baseline import measured
from nearkin.bound_embedder import make_embedder
from nearkin.budgets import Budget, Optimize
from nearkin.building import need_sound, open_collection
from nearkin.collection import Collection
from nearkin.creation import create
from nearkin.embedders import Embedder, Told
from nearkin.errors import StateError
from nearkin.indexing import Recipe
from nearkin.item_adding import FilesAdded, add_items
from nearkin.item_files import ItemOptions, ItemSource, open_items
from nearkin.metrics import Metric
from nearkin.plan_search import Progress
from nearkin.planning import chooser_of
from nearkin.plans import Plan, as_plan
from nearkin.registry import Registry, default_registry
from nearkin.resuming import Keeper
from nearkin.settings import load_settings
from nearkin.store.folder import Folder, write_folder
from nearkin.store.header import BUILDING, Mark
from nearkin.store.replacement import DATABASE_NAME, check_place, put_in_place, real_path, replaced_name
from nearkin.vectors import OnBad

SHOWN = 3
"""Files that a sentence names."""


def build_items(
    files: Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    embedder: str | Embedder,
    text: str | None = None,
    id: str | None = None,
    chunk: int | None = None,
    overlap: int | None = None,
    field: str = "text",
    metric: str | Metric | None = None,
    plan: str | Plan | None = None,
    recall: float | None = None,
    memory: int | str | None = None,
    latency: float | str | None = None,
    optimize: Optimize = "batch",
    queries: Any = None,
    k: int = 10,
    format: str | None = None,
    search: Mapping[str, int] | None = None,
    on_bad: OnBad = "fail",
    overwrite: bool = False,
    seconds: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
    progress: Progress | None = None,
    told: Told | None = None,
) -> Collection:
    """Build a searchable collection from text files and tables into a folder, and open it.

    The embedder learns from a sample of all files, if it has to; the items are embedded and committed part by part; then the index
    is built. What was interrupted goes on where it stopped when the same is asked for again, and no row that was committed is
    embedded a second time. Until it is done the folder says that it is unfinished, and is not opened.

    Parameters
    ----------
    files
        As for `nearkin.add_files`.
    path
        The folder to write, or to go on with.
    embedder
        What turns the items into vectors, as for `nearkin.build`.
    text, id, chunk, overlap, format, on_bad, told
        As for `nearkin.add_files`.
    overwrite
        Replace the collection that is at `path`, once the new one is whole. An unfinished one is gone on with all the same if it is
        being built from the same, and otherwise begun anew.
    field, metric, plan, recall, memory, latency, optimize, queries, k, search, seconds, seed, threads, progress
        As for `nearkin.build`.

    Returns
    -------
    Collection
        Opened for reading and writing: close it. `notes`, `timings` and `choice` tell of the building.

    Raises
    ------
    StateError
        The folder is unfinished, has rows, and is being built from something else.
    ParameterError
        There is a collection at `path` that may not be replaced; or as for `nearkin.add_files` and `nearkin.build`.
    InputError, NotSupportedError, BudgetError, VectorError, StorageError
        As for `nearkin.add_files` and `nearkin.build`; the folder stays and can be gone on with.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import nearkin as nk
    >>> with tempfile.TemporaryDirectory() as home:
    ...     _ = pathlib.Path(f"{home}/glosses.tsv").write_text("synset\\tdefinition\\nn1\\ta small cat\\nn2\\ta large ship\\n")
    ...     files, place = [f"{home}/glosses.tsv"], f"{home}/glosses"
    ...     with nk.build_items(files, place, embedder="hashing", text="definition", id="synset") as glosses:
    ...         glosses.search(["ships"], k=1).ids.tolist()
    [['n2']]
    """
    budget = Budget.of(recall, memory, latency, optimize, fixed=plan is not None)
    registry = registry or default_registry()
    settings = load_settings({"seed": seed, "threads": threads})
    made, parsed = make_embedder(embedder, registry), as_plan("flat" if plan is None else plan, search, registry)
    source = open_items(files, made.takes, field, ItemOptions(text, id, chunk, overlap, format), registry=registry)
    given = {"embedder": made, "metric": metric, "field": field, "seed": settings.seed, "registry": registry}
    work = _Work(Path(path), source, given, overwrite=overwrite)
    work.prepare()
    asked = {"k": k, "queries": queries, "seconds": seconds, "progress": progress}
    return work.finished(_built(work, parsed, budget, on_bad, threads, told, asked), threads)


def _built(
    work: _Work,
    plan: Plan,
    budget: Budget,
    on_bad: OnBad,
    threads: int | None,
    told: Told | None,
    asked: Mapping[str, Any],
) -> Collection:
    """The folder with all rows and the index."""
    collection = work.opened(work.place, threads, unfinished=True)
    try:
        start = time.perf_counter()
        done = add_items(collection, work.source, on_bad=on_bad, told=told, keeper=work.keeper)
        read = time.perf_counter() - start
        before = collection.recipe
        _index(collection, Recipe(plan, collection.metric, before.registry, before.seed), budget, asked)
        collection.timings = replace(collection.timings, read=read)
        collection.notes += _notes(done)
    except BaseException:
        collection.close()
        raise
    return collection


def _index(collection: Collection, recipe: Recipe, budget: Budget, asked: Mapping[str, Any]) -> None:
    """Build the index of the plan, or find one for a budget, and publish it."""
    rows, threads, choice = collection.rows, collection.threads, None
    need_sound(recipe.metric, rows.take, len(rows), np.empty(0, dtype=np.int64), recipe.seed)
    recipe.make(collection.dim, len(rows)).check_rows_suffice(len(rows))
    if budget.given:
        queries = asked["queries"]
        if queries is not None:
            queries = collection.checked_queries(queries)
        chooser = chooser_of(rows, recipe, budget, threads=threads, **{**asked, "queries": queries})
        recipe, built, choice = chooser.build()
        collection.budget = budget
    else:
        built = recipe.build(rows, threads)
    built = measured(recipe, rows, built, threads)
    collection._publish(recipe, built)
    collection.take_over(recipe, built, choice)


def _notes(done: FilesAdded) -> list[str]:
    notes = []
    if done.resumed:
        notes.append(f"went on after the first {done.resumed:,} items, which an interrupted run had embedded")
    if done.left_out:
        shown = ", ".join(done.left_out[:SHOWN]) + (", ..." if len(done.left_out) > SHOWN else "")
        notes.append(f"{len(done.left_out):,} item{'s' if len(done.left_out) > 1 else ''} left out: {shown}")
    return notes


class _Work:
    """The folder that is worked on: the one that is asked for, or beside it, where that is to be replaced."""

    def __init__(self, path: Path, source: ItemSource, given: Mapping[str, Any], *, overwrite: bool) -> None:
        self._path = real_path(path)
        self.source = source
        self._given = given
        self._overwrite = overwrite
        metric = given["metric"]
        named = metric.name if isinstance(metric, Metric) else metric
        decides = [source.facts, given["embedder"].text, given["field"], named, given["seed"]]
        digest = sha256(json.dumps(decides).encode()).hexdigest()[:32]
        self._facts = {"from": list(source.names[: SHOWN + 1]), "embedder": given["embedder"].text, "what": digest}
        self.keeper = Keeper(BUILDING, self._facts, stays=True)
        beside = self._path.with_name(f".{self._path.name[:100]}.building.new")
        self._replaces = overwrite and (_is_finished(self._path) or self._is_begun(beside))
        self.place = beside if self._replaces else self._path

    def prepare(self) -> None:
        """Make the folder, unless it is there unfinished."""
        found = _building_of(self._path)
        check_place(self._path, overwrite=self._overwrite or found is not None)
        if self._is_begun(self.place):
            return
        if found is not None and _has_rows(self._path) and not self._overwrite:
            raise StateError(
                f"{self._path} is unfinished: it is being built from {_named(found.get('from', ()))} by "
                f"{found.get('embedder')}, and something else is asked for now",
                hint="go on with the same files and options, or pass overwrite=True (--overwrite) to begin anew",
            )
        self._begin()

    def _is_begun(self, place: Path) -> bool:
        """Whether what is asked for is being built there."""
        return bool((_building_of(place) or {}).get("what") == self._facts["what"])

    def opened(self, place: Path, threads: int | None, *, unfinished: bool = False) -> Collection:
        """The collection in a folder, with what is given of it."""
        metric, embedder = self._given["metric"], self._given["embedder"]
        return open_collection(
            place,
            metric=metric if isinstance(metric, Metric) else None,
            embedder=embedder,
            threads=threads,
            registry=self._given["registry"],
            unfinished=unfinished,
        )

    def _begin(self) -> None:
        def fill(folder: Path) -> None:
            with create(folder, **self._given) as made:
                made._folder("a mark").commit(mark=Mark(BUILDING, self._facts))

        write_folder(self.place, fill, overwrite=(self.place / DATABASE_NAME).exists())

    def finished(self, collection: Collection, threads: int | None) -> Collection:
        """The collection at the path that was asked for, no longer unfinished.

        It says that it is until it is in its place: whatever ends the process before, what was embedded is gone on with.
        """
        if self._replaces:
            told = collection.notes, collection.timings, collection.choice
            collection.close()
            put_in_place(self.place, self._path)
            collection = self.opened(self._path, threads, unfinished=True)
            collection.notes, collection.timings, collection.choice = told
        try:
            collection._folder("a mark").commit(mark=Mark(BUILDING, None))
        except BaseException:
            collection.close()
            raise
        if self._overwrite:  # an earlier run may have been killed between putting the new one in its place and this
            shutil.rmtree(replaced_name(self._path), ignore_errors=True)
        return collection


def _building_of(place: Path) -> dict[str, Any] | None:
    """What is being built at a place; None if nothing is."""
    if not (place / DATABASE_NAME).exists():
        return None
    with Folder.open(place, readonly=True) as folder:
        return folder.mark(BUILDING)


def _has_rows(place: Path) -> bool:
    with Folder.open(place, readonly=True) as folder:
        return len(folder) > 0


def _is_finished(place: Path) -> bool:
    """Whether there is a collection that nobody is building."""
    return (place / DATABASE_NAME).exists() and _building_of(place) is None


def _named(files: Iterable[str]) -> str:
    names = list(files)
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
