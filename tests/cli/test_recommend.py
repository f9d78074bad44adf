"""``nearkin recommend``: from an index by what is liked, and from a file of events."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import nearkin as nk

Run = Callable[..., Result]

DRINKS = [
    ("sku-1", "Green tea", 4, [1, 0.1, 0]),
    ("sku-2", "Mate", 6, [0.9, 0.2, 0]),
    ("sku-3", "Lager", 2, [0, 1, 0.1]),
    ("sku-4", "Oolong", 9, [1, 0, 0.2]),
    ("sku-5", "Pilsener", 2, [0.1, 1, 0]),
    ("sku-6", "Teapot", 30, [0.6, 0, 0.8]),
]
EVENTS = "user,item,stars,when\nann,sku-1,5,2026-01-01\nann,sku-2,4,2026-01-31\nbob,sku-1,5,2026-01-31\nbob,sku-9,1,2026-01-31\n"
SHARED = '''
"""A recommender of items that are bought together."""
import numpy as np
import nearkin as nk

class Together(nk.Recommender):
    name = "together"
    def _learn(self, matrix):
        bought = (matrix.toarray() > 0).astype(float)
        self.counts = bought.T @ bought
        np.fill_diagonal(self.counts, 0)
    def _scores(self, histories):
        scores = np.asarray(histories @ self.counts)
        return np.where(scores > 0, scores, -np.inf)
    def _parts(self, history, weights, item):
        return weights * self.counts[np.asarray(history), item]
    def _alike(self, items):
        return np.where(self.counts[items] > 0, self.counts[items], -np.inf)

@nk.hookimpl
def nearkin_recommenders():
    return [nk.RecommenderSpec(name="together", summary="Bought together.", make=Together)]
'''


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A saved index of drinks with titles and prices."""
    vectors = np.float32([each[3] for each in DRINKS])
    metadata = [{"title": title, "price": price} for _, title, price, _ in DRINKS]
    nk.build(vectors, ids=[each[0] for each in DRINKS], metadata=metadata, metric="cosine").save(tmp_path / "shop")
    return tmp_path / "shop"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Purchases, a plugin with a recommender, and titles."""
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "together.py").write_text(SHARED)
    titles = "".join(f"{sku},{title}\n" for sku, title, *_ in DRINKS)
    (tmp_path / "titles.csv").write_text(f"sku,title\n{titles}")
    return tmp_path / "events.csv"


def told(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


# ---- from an index ---------------------------------------------------------------------------------------------------


def test_what_is_like_what_is_liked(run: Run, shop: Path) -> None:
    (found,) = told(run("recommend", "shop", "--liked", "sku-1,sku-4", "--disliked", "sku-3", "-k", "2", "--json"))
    with nk.open(shop) as collection:
        wanted = collection.recommend(["sku-1", "sku-4"], disliked=["sku-3"], k=2)[0]
    assert [each["id"] for each in found["items"]] == [each.id for each in wanted]
    assert [each["score"] for each in found["items"]] == pytest.approx([each.score for each in wanted])
    assert found["items"][0]["title"] == "Mate"
    parts = {each["name"]: each["share"] for each in found["items"][0]["because"]}
    assert parts["Green tea"] > 0 > parts["Lager"]
    assert sum(map(abs, parts.values())) == pytest.approx(1)


def test_a_table_that_says_because_of_what(run: Run, shop: Path) -> None:
    result = run("recommend", "shop", "--liked", "sku-1, sku-4", "--disliked", "sku-3", "-k", "1")
    lines = result.stdout.splitlines()
    assert lines[0] == "liked Green tea, Oolong, not Lager"
    assert lines[2].split() == ["#", "item", "title", "score", "because", "of"]
    assert lines[4].startswith("1  sku-2  Mate ")
    assert lines[4].endswith("Lager -10%")
    priced = run("recommend", "shop", "--liked", "sku-1", "-k", "1", "--show", "price")
    assert priced.stdout.splitlines()[0] == "liked Green tea"
    assert priced.stdout.splitlines()[4].split()[:4] == ["1", "sku-2", "Mate", "6"]
    (found,) = told(run("recommend", "shop", "--liked", "sku-1", "-k", "1", "--show", "price", "--json"))
    assert (found["items"][0]["price"], found["items"][0]["because"][0]["name"]) == (6, "Green tea")
    shown = run("recommend", "shop", "--liked", "sku-1", "-k", "1", "--show", "price", "--show", "title")
    assert shown.stdout.splitlines()[2].split()[:4] == ["#", "item", "price", "title"]


def test_filters_among_and_what_is_left(run: Run, shop: Path, tmp_path: Path) -> None:
    (found,) = told(run("recommend", "shop", "--liked", "sku-1", "--where", "price < 7", "-k", "3", "--json"))
    assert {each["id"] for each in found["items"]} == {"sku-2", "sku-3", "sku-5"}
    (tmp_path / "some.txt").write_text("sku-5\n\nsku-1\nsku-77\n")
    result = run("recommend", "shop", "--liked", "sku-1", "--among", "some.txt")
    assert result.stdout.startswith("liked Green tea: 2 rows may be answered, 1 of them liked or disliked, 10 asked\n")
    assert "1 of 3 ids in some.txt are of no item" in result.stderr
    (seen,) = told(run("recommend", "shop", "--liked", "sku-1", "--include-seen", "-k", "1", "--json"))
    assert seen["items"][0]["id"] == "sku-1"
    missing = run("recommend", "shop", "--liked", "sku-1", "--where", "prize < 7")
    assert "no row has the field prize" in missing.stderr
    assert missing.exit_code == 0


def test_ids_that_are_numbers(run: Run, built: Path) -> None:
    (found,) = told(run("recommend", "indexes/mine", "--liked", "3,17", "-k", "3", "--beta", "0", "--json"))
    assert len(found["items"]) == 3
    assert found["items"][0]["because"][0]["id"] in (3, 17)


def test_an_id_that_is_given_twice_counts_once(run: Run, shop: Path, events: Path) -> None:
    call = ("recommend", "shop", "-k", "2", "--json", "--liked")
    assert told(run(*call, "sku-1,sku-3,sku-1")) == told(run(*call, "sku-1,sku-3"))


# ---- from events -----------------------------------------------------------------------------------------------------


def test_ids_that_begin_with_dashes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("user,item\n1,-7\n1,8\n2,8\n2,9\n")
    (tmp_path / "some.txt").write_text("--5\n-7\n")
    call = ("recommend", "n.csv", "--method", "popular", "--among", "some.txt")
    result = run(*call, "--user=--5", "--user=2")
    assert result.stdout.startswith("user --5: an unknown user: all by popularity")
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("1  ")] == ["-7", "-7"]
    assert "1 of 2 ids in some.txt are of no item" in result.stderr


def test_what_popular_does_not_look_at_is_told(run: Run, events: Path) -> None:
    liked = run("recommend", "events.csv", "--method", "popular", "--liked", "sku-2")
    assert "popular recommends the same to everybody" in liked.stderr
    aged = run("recommend", "events.csv", "--method", "popular", "--user", "ann", "--half-life", "30d")
    assert "--half-life changes nothing" in aged.stderr
    assert "recommends the same" not in aged.stderr
    other = run(
        "--plugin",
        "together.py",
        "recommend",
        "events.csv",
        "--method",
        "together",
        "--liked",
        "sku-2",
        "--half-life",
        "9d",
    )
    assert "popular" not in other.stderr


def test_users(run: Run, events: Path) -> None:
    call = ("--plugin", "together.py", "recommend", "events.csv", "--method", "together", "--item-names", "titles.csv")
    bob, cold = told(run(*call, "--user", "bob", "--user", "zoe", "--json"))
    assert bob["user"] == "bob"
    assert bob["items"][0] == {
        "id": "sku-2",
        "title": "Mate",
        "score": 5.0,
        "popularity": 0.5,
        "because": [{"id": "sku-1", "name": "Green tea", "share": 1.0}],
    }
    assert cold["reason"].startswith("an unknown user: all by popularity")
    assert cold["items"][0]["id"] == "sku-1"
    result = run(*call, "--user", "bob", "--user", "bbo")
    lines = result.stdout.splitlines()
    assert lines[0] == "user bob, 2 items known: only 1 item is left to recommend"
    assert lines[4] == "1  sku-2  Mate       5  Green tea 100%"
    assert (
        "user bbo, did you mean 'bob'?: an unknown user: all by popularity, only 3 items are left to recommend" in lines
    )
    assert "liked by 100% of the users" in result.stdout
    assert "column 'user' is the user, 'item' is the item, 'stars' is the weight, 'when' is the time" in result.stderr


def test_someone_new_and_similar_items(run: Run, events: Path) -> None:
    call = ("--plugin", "together.py", "recommend", "events.csv", "--method", "together")
    result = run(*call, "--liked", "sku-2", "--disliked", "sku-9", "-k", "1")
    assert result.stdout.startswith("liked sku-2, not sku-9: all by popularity\n")  # which cancel out
    (similar,) = told(run(*call, "--similar", "sku-1", "--json"))
    assert (similar["item"], {each["id"] for each in similar["items"]}) == ("sku-1", {"sku-2", "sku-9"})
    assert run(*call, "--similar", "sku-1").stdout.splitlines()[2].split() == ["#", "item", "similarity"]


def test_weights_and_times(run: Run, events: Path) -> None:
    call = ("--plugin", "together.py", "recommend", "events.csv", "--method", "together", "--json")
    (all_of_it,) = told(run(*call, "--liked", "sku-1"))
    assert {each["id"] for each in all_of_it["items"]} == {"sku-2", "sku-9"}
    (liked,) = told(run(*call, "--user", "bob", "--min-weight", "2"))
    assert [each["id"] for each in liked["items"]] == ["sku-2"]  # sku-9 was seen, and not liked
    (half,) = told(run(*call, "--user", "ann", "--half-life", "30d", "--include-seen", "-k", "1"))
    assert half["items"][0]["score"] == pytest.approx(4.0)  # of today's sku-2 to sku-1
    (weighed,) = told(run(*call, "--user", "bob", "--weight-column", "stars", "--on-bad", "skip"))
    assert weighed["items"][0]["score"] == 5.0


def test_content_of_a_saved_index_recommends_what_nobody_has_bought(run: Run, shop: Path, events: Path) -> None:
    result = run("recommend", "events.csv", "--user", "bob", "--method", "content:shop", "-k", "2", "--json")
    assert [each["id"] for each in told(result)[0]["items"]] == ["sku-2", "sku-4"]


def test_baskets_and_standard_input(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("tea,milk\ntea\nbread,tea,milk\n")
    result = run("recommend", "b.csv", "--user", "2", "--method", "popular", "-k", "1", "--json")
    assert told(result)[0]["items"][0]["id"] == "milk"
    assert "3 baskets, one a line" in result.stderr
    piped = run("recommend", "-", "--format", "csv", "--user", "bob", "--method", "popular", "--json", input=EVENTS)
    assert told(piped)[0]["items"][0]["id"] == "sku-2"


def test_quality_beside_popularity(run: Run, events: Path, tmp_path: Path) -> None:
    pytest.importorskip("nearkin.recommending.evaluation", reason="evaluate_recommender is not in this tree")
    rng = np.random.default_rng(0)
    pairs = {(user, 20 * (user % 2) + int(item)) for user in range(60) for item in rng.integers(0, 20, 8)}
    (tmp_path / "two.csv").write_text("user,item\n" + "".join(f"u{user},i{item}\n" for user, item in sorted(pairs)))
    call = ("--plugin", "together.py", "recommend", "two.csv", "--evaluate", "--method", "together", "-k", "5")
    for split in ("user-holdout", "leave-last-out"):
        found = json.loads(run(*call, "--split", split, "--json").stdout)
        assert [row["name"] for row in found["rows"]] == ["together", "popular"]
        assert found["rows"][0]["ndcg"]["mean"] > found["rows"][1]["ndcg"]["mean"]
    lines = run(*call).stdout.splitlines()
    assert lines[2].split()[:2] == ["method", "NDCG@5"]
    assert lines[4].split()[0] == "together"
    usual = run("recommend", "two.csv", "--evaluate").stdout.splitlines()
    assert {line.split()[0] for line in usual[4:]} == {"item-knn", "user-knn", "als", "popular"}
    assert max(map(len, usual)) <= 80


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("shop",), 2, "recommend from an index needs --liked"),
        (("shop", "--user", "ann"), 2, "shop is an index, and --user is an option of a file of events"),
        (("shop", "--liked", "sku-11"), 3, "there is no row with id 'sku-11'; did you mean 'sku-1'"),
        (("shop", "--liked", "sku-1", "--disliked", "sku-1"), 2, "both liked and disliked"),
        (("shop", "--liked", "sku-1", "--show", "prize"), 3, "no row has the field 'prize'"),
        (("shop", "--liked", "sku-1", "--where", "price <"), 2, "filter cannot be read at column 8"),
        (("shop", "--liked", "sku-1", "--among", "none.txt"), 5, "none.txt"),
        (("shop", "--liked", "nope"), 3, "there is no row with id 'nope'; its ids are such as 'sku-1', 'sku-2'"),
        (("nofolder",), 5, "there is no file nofolder, and no index"),
        ((".empty", "--liked", "a"), 5, ".empty is a folder and not an index"),
        (("shop", "--liked", "sku-1", "-k", "1000000000"), 2, "1<=x<=1000000"),
        (("events.csv", "--liked", "sku-1", "--disliked", "sku-1"), 2, "'sku-1' is both liked and disliked"),
        (("events.csv", "--liked", "nope", "--method", "popular"), 3, "its items are such as 'sku-1', 'sku-2'"),
        (("events.csv", "--user", "ann", "--among", "none.txt"), 5, "there is no file none.txt"),
        (
            ("events.csv", "--user", "ann", "--min-weight", "9"),
            2,
            "no event has a weight of at least 9, the largest is 5",
        ),
        (("events.csv", "--method", "popular"), 2, "--user, --liked, --similar or --evaluate, exactly one"),
        (("events.csv", "--user", "ann", "--liked", "sku-1"), 2, "exactly one of them"),
        (("events.csv", "--user", "ann", "--where", "a = 1"), 2, "--where is an option of an index"),
        (("events.csv", "--user", "ann", "--split", "leave-last-out"), 2, "--split goes with --evaluate"),
        (("events.csv", "--user", "ann", "--method", "popular", "--method", "als"), 2, "one --method recommends"),
        (("events.csv", "--evaluate", "--among", "some.txt"), 2, "--among does not go with --evaluate"),
        (("events.csv", "--evaluate", "--method", "populer"), 3, "populer"),
        (("shop", "--evaluate"), 2, "--evaluate is an option of a file of events"),
        (("events.csv", "--user", "ann", "--disliked", "sku-1"), 2, "--disliked goes with --liked"),
        (("events.csv", "--user", "ann", "--method", "populer"), 3, "populer"),
        (("events.csv", "--user", "ann", "--method", "popular", "--half-life", "soon"), 2, "half_life is 'soon'"),
        (("events.csv", "--user", "ann", "--method", "popular", "--item-column", "itme"), 3, "did you mean 'item'"),
        (("events.csv", "--liked", "sku-22", "--method", "popular"), 3, "no item 'sku-22' in events.csv; did you mean"),
        (("events.csv", "--similar", "sku-1", "--method", "popular"), 2, "popular does not compare items"),
        (("none.csv", "--user", "ann", "--method", "popular"), 5, "there is no file none.csv"),
        (("-", "--user", "ann", "--method", "popular"), 2, "need their format"),
        (("titles.csv", "--user", "ann", "--method", "popular"), 2, "tells the user; it has 'sku', 'title'"),
    ],
)
def test_errors(run: Run, shop: Path, events: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    (events.parent / ".empty").mkdir()
    result = run("recommend", *arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert result.stdout == ""
    assert len([line for line in result.stderr.splitlines() if not line.startswith("note:")]) == 1
