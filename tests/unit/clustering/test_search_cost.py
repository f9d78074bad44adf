"""The recall that cells lose, beside a real IVF index of the same centroids and beside brute force."""

from __future__ import annotations

import json

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import ParameterError, VectorError


def rows_of(n=2000, dim=8, seed=0):
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(20, dim))
    return (centres[rng.integers(0, 20, n)] + rng.normal(size=(n, dim))).astype(np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_recall_and_rows_scanned_are_those_of_an_index_with_these_centroids(metric):
    import faiss

    rows, queries, k = rows_of(), rows_of(100, seed=7), 10
    found = nk.cluster(rows, 16, metric=metric, n_init=1)
    cost = found.search_cost(k=k, queries=queries)
    prepared, asked = found.metric.prepare(rows), found.metric.prepare_queries(queries)
    quantizer = faiss.IndexFlatL2(8)
    quantizer.add(found.partition.centroids)
    index = faiss.IndexIVFFlat(quantizer, 8, 16)
    index.train(prepared)
    index.add(prepared)
    flat = faiss.IndexFlatL2(8)
    flat.add(prepared)
    truth = flat.search(asked, k)[1]
    assert [point.nprobe for point in cost.points] == [1, 2, 4, 8, 16]
    for point in cost.points:
        index.nprobe = point.nprobe
        faiss.cvar.indexIVF_stats.reset()
        answer = index.search(asked, k)[1]
        shared = [len(np.intersect1d(*pair)) / k for pair in zip(answer, truth, strict=True)]
        assert point.recall.mean == pytest.approx(np.mean(shared), abs=1e-9)
        assert point.scanned == pytest.approx(faiss.cvar.indexIVF_stats.ndis / (100 * 2000))
    assert cost.points[-1].recall.mean == 1
    assert cost.points[-1].scanned == 1


@pytest.mark.parametrize(
    ("metric", "method"),
    [("euclidean", "lloyd"), ("manhattan", "lloyd"), ("cosine", "lloyd"), ("chebyshev", "kmedoids")],
)
def test_rows_that_ask_do_not_find_themselves(metric, method):
    rows = rows_of(150, dim=4)
    found = nk.cluster(rows, 5, metric=metric, method=method, n_init=1)
    cost = found.search_cost([1, 3], k=4)
    apart = found.metric.distances(rows, rows)
    np.fill_diagonal(apart, np.inf)
    neighbours = apart.argsort(axis=1, kind="stable")[:, :4]
    cells = found.objective.costs(found.prepared, found.partition.centroids).argsort(axis=1)
    for point in cost.points:
        probed = cells[:, : point.nprobe]
        shares = (found.labels[neighbours][:, :, None] == probed[:, None]).any(axis=2).mean(axis=1)
        assert point.recall.mean == pytest.approx(shares.mean(), abs=2e-3)  # ties may be broken otherwise
        assert point.recall.low <= point.recall.mean <= point.recall.high
    assert (cost.queries, cost.of_rows, cost.cells, cost.k) == (150, True, 5, 4)


def test_one_cell_costs_nothing_and_recall_never_falls_with_nprobe():
    rows = rows_of(400)
    assert nk.cluster(rows, 1).search_cost().points[0].recall.mean == 1
    recalls = [point.recall.mean for point in nk.cluster(rows, 30, n_init=1).search_cost().points]
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.9


def test_the_sentence_says_what_it_costs():
    cost = nk.cluster(rows_of(600), 32, n_init=1).search_cost()
    point = cost.at(4)
    assert cost.usual == 4
    assert cost.sentence.startswith(
        f"this clustering costs you {1 - point.recall.mean:.3f} recall@10 at nprobe 4 of 32: {point.recall.mean:.3f} of"
    )
    assert f"{point.scanned:.1%} of the rows" in cost.sentence
    with pytest.raises(ParameterError, match="not measured at nprobe 3, only at 1, 2, 4"):
        cost.at(3)
    one = nk.cluster(rows_of(600), 32, n_init=1).search_cost(3)
    assert (one.usual, [each.nprobe for each in one.points]) == (3, [3])


def test_the_same_seed_asks_the_same_rows():
    found = nk.cluster(rows_of(3000, dim=3), 40, n_init=1)
    assert found.search_cost(seed=1) == found.search_cost(seed=1) != found.search_cost(seed=2)
    assert found.search_cost().queries == 1000


def test_few_rows_have_as_many_neighbours_as_there_are():
    assert nk.cluster([[0.0], [1.0], [5.0]], 2).search_cost().k == 2
    assert nk.cluster([[0.0], [1.0], [5.0]], 2).search_cost(queries=[[2.0]]).k == 3


def test_what_does_not_fit_is_refused():
    found = nk.cluster([[0.0], [1.0], [5.0]], 2)
    with pytest.raises(ParameterError, match="nprobe is 3"):
        found.search_cost(3)
    with pytest.raises(ParameterError, match="nprobe is empty"):
        found.search_cost([])
    with pytest.raises(ParameterError, match="k is 0"):
        found.search_cost(k=0)
    with pytest.raises(VectorError, match="2 columns, 1 were clustered"):
        found.search_cost(queries=[[1.0, 2.0]])
    with pytest.raises(VectorError, match="no queries"):
        found.search_cost(queries=np.empty((0, 1)))
    with pytest.raises(VectorError, match="single row"):
        nk.cluster([[1.0]], 1).search_cost()


def test_it_is_json():
    made = json.loads(json.dumps(nk.cluster(rows_of(100), 4).search_cost().to_dict()))
    assert made["sentence"].startswith("this clustering costs you")
    assert len(made["points"]) == 3
