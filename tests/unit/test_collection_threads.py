"""Searches beside a writer, and searches on several threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import nearkin as nk
from nearkin import collection, errors, soundness
from nearkin.store.folder import Folder

START, STEPS = 64, 60


def watch(mine: nk.Collection, effort: dict[str, int], stop: threading.Event, seen: list[object]) -> None:
    """Ask for everything, again and again, and note the ids or the error."""
    query = np.float32([[-1, 0, 0, 0]])
    while not stop.is_set():
        try:
            found = mine.search(query, START + STEPS, **effort)
            (inside,) = mine.range_search(query, 1000.0, **effort)
        except Exception as error:
            seen.append(error)
            return
        seen += [[hit.id for hit in found[0]], [hit.id for hit in inside]]


@pytest.mark.parametrize("plan", ["flat", "ivf4", "hnsw8", "ivf4,pq4x4,refine-f32"])
def test_searches_beside_a_writer_see_some_state_that_there_was(plan):
    """Rows lie on a line, added at one end and deleted at the other, so that every state has one right answer."""
    line = np.zeros((START + STEPS, 4), np.float32)
    line[:, 0] = np.arange(START + STEPS)
    effort = {"flat": {}, "hnsw8": {"ef_search": 500}}.get(plan, {"nprobe": 4})
    effort |= {"rerank": 500} if "refine" in plan else {}
    mine = nk.build(line[:START], plan=plan)
    stop, seen = threading.Event(), []
    threads = [threading.Thread(target=watch, args=(mine, effort, stop, seen)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for step in range(STEPS):
        mine.add(line[START + step : START + step + 1])
        mine.delete([step])
        if step % 20 == 19:
            mine.optimize()
    stop.set()
    for thread in threads:
        thread.join()
    assert not [each for each in seen if isinstance(each, Exception)]
    assert len(seen) >= 4
    # Each answer is one unbroken piece of the line: START rows, or one more between a step's add and its delete.
    pieces = {tuple(ids) for ids in seen}
    possible = {tuple(range(step, step + START + more)) for step in range(STEPS + 1) for more in (0, 1)}
    assert pieces <= possible
    assert mine.ids.tolist() == list(range(STEPS, START + STEPS))


def test_rows_are_listed_whole_beside_a_writer(tmp_path):
    """A row that is deleted meanwhile is there with its metadata, or not there: never without it, and never damage."""
    with nk.create(tmp_path / "mine", dim=2) as mine:
        mine.add(np.ones((300, 2)), metadata=[{"n": n} for n in range(300)])
        stop, wrong = threading.Event(), []

        def read(name, ask, whole):
            while not stop.is_set():
                try:
                    found = ask()
                    if not whole(found):
                        wrong.append((name, found))
                except Exception as error:
                    wrong.append((name, error))

        jobs = [
            ("fields", mine.fields, lambda found: found["n"].rows >= 300),
            (
                "search by groups",
                lambda: mine.search(np.ones((1, 2)), 400, group_by="n"),
                lambda found: 300 <= found.counts[0] <= 301,
            ),
            ("select", lambda: mine.select("n >= 0"), lambda found: all("n" in row.metadata for row in found)),
            (
                "export",
                lambda: nk.export(mine, tmp_path / "out.jsonl"),
                lambda _: '"n": null' not in (tmp_path / "out.jsonl").read_text(),
            ),
        ]
        threads = [threading.Thread(target=read, args=job) for job in jobs]
        for thread in threads:
            thread.start()
        for step in range(40):
            mine.add(np.ones((50, 2)), ids=range(1000, 1050), metadata=[{"n": 1000 + step}] * 50)
            mine.delete(range(1000, 1050))
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]


@pytest.mark.parametrize("plan", ["flat", "flat,int8", "ivf8", "hnsw8", "ivf8,pq8x4,refine-f16"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner-product", "manhattan"])
def test_threads_change_nothing_but_the_time(plan, metric):
    if metric == "manhattan" and "," in plan and "flat" not in plan:
        pytest.skip("refused at plan time")
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(600, 8))
    mine = nk.build(rows, metric=metric, plan=plan, threads=1)
    queries = rng.normal(size=(64, 8))
    one, two = (mine.search(queries, 10, threads=threads) for threads in (1, 2))
    assert one.ids.tolist() == two.ids.tolist()
    assert one.distances.tolist() == two.distances.tolist()
    if metric == "euclidean":
        ranges = [mine.range_search(queries, 2.0, threads=threads) for threads in (1, 2)]
        assert ranges[0].ids.tolist() == ranges[1].ids.tolist()


def test_a_row_that_is_replaced_meanwhile_is_read_as_before_or_after(tmp_path):
    stop, seen = threading.Event(), []
    with nk.create(tmp_path / "mine", dim=1) as mine:
        mine.add([[0.0]], ids=["a"], metadata=[{"n": 0}])

        def read() -> None:
            while not stop.is_set():
                try:
                    for row in (*mine.get(["a"]), *mine.select("n >= 0")):
                        seen.append(row.metadata == {"n": row.vector[0]})
                except Exception as error:
                    seen.append(error)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for step in range(200):
            mine.upsert([[step]], ["a"], metadata=[{"n": step}])
        stop.set()
        for thread in threads:
            thread.join()
    assert len(seen) >= 4
    assert set(seen) == {True}


def test_searches_under_a_filter_go_on_while_the_index_is_built(tmp_path, monkeypatch):
    begun, answered = threading.Event(), threading.Event()
    present = collection.renew

    def slowly(*args, **options):
        begun.set()
        assert answered.wait(20)
        return present(*args, **options)

    monkeypatch.setattr(collection, "renew", slowly)
    with nk.create(tmp_path / "mine", dim=4, plan="hnsw8") as mine:
        mine.add(np.eye(4), metadata=[{"n": n} for n in range(4)])
        building = threading.Thread(target=mine.optimize)
        building.start()
        assert begun.wait(20)
        searching = threading.Thread(target=lambda: mine.search(np.eye(4), 1, where="n > 1") and answered.set())
        searching.start()
        searching.join(10)
        there = answered.is_set()
        answered.set()
        building.join()
        searching.join()
        assert there
        assert mine.uncovered == 0


def test_an_index_that_cannot_be_written_is_not_taken_over(tmp_path, monkeypatch):
    with nk.create(tmp_path / "mine", dim=4, plan="hnsw8") as mine:
        mine.add(np.eye(4))

        def full(*args, **options):
            raise errors.StorageError("no space left")

        with monkeypatch.context() as patched:
            patched.setattr(Folder, "publish", full)
            with pytest.raises(errors.StorageError, match="no space"):
                mine.optimize()
            assert mine.index is None
            assert mine.uncovered == 4
        mine.optimize()
        assert mine.uncovered == 0
        monkeypatch.setattr(Folder, "publish", full)  # the index that is there is not written again
        mine.optimize()
        assert mine.notes == ["the index covers all 4 rows already"]


def test_what_is_verified_does_not_change_meanwhile(monkeypatch):
    """An index that was brought up to date between two looks would be taken for one over other rows."""
    mine = nk.build(np.random.default_rng(0).normal(size=(100, 4)), plan="ivf4")
    looking, added = threading.Event(), threading.Event()
    present = soundness.id_problems

    def slowly(rows):
        looking.set()
        added.wait(0.5)
        return present(rows)

    monkeypatch.setattr(soundness, "id_problems", slowly)

    def change() -> None:
        assert looking.wait(20)
        mine.add(np.eye(4))
        mine.optimize()
        added.set()

    writing = threading.Thread(target=change)
    writing.start()
    found = nk.verify(mine)
    writing.join()
    assert found.ok
    assert found.rows == 100
    assert len(mine) == 104
