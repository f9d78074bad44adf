"""A collection in memory written to a folder, complete or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin import __version__
from nearkin.errors import NearkinError, ParameterError
from nearkin.metrics import Metric
from nearkin.rows import Rows
from nearkin.staging import ROWS_A_COMMIT
from nearkin.store.folder import Folder, Header, write_folder

if TYPE_CHECKING:
    from nearkin.bound_embedder import BoundEmbedder
    from nearkin.budgets import Budget
    from nearkin.indexes import Index
    from nearkin.indexing import Recipe
    from nearkin.state import State

COMPARED = 32
"""Rows that two metrics are compared on."""


def header_of(
    recipe: Recipe,
    metric_text: str,
    dim: int,
    *,
    keep_vectors: bool,
    budget: Budget | None = None,
    embedder: BoundEmbedder | None = None,
) -> Header:
    """The facts of a collection that a folder keeps."""
    return Header(
        dim=dim,
        dtype=recipe.metric.dtype,
        metric=metric_text,
        metric_state=recipe.metric.state(),
        plan=str(recipe.plan),
        search=dict(recipe.plan.search),
        seed=recipe.seed,
        keep_vectors=keep_vectors,
        embedder=None if embedder is None else embedder.record.to_dict(),
        budget=asdict(budget) if budget is not None and budget.given else None,
        library=__version__,
    )


def need_named(recipe: Recipe, text: str, rows: Rows | None) -> None:
    """A metric can be given as an object, but a folder has only its name: what that name makes must measure the same.

    A name that nothing offers is no trap: opening asks for the metric then.

    Parameters
    ----------
    rows
        Some of them are tried, where there are any.

    Raises
    ------
    ParameterError
        The metric's name and state do not bring the same metric back.
    """
    metric = recipe.metric
    if not recipe.registry.has("metric", text.partition(":")[0]):
        return
    again = recipe.registry.make("metric", text)
    sample = None if rows is None else rows.take(np.flatnonzero(rows.alive)[:COMPARED])
    if not _same(metric, again, sample):
        raise ParameterError(
            f"the metric was given as an object called {text!r}, and the metric of that name measures something else",
            hint="give it a name of its own",
        )


def _same(metric: Metric, again: Metric, sample: np.ndarray | None) -> bool:
    alike = type(again) is type(metric)
    try:
        again.restore(metric.state())
        return alike if sample is None else _measure_alike(metric, again, sample)
    except NearkinError:
        return False
    except Exception:  # a stranger's formula that fails measures nothing, and is no reason not to keep the rows
        return alike


def _measure_alike(one: Metric, other: Metric, rows: np.ndarray) -> bool:
    return np.array_equal(one.distances(rows, rows), other.distances(rows, rows), equal_nan=True)


def save_folder(
    path: Path,
    header: Header,
    rows: Rows,
    index: Index | None,
    label: str | None,
    covered: int,
    *,
    overwrite: bool,
    facts: Mapping[str, Any] | None = None,
    embedder_state: State | None = None,
) -> None:
    """Write rows and index to a new folder, then put it in place.

    Parameters
    ----------
    label
        The plan of the index with its numbers filled in.
    facts
        What is kept with the index.
    embedder_state
        What the embedder of the header has learned.
    """

    def fill(folder: Path) -> None:
        with_rows = Folder.create(folder, header, embedder_state)
        try:
            _copy_rows(rows, with_rows, keep_vectors=header.keep_vectors)
            for field in rows.indexed_fields:
                with_rows.index_field(field)
            if index is not None and label is not None:
                with_rows.publish(label, index.state(), covered, facts=facts)
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
