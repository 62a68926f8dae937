"""The few top-level fields of an OpenAI request that are read, and the complaints about them in OpenAI's words."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from penstock.errors import InvalidRequest
from penstock.wire.splice import kind

__all__ = ["ASKED", "WITH_USAGE", "asks_for_functions", "asks_usage", "read_flag", "read_model"]

_TEXT = msgspec.json.Decoder(str)
_OPTIONS = msgspec.json.Decoder(dict[str, msgspec.Raw])

# How `stream_options` ask for usage and nothing else; the first as it is sent on. Read by comparing, as nearly all are.
WITH_USAGE = msgspec.Raw(b'{"include_usage":true}')
ASKED = (bytes(WITH_USAGE), b'{"include_usage": true}')


def read_model(fields: Mapping[str, msgspec.Raw]) -> str:
    """The name asked for; "" where none is, which asks for the default. Raises InvalidRequest for anything else."""
    value = fields.get("model")
    if value is None:
        return ""
    try:
        model = _TEXT.decode(value)
    except msgspec.ValidationError:
        raise _wrong_type("model", "a string", value) from None
    if not model:
        raise InvalidRequest(
            "Invalid 'model': empty string.", do="Name the model; GET /v1/models lists them.", param="model"
        )
    return model


def read_flag(fields: Mapping[str, msgspec.Raw], name: str, param: str = "") -> bool:
    """A boolean; absent and null count as false. Raises InvalidRequest for anything else."""
    value = fields.get(name)
    text = b"null" if value is None else bytes(value)
    if text == b"true":
        return True
    if text in (b"false", b"null"):
        return False
    raise _wrong_type(param or name, "a boolean", text)


def asks_usage(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether `stream_options` asks for usage. Raises InvalidRequest where it is no object, or says neither."""
    value = fields.get("stream_options")
    if value is None:
        return False
    text = bytes(value)
    if text in ASKED:
        return True
    if text == b"null":
        return False
    try:
        options = _OPTIONS.decode(value)
    except msgspec.ValidationError:
        raise _wrong_type("stream_options", "an object", value) from None
    return read_flag(options, "include_usage", "stream_options.include_usage")


def asks_for_functions(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether tools are offered as `functions` alone, as clients did before there were `tools`."""
    return _given(fields, "functions") and not _given(fields, "tools")


def _given(fields: Mapping[str, msgspec.Raw], name: str) -> bool:
    value = fields.get(name)
    return value is not None and bytes(value) != b"null"


def _wrong_type(param: str, expected: str, value: bytes | msgspec.Raw) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid type for '{param}': expected {expected}, but got {kind(value)} instead.",
        do="Mend the request.",
        param=param,
    )
