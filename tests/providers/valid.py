"""A small JSON schema validator, written apart from the maker of examples so that the two can disagree."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
}  # fmt: skip

_FORMATS: dict[str, Callable[[str], object]] = {
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "date-time": datetime.fromisoformat,
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "email": re.compile(r"[^@\s]+@[^@\s]+\.[a-z]+\Z").match,
    "uri": re.compile(r"https?://[^\s/]+/").match,
    "hostname": re.compile(r"[a-z0-9.-]+\Z").match,
    "duration": re.compile(r"P(T\d+[HMS])\Z").match,
}


def problems(value: Any, schema: Any, root: Any = None, where: str = "$") -> Iterator[str]:
    """What is wrong with the value; nothing if it is valid."""
    root = schema if root is None else root
    if schema is True:
        return
    if "$ref" in schema:
        target = root
        for step in schema["$ref"].split("/")[1:]:
            target = target[step]
        yield from problems(value, target, root, where)
    for part in schema.get("allOf", ()):
        yield from problems(value, part, root, where)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            fits = [part for part in schema[word] if not list(problems(value, part, root, where))]
            if not fits or (word == "oneOf" and len(fits) > 1):
                yield f"{where}: {len(fits)} of {word} fit {value!r}"
    if "const" in schema and value != schema["const"]:
        yield f"{where}: not the constant"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not in the enum"
    kinds = schema.get("type", [])
    if kinds and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        yield f"{where}: {value!r} is no {kinds}"
    for check in (_in_object, _in_array, _in_string, _in_number):
        yield from check(value, schema, root, where)


def _is(value: Any, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, _TYPES[kind])


def _in_object(value: Any, schema: Any, root: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}: no {name}"
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        known = schema.get("properties", {})
        if name not in known and others is False:
            yield f"{where}: {name} is not allowed"
        else:
            yield from problems(item, known.get(name, others), root, f"{where}.{name}")


def _in_array(value: Any, schema: Any, root: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        return
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9):
        yield f"{where}: {len(value)} items"
    if schema.get("uniqueItems") and len({repr(item) for item in value}) < len(value):
        yield f"{where}: the same item twice"
    prefix = schema.get("prefixItems", [])
    for index, item in enumerate(value):
        rule = prefix[index] if index < len(prefix) else schema.get("items", True)
        if rule is False:
            yield f"{where}: item {index} is not allowed"
        else:
            yield from problems(item, rule, root, f"{where}[{index}]")


def _in_string(value: Any, schema: Any, root: Any, where: str) -> Iterator[str]:
    if not isinstance(value, str):
        return
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9):
        yield f"{where}: {len(value)} characters"
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        yield f"{where}: {value!r} does not match {schema['pattern']}"
    check = _FORMATS.get(schema.get("format", ""))
    if check is not None:
        try:
            fine = check(value)
        except ValueError:
            fine = None
        if fine is None:
            yield f"{where}: {value!r} is no {schema['format']}"


def _in_number(value: Any, schema: Any, root: Any, where: str) -> Iterator[str]:
    if not _is(value, "number"):
        return
    if value < schema.get("minimum", value) or value > schema.get("maximum", value):
        yield f"{where}: {value} is out of bounds"
    if value <= schema.get("exclusiveMinimum", value - 1) or value >= schema.get("exclusiveMaximum", value + 1):
        yield f"{where}: {value} is on or out of exclusive bounds"
    step = schema.get("multipleOf")
    if step is not None and abs(value / step - round(value / step)) > 1e-6:
        yield f"{where}: {value} is no multiple of {step}"
