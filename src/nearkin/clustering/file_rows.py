"""Rows of a file, or of an array mapped from one, as clusterers read them: block by block, prepared by the metric."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from nearkin.building import FIT_ROWS
from nearkin.errors import VectorError
from nearkin.files import Formats, find_format
from nearkin.intake import gate_of
from nearkin.metrics import Metric
from nearkin.row_source import ArrayRows, RowSource
from nearkin.vectors import as_matrix


class FileRows(RowSource):
    """Rows of a file of any format, or of a mapped array; of a format that can be mapped, the map.

    Parameters
    ----------
    given
        A path, or an array that lies in a file that is mapped for reading.
    metric
        That prepares rows; `fitted` fits it where it needs that.

    Raises
    ------
    StorageError, CorruptFileError, UnknownNameError, NotSupportedError
        As for `nearkin.read_vectors`.
    """

    def __init__(self, given: str | os.PathLike[str] | np.ndarray, metric: Metric, registry: Formats) -> None:
        self.metric = metric
        self.rows: int
        self.width: int
        self._path: Any = given
        self._mapped: np.ndarray | None
        if isinstance(given, np.ndarray):
            as_matrix(given[:0], dtype=metric.dtype)
            self._mapped = np.asarray(given)
            self.itemsize, rows, self.width = given.itemsize, len(given), given.shape[1]
            self.name = "the mapped array"
        else:
            self._format = find_format(given, registry=registry)
            summary = self._format.describe(given)
            self._mapped = self._format.memory_map(given)
            self.itemsize, self.width = np.dtype(summary.dtype).itemsize, summary.dim
            rows = -1 if summary.rows is None else summary.rows
            self.name = str(given)
        self.rows = rows
        self.dim = metric.prepared_dim(self.width)
        self._fitted = not metric.needs_fit

    def checked(self, step: int, seed: int = 0) -> FileRows:
        """Itself, once every row has been seen: all of them fit for the metric, counted, and the metric fitted on a sample.

        Raises
        ------
        VectorError
            There are no rows, or bad ones (their numbers named).
        """
        gate = gate_of(self.metric, self.width, "fail")
        for _, rows in self.as_stored(step):
            gate.take(rows)
        self.rows = gate.rows
        if not self.rows:
            raise VectorError("there are no rows to cluster", hint="pass at least one vector")
        gate.need_good(remedy="remove them")
        if not self._fitted:
            chosen = np.arange(self.rows)
            if self.rows > FIT_ROWS:
                chosen = np.sort(np.random.default_rng(seed).choice(self.rows, FIT_ROWS, replace=False))
            self.metric.fit_for_centroids(_Raw(self).taken(chosen, step))
            self._fitted = True
        return self

    def blocks(self, step: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for numbers, rows in self.as_stored(step, rng):
            yield numbers, self.metric.prepare(as_matrix(rows, dtype=self.metric.dtype))

    def as_stored(self, step: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Blocks as they are in the file."""
        if self._mapped is not None:
            yield from ArrayRows(self._mapped).blocks(step, rng)
            return
        first = 0
        for block in self._format.read(self._path, rows=step):
            count = len(block.vectors)
            if count:
                yield np.arange(first, first + count), block.vectors
            first += count


class _Raw(RowSource):
    """The rows of a file before they are prepared, as float32."""

    def __init__(self, source: FileRows) -> None:
        self._source = source
        self.rows, self.dim = source.rows, source.width

    def blocks(self, step: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for numbers, rows in self._source.as_stored(step, rng):
            yield numbers, as_matrix(rows, dtype=self._source.metric.dtype)
