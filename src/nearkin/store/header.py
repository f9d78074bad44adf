"""Facts of a collection: those fixed when its folder is made, and the record that every commit replaces."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from nearkin.errors import MEND, CorruptFileError, ParameterError
from nearkin.state import State
from nearkin.store.built import BuiltRecord
from nearkin.store.plain_arrays import as_plain, bytes_of, describe, from_bytes
from nearkin.vectors import DType


@dataclass(frozen=True)
class Header:
    """What is fixed when a folder is made; everything is JSON-able but the arrays of `metric_state`.

    Attributes
    ----------
    dim
        Columns of a row as stored: floats, or bytes of packed bits; 0 as long as an embedder has to learn from the first items.
    metric
        The metric as users write it, ``"mahalanobis:shrinkage=0.1"``.
    embedder
        What is known of the embedder that makes the vectors; stored, not interpreted. What it has learned is a fact of its own:
        `write_embedder_state`.
    budget
        What the index may cost and must give, where its plan is found by measuring; see `nearkin.budgets`.
    library
        Version of nearkin that made the folder.
    """

    dim: int
    dtype: DType
    metric: str
    plan: str
    search: Mapping[str, int]
    seed: int
    keep_vectors: bool
    metric_state: State = field(default_factory=State)
    embedder: Mapping[str, Any] | None = None
    budget: Mapping[str, Any] | None = None
    library: str = ""


@dataclass(frozen=True)
class Committed:
    """What the last commit left.

    Attributes
    ----------
    generation
        Commits so far.
    positions
        Positions used, deleted rows included.
    rows, digest
        Rows that are not deleted, and the sum of their checksums modulo 2**64: no row can go missing, come back or be
        read twice unnoticed.
    next_id
        One more than the highest whole number that was ever an id, at least 0.
    """

    generation: int = 0
    positions: int = 0
    rows: int = 0
    digest: int = 0
    id_kind: str = "int"
    next_id: int = 0
    built: BuiltRecord | None = None


def write_header(connection: sqlite3.Connection, header: Header) -> None:
    """Store a header in the place of the one before."""
    fixed = {
        each.name: getattr(header, each.name) for each in dataclasses.fields(Header) if each.name != "metric_state"
    }
    state = _write_arrays(connection, "metric_state", header.metric_state)
    _write(connection, "header", _as_json({**fixed, "metric_state": state}))


def read_header(connection: sqlite3.Connection, path: Path) -> Header:
    """The stored header, verified.

    Raises
    ------
    CorruptFileError
        It is not there, or not what was written.
    """
    try:
        found = json.loads(_read(connection, "header", path))
        state = _read_arrays(connection, "metric_state", found.pop("metric_state"), path)
        return Header(**found, metric_state=state)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptFileError(f"{path}: the header cannot be read: {error}") from error


def write_embedder_state(connection: sqlite3.Connection, state: State) -> None:
    """Store what an embedder has learned. It may be large, and is written once, not with every header."""
    _write(connection, "embedder_state", _as_json(_write_arrays(connection, "embedder_state", state)))


def read_embedder_state(connection: sqlite3.Connection, path: Path) -> State:
    """What was stored of an embedder, verified.

    Raises
    ------
    CorruptFileError
        It is not there, or not what was written.
    """
    try:
        described = json.loads(_read(connection, "embedder_state", path))
        return _read_arrays(connection, "embedder_state", described, path)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptFileError(f"{path}: what the embedder has learned cannot be read: {error}") from error


def _write_arrays(connection: sqlite3.Connection, name: str, state: State) -> dict[str, Any]:
    """Store the arrays of a state; its meta and their description, which are to be kept elsewhere."""
    arrays = {each: as_plain(array, each) for each, array in state.arrays.items()}
    for each, array in arrays.items():
        _write(connection, f"{name}/{each}", bytes(bytes_of(array)))
    return {"meta": state.meta, "arrays": {each: describe(array) for each, array in arrays.items()}}


def _read_arrays(connection: sqlite3.Connection, name: str, stored: Mapping[str, Any], path: Path) -> State:
    arrays = {
        each: from_bytes(_read(connection, f"{name}/{each}", path), described, f"{path}: {each}")
        for each, described in stored["arrays"].items()
    }
    return State(arrays, stored["meta"])


def _as_json(facts: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(facts, default=_as_dict).encode()
    except (TypeError, ValueError) as error:
        raise ParameterError(f"the facts of a collection cannot be written as JSON: {error}") from error


def write_committed(connection: sqlite3.Connection, committed: Committed) -> None:
    """Replace the record of what is committed."""
    _write(connection, "committed", json.dumps(dataclasses.asdict(committed)).encode())


def read_committed(connection: sqlite3.Connection, path: Path) -> Committed:
    """The record of what is committed, verified."""
    try:
        found = json.loads(_read(connection, "committed", path))
        built = found.pop("built")
        return Committed(**found, built=BuiltRecord(**built) if built else None)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptFileError(f"{path}: the record of the last commit cannot be read: {error}") from error


class Mark(NamedTuple):
    """Something that is committed together with rows, such as how far a file has been read; None takes it away."""

    name: str
    facts: Mapping[str, Any] | None


BUILDING = "building"
"""Mark of a folder that is being built; what it holds is not whole yet."""


def write_mark(connection: sqlite3.Connection, mark: Mark) -> None:
    """Keep a mark in the place of the one of its name, or take that away."""
    if mark.facts is None:
        connection.execute("DELETE FROM facts WHERE name = ?", (f"mark/{mark.name}",))
    else:
        _write(connection, f"mark/{mark.name}", json.dumps(dict(mark.facts)).encode())


def read_mark(connection: sqlite3.Connection, name: str, path: Path) -> dict[str, Any] | None:
    """The facts of a mark, verified; None if there is none."""
    if not connection.execute("SELECT 1 FROM facts WHERE name = ?", (f"mark/{name}",)).fetchone():
        return None
    return dict(json.loads(_read(connection, f"mark/{name}", path)))


def read_marks(connection: sqlite3.Connection, path: Path) -> list[Mark]:
    """Every mark there is, verified."""
    names = connection.execute("SELECT substr(name, 6) FROM facts WHERE name GLOB 'mark/*'").fetchall()
    return [Mark(name, read_mark(connection, name, path)) for (name,) in names]


def _as_dict(given: Any) -> Any:
    if isinstance(given, Mapping):
        return dict(given)
    raise TypeError(f"{given!r} is of type {type(given).__name__}")


def _write(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    row = (name, value, _checksum(name, value))
    connection.execute("INSERT OR REPLACE INTO facts (name, value, checksum) VALUES (?, ?, ?)", row)


def _read(connection: sqlite3.Connection, name: str, path: Path) -> bytes:
    found = connection.execute("SELECT value, checksum FROM facts WHERE name = ?", (name,)).fetchone()
    if found is None or not isinstance(found[0], bytes) or _checksum(name, found[0]) != found[1]:
        trouble = "is missing" if found is None else "does not have the checksum that was written with it"
        raise CorruptFileError(f"{path}: {name} {trouble}", hint=MEND)
    return found[0]


def _checksum(name: str, value: bytes) -> int:
    return crc32(value, crc32(name.encode()))
