"""``nearkin evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nearkin.cli.measure import quality_facts
from nearkin.cli.options import json_option, set_option, where_option
from nearkin.cli.rendering import note, parameters, print_facts, print_json, print_table, working
from nearkin.cli.session import Session

if TYPE_CHECKING:
    from nearkin.evaluation import Evaluation

CAUSES = {
    "probing": "too little of the index is looked at",
    "depth": "too few candidates are re-ranked",
    "quantization": "codes stand for the rows",
    "surrogate": "candidates come from another space than the metric's",
}


@click.command()
@click.argument("directory", metavar="DIR")
@click.option(
    "--queries", metavar="FILE", help="Queries to ask; by default rows of the index, each left out of its answer."
)
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Neighbours of each query.")
@click.option(
    "--rows-asked", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N", help="Rows that ask."
)
@where_option
@set_option
@json_option
@click.pass_obj
def evaluate(
    session: Session,
    directory: str,
    queries: str | None,
    k: int,
    rows_asked: int,
    where: str | None,
    search: dict[str, int],
    as_json: bool,
) -> None:
    """Say how good an index is now, and where it loses recall.

    Asks the index DIR your queries, which it should not contain, or else rows of its own, and compares the answers with
    exact search. Prints recall with its 95 % interval, that of the worst 5 % of the queries, and the recall lost to
    probing, to the depth of re-ranking, to quantization and to a surrogate, which add up to what is missing; and what to
    do about the largest. --set evaluates other search parameters than the index's own. Nothing is changed.

    \b
    nearkin evaluate indexes/mine --queries queries.npy
    nearkin evaluate indexes/shop --where 'price < 50'
    nearkin evaluate indexes/mine --set nprobe=32 --json
    """
    from nearkin.cli.queries import read_queries
    from nearkin.evaluation import evaluate as run

    with session.open(directory, readonly=True) as collection, working(f"evaluating {directory}"):
        asked = None if queries is None else read_queries(session, collection, queries)
        found = run(
            collection, asked, k=k, where=where, search=search, rows_asked=rows_asked, seed=session.settings.seed
        )
    print_json(found.to_dict()) if as_json else _print_evaluation(found)


def _print_evaluation(found: Evaluation) -> None:
    asked = "rows of its own" if found.own_rows else "your queries"
    print_facts(
        {
            "rows": f"{found.rows:,} x {found.dim:,}",
            "metric": found.metric,
            "plan": found.plan,
            "search": parameters(found.search),
            **({"filter": f"{found.where}, which keeps {found.kept:,} rows"} if found.where else {}),
            **quality_facts(found.quality, asked),
        }
    )
    click.echo()
    losses = found.losses
    rows = [
        [name, f"{part.mean:.3f}", f"{part.low:.3f} to {part.high:.3f}", CAUSES[name]]
        for name, part in losses.parts.items()
        if part.high  # what has no part in this plan cannot lose anything
    ]
    rows.append(["together", f"{1 - losses.recall:.3f}", "", f"1 - {losses.recall:.3f}, ties counted as right"])
    print_table(("lost to", "recall", "95 % interval", "because"), rows, right=("recall", "95 % interval"))
    click.echo()
    click.echo(f"advice: {losses.advice}")
    for each in found.notes:
        note(each)
