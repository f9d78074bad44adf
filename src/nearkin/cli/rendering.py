"""Results to standard output as tables, JSON, lines and CSV; notes and progress to standard error."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from typing import Any

import click

MANY_ROWS = 200
"""From so many on, a table whose cells fit is not laid out by rich, which takes a second for 2,000."""

PIPED_WIDTH = 100
"""Columns of a table that no terminal limits, unless the variable COLUMNS says otherwise."""


def note(sentence: str) -> None:
    """One line on standard error."""
    click.echo(f"note: {sentence}", err=True)


@contextmanager
def working(sentence: str) -> Iterator[Callable[[str], None]]:
    """Show that something takes its time, if standard error is a terminal; what comes in changes the sentence."""
    if not sys.stderr.isatty():
        yield lambda words: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(sentence) as status:
        yield lambda words: status.update(Text(words))


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_lines(values: Iterable[Any]) -> None:
    """One JSON document a line."""
    for value in values:
        click.echo(json.dumps(value, ensure_ascii=False))


def print_csv(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Comma-separated values with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    click.echo(text.getvalue(), nl=False)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[str] = ()) -> None:
    """A table as wide as the terminal; cells are folded where they are too long, and nothing of them is lost.

    Parameters
    ----------
    right
        Headers of the columns that are aligned to the right.
    """
    numbers = set(right)
    texts = [[str(cell) for cell in row] for row in rows]
    narrow = _narrow_table(headers, texts, numbers) if len(texts) >= MANY_ROWS else None
    click.echo(_folded_table(headers, texts, numbers) if narrow is None else narrow)


def print_whole_table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[str] = (), broken: Iterable[str] = ()
) -> None:
    """A table whose cells are never broken inside of a word; where they do not fit, lines are longer than the terminal is wide.

    Parameters
    ----------
    right
        Headers of the columns that are aligned to the right.
    broken
        Headers of the columns whose cells may be broken after a space or ``_``.
    """
    numbers, free = set(right), set(broken)
    texts = [[_printable(str(cell)) for cell in row] for row in rows]
    columns = list(zip(map(_printable, headers), *texts, strict=True))
    natural = [max(map(cell_width, column)) for column in columns]
    fixed = sum(width for header, width in zip(headers, natural, strict=True) if header not in free)
    left = output_width() - fixed - 2 * (len(columns) - 1)
    most = _common_width([width for name, width in zip(headers, natural, strict=True) if name in free], left)
    lines = [
        [broken_text(cell, most) if name in free else [cell] for name, cell in zip(headers, cells, strict=True)]
        for cells in zip(*columns, strict=True)
    ]
    widths = [max(cell_width(part) for cell in column for part in cell) for column in zip(*lines, strict=True)]
    click.echo(_laid_out(headers, [list(zip_longest(*each, fillvalue="")) for each in lines], widths, numbers))


def _printable(text: str) -> str:
    """Without line breaks and codes that a terminal would obey."""
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def _common_width(widths: Sequence[int], left: int) -> int:
    """The most that columns may be wide, so that all together are not wider than what is left.

    >>> _common_width([10, 40, 40], 70)
    30
    """
    most = max(widths, default=0)
    while most > 1 and sum(min(width, most) for width in widths) > left:
        most -= 1
    return most


def broken_text(text: str, width: int) -> list[str]:
    """Lines of a text, broken after spaces and underscores only.

    >>> broken_text("card_not_working", 10), broken_text("indivisible", 4)
    (['card_not_', 'working'], ['indivisible'])
    """
    lines = [""]
    for part in re.findall(r"[^ _]+[ _]*|[ _]+", text):
        if lines[-1] and cell_width((lines[-1] + part).rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def cell_width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)


def _laid_out(
    headers: Sequence[str], rows: Sequence[Sequence[Sequence[str]]], widths: Sequence[int], numbers: set[str]
) -> str:
    """Rows, each of one line or of several, the first of which is the header."""

    def line(cells: Sequence[str]) -> str:
        fills = (" " * (width - cell_width(cell)) for cell, width in zip(cells, widths, strict=True))
        pairs = zip(headers, cells, fills, strict=True)
        return "  ".join(fill + cell if name in numbers else cell + fill for name, cell, fill in pairs).rstrip()

    head, *others = ([line(each) for each in row] for row in rows)
    styled = [click.style(each, bold=True) if sys.stdout.isatty() else each for each in head]
    rule = "─" * (sum(widths) + 2 * len(widths) - 2)
    return "\n".join([*styled, rule, *chain.from_iterable(others)])


def _folded_table(headers: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[str]) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for header in headers:
        table.add_column(header, justify="right" if header in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    out = io.StringIO()
    # Written through click at the end, which knows about closed pipes and about terminals without colour.
    Console(file=out, force_terminal=sys.stdout.isatty(), width=output_width(), highlight=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _narrow_table(headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: set[str]) -> str | None:
    """As `_folded_table`, a hundred times as fast, of cells of one line that all fit; None if some do not."""
    from rich.cells import cell_len

    if not all(map(str.isprintable, chain.from_iterable(rows))):
        return None
    widths = [max(map(cell_len, column)) for column in zip(headers, *rows, strict=True)]
    across = sum(widths) + 2 * len(widths) - 1
    if across > output_width():
        return None

    def line(cells: Sequence[str]) -> str:
        fills = (" " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True))
        pairs = zip(headers, cells, fills, strict=True)
        return "  ".join(fill + cell if header in numbers else cell + fill for header, cell, fill in pairs).rstrip()

    head = line(headers)
    styled = click.style(head, bold=True) if sys.stdout.isatty() else head
    return "\n".join([styled, "─" * across, *map(line, rows)])


def output_width() -> int:
    """Columns of the terminal, or for a pipe what the variable COLUMNS says."""
    if sys.stdout.isatty():
        return os.get_terminal_size(sys.stdout.fileno()).columns or PIPED_WIDTH
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) else PIPED_WIDTH


def shortened(line: str, width: int) -> str:
    """A line cut to a width.

    >>> shortened("Compress a block of data.", 12)
    'Compress a …'
    """
    return line if len(line) <= width else line[: max(0, width - 1)] + "…"


def print_facts(facts: Mapping[str, Any]) -> None:
    """Names and values in two columns."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {value}".rstrip())


def size(count: int | float) -> str:
    """Bytes in words.

    >>> size(999), size(17_903_616)
    ('999 B', '17.9 MB')
    """
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def seconds(value: float) -> str:
    """A duration in words.

    >>> seconds(0.0421), seconds(3.14)
    ('42 ms', '3.1 s')
    """
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.1f} s"


def parameters(values: Mapping[str, Any]) -> str:
    """``nprobe=16, rerank=100``."""
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "none"


def listed(values: Sequence[Any], limit: int = 20) -> str:
    """``1, 2, 3 and 7 more``."""
    shown = ", ".join(str(value) for value in values[:limit])
    return f"{shown} and {len(values) - limit:,} more" if len(values) > limit else shown


def print_memory(
    predicted: Mapping[str, int],
    allocated: Mapping[str, int],
    disk: Mapping[str, int],
    float32: int,
    *,
    kept: Mapping[str, int] | None = None,
    process: Mapping[str, int | None] | None = None,
) -> None:
    """Bytes by component of the index, predicted before building and allocated since, with the error of the prediction; then of
    what is kept besides, on disk, and of the whole process, beside plain float32 rows."""

    def share(count: int) -> str:
        return f"{count / float32:.1%}" if float32 else ""

    rows = [
        [name, *_both(predicted.get(name), allocated.get(name)), share(allocated.get(name, 0))]
        for name in {**predicted, **allocated}
    ]
    total = sum(allocated.values())
    rows.append(["index in memory", *_both(sum(predicted.values()), total), share(total)])
    besides = {
        **{f"{name} kept": count for name, count in (kept or {}).items()},
        **{f"{name} on disk": count for name, count in disk.items()},
        "rows as float32": float32,
    }
    rows += [[name, "", size(count), "", share(count)] for name, count in besides.items() if count]
    rows += [[name, "", size(count), "", ""] for name, count in (process or {}).items() if count]
    headers = ("component", "predicted", "real", "error", "of float32")
    print_table(headers, rows, right=headers[1:])


def process_memory(resident: int | None, peak: int | None, *, since_start: bool = False) -> dict[str, int | None]:
    """What the process takes now and took at most, as rows of `print_memory`."""
    of = "peak of the process" if since_start else "peak while building"
    return {"process resident": resident, of: peak}


def _both(predicted: int | None, real: int | None) -> list[str]:
    """Two sizes and by how much the first is off, in per cent of the second."""
    sizes = ["-" if each is None else size(each) for each in (predicted, real)]
    off = f"{(predicted - real) / real:+.1%}" if predicted is not None and real else ""
    return [*sizes, off.lstrip("+-") if off[1:] == "0.0%" else off]


def short_floats(values: Any) -> list[float]:
    """float32 numbers as the shortest decimals that read back the same.

    >>> import numpy as np
    >>> short_floats(np.float32([0.1, 2]))
    [0.1, 2.0]
    """
    return [float(each) for each in values.astype(str)]
