"""``nearkin info``, ``optimize`` and ``compact``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import json_option
from nearkin.cli.rendering import (
    note,
    parameters,
    print_facts,
    print_json,
    print_memory,
    process_memory,
    seconds,
    size,
    working,
)
from nearkin.cli.session import Session

if TYPE_CHECKING:
    from nearkin.collection import Collection


@click.command()
@click.argument("directory", metavar="DIR")
@json_option
@click.pass_obj
def info(session: Session, directory: str, as_json: bool) -> None:
    """Show what an index is, what it costs, and whether it is sound.

    Reads the index DIR and prints its rows (those deleted and those that the built index does not cover yet, too),
    metric, plan, search defaults, bytes of each component in memory and on disk, versions, and problems found in the
    built index; nearkin verify reads all of the rest, too.

    \b
    nearkin info indexes/mine
    nearkin info indexes/mine --json
    """
    with session.open(directory, readonly=True, tell=False) as collection:
        facts = _facts(collection, directory)
    print_json(facts) if as_json else _print_facts(facts)


@click.command()
@click.argument("directory", metavar="DIR")
@click.option("--retrain", is_flag=True, help="Train again on all rows, starting from what the index is.")
@click.pass_obj
def optimize(session: Session, directory: str, retrain: bool) -> None:
    """Bring an index up to date with all of its rows.

    Puts the rows that were added since it was built into it; with more than four times the rows that it was trained on,
    or 30 % of those deleted, builds it anew instead. Searches by other processes go on meanwhile. Prints the plan, the
    seconds, and what was done. nearkin health tells when --retrain is worth it.

    \b
    nearkin optimize indexes/mine
    nearkin optimize indexes/mine --retrain
    """
    with session.open(directory) as collection:
        with working(f"building {collection.plan} over {len(collection):,} rows"):
            collection.optimize(retrain=retrain)
        took, plan, rows, notes = collection.timings, collection.plan, len(collection), collection.notes
    if took.total:
        click.echo(f"built {plan} over {rows:,} rows in {seconds(took.total)} (training {seconds(took.train)})")
    else:  # nothing was to be done, as the notes say
        click.echo(f"left {plan} as it was, over {rows:,} rows")
    for each in notes:
        note(each)


@click.command()
@click.argument("directory", metavar="DIR")
@click.pass_obj
def compact(session: Session, directory: str) -> None:
    """Write an index anew without the rows that were deleted.

    Deleted and replaced rows keep their place until then. Builds the index over the rows that are left; the new folder
    takes the place of the old one complete or not at all. Prints rows and bytes.

    \b
    nearkin compact indexes/shop
    """
    from nearkin.compaction import compact as compact_folder

    with working(f"writing {directory} anew"):
        done = compact_folder(directory, threads=session.threads, registry=session.registry)
    click.echo(
        f"{directory} has {done.rows:,} rows in {size(done.bytes_after)}, it had {size(done.bytes_before)} with "
        f"{done.dropped:,} deleted ones"
    )


def _facts(collection: Collection, directory: str) -> dict[str, Any]:
    import faiss
    import numpy

    from nearkin import __version__
    from nearkin.memory_accounting import memory_of
    from nearkin.resident_memory import resident_bytes

    return {
        "path": str(collection.path or directory),
        "rows": len(collection),
        "dim": collection.dim,
        "deleted": collection.deleted,
        "uncovered": collection.uncovered,
        "metric": collection.metric_text,
        "similarity": collection.metric.similarity_rule,
        "plan": collection.plan,
        "search": collection.search_defaults,
        "keeps_vectors": collection.keeps_vectors,
        "bytes": memory_of(collection),
        "process": process_memory(resident_bytes(), None),
        "versions": {"nearkin": __version__, "numpy": numpy.__version__, "faiss": faiss.__version__},
        "problems": collection.problems,
    }


def _print_facts(facts: dict[str, Any]) -> None:
    print_facts(
        {
            "index": facts["path"],
            "rows": f"{facts['rows']:,} x {facts['dim']:,}",
            "deleted": f"{facts['deleted']:,}",
            "uncovered": f"{facts['uncovered']:,}"
            + (" (nearkin optimize takes them in)" if facts["uncovered"] else ""),
            "metric": f"{facts['metric']}, similarity = {facts['similarity']}",
            "plan": facts["plan"],
            "search": parameters(facts["search"]),
            "vectors": "kept" if facts["keeps_vectors"] else "not kept: nothing can be added, checked or built anew",
            "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
            "problems": "; ".join(facts["problems"]) or "none",
        }
    )
    click.echo()
    sizes = facts["bytes"]
    print_memory(
        sizes["predicted"],
        sizes["allocated"],
        sizes["disk"],
        sizes["float32"],
        kept=sizes["kept"],
        process=facts["process"],
    )
    if any(f"{os.sep}built{os.sep}" in each for each in facts["problems"]):
        note("an index that is damaged or missing is built again by nearkin optimize")
