"""Clustering rows that stay in their file: which methods can, and how large blocks and samples may be under a ceiling of memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.budgets import read_bytes
from nearkin.centroids import Clusterer, Partition, checked_mass, checked_start, need_clusters
from nearkin.clustering.file_rows import FileRows
from nearkin.clustering.result import Clustering
from nearkin.errors import BudgetError, NotSupportedError, ParameterError
from nearkin.mapped_pages import is_mapped
from nearkin.metrics import Metric
from nearkin.objectives import Objective
from nearkin.registry import Registry
from nearkin.row_source import RowsTask, StreamingClusterer
from nearkin.running_centroids import RUNNING_RULES
from nearkin.vectors import as_vectors, block_rows

SHARE = 0.75
"""Of the memory that may be used, what is planned for: libraries keep some of what they are given back."""

BLOCK = 1 << 16
"""Rows of a block, at most."""

FEWEST = 256
"""Rows of a block, at least: with fewer there would be no end of reading."""

SAMPLE = 20_000, 32
"""Rows among which a start is found, at most: so many, or so many a centroid."""

THREADS = 8
"""Under a ceiling, at most: the size of blocks, and with it the result, must not depend on them."""

AT_HAND = 10_000
"""Rows of a file that a result keeps as a sample, at most."""


@dataclass(frozen=True)
class Asked:
    """What is asked of rows, whether they are in memory or in a file."""

    clusterer: Clusterer
    objective: Objective
    metric: Metric
    method: str
    metric_name: str
    k: int
    n_init: int | None
    seed: int
    threads: int

    def result(self, found: Partition, prepared: np.ndarray, mass: np.ndarray, **more: Any) -> Clustering:
        """What the user is given."""
        names = self.method, self.metric_name
        return Clustering(found, prepared, self.metric, self.objective, *names, mass, self.seed, self.threads, **more)


@dataclass(frozen=True)
class Room:
    """How many rows there is memory for.

    Attributes
    ----------
    step
        Rows of a block.
    sample
        Rows among which a start is found.
    """

    step: int
    sample: int


def in_file(vectors: Any, memory: int | str | None) -> bool:
    """Whether rows lie in a file.

    Raises
    ------
    ParameterError
        A ceiling of memory is given for rows that are in memory already.
    """
    if isinstance(vectors, str | os.PathLike):
        return True
    mapped = isinstance(vectors, np.ndarray) and is_mapped(vectors)
    if memory is not None and not mapped:
        raise ParameterError(
            f"memory is {memory!r}, and the rows are in memory already", hint="pass the path of a file, or leave it out"
        )
    return mapped


def streams(
    clusterer: Clusterer, objective: Objective, source: FileRows, memory: int | str | None, registry: Registry
) -> bool:
    """Whether the clusterer reads the file block by block; if it cannot, the rows have to fit into memory.

    Raises
    ------
    NotSupportedError
        They do not.
    """
    if isinstance(clusterer, StreamingClusterer) and objective.rule in RUNNING_RULES:
        return True
    if memory is not None and source.rows >= 0 and source.bytes_in_memory > SHARE * read_bytes(memory):
        able = [
            spec.name
            for spec in registry.specs("clusterer")
            if isinstance(registry.make("clusterer", spec.name), StreamingClusterer)
        ]
        how = "" if objective.rule in RUNNING_RULES else f" under {source.metric.name!r}"
        raise NotSupportedError(
            f"method {clusterer.name!r}{how} needs all rows in memory, and {source.rows:,} rows of {source.name} take "
            f"{source.bytes_in_memory:,} bytes, more than memory={memory!r} allows",
            hint=f"use method={' or '.join(map(repr, able))} under a metric of means or directions, such as 'euclidean'",
        )
    return False


def cluster_blocks(
    source: FileRows, asked: Asked, start: np.ndarray | None, weights: Any, memory: int | str | None
) -> Clustering:
    """What `nearkin.cluster` does for rows in a file."""
    clusterer = asked.clusterer
    assert isinstance(clusterer, StreamingClusterer)
    room = room_for(source, asked, memory)
    source.checked(room.step, asked.seed)
    need_clusters(asked.k, source.rows)
    room = room_for(source, asked, memory)
    mass = None if weights is None else checked_mass(weights, source.rows)
    if start is not None:
        start = asked.metric.prepare(as_vectors(start, dtype=asked.metric.dtype, what="init"))
        start = asked.objective.allowed(checked_start(start, (asked.k, source.dim), np.dtype(np.float32)))

    def fitted(trial: int) -> Partition:
        threads = asked.threads if memory is None else min(asked.threads, THREADS)
        given = asked.k, asked.objective, mass, asked.seed + trial, start, threads
        return clusterer.fit_rows(RowsTask(source, *given, room.step, room.sample))

    tries = 1 if start is not None else asked.n_init or 1
    best = min(map(fitted, range(tries)), key=lambda found: found.inertia)
    chosen = np.arange(source.rows)
    if source.rows > (most := min(AT_HAND, room.sample)):
        chosen = np.sort(np.random.default_rng(asked.seed).choice(source.rows, most, replace=False))
    prepared = source.taken(chosen, room.step)
    counted = np.broadcast_to(1.0, source.rows) if mass is None else mass
    return asked.result(best, prepared, counted, source=source, sample=chosen, step=room.step)


def room_for(source: FileRows, asked: Asked, memory: int | str | None) -> Room:
    """Rows of blocks and samples, such that the process grows by no more than `memory`.

    Raises
    ------
    BudgetError
        Not even labels and centroids have room.
    """
    most = max(SAMPLE[0], SAMPLE[1] * asked.k)
    if memory is None:
        return Room(min(BLOCK, block_rows(4 * source.width)), most)
    n, dim = max(source.rows, asked.k), max(source.width, source.dim)
    # labels; centroids, their sums and their farthest rows, twice while they are merged; scores of the rows of each thread
    fixed = 8 * n + 80 * asked.k * dim + 8 * 512 * asked.k * THREADS
    # as stored, as float32, prepared, as a batch; and in float64, weighted, while sums are taken
    a_row = dim * (source.itemsize + 4 + 4 + 4 + 24) + 100
    a_start = 16 * dim + 300
    left = int(SHARE * read_bytes(memory)) - fixed
    least = max(FEWEST * a_row, asked.k * a_start)
    if left < least:
        raise BudgetError(
            f"memory={memory!r} has no room for the labels of {n:,} rows, {asked.k:,} centroids of {dim} columns and a block: "
            f"{int((fixed + least) / SHARE):,} bytes are needed"
        )
    return Room(min(BLOCK, left // a_row), min(most, left // a_start))
