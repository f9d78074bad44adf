"""Data for the benchmarks: real where `NEARKIN_DATA` names a folder that has it, else random of the same shape."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

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
