"""Arrays as raw little-endian bytes and a description, and back. No pickle, no object dtype, in either direction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nearkin.errors import CorruptFileError, PluginContractError

PLAIN_KINDS = "biufc"


def as_plain(array: np.ndarray, name: str) -> np.ndarray:
    """The array, C-contiguous and little-endian; copied only if it has to be.

    Raises
    ------
    PluginContractError
        Not numbers: an array of objects, texts or records.

    >>> as_plain(np.array([1], dtype=">i4"), "sizes").tobytes()
    b'\\x01\\x00\\x00\\x00'
    """
    array = np.asarray(array)
    if array.dtype.kind not in PLAIN_KINDS:
        raise PluginContractError(f"array {name!r} of a state is of type {array.dtype}, plain numbers expected")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def bytes_of(plain: np.ndarray) -> memoryview:
    """The bytes of an array that `as_plain` returned, without a copy."""
    return plain.reshape(-1).view(np.uint8).data


def describe(plain: np.ndarray) -> dict[str, Any]:
    """JSON-able dtype and shape.

    >>> describe(np.zeros((2, 3), dtype=np.float32))
    {'dtype': '<f4', 'shape': [2, 3]}
    """
    return {"dtype": plain.dtype.str, "shape": list(plain.shape)}


def from_bytes(content: Any, described: dict[str, Any], what: str) -> np.ndarray:
    """An array over a buffer, without a copy; read-only if the buffer is.

    Raises
    ------
    CorruptFileError
        A dtype that is not plain, or another number of bytes than dtype and shape make.
    """
    try:
        dtype, shape = np.dtype(described["dtype"]), tuple(int(each) for each in described["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(f"{what} is described as {described!r}, dtype and shape expected") from error
    expected = math.prod(shape) * dtype.itemsize
    if dtype.kind not in PLAIN_KINDS or min(shape, default=0) < 0 or len(content) != expected:
        raise CorruptFileError(f"{what} has {len(content):,} bytes, {dtype} of shape {shape} takes {expected:,}")
    return np.frombuffer(content, dtype=dtype).reshape(shape)
