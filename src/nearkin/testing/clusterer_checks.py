"""Checks of the clusterer contract."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nearkin.centroids import Clusterer, Partition
from nearkin.errors import ParameterError
from nearkin.metrics import squared_l2
from nearkin.testing.contract import Checks, Subject, expect, expect_error, fail, read_only
from nearkin.testing.samples import ROWS, ordinary_rows
from nearkin.vectors import as_vectors

CLUSTERER_CHECKS = Checks("clusterer")

K = 6
_SHARE = 1e-4
"""Share by which float32 rounding may move a sum of squares."""


def _rows(subject: Subject) -> np.ndarray:
    if subject.rows is not None:
        return as_vectors(subject.rows)[:ROWS].copy()
    return ordinary_rows(subject.rng("rows"), ROWS, 8, "float32")


def _weights(subject: Subject) -> np.ndarray:
    return subject.rng("weights").uniform(0.5, 3.0, len(_rows(subject)))


def _fit(subject: Subject, rows: np.ndarray, k: int, *, seed: int = 0, weights: np.ndarray | None = None) -> Partition:
    """A fresh clusterer's clustering, of copies, so that one that changes what it is given spoils no other check."""
    clusterer: Clusterer = subject.make()
    return clusterer.fit(rows.copy(), k, seed=seed, weights=None if weights is None else weights.copy())


def _found(subject: Subject) -> Partition:
    return subject.once("found", lambda: _fit(subject, _rows(subject), K))


def _inertia(rows: np.ndarray, centroids: np.ndarray) -> float:
    return float(squared_l2(rows, centroids).min(axis=1).sum())


@CLUSTERER_CHECKS.gate
def shapes(subject: Subject) -> None:
    """k centroids are float32 (k, dim), labels int64 (n,), the inertia a finite number and the history numbers."""
    rows, found = _rows(subject), _found(subject)
    wanted = (K, rows.shape[1])
    expect(
        found.centroids.dtype == np.float32 and found.centroids.shape == wanted,
        f"centroids are {found.centroids.dtype} {found.centroids.shape}, float32 {wanted} expected",
    )
    expect(
        found.labels.dtype == np.int64 and found.labels.shape == (len(rows),),
        f"labels are {found.labels.dtype} {found.labels.shape}, int64 {(len(rows),)} expected",
    )
    expect(isinstance(found.inertia, float) and np.isfinite(found.inertia), f"inertia is {found.inertia!r}")
    expect(all(isinstance(each, float) for each in found.history), f"history is {found.history!r}, floats expected")


def _both(subject: Subject) -> Iterator[tuple[str, Partition, np.ndarray]]:
    """The clustering without and with weights, and the weight of each row."""
    rows = _rows(subject)
    yield "without weights", _found(subject), np.ones(len(rows))
    weights = _weights(subject)
    yield "with weights", _fit(subject, rows, K, weights=weights), weights


@CLUSTERER_CHECKS.add
def labels_nearest(subject: Subject) -> None:
    """Every row is labelled with a nearest centroid."""
    rows = _rows(subject)
    for case, found, _ in _both(subject):
        distances = squared_l2(rows, found.centroids)
        own = distances[np.arange(len(rows)), found.labels]
        slack = _SHARE * float(distances.max())
        wrong = np.flatnonzero(own > distances.min(axis=1) + slack)
        if wrong.size:
            i = int(wrong[0])
            fail(
                f"{wrong.size} of {len(rows)} rows have another centroid nearer than their own {case}: row {i} is "
                f"{own[i]:.6g} from centroid {found.labels[i]} and {distances[i].min():.6g} from {distances[i].argmin()}"
            )


@CLUSTERER_CHECKS.add
def inertia_true(subject: Subject) -> None:
    """The inertia is the sum of weight times squared distance to the row's centroid."""
    rows = _rows(subject)
    for case, found, weights in _both(subject):
        own = squared_l2(rows, found.centroids)[np.arange(len(rows)), found.labels]
        wanted = float((weights * own).sum())
        expect(
            abs(found.inertia - wanted) <= 1e-3 * wanted,
            f"the inertia is {found.inertia:.6g}, the sum over the rows {wanted:.6g} ({case})",
        )


@CLUSTERER_CHECKS.add
def seeded(subject: Subject) -> None:
    """The same seed gives the same centroids and labels."""
    rows = _rows(subject)
    for seed in (0, 7):
        first, second = (_fit(subject, rows, K, seed=seed) for _ in range(2))
        expect(np.array_equal(first.labels, second.labels), f"two runs with seed {seed} give different labels")
        moved = float(np.abs(first.centroids - second.centroids).max())
        expect(moved <= 1e-5 * float(np.ptp(rows)), f"centroids of two runs with seed {seed} are {moved:.6g} apart")


@CLUSTERER_CHECKS.add
def better_than_random(subject: Subject) -> None:
    """The rows are nearer to the centroids than to k rows drawn at random."""
    rows, rng = _rows(subject), subject.rng("random centroids")
    drawn = [_inertia(rows, rows[rng.choice(len(rows), K, replace=False)]) for _ in range(9)]
    found = _inertia(rows, _found(subject).centroids)
    expect(found <= np.median(drawn), f"the inertia is {found:.6g}, of random rows it is {np.median(drawn):.6g}")


@CLUSTERER_CHECKS.add
def one_is_mean(subject: Subject) -> None:
    """One centroid is the mean of the rows."""
    rows = _rows(subject)
    mean = rows.mean(axis=0, dtype=np.float64)
    moved = float(np.abs(_fit(subject, rows, 1).centroids[0] - mean).max())
    expect(moved <= _SHARE * float(np.ptp(rows)), f"the only centroid is {moved:.6g} from the mean of the rows")


@CLUSTERER_CHECKS.add
def as_many_as_rows(subject: Subject) -> None:
    """As many centroids as rows can be asked for."""
    rows = _rows(subject)[:20]
    found = _fit(subject, rows, len(rows))
    alone = _inertia(rows, rows.mean(axis=0, keepdims=True))
    got = _inertia(rows, found.centroids)
    expect(got < 0.5 * alone, f"{len(rows)} centroids of {len(rows)} rows have inertia {got:.6g}, one has {alone:.6g}")


@CLUSTERER_CHECKS.add
def k_checked(subject: Subject) -> None:
    """No centroids, or more than there are rows, raise ParameterError."""
    rows = _rows(subject)[:10]
    for k in (0, 11):
        expect_error(ParameterError, f"{k} centroids of 10 rows", lambda k=k: _fit(subject, rows, k))  # type: ignore[misc]


@CLUSTERER_CHECKS.add
def zero_weights_ignored(subject: Subject) -> None:
    """Rows of weight zero do not move the centroid of the others."""
    rows = _rows(subject)[:60]
    far = rows[:5] + np.float32(50 * np.ptp(rows))
    weights = np.concatenate([np.ones(len(rows)), np.zeros(len(far))])
    alone = _fit(subject, rows, 1).centroids[0]
    beside = _fit(subject, np.concatenate([rows, far]), 1, weights=weights).centroids[0]
    moved = float(np.abs(alone - beside).max())
    expect(moved <= 1e-3 * float(np.ptp(rows)), f"{len(far)} rows of weight 0 move the centroid by {moved:.6g}")


@CLUSTERER_CHECKS.add
def duplicates(subject: Subject) -> None:
    """Fewer distinct rows than centroids are no error, and leave the rows no farther off than one centroid does."""
    rows = np.repeat(_rows(subject)[:2], 15, axis=0)
    alone = _inertia(rows, rows.mean(axis=0, keepdims=True))
    for k in (2, 5):
        got = _inertia(rows, _fit(subject, rows, k, seed=1).centroids)
        expect(
            got <= 1.001 * alone, f"{k} centroids for 2 distinct rows leave inertia {got:.6g}, one leaves {alone:.6g}"
        )


@CLUSTERER_CHECKS.add
def input_unchanged(subject: Subject) -> None:
    """Fitting changes neither the rows nor the weights."""
    rows, weights = _rows(subject).copy(), _weights(subject)
    subject.make().fit(rows, K, weights=weights)
    expect(np.array_equal(rows, _rows(subject)), "fit changed the rows it was given")
    expect(np.array_equal(weights, _weights(subject)), "fit changed the weights it was given")


@CLUSTERER_CHECKS.add
def start_taken(subject: Subject) -> None:
    """Given centroids that it found before to start from, it ends no worse than they are."""
    rows = _rows(subject)
    start = _found(subject).centroids.copy()
    again = subject.make().fit(rows, K, start=start)
    before, after = _inertia(rows, start), _inertia(rows, again.centroids)
    expect(after <= (1 + _SHARE) * before, f"from centroids of inertia {before:.6g} it ends with {after:.6g}")


@CLUSTERER_CHECKS.add
def read_only_input(subject: Subject) -> None:
    """Read-only rows and weights, such as memory-mapped ones, are taken."""
    try:
        subject.make().fit(read_only(_rows(subject)), K, weights=read_only(_weights(subject)))
    except (ValueError, TypeError) as error:
        fail(f"fit of read-only arrays raised {type(error).__name__}: {error}")
