"""Bytes that are on the disk when the call returns, and what the operating system says when it cannot."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nearkin.errors import NearkinError, StorageError
from nearkin.mapped_pages import let_go
from nearkin.store.failpoints import failpoint

PIECE = 1 << 20
"""Bytes written or checksummed at once."""


@contextmanager
def storage_errors(path: Path, what: str) -> Iterator[None]:
    """Turn an OSError into a StorageError with the path and the system's reason.

    >>> with storage_errors(Path("wiki/LOCK"), "written"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
        ...
    nearkin.errors.StorageError: wiki/LOCK cannot be written: No space left on device
    """
    try:
        yield
    except NearkinError:
        raise
    except OSError as error:
        raise StorageError(f"{path} cannot be {what}: {error.strerror or error}") from error


def sync_file(descriptor: int) -> None:
    """Wait until a file's bytes are on the disk."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync alone stops at the drive's cache there
    else:
        os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until a folder's list of names is on the disk; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """`sync_file` and `sync_folder` for everything below a folder, and the folder."""
    for folder, _, names in os.walk(path):
        for name in names:
            with open(Path(folder, name), "rb+") as file:
                sync_file(file.fileno())
        sync_folder(Path(folder))


def write_pieces(file: BinaryIO, content: memoryview) -> None:
    """Write all of a buffer to an unbuffered file, which may take only a part of it at a time."""
    done = 0
    while done < len(content):
        written = file.write(content[done : done + PIECE])
        let_go(np.frombuffer(content[done : done + written], dtype=np.uint8))
        done += written
        failpoint("piece written")


def write_synced(path: Path, content: memoryview | bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with open(path, "xb", buffering=0) as file:
        write_pieces(file, memoryview(content))
        sync_file(file.fileno())
