"""Collections as every released format wrote them: they open for ever and answer what they were saved to answer."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import nearkin as nk
from nearkin.store.schema import MIGRATIONS

HOME = Path(__file__).parent / "golden"
GOLDEN = sorted(each.with_suffix("") for each in HOME.glob("format-*/*.json"))

pytestmark = pytest.mark.parametrize("golden", GOLDEN, ids=[f"{each.parent.name}/{each.name}" for each in GOLDEN])


def format_of(folder: Path) -> int:
    connection = sqlite3.connect(f"{(folder / 'collection.sqlite').as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


def check(collection: nk.Collection, expected: dict) -> None:
    """The answers that stand beside it."""
    ids, dtype = expected["ids"], np.dtype(expected["dtype"])
    assert collection.metric.name == expected["metric"]
    assert collection.plan == expected["plan"]
    assert collection.ids.tolist() == ids
    assert len(collection) == len(ids)
    rows = collection.get(ids)
    assert [row.id for row in rows] == ids
    assert [row.metadata for row in rows] == expected["metadata"]
    np.testing.assert_array_equal(np.array([row.vector for row in rows]), np.array(expected["vectors"], dtype=dtype))
    truth = np.array(expected["distances"])
    found = collection.search(np.array(expected["queries"], dtype=dtype), k=len(ids), **expected["search"])
    for query in range(len(truth)):
        place = {each: n for n, each in enumerate(ids)}
        at = [place[each] for each in found.ids[query].tolist()]
        assert sorted(at) == list(range(len(ids)))
        np.testing.assert_allclose(found.distances[query], truth[query][at], rtol=1e-5, atol=1e-5)
    for where, kept in expected.get("filters", {}).items():
        assert [row.id for row in collection.select(where)] == kept
    assert collection.problems == []
    assert collection.verify() == []


def new_rows(collection: nk.Collection, expected: dict) -> tuple[np.ndarray, list]:
    """Two rows farther from every query than any row, and ids for them."""
    if expected["dtype"] == "float32":
        return np.full((2, collection.dim), 1e6, dtype=np.float32), ["new 1", "new 2"]
    return ~np.array(expected["queries"][:2], dtype=np.uint8), [10**6, 10**6 + 1]


@pytest.fixture
def expected(golden):
    return json.loads(golden.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.fixture
def unwritable(golden, tmp_path):
    """A copy where nothing can be written: the superuser, whom permissions do not stop, needs a disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform == "linux" and os.getuid() == 0:
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True, check=False).returncode:
            pytest.skip("the superuser may write everywhere, and a disk cannot be mounted")
        shutil.copytree(golden, place / "copy")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        yield place / "copy"
        subprocess.run(["umount", str(place)], check=True)
        return
    shutil.copytree(golden, place / "copy")
    everything = [place / "copy", *(place / "copy").rglob("*")]
    for each in everything:
        each.chmod(0o555 if each.is_dir() else 0o444)
    yield place / "copy"
    for each in everything:
        each.chmod(0o755)


def test_read_where_nothing_can_be_written(unwritable, expected):
    with suppress(OSError):
        (unwritable / "written").touch()
        pytest.fail("a folder that was to be read-only can be written")
    before = {each: each.read_bytes() for each in unwritable.rglob("*") if each.is_file()}
    with nk.open(unwritable, readonly=True) as collection:
        check(collection, expected)
    assert before == {each: each.read_bytes() for each in unwritable.rglob("*") if each.is_file()}


def test_reading_leaves_the_format_as_it_is(golden, expected, tmp_path):
    shutil.copytree(golden, tmp_path / "copy")
    with nk.open(tmp_path / "copy", readonly=True) as collection:
        check(collection, expected)
    assert f"format-{format_of(tmp_path / 'copy')}" == golden.parent.name


def test_written_and_brought_up_to_date(golden, expected, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(golden, copy)
    with nk.open(copy) as collection:
        check(collection, expected)
    assert format_of(copy) == len(MIGRATIONS)
    with nk.open(copy) as collection:
        vectors, ids = new_rows(collection, expected)
        collection.add(vectors, ids=ids, metadata=[{"new": True}, {}])
        assert [row.metadata for row in collection.get(ids)] == [{"new": True}, {}]
        collection.delete(ids)
        check(collection, expected)
        collection.upsert(vectors, ids)
        assert collection.verify() == []
        collection.delete(ids)
        collection.optimize()
    for readonly in (True, False):
        with nk.open(copy, readonly=readonly) as collection:
            check(collection, expected)


def test_there_are_some_of_every_format(golden):
    assert int(golden.parent.name.removeprefix("format-")) <= len(MIGRATIONS)
    assert f"format-{format_of(golden)}" == golden.parent.name
    assert {each.parent.name for each in GOLDEN} == {f"format-{number}" for number in range(1, len(MIGRATIONS) + 1)}
