"""Bytes by component: predicted beside allocated, what a collection keeps besides, and the process as a whole."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import nearkin as nk
from nearkin import resident_memory
from nearkin.mapped_pages import is_mapped
from nearkin.memory_accounting import kept_bytes, memory_of, prediction_error
from nearkin.plans import legal_pairs, make_index, parse_plan
from nearkin.registry import default_registry
from nearkin.resident_memory import peak_bytes, resident_bytes, watch_peak

DIM = 8
ROWS = 10_000


def uneven(bits):
    """Rows around centres of which some have a hundred times as many as others."""
    rng = np.random.default_rng(0)
    shares = rng.pareto(1.0, 100) + 0.05
    drawn = rng.normal(size=(100, 8 * DIM if bits else DIM))[rng.choice(100, ROWS, p=shares / shares.sum())]
    drawn = drawn + rng.normal(scale=0.5, size=drawn.shape)
    return np.packbits(drawn > 0, axis=1) if bits else drawn.astype(np.float32)


def plans():
    registry = default_registry()
    found = [
        ("euclidean", plan) for plan in ("ivf,pq4x4,refine-f16", "opq,ivf,pq", "hnsw8,pq4x4,refine-f32", "ivf16,pq2x8")
    ]
    for metric in ("euclidean", "inner-product", "hamming"):
        for index, codec in legal_pairs(registry.make("metric", metric), DIM, registry):
            name = {"hnsw": "hnsw8:ef_construction=10"}.get(index.name, index.name)
            if index.name != "faiss" and not (index.inner and metric == "inner-product"):  # the same as under euclidean
                found.append(
                    (metric, f"{name},{index.inner or codec.name}" if index.inner or not codec.lossless else name)
                )
    return list(dict.fromkeys(found))


@pytest.mark.parametrize(("metric", "plan"), plans())
def test_bytes_predicted_are_within_5_per_cent_of_those_allocated(metric, plan):
    registry = default_registry()
    made = registry.make("metric", metric)
    rows = uneven(made.dtype == "bits")
    index = make_index(parse_plan(plan, registry), made, rows.shape[1], registry, rows=ROWS)
    predicted = index.cost(ROWS)
    index.train(rows)
    index.add(rows)
    allocated = index.allocated()
    assert set(predicted) == set(allocated) or index.wrapped is not None  # which space is chosen is not known before
    assert abs(prediction_error(predicted, allocated)) <= 0.05


def test_an_error_of_the_prediction_by_hand():
    assert prediction_error({"codes": 110}, {"codes": 90, "ids": 10}) == pytest.approx(0.1)
    assert prediction_error({"codes": 110}, {}) is None


# ---- kept besides --------------------------------------------------------------------------------------------------------


def test_what_is_kept_in_memory_by_hand():
    rows = np.zeros((100, 4), dtype=np.float32)
    assert nk.build(rows).kept_bytes() == {"vectors": 1600, "tombstones": 100}
    numbered = nk.build(rows, ids=range(7, 107))
    assert numbered.kept_bytes()["id table"] == 800
    numbered.delete([7])
    assert numbered.kept_bytes()["id table"] > 800 + 99 * 56  # and now the way back
    named = nk.build(rows, ids=[f"row-{each:03}" for each in range(100)])
    assert named.kept_bytes()["id table"] == 100 * (8 + sys.getsizeof("row-000"))
    described = nk.build(rows, metadata=[{"colour": "red", "sizes": [1, 2]}] * 100)
    assert described.kept_bytes()["metadata"] > 100 * (sys.getsizeof({}) + sys.getsizeof([1, 2]))
    assert "vectors" not in nk.build(rows, keep_vectors=False).kept_bytes()


def test_rows_of_a_folder_are_mapped(tmp_path):
    with nk.build(np.eye(4), metadata=[{"a": 1}] * 4) as mine:
        mine.save(tmp_path / "mine")
    with nk.open(tmp_path / "mine") as opened:
        assert opened.kept_bytes() == {"vectors mapped": 64, "tombstones": 4}
        assert set(opened.disk_bytes()) == {"vectors", "rows", "index"}
        assert memory_of(opened)["float32"] == 64
    with nk.build(np.eye(4), keep_vectors=False) as mine:
        mine.save(tmp_path / "other")
    with nk.open(tmp_path / "other") as opened:
        assert opened.kept_bytes() == {"tombstones": 4}


def test_a_memory_mapped_file_is_told_from_memory(tmp_path):
    np.save(tmp_path / "v.npy", np.eye(3, dtype=np.float32))
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    assert is_mapped(mapped)
    assert not is_mapped(np.array(mapped))
    assert kept_bytes(nk.build(mapped).rows)["vectors mapped"] == 36


# ---- the process ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_was_taken_and_given_back_is_in_the_peak_only():
    size = 64 << 20
    with watch_peak() as peak:
        before = resident_bytes()
        block = np.ones(size, dtype=np.uint8)
        assert resident_bytes() - before > 0.9 * size
        del block
    assert peak.bytes - before > 0.9 * size
    assert resident_bytes() - before < 0.5 * size
    if not peak.since_start:
        with watch_peak() as quiet:
            pass
        assert quiet.bytes < before + 0.5 * size


def test_where_nothing_is_known_it_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(resident_memory, "STATUS", tmp_path / "none")
    monkeypatch.setattr(resident_memory, "CLEAR_REFS", tmp_path / "no" / "folder")
    assert resident_bytes() is None
    with watch_peak() as peak:
        pass
    assert peak.since_start
    assert peak.bytes is None or peak.bytes > 1 << 20
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_bytes() is None
