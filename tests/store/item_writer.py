"""A program that builds and fills collections through an embedder that logs what it embeds, until it is killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nearkin as nk
from nearkin import item_adding, reembedding
from nearkin.adding import add_files
from nearkin.embedders import Embedder, Role
from nearkin.state import State
from nearkin.store.failpoints import arm_from

PART = 16


class Counting(Embedder):
    """Shares of the letters that it has learned; every text is in the log, on the disk, before its vector is given."""

    name = "counting"
    needs_fit = True
    at_once = 5

    def __init__(self, log: Path | None = None) -> None:
        self.log = log
        self.letters = ""

    @property
    def fitted(self) -> bool:
        return bool(self.letters)

    @property
    def dim(self) -> int:
        self.need_fitted()
        return len(self.letters)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "counting", "letters": self.letters}

    def _fit(self, items: Sequence[Any]) -> None:
        self.letters = "".join(sorted(set("".join(items)) - {" "}))

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        told = "".join(f"{each}\n" for each in items if each.startswith("item "))
        if self.log is not None and told:
            with self.log.open("a") as file:
                file.write(told)
                file.flush()
                os.fsync(file.fileno())
        return np.float32([[1 + each.count(letter) for letter in self.letters] for each in items])

    def state(self) -> State:
        return State({"letters": np.array([ord(each) for each in self.letters], dtype=np.int32)})

    def restore(self, state: State) -> None:
        self.letters = "".join(map(chr, state.arrays["letters"].tolist()))


def run(asked: dict[str, Any]) -> None:
    """Build a folder of a file, add the file to one, or embed one again."""
    item_adding.ITEMS_A_COMMIT = reembedding.ITEMS_A_COMMIT = PART
    path, embedder = Path(asked["path"]), Counting(Path(asked["log"]))
    if asked["how"] == "reembed":
        nk.reembed(path, embedder, keep=asked["keep"])
        return
    file = Path(asked["file"])
    if asked["how"] in ("build", "overwrite"):
        given = {"plan": "ivf2", "overwrite": asked["how"] == "overwrite"}
        nk.build_items([file], path, embedder=embedder, **given).close()
        return
    if not path.exists():
        nk.create(path, embedder=Counting()).close()
    with nk.open(path, embedder=embedder) as collection:
        add_files(collection, [file])


def run_writer(asked: dict[str, Any]) -> None:
    """What a forked process does: it does not come back."""
    code = 1
    try:
        if asked.get("failpoint"):
            arm_from(asked["failpoint"])
        run(asked)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait_for(log: Path, lines: int, writer: int) -> None:
    """Wait until so many texts were embedded, or the writer has ended."""
    while not (log.exists() and log.read_bytes().count(b"\n") >= lines):
        if os.waitid(os.P_PID, writer, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.0005)


def main() -> None:
    """A writer for each line, killed some seconds after it embedded some texts if the line says so; answers with the code that
    it ended with."""
    nk.build(np.eye(8), plan="ivf2").search(np.eye(8), k=1)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        writer = os.fork()
        if not writer:
            run_writer(asked)
        if "seconds" in asked:
            wait_for(Path(asked["log"]), asked["lines"], writer)
            time.sleep(asked["seconds"])
            os.kill(writer, signal.SIGKILL)  # not waited for yet, so the number is still its own
        print(os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
