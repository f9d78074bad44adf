"""``nearkin analogy``."""

from __future__ import annotations

from typing import Any

import click

from nearkin.cli.options import json_option
from nearkin.cli.rendering import note, print_json, print_table, short_floats, working
from nearkin.cli.session import Session

HEADERS = ("rank", "id", "distance", "similarity")


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("a")
@click.argument("b")
@click.argument("c")
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Answers wanted.")
@click.option(
    "--method",
    type=click.Choice(["add", "multiply"]),
    default="add",
    show_default=True,
    help="Rank by the cosine to B - A + C, or by a quotient of cosines.",
)
@json_option
@click.pass_obj
def analogy(session: Session, directory: str, a: str, b: str, c: str, k: int, method: Any, as_json: bool) -> None:
    """Answer: A is to B as C is to what?

    Reads the index DIR, whose ids A, B and C are: words, mostly, as nearkin build makes them from a file of GloVe or
    word2vec. Prints the k best answers, the three left out: rank from 0, id, distance (smaller is nearer) and similarity (what the
    method ranks by). Under the metric cosine, add asks the index; otherwise every row is compared.

    \b
    nearkin analogy indexes/words man king woman
    nearkin analogy indexes/words man king woman -k 3 --method multiply --json
    nearkin get indexes/words king | nearkin search indexes/words - -k 5
    """
    from nearkin.analogies import analogy as find
    from nearkin.cli.rows import ids_from_text

    with session.open(directory, readonly=True) as collection, working(f"searching {directory}"):
        first, second, third = ids_from_text(collection, (a, b, c))
        found = find(collection, first, second, third, k, method)
    for reason in filter(None, found.reason):
        note(f"there are fewer answers than asked: {reason}")
    columns = found.to_columns()
    numbers = (short_floats(columns[name]) for name in ("distance", "similarity"))
    hits = list(zip(columns["rank"].tolist(), columns["id"].tolist(), *numbers, strict=True))
    if as_json:
        print_json([dict(zip(HEADERS, hit, strict=True)) for hit in hits])
        return
    rows = [(rank, word, f"{distance:.4g}", f"{similarity:.4g}") for rank, word, distance, similarity in hits]
    print_table(HEADERS, rows, right=("rank", "distance", "similarity"))
