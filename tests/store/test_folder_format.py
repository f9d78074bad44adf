"""Folders of other formats, and folders that something else has changed."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from nearkin import errors
from nearkin.store import Folder, schema
from nearkin.store.durability import write_pieces

ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)


def alter(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path / "collection.sqlite")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_newer_format(tmp_path, header):
    Folder.create(tmp_path / "a", header()).close()
    alter(tmp_path / "a", "PRAGMA user_version = 9")
    for readonly in (False, True, False):  # what is refused leaves no lock behind
        with pytest.raises(errors.FormatVersionError, match="format 9, this nearkin knows formats up to 2"):
            Folder.open(tmp_path / "a", readonly=readonly)


def test_an_older_format_is_brought_up_to_date_by_a_writer(tmp_path, header, contents, monkeypatch):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS, ids=list(range(8)))
        before = contents(folder)
    newer = (*schema.MIGRATIONS, "ALTER TABLE rows ADD COLUMN note; CREATE TABLE notes (text TEXT);")
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*newer, "CREATE TABLE facts (x)"))
        with pytest.raises(errors.CorruptFileError, match="already exists"):
            Folder.open(tmp_path / "a")  # a migration that fails leaves the older format
        patched.setattr(schema, "MIGRATIONS", newer)
        with Folder.open(tmp_path / "a", readonly=True) as folder:  # a reader reads it as it is
            assert contents(folder) == before
        with Folder.open(tmp_path / "a") as folder:
            assert contents(folder) == before
        with Folder.open(tmp_path / "a", readonly=True) as folder:
            assert contents(folder) == before
    with pytest.raises(errors.FormatVersionError):
        Folder.open(tmp_path / "a")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE rows SET id = 'x' WHERE position = 3", "wrong type"),
        ("UPDATE rows SET id = 99 WHERE position = 3", "ids do not have the checksums"),
        ("DELETE FROM rows WHERE position = 3", "7 rows were found"),
        ("UPDATE rows SET position = 8 WHERE position = 3", "ids do not have the checksums"),
        (
            "UPDATE facts SET value = replace(value, '7', '8') WHERE name = 'header'",
            "header does not have the checksum",
        ),
        ("UPDATE facts SET value = x'00' WHERE name = 'metric_state/matrix'", "metric_state/matrix does not"),
        ("DELETE FROM facts WHERE name = 'committed'", "committed is missing"),
        ("UPDATE blocks SET bytes = 95", "1 blocks of vectors, 1 that make up 96 bytes"),
        ("DELETE FROM blocks", "0 blocks of vectors"),
        ("DROP TABLE blocks", "definition of blocks is None"),
        ("PRAGMA application_id = 0", "not of a nearkin collection"),
        ("CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END", "trigger 't'"),
        ("CREATE VIEW v AS SELECT 1", "view 'v'"),
        ("CREATE INDEX i ON rows (lower(metadata))", "index 'i'"),
    ],
)
def test_changes_behind_its_back(tmp_path, header, statement, message):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS, ids=list(range(8)))
    alter(tmp_path / "a", statement)
    for readonly in (True, False):
        with pytest.raises(errors.CorruptFileError, match=message):
            Folder.open(tmp_path / "a", readonly=readonly)


def test_metadata_changed_behind_its_back(tmp_path, header):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS, ids=list(range(8)), metadata=[{"n": n} for n in range(8)])
    alter(tmp_path / "a", "UPDATE rows SET metadata = '{\"n\": 9}' WHERE position = 3", "CREATE TABLE mine (x)")
    with Folder.open(tmp_path / "a") as folder:
        assert folder.metadata(np.array([2, 4])) == [{"n": 2}, {"n": 4}]
        with pytest.raises(errors.CorruptFileError, match="position 3 "):
            folder.metadata(np.array([2, 3]))
        (problem,) = folder.verify()
        assert "position 3 " in problem


def test_an_object_that_the_disk_has_left_behind_does_not_write(tmp_path, header):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS, ids=list(range(8)))
        (tmp_path / "a/LOCK").unlink()
        with Folder.open(tmp_path / "a") as other:
            other.commit(vectors=ROWS, ids=list(range(8, 16)))
        with pytest.raises(errors.StorageError, match="at commit 2, this object knows commit 1"):
            folder.commit(vectors=-ROWS, ids=list(range(8, 16)))
    with Folder.open(tmp_path / "a") as folder:
        np.testing.assert_array_equal(folder.span(0, 16), np.concatenate([ROWS, ROWS]))
        assert folder.verify() == []


def test_another_program_in_the_database(tmp_path, header, monkeypatch):
    monkeypatch.setattr("nearkin.store.database.WAIT_SECONDS", 0.01)
    with Folder.create(tmp_path / "a", header()) as folder:
        other = sqlite3.connect(tmp_path / "a/collection.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.LockedError, match="in use by another program"):
            folder.commit(vectors=ROWS, ids=list(range(8)))
        other.execute("ROLLBACK")
        other.close()
        folder.commit(vectors=ROWS, ids=list(range(8)))
        assert folder.count == 8


def test_writes_that_are_taken_in_parts():
    class Slow:
        def __init__(self):
            self.taken = b""

        def write(self, content):
            self.taken += bytes(content[:3])
            return min(3, len(content))

    file = Slow()
    write_pieces(file, memoryview(b"0123456789"))
    assert file.taken == b"0123456789"
