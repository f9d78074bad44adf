"""ivf:prune=true: the triangle inequality leaves rows out, and no neighbour with them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearkin as nk
from nearkin.errors import NotSupportedError, PluginContractError
from nearkin.kernels import Kernel
from nearkin.metrics import ALL_AXIOMS, Metric
from nearkin.registry import default_registry

PLAN, PLAIN = "ivf16:prune=true", "ivf16"


@nk.metric("near-l1", axioms=ALL_AXIOMS)
def near_l1(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += abs(a[i] - b[i])
    return total


@nk.metric("near-angle", axioms=ALL_AXIOMS)
def near_angle(a, b):
    ab = 0.0
    aa = 0.0
    bb = 0.0
    for i in range(a.shape[0]):
        ab += a[i] * b[i]
        aa += a[i] * a[i]
        bb += b[i] * b[i]
    return math.acos(max(-1.0, min(1.0, ab / math.sqrt(aa * bb))))


@nk.metric("near-bits", axioms=ALL_AXIOMS, dtype="bits")
def near_bits(a, b):
    count = 0
    for i in range(a.shape[0]):
        rest = np.int64(a[i] ^ b[i])
        while rest > 0:
            count += rest & 1
            rest >>= 1
    return count


@nk.metric("near-weighted", axioms=ALL_AXIOMS, fit=lambda rows: 1 / (rows.std(axis=0) + 1))
def near_weighted(a, b, params):
    total = 0.0
    for i in range(a.shape[0]):
        total += params[i] * abs(a[i] - b[i])
    return total


@nk.metric("no-distance", axioms={"non-negative", "identity", "symmetric"})
def no_distance(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += (a[i] - b[i]) ** 2
    return total


@nk.metric("wrongly-declared", axioms=ALL_AXIOMS)
def wrongly_declared(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += (a[i] - b[i]) ** 2
    return total


def true_l1(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.abs(queries[:, None].astype(float) - rows[None].astype(float)).sum(axis=2)


def true_bits(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.unpackbits(queries[:, None] ^ rows[None], axis=2).sum(axis=2).astype(float)


def true_weighted(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    weights = 1 / (ROWS.std(axis=0).astype(float) + 1)
    return true_l1(queries * weights, rows * weights)


def curve(rng: np.random.Generator, n: int, dim: int = 6) -> np.ndarray:
    """Rows along a bent line, where pruning rules out nearly everything."""
    along = rng.uniform(0, 6, (n, 1))
    return (np.sin(along * np.arange(1, dim + 1) / dim) * 5 + 0.01 * rng.normal(size=(n, dim))).astype(np.float32)


def data(metric: nk.Metric) -> tuple[np.ndarray, np.ndarray]:
    if metric.dtype == "float32":
        return ROWS, QUERIES
    both = np.random.default_rng(1).integers(0, 256, (1240, 3), dtype=np.uint8)
    return both[:1200], both[1200:]


ROWS, QUERIES = curve(np.random.default_rng(0), 1200), curve(np.random.default_rng(1), 40)
REFERENCES = {
    near_l1.name: (near_l1, true_l1),
    near_bits.name: (near_bits, true_bits),
    near_weighted.name: (near_weighted, true_weighted),
}


def scans_run(metric: nk.Metric, plan: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Which of the kernel's scans a search runs."""
    ran: dict[str, int] = {}
    for name in ("scan_lists", "scan_lists_pruned"):
        scan = getattr(Kernel, name)

        def counted(self, *given, scan=scan, name=name, **more):
            ran[name] = ran.get(name, 0) + 1
            return scan(self, *given, **more)

        monkeypatch.setattr(Kernel, name, counted)
    nk.build(data(metric)[0], metric=metric, plan=plan).search(data(metric)[1], 3)
    return ran


@pytest.mark.parametrize("name", REFERENCES)
def test_it_is_right_in_every_way_of_use(name, tmp_path):
    metric, reference = REFERENCES[name]
    rows, queries = data(metric)
    mine = nk.build(rows, metric=metric, plan=PLAN)
    assert mine.plan == PLAN
    true = reference(queries, rows)
    for k, threads in itertools.product((1, 10, 1200), (1, 2)):
        found = mine.search(queries, k, nprobe=16, threads=threads)
        np.testing.assert_allclose(found.distances, np.sort(true, axis=1)[:, :k], rtol=1e-5, atol=1e-5)
        reached = np.take_along_axis(true, found.positions, axis=1)
        np.testing.assert_allclose(found.distances, reached, rtol=1e-5, atol=1e-5)

    limit = float(np.quantile(true, 0.05))
    sure = np.abs(true - limit) > 1e-4 * limit
    for query, hits in enumerate(mine.range_search(queries, limit, nprobe=16)):
        reached = np.zeros(len(rows), dtype=bool)
        reached[[hit.id for hit in hits]] = True
        assert (reached == (true[query] <= limit))[sure[query]].all()

    gone = np.unique(mine.search(queries, 5, nprobe=16).positions)
    mine.delete(gone.tolist())
    mine.add(queries[:2], ids=[5000, 5001])
    true = np.concatenate([true, reference(queries, queries[:2])], axis=1)
    true[:, gone] = np.inf
    again = mine.search(queries, 10, nprobe=16)
    assert not np.isin(again.ids, gone).any()
    np.testing.assert_allclose(again.distances, np.sort(true, axis=1)[:, :10], rtol=1e-5, atol=1e-5)

    mine.save(tmp_path / "kept")
    with nk.open(tmp_path / "kept", metric=metric.fresh()) as kept:
        assert kept.plan == PLAN
        np.testing.assert_array_equal(kept.search(queries, 10, nprobe=16).ids, again.ids)
        np.testing.assert_array_equal(kept.search(queries, 10, nprobe=16).distances, again.distances)


def kinds(rng: np.random.Generator) -> dict[str, np.ndarray]:
    line = rng.normal(size=(300, 1)) @ rng.normal(size=(1, 5))
    return {
        "a line": line,
        "a plane far away": 1e4 + rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)),
        "clusters": 50 * rng.normal(size=(6, 5))[rng.integers(0, 6, 300)] + rng.normal(size=(300, 5)),
        "duplicates": np.repeat(rng.normal(size=(30, 5)), 10, axis=0),
        "near duplicates": rng.normal(size=5) + 1e-3 * rng.normal(size=(300, 5)),
        "of every size": line * 10.0 ** rng.uniform(-8, 8, (300, 1)),
        "whole numbers": rng.integers(-3, 4, (300, 5)) + 0.5,
    }


KINDS = tuple(kinds(np.random.default_rng(0)))


@settings(max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    metric=st.sampled_from([near_l1, near_angle]),
    seed=st.integers(0, 500),
    k=st.integers(1, 30),
    nprobe=st.integers(1, 9),
)
def test_pruned_and_unpruned_answers_agree(kind, metric, seed, k, nprobe):
    rng = np.random.default_rng(seed)
    rows = kinds(rng)[kind].astype(np.float32)
    queries = np.concatenate([rows[:10], rows[10:20] * np.float32(1.001), rng.normal(size=(10, 5))]).astype(np.float32)
    plain = nk.build(rows, metric=metric, plan="ivf9", seed=seed).search(queries, k, nprobe=nprobe)
    pruned = nk.build(rows, metric=metric, plan="ivf9:prune=true", seed=seed).search(queries, k, nprobe=nprobe)
    np.testing.assert_allclose(pruned.distances, plain.distances, rtol=1e-6, atol=1e-9)


def test_rows_that_are_ruled_out_are_not_compared():
    """Rows are put in their place that would be the nearest if they were compared."""
    index = nk.build(ROWS, metric=near_l1, plan="ivf4:prune=true")._index
    kernel = index.layout.space.kernel
    offsets, rows, positions, radii = index._ordered()
    probes, reaches = kernel.scan(QUERIES[:1], index._cells, 4)
    order = np.argsort(reaches, axis=1)
    probes, reaches = np.take_along_axis(probes, order, axis=1), np.take_along_axis(reaches, order, axis=1)
    reach_of_row = np.repeat(reaches[0][np.argsort(probes[0])], np.diff(offsets))
    far = np.abs(radii - reach_of_row) > 2
    assert np.sort(true_l1(QUERIES[:1], ROWS))[0, 2] < 1
    assert far.sum() > len(ROWS) // 2
    swapped = offsets, np.where(far[:, None], QUERIES[0], rows), positions
    pruned, _ = kernel.scan_lists_pruned(QUERIES[:1], (probes, reaches), (*swapped, radii), 3, share=1e-5, slack=0.0)
    assert not np.isin(pruned, positions[far]).any()
    every, _ = kernel.scan_lists(QUERIES[:1], probes, swapped, 3)
    assert np.isin(every, positions[far]).all()


@pytest.mark.parametrize(("plan", "scan"), [(PLAN, "scan_lists_pruned"), (PLAIN, "scan_lists")])
def test_the_option_decides_which_scan_runs(plan, scan, monkeypatch):
    assert set(scans_run(near_l1, plan, monkeypatch)) == {scan}


@nk.metric("one-nan", axioms=ALL_AXIOMS)
def one_nan(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += abs(a[i] - b[i])
    return math.nan if a[0] == 0.5 and b[0] == 0.25 else total


def test_not_a_number_is_refused_with_its_row():
    rows = ROWS.copy()
    rows[17] = 0.25
    mine = nk.build(rows, metric=one_nan, plan=PLAN)
    query = np.full((1, 6), 0.5, dtype=np.float32)
    with pytest.raises(PluginContractError, match="gave NaN for query 1 and the row at position 17"):
        mine.search(np.concatenate([query + 1, query]), 3, nprobe=16)


def test_memory_is_as_predicted():
    pruned, plain = (nk.build(ROWS, metric=near_l1, plan=plan) for plan in (PLAN, PLAIN))
    assert pruned.predicted_bytes()["radii"] == pruned.allocated_bytes()["radii"] == 4 * len(ROWS)
    assert "radii" not in {**plain.predicted_bytes(), **plain.allocated_bytes()}


def test_a_formula_that_rounds_much_is_given_slack():
    rows = kinds(np.random.default_rng(0))["near duplicates"].astype(np.float32)
    of_itself = near_angle.distances(rows[:64], rows[:64]).diagonal().max()
    assert of_itself > 1e-4
    assert nk.build(rows, metric=near_angle, plan=PLAN)._index._slack >= of_itself
    assert nk.build(rows, metric=near_l1, plan=PLAN)._index._slack < 1e-5


def test_without_the_axioms_it_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(Kernel, "pairwise", lambda *given: pytest.fail("something was computed"))
    with pytest.raises(NotSupportedError, match="'no_distance' does not declare triangle") as caught:
        nk.build(ROWS, metric=no_distance, plan=PLAN)
    assert "ivf without prune" in str(caught.value.hint)
    bare = nk.metric("bare")(near_l1.kernel)
    with pytest.raises(NotSupportedError, match="does not declare symmetric and triangle"):
        nk.build(ROWS, metric=bare, plan=PLAN)
    with pytest.raises(NotSupportedError, match="needs a compiled metric, and l2 is searched by faiss"):
        nk.build(ROWS, plan=PLAN)


def test_a_formula_that_is_no_distance_is_caught_at_build():
    with pytest.raises(PluginContractError, match="declares the axiom triangle, and rows break it") as caught:
        nk.build(ROWS, metric=wrongly_declared, plan=PLAN)
    start, end, over = (ROWS[int(part.split()[0])].astype(float) for part in str(caught.value).split(" row ")[1:])
    assert ((start - end) ** 2).sum() > ((start - over) ** 2).sum() + ((over - end) ** 2).sum()


def test_a_numpy_metric_is_told_what_serves_it():
    class Pairwise(Metric):
        name = "in-numpy"
        axioms = ALL_AXIOMS

        def pairwise(self, queries, vectors):
            return true_l1(queries, vectors)

    with pytest.raises(NotSupportedError, match="nearest legal plan: flat"):
        nk.build(ROWS, metric=Pairwise(), plan=PLAN)


def test_the_option_is_read_from_a_plan():
    assert default_registry().parse("index", "ivf:prune=true").options == {"prune": True}
    with pytest.raises(nk.errors.ParameterError, match="true or false expected"):
        nk.build(ROWS, metric=near_l1, plan="ivf:prune=maybe")
