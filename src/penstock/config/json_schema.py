"""`penstock.yaml` as JSON Schema, for editors: made from the table of keys, so that it knows what the loader knows.

What it cannot know is what a value refers to: variables, files, names declared elsewhere.
"""

from __future__ import annotations

import json
import re
from typing import Any

from penstock.config.entry import Entry
from penstock.config.keys import KEYS, REQUIRED
from penstock.config.rule_keys import BY_SCOPE
from penstock.providers.catalogue import load_catalogue

__all__ = ["json_schema"]

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def json_schema() -> dict[str, Any]:
    """The schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "penstock.yaml",
        **_section("config"),
        "type": "object",
        "$defs": {name: _section(name) for name in KEYS if name != "config"},
    }


def _section(name: str) -> dict[str, Any]:
    properties = {key: _property(entry) for key, entry in KEYS[name].items()}
    if name == "provider":
        # Offered, not demanded: a kind may be a row of the user's own.
        properties["kind"]["examples"] = [row.name for row in load_catalogue().values() if not row.retired]
    found: dict[str, Any] = {
        "type": "object" if name in REQUIRED else ["object", "null"],
        "properties": properties,
        "additionalProperties": False,
    }
    if name in REQUIRED:
        found["required"] = list(REQUIRED[name])
    if name == "provider":
        found["not"] = {"type": "object", "required": ["api_key", "credentials"]}
    if name in ("budget", "key_budget"):
        found |= BY_SCOPE
    return found


def _property(entry: Entry) -> dict[str, Any]:
    found = {"description": entry.text.replace("`", ""), **entry.form.schema}
    if entry.default:
        number = _NUMBER.fullmatch(entry.default) or entry.default in ("true", "false")
        found["default"] = json.loads(entry.default) if number else entry.default
    return found
