"""Embedders under examination: items to embed, an embedder that has learned from them, and their vectors."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from nearkin.embedders import Embedder
from nearkin.testing.contract import Subject, expect, written
from nearkin.testing.samples import TEXTS

SHARE = 1e-4
"""Share of the largest value by which a model may round differently in another batch."""


def sample_items(subject: Subject) -> list[Any]:
    """Items of the spec, and the kit's own texts where items are text. Each time a copy."""
    embedder: Embedder = subject.once("unfitted", subject.make)
    own = list(TEXTS) if embedder.takes == "text" else []
    return deepcopy([*getattr(subject.spec, "items", ()), *own])


def ready(subject: Subject) -> Embedder:
    """A fresh embedder that can embed: one that learns has learned from the sample items."""
    embedder: Embedder = subject.make()
    if embedder.needs_fit:
        embedder.fit(sample_items(subject))
    return embedder


def shared(subject: Subject) -> Embedder:
    """One embedder that can embed, for all checks; none changes it."""
    return subject.once("embedder", lambda: ready(subject))


def vectors_of(subject: Subject) -> np.ndarray:
    """(n, dim) vectors of the sample items."""
    return subject.once("vectors", lambda: shared(subject).embed(sample_items(subject))).copy()


def restored(subject: Subject, embedder: Embedder) -> Embedder:
    """A fresh embedder that was given the state of another as it comes back from a file."""
    again: Embedder = subject.make()
    again.restore(written(embedder.state()))
    return again


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference as a share of the largest value."""
    largest = float(np.abs(other).max()) if other.size else 0.0
    return float(np.abs(one - other).max()) / (largest or 1.0) if one.size else 0.0


def same_vectors(got: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """Break the promise unless vectors are those wanted, up to rounding."""
    expect(got.shape == wanted.shape, f"{what} gives vectors of shape {got.shape}, {wanted.shape} expected")
    moved = apart(got, wanted)
    expect(moved <= SHARE, f"{what} moves a value by {moved:.3g} of the largest")
