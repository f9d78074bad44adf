"""Checks of the embedder contract that those which learn from items have to keep."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from nearkin.embedders import Embedder
from nearkin.errors import InputError, NotTrainedError
from nearkin.testing.contract import Checks, NotApplicable, Subject, expect, expect_error
from nearkin.testing.embedder_subjects import SHARE, apart, ready, same_vectors, sample_items, shared, vectors_of

EMBEDDER_LEARNING_CHECKS = Checks("embedder")


def _need_learning(subject: Subject) -> None:
    if not shared(subject).needs_fit:
        raise NotApplicable("it does not learn")


def _other_items(subject: Subject) -> list[Any]:
    """The first half of the items, each twice: something else to learn from, of the same kind."""
    items = sample_items(subject)
    return deepcopy(items[: (len(items) + 1) // 2] * 2)


@EMBEDDER_LEARNING_CHECKS.add
def not_fitted(subject: Subject) -> None:
    """Before fit, it is not fitted, and embed raises NotTrainedError, as does dim if it is not known; no items raise InputError."""
    _need_learning(subject)
    fresh: Embedder = subject.make()
    expect(not fresh.fitted, "it says that it is fitted before fit")
    expect_error(NotTrainedError, "embed before fit", lambda: fresh.embed(sample_items(subject)))
    try:
        before = fresh.dim
    except NotTrainedError:
        pass
    else:
        expect(before == shared(subject).dim, f"dim is {before} before fit and {shared(subject).dim} after")
    expect_error(InputError, "fit to no items", lambda: fresh.fit([]))
    expect(shared(subject).fitted, "it says that it is not fitted after fit")


@EMBEDDER_LEARNING_CHECKS.add
def learns_anew(subject: Subject) -> None:
    """Fitted to other items and then to the first ones again, it is what it was after the first ones."""
    _need_learning(subject)
    embedder = ready(subject)
    embedder.fit(_other_items(subject))
    embedder.fit(sample_items(subject))
    same_vectors(embedder.embed(sample_items(subject)), vectors_of(subject), "fitting again")
    wanted = shared(subject).fingerprint
    expect(embedder.fingerprint == wanted, f"fingerprint is {wanted}, and {embedder.fingerprint} after fitting again")


@EMBEDDER_LEARNING_CHECKS.add
def fingerprint_of_learned(subject: Subject) -> None:
    """Learning from other items changes the fingerprint where it changes the vectors."""
    _need_learning(subject)
    items = _other_items(subject)
    other: Embedder = subject.make()
    other.fit(items)
    vectors, before = other.embed(items), shared(subject).embed(items)
    same = vectors.shape == before.shape and apart(vectors, before) <= SHARE
    expect(
        same or other.fingerprint != shared(subject).fingerprint,
        "fitted to other items it gives other vectors, and has the same fingerprint",
    )


@EMBEDDER_LEARNING_CHECKS.add
def copies_learn_apart(subject: Subject) -> None:
    """A copy may be fitted without changing what it was copied from."""
    _need_learning(subject)
    embedder = ready(subject)
    deepcopy(embedder).fit(_other_items(subject))
    same_vectors(embedder.embed(sample_items(subject)), vectors_of(subject), "fitting a copy")
