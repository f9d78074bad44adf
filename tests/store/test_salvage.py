"""Damage made by hand and at random: what a repair keeps is what was written, and what it does not keep it says."""

import os
import random
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors
from nearkin.store import Folder
from nearkin.store.rewriting import rewrite_database
from nearkin.store.salvage import salvage

SOAK = bool(os.environ.get("NEARKIN_SOAK"))
FLIPS = 5_000 if SOAK else 100
N, DIM, BLOCK = 300, 9, 4096
ROWS = np.random.default_rng(3).normal(size=(N, DIM)).astype(np.float32)
"""More than two blocks of vectors, and a row on each border."""
DELETED = (4, 5, 6, 200, 298, 299)
DATABASE = "collection.sqlite"


def metadata_of(n):
    return {"n": n, "text": "word " * (n % 7)} if n % 3 else {}


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Blocks of vectors that a small collection has several of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nearkin.store.vector_file.BLOCK_BYTES", BLOCK)
        patch.setattr("nearkin.store.salvage.BLOCK_BYTES", BLOCK)
        yield


@pytest.fixture(scope="module", params=["int", "str"])
def original(request, tmp_path_factory, small_blocks):
    """300 rows in three blocks of vectors, some of them deleted; SQLite in pages of 512 bytes, so that it has many."""
    path = tmp_path_factory.mktemp("salvage") / "original"
    ids = list(range(100, 100 + N)) if request.param == "int" else [f"id {n}" for n in range(N)]
    with nk.build(ROWS, metric="cosine", plan="flat,f16", ids=ids, metadata=list(map(metadata_of, range(N)))) as made:
        made.delete([ids[n] for n in DELETED])
        made.save(path)
    with closing(sqlite3.connect(path / DATABASE, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 512")
        connection.execute("VACUUM")
    return path


@pytest.fixture
def copy(original, tmp_path):
    shutil.copytree(original, tmp_path / "wiki")
    return tmp_path / "wiki"


def content(path):
    """Id to vector and metadata of every row."""
    with Folder.open(path, readonly=True) as folder:
        there = np.flatnonzero(folder.alive)
        rows = zip(folder.take(there), folder.metadata(there), strict=True)
        return {
            key: (row.tobytes(), extra) for key, (row, extra) in zip(folder.ids.at(there).tolist(), rows, strict=True)
        }


@pytest.fixture(scope="module")
def truth(original):
    return content(original)


def assert_honest(done, path, truth):
    """Every row is there as it was, or reported; and the collection is sound."""
    with nk.open(path) as collection:
        assert nk.verify(collection).problems == ()
    found = content(path)
    assert done.rows == len(found)
    for key, row in found.items():
        assert row == truth[key], key
    gone = truth.keys() - found.keys()
    named = {row.id for row in done.lost}
    assert len(gone - named) <= done.unnamed or any("cannot be proven" in each for each in done.doubts), (gone, done)
    return gone


def write_at(file, place, value):
    with open(file, "r+b", buffering=0) as opened:
        opened.seek(place)
        opened.write(value)


def page_of(path, name):
    with closing(sqlite3.connect(path / DATABASE)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0]
        return (root - 1) * connection.execute("PRAGMA page_size").fetchone()[0]


def change(path, *statements):
    with closing(sqlite3.connect(path / DATABASE, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def names(path):
    return sorted(each.name for each in path.parent.iterdir())


# ---- one kind of damage after the other ------------------------------------------------------------------------------


def test_nothing_damaged(copy, truth):
    before = {each: each.read_bytes() for each in copy.rglob("*") if each.is_file() and each.name != "LOCK"}
    done = nk.repair(copy)
    assert not done.changed
    assert "nothing is damaged: 294 rows" in str(done)
    assert {each: each.read_bytes() for each in copy.rglob("*") if each.is_file() and each.name != "LOCK"} == before
    assert names(copy) == ["wiki"]


def test_a_damaged_index_is_built_again_in_place(copy, truth):
    next(copy.glob("built/*/*.bin")).write_bytes(b"else")
    looked = nk.repair(copy, dry_run=True)
    assert looked.rebuilt == ("the index flat,f16 over 294 rows",)
    assert nk.repair(copy, dry_run=True).problems == looked.problems  # nothing was done
    done = nk.repair(copy)
    assert "bytes" in done.problems[0]
    assert assert_honest(done, copy, truth) == set()
    assert names(copy) == ["wiki"]
    assert not nk.repair(copy).changed


def test_an_index_of_other_rows_is_built_again(copy, truth):
    """Its checksums are right: only asking it shows what it is."""
    with Folder.open(copy) as folder:
        other = nk.build(np.roll(ROWS, 1, axis=0), metric="cosine", plan="flat,f16")
        folder.publish("flat,f16", other.index.state(), N)
    done = nk.repair(copy)
    assert "one position" in done.problems[0]
    assert assert_honest(done, copy, truth) == set()


def test_the_index_of_ids_alone_loses_nothing(copy, truth):
    write_at(copy / DATABASE, page_of(copy, "rows_by_id"), bytes(512))
    done = nk.repair(copy)
    assert done.rebuilt == ("collection.sqlite with its index of ids, from its own tables",)
    assert assert_honest(done, copy, truth) == set()
    with nk.open(copy) as collection:
        assert collection.path == copy
    assert names(copy) == ["wiki"]


def test_leftovers_are_removed(copy, truth):
    (copy / "built" / "flat-0123").mkdir()
    (copy / "collection.sqlite-rewritten").write_bytes(b"half")
    (copy.parent / ".wiki.0123456789ab.tmp").mkdir()
    shutil.copytree(copy, copy.parent / ".wiki.replaced.old")
    assert "4 leftovers" in nk.repair(copy).rebuilt[0]
    assert names(copy) == ["wiki"]
    assert not nk.repair(copy).changed


@pytest.mark.parametrize("stops", ["nearkin.store.replacement.sync_tree", "nearkin.repairing.Folder.commit"])
def test_what_a_killed_repair_leaves_is_removed_by_a_later_one(copy, truth, stops, monkeypatch):
    """Whoever is killed removes nothing."""

    def killed(*args, **options):
        raise KeyboardInterrupt

    write_at(next(copy.glob("vectors/*")), BLOCK + 100, b"\xff")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *args, **options: None)
        patch.setattr(stops, killed)
        with pytest.raises(KeyboardInterrupt):
            nk.repair(copy)
    assert len(names(copy)) > 1
    assert nk.repair(copy).damaged
    nk.repair(copy)
    assert names(copy) == ["wiki", "wiki.damaged"]


@pytest.mark.parametrize("name", [".wiki.replaced.old", "wiki.damaged"])
def test_a_folder_between_two_renames_is_put_back(copy, truth, name):
    copy.rename(copy.with_name(name))
    assert nk.repair(copy, dry_run=True).changed
    assert names(copy) == [name]
    done = nk.repair(copy)
    assert "from" in done.rebuilt[0]
    assert_honest(done, copy, truth)


def test_a_damaged_block_of_vectors_takes_only_its_rows(copy, truth):
    file = next(copy.glob("vectors/*"))
    write_at(file, BLOCK + 100, b"\xff")
    first = BLOCK // (4 * DIM)
    done = nk.repair(copy)
    gone = assert_honest(done, copy, truth)
    assert len(gone) == len([n for n in range(first, 2 * BLOCK // (4 * DIM) + 1) if n not in DELETED])
    assert {row.reason for row in done.lost} == {"its vector is damaged"}
    assert min(row.position for row in done.lost) == first
    assert done.damaged == copy.with_name("wiki.damaged")
    assert (done.damaged / DATABASE).exists()
    write_at(next(copy.glob("vectors/*")), 5, b"\xff\x00")
    assert nk.repair(copy).damaged == copy.with_name("wiki.damaged-2")


def test_a_vector_file_that_is_shorter_takes_the_rows_beyond(copy, truth):
    """The last block's checksum is over more than is there, so that the whole of it is lost."""
    file = next(copy.glob("vectors/*"))
    os.truncate(file, file.stat().st_size - 1)
    gone = assert_honest(nk.repair(copy), copy, truth)
    assert 0 < len(gone) < 100


@pytest.mark.parametrize("which", ["first", "table", "middle", "last", "half"])
def test_pages_of_sqlite(copy, truth, which):
    size = (copy / DATABASE).stat().st_size
    if which == "half":
        os.truncate(copy / DATABASE, size // 2 // 512 * 512)
    else:
        place = {"first": 0, "table": page_of(copy, "rows"), "middle": size // 3 // 512 * 512, "last": size - 512}[
            which
        ]
        write_at(copy / DATABASE, place, random.Random(1).randbytes(512))
    done = nk.repair(copy)
    gone = assert_honest(done, copy, truth)
    assert which != "first" or gone == set()


@pytest.mark.parametrize("length", [0, 1, 100, 511])
def test_a_database_of_which_nothing_is_left_is_not_repaired_to_nothing(copy, length):
    os.truncate(copy / DATABASE, length)
    for dry_run in (True, False):
        with pytest.raises(errors.CorruptFileError, match="no row can be read"):
            nk.repair(copy, metric="cosine", dim=DIM, dry_run=dry_run)
    assert (copy / DATABASE).stat().st_size == length
    assert not copy.with_name("wiki.damaged").exists()


def test_a_row_whose_metadata_changed(copy, truth):
    change(copy, "UPDATE rows SET metadata = '{}' WHERE position = 7")
    done = nk.repair(copy)
    assert [(row.position, row.reason) for row in done.lost] == [(7, "its record is damaged")]
    assert len(assert_honest(done, copy, truth)) == 1


def test_a_row_that_is_missing_is_counted(copy, truth):
    change(copy, "DELETE FROM rows WHERE position = 9")
    done = nk.repair(copy)
    assert (done.lost, done.unnamed) == ((), 1)
    assert (9, 9) in done.gaps
    assert len(assert_honest(done, copy, truth)) == 1


def test_a_deleted_row_that_comes_back_is_not_believed(copy, truth, original):
    with Folder.open(original, readonly=True) as folder:
        key = (folder.ids.kind == "int" and 104) or "id 4"
    from zlib import crc32

    of_id = crc32(f"4 {key}".encode())
    text = '{"n": 4, "text": "word word word word "}'
    row = (4, key, text, of_id, crc32(text.encode(), of_id))
    with closing(sqlite3.connect(copy / DATABASE, isolation_level=None)) as connection:
        connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", row)
    done = nk.repair(copy)
    assert done.gone == 0
    assert assert_honest(done, copy, truth) == set()


def test_facts_that_are_gone_have_to_be_given(copy, truth):
    change(copy, "UPDATE facts SET value = x'00' WHERE name = 'header'")
    with pytest.raises(errors.CorruptFileError, match=r"metric is not known; pass metric= \(--metric\)"):
        nk.repair(copy)
    with pytest.raises(errors.ParameterError, match="dim is 7, and the vectors"):
        nk.repair(copy, metric="cosine", dim=7)
    assert names(copy) == ["wiki"]
    done = nk.repair(copy, metric="cosine")
    assert any("facts" in each for each in done.notes)
    assert assert_honest(done, copy, truth) == set()
    with nk.open(copy) as collection:
        assert (collection.metric_text, collection.dim, collection.plan) == ("cosine", DIM, "flat,f16")


def test_without_the_record_of_the_last_commit_nothing_is_proven(copy, truth):
    change(copy, "UPDATE facts SET checksum = 1 WHERE name = 'committed'")
    done = nk.repair(copy)
    assert "cannot be proven" in done.doubts[0]
    assert assert_honest(done, copy, truth) == set()


def test_vectors_without_checksums_are_not_trusted_unasked(copy, truth):
    change(copy, "DELETE FROM blocks WHERE block = 1")
    with pytest.raises(errors.CorruptFileError, match=r"checksums of the vectors of 1.. of 294 rows .* are gone"):
        nk.repair(copy)
    assert names(copy) == ["wiki"]
    shutil.copytree(copy, copy.with_name("other"))
    done = nk.repair(copy, trust_vectors=True)
    assert "taken as they are" in done.doubts[0]
    assert assert_honest(done, copy, truth) == set()
    assert (
        len(assert_honest(nk.repair(copy.with_name("other"), trust_vectors=False), copy.with_name("other"), truth))
        > 100
    )


def test_no_database_and_nothing_at_all(copy, tmp_path):
    (copy / DATABASE).unlink()
    with pytest.raises(errors.CorruptFileError, match="is missing, and with it all ids"):
        nk.repair(copy)
    with pytest.raises(errors.UnknownCollectionError):
        nk.repair(tmp_path / "nowhere")


def test_new_ids_go_on_after_the_lost_ones(copy, original):
    """Of whole numbers: a row that is added later must not get the id of one that is gone."""
    with Folder.open(original, readonly=True) as folder:
        if folder.ids.kind == "str":
            pytest.skip("ids are strings")
    write_at(next(copy.glob("vectors/*")), BLOCK + 100, b"\xff")
    nk.repair(copy)
    with nk.open(copy) as collection:
        assert collection.add(ROWS[:1]).ids == [100 + N]
        assert nk.verify(collection).ok


def test_a_collection_without_vectors(tmp_path):
    with nk.build(ROWS, plan="flat,f16", keep_vectors=False) as made:
        made.save(tmp_path / "wiki")
    write_at(tmp_path / "wiki" / DATABASE, page_of(tmp_path / "wiki", "rows_by_id"), bytes(64))
    assert nk.repair(tmp_path / "wiki").changed
    next((tmp_path / "wiki").glob("built/*/*.bin")).write_bytes(b"else")
    with pytest.raises(errors.CorruptFileError, match=r"cannot be repaired: .* keeps no vectors"):
        nk.repair(tmp_path / "wiki")


def test_a_collection_that_is_being_written_is_left_alone(copy):
    with nk.open(copy), pytest.raises(errors.LockedError):
        nk.repair(copy)


# ---- killed or full at any step --------------------------------------------------------------------------------------


class Killed(BaseException):
    """What nothing handles."""


STEPS = {
    "salvage": "nearkin.repairing.salvage",
    "create": "nearkin.store.folder.Folder.create",
    "commit": "nearkin.store.folder.Folder.commit",
    "build": "nearkin.indexing.Recipe.build",
    "publish": "nearkin.store.folder.Folder.publish",
    "sync": "nearkin.store.replacement.sync_tree",
    "check": "nearkin.repairing._need_identical",
    "swap": "nearkin.repairing._swap",
}


@pytest.mark.parametrize("step", STEPS)
def test_failures_on_the_way_leave_the_old_folder(copy, truth, monkeypatch, step):
    write_at(next(copy.glob("vectors/*")), 100, b"\xff")

    def killed(*_, **__):
        raise Killed

    before = {each.name: each.read_bytes() for each in copy.rglob("*") if each.is_file() and each.name != "LOCK"}
    monkeypatch.setattr(STEPS[step], killed)
    with pytest.raises(Killed):
        nk.repair(copy)
    monkeypatch.undo()
    assert names(copy) == ["wiki"]
    assert {
        each.name: each.read_bytes() for each in copy.rglob("*") if each.is_file() and each.name != "LOCK"
    } == before
    assert_honest(nk.repair(copy), copy, truth)
    assert names(copy) == ["wiki", "wiki.damaged"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_at_a_rename(copy, truth, monkeypatch, number):
    """As if the process were gone: whatever is undone on the way out fails, too."""
    write_at(next(copy.glob("vectors/*")), 100, b"\xff")
    original, count = type(copy).rename, []

    def rename(self, target):
        count.append(self)
        if len(count) >= number:
            raise Killed
        return original(self, target)

    monkeypatch.setattr(type(copy), "rename", rename)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(Killed):
        nk.repair(copy)
    monkeypatch.undo()
    done = nk.repair(copy)
    assert assert_honest(done, copy, truth)
    assert any("damaged" in each for each in names(copy))


def test_a_database_that_cannot_be_written_anew_stays(copy, truth, monkeypatch):
    write_at(copy / DATABASE, page_of(copy, "rows_by_id"), bytes(512))
    before = (copy / DATABASE).read_bytes()

    def killed(*_):
        raise Killed

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Killed):
        rewrite_database(copy / DATABASE)
    monkeypatch.undo()
    assert (copy / DATABASE).read_bytes() == before
    assert_honest(nk.repair(copy), copy, truth)


# ---- damage at random ------------------------------------------------------------------------------------------------


def damaged_at_random(path, chance):
    """Flip a few bytes of some file, or cut it."""
    file = chance.choice(sorted(each for each in path.rglob("*") if each.is_file() and each.name != "LOCK"))
    if chance.random() < 0.6:
        file = path / DATABASE
    size = file.stat().st_size
    if chance.random() < 0.15:
        os.truncate(file, chance.randrange(size))
        return f"{file.name} cut"
    places = [chance.randrange(size) for _ in range(chance.choice([1, 1, 1, 8]))]
    if chance.random() < 0.3:
        places = [place % 600 for place in places]  # the first pages say what all others are
    for place in places:
        was = file.read_bytes()[place]
        write_at(file, place, bytes([was ^ 1 << chance.randrange(8)]))
    return f"{file.name} at {places}"


@pytest.mark.parametrize("part", range(10))
def test_random_damage(original, truth, tmp_path, part):
    reported = 0
    of_text = isinstance(next(iter(truth)), str)  # half of the seeds for each kind of ids
    for seed in range(2 * part + of_text, FLIPS, 20):
        chance = random.Random(seed)
        path = tmp_path / f"wiki {seed}"
        shutil.copytree(original, path)
        what = damaged_at_random(path, chance)
        try:
            done = nk.repair(path)
        except errors.FormatVersionError:
            continue  # it says that a newer nearkin made it, which nothing contradicts
        except errors.CorruptFileError as error:  # it says what it has to be told, or that nothing can be saved
            reported += 1
            if "no row can be read" in str(error):
                assert what == f"{DATABASE} cut", what
                continue
            done = nk.repair(path, metric="cosine", dim=DIM, trust_vectors=False)
        try:
            assert_honest(done, path, truth)
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {what}: {done}") from error
        for each in tmp_path.iterdir():
            shutil.rmtree(each)
    assert reported < FLIPS / 20 / 2


def test_salvage_changes_nothing(copy):
    write_at(copy / DATABASE, page_of(copy, "rows"), bytes(512))
    before = {each: (each.read_bytes(), each.stat().st_mtime_ns) for each in copy.rglob("*") if each.is_file()}
    salvage(copy)
    assert {each: (each.read_bytes(), each.stat().st_mtime_ns) for each in copy.rglob("*") if each.is_file()} == before
