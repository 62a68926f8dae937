"""A value that is valid under a JSON schema, from a seed: structured answers and tool arguments.

Pure. `strict` is for `response_format`: what cannot be kept is refused, as OpenAI refuses keywords it does not
support (Structured Outputs, "Supported schemas"). Without it, as for tool parameters, such keywords are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

from penstock.providers.simulated.chance import Dice
from penstock.providers.simulated.values import Misfit, make_number, make_string

__all__ = ["Example", "SchemaError"]

_NOT_KEPT = (
    "not", "if", "then", "else", "contains", "patternProperties", "propertyNames", "minProperties", "maxProperties",
    "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef",
)  # fmt: skip

# What one keyword says of a type, where a schema does not name the type itself.
_TELLTALE = {
    "properties": "object", "required": "object", "additionalProperties": "object",
    "items": "array", "prefixItems": "array", "minItems": "array", "maxItems": "array",
    "minimum": "number", "maximum": "number", "multipleOf": "number",
}  # fmt: skip

_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")

_DEEP = 4  # from here on only what must be there
_TOO_DEEP = 48
_TOO_MANY = 20_000


class SchemaError(ValueError):
    """A schema that no example can be made for: not valid, not supported, or never-ending."""


class Example:
    """Makes one value for one schema.

    Args:
        root: the whole schema; `$ref` points into it.
        dice: where the value comes from.
        strict: refuse keywords that cannot be kept, instead of ignoring them.
        places: names to prefer for a city or place: what the caller talks about.
    """

    def __init__(self, root: Any, dice: Dice, *, strict: bool, places: Sequence[str] = ()) -> None:
        self._root = root
        self._dice = dice
        self._strict = strict
        self._places = places
        self._made = 0

    def value(self) -> Any:
        """The value.

        Raises:
            SchemaError: see there.
        """
        try:
            return self._value(self._root, "", 0)
        except Misfit as error:
            raise SchemaError(str(error)) from None

    def _value(self, schema: Any, name: str, depth: int) -> Any:
        self._made += 1
        if depth > _TOO_DEEP or self._made > _TOO_MANY:
            raise SchemaError("the schema has no finite example of a sensible size")
        flat = self._flat(schema, depth)
        if "const" in flat:
            return flat["const"]
        if "enum" in flat:
            return self._one_of(flat["enum"], "enum")
        kind = self._kind(flat, depth)
        if kind == "object":
            return self._object(flat, depth)
        if kind == "array":
            return self._array(flat, name, depth)
        if kind == "string":
            return make_string(flat, name, self._dice, self._places)
        if kind in ("integer", "number"):
            return make_number(flat, kind, name, self._dice)
        if kind == "boolean":
            return self._dice.random() < 0.5
        if kind == "null":
            return None
        raise SchemaError(f"'{kind}' is not a type")

    # One schema without references and alternatives

    def _flat(self, schema: Any, depth: int, hops: int = 0) -> Mapping[str, Any]:
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            raise SchemaError("nothing is valid under `false`" if schema is False else "a schema must be an object")
        if hops > _TOO_DEEP:
            raise SchemaError("a $ref leads back to itself")
        if self._strict:
            for keyword in _NOT_KEPT:
                if keyword in schema:
                    raise SchemaError(f"'{keyword}' is not permitted")
        flat = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
        parts = [self._target(schema["$ref"])] if "$ref" in schema else []
        parts += schema.get("allOf", ())
        parts += [self._branch(schema[word], word, depth) for word in ("anyOf", "oneOf") if word in schema]
        for part in parts:
            flat = _merged(flat, self._flat(part, depth, hops + 1))
        return flat

    def _target(self, pointer: Any) -> Any:
        """What a `$ref` within the schema points to (RFC 6901)."""
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            raise SchemaError(f"the reference {pointer!r} does not point into the schema")
        target = self._root
        for step in unquote(pointer[1:]).split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and step.isdigit() and int(step) < len(target):
                target = target[int(step)]
            elif isinstance(target, dict) and step in target:
                target = target[step]
            else:
                raise SchemaError(f"the reference '{pointer}' points to nothing")
        return target

    def _branch(self, branches: Any, word: str, depth: int) -> Any:
        if depth < _DEEP:
            return self._one_of(branches, word)
        self._one_of(branches, word)
        return min(branches, key=_weight)

    def _one_of(self, items: Any, word: str) -> Any:
        if not isinstance(items, list) or not items:
            raise SchemaError(f"'{word}' must be a list of at least one")
        return self._dice.choice(items)

    def _kind(self, schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = "null" if "null" in kind and depth >= _DEEP else self._one_of(kind, "type")
        if kind is None:
            kind = next((told for keyword, told in _TELLTALE.items() if keyword in schema), "string")
        return str(kind)

    # Values made of values

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise SchemaError("'properties' must be an object and 'required' a list")
        names = [name for name in properties if depth < _DEEP or name in required]
        names += [name for name in required if name not in properties]
        others = schema.get("additionalProperties", True)
        made = {str(name): self._value(properties.get(name, others), str(name), depth + 1) for name in names}
        if not made and isinstance(others, dict) and depth < _DEEP:
            made = {key: self._value(others, "", depth + 1) for key in ("first", "second")}
        return made

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        low, high = _bounds(schema, "minItems", "maxItems")
        prefix, items = schema.get("prefixItems", []), schema.get("items", True)
        if not isinstance(prefix, list):
            raise SchemaError("'prefixItems' must be a list")
        made = [self._value(each, name, depth + 1) for each in prefix[:high]]
        wish = low if depth >= _DEEP else max(low, self._dice.between(1, 3) if depth < 2 else 1)
        wish = 0 if items is False else min(wish, low + 3 if high is None else high)
        tries = 0
        while len(made) < wish and tries < 8 * wish:
            tries += 1
            value = self._value(items, name, depth + 1)
            if not (schema.get("uniqueItems") and _written(value) in map(_written, made)):
                made.append(value)
        if len(made) < low:
            raise SchemaError(f"no {low} items can be made for an array")
        return made


def _bounds(schema: Mapping[str, Any], least: str, most: str) -> tuple[int, int | None]:
    low, high = schema.get(least, 0), schema.get(most)
    if not isinstance(low, int) or not (high is None or isinstance(high, int)):
        raise SchemaError(f"'{least}' and '{most}' must be whole numbers")
    if low > _TOO_MANY or (high is not None and not 0 <= high >= low):
        raise SchemaError(f"'{least}' {low} and '{most}' {high} leave nothing that can be made")
    return low, high


def _weight(branch: Any) -> int:
    """How much more an alternative is likely to lead to: the lightest ends a recursion."""
    if not isinstance(branch, dict):
        return 1
    if "$ref" in branch or "allOf" in branch or "anyOf" in branch:
        return 3
    return {"object": 2, "array": 1}.get(str(branch.get("type")), 2 if "properties" in branch else 0)


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What holds when both schemas hold."""
    both = dict(one)
    for key, value in other.items():
        mine = both.get(key)
        if key not in both or mine == value:
            both[key] = value
        elif key == "properties" and isinstance(mine, dict) and isinstance(value, dict):
            shared = {name: {"allOf": [mine[name], value[name]]} for name in mine if name in value}
            both[key] = mine | value | shared
        elif key == "required" and isinstance(mine, list) and isinstance(value, list):
            both[key] = mine + [name for name in value if name not in mine]
        elif key == "enum" and isinstance(mine, list) and isinstance(value, list):
            both[key] = [item for item in mine if item in value]
        elif key == "type":
            both[key] = _common_types(mine, value)
        elif key in _LEAST or key in _MOST:
            both[key] = (max if key in _LEAST else min)(mine, value)
        elif key == "items":
            both[key] = {"allOf": [mine, value]}
        elif key in ("const", "pattern", "format", "multipleOf", "prefixItems"):
            raise SchemaError(f"two different '{key}' for one value are not supported")
    return both


def _common_types(one: Any, other: Any) -> list[Any]:
    ones, others = (each if isinstance(each, list) else [each] for each in (one, other))
    if "integer" in ones + others:  # an integer is a number too
        ones, others = (["integer" if kind == "number" else kind for kind in each] for each in (ones, others))
    common = [kind for kind in ones if kind in others]
    if not common:
        raise SchemaError("no value has two types at once")
    return common


def _written(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")
