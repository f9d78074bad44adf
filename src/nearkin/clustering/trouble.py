"""What may be wrong with a clustering, in sentences with numbers, and what to try."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering

TroubleKind = Literal[
    "empty clusters",
    "reseeded clusters",
    "not converged",
    "oscillating",
    "too few distinct rows",
    "duplicates",
    "sparse region",
    "pulled centroid",
    "one large cluster",
    "unlike units",
]


@dataclass(frozen=True)
class Trouble:
    """Something to know about a clustering.

    Attributes
    ----------
    kind
        One of a few.
    clusters
        Which have it; all of them where none is named.
    sentence
        What was found, with the numbers.
    advice
        What to try.
    """

    kind: TroubleKind
    clusters: tuple[int, ...]
    sentence: str
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def troubles_of(clustering: Clustering) -> tuple[Trouble, ...]:
    """What is found, see `nearkin.Clustering.troubles`."""
    return ()
