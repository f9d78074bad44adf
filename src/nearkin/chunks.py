"""Long texts cut into chunks: so many words each, some of them shared with the chunk before, ended where the text pauses."""

from __future__ import annotations

import re
from typing import NamedTuple

from nearkin.errors import ParameterError
from nearkin.search_parameters import whole_number

WORDS = 200
"""Words in a chunk of a document, at most, where nothing else is asked for."""
OVERLAP = 40
"""Words that a chunk of a document shares with the one before."""

_WITHOUT_SPACES = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
"""Thai, Japanese, Chinese and Korean letters: each counts as a word, for most of them are written without spaces."""
_WORD = re.compile(rf"[{_WITHOUT_SPACES}]|[^\s{_WITHOUT_SPACES}]+")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*$|^[。！？]$")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")


class Chunk(NamedTuple):
    """A part of a text."""

    start: int
    """Characters before it: the text at ``start`` to ``start + len(text)`` is `text`."""
    text: str


def chunks(text: str, words: int = WORDS, overlap: int = OVERLAP) -> list[Chunk]:
    """A text in chunks, in order, which together have all of its words.

    A chunk ends at a paragraph where one ends in its second half, else at a sentence, else after `words` words; the next one
    begins `overlap` words before that.

    Parameters
    ----------
    words
        Words in a chunk, at most. Letters of scripts without spaces count as words.
    overlap
        Words that a chunk shares with the one before; below `words`.

    Returns
    -------
    list of Chunk
        Empty for a text without words.

    Raises
    ------
    ParameterError
        `words` below 1, or `overlap` below 0 or not below `words`.

    Examples
    --------
    >>> [each.text for each in chunks("One is short. Two is a little longer. Three.", words=6, overlap=1)]
    ['One is short.', 'short. Two is a little longer.', 'longer. Three.']
    """
    check_sizes(words, overlap)
    spans = [found.span() for found in _WORD.finditer(text)]
    made: list[Chunk] = []
    first = 0
    while first < len(spans):
        end = _end(text, spans, first, words, overlap)
        start = spans[first][0]
        made.append(Chunk(start, text[start : spans[end - 1][1]]))
        if end == len(spans):
            break
        first = end - overlap
    return made


def check_sizes(words: int, overlap: int) -> None:
    """Raise ParameterError for sizes that no chunk can have."""
    whole_number("chunk", words, 1)
    whole_number("overlap", overlap, 0)
    if overlap >= words:
        raise ParameterError(
            f"the overlap is {overlap:,} words and a chunk has {words:,}, fewer expected", hint="such as a fifth of it"
        )


def _end(text: str, spans: list[tuple[int, int]], first: int, words: int, overlap: int) -> int:
    """Number of the word that a chunk stops before: where the text pauses most, and then as late as possible."""
    latest = first + words
    if latest >= len(spans):
        return len(spans)
    earliest = first + max(overlap + 1, (words + 1) // 2)
    ends = range(latest, earliest - 1, -1)
    for pauses in (_ends_paragraph, _ends_sentence):
        for end in ends:
            if pauses(text, spans, end):
                return end
    return latest


def _ends_paragraph(text: str, spans: list[tuple[int, int]], end: int) -> bool:
    return bool(_PARAGRAPH.search(text, spans[end - 1][1], spans[end][0]))


def _ends_sentence(text: str, spans: list[tuple[int, int]], end: int) -> bool:
    return bool(_SENTENCE_END.search(text[slice(*spans[end - 1])]))
