"""Agreement between runs, beside scikit-learn's adjusted Rand index."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nearkin as nk
from nearkin.clustering.problem import derived_seed
from nearkin.clustering.stability import adjusted_rand
from nearkin.errors import ParameterError

LABELS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=2, max_size=40)


@given(LABELS)
def test_the_index_is_that_of_scikit_learn(pairs):
    from sklearn.metrics import adjusted_rand_score

    one, other = np.array(pairs).T
    assert adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other), abs=1e-12)
    assert adjusted_rand(one, other) == pytest.approx(adjusted_rand(other, one))


def test_many_clusters_need_no_table_of_all_pairs():
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 50_000, (2, 100_000))
    assert adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other), abs=1e-9)


@pytest.mark.parametrize(("one", "other"), [([0, 1], [0]), ([], [])])
def test_labels_that_do_not_match_are_refused(one, other):
    with pytest.raises(ParameterError, match="labels of"):
        adjusted_rand(np.array(one), np.array(other))


def test_groups_are_stable_and_noise_is_not():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(40, 2)) + at for at in (0, 20, 40)]).astype(np.float32)
    stable = nk.cluster(rows, 3).stability(5)
    assert (stable.mean, stable.least, stable.runs, len(stable.pairs), len(stable.inertias)) == (1.0, 1.0, 5, 10, 5)
    assert "much the same clusters" in stable.sentence
    noise = nk.cluster(rng.normal(size=(400, 20)).astype(np.float32), 8, n_init=1).stability(4)
    assert noise.least <= noise.mean < 0.5
    assert noise.least == min(noise.pairs)
    assert "other clusters; try more starts" in noise.sentence
    assert noise.to_dict()["runs"] == 4


def test_the_first_run_is_the_clustering_itself_and_runs_share_no_seed():
    rows = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    found = nk.cluster(rows, 6, n_init=3, seed=4)
    stability = found.stability(3)
    assert stability.inertias[0] == found.inertia
    alone = [
        nk.cluster(rows, 6, n_init=3, seed=seed).inertia for seed in (4, derived_seed(4, 0, 1), derived_seed(4, 0, 2))
    ]
    assert list(stability.inertias) == alone


def test_given_centroids_are_not_given_again():
    """They would make all runs the same, whatever the rows."""
    rows = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
    assert nk.cluster(rows, 6, init=rows[:6]).stability(3).mean < 1


def test_one_run_is_refused():
    with pytest.raises(ParameterError, match="runs is 1"):
        nk.cluster([[0.0], [1.0], [5.0]], 2).stability(1)
