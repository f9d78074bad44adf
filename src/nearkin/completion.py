"""As many neighbours as there are: queries that got fewer are asked again, more widely each time.

An inverted file that looks into too few cells, and a graph whose walk ends early or meets deleted rows, find fewer than k rows
although there are more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from nearkin.indexes import Found, Index

WIDER = 4
"""Search parameters are multiplied by so much from one attempt to the next; the attempts before the last cost a third of it."""


def is_short(positions: np.ndarray, wanted: int) -> bool:
    """Whether one of (nq, k) answers has fewer than `wanted` positions.

    >>> is_short(np.array([[3, 1], [2, -1]]), 2), is_short(np.array([[3, 1], [2, -1]]), 1)
    (True, False)
    """
    if len(positions) == 1:  # a tenth of the time, and the usual question
        return bool(positions[0, wanted - 1] < 0)
    return bool(len(positions)) and int(positions[:, wanted - 1].min()) < 0


def complete(found: Found, wanted: int, attempts: Iterable[Callable[[np.ndarray], Found]]) -> Found:
    """The answers, those with fewer than `wanted` neighbours replaced by what the attempts find.

    Parameters
    ----------
    attempts
        Each gives the answers of queries by their (m,) numbers; they are tried in order until nothing is missing.
    """
    positions, distances = found.positions.copy(), found.distances.copy()
    for attempt in attempts:
        short = np.flatnonzero(positions[:, wanted - 1] < 0)
        if not short.size:
            break
        again = attempt(short)
        more = (again.positions >= 0).sum(axis=1) > (positions[short] >= 0).sum(axis=1)
        positions[short[more]], distances[short[more]] = again.positions[more], again.distances[more]
    return Found(positions, distances)


def filtered(index: Index, kept: int, total: int) -> dict[str, int]:
    """Search parameters for a filter that keeps some of the rows: the neighbours that it leaves lie farther away.

    Those that say how much of the index is looked at grow with the root of `total` by `kept`: as far as measured, that keeps the
    recall where the filter has nothing to do with the vectors, and most of it where it has.
    """
    times = math.sqrt(total / max(1, kept))
    return {name: math.ceil(value * times) for name, value in index.resolve({}).items() if name != "rerank"}


def widened(index: Index, params: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Search parameters, larger each time, until each is as large as the index."""
    wider = index.resolve(params)
    while wider and min(wider.values()) < index.n:
        wider = {name: min(max(index.n, value), WIDER * value) for name, value in wider.items()}
        yield wider
