"""Round trips through a folder, and what it refuses."""

import os
import subprocess
import sys

import numpy as np
import pytest

from nearkin import errors
from nearkin.filters import as_filter
from nearkin.state import State
from nearkin.store import Folder
from nearkin.store import vector_file as vector_files

ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)
NASTY = ["", "1", "a'; DROP TABLE rows; --", "\x00deleted 5", "ä\u2028😀", "../../x", "%s?mode=memory#", "\ue000\n"]


def every_step(folder, path, contents):
    """The folder as it is, opened again for writing, and opened for reading: all must say the same."""
    seen = contents(folder)
    with Folder.open(path, readonly=True) as reader:
        assert contents(reader) == seen
        assert reader.verify() == []
    folder.close()
    again = Folder.open(path)
    assert contents(again) == seen
    return again


@pytest.mark.parametrize(
    "ids", [list(range(8)), [5, -7, 0, 2**63 - 9, -(2**63), 9, 1, 3], NASTY], ids=["automatic", "ints", "strings"]
)
def test_rows_come_back_after_every_step(tmp_path, header, contents, ids):
    path = tmp_path / "wiki"
    extra = [
        {},
        {"a": 1},
        {"text": "'; DROP TABLE rows"},
        {"\ud800": "\udfff"},
        {"n": None},
        {"x": [1.5]},
        {},
        {"ö": "☃"},
    ]
    folder = every_step(Folder.create(path, header()), path, contents)
    folder.commit(vectors=ROWS[:5], ids=ids[:5], metadata=extra[:5])
    folder = every_step(folder, path, contents)
    folder.commit(delete=np.array([1, 4]), vectors=ROWS[5:], ids=ids[5:], metadata=extra[5:])
    folder = every_step(folder, path, contents)
    folder.commit(delete=np.array([0]), vectors=ROWS[:1], ids=ids[:1])
    folder = every_step(folder, path, contents)
    assert folder.alive.tolist() == [False, False, True, True, False, True, True, True, True]
    assert folder.ids.at(np.array([2, 3, 5, 6, 7, 8])).tolist() == [*ids[2:4], *ids[5:], ids[0]]
    assert folder.take(np.array([8, 2])).tolist() == ROWS[[0, 2]].tolist()
    assert folder.metadata(np.array([2, 3, 7, 8, 1])) == [extra[2], extra[3], extra[7], {}, {}]
    assert {type(each) for each in folder.ids.at(np.array([2, 3])).tolist()} == {type(ids[0])}
    folder.close()


def test_header_comes_back(tmp_path, header):
    made = header(search={"nprobe": 3, "rerank": 50})
    with Folder.create(tmp_path / "a", made) as folder:
        read = folder.header
    for name in ("dim", "dtype", "metric", "plan", "search", "seed", "keep_vectors", "embedder", "library"):
        assert getattr(read, name) == getattr(made, name)
    np.testing.assert_array_equal(read.metric_state.arrays["matrix"], made.metric_state.arrays["matrix"])
    assert read.metric_state.meta == {"shrinkage": 0.1}


def test_automatic_ids_go_on_after_the_highest_that_was_deleted(tmp_path, header):
    for ids in ([0, 1, 2], [10, 20, 30], [-9, -8, -7]):
        path = tmp_path / str(ids)
        with Folder.create(path, header()) as folder:
            folder.commit(vectors=ROWS[:3], ids=ids)
            folder.commit(delete=np.array([2]))
            expected = folder.ids.next_ids(None, 2)
        with Folder.open(path) as folder:
            assert folder.ids.next_ids(None, 2) == expected == [max(0, ids[2] + 1), max(0, ids[2] + 1) + 1]


def test_a_collection_of_strings_stays_one_when_all_are_deleted(tmp_path, header):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS[:1], ids=["x"])
        folder.commit(delete=np.array([0]))
    with Folder.open(tmp_path / "a") as folder:
        assert folder.ids.kind == "str"
        assert (len(folder), folder.count) == (1, 0)


def test_packed_bits(tmp_path, header, contents):
    rows = np.arange(40, dtype=np.uint8).reshape(8, 5)
    with Folder.create(tmp_path / "a", header(dim=5, dtype="bits")) as folder:
        folder.commit(vectors=rows, ids=list(range(8)))
        assert (tmp_path / "a/vectors/000001.u8").read_bytes() == rows.tobytes()
        folder = every_step(folder, tmp_path / "a", contents)
        assert folder.span(0, 8).dtype == np.uint8
        folder.close()


def test_the_vector_file_is_raw_little_endian_rows(tmp_path, header):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS, ids=list(range(8)))
    np.testing.assert_array_equal(np.fromfile(tmp_path / "a/vectors/000001.f32", "<f4").reshape(8, 3), ROWS)


@pytest.mark.parametrize("few", [0, 10**6])
def test_rows_taken_in_any_order_and_number(tmp_path, header, monkeypatch, few):
    monkeypatch.setattr(vector_files, "FEW", few)
    monkeypatch.setattr(vector_files, "block_rows", lambda row_bytes: 7)
    rows = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=rows, ids=list(range(50)))
        for positions in ([3], [49, 0, 0, 7, 6, 49], list(range(50)), np.random.default_rng(1).integers(0, 50, 200)):
            np.testing.assert_array_equal(folder.take(np.asarray(positions)), rows[positions])
        assert folder.take(np.empty(0, np.int64)).shape == (0, 3)
        np.testing.assert_array_equal(np.concatenate([block for _, block in folder.blocks(4)]), rows[4:])


def test_vectors_forgotten_later(tmp_path, header, contents):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS[:3], ids=["a", "b", "c"], metadata=[{"n": 1}, {}, {}])
        folder.publish("flat", State({"rows": ROWS[:3]}), 3)
        folder.forget_vectors()
        folder = every_step(folder, tmp_path / "a", contents)
        assert folder.header.keep_vectors is False
        assert folder.sizes()["vectors"] == 0
        assert folder.built().covered == 3
        with pytest.raises(errors.NotSupportedError, match="keep_vectors=False"):
            folder.span(0, 1)
        folder.commit(ids=["d"])
        assert folder.verify() == []
        folder.close()


def test_without_vectors(tmp_path, header, contents):
    with Folder.create(tmp_path / "a", header(keep_vectors=False)) as folder:
        folder.commit(ids=["a", "b"], metadata=[{"n": 1}, {}])
        folder.commit(vectors=ROWS[:1], ids=["c"])
        folder = every_step(folder, tmp_path / "a", contents)
        assert folder.ids.at(np.arange(3)).tolist() == ["a", "b", "c"]
        assert not (tmp_path / "a/vectors").exists()
        for ask in (lambda: folder.span(0, 1), lambda: folder.take(np.array([0]))):
            with pytest.raises(errors.NotSupportedError, match="keep_vectors=False"):
                ask()
        folder.close()


def test_rows_across_many_blocks(tmp_path, header, monkeypatch):
    monkeypatch.setattr(vector_files, "BLOCK_BYTES", 32)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((60, 11)).astype(np.float32)  # a row is 44 bytes, longer than a block
    with Folder.create(tmp_path / "a", header(dim=11)) as folder:
        for start in range(0, 60, 7):
            folder.commit(vectors=rows[start : start + 7], ids=list(range(start, min(60, start + 7))))
            np.testing.assert_array_equal(folder.span(0, len(folder)), rows[: start + 7])
        assert folder.verify() == []
    damaged = tmp_path / "a/vectors/000001.f32"
    content = bytearray(damaged.read_bytes())
    content[30 * 44 + 20] ^= 1
    damaged.write_bytes(content)
    for position in range(60):
        with Folder.open(tmp_path / "a", readonly=True) as folder:
            same_block = position * 44 // 32 <= (30 * 44 + 20) // 32 <= ((position + 1) * 44 - 1) // 32
            for read in (lambda: folder.take(np.array([position])), lambda: folder.span(position, position + 1)):  # noqa: B023
                if same_block:
                    with pytest.raises(errors.CorruptFileError, match="positions 29 to 30"):
                        read()
                else:
                    np.testing.assert_array_equal(read(), rows[position : position + 1])


def test_span_is_a_view_that_cannot_be_written_and_outlives_the_folder(tmp_path, header):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS, ids=list(range(8)))
        view = folder.span(2, 4)
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1
    np.testing.assert_array_equal(view, ROWS[2:4])


def test_taking_positions_that_are_not_there(tmp_path, header):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS, ids=list(range(8)))
        for positions in ([8], [-1], [0, 99]):
            with pytest.raises(errors.ParameterError, match="0 to 7"):
                folder.take(np.array(positions))
        with pytest.raises(errors.ParameterError, match="0 to 7"):
            folder.commit(delete=np.array([8]))
        assert folder.take(np.array([], dtype=int)).shape == (0, 3)


def test_metadata_that_json_cannot_hold_changes_nothing(tmp_path, header, contents):
    with Folder.create(tmp_path / "a", header()) as folder:
        before = contents(folder)
        for bad in ({"a": float("nan")}, {"a": object()}, {"a": {1, 2}}):
            with pytest.raises(errors.ParameterError, match="metadata of row 1"):
                folder.commit(vectors=ROWS[:2], ids=[0, 1], metadata=[{}, bad])
        for wrong in (ROWS[:1], ROWS[:2, :2], ROWS[:2].astype(float), None):
            with pytest.raises(errors.ParameterError, match="vectors are"):
                folder.commit(vectors=wrong, ids=[0, 1])
        with pytest.raises(errors.ParameterError, match="1 entries for 2 rows"):
            folder.commit(vectors=ROWS[:2], ids=[0, 1], metadata=[{}])
        assert contents(folder) == before
        assert not (tmp_path / "a/vectors").exists()


# ---- the built index ------------------------------------------------------------------------------------------------


def test_a_built_index_comes_back_and_replaces_the_one_before(tmp_path, header, contents, index_state):
    path = tmp_path / "a"
    with Folder.create(path, header()) as folder:
        assert folder.built() is None
        folder.commit(vectors=ROWS, ids=list(range(8)))
        folder.publish("ivf4,pq3x8", index_state, 5)
        first = {each.name for each in (path / "built").iterdir()}
        folder = every_step(folder, path, contents)
        built = folder.built()
        assert (built.label, built.covered, built.state.meta) == ("ivf4,pq3x8", 5, index_state.meta)
        for name, array in index_state.arrays.items():
            found = built.state.arrays[name]
            assert (found.dtype, found.shape, found.flags.writeable) == (array.dtype, array.shape, False)
            np.testing.assert_array_equal(found, array)
        folder.publish("other-plugin/ivf:nlist=../../4", index_state, 8)
        folder.publish("other-plugin/ivf:nlist=../../4", index_state, 8)
        names = [each.name for each in (path / "built").iterdir()]
        assert len(names) == 1
        assert names[0] not in first
        folder = every_step(folder, path, contents)
        assert folder.built().label == "other-plugin/ivf:nlist=../../4"
        np.testing.assert_array_equal(built.state.arrays["centroids"], index_state.arrays["centroids"])
        assert folder.verify() == []
        folder.close()


def test_rows_are_safe_without_the_built_index(tmp_path, header, index_state):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS, ids=list(range(8)))
        folder.publish("flat", index_state, 8)
    file = next((tmp_path / "a/built").rglob("*centroids.bin"))
    file.unlink()
    with Folder.open(tmp_path / "a") as folder:
        with pytest.raises(errors.CorruptFileError, match="missing; the rows are safe"):
            folder.built()
        assert len(folder.verify()) == 1
        np.testing.assert_array_equal(folder.span(0, 8), ROWS)
        folder.publish("flat", index_state, 8)
        assert folder.verify() == []


@pytest.mark.parametrize(
    "state",
    [State({"x": np.array([object()])}), State({"x": np.array(["text"])}), State({}, {"x": object()})],
    ids=["objects", "texts", "meta"],
)
def test_a_state_that_is_not_plain_is_refused(tmp_path, header, index_state, contents, state):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.publish("flat", index_state, 0)
        before = contents(folder)
        with pytest.raises(errors.PluginContractError):
            folder.publish("flat", state, 0)
        assert contents(folder) == before
        assert len(list((tmp_path / "a/built").iterdir())) == 1
        with pytest.raises(errors.ParameterError, match="over 1 rows was given, there are 0"):
            folder.publish("flat", index_state, 1)


def test_sizes(tmp_path, header, index_state):
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS, ids=list(range(8)))
        assert folder.sizes()["index"] == 0
        folder.publish("flat", index_state, 8)
        sizes = folder.sizes()
    assert sizes["vectors"] == ROWS.nbytes
    assert sizes["rows"] == (tmp_path / "a/collection.sqlite").stat().st_size
    assert sizes["index"] == sum(each.stat().st_size for each in (tmp_path / "a/built").rglob("*") if each.is_file())
    assert sizes["index"] > index_state.nbytes


# ---- opening ---------------------------------------------------------------------------------------------------------


def test_what_is_not_a_collection(tmp_path, header):
    (tmp_path / "file").write_text("hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/data.npy").touch()
    cases = {
        "nowhere": "there is nothing at",
        "file": "is a file of 5 bytes and not a collection",
        "empty": "is an empty folder and not a collection",
        "other": r"1 entries \(data.npy\) and not a collection",
    }
    for name, message in cases.items():
        for readonly in (False, True):
            with pytest.raises(errors.UnknownCollectionError, match=message):
                Folder.open(tmp_path / name, readonly=readonly)
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["data.npy", "empty", "file", "other"]
    for name in ("file", "other"):
        with pytest.raises(errors.ParameterError, match="not a collection"):
            Folder.create(tmp_path / name, header())
    Folder.create(tmp_path / "empty", header()).close()
    with pytest.raises(errors.ParameterError, match="already"):
        Folder.create(tmp_path / "empty", header())


@pytest.mark.parametrize("name", ["what?mode=memory", "50%25 #1", "ü ' ; --", "a&b=c"])
def test_paths_are_only_paths(tmp_path, header, contents, name):
    with Folder.create(tmp_path / name, header()) as folder:
        folder.commit(vectors=ROWS, ids=NASTY)
        every_step(folder, tmp_path / name, contents).close()
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_path_with_a_nul_is_refused(header):
    for use in (lambda: Folder.open("a\0b"), lambda: Folder.create("a\0b", header())):
        with pytest.raises(errors.ParameterError, match="cannot be a path"):
            use()


def test_one_writer(tmp_path, header):
    with Folder.create(tmp_path / "a", header()) as folder:
        with pytest.raises(errors.LockedError, match="by this process"):
            Folder.open(tmp_path / "a")
        code = (
            "import sys; from nearkin import errors; from nearkin.store import Folder\n"
            "try: Folder.open(sys.argv[1])\n"
            "except errors.LockedError as error: print(error)"
        )
        said = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, check=True)
        assert f"by process {os.getpid()};" in said.stdout
        folder.commit(vectors=ROWS, ids=list(range(8)))
    Folder.open(tmp_path / "a").close()


def test_a_reader_beside_a_writer_sees_the_last_commit_at_its_opening(tmp_path, header, contents, index_state):
    path = tmp_path / "a"
    with Folder.create(path, header()) as writer:
        writer.commit(vectors=ROWS[:4], ids=[10, 11, 12, 13], metadata=[{"n": n} for n in range(4)])
        writer.publish("flat", index_state, 4)
        with Folder.open(path, readonly=True) as reader:
            before = contents(reader)
            writer.commit(vectors=ROWS[4:], ids=[14, 15, 16, 17])
            assert contents(reader) == before
            assert reader.verify() == []
            writer.commit(delete=np.array([1]), vectors=ROWS[1:2], ids=[11], metadata=[{"n": "new"}])
            assert reader.ids.positions([11]).tolist() == [1]
            assert reader.metadata(np.array([0, 2])) == [{"n": 0}, {"n": 2}]
            with pytest.raises(errors.StateError, match="position 1 after this was opened; open it again"):
                reader.metadata(np.array([0, 1]))
            with Folder.open(path, readonly=True) as later:
                assert contents(later) == contents(writer)
            writer.publish("flat", index_state, 8)
            with pytest.raises(
                errors.StateError, match=r"replaced the index of .* after this was opened; open it again"
            ):
                reader.built()
            writer.publish("newer", index_state, 4)
            assert reader.built().label == "newer"


def test_a_reader_writes_nothing(tmp_path, header, index_state):
    Folder.create(tmp_path / "a", header()).close()
    before = {each: each.stat().st_mtime_ns for each in (tmp_path / "a").rglob("*")}
    with Folder.open(tmp_path / "a", readonly=True) as folder:
        with pytest.raises(errors.ReadOnlyError, match="for reading only"):
            folder.commit(vectors=ROWS, ids=list(range(8)))
        with pytest.raises(errors.ReadOnlyError):
            folder.publish("flat", index_state, 0)
    assert {each: each.stat().st_mtime_ns for each in (tmp_path / "a").rglob("*")} == before


def test_a_closed_folder(tmp_path, header, index_state):
    folder = Folder.create(tmp_path / "a", header())
    folder.commit(vectors=ROWS, ids=list(range(8)))
    folder.close()
    folder.close()
    at = np.array([0])
    for use in (
        lambda: folder.commit(delete=at),
        lambda: folder.take(at),
        lambda: folder.span(0, 1),
        lambda: folder.metadata(at),
        lambda: folder.publish("flat", index_state, 0),
        folder.built,
        folder.sizes,
        folder.verify,
    ):
        with pytest.raises(errors.ClosedError):
            use()
    assert sorted(each.name for each in (tmp_path / "a").iterdir()) == ["LOCK", "collection.sqlite", "vectors"]


def test_an_indexed_field_is_there_again_after_opening(tmp_path, header):
    cheap = as_filter("price < 3")
    with Folder.create(tmp_path / "a", header()) as folder:
        folder.commit(vectors=ROWS[:4], ids=list(range(4)), metadata=[{"price": n} for n in range(4)])
        folder.index_field("price")
        folder.commit(vectors=ROWS[4:], ids=list(range(4, 8)), metadata=[{"price": n} for n in (0, 9, 9, 9)])
        assert folder.matching(cheap).tolist() == [0, 1, 2, 4]
    for readonly in (True, False):
        with Folder.open(tmp_path / "a", readonly=readonly) as folder:
            assert folder.indexed_fields == ("price",)
            assert folder.matching(cheap).tolist() == [0, 1, 2, 4]
            assert folder.verify() == []
