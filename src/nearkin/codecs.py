"""Codec contract: how a row is stored in fewer bytes (quantization). float32 and packed bits, the references.

A codec turns prepared rows into `code_size` bytes each and back. What faiss can scan in its own code is declared with
`native`; any other codec is scanned by decoding, block by block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from nearkin.errors import NotTrainedError, ParameterError, PluginContractError, VectorError
from nearkin.state import State
from nearkin.vectors import DType


@dataclass(frozen=True)
class NativeCodec:
    """How a library names a codec.

    >>> NativeCodec("faiss", "pqfs", "PQ32x4fs").label
    'faiss:pqfs'
    """

    library: str
    family: str
    """The group that legality is declared for: ``flat``, ``sq``, ``pq``, ``pqfs``, ``bits``."""
    text: str
    """The library's own name, for faiss a piece of a factory string."""

    @property
    def label(self) -> str:
        """Library and family, as indexes name what they accept."""
        return f"{self.library}:{self.family}"


class Codec(ABC):
    """Base of every codec.

    Parameters
    ----------
    dim
        Columns of the prepared rows.

    Attributes
    ----------
    name
        How users ask for it.
    dtype
        What it encodes: float32 rows, or packed bits.
    lossless
        Whether decoding gives back the rows exactly.
    spaces
        Labels of the spaces whose order decoded rows keep, for a codec that keeps no more of a row than some spaces need; empty
        for one whose decoded rows are like the rows, whatever they are compared by.
    """

    name: ClassVar[str]
    dtype: ClassVar[DType] = "float32"
    lossless: ClassVar[bool] = False
    spaces: ClassVar[frozenset[str]] = frozenset()
    options: Mapping[str, Any] = MappingProxyType({})
    """What a plan chose besides the defaults; set by whoever makes the codec from a plan."""

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise ParameterError(f"codec {self.name!r} needs at least 1 column, got {dim}")
        self.dim = dim
        self.is_trained = self.train_rows == 0

    # ---- what an author writes -------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def code_size(self) -> int:
        """Bytes of one encoded row."""

    @property
    def train_rows(self) -> int:
        """Fewest rows that training needs; 0 for a codec that is not trained."""
        return 0

    @property
    def native(self) -> NativeCodec | None:
        """How a library scans these codes itself, if one does."""
        return None

    @property
    def label(self) -> str:
        """Name with the numbers filled in, as in a plan: ``f16``, ``pq48x8``; it must name the same codec again."""
        return ":".join([self.name, *(f"{name}={value}" for name, value in self.options.items())])

    def check(self, vectors: np.ndarray) -> None:
        """Raise VectorError if rows hold values that the codec cannot represent."""

    def _train(self, vectors: np.ndarray) -> None:
        """Learn from (n, dim) rows."""

    @abstractmethod
    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        """(n, dim) rows to (n, code_size) uint8."""

    @abstractmethod
    def _decode(self, codes: np.ndarray) -> np.ndarray:
        """(n, code_size) uint8 to (n, dim) rows."""

    def overhead(self) -> int:
        """Bytes kept once for all rows (codebooks, ranges), known before training."""
        return 0

    def state(self) -> State:
        """Everything that training found."""
        return State()

    def _restore(self, state: State) -> None:
        """Take back what `state` gave."""

    # ---- what the base class makes of it ---------------------------------------------------------------------------

    def train(self, vectors: np.ndarray) -> None:
        """Learn from rows.

        Raises
        ------
        VectorError
            Too few rows, another width, or values out of the codec's range.
        """
        self._check_width(vectors)
        if len(vectors) < self.train_rows:
            raise VectorError(
                f"codec {self.label} needs at least {self.train_rows} rows to train, got {len(vectors)}",
                hint="use f32, f16 or int8 for so few rows",
            )
        self.check(vectors)
        self._train(vectors)
        self.is_trained = True

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """(n, dim) rows to (n, code_size) uint8 codes."""
        self._need_trained()
        self._check_width(vectors)
        self.check(vectors)
        codes = self._encode(vectors)
        if codes.shape != (len(vectors), self.code_size) or codes.dtype != np.uint8:
            raise PluginContractError(
                f"codec {self.name!r} encoded {len(vectors)} rows to {codes.dtype} {codes.shape}, "
                f"uint8 {(len(vectors), self.code_size)} expected"
            )
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """(n, code_size) uint8 codes to (n, dim) rows.

        Raises
        ------
        VectorError
            Codes of another shape or type.
        """
        self._need_trained()
        if codes.ndim != 2 or codes.shape[1] != self.code_size or codes.dtype != np.uint8:
            raise VectorError(
                f"codec {self.label} decodes uint8 codes of {self.code_size} bytes, got {codes.dtype} {codes.shape}"
            )
        return self._decode(codes)

    def restore(self, state: State) -> None:
        """Take back what `state` gave; the codec is trained afterwards."""
        self._restore(state)
        self.is_trained = True

    def cost(self, n: int) -> dict[str, int]:
        """Bytes by component for n rows, known before training."""
        return {"codes": n * self.code_size, "codebooks": self.overhead()}

    def _need_trained(self) -> None:
        if not self.is_trained:
            raise NotTrainedError(f"codec {self.label} has not been trained", hint="call train(vectors) first")

    def _check_width(self, vectors: np.ndarray) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise VectorError(
                f"codec {self.label} was made for {self.dim} columns, got an array of shape {vectors.shape}"
            )


class Float32(Codec):
    """Rows as they are: 4 bytes a column. Codes and rows share memory, so that nothing is kept twice.

    >>> codec = Float32(dim=2)
    >>> codec.decode(codec.encode(np.float32([[1.5, -2]]))).tolist(), codec.code_size
    ([[1.5, -2.0]], 8)
    """

    name = "f32"
    lossless = True

    @property
    def code_size(self) -> int:
        return 4 * self.dim

    @property
    def native(self) -> NativeCodec:
        return NativeCodec("faiss", "flat", "Flat")

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(vectors, dtype="<f4").view(np.uint8)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(codes).view("<f4").astype(np.float32, copy=False)


class PackedBits(Codec):
    """Packed bits as they are: one byte for 8 columns of booleans; `dim` counts the bytes."""

    name = "bits"
    dtype = "bits"
    lossless = True

    @property
    def code_size(self) -> int:
        return self.dim

    @property
    def native(self) -> NativeCodec:
        return NativeCodec("faiss", "bits", "Flat")

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        return vectors.copy()

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return codes
