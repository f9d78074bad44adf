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

from nearkin.component_names import is_component_name
from nearkin.errors import ParameterError, PluginContractError, StateError
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
        if self._fit is None:
            return
        shown = sample.view()
        shown.flags.writeable = False  # a fit that works in place would change the rows of the user
        try:
            params = np.asarray(self._fit(shown))
        except Exception as error:  # a stranger's function may raise anything
            raise PluginContractError(
                f"fit of metric {self.name!r} failed on {len(sample):,} rows: {type(error).__name__}: {error}"
            ) from error
        if params.dtype.kind not in "fiub" or not np.isfinite(params).all():
            raise PluginContractError(
                f"fit of metric {self.name!r} gave {params.dtype} of shape {params.shape}, an array of finite numbers expected"
            )
        small = params.dtype.kind == "f" and params.dtype.itemsize < 4
        self._params = np.ascontiguousarray(params, dtype=np.float32 if small else params.dtype.newbyteorder("="))

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
        assert self.kernel is not None
        return read_kernel(self.kernel).text

    def _change(self, stored: str) -> str:
        lines = difflib.ndiff(stored.splitlines(), self._text().splitlines())
        changed = [line for line in lines if line[:2] in ("- ", "+ ")]
        was = next((line[2:].strip() for line in changed if line[0] == "-"), "")
        now = next((line[2:].strip() for line in changed if line[0] == "+"), "")
        return f"it had `{was}`, now it has `{now}`"


def _need_name(name: object) -> None:
    if callable(name):
        raise ParameterError(
            "nearkin.metric was given a function, its name expected", hint='write @nearkin.metric("my-metric")'
        )
    if not is_component_name(name):
        raise ParameterError(
            f"{name!r} is not a name for a metric",
            hint="use lower-case letters, digits and hyphens, for example my-metric",
        )


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
    _need_name(name)
    if dtype not in ("float32", "bits"):
        raise ParameterError(f"metric {name!r} has dtype {dtype!r}, 'float32' or 'bits' expected")
    if fit is not None and not callable(fit):
        raise ParameterError(f"metric {name!r} has fit={fit!r}, a function from rows to an array expected")
    if isinstance(axioms, str) or not isinstance(axioms, Iterable):
        raise ParameterError(f"metric {name!r} has axioms={axioms!r}, a set such as {{'symmetric'}} expected")
    held = frozenset(axioms)
    unknown = held - ALL_AXIOMS
    if unknown:
        raise ParameterError(
            f"{sorted(map(str, unknown))[0]!r} is not an axiom, {', '.join(sorted(ALL_AXIOMS))} expected"
        )

    def decorate(function: Callable[..., Any]) -> FunctionMetric:
        source = read_kernel(function)
        if source.takes_params != (fit is not None):
            raise ParameterError(
                f"metric {name!r}: kernel(a, b, params) goes with fit=, and kernel(a, b) without",
                hint="give both or neither",
            )
        return FunctionMetric(name, function, held, dtype, fit)

    return decorate
