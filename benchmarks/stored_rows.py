"""Rows as collections have them, with ids and metadata, and filters on these: what the benchmarks of collections share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nearkin as nk
from datasets import load
from equal_recall import K, frozen
from nearkin.accuracy import recall

BUCKETS = 100
"""Values of the field ``bucket``, in turns over the rows: each keeps 1 %, and has nothing to do with the vectors."""

CLASSES = 45


class Stock(NamedTuple):
    """Vectors with string ids and metadata of three fields, and queries."""

    name: str
    metric: str
    vectors: np.ndarray
    queries: np.ndarray
    ids: list[str]
    metadata: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int, start: int = 0) -> Iterator[tuple[np.ndarray, list[str], list[dict[str, Any]]]]:
        """Vectors, ids and metadata of `size` rows at a time."""
        for first in range(start, len(self.vectors), size):
            part = slice(first, first + size)
            yield self.vectors[part], self.ids[part], self.metadata[part]

    def blocks(self) -> Iterator[nk.Block]:
        """The same as `nearkin.build_folder` takes it."""
        return (nk.Block(*batch) for batch in self.batches(10_000))


def stock(name: str, rows: int | None, queries: int) -> Stock:
    """A data set with ids and metadata: ``bucket`` and ``price`` by chance, ``class`` tells of the vector."""
    data = load(name, queries)
    vectors = frozen(data.vectors, rows)
    n = len(vectors)
    order = np.random.default_rng(0).permutation(n)
    buckets, prices = (order % BUCKETS).tolist(), (order * 7919 % 100_000 / 100).tolist()
    classes = classes_of(name, vectors)
    metadata = [
        {"bucket": bucket, "price": price, "class": kind}
        for bucket, price, kind in zip(buckets, prices, classes, strict=True)
    ]
    return Stock(data.name, data.metric, vectors, data.queries, [f"row-{n:07d}" for n in range(n)], metadata)


def classes_of(name: str, vectors: np.ndarray) -> list[str]:
    """One a row: WordNet's lexicographer file, or else the nearest of 45 rows, so that those of one class lie together."""
    path = Path(os.environ.get("NEARKIN_DATA", "")) / "wordnet-train.tsv"
    if name == "wordnet" and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()[1 : len(vectors) + 1]
        return [line.split("\t")[1] for line in lines]
    chosen = np.random.default_rng(1).choice(len(vectors), CLASSES, replace=False)
    nearest = nk.build(vectors[chosen], plan="flat").search(vectors, 1).positions[:, 0]
    return [f"class-{number}" for number in nearest.tolist()]


class Condition(NamedTuple):
    """A filter on one field, in a form that every library's language can be given."""

    field: str
    operator: str
    value: Any

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {quoted(self.value)}"

    def keeps(self, metadata: dict[str, Any]) -> bool:
        """Whether a row passes."""
        found = metadata[self.field]
        return bool(found < self.value) if self.operator == "<" else bool(found == self.value)


def quoted(value: Any) -> str:
    """A value as SQL and nearkin's filters write it; there are no quotes in ours.

    >>> quoted(7), quoted("noun.act")
    ('7', "'noun.act'")
    """
    return f"'{value}'" if isinstance(value, str) else str(value)


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean share of the true neighbours found, padding left out."""
    return float(recall(np.asarray(found, dtype=np.int64), truth).mean()) if truth.shape[1] else float("nan")


def seconds_of(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def bytes_below(path: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def truth_of(held: nk.Collection, queries: np.ndarray, where: str | None, threads: int) -> np.ndarray:
    """(nq, 10) positions of the true neighbours among the rows that a filter keeps."""
    return held.exact_search(queries, K, where=where, threads=threads).positions
