"""The single gate for arrays coming in.

Everything downstream may rely on what `as_vectors` returns: two-dimensional, C-contiguous, finite, float32 (or uint8 for
packed bits). The caller's array is never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np

from nearkin.errors import ParameterError, VectorError

DType = Literal["float32", "bits"]
OnBad = Literal["fail", "skip"]

BLOCK_BYTES = 32 << 20
"""Work over large arrays goes in blocks of about this many bytes, so that memory stays bounded."""


def block_rows(row_bytes: int, budget: int = BLOCK_BYTES) -> int:
    """Rows in a block of about `budget` bytes, at least one."""
    return max(1, budget // max(1, row_bytes))


def as_vectors(
    vectors: Any,
    *,
    dim: int | None = None,
    dtype: DType = "float32",
    what: str = "vectors",
    longest: float = inf,
    remedy: str = 'remove them, or pass on_bad="skip"',
) -> np.ndarray:
    """Check an array of vectors and return it as C-contiguous float32 (or uint8 packed bits), copying only if needed.

    Parameters
    ----------
    vectors
        Anything that numpy reads as an (n, dim) array of numbers: lists, float64, float16, integers, Fortran order,
        strided views, read-only, masked (a masked value counts as NaN) and memory-mapped arrays, data frames. For
        ``dtype="bits"``, uint8 rows of packed bits.
    dim
        Columns expected, if known.
    what
        What the array is called in an error message.
    longest
        Largest Euclidean length of a row.
    remedy
        What to do about values that are not finite, for the hint of the error.

    Raises
    ------
    VectorError
        Not two-dimensional, no columns, a wrong width, not numbers, NaN, infinite and over-large values, or rows too long
        (rows named).

    Examples
    --------
    >>> as_vectors([[1, 2], [3, 4]]).dtype
    dtype('float32')
    >>> as_vectors([[1.0, float("nan")]])
    Traceback (most recent call last):
        ...
    nearkin.errors.VectorError: vectors have NaN or infinite values in 1 of 1 rows (row 0); remove them, or pass on_bad="skip"
    """
    array = as_matrix(vectors, dim=dim, dtype=dtype, what=what)
    if dtype == "float32" and not _surely_fine(array, longest):
        bad = nonfinite_rows(array)
        if bad.size:
            raise VectorError(
                f"{what} have {_not_finite(vectors, bad)} in {name_rows(bad, len(array))}",
                hint=remedy,
            )
        bad = overlong_rows(array, longest)
        if bad.size:
            raise VectorError(f"{_too_long(longest)}: {name_rows(bad, len(array))} of {what}", hint="scale them down")
    return array


def as_matrix(vectors: Any, *, dim: int | None = None, dtype: DType = "float32", what: str = "vectors") -> np.ndarray:
    """`as_vectors` without the check of the values: shape and type only.

    Raises
    ------
    VectorError
        Not two-dimensional, no columns, a wrong width, or not numbers.
    """
    array = vectors if type(vectors) is np.ndarray else _read_as_array(vectors, what)
    if array.ndim != 2:
        hint = "for a single vector pass vector[None, :]" if array.ndim == 1 else None
        raise VectorError(f"{what} must be 2-D (rows, columns), got {array.ndim}-D of shape {array.shape}", hint=hint)
    if array.shape[1] == 0:
        raise VectorError(f"{what} have 0 columns, at least 1 is needed")
    if dim is not None and array.shape[1] != dim:
        raise VectorError(f"{what} have {array.shape[1]} columns, {dim} expected")
    wanted = np.dtype(np.float32 if dtype == "float32" else np.uint8)
    if array.dtype == wanted and array.flags.c_contiguous and array.flags.aligned:
        return array
    if dtype == "bits":
        if array.dtype != np.uint8:
            raise VectorError(
                f"{what} are {array.dtype}, packed bits (uint8) expected",
                hint="np.packbits(array_of_bool, axis=1) packs them",
            )
        return np.require(array, np.uint8, ["C", "A"])
    if array.dtype.kind not in "fiub":
        raise VectorError(f"{what} are of type {array.dtype}, numbers expected")
    with np.errstate(all="ignore"):
        return np.require(array, np.float32, ["C", "A"])


def _read_as_array(vectors: Any, what: str) -> np.ndarray:
    """A plain ndarray of anything; subclasses, whose rows may behave otherwise, are taken as what they hold."""
    if isinstance(vectors, np.ma.MaskedArray) and vectors.dtype.kind in "fiub" and vectors.mask.any():
        with np.errstate(all="ignore"):
            return np.where(vectors.mask, np.float32(np.nan), vectors.data.astype(np.float32))
    try:
        return np.asarray(vectors)
    except Exception as error:  # whatever an object's own conversion raises
        raise VectorError(f"{what} cannot be read as a rectangular array of numbers: {error}") from error


def _surely_fine(array: np.ndarray, longest: float) -> bool:
    """Whether a cheap test proves that all values are finite and no row is too long; False proves nothing."""
    if array.size > 1 << 20:
        return False
    flat = array.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.dot(flat, flat) < min(1e36, longest * longest))


def overlong_rows(array: np.ndarray, longest: float) -> np.ndarray:
    """Numbers of the rows whose Euclidean length is above `longest`, ascending; NaN counts as long."""
    if longest == inf:
        return np.empty(0, dtype=np.int64)
    step = block_rows(array.shape[1] * 4)
    found = []
    for start in range(0, len(array), step):
        block = array[start : start + step]
        squares = np.einsum("ij,ij->i", block, block, dtype=np.float64)
        found.append(np.flatnonzero(~(squares <= longest**2)) + start)
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _too_long(longest: float) -> str:
    return f"rows longer than {longest:.0e} would leave the range of float32"


def nonfinite_rows(array: np.ndarray) -> np.ndarray:
    """Numbers of the rows with a NaN or infinite value, ascending."""
    step = block_rows(array.shape[1] * 4)
    found = [
        np.flatnonzero(~np.isfinite(array[start : start + step]).all(axis=1)) + start
        for start in range(0, len(array), step)
    ]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _not_finite(given: Any, bad: np.ndarray) -> str:
    """What is wrong with rows that are not finite as float32; wider numbers may have been finite as they came."""
    if isinstance(given, np.ndarray) and np.isfinite(given[bad[:5]]).all():
        return "values beyond the range of float32 (3.4e38)"
    return "NaN or infinite values"


def name_rows(rows: Sequence[int] | np.ndarray, total: int) -> str:
    """ "3 of 10 rows (rows 1, 4, 7)", with the list cut after five."""
    shown = ", ".join(str(int(row)) for row in rows[:5])
    more = ", ..." if len(rows) > 5 else ""
    return f"{len(rows):,} of {total:,} rows (row{'s' if len(rows) > 1 else ''} {shown}{more})"


def show_row(row: np.ndarray, columns: int = 8) -> str:
    """A row in a sentence, cut after some columns.

    >>> show_row(np.float32([1, 0.25, 3]), 2)
    '[1, 0.25, ...]'
    """
    shown = ", ".join(f"{value:.6g}" for value in row[:columns].tolist())
    return f"[{shown}{', ...' if len(row) > columns else ''}]"


class Screened(NamedTuple):
    """Rows that passed the gate."""

    vectors: np.ndarray
    kept: np.ndarray | None
    """Row numbers of the input that were kept; None if all were."""
    skipped: np.ndarray
    """Row numbers of the input that were left out."""


class Gate:
    """Rows to be stored, block after block: bad ones are refused once all have been seen, or left out.

    Parameters
    ----------
    dim, dtype
        As for `as_vectors`.
    on_bad
        ``"fail"`` makes `need_good` raise where bad rows came, ``"skip"`` leaves them out.
    longest
        Largest Euclidean length of a row.
    refuse
        A metric's own test: rows to a boolean mask of the rows it cannot take, with `reason` in words.

    Attributes
    ----------
    rows
        How many came, bad ones included.

    Examples
    --------
    >>> gate = Gate(on_bad="skip")
    >>> [gate.take(block).vectors.tolist() for block in ([[1.0], [float("nan")]], [[2.0]])]
    [[[1.0]], [[2.0]]]
    >>> gate.rows, gate.skipped.tolist()
    (3, [1])
    """

    def __init__(
        self,
        *,
        dim: int | None = None,
        dtype: DType = "float32",
        on_bad: OnBad = "fail",
        longest: float = inf,
        refuse: Callable[[np.ndarray], np.ndarray] | None = None,
        reason: str = "",
    ) -> None:
        if on_bad not in ("fail", "skip"):
            raise ParameterError(f"on_bad is {on_bad!r}, 'fail' or 'skip' expected")
        self.rows = 0
        self._dim = dim
        self._dtype = dtype
        self._fails = on_bad == "fail"
        self._tests: list[Callable[[np.ndarray], np.ndarray]] = []
        self._found: list[list[np.ndarray]] = []
        self._told: list[str] = []
        if dtype == "float32":
            self._test(nonfinite_rows, "")  # told by the values that are found
            self._test(lambda array: overlong_rows(array, longest), f"{_too_long(longest)}: ")
        if refuse is not None:
            self._test(lambda array: _refused_rows(array, refuse), f"{reason}: ")

    def _test(self, find: Callable[[np.ndarray], np.ndarray], told: str) -> None:
        self._tests.append(find)
        self._found.append([])
        self._told.append(told)

    @property
    def failed(self) -> bool:
        """Whether bad rows came that are not to be left out: `need_good` will raise."""
        return self._fails and any(self._found)

    @property
    def skipped(self) -> np.ndarray:
        """Numbers of the rows that were bad, ascending."""
        return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *(each for some in self._found for each in some)]))

    def take(self, vectors: Any, *, source: Any = None) -> Screened:
        """The good rows of the next block; none of a block with bad ones that are not to be left out.

        Parameters
        ----------
        source
            What `vectors` was converted from, if it was: its values decide how bad rows are described.

        Raises
        ------
        VectorError
            Not two-dimensional, no columns, a wrong width, or not numbers.
        """
        array = as_matrix(vectors, dim=self._dim, dtype=self._dtype)
        bad = np.empty(0, dtype=np.int64)
        for number, find in enumerate(self._tests):
            new = np.setdiff1d(find(array), bad)
            if new.size:
                self._told[number] = self._told[number] or _told_not_finite(vectors if source is None else source, new)
                self._found[number].append(new + self.rows)
                bad = np.union1d(bad, new)
            if self._fails and self._found[number]:
                break  # only the first kind of bad row is told
        self.rows += len(array)
        if not bad.size:
            return Screened(array, None, bad)
        kept = np.setdiff1d(np.arange(0 if self._fails else len(array)), bad, assume_unique=True)
        return Screened(np.ascontiguousarray(array[kept]), kept, bad)

    def need_good(self, remedy: str = 'remove them, or pass on_bad="skip" (--on-bad skip)') -> None:
        """Raise VectorError if bad rows came that are not to be left out: the first kind, with all their numbers."""
        if self.failed:
            bad = np.concatenate(next(filter(None, self._found)))
            raise VectorError(self.complaint, hint=_without_them(bad, self.rows, remedy))

    @property
    def complaint(self) -> str:
        """What is wrong with the bad rows of the first kind that came, and their numbers; nothing if there are none."""
        kinds = zip(self._told, self._found, strict=True)
        return next((f"{told}{name_rows(np.concatenate(found), self.rows)}" for told, found in kinds if found), "")


def _told_not_finite(given: Any, bad: np.ndarray) -> str:
    return f"vectors have {_not_finite(given, bad)} in "


def _without_them(bad: np.ndarray, rows: int, remedy: str) -> str:
    if len(bad) == rows:
        return "no row can be used, so choose other columns or another metric"
    return remedy


def _refused_rows(array: np.ndarray, refuse: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    step = block_rows(array.shape[1] * array.itemsize)
    found = [np.flatnonzero(refuse(array[start : start + step])) + start for start in range(0, len(array), step)]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
