"""The demo: the documentation of Python's standard library, indexed, asked and measured. No download, no account."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nearkin.bound_embedder import make_embedder
from nearkin.building import build
from nearkin.collection import Collection
from nearkin.embedders import Embedder
from nearkin.errors import ParameterError
from nearkin.measurement import Measurement, hold_out, measure_collection
from nearkin.registry import Registry, default_registry
from nearkin.standard_library import Docstring, read_docstrings

QUESTIONS = (
    "compress a file",
    "closest match of a word",
    "parse command line arguments",
    "temporary directory that cleans up after itself",
    "split a string like a shell",
    "wrap long lines of text",
)

T = TypeVar("T")

EMBEDDER = "lsa:dim=512:shortest=2:longest=4:words=1"
"""Objects are told apart by few words, for which the usual columns are too few."""

METRIC = "cosine"
PLAN = "ivf,pq,refine-f16"
SEARCH: Mapping[str, int] = {"nprobe": 48, "rerank": 300}
HELD_OUT = 500


@dataclass(frozen=True)
class Answer:
    """One neighbour of a question."""

    name: str
    similarity: float
    sentence: str


@dataclass(frozen=True)
class Demo:
    """What the demo found.

    Attributes
    ----------
    answers
        Question to its nearest docstrings, nearest first.
    measurement
        Of the same plan with random docstrings held out as queries.
    seconds
        Step to seconds.
    """

    docstrings: int
    modules: int
    plan: str
    metric: str
    answers: Mapping[str, tuple[Answer, ...]]
    measurement: Measurement
    seconds: Mapping[str, float]


def run_demo(
    questions: Sequence[str] = QUESTIONS,
    *,
    docstrings: Sequence[Docstring] | None = None,
    k: int = 3,
    seed: int = 0,
    threads: int = 1,
    registry: Registry | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Demo:
    """Index docstrings, ask questions, measure.

    Parameters
    ----------
    docstrings
        What to index; None for those of this Python's standard library.
    k
        Answers to each question.
    threads
        One is enough for so few rows, and never waits for a busy machine.
    progress
        Called with a few words at the start of each step.

    Raises
    ------
    ParameterError
        A question without words.
    StorageError
        This Python comes without the source of its standard library.
    """
    empty = [question for question in questions if not question.strip()]
    if empty or not questions:
        raise ParameterError("a question is empty", hint="ask in a few words, such as 'compress a file'")
    steps = _Steps(progress)
    registry = registry or default_registry()
    with_docs = steps("read", "reading docstrings", lambda: list(docstrings or read_docstrings()))
    embedder = steps("learn", "learning from docstrings", lambda: _learned(with_docs, registry))
    texts = [_text(each) for each in with_docs]

    def build_over(rows: Any, **more: Any) -> Collection:
        return build(
            rows, metric=METRIC, plan=PLAN, search=SEARCH, seed=seed, threads=threads, registry=registry, **more
        )

    ids = [each.name for each in with_docs]
    collection = steps("build", f"building {PLAN}", lambda: build_over(texts, embedder=embedder, ids=ids))
    answers = steps("ask", "asking", lambda: _answers(collection, questions, with_docs, k))

    def measured() -> Measurement:
        split = hold_out(embedder.embed(texts), HELD_OUT, seed=seed)
        return measure_collection(build_over(split.vectors), split.queries, held_out=True)

    measurement = steps("measure", "measuring recall on docstrings held out", measured)
    modules = len({each.name.partition(".")[0] for each in with_docs})
    return Demo(len(with_docs), modules, collection.plan, METRIC, answers, measurement, steps.seconds)


class _Steps:
    """Runs steps, says what they are, and keeps how long each took."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, words: str, step: Callable[[], T]) -> T:
        self._progress(words)
        start = time.perf_counter()
        result = step()
        self.seconds[name] = time.perf_counter() - start
        return result


_PARTS_OF_NAME = re.compile(r"[._]+|(?<=[a-z0-9])(?=[A-Z])")


def _text(docstring: Docstring) -> str:
    """What is embedded: the words of the name say as much as the sentence, and longer text would drown both.

    >>> _text(Docstring("zipfile.ZipFile.read_all", "Read it. And more."))
    'zipfile Zip File read all Read it.'
    """
    return f"{_PARTS_OF_NAME.sub(' ', docstring.name)} {docstring.first_sentence}"


def _learned(docstrings: Sequence[Docstring], registry: Registry) -> Embedder:
    """An embedder that knows which words go together from the whole of the documentation."""
    embedder = make_embedder(EMBEDDER, registry)
    embedder.fit([f"{_text(each)} {each.whole}" for each in docstrings])
    return embedder


def _answers(
    collection: Collection, questions: Sequence[str], docstrings: Sequence[Docstring], k: int
) -> dict[str, tuple[Answer, ...]]:
    found = collection.search(list(questions), k)
    sentences = {each.name: each.first_sentence for each in docstrings}
    return {
        question: tuple(Answer(hit.id, hit.similarity, sentences[hit.id]) for hit in hits)
        for question, hits in zip(questions, found, strict=True)
    }
