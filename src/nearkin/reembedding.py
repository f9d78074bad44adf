"""A collection embedded again: by another embedder, or by the same one that learns anew. The old one answers until then.

The new collection grows beside the old one, part by part and durably, and is renamed into its place: an interrupted run goes on
where it stopped, and none of its files ever has two names.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.accuracy import Interval
from nearkin.bound_embedder import EmbedderRecord, make_embedder
from nearkin.building import find_folder, make_metric, open_collection
from nearkin.collection import Collection
from nearkin.creation import create
from nearkin.embedders import Embedder, Told
from nearkin.errors import NearkinError, NotSupportedError, ParameterError
from nearkin.indexing import Built, Recipe
from nearkin.item_adding import ITEMS_A_COMMIT, LEARNED_FROM
from nearkin.plans import Plan, as_plan
from nearkin.registry import Registry, default_registry
from nearkin.settings import load_settings
from nearkin.store.folder import Folder
from nearkin.store.header import Mark
from nearkin.store.replacement import DATABASE_NAME, check_place, real_path, write_folder
from nearkin.vectors import OnBad

COMPARED = 500
"""Rows that ask in both collections, to say how much their neighbours have in common."""
NEIGHBOURS = 10
MARK = "reembedding"
"""Tells how far the new collection has come, and of what. It goes after the collection is in place; one that stays does no harm."""


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
        Share of the 10 nearest rows of a row that stayed the same, over random rows; None with fewer than two rows, and where the
        old collection kept no vectors. It says how different the answers are, not which are better.
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

    Ids, metadata, fields with an index and the plan or budget stay; the vectors are kept, even where the old ones were not. The old
    embedder is not needed. Readers go on with the old collection meanwhile; writers are refused. An interrupted run goes on when it
    is called again with the same embedder, metric and `on_bad` on the same rows; another plan costs no embedding.

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
        A folder, which must not be there, for a copy of the old collection, which is removed in the end.
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
    if kept is not None:
        _need_free(kept, place)
    work = _Work(place, embedder, metric, plan, on_bad, threads, registry)
    done: list[Reembedding] = []

    def fill(folder: Path) -> None:  # under the lock: no row is added to the old one meanwhile
        done.append(work.run(folder, kept, told))
        if kept is not None and not _is_copy(kept, place):
            write_folder(kept, lambda copy: _copy(place, copy))

    write_folder(place, fill, overwrite=True, beside=place.with_name(f".{place.name[:100]}.reembedding"))
    with suppress(NearkinError), Folder.open(place) as folder:
        folder.commit(mark=Mark(MARK, None))
    return done[0]


def _need_free(kept: Path, place: Path) -> None:
    """Refuse a folder to keep the old collection in, unless it is the copy that an interrupted run made."""
    if os.path.lexists(kept) and (kept == place or not _is_copy(kept, place)):
        raise ParameterError(
            f"there is something at {kept} already", hint="choose another folder to keep the old one in"
        )
    check_place(kept, overwrite=True)


def _is_copy(kept: Path, place: Path) -> bool:
    """Whether a folder, which appeared complete or not at all, is a copy of a collection: every commit is in its database."""
    names = kept / DATABASE_NAME, place / DATABASE_NAME
    return all(each.is_file() for each in names) and filecmp.cmp(*names, shallow=False)


def _copy(place: Path, folder: Path) -> None:
    """Not linked: vectors and database are written in place, and who adds to one collection must not change another."""
    shutil.copytree(place, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("LOCK"))


@dataclass(frozen=True)
class _Items:
    """The items of a collection, which its metadata keep."""

    collection: Collection
    record: EmbedderRecord
    positions: np.ndarray

    @classmethod
    def of(cls, collection: Collection) -> _Items:
        """All of them, refused where some are missing."""
        record = collection.embedder_record
        if record is None:
            raise NotSupportedError(
                f"{collection.path} was filled with vectors, so that there are no items to embed again",
                hint="build it anew from its texts with embedder=...",
            )
        found = cls(collection, record, collection.positions())
        found._need_texts()
        return found

    def _need_texts(self) -> None:
        if self.record.takes == "record":
            return
        missing = [
            int(position)
            for some in _parts(self.positions)
            for position, each in zip(some, self.collection.rows.metadata(some), strict=True)
            if not isinstance(each.get(self.record.field), str)
        ]
        if missing:
            ids = self.collection.rows.ids.at(np.array(missing[:1]))
            raise NotSupportedError(
                f"{len(missing):,} of {len(self.positions):,} rows have no text under {self.record.field!r} (id {ids[0]!r})",
                hint="delete them, or add them again with their text",
            )

    def within(self, metadata: list[dict[str, Any]]) -> list[Any]:
        """The items in metadata: texts, or records without what was given beside them."""
        if self.record.takes == "text":
            return [each[self.record.field] for each in metadata]
        own = frozenset(self.record.fields)
        return [{name: value for name, value in each.items() if name in own} for each in metadata] if own else metadata

    def sample(self) -> list[Any]:
        """What an embedder learns from."""
        positions, rows = self.positions, self.collection.rows
        if len(positions) > LEARNED_FROM:
            rng = np.random.default_rng(self.collection.recipe.seed)
            positions = np.sort(rng.choice(positions, LEARNED_FROM, replace=False))
        return [item for some in _parts(positions) for item in self.within(rows.metadata(some))]

    @property
    def facts(self) -> list[Any]:
        """Others as soon as an item is: the digest is that of all ids and metadata."""
        committed, record = self.collection._folder("a digest")._committed, self.record
        counts = [committed.positions, committed.rows, committed.next_id]
        return [committed.digest, *counts, record.fingerprint, record.field, list(record.fields)]

    @property
    def metric(self) -> str | None:
        """The metric that was chosen beside the embedder; None if it is the embedder's own."""
        chosen = self.collection.metric_text
        return None if self.record.metric in ("", chosen) else chosen


@dataclass(frozen=True)
class _Work:
    """The new collection on its way."""

    place: Path
    embedder: str | Embedder | None
    metric: str | None
    plan: str | Plan | None
    on_bad: OnBad
    threads: int | None
    registry: Registry

    def run(self, shadow: Path, kept: Path | None, told: Told | None) -> Reembedding:
        """Fill the new collection, build its index, and compare it with the old one."""
        with open_collection(self.place, readonly=True, threads=self.threads, registry=self.registry) as old:
            items = _Items.of(old)
            record = items.record
            made = make_embedder(self.embedder or record.text, self.registry)
            if made.takes != record.takes:
                raise ParameterError(f"embedder {made.text} takes {made.takes}s, and the rows are {record.takes}s")
            metric = self.metric or items.metric or made.metric
            facts: dict[str, Any] = {"of": items.facts, "embedder": made.text, "metric": metric, "on_bad": self.on_bad}
            facts["seed"] = old.recipe.seed
            recipe = self._recipe(old, metric)
            with self._started(shadow, items, made, facts) as new:
                recipe = replace(recipe, metric=new.metric)
                self._need_legal(recipe, new, shadow)
                before = self._fill(items, new, facts, told)
                self._finish(old, new)
                self._index(old, new, recipe)
                skipped = tuple((new._mark(MARK) or {}).get("skipped", ()))
                return Reembedding(
                    len(new), skipped, before, record.text, made.text, old.dim, new.dim, _overlap(old, new), kept
                )

    def _recipe(self, old: Collection, metric: str) -> Recipe:
        plan = old.recipe.plan if self.plan is None else as_plan(self.plan, None, self.registry)
        return Recipe(plan, make_metric(metric, self.registry)[0], self.registry, old.recipe.seed)

    def _need_legal(self, recipe: Recipe, new: Collection, shadow: Path) -> None:
        """Refuse a plan that cannot be before anything is embedded."""
        try:
            recipe.make(new.dim, 1)
        except NearkinError:
            if new._mark(MARK) is None:
                new.close()
                shutil.rmtree(shadow, ignore_errors=True)
            raise

    def _started(self, shadow: Path, items: _Items, made: Embedder, facts: dict[str, Any]) -> Collection:
        """The new collection, as far as an interrupted run has come, or from the start."""
        if (shadow / DATABASE_NAME).exists():
            try:
                new = open_collection(shadow, embedder=made, threads=self.threads, registry=self.registry)
            except NearkinError:
                pass  # of another embedder, or damaged
            else:
                mark = new._mark(MARK)
                if mark is not None and {name: mark.get(name) for name in facts} == facts:
                    return new
                new.close()
        shutil.rmtree(shadow, ignore_errors=True)
        return self._created(shadow, items, made, facts)

    def _created(self, shadow: Path, items: _Items, made: Embedder, facts: dict[str, Any]) -> Collection:
        new = create(
            shadow,
            embedder=made,
            field=items.record.field,
            metric=facts["metric"],
            seed=facts["seed"],
            threads=self.threads,
            registry=self.registry,
        )
        if not made.fitted:
            new.fit_embedder(items.sample())
        return new

    def _fill(self, items: _Items, new: Collection, facts: dict[str, Any], told: Told | None) -> int:
        """Embed what is left; return how many rows were there before."""
        rows, positions, bound = items.collection.rows, items.positions, new._need_embedder()
        there = new._mark(MARK) or {"done": 0, "skipped": []}
        before, left_out = int(there["done"]), list(there["skipped"])
        for some in _parts(positions[before:]):
            ids, metadata = rows.ids.at(some).tolist(), rows.metadata(some)
            vectors = bound.embed(items.within(metadata), "document")
            screened = new.screen(vectors, self.on_bad)
            left_out += [ids[row] for row in screened.skipped.tolist()]
            done = int(np.searchsorted(positions, some[-1])) + 1
            mark = Mark(MARK, {**facts, "done": done, "skipped": left_out})
            new._store(screened, vectors, ids, metadata, mark=mark)
            if told is not None:
                told(done, len(positions))
        return before

    def _finish(self, old: Collection, new: Collection) -> None:
        """What belongs to the rows: fields with an index, and ids that were used."""
        for name in {*new.rows.indexed_fields}.difference(old.rows.indexed_fields):
            new.drop_field_index(name)
        for name in old.rows.indexed_fields:
            new.index_field(name)
        new._folder("its ids").reserve_ids(old.rows.ids.next_number)

    def _index(self, old: Collection, new: Collection, recipe: Recipe) -> None:
        """Build the index of the plan, or find one for the budget; not again where an interrupted run built the same."""
        budget = old.budget if self.plan is None else None
        limits = None if budget is None else asdict(budget)
        asked = [str(recipe.plan), dict(recipe.plan.search), limits, old.index is not None]
        there, folder = new._mark(MARK) or {}, new._folder("an index")
        if there.get("index") == asked and not new.problems:
            return
        new.budget = budget
        new.take_over(recipe, Built())
        folder.replace_header(new._header(recipe))
        if old.index is not None:
            new.optimize()
        folder.commit(mark=Mark(MARK, {**there, "index": asked}))


def _parts(positions: np.ndarray) -> Iterator[np.ndarray]:
    return (positions[start : start + ITEMS_A_COMMIT] for start in range(0, len(positions), ITEMS_A_COMMIT))


def _overlap(old: Collection, new: Collection) -> Interval | None:
    """Share of the nearest rows that rows have in both collections."""
    if not old.keeps_vectors:
        return None
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
