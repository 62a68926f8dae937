"""Values made for a schema are valid under it, by a validator of the tests' own."""

from __future__ import annotations

import re
from typing import Any

import pytest

from penstock.providers.simulated.chance import Dice
from penstock.providers.simulated.pattern import PatternError, text_matching
from penstock.providers.simulated.schema import Example, SchemaError
from tests.providers.valid import problems

NODE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name", "children"],
}
SHAPE = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": "circle"}, "radius": {"type": "number", "exclusiveMinimum": 0}},
            "required": ["kind", "radius"],
        },
        {
            "type": "object",
            "properties": {"kind": {"const": "square"}, "side": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["kind", "side"],
        },
    ]
}

SCHEMAS: dict[str, Any] = {
    "strings": {"type": "object", "properties": {"city": {"type": "string"}, "title": {"type": "string"}}},
    "lengths": {"type": "string", "minLength": 90, "maxLength": 95},
    "short": {"type": "string", "maxLength": 3},
    "enum": {"type": "object", "properties": {"unit": {"enum": ["C", "F", None, 7]}}, "required": ["unit"]},
    "const": {"const": {"a": [1, 2]}},
    "integers": {
        "type": "array",
        "items": {"type": "integer", "minimum": -3, "maximum": 3},
        "minItems": 5,
        "maxItems": 7,
    },
    "exclusive": {"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6},
    "narrow": {"type": "number", "minimum": 0.001, "maximum": 0.002},
    "open interval": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    "multiples": {"type": "number", "multipleOf": 0.25, "minimum": 1, "maximum": 2},
    "multiple integers": {"type": "integer", "multipleOf": 7, "minimum": 50, "maximum": 60},
    "nullable": {"type": ["string", "null"]},
    "any of": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "boolean"}}]},
    "all of": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "string", "minLength": 4}}, "required": ["a"]},
            {"properties": {"a": {"maxLength": 5}, "b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    "any of with siblings": {
        "type": "object",
        "properties": {"id": {"type": "integer"}},
        "required": ["id"],
        "anyOf": [{"required": ["a"], "properties": {"a": {"type": "null"}}}, {"required": ["b"]}],
    },
    "nested": {
        "type": "object",
        "properties": {
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"explanation": {"type": "string"}, "output": {"type": "string"}},
                    "required": ["explanation", "output"],
                    "additionalProperties": False,
                },
            },
            "final_answer": {"type": "string"},
        },
        "required": ["steps", "final_answer"],
        "additionalProperties": False,
    },
    "linked list": NODE,
    "tree": TREE,
    "union": SHAPE,
    "tuple": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False, "minItems": 2},
    "unique": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 3, "maxItems": 3},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    "required only": {"type": "object", "required": ["anything"]},
    "no type": {"properties": {"n": {"minimum": 3}}, "required": ["n"]},
    "deep": {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": {"type": "null"}}}},
    "pointer": {"$defs": {"a/b": {"type": "boolean"}}, "type": "object", "properties": {"x": {"$ref": "#/$defs/a~1b"}}},
    **{
        f"format {name}": {"type": "string", "format": name}
        for name in ("date", "time", "date-time", "uuid", "ipv4", "ipv6", "email", "uri", "hostname", "duration")
    },
}
PATTERNS = [
    r"^[A-Z]{2}\d{4}$",
    r"^\+?\d{3}-\d{4}$",
    r"^(red|green|blue)$",
    r"[a-f0-9]{8}",
    r"^[^0-9]{3,5}$",
    r"^\w+@\w+\.(com|org)$",
    r"^(?:ab?c*)+$",
    r"^a|b$",
    r"^[\w.-]+$",
    r"^.{2,}$",
    r"^\u00e9[]a]$",
    r"^(\d{1,3}\.){3}\d{1,3}$",
]


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "pointer"])
def test_examples_are_valid(name: str) -> None:
    schema = SCHEMAS[name]
    for seed in range(25):
        value = Example(schema, Dice(seed), strict=True).value()
        assert list(problems(value, schema)) == [], f"seed {seed}: {value!r}"


def test_the_validator_of_these_tests_can_say_no() -> None:
    assert list(problems({"value": "x"}, NODE))
    assert list(problems({"kind": "circle", "radius": 0}, SHAPE))
    assert list(problems("2024-13-01", SCHEMAS["format date"]))
    assert list(problems([1, 1], {"uniqueItems": True}))


def test_a_pointer_is_unescaped() -> None:
    value = Example(SCHEMAS["pointer"], Dice(1), strict=True).value()
    assert value["x"] in (True, False)


def test_the_same_seed_gives_the_same_value() -> None:
    one, other, third = (Example(SCHEMAS["nested"], Dice(seed), strict=True).value() for seed in (1, 1, 2))
    assert one == other != third


def test_a_city_is_one_the_caller_spoke_of() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    assert Example(schema, Dice(1), strict=False, places=["Paris"]).value() == {"city": "Paris"}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_texts_match_their_pattern(pattern: str) -> None:
    for seed in range(25):
        text = text_matching(pattern, Dice(seed))
        assert re.search(pattern, text), f"seed {seed}: {text!r}"


@pytest.mark.parametrize(
    "pattern",
    [r"(?=a)b", r"(a)\1", "(a", "a)", "[z-a]", "a{", "a{3,1}", "[[:alpha:]]", r"\p{L}", "*a", "((a{999}){999}){999}"],
)
def test_what_a_pattern_may_not_have(pattern: str) -> None:
    with pytest.raises(PatternError):
        text_matching(pattern, Dice(1))


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (False, "false"),
        ({"type": "strong"}, "not a type"),
        ({"$ref": "#/$defs/none"}, "points to nothing"),
        ({"$ref": "http://elsewhere.example/x"}, "does not point into"),
        ({"$ref": "#"}, "back to itself"),
        ({"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"]}, "no finite example"),
        ({"not": {"type": "string"}}, "'not' is not permitted"),
        ({"enum": []}, "at least one"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "no number"),
        ({"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 5}, "no multiple"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "no string"),
        ({"type": "string", "pattern": "(?<=x)y"}, "is not supported"),
        ({"type": "array", "items": {"const": 1}, "uniqueItems": True, "minItems": 2}, "2 items"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "two types"),
        (
            {"type": "array", "items": {"type": "array", "items": {"type": "array"}, "minItems": 200}, "minItems": 200},
            "size",
        ),
    ],
)
def test_what_no_example_can_be_made_for(schema: Any, told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        Example(schema, Dice(1), strict=True).value()


def test_keywords_that_cannot_be_kept_are_ignored_for_tools() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "minProperties": 1}
    assert "a" in Example(schema, Dice(1), strict=False).value()
