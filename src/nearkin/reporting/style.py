"""Looks of the page, and sorting of its table; nothing is loaded from anywhere."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f6f8fa; --ink: #1d2733; --faint: #66727f; --grid: #dfe5ec;
  --accent: #1f6fd6; --good: #0f7a55; --bad: #b3382c; --mark: #e8f1fd;
  --font: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
@media (prefers-color-scheme: dark) { :root { --paper: #12171d; --card: #1a2129; --ink: #e4e9ef; --faint: #97a3b0;
  --grid: #2c3640; --accent: #6aa9f7; --good: #4cc796; --bad: #f0867b; --mark: #18293d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 var(--font); }
main { max-width: 1220px; margin: 0 auto; padding: 40px 20px 72px; }
h1 { font-size: clamp(1.6rem, 4.5vw, 2.3rem); line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 6px;
  overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; letter-spacing: -0.01em; margin: 52px 0 10px; }
p { margin: 8px 0; max-width: 74ch; }
.about { color: var(--faint); margin-top: 0; overflow-wrap: anywhere; }
.advice { background: var(--card); border-left: 4px solid var(--accent); border-radius: 10px; padding: 18px 22px;
  margin: 24px 0; }
.advice p { font-size: 1.08rem; margin: 0; overflow-wrap: anywhere; max-width: none; }
.warning { border-left: 4px solid var(--bad); padding: 4px 14px; max-width: none; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; margin: 18px 0 0; }
.tile b { display: block; font-size: 1.55rem; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.tile span { color: var(--faint); font-size: 0.86rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 24px 36px;
  align-items: start; }
figure { margin: 0; min-width: 0; }
figure h3 { font-size: 1.02rem; margin: 18px 0 4px; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { color: var(--faint); font-size: 0.88rem; margin-top: 6px; }
ol.key { columns: 2 210px; margin: 8px 0 0; padding-left: 1.7em; font: 0.82rem/1.6 var(--mono); }
ol.key li { break-inside: avoid; overflow-wrap: anywhere; }
code, td.code { font-family: var(--mono); font-size: 0.86em; }
.scroll { overflow-x: auto; border: 1px solid var(--grid); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 9px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
tr:last-child td { border-bottom: 0; }
th { color: var(--faint); font-weight: 600; background: var(--card); }
th button { all: unset; cursor: pointer; }
th button:hover, th button:focus-visible { color: var(--accent); text-decoration: underline; }
th.text, td.text { text-align: left; }
td.wide { white-space: normal; min-width: 14em; overflow-wrap: anywhere; }
td small { display: block; color: var(--faint); font-size: 0.9em; line-height: 1.3; }
.pictures + p { margin-top: 26px; }
table.plans td:first-child, table.plans th:first-child { position: sticky; left: 0; background: var(--paper); z-index: 1; }
table.plans th:first-child { background: var(--card); }
tr.best td, table.plans tr.best td:first-child { background: var(--mark); }
tr.poor td { color: var(--faint); }
.badge { font: 600 0.72rem/1 var(--font); border-radius: 99px; padding: 3px 8px; margin-left: 6px;
  border: 1px solid currentColor; color: var(--accent); }
.badge.memory { color: var(--good); }
.holds { color: var(--good); font-weight: 600; }
.fails { color: var(--bad); font-weight: 600; }
dl { display: grid; grid-template-columns: minmax(90px, max-content) 1fr; gap: 6px 20px; margin: 0; font-size: 0.92rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--accent); }
footer { color: var(--faint); font-size: 0.85rem; margin-top: 48px; }
@media (max-width: 620px) { main { padding: 24px 14px 48px; } th, td { padding: 6px 8px; }
  table.plans td:first-child { min-width: 40vw; max-width: 46vw; white-space: normal; overflow-wrap: anywhere; }
  td.text { white-space: normal; min-width: 9em; }
  .badge { display: inline-block; margin: 2px 4px 0 2px; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 10px; } }
@media print { .scroll { overflow: visible; } th button { color: inherit; } }
"""

SORTING = """
document.querySelectorAll("table.plans th button").forEach((button, column) => {
  let down = true;
  button.addEventListener("click", () => {
    const body = button.closest("table").tBodies[0];
    const value = row => row.cells[column].dataset.value;
    const order = (a, b) => { const x = value(a), y = value(b), d = x - y;
      return Number.isNaN(d) ? x.localeCompare(y) : d; };
    const rows = [...body.rows].sort((a, b) => down ? order(b, a) : order(a, b));
    down = !down;
    body.append(...rows);
  });
});
"""
