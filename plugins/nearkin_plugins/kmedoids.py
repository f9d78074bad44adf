"""k-medoids under any metric: FasterPAM on the whole matrix of costs, or on samples of more rows than that allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np

from nearkin.centroids import Clusterer, Ended, Partition, Task, need_stops
from nearkin.errors import MissingDependencyError, ParameterError, PluginContractError
from nearkin.kernels import Kernel
from nearkin.objectives import MetricSums, Objective, members_of
from nearkin.starts import plus_plus_rows
from nearkin.vectors import block_rows

MATRIX_BYTES = 400_000_000
FULL_ROWS = isqrt(MATRIX_BYTES // 4)
"""Rows, 10,000, whose costs between each other are kept in float32 as a whole; of more rows, samples are."""

SAMPLE = 4_000
"""Rows of a sample at least; 80 + 4 k where that is more (Schubert and Rousseeuw, 2021)."""

MEMBERS = 512
"""Rows of a cluster that are compared with each other to find those worth comparing with all of its rows."""
TRIED = 8
"""Rows of a larger cluster that are compared with all of its rows in one step."""
STEPS = 10
"""Steps over all rows, at most, after samples."""


class KMedoids(Clusterer):
    """Centroids are rows, the medoids, which make the sum of the metric's own distances least; any metric will do.

    Up to 10,000 rows the matrix of distances is computed (400 MB) and FasterPAM swaps medoids for other rows until no swap of one
    for another makes the sum less. Of more rows, some samples are treated so, and the medoids that are best for all rows are kept
    (CLARA); then each medoid moves to a better row of its cluster while there is one among some that are tried. Memory stays
    within that of the matrix. Rows of weight 0 are medoids only if there are too few others.

    Sources: L. Kaufman and P. Rousseeuw, "Finding Groups in Data" (1990), PAM and CLARA; E. Schubert and P. Rousseeuw, "Fast and
    eager k-medoids clustering" (2021), FasterPAM, as the package kmedoids has it.

    Parameters
    ----------
    max_iter
        Passes over the rows at most.
    init
        Where to start: ``"k-means++"`` by distances, ``"build"`` (PAM's own greedy start, slow for many clusters) or ``"random"``.
        Centroids that are given are replaced by the rows nearest to them.
    samples
        Of more than 10,000 rows.

    Raises
    ------
    ParameterError
        An option is out of range.
    MissingDependencyError
        The package kmedoids is not installed.

    Examples
    --------
    One row far off moves the mean to 22, and the medoid not at all:

    >>> from nearkin.metrics import Euclidean
    >>> found = KMedoids().fit(np.float32([[1], [2], [3], [4], [100]]), 1, objective=MetricSums(Euclidean()))
    >>> found.centroids.tolist(), found.medoids.tolist()
    ([[3.0]], [2])
    """

    name = "kmedoids"
    rules = ("medoid",)

    def __init__(self, max_iter: int = 100, init: str = "k-means++", samples: int = 5) -> None:
        need_stops(max_iter)
        if init not in INITS:
            raise ParameterError(f"init is {init!r}, one of {', '.join(INITS)} expected")
        if samples < 1:
            raise ParameterError(f"samples is {samples}, at least 1 expected")
        self.max_iter = max_iter
        self.init = init
        self.samples = samples

    def _fit(self, task: Task) -> Partition:
        need_kmedoids()
        weighted = np.flatnonzero(task.mass > 0)
        able = weighted if len(weighted) >= task.k else np.arange(len(task.vectors))
        start = None if task.start is None else _nearest_rows(task, able)
        if len(able) > FULL_ROWS:
            return self._of_many(task, able, start)
        found = self._swapped(task, able, task.mass[able], start, task.rng)
        labels, costs = _assigned(task, found.rows)
        history = found.before, _total(task, costs)
        return _partition(task, found.rows, labels, costs, history, found.ended, found.iterations)

    def _swapped(
        self, task: Task, able: np.ndarray, mass: np.ndarray, start: np.ndarray | None, rng: np.random.Generator
    ) -> _Swapped:
        """FasterPAM on some rows, from some of them or a start of its own.

        Parameters
        ----------
        able, mass
            Numbers of the rows and what each counts.
        start
            Numbers of k rows among them.
        """
        between = _matrix(task, able)
        if start is None:
            first = _distinct(INITS[self.init](between, mass, task.k, rng), task.k, len(able), rng)
        else:
            first = np.searchsorted(able, start)
        between *= mass[:, None].astype(np.float32)
        before = float(between[:, first].min(axis=1).sum(dtype=np.float64))
        if task.k == 1:  # there the library sums along the other side, which weights make another one
            return _Swapped(able[[between.sum(axis=0, dtype=np.float64).argmin()]], before, "converged", 1)
        import kmedoids

        # Its threads add up in any order, and the same seed is to give the same medoids.
        found = kmedoids.fasterpam(between, first.astype(np.uint64), max_iter=self.max_iter, n_cpu=1)
        ended: Ended = "converged" if found.n_iter < self.max_iter else "max_iter"
        return _Swapped(able[found.medoids.astype(np.int64)], before, ended, int(found.n_iter))

    def _of_many(self, task: Task, able: np.ndarray, start: np.ndarray | None) -> Partition:
        """Medoids of samples, judged by all rows, then moved within their clusters."""
        rng, size = task.rng, max(SAMPLE, 80 + 4 * task.k)
        best: _Judged | None = None if start is None else _judged(task, start)
        if size > FULL_ROWS and best is None:
            best = _judged(task, able[_distinct(_drawn_by_costs(task, able, rng), task.k, len(able), rng)])
        for trial in range(0 if size > FULL_ROWS else self.samples if start is None else 1):
            drawn = rng.choice(len(task.mass), size, p=task.mass / task.mass.sum())
            kept = np.empty(0, dtype=np.int64) if best is None else best.medoids
            rows, counts = np.unique(np.concatenate([drawn, kept]), return_counts=True)
            if len(rows) < task.k:
                rows, counts = _filled(rows, able, task.k, rng), np.ones(task.k, dtype=np.int64)
            first = start if trial == 0 else None
            judged = _judged(task, self._swapped(task, rows, counts.astype(np.float64), first, rng).rows)
            best = judged if best is None or judged.total < best.total else best
        assert best is not None
        return self._moved(task, best, rng)

    def _moved(self, task: Task, best: _Judged, rng: np.random.Generator) -> Partition:
        history, steps = [best.total], 0
        ended: Ended = "max_iter"
        for _ in range(min(self.max_iter, STEPS)):
            steps += 1
            judged = _judged(task, _better_rows(task, best, rng))
            if judged.total >= best.total:
                ended = "converged"
                break
            best = judged
            history.append(best.total)
        return _partition(task, best.medoids, best.labels, best.costs, tuple(history), ended, steps)


@dataclass(frozen=True)
class _Swapped:
    """Numbers of the medoids of some rows, the sum that they started from, why swapping ended, and after how many passes."""

    rows: np.ndarray
    before: float
    ended: Ended
    iterations: int


@dataclass(frozen=True)
class _Judged:
    """Medoids, and what all rows make of them."""

    medoids: np.ndarray
    labels: np.ndarray
    costs: np.ndarray
    total: float


def need_kmedoids() -> None:
    """Raise MissingDependencyError, with the pip command, if the package kmedoids is not installed."""
    try:
        import kmedoids  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "clusterer 'kmedoids' needs the package kmedoids", hint='pip install "nearkin[medoids]"'
        ) from error


def _partition(
    task: Task,
    medoids: np.ndarray,
    labels: np.ndarray,
    costs: np.ndarray,
    history: tuple[float, ...],
    ended: Ended,
    iterations: int,
) -> Partition:
    centroids = np.array(task.vectors[medoids])
    total = _total(task, costs)
    return Partition(centroids, labels, total, history, ended=ended, medoids=medoids, iterations=iterations)


def _total(task: Task, costs: np.ndarray) -> float:
    return float((task.mass * costs).sum())


def _judged(task: Task, medoids: np.ndarray) -> _Judged:
    labels, costs = _assigned(task, medoids)
    return _Judged(medoids, labels, costs, _total(task, costs))


def _kernel(task: Task) -> Kernel | None:
    """The metric's formula, compiled, where it is what costs are."""
    objective = task.objective
    if not isinstance(objective, MetricSums) or objective.metric.reduces_to is not None:
        return None
    return objective.metric.space.compiled


def _costs(task: Task, rows: np.ndarray, medoids: np.ndarray) -> np.ndarray:
    """(n, m) costs of rows, each with each of some medoids; NaN, which is neither near nor far, is an error."""
    kernel = _kernel(task)
    values = task.objective.costs(rows, medoids) if kernel is None else kernel.pairwise(rows, medoids, task.threads)
    if np.isnan(values).any():
        raise PluginContractError(
            f"the metric gave NaN for {int(np.isnan(values).sum()):,} of {values.size:,} pairs of rows",
            hint="return a number for every pair of rows that it does not refuse",
        )
    return values


def _assigned(task: Task, medoids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) nearest medoid of each row and (n,) float64 cost."""
    centroids, kernel = task.vectors[medoids], _kernel(task)
    if kernel is None:
        return task.objective.assign(task.vectors, centroids)
    nearest, costs = kernel.scan(task.vectors, centroids, 1, threads=task.threads)
    return np.maximum(nearest[:, 0], 0), costs[:, 0].astype(np.float64)


def _matrix(task: Task, able: np.ndarray) -> np.ndarray:
    """(m, m) float32 costs between some rows: of row i, with medoid j."""
    rows = task.vectors if len(able) == len(task.vectors) else task.vectors[able]
    between = np.empty((len(rows), len(rows)), dtype=np.float32)
    step = block_rows(8 * len(rows))
    for start in range(0, len(rows), step):
        between[start : start + step] = _costs(task, rows[start : start + step], rows)
    np.fill_diagonal(between, 0)
    return between


class _Between(Objective):
    """Costs that are known: rows are their own numbers."""

    rule = "medoid"

    def __init__(self, between: np.ndarray) -> None:
        self.between = between

    def costs(self, vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        return self.between[:, centroids[:, 0]].astype(np.float64)

    def centres(self, vectors: np.ndarray, labels: np.ndarray, mass: np.ndarray, old: np.ndarray) -> np.ndarray:
        return old


def _plus_plus(between: np.ndarray, mass: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    numbers = np.arange(len(between))[:, None]
    if not mass.any():
        mass = np.ones(len(mass))
    return plus_plus_rows(Task(numbers, k, _Between(between), mass), rng)


def _build(between: np.ndarray, mass: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    import kmedoids

    return np.asarray(kmedoids.pam_build(between, k).medoids.astype(np.int64))


def _random(between: np.ndarray, mass: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(len(between), k, replace=False)


INITS: Mapping[str, Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "k-means++": _plus_plus,
    "build": _build,
    "random": _random,
}


def _drawn_by_costs(task: Task, able: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return plus_plus_rows(replace(task, vectors=task.vectors[able], mass=task.mass[able]), rng)


def _distinct(chosen: np.ndarray, k: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """k numbers below n, each once: others take the places of repeated and of missing ones."""
    once = np.unique(chosen)
    if len(once) == k:
        return chosen
    return np.concatenate([once, rng.choice(np.setdiff1d(np.arange(n), once), k - len(once), replace=False)])


def _filled(rows: np.ndarray, able: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k row numbers, ascending: these, and others of those that may be medoids."""
    others = np.setdiff1d(able, rows)
    return np.sort(np.concatenate([rows, rng.choice(others, k - len(rows), replace=False)]))


def _nearest_rows(task: Task, able: np.ndarray) -> np.ndarray:
    """Ascending numbers of the rows nearest to the given start, each once."""
    assert task.start is not None
    least = np.full(task.k, np.inf)
    nearest = np.zeros(task.k, dtype=np.int64)
    step = block_rows(8 * max(task.k, task.vectors.shape[1]))
    for start in range(0, len(able), step):
        values = _costs(task, task.vectors[able[start : start + step]], task.start)
        first = values.argmin(axis=0)
        here = values[first, np.arange(task.k)]
        nearer = here < least
        least[nearer], nearest[nearer] = here[nearer], start + first[nearer]
    return np.sort(able[_distinct(nearest, task.k, len(able), task.rng)])


def _better_rows(task: Task, now: _Judged, rng: np.random.Generator) -> np.ndarray:
    """For each cluster, the row with the smallest sum of costs among its medoid and some that are promising."""
    moved = now.medoids.copy()
    for cluster, members in members_of(now.labels):
        members = members[task.mass[members] > 0]
        if not members.size:
            continue
        few = members if len(members) <= MEMBERS else np.sort(rng.choice(members, MEMBERS, replace=False))
        sums = _sums(task, few, few)
        tried = few[[sums.argmin()]] if few is members else few[np.argsort(sums, kind="stable")[:TRIED]]
        tried = np.concatenate([now.medoids[[cluster]], tried])
        moved[cluster] = tried[_sums(task, members, tried).argmin()]
    return moved


def _sums(task: Task, members: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """(m,) weighted sums of the costs of members with each of the rows that are tried."""
    candidates = task.vectors[tried]
    total = np.zeros(len(tried))
    step = block_rows(8 * max(len(tried), task.vectors.shape[1]))
    for start in range(0, len(members), step):
        some = members[start : start + step]
        total += task.mass[some] @ np.asarray(_costs(task, task.vectors[some], candidates), dtype=np.float64)
    return total
