"""Vectors and ids from standard input."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.errors import CorruptFileError, InputError
from nearkin.files import Loaded

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
    rows = [_parse_line(line, number) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    if not rows:
        raise InputError("standard input is empty", hint="pipe JSON lines such as [0.1, 0.2], or an .npy file")
    named = [row["id"] for row in rows if "id" in row]
    if named and len(named) != len(rows):
        raise InputError(f"{len(named)} of {len(rows)} lines of standard input have an id, all or none expected")
    extra = [row.get("metadata") or {} for row in rows]
    widths = {len(row["vector"]) for row in rows}
    if len(widths) > 1:
        raise InputError(
            f"standard input has vectors of {' and '.join(map(str, sorted(widths)[:3]))} numbers, one width expected"
        )
    return Loaded(np.asarray([row["vector"] for row in rows]), named or None, extra if any(extra) else None)


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
