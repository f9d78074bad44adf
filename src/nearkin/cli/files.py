"""``nearkin describe``, ``convert`` and ``export``: files of vectors."""

from __future__ import annotations

from typing import Any

import click

from nearkin.cli.options import format_option, json_option, where_option
from nearkin.cli.rendering import listed, note, print_facts, print_json, print_table, size, working
from nearkin.cli.session import Session


@click.command()
@click.argument("vectors")
@format_option
@click.option(
    "--metric", default="euclidean", show_default=True, metavar="NAME[:OPTIONS]", help="Metric of the distances."
)
@click.option(
    "--sample", type=int, default=10_000, show_default=True, metavar="N", help="Rows that distances are computed on."
)
@json_option
@click.pass_obj
def describe(session: Session, vectors: str, format: str | None, metric: str, sample: int, as_json: bool) -> None:
    """Describe a file of vectors before building anything from it.

    Reads VECTORS (any format; - for standard input) and prints rows, columns and type, zero, non-finite and duplicate
    rows, norms, mean, median and standard deviation, the most correlated columns, a histogram of distances, the
    intrinsic dimension, and hints.

    \b
    nearkin describe vectors.npy
    nearkin describe vectors.parquet --metric cosine --json
    """
    from nearkin.description import describe as describe_vectors

    loaded = session.read(vectors, format)
    made = session.registry.make("metric", metric)
    with working(f"describing {len(loaded.vectors):,} rows"):
        found = describe_vectors(loaded.vectors, metric=made, sample=sample, seed=session.settings.seed)
    print_json(found.to_dict()) if as_json else _print_description(found.to_dict())


@click.command()
@click.argument("source")
@click.argument("target")
@click.option(
    "--from", "--format", "source_format", metavar="NAME[:OPTIONS]", help="Format of SOURCE; by default from its name."
)
@click.option("--to", "target_format", metavar="NAME[:OPTIONS]", help="Format of TARGET; by default from its name.")
@click.pass_obj
def convert(session: Session, source: str, target: str, source_format: str | None, target_format: str | None) -> None:
    """Convert a file of vectors into another format.

    Reads SOURCE block by block and writes TARGET, which appears complete or not at all. Ids and further columns are
    kept where the format of TARGET can; what is lost is said. Prints how many rows were written.

    \b
    nearkin convert base.fvecs base.npy
    nearkin convert shop.csv shop.parquet --from csv:id=sku
    """
    from nearkin.files import convert as convert_file

    with working(f"writing {target}"):
        rows = convert_file(
            source,
            target,
            registry=session.registry,
            source_format=source_format,
            target_format=target_format,
            on_loss=lambda lost: note(f"{target} cannot keep the {' and '.join(lost)} of {source}"),
        )
    click.echo(f"wrote {rows:,} {'row' if rows == 1 else 'rows'} to {target}")


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("target")
@where_option
@click.option("--to", "target_format", metavar="NAME[:OPTIONS]", help="Format of TARGET; by default from its name.")
@click.pass_obj
def export(session: Session, directory: str, target: str, where: str | None, target_format: str | None) -> None:
    """Write the rows of an index to a file.

    Writes vectors, ids and metadata of DIR to TARGET, which appears complete or not at all; what its format cannot keep
    is said. Prints how many rows were written.

    \b
    nearkin export indexes/shop shop.parquet
    nearkin export indexes/shop cheap.jsonl --where 'price < 50'
    """
    from nearkin.exporting import export as export_rows

    with session.open(directory, readonly=True) as collection, working(f"writing {target}"):
        rows = export_rows(
            collection,
            target,
            where=where,
            format=target_format,
            on_loss=lambda lost: note(f"{target} cannot keep the {' and '.join(lost)} of {directory}"),
        )
    click.echo(f"wrote {rows:,} {'row' if rows == 1 else 'rows'} to {target}")


def _print_description(found: dict[str, Any]) -> None:
    print_facts(
        {
            "rows": f"{found['rows']:,}",
            "columns": f"{found['dim']:,}",
            "type": f"{found['dtype']}, {size(found['bytes'])}",
            "bad rows": f"{found['nonfinite_rows']:,} non-finite, {found['zero_rows']:,} zero, "
            f"{found['duplicate_rows']:,} duplicate",
            **_spread(found),
            **_columns(found["columns"]),
            **_dimension(found["intrinsic_dimension"]),
        }
    )
    if found["distances"]:
        click.echo()
        _print_distances(found["distances"])
    for hint in found["hints"]:
        note(hint)


def _spread(found: dict[str, Any]) -> dict[str, str]:
    facts = {}
    for name in ("norms", "values"):
        if found[name]:
            facts[name] = ", ".join(f"{key} {value:.4g}" for key, value in found[name].items())
    return facts


def _columns(columns: dict[str, Any]) -> dict[str, str]:
    pairs = [f"{each['left']} and {each['right']} (r {each['r']:.2f})" for each in columns["correlated"]]
    facts = {"correlated": ", ".join(pairs)} if pairs else {}
    if columns["constant"]:
        facts["constant"] = f"columns {listed(columns['constant'])}"
    return facts


def _dimension(estimate: dict[str, float] | None) -> dict[str, str]:
    if not estimate:
        return {}
    return {
        "dimension": f"intrinsic, {estimate['two_nn']:.1f} (TwoNN) or {estimate['levina_bickel']:.1f} (Levina-Bickel)"
    }


def _print_distances(distances: dict[str, Any]) -> None:
    """The histogram of distances of random pairs, and how far the nearest neighbours are."""
    most = max(distances["counts"])
    bins = zip(distances["edges"], distances["edges"][1:], distances["counts"], strict=False)
    rows = [(f"{low:.4g}", f"{high:.4g}", f"{count:,}", "#" * round(40 * count / most)) for low, high, count in bins]
    print_table(("from", "to", "pairs", f"{distances['metric']} distance"), rows, right=("from", "to", "pairs"))
    nearest = ", ".join(f"{float(share):.0%} {value:.4g}" for share, value in distances["nearest"].items())
    click.echo(f"\nnearest neighbour in the sample, quantiles: {nearest}")
    if distances["contrast"] is not None:
        click.echo(f"a random row is {distances['contrast']:.3g} times as far as the nearest")
