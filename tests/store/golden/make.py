"""Writes the golden collections of the present format, and beside each what it must answer for ever.

``python tests/store/golden/make.py`` once, when a format is new: a folder of a released format is never written again.
What is expected is worked out here, not asked of nearkin: rows, ids and metadata as they were put in, neighbours by
comparing all of them.
"""

import json
from pathlib import Path

import numpy as np

import nearkin as nk
from nearkin.store.schema import MIGRATIONS

HOME = Path(__file__).parent
QUERIES = 5


def strings(folder: Path) -> dict:
    """String ids, metadata, two rows deleted, one replaced, two not covered by the index, an index on a field; ivf4 over 3-d."""
    rows = np.random.default_rng(1).integers(-40, 40, size=(160, 3)).astype(np.float32) / 8
    names = [f"sku {n} é漢" if n % 10 == 0 else f"sku {n}" for n in range(160)]
    extra = [{"price": n / 4, "tags": ["new", "ü"], "left": None} if n % 3 else {} for n in range(160)]
    made = nk.build(rows[:158], ids=names[:158], metadata=extra[:158], plan="ivf4", metric="euclidean", seed=3)
    made.save(folder)
    kept = dict(zip(names, zip(rows.tolist(), extra, strict=True), strict=True))
    with nk.open(folder) as opened:
        opened.delete([names[7], names[90]])
        opened.upsert(rows[158:159], [names[20]], metadata=[{"replaced": True}])
        opened.add(rows[159:], ids=[names[159]], metadata=extra[159:])
        opened.index_field("price")
    for gone in (names[7], names[90], names[20], names[158]):
        del kept[gone]
    last = kept.pop(names[159])
    kept[names[20]] = (rows[158].tolist(), {"replaced": True})
    kept[names[159]] = last
    queries = np.random.default_rng(2).normal(size=(QUERIES, 3)).round(2).astype(np.float32)
    held = np.array([vector for vector, _ in kept.values()])
    distances = np.sqrt(((queries[:, None].astype(float) - held[None]) ** 2).sum(axis=2))
    cheap = [name for name, (_, metadata) in kept.items() if metadata.get("price", 99) < 10]
    facts = {"metric": "euclidean", "plan": "ivf4", "search": {"nprobe": 4}, "filters": {"price < 10": cheap}}
    return facts | expected(kept, queries, distances)


def bits(folder: Path) -> dict:
    """Whole numbers as ids, one deleted; packed bits compared one by one."""
    rows = np.random.default_rng(4).integers(0, 256, size=(20, 4)).astype(np.uint8)
    names = [n * n - 60 for n in range(20)]
    made = nk.build(rows, ids=names, metadata=[{"n": n} for n in range(20)], plan="flat", metric="hamming", seed=3)
    made.save(folder)
    with nk.open(folder) as opened:
        opened.delete([names[0]])
    kept = {name: (rows[n].tolist(), {"n": n}) for n, name in enumerate(names) if n}
    queries = np.random.default_rng(5).integers(0, 256, size=(QUERIES, 4)).astype(np.uint8)
    distances = np.unpackbits(queries[:, None] ^ rows[None, 1:], axis=2).sum(axis=2)
    return {"metric": "hamming", "plan": "flat", "search": {}} | expected(kept, queries, distances)


def expected(kept: dict, queries: np.ndarray, distances: np.ndarray) -> dict:
    """`kept` is id to (vector, metadata); distances are those of each query to each of its rows."""
    return {
        "dtype": str(queries.dtype),
        "ids": list(kept),
        "vectors": [vector for vector, _ in kept.values()],
        "metadata": [extra for _, extra in kept.values()],
        "queries": queries.tolist(),
        "distances": distances.round(6).tolist(),
    }


def main() -> None:
    home = HOME / f"format-{len(MIGRATIONS)}"
    for make in (strings, bits):
        folder = home / make.__name__
        facts = json.dumps(make(folder), ensure_ascii=False)
        folder.with_suffix(".json").write_text(facts + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
