"""``nearkin plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import budget_options, format_option, json_option, metric_option, on_bad_option
from nearkin.cli.rendering import note, parameters, print_facts, print_json, print_table, seconds, size, working
from nearkin.cli.session import Session
from nearkin.errors import ParameterError

if TYPE_CHECKING:
    from nearkin.affording import PredictedPlan
    from nearkin.planning import Choice
    from nearkin.trials import Trial

SHOWN = 12
"""Plans that the table has; --json has all."""


def _whole(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A whole number that may be written as 1e7."""
    if value is None:
        return None
    try:
        number = float(value.replace("_", "").replace(",", ""))
        if number == int(number) and number > 0:
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise click.BadParameter(f"'{value}' is not a whole number above 0, such as 1e7", ctx, param)


@click.command()
@click.argument("vectors", required=False)
@metric_option
@click.option("--plan", help="Find search parameters for this plan only.")
@budget_options
@click.option("--rows", callback=_whole, metavar="N", help="Without VECTORS: rows to come, such as 1e7.")
@click.option("--dim", callback=_whole, metavar="N", help="Without VECTORS: their columns.")
@format_option
@on_bad_option
@json_option
@click.pass_obj
def plan(session: Session, /, vectors: str | None, as_json: bool, **given: Any) -> None:
    """Find the plan for a budget and explain it, without building it.

    Tries plans on samples of VECTORS and prints what was tried, which plan is expected to meet the budget, what it
    costs, and how sure that is. nearkin build with the same options builds it and shows the recall. Without VECTORS, with
    --rows and --dim, prints the bytes of every plan; their recall is known only once there are vectors.

    \b
    nearkin plan vectors.npy --metric cosine --recall 0.95
    nearkin plan vectors.npy --recall 0.9 --memory 50MB --latency 2ms --queries asked.npy
    nearkin plan --rows 1e7 --dim 768 --memory 8GB
    """
    rows, dim = given.pop("rows"), given.pop("dim")
    if vectors is None:
        if rows is None or dim is None:
            raise ParameterError("there are no vectors to plan for", hint="name a file, or pass --rows and --dim")
        _print_predicted(session, rows, dim, given, as_json=as_json)
        return
    if rows is not None or dim is not None:
        raise ParameterError(
            f"--rows and --dim are for vectors to come, and {vectors} was given", hint="leave them out"
        )
    found = _choose(session, vectors, given)
    print_json(found.to_dict()) if as_json else print_choice(found)


def _choose(session: Session, vectors: str, given: dict[str, Any]) -> Choice:
    from nearkin.affording import plan as choose

    loaded = session.read(vectors, given.pop("format"))
    queries = given.pop("queries")
    with working(f"looking for a plan for {len(loaded.vectors):,} rows") as progress:
        return choose(
            loaded.vectors,
            queries=None if queries is None else session.read(queries).vectors,
            seed=session.settings.seed,
            threads=session.settings.threads,
            registry=session.registry,
            progress=progress,
            **given,
        )


def print_choice(found: Choice) -> None:
    """What was tried, the plan that was chosen, what it costs, and how sure that is."""
    if found.trials:
        headers = ("plan", f"recall@{found.k}", "a query", "bytes", "build", "at")
        rows = [_row(each, found) for each in found.trials[:SHOWN]]
        print_table(headers, rows, right=headers[1:5])
        click.echo()
    print_facts(choice_facts(found))
    more = len(found.trials) - SHOWN
    if more > 0:
        note(f"{more} more plans were tried (--json lists all)")
    if found.left_out:
        note(f"{found.left_out} plans that fit were not tried for lack of time: --seconds gives more")
    for each in found.notes:
        note(each)


def choice_facts(found: Choice) -> dict[str, Any]:
    """A choice in words, by what it is about."""
    recall, certified = found.recall, found.certified
    asked = "rows held out" if found.held_out else "of your queries"
    where = "all rows, half of them without a say" if certified else f"a sample of {found.measured_rows:,} rows"
    expected = "" if certified else " expected"
    how = "in batches" if found.budget.optimize == "batch" else "alone"
    facts = {
        "budget": str(found.budget),
        "plan": found.plan,
        "search": parameters(found.search),
        f"recall@{found.k}": f"{recall.mean:.3f} ({recall.low:.3f} to {recall.high:.3f}), {found.wanted:g} wanted",
        "measured": f"with {found.queries:,} {asked} on {where}",
        "a query": f"{duration(found.seconds_a_query)}{expected}, asked {how}",
        "bytes": f"{size(sum(found.predicted.values()))} predicted",
        "building": f"{seconds(found.build_seconds)}{expected}, and {seconds(found.planning_seconds)} to find it",
    }
    if found.latency:
        facts["one query"] = f"{duration(found.latency)}{expected} at most, 95 times in 100"
    return facts


def _row(trial: Trial, found: Choice) -> list[str]:
    recall = "" if trial.recall is None else f"{trial.recall.mean:.3f}"
    took = trial.timing.of(found.budget) if trial.timing else 0.0
    told = f"{trial.rows:,} rows" + (f", {parameters(trial.search)}" if trial.search else "")
    told += f": {trial.failure}" if trial.failure else ""
    return [trial.plan, recall, duration(took) if took else "", size(trial.bytes), seconds(trial.build_seconds), told]


def duration(value: float) -> str:
    """A short time in words.

    >>> duration(0.0000412), duration(0.0123)
    ('41.2 us', '12 ms')
    """
    return f"{value * 1e6:.3g} us" if value < 1e-3 else seconds(value)


def _print_predicted(session: Session, rows: int, dim: int, given: dict[str, Any], *, as_json: bool) -> None:
    from nearkin.affording import predicted_plans

    found = predicted_plans(rows, dim, metric=given["metric"], memory=given["memory"], registry=session.registry)
    if as_json:
        print_json([{"plan": each.plan, "exact": each.exact, "bytes": dict(each.predicted)} for each in found])
        return
    headers = ("plan", "bytes", "a row", "components", "recall")
    print_table(headers, [_predicted_row(each, rows) for each in found[:SHOWN]], right=headers[1:3])
    if len(found) > SHOWN:
        note(f"{len(found) - SHOWN} more plans are possible (--json lists all)")
    note("recall is measured, not predicted: run nearkin plan with a sample of the vectors")


def _predicted_row(each: PredictedPlan, rows: int) -> list[str]:
    components = ", ".join(f"{name} {size(count)}" for name, count in each.predicted.items())
    return [
        each.plan,
        size(each.bytes),
        f"{each.bytes / rows:.1f} B",
        components,
        "1" if each.exact else "to be measured",
    ]
