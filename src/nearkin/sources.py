"""Where the rows of a new folder come from, block by block: a file of any format, or a function that gives blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from nearkin.errors import NearkinError, ParameterError, StorageError, VectorError
from nearkin.files import Formats, find_format
from nearkin.formats import Block
from nearkin.vectors import as_matrix, block_rows

Blocks = Callable[[], Iterable[Block]]
"""Gives the blocks from the first one on, each time that it is called."""

READ_ROWS = 65_536
"""Rows that are read at once, or fewer where they are wide."""


@dataclass(frozen=True)
class Source:
    """Blocks of rows that can be read more than once.

    Attributes
    ----------
    rows
        How many there are; None where only reading tells.
    dim
        Columns of each.
    """

    rows: int | None
    dim: int
    read: Callable[[], Iterator[Block]]


def open_source(given: str | os.PathLike[str] | Blocks, *, registry: Formats, format: str | None = None) -> Source:
    """What is known of a file or a function before its rows are read; of a function, the first block is.

    Raises
    ------
    StorageError, CorruptFileError, UnknownNameError, NotSupportedError
        As for `nearkin.read_vectors`.
    ParameterError
        Neither a path nor a function.
    VectorError
        The function gives no rows.
    """
    if callable(given):
        return _of_function(given)
    if not isinstance(given, str | os.PathLike):
        raise ParameterError(
            f"the source is a {type(given).__name__}, the path of a file or a function that gives blocks expected",
            hint="an array is built with nearkin.build(...) and written with save",
        )
    reader = find_format(given, registry=registry, format=format)
    summary = reader.describe(given)
    return Source(summary.rows, summary.dim, lambda: reader.read(given, rows=_rows_at_once(summary.dim)))


def _rows_at_once(dim: int) -> int:
    return min(READ_ROWS, block_rows(4 * max(1, dim)))


def _of_function(blocks: Blocks) -> Source:
    ahead = _read(blocks)
    first = next(ahead, None)
    if first is None:
        raise VectorError("there are no rows to build from", hint="give at least one block")
    waiting: list[Iterator[Block]] = [chain([first], ahead)]

    def read() -> Iterator[Block]:  # the first time goes on where the look at the first block stopped
        return waiting.pop() if waiting else _read(blocks)

    return Source(None, as_matrix(first.vectors).shape[1], read)


def _read(blocks: Blocks) -> Iterator[Block]:
    """The blocks of a function, and what goes wrong while it reads in words."""
    try:
        for block in blocks():
            if not isinstance(block, Block):
                raise ParameterError(f"the source gave a {type(block).__name__}, a nearkin.Block expected")
            yield block
    except NearkinError:
        raise
    except OSError as error:  # of a file that the function reads, not of the folder that is written meanwhile
        raise StorageError(f"the source of the rows cannot be read: {error}") from error
