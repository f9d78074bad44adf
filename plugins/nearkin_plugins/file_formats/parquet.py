"""Apache Parquet by pyarrow: read by batches, page checksums verified.

Source: https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from nearkin.vectors import BLOCK_BYTES
from nearkin_plugins.file_formats.arrow_tables import ArrowTableFormat, OpenTable

ROW_GROUP = 65_536
"""Rows that are compressed and read together."""


class ParquetFormat(ArrowTableFormat):
    """A list column of numbers, or a column for each component; the rest are ids and metadata.

    Values of metadata that JSON does not know become text (times in ISO 8601, decimals, bytes in hexadecimal); a null
    and a missing field are the same. pyarrow believes the size in the header of a page, so a damaged one may make it
    ask for up to 2 GiB (the limit of the format) before the file is refused.

    Parameters
    ----------
    id
        Column of the ids; if not given, one called ``id`` or an unnamed pandas index.
    vectors
        Column of lists, or columns of numbers separated by commas, with ``*`` for any text.
    allow_missing
        Read a number that is missing as NaN, instead of refusing the file.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from nearkin.formats import Block
    >>> block = Block(np.float32([[1, 2]]), ids=["a"], metadata=[{"color": "red"}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = ParquetFormat().write(f"{folder}/x.parquet", [block])
    ...     back = next(ParquetFormat().read(f"{folder}/x.parquet"))
    >>> back.vectors.tolist(), back.ids, back.metadata
    ([[1.0, 2.0]], ['a'], [{'color': 'red'}])
    """

    name = "parquet"
    suffixes = (".parquet", ".pq")

    @contextmanager
    def _open(self, path: Path) -> Iterator[OpenTable]:
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(str(path), page_checksum_verification=True) as file:
            yield OpenTable(file.schema_arrow, file.metadata.num_rows, partial(_batches, file))

    def _write_batches(self, path: Path, schema: Any, batches: Iterator[Any]) -> None:
        import pyarrow.parquet

        metadata = [name for name in schema.names if name != "vector"]
        with (
            path.open("wb") as file,
            pyarrow.parquet.ParquetWriter(file, schema, use_dictionary=metadata, write_page_checksum=True) as writer,
        ):
            for group in _row_groups(batches):
                writer.write_table(pyarrow.Table.from_batches(group), row_group_size=ROW_GROUP)


def _row_groups(batches: Iterator[Any]) -> Iterator[list[Any]]:
    """Batches put together to `ROW_GROUP` rows or a block of bytes, so that small blocks make no small row groups."""
    group: list[Any] = []
    rows = nbytes = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        nbytes += batch.nbytes
        if rows >= ROW_GROUP or nbytes >= BLOCK_BYTES:
            yield group
            group, rows, nbytes = [], 0, 0
    if group:
        yield group


def _batches(file: Any, rows: int) -> Iterator[Any]:
    """One row group after the other: pyarrow keeps those that one call has read until it ends."""
    for group in range(file.metadata.num_row_groups):
        yield from file.iter_batches(batch_size=rows, row_groups=[group])
