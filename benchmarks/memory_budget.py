"""Less memory at equal recall: `memory=` at 0.3 of what hnswlib allocates, beside hnswlib, in turns.

hnswlib has M=16 and ef_construction=200; its bytes are those of vectors and links. nearkin gets half of the queries to build with,
the other half judges both, and hnswlib's ef is chosen on it.

Targets: 1.5 times hnswlib's queries/s at recall@10 0.95, and never a byte above the ceiling.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from datasets import FILES, load
from equal_recall import (
    Judge,
    Planned,
    Point,
    fastest,
    frozen,
    geometric_mean,
    halves,
    hnswlib_bytes,
    json_line,
    paired_seconds,
    planned,
    points_of,
    show,
    table,
)
from nearkin.errors import BudgetError
from peer_libraries import Hnswlib, unit

M = 16
HEADERS = (
    "data",
    "side",
    "setting",
    "recall",
    "q/s",
    "MB of the index",
    "of hnswlib",
    "ceiling MB",
    "MB of rows beside it",
    "seconds",
)


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Both sides on one data set."""
    data = load(name, options.queries)
    vectors = frozen(data.vectors, options.rows)
    given, judging = halves(data.queries)
    judge = Judge(vectors, judging, data.metric, options.threads)
    size = hnswlib_bytes(*vectors.shape, M)
    ceiling = int(options.share * size)
    found: dict[str, Any] = {"data": data.name, "hnswlib_bytes": size, "ceiling": ceiling}
    asked = {"memory": ceiling, "queries": given, "seed": options.seed}
    try:
        mine = planned(vectors, data.metric, options.recall, options.threads, **asked)
    except BudgetError as error:
        show(f"{data.name}: no plan: {error}")
        return found
    theirs = Hnswlib(M=M, ef_construction=200)
    theirs.build(unit(vectors, data.metric), data.metric, options.threads)
    points = points_of(theirs, judge, unit(judging, data.metric), [options.recall], lambda: True)
    found |= timed(mine, points, judging, options)
    found |= {
        "plan": mine.label,
        "recall": judge.recall(mine.search(judging)),
        "bytes": mine.bytes,
        "rows_beside": vectors.nbytes if mine.collection.keeps_vectors else 0,
        "seconds": mine.seconds,
        "within": mine.bytes <= ceiling,
        "hnswlib_seconds": theirs.build_seconds,
    }
    show(*("| " + " | ".join(line) + " |" for line in lines(found)))
    return found


def timed(mine: Planned, points: list[Point], judging: np.ndarray, options: argparse.Namespace) -> dict[str, Any]:
    """nearkin and the fastest settings of hnswlib in turns."""
    finalists = fastest(points, options.recall)
    calls: list[Callable[[], Any]] = [lambda: mine.search(judging), *finalists]
    seconds = np.median(paired_seconds(calls, options.rounds), axis=0)
    found = {"qps": len(judging) / float(seconds[0])}
    if not finalists:
        return found
    winner = int(seconds[1:].argmin())
    return found | {
        "hnswlib": str(finalists[winner]),
        "hnswlib_recall": finalists[winner].recall,
        "hnswlib_qps": len(judging) / float(seconds[1 + winner]),
        "over_hnswlib": float(seconds[1 + winner] / seconds[0]),
    }


def lines(found: dict[str, Any]) -> list[list[str]]:
    """Rows of the table."""
    mine = [
        found["data"],
        "nearkin",
        f"`{found['plan']}`",
        f"{found['recall']:.4f}",
        f"{found['qps']:,.0f}" + (f", {found['over_hnswlib']:.2f} x" if "over_hnswlib" in found else ""),
        f"{found['bytes'] / 1e6:.1f}",
        f"{found['bytes'] / found['hnswlib_bytes']:.2f}",
        f"{found['ceiling'] / 1e6:.1f}" + ("" if found["within"] else " **exceeded**"),
        f"{found['rows_beside'] / 1e6:.1f}",
        f"{found['seconds']:.1f}",
    ]
    if "hnswlib" not in found:
        return [mine, [found["data"], "hnswlib", "not reached", *[""] * 7]]
    theirs = [
        found["data"],
        "hnswlib",
        f"`{found['hnswlib']}`",
        f"{found['hnswlib_recall']:.4f}",
        f"{found['hnswlib_qps']:,.0f}",
        f"{found['hnswlib_bytes'] / 1e6:.1f}",
        "1",
        "",
        "",
        f"{found['hnswlib_seconds']:.1f}",
    ]
    return [mine, theirs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--share", type=float, default=0.3, help="of hnswlib's bytes")
    parser.add_argument("--rows", type=int, help="only the first rows, to try the script")
    parser.add_argument("--queries", type=int, default=2000, help="half given to nearkin, half judging")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not Hnswlib.installed():
        raise SystemExit(f"hnswlib is not installed: pip install {Hnswlib.pip}")
    show(table(HEADERS, []))
    results = [run(name, options) for name in options.data]
    ratios = [each["over_hnswlib"] for each in results if "over_hnswlib" in each]
    within = all(each.get("within", False) for each in results)
    least = min(ratios, default=float("nan"))
    show(
        f"\n{geometric_mean(ratios):.2f} x hnswlib's queries/s in geometric mean, {least:.2f} x at least; ceiling kept: {within}"
    )
    show(json_line({"mean": geometric_mean(ratios), "least": least, "within": within, "results": results}))


if __name__ == "__main__":
    main()
