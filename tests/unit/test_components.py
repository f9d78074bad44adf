"""How a component is written in text: names, numbers glued to them, options and their types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin.components import Part, parse_part, read_params
from nearkin.errors import NearkinError, ParameterError, UnknownNameError
from nearkin.hooks import CodecSpec, Spec
from nearkin.registry import default_registry


@dataclass(frozen=True)
class Params:
    """One option of every type."""

    M: int | None = None
    bits: int = 4
    share: float = 0.5
    fast: bool = False
    mode: str = "plain"

    def __post_init__(self) -> None:
        if self.bits == 13:
            raise ParameterError(f"bits is {self.bits}, an unlucky number")
        if self.mode == "broken":
            raise ValueError("this params class forgot to raise a ParameterError")


def codec(name: str, **more: Any) -> CodecSpec:
    return CodecSpec(name=name, summary="For a test.", make="nearkin.codecs:Float32", **more)


SPECS: dict[str, Spec] = {
    "pq": codec("pq", params=Params, shorthand=("M", "bits")),
    "one": codec("one", params=Params, shorthand=("M",)),
    "f16": codec("f16"),
    "int8": codec("int8"),
}


def resolve(name: str) -> Spec:
    if name not in SPECS:
        raise UnknownNameError(f"no codec is called {name!r}")
    return SPECS[name]


def parse(text: str) -> Part:
    return parse_part(text, SPECS.__contains__, resolve)


@pytest.mark.parametrize(
    ("text", "name", "given_options"),
    [
        ("pq", "pq", {}),
        ("pq48", "pq", {"M": 48}),
        ("pq48x8", "pq", {"M": 48, "bits": 8}),
        ("pqx8", "pq", {"bits": 8}),
        ("one7", "one", {"M": 7}),
        ("f16", "f16", {}),
        ("int8", "int8", {}),
        ("pq:M=48:bits=8", "pq", {"M": 48, "bits": 8}),
        ("pq48:bits=8", "pq", {"M": 48, "bits": 8}),
        ("pq:share=0.25:fast=yes:mode=a-b", "pq", {"share": 0.25, "fast": True, "mode": "a-b"}),
        ("pq:share=1", "pq", {"share": 1.0}),
        ("pq:fast=False", "pq", {"fast": False}),
        ("pq:mode=a=b", "pq", {"mode": "a=b"}),
    ],
)
def test_what_is_read(text: str, name: str, given_options: dict[str, Any]) -> None:
    part = parse(text)
    assert (part.name, dict(part.options)) == (name, given_options)
    assert {key: type(value) for key, value in part.options.items()} == {
        key: type(value) for key, value in given_options.items()
    }
    assert parse(str(part)) == part


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a component has an empty name"),
        (":M=1", "no name before the colon"),
        ("pq:", "option '' of pq is not of the form key=value"),
        ("pq:M", "option 'M' of pq is not of the form key=value"),
        ("pq:M=", "not of the form key=value"),
        ("pq:=1", "not of the form key=value"),
        ("pq8:M=8", "option 'M' of pq is given twice"),
        ("pq:M=8:M=8", "option 'M' of pq is given twice"),
        ("pq:bit=8", "has no option 'bit': it takes M, bits, share, fast, mode (did you mean bits?)"),
        ("pq:zzz=8", "has no option 'zzz': it takes M, bits, share, fast, mode"),
        ("pq:M=many", "option M of codec 'pq' is 'many', a whole number expected"),
        ("pq:M=1.5", "'1.5', a whole number expected"),
        ("pq:share=half", "'half', a number expected"),
        ("pq:share=nan", "'nan', a number expected"),
        ("pq:share=inf", "'inf', a number expected"),
        ("pq:fast=maybe", "'maybe', true or false expected"),
        ("pq4x4x4", "no codec is called 'pq4x4x4'"),
        ("one7x8", "'one7x8': one takes 1 number glued to it; write options as one:"),
        ("f16:M=8", "codec 'f16' takes no options, got M"),
        ("pq:bits=13", "bits is 13, an unlucky number"),
        ("pq:mode=broken", "codec 'pq': this params class forgot"),
        ("nope", "no codec is called 'nope'"),
        ("pq" + "9" * 5000, "a whole number expected"),
    ],
)
def test_what_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(NearkinError) as caught:
        parse(text)
    assert sentence in str(caught.value)


def test_a_name_without_params_takes_no_numbers() -> None:
    with pytest.raises(UnknownNameError, match="'f8'"):
        parse("f8")
    SPECS["bare"] = codec("bare")
    try:
        with pytest.raises(ParameterError, match="bare takes no number glued to it; write bare, which has no options"):
            parse("bare8")
    finally:
        del SPECS["bare"]


def test_a_name_that_exists_wins_over_a_shorter_one_with_a_number() -> None:
    SPECS["pq2"] = codec("pq2")
    try:
        assert parse("pq2") == Part("pq2")
        assert parse("pq3") == Part("pq", {"M": 3})
    finally:
        del SPECS["pq2"]


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [("M", 3, 3), ("M", 3.0, 3), ("M", None, None), ("share", 1, 1.0), ("fast", True, True), ("mode", "x", "x")],
)
def test_values_from_python(key: str, value: Any, kept: Any) -> None:
    params = read_params(SPECS["pq"], Part("pq", {key: value}))
    assert params == {"M": None, "bits": 4, "share": 0.5, "fast": False, "mode": "plain", key: kept}
    assert type(params[key]) is type(kept)


@pytest.mark.parametrize(
    ("key", "value"),
    [("M", True), ("bits", None), ("M", [1]), ("share", True), ("fast", 2), ("mode", 7), ("M", float("nan"))],
)
def test_values_of_the_wrong_type_from_python(key: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=f"option {key} of codec 'pq'"):
        read_params(SPECS["pq"], Part("pq", {key: value}))


def test_a_param_without_default_must_be_given() -> None:
    @dataclass(frozen=True)
    class Needs:
        factory: str

    spec = codec("needs", params=Needs)
    with pytest.raises(ParameterError, match="factory"):
        read_params(spec, Part("needs"))
    assert read_params(spec, Part("needs", {"factory": "Flat"})) == {"factory": "Flat"}


PARTS = st.builds(
    lambda name, given_options: Part(name, given_options),
    st.just("pq"),
    st.fixed_dictionaries(
        {},
        optional={
            "M": st.integers(0, 10**6),
            "bits": st.integers(0, 10**6).filter(lambda bits: bits != 13),
            "share": st.floats(allow_nan=False, allow_infinity=False),
            "fast": st.booleans(),
            # Text has no way to write a colon, nor space around a value, which reading takes away.
            "mode": st.text(min_size=1).filter(lambda mode: ":" not in mode and mode.strip() == mode != "broken"),
        },
    ),
)


@given(PARTS)
def test_a_part_written_and_read_is_the_same(part: Part) -> None:
    assert parse(str(part)) == part


@given(st.text(alphabet="pqone16xintf8:=,.-M bits²٣\n") | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        part = parse(text)
    except NearkinError:
        return
    assert part.name in SPECS
    assert parse(str(part)) == part


def test_options_that_are_needed_are_named():
    registry = default_registry()
    with pytest.raises(ParameterError, match="embedder 'word-vectors' needs path; write word-vectors:PATH"):
        registry.make("embedder", "word-vectors")
