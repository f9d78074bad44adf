"""True answers kept in the cache: found again by content, never wrong, never in the way."""

from __future__ import annotations

import os

import numpy as np
import pytest

import nearkin as nk
from nearkin import truths
from nearkin.indexes import Found
from nearkin.indexing import exact_over


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache of its own that keeps everything, however little work it was."""
    monkeypatch.setattr(truths, "cache_folder", lambda part: tmp_path / part)
    monkeypatch.setattr(truths, "WORTH_KEEPING", 0)
    return tmp_path / "truths"


@pytest.fixture
def counted(monkeypatch):
    """How often every row was compared."""
    calls = []

    def counting(*given):
        calls.append(given)
        return exact_over(*given)

    monkeypatch.setattr(truths, "exact_over", counting)
    return calls


RNG = np.random.default_rng(0)
ROWS, QUERIES = RNG.normal(size=(200, 6)), RNG.normal(size=(9, 6))


def ask(rows=ROWS, queries=QUERIES, k=5, metric="euclidean", delete=(), cached=True, plan="ivf4"):
    with nk.build(rows, metric=metric, plan=plan) as mine:
        if len(delete):
            mine.delete(delete)
        return mine.exact_search(queries, k, cached=cached)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner-product", "manhattan", "mahalanobis"])
def test_the_same_question_is_answered_once(folder, counted, metric):
    first, second = ask(metric=metric), ask(metric=metric)
    assert len(counted) == 1
    np.testing.assert_array_equal(first.positions, second.positions)
    np.testing.assert_array_equal(first.distances, second.distances)
    np.testing.assert_array_equal(first.positions, ask(metric=metric, cached=False).positions)
    assert len(list(folder.iterdir())) == 1


def test_packed_bits_are_kept_too(folder, counted):
    bits = RNG.integers(0, 256, (50, 4), dtype=np.uint8)
    first, second = (ask(bits, bits[:3], metric="hamming") for _ in range(2))
    np.testing.assert_array_equal(first.positions, second.positions)
    assert len(counted) == 1


def test_whatever_decides_an_answer_is_part_of_the_question(folder, counted):
    other_rows, other_queries = ROWS.copy(), QUERIES.copy()
    other_rows[17, 3] += 1e-3
    other_queries[2, 1] += 1e-3
    questions = [
        {},
        {"rows": other_rows},
        {"queries": other_queries},
        {"k": 4},
        {"metric": "cosine"},
        {"metric": "manhattan"},
        {"metric": "mahalanobis"},
        {"metric": "mahalanobis:shrinkage=0.5"},
        {"delete": [3]},
        {"delete": [4]},
        {"rows": ROWS[:-1]},
    ]
    for question in questions:
        np.testing.assert_array_equal(ask(**question).positions, ask(**question, cached=False).positions)
    assert len(list(folder.iterdir())) == len(questions)


def rising(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += abs(a[i] - b[i]) * (i + 1)
    return total


def falling(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += abs(a[i] - b[i]) * (7 - i)
    return total


def test_formulas_of_one_name_are_told_apart(folder, counted):
    for formula in (nk.metric("weighed")(rising), nk.metric("weighed")(falling)):
        np.testing.assert_array_equal(ask(metric=formula).positions, ask(metric=formula, cached=False).positions)
    assert len(list(folder.iterdir())) == 2


class Named(nk.Metric):
    """Known by nothing but its Python."""

    name = "named"
    axioms = frozenset()

    def pairwise(self, queries, vectors):
        return np.abs(queries[:, None] - vectors[None]).max(axis=2)


def test_a_metric_that_nothing_identifies_is_not_kept(folder, counted):
    ask(metric=Named(), plan="flat")
    ask(metric=Named(), plan="flat")
    assert len(counted) == 2
    assert not folder.exists()


def test_little_work_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(truths, "WORTH_KEEPING", 200 * 9 * 6 + 1)
    ask()
    assert not folder.exists()


def test_every_flipped_byte_is_noticed(folder, counted):
    right = ask()
    (path,) = folder.iterdir()
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        assert truths.read_truth(bytes.fromhex(path.name), 9, 5) is None
    for damaged in (b"", content[:-1], content + b"\0", content[:20]):
        path.write_bytes(damaged)
        assert truths.read_truth(bytes.fromhex(path.name), 9, 5) is None
    np.testing.assert_array_equal(ask().positions, right.positions)
    assert len(counted) == 2
    assert path.read_bytes() == content  # written anew


def test_a_file_under_the_name_of_another_is_no_truth(folder):
    ask()
    ask(k=5, queries=QUERIES + 1)
    one, other = folder.iterdir()
    other.write_bytes(one.read_bytes())
    assert truths.read_truth(bytes.fromhex(other.name), 9, 5) is None
    assert truths.read_truth(bytes.fromhex(one.name), 9, 5) is not None


def test_a_folder_that_cannot_be_written_to_means_no_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(truths, "WORTH_KEEPING", 0)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NEARKIN_CACHE", str(tmp_path / "file"))
    assert ask().positions.shape == (9, 5)


def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch):
    def full(self, content):
        with open(self, "wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    assert ask().positions.shape == (9, 5)
    assert not list(folder.iterdir())


def test_the_ones_used_longest_ago_go_first(folder, monkeypatch):
    found = Found(np.zeros((10, 10), dtype=np.int64), np.zeros((10, 10), dtype=np.float32))
    size = 1200 + len(truths.MAGIC) + truths.DIGEST
    monkeypatch.setattr(truths, "MOST_BYTES", 3 * size)
    keys = [bytes([number]) * 32 for number in range(5)]
    for number, key in enumerate(keys[:3]):
        truths.keep_truth(key, found)
        os.utime(folder / key.hex(), (1000 + number, 1000 + number))
    assert truths.read_truth(keys[0], 10, 10) is not None  # used just now
    truths.keep_truth(keys[3], found)
    assert {path.name for path in folder.iterdir()} == {keys[each].hex() for each in (0, 2, 3)}


def test_what_is_too_large_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(truths, "MOST_BYTES", 100)
    ask()
    assert not folder.exists()
