"""60,000 glosses from text to a searchable collection with one command, killed half-way and started again.

    NEARKIN_DATA=... python benchmarks/glosses_resumed.py --embedder lsa
    NEARKIN_DATA=... python benchmarks/glosses_resumed.py --embedder sentence-transformers:FOLDER --rows 4000

Beside it, the embedder is called directly on the same texts, in the same parts, in a process of its own, as often as the command
is: the share of its items a second that the whole command reaches counts reading, checking, committing and the index, too. Rows
that were committed when the process was killed are compared with what a second run embeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import nearkin as nk
from nearkin.bound_embedder import make_embedder
from nearkin.registry import default_registry

QUERIES = 200


def read_glosses(rows: int) -> list[list[str]]:
    """Header and rows of WordNet's glosses."""
    path = Path(os.environ.get("NEARKIN_DATA", "")) / "wordnet-train.tsv"
    if not path.is_file():
        sys.exit("NEARKIN_DATA names no folder with wordnet-train.tsv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))[: rows + 1]


def directly(embedder: str, texts: list[str], answer: Any) -> None:
    """Seconds that the embedder takes by itself: to learn, and to embed."""
    made = make_embedder(embedder, default_registry())
    if made.fitted:
        made.embed(texts[:8])
    start = time.perf_counter()
    if not made.fitted:
        made.fit(texts[:50_000])
    learned = time.perf_counter()
    made.embed(texts)
    answer.put((learned - start, time.perf_counter() - learned))


def in_a_process(embedder: str, texts: list[str]) -> tuple[float, float]:
    """What `directly` measures, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answer: Any = context.Queue()
    process = context.Process(target=directly, args=(embedder, texts, answer))
    process.start()
    while process.is_alive() and answer.empty():
        time.sleep(0.05)
    if answer.empty():
        sys.exit(f"{embedder} could not be measured by itself")
    found: tuple[float, float] = answer.get()
    process.join()
    return found


def command(file: Path, output: Path, embedder: str, threads: int) -> list[str]:
    """The one command."""
    return [
        *(sys.executable, "-m", "nearkin", "--threads", str(threads), "build", str(file), "--embedder", embedder),
        *("--text", "definition", "--id", "synset", "--plan", "ivf"),
        *("--on-bad", "skip", "-o", str(output), "--json"),
    ]


def committed(place: Path) -> int:
    """Rows that are on the disk."""
    try:
        with nk.open(place, readonly=True, unfinished=True) as collection:
            return len(collection)
    except nk.NearkinError:
        return 0


def killed_half_way(words: list[str], place: Path, rows: int) -> int:
    """Start the command, and kill it when half of the rows are committed; rows that are there then."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and committed(place) < rows // 2:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    return committed(place)


def measure(embedder: str, rows: int, threads: int) -> dict[str, Any]:
    """All numbers."""
    table = read_glosses(rows)
    texts = [row[table[0].index("definition")] for row in table[1:]]
    learning, embedding = in_a_process(embedder, texts)
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "glosses.tsv"
        with file.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out, delimiter="\t").writerows(table)
        whole, resumed = Path(home) / "whole", Path(home) / "resumed"
        report = json.loads(subprocess.check_output(command(file, whole, embedder, threads)))
        there = killed_half_way(command(file, resumed, embedder, threads), resumed, len(texts))
        again = json.loads(subprocess.check_output(command(file, resumed, embedder, threads)))
        went_on = int(again["notes"][0].split("first ")[1].split()[0].replace(",", "")) if again["notes"] else 0
        with nk.open(resumed, readonly=True) as collection, nk.open(whole, readonly=True) as other:
            asked = texts[:: max(1, len(texts) // QUERIES)][:QUERIES]
            same = collection.ids.tolist() == other.ids.tolist()
            recall = nk.recall(collection.search(asked, 10).positions, collection.exact_search(asked, 10).positions)
            uncovered, stored = collection.uncovered, len(collection.rows)
            kept = len(collection)
    return {
        "embedder": embedder,
        "texts": len(texts),
        "rows": kept,
        "left_out": len(texts) - kept,
        "directly_per_second": round(len(texts) / embedding, 1),
        "learning_seconds": round(learning, 2),
        "command_per_second": round(len(texts) / max(1e-9, report["seconds"]["read"] - learning), 1),
        "share": round(embedding / max(1e-9, report["seconds"]["read"] - learning), 3),
        "seconds_of_the_index": round(report["seconds"]["build"], 2),
        "committed_at_the_kill": there,
        "gone_on_after": went_on,
        "committed_rows_embedded_again": max(0, there - went_on) + stored - kept,
        "same_rows_as_uninterrupted": same,
        "not_in_the_index": uncovered,
        "recall_at_10": round(float(np.mean(recall)), 4),
    }


def main() -> None:
    """Print the numbers, and the same as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", default="lsa")
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    found = measure(given.embedder, given.rows, given.threads)
    for name, value in found.items():
        print(f"{name.replace('_', ' '):<32} {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
