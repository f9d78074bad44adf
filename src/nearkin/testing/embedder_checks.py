"""Checks of the embedder contract."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from nearkin.components import Part, read_params
from nearkin.embedders import Embedder
from nearkin.errors import EmbedderMismatchError, InputError, NearkinError, ParameterError
from nearkin.testing.contract import Checks, NotApplicable, Subject, expect, expect_error, fail, first_line, options
from nearkin.testing.samples import TEXTS

EMBEDDER_CHECKS = Checks("embedder")

_SHARE = 1e-4
"""Share of the largest value by which a model may round differently in another batch."""


def _embedder(subject: Subject) -> Embedder:
    def make() -> Embedder:
        embedder: Embedder = subject.make()
        return embedder

    return subject.once("embedder", make)


def _items(subject: Subject) -> list[Any]:
    """The embedder's own canaries, and other texts if these are text."""
    canaries = list(_embedder(subject).canaries)
    return canaries + (list(TEXTS) if all(isinstance(each, str) for each in canaries) else [])


def _vectors(subject: Subject) -> np.ndarray:
    return subject.once("vectors", lambda: _embedder(subject).embed(_items(subject)))


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference as a share of the largest value."""
    largest = float(np.abs(other).max()) if other.size else 0.0
    return float(np.abs(one - other).max()) / (largest or 1.0) if one.size else 0.0


@EMBEDDER_CHECKS.gate
def embeds(subject: Subject) -> None:
    """n items become finite float32 vectors of shape (n, dim), and dim is known before."""
    embedder, items = _embedder(subject), _items(subject)
    dim = embedder.dim
    vectors = _vectors(subject)
    expect(
        vectors.dtype == np.float32 and vectors.shape == (len(items), dim),
        f"{len(items)} items became {vectors.dtype} of shape {vectors.shape}, float32 {(len(items), dim)} expected",
    )
    expect(np.isfinite(vectors).all(), f"{int((~np.isfinite(vectors)).sum())} values are not finite")
    expect(embedder.dim == dim, f"dim is {dim} before embedding and {embedder.dim} after")


@EMBEDDER_CHECKS.add
def deterministic(subject: Subject) -> None:
    """The same items get the same vectors, again and from a fresh embedder."""
    items, wanted = _items(subject), _vectors(subject)
    for what, embedder in (("again", _embedder(subject)), ("from a fresh embedder", subject.make())):
        apart = _apart(embedder.embed(items), wanted)
        expect(apart <= _SHARE, f"embedding the same items {what} moves a value by {apart:.3g} of the largest")


@EMBEDDER_CHECKS.add
def batch_independent(subject: Subject) -> None:
    """An item alone, or in another order, gets the vector that it gets among others."""
    embedder, items, wanted = _embedder(subject), _items(subject), _vectors(subject)
    for i, item in enumerate(items):
        apart = _apart(embedder.embed([item])[0], wanted[i])
        expect(apart <= _SHARE, f"item {i} alone moves a value by {apart:.3g} of the largest")
    apart = _apart(embedder.embed(items[::-1])[::-1], wanted)
    expect(apart <= _SHARE, f"items in reverse order move a value by {apart:.3g} of the largest")


@EMBEDDER_CHECKS.add
def distinguishes(subject: Subject) -> None:
    """The canaries, which are different items, get different vectors."""
    canaries = list(_embedder(subject).canaries)
    expect(len(canaries) >= 2, f"there are {len(canaries)} canaries, at least 2 are needed to notice a change")
    vectors = _embedder(subject).embed(canaries)
    for i in range(len(canaries)):
        for j in range(i):
            expect(
                _apart(vectors[i], vectors[j]) > 1e-3,
                f"canaries {canaries[j]!r} and {canaries[i]!r} get the same vector",
            )


@EMBEDDER_CHECKS.add
def empty_list(subject: Subject) -> None:
    """No items become an array of shape (0, dim)."""
    embedder = _embedder(subject)
    got = embedder.embed([]).shape
    expect(got == (0, embedder.dim), f"no items became an array of shape {got}, {(0, embedder.dim)} expected")


@EMBEDDER_CHECKS.add
def roles(subject: Subject) -> None:
    """The roles document and query are taken and give one width; document is the default, others are ParameterError."""
    embedder, items = _embedder(subject), _items(subject)
    query = embedder.embed(items, role="query")
    expect(query.shape == (len(items), embedder.dim), f"role query gave shape {query.shape}")
    apart = _apart(embedder.embed(items, role="document"), _vectors(subject))
    expect(apart <= _SHARE, "the role document is not what embed does by default")
    wrong: Any = "no-such-role"
    expect_error(ParameterError, "an unknown role", lambda: embedder.embed(items, role=wrong))


@EMBEDDER_CHECKS.add
def single_string(subject: Subject) -> None:
    """A single string instead of a list raises InputError."""
    expect_error(InputError, "a single string", lambda: _embedder(subject).embed("one text"))


@EMBEDDER_CHECKS.add
def fingerprint_stable(subject: Subject) -> None:
    """The identity is JSON, and a fresh embedder has the same fingerprint, before and after embedding."""
    used, fresh = _embedder(subject), subject.make()
    _vectors(subject)
    try:
        json.dumps(used.identity)
    except (TypeError, ValueError) as error:
        fail(f"identity is not JSON: {first_line(error)}")
    expect(
        used.fingerprint == fresh.fingerprint,
        f"fingerprint is {used.fingerprint}, of a fresh embedder {fresh.fingerprint}",
    )
    expect(used.fingerprint.strip(), "fingerprint is empty")


@EMBEDDER_CHECKS.add
def fingerprint_differs(subject: Subject) -> None:
    """Params that change the vectors change the fingerprint."""
    embedder, items, wanted = _embedder(subject), _items(subject), _vectors(subject)
    others = list(_other_params(subject))
    if not others:
        raise NotApplicable("it has no params to change")
    for params in others:
        try:
            other: Embedder = subject.registry.build(subject.spec, params=params)
            vectors = other.embed(items)
        except NearkinError:
            continue  # it does not take this value
        same = vectors.shape == wanted.shape and _apart(vectors, wanted) <= _SHARE
        expect(
            same or other.fingerprint != embedder.fingerprint,
            f"{options(params)} gives other vectors than {options(subject.params)}, and the same fingerprint",
        )


def _other_params(subject: Subject) -> Iterator[dict[str, Any]]:
    """The spec's other examples, and the params with one number or switch changed."""
    for example in subject.spec.examples:
        full = read_params(subject.spec, Part(subject.spec.name, example))
        if full != dict(subject.params):
            yield full
    for field in dataclasses.fields(subject.spec.params) if subject.spec.params else ():
        value = subject.params[field.name]
        if isinstance(value, bool):
            yield {**subject.params, field.name: not value}
        elif isinstance(value, int | float):
            yield {**subject.params, field.name: value + 1}
            yield {**subject.params, field.name: type(value)(value * 2)}


@EMBEDDER_CHECKS.add
def canaries_watch(subject: Subject) -> None:
    """The canaries' own vectors pass check_canaries, moved ones raise EmbedderMismatchError."""
    embedder = _embedder(subject)
    stored = embedder.embed(embedder.canaries)
    try:
        subject.make().check_canaries(stored)
    except EmbedderMismatchError as error:
        fail(f"its own canaries are refused: {first_line(error)}")
    noise = subject.rng("canaries").standard_normal(stored.shape).astype(np.float32)
    moved = stored + noise * np.float32(np.abs(stored).max() or 1)
    expect_error(EmbedderMismatchError, "canaries moved at random", lambda: embedder.check_canaries(moved))
    expect_error(
        EmbedderMismatchError,
        "canaries of another width",
        lambda: embedder.check_canaries(stored[:, : embedder.dim - 1]),
    )
