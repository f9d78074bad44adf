"""The grammar of plans: what is read, what is refused and where, and that plans survive being written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin.components import Part
from nearkin.errors import NearkinError, ParameterError, UnknownNameError
from nearkin.plans import Plan, as_plan, parse_plan
from nearkin.registry import Registry

REGISTRY = Registry(strict=True)
REGISTRY.load_entry_points()


def parse(text: str) -> Plan:
    return parse_plan(text, REGISTRY)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("flat", Plan(Part("flat"))),
        ("ivf1024", Plan(Part("ivf", {"nlist": 1024}))),
        ("ivf,pq,refine-f16", Plan(Part("ivf"), Part("pq"), Part("f16"))),
        (
            "ivf1024,pq48x8,refine-f16",
            Plan(Part("ivf", {"nlist": 1024}), Part("pq", {"M": 48, "bits": 8}), Part("f16")),
        ),
        ("ivf:nlist=64:clusterer=lloyd", Plan(Part("ivf", {"nlist": 64, "clusterer": "lloyd"}))),
        ("hnsw32,int8", Plan(Part("hnsw", {"M": 32}), Part("int8"))),
        ("flat,refine-f32", Plan(Part("flat"), None, Part("f32"))),
        ("flat,f16", Plan(Part("flat"), Part("f16"))),
        (" ivf , pq4 , refine-int8 ", Plan(Part("ivf"), Part("pq", {"M": 4}), Part("int8"))),
        ("faiss:OPQ32,IVF1024,PQ32x4fs", Plan(Part("faiss", {"factory": "OPQ32,IVF1024,PQ32x4fs"}))),
        ("indexes/ivf8,codecs/pq", Plan(Part("indexes/ivf", {"nlist": 8}), Part("codecs/pq"))),
    ],
)
def test_what_is_read(text: str, plan: Plan) -> None:
    assert parse(text) == plan
    assert parse(str(plan)) == plan


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("", 0, "an empty part, the name of an index expected"),
        (",pq", 0, "an empty part, the name of an index expected"),
        ("ivf,", 4, "an empty part, a codec or refine-CODEC expected"),
        ("ivf,,refine-f16", 4, "an empty part"),
        ("pq", 0, "'pq' is the name of a codec, and the first part is an index"),
        ("cosine,pq", 0, "'cosine' is the name of a metric, and the first part is an index"),
        ("ivf64,hnsw32", 6, "'hnsw32' is the name of an index, and after the index comes a codec or refine-CODEC"),
        ("ivf,pq,f16", 7, "'f16' is a codec, a refine-CODEC part expected here"),
        ("ivf,refine-f16,pq", 15, "'pq' is a codec, nothing more expected here"),
        ("ivf,refine-f16,refine-f32", 15, "'refine-f32' is a refinement, nothing more expected here"),
        ("ivf,pq,refine-", 7, "empty name"),
        ("ivf,pq,refine-flat", 7, "'flat' is the name of an index, and refine- is followed by a codec"),
        ("ivf:nlists=4", 0, "has no option 'nlists'"),
        ("ivf,pq:M=x", 4, "a whole number expected"),
        ("ivf0", 0, "nlist=0"),
        ("ivf,pq8x5", 4, "bits=5"),
        ("faiss", 0, "factory"),
    ],
)
def test_what_is_refused_and_where(text: str, place: int, sentence: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"plan {text!r}, position {place}: ")
    assert sentence in str(caught.value)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"position 0: no index is called 'ivff'.*'ivf'"):
        parse("ivff,pq")
    with pytest.raises(UnknownNameError, match=r"position 4: no codec is called 'int9'.*'int8'"):
        parse("ivf,int9")


@pytest.mark.parametrize("text", ["faiss:", "faiss:  "])
def test_an_empty_factory_string_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="no faiss factory string"):
        parse(text)


@pytest.mark.parametrize("text", [None, 3, b"ivf", ["ivf"]])
def test_what_is_not_text_is_refused(text: object) -> None:
    with pytest.raises(ParameterError, match=type(text).__name__):
        parse_plan(text, REGISTRY)  # type: ignore[arg-type]


def test_search_parameters_are_added_to_a_plan() -> None:
    plan = as_plan("ivf8", {"nprobe": 3}, REGISTRY)
    assert (plan.index, plan.search) == (Part("ivf", {"nlist": 8}), {"nprobe": 3})
    assert as_plan(plan, None, REGISTRY) is plan
    with pytest.raises(ParameterError, match="a dict of search parameters expected"):
        as_plan("ivf8", [("nprobe", 3)], REGISTRY)  # type: ignore[arg-type]


INDEXES = st.one_of(
    st.just(Part("flat")),
    st.fixed_dictionaries({}, optional={"nlist": st.integers(1, 10**6), "clusterer": st.just("lloyd")}).map(
        lambda given_options: Part("ivf", given_options)
    ),
    st.fixed_dictionaries({}, optional={"M": st.integers(2, 512), "ef_construction": st.integers(1, 999)}).map(
        lambda given_options: Part("hnsw", given_options)
    ),
)
CODECS = st.one_of(
    st.sampled_from(["f32", "f16", "int8", "bits", "sq8"]).map(Part),
    st.fixed_dictionaries({}, optional={"M": st.integers(1, 999), "bits": st.sampled_from([4, 8])}).map(
        lambda given_options: Part("pq", given_options)
    ),
)
PLANS = st.builds(Plan, INDEXES, st.none() | CODECS, st.none() | CODECS)


@given(PLANS)
def test_a_plan_written_and_read_is_the_same(plan: Plan) -> None:
    assert parse(str(plan)) == plan


@given(PLANS, st.integers(0, 60), st.text(alphabet="ivfpqhnswxre-,:=0123456789 \n", max_size=4))
def test_a_damaged_plan_is_read_or_refused(plan: Plan, place: int, damage: str) -> None:
    text = str(plan)
    check_any(text[:place] + damage + text[place:])
    check_any(text[:place] + damage + text[place + len(damage) :])


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    check_any(text)


def check_any(text: str) -> None:
    """Whatever the text, a plan that survives being written, or one of nearkin's own errors."""
    try:
        plan = parse(text)
    except NearkinError as error:
        refusal = str(error)
    else:
        assert parse(str(plan)) == plan
        return
    assert repr(text) in refusal
