"""Repair: what is derived is built again where it lies; of a damaged truth, what can be trusted goes to a new folder.

Nothing is deleted that cannot be made again: the damaged folder stays beside the new one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.baseline import measured
from nearkin.building import find_folder, make_metric, metric_of, open_collection
from nearkin.errors import MEND, CorruptFileError, FormatVersionError, NearkinError, VectorError
from nearkin.indexing import Recipe
from nearkin.leftovers import damaged_names, leftovers, next_damaged_name, remove_leftovers
from nearkin.metrics import Metric
from nearkin.plans import Plan, as_plan
from nearkin.registry import Registry, default_registry
from nearkin.saving import header_of
from nearkin.settings import load_settings
from nearkin.soundness import verify
from nearkin.staging import ROWS_A_COMMIT
from nearkin.state import State
from nearkin.store.durability import storage_errors, sync_folder
from nearkin.store.folder import Folder, Header, write_folder
from nearkin.store.lock import WriterLock
from nearkin.store.replacement import DATABASE_NAME, real_path, replaced_name
from nearkin.store.rewriting import rewrite_database
from nearkin.store.salvage import LostRow, Salvaged, salvage


@dataclass(frozen=True)
class Repair:
    """What was damaged, what was done about it, and what is gone.

    Attributes
    ----------
    path
        The collection.
    problems
        What was damaged, in words; empty if nothing was.
    rebuilt
        What was made again, in words.
    rows
        Rows that the collection has now, each identical to what was written.
    lost
        Rows that are gone: position, id (None if not known) and reason.
    unnamed
        Further rows that are gone, of which only the number is known.
    gaps
        Ranges of positions (first, last) in which the unnamed rows were, among deleted ones.
    doubts
        What cannot be proven, in words.
    notes
        What else is to be known.
    embedder_lost
        The embedder of which what it has learned is gone, so that the items are to be embedded again; None if there is none.
    damaged
        Where the damaged folder is kept; None if it was repaired in place.
    dry_run
        Whether nothing was done: the rest then says what would be.
    seconds
        What it took.
    """

    path: Path
    problems: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    rows: int = 0
    lost: tuple[LostRow, ...] = ()
    unnamed: int = 0
    gaps: tuple[tuple[int, int], ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    embedder_lost: str | None = None
    damaged: Path | None = None
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def gone(self) -> int:
        """Rows that are gone."""
        return len(self.lost) + self.unnamed

    @property
    def changed(self) -> bool:
        """Whether anything was done, or would be."""
        return bool(self.rebuilt)

    def to_dict(self) -> dict[str, Any]:
        """The same, JSON-able."""
        return {
            "path": str(self.path),
            "problems": list(self.problems),
            "rebuilt": list(self.rebuilt),
            "rows": self.rows,
            "gone": self.gone,
            "lost": [row._asdict() for row in self.lost],
            "unnamed": self.unnamed,
            "gaps": [list(each) for each in self.gaps],
            "doubts": list(self.doubts),
            "notes": list(self.notes),
            "embedder_lost": self.embedder_lost,
            "damaged": None if self.damaged is None else str(self.damaged),
            "dry_run": self.dry_run,
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        if not self.changed:
            return f"nothing is damaged: {self.rows:,} rows, every checksum as it was written"
        would = "would be " if self.dry_run else ""
        lines = [f"{would}rebuilt: {each}" for each in self.rebuilt]
        lines.append(f"{would}kept: {self.rows:,} rows, as they were written")
        gone = [f"{self.gone:,} rows"] if self.gone else []
        gone += [f"what the embedder {self.embedder_lost} has learned"] if self.embedder_lost else []
        lines.append(f"gone: {' and '.join(gone) or 'nothing'}")
        if self.damaged is not None:
            lines.append(f"the damaged folder {'would be' if self.dry_run else 'is'} kept at {self.damaged}")
        return "\n".join(lines)


def repair(
    path: str | os.PathLike[str],
    *,
    metric: str | Metric | None = None,
    dim: int | None = None,
    plan: str | Plan | None = None,
    trust_vectors: bool | None = None,
    dry_run: bool = False,
    threads: int | None = None,
    registry: Registry | None = None,
) -> Repair:
    """Make a damaged collection whole again, and say what is gone.

    A built index, SQLite's index of the ids and what interrupted work left are derived: they are made again in place. Where
    rows, ids or facts are damaged, a new folder is written from the rows that their checksums confirm, its index is built by
    the collection's plan, and the damaged folder stays beside it as ``NAME.damaged``. Ids, metadata and vectors of the rows
    that are kept are what was written; their positions may change. Killed at any moment, this leaves the old folder, and
    another call goes on.

    Parameters
    ----------
    metric, dim, plan
        What the collection was built with, where its facts cannot be read; `metric` also where no plugin offers it by name.
    trust_vectors
        What to do with vectors whose checksums are gone: True takes them as they are, False counts them as lost; left out,
        nothing is done where there are any.
    dry_run
        Say what would be done, and do nothing.
    threads
        Threads for building the index; None for the setting.

    Raises
    ------
    CorruptFileError
        It cannot be repaired, or not without being told more; the folder is as it was.
    LockedError
        Another process is writing to it.
    UnknownCollectionError
        There is no collection at `path`.
    StorageError
        Reading or writing failed; the folder is as it was.

    Examples
    --------
    >>> import tempfile
    >>> import nearkin as nk
    >>> with tempfile.TemporaryDirectory() as home:
    ...     nk.build(np.eye(4), ids=["n", "e", "s", "w"]).save(home + "/mine")
    ...     next(Path(home).glob("mine/built/*/spec.json")).unlink()
    ...     done = repair(home + "/mine")
    ...     print(done)
    rebuilt: the index flat over 4 rows
    kept: 4 rows, as they were written
    gone: nothing
    """
    start = time.perf_counter()
    registry = registry or default_registry()
    settings = load_settings({"threads": threads})
    place = real_path(find_folder(path, settings.indexes))
    job = _Job(place, metric, dim, plan, trust_vectors, dry_run, settings.cores, registry)
    return replace(job.done(), dry_run=dry_run, seconds=time.perf_counter() - start)


@dataclass
class _Diagnosis:
    """What is damaged, by what it takes to repair it."""

    truth: list[str] = field(default_factory=list)
    database: list[str] = field(default_factory=list)
    index: list[str] = field(default_factory=list)
    rows: int = 0
    empty: bool = False
    keep_vectors: bool = True

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.truth, *self.database, *self.index]))


@dataclass
class _Job:
    """One repair."""

    place: Path
    metric: str | Metric | None
    dim: int | None
    plan: str | Plan | None
    trust_vectors: bool | None
    dry_run: bool
    threads: int
    registry: Registry

    def done(self) -> Repair:
        """Look, and repair what has to be."""
        renamed = self._put_back()
        here = renamed if renamed is not None and self.dry_run else self.place
        with ExitStack() as held:
            lock = None
            if not self.dry_run and (here / DATABASE_NAME).exists():
                lock = WriterLock.acquire(here)
                held.callback(lock.release)
            found = self._diagnosed(here)
            if found.truth or (found.index and found.empty):
                outcome = self._written_anew(here, found)
            else:
                self._refuse_without_vectors(found)
                outcome = self._in_place(here, found, lock)
        if renamed is not None:
            words = f"{self.place} from {renamed}, where an interrupted replacement had left it"
            outcome = replace(outcome, rebuilt=(words, *outcome.rebuilt))
        return outcome

    # ---- looking ---------------------------------------------------------------------------------------------------

    def _put_back(self) -> Path | None:
        """Give a folder its name again that was interrupted between two renames; where it was."""
        if self.place.exists():
            return None
        for old in (replaced_name(self.place), *reversed(damaged_names(self.place))):
            if (old / DATABASE_NAME).exists():
                if not self.dry_run:
                    with storage_errors(self.place, "written"):
                        old.rename(self.place)
                        sync_folder(self.place.parent)
                return old
        return None

    def _diagnosed(self, here: Path) -> _Diagnosis:
        if not (here / DATABASE_NAME).exists() and (here / "vectors").is_dir():
            raise CorruptFileError(f"{here / DATABASE_NAME} is missing, and with it all ids", hint=MEND)
        found = _Diagnosis()
        try:
            with Folder.open(here, readonly=True) as folder:
                found.truth, found.database = folder.truth_problems(), folder.database_problems()
                found.index, found.rows, found.empty = folder.index_problems(), folder.count, not folder.count
                found.keep_vectors = folder.header.keep_vectors
        except FormatVersionError:
            raise
        except CorruptFileError as error:
            return _Diagnosis(truth=[error.message])
        if not (found.truth or found.index):
            found.index = [each for each in self._unsound(here) if each not in found.database]
        return found

    def _unsound(self, here: Path) -> list[str]:
        """What is wrong with an index whose checksums are right."""
        given = self.metric if isinstance(self.metric, Metric) else None
        try:
            with open_collection(
                here, metric=given, readonly=True, threads=self.threads, registry=self.registry
            ) as opened:
                return [each for each in verify(opened).problems if each not in opened.problems]
        except CorruptFileError as error:
            return [str(error)]
        except NearkinError:
            raise
        except Exception as error:  # a state that is not this index's can make its library raise anything
            return [f"the index in {here} cannot be restored: {type(error).__name__}: {error}"]

    def _refuse_without_vectors(self, found: _Diagnosis) -> None:
        if found.index and not found.keep_vectors:
            raise CorruptFileError(
                f"{self.place} cannot be repaired: {found.index[0].partition(';')[0]}, and it keeps no vectors to build the "
                "index from",
                hint=MEND,
            )

    # ---- what is derived -------------------------------------------------------------------------------------------

    def _in_place(self, here: Path, found: _Diagnosis, lock: WriterLock | None) -> Repair:
        left = leftovers(here)
        rebuilt: list[str] = []
        notes: list[str] = []
        if found.database:
            rebuilt.append(f"{DATABASE_NAME} with its index of ids, from its own tables")
            if not self.dry_run:
                rewrite_database(here / DATABASE_NAME)
        if left:
            count = len(left)
            rebuilt.append(f"the folder without {count} leftover{'' if count == 1 else 's'} of interrupted work")
            if not self.dry_run:
                remove_leftovers(left, here)
        if lock is not None:
            lock.release()  # a folder opened for writing takes it itself
        if found.index:
            words, notes = self._index_rebuilt(here, found.rows)
            rebuilt.append(words)
        return Repair(self.place, found.problems, tuple(rebuilt), found.rows, notes=tuple(notes))

    def _index_rebuilt(self, here: Path, rows: int) -> tuple[str, list[str]]:
        with Folder.open(here, readonly=self.dry_run) as folder:
            recipe = self._recipe(folder.header)
            if self.dry_run:
                return f"the index {recipe.plan} over {rows:,} rows", []
            built = recipe.build(folder, self.threads)
            assert built.index is not None  # there are rows
            label, facts = recipe.label_of(built.index), measured(recipe, folder, built, self.threads).facts
            folder.publish(label, built.index.state(), len(folder), facts=facts)
        return f"the index {label} over {rows:,} rows", list(built.notes)

    def _recipe(self, header: Header) -> Recipe:
        given = self.metric if isinstance(self.metric, Metric) else None
        made, _ = metric_of(header, given, self.registry)
        made.restore(header.metric_state)
        return Recipe(as_plan(header.plan, header.search, self.registry), made, self.registry, header.seed)

    # ---- the truth -------------------------------------------------------------------------------------------------

    def _written_anew(self, here: Path, found: _Diagnosis) -> Repair:
        """A new folder from what can be trusted, in the place of the damaged one, which is kept."""
        dtype = None if self.metric is None else make_metric(self.metric, self.registry)[0].dtype
        saved = salvage(here, dim=self.dim, dtype=dtype, trust_vectors=self.trust_vectors)
        recipe, header, notes = self._facts(saved)
        kept = next_damaged_name(self.place)
        if not self.dry_run:
            fresh = self.place.with_name(f".{self.place.name[:100]}.repaired.new")
            try:
                write_folder(
                    fresh, lambda folder: notes.extend(self._fill(folder, saved, header, recipe)), overwrite=True
                )
                _need_identical(fresh, saved)
                _swap(here, kept, fresh)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
        return Repair(
            self.place,
            tuple(dict.fromkeys([*found.problems, *saved.problems])),
            (f"a new folder with the index {recipe.plan} over {len(saved.records):,} rows",),
            len(saved.records),
            saved.lost,
            saved.unnamed,
            saved.gaps,
            saved.doubts,
            tuple(notes),
            _embedder_lost(saved),
            kept,
        )

    def _facts(self, saved: Salvaged) -> tuple[Recipe, Header, list[str]]:
        """Recipe and header as they were; or as far as they were given, the rest as new collections have it."""
        if (header := saved.header) is not None:
            lost = _embedder_lost(saved)
            if lost is None or header.embedder is None:
                return self._recipe(header), header, []
            gone = f"what the embedder {lost} has learned is gone: search with vectors, or embed the items again (nearkin reembed)"
            return self._recipe(header), replace(header, embedder={**header.embedder, "lost": True}), [gone]
        if self.metric is None:
            raise CorruptFileError(
                f"the facts of {self.place} cannot be read, so that its metric is not known",
                hint="pass metric= (--metric)",
            )
        made, text = make_metric(self.metric, self.registry)
        notes = ["the facts of the collection are gone: search parameters and the embedder are not known any more"]
        if made.needs_fit:
            if not saved.records:
                raise CorruptFileError(f"there are no rows left in {self.place} to fit the metric {text} to")
            made.fit(np.ascontiguousarray(saved.vectors(_positions(saved))))
            notes.append(f"the metric {text} was fitted anew to the rows that are left")
        built = saved.committed.built if saved.committed else None
        plan = self.plan if self.plan is not None else built.label if built else "flat"
        recipe = Recipe(as_plan(plan, None, self.registry), made, self.registry)
        return recipe, header_of(recipe, text, saved.dim, keep_vectors=True), notes

    def _fill(self, folder: Path, saved: Salvaged, header: Header, recipe: Recipe) -> list[str]:
        positions, records = _positions(saved), saved.records
        learned = State() if _embedder_lost(saved) else saved.embedder_state
        with Folder.create(folder, header, learned) as rows:
            for start in range(0, len(records), ROWS_A_COMMIT):
                some = slice(start, start + ROWS_A_COMMIT)
                rows.commit(
                    vectors=np.ascontiguousarray(saved.vectors(positions[some])),
                    ids=[record.id for record in records[some]],
                    metadata=[json.loads(record.metadata or "{}") for record in records[some]],
                )
            if saved.committed is not None and saved.committed.id_kind == "int":
                rows.reserve_ids(saved.committed.next_id)
            for field in saved.fields:
                rows.index_field(field)
            for mark in saved.marks:  # so that an interrupted add goes on where it was
                rows.commit(mark=mark)
            if saved.committed is not None and saved.committed.built is None:
                return []
            try:
                built = recipe.build(rows, self.threads)
            except VectorError as error:
                return [f"no index was built, so that rows are searched one by one: {error}"]
            if built.index is not None:
                facts = measured(recipe, rows, built, self.threads).facts
                rows.publish(recipe.label_of(built.index), built.index.state(), len(rows), facts=facts)
        return list(built.notes)


def _embedder_lost(saved: Salvaged) -> str | None:
    """The embedder that had learned what cannot be read any more."""
    header = saved.header
    if header is None or header.embedder is None or not header.dim or saved.embedder_state is not None:
        return None
    return str(header.embedder["text"])


def _positions(saved: Salvaged) -> np.ndarray:
    return np.array([record.position for record in saved.records], dtype=np.int64)


def _need_identical(fresh: Path, saved: Salvaged) -> None:
    """What was written is what was salvaged, read back."""
    with Folder.open(fresh, readonly=True) as folder:
        problems = folder.verify()
        there = np.flatnonzero(folder.alive)
        if not problems and folder.ids.at(there).tolist() != [record.id for record in saved.records]:
            problems = [f"{fresh} has other ids than were salvaged"]
    if problems:
        raise CorruptFileError(problems[0], hint="nothing was changed; is the disk sound?")


def _swap(here: Path, kept: Path, fresh: Path) -> None:
    with storage_errors(here, "replaced"):
        here.rename(kept)
        try:
            fresh.rename(here)
        except BaseException:
            kept.rename(here)
            raise
        sync_folder(here.parent)
