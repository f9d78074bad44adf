"""Changes to a collection that follow from a number alone, a program that makes them until it is killed, and the check
that a collection holds what was acknowledged.

As a program it imports everything once, then forks a writer for each line of its input: starting Python takes longer than
all that a writer does before it dies.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nearkin as nk
from nearkin.store import Folder, Header
from nearkin.store.failpoints import arm_from

DIM = 16
MANY = 6000
OPERATIONS = ("open", "add", "upsert", "delete", "optimize", "add", "optimize", "save", "forget", "create")
"""One after the other they reach every failpoint."""

Contents = dict[str, tuple[bytes, str]]
"""Vector and metadata by id."""


class Step(NamedTuple):
    """One change."""

    kind: str
    ids: list[str]
    vectors: np.ndarray
    metadata: list[dict[str, Any]]


def step(number: int, ids: list[str], kind: str | None = None) -> Step:
    """The change of a number to a collection with these ids, sorted; of a kind, if one is asked for."""
    chance = np.random.default_rng(number)
    count = 20 if kind else int(chance.choice([1, 40, 3000], p=[0.4, 0.4, 0.2]))
    kind = kind or str(chance.choice(["add", "add", "upsert", "delete", "optimize"]))
    old = [ids[n] for n in chance.permutation(len(ids))[: 20 if len(ids) < MANY else MANY // 2]]
    if kind == "delete" or len(ids) > MANY:
        return Step("delete", old, np.empty((0, DIM), np.float32), [])
    if kind == "optimize" and len(ids) > 100:
        return Step(kind, [], np.empty((0, DIM), np.float32), [])
    new = [f"{number} {row} é" for row in range(count)]
    if kind == "upsert":
        new += old[:10]
    vectors = chance.standard_normal((len(new), DIM), dtype=np.float32)
    return Step("upsert" if kind == "upsert" else "add", new, vectors, [{"step": number, "id": each} for each in new])


def after(held: Contents, change: Step) -> Contents:
    """What a collection holds after a change."""
    if change.kind == "delete":
        return {each: held[each] for each in held.keys() - set(change.ids)}
    new = zip(change.ids, change.vectors, change.metadata, strict=True)
    return held | {each: (vector.tobytes(), json.dumps(extra)) for each, vector, extra in new}


def make(collection: nk.Collection, change: Step) -> None:
    """Make a change."""
    if change.kind == "optimize":
        collection.optimize()
    elif change.kind == "delete":
        collection.delete(change.ids)
    else:
        getattr(collection, change.kind)(change.vectors, ids=change.ids, metadata=change.metadata)


def contents(collection: nk.Collection) -> Contents:
    """What a collection holds."""
    rows = collection.get(collection.ids.tolist())
    return {row.id: (b"" if row.vector is None else row.vector.tobytes(), json.dumps(row.metadata)) for row in rows}


def checked(path: Path, *, readonly: bool) -> Contents:
    """What the collection at a path holds, after everything that it says was checked against itself."""
    with nk.open(path, readonly=readonly) as collection:
        assert collection.verify() == []
        assert collection.problems == []
        held = contents(collection)
        assert len(held) == len(collection)
        if held and collection.keeps_vectors:
            queries = np.random.default_rng(0).standard_normal((3, DIM), dtype=np.float32)
            vectors = np.frombuffer(b"".join(vector for vector, _ in held.values()), dtype=np.float32).reshape(-1, DIM)
            distances = ((queries[:, None].astype(float) - vectors) ** 2).sum(axis=2)
            nearest = np.argsort(distances, axis=1)[:, :5]
            found = collection.search(queries, k=nearest.shape[1], nprobe=4) if "ivf" in collection.plan else None
            found = found or collection.search(queries, k=nearest.shape[1])
            assert found.ids.tolist() == [[list(held)[n] for n in row] for row in nearest]
    return held


def prepare(home: Path) -> None:
    """Collections for `Session`: main, saved and forgotten."""
    change = step(-1 + 10**6, [], "add")
    vectors = np.random.default_rng(9).standard_normal((150, DIM), dtype=np.float32)
    names = [f"first {n}" for n in range(150)]
    made = nk.build(vectors, ids=names, metadata=[{"n": n} for n in range(150)], plan="ivf4", seed=1)
    made.save(home / "main")
    made.save(home / "forgotten")
    nk.build(change.vectors, ids=change.ids, plan="flat").save(home / "saved")


class Session:
    """Performs `OPERATIONS` in a folder that `prepare` filled."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.collection: nk.Collection | None = None

    def perform(self, number: int) -> None:
        """Perform the operation of a number."""
        kind = OPERATIONS[number]
        if kind == "open" or self.collection is None:
            with (self.home / "main/vectors/000001.f32").open("ab") as file:
                file.write(b"what an interrupted commit left")
            self.collection = nk.open(self.home / "main")
        if kind == "save":
            self.collection.save(self.home / "saved", overwrite=True)
        elif kind == "forget":
            with Folder.open(self.home / "forgotten") as folder:
                folder.forget_vectors()
        elif kind == "create":
            Folder.create(self.home / "new", Header(DIM, "float32", "euclidean", "flat", {}, 0, True)).close()
        elif kind != "open":
            make(self.collection, step(number, sorted(self.collection.ids.tolist()), kind))

    def close(self) -> None:
        """Close the collection, if one is open."""
        if self.collection is not None:
            self.collection.close()
        self.collection = None


def write(path: Path, first: int, say: Callable[[str], None]) -> None:
    """Change a collection for ever, from the change of number `first` on."""
    with nk.open(path) as collection:
        while True:
            change = step(first, sorted(collection.ids.tolist()))
            say(f"begin {first}")
            make(collection, change)
            say(f"done {first}")
            first += 1


def perform_all(home: Path, say: Callable[[str], None]) -> None:
    """All operations of a session."""
    session = Session(home)
    for number in range(len(OPERATIONS)):
        say(f"begin {number}")
        session.perform(number)
        say(f"done {number}")


def run_writer(asked: dict[str, Any]) -> None:
    """What a forked process does: it does not come back."""
    code = 1
    try:
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def say(what: str) -> None:
            os.write(log, f"{what}\n".encode())

        if asked.get("failpoint"):
            arm_from(asked["failpoint"])
        if "home" in asked:
            perform_all(Path(asked["home"]), say)
        else:
            write(Path(asked["path"]), asked["first"], say)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait_for(log: Path) -> None:
    """Wait until a writer said something, for it may take its time to open its collection."""
    late = time.monotonic() + 30
    while time.monotonic() < late and not (log.exists() and log.stat().st_size):
        time.sleep(0.0005)


def main() -> None:
    """A writer for each line, killed some seconds after it started or began if the line says so; answers with the code that
    it ended with."""
    rows = np.random.default_rng(0).standard_normal((200, DIM), dtype=np.float32)
    nk.build(rows, plan="ivf4").search(rows[:1], k=1)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        writer = os.fork()
        if not writer:
            run_writer(asked)
        if "seconds" in asked:
            if asked["begun"]:
                wait_for(Path(asked["log"]))
            time.sleep(asked["seconds"])
            os.kill(writer, signal.SIGKILL)  # not waited for yet, so the number is still its own
        print(os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
