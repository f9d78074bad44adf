"""Which of the plans that were measured to take, in one sentence with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from nearkin.tradeoffs import Setting, TradeOff, TradeOffs


@dataclass(frozen=True)
class Recommendation:
    """A plan with its search parameters, and why.

    Attributes
    ----------
    reached
        Whether its recall is surely what was wanted; otherwise it is the plan with the highest recall.
    smallest, smallest_setting
        The smallest plan that is good enough; the same one if nothing is smaller.
    sentence
        All of it in words.
    """

    row: TradeOff
    setting: Setting
    reached: bool
    smallest: TradeOff
    smallest_setting: Setting
    sentence: str


def recommend(found: TradeOffs) -> Recommendation:
    """The fastest plan whose recall interval ends above what is wanted, and the smallest one."""
    points = [(row, setting) for row in found.measured for setting in row.settings]
    enough = [(row, setting) for row, setting in points if setting.recall.low >= found.wanted]
    if not enough:
        row, setting = max(points, key=lambda each: (each[1].recall.mean, each[1].speed.batch_qps))
        sentence = (
            f"No plan that was measured has a recall@{found.k} of surely {found.wanted:g}: with {setting.recall.queries:,} queries "
            f"the interval is too wide, or every plan loses too much; nearest comes {_named(row, setting)} with "
            f"{_recall(setting)}."
        )
        return Recommendation(row, setting, False, row, setting, sentence)
    row, setting = max(enough, key=lambda each: each[1].speed.batch_qps)
    small, small_setting = min(enough, key=lambda each: (each[0].row_bytes, -each[1].speed.batch_qps))
    others = f"the {len(found.measured)} plans measured" if len(found.measured) > 1 else "the plan measured"
    sentence = (
        f"Take {_named(row, setting)}: of {others} it is the fastest whose recall@{found.k} is surely at least "
        f"{found.wanted:g} ({_recall(setting)}), with {_speed(setting, found)} and {_bytes(row)}"
    )
    if small.plan != row.plan:
        sentence += (
            f"; where memory matters more than speed, take {_named(small, small_setting)}, "
            f"with {_bytes(small)}, {_speed(small_setting, found)} and {_recall(small_setting)}"
        )
    return Recommendation(row, setting, True, small, small_setting, sentence + ".")


def _named(row: TradeOff, setting: Setting) -> str:
    return f"{row.plan} with {setting.text}" if setting.search else row.plan


def _recall(setting: Setting) -> str:
    return f"recall {setting.recall.mean:.3f}, interval {setting.recall.low:.3f} to {setting.recall.high:.3f}"


def _speed(setting: Setting, found: TradeOffs) -> str:
    exact = max(each.speed.batch_qps for each in found.exact.settings)
    times = setting.speed.batch_qps / exact
    return f"{setting.speed.batch_qps:,.0f} queries a second" + (
        f" ({times:.1f} times {found.exact.plan})" if times != 1 else ""
    )


def _bytes(row: TradeOff) -> str:
    times = row.compression
    beside = f"{times:.1f} times smaller than" if times > 1 else f"{1 / times:.1f} times the size of"
    return f"{row.row_bytes:,.0f} bytes a vector" + (f" ({beside} float32)" if not 0.97 < times < 1.03 else "")
