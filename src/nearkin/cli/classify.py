"""``nearkin classify``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import json_option, same_embedder_option, where_option
from nearkin.cli.rendering import (
    note,
    output_width,
    print_csv,
    print_facts,
    print_json,
    print_table,
    shortened,
    working,
)
from nearkin.cli.session import Session
from nearkin.errors import UnknownIdError

if TYPE_CHECKING:
    from nearkin.accuracy import Interval
    from nearkin.collection import Collection
    from nearkin.labelling import CollectionClassifier
    from nearkin.learners import Reason
    from nearkin.learning.decisions import Decision, Decisions

IN_FULL = 10
"""Queries up to which each is printed with what decided; more are one line each."""

NARROWEST = 20
"""Characters of a text that a table shows at least."""

CSV_HEADERS = ("query", "label", "probability", "known", "likeliest", "why")


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("query", required=False)
@click.option("--label", required=True, metavar="FIELD", help="Field of the metadata with the labels.")
@click.option(
    "--method",
    default="knn",
    show_default=True,
    metavar="NAME[:OPTIONS]",
    help="What decides; see components learners.",
)
@click.option("-k", "k", type=click.IntRange(min=1), help="Neighbours that vote, with knn.  [default: 5]")
@click.option(
    "--error-rate", type=float, metavar="SHARE", help="Wrong answers, at most, such as 0.05.  [answer always]"
)
@click.option(
    "--scope",
    type=float,
    default=0.99,
    show_default=True,
    metavar="SHARE",
    help="Rows like the known ones in scope; 0: all.",
)
@click.option("--query-file", metavar="FILE", help="Label what is in a file, instead of QUERY.")
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="Label a text, instead of QUERY; repeatable.")
@click.option(
    "--query-column", metavar="COLUMN", help="Column of a file that holds the texts; by default text, or the only one."
)
@where_option
@click.option("--show", multiple=True, metavar="FIELD", help="Print a field of the neighbours' metadata; repeatable.")
@click.option(
    "--most", type=click.IntRange(min=0), default=5, show_default=True, help="Reasons of each query, at most."
)
@same_embedder_option
@click.option("--format", metavar="NAME[:OPTIONS]", help="Format of the file of queries, such as csv:id=sku.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, one query a line.")
@click.pass_obj
def classify(
    session: Session,
    /,
    directory: str,
    query: str | None,
    query_file: str | None,
    texts: tuple[str, ...],
    query_column: str | None,
    embedder: str | None,
    format: str | None,
    show: tuple[str, ...],
    most: int,
    as_json: bool,
    as_csv: bool,
    **given: Any,
) -> None:
    """Label queries by the rows of an index, say how sure that is, and show what decided.

    Reads the index DIR, whose rows have labels in a FIELD of their metadata (those without are left out), and QUERY: a file
    of vectors, - for standard input, or for an index with an embedder a text, a file of texts or a table, as nearkin
    search does.

    Every row is labelled by the others first, which tells what probabilities are worth: those that are printed are
    calibrated. With --error-rate, "I don't know" is the answer where the probability is too small to keep it. Queries
    farther from every row than rows are from each other are out of scope.

    Prints the label, its probability and whether it is sure, and below the neighbours that voted with their share, or the
    columns that decided; more than ten queries are printed in a line each.

    \b
    nearkin classify indexes/faq --label category "my card has not arrived"
    nearkin classify indexes/faq --label category --error-rate 0.05 --query-file new.txt --csv
    nearkin classify indexes/faq --label category --method logistic "my card has not arrived" --json
    """
    if (query is not None) + (query_file is not None) + bool(texts) != 1:
        raise click.UsageError("classify takes QUERY, --query-file or --text, exactly one of them")
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    from nearkin.cli.queries import Asked

    asked = Asked(query, query_file, texts, query_column, format)
    given["scope"] = given["scope"] or None
    with (
        session.open(directory, readonly=True, embedder=embedder) as collection,
        working(f"classifying by {directory}"),
    ):
        questions = asked.read(session, collection, directory)
        model = collection.classifier(given.pop("label"), **given)
        found = model.decide(questions.queries, most)
        names = _names(questions.queries, questions.ids, len(found))
        for sentence in found.notes:
            note(sentence)
        if as_json:
            print_json({**_facts(model), "decisions": _as_dicts(found, names)})
        elif as_csv:
            print_csv(CSV_HEADERS, _csv_rows(found, names))
        else:
            _print(found, names, model, collection, show)


def _names(queries: Any, ids: Any, count: int) -> list[Any]:
    """What each query is called: its id, its text, or its number."""
    if ids is not None:
        return list(ids.tolist() if hasattr(ids, "tolist") else ids)
    if isinstance(queries, list) and all(isinstance(each, str) for each in queries):
        return list(queries)
    return list(range(count))


def _as_dicts(found: Decisions, names: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"query": name, **each.to_dict()} for name, each in zip(names, found, strict=True)]


def _csv_rows(found: Decisions, names: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [
        (name, _words(each.label), f"{each.probability:.6g}", _words(each.known), _words(each.likeliest), each.why)
        for name, each in zip(names, found, strict=True)
    ]


def _facts(model: CollectionClassifier) -> dict[str, Any]:
    """What held-out rows say of the classifier, JSON-able."""
    sure = model.sureness
    finite = {"threshold": sure.answer.threshold, "distance_limit": sure.limit}
    intervals = {"expected_error": sure.answer.error, "expected_coverage": sure.answer.coverage}
    return {
        "label": model.label,
        "method": model.method,
        "labels": len(model.classes),
        "rows": model.rows,
        "left_out": model.left_out,
        "error_rate": sure.answer.error_rate,
        "temperature": sure.scaling.temperature,
        "smoothing": sure.scaling.smoothing,
        **{name: value if value < float("inf") else None for name, value in finite.items()},
        **{name: None if each is None else vars(each) for name, each in intervals.items()},
        "calibration_error": {"before": sure.ece_before, "after": sure.ece_after},
    }


# ---- for people ------------------------------------------------------------------------------------------------------


def _print(
    found: Decisions, names: Sequence[Any], model: CollectionClassifier, collection: Collection, show: tuple[str, ...]
) -> None:
    if len(found) > IN_FULL:
        _print_lines(found, names)
    else:
        for number, (name, each) in enumerate(zip(names, found, strict=True)):
            if number:
                click.echo()
            if len(found) > 1:
                click.echo(f"{name if isinstance(name, str) else f'query {name}'}")
            click.echo(_answer(each))
            _print_reasons(each.reasons, collection, model.label, show)
    click.echo()
    print_facts(_summary(found, model))


def _answer(each: Decision) -> str:
    label = click.style(_words(each.likeliest), bold=True)
    if each.known:
        why = "" if each.why == "likeliest" else f", {each.why}"
        return f"{label}   probability {each.probability:.2f}{why}"
    likeliest = "" if each.likeliest is None else f" (likeliest is {_words(each.likeliest)})"
    return f"{click.style('I do not know', bold=True)}   {each.why}{likeliest}"


def _print_lines(found: Decisions, names: Sequence[Any]) -> None:
    labels = [_words(each.label) if each.known else "I do not know" for each in found]
    width = max(NARROWEST, (output_width() - max(map(len, labels), default=0)) // 2 - 12)
    rows = [
        (shortened(" ".join(str(name).split()), width), label, f"{each.probability:.2f}", shortened(each.why, width))
        for name, label, each in zip(names, labels, found, strict=True)
    ]
    print_table(("query", "label", "probability", "why"), rows, right=("probability",))


def _print_reasons(reasons: Sequence[Reason], collection: Collection, label: str, show: tuple[str, ...]) -> None:
    if not reasons:
        return
    columns = [each for each in reasons if each.label is None]
    if columns:
        shares = [(_words(each.what), f"{each.weight:+.3f}") for each in columns]
        print_table(("column", "share"), shares, right=("share",))
        return
    names, beside = _beside(reasons, collection, show)
    voted = any(each.weight for each in reasons)
    if not voted:
        click.echo("the nearest rows, which did not decide:")
    rows = [
        (
            f"{each.weight:.0%}" if voted else "-",
            "-" if each.distance is None else f"{each.distance:.4g}",
            _words(each.label),
            _words(each.what),
        )
        for each in reasons
    ]
    heads = ("share", "distance", label, "id")
    taken = sum(max(map(len, cells)) + 2 for cells in zip(heads, *rows, strict=True))
    width = max(NARROWEST, (output_width() - taken) // max(1, len(names)) - 2)
    texts = [[shortened(" ".join(each.split()), width) for each in more] for more in beside]
    print_table((*heads, *names), [(*row, *more) for row, more in zip(rows, texts, strict=True)], right=heads[:2])


def _beside(
    reasons: Sequence[Reason], collection: Collection, show: tuple[str, ...]
) -> tuple[list[str], list[list[str]]]:
    """Names and texts of what is shown of the neighbours: fields asked for, else their text or record."""
    record = collection.embedder_record
    if record is None and not show:
        return [], [[] for _ in reasons]
    rows = [_metadata(collection, each.what) for each in reasons]
    if not any(rows) and not show:  # centroids
        return [], [[] for _ in reasons]
    if record is not None and not show and record.takes == "record":
        return ["metadata"], [[_words(each)] for each in rows]
    names = list(show or (record.field if record is not None else "",))
    for name in names:
        if not any(name in each for each in rows):
            note(f"none of the rows that decided has the field {name}")
    return names, [[_words(each.get(name)) for name in names] for each in rows]


def _metadata(collection: Collection, key: Any) -> dict[str, Any]:
    """Of a row; nothing of a centroid, which is none."""
    try:
        return collection.get([key])[0].metadata
    except (UnknownIdError, ValueError):
        return {}


def _summary(found: Decisions, model: CollectionClassifier) -> dict[str, str]:
    """What the answers are worth, in words."""
    sure = model.sureness
    facts = {"learned from": f"{model.rows:,} rows with {len(model.classes):,} labels, by {model.method}"}
    if len(found) > 1:
        facts["answered"] = f"{int(found.known.sum()):,} of {len(found):,} queries"
    if sure.answer.coverage is not None:
        facts["share answered"] = f"{_share(sure.answer.coverage)} held-out rows"
    if sure.answer.error is not None:
        asked = "" if sure.answer.error_rate is None else f", {sure.answer.error_rate:.4g} allowed"
        facts["share wrong"] = f"{_share(sure.answer.error)} answers{asked}"
    if sure.ece_after is not None:
        facts["calibration error"] = f"{sure.ece_after:.3f}, {sure.ece_before:.3f} before"
    return facts


def _share(found: Interval) -> str:
    return f"{found.mean:.3f} (95 % interval {found.low:.3f} to {found.high:.3f}) of {found.queries:,}"


def _words(value: Any) -> str:
    """A value in a few words; of a record, its values by name."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items() if each is not None)
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | bool) else str(value)
