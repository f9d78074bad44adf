"""Folders that appear complete or not at all."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from nearkin import errors
from nearkin.store import Folder, write_folder

ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)


@pytest.fixture
def filled(header):
    """Makes a function that fills a folder with rows times a factor."""

    def make(factor):
        def fill(folder: Path) -> None:
            with Folder.create(folder, header()) as made:
                made.commit(vectors=ROWS * factor, ids=list(range(8)))

        return fill

    return make


def first_value(path):
    with Folder.open(path) as folder:
        assert folder.verify() == []
        return float(folder.span(0, 8)[0, 1])


def names(path):
    return sorted(each.name for each in path.iterdir())


def test_new_and_replaced(tmp_path, filled):
    write_folder(tmp_path / "deep/er/wiki", filled(1))
    path = tmp_path / "deep/er/wiki"
    assert first_value(path) == 1
    with pytest.raises(errors.ParameterError, match=r"a collection at .* already; pass overwrite=True"):
        write_folder(path, filled(2))
    assert first_value(path) == 1
    write_folder(str(path), filled(2), overwrite=True)
    assert first_value(path) == 2
    assert names(path.parent) == ["wiki"]
    Folder.open(path).close()


def test_other_folders_and_files_are_never_replaced(tmp_path, filled):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/one.jpg").write_bytes(b"1")
    (tmp_path / "file").write_bytes(b"1")
    for name in ("photos", "file"):
        for overwrite in (False, True):
            with pytest.raises(errors.ParameterError, match="not a collection, it is not replaced"):
                write_folder(tmp_path / name, filled(1), overwrite=overwrite)
    assert (tmp_path / "photos/one.jpg").read_bytes() == b"1"
    assert names(tmp_path) == ["file", "photos"]


def test_what_an_interrupted_replacement_left_is_not_lost(tmp_path, filled):
    """Between the two renames of a replacement the only copy is under another name; saving anew must not remove it."""
    write_folder(tmp_path / "wiki", filled(1))
    (tmp_path / "wiki").rename(tmp_path / ".wiki.replaced.old")
    with pytest.raises(errors.ParameterError, match=r"its replacement was interrupted; rename .*\.wiki\.replaced\.old"):
        write_folder(tmp_path / "wiki", filled(2))
    assert first_value(tmp_path / ".wiki.replaced.old") == 1
    write_folder(tmp_path / "wiki", filled(2), overwrite=True)
    assert first_value(tmp_path / "wiki") == 2
    assert names(tmp_path) == ["wiki"]


def test_an_empty_folder_is_filled(tmp_path, filled):
    (tmp_path / "wiki").mkdir()
    write_folder(tmp_path / "wiki", filled(1))
    assert first_value(tmp_path / "wiki") == 1


def test_a_link_stays_a_link(tmp_path, filled):
    write_folder(tmp_path / "real", filled(1))
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    write_folder(tmp_path / "link", filled(2), overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert first_value(tmp_path / "real") == 2


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fails_after(fill, then):
    """A fill that ends in something else."""

    def both(folder: Path) -> None:
        fill(folder)
        then()

    return both


def full_at_rename(number, home, original=Path.rename):
    """A Path.rename that fails the given time that something in `home` is renamed."""
    renamed = []

    def rename(self, target):
        if self.parent == home:
            renamed.append(self)
            if len(renamed) == number:
                full()
        return original(self, target)

    return rename


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("failing", ["fill", "sync", "first rename", "second rename"])
def test_failures_leave_what_was_there(tmp_path, filled, monkeypatch, there, failing):
    path, there_before = tmp_path / "wiki", ["wiki"] if there else []
    if there:
        write_folder(path, filled(1))
    elif failing == "second rename":
        path.mkdir()  # an empty folder is not moved away, so that the only rename is the first
        there_before, failing = [path.name], "first rename"
    patch = {
        "fill": full,
        "sync": lambda: monkeypatch.setattr("nearkin.store.replacement.sync_tree", full),
        "first rename": lambda: monkeypatch.setattr(Path, "rename", full_at_rename(1, tmp_path)),
        "second rename": lambda: monkeypatch.setattr(Path, "rename", full_at_rename(2, tmp_path)),
    }
    with pytest.raises(errors.StorageError, match=r"wiki.* cannot be written: No space left on device"):
        write_folder(path, fails_after(filled(2), patch[failing]), overwrite=True)
    monkeypatch.undo()
    assert names(tmp_path) == there_before
    assert not there or first_value(path) == 1


def test_a_collection_that_is_being_written_is_not_replaced(tmp_path, filled):
    write_folder(tmp_path / "wiki", filled(1))
    with Folder.open(tmp_path / "wiki") as folder:
        with pytest.raises(errors.LockedError):
            write_folder(tmp_path / "wiki", filled(2), overwrite=True)
        folder.commit(delete=np.array([7]))
    assert first_value(tmp_path / "wiki") == 1
    assert names(tmp_path) == ["wiki"]


def test_killed_between_two_renames(tmp_path, filled):
    write_folder(tmp_path / "wiki", filled(1))
    (tmp_path / "wiki").rename(tmp_path / ".wiki.replaced.old")
    with pytest.raises(errors.UnknownCollectionError, match=r"interrupted; rename .*\.wiki\.replaced\.old to .*wiki"):
        Folder.open(tmp_path / "wiki")


def test_a_reader_keeps_the_folder_that_was_replaced(tmp_path, filled):
    write_folder(tmp_path / "wiki", filled(1))
    with Folder.open(tmp_path / "wiki", readonly=True) as reader:
        view = reader.span(0, 8)
        write_folder(tmp_path / "wiki", filled(2), overwrite=True)
        np.testing.assert_array_equal(view, ROWS)
        assert reader.metadata(np.arange(8)) == [{}] * 8
    assert first_value(tmp_path / "wiki") == 2


@pytest.mark.skipif(os.name == "nt", reason="modes are of POSIX")
def test_others_may_read_what_the_umask_lets_them(tmp_path, filled):
    before = os.umask(0o022)
    try:
        write_folder(tmp_path / "wiki", filled(1))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "wiki").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "wiki/collection.sqlite").stat().st_mode) == 0o644
