"""The numbers of a report as rows of text, CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from nearkin.claims import Claim, judge_claims
from nearkin.recommendation import recommend
from nearkin.tradeoffs import Setting, TradeOff, TradeOffs

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What text must not begin with in a table that a spreadsheet may open."""


class Line(NamedTuple):
    """One plan in the table, under the search parameters that serve it best."""

    row: TradeOff
    setting: Setting
    best_for: tuple[str, ...]
    cells: tuple[str, ...]


def headers(found: TradeOffs) -> tuple[str, ...]:
    """Of the cells of every line; all but the first two are numbers."""
    recall = f"recall@{found.k}"
    return "plan", "search", recall, "interval", "q/s", "p50 µs", "p95 µs", "bytes", "smaller", "build s", "codec error"


def lines(found: TradeOffs) -> list[Line]:
    """Every plan that was measured: those that are surely good enough first, the fastest first."""
    speed = {row.asked for row, _ in found.fastest_curve()}
    memory = {row.asked for row, _ in found.smallest_curve()}
    made = []
    for row in found.measured:
        setting = row.shown(found.wanted)
        marks = [name for name, among in (("speed", speed), ("memory", memory)) if row.asked in among]
        made.append(Line(row, setting, tuple(marks), _cells(row, setting)))
    return made


def _cells(row: TradeOff, setting: Setting) -> tuple[str, ...]:
    recall, speed = setting.recall, setting.speed
    return (
        row.label,
        setting.text,
        f"{recall.mean:.3f}",
        f"{recall.low:.3f} to {recall.high:.3f}",
        f"{speed.batch_qps:,.0f}",
        f"{speed.p50_us:,.0f}",
        f"{speed.p95_us:,.0f}",
        f"{row.row_bytes:,.0f}",
        f"{row.compression:.1f}",
        f"{row.build_seconds:.1f}",
        "" if row.reconstruction_error is None else f"{row.reconstruction_error:.2g}",
    )


def claim_cells(claim: Claim) -> tuple[str, ...]:
    """A claim, its verdict, and the numbers behind it."""
    if claim.recall is None or claim.recall_low is None or claim.recall_high is None or claim.compression is None:
        return claim.name, claim.verdict, claim.plan, "", "", ""
    lost = f"{100 * (1 - claim.recall):.1f} ({100 * (1 - claim.recall_high):.1f} to {100 * (1 - claim.recall_low):.1f})"
    again = "" if claim.refined_recall is None else f"{100 * (1 - claim.refined_recall):.1f}"
    return claim.name, claim.verdict, claim.plan, f"{claim.compression:.1f}", lost, again


CLAIM_HEADERS = ("claim", "on these vectors", "plan", "times smaller", "points of recall lost", "lost after refine-f16")


def memory_lines(row: TradeOff) -> list[tuple[str, int, int]]:
    """Component, predicted bytes, allocated bytes."""
    predicted, allocated = row.predicted or {}, row.allocated or {}
    return [(name, predicted.get(name, 0), allocated.get(name, 0)) for name in {**predicted, **allocated}]


def unsteady(found: TradeOffs) -> str:
    """What to say where other programs took part in the speeds; nothing where they did not."""
    if found.steady or found.drift is None:
        return ""
    changed = f"{found.drift:.1f} times as fast" if found.drift > 1 else f"only {found.drift:.1f} times as fast"
    return (
        f"Other programs were busy while this was measured: {found.exact.plan} was {changed} at the end as at the start. Measure "
        "plans whose speeds lie closer together than that again, on an idle machine. Recall and bytes are not touched by it."
    )


def facts(found: TradeOffs) -> dict[str, str]:
    """How it was measured, in words."""
    source = "rows held out before anything was built" if found.held_out else "given by you"
    fewer = "plans that are slow were asked fewer of them, as their intervals say"
    ties = ", rows as near as the last true neighbour counted as right" if found.ties else ""
    return {
        "vectors": f"{found.count:,} x {found.dim:,}",
        "metric": found.metric,
        "queries": f"{found.queries:,}, {source}; {fewer}",
        "recall": f"share of the {found.k} nearest rows of exact search that were found{ties}, with Wilson's 95 % interval",
        "caution": "the recommendation is judged by the queries that chose it: queries unlike these may do worse",
        "speed": f"median of batches after a warm-up, {found.threads} thread{'s' if found.threads > 1 else ''}; "
        "p50 and p95 of one query at a time" + _drift(found),
        "bytes": "of the index; the copy of the rows that a collection keeps is not counted",
        "codec error": "mean of ||x - decode(encode x)||² / ||x - mean||² over rows that the codec did not learn from",
        "seed": str(found.seed),
        "time": f"{found.seconds:,.0f} s of {found.limit:,.0f} allowed",
        "versions": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
    }


def _drift(found: TradeOffs) -> str:
    return "" if found.drift is None else f"; {found.exact.plan} ran at {found.drift:.0%} of its first speed at the end"


def as_csv(found: TradeOffs) -> str:
    """One line a plan and setting; a plan that failed has a line with its error.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    out = io.StringIO()
    written: list[dict[str, Any]] = []
    for row in found.rows:
        for setting in row.settings or (None,):
            written.append(_flat(row, setting))
    writer = csv.DictWriter(out, written[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(written)
    return out.getvalue()


def _flat(row: TradeOff, setting: Setting | None) -> dict[str, Any]:
    recall, speed = (setting.recall, setting.speed) if setting else (None, None)
    flat = {
        "plan": row.plan,
        "asked": row.asked,
        "plugin": row.plugin,
        "search": setting.text if setting else "",
        "usual": setting.usual if setting else "",
        "recall": recall.mean if recall else "",
        "recall_low": recall.low if recall else "",
        "recall_high": recall.high if recall else "",
        "queries": recall.queries if recall else "",
        "batch_qps": speed.batch_qps if speed else "",
        "p50_us": speed.p50_us if speed else "",
        "p95_us": speed.p95_us if speed else "",
        "p99_us": speed.p99_us if speed else "",
        "row_bytes": row.row_bytes if setting else "",
        "compression": row.compression if setting else "",
        "predicted_bytes": sum(row.predicted.values()) if row.predicted else "",
        "allocated_bytes": sum(row.allocated.values()) if row.allocated else "",
        "train_seconds": row.train_seconds if setting else "",
        "build_seconds": row.build_seconds if setting else "",
        "reconstruction_error": "" if row.reconstruction_error is None else row.reconstruction_error,
        "error": row.error,
    }
    return {name: f"'{value}" if _is_formula(value) else value for name, value in flat.items()}


def _is_formula(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(FORMULA)


def as_dict(found: TradeOffs, title: str) -> dict[str, Any]:
    """Everything, JSON-able; numbers that are not finite are null."""
    rows = [
        {**dataclasses.asdict(row), "row_bytes": row.row_bytes, "compression": row.compression} for row in found.rows
    ]
    best = recommend(found)
    summary = {
        "title": title,
        **{field.name: getattr(found, field.name) for field in dataclasses.fields(found)},
        "rows": rows,
        "left_out": [dataclasses.asdict(each) for each in found.left_out],
        "histogram": dataclasses.asdict(found.histogram) if found.histogram else None,
        "recommendation": {
            "sentence": best.sentence,
            "reached": best.reached,
            "plan": best.row.plan,
            "search": best.setting.search,
            "smallest": best.smallest.plan,
            "smallest_search": best.smallest_setting.search,
        },
        "claims": [dataclasses.asdict(each) for each in judge_claims(found)],
        "fastest": [{"plan": row.plan, "search": setting.search} for row, setting in found.fastest_curve()],
        "smallest": [{"plan": row.plan, "search": setting.search} for row, setting in found.smallest_curve()],
    }
    plain: dict[str, Any] = _plain(summary)
    return plain


def as_json(found: TradeOffs, title: str) -> str:
    """One JSON document, indented."""
    return json.dumps(as_dict(found, title), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
