"""What a collection makes of its neighbours: recommendations, attention, labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nearkin.collection_reader import CollectionReader
from nearkin.filters import Where

if TYPE_CHECKING:
    from nearkin.labelling import CollectionClassifier
    from nearkin.learning.attention import Attended, LeftOut, Temperature
    from nearkin.learning.decisions import Decisions
    from nearkin.suggestions import Suggestions


class CollectionAnswers(CollectionReader):
    """A collection that weighs what is similar; `nearkin.Collection` changes it, too."""

    def recommend(
        self,
        liked: Mapping[Any, float] | Iterable[Any],
        *,
        disliked: Mapping[Any, float] | Iterable[Any] = (),
        k: int = 10,
        where: Where | None = None,
        among: Iterable[Any] | None = None,
        exclude: Iterable[Any] = (),
        exclude_seen: bool = True,
        beta: float = 0.5,
        threads: int | None = None,
    ) -> Suggestions:
        """The rows most like those that somebody liked, and least like those that they did not.

        The score of a row is the weighted mean of its similarities to the liked rows, less `beta` times that to the disliked ones,
        each similarity as `search` answers it. Under cosine, correlation and inner product that is one search, for Rocchio's query
        (1971); under any other metric it is computed pair by pair: for all rows, or, where those are more than 4 million pairs, for
        the neighbours of each liked row (4,096 each at most, and of their mean where the metric has one).

        Parameters
        ----------
        liked, disliked
            Ids, or ids with weights above 0; at least one liked.
        k
            Rows wanted: k, or all there are, and a reason.
        where
            Only rows that a filter on their metadata keeps.
        among
            Ids of the only rows that may be answered; those that are not known are passed over.
        exclude
            Ids that are not answered.
        exclude_seen
            Whether liked and disliked rows are left out.
        beta
            What disliked rows count beside liked ones; 0 for nothing.

        Returns
        -------
        Suggestions
            One row; ``because`` has the share of each liked and disliked row in a score.

        Raises
        ------
        UnknownIdError
            There is no row with one of the ids; the message has close spellings.
        ParameterError
            Nothing is liked, something is both, or a weight is not above 0.
        NotSupportedError
            The metric has distances below 0 and no similarity of its own.
        StateError
            The rows were not kept.

        Examples
        --------
        >>> import nearkin as nk
        >>> shop = nk.build([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], ids=["tea", "mate", "beer", "ale"], metric="cosine")
        >>> found = shop.recommend(["tea"], disliked=["beer"], k=1)
        >>> found[0][0].id, found[0][0].because[0].id
        ('mate', 'tea')
        """
        from nearkin.recommending.liked import recommend

        return recommend(
            self,
            liked,
            disliked=disliked,
            k=k,
            where=where,
            among=among,
            exclude=exclude,
            exclude_seen=exclude_seen,
            beta=beta,
            threads=threads,
        )

    def attend(
        self,
        queries: Any,
        values: Any,
        *,
        k: int | None = 64,
        temperature: Temperature = "fit",
        heads: int = 1,
        where: Where | None = None,
        left_out: LeftOut = "exact",
        threads: int | None = None,
        **params: int,
    ) -> Attended:
        """Means of values that belong to the rows, weighed by softmax(score / T) of the k nearest.

        The score is the inner product, the cosine, or, under Euclidean distance, -d² / 2, so that T is the variance of a Gaussian.
        The plan finds the rows; their scores are computed on the rows as they are stored.

        Source: A. Vaswani et al., "Attention is all you need" (2017).

        Parameters
        ----------
        queries
            As for `search`.
        values
            One for each row of the collection, in the order of `ids`, also under a filter: (n,) or (n, outputs) numbers, or (n,)
            strings, which are labels. Or the name of a field of the metadata that has them.
        k
            Rows that are attended to by each query; None for all, in blocks, without the index.
        temperature
            T: a number; ``"sqrt"`` for the root of the columns of a head, as in the paper; or ``"fit"``, the one with the least
            squared error (log-loss, for labels) over up to 1,000 rows, each held out of its own neighbours. The answer names it:
            give it again with the next queries, and nothing is fitted.
        heads
            The columns are split into so many equal parts, each with a softmax of its own; the mean counts. More than one need
            ``k=None``.
        where
            Only rows that a filter on their metadata keeps.
        left_out
            How the mass is told that lies on other rows than the k: ``"exact"`` compares each query with all rows, as a search by
            the plan flat does; ``"bound"`` says how much it can be at most, for plans that find the nearest for sure; None not.
        threads, **params
            As for `search`.

        Raises
        ------
        NotSupportedError
            Another metric.
        StateError
            The rows were not kept.
        VectorError, ParameterError, FilterError
            Queries, values or arguments that do not fit.

        Examples
        --------
        >>> import nearkin as nk
        >>> shop = nk.build([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], metric="cosine")
        >>> found = shop.attend([[1.0, 0.1]], [30.0, 40.0, 90.0], k=2, temperature=0.1)
        >>> found.values.round(1).tolist(), found.ids.tolist(), found.weights.round(3).tolist(), found.left_out.round(5).tolist()
        ([[32.0]], [[0, 1]], [[0.801, 0.199]], [0.0001])
        """
        from nearkin.learning.attending import attend_to_rows

        with self.unchanging():
            self._need_open()
            self._need_vectors("attend")
            return attend_to_rows(
                self,
                queries,
                values,
                k=k,
                temperature=temperature,
                heads=heads,
                where=where,
                left_out=left_out,
                threads=threads,
                params=params,
            )

    def classifier(
        self,
        label: str,
        *,
        method: str = "knn",
        k: int | None = None,
        error_rate: float | None = None,
        scope: float | None = 0.99,
        where: Where | None = None,
    ) -> CollectionClassifier:
        """Learn to label queries from a field of the metadata; what it gives has `decide`, for as long as no row changes.

        How sure it may be is learned from the rows themselves: each is labelled by the others (for methods other than ``knn``, by
        a model that learned from four fifths of them), and its label is known. See `nearkin.SureClassifier`.

        Parameters
        ----------
        label
            Field with the labels: text, numbers, true or false. Rows without one are left out.
        method
            A learner (``nearkin components learners``) with options. ``knn`` asks this collection, under its metric and plan; any
            other learns from the stored vectors.
        k
            Neighbours that vote; None for 5.
        error_rate
            Largest share of wrong answers, such as 0.05; None to answer whatever the probability.
        scope
            Share of rows like those known that is to be in scope; None to hold nothing for out of scope.
        where
            Only rows that a filter keeps.

        Raises
        ------
        UnknownNameError
            No such learner, or no row has the field.
        ParameterError
            No labels, labels that are lists or objects, vectors that were made from the label, too, or a share that is none.
        NotSupportedError
            The learner gives no labels, or the vectors were not kept.
        """
        from nearkin.labelling import classifier

        given: dict[str, Any] = {"k": k, "error_rate": error_rate, "scope": scope, "where": where}
        return classifier(self, label, method=method, **given)

    def classify(
        self,
        queries: Any,
        label: str,
        *,
        method: str = "knn",
        k: int | None = None,
        error_rate: float | None = None,
        scope: float | None = 0.99,
        where: Where | None = None,
        most: int = 5,
    ) -> Decisions:
        """Labels for queries, how sure, and which rows or columns decided: `classifier` and its `decide` in one.

        Parameters
        ----------
        queries
            As for `search`.
        label, method, k, error_rate, scope, where
            As for `classifier`.
        most
            Reasons of each query, at most.

        Examples
        --------
        >>> import nearkin as nk
        >>> kinds = [{"kind": "low"}, {"kind": "low"}, {"kind": "high"}, {"kind": "high"}]
        >>> mine = nk.build([[0.0], [0.2], [0.9], [1.1]], metadata=kinds)
        >>> found = mine.classify([[0.3]], "kind", k=1)[0]
        >>> found.label, found.reasons[0].what
        ('low', 1)
        """
        given: dict[str, Any] = {"k": k, "error_rate": error_rate, "scope": scope, "where": where}
        return self.classifier(label, method=method, **given).decide(queries, most)
