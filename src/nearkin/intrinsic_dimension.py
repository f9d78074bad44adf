"""How many dimensions rows really fill, from the distances to their nearest neighbours.

Both estimates are for distances that grow like lengths: Euclidean, not squared, and not one minus the cosine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_ROWS = 50
"""Rows below which `intrinsic_dimension` gives no estimate."""


@dataclass(frozen=True)
class IntrinsicDimension:
    """Two estimates; where they differ much, the answer depends on the scale that one looks at."""

    two_nn: float
    levina_bickel: float


def intrinsic_dimension(radii: np.ndarray) -> IntrinsicDimension | None:
    """Both estimates, or None where the distances cannot carry any.

    Parameters
    ----------
    radii
        (n, k) distances to the k nearest other rows, ascending. Rows whose nearest is at 0 are left out; at least 50
        must remain, and k must be 2 or more.
    """
    radii = radii[(radii[:, 0] > 0) & np.isfinite(radii).all(axis=1)]
    if len(radii) < LEAST_ROWS or radii.shape[1] < 2:
        return None
    # Ties almost everywhere (grids, counts): the ratios say nothing about a dimension.
    if np.count_nonzero(radii[:, 1] > radii[:, 0]) < 0.5 * len(radii):
        return None
    return IntrinsicDimension(two_nn(radii), levina_bickel(radii))


def two_nn(radii: np.ndarray) -> float:
    """Intrinsic dimension from the ratio of the second nearest distance to the nearest.

    Where density hardly changes between the two, the ratio μ follows a Pareto law, F(μ) = 1 - μ^(-d); d is the slope
    of -log(1 - F) over log μ through the origin, without the tenth of the rows with the largest ratios. It looks at
    the smallest scale only, so noise counts as dimensions if the sample is dense enough to see it.

    Source: E. Facco, M. d'Errico, A. Rodriguez and A. Laio, "Estimating the intrinsic dimension of datasets by a
    minimal neighborhood information" (2017).

    Parameters
    ----------
    radii
        (n, 2 or more) distances to the nearest other rows, ascending, all positive, not all equal.

    Examples
    --------
    >>> ratios = (1 - np.arange(0.5, 1000) / 1000) ** (-1 / 4)  # the law itself, for d = 4
    >>> round(two_nn(np.column_stack([np.ones(1000), ratios])), 1)
    4.0
    """
    n = len(radii)
    kept = max(1, int(0.9 * n))
    x = np.sort(np.log(radii[:, 1] / radii[:, 0]))[:kept]
    y = -np.log1p(-np.arange(1, kept + 1) / (n + 1))
    return float(x @ y / (x @ x))


def levina_bickel(radii: np.ndarray) -> float:
    """Intrinsic dimension by maximum likelihood over the k nearest distances of each row.

    1 / d is the mean of log(T_k / T_j) over the k - 1 nearer neighbours j and over all rows. It looks at a larger scale
    than `two_nn`, and falls below the truth where there are many dimensions and few rows.

    Sources: E. Levina and P. Bickel, "Maximum likelihood estimation of intrinsic dimension" (2004); the mean of the
    inverses instead of the estimates: D. MacKay and Z. Ghahramani, "Comments" on it (2005).

    Parameters
    ----------
    radii
        (n, k >= 2) distances to the k nearest other rows, ascending, all positive, not all equal.

    Examples
    --------
    >>> round(levina_bickel(np.array([[1.0, np.e], [1.0, 1.0]])), 6)
    2.0
    """
    return float(1.0 / np.log(radii[:, -1:] / radii[:, :-1]).mean())
