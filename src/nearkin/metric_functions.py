"""A metric from a plain function: write the formula over two rows, get it compiled.

>>> import nearkin as nk
>>> @nk.metric("trimmed-l1", axioms={"non-negative", "identity", "symmetric"})
... def trimmed_l1(a, b):
...     total = 0.0
...     for i in range(a.shape[0]):
...         total += min(abs(a[i] - b[i]), 50.0)
...     return total
>>> trimmed_l1.name
'trimmed-l1'
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nearkin.errors import ParameterError, StateError
from nearkin.kernel_source import read_kernel
from nearkin.metrics import ALL_AXIOMS, Axiom, Metric
from nearkin.state import State
from nearkin.vectors import DType


class FunctionMetric(Metric):
    """What `metric` makes of a function; calling it computes one pair in plain Python.

    The formula's text is stored with what is built from it, and compared when that is opened: never run from there.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        axioms: frozenset[Axiom],
        dtype: DType,
        fit: Callable[[np.ndarray], np.ndarray] | None,
    ) -> None:
        self.name = name  # type: ignore[misc]
        self.axioms = axioms  # type: ignore[misc]
        self.dtype = dtype  # type: ignore[misc]
        self.needs_fit = fit is not None  # type: ignore[misc]
        self.kernel = function  # type: ignore[misc]
        self._fit = fit
        self._params: np.ndarray | None = None
        self.__doc__ = function.__doc__

    def __call__(self, *rows: Any) -> Any:
        return self.kernel(*rows)  # type: ignore[misc]

    def fresh(self) -> FunctionMetric:
        """The same metric, not fitted."""
        return FunctionMetric(self.name, self.kernel, self.axioms, self.dtype, self._fit)  # type: ignore[arg-type]

    def fit(self, sample: np.ndarray) -> None:
        if self._fit is not None:
            self._params = np.ascontiguousarray(self._fit(sample))

    def kernel_params(self) -> np.ndarray | None:
        return self._params

    def state(self) -> State:
        arrays = {} if self._params is None else {"params": self._params}
        return State(arrays, {"formula": self._text()})

    def restore(self, state: State) -> None:
        stored = state.meta.get("formula")
        if stored != self._text():
            raise StateError(
                f"metric {self.name!r} is not the formula that this was built with: {self._change(str(stored))}"
            )
        self._params = state.arrays.get("params")

    def _text(self) -> str:
        return read_kernel(self.kernel).text

    def _change(self, stored: str) -> str:
        lines = difflib.ndiff(stored.splitlines(), self._text().splitlines())
        changed = [line for line in lines if line[:2] in ("- ", "+ ")]
        was = next((line[2:].strip() for line in changed if line[0] == "-"), "")
        now = next((line[2:].strip() for line in changed if line[0] == "+"), "")
        return f"it had `{was}`, now it has `{now}`"


def metric(
    name: str,
    *,
    axioms: Iterable[Axiom] = (),
    dtype: DType = "float32",
    fit: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Callable[[Callable[..., Any]], FunctionMetric]:
    """Make a metric of a function ``kernel(a, b)`` over two rows: smaller is nearer.

    Parameters
    ----------
    name
        How users ask for it.
    axioms
        What it holds of ``non-negative``, ``identity``, ``symmetric`` and ``triangle``; `nearkin.build` tests each on some rows.
    dtype
        ``"float32"``, or ``"bits"`` for rows of packed bits (uint8).
    fit
        From a sample of rows to the array that ``kernel(a, b, params)`` gets.

    Raises
    ------
    ParameterError
        An unknown axiom, a function that cannot be read, or one that takes another number of arguments.
    """
    held = frozenset(axioms)
    unknown = held - ALL_AXIOMS
    if unknown:
        raise ParameterError(f"{sorted(unknown)[0]!r} is not an axiom, {', '.join(sorted(ALL_AXIOMS))} expected")

    def decorate(function: Callable[..., Any]) -> FunctionMetric:
        source = read_kernel(function)
        if source.takes_params != (fit is not None):
            raise ParameterError(
                f"metric {name!r}: kernel(a, b, params) goes with fit=, and kernel(a, b) without",
                hint="give both or neither",
            )
        return FunctionMetric(name, function, held, dtype, fit)

    return decorate
