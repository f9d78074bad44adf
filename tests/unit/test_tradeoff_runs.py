"""Measured trade-offs against brute force; errors of strangers, time limits, ties, and what comes back of a codec."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

import nearkin as nk
from nearkin.components import Part
from nearkin.errors import ParameterError, VectorError
from nearkin.hooks import CodecSpec, hookimpl
from nearkin.plans import make_codec
from nearkin.reconstruction import reconstruction_error
from nearkin.registry import Registry, default_registry
from nearkin.setting_curves import Question, settings_of
from nearkin.tradeoff_runs import measure_tradeoffs


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (np.repeat(rng.normal(size=(40, 8)), 10, axis=0) + 0.4 * rng.normal(size=(400, 8))).astype(np.float32)


@pytest.fixture(scope="module")
def found(rows):
    return measure_tradeoffs(rows, metric="cosine", queries_held_out=40, seconds=2.5, threads=1)


def test_recall_is_that_of_brute_force(rows, found):
    asked = np.random.default_rng(5).normal(size=(30, 8)).astype(np.float32)
    measured = measure_tradeoffs(rows, queries=asked, k=5, seconds=0.3, threads=1)
    truth = np.argsort(np.square(asked[:, None] - rows).sum(axis=2), axis=1)[:, :5]
    for row in measured.measured[:4]:
        for setting in row.settings:
            if row.index == "flat":
                answers = nk.build(rows, plan=row.plan, threads=1, seed=0).search(asked, 5, **setting.search).positions
                shares = [len(set(a) & set(t)) / 5 for a, t in zip(answers.tolist(), truth.tolist(), strict=True)]
                assert setting.recall.mean == pytest.approx(np.mean(shares))
                assert setting.recall.queries == 30


def test_every_row_has_all_of_it(found):
    assert found.exact.plan == "flat"
    assert found.exact.settings[0].recall.mean == 1
    assert (found.count, found.queries, found.k, found.held_out, found.float32_row) == (360, 40, 10, True, 32)
    assert not found.failed
    for row in found.measured:
        assert row.row_bytes > 0
        assert row.build_seconds >= 0
        assert row.settings
        assert sum(each.usual for each in row.settings) == 1
        assert row.plugin == "indexes"
        assert row.reconstruction_error is not None
    assert found.histogram is not None
    assert sum(found.histogram.nearest) == 40
    assert found.histogram.contrast > 1
    assert found.drift > 0


def test_what_there_was_no_time_for_is_named(rows):
    found = measure_tradeoffs(rows, queries_held_out=20, seconds=1e-6, threads=1)
    assert [row.plan for row in found.rows] == ["flat"]
    assert found.drift is None
    assert {"ivf", "flat,int8", "ivf,pq,refine-f16"} <= {each.plan for each in found.left_out}
    assert any("were left" in each.reason for each in found.left_out)


class Breaks:
    """A codec that raises something of its own, at the worst moment."""

    @hookimpl
    def nearkin_codecs(self) -> Iterable[CodecSpec]:
        class Breaking(type(make_codec(Part("f16"), 8, default_registry()))):
            name = "breaking"

            @property
            def native(self):
                return None

            def _encode(self, vectors):
                raise SystemExit("gone")

        return [CodecSpec(name="a-breaking", summary="Breaks.", make=Breaking)]


def test_a_plan_that_fails_is_a_row_with_its_error(rows):
    registry = Registry()
    registry.load_entry_points(disabled=["codecs", "transforms"])  # few plans, so that all are reached
    registry.register(Breaks(), "breaks")
    found = measure_tradeoffs(rows, queries_held_out=20, seconds=60, threads=1, registry=registry)
    assert {row.asked: row.error for row in found.failed} == {
        "flat,a-breaking": "SystemExit: gone",
        "ivf,a-breaking": "SystemExit: gone",
    }
    assert {row.asked for row in found.measured} == {"flat", "ivf", "hnsw"}


def test_ties_count_as_right():
    rows = np.repeat(np.eye(8, dtype=np.float32), 30, axis=0)
    found = measure_tradeoffs(rows, queries=np.eye(8), seconds=0.2, threads=1)
    assert found.ties
    assert found.exact.settings[0].recall.mean == 1


def test_packed_bits():
    rows = np.random.default_rng(0).integers(0, 256, size=(300, 8), dtype=np.uint8)
    found = measure_tradeoffs(rows, metric="hamming", queries_held_out=20, seconds=0.05, threads=1)
    assert found.float32_row == 8
    assert found.exact.reconstruction_error is None
    assert found.exact.compression == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"recall": 1.0}, "recall is 1, a number between 0 and 1"),
        ({"seconds": 0}, "seconds is 0, a number above 0"),
        ({"k": 0}, "k is 0"),
        ({"queries_held_out": 0}, "held out is 0"),
        ({"metric": "cosin"}, "cosine"),
    ],
)
def test_wrong_input_is_refused(rows, wrong, message):
    with pytest.raises(nk.NearkinError, match=message):
        measure_tradeoffs(rows, **wrong)


def test_queries_of_another_width_and_bad_rows_are_refused(rows):
    with pytest.raises(VectorError, match="columns"):
        measure_tradeoffs(rows, queries=rows[:, :3])
    with pytest.raises(VectorError, match="no queries"):
        measure_tradeoffs(rows, queries=rows[:0])
    with pytest.raises(VectorError):
        measure_tradeoffs(np.full((50, 4), np.nan))
    with pytest.raises(ParameterError):
        measure_tradeoffs(rows, seconds="long")


def test_settings_lie_along_the_usual_knob(rows):
    truth = nk.exact_neighbours(rows, rows[:30], k=6)
    question = Question.of(rows[:30], 5, truth)
    mine = nk.build(rows, plan="ivf20,pq4x4,refine-f16", threads=1)
    made = settings_of(mine, question, 60.0, lambda: 1.0)
    usual = next(each for each in made if each.usual)
    assert usual.search == mine.search_defaults
    probes = [each.search["nprobe"] for each in made]
    assert probes == sorted(probes)
    assert len(made) >= 3
    assert len(settings_of(mine, question, 1.0, lambda: 0.0)) == 1
    assert len(settings_of(nk.build(rows, threads=1), question, 1.0, lambda: 1.0)) == 1


# ---- reconstruction --------------------------------------------------------------------------------------------------


def test_reconstruction_of_float16_by_hand():
    rows = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    registry = default_registry()
    tested = rows[-50:].astype(np.float64)
    off = np.square(tested - tested.astype(np.float16)).sum(axis=1)
    spread = np.square(tested - tested.mean(axis=0)).sum(axis=1)
    metric = registry.make("metric", "sqeuclidean")
    assert reconstruction_error("flat,f16", metric, rows, registry, tested=50) == pytest.approx(np.mean(off / spread))


def test_a_projection_loses_what_is_not_in_its_directions():
    """Eight columns of equal spread, of which four are kept: half of a row is lost; a rotation loses nothing."""
    rows = np.random.default_rng(0).normal(size=(4000, 8)).astype(np.float32) + 3
    registry = default_registry()
    metric = registry.make("metric", "sqeuclidean")
    assert reconstruction_error("pca4,flat", metric, rows, registry, tested=900) == pytest.approx(0.5, abs=0.04)
    assert reconstruction_error("rotate,flat", metric, rows, registry, tested=900) == pytest.approx(0, abs=1e-9)


def test_rows_that_are_all_the_same_have_no_error():
    registry = default_registry()
    metric = registry.make("metric", "sqeuclidean")
    assert reconstruction_error("flat,f16", metric, np.ones((50, 4), np.float32), registry) is None
