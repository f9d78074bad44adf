"""How much of a row a codec keeps, by itself: what comes back of rows that it did not learn from."""

from __future__ import annotations

import numpy as np

from nearkin.indexes import Layout
from nearkin.metrics import Metric
from nearkin.plans import make_index, parse_plan
from nearkin.registry import Registry


def reconstruction_error(
    plan: str, metric: Metric, prepared: np.ndarray, registry: Registry, *, tested: int = 2048, seed: int = 0
) -> float | None:
    """Mean over rows of ||x - decode(encode x)||² / ||x - mean||², for the transform and the codec of a plan.

    0 is a perfect copy, 1 as bad as keeping nothing but the mean. An index may do better with the same codec: ivf encodes what
    is left of a row beside its centroid. A transform is taken back by its pseudo-inverse, around the mean.

    Parameters
    ----------
    prepared
        (n, dim) rows as the metric prepares them, in random order.
    tested
        Rows at the end that the error is measured on; the others are learned from. All are used for both where they are few.

    Returns
    -------
    None for packed bits, and where all rows are the same.

    Source: A. Gersho, R. M. Gray, "Vector quantization and signal compression" (1992), the inverse of the signal-to-noise ratio.

    Examples
    --------
    >>> from nearkin.metrics import SquaredEuclidean
    >>> from nearkin.registry import default_registry
    >>> rows = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    >>> metric, registry = SquaredEuclidean(), default_registry()
    >>> reconstruction_error("flat", metric, rows, registry)
    0.0
    >>> 0 < reconstruction_error("flat,int8", metric, rows, registry) < 1e-3
    True
    """
    if metric.dtype != "float32":
        return None
    layout = make_index(parse_plan(plan, registry), metric, prepared.shape[1], registry, rows=len(prepared)).layout
    if layout.codec.lossless and layout.transform is None:
        return 0.0
    few = len(prepared) < 4 * tested
    learned, rows = (prepared, prepared[-tested:]) if few else (prepared[:-tested], prepared[-tested:])
    there = rows.astype(np.float64)
    spread = np.square(there - there.mean(axis=0)).sum(axis=1)
    if not spread.any():
        return None
    off = np.square(there - _back(layout, metric, learned, rows, seed)).sum(axis=1)
    return float(np.mean(off[spread > 0] / spread[spread > 0]))


def _back(layout: Layout, metric: Metric, learned: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """What comes back of rows after the transform and the codec."""
    transform, codec = layout.transform, layout.codec
    mapped, learned_mapped = rows, learned
    if transform is not None:
        transform.train(learned, space=metric.space, codec=codec, seed=seed)
        mapped, learned_mapped = transform.apply(rows), transform.apply(learned)
    if codec.train_rows:
        codec.train(learned_mapped)
    decoded = codec.decode(codec.encode(mapped)).astype(np.float64)
    if transform is None or transform.matrix is None:
        return decoded
    matrix, mean = transform.matrix.astype(np.float64), learned.mean(axis=0, dtype=np.float64)
    return np.asarray(mean + (decoded - matrix @ mean) @ np.linalg.pinv(matrix).T)
