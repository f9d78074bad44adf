"""What a check is: one promise of a contract, in words and as a function that tries to break it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import numpy as np

from nearkin.errors import NearkinError
from nearkin.hooks import Spec
from nearkin.registry import Registry
from nearkin.state import State

T = TypeVar("T")


class CheckFailed(AssertionError):
    """A component broke a promise; the message is one sentence with the numbers."""


class NotApplicable(Exception):
    """The component makes no such promise; the message says why the check was left out."""


@dataclass
class Subject:
    """One component with one set of params, under examination.

    Attributes
    ----------
    params
        Params of the example, as the component's constructor takes them (defaults filled in).
    rows
        The user's own rows to check with, or None for the kit's.
    """

    spec: Spec
    registry: Registry
    params: Mapping[str, Any]
    seed: int = 0
    rows: np.ndarray | None = None
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def make(self, *args: Any) -> Any:
        """A fresh component; `args` are those of its kind."""
        return self.registry.build(self.spec, *args, params=dict(self.params))

    def rng(self, purpose: str) -> np.random.Generator:
        """Random numbers that depend on the seed and the purpose only, not on which checks ran before."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def once(self, key: str, make: Callable[[], T]) -> T:
        """The value of `make()`, kept: several checks may share what is slow to build, if none of them changes it."""
        if key not in self._kept:
            self._kept[key] = make()
        kept: T = self._kept[key]
        return kept


@dataclass(frozen=True)
class Check:
    """One promise of a contract.

    Attributes
    ----------
    promise
        One sentence.
    run
        Takes a `Subject`; raises `CheckFailed` with the numbers if the promise is broken. Whatever else it raises comes
        from the component and breaks the promise too.
    gate
        Whether the other checks are pointless if this one fails.
    """

    name: str
    kind: str
    promise: str
    run: Callable[[Subject], None]
    gate: bool = False


class Checks(list[Check]):
    """The checks of a kind, in the order that their functions are written in.

    A function becomes a check by decoration: its name, with hyphens, is the check's, its docstring the promise.

    >>> checks = Checks("metric")
    >>> @checks.add
    ... def never_fails(subject):
    ...     '''Nothing is promised.'''
    >>> checks[0].name, checks[0].kind, checks[0].promise
    ('never-fails', 'metric', 'Nothing is promised.')
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def add(self, run: Callable[[Subject], None]) -> Callable[[Subject], None]:
        """Make a check of a function."""
        return self._add(run, gate=False)

    def gate(self, run: Callable[[Subject], None]) -> Callable[[Subject], None]:
        """Make a check of a function; where it fails, the checks after it are left out."""
        return self._add(run, gate=True)

    def _add(self, run: Callable[[Subject], None], *, gate: bool) -> Callable[[Subject], None]:
        promise = " ".join((run.__doc__ or "").split())
        self.append(Check(run.__name__.replace("_", "-"), self.kind, promise, run, gate))
        return run


def fail(sentence: str) -> NoReturn:
    """Break the promise."""
    raise CheckFailed(sentence)


def expect(holds: object, sentence: str) -> None:
    """Break the promise unless `holds`.

    >>> expect(1 > 2, "1 is not larger than 2")
    Traceback (most recent call last):
        ...
    nearkin.testing.contract.CheckFailed: 1 is not larger than 2
    """
    if not holds:
        raise CheckFailed(sentence)


def expect_error(wanted: type[NearkinError], what: str, call: Callable[[], Any]) -> NearkinError:
    """Break the promise unless `call` raises `wanted`; return the error."""
    try:
        call()
    except wanted as error:
        return error
    except Exception as error:
        fail(f"{what} raised {type(error).__name__} ({first_line(error)}), {wanted.__name__} expected")
    fail(f"{what} raised nothing, {wanted.__name__} expected")


def expect_json(state: State, what: str) -> None:
    """Break the promise unless a state holds plain numeric arrays and JSON."""
    for name, array in state.arrays.items():
        plain = isinstance(array, np.ndarray) and array.dtype.kind in "biuf"
        expect(
            plain,
            f"{what} has {name!r} of type {getattr(array, 'dtype', type(array).__name__)}, plain numbers expected",
        )
    try:
        back = json.loads(json.dumps(state.meta))
    except (TypeError, ValueError) as error:
        fail(f"the meta of {what} is not JSON: {first_line(error)}")
    expect(back == state.meta, f"the meta of {what} comes back from JSON as {back}, it was {dict(state.meta)}")


def written(state: State) -> State:
    """A state as it comes back from a file: read-only copies of the arrays, meta through JSON."""
    return State({name: read_only(array) for name, array in state.arrays.items()}, json.loads(json.dumps(state.meta)))


def read_only(array: np.ndarray) -> np.ndarray:
    """A read-only copy."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def options(params: Mapping[str, Any]) -> str:
    """Params as they are written in a plan: ``M=8:bits=4``."""
    return ":".join(f"{key}={value}" for key, value in params.items())
