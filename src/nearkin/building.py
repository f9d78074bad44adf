"""The ways into a collection: build one from vectors, open one from a folder."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.axioms import SAMPLE_ROWS, need_axioms
from nearkin.bound_embedder import BoundEmbedder, EmbedderRecord, embedded
from nearkin.budgets import Budget, Optimize
from nearkin.collection import Collection
from nearkin.embedders import Embedder
from nearkin.errors import (
    CorruptFileError,
    NotSupportedError,
    ParameterError,
    PluginContractError,
    StateError,
    StorageError,
    UnknownNameError,
    VectorError,
)
from nearkin.indexing import Recipe
from nearkin.kernel_source import need_in_bounds
from nearkin.metrics import Metric
from nearkin.plan_search import Progress
from nearkin.planning import chooser_of
from nearkin.plans import Plan, as_plan
from nearkin.registry import Registry, default_registry
from nearkin.rows import MemoryRows, Metadata
from nearkin.settings import load_settings
from nearkin.store.header import BUILDING
from nearkin.vectors import OnBad, Screened, as_matrix

if TYPE_CHECKING:
    from nearkin.store.folder import Folder, Header

FIT_ROWS = 65_536
"""A metric is fitted on a random sample of at most so many rows."""


def build(
    vectors: Any,
    *,
    embedder: str | Embedder | None = None,
    field: str = "text",
    metric: str | Metric | None = None,
    plan: str | Plan | None = None,
    recall: float | None = None,
    memory: int | str | None = None,
    latency: float | str | None = None,
    optimize: Optimize = "batch",
    queries: Any = None,
    k: int = 10,
    ids: Sequence[Any] | None = None,
    metadata: Sequence[Metadata] | None = None,
    search: Mapping[str, int] | None = None,
    on_bad: OnBad = "fail",
    keep_vectors: bool = True,
    seconds: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
    progress: Progress | None = None,
) -> Collection:
    """Build a collection in memory, by a plan or within a budget.

    With any of `recall`, `memory` and `latency` the plan is found by measuring (`nearkin.plan` tells how), built, and its recall
    shown on queries that had no say in the choice; `Collection.choice` has the numbers. A plan given besides is kept to, and only
    its search parameters are found.

    Parameters
    ----------
    vectors
        (n, dim) numbers, or packed bits (uint8) for a metric on bits. A float32 array is copied unless it is read-only:
        one that is memory-mapped stays on disk. With an `embedder`: n texts, or dicts of named values.
    embedder
        What turns items into vectors, and belongs to the collection from then on: ``"lsa"``,
        ``"sentence-transformers:all-MiniLM-L6-v2"``, or an `Embedder`; one that learns does so from these items.
    field
        Name under which the metadata keeps the text of an item.
    metric
        Name with options, ``"cosine"`` or ``"mahalanobis:shrinkage=0.1"``, or a `Metric` object, which is copied and, if
        it `needs_fit`, fitted to the rows. A collection is saved only if the name alone brings the same metric back. Left out,
        the one that the embedder's vectors are made for, or ``"euclidean"``.
    plan
        ``"flat"``, ``"ivf,pq,refine-f16"``, ...; see `nearkin.plans`. Left out, ``"flat"``, or what a budget allows.
    recall
        Share of the k nearest rows that must be found, such as 0.95: the lower end of its 95 % interval.
    memory
        Bytes of the index in memory, at most: a number, or ``"200MB"``. Rows that are kept beside it are not counted.
    latency
        Time within which 95 of 100 queries asked alone are answered: seconds, or ``"2ms"``.
    optimize
        What is to be fast within the budget: ``"batch"``, or ``"single"`` queries.
    queries
        (nq, dim) queries, or items, such as will be asked; the promise holds for queries like these. Left out, rows are held out
        to ask with, and it holds for queries like the rows.
    k
        Neighbours that the recall counts.
    ids
        One a row, whole numbers or strings; left out, 0 to n - 1.
    metadata
        One JSON-able dict a row.
    search
        Search parameters used where a search sets none, such as ``{"nprobe": 16}``.
    on_bad
        ``"fail"`` refuses rows with NaN or infinite values, ``"skip"`` leaves them out (`Collection.skipped`).
    keep_vectors
        False keeps only the index: less memory, but no adding, no optimizing, no checking of distances.
    seconds
        For the search for a plan; left out, some seconds and twice what building takes.
    seed
        Seed of sampling and clustering; None for the setting.
    threads
        Threads for building and searching; None for the setting.
    progress
        Called with a sentence on what is being done, where a plan is searched for.

    Raises
    ------
    BudgetError
        No plan meets the budget; where memory alone rules all of them out, before any work.
    NotSupportedError
        The plan would be wrong under this metric; refused before any work.
    VectorError, ParameterError, UnknownNameError
        One sentence each, with the numbers.
    PluginContractError
        A metric by formula declares an axiom that some of the rows break; the message names them.

    Examples
    --------
    >>> import nearkin as nk
    >>> rows = np.random.default_rng(0).normal(size=(500, 16))
    >>> mine = nk.build(rows, metric="cosine", plan="ivf8,pq8x4,refine-f32")
    >>> mine.search(rows[:1], k=1, nprobe=8).ids.tolist()
    [[0]]
    """
    budget = Budget.of(recall, memory, latency, optimize, fixed=plan is not None)
    registry = registry or default_registry()
    cores = load_settings({"threads": threads}).cores
    given = embedded(vectors, embedder, field, metadata, queries, registry, cores, on_bad=on_bad)
    into: dict[str, Any] = {"seed": seed, "threads": threads, "registry": registry, "embedder": given.bound}
    asked_metric = metric_for(metric, given.bound)
    collection = unbuilt(given.vectors, asked_metric, plan, ids, given.metadata, search, on_bad, **into)
    asked = {"k": k, "queries": given.queries, "seconds": seconds, "progress": progress}
    _take_index(collection, budget, keep_vectors, asked)
    if not keep_vectors:
        collection.forget_vectors()
    return collection


def _take_index(collection: Collection, budget: Budget, keep_vectors: bool, asked: Mapping[str, Any]) -> None:
    """Build the index of the plan, or find one for a budget."""
    rows, recipe, cores = collection.rows, collection.recipe, collection.threads
    if budget.given:
        chooser = chooser_of(rows, recipe, budget, threads=cores, keep_vectors=keep_vectors, **asked)
        collection.take_over(*chooser.build())
        collection.budget = budget
    else:
        collection.take_over(recipe, recipe.build(rows, cores, rows_stay=keep_vectors))


def unbuilt(
    vectors: Any,
    metric: str | Metric,
    plan: str | Plan | None,
    ids: Sequence[Any] | None = None,
    metadata: Sequence[Metadata] | None = None,
    search: Mapping[str, int] | None = None,
    on_bad: OnBad = "fail",
    *,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
    embedder: BoundEmbedder | None = None,
) -> Collection:
    """A collection in memory that has its rows and no index yet; arguments as for `build`."""
    registry = registry or default_registry()
    settings = load_settings({"seed": seed, "threads": threads})
    made, text = make_metric(metric, registry)
    if embedder is not None:
        embedder.need_compared(made)
    matrix = as_matrix(vectors, dtype=made.dtype)
    if not len(matrix):
        raise VectorError("there are no rows to build from", hint="pass at least one vector")
    rows = MemoryRows(matrix.shape[1], made.dtype)
    parsed = as_plan("flat" if plan is None else plan, search, registry)
    recipe = Recipe(parsed, made, registry, settings.seed)
    collection = Collection(rows, recipe, text, threads=settings.cores, embedder=embedder)
    recipe.make(matrix.shape[1], len(matrix)).check_rows_suffice(len(matrix))
    screened = _usable(collection, matrix, on_bad, vectors)
    if made.needs_fit:
        made.fit(_sample(screened.vectors, settings.seed))
        if made.refuses_rows:  # what a fitted metric refuses is known only now
            screened = _usable(collection, matrix, on_bad, vectors)
    need_sound(made, screened.vectors.__getitem__, len(screened.vectors), screened.skipped, settings.seed)
    collection.skipped = collection._store(screened, vectors, ids, metadata).skipped
    return collection


def open_collection(
    path: str | os.PathLike[str],
    *,
    metric: Metric | None = None,
    embedder: str | Embedder | None = None,
    readonly: bool = False,
    unfinished: bool = False,
    threads: int | None = None,
    registry: Registry | None = None,
) -> Collection:
    """Open a collection that was saved; known as `nearkin.open`.

    Everything is verified before it is used. A damaged or missing index is no loss where the rows were kept: it is
    reported, and `optimize` builds it again.

    Parameters
    ----------
    path
        The folder; a bare name that is no folder here is looked up in the setting `indexes`.
    metric
        The `Metric` it was built with, where no plugin offers it by name.
    embedder
        The embedder that filled it, where it is to be had elsewhere now or no plugin offers it by name; refused if it is
        another. Left out, the recorded one is loaded, and compared, when items are first added or asked with.
    readonly
        Refuse changes, and take no lock.
    unfinished
        Open a folder, too, whose building was interrupted (`nearkin.build_items`).

    Raises
    ------
    UnknownCollectionError
        There is no collection at `path`.
    CorruptFileError, FormatVersionError
        A file does not hold what was written, or comes from a newer nearkin.
    EmbedderMismatchError
        `embedder` is not the one that filled it.
    StateError
        It is unfinished.
    LockedError
        Another process is writing to it.
    """
    from nearkin.store.folder import Folder

    registry = registry or default_registry()
    settings = load_settings({"threads": threads})
    place = find_folder(path, settings.indexes)
    rows = Folder.open(place, readonly=readonly)
    try:
        if not unfinished:
            _need_finished(rows)
        header = rows.header
        made, text = metric_of(header, metric, registry)
        made.restore(header.metric_state)
        plan = as_plan(header.plan, header.search, registry)
        recipe = Recipe(plan, made, registry, header.seed)
        collection = Collection(
            rows,
            recipe,
            text,
            threads=settings.cores,
            readonly=readonly,
            keep_vectors=header.keep_vectors,
            embedder=embedder_of(rows, embedder, registry),
        )
        collection.path = place
        collection.budget = None if header.budget is None else Budget(**header.budget)
        _restore_index(collection, rows, recipe)
    except BaseException:
        rows.close()
        raise
    return collection


def _need_finished(rows: Folder) -> None:
    mark = rows.mark(BUILDING)
    if mark is not None:
        files = ", ".join(mark.get("from", ()))
        raise StateError(
            f"{rows.path} is unfinished, {mark.get('items', 0):,} items of {files} are in it",
            hint="run the same nearkin build (nearkin.build_items) again, which goes on, or delete the folder",
        )


def metric_of(header: Header, given: Metric | None, registry: Registry) -> tuple[Metric, str]:
    """The metric of a folder: the one given, refused if it was built with a formula of another name; or else the registry's."""
    if given is None:
        try:
            return make_metric(header.metric, registry)
        except UnknownNameError as error:
            if "formula" not in header.metric_state.meta:
                raise
            raise UnknownNameError(
                f"this was built with the formula {header.metric!r}, which is not known here",
                hint="pass it as nearkin.open(path, metric=...), or name its file with --plugin",
            ) from error
    made, text = make_metric(given, registry)
    formula = header.metric.partition(":")[0].rpartition("/")[2]
    if "formula" in header.metric_state.meta and made.name != formula:
        raise StateError(
            f"this was built under the metric {header.metric!r}, and {made.name!r} was given",
            hint="give that metric, or leave metric= out",
        )
    return made, text


def embedder_of(rows: Folder, given: str | Embedder | None, registry: Registry) -> BoundEmbedder | None:
    """The embedder of a folder; the given one, if it is the same."""
    stored = rows.header.embedder
    if stored is None and given is not None:
        raise NotSupportedError(
            f"{rows.path} was filled with vectors and keeps no embedder, so that nothing can show that this one made them",
            hint="embed items yourself and pass vectors, or build it anew with embedder=...",
        )
    if stored is None:
        return None
    return BoundEmbedder.stored(EmbedderRecord.of(stored), rows.embedder_state, registry, given)


def metric_for(metric: str | Metric | None, embedder: BoundEmbedder | None) -> str | Metric:
    """The metric that is asked for, or the one that vectors of the embedder are made for, or the Euclidean."""
    if metric is not None:
        return metric
    return "euclidean" if embedder is None else embedder.metric


def _restore_index(collection: Collection, rows: Folder, recipe: Recipe) -> None:
    try:
        built = rows.built()
    except StorageError as error:  # damaged, or something else is in its place
        if not collection.keeps_vectors:
            raise
        collection.problems.append(str(error))
        return
    if built is None:
        return
    kept = rows if collection.keeps_vectors else None
    index = recipe.filled_in(built.label).make(rows.dim, max(1, built.covered), kept)
    index.restore(built.state)
    if index.n != built.covered:
        raise CorruptFileError(f"the index in {collection.path} has {index.n:,} rows, {built.covered:,} were recorded")
    collection.adopt(index, built.covered, built.facts)


def find_folder(given: str | os.PathLike[str], indexes: str) -> Path:
    """The folder that is meant: a bare name that is no folder here is looked up in the setting `indexes`."""
    path = Path(given)
    if path.exists() or len(path.parts) != 1:
        return path
    other = Path(indexes) / path
    return other if other.exists() else path


def make_metric(metric: str | Metric, registry: Registry) -> tuple[Metric, str]:
    """The metric that is meant, and its name as a folder keeps it."""
    if isinstance(metric, Metric):
        # Fitting changes a metric: a copy, or building a second collection with it would change the first one's answers.
        return copy.deepcopy(metric), metric.name
    if not isinstance(metric, str):
        raise ParameterError(f"metric is a {type(metric).__name__}, a name or a Metric expected")
    made = registry.make("metric", metric)
    if not isinstance(made, Metric):
        raise PluginContractError(f"metric {metric!r} was made as a {type(made).__name__}, a nearkin.Metric expected")
    return made, metric


def _usable(collection: Collection, matrix: np.ndarray, on_bad: OnBad, source: Any) -> Screened:
    screened = collection.screen(matrix, on_bad, source=source)
    if not len(screened.vectors):
        try:
            collection.screen(matrix, "fail", source=source)
        except VectorError as error:
            raise VectorError(f"none of the {len(matrix):,} rows can be used: {error.message}") from error
    return screened


def need_sound(
    metric: Metric, take: Callable[[np.ndarray], np.ndarray], count: int, skipped: np.ndarray, seed: int
) -> None:
    """Try a formula on some of the rows before anything is trained by it; built-in reductions and natives need no trial.

    Parameters
    ----------
    take
        Positions, below `count`, to the rows there.
    skipped
        Numbers of the rows that were left out on the way in, ascending.
    """
    if metric.reduces_to is not None or metric.native:
        return
    if metric.kernel is not None:
        some = take(np.arange(0, count, max(1, count // 8)))
        need_in_bounds(metric.kernel, metric.prepare(some), metric.kernel_params())
        metric.distances(some[:1], some[:1])  # what numba refuses is said before anything is built
    if metric.axioms:
        tried = np.arange(count)
        if count > SAMPLE_ROWS:
            tried = np.sort(np.random.default_rng(seed).choice(count, SAMPLE_ROWS, replace=False))
        kept_before = skipped - np.arange(len(skipped))
        need_axioms(metric, take(tried), tried + np.searchsorted(kept_before, tried, side="right"), seed=seed)


def _sample(vectors: np.ndarray, seed: int) -> np.ndarray:
    if len(vectors) <= FIT_ROWS:
        return vectors
    rng = np.random.default_rng(seed)
    return vectors[np.sort(rng.choice(len(vectors), FIT_ROWS, replace=False))]
