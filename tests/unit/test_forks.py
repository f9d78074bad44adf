"""A collection that a parent process opened is refused in a forked child, in words, instead of hanging there."""

import os
import sys

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def in_a_child(call):
    """What a call says in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = repr(call())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode()[:4000])
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.skipif(sys.platform == "darwin", reason="Apple's libraries do not survive a fork")
def test_use_in_a_child_is_refused(tmp_path):
    nk.build(np.eye(4)).save(tmp_path / "mine")
    with nk.open(tmp_path / "mine") as mine:
        mine.search(np.eye(4), 1)
        calls = [
            lambda: mine.search(np.eye(4), 1),
            lambda: mine.add(np.eye(4)),
            lambda: mine.range_search(np.eye(4), 1.0),
            lambda: mine.exact_search(np.eye(4), 1),
            lambda: mine.get([0]),
            lambda: mine.delete([0]),
            lambda: mine.optimize(),
        ]
        for call in calls:
            said = in_a_child(call)
            assert said.startswith("StateError: this collection was opened before the process was forked")
            assert "open it in the child" in said
        assert in_a_child(mine.close) == "None"  # and the parent keeps its lock
        with pytest.raises(errors.LockedError):
            nk.open(tmp_path / "mine")
        mine.add(np.eye(4)[:1])
        assert len(mine) == 5
    assert in_a_child(lambda: len(nk.open(tmp_path / "mine", readonly=True))) == "5"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_child_does_not_keep_the_lock(tmp_path):
    """It has the open file of the lock for as long as it lives."""
    mine = nk.create(tmp_path / "mine", dim=4)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reading, 1)
        os._exit(0)
    try:
        mine.close()
        nk.open(tmp_path / "mine").close()
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
