"""``nearkin report``."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import format_option, json_option, metric_option
from nearkin.cli.rendering import note, print_facts, print_json, print_table, seconds, working
from nearkin.cli.session import Session

if TYPE_CHECKING:
    from nearkin.reporting.document import Report

SHOWN = 10
"""Plans that are printed; all are in the report."""


@click.command()
@click.argument("vectors")
@metric_option
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder to write.")
@click.option("--queries", metavar="FILE", help="Queries to ask; by default rows held out of VECTORS.")
@click.option(
    "--held-out", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N", help="Rows to hold out."
)
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Neighbours of each query.")
@click.option(
    "--recall", type=float, default=0.95, show_default=True, help="Recall that the recommended plan must have."
)
@click.option(
    "--seconds", "limit", type=float, default=240.0, show_default=True, help="Time to measure in; the rest is left out."
)
@click.option("--overwrite", is_flag=True, help="Replace the report at DIR.")
@format_option
@json_option
@click.pass_obj
def report(
    session: Session,
    vectors: str,
    metric: str,
    output: str,
    queries: str | None,
    held_out: int,
    k: int,
    recall: float,
    limit: float,
    overwrite: bool,
    format: str | None,
    as_json: bool,
) -> None:
    """Measure every plan on your vectors and write a report that recommends one.

    Builds every index with every codec that is legal for the metric, components of plugins included, and measures recall
    with its interval, queries a second, latency, bytes, building and what the codec loses. Writes the folder DIR with
    report.html (one file, no network needed), report.md, report.csv, report.json and the pictures as PNG, and prints the
    recommendation and the best plans. Plans that fail or that there is no time for are named with the reason.

    \b
    nearkin report vectors.npy --metric cosine -o report
    nearkin report base.fvecs --queries query.fvecs --recall 0.9 --seconds 60 -o report
    """
    from nearkin.reporting.document import report as run

    _check_output(output, overwrite=overwrite)
    loaded = session.read(vectors, format)
    asked = None if queries is None else session.read(queries).vectors
    with working(f"measuring plans on {len(loaded.vectors):,} rows") as progress:
        found = run(
            loaded.vectors,
            metric=metric,
            queries=asked,
            k=k,
            path=output,
            recall=recall,
            queries_held_out=held_out,
            seconds=limit,
            title="standard input" if vectors == "-" else PurePath(vectors).name,
            overwrite=overwrite,
            seed=session.settings.seed,
            threads=session.settings.threads,
            registry=session.registry,
            progress=progress,
        )
    print_json(found.to_dict()) if as_json else _print_report(found, output)


def _check_output(output: str, *, overwrite: bool) -> None:
    """Refuse a wrong place, and a machine without matplotlib, before anything is read."""
    from nearkin.errors import ParameterError
    from nearkin.reporting.document import FOLDER
    from nearkin.reporting.drawing import need_matplotlib
    from nearkin.store.replacement import check_place

    if not output:
        raise ParameterError("the name of the folder to write is empty", hint="for example -o report")
    need_matplotlib()
    check_place(output, overwrite=overwrite, kind=FOLDER)


def _print_report(found: Report, output: str) -> None:
    from nearkin.reporting.tables import headers, lines

    tradeoffs = found.tradeoffs
    click.echo(found.recommendation.sentence + "\n")
    names = headers(tradeoffs)
    columns: list[int] = [names.index(each) for each in names if each not in ("interval", "p95 µs", "codec error")]
    shown: list[list[Any]] = [[line.cells[at] for at in columns] for line in lines(tradeoffs)[:SHOWN]]
    print_table([names[at] for at in columns], shown, right=[names[at] for at in columns[2:]])
    click.echo()
    print_facts(
        {
            "report": f"{output}/report.html, and the same as .md, .csv, .json and .png",
            "plans": f"{len(tradeoffs.measured)} measured, {len(tradeoffs.left_out)} left out",
            "took": seconds(tradeoffs.seconds),
        }
    )
    for row in tradeoffs.failed:
        note(f"{row.asked} failed: {row.error}")
