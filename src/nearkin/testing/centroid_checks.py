"""Checks of what a metric declares for clustering: what a centroid of prepared rows is, and what it is in the user's units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nearkin.metrics import Metric
from nearkin.objectives import ABSOLUTE, DIRECTIONS, SQUARES
from nearkin.testing.contract import Checks, NotApplicable, Subject, expect
from nearkin.testing.metric_checks import Bench, bench_of, scale_of
from nearkin.vectors import show_row

CENTROID_CHECKS = Checks("metric")


@CENTROID_CHECKS.add
def unprepare_inverts(subject: Subject) -> None:
    """prepare(unprepare(c)) is c, for prepared rows and for their centroids."""
    bench = bench_of(subject)
    if bench.metric.centroid_rule is None:
        raise NotApplicable("it declares no centroid_rule")
    metric, prepared = _for_centroids(subject, bench)
    centroids = [("a prepared row", prepared)]
    centroids += [("a centroid", centre) for centre, _, _ in _centroids(subject, metric, prepared)]
    for what, rows in centroids:
        back = np.asarray(metric.unprepare(rows.copy()))
        wanted = (len(rows), bench.rows.shape[1])
        expect(back.shape == wanted, f"unprepare gave shape {back.shape} for {len(rows)} rows, {wanted} expected")
        again = metric.prepare(np.ascontiguousarray(back, dtype=bench.rows.dtype)).astype(np.float64)
        off = float(np.abs(again - rows).max())
        largest = scale_of(prepared.astype(np.float64))
        expect(
            off <= 1e-5 * largest,
            f"prepare(unprepare(c)) of {what} is {off:.6g} from c, where values are up to {largest:.6g}",
        )


@CENTROID_CHECKS.add
def centroid_best(subject: Subject) -> None:
    """The centroid by the declared rule is best: moved a little, its sum of values from the rows of its cluster is no smaller."""
    bench = bench_of(subject)
    if bench.metric.centroid_rule is None:
        raise NotApplicable("it declares no centroid_rule")
    expect(bench.metric.dtype == "float32", "it declares a centroid_rule for packed bits, of which there are no means")
    metric, prepared = _for_centroids(subject, bench)
    rule = metric.centroid_rule
    expect(rule in _RULES, f"centroid_rule is {rule!r}, one of {', '.join(_RULES)} or None expected")
    if rule == "direction":
        lengths = np.linalg.norm(prepared.astype(np.float64), axis=1)
        off = lengths[np.abs(lengths - 1).argmax()]
        expect(
            abs(off - 1) <= 1e-3, f"centroid_rule is 'direction', and a prepared row has length {off:.6g}, 1 expected"
        )
    for centroid, members, rng in _centroids(subject, metric, prepared):
        best = float(metric.space.pairwise(members, centroid).sum())
        spread = members.std(axis=0, dtype=np.float64)
        for size in (0.003, 0.03, 0.3):
            moves = size * rng.standard_normal((16, centroid.shape[1])) * spread
            moved = _RULES[str(rule)].allowed((centroid + moves).astype(np.float32))
            least = float(metric.space.pairwise(members, moved).sum(axis=0).min())
            expect(
                least >= best - 1e-6 * abs(best),
                f"the {rule} of {len(members)} rows has a sum of {best:.7g} from them, and {show_row(moves[0])} beside it "
                f"or near there it is {least:.7g}",
            )


_RULES = {"mean": SQUARES, "direction": DIRECTIONS, "median": ABSOLUTE}


def _for_centroids(subject: Subject, bench: Bench) -> tuple[Metric, np.ndarray]:
    """A metric fitted for centroids, and the rows that it prepares."""
    metric: Metric = subject.make()
    metric.fit_for_centroids(bench.rows)
    return metric, metric.prepare(bench.rows)


def _centroids(
    subject: Subject, metric: Metric, prepared: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.random.Generator]]:
    """Centroids of some sets of rows by the metric's rule, each (1, dim), with the rows, and random numbers."""
    rng = subject.rng("centroids")
    for size in (5, 40, len(prepared)):
        members = prepared[rng.choice(len(prepared), min(size, len(prepared)), replace=False)]
        nothing, ones = np.zeros(len(members), dtype=np.int64), np.ones(len(members))
        yield _RULES[str(metric.centroid_rule)].centres(members, nothing, ones, members[:1]), members, rng
