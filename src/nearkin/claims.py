"""What textbooks say of quantization, low rank and pruning, judged on the plans that were measured.

Each claim is about the codec alone, so it is read off the exact index over it: what is lost there is lost by the codec.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from nearkin.tradeoffs import Setting, TradeOff, TradeOffs

ALMOST = 0.9
"""Share of the promised compression that is counted as kept: what is stored once for all rows, and rounding of columns."""

Verdict = Literal["holds", "does not hold", "too close to call", "not measured"]


@dataclass(frozen=True)
class Claim:
    """A claim, and what these vectors say of it.

    Attributes
    ----------
    promised_compression, promised_loss
        Times smaller than float32 (None if the claim says nothing of it), and recall lost at most.
    compression, recall_low, recall, recall_high
        As measured; None where nothing was.
    refined, refined_recall
        The plan that ranks candidates of the same codes again, and its recall; empty and None where none was measured.
    """

    name: str
    plan: str
    promised_compression: float | None
    promised_loss: float
    verdict: Verdict
    compression: float | None = None
    recall_low: float | None = None
    recall: float | None = None
    recall_high: float | None = None
    refined: str = ""
    refined_recall: float | None = None


def judge_claims(found: TradeOffs) -> tuple[Claim, ...]:
    """Every claim, judged; one about a plan that was not measured says so."""
    exact = found.exact.index
    said: list[tuple[str, str, float | None, float]] = [
        ("int8: 4 times smaller at a loss under 1 point of recall", f"{exact},int8", 4.0, 0.01),
        ("low rank: 5 times smaller at a loss under 5 points", f"pca,{exact}", 5.0, 0.05),
        ("pruning 50 % of the coordinates loses under 5 points", f"{exact},pruned", None, 0.05),
        ("pruning 70 % of the coordinates loses under 5 points", f"{exact},pruned:percent=70", None, 0.05),
        ("pruning 90 % of the coordinates loses under 5 points", f"{exact},pruned:percent=90", None, 0.05),
    ]
    return tuple(_judged(found, *each) for each in said)


def _judged(found: TradeOffs, name: str, plan: str, smaller: float | None, loss: float) -> Claim:
    # Where two plugins offer a codec of one name, plans say which is meant; the built-in one was measured first.
    measured = {re.sub(r"[^,/]+/", "", row.asked): row for row in found.rows[::-1] if not row.error}
    row = measured.get(re.sub(r"[^,/]+/", "", plan))
    if row is None:
        return Claim(name, plan, smaller, loss, "not measured")
    setting = _best(row)
    interval = setting.recall
    verdict: Verdict = "too close to call"
    if 1 - interval.high > loss or (smaller is not None and row.compression < ALMOST * smaller):
        verdict = "does not hold"
    elif 1 - interval.low <= loss:
        verdict = "holds"
    again = measured.get(re.sub(r"[^,/]+/", "", f"{plan},refine-f16"))
    return Claim(
        name,
        row.plan,
        smaller,
        loss,
        verdict,
        compression=row.compression,
        recall_low=interval.low,
        recall=interval.mean,
        recall_high=interval.high,
        refined=again.plan if again else "",
        refined_recall=_best(again).recall.mean if again else None,
    )


def _best(row: TradeOff) -> Setting:
    return max(row.settings, key=lambda each: each.recall.mean)
