"""The pictures of a report, drawn by matplotlib as SVG for the page and as PNG beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.recommendation import recommend
from nearkin.reporting.drawing import FAINT, INK, PAPER, Picture, draw, need_matplotlib
from nearkin.tradeoffs import Histogram, Setting, TradeOff, TradeOffs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#64748b", "#2f7de1", "#e8833a", "#16a37a", "#8b5cf6", "#d6457a", "#b08d14", "#0e93a8")
"""Seen well on white and on black."""

EPSILON = 0.002
"""Recall 1 is drawn as far right as this much short of it would be, on an axis without an end."""

TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
MOST_BARS = 12


def pictures(found: TradeOffs) -> list[Picture]:
    """Recall against speed, recall against memory, memory by component, distances.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    need_matplotlib()
    per_speed, per_memory = found.fastest_curve(), found.smallest_curve()
    drawn = [
        draw(
            "recall_speed",
            "Recall against speed",
            "Each line is one plan under several search parameters; up and to the right is better. Numbers are the plans that "
            "no other one beats in both.",
            lambda axes: _trade(axes, found, per_speed, "queries a second", lambda row, s: s.speed.batch_qps),
            key=_key(per_speed),
        ),
        draw(
            "recall_memory",
            "Recall against memory",
            "Each dot is one plan at its highest recall; down and to the right is better. Numbers are the plans that no other "
            "one beats in both.",
            lambda axes: _trade(axes, found, per_memory, "bytes a vector", lambda row, s: row.row_bytes, dots=True),
            key=_key(per_memory),
        ),
        draw(
            "memory",
            "Memory by component",
            "Bytes a vector of the best plans as allocated; the dark mark is what was predicted before building.",
            lambda axes: _bars(axes, _best(found)),
            height=1.3 + 0.27 * len(_best(found)),
        ),
    ]
    histogram = found.histogram
    if histogram is not None:
        drawn.append(
            draw(
                "distances",
                "Distances",
                _contrast(histogram),
                lambda axes: _distances(axes, histogram, found.k),
                height=3.0,
            )
        )
    return drawn


# ---- recall against something ----------------------------------------------------------------------------------------


def _plans_of(curve: Sequence[tuple[TradeOff, Setting]]) -> list[tuple[TradeOff, Setting]]:
    """Each plan of a curve once, with the last of its settings there."""
    last = {row.asked: (row, setting) for row, setting in curve}
    return list(last.values())


def _key(curve: Sequence[tuple[TradeOff, Setting]]) -> tuple[str, ...]:
    return tuple(row.plan for row, _ in _plans_of(curve))


def _trade(
    axes: Axes,
    found: TradeOffs,
    curve: Sequence[tuple[TradeOff, Setting]],
    label: str,
    value: Callable[[TradeOff, Setting], float],
    *,
    dots: bool = False,
) -> None:
    """Recall to the right, a value upwards, one colour an index, and the curve that nothing beats."""
    colours = _colours([row.index for row in found.measured])
    for row in found.measured:
        best = max(row.settings, key=lambda each: each.recall.mean)
        settings = [best] if dots else sorted(row.settings, key=lambda each: each.recall.mean)
        axes.plot(
            [each.recall.mean for each in settings],
            [value(row, each) for each in settings],
            color=colours[row.index],
            marker="o",
            markersize=3.2,
            linewidth=0.9,
            alpha=0.55,
            label=row.index,
        )
    axes.plot(
        [s.recall.mean for _, s in curve],
        [value(r, s) for r, s in curve],
        color=INK,
        linewidth=1.1,
        linestyle=(0, (4, 2)),
    )
    _recall_axis(axes, found)
    axes.set_yscale("log")
    _plain_ticks(axes)
    axes.set_ylabel(label)
    _number(axes, [(s.recall.mean, value(r, s), colours[r.index]) for r, s in _plans_of(curve)])
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    axes.legend(handles.values(), handles, loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=min(5, len(handles)))


def _recall_axis(axes: Axes, found: TradeOffs) -> None:
    axes.set_xscale("function", functions=(_spread, _unspread))
    lowest = min(setting.recall.mean for row in found.measured for setting in row.settings)
    axes.set_xlim(max(0.0, lowest - 0.05), 1.0005)
    ticks = [each for each in TICKS if each >= lowest - 0.05]
    axes.set_xticks(ticks, [f"{each:g}" for each in ticks])
    axes.axvline(found.wanted, color=FAINT, linewidth=1, linestyle=":")
    axes.set_xlabel(f"recall@{found.k}")


def _plain_ticks(axes: Axes) -> None:
    """Numbers as they are read, 1, 2 and 5 of each power of ten where there are few powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, at: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _spread(recall: Any) -> Any:
    """Recall on an axis that gives room to what is near 1."""
    return -np.log10(np.maximum(1 + EPSILON - np.asarray(recall), EPSILON / 2))


def _unspread(place: Any) -> Any:
    return 1 + EPSILON - 10 ** -np.asarray(place)


def _number(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    for number, (x, y, colour) in enumerate(points, 1):
        axes.annotate(
            str(number),
            (x, y),
            fontsize=7.5,
            color="#ffffff",
            ha="center",
            va="center",
            bbox={"boxstyle": "circle,pad=0.22", "facecolor": colour, "edgecolor": PAPER, "linewidth": 0.8},
        )


def _colours(names: Sequence[str]) -> dict[str, str]:
    return {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(sorted(set(names)))}


# ---- memory, distances -----------------------------------------------------------------------------------------------


def _best(found: TradeOffs) -> list[TradeOff]:
    """The plans worth a bar: recommended, exact, and those that no other one beats; the smallest last."""
    advice = recommend(found)
    curves = [*_plans_of(found.smallest_curve())[::-1], *_plans_of(found.fastest_curve())[::-1]]
    chosen = [advice.row, advice.smallest, found.exact, *(row for row, _ in curves)]
    different = list({row.asked: row for row in chosen}.values())[:MOST_BARS]
    return sorted(different, key=lambda row: -row.row_bytes)


def _bars(axes: Axes, rows: Sequence[TradeOff]) -> None:
    components = list(dict.fromkeys(name for row in rows for name in row.allocated or {}))
    left = np.zeros(len(rows))
    for at, name in enumerate(components):
        width = np.array([(row.allocated or {}).get(name, 0) / row.rows for row in rows])
        axes.barh(range(len(rows)), width, left=left, height=0.66, color=COLOURS[(at + 1) % len(COLOURS)], label=name)
        left += width
    predicted = [sum((row.predicted or {}).values()) / row.rows for row in rows]
    axes.scatter(predicted, range(len(rows)), marker="|", s=90, color=INK, zorder=3)
    axes.set_yticks(range(len(rows)), [_shortened(row.plan) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("bytes a vector")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=min(4, len(components)), fontsize=8.5)


def _shortened(plan: str) -> str:
    return plan if len(plan) <= 34 else plan[:33] + "…"


def _distances(axes: Axes, histogram: Histogram, k: int) -> None:
    parts = (
        (histogram.nearest, "the nearest row", COLOURS[3]),
        (histogram.kth, f"the neighbour {k}", COLOURS[1]),
        (histogram.random, "random rows", COLOURS[0]),
    )
    for counts, label, colour in parts:
        shares = np.asarray(counts) / max(1, sum(counts))
        axes.stairs(shares, np.asarray(histogram.edges), fill=True, color=colour, alpha=0.35)
        axes.stairs(shares, np.asarray(histogram.edges), color=colour, linewidth=1.2, label=label)
    axes.set_xlabel("distance from a query to ...")
    axes.set_ylabel("share")
    axes.set_yticks([])
    axes.legend(loc="upper left")


def _contrast(histogram: Histogram) -> str:
    if histogram.contrast is None:
        return "How far queries are from their nearest rows, and from random rows."
    return (
        f"A random row is {histogram.contrast:.1f} times as far from a query as the nearest one (medians): the less the curves "
        "overlap, the easier the search."
    )
