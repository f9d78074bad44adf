"""Attention over the rows of a collection, against softmax written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(300, 6)).astype(np.float32)
ASKED = RNG.normal(size=(9, 6)).astype(np.float32)
PRICES = RNG.normal(size=300) + 10
KINDS = np.array(["lamp", "chair", "desk"])[np.arange(300) % 3]
METADATA = [{"price": float(price), "made": {"of": str(kind)}} for price, kind in zip(PRICES, KINDS, strict=True)]


def weights_of(metric: str, rows: np.ndarray, T: float, k: int | None) -> np.ndarray:
    q, x = ASKED.astype(np.float64), rows.astype(np.float64)
    if metric == "cosine":
        q, x = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (q, x))
    scores = -0.5 * ((q[:, None] - x[None]) ** 2).sum(axis=2) if "euclidean" in metric else q @ x.T
    if k is not None:
        scores = np.where(scores >= -np.sort(-scores, axis=1)[:, k - 1 : k], scores, -np.inf)
    shares = np.exp((scores - scores.max(axis=1, keepdims=True)) / T)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("metric", ["inner-product", "cosine", "euclidean", "sqeuclidean"])
@pytest.mark.parametrize("k", [None, 4])
def test_the_formula_over_every_metric_that_has_a_score(metric: str, k: int | None) -> None:
    mine = nk.build(ROWS, metric=metric, ids=[f"r{row}" for row in range(300)])
    found = mine.attend(ASKED, PRICES, k=k, temperature=0.4)
    weights = weights_of(metric, ROWS, 0.4, k)
    np.testing.assert_allclose(found.values[:, 0], weights @ PRICES, atol=1e-5)
    assert found.ids[0, 0] == f"r{weights[0].argmax()}"
    whole = weights_of(metric, ROWS, 0.4, None)
    missed = 0.0 if k is None else 1 - np.sort(whole, axis=1)[:, -k:].sum(axis=1)
    np.testing.assert_allclose(found.left_out, missed, atol=1e-6)


@pytest.mark.parametrize("k", [None, 7])
def test_deleted_rows_and_filters(k: int | None) -> None:
    mine = nk.build(ROWS, metric="cosine", metadata=METADATA)
    mine.delete([0, 3, 50])
    mine.add(ASKED[:2], metadata=[{"price": 1.0, "made": {"of": "lamp"}}] * 2)
    rows = np.concatenate([np.delete(ROWS, [0, 3, 50], axis=0), ASKED[:2]])
    prices = np.concatenate([np.delete(PRICES, [0, 3, 50]), [1.0, 1.0]])
    kinds = np.concatenate([np.delete(KINDS, [0, 3, 50]), ["lamp", "lamp"]])
    lamps = kinds == "lamp"
    found = mine.attend(ASKED, prices, k=k, temperature=0.3, where='made.of = "lamp"')
    weights = weights_of("cosine", rows[lamps], 0.3, k)
    np.testing.assert_allclose(found.values[:, 0], weights @ prices[lamps], atol=1e-6)
    named = mine.attend(ASKED, "price", k=k, temperature=0.3, where='made.of = "lamp"')
    np.testing.assert_allclose(named.values, found.values)
    np.testing.assert_array_equal(found.ids[:, 0], mine.ids[lamps][weights.argmax(axis=1)])


def test_labels_and_vectors_as_values(tmp_path: Path) -> None:
    nk.build(ROWS, metric="euclidean", metadata=METADATA, plan="ivf8").save(tmp_path / "shop")
    with nk.open(tmp_path / "shop") as mine:
        labels = mine.attend(ASKED, "made.of", k=20, temperature=0.5, nprobe=8)
        weights = weights_of("euclidean", ROWS, 0.5, 20)
        wanted = np.stack([weights[:, each == KINDS].sum(axis=1) for each in ("chair", "desk", "lamp")], axis=1)
        np.testing.assert_allclose(labels.values, wanted, atol=1e-6)
        assert labels.labels.tolist() == np.array(["chair", "desk", "lamp"])[wanted.argmax(axis=1)].tolist()
        vectors = mine.attend(ASKED, ROWS, k=None, temperature=0.5)
        np.testing.assert_allclose(vectors.values, weights_of("euclidean", ROWS, 0.5, None) @ ROWS, atol=1e-6)
        fitted = mine.attend(ASKED, ROWS @ np.ones(6), k=None)
        assert mine.attend(ASKED, "price", k=5, temperature=fitted.temperature).temperature == fitted.temperature
        assert 0.01 < fitted.temperature < 2


def test_heads_over_all_rows() -> None:
    mine = nk.build(ROWS, metric="inner-product")
    found = mine.attend(ASKED, PRICES, k=None, heads=3, temperature="sqrt")
    shares = [np.exp(ASKED[:, [i, i + 1]].astype(float) @ ROWS[:, [i, i + 1]].T / 2**0.5) for i in (0, 2, 4)]
    weights = np.mean([each / each.sum(axis=1, keepdims=True) for each in shares], axis=0)
    np.testing.assert_allclose(found.values[:, 0], weights @ PRICES, atol=1e-5)
    assert found.weights.shape == (9, 100)
    assert found.temperature == 2**0.5
    with pytest.raises(errors.ParameterError, match="each of 3 heads has nearest rows of its own"):
        mine.attend(ASKED, PRICES, heads=3)


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({"values": PRICES[:7]}, errors.VectorError, "there are 7 values, one for each of the collection's 300 rows"),
        ({"values": "colour"}, errors.VectorError, "300 of 300 rows .* have no colour"),
        ({"values": 3}, errors.VectorError, "there are 0 values"),
        ({"values": PRICES, "k": 0}, errors.ParameterError, "k is 0"),
        ({"values": PRICES, "temperature": -1}, errors.ParameterError, "temperature is -1"),
        ({"values": PRICES, "left_out": "all"}, errors.ParameterError, "left_out is 'all'"),
        ({"values": PRICES, "where": "price > 99"}, errors.VectorError, "no rows to attend to, 300 before the filter"),
        ({"values": PRICES, "k": None, "nprobe": 3}, errors.ParameterError, "nprobe is of a search"),
        ({"values": PRICES, "probes": 3}, errors.ParameterError, "'probes' is not a search parameter"),
    ],
)
def test_what_is_wrong_is_said(asked: dict[str, Any], kind: type[Exception], said: str) -> None:
    mine = nk.build(ROWS, metric="cosine", metadata=METADATA)
    with pytest.raises(kind, match=said):
        mine.attend(ASKED, **asked)


def test_metrics_without_a_score_and_rows_that_were_not_kept() -> None:
    with pytest.raises(errors.NotSupportedError, match=r"'manhattan'; build it with .*KNNClassifier"):
        nk.build(ROWS, metric="manhattan").attend(ASKED, PRICES)
    with pytest.raises(errors.StateError, match="attend needs the rows"):
        nk.build(ROWS, metric="cosine", keep_vectors=False).attend(ASKED, PRICES)
    mixed = nk.build(ROWS[:2], metadata=[{"v": 1}, {"v": "one"}])
    with pytest.raises(errors.VectorError, match="string in some rows and a number in others"):
        mixed.attend(ASKED, "v")
    rough = nk.build(ROWS, metric="cosine", plan="ivf8")
    with pytest.raises(errors.ParameterError, match="may miss some"):
        rough.attend(ASKED, PRICES, temperature=1.0, left_out="bound")
