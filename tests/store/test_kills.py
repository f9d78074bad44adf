"""Processes killed at any moment and at every failpoint: what was acknowledged is there, whole, and the next one goes on."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.store import crash_writer
from tests.store.crash_writer import OPERATIONS, after, checked, step

import nearkin as nk
from nearkin import errors
from nearkin.store import failpoints
from nearkin.store.replacement import replaced_name

SOAK = bool(os.environ.get("NEARKIN_SOAK"))
KILLS = 1000 if SOAK else 12
SOURCES = Path(failpoints.__file__).parent
NTH = {"piece written": [1, 3], "before commit": [1, 2, 4], "after commit": [1, 2, 4]}
"""Which times of a failpoint are tried where the first is not all: index files are written in pieces too."""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")


@pytest.fixture(scope="module")
def run_writer():
    """Runs a writer; returns its exit code, and the lines that it had written."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, crash_writer.__file__]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def run(log, **asked):
            log.unlink(missing_ok=True)
            process.stdin.write(json.dumps({"log": str(log), **asked}) + "\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            return code, log.read_text().splitlines() if log.exists() else []

        yield run


@forks
@pytest.mark.parametrize("collection", range(-(-KILLS // 50)))
def test_killed_at_random_moments(run_writer, prepared, tmp_path, in_memory, collection):
    chance = random.Random(collection)
    home = in_memory if collection % 2 else tmp_path  # where it waits for no disk, it comes to more changes
    path, first, acknowledged, in_between = home / "main", 1000 * collection, 0, 0
    shutil.copytree(prepared / "main", path)
    held = checked(path, readonly=True)
    for kill in range(min(KILLS, 50)):
        moment = {"seconds": chance.uniform(0, 0.1), "begun": kill % 4 > 0}
        code, said = run_writer(home / "log", path=str(path), first=first, **moment)
        assert code == -signal.SIGKILL
        candidates = [held]
        for line in said:
            what, number = line.split()
            if what == "begin":
                candidates.append(after(candidates[-1], step(int(number), sorted(candidates[-1]))))
            else:
                candidates, first = candidates[-1:], int(number) + 1
        # either kind of opening may be the one that meets the interrupted commit
        held = checked(path, readonly=bool(kill % 2))
        assert held in candidates
        acknowledged += len(said) // 2
        in_between += len(candidates) - 1
        first += len(candidates) - 1
    print("changes", {"acknowledged": acknowledged, "cut off": in_between})
    assert in_between > min(KILLS, 50) // 3
    with nk.open(path) as opened:
        crash_writer.make(opened, step(first, sorted(held), "add"))
    assert checked(path, readonly=False) == after(held, step(first, sorted(held), "add"))
    assert len(list((path / "built").iterdir())) == 1
    assert sorted(each.name for each in path.iterdir()) == ["LOCK", "built", "collection.sqlite", "vectors"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("prepared")
    crash_writer.prepare(home)
    return home


def states(home: Path) -> dict[str, list]:
    """What the collections of a session hold before its first operation, and after each."""
    main, forgotten = checked(home / "main", readonly=True), checked(home / "forgotten", readonly=True)
    states = {
        "main": [main],
        "saved": [checked(home / "saved", readonly=True)],
        "forgotten": [forgotten],
        "new": [None],
    }
    for number, kind in enumerate(OPERATIONS):
        held = states["main"][-1]
        if kind in ("add", "upsert", "delete"):
            held = after(held, step(number, sorted(held), kind))
        states["main"].append(held)
        states["saved"].append(held if kind == "save" else states["saved"][-1])
        without = {each: (b"", extra) for each, (_, extra) in forgotten.items()}
        states["forgotten"].append(without if kind == "forget" else states["forgotten"][-1])
        states["new"].append({} if kind == "create" else states["new"][-1])
    return states


def found(path: Path, *, readonly: bool) -> crash_writer.Contents | None:
    """What is at a path; a replacement that was interrupted between its two steps is completed by hand, as the error says."""
    try:
        return checked(path, readonly=readonly)
    except errors.UnknownCollectionError as error:
        if error.hint != f"rename {replaced_name(path)} to {path}":
            return None
        replaced_name(path).rename(path)
        return checked(path, readonly=readonly)


@forks
@pytest.mark.parametrize("readonly", [True, False])
def test_killed_at_every_failpoint(run_writer, prepared, in_memory, readonly):
    expected = states(prepared)
    for place, name in enumerate(failpoints.NAMES):
        if not SOAK and place % 2 == readonly:  # what is opened first after a kill, a reader or a writer
            continue
        for nth in NTH.get(name, [1]):
            home = in_memory / "home"
            shutil.copytree(prepared, home)
            code, said = run_writer(in_memory / "log", home=str(home), failpoint=f"{name}=kill:{nth}")
            assert code == -signal.SIGKILL, f"{name} is not reached {nth} times"
            done, began = sum(line.startswith("done") for line in said), sum(line.startswith("begin") for line in said)
            assert began == done + 1
            for which, held in expected.items():
                assert found(home / which, readonly=readonly) in held[done : began + 1], (name, nth, which)
            go_on(home)
            shutil.rmtree(home)


def go_on(home: Path) -> None:
    """The next writer finds nothing in its way, and leaves nothing of what the one before left."""
    if not (home / "saved").exists():
        replaced_name(home / "saved").rename(home / "saved")
    with nk.open(home / "main") as collection:
        held = crash_writer.contents(collection)
        for number, kind in enumerate(["upsert", "optimize", "delete"], start=100):
            change = step(number, sorted(held), kind)
            crash_writer.make(collection, change)
            held = after(held, change)
        collection.save(home / "saved", overwrite=True)
        assert crash_writer.contents(collection) == held
    assert checked(home / "main", readonly=True) == checked(home / "saved", readonly=True) == held
    assert len(list((home / "main/built").iterdir())) == 1


# ---- failpoints themselves -------------------------------------------------------------------------------------------


def test_every_failpoint_is_in_the_sources_and_listed():
    there = {
        each for file in SOURCES.glob("*.py") for each in re.findall(r'^ +failpoint\("(.*)"\)', file.read_text(), re.M)
    }
    assert sorted(failpoints.NAMES) == sorted(there)


def test_every_failpoint_is_reached_by_some_operation(prepared, tmp_path):
    reached = set()
    shutil.copytree(prepared, tmp_path / "home")
    session = crash_writer.Session(tmp_path / "home")
    with ExitStack() as stack:
        for name in failpoints.NAMES:
            stack.enter_context(failpoints.armed(name, lambda name=name: reached.add(name)))
        for number in range(len(OPERATIONS)):
            session.perform(number)
    session.close()
    assert reached == set(failpoints.NAMES)
    assert not failpoints._armed


@pytest.mark.parametrize(
    "text",
    ["", "before commit", "before commit=", "before commit=explode", "nowhere=eio", "before commit=eio:x", "x=y:0"],
)
def test_failpoints_that_cannot_be_armed(text):
    with pytest.raises(errors.ParameterError):
        failpoints.arm_from(text)
    assert not failpoints._armed


def test_armed_from_the_environment(prepared):
    program = [sys.executable, "-c", f"from nearkin.store import Folder; Folder.open({str(prepared / 'main')!r})"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "NEARKIN_FAILPOINT": "schema checked=enospc"}
    ended = subprocess.run(program, capture_output=True, text=True, env=environment, check=False)
    assert re.search("StorageError: .*collection.sqlite cannot be opened: No space left on device", ended.stderr)
