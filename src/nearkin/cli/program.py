"""The program ``nearkin``: its commands, none of them imported before it is used, and its global options."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

import nearkin as package
from nearkin.cli.exits import ErrorReporting
from nearkin.cli.session import Session


class Entry(NamedTuple):
    """Where a command lives, and its one line in ``nearkin --help``."""

    module: str
    summary: str
    name: str = ""
    """Of the function, where it is not the command's."""


COMMANDS = {
    "add": Entry("add", "Add files to an index, replacing rows that it has."),
    "analogy": Entry("analogy", "Answer: A is to B as C is to what?"),
    "build": Entry("build", "Build an index from a file of vectors, or from texts and tables, and save it."),
    "classify": Entry(
        "classify", "Label queries by the rows of an index, say how sure that is, and show what decided."
    ),
    "cluster": Entry("cluster", "Divide rows into clusters, and say how good they are."),
    "compact": Entry("info", "Write an index anew without the rows that were deleted."),
    "count": Entry("listing", "Count the rows of an index, or those that a filter keeps."),
    "create": Entry("create", "Start an empty index, to add to."),
    "components": Entry("components", "List metrics, indexes, codecs and all other components."),
    "convert": Entry("files", "Convert a file of vectors into another format."),
    "delete": Entry("rows", "Delete rows from an index."),
    "demo": Entry("demo", "Index the documentation of Python's standard library and ask it questions."),
    "describe": Entry("files", "Describe a file of vectors before building anything from it."),
    "evaluate": Entry("evaluate", "Say how good an index is now, and where it loses recall."),
    "export": Entry("files", "Write the rows of an index to a file."),
    "fields": Entry("listing", "List the fields of the metadata, and index them for filters."),
    "get": Entry("rows", "Print rows of an index."),
    "health": Entry("health", "Say whether an index still suits its rows, or wants training again."),
    "info": Entry("info", "Show what an index is, what it costs, and whether it is sound."),
    "learn": Entry("learn", "Say how well labels or numbers can be predicted, and by which method."),
    "list": Entry("listing", "List the rows of an index, or those that a filter keeps.", "list_rows"),
    "measure": Entry("measure", "Measure recall, speed and memory of a plan on your vectors."),
    "optimize": Entry("info", "Bring an index up to date with all of its rows."),
    "plan": Entry("plan", "Find the plan for a budget and explain it, without building it."),
    "plugins": Entry("plugins", "List, check and start plugins."),
    "recommend": Entry(
        "recommend", "Recommend items: by what is liked, from an index or from who had to do with what."
    ),
    "reembed": Entry("reembed", "Embed the texts or records of an index again, by another embedder."),
    "repair": Entry("damage", "Make a damaged index whole again, and say what is gone."),
    "report": Entry("report", "Measure every plan on your vectors and write a report that recommends one."),
    "search": Entry("search", "Find the nearest rows of each query."),
    "settings": Entry("settings", "Show each setting and where its value came from."),
    "verify": Entry("damage", "Read all of an index again and say what is wrong with it."),
}


class Program(ErrorReporting, click.Group):
    """A group that knows names and summaries of its commands, and imports a command when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        entry = COMMANDS[cmd_name]
        module = import_module(f"nearkin.cli.{entry.module}")
        command: click.Command = getattr(module, entry.name or cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest spelling where there is no such command."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            meant = f" (did you mean '{close[0]}'?)" if close else ""
            raise click.UsageError(f"there is no command '{args[0]}'{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, from the summaries alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in sorted(COMMANDS)])


def _read_disabled(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [each for each in given if not each.startswith("no:") or each == "no:"]
    if wrong:
        raise click.BadParameter(f"'{wrong[0]}' is not of the form no:NAME", ctx, param)
    return tuple(each.removeprefix("no:") for each in given)


@click.command(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 a bug in nearkin, 2 usage or input, 3 unknown name, 4 plugin, 5 storage, 6 budget.",
)
@click.option(
    "--plugin", "plugin_files", metavar="FILE", multiple=True, help="Load a plugin file or folder; repeatable."
)
@click.option(
    "-p", "disabled", metavar="no:NAME", multiple=True, callback=_read_disabled, help="Leave a plugin out; repeatable."
)
@click.option("--threads", type=click.IntRange(min=0), metavar="N", help="Threads for all work; 0 means every core.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of everything random.")
@click.version_option(package.__version__, "-V", "--version", prog_name="nearkin")
@click.pass_context
def nearkin(ctx: click.Context, /, **given: Any) -> None:
    """Find similar things: say what similar means and what you can afford, and get a measured index.

    \b
    nearkin demo                       see it work, without any data of your own
    nearkin describe vectors.npy       look at your vectors
    nearkin build vectors.npy --metric cosine --plan ivf,pq,refine-f16 -o indexes/mine
    nearkin search indexes/mine queries.npy -k 10

    Results go to standard output, progress and notes to standard error. Settings also come from nearkin.toml and from
    NEARKIN_ variables: see nearkin settings.
    """
    ctx.obj = Session(**given)
