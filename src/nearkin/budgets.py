"""What a user can afford: recall, memory, latency, and what is to be fast."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from nearkin.errors import ParameterError

Optimize = Literal["batch", "single"]

LEVELS = (0.99, 0.95, 0.9, 0.8, 0.5)
"""Recalls that are aimed at where none is asked for: the highest that the rest of the budget allows."""

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _UNITS |= {_letter: 1000**_power, f"{_letter}b": 1000**_power, f"{_letter}ib": 1024**_power}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?)\s*([a-zµ]*)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """What an index may cost and must give. `Budget.of` reads what users write.

    Attributes
    ----------
    recall
        Recall@k that must be met, above 0 and below 1; None for the highest of `LEVELS` that the rest allows.
    memory
        Bytes of the index in memory, at most; None for any. Rows that a collection keeps beside it are not counted.
    latency
        Seconds within which 95 of 100 queries that are asked alone are answered, at most; None for any.
    optimize
        What is to be fast among the plans that meet all this: whole batches, or one query at a time.
    fixed
        Whether the plan was given besides, so that only its search parameters are found.

    Examples
    --------
    >>> budget = Budget.of(recall=0.95, memory="200MB", latency="2ms")
    >>> budget.memory, budget.latency
    (200000000, 0.002)
    """

    recall: float | None = None
    memory: int | None = None
    latency: float | None = None
    optimize: Optimize = "batch"
    fixed: bool = False

    @classmethod
    def of(
        cls,
        recall: float | None = None,
        memory: int | str | None = None,
        latency: float | str | None = None,
        optimize: Optimize = "batch",
        *,
        fixed: bool = False,
    ) -> Budget:
        """A budget of numbers or text.

        Raises
        ------
        ParameterError
            A number out of range, or text without a unit that is known.
        """
        if recall is not None and not (_is_number(recall) and 0 < recall < 1):
            raise ParameterError(
                f"recall is {recall!r}, a number above 0 and below 1 expected",
                hint='for every neighbour of every query use plan="flat"' if recall == 1 else "for example 0.95",
            )
        if optimize not in get_args(Optimize):
            raise ParameterError(f"optimize is {optimize!r}, one of {', '.join(get_args(Optimize))} expected")
        return cls(
            None if recall is None else float(recall),
            None if memory is None else read_bytes(memory),
            None if latency is None else read_seconds(latency),
            optimize,
            fixed,
        )

    @property
    def given(self) -> bool:
        """Whether anything is asked for at all."""
        return not (self.recall is None and self.memory is None and self.latency is None)

    @property
    def levels(self) -> tuple[float, ...]:
        """Recalls to aim at, the most wanted first."""
        return LEVELS if self.recall is None else (self.recall,)

    def __str__(self) -> str:
        parts = [] if self.recall is None else [f"recall {self.recall:g}"]
        parts += [] if self.memory is None else [f"{self.memory:,} bytes"]
        parts += [] if self.latency is None else [f"{self.latency * 1e3:g} ms a query"]
        return ", ".join([*parts, "fast " + ("in batches" if self.optimize == "batch" else "for one query at a time")])


def read_bytes(value: int | str) -> int:
    """Bytes from a number, or from text with a unit: kB, MB, GB, TB of 1,000, KiB, MiB, GiB, TiB of 1,024; the B may be left out.

    >>> read_bytes("1.5GB"), read_bytes("4 MiB"), read_bytes("200M")
    (1500000000, 4194304, 200000000)
    """
    number, unit = _parts(value)
    if number is None or unit not in _UNITS or number * _UNITS[unit] < 1:
        raise ParameterError(f"memory is {value!r}, bytes expected", hint="for example 200MB, 4GiB or 200000000")
    return int(number * _UNITS[unit])


def read_seconds(value: float | str) -> float:
    """Seconds from a number of seconds, or from text with a unit: s, ms or us.

    >>> read_seconds("500us"), read_seconds(0.25)
    (0.0005, 0.25)
    """
    number, unit = _parts(value)
    factor = 1.0 if unit == "" and not isinstance(value, str) else _SECONDS.get(unit)
    if number is None or factor is None or number <= 0:
        raise ParameterError(f"latency is {value!r}, a time for one query expected", hint="for example 2ms or 500us")
    return number * factor


def _parts(value: object) -> tuple[float | None, str]:
    """Number and unit in lower case; no number where there is none that is finite."""
    if _is_number(value):
        return float(value), ""  # type: ignore[arg-type]
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None or not math.isfinite(float(found[1])):
        return None, ""
    return float(found[1]), found[2].lower()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
