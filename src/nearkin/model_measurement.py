"""What the model of an embedder is made of, takes up and does in a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from nearkin.bound_embedder import make_embedder
from nearkin.embedders import Embedder
from nearkin.registry import Registry
from nearkin.resident_memory import resident_bytes
from nearkin.settings import load_settings

SAMPLE = (
    "How do I rotate a key?",
    "My card has not arrived yet.",
    "shutil.copyfile: copy the contents of one file to another in the most efficient way possible.",
    "a small domesticated carnivorous mammal with soft fur, a short snout and retractile claws",
    "The parcel was delivered to a neighbour on Tuesday, although the tracking page still says that it is on its way.",
    "reset password",
    "Which of these two lenses is better for photographs of birds in flight, and is the difference worth its price?",
    "The committee agreed that the bridge should be closed to heavy vehicles until the cracks that were found in its second "
    "pier have been examined, and that the detour through the valley should be signposted in both languages.",
    "Beat the eggs with the sugar until pale, fold in the flour, and bake for twenty-five minutes at 180 degrees.",
    "error: connection refused",
    "An embedding maps a text to a vector so that texts that mean nearly the same lie close together. A model of the kind that "
    "is used most reads the whole text at once, gives each of its parts a vector that depends on all the others, and takes their "
    "mean. What lies beyond the longest text that it reads is left out without a word, so that long documents are better cut "
    "into passages that are embedded one by one and remember where they came from.",
    "What is the exchange rate that applies when I withdraw money abroad at the weekend?",
)
"""Texts of a few words up to a paragraph, such as people store and ask."""

COPIES = 4
ROUNDS = 5
SECONDS = 10.0
"""Rounds at most, and seconds after which no further one is begun."""

BYTES_OF = {"float32": 4, "float16": 2, "int8": 1}


@dataclass(frozen=True)
class ModelFacts:
    """An embedder as it was loaded.

    Attributes
    ----------
    embedder
        How the registry makes it.
    fingerprint
        Of the embedder; empty as long as it has to learn from items.
    dim
        Columns of its vectors; None before it has learned.
    parameters, layers, max_length
        As in `nearkin.embedders.ModelSize`.
    bytes
        Parameters in float32, float16 and int8, and ``loaded``: what they take now.
    resident
        Bytes that the process grew by while it was loaded, its libraries included; None where that is not known.
    items_per_second
        Median over `rounds` of embedding `items` items, warm; None if it has to learn first.
    threads
        That it was measured with.
    """

    embedder: str
    takes: str
    fingerprint: str
    dim: int | None
    parameters: int
    layers: int | None
    max_length: int | None
    bytes: dict[str, int]
    resident: int | None
    items_per_second: float | None
    items: int
    rounds: int
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


class Loaded(NamedTuple):
    """An embedder, and the bytes that the process grew by while it was made."""

    embedder: Embedder
    resident: int | None


def load_measured(embedder: str | Embedder, registry: Registry) -> Loaded:
    """Make an embedder and see what that takes."""
    before = resident_bytes()
    made = make_embedder(embedder, registry)
    after = resident_bytes()
    return Loaded(made, None if before is None or after is None else max(0, after - before))


def measure_model(loaded: Loaded, threads: int | None = None) -> ModelFacts:
    """What a loaded embedder is made of, and how fast it is.

    >>> from nearkin.registry import default_registry
    >>> facts = measure_model(load_measured("hashing:dim=64", default_registry()))
    >>> facts.dim, facts.parameters, facts.items_per_second > 0
    (64, 0, True)
    """
    made, resident = loaded
    made.threads = load_settings({"threads": threads}).cores
    size = made.size()
    items = _sample(made)
    times = _rounds(made, items) if made.fitted else []
    return ModelFacts(
        embedder=made.text,
        takes=made.takes,
        fingerprint=made.fingerprint if made.fitted else "",
        dim=made.dim if made.fitted else None,
        parameters=size.parameters,
        layers=size.layers,
        max_length=size.max_length,
        bytes={name: size.parameters * each for name, each in BYTES_OF.items()} | {"loaded": size.nbytes},
        resident=resident,
        items_per_second=len(items) / median(times) if times else None,
        items=len(items),
        rounds=len(times),
        threads=made.threads,
    )


def _sample(embedder: Embedder) -> Sequence[Any]:
    return SAMPLE * COPIES if embedder.takes == "text" else list(embedder.canaries) * COPIES


def _rounds(embedder: Embedder, items: Sequence[Any]) -> list[float]:
    """Seconds of each round, after one that does not count."""
    embedder.embed(items)
    times: list[float] = []
    while len(times) < ROUNDS and sum(times) < SECONDS:
        start = perf_counter()
        embedder.embed(items)
        times.append(perf_counter() - start)
    return times
