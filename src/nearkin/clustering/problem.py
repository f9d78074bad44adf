"""What `nearkin.cluster` is asked for, checked: rows, a metric, and a clusterer that the metric allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from nearkin.building import make_metric
from nearkin.centroids import Clusterer, Partition, checked_mass
from nearkin.components import Part
from nearkin.errors import NotSupportedError, ParameterError, PluginContractError, VectorError
from nearkin.hooks import ClustererSpec
from nearkin.metrics import CentroidRule, Metric
from nearkin.objectives import ABSOLUTE, DIRECTIONS, SQUARES, MetricSums, Objective
from nearkin.registry import Registry
from nearkin.running_centroids import RUNNING_RULES
from nearkin.search_parameters import whole_number
from nearkin.settings import load_settings
from nearkin.vectors import as_vectors, name_rows

ITERATIONS = 300
"""At most, where the user names none and the method counts them; indexes are content with fewer."""

FEW_ROWS = 10_000
"""Up to so many rows, several starts cost little."""
STARTS_OF_FEW = 10

USUAL_METRIC: Mapping[CentroidRule, str] = {
    "mean": "euclidean",
    "direction": "cosine",
    "median": "manhattan",
    "medoid": "euclidean",
}
"""The metric of a method that is named without one, by the kind of its centroids."""

USUAL_METHOD: Mapping[CentroidRule, str] = {
    "mean": "lloyd",
    "direction": "spherical",
    "median": "kmedians",
    "medoid": "kmedoids",
}
"""The method that is named for a kind of centroids."""

SHARE_OF_SPREAD = 1e-2
"""Of a column's standard deviation, that neighbouring numbers of float32 may lie apart before it is trouble."""

INIT_NAMES = {"kmeans++": "k-means++", "forgy": "random", "random-partition": "partition", "uniform": "box"}
"""Other names of starts."""


@dataclass(frozen=True, eq=False)
class Approach:
    """How rows are to be clustered, in memory or in a file: all but the rows, their weights and the number of clusters.

    Attributes
    ----------
    clusterer, method
        What finds the centroids, and how it can be asked for again.
    metric, metric_name
        Fitted once rows are there, and how it can be asked for again.
    objective
        What is made least.
    init
        (k, dim) centroids to start from, as given; None to choose them.
    n_init
        Starts of which the best is kept, as given.
    seed, threads
        Of everything random, and that may be used.
    """

    clusterer: Clusterer
    method: str
    metric: Metric
    metric_name: str
    objective: Objective
    init: np.ndarray | None
    n_init: int | None
    seed: int
    threads: int

    def problem(self, vectors: Any, weights: Any) -> Problem:
        """The problem of clustering these rows, for which the metric is fitted."""
        rows = _checked(vectors, self.metric)
        mass = None if weights is None else checked_mass(weights, len(rows))
        problem = self.prepared_problem(_prepared(rows, self.metric), mass)
        return replace(problem, rounded=_rounded(vectors, rows))

    def prepared_problem(self, prepared: np.ndarray, weights: np.ndarray | None) -> Problem:
        """The same for rows that the metric, fitted, has prepared, and checked weights."""
        return Problem(self, prepared, weights, self.start(), self.tries(len(prepared)))

    def start(self) -> np.ndarray | None:
        """Centroids to start from, prepared by the metric, which must be fitted."""
        if self.init is None:
            return None
        return self.metric.prepare(as_vectors(self._seen(self.init), dtype=self.metric.dtype, what="init"))

    def _seen(self, init: np.ndarray) -> np.ndarray:
        """0 for NaN in columns that the metric does not look at: it gives centroids that have NaN there, and takes them back."""
        if init.ndim != 2 or not init.size or init.dtype.kind != "f" or not np.isnan(init).any():
            return init
        with np.errstate(all="ignore"):  # a row that the metric refuses tells as much
            unseen = np.isnan(self.metric.unprepare(self.metric.prepare(np.ones((1, init.shape[1]), dtype=np.float32))))
        return np.where(np.isnan(init) & unseen, 0.0, init)

    def as_distances(self, costs: np.ndarray) -> np.ndarray:
        """Costs as distances by the metric: those of means and directions are values of its space, others are distances already."""
        return self.metric.finish(costs) if self.objective.rule in RUNNING_RULES else costs

    def tries(self, n: int) -> int:
        """Starts of which the best is kept, for so many rows."""
        if self.init is not None:
            return 1
        return self.n_init or (STARTS_OF_FEW if n <= FEW_ROWS else 1)


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows to be clustered, and how: all but the number of clusters.

    Attributes
    ----------
    approach
        How.
    prepared
        (n, dim) rows, prepared by the metric.
    weights
        (n,) weight of each row; None where none were given.
    start
        (k, dim) centroids to start from, prepared; None to choose them.
    tries
        Starts of which the best is kept.
    rounded
        Columns that were given with more digits than float32 has, and need them: rounding is no small part of their spread.
    """

    approach: Approach
    prepared: np.ndarray
    weights: np.ndarray | None
    start: np.ndarray | None
    tries: int
    rounded: tuple[int, ...] = ()

    @property
    def metric(self) -> Metric:
        """Fitted."""
        return self.approach.metric

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.approach.seed

    @property
    def threads(self) -> int:
        """That may be used."""
        return self.approach.threads

    @property
    def mass(self) -> np.ndarray:
        """(n,) float64 weight of each row."""
        return np.ones(len(self.prepared)) if self.weights is None else self.weights

    def solve(self, k: int) -> Partition:
        """The best of the tries."""
        return self._best(k, self.seed, self.start)

    def solve_anew(self, k: int, run: int) -> Partition:
        """The best of the tries of another run, whose starts are its own even where centroids to start from were given."""
        return self._best(k, derived_seed(self.seed, 0, run) if run else self.seed, None)

    def _best(self, k: int, seed: int, start: np.ndarray | None) -> Partition:
        how = self.approach

        def fitted(trial: int) -> Partition:
            return how.clusterer.fit(
                self.prepared,
                k,
                objective=how.objective,
                seed=derived_seed(seed, trial) if trial else seed,
                weights=self.weights,
                start=start,
                threads=how.threads,
            )

        return best_of(map(fitted, range(self.tries)))


def derived_seed(seed: int, *which: int) -> int:
    """A seed for one start of several: those of neighbouring seeds have none in common, as seed + 1, seed + 2, ... would.

    >>> len({derived_seed(seed, trial) for seed in range(10) for trial in range(1, 10)})
    90
    """
    return int(np.random.SeedSequence([seed, *which]).generate_state(1)[0])


def best_of(found: Iterable[Partition]) -> Partition:
    """The one whose clusterer made the most of what it makes less: the inertia, unless rows may belong to several clusters."""
    return min(found, key=_made_less)


def _made_less(found: Partition) -> float:
    return found.history[-1] if found.memberships is not None and found.history else found.inertia


def approach_of(
    *,
    method: str,
    registry: Registry,
    init: str | np.ndarray | None = None,
    metric: str | Metric | None = None,
    n_init: int | None = None,
    max_iter: int | None = None,
    tol: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
) -> Approach:
    """How the arguments of `nearkin.cluster` want rows to be clustered; parameters and errors are described there."""
    settings = load_settings({"seed": seed, "threads": threads})
    start = None if init is None or isinstance(init, str) else np.asarray(init)
    options = {"init": init if isinstance(init, str) else None, "max_iter": max_iter, "tol": tol}
    clusterer, name = make_clusterer(method, options, registry)
    made, metric_name = make_metric(metric or USUAL_METRIC[clusterer.rules[0]], registry)
    objective = objective_of(made, clusterer, registry)
    if n_init is not None:
        n_init = whole_number("n_init", n_init, 1)
    return Approach(clusterer, name, made, metric_name, objective, start, n_init, settings.seed, settings.cores)


def problem_of(vectors: Any, *, weights: Any = None, **how: Any) -> Problem:
    """The problem that the arguments of `nearkin.cluster` pose: rows, weights, and what `approach_of` takes."""
    return approach_of(**how).problem(vectors, weights)


def make_clusterer(method: str, options: Mapping[str, Any], registry: Registry) -> tuple[Clusterer, str]:
    """The clusterer that is meant, with options beside those in its name, and its whole name.

    Raises
    ------
    ParameterError
        The method has no such option.
    """
    if not isinstance(method, str):
        raise ParameterError(f"method is a {type(method).__name__}, the name of a clusterer expected")
    part = registry.parse("clusterer", method)
    spec = registry.resolve("clusterer", part.name)
    known = {each.name for each in fields(spec.params)} if spec.params else set()
    given = {name: value for name, value in options.items() if value is not None}
    if "init" in given:
        given["init"] = INIT_NAMES.get(given["init"].lower(), given["init"].lower())
    for name in given:
        if name not in known:
            raise ParameterError(
                f"method {part.name!r} has no {name}", hint=f"its options are {', '.join(sorted(known)) or 'none'}"
            )
    if "max_iter" in known and "max_iter" not in part.options:
        given.setdefault("max_iter", ITERATIONS)
    whole = Part(part.name, {**part.options, **given})
    made = registry.make("clusterer", str(whole))
    if not isinstance(made, Clusterer):
        raise PluginContractError(
            f"clusterer {part.name!r} was made as a {type(made).__name__}, a nearkin.Clusterer expected"
        )
    return made, str(whole)


def objective_of(metric: Metric, clusterer: Clusterer, registry: Registry) -> Objective:
    """What a clusterer makes least under a metric.

    Raises
    ------
    NotSupportedError
        The clusterer finds no centroids that are right under the metric.
    """
    if metric.centroid_rule in clusterer.rules:
        return objective_by_rule(metric)
    if not {"non-negative", "identity"} <= metric.axioms:
        raise NotSupportedError(
            f"metric {metric.name!r} is no distance, since a row need not be nearest to itself; nothing can be clustered by it",
            hint=f"use metric={USUAL_METRIC[clusterer.rules[0]]!r}",
        )
    if "medoid" in clusterer.rules:
        return MetricSums(metric)
    wanted = metric.centroid_rule or "medoid"
    raise NotSupportedError(
        f"method {clusterer.name!r} finds centroids by {' or '.join(clusterer.rules)}, which is not right under "
        f"{metric.name!r}: its centroids are {_KINDS[wanted]}",
        hint=f"use method={_method_for(wanted, registry)!r}, or metric={USUAL_METRIC[clusterer.rules[0]]!r}",
    )


def objective_by_rule(metric: Metric) -> Objective:
    """What the metric's own rule of centroids makes least; the sum of distances where it has none."""
    if metric.centroid_rule is None or metric.centroid_rule == "medoid":
        return MetricSums(metric)
    return {"mean": SQUARES, "direction": DIRECTIONS, "median": ABSOLUTE}[metric.centroid_rule]


_KINDS: Mapping[CentroidRule, str] = {
    "mean": "means",
    "direction": "directions of length one",
    "median": "medians",
    "medoid": "rows (medoids)",
}


def _method_for(rule: CentroidRule, registry: Registry) -> str:
    """A method whose centroids are of a kind: `lloyd`, else the one that is named for it, else the first that can."""
    able = [spec.name for spec in registry.specs("clusterer") if isinstance(spec, ClustererSpec) and rule in spec.rules]
    if not able or "lloyd" in able:
        return "lloyd"
    named = [name for name in able if USUAL_METHOD.get(rule) == name]
    return (named or able)[0]


def _checked(vectors: Any, metric: Metric) -> np.ndarray:
    rows = as_vectors(vectors, dtype=metric.dtype, longest=metric.longest_row, remedy="remove them")
    if not len(rows):
        raise VectorError("there are no rows to cluster", hint="pass at least one vector")
    return rows


def _prepared(rows: np.ndarray, metric: Metric) -> np.ndarray:
    if metric.needs_fit:
        metric.fit_for_centroids(rows)
    refused = np.flatnonzero(metric.refuses(rows)) if metric.refuses_rows else np.empty(0)
    if refused.size:
        raise VectorError(
            f"{metric.bad_row_reason}: {name_rows(refused, len(rows))}", hint="remove them, or take another metric"
        )
    return metric.prepare(rows)


def _rounded(given: Any, rows: np.ndarray) -> tuple[int, ...]:
    """Columns of float32 rows that lie so far from 0 that rounding has moved them by a share of their spread."""
    if rows.dtype != np.float32 or getattr(given, "dtype", None) == rows.dtype:
        return ()
    spread = rows.std(axis=0, dtype=np.float64)
    step = np.spacing(np.abs(rows).max(axis=0)).astype(np.float64)
    return tuple(np.flatnonzero((spread > 0) & (step > SHARE_OF_SPREAD * spread)).tolist())
