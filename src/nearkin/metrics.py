"""Metric contract: what "similar" means. Euclidean, inner product and cosine, the references.

Inside nearkin every metric is a distance: smaller is nearer, always. A metric is computed in one of these ways, the
best that it offers:

- *reduction*: rows are mapped exactly into a space where squared L2 or inner product gives the same order, and the
  value found there is turned into the distance (`prepare`, `finish`, `unfinish`);
- *native*: a library computes it (``native = {"faiss": "METRIC_L1"}``), and `pairwise` says the same in numpy;
- *kernel*: a plain Python function over two rows, ``kernel(a, b)`` or ``kernel(a, b, params)``, compiled by numba;
- *pairwise*: numpy over whole blocks, never called for a single pair.

A metric with a kernel and a `pairwise` is scanned by the kernel where numba is installed, and works without it. One with a
kernel beside a native name is scanned by the kernel where that is the faster.

An index never sees a metric, only the `Space` that it works in and rows prepared for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np

from nearkin.errors import NotTrainedError, PluginContractError, VectorError
from nearkin.kernel_source import read_kernel
from nearkin.kernels import Kernel, numba_is_installed
from nearkin.state import State
from nearkin.vectors import DType, block_rows, name_rows

Axiom = Literal["non-negative", "identity", "symmetric", "triangle"]
ALL_AXIOMS: frozenset[Axiom] = frozenset({"non-negative", "identity", "symmetric", "triangle"})

CentroidRule = Literal["mean", "direction", "median", "medoid"]
"""What a centroid of rows is; see `nearkin.objectives`."""

Pairwise = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Space:
    """Where an index works: how values between prepared rows are computed. Smaller is nearer.

    Attributes
    ----------
    label
        ``"l2"`` (squared Euclidean), ``"inner-product"`` (negated), ``"faiss:METRIC_…"`` (that library's own), or
        ``"pairwise"`` (only `pairwise` knows). Indexes declare the labels that they accept; one that accepts
        ``"pairwise"`` accepts every space, since each carries `pairwise`.
    pairwise
        ``(nq, dim), (n, dim) -> (nq, n)`` in numpy.
    dtype
        What prepared rows are: float32, or packed bits.
    kernel
        The formula over two rows, where the metric has one; always where the label is ``"kernel"``.
    axioms
        What values between prepared rows hold, for indexes whose pruning needs it. Empty for a reduction, whose values are
        not the metric's distances.
    exact_rows
        Whether it matters that values are equal and not only close, so that rows stored with loss would be of no use.
    """

    label: str
    pairwise: Pairwise
    dtype: DType = "float32"
    kernel: Kernel | None = None
    axioms: frozenset[Axiom] = frozenset()
    exact_rows: bool = False

    @property
    def compiled(self) -> Kernel | None:
        """The kernel, where numba is there to compile it; `pairwise` says the same."""
        return self.kernel if self.kernel is not None and numba_is_installed() else None


def squared_l2(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances in float64: ||q - x||² = ||q||² - 2 q·x + ||x||².

    That formula cancels where two rows are much closer to each other than to the origin; such pairs are computed again
    from their difference, so that every value is right to about 1e-7 of itself and equal rows are exactly 0 apart.

    >>> squared_l2(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])).tolist()
    [[25.0]]
    """
    q = queries.astype(np.float64)
    x = vectors.astype(np.float64)
    q_squares = np.einsum("ij,ij->i", q, q)
    values = q @ x.T
    values *= -2.0
    values += q_squares[:, None]
    values += np.einsum("ij,ij->i", x, x)[None, :]
    # The error is about 1e-16 (||q||² + ||x||²). Where the value is so small beside it, both norms are nearly equal, so
    # that comparing with the query's alone is enough.
    rows, columns = np.nonzero(values < (_CANCELLED * q_squares)[:, None])
    step = block_rows(24 * q.shape[1])
    for start in range(0, len(rows), step):
        row, column = rows[start : start + step], columns[start : start + step]
        difference = q[row] - x[column]
        values[row, column] = np.einsum("ij,ij->i", difference, difference)
    return values


_CANCELLED = 1e-7
"""Squared distances below this share of ||q||² are computed again from the difference."""


def negated_inner_product(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """-q·x in float64.

    >>> negated_inner_product(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])).tolist()
    [[-11.0]]
    """
    return -(queries.astype(np.float64) @ vectors.astype(np.float64).T)


L2 = Space("l2", squared_l2)
INNER_PRODUCT = Space("inner-product", negated_inner_product)


class Metric:
    """Base of every metric. Subclass it, set the declarations, and give one way to compute.

    Attributes
    ----------
    name
        How users ask for it.
    axioms
        Which of ``non-negative``, ``identity`` (d(x, x) = 0), ``symmetric`` and ``triangle`` it holds. The contract kit
        tests each on random rows, and `nearkin.build` on some of your own; see `nearkin.axioms`.
    dtype
        ``"float32"``, or ``"bits"`` for rows of packed bits (uint8).
    reduces_to
        ``"l2"`` or ``"inner-product"`` if `prepare` maps rows into that space, else None.
    native
        Library to the library's own name of this metric, for example ``{"faiss": "METRIC_L1"}``.
    kernel
        Static method ``kernel(a, b)`` or ``kernel(a, b, params)`` over two prepared rows, compiled by numba, else None.
    columns
        Names of the columns, for a metric of exactly these; empty for one that takes any number.
    needs_fit
        Whether `fit` must see rows before anything else is called.
    needs_exact_rows
        Whether it asks if values are equal, as of categories, so that codecs that change values a little are refused.
    centroid_rule
        How the centroid of prepared rows is found, for clustering: ``"mean"`` where squared L2 between prepared rows is what to
        minimise, ``"direction"`` (the mean scaled to length one) where prepared rows have length one, ``"median"`` of each
        column where the distance is the sum of absolute differences; None where only a row can stand for others. Under a metric
        that reduces, clustering by means or directions makes the squared distances of the space that it reduces to least: under
        the angle, squared chords.
    similarity_rule
        The formula of `similarity` in words, for help and docs.
    bad_row_reason
        Why `refuses` refuses, as the start of an error sentence.
    longest_row
        Euclidean length up to which rows and queries are taken: the squares of longer ones leave the range of float32,
        in which indexes compute. Infinite for a metric that scales its rows.

    Examples
    --------
    A metric in numpy:

    >>> class Canberra(Metric):
    ...     name = "my-canberra"
    ...     axioms = ALL_AXIOMS
    ...     def pairwise(self, queries, vectors):
    ...         q, x = queries[:, None, :], vectors[None, :, :]
    ...         total = np.abs(q) + np.abs(x)
    ...         return (np.abs(q - x) / np.where(total == 0, 1, total)).sum(axis=2)
    >>> Canberra().distances(np.float32([[1, 0]]), np.float32([[1, 2], [3, 0]])).tolist()
    [[1.0, 0.5]]
    """

    name: ClassVar[str]
    axioms: ClassVar[frozenset[Axiom]] = frozenset()
    dtype: ClassVar[DType] = "float32"
    reduces_to: ClassVar[Literal["l2", "inner-product"] | None] = None
    native: ClassVar[Mapping[str, str]] = {}
    kernel: ClassVar[Callable[..., Any] | None] = None
    columns: ClassVar[tuple[str, ...]] = ()
    needs_fit: ClassVar[bool] = False
    needs_exact_rows: bool = False
    centroid_rule: ClassVar[CentroidRule | None] = None
    similarity_rule: ClassVar[str] = "1 / (1 + distance)"
    bad_row_reason: ClassVar[str] = "rows cannot be compared under this metric"
    refuses_rows: ClassVar[bool] = False
    longest_row: ClassVar[float] = 1e18

    # ---- what an author writes -------------------------------------------------------------------------------------

    def fit(self, sample: np.ndarray) -> None:
        """Learn parameters from (n, dim) rows; metrics without any leave this alone."""

    def fit_for_centroids(self, sample: np.ndarray) -> None:
        """`fit`, so that prepared rows have the form that `centroid_rule` asks for; the same unless a metric says otherwise."""
        self.fit(sample)

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        """Map (n, dim) rows into the space that `reduces_to` names; must not change `vectors`."""
        return vectors

    def prepared_dim(self, dim: int) -> int:
        """Columns that `prepare` makes of `dim` columns, known before fitting."""
        return dim

    def prepare_queries(self, queries: np.ndarray) -> np.ndarray:
        """Map queries: what `refuses` refuses is an error, the rest is `prepare`, unless both sides are treated differently.

        Raises
        ------
        VectorError
            The metric is not defined on some of the queries.
        """
        self.need_accepted(queries)
        return self.prepare(queries)

    def unprepare(self, prepared: np.ndarray) -> np.ndarray:
        """(k, dim) rows, in the units of the user, that `prepare` maps to (k, prepared_dim) `prepared` ones, such as centroids."""
        return prepared

    def finish(self, values: np.ndarray) -> np.ndarray:
        """Turn values of the space into distances: non-decreasing, element by element, +inf stays +inf."""
        return values

    def unfinish(self, distance: float) -> float:
        """The value of the space that `finish` turns into `distance`; used for the radius of a range search."""
        return distance

    def kernel_params(self) -> np.ndarray | None:
        """Fitted parameters, as one array, for a kernel that takes them."""
        return None

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """(nq, dim) and (n, dim) rows to (nq, n) distances; metrics that reduce or have a kernel need not write it.

        Where there is no reduction, prepared rows are given as well, and must give the same distances as the rows themselves.
        """
        if self.reduces_to is None and self.kernel is not None:
            return self._compiled().pairwise(queries, vectors)
        if self.reduces_to is None:
            raise PluginContractError(
                f"metric {self.name!r} gives no way to compute it",
                hint="set reduces_to and write prepare, or write kernel or pairwise",
            )
        values = self.space.pairwise(self.prepare_queries(queries), self.prepare(vectors))
        return self.finish(values)

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        """Distances to similarities, larger is more alike; describe it in `similarity_rule`."""
        return np.asarray(1.0 / (1.0 + distances))

    def refuses(self, vectors: np.ndarray) -> np.ndarray:
        """Boolean mask of the rows that the metric is not defined on; set `refuses_rows` if you write it."""
        return np.zeros(len(vectors), dtype=bool)

    def state(self) -> State:
        """Fitted parameters; they travel with the index."""
        return State()

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""

    # ---- what the base class makes of it ---------------------------------------------------------------------------

    def _compiled(self) -> Kernel:
        assert self.kernel is not None
        return Kernel(read_kernel(self.kernel), self.kernel_params())

    def need_accepted(self, queries: np.ndarray) -> None:
        """Raise VectorError if the metric refuses some of the queries."""
        if self.refuses_rows:
            refused = np.flatnonzero(self.refuses(queries))
            if refused.size:
                raise VectorError(f"{self.bad_row_reason}: {name_rows(refused, len(queries))} of the queries")

    @property
    def space(self) -> Space:
        """Where an index that serves this metric works."""
        if self.reduces_to is not None:
            return L2 if self.reduces_to == "l2" else INNER_PRODUCT
        for library, constant in self.native.items():
            kernel = None if self.kernel is None else self._compiled()
            label = f"{library}:{constant}"
            return Space(label, self.pairwise, self.dtype, kernel, self.axioms, self.needs_exact_rows)
        if self.kernel is not None:
            return Space("kernel", self.pairwise, self.dtype, self._compiled(), self.axioms, self.needs_exact_rows)
        return Space("pairwise", self.pairwise, self.dtype, axioms=self.axioms, exact_rows=self.needs_exact_rows)

    def distances(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """(nq, n) distances, float64, checked for shape; the reference that everything else is compared with.

        Raises
        ------
        VectorError
            Queries and vectors differ in width.
        PluginContractError
            `pairwise` gave another shape.
        """
        if queries.shape[1] != vectors.shape[1]:
            raise VectorError(f"queries have {queries.shape[1]} columns, vectors have {vectors.shape[1]}")
        return as_values(self.pairwise(queries, vectors), (len(queries), len(vectors)), f"metric {self.name!r}")


class SquaredEuclidean(Metric):
    """Σ (a_i - b_i)²: the order of Euclidean distance without the root.

    Source: the metric that k-means minimizes; ``sqeuclidean`` in SciPy, ``METRIC_L2`` in faiss. Axioms: non-negative,
    identity, symmetric; the triangle inequality fails (0, 1, 2 on a line: 4 > 1 + 1). It is squared L2 itself.

    >>> SquaredEuclidean().distances(np.float32([[0, 0]]), np.float32([[3, 4]])).tolist()
    [[25.0]]
    """

    name = "sqeuclidean"
    axioms = frozenset({"non-negative", "identity", "symmetric"})
    reduces_to = "l2"
    centroid_rule = "mean"

    def finish(self, values: np.ndarray) -> np.ndarray:
        # A codec's approximate values may fall a little below zero.
        return np.asarray(np.maximum(values, 0))


class Euclidean(Metric):
    """√ Σ (a_i - b_i)², the length of the straight line.

    Axioms: all four. Reduces to squared L2, whose root it is; a negative radius of a range search finds nothing.

    >>> Euclidean().distances(np.float32([[0, 0]]), np.float32([[3, 4]])).tolist()
    [[5.0]]
    """

    name = "euclidean"
    axioms = ALL_AXIOMS
    reduces_to = "l2"
    centroid_rule = "mean"

    def finish(self, values: np.ndarray) -> np.ndarray:
        # A codec's approximate values may fall a little below zero.
        return np.asarray(np.sqrt(np.maximum(values, 0)))

    def unfinish(self, distance: float) -> float:
        return distance * abs(distance)


class InnerProduct(Metric):
    """-Σ a_i b_i: the larger the inner product, the nearer. Long rows are near to everything; it is no distance.

    Source: maximum inner product search, the score of matrix factorization and of many embedding models. Axioms:
    symmetric only; it may be negative, and a row need not be its own nearest neighbour. It is inner product itself.

    >>> metric = InnerProduct()
    >>> metric.distances(np.float32([[1, 2]]), np.float32([[3, 4]])).tolist()
    [[-11.0]]
    >>> metric.similarity(np.float32([[-11]])).tolist()
    [[11.0]]
    """

    name = "inner-product"
    axioms = frozenset({"symmetric"})
    reduces_to = "inner-product"
    similarity_rule = "the inner product itself, -distance"

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        return np.asarray(-distances)


class Cosine(Metric):
    """1 - a·b / (||a|| ||b||), from 0 (same direction) to 2 (opposite). Rows of length zero have no direction: refused.

    Source: the vector space model (G. Salton, A. Wong and C. S. Yang, 1975). Axioms: symmetric, non-negative and
    identity (a row is 0 from itself, and from its multiples); the triangle inequality fails. Reduces to squared L2 of
    rows scaled to length one: ||a - b||² = 2 - 2 cos(a, b). Prepared rows are float32, so angles below about 1e-7
    radians (distances of 1e-14) are rounding.

    >>> Cosine().distances(np.float32([[1, 0]]), np.float32([[5, 0], [0, 2], [-1, 0]])).tolist()
    [[0.0, 1.0, 2.0]]
    """

    name = "cosine"
    axioms = frozenset({"non-negative", "identity", "symmetric"})
    reduces_to = "l2"
    centroid_rule = "direction"
    similarity_rule = "the cosine itself, 1 - distance, from -1 to 1"
    bad_row_reason = "cosine needs a direction, and rows of length zero have none"
    refuses_rows = True
    longest_row = inf

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        return unit_rows(vectors)

    def prepare_queries(self, queries: np.ndarray) -> np.ndarray:
        if len(queries) == 1:  # the same with the least work, since one query takes microseconds
            row = queries[0].astype(np.float64)
            square = float(row @ row)
            if 1e-30 < square < 1e30:
                return np.asarray(queries * np.float32(square**-0.5))
        return super().prepare_queries(queries)

    def finish(self, values: np.ndarray) -> np.ndarray:
        distances = values * values.dtype.type(0.5)
        np.maximum(distances, 0.0, out=distances)
        if distances.size and distances.max() > 2.0:  # rounding of a codec, or padding with +inf, which stays
            np.minimum(distances, 2.0, out=distances, where=np.isfinite(distances))
        return np.asarray(distances)

    def unfinish(self, distance: float) -> float:
        return 2.0 * distance

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        return np.asarray(1.0 - distances)

    def refuses(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(~vectors.any(axis=1))


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one, each by itself, without overflow or underflow for very long and very short ones.

    >>> unit_rows(np.float32([[3e30, 4e30]])).round(3).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    usual = (squares > 1e-30) & (squares < 1e30)
    factors = np.where(usual, squares, 1.0) ** -0.5
    unit = np.asarray(vectors * factors.astype(np.float32)[:, None], dtype=np.float32)
    if not usual.all():  # their factors would leave the range of float32; rows of zeros stay as they are
        odd = np.flatnonzero(~usual & (squares > 0))
        unit[odd] = vectors[odd] / np.sqrt(squares[odd, None])
    return unit


def need_fitted(metric: Metric, fitted: object) -> None:
    """Raise NotTrainedError if `fitted` is None."""
    if fitted is None:
        raise NotTrainedError(
            f"metric {metric.name!r} has not been fitted", hint="call fit(sample) or build a collection"
        )


def as_values(
    given: Any,
    shape: tuple[int, int],
    who: str = "the metric's pairwise",
    names: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """What a `pairwise`, maybe a stranger's, gave, as float64 values.

    Parameters
    ----------
    names
        What an error calls the rows of either side, where both are stored rows; None for queries and rows by number.

    Raises
    ------
    PluginContractError
        It is of another shape, no numbers, or has NaN, which is neither near nor far.
    """
    values = np.asarray(given)
    if values.dtype.kind not in "fiub" or values.shape != shape:
        what = f"{values.dtype} of shape {values.shape}" if values.ndim else repr(given)
        raise PluginContractError(f"{who} gave {what}, numbers of shape {shape} expected")
    if values.dtype.kind == "f" and np.isnan(values).any():
        query, row = np.argwhere(np.isnan(values))[0].tolist()
        first = f"query {query}, row {row}" if names is None else f"rows {names[0][query]} and {names[1][row]}"
        raise PluginContractError(
            f"{who} gave NaN for {int(np.isnan(values).sum()):,} of {values.size:,} pairs (first: {first})",
            hint="return a number for every pair of rows that it does not refuse",
        )
    return values.astype(np.float64, copy=False)
