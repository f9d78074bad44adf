"""What nearkin adds to faiss: the same index, searched through a collection and called directly, in paired runs.

Targets: batches at 0.97 of the direct speed or better, at most 20 microseconds more for one query; `nearkin --help` in 0.3 seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

import nearkin as nk
from datasets import load
from nearkin.settings import available_cores

PLANS = ("flat", "ivf", "ivf,pq,refine-f16", "hnsw32")
K = 10


def paired_ratio(ours: Callable[[], Any], direct: Callable[[], Any], rounds: int) -> tuple[float, float, float]:
    """Median seconds of both sides and the median ratio direct / ours, in alternating runs."""
    ours()
    direct()
    seconds = np.empty((rounds, 2))
    for turn in range(rounds):
        order = ((0, ours), (1, direct)) if turn % 2 else ((1, direct), (0, ours))
        for side, call in order:
            start = time.perf_counter()
            call()
            seconds[turn, side] = time.perf_counter() - start
    mine, theirs = np.median(seconds, axis=0)
    return float(mine), float(theirs), float(np.median(seconds[:, 1] / seconds[:, 0]))


def measure(dataset: Any, plan: str, threads: int, rounds: int) -> dict[str, Any]:
    """Both sides of one plan."""
    collection = nk.build(dataset.vectors, metric=dataset.metric, plan=plan, threads=threads)
    index = collection._index  # the benchmark compares with the very same faiss index
    raw = index._faiss
    parameters = index._search_parameters(K, None, index.resolve({}))
    prepared = collection.metric.prepare_queries(dataset.queries)
    faiss.omp_set_num_threads(threads)
    mine, theirs, ratio = paired_ratio(
        lambda: collection.search(dataset.queries, K), lambda: raw.search(prepared, K, params=parameters), rounds
    )
    singles = 100 if plan == "flat" else 3000  # a flat scan takes milliseconds
    one, one_prepared = dataset.queries[:1].copy(), prepared[:1].copy()
    single, single_direct, _ = paired_ratio(
        lambda: collection.search(one, K), lambda: raw.search(one_prepared, K, params=parameters), singles
    )
    found = {
        "data": dataset.name,
        "plan": collection.plan,
        "batch_qps": len(prepared) / mine,
        "direct_qps": len(prepared) / theirs,
        "batch_ratio": ratio,
        "single_us": single * 1e6,
        "direct_us": single_direct * 1e6,
        "added_us": (single - single_direct) * 1e6,
    }
    print(
        f"{found['data']:>16} {found['plan']:<28} batch {found['batch_qps']:>9,.0f} q/s, {ratio:.3f} of direct;"
        f" one query {found['single_us']:7.1f} us, {found['added_us']:+6.1f} us over direct"
    )
    return found


def help_seconds(rounds: int = 9) -> float:
    """Median seconds of ``nearkin --help``, interpreter included."""
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "nearkin", "--help"], capture_output=True, check=True)
        took.append(time.perf_counter() - start)
    return float(np.median(took))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--plans", nargs="+", default=PLANS)
    parser.add_argument("--data", nargs="+", default=["wordnet", "fashion-mnist"])
    options = parser.parse_args()
    results = [
        measure(load(name), plan, options.threads, options.rounds) for name in options.data for plan in options.plans
    ]
    worst_ratio = min(each["batch_ratio"] for each in results)
    worst_added = max(each["added_us"] for each in results)
    help_took = help_seconds()
    print(f"nearkin --help: {help_took:.2f} s")
    found = {"worst_batch_ratio": worst_ratio, "worst_added_us": worst_added, "help_s": help_took, "results": results}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
