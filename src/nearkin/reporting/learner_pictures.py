"""Pictures of learners: scores with whiskers, confusion, reliability, learning curve, and regions of labels in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.reporting.cluster_pictures import COLOURS, colour_of
from nearkin.reporting.drawing import FAINT, GRID, INK, PAPER, Picture, draw, need_matplotlib
from nearkin.reporting.learner_plane import Plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nearkin.learning.comparing import LearnerComparison, LearnerRow
    from nearkin.learning.judging import Judgement
    from nearkin.learning.learning_curves import LearningCurve

MOST_LABELS = 20
"""Labels in the picture of the confusion; of more, those that are confused most."""

LONGEST_LABEL = 24
ROWS_AS_SHAPES = 1200


def methods_picture(found: LearnerComparison) -> Picture:
    """The first score of every method, with whiskers for its interval.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    need_matplotlib()
    rows = [row for row in found.rows if not row.error]
    name = "accuracy" if found.task == "classes" else "RMSE"
    told = "further right is better" if found.task == "classes" else "further left is better"
    return draw(
        "methods",
        f"{'Accuracy' if name == 'accuracy' else name} of every method",
        f"Dots are scores on rows held out, whiskers their 95 % intervals; {told}. Hollow dots are yardsticks; the dashed line is "
        f"{found.baseline}, which looks at no row.",
        lambda axes: _dots(axes, rows, name, found.baseline),
        width=7.6,
        height=1.0 + 0.34 * len(rows),
    )


def confusion_picture(judged: Judgement) -> Picture:
    """Rows by true and predicted label, as shares of the true label's.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    need_matplotlib()
    shown = shown_labels(judged)
    size = len(shown)
    caption = (
        "Each row of squares is a true label, each column a predicted one; numbers are rows, darkness is their share."
    )
    if size < len(judged.labels):
        caption += f" Shown are the {size} labels of {len(judged.labels):,} that are confused most."
    side = 2.4 + 0.27 * size
    return draw(
        "confusion",
        "Which labels are taken for which",
        caption,
        lambda axes: _heat_map(axes, judged, shown),
        width=min(7.6, side + 1.2),
        height=min(7.0, side),
    )


def reliability_picture(judged: Judgement) -> Picture:
    """How often predictions are right, by how sure they are.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    need_matplotlib()
    error = judged.scores["calibration error"]
    said = "" if error is None else f" The expected calibration error is {error.value:.3f}."
    return draw(
        "reliability",
        "How sure, and how often right",
        "Dots on the dashed line are as sure as they are right; below it they are too sure. Larger dots stand for more rows, "
        f"whiskers are 95 % intervals.{said}",
        lambda axes: _reliability(axes, judged),
        width=5.6,
        height=4.4,
    )


def curve_picture(curve: LearningCurve) -> Picture:
    """Score by rows.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    need_matplotlib()
    return draw(
        "learning_curve",
        "Would more rows help?",
        f"{curve.sentence}. The band is the 95 % interval.",
        lambda axes: _growth(axes, curve),
        width=5.6,
        height=4.4,
    )


def boundary_picture(plane: Plane) -> Picture:
    """Rows in the plane, on what the method predicts there.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    need_matplotlib()
    return draw(
        "boundary",
        "What is predicted where",
        plane.caption,
        lambda axes: _boundary(axes, plane),
        width=5.6,
        height=4.9,
    )


def errors_picture(judged: Judgement) -> Picture:
    """Predicted numbers by true ones.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    need_matplotlib()
    return draw(
        "predictions",
        "Predicted and true numbers",
        "Each dot is a row, predicted by a model that had not seen it; on the dashed line the prediction is right.",
        lambda axes: _against(axes, judged),
        width=5.6,
        height=4.4,
    )


# ---- drawing ---------------------------------------------------------------------------------------------------------


def _dots(axes: Axes, rows: list[LearnerRow], name: str, baseline: str) -> None:
    for at, row in enumerate(rows):
        score = row.scores[name]
        if score is None:
            continue
        colour = FAINT if row.method == baseline else COLOURS[0]
        axes.plot([score.low, score.high], [at, at], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
        face = PAPER if row.yardstick else colour
        axes.scatter([score.value], [at], s=42, color=face, edgecolor=colour, linewidths=1.6, zorder=3)
        if row.method == baseline:
            axes.axvline(score.value, color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.set_yticks(range(len(rows)), [shortened(row.method, 40) for row in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(name)
    axes.margins(y=0.4 / max(len(rows), 1) + 0.03)


def shortened(label: Any, most: int = LONGEST_LABEL) -> str:
    """A label that fits.

    >>> shortened("card_payment_wrong_exchange_rate")
    'card_payment_wrong_exch…'
    """
    text = " ".join(str(label).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shown_labels(judged: Judgement) -> np.ndarray:
    """Numbers of the labels in the picture of the confusion, those that are taken for each other side by side.

    Of many labels, those with the most confused pairs are taken, pair by pair.
    """
    confusion = judged.confusion
    if len(confusion) <= MOST_LABELS:
        return np.arange(len(confusion))
    wrong = confusion + confusion.T
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-np.triu(wrong), axis=None, kind="stable")
    chosen: dict[int, None] = {}
    for at in order.tolist():
        pair = [each for each in divmod(at, len(wrong)) if each not in chosen]
        if len(chosen) + len(pair) > MOST_LABELS:
            break
        chosen.update(dict.fromkeys(pair))
    return np.array(list(chosen))


def _heat_map(axes: Axes, judged: Judgement, shown: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    counts = judged.confusion[np.ix_(shown, shown)]
    shares = counts / np.maximum(judged.trial.targets.rows_by_class[shown], 1)[:, None]
    for down, across in np.argwhere(counts > 0).tolist():
        share = float(shares[down, across])
        colour = COLOURS[0] if down == across else COLOURS[4]
        place = (across - 0.5, down - 0.5)
        axes.add_patch(Rectangle(place, 1, 1, facecolor=colour, alpha=0.12 + 0.78 * share**0.7, linewidth=0))
        ink = "#fffffd" if share > 0.45 else INK  # on a dark square in both modes
        text, size = f"{counts[down, across]:,}", 8.5 if len(shown) <= 12 else 6.5
        axes.annotate(text, (across, down), ha="center", va="center", fontsize=size, color=ink)
    names = [shortened(each, 30 if len(shown) <= 12 else LONGEST_LABEL) for each in judged.labels[shown].tolist()]
    size = 9.0 if len(shown) <= 12 else 7.0
    steep = max(map(len, names)) > (4 if len(names) > 3 else 14)
    axes.set_xticks(range(len(shown)), names, rotation=90 if steep else 0, fontsize=size)
    axes.set_yticks(range(len(shown)), names, fontsize=size)
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.set_xticks(np.arange(len(shown) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(shown) + 1) - 0.5, minor=True)
    axes.grid(visible=True, which="minor", color=GRID, linewidth=0.6)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")


def _reliability(axes: Axes, judged: Judgement) -> None:
    from nearkin.learning.score_intervals import share

    most = max(each.rows for each in judged.reliability)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    places = [(each.confidence, each.accuracy) for each in judged.reliability]
    axes.plot(*zip(*places, strict=True), color=COLOURS[0], linewidth=1.0, alpha=0.6, zorder=2)
    for each in judged.reliability:
        ends = share(np.arange(each.rows) < round(each.accuracy * each.rows))
        axes.plot([each.confidence] * 2, [ends.low, ends.high], color=COLOURS[0], linewidth=1.2, zorder=2)
        area = 14 + 130 * each.rows / most
        axes.scatter([each.confidence], [each.accuracy], s=area, color=COLOURS[0], edgecolor=PAPER, zorder=3)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share that is right")


def _growth(axes: Axes, curve: LearningCurve) -> None:
    rows = [point.rows for point in curve.points]
    axes.fill_between(
        rows,
        [point.score.low for point in curve.points],
        [point.score.high for point in curve.points],
        color=COLOURS[0],
        alpha=0.18,
        linewidth=0,
    )
    axes.plot(rows, [point.score.value for point in curve.points], color=COLOURS[0], marker="o", markersize=5)
    axes.set_xlim(left=0)
    axes.set_xlabel("training rows")
    axes.set_ylabel(curve.measure)


def _boundary(axes: Axes, plane: Plane) -> None:
    many = len(plane.points) > ROWS_AS_SHAPES
    # a bitmap does not follow the colours of the page, so there are no edges in it
    look: dict[str, Any] = {"linewidths": 0 if many else 0.5, "edgecolor": PAPER, "rasterized": many, "zorder": 3}
    if plane.names:
        _regions(axes, plane, look, many=many)
    else:
        _heights(axes, plane, look)
    axes.grid(visible=False)
    axes.set_xlim(plane.extent[0], plane.extent[1])
    axes.set_ylim(plane.extent[2], plane.extent[3])
    axes.set_xlabel(plane.axes[0])
    axes.set_ylabel(plane.axes[1])


def _heights(axes: Axes, plane: Plane, look: dict[str, Any]) -> None:
    low, high = plane.range
    options: dict[str, Any] = {"cmap": "viridis", "vmin": low, "vmax": high}
    ground: dict[str, Any] = {"origin": "lower", "aspect": "auto", "alpha": 0.45, "interpolation": "nearest"}
    axes.imshow(plane.grid, extent=plane.extent, **ground, **options)
    right, up = plane.points.T
    drawn = axes.scatter(right, up, c=plane.values, s=20, **look, **options)
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02)
    bar.outline.set_visible(False)


def _regions(axes: Axes, plane: Plane, look: dict[str, Any], *, many: bool) -> None:
    from matplotlib.colors import to_rgba

    others = np.array([name == plane.rest for name in plane.names])
    colours = [to_rgba(FAINT if rest else colour_of(at)) for at, rest in enumerate(others.tolist())]
    image = np.array(colours)[plane.grid]
    image[..., 3] = np.where(others[plane.grid], 0.12, 0.26)
    axes.imshow(image, extent=plane.extent, origin="lower", aspect="auto", interpolation="nearest", zorder=1)
    order = sorted(range(len(plane.names)), key=lambda at: not others[at])  # all others below
    drawn = {}
    for at in order:
        right, up = plane.points[plane.values == at].T
        size = 22 if not many else 4 if others[at] else 14
        drawn[at] = axes.scatter(right, up, s=size, color=colours[at], **look)
    names = [shortened(name, 30) for name in plane.names]
    axes.legend(
        [drawn[at] for at in range(len(names))],
        names,
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        borderaxespad=0,
        ncols=2 if max(map(len, names)) > 12 else 4,
        fontsize=8.5,
        handletextpad=0.3,
        columnspacing=1.0,
    )


def _against(axes: Axes, judged: Judgement) -> None:
    truth, predicted = judged.trial.targets.values, judged.predicted
    some = np.arange(len(truth))
    if len(some) > 3000:
        some = np.random.default_rng(0).choice(some, 3000, replace=False)
    ends = [float(truth.min()), float(truth.max())]
    axes.plot(ends, ends, color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=3)
    axes.scatter(
        truth[some],
        predicted[some],
        s=9,
        color=COLOURS[0],
        alpha=0.35,
        linewidths=0,
        rasterized=len(some) > ROWS_AS_SHAPES,
    )
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
