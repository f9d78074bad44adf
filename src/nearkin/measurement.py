"""Recall, speed and memory of a plan, measured on the user's own rows.

Truth is the exact answer under the metric; queries are the user's, or rows held out before building, which the index never
sees. Every recall comes with an interval and says on how many queries it stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from nearkin.accuracy import Interval
from nearkin.building import build
from nearkin.collection import Collection
from nearkin.errors import VectorError
from nearkin.memory_accounting import float32_bytes
from nearkin.metrics import Metric
from nearkin.plans import Plan
from nearkin.quality import Quality
from nearkin.questions import Questions
from nearkin.registry import Registry
from nearkin.resident_memory import resident_bytes, watch_peak
from nearkin.search_parameters import whole_number
from nearkin.vectors import as_vectors


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
    quality
        Recall in its several senses with intervals, distances, order, and the recall of each query.
    predicted, allocated
        Bytes by component of the index, before and after building.
    kept
        Bytes by component of what a collection keeps besides: rows, ids, tombstones, metadata.
    resident_bytes, peak_bytes
        What the whole process takes after building, and the most while building; None where that is not known. The peak counts
        from the start of the process where `peak_since_start`.
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
    quality: Quality
    speed: Speed
    train_seconds: float
    build_seconds: float
    predicted: Mapping[str, int]
    allocated: Mapping[str, int]
    float32_bytes: int
    kept: Mapping[str, int]
    threads: int
    held_out: bool
    resident_bytes: int | None = None
    peak_bytes: int | None = None
    peak_since_start: bool = False

    @property
    def recall(self) -> Interval:
        """k@k against the exact answer."""
        return self.quality.recall

    @property
    def tie_recall(self) -> Interval:
        """The same with ties of the k-th neighbour counted as right."""
        return self.quality.tie_recall

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with both recalls in the first place too."""
        facts = asdict(self)
        facts["quality"]["recalls"] = list(self.quality.recalls)
        return {**facts, "recall": asdict(self.recall), "tie_recall": asdict(self.tie_recall)}


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
    with watch_peak() as peak:
        collection = build(
            vectors, metric=metric, plan=plan, search=search, seed=seed, threads=threads, registry=registry
        )
    resident = resident_bytes()
    found = measure_collection(collection, queries, k=k, held_out=held_out)
    return replace(
        found,
        resident_bytes=resident,
        peak_bytes=peak.bytes,
        peak_since_start=peak.since_start and peak.bytes is not None,
    )


def measure_collection(collection: Collection, queries: Any, *, k: int = 10, held_out: bool = False) -> Measurement:
    """Measure a collection that keeps its rows, with queries it does not contain."""
    questions = Questions.of(collection, queries, k)
    k = questions.k
    return Measurement(
        plan=collection.plan,
        metric=collection.metric_text,
        rows=len(collection),
        dim=collection.dim,
        k=k,
        search=collection.search_defaults,
        quality=questions.quality(collection, {}),
        speed=measure_speed(lambda batch: collection.search(batch, k), questions.asked),
        train_seconds=collection.timings.train,
        build_seconds=collection.timings.total,
        predicted=collection.predicted_bytes(),
        allocated=collection.allocated_bytes(),
        float32_bytes=float32_bytes(len(collection), collection.dim, collection.metric.dtype),
        kept=collection.kept_bytes(),
        threads=collection.threads,
        held_out=held_out,
    )
