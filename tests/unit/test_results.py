"""What searches answer."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import MissingDependencyError, ParameterError
from nearkin.results import Hit, RangeResult, SearchResult

INF = np.inf


def result(id_table=None, similarity=lambda distances: 1 - distances, explain=None):
    positions = np.array([[2, 0, 1], [1, -1, -1], [-1, -1, -1]])
    distances = np.float32([[0, 0.5, 0.5], [0.25, INF, INF], [INF, INF, INF]])
    return SearchResult(positions, distances, 3, id_table, similarity, explain)


@pytest.mark.parametrize(
    ("id_table", "expected"),
    [
        (None, [[2, 0, 1], [1, -1, -1], [-1, -1, -1]]),
        (np.array([-7, 40, 5]), [[5, -7, 40], [40, -1, -1], [-1, -1, -1]]),
        (np.array(["x", "y", "z"], object), [["z", "x", "y"], ["y", None, None], [None, None, None]]),
        (np.array(["x", "y", "z", "later"], object), [["z", "x", "y"], ["y", None, None], [None, None, None]]),
    ],
)
def test_ids_are_the_users_and_padding_is_no_id(id_table, expected):
    found = result(id_table)
    before = None if id_table is None else id_table.copy()
    assert found.ids.tolist() == expected
    assert found.positions.tolist() == [[2, 0, 1], [1, -1, -1], [-1, -1, -1]]
    if id_table is not None:
        assert id_table.tolist() == before.tolist()


def test_counts_completeness_and_reasons():
    found = result(explain=lambda query, count: f"only {count}")
    assert found.counts.tolist() == [3, 1, 0]
    assert found.complete.tolist() == [True, False, False]
    assert found.reason == ["", "only 1", "only 0"]
    assert result().reason == ["", "1 rows found", "0 rows found"]


def test_similarities():
    assert result().similarities.tolist() == [[1, 0.5, 0.5], [0.75, -INF, -INF], [-INF] * 3]
    assert result().similarities.dtype == np.float32
    with pytest.raises(ParameterError, match="no similarity rule"):
        _ = result(similarity=None).similarities


def test_iterating_gives_hits_without_padding():
    found = result(np.array(["x", "y", "z"], object))
    hits = list(found)
    assert len(found) == len(hits) == 3
    assert hits[0] == [Hit("z", 0.0, 1.0), Hit("x", 0.5, 0.5), Hit("y", 0.5, 0.5)]
    assert hits[1] == [Hit("y", 0.25, 0.75)]
    assert hits[2] == []
    assert found[-2] == hits[1]
    with pytest.raises(IndexError):
        found[3]
    assert all(hit.similarity != hit.similarity for hit in result(similarity=None)[0])


def test_to_faiss_is_distances_then_positions():
    distances, positions = result(np.array([7, 8, 9])).to_faiss()
    assert distances.dtype == np.float32
    assert positions.tolist()[0] == [2, 0, 1]


def test_long_form():
    frame = result(np.array(["x", "y", "z"], object)).to_pandas()
    assert list(frame.columns) == ["query", "rank", "id", "distance", "similarity"]
    assert frame.values.tolist() == [
        [0, 0, "z", 0.0, 1.0],
        [0, 1, "x", 0.5, 0.5],
        [0, 2, "y", 0.5, 0.5],
        [1, 0, "y", 0.25, 0.75],
    ]
    table = result(np.array([7, 8, 9])).to_arrow()
    assert table.column("id").to_pylist() == [9, 7, 8, 8]
    assert table.column("query").to_pylist() == [0, 0, 0, 1]
    assert "similarity" not in result(similarity=None).to_columns()


def test_no_queries():
    found = SearchResult(np.empty((0, 3), int), np.empty((0, 3), np.float32), 3, None, lambda distances: -distances)
    assert (len(found), list(found), found.reason) == (0, [], [])
    assert found.ids.shape == found.similarities.shape == (0, 3)
    assert found.counts.shape == found.complete.shape == (0,)
    assert len(found.to_pandas()) == found.to_arrow().num_rows == 0


def test_a_result_over_no_rows():
    found = SearchResult(np.full((1, 2), -1), np.full((1, 2), INF, np.float32), 2, np.empty(0, object))
    assert found.ids.tolist() == [[None, None]]


def ranges(ids=(7, 8, 9)):
    return RangeResult(
        np.array([0, 2, 2, 3]),
        np.array([0, 1, 2]),
        np.float32([0.1, 0.2, 0.3]),
        np.array(ids),
        lambda distances: 1 - distances,
    )


def test_range_result():
    found = ranges()
    assert found.counts.tolist() == [2, 0, 1]
    assert [[hit.id for hit in hits] for hits in found] == [[7, 8], [], [9]]
    assert [hit.id for hit in found[-1]] == [9]
    assert len(found) == 3
    for query in (3, -4):
        with pytest.raises(IndexError):
            found[query]
    limits, distances, positions = found.to_faiss()
    assert (limits.tolist(), positions.tolist()) == ([0, 2, 2, 3], [0, 1, 2])
    assert distances.dtype == np.float32
    frame = found.to_pandas()
    assert frame["query"].tolist() == [0, 0, 2]
    assert frame["rank"].tolist() == [0, 1, 0]
    assert frame["id"].tolist() == [7, 8, 9]
    np.testing.assert_allclose(frame["similarity"], [0.9, 0.8, 0.7], rtol=1e-6)
    assert found.to_arrow().column("id").to_pylist() == [7, 8, 9]
    assert ranges(["a", "b", "c"])[0][1].id == "b"


def test_range_result_without_hits():
    found = RangeResult(np.zeros(3, int), np.empty(0, int), np.empty(0, np.float32), np.empty(0, int), lambda d: -d)
    assert [hits for hits in found] == [[], []]
    assert found.counts.tolist() == [0, 0]
    assert len(found.to_pandas()) == found.to_arrow().num_rows == 0
    none = RangeResult(np.zeros(1, int), np.empty(0, int), np.empty(0, np.float32), np.empty(0, int), lambda d: -d)
    assert (len(none), list(none)) == (0, [])


@pytest.mark.parametrize(("package", "method"), [("pandas", "to_pandas"), ("pyarrow", "to_arrow")])
@pytest.mark.parametrize("made", [result, ranges])
def test_a_missing_package_is_named_with_the_pip_command(monkeypatch, package, method, made):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.split(".")[0] == package:
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=f"{method} needs {package}; pip install"):
        getattr(made(), method)()


def test_negative_ids_through_a_collection():
    mine = nk.build(np.eye(3), ids=[-5, -2, 7])
    found = mine.search([[0, 1, 0.1]], k=5)
    assert found.ids.tolist() == [[-2, 7, -5, -1, -1]]
    assert found.counts.tolist() == [3]
    assert [hit.id for hit in found[0]] == [-2, 7, -5]
    assert found.to_pandas()["id"].tolist() == [-2, 7, -5]


@pytest.mark.parametrize("ids", [None, "text"])
def test_hits_of_a_query_are_the_rows_of_the_arrays(ids):
    rows = np.random.default_rng(1).normal(size=(30, 3))
    named = None if ids is None else [f"row {row}" for row in range(len(rows))]
    mine = nk.build(rows, metric="cosine", ids=named)
    for found in (mine.search(rows[:4], k=40), mine.range_search(rows[:4], 0.5)):
        columns = found.to_columns()
        for query, hits in enumerate(found):
            own = columns["query"] == query
            assert [hit.id for hit in hits] == columns["id"][own].tolist()
            assert [hit.distance for hit in hits] == columns["distance"][own].tolist()
            assert [hit.similarity for hit in hits] == columns["similarity"][own].tolist()


def test_a_hit_costs_the_same_however_many_queries_there_are():
    calls = []

    def similarity(distances):
        calls.append(distances.size)
        return -distances

    found = nk.SearchResult(np.zeros((1000, 2), np.int64), np.zeros((1000, 2), np.float32), 2, None, similarity)
    assert len(list(found)) == 1000
    assert max(calls) == 2
