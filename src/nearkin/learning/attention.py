"""Attention over stored rows: a softmax of similarity decides how much each row's value counts.

>>> import numpy as np
>>> found = attend(np.float32([[1, 0]]), np.float32([[1, 0], [0, 1]]), [[10.0], [20.0]], temperature=0.1)
>>> found.values.round(3).tolist(), found.weights.round(3).tolist(), found.left_out.tolist()
([[10.0]], [[1.0, 0.0]], [0.0])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.errors import ParameterError, VectorError
from nearkin.vectors import as_vectors, block_rows


@dataclass(frozen=True)
class Attended:
    """What attention answers.

    Attributes
    ----------
    values
        (nq, outputs) float64 weighed means of the values.
    positions
        (nq, k) rows that were attended to, the nearest first; -1 where there are fewer.
    weights
        (nq, k) float64 softmax weights of these, with a sum of 1 a query (over all heads).
    left_out
        (nq,) at most this share of the whole mass lies on rows that were left out, were each of them as near as the last row that
        was kept.
    temperature
        That the inner products were divided by.
    """

    values: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    left_out: np.ndarray
    temperature: float


def softmax(scores: np.ndarray) -> np.ndarray:
    """Along the last axis, in float64; -inf counts nothing."""
    top = scores.max(axis=-1, keepdims=True)
    shares = np.exp(scores - np.where(np.isfinite(top), top, 0))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def attend(queries: Any, keys: Any, values: Any, *, temperature: float | None = None, heads: int = 1) -> Attended:
    """softmax(q·k / T) · values over all keys.

    Source: A. Vaswani et al., "Attention is all you need" (2017); with a Gaussian kernel it is the regression of
    E. Nadaraya (1964) and G. Watson (1964).

    Parameters
    ----------
    queries, keys
        (nq, dim) and (n, dim) numbers.
    values
        (n,) or (n, outputs) numbers.
    temperature
        T; None for the square root of the columns of a head, as in the paper. Over rows of length one that weighs all keys nearly
        equally: a temperature fitted on held-out rows is about 0.05 there.
    heads
        The columns are split into so many equal parts, each with a softmax of its own; their weights are averaged.

    Raises
    ------
    VectorError, ParameterError
        Shapes that do not go together, a temperature that is not positive, columns that cannot be split into heads.
    """
    rows = as_vectors(keys, what="keys")
    asked = as_vectors(queries, dim=rows.shape[1], what="queries")
    given = values_of(values, len(rows))
    if not len(rows):
        raise VectorError("there are no keys to attend to")
    scale = checked_temperature(temperature, rows.shape[1], heads)
    weights = np.empty((len(asked), len(rows)))
    step = block_rows(8 * len(rows) * 2)
    for start in range(0, len(asked), step):
        weights[start : start + step] = head_weights(asked[start : start + step], rows, scale, heads)
    order = np.argsort(-weights, axis=1, kind="stable")
    return Attended(weights @ given, order, np.take_along_axis(weights, order, axis=1), np.zeros(len(asked)), scale)


def head_weights(queries: np.ndarray, keys: np.ndarray, temperature: float, heads: int) -> np.ndarray:
    """(nq, n) float64 softmax weights of keys, the mean over the heads."""
    split = queries.shape[1] // heads
    total = np.zeros((len(queries), len(keys)))
    for head in range(heads):
        columns = slice(head * split, (head + 1) * split)
        total += softmax((queries[:, columns] @ keys[:, columns].T).astype(np.float64) / temperature)
    return total / heads


def checked_temperature(temperature: float | None, dim: int, heads: int) -> float:
    """The temperature, or the one of the paper.

    Raises
    ------
    ParameterError
        It is not positive, or the heads do not divide the columns.
    """
    if type(heads) is not int or heads < 1 or dim % heads:
        raise ParameterError(f"heads is {heads!r}, a whole number that divides the {dim} columns expected")
    if temperature is None:
        return float(np.sqrt(dim // heads))
    if isinstance(temperature, bool) or not 0 < temperature < np.inf:
        raise ParameterError(f"temperature is {temperature!r}, a number above 0 expected")
    return float(temperature)


def values_of(values: Any, rows: int) -> np.ndarray:
    """(n, outputs) float64 values.

    Raises
    ------
    VectorError
        Not one a row, or not finite numbers.
    """
    try:
        given = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise VectorError(f"values are no array of numbers: {error}") from error
    if given.ndim not in (1, 2) or len(given) != rows:
        raise VectorError(f"values have shape {given.shape}, one a row of {rows:,} expected")
    if not np.isfinite(given).all():
        raise VectorError("values have NaN or infinite numbers", hint="leave those rows out")
    return given.reshape(rows, -1)
