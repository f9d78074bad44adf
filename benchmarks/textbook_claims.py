"""What textbooks say of quantization, measured: int8 4 times smaller at a loss under 1 point, low rank d/5, pruning 50 to 90 %.

Recall@10 with every row compared (`flat`), so that nothing is lost but by the codec; then with 100 candidates re-ranked on
float16. Bytes are those of the codes, without the refinement.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import nearkin as nk
from datasets import Dataset, load
from nearkin.accuracy import Interval
from nearkin.settings import available_cores

K = 10
REFINEMENT = "refine-f16"


def claims(dim: int) -> list[tuple[str, str]]:
    """Each claim and the plan that it is about, without its refinement."""
    return [
        ("float32", "flat"),
        ("int8: 4 times smaller", "flat,int8"),
        ("low rank d/5: 5 times smaller", f"pca{round(dim / 5)},flat"),
        ("50 % pruned", "flat,pruned50"),
        ("70 % pruned", "flat,pruned70"),
        ("90 % pruned", "flat,pruned90"),
    ]


def measured(plan: str, data: Dataset, truth: Any, threads: int) -> tuple[nk.Collection, Interval, float]:
    """A collection, its recall, and queries a second."""
    collection = nk.build(data.vectors, metric=data.metric, plan=plan, threads=threads)
    collection.search(data.queries[:10], K)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        found = collection.search(data.queries, K)
        seconds.append(time.perf_counter() - start)
    shares = nk.recall(found.ids, truth)
    return collection, Interval.of(shares), len(data.queries) / sorted(seconds)[1]


def measure(data: Dataset, threads: int) -> list[dict[str, Any]]:
    """Every claim on one data set."""
    truth = nk.build(data.vectors, metric=data.metric, threads=threads).search(data.queries, K).ids
    float32 = 4 * data.vectors.size
    results = []
    print(
        f"\n{data.name}: {len(data.vectors):,} x {data.vectors.shape[1]}, {data.metric}, {len(data.queries):,} queries"
    )
    for claim, plan in claims(data.vectors.shape[1]):
        collection, recall, speed = measured(plan, data, truth, threads)
        codes = sum(collection.allocated_bytes().values())
        row = {
            "data": data.name,
            "claim": claim,
            "plan": collection.plan,
            "times_smaller": float32 / codes,
            "recall": recall.mean,
            "interval": [recall.low, recall.high],
            "qps": speed,
        }
        if plan != "flat":
            refined, again, _ = measured(f"{plan},{REFINEMENT}", data, truth, threads)
            row["refined_recall"] = again.mean
            row["refined_times_smaller"] = float32 / sum(refined.allocated_bytes().values())
        results.append(row)
        print(
            f"  {claim:<30} {row['plan']:<16} {row['times_smaller']:5.2f} times smaller, recall@10 {recall.mean:.3f} "
            f"({recall.low:.3f} to {recall.high:.3f}), {speed:7,.0f} q/s"
            + (f"; re-ranked {row['refined_recall']:.3f}" if "refined_recall" in row else "")
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--data", nargs="+", default=["wordnet", "fashion-mnist"])
    options = parser.parse_args()
    print(json.dumps([row for name in options.data for row in measure(load(name), options.threads)]))


if __name__ == "__main__":
    main()
