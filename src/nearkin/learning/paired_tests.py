"""Whether two methods that predicted the same rows differ by more than chance.

>>> mcnemar(np.array([True] * 9 + [False]), np.array([False] * 9 + [False]))
0.00390625
>>> holm([0.01, 0.04, 0.03])
[0.03, 0.06, 0.06]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from nearkin.paired import Difference

MCNEMAR = "McNemar, exact"
CORRECTED_T = "corrected resampled t"


@dataclass(frozen=True)
class PairedTest:
    """One method against another on the same rows.

    Attributes
    ----------
    other
        The method that it was held against.
    difference, low, high
        By how much it is better, with a 95 % interval: in accuracy, or in mean squared error (the other's minus its own).
    p_value
        How often methods that are equally good differ so much or more.
    adjusted
        The p value corrected for as many tests as there were (Holm): of all pairs of methods where the other is the best, which was
        chosen on the same rows, else those against the same method.
    test
        Which test.
    """

    other: str
    difference: float
    low: float
    high: float
    p_value: float
    adjusted: float
    test: str

    @property
    def certain(self) -> bool:
        """Whether one is better beyond the 5 % level, all tests together."""
        return self.adjusted < 0.05


def mcnemar(one: np.ndarray, other: np.ndarray) -> float:
    """p value of two methods of which (n,) rows each got right: of the rows that one alone got right, half should be the first's.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions" (1947), with the binomial
    distribution instead of its approximation.
    """
    from scipy.special import bdtr

    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    return min(1.0, 2 * float(bdtr(min(first, second), first + second, 0.5)))


def corrected_resampled_t(differences: np.ndarray, tested: float, trained: float) -> tuple[float, float]:
    """p value of (folds,) differences between two methods, and how far the 95 % interval of their mean reaches.

    The variance between folds is taken (1 / folds + tested / trained) times, since folds share training rows.

    Source: C. Nadeau, Y. Bengio, "Inference for the generalization error" (2003).
    """
    from scipy.stats import t

    folds, mean = len(differences), float(differences.mean())
    spread = sqrt((1 / folds + tested / trained) * float(differences.var(ddof=1)))
    if spread <= 1e-12 * max(1e-300, float(np.abs(differences).max(initial=0.0))):
        return (1.0 if mean == 0 else 0.0), 0.0
    value = 2 * float(t.sf(abs(mean) / spread, folds - 1))
    return value, float(t.ppf(0.975, folds - 1)) * spread


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for how many there are, in the order given.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure" (1979).
    """
    order = np.argsort(p_values, kind="stable")
    found, last = [0.0] * len(order), 0.0
    for rank, at in enumerate(order.tolist()):
        last = max(last, min(1.0, (len(order) - rank) * p_values[at]))
        found[at] = last
    return found


def compare_labels(other: str, one: np.ndarray, against: np.ndarray) -> PairedTest:
    """McNemar's test of (n,) rows that each got right; not yet corrected for other tests."""
    gain = Difference.of(one.astype(np.float64) - against)
    p_value = mcnemar(one, against)
    return PairedTest(other, gain.mean, gain.low, gain.high, p_value, p_value, MCNEMAR)


def compare_numbers(other: str, one: np.ndarray, against: np.ndarray, folds: np.ndarray) -> PairedTest:
    """The corrected resampled t test of (n,) squared errors, fold by fold; not yet corrected for other tests."""
    count = int(folds.max()) + 1
    sizes = np.bincount(folds, minlength=count)
    gains = np.bincount(folds, against - one, minlength=count) / sizes
    tested = len(folds) / count
    p_value, reach = corrected_resampled_t(gains, tested, len(folds) - tested)
    mean = float(gains.mean())
    return PairedTest(other, mean, mean - reach, mean + reach, p_value, p_value, CORRECTED_T)
