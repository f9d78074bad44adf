"""What is to be predicted, and which rows are held out when: folds that all methods share.

>>> folds_of(np.array([0, 0, 0, 0, 1, 1]), 2, seed=0).tolist().count(0)
3
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import ParameterError
from nearkin.items import is_missing
from nearkin.learners import LearningTask

MANY_VALUES = 20
"""Different numbers from which on they are numbers and no labels."""


class Targets(NamedTuple):
    """What is to be predicted, one a row."""

    task: LearningTask
    labels: np.ndarray
    """(classes,) labels, sorted; none for numbers."""
    values: np.ndarray
    """(n,) numbers of the labels, from 0; or float64 numbers."""

    @property
    def rows_by_class(self) -> np.ndarray:
        """(classes,) rows."""
        return np.bincount(self.values, minlength=len(self.labels))


def task_of(y: Sequence[Any] | np.ndarray) -> LearningTask:
    """Numbers of which there are more than `MANY_VALUES` and, if all are whole, more than a tenth as many as rows, are numbers;
    all else is labels.

    >>> task_of(["ham", "spam"]), task_of([0, 1, 1, 0]), task_of([number / 7 for number in range(50)])
    ('classes', 'classes', 'numbers')
    """
    values = np.asarray(y)
    if values.dtype.kind not in "iuf":
        return "classes"
    different = np.unique(values)
    if len(different) <= MANY_VALUES:
        return "classes"
    whole = bool((values == np.floor(values)).all())
    return "numbers" if not whole or len(different) > len(values) / 10 else "classes"


def targets_of(y: Any, task: LearningTask | None = None) -> Targets:
    """Labels as numbers from 0, or numbers as float64.

    Raises
    ------
    ParameterError
        Not one target a row, one that is missing or a list or an object, only one label, labels that all differ, or numbers that
        are none.
    """
    if not isinstance(y, np.ndarray) or y.dtype == object:
        y = y if hasattr(y, "to_numpy") or isinstance(y, np.ndarray) else list(y)
        need_plain_labels(y)
    given = np.asarray(y) if isinstance(y, np.ndarray) or hasattr(y, "to_numpy") else _as_array(list(y))
    if given.ndim != 1:
        raise ParameterError(f"targets have shape {given.shape}, (rows,) expected")
    if task not in (None, "classes", "numbers"):
        raise ParameterError(f"task is {task!r}, 'classes' or 'numbers' expected")
    gone = np.array([is_missing(each) for each in given.tolist()], dtype=bool)
    if gone.any():
        raise ParameterError(
            f"{int(gone.sum()):,} of {len(given):,} rows have no label, row {int(gone.argmax())} first",
            hint="leave these rows out",
        )
    if (task or task_of(given)) == "numbers":
        return Targets("numbers", np.empty(0), _numbers(given))
    kept = given if given.dtype.kind in "iufbUS" or _sortable(given) else given.astype(str)
    labels, codes = np.unique(kept, return_inverse=True)
    _need_classes(labels, len(given))
    return Targets("classes", labels, codes)


def need_plain_labels(labels: Iterable[Any], field: str | None = None) -> None:
    """Refuse labels that hold several values.

    Raises
    ------
    ParameterError
        One is a list or an object.

    >>> need_plain_labels(["ham", 1, True])
    """
    for row, each in enumerate(labels):
        if isinstance(each, Mapping | Set | list | tuple | np.ndarray):
            what = "label" if field is None else f"field {field}"
            raise ParameterError(
                f"the {what} of row {row} is a {type(each).__name__}, and a label is text, a number, true or false",
                hint="name another field" if field is not None else "give one value a row",
            )


def _as_array(values: list[Any]) -> np.ndarray:
    """Mixed kinds stay as they are: numpy would make text of numbers beside text."""
    alike = len({type(each) for each in values}) <= 1 or all(isinstance(each, int | float) for each in values)
    return np.asarray(values) if alike else np.array(values, dtype=object)


def _sortable(values: np.ndarray) -> bool:
    return len({type(each) for each in values.tolist()}) <= 1


def _numbers(given: np.ndarray) -> np.ndarray:
    try:
        values = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError("task is 'numbers', and some targets are no numbers", hint="task='classes'") from error
    if not np.isfinite(values).all():
        raise ParameterError(f"{int((~np.isfinite(values)).sum()):,} targets are not finite", hint="leave them out")
    return values


def _need_classes(labels: np.ndarray, rows: int) -> None:
    if len(labels) < 2:
        what = f"all {rows:,} rows have the label {labels.tolist()[0]!r}" if rows else "there are no rows"
        raise ParameterError(f"{what}, so there is nothing to tell apart", hint="at least two labels are needed")
    if len(labels) == rows:
        raise ParameterError(
            f"each of the {rows:,} rows has a label of its own, so none can be learned from the others",
            hint="numbers are predicted with task='numbers' (--task numbers)",
        )


def folds_of(codes: np.ndarray | None, cv: int, *, seed: int, rows: int | None = None) -> np.ndarray:
    """(n,) fold of each row, 0 to cv - 1, equally large; rows of one class are dealt out to the folds in turn.

    Parameters
    ----------
    codes
        (n,) numbers of the labels; None for numbers, of which there are `rows`.

    Raises
    ------
    ParameterError
        Fewer than two folds, or fewer rows than folds.
    """
    count = len(codes) if codes is not None else int(rows or 0)
    if isinstance(cv, bool) or not isinstance(cv, int | np.integer) or cv < 2:
        raise ParameterError(f"cv is {cv!r}, a number of folds of at least 2 expected")
    if count < cv:
        raise ParameterError(
            f"{count:,} rows cannot be divided into {cv} folds", hint=f"pass cv={max(2, count)} (--cv)"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    if codes is not None:
        order = order[np.argsort(codes[order], kind="stable")]
    folds = np.empty(count, dtype=np.int64)
    folds[order] = np.arange(count) % cv
    return folds


def nested_order(codes: np.ndarray | None, rows: int, *, seed: int) -> np.ndarray:
    """(n,) row numbers whose every beginning has about the shares of labels that all rows have.

    >>> nested_order(np.array([0] * 8 + [1] * 4), 12, seed=0)[:3].tolist().count(8) <= 1
    True
    """
    order = np.random.default_rng(seed).permutation(rows)
    if codes is None:
        return order
    shuffled = codes[order]
    by_class = np.argsort(shuffled, kind="stable")
    sizes = np.bincount(shuffled)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = np.empty(rows)
    places[by_class] = (np.arange(rows) - starts + 0.5) / np.repeat(sizes, sizes)
    return np.asarray(order[np.argsort(places, kind="stable")])


def rare_classes(targets: Targets, cv: int) -> str:
    """What to say of classes with fewer rows than folds; nothing where there are none."""
    if targets.task == "numbers":
        return ""
    rows = targets.rows_by_class
    rare = np.flatnonzero(rows < cv)
    if not len(rare):
        return ""
    shown = ", ".join(f"{targets.labels[at]} {rows[at]}" for at in rare[:5].tolist())
    more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
    alone = int((rows == 1).sum())
    lost = f"; {alone} of one row cannot be predicted at all, and count as wrong" if alone else ""
    have = "labels have" if len(rare) > 1 else "label has"
    return f"{len(rare)} {have} fewer rows than the {cv} folds ({shown}{more}): some folds hold none of them{lost}"
