"""Pictures of a clustering: its rows in two dimensions, what k was chosen by, and how far rows are from their centroids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nearkin.reporting.drawing import FAINT, INK, PAPER, Picture, draw, need_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nearkin.clustering.number_of_clusters import KChoice
    from nearkin.clustering.outliers import Outliers
    from nearkin.clustering.result import Clustering

COLOURS = ("#0f77c0", "#e08a00", "#0a9b74", "#c8609a", "#d1500a", "#4aa9dd")
"""Told apart by those who do not see all colours (after Okabe and Ito), and seen on white and on black."""

SHAPES = ("o", "s", "^", "D")
MOST_COLOURED = len(COLOURS) * 2
"""Clusters that colours and shapes tell apart; of more, rows are grey and only centroids are marked."""

MOST_NUMBERED = 60
ROWS_DRAWN = 4000
ROWS_OF_EACH = 12
"""Rows of a small cluster that are drawn whatever its share."""

ROWS_AS_SHAPES = 1200
"""Up to so many rows the page holds as shapes, more as a bitmap."""

BAND_COLOURS = {"warning": COLOURS[1], "critical": COLOURS[4]}


class Projection(NamedTuple):
    """Rows and centroids in the plane."""

    rows: np.ndarray
    """(n, 2) places."""
    centroids: np.ndarray
    """(k, 2) places."""
    axes: tuple[str, str]
    """What is drawn to the right and upwards."""
    note: str
    """How the plane was found."""


def cluster_picture(found: Clustering, columns: Sequence[str] = (), *, seed: int = 0) -> Picture:
    """Rows in the plane, each cluster numbered at its centroid, which is as large as it has rows.

    Parameters
    ----------
    columns
        Names of the columns, where there are any.
    seed
        Of the rows that are drawn, where there are too many.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    need_matplotlib()
    some = found.at_hand
    shown = thinned(some.labels, some.k, seed=seed)
    places = project(some, shown, columns)
    return draw(
        "clusters",
        f"{found.k:,} cluster{'s' if found.k > 1 else ''}",
        _caption(found, shown, places),
        lambda axes: _scatter(axes, some.labels[shown], found.sizes, places),
        width=7.6,
        height=5.4,
    )


def curve_picture(choice: KChoice) -> Picture:
    """Inertia and silhouette over the number of clusters, with the one that was chosen.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    need_matplotlib()
    return draw(
        "k_curve",
        "How many clusters",
        "The solid line is the silhouette, larger is better; the dashed one is the inertia, as a share of its first value. The "
        "vertical line is the k that was taken.",
        lambda axes: _curve(axes, choice),
        width=7.6,
        height=3.4,
    )


def outlier_picture(found: Outliers) -> Picture:
    """How far rows are from their centroids, with the limits of the bands.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    need_matplotlib()
    counts = found.counts
    return draw(
        "outliers",
        "Distances from the centroids",
        f"{counts['warning']:,} rows lie in the warning band and {counts['critical']:,} in the critical one.",
        lambda axes: _bands(axes, found),
        width=7.6,
        height=3.0,
    )


# ---- the plane -------------------------------------------------------------------------------------------------------


def thinned(labels: np.ndarray, k: int, *, seed: int = 0, most: int = ROWS_DRAWN) -> np.ndarray:
    """Numbers of at most about `most` rows, ascending: of each cluster its share, and a few of the smallest.

    >>> thinned(np.array([0] * 96 + [1] * 4), 2, most=10).size
    14
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    least = min(ROWS_OF_EACH, max(1, most // k))
    chosen = []
    for cluster in range(k):
        members = np.flatnonzero(labels == cluster)
        wanted = min(len(members), max(least, round(most * len(members) / len(labels))))
        chosen.append(rng.choice(members, wanted, replace=False))
    return np.sort(np.concatenate(chosen))


def project(found: Clustering, shown: np.ndarray, columns: Sequence[str] = ()) -> Projection:
    """Two columns as they are; more, as the metric sees them, on the two directions along which they spread most."""
    centroids, in_units = found.centroids, found.metric.centroid_rule is not None
    if centroids.shape[1] == 2 and in_units:
        names = tuple(columns) if len(columns) == 2 else ("first column", "second column")
        rows = found.metric.unprepare(found.prepared[shown])
        return Projection(rows, centroids, (names[0], names[1]), "The two columns as they are.")
    rows, middles = _wide(found, found.prepared[shown]), _wide(found, found.partition.centroids)
    if rows.shape[1] == 1 and in_units:
        height = np.random.default_rng(0).uniform(-1, 1, len(rows))
        names = (columns[0] if columns else "the column", "")
        plain = found.metric.unprepare(found.prepared[shown])
        flat = np.column_stack([plain, height])
        return Projection(flat, np.column_stack([centroids, np.zeros(found.k)]), names, "Heights are random.")
    mean = rows.mean(axis=0)
    _, spreads, directions = np.linalg.svd(rows - mean, full_matrices=False)
    two = np.zeros((rows.shape[1], 2))
    two[:, : min(2, len(directions))] = directions[:2].T  # a single row has a single direction
    held = float((spreads[:2] ** 2).sum() / max((spreads**2).sum(), 1e-300))
    note = (
        f"The plane along which the rows spread most, as the metric sees them; it holds {held:.0%} of their variance."
    )
    axes = ("first principal component", "second principal component")
    return Projection((rows - mean) @ two, (middles - mean) @ two, axes, note)


def _wide(found: Clustering, prepared: np.ndarray) -> np.ndarray:
    """Prepared rows as float64, packed bits one by one."""
    bits = found.metric.dtype == "bits" and prepared.dtype == np.uint8
    return np.asarray(np.unpackbits(prepared, axis=1) if bits else prepared, dtype=np.float64)


def _caption(found: Clustering, shown: np.ndarray, places: Projection) -> str:
    rows = len(found.labels)
    drawn = "" if len(shown) == rows else f" {len(shown):,} of {rows:,} rows are drawn."
    told = "Numbers are clusters, and their circles are the larger the more rows they have."
    if found.k > MOST_COLOURED:
        told += " So many clusters no colours tell apart: rows are grey."
    return f"{places.note} {told}{drawn}"


# ---- drawing ---------------------------------------------------------------------------------------------------------


def _scatter(axes: Axes, labels: np.ndarray, sizes: np.ndarray, places: Projection) -> None:
    coloured = len(sizes) <= MOST_COLOURED
    bitmap = len(labels) > ROWS_AS_SHAPES
    area = float(np.clip(9000 / max(len(labels), 1), 5, 26))
    look: dict[str, Any] = {"linewidths": 0, "alpha": 0.75, "rasterized": bitmap, "zorder": 2}
    if not coloured:
        axes.scatter(places.rows[:, 0], places.rows[:, 1], s=area, color=FAINT, **look)
    for cluster in range(len(sizes) if coloured else 0):
        members = places.rows[labels == cluster]
        axes.scatter(members[:, 0], members[:, 1], s=area, color=colour_of(cluster), marker=_shape(cluster), **look)
    _centroids(axes, sizes, places.centroids, coloured=coloured)
    axes.set_xlabel(places.axes[0])
    axes.set_ylabel(places.axes[1])
    axes.margins(0.06)
    if not places.axes[1]:
        axes.set_yticks([])


def colour_of(cluster: int) -> str:
    """Of its rows and of the ring of its centroid."""
    return COLOURS[cluster % len(COLOURS)]


def _shape(cluster: int) -> str:
    return SHAPES[(cluster // len(COLOURS)) % len(SHAPES)]


def _centroids(axes: Axes, sizes: np.ndarray, places: np.ndarray, *, coloured: bool) -> None:
    """Rings by size, the largest below; numbers in those that there is room for."""
    share = np.sqrt(sizes / max(int(sizes.max()), 1))
    numbered = len(sizes) <= MOST_NUMBERED
    low, high = (230, 760) if coloured else (70, 240) if numbered else (6, 60)
    order = np.argsort(-sizes, kind="stable")
    for at, cluster in enumerate(order):
        ring = colour_of(int(cluster)) if coloured else INK
        axes.scatter(
            places[cluster, 0],
            places[cluster, 1],
            s=low + (high - low) * share[cluster] ** 2,
            facecolor=PAPER,
            edgecolor=ring,
            linewidths=2.2 if coloured else 1.0,
            zorder=3 + at / len(order),
        )
        if numbered:
            axes.annotate(
                str(int(cluster)),
                places[cluster],
                fontsize=9.5 if coloured else 6,
                color=INK,
                ha="center",
                va="center",
                zorder=3 + (at + 0.5) / len(order),
            )


def _curve(axes: Axes, choice: KChoice) -> None:
    from matplotlib.ticker import MaxNLocator

    points = choice.curve
    ks = [point.k for point in points]
    first = max(points[0].inertia, 1e-300)
    known = [(point.k, point.silhouette.mean) for point in points if point.silhouette is not None]
    axes.plot(
        ks, [point.inertia / first for point in points], color=FAINT, linestyle=(0, (4, 2)), marker="o", markersize=3
    )
    axes.set_ylabel("inertia (dashed)")
    axes.set_xlabel("k")
    axes.axvline(choice.k, color=COLOURS[1], linewidth=1.4)
    axes.annotate(f" k = {choice.k}", (choice.k, 0.02), xycoords=("data", "axes fraction"), va="bottom", color=INK)
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    right.grid(visible=False)
    right.plot([k for k, _ in known], [value for _, value in known], color=COLOURS[0], marker="s", markersize=4)
    right.set_ylabel("silhouette (solid)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _bands(axes: Axes, found: Outliers) -> None:
    scores = np.asarray(found.scores, dtype=np.float64)
    edges = np.histogram_bin_edges(scores, bins=min(60, max(10, int(np.sqrt(len(scores))))))
    counts, _ = np.histogram(scores, edges)
    axes.stairs(counts, edges, fill=True, color=COLOURS[0], alpha=0.45)
    axes.stairs(counts, edges, color=COLOURS[0], linewidth=1.1)
    for at, (band, colour) in enumerate(BAND_COLOURS.items()):
        limits = found.limits[:, at]
        if np.ptp(limits) == 0:
            axes.axvline(limits[0], color=colour, linewidth=1.6, linestyle=("--", "-")[at])
            axes.annotate(
                f" {band}", (limits[0], 0.98 - 0.13 * at), xycoords=("data", "axes fraction"), va="top", color=INK
            )
    axes.set_xlabel("distance from the nearest centroid")
    axes.set_ylabel("rows")
