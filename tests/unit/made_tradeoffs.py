"""Trade-offs made by hand, so that what is read off them can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nearkin.accuracy import Interval
from nearkin.measurement import Speed
from nearkin.plan_grid import LeftOut
from nearkin.tradeoffs import Histogram, Setting, TradeOff, TradeOffs

ROWS = 1000


def setting(recall: float, qps: float, *, width: float = 0.01, **search: int) -> Setting:
    """With an interval of a width on either side."""
    interval = Interval(recall, recall - width, min(1.0, recall + width), 500)
    return Setting(search, interval, Speed(qps, 100.0, 200.0, 300.0), usual=True)


def row(plan: str, row_bytes: int, *settings: Setting, **more: Any) -> TradeOff:
    """A plan of 1,000 rows of 100 bytes a row as float32."""
    index, _, codec = plan.partition(",")
    known: dict[str, Any] = {
        "asked": plan,
        "plan": plan,
        "index": index,
        "codec": codec,
        "refinement": "",
        "transform": "",
        "plugin": "indexes",
        "rows": ROWS,
        "float32_bytes": 100 * ROWS,
        "settings": settings,
        "predicted": {"codes": row_bytes * ROWS},
        "allocated": {"codes": row_bytes * ROWS},
    }
    return TradeOff(**{**known, **more})


def tradeoffs(*rows: TradeOff, wanted: float = 0.95, **more: Any) -> TradeOffs:
    """All of them, the exact plan first."""
    known: Mapping[str, Any] = {
        "metric": "cosine",
        "count": ROWS,
        "dim": 25,
        "k": 10,
        "queries": 500,
        "held_out": True,
        "ties": False,
        "wanted": wanted,
        "seed": 0,
        "threads": 1,
        "limit": 60.0,
        "seconds": 12.0,
        "float32_row": 100,
        "rows": rows,
        "left_out": (LeftOut("hnsw,int8", "it would take about 90 s, and 3 of 60 s were left"),),
        "histogram": Histogram((0.0, 1.0, 2.0), (3, 1), (1, 3), (0, 9), 2.5),
        "versions": {"nearkin": "0.1.0"},
    }
    return TradeOffs(**{**known, **more})


FLAT = row("flat", 100, setting(1.0, 1000, width=0.005))


def four() -> TradeOffs:
    """An exact plan, a fast one with two settings, a small one, and one that failed."""
    return tradeoffs(
        FLAT,
        row("ivf", 110, setting(0.9, 9000, nprobe=4), setting(0.97, 5000, nprobe=16)),
        row("flat,int8", 25, setting(0.995, 1500, width=0.004)),
        row("flat,pq", 5, setting(0.6, 8000)),
        row("theirs", 0, predicted=None, allocated=None, error="RuntimeError: <script>alert(1)</script> | it broke"),
    )
