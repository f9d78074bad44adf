"""Recall, speed and memory of a plan, measured on the user's own rows.

Truth is the exact answer under the metric; queries are the user's, or rows held out before building, which the index never
sees. Every recall comes with an interval and says on how many queries it stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from nearkin.building import build
from nearkin.collection import Collection
from nearkin.errors import ParameterError, VectorError
from nearkin.indexes import whole_number
from nearkin.metrics import Metric
from nearkin.plans import Plan
from nearkin.registry import Registry
from nearkin.vectors import as_vectors, block_rows

CONFIDENCE_Z = 1.959964
"""Normal quantile of a two-sided 95 % interval."""

CAUTION = 2
"""Queries that are all or nothing, counted besides those that were asked when the variance between queries is estimated."""

TIE_TOLERANCE = 1e-4
"""A row counts as a neighbour if it is no farther than the k-th one by this share (distances are float32)."""


@dataclass(frozen=True)
class Interval:
    """A mean over queries, with a 95 % interval.

    >>> print(Interval.of(np.array([1.0, 1.0, 0.8, 0.9])))
    0.925 (95 % interval 0.568 to 0.999, 4 queries)
    """

    mean: float
    low: float
    high: float
    queries: int

    @classmethod
    def of(cls, values: np.ndarray) -> Interval:
        """Wilson's interval with continuity correction for a mean of per-query shares in [0, 1].

        The effective number of trials is n m (1 - m) / s², with m the mean and s² the variance between queries: n where each
        query is all or nothing, more where queries agree. s² counts `CAUTION` more queries that are all or nothing, since few
        queries seldom show how much queries can differ; where all are equal there are n trials, so the interval never shrinks
        to a point. On simulated recalls from 20 queries on it holds the true mean in 93 to 99 of 100 runs, and in 91 in the
        worst case, 200 queries of which a few miss nearly everything.

        Sources: E. B. Wilson (1927); R. G. Newcombe, "Two-sided confidence intervals for the single proportion" (1998);
        L. Kish, "Survey sampling" (1965) for the design effect.
        """
        n = len(values)
        if not n:
            raise VectorError("there are no queries to measure with", hint="pass at least one")
        mean = float(values.mean())
        trials, spread = float(n), mean * (1 - mean)
        if np.ptp(values) > 1e-9:  # a variance below that is rounding
            trials = n * spread * (n + CAUTION) / (n * float(values.var()) + CAUTION * spread)
        return cls(mean, _low_end(mean, trials), 1.0 - _low_end(1.0 - mean, trials), n)

    def __str__(self) -> str:
        return f"{self.mean:.3f} (95 % interval {self.low:.3f} to {self.high:.3f}, {self.queries:,} queries)"


def _low_end(mean: float, trials: float) -> float:
    """Lower end of Wilson's interval with continuity correction; 0 is its own end."""
    if mean <= 0:
        return 0.0
    z2 = CONFIDENCE_Z**2
    root = z2 - 2 - 1 / trials + 4 * mean * (trials * (1 - mean) + 1)
    return min(mean, max(0.0, (2 * trials * mean + z2 - 1 - CONFIDENCE_Z * sqrt(max(0.0, root))) / (2 * (trials + z2))))


class Truth(NamedTuple):
    """Exact neighbours: (nq, k) positions and distances."""

    positions: np.ndarray
    distances: np.ndarray


def exact_neighbours(
    vectors: Any,
    queries: Any,
    *,
    metric: str | Metric = "euclidean",
    k: int = 10,
    threads: int | None = None,
    registry: Registry | None = None,
) -> Truth:
    """The exact k nearest rows of each query, by the flat index.

    >>> exact_neighbours([[0.0], [1.0], [5.0]], [[0.9]], k=2).positions.tolist()
    [[1, 0]]
    """
    with build(vectors, metric=metric, plan="flat", threads=threads, registry=registry) as flat:
        found = flat.search(queries, k=min(whole_number("k", k, 1), len(flat)))
    return Truth(found.positions, found.distances)


def recall(positions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Per query, the share of its k true neighbours that were found (k@k, by position; padding is no neighbour).

    >>> recall(np.array([[3, 1]]), np.array([[1, 2]])).tolist()
    [0.5]
    """
    if np.ndim(positions) != 2 or np.ndim(truth) != 2 or len(positions) != len(truth):
        raise ParameterError(
            f"positions and truth have shapes {np.shape(positions)} and {np.shape(truth)}, (queries, k) expected of both"
        )
    found = np.empty(len(truth), dtype=np.int64)
    step = block_rows(positions.shape[1] * truth.shape[1])
    for start in range(0, len(truth), step):
        wanted, given = truth[start : start + step, :, None], positions[start : start + step, None, :]
        found[start : start + step] = ((wanted == given) & (wanted >= 0)).any(axis=2).sum(axis=1)
    return np.asarray(found / np.maximum(1, (truth >= 0).sum(axis=1)))


def tie_recall(true_distances_of_found: np.ndarray, truth_distances: np.ndarray) -> np.ndarray:
    """Per query, the share of the k answers that are no farther than the k-th true neighbour.

    Rows tied with the k-th neighbour are all right answers; plain recall counts only those that the truth happens to name.

    Parameters
    ----------
    true_distances_of_found
        (nq, k) exact distances of the rows found, +inf for padding.

    Examples
    --------
    >>> tie_recall(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]])).tolist()
    [1.0]
    """
    last = truth_distances.max(axis=1, keepdims=True, initial=-np.inf, where=np.isfinite(truth_distances))
    allowed = last + TIE_TOLERANCE * np.abs(last) + 1e-9
    wanted = np.maximum(1, np.isfinite(truth_distances).sum(axis=1))
    return np.asarray(np.minimum(1.0, (true_distances_of_found <= allowed).sum(axis=1) / wanted))


class HeldOut(NamedTuple):
    """Rows split into those to index and those to ask with."""

    vectors: np.ndarray
    queries: np.ndarray
    kept: np.ndarray
    """Row numbers of `vectors` in the input."""


def hold_out(vectors: Any, count: int = 1000, *, seed: int = 0) -> HeldOut:
    """Take random rows out to serve as queries; at most half of the rows.

    Raises
    ------
    VectorError
        Fewer than two rows, or rows with NaN or infinite values.
    ParameterError
        `count` is below 1.

    >>> split = hold_out(np.arange(10.0)[:, None], 3)
    >>> len(split.vectors), len(split.queries)
    (7, 3)
    """
    count = whole_number("the number of queries held out", count, 1)
    matrix = as_vectors(vectors, dtype="bits" if getattr(vectors, "dtype", None) == np.uint8 else "float32")
    if len(matrix) < 2:
        raise VectorError(f"{len(matrix)} rows cannot be split into rows and queries", hint="pass queries=")
    rng = np.random.default_rng(whole_number("seed", seed, 0, 2**63))
    chosen = rng.choice(len(matrix), min(count, len(matrix) // 2), replace=False)
    kept = np.setdiff1d(np.arange(len(matrix)), chosen)
    return HeldOut(np.ascontiguousarray(matrix[kept]), np.ascontiguousarray(matrix[np.sort(chosen)]), kept)


@dataclass(frozen=True)
class Speed:
    """How fast searches are: whole batches, and one query at a time."""

    batch_qps: float
    p50_us: float
    p95_us: float
    p99_us: float


def measure_speed(
    search: Callable[[np.ndarray], Any], queries: np.ndarray, *, repeats: int = 5, singles: int = 300
) -> Speed:
    """Time a search, after a warm-up: the median of `repeats` batches, and quantiles over `singles` single queries."""
    search(queries)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        search(queries)
        seconds.append(time.perf_counter() - start)
    one_at_a_time = []
    for turn in range(singles + 10):
        query = queries[turn % len(queries)][None, :]
        start = time.perf_counter()
        search(query)
        one_at_a_time.append(time.perf_counter() - start)
    p50, p95, p99 = (float(each) * 1e6 for each in np.quantile(one_at_a_time[10:], [0.5, 0.95, 0.99]))
    return Speed(len(queries) / float(np.median(seconds)), p50, p95, p99)


@dataclass(frozen=True)
class Measurement:
    """What a plan gives and costs, as measured.

    Attributes
    ----------
    recall
        k@k against the exact answer.
    tie_recall
        The same with ties of the k-th neighbour counted as right.
    predicted, allocated
        Bytes by component of the index, before and after building.
    float32_bytes
        What the rows take as plain float32 (or packed bits).
    held_out
        Whether the queries were rows held out of the data; otherwise they were given.
    """

    plan: str
    metric: str
    rows: int
    dim: int
    k: int
    search: Mapping[str, int]
    recall: Interval
    tie_recall: Interval
    speed: Speed
    train_seconds: float
    build_seconds: float
    predicted: Mapping[str, int]
    allocated: Mapping[str, int]
    float32_bytes: int
    threads: int
    held_out: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def measure(
    vectors: Any,
    *,
    metric: str | Metric = "euclidean",
    plan: str | Plan = "flat",
    queries: Any = None,
    k: int = 10,
    search: Mapping[str, int] | None = None,
    queries_held_out: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    registry: Registry | None = None,
) -> Measurement:
    """Build a plan and measure it.

    Parameters
    ----------
    queries
        The user's queries; left out, `queries_held_out` rows are taken out of `vectors` before building.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(400, 8))
    >>> measure(rows, plan="ivf4", search={"nprobe": 4}, queries_held_out=50).recall.mean
    1.0
    """
    held_out = queries is None
    if held_out:
        vectors, queries, _ = hold_out(vectors, queries_held_out, seed=seed)
        vectors.flags.writeable = False  # nobody else has them, so that building needs no copy
    collection = build(vectors, metric=metric, plan=plan, search=search, seed=seed, threads=threads, registry=registry)
    return measure_collection(collection, queries, k=k, held_out=held_out)


def measure_collection(collection: Collection, queries: Any, *, k: int = 10, held_out: bool = False) -> Measurement:
    """Measure a collection that keeps its rows, with queries it does not contain."""
    asked = as_vectors(queries, dim=collection.dim, dtype=collection.metric.dtype, what="queries")
    if not len(asked):
        raise VectorError("there are no queries to measure with", hint="pass at least one")
    k = min(whole_number("k", k, 1), len(collection))
    truth = collection.exact_search(asked, k)
    found = collection.search(asked, k)
    return Measurement(
        plan=collection.plan,
        metric=collection.metric_text,
        rows=len(collection),
        dim=collection.dim,
        k=k,
        search=collection.search_defaults,
        recall=Interval.of(recall(found.positions, truth.positions)),
        tie_recall=Interval.of(
            tie_recall(collection.true_distances(asked, found.positions), truth.distances.astype(np.float64))
        ),
        speed=measure_speed(lambda batch: collection.search(batch, k), asked),
        train_seconds=collection.timings.train,
        build_seconds=collection.timings.total,
        predicted=collection.predicted_bytes(),
        allocated=collection.allocated_bytes(),
        float32_bytes=len(collection) * collection.dim * (4 if collection.metric.dtype == "float32" else 1),
        threads=collection.threads,
        held_out=held_out,
    )
