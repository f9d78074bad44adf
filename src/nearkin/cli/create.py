"""``nearkin create``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import embedder_option, item_metric_option, plan_budget_options, set_option
from nearkin.cli.session import Session
from nearkin.cli.table_options import table_options, with_table_columns

if TYPE_CHECKING:
    from nearkin.collection import Collection


@click.command()
@click.argument("directory", metavar="DIR")
@click.option("--dim", type=click.IntRange(min=1), metavar="N", help="Columns of the vectors; an embedder knows them.")
@embedder_option
@table_options
@item_metric_option
@click.option("--plan", help="Index, codec and refinement; by default flat, or what the budget allows.")
@plan_budget_options
@set_option
@click.pass_obj
def create(session: Session, /, directory: str, embedder: str | None, table: dict[str, str], **given: Any) -> None:
    """Start an empty index, to add to.

    Makes the folder DIR. nearkin add fills it; rows are compared one by one until nearkin optimize builds the index of
    the plan, or with --recall, --memory or --latency finds the plan for the rows that are there then, by measuring.

    With --embedder, texts (or the records of a table) are added and asked with, and turned into vectors by the index's
    own embedder; one that learns does so from the first items that are added.

    \b
    nearkin create indexes/docs --embedder lsa
    nearkin create indexes/people --embedder table --numeric height,age --categorical hobby --weight age=2
    nearkin create indexes/shop --metric cosine --dim 384
    nearkin create indexes/shop --metric cosine --dim 384 --recall 0.95 --memory 500MB
    """
    from nearkin.creation import create as create_folder

    with create_folder(
        directory,
        embedder=with_table_columns(embedder, table),
        seed=session.settings.seed,
        threads=session.settings.threads,
        registry=session.registry,
        **given,
    ) as made:
        click.echo(
            f"made {directory}: {_columns(made)}, {made.metric_text}, {made.budget or given['plan'] or made.plan}"
        )


def _columns(made: Collection) -> str:
    record = made.embedder_record
    if record is None:
        return f"{made.dim:,} columns"
    return f"{made.dim:,} columns of {record.text}" if made.dim else f"{record.text}, which learns from the first items"
