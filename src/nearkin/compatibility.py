"""Which metric, index and codec go together, as one table computed from what the components declare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nearkin.codecs import Codec
from nearkin.components import Part, read_params
from nearkin.errors import NearkinError
from nearkin.hooks import IndexSpec
from nearkin.legality import verdict
from nearkin.metrics import Metric
from nearkin.plans import make_codec
from nearkin.registry import Registry


@dataclass(frozen=True)
class Compatibility:
    """Whether one combination is legal; `reason` says why it is not."""

    metric: str
    index: str
    codec: str
    legal: bool
    reason: str


def compatibility(registry: Registry, *, dim: int = 64) -> list[Compatibility]:
    """Every metric with every index and codec, in order of name.

    Parameters
    ----------
    dim
        Columns that the codecs are made for; what is legal does not depend on it.

    Examples
    --------
    >>> from nearkin.registry import default_registry
    >>> table = compatibility(default_registry())
    >>> [each.legal for each in table if (each.metric, each.index, each.codec) == ("manhattan", "ivf", "pq")]
    [False]
    """
    codecs = dict(_codecs(registry, dim))
    indexes = [spec for spec in registry.specs("index") if isinstance(spec, IndexSpec)]
    return [
        _judge(metric, index, codec, label)
        for metric in _metrics(registry)
        for index in indexes
        for label, codec in codecs.items()
    ]


def _judge(metric: Metric, index: IndexSpec, codec: Codec, label: str) -> Compatibility:
    found = verdict(metric.space, index, codec)
    return Compatibility(metric.name, index.name, label, found.legal, found.reason)


def _metrics(registry: Registry) -> Iterator[Metric]:
    for spec in registry.specs("metric"):
        try:
            yield registry.make("metric", spec.name)
        except NearkinError:
            continue  # a package is missing, or its name is offered twice


def _codecs(registry: Registry, dim: int) -> Iterator[tuple[str, Codec]]:
    """Codecs by label: those with examples of several native kinds (pq with 4 and 8 bits) once for each."""
    for spec in registry.specs("codec"):
        seen: set[str] = set()
        for example in spec.examples:
            try:
                params = read_params(spec, Part(spec.name, example))
                codec = make_codec(Part(spec.name, params), dim, registry)
            except NearkinError:
                continue
            kind = codec.native.label if codec.native else ""
            if kind not in seen:
                yield str(Part(spec.name, example)), codec
            seen.add(kind)
