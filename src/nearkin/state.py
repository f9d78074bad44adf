"""What a trained component remembers: named arrays and a small JSON object, never pickled code.

>>> state = State({"matrix": np.eye(2, dtype=np.float32)}, {"shrinkage": 0.1})
>>> state.nbytes
16
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class State:
    """Arrays and JSON-able metadata that restore a component exactly.

    Parameters
    ----------
    arrays
        Name to array; any shape, any plain numeric dtype.
    meta
        Strings, numbers, booleans, lists and dicts of them.
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        return sum(array.nbytes for array in self.arrays.values())
