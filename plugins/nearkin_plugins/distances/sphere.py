"""Distances on the globe."""

from __future__ import annotations

from math import isfinite

import numpy as np

from nearkin.errors import ParameterError, VectorError
from nearkin.metrics import ALL_AXIOMS, Metric, need_fitted
from nearkin.state import State
from nearkin_plugins.distances.blocks import mapped, one_against_many
from nearkin_plugins.distances.directions import arcs, squared_chord

EARTH_KM = 6371.0088
"""Mean radius of the Earth, (2 a + b) / 3 of the ellipsoid WGS 84 (H. Moritz, "Geodetic Reference System 1980")."""


class Haversine(Metric):
    """2 R arcsin √(sin²(Δφ/2) + cos φ_a cos φ_b sin²(Δλ/2)), the way over the globe between (latitude φ, longitude λ).

    Rows are two columns in degrees: latitude, from -90 to 90, then longitude, from -180 to 360. Other values are refused,
    which finds columns in the wrong order where a longitude is beyond 90.

    Source: the haversine formula (J. de Mendoza y Ríos, 1795); ``haversine`` in scikit-learn, which takes radians and leaves
    out the radius. On a sphere: up to 0.5 % from the way over the ellipsoid. Axioms: all four. Reduces to squared L2 of points
    on the unit sphere, the chord c of the angle 2 arcsin(c / 2), three columns less the mean of the rows fitted on. float32
    rounds degrees to 0.4 m of latitude and 0.9 m of longitude at most; the chords of rows within 100 km add a centimetre to
    that, those of rows all over the globe half a metre. Clustering makes the squared chords least; a centroid is a place on the
    globe, its longitude from -180 to 180.

    Parameters
    ----------
    radius
        R; 6371.0088 for kilometres on Earth, 1 for radians.

    Raises
    ------
    ParameterError
        The radius is not a positive number.

    Examples
    --------
    Paris to London and to Sydney, in kilometres:

    >>> metric = Haversine()
    >>> places = np.float32([[51.5074, -0.1278], [-33.8688, 151.2093]])
    >>> metric.fit(places)
    >>> metric.distances(np.float32([[48.8566, 2.3522]]), places).round(1).tolist()
    [[343.6, 16960.5]]
    """

    name = "haversine"
    axioms = ALL_AXIOMS
    reduces_to = "l2"
    centroid_rule = "direction"
    columns = ("latitude", "longitude")
    needs_fit = True
    refuses_rows = True
    bad_row_reason = "haversine takes latitudes from -90 to 90 degrees, then longitudes from -180 to 360"

    def __init__(self, radius: float = EARTH_KM) -> None:
        if not (radius > 0 and isfinite(radius)):
            raise ParameterError(f"radius is {radius}, a positive number expected")
        self.radius = float(radius)
        self._centre: np.ndarray | None = None

    def fit(self, sample: np.ndarray) -> None:
        """Learn where the rows are, so that those close to each other keep their digits."""
        self.prepared_dim(sample.shape[1])
        self._centre = points(sample).mean(axis=0) if len(sample) else np.zeros(3)

    def fit_for_centroids(self, sample: np.ndarray) -> None:
        """Leave points on the unit sphere around the origin, where their mean has a direction, and round to half a metre."""
        self.prepared_dim(sample.shape[1])
        self._centre = np.zeros(3)

    def prepared_dim(self, dim: int) -> int:
        if dim != len(self.columns):
            raise VectorError(f"vectors have {dim} columns, metric {self.name!r} takes 2: latitude and longitude")
        return 3

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        need_fitted(self, self._centre)
        self.prepared_dim(vectors.shape[1])
        return mapped(vectors, lambda rows: points(rows) - self._centre, 3)

    def unprepare(self, prepared: np.ndarray) -> np.ndarray:
        need_fitted(self, self._centre)
        return mapped(prepared, lambda rows: places(rows + self._centre), 2)

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """The formula itself, right to the last digit for small distances too."""
        need_fitted(self, self._centre)
        self.need_accepted(queries)
        angles = one_against_many(_angles, queries, vectors, lambda rows: np.radians(rows.astype(np.float64)))
        return self.radius * angles

    def finish(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values.dtype.type(self.radius) * arcs(values))

    def unfinish(self, distance: float) -> float:
        return squared_chord(distance / self.radius)

    def refuses(self, vectors: np.ndarray) -> np.ndarray:
        self.prepared_dim(vectors.shape[1])
        latitude, longitude = vectors[:, 0], vectors[:, 1]
        return np.asarray((np.abs(latitude) > 90) | (longitude < -180) | (longitude > 360))

    def state(self) -> State:
        return State({} if self._centre is None else {"centre": self._centre}, {"radius": self.radius})

    def restore(self, state: State) -> None:
        self.radius = float(state.meta["radius"])
        self._centre = state.arrays.get("centre")


def points(rows: np.ndarray) -> np.ndarray:
    """(n, 3) points of the unit sphere, in float64, of (n, 2) latitudes and longitudes in degrees.

    >>> points(np.float32([[0, 90], [90, 0]])).round(6).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    latitude, longitude = np.radians(rows.astype(np.float64)).T
    around = np.cos(latitude)
    return np.stack([around * np.cos(longitude), around * np.sin(longitude), np.sin(latitude)], axis=1)


def places(directions: np.ndarray) -> np.ndarray:
    """(n, 2) latitudes and longitudes in degrees, in float64, of (n, 3) points in these directions from the centre.

    >>> places(np.array([[0.0, 2.0, 0.0], [0.0, 0.0, -1.0]])).tolist()
    [[0.0, 90.0], [-90.0, 0.0]]
    """
    x, y, z = directions.T
    return np.asarray(np.degrees(np.stack([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)], axis=1)))


def _angles(place: np.ndarray, places: np.ndarray) -> np.ndarray:
    half = np.sin((places - place) / 2) ** 2
    squares = half[:, 0] + np.cos(place[0]) * np.cos(places[:, 0]) * half[:, 1]
    return np.asarray(2 * np.arcsin(np.sqrt(np.minimum(squares, 1))))
