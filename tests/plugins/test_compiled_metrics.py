"""Metrics written as plain functions: compiled, right in every index that takes them, kept, compared, refused in plain words."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import nearkin as nk
from nearkin import bit_counts
from nearkin.errors import (
    NotSupportedError,
    NotTrainedError,
    ParameterError,
    PluginContractError,
    StateError,
    UnknownNameError,
)
from nearkin.registry import Registry, load_registry
from nearkin.settings import load_settings

HALF = 0.5


@nk.metric("own-l1", axioms={"non-negative", "identity", "symmetric", "triangle"})
def own_l1(a, b):
    """Sum of absolute differences."""
    total = 0.0
    for i in range(a.shape[0]):
        total += abs(a[i] - b[i])
    return total


@nk.metric("own-canberra", axioms={"non-negative", "identity", "symmetric", "triangle"})
def own_canberra(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        size = abs(a[i]) + abs(b[i])
        if size > 0.0:
            total += abs(a[i] - b[i]) / size
    return total


@nk.metric("own-hellinger", axioms={"non-negative", "identity", "symmetric", "triangle"})
def own_hellinger(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        difference = math.sqrt(abs(a[i])) - math.sqrt(abs(b[i]))
        total += difference * difference
    return math.sqrt(HALF * total)


@nk.metric(
    "own-weighted", axioms={"non-negative", "identity", "symmetric"}, fit=lambda rows: 1 / (rows.var(axis=0) + 1)
)
def own_weighted(a, b, params):
    total = 0.0
    for i in range(a.shape[0]):
        total += params[i] * (a[i] - b[i]) ** 2
    return total


def ones(byte):
    rest = np.int64(byte)
    count = 0
    while rest > 0:
        count += rest & 1
        rest >>= 1
    return count


@nk.metric("own-dice", axioms={"non-negative", "identity", "symmetric"}, dtype="bits")
def own_dice(a, b):
    both = 0
    total = 0
    for i in range(a.shape[0]):
        both += ones(a[i] & b[i])
        total += ones(a[i]) + ones(b[i])
    return 1.0 - 2.0 * both / total if total > 0 else 0.0


@nk.metric("own-jaccard", axioms={"non-negative", "identity", "symmetric", "triangle"}, dtype="bits")
def own_jaccard(a, b):
    both, only_a, only_b = nk.bit_counts(a, b)
    either = both + only_a + only_b
    return 1.0 - both / either if either > 0 else 0.0


def bits(rows: np.ndarray) -> np.ndarray:
    return np.unpackbits(rows, axis=1).astype(bool)


REFERENCES = {
    own_l1.name: (own_l1, lambda q, x: cdist(q, x, "cityblock")),
    own_canberra.name: (own_canberra, lambda q, x: cdist(q, x, "canberra")),
    own_hellinger.name: (own_hellinger, lambda q, x: cdist(np.sqrt(abs(q)), np.sqrt(abs(x))) / math.sqrt(2)),
    own_weighted.name: (own_weighted, None),
    own_dice.name: (own_dice, lambda q, x: cdist(bits(q), bits(x), "dice")),
    own_jaccard.name: (own_jaccard, lambda q, x: cdist(bits(q), bits(x), "jaccard")),
}
ROWS, QUERIES, K = 500, 25, 10


def data(metric: nk.Metric) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    if metric.dtype == "bits":
        both = rng.integers(0, 256, size=(ROWS + QUERIES, 8), dtype=np.uint8)
    else:
        both = rng.normal(scale=3, size=(ROWS + QUERIES, 12)).astype(np.float32)
    return both[:ROWS], both[ROWS:]


def truth(name: str, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    reference = REFERENCES[name][1]
    if reference is None:
        weights = 1 / (rows.var(axis=0) + 1)
        return cdist(queries.astype(float), rows.astype(float), "sqeuclidean", w=weights.astype(float))
    wide = (queries, rows) if queries.dtype == np.uint8 else (queries.astype(float), rows.astype(float))
    return reference(*wide)


def assert_nearest(found: nk.SearchResult, true: np.ndarray) -> None:
    reached = np.take_along_axis(true, found.positions, axis=1)
    np.testing.assert_allclose(found.distances, reached, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(reached, np.sort(true, axis=1)[:, : reached.shape[1]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize(("plan", "effort"), [("flat", {}), ("ivf9", {"nprobe": 9})])
def test_it_is_right_in_every_way_of_use(name, plan, effort, tmp_path):
    metric = REFERENCES[name][0]
    rows, queries = data(metric)
    mine = nk.build(rows, metric=metric, plan=plan)
    true = truth(name, queries, rows)
    found = mine.search(queries, K, **effort)
    assert_nearest(found, true)
    assert_nearest(mine.search(queries, K, threads=2, **effort), true)

    limit = float(np.quantile(true, 0.05))
    within = mine.range_search(queries, limit, **effort)
    sure = np.abs(true - limit) > 1e-4
    for query, hits in enumerate(within):
        reached = np.zeros(ROWS, dtype=bool)
        reached[[hit.id for hit in hits]] = True
        assert (reached == (true[query] <= limit))[sure[query]].all()

    gone = np.unique(found.positions[:, 0])
    mine.delete(gone.tolist())
    mine.upsert(rows[:1], ids=[int(np.setdiff1d(np.arange(ROWS), gone)[0])])
    true[:, gone] = np.inf
    again = mine.search(queries, K, **effort)
    assert not np.isin(again.ids, gone).any()
    np.testing.assert_allclose(
        again.distances[:, 0], np.minimum(true, truth(name, queries, rows[:1])).min(axis=1), rtol=1e-5, atol=1e-5
    )

    mine.save(tmp_path / "kept")
    with nk.open(tmp_path / "kept", metric=metric.fresh()) as kept:
        np.testing.assert_array_equal(kept.search(queries, K, **effort).ids, again.ids)


def test_one_query_over_many_rows_is_split_over_threads():
    rows = np.random.default_rng(1).normal(size=(70_000, 40)).astype(np.float32)
    mine = nk.build(rows, metric=own_l1)
    one = mine.search(rows[5:6], 20, threads=1)
    two = mine.search(rows[5:6], 20, threads=2)
    np.testing.assert_array_equal(one.ids, two.ids)
    assert one.ids[0, 0] == 5


@pytest.mark.parametrize("rule", ["mean", "spherical", "median", "medoid"])
def test_centroids_by_every_rule(rule):
    rows, queries = data(own_l1)
    mine = nk.build(rows, metric=own_l1, plan=f"ivf9:centroids={rule}")
    assert mine.plan == f"ivf9:centroids={rule}"
    assert_nearest(mine.search(queries, K, nprobe=9), truth(own_l1.name, queries, rows))


def test_a_rule_where_it_means_nothing_is_refused():
    rows, _ = data(own_jaccard)
    with pytest.raises(ParameterError, match="not defined for packed bits, use median or medoid"):
        nk.build(rows, metric=own_jaccard, plan="ivf4:centroids=mean")
    with pytest.raises(NotSupportedError, match="needs a compiled metric"):
        nk.build(rows.astype(np.float32), plan="ivf4:centroids=medoid")
    with pytest.raises(ParameterError, match="one of auto, mean"):
        nk.build(rows, metric=own_jaccard, plan="ivf4:centroids=mode")


@nk.metric("own-counts", dtype="bits")
def own_counts(a, b):
    both, only_a, only_b = bit_counts(a, b)
    return both + 1000.0 * only_a + 1000000.0 * only_b


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_bits_are_counted_as_in_python(width, seed):
    rows = np.random.default_rng(seed).integers(0, 256, size=(2, width), dtype=np.uint8)
    rows[0, -1] = 255
    both, only_a, only_b = bit_counts(*rows)
    assert both == (np.unpackbits(rows[0]) & np.unpackbits(rows[1])).sum()
    assert both + only_a == np.unpackbits(rows[0]).sum()
    compiled = own_counts.space.pairwise(rows[:1], rows[1:])
    np.testing.assert_allclose(compiled, [[both + 1000 * only_a + 1_000_000 * only_b]], rtol=1e-6)


def test_of_nearkin_a_kernel_may_use_bit_counts_only():
    def builds(a, b):
        return nk.build(a)

    with pytest.raises(ParameterError, match=r"kernel 'builds' uses nearkin\.build.*bit_counts"):
        nk.metric("x")(builds)


@nk.metric("sometimes-nan")
def sometimes_nan(a, b):
    return (a[0] - b[0]) / (a[1] - a[1] + b[1])


@pytest.mark.parametrize("plan", ["flat", "ivf2:centroids=medoid", "surrogate:space=l2,flat"])
@pytest.mark.parametrize("threads", [1, 2])
def test_nan_is_an_error_that_names_the_pair(plan, threads):
    rows = np.random.default_rng(0).uniform(1, 2, size=(500, 2)).astype(np.float32)
    mine = nk.build(rows, metric=sometimes_nan, plan=plan, threads=threads)
    mine.add([[7.0, 0.0]])
    with pytest.raises(PluginContractError, match=r"gave NaN for query 70 and the row at position 0"):
        mine.search(np.concatenate([rows[:70], [[7, 5]], rows[:70]]), 3)
    with pytest.raises(PluginContractError, match=r"'sometimes_nan' gave NaN"):
        nk.build(np.concatenate([rows, [[1, 0], [1, 0]]]), metric=sometimes_nan, plan=plan, search=None).search(
            [[1, 5]]
        )


@nk.metric("own-extremes")
def own_extremes(a, b):
    largest, smallest, count = -1.0, 1000.0, 0
    for i in range(a.shape[0]):
        largest = max(largest, a[i] - b[i])
        smallest = min(a[i] - b[i], smallest)
        count = max(count, i)
    return largest - smallest + count


def max_of_own(a, b):
    return a + b


def test_largest_and_smallest_values_are_right_and_nan_is_not_lost():
    rows, queries = data(own_l1)
    differences = queries[:, None].astype(float) - rows[None]
    true = differences.max(axis=2) - differences.min(axis=2) + 11
    np.testing.assert_allclose(own_extremes.space.pairwise(queries, rows), true, rtol=1e-5)
    rows[2, 5] = np.nan
    assert np.isnan(own_extremes.space.pairwise(queries, rows)[:, 2]).all()


def test_a_function_called_max_stays_what_it_is():
    max = max_of_own

    @nk.metric("sum-of-all")
    def sum_of_all(a, b):
        total = 0.0
        for i in range(a.shape[0]):
            total = max(total, a[i] + b[i])
        return total

    assert nk.build([[1.0, 2.0]], metric=sum_of_all).search([[3.0, 4.0]], 1).distances.tolist() == [[10.0]]


def test_rows_infinitely_far_are_left_out():
    @nk.metric("one-sided")
    def one_sided(a, b):
        return math.inf if a[0] > b[0] else b[0] - a[0]

    found = nk.build([[1.0], [2.0], [3.0]], metric=one_sided).search([[2.0]], 3)
    assert found.ids[0, :2].tolist() == [1, 2]
    assert found.counts.tolist() == [2]


def test_a_kernel_with_parameters_needs_them():
    with pytest.raises(NotTrainedError, match="its metric has not been fitted"):
        own_weighted.fresh().distances(np.ones((1, 3), np.float32), np.ones((1, 3), np.float32))


def test_a_changed_formula_is_refused_with_the_change(tmp_path):
    nk.build(np.eye(3), metric=own_l1).save(tmp_path / "kept")

    @nk.metric("own-l1")
    def changed(a, b):
        total = 0.0
        for i in range(a.shape[0]):
            total += abs(a[i] - b[i]) * 2.0
        return total

    with pytest.raises(StateError, match=r"it had `total \+= abs\(a\[i\] - b\[i\]\)`, now it has .*_f32\(2.0\)"):
        nk.open(tmp_path / "kept", metric=changed)


def test_what_numba_refuses_is_said_with_its_line():
    @nk.metric("wrong-types")
    def wrong_types(a, b):
        joined = "x" + a
        return joined

    with pytest.raises(
        PluginContractError, match=r"cannot compile kernel 'wrong_types' at `joined = 'x' \+ a`.*pairwise"
    ):
        nk.build(np.eye(3), metric=wrong_types).search(np.eye(3))


def test_opening_says_which_formula_is_wanted(tmp_path):
    nk.build(np.eye(3), metric=own_l1).save(tmp_path / "kept")
    with pytest.raises(UnknownNameError, match=r"built with the formula 'own-l1'.*metric=\.\.\."):
        nk.open(tmp_path / "kept")
    with pytest.raises(StateError, match="built under the metric 'own-l1', and 'euclidean' was given"):
        nk.open(tmp_path / "kept", metric="l2")


def test_functions_that_cannot_be_kernels_are_refused():
    table = np.ones(3)

    def uses_array(a, b):
        return table[0]

    with pytest.raises(ParameterError, match="uses table, a ndarray"):
        nk.metric("x")(uses_array)
    with pytest.raises(ParameterError, match="takes 1 arguments"):
        nk.metric("x")(lambda a: 0.0)
    with pytest.raises(ParameterError, match="is not a plain function"):
        nk.metric("x")(lambda a, b: 0.0)
    with pytest.raises(ParameterError, match="'transitive' is not an axiom"):
        nk.metric("x", axioms={"transitive"})
    with pytest.raises(ParameterError, match=r"goes with fit="):
        nk.metric("x", fit=lambda rows: rows[0])(uses_nothing)
    with pytest.raises(ParameterError, match="source of kernel"):
        nk.metric("x")(eval("compile_me", {"compile_me": _without_source()}))


def uses_nothing(a, b):
    return 0.0


def _without_source():
    namespace: dict[str, object] = {}
    exec("def typed_at_a_prompt(a, b):\n    return 0.0", namespace)
    return namespace["typed_at_a_prompt"]


PLUGIN = '''
import nearkin as nk


@nk.metric("trimmed-l1", axioms={"non-negative", "identity", "symmetric"})
def trimmed_l1(a, b):
    """Absolute differences, each at most 50."""
    total = 0.0
    for i in range(a.shape[0]):
        total += min(abs(a[i] - b[i]), 50.0)
    return total
'''


def test_a_file_with_nothing_but_a_function_is_a_plugin(tmp_path):
    (tmp_path / "trimmed.py").write_text(PLUGIN)
    registry = load_registry(load_settings({"plugins": (str(tmp_path / "trimmed.py"),)}))
    assert registry.resolve("metric", "trimmed-l1").summary == "Absolute differences, each at most 50."
    mine = nk.build([[0, 0], [100, 0], [3, 4]], metric="trimmed-l1", registry=registry)
    assert mine.search([[0.0, 0.0]], 3).distances.tolist() == [[0, 7, 50]]
    assert isinstance(registry, Registry)


@pytest.mark.parametrize("plan", ["hnsw", "ivf,pq", "ivf,int8", "faiss:Flat"])
def test_plans_that_would_be_wrong_are_refused(plan):
    rows, _ = data(own_l1)
    with pytest.raises(NotSupportedError, match="nearest legal plan"):
        nk.build(rows, metric=own_l1, plan=plan)


def test_the_next_process_compiles_nothing(tmp_path):
    (tmp_path / "trimmed.py").write_text(PLUGIN)
    program = (
        "import sys, numpy as np, nearkin as nk; sys.path.insert(0, sys.argv[1]); from trimmed import trimmed_l1;"
        "print(nk.build(np.eye(4), metric=trimmed_l1).search(np.eye(4), 2).ids.tolist())"
    )
    environment = {**os.environ, "NEARKIN_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", program, str(tmp_path)]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=Path.cwd())
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stderr.startswith("compiling metric trimmed_l1 (once")
    assert runs[1].stderr == ""
