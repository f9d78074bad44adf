"""A collection that starts empty, on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nearkin.bound_embedder import BoundEmbedder, make_embedder
from nearkin.budgets import Budget, Optimize
from nearkin.building import make_metric, metric_for, open_collection
from nearkin.collection import Collection
from nearkin.embedders import Embedder
from nearkin.errors import NotSupportedError, ParameterError, VectorError
from nearkin.indexing import Recipe
from nearkin.metrics import Metric
from nearkin.plans import Plan, as_plan
from nearkin.registry import Registry, default_registry
from nearkin.saving import header_of, need_named
from nearkin.search_parameters import whole_number
from nearkin.settings import load_settings
from nearkin.store.folder import Folder

WIDEST = 1 << 20
"""Columns at most."""
SUPPOSED = 1024
"""Columns that a plan is tried with as long as an embedder has to learn how many there are."""


def create(
    path: str | os.PathLike[str],
    *,
    dim: int | None = None,
    embedder: str | Embedder | None = None,
    field: str = "text",
    metric: str | Metric | None = None,
    plan: str | Plan | None = None,
    recall: float | None = None,
    memory: int | str | None = None,
    latency: float | str | None = None,
    optimize: Optimize = "batch",
    search: Mapping[str, int] | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
) -> Collection:
    """Start an empty collection in a folder; `add` fills it, and `optimize` builds its index.

    Until then rows are compared one by one, which loses nothing. With any of `recall`, `memory` and `latency`, each `optimize`
    finds the plan for the rows that are there then, by measuring (see `nearkin.build`).

    Parameters
    ----------
    path
        The folder; nothing may be there, or an empty folder.
    dim
        Columns of the vectors (bytes, for packed bits); an embedder knows them itself.
    embedder
        What turns the items that will be added into vectors; one that learns does so from the first ones (see
        `Collection.fit_embedder`).
    field
        As for `nearkin.build`.
    metric, plan, recall, memory, latency, optimize, search, seed, threads
        As for `nearkin.build`.

    Raises
    ------
    ParameterError
        Something is at `path`, or a number is out of range.
    NotSupportedError
        The plan would be wrong under this metric; or the metric is fitted to rows, and there are none.
    UnknownNameError
        No component has this name.

    Examples
    --------
    >>> import tempfile
    >>> import nearkin as nk
    >>> with tempfile.TemporaryDirectory() as home, nk.create(f"{home}/shop", dim=2, metric="cosine") as shop:
    ...     _ = shop.add([[1, 0], [0, 1]], ids=["sku-1", "sku-2"], metadata=[{"price": 30}, {"price": 70}])
    ...     shop.search([[1, 1]], k=1, where="price > 50").ids.tolist()
    [['sku-2']]
    """
    registry = registry or default_registry()
    settings = load_settings({"seed": seed, "threads": threads})
    bound = None if embedder is None else BoundEmbedder.of(make_embedder(embedder, registry), field)
    width = _width(dim, bound)
    made, text = make_metric(metric_for(metric, bound), registry)
    if bound is not None:
        bound.need_compared(made)
    if made.needs_fit:
        raise NotSupportedError(
            f"{made.name} is fitted to rows, and a new collection has none",
            hint="build it from rows: nearkin.build_folder(...) (nearkin build)",
        )
    budget = Budget.of(recall, memory, latency, optimize, fixed=plan is not None)
    recipe = Recipe(as_plan("flat" if plan is None else plan, search, registry), made, registry, settings.seed)
    _need_legal(recipe, width)
    need_named(recipe, text, None)
    header = header_of(recipe, text, width, keep_vectors=True, budget=budget, embedder=bound)
    Folder.create(path, header, None if bound is None else bound.learned()).close()
    objects: dict[str, Any] = {
        "metric": metric if isinstance(metric, Metric) else None,
        "embedder": bound and bound.embedder,
    }
    return open_collection(path, threads=threads, registry=registry, **objects)


def _need_legal(recipe: Recipe, width: int) -> None:
    """Refuse a plan that would be wrong; what does not go with columns that are still to be learned is refused then."""
    if width:
        recipe.make(width, 1)
        return
    with suppress(ParameterError, VectorError):
        recipe.make(SUPPOSED, 1)


def _width(dim: int | None, bound: BoundEmbedder | None) -> int:
    """Columns of the rows; 0 where the embedder has to learn first."""
    if bound is None:
        if dim is None:
            raise ParameterError(
                "dim is not given", hint="say how many columns the vectors have, or which embedder makes them"
            )
        return whole_number("dim", dim, 1, WIDEST)
    width = bound.embedder.dim if bound.record.fitted else 0
    if dim is not None and dim != width:
        wide = f"{width:,} columns" if width else "as many columns as it learns"
        raise ParameterError(f"dim is {dim!r}, and embedder {bound.record.text!r} gives {wide}", hint="leave dim out")
    return width
