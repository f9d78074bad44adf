"""Files added to a folder: all or nothing is wrong with them, and interrupted runs go on."""

import json
import os
import sqlite3

import numpy as np
import pytest
from tests.store.item_writer import Counting

import nearkin as nk
from nearkin import errors
from nearkin.adding import add_file

ROWS = np.arange(60, dtype=np.float32).reshape(20, 3)


@pytest.fixture
def mine(tmp_path):
    with nk.create(tmp_path / "mine", dim=3) as made:
        yield made


def lines(path, numbers, **more):
    content = [{"id": f"id {n}", "vector": ROWS[n].tolist(), "n": n, **more} for n in numbers]
    path.write_text("".join(json.dumps(each) + "\n" for each in content))
    return path


def blocks(*numbers, ids=True):
    def read():
        for some in numbers:
            yield nk.Block(ROWS[some], [f"id {n}" for n in some] if ids else None, [{"n": n} for n in some])

    return read


def test_rows_are_added_and_replaced(mine, tmp_path):
    first = add_file(mine, lines(tmp_path / "a.jsonl", range(5)))
    assert (first.added, first.replaced, first.resumed) == (5, 0, 0)
    again = add_file(mine, lines(tmp_path / "b.jsonl", range(3, 8), color="red"))
    assert (again.added, again.replaced) == (3, 2)
    assert len(mine) == 8
    assert mine.get(["id 4"])[0].metadata == {"n": 4, "color": "red"}


def test_only_new_ids(mine, tmp_path):
    add_file(mine, lines(tmp_path / "a.jsonl", range(5)))
    with pytest.raises(errors.ParameterError, match="'id 4' is there already"):
        add_file(mine, lines(tmp_path / "b.jsonl", [6, 4]), replace=False)
    assert len(mine) == 5


class Killed(Exception):
    pass


def killed_after(parts):
    seen = []

    def told(done, total):
        seen.append((done, total))
        if len(seen) == parts:
            raise Killed

    return told


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("nearkin.sources._rows_at_once", lambda dim: 4)


@pytest.mark.parametrize("with_ids", [True, False])
def test_an_interrupted_run_goes_on(tmp_path, small_blocks, with_ids):
    if with_ids:
        path = lines(tmp_path / "rows.jsonl", range(20))
    else:
        path = tmp_path / "rows.npy"
        np.save(path, ROWS)
    with nk.create(tmp_path / "mine", dim=3) as mine, pytest.raises(Killed):
        add_file(mine, path, told=killed_after(2))
    with nk.open(tmp_path / "mine") as mine:
        assert len(mine) == 8
        done = []
        found = add_file(mine, path, told=lambda *each: done.append(each))
        assert (found.resumed, found.added, found.replaced) == (8, 12, 0)
        assert done == [(12, 20), (16, 20), (20, 20)]
        assert len(mine) == len(mine.rows) == 20
        np.testing.assert_array_equal(mine.rows.span(0, 20), ROWS)
        once_more = add_file(mine, path)
        assert (once_more.added, once_more.resumed, len(mine)) == (0, 0, 20)
        assert (once_more.replaced, once_more.already) == ((20, 0) if with_ids else (0, 20))


@pytest.mark.parametrize("with_ids", [True, False])
def test_rows_that_were_deleted_meanwhile_come_back(tmp_path, small_blocks, with_ids):
    path = lines(tmp_path / "rows.jsonl", range(20)) if with_ids else tmp_path / "rows.npy"
    if not with_ids:
        np.save(path, ROWS)
    with nk.create(tmp_path / "mine", dim=3) as mine:
        with pytest.raises(Killed):
            add_file(mine, path, told=killed_after(2))
        mine.delete(mine.ids[:5])
        found = add_file(mine, path)
        assert (found.resumed, found.added, found.replaced, len(mine)) == (0, 17, 3, 20)
        np.testing.assert_array_equal(
            mine.rows.take(mine.positions()) if not with_ids else np.sort(mine.rows.take(mine.positions()), axis=0),
            ROWS,
        )


def test_a_version_that_comes_back_is_added_again(tmp_path, small_blocks):
    path = lines(tmp_path / "rows.jsonl", range(20), version="old")
    content, state = path.read_text(), path.stat()
    with nk.create(tmp_path / "mine", dim=3) as mine:
        with pytest.raises(Killed):
            add_file(mine, path, told=killed_after(2))
        add_file(mine, lines(path, range(20), version="newer"))
        path.write_text(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert (add_file(mine, path).resumed, mine.count("version = 'old'")) == (0, 20)


def test_a_part_that_changed_is_read_again(tmp_path):
    (tmp_path / "parts").mkdir()
    for number in range(2):
        np.save(tmp_path / "parts" / f"part_{number}.npy", ROWS[number * 4 :][:4])
    state = (tmp_path / "parts").stat()
    with nk.create(tmp_path / "mine", dim=3) as mine:
        assert add_file(mine, tmp_path / "parts", format="npy").added == 8
        assert add_file(mine, tmp_path / "parts", format="npy").already == 8
        np.save(tmp_path / "parts" / "part_1.npy", ROWS[10:14])
        os.utime(tmp_path / "parts", ns=(state.st_atime_ns, state.st_mtime_ns))
        assert add_file(mine, tmp_path / "parts", format="npy").added == 8


def test_vectors_before_the_embedder_has_learned(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    with nk.create(tmp_path / "mine", embedder=Counting()) as mine, pytest.raises(errors.NotTrainedError):
        add_file(mine, tmp_path / "rows.npy")


def test_a_file_that_changed_is_added_from_its_start(tmp_path, small_blocks):
    path = lines(tmp_path / "rows.jsonl", range(20))
    with nk.create(tmp_path / "mine", dim=3) as mine, pytest.raises(Killed):
        add_file(mine, path, told=killed_after(2))
    lines(path, range(19))
    with nk.open(tmp_path / "mine") as mine:
        found = add_file(mine, path)
        assert (found.resumed, found.replaced, found.added) == (0, 8, 11)


def test_bad_rows_are_skipped_across_an_interruption(tmp_path, small_blocks):
    bad = ROWS.copy()
    bad[[2, 9, 17, 18, 19]] = np.nan
    np.save(tmp_path / "rows.npy", bad)
    with nk.create(tmp_path / "mine", dim=3) as mine:
        with pytest.raises(errors.VectorError, match="2, 9, 17"):
            add_file(mine, tmp_path / "rows.npy")
        assert len(mine) == 0
        with pytest.raises(Killed):
            add_file(mine, tmp_path / "rows.npy", on_bad="skip", told=killed_after(4))
        found = add_file(mine, tmp_path / "rows.npy", on_bad="skip")
        assert (found.resumed, found.added) == (16, 1)
        assert found.skipped.tolist() == [2, 9, 17, 18, 19]
        np.testing.assert_array_equal(mine.rows.span(0, 15), np.delete(ROWS, [2, 9, 17, 18, 19], axis=0))
        assert add_file(mine, tmp_path / "rows.npy", on_bad="skip").resumed == 0


def test_ids_that_came_meanwhile_are_refused_before_the_rest_is_added(tmp_path, small_blocks):
    path = lines(tmp_path / "rows.jsonl", range(20))
    with nk.create(tmp_path / "mine", dim=3) as mine:
        with pytest.raises(Killed):
            add_file(mine, path, told=killed_after(2), replace=False)
        mine.add(ROWS[:1], ids=["id 19"])
        with pytest.raises(errors.ParameterError, match="'id 19' is there already"):
            add_file(mine, path, replace=False)
        assert len(mine) == 9
        mine.delete(["id 19"])
        found = add_file(mine, path, replace=False)
        assert (found.resumed, found.added) == (8, 12)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (blocks([0, 1], [1, 2]), errors.ParameterError, "'id 1' is at rows 1 and 2"),
        (lambda: iter([nk.Block(ROWS[:, :2])]), errors.VectorError, "rows have 2 columns, 3 expected"),
        (lambda: iter([nk.Block(ROWS), nk.Block(ROWS * np.nan)]), errors.VectorError, "NaN"),
        (lambda: iter([nk.Block(ROWS[:1], [None])]), errors.ParameterError, "id None"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_added(mine, given, kind, message):
    with pytest.raises(kind, match=message):
        add_file(mine, given)
    assert len(mine) == 0


def test_in_memory():
    mine = nk.build(ROWS[:2], ids=["id 0", "id 1"])
    assert add_file(mine, blocks([1, 2], [3, 4])).added == 3
    assert mine.ids.tolist() == ["id 0", "id 1", "id 2", "id 3", "id 4"]


def test_an_interrupted_run_goes_on_after_a_repair(tmp_path, small_blocks):
    np.save(tmp_path / "rows.npy", ROWS)
    with nk.create(tmp_path / "mine", dim=3) as mine, pytest.raises(Killed):
        add_file(mine, tmp_path / "rows.npy", told=killed_after(2))
    connection = sqlite3.connect(tmp_path / "mine" / "collection.sqlite")
    connection.execute("UPDATE rows SET metadata = '{}' WHERE position = 3")
    connection.commit()
    connection.close()
    done = nk.repair(tmp_path / "mine")
    assert (done.gone, done.rows) == (1, 7)
    with nk.open(tmp_path / "mine") as mine:
        found = add_file(mine, tmp_path / "rows.npy")
        assert (found.resumed, found.added, found.replaced, len(mine)) == (0, 13, 7, 20)  # with the one that was lost
        np.testing.assert_array_equal(mine.rows.take(mine.positions()), ROWS)
