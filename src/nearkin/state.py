"""What a trained component remembers: named arrays and a small JSON object, never pickled code.

>>> state = State({"matrix": np.eye(2, dtype=np.float32)}, {"shrinkage": 0.1})
>>> state.nbytes
16
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def nested_state(**parts: State) -> State:
    """States of several parts as one.

    >>> nested = nested_state(a=State({"x": np.zeros(1)}, {"n": 1}), b=State())
    >>> sorted(nested.arrays), nested.meta
    (['a.x'], {'a': {'n': 1}, 'b': {}})
    """
    arrays = {f"{part}.{name}": array for part, state in parts.items() for name, array in state.arrays.items()}
    return State(arrays, {part: dict(state.meta) for part, state in parts.items()})


def restore_nested(nested: State, **parts: Callable[[State], None]) -> None:
    """Give each part back what `nested_state` took from it."""
    for part, restore in parts.items():
        prefix = f"{part}."
        arrays = {name.removeprefix(prefix): array for name, array in nested.arrays.items() if name.startswith(prefix)}
        restore(State(arrays, nested.meta[part]))
