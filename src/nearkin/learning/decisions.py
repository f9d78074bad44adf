"""What is answered, or that nothing is: labels with how sure they are, and why.

>>> found = Decisions(["spam", "ham"], np.array([0.97, 0.61]), threshold=0.8)
>>> found.labels, found[1].why
(['spam', None], 'not sure: 0.61, 0.80 needed')
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf, isnan
from typing import Any, Literal, NamedTuple

import numpy as np

from nearkin.learners import Reason
from nearkin.learning.scope import beyond


class Decision(NamedTuple):
    """What is said of one row.

    Attributes
    ----------
    label
        Its label, or None for "I don't know".
    probability
        Calibrated, of the likeliest label.
    known
        Whether there is an answer.
    why
        ``sure``, ``likeliest`` (where no error rate was asked for), ``not sure: ...`` or ``out of scope: ...``.
    reasons
        Neighbours, columns or centroids that decided, the largest share first; empty where the learner does not say.
    likeliest
        The likeliest label, whether it is the answer or not.
    distance
        To the nearest known row; None where nothing is held for out of scope.
    """

    label: Any
    probability: float
    known: bool
    why: str
    reasons: tuple[Reason, ...]
    likeliest: Any
    distance: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, if the labels are."""
        reasons = [dict(zip(Reason._fields, map(_plain, each), strict=True)) for each in self.reasons]
        return {**{name: _plain(value) for name, value in self._asdict().items()}, "reasons": reasons}


@dataclass(frozen=True, eq=False)
class Decisions:
    """A `Decision` for each of several rows.

    Attributes
    ----------
    likeliest
        m labels.
    probabilities : ndarray
        (m,) float64, calibrated, of these.
    threshold
        Probability that an answer needs: 0 for every answer, +inf for none.
    distances : ndarray or None
        (m,) to the nearest known row.
    limit
        Distance beyond which a row is out of scope.
    scope
        Share of known rows within it.
    error_rate
        Asked for; None if none was.
    reasons
        One sequence a row; empty where nothing says why.
    notes
        What holds for all of them, in sentences.
    unheard : ndarray or None
        (m,) of which the embedder knows nothing, so that nothing is said of them.
    """

    likeliest: Sequence[Any]
    probabilities: np.ndarray
    threshold: float = 0.0
    distances: np.ndarray | None = None
    limit: float = inf
    scope: float | None = None
    error_rate: float | None = None
    reasons: Sequence[Sequence[Reason]] = ()
    notes: tuple[str, ...] = field(default=())
    unheard: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray:
        """(m,) whether there is an answer."""
        return self._known.copy()

    @property
    def out_of_scope(self) -> np.ndarray:
        """(m,) whether a row is farther from every known row than these are from each other."""
        return self._far.copy()

    @cached_property
    def _known(self) -> np.ndarray:
        return np.asarray((self.probabilities >= self.threshold) & ~self._far)

    @cached_property
    def _far(self) -> np.ndarray:
        far = np.zeros(len(self), dtype=bool) if self.distances is None else beyond(self.distances, self.limit)
        return far if self.unheard is None else far | self.unheard

    @property
    def labels(self) -> list[Any]:
        """m labels, None where there is no answer."""
        return [label if known else None for label, known in zip(self.likeliest, self.known.tolist(), strict=True)]

    @property
    def coverage(self) -> float:
        """Share of rows with an answer; NaN of none."""
        return float(self.known.mean()) if len(self) else float("nan")

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, row: int) -> Decision:
        at = range(len(self))[row]
        known, probability = bool(self._known[at]), float(self.probabilities[at])
        distance = None if self.distances is None else float(self.distances[at])
        reasons = tuple(self.reasons[at]) if self.reasons else ()
        label = self.likeliest[at]
        return Decision(label if known else None, probability, known, self._why(at), reasons, label, distance)

    def __iter__(self) -> Iterator[Decision]:
        return (self[row] for row in range(len(self)))

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON-able dict a row."""
        return [each.to_dict() for each in self]

    def without(self, unheard: np.ndarray) -> Decisions:
        """The same, with nothing said of some rows, because the embedder knows nothing of them."""
        if not unheard.any():
            return self
        gone = unheard.tolist()
        return replace(
            self,
            likeliest=[None if none else label for label, none in zip(self.likeliest, gone, strict=True)],
            probabilities=np.where(unheard, 0.0, self.probabilities),
            distances=None if self.distances is None else np.where(unheard, np.inf, self.distances),
            reasons=[() if none else tuple(each) for each, none in zip(self.reasons, gone, strict=True)]
            if self.reasons
            else (),
            unheard=unheard,
        )

    def with_reasons(self, reasons: Sequence[Sequence[Reason]]) -> Decisions:
        """The same with other reasons."""
        return replace(self, reasons=reasons)

    def _why(self, row: int) -> str:
        if self.unheard is not None and self.unheard[row]:
            return "out of scope: it has nothing that the embedder knows"
        if self.distances is not None and self._far[row]:
            far, limit = apart(float(self.distances[row]), self.limit, 4, "g")
            return f"out of scope: distance {far}, {self.scope or 0:.4g} of known rows lie within {limit}"
        probability = float(self.probabilities[row])
        if probability >= self.threshold:
            return "likeliest" if self.error_rate is None else "sure"
        if self.threshold == inf:
            return f"not sure: {probability:.2f}, and no probability is enough"
        return "not sure: {}, {} needed".format(*apart(probability, self.threshold))


def apart(one: float, other: float, least: int = 2, form: Literal["f", "g"] = "f") -> tuple[str, str]:
    """Two numbers in so few decimals ("f") or digits ("g"), and at least so many, that they still differ.

    >>> apart(0.61, 0.8), apart(0.71996, 0.72), apart(0.12, 0.0022, 4, "g")
    (('0.61', '0.80'), ('0.71996', '0.72000'), ('0.12', '0.0022'))
    """
    for digits in range(least, 18):
        texts = f"{one:.{digits}{form}}", f"{other:.{digits}{form}}"
        if texts[0] != texts[1]:
            return texts
    return f"{one!r}", f"{other!r}"


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's, and those that JSON lacks as None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and (isnan(value) or abs(value) == inf) else value
