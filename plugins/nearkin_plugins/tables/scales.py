"""Units of a column of numbers: where its zero is, and how long a step is.

>>> learn_scale(np.array([1.0, 2.0, 3.0, np.nan]), "minmax")
Scale(centre=2.0, step=2.0)
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

SCALINGS = ("standard", "robust", "minmax", "none")
_NARROWEST = 1e-150


class Scale(NamedTuple):
    """Values become (value - centre) / step; a step of 0 stands for a column whose values were all the same."""

    centre: float
    step: float

    def apply(self, values: np.ndarray) -> np.ndarray:
        """(n,) float64 in steps from the centre; NaN stays."""
        if not self.step:
            return np.where(np.isnan(values), values, 0.0)
        return np.asarray((values - self.centre) / self.step)

    def undo(self, steps: np.ndarray) -> np.ndarray:
        """Values again, rounded to the digits that float32 has kept of the steps."""
        values = self.centre + np.asarray(steps, dtype=np.float64) * self.step
        if not self.step:
            return values
        largest = self.step * max(1.0, float(np.abs(steps).max(initial=0.0)))
        digits = -math.ceil(math.log10(5e-7 * largest))
        return np.round(values, digits) if abs(digits) < 300 else values


def learn_scale(values: np.ndarray, scaling: str) -> Scale:
    """The scale of (n,) float64 values, of which NaN do not count.

    ``standard``: mean and standard deviation (`sklearn.preprocessing.StandardScaler`); ``robust``: median and the range of the
    middle half (`RobustScaler`), or where that is 0 as the standard; ``minmax``: mean and range; ``none``: mean and 1.
    """
    present = values[~np.isnan(values)]
    if not present.size:
        return Scale(0.0, 0.0)
    least, span = float(present.min()), float(np.ptp(present))
    if span <= max(_NARROWEST, 8 * np.finfo(np.float64).eps * float(np.abs(present).max())):
        return Scale(least, 0.0)
    # from 0 to 1, so that neither large offsets nor tiny steps cost digits
    inner = _scale_of((present - least) / span, scaling)
    return Scale(least + inner.centre * span, 1.0 if scaling == "none" else inner.step * span)


def _scale_of(shares: np.ndarray, scaling: str) -> Scale:
    from sklearn.preprocessing import RobustScaler, StandardScaler

    if scaling == "robust" and np.subtract(*np.quantile(shares, (0.75, 0.25))) > 0:
        robust: Any = RobustScaler().fit(shares[:, None])
        return Scale(float(robust.center_[0]), float(robust.scale_[0]))
    standard: Any = StandardScaler().fit(shares[:, None])
    centre = float(np.median(shares)) if scaling == "robust" else float(standard.mean_[0])
    return Scale(centre, 1.0 if scaling in ("minmax", "none") else float(standard.scale_[0]))
