"""Checks of the metric contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise as neighbours

import numpy as np

from nearkin.axioms import ROUNDING, counterexamples
from nearkin.codecs import Float32, PackedBits
from nearkin.errors import NotTrainedError
from nearkin.hooks import IndexSpec
from nearkin.indexes import Index, Layout
from nearkin.metrics import Axiom, Metric
from nearkin.testing.contract import (
    Checks,
    NotApplicable,
    Subject,
    expect,
    expect_error,
    expect_json,
    fail,
    read_only,
    written,
)
from nearkin.testing.index_subjects import full_effort, made_index
from nearkin.testing.samples import DIM, QUERIES, ROWS, accepted_rows, ordinary_rows, row_families
from nearkin.vectors import as_vectors, show_row

METRIC_CHECKS = Checks("metric")


class Bench:
    """A fitted metric and rows that it takes: each time copies, so that changing them spoils no other check."""

    def __init__(self, metric: Metric, rows: np.ndarray, queries: np.ndarray) -> None:
        self.metric = metric
        self._rows = rows
        self._queries = queries

    @property
    def rows(self) -> np.ndarray:
        """(n, dim) rows that the metric was fitted on, a copy."""
        return self._rows.copy()

    @property
    def queries(self) -> np.ndarray:
        """(nq, dim) others, a copy."""
        return self._queries.copy()

    @property
    def families(self) -> Iterator[tuple[str, np.ndarray]]:
        """Small sets of special rows, without those that the metric refuses."""
        for name, rows in row_families(self.rows).items():
            kept = rows[~self.metric.refuses(rows)]
            if len(kept) > 1:
                yield name, np.ascontiguousarray(kept)


def bench_of(subject: Subject) -> Bench:
    """The metric of a subject, fitted, shared by the checks that do not change it."""

    def make() -> Bench:
        metric: Metric = subject.make()
        rows = _rows(subject, metric)
        metric.fit(rows.copy())
        return Bench(metric, rows, rows[::3][:QUERIES] if subject.rows is not None else _queries(subject, metric))

    return subject.once("bench", make)


def _rows(subject: Subject, metric: Metric) -> np.ndarray:
    if subject.rows is not None:
        return as_vectors(subject.rows, dtype=metric.dtype)[:ROWS]
    rows = _accepted(subject, metric, "rows", ROWS)
    expect(
        len(rows) >= ROWS // 4,
        f"it refuses {ROWS - len(rows)} of {ROWS} ordinary rows of {_width(metric)} columns; pass rows= that it is made for",
    )
    return rows


def _queries(subject: Subject, metric: Metric) -> np.ndarray:
    return _accepted(subject, metric, "queries", 4 * QUERIES)[:QUERIES]


def _width(metric: Metric) -> int:
    return len(metric.columns) or DIM


def _accepted(subject: Subject, metric: Metric, purpose: str, n: int) -> np.ndarray:
    try:
        return accepted_rows(subject.rng(purpose), n, _width(metric), metric.dtype, metric.refuses)
    except NotTrainedError:  # it tells good rows from bad ones only once it is fitted
        return ordinary_rows(subject.rng(purpose), n, _width(metric), metric.dtype)


def scale_of(distances: np.ndarray) -> float:
    """The largest finite magnitude; 1 if there is none."""
    finite = np.abs(distances[np.isfinite(distances)])
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def _expect_close(got: np.ndarray, wanted: np.ndarray, what: str, share: float = ROUNDING) -> None:
    expect(got.shape == wanted.shape, f"{what}: shape {got.shape} instead of {wanted.shape}")
    apart = np.abs(got - wanted)
    if not (apart <= share * scale_of(wanted)).all():
        place = np.unravel_index(int(np.nanargmax(np.where(np.isnan(apart), np.inf, apart))), apart.shape)
        at = ", ".join(str(int(each)) for each in place)
        fail(f"{what}: {got[place]:.7g} instead of {wanted[place]:.7g} at [{at}]")


@METRIC_CHECKS.gate
def distances_shape(subject: Subject) -> None:
    """Distances of nq queries to n rows are a floating-point array of shape (nq, n)."""
    bench = bench_of(subject)
    for nq in (len(bench.queries), 1):
        values = np.asarray(bench.metric.pairwise(bench.queries[:nq], bench.rows))
        wanted = (nq, len(bench.rows))
        expect(values.shape == wanted, f"pairwise gave shape {values.shape}, {wanted} expected")
        expect(values.dtype.kind == "f", f"pairwise gave {values.dtype}, a floating-point type expected")
        values = bench.metric.distances(bench.queries[:nq], bench.rows)
        expect(values.shape == wanted, f"distances gave shape {values.shape}, {wanted} expected")


@METRIC_CHECKS.add
def finite(subject: Subject) -> None:
    """Distances between rows that the metric does not refuse are finite numbers."""
    bench = bench_of(subject)
    for family, rows in bench.families:
        values = bench.metric.distances(rows, rows)
        if not np.isfinite(values).all():
            i, j = np.argwhere(~np.isfinite(values))[0]
            fail(f"the distance of {show_row(rows[i])} to {show_row(rows[j])} is {values[i, j]} ({family})")


def _hold(subject: Subject, axiom: Axiom) -> None:
    """Break the promise if the metric declares an axiom that some family of rows breaks."""
    bench = bench_of(subject)
    if axiom not in bench.metric.axioms:
        raise NotApplicable(f"it does not declare the axiom {axiom}")
    for family, rows in bench.families:
        for found in counterexamples(bench.metric, rows, axioms=[axiom]):
            fail(f"{found} ({family})")


@METRIC_CHECKS.add
def axiom_non_negative(subject: Subject) -> None:
    """If the axiom is declared, no distance is below zero."""
    _hold(subject, "non-negative")


@METRIC_CHECKS.add
def axiom_identity(subject: Subject) -> None:
    """If the axiom is declared, the distance of a row to itself is zero."""
    _hold(subject, "identity")


@METRIC_CHECKS.add
def axiom_symmetric(subject: Subject) -> None:
    """If the axiom is declared, a is as far from b as b from a."""
    _hold(subject, "symmetric")


@METRIC_CHECKS.add
def axiom_triangle(subject: Subject) -> None:
    """If the axiom is declared, no detour over a third row is shorter than the direct way."""
    _hold(subject, "triangle")


@METRIC_CHECKS.add
def self_nearest(subject: Subject) -> None:
    """Smaller is nearer: where identity is declared, every row is its own nearest among random rows."""
    bench = bench_of(subject)
    if "identity" not in bench.metric.axioms:
        raise NotApplicable("it does not declare the axiom identity")
    values = bench.metric.distances(bench.rows, bench.rows)
    nearest = values.min(axis=1)
    lost = np.flatnonzero(np.diagonal(values) > nearest + ROUNDING * scale_of(values))
    if lost.size:
        i = int(lost[0])
        j = int(values[i].argmin())
        fail(
            f"{lost.size} of {len(values)} rows are nearer to another row than to themselves: {show_row(bench.rows[i])} is "
            f"{values[i, i]:.6g} from itself and {values[i, j]:.6g} from {show_row(bench.rows[j])}"
        )


@METRIC_CHECKS.add
def reduction_agrees(subject: Subject) -> None:
    """The declared reduction gives the metric's own distances, computed independently row by row."""
    bench = bench_of(subject)
    metric = bench.metric
    if metric.reduces_to is None:
        raise NotApplicable("it declares no reduction")
    reduced = metric.finish(metric.space.pairwise(metric.prepare_queries(bench.queries), metric.prepare(bench.rows)))
    if type(metric).pairwise is not Metric.pairwise:
        own = np.asarray(metric.pairwise(bench.queries, bench.rows), dtype=np.float64)
        _expect_close(reduced, own, "the reduction differs from pairwise", share=1e-3)
        return
    direct = np.empty(reduced.shape)
    rows = [metric.prepare(bench.rows[i : i + 1])[0].astype(np.float64) for i in range(len(bench.rows))]
    for q in range(len(bench.queries)):
        query = metric.prepare_queries(bench.queries[q : q + 1])[0].astype(np.float64)
        if metric.reduces_to == "l2":
            direct[q] = [float(((query - row) ** 2).sum()) for row in rows]
        else:
            direct[q] = [-float((query * row).sum()) for row in rows]
    _expect_close(reduced, metric.finish(direct), "the reduction differs from the same row by row", share=1e-3)


@METRIC_CHECKS.add
def native_agrees(subject: Subject) -> None:
    """Indexes that compute the declared native metric themselves give the distances that pairwise gives."""
    bench = bench_of(subject)
    metric = bench.metric
    if not metric.native or metric.reduces_to:
        raise NotApplicable("it declares no native metric")
    dim = bench.rows.shape[1]
    layout = Layout(
        metric.space, dim, PackedBits(dim) if metric.dtype == "bits" else Float32(dim), rows=len(bench.rows)
    )
    indexes = list(_native_indexes(subject, layout))
    if not indexes:
        raise NotApplicable(f"no index of the registry computes {metric.space.label}")
    wanted = metric.distances(bench.queries, bench.rows)
    for name, index in indexes:
        index.train(metric.prepare(bench.rows))
        index.add(metric.prepare(bench.rows))
        found = index.search(metric.prepare_queries(bench.queries), 10, params=full_effort(index))
        own = np.take_along_axis(wanted, found.positions, axis=1)
        _expect_close(
            metric.finish(found.distances), own, f"{name} by {metric.space.label} differs from pairwise", 1e-3
        )


def _native_indexes(subject: Subject, layout: Layout) -> Iterator[tuple[str, Index]]:
    native = layout.codec.native
    for spec in subject.registry.specs("index"):
        label = native.label if native else ""
        if isinstance(spec, IndexSpec) and layout.space.label in spec.accepts.get(label, ()):
            yield spec.name, made_index(subject.registry, spec, {}, layout)


@METRIC_CHECKS.add
def kernel_agrees(subject: Subject) -> None:
    """The kernel, compiled, gives the distances that pairwise gives."""
    bench = bench_of(subject)
    metric = bench.metric
    if metric.kernel is None or metric.reduces_to or type(metric).pairwise is Metric.pairwise:
        raise NotApplicable("it does not give both a kernel and pairwise")
    kernel = metric.space.compiled
    if kernel is None:
        raise NotApplicable("numba is not installed")
    wanted = metric.distances(bench.queries, bench.rows)
    found = kernel.pairwise(metric.prepare_queries(bench.queries), metric.prepare(bench.rows))
    _expect_close(metric.finish(found), wanted, "the kernel differs from pairwise", share=1e-3)


@METRIC_CHECKS.add
def prepared_alike(subject: Subject) -> None:
    """Without a reduction, prepared rows are as far apart as the rows themselves."""
    bench = bench_of(subject)
    metric = bench.metric
    if metric.reduces_to or type(metric).prepare is Metric.prepare:
        raise NotApplicable("it does not prepare rows, or reduces")
    wanted = metric.distances(bench.queries, bench.rows)
    found = metric.space.pairwise(metric.prepare_queries(bench.queries), metric.prepare(bench.rows))
    _expect_close(np.asarray(found), wanted, "prepared rows differ from the rows themselves", share=1e-3)


@METRIC_CHECKS.add
def prepare_gives_rows(subject: Subject) -> None:
    """Prepared rows are as many as the rows, C-contiguous, and float32 (or packed bits)."""
    bench = bench_of(subject)
    wanted = np.dtype(np.uint8 if bench.metric.dtype == "bits" else np.float32)
    widths = []
    for name, prepare, rows in (
        ("prepare", bench.metric.prepare, bench.rows),
        ("prepare_queries", bench.metric.prepare_queries, bench.queries),
        ("prepare", bench.metric.prepare, bench.rows[:1]),
    ):
        out = prepare(rows)
        expect(
            out.ndim == 2 and len(out) == len(rows),
            f"{name} turned {len(rows)} rows into an array of shape {out.shape}",
        )
        expect(out.dtype == wanted, f"{name} gave {out.dtype}, {wanted} expected")
        expect(out.flags.c_contiguous, f"{name} gave rows that are not C-contiguous")
        widths.append(out.shape[1])
    expect(len(set(widths)) == 1, f"prepare and prepare_queries gave rows of {sorted(set(widths))} columns")


@METRIC_CHECKS.add
def finish_ordered(subject: Subject) -> None:
    """finish keeps order, shape and +inf, in float32 and float64, and values just below zero do not break it."""
    bench = bench_of(subject)
    metric = bench.metric
    values = metric.space.pairwise(metric.prepare_queries(bench.queries), metric.prepare(bench.rows))
    values = np.sort(np.unique(np.asarray(values, dtype=np.float64)))
    if metric.space.label == "l2":
        values = np.concatenate([[-1e-6 * scale_of(values)], values])
    for dtype in (np.float64, np.float32):
        given = np.append(values, np.inf).astype(dtype)
        done = np.asarray(metric.finish(given.copy()))
        expect(done.shape == given.shape, f"finish turned shape {given.shape} into {done.shape}")
        expect(not np.isnan(done).any(), f"finish({given[np.isnan(done)][:1]}) is NaN")
        expect(np.isposinf(done[-1]), f"finish(+inf) is {done[-1]}")
        falls = np.flatnonzero(np.diff(done[:-1]) < -1e-6 * scale_of(done))
        if falls.size:
            i = int(falls[0])
            fail(
                f"finish falls from {done[i]:.6g} to {done[i + 1]:.6g} where the value rises "
                f"from {given[i]:.6g} to {given[i + 1]:.6g}"
            )


@METRIC_CHECKS.add
def unfinish_inverts(subject: Subject) -> None:
    """finish(unfinish(distance)) is the distance."""
    bench = bench_of(subject)
    values = bench.metric.distances(bench.queries, bench.rows)
    for distance in np.quantile(values, [0.05, 0.3, 0.5, 0.9]):
        value = bench.metric.unfinish(float(distance))
        back = float(np.asarray(bench.metric.finish(np.array([[value]], dtype=np.float64)))[0, 0])
        expect(
            abs(back - distance) <= ROUNDING * scale_of(values),
            f"unfinish({distance:.6g}) is {value:.6g}, and finish of that is {back:.6g}",
        )


@METRIC_CHECKS.add
def similarity_falls(subject: Subject) -> None:
    """Similarity never rises with distance, and the farthest row is less similar than the nearest."""
    bench = bench_of(subject)
    distances = np.unique(bench.metric.distances(bench.queries, bench.rows))
    similarities = np.asarray(bench.metric.similarity(distances))
    expect(
        similarities.shape == distances.shape, f"similarity turned shape {distances.shape} into {similarities.shape}"
    )
    expect(np.isfinite(similarities).all(), "similarity of a finite distance is not finite")
    slack = 1e-9 * scale_of(similarities)
    for (near, more), (far, less) in neighbours(zip(distances, similarities, strict=True)):
        expect(less <= more + slack, f"similarity rises from {more:.6g} at {near:.6g} to {less:.6g} at {far:.6g}")
    expect(
        similarities[-1] < similarities[0],
        f"similarity is {similarities[0]:.6g} at {distances[0]:.6g} and at {distances[-1]:.6g}",
    )


@METRIC_CHECKS.add
def state_restores(subject: Subject) -> None:
    """A fresh metric that restores the state gives identical distances and similarities."""
    bench = bench_of(subject)
    wanted = bench.metric.distances(bench.queries, bench.rows)
    state = bench.metric.state()
    expect_json(state, "the state")
    for what in ("similarities", "distances"):
        fresh: Metric = subject.make()
        fresh.restore(written(state))
        if what == "distances":
            _expect_same(fresh.distances(bench.queries, bench.rows), wanted, "distances after restore")
        else:
            _expect_same(fresh.similarity(wanted), bench.metric.similarity(wanted), "similarities after restore")


def _expect_same(got: np.ndarray, wanted: np.ndarray, what: str) -> None:
    _expect_close(np.asarray(got), np.asarray(wanted), f"{what} are not the same", share=1e-9)


@METRIC_CHECKS.add
def fit_deterministic(subject: Subject) -> None:
    """Fitting the same rows again, in the same metric or a fresh one, changes nothing."""
    bench = bench_of(subject)
    wanted = bench.metric.distances(bench.queries, bench.rows)
    again: Metric = subject.make()
    for what in ("a fresh metric", "fitting twice"):
        again.fit(bench.rows)
        _expect_same(again.distances(bench.queries, bench.rows), wanted, f"distances by {what}")


@METRIC_CHECKS.add
def batch_independent(subject: Subject) -> None:
    """A row alone is prepared and compared as it is among others."""
    bench = bench_of(subject)
    metric = bench.metric
    for name, prepare, rows in (
        ("prepare", metric.prepare, bench.rows[:40]),
        ("prepare_queries", metric.prepare_queries, bench.queries),
    ):
        alone = np.concatenate([prepare(rows[i : i + 1]) for i in range(len(rows))]).astype(np.float64)
        _expect_close(alone, prepare(rows).astype(np.float64), f"{name} of one row differs from many", share=1e-5)
    many = metric.distances(bench.queries, bench.rows)
    alone = np.concatenate([metric.distances(bench.queries[i : i + 1], bench.rows) for i in range(len(bench.queries))])
    _expect_close(alone, many, "distances of one query differ from many", share=1e-5)
    alone = np.concatenate([metric.distances(bench.queries, bench.rows[i : i + 1]) for i in range(40)], axis=1)
    _expect_close(alone, many[:, :40], "distances to one row differ from many", share=1e-5)


@METRIC_CHECKS.add
def needs_fit_said(subject: Subject) -> None:
    """A metric that needs fit raises NotTrainedError before it; one that does not works without."""
    bench = bench_of(subject)
    fresh: Metric = subject.make()
    if fresh.needs_fit:
        expect_error(NotTrainedError, "distances before fit", lambda: fresh.distances(bench.queries, bench.rows))
        if type(fresh).prepare is not Metric.prepare:
            expect_error(NotTrainedError, "prepare before fit", lambda: fresh.prepare(bench.rows))
        return
    try:
        fresh.distances(bench.queries, bench.rows)
    except NotTrainedError as error:
        fail(f"it does not say needs_fit, and before fit it raises {error}")


@METRIC_CHECKS.add
def refuses_mask(subject: Subject) -> None:
    """refuses gives one boolean a row, and refuses_rows says whether there is such a test."""
    bench = bench_of(subject)
    metric = bench.metric
    for rows in row_families(bench.rows).values():
        mask = metric.refuses(rows)
        good = isinstance(mask, np.ndarray) and mask.dtype == bool and mask.shape == (len(rows),)
        expect(
            good, f"refuses gave {getattr(mask, 'dtype', type(mask))} of shape {np.shape(mask)} for {len(rows)} rows"
        )
    written_here = type(metric).refuses is not Metric.refuses
    expect(
        written_here == metric.refuses_rows,
        f"refuses_rows is {metric.refuses_rows}, and refuses is {'written' if written_here else 'not written'}",
    )


@METRIC_CHECKS.add
def input_unchanged(subject: Subject) -> None:
    """No method changes the rows that it is given."""
    bench = bench_of(subject)
    metric: Metric = subject.make()
    for name, call, given in _calls(metric, bench):
        before = [array.copy() for array in given]
        call(*given)
        for array, kept in zip(given, before, strict=True):
            expect(np.array_equal(array, kept), f"{name} changed the array it was given")


def _calls(metric: Metric, bench: Bench) -> Iterator[tuple[str, Callable[..., object], tuple[np.ndarray, ...]]]:
    """Every method that takes arrays, by name, and arrays for it."""
    yield "fit_for_centroids", metric.fit_for_centroids, (bench.rows,)
    yield "fit", metric.fit, (bench.rows,)
    yield "prepare", metric.prepare, (bench.rows,)
    yield "prepare", metric.prepare, (bench.rows[:1],)
    yield "prepare_queries", metric.prepare_queries, (bench.queries,)
    yield "unprepare", metric.unprepare, (bench.metric.prepare(bench.rows),)
    yield "refuses", metric.refuses, (bench.rows,)
    yield "pairwise", metric.pairwise, (bench.queries, bench.rows)
    yield "similarity", metric.similarity, (bench.metric.distances(bench.queries, bench.rows),)


@METRIC_CHECKS.add
def read_only_input(subject: Subject) -> None:
    """Every method takes read-only arrays, such as memory-mapped ones."""
    bench = bench_of(subject)
    metric: Metric = subject.make()
    for name, call, given in _calls(metric, bench):
        try:
            call(*(read_only(array) for array in given))
        except (ValueError, TypeError) as error:
            fail(f"{name} of read-only arrays raised {type(error).__name__}: {error}")
