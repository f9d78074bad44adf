"""Chunks cover their text, in the sizes that are asked for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin import errors
from nearkin.chunks import chunks

TEXTS = st.text(alphabet=st.sampled_from("ab .\n\t!中é"), max_size=400)


def words_of(text: str) -> list[tuple[int, int]]:
    """Words by hand: runs without white space, and every Chinese letter."""
    return [found.span() for found in re.finditer(r"中|[^\s中]+", text)]


@given(TEXTS, st.integers(1, 12), st.data())
def test_chunks_cover_the_text_in_the_sizes_asked(text: str, words: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, words - 1))
    found = chunks(text, words, overlap)
    all_words = words_of(text)
    assert bool(found) == bool(all_words)
    first = 0
    for number, (start, part) in enumerate(found):
        assert text[start : start + len(part)] == part
        inside = [span for span in all_words if start <= span[0] and span[1] <= start + len(part)]
        assert 1 <= len(inside) <= words
        assert (inside[0][0], inside[-1][1]) == (start, start + len(part))
        assert all_words.index(inside[0]) == (first if number else 0)
        first = all_words.index(inside[-1]) + 1 - overlap
        assert number == len(found) - 1 or len(inside) >= min(words, max(overlap + 1, (words + 1) // 2))
    if found:
        assert first + overlap == len(all_words)


def test_a_chunk_ends_where_the_text_pauses() -> None:
    text = "one two three. four five\n\nsix seven eight nine ten"
    assert [each.text for each in chunks(text, 8, 0)] == ["one two three. four five", "six seven eight nine ten"]
    assert chunks(text.replace("\n\n", " "), 5, 0)[0].text == "one two three."
    assert chunks(text.replace(".", "").replace("\n\n", " "), 4, 1)[1].text == "four five six seven"


def test_a_short_text_is_one_chunk() -> None:
    assert chunks("  a b\n") == [(2, "a b")]
    assert chunks(" \n") == []


@pytest.mark.parametrize(
    ("words", "overlap", "said"), [(0, 0, "chunk"), (5, 5, "overlap is 5 words"), (5, -1, "overlap")]
)
def test_sizes_that_cannot_be(words: int, overlap: int, said: str) -> None:
    with pytest.raises(errors.ParameterError, match=said):
        chunks("a b c", words, overlap)
