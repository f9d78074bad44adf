"""A folder built from a file, block by block: neither the file nor the rows are ever in memory as a whole."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.baseline import measured
from nearkin.budgets import Budget, Optimize
from nearkin.building import FIT_ROWS, make_metric, need_sound, open_collection
from nearkin.collection import Collection
from nearkin.errors import VectorError
from nearkin.indexing import Built, Recipe, Timings
from nearkin.intake import gate_of
from nearkin.metrics import Metric
from nearkin.plan_search import Progress
from nearkin.planning import Choice, chooser_of
from nearkin.plans import Plan, as_plan
from nearkin.registry import Registry, default_registry
from nearkin.saving import header_of, need_named
from nearkin.settings import load_settings
from nearkin.sources import Blocks, Source, open_source
from nearkin.staging import Reservoir, screened, stage
from nearkin.store.folder import Folder, Header, write_folder
from nearkin.store.replacement import check_place
from nearkin.vectors import Gate, OnBad


def build_folder(
    source: str | os.PathLike[str] | Blocks,
    path: str | os.PathLike[str],
    *,
    metric: str | Metric = "euclidean",
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
    keep_vectors: bool = True,
    overwrite: bool = False,
    seconds: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
    progress: Progress | None = None,
) -> Collection:
    """Build a collection from a file into a folder, and open it.

    The rows go to the folder block by block, and the index is trained on a sample of them and filled block by block. So
    memory is needed for some blocks, the sample, the ids and the index, however long the file. A metric that is fitted
    reads the file twice. The folder appears complete or not at all. Texts and tables are built by `nearkin.build_items`.

    Parameters
    ----------
    source
        Path of a file of vectors, with the ids and further columns that it has; or a function without arguments that
        gives the `nearkin.Block` s from the first one on each time that it is called.
    path
        The folder to write.
    format
        Format of the file, such as ``"csv:id=sku"``; None for that of its name.
    overwrite
        Replace the collection that is at `path`.
    metric, plan, recall, memory, latency, optimize, queries, k, search, on_bad, keep_vectors, seconds, seed, threads, progress
        As for `nearkin.build`.

    Returns
    -------
    Collection
        Opened for reading and writing: close it. `skipped`, `notes`, `timings` and `choice` tell of the building.

    Raises
    ------
    ParameterError
        Something is at `path` that may not be replaced; two rows have one id; or as for `nearkin.build`.
    BudgetError, NotSupportedError, VectorError, UnknownNameError, PluginContractError
        As for `nearkin.build`; what can be refused by the head of the file is refused before its rows are read.
    StorageError, CorruptFileError
        The file cannot be read or is damaged, or the folder not written; what was at `path` is intact.

    Examples
    --------
    >>> import tempfile
    >>> import nearkin as nk
    >>> rows = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)
    >>> with tempfile.TemporaryDirectory() as home:
    ...     np.save(f"{home}/rows.npy", rows)
    ...     with nk.build_folder(f"{home}/rows.npy", f"{home}/mine", metric="cosine", plan="ivf8,pq8x4") as mine:
    ...         mine.search(rows[:1], k=1, nprobe=8).positions.shape, len(mine)
    ((1, 1), 500)
    """
    given = Budget.of(recall, memory, latency, optimize, fixed=plan is not None)
    check_place(path, overwrite=overwrite)
    registry = registry or default_registry()
    settings = load_settings({"seed": seed, "threads": threads})
    blocks = open_source(source, registry=registry, format=format)
    made, text = make_metric(metric, registry)
    recipe = Recipe(as_plan("flat" if plan is None else plan, search, registry), made, registry, settings.seed)
    asked = {"k": k, "queries": queries, "seconds": seconds, "progress": progress}
    building = _Building(blocks, recipe, text, on_bad, keep_vectors, settings.cores, given, asked)
    start = time.perf_counter()
    building.fit()
    write_folder(path, building.fill, overwrite=overwrite)
    collection = open_collection(path, metric=_formula(metric), threads=threads, registry=registry)
    collection.skipped, collection.notes, collection.choice = building.skipped, building.notes, building.choice
    took = building.timings.read + building.timings.total
    collection.timings = replace(building.timings, save=time.perf_counter() - start - took)
    return collection


def _formula(metric: str | Metric) -> Metric | None:
    return metric if isinstance(metric, Metric) else None


class _Building:
    """What is known between the steps of a build."""

    def __init__(
        self,
        source: Source,
        recipe: Recipe,
        text: str,
        on_bad: OnBad,
        keep: bool,
        threads: int,
        budget: Budget,
        asked: Mapping[str, Any],
    ) -> None:
        self._source = source
        self._recipe = recipe
        self._text = text
        self._on_bad = on_bad
        self._keep = keep
        self._threads = threads
        self._budget = budget
        self._asked = asked
        self.choice: Choice | None = None
        self.skipped = np.empty(0, dtype=np.int64)
        self.notes: list[str] = []
        self.timings = Timings()
        self._need_rows(source.rows)

    def _need_rows(self, rows: int | None) -> None:
        """Refuse a plan that is wrong, and rows that are too few for it where their number is known."""
        if rows == 0:
            raise VectorError("there are no rows to build from", hint="pass at least one vector")
        index = self._recipe.make(self._source.dim, rows or 1)
        if rows is not None:
            index.check_rows_suffice(rows)

    def fit(self) -> None:
        """Fit the metric to a sample, if it wants that: its state must be known before the folder is made."""
        if self._recipe.metric.needs_fit:
            start = time.perf_counter()
            sample = Reservoir(FIT_ROWS, self._recipe.seed)
            for part in screened(self._source.read(), self._gate()):
                sample.add(part.vectors)
            self._recipe.metric.fit(sample.rows)
            self.timings += Timings(read=time.perf_counter() - start)

    def _header(self, recipe: Recipe) -> Header:
        return header_of(recipe, self._text, self._source.dim, keep_vectors=True, budget=self._budget)

    def _gate(self) -> Gate:
        return gate_of(self._recipe.metric, self._source.dim, self._on_bad)

    def fill(self, folder: Path) -> None:
        """Rows and index into an empty folder."""
        with Folder.create(folder, self._header(self._recipe)) as rows:
            start = time.perf_counter()
            self._stage(rows)
            self.timings += Timings(read=time.perf_counter() - start)
            need_named(self._recipe, self._text, rows if self._keep else None)
            recipe, built = self._built(rows)
            self.notes, self.timings = list(built.notes), self.timings + built.timings
            if built.index is not None:
                header = self._header(recipe)
                facts = measured(recipe, rows, built, self._threads).facts
                rows.publish(recipe.label_of(built.index), built.index.state(), len(rows), header=header, facts=facts)
            if not self._keep:
                rows.forget_vectors()

    def _built(self, rows: Folder) -> tuple[Recipe, Built]:
        if not self._budget.given:
            return self._recipe, self._recipe.build(rows, self._threads, rows_stay=self._keep)
        chooser = chooser_of(
            rows, self._recipe, self._budget, threads=self._threads, keep_vectors=self._keep, **self._asked
        )
        recipe, built, self.choice = chooser.build()
        return recipe, built

    def _stage(self, rows: Folder) -> None:
        gate = self._gate()
        stage(screened(self._source.read(), gate), rows)
        self.skipped = gate.skipped
        if self._source.rows is None:
            self._need_rows(gate.rows)
        need_sound(self._recipe.metric, rows.take, len(rows), gate.skipped, self._recipe.seed)
