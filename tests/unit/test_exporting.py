"""Rows of a collection written to files, and read back."""

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors


@pytest.fixture
def mine():
    rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    mine = nk.build(rows, ids=[f"row {n}" for n in range(30)], metadata=[{"n": n, "tag": "x"} for n in range(30)])
    mine.delete(["row 3"])
    return mine


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl", "out.csv"])
def test_what_is_written_comes_back(mine, tmp_path, name):
    assert nk.export(mine, tmp_path / name, where="n < 10") == 9
    found = nk.read_vectors(tmp_path / name)
    rows = mine.select("n < 10")
    assert list(found.ids) == [row.id for row in rows]
    np.testing.assert_array_equal(found.vectors, np.array([row.vector for row in rows]))
    assert [each["n"] for each in found.metadata] == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_what_is_lost_is_said(mine, tmp_path):
    lost = []
    assert nk.export(mine, tmp_path / "out.npy", on_loss=lost.extend) == 29
    assert lost == ["ids", "metadata"]
    assert np.load(tmp_path / "out.npy").shape == (29, 4)


def test_nothing_to_write(mine, tmp_path):
    with pytest.raises(errors.ParameterError, match="the filter keeps none"):
        nk.export(mine, tmp_path / "out.npy", where="n > 99")
    with pytest.raises(errors.ParameterError, match="int cannot be exported"):
        nk.export(3, tmp_path / "out.npy")
    with pytest.raises(errors.UnknownNameError, match="no ending"):
        nk.export(mine, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
