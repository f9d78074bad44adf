"""Folders written anew without the rows that were deleted."""

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors

ROWS = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)


@pytest.mark.parametrize("text_ids", [True, False])
@pytest.mark.parametrize("plan", ["flat", "ivf8"])
def test_what_is_left_is_as_it_was(tmp_path, text_ids, plan):
    ids = [f"row {n}" if text_ids else n for n in range(400)]
    path = tmp_path / "mine"
    with nk.create(path, dim=6, metric="cosine", plan=plan, search={"nprobe": 8} if plan == "ivf8" else None) as mine:
        mine.add(ROWS, ids, metadata=[{"n": n} for n in range(400)])
        mine.index_field("n")
        mine.optimize()
        mine.upsert(ROWS[:50] + 1, ids[100:150], metadata=[{"n": 1000 + n} for n in range(50)])
        mine.delete([*ids[:90], ids[399]])
        mine.add(ROWS[:1] * 2, [ids[0]] if text_ids else None)
        expected = [(row.id, row.vector.tolist(), row.metadata) for row in mine.select()]
        answers = mine.search(ROWS[:20], 5).ids.tolist()
        budget = sum(mine.disk_bytes().values())
    done = nk.compact(path)
    assert (done.rows, done.dropped) == (310, 141)
    assert done.bytes_before == budget > done.bytes_after
    with nk.open(path) as mine:
        assert [(row.id, row.vector.tolist(), row.metadata) for row in mine.select()] == expected
        assert mine.search(ROWS[:20], 5).ids.tolist() == answers
        assert (mine.deleted, mine.uncovered, mine.plan, mine.metric_text) == (0, 0, plan, "cosine")
        assert mine.count("n >= 1000") == 50
        assert mine.fields()["n"].indexed
        assert mine.verify() == []
        if not text_ids:
            assert mine.add(ROWS[:1]).ids == [401]  # 399 was deleted, and 400 given out before
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_numbers_that_were_ids_are_not_given_out_again(tmp_path):
    with nk.create(tmp_path / "mine", dim=6) as mine:
        mine.add(ROWS[:10])
        mine.delete(range(5, 10))
    nk.compact(tmp_path / "mine")
    with nk.open(tmp_path / "mine") as mine:
        assert mine.add(ROWS[:1]).ids == [10]
        mine.delete(mine.ids)
    done = nk.compact(tmp_path / "mine")
    assert done.rows == 0
    with nk.open(tmp_path / "mine") as mine:
        assert mine.add(ROWS[:2]).ids == [11, 12]


def test_readers_go_on_and_writers_are_in_the_way(tmp_path):
    with nk.create(tmp_path / "mine", dim=6) as mine:
        mine.add(ROWS[:10], metadata=[{"n": n} for n in range(10)])
        mine.delete([3])
        with pytest.raises(errors.LockedError):
            nk.compact(tmp_path / "mine")
    with nk.open(tmp_path / "mine", readonly=True) as reader:
        nk.compact(tmp_path / "mine")
        assert reader.search(ROWS[:1], 1).ids.tolist() == [[0]]
        assert reader.get([9])[0].metadata == {"n": 9}


def test_without_vectors_and_without_room(tmp_path, monkeypatch):
    nk.build(ROWS, plan="ivf8", keep_vectors=False).save(tmp_path / "lean")
    with pytest.raises(errors.StateError, match="does not keep its vectors"):
        nk.compact(tmp_path / "lean")
    nk.build(ROWS).save(tmp_path / "mine")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("nearkin.store.vector_file.write_pieces", full)
        with pytest.raises(errors.StorageError, match="No space left"):
            nk.compact(tmp_path / "mine")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["lean", "mine"]
    assert len(nk.open(tmp_path / "mine", readonly=True)) == 400
