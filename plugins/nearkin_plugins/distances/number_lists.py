"""Options that are many numbers: ``1/2/0.5`` in text, a file that holds them, or any sequence from Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nearkin.errors import ParameterError

Numbers = str | Sequence[float] | np.ndarray
"""What such an option may be given as."""


def as_numbers(given: Numbers, what: str) -> np.ndarray:
    """(m,) float64.

    Parameters
    ----------
    given
        Numbers separated by ``/``; the path of a ``.npy`` file or of a text file with numbers separated by spaces, commas or
        lines; or a sequence.
    what
        What an error calls them.

    Raises
    ------
    ParameterError
        No numbers, none at all, NaN or infinite ones.

    Examples
    --------
    >>> as_numbers("1/2/0.5", "weights").tolist()
    [1.0, 2.0, 0.5]
    """
    numbers = _of_text(given, what) if isinstance(given, str) else _of_sequence(given, what)
    if numbers.ndim != 1 or not numbers.size:
        raise ParameterError(f"{what} are of shape {numbers.shape}, one number a column expected")
    if not np.isfinite(numbers).all():
        raise ParameterError(f"{what} have NaN or infinite values")
    return numbers


def _of_sequence(given: Sequence[float] | np.ndarray, what: str) -> np.ndarray:
    try:
        return np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{what} are {given!r}, a list of numbers expected") from error


def is_file(given: Numbers | None) -> bool:
    """Whether an option is text that is no numbers, and so names a file.

    >>> is_file("1/2/0.5"), is_file("weights.npy")
    (False, True)
    """
    return isinstance(given, str) and _written(given) is None


def _written(text: str) -> np.ndarray | None:
    try:
        return np.array([float(each) for each in text.split("/")])
    except ValueError:
        return None


def _of_text(given: str, what: str) -> np.ndarray:
    numbers = _written(given)
    return _of_file(Path(given), what) if numbers is None else numbers


def _of_file(path: Path, what: str) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
        return np.array([float(each) for each in re.split(r"[\s,;]+", path.read_text(encoding="utf-8").strip())])
    except OSError as error:
        raise ParameterError(
            f"{what}={path} is neither numbers nor a file that can be read ({error.strerror or error})",
            hint=f"write numbers as {what}=1/2, or name a file",
        ) from error
    except (TypeError, ValueError, EOFError) as error:
        raise ParameterError(
            f"{what}: the file {path} does not hold numbers ({error})",
            hint="one number a column, separated by spaces, commas or lines, or a .npy file of them",
        ) from error
