"""Candidates ranked again by the metric: in place, taken out, in numpy; all the same answer."""

from __future__ import annotations

import numpy as np
import pytest

import nearkin as nk
from nearkin.metrics import INNER_PRODUCT, L2
from nearkin.reranking import OwnRows, PreparedRows, nearest_candidates
from nearkin.rows import MemoryRows


@nk.metric("l1-of-rows")
def l1_of_rows(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += abs(a[i] - b[i])
    return total


class Doubled(nk.Metric):
    name = "doubled"

    def prepare(self, vectors):
        return 2 * vectors

    def pairwise(self, queries, vectors):
        return np.abs(queries[:, None] - vectors[None]).sum(axis=2)


class NotInPlace(OwnRows):
    """Rows that can only be taken out."""

    def pieces(self, positions):
        return []


class InPieces(OwnRows):
    """Rows in three pieces."""

    def pieces(self, positions):
        rows = self.all()
        return [(0, rows[:10]), (10, rows[10:11]), (11, rows[11:])]


RNG = np.random.default_rng(4)
ROWS = RNG.normal(size=(90, 5)).astype(np.float32)
QUERIES = RNG.normal(size=(31, 5)).astype(np.float32)
CANDIDATES = np.stack([RNG.permutation(90)[:20] for _ in QUERIES])
CANDIDATES[3] = -1
CANDIDATES[4, 5:] = -1
CANDIDATES[CANDIDATES == 89] = -1


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("where", [OwnRows, NotInPlace, InPieces])
@pytest.mark.parametrize("space", [l1_of_rows.space, L2])
def test_the_nearest_candidates_are_found_wherever_the_rows_lie(space, where, threads, monkeypatch):
    monkeypatch.setattr("nearkin.reranking.block_rows", lambda size: 7)
    stored = where(5, np.dtype(np.float32))
    stored.add(ROWS[:50])
    stored.add(ROWS[50:])
    found = nearest_candidates(space, stored, QUERIES, CANDIDATES, 8, threads)
    true = space.pairwise(QUERIES, ROWS)
    for query, (positions, distances) in enumerate(zip(found.positions, found.distances, strict=True)):
        given = CANDIDATES[query][CANDIDATES[query] >= 0]
        wanted = given[np.argsort(true[query, given], kind="stable")][:8]
        assert positions[: len(wanted)].tolist() == wanted.tolist()
        assert (positions[len(wanted) :] == -1).all()
        np.testing.assert_allclose(distances[: len(wanted)], true[query, wanted], rtol=1e-6)
        assert np.isposinf(distances[len(wanted) :]).all()


def test_rows_are_read_in_place_only_where_the_metric_leaves_them_as_they_are():
    rows = MemoryRows(5, "float32")
    rows.commit(vectors=ROWS, ids=list(range(90)))
    ((start, piece),) = PreparedRows(rows, l1_of_rows).pieces(CANDIDATES)
    assert start == 0
    assert np.shares_memory(piece, rows.span(0, 90))
    prepared = PreparedRows(rows, Doubled())
    assert prepared.pieces(CANDIDATES) == []
    np.testing.assert_array_equal(prepared.take(np.array([3, 1])), 2 * ROWS[[3, 1]])


def test_positions_beyond_the_rows_are_not_read():
    stored = OwnRows(5, np.dtype(np.float32))
    stored.add(ROWS[:10])
    found = nearest_candidates(l1_of_rows.space, stored, QUERIES[:1], np.array([[3, 10, 10**12, -5]]), 4)
    assert found.positions.tolist() == [[3, -1, -1, -1]]


@pytest.mark.parametrize("k", [3, 6, 9])
@pytest.mark.parametrize("space", [L2, INNER_PRODUCT], ids=lambda space: space.label)
def test_candidates_of_all_queries_at_once(space, k):
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(2, 50, 4)).astype(np.float32)
    stored = OwnRows(4, np.dtype(np.float32))
    stored.add(rows)
    candidates = np.stack([rng.permutation(50)[:6] for _ in queries])
    candidates[rng.random(candidates.shape) < 0.3] = -1
    candidates[7] = -1
    found = nearest_candidates(space, stored, queries, candidates, k)
    for row, given in enumerate(candidates):
        given = given[given >= 0]
        values = space.pairwise(queries[row : row + 1], rows[given])[0] if given.size else np.empty(0)
        order = np.argsort(values)[:k]
        padding = k - len(order)
        assert found.positions[row].tolist() == given[order].tolist() + [-1] * padding
        np.testing.assert_allclose(found.distances[row], [*values[order], *[np.inf] * padding], rtol=1e-5, atol=1e-6)
