"""Rows of a collection written to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nearkin.collection import Collection, Where
from nearkin.errors import ParameterError
from nearkin.files import find_writer
from nearkin.formats import Block
from nearkin.vectors import block_rows


def export(
    collection: Collection,
    path: str | os.PathLike[str],
    *,
    where: Where | None = None,
    format: str | None = None,
    on_loss: Callable[[list[str]], None] | None = None,
) -> int:
    """Write the rows of a collection to a file, with ids and metadata where its format keeps them; return how many.

    Parameters
    ----------
    path
        A file of any format that can be written; its ending tells which.
    where
        Only rows that a filter keeps.
    format
        Format and options, where the ending is not to tell.
    on_loss
        Called with "ids" and "metadata", whichever the collection has and the format cannot keep.

    Raises
    ------
    ParameterError
        No rows are kept.
    NotSupportedError
        The collection has not kept its vectors, or the format is not written.
    StorageError
        The file cannot be written; what stood there before is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import nearkin as nk
    >>> shop = nk.build([[0.0, 1.0], [2.0, 3.0]], ids=["a", "b"], metadata=[{"price": 30}, {"price": 70}])
    >>> with tempfile.TemporaryDirectory() as home:
    ...     nk.export(shop, f"{home}/out.jsonl", where="price < 50"), Path(f"{home}/out.jsonl").read_text()
    (1, '{"id": "a", "vector": [0.0, 1.0], "price": 30}\\n')
    """
    if not isinstance(collection, Collection):
        raise ParameterError(f"a {type(collection).__name__} cannot be exported, pass a collection")
    writer = find_writer(path, registry=collection.recipe.registry, format=format)
    positions = collection.positions(where)
    if not positions.size:
        raise ParameterError("there are no rows to export" + ("" if where is None else ", the filter keeps none"))
    kept = {part.removeprefix("integer ") for part in writer.keeps}
    metadata = any(any(_metadata_of(collection, some)) for some in _parts(collection, positions))
    lost = [part for part, there in (("ids", True), ("metadata", metadata)) if there and part not in kept]
    if lost and on_loss is not None:
        on_loss(lost)
    return writer.write(path, _blocks(collection, positions, metadata=metadata))


def _parts(collection: Collection, positions: np.ndarray) -> Iterator[np.ndarray]:
    step = block_rows(4 * collection.dim)
    return (positions[start : start + step] for start in range(0, len(positions), step))


def _metadata_of(collection: Collection, positions: np.ndarray) -> list[dict[str, Any]]:
    with collection._lock:
        return collection.rows.metadata(positions)


def _blocks(collection: Collection, positions: np.ndarray, *, metadata: bool) -> Iterator[Block]:
    for some in _parts(collection, positions):
        with collection._lock:
            rows = collection.rows
            there = some[rows.alive[some]]  # another thread may have deleted some meanwhile, and their metadata is gone
            block = Block(rows.take(there), rows.ids.at(there), rows.metadata(there) if metadata else None)
        if there.size:
            yield block
