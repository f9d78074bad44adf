"""What may be wrong with a clustering, in sentences with numbers, and what to try."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nearkin.clustering.medoid_rows import medoid_rows_of
from nearkin.clustering.misplaced_centroids import Pulled, pulled_centroids, sparse_centroids
from nearkin.clustering.problem import SHARE_OF_SPREAD
from nearkin.clustering.quality import imbalance, labelled
from nearkin.description import row_digests
from nearkin.vectors import block_rows, show_row

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering

STILL_FALLING = 1e-4
"""Share that the last iteration may gain where iterations ended for want of more, before it is called trouble."""

MANY_COPIES = 10
"""Copies of one row that are too few to be trouble, however few rows there are."""

NEARLY_ALL = 0.9
"""Share of the rows in one cluster."""

MOST_VARIANCE, WIDER = 0.9, 5.0
"""One column makes so much of the variance, and reaches so many times as far as the median column, where units differ."""

SHARED = 2.0
"""Times an even share that the largest membership of the mean row has, below which clusters are hardly apart."""

SHOWN = 5
"""Clusters of a kind that are told about."""

TroubleKind = Literal[
    "empty clusters",
    "reseeded clusters",
    "not converged",
    "oscillating",
    "too few distinct rows",
    "duplicates",
    "sparse region",
    "pulled centroid",
    "one large cluster",
    "unlike units",
    "rounded",
    "coinciding centroids",
]


@dataclass(frozen=True)
class Trouble:
    """Something to know about a clustering.

    Attributes
    ----------
    kind
        One of a few.
    clusters
        Which have it; all of them where none is named.
    sentence
        What was found, with the numbers.
    advice
        What to try.
    """

    kind: TroubleKind
    clusters: tuple[int, ...]
    sentence: str
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def troubles_of(clustering: Clustering) -> tuple[Trouble, ...]:
    """What is found, see `nearkin.Clustering.troubles`."""
    of_all, of_rows = (
        (_of_empty, _of_coinciding, _of_iterations, _of_one_large, _of_rounding),
        (_of_copies, _of_sparse, _of_pulled, _of_units),
    )
    some = clustering.at_hand
    return tuple(
        chain(
            (trouble for each in of_all for trouble in each(clustering)),
            (trouble for each in of_rows for trouble in each(some)),
        )
    )


def _of_empty(clustering: Clustering) -> Iterator[Trouble]:
    partition = clustering.partition
    empty = tuple(np.flatnonzero(clustering.sizes == 0).tolist())
    if empty:
        yield Trouble(
            "empty clusters",
            empty,
            f"{len(empty)} of {clustering.k} clusters ended without rows",
            f"ask for {clustering.k - len(empty)} clusters, or start from k-means++",
        )
    if partition.reseeded:
        often = "once" if partition.reseeded == 1 else f"{partition.reseeded} times"
        yield Trouble(
            "reseeded clusters",
            (),
            f"clusters ran empty {often} and were given {partition.reseeding or 'new centroids'}",
            "fewer clusters, or a start from k-means++, leave fewer of them empty",
        )


def _of_coinciding(clustering: Clustering) -> Iterator[Trouble]:
    """Fuzzy clusters fall together where all rows are about as far from all centroids, as in many columns."""
    memberships = clustering.memberships
    if memberships is None or clustering.k < 2:
        return
    even = float(memberships.max(axis=1).mean()) * clustering.k
    if even < SHARED:
        yield Trouble(
            "coinciding centroids",
            (),
            f"rows belong to their own cluster {even:.2f} times as much as to {clustering.k} clusters alike: "
            "centroids fall together",
            "lower the fuzziness, such as method='fuzzy:m=1.2'; many columns need values near 1",
        )


def _of_rounding(clustering: Clustering) -> Iterator[Trouble]:
    columns = clustering.problem.rounded
    if columns:
        shown = ", ".join(map(str, columns[:SHOWN])) + (", ..." if len(columns) > SHOWN else "")
        yield Trouble(
            "rounded",
            (),
            f"rows are compared as float32, whose numbers lie further apart than {SHARE_OF_SPREAD:.0%} of the standard "
            f"deviation in column{'s' if len(columns) > 1 else ''} {shown}",
            "subtract a round number near their mean from these columns before clustering, as from years, metres or seconds",
        )


def _of_iterations(clustering: Clustering) -> Iterator[Trouble]:
    history, made = clustering.history, clustering.iterations
    if clustering.ended == "oscillating":
        yield Trouble(
            "oscillating",
            (),
            f"{'' if made is None else f'after {made} iterations '}rows came back to clusters that they had been in, with an "
            "inertia that fell no more",
            "stop at a tolerance (tol=1e-4), drop copies of rows, or ask for fewer clusters",
        )
    if clustering.ended != "max_iter":
        return
    if len(history) < 2:
        yield Trouble(
            "not converged",
            (),
            f"iterations ended{'' if made is None else f' after {made}'} for want of more",
            "allow more by max_iter",
        )
        return
    gained = 1 - history[-1] / history[-2] if history[-2] > 0 else 0.0
    if gained > STILL_FALLING:
        yield Trouble(
            "not converged",
            (),
            f"iterations ended for want of more, and the last one still made the objective {gained:.2%} less",
            f"allow more{'' if made is None else f' than {made}'} by max_iter",
        )


def _of_copies(clustering: Clustering) -> Iterator[Trouble]:
    digests = np.concatenate(
        [row_digests(block) for block in _blocks(clustering.prepared)],
    )
    distinct, first, copies = np.unique(digests, return_index=True, return_counts=True)
    n, k = len(digests), clustering.k
    if len(distinct) < k:
        yield Trouble(
            "too few distinct rows",
            (),
            f"{k} clusters were asked of {n:,} rows, only {len(distinct):,} of which are distinct",
            f"ask for at most {len(distinct)} clusters",
        )
    most = int(copies.max())
    copied = int(copies[copies > 1].sum())
    if most >= max(MANY_COPIES, n / (2 * k)) or (copied > n / 2 and most >= MANY_COPIES):
        row = int(first[copies.argmax()])
        yield Trouble(
            "duplicates",
            (int(clustering.labels[row]),),
            f"{copied:,} of {n:,} rows have copies, and row {clustering.row_number(row)} occurs {most:,} times; the mean cluster "
            f"has {n / k:,.0f} rows",
            "cluster each distinct row once with its count in weights=, which gives the same in less time; "
            "drop copies that mean nothing",
        )


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    step = block_rows(rows.shape[1] * rows.itemsize)
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _of_sparse(clustering: Clustering) -> Iterator[Trouble]:
    found = sparse_centroids(clustering)
    if found:
        worst = found[0]
        more = f", and so do {len(found) - 1} more" if len(found) > 1 else ""
        yield Trouble(
            "sparse region",
            tuple(each.cluster for each in found),
            f"the centroid of cluster {worst.cluster} stands where no rows are: the nearest is {worst.nearest:.4g} away, and of "
            f"ten rows of the cluster nine have another within {worst.between:.4g}{more}",
            f"it stands between groups of rows: try more than {clustering.k} clusters, or other starts; "
            "medoid_rows() names a row that stands for each cluster",
        )


def _of_pulled(clustering: Clustering) -> Iterator[Trouble]:
    found = pulled_centroids(clustering)
    medoids = medoid_rows_of(clustering, [pulled.cluster for pulled in found[:SHOWN]])
    for pulled in found[:SHOWN]:
        place = int(medoids[pulled.cluster])
        row, medoid = map(clustering.row_number, (pulled.row, place))
        mean = clustering.centroids[pulled.cluster]
        given = clustering.metric.unprepare(clustering.prepared[place][None])[0]
        others = f"; {len(found)} clusters have this" if len(found) > SHOWN else ""
        yield Trouble(
            "pulled centroid",
            (pulled.cluster,),
            f"row {row} pulls the centroid of cluster {pulled.cluster}: it lies {pulled.distance:.4g} from where most of "
            f"the {pulled.rows:,} rows are, {_times(pulled)} their spread, and the mean is moved by {pulled.moved:.4g}; the mean "
            f"is {show_row(mean)}, the medoid, row {medoid}, is {show_row(given)}" + others,
            "look at that row; or use medoids (method='kmedoids') or medians (metric='manhattan'), which one row does not move",
        )


def _times(pulled: Pulled) -> str:
    """The distance in spreads; rows that are all the same have none."""
    return f"{pulled.distance / pulled.spread:,.0f} times" if pulled.spread > 0 else "beyond all of"


def _of_one_large(clustering: Clustering) -> Iterator[Trouble]:
    weights, weighted = labelled(clustering).weight, clustering.problem.weights is not None
    total, largest = float(weights.sum()), int(weights.argmax())
    if clustering.k > 1 and len(clustering.labels) > 2 * clustering.k and weights[largest] >= NEARLY_ALL * total:
        held = f"{weights[largest]:,.6g} of {total:,.6g}" + (" by weight" if weighted else " rows")
        yield Trouble(
            "one large cluster",
            (largest,),
            f"cluster {largest} holds {held}: the imbalance factor is {imbalance(weights):.2f}, where 1 is even and "
            f"{clustering.k} is all in one",
            "rows far out may have clusters of their own: see outliers(); scale the columns, or take another metric",
        )


def _of_units(clustering: Clustering) -> Iterator[Trouble]:
    """Under plain Euclidean distance only: other metrics have scales of their own."""
    if clustering.metric.name not in ("euclidean", "sqeuclidean") or clustering.prepared.shape[1] < 2:
        return
    rows, mass = clustering.prepared, clustering.mass / clustering.mass.sum()
    mean = np.sum([mass[some] @ rows[some].astype(np.float64) for some in _slices(rows)], axis=0)
    variance = np.sum([mass[some] @ (rows[some] - mean) ** 2 for some in _slices(rows)], axis=0)
    widest = int(np.argmax(variance))
    others = np.delete(variance, widest)
    others = others[others > 0]
    if not others.size or variance[widest] < MOST_VARIANCE * np.sum(variance):
        return
    varied = [column for column in np.flatnonzero(variance > 0) if column != widest]
    wide, usual = _reach(rows[:, widest]), float(np.median([_reach(rows[:, column]) for column in varied]))
    if wide >= WIDER * usual:
        yield Trouble(
            "unlike units",
            (),
            f"column {widest} makes {variance[widest] / np.sum(variance):.1%} of the variance, so that distances hardly see the "
            f"other {rows.shape[1] - 1}: its standard deviation is {np.sqrt(variance[widest]):.4g}, in the median of the others "
            f"{np.sqrt(np.median(others)):.4g}",
            "if the columns are of different units, use metric='standardized-euclidean'",
        )


def _slices(rows: np.ndarray) -> Iterator[slice]:
    step = block_rows(16 * rows.shape[1])
    return (slice(start, start + step) for start in range(0, len(rows), step))


def _reach(column: np.ndarray) -> float:
    """From the lowest twentieth to the highest: what one row far out does not change."""
    low, high = np.quantile(column, [0.05, 0.95])
    return float(high - low)
