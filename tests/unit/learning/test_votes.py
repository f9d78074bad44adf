"""Votes against sums in a dictionary, and how sure they are, in few columns against one for every label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

import nearkin as nk
from nearkin.learning.sureness import HeldOut, Sureness
from nearkin.learning.votes import by_label, shares_of_votes, voted


@given(st.integers(0, 10_000), st.integers(0, 6), st.integers(1, 7), st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_sums_of_votes(seed: int, rows: int, k: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    codes, shares = rng.integers(0, classes, (rows, k)), shares_of_votes(rng.integers(0, 4, (rows, k)) / 1.0)
    votes, few = by_label(codes, shares, classes), voted(codes, shares)
    assert few.likeliest.shape == (rows,)
    for row in range(rows):
        wanted = [sum(shares[row][codes[row] == each]) for each in range(classes)]
        np.testing.assert_allclose(votes[row], wanted)
        if max(wanted) > 0:
            assert few.likeliest[row] == votes[row].argmax()
    totals = votes.sum(axis=1)
    assert ((np.abs(totals - 1) < 1e-12) | (totals == 0)).all()


@pytest.mark.parametrize("k", [1, 3, 10])
def test_few_columns_say_what_all_columns_say(k: int) -> None:
    rng = np.random.default_rng(k)
    centres, true = rng.normal(size=(60, 4)) * 2, rng.integers(0, 60, 1200)
    rows = centres[true] + rng.normal(size=(1200, 4))
    near = KNeighborsClassifier(k, weights="distance").fit(rows[:600], true[:600])
    distances, found = near.kneighbors(rows[600:])
    shares, codes = shares_of_votes(1 / distances), true[found]
    dense = by_label(codes, shares, 60)
    few = voted(np.column_stack([codes, true[600:]]), np.column_stack([shares, np.zeros(600)]))
    columns = (few.codes == true[600:, None]).argmax(axis=1)
    given_ = HeldOut(few.shares, columns, None, unseen=60 - few.shares.shape[1])
    one = Sureness.of(HeldOut(dense, true[600:], None), error_rate=0.4)
    other = Sureness.of(given_, error_rate=0.4)
    assert one.scaling.smoothing > 0
    np.testing.assert_allclose(other.scaling, one.scaling, rtol=1e-6)
    assert other.answer.threshold == pytest.approx(one.answer.threshold, abs=1e-8)
    assert (other.ece_before, other.ece_after) == pytest.approx((one.ece_before, one.ece_after), abs=1e-6)
    plain = one.decide(list(range(60)), dense, None)
    small = one.decide(list(range(60)), few.shares, None, columns=few.codes)
    assert small.likeliest == plain.likeliest
    np.testing.assert_allclose(small.probabilities, plain.probabilities, atol=2e-9)


def test_a_collection_of_many_labels() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 100, 500)
    rows = (rng.normal(size=(100, 4))[true] * 3 + rng.normal(size=(500, 4))).astype(np.float32)
    labels = nk.build(rows[:400], metadata=[{"kind": int(each)} for each in true[:400]]).classifier("kind", k=4)
    theirs = KNeighborsClassifier(4).fit(rows[:400], true[:400])
    found = labels.decide(rows[400:])
    assert found.likeliest == theirs.predict(rows[400:]).tolist()
    names = np.array(labels.classes)
    np.testing.assert_array_equal(names, theirs.classes_)
    wanted = labels.sureness.scaling.apply(theirs.predict_proba(rows[400:])).max(axis=1)
    np.testing.assert_allclose(found.probabilities, wanted, atol=2e-9)
