"""What a budget buys: the plan for vectors that there are, and the bytes of every plan for vectors that are still to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nearkin.budgets import Budget, Optimize, read_bytes
from nearkin.building import make_metric, unbuilt
from nearkin.candidates import Shape, candidates, is_exact, within
from nearkin.components import Part
from nearkin.errors import NotSupportedError, ParameterError
from nearkin.indexing import Recipe
from nearkin.metrics import Metric
from nearkin.plan_search import Progress
from nearkin.planning import Choice, chooser_of
from nearkin.plans import Plan
from nearkin.registry import Registry, default_registry
from nearkin.search_parameters import whole_number
from nearkin.settings import load_settings
from nearkin.vectors import OnBad


def plan(
    vectors: Any,
    *,
    metric: str | Metric = "euclidean",
    plan: str | Plan | None = None,
    recall: float | None = None,
    memory: int | str | None = None,
    latency: float | str | None = None,
    optimize: Optimize = "batch",
    queries: Any = None,
    k: int = 10,
    keep_vectors: bool = True,
    on_bad: OnBad = "fail",
    seconds: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Find the plan for a budget and explain it, and build nothing but samples.

    Plans that serve the metric and fit the memory are tried on a sample of the rows; the best of them, and variants of it, on a
    larger one. What a query takes over all rows follows from the growth between the two. `nearkin.build` with the same arguments
    does the same, builds the plan, sets its search parameters on all rows and shows the recall on queries that had no say.

    Parameters
    ----------
    vectors
        (n, dim) numbers, or packed bits (uint8) for a metric on bits.
    plan
        Try this plan only, to find its search parameters.
    metric, recall, memory, latency, optimize, queries, k, keep_vectors, on_bad, seconds, seed, threads, progress
        As for `nearkin.build`.

    Returns
    -------
    Choice
        The plan, what it is expected to give, everything that was tried, and how sure it is.

    Raises
    ------
    BudgetError
        No plan meets the budget; the message names the nearest that was found.
    ParameterError, VectorError, UnknownNameError, NotSupportedError
        As for `nearkin.build`.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(2_000, 8))
    >>> found = plan(rows, plan="ivf", recall=0.9)
    >>> found.plan, found.recall.mean >= 0.9
    ('ivf45', True)
    """
    budget = Budget.of(recall, memory, latency, optimize, fixed=plan is not None)
    if not budget.given:
        raise ParameterError("no budget was given", hint="pass recall=, memory= or latency=, such as recall=0.95")
    collection = unbuilt(vectors, metric, plan, on_bad=on_bad, seed=seed, threads=threads, registry=registry)
    chooser = chooser_of(
        collection.rows,
        collection.recipe,
        budget,
        k=k,
        queries=queries,
        keep_vectors=keep_vectors,
        threads=collection.threads,
        seconds=seconds,
        progress=progress,
    )
    return chooser.choose()


@dataclass(frozen=True)
class PredictedPlan:
    """What a plan would take.

    Attributes
    ----------
    plan
        With every number filled in.
    predicted
        Bytes of the index by component.
    exact
        Whether it finds every neighbour; of others the recall is not known before there are vectors.
    """

    plan: str
    predicted: Mapping[str, int]
    exact: bool

    @property
    def bytes(self) -> int:
        """Predicted bytes in all."""
        return sum(self.predicted.values())


def predicted_plans(
    rows: int,
    dim: int,
    *,
    metric: str | Metric = "euclidean",
    memory: int | str | None = None,
    registry: Registry | None = None,
) -> list[PredictedPlan]:
    """The bytes of every plan that serves a metric, before there are any vectors, the most promising plans first.

    Parameters
    ----------
    rows, dim
        Vectors that are to come, and their columns (bytes, for packed bits).
    memory
        Leave out plans that take more.

    Raises
    ------
    BudgetError
        None fits the memory; the message names the smallest.

    Examples
    --------
    >>> found = predicted_plans(10_000_000, 768, memory="8GB")
    >>> found[0].plan, found[0].bytes // 1_000_000
    ('flat,int8', 7680)
    """
    shape = Shape(whole_number("rows", rows, 1, 2**40), whole_number("dim", dim, 1, 2**20))
    registry = registry or default_registry()
    made, _ = make_metric(metric, registry)
    recipe = Recipe(Plan(Part("flat")), made, registry, load_settings().seed)
    found = candidates(recipe, shape)
    if not found:
        raise NotSupportedError(
            f"no plan is known for {made.name} and {shape.dim:,} columns", hint="see nearkin components for its rows"
        )
    fitting = within(found, None if memory is None else read_bytes(memory), shape)
    return [PredictedPlan(each.text, each.predicted, is_exact(each)) for each in fitting]
