"""What the planner chose beside the best of an exhaustive grid: every legal plan of a list, each with a grid of search parameters.

The grid is {flat, ivf at 0.5, 1 and 2 times the square root of the rows, hnsw16, hnsw32} x {f32, f16, int8, int4, pq of an
eighth, a quarter and half of the columns with 4 and 8 bits} x {nothing, refine-f32, refine-f16, refine-int8}, without copies that
hold no more than the codes. Its settings are chosen on the queries that judge; the planner sees the other half.

Target: no more than 1.3 times the seconds of the grid's best at the same recall. Takes an hour or more for each data set;
`--time-limit` ends the grid early, whose order is by what usually wins.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from math import sqrt
from typing import Any

import numpy as np

import nearkin as nk
from datasets import FILES, Dataset, load
from equal_recall import (
    TARGETS,
    Judge,
    Point,
    Setting,
    fastest,
    frozen,
    geometric_mean,
    halves,
    json_line,
    paired_seconds,
    planned,
    points_of,
    progress,
    show,
    table,
)
from nearkin.errors import NotSupportedError

KNOBS = {
    "nprobe": (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 192, 256),
    "ef_search": (10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 400, 800),
    "rerank": (10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 400, 800),
}
"""Values of each search parameter."""

HOLDS_NO_MORE = {
    "f32": {"refine-f32", "refine-f16", "refine-int8"},
    "f16": {"refine-f16", "refine-int8"},
    "int8": {"refine-int8"},
}
"""Copies that would add nothing to a codec."""

HEADERS = ("target", "planned", "recall", "best of the grid", "recall", "seconds of planned / best", "q/s of planned")


class Built:
    """A plan, built."""

    def __init__(self, plan: str, vectors: np.ndarray, metric: str, threads: int) -> None:
        self.collection = nk.build(vectors, metric=metric, plan=plan, seed=0, threads=threads)
        self.label = self.collection.plan

    def ladders(self) -> list[list[Setting]]:
        """The last parameter climbs; the others are fixed on each ladder."""
        names = sorted(self.collection.search_defaults, key=lambda name: name != "rerank")
        if not names:
            return [[{}]]
        *fixed, climbing = names
        most = len(self.collection)
        return [
            [{**dict(zip(fixed, values, strict=True)), climbing: step} for step in KNOBS[climbing] if step <= most]
            for values in itertools.product(*(KNOBS[name] for name in fixed))
        ]

    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        """(nq, k) positions."""
        return self.collection.search(queries, k, **setting).positions


def plans(n: int, dim: int, indexes: Sequence[str]) -> Iterator[str]:
    """Every plan of the grid, legal or not."""
    cells = [f"ivf{max(1, round(factor * sqrt(n)))}" for factor in (1, 0.5, 2)]
    kinds = {"ivf": cells, "hnsw": ["hnsw16", "hnsw32"], "flat": ["flat"]}
    sizes = [dim // part for part in (2, 4, 8) if dim >= part and dim % (dim // part) == 0]
    codecs = [*(f"pq{M}x{bits}" for bits in (4, 8) for M in sizes), "int8", "int4", "f16", "f32"]
    for kind in indexes:
        for index, codec, copy in itertools.product(
            kinds[kind], codecs, ("refine-f16", "refine-int8", "refine-f32", "")
        ):
            if copy not in HOLDS_NO_MORE.get(codec, ()):
                yield ",".join(part for part in (index, codec, copy) if part)


def best_of_grid(
    data: Dataset, judge: Judge, options: argparse.Namespace, end: float
) -> tuple[dict[float, list[Point]], int, int]:
    """The fastest points at each target, how many plans were tried, and how many were left."""
    every = list(plans(*data.vectors.shape, options.indexes))
    best: dict[float, list[Point]] = {target: [] for target in options.targets}
    tried = 0

    def enough_time() -> bool:
        return time.perf_counter() < end

    for number, plan in enumerate(every):
        if not enough_time():
            return best, tried, len(every) - number
        try:
            built = Built(plan, data.vectors, data.metric, options.threads)
        except NotSupportedError:
            continue
        points = points_of(built, judge, judge.queries, options.targets, enough_time)
        best = {target: fastest([*found, *points], target) for target, found in best.items()}
        tried += 1
        took = built.collection.timings.total
        progress(f"{number + 1} of {len(every)}: {built.label}, built in {took:.1f} s, {len(points)} points")
    return best, tried, 0


def run(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The planner's choice for each target, and the grid's."""
    data = load(name, options.queries)
    given, judging = halves(data.queries)
    data = data._replace(vectors=frozen(data.vectors, options.rows), queries=judging)
    judge = Judge(data.vectors, judging, data.metric, options.threads)
    best, tried, left = best_of_grid(data, judge, options, time.perf_counter() + options.time_limit)
    rows = f"{len(data.vectors):,} x {data.vectors.shape[1]}"
    show(f"\n## {data.name}, {rows}, {data.metric}, {options.threads} threads; {tried} plans tried, {left} left\n")
    show(table(HEADERS, []))
    results = []
    for target, finalists in best.items():
        mine = planned(data.vectors, data.metric, target, options.threads, queries=given, seed=0)
        found = {
            "data": data.name,
            "target": target,
            "plan": mine.label,
            "recall": judge.recall(mine.search(judging)),
            "tried": tried,
            "left": left,
        }
        calls: list[Callable[[], Any]] = [lambda mine=mine: mine.search(judging), *finalists]
        seconds = np.median(paired_seconds(calls, options.rounds), axis=0)
        found["qps"] = len(judging) / float(seconds[0])
        if finalists:
            winner = int(seconds[1:].argmin())
            found |= {"best": str(finalists[winner]), "best_recall": finalists[winner].recall}
            found["over_best"] = float(seconds[0] / seconds[1 + winner])
        show("| " + " | ".join(line(found)) + " |")
        results.append(found)
    return results


def line(found: dict[str, Any]) -> list[str]:
    """A row of the table."""
    best = (
        [f"`{found['best']}`", f"{found['best_recall']:.4f}", f"{found['over_best']:.2f}"]
        if "best" in found
        else [""] * 3
    )
    return [f"{found['target']:g}", f"`{found['plan']}`", f"{found['recall']:.4f}", *best, f"{found['qps']:,.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--targets", nargs="+", type=float, default=list(TARGETS))
    parser.add_argument("--indexes", nargs="+", default=["ivf", "flat", "hnsw"], choices=["ivf", "flat", "hnsw"])
    parser.add_argument("--rows", type=int, help="only the first rows, to try the script")
    parser.add_argument("--queries", type=int, default=2000, help="half given to the planner, half judging")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--time-limit", type=float, default=float("inf"), help="seconds for the grid of each data set")
    options = parser.parse_args()
    results = [each for name in options.data for each in run(name, options)]
    ratios = [each["over_best"] for each in results if "over_best" in each]
    most = max(ratios, default=float("nan"))
    show(
        f"\nplanned takes {geometric_mean(ratios):.2f} times the seconds of the grid's best in geometric mean, {most:.2f} at most"
    )
    show(json_line({"mean": geometric_mean(ratios), "most": most, "results": results}))


if __name__ == "__main__":
    main()
