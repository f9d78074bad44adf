"""Built-in metrics: what they are called, and their options. The formulas are in `nearkin_plugins.distances`."""

from __future__ import annotations

from dataclasses import dataclass

from nearkin.hooks import MetricSpec, hookimpl


@dataclass(frozen=True)
class MinkowskiParams:
    """Options of minkowski.

    Attributes
    ----------
    p
        From 1 (`manhattan`) over 2 (`euclidean`) to 1,000 (almost `chebyshev`).
    """

    p: float = 2.0


@dataclass(frozen=True)
class MahalanobisParams:
    """Options of mahalanobis.

    Attributes
    ----------
    shrinkage
        From 0 (the covariance as it is) to 1 (all columns alike).
    """

    shrinkage: float = 0.0


@dataclass(frozen=True)
class WeightedEuclideanParams:
    """Options of weighted-euclidean.

    Attributes
    ----------
    weights
        One a column: ``1/2/0.5``, or a file that has them (``.npy``, or text); left out, 1 for all.
    """

    weights: str | None = None


@dataclass(frozen=True)
class HaversineParams:
    """Options of haversine.

    Attributes
    ----------
    radius
        Of the sphere: kilometres of the Earth, or 1 for radians.
    """

    radius: float = 6371.0088


@dataclass(frozen=True)
class GowerParams:
    """Options of gower.

    Attributes
    ----------
    categorical
        Columns that are categories, counted from 0: ``2/5``; left out, all are numbers.
    """

    categorical: str | None = None


@hookimpl
def nearkin_metrics() -> list[MetricSpec]:
    """The metrics that come with nearkin."""
    return [
        MetricSpec(
            name="euclidean",
            summary="Length of the straight line between two rows.",
            make="nearkin.metrics:Euclidean",
            aliases=("l2",),
        ),
        MetricSpec(
            name="sqeuclidean",
            summary="Squared Euclidean distance: the same order, no root.",
            make="nearkin.metrics:SquaredEuclidean",
            aliases=("squared-l2", "l2sqr"),
        ),
        MetricSpec(
            name="inner-product",
            summary="Negated inner product: the larger the product, the nearer.",
            make="nearkin.metrics:InnerProduct",
            aliases=("ip", "dot"),
        ),
        MetricSpec(
            name="cosine",
            summary="One minus the cosine of the angle; lengths do not matter.",
            make="nearkin.metrics:Cosine",
            aliases=("cos",),
        ),
        MetricSpec(
            name="manhattan",
            summary="Sum of the absolute differences (L1).",
            make="nearkin_plugins.distances.lp:Manhattan",
            aliases=("l1", "cityblock"),
        ),
        MetricSpec(
            name="chebyshev",
            summary="Largest absolute difference (L-infinity).",
            make="nearkin_plugins.distances.lp:Chebyshev",
            aliases=("linf",),
        ),
        MetricSpec(
            name="minkowski",
            summary="The Lp distance: the larger p, the more the largest differences decide.",
            make="nearkin_plugins.distances.lp:Minkowski",
            params=MinkowskiParams,
            aliases=("lp",),
            examples=({}, {"p": 1.0}, {"p": 1.5}, {"p": 3.0}),
        ),
        MetricSpec(
            name="mahalanobis",
            summary="Euclidean distance after scaling and decorrelating the columns.",
            make="nearkin_plugins.distances.affine:Mahalanobis",
            params=MahalanobisParams,
            examples=({}, {"shrinkage": 0.01}),
        ),
        MetricSpec(
            name="standardized-euclidean",
            summary="Euclidean distance in units of each column's own spread.",
            make="nearkin_plugins.distances.affine:StandardizedEuclidean",
            aliases=("seuclidean",),
        ),
        MetricSpec(
            name="weighted-euclidean",
            summary="Euclidean distance with a weight for each column.",
            make="nearkin_plugins.distances.affine:WeightedEuclidean",
            params=WeightedEuclideanParams,
            aliases=("weuclidean",),
        ),
        MetricSpec(
            name="correlation",
            summary="One minus Pearson's correlation; neither level nor scale of a row matters.",
            make="nearkin_plugins.distances.directions:Correlation",
            aliases=("pearson",),
        ),
        MetricSpec(
            name="angular",
            summary="The angle between two rows, in radians: cosine as a distance.",
            make="nearkin_plugins.distances.directions:Angular",
            aliases=("arccos",),
        ),
        MetricSpec(
            name="canberra",
            summary="Sum of differences relative to the values, so that small values count too.",
            make="nearkin_plugins.distances.abundances:Canberra",
        ),
        MetricSpec(
            name="bray-curtis",
            summary="Share of everything in two rows of amounts that they do not have in common.",
            make="nearkin_plugins.distances.abundances:BrayCurtis",
            aliases=("braycurtis",),
        ),
        MetricSpec(
            name="hellinger",
            summary="Distance of distributions: Euclidean distance of the roots of shares.",
            make="nearkin_plugins.distances.histograms:Hellinger",
        ),
        MetricSpec(
            name="jensen-shannon",
            summary="Distance of distributions: root of the Jensen-Shannon divergence.",
            make="nearkin_plugins.distances.histograms:JensenShannon",
            aliases=("jensenshannon", "js"),
        ),
        MetricSpec(
            name="haversine",
            summary="Way over the globe in kilometres; columns are latitude and longitude in degrees.",
            make="nearkin_plugins.distances.sphere:Haversine",
            params=HaversineParams,
            aliases=("great-circle",),
            examples=({}, {"radius": 1.0}),
        ),
        MetricSpec(
            name="gower",
            summary="Mixed columns, numbers by their range and categories by same or other.",
            make="nearkin_plugins.distances.mixed:Gower",
            params=GowerParams,
            examples=({}, {"categorical": "0/1"}),
        ),
        MetricSpec(
            name="hamming",
            summary="Number of bits that differ between rows of packed bits.",
            make="nearkin_plugins.distances.bits:Hamming",
        ),
        MetricSpec(
            name="jaccard",
            summary="Share of the bits set in either row of packed bits that are not set in both.",
            make="nearkin_plugins.distances.bits:Jaccard",
            aliases=("tanimoto",),
        ),
        MetricSpec(
            name="dice",
            summary="As jaccard, with the bits set in both rows counted twice.",
            make="nearkin_plugins.distances.bits:Dice",
            aliases=("sorensen", "sorensen-dice"),
        ),
    ]
