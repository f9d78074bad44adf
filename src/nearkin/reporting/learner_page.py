"""Learners judged or compared, as one HTML file that needs nothing else, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from nearkin.reporting.drawing import Picture
from nearkin.reporting.learner_tables import (
    BIN_HEADERS,
    CLASS_HEADERS,
    PAIR_HEADERS,
    LearnerReport,
    as_text_table,
    bin_cells,
    class_cells,
    facts_of,
    figure,
    method_cells,
    method_headers,
    pair_cells,
    run_facts,
    score_cells,
    tests_sentence,
)
from nearkin.reporting.markdown import plain
from nearkin.reporting.style import CSS

MORE_CSS = """
.wide { max-width: 900px; }
.two { display: grid; grid-template-columns: minmax(320px, 1fr) minmax(0, 2fr); gap: 8px 40px; align-items: start; }
@media (max-width: 800px) { .two { grid-template-columns: minmax(0, 1fr); } }
.two > * { min-width: 0; }
ul.notes { padding-left: 1.2em; max-width: 90ch; }
p.tests { max-width: none; color: var(--faint); font-size: 0.92rem; }
"""
MOST_SHOWN = 100
"""Labels in the table of a page; the JSON has all."""

FIRST_PICTURES = ("methods",)


def seconds(value: float) -> str:
    """A duration in words.

    >>> seconds(0.0421), seconds(3.14)
    ('42 ms', '3.1 s')
    """
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.1f} s"


def heading(report: LearnerReport) -> str:
    """What the page is about."""
    what = "Methods compared" if report.comparison is not None else f"{report.judged.method.partition('(')[0]} judged"
    return f"{what} on {report.title}"


def summary(report: LearnerReport) -> str:
    """The result in a sentence."""
    if report.comparison is not None:
        sentence = report.comparison.sentence
        return f"{sentence}."
    judged, name = report.judged, "accuracy" if report.judged.task == "classes" else "MAE"
    score = judged.scores[name]
    if score is None:
        return ""
    ends = f"95 % interval {figure(score.low)} to {figure(score.high)}"
    if name == "accuracy":
        return f"{judged.method} gives {score.value:.1%} of rows their label that it has not seen ({ends})."
    return f"{judged.method} is off by {figure(score.value)} on average on rows that it has not seen ({ends})."


def tiles(report: LearnerReport) -> dict[str, str]:
    """A few numbers to see first."""
    judged = report.judged
    names = {
        "accuracy": f"accuracy of {judged.method.partition('(')[0]}",
        "F1": "F1, mean over labels",
        "ROC-AUC": "ROC-AUC: 0.5 is chance",
        "calibration error": "calibration error: gap between sure and right",
        "MAE": f"mean absolute error of {judged.method.partition('(')[0]}",
        "RMSE": "root of the mean squared error",
        "R2": "R2: share of variance that is explained",
    }
    found = {}
    for name, text in names.items():
        score = judged.scores.get(name)
        if score is not None:
            found[text] = figure(score.value)
    return found


def as_html(report: LearnerReport, drawn: Sequence[Picture]) -> str:
    """A page; everything that comes from outside is escaped."""
    first = [each for each in drawn if each.name in FIRST_PICTURES]
    others = [each for each in drawn if each.name not in FIRST_PICTURES]
    parts = [
        f"<h1>{escape(heading(report))}</h1>",
        f'<p class="about">{escape(", ".join(f"{name}: {text}" for name, text in run_facts(report.judged).items()))}</p>',
        _advice(report),
        _notes(report),
        "".join(f'<div class="wide">{_figure(each, heading=False)}</div>' for each in first),
        _methods(report),
        f'<div class="pictures">{"".join(map(_figure, others))}</div>',
        _detail(report),
        "<h2>How it was measured</h2>",
        _definitions(facts_of(report)),
        "<footer>Made by nearkin.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(heading(report))}</title>\n<style>{CSS}{MORE_CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, parts))
        + "\n</main>\n</body>\n</html>\n"
    )


def _advice(report: LearnerReport) -> str:
    shown = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>'
        for what, value in tiles(report).items()
    )
    curve = f" {report.curve.sentence}." if report.curve is not None else ""
    return f'<section class="advice"><p>{escape(summary(report) + curve)}</p><div class="tiles">{shown}</div></section>'


def _notes(report: LearnerReport) -> str:
    items = "".join(f"<li>{escape(each)}.</li>" for each in report.notes)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _methods(report: LearnerReport) -> str:
    if report.comparison is None:
        return ""
    parts = [
        "<h2>All methods</h2>",
        _table(method_headers(report.comparison), method_cells(report.comparison, seconds), best=True),
        f'<p class="tests">{escape(tests_sentence(report.comparison))}</p>',
    ]
    lines = method_lines(report)
    parts += [f'<ul class="notes">{"".join(f"<li>{escape(each)}.</li>" for each in lines)}</ul>'] if lines else []
    parts.append(f"<h2>The best: {escape(report.judged.method)}</h2>")
    return "\n".join(parts)


def method_lines(report: LearnerReport) -> list[str]:
    """What is to be said of single methods: why they failed, or that they had fewer rows."""
    rows = report.comparison.rows if report.comparison is not None else ()
    failed = [f"{row.method} failed: {row.error}" for row in rows if row.error]
    common = set(report.notes)
    told = [
        f"{row.method}: {note}"
        for row in rows
        if row.judgement is not None and row.judgement is not report.judged
        for note in row.judgement.notes
        if note not in common
    ]
    return failed + told


def _detail(report: LearnerReport) -> str:
    judged = report.judged
    if judged.task == "numbers":
        return f"<h2>Scores</h2>{_definitions(score_cells(judged))}"
    pairs, bins, labels = pair_cells(judged, 15), bin_cells(judged), class_cells(judged)
    more = f"<p>The {MOST_SHOWN} with the lowest F1 of {len(judged.labels):,}.</p>" if len(labels) > MOST_SHOWN else ""
    return "".join(
        [
            '<div class="two"><section><h2>Scores</h2>',
            _definitions(score_cells(judged)),
            "</section><section><h2>Most confused</h2>",
            _table(PAIR_HEADERS, pairs, text=2) if pairs else "<p>No row was given a wrong label.</p>",
            "</section></div>",
            f"<h2>Labels</h2>{more}",
            _table(CLASS_HEADERS, labels[:MOST_SHOWN]),
            f"<details><summary>Reliability as a table</summary>{_table(BIN_HEADERS, bins)}</details>" if bins else "",
        ]
    )


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1, best: bool = False) -> str:
    def kind(at: int) -> str:
        return ' class="text"' if at < text else ""

    head = "".join(f'<th scope="col"{kind(at)}>{escape(name)}</th>' for at, name in enumerate(headers))
    marked = '<tr class="best">' if best else "<tr>"
    body = "".join(
        ("<tr>" if number else marked)
        + "".join(f"<td{kind(at)}>{escape(cell)}</td>" for at, cell in enumerate(row))
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(drawn: Picture, heading: bool = True) -> str:
    title = escape(drawn.title)
    head = f"<h3>{title}</h3>" if heading else ""
    return (
        f'<figure>{head}<div role="img" aria-label="{title}">{drawn.svg}</div>'
        f"<figcaption>{escape(drawn.caption)}</figcaption></figure>"
    )


def _definitions(values: Mapping[str, str]) -> str:
    return (
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in values.items()) + "</dl>"
    )


def as_markdown(report: LearnerReport, drawn: Sequence[Picture], prefix: str = "") -> str:
    """The same as the page; pictures are files beside it, whose names begin with `prefix`."""
    judged = report.judged
    parts = [f"# {plain(heading(report))}", f"**{plain(summary(report))}**"]
    parts += ["\n".join(f"- {plain(each)}" for each in report.notes)] if report.notes else []
    if report.comparison is not None:
        parts += [
            "## All methods",
            as_text_table(method_headers(report.comparison), method_cells(report.comparison, seconds), plain),
            plain(tests_sentence(report.comparison)),
        ]
        lines = method_lines(report)
        parts += ["\n".join(f"- {plain(each)}" for each in lines)] if lines else []
    parts += [f"## {plain(judged.method)}", as_text_table(("score", "value"), score_cells(judged).items(), plain)]
    parts += [f"![{plain(each.title)}]({prefix}{each.name}.png)\n\n{plain(each.caption)}" for each in drawn]
    if judged.task == "classes":
        parts += ["## Most confused", as_text_table(PAIR_HEADERS, pair_cells(judged, 15), plain)]
        parts += ["## Labels", as_text_table(CLASS_HEADERS, class_cells(judged), plain)]
    parts += ["## How it was measured", "\n".join(f"- {plain(n)}: {plain(t)}" for n, t in facts_of(report).items())]
    return "\n\n".join(parts) + "\n"
