"""Building from a file larger than memory should need: peak resident bytes of `nearkin build`, seconds, index bytes, recall.

Target: a file of 3 GB in less than 1 GB with ``ivf,pq96x4``. The rows are random: 2,000 centres and noise in 48 directions.
The folder for them needs three times their bytes; all of it is deleted at the end.
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

import numpy as np

import nearkin as nk
from nearkin.npy_format import NpyFormat
from nearkin.settings import available_cores

STEP = 20_000


class Cloud:
    """Rows around centres, a block at a time."""

    def __init__(self, dim: int, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._centres = self._rng.normal(size=(2000, dim)).astype(np.float32)
        self._directions = self._rng.normal(scale=0.15, size=(48, dim)).astype(np.float32)

    def draw(self, n: int) -> np.ndarray:
        """(n, dim) float32."""
        noise = self._rng.normal(size=(n, len(self._directions))).astype(np.float32)
        return self._centres[self._rng.integers(0, len(self._centres), n)] + noise @ self._directions


CHILD = """
import re, resource, sys
from pathlib import Path
from nearkin.cli import main
try:
    main()
finally:  # ru_maxrss alone would count the process that started this one
    status = Path("/proc/self/status")
    if status.exists():
        peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("peak", peak, file=sys.stderr)
"""


def build(source: Path, target: Path, options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """The report of `nearkin build` in a process of its own, and its peak resident bytes."""
    command = [sys.executable, "-c", CHILD, "--threads", str(options.threads), "build", str(source)]
    command += ["-o", str(target), "--plan", options.plan, "--metric", options.metric, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"nearkin build ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout), int(done.stderr.split()[-1])


def measured_recall(folder: Path, queries: np.ndarray, threads: int) -> float:
    """Mean recall@10 at the default search parameters, against comparing every row."""
    with nk.open(folder, readonly=True, threads=threads) as mine:
        return float(nk.recall(mine.search(queries, 10).positions, mine.exact_search(queries, 10).positions).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--plan", default="ivf,pq96x4")
    parser.add_argument("--metric", default="euclidean")
    parser.add_argument("--formats", nargs="+", default=["npy"], help="endings of file names, such as npy parquet npz")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--folder", help="where there is room; by default that for temporary files")
    options = parser.parse_args()
    needed, cloud = 3 * 4 * options.rows * options.dim, Cloud(options.dim)
    results = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bounded-memory-") as home:
        if shutil.disk_usage(home).free < needed:
            raise SystemExit(f"{home} has less than {needed / 1e9:.1f} GB free; choose another --folder")
        first = Path(home, "rows.npy")
        sizes = [min(STEP, options.rows - start) for start in range(0, options.rows, STEP)]
        NpyFormat().write(first, (nk.Block(cloud.draw(count)) for count in sizes))
        queries = cloud.draw(options.queries)
        print(f"random rows, {options.rows:,} x {options.dim}, {options.metric}, {options.threads} threads\n")
        print(
            "| file | GB | plan | peak resident MB | of the file | index MB | read s | index s | save s | recall@10 |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for ending in options.formats:
            source, target = Path(home, f"rows.{ending}"), Path(home, "index")
            if source != first:
                nk.convert(first, source)
            size = source.stat().st_size
            report, peak = build(source, target, options)
            index = sum(report["bytes"]["allocated"].values())
            found = measured_recall(target, queries, options.threads)
            took = report["seconds"]
            print(
                f"| {ending} | {size / 1e9:.2f} | `{report['plan']}` | {peak / 1e6:,.0f} | {peak / size:.0%} "
                f"| {index / 1e6:,.0f} | {took['read']:.0f} | {took['build']:.0f} | {took['save']:.0f} | {found:.3f} |"
            )
            results.append(
                {
                    "file": ending,
                    "file_bytes": size,
                    "peak_bytes": peak,
                    "index_bytes": index,
                    "recall": found,
                    **report,
                }
            )
            shutil.rmtree(target)
            if source != first:
                source.unlink()
    print(json.dumps({"rows": options.rows, "dim": options.dim, "results": results}))


if __name__ == "__main__":
    main()
