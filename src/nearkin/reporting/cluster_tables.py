"""What a report on a clustering says: its tables as cells, CSV and JSON, each measure computed once."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.clustering.problem import ITERATIONS
from nearkin.errors import ParameterError

if TYPE_CHECKING:
    from nearkin.clustering.outliers import Outliers
    from nearkin.clustering.quality import ClusterQuality
    from nearkin.clustering.result import Clustering
    from nearkin.clustering.trouble import Trouble

MOST_COLUMNS = 8
"""Columns whose centroids fit in a table."""


@dataclass(frozen=True, eq=False)
class ClusterReport:
    """A clustering with the names of its rows and columns.

    Attributes
    ----------
    found
        What is told about.
    ids
        n ids of the rows; None for their numbers.
    columns
        dim names of the columns, or none.
    title
        What the rows are called, such as the name of a file.
    remarks
        Sentences on how the rows came to be clustered, such as that some were left out.
    numbered
        Whether ids are numbers of rows; None where that follows from whether there are ids.
    """

    found: Clustering
    ids: Sequence[Any] | None = None
    columns: tuple[str, ...] = ()
    title: str = "your vectors"
    remarks: tuple[str, ...] = ()
    numbered: bool | None = None

    def __post_init__(self) -> None:
        dim = self.found.centroids.shape[1]
        if self.columns and len(self.columns) != dim:
            raise ParameterError(f"{len(self.columns):,} columns were named, {dim:,} were clustered")

    @cached_property
    def quality(self) -> ClusterQuality:
        """Of the clustering."""
        return self.found.quality()

    @cached_property
    def troubles(self) -> tuple[Trouble, ...]:
        """Of the clustering."""
        return self.found.troubles()

    @cached_property
    def outliers(self) -> Outliers:
        """Of the rows that were clustered."""
        return self.found.outliers()

    @cached_property
    def medoids(self) -> list[Any]:
        """k ids of the rows that stand for the clusters; None for a cluster without rows."""
        return [self.id_of(int(row)) if row >= 0 else None for row in self.found.medoid_rows()]

    @cached_property
    def spread(self) -> np.ndarray:
        """(k,) mean distance of the rows of each cluster from its centroid; 0 for one without rows."""
        sums = np.bincount(self.outliers.labels, weights=self.outliers.scores, minlength=self.found.k)
        return np.asarray(sums / np.maximum(self.found.sizes, 1))

    def id_of(self, row: int) -> Any:
        """A plain value."""
        if self.ids is None:
            return row
        found = self.ids[row]
        return found.item() if isinstance(found, np.generic) else found

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns; column_0 and so on where they have none."""
        return self.columns or tuple(f"column_{at}" for at in range(self.found.centroids.shape[1]))


def number(value: float) -> str:
    """Four digits, without an exponent where that can be.

    >>> number(452600.4), number(0.12345), number(-3.0)
    ('452,600', '0.1235', '-3')
    """
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def cluster_headers(report: ClusterReport, most: int = MOST_COLUMNS) -> tuple[str, ...]:
    """Of `cluster_cells`; the last is the medoid's id, or the number of its row."""
    numbered = report.ids is None if report.numbered is None else report.numbered
    silhouette = ("silhouette",) if _silhouettes(report) else ()
    shown = report.names if report.columns and len(report.names) <= most else ()
    medoid = "medoid row" if numbered else "medoid id"
    return ("cluster", "rows", "share", *shown, "mean distance", *silhouette, medoid)


def cluster_cells(report: ClusterReport, most: int = MOST_COLUMNS) -> list[tuple[str, ...]]:
    """A row for each cluster: its size, its centroid in the columns' units if they are few, and its medoid."""
    sizes, rows, silhouettes = report.found.sizes, len(report.found.labels), _silhouettes(report)
    wide = len(cluster_headers(report, most)) > 5 + bool(silhouettes)
    made = []
    for cluster, centroid in enumerate(report.found.centroids):
        middle = [number(float(value)) for value in centroid] if wide else []
        value = [_or_dash(silhouettes[cluster])] if silhouettes else []
        medoid = report.medoids[cluster]
        share = f"{sizes[cluster] / rows:.1%}"
        ends = [number(float(report.spread[cluster])), *value, "-" if medoid is None else str(medoid)]
        made.append((str(cluster), f"{sizes[cluster]:,}", share, *middle, *ends))
    return made


def _silhouettes(report: ClusterReport) -> Sequence[float | None]:
    return () if report.quality.silhouette is None else report.quality.silhouette.clusters


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def quality_facts(report: ClusterReport) -> dict[str, str]:
    """Each measure with what it says; those without a meaning are left out."""
    quality = report.quality
    facts = {}
    if quality.silhouette is not None:
        facts["silhouette"] = f"{quality.silhouette}; 1 is well apart, 0 is between two clusters"
    if quality.davies_bouldin is not None:
        facts["Davies-Bouldin"] = f"{quality.davies_bouldin:.3f}; smaller is better"
    if quality.calinski_harabasz is not None:
        facts["Calinski-Harabasz"] = f"{number(quality.calinski_harabasz)}; larger is better"
    if quality.wcss is not None and quality.tss is not None and quality.bcss is not None:
        held = f", which is {quality.bcss / quality.tss:.1%} of the total" if quality.tss > 0 else ""
        facts["WCSS"] = f"{number(quality.wcss)} within clusters, {number(quality.bcss)} between them{held}"
    else:
        facts["inertia"] = f"{number(report.found.inertia)}, the sum of distances from the centroids"
    facts["imbalance"] = (
        f"{quality.imbalance:.2f}; 1 where all clusters have as many rows, {report.found.k} where one has all"
    )
    return facts


def run_facts(report: ClusterReport) -> dict[str, str]:
    """What was clustered, and how."""
    found = report.found
    rows, dim = len(found.labels), found.centroids.shape[1]
    iterations = (
        ""
        if found.iterations is None or found.ended == "one pass"
        else f" after {_counted(found.iterations, 'iteration')}"
    )
    return {
        "rows": f"{rows:,} x {dim:,}",
        "clusters": f"{found.k:,}",
        "method": found.method.replace(f":max_iter={ITERATIONS}", ""),
        "metric": found.metric_name,
        "ended": f"{ENDS[found.ended]}{iterations}; seed {found.seed}",
    }


def _counted(count: int, of: str) -> str:
    return f"{count:,} {of}" if count == 1 else f"{count:,} {of}s"


ENDS: Mapping[str, str] = {
    "converged": "converged",
    "max_iter": "at the limit of iterations",
    "oscillating": "going in circles",
    "one pass": "after one pass",
}


def band_facts(report: ClusterReport) -> dict[str, str]:
    """Rows in each band, and its limits where they are the same for all clusters."""
    outliers, counts = report.outliers, report.outliers.counts
    limits = {"warning": outliers.limits[:, 0], "critical": outliers.limits[:, 1]}
    facts = {"normal": f"{counts['normal']:,} rows"}
    for band, of in limits.items():
        place = f", farther than {number(float(of[0]))}" if np.ptp(of) == 0 else ""
        facts[band] = f"{counts[band]:,} rows{place}"
    return facts


def as_dict(report: ClusterReport) -> dict[str, Any]:
    """JSON-able; everything but what is said of every row, which labels.csv has."""
    found, outliers = report.found, report.outliers
    clusters = [
        {
            "cluster": cluster,
            "rows": int(found.sizes[cluster]),
            "centroid": centroid,
            "mean_distance": float(report.spread[cluster]),
            "medoid": report.medoids[cluster],
            "warning": float(outliers.limits[cluster, 0]),
            "critical": float(outliers.limits[cluster, 1]),
        }
        for cluster, centroid in enumerate(_short(found.centroids))
    ]
    made = {
        "title": report.title,
        "rows": len(found.labels),
        "k": found.k,
        "columns": list(report.columns),
        "method": found.method,
        "metric": found.metric_name,
        "seed": found.seed,
        "ended": found.ended,
        "iterations": found.iterations,
        "inertia": found.inertia,
        "history": list(found.history),
        "remarks": list(report.remarks),
        "notes": list(found.partition.notes),
        "clusters": clusters,
        "quality": report.quality.to_dict(),
        "troubles": [trouble.to_dict() for trouble in report.troubles],
        "bands": {"rule": outliers.rule, "counts": outliers.counts},
        "choice": None if found.choice is None else found.choice.to_dict(),
    }
    return dict(plain(made))


def as_json(report: ClusterReport) -> str:
    """`as_dict` as one document, indented."""
    return json.dumps(as_dict(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """What JSON knows: numbers of numpy as Python's, tuples as lists, dates as text, and None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | int | float | None):
        return str(value)  # a date
    return None if isinstance(value, float) and not math.isfinite(value) else value


def labels_csv(report: ClusterReport, of: Outliers | None = None) -> str:
    """A line for each row (of those that were clustered, or of others): its id, cluster, distance from the centroid, and band."""
    outliers = report.outliers if of is None else of
    lines = zip(outliers.labels.tolist(), _short(outliers.scores), outliers.bands.tolist(), strict=True)
    return as_csv(("id", "cluster", "distance", "band"), ((report.id_of(at), *line) for at, line in enumerate(lines)))


def centroids_csv(report: ClusterReport) -> str:
    """A line for each cluster: its number, rows, medoid and centroid in the units of the columns."""
    found = report.found
    lines = zip(range(found.k), found.sizes.tolist(), report.medoids, _short(found.centroids), strict=True)
    return as_csv(
        ("cluster", "rows", "medoid", *report.names),
        ((cluster, rows, "" if medoid is None else medoid, *centroid) for cluster, rows, medoid, centroid in lines),
    )


def as_csv(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Comma-separated values with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    return out.getvalue()


def _short(values: np.ndarray) -> Any:
    """Numbers as the shortest decimals that float32 reads back the same."""
    return np.asarray(values, dtype=np.float32).astype(str).astype(np.float64).tolist()
