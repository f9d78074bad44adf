"""``nearkin verify`` and ``nearkin repair``: is an index what was written, and what is left of it if not."""

from __future__ import annotations

import click

from nearkin.cli.options import json_option
from nearkin.cli.rendering import listed, note, print_facts, print_json, seconds, size, working
from nearkin.cli.session import Session
from nearkin.errors import CorruptFileError


@click.command()
@click.argument("directory", metavar="DIR")
@click.option(
    "--sample", type=click.IntRange(min=1), default=64, show_default=True, help="Rows to ask for their neighbours."
)
@json_option
@click.pass_obj
def verify(session: Session, directory: str, sample: int, as_json: bool) -> None:
    """Read all of an index again and say what is wrong with it.

    Compares every byte of DIR with its checksum, counts rows, follows every id to its row and back, and asks some rows
    for their neighbours: positions, distances and nearness must be those of the stored rows. Prints what was read and
    every problem. Exits with 5 if there is one; nearkin repair then makes it whole again.

    \b
    nearkin verify indexes/mine
    nearkin verify indexes/mine --sample 1000 --json
    """
    from nearkin.soundness import verify as verified

    with session.open(directory, readonly=True, tell=False) as collection, working(f"reading {directory}"):
        found = verified(collection, sample, session.settings.seed)
    if as_json:
        print_json({"path": directory, **found.to_dict()})
    else:
        print_facts(
            {
                "index": directory,
                "read": f"{size(found.bytes_read)} in {seconds(found.seconds)}",
                "rows": f"{found.rows:,} with their ids and metadata",
                "blocks": f"{found.blocks:,} of vectors",
                "files": f"{found.index_files:,} of the built index",
                "distances": f"{found.distances:,} computed again on the rows",
                "problems": f"{len(found.problems):,}" if found.problems else "none",
            }
        )
        for each in found.problems:
            click.echo(f"- {each}")
    if found.problems:
        count = len(found.problems)
        raise CorruptFileError(
            f"{directory} has {count:,} problem{'' if count == 1 else 's'}", hint=f"run nearkin repair {directory}"
        )


@click.command()
@click.argument("directory", metavar="DIR")
@click.option("--dry-run", is_flag=True, help="Say what would be done and do nothing.")
@click.option("--metric", metavar="NAME[:OPTIONS]", help="The metric, where the facts of DIR cannot be read.")
@click.option("--dim", type=click.IntRange(min=1), help="Columns of the vectors, where the facts cannot be read.")
@click.option(
    "--trust-vectors/--no-trust-vectors",
    default=None,
    help="Take vectors whose checksums are gone, or do without them; by default nothing is done.",
)
@json_option
@click.pass_obj
def repair(
    session: Session,
    directory: str,
    dry_run: bool,
    metric: str | None,
    dim: int | None,
    trust_vectors: bool | None,
    as_json: bool,
) -> None:
    """Make a damaged index whole again, and say what is gone.

    What is derived is built again in place. Where rows, ids or facts are damaged, a new folder is written from all rows
    that their checksums confirm, and the damaged one is kept beside it as DIR.damaged. Prints what was damaged, rebuilt,
    kept and gone. Exits with 5 if rows are gone.

    \b
    nearkin repair indexes/mine --dry-run
    nearkin repair indexes/mine
    """
    from nearkin.repairing import repair as repaired

    with working(f"repairing {directory}"):
        done = repaired(
            directory,
            metric=metric,
            dim=dim,
            trust_vectors=trust_vectors,
            dry_run=dry_run,
            threads=session.threads,
            registry=session.registry,
        )
    if as_json:
        print_json(done.to_dict())
    else:
        for each in done.problems:
            click.echo(f"damaged: {each}")
        click.echo(str(done))
        if done.lost:
            click.echo(f"gone ids: {listed([row.id for row in done.lost if row.id is not None])} (--json lists all)")
        if done.gaps:
            click.echo(f"gone positions are among {listed([f'{low:,} to {high:,}' for low, high in done.gaps])}")
    for each in (*done.doubts, *done.notes):
        note(each)
    if done.gone:
        verb = "would be gone" if dry_run else "are gone"
        raise CorruptFileError(
            f"{done.gone:,} rows of {directory} {verb}",
            hint="add them again from where they came" if not dry_run else None,
        )
