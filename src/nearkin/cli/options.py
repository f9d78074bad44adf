"""Options that several commands share, in the same words everywhere."""

from __future__ import annotations

from typing import Any

import click


class Assignment(click.ParamType):
    """``NAME=NUMBER``, for search parameters."""

    name = "NAME=NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Name and number."""
        if isinstance(value, tuple):
            return value
        name, equals, number = str(value).partition("=")
        try:
            return name.strip(), int(number)
        except ValueError:
            self.fail(f"'{value}' is not NAME=NUMBER, for example nprobe=16", param, ctx)


def as_dict(ctx: click.Context, param: click.Parameter, given: tuple[tuple[str, int], ...]) -> dict[str, int]:
    """Assignments as a dict; the last of a name counts."""
    return dict(given)


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
    type=Assignment(),
    multiple=True,
    callback=as_dict,
    help="Set a search parameter, such as nprobe=16; repeatable.",
)
