"""Columns of a table as columns of vectors, and back: numbers in steps, categories one-hot, dates on a line and on circles.

One unit of squared distance is a step of a number (`nearkin_plugins.tables.scales`), another category, or a value that is missing
in one of two records only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from nearkin.errors import InputError
from nearkin_plugins.tables.cells import Reading, read_categories, read_moments, read_numbers
from nearkin_plugins.tables.dates import PARTS, date_texts, day_numbers, turns, wall_texts
from nearkin_plugins.tables.scales import Scale, learn_scale

MOST_CATEGORIES = 10_000
FARTHEST = 1e15
"""Steps from the centre at which a number is refused: float32 could not compare it with others."""
MISSING, OTHER = "(missing)", "(other)"
_HALF = np.sqrt(0.5)
"""Two different ones of these are 1 apart."""
_NEUTRAL = 0.5
"""Between missing and not missing."""


class TableColumn(ABC):
    """One column: what was learned of it, and how its values become some columns of a vector.

    Attributes
    ----------
    gaps
        Whether values were missing when it learned.
    """

    kind: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name
        self.gaps = False
        self.notes: list[str] = []

    @property
    @abstractmethod
    def width(self) -> int:
        """Columns of the vector."""

    @abstractmethod
    def learn(self, cells: Sequence[Any], reading: Reading) -> np.ndarray:
        """Learn from values; gives (n,) float64 or, of categories, whole numbers, to look for relations in."""

    @abstractmethod
    def check(self, cells: Sequence[Any], reading: Reading) -> None:
        """Raise InputError if a value cannot be read, which takes no learning, or lies too far from what was learned."""

    @abstractmethod
    def write(self, out: np.ndarray, cells: Sequence[Any], reading: Reading, absent: np.ndarray | None) -> None:
        """Write values into an (n, width) array of zeros; `absent` says in which queries the column does not count."""

    @abstractmethod
    def read(self, parts: np.ndarray, *, shares: bool) -> list[Any]:
        """Values that (n, width) float64 columns of vectors stand for."""

    @abstractmethod
    def meta(self) -> dict[str, Any]:
        """What was learned, JSON-able, numbers left out."""

    @abstractmethod
    def restore(self, meta: Mapping[str, Any], scale: Scale) -> None:
        """Take back what `meta` and `scale` gave."""

    @property
    def scale(self) -> Scale:
        """Where it has numbers: their units."""
        return Scale(0.0, 0.0)

    def _mark_missing(self, out: np.ndarray, missing: np.ndarray, absent: np.ndarray | None) -> None:
        """The last column says what is missing, if that ever happened in learning."""
        if self.gaps:
            out[:, -1] = missing
            if absent is not None:
                out[absent, -1] = _NEUTRAL

    def _present_share(self, parts: np.ndarray) -> np.ndarray:
        """(n,) share of values that are not missing, of means of vectors."""
        share = 1.0 - parts[:, -1] if self.gaps else np.ones(len(parts))
        return np.where(share > 1e-6, np.minimum(share, 1.0), 0.0)

    def _check_near(self, steps: np.ndarray, cells: Sequence[Any], reading: Reading) -> None:
        far = np.flatnonzero(np.abs(steps) > FARTHEST)
        if far.size:
            row = int(far[0])
            raise InputError(
                f"item {reading.first + row}, column {self.name!r}: {cells[row]!r} lies {abs(float(steps[row])):.1e} steps of "
                f"{self.scale.step:.3g} from the centre {self.scale.centre:.6g}, at most {FARTHEST:.0e} can be compared",
                hint="mend the value, or make it missing",
            )


class NumericColumn(TableColumn):
    """Numbers in steps from their centre; a missing one lies at the centre, and a column of its own says so."""

    kind = "numeric"

    def __init__(self, name: str, scaling: str) -> None:
        super().__init__(name)
        self.scaling = scaling
        self._scale = Scale(0.0, 0.0)

    @property
    def width(self) -> int:
        return 1 + self.gaps

    @property
    def scale(self) -> Scale:
        return self._scale

    def learn(self, cells: Sequence[Any], reading: Reading) -> np.ndarray:
        values = read_numbers(cells, self.name, reading)
        self.gaps = bool(np.isnan(values).any())
        self._scale = learn_scale(values, self.scaling)
        if np.isnan(values).all():
            self.notes.append(f"column {self.name!r} has no values: only whether one is missing counts")
        elif not self._scale.step:
            self.notes.append(f"column {self.name!r} is always {self._scale.centre:g}: it counts for nothing")
        return self._scale.apply(values)

    def check(self, cells: Sequence[Any], reading: Reading) -> None:
        self._check_near(self._scale.apply(read_numbers(cells, self.name, reading)), cells, reading)

    def write(self, out: np.ndarray, cells: Sequence[Any], reading: Reading, absent: np.ndarray | None) -> None:
        steps = self._scale.apply(read_numbers(cells, self.name, reading))
        self._check_near(steps, cells, reading)
        missing = np.isnan(steps)
        out[:, 0] = np.where(missing, 0.0, steps)
        self._mark_missing(out, missing, absent)

    def read(self, parts: np.ndarray, *, shares: bool) -> list[Any]:
        share = self._present_share(parts)
        # those that are missing lie at the centre: the mean of the others is farther from it
        steps = parts[:, 0] / np.where(share > 0, share, 1.0)
        return [
            value if kept > 0 else None for value, kept in zip(self._scale.undo(steps).tolist(), share, strict=True)
        ]

    def meta(self) -> dict[str, Any]:
        return {"gaps": self.gaps}

    def restore(self, meta: Mapping[str, Any], scale: Scale) -> None:
        self.gaps, self._scale = meta["gaps"], scale


class CategoricalColumn(TableColumn):
    """Categories one-hot, times √½, so that two different ones are 1 apart; the last column is for all that were not learned."""

    kind = "categorical"

    def __init__(self, name: str, rare: float) -> None:
        super().__init__(name)
        self.rare = rare
        self.categories: tuple[str, ...] = ()
        self._codes: dict[str | None, int] = {}

    @property
    def width(self) -> int:
        return len(self.categories) + self.gaps + 1

    def learn(self, cells: Sequence[Any], reading: Reading) -> np.ndarray:
        texts = read_categories(cells, self.name, reading)
        counts = Counter(texts)
        self.gaps = bool(counts.pop(None, 0))
        least = self.rare * counts.total()
        kept = sorted(text for text, count in counts.items() if text is not None and count >= least)
        if len(kept) > MOST_CATEGORIES:
            raise InputError(
                f"column {self.name!r} has {len(kept):,} different categories, at most {MOST_CATEGORIES:,} are taken",
                hint="leave the column out, or put rare ones together: rare=0.001",
            )
        self._take(kept)
        self._tell(len(counts), counts.total())
        return self._codes_of(texts)

    def _take(self, categories: Sequence[str]) -> None:
        self.categories = tuple(categories)
        known: list[str | None] = [*categories, *([None] if self.gaps else [])]
        self._codes = {text: code for code, text in enumerate(known)}

    def _tell(self, different: int, present: int) -> None:
        many = len(self.categories)
        if different > many:
            self.notes.append(
                f"column {self.name!r}: {different - many:,} of {different:,} categories are rarer than {self.rare:g} "
                f"and count as one"
            )
        if many > 100 or (present >= 20 and many > present / 2):
            self.notes.append(
                f"column {self.name!r} has {many:,} different categories in {present:,} values: most records differ in it, "
                f"and each category is a column of the vectors"
            )
        elif different + self.gaps == 1:
            only = "missing" if self.gaps else repr(next(iter(self.categories), OTHER))
            self.notes.append(f"column {self.name!r} is always {only}: it tells no records apart")

    def _codes_of(self, texts: Sequence[str | None]) -> np.ndarray:
        last = self.width - 1
        return np.fromiter((self._codes.get(each, last) for each in texts), dtype=np.int64, count=len(texts))

    def check(self, cells: Sequence[Any], reading: Reading) -> None:
        read_categories(cells, self.name, reading)

    def write(self, out: np.ndarray, cells: Sequence[Any], reading: Reading, absent: np.ndarray | None) -> None:
        texts = read_categories(cells, self.name, reading)
        out[np.arange(len(texts)), self._codes_of(texts)] = _HALF
        # half a unit from every category: where missing is none of them, and where a query does not name the column
        neutral = np.fromiter((text is None for text in texts), dtype=bool, count=len(texts))
        if self.gaps:
            neutral &= False if absent is None else absent
        out[neutral] = 0.0

    def read(self, parts: np.ndarray, *, shares: bool) -> list[Any]:
        labels = [*self.categories, *([MISSING] if self.gaps else []), OTHER]
        found = np.maximum(parts / _HALF, 0.0)
        if shares:
            return [_by_share(labels, row) for row in found.tolist()]
        top = found.argmax(axis=1)
        return [
            None if row[at] < 1e-6 or labels[at] == MISSING else labels[at]
            for row, at in zip(found, top.tolist(), strict=True)
        ]

    def meta(self) -> dict[str, Any]:
        return {"gaps": self.gaps, "categories": list(self.categories)}

    def restore(self, meta: Mapping[str, Any], scale: Scale) -> None:
        self.gaps = meta["gaps"]
        self._take(meta["categories"])


def _by_share(labels: Sequence[str], shares: Sequence[float]) -> dict[str, float]:
    """The labels with a share, the largest first."""
    found = {label: round(share, 6) for label, share in zip(labels, shares, strict=True) if share > 1e-6}
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


class DateColumn(TableColumn):
    """Dates: days on a line, in steps like numbers, and the times of the year, the week and the day on circles one unit wide.

    The parts share the weight of the column. The time of day takes part only if there were such times in learning.
    """

    kind = "dates"

    def __init__(self, name: str, scaling: str, parts: Sequence[str]) -> None:
        super().__init__(name)
        self.scaling = scaling
        self.parts = tuple(parts)
        self._scale = Scale(0.0, 0.0)

    @property
    def width(self) -> int:
        return sum(PARTS[part] for part in self.parts) + self.gaps

    @property
    def scale(self) -> Scale:
        return self._scale

    def learn(self, cells: Sequence[Any], reading: Reading) -> np.ndarray:
        moments = read_moments(cells, self.name, reading)
        days = day_numbers(moments)
        self.gaps = bool(np.isnan(days).any())
        self._scale = learn_scale(days, self.scaling)
        if not (days % 1 > 0).any() and len(self.parts) > 1:
            self.parts = tuple(part for part in self.parts if part != "day")
        if np.isnan(days).all():
            self.notes.append(f"column {self.name!r} has no dates: only whether one is missing counts")
        return self._scale.apply(days)

    def check(self, cells: Sequence[Any], reading: Reading) -> None:
        days = day_numbers(read_moments(cells, self.name, reading))
        if "time" in self.parts:
            self._check_near(self._scale.apply(days), cells, reading)

    def write(self, out: np.ndarray, cells: Sequence[Any], reading: Reading, absent: np.ndarray | None) -> None:
        moments = read_moments(cells, self.name, reading)
        missing = np.isnat(moments)
        factor, at = 1 / np.sqrt(len(self.parts)), 0
        for part in self.parts:
            if part == "time":
                steps = self._scale.apply(day_numbers(moments))
                self._check_near(steps, cells, reading)
                written = steps[:, None]
            else:
                angles = 2 * np.pi * turns(moments, part)
                written = np.stack([np.cos(angles), np.sin(angles)], axis=1) / 2
            out[:, at : at + PARTS[part]] = np.where(missing[:, None], 0.0, written * factor)
            at += PARTS[part]
        self._mark_missing(out, missing, absent)

    def read(self, parts: np.ndarray, *, shares: bool) -> list[Any]:
        share = self._present_share(parts)
        whole = parts * np.sqrt(len(self.parts)) / np.where(share > 0, share, 1.0)[:, None]
        columns = {}
        at = 0
        for part in self.parts:
            columns[part] = whole[:, at : at + PARTS[part]]
            at += PARTS[part]
        if "time" in columns:
            texts = date_texts(self._scale.undo(columns["time"][:, 0]), hours="day" in columns)
        else:
            texts = wall_texts(columns)
        return [text if kept > 0 else None for text, kept in zip(texts, share, strict=True)]

    def meta(self) -> dict[str, Any]:
        return {"gaps": self.gaps, "parts": list(self.parts)}

    def restore(self, meta: Mapping[str, Any], scale: Scale) -> None:
        self.gaps, self.parts, self._scale = meta["gaps"], tuple(meta["parts"]), scale
