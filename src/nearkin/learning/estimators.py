"""Methods and embedders as users name them, made by the plugins of a registry."""

from __future__ import annotations

from typing import Any

from nearkin.bound_embedder import make_embedder
from nearkin.errors import NotSupportedError, ParameterError, PluginLoadError
from nearkin.hooks import LearnerSpec
from nearkin.learners import LearningTask
from nearkin.registry import Registry

METHODS = ("fit", "predict", "get_params")
"""What an estimator has."""


def as_embedder(embedder: Any, registry: Registry) -> Any:
    """An embedder by the plugins of a registry."""
    return make_embedder(embedder, registry) if isinstance(embedder, str) else embedder


def as_estimator(method: Any, task: LearningTask, registry: Registry, embedder: Any = None) -> tuple[str, Any]:
    """Name and estimator of a method; errors as for `judge`.

    A method that goes by inner products unless told otherwise goes by Euclidean distance on vectors of an embedder that is made
    for it, and its name says so. Vectors for the cosine need nothing: they have length 1.
    """
    if not isinstance(method, str):
        if not all(hasattr(method, each) for each in METHODS):
            raise ParameterError(
                f"method is a {type(method).__name__}, a learner's name or a scikit-learn estimator expected"
            )
        return " ".join(repr(method).split()), method
    spec = registry.resolve("learner", registry.parse("learner", method).name)
    tasks = spec.tasks if isinstance(spec, LearnerSpec) else ()
    if task not in tasks:
        raise NotSupportedError(f"learner {method!r} predicts {' and '.join(tasks)}, and these are {task}")
    part = registry.parse("learner", method)
    usual = getattr(getattr(spec, "params", None), "metric", None)
    if getattr(embedder, "metric", "") == "euclidean" and usual == "inner-product" and "metric" not in part.options:
        method = f"{method}:metric=euclidean"
    return method, made_estimator(method, registry.make("learner", method, task))


def made_estimator(name: str, made: Any) -> Any:
    """What a plugin made, if it is an estimator.

    Raises
    ------
    PluginLoadError
        It is none.
    """
    if isinstance(made, type) or not all(hasattr(made, each) for each in METHODS):
        raise PluginLoadError(f"learner {name!r} is a {type(made).__name__}, a scikit-learn estimator expected")
    return made
