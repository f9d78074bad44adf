"""What benchmarks at equal recall share: who judges, the fastest setting that is good enough, turns, means and tables."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

import nearkin as nk
from nearkin.accuracy import recall, tie_recall

K = 10
TARGETS = (0.90, 0.95, 0.99)
PAUSE = 0.02
"""Seconds before each timed call: threads of an OpenMP pool spin for a while after their last work, and others would pay for it."""

FINALISTS = 3
"""Settings of a library that are timed beside nearkin for each target: the fastest in short runs."""

Setting = Mapping[str, Any]


class Judge:
    """Recall@10 of positions found for its queries, against the exact answer."""

    def __init__(self, vectors: np.ndarray, queries: np.ndarray, metric: str, threads: int) -> None:
        self.queries = queries
        self._flat = nk.build(vectors, metric=metric, plan="flat", threads=threads)
        self._truth = self._flat.search(queries, K)

    def recall(self, positions: np.ndarray) -> float:
        """Mean over queries, ties of the last neighbour counted as right."""
        found = np.asarray(positions, dtype=np.int64)
        shares = recall(found, self._truth.positions)
        unsure = np.flatnonzero(shares < 1)  # only there can ties matter
        if len(unsure):
            distances = self._flat.true_distances(self.queries[unsure], found[unsure])
            shares[unsure] = tie_recall(distances, self._truth.distances[unsure].astype(np.float64))
        return float(shares.mean())

    def plain_recall(self, positions: np.ndarray) -> float:
        """Mean over queries of the neighbours found that the exact answer names."""
        return float(recall(np.asarray(positions, dtype=np.int64), self._truth.positions).mean())


class Searcher(Protocol):
    """Something built that answers queries at settings."""

    label: str

    def ladders(self) -> list[list[Setting]]:
        """Settings to try, in each list from the least effort to the most."""

    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        """(nq, k) positions."""


@dataclass(frozen=True, eq=False)
class Point:
    """A searcher at a setting, and what it gave."""

    searcher: Searcher
    setting: Setting
    queries: np.ndarray
    recall: float
    seconds: float = float("inf")

    def __call__(self) -> np.ndarray:
        return self.searcher.search(self.queries, K, self.setting)

    def __str__(self) -> str:
        return " ".join([self.searcher.label, *(f"{name}={value}" for name, value in self.setting.items())])


def points_of(
    searcher: Searcher, judge: Judge, queries: np.ndarray, targets: Sequence[float], enough_time: Callable[[], bool]
) -> list[Point]:
    """The least effort on each ladder that reaches each target, timed shortly.

    `queries` are the judge's in the form that the searcher takes them.
    """
    chosen: list[Point] = []
    for ladder in searcher.ladders():
        if not enough_time():
            break
        judged: dict[int, float] = {}

        def recall_at(step: int, ladder: list[Setting] = ladder, judged: dict[int, float] = judged) -> float:
            if step not in judged:
                judged[step] = judge.recall(searcher.search(queries, K, ladder[step]))
            return judged[step]

        steps = {least_step(len(ladder), recall_at, target) for target in targets}
        chosen += [
            Point(searcher, ladder[step], queries, judged[step]) for step in sorted(s for s in steps if s is not None)
        ]
    if not chosen:
        return []
    seconds = paired_seconds(chosen, 2).min(axis=0)
    return [replace(each, seconds=float(took)) for each, took in zip(chosen, seconds, strict=True)]


def least_step(steps: int, recall_at: Callable[[int], float], target: float) -> int | None:
    """First step of a ladder whose recall reaches the target, found by halving, since more effort seldom finds less."""
    if not steps or not reaches(recall_at(steps - 1), target):
        return None
    low, high = 0, steps - 1
    while low < high:
        middle = (low + high) // 2
        if reaches(recall_at(middle), target):
            high = middle
        else:
            low = middle + 1
    return high


def reaches(recall: float, target: float) -> bool:
    """Whether a mean over queries is as high as the target, whatever its last digit is."""
    return recall >= target - 1e-9


def fastest(points: Iterable[Point], target: float, count: int = FINALISTS) -> list[Point]:
    """The fastest of the points whose recall reaches the target, fastest first."""
    return sorted((each for each in points if reaches(each.recall, target)), key=lambda each: each.seconds)[:count]


def paired_seconds(calls: Sequence[Callable[[], Any]], rounds: int, pause: float = PAUSE) -> np.ndarray:
    """(rounds, calls) seconds, each round in another order, after a warm-up."""
    rng = np.random.default_rng(0)
    for call in calls:
        call()
    seconds = np.empty((rounds, len(calls)))
    for turn in range(rounds):
        for side in rng.permutation(len(calls)):
            time.sleep(pause)
            start = time.perf_counter()
            calls[side]()
            seconds[turn, side] = time.perf_counter() - start
    return seconds


class Planned(NamedTuple):
    """What nearkin built for a target, and the seconds that planning and building took."""

    collection: nk.Collection
    seconds: float

    def search(self, queries: np.ndarray) -> np.ndarray:
        """(nq, 10) positions, at the search parameters that were chosen."""
        return self.collection.search(queries, K).positions

    @property
    def label(self) -> str:
        """The plan and its search parameters."""
        return " ".join(
            [
                self.collection.plan,
                *(f"{name}={value}" for name, value in self.collection.search_defaults.items()),
            ]
        )

    @property
    def bytes(self) -> int:
        """Bytes of the index; rows that the collection keeps beside it are not in it."""
        return sum(self.collection.allocated_bytes().values())


def planned(vectors: np.ndarray, metric: str, target: float, threads: int, **options: Any) -> Planned:
    """Build for a target."""
    start = time.perf_counter()
    collection = nk.build(vectors, metric=metric, recall=target, optimize="batch", threads=threads, **options)
    return Planned(collection, time.perf_counter() - start)


def seconds_to_rebuild(mine: Planned, vectors: np.ndarray, metric: str, threads: int) -> float:
    """Building the chosen plan with nothing to choose."""
    start = time.perf_counter()
    nk.build(
        vectors,
        metric=metric,
        plan=mine.collection.plan,
        search=mine.collection.search_defaults,
        seed=0,
        threads=threads,
    )
    return time.perf_counter() - start


def halves(queries: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Queries to build with and queries to judge with, at random."""
    order = np.random.default_rng(seed).permutation(len(queries))
    half = len(queries) // 2
    return np.ascontiguousarray(queries[order[:half]]), np.ascontiguousarray(queries[order[half:]])


def frozen(vectors: np.ndarray, rows: int | None = None) -> np.ndarray:
    """The first rows, read-only so that no collection copies them."""
    kept = np.ascontiguousarray(vectors[:rows])
    kept.flags.writeable = False
    return kept


def hnswlib_bytes(n: int, dim: int, M: int) -> int:
    """Bytes that hnswlib allocates for vectors, labels and links.

    A row has dim float32, a label of 8 bytes, and on the ground level 2 M links of 4 bytes after their number; it is in
    1 / (M - 1) higher levels on average, each with M links after their number.
    Source: hnswlib's `size_data_per_element_` and `size_links_per_element_`, with its level factor of 1 / ln M.
    """
    ground = 4 * dim + 8 + 4 * (2 * M + 1)
    return round(n * (ground + 4 * (M + 1) / (M - 1)))


def geometric_mean(values: Iterable[float]) -> float:
    """nan of nothing."""
    logs = np.log(np.fromiter(values, dtype=float))
    return float(np.exp(logs.mean())) if len(logs) else float("nan")


def show(*text: str) -> None:
    """Print at once, so that a run that is stopped has shown what it had."""
    print(*text, sep="\n", flush=True)


def progress(text: str) -> None:
    """What goes on, beside the results."""
    print(text, file=sys.stderr, flush=True)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def json_line(found: Mapping[str, Any]) -> str:
    """One line of JSON; what is not finite is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return json.dumps(plain(found))
