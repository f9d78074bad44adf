"""``nearkin search``."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nearkin.cli.filter_notes import need_field, note_missing_fields
from nearkin.cli.options import same_embedder_option, set_option, where_option
from nearkin.cli.rendering import (
    listed,
    note,
    output_width,
    print_csv,
    print_json,
    print_json_lines,
    print_table,
    short_floats,
    shortened,
    working,
)
from nearkin.cli.session import Session

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.results import RangeResult, SearchResult

HEADERS = ("query", "rank", "id", "distance", "similarity")
RIGHT = ("rank", "distance", "similarity")
NARROWEST = 20
"""Characters of a text that a table shows at least."""


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("query", required=False)
@click.option("--query-file", metavar="FILE", help="Ask with what is in a file, instead of QUERY.")
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="Ask with a text, instead of QUERY; repeatable.")
@click.option(
    "--query-column", metavar="COLUMN", help="Column of a file that holds the texts; by default text, or the only one."
)
@click.option("-k", "k", type=int, help="Neighbours of each query.  [default: 10]")
@click.option("--max-distance", type=float, metavar="X", help="Every row within X that the plan reaches, not k.")
@where_option
@click.option("--group-by", metavar="FIELD", help="The best row of each value of a field, such as document.")
@click.option("--allow-fewer", is_flag=True, help="Leave it at the neighbours that the plan reaches.")
@set_option
@click.option("--show", multiple=True, metavar="FIELD", help="Print a field of the metadata; repeatable.")
@same_embedder_option
@click.option("--format", metavar="NAME[:OPTIONS]", help="Format of the file of queries, such as csv:id=sku.")
@click.option("--json", "style", flag_value="json", help="Print one JSON array.")
@click.option("--nl", "style", flag_value="nl", help="Print JSON, one hit a line.")
@click.option("--csv", "style", flag_value="csv", help="Print comma-separated values.")
@click.option("--table", "style", flag_value="table", help="Print a table.")
@click.pass_obj
def search(
    session: Session,
    /,
    directory: str,
    query: str | None,
    query_file: str | None,
    texts: tuple[str, ...],
    query_column: str | None,
    embedder: str | None,
    format: str | None,
    style: str | None,
    show: tuple[str, ...],
    **given: Any,
) -> None:
    """Find the nearest rows of each query.

    Reads the index DIR and QUERY: a file of vectors, or - for standard input with an .npy file or JSON lines (arrays of
    numbers, or rows as nearkin get prints them). For an index with an embedder, a QUERY that is not a file is a text (or
    the record of a table, as a JSON object); a file of text has one query a line, and a table has them in a column.
    --query-file and --text make it explicit.

    Prints one hit a row: query (its row number, or its id if the file has ids), rank from 0, id, distance (smaller is
    nearer) and similarity (larger is more alike); for an index with an embedder its text or record too, or the fields
    that --show names. A table on a terminal, a JSON array anywhere else, unless an option says which.

    Every query gets k neighbours, or all that there are: where the plan reaches fewer, it is asked for more. --where
    keeps to rows whose metadata it describes: comparisons, and, or, not, in, has, between, like, is null. --group-by
    gives k values of a field, each by its nearest row: the best passage of each document.

    \b
    nearkin search indexes/mine queries.npy -k 10 --set nprobe=16
    nearkin search indexes/docs "how do I rotate a key" -k 5 --group-by document
    nearkin get indexes/mine 42 | nearkin search indexes/mine - -k 5 --csv
    nearkin search indexes/shop queries.npy --where 'price < 50 and brand in ("acme", "zeta")'
    nearkin search indexes/mine queries.npy --max-distance 0.3 --nl
    """
    if given["max_distance"] is not None and (given["k"] is not None or given["group_by"] is not None):
        other = "--group-by" if given["k"] is None else "-k"
        raise click.UsageError(f"{other} and --max-distance exclude each other")
    if (query is not None) + (query_file is not None) + bool(texts) != 1:
        raise click.UsageError("search takes QUERY, --query-file or --text, exactly one of them")
    from nearkin.cli.queries import Asked

    asked = Asked(query, query_file, texts, query_column, format)
    with session.open(directory, readonly=True, embedder=embedder) as collection, working(f"searching {directory}"):
        questions = asked.read(session, collection, directory)
        found = _found(collection, questions.queries, **given)
        hits = _hits(found, questions.ids)
        beside = _beside(collection, found, show)
    PRINTERS[style or ("table" if sys.stdout.isatty() else "json")](hits, beside)


def _found(
    collection: Collection,
    queries: Any,
    *,
    k: int | None,
    max_distance: float | None,
    where: str | None,
    group_by: str | None,
    allow_fewer: bool,
    search: dict[str, int],
) -> SearchResult | RangeResult:
    if max_distance is not None:
        return collection.range_search(queries, max_distance, where=where, **search)
    need_field(collection, group_by)
    options: dict[str, Any] = {**search, "where": where, "group_by": group_by, "allow_fewer": allow_fewer}
    found = collection.search(queries, 10 if k is None else k, **options)
    _note_incomplete(found)
    if not found.counts.any():
        note_missing_fields(collection, where)
    return found


class Beside(NamedTuple):
    """What is printed of the metadata of the hits."""

    names: tuple[str, ...]
    values: list[tuple[Any, ...]]
    """One value a name, for every hit."""


def _beside(collection: Collection, found: SearchResult | RangeResult, show: tuple[str, ...]) -> Beside:
    """Fields that are asked for; else the text, or the whole record, of an index with an embedder."""
    record = collection.embedder_record
    if record is None and not show:
        return Beside((), [()] * int(found.counts.sum()))
    metadata = collection.rows.metadata(found.positions[found.positions >= 0])
    if not show and record is not None and record.takes == "record":
        return Beside(("metadata",), [(each,) for each in metadata])
    names = show or (record.field if record is not None else "",)
    for name in names:
        if metadata and not any(name in each for each in metadata):
            note(f"none of the rows found has the field {name}")
    heads = tuple(f"metadata.{name}" if name in HEADERS else name for name in names)
    return Beside(heads, [tuple(each.get(name) for name in names) for each in metadata])


REASONS = 3
"""Reasons for short answers that are told; with many queries there may be as many reasons."""


def _note_incomplete(found: SearchResult) -> None:
    """One line for each reason why queries got fewer neighbours than asked."""
    by_reason: defaultdict[str, list[int]] = defaultdict(list)
    for query, reason in enumerate(found.reason):
        if reason:
            by_reason[reason].append(query)
    often = sorted(by_reason.items(), key=lambda each: -len(each[1]))
    if more := sum(len(queries) for _, queries in often[REASONS:]):
        note(f"{more:,} more queries got fewer neighbours than asked")
    for reason, queries in often[:REASONS]:
        of = f"{len(queries):,} of {len(found):,} queries" if len(found) > 1 else "the query"
        which = f" (queries {listed(queries, 5)})" if 1 < len(found) != len(queries) else ""
        note(f"{of} got fewer neighbours than asked{which}: {reason}")


def _hits(found: SearchResult | RangeResult, query_ids: Any) -> list[tuple[Any, ...]]:
    columns = found.to_columns()
    queries = columns["query"].tolist()
    names = query_ids.tolist() if hasattr(query_ids, "tolist") else query_ids
    return list(
        zip(
            queries if names is None else [names[query] for query in queries],
            columns["rank"].tolist(),
            columns["id"].tolist(),
            short_floats(columns["distance"]),
            short_floats(columns["similarity"]),
            strict=True,
        )
    )


def _as_dicts(hits: Iterable[tuple[Any, ...]], beside: Beside) -> list[dict[str, Any]]:
    headers = (*HEADERS, *beside.names)
    return [dict(zip(headers, (*hit, *more), strict=True)) for hit, more in zip(hits, beside.values, strict=True)]


def _print_csv(hits: list[tuple[Any, ...]], beside: Beside) -> None:
    rows = [(*hit, *map(_as_text, more)) for hit, more in zip(hits, beside.values, strict=True)]
    print_csv((*HEADERS, *beside.names), rows)


def _print_table(hits: list[tuple[Any, ...]], beside: Beside) -> None:
    rows = [(*map(str, hit[:3]), f"{hit[3]:.4g}", f"{hit[4]:.4g}") for hit in hits]
    taken = sum(max((len(row[at]) for row in rows), default=0) for at in range(len(HEADERS))) + 3 * len(HEADERS)
    width = max(NARROWEST, (output_width() - max(taken, 40)) // max(1, len(beside.names)) - 2)
    shown = [[shortened(" ".join(_summary(each).split()), width) for each in more] for more in beside.values]
    headers = (*HEADERS, *beside.names)
    print_table(headers, [(*row, *more) for row, more in zip(rows, shown, strict=True)], right=RIGHT)


def _as_text(value: Any) -> Any:
    """A value as a cell of csv has it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value


def _summary(value: Any) -> str:
    """A value in a few words; of a record, its values by name."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items() if each is not None)
    return "" if value is None else str(_as_text(value))


PRINTERS: dict[str, Callable[[list[tuple[Any, ...]], Beside], None]] = {
    "json": lambda hits, beside: print_json(_as_dicts(hits, beside)),
    "nl": lambda hits, beside: print_json_lines(_as_dicts(hits, beside)),
    "csv": _print_csv,
    "table": _print_table,
}
