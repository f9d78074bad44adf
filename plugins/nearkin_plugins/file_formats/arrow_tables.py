"""Tables of Arrow, whichever file they come from: which columns are what, blocks of batches, and batches of blocks."""

from __future__ import annotations

import datetime
import decimal
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import CorruptFileError, ParameterError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.vectors import block_rows
from nearkin_plugins.file_formats.columns import (
    ID_COLUMN,
    VECTOR_COLUMNS,
    Layout,
    Table,
    metadata_columns,
    need_different,
    need_known_fields,
)
from nearkin_plugins.file_formats.plain_matrices import LARGEST_DIM


class OpenTable(NamedTuple):
    """A file that is open."""

    schema: Any
    rows: int | None
    """None if only reading the whole file tells."""
    batches: Callable[[int], Iterator[Any]]
    """Record batches of at most so many rows, from the first on."""


class ArrowTableFormat(VectorFormat):
    """A list column of numbers, or a column for each component; the rest are ids and metadata.

    Values of metadata that JSON does not know become text (times in ISO 8601, decimals, bytes in hexadecimal); a null
    and a missing field are the same.

    Parameters
    ----------
    id
        Column of the ids; if not given, one called ``id`` or an unnamed pandas index.
    vectors
        Column of lists, or columns of numbers separated by commas, with ``*`` for any text.
    allow_missing
        Read a number that is missing as NaN, instead of refusing the file.
    """

    keeps = frozenset({"ids", "metadata"})
    reads_records = True
    dtypes = frozenset(
        {"float16", "float32", "float64"} | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
    )

    def __init__(self, id: str | None = None, vectors: str | None = None, allow_missing: bool = False) -> None:
        self.id = id
        self.vectors = vectors
        self.allow_missing = allow_missing

    @abstractmethod
    def _open(self, path: Path) -> AbstractContextManager[OpenTable]:
        """The table of a file."""

    @abstractmethod
    def _write_batches(self, path: Path, schema: Any, batches: Iterator[Any]) -> None:
        """A new file of record batches."""

    def _describe(self, path: Path) -> FileSummary:
        with self._open(path) as table:
            layout = self._layout(table.schema, path)
            dim, dtype = _dim(table, layout, path), self._dtype(table.schema, layout)
            has_ids = layout.id is not None
            return FileSummary(table.rows, dim, dtype.name, has_ids, layout.metadata, layout.components)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        with self._open(path) as table:
            layout = self._layout(table.schema, path)
            dim, dtype = _dim(table, layout, path), self._dtype(table.schema, layout)
            start = 0
            for batch in table.batches(min(rows, block_rows(dim * dtype.itemsize))):
                if batch.num_rows:
                    yield _block(batch, layout, dim, dtype, f"{path} from row {start:,} on", self.allow_missing)
                    start += batch.num_rows
            if not start:
                yield Block(np.empty((0, dim), dtype))

    def _records(self, path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
        with self._open(path) as table:
            names = table.schema.names
            need_different(str(path), names)
            for batch in table.batches(rows):
                values = [[_plain_value(each) for each in column.to_pylist()] for column in batch.columns]
                yield [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

    def _dtype(self, schema: Any, layout: Layout) -> np.dtype[Any]:
        """The type that holds every component, and NaN where numbers may be missing."""
        dtype = _dtype(schema, layout)
        holds = dtype.kind == "f" or not self.allow_missing or layout.as_list
        return dtype if holds else np.result_type(dtype, np.float32)

    def _layout(self, schema: Any, path: Path) -> Layout:
        numbers = [field.name for field in schema if _is_number(field.type)]
        lists = [field.name for field in schema if _is_list(field.type)]
        return Table(str(path), self.name, schema.names, numbers, lists).lay_out(self.id, self.vectors)

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        first = next(blocks)
        fields = metadata_columns(first.metadata or [], {ID_COLUMN, *VECTOR_COLUMNS}, self.name)
        schema = _schema(first, fields, self.name)
        self._write_batches(path, schema, _batches(chain([first], blocks), schema, fields, self.name))


# ---- reading ---------------------------------------------------------------------------------------------------------


def _is_number(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    nested = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(nested and _is_number(kind.value_type))


def _dtype(schema: Any, layout: Layout) -> np.dtype[Any]:
    """The type that holds every component."""
    kinds = [schema.field(name).type for name in layout.vectors]
    if layout.as_list:
        kinds = [kinds[0].value_type]
    return np.result_type(*{np.dtype(kind.to_pandas_dtype()) for kind in kinds})


def _dim(table: OpenTable, layout: Layout, path: Path) -> int:
    """Columns of the vectors; lists of free length are measured by the first row."""
    import pyarrow

    if not layout.as_list:
        return len(layout.vectors)
    kind = table.schema.field(layout.vectors[0]).type
    if pyarrow.types.is_fixed_size_list(kind):
        dim = int(kind.list_size)
    else:
        batch = next((batch for batch in table.batches(1) if batch.num_rows), None)
        if batch is None:
            raise CorruptFileError(f"{path} holds no rows")
        dim = len(batch.column(layout.vectors[0])[0].as_py() or [])
    if not 1 <= dim <= LARGEST_DIM:
        raise CorruptFileError(f"{path} has lists of {dim:,} numbers, 1 to {LARGEST_DIM:,} expected")
    return dim


def _block(batch: Any, layout: Layout, dim: int, dtype: np.dtype[Any], what: str, allow_missing: bool) -> Block:
    if layout.as_list:
        column = batch.column(layout.vectors[0])
        _need_filled(column, layout.vectors[0], what)
        if not len(column.flatten()) == len(column) * dim or any(length != dim for length in _lengths(column)):
            raise CorruptFileError(
                f"{what}: column {layout.vectors[0]!r} has lists of different lengths, {dim} expected"
            )
        values = column.flatten()
        _need_filled(values, layout.vectors[0], what)
        vectors = values.to_numpy(zero_copy_only=False).reshape(len(column), dim)
    else:
        vectors = np.empty((batch.num_rows, dim), dtype)
        for component, name in enumerate(layout.vectors):
            if not allow_missing:
                _need_filled(batch.column(name), name, what)
            vectors[:, component] = batch.column(name).to_numpy(zero_copy_only=False)
    ids = None if layout.id is None else _ids(batch.column(layout.id), layout.id, what)
    return Block(vectors, ids, _metadata(batch, layout.metadata) if layout.metadata else None)


def _lengths(column: Any) -> Any:
    import pyarrow.compute

    return pyarrow.compute.unique(pyarrow.compute.list_value_length(column)).to_pylist()


def _need_filled(column: Any, name: str, what: str) -> None:
    if column.null_count:
        raise CorruptFileError(
            f"{what}: column {name!r} has {column.null_count:,} nulls", hint="fill them, or drop those rows"
        )


def _ids(column: Any, name: str, what: str) -> Sequence[Any] | np.ndarray:
    import pyarrow

    _need_filled(column, name, what)
    if pyarrow.types.is_integer(column.type):
        return np.asarray(column.cast(pyarrow.int64()).to_numpy(zero_copy_only=False))
    values: list[Any] = column.to_pylist()
    if any(not isinstance(value, str) for value in values):
        raise CorruptFileError(f"{what}: ids in column {name!r} are of type {column.type}, integers or text expected")
    return values


def _metadata(batch: Any, names: tuple[str, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in range(batch.num_rows)]
    for name in names:
        for row, value in zip(rows, batch.column(name).to_pylist(), strict=True):
            if value is not None:
                row[name] = _plain_value(value)
    return rows


def _plain_value(value: Any) -> Any:
    """A value that JSON knows."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta | decimal.Decimal):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


# ---- writing ---------------------------------------------------------------------------------------------------------


def _schema(first: Block, fields: list[str], format: str) -> Any:
    """Columns by the first block: id, vector, and the metadata in the types that it has there."""
    import pyarrow

    dim = first.vectors.shape[1]
    columns = [("vector", pyarrow.list_(pyarrow.from_numpy_dtype(first.vectors.dtype), dim))]
    if first.ids is not None:
        columns.insert(0, (ID_COLUMN, pyarrow.int64() if isinstance(first.ids, np.ndarray) else pyarrow.string()))
    columns += [(field, _column(first, field, None, format).type) for field in fields]
    return pyarrow.schema(columns)


def _batches(blocks: Iterator[Block], schema: Any, fields: list[str], format: str) -> Iterator[Any]:
    done = 0
    for block in blocks:
        need_known_fields(block.metadata or [], fields, done)
        done += len(block.vectors)
        yield _batch(block, schema, fields, format)


def _batch(block: Block, schema: Any, fields: list[str], format: str) -> Any:
    import pyarrow

    vectors = pyarrow.FixedSizeListArray.from_arrays(
        pyarrow.array(block.vectors.reshape(-1)), type=schema.field("vector").type
    )
    ids = [] if block.ids is None else [pyarrow.array(block.ids, type=schema.field(ID_COLUMN).type)]
    rest = [_column(block, field, schema.field(field).type, format) for field in fields]
    return pyarrow.record_batch([*ids, vectors, *rest], schema=schema)


def _column(block: Block, field: str, kind: Any, format: str) -> Any:
    import pyarrow

    values = [row.get(field) for row in block.metadata or []]
    try:
        return pyarrow.array(values, type=kind)
    except (pyarrow.ArrowException, OverflowError) as error:
        raise ParameterError(
            f"metadata field {field!r} does not fit in one column of {format}"
            + (f" of type {kind}: {error}" if kind is not None else f": {error}"),
            hint="give it values of one type",
        ) from error
