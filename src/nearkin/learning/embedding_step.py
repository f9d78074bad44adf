"""An embedder as a step of a scikit-learn pipeline, so that what learns from texts learns from the training rows only.

>>> from sklearn.pipeline import make_pipeline
>>> from nearkin.learning.neighbours import KNNClassifier
>>> texts = ["a parcel is late", "my parcel is lost", "close my account", "open an account"]
>>> model = make_pipeline(EmbeddingStep("lsa"), KNNClassifier(1)).fit(texts, ["post", "post", "bank", "bank"])
>>> model.predict(["where is the parcel"]).tolist()
['post']
"""

from __future__ import annotations

import json
from collections import OrderedDict
from threading import Lock
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from nearkin.bound_embedder import make_embedder
from nearkin.embedders import Embedder
from nearkin.errors import InputError
from nearkin.items import items_in
from nearkin.metrics import unit_rows
from nearkin.registry import default_registry
from nearkin.settings import load_settings

REMEMBERED_BYTES = 1 << 28
"""Bytes of vectors that are kept for items that are embedded again."""


class EmbeddingStep(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Texts or records to vectors, inside of a pipeline.

    An embedder that learns (``lsa``, ``table``) learns anew in each `fit`, from the items of that call alone; in cross-validation
    these are the training rows, so that nothing of the rows held out leaks into their vectors. One that does not learn embeds an
    item once, and the vector is kept for the next fold.

    Parameters
    ----------
    embedder
        Name with options, or a `nearkin.Embedder`, which is not changed.
    unit
        Whether vectors get length 1, so that Euclidean distance orders as the cosine does; None for where the embedder's vectors
        are made for the cosine. A vector of zeros stays one.
    threads
        Of embedding; None for the setting.

    Attributes
    ----------
    embedder_ : nearkin.Embedder
        The one that has learned.
    """

    def __init__(
        self, embedder: str | Embedder = "lsa", *, unit: bool | None = None, threads: int | None = None
    ) -> None:
        self.embedder = embedder
        self.unit = unit
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from items, where the embedder learns; `y` is not used.

        Raises
        ------
        InputError
            No items, or of another kind than the embedder takes.
        UnknownNameError
            There is no such embedder.
        """
        made = make_embedder(self.embedder, default_registry())
        items = self._items(made, X)
        made.threads = load_settings({} if self.threads is None else {"threads": self.threads}).threads
        if made.needs_fit:
            made.fit(items)
        self.embedder_ = made
        self._n_features_out = made.dim
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, dim) float32 vectors of n items."""
        check_is_fitted(self)
        made = self.embedder_
        items = made.check_items(self._items(made, X))
        vectors = made.embed(items) if made.needs_fit else _REMEMBERED.embed(made, items)
        unit = made.metric == "cosine" if self.unit is None else self.unit
        return unit_rows(vectors) if unit else vectors

    def _items(self, made: Embedder, X: Any) -> list[Any]:
        items = items_in(X, records=made.takes == "record")
        if items is None:
            kind = "texts" if made.takes == "text" else "records"
            raise InputError(
                f"these are no {kind}, which embedder {made.name!r} takes", hint="vectors need no embedder"
            )
        return items

    def __sklearn_clone__(self) -> EmbeddingStep:
        return EmbeddingStep(
            self.embedder, unit=self.unit, threads=self.threads
        )  # a model is large, and is not changed

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


class _Remembered:
    """Vectors of items by embedder, those that were used longest ago forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._lock = Lock()

    def embed(self, embedder: Embedder, items: list[Any]) -> np.ndarray:
        """(n, dim) vectors, of which only new ones are computed."""
        keys = [(embedder.fingerprint, _key(item)) for item in items]
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
        fresh = {key: item for key, item in zip(keys, items, strict=True) if key not in found}
        if fresh:
            made = embedder.embed(list(fresh.values()))
            found.update(zip(fresh, made, strict=True))
        with self._lock:
            for key in dict.fromkeys(keys):
                self._keep(key, found[key])
        return np.stack([found[key] for key in keys]) if keys else np.empty((0, embedder.dim), dtype=np.float32)

    def _keep(self, key: tuple[str, str], vector: np.ndarray) -> None:
        if key not in self._kept:
            self._kept[key] = vector.copy()  # not a view of the whole block
            self._bytes += vector.nbytes
        self._kept.move_to_end(key)
        while self._bytes > self._limit:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes


def _key(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item, sort_keys=True, default=repr)


_REMEMBERED = _Remembered(REMEMBERED_BYTES)
