"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from nearkin.claims import judge_claims
from nearkin.recommendation import recommend
from nearkin.reporting.drawing import Picture
from nearkin.reporting.style import CSS, SORTING
from nearkin.reporting.tables import CLAIM_HEADERS, Line, claim_cells, facts, headers, lines, memory_lines, unsteady
from nearkin.tradeoffs import TradeOffs

VERDICT_CLASS = {"holds": "holds", "does not hold": "fails"}


def as_html(found: TradeOffs, title: str, drawn: Sequence[Picture]) -> str:
    """A page; everything that comes from outside is escaped.

    Parameters
    ----------
    title
        What was measured, such as the name of a file.
    drawn
        Pictures; the first two stand beside each other on top.
    """
    about = f"{found.count:,} vectors of {found.dim:,} columns under {found.metric}"
    parts = [
        f"<h1>Trade-offs of {escape(title)}</h1>",
        f'<p class="about">{escape(about)}; {len(found.measured)} plans measured with {found.queries:,} queries</p>',
        _advice(found),
        f'<p class="warning">{escape(unsteady(found))}</p>' if unsteady(found) else "",
        _pictures(drawn[:2]),
        "<h2>All plans</h2>",
        _intro(found),
        _plans(found),
        _failures(found),
        "<h2>Memory and distances</h2>" if len(drawn) > 2 else "",
        _pictures(drawn[2:]),
        _memory(found),
        "<h2>Do the textbook claims hold here?</h2>",
        _claims(found),
        "<h2>How it was measured</h2>",
        _definitions(facts(found)),
        _left_out(found),
        "<footer>Made by nearkin. The same as Markdown, CSV, JSON and PNG lies beside this file.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Trade-offs of {escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, parts))
        + f"\n</main>\n<script>{SORTING}</script>\n</body>\n</html>\n"
    )


def _advice(found: TradeOffs) -> str:
    best = recommend(found)
    recall = best.setting.recall
    tiles = {
        f"{recall.mean:.3f}": f"recall@{found.k}, {recall.low:.3f} to {recall.high:.3f}",
        f"{best.setting.speed.batch_qps:,.0f}": "queries a second in batches",
        f"{best.setting.speed.p50_us:,.0f} µs": f"one query alone; p95 {best.setting.speed.p95_us:,.0f} µs",
        f"{best.row.row_bytes:,.0f} B": f"a vector, {found.float32_row:,} B as it came",
        f"{best.row.build_seconds:.1f} s": "to build",
    }
    shown = "".join(
        f'<div class="tile"><b>{escape(number)}</b><span>{escape(what)}</span></div>' for number, what in tiles.items()
    )
    sentence = escape(best.sentence)
    for plan in map(escape, (best.row.plan, best.smallest.plan)):
        sentence = sentence.replace(f"ake {plan}", f"ake <strong>{plan}</strong>", 1)
    return f'<section class="advice"><p>{sentence}</p><div class="tiles">{shown}</div></section>'


def _pictures(drawn: Iterable[Picture]) -> str:
    figures = []
    for each in drawn:
        key = "".join(f"<li>{escape(plan)}</li>" for plan in each.key)
        figures.append(
            f"<figure><h3>{escape(each.title)}</h3>"
            f'<div role="img" aria-label="{escape(each.title)}">{each.svg}</div>'
            f"<figcaption>{escape(each.caption)}</figcaption>"
            + (f'<ol class="key">{key}</ol>' if key else "")
            + "</figure>"
        )
    return f'<div class="pictures">{"".join(figures)}</div>' if figures else ""


def _intro(found: TradeOffs) -> str:
    return (
        f"<p>Plans whose recall is surely at least {found.wanted:g} come first, the fastest on top, each under the fastest of the "
        'search parameters that give it. <span class="badge">speed</span> and <span class="badge memory">memory</span> mark the '
        "plans that no other one beats in recall and speed, or in recall and memory, at once. Every setting is in report.csv.</p>"
    )


def _plans(found: TradeOffs) -> str:
    plan, _, *numbers = headers(found)
    head = "".join(
        f'<th scope="col"{_text(at)}><button type="button">{escape(name)}</button></th>'
        for at, name in enumerate((plan, *numbers))
    )
    body = "".join(_plan(line, found) for line in lines(found))
    return f'<div class="scroll"><table class="plans"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _plan(line: Line, found: TradeOffs) -> str:
    """A plan with its search parameters below it, so that the numbers have room."""
    plan, search, *numbers = line.cells
    badges = "".join(f'<span class="badge {name}">{name}</span>' for name in line.best_for)
    below = f"<small>{escape(search)}</small>" if search else ""
    cells = [f'<td class="text" data-value="{escape(plan)}"><code>{escape(plan)}</code>{badges}{below}</td>']
    cells += [f'<td data-value="{escape(text.replace(",", ""))}">{escape(text)}</td>' for text in numbers]
    poor = line.setting.recall.low < found.wanted
    kind = "best" if line.row.asked == recommend(found).row.asked else "poor" if poor else ""
    return f'<tr class="{kind}">{"".join(cells)}</tr>'


def _text(at: int) -> str:
    return ' class="text"' if at == 0 else ""


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1) -> str:
    """A plain table whose first columns are text and whose others are numbers; cells are HTML."""
    head = "".join(
        f'<th scope="col"{" class=text" if at < text else ""}>{escape(name)}</th>' for at, name in enumerate(names)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=text' if at < text else ''}>{cell}</td>" for at, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _failures(found: TradeOffs) -> str:
    if not found.failed:
        return ""
    rows = "".join(
        f'<tr><td class="text"><code>{escape(row.asked)}</code></td><td class="text">{escape(row.plugin)}</td>'
        f'<td class="text wide">{escape(row.error)}</td></tr>'
        for row in found.failed
    )
    head = "".join(f'<th scope="col" class="text">{name}</th>' for name in ("plan", "plugin", "error"))
    return f'<h2>Plans that failed</h2><div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _memory(found: TradeOffs) -> str:
    best = recommend(found)
    rows = memory_lines(best.row)
    total = ("all", sum(predicted for _, predicted, _ in rows), sum(allocated for *_, allocated in rows))
    cells = [[escape(name), f"{predicted:,}", f"{allocated:,}"] for name, predicted, allocated in (*rows, total)]
    return (
        f"<p>Bytes of <code>{escape(best.row.plan)}</code>, predicted before building and allocated after.</p>"
        + _table(("component", "predicted", "allocated"), cells)
    )


def _claims(found: TradeOffs) -> str:
    rows = []
    for claim in judge_claims(found):
        name, verdict, plan, *numbers = map(escape, claim_cells(claim))
        rows.append(
            [
                name,
                f'<span class="{VERDICT_CLASS.get(claim.verdict, "")}">{verdict}</span>',
                f"<code>{plan}</code>",
                *numbers,
            ]
        )
    return (
        "<p>Every row is compared, so that whatever is lost is lost by the codec; points are hundredths of recall, with their "
        "interval. Ranking candidates again on a float16 copy may win them back, at the price of that copy.</p>"
        + _table(CLAIM_HEADERS, rows, text=3)
    )


def _definitions(values: Mapping[str, str]) -> str:
    return (
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in values.items()) + "</dl>"
    )


def _left_out(found: TradeOffs) -> str:
    if not found.left_out:
        return ""
    listed = {f"<code>{escape(each.plan)}</code>": escape(each.reason) for each in found.left_out}
    items = "".join(f"<li>{plan}: {reason}</li>" for plan, reason in listed.items())
    return f"<details><summary>{len(found.left_out)} plans were left out, and why</summary><ul>{items}</ul></details>"
