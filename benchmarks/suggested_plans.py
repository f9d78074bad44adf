"""What the plans that the docs suggest give: recall@10 with its interval, speed and bytes, on two real sets of embeddings.

Target: recall@10 of 0.95 or better with ``ivf,pq,refine-f16`` at its default parameters.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import nearkin as nk
from datasets import load
from nearkin.settings import available_cores

PLANS = ("flat", "ivf,pq,refine-f16", "ivf,pq,refine-int8", "ivf,int8", "hnsw32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--data", nargs="+", default=["wordnet", "fashion-mnist"])
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    for name in options.data:
        dataset = load(name)
        rows = f"{len(dataset.vectors):,} x {dataset.vectors.shape[1]}"
        print(f"\n{dataset.name}, {rows}, {dataset.metric}, {options.threads} threads\n")
        print("| plan | recall@10 (95 % interval) | batch q/s | times flat | p50 us | build s | MB | of float32 |")
        print("|---|---|---|---|---|---|---|---|")
        flat = 0.0
        for plan in PLANS:
            found = nk.measure(
                dataset.vectors, metric=dataset.metric, plan=plan, queries=dataset.queries, threads=options.threads
            )
            flat = flat or found.speed.batch_qps
            size = sum(found.allocated.values())
            print(
                f"| `{found.plan}` | {found.recall.mean:.3f} ({found.recall.low:.3f} to {found.recall.high:.3f}) "
                f"| {found.speed.batch_qps:,.0f} | {found.speed.batch_qps / flat:.1f} | {found.speed.p50_us:,.0f} "
                f"| {found.build_seconds:.1f} | {size / 1e6:.1f} | {size / found.float32_bytes:.0%} |"
            )
            results.append({"data": dataset.name, "asked": plan, **found.to_dict()})
    suggested = [each["recall"]["mean"] for each in results if each["asked"] == "ivf,pq,refine-f16"]
    print(json.dumps({"lowest_recall_of_the_suggested_plan": min(suggested), "results": results}))


if __name__ == "__main__":
    main()
