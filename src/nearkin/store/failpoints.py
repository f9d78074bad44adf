"""Named places in the writing paths, where tests kill the process or let the disk fail.

Unarmed, which they are unless a test or ``NEARKIN_FAILPOINT`` says otherwise, each costs a look into an empty dict.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nearkin.errors import ParameterError

VARIABLE = "NEARKIN_FAILPOINT"

NAMES = (
    "schema checked",
    "tail cut",
    "vector file opened",
    "piece written",
    "vectors written",
    "vectors synced",
    "rows deleted",
    "rows inserted",
    "blocks recorded",
    "before commit",
    "after commit",
    "index folder made",
    "index array written",
    "index files written",
    "index folder synced",
    "index renamed",
    "folder removed",
    "temporary folder made",
    "folder filled",
    "folder synced",
    "swap: old moved",
    "swap: new in place",
)
"""Every failpoint there is."""

_armed: dict[str, Callable[[], None]] = {}


def failpoint(name: str) -> None:
    """Do what the failpoint is armed with, nothing if it is not armed.

    >>> failpoint("before commit")
    >>> with armed("before commit", "enospc"):
    ...     failpoint("before commit")
    Traceback (most recent call last):
        ...
    OSError: [Errno 28] No space left on device
    """
    if name in _armed:
        _armed[name]()


def _kill() -> None:
    os.kill(
        os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM)
    )  # on Windows, whatever the signal, the process ends


def _fail(number: int) -> Callable[[], None]:
    def fail() -> None:
        raise OSError(number, os.strerror(number))

    return fail


ACTIONS: dict[str, Callable[[], None]] = {"kill": _kill, "eio": _fail(errno.EIO), "enospc": _fail(errno.ENOSPC)}


@contextmanager
def armed(name: str, action: str | Callable[[], None], nth: int = 1) -> Iterator[None]:
    """Arm a failpoint for as long as the context lasts.

    Parameters
    ----------
    name
        One of `NAMES`.
    action
        ``"kill"``, ``"eio"`` or ``"enospc"``, or something to call.
    nth
        It acts the nth time that it is reached, once.

    Raises
    ------
    ParameterError
        There is no such failpoint or action.
    """
    _arm(name, action, nth)
    try:
        yield
    finally:
        _armed.pop(name, None)


def _arm(name: str, action: str | Callable[[], None], nth: int) -> None:
    if name not in NAMES:
        raise ParameterError(f"there is no failpoint {name!r}", hint=f"there are {', '.join(NAMES)}")
    act = ACTIONS.get(action) if isinstance(action, str) else action
    if act is None or nth < 1:
        raise ParameterError(
            f"a failpoint cannot do {action!r} the {nth}. time", hint=f"{', '.join(ACTIONS)}, from the 1. time on"
        )
    left = nth

    def reached() -> None:
        nonlocal left
        left -= 1
        if not left:
            act()

    _armed[name] = reached


def arm_from(text: str) -> None:
    """Arm a failpoint for good, as ``name=action`` or ``name=action:nth`` says.

    Raises
    ------
    ParameterError
        It says something else.
    """
    name, _, what = text.partition("=")
    action, _, nth = what.partition(":")
    if nth and not nth.isdecimal():
        raise ParameterError(f"{VARIABLE} is {text!r}, NAME=ACTION or NAME=ACTION:NTH expected")
    _arm(name, action, int(nth or 1))


if os.environ.get(VARIABLE):
    arm_from(os.environ[VARIABLE])
