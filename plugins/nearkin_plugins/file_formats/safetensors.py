"""Hugging Face safetensors: a matrix out of a file of named tensors, memory-mapped; its header is read here.

Source: https://github.com/huggingface/safetensors (Format): the length of the header as a little-endian uint64, the
header as JSON, then the values, row-major and little-endian.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from nearkin.errors import CorruptFileError, NotSupportedError, ParameterError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.npy_format import NpyFormat
from nearkin_plugins.file_formats.plain_matrices import Matrix, map_matrix, matrix_blocks, need_possible

LARGEST_HEADER = 100_000_000
"""The limit of the reference implementation."""

_DTYPES = {
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    "BOOL": "?",
    "BF16": "<u2",
}
"""How the values of a tensor are stored; those of BF16 are the upper halves of float32."""
_NAMES = {np.dtype(stored).name: name for name, stored in _DTYPES.items() if name != "BF16"}
_VECTOR_TENSORS = ("vectors", "embeddings", "embedding")
_HEADER_BYTES = 248
"""Room for a header that is written before the number of rows is known; with its length before it, 256 bytes."""


class SafetensorsFormat(VectorFormat):
    """A 2-D tensor. BF16 becomes float32, which holds all its values; FP8 and the like are refused.

    Parameters
    ----------
    tensor
        Name of the matrix; if not given, the only one, or one called vectors, embeddings or embedding.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = SafetensorsFormat().write(f"{folder}/x.safetensors", [Block(np.uint8([[1, 2]]))])
    ...     next(SafetensorsFormat().read(f"{folder}/x.safetensors")).vectors
    array([[1, 2]], dtype=uint8)
    """

    name = "safetensors"
    suffixes = (".safetensors",)
    dtypes = NpyFormat.dtypes

    def __init__(self, tensor: str | None = None) -> None:
        self.tensor = tensor

    def _describe(self, path: Path) -> FileSummary:
        matrix, brain = self._find(path)
        return FileSummary(matrix.rows, matrix.dim, "float32" if brain else matrix.dtype.name)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        matrix, brain = self._find(path)
        for block in matrix_blocks(map_matrix(matrix, path), rows):
            yield Block(_widened(block.vectors)) if brain else block

    def _memory_map(self, path: Path) -> np.ndarray | None:
        matrix, brain = self._find(path)
        return None if brain else map_matrix(matrix, path)

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        first = next(blocks)
        rows, (_, dim), dtype = 0, first.vectors.shape, first.vectors.dtype
        with path.open("wb") as file:
            self._write_header(file, rows, dim, dtype)
            for block in chain([first], blocks):
                file.write(block.vectors.astype(dtype.newbyteorder("<"), copy=False).data)
                rows += len(block.vectors)
            file.seek(0)
            self._write_header(file, rows, dim, dtype)

    def _write_header(self, file: IO[bytes], rows: int, dim: int, dtype: np.dtype[Any]) -> None:
        """Padded with spaces to one length whatever the number of rows."""
        entry = {"dtype": _NAMES[dtype.name], "shape": [rows, dim], "data_offsets": [0, rows * dim * dtype.itemsize]}
        text = json.dumps({self.tensor or _VECTOR_TENSORS[0]: entry}).encode()
        name = len((self.tensor or "").encode()) * 6  # the longest that JSON makes of a name
        length = _HEADER_BYTES + -(-name // 8) * 8
        file.write(length.to_bytes(8, "little") + text.ljust(length))

    def _find(self, path: Path) -> tuple[Matrix, bool]:
        """Where the matrix is, and whether it is BF16."""
        header, start = _read_header(path)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        name = self._choose(tensors, path)
        entry = tensors[name]
        what = f"tensor {name!r} of {path}"
        if not _is_entry(entry):
            raise CorruptFileError(f"{what} has a header of another form: {str(entry)[:80]}")
        if len(entry["shape"]) != 2:
            raise CorruptFileError(f"{what} has shape {entry['shape']}, a 2-D tensor expected")
        if entry["dtype"] not in _DTYPES:
            raise NotSupportedError(
                f"{what} is of type {entry['dtype']}, one of {', '.join(_DTYPES)} expected",
                hint="turn it into float32 or float16 where it was made",
            )
        first, last = entry["data_offsets"]
        matrix = Matrix(np.dtype(_DTYPES[entry["dtype"]]), start + first, *entry["shape"])
        if first < 0 or last - first != matrix.nbytes:
            raise CorruptFileError(
                f"{what} claims bytes {first:,} to {last:,}, {matrix.nbytes:,} expected for shape {entry['shape']}"
            )
        need_possible(matrix, path, self.name)
        return matrix, entry["dtype"] == "BF16"

    def _choose(self, tensors: dict[str, Any], path: Path) -> str:
        shown = ", ".join(list(tensors)[:12]) + (f", ... ({len(tensors):,} in all)" if len(tensors) > 12 else "")
        if self.tensor is not None:
            if self.tensor not in tensors:
                raise ParameterError(f"{path} has no tensor {self.tensor!r}; it has {shown or 'none'}")
            return self.tensor
        wide = [name for name, entry in tensors.items() if _is_entry(entry) and len(entry["shape"]) == 2]
        if not wide:
            raise CorruptFileError(f"{path} has no 2-D tensor; it has {shown or 'none'}")
        called = [name for name in _VECTOR_TENSORS if name in wide]
        if len(wide) > 1 and not called:
            raise ParameterError(
                f"{path} has {len(wide)} 2-D tensors: {', '.join(wide[:12])}{', ...' if len(wide) > 12 else ''}",
                hint=f"choose one with --format safetensors:tensor={wide[0]}",
            )
        return wide[0] if len(wide) == 1 else called[0]


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The JSON, and where the values begin."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LARGEST_HEADER):
            raise CorruptFileError(
                f"{path} has {size:,} bytes and claims a header of {length:,}", hint="it may not be a safetensors file"
            )
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise CorruptFileError(f"{path} has a header that is no JSON object")
    return header, 8 + length


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("dtype"), str)
        and _are_whole(entry.get("shape"))
        and _are_whole(entry.get("data_offsets"))
        and len(entry["data_offsets"]) == 2
    )


def _are_whole(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int for value in values)


def _widened(halves: np.ndarray) -> np.ndarray:
    """float32 of which these are the upper 16 bits."""
    return (halves.astype(np.uint32) << 16).view(np.float32)
