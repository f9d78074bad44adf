"""``nearkin settings``."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from nearkin.cli.options import json_option
from nearkin.cli.rendering import print_json, print_table
from nearkin.cli.session import Session


@click.command()
@json_option
@click.pass_obj
def settings(session: Session, as_json: bool) -> None:
    """Show each setting and where its value came from.

    Later sources win: defaults, nearkin.toml in the user's configuration folder, nearkin.toml here, NEARKIN_ variables
    (NEARKIN_THREADS=2), global options. Prints name, value and source of each.

    \b
    nearkin settings
    NEARKIN_SEED=7 nearkin settings --json
    """
    found = session.settings
    rows = {
        each.name: {"value": getattr(found, each.name), "source": found.origins[each.name]}
        for each in dataclasses.fields(found)
        if each.name != "origins"
    }
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("setting", "value", "from"), [(name, _text(row["value"]), row["source"]) for name, row in rows.items()]
        )


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
