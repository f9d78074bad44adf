"""Axioms of a metric, tried on rows: for each that does not hold, the rows that break it and the distances between them.

That nothing was found proves nothing. A counterexample proves that what a metric declares is wrong for such rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np

from nearkin.errors import ParameterError, PluginContractError
from nearkin.kernel_source import read_kernel
from nearkin.metrics import Axiom, Metric, as_values
from nearkin.vectors import as_vectors, show_row

ROUNDING = 1e-4
"""Share of the largest distance by which float32 rounding may move a distance."""

PAIRS_ROWS = 1024
DETOUR_ROWS = 100
"""Of more rows than these, evenly spread ones are looked at: in pairs, and in threes for the triangle inequality."""

SAMPLE_ROWS = 48
"""Rows that `need_axioms` tries."""

_ORDER: tuple[Axiom, ...] = get_args(Axiom)
_SENTENCES: Mapping[Axiom, str] = {
    "non-negative": "the distance of {0} to {1} is {2:.6g}",
    "identity": "the distance of {0} to itself is {1:.6g}",
    "symmetric": "the distance of {0} to {1} is {2:.6g}, and back {3:.6g}",
    "triangle": "the distance of {0} to {1} is {3:.6g}, and over {2} it is {4:.6g} + {5:.6g}",
}


@dataclass(frozen=True, eq=False)
class Counterexample:
    """Rows that break an axiom.

    Attributes
    ----------
    positions
        Of the rows: one for ``identity``, two for ``non-negative`` and ``symmetric``, and for ``triangle`` the two ends and
        the row that the shorter way leads over.
    rows
        The rows at these positions.
    distances
        ``identity``: of the row to itself; ``non-negative``: first to second; ``symmetric``: there and back; ``triangle``: the
        direct way, then both parts of the detour.

    Examples
    --------
    >>> from nearkin.metrics import SquaredEuclidean
    >>> (found,) = counterexamples(SquaredEuclidean(), [[0], [1], [2]], axioms=["triangle"])
    >>> print(found)
    the distance of row 0 [0] to row 2 [2] is 4, and over row 1 [1] it is 1 + 1
    """

    axiom: Axiom
    positions: tuple[int, ...]
    rows: tuple[np.ndarray, ...]
    distances: tuple[float, ...]

    def __str__(self) -> str:
        named = [f"row {at} {show_row(row, 3)}" for at, row in zip(self.positions, self.rows, strict=True)]
        return _SENTENCES[self.axiom].format(*named, *self.distances)


def counterexamples(
    metric: Metric, rows: object, *, axioms: Iterable[Axiom] | None = None, positions: np.ndarray | None = None
) -> list[Counterexample]:
    """The worst violation of each axiom among some rows; an axiom that holds for them gives none.

    A violation within the rounding of float32 is none: one smaller than `ROUNDING` of the largest distance, or one that is
    gone when the same formula is computed in float64.

    Parameters
    ----------
    metric
        Fitted, if it needs to be.
    rows
        (n, dim) rows; those that the metric refuses are left out.
    axioms
        Which to try; None for those that the metric declares.
    positions
        (n,) what to call the rows; None for 0 to n - 1.

    Raises
    ------
    ParameterError
        An unknown axiom.
    PluginContractError
        The metric gives NaN, or no numbers.

    Examples
    --------
    >>> from nearkin.metrics import Euclidean, InnerProduct
    >>> counterexamples(Euclidean(), [[0, 1], [2, 3]])
    []
    >>> [str(each) for each in counterexamples(InnerProduct(), [[0, 1], [2, 3]], axioms=["non-negative"])]
    ['the distance of row 1 [2, 3] to row 1 [2, 3] is -13']
    """
    wanted = _known(metric.axioms if axioms is None else axioms)
    given = as_vectors(rows, dtype=metric.dtype)
    named = np.arange(len(given)) if positions is None else positions
    kept = np.flatnonzero(~metric.refuses(given)) if metric.refuses_rows else np.arange(len(given))
    kept = kept[_spread(len(kept), PAIRS_ROWS)]
    if not wanted or not kept.size:
        return []
    given, named = np.ascontiguousarray(given[kept]), named[kept]
    who = f"metric {metric.name!r}"
    values = as_values(metric.pairwise(given, given), (len(given), len(given)), who, (named, named))
    slack = ROUNDING * _largest(values)
    found = []
    for axiom in wanted:
        excess, places = _worst(axiom, values)
        members = given[list(places)]
        if excess > slack and not _is_rounding(metric, axiom, members, slack):
            at = tuple(int(each) for each in named[list(places)])
            distances = tuple(float(each) for each in _distances(axiom, values, places))
            found.append(Counterexample(axiom, at, tuple(members), distances))
    return found


def need_axioms(metric: Metric, rows: np.ndarray, positions: np.ndarray | None = None, *, seed: int = 0) -> None:
    """Raise PluginContractError if `SAMPLE_ROWS` of the rows, drawn at random, break an axiom that the metric declares.

    Parameters
    ----------
    rows
        (n, dim) float32 rows, or packed bits, that the metric does not refuse.
    positions
        (n,) what an error calls the rows; None for 0 to n - 1.

    Examples
    --------
    >>> class Wrong(Metric):
    ...     name = "wrong"
    ...     axioms = frozenset({"symmetric"})
    ...     def pairwise(self, queries, vectors):
    ...         return np.maximum(queries - vectors.T, 0)
    >>> need_axioms(Wrong(), np.float32([[0], [3]]))
    Traceback (most recent call last):
        ...
    nearkin.errors.PluginContractError: metric 'wrong' declares the axiom symmetric, and rows break it: the distance of row 0 \
[0] to row 1 [3] is 0, and back 3; correct the formula, or leave symmetric out of its axioms
    """
    if not metric.axioms:
        return
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(rows), min(len(rows), SAMPLE_ROWS), replace=False))
    found = counterexamples(metric, rows[chosen], positions=chosen if positions is None else positions[chosen])
    if found:
        names = [each.axiom for each in found]
        listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        axiom, them = ("axiom", "it") if len(names) == 1 else ("axioms", "them")
        raise PluginContractError(
            f"metric {metric.name!r} declares the {axiom} {listed}, and rows break {them}: {'; '.join(map(str, found))}",
            hint=f"correct the formula, or leave {listed} out of its axioms",
        )


def _known(axioms: Iterable[Axiom]) -> list[Axiom]:
    asked: set[str] = set(axioms)
    unknown = sorted(asked - set(_ORDER))
    if unknown:
        raise ParameterError(f"{unknown[0]!r} is not an axiom, {', '.join(_ORDER)} expected")
    return [axiom for axiom in _ORDER if axiom in asked]


def _spread(n: int, most: int) -> np.ndarray:
    """Numbers of at most `most` of n rows, evenly spread."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)


def _largest(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def _distances(axiom: Axiom, values: np.ndarray, places: tuple[int, ...]) -> Iterator[np.floating]:
    """The distances that the axiom compares, in the order of its sentence."""
    start, end = places[0], places[min(1, len(places) - 1)]
    yield values[start, end]
    if axiom == "symmetric":
        yield values[end, start]
    if axiom == "triangle":
        yield values[start, places[2]]
        yield values[places[2], end]


def _excess(axiom: Axiom, *distances: np.ndarray | np.floating) -> np.ndarray:
    """By how much distances, in the order of the axiom's sentence, break it; infinite ones that cancel do not."""
    with np.errstate(invalid="ignore"):
        if axiom == "non-negative":
            excess = -distances[0]
        elif axiom == "triangle":
            excess = distances[0] - (distances[1] + distances[2])
        else:
            excess = np.abs(distances[0] - (distances[1] if axiom == "symmetric" else 0.0))
    return np.where(np.isnan(excess), -np.inf, excess)


def _worst(axiom: Axiom, values: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """The largest excess, and the rows that it is found at."""
    if axiom == "identity":
        excess = _excess(axiom, np.diagonal(values))
        return float(excess.max()), (int(excess.argmax()),)
    if axiom != "triangle":
        excess = _excess(axiom, values, values.T) if axiom == "symmetric" else _excess(axiom, values)
        start, end = np.unravel_index(int(excess.argmax()), excess.shape)
        return float(excess.max()), (int(start), int(end))
    few = _spread(len(values), DETOUR_ROWS)
    part = values[np.ix_(few, few)]
    worst, places = -np.inf, (0, 0, 0)
    for over in range(len(few)):
        excess = _excess(axiom, part, part[:, over, None], part[None, over, :])
        if excess.max() > worst:
            start, end = np.unravel_index(int(excess.argmax()), excess.shape)
            worst, places = float(excess.max()), (int(few[start]), int(few[end]), int(few[over]))
    return worst, places


def _is_rounding(metric: Metric, axiom: Axiom, members: np.ndarray, slack: float) -> bool:
    """Whether rows no longer break an axiom when the distances between them are computed in float64."""
    if members.dtype != np.float32:
        return False
    wide = members.astype(np.float64)
    try:
        with np.errstate(all="ignore"):
            values = _in_plain_python(metric, wide) if _by_kernel(metric) else metric.distances(wide, wide)
        return bool(_excess(axiom, *_distances(axiom, values, tuple(range(len(members))))) <= slack)
    except Exception:  # a stranger's formula may not take float64, or divide by a zero that float32 did not see
        return False


def _by_kernel(metric: Metric) -> bool:
    return metric.reduces_to is None and metric.kernel is not None and type(metric).pairwise is Metric.pairwise


def _in_plain_python(metric: Metric, rows: np.ndarray) -> np.ndarray:
    """(n, n) distances by a kernel's Python function, which numba has not made float32 of."""
    kernel = metric.kernel
    assert kernel is not None
    extra = (metric.kernel_params(),) if read_kernel(kernel).takes_params else ()
    return np.array([[float(kernel(a, b, *extra)) for b in rows] for a in rows])
