"""Search parameters at which an index gives a wanted recall, the fastest of them.

More of a search parameter never finds less and never takes less time. So for each depth of re-ranking there is a least effort that
is enough, and both are found by doubling and halving; only those pairs are timed. An index with other search parameters besides
is searched along its first and its last, the others stay at their defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from nearkin.indexes import Index

STEPS_TO_DOUBLE = 4
"""Values of a search parameter that are tried between one and twice as many."""

NO_GAIN = 0.005
"""Doubling a parameter is given up where it brings less than this share of what is missing."""

DEEPEST = 64
"""A parameter is raised to so many times its default, at most."""

DEEP = 4
"""Times its default that the depth of re-ranking begins with; deeper only if that is not enough."""

TIMED = 6
"""Choices that are timed, at most."""

Params = Mapping[str, int]


def never(params: Params) -> bool:
    """No search parameters take too long."""
    return False


@dataclass
class Quality:
    """Recall at search parameters, each asked once.

    Attributes
    ----------
    recall_at
        Search parameters to the recall that counts, on whatever scale `wanted` is on.
    wanted
        Recall that is enough.
    too_slow
        Whether search parameters take too long to be worth asking further.
    """

    recall_at: Callable[[Params], float]
    wanted: float
    too_slow: Callable[[Params], bool] = never
    known: dict[tuple[tuple[str, int], ...], float] = field(default_factory=dict)

    def __call__(self, params: Params) -> float:
        key: tuple[tuple[str, int], ...] = tuple(sorted(params.items()))
        if key not in self.known:
            self.known[key] = self.recall_at(params)
        return self.known[key]

    def enough(self, params: Params) -> bool:
        """Whether the recall is what is wanted."""
        return self(params) >= self.wanted

    def best(self) -> dict[str, int]:
        """Of what was asked, what gave the highest recall."""
        return dict(max(self.known.items(), key=lambda pair: pair[1])[0])


def ladder(index: Index, name: str, steps: int = STEPS_TO_DOUBLE) -> list[int]:
    """Values of a search parameter to try, ascending, from the least to `DEEPEST` times its default; so many until it doubles."""
    default, least = index.resolve({})[name], index.knobs[name].least
    most = max(least, min(DEEPEST * max(default, 1), max(index.n, 1)))
    values, value = [], float(least)
    while value < most:
        values.append(round(value))
        value *= 2 ** (1 / steps)
    return sorted({*values, most})


def sufficient(index: Index, quality: Quality, *, fixed: Params, rerank_least: int) -> list[dict[str, int]]:
    """Search parameters that are enough, of which none is more in every parameter than another; empty if none are.

    Parameters
    ----------
    fixed
        Search parameters that stay as they are.
    rerank_least
        The least `rerank` that makes sense.
    """
    start = {**index.resolve({}), **fixed}
    free = [name for name in start if name not in fixed]
    if not free:
        return [dict(fixed)] if quality.enough(fixed) else []
    values = {name: ladder(index, name) for name in free}
    if "rerank" in free:
        free = [*(name for name in free if name != "rerank"), "rerank"]
        values["rerank"] = [value for value in values["rerank"] if value >= rerank_least] or [index.n]
    effort, depth = free[0], free[-1]
    if effort != depth:
        return list(_staircase(quality, start, (effort, values[effort]), (depth, values[depth])))
    place = _least(values[effort], start[effort], lambda value: {**start, effort: value}, quality)
    return [] if place is None else [{**start, effort: values[effort][place]}]


def _staircase(
    quality: Quality, start: Params, effort: tuple[str, list[int]], depth: tuple[str, list[int]]
) -> Iterator[dict[str, int]]:
    """For less and less depth the least effort that is enough, as long as there is one that is worth it."""
    name, values = effort
    other, depths = depth
    place, deepest = None, _at_least(depths, DEEP * start[other])
    while place is None:
        base = {**start, other: depths[deepest]}
        place = _least(values, start[name], lambda value, base=base: {**base, name: value}, quality)  # type: ignore[misc]
        if place is None and deepest == len(depths) - 1:
            return
        deepest = deepest if place is not None else min(len(depths) - 1, deepest + 2 * STEPS_TO_DOUBLE)
    most = min(len(values), place + 2 * STEPS_TO_DOUBLE)
    for value in reversed(depths[: deepest + 1]):
        while place < most and not quality.enough({**start, name: values[place], other: value}):
            place += 1
        if place == most:
            return
        yield {**start, name: values[place], other: value}


def _least(values: list[int], usual: int, params: Callable[[int], Params], quality: Quality) -> int | None:
    """The place of the least value that is enough, or None."""
    high = _at_least(values, usual)
    low = 0
    while not quality.enough(params(values[high])):
        missing = quality.wanted - quality(params(values[high]))
        raised = min(len(values) - 1, high + STEPS_TO_DOUBLE)
        if raised == high or quality.too_slow(params(values[high])):
            return None
        if quality(params(values[raised])) < quality(params(values[high])) + NO_GAIN * missing:
            return None
        low, high = high + 1, raised
    while low < high:
        middle = (low + high) // 2
        if quality.enough(params(values[middle])):
            high = middle
        else:
            low = middle + 1
    return high


def _at_least(values: list[int], wanted: int) -> int:
    return next((place for place, value in enumerate(values) if value >= wanted), len(values) - 1)


def spread(choices: list[dict[str, int]]) -> list[dict[str, int]]:
    """Of many choices, some that lie evenly among them, the first and the last included: those that are worth timing.

    >>> [each["nprobe"] for each in spread([{"nprobe": number} for number in range(11)])]
    [0, 2, 4, 6, 8, 10]
    """
    if len(choices) <= TIMED:
        return choices
    step = (len(choices) - 1) / (TIMED - 1)
    return [choices[round(number * step)] for number in range(TIMED)]
