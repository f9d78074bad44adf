"""Metric x index x codec x refinement x transform: right at full effort, or refused before any work with a legal plan named.

Every pair of two of them is tried, with the rest as usual, and a random sample of all five.

"Right" is judged against brute force in float64 on the original rows: identical neighbours (ties tolerated) where the plan keeps an
exact copy, and otherwise within the error that the codec itself makes on these rows.
"""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import NotSupportedError, ParameterError
from nearkin.plans import make_index, parse_plan
from nearkin.registry import default_registry

ROWS, QUERIES, DIM, K = 400, 30, 8, 10

INDEXES = {"flat": {}, "ivf8": {"nprobe": 8}, "hnsw8": {"ef_search": ROWS}}
CODECS = ("f32", "bits", "f16", "bf16", "int8", "int4", "pq4x4", "pq4x8", "rabitq", "pruned50")
REFINEMENTS = (None, "f32", "f16", "int8", "bits", "pq8x8")
TRANSFORMS = (None, "pca4", "opq", "rotate")
METRICS = tuple(spec.name for spec in default_registry().specs("metric"))

SAMPLED = 5000 if os.environ.get("NEARKIN_SOAK") else 300
"""Combinations of all four parts at once that are drawn at random, besides every pair of two."""

Combination = tuple[str, str, str, str | None, str | None]
"""Metric, index, codec, refinement, transform."""


def combinations() -> list[Combination]:
    parts = (METRICS, tuple(INDEXES), CODECS, REFINEMENTS, TRANSFORMS)
    usual = ("euclidean", "flat", "int8", None, None)
    found = {}
    for one, other in itertools.combinations(range(len(parts)), 2):
        for first, second in itertools.product(parts[one], parts[other]):
            chosen = list(usual)
            chosen[one], chosen[other] = first, second
            found[tuple(chosen)] = None
    everything = list(itertools.product(*parts))
    rng = np.random.default_rng(4)
    for number in rng.choice(len(everything), SAMPLED, replace=False).tolist():
        found[everything[number]] = None
    return list(found)


def data(metric: nk.Metric) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    if metric.dtype == "bits":
        rows = rng.integers(0, 256, size=(ROWS + QUERIES, DIM), dtype=np.uint8)
    else:
        centres = rng.normal(size=(6, DIM))
        rows = centres[rng.integers(0, 6, ROWS + QUERIES)] + rng.normal(scale=0.4, size=(ROWS + QUERIES, DIM))
        rows = rows.astype(np.float32)[:, : len(metric.columns) or DIM]
        if metric.refuses_rows and metric.refuses(rows).any():  # amounts and shares are not negative
            rows = np.abs(rows)
    return rows[:ROWS], rows[ROWS:]


@pytest.mark.parametrize(("metric", "index", "codec", "refinement", "transform"), combinations())
def test_a_combination_is_right_or_refused(
    metric: str, index: str, codec: str, refinement: str | None, transform: str | None
) -> None:
    registry = default_registry()
    measure = registry.make("metric", metric)
    rows, queries = data(measure)
    text = ",".join(filter(None, (transform, index, codec, f"refine-{refinement}" if refinement else None)))
    if measure.columns and any(part.startswith(("pq", "pca4", "refine-pq")) for part in text.split(",")):
        with pytest.raises((ParameterError, NotSupportedError)):  # points of the sphere are 3 columns
            nk.build(rows, metric=metric, plan=text, registry=registry)
        return
    try:
        collection = nk.build(rows, metric=metric, plan=text, registry=registry)
    except NotSupportedError as refusal:
        assert_refusal_is_right(refusal, measure, codec, refinement, index, transform)
        return
    effort = dict(INDEXES[index]) | ({"rerank": ROWS} if refinement else {})
    found = collection.search(queries, K, **effort)
    assert found.complete.all()
    true = collection.metric.distances(queries, rows)
    ranked_by = f"flat,{refinement}" if refinement else ",".join(filter(None, (transform, "flat", codec)))
    error = codec_error(parse_plan(ranked_by, registry), collection.metric, rows, queries, true)
    assert_within(found, true, error)
    # Deleted rows are never returned, and their places are taken by the next ones.
    gone = np.unique(found.positions[:, 0])
    collection.delete(gone.tolist())
    again = collection.search(queries, K, **effort)
    assert again.complete.all()
    assert not np.isin(again.ids, gone).any()
    true[:, gone] = np.inf
    assert_within(again, true, error)


def codec_error(plan: nk.Plan, metric: nk.Metric, rows: np.ndarray, queries: np.ndarray, true: np.ndarray) -> float:
    """How far distances to what a plan keeps of the rows lie from the true ones, at most; 0 if it keeps everything."""
    layout = make_index(plan, metric, metric.prepared_dim(rows.shape[1]), default_registry(), rows=ROWS).layout
    prepared, asked = metric.prepare(rows), metric.prepare_queries(queries)
    codec, transform = layout.codec, layout.transform
    if codec.lossless and transform is None:
        return 0.0
    if transform is not None:
        transform.train(prepared, space=metric.space, codec=codec)
        prepared, asked = transform.apply(prepared), transform.apply(asked)
    if codec.train_rows:
        codec.train(prepared)
    values = metric.finish(metric.space.pairwise(asked, codec.decode(codec.encode(prepared))))
    return float(np.abs(values - true).max())


def assert_within(found: nk.SearchResult, true: np.ndarray, error: float) -> None:
    """Every row returned is as near as the k-th true neighbour but for the codec's error, and reports such a distance.

    4-bit codes are scanned with look-up tables of 8 bits, and residual codes inside cells have an error of their own: a factor of
    1.5 allows for both, and for nothing else.
    """
    rounding = 2e-5 * max(1.0, float(np.abs(true[np.isfinite(true)]).max()))
    allowed = 1.5 * error + rounding
    reached = np.take_along_axis(true, found.positions, axis=1)
    assert np.isfinite(reached).all()
    assert np.abs(reached - found.distances).max() <= allowed
    kth = np.sort(true, axis=1)[:, K - 1 : K]
    assert (reached <= kth + 2 * allowed).all()
    assert (np.diff(found.distances, axis=1) >= 0).all()
    assert all(len(set(row)) == K for row in found.positions.tolist())


def assert_refusal_is_right(
    refusal: NotSupportedError,
    metric: nk.Metric,
    codec: str,
    refinement: str | None,
    index: str,
    transform: str | None,
) -> None:
    """Refused are exactly: packed bits mixed with numbers, refinements that refine nothing, transforms that change the metric,
    and pairs known to be wrong."""
    registry = default_registry()
    wrong_type = (codec == "bits") != (metric.dtype == "bits")
    mixed = refinement is not None and (refinement == "bits") != (codec == "bits")
    sizes = {"f32": 32, "f16": 16, "bf16": 16, "int8": 8, "pq8x8": 8, "int4": 4, "pq4x4": 2, "pq4x8": 4, "bits": 8}
    sizes |= {"rabitq": 9, "pruned50": 9}
    if transform == "pca4":
        sizes |= {"f32": 16, "f16": 8, "bf16": 8, "int8": 4, "int4": 2, "rabitq": 9, "pruned50": 7}
    full = {"f32": 32, "f16": 16, "int8": 8, "pq8x8": 8, "bits": 8}
    kept_whole = codec in ("f32", "bits") and transform is None
    pointless = refinement is not None and (kept_whole or full[refinement] <= sizes[codec])
    label = metric.space.label
    turned = transform is not None and label not in ("l2", "inner-product")
    native_only = label.startswith("faiss:") and codec not in ("f32", "bits") and index != "flat"
    graph_of_pq = index == "hnsw8" and codec.startswith("pq") and label == "inner-product"
    no_graph = index == "hnsw8" and codec in ("rabitq", "pruned50")
    numpy_only = label == "pairwise" and index != "flat"  # an installed plugin's
    cells = index == "ivf8" and codec in ("f32", "bits")
    compiled = label == "kernel" and index != "flat" and not cells  # the example plugin's, for one
    signs = codec == "rabitq" and label not in ("l2", "inner-product")
    reasons = (wrong_type, signs, mixed, pointless, turned, native_only, graph_of_pq, no_graph, numpy_only, compiled)
    assert any(reasons), refusal
    assert refusal.hint is not None
    nearest = refusal.hint.removeprefix("nearest legal plan: ")
    make_index(parse_plan(nearest, registry), metric, DIM, registry, rows=ROWS)


def test_both_verdicts_occur_for_every_index() -> None:
    registry = default_registry()
    for index in INDEXES:
        verdicts = set()
        for metric, codec in itertools.product(METRICS, CODECS):
            plan = parse_plan(f"{index},{codec}", registry)
            try:
                make_index(plan, registry.make("metric", metric), DIM, registry, rows=ROWS)
                verdicts.add("legal")
            except NotSupportedError:
                verdicts.add("refused")
        assert verdicts == {"legal", "refused"}
