"""Well-known learners of scikit-learn, to hold the others against: each with what it needs around it to be treated fairly."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from nearkin.errors import ParameterError
from nearkin.settings import load_settings


class QuietMLPClassifier(MLPClassifier):  # type: ignore[misc]
    """scikit-learn's network, without the warning that it could have been trained longer: it is there to be compared with."""

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from (n, columns) rows and n labels."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y)
        return self


class QuietMLPRegressor(MLPRegressor):  # type: ignore[misc]
    """As `QuietMLPClassifier`, for numbers."""

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from (n, columns) rows and n numbers."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y)
        return self


class CalibratedSVM(CalibratedClassifierCV):  # type: ignore[misc]
    """scikit-learn's calibration in folds, which says when a label has fewer rows than there are folds."""

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from (n, columns) rows and n labels.

        Raises
        ------
        ParameterError
            A label with fewer rows than folds.
        """
        fewest = int(np.unique(np.asarray(y), return_counts=True)[1].min())
        if fewest < self.cv:
            rows = "1 row" if fewest == 1 else f"{fewest} rows"
            raise ParameterError(
                f"probabilities of svm are calibrated in {self.cv} folds, and a label has {rows}",
                hint="leave out labels with few rows, or probabilities",
            )
        super().fit(X, y)
        return self


def _seed(seed: int | None) -> int:
    return load_settings({"seed": seed}).seed


def svm(task: str, *, C: float, kernel: str, probabilities: bool, seed: int | None) -> Any:
    """A support vector machine over standardized columns (and numbers); probabilities are calibrated in three folds."""
    if task == "numbers":
        return _on_steps(SVR(C=C, kernel=kernel))
    machine = make_pipeline(StandardScaler(), SVC(C=C, kernel=kernel, random_state=_seed(seed)))
    return CalibratedSVM(machine, cv=3, ensemble=False) if probabilities else machine


def tree(task: str, *, max_depth: int | None, min_samples_leaf: int, seed: int | None) -> Any:
    """A decision tree."""
    kind = DecisionTreeClassifier if task == "classes" else DecisionTreeRegressor
    return kind(max_depth=max_depth, min_samples_leaf=min_samples_leaf, random_state=_seed(seed))


def random_forest(task: str, *, n_estimators: int, max_depth: int | None, seed: int | None) -> Any:
    """Decision trees on draws of rows and columns."""
    kind = RandomForestClassifier if task == "classes" else RandomForestRegressor
    return kind(n_estimators=n_estimators, max_depth=max_depth, random_state=_seed(seed))


def naive_bayes(task: str) -> Any:
    """A normal distribution for each column and label."""
    return GaussianNB()


def mlp(task: str, *, hidden: int, alpha: float, max_iter: int, seed: int | None) -> Any:
    """A network with one hidden layer over standardized columns (and numbers)."""
    how: dict[str, Any] = {
        "hidden_layer_sizes": (hidden,),
        "alpha": alpha,
        "max_iter": max_iter,
        "learning_rate_init": 0.005,
    }
    if task == "numbers":
        return _on_steps(QuietMLPRegressor(**how, random_state=_seed(seed)))
    return make_pipeline(StandardScaler(), QuietMLPClassifier(**how, random_state=_seed(seed)))


def majority(task: str) -> Any:
    """The most frequent label, with the shares of all as probabilities; the mean of numbers."""
    return DummyClassifier(strategy="prior") if task == "classes" else DummyRegressor()


def _on_steps(regressor: Any) -> Any:
    """Rows and numbers in standard deviations, answers in the numbers' unit."""
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), regressor), transformer=StandardScaler())
