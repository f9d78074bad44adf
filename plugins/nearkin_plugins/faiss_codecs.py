"""Codecs that faiss scans in its own code."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from math import log
from typing import Any

import numpy as np

from nearkin.codecs import Codec, NativeCodec
from nearkin.errors import NotTrainedError, ParameterError, VectorError
from nearkin.state import State
from nearkin.vectors import name_rows

FLOAT16_MAX = 65504.0
LONGEST = 1e18
"""Length of a row whose square float32 still holds, with room for the distance to another."""


class Float16(Codec):
    """IEEE half precision: 2 bytes a column, 11 significant bits, values up to 65,504.

    >>> codec = Float16(dim=2)
    >>> codec.decode(codec.encode(np.float32([[1.5, 0.1]]))).tolist()
    [[1.5, 0.0999755859375]]
    """

    name = "f16"

    @property
    def code_size(self) -> int:
        return 2 * self.dim

    @property
    def native(self) -> NativeCodec:
        return NativeCodec("faiss", "sq", "SQfp16")

    def check(self, vectors: np.ndarray) -> None:
        if vectors.size and max(float(vectors.max()), -float(vectors.min())) > FLOAT16_MAX:
            beyond = np.flatnonzero((np.abs(vectors) > FLOAT16_MAX).any(axis=1))
            raise VectorError(
                f"f16 holds values up to {FLOAT16_MAX:,.0f}, {name_rows(beyond, len(vectors))} of this block go beyond",
                hint="scale the vectors, or use f32 or int8",
            )

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(vectors, dtype="<f2").view(np.uint8)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(codes).view("<f2").astype(np.float32)


class BFloat16(Codec):
    """bfloat16: float32 without its last 16 bits; 2 bytes a column, 8 significant bits, the range of float32.

    Values are rounded to the nearest, ties to even; those beyond the largest bfloat16, 3.39e38, become it.

    Source: S. Wang and P. Kanwar, "BFloat16: the secret to high performance on Cloud TPUs" (2019); faiss QT_bf16.

    >>> codec = BFloat16(dim=2)
    >>> codec.decode(codec.encode(np.float32([[1.5, 0.1]]))).tolist()
    [[1.5, 0.10009765625]]
    """

    name = "bf16"

    @property
    def code_size(self) -> int:
        return 2 * self.dim

    @property
    def native(self) -> NativeCodec:
        return NativeCodec("faiss", "sq", "SQbf16")

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        whole = np.ascontiguousarray(vectors, dtype="<f4").view("<u4")
        rounded = (whole + np.uint32(0x7FFF) + ((whole >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        infinite = (rounded & np.uint32(0x7FFF)) == np.uint32(0x7F80)
        return np.ascontiguousarray((rounded - infinite).astype("<u2")).view(np.uint8)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        halves = np.ascontiguousarray(codes).view("<u2").astype("<u4")
        return (halves << np.uint32(16)).view("<f4").astype(np.float32, copy=False)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let faiss use one thread: the k-means of a small codebook loses more to threads waiting for each other than it gains."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class FaissCodec(Codec):
    """A codec that faiss trains, encodes and decodes."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self._quantizer: Any = None

    @abstractmethod
    def _make(self) -> Any:
        """An untrained faiss index with a standalone codec."""

    def _train(self, vectors: np.ndarray) -> None:
        quantizer = self._make()
        with one_thread():
            quantizer.train(vectors)
        self._quantizer = quantizer

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        codes: np.ndarray = self._quantizer.sa_encode(np.ascontiguousarray(vectors, dtype=np.float32))
        return codes

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        vectors: np.ndarray = self._quantizer.sa_decode(np.ascontiguousarray(codes))
        return vectors

    def state(self) -> State:
        import faiss

        if self._quantizer is None:
            raise NotTrainedError(f"codec {self.label} has not been trained", hint="call train(vectors) first")
        return State({"quantizer": faiss.serialize_index(self._quantizer)})

    def _restore(self, state: State) -> None:
        import faiss

        self._quantizer = faiss.deserialize_index(np.ascontiguousarray(state.arrays["quantizer"]))


class Int8(FaissCodec):
    """Scalar quantization: each column's range is cut into 255 steps, one byte a column.

    Values outside the range seen in training are moved to its end.

    Source: faiss, ScalarQuantizer QT_8bit.
    """

    name = "int8"

    @property
    def code_size(self) -> int:
        return self.dim

    @property
    def train_rows(self) -> int:
        return 1

    @property
    def native(self) -> NativeCodec:
        return NativeCodec("faiss", "sq", "SQ8")

    def overhead(self) -> int:
        return 2 * 4 * self.dim

    def _make(self) -> Any:
        import faiss

        return faiss.IndexScalarQuantizer(self.dim, faiss.ScalarQuantizer.QT_8bit)


class Int4(FaissCodec):
    """Scalar quantization: each column's range is cut into 15 steps, half a byte a column.

    Values outside the range seen in training are moved to its end.

    Source: faiss, ScalarQuantizer QT_4bit.
    """

    name = "int4"

    @property
    def code_size(self) -> int:
        return (self.dim + 1) // 2

    @property
    def train_rows(self) -> int:
        return 1

    @property
    def native(self) -> NativeCodec:
        return NativeCodec("faiss", "sq", "SQ4")

    def overhead(self) -> int:
        return 2 * 4 * self.dim

    def _make(self) -> Any:
        import faiss

        return faiss.IndexScalarQuantizer(self.dim, faiss.ScalarQuantizer.QT_4bit)


class RaBitQ(FaissCodec):
    """One bit a column, the sign of what is left after a centre is subtracted, and two numbers that make distances unbiased.

    Rows are to be rotated at random before, which a plan does by itself (``rotate``).

    Source: J. Gao and C. Long, "RaBitQ: quantizing high-dimensional vectors with a theoretical error bound for approximate
    nearest neighbor search" (2024); faiss IndexRaBitQFastScan. faiss keeps more bits too, but decodes only the first of them, and
    never returns from encoding a row whose square is infinite.
    """

    name = "rabitq"
    spaces = frozenset(
        {"l2", "inner-product"}
    )  # signs around a centre may decode to values that no row has, negative ones say

    @property
    def code_size(self) -> int:
        return -(-self.dim // 8) + 8

    @property
    def train_rows(self) -> int:
        return 1

    @property
    def native(self) -> NativeCodec:
        return NativeCodec("faiss", "rabitq", "RaBitQfs")

    def overhead(self) -> int:
        return 4 * self.dim

    def check(self, vectors: np.ndarray) -> None:
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        beyond = np.flatnonzero(squares > LONGEST**2)
        if beyond.size:
            raise VectorError(
                f"rabitq takes rows up to a length of {LONGEST:.0e}, {name_rows(beyond, len(vectors))} of this block go beyond",
                hint="scale the vectors, or use f32",
            )

    def _make(self) -> Any:
        import faiss

        return faiss.IndexRaBitQ(self.dim, faiss.METRIC_L2)


class ProductQuantizer(FaissCodec):
    """Product quantization: columns are cut into M groups, each replaced by the number of the nearest of 2**bits centroids.

    Source: H. Jégou, M. Douze and C. Schmid, "Product quantization for nearest neighbor search" (2011).

    Parameters
    ----------
    M
        Groups; must divide `dim`. Left out, the divisor of `dim` nearest to dim / 2, or dim / 4 above 192 columns.
    bits
        4 or 8.

    Examples
    --------
    >>> ProductQuantizer(dim=384).label, ProductQuantizer(dim=384, M=96, bits=8).code_size
    ('pq96x4', 96)
    """

    name = "pq"

    def __init__(self, dim: int, M: int | None = None, bits: int = 4) -> None:
        self.bits = bits
        self.M = M if M is not None else nearest_divisor(dim, dim / 2 if dim <= 192 else dim / 4)
        super().__init__(dim)
        if dim % self.M:
            lower, upper = neighbouring_divisors(dim, self.M)
            raise ParameterError(
                f"pq cuts columns into M equal groups, and M={self.M} does not divide {dim} columns",
                hint=f"use M={lower}" + (f" or M={upper}" if upper != lower else ""),
            )

    @property
    def label(self) -> str:
        return f"pq{self.M}x{self.bits}"

    @property
    def code_size(self) -> int:
        return (self.M * self.bits + 7) // 8

    @property
    def train_rows(self) -> int:
        return int(2**self.bits)

    @property
    def native(self) -> NativeCodec:
        if self.bits == 4:
            return NativeCodec("faiss", "pqfs", f"PQ{self.M}x4fs")
        # "np" skips the polysemous training, seconds of annealing for a filter that no plan uses.
        return NativeCodec("faiss", "pq", f"PQ{self.M}x{self.bits}np")

    def overhead(self) -> int:
        return int(4 * self.dim * 2**self.bits)

    def _make(self) -> Any:
        import faiss

        quantizer = faiss.IndexPQ(self.dim, self.M, self.bits)
        set_clustering(quantizer.pq)
        return quantizer


def set_clustering(pq: Any) -> None:
    """Have faiss find the centroids of a product quantizer from a k-means++ start: ten iterations on 128 rows a centroid then do
    what 25 on 256 do from a random one, in a quarter of the time (the error of reconstruction was 5 % smaller on SIFT, and 1 %
    larger on Fashion-MNIST and on embeddings of sentences).

    Source: D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding" (2007).
    """
    import faiss

    pq.cp.init_method = faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS
    pq.cp.niter = 10
    pq.cp.max_points_per_centroid = 128
    pq.cp.min_points_per_centroid = 1  # the warning would go to stderr from C++, unnamed


def divisors(number: int) -> list[int]:
    """Divisors in ascending order.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [each for each in range(1, int(number**0.5) + 1) if number % each == 0]
    return sorted({*small, *(number // each for each in small)})


def nearest_divisor(number: int, target: float) -> int:
    """The divisor whose ratio to `target` is nearest to one; of two, the larger.

    >>> nearest_divisor(384, 192), nearest_divisor(7, 3.5)
    (192, 7)
    """
    return min(reversed(divisors(number)), key=lambda each: abs(log(each / target)))


def neighbouring_divisors(number: int, near: int) -> tuple[int, int]:
    """The divisors just below and just above a number that is none.

    >>> neighbouring_divisors(384, 100)
    (96, 128)
    """
    known = divisors(number)
    below = [each for each in known if each < near]
    above = [each for each in known if each > near]
    return (below or above)[-1 if below else 0], (above or below)[0 if above else -1]
