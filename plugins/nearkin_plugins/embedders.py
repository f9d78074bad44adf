"""Embedders: items to vectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nearkin.hooks import EmbedderSpec, hookimpl


@dataclass(frozen=True)
class HashingParams:
    """Options of the hashing embedder: columns, and the length of the character n-grams (0 for none)."""

    dim: int = 512
    ngrams: int = 4


@dataclass(frozen=True)
class LsaParams:
    """Options of LSA: columns, lengths of the character n-grams, how many words, and as many n-grams, are kept, and how much the
    words count."""

    dim: int = 384
    shortest: int = 3
    longest: int = 5
    features: int = 50_000
    words: float = 1.5


@dataclass(frozen=True)
class SentenceTransformersParams:
    """Options of sentence-transformers: the model (folder, or name of the hub) and its revision; columns to keep; scaling to length
    one; precision; prompts by role; texts in a batch; device; tokens that count."""

    model: str
    revision: str | None = None
    dim: int | None = None
    normalize: bool = True
    precision: str = "float32"
    query_prompt: str | None = None
    document_prompt: str | None = None
    batch_size: int = 32
    device: str | None = None
    max_length: int | None = None


@dataclass(frozen=True)
class WordVectorsParams:
    """Options of word vectors: the file; how words are weighted, mean or idf; the file's format where its name does not tell."""

    path: str
    weighting: str = "mean"
    format: str | None = None


@dataclass(frozen=True)
class TableParams:
    """Options of the table embedder: columns by kind, weights, what a step of a number is, parts of dates, the share below which
    categories count as one, further texts that mean missing, and what becomes of values that cannot be read."""

    numeric: str = ""
    categorical: str = ""
    dates: str = ""
    weights: str = ""
    scaling: str = "standard"
    date_parts: str = "time,year,week,day"
    rare: float = 0.0
    missing: str = ""
    unreadable: str = "refuse"


PEOPLE = (
    {"height": 179, "hobby": "basketball", "born": "1999-03-01"},
    {"height": 180.5, "hobby": "basketball", "born": "1998-11-20"},
    {"height": None, "hobby": "news", "born": "1970-06-15"},
    {"height": "185", "hobby": "", "born": "1971-01-31"},
    {"height": 160, "hobby": "chess", "born": None},
)
"""Records with a number, a category and a date, some of them missing."""


@hookimpl
def nearkin_embedders() -> Iterable[EmbedderSpec]:
    return [
        EmbedderSpec(
            name="hashing",
            summary="words and character n-grams hashed into columns: no training, no download",
            make="nearkin.hashing_embedder:HashingEmbedder",
            params=HashingParams,
        ),
        EmbedderSpec(
            name="lsa",
            summary="words and character n-grams in the columns of a truncated SVD: learns from the texts themselves, no download",
            make="nearkin_plugins.lsa:LsaEmbedder",
            params=LsaParams,
            needs=("sklearn",),
            examples=({}, {"dim": 4, "shortest": 3, "longest": 3, "features": 100}),
        ),
        EmbedderSpec(
            name="sentence-transformers",
            summary="models that know what sentences mean, of a folder or of the Hugging Face hub",
            make="nearkin_plugins.sentence_transformers_embedder:SentenceTransformerEmbedder",
            params=SentenceTransformersParams,
            leading="model",
            needs=("sentence_transformers",),
            extra="text",
            examples=(),  # there is no model that every machine has
        ),
        EmbedderSpec(
            name="word-vectors",
            summary="mean of the vectors of a text's words, of a GloVe or word2vec file",
            make="nearkin_plugins.word_vector_embedder:WordVectorEmbedder",
            params=WordVectorsParams,
            leading="path",
            examples=(),  # nor a file of words
        ),
        EmbedderSpec(
            name="table",
            summary="records of a table: numbers in steps of their spread, categories, dates, what is missing; weights",
            make="nearkin_plugins.tables.embedder:TableEmbedder",
            params=TableParams,
            items=PEOPLE,
            examples=(
                {"numeric": "height", "categorical": "hobby", "dates": "born"},
                {"numeric": "height", "categorical": "hobby", "weights": "hobby=0.5", "scaling": "robust", "rare": 0.3},
            ),
        ),
    ]
