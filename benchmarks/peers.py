"""nearkin's planner beside other libraries at equal recall@10: batches, the same threads, one process, timed in turns.

Peers: hnswlib, usearch, voyager, ScaNN, SVS, pynndescent and faiss's HNSW, each with a grid of build and search parameters, and
the best of a grid of faiss's `IVF,PQx4fs,Refine`. Those that are not installed are skipped.
nearkin gets half of the queries to build with; the other half judges all. The peers' settings are chosen on the queries that
judge, their rows and queries are scaled to unit length beforehand under cosine, and the fastest of three finalists is taken after
timing: all that is in their favour. Recall counts ties of the tenth neighbour as right.

Targets: geometric mean of queries/s over the best peer 1.6 or more, never below 1.0; 1.0 times the faiss grid or more; building
in a third of hnswlib's time, with planning in no longer than hnswlib's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from datasets import FILES, Dataset, load
from equal_recall import (
    FINALISTS,
    TARGETS,
    Judge,
    Planned,
    Point,
    fastest,
    frozen,
    geometric_mean,
    halves,
    json_line,
    paired_seconds,
    planned,
    points_of,
    progress,
    reaches,
    seconds_to_rebuild,
    show,
    table,
)
from peer_libraries import LIBRARIES, PEERS, FaissGrid, Peer, unit

HEADERS = ("target", "library", "setting", "recall", "q/s", "nearkin is", "built in s", "MB")


class Mine(NamedTuple):
    """What nearkin built for a target."""

    planned: Planned
    recall: float
    rebuild_seconds: float


class Field(NamedTuple):
    """One data set, who judges on it, and what nearkin built for each target."""

    data: Dataset
    judge: Judge
    mine: dict[float, Mine]
    threads: int


def enter(name: str, options: argparse.Namespace) -> Field:
    """Load, and let nearkin build for each target."""
    data = load(name, options.queries)
    given, judging = halves(data.queries)
    data = data._replace(vectors=frozen(data.vectors, options.rows), queries=judging)
    judge = Judge(data.vectors, judging, data.metric, options.threads)
    show(
        f"\n## {data.name}, {len(data.vectors):,} x {data.vectors.shape[1]}, {data.metric}, {options.threads} threads, "
        f"{0 if options.no_queries else len(given):,} queries given and {len(judging):,} judging\n"
    )
    mine = {}
    asked = None if options.no_queries else given
    for target in options.targets:
        made = planned(data.vectors, data.metric, target, options.threads, queries=asked, seed=0)
        again = seconds_to_rebuild(made, data.vectors, data.metric, options.threads)
        mine[target] = Mine(made, judge.recall(made.search(judging)), again)
        progress(f"nearkin for {target}: {made.label}, recall {mine[target].recall:.4f}")
    return Field(data, judge, mine, options.threads)


def tried(kind: type[Peer], field: Field, targets: list[float], limit: float) -> list[Point]:
    """Points of the peer's variants that are the fastest at some target; no variant is begun that would pass the limit."""
    vectors, queries = (unit(each, field.data.metric) for each in (field.data.vectors, field.judge.queries))
    start = time.perf_counter()
    best: list[Point] = []
    longest = 0.0

    def enough_time() -> bool:
        return time.perf_counter() - start < limit

    for parameters in kind.variants(*vectors.shape):
        if time.perf_counter() - start + longest > limit:
            progress(f"{kind.name}: no time for {parameters}")
            break
        begun = time.perf_counter()
        peer = kind(**parameters)
        peer.build(vectors, field.data.metric, field.threads)
        found = points_of(peer, field.judge, queries, targets, enough_time if best else _always)
        longest = max(longest, time.perf_counter() - begun)
        progress(f"{peer.label}: built in {peer.build_seconds:.1f} s, {len(found)} points")
        best = _finalists([*best, *found], targets)
    return best


def _always() -> bool:
    return True


def _finalists(points: list[Point], targets: list[float]) -> list[Point]:
    """Those that are among the fastest at some target; the others' indexes are let go."""
    kept = {id(each) for target in targets for each in fastest(points, target)}
    return [each for each in points if id(each) in kept]


def compare(kind: type[Peer], field: Field, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One peer against nearkin, at each target."""
    points = tried(kind, field, options.targets, options.time_limit)
    results = []
    for target in options.targets:
        finalists = fastest(points, target, FINALISTS)
        found: dict[str, Any] = {"data": field.data.name, "target": target, "library": kind.name}
        if finalists:
            found |= timed(finalists, field, target, options.rounds)
        results.append(found)
    return results


def timed(finalists: list[Point], field: Field, target: float, rounds: int) -> dict[str, Any]:
    """The finalists and nearkin in turns: the fastest of them, and the ratio of medians."""
    mine = field.mine[target]
    calls: list[Callable[[], Any]] = [lambda: mine.planned.search(field.judge.queries), *finalists]
    seconds = np.median(paired_seconds(calls, rounds), axis=0)
    winner = int(seconds[1:].argmin())
    point = finalists[winner]
    peer = point.searcher
    count = len(field.judge.queries)
    return {
        "setting": str(point),
        "recall": point.recall,
        "qps": count / float(seconds[1 + winner]),
        "nearkin_qps": count / float(seconds[0]),
        "nearkin_over_this": float(seconds[1 + winner] / seconds[0]),
        "build_seconds": peer.build_seconds,
        "bytes": peer.allocated(point.setting),
    }


def line(found: dict[str, Any]) -> list[str]:
    """A row of the table."""
    if "qps" not in found:
        return [f"{found['target']:g}", found["library"], "not reached", "", "", "", "", ""]
    return [
        f"{found['target']:g}",
        found["library"],
        f"`{found['setting']}`",
        f"{found['recall']:.4f}",
        f"{found['qps']:,.0f}",
        f"{found['nearkin_over_this']:.2f} x" if "nearkin_over_this" in found else "",
        f"{found['build_seconds']:.1f}",
        f"{found['bytes'] / 1e6:,.1f}" if found["bytes"] is not None else "",
    ]


def own_results(field: Field, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """nearkin itself; its q/s is the median of those beside each peer."""
    found = []
    for target, mine in field.mine.items():
        speeds = [each["nearkin_qps"] for each in results if each["target"] == target and "qps" in each]
        if not speeds:
            seconds = paired_seconds([lambda mine=mine: mine.planned.search(field.judge.queries)], 7)
            speeds = [len(field.judge.queries) / float(np.median(seconds))]
        found.append(
            {
                "data": field.data.name,
                "target": target,
                "library": "nearkin",
                "setting": mine.planned.label,
                "recall": mine.recall,
                "reached": reaches(mine.recall, target),
                "qps": float(np.median(speeds)),
                "build_seconds": mine.rebuild_seconds,
                "with_planning_seconds": mine.planned.seconds,
                "bytes": mine.planned.bytes,
            }
        )
    return found


def run(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All peers on one data set; each one's lines are shown as soon as they are there."""
    field = enter(name, options)
    show(table(HEADERS, []))
    results: list[dict[str, Any]] = []
    for kind in PEERS:
        if kind.name not in options.peers:
            continue
        if not kind.installed():
            show(f"{kind.name} is not installed: pip install {kind.pip}")
            continue
        try:
            results += compare(kind, field, options)
        except Exception as error:  # whatever a library raises, the others are still measured
            show(f"{kind.name} failed: {type(error).__name__}: {error}")
            continue
        show(*("| " + " | ".join(line(each)) + " |" for each in results if each["library"] == kind.name))
    own = own_results(field, results)
    show(*("| " + " | ".join(line(each)) + " |" for each in own))
    show(*(f"nearkin for {each['target']:g}: {each['with_planning_seconds']:.1f} s with planning" for each in own))
    return [*results, *own]


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What the targets are about."""
    libraries = {kind.name for kind in LIBRARIES}
    cases = sorted({(each["data"], each["target"]) for each in results})

    def over_best(names: set[str]) -> dict[tuple[str, float], float]:
        ratios = {
            case: [
                each["nearkin_over_this"]
                for each in results
                if (each["data"], each["target"]) == case and each["library"] in names and "qps" in each
            ]
            for case in cases
        }
        return {case: min(found) for case, found in ratios.items() if found}

    found: dict[str, Any] = {}
    for key, names in (("best_peer", libraries), ("faiss_grid", {FaissGrid.name})):
        ratios = over_best(names)
        found[f"over_{key}"] = {f"{data} {target:g}": ratio for (data, target), ratio in ratios.items()}
        found[f"over_{key}_mean"] = geometric_mean(ratios.values())
        found[f"over_{key}_least"] = min(ratios.values(), default=float("nan"))
    missed = [
        f"{each['data']} {each['target']:g}" for each in results if each["library"] == "nearkin" and not each["reached"]
    ]
    return found | build_shares(results) | {"nearkin_missed": missed}


def build_shares(results: list[dict[str, Any]]) -> dict[str, float]:
    """nearkin's seconds as a share of hnswlib's for the same target, at most."""
    theirs = {
        (each["data"], each["target"]): each["build_seconds"]
        for each in results
        if each["library"] == "hnswlib" and "qps" in each
    }
    mine = [each for each in results if each["library"] == "nearkin" and (each["data"], each["target"]) in theirs]

    def most(key: str) -> float:
        return max((each[key] / theirs[each["data"], each["target"]] for each in mine), default=float("nan"))

    return {
        "build_over_hnswlib_most": most("build_seconds"),
        "planned_over_hnswlib_most": most("with_planning_seconds"),
    }


def main() -> None:
    names = [kind.name for kind in PEERS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--peers", nargs="+", default=names, choices=names, metavar="PEER", help=", ".join(names))
    parser.add_argument("--targets", nargs="+", type=float, default=list(TARGETS))
    parser.add_argument("--rows", type=int, help="only the first rows, to try the script")
    parser.add_argument("--queries", type=int, default=2000, help="half given to nearkin, half judging")
    parser.add_argument(
        "--no-queries", action="store_true", help="let nearkin hold rows out instead of giving it queries"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--time-limit", type=float, default=900, help="seconds for each peer on each data set")
    options = parser.parse_args()
    results = [each for name in options.data for each in run(name, options)]
    found = summary(results)
    show("")
    for words, key in (("best peer", "over_best_peer"), ("faiss grid", "over_faiss_grid")):
        mean, least = found[f"{key}_mean"], found[f"{key}_least"]
        if found[key]:
            show(f"over the {words}: {mean:.2f} x in geometric mean, {least:.2f} x at least")
    if found["nearkin_missed"]:
        show(f"nearkin's recall on the judges was below the target at {', '.join(found['nearkin_missed'])}")
    alone, with_planning = found["build_over_hnswlib_most"], found["planned_over_hnswlib_most"]
    show(f"built in {alone:.2f} of hnswlib's time at most, {with_planning:.2f} with planning")
    show(json_line({**found, "results": results}))


if __name__ == "__main__":
    main()
