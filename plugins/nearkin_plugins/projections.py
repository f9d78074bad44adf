"""Transforms: principal components, optimized rotation for product quantization, random rotation."""

from __future__ import annotations

import numpy as np

from nearkin.codecs import Codec
from nearkin.errors import ParameterError
from nearkin.metrics import INNER_PRODUCT, Space
from nearkin.transforms import Transform
from nearkin.vectors import block_rows
from nearkin_plugins.faiss_codecs import ProductQuantizer, one_thread

SHARE = 5
"""Low rank keeps a fifth of the columns where no number is given."""

OPQ_ROWS = 16_384
OPQ_ITERATIONS = 12

LEAST_CODES = 16
"""Centroids of each group of columns, of 4 bits, where no product quantizer comes next."""


class PCA(Transform):
    """Low rank: rows are projected on the D directions along which they differ most.

    Under squared L2 these are the leading eigenvectors of the covariance, whose mean needs no subtracting, since it cancels in a
    difference; under inner product those of the second moments around the origin, which lose the least of all products.

    Source: K. Pearson, "On lines and planes of closest fit to systems of points in space" (1901); C. Eckart and G. Young,
    "The approximation of one matrix by another of lower rank" (1936).

    Parameters
    ----------
    D
        Columns kept; left out, a fifth of them.

    Examples
    --------
    >>> from nearkin.metrics import L2
    >>> rows = np.float32([[0, 0], [2, 2.1], [4, 3.9], [6, 6]])
    >>> low = PCA(dim=2, D=1)
    >>> low.train(rows, space=L2, codec=None)
    >>> abs(low.apply(rows) - low.apply(rows[:1])).round(2).ravel().tolist()
    [0.0, 2.9000000953674316, 5.590000152587891, 8.489999771118164]
    """

    name = "pca"

    def __init__(self, dim: int, D: int | None = None) -> None:
        super().__init__(dim)
        self.D = max(1, round(dim / SHARE)) if D is None else D
        if dim < self.D:
            raise ParameterError(f"pca cannot keep {self.D} of {dim} columns", hint=f"use at most pca{dim}")

    @property
    def width(self) -> int:
        return self.D

    @property
    def label(self) -> str:
        return f"pca{self.D}"

    def _train(self, vectors: np.ndarray, space: Space, codec: Codec | None, seed: int) -> np.ndarray:
        centre = np.zeros(self.dim) if space.label == INNER_PRODUCT.label else vectors.mean(axis=0, dtype=np.float64)
        moments = np.zeros((self.dim, self.dim))
        step = block_rows(16 * self.dim)
        for start in range(0, len(vectors), step):
            centred = vectors[start : start + step] - centre
            moments += centred.T @ centred
        _, directions = np.linalg.eigh(moments)
        return np.asarray(directions[:, ::-1][:, : self.D].T)


class RandomRotation(Transform):
    """A random rotation: distances stay as they are, and what rows have spreads evenly over the columns.

    Codecs that treat every column alike lose less then; `rabitq` expects it.

    Source: J. Gao and C. Long, "RaBitQ: quantizing high-dimensional vectors with a theoretical error bound" (2024); the matrix is
    the orthogonal factor of Gaussian numbers, F. Mezzadri, "How to generate random matrices from the classical compact groups"
    (2007).
    """

    name = "rotate"

    @property
    def width(self) -> int:
        return self.dim

    def _train(self, vectors: np.ndarray, space: Space, codec: Codec | None, seed: int) -> np.ndarray:
        gaussian = np.random.default_rng(seed).normal(size=(self.dim, self.dim))
        factor, upper = np.linalg.qr(gaussian)
        return np.asarray(factor * np.where(np.diag(upper) < 0, -1.0, 1.0))


class OPQ(Transform):
    """The rotation after which product quantization loses the least, found by turns with its codebooks.

    Source: T. Ge, K. He, Q. Ke and J. Sun, "Optimized product quantization" (2013); faiss OPQMatrix.

    Parameters
    ----------
    M
        Groups of columns; left out, those of the product quantizer that comes next in the plan.
    """

    name = "opq"

    def __init__(self, dim: int, M: int | None = None) -> None:
        super().__init__(dim)
        self.M = M
        if M is not None:
            ProductQuantizer(dim, M)  # refuses numbers that do not divide the columns

    @property
    def width(self) -> int:
        return self.dim

    @property
    def train_rows(self) -> int:
        return max(self.dim, LEAST_CODES)  # a product quantizer of more codes needs more rows itself

    @property
    def label(self) -> str:
        return "opq" if self.M is None else f"opq{self.M}"

    def _train(self, vectors: np.ndarray, space: Space, codec: Codec | None, seed: int) -> np.ndarray:
        import faiss

        next_one = codec if isinstance(codec, ProductQuantizer) else ProductQuantizer(self.dim, self.M)
        groups = self.M or next_one.M
        rotation = faiss.OPQMatrix(self.dim, groups)
        codebooks = faiss.ProductQuantizer(self.dim, groups, next_one.bits)
        codebooks.cp.min_points_per_centroid = 1  # the warning would go to stderr from C++, unnamed
        rotation.pq = codebooks
        rotation.niter, rotation.max_train_points = OPQ_ITERATIONS, OPQ_ROWS
        if len(vectors) > OPQ_ROWS:
            chosen = np.random.default_rng(seed).choice(len(vectors), OPQ_ROWS, replace=False)
            vectors = vectors[np.sort(chosen)]
        with one_thread():
            rotation.train(np.ascontiguousarray(vectors))
        return np.asarray(faiss.vector_to_array(rotation.A).reshape(self.dim, self.dim))
