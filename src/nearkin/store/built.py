"""The built index: a folder of one file an array, beside the truth and derived from it.

It appears under its name complete or not at all, and nothing of it is returned before all of it was verified.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from nearkin.errors import CorruptFileError, FormatVersionError, PluginContractError, StorageError
from nearkin.mapped_pages import let_go
from nearkin.state import State
from nearkin.store.durability import storage_errors, sync_folder, write_synced
from nearkin.store.failpoints import failpoint
from nearkin.store.plain_arrays import as_plain, bytes_of, describe, from_bytes
from nearkin.vectors import BLOCK_BYTES

KIND = "nearkin built index"
VERSION = 1
SPEC_NAME = "spec.json"


@dataclass(frozen=True)
class Built:
    """A built index as it was published.

    Attributes
    ----------
    label
        The plan with its numbers filled in.
    covered
        Positions 0 to covered - 1 are in it.
    facts
        What was true when it was built, JSON-able; stored, not interpreted.
    """

    label: str
    state: State
    covered: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BuiltRecord:
    """What the commit that published a built index says of it: where it is, and how to tell that it is whole."""

    folder: str
    label: str
    covered: int
    spec_bytes: int
    spec_checksum: int


def write_built(
    parent: Path,
    label: str,
    state: State,
    covered: int,
    *,
    generation: int,
    facts: Mapping[str, Any] | None = None,
) -> BuiltRecord:
    """Write a built index below `parent`; nothing refers to it yet.

    Parameters
    ----------
    generation
        Number of the commit that will refer to it; makes the name one that no earlier build has.
    facts
        What is true now and is to be kept with it, JSON-able.

    Raises
    ------
    StorageError
        Writing failed; what was written is removed.
    PluginContractError
        State or facts hold something that is not numbers or JSON.
    """
    temporary = parent / f".{secrets.token_hex(6)}.tmp"
    try:
        with storage_errors(parent, "written"):
            parent.mkdir(exist_ok=True)
            temporary.mkdir()
            failpoint("index folder made")
            spec = _write_files(temporary, label, state, covered, dict(facts or {}))
            failpoint("index files written")
            sync_folder(temporary)
            failpoint("index folder synced")
            final = parent / _folder_name(label, spec, generation)
            remove_folders([final])  # left by a commit of this number that did not happen
            temporary.rename(final)
            failpoint("index renamed")
            sync_folder(parent)
            sync_folder(parent.parent)
    except BaseException:
        remove_folders([temporary])
        raise
    return BuiltRecord(final.name, label, covered, len(spec), crc32(spec))


def _folder_name(label: str, spec: bytes, generation: int) -> str:
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", label)[:80].strip(".-")
    return f"{readable or 'index'}-{sha256(spec + str(generation).encode()).hexdigest()[:12]}"


def _write_files(folder: Path, label: str, state: State, covered: int, known: dict[str, Any]) -> bytes:
    files = {}
    for number, (name, array) in enumerate(state.arrays.items()):
        plain = as_plain(array, name)
        content = bytes_of(plain)
        file = f"{number:03d}-{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[:60]}.bin"
        write_synced(folder / file, content)
        failpoint("index array written")
        files[name] = {"file": file, "bytes": len(content), "checksum": checksum_of(content), **describe(plain)}
    facts = {"kind": KIND, "version": VERSION, "label": label, "covered": covered, "files": files, "meta": state.meta}
    facts["facts"] = known
    try:
        spec = json.dumps(facts, indent=1).encode()
    except (TypeError, ValueError) as error:
        raise PluginContractError(f"the state of {label} cannot be written as JSON: {error}") from error
    write_synced(folder / SPEC_NAME, spec)
    return spec


def read_built(parent: Path, record: BuiltRecord) -> Built:
    """The built index that a record tells of, its arrays memory-mapped and read-only, all of it verified before.

    Raises
    ------
    CorruptFileError
        A file is missing, or its size or checksum is not what was written.
    FormatVersionError
        From a newer nearkin.
    """
    folder = parent / record.folder
    if folder.parent != parent:
        raise CorruptFileError(f"{record.folder!r} is not the name of a built index")
    spec = _verified(folder / SPEC_NAME, record.spec_bytes, record.spec_checksum)
    try:
        facts = json.loads(bytes(spec))
        if facts["version"] > VERSION:
            raise FormatVersionError(f"{folder} is in format {facts['version']}, this nearkin knows {VERSION}")
        arrays = {name: _array(folder, name, described) for name, described in facts["files"].items()}
        known = dict(facts.get("facts", {}))  # indexes that were built before facts were kept have none
        return Built(facts["label"], State(arrays, facts["meta"]), facts["covered"], known)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptFileError(f"{folder / SPEC_NAME} cannot be read: {error}") from error


def _array(folder: Path, name: str, described: dict[str, Any]) -> np.ndarray:
    path = folder / described["file"]
    if path.parent != folder:
        raise CorruptFileError(f"{described['file']!r} is not the name of a file of {folder}")
    return from_bytes(_verified(path, described["bytes"], described["checksum"]), described, f"{path} ({name})")


def _verified(path: Path, size: int, checksum: int) -> mmap.mmap | bytes:
    try:
        with storage_errors(path, "read"), open(path, "rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise CorruptFileError(f"{path} has {found:,} bytes, {size:,} were written")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise CorruptFileError(f"{path} is missing") from error
        raise
    found_checksum = checksum_of(content)
    if found_checksum != checksum:
        raise CorruptFileError(f"{path} has checksum {found_checksum:08x}, it was written with {checksum:08x}")
    return content


def checksum_of(content: mmap.mmap | memoryview | bytes) -> int:
    """CRC-32 of bytes, which are let go of where they are mapped: an index may be larger than memory should be."""
    array, checksum = np.frombuffer(content, dtype=np.uint8), 0
    for start in range(0, len(array), BLOCK_BYTES):
        piece = array[start : start + BLOCK_BYTES]
        checksum = crc32(piece.data, checksum)
        let_go(piece)
    return checksum


def other_builds(parent: Path, record: BuiltRecord | None) -> list[Path]:
    """Folders that no commit refers to: older builds, and what an interrupted one left."""
    if not parent.is_dir():
        return []
    return [each for each in parent.iterdir() if each.is_dir() and each.name != (record.folder if record else None)]


def remove_folders(folders: list[Path]) -> None:
    """Remove folders that nothing refers to; one that a reader keeps open on Windows stays until the next time."""
    for folder in folders:
        with suppress(OSError):
            shutil.rmtree(folder, ignore_errors=True)
            failpoint("folder removed")
