"""Letting go of mapped pages: they leave the memory of the process, and nothing in them is lost."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import numpy as np
import pytest

from nearkin.mapped_pages import let_go

STATUS = Path("/proc/self/status")


def resident() -> int:
    """Bytes of mapped files in memory."""
    return 1024 * int(re.search(r"RssFile:\s+(\d+)", STATUS.read_text())[1])


@pytest.fixture
def file(tmp_path):
    rows = np.random.default_rng(0).random((1 << 16, 64), dtype=np.float32)  # 16 MiB
    rows.tofile(tmp_path / "rows")
    return tmp_path / "rows"


def as_buffer(path):
    with path.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, np.float32).reshape(-1, 64)


WAYS = {
    "memmap": lambda path: np.memmap(path, np.float32, "r", shape=(1 << 16, 64)),
    "from an offset": lambda path: np.memmap(path, np.float32, "r", offset=256 * 37, shape=((1 << 16) - 37, 64)),
    "column order": lambda path: np.memmap(path, np.float32, "r", shape=(1 << 16, 64), order="F"),
    "a field of records": lambda path: np.memmap(path, np.dtype([("n", "<i4"), ("row", "<f4", 63)]), "r")["row"],
    "buffer": as_buffer,
    "view of a view": lambda path: np.frombuffer(as_buffer(path)[5:].data, np.float32).reshape(-1, 64),
}


@pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("way", WAYS)
def test_pages_leave_memory_and_come_back(file, way):
    array = WAYS[way](file)
    total = float(array.sum(dtype=np.float64))
    full = resident()
    let_go(array)
    assert full - resident() > 15 << 20
    assert float(array.sum(dtype=np.float64)) == total
    let_go(array[100:200])
    let_go(array[:0])
    let_go(array[-1:])
    assert float(array.sum(dtype=np.float64)) == total


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_what_was_changed_stays_changed(file, mode):
    array = np.memmap(file, np.float32, mode)
    array[:] = 7
    let_go(array)
    assert (array == 7).all()


def test_arrays_in_memory_are_left_alone():
    array = np.arange(1 << 20)
    array.flags.writeable = False
    let_go(array)
    let_go(array[::-2])
    let_go(np.frombuffer(b"12345678", np.uint8))
    assert array.sum() == (1 << 20) * ((1 << 20) - 1) // 2
