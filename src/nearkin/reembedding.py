"""A collection embedded again: by another embedder, or by the same one that learns anew. The old one answers until then.

The new collection grows beside the old one, part by part and durably, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.accuracy import Interval
from nearkin.bound_embedder import make_embedder
from nearkin.building import find_folder, open_collection
from nearkin.collection import Collection
from nearkin.creation import create
from nearkin.embedders import Embedder, Told
from nearkin.errors import NearkinError, NotSupportedError, ParameterError
from nearkin.plans import Plan
from nearkin.registry import Registry, default_registry
from nearkin.settings import load_settings
from nearkin.store.header import Mark
from nearkin.store.replacement import real_path, write_folder
from nearkin.vectors import OnBad

ITEMS_A_COMMIT = 2048
LEARNED_FROM = 50_000
"""An embedder that learns does so from a random sample of at most so many items."""
COMPARED = 500
"""Rows that ask in both collections, to say how much their neighbours have in common."""
NEIGHBOURS = 10
MARK = "reembedding"


@dataclass(frozen=True)
class Reembedding:
    """What embedding a collection again did.

    Attributes
    ----------
    rows
        Rows of the new collection.
    skipped
        Ids of rows that the new embedder has no usable vector for, which are left out.
    resumed
        Rows that an interrupted run had embedded before.
    old, new
        The embedders, as the registry makes them.
    old_dim, new_dim
        Columns of their vectors.
    overlap
        Share of the 10 nearest rows of a row that stayed the same, over random rows; None with fewer than two rows. It says how
        different the answers are, not which are better.
    kept
        Where the old collection is kept; None if it is not.
    """

    rows: int
    skipped: tuple[Any, ...]
    resumed: int
    old: str
    new: str
    old_dim: int
    new_dim: int
    overlap: Interval | None
    kept: Path | None


def reembed(
    path: str | os.PathLike[str],
    embedder: str | Embedder | None = None,
    *,
    metric: str | None = None,
    plan: str | Plan | None = None,
    keep: str | os.PathLike[str] | None = None,
    on_bad: OnBad = "fail",
    threads: int | None = None,
    registry: Registry | None = None,
    told: Told | None = None,
) -> Reembedding:
    """Embed the items of a collection again, and let the new collection take the place of the old one, complete or not at all.

    Ids, metadata, fields with an index and the plan or budget stay. Readers go on with the old collection meanwhile; writers wait.
    An interrupted run goes on when it is called again.

    Parameters
    ----------
    path
        The folder; the texts must be in its metadata, as they are where an embedder filled it.
    embedder
        The new one; None for the same again, which is of use where it learns from items: it then learns from all that there are.
    metric
        None for the one that the new embedder's vectors are made for, or, where another was chosen before, that one again.
    plan
        None for the one before.
    keep
        A folder, which must not be there, for the old collection; without it, the old one is removed in the end.
    on_bad
        ``"fail"`` refuses everything where the new embedder has no usable vector for an item, ``"skip"`` leaves such rows out.
    told
        Called after each part with rows done and rows in all.

    Raises
    ------
    NotSupportedError
        The collection has no embedder, or rows without an item.
    LockedError
        Somebody is writing to it.
    VectorError, NearkinError
        The new embedder, or the plan over its vectors, cannot be had; the old collection is as it was.

    Examples
    --------
    >>> import tempfile
    >>> import nearkin as nk
    >>> with tempfile.TemporaryDirectory() as home:
    ...     nk.build(["copy a file", "send a mail"], embedder="hashing:dim=64").save(f"{home}/docs")
    ...     done = nk.reembed(f"{home}/docs", "hashing:dim=128")
    ...     with nk.open(f"{home}/docs") as docs:
    ...         done.old_dim, done.new_dim, docs.search(["copy files"], 1).ids.tolist()
    (64, 128, [[0]])
    """
    registry = registry or default_registry()
    place = real_path(find_folder(path, load_settings({}).indexes))
    kept = None if keep is None else real_path(keep)
    if kept is not None and os.path.lexists(kept):
        raise ParameterError(
            f"there is something at {kept} already", hint="choose another folder to keep the old one in"
        )
    work = _Work(place, embedder, metric, plan, on_bad, threads, registry)
    done: list[Reembedding] = []

    def fill(folder: Path) -> None:  # under the lock: no row is added to the old one meanwhile
        done.append(work.run(kept, told))
        if kept is not None:
            _link(place, kept)
        _link(work.shadow, folder)

    write_folder(place, fill, overwrite=True)
    shutil.rmtree(work.shadow, ignore_errors=True)
    return done[0]


def _link(source: Path, target: Path) -> None:
    """A second name for every file of a collection that will not be written under the first one any more."""

    def one(file: str, name: str) -> None:
        try:
            os.link(file, name)
        except OSError:  # a file system without hard links
            shutil.copy2(file, name)

    shutil.copytree(source, target, copy_function=one, dirs_exist_ok=True, ignore=shutil.ignore_patterns("LOCK"))


class _Work:
    """The new collection on its way."""

    def __init__(
        self,
        place: Path,
        embedder: str | Embedder | None,
        metric: str | None,
        plan: str | Plan | None,
        on_bad: OnBad,
        threads: int | None,
        registry: Registry,
    ) -> None:
        self.shadow = place.with_name(f".{place.name[:100]}.reembedding")
        self._place = place
        self._embedder = embedder
        self._metric = metric
        self._plan = plan
        self._on_bad = on_bad
        self._threads = threads
        self._registry = registry
        self._skipped: list[Any] = []

    def run(self, kept: Path | None, told: Told | None) -> Reembedding:
        """Fill the new collection, build its index, and compare it with the old one."""
        with open_collection(self._place, readonly=True, threads=self._threads, registry=self._registry) as old:
            record = old.embedder_record
            if record is None:
                raise NotSupportedError(
                    f"{self._place} was filled with vectors, so that there are no items to embed again",
                    hint="build it anew from its texts with embedder=...",
                )
            made = make_embedder(self._embedder or record.text, self._registry)
            if made.takes != record.takes:
                raise ParameterError(f"embedder {made.text} takes {made.takes}s, and the rows are {record.takes}s")
            positions = old.positions()
            self._need_items(old, positions)
            facts = {"generation": self._generation(old), "embedder": made.text, "on_bad": self._on_bad}
            with self._started(old, made, facts) as new:
                before = self._fill(old, new, positions, facts, told)
                self._finish(old, new)
                overlap = _overlap(old, new)
                skipped = tuple(self._skipped)
                return Reembedding(len(new), skipped, before, record.text, made.text, old.dim, new.dim, overlap, kept)

    def _finish(self, old: Collection, new: Collection) -> None:
        """What belongs to the rows: fields with an index, ids that were used, and the index."""
        for name in old.rows.indexed_fields:
            new.index_field(name)
        if old.index is not None:
            new.optimize()
        folder = new._folder("a mark")
        folder.reserve_ids(old.rows.ids.next_number)
        folder.commit(mark=Mark(MARK, None))

    def _generation(self, old: Collection) -> list[int]:
        """Changes with every row that is added or deleted."""
        return [len(old.rows), len(old), old.rows.ids.next_number]

    def _need_items(self, old: Collection, positions: np.ndarray) -> None:
        record = old.embedder_record
        assert record is not None
        if record.takes == "record":
            return
        missing = [
            int(position)
            for some in _parts(positions)
            for position, each in zip(some, old.rows.metadata(some), strict=True)
            if not isinstance(each.get(record.field), str)
        ]
        if missing:
            ids = old.rows.ids.at(np.array(missing[:1]))
            raise NotSupportedError(
                f"{len(missing):,} of {len(positions):,} rows have no text under {record.field!r} (id {ids[0]!r})",
                hint="delete them, or add them again with their text",
            )

    def _started(self, old: Collection, made: Embedder, facts: dict[str, Any]) -> Collection:
        """The new collection, as far as an interrupted run has come, or from the start."""
        if (self.shadow / "collection.sqlite").exists():
            try:
                new = open_collection(self.shadow, embedder=made, threads=self._threads, registry=self._registry)
            except NearkinError:
                pass  # of another embedder, or damaged
            else:
                mark = new._mark(MARK)
                if mark is not None and {name: mark.get(name) for name in facts} == facts:
                    self._skipped = list(mark["skipped"])
                    return new
                new.close()
        shutil.rmtree(self.shadow, ignore_errors=True)
        return self._created(old, made)

    def _created(self, old: Collection, made: Embedder) -> Collection:
        record, budget = old.embedder_record, old.budget
        assert record is not None
        chosen = old.metric_text if self._metric is None and not self._follows(old) else self._metric
        limits: dict[str, Any] = {}
        if budget is not None and self._plan is None:
            limits = {name: getattr(budget, name) for name in ("recall", "memory", "latency", "optimize")}
        plan = self._plan if self._plan is not None or limits else str(old.recipe.plan)
        new = create(
            self.shadow,
            embedder=made,
            field=record.field,
            metric=chosen,
            plan=plan,
            search=old.recipe.plan.search if self._plan is None and not limits else None,
            seed=old.recipe.seed,
            threads=self._threads,
            registry=self._registry,
            **limits,
        )
        if not new.dim:
            new.fit_embedder(self._sample(old))
        return new

    def _follows(self, old: Collection) -> bool:
        """Whether the old collection has the metric that its embedder's vectors are made for."""
        record = old.embedder_record
        assert record is not None
        return old.metric_text == make_embedder(record.text, self._registry).metric

    def _sample(self, old: Collection) -> list[Any]:
        positions = old.positions()
        if len(positions) > LEARNED_FROM:
            rng = np.random.default_rng(old.recipe.seed)
            positions = np.sort(rng.choice(positions, LEARNED_FROM, replace=False))
        return [item for some in _parts(positions) for item in _items(old, some)]

    def _fill(
        self, old: Collection, new: Collection, positions: np.ndarray, facts: dict[str, Any], told: Told | None
    ) -> int:
        """Embed what is left; return how many rows were there before."""
        embedder, there = new.embedder, new._mark(MARK)
        assert embedder is not None
        before = 0 if there is None else int(there["done"])
        for some in _parts(positions[before:]):
            ids, metadata = old.rows.ids.at(some).tolist(), old.rows.metadata(some)
            vectors = embedder.embed(_items(old, some))
            screened = new.screen(vectors, self._on_bad)
            self._skipped += [ids[row] for row in screened.skipped.tolist()]
            done = int(np.searchsorted(positions, some[-1])) + 1
            mark = Mark(MARK, {**facts, "done": done, "skipped": self._skipped})
            new._store(screened, vectors, ids, metadata, mark=mark)
            if told is not None:
                told(done, len(positions))
        return before


def _items(old: Collection, positions: np.ndarray) -> list[Any]:
    record = old.embedder_record
    assert record is not None
    metadata = old.rows.metadata(positions)
    return metadata if record.takes == "record" else [each[record.field] for each in metadata]


def _parts(positions: np.ndarray) -> Iterator[np.ndarray]:
    return (positions[start : start + ITEMS_A_COMMIT] for start in range(0, len(positions), ITEMS_A_COMMIT))


def _overlap(old: Collection, new: Collection) -> Interval | None:
    """Share of the nearest rows that rows have in both collections."""
    shared = np.intersect1d(old.ids, new.ids)
    if len(shared) < 2:
        return None
    if len(shared) > COMPARED:
        shared = np.sort(np.random.default_rng(0).choice(shared, COMPARED, replace=False))
    k = min(NEIGHBOURS, len(new) - 1)
    near = [
        each.search(each.rows.take(each.rows.ids.positions(shared.tolist())), k + 1).ids.tolist() for each in (old, new)
    ]
    shares = [
        len(set(_others(one, own, k)) & set(_others(other, own, k))) / k
        for own, one, other in zip(shared.tolist(), *near, strict=True)
    ]
    return Interval.of(np.array(shares))


def _others(found: list[Any], own: Any, k: int) -> list[Any]:
    return [each for each in found if each != own][:k]
