"""Options that several commands share, in the same words everywhere."""

from __future__ import annotations

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
on_bad_option = click.option(
    "--on-bad",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do with rows that cannot be compared (NaN, infinite, zero under cosine).",
)
set_option = click.option(
    "--set",
    "search",
    metavar="NAME=NUMBER",
    multiple=True,
    callback=read_assignments,
    help="Set a search parameter, such as nprobe=16; repeatable.",
)
