"""What learners have in common: scikit-learn's estimator protocol, a task, and reasons for what they predict.

A learner is any scikit-learn classifier or regressor, one of scikit-learn's own too. One that can say why it predicts what it
predicts has a method ``reasons(X, most=5)``.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

LearningTask = Literal["classes", "numbers"]
"""What is predicted: one of several labels, or numbers."""


class Reason(NamedTuple):
    """One part of why a row got its prediction.

    Attributes
    ----------
    what
        Number of a row (a neighbour), name or number of a column; of a centroid its label, or ``centroid`` and its number.
    label
        Label (or number) of that neighbour or centroid; None for a column.
    distance
        To that neighbour or centroid; None for a column.
    weight
        Its share of the prediction: between 0 and 1 for neighbours, positive for and negative against the prediction for
        columns, where the sizes of all shares add up to 1.
    """

    what: Any
    label: Any
    distance: float | None
    weight: float


@runtime_checkable
class Explains(Protocol):
    """A learner that says why."""

    def reasons(self, X: Any, most: int = 5) -> list[list[Reason]]:
        """For each row the parts that decided, the largest first."""


@runtime_checkable
class Learner(Protocol):
    """What nearkin needs of a scikit-learn estimator."""

    def fit(self, X: Any, y: Any) -> Any:
        """Learn from (n, dim) rows and n labels or numbers."""

    def predict(self, X: Any) -> np.ndarray:
        """(m,) labels or numbers."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What it was made with."""
