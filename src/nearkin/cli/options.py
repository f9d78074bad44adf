"""Options that several commands share, in the same words everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def read_assignments(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, int]:
    """``NAME=NUMBER`` texts as a dict; the last of a name counts."""
    values = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            values[name.strip()] = int(number)
        except ValueError as error:
            raise click.BadParameter(f"'{text}' is not NAME=NUMBER, for example nprobe=16", ctx, param) from error
    return values


format_option = click.option(
    "--format", metavar="NAME[:OPTIONS]", help="Format of VECTORS, such as csv:id=sku; by default from the file's name."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
metric_option = click.option(
    "--metric", default="euclidean", show_default=True, metavar="NAME[:OPTIONS]", help="What similar means."
)
item_metric_option = click.option(
    "--metric",
    metavar="NAME[:OPTIONS]",
    help="What similar means; by default euclidean, or what the embedder's vectors are made for.",
)
embedder_option = click.option(
    "--embedder",
    metavar="NAME[:OPTIONS]",
    help="What turns texts or records into vectors, such as lsa or sentence-transformers:all-MiniLM-L6-v2.",
)
same_embedder_option = click.option(
    "--embedder",
    metavar="NAME[:OPTIONS]",
    help="Where the embedder that filled the index is to be had now, if it has moved.",
)
_item_options = (
    click.option(
        "--text", "text_column", metavar="COLUMN", help="Column of the texts; by default text, or the only one."
    ),
    click.option("--id", "id_column", metavar="COLUMN", help="Column of the ids; by default id, if there is one."),
    click.option(
        "--chunk", type=click.IntRange(min=1), metavar="WORDS", help="Words in a chunk, at most.  [documents: 200]"
    ),
    click.option(
        "--overlap",
        type=click.IntRange(min=0),
        metavar="WORDS",
        help="Words shared with the chunk before.  [a fifth, up to 40]",
    ),
)


def item_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How texts and records are read from files."""
    return _with(_item_options, command)


on_bad_option = click.option(
    "--on-bad",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do with rows that cannot be compared (NaN, infinite, zero under cosine).",
)
where_option = click.option(
    "--where",
    metavar="FILTER",
    help="Only rows whose metadata a filter keeps, such as 'price < 50 and tags has \"new\"'.",
)
id_option = click.option(
    "--id", "more_ids", metavar="ID", multiple=True, help="An id, also one that begins with a hyphen; repeatable."
)
memory_option = click.option("--memory", metavar="SIZE", help="Bytes of the index, at most, such as 200MB.")
_budget_options = (
    click.option("--recall", type=float, metavar="SHARE", help="Recall to keep, such as 0.95."),
    memory_option,
    click.option("--latency", metavar="TIME", help="Time for one query (of 95 in 100), at most, such as 2ms."),
    click.option(
        "--optimize",
        type=click.Choice(["batch", "single"]),
        default="batch",
        show_default=True,
        help="What is to be fast within the budget: batches, or single queries.",
    ),
)
_measuring_options = (
    click.option(
        "--queries", metavar="FILE", help="Queries such as will be asked; by default rows are held out to ask with."
    ),
    click.option(
        "-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Neighbours that recall counts."
    ),
    click.option(
        "--seconds", type=float, metavar="N", help="Time for the search for a plan; by default about twice a build."
    ),
)


def budget_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What an index may cost and must give, and how it is measured; the same for all commands that look for a plan."""
    return _with((*_budget_options, *_measuring_options), command)


def plan_budget_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What an index may cost and must give, where nothing is measured yet."""
    return _with(_budget_options, command)


def _with(options: tuple[Callable[..., Any], ...], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


set_option = click.option(
    "--set",
    "search",
    metavar="NAME=NUMBER",
    multiple=True,
    callback=read_assignments,
    help="Set a search parameter, such as nprobe=16; repeatable.",
)
