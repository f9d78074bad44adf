"""Pages of memory-mapped files: once touched, they count as memory of the process until it lets go of them."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


def let_go(array: np.ndarray) -> None:
    """Take the pages of an array out of memory where it lies in a file that is mapped for reading, else do nothing.

    Nothing is lost: they are read again when they are touched. Windows has no such call.

    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file:
    ...     _ = file.write(bytes(range(8)))
    ...     file.flush()
    ...     array = np.memmap(file, np.uint8, "r")
    ...     let_go(array)
    ...     array.tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    mapped = _map_of(array)
    if mapped is None or not array.size or not hasattr(mapped, "madvise"):
        return
    first = _address(array) - _address(np.frombuffer(mapped, dtype=np.uint8))
    length = array.itemsize + sum(
        (size - 1) * max(0, step) for size, step in zip(array.shape, array.strides, strict=True)
    )
    start = first // mmap.PAGESIZE * mmap.PAGESIZE
    mapped.madvise(mmap.MADV_DONTNEED, start, first + length - start)


def is_mapped(array: np.ndarray) -> bool:
    """Whether an array lies in a file that is mapped for reading.

    >>> is_mapped(np.zeros(3))
    False
    """
    return _map_of(array) is not None


def _map_of(array: np.ndarray) -> mmap.mmap | None:
    """What an array that cannot be written to lies in; changes to a private map would be lost."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        if base.flags.writeable if isinstance(base, np.ndarray) else not base.readonly:
            return None
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap.mmap) else None


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
