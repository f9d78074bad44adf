"""Rows on their way from blocks into a folder: through the gate, in parts worth a commit, no id twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import CorruptFileError, ParameterError, VectorError
from nearkin.formats import Block
from nearkin.ids import need_distinct
from nearkin.intake import ids_of_kept, metadata_of_kept
from nearkin.metadata_text import MetadataText
from nearkin.rows import Rows
from nearkin.vectors import Gate, block_rows

ROWS_A_COMMIT = 65_536


class Part(NamedTuple):
    """Rows that passed the gate, with what belongs to them."""

    vectors: np.ndarray
    ids: list[Any] | None
    metadata: list[MetadataText | None] | None


def screened(blocks: Iterable[Block], gate: Gate) -> Iterator[Part]:
    """What passes the gate, block by block.

    Raises
    ------
    VectorError
        At the end: rows are bad that are not to be left out, or none is good, or there are none.
    ParameterError
        Ids or metadata that cannot be stored.
    """
    good = 0
    for block in blocks:
        first = gate.rows
        found = gate.take(block.vectors)
        if gate.failed or not len(found.vectors):
            continue  # once it failed, the rest is read to tell of all bad rows at once
        good += len(found.vectors)
        yield Part(found.vectors, ids_of_kept(block.ids, found, first), metadata_of_kept(block.metadata, found, first))
    gate.need_good()
    if not gate.rows:
        raise VectorError("there are no rows to build from", hint="pass at least one vector")
    if not good:
        raise VectorError(f"none of the {gate.rows:,} rows can be used: {gate.complaint}")


def stage(parts: Iterator[Part], rows: Rows) -> None:
    """Append all parts to rows that are empty.

    Raises
    ------
    ParameterError
        Two rows have one id, some parts have ids and others none, or ids are of two kinds.
    """
    for part in _grouped(parts):
        ids = _ids_of(part, rows)
        try:
            rows.commit(vectors=part.vectors, ids=ids, metadata=part.metadata)
        except CorruptFileError:  # SQLite takes no id twice
            there = rows.ids.at(np.arange(len(rows))).tolist()
            need_distinct([*there, *ids, *(each for later in parts for each in later.ids or ())])
            raise


def _ids_of(part: Part, rows: Rows) -> list[Any]:
    if part.ids is None:
        if len(rows) and rows.ids.table is not None:
            raise _ids_missing(len(rows))
        return list(range(len(rows), len(rows) + len(part.vectors)))
    kind = "str" if isinstance(part.ids[0], str) else "int"
    if len(rows) and kind != rows.ids.kind:
        raise ParameterError("ids mix whole numbers and strings, one kind expected")
    return part.ids


def _ids_missing(row: int) -> ParameterError:
    return ParameterError(f"some blocks have ids and others have none (from row {row:,} on)", hint="give all or none")


def _grouped(parts: Iterator[Part]) -> Iterator[Part]:
    """Small parts together, since each commit waits for the disk."""
    some: list[Part] = []
    for part in parts:
        if some and (part.ids is None) != (some[0].ids is None):
            raise _ids_missing(sum(len(each.vectors) for each in some))
        some.append(part)
        if sum(len(each.vectors) for each in some) >= min(ROWS_A_COMMIT, block_rows(part.vectors[0].nbytes)):
            yield _joined(some)
            some = []
    if some:
        yield _joined(some)


def _joined(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    counts = [len(part.vectors) for part in parts]
    ids = one_after_another([part.ids for part in parts], counts, None)
    metadata = one_after_another([part.metadata for part in parts], counts, None)
    return Part(np.concatenate([part.vectors for part in parts]), ids, metadata)


def one_after_another(lists: Sequence[list[Any] | None], counts: Sequence[int], missing: Any) -> list[Any] | None:
    """Lists of parts as one, with `missing` for each row of a part that has none; None if no part has one.

    >>> one_after_another([["a"], None], [1, 2], "-")
    ['a', '-', '-']
    """
    if not any(lists):
        return None
    return [each for some, count in zip(lists, counts, strict=True) for each in some or [missing] * count]


class Reservoir:
    """A random sample of rows whose number is not known before; where they are few it has them all, in order.

    Source: J. Vitter, "Random sampling with a reservoir" (1985), algorithm R.

    >>> sample = Reservoir(3, seed=0)
    >>> sample.add(np.float32([[1], [2]]))
    >>> sample.rows.tolist()
    [[1.0], [2.0]]
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most = most
        self._rng = np.random.default_rng(seed)
        self._seen = 0
        self._kept: np.ndarray | None = None

    @property
    def rows(self) -> np.ndarray:
        """(m, dim) rows, m at most what was asked for."""
        assert self._kept is not None, "no rows were added"
        return self._kept[: self._seen]

    def add(self, rows: np.ndarray) -> None:
        """Offer (n, dim) rows: each is as likely to be in the sample as any before."""
        if self._kept is None:
            self._kept = np.empty((self._most, *rows.shape[1:]), dtype=rows.dtype)
        few = rows[: max(0, self._most - self._seen)]
        self._kept[self._seen : self._seen + len(few)] = few
        many = rows[len(few) :]
        seen = self._seen + len(few) + np.arange(1, len(many) + 1)
        places = self._rng.integers(0, seen)
        taken = np.flatnonzero(places < self._most)
        self._kept[places[taken]] = many[taken]  # of two for one place, numpy keeps the later one
        self._seen += len(rows)


class ItemReservoir:
    """A random sample of items whose number is not known before, as `Reservoir` is of rows.

    >>> sample = ItemReservoir(2, seed=0)
    >>> sample.add(["a", "b"])
    >>> sample.items
    ['a', 'b']
    """

    def __init__(self, most: int, seed: int) -> None:
        self._sample = Reservoir(most, seed)

    @property
    def items(self) -> list[Any]:
        """As many as were asked for, at most."""
        return list(self._sample.rows.tolist())

    def add(self, items: Sequence[Any]) -> None:
        """Offer texts or records: each is as likely to be in the sample as any before."""
        objects = np.empty(len(items), dtype=object)
        objects[:] = items
        self._sample.add(objects)
