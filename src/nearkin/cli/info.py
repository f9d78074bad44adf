"""``nearkin info``, ``optimize`` and ``compact``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import embedder_option, json_option
from nearkin.cli.rendering import (
    note,
    parameters,
    print_facts,
    print_json,
    print_memory,
    print_table,
    process_memory,
    seconds,
    size,
    working,
)
from nearkin.cli.session import Session

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.model_measurement import Loaded


@click.command()
@click.argument("directory", metavar="[DIR]", required=False)
@embedder_option
@json_option
@click.pass_obj
def info(session: Session, directory: str | None, embedder: str | None, as_json: bool) -> None:
    """Show what an index is, what it costs, and whether it is sound.

    Reads the index DIR and prints its rows (those deleted and those that the built index does not cover yet, too),
    metric, plan, embedder, search defaults, bytes of each component in memory and on disk, versions, and problems found in the
    built index; nearkin verify reads all of the rest, too.

    With --embedder, loads that embedder and prints its parameters, their bytes by precision, layers, columns, longest
    text, items in a second and fingerprint. With both, first compares it with the one that filled DIR, refuses another,
    and prints these of the one of DIR, with what it has learned.

    \b
    nearkin info indexes/mine
    nearkin info indexes/mine --json
    nearkin info --embedder sentence-transformers:all-MiniLM-L6-v2
    """
    if directory is None and embedder is None:
        raise click.UsageError("info takes the folder of an index, or --embedder, or both")
    loaded = None if embedder is None else _loaded(session, embedder)
    facts: dict[str, Any] = {}
    if directory is not None:
        given = loaded and loaded.embedder
        with session.open(directory, readonly=True, tell=False, embedder=given) as collection:
            facts = _facts(collection, directory)
            if loaded is not None and collection.embedder is not None:  # the collection's own has learned
                loaded = loaded._replace(embedder=collection.embedder)
    model = None if loaded is None else _model_facts(session, loaded)
    if as_json:
        print_json(facts if model is None else {**facts, "model": model})
        return
    if facts:
        _print_facts(facts)
    if model is not None:
        _print_model(model, apart=bool(facts))


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
        "embedder": None if collection.embedder_record is None else collection.embedder_record.to_dict(),
        "problems": collection.problems,
    }


def _loaded(session: Session, embedder: str) -> Loaded:
    from nearkin.model_measurement import load_measured

    with working(f"loading {embedder}"):
        return load_measured(embedder, session.registry)


def _model_facts(session: Session, loaded: Loaded) -> dict[str, Any]:
    from nearkin.model_measurement import measure_model

    with working(f"measuring {loaded.embedder.text}"):
        return measure_model(loaded, session.settings.cores).to_dict()


def _print_model(model: dict[str, Any], *, apart: bool) -> None:
    if apart:
        click.echo()
    learns = "has still to learn from the first items"
    rate = model["items_per_second"]
    print_facts(
        {
            "embedder": model["embedder"],
            "takes": f"{model['takes']}s",
            "fingerprint": model["fingerprint"] or learns,
            "columns": learns if model["dim"] is None else f"{model['dim']:,}",
            "parameters": f"{model['parameters']:,}",
            "layers": "none" if model["layers"] is None else f"{model['layers']}",
            "longest": "all of a text counts" if model["max_length"] is None else f"{model['max_length']:,} tokens",
            "speed": learns
            if rate is None
            else f"{rate:,.0f} items/s (median of {model['rounds']} rounds of {model['items']} items, "
            f"{model['threads']} thread{'' if model['threads'] == 1 else 's'})",
        }
    )
    click.echo()
    sizes = model["bytes"]
    rows = [
        [f"parameters as {name}" if name != "loaded" else "parameters as loaded", size(sizes[name])] for name in sizes
    ]
    if model["resident"] is not None:
        rows.append(["process grew by, with libraries", size(model["resident"])])
    print_table(("model", "bytes"), rows, right=("bytes",))


def _embedder_line(record: dict[str, Any]) -> str:
    if record["lost"]:
        return f"{record['text']} (what was kept of it is lost: run nearkin reembed)"
    known = (
        f"fingerprint {record['fingerprint']}" if record["fingerprint"] else "has still to learn from the first items"
    )
    return f"{record['text']} ({known})"


def _print_facts(facts: dict[str, Any]) -> None:
    print_facts(
        {
            "index": facts["path"],
            "rows": f"{facts['rows']:,} x {facts['dim']:,}",
            "deleted": f"{facts['deleted']:,}",
            "uncovered": f"{facts['uncovered']:,}"
            + (" (nearkin optimize takes them in)" if facts["uncovered"] else ""),
            "metric": f"{facts['metric']}, similarity = {facts['similarity']}",
            **({} if facts["embedder"] is None else {"embedder": _embedder_line(facts["embedder"])}),
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
