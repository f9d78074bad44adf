"""An index is held against the rows: what is of these rows passes under every plan, what is not is named."""

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import NotSupportedError
from nearkin.soundness import id_problems

N, DIM = 300, 16
PLANS = (
    "flat", "flat,f16", "flat,int8", "flat,pq4x4", "flat,rabitq", "ivf8", "ivf8,pq4x8", "ivf8,rabitq", "ivf8,pq4x4,refine-f32",
    "hnsw8", "hnsw8,int8", "pca4,flat", "opq,ivf8,pq4x4", "flat,pruned50", "flat,bits",
)  # fmt: skip
METRICS = ("euclidean", "inner-product", "cosine", "manhattan", "hamming", "mahalanobis")


def rows_of(metric, seed=0):
    rng = np.random.default_rng(seed)
    if metric == "hamming":
        return rng.integers(0, 256, size=(N, DIM), dtype=np.uint8)
    centres = rng.normal(size=(6, DIM))
    return (centres[rng.integers(0, 6, N)] + rng.normal(scale=0.4, size=(N, DIM))).astype(np.float32)


def over(rows, other, metric, plan):
    """A collection of rows with the index of others."""
    sound = nk.build(rows, metric=metric, plan=plan, threads=1)
    donor = nk.build(other, metric=metric, plan=plan, threads=1)
    index = sound.recipe.filled_in(donor.plan).make(DIM, len(rows), sound.rows)
    index.restore(donor.index.state())
    sound.adopt(index, len(rows))
    return sound


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("metric", METRICS)
def test_sound_and_unsound(metric, plan):
    rows = rows_of(metric)
    try:
        sound = nk.build(rows, metric=metric, plan=plan, threads=1)
    except NotSupportedError:
        pytest.skip("no such plan under this metric")
    found = nk.verify(sound)
    assert found.ok, found.problems
    assert 300 < found.distances <= 640
    sound.delete(list(range(0, N, 7)))
    sound.add(rows[:5], ids=[1000 + n for n in range(5)])
    assert nk.verify(sound).problems == ()
    assert not nk.verify(over(rows, np.roll(rows, 1, axis=0), metric, plan)).ok
    assert not nk.verify(over(rows, rows_of(metric, seed=9), metric, plan)).ok


@pytest.mark.parametrize("n", [1, 2, 5, 12])
@pytest.mark.parametrize("plan", ["flat", "flat,int8", "flat,rabitq", "hnsw8"])
def test_few_rows_and_equal_rows_are_no_problem(n, plan):
    assert nk.verify(nk.build(rows_of("euclidean")[:n], plan=plan, threads=1)).ok
    assert nk.verify(nk.build(np.ones((n, DIM)), plan=plan, threads=1)).ok


def test_rows_far_from_the_origin():
    rows = rows_of("euclidean") + 1000
    for plan in ("flat", "ivf8", "flat,int8", "hnsw8"):
        assert nk.verify(nk.build(rows, plan=plan, threads=1)).problems == ()


def test_a_row_that_moved_is_named():
    rows = rows_of("euclidean")
    other = rows.copy()
    other[17] = rows[18]
    problems = nk.verify(over(rows, other, "euclidean", "flat"), sample=N).problems
    assert len(problems) == 1
    assert "not those of the stored rows" in problems[0]
    assert "position 17" in problems[0]


def test_other_numbers_of_rows():
    rows = rows_of("euclidean")
    wrong = nk.build(rows, plan="flat")
    wrong.adopt(nk.build(rows[:200], plan="flat").index, N)
    assert nk.verify(wrong).problems == ("the index has 200 rows, 300 were recorded",)


def test_positions_that_are_not_there():
    mine = nk.build(rows_of("euclidean"), plan="flat", threads=1)
    search = mine.index._search
    for position, words in ((N, "position 300, it covers 300"), (3, "row was deleted"), (8, "more than once")):
        if position == 3:
            mine.delete([3])

        def answer(queries, k, mask, params, wrong=position):
            found = search(queries, k, mask, params)
            found.positions[:, -2:] = wrong
            return found

        mine.index._search = answer
        assert any(words in each for each in nk.verify(mine).problems), words


def test_an_index_that_fails():
    mine = nk.build(rows_of("euclidean"), plan="flat")

    def fails(*_):
        raise RuntimeError("inverted lists are empty")

    mine.index._search = fails
    assert nk.verify(mine).problems == ("the index cannot be searched: RuntimeError: inverted lists are empty",)


def test_ids():
    mine = nk.build(rows_of("euclidean"), ids=[f"id {n}" for n in range(N)])
    assert id_problems(mine.rows) == []
    mine.rows.ids.table[3] = "id 4"
    assert id_problems(mine.rows) == ["1 of 300 ids belong to more than one row"]


def test_a_folder_is_counted(tmp_path):
    nk.build(rows_of("euclidean"), plan="ivf8").save(tmp_path / "mine")
    with nk.open(tmp_path / "mine", readonly=True) as mine:
        found = nk.verify(mine, sample=10)
    files = [each.stat().st_size for each in (tmp_path / "mine").rglob("*") if each.is_file() and each.name != "LOCK"]
    assert (found.bytes_read, found.rows, found.blocks, found.index_files) == (sum(files), N, 1, len(files) - 2)
    assert found.to_dict()["ok"]
