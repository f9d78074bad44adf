"""Every byte of every file of a small collection flipped, every file cut at every length, the journal of an interrupted
commit damaged: each is reported, or the answers are the right ones. All of them in the long form, some in the short one."""

import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors
from nearkin.store import Folder, database, failpoints

SOAK = bool(os.environ.get("NEARKIN_SOAK"))
PARTS = 8 if SOAK else 1
EVERY = 1 if SOAK else 97
REPORTED = (errors.StorageError, errors.UnknownCollectionError)
ROWS = np.random.default_rng(3).standard_normal((12, 3), dtype=np.float32)
QUERIES = np.random.default_rng(4).standard_normal((3, 3), dtype=np.float32)
SECONDS = 20
PAGE_BYTES = 512

parts = pytest.mark.parametrize("part", range(PARTS))
ways = pytest.mark.parametrize("readonly", [True, False], ids=["reader", "writer"])


@pytest.fixture(scope="module")
def memory():
    """A folder in memory, where there is such a place."""
    place = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def collection(memory):
    """Eight rows, of which one is deleted, one replaced and two are not in the index; a database of 512-byte pages."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "PAGE_BYTES", PAGE_BYTES)
        made = nk.build(
            ROWS[:6],
            ids=[f"id {n}" for n in range(6)],
            metadata=[{"n": n} if n % 2 else {} for n in range(6)],
            plan="ivf2",
            search={"nprobe": 2},
            seed=1,
        )
        made.save(memory / "wiki")
    with nk.open(memory / "wiki") as opened:
        opened.delete(["id 3"])
        opened.upsert(ROWS[6:8], ids=["id 1", "new"], metadata=[{"again": True}, {"é": None}])
    return memory / "wiki"


def answers(collection: nk.Collection) -> tuple:
    """All that a collection is asked."""
    ids = collection.ids.tolist()
    rows = [(row.id, row.vector.tolist(), row.metadata) for row in collection.get(ids)]
    found = collection.search(QUERIES, k=20)
    facts = (len(collection), collection.deleted, collection.dim, collection.metric_text, collection.keeps_vectors)
    exact = collection.exact_search(QUERIES, k=3)
    near = np.round(found.distances, 5).tolist()
    return (
        facts,
        ids,
        rows,
        found.ids.tolist(),
        near,
        exact.ids.tolist(),
        [each in collection for each in ("id 3", "new")],
    )


def change(collection: nk.Collection) -> None:
    """What a writer does that finds nothing wrong."""
    collection.upsert(ROWS[8:10], ids=["id 0", "newer"], metadata=[{"text": "x" * 300}, {}])
    collection.delete(["id 2"])


def outcome(path: Path, right: list[tuple], afterwards: list[tuple], *, readonly: bool) -> str:
    """Whether a damaged collection is reported or answers what is right; a writer goes on to change it."""
    start = time.perf_counter()
    try:
        with nk.open(path, readonly=readonly) as opened:
            said = answers(opened)
            reported = bool(opened.problems)
            assert said in right, "wrong answers"
            if not readonly:
                change(opened)
                assert answers(opened) in afterwards, "wrong answers after a change"
        if not readonly:
            with nk.open(path, readonly=True) as opened:
                assert answers(opened) in afterwards, "wrong answers to the next reader"
    except REPORTED:
        reported = True
    assert time.perf_counter() - start < SECONDS
    return "reported" if reported else "harmless"


@pytest.fixture(scope="module")
def right(collection, memory):
    """What it answers, and what it answers once a writer changed it."""
    shutil.copytree(collection, memory / "changed")
    with nk.open(memory / "changed") as opened:
        first = answers(opened)
        change(opened)
        return [first], [answers(opened)]


def files_of(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file())


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]


def try_damages(collection: Path, memory: Path, file: Path, contents, right, *, readonly: bool) -> Counter:
    """Put contents in the place of a file, one after the other, each in a fresh copy."""
    counts: Counter = Counter()
    copy = memory / "copy"
    for what, content in contents:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(collection, copy)
        (copy / file.relative_to(collection)).write_bytes(content)
        try:
            counts[outcome(copy, *right, readonly=readonly)] += 1
        except Exception as error:
            raise AssertionError(f"{file.name}, {what}") from error
    return counts


@parts
@ways
def test_every_byte_flipped(collection, memory, right, readonly, part):
    for file in files_of(collection):
        content = file.read_bytes()
        places = range(part * EVERY, len(content), EVERY * PARTS)
        damages = ((f"byte {place}", flipped(content, place)) for place in places)
        counts = try_damages(collection, memory, file, damages, right, readonly=readonly)
        print(file.suffix, dict(counts))
        assert counts["reported"] or not content
        if file.suffix in (".f32", ".bin", ".json"):
            assert not counts["harmless"]


@parts
@ways
def test_every_file_cut_at_every_length(collection, memory, right, readonly, part):
    for file in files_of(collection):
        content = file.read_bytes()
        damages = ((f"{size} bytes", content[:size]) for size in range(part * EVERY, len(content), EVERY * PARTS))
        counts = try_damages(collection, memory, file, damages, right, readonly=readonly)
        print(file.suffix, dict(counts))
        # a part of the last page may hold nothing, or only what is derived from the rows
        assert counts["harmless"] <= (PAGE_BYTES if file.suffix == ".sqlite" else 0)


@ways
def test_every_file_missing(collection, memory, right, readonly):
    for file in files_of(collection):
        shutil.copytree(collection, memory / "missing")
        (memory / "missing" / file.relative_to(collection)).unlink()
        found = outcome(memory / "missing", *right, readonly=readonly)
        assert found == ("harmless" if file.name == "LOCK" else "reported")
        shutil.rmtree(memory / "missing")


# ---- the journal of an interrupted commit ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def interrupted(collection, memory):
    """As a process leaves it that is killed in the middle of a commit: pages of it are in the database already, and the
    journal has what was there before."""
    hot = memory / "hot"
    shutil.copytree(collection, memory / "busy")
    with Folder.open(memory / "busy") as folder:
        folder._database.connection.execute("PRAGMA cache_size = 1")
        with failpoints.armed("before commit", lambda: shutil.copytree(memory / "busy", hot)):
            folder.commit(
                delete=np.array([0]), vectors=ROWS[:3], ids=["x", "y", "z"], metadata=[{"x": "x" * 500}, {}, {"y": 1}]
            )
    (hot / "LOCK").write_bytes(b"")
    assert (hot / "collection.sqlite-journal").stat().st_size > 1024
    assert (hot / "collection.sqlite").read_bytes() != (collection / "collection.sqlite").read_bytes()
    return hot


@ways
def test_an_interrupted_commit_is_undone(interrupted, memory, right, readonly):
    shutil.copytree(interrupted, memory / "undone")
    assert outcome(memory / "undone", *right, readonly=readonly) == "harmless"
    shutil.rmtree(memory / "undone")


@parts
@ways
def test_every_byte_of_the_journal_flipped(interrupted, memory, right, readonly, part):
    """SQLite checks a sum over every 200th byte of a page of its journal, and passes over a journal with a damaged head: what
    comes back is then a page with a flipped byte, or half a commit, and nearkin's own checksums are what tells."""
    journal = interrupted / "collection.sqlite-journal"
    content = journal.read_bytes()
    places = range(part * EVERY, len(content), EVERY * PARTS)
    damages = ((f"byte {place}", flipped(content, place)) for place in places)
    counts = try_damages(interrupted, memory, journal, damages, right, readonly=readonly)
    print("journal", dict(counts))
    assert counts["reported"]
    assert counts["harmless"]


@parts
@ways
def test_the_journal_cut_at_every_length(interrupted, memory, right, readonly, part):
    journal = interrupted / "collection.sqlite-journal"
    content = journal.read_bytes()
    damages = ((f"{size} bytes", content[:size]) for size in range(part * EVERY, len(content), EVERY * PARTS))
    print("journal cut", dict(try_damages(interrupted, memory, journal, damages, right, readonly=readonly)))
