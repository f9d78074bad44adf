"""``nearkin health`` and ``nearkin optimize --retrain``."""

from __future__ import annotations

import json

import numpy as np
import pytest

import nearkin as nk


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "mine"
    rows = np.random.default_rng(0).normal(size=(1200, 8)).astype(np.float32)
    nk.build_folder(lambda: iter([nk.Block(rows)]), place, plan="ivf").close()
    return place


def test_a_shift_is_told_and_retraining_ends_it(run, folder):
    fine = run("health", str(folder))
    assert fine.exit_code == 0
    assert "verdict: fine: recall@10 is" in fine.stdout
    assert "advice:" not in fine.stdout
    with nk.open(folder) as mine:
        mine.add(np.random.default_rng(1).normal(loc=4, size=(300, 8)))
    shifted = run("health", str(folder))
    assert shifted.exit_code == 0
    assert "verdict: retrain: the 300 rows added since lie" in shifted.stdout
    assert f"advice: nearkin optimize {folder} --retrain" in shifted.stdout
    again = run("optimize", str(folder), "--retrain")
    assert again.exit_code == 0
    assert "trained again on all 1,500 rows" in again.stderr
    found = json.loads(run("health", str(folder), "--json").stdout)
    assert (found["verdict"], found["trained_rows"], found["added"]) == ("fine", 1500, 0)


def test_what_is_not_known_is_a_dash(run, tmp_path):
    nk.build(np.random.default_rng(0).normal(size=(300, 8)), plan="ivf", keep_vectors=False).save(tmp_path / "lean")
    shown = run("health", str(tmp_path / "lean"))
    assert shown.exit_code == 0
    assert "duplicates   -" in shown.stdout
    (line,) = [each for each in shown.stdout.splitlines() if each.startswith("spot recall@10")]
    assert line.split()[2:] == ["-", "-"]
