"""``nearkin add``, ``delete`` and ``get``: rows of a saved index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import format_option, json_option, on_bad_option
from nearkin.cli.rendering import listed, note, print_json, print_json_lines, short_floats, working
from nearkin.cli.session import Session
from nearkin.errors import UnknownIdError

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.rows import Row


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("vectors")
@click.option("--replace", is_flag=True, help="Replace rows whose ids are there already.")
@format_option
@on_bad_option
@json_option
@click.pass_obj
def add(
    session: Session, directory: str, vectors: str, replace: bool, format: str | None, on_bad: Any, as_json: bool
) -> None:
    """Add vectors to an index.

    Reads VECTORS (any format; - for standard input) with the ids and further columns that it has; without ids, whole
    numbers go on from the last. All rows are added, or none. They are found by the next search; nearkin optimize takes
    them into the index. Prints how many were added.

    \b
    nearkin add indexes/mine more.npy
    nearkin add indexes/shop prices.csv --format csv:id=sku --replace
    """
    loaded = session.read(vectors, format)
    with session.open(directory) as collection, working(f"adding {len(loaded.vectors):,} rows"):
        take: Any = collection.upsert if replace else collection.add
        added = take(loaded.vectors, loaded.ids, metadata=loaded.metadata, on_bad=on_bad)
        total, uncovered = len(collection), collection.uncovered
    skipped = added.skipped.tolist()
    if as_json:
        print_json(
            {"added": len(added.ids), "ids": added.ids, "skipped": skipped, "rows": total, "uncovered": uncovered}
        )
        return
    count = len(added.ids)
    click.echo(f"added {count:,} row{'' if count == 1 else 's'} to {directory}, which now has {total:,}")
    if skipped:
        note(f"{len(skipped):,} rows left out: {listed(skipped)} (--json lists all)")
    if uncovered:
        are = "row is" if uncovered == 1 else "rows are"
        note(f"{uncovered:,} {are} searched one by one until you run nearkin optimize {directory}")


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def delete(session: Session, directory: str, ids: tuple[str, ...]) -> None:
    """Delete rows from an index.

    Takes ids as arguments (after -- if one begins with a hyphen), or one a line from standard input for -. All are
    deleted, or none if one does not exist. Prints how many were deleted.

    \b
    nearkin delete indexes/mine 17 42
    cut -d, -f1 sold.csv | nearkin delete indexes/shop -
    """
    with session.open(directory) as collection:
        count = collection.delete(_ids_from_text(collection, ids))
        total = len(collection)
    click.echo(f"deleted {count:,} row{'' if count == 1 else 's'} from {directory}, which now has {total:,}")


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def get(session: Session, directory: str, ids: tuple[str, ...]) -> None:
    """Print rows of an index.

    Takes ids as arguments (after -- if one begins with a hyphen), or one a line from standard input for -. Prints one
    JSON object a line with id, vector and metadata, in the order asked; nearkin search and nearkin add read them.

    \b
    nearkin get indexes/mine 17 42
    nearkin get indexes/mine 17 | nearkin search indexes/mine -
    """
    with session.open(directory, readonly=True) as collection:
        rows = collection.get(_ids_from_text(collection, ids))
        print_json_lines(_as_dict(row) for row in rows)


def _ids_from_text(collection: Collection, texts: tuple[str, ...]) -> list[Any]:
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


def _as_dict(row: Row) -> dict[str, Any]:
    vector = None if row.vector is None else _numbers(row.vector)
    return {"id": row.id, "vector": vector, "metadata": row.metadata}


def _numbers(vector: Any) -> list[Any]:
    numbers: list[Any] = vector.tolist() if vector.dtype.kind == "u" else short_floats(vector)
    return numbers
