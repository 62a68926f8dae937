"""How values can be written, as a word for people and as JSON Schema. The patterns are those the readers use."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from penstock.config import values
from penstock.config.limits import DEAREST

__all__ = [
    "ADDRESS",
    "AUTO_DURATION",
    "BASE_URL",
    "CALLER_SECRET",
    "COUNT",
    "CREDENTIAL_NAME",
    "DURATION",
    "EXPIRY",
    "HOST",
    "IDENTITY",
    "KIND",
    "LABEL",
    "LAYER",
    "NAME",
    "NETWORK",
    "ORIGIN",
    "PART",
    "PATTERN",
    "POOLED_SECRET",
    "POSITIVE_DURATION",
    "PRICE",
    "SECRET",
    "SIZE",
    "SOME_NUMBER",
    "STATE",
    "TARGET",
    "TENANT",
    "TEXT",
    "VERSION",
    "WEBHOOK_URL",
    "YES_NO",
    "Form",
    "choice",
    "each",
    "either",
    "named",
    "optional",
    "section",
    "switchable",
    "whole",
]


class Form(NamedTuple):
    """How a value is written.

    Attributes:
        name: what the reference calls it.
        schema: JSON Schema (draft 2020-12) of it.
        section: whose keys it has, where it is a mapping of such.
    """

    name: str
    schema: dict[str, Any]
    section: str = ""


def _matching(name: str, pattern: str | re.Pattern[str], **more: Any) -> Form:
    written = pattern if isinstance(pattern, str) else f"^(?:{pattern.pattern})$"
    return Form(name, {"type": "string", "pattern": written, **more})


# More than nothing: no numeral but 0 in it.
_SOME = {"not": {"pattern": "^[0.]+[A-Za-z]*$"}}

# The same of a number with anything behind it.
SOME_NUMBER: dict[str, Any] = {"not": {"pattern": "^[0.]+(?:[^0-9.]|$)"}}

_PORT = "(?:[0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

TEXT = _matching("text", r"\S")
LABEL = _matching("a name without spaces", values.LABEL)
CREDENTIAL_NAME = _matching("a name", values.CREDENTIAL_NAME)
DURATION = _matching("a duration", values.DURATION)
POSITIVE_DURATION = _matching("a duration", values.DURATION, **_SOME)
SIZE = _matching("a size", values.SIZE, **_SOME)
COUNT = Form(
    "a number",
    {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{values.COUNT.pattern}$", **_SOME}]},
)
ADDRESS = _matching("host:port", rf"^(?:\[[0-9A-Fa-f:.]+\]|[^:\s]+):{_PORT}$")
BASE_URL = _matching("a URL", r"^https?://[^/\s?#@]+(?:/[^\s?#]*)?$")
HOST = _matching("a host", values.HOST)
NETWORK = _matching("an address or a network", r"^[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?$")
ORIGIN = _matching("an origin", rf"^(?:\*|{values.ORIGIN.pattern})$")
_STORED = "store:[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
SECRET = _matching("a reference to a secret", rf"^(?:none|env:[A-Za-z_][A-Za-z0-9_]*\??|file:.+|{_STORED})$")
POOLED_SECRET = _matching("a reference to a secret", rf"^(?:env:[A-Za-z_][A-Za-z0-9_]*\??|file:.+|{_STORED})$")
CALLER_SECRET = _matching("a reference to a secret", r"^(?:env:[A-Za-z_][A-Za-z0-9_]*\??|file:.+)$")
VERSION = _matching("a version", values.VERSION)
STATE = _matching("a place", r"^(?:memory|sqlite:///[^?\x00]*[^?\x00/]|env:[A-Za-z_][A-Za-z0-9_]*\??|file:.+)$")
TENANT = _matching("a tenant's name", r"^(?!-$)[^\x00-\x20\x7f/]{1,200}$")
WEBHOOK_URL = _matching("a URL", r"^https?://[^/\s?#@]+(?:[/?][^\s#]*)?$")
EXPIRY = _matching("a time", r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ][0-9:.]+(?:[Zz]|[+-][0-9:]+))?$")
PRICE = Form(
    "a price",
    {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": DEAREST},
            {"type": "string", "pattern": r"^[0-9]+(?:\.[0-9]+)?$"},
        ]
    },
)
KIND = LABEL._replace(name="a kind")
TARGET = _matching("provider/model", r"^[^\s/]+/\S+$")
IDENTITY = _matching("kind/model", r"^[^\s/]+/\S+$")
PATTERN = LABEL._replace(name="a name or a pattern")
NAME = LABEL._replace(name="a name")
LAYER = _matching("module:name", values.LAYER)
PART = Form(
    "a part",
    {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            {"type": "string", "pattern": f"^{values.PERCENT.pattern}$", "not": {"pattern": "^[0.]+%$"}},
        ]
    },
)
YES_NO = Form("`true` or `false`", {"type": "boolean"})


def section(name: str, shown: str = "") -> Form:
    """A mapping that has the keys of a section; nothing written is an empty one."""
    return Form(shown or "a mapping", {"$ref": f"#/$defs/{name}"}, name)


def optional(form: Form) -> Form:
    """The same, or nothing written."""
    return form._replace(schema={"anyOf": [{"type": "null"}, form.schema]})


def switchable(form: Form) -> Form:
    """The same, or `off`."""
    return either(choice("off"), form)


def each(form: Form, *, least: int = 0, shown: str = "") -> Form:
    """A list; nothing written is an empty one."""
    schema: dict[str, Any] = {"type": "array" if least else ["array", "null"], "items": form.schema}
    if least:
        schema["minItems"] = least
    return Form(f"a list: {shown or form.name}", schema, form.section)


def named(form: Form, names: str, *, least: int = 0) -> Form:
    """A mapping whose keys the user chooses."""
    kind: Any = "object" if least else ["object", "null"]
    schema = {"type": kind, "additionalProperties": form.schema, "propertyNames": {"pattern": names}}
    if least:
        schema["minProperties"] = least
    return Form(f"for each name: {form.name}", schema, form.section)


def choice(*words: str) -> Form:
    """One of a few words."""
    return Form(" or ".join(f"`{word}`" for word in words), {"enum": list(words)})


def whole(least: int, most: int) -> Form:
    """A whole number within bounds."""
    return Form(f"a number from {least} to {most}", {"type": "integer", "minimum": least, "maximum": most})


def either(*forms: Form) -> Form:
    """One of several forms."""
    sections = [form.section for form in forms if form.section]
    shown = " or ".join(form.name for form in forms)
    return Form(shown, {"anyOf": [form.schema for form in forms]}, sections[0] if sections else "")


AUTO_DURATION = either(choice("auto"), POSITIVE_DURATION)
