"""One Markdown page for each command of nearkin, from what the program says of itself."""

from __future__ import annotations

import inspect

import click

from nearkin.cli.program import COMMANDS, nearkin

GLOBAL = (
    "The global options `--plugin`, `-p`, `--threads` and `--seed` come before the command: see "
    "[all commands](../README.md#commands)."
)


def command_pages() -> dict[str, str]:
    """Name of each command to its page."""
    top = click.Context(nearkin, info_name="nearkin")
    pages = {}
    for name in nearkin.list_commands(top):
        command = nearkin.get_command(top, name)
        if command is not None:
            parts = [f"# nearkin {name}", *_sections(command, click.Context(command, top, name), depth=0)]
            pages[name] = "\n\n".join([*parts, GLOBAL]) + "\n"
    return pages


def summaries() -> dict[str, str]:
    """Name of each command to its one line."""
    return {name: entry.summary for name, entry in COMMANDS.items()}


def options_table(command: click.Command, context: click.Context) -> str:
    """The options of a command, `--help` left out."""
    rows = []
    for option in command.params:
        if isinstance(option, click.Option) and "--help" not in option.opts:
            record = option.get_help_record(context)
            if record is not None:
                rows.append(f"| `{_cell(record[0])}` | {_cell(record[1])} |")
    return "\n".join(["| Option | Meaning |", "| --- | --- |", *rows]) if rows else ""


def _sections(command: click.Command, context: click.Context, depth: int) -> list[str]:
    """Help, usage, examples and options; then the same of subcommands."""
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [_joined(text), f"```text\n{usage}\n```"]
    parts += [f"Examples:\n\n```shell\n{examples.strip()}\n```"] if examples else []
    parts += [table] if (table := options_table(command, context)) else []
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                below = click.Context(inner, context, name)
                parts += [f"{'#' * (depth + 2)} {below.command_path}", *_sections(inner, below, depth + 1)]
    return parts


def _joined(text: str) -> str:
    """Paragraphs on one line each."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
