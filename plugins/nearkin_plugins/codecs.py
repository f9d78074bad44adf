"""Codecs: rows as they are, half precision, scalar and product quantization, bits, pruning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nearkin.errors import ParameterError
from nearkin.hooks import CodecSpec, hookimpl


@dataclass(frozen=True)
class PQParams:
    """Options of product quantization.

    Attributes
    ----------
    M
        Sub-quantizers, a divisor of the columns; left out, the divisor nearest to half the columns (a quarter above 192).
    bits
        Bits of each code: 4 (scanned with SIMD look-ups) or 8.
    """

    M: int | None = None
    bits: int = 4

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise ParameterError(f"pq has bits={self.bits}, 4 or 8 expected")
        if self.M is not None and self.M < 1:
            raise ParameterError(f"pq has M={self.M}, at least 1 expected")


@dataclass(frozen=True)
class PrunedParams:
    """Options of pruned.

    Attributes
    ----------
    percent
        Coordinates of each row that are dropped, the smallest, in a hundred.
    """

    percent: int = 50

    def __post_init__(self) -> None:
        if not 1 <= self.percent <= 99:
            raise ParameterError(f"pruned has percent={self.percent}, 1 to 99 expected")


@hookimpl
def nearkin_codecs() -> Iterable[CodecSpec]:
    return [
        CodecSpec(name="f32", summary="float32, rows as they are: 4 bytes a column", make="nearkin.codecs:Float32"),
        CodecSpec(name="bits", summary="packed bits as they are: 1 bit a column", make="nearkin.codecs:PackedBits"),
        CodecSpec(
            name="f16",
            summary="half precision: 2 bytes a column, values up to 65,504",
            make="nearkin_plugins.faiss_codecs:Float16",
        ),
        CodecSpec(
            name="bf16",
            summary="bfloat16: 2 bytes a column, the range of float32 with 8 significant bits",
            make="nearkin_plugins.faiss_codecs:BFloat16",
        ),
        CodecSpec(
            name="int8",
            summary="scalar quantization: 1 byte a column between the column's extremes",
            make="nearkin_plugins.faiss_codecs:Int8",
            aliases=("sq8",),
        ),
        CodecSpec(
            name="int4",
            summary="scalar quantization: half a byte a column between the column's extremes",
            make="nearkin_plugins.faiss_codecs:Int4",
            aliases=("sq4",),
        ),
        CodecSpec(
            name="pq",
            summary="product quantization: M codes of 4 or 8 bits a row",
            make="nearkin_plugins.faiss_codecs:ProductQuantizer",
            params=PQParams,
            shorthand=("M", "bits"),
            examples=({}, {"bits": 8}),
            suggests=("ivf,pq",),
            scales={"M": (0.5, 2.0)},
        ),
        CodecSpec(
            name="rabitq",
            summary="one bit a column around a centre, with unbiased distances; rows are rotated first",
            make="nearkin_plugins.faiss_codecs:RaBitQ",
            transform="rotate",
            suggests=("ivf,rabitq,refine-f16",),
        ),
        CodecSpec(
            name="pruned",
            summary="only the largest coordinates of a row: a bitmap, and one byte for each",
            make="nearkin_plugins.pruned_codec:Pruned",
            params=PrunedParams,
            shorthand=("percent",),
            examples=({}, {"percent": 80}),
        ),
    ]
