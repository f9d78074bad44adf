"""An IVF index by the clusterer of its cells: recall, latency, training, how even the cells are.

Every clusterer builds ``ivf{nlist}:clusterer=NAME`` over float32 rows in a process of its own, which is ended at the time limit;
the indexes are then measured side by side in this one: recall@10 at fixed nprobe (ties of the tenth neighbour counted as right),
and queries a second at the least nprobe that reaches a recall of 0.95, medians of rounds in turns. Clusterers that are refused
under the metric, fail, or run out of time have a line that says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nearkin as nk
from datasets import FILES, Dataset, load
from equal_recall import Judge, frozen, json_line, paired_seconds, progress, show, table
from nearkin.baseline import cells_of
from nearkin.objectives import SQUARES
from nearkin.registry import default_registry

NPROBE = (1, 8, 32)
LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 192, 256, 512)
"""Values of nprobe that may reach the target."""
TARGET = 0.95

HEADERS = (
    "clusterer",
    "training, s",
    "imbalance",
    "largest cell",
    *(f"recall@10 at nprobe {nprobe}" for nprobe in NPROBE),
    f"nprobe for {TARGET:g}",
    f"rows scanned at {TARGET:g}",
    f"q/s at {TARGET:g}",
)


def data_of(name: str, options: argparse.Namespace) -> Dataset:
    """A data set, cut to the first rows if it is only tried."""
    data = load(name, options.queries)
    return data._replace(vectors=frozen(data.vectors, options.rows))


def build_one(name: str, clusterer: str, folder: str, options: argparse.Namespace) -> None:
    """In a process of its own: build, and leave the collection and its facts in a folder."""
    data = data_of(name, options)
    plan = f"ivf{nlist_of(data, options)}:clusterer={clusterer}"
    try:
        built = nk.build(data.vectors, metric=data.metric, plan=plan, seed=options.seed, threads=options.threads)
    except nk.NearkinError as error:
        Path(folder, "facts.json").write_text(json.dumps({"said": f"refused: {error}"}))
        return
    cells = cells_of(built.recipe, built.rows, built.index, built.rows.alive)
    facts = {"train_seconds": built.timings.train, "imbalance": cells.imbalance, "largest": cells.largest}
    built.save(Path(folder, "collection"))
    Path(folder, "facts.json").write_text(json.dumps(facts))


def nlist_of(data: Dataset, options: argparse.Namespace) -> int:
    """Cells: as asked for, else the square root of the rows."""
    return options.nlist or round(len(data.vectors) ** 0.5)


def built_by(name: str, clusterer: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The facts that the process left, or what became of it."""
    folder.mkdir()
    given = [name, clusterer, str(folder)]
    passed = [f"--{key}={getattr(options, key)}" for key in ("queries", "threads", "seed")]
    passed += [f"--{key}={getattr(options, key)}" for key in ("rows", "nlist") if getattr(options, key)]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--one", *given, *passed],
            timeout=options.time_limit,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"said": f"ended after {options.time_limit:g} s"}
    progress(f"{name}, {clusterer}: {time.perf_counter() - start:.1f} s")
    left = folder / "facts.json"
    if not left.is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"said": f"failed with exit code {done.returncode}: {last}"}
    return dict(json.loads(left.read_text()))


def run(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All clusterers on one data set."""
    data = data_of(name, options)
    clusterers = options.clusterers or default_registry().names("clusterer")
    n, dim = data.vectors.shape
    show(
        f"\n## {data.name}, {n:,} x {dim}, {data.metric}, {nlist_of(data, options)} cells, {options.threads} threads, "
        f"{len(data.queries):,} queries, at most {options.time_limit:g} s to build\n"
    )
    judge = Judge(data.vectors, data.queries, data.metric, options.threads)
    results, opened = [], []
    with tempfile.TemporaryDirectory() as folder:
        for clusterer in clusterers:
            found = {"data": data.name, "clusterer": clusterer}
            found |= built_by(name, clusterer, Path(folder, clusterer.replace(":", "_")), options)
            results.append(found)
            if "said" in found:
                continue
            index = nk.open(Path(folder, clusterer.replace(":", "_"), "collection"), threads=options.threads)
            found |= measured(index, judge, nlist_of(data, options))
            opened.append((found, index))
        calls = [
            partial(index.search, data.queries, 10, nprobe=found["nprobe"] or NPROBE[0]) for found, index in opened
        ]
        seconds = np.median(paired_seconds(calls, options.rounds), axis=0) if calls else ()
        for (found, index), took in zip(opened, seconds, strict=True):
            found["qps"] = len(data.queries) / float(took) if found["nprobe"] else None
            index.close()
    show(table(HEADERS, [line(found) for found in results]))
    return results


def measured(index: Any, judge: Judge, nlist: int) -> dict[str, Any]:
    """Recall at fixed nprobe, and the least nprobe that reaches the target with the share of the rows in its cells."""

    def recall(nprobe: int) -> float:
        return judge.recall(index.search(judge.queries, 10, nprobe=nprobe).positions)

    recalls = {str(nprobe): recall(min(nprobe, nlist)) for nprobe in NPROBE}
    enough = next((nprobe for nprobe in LADDER if nprobe <= nlist and recall(nprobe) >= TARGET), None)
    return {"recalls": recalls, "nprobe": enough, "scanned": None if enough is None else scanned(index, judge, enough)}


def scanned(index: Any, judge: Judge, nprobe: int) -> float:
    """Mean share of the rows that lie in the cells looked into."""
    recipe, rows = index.recipe, index.rows
    centroids = index.index.centroids()
    prepared = recipe.metric.prepare_queries(judge.queries)
    labels = SQUARES.assign(recipe.metric.prepare(rows.take(np.arange(len(rows)))), centroids)[0]
    sizes = np.bincount(labels, minlength=len(centroids))
    nearest = np.argpartition(SQUARES.costs(prepared, centroids), nprobe - 1, axis=1)[:, :nprobe]
    return float(sizes[nearest].sum(axis=1).mean() / len(labels))


def line(found: dict[str, Any]) -> list[str]:
    """A row of the table."""
    name = f"`{found['clusterer']}`"
    if "said" in found:
        return [name, found["said"], *[""] * (len(HEADERS) - 2)]
    reached = (
        [f"{found['nprobe']}", f"{found['scanned']:.1%}", f"{found['qps']:,.0f}"]
        if found["nprobe"]
        else ["not reached", "", ""]
    )
    recalls = [f"{value:.4f}" for value in found["recalls"].values()]
    return [
        name,
        f"{found['train_seconds']:.1f}",
        f"{found['imbalance']:.2f}",
        f"{found['largest']:,}",
        *recalls,
        *reached,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--clusterers", nargs="+", help="with options or without; all that there are if left out")
    parser.add_argument("--nlist", type=int, help="cells; the square root of the rows if left out")
    parser.add_argument("--rows", type=int, help="only the first rows, to try the script")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds for each clusterer on each data set")
    parser.add_argument("--one", nargs=3, metavar=("DATA", "CLUSTERER", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        build_one(*options.one, options)
        return
    results = [each for name in options.data for each in run(name, options)]
    show(json_line({"time_limit": options.time_limit, "results": results}))


if __name__ == "__main__":
    main()
