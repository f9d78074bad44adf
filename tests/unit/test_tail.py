"""The tail takes up each row a few times only, whatever order rows come in, and answers as one index would."""

import numpy as np
import pytest

import nearkin as nk
from nearkin.metrics import Euclidean
from nearkin.plans import parse_plan
from nearkin.registry import default_registry
from nearkin.rows import MemoryRows
from nearkin.tail import Tail


@pytest.fixture(scope="module")
def recipe():
    from nearkin.indexing import Recipe

    return Recipe(parse_plan("flat", default_registry()), Euclidean(), default_registry())


def test_rows_are_taken_up_a_logarithmic_number_of_times(recipe, monkeypatch):
    taken = []
    from nearkin import tail as module

    real = module.flat_over
    monkeypatch.setattr(
        module, "flat_over", lambda rows, start, made: taken.append(len(rows) - start) or real(rows, start, made)
    )
    rows, tail = MemoryRows(2, "float32"), Tail(0, ())
    chance = np.random.default_rng(0)
    for n in range(512):
        rows.commit(vectors=chance.normal(size=(1, 2)).astype(np.float32), ids=[n])
        tail = tail.grown(rows, 0, recipe)
        assert [part.stop for part in tail.parts[:-1]] == [part.start for part in tail.parts[1:]]
        assert (tail.parts[0].start, tail.n) == (0, n + 1)
    assert sum(taken) <= 512 * 10
    assert len(tail.parts) <= 10
    assert tail.grown(rows, 0, recipe).parts == tail.parts


def test_a_tail_of_another_start_is_begun_anew(recipe):
    rows = MemoryRows(2, "float32")
    rows.commit(vectors=np.eye(2, dtype=np.float32), ids=[0, 1])
    tail = Tail(0, ()).grown(rows, 0, recipe)
    assert tail.grown(rows, 1, recipe).parts[0].start == 1
    assert tail.grown(rows, 2, recipe).n == 0


@pytest.mark.parametrize("metric", ["euclidean", "inner-product", "cosine", "manhattan"])
def test_answers_are_those_of_one_index(metric):
    rows = np.random.default_rng(1).normal(size=(300, 5)).astype(np.float32)
    mine = nk.build(rows[:50], metric=metric, plan="ivf4", search={"nprobe": 4}, metadata=[{"n": n} for n in range(50)])
    whole = nk.build(rows, metric=metric, plan="flat", metadata=[{"n": n} for n in range(300)])
    for start in range(50, 300, 7):
        mine.add(rows[start : start + 7], metadata=[{"n": n} for n in range(start, min(start + 7, 300))])
        mine.search(rows[:1], 1)
    gone = [3, 60, 61, 120, 299]
    for collection in (mine, whole):
        collection.delete(gone)
    for where in (None, "n >= 40 and n < 290"):
        for k in (1, 10, 400):
            found, true = mine.search(rows[::13], k, where=where), whole.search(rows[::13], k, where=where)
            np.testing.assert_allclose(found.distances, true.distances, rtol=1e-5, atol=1e-5)
            assert (found.positions == true.positions).mean() > 0.99
        limit = float(true.distances[0, 20])
        near, truly = (each.range_search(rows[:5], limit, where=where) for each in (mine, whole))
        assert near.counts.tolist() == truly.counts.tolist()
    assert (mine.uncovered, mine.covered) == (246, 50)  # four of the five that were deleted lay in the tail
