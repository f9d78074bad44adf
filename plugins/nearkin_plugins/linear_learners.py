"""Specs of linear learners and of yardsticks, which the plugin of learners hands on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nearkin.hooks import LearnerSpec

YARDSTICKS = "nearkin_plugins.yardsticks"
BOTH: dict[str, Any] = {"tasks": ("classes", "numbers"), "yardstick": True}
PIPELINE = {"scikit-learn": "a Pipeline of scikit-learn fits the steps that it was given, not copies"}


@dataclass(frozen=True)
class LogisticParams:
    """Options of logistic regression.

    Attributes
    ----------
    C
        Inverse strength of the penalty; auto for cross-validation.
    penalty
        l2, l1 or elastic.
    l1_ratio
        Share of l1 in elastic.
    standardize
        Whether columns are learned from in standard deviations.
    solver
        lbfgs or sgd.
    """

    C: float | str = 1.0
    penalty: str = "l2"
    l1_ratio: float = 0.5
    standardize: bool = True
    solver: str = "lbfgs"


@dataclass(frozen=True)
class LinearParams:
    """Options of linear regression.

    Attributes
    ----------
    method
        ols, ridge or lasso.
    alpha
        Strength of the penalty; auto for cross-validation.
    standardize
        Whether columns are learned from in standard deviations.
    """

    method: str = "ridge"
    alpha: float | str = "auto"
    standardize: bool = True


@dataclass(frozen=True)
class SVMParams:
    """Options of the support vector machine.

    Attributes
    ----------
    C
        Inverse strength of the penalty.
    kernel
        rbf, linear, poly or sigmoid.
    probabilities
        Whether it gives probabilities, which takes four fits instead of one; every label then needs three rows.
    seed
        None for the setting.
    """

    C: float = 1.0
    kernel: str = "rbf"
    probabilities: bool = False
    seed: int | None = None


@dataclass(frozen=True)
class TreeParams:
    """Options of the decision tree.

    Attributes
    ----------
    max_depth
        None for as deep as it takes.
    min_samples_leaf
        Rows of a leaf at least.
    seed
        None for the setting.
    """

    max_depth: int | None = None
    min_samples_leaf: int = 1
    seed: int | None = None


@dataclass(frozen=True)
class ForestParams:
    """Options of the random forest.

    Attributes
    ----------
    n_estimators
        Trees.
    max_depth
        None for as deep as it takes.
    seed
        None for the setting.
    """

    n_estimators: int = 100
    max_depth: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class MLPParams:
    """Options of the network.

    Attributes
    ----------
    hidden
        Units of the hidden layer.
    alpha
        Strength of the L2 penalty.
    max_iter
        Rounds over the rows at most.
    seed
        None for the setting.
    """

    hidden: int = 32
    alpha: float = 1e-4
    max_iter: int = 300
    seed: int | None = None


def logistic(task: str, **params: Any) -> Any:
    """The classifier."""
    from nearkin import LogisticClassifier

    return LogisticClassifier(**params)


def linear(task: str, **params: Any) -> Any:
    """The regressor."""
    from nearkin import LinearRegressor

    return LinearRegressor(**params)


def linear_specs() -> Iterable[LearnerSpec]:
    """Learners that weigh columns."""
    yield LearnerSpec(
        name="logistic",
        summary="Log-odds as weighed sums of columns.",
        make=logistic,
        params=LogisticParams,
        examples=({}, {"penalty": "l1", "C": 0.5}, {"penalty": "elastic"}, {"C": "auto"}, {"solver": "sgd"}),
    )
    yield LearnerSpec(
        name="linear",
        summary="Numbers as weighed sums of columns.",
        make=linear,
        params=LinearParams,
        tasks=("numbers",),
        examples=({}, {"method": "ols"}, {"method": "lasso", "alpha": 0.01}),
    )


def yardstick_specs() -> Iterable[LearnerSpec]:
    """What the others are held against."""
    return [
        LearnerSpec(
            name="svm",
            summary="A support vector machine (scikit-learn).",
            make=f"{YARDSTICKS}:svm",
            params=SVMParams,
            examples=({}, {"probabilities": True}),
            known_failures=PIPELINE,
            **BOTH,
        ),
        LearnerSpec(
            name="tree", summary="A decision tree (scikit-learn).", make=f"{YARDSTICKS}:tree", params=TreeParams, **BOTH
        ),
        LearnerSpec(
            name="random-forest",
            summary="Many decision trees on draws of rows and columns (scikit-learn).",
            make=f"{YARDSTICKS}:random_forest",
            params=ForestParams,
            examples=({"n_estimators": 20},),
            known_failures={"scikit-learn": "rows that weigh twice and rows that come twice are drawn differently"},
            **BOTH,
        ),
        LearnerSpec(
            name="naive-bayes",
            summary="A normal distribution for each column and label (scikit-learn).",
            make=f"{YARDSTICKS}:naive_bayes",
            yardstick=True,
        ),
        LearnerSpec(
            name="mlp",
            summary="A network with one hidden layer (scikit-learn).",
            make=f"{YARDSTICKS}:mlp",
            params=MLPParams,
            examples=({"hidden": 16, "max_iter": 100},),
            known_failures=PIPELINE,
            **BOTH,
        ),
        LearnerSpec(
            name="majority",
            summary="The most frequent label, or the mean: what everything else must beat.",
            make=f"{YARDSTICKS}:majority",
            known_failures={"learns": "it is what the others must beat"},
            **BOTH,
        ),
    ]
