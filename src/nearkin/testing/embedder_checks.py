"""Checks of the embedder contract: what every embedder promises. Those that learn promise more: `embedder_learning_checks`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np

from nearkin.components import Part, read_params
from nearkin.embedders import Embedder
from nearkin.errors import EmbedderMismatchError, InputError, NearkinError, NotSupportedError, ParameterError
from nearkin.testing.contract import (
    Checks,
    NotApplicable,
    Subject,
    expect,
    expect_error,
    expect_json,
    fail,
    first_line,
    options,
    written,
)
from nearkin.testing.embedder_subjects import (
    SHARE,
    apart,
    ready,
    restored,
    same_vectors,
    sample_items,
    shared,
    vectors_of,
)

EMBEDDER_CHECKS = Checks("embedder")


@EMBEDDER_CHECKS.gate
def embeds(subject: Subject) -> None:
    """n items (texts, or those of the spec) become finite float32 vectors of shape (n, dim), and dim is known before."""
    items = sample_items(subject)
    expect(
        len(items) >= 2,
        f"EmbedderSpec.items has {len(items)} items, and the kit has none of its own where they are no texts: give 2 or more",
    )
    embedder = shared(subject)
    dim = embedder.dim
    vectors = vectors_of(subject)
    expect(
        vectors.dtype == np.float32 and vectors.shape == (len(items), dim),
        f"{len(items)} items became {vectors.dtype} of shape {vectors.shape}, float32 {(len(items), dim)} expected",
    )
    expect(np.isfinite(vectors).all(), f"{int((~np.isfinite(vectors)).sum())} values are not finite")
    expect(embedder.dim == dim, f"dim is {dim} before embedding and {embedder.dim} after")


@EMBEDDER_CHECKS.add
def deterministic(subject: Subject) -> None:
    """The same items get the same vectors, again and from a fresh embedder (that learned from the same items)."""
    items, wanted = sample_items(subject), vectors_of(subject)
    for what, embedder in (("again", shared(subject)), ("from a fresh embedder", ready(subject))):
        same_vectors(embedder.embed(items), wanted, f"embedding the same items {what}")


@EMBEDDER_CHECKS.add
def batch_independent(subject: Subject) -> None:
    """An item alone, or in another order, gets the vector that it gets among others."""
    embedder, items, wanted = shared(subject), sample_items(subject), vectors_of(subject)
    for i, item in enumerate(items):
        moved = apart(embedder.embed([item])[0], wanted[i])
        expect(moved <= SHARE, f"item {i} alone moves a value by {moved:.3g} of the largest")
    moved = apart(embedder.embed(items[::-1])[::-1], wanted)
    expect(moved <= SHARE, f"items in reverse order move a value by {moved:.3g} of the largest")


@EMBEDDER_CHECKS.add
def two_threads(subject: Subject) -> None:
    """Two threads that embed at once get what one gets alone."""
    embedder, items, wanted = shared(subject), sample_items(subject), vectors_of(subject)
    with ThreadPoolExecutor(2) as pool:
        turned = pool.submit(embedder.embed, items[::-1])
        same_vectors(pool.submit(embedder.embed, items).result(), wanted, "embedding while another thread does")
        same_vectors(turned.result()[::-1], wanted, "embedding while another thread does")


@EMBEDDER_CHECKS.add
def items_unchanged(subject: Subject) -> None:
    """Learning and embedding leave the items as they are."""
    items = sample_items(subject)
    embedder: Embedder = subject.make()
    if embedder.needs_fit:
        embedder.fit(items)
        expect(_same_items(items, sample_items(subject)), "fit changed the items it was given")
    embedder.embed(items)
    expect(_same_items(items, sample_items(subject)), "embed changed the items it was given")


def _same_items(one: list[Any], other: list[Any]) -> bool:
    return repr(one) == repr(other)  # a record may hold NaN, which is not equal to itself


@EMBEDDER_CHECKS.add
def distinguishes(subject: Subject) -> None:
    """The canaries, which are different items, get different vectors."""
    canaries = list(shared(subject).canaries)
    expect(len(canaries) >= 2, f"there are {len(canaries)} canaries, at least 2 are needed to notice a change")
    vectors = shared(subject).embed(canaries)
    for i in range(len(canaries)):
        for j in range(i):
            expect(
                apart(vectors[i], vectors[j]) > 1e-3,
                f"canaries {canaries[j]!r} and {canaries[i]!r} get the same vector",
            )


@EMBEDDER_CHECKS.add
def empty_list(subject: Subject) -> None:
    """No items become an array of shape (0, dim)."""
    embedder = shared(subject)
    got = embedder.embed([]).shape
    expect(got == (0, embedder.dim), f"no items became an array of shape {got}, {(0, embedder.dim)} expected")


@EMBEDDER_CHECKS.add
def roles(subject: Subject) -> None:
    """The roles document and query are taken and give one width; document is the default, others are ParameterError."""
    embedder, items = shared(subject), sample_items(subject)
    query = embedder.embed(items, role="query")
    expect(query.shape == (len(items), embedder.dim), f"role query gave shape {query.shape}")
    moved = apart(embedder.embed(items, role="document"), vectors_of(subject))
    expect(moved <= SHARE, "the role document is not what embed does by default")
    wrong: Any = "no-such-role"
    expect_error(ParameterError, "an unknown role", lambda: embedder.embed(items, role=wrong))


@EMBEDDER_CHECKS.add
def told(subject: Subject) -> None:
    """`told` hears how many items are done and how many there are: rising, and the last time that all are."""
    embedder, items = shared(subject), sample_items(subject)
    heard: list[tuple[int, int]] = []
    embedder.embed(items, told=lambda done, count: heard.append((done, count)))
    expect(heard, f"told was not called while {len(items)} items were embedded")
    expect(heard[-1] == (len(items), len(items)), f"told heard {heard[-1]} last, {(len(items), len(items))} expected")
    expect(
        all(count == len(items) for _, count in heard) and heard == sorted(heard),
        f"told heard {heard[:5]}, rising numbers of {len(items)} expected",
    )


@EMBEDDER_CHECKS.add
def single_item(subject: Subject) -> None:
    """A single string or dict instead of a list raises InputError."""
    embedder = shared(subject)
    singles: dict[str, Any] = {"a single string": "one text", "a single dict": {"a": 1}}
    for what, item in singles.items():
        expect_error(InputError, what, partial(embedder.embed, item))


@EMBEDDER_CHECKS.add
def wrong_kind(subject: Subject) -> None:
    """An item of another kind raises InputError with its number, in embed and in fit."""
    embedder, good = shared(subject), sample_items(subject)[0]
    other: Any = {"a": "b"} if embedder.takes == "text" else "text"
    for item in (other, 3, None, b"bytes", ["a"]):
        what = f"item 1 of type {type(item).__name__}"
        calls: list[Callable[[list[Any]], Any]] = [embedder.embed]
        if embedder.needs_fit:
            calls.append(ready(subject).fit)
        for call in calls:
            error = expect_error(InputError, what, partial(call, [good, item]))
            expect("1" in str(error), f"{what} raised {first_line(error)!r}, without its number")


@EMBEDDER_CHECKS.add
def fingerprint_stable(subject: Subject) -> None:
    """The identity is JSON, and a fresh embedder (that learned from the same items) has the same fingerprint."""
    used, fresh = shared(subject), ready(subject)
    vectors_of(subject)
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
    embedder, items, wanted = shared(subject), sample_items(subject), vectors_of(subject)
    others = list(_other_params(subject))
    if not others:
        raise NotApplicable("it has no params to change")
    for params in others:
        try:
            other: Embedder = subject.registry.build(subject.spec, params=params)
            if other.needs_fit:
                other.fit(items)
            vectors = other.embed(items)
        except NearkinError:
            continue  # it does not take this value
        same = vectors.shape == wanted.shape and apart(vectors, wanted) <= SHARE
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
def text_makes_it(subject: Subject) -> None:
    """Its `text` makes the same embedder again through the registry: the same fingerprint once it has the state."""
    embedder = shared(subject)
    try:
        again = subject.registry.make("embedder", embedder.text)
    except NearkinError as error:
        fail(f"text is {embedder.text!r}, which the registry refuses: {first_line(error)}")
    expect(again.text == embedder.text, f"text is {embedder.text!r}, and what it makes has {again.text!r}")
    again.restore(written(embedder.state()))
    expect(
        again.fingerprint == embedder.fingerprint,
        f"what {embedder.text!r} makes has the fingerprint {again.fingerprint}, {embedder.fingerprint} expected",
    )


@EMBEDDER_CHECKS.add
def state_restores(subject: Subject) -> None:
    """The state is plain arrays and JSON, and a fresh embedder that has it gives the same vectors and fingerprint."""
    embedder, wanted = shared(subject), vectors_of(subject)
    expect_json(embedder.state(), "the state")
    again = restored(subject, embedder)
    expect(again.fitted, "it is not fitted after restore")
    expect(again.dim == embedder.dim, f"dim is {embedder.dim}, and {again.dim} after restore")
    same_vectors(again.embed(sample_items(subject)), wanted, "restoring the state")
    expect(
        again.fingerprint == embedder.fingerprint,
        f"fingerprint is {embedder.fingerprint}, and {again.fingerprint} after restore",
    )


@EMBEDDER_CHECKS.add
def canaries_constant(subject: Subject) -> None:
    """The canaries are JSON, and the same after embedding and after restoring the state."""
    embedder = shared(subject)
    canaries = list(embedder.canaries)
    try:
        back = json.loads(json.dumps(canaries))
    except (TypeError, ValueError) as error:
        fail(f"the canaries are not JSON: {first_line(error)}")
    expect(back == canaries, f"the canaries come back from JSON as {back!r}, they were {canaries!r}")
    embedder.embed(canaries)
    for what, other in (("after embedding", embedder), ("after restoring", restored(subject, embedder))):
        expect(list(other.canaries) == canaries, f"the canaries are others {what}: {list(other.canaries)!r}")


@EMBEDDER_CHECKS.add
def canaries_watch(subject: Subject) -> None:
    """The canaries' own vectors pass check_canaries, moved ones raise EmbedderMismatchError."""
    embedder = shared(subject)
    stored = embedder.embed(embedder.canaries)
    try:
        ready(subject).check_canaries(stored)
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


@EMBEDDER_CHECKS.add
def size_told(subject: Subject) -> None:
    """size() counts parameters and bytes from 0 on, layers and longest item from 1 on, and bytes of what was learned."""
    embedder = shared(subject)
    size = embedder.size()
    for name, value in (("parameters", size.parameters), ("nbytes", size.nbytes)):
        expect(isinstance(value, int) and value >= 0, f"{name} is {value!r}, a whole number from 0 on expected")
    for name, known in (("layers", size.layers), ("max_length", size.max_length)):
        expect(
            known is None or (isinstance(known, int) and known >= 1),
            f"{name} is {known!r}, None or a whole number from 1 on expected",
        )
    expect(
        bool(size.parameters) == bool(size.nbytes) and size.parameters <= 8 * size.nbytes,
        f"size() says {size.parameters} parameters in {size.nbytes} bytes",
    )
    learned = embedder.state().nbytes if embedder.needs_fit else 0
    expect(bool(learned) <= bool(size.nbytes), f"size() says {size.nbytes} bytes, and the state has {learned}")


@EMBEDDER_CHECKS.add
def fit_refused(subject: Subject) -> None:
    """One that does not learn raises NotSupportedError at fit."""
    if shared(subject).needs_fit:
        raise NotApplicable("it learns")
    expect_error(NotSupportedError, "fit", lambda: subject.make().fit(deepcopy(sample_items(subject))))
