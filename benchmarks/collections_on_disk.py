"""Collections on disk: durable adds, opening, searches under filters, beside the bare faiss index, and beside other stores.

Rows have string ids and metadata of three fields. What is compared runs in turns with the same threads; all seconds are medians.

Targets: 50,000 rows/s of 384 columns added in durable batches of 1,000, and 5 ms for one row; 300,000 rows opened in 0.5 s; a batch
of 1,000 queries under a filter on an indexed field that keeps 1 % in at most 2 times the seconds of the same batch without; 0.9 of
the bare faiss index; faster than Chroma, LanceDB, Qdrant local and sqlite-vec at equal recall (`store_peers.py`).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import nearkin as nk
from equal_recall import K, json_line, paired_seconds, progress, show, table
from store_peers import NAMES, compare
from stored_rows import Stock, overlap, seconds_of, stock, truth_of

PLAN = "ivf,pq,refine-f16"
BATCH = 1000
SINGLES = 200
SECTIONS = ("adds", "opening", "filters", "bare", "peers")


@contextmanager
def scratch(options: argparse.Namespace) -> Iterator[Path]:
    """A folder on the disk that is measured, removed afterwards."""
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="nearkin-benchmark-") as place:
        yield Path(place)


# ---- adds ------------------------------------------------------------------------------------------------------------


def adds(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Durable adds in batches of 1,000 and one by one, each beside one file that is written and synced for the same bytes."""
    rows = stock("wordnet", options.rows, 1)
    with scratch(options) as home:
        with nk.create(home / "mine", dim=rows.vectors.shape[1], metric=rows.metric, threads=options.threads) as mine:
            batches = [
                seconds_of(lambda batch=batch: mine.add(batch[0], batch[1], metadata=batch[2]))
                for batch in rows.batches(BATCH)
                if len(batch[1]) == BATCH
            ]
            singles = [
                seconds_of(
                    lambda n=n: mine.add(rows.vectors[n : n + 1], [f"one-{n}"], metadata=rows.metadata[n : n + 1])
                )
                for n in range(SINGLES)
            ]
        bare = [synced_write(home / "bare", rows.vectors[:BATCH].tobytes()) for _ in range(20)]
        bare_single = [synced_write(home / "bare", rows.vectors[:1].tobytes()) for _ in range(SINGLES)]
    found = {
        "rows": len(batches) * BATCH,
        "dim": rows.vectors.shape[1],
        "rows_per_second": BATCH * len(batches) / sum(batches),
        "median_batch_rows_per_second": BATCH / float(np.median(batches)),
        "single_ms": float(np.median(singles)) * 1e3,
        "single_p95_ms": float(np.quantile(singles, 0.95)) * 1e3,
        "bare_write_rows_per_second": BATCH / float(np.median(bare)),
        "bare_write_single_ms": float(np.median(bare_single)) * 1e3,
    }
    cells = [
        f"{found['rows']:,} x {found['dim']}",
        f"{found['rows_per_second']:,.0f}",
        f"{found['median_batch_rows_per_second']:,.0f}",
        f"{found['bare_write_rows_per_second']:,.0f}",
        f"{found['single_ms']:.2f}",
        f"{found['single_p95_ms']:.2f}",
        f"{found['bare_write_single_ms']:.2f}",
    ]
    headers = ("rows", "rows/s", "rows/s, median batch", "bare write + fsync", "one row, ms", "p95 ms", "bare ms")
    show("\n## Durable adds in batches of 1,000\n", table(headers, [cells]))
    return [found]


def synced_write(path: Path, content: bytes) -> float:
    """Seconds to append bytes to a file until they are on the disk: what the disk allows at best."""
    start = time.perf_counter()
    with open(path, "ab", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())
    return time.perf_counter() - start


# ---- collections that are measured several ways ----------------------------------------------------------------------


def built(rows: Stock, path: Path, threads: int, **given: Any) -> None:
    """A collection in a folder with an index on the field ``bucket``."""
    with nk.build_folder(rows.blocks, path, metric=rows.metric, seed=0, threads=threads, **given) as mine:
        mine.index_field("bucket")
        progress(f"{rows.name}: {mine.plan} {mine.search_defaults}")


# ---- opening ---------------------------------------------------------------------------------------------------------


def opening(options: argparse.Namespace) -> list[dict[str, Any]]:
    """`nearkin.open` and the first answer, for reading and for writing, with a built index and with none."""
    rows, results = stock("sift", options.rows, 1), []
    with scratch(options) as home:
        for plan in ("flat", PLAN):
            built(rows, home / "mine", options.threads, plan=plan, overwrite=True)
            for readonly in (True, False):
                took = np.array(
                    [opened(home / "mine", rows, readonly, options.threads) for _ in range(options.rounds + 1)]
                )
                first, answer = np.median(took[1:], axis=0)
                results.append(
                    {
                        "rows": len(rows),
                        "plan": plan,
                        "readonly": readonly,
                        "open_seconds": float(first),
                        "first_answer_seconds": float(answer),
                    }
                )
    cells = (
        [
            f"{each['rows']:,}",
            each["plan"],
            "reading" if each["readonly"] else "writing",
            f"{each['open_seconds']:.3f}",
            f"{each['first_answer_seconds']:.3f}",
        ]
        for each in results
    )
    show("\n## Opening\n", table(("rows", "plan", "for", "open, s", "open and first answer, s"), cells))
    return results


def opened(path: Path, rows: Stock, readonly: bool, threads: int) -> tuple[float, float]:
    """Seconds until it is open, and until it has answered."""
    start = time.perf_counter()
    with nk.open(path, readonly=readonly, threads=threads) as mine:
        first = time.perf_counter() - start
        mine.search(rows.queries[:1], K)
        return first, time.perf_counter() - start


# ---- filters ---------------------------------------------------------------------------------------------------------

Filters = tuple[tuple[str, Callable[[int], str]], ...]


def filters_of(rows: Stock) -> Filters:
    """Filters in words, and as an expression for each turn: another one in each, so that none is remembered."""
    names = [row["class"] for row in rows.metadata]
    kinds = sorted(set(names), key=lambda kind: abs(names.count(kind) - len(names) / 10))
    return (
        ("indexed, 1 %", lambda turn: f"bucket = {turn % 100}"),
        ("indexed, 10 %", lambda turn: f"bucket >= {turn % 90} and bucket < {turn % 90 + 10}"),
        ("indexed, 50 %", lambda turn: f"bucket >= {turn % 50} and bucket < {turn % 50 + 50}"),
        ("indexed, 90 %", lambda turn: f"bucket != {turn % 100} and bucket < {90 + turn % 10}"),
        ("not indexed, 1 %", lambda turn: f"price >= {turn * 10} and price < {turn * 10 + 10}"),
        ("not indexed, 10 %", lambda turn: f"price >= {turn * 10} and price < {turn * 10 + 100}"),
        ("correlated, not indexed", lambda turn: f"class = '{kinds[turn % len(kinds)]}'"),
    )


def filters(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A batch under filters beside the same batch without: at once after opening, the first time, and again."""
    results: list[dict[str, Any]] = []
    for name in options.data:
        rows = stock(name, options.rows, options.queries)
        with scratch(options) as home:
            built(rows, home / "mine", options.threads, **asked(options))
            results += filtered(rows, home / "mine", options)
    headers = ("data", "filter", "keeps", "recall", "again", "first time", "after opening", "without, q/s")
    cells = (
        [
            each["data"],
            each["filter"],
            f"{each['share']:.2%}",
            f"{each['recall']:.4f}",
            f"{each['again_ratio']:.2f} x",
            f"{each['new_ratio']:.2f} x",
            f"{each['after_opening_ratio']:.2f} x",
            f"{each['unfiltered_qps']:,.0f}",
        ]
        for each in results
    )
    show(f"\n## Under filters: seconds of {options.queries:,} queries over those without\n", table(headers, cells))
    return results


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """How indexes are asked for: by a plan, or a recall."""
    return {"plan": options.plan} if options.plan else {"recall": options.recall}


def filtered(rows: Stock, path: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each filter on one collection."""
    results = []
    queries, threads = rows.queries, options.threads
    with nk.open(path, readonly=True, threads=threads) as mine:
        plain = overlap(mine.search(queries, K).positions, truth_of(mine, queries, None, threads))
        progress(f"{rows.name}: recall {plain:.4f} without a filter")
        for words, expression in filters_of(rows):
            again, without = np.median(
                paired_seconds(
                    [lambda: mine.search(queries, K, where=expression(0)), lambda: mine.search(queries, K)],  # noqa: B023
                    options.rounds,
                ),
                axis=0,
            )
            new = [
                seconds_of(lambda turn=turn: mine.search(queries, K, where=expression(turn)))  # noqa: B023
                for turn in range(1, options.rounds + 1)
            ]
            result = mine.search(queries, K, where=expression(0))
            first = np.median([after_opening(path, queries, expression(0), threads) for _ in range(3)])
            results.append(
                {
                    "data": rows.name,
                    "plan": mine.plan,
                    "search": mine.search_defaults,
                    "filter": words,
                    "share": mine.count(expression(0)) / len(mine),
                    "recall": overlap(result.positions, truth_of(mine, queries, expression(0), threads)),
                    "unfiltered_recall": plain,
                    "unfiltered_qps": len(queries) / float(without),
                    "again_ratio": float(again / without),
                    "new_ratio": float(np.median(new) / without),
                    "after_opening_ratio": float(first / without),
                }
            )
            progress(f"{words}: {results[-1]}")
    return results


def after_opening(path: Path, queries: np.ndarray, expression: str, threads: int) -> float:
    """Seconds of the first search of all under a filter, which verifies the metadata; opening itself is not counted."""
    with nk.open(path, readonly=True, threads=threads) as mine:
        mine.search(queries, K)
        return seconds_of(lambda: mine.search(queries, K, where=expression))


# ---- the bare index --------------------------------------------------------------------------------------------------


def bare(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Search through a collection opened from disk beside the faiss index that it reads, in turns."""
    import faiss

    results = []
    for name in options.data:
        rows = stock(name, options.rows, options.queries)
        with scratch(options) as home:
            built(rows, home / "mine", options.threads, **asked(options))
            with nk.open(home / "mine", readonly=True, threads=options.threads) as mine:
                faiss.omp_set_num_threads(options.threads)
                results.append({"data": rows.name, "plan": mine.plan, **beside_faiss(mine, rows.queries, options)})
    headers = ("data", "plan", "batch of bare", "single of bare", "single, us")
    cells = (
        [
            each["data"],
            each["plan"],
            f"{each['batch_ratio']:.3f}",
            f"{each['single_ratio']:.3f}",
            f"{each['single_us']:.0f}",
        ]
        for each in results
    )
    show("\n## Beside the bare faiss index\n", table(headers, cells))
    return results


def beside_faiss(mine: nk.Collection, queries: np.ndarray, options: argparse.Namespace) -> dict[str, float]:
    """Ratios of speed, of a batch and of single queries, with the same search parameters."""
    index: Any = mine.index
    raw, parameters = mine.to_faiss(), index._search_parameters(K, None, index.resolve({}))
    prepared = mine.metric.prepare_queries(queries)
    batch = paired_seconds(
        [lambda: mine.search(queries, K), lambda: raw.search(prepared, K, params=parameters)], options.rounds
    )
    some, ready = ([each[n : n + 1].copy() for n in range(100)] for each in (queries, prepared))
    single = paired_seconds(
        [
            lambda: [mine.search(one, K) for one in some],
            lambda: [raw.search(one, K, params=parameters) for one in ready],
        ],
        options.rounds,
    )
    return {
        "batch_ratio": float(np.median(batch[:, 1] / batch[:, 0])),
        "single_ratio": float(np.median(single[:, 1] / single[:, 0])),
        "single_us": float(np.median(single[:, 0])) / len(some) * 1e6,
        "bare_single_us": float(np.median(single[:, 1])) / len(some) * 1e6,
    }


def peers(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The other stores, each in a process of its own."""
    with scratch(options) as home:
        return compare(home, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS), choices=SECTIONS)
    parser.add_argument("--data", nargs="+", default=["sift", "wordnet"], help="for filters and bare")
    parser.add_argument("--peers", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--rows", type=int, help="only the first rows")
    parser.add_argument("--queries", type=int, default=1000, help="in a batch of filters and bare")
    parser.add_argument("--peer-queries", type=int, default=2000)
    parser.add_argument("--plan", help="for filters and bare, in place of what --recall chooses")
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", help="on the disk to measure; the system's folder for temporary files")
    parser.add_argument("--quick", action="store_true", help="few rows, to try the script")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.queries, options.peer_queries, options.rounds = options.rows or 5000, 200, 100, 3
        options.plan = options.plan or PLAN
    sections = {"adds": adds, "opening": opening, "filters": filters, "bare": bare, "peers": peers}
    found = {name: sections[name](options) for name in SECTIONS if name in options.sections}
    show("", json_line(found))


if __name__ == "__main__":
    main()
