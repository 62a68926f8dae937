"""JSON schemas as Anthropic takes them: any for a tool's input, a part of the language where an answer is bound to it.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["bound", "fits", "input_schema"]

_EMPTY = {"type": "object", "properties": {}}
# What the grammar behind structured outputs cannot express, as Anthropic's own SDKs leave it out too.
_BEYOND = frozenset(
    (
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "maxItems", "uniqueItems", "contains", "prefixItems"),
        *("minProperties", "maxProperties", "patternProperties", "propertyNames", "unevaluatedProperties"),
        *("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "$schema", "$id", "examples"),
    )
)
_SAYS_NOTHING = frozenset(("$schema", "$id", "examples"))
_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"))
_LOOKAROUND = re.compile(r"\(\?[=!<]|\\[1-9bB]")
# Where a schema holds others by a name of the user's choosing: those names are no keywords.
_NAMED = ("properties", "$defs", "definitions")


def input_schema(schema: Any) -> dict[str, Any]:
    """A tool's schema: always an object's. OpenAI lets it be left out, or its type."""
    if not isinstance(schema, Mapping) or not schema:
        return dict(_EMPTY)
    return dict(schema) if "type" in schema else {"type": "object", **schema}


def fits(schema: Any) -> bool:
    """Whether strict mode takes it as it is."""
    written, lost = bound(schema)
    return not lost and bool(written == schema)


def bound(schema: Any) -> tuple[Any, bool]:
    """The schema as an answer can be bound to it, and whether something of it had to be left to the model's good will.

    Objects are closed, which narrows the schema and so keeps it; `oneOf` becomes `anyOf`; a keyword that Anthropic
    doesn't take is told in the description, where the model reads it. One that is nested too deeply stays as it is.
    """
    writer = _Writer()
    try:
        written = writer.schema(schema)
    except RecursionError:
        return schema, True
    return written, writer.lost


class _Writer:
    def __init__(self) -> None:
        self.lost = False

    def schema(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        written: dict[str, Any] = {}
        beyond: dict[str, Any] = {}
        for name, inner in value.items():
            if name in _BEYOND or not _is_taken(name, inner):
                beyond[name] = inner
            elif name in _NAMED and isinstance(inner, Mapping):
                written[name] = {key: self.schema(one) for key, one in inner.items()}
            elif name in ("anyOf", "oneOf", "allOf") and isinstance(inner, list | tuple):
                written["allOf" if name == "allOf" else "anyOf"] = [self.schema(one) for one in inner]
            else:
                written[name] = self.schema(inner) if name in ("items", "additionalProperties") else inner
        if _is_object(value):
            self.lost |= isinstance(value.get("additionalProperties"), Mapping)
            written["additionalProperties"] = False
        told = {name: inner for name, inner in beyond.items() if name not in _SAYS_NOTHING}
        if told:
            self.lost = True
            about = value.get("description")
            rules = msgspec.json.encode(told).decode()
            written["description"] = f"{about}\n\n{rules}" if isinstance(about, str) and about else rules
        return written


def _is_object(value: Mapping[str, Any]) -> bool:
    kind = value.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in value


def _is_taken(name: str, inner: Any) -> bool:
    if name == "format":
        return inner in _FORMATS if isinstance(inner, str) else False
    if name == "minItems":
        return inner in (0, 1)
    if name == "pattern":
        return isinstance(inner, str) and _LOOKAROUND.search(inner) is None
    return True
