"""Formulas that no library has keep every promise of a metric, and flat, ivf and surrogate every promise of an index under them."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import numpy as np

import nearkin as nk
from nearkin.hooks import IndexSpec
from nearkin.registry import Registry
from nearkin.testing import parametrize

METRIC_AXIOMS = {"non-negative", "identity", "symmetric", "triangle"}


@nk.metric("weighted-hellinger", axioms=METRIC_AXIOMS, fit=lambda rows: 1 / (rows.var(axis=0) + 1e-3))
def weighted_hellinger(a, b, params):
    """Roots of shares compared, each column weighed by its spread."""
    total = 0.0
    for i in range(a.shape[0]):
        difference = math.sqrt(abs(a[i])) - math.sqrt(abs(b[i]))
        total += params[i] * difference * difference
    return math.sqrt(total)


@nk.metric("trimmed-l1", axioms=METRIC_AXIOMS)
def trimmed_l1(a, b):
    """Absolute differences, each at most 5."""
    total = 0.0
    for i in range(a.shape[0]):
        total += min(abs(a[i] - b[i]), 5.0)
    return total


@nk.metric("shift-correlation", axioms={"non-negative", "symmetric"})
def shift_correlation(a, b):
    """One minus the best correlation of two signals that may be shifted against each other by up to two places."""
    n = a.shape[0]
    best = -1.0
    for shift in range(-2, 3):
        first, last = max(0, -shift), min(n, n - shift)
        mean_a, mean_b = 0.0, 0.0
        for i in range(first, last):
            mean_a += a[i] / (last - first)
            mean_b += b[i + shift] / (last - first)
        both, only_a, only_b = 0.0, 0.0, 0.0
        for i in range(first, last):
            x, y = a[i] - mean_a, b[i + shift] - mean_b
            both += x * y
            only_a += x * x
            only_b += y * y
        if only_a > 0.0 and only_b > 0.0:
            best = max(best, both / (math.sqrt(only_a) * math.sqrt(only_b)))
    return max(0.0, 1.0 - best)


FORMULAS = ModuleType("formulas")  # a plugin of nothing but formulas
vars(FORMULAS).update(one=weighted_hellinger, two=trimmed_l1, three=shift_correlation)
REGISTRY = Registry(strict=True)
REGISTRY.load_entry_points()
REGISTRY.register(FORMULAS, "formulas")
METRICS = list(REGISTRY.plugins["formulas"].specs)
INDEXES = [
    spec
    for spec in REGISTRY.specs("index")
    if isinstance(spec, IndexSpec) and spec.name in ("flat", "ivf", "surrogate")
]


def test_there_is_something_to_check() -> None:
    assert {spec.name for spec in METRICS} == {"weighted-hellinger", "trimmed-l1", "shift-correlation"}
    assert len(INDEXES) == 3


@parametrize(METRICS, registry=REGISTRY)
def test_metric_contract(check: Callable[[], None]) -> None:
    check()


@parametrize(
    METRICS, registry=REGISTRY, rows=np.random.default_rng(0).dirichlet(np.full(8, 0.3), 400).astype(np.float32)
)
def test_metric_contract_on_shares(check: Callable[[], None]) -> None:
    check()


@parametrize(INDEXES, registry=REGISTRY)
def test_index_contract(check: Callable[[], None]) -> None:
    check()
