"""Conventions of the built-in metrics at the edges, their options, their ways to compute, and what happens without numba."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nearkin as nk
from nearkin.axioms import counterexamples
from nearkin.errors import (
    MissingDependencyError,
    NotSupportedError,
    NotTrainedError,
    ParameterError,
    VectorError,
)
from nearkin.metrics import Metric
from nearkin.registry import default_registry
from nearkin_plugins.compiled_flat import CompiledFlatIndex
from nearkin_plugins.compiled_ivf import CompiledIVFIndex
from nearkin_plugins.distances.affine import StandardizedEuclidean, WeightedEuclidean
from nearkin_plugins.distances.lp import Minkowski
from nearkin_plugins.distances.mixed import Gower
from nearkin_plugins.distances.sphere import Haversine
from nearkin_plugins.faiss_flat import FaissFlatIndex
from nearkin_plugins.faiss_ivf import IVFIndex

COMPILED = ("canberra", "bray-curtis", "jensen-shannon", "gower", "minkowski:p=3", "jaccard", "dice")


def made(text: str, fitted_on: np.ndarray | None = None) -> Metric:
    metric: Metric = default_registry().make("metric", text)
    if fitted_on is not None:
        metric.fit(fitted_on)
    return metric


def apart(text: str, a: list[float], b: list[float]) -> float:
    rows = np.array([a, b], dtype=np.uint8 if made(text).dtype == "bits" else np.float32)
    metric = made(text, rows)
    value = float(metric.distances(rows[:1], rows[1:])[0, 0])
    kernel = metric.space.kernel
    if kernel is not None:
        compiled = kernel.pairwise(metric.prepare(rows[:1]), metric.prepare(rows[1:]))
        assert float(compiled[0, 0]) == pytest.approx(value, rel=1e-5, abs=1e-7)
    return value


def shares(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(dim, 0.5), n).astype(np.float32) + np.float32(1e-4)


def rows_for(metric: Metric, n: int = 300) -> np.ndarray:
    if metric.dtype == "bits":
        return np.random.default_rng(0).integers(0, 256, (n, 8), dtype=np.uint8)
    return shares(n)


# ---- the edges -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "a", "b", "distance"),
    [
        ("canberra", [0, 0, 1], [0, 0, 3], 0.5),
        ("canberra", [0, 0], [0, 0], 0),
        ("canberra", [1, -1], [-1, 1], 2),
        ("canberra", [1e-20, 0], [3e-20, 0], 0.5),
        ("bray-curtis", [0, 0], [0, 0], 0),
        ("bray-curtis", [0, 0], [3, 0], 1),
        ("bray-curtis", [1e-30, 0], [3e-30, 0], 0.5),
        ("jensen-shannon", [1, 1], [50, 50], 0),
        ("jensen-shannon", [0, 7], [2, 0], np.sqrt(np.log(2))),
        ("hellinger", [1, 1], [50, 50], 0),
        ("hellinger", [0, 7], [2, 0], 1),
        ("jaccard", [0], [0], 0),
        ("jaccard", [0], [1], 1),
        ("dice", [0], [0], 0),
        ("dice", [3], [1], 1 / 3),
        ("correlation", [1, 2, 3], [-10, -20, -30], 2),
        ("angular", [1, 0], [-3, 0], np.pi),
        ("minkowski:p=3", [0, 0], [0, 0], 0),
        ("minkowski:p=3", [0, 0], [1e17, 0], 1e17),
        ("minkowski:p=7.5", [0, 0], [1e-20, 0], 1e-20),
        ("minkowski:p=1000", [0, 0], [3, 2], 3),
        ("gower", [1, 5], [1, 5], 0),
        ("gower", [1, 5], [3, 5], 0.5),
        ("gower:categorical=0", [1, 5], [2, 6], 1),
        ("haversine", [90, 0], [-90, 0], 6371.0088 * np.pi),
        ("haversine", [0, -180], [0, 180], 0),
        ("haversine", [0, 350], [0, -10], 0),
        ("haversine:radius=1", [0, 0], [0, 90], np.pi / 2),
    ],
)
def test_values_by_hand(text: str, a: list[float], b: list[float], distance: float) -> None:
    assert apart(text, a, b) == pytest.approx(distance, rel=1e-6, abs=1e-6 if distance == 0 else 0)
    assert apart(text, b, a) == pytest.approx(distance, rel=1e-6, abs=1e-6 if distance == 0 else 0)


@pytest.mark.parametrize(
    ("text", "good", "bad", "reason"),
    [
        ("bray-curtis", [1, 2], [1, -2], "negative values"),
        ("jensen-shannon", [1, 2], [1, -2], "at least 0"),
        ("jensen-shannon", [1, 2], [0, 0], "not all 0"),
        ("hellinger", [1, 2], [1, -2], "at least 0"),
        ("hellinger", [1, 2], [0, 0], "not all 0"),
        ("correlation", [1, 2], [2, 2], "rows of one value"),
        ("angular", [1, 2], [0, 0], "length zero"),
        ("haversine", [1, 2], [91, 2], "latitudes from -90 to 90"),
        ("haversine", [1, 2], [2, 361], "longitudes from -180 to 360"),
        ("haversine", [1, 2], [2, -181], "longitudes from -180 to 360"),
        ("weighted-euclidean:weights=1e6/1", [1, 2], [1e17, 0], "with their weights"),
        ("standardized-euclidean", [1, 2], [float("nan"), 2], "NaN"),
        ("gower", [1, 2], [float("nan"), 2], "NaN"),
    ],
)
def test_rows_that_have_no_distance_are_refused_with_the_reason(
    text: str, good: list[float], bad: list[float], reason: str
) -> None:
    rows = np.float32([good, [3, 5], bad])
    with pytest.raises(VectorError, match=reason) as caught:
        nk.build(rows, metric=text)
    assert "row 2" in str(caught.value)
    mine = nk.build(rows, metric=text, on_bad="skip")
    assert mine.skipped.tolist() == [2]
    with pytest.raises(VectorError, match=reason):
        mine.search([bad], 1)


@pytest.mark.parametrize("text", ["haversine", "great-circle"])
def test_haversine_takes_two_columns(text: str) -> None:
    with pytest.raises(VectorError, match="vectors have 3 columns, metric 'haversine' takes 2: latitude and longitude"):
        nk.build(np.ones((4, 3)), metric=text)
    with pytest.raises(NotTrainedError):
        Haversine().distances(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32))
    for radius in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ParameterError, match="a positive number expected"):
            Haversine(radius)


def test_haversine_finds_places_in_every_index() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.uniform(-60, 70, 2000), rng.uniform(-180, 180, 2000)], axis=1).astype(np.float32)
    true = made("haversine", rows).distances(rows[:20], rows)
    for plan, effort in (("flat", {}), ("ivf16", {"nprobe": 16}), ("hnsw16", {"ef_search": 400})):
        found = nk.build(rows, metric="haversine", plan=plan).search(rows[:20], 5, **effort)
        reached = np.take_along_axis(true, found.positions, axis=1)
        np.testing.assert_allclose(reached, np.sort(true, axis=1)[:, :5], atol=0.002)
        np.testing.assert_allclose(found.distances, reached, rtol=1e-6, atol=0.002)
    mine = nk.build(rows, metric="haversine")
    for query, hits in enumerate(mine.range_search(rows[:20], 500.0)):
        assert {hit.id for hit in hits} == set(np.flatnonzero(true[query].astype(np.float32) <= 500.0).tolist())
    assert len(mine.range_search(rows[:1], 30_000.0)[0]) == len(rows)


def test_bray_curtis_and_dice_break_the_triangle_inequality_and_do_not_declare_it() -> None:
    rows = np.float32([[1, 0], [0, 1], [1, 1]])
    assert counterexamples(made("bray-curtis"), rows, axioms=["triangle"])
    assert counterexamples(made("dice"), np.uint8([[1], [2], [3]]), axioms=["triangle"])
    for text in ("bray-curtis", "dice", "correlation"):
        assert "triangle" not in made(text).axioms
    for text in (
        "canberra",
        "jaccard",
        "jensen-shannon",
        "hellinger",
        "angular",
        "gower",
        "haversine",
        "minkowski:p=1",
    ):
        assert "triangle" in made(text).axioms


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 0, -1, 1e300, 1000.5, float("nan"), float("inf")])
def test_minkowski_refuses_what_is_no_metric(p: float) -> None:
    with pytest.raises(ParameterError, match="a number from 1 to 1000 expected"):
        Minkowski(p)


def test_minkowski_is_euclidean_and_manhattan_at_2_and_1() -> None:
    assert made("minkowski").space.label == "l2"
    assert made("minkowski:p=1").space.label == made("manhattan").space.label == "faiss:METRIC_L1"
    assert made("minkowski:p=3").space.label == "kernel"
    mine = nk.build(shares(200), metric=Minkowski(1), plan="hnsw")
    expected = made("manhattan").distances(shares(200)[:3], shares(200))
    np.testing.assert_allclose(
        mine.search(shares(200)[:3], 5).distances, np.sort(expected)[:, :5], rtol=1e-5, atol=1e-7
    )


def test_weights_come_as_text_as_a_file_and_as_numbers(tmp_path: Path) -> None:
    rows = shares(50, 3)
    np.save(tmp_path / "w.npy", np.array([1, 2, 0.5]))
    (tmp_path / "lines.txt").write_text("1\n2\n0.5\n", encoding="utf-8")
    (tmp_path / "commas.csv").write_text("1, 2, 0.5\n", encoding="utf-8")
    texts = ["1/2/0.5", *(str(tmp_path / name) for name in ("w.npy", "lines.txt", "commas.csv"))]
    expected = np.sqrt((np.square(rows[:, None].astype(float) - rows[None]) * [1, 2, 0.5]).sum(axis=2))
    for metric in (
        *(made(f"weighted-euclidean:weights={text}") for text in texts),
        WeightedEuclidean([1, 2, 0.5]),
        WeightedEuclidean(np.float32([1, 2, 0.5])),
    ):
        np.testing.assert_allclose(metric.distances(rows, rows), expected, rtol=1e-5, atol=1e-6)


def test_weights_are_kept_with_the_collection(tmp_path: Path) -> None:
    rows = shares(50, 3)
    weights = tmp_path / "weights.txt"
    weights.write_text("1 2 0.5", encoding="utf-8")
    for number, metric in enumerate((f"weighted-euclidean:weights={weights}", WeightedEuclidean([1, 2, 0.5]))):
        built = nk.build(rows, metric=metric)
        expected = built.search(rows[:3], 4)
        built.save(tmp_path / str(number))
        if weights.exists():
            weights.unlink()
        with nk.open(tmp_path / str(number)) as opened:
            found = opened.search(rows[:3], 4)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1/-2/1", "weight of column 1 is -2"),
        ("0/0/0", "all weights are 0"),
        ("nan/1/1", "NaN or infinite"),
        ("1/2", "vectors have 3 columns, metric 'weighted-euclidean' was given 2 weights"),
        ("nowhere.txt", "neither numbers nor a file"),
        ("1//2", "neither numbers nor a file"),
    ],
)
def test_weights_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises((ParameterError, VectorError), match=message):
        nk.build(shares(20, 3), metric=f"weighted-euclidean:weights={text}")


def test_files_and_objects_that_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one two", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01")
    np.save(tmp_path / "words.npy", np.array([{"a": 1}], dtype=object))
    for name in ("words.txt", "empty.txt", "cut.npy", "words.npy"):
        with pytest.raises(ParameterError, match="does not hold numbers"):
            nk.build(shares(20, 3), metric=WeightedEuclidean(str(tmp_path / name)))
    for wrong in ([[1, 2]], [], ["a"], 3):
        with pytest.raises(ParameterError, match="weights"):
            WeightedEuclidean(wrong)  # type: ignore[arg-type]


def test_standardized_columns_that_do_not_vary_stay_in_their_unit() -> None:
    rows = np.float32([[0, 5, 0.1], [2, 5, 0.1]])
    metric = StandardizedEuclidean()
    metric.fit(rows)
    found = metric.distances(rows[:1], np.float32([[2, 5, 0.1], [0, 8, 0.1]]))
    np.testing.assert_allclose(found, [[np.sqrt(2), 3]], rtol=1e-6)
    with pytest.raises(VectorError, match="at least 2 rows to fit, got 1"):
        StandardizedEuclidean().fit(rows[:1])
    with pytest.raises(VectorError, match="2 columns, metric 'standardized-euclidean' was fitted on 3"):
        metric.prepare(rows[:, :2])


@pytest.mark.parametrize("plan", ["flat,int8", "flat,f16", "flat,pruned50", "flat,int8,refine-f32"])
def test_gower_with_categories_refuses_codecs_that_change_them(plan: str) -> None:
    """A category that decodes to 2.003 is the same as no other."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=(300, 2)), rng.integers(0, 9, (300, 2))]).astype(np.float32)
    with pytest.raises(NotSupportedError, match="whether values are equal") as error:
        nk.build(rows, metric="gower:categorical=2/3", plan=plan)
    assert error.value.hint is not None
    nk.build(rows, metric="gower:categorical=2/3", plan=error.value.hint.removeprefix("nearest legal plan: "))
    if "refine" not in plan:
        assert len(nk.build(rows, metric="gower", plan=plan)) == 300


def test_gower_of_mixed_rows() -> None:
    rows = np.float32([[20, 0, 1], [30, 0, 2], [60, 2, 1]])
    metric = Gower([1, 2])
    metric.fit(rows)
    np.testing.assert_allclose(metric.distances(rows[:1], rows), [[0, (0.25 + 0 + 1) / 3, (1 + 1 + 0) / 3]], rtol=1e-6)
    beyond = metric.distances(np.float32([[-1000, 0, 1]]), rows[:1])
    assert beyond.tolist() == [[pytest.approx(1 / 3)]]
    with pytest.raises(NotTrainedError):
        Gower().distances(rows, rows)
    with pytest.raises(ParameterError, match="names column 5, and the rows have columns 0 to 2"):
        nk.build(rows, metric="gower:categorical=1/5")
    for wrong in ("1/-2", "0.5", "x"):
        with pytest.raises(ParameterError, match="categorical"):
            made(f"gower:categorical={wrong}")


# ---- ways to compute -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["manhattan", "chebyshev"])
def test_lp_metrics_are_scanned_by_their_kernel_over_faisss_rows(text: str) -> None:
    rows, queries = shares(3000), shares(40, seed=1)
    mine = nk.build(rows, metric=text)
    index = mine._index
    assert isinstance(index, FaissFlatIndex)
    assert index._kernel is not None
    true = mine.metric.distances(queries, rows)
    for threads in (1, 2):
        found = mine.search(queries, 10, threads=threads)
        np.testing.assert_allclose(found.distances, np.sort(true, axis=1)[:, :10], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(
            np.take_along_axis(true, found.positions, axis=1), found.distances, rtol=1e-5, atol=1e-7
        )
    gone = np.unique(found.positions[:, 0])
    mine.delete(gone.tolist())
    mine.add(rows[:5] + 1)
    assert not np.isin(mine.search(queries, 10).ids, gone).any()
    limit = float(np.quantile(true, 0.01))
    kept = np.setdiff1d(np.arange(len(rows)), gone)
    for query, hits in enumerate(mine.range_search(queries, limit)):
        assert {hit.id for hit in hits} == set(kept[true[query, kept].astype(np.float32) <= np.float32(limit)].tolist())


@pytest.mark.parametrize("text", ["manhattan", "chebyshev"])
def test_ivf_of_lp_metrics_is_compiled_where_that_is_asked_for(text: str) -> None:
    rows, queries = shares(1000), shares(20, seed=1)
    true = np.sort(made(text).distances(queries, rows), axis=1)[:, :10]
    for plan, kind in (
        ("ivf9", IVFIndex),
        ("ivf9:centroids=median", CompiledIVFIndex),
        ("ivf9:centroids=medoid", CompiledIVFIndex),
        ("ivf9:prune=true", CompiledIVFIndex),
    ):
        mine = nk.build(rows, metric=text, plan=plan)
        assert isinstance(mine._index, kind)
        assert mine.plan == plan
        np.testing.assert_allclose(mine.search(queries, 10, nprobe=9).distances, true, rtol=1e-5, atol=1e-7)


@pytest.fixture
def no_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "numba" else found(name, *more)
    )


@pytest.mark.parametrize("text", [*COMPILED, "manhattan", "chebyshev"])
def test_without_numba_everything_exact_works(text: str, no_numba: None) -> None:
    rows = rows_for(made(text))
    mine = nk.build(rows, metric=text)
    assert not isinstance(mine._index, CompiledFlatIndex)
    true = np.sort(mine.metric.distances(rows[:9], rows), axis=1)[:, :5]
    np.testing.assert_allclose(mine.search(rows[:9], 5).distances, true, rtol=1e-5, atol=1e-6)
    near = nk.build(rows, metric=text, plan="surrogate:space=l2,flat", search={"rerank": len(rows)})
    np.testing.assert_allclose(near.search(rows[:9], 5).distances, true, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("text", COMPILED)
def test_without_numba_ivf_says_what_to_install(text: str, no_numba: None) -> None:
    with pytest.raises(MissingDependencyError, match=r"needs the package numba; pip install .nearkin\[kernels\]"):
        nk.build(rows_for(made(text)), metric=text, plan="ivf4")


def test_without_numba_lp_metrics_have_faisss_cells(no_numba: None) -> None:
    assert nk.build(shares(300), metric="manhattan", plan="ivf4").search(shares(300)[:1], 1).ids.tolist() == [[0]]
    for option in ("prune=true", "centroids=median"):
        with pytest.raises(MissingDependencyError, match="numba"):
            nk.build(shares(300), metric="manhattan", plan=f"ivf4:{option}")
    with pytest.raises(NotSupportedError, match="needs a compiled metric"):
        nk.build(shares(300), metric="euclidean", plan="ivf4:prune=true")


@pytest.mark.parametrize("text", ["manhattan", "canberra", "jaccard", "jensen-shannon"])
@pytest.mark.parametrize("plan", ["flat", "surrogate:space=l2,flat"])
def test_folders_open_alike_with_numba_and_without(
    text: str, plan: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_for(made(text))
    built = nk.build(rows, metric=text, plan=plan)
    expected = built.search(rows[:9], 5)
    built.save(tmp_path / "with")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "numba" else found(name, *more)
    )
    with nk.open(tmp_path / "with") as opened:
        assert opened.problems == []
        np.testing.assert_allclose(opened.search(rows[:9], 5).distances, expected.distances, rtol=1e-5, atol=1e-6)
    nk.build(rows, metric=text, plan=plan).save(tmp_path / "without")
    monkeypatch.undo()
    with nk.open(tmp_path / "without") as opened:
        assert opened.problems == []
        np.testing.assert_allclose(opened.search(rows[:9], 5).distances, expected.distances, rtol=1e-5, atol=1e-6)


_WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
import nearkin as nk
from nearkin.errors import MissingDependencyError
from nearkin.metrics import Metric

class OnlyAKernel(Metric):
    name = "only-a-kernel"
    @staticmethod
    def kernel(a, b):
        return abs(a[0] - b[0])

rows = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
assert nk.build(rows, plan="flat,pruned50").search(rows[:9], 1).ids.ravel().tolist() == list(range(9))
try:
    nk.build(rows, metric=OnlyAKernel()).search(rows[:1], 1)
except MissingDependencyError as error:
    print(error)
"""


def test_where_numba_cannot_be_imported_pruned_works_and_a_kernel_alone_says_what_to_install(tmp_path) -> None:
    script = tmp_path / "without_numba.py"
    script.write_text(_WITHOUT_NUMBA)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert 'needs the package numba; pip install "nearkin[kernels]"' in done.stdout, done.stderr


def test_categories_are_compared_on_rows_that_no_codec_has_rounded() -> None:
    rows = np.float32([[kind, size] for kind in range(3) for size in range(10)])
    for plan in ("flat,int8", "flat,f16", "flat,pruned50", "flat,int8,refine-f32"):
        with pytest.raises(
            NotSupportedError, match=r"asks whether values are equal, and .* nearest legal plan: surrogate,"
        ):
            nk.build(rows, metric="gower:categorical=0", plan=plan)
        nk.build(rows, metric="gower", plan=plan)  # numbers that are rounded are near still
    found = nk.build(rows, metric=Gower([0])).search(rows, 9)
    assert (found.ids // 10 == np.arange(30)[:, None] // 10).all()


def test_similarity_of_shares_with_nothing_in_common_is_0() -> None:
    found = nk.build(np.float32([[1, 0]]), metric="jensen-shannon").search(np.float32([[0, 5]]), 2)
    assert found.similarities.tolist() == [[0, -np.inf]]
