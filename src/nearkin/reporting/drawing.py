"""Drawing by matplotlib, as SVG that follows the colours of its page and as PNG."""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from nearkin.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID, PAPER = "#1d2733", "#7b8794", "#e3e8ee", "#fffffe"
"""Replaced by the colours of the page in its SVG, so that they follow the reader's light or dark mode."""

STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
}


class Picture(NamedTuple):
    """One figure of a report.

    Attributes
    ----------
    key
        What the numbers in the figure stand for, from 1 on.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes
    key: tuple[str, ...] = ()


def need_matplotlib() -> None:
    """Refuse before any work where it is not installed.

    Raises
    ------
    MissingDependencyError
        The hint is the pip command.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("pictures need the package matplotlib", hint='pip install "nearkin[report]"')


def draw(
    name: str,
    title: str,
    caption: str,
    onto: Callable[[Axes], None],
    *,
    key: tuple[str, ...] = (),
    height: float = 4.2,
    width: float = 5.6,
) -> Picture:
    """A figure with one pair of axes, drawn by `onto`, in inches of `width` and `height`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        onto(figure.add_subplot())
        return Picture(name, title, caption, _svg(figure), _png(figure), key)


def _svg(figure: Figure) -> str:
    """For the inside of a page: its fonts and its colours, no header."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", text)
    text = re.sub(r"font: ([^;\"]*?px) [^;\"]*", r"font: \1 var(--font)", text)  # as matplotlib wrote it before 3.10
    names = {INK: "ink", FAINT: "faint", GRID: "grid", PAPER: "paper"}
    for colour, name in names.items():
        text = text.replace(colour, f"var(--{name})")
    return text


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=160, metadata={"Software": None})
    return out.getvalue()


def standalone_svg(svg: str) -> str:
    """An SVG of a page as a file of its own, with the colours of paper.

    >>> standalone_svg('<svg stroke="var(--ink)">')
    '<svg stroke="#1d2733">'
    """
    for name, colour in {"ink": INK, "faint": FAINT, "grid": GRID, "paper": PAPER, "font": "sans-serif"}.items():
        svg = svg.replace(f"var(--{name})", colour)
    return svg
