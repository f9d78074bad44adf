"""A collection in memory written to a folder, complete or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin import __version__
from nearkin.plans import label_of
from nearkin.rows import Rows
from nearkin.store.folder import Folder, Header, write_folder

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.indexes import Index
    from nearkin.indexing import Recipe

ROWS_A_COMMIT = 65_536


def header_of(collection: Collection, recipe: Recipe) -> Header:
    """What a folder must know to open as this collection."""
    return Header(
        dim=collection.dim,
        dtype=collection.metric.dtype,
        metric=collection.metric_text,
        metric_state=collection.metric.state(),
        plan=str(recipe.plan),
        search=dict(recipe.plan.search),
        seed=recipe.seed,
        keep_vectors=collection.keeps_vectors,
        library=__version__,
    )


def save_folder(path: Path, header: Header, rows: Rows, index: Index | None, covered: int, *, overwrite: bool) -> None:
    """Write rows and index to a new folder, then put it in place."""

    def fill(folder: Path) -> None:
        with_rows = Folder.create(folder, header)
        try:
            _copy_rows(rows, with_rows, keep_vectors=header.keep_vectors)
            if index is not None:
                with_rows.publish(label_of(index), index.state(), covered)
        finally:
            with_rows.close()

    write_folder(path, fill, overwrite=overwrite)


def _copy_rows(source: Rows, target: Rows, *, keep_vectors: bool) -> None:
    """Every position, deleted ones too (and deleted again), since the index refers to positions."""
    ids = source.ids.at(np.arange(len(source))).tolist()
    dead = np.flatnonzero(~source.alive)
    taken = set(source.ids.at(np.flatnonzero(source.alive)).tolist())
    for position in dead.tolist():  # an id that was used again must not meet its own past
        if ids[position] in taken:
            ids[position] = _unused_id(position, source.ids.kind)
        taken.add(ids[position])
    for start in range(0, len(source), ROWS_A_COMMIT):
        stop = min(len(source), start + ROWS_A_COMMIT)
        vectors = source.span(start, stop) if keep_vectors else None
        target.commit(vectors=vectors, ids=ids[start:stop], metadata=source.metadata(np.arange(start, stop)))
    if dead.size:
        target.commit(delete=dead)


def _unused_id(position: int, kind: str) -> Any:
    """An id for a deleted position that no row has."""
    return f"\x00deleted {position}" if kind == "str" else -(2 + position) - (1 << 62)
