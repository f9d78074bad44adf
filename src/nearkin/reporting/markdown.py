"""The report as Markdown, with its pictures as PNG files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from nearkin.claims import judge_claims
from nearkin.recommendation import recommend
from nearkin.reporting.drawing import Picture
from nearkin.reporting.tables import CLAIM_HEADERS, claim_cells, facts, headers, lines, memory_lines, unsteady
from nearkin.tradeoffs import TradeOffs


def as_markdown(found: TradeOffs, title: str, drawn: Sequence[Picture]) -> str:
    """The same as the page; what comes from outside is text, never markup."""
    best = recommend(found)
    parts = [
        f"# Trade-offs of {plain(title)}",
        f"{found.count:,} vectors of {found.dim:,} columns under {plain(found.metric)}; {len(found.measured)} plans measured with "
        f"{found.queries:,} queries.",
        f"**{plain(best.sentence)}**",
        *([plain(unsteady(found))] if unsteady(found) else []),
        *map(_picture, drawn[:2]),
        "## All plans",
        f"Plans whose recall is surely at least {found.wanted:g} come first, the fastest on top. The first column marks the plans "
        "that no other one beats in recall and speed, or in recall and memory, at once.",
        _table(
            ("best for", *headers(found)), [(", ".join(each.best_for), *each.cells) for each in lines(found)], text=3
        ),
        *_failures(found),
        "## Memory and distances",
        *map(_picture, drawn[2:]),
        f"Bytes of {plain(best.row.plan)}, predicted before building and allocated after.",
        _table(
            ("component", "predicted", "allocated"), [(n, f"{p:,}", f"{a:,}") for n, p, a in memory_lines(best.row)]
        ),
        "## Do the textbook claims hold here?",
        _table(CLAIM_HEADERS, [claim_cells(each) for each in judge_claims(found)], text=3),
        "## How it was measured",
        "\n".join(f"- {plain(name)}: {plain(text)}" for name, text in facts(found).items()),
    ]
    if found.left_out:
        parts.append("## Left out")
        parts.append("\n".join(f"- {plain(each.plan)}: {plain(each.reason)}" for each in found.left_out))
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line.

    >>> plain("a|b <b> *c*")
    'a\\\\|b &lt;b&gt; \\\\*c\\\\*'
    """
    return re.sub(r"([\\`*_\[\]|#~!$])", r"\\\1", escape(" ".join(text.split()), quote=False))


def _picture(drawn: Picture) -> str:
    key = "; ".join(f"{number} {plain(plan)}" for number, plan in enumerate(drawn.key, 1))
    text = f"![{plain(drawn.title)}]({drawn.name}.png)\n\n{plain(drawn.caption)}"
    return text + (f"\n\n{key}" if key else "")


def _failures(found: TradeOffs) -> list[str]:
    if not found.failed:
        return []
    rows = [(row.asked, row.plugin, row.error) for row in found.failed]
    return ["## Plans that failed", _table(("plan", "plugin", "error"), rows, text=3)]


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1) -> str:
    """A table whose first columns are text and whose others are numbers."""
    rule = [":--" if at < text else "--:" for at in range(len(names))]
    written = [names, rule, *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in written)
