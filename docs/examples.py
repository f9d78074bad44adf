"""Run the examples of a Markdown page and write what they print below them.

A page is one session: its blocks run from top to bottom, in one process, one namespace and one empty folder.

- ```` ```python ```` is run.
- ```` ```console ```` has lines ``$ nearkin ...``; each is run, and so are pipes of them.
- Every other block is only shown.

A comment on the line before a block changes that::

    <!-- run -->            what the block prints is written: below Python, into the block for the console; up to <!-- end -->
    <!-- run: fails -->     the same, for commands that end with an error
    <!-- file: NAME -->     the block is written to a file and not run
    <!-- shown: REASON -->  the block is not run

What differs from run to run and from machine to machine (seconds, bytes, versions, recall) counts as unchanged.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

COMMENT = re.compile(r"<!-- (run: fails|run|file|shown|end)(?:: (.*?))? -->\Z")
FENCE = re.compile(r"```(\w*)\Z")
WIDTH = 88
ENVIRONMENT = {"COLUMNS": str(WIDTH), "NEARKIN_THREADS": "1", "XDG_CONFIG_HOME": "no-config"}

VARYING = (
    (r"^(recall@\d+|with ties).*", r"\1 #"),
    (r"p50 [\d,]+, p95 [\d,]+, p99 [\d,]+", "#"),
    (r"\b\d[\d,.]* ?(?:ms|s|B|kB|MB|GB|queries a second)\b", "#"),
    (r"\b\d+(?:\.\d+)?%", "#"),
    (r"\b(numpy|faiss) [\w.]+", r"\1 #"),
    (r"\b\d+ (passed|skipped)\b", r"# \1"),
    (r"\b\d\.?\d*e-\d\d\b", "#"),
    (r"(\d\.\d{4})\d+", r"\1"),
    (r"[ ─]+", " "),
)
"""Patterns of what may differ between two runs, and what is compared instead."""


class ExampleError(Exception):
    """An example did not do what its page says."""


@dataclass
class Session:
    """What the blocks of one page share."""

    page: str
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    ran: int = 0

    def python(self, source: str, line: int) -> str:
        """Run Python; return what it prints."""
        self.ran += 1
        out = io.StringIO()
        # Padded, so that a traceback has the page's line numbers.
        text = "\n" * (line - 1) + source
        linecache.cache[self.page] = (len(text), None, text.splitlines(keepends=True), self.page)  # as a file would be
        code = compile(text, self.page, "exec", dont_inherit=True)
        try:
            with contextlib.redirect_stdout(out):
                exec(code, self.names)
        except Exception as error:
            raise ExampleError(f"{self.page}:{line}: {type(error).__name__}: {error}") from error
        return out.getvalue()

    def console(self, block: str, line: int, *, fails: bool) -> str:
        """Run the commands of a block; return the block with what they print."""
        shown = []
        for number, text in enumerate(block.splitlines(), line):
            if text.startswith("$ "):
                shown += [text, *self.command(text[2:], f"{self.page}:{number}", fails=fails).splitlines()]
        return "".join(f"{each}\n" for each in shown)

    def command(self, text: str, place: str, *, fails: bool) -> str:
        """Run ``nearkin ... | nearkin ...``; return what it prints, notes and errors included."""
        from click.testing import CliRunner

        from nearkin.cli.program import nearkin

        self.ran += 1
        fed: bytes | None = None
        printed = ""
        for piece in text.split(" | "):
            program, *arguments = shlex.split(piece)
            if program != "nearkin":
                raise ExampleError(f"{place}: only nearkin is run in a console block, not {program}")
            done = CliRunner().invoke(nearkin, arguments, input=fed, env=ENVIRONMENT)
            if bool(done.exit_code) != fails:
                raise ExampleError(f"{place}: exit code {done.exit_code}\n{done.output}")
            fed, printed = done.stdout_bytes, done.output
        return printed


@contextlib.contextmanager
def session(page: str) -> Iterator[Session]:
    """A session in an empty folder, untouched by the settings of the machine."""
    before, home = dict(os.environ), os.getcwd()
    for name in [name for name in os.environ if name.startswith("NEARKIN_")]:
        del os.environ[name]
    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Session(page)
        finally:
            os.chdir(home)
            os.environ.clear()
            os.environ.update(before)


def with_output(text: str, page: str) -> str:
    """A page with its examples run and what they print filled in.

    Raises
    ------
    ExampleError
        A block raised, or a command ended otherwise than the page says.
    """
    with session(page) as running:
        return "\n".join(_rendered(text.split("\n"), running))


def _rendered(lines: list[str], running: Session) -> Iterator[str]:
    mode, detail, row = "", "", 0
    while row < len(lines):
        line = lines[row]
        row += 1
        yield line
        if comment := COMMENT.match(line):
            mode, detail = comment[1], comment[2] or ""
            continue
        fence = FENCE.match(line)
        if not fence:
            continue
        end = lines.index("```", row)
        block = "".join(f"{each}\n" for each in lines[row:end])
        new, printed = _run(fence[1], block, row + 1, mode, detail, running)
        yield from [*new.splitlines(), "```"]
        row = end + 1
        if printed is not None:
            stop = lines.index("<!-- end -->", row)
            yield from _output_block(printed, lines[row:stop])
            row = stop
        mode = mode if mode.startswith("run") else ""


def _run(language: str, block: str, line: int, mode: str, detail: str, running: Session) -> tuple[str, str | None]:
    """The block, perhaps with new output, and what Python printed if it is to be shown."""
    if mode == "file":
        with open(detail, "w", encoding="utf-8") as file:
            file.write(block)
        return block, None
    if mode == "shown" or language not in ("python", "console"):
        return block, None
    if language == "python":
        printed = running.python(block, line)
        return block, printed if mode == "run" else None
    new = running.console(block, line, fails=mode == "run: fails")
    return (kept_if_same(block, new) if mode.startswith("run") else block), None


def _output_block(printed: str, old: list[str]) -> list[str]:
    body = "\n".join(old)
    before = body.partition("```text\n")[2].rpartition("```")[0]
    return ["", "```text", *kept_if_same(before, printed).splitlines(), "```"]


def kept_if_same(old: str, new: str) -> str:
    """The old output where the new one differs from it only in what varies.

    >>> kept_if_same("built in 1.2 s", "built in 1.3 s"), kept_if_same("3 rows", "4 rows")
    ('built in 1.2 s', '4 rows')
    """
    return old if steady(old) == steady(new) else new


def steady(text: str) -> list[str]:
    """The lines of an output without what varies.

    >>> steady("ids      160 kB  3.1%")
    ['ids # #']
    """
    lines = []
    for line in text.rstrip().splitlines():
        for pattern, instead in VARYING:
            line = re.sub(pattern, instead, line)
        lines.append(line.rstrip())
    return lines
