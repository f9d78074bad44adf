"""``nearkin add``, ``delete`` and ``get``: rows of a saved index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.filter_notes import note_missing_fields
from nearkin.cli.options import format_option, id_option, json_option, on_bad_option, where_option
from nearkin.cli.rendering import listed, note, print_json, print_json_lines, short_floats, working
from nearkin.cli.session import Session
from nearkin.cli.table_options import telling_what_is_learned
from nearkin.errors import UnknownIdError

if TYPE_CHECKING:
    from nearkin.adding import FileAdded
    from nearkin.collection import Collection
    from nearkin.rows import Row


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("vectors")
@click.option("--vectors", "vector_column", metavar="COLUMN", help="Column of VECTORS that holds the vectors.")
@click.option("--id", "id_column", metavar="COLUMN", help="Column of VECTORS that holds the ids.")
@click.option("--only-new", is_flag=True, help="Refuse ids that are there already, instead of replacing their rows.")
@format_option
@on_bad_option
@json_option
@click.pass_obj
def add(
    session: Session,
    directory: str,
    vectors: str,
    vector_column: str | None,
    id_column: str | None,
    only_new: bool,
    format: str | None,
    on_bad: Any,
    as_json: bool,
) -> None:
    """Add the rows of a file to an index, replacing those that it has.

    Reads VECTORS (any format; - for standard input) with the ids and further columns that it has, which become
    metadata; without ids, whole numbers go on from the last. All rows are checked before any is added, and then added
    part by part: what was interrupted goes on where it stopped when it is started again on the same file. Rows are
    found by the next search; nearkin optimize takes them into the index.

    \b
    nearkin add indexes/mine more.npy
    nearkin add indexes/shop products.parquet --vectors embedding --id sku
    """
    from nearkin.adding import add_file

    columns = {"vectors": vector_column, "id": id_column}
    with (
        session.open(directory) as collection,
        session.source(vectors, session.with_columns(vectors, format, columns)) as (source, named),
        working(f"reading {vectors}") as progress,
        telling_what_is_learned(collection),
    ):
        added = add_file(
            collection,
            source,
            format=named,
            on_bad=on_bad,
            replace=not only_new,
            told=lambda done, total: progress(f"added {done:,} of {total:,} rows"),
        )
        total, uncovered = len(collection), collection.uncovered
    if as_json:
        counts = {"added": added.added, "replaced": added.replaced, "resumed": added.resumed}
        print_json({**counts, "skipped": added.skipped.tolist(), "rows": total, "uncovered": uncovered})
        return
    _tell(added, directory, total, uncovered)


def _tell(added: FileAdded, directory: str, total: int, uncovered: int) -> None:
    if added.replaced and not added.added:
        click.echo(f"replaced {_rows(added.replaced)} of {directory}, which has {total:,}")
    else:
        replaced = f", and replaced {added.replaced:,}" if added.replaced else ""
        click.echo(f"added {_rows(added.added)} to {directory}, which now has {total:,}{replaced}")
    if added.resumed:
        note(f"went on after the first {added.resumed:,} rows, which an interrupted run had added")
    if len(added.skipped):
        note(f"{_rows(len(added.skipped))} left out: {listed(added.skipped.tolist())} (--json lists all)")
    if uncovered:
        are = "row is" if uncovered == 1 else "rows are"
        note(f"{uncovered:,} {are} searched one by one until you run nearkin optimize {directory}")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@id_option
@where_option
@click.pass_obj
def delete(
    session: Session, directory: str, ids: tuple[str, ...], more_ids: tuple[str, ...], where: str | None
) -> None:
    """Delete rows from an index.

    Takes ids as arguments or with --id, or one a line from standard input for -; or --where for the rows that a filter
    keeps. All are deleted, or none if one does not exist. Prints how many were deleted.

    \b
    nearkin delete indexes/mine 17 42
    nearkin delete indexes/shop --where 'stock = 0'
    cut -d, -f1 sold.csv | nearkin delete indexes/shop -
    """
    if bool(ids or more_ids) == (where is not None):
        raise click.UsageError("delete takes ids or --where, exactly one of them")
    with session.open(directory) as collection:
        given = None if where is not None else ids_from_text(collection, (*ids, *more_ids))
        count = collection.delete(given, where=where)
        if not count:
            note_missing_fields(collection, where)
        total = len(collection)
    click.echo(f"deleted {_rows(count)} from {directory}, which now has {total:,}")


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@id_option
@click.pass_obj
def get(session: Session, directory: str, ids: tuple[str, ...], more_ids: tuple[str, ...]) -> None:
    """Print rows of an index.

    Takes ids as arguments or with --id, or one a line from standard input for -. Prints one JSON object a line with id,
    vector and metadata, in the order asked; nearkin search and nearkin add read them. nearkin list finds rows by their
    metadata.

    \b
    nearkin get indexes/mine 17 42
    nearkin get indexes/mine 17 | nearkin search indexes/mine -
    """
    if not ids and not more_ids:
        raise click.UsageError("get takes at least one id")
    with session.open(directory, readonly=True) as collection:
        rows = collection.get(ids_from_text(collection, (*ids, *more_ids)))
        print_json_lines(as_dict(row, vectors=True) for row in rows)


def ids_from_text(collection: Collection, texts: tuple[str, ...]) -> list[Any]:
    """Ids as this collection has them: whole numbers or strings."""
    from nearkin.cli.standard_input import read_ids_from_stdin

    given = read_ids_from_stdin() if texts == ("-",) else list(texts)
    if collection.ids.dtype == object:
        return given
    return [_whole_number(text) for text in given]


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UnknownIdError(f"there is no row with id {text!r}, this index has whole numbers as ids") from error


def as_dict(row: Row, *, vectors: bool) -> dict[str, Any]:
    """A row as JSON has it."""
    vector = None if row.vector is None else _numbers(row.vector)
    return {"id": row.id, **({"vector": vector} if vectors else {}), "metadata": row.metadata}


def _numbers(vector: Any) -> list[Any]:
    numbers: list[Any] = vector.tolist() if vector.dtype.kind == "u" else short_floats(vector)
    return numbers
