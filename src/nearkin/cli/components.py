"""``nearkin components``."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import json_option
from nearkin.cli.rendering import print_json, print_table
from nearkin.cli.session import Session
from nearkin.components import as_written
from nearkin.errors import UnknownNameError

if TYPE_CHECKING:
    from nearkin.compatibility import Compatibility
    from nearkin.hooks import Spec


@click.command()
@click.argument("kind", required=False)
@click.option("--compat", is_flag=True, help="Show which metric, index and codec go together.")
@json_option
@click.pass_obj
def components(session: Session, kind: str | None, compat: bool, as_json: bool) -> None:
    """List metrics, indexes, codecs and all other components.

    Prints the names of one KIND (metrics, indexes, transforms, codecs, clusterers, embedders, learners,
    recommenders, formats) or of all, with what they
    are, the options that they take after a colon, and the plugin that they come from. --compat prints which codecs each
    index may use under each metric, computed from what they declare.

    \b
    nearkin components
    nearkin components codecs --json
    nearkin components --compat
    """
    if compat:
        _print_compatibility(session, as_json)
        return
    from nearkin.registry import PLURALS

    found = {
        plural: [_as_dict(session, spec) for spec in session.registry.specs(each)] for each, plural in PLURALS.items()
    }
    if kind is not None:
        wanted = _plural(kind, PLURALS)
        found = {wanted: found[wanted]}
    print_json(found) if as_json else _print_components(found)


def _plural(kind: str, plurals: dict[str, str]) -> str:
    if kind in plurals.values():
        return kind
    if kind in plurals:
        return plurals[kind]
    from difflib import get_close_matches

    close = get_close_matches(kind, plurals.values(), n=1)
    meant = f" (did you mean '{close[0]}'?)" if close else ""
    raise UnknownNameError(
        f"there is no kind of component called {kind!r}{meant}", hint=f"kinds are {', '.join(plurals.values())}"
    )


def _as_dict(session: Session, spec: Spec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "summary": spec.summary,
        "options": _options(spec),
        "aliases": list(spec.aliases),
        "needs": list(spec.needs),
        "plugin": session.registry.owner(spec),
    }


def _options(spec: Spec) -> dict[str, Any]:
    """Option to its default; None where it is chosen from the data, or must be given."""
    if spec.params is None:
        return {}
    return {
        each.name: None if each.default is dataclasses.MISSING else each.default
        for each in dataclasses.fields(spec.params)
    }


def _print_components(found: dict[str, list[dict[str, Any]]]) -> None:
    for number, (kind, specs) in enumerate(found.items()):
        click.echo(("\n" if number else "") + kind.upper())
        rows = [(each["name"], each["summary"], _option_text(each["options"]), each["plugin"]) for each in specs]
        print_table(("name", "summary", "options", "plugin"), rows)


def _option_text(options: dict[str, Any]) -> str:
    return " ".join(name if default is None else f"{name}={as_written(default)}" for name, default in options.items())


def _print_compatibility(session: Session, as_json: bool) -> None:
    from nearkin.compatibility import compatibility

    table = compatibility(session.registry)
    if as_json:
        print_json([dataclasses.asdict(each) for each in table])
        return
    codecs = list(dict.fromkeys(each.codec for each in table))
    by_row: defaultdict[tuple[str, str], list[Compatibility]] = defaultdict(list)
    for each in table:
        by_row[each.metric, each.index].append(each)
    rows = [(*key, *("yes" if each.legal else "-" for each in cells)) for key, cells in by_row.items()]
    print_table(("metric", "index", *codecs), rows)
    click.echo("\nrefine-CODEC may follow any lossy codec that is coarser; --json gives the reason of each -")
