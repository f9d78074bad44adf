"""Analogies among the rows of a collection: king is to man as what is to woman?

Source: 3CosAdd, T. Mikolov, W. Yih and G. Zweig, "Linguistic regularities in continuous space word representations" (2013);
3CosMul, O. Levy and Y. Goldberg, "Linguistic regularities in sparse and explicit word representations" (2014). Both are of vectors
of length one.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from nearkin.collection import Collection
from nearkin.errors import NotSupportedError, ParameterError, UnknownIdError
from nearkin.ids import close_spellings
from nearkin.metrics import Cosine, unit_rows
from nearkin.results import SearchResult, why_fewer
from nearkin.search_parameters import whole_number

Method = Literal["add", "multiply"]
METHODS: tuple[Method, ...] = ("add", "multiply")
EPSILON = 0.001
"""Levy and Goldberg's, which keeps the quotient finite."""
ROUNDING = 1e-6
"""Length below which b - a + c is what rounding left."""


def analogy(collection: Collection, a: Any, b: Any, c: Any, k: int = 10, method: Method = "add") -> SearchResult:
    """Rows that are to `c` as `b` is to `a`, the best first; the three themselves are left out.

    Parameters
    ----------
    collection
        Rows with words as ids, or any others whose differences mean something.
    a, b, c
        Ids.
    k
        Answers wanted.
    method
        ``"add"`` (3CosAdd) ranks by the cosine to b - a + c; under the metric cosine it asks the collection's index, otherwise it
        compares every row. ``"multiply"`` (3CosMul) ranks by cos(b) cos(c) / (cos(a) + 0.001), each cosine moved to 0 to 1, and
        compares every row.

    Returns
    -------
    SearchResult
        Of one query. Similarities are what the method ranks by; distances are 1 minus the cosine, or minus the quotient.

    Raises
    ------
    UnknownIdError
        There is no row with one of the ids; the message has close spellings.
    ParameterError
        Another method, or k below 1.
    NotSupportedError
        The rows are packed bits, or were not kept.

    Examples
    --------
    >>> import nearkin as nk
    >>> rows = np.float32([[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 1, 0]])
    >>> words = nk.build(rows, ids=["man", "king", "woman", "queen", "child"], metric="cosine")
    >>> nk.analogy(words, "man", "king", "woman", k=1).ids.tolist()
    [['queen']]
    """
    if method not in METHODS:
        raise ParameterError(f"method is {method!r}, one of {', '.join(METHODS)} expected")
    wanted = whole_number("k", k, 1)
    if collection.metric.dtype != "float32":
        raise NotSupportedError(f"{collection.metric.name} compares packed bits, and analogies are of numbers")
    three = _vectors(collection, [a, b, c])
    known = collection.rows.ids.positions([a, b, c])
    if method == "add" and np.linalg.norm(three[1] - three[0] + three[2]) < ROUNDING:
        raise ParameterError("b - a + c is zero, which has no direction", hint="choose three other rows")
    if method == "add" and collection.metric.name == "cosine":
        return _by_index(collection, three, known, wanted)
    return _by_every_row(collection, three, known, wanted, method)


def _vectors(collection: Collection, ids: list[Any]) -> np.ndarray:
    """(3, dim) float64 of length one."""
    try:
        rows = collection.get(ids)
    except UnknownIdError as error:
        missing = next(each for each in ids if each not in collection)
        hint = close_spellings(missing, collection.ids.tolist()) or error.hint
        raise UnknownIdError(error.message, hint=hint) from error
    if any(row.vector is None for row in rows):
        raise NotSupportedError("analogies are of the rows themselves, and this collection did not keep them")
    return unit_rows(np.stack([row.vector for row in rows if row.vector is not None])).astype(np.float64)


def _by_index(collection: Collection, three: np.ndarray, known: np.ndarray, k: int) -> SearchResult:
    """A search for b - a + c that is asked for three more, which may be the words themselves."""
    a, b, c = three
    found = collection.search((b - a + c).astype(np.float32)[None, :], k + len(known))
    left = ~np.isin(found.positions[0], known) & (found.positions[0] >= 0)
    return _result(collection, found.positions[0][left][:k], found.distances[0][left][:k], k, "add")


def _by_every_row(collection: Collection, three: np.ndarray, known: np.ndarray, k: int, method: Method) -> SearchResult:
    rows = collection.rows
    allowed = rows.alive.copy()
    allowed[known] = False
    positions, scores = np.empty(0, np.int64), np.empty(0)
    for first, block in rows.blocks():
        some = np.flatnonzero(allowed[first : first + len(block)])
        unit = unit_rows(np.asarray(block[some], dtype=np.float32))
        positions = np.concatenate([positions, first + some])
        scores = np.concatenate([scores, _scores(unit, three, method)])
        best = np.lexsort((positions, -scores))[:k]
        positions, scores = positions[best], scores[best]
    distances = 1 - scores if method == "add" else -scores
    return _result(collection, positions, distances.astype(np.float32), k, method)


def _scores(unit: np.ndarray, three: np.ndarray, method: Method) -> np.ndarray:
    """(n,) what a method ranks rows of length one by."""
    if method == "add":
        a, b, c = three
        target = b - a + c
        return np.asarray(unit @ (target / np.linalg.norm(target)))
    a, b, c = ((unit @ three.T + 1) / 2).T
    return np.asarray(b * c / (a + EPSILON))


def _result(
    collection: Collection, positions: np.ndarray, distances: np.ndarray, k: int, method: Method
) -> SearchResult:
    padding = max(0, min(k, len(collection)) - len(positions))
    similarity = Cosine().similarity if method == "add" else np.negative
    return SearchResult(
        np.pad(positions, (0, padding), constant_values=-1)[None, :],
        np.pad(distances, (0, padding), constant_values=np.inf)[None, :].astype(np.float32),
        k,
        collection.rows.ids.table,
        similarity,
        lambda query, count: why_fewer(count, k, max(0, len(collection) - 3), collection.search_defaults),
    )
