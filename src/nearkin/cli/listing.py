"""``nearkin list``, ``count`` and ``fields``: what is in an index."""

from __future__ import annotations

import json
from typing import Any

import click

from nearkin.cli.filter_notes import note_missing_fields
from nearkin.cli.options import json_option, where_option
from nearkin.cli.rendering import note, print_json, print_json_lines, print_table, working
from nearkin.cli.rows import as_dict
from nearkin.cli.session import Session


@click.command(name="list")
@click.argument("directory", metavar="DIR")
@where_option
@click.option(
    "--limit", type=click.IntRange(min=0), default=20, show_default=True, metavar="N", help="Rows at most; 0 for all."
)
@click.option("--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Rows to pass over first.")
@click.option("--vectors", is_flag=True, help="Print the vectors too.")
@click.pass_obj
def list_rows(session: Session, directory: str, where: str | None, limit: int, offset: int, vectors: bool) -> None:
    """List the rows of an index, or those that a filter keeps.

    Prints one JSON object a line with id and metadata, in the order the rows were added; nearkin get prints rows by id.

    \b
    nearkin list indexes/shop --where 'price < 50 and tags has "new"'
    nearkin list indexes/shop --limit 0 --vectors
    """
    with session.open(directory, readonly=True) as collection:
        total = collection.count(where)
        if not total:
            note_missing_fields(collection, where)
        rows = collection.select(where, limit=limit or None, offset=offset, vectors=vectors)
        print_json_lines(as_dict(row, vectors=vectors) for row in rows)
    if len(rows) + min(offset, total) < total:
        note(f"{len(rows):,} of {total:,} rows; --limit 0 lists all, --offset goes on")


@click.command()
@click.argument("directory", metavar="DIR")
@where_option
@click.pass_obj
def count(session: Session, directory: str, where: str | None) -> None:
    """Count the rows of an index, or those that a filter keeps.

    Prints the number.

    \b
    nearkin count indexes/shop --where 'brand = "acme"'
    """
    with session.open(directory, readonly=True) as collection:
        found = collection.count(where)
        if not found:
            note_missing_fields(collection, where)
    click.echo(found)


@click.command()
@click.argument("directory", metavar="DIR")
@click.option("--index", "indexed", multiple=True, metavar="FIELD", help="Make filters on a field quick; repeatable.")
@click.option("--drop", "dropped", multiple=True, metavar="FIELD", help="Take the index of a field away; repeatable.")
@json_option
@click.pass_obj
def fields(session: Session, directory: str, indexed: tuple[str, ...], dropped: tuple[str, ...], as_json: bool) -> None:
    """List the fields of the metadata, and index them for filters.

    Prints each field with the rows that have it, their types and an example, and whether it is indexed: filters look
    rows up by an indexed field, and read all rows otherwise.

    \b
    nearkin fields indexes/shop
    nearkin fields indexes/shop --index price --index size.width
    """
    with session.open(directory, readonly=not (indexed or dropped)) as collection:
        for name in indexed:
            with working(f"indexing {name}"):
                collection.index_field(name)
        for name in dropped:
            collection.drop_field_index(name)
        found = collection.fields()
    if as_json:
        print_json({name: facts.to_dict() for name, facts in found.items()})
        return
    if not found:
        note(f"the rows of {directory} have no metadata")
        return
    rows: list[list[Any]] = [
        [
            name,
            f"{facts.rows:,}",
            ", ".join(kind for kind, _ in facts.types.most_common()),
            "" if facts.example is None else json.dumps(facts.example, ensure_ascii=False).strip('"'),
            "yes" if facts.indexed else "",
        ]
        for name, facts in found.items()
    ]
    print_table(("field", "rows", "types", "example", "indexed"), rows, right=("rows",))
