"""The language between nearkin and its plugins: one hook for each kind of component, and the frozen specs that they return.

A plugin is a module (or any object) with functions marked `hookimpl`, each returning specs. A spec is data: it can be
listed, attributed, compared and refused before any code behind it runs. ``make`` names what builds the component, as
``"module:Name"``, and is imported on first use.

>>> spec = MetricSpec(name="my-metric", summary="An example.", make="my_package.metrics:MyMetric")
>>> spec.kind
'metric'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pluggy

if TYPE_CHECKING:
    from nearkin.learners import LearningTask
    from nearkin.metrics import CentroidRule

GROUP = "nearkin.plugins"
"""Entry-point group that distributions announce their plugins in."""

hookspec = pluggy.HookspecMarker("nearkin")
hookimpl = pluggy.HookimplMarker("nearkin")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a plugin says of one component.

    Attributes
    ----------
    name
        Lower-case letters, digits and hyphens, starting with a letter.
    summary
        One line for listings.
    make
        ``"module:Name"`` or a callable; called with the kind's own arguments and the params as keywords.
    params
        Frozen dataclass of the options that a user may set; field types are int, float, bool or str, optionally None.
    shorthand
        Names of the params that numbers glued to the name set: ``("M", "bits")`` lets ``pq48x8`` mean M=48, bits=8.
    leading
        Name of the param that text right after the name sets: ``"model"`` lets ``name:all-MiniLM-L6-v2`` mean
        model=all-MiniLM-L6-v2.
    needs
        Modules that must be importable.
    extra
        The optional dependency group that brings them: ``pip install "nearkin[extra]"``.
    aliases
        Other names for the same.
    examples
        Small sets of params that the contract kit runs.
    known_failures
        Check name to reason, for checks of the kit that this component is known not to pass.
    suggests
        Whole plans with this component that the planner tries before others, the most promising first.
    scales
        Options that are numbers, with factors by which the planner varies what a plan fills in: ``{"nlist": (0.5, 2)}``.
    """

    name: str
    summary: str
    make: str | Callable[..., Any]
    params: type | None = None
    shorthand: tuple[str, ...] = ()
    leading: str = ""
    needs: tuple[str, ...] = ()
    extra: str | None = None
    aliases: tuple[str, ...] = ()
    examples: tuple[Mapping[str, Any], ...] = ({},)
    known_failures: Mapping[str, str] = field(default_factory=dict)
    suggests: tuple[str, ...] = ()
    scales: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    kind: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """``make(**params)`` gives a `nearkin.Metric`."""

    kind: ClassVar[str] = "metric"


@dataclass(frozen=True, kw_only=True)
class TransformSpec(Spec):
    """``make(dim, **params)`` gives a `nearkin.Transform`."""

    kind: ClassVar[str] = "transform"


@dataclass(frozen=True, kw_only=True)
class CodecSpec(Spec):
    """``make(dim, **params)`` gives a `nearkin.Codec`.

    Attributes
    ----------
    transform
        For a codec that expects its rows in a certain form: the transform that a plan means where it names none.
    """

    transform: str = ""

    kind: ClassVar[str] = "codec"


@dataclass(frozen=True, kw_only=True)
class ClustererSpec(Spec):
    """``make(**params)`` gives a `nearkin.Clusterer`.

    Attributes
    ----------
    rules
        Of which kinds its centroids may be, as `nearkin.Clusterer.rules` says, so that a method can be named without making it.
    """

    rules: tuple[CentroidRule, ...] = ("mean",)

    kind: ClassVar[str] = "clusterer"


@dataclass(frozen=True, kw_only=True)
class IndexSpec(Spec):
    """``make(layout, **params)`` gives a `nearkin.Index`.

    Attributes
    ----------
    accepts
        Codec label (``"faiss:pq"``; ``"decoded"`` for any codec) to the space labels that it is right with
        (``"pairwise"`` for any space).
    refines
        The same for refinement codecs that the index re-ranks with itself over codecs that it accepts by name; everything else is
        re-ranked by nearkin.
    transforms
        Whether the index applies `Layout.transform` itself before codecs that it accepts by name; if not, nearkin does.
    exact
        Whether a search with a lossless codec gives the exact neighbours whatever the parameters.
    inner
        For an index that wraps another one in a squared L2 space that it maps the rows into (`Layout.inner`): the plan of that
        other index where the user's plan has none. Everything after the index's own part is that plan.
    """

    accepts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    refines: Mapping[str, frozenset[str]] = field(default_factory=dict)
    transforms: bool = False
    exact: bool = False
    inner: str = ""

    kind: ClassVar[str] = "index"


@dataclass(frozen=True, kw_only=True)
class EmbedderSpec(Spec):
    """``make(**params)`` gives a `nearkin.Embedder`.

    Attributes
    ----------
    items
        Items that the contract kit embeds, and fits to, besides texts of its own; needed where items are no texts.
    """

    items: tuple[Any, ...] = ()

    kind: ClassVar[str] = "embedder"


@dataclass(frozen=True, kw_only=True)
class LearnerSpec(Spec):
    """``make(task, **params)`` gives a scikit-learn classifier for the task "classes", a regressor for "numbers".

    Attributes
    ----------
    tasks
        Those that it can do.
    yardstick
        Whether it is there to be compared with, and not by similarity: left out where nobody asks for comparison.
    """

    tasks: tuple[LearningTask, ...] = ("classes",)
    yardstick: bool = False

    kind: ClassVar[str] = "learner"


@dataclass(frozen=True, kw_only=True)
class RecommenderSpec(Spec):
    """``make(**params)`` gives a `nearkin.Recommender`."""

    kind: ClassVar[str] = "recommender"


@dataclass(frozen=True, kw_only=True)
class FormatSpec(Spec):
    """``make(**params)`` gives a `nearkin.VectorFormat`.

    Attributes
    ----------
    suffixes
        File name endings, lower case with the dot, so that a format is found without importing it.
    """

    suffixes: tuple[str, ...] = ()

    kind: ClassVar[str] = "format"


class HookSpecs:
    """Every hook that a plugin may implement. All are optional and take no argument."""

    @hookspec
    def nearkin_metrics(self) -> Iterable[MetricSpec]:
        """Distance metrics."""
        raise NotImplementedError

    @hookspec
    def nearkin_transforms(self) -> Iterable[TransformSpec]:
        """Transforms: rows in another space."""
        raise NotImplementedError

    @hookspec
    def nearkin_codecs(self) -> Iterable[CodecSpec]:
        """Codecs: rows in fewer bytes."""
        raise NotImplementedError

    @hookspec
    def nearkin_clusterers(self) -> Iterable[ClustererSpec]:
        """Clusterers: centroids of rows."""
        raise NotImplementedError

    @hookspec
    def nearkin_indexes(self) -> Iterable[IndexSpec]:
        """Indexes: nearest rows."""
        raise NotImplementedError

    @hookspec
    def nearkin_embedders(self) -> Iterable[EmbedderSpec]:
        """Embedders: items to vectors."""
        raise NotImplementedError

    @hookspec
    def nearkin_learners(self) -> Iterable[LearnerSpec]:
        """Learners: labels and numbers for rows."""
        raise NotImplementedError

    @hookspec
    def nearkin_recommenders(self) -> Iterable[RecommenderSpec]:
        """Recommenders: items for users."""
        raise NotImplementedError

    @hookspec
    def nearkin_formats(self) -> Iterable[FormatSpec]:
        """File formats."""
        raise NotImplementedError


HOOKS: Mapping[str, type[Spec]] = {
    "nearkin_metrics": MetricSpec,
    "nearkin_transforms": TransformSpec,
    "nearkin_codecs": CodecSpec,
    "nearkin_clusterers": ClustererSpec,
    "nearkin_indexes": IndexSpec,
    "nearkin_embedders": EmbedderSpec,
    "nearkin_learners": LearnerSpec,
    "nearkin_recommenders": RecommenderSpec,
    "nearkin_formats": FormatSpec,
}
"""Hook name to the class of spec that it returns."""
