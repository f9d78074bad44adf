"""Transform contract: a map of the rows into a space where they are stored in fewer bytes, or with less loss.

A plan names a transform in front of the index: ``pca64,ivf,pq,refine-f16``. Rows and queries go through it on their way into
the index; a refinement compares them as they were before it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from nearkin.codecs import Codec
from nearkin.errors import NotTrainedError, ParameterError, VectorError
from nearkin.metrics import INNER_PRODUCT, L2, Space
from nearkin.state import State
from nearkin.vectors import block_rows


class Transform(ABC):
    """Base of every transform: a linear map of float32 rows, ``matrix @ row``.

    The matrix is all there is to it: an index that applies transforms in its own library takes that and nothing else.

    Parameters
    ----------
    dim
        Columns of the prepared rows.

    Attributes
    ----------
    name
        How users ask for it.
    spaces
        Labels of the spaces whose order it keeps, nearly or exactly.
    matrix
        (width, dim) float32; there once it is trained.

    Examples
    --------
    A transform that keeps the first two columns:

    >>> class FirstTwo(Transform):
    ...     name = "first-two"
    ...     width = 2
    ...     def _train(self, vectors, space, codec, seed):
    ...         return np.eye(2, self.dim)
    >>> first = FirstTwo(dim=3)
    >>> rows = np.float32([[1, 2, 3]])
    >>> first.train(rows, space=L2, codec=None)
    >>> first.apply(rows).tolist()
    [[1.0, 2.0]]
    """

    name: ClassVar[str]
    spaces: ClassVar[frozenset[str]] = frozenset({L2.label, INNER_PRODUCT.label})
    options: Mapping[str, Any] = MappingProxyType({})
    """What a plan chose besides the defaults; set by whoever makes the transform from a plan."""

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise ParameterError(f"transform {self.name!r} needs at least 1 column, got {dim}")
        self.dim = dim
        self.matrix: np.ndarray | None = None

    # ---- what an author writes -------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def width(self) -> int:
        """Columns of the rows that come out, known before training."""

    @property
    def train_rows(self) -> int:
        """Fewest rows that training needs."""
        return 1

    @property
    def label(self) -> str:
        """Name with the numbers filled in, as in a plan: ``pca64``; it must name the same transform again."""
        return ":".join([self.name, *(f"{name}={value}" for name, value in self.options.items())])

    @abstractmethod
    def _train(self, vectors: np.ndarray, space: Space, codec: Codec | None, seed: int) -> np.ndarray:
        """(width, dim) matrix learned from (n, dim) rows, for a space, and for the codec that comes next."""

    # ---- what the base class makes of it ---------------------------------------------------------------------------

    def train(self, vectors: np.ndarray, *, space: Space, codec: Codec | None, seed: int = 0) -> None:
        """Learn from rows.

        Parameters
        ----------
        vectors
            (n, dim) rows.
        space
            Whose order is to be kept.
        codec
            What stores the rows that come out, or None.

        Raises
        ------
        VectorError
            Too few rows, or another width.
        """
        self._check_width(vectors)
        if len(vectors) < self.train_rows:
            raise VectorError(
                f"transform {self.label} needs at least {self.train_rows:,} rows to train, got {len(vectors):,}",
                hint="leave it out for so few rows",
            )
        self.matrix = np.ascontiguousarray(self._train(vectors, space, codec, seed), dtype=np.float32)

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """(n, dim) rows to (n, width) float32 rows.

        Raises
        ------
        NotTrainedError, VectorError
            Before training; or rows of another width.
        """
        if self.matrix is None:
            raise NotTrainedError(f"transform {self.label} has not been trained", hint="call train(vectors) first")
        self._check_width(vectors)
        mapped = np.empty((len(vectors), self.width), dtype=np.float32)
        step = block_rows(4 * (self.dim + self.width))
        for start in range(0, len(vectors), step):
            np.matmul(vectors[start : start + step], self.matrix.T, out=mapped[start : start + step])
        return mapped

    def cost(self) -> int:
        """Bytes that it keeps."""
        return 4 * self.width * self.dim

    def state(self) -> State:
        """Everything that training found."""
        return State() if self.matrix is None else State({"matrix": self.matrix})

    def restore(self, state: State) -> None:
        """Take back what `state` gave; the transform is trained afterwards."""
        self.matrix = np.ascontiguousarray(state.arrays["matrix"], dtype=np.float32)

    def _check_width(self, vectors: np.ndarray) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise VectorError(
                f"transform {self.label} was made for {self.dim} columns, got an array of shape {vectors.shape}"
            )
