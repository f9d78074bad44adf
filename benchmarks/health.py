"""Does health raise its alarm before recall has fallen, and keep quiet while a collection grows?

Growth: an index over a tenth of SIFT is extended to all of it without training again, whatever the rule of `optimize` says.
Shift: an index over some of the rows gets rows of another kind in growing numbers, and is asked by queries drawn from both in
proportion; recall@10 at fixed search parameters is that of the collection, the verdict that of `nearkin.health`.

    python benchmarks/health.py
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nearkin as nk
from datasets import FILES, load
from nearkin.baseline import measured
from nearkin.indexing import Built
from nearkin.renewal import extended

QUERIES = 200
FALLEN = 0.02


class Case(NamedTuple):
    """Rows that an index is trained on, rows that come after them, and queries like each."""

    name: str
    plan: str
    search: dict[str, int]
    trained: np.ndarray
    later: np.ndarray
    steps: tuple[int, ...]
    queries: np.ndarray
    later_queries: np.ndarray
    shifted: bool


def growth() -> Iterator[Case]:
    """The same kind of rows, ten times as many."""
    data = load("sift", QUERIES)
    rows = data.vectors[np.random.default_rng(0).permutation(len(data.vectors))]
    first = len(rows) // 10
    steps = tuple(first * times for times in (0, 1, 3, 9))
    for plan in ("ivf,pq,refine-f16", "ivf"):
        yield Case(f"{data.name} grows", plan, {}, rows[:first], rows[first:], steps, data.queries, data.queries, False)


def classes() -> Iterator[Case]:
    """Fashion-MNIST: trained on five kinds of clothes, then the other five."""
    path = Path(os.environ.get("NEARKIN_DATA", "")) / FILES["fashion-mnist"][0]
    if not path.is_file():
        print("Fashion-MNIST is not there: set NEARKIN_DATA to the folder that has it")
        return
    with np.load(path) as archive:
        rows, kinds = archive["train"].astype(np.float32), archive["train_labels"]
        asked, asked_kinds = archive["test"].astype(np.float32), archive["test_labels"]
    parts = rows[kinds < 5], rows[kinds >= 5], asked[asked_kinds < 5], asked[asked_kinds >= 5]
    for plan, search in (("ivf,pq,refine-f16", {"nprobe": 4}), ("ivf,pq", {})):
        yield _shifted("fashion-mnist, five new classes", plan, search, *parts)


def rotated() -> Iterator[Case]:
    """SIFT, then SIFT rotated at random: the same distances among the new rows, in other directions."""
    data = load("sift", 2 * QUERIES)
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(data.vectors.shape[1],) * 2))[0].astype(np.float32)
    rows = data.vectors[rng.permutation(len(data.vectors))[:60_000]]
    parts = rows[:30_000], rows[30_000:] @ turn, data.queries[:QUERIES], data.queries[QUERIES:] @ turn
    for plan, search in (("ivf,pq,refine-f16", {"nprobe": 8}), ("ivf", {"nprobe": 8})):
        yield _shifted(f"{data.name}, then rotated", plan, search, *parts)


def moving() -> Iterator[Case]:
    """Clusters that move: each new row is of a cluster whose centre has gone some way since."""
    rng = np.random.default_rng(0)
    centres, way = rng.normal(size=(2, 300, 48)).astype(np.float32)
    way *= 2.0 / np.sqrt(48)

    def draw(count: int, moved: np.ndarray) -> np.ndarray:
        cluster = rng.integers(0, len(centres), count)
        noise = rng.normal(scale=0.5, size=(count, 48)).astype(np.float32)
        return centres[cluster] + moved[:, None] * np.sqrt(48) / 2 * way[cluster] + noise

    nowhere = np.zeros
    later = draw(30_000, np.linspace(0, 1.5, 30_000).astype(np.float32))
    asked = draw(3000, np.linspace(0, 1.5, 3000).astype(np.float32))
    for plan, search in (("ivf,pq,refine-f16", {"nprobe": 4}), ("ivf", {"nprobe": 2})):
        first, queries = (draw(count, nowhere(count, np.float32)) for count in (30_000, 3000))
        yield _shifted("moving clusters", plan, search, first, later, queries, asked)


def _shifted(name: str, plan: str, search: dict[str, int], *parts: np.ndarray) -> Case:
    first, later, queries, later_queries = parts
    steps = tuple(int(len(later) * share) for share in (0, 0.01, 0.03, 0.1, 0.3, 1.0))
    return Case(name, plan, search, first, later, steps, queries, later_queries, True)


def run(case: Case) -> dict[str, Any]:
    """Add rows step by step, extend the index, and look at recall and verdict."""
    mine = nk.build(case.trained, plan=case.plan, search=case.search)
    facts = measured(mine.recipe, mine.rows, Built(mine.index), mine.threads).facts
    mine.adopt(mine.index, len(mine), facts)
    found: list[dict[str, Any]] = []
    print(f"\n{case.name}, {mine.plan}, {mine.search_defaults}")
    print("   added  recall@10  points lost  verdict  seconds  reason")
    done = 0
    for step in case.steps:
        if step > done:
            mine.add(case.later[done:step])
            built = extended(mine.recipe, mine.rows, mine.index, len(mine.rows) - mine.uncovered, mine.threads)
            mine.adopt(built.index, len(mine.rows), facts)
            done = step
        recall = _recall(mine, case, step)
        start = time.perf_counter()
        health = nk.health(mine)
        seconds = time.perf_counter() - start
        lost = found[0]["recall"] - recall if found else 0.0
        found.append({"added": step, "recall": recall, "lost": lost, "verdict": health.verdict, "seconds": seconds})
        print(f"{step:8,}  {recall:9.4f}  {100 * lost:11.1f}  {health.verdict:7}  {seconds:7.1f}  {health.reason}")
    alarmed = [each["added"] for each in found if each["verdict"] in ("retrain", "rebuild")]
    fallen = [each["added"] for each in found if each["lost"] >= FALLEN]
    first, late = min(alarmed, default=None), min(fallen, default=None)
    good = not alarmed if not case.shifted else first is not None and (late is None or first <= late)
    before = first is not None and (late is None or first < late)
    return {
        "case": case.name,
        "plan": case.plan,
        "alarm_at": first,
        "two_points_at": late,
        "as_promised": good,
        "alarm_a_step_before": before,
        "steps": found,
    }


def _recall(mine: nk.Collection, case: Case, step: int) -> float:
    """Recall of queries from both kinds, as many of each as there are rows of it."""
    late = round(QUERIES * step / (step + len(case.trained))) if case.shifted else 0
    asked = np.concatenate([case.queries[: QUERIES - late], _spread(case.later_queries, late, step / len(case.later))])
    truth = mine.exact_search(asked, 10)
    return float(nk.recall(mine.search(asked, 10).positions, truth.positions).mean())


def _spread(queries: np.ndarray, count: int, part: float) -> np.ndarray:
    """So many queries from the first part of all of them: of the kind of the rows that were added so far."""
    some = max(count, int(part * len(queries)))
    return queries[np.linspace(0, min(some, len(queries)) - 1, count).astype(int)] if count else queries[:0]


def main() -> None:
    """Every case, then one line of JSON."""
    results = [run(case) for cases in (growth, classes, rotated, moving) for case in cases()]
    wrong = [f"{each['case']}, {each['plan']}" for each in results if not each["as_promised"]]
    print(
        f"\nas promised: {len(results) - len(wrong)} of {len(results)}{'; not: ' + '; '.join(wrong) if wrong else ''}"
    )
    print(json.dumps({"benchmark": "health", "threads": os.cpu_count(), "results": results}))


if __name__ == "__main__":
    main()
