"""Files of other programs at the command line: ann-benchmarks, word2vec's .bin, folders of parts, what is refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import Result

import nearkin as nk

Run = Callable[..., Result]


def test_a_file_of_ann_benchmarks_from_end_to_end(run: Run, vectors: np.ndarray) -> None:
    queries = vectors[[7, 3]] + np.float32(1e-3)
    with h5py.File("x.hdf5", "w") as file:
        file.attrs["distance"] = "euclidean"
        for name, values in (("train", vectors), ("test", queries), ("neighbors", np.ones((2, 3), np.int32))):
            file[name] = values
    built = run("build", "x.hdf5", "--plan", "hnsw16", "-o", "mine")
    assert built.exit_code == 0, built.output
    found = run("search", "mine", "x.hdf5", "--format", "hdf5:dataset=test", "-k", "1", "--json")
    assert [(hit["query"], hit["id"]) for hit in json.loads(found.stdout)] == [(0, 7), (1, 3)]


def test_what_get_prints_is_read_from_a_file(run: Run, shop: Path) -> None:
    Path("some.jsonl").write_text(run("get", shop, "a", "c").stdout)
    back = nk.read_vectors("some.jsonl")
    assert (back.ids, back.metadata) == (["a", "c"], [{"colour": "red"}, {"colour": "blue"}])
    found = run("search", shop, "some.jsonl", "-k", "1", "--json")
    assert [(hit["query"], hit["id"]) for hit in json.loads(found.stdout)] == [("a", "a"), ("c", "c")]


@pytest.mark.parametrize("suffix", ["arrow", "jsonl", "parquet", "tsv"])
def test_ids_and_metadata_survive_a_conversion(run: Run, shop: Path, suffix: str) -> None:
    result = run("convert", "shop.csv", f"shop.{suffix}", "--from", "csv:id=sku")
    assert (result.exit_code, result.stderr) == (0, "")
    back = nk.read_vectors(f"shop.{suffix}")
    assert back.vectors.tolist() == [[1, 0], [2, 0], [9, 0]]
    assert (back.ids, back.metadata) == (["a", "b", "c"], [{"colour": each} for each in ("red", "green", "blue")])


def test_a_bin_is_refused_until_it_is_named(run: Run) -> None:
    Path("x.bin").write_bytes(
        b"2 2\n" + b"".join(word + b" " + struct.pack("<2f", 1, at) for at, word in enumerate((b"a", b"b")))
    )
    refused = run("build", "x.bin", "-o", "mine")
    assert refused.exit_code == 2
    assert "runs the code in it" in refused.stderr
    assert "--format word2vec-binary" in refused.stderr
    assert run("build", "x.bin", "--format", "word2vec-binary", "-o", "mine").exit_code == 0
    with nk.open("mine", readonly=True) as collection:
        assert list(collection.ids) == ["a", "b"]


def test_a_folder_of_parts_is_built_from(run: Run, vectors: np.ndarray) -> None:
    Path("parts").mkdir()
    for number in (10, 9):
        np.save(f"parts/part_{number}.npy", vectors[:200] if number == 9 else vectors[200:])
    assert run("build", "parts", "-o", "mine").exit_code == 0
    found = run("search", "mine", "v.npy", "-k", "1", "--json")
    assert [hit["id"] for hit in json.loads(found.stdout)] == list(range(400))
    saved = run("describe", "mine")
    assert saved.exit_code == 5
    assert "is a folder with a saved index" in saved.stderr


def test_a_target_is_refused_as_a_target(run: Run, vectors: np.ndarray) -> None:
    for target, words in (
        ("o.bin", "o.bin would be pickled, as .bin files are, and nearkin writes none; write .npy"),
        ("o.pkl", "o.pkl would be pickled"),
        ("o", "o has no ending that tells its format; write .npy, or name the format: target_format='npy' (--to npy)"),
    ):
        result = run("convert", "v.npy", target)
        assert (result.exit_code != 0, words in result.stderr) == (True, True), result.stderr


def test_hints_that_name_a_format_hold_for_convert_too(run: Run) -> None:
    with h5py.File("two.h5", "w") as file:
        file["a"], file["b"] = np.ones((4, 2), np.float32), np.zeros((1, 2), np.float32)
    assert "--format hdf5:dataset=a" in run("convert", "two.h5", "o.npy").stderr
    assert run("convert", "two.h5", "o.npy", "--format", "hdf5:dataset=b").stdout == "wrote 1 row to o.npy\n"


def test_a_file_that_is_not_there_and_one_in_latin_1(run: Run) -> None:
    assert run("describe", "vectros").stderr == "error: there is no file vectros\n"
    Path("old.csv").write_bytes(b"name,x,y\n" + "caf\xe9".encode("latin-1") + b",1,2\n")
    assert "old.csv is no csv file that can be read: its text is not UTF-8" in run("describe", "old.csv").stderr


def test_an_empty_cell_can_be_skipped_as_nan(run: Run) -> None:
    Path("a.csv").write_text("x,y\n1,2\n3,\n5,6\n")
    refused = run("build", "a.csv", "-o", "mine").stderr
    assert "line 3, column 'y' (2): the cell is empty" in refused
    assert "write nan and pass --on-bad skip" in refused
    Path("a.csv").write_text("x,y\n1,2\n3,nan\n5,6\n")
    assert "2 x 2" in run("build", "a.csv", "--on-bad", "skip", "-o", "mine").stdout
