"""Range search: over a plan that is exact, every row within the distance and no other."""

import numpy as np
import pytest

import nearkin as nk


def expect_within(found, values, limit):
    """Exactly the rows whose value is at most the limit; those within the rounding of float64 may be on either side."""
    rounding = 1e-12 * np.abs(values).max()
    got = set(found.tolist())
    assert got >= set(np.flatnonzero(values < limit - rounding).tolist())
    assert got <= set(np.flatnonzero(values <= limit + rounding).tolist())


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("plan", ["flat", "ivf4"])
def test_inner_products_that_cancel_are_not_lost(plan, scale):
    rng = np.random.default_rng(0)
    rows = (scale * rng.normal(size=(2000, 128))).astype(np.float32)
    queries = (scale * rng.normal(size=(5, 128))).astype(np.float32)
    true = -(queries.astype(np.float64) @ rows.astype(np.float64).T)
    mine = nk.build(rows, metric="inner-product", plan=plan)
    for query, values in zip(queries, true, strict=True):
        # near 0, where the rounding of the terms is all that there is, and just beyond a row
        for limit in np.sort(values)[1000:1050] + 1e-9 * np.abs(values).max():
            found = mine.range_search(query[None, :], float(limit), **({"nprobe": 4} if plan == "ivf4" else {}))
            expect_within(found.positions, values, limit)


def test_longer_rows_that_come_later_count_for_the_rounding():
    rng = np.random.default_rng(1)
    mine = nk.build(rng.normal(size=(50, 64)), metric="inner-product")
    query = rng.normal(size=(1, 64)).astype(np.float32)
    mine.range_search(query, 0.0)
    long = (1e5 * rng.normal(size=(2000, 64))).astype(np.float32)
    mine.add(long)
    values = -(query.astype(np.float64) @ long.astype(np.float64).T)[0]
    for limit in np.sort(values)[950:1050] + 1e-9 * np.abs(values).max():
        found = mine.range_search(query, float(limit)).positions
        expect_within(found[found >= 50] - 50, values, limit)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "inner-product", "manhattan", "chebyshev"])
def test_the_distance_of_a_hit_finds_the_hit_again(metric):
    rng = np.random.default_rng(2)
    mine = nk.build(rng.normal(size=(300, 700)), metric=metric)
    queries = rng.normal(size=(3, 700))
    for query in range(3):
        asked = queries[query : query + 1]
        hits = mine.range_search(asked, 1e9)[0]
        for rank in range(20, 60):
            found = mine.range_search(asked, hits[rank].distance)
            assert hits[rank].id in found.ids
            assert (found.distances <= hits[rank].distance).all()


def test_threads_hold_for_what_is_measured_on_the_way(monkeypatch):
    mine = nk.build(np.random.default_rng(0).normal(size=(300, 8)), plan="flat,int8", threads=2)
    given, present = [], type(mine.index).search

    def search(index, *args, threads=0, **options):
        given.append(threads)
        return present(index, *args, threads=threads, **options)

    monkeypatch.setattr(type(mine.index), "search", search)
    mine.range_search(np.zeros((1, 8)), 3.0, threads=1)
    assert given[0] == 1
