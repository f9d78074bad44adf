"""How the program ends: one sentence on standard error for what went wrong, and an exit code that says what kind it was.

0 done · 1 a bug (with its traceback) · 2 usage or input · 3 unknown name · 4 plugin · 5 storage · 6 budget, from
`NearkinError.exit_code`. Ctrl-C is 130 and a reader that went away is 141, both without a word, as shells report them.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from nearkin.errors import NearkinError

INTERRUPTED = 130
CLOSED_PIPE = 141
GLOBAL_OPTIONS = ("--plugin", "-p", "--threads", "--seed")


def hold_standard_streams() -> None:
    """Open what the caller closed of the three streams, so that no file of ours gets the number of one and its text."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


class ErrorReporting(click.Group):
    """A group whose `main` turns exceptions into sentences and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, but for a closed pipe, which click would report as a bug."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            _end_on_output_error(error)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run; with `standalone_mode` exit the process."""
        extra["windows_expand_args"] = windows_expand_args
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name or "nearkin", complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except NearkinError as error:
            _fail(str(error), error.exit_code)
        except (click.exceptions.Abort, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        except click.ClickException as error:
            _end_on_usage_error(error)
        except Exception as error:
            _end_on_exception(error)
            raise
        sys.exit(code if isinstance(code, int) else 0)


def _fail(sentence: str, code: int) -> NoReturn:
    """Exit with one line."""
    click.echo(f"error: {' '.join(sentence.split())}", err=True)
    sys.exit(code)


def _plugin_code(error: BaseException) -> str | None:
    """Where in a stranger's plugin an error comes from; None if it is not from there."""
    from importlib.metadata import entry_points

    from nearkin.hooks import GROUP

    theirs = {point.module.partition(".")[0] for point in entry_points(group=GROUP)} - {"nearkin_plugins"}
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("nearkin_plugin_file_") or module.partition(".")[0] in theirs:
            found = f"plugin code failed in {frame.f_code.co_filename}, line {line}"
    return found


def _usage_sentence(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    if isinstance(error, click.NoSuchOption) and error.option_name in GLOBAL_OPTIONS:
        return f"{message}; it goes before the command: nearkin {error.option_name} ..."
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message}; see {error.ctx.command_path} --help"
    return message


def _end_on_usage_error(error: click.ClickException) -> NoReturn:
    """One line; or the help, where a group was called without a command."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        sys.exit(error.exit_code)
    _fail(_usage_sentence(error), error.exit_code)


def _end_on_exception(error: Exception) -> None:
    """Exit if what is wrong is outside of nearkin: a plugin, the memory, the file system. Return for a bug."""
    if (culprit := _plugin_code(error)) is not None:
        _fail(f"{culprit}: {type(error).__name__}: {error}; nearkin plugins check tells what else is wrong", 4)
    if isinstance(error, MemoryError):
        _fail(f"there is not enough memory: {error or 'the system gave no more'}; take fewer rows or columns", 2)
    if isinstance(error, OSError):
        _end_on_system_error(error)


def _end_on_system_error(error: OSError) -> NoReturn:
    """A file that the system refuses is told with its name; without one, it is standard output that failed."""
    if error.filename is None:
        _end_on_output_error(error)
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    _fail(f"{name}: {error.strerror}", 5)


def _end_on_output_error(error: OSError) -> NoReturn:
    """Standard output cannot be written: quiet if its reader is gone, a sentence if its disk is full."""
    if error.errno not in (errno.EPIPE, errno.ENOSPC):
        raise error
    # What is still buffered cannot be written either; without this, Python complains when it exits.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    if error.errno == errno.EPIPE:
        sys.exit(CLOSED_PIPE)
    _fail("the output cannot be written: no space left on device", 5)
