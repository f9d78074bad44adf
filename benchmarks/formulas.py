"""Metrics as a user would write them, for `any_metric.py`."""

from __future__ import annotations

import nearkin as nk


@nk.metric("own-manhattan")
def manhattan(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += abs(a[i] - b[i])
    return total


@nk.metric("own-chebyshev")
def chebyshev(a, b):
    worst = 0.0
    for i in range(a.shape[0]):
        worst = max(worst, abs(a[i] - b[i]))
    return worst


@nk.metric("own-canberra")
def canberra(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        size = abs(a[i]) + abs(b[i])
        if size > 0.0:
            total += abs(a[i] - b[i]) / size
    return total


@nk.metric("own-bray-curtis")
def bray_curtis(a, b):
    apart, size = 0.0, 0.0
    for i in range(a.shape[0]):
        apart += abs(a[i] - b[i])
        size += abs(a[i] + b[i])
    return apart / size if size > 0.0 else 0.0


@nk.metric("own-jaccard", dtype="bits")
def jaccard(a, b):
    both, only_a, only_b = nk.bit_counts(a, b)
    either = both + only_a + only_b
    return 1.0 - both / either if either > 0 else 0.0
