"""Lines of text files, in numbers: how long one may be, and what of float64 fits in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from nearkin.errors import CorruptFileError

SAMPLE_ROWS = 1_000
"""Rows that a file is judged by."""
SAMPLE_CHARACTERS = 4 << 20
"""Fewer rows than that if they are long."""
LONGEST_LINE = 16 << 20
"""Characters; a longer line could only be of a file of another kind."""
NUMBER_BYTES = 64
"""What a number takes as Python's text or float, about."""


def text_lines(file: TextIO, path: Path) -> Iterator[str]:
    """Lines with their ends, none longer than `LONGEST_LINE`."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise CorruptFileError(f"{path} line {number} has more than {LONGEST_LINE:,} characters")
        yield line


def as_float32(wide: np.ndarray, lines: list[int], path: Path) -> np.ndarray:
    """Rows of float64 as float32.

    Raises
    ------
    CorruptFileError
        A finite value is too large; `lines` has the line of each row.
    """
    with np.errstate(over="ignore"):
        vectors = wide.astype(np.float32)
    large = np.isinf(vectors) & np.isfinite(wide)
    if large.any():
        row, component = np.argwhere(large)[0].tolist()
        raise CorruptFileError(
            f"{path} line {lines[row]}, number {component + 1}: {wide[row, component]:g} does not fit in float32"
        )
    return vectors
