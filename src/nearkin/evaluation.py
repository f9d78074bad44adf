"""How good a collection is now, and where it loses recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nearkin.collection import Collection
from nearkin.errors import ParameterError, VectorError
from nearkin.filters import Where, as_filter
from nearkin.losses import Losses, explain_losses
from nearkin.quality import Quality
from nearkin.questions import Questions
from nearkin.search_parameters import whole_number

OWN_ROWS = (
    "no queries were given, so {count:,} of the rows asked, each left out of its own answer; queries unlike the rows may fare "
    "worse, and a graph looks better than it is, since each row was linked to its neighbours"
)


@dataclass(frozen=True)
class Evaluation:
    """A collection as it answers now.

    Attributes
    ----------
    quality
        Recall in its several senses, with intervals, and the recall of each query.
    losses
        Recall that is missing, by cause.
    own_rows
        Whether rows of the collection asked; otherwise the queries were given.
    notes
        What to bear in mind, in words.
    where, kept
        The filter that was asked under, and the rows that it keeps; None and all rows without one.
    """

    plan: str
    metric: str
    rows: int
    dim: int
    k: int
    search: Mapping[str, int]
    own_rows: bool
    quality: Quality
    losses: Losses
    notes: tuple[str, ...]
    where: str | None
    kept: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        facts = asdict(self)
        facts["quality"]["recalls"] = list(self.quality.recalls)
        return {**facts, "notes": list(self.notes)}


def evaluate(
    collection: Collection,
    queries: Any = None,
    *,
    k: int = 10,
    where: Where | None = None,
    search: Mapping[str, int] | None = None,
    rows_asked: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Recall of a collection now, with its interval, and where the rest is lost: probing, depth, quantization or a surrogate.

    Parameters
    ----------
    queries
        (nq, dim) queries that the collection does not contain; left out, `rows_asked` of its rows, each left out of its own
        answer. That flatters graphs, and the result says so.
    k
        Neighbours that are asked for.
    where
        A filter that all queries are asked under; rows that ask are among those that it keeps.
    search
        Search parameters to evaluate, where they are not to be the collection's own.
    seed
        Seed of the choice of rows.

    Raises
    ------
    StateError
        The collection does not keep its rows, so that there is no truth.
    VectorError, ParameterError
        No queries, or of another width; k below 1; a search parameter that the plan does not have.

    Examples
    --------
    >>> import numpy as np
    >>> import nearkin as nk
    >>> rows = np.random.default_rng(0).normal(size=(600, 8))
    >>> found = nk.evaluate(nk.build(rows, plan="ivf16", search={"nprobe": 2}), rows_asked=200)
    >>> found.losses.probing.mean > 0.1, found.losses.quantization.mean
    (True, 0.0)
    """
    if not isinstance(collection, Collection):
        raise ParameterError(
            f"a {type(collection).__name__} cannot be evaluated", hint="pass what nearkin.build or nearkin.open gave"
        )
    k = whole_number("k", k, 1)
    count, seed = whole_number("rows_asked", rows_asked, 1), whole_number("seed", seed, 0, 2**63)
    if not len(collection):
        raise VectorError("the collection has no rows to ask for", hint="add some first")
    chosen = _chosen(collection, where, search or {})
    own = queries is None
    questions = (
        Questions.of_rows(collection, count, k, seed, where) if own else Questions.of(collection, queries, k, where)
    )
    quality = questions.quality(collection, chosen)
    return Evaluation(
        plan=collection.plan,
        metric=collection.metric_text,
        rows=len(collection),
        dim=collection.dim,
        k=questions.k,
        search=chosen,
        own_rows=own,
        quality=quality,
        losses=explain_losses(collection, questions, chosen),
        where=None if where is None else str(as_filter(where)),
        kept=collection.count(where),
        notes=tuple(_notes(collection, questions)),
    )


def _chosen(collection: Collection, where: Where | None, search: Mapping[str, int]) -> dict[str, int]:
    """Every search parameter as a search under the filter has it."""
    if collection.index is None:
        return dict(search)
    return collection.index.resolve({**collection._view_of(where).usual, **search})


def _notes(collection: Collection, questions: Questions) -> list[str]:
    notes = [OWN_ROWS.format(count=len(questions.asked))] if questions.own is not None else []
    if collection.uncovered:
        notes.append(
            f"{collection.uncovered:,} rows are not in the index yet and are compared one by one, which loses nothing"
        )
    return notes
