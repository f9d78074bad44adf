"""``nearkin measure``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import format_option, json_option, metric_option, set_option
from nearkin.cli.rendering import (
    parameters,
    print_facts,
    print_json,
    print_memory,
    process_memory,
    seconds,
    working,
)
from nearkin.cli.session import Session

if TYPE_CHECKING:
    from nearkin.measurement import Measurement
    from nearkin.quality import Quality


@click.command()
@click.argument("vectors")
@metric_option
@click.option("--plan", required=True, help="Plan to measure, such as ivf,pq,refine-f16.")
@click.option("--queries", metavar="FILE", help="Queries to ask; by default rows held out of VECTORS.")
@click.option(
    "--held-out", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N", help="Rows to hold out."
)
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Neighbours of each query.")
@format_option
@set_option
@json_option
@click.pass_obj
def measure(
    session: Session,
    vectors: str,
    metric: str,
    plan: str,
    queries: str | None,
    held_out: int,
    k: int,
    format: str | None,
    search: dict[str, int],
    as_json: bool,
) -> None:
    """Measure recall, speed and memory of a plan on your vectors.

    Reads VECTORS, builds the plan in memory and asks it queries that it does not contain: yours, or rows held out.
    Prints recall against exact search with its 95 % interval, that of the worst 5 % of the queries, how much farther the
    rows found are than the true ones, queries a second in batch, microseconds of one query at a time (median, 95th and
    99th percentile), seconds to build, and bytes by component, with the error of what was predicted. Nothing is saved.

    \b
    nearkin measure vectors.npy --metric cosine --plan ivf,pq,refine-f16 --set nprobe=16
    nearkin measure base.fvecs --plan hnsw32 --queries query.fvecs --json
    """
    from nearkin.measurement import measure as run

    loaded = session.read(vectors, format)
    asked = None if queries is None else session.read(queries).vectors
    with working(f"measuring {plan} on {len(loaded.vectors):,} rows"):
        found = run(
            loaded.vectors,
            metric=metric,
            plan=plan,
            queries=asked,
            k=k,
            search=search,
            queries_held_out=held_out,
            seed=session.settings.seed,
            threads=session.settings.threads,
            registry=session.registry,
        )
    print_json(found.to_dict()) if as_json else print_measurement(found)


def print_measurement(found: Measurement) -> None:
    """All of a measurement, as text."""
    print_facts(
        {
            "rows": f"{found.rows:,} x {found.dim:,}",
            "metric": found.metric,
            "plan": found.plan,
            "search": parameters(found.search),
            **quality_and_speed(found),
        }
    )
    click.echo()
    process = process_memory(found.resident_bytes, found.peak_bytes, since_start=found.peak_since_start)
    print_memory(found.predicted, found.allocated, {}, found.float32_bytes, kept=found.kept, process=process)


def quality_facts(quality: Quality, asked: str) -> dict[str, str]:
    """Recall in its several senses, distances and order, in words."""
    error, order = quality.distance_error, quality.rank_correlation
    return {
        f"recall@{quality.k}": f"{quality.recall}, {asked}",
        "with ties": f"{quality.tie_recall.mean:.3f}",
        f"1@{quality.k}": f"{quality.one_at_k}",
        "1@1": f"{quality.one_at_one}",
        "worst 5 %": f"recall {quality.worst:.3f} on average ({quality.worst_queries:,} of the queries)",
        "distances": "not known" if error is None else f"{error:.2%} farther than the true ones on average",
        "order": "not known" if order is None else f"rank correlation {order:.3f} with the true distances (Spearman)",
    }


def quality_and_speed(found: Measurement) -> dict[str, Any]:
    """Recall and speed, in words."""
    asked = "rows held out" if found.held_out else "your queries"
    speed = found.speed
    return {
        **quality_facts(found.quality, asked),
        "batch": f"{speed.batch_qps:,.0f} queries a second on {found.threads} thread{'s' if found.threads > 1 else ''}",
        "one query": f"p50 {speed.p50_us:,.0f}, p95 {speed.p95_us:,.0f}, p99 {speed.p99_us:,.0f} microseconds",
        "building": f"{seconds(found.build_seconds)} (training {seconds(found.train_seconds)})",
    }
