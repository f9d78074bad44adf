"""The embedder contract and the hashing embedder."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearkin.embedders import Embedder
from nearkin.errors import (
    EmbedderMismatchError,
    InputError,
    NearkinError,
    ParameterError,
    PluginContractError,
    VectorError,
)
from nearkin.hashing_embedder import STOP_WORDS, HashingEmbedder

NO_DEADLINE = settings(deadline=None)


@given(st.lists(st.text(max_size=40), max_size=5), st.integers(8, 70), st.integers(0, 6))
@NO_DEADLINE
def test_any_text_gives_rows_of_length_one_or_nothing(texts, dim, ngrams):
    embedder = HashingEmbedder(dim, ngrams)
    vectors = embedder.embed(texts)
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(texts), dim))
    lengths = np.linalg.norm(vectors, axis=1)
    assert all(abs(each - 1) < 1e-5 or each == 0 for each in lengths.tolist())
    np.testing.assert_array_equal(embedder.embed(texts), vectors)
    for row, text in enumerate(texts):  # what else is embedded with it changes nothing
        np.testing.assert_array_equal(embedder.embed([text])[0], vectors[row])


def test_vectors_are_the_same_in_another_process():
    """Python's own hash of strings changes from process to process; this must not."""
    code = "from nearkin.hashing_embedder import HashingEmbedder as E; print(E(32).embed(['compress a file']).tobytes().hex())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "77", "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == HashingEmbedder(32).embed(["compress a file"]).tobytes().hex()


def test_words_in_common_and_alike_spelling_are_near():
    texts = ["compress a file", "file compression", "compressing files", "send an e-mail", "parse JSON text"]
    vectors = HashingEmbedder(2048).embed(texts)
    alike = vectors @ vectors.T
    assert min(alike[0, 1], alike[0, 2], alike[1, 2]) > max(alike[0, 3], alike[0, 4], alike[1, 3], alike[3, 4])


def test_case_camel_case_and_stop_words():
    embed = HashingEmbedder(512).embed
    one, two, three = embed(["read FileName", "Read file name", "the read of a file name"])
    np.testing.assert_allclose(one, two, atol=1e-6)
    np.testing.assert_allclose(one, three, atol=1e-6)
    assert not embed([" ".join(sorted(STOP_WORDS)), "", "... !"]).any()


def test_order_counts_a_little():
    one, two = HashingEmbedder(2048).embed(["dog bites man", "man bites dog"])
    assert 0.5 < one @ two < 0.999


def test_no_items():
    assert HashingEmbedder(16).embed([]).shape == (0, 16)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("text", r"items is a single string, a list of strings expected; pass \[text\]"),
        (b"text", "items is a single string"),
        (["a", 3], "item 1 is of type int, text expected"),
        ([None], "item 0 is of type NoneType"),
        ([b"a"], "item 0 is of type bytes"),
    ],
)
def test_what_is_no_text(items, said):
    with pytest.raises(InputError, match=said):
        HashingEmbedder(16).embed(items)


def test_roles_and_numbers():
    with pytest.raises(ParameterError, match="role is 'passage', 'document' or 'query' expected"):
        HashingEmbedder(16).embed(["a"], role="passage")
    np.testing.assert_array_equal(HashingEmbedder(16).embed(["a b"], role="query"), HashingEmbedder(16).embed(["a b"]))
    with pytest.raises(ParameterError, match="dim is 7, a whole number of at least 8 expected"):
        HashingEmbedder(7)
    with pytest.raises(ParameterError, match="ngrams is -1, a whole number of at least 0 expected"):
        HashingEmbedder(ngrams=-1)
    with pytest.raises(ParameterError, match="dim is '64', a whole number"):
        HashingEmbedder(dim="64")
    assert HashingEmbedder(dim=np.int64(64)).fingerprint == HashingEmbedder(dim=64).fingerprint


def test_fingerprints_tell_embedders_apart():
    prints = [HashingEmbedder(dim, ngrams).fingerprint for dim in (16, 32) for ngrams in (0, 3, 4)]
    assert len(set(prints)) == 6
    assert HashingEmbedder(16, 3).fingerprint == prints[1]
    assert len(prints[0]) == 16


def test_canaries():
    embedder = HashingEmbedder(64)
    stored = embedder.embed(embedder.canaries)
    embedder.check_canaries(stored)
    embedder.check_canaries(np.float32(1.001) * stored)
    with pytest.raises(EmbedderMismatchError, match="has changed"):
        embedder.check_canaries(3 * stored)  # Euclidean distances would change
    moved = stored.copy()
    moved[1] = moved[0]
    with pytest.raises(
        EmbedderMismatchError, match=r"embedder 'hashing' has changed: canary '42' moved by .* \(a cosine distance\)"
    ):
        embedder.check_canaries(moved)
    with pytest.raises(EmbedderMismatchError, match=r"gives canaries of shape \(3, 64\), \(3, 32\) were stored"):
        embedder.check_canaries(HashingEmbedder(32).embed(embedder.canaries))
    with pytest.raises(EmbedderMismatchError, match="has changed"):
        HashingEmbedder(64, ngrams=2).check_canaries(stored)


class Fixed(Embedder):
    """Answers what it is told to."""

    name = "fixed"
    dim = 2
    identity = {"kind": "fixed"}  # noqa: RUF012

    def __init__(self, answer):
        self.answer = answer

    def _embed(self, items, role):
        return self.answer


def test_what_an_embedder_answers_is_checked():
    np.testing.assert_array_equal(Fixed(np.array([[1.0, 2]])).embed(["a"]), np.float32([[1, 2]]))
    for answer in (np.zeros((2, 2)), np.zeros((1, 3)), np.zeros(2)):
        with pytest.raises(PluginContractError, match="embedder 'fixed' gave an array of shape"):
            Fixed(answer).embed(["a"])
    with pytest.raises(VectorError, match="vectors of embedder 'fixed' have NaN"):
        Fixed(np.array([[np.nan, 1]])).embed(["a"])


@given(
    st.none()
    | st.integers()
    | st.text()
    | st.lists(st.none() | st.text(max_size=3) | st.binary(max_size=3), max_size=3)
)
@NO_DEADLINE
def test_anything_is_embedded_or_refused(items):
    try:
        vectors = HashingEmbedder(8).embed(items)
    except NearkinError:
        return
    assert vectors.shape == (len(items), 8)


def test_labels_are_for_people_and_change_no_fingerprint():
    class Named(HashingEmbedder):
        labels = frozenset({"name"})
        called = "one"

        @property
        def identity(self):
            return {**super().identity, "name": self.called}

    one, other = Named(16), Named(16)
    other.called = "other"
    assert (one.identity == other.identity, one.fingerprint == other.fingerprint) == (False, True)
    assert one.fingerprint == HashingEmbedder(16).fingerprint
    assert one.fingerprint != Named(32).fingerprint
