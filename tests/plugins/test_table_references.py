"""The table embedder against scikit-learn's pipeline of scalers, imputers, indicators and one-hot encoding, and brute force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from tests.plugins.table_data import (
    CREDIT_CATEGORICAL,
    CREDIT_NUMERIC,
    PENGUIN_CATEGORICAL,
    PENGUIN_NUMERIC,
    german_credit,
    made,
    penguins,
)

import nearkin as nk
from nearkin_plugins.tables.embedder import TableEmbedder

K = 10


def reference(
    records: Sequence[Mapping[str, Any]],
    numeric: Sequence[str],
    categorical: Sequence[str],
    scaling: str,
    weights: Mapping[str, float],
) -> np.ndarray:
    """(n, columns) float64 of scikit-learn's transformers; categories times √½, columns times the root of their weight."""
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, RobustScaler, StandardScaler

    scaler = RobustScaler if scaling == "robust" else StandardScaler
    parts = []
    for name in numeric:
        values = np.array([[np.nan if row[name] in ("", None) else float(row[name])] for row in records])
        imputer = SimpleImputer(strategy="median" if scaling == "robust" else "mean")
        # scaled by what is there, then imputed at the centre, which is 0
        steps = imputer.fit_transform(scaler().fit_transform(values))
        marks = MissingIndicator(features="missing-only").fit_transform(values)
        parts.append(np.hstack([steps, marks]) * np.sqrt(weights.get(name, 1.0)))
    for name in categorical:
        texts = np.array([[row[name] or "(none)"] for row in records], dtype=object)
        shares = OneHotEncoder(sparse_output=False).fit_transform(texts)
        parts.append(shares * np.sqrt(weights.get(name, 1.0) / 2))
    return np.hstack(parts)


def brute_force(rows: np.ndarray) -> np.ndarray:
    """(n, n) float64 distances."""
    return np.stack([np.sqrt(((rows - row) ** 2).sum(axis=1)) for row in rows])


def check_neighbours(ids: np.ndarray, distances: np.ndarray, truth: np.ndarray) -> None:
    """The distances are the K smallest there are, and each neighbour is as far as it is said to be: ties may be in any order."""
    near = np.sort(truth, axis=1)[:, :K]
    np.testing.assert_allclose(distances, near, rtol=1e-4, atol=2e-3)
    np.testing.assert_allclose(np.take_along_axis(truth, ids, axis=1), near, rtol=1e-5, atol=1e-5)


TABLES: dict[str, tuple[Callable[[], list[dict[str, Any]]], Sequence[str], Sequence[str]]] = {
    "german-credit": (german_credit, CREDIT_NUMERIC, CREDIT_CATEGORICAL),
    "penguins": (penguins, PENGUIN_NUMERIC, PENGUIN_CATEGORICAL),
    "made": (made, ("size", "count"), ("kind", "town")),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("scaling", ["standard", "robust"])
@pytest.mark.parametrize("weighted", [False, True])
def test_neighbours_are_those_of_the_pipeline(table: str, scaling: str, weighted: bool) -> None:
    load, numeric, categorical = TABLES[table]
    records = load()
    weights = {numeric[0]: 3.0, categorical[0]: 0.25} if weighted else {}
    if scaling == "robust" and table == "german-credit":  # a range of 0: another rule, tested for itself
        numeric = [name for name in numeric if name != "c17"]
    wanted = reference(records, numeric, categorical, scaling, weights)
    embedder = TableEmbedder(numeric=numeric, categorical=categorical, scaling=scaling, weights=weights)
    mine = nk.build(records, embedder=embedder)
    found = mine.search(records, K)
    truth = brute_force(wanted)
    check_neighbours(found.ids.astype(np.int64), found.distances.astype(np.float64), truth)


@pytest.mark.parametrize("table", TABLES)
def test_vectors_are_those_of_the_pipeline(table: str) -> None:
    load, numeric, categorical = TABLES[table]
    records = load()
    wanted = reference(records, numeric, categorical, "standard", {})
    embedder = TableEmbedder(numeric=numeric, categorical=categorical)
    embedder.fit(records)
    vectors = embedder.embed(records)
    others = ~vectors.any(axis=0)  # columns for categories that were not learned
    assert others.sum() == len(categorical)
    assert vectors.shape[1] - others.sum() == wanted.shape[1]
    gram = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.testing.assert_allclose(gram, wanted @ wanted.T, rtol=1e-5, atol=1e-4)


def test_rare_categories_are_those_of_the_encoder() -> None:
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(0)
    records = [{"kind": each} for each in rng.choice(list("abcdef"), 200, p=[0.5, 0.3, 0.1, 0.05, 0.03, 0.02]).tolist()]
    texts = np.array([[row["kind"]] for row in records], dtype=object)
    encoder = OneHotEncoder(min_frequency=0.06, sparse_output=False, handle_unknown="infrequent_if_exist").fit(texts)
    embedder = TableEmbedder(categorical="kind", rare=0.06)
    embedder.fit(records)
    asked = [*records, {"kind": "new"}]
    wanted = encoder.transform([[row["kind"]] for row in asked]) * np.sqrt(0.5)
    np.testing.assert_allclose(embedder.embed(asked), wanted, rtol=1e-6)
    assert "rarer than 0.06" in " ".join(embedder.notes)
