"""Results: the hits of one query are those of the arrays."""

import numpy as np
import pytest

import nearkin as nk


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
