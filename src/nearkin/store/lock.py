"""One writer for a folder: a lock that the operating system lets go of when the process ends, however it ends."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from nearkin.errors import LockedError
from nearkin.store.durability import storage_errors

LOCK_NAME = "LOCK"


class WriterLock:
    """The lock of a collection's folder, held from `acquire` to `release`.

    The file is not removed on release: a process that opened it a moment before would then hold a lock on a name that
    is gone. Its content is only for the message of others.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, folder: Path) -> WriterLock:
        """Take the lock, at once or not at all.

        Raises
        ------
        LockedError
            Another writer has it; the message names its process.
        StorageError
            The lock file cannot be opened, for example on a read-only disk.
        """
        path = folder / LOCK_NAME
        with storage_errors(path, "opened for writing"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise LockedError(
                f"{folder} is being written by {holder}", hint="wait for it, or open the collection with readonly=True"
            ) from error
        with suppress(OSError):  # a full disk must not keep anyone from opening
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        return cls(descriptor)

    def release(self) -> None:
        """Let go of the lock; a second call does nothing."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
        with suppress(OSError):
            _unlock(descriptor)
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    found = os.pread(descriptor, 20, 0) if hasattr(os, "pread") else os.read(descriptor, 20)
    if not found.isdigit():
        return "another process"
    return "this process" if int(found) == os.getpid() else f"process {int(found)}"


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # a byte past the text, so that others can read who it is
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # flock belongs to the open file, so that a second writer in the same process is refused too
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        # a forked child has the open file too, and would keep the lock that is only closed here
        fcntl.flock(descriptor, fcntl.LOCK_UN)
