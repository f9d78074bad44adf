"""``nearkin search``."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.filter_notes import note_missing_fields
from nearkin.cli.options import set_option, where_option
from nearkin.cli.rendering import (
    listed,
    note,
    print_csv,
    print_json,
    print_json_lines,
    print_table,
    short_floats,
    working,
)
from nearkin.cli.session import Session

if TYPE_CHECKING:
    from nearkin.results import RangeResult, SearchResult

HEADERS = ("query", "rank", "id", "distance", "similarity")


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("queries")
@click.option("-k", "k", type=int, help="Neighbours of each query.  [default: 10]")
@click.option("--max-distance", type=float, metavar="X", help="Every row within X that the plan reaches, not k.")
@where_option
@click.option("--allow-fewer", is_flag=True, help="Leave it at the neighbours that the plan reaches.")
@set_option
@click.option("--format", metavar="NAME[:OPTIONS]", help="Format of QUERIES, such as csv:id=sku.")
@click.option("--json", "style", flag_value="json", help="Print one JSON array.")
@click.option("--nl", "style", flag_value="nl", help="Print JSON, one hit a line.")
@click.option("--csv", "style", flag_value="csv", help="Print comma-separated values.")
@click.option("--table", "style", flag_value="table", help="Print a table.")
@click.pass_obj
def search(
    session: Session,
    directory: str,
    queries: str,
    k: int | None,
    max_distance: float | None,
    where: str | None,
    allow_fewer: bool,
    search: dict[str, int],
    format: str | None,
    style: str | None,
) -> None:
    """Find the nearest rows of each query.

    Reads the index DIR and QUERIES: a file of vectors, or - for standard input with an .npy file or JSON lines (arrays
    of numbers, or rows as nearkin get prints them). Prints one hit a row: query (its row number, or its id if the file
    has ids), rank from 0, id, distance (smaller is nearer) and similarity (larger is more alike). A table on a
    terminal, a JSON array anywhere else, unless an option says which.

    Every query gets k neighbours, or all that there are: where the plan reaches fewer, it is asked for more. --where
    keeps to rows whose metadata it describes: comparisons, and, or, not, in, has, between, like, is null.

    \b
    nearkin search indexes/mine queries.npy -k 10 --set nprobe=16
    nearkin get indexes/mine 42 | nearkin search indexes/mine - -k 5 --csv
    nearkin search indexes/shop queries.npy --where 'price < 50 and brand in ("acme", "zeta")'
    nearkin search indexes/mine queries.npy --max-distance 0.3 --nl
    """
    if k is not None and max_distance is not None:
        raise click.UsageError("-k and --max-distance exclude each other")
    asked = session.read(queries, format)
    with session.open(directory, readonly=True) as collection, working(f"searching {directory}"):
        found: SearchResult | RangeResult
        if max_distance is None:
            found = collection.search(
                asked.vectors, 10 if k is None else k, where=where, allow_fewer=allow_fewer, **search
            )
            _note_incomplete(found)
            if not found.counts.any():
                note_missing_fields(collection, where)
        else:
            found = collection.range_search(asked.vectors, max_distance, where=where, **search)
        hits = _hits(found, asked.ids)
    PRINTERS[style or ("table" if sys.stdout.isatty() else "json")](hits)


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


def _as_dicts(hits: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(HEADERS, hit, strict=True)) for hit in hits]


def _print_table(hits: list[tuple[Any, ...]]) -> None:
    rows = [(*hit[:3], f"{hit[3]:.4g}", f"{hit[4]:.4g}") for hit in hits]
    print_table(HEADERS, rows, right=("rank", "distance", "similarity"))


PRINTERS: dict[str, Callable[[list[tuple[Any, ...]]], None]] = {
    "json": lambda hits: print_json(_as_dicts(hits)),
    "nl": lambda hits: print_json_lines(_as_dicts(hits)),
    "csv": lambda hits: print_csv(HEADERS, hits),
    "table": _print_table,
}
