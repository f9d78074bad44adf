"""Transforms: rows in fewer columns, or turned so that a codec loses less of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nearkin.errors import ParameterError
from nearkin.hooks import TransformSpec, hookimpl


@dataclass(frozen=True)
class PCAParams:
    """Options of pca.

    Attributes
    ----------
    D
        Columns kept; left out, a fifth of them.
    """

    D: int | None = None

    def __post_init__(self) -> None:
        if self.D is not None and self.D < 1:
            raise ParameterError(f"pca has D={self.D}, at least 1 expected")


@dataclass(frozen=True)
class OPQParams:
    """Options of opq.

    Attributes
    ----------
    M
        Groups of columns, a divisor of their number; left out, those of the pq that follows.
    """

    M: int | None = None

    def __post_init__(self) -> None:
        if self.M is not None and self.M < 1:
            raise ParameterError(f"opq has M={self.M}, at least 1 expected")


@hookimpl
def nearkin_transforms() -> Iterable[TransformSpec]:
    return [
        TransformSpec(
            name="pca",
            summary="low rank: the D directions along which the rows differ most",
            make="nearkin_plugins.projections:PCA",
            params=PCAParams,
            shorthand=("D",),
            examples=({}, {"D": 3}),
            suggests=("pca,ivf,int8,refine-f16",),
        ),
        TransformSpec(
            name="opq",
            summary="the rotation after which product quantization loses the least",
            make="nearkin_plugins.projections:OPQ",
            params=OPQParams,
            shorthand=("M",),
        ),
        TransformSpec(
            name="rotate",
            summary="a random rotation, which spreads what rows have evenly over the columns",
            make="nearkin_plugins.projections:RandomRotation",
        ),
    ]
