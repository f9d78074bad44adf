"""``nearkin plugins``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearkin.cli.options import json_option
from nearkin.cli.rendering import print_json, print_table, working
from nearkin.cli.session import Session
from nearkin.errors import ParameterError, PluginContractError, StorageError

if TYPE_CHECKING:
    from nearkin.testing import Report


@click.group()
def plugins() -> None:
    """List, check and start plugins.

    Every component comes from a plugin, built-in ones too. A plugin is an installed package with an entry point in the
    group nearkin.plugins, or a Python file: nearkin --plugin FILE ...

    \b
    nearkin plugins list
    nearkin plugins check metrics
    nearkin plugins new metric my-metric --to my-metric
    """


@plugins.command("list")
@json_option
@click.pass_obj
def list_plugins(session: Session, as_json: bool) -> None:
    """List plugins, what each offers, and those that failed to load.

    Prints name, source (package or file) and components of each plugin; for one that failed, the reason.

    \b
    nearkin plugins list
    nearkin --plugin my_metric.py plugins list --json
    """
    registry = session.registry
    loaded = [
        {
            "name": plugin.name,
            "source": plugin.source,
            "hooks": list(plugin.hooks),
            "components": [f"{spec.kind} {spec.name}" for spec in plugin.specs],
        }
        for plugin in registry.plugins.values()
    ]
    failed = [{"name": each.name, "source": each.source, "error": each.line} for each in registry.failures]
    if as_json:
        print_json({"loaded": loaded, "failed": failed})
        return
    rows = [
        (plugin.name, plugin.source, ", ".join(spec.name for spec in plugin.specs))
        for plugin in registry.plugins.values()
    ]
    rows += [(each.name, each.source, "failed to load") for each in registry.failures]
    print_table(("plugin", "source", "components"), rows)


@plugins.command("check")
@click.argument("name")
@click.option("-v", "--verbose", is_flag=True, help="Print every check, not only what failed.")
@click.pass_obj
def check_plugin(session: Session, name: str, verbose: bool) -> None:
    """Check every promise that the components of a plugin make.

    Runs the contract kit on all that the plugin NAME offers and prints, for each component, how many checks passed and
    each that failed with its reason. Exits with 4 if one failed.

    \b
    nearkin plugins check metrics
    nearkin --plugin my_metric.py plugins check my-metric
    """
    from nearkin.testing import check_plugin as run_checks

    with working(f"checking {name}"):
        reports = run_checks(name, session.registry, seed=session.settings.seed)
    for report in reports:
        _print_report(report, verbose)
    failed = sum(len(report.failed) for report in reports)
    if failed:
        count = sum(len(report.results) for report in reports)
        raise PluginContractError(f"plugin {name!r} fails {failed} of {count} checks")


def _print_report(report: Report, verbose: bool) -> None:
    counts = Counter(result.outcome for result in report.results)
    click.echo(
        f"{report.kind} {report.component}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    )
    for result in report.results:
        if verbose or result.outcome in ("failed", "known failure"):
            click.echo(f"  {result.outcome:<13}  {result.name}: {result.reason or result.promise}")


@plugins.group("new")
def new() -> None:
    """Start a plugin from a template that works.

    \b
    nearkin plugins new metric my-metric
    """


@new.command("metric")
@click.argument("name")
@click.option("--to", "folder", metavar="DIR", help="Folder to write; by default the name.")
def new_metric(name: str, folder: str | None) -> None:
    """Write the files of a new metric plugin.

    Writes a package with an entry point, a metric, tests and a README, all of which work as they are. Nothing that
    exists is overwritten. Prints the files.

    \b
    nearkin plugins new metric my-metric --to ~/my-metric
    """
    from nearkin.testing import new_metric as metric_files

    target = Path(folder or name)
    files = {target / path: text for path, text in metric_files(name).items()}
    there = [str(path) for path in files if path.exists()]
    if there:
        raise ParameterError(f"{there[0]} exists already, nothing was written", hint="choose another folder with --to")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{error.filename or target} cannot be written: {error.strerror}") from error
    for path in files:
        click.echo(path)
