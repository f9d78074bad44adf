"""Labels of rows from a field of their metadata: text, numbers, true and false; rows without one are left out.

>>> found = MetadataLabels.of([{"kind": "b"}, {}, {"kind": True}, {"kind": "a"}], ("kind",), "kind")
>>> found.classes, found.codes.tolist()
([True, 'a', 'b'], [2, -1, 0, 1])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.errors import ParameterError


@dataclass(frozen=True)
class MetadataLabels:
    """Labels of rows.

    Attributes
    ----------
    classes
        Every label once: false and true, then numbers, then text. 1 and 1.0 are one label, 1 and true are two.
    codes
        (n,) place of each row's label among these; -1 where it has none: missing, null, or an empty text.
    """

    classes: list[Any]
    codes: np.ndarray

    @classmethod
    def of(cls, metadata: Sequence[Mapping[str, Any]], keys: Sequence[str], field: str) -> MetadataLabels:
        """Read labels.

        Raises
        ------
        ParameterError
            One is a list or an object.
        """
        given = [_key(_value(each, keys), row, field) for row, each in enumerate(metadata)]
        classes = sorted({each for each in given if each is not None})
        codes = {each: code for code, each in enumerate(classes)}
        numbers = [-1 if each is None else codes[each] for each in given]
        return cls([value for _, value in classes], np.array(numbers, dtype=np.int64))

    @property
    def names(self) -> np.ndarray:
        """(classes,) a text for each label, in the same order, which every classifier takes, and which no row number equals."""
        width = len(str(max(1, len(self.classes))))
        return np.array([f"label {code:0{width}d}" for code in range(len(self.classes))], dtype=object)


def _value(metadata: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        metadata = metadata.get(key) if isinstance(metadata, Mapping) else None
    return metadata


def _key(value: Any, row: int, field: str) -> tuple[int, Any] | None:
    """What sorts labels of several types, None for no label."""
    if value is None or value == "" or value != value:
        return None
    if isinstance(value, bool):
        return 0, value
    if isinstance(value, int | float):
        return 1, value
    if isinstance(value, str):
        return 2, value
    raise ParameterError(
        f"the field {field} of row {row} is a {type(value).__name__}, and a label is text, a number, true or false",
        hint="name another field",
    )
