"""How far a run over files has come, kept with the rows that it added; and whether it can go on from there."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearkin.collection import Collection
from nearkin.parts import files_of
from nearkin.store.header import Mark

MARKS = "added/"
"""How the names of the marks of runs begin."""


class Keeper(NamedTuple):
    """Where a run keeps how far it has come."""

    name: str
    facts: dict[str, Any]
    """Kept besides."""
    stays: bool
    """Whether the mark is there at the end, too; otherwise only that of a run over items without ids is."""


def keeper_of(facts: Any) -> Keeper:
    """A mark of its own for each set of facts, which are JSON-able."""
    return Keeper(MARKS + sha256(json.dumps(facts).encode()).hexdigest()[:32], {}, stays=False)


def file_facts(path: Path) -> list[Any]:
    """The same for the same file, unchanged, or for the same folder of parts."""
    files = files_of(path) if path.is_dir() else [path]
    found = [(os.path.realpath(each), each.stat()) for each in files]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in found]


class Progress:
    """How far a run has come. It goes on only if all rows that it has added are still there.

    Rows that came without ids got whole numbers: which ones is kept, so that they are known again, and stays when the run is done,
    so that it is not done twice.
    """

    def __init__(self, collection: Collection, keeper: Keeper | None) -> None:
        self._collection = collection
        self._keeper = keeper if collection.path is not None else None
        self.facts: dict[str, Any] = (collection._mark(self._keeper.name) if self._keeper else None) or {}
        self.items = int(self.facts.get("items", 0))
        """Items at the head that were dealt with before."""
        self.remains: list[int] = []
        """Ids of rows of a run that cannot go on: they are to go when it begins anew."""
        self._given: list[list[int]] | None = self.facts.get("given")

    def resume(self, before: Sequence[Any] | None) -> None:
        """See whether the rows that were added before are there; otherwise everything is to be added again.

        Parameters
        ----------
        before
            Their ids; None where the items have none.
        """
        if before is not None:
            self._given = None
            whole = len(self._collection.rows.ids.existing(before)) == len(before)
        else:
            self._given = self._given or []
            there = self._numbers_there()
            whole = len(there) == sum(stop - first for first, stop in self._given)
        if not whole:
            self.remains = [] if before is not None else there.tolist()
            self.items, self._given = 0, None if before is not None else []

    def _numbers_there(self) -> np.ndarray:
        """Ids of the rows that are left of those that got whole numbers."""
        ids = self._collection.ids
        if ids.dtype.kind != "i" or not self._given:
            return np.empty(0, dtype=np.int64)
        return ids[np.logical_or.reduce([(ids >= first) & (ids < stop) for first, stop in self._given])]

    def overtake(self, ids: Sequence[Any]) -> None:
        """Before rows with ids are added: no other run goes on after rows of its own that these replace."""
        if self._collection.path is None or not len(self._collection.rows.ids.existing(ids)):
            return
        with self._collection.unchanging():
            folder = self._collection._folder("a mark")
            for name, facts in folder.marks(MARKS):
                if (
                    facts is not None
                    and facts.get("given") is None
                    and (self._keeper is None or name != self._keeper.name)
                ):
                    folder.commit(mark=Mark(name, None))

    def mark(self, done: int, rows: int, *, last: bool, **more: Any) -> Mark | None:
        """What is to be committed together with the next rows.

        Parameters
        ----------
        done
            Items dealt with when they are there.
        rows
            How many rows those are: without ids, they get the next numbers.
        more
            Kept besides.
        """
        if self._keeper is None:
            return None
        if self._given is None and last and not self._keeper.stays:
            return Mark(self._keeper.name, None)
        if self._given is not None and rows:
            first = self._collection.rows.ids.next_number
            if self._given and self._given[-1][1] == first:
                self._given[-1][1] += rows
            else:
                self._given.append([first, first + rows])
        return Mark(self._keeper.name, {**self._keeper.facts, **more, "items": done, "given": self._given})
