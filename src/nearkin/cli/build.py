"""``nearkin build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.add import rate_of_items
from nearkin.cli.options import (
    budget_options,
    embedder_option,
    format_option,
    item_metric_option,
    item_options,
    json_option,
    on_bad_option,
    set_option,
)
from nearkin.cli.plan import choice_facts
from nearkin.cli.rendering import (
    listed,
    note,
    parameters,
    print_facts,
    print_json,
    print_memory,
    process_memory,
    seconds,
    working,
)
from nearkin.cli.session import Session
from nearkin.cli.table_options import table_options, with_table_columns
from nearkin.errors import ParameterError

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.planning import Choice


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@embedder_option
@table_options
@item_options
@item_metric_option
@click.option("--plan", help="Index, codec and refinement; by default flat, or what the budget allows.")
@budget_options
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder to write.")
@format_option
@set_option
@on_bad_option
@click.option("--overwrite", is_flag=True, help="Replace what is at DIR.")
@click.option("--no-vectors", is_flag=True, help="Keep the index only: smaller, but nothing can be added or checked.")
@json_option
@click.pass_obj
def build(
    session: Session,
    /,
    files: tuple[str, ...],
    output: str,
    embedder: str | None,
    table: dict[str, str],
    no_vectors: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Build an index from a file of vectors, or from texts and tables, and save it.

    Reads FILE (npy, npz, fvecs, csv, parquet, ...; - for standard input) with the ids and further columns that it has,
    builds, and writes the folder DIR. Rows go there block by block: the file may be larger than memory. Prints the plan
    with every number filled in, the seconds, and the bytes of each component, predicted and real. --set stores search
    parameters as defaults of the index.

    With --embedder, each FILE is a text, or a table with texts in the column --text, or records for an embedder of
    records, as nearkin add reads them. They are embedded part by part, and what was interrupted goes on where it
    stopped when the same command is started again, embedding nothing twice.

    With --recall, --memory or --latency the plan is found by measuring, and its recall is shown on queries that had no
    say in the choice; see nearkin plan. With --plan besides, only its search parameters are found.

    \b
    nearkin build vectors.npy --metric cosine --recall 0.95 --memory 200MB -o indexes/mine
    nearkin build vectors.npy --metric cosine --plan ivf,pq,refine-f16 -o indexes/mine
    nearkin build shop.csv --format csv:id=sku --plan hnsw32,int8 --set ef_search=80 -o indexes/shop
    nearkin build glosses.tsv --embedder lsa --text definition --id synset --recall 0.95 -o indexes/glosses
    nearkin build notes/*.md --embedder lsa -o indexes/notes
    nearkin build people.csv --embedder table --numeric height,age --categorical hobby --id name -o indexes/people
    """
    from nearkin.resident_memory import resident_bytes, watch_peak

    embedder = with_table_columns(embedder, table)
    settings = {"seed": session.settings.seed, "threads": session.settings.threads, "registry": session.registry}
    with working(f"building an index from {files[0]}") as progress, watch_peak() as peak:
        options = {**given, **settings, "progress": progress}
        if embedder is None:
            collection = _of_vectors(session, files, output, no_vectors, options)
        else:
            collection = _of_items(session, files, output, embedder, no_vectors, options)
    with collection:
        report, choice = _report(collection, output), collection.choice
        report["process"] = process_memory(resident_bytes(), peak.bytes, since_start=peak.since_start)
    print_json(report) if as_json else _print_report(report, choice)


def _of_vectors(
    session: Session, files: tuple[str, ...], output: str, no_vectors: bool, options: dict[str, Any]
) -> Collection:
    from nearkin.folder_building import build_folder

    if len(files) > 1:
        raise ParameterError(
            f"{len(files)} files are given, and vectors are built from one",
            hint="add the others with nearkin add, or pass --embedder if they are texts",
        )
    for name in ("text_column", "chunk", "overlap"):
        if options.pop(name) is not None:
            raise ParameterError(
                f"--{name.partition('_')[0]} is for texts, and {files[0]} is read as vectors",
                hint="say what turns the texts into vectors: --embedder",
            )
    _check_output(output, overwrite=options["overwrite"])
    queries, metric = options.pop("queries"), options.pop("metric") or "euclidean"
    given_format = session.with_columns(files[0], options.pop("format"), {"id": options.pop("id_column")})
    with session.source(files[0], given_format) as (source, named):
        return build_folder(
            source,
            output,
            format=named,
            metric=metric,
            queries=None if queries is None else session.read(queries).vectors,
            keep_vectors=not no_vectors,
            **options,
        )


def _of_items(
    session: Session,
    files: tuple[str, ...],
    output: str,
    embedder: str,
    no_vectors: bool,
    options: dict[str, Any],
) -> Collection:
    from nearkin.bound_embedder import EmbedderRecord, make_embedder
    from nearkin.cli.queries import queries_of_file
    from nearkin.item_building import build_items

    if no_vectors:
        raise ParameterError("--no-vectors is for files of vectors", hint="leave it out, or build without --embedder")
    if not output:
        raise ParameterError("the name of the folder to write is empty", hint="for example -o indexes/mine")
    made = make_embedder(embedder, session.registry)
    queries, text = options.pop("queries"), options.pop("text_column")
    if queries is not None:
        queries = queries_of_file(session, EmbedderRecord(made.text, made.takes, "text"), queries).queries
    named = {"text": text, "id": options.pop("id_column"), "queries": queries}
    told = rate_of_items(options["progress"])
    return build_items(files, output, embedder=made, told=told, **named, **options)


def _check_output(output: str, *, overwrite: bool) -> None:
    """Refuse a wrong place before anything is read or trained."""
    from nearkin.store.durability import storage_errors

    if not output:
        raise ParameterError("the name of the folder to write is empty", hint="for example -o indexes/mine")
    with storage_errors(Path(output), "read"):
        if Path(output).exists() and not overwrite:
            raise ParameterError(
                f"there is something at {output} already", hint="choose another folder, or pass --overwrite"
            )


def _report(collection: Collection, output: str) -> dict[str, Any]:
    from nearkin.memory_accounting import memory_of

    took = collection.timings
    return {
        "path": output,
        "rows": len(collection),
        "dim": collection.dim,
        "metric": collection.metric_text,
        "plan": collection.plan,
        "search": collection.search_defaults,
        "choice": None if collection.choice is None else collection.choice.to_dict(),
        "notes": [*collection.notes, *(collection.embedder.notes if collection.embedder is not None else ())],
        "skipped": collection.skipped.tolist(),
        "bytes": memory_of(collection),
        "seconds": {"read": took.read, "build": took.total, "save": took.save},
    }


def _print_report(report: dict[str, Any], choice: Choice | None) -> None:
    took = report["seconds"]
    shown = {} if choice is None else choice_facts(choice)
    print_facts(
        {
            "built": report["path"],
            "rows": f"{report['rows']:,} x {report['dim']:,}",
            "metric": report["metric"],
            "plan": report["plan"],
            "search": parameters(report["search"]),
            **{name: value for name, value in shown.items() if name not in ("plan", "search", "bytes")},
            "seconds": ", ".join(f"{name} {seconds(value)}" for name, value in took.items()),
        }
    )
    click.echo()
    sizes = report["bytes"]
    print_memory(
        sizes["predicted"],
        sizes["allocated"],
        sizes["disk"],
        sizes["float32"],
        kept=sizes["kept"],
        process=report["process"],
    )
    for each in report["notes"]:
        note(each)
    if report["skipped"]:
        count = len(report["skipped"])
        note(f"{count:,} row{'s' if count > 1 else ''} left out: {listed(report['skipped'])} (--json lists all)")
