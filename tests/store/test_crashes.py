"""Commits without room, and interrupted ones: what was acknowledged is there, and nothing else."""

import errno
import os
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from nearkin import errors
from nearkin.state import State
from nearkin.store import Folder, durability, write_folder

ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def no_room(monkeypatch, where, folder):
    with monkeypatch.context() as patched:
        if where == "sqlite":
            connection = folder._database.connection
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")
            yield
            connection.execute("PRAGMA max_page_count = 1000000")
            return
        target = {
            "write": ("nearkin.store.vector_file.write_pieces", full_disk),
            "half": ("nearkin.store.vector_file.write_pieces", half_written),
            "sync": ("nearkin.store.vector_file.sync_file", full_disk),
            "built": ("nearkin.store.durability.write_pieces", full_disk),
        }[where]
        patched.setattr(*target)
        yield


def half_written(file, content):
    durability.write_pieces(file, content[: len(content) // 2])
    full_disk()


@pytest.mark.parametrize("where", ["write", "half", "sync", "sqlite"])
def test_a_commit_without_room(tmp_path, header, contents, monkeypatch, where):
    path = tmp_path / "a"
    extra = [{"text": "long " * 4000}] * 8
    with Folder.create(path, header()) as folder:
        for before_rows in (0, 8):
            before = contents(folder)
            with (
                no_room(monkeypatch, where, folder),
                pytest.raises(errors.StorageError, match=r"full|No space left") as e,
            ):
                folder.commit(vectors=-ROWS, ids=list(range(50, 58)), metadata=extra)
            assert str(path) in str(e.value)
            assert contents(folder) == before
            assert folder.verify() == []
            with Folder.open(path, readonly=True) as reader:
                assert contents(reader) == before
            file = path / "vectors/000001.f32"
            assert (file.stat().st_size if file.exists() else 0) == before_rows * 12
            folder.commit(vectors=ROWS, ids=list(range(before_rows, before_rows + 8)))
            np.testing.assert_array_equal(folder.span(before_rows, before_rows + 8), ROWS)
        assert folder.verify() == []
    with Folder.open(path) as folder:
        assert folder.ids.at(np.arange(16)).tolist() == list(range(16))


def test_publishing_without_room(tmp_path, header, contents, monkeypatch, index_state):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS, ids=list(range(8)))
        folder.publish("flat", index_state, 8)
        before = contents(folder)
        with no_room(monkeypatch, "built", folder), pytest.raises(errors.StorageError, match="No space left"):
            folder.publish("ivf4", index_state, 8)
        with monkeypatch.context() as patched:
            patched.setattr("nearkin.store.folder.write_committed", full_disk_of_sqlite)
            with pytest.raises(errors.StorageError, match="No space left"):
                folder.publish("ivf4", index_state, 8)
        assert contents(folder) == before
        assert len(list((tmp_path / "a/built").iterdir())) == 1
        folder.publish("ivf4", index_state, 8)
        assert folder.built().label == "ivf4"


def full_disk_of_sqlite(*_):
    raise errors.StorageError("No space left on device")


def test_interrupted_before_the_commit(tmp_path, header, contents, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with Folder.create(tmp_path / "a", header()) as folder:
        before = contents(folder)
        with monkeypatch.context() as patched:
            patched.setattr("nearkin.store.folder.write_committed", interrupt)
            with pytest.raises(KeyboardInterrupt):
                folder.commit(vectors=ROWS, ids=list(range(8)))
        assert contents(folder) == before
        folder.commit(vectors=ROWS, ids=list(range(8)))
        assert folder.verify() == []


def test_interrupted_after_the_commit(tmp_path, header, contents, monkeypatch):
    """The disk has the commit, the object does not know it: it must not write over it."""

    def interrupt(*_):
        raise KeyboardInterrupt

    folder = Folder.create(tmp_path / "a", header())
    monkeypatch.setattr(folder, "_record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        folder.commit(vectors=ROWS, ids=list(range(8)))
    with pytest.raises(errors.StorageError, match="leaves open whether it was written; close the collection and open"):
        folder.commit(vectors=-ROWS, ids=list(range(8)))
    assert len(folder) == 0
    folder.close()
    with Folder.open(tmp_path / "a") as folder:
        np.testing.assert_array_equal(folder.span(0, 8), ROWS)
        assert folder.verify() == []


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_that_is_really_full(small_disk, header, contents):
    def copy(folder):
        (folder / "copy").write_bytes(bytes(400_000))

    path = small_disk / "wiki"
    with Folder.create(path, header()) as folder:
        before = fill_the_disk(folder, contents)
        assert len(folder) > 80
        assert contents(folder) == before
        assert folder.verify() == []
        with pytest.raises(errors.StorageError):
            folder.publish("flat", State({"big": np.zeros(100_000)}), len(folder))
        assert contents(folder) == before
    with pytest.raises(errors.StorageError):
        write_folder(path, copy, overwrite=True)
    assert sorted(each.name for each in small_disk.iterdir()) == ["wiki"]
    with Folder.open(path) as folder:
        assert contents(folder) == before


def fill_the_disk(folder, contents):
    """Commit until nothing more fits; what the folder said before the last try."""
    for first in range(0, 80_000, 8):
        before = contents(folder)
        try:
            folder.commit(vectors=ROWS, ids=list(range(first, first + 8)), metadata=[{"t": "x" * 999}] * 8)
        except errors.StorageError:
            return before
    raise AssertionError("80,000 rows fit on a disk of 512 KiB")
