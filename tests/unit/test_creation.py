"""Collections that start empty."""

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors


def test_from_empty_to_searched(tmp_path):
    with nk.create(tmp_path / "shop", dim=3, metric="cosine", plan="ivf4", search={"nprobe": 4}) as mine:
        assert len(mine) == 0
        assert mine.search(np.eye(3), 2).counts.tolist() == [0, 0, 0]
        assert mine.count("price > 3") == 0
        rows = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
        mine.add(rows, ids=[f"sku-{n}" for n in range(200)], metadata=[{"price": n} for n in range(200)])
        before = mine.search(rows[:5], 3).ids.tolist()
        assert mine.uncovered == 200
        mine.optimize()
        assert (mine.plan, mine.uncovered) == ("ivf4", 0)
        assert mine.search(rows[:5], 3).ids.tolist() == before
    with nk.open(tmp_path / "shop") as again:
        assert (again.plan, again.metric_text, again.search_defaults) == ("ivf4", "cosine", {"nprobe": 4})
        assert again.search(rows[:5], 3).ids.tolist() == before
        assert [row.id for row in again.select("price between 3 and 5")] == ["sku-3", "sku-4", "sku-5"]


def test_a_budget_is_kept_for_every_optimize(tmp_path):
    rows = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    with nk.create(tmp_path / "shop", dim=8, recall=0.9) as mine:
        mine.add(rows)
    with nk.open(tmp_path / "shop") as mine:
        assert mine.budget is not None
        mine.optimize()
        assert mine.choice is not None
        assert mine.choice.recall.low >= 0.9
        assert mine.uncovered == 0
        plan = mine.plan
    with nk.open(tmp_path / "shop", readonly=True) as again:
        assert (again.plan, again.budget.recall) == (plan, 0.9)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"dim": 0}, errors.ParameterError, "dim is 0"),
        ({"dim": 2.5}, errors.ParameterError, "dim is 2.5"),
        ({"dim": 4, "metric": "mahalanobis"}, errors.NotSupportedError, "fitted to rows"),
        ({"dim": 4, "metric": "cosin"}, errors.UnknownNameError, "cosine"),
        ({"dim": 4, "plan": "hnsw8,pq2x4", "metric": "manhattan"}, errors.NotSupportedError, "manhattan"),
        ({"dim": 4, "recall": 2}, errors.ParameterError, "recall is 2"),
    ],
)
def test_refused_before_anything_is_made(tmp_path, given, kind, message):
    with pytest.raises(kind, match=message):
        nk.create(tmp_path / "shop", **given)
    assert not (tmp_path / "shop").exists()


def test_nothing_is_written_over(tmp_path):
    nk.create(tmp_path / "shop", dim=3).close()
    with pytest.raises(errors.ParameterError, match="already"):
        nk.create(tmp_path / "shop", dim=3)
