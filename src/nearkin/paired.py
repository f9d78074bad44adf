"""Two plans asked the same queries: how much their recalls differ, and whether chance alone could have made it so."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from nearkin.accuracy import CAUTION, CONFIDENCE_Z
from nearkin.errors import ParameterError, VectorError
from nearkin.search_parameters import whole_number
from nearkin.vectors import block_rows

FLIPS = 9999
"""Random sign flips that a difference is held against."""

EVERY = 13
"""Differing queries up to which every combination of signs is tried."""


@dataclass(frozen=True)
class Difference:
    """Mean of per-query differences, with a 95 % interval.

    >>> print(Difference.of(np.array([0.1, 0.0, 0.0, 0.1] * 100)))
    +0.050 (95 % interval +0.041 to +0.058, 400 queries)
    """

    mean: float
    low: float
    high: float
    queries: int
    unit: str = "queries"
    """What is asked, in words."""

    @classmethod
    def of(cls, differences: np.ndarray) -> Difference:
        """An adjusted Wald interval for a mean of differences in [-1, 1].

        Two queries that were never asked, one for and one against with all of the recall, are counted among the others, since few
        queries seldom show how much queries can differ: the interval never shrinks to a point. For queries that are all or
        nothing it is the interval of Bonett and Price.

        Source: D. Bonett and R. Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on
        paired data" (2012).
        """
        n = len(differences)
        if not n:
            raise VectorError("there are no queries to compare with", hint="pass at least one")
        count = n + CAUTION
        centre = float(differences.sum()) / count
        spread = (float((differences**2).sum()) + CAUTION) / count - centre**2
        reach = CONFIDENCE_Z * sqrt(max(0.0, spread) / count)
        mean = float(differences.mean())
        return cls(mean, max(-1.0, min(mean, centre - reach)), min(1.0, max(mean, centre + reach)), n)

    @classmethod
    def nothing(cls, queries: int) -> Difference:
        """None, for a reason that needs no measuring.

        >>> Difference.nothing(7).high
        0.0
        """
        return cls(0.0, 0.0, 0.0, queries)

    def __str__(self) -> str:
        return f"{self.mean:+.3f} (95 % interval {self.low:+.3f} to {self.high:+.3f}, {self.queries:,} {self.unit})"


@dataclass(frozen=True)
class Comparison:
    """Two plans on the same queries.

    Attributes
    ----------
    first, second
        Mean recall of each.
    difference
        The first's recall minus the second's.
    p_value
        How often plans that are equally good differ so much or more, by the sign-flip test.
    """

    first: float
    second: float
    difference: Difference
    p_value: float

    @property
    def certain(self) -> bool:
        """Whether one is better beyond the 5 % level."""
        return self.p_value < 0.05

    def __str__(self) -> str:
        return f"{self.first:.3f} against {self.second:.3f}: {self.difference}, p = {self.p_value:.2g}"


def compare(first: Any, second: Any, *, seed: int = 0) -> Comparison:
    """Compare the recall of two plans that were asked the same queries, query by query.

    Parameters
    ----------
    first, second
        What `nearkin.measure` or `nearkin.evaluate` gave, or (nq,) recalls in [0, 1], in the same order of queries.
    seed
        Seed of the sign flips.

    Raises
    ------
    ParameterError
        Other numbers of queries, so that they cannot be the same ones; another k; no recalls.

    Notes
    -----
    If both plans are equally good, the sign of each query's difference is a coin toss. The p value is the share of sign flips
    (all of them where up to 13 queries differ, else 9,999 at random and the one observed) whose mean is as far from zero as the
    observed one. Source: R. A. Fisher, "The design of experiments" (1935), chapter III.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> better, worse = rng.binomial(10, 0.97, 500) / 10, rng.binomial(10, 0.93, 500) / 10
    >>> compare(better, worse).certain, compare(better, better).p_value
    (True, 1.0)
    """
    one, other = _recalls(first), _recalls(second)
    if one.shape != other.shape:
        raise ParameterError(
            f"{len(one):,} and {len(other):,} queries cannot be the same ones",
            hint="measure both with the same queries=",
        )
    kept = [getattr(each, "k", None) for each in (first, second)]
    if None not in kept and kept[0] != kept[1]:
        raise ParameterError(
            f"recall@{kept[0]} and recall@{kept[1]} are not the same", hint="measure both with the same k"
        )
    seed = whole_number("seed", seed, 0, 2**63)
    difference = Difference.of(one - other)
    return Comparison(float(one.mean()), float(other.mean()), difference, _p_value(one - other, seed))


def _recalls(given: Any) -> np.ndarray:
    """Recalls by query of a measurement, or as they are."""
    values = getattr(getattr(given, "quality", given), "recalls", given)
    try:
        recalls = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"a {type(given).__name__} has no recalls, one a query expected") from error
    if recalls.ndim != 1 or not ((recalls >= 0) & (recalls <= 1)).all():
        raise ParameterError(f"recalls have shape {recalls.shape}, (queries,) numbers from 0 to 1 expected")
    return recalls


def _p_value(differences: np.ndarray, seed: int) -> float:
    differing = differences[np.abs(differences) > 1e-12]
    if not len(differing):
        return 1.0
    observed = abs(float(differing.sum())) - 1e-9  # a sum in another order may be a rounding below
    if len(differing) <= EVERY:
        signs = np.array(list(itertools.product((-1, 1), repeat=len(differing))))
        return float((np.abs(signs @ differing) >= observed).mean())
    rng = np.random.default_rng(seed)
    extreme, step = 0, block_rows(8 * len(differing))
    for start in range(0, FLIPS, step):
        signs = rng.integers(0, 2, (min(step, FLIPS - start), len(differing)), dtype=np.int8)
        extreme += int((np.abs((2 * signs - 1) @ differing) >= observed).sum())
    return (1 + extreme) / (1 + FLIPS)
