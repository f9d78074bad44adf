"""Whether the parts of a plan go together, computed from what they declare."""

from __future__ import annotations

from dataclasses import dataclass

from nearkin.codecs import Codec
from nearkin.hooks import IndexSpec
from nearkin.metrics import INNER_PRODUCT, L2, Space
from nearkin.transforms import Transform
from nearkin.vectors import DType

REFINE = "refine-"
"""How a plan names the copy that candidates are re-ranked on."""

DECODED = "decoded"
"""What an index accepts that scans any codec's codes by decoding them."""


@dataclass(frozen=True)
class Verdict:
    """Whether a pair is legal, and if not, why."""

    legal: bool
    reason: str = ""


def verdict(space: Space, spec: IndexSpec, codec: Codec) -> Verdict:
    """Whether an index is right for a space and a codec."""
    if codec.dtype != space.dtype:
        return Verdict(
            False, f"codec {codec.label} stores {_words(codec.dtype)}, the metric compares {_words(space.dtype)}"
        )
    if codec.spaces and space.label not in codec.spaces:
        return _other_order(codec, space)
    if space.exact_rows and not codec.lossless:
        return Verdict(False, f"the metric asks whether values are equal, and {codec.label} changes them a little")
    if spec.inner and not codec.lossless:
        return Verdict(
            False, f"{spec.name} compares the rows as they are, {codec.label} goes with the index that it wraps"
        )
    labels = ([codec.native.label] if codec.native else []) + [DECODED]
    serves = [spec.accepts.get(label, frozenset()) for label in labels]
    if any(space.label in spaces or "pairwise" in spaces for spaces in serves):
        return Verdict(True)
    known = sorted(set().union(*serves))
    if known:
        return Verdict(False, f"{spec.name} with {codec.label} serves {', '.join(known)}, not {_plainly(space.label)}")
    return Verdict(False, f"{spec.name} cannot scan {codec.label} codes")


def transform_verdict(space: Space, spec: IndexSpec, transform: Transform) -> Verdict:
    """Whether a transform keeps the order of a space, and has a place in front of an index."""
    if space.label not in transform.spaces:
        return _other_order(transform, space)
    if spec.inner:
        return Verdict(
            False, f"{spec.name} compares the rows as they are, {transform.label} goes with the index that it wraps"
        )
    return Verdict(True)


def refinement_verdict(space: Space, codec: Codec, refinement: Codec, transform: Transform | None = None) -> Verdict:
    """Whether re-ranking on `refinement` makes sense over `codec`, of transformed rows or plain ones: it must be finer, and keep
    the order of the space."""
    if refinement.dtype != codec.dtype:
        return Verdict(
            False, f"{REFINE}{refinement.label} stores {_words(refinement.dtype)}, {codec.label} {_words(codec.dtype)}"
        )
    if codec.lossless and transform is None:
        return Verdict(
            False, f"{codec.label} loses nothing, so {REFINE}{refinement.label} could only make answers worse"
        )
    if refinement.code_size <= codec.code_size:
        return Verdict(
            False,
            f"{REFINE}{refinement.label} keeps {refinement.code_size} bytes a row, no more than {codec.label} "
            f"({codec.code_size}), so it cannot refine it",
        )
    if refinement.spaces and space.label not in refinement.spaces:
        return _other_order(refinement, space)
    return Verdict(True)


def refines_itself(spec: IndexSpec, space: Space, codec: Codec, refinement: Codec) -> bool:
    """Whether the index re-ranks on this codec in its own library."""
    label = refinement.native.label if refinement.native else DECODED
    return space.label in spec.refines.get(label, frozenset()) and _accepted_by_name(spec, space, codec)


def transforms_itself(spec: IndexSpec, space: Space, codec: Codec) -> bool:
    """Whether the index applies a transform before this codec in its own library."""
    return spec.transforms and _accepted_by_name(spec, space, codec)


def is_detour(spec: IndexSpec, space: Space) -> bool:
    """Whether an index wraps another one in a space where that one serves by itself."""
    return bool(spec.inner) and space.label in (L2.label, INNER_PRODUCT.label)


def _accepted_by_name(spec: IndexSpec, space: Space, codec: Codec) -> bool:
    """Whether the index scans the codes themselves, and not what they decode to."""
    return codec.native is not None and space.label in spec.accepts.get(codec.native.label, frozenset())


def _other_order(part: Codec | Transform, space: Space) -> Verdict:
    return Verdict(
        False, f"{part.label} keeps the order of {', '.join(sorted(part.spaces))}, not of {_plainly(space.label)}"
    )


def _plainly(label: str) -> str:
    """A space as users may know it."""
    return {"kernel": "a compiled formula", "pairwise": "a formula in numpy"}.get(label, label)


def _words(dtype: DType) -> str:
    return "packed bits" if dtype == "bits" else "float32 rows"
