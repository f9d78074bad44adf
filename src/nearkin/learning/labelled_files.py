"""Rows with their labels from files: texts, records or vectors of a table, a file of vectors beside one of labels, a collection."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.bound_embedder import make_embedder
from nearkin.building import open_collection
from nearkin.documents import kind_of
from nearkin.errors import InputError, NotSupportedError, ParameterError, UnknownNameError
from nearkin.event_columns import listed_columns, need_column
from nearkin.files import find_format, read_vectors
from nearkin.item_files import ItemOptions, open_items
from nearkin.items import is_missing, plain_number
from nearkin.learning.folds import need_plain_labels
from nearkin.metrics import unit_rows
from nearkin.registry import Registry
from nearkin.store.replacement import DATABASE_NAME

TEXT_EMBEDDER = "lsa"
TABLE_EMBEDDER = "table"
PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Asked:
    """Which rows and labels of a file are meant.

    Attributes
    ----------
    label
        Column of the labels, or field of the metadata; None where `labels` is a file without columns.
    text
        Column of texts.
    columns
        Columns of a table to learn from; none for all but the label.
    vectors
        Columns of numbers (patterns with ``*``), or the one that holds lists of them, that are taken as vectors.
    labels
        File with a label for each row of a file of vectors.
    embedder
        None for the usual one.
    format
        None for that of the name.
    """

    label: str | None = None
    text: str | None = None
    columns: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    labels: str | None = None
    embedder: str | None = None
    format: str | None = None


@dataclass(frozen=True)
class Labelled:
    """Rows with labels.

    Attributes
    ----------
    rows
        (n, dim) vectors, or n texts or records.
    labels
        n labels or numbers.
    embedder
        For rows that are no vectors.
    remarks
        Sentences on how they came about.
    """

    rows: Any
    labels: list[Any]
    embedder: str | None
    remarks: tuple[str, ...]


def read_labelled(path: PathLike, asked: Asked, *, registry: Registry) -> Labelled:
    """Rows of a file or a collection, those without a label left out.

    Raises
    ------
    UnknownNameError
        No such column (with the nearest spelling).
    ParameterError
        No label was named, labels that are lists or objects, or options that do not go together.
    InputError
        No row has a label, or other numbers of vectors and labels.
    StorageError, CorruptFileError
        The file cannot be read.
    """
    place = Path(path)
    if (place / DATABASE_NAME).is_file():
        found = _of_collection(place, asked, registry)
    elif asked.labels is not None:
        found = _of_two_files(place, asked, registry)
    else:
        kind = kind_of(place, registry, asked.format)
        if kind == "vectors":
            raise ParameterError(
                f"{place} is a file of vectors, and no labels are given",
                hint="name a file that has them with --labels FILE",
            )
        if kind == "document" and place.is_dir():
            raise NotSupportedError(f"{place} is a folder and not an index, rows with labels expected")
        if kind == "document":
            raise NotSupportedError(f"{place} is a text without columns, rows with labels expected")
        found = _of_table(place, asked, registry)
    return _with_labels(found, str(path), asked.label)


def _with_labels(found: Labelled, what: str, field: str | None) -> Labelled:
    """Without rows whose label is missing."""
    need_plain_labels(found.labels, field)
    kept = [at for at, label in enumerate(found.labels) if not is_missing(label) and label != ""]
    gone = len(found.labels) - len(kept)
    if not kept:
        raise InputError(f"no row of {what} has a label", hint="choose another column with --label")
    if not gone:
        return found
    remark = f"{gone:,} of {len(found.labels):,} rows were left out, which have no label"
    rows = found.rows[np.array(kept)] if isinstance(found.rows, np.ndarray) else [found.rows[at] for at in kept]
    return Labelled(rows, [found.labels[at] for at in kept], found.embedder, (*found.remarks, remark))


def _need_label(asked: Asked, names: Sequence[str], what: str) -> str:
    if asked.label is None:
        raise ParameterError(
            f"no column of labels is named, and {what} has {listed_columns(names)}", hint="name one: --label COLUMN"
        )
    need_column(what, asked.label, names)
    return asked.label


# ---- tables ----------------------------------------------------------------------------------------------------------


def _of_table(place: Path, asked: Asked, registry: Registry) -> Labelled:
    records, names = _records(place, asked.format, registry)
    label = _need_label(asked, names, str(place))
    for name in (*asked.columns, *([asked.text] if asked.text is not None else [])):
        need_column(str(place), name, names)
        if name == label:
            raise ParameterError(f"column {name!r} is the label, which cannot be learned from itself")
    _need_one_way(asked)
    labels = [each.get(label) for each in records]
    others = [name for name in names if name != label and name != "id"]
    if asked.vectors:
        return Labelled(_matrix(records, _matching(asked.vectors, others, str(place)), str(place)), labels, None, ())
    if asked.text is not None:
        return _of_texts(records, labels, asked.text, asked.embedder or TEXT_EMBEDDER, ())
    kept = list(asked.columns) or others
    if not kept:
        raise InputError(f"{place} has no column but the label {label!r}, nothing to learn from")
    if not asked.columns and asked.embedder is None and len(kept) == 1 and _holds_texts(records, kept[0]):
        told = (f"column {kept[0]!r} holds the texts",)
        return _of_texts(records, labels, kept[0], TEXT_EMBEDDER, told)
    embedder = asked.embedder or TABLE_EMBEDDER
    if make_embedder(embedder, registry).takes == "text":
        raise ParameterError(
            f"embedder {embedder!r} takes texts, and no column of texts is named",
            hint=f"--text COLUMN, one of {listed_columns(kept)}",
        )
    return Labelled([{name: each.get(name) for name in kept} for each in records], labels, embedder, ())


def _records(place: Path, format: str | None, registry: Registry) -> tuple[list[dict[str, Any]], list[str]]:
    """Records, whose numbers are numbers, and the names of their columns."""
    source = open_items([place], "record", "text", ItemOptions(format=format), registry=registry)
    records = [record for block in source.read() for record in block.items]
    if not records:
        raise InputError(f"{place} has no rows")
    names = list(dict.fromkeys(name for record in records for name in record))
    return records, names


def _need_one_way(asked: Asked) -> None:
    """Refuse options of which only one can be heeded."""
    given = [
        name
        for name, value in {"--text": asked.text, "--columns": asked.columns, "--vectors": asked.vectors}.items()
        if value
    ]
    if len(given) > 1:
        raise ParameterError(f"{' and '.join(given)} say differently what to learn from", hint="leave one of them out")
    if asked.vectors and asked.embedder is not None:
        raise ParameterError("--vectors names vectors, which need no embedder", hint="leave --embedder out")


def _of_texts(
    records: list[dict[str, Any]], labels: list[Any], column: str, embedder: str, told: tuple[str, ...]
) -> Labelled:
    """Rows without a text are left out, as those without a label are."""
    texts = [each.get(column) for each in records]
    kept = [at for at, text in enumerate(texts) if not is_missing(text) and str(text).strip()]
    if len(kept) < len(texts):
        told = (*told, f"{len(texts) - len(kept):,} of {len(texts):,} rows were left out, which have no text")
    return Labelled([str(texts[at]) for at in kept], [labels[at] for at in kept], embedder, told)


def _holds_texts(records: list[dict[str, Any]], column: str) -> bool:
    """Whether most cells are text of several words."""
    some = [each.get(column) for each in records[:1000]]
    return sum(isinstance(each, str) and " " in each.strip() for each in some) > len(some) / 2


def _matching(patterns: Sequence[str], names: Sequence[str], what: str) -> list[str]:
    chosen: dict[str, None] = {}
    for pattern in patterns:
        found = fnmatch.filter(names, pattern) if "*" in pattern else [pattern]
        if not found:
            raise UnknownNameError(f"{what} has no column like {pattern!r}; it has {listed_columns(names)}")
        for name in found:
            need_column(what, name, names)
            chosen[name] = None
    return list(chosen)


def _matrix(records: list[dict[str, Any]], names: Sequence[str], what: str) -> np.ndarray:
    if len(names) == 1 and isinstance(records[0].get(names[0]), list):
        rows = [each.get(names[0]) for each in records]
        if len({len(each) if isinstance(each, list) else -1 for each in rows}) > 1:
            raise InputError(f"the lists in column {names[0]!r} of {what} are not equally long")
        return np.asarray(rows, dtype=np.float32)
    matrix = np.full((len(records), len(names)), np.nan)
    for row, record in enumerate(records):
        for column, name in enumerate(names):
            value = record.get(name)
            number = plain_number(value) if isinstance(value, str) else value
            if not isinstance(number, int | float) or is_missing(number):
                raise InputError(
                    f"row {row:,} of {what}: column {name!r} holds {value!r}, a number expected",
                    hint="--columns takes columns of any kind, with numbers missing",
                )
            matrix[row, column] = number
    return matrix.astype(np.float32)


# ---- vectors and collections -----------------------------------------------------------------------------------------


def _need_vectors_only(asked: Asked, what: str) -> None:
    for name, value in {
        "--text": asked.text,
        "--columns": asked.columns,
        "--vectors": asked.vectors,
        "--embedder": asked.embedder,
    }.items():
        if value:
            raise ParameterError(f"{name} is for tables, and {what} has vectors", hint=f"leave {name} out")


def _of_two_files(place: Path, asked: Asked, registry: Registry) -> Labelled:
    _need_vectors_only(asked, str(place))
    vectors = read_vectors(place, registry=registry, format=asked.format).vectors
    labels = _labels(Path(str(asked.labels)), asked.label, registry)
    if len(labels) != len(vectors):
        raise InputError(
            f"{place} has {len(vectors):,} vectors and {asked.labels} {len(labels):,} labels, one a vector expected",
            hint="both have to be in the same order",
        )
    return Labelled(np.asarray(vectors, dtype=np.float32), labels, None, ())


def _labels(place: Path, column: str | None, registry: Registry) -> list[Any]:
    """A label a line, an array of one column, or a column of a table."""
    if place.suffix.lower() == ".npy":
        array = np.load(place, allow_pickle=False)
        if array.ndim != 1:
            raise InputError(f"{place} has shape {array.shape}, (rows,) labels expected")
        return list(array.tolist())
    if kind_of(place, registry) == "document":
        lines = place.read_text(encoding="utf-8-sig").splitlines()
        numbers = [plain_number(line.strip()) for line in lines]
        return [line.strip() for line in lines] if None in numbers else list(numbers)
    if not find_format(place, registry=registry).reads_records:
        raise NotSupportedError(
            f"{place} is a file of vectors, labels expected", hint="a label a line, .npy, or a table"
        )
    records, names = _records(place, None, registry)
    name = column if column is not None or len(names) > 1 else names[0]
    return [each.get(_need_label(Asked(name), names, str(place))) for each in records]


def _of_collection(place: Path, asked: Asked, registry: Registry) -> Labelled:
    _need_vectors_only(asked, str(place))
    with open_collection(place, readonly=True, registry=registry) as collection:
        rows = collection.select()
        names, metric = list(collection.fields()), collection.metric_text
    label = _need_label(asked, names, str(place))
    if rows and rows[0].vector is None:
        raise NotSupportedError(f"{place} does not keep its rows, only its index", hint="build it with its vectors")
    vectors = np.stack([np.asarray(row.vector) for row in rows])
    told = ["vectors are those of the index; what its embedder learned, it learned from all rows"]
    if metric == "cosine":
        vectors = unit_rows(vectors)
        told.append(
            "its metric is the cosine, so vectors have length 1, and Euclidean distance orders as the cosine does"
        )
    return Labelled(vectors, [row.metadata.get(label) for row in rows], None, tuple(told))
