"""Whether a JSON schema is one that OpenAI's strict mode takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["fits_strict"]


def fits_strict(schema: Any) -> bool:
    """Whether every object in it is closed, and all its properties are required.

    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    try:
        return _fits(schema)
    except RecursionError:
        return False


def _fits(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if schema.get("type") == "object" or isinstance(properties, Mapping):
            required = schema.get("required")
            named = set(map(str, required)) if isinstance(required, list | tuple) else set()
            known = set(properties) if isinstance(properties, Mapping) else set()
            if schema.get("additionalProperties") is not False or named != known:
                return False
        return all(_fits(value) for value in schema.values())
    if isinstance(schema, list | tuple):
        return all(_fits(value) for value in schema)
    return True
