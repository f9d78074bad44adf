"""``nearkin create``."""

from __future__ import annotations

from typing import Any

import click

from nearkin.cli.options import metric_option, plan_budget_options, set_option
from nearkin.cli.session import Session


@click.command()
@click.argument("directory", metavar="DIR")
@click.option("--dim", type=click.IntRange(min=1), required=True, metavar="N", help="Columns of the vectors.")
@metric_option
@click.option("--plan", help="Index, codec and refinement; by default flat, or what the budget allows.")
@plan_budget_options
@set_option
@click.pass_obj
def create(session: Session, /, directory: str, **given: Any) -> None:
    """Start an empty index, to add to.

    Makes the folder DIR. nearkin add fills it; rows are compared one by one until nearkin optimize builds the index of
    the plan, or with --recall, --memory or --latency finds the plan for the rows that are there then, by measuring.

    \b
    nearkin create indexes/shop --metric cosine --dim 384
    nearkin create indexes/shop --metric cosine --dim 384 --recall 0.95 --memory 500MB
    """
    from nearkin.creation import create as create_folder

    with create_folder(
        directory,
        seed=session.settings.seed,
        threads=session.settings.threads,
        registry=session.registry,
        **given,
    ) as made:
        click.echo(
            f"made {directory}: {made.dim:,} columns, {made.metric_text}, {made.budget or given['plan'] or made.plan}"
        )
