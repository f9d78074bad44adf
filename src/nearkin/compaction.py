"""A folder written anew without the rows that were deleted or replaced: these keep their place until then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nearkin.baseline import measured
from nearkin.building import find_folder, open_collection
from nearkin.collection import Collection
from nearkin.errors import StateError
from nearkin.metrics import Metric
from nearkin.registry import Registry
from nearkin.settings import load_settings
from nearkin.staging import ROWS_A_COMMIT
from nearkin.store.folder import Folder, write_folder


@dataclass(frozen=True)
class Compaction:
    """What `compact` did.

    Attributes
    ----------
    rows
        Rows that there are.
    dropped
        Places of deleted and replaced rows that are gone.
    bytes_before, bytes_after
        Of the folder.
    """

    rows: int
    dropped: int
    bytes_before: int
    bytes_after: int


def compact(
    path: str | os.PathLike[str],
    *,
    metric: Metric | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
) -> Compaction:
    """Write a collection anew without the places of deleted and replaced rows, and build its index over the others.

    Rows keep ids, metadata, vectors and order; their positions change. The new folder takes the place of the old one complete or
    not at all. Readers that have the old one open go on with it.

    Parameters
    ----------
    path
        The folder; nobody may have it open for writing.
    metric
        The `Metric` it was built with, where no plugin offers it by name.

    Raises
    ------
    LockedError
        Somebody is writing to it.
    StateError
        It does not keep its vectors, so that no index can be built.
    StorageError
        It is damaged, or the new one cannot be written: about as much room is needed again. The old one is intact.

    Examples
    --------
    >>> import tempfile
    >>> import nearkin as nk
    >>> with tempfile.TemporaryDirectory() as home:
    ...     with nk.create(f"{home}/mine", dim=3) as mine:
    ...         _ = mine.add(np.eye(3))
    ...         _ = mine.delete([1])
    ...     done = compact(f"{home}/mine")
    >>> done.rows, done.dropped
    (2, 1)
    """
    settings = load_settings({"threads": threads})
    place = find_folder(path, settings.indexes)
    with open_collection(place, metric=metric, readonly=True, threads=threads, registry=registry) as old:
        if not old.keeps_vectors:
            raise StateError(
                "a collection that does not keep its vectors cannot be compacted", hint="build it again from its source"
            )
        before, dropped = sum(old.disk_bytes().values()), old.deleted

    def fill(folder: Path) -> None:  # under the lock: what was committed until then is in it
        with open_collection(place, metric=metric, readonly=True, threads=threads, registry=registry) as source:
            _copy_living(source, folder)

    write_folder(place, fill, overwrite=True)
    with open_collection(place, metric=metric, readonly=True, threads=threads, registry=registry) as new:
        return Compaction(len(new), dropped, before, sum(new.disk_bytes().values()))


def _copy_living(source: Collection, folder: Path) -> None:
    header, recipe = source._header(source.recipe), source.recipe
    with Folder.create(folder, header, source.embedder_state()) as rows:
        for some in _parts(source.positions()):
            ids, metadata = source.rows.ids.at(some), source.rows.metadata(some)
            rows.commit(vectors=source.rows.take(some), ids=ids.tolist(), metadata=metadata)
        rows.reserve_ids(source.rows.ids.next_number)
        for field in source.rows.indexed_fields:
            rows.index_field(field)
        if source.index is None or not len(rows):
            return
        built = measured(recipe, rows, recipe.build(rows, source.threads), source.threads)
        if built.index is not None:
            rows.publish(recipe.label_of(built.index), built.index.state(), len(rows), header=header, facts=built.facts)


def _parts(positions: np.ndarray) -> Iterator[np.ndarray]:
    return (positions[start : start + ROWS_A_COMMIT] for start in range(0, len(positions), ROWS_A_COMMIT))
