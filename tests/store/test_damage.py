"""Flipped bytes and cut files: reported, or without any effect on the answers."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nearkin import errors
from nearkin.store import Folder

SOAK = bool(os.environ.get("NEARKIN_SOAK"))
EVERY = 1 if SOAK else 37
EVERY_WRITTEN = 5 if SOAK else 331
REPORTED = (errors.StorageError, errors.UnknownCollectionError)
ROWS = np.arange(24, dtype=np.float32).reshape(8, 3) / 7


@pytest.fixture(scope="module", params=["int", "str"] if SOAK else ["str"])
def collection(request, tmp_path_factory, header, index_state):
    """Eight rows, two of them deleted, metadata, and a built index."""
    path = tmp_path_factory.mktemp("damage") / "wiki"
    ids = list(range(8)) if request.param == "int" else [f"id {n}" for n in range(8)]
    with Folder.create(path, header()) as folder:
        folder.commit(vectors=ROWS, ids=ids, metadata=[{"text": f"row {n}"} if n % 2 else {} for n in range(8)])
        folder.commit(delete=np.array([2, 5]))
        folder.publish("flat", index_state, 8)
    return path


def answers(path, contents, *, readonly):
    """All that a folder answers, or the errors that it raises; verify only when nothing else complains."""
    try:
        with Folder.open(path, readonly=readonly) as folder:
            return contents(folder)
    except REPORTED as error:
        return error


def files_of(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file())


def test_flipped_bytes(collection, contents):
    with Folder.open(collection, readonly=True) as folder:
        assert folder.verify() == []
    good = answers(collection, contents, readonly=True)
    reported = harmless = 0
    for file in files_of(collection):
        for place in range(0, file.stat().st_size, EVERY):
            with open(file, "r+b", buffering=0) as opened:
                opened.seek(place)
                was = opened.read(1)[0]
                opened.seek(place)
                opened.write(bytes([was ^ 1 << place % 8]))
            found = answers(collection, contents, readonly=True)
            assert isinstance(found, REPORTED) or found == good, (file, place)
            reported += isinstance(found, REPORTED)
            harmless += found == good
            with open(file, "r+b", buffering=0) as opened:
                opened.seek(place)
                opened.write(bytes([was]))
    assert reported > harmless / 20 > 0  # most of a small SQLite file is unused
    assert answers(collection, contents, readonly=True) == good


def test_bytes_of_vectors_and_index_are_always_reported(collection, contents):
    for file in files_of(collection):
        if file.suffix in (".f32", ".bin", ".json"):
            content = bytearray(file.read_bytes())
            for place in range(0, len(content), EVERY):
                content[place] ^= 0x80
                file.write_bytes(content)
                assert isinstance(answers(collection, contents, readonly=True), errors.CorruptFileError), (file, place)
                content[place] ^= 0x80
            file.write_bytes(content)
    assert not isinstance(answers(collection, contents, readonly=True), Exception)


def test_flipped_bytes_and_a_writer_that_goes_on(collection, contents, tmp_path):
    """A writer either refuses, or commits in a way that reads back as what it said."""
    database = (collection / "collection.sqlite").read_bytes()
    for place in range(0, len(database), EVERY_WRITTEN):
        path = tmp_path / "copy"
        shutil.copytree(collection, path)
        content = bytearray(database)
        content[place] ^= 1 << place % 8
        (path / "collection.sqlite").write_bytes(content)
        try:
            with Folder.open(path) as folder:
                new = folder.ids.next_ids(None if folder.ids.kind == "int" else ["new 1", "new 2"], 2)
                folder.commit(delete=np.array([0]), vectors=ROWS[:2], ids=new, metadata=[{"new": 1}, {}])
                expected = contents(folder)
        except REPORTED:
            pass
        else:
            found = answers(path, contents, readonly=True)
            assert isinstance(found, REPORTED) or found == expected, place
        shutil.rmtree(path)


def test_cut_files(collection, contents, tmp_path):
    good = answers(collection, contents, readonly=True)
    for file in files_of(collection):
        size = file.stat().st_size
        content = file.read_bytes()
        for length in sorted({0, 1, size // 3, size // 2, size - 4096, size - 1}):
            if not 0 <= length < size:
                continue
            os.truncate(file, length)
            for readonly in (True, False):
                found = answers(collection, contents, readonly=readonly)
                harmless = file.suffix == ".sqlite" and found == good  # the end of a page without rows
                assert harmless or isinstance(found, errors.CorruptFileError), (file, length, found)
            file.write_bytes(content)
    assert answers(collection, contents, readonly=True) == good


def test_the_numbers_of_a_vector_file_that_is_too_short(collection):
    file = next(collection.rglob("*.f32"))
    content = file.read_bytes()
    os.truncate(file, 90)
    with pytest.raises(errors.CorruptFileError, match=r"has 90 bytes, 96 are committed \(8 rows\)"):
        Folder.open(collection)
    file.unlink()
    with pytest.raises(errors.CorruptFileError, match="has 0 bytes"):
        Folder.open(collection, readonly=True)
    file.write_bytes(content)


def test_bytes_beyond_the_committed_rows(collection, contents):
    """What an interrupted commit leaves: readers pass it over, a writer cuts it off."""
    good = answers(collection, contents, readonly=True)
    file = next(collection.rglob("*.f32"))
    with open(file, "ab") as opened:
        opened.write(b"\xff" * 50)
    assert answers(collection, contents, readonly=True) == good
    assert file.stat().st_size == 146
    assert answers(collection, contents, readonly=False) == good
    assert file.stat().st_size == 96


def test_what_an_interrupted_build_leaves_is_removed_by_a_writer(collection, contents):
    good = answers(collection, contents, readonly=True)
    for name in (".1234.tmp", "ivf4-0123"):
        (collection / "built" / name).mkdir()
        (collection / "built" / name / "000-codes.bin").write_bytes(b"half")
    assert answers(collection, contents, readonly=True) == good
    assert len(list((collection / "built").iterdir())) == 3
    assert answers(collection, contents, readonly=False) == good
    assert len(list((collection / "built").iterdir())) == 1


def test_files_that_are_something_else(collection, contents):
    database = collection / "collection.sqlite"
    content = database.read_bytes()
    for other in (b"", b"not a database" * 1000, content[:100] + bytes(len(content) - 100)):
        database.write_bytes(other)
        for readonly in (True, False):
            assert isinstance(answers(collection, contents, readonly=readonly), errors.CorruptFileError)
    database.write_bytes(content)


def test_verify_names_every_damage(collection):
    kept = {file: file.read_bytes() for file in files_of(collection)}
    for file in kept:
        if file.suffix in (".f32", ".bin"):
            file.write_bytes(bytes(len(kept[file])) if file.suffix == ".f32" else kept[file] + b"x")
    with Folder.open(collection, readonly=True) as folder:
        problems = folder.verify()
    for file, content in kept.items():
        file.write_bytes(content)
    assert len(problems) == 2
    assert "block 0 (positions 0 to 7)" in problems[0]
    assert "bytes" in problems[1]
    with Folder.open(collection, readonly=True) as folder:
        assert folder.verify() == []


def test_verify_sees_a_broken_index_of_the_ids(collection):
    """Nothing is read through it, so only verify can tell."""
    database = collection / "collection.sqlite"
    content = database.read_bytes()
    with Folder.open(collection, readonly=True) as folder:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'rows_by_id'"
        page = folder._database.connection.execute(query).fetchone()[0]
    broken = bytearray(content)
    broken[page * 4096 - 2] ^= 1
    database.write_bytes(broken)
    with Folder.open(collection, readonly=True) as folder:
        assert any("rows_by_id" in each for each in folder.verify())
    database.write_bytes(content)
