"""``nearkin cluster``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import format_option, json_option
from nearkin.cli.rendering import note, print_facts, print_json, print_table, seconds, size, working
from nearkin.cli.session import Session
from nearkin.errors import ParameterError

if TYPE_CHECKING:
    from nearkin.clustering.comparison import MethodRow
    from nearkin.clustering.number_of_clusters import KChoice
    from nearkin.clustering.result import Clustering
    from nearkin.clustering.tables import TableRows
    from nearkin.reporting.cluster_tables import ClusterReport

SHOWN = 30
"""Clusters that are printed; all are in the folder."""

OWN_SPREAD = "standardized-euclidean"
"""Columns of a table are in units of their own, and a metric that adds them up as they are follows the largest numbers."""


def read_k(ctx: click.Context, param: click.Parameter, given: str) -> int | str:
    """A whole number of at least 1, or ``auto``."""
    if given == "auto":
        return given
    if not given.isdecimal() or int(given) < 1:
        raise click.BadParameter(f"'{given}' is neither 'auto' nor a whole number of at least 1", ctx, param)
    return int(given)


@dataclass(frozen=True)
class Source:
    """Which rows of which file are meant.

    Attributes
    ----------
    numeric
        Columns of a table, separated by commas.
    weights, id
        Columns of the weights and of the ids.
    """

    vectors: str
    format: str | None
    numeric: str | None
    weights: str | None
    id: str | None
    drop_missing: bool


@click.command()
@click.argument("vectors")
@click.option(
    "-k",
    "k",
    default="auto",
    show_default=True,
    metavar="N|auto",
    callback=read_k,
    help="Clusters; auto tries several.",
)
@click.option("--numeric", metavar="COLUMNS", help="Columns of a table to cluster by, such as age,income,score.")
@click.option("--method", default="lloyd", show_default=True, metavar="NAME[:OPTIONS]", help="What finds the clusters.")
@click.option("--init", metavar="NAME|FILE", help="Where to start: k-means++, random, partition, box, or centroids.")
@click.option("--metric", metavar="NAME[:OPTIONS]", help="What similar means; by default what suits method and table.")
@click.option("--weights", metavar="COLUMN", help="Column that says how much each row counts.")
@click.option("--id", "id", metavar="COLUMN", help="Column of the ids; by default one called id, or numbers of rows.")
@click.option("--drop-missing", is_flag=True, help="Leave rows out that lack a number.")
@click.option("--n-init", type=click.IntRange(min=1), metavar="N", help="Starts, of which the best is kept.")
@click.option("--max-iter", type=click.IntRange(min=1), metavar="N", help="Iterations at most.")
@click.option("--memory", metavar="SIZE", help="Read the file block by block, and grow by no more, such as 200MB.")
@click.option("--compare", is_flag=True, help="Print every method side by side instead of one clustering.")
@click.option(
    "--nprobe",
    type=click.IntRange(min=1),
    metavar="N",
    help="Print the recall that an IVF index of N cells looked into loses.",
)
@click.option("--assign", metavar="FILE", help="Label the rows of another file by these clusters.")
@click.option("--labels", metavar="FILE", help="Write the labels as CSV; - prints them alone.")
@click.option("-o", "--output", metavar="DIR", help="Folder to write: a page, pictures, labels, centroids, JSON.")
@click.option("--overwrite", is_flag=True, help="Replace the clustering at DIR.")
@format_option
@json_option
@click.pass_obj
def cluster(
    session: Session,
    /,
    k: int | str,
    compare: bool,
    nprobe: int | None,
    assign: str | None,
    labels: str | None,
    output: str | None,
    overwrite: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Divide rows into clusters, and say how good they are.

    Reads VECTORS (npy, csv, parquet, ...; - for standard input). --numeric picks columns of a table, by name or by a part of it,
    and compares each in units of its own spread unless --metric says otherwise. Prints sizes, centroids in the units of the
    columns with the row that stands for each cluster, quality, what may be wrong, and how many rows are far from every centroid.
    -k auto prints what it was chosen by; --compare prints every method. -o writes a folder with clusters.html (one file, no
    network needed), clusters.png, labels.csv, centroids.csv and clusters.json.

    \b
    nearkin cluster customers.csv --numeric age,income,score -k 5 -o segments
    nearkin cluster vectors.npy -k auto --metric cosine
    nearkin cluster vectors.npy -k 100 --compare
    nearkin cluster huge.npy -k 1000 --method minibatch --memory 200MB
    nearkin cluster customers.csv --numeric age,income -k 5 --assign new.csv --labels new-labels.csv
    """
    asked = Source(**{each.name: given.pop(each.name) for each in fields(Source)})
    _check_output(output, overwrite=overwrite)
    rows = _read(session, asked) if given["memory"] is None else _unread(asked, compare=compare)
    unsaid, metric = given["metric"] is None, _usual_metric(session, given["method"], given["metric"], asked)
    remarks = _remarks(rows, unsaid and metric == OWN_SPREAD)
    for remark in remarks:
        note(remark)
    given["metric"] = metric
    if compare:
        _need_alone({"-o": output, "--labels": labels, "--assign": assign, "--nprobe": nprobe, **_of_one_method(given)})
        _compare(session, rows, k, given, as_json=as_json)
        return
    with working(f"clustering {_named(rows)}"):
        report = _report(_clustered(session, rows, k, asked, given), rows, asked, remarks)
        if output is not None:
            _save(report, output, overwrite=overwrite)
    table = _labels(session, report, asked, assign) if labels or assign else ""
    if labels == "-" or (assign and not labels):
        click.echo(table, nl=False)
        return
    if labels:
        _write_text(labels, table)
    _print(
        report, nprobe, {"labels": labels, "written": f"{output}/clusters.html" if output else None}, as_json=as_json
    )


# ---- reading ---------------------------------------------------------------------------------------------------------


def _read(session: Session, asked: Source) -> TableRows:
    from nearkin.clustering.tables import read_table, without_missing

    if asked.vectors == "-" and asked.format is None:
        if asked.numeric or asked.id or asked.weights:
            raise ParameterError("columns of standard input need its format", hint="for example --format csv")
        return without_missing(session.read("-"), (), "standard input", asked.drop_missing)
    with _place(session, asked) as place:
        return read_table(
            place,
            numeric=None if asked.numeric is None else asked.numeric.split(","),
            weights=asked.weights,
            id=asked.id,
            format=asked.format,
            drop_missing=asked.drop_missing,
            registry=session.registry,
        )


def _unread(asked: Source, *, compare: bool) -> TableRows:
    """A file that is to be read block by block, all of its columns."""
    from nearkin.clustering.tables import TableRows

    taken: dict[str, Any] = {
        "--numeric": asked.numeric,
        "--weights": asked.weights,
        "--id": asked.id,
        "--format": asked.format,
    }
    taken |= {"--drop-missing": asked.drop_missing, "--compare": compare, "VECTORS -": asked.vectors == "-"}
    for name, value in taken.items():
        if value:
            raise ParameterError(
                f"--memory reads all columns of a file block by block, and {name} needs its rows in memory",
                hint="leave one of the two out, or write a file of vectors with nearkin convert",
            )
    return TableRows(asked.vectors, None, True, (), 0)


def _named(rows: TableRows) -> str:
    return rows.vectors if isinstance(rows.vectors, str) else f"{len(rows.vectors):,} rows"


@contextmanager
def _place(session: Session, asked: Source) -> Iterator[str]:
    """The path of the file, for as long as it is there."""
    from nearkin.cli.standard_input import stdin_in_a_file

    if asked.vectors != "-":
        yield asked.vectors
        return
    with stdin_in_a_file() as place:
        yield str(place)


def _usual_metric(session: Session, method: str, metric: str | None, asked: Source) -> str | None:
    """Columns that are named are compared by their spread, where the method would else add them up as they are."""
    if metric is not None or asked.numeric is None:
        return metric
    spec = session.registry.resolve("clusterer", session.registry.parse("clusterer", method).name)
    rule = getattr(spec, "rules", ("mean",))[0]
    return OWN_SPREAD if rule in ("mean", "medoid") else None


def _remarks(rows: TableRows, spread: bool) -> tuple[str, ...]:
    said = []
    if rows.dropped:
        of = rows.dropped + len(rows.vectors)
        said.append(f"{rows.dropped:,} of {of:,} rows were left out, which lack a number")
    if spread:
        said.append(
            f"columns are compared in units of their own spread ({OWN_SPREAD}); --metric euclidean takes them as they are"
        )
    return tuple(said)


# ---- working ---------------------------------------------------------------------------------------------------------


def _clustered(session: Session, rows: TableRows, k: int | str, asked: Source, given: Mapping[str, Any]) -> Clustering:
    from nearkin.clustering.running import cluster as run

    start = given["init"]
    if start is not None and Path(start).is_file():
        columns = ",".join(rows.columns) if asked.numeric is not None else None
        start = _read(session, replace(asked, vectors=start, numeric=columns, weights=None, id=None)).vectors
    return run(rows.vectors, k, **{**given, "init": start}, **_common(session, rows))  # type: ignore[arg-type]


def _common(session: Session, rows: TableRows) -> dict[str, Any]:
    """What every clustering is called with."""
    settings = session.settings
    return {
        "weights": rows.weights,
        "seed": settings.seed,
        "threads": settings.threads,
        "registry": session.registry,
    }


def _report(found: Clustering, rows: TableRows, asked: Source, remarks: tuple[str, ...]) -> ClusterReport:
    from nearkin.reporting.cluster_tables import ClusterReport

    title = "standard input" if asked.vectors == "-" else PurePath(asked.vectors).name
    return ClusterReport(found, rows.ids, rows.columns, title, remarks, rows.numbered)


def _check_output(output: str | None, *, overwrite: bool) -> None:
    """Refuse a wrong place, and a machine without matplotlib, before anything is read."""
    if output is None:
        return
    from nearkin.reporting.cluster_files import check_folder

    if not output:
        raise ParameterError("the name of the folder to write is empty", hint="for example -o clusters")
    check_folder(output, overwrite=overwrite)


def _save(report: ClusterReport, output: str, *, overwrite: bool) -> None:
    from nearkin.reporting.cluster_files import write_report

    write_report(report, output, overwrite=overwrite)


def _labels(session: Session, report: ClusterReport, asked: Source, assign: str | None) -> str:
    """CSV of the rows that were clustered, or of those of another file, read in the same way."""
    from nearkin.reporting.cluster_tables import labels_csv

    if assign is None:
        return labels_csv(report)
    columns = ",".join(report.columns) if asked.numeric is not None else None
    fresh = _read(session, replace(asked, vectors=assign, format=asked.format, numeric=columns, weights=None))
    if fresh.dropped:
        note(f"{fresh.dropped:,} rows of {assign} were left out, which lack a number")
    return labels_csv(replace(report, ids=fresh.ids), report.found.outliers(fresh.vectors))


def _write_text(path: str, text: str) -> None:
    from nearkin.store.durability import storage_errors

    with storage_errors(Path(path), "written"):
        Path(path).write_text(text, encoding="utf-8", newline="")


# ---- printing --------------------------------------------------------------------------------------------------------


def _print(report: ClusterReport, nprobe: int | None, files: Mapping[str, str | None], *, as_json: bool) -> None:
    from nearkin.reporting.cluster_tables import as_dict, band_facts, quality_facts, run_facts

    cost = None if nprobe is None else report.found.search_cost(nprobe)
    if as_json:
        print_json({**as_dict(report), "search_cost": None if cost is None else cost.to_dict()})
        return
    if report.found.choice is not None:
        print_curve(report.found.choice)
    print_facts(run_facts(report))
    click.echo()
    _print_clusters(report)
    click.echo()
    print_facts(quality_facts(report))
    click.echo("\nrows by their distance from the nearest centroid")
    print_facts(band_facts(report))
    if any(files.values()):
        click.echo()
        print_facts({name: path for name, path in files.items() if path})
    if cost is not None:
        click.echo(f"\n{cost.sentence}")
    for trouble in report.troubles:
        click.echo(f"\ntrouble: {trouble.sentence}\n    try: {trouble.advice}")
    for sentence in (*report.found.partition.notes, *report.quality.notes):
        note(sentence)


def _print_clusters(report: ClusterReport) -> None:
    from nearkin.reporting.cluster_tables import cluster_cells, cluster_headers

    headers, cells = cluster_headers(report), cluster_cells(report)
    largest = sorted(cells, key=lambda row: -int(row[1].replace(",", "")))[:SHOWN]
    shown = [row for row in cells if row in largest] if len(cells) > SHOWN else cells
    print_table(headers, shown, right=headers)
    if len(shown) < len(cells):
        click.echo(f"the {SHOWN} largest of {len(cells):,} clusters; -o DIR writes all")


def print_curve(choice: KChoice) -> None:
    """What each number of clusters gave, and why one was taken."""
    from nearkin.reporting.cluster_tables import number

    rows = [
        (
            f"{point.k:,}",
            number(point.inertia),
            "-" if point.silhouette is None else f"{point.silhouette.mean:.3f}",
            seconds(point.seconds),
            "taken" if point.k == choice.k else "",
        )
        for point in choice.curve
    ]
    print_table(("k", "inertia", "silhouette", "time", ""), rows, right=("k", "inertia", "silhouette", "time"))
    click.echo(f"\n{choice.why}\n")


def _of_one_method(given: Mapping[str, Any]) -> dict[str, Any]:
    return {f"--{name.replace('_', '-')}": given[name] for name in ("init", "max_iter")}


def _need_alone(given: Mapping[str, Any]) -> None:
    """Refuse what --compare would not heed."""
    for name, value in given.items():
        if value is not None:
            raise ParameterError(
                f"--compare runs every method as it is and prints a table, and {name} is for one clustering",
                hint="leave one of the two out",
            )


def _compare(session: Session, rows: TableRows, k: int | str, given: Mapping[str, Any], *, as_json: bool) -> None:
    from nearkin.clustering.comparison import compare_methods

    if not isinstance(k, int):
        raise ParameterError("--compare needs a number of clusters, and -k is auto", hint="for example -k 10")
    with working(f"clustering {_named(rows)} by every method"):
        chosen = {name: given[name] for name in ("metric", "n_init")}
        found = compare_methods(rows.vectors, k, **chosen, **_common(session, rows))
    if as_json:
        from nearkin.reporting.cluster_tables import plain

        methods = plain([row.to_dict() for row in found])
        print_json({"k": k, "metric": given["metric"] or "euclidean", "methods": methods})
        return
    _print_methods(found)


def _print_methods(found: tuple[MethodRow, ...]) -> None:
    from nearkin.clustering.problem import ITERATIONS
    from nearkin.reporting.cluster_tables import number

    headers = ("method", "objective", "silhouette", "iterations", "time", "memory")
    best = [row for row in found if row.objective is not None]
    cells = [
        (
            row.method.replace(f":max_iter={ITERATIONS}", ""),
            number(row.objective or 0.0),
            "-" if row.silhouette is None else f"{row.silhouette.mean:.3f}",
            "-" if row.iterations is None else f"{row.iterations:,}",
            "-" if row.seconds is None else seconds(row.seconds),
            "-" if row.peak_bytes is None else size(row.peak_bytes),
        )
        for row in best
    ]
    print_table(headers, cells, right=headers[1:])
    if len(best) < len(found):
        click.echo()
    for row in found:
        if row.refused or row.error:
            click.echo(f"{row.method} {'is refused' if row.refused else 'failed'}: {row.refused or row.error}")
