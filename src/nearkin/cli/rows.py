"""``nearkin delete`` and ``get``: rows of a saved index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.filter_notes import note_missing_fields
from nearkin.cli.options import id_option, where_option
from nearkin.cli.rendering import print_json_lines, short_floats
from nearkin.cli.session import Session
from nearkin.errors import UnknownIdError

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.rows import Row


def count_of_rows(count: int) -> str:
    """A number of rows in words."""
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
    click.echo(f"deleted {count_of_rows(count)} from {directory}, which now has {total:,}")


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
