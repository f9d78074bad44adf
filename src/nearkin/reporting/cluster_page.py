"""A clustering as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from nearkin.reporting.cluster_pictures import MOST_COLOURED, colour_of
from nearkin.reporting.cluster_tables import (
    ClusterReport,
    band_facts,
    cluster_cells,
    cluster_headers,
    number,
    quality_facts,
    run_facts,
)
from nearkin.reporting.drawing import Picture
from nearkin.reporting.style import CSS

MORE_CSS = """
.plane, .curves { max-width: 900px; }
.rest { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 8px 40px; }
.rest > * { min-width: 0; }
.dot { display: inline-block; width: 0.7em; height: 0.7em; border-radius: 50%; margin-right: 0.5em; }
ul.troubles { padding-left: 0; list-style: none; margin: 18px 0 0; }
ul.troubles li { border-left: 4px solid var(--bad); padding: 2px 14px; margin: 10px 0; max-width: 90ch; }
ul.troubles span { color: var(--faint); }
.far { font: 0.86rem/1.6 var(--mono); overflow-wrap: anywhere; max-width: none; }
"""
FARTHEST = 20
MOST_COLUMNS = 24
MOST_ROWS = 500
"""Clusters in the table; all of them are in centroids.csv."""


def as_html(report: ClusterReport, drawn: Sequence[Picture]) -> str:
    """A page; everything that comes from outside is escaped.

    Parameters
    ----------
    drawn
        Pictures, the plane first.
    """
    found, title = report.found, escape(report.title)
    facts = run_facts(report)
    about = f"{facts['rows']} by {facts['method']} under {facts['metric']}, {facts['ended']}"
    parts = [
        f"<h1>{found.k:,} cluster{'s' if found.k > 1 else ''} of {title}</h1>",
        f'<p class="about">{escape(about)}</p>',
        *(f"<p>{escape(each)}</p>" for each in (*report.remarks, *found.partition.notes)),
        _tiles(report),
        _troubles(report),
        f'<div class="plane">{_figure(drawn[0], heading=False)}</div>',
        "<h2>Clusters</h2>",
        _clusters(report),
        '<div class="rest"><section><h2>Quality</h2>',
        _definitions(quality_facts(report)),
        *(f"<p>{escape(each)}</p>" for each in report.quality.notes),
        "</section><section><h2>Rows far from every centroid</h2>",
        _definitions(band_facts(report)),
        f"<p>Limits are {escape(report.outliers.rule)}.</p>",
        _farthest(report),
        "</section></div>",
        f'<div class="{"pictures" if len(drawn) > 2 else "curves"}">{"".join(map(_figure, drawn[1:]))}</div>',
        "<footer>Made by nearkin. Labels, centroids, pictures and everything as JSON lie beside this file.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Clusters of {title}</title>\n<style>{CSS}{MORE_CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, parts))
        + "\n</main>\n</body>\n</html>\n"
    )


def _tiles(report: ClusterReport) -> str:
    quality, sizes = report.quality, report.found.sizes
    tiles = {}
    if quality.silhouette is not None:
        tiles[f"{quality.silhouette.mean:.2f}"] = "silhouette: 1 is well apart, 0 is between two clusters"
    if quality.bcss is not None and quality.tss:
        tiles[f"{quality.bcss / quality.tss:.0%}"] = "of the squared spread lies between clusters"
    tiles[f"{sizes.min():,} to {sizes.max():,}"] = "rows in the smallest and the largest cluster"
    tiles[f"{report.outliers.counts['critical']:,}"] = "rows in the critical band, far from every centroid"
    shown = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in tiles.items()
    )
    chosen = report.found.choice
    why = f"<p>{escape(_sentence(chosen.why))}</p>" if chosen is not None else ""
    return f'<section class="advice">{why}<div class="tiles">{shown}</div></section>'


def _troubles(report: ClusterReport) -> str:
    items = "".join(
        f"<li>{escape(_sentence(each.sentence))} <span>{escape(_sentence(each.advice))}</span></li>"
        for each in report.troubles
    )
    return f'<ul class="troubles">{items}</ul>' if items else ""


def _sentence(text: str) -> str:
    """With a capital and a full stop; the name of a variable stays as it is."""
    ended = text if text.endswith((".", "!", "?")) else f"{text}."
    return ended if ended.startswith("k =") else ended[:1].upper() + ended[1:]


def _figure(drawn: Picture, heading: bool = True) -> str:
    title = escape(drawn.title)
    head = f"<h3>{title}</h3>" if heading else ""
    return (
        f'<figure>{head}<div role="img" aria-label="{title}">{drawn.svg}</div>'
        f"<figcaption>{escape(drawn.caption)}</figcaption></figure>"
    )


def _clusters(report: ClusterReport) -> str:
    headers, coloured = cluster_headers(report, MOST_COLUMNS), report.found.k <= MOST_COLOURED
    head = "".join(f'<th scope="col"{_text(at == 0)}>{escape(name)}</th>' for at, name in enumerate(headers))
    body = []
    for at, (cluster, *cells) in enumerate(cluster_cells(report, MOST_COLUMNS)[:MOST_ROWS]):
        dot = f'<span class="dot" style="background:{colour_of(at)}"></span>' if coloured else ""
        inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        body.append(f'<tr><td class="text">{dot}{cluster}</td>{inner}</tr>')
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    more = f"<p>The first {MOST_ROWS} are shown; centroids.csv has all.</p>" if report.found.k > MOST_ROWS else ""
    return f"<p>{escape(_reading(report))}</p>{table}{more}"


def _text(first: bool) -> str:
    return ' class="text"' if first else ""


def _reading(report: ClusterReport) -> str:
    """How the table is to be read."""
    said = "The medoid is the row with the least distances from the others of its cluster; rows count from 0"
    if report.columns and set(report.names) <= set(cluster_headers(report, MOST_COLUMNS)):
        return (
            f"Centroids are in the units of the columns. {said}; where the two differ much, outliers pull the centroid."
        )
    return f"{said}. Centroids, of {len(report.names):,} columns each, are in centroids.csv."


def _farthest(report: ClusterReport) -> str:
    rows = report.outliers.rows("critical")
    if not len(rows):
        return ""
    shown = ", ".join(
        f"{report.id_of(int(row))} ({number(float(report.outliers.scores[row]))})" for row in rows[:FARTHEST]
    )
    more = f" and {len(rows) - FARTHEST:,} more, see labels.csv" if len(rows) > FARTHEST else ""
    return f'<p>The farthest, with their distances:</p><p class="far">{escape(shown)}{more}</p>'


def _definitions(values: Mapping[str, str]) -> str:
    return "<dl>" + "".join(_definition(values.items())) + "</dl>"


def _definition(items: Iterable[tuple[str, str]]) -> Iterable[str]:
    for name, text in items:
        yield f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
