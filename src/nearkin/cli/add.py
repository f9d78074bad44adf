"""``nearkin add``: files into a saved index, as vectors or through its embedder."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import format_option, item_options, json_option, on_bad_option, same_embedder_option
from nearkin.cli.rendering import listed, note, print_json, working
from nearkin.cli.rows import count_of_rows
from nearkin.cli.session import Session
from nearkin.cli.table_options import telling_what_is_found

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.item_adding import FilesAdded

FEW = 100
"""An embedder that learned from fewer items knows little."""


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@item_options
@click.option(
    "--vectors", "vector_column", metavar="COLUMN", help="Column that holds vectors, which are added as they are."
)
@click.option("--only-new", is_flag=True, help="Refuse ids that are there already, instead of replacing their rows.")
@same_embedder_option
@format_option
@on_bad_option
@json_option
@click.pass_obj
def add(
    session: Session,
    /,
    directory: str,
    files: tuple[str, ...],
    embedder: str | None,
    as_json: bool,
    only_new: bool,
    **given: Any,
) -> None:
    """Add files to an index, replacing rows that it has.

    Reads each FILE (- for standard input). An index without an embedder takes files of vectors (any format) with the
    ids and further columns that they have, which become metadata; without ids, whole numbers go on from the last.

    An index with an embedder of texts takes text files (.txt, .md, .rst, and others that no format reads; of a folder,
    all below it), which are cut into chunks with ids such as notes/a.md#3; a file that is added again replaces its
    chunks. Of a table (csv, tsv, jsonl, parquet, arrow), --text is the text and the other columns become metadata. For
    an embedder of records, all columns make the record. Standard input is one text a line, or JSON lines. Files of
    vectors, and --vectors, are added as they are.

    All files are checked before anything is added (standard input after them), and then added part by part: what was
    interrupted goes on where it stopped when it is started again on the same files, and embeds nothing twice. Files
    without ids that were added before, and have not changed since, are not added twice. Rows are found by the next
    search; nearkin optimize takes them into the index.

    \b
    nearkin add indexes/mine more.npy
    nearkin add indexes/shop products.parquet --vectors embedding --id sku
    nearkin add indexes/docs notes/*.md
    nearkin add indexes/docs faq.csv --text question --id id
    """
    from nearkin.plans import compares_all

    with session.open(directory, embedder=embedder) as collection, working(f"reading {files[0]}") as progress:
        what = "rows" if collection.embedder_record is None else "items"
        options = {**given, "replace": not only_new, "told": rate_of_items(progress, what)}
        with telling_what_is_found(collection):
            done = _add(session, collection, files, options)
        report = {
            "added": done.added,
            "replaced": done.replaced,
            "removed": done.removed,
            "resumed": done.resumed,
            "already": done.already,
            "skipped": list(done.left_out),
            "learned_from": done.learned_from,
            "rows": len(collection),
            "uncovered": collection.uncovered,
        }
        waits = collection.budget is not None or not compares_all(collection.recipe.plan, session.registry)
    if as_json:
        print_json(report)
        return
    _tell(done, directory, report, waits=waits)


def rate_of_items(progress: Callable[[str], None], what: str = "items") -> Callable[[int, int], None]:
    """What shows how far a run has come, and how fast it goes."""
    start = time.perf_counter()
    first: list[int] = []

    def told(done: int, total: int) -> None:
        first.append(done)
        rate = (done - first[0]) / max(1e-9, time.perf_counter() - start)
        shown = f", {rate:,.0f} a second" if done > first[0] else ""
        progress(f"added {done:,} of {total:,} {what}{shown}")

    return told


def _add(session: Session, collection: Collection, files: tuple[str, ...], given: dict[str, Any]) -> FilesAdded:
    from nearkin.adding import add_files
    from nearkin.item_adding import FilesAdded

    names = {"text_column": "text", "id_column": "id", "vector_column": "vectors"}
    options = {names.get(name, name): value for name, value in given.items()}
    done = FilesAdded()
    if paths := [each for each in files if each != "-"]:
        done += add_files(collection, paths, **options)
    if "-" in files:
        done += _add_standard_input(session, collection, options)
    return done


def _add_standard_input(session: Session, collection: Collection, options: dict[str, Any]) -> FilesAdded:
    from nearkin.adding import add_file, has_text_ids
    from nearkin.cli.standard_input import items_in_file, stdin_in_a_file
    from nearkin.item_adding import FilesAdded, add_items
    from nearkin.item_files import ItemOptions

    same = {name: options[name] for name in ("on_bad", "replace", "told")}
    record, columns = collection.embedder_record, {"vectors": options["vectors"], "id": options["id"]}
    with stdin_in_a_file() as place:
        reading = ItemOptions(*(options[name] for name in ("text", "id", "chunk", "overlap", "format")))
        items = None
        if record is not None and options["vectors"] is None:
            items = items_in_file(place, record, reading, session.registry, text_ids=has_text_ids(collection))
        if items is not None:
            return add_items(collection, items, **same)
        source, named = session.source_in_file(place, session.with_columns("-", options["format"], columns))
        found = add_file(collection, source, format=named, **same)
        left_out = [f"row {row:,} of standard input" for row in found.skipped.tolist()]
        return FilesAdded(found.added, found.replaced, 0, left_out, found.resumed, already=found.already)


def _tell(done: FilesAdded, directory: str, report: dict[str, Any], *, waits: bool) -> None:
    total, uncovered = report["rows"], report["uncovered"]
    if done.replaced and not done.added:
        click.echo(f"replaced {count_of_rows(done.replaced)} of {directory}, which has {total:,}")
    else:
        replaced = f", and replaced {done.replaced:,}" if done.replaced else ""
        click.echo(f"added {count_of_rows(done.added)} to {directory}, which now has {total:,}{replaced}")
    tell_more(done)
    if uncovered and waits:
        are = "row is" if uncovered == 1 else "rows are"
        note(f"{uncovered:,} {are} searched one by one until you run nearkin optimize {directory}")


def tell_more(done: FilesAdded) -> None:
    """What is worth knowing besides the numbers of rows."""
    if done.removed:
        note(f"{count_of_rows(done.removed)} removed: of documents with fewer chunks now, or of items left out")
    if done.already:
        have = "row without an id was" if done.already == 1 else "rows without ids were"
        note(f"{done.already:,} {have} added already from the same files; touch a file to add it again")
    if done.resumed:
        note(f"went on after the first {done.resumed:,} rows, which an interrupted run had added")
    if done.left_out:
        note(f"{count_of_rows(len(done.left_out))} left out: {listed(done.left_out)} (--json lists all)")
    if 0 < done.learned_from < FEW:
        note(
            f"the embedder learned from {done.learned_from:,} items, and learns no more: what these do not have, such as "
            "other words, is unknown to it"
        )
