"""Clustering a file ten times larger than the memory that may be used: peak resident bytes, seconds and inertia (WCSS).

A file of random rows (2,000 centres, and noise in 48 directions) is written, then clustered by `lloyd` and `minibatch`, each in a
process of its own, with `memory=` as the ceiling for the growth of that process. Targets: growth within the ceiling, and the
inertia of minibatch within 5 % of that of lloyd. The file is deleted at the end.

    python benchmarks/clustering_memory.py
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nearkin as nk
from bounded_memory import STEP, Cloud
from nearkin.budgets import read_bytes
from nearkin.npy_format import NpyFormat
from nearkin.settings import available_cores

CHILD = """
import json, sys, time
import nearkin as nk
from nearkin.resident_memory import resident_bytes, watch_peak
asked = json.loads(sys.argv[1])
nk.cluster([[0.0], [1.0]], 1, method=asked["method"], seed=0)  # what is loaded once is no part of the growth
before, began = resident_bytes(), time.perf_counter()
with watch_peak() as peak:
    found = nk.cluster(asked.pop("file"), asked.pop("k"), **asked)
told = {"inertia": found.inertia, "seconds": time.perf_counter() - began, "iterations": len(found.history), "ended": found.ended}
print(json.dumps({**told, "before": before, "peak": peak.bytes, "since_start": peak.since_start}))
"""


def clustered(**asked: Any) -> dict[str, Any]:
    """What a process of its own tells."""
    command = [sys.executable, "-c", CHILD, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"clustering ended with {done.returncode}: {done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--k", type=int, default=256)
    parser.add_argument("--memory", default="200MB")
    parser.add_argument("--iterations", type=int, default=10, help="passes over the file, at most")
    parser.add_argument("--ending", default="npy", help="of the file's name, such as npy or fvecs")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--folder", help="where there is room; by default that for temporary files")
    options = parser.parse_args()
    ceiling, size = read_bytes(options.memory), 4 * options.rows * options.dim
    if size < 10 * ceiling:
        raise SystemExit(f"the file would have {size:,} bytes, at least ten times {options.memory} are meant")
    results = {}
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="clustering-memory-") as home:
        if shutil.disk_usage(home).free < 2.2 * size:
            raise SystemExit(f"{home} has less than {2.2 * size / 1e9:.1f} GB free; choose another --folder")
        file, cloud = Path(home, "rows.npy"), Cloud(options.dim)
        sizes = [min(STEP, options.rows - start) for start in range(0, options.rows, STEP)]
        NpyFormat().write(file, (nk.Block(cloud.draw(count)) for count in sizes))
        if options.ending != "npy":
            nk.convert(file, target := Path(home, f"rows.{options.ending}"))
            file.unlink()
            file = target
        print(f"random rows, {options.rows:,} x {options.dim} ({file.stat().st_size / 1e9:.2f} GB, {options.ending})")
        print(f"k = {options.k:,}, memory={options.memory}, {options.threads} threads\n")
        print("| method | passes | seconds | before MB | peak MB | growth MB | inertia | by lloyd's |")
        print("|---|---|---|---|---|---|---|---|")
        for method in ("lloyd", "minibatch"):
            shared = {"k": options.k, "memory": options.memory, "max_iter": options.iterations}
            told = clustered(file=str(file), method=method, seed=0, threads=options.threads, **shared)
            results[method] = told
            growth = told["growth"] = told["peak"] - told["before"]
            share = told["inertia_ratio"] = told["inertia"] / results["lloyd"]["inertia"]
            print(
                f"| {method} | {told['iterations']} | {told['seconds']:.0f} | {told['before'] / 1e6:.0f} "
                f"| {told['peak'] / 1e6:.0f} | {growth / 1e6:.0f} | {told['inertia']:.6g} | {share:.4f} |"
            )
            if growth > ceiling:
                print(f"{method} grew by more than {options.memory}")
    print(json.dumps({**vars(options), "file_bytes": size, "results": results}))


if __name__ == "__main__":
    main()
