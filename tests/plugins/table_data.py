"""Tables to embed: persons, real ones of the folder in NEARKIN_DATA, and made ones of every kind of column."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DATA = Path(os.environ.get("NEARKIN_DATA", ""))

PERSONS: dict[str, dict[str, Any]] = {
    name: dict(
        zip(
            ("city", "height", "weight", "age", "hobby", "occupation", "shop", "vehicle"),
            values,
            strict=True,
        )
    )
    for name, values in {
        "A": ("Wuhan", 179, 70, 25, "basketball", "programmer", "Taobao", "bicycle"),
        "B": ("Wuhan", 180, 70, 26, "basketball", "programmer", "Taobao", "bicycle"),
        "C": ("Shanghai", 185, 80, 54, "news", "editor", "JD", "car"),
    }.items()
}
NUMERIC = ("height", "weight", "age")
CATEGORICAL = ("city", "hobby", "occupation", "shop", "vehicle")

CREDIT_NUMERIC = tuple(f"c{at}" for at in (1, 4, 7, 10, 12, 15, 17))
CREDIT_CATEGORICAL = tuple(f"c{at}" for at in range(20) if f"c{at}" not in CREDIT_NUMERIC)
PENGUIN_NUMERIC = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
PENGUIN_CATEGORICAL = ("species", "island", "sex")


def file_of(name: str) -> Path:
    """A real table; skips where it is not there."""
    path = DATA / name
    if not os.environ.get("NEARKIN_DATA") or not path.is_file():
        pytest.skip(f"NEARKIN_DATA names no folder with {name}")
    return path


def german_credit() -> list[dict[str, Any]]:
    """Applicants, columns c0 to c19 as text; the class is left out."""
    with file_of("german-credit.csv").open(newline="", encoding="utf-8") as file:
        return [{f"c{at}": cell for at, cell in enumerate(row[:20])} for row in csv.reader(file) if row]


def penguins() -> list[dict[str, Any]]:
    """Penguins, all values as text, missing ones empty."""
    with file_of("penguins.csv").open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file)]


def made(rows: int = 300, seed: int = 0) -> list[dict[str, Any]]:
    """Numbers of several sizes, categories and missing values of both."""
    rng = np.random.default_rng(seed)
    sizes, counts = rng.lognormal(10, 1, rows), rng.integers(0, 5, rows)
    kinds, towns = rng.choice(["a", "b", "c"], rows), rng.choice(["x", "y"], rows)
    table = [
        {"size": size, "count": count, "kind": kind, "town": town}
        for size, count, kind, town in zip(sizes.tolist(), counts.tolist(), kinds.tolist(), towns.tolist(), strict=True)
    ]
    for row in rng.choice(rows, rows // 10, replace=False).tolist():
        table[row]["size" if row % 2 else "kind"] = None
    return table
