"""A collection that starts empty, on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping

from nearkin.budgets import Budget, Optimize
from nearkin.building import make_metric, open_collection
from nearkin.collection import Collection
from nearkin.errors import NotSupportedError
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


def create(
    path: str | os.PathLike[str],
    *,
    dim: int,
    metric: str | Metric = "euclidean",
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
        Columns of the vectors (bytes, for packed bits).
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
    made, text = make_metric(metric, registry)
    width = whole_number("dim", dim, 1, WIDEST)
    if made.needs_fit:
        raise NotSupportedError(
            f"{made.name} is fitted to rows, and a new collection has none",
            hint="build it from rows: nearkin.build_folder(...) (nearkin build)",
        )
    budget = Budget.of(recall, memory, latency, optimize, fixed=plan is not None)
    recipe = Recipe(as_plan("flat" if plan is None else plan, search, registry), made, registry, settings.seed)
    recipe.make(width, 1)
    need_named(recipe, text, None)
    header = header_of(recipe, text, width, keep_vectors=True, budget=budget if budget.given else None)
    Folder.create(path, header).close()
    given = metric if isinstance(metric, Metric) else None
    return open_collection(path, metric=given, threads=threads, registry=registry)
