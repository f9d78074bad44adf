"""Vectors and ids from standard input."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from nearkin.bound_embedder import EmbedderRecord
    from nearkin.files import Formats
    from nearkin.item_files import ItemOptions, ItemSource

from nearkin.errors import CorruptFileError, InputError
from nearkin.files import Loaded
from nearkin.formats import Block

LINES_AT_ONCE = 8192
NPY_MAGIC = b"\x93NUMPY"


def read_vectors_from_stdin() -> Loaded:
    """The bytes of an .npy file, or JSON lines.

    Each line is an array of numbers, or an object with ``vector`` and, if wanted, ``id`` and ``metadata``, as
    ``nearkin get`` prints them.

    Raises
    ------
    InputError
        Nothing came, or a line is neither; the message has its number.
    CorruptFileError
        The bytes start like an .npy file and are none.
    """
    content = sys.stdin.buffer.read()
    if content.startswith(NPY_MAGIC):
        return Loaded(_parse_npy(content), None, None)
    (block,) = _blocks(io.BytesIO(content), rows=sys.maxsize)
    return Loaded(block.vectors, block.ids, block.metadata)


def is_npy(path: Path) -> bool:
    """Whether a file begins as .npy files do."""
    with path.open("rb") as file:
        return file.read(len(NPY_MAGIC)) == NPY_MAGIC


def items_in_file(
    path: Path, record: EmbedderRecord, options: ItemOptions, formats: Formats, *, text_ids: bool = False
) -> ItemSource | None:
    """Texts or records of standard input that was kept in a file; None if they are vectors.

    Without a format it is JSON lines where the first one is an object, unless that has a vector and no text; else a text a line.
    """
    from nearkin.documents import kind_of
    from nearkin.item_files import lines_of, named_afresh, open_items

    kind: str = "vectors" if options.format is None else kind_of(path, formats, options.format)
    if options.format is None and not is_npy(path):
        kind = _kind_of_lines(path, options.text or record.field)
    if kind == "vectors":
        return None
    if kind == "lines":
        return lines_of(path, "standard input")
    chosen = replace(options, format=options.format or "jsonl")
    found = open_items([path], record.takes, record.field, chosen, registry=formats, text_ids=text_ids)
    return named_afresh(found)


def _kind_of_lines(path: Path, field: str) -> str:
    with path.open("rb") as file:
        first = next((line.strip() for line in file if line.strip()), b"")
    if first[:1] not in b"{[" or not first:
        return "lines"
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return "lines"
    if isinstance(value, list):
        return "vectors" if all(type(each) in (int, float) for each in value) else "lines"
    has_text = any(name in value for name in (field, "text"))
    return "vectors" if isinstance(value.get("vector"), list) and not has_text else "records"


def read_lines(path: Path) -> Iterator[Block]:
    """Blocks of a file of JSON lines as `read_vectors_from_stdin` reads them.

    Raises
    ------
    InputError
        There is nothing in it, or a line is no vector.
    """
    with path.open("rb") as file:
        yield from (Block(*lines) for lines in _blocks(file, rows=LINES_AT_ONCE))


class _Lines(NamedTuple):
    """A `Block` of JSON lines."""

    vectors: np.ndarray
    ids: list[Any] | None
    metadata: list[dict[str, Any]] | None


def _blocks(lines: IO[bytes], rows: int) -> Iterator[_Lines]:
    parsed = (_parse_line(line, number) for number, line in enumerate(lines, 1) if line.strip())
    first, count, width = None, 0, 0
    while some := list(islice(parsed, rows)):
        named = [row["id"] for row in some if "id" in row]
        if first is None:
            first, width = bool(named), len(some[0]["vector"])
        if len(named) != (len(some) if first else 0):
            named_before = count if first else 0
            raise _ids_of_some(named_before + len(named), count + len(some), parsed)
        _need_one_width({width, *(len(row["vector"]) for row in some)})
        count += len(some)
        extra = [row.get("metadata") or {} for row in some]
        yield _Lines(np.asarray([row["vector"] for row in some]), named or None, extra if any(extra) else None)
    if not count:
        raise InputError("standard input is empty", hint="pipe JSON lines such as [0.1, 0.2], or an .npy file")


def _ids_of_some(named: int, count: int, later: Iterator[dict[str, Any]]) -> InputError:
    """What is wrong where some lines have an id; those not yet read are counted too."""
    for row in later:
        named, count = named + ("id" in row), count + 1
    return InputError(f"{named} of {count} lines of standard input have an id, all or none expected")


def _need_one_width(widths: set[int]) -> None:
    if len(widths) > 1:
        raise InputError(
            f"standard input has vectors of {' and '.join(map(str, sorted(widths)[:3]))} numbers, one width expected"
        )


@contextmanager
def stdin_in_a_file() -> Iterator[Path]:
    """Standard input as a file of its own, for formats that read from more than one place."""
    with tempfile.TemporaryDirectory(prefix="nearkin-") as folder:
        place = Path(folder) / "standard input"
        with place.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield place


def read_ids_from_stdin() -> list[str]:
    """One id a line."""
    lines = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").splitlines()
    return [line for line in lines if line.strip()]


def _parse_npy(content: bytes) -> np.ndarray:
    try:
        array: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise CorruptFileError(f"standard input is not an .npy file that can be read: {error}") from error
    return array


def _parse_line(line: bytes, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"line {number} of standard input is not JSON: {error}",
            hint="for anything but JSON lines and .npy, name the format: --format csv",
        ) from error
    row = value if isinstance(value, dict) else {"vector": value}
    vector = row.get("vector")
    if not isinstance(vector, list) or not all(type(each) in (int, float) for each in vector):
        raise InputError(
            f"line {number} of standard input has no vector",
            hint='write [0.1, 0.2] or {"id": "a", "vector": [0.1, 0.2]}',
        )
    return row
