"""What is out of scope: rows farther from every known row than known rows are from each other.

>>> scope_limit(np.arange(1000.0), 0.99)
990.0
"""

from __future__ import annotations

from math import ceil

import numpy as np

from nearkin.errors import ParameterError

ROUNDING = 1e-5
"""Distances are float32: this share beyond the limit is no farther."""


def need_scope(scope: float | None) -> None:
    """Refuse a share that is none.

    Raises
    ------
    ParameterError
        It is not above 0 and below 1.
    """
    number = isinstance(scope, int | float | np.number) and not isinstance(scope, bool)
    if scope is not None and not (number and 0 < scope < 1):
        raise ParameterError(
            f"scope is {scope!r}, a share above 0 and below 1 expected, or None to hold nothing for out of scope",
            hint="such as 0.99",
        )


def scope_limit(distances: np.ndarray, scope: float) -> float:
    """The distance within which a new row like the known ones lies, with at least the chance `scope`.

    Of n held-out distances it is the ceil((n + 1) scope)-th: then the chance holds for any distribution, as long as the new row
    is drawn like the held-out ones. Where there are too few for that it is +inf (for 0.99, fewer than 99).

    Source: V. Vovk, A. Gammerman, G. Shafer, "Algorithmic learning in a random world" (2005), split conformal prediction.

    Parameters
    ----------
    distances
        (n,) from held-out rows to the nearest row that they are compared with.
    """
    place = ceil((len(distances) + 1) * scope - 1e-9)
    if place > len(distances):
        return np.inf
    return float(np.partition(distances, place - 1)[place - 1])


def beyond(distances: np.ndarray, limit: float) -> np.ndarray:
    """(m,) whether distances are larger than the limit, of at least 0, by more than rounding.

    >>> beyond(np.array([3e-9, 3.00001e-9, 4e-9]), 3e-9).tolist()
    [False, False, True]
    """
    return np.asarray(distances > limit * (1 + ROUNDING)) if np.isfinite(limit) else np.zeros(len(distances), bool)
