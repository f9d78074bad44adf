"""Checks of the index contract: what an index answers."""

from __future__ import annotations

import numpy as np

from nearkin.indexes import Found, Index, Mask
from nearkin.testing.contract import Checks, NotApplicable, Subject, expect, fail
from nearkin.testing.index_subjects import K, Pair, declared, full_effort, pairs

INDEX_CHECKS = Checks("index")


def searched(index: Index, pair: Pair, k: int = K, *, mask: Mask | None = None) -> Found:
    """The answer at full effort."""
    return index.search(pair.queries, k, mask=mask, params=full_effort(index))


def expect_alike(got: Found, wanted: Found, pair: Pair, what: str) -> None:
    """Break the promise unless two answers have the same distances; rows may change places only where they tie."""
    with np.errstate(invalid="ignore"):
        apart = np.nan_to_num(np.abs(got.distances.astype(np.float64) - wanted.distances), nan=0.0)
    expect(apart.max() <= 1e-4 * pair.scale, f"{pair}: {what}: distances differ by {apart.max():.6g}")
    moved = got.positions != wanted.positions
    for row, column in np.argwhere(moved):
        tie = np.abs(wanted.distances[row] - got.distances[row, column]) <= 1e-4 * pair.scale
        # The last place may be shared with rows that are not in the answer.
        others = set(wanted.positions[row, tie].tolist())
        expect(
            got.positions[row, column] in others or tie[-1],
            f"{pair}: {what}: query {row} has position {got.positions[row, column]} in place {column}, "
            f"{wanted.positions[row, column]} expected",
        )


@INDEX_CHECKS.gate
def search_shape(subject: Subject) -> None:
    """A search gives int64 positions and float32 distances of shape (nq, k), each position once and in range."""
    for pair in pairs(subject):
        index = pair.index
        expect(index.n == len(pair.rows), f"{pair}: n is {index.n} after {len(pair.rows)} rows were added")
        for params in ({}, full_effort(index)):
            found = index.search(pair.queries, K, params=params)
            wanted = (len(pair.queries), K)
            for name, array, dtype in (
                ("positions", found.positions, "int64"),
                ("distances", found.distances, "float32"),
            ):
                expect(
                    array.shape == wanted and array.dtype == dtype,
                    f"{pair}: {name} are {array.dtype} of shape {array.shape}, {dtype} {wanted} expected",
                )
            expect(found.positions.max() < index.n, f"{pair}: a position is {found.positions.max()} of {index.n} rows")
            expect(not np.isnan(found.distances).any(), f"{pair}: a distance is NaN")
            for positions in found.positions:
                given = positions[positions >= 0]
                expect(len(np.unique(given)) == len(given), f"{pair}: a position is given twice: {given.tolist()}")


@INDEX_CHECKS.add
def nearest_found(subject: Subject) -> None:
    """At full effort the rows found are the nearest by brute force, within the codec's own error."""
    for pair in pairs(subject):
        index = pair.index
        if not pair.spec.exact and not index.knobs:
            continue  # nothing can be asked of it
        _expect_nearest(searched(index, pair).positions, pair.true, pair)


def _expect_nearest(positions: np.ndarray, true: np.ndarray, pair: Pair) -> None:
    """Break the promise if a row in place j is farther, by its true value, than the j-th nearest may be."""
    count = positions.shape[1]
    best = np.sort(true, axis=1)[:, :count]
    missing = int((positions < 0).sum())
    expect(not missing, f"{pair}: {missing} places are empty though there are enough rows")
    own = np.sort(np.take_along_axis(true, positions, axis=1), axis=1)
    worse = own - best
    allowed = pair.slack if pair.exact_rows else 2 * pair.slack
    if worse.max() > allowed:
        row, column = np.unravel_index(int(worse.argmax()), worse.shape)
        fail(
            f"{pair}: in place {column} query {row} has a row at {own[row, column]:.6g}, by brute force it is at "
            f"{best[row, column]:.6g} (allowed {allowed:.3g})"
        )


@INDEX_CHECKS.add
def distances_true(subject: Subject) -> None:
    """The distance reported with a position is that of its row, within the codec's own error."""
    for pair in pairs(subject):
        _expect_true(searched(pair.index, pair), pair)


def _expect_true(found: Found, pair: Pair) -> None:
    given = found.positions >= 0
    own = np.take_along_axis(pair.true, np.where(given, found.positions, 0), axis=1)
    apart = np.where(given, np.abs(np.where(given, found.distances, 0) - own), 0)
    if apart.max() > pair.slack:
        row, column = np.unravel_index(int(apart.argmax()), apart.shape)
        fail(
            f"{pair}: query {row} has position {found.positions[row, column]} at {found.distances[row, column]:.6g}, "
            f"its true value is {own[row, column]:.6g} (allowed {pair.slack:.3g})"
        )


@INDEX_CHECKS.add
def refinement(subject: Subject) -> None:
    """Where the spec says that the index re-ranks itself, full effort gives the finer codec's neighbours and values."""
    refined = declared(subject).refined
    if not refined:
        raise NotApplicable("it declares no refinement for codecs of this registry")
    for pair in refined:
        index = pair.index
        expect("rerank" in index.knobs, f"{pair}: there is no search parameter rerank")
        found = searched(index, pair)
        _expect_true(found, pair)
        _expect_nearest(found.positions, pair.true, pair)


@INDEX_CHECKS.add
def sorted_nearest_first(subject: Subject) -> None:
    """Distances never fall from one place to the next, whatever the effort."""
    for pair in pairs(subject):
        for params in ({}, full_effort(pair.index)):
            distances = pair.index.search(pair.queries, 2 * K, params=params).distances
            falls = np.flatnonzero((distances[:, 1:] < distances[:, :-1]).any(axis=1))
            expect(not falls.size, f"{pair}: the answers to {falls.size} of {len(distances)} queries are not sorted")


@INDEX_CHECKS.add
def padded(subject: Subject) -> None:
    """Where more is asked than there are rows, the rest is position -1 at distance +inf."""
    for pair in pairs(subject):
        n = pair.index.n
        found = searched(pair.index, pair, n + 3)
        expect(
            found.positions.shape == (len(pair.queries), n + 3), f"{pair}: k={n + 3} gave shape {found.positions.shape}"
        )
        empty = found.positions < 0
        expect(empty[:, n:].all(), f"{pair}: {n + 3} neighbours of {n} rows are not padded with -1")
        expect((found.positions[empty] == -1).all(), f"{pair}: an empty place is not -1")
        expect(np.isposinf(found.distances[empty]).all(), f"{pair}: an empty place is not at +inf")
        if pair.spec.exact:
            expect(not empty[:, :n].any(), f"{pair}: some of {n} rows are missing when all are asked for")


@INDEX_CHECKS.add
def mask_kept(subject: Subject) -> None:
    """With a mask only allowed positions are given, as many as there are, and the nearest of them."""
    for pair in pairs(subject):
        n = pair.index.n
        rng = subject.rng("mask")
        for allowed in (rng.random(n) < 0.5, np.arange(n) % 97 == 5, np.zeros(n, bool), np.ones(n, bool)):
            _check_mask(pair, allowed)


def _check_mask(pair: Pair, allowed: np.ndarray) -> None:
    found = searched(pair.index, pair, K, mask=Mask(allowed.copy()))
    given = found.positions >= 0
    forbidden = given & ~allowed[np.where(given, found.positions, 0)]
    expect(
        not forbidden.any(),
        f"{pair}: {int(forbidden.sum())} positions are forbidden ({int(allowed.sum())} are allowed)",
    )
    wanted = min(K, int(allowed.sum()))
    if not pair.spec.exact and not pair.index.knobs:
        return
    short = given.sum(axis=1) != wanted
    expect(
        not short.any(),
        f"{pair}: {int(given.sum(axis=1).min())} to {int(given.sum(axis=1).max())} of {wanted} allowed rows are given",
    )
    if wanted:
        _expect_nearest(found.positions[:, :wanted], np.where(allowed, pair.true, np.inf), pair)


@INDEX_CHECKS.add
def range_found(subject: Subject) -> None:
    """A range search at full effort gives every row within the radius and no other, nearest first."""
    for pair in pairs(subject):
        radius = float(np.quantile(pair.true, 0.05))
        half = Mask(np.arange(len(pair.rows)) % 2 == 0)
        for mask in (None, half):
            _check_range(pair, radius, mask)


def _check_range(pair: Pair, radius: float, mask: Mask | None) -> None:
    index, allowed = pair.index, mask.allowed.copy() if mask else np.ones(len(pair.rows), bool)
    found = index.range_search(pair.queries, radius, mask=mask, params=full_effort(index))
    limits = found.limits
    expect(
        limits.shape == (len(pair.queries) + 1,) and limits[0] == 0 and limits[-1] == len(found.positions),
        f"{pair}: limits of {len(pair.queries)} queries and {len(found.positions)} hits are {limits.tolist()}",
    )
    expect(
        len(found.distances) == len(found.positions),
        f"{pair}: {len(found.distances)} distances of {len(found.positions)} hits",
    )
    slack = pair.slack
    for query in range(len(pair.queries)):
        hits = slice(limits[query], limits[query + 1])
        positions, distances = found.positions[hits], found.distances[hits]
        expect((np.diff(distances) >= 0).all(), f"{pair}: the hits of query {query} are not sorted")
        expect(allowed[positions].all(), f"{pair}: the range search gives positions that the mask forbids")
        expect(len(set(positions.tolist())) == len(positions), f"{pair}: a hit of query {query} is given twice")
        beyond = positions[pair.true[query, positions] > radius + slack]
        expect(not beyond.size, f"{pair}: {beyond.size} hits of query {query} are beyond the radius {radius:.6g}")
        inside = np.flatnonzero((pair.true[query] <= radius - slack) & allowed)
        if pair.spec.exact or index.knobs:
            lost = np.setdiff1d(inside, positions)
            expect(
                not lost.size,
                f"{pair}: {lost.size} of {inside.size} rows within {radius:.6g} of query {query} are missing",
            )
