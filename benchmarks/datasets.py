"""Data for the benchmarks: real where `NEARKIN_DATA` names a folder that has it, else random of the same shape."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np


class Dataset(NamedTuple):
    """Vectors to index, queries that are not among them, and the metric they are meant for."""

    name: str
    vectors: np.ndarray
    queries: np.ndarray
    metric: str


FILES = {
    "fashion-mnist": ("fashion-784-euclidean.npz", "euclidean", (60_000, 784)),
    "wordnet": ("wordnet-384-angular.npz", "cosine", (60_000, 384)),
    "sift": ("sift-128-euclidean.npz", "euclidean", (300_000, 128)),
}


def load(name: str, queries: int = 1000) -> Dataset:
    """A data set by its short name."""
    file, metric, shape = FILES[name]
    path = Path(os.environ.get("NEARKIN_DATA", "")) / file
    if path.is_file():
        with np.load(path) as archive:
            vectors = archive["train"].astype(np.float32)
            asked = archive["test"][:queries].astype(np.float32)
        return Dataset(name, vectors, asked, metric)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, shape[1])).astype(np.float32)

    def draw(n: int) -> np.ndarray:
        return centres[rng.integers(0, 200, n)] + rng.normal(scale=0.6, size=(n, shape[1])).astype(np.float32)

    return Dataset(f"random data of the shape of {name}", draw(shape[0]), draw(queries), metric)


BITS = 2048


def load_fingerprints(queries: int = 500) -> Dataset:
    """2,048-bit fingerprints of WordNet's glosses: one bit for each run of three to five characters, by its hash."""
    folder = Path(os.environ.get("NEARKIN_DATA", ""))
    if (folder / "wordnet-train.tsv").is_file():
        rows, asked = (_glosses(folder / f"wordnet-{part}.tsv") for part in ("train", "test"))
        return Dataset("wordnet-fingerprints", _fingerprints(rows), _fingerprints(asked[:queries]), "jaccard")
    rng = np.random.default_rng(0)
    prototypes = rng.random((500, BITS)) < 0.1

    def draw(n: int) -> np.ndarray:
        kept = prototypes[rng.integers(0, 500, n)] & (rng.random((n, BITS)) < 0.6)
        return np.packbits(kept | (rng.random((n, BITS)) < 0.02), axis=1)

    return Dataset("random fingerprints", draw(60_000), draw(queries), "jaccard")


def _glosses(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.rpartition("\t")[2].lower() for line in lines[1:]]


def _fingerprints(texts: list[str]) -> np.ndarray:
    packed = np.zeros((len(texts), BITS // 8), dtype=np.uint8)
    for row, text in enumerate(texts):
        runs = {text[i : i + size] for size in (3, 4, 5) for i in range(len(text) - size + 1)}
        bits = np.zeros(BITS, dtype=bool)
        bits[[crc32(run.encode()) % BITS for run in runs]] = True
        packed[row] = np.packbits(bits)
    return packed
