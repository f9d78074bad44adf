"""What each plan gives and costs on one set of vectors, as data: a `TradeOff` a plan, and what can be read off all of them.

Nothing here measures (`nearkin.tradeoff_runs`) or draws (`nearkin.reporting`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nearkin.accuracy import Interval
from nearkin.measurement import Speed
from nearkin.plan_grid import LeftOut

STEADY = 1.5
"""Factor between two measurements of the same speed that no other program need explain."""


@dataclass(frozen=True)
class Setting:
    """A plan under one set of search parameters.

    Attributes
    ----------
    recall
        k@k against the exact answer, on as many queries as it says.
    usual
        Whether these are the parameters that the plan has by itself.
    """

    search: Mapping[str, int]
    recall: Interval
    speed: Speed
    usual: bool

    @property
    def text(self) -> str:
        """``nprobe=16, rerank=100``, or nothing."""
        return ", ".join(f"{name}={value}" for name, value in self.search.items())


@dataclass(frozen=True)
class TradeOff:
    """What a plan gives and costs, as measured; or the error that kept it from being measured.

    Attributes
    ----------
    asked, plan
        The plan as it was asked for, and with every number filled in.
    plugin
        The plugin that its index comes from.
    settings
        Along the search parameters, the least work first.
    predicted, allocated
        Bytes by component of the index, before and after building.
    reconstruction_error
        Mean over sampled rows of ||x - decode(encode x)||² / ||x - mean||², of the transform and the codec alone; None for packed
        bits and where it could not be computed.
    seconds
        Building and measuring together.
    """

    asked: str
    plan: str
    index: str
    codec: str
    refinement: str
    transform: str
    plugin: str
    rows: int
    float32_bytes: int
    settings: tuple[Setting, ...] = ()
    predicted: Mapping[str, int] | None = None
    allocated: Mapping[str, int] | None = None
    reconstruction_error: float | None = None
    train_seconds: float = 0.0
    build_seconds: float = 0.0
    seconds: float = 0.0
    error: str = ""

    @property
    def row_bytes(self) -> float:
        """Bytes a vector of the index; the copy of the rows that a collection keeps is not counted."""
        return sum((self.allocated or {}).values()) / self.rows

    @property
    def compression(self) -> float:
        """How many times smaller than the rows as float32 (or packed bits)."""
        total = sum((self.allocated or {}).values())
        return self.float32_bytes / total if total else 0.0

    @property
    def prediction_error(self) -> float:
        """By what share the allocated bytes differ from the predicted ones."""
        predicted, allocated = sum((self.predicted or {}).values()), sum((self.allocated or {}).values())
        return allocated / predicted - 1 if predicted else 0.0

    @property
    def label(self) -> str:
        """The plan, and what was asked for where another index took its place."""
        name = self.index.rpartition("/")[2]
        return self.plan if name in self.plan else f"{self.plan} (instead of {self.asked})"

    def shown(self, wanted: float) -> Setting:
        """The fastest setting whose recall is surely what is wanted; where none is, the one with the highest recall."""
        enough = [each for each in self.settings if each.recall.low >= wanted]
        if enough:
            return max(enough, key=lambda each: each.speed.batch_qps)
        return max(self.settings, key=lambda each: (each.recall.mean, each.speed.batch_qps))


@dataclass(frozen=True)
class Histogram:
    """Distances from queries, in bins of equal width shared by all three counts.

    Attributes
    ----------
    edges
        One more than there are bins.
    nearest, kth, random
        How many distances to the nearest row, to the k-th nearest, and to random rows are in each bin.
    contrast
        Median distance to a random row over median distance to the nearest; None where that is not positive.
    """

    edges: tuple[float, ...]
    nearest: tuple[int, ...]
    kth: tuple[int, ...]
    random: tuple[int, ...]
    contrast: float | None


@dataclass(frozen=True)
class TradeOffs:
    """Every plan on one set of vectors.

    Attributes
    ----------
    float32_row
        Bytes of a row as it came: float32, or packed bits.
    wanted
        Recall that a recommended plan must surely have.
    held_out
        Whether the queries were rows held out of the data; otherwise they were given.
    ties
        Whether rows are as far as the k-th neighbour of some query, and count as right.
    rows
        One a plan, in the order they were measured.
    limit, seconds
        Time allowed, and time taken.
    drift
        Queries a second of the exact plan after all others were measured, over those before: how steady the machine was. None
        where nothing came between.
    """

    metric: str
    count: int
    dim: int
    k: int
    queries: int
    held_out: bool
    ties: bool
    wanted: float
    seed: int
    threads: int
    limit: float
    seconds: float
    float32_row: int
    rows: tuple[TradeOff, ...]
    left_out: tuple[LeftOut, ...]
    histogram: Histogram | None
    versions: Mapping[str, str]
    drift: float | None = None

    @property
    def steady(self) -> bool:
        """Whether the exact plan was about as fast at the end as at the start, so that speeds can be compared."""
        return self.drift is None or 1 / STEADY <= self.drift <= STEADY

    @property
    def measured(self) -> list[TradeOff]:
        """Rows without an error: the ones that are surely good enough first, the fastest first; then by recall."""
        good = [row for row in self.rows if not row.error]

        def order(row: TradeOff) -> tuple[bool, float]:
            shown = row.shown(self.wanted)
            enough = shown.recall.low >= self.wanted
            return not enough, -(shown.speed.batch_qps if enough else shown.recall.mean)

        return sorted(good, key=order)

    @property
    def failed(self) -> list[TradeOff]:
        """Rows with an error."""
        return [row for row in self.rows if row.error]

    @property
    def exact(self) -> TradeOff:
        """The exact plan, which is measured first."""
        return self.rows[0]

    def fastest_curve(self) -> list[tuple[TradeOff, Setting]]:
        """Settings that no other one beats in recall and in queries a second at once, by rising recall."""
        points = [(row, setting) for row in self.measured for setting in row.settings]
        return [points[at] for at in pareto([(s.recall.mean, s.speed.batch_qps) for _, s in points])]

    def smallest_curve(self) -> list[tuple[TradeOff, Setting]]:
        """Settings that no other one beats in recall and in bytes a vector at once, by rising recall."""
        points = [(row, max(row.settings, key=lambda each: each.recall.mean)) for row in self.measured]
        return [points[at] for at in pareto([(s.recall.mean, -row.row_bytes) for row, s in points])]


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Numbers of the points that no other one beats in both values, larger being better, by rising first value.

    Of equal points the first is kept.

    >>> pareto([(0.9, 5), (0.8, 4), (0.95, 1), (0.9, 3)])
    [0, 2]
    """
    kept: list[int] = []
    best = float("-inf")
    for at in sorted(range(len(points)), key=lambda at: (-points[at][0], -points[at][1], at)):
        if points[at][1] > best:
            kept.append(at)
            best = points[at][1]
    return kept[::-1]
