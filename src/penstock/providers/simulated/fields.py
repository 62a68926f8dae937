"""Fields of a request's JSON body, one at a time, with OpenAI's own words for what is wrong with one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.providers.simulated.failures import ApiError

__all__ = ["check_range", "invalid", "missing", "not_json", "read_object", "typed", "whole", "wrong_type"]

_NAMES = {bool: "a boolean", int: "an integer", str: "a string", list: "an array", dict: "an object"}


def read_object(body: bytes) -> dict[str, Any] | None:
    """The body's top level; None if it is not a JSON object."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return fields if isinstance(fields, dict) else None


def not_json() -> ApiError:
    """A body that is not a JSON object."""
    return ApiError(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
        "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
    )


def typed(fields: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """The field's value if it is of that kind, `default` if it is absent or null; raises ApiError otherwise."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise wrong_type(name, _NAMES[kind], value)
    return value


def whole(fields: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`, None if absent; raises ApiError otherwise."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    if not low <= value <= high:
        raise _outside(name, "integer", low, high, value)
    return value


def check_range(fields: Mapping[str, Any], name: str, low: int, high: int) -> None:
    """Raise ApiError unless the field is absent or a number from `low` to `high`."""
    value = fields.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, "a decimal", value)
    if not low <= value <= high:
        raise _outside(name, "decimal", low, high, value)


def missing(param: str) -> ApiError:
    """A required parameter that is not there."""
    return ApiError(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def invalid(param: str, rest: str, code: str) -> ApiError:
    """A value that is not among those possible."""
    return ApiError(400, f"Invalid value: {rest}.", param=param, code=code)


def wrong_type(param: str, expected: str, got: Any) -> ApiError:
    """A value of another type than `expected`."""
    name = "null" if got is None else _NAMES.get(type(got), "a decimal")
    message = f"Invalid type for '{param}': expected {expected}, but got {name} instead."
    return ApiError(400, message, param=param, code="invalid_type")


def _outside(name: str, noun: str, low: int, high: int, value: float) -> ApiError:
    side, sign, edge, end = (
        ("below minimum", ">=", low, "below_min") if value < low else ("above maximum", "<=", high, "above_max")
    )
    message = f"Invalid '{name}': {noun} {side} value. Expected a value {sign} {edge}, but got {value} instead."
    return ApiError(400, message, param=name, code=f"{noun}_{end}_value")
