"""``nearkin health``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nearkin.cli.options import json_option
from nearkin.cli.rendering import note, print_facts, print_json, print_table, working
from nearkin.cli.session import Session

if TYPE_CHECKING:
    from nearkin.accuracy import Interval
    from nearkin.index_health import Health

ADVICE = {
    "optimize": "nearkin optimize {}",
    "retrain": "nearkin optimize {} --retrain",
    "rebuild": "nearkin optimize {}",
}
UNKNOWN = "-"


@click.command()
@click.argument("directory", metavar="DIR")
@click.option(
    "--rows-asked", type=click.IntRange(min=1), default=200, show_default=True, metavar="N", help="Rows that ask."
)
@json_option
@click.pass_obj
def health(session: Session, directory: str, rows_asked: int, as_json: bool) -> None:
    """Say whether an index still suits its rows, or wants training again.

    Looks at the index DIR as it is and as it was when it was trained: how rows lie in its cells and how far from them,
    recall by rows that ask for their neighbours, rows added, deleted and not covered, and rows that are equal. Rows that
    came from another distribution call for retraining before recall suffers; more rows of the same kind do not. Nothing
    is changed, and the exit code is 0 whatever the verdict: read it from --json.

    \b
    nearkin health indexes/mine
    nearkin health indexes/mine --json
    """
    from nearkin.index_health import health as examine

    with session.open(directory, readonly=True) as collection, working(f"examining {directory}"):
        found = examine(collection, rows_asked=rows_asked, seed=session.settings.seed)
    print_json(found.to_dict()) if as_json else _print_health(found, directory)


def _print_health(found: Health, directory: str) -> None:
    print_facts(
        {
            "rows": f"{found.rows:,} x {found.dim:,}",
            "metric": found.metric,
            "plan": found.plan,
            "trained on": f"{found.trained_rows:,} rows, {found.deleted:.0%} deleted since",
            "added since": f"{found.added:,} rows",
            "not covered": f"{found.uncovered:,} rows, searched one by one",
            "duplicates": UNKNOWN if found.duplicates is None else f"{found.duplicates:,} rows",
        }
    )
    click.echo()
    print_table(("", "when trained", "now"), _compared(found), right=("when trained", "now"))
    click.echo()
    click.echo(f"verdict: {found.verdict}: {found.reason}")
    if found.verdict in ADVICE:
        click.echo(f"advice: {ADVICE[found.verdict].format(directory)}")
    for each in found.notes:
        note(each)


def _compared(found: Health) -> list[list[str]]:
    cells, then, recall, far = found.cells, found.cells_then, found.recall, found.residuals

    def both(name: str, text: str, of: str) -> list[str]:
        return [name, *(UNKNOWN if each is None else format(getattr(each, of), text) for each in (then, cells))]

    parts = {} if recall is None else {"trained on": recall.trained, "added since": recall.since}
    since = UNKNOWN if far is None or far.since is None else f"{far.since:.4g}"
    return [
        both("cells", ",", "count"),
        both("empty cells", ",", "empty"),
        both("rows in the largest cell", ",", "largest"),
        both("imbalance factor (1 is even)", ".2f", "imbalance"),
        ["distance from cells, new rows", UNKNOWN if far is None else f"{far.trained:.4g}", since],
        ["spot recall@10", *map(_interval, (recall.then, recall.now) if recall is not None else (None, None))],
        *([f"  of rows {name}", "", _interval(each)] for name, each in parts.items() if each is not None),
    ]


def _interval(found: Interval | None) -> str:
    return UNKNOWN if found is None else f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"
