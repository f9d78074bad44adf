"""Writes that fail, at every failpoint, at the nth call of the system, on a disk with little room: nothing acknowledged is
lost, and the object that failed goes on or says to open it again."""

import builtins
import errno
import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from tests.store import crash_writer
from tests.store.crash_writer import OPERATIONS, after, checked, step

import nearkin as nk
from nearkin import errors
from nearkin.store import failpoints
from nearkin.store.replacement import replaced_name

SOAK = bool(os.environ.get("NEARKIN_SOAK"))
EVERY_CALL = 1 if SOAK else 7
STEP_BYTES = 4096 if SOAK else 45_056


ALWAYS = nullcontext()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("prepared")
    crash_writer.prepare(home)
    return home


def held_at(home: Path) -> dict[str, crash_writer.Contents | None]:
    names = ("main", "saved", "forgotten", "new")
    return {each: checked(home / each, readonly=True) if (home / each).exists() else None for each in names}


def expected_after(number: int, before: dict) -> dict:
    kind, held = OPERATIONS[number], before["main"]
    if kind in ("add", "upsert", "delete"):
        return before | {"main": after(held, step(number, sorted(held), kind))}
    if kind == "save":
        return before | {"saved": held}
    if kind == "forget":
        return before | {"forgotten": {each: (b"", extra) for each, (_, extra) in before["forgotten"].items()}}
    return before | ({"new": {}} if kind == "create" else {})


def perform_all(home: Path, failing: AbstractContextManager = ALWAYS) -> int:
    """All operations; one that fails is tried again, unless it was done all the same. Returns how many tries failed.

    `failing` is entered for the operations only, not for looking at what they did. After a failure the collections hold
    what they held before, or what they should afterwards.
    """
    session, failed, held = crash_writer.Session(home), 0, held_at(home)
    for number in range(len(OPERATIONS)):
        before, held = held, expected_after(number, held)
        while True:
            with failing:
                done = perform(session, number)
            if done:
                break
            failed += 1
            assert failed < 5, "it does not go on"
            found = held_at(home)
            for each, contents in found.items():
                assert contents in (before[each], held[each]), (OPERATIONS[number], each)
            assert not replaced_name(home / "saved").exists()
            if found == held != before:
                break
    session.close()
    assert held_at(home) == held
    assert sorted(each.name for each in home.iterdir()) == ["forgotten", "main", "new", "saved"]
    return failed


def perform(session: crash_writer.Session, number: int) -> bool:
    """Whether an operation succeeded; a collection that says so is opened again."""
    try:
        session.perform(number)
    except errors.StorageError as error:
        if "open it again" in str(error):
            session.close()
        return False
    return True


@pytest.mark.parametrize(
    ("name", "action"),
    [
        (name, action)
        for place, name in enumerate(failpoints.NAMES)
        for action in (["eio", "enospc"] if SOAK else [["eio", "enospc"][place % 2]])
    ],
)
def test_a_failure_at_every_failpoint(prepared, in_memory, name, action):
    home = in_memory / "home"
    shutil.copytree(prepared, home)
    with failpoints.armed(name, action):
        failed = perform_all(home)
    # what nothing refers to is left for the next time; an object that does not know what was committed fails once more
    assert failed == {"folder removed": 0, "after commit": 2}.get(name, 1)
    assert held_at(home)["main"] == held_at(home)["saved"]


class Failing:
    """A call of the system that fails once, the nth time it is made on a path of a folder or on a descriptor."""

    def __init__(self, call, home, nth):
        self.call, self.home, self.left, self.counts = call, str(home), nth, False

    def __enter__(self):
        self.counts = True

    def __exit__(self, *details):
        self.counts = False

    def __call__(self, path, *given, **named):
        if self.counts and (isinstance(path, int) or str(path).startswith(self.home)):
            self.left -= 1
            if not self.left:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self.call(path, *given, **named)


@pytest.mark.parametrize("name", ["fsync", "mkdir", "rename", "ftruncate", "open", "built-in open"])
def test_the_nth_call_of_the_system_fails(prepared, in_memory, monkeypatch, name):
    module, name = (builtins, "open") if name == "built-in open" else (os, name)
    nth, left = 1, 0
    while left <= 0:
        home = in_memory / str(nth)
        shutil.copytree(prepared, home)
        failing = Failing(getattr(module, name), home, nth)
        with monkeypatch.context() as patched:
            patched.setattr(module, name, failing)
            perform_all(home, failing)
        left = failing.left
        nth += EVERY_CALL
    assert nth > 1 + EVERY_CALL or name == "ftruncate"


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_with_little_room(prepared, small_disk):
    """With more and more room the operations fail later and later, in SQLite's files too, which nothing else makes fail."""
    home, ballast = small_disk / "home", small_disk / "ballast"
    failures = []
    for room in range(0, 512 << 10, STEP_BYTES):
        shutil.copytree(prepared, home)
        session, failed, held = crash_writer.Session(home), 0, held_at(home)
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(bytes(max(0, free - room)))
        for number in range(len(OPERATIONS)):
            before, held = held, expected_after(number, held)
            if not perform(session, number):
                failed += 1
                found = held_at(home)
                for each, contents in found.items():
                    assert contents in (before[each], held[each]), (room, OPERATIONS[number], each)
                held = found
        session.close()
        ballast.unlink()
        with nk.open(home / "main") as collection:  # with room again it goes on
            change = step(100, sorted(held["main"]), "upsert")
            crash_writer.make(collection, change)
        assert held_at(home) == held | {"main": after(held["main"], change)}
        failures.append(failed)
        shutil.rmtree(home)
    assert failures[0] > 3
    assert failures[-1] == 0
