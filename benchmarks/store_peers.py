"""Stores that keep vectors with metadata, behind one face, each measured in a process of its own beside nearkin.

All get the same rows, ids, metadata and filters. A store with an approximate index is searched with the least effort that reaches
the recall asked for, without a filter and under each; one that is exact is compared with nearkin's flat plan besides.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import nearkin as nk
from equal_recall import K, least_step, progress, reaches, show, table
from store_libraries import STORES, Found, Store
from stored_rows import Condition, Stock, bytes_below, overlap, seconds_of, stock, truth_of

NAMES = tuple(kind.name for kind in STORES)
BATCH = 1000
SMALL_BATCHES = 10
FILTERS: Mapping[str, Condition | None] = {
    "none": None,
    "1 %": Condition("bucket", "=", 7),
    "10 %": Condition("bucket", "<", 10),
}
SLOW = 10.0
"""Seconds that a batch of all queries may take; slower stores get fewer queries."""

HEADERS = (
    "store",
    "adds/s, largest",
    "adds/s, 1,000",
    "index s",
    "open s",
    "q/s",
    "1 %: q/s",
    "10 %: q/s",
    "recalls",
    "MB",
)


# ---- in the process of one store -------------------------------------------------------------------------------------


def measured(name: str, home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one store."""
    rows = stock("wordnet", options.rows, options.peer_queries)
    kind = next(each for each in STORES if each.name == name)
    truths = dict(np.load(home / "truth.npz"))
    found: dict[str, Any] = {"store": name, "exact": kind.exact, "setup": (kind.__doc__ or "").splitlines()[0]}
    found |= small_batches(kind, home / "small", rows, options.threads)
    store = kind(home / "all", rows, options.threads, options.recall)
    store.create()
    start = time.perf_counter()
    for batch in rows.batches(store.largest_batch() if not options.quick else BATCH):
        store.add(*batch)
    found["add_rows_per_second"] = len(rows) / (time.perf_counter() - start)
    found["index_seconds"] = seconds_of(store.finish)
    store.close()
    start = time.perf_counter()
    store.open()
    store.search(rows.queries[:1], None, store.ladder()[0])
    found["open_seconds"] = time.perf_counter() - start
    for words, condition in FILTERS.items():
        found[words] = asked(store, rows, condition, truths[words], options)
        progress(f"{name}, filter {words}: {found[words]}")
    store.close()
    return found | {"bytes": bytes_below(home / "all")}


def small_batches(kind: type[Store], home: Path, rows: Stock, threads: int) -> dict[str, float]:
    """Rows/s of adding 1,000 at a time, of the first ten such batches but one."""
    store = kind(home, rows, threads, 0.0)
    store.create()
    took = []
    for number, batch in enumerate(rows.batches(BATCH)):
        if number > SMALL_BATCHES or sum(took) > SLOW or len(batch[1]) < BATCH:
            break
        took.append(seconds_of(lambda batch=batch: store.add(*batch)))
    store.close()
    return {"small_add_rows_per_second": BATCH / float(np.median(took[1:] or took))}


def asked(
    store: Store, rows: Stock, condition: Condition | None, truth: np.ndarray, options: argparse.Namespace
) -> dict[str, Any]:
    """Queries/s at the least effort that reaches the recall, and this recall."""
    queries = rows.queries
    alone = seconds_of(lambda: store.search(queries[:10], condition, store.ladder()[0])) / 10
    queries = queries[: max(10, min(len(queries), int(SLOW / alone)))]
    ladder, truth = store.ladder(), truth[: len(queries)]

    def recall_at(step: int) -> float:
        return overlap(positions_of(store.search(queries, condition, ladder[step]), store), truth)

    step = 0 if store.exact or len(ladder) == 1 else least_step(len(ladder), recall_at, options.recall)
    step = len(ladder) - 1 if step is None else step
    recall = recall_at(step)  # the warm-up, too
    rounds = options.rounds if alone * len(queries) < 1 else min(3, options.rounds)
    took = [seconds_of(lambda: store.search(queries, condition, ladder[step])) for _ in range(rounds)]
    return {
        "qps": len(queries) / float(np.median(took)),
        "recall": recall,
        "reached": reaches(recall, options.recall),
        "setting": dict(ladder[step]),
        "queries": len(queries),
    }


def positions_of(found: Found, store: Store) -> np.ndarray:
    """(nq, 10) positions from ids as a store gives them, -1 where there are fewer."""
    positions = np.full((len(found), K), -1, dtype=np.int64)
    for row, ids in enumerate(found):
        positions[row, : len(ids)] = [store.position(each) for each in ids]
    return positions


# ---- in the process that compares ------------------------------------------------------------------------------------


def compare(home: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """nearkin and every other store that is installed."""
    rows = stock("wordnet", options.rows, options.peer_queries)
    with nk.build(
        rows.vectors, metric=rows.metric, metadata=rows.metadata, plan="flat", threads=options.threads
    ) as held:
        truths = {
            words: truth_of(held, rows.queries, None if each is None else str(each), options.threads)
            for words, each in FILTERS.items()
        }
    results = []
    for kind in STORES:
        if kind.name not in options.peers:
            continue
        if not kind.installed():
            show(f"{kind.name} is skipped: pip install {kind.pip}")
            continue
        place = home / kind.name.replace(" ", "-")
        place.mkdir()
        np.savez(place / "truth.npz", **truths)
        found = in_a_process(kind.name, place, options)
        if found is not None:
            results.append(found)
    show(
        f"\n## Beside other stores, {len(rows):,} x {rows.vectors.shape[1]}, recall {options.recall:g}, {options.threads} threads\n"
    )
    show(table(HEADERS, map(cells, results)))
    show("", *ratios(results))
    return results


def in_a_process(name: str, place: Path, options: argparse.Namespace) -> dict[str, Any] | None:
    """What `measured` gives, from a process that no other library has been in; None if it failed."""
    threads = str(options.threads)
    limits = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LANCE_CPU_THREADS", "RAYON_NUM_THREADS"), threads
    )
    given = {**vars(options), "one": name, "home": str(place)}
    run = subprocess.run(
        [sys.executable, __file__, json.dumps(given)],
        env={**os.environ, **limits, "ANONYMIZED_TELEMETRY": "False"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if run.returncode or not run.stdout.strip():
        show(f"{name} failed with exit code {run.returncode}")
        return None
    found: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    return found


def cells(found: Mapping[str, Any]) -> list[str]:
    """A row of the table."""
    asked = [found[words] for words in FILTERS]
    return [
        found["store"],
        f"{found['add_rows_per_second']:,.0f}",
        f"{found['small_add_rows_per_second']:,.0f}",
        f"{found['index_seconds']:.1f}",
        f"{found['open_seconds']:.3f}",
        *(f"{each['qps']:,.0f}" for each in asked),
        " / ".join(f"{each['recall']:.3f}" for each in asked),
        f"{found['bytes'] / 1e6:,.0f}",
    ]


def ratios(results: list[dict[str, Any]]) -> list[str]:
    """How many times nearkin is faster than each: with a planned index than those with one, flat than those that are exact."""
    mine = {each["store"]: each for each in results if each["store"].startswith("nearkin")}
    lines = []
    for other in results:
        own = mine.get("nearkin flat" if other["exact"] else "nearkin")
        if other["store"] in mine or own is None:
            continue
        other["nearkin_over_this"] = times = {
            "adds": own["add_rows_per_second"] / other["add_rows_per_second"],
            "adds of 1,000": own["small_add_rows_per_second"] / other["small_add_rows_per_second"],
            "opening": other["open_seconds"] / own["open_seconds"],
            **{f"queries, filter {words}": own[words]["qps"] / other[words]["qps"] for words in FILTERS},
            "bytes": other["bytes"] / own["bytes"],
        }
        said = ", ".join(f"{what} {ratio:.2f} x" for what, ratio in times.items())
        lines.append(f"{own['store']} over {other['store']}: {said}")
    return lines


def main() -> None:
    """Measure the one store that another process names."""
    given = json.loads(sys.argv[1])
    name, home = given.pop("one"), given.pop("home")
    print(json.dumps(measured(name, Path(home), argparse.Namespace(**given))))


if __name__ == "__main__":
    main()
