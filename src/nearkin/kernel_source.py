"""A metric written as a plain Python function over two rows, read and made ready for numba.

The function's source is rendered, with the scans that call it, into a module of its own. A function passed to numba as an
argument would be compiled again in every new process; a module on disk is compiled once.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import inspect
import math
import textwrap
import types
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nearkin.bits import bit_counts
from nearkin.errors import ParameterError, PluginContractError

NUMBER = (bool, int, float, np.bool_, np.number)

TRIED = 4
"""Pairs of rows that a kernel is tried on in plain Python."""

TEMPLATE = Path(__file__).with_name("kernel_template.txt")
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

    @cached_property
    def counts_bits(self) -> bool:
        """Whether it uses `nearkin.bit_counts`."""
        return "_bit_counts" in self.text

    @cached_property
    def slices(self) -> bool:
        """Whether it takes parts of rows, whose width says nothing of a row's."""
        return any(isinstance(node, ast.Slice) for node in ast.walk(ast.parse(self.text)))


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
    if not isinstance(function, types.FunctionType) or hasattr(function, "__wrapped__"):
        what = "is wrapped by a decorator" if hasattr(function, "__wrapped__") else "is not a plain function"
        raise ParameterError(
            f"kernel {getattr(function, '__name__', function)!r} {what}",
            hint=f"write it as a def of its own, {WAY_OUT}",
        )
    # Numbers of a module may change, in a notebook for one; what is remembered is for the numbers as they are now.
    return _read(function, tuple(sorted(_numbers(function, set()))))


def _numbers(function: Callable[..., Any], seen: set[Any]) -> Iterator[tuple[str, str, str]]:
    """Function, name and value of every number that a kernel, or a function that it calls, takes from around it."""
    seen.add(function)
    found = inspect.getclosurevars(function)
    for name, value in {**found.globals, **found.nonlocals}.items():
        plain = getattr(value, "py_func", value)
        if isinstance(value, NUMBER):
            yield function.__qualname__, name, repr(value)
        elif isinstance(plain, types.FunctionType) and plain is not bit_counts and plain not in seen:
            yield from _numbers(plain, seen)


@lru_cache(maxsize=256)
def _read(function: Callable[..., Any], numbers: tuple[tuple[str, str, str], ...]) -> KernelSource:
    name = getattr(function, "__name__", "kernel")
    arguments = list(inspect.signature(function).parameters)
    if len(arguments) not in (2, 3):
        raise ParameterError(
            f"kernel {name!r} takes {len(arguments)} arguments, kernel(a, b) or kernel(a, b, params) expected"
        )
    pieces: Pieces = {}
    body = _render(function, "_user", pieces)
    return KernelSource(name, "\n".join([*(text for _, text in pieces.values()), body]), len(arguments) == 3)


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


Pieces = dict[str, tuple[Any, str]]
"""What a kernel uses, by its name in the rendered module: the value, and its text."""


def _render(function: Callable[..., Any], as_name: str, pieces: Pieces) -> str:
    """Source of a function under another name; what it uses is added to `pieces`."""
    tree = _bare(function, as_name)
    kernel = getattr(function, "__name__", "kernel")
    ours, renamed = set(), {}
    used = dict(_used(function))
    for name, value in used.items():
        if isinstance(value, types.ModuleType) and value.__name__ == "nearkin":
            ours.add(name)
            continue
        place = renamed[name] = _free_name(name, value, pieces)
        if place not in pieces:
            pieces[place] = value, ""  # holds the place, so that functions that call each other end
            pieces[place] = value, _render_value(place, value, pieces, kernel)
    rewritten = _OwnFunctions(ours, kernel).visit(_SinglePrecision().visit(_Extremes(used).visit(tree)))
    return ast.unparse(ast.fix_missing_locations(_Renamed(renamed).visit(rewritten)))


def _bare(function: Callable[..., Any], as_name: str) -> ast.FunctionDef:
    """A function under another name, without decorators, annotations and docstring, and with its defaults as numbers."""
    tree = _parse(function)
    tree.name = as_name
    tree.decorator_list = []
    tree.returns = None
    for argument in tree.args.args:
        argument.annotation = None
    defaults = function.__defaults__ or ()
    if not all(isinstance(each, bool | int | float) for each in defaults):
        raise ParameterError(f"function {function.__name__!r} has a default that is no number", hint=WAY_OUT)
    tree.args.defaults = [ast.Constant(each) for each in defaults]  # their names are not known where it is rendered
    if ast.get_docstring(tree) is not None and len(tree.body) > 1:
        tree.body = tree.body[1:]
    return tree


def _free_name(name: str, value: Any, pieces: Pieces) -> str:
    """The name, or one like it where it means something else in the template or in another function of the kernel."""
    place, number = name, 2
    while _taken().get(place, value) is not value or (place in pieces and not _same(pieces[place][0], value)):
        place, number = f"{name}__{number}", number + 1
    return place


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and isinstance(one, float | int | np.number) and one == other)


@lru_cache(maxsize=1)
def _taken() -> Mapping[str, Any]:
    """Names that the template relies on, and the modules that some of them are."""
    tree = ast.parse(TEMPLATE.read_text(encoding="utf-8"))  # the places to be filled in are sets to Python
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and hasattr(builtins, node.id):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            names |= {node.id for node in ast.walk(statement.targets[0]) if isinstance(node, ast.Name)}
    return {**dict.fromkeys(names), "np": np}


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
    """Names that a function takes from its module or from around it, in order of name.

    Python counts attributes among them (``a.shape`` as a global called shape), so those that it reads as names are kept.
    """
    found = inspect.getclosurevars(function)
    read = {node.id for node in ast.walk(_parse(function)) if isinstance(node, ast.Name)}
    yield from sorted((name, value) for name, value in {**found.globals, **found.nonlocals}.items() if name in read)


def _render_value(name: str, value: Any, pieces: Pieces, kernel: str) -> str:
    if isinstance(value, types.ModuleType):
        return f"import {value.__name__} as {name}"
    if isinstance(value, bool | np.bool_):
        return f"{name} = {bool(value)}"
    if isinstance(value, int | np.integer):
        return f"{name} = {int(value)}"
    if isinstance(value, float | np.floating):
        number = float(value)
        return f"{name} = _f32({number!r})" if isfinite(number) else f"{name} = _f32('{number}')"
    if value is bit_counts:
        return f"{name} = _bit_counts"
    for library in (math, np):
        if callable(value) and getattr(library, str(getattr(value, "__name__", "")), None) is value:
            return f"from {library.__name__} import {getattr(value, '__name__', name)} as {name}"
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
            limits = np.finfo(np.float32)
            if node.value and isfinite(node.value) and not limits.tiny <= abs(node.value) <= limits.max:
                raise ParameterError(
                    f"the constant {node.value} is {'0' if abs(node.value) < 1 else 'infinite'} in float32, as kernels compute",
                    hint=f"use a number from {limits.tiny:.1e} to {limits.max:.1e}",
                )
            return ast.Call(ast.Name("_f32", ast.Load()), [node], [])
        return node


class _Renamed(ast.NodeTransformer):
    """Names of what a function uses, as the rendered module has them."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node
