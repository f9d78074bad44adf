"""Clustering rows that stay in their file: which methods can, and how large blocks and samples may be under a ceiling of memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np

from nearkin.budgets import read_bytes
from nearkin.centroids import Partition, checked_mass, checked_start, need_clusters
from nearkin.clustering.file_rows import FileRows
from nearkin.clustering.number_of_clusters import choose
from nearkin.clustering.problem import Approach, best_of, derived_seed
from nearkin.clustering.result import Clustering
from nearkin.errors import BudgetError, NearkinError, NotSupportedError, ParameterError
from nearkin.mapped_pages import is_mapped
from nearkin.registry import Registry
from nearkin.row_source import RowsTask, StreamingClusterer
from nearkin.running_centroids import RUNNING_RULES
from nearkin.vectors import block_rows

SHARE = 0.75
"""Of the memory that may be used, what is planned for: libraries keep some of what they are given back."""

BLOCK = 1 << 16
"""Rows of a block, at most."""

FEWEST = 256
"""Rows of a block, at least: with fewer there would be no end of reading."""

KEPT_SHARE = 1 / 8
"""Of what is left beside the least, what the rows that a result keeps may take."""

SAMPLE = 20_000, 32
"""Rows among which a start is found, at most: so many, or so many a centroid."""

THREADS = 8
"""Under a ceiling, at most: the size of blocks, and with it the result, must not depend on them."""

AT_HAND = 10_000
"""Rows of a file that a result keeps as a sample, or two a cluster if that is more."""


@dataclass(frozen=True)
class Room:
    """How many rows there is memory for.

    Attributes
    ----------
    step
        Rows of a block.
    sample
        Rows among which a start is found.
    kept
        Rows that the result keeps as a sample.
    """

    step: int
    sample: int
    kept: int


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


def streams(source: FileRows, how: Approach, memory: int | str | None, registry: Registry) -> bool:
    """Whether the clusterer reads the file block by block; if it cannot, the rows are read into memory.

    Raises
    ------
    NotSupportedError
        It cannot, and memory has a ceiling.
    """
    clusterer, rule = how.clusterer, how.objective.rule
    if isinstance(clusterer, StreamingClusterer) and rule in RUNNING_RULES:
        return True
    if memory is not None:
        under = "" if rule in RUNNING_RULES else f" under {source.metric.name!r}"
        raise NotSupportedError(
            f"method {clusterer.name!r}{under} needs all rows of {source.name} in memory, and more for its work, so that "
            f"memory={memory!r} is no promise that it could keep",
            hint=f"use method={' or '.join(map(repr, _able(registry)))} under a metric of means or directions, such as "
            "'euclidean', or leave memory out",
        )
    return False


def _able(registry: Registry) -> list[str]:
    """Methods that read files block by block, of those that can be made here."""
    found = []
    for spec in registry.specs("clusterer"):
        try:
            if isinstance(registry.make("clusterer", spec.name), StreamingClusterer):
                found.append(spec.name)
        except NearkinError:
            continue
    return found


def cluster_blocks(
    source: FileRows, how: Approach, k: int | Literal["auto"], weights: Any, memory: int | str | None
) -> Clustering:
    """What `nearkin.cluster` does for rows in a file."""
    fewest = 2 if k == "auto" else k
    source.checked(room_for(source, fewest, memory).step, how.seed)
    mass = None if weights is None else checked_mass(weights, source.rows)
    room = room_for(source, fewest, memory)
    chosen = np.arange(source.rows)
    if source.rows > room.kept:
        chosen = np.sort(np.random.default_rng(how.seed).choice(source.rows, room.kept, replace=False))
    some = how.prepared_problem(source.taken(chosen, room.step), None if mass is None else mass[chosen])
    some = replace(some, tries=how.tries(source.rows))
    choice = choose(some, of=source.rows)[0] if k == "auto" else None
    wanted = choice.k if choice else cast(int, k)
    need_clusters(wanted, source.rows)
    room = room_for(source, wanted, memory)
    best = best_of(_fitted(source, how, wanted, mass, some.start, room, bounded=memory is not None))
    counted = np.broadcast_to(1.0, source.rows) if mass is None else mass
    return Clustering(best, some, counted, choice, source=source, sample=chosen, step=room.step)


def _fitted(
    source: FileRows,
    how: Approach,
    k: int,
    mass: np.ndarray | None,
    start: np.ndarray | None,
    room: Room,
    *,
    bounded: bool,
) -> Iterator[Partition]:
    """From each start."""
    clusterer = how.clusterer
    assert isinstance(clusterer, StreamingClusterer)
    if start is not None:
        start = how.objective.allowed(checked_start(start, (k, source.dim), np.dtype(np.float32)))
    threads = min(how.threads, THREADS) if bounded else how.threads
    for trial in range(how.tries(source.rows)):
        seed = derived_seed(how.seed, trial) if trial else how.seed
        yield clusterer.fit_rows(RowsTask(source, k, how.objective, mass, seed, start, threads, room.step, room.sample))


def room_for(source: FileRows, k: int, memory: int | str | None) -> Room:
    """Rows of blocks and samples, such that the process grows by no more than `memory`.

    Raises
    ------
    BudgetError
        Not even labels and centroids have room.
    """
    most, kept = max(SAMPLE[0], SAMPLE[1] * k), max(AT_HAND, 2 * k)
    if memory is None:
        return Room(min(BLOCK, block_rows(4 * source.width)), most, kept)
    n, dim = max(source.rows, k), max(source.width, source.dim)
    # labels; centroids, their sums and their farthest rows, twice while they are merged; scores of the rows of each thread
    fixed = 8 * n + 80 * k * dim + 8 * 512 * k * THREADS
    # as stored, as float32, prepared, as a batch; and in float64, weighted, while sums are taken
    a_row = dim * (source.itemsize + 4 + 4 + 4 + 24) + 100
    a_start = 16 * dim + 300
    left = int(SHARE * read_bytes(memory)) - fixed
    least = max(FEWEST * a_row, k * a_start)
    if left < least:
        raise BudgetError(
            f"memory={memory!r} has no room for the labels of {n:,} rows, {k:,} centroids of {dim} columns and a block: "
            f"{int((fixed + least) / SHARE):,} bytes are needed"
        )
    a_kept = 4 * dim + 16
    kept = min(kept, int(KEPT_SHARE * (left - least)) // a_kept + 1)
    left -= kept * a_kept
    return Room(min(BLOCK, left // a_row), min(most, left // a_start), kept)
