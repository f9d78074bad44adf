"""Apache Arrow's own files by pyarrow: IPC files (Feather V2) and IPC streams, memory-mapped while they are read.

Source: https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearkin.errors import NotSupportedError
from nearkin_plugins.file_formats.arrow_tables import ArrowTableFormat, OpenTable

_FILE, _FEATHER_1 = b"ARROW1", b"FEA1"


class ArrowFormat(ArrowTableFormat):
    """A list column of numbers, or a column for each component; the rest are ids and metadata, as in Parquet.

    Files are written uncompressed, one record batch a block. A compressed file is read a record batch at a time, and pyarrow
    believes what a compressed buffer says of its length. What is read is validated by pyarrow, batch by batch.

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
    ...     rows = ArrowFormat().write(f"{folder}/x.arrow", [block])
    ...     back = next(ArrowFormat().read(f"{folder}/x.arrow"))
    ...     back.vectors.tolist(), back.ids, back.metadata
    ([[1.0, 2.0]], ['a'], [{'color': 'red'}])
    """

    name = "arrow"
    suffixes = (".arrow", ".feather", ".ipc", ".arrows")

    @contextmanager
    def _open(self, path: Path) -> Iterator[OpenTable]:
        import pyarrow.ipc

        with path.open("rb") as file:
            head = file.read(6)
        if head[:4] == _FEATHER_1:
            raise NotSupportedError(
                f"{path} is of Feather's first version, which Arrow has given up",
                hint="write it again with pandas.read_feather and to_parquet",
            )
        with pyarrow.memory_map(str(path)) as source:
            if head == _FILE:
                file = pyarrow.ipc.open_file(source)
                numbers = range(file.num_record_batches)
                yield OpenTable(
                    file.schema,
                    _count_rows(file),
                    lambda rows: _slices((file.get_batch(number) for number in numbers), rows),
                )
            else:
                stream = pyarrow.ipc.open_stream(source)
                yield OpenTable(stream.schema, None, lambda rows: _slices(_from_start(source), rows))

    def _write_batches(self, path: Path, schema: Any, batches: Iterator[Any]) -> None:
        import pyarrow.ipc

        with path.open("wb") as file, pyarrow.ipc.new_file(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)


def _count_rows(file: Any) -> int | None:
    """From the heads of the record batches, where pyarrow can."""
    return int(file.count_rows()) if hasattr(file, "count_rows") else None


def _from_start(source: Any) -> Iterator[Any]:
    import pyarrow.ipc

    source.seek(0)
    return iter(pyarrow.ipc.open_stream(source))


def _slices(batches: Iterator[Any], rows: int) -> Iterator[Any]:
    for batch in batches:
        batch.validate(full=True)
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)
