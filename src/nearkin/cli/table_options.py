"""Options that say what the columns of a table are, as part of ``--embedder table``; and notes of what an embedder has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.rendering import note

if TYPE_CHECKING:
    from nearkin.collection import Collection

_OPTIONS = {
    "numeric": ("--numeric", "NAMES", "Columns of numbers, such as height,weight; for --embedder table."),
    "categorical": ("--categorical", "NAMES", "Columns of categories, such as hobby,city; for --embedder table."),
    "dates": ("--date", "NAMES", "Columns of dates; for --embedder table."),
    "weights": ("--weight", "NAME=NUMBER", "How often a column counts, such as age=2; for --embedder table."),
}


def table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--numeric``, ``--categorical``, ``--date`` and ``--weight``; the command gets them as `table`, for `with_table_columns`."""

    def gather(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> None:
        if given:
            ctx.params.setdefault("table", {})[param.name] = ",".join(given)
        else:
            ctx.params.setdefault("table", {})

    for name, (flag, metavar, text) in reversed(_OPTIONS.items()):
        command = click.option(
            flag, name, metavar=metavar, multiple=True, expose_value=False, callback=gather, help=f"{text} Repeatable."
        )(command)
    return command


def with_table_columns(embedder: str | None, table: Mapping[str, str]) -> str | None:
    """The text of an embedder, with what `table_options` were given; the same text where there were none.

    >>> with_table_columns("table:scaling=robust", {"numeric": "height,weight", "weights": "height=2"})
    'table:scaling=robust:numeric=height,weight:weights=height=2'
    """
    from nearkin.components import as_written

    if not table:
        return embedder
    if embedder is None or embedder.partition(":")[0].rpartition("/")[2] != "table":
        flags = ", ".join(_OPTIONS[name][0] for name in table)
        other = "no embedder is given" if embedder is None else f"--embedder is {embedder}"
        need = "needs" if len(table) == 1 else "need"
        raise click.UsageError(f"{flags} {need} --embedder table, and {other}")
    return ":".join([embedder, *(f"{name}={as_written(value)}" for name, value in table.items())])


@contextmanager
def telling_what_is_found(collection: Collection) -> Iterator[None]:
    """What the embedder of a collection finds within, in learning or in texts that it embeds, is told on standard error.

    What one found that learned before is not told again, and an embedder that nothing within needs is not loaded for this.
    """
    record = collection.embedder_record
    learned_before = record is not None and record.fitted
    yield
    made = None if collection._bound is None else collection._bound.made
    if made is not None and made.fitted and not (made.needs_fit and learned_before):
        for each in made.notes:
            note(each)
