"""`output_schema`: what is taken, what is refused, and that no stranger's schema costs more than it may."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest
from penstock.wire.generate_schema import MAX_BYTES, MAX_PATTERNS, OutputSchema, load_schema

PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def loaded(schema: Any) -> OutputSchema:
    return load_schema(json.dumps(schema).encode())


def nested(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def doubling(levels: int, keyword: str = "allOf") -> Any:
    """Each definition asks for the next one twice."""
    chain = {f"a{at}": {keyword: [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(levels)}
    return {"$defs": {**chain, f"a{levels}": {"type": "integer"}}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    ("text", "verdict", "data"),
    [
        ('{"name": "Ada"}', "valid", b'{"name":"Ada"}'),
        (' {\r\n"name" :\t"Ada",\n"n": 1e2, "m": 10000000000000000000000}\n', "valid", None),
        ('{"name": 7}', "invalid", None),
        ("{}", "invalid", None),
        ("", "invalid", None),
        ("Here it is: {}", "invalid", None),
        ('```json\n{"name": "Ada"}\n```', "invalid", None),
        ('{"name": NaN}', "invalid", None),
        ('{"name": "\ud800"}', "invalid", None),
        ('{"name": 1e999}', "invalid", None),
        ("[" * 100_000, "invalid", None),
    ],
)
def test_an_answer_is_checked(text: str, verdict: str, data: bytes | None) -> None:
    checked = loaded(PERSON).check(text)
    assert checked.verdict == verdict
    assert (checked.data is not None) == (verdict == "valid")
    assert bool(checked.why) == (verdict != "valid")
    if data is not None:
        assert bytes(checked.data or b"") == data
    if checked.data is not None:
        assert json.loads(bytes(checked.data)) == json.loads(text)
        assert b"\n" not in bytes(checked.data)
        assert b"\r" not in bytes(checked.data)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#"},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": PERSON}, "$ref": "#/definitions/a"},
        {"$id": "https://example.com/a", "type": "object"},
        {"$defs": {"a/b": {"x": [PERSON]}}, "$ref": "#/$defs/a~1b/x/0"},
        {"properties": {"$ref": PERSON, "$id": PERSON, "$dynamicRef": PERSON, "pattern": PERSON}},
        {"default": {"$ref": "nowhere"}, "enum": [{"$ref": "nowhere"}]},
        {"properties": {"left": {"$ref": "#"}, "right": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
        {"type": "string", "pattern": "^(?=.*a)b"},
        doubling(5),
        nested(99),
    ],
)
def test_a_schema_is_taken(schema: Any) -> None:
    loaded(schema).check('{"left": {}}')


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ([], "must be an object"),
        (True, "must be an object"),
        ({"type": "nope"}, "not a valid JSON schema"),
        ({"pattern": "("}, "not a valid JSON schema"),
        ({"pattern": "(a{1000}){1000}"}, "not a valid JSON schema"),
        ({"$schema": "https://example.com/own"}, "not a valid JSON schema"),
        ({"$ref": "https://example.com/a.json"}, 'does not begin with "#/"'),
        ({"$ref": "file:///etc/passwd"}, 'does not begin with "#/"'),
        ({"$defs": {"a": {"properties": {"x": {"$ref": "other.json"}}}}}, 'does not begin with "#/"'),
        ({"$ref": "#/$defs/a"}, "leads nowhere"),
        ({"$defs": [PERSON], "$ref": "#/$defs/1"}, "leads nowhere"),
        ({"$dynamicRef": "#a"}, "$dynamicRef is not read"),
        ({"properties": {"a": {"$id": "https://example.com/a"}}}, "$id is not read"),
        (nested(101), "100 levels"),
        (doubling(30), "unfolds to more than 10,000 parts"),
        (doubling(30, "anyOf"), "unfolds to more than 10,000 parts"),
        ({"enum": list(range(10_001))}, "unfolds to more than 10,000 parts"),
        ({"patternProperties": {f"^{at}$": {} for at in range(MAX_PATTERNS + 1)}}, "100 regular expressions"),
        ({"description": "x" * MAX_BYTES}, "larger than 64 KiB"),
    ],
)
def test_a_schema_is_refused(schema: Any, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        loaded(schema)
    assert why in caught.value.message
    assert caught.value.param == "output_schema"


@pytest.mark.parametrize("written", [b'{"maximum": 1e999}', b"[" * 5000 + b"]" * 5000])
def test_what_cannot_be_read_is_refused(written: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"cannot be read|must be"):
        load_schema(written)


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_a_recursion_that_branches_costs_no_more_for_each_level(keyword: str) -> None:
    twice = {keyword: [{"$ref": "#/$defs/a"}, {"allOf": [{"$ref": "#/$defs/a"}]}]}
    schema = {"$defs": {"a": {"type": ["object", "integer"], "properties": {"c": twice}}}, "$ref": "#/$defs/a"}
    text = '{"c":' * 60 + '""' + "}" * 60  # 2**60 ways to look at the innermost value
    assert loaded(schema).check(text).verdict == "invalid"


def test_an_expression_that_backtracks_is_cut_short() -> None:
    schema = loaded({"type": "string", "pattern": "^(a+)+$(?=x)"})
    assert schema.check(json.dumps("a" * 5000 + "!")).verdict == "invalid"


def test_an_answer_too_large_for_its_schema_is_not_checked() -> None:
    schema = loaded({"items": {"allOf": [{"minimum": at} for at in range(2000)]}})
    assert schema.check("[" + "1," * 30_000 + "1]").verdict == "none"


def test_a_deeply_nested_answer_is_valid_or_not_checked() -> None:
    assert loaded({"items": {"$ref": "#"}}).check("[" * 900 + "]" * 900).verdict in ("valid", "none")


def test_a_schema_is_compiled_once() -> None:
    assert loaded(PERSON) is loaded(PERSON)


WORDS = st.sampled_from(
    ("$ref", "$id", "$defs", "type", "items", "properties", "allOf", "enum", "pattern", "minimum", "unevaluatedItems")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(("#", "#/$defs", "#/items", "object", "string", "a+")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(schema=st.dictionaries(WORDS, VALUES, max_size=5), answer=VALUES)
def test_any_schema_is_taken_or_refused(schema: Any, answer: Any) -> None:
    try:
        compiled = loaded(schema)
    except InvalidRequest:
        return
    assert compiled.check(json.dumps(answer)).verdict in ("none", "valid", "invalid")
