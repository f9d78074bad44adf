"""A folder against a dict, through any order of commits, reopenings and failures."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from nearkin import errors
from nearkin.state import State
from nearkin.store import Folder, Header

SOAK = bool(os.environ.get("NEARKIN_SOAK"))
TEXT = st.text(st.characters(exclude_characters="\0"), max_size=5)
METADATA = st.dictionaries(TEXT, st.none() | st.integers() | TEXT, max_size=2)


class FolderMachine(RuleBasedStateMachine):
    """`rows` is the truth: position to (id, vector, metadata)."""

    new_ids: st.SearchStrategy = st.integers(-(2**63), 2**63 - 2).filter(lambda each: each != -1)

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.path = self.home / "wiki"
        self.folder = Folder.create(self.path, Header(2, "float32", "euclidean", "flat", {}, 0, True))
        self.rows = {}
        self.used = 0
        self.covered = None

    @rule(data=st.data(), count=st.integers(0, 4), deletes=st.integers(0, 2), fails=st.sampled_from([0, 0, 0, 1]))
    def commit(self, data, count, deletes, fails):
        gone = data.draw(st.permutations(sorted(self.rows)))[:deletes]
        taken = {self.rows[each][0] for each in self.rows if each not in gone}
        fresh = self.new_ids.filter(lambda each: each not in taken)
        ids = data.draw(st.lists(fresh, min_size=count, max_size=count, unique=True))
        extra = data.draw(st.none() | st.lists(METADATA, min_size=count, max_size=count))
        vectors = np.random.default_rng(self.used).standard_normal((count, 2)).astype(np.float32)
        change = {"delete": np.array(gone, dtype=int), "vectors": vectors, "ids": ids, "metadata": extra}
        if fails:
            self.fail_to_commit(change)
            return
        self.folder.commit(**change)
        for each in gone:
            del self.rows[each]
        for row in range(count):
            self.rows[self.used + row] = (ids[row], vectors[row].tolist(), extra[row] if extra else {})
        self.used += count

    def fail_to_commit(self, change):
        def fail(*_):
            raise OSError(28, "No space left on device")

        if not len(change["ids"]):
            return
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("nearkin.store.vector_file.sync_file", fail)
            with pytest.raises(errors.StorageError, match="No space left"):
                self.folder.commit(**change)

    @rule()
    def reopen(self):
        self.folder.close()
        self.folder = Folder.open(self.path)

    @rule()
    def publish(self):
        self.folder.publish("flat", State({"n": np.arange(self.used)}, {"n": self.used}), self.used)
        self.covered = self.used

    @rule()
    def verify(self):
        assert self.folder.verify() == []

    @invariant()
    def agrees(self):
        with Folder.open(self.path, readonly=True) as reader:
            for folder in (self.folder, reader):
                self.compare(folder)

    def compare(self, folder):
        at = np.array(sorted(self.rows), dtype=np.int64)
        assert (len(folder), folder.count) == (self.used, len(self.rows))
        assert np.flatnonzero(folder.alive).tolist() == at.tolist()
        ids, vectors, extra = zip(*(self.rows[each] for each in at.tolist()), strict=True) if at.size else ((), (), ())
        assert folder.ids.at(at).tolist() == list(ids)
        assert folder.ids.positions(ids).tolist() == at.tolist()
        assert folder.take(at).tolist() == list(vectors)
        assert folder.span(0, self.used)[at].tolist() == list(vectors)
        assert folder.metadata(at) == list(extra)
        built = folder.built()
        assert (built and built.covered) == self.covered
        if built:
            assert built.state.arrays["n"].tolist() == list(range(self.covered))

    def teardown(self):
        self.folder.close()
        shutil.rmtree(self.home)


class StringMachine(FolderMachine):
    new_ids = st.text(st.characters(exclude_characters="\0"), max_size=4)


@pytest.mark.parametrize("machine", [FolderMachine, StringMachine])
def test_against_a_dict(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=400 if SOAK else 6,
            stateful_step_count=40 if SOAK else 12,
            deadline=None,
            derandomize=not SOAK,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
