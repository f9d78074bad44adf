"""A metric written as a plain Python function over two rows, read and made ready for numba.

The function's source is rendered, with the scans that call it, into a module of its own. A function passed to numba as an
argument would be compiled again in every new process; a module on disk is compiled once.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
import types
import warnings
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from nearkin.bits import bit_counts
from nearkin.errors import ParameterError, PluginContractError

TRIED = 4
"""Pairs of rows that a kernel is tried on in plain Python."""

WAY_OUT = "or write pairwise(queries, vectors) in numpy instead, see nearkin.Metric"


@dataclass(frozen=True)
class KernelSource:
    """A kernel as text that a module can hold.

    Attributes
    ----------
    name
        What the user called it.
    text
        Imports, constants, helper functions and the kernel, named ``_user``.
    takes_params
        Whether it is ``kernel(a, b, params)`` rather than ``kernel(a, b)``.
    """

    name: str
    text: str
    takes_params: bool

    @property
    def digest(self) -> str:
        """Hash of the text, 16 hexadecimal digits: the same formula has the same one."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


@lru_cache(maxsize=256)
def read_kernel(function: Callable[..., Any]) -> KernelSource:
    """Read a kernel and what it uses from its module: imported modules, numbers, and other plain functions.

    Decimal constants become float32, since one float64 constant would make the whole loop run at half the speed.

    Raises
    ------
    ParameterError
        The source cannot be read, it does not take two or three arguments, or it uses something that a compiled module cannot
        hold.

    Examples
    --------
    >>> def largest(a, b):
    ...     worst = 0.0
    ...     for i in range(a.shape[0]):
    ...         worst = max(worst, abs(a[i] - b[i]))
    ...     return worst
    >>> print(read_kernel(largest).text)
    def _user(a, b):
        worst = _f32(0.0)
        for i in range(a.shape[0]):
            worst = _larger(worst, abs(a[i] - b[i]))
        return worst
    """
    name = getattr(function, "__name__", "kernel")
    arguments = list(inspect.signature(function).parameters)
    if len(arguments) not in (2, 3):
        raise ParameterError(
            f"kernel {name!r} takes {len(arguments)} arguments, kernel(a, b) or kernel(a, b, params) expected"
        )
    pieces: dict[str, str] = {}
    body = _render(function, "_user", pieces)
    return KernelSource(name, "\n".join([*pieces.values(), body]), len(arguments) == 3)


def need_in_bounds(function: Callable[..., Any], rows: np.ndarray, params: np.ndarray | None) -> None:
    """Run a kernel in plain Python on a few pairs of rows, since machine code reads beyond the end of a row without a word.

    Raises
    ------
    PluginContractError
        It reads beyond a row, or beyond the parameters.

    Examples
    --------
    >>> need_in_bounds(lambda a, b: a[2] - b[2], np.zeros((2, 2), np.float32), None)
    Traceback (most recent call last):
        ...
    nearkin.errors.PluginContractError: kernel '<lambda>' reads beyond its arrays for rows of 2 columns: index 2 is out of bounds \
for axis 0 with size 2; use a.shape[0] for the number of columns
    """
    extra = () if params is None else (params,)
    for a, b in zip(rows[:TRIED], rows[-TRIED:][::-1], strict=False):
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function(a, b, *extra)
        except IndexError as error:
            with_params = "" if params is None else f" and parameters of shape {params.shape}"
            raise PluginContractError(
                f"kernel {getattr(function, '__name__', 'kernel')!r} reads beyond its arrays for rows of {len(a)} columns"
                f"{with_params}: {error}",
                hint="use a.shape[0] for the number of columns",
            ) from error
        except Exception:  # what numba makes of it, a division by zero for one, is for numba to say
            return


def _render(function: Callable[..., Any], as_name: str, pieces: dict[str, str]) -> str:
    """Source of a function under another name; what it uses is added to `pieces`."""
    tree = _parse(function)
    tree.name = as_name
    tree.decorator_list = []
    tree.returns = None
    for argument in tree.args.args:
        argument.annotation = None
    if ast.get_docstring(tree) is not None and len(tree.body) > 1:
        tree.body = tree.body[1:]
    ours = set()
    used = dict(_used(function))
    for name, value in used.items():
        if isinstance(value, types.ModuleType) and value.__name__ == "nearkin":
            ours.add(name)
        elif name not in pieces:
            pieces[name] = ""  # holds the place, so that functions that call each other end
            pieces[name] = _render_value(name, value, pieces, getattr(function, "__name__", "kernel"))
    rewritten = _Extremes(used).visit(tree)
    rewritten = _OwnFunctions(ours, getattr(function, "__name__", "kernel")).visit(_SinglePrecision().visit(rewritten))
    return ast.unparse(ast.fix_missing_locations(rewritten))


def _parse(function: Callable[..., Any]) -> ast.FunctionDef:
    name = getattr(function, "__name__", "kernel")
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError) as error:
        raise ParameterError(
            f"the source of kernel {name!r} cannot be read ({error})", hint=f"put it into a file as a def, {WAY_OUT}"
        ) from error
    found = tree.body[0] if tree.body else None
    arguments = list(inspect.signature(function).parameters)
    if not isinstance(found, ast.FunctionDef):
        raise ParameterError(f"kernel {name!r} is not a plain function", hint=f"write it as a def, {WAY_OUT}")
    if found.name != name or [argument.arg for argument in found.args.args] != arguments:
        raise ParameterError(
            f"the source of kernel {name!r} cannot be read: another function stands at its place",
            hint=f"put it into a file as a def, {WAY_OUT}",
        )
    return found


def _used(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Names that a function takes from its module or from around it, in order of name."""
    found = inspect.getclosurevars(function)
    yield from sorted({**found.globals, **found.nonlocals}.items())


def _render_value(name: str, value: Any, pieces: dict[str, str], kernel: str) -> str:
    if isinstance(value, types.ModuleType):
        return f"import {value.__name__} as {name}"
    if isinstance(value, bool | np.bool_):
        return f"{name} = {bool(value)}"
    if isinstance(value, int | np.integer):
        return f"{name} = {int(value)}"
    if isinstance(value, float | np.floating):
        return f"{name} = _f32({float(value)!r})"
    if value is bit_counts:
        return f"{name} = _bit_counts"
    plain = getattr(value, "py_func", value)  # a function that numba was given already
    if isinstance(plain, types.FunctionType):
        return f"@_compiled\n{_render(plain, name, pieces)}"
    raise ParameterError(
        f"kernel {kernel!r} uses {name}, a {type(value).__name__}, which a compiled kernel cannot hold",
        hint=f"use numbers, modules and plain functions, pass arrays as params, {WAY_OUT}",
    )


class _Extremes(ast.NodeTransformer):
    """``worst = max(worst, x)`` by an operation that loops can be vectorised over; so for min."""

    ROUTES: ClassVar = {"max": "_larger", "min": "_smaller"}

    def __init__(self, redefined: Container[str]) -> None:
        self._redefined = redefined

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        self.generic_visit(node)
        call, kept = node.value, node.targets[0]
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id in self.ROUTES
            and call.func.id not in self._redefined
            and len(call.args) == 2
            and not call.keywords
            and isinstance(kept, ast.Name)
            and any(isinstance(each, ast.Name) and each.id == kept.id for each in call.args)
        ):
            call.func.id = self.ROUTES[call.func.id]
        return node


class _OwnFunctions(ast.NodeTransformer):
    """``nk.bit_counts``, under whatever name nearkin was imported, as the template's compiled one."""

    def __init__(self, modules: set[str], kernel: str) -> None:
        self._modules = modules
        self._kernel = kernel

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            if node.attr != bit_counts.__name__:
                raise ParameterError(
                    f"kernel {self._kernel!r} uses nearkin.{node.attr}, which a compiled kernel cannot hold",
                    hint="of nearkin it may use bit_counts",
                )
            return ast.Name("_bit_counts", ast.Load())
        self.generic_visit(node)
        return node


class _SinglePrecision(ast.NodeTransformer):
    """Decimal constants as float32."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, float):
            return ast.Call(ast.Name("_f32", ast.Load()), [node], [])
        return node
