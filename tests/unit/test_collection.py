"""A collection's answers to bad input and at the edges: one sentence with the numbers, and nothing lost or changed."""

from __future__ import annotations

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors


@pytest.fixture
def mine() -> nk.Collection:
    return nk.build(np.random.default_rng(0).normal(size=(40, 5)), plan="ivf4", ids=list(range(100, 140)))


def snapshot(mine: nk.Collection):
    found = mine.search(np.eye(5), 50, nprobe=4)
    return (len(mine), mine.uncovered, mine.plan, mine.ids.tolist(), found.ids.tolist(), found.distances.tolist())


ONE = np.ones((1, 5))
BAD_CALLS = {
    "queries of another width": (
        lambda c: c.search(np.ones((2, 7))),
        errors.VectorError,
        "queries have 7 columns, 5 expected",
    ),
    "a single query": (
        lambda c: c.search(np.ones(5)),
        errors.VectorError,
        r"queries must be 2-D .* pass vector\[None, :\]",
    ),
    "a NaN query": (
        lambda c: c.search(np.full((3, 5), np.nan)),
        errors.VectorError,
        r"queries have NaN or infinite values in 3 of 3 rows \(rows 0, 1, 2\)",
    ),
    "queries of text": (
        lambda c: c.search([["a"] * 5]),
        errors.VectorError,
        "queries are of type <U1, numbers expected",
    ),
    "a long query": (
        lambda c: c.search(ONE * 1e30),
        errors.VectorError,
        r"longer than 1e\+18 .* 1 of 1 rows .* of queries",
    ),
    "k of 0": (lambda c: c.search(ONE, 0), errors.ParameterError, "k is 0, a whole number of at least 1 expected"),
    "k below 0": (lambda c: c.search(ONE, -3), errors.ParameterError, "k is -3"),
    "half a k": (lambda c: c.search(ONE, 2.5), errors.ParameterError, "k is 2.5"),
    "k as text": (lambda c: c.search(ONE, "3"), errors.ParameterError, "k is '3'"),
    "k of None": (lambda c: c.search(ONE, None), errors.ParameterError, "k is None"),
    "k of True": (lambda c: c.search(ONE, True), errors.ParameterError, "k is True"),
    "k of NaN": (lambda c: c.search(ONE, float("nan")), errors.ParameterError, "k is nan"),
    "a list of k": (lambda c: c.search(ONE, [3]), errors.ParameterError, r"k is \[3\]"),
    "a k that no memory holds": (
        lambda c: c.search(ONE, 10**30),
        errors.ParameterError,
        "at most 1,000,000 can be used",
    ),
    "exact k of 0": (lambda c: c.exact_search(ONE, 0), errors.ParameterError, "k is 0"),
    "an unknown search parameter": (
        lambda c: c.search(ONE, nprob=2),
        errors.ParameterError,
        r"'nprob' is not a search parameter of ivf: it takes nprobe \(did you mean nprobe\?\)",
    ),
    "a parameter of another index": (lambda c: c.search(ONE, ef_search=2), errors.ParameterError, "it takes nprobe$"),
    "nprobe of 0": (lambda c: c.search(ONE, nprobe=0), errors.ParameterError, "nprobe is 0"),
    "nprobe beyond C": (lambda c: c.search(ONE, nprobe=2**40), errors.ParameterError, "at most 2,147,483,647"),
    "no threads": (lambda c: c.search(ONE, threads=0), errors.ParameterError, "threads is 0"),
    "a million threads": (lambda c: c.search(ONE, threads=10**6), errors.ParameterError, "at most 1,024"),
    "a distance as text": (
        lambda c: c.range_search(ONE, "far"),
        errors.ParameterError,
        "max_distance is 'far', a number",
    ),
    "a distance of NaN": (lambda c: c.range_search(ONE, float("nan")), errors.ParameterError, "max_distance is nan"),
    "no distance": (lambda c: c.range_search(ONE, None), errors.ParameterError, "max_distance is None"),
    "rows of another width": (
        lambda c: c.add(np.ones((2, 3))),
        errors.VectorError,
        "vectors have 3 columns, 5 expected",
    ),
    "rows with NaN": (
        lambda c: c.add([[1, 2, 3, 4, 5], [1, 2, np.inf, 4, 5]]),
        errors.VectorError,
        r"1 of 2 rows \(row 1\); remove them, or pass on_bad",
    ),
    "long rows": (
        lambda c: c.add(ONE * 1e19),
        errors.VectorError,
        r"rows longer than 1e\+18 .*: 1 of 1 rows \(row 0\)",
    ),
    "on_bad": (
        lambda c: c.add(ONE, on_bad="drop"),
        errors.ParameterError,
        "on_bad is 'drop', 'fail' or 'skip' expected",
    ),
    "fewer ids": (lambda c: c.add(np.ones((2, 5)), [1]), errors.ParameterError, "1 ids were given for 2 rows"),
    "ids that repeat": (lambda c: c.add(np.ones((2, 5)), [1, 1]), errors.ParameterError, "1 is at rows 0 and 1"),
    "ids that exist": (lambda c: c.add(ONE, [101]), errors.ParameterError, "id 101 is there already; use upsert"),
    "ids of another kind": (
        lambda c: c.add(ONE, ["a"]),
        errors.ParameterError,
        "of type str, this collection's are of type int",
    ),
    "one string of ids": (lambda c: c.add(np.ones((3, 5)), "abc"), errors.ParameterError, "single string 'abc'"),
    "one number of ids": (
        lambda c: c.add(ONE, 7),
        errors.ParameterError,
        r"ids is 7, a list of ids expected; pass \[7\]",
    ),
    "upsert without ids": (lambda c: c.upsert(ONE, None), errors.ParameterError, "upsert needs ids"),
    "upsert of ids that repeat": (
        lambda c: c.upsert(np.ones((2, 5)), [101, 101]),
        errors.ParameterError,
        "1 of 2 repeat",
    ),
    "metadata of one dict": (
        lambda c: c.add(ONE, metadata={"a": 1}),
        errors.ParameterError,
        "metadata is a dict, a list",
    ),
    "metadata of a number": (lambda c: c.add(ONE, metadata=3), errors.ParameterError, "metadata is a int, a list"),
    "fewer metadata": (
        lambda c: c.add(ONE, metadata=[]),
        errors.ParameterError,
        "0 metadata dicts were given for 1 rows",
    ),
    "metadata that is no dict": (
        lambda c: c.add(ONE, metadata=["a"]),
        errors.ParameterError,
        "of row 0 is a str, a dict",
    ),
    "metadata that is no JSON": (
        lambda c: c.add(ONE, metadata=[{"a": {1}}]),
        errors.ParameterError,
        "row 0 cannot be stored",
    ),
    "metadata with NaN": (
        lambda c: c.add(ONE, metadata=[{"a": np.nan}]),
        errors.ParameterError,
        "missing number is None",
    ),
    "delete unknown": (lambda c: c.delete([100, 7]), errors.UnknownIdError, "there is no row with id 7$"),
    "delete text": (
        lambda c: c.delete(["100"]),
        errors.UnknownIdError,
        r"no row with id '100' \(there is 100, a int\)",
    ),
    "delete many unknown": (lambda c: c.delete([1, 2, 3]), errors.UnknownIdError, r"3 of the ids \(1, 2, 3\)"),
    "delete one number": (lambda c: c.delete(100), errors.ParameterError, "ids is 100, a list of ids expected"),
    "get unknown": (lambda c: c.get([100, 99]), errors.UnknownIdError, "there is no row with id 99"),
    "get nothing": (lambda c: c.get(None), errors.ParameterError, "a list of ids expected"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_input_is_refused_in_a_sentence_and_changes_nothing(mine, name):
    call, kind, said = BAD_CALLS[name]
    before = snapshot(mine)
    with pytest.raises(kind, match=said) as caught:
        call(mine)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert snapshot(mine) == before


def test_skipped_rows_are_listed_and_ids_go_with_their_rows(mine):
    rows = np.ones((4, 5))
    rows[1] = np.nan
    added = mine.add(rows, [1, 2, 3, 4], metadata=[{"n": each} for each in range(4)], on_bad="skip")
    assert (added.ids, added.skipped.tolist()) == ([1, 3, 4], [1])
    assert [row.metadata for row in mine.get([1, 3, 4])] == [{"n": 0}, {"n": 2}, {"n": 3}]
    assert 2 not in mine
    with pytest.raises(errors.ParameterError, match="3 ids were given for 4 rows"):
        mine.add(rows, [5, 6, 7], on_bad="skip")


def test_zero_rows_under_cosine():
    rows = np.eye(4)
    rows[2] = 0
    with pytest.raises(errors.VectorError, match=r"cosine needs a direction.*: 1 of 4 rows \(row 2\); .*on_bad"):
        nk.build(rows, metric="cosine")
    mine = nk.build(rows, metric="cosine", on_bad="skip")
    assert (len(mine), mine.skipped.tolist(), mine.ids.tolist()) == (3, [2], [0, 1, 2])
    with pytest.raises(errors.VectorError, match=r"1 of 2 rows \(row 1\) of the queries"):
        mine.search([[1, 0, 0, 0], [0, 0, 0, 0]])
    with pytest.raises(errors.VectorError, match="rows of length zero"):
        mine.range_search(np.zeros((1, 4)), 0.5)


def test_cosine_takes_rows_of_any_length():
    mine = nk.build([[3e30, 4e30], [1e-30, 0]], metric="cosine", ids=["long", "short"])
    found = mine.search([[6e20, 8e20]], k=2)
    assert found.ids.tolist() == [["long", "short"]]
    np.testing.assert_allclose(found.distances, [[0, 0.4]], atol=1e-6)


def test_more_asked_than_there_are(mine):
    found = mine.search(np.eye(5)[:2], k=60, nprobe=4)
    assert found.counts.tolist() == [40, 40]
    assert found.reason[0] == "the collection has 40 rows, 60 asked"
    few = mine.search(np.eye(5)[:1], k=40, nprobe=1, allow_fewer=True)
    assert not few.complete.any()
    assert few.reason == [f"the plan reached {few.counts[0]} of 40: raise its search parameters (nprobe)"]
    assert found.ids[0, 40:].tolist() == [-1] * 20
    completed = mine.search(np.eye(5)[:1], k=40, nprobe=1)
    assert sorted(completed.ids[0].tolist()) == sorted(mine.ids.tolist())
    assert completed.distances.tolist() == found.distances[:1, :40].tolist()


def test_no_queries(mine):
    found = mine.search(np.empty((0, 5)), 3)
    assert found.ids.shape == (0, 3)
    assert len(mine.range_search(np.empty((0, 5)), 1.0)) == 0
    assert mine.exact_search(np.empty((0, 5)), 3).distances.shape == (0, 3)


@pytest.mark.parametrize(
    "plan", ["flat", "ivf4", "hnsw8", "flat,int8", "ivf4,pq5x4,refine-f16", "hnsw8,pq5x8,refine-f32"]
)
def test_a_collection_emptied_and_filled_again(plan):
    rows = np.random.default_rng(0).normal(size=(300, 5))
    mine = nk.build(rows, plan=plan)
    mine.delete(range(300))
    for _ in range(2):  # before and after the index is let go
        found = mine.search(rows[:2], 3)
        assert (len(mine), found.counts.tolist(), found.ids.tolist()) == (0, [0, 0], [[-1] * 3] * 2)
        assert found.reason == ["the collection has 0 rows, 3 asked"] * 2
        assert mine.range_search(rows[:2], 10.0).counts.tolist() == [0, 0]
        mine.optimize()
    assert mine.add(rows).ids == list(range(300, 600))
    assert mine.search(rows[:5], 1).ids[:, 0].tolist() == list(range(300, 305))
    mine.optimize()
    assert mine.uncovered == 0
    assert mine.exact_search(rows[:5], 1).ids[:, 0].tolist() == list(range(300, 305))


def test_rows_are_the_collections_own():
    rows = np.eye(3, dtype=np.float32)
    mine = nk.build(rows)
    more = np.full((1, 3), 5, np.float32)
    mine.add(more)
    rows[:] = more[:] = 9
    mine.get([0])[0].vector[:] = 7
    assert mine.get([0, 3])[0].vector.tolist() == [1, 0, 0]
    assert mine.get([3])[0].vector.tolist() == [5, 5, 5]
    assert mine.search([[1, 0, 0]], 1).ids.tolist() == [[0]]


def test_metadata_is_what_a_saved_folder_would_give_back(tmp_path):
    given = [{"tags": ("a", "b"), 3: None, "deep": {"x": [1.5, True]}}, None, {}]
    mine = nk.build(np.eye(3), metadata=given)
    mine.save(tmp_path / "a")
    given[0]["deep"]["x"].append("changed")
    expected = [{"tags": ["a", "b"], "3": None, "deep": {"x": [1.5, True]}}, {}, {}]
    assert [row.metadata for row in mine.get([0, 1, 2])] == expected
    with nk.open(tmp_path / "a", readonly=True) as saved:
        assert [row.metadata for row in saved.get([0, 1, 2])] == expected


def test_an_add_that_fails_half_way_leaves_nothing(mine, monkeypatch):
    before = snapshot(mine)

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(mine._rows, "commit", fail)
        with pytest.raises(OSError, match="No space"):
            mine.add(ONE)
    assert snapshot(mine) == before
    assert mine.add(ONE).ids == [140]


def test_optimizing_too_few_rows_keeps_the_index_that_was_there(mine):
    mine.delete(range(102, 140))
    with pytest.raises(errors.VectorError, match="4 cells, and there are only 2 rows"):
        mine.optimize()
    assert sorted(mine.search(np.eye(5)[:1], 5, nprobe=4).ids[0, :2].tolist()) == [100, 101]


def test_closed(mine, tmp_path):
    mine.close()
    mine.close()
    calls = (
        lambda: mine.search(ONE),
        lambda: mine.exact_search(ONE),
        lambda: mine.range_search(ONE, 1.0),
        lambda: mine.true_distances(ONE, np.array([[0]])),
        lambda: mine.get([100]),
        lambda: mine.add(ONE),
        lambda: mine.upsert(ONE, [100]),
        lambda: mine.delete([100]),
        lambda: mine.optimize(),
        lambda: mine.save(tmp_path / "a"),
    )
    for call in calls:
        with pytest.raises(errors.ClosedError, match="this collection was closed"):
            call()
    assert "closed" in repr(mine)


def test_without_vectors(tmp_path):
    rows = np.random.default_rng(0).normal(size=(50, 4))
    mine = nk.build(
        rows, plan="ivf4,int8", keep_vectors=False, ids=[f"r{each}" for each in range(50)], metadata=[{"n": 1}] * 50
    )
    before = mine.search(rows[:3], 2, nprobe=4).ids.tolist()
    for name, call in {
        "exact_search": lambda: mine.exact_search(rows[:1]),
        "true_distances": lambda: mine.true_distances(rows[:1], np.array([[0]])),
        "add": lambda: mine.add(rows[:1], ["new"]),
        "optimize": lambda: mine.optimize(),
    }.items():
        with pytest.raises(
            errors.StateError, match=f"{name} needs the rows, and .* keep_vectors=False; build it again"
        ):
            call()
    with pytest.raises(
        errors.NotSupportedError, match=r"range search over ivf4,int8 .* not kept; build with keep_vectors=True"
    ):
        mine.range_search(rows[:1], 1.0)
    (row,) = mine.get(["r7"])
    assert (row.vector, row.metadata) == (None, {"n": 1})
    assert mine.search(rows[:3], 2, nprobe=4).ids.tolist() == before
    assert mine.delete(["r0"]) == 1
    assert "r0" not in mine.search(rows[:1], 50, nprobe=4).ids
    mine.save(tmp_path / "small")
    with nk.open(tmp_path / "small") as saved:
        assert not saved.keeps_vectors
        assert saved.search(rows[1:3], 2, nprobe=4).ids.tolist() == before[1:]
        assert len(saved) == 49
        with pytest.raises(errors.StateError, match="add needs the rows"):
            saved.add(rows[:1], ["new"])


def test_forgetting_vectors_does_not_bring_deleted_rows_back(mine):
    mine.delete([100, 101])
    mine.forget_vectors()
    assert len(mine) == 38
    assert 100 not in mine
    assert not np.isin([100, 101], mine.search(np.eye(5), 50, nprobe=4).ids).any()


def test_readonly(mine, tmp_path):
    mine.save(tmp_path / "a")
    with nk.open(tmp_path / "a", readonly=True) as reader:
        before = snapshot(reader)
        for call in (
            lambda: reader.add(ONE),
            lambda: reader.delete([100]),
            lambda: reader.optimize(),
            lambda: reader.upsert(ONE, [1]),
        ):
            with pytest.raises(errors.ReadOnlyError, match="opened for reading only"):
                call()
        assert snapshot(reader) == before


def test_range_search_over_a_lossy_plan_gives_true_distances():
    rows = np.random.default_rng(3).normal(size=(400, 16)).astype(np.float32)
    true = np.sqrt(((rows[:20, None].astype(np.float64) - rows[None]) ** 2).sum(axis=2))
    limit = float(np.quantile(true, 0.05))
    for plan, effort in (
        ("flat,pq16x4", {}),
        ("ivf4,int8", {"nprobe": 4}),
        ("faiss:PQ16x4", {}),
        ("hnsw8,f16", {"ef_search": 400}),
    ):
        found = nk.build(rows, plan=plan).range_search(rows[:20], limit, **effort)
        wanted = true <= limit
        got = np.zeros_like(wanted)
        for query, hits in enumerate(found):
            for hit in hits:
                got[query, hit.id] = True
                assert abs(hit.distance - true[query, hit.id]) < 1e-5
        assert not (got & ~(true <= limit + 1e-6)).any(), plan
        assert (got & wanted).sum() >= 0.98 * wanted.sum(), plan


class Undefined(nk.Metric):
    """Not a number for rows that begin with a negative one."""

    name = "undefined"

    def pairwise(self, queries, vectors):
        with np.errstate(invalid="ignore"):
            return np.abs(np.sqrt(queries[:, None, 0]) - np.sqrt(vectors[None, :, 0]))


def test_a_metric_that_gives_nan_is_an_error_that_names_the_pair():
    mine = nk.build([[1.0], [4.0], [-1.0]], metric=Undefined())
    with pytest.raises(errors.PluginContractError, match=r"NaN for 1 of 3 pairs \(first: query 0, row 2\)"):
        mine.search([[1.0]], k=2)


@pytest.mark.parametrize("keep", ["memory", "folder"])
@pytest.mark.parametrize("plan", ["flat,rabitq", "flat,pq4x8", "ivf8,pq4x4", "flat,int4", "flat,pq4x4,refine-int8"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner-product"])
def test_rows_added_since_are_not_hidden_by_rows_that_codes_make_nearer(plan, metric, keep, tmp_path):
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(1200, 16)), rng.normal(size=(40, 16))
    mine = nk.build(rows[:600], plan=plan, metric=metric)
    if keep == "folder":
        mine.save(tmp_path / "mine")
        mine = nk.open(tmp_path / "mine")
    mine.add(rows[600:])
    mine.delete(list(range(590, 610)))
    found, true = mine.search(queries, 20), mine.exact_search(queries, 20)
    for got, right in zip(found.positions, true.positions, strict=True):
        assert set(right[right >= 600].tolist()) <= set(got.tolist())
    np.testing.assert_allclose(found.distances, mine.true_distances(queries, found.positions), rtol=1e-4, atol=1e-4)
    mine.close()
