"""Rows far from every centroid: scores, limits from the rows that were clustered, and bands as in quality control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nearkin.errors import ParameterError

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering

Band = Literal["normal", "warning", "critical"]
BANDS: tuple[Band, ...] = ("normal", "warning", "critical")

LimitRule = Literal["quantile", "tukey"]


@dataclass(frozen=True, eq=False)
class Outliers:
    """How far rows are from the nearest centroid, and how far is far.

    Attributes
    ----------
    scores
        (m,) float64 distance of each row from its nearest centroid, by the metric.
    labels
        (m,) int64 that centroid.
    limits
        (k, 2) warning and critical limit of each cluster; the same for all unless they were asked for by cluster. A score above a
        limit is beyond it; one that equals it is not.
    codes
        (m,) int8: 0 normal, 1 warning, 2 critical.
    rule
        Where the limits come from, in words.
    pooled
        Clusters with too few rows, by weight, for limits of their own, which have those of all rows; only where limits are by
        cluster.
    """

    scores: np.ndarray
    labels: np.ndarray
    limits: np.ndarray
    codes: np.ndarray
    rule: str
    pooled: tuple[int, ...] = ()

    @property
    def bands(self) -> np.ndarray:
        """(m,) ``"normal"``, ``"warning"`` or ``"critical"``."""
        return np.asarray(np.array(BANDS)[self.codes])

    def rows(self, band: Band) -> np.ndarray:
        """Numbers of the rows in a band, the farthest first.

        Raises
        ------
        ParameterError
            There is no such band.
        """
        if band not in BANDS:
            raise ParameterError(f"band is {band!r}, one of {', '.join(BANDS)} expected")
        found = np.flatnonzero(self.codes == BANDS.index(band))
        return found[np.argsort(-self.scores[found], kind="stable")]

    @property
    def counts(self) -> dict[str, int]:
        """Rows in each band."""
        counts = np.bincount(self.codes, minlength=len(BANDS))
        return {band: int(count) for band, count in zip(BANDS, counts, strict=True)}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "rule": self.rule,
            "limits": self.limits.tolist(),
            "pooled": list(self.pooled),
            "counts": self.counts,
            "scores": self.scores.tolist(),
            "labels": self.labels.tolist(),
            "bands": self.bands.tolist(),
        }


def outliers_of(
    clustering: Clustering,
    vectors: Any = None,
    *,
    warning: float = 0.95,
    critical: float = 0.99,
    per_cluster: bool = False,
    rule: LimitRule = "quantile",
) -> Outliers:
    """Score rows, see `nearkin.Clustering.outliers`."""
    if not 0 < warning <= critical < 1:
        raise ParameterError(f"warning is {warning} and critical {critical}, 0 < warning <= critical < 1 expected")
    if rule not in ("quantile", "tukey"):
        raise ParameterError(f"rule is {rule!r}, 'quantile' or 'tukey' expected")
    trained = clustering.distances()
    if vectors is None:
        labels, scores = clustering.labels, trained
    else:
        labels, scores = clustering.nearest(vectors)
    needed = (1 / (1 - warning), 1 / (1 - critical)) if rule == "quantile" else (TUKEY_ROWS, TUKEY_ROWS)

    def both(distances: np.ndarray, mass: np.ndarray) -> np.ndarray:
        if rule == "tukey":
            return fences(distances, mass)
        return np.array([weighted_quantile(distances, mass, share) for share in (warning, critical)])

    limits = np.tile(both(trained, clustering.mass), (clustering.k, 1))
    pooled = list[int]()
    if per_cluster:
        for cluster in range(clustering.k):
            members = np.flatnonzero((clustering.labels == cluster) & (clustering.mass > 0))
            enough = np.array([clustering.mass[members].sum() >= count - 1e-9 for count in needed])
            if enough.any():
                limits[cluster] = np.where(enough, both(trained[members], clustering.mass[members]), limits[cluster])
                limits[cluster, 1] = limits[cluster].max()
            if not enough.all():
                pooled.append(cluster)
    codes = (scores[:, None] > limits[labels]).sum(axis=1).astype(np.int8)
    return Outliers(scores, labels, limits, codes, _in_words(rule, warning, critical, per_cluster), tuple(pooled))


TUKEY_ROWS = 20
"""Quartiles of fewer rows, by weight, are too uncertain for fences."""


def _in_words(rule: LimitRule, warning: float, critical: float, per_cluster: bool) -> str:
    of = "of each cluster" if per_cluster else "of all rows"
    if rule == "tukey":
        return f"1.5 and 3 interquartile ranges above the upper quartile of the distances {of} (Tukey's fences)"
    return f"quantiles {warning:g} and {critical:g} of the distances {of} that were clustered"


def weighted_quantile(values: np.ndarray, mass: np.ndarray, share: float) -> float:
    """The least value that a share of the weight does not exceed; a row of weight 2 counts as two rows.

    >>> weighted_quantile(np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4), 0.75)
    3.0
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(mass[order])
    place = int(np.searchsorted(reached, share * reached[-1] * (1 - 1e-12)))
    return float(values[order[min(place, len(order) - 1)]])


def fences(values: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Upper quartile plus 1.5 and 3 interquartile ranges.

    Source: J. Tukey, "Exploratory data analysis" (1977), the inner and outer fence.

    >>> fences(np.arange(1.0, 9.0), np.ones(8)).tolist()
    [12.0, 18.0]
    """
    low, high = (weighted_quantile(values, mass, share) for share in (0.25, 0.75))
    return np.array([high + 1.5 * (high - low), high + 3 * (high - low)])
