"""Reading all ids at once: spans of rows, whatever is deleted and however long the ids are."""

import sqlite3
from contextlib import closing
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin import errors
from nearkin.store import Folder, row_table
from nearkin.store.row_checksums import id_checksums

IDS = ["", "\x00", "a\x00b", '"', "\\", ",", '","', "é漢😀", "\x1f\x7f\u2028", "null", "1", "1.0", " ", "x" * 300]


def one_by_one(positions, ids):
    return [crc32(f"{position} {each}".encode()) for position, each in zip(positions, ids, strict=True)]


@given(
    st.sets(st.integers(-1500, 1500) | st.integers(998_000, 1_002_000) | st.integers(0, 2**40), max_size=20), st.data()
)
def test_checksums_of_ids(positions, data):
    ids = data.draw(st.lists(st.integers(-(2**63), 2**63 - 1) | st.just(0), min_size=20, max_size=20))
    ids = ids[: len(positions)]
    ascending = sorted(positions)
    assert id_checksums(ascending, ids) == one_by_one(ascending, ids)
    assert id_checksums(ascending, [f"é{each}" for each in ids]) == one_by_one(ascending, [f"é{each}" for each in ids])


@pytest.mark.parametrize("first", [0, 1, 997, 999, 1000, 9_995, 99_999, 123_456_789])
def test_checksums_of_positions_that_follow_each_other(first):
    for positions in (range(first, first + 1), range(first, first + 2500)):
        ids = list(positions)
        assert id_checksums(positions, ids) == one_by_one(positions, ids)


@pytest.mark.parametrize("at_once", [1, 3, 14, 1000])
@pytest.mark.parametrize("deleted", [[], [0], [13], [3, 4, 5], [0, 1, 2, 12, 13], list(range(14))])
@pytest.mark.parametrize("kind", [str, int])
def test_ids_are_read_back(tmp_path, header, monkeypatch, at_once, deleted, kind):
    ids = IDS if kind is str else [7, 0, -5, 2**63 - 1, -(2**63), 10**15, 11, 12, 13, 14, 15, 16, 17, 18]
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=np.zeros((14, 3), np.float32), ids=ids)
        folder.commit(delete=np.array(deleted, dtype=int))
    monkeypatch.setattr(row_table, "ROWS_AT_ONCE", at_once)
    alive = [n for n in range(14) if n not in deleted]
    with Folder.open(tmp_path / "a", readonly=True) as folder:
        assert np.flatnonzero(folder.alive).tolist() == alive
        assert folder.ids.at(np.array(alive, dtype=int)).tolist() == [ids[n] for n in alive]
        assert folder.verify() == []


class Narrow(sqlite3.Connection):
    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 9000)


@pytest.mark.skipif(not hasattr(sqlite3.Connection, "setlimit"), reason="comes with Python 3.11")
@pytest.mark.parametrize("delete", [[], [1, 5]])
def test_ids_that_do_not_fit_into_one_text(tmp_path, header, monkeypatch, delete):
    ids = [f"{n}" * 1000 for n in range(10, 40)]
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=np.zeros((30, 3), np.float32), ids=ids)
        folder.commit(delete=np.array(delete, dtype=int))
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, factory=Narrow, **named))
    with Folder.open(tmp_path / "a", readonly=True) as folder:
        alive = np.array([n for n in range(30) if n not in delete])
        assert folder.ids.at(alive).tolist() == [ids[n] for n in alive]


def damage(path, statement):
    """Damage can be what the table would refuse, so its constraints are out of the way meanwhile."""
    set_schema = "UPDATE sqlite_schema SET sql = ? WHERE name = 'rows'"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        (made,) = database.execute("SELECT sql FROM sqlite_schema WHERE name = 'rows'").fetchone()
        database.execute("PRAGMA writable_schema = ON")
        database.execute(set_schema, (made.replace("NOT NULL", ""),))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        assert database.execute(statement).rowcount
        database.execute("PRAGMA writable_schema = ON")
        database.execute(set_schema, (made,))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rows SET id = 'other' WHERE position = 3",
        "UPDATE rows SET id = 3 WHERE position = 3",
        "UPDATE rows SET id = NULL WHERE position = 3",
        "UPDATE rows SET id = x'00ff' WHERE position = 3",
        "UPDATE rows SET id = CAST(x'61ff' AS TEXT) WHERE position = 3",
        "UPDATE rows SET id = 9e999 WHERE position = 3",
        "UPDATE rows SET id_checksum = 5 WHERE position = 3",
        "UPDATE rows SET id_checksum = 'a' WHERE position = 3",
        "UPDATE rows SET checksum = checksum + 1 WHERE position = 3",
        "UPDATE rows SET checksum = 9223372036854775807",
        "UPDATE rows SET checksum = checksum + 0.5 WHERE position = 3",
        "UPDATE rows SET checksum = NULL WHERE position = 3",
        "UPDATE rows SET position = -3 WHERE position = 3",
        "UPDATE rows SET position = 30 WHERE position = 13",
        "UPDATE rows SET position = 9223372036854775807 WHERE position = 13",
        "DELETE FROM rows WHERE position = 3",
        "INSERT INTO rows VALUES (-1, 'new', NULL, 1, 1)",
        "INSERT INTO rows VALUES (14, 'new', NULL, 0, 0)",
    ],
)
@pytest.mark.parametrize("at_once", [4, 1000])
def test_rows_that_are_not_what_was_written(tmp_path, header, monkeypatch, statement, at_once):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=np.zeros((14, 3), np.float32), ids=[f"id {n}" for n in range(14)])
    damage(tmp_path / "a/collection.sqlite", statement)
    monkeypatch.setattr(row_table, "ROWS_AT_ONCE", at_once)
    for readonly in (True, False):
        with pytest.raises(errors.CorruptFileError):
            Folder.open(tmp_path / "a", readonly=readonly)
