"""Anthropic's counting of a request's tokens: https://platform.claude.com/docs/en/api/messages-count-tokens.

One question, one answer, never a stream. Where the provider cannot count, `estimate_body` answers in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from penstock.errors import ProtocolError
from penstock.events import Event
from penstock.messages import Response, Usage
from penstock.wire.anthropic_errors import classify, encode_error, encode_stream_error, no_answer
from penstock.wire.anthropic_messages import read_model
from penstock.wire.dialect import Decoded, Facts
from penstock.wire.openai_usage import count, estimate
from penstock.wire.splice import decode_object, encode_object, raw_text
from penstock.wire.tolerant_json import decode_tolerant

__all__ = ["AnthropicCountTokens", "estimate_body"]

# What is said to the model; of everything else only tools are read by it, as they are written.
_SAID = ("system", "messages")
_TOOLS = ("tools",)

# Names of fields that hold no words.
_SILENT = frozenset(("type", "role", "id", "tool_use_id", "media_type", "cache_control", "signature", "file_id"))

# Bytes of text that media count as. An image costs at most about 1,600 tokens, whatever its size
# (https://platform.claude.com/docs/en/build-with-claude/vision); a PDF 1,500 to 3,000 a page
# (https://platform.claude.com/docs/en/build-with-claude/pdf-support), taken to be 50 KB of it.
_IMAGE = 1600 * 4
_PAGE = 2000 * 4
_PAGE_SIZE = 50_000


class AnthropicCountTokens:
    """The dialect `anthropic_count_tokens`."""

    name = "anthropic_count_tokens"
    path = b"/messages/count_tokens"

    classify = staticmethod(classify)
    encode_error = staticmethod(encode_error)
    encode_stream_error = staticmethod(encode_stream_error)

    def decode_request(self, body: bytes) -> Decoded:
        """Read `model`; the rest is the provider's to judge. Raises InvalidRequest."""
        fields = decode_object(body)
        return Decoded(fields, read_model(fields), False, False)

    def encode_request(
        self, fields: dict[str, msgspec.Raw], model: str, *, stream: bool = False, ask_usage: bool = True
    ) -> bytes:
        """The body with `model` replaced in its place."""
        return encode_object({**fields, "model": raw_text(model)})

    def decode_facts(self, body: bytes, prompt_bytes: int = 0) -> Facts:
        """The count as usage. Raises UpstreamError where the 200 holds none."""
        return Facts(_usage(_decoded(body)), None, None)

    def decode_response(self, body: bytes) -> Response:
        """The count as an answer's usage, without an answer. Raises UpstreamError where there is none."""
        value = _decoded(body)
        return Response(usage=_usage(value), raw=value)

    @staticmethod
    def decode_events(data: bytes) -> list[Event]:
        """The usage, the one thing that an event can say of a count."""
        try:
            value = decode_tolerant(data)
        except ValueError:
            return []
        return [Event("usage", usage=_usage(value))] if _is_count(value) else []

    def open_stream(self, *, keep_usage: bool, prompt_bytes: int) -> NoReturn:
        """Raises ProtocolError: nobody streams a count."""
        raise ProtocolError("The provider answered a request for a count with a stream.", do="Check its base_url.")

    @staticmethod
    def estimate_body(fields: Mapping[str, msgspec.Raw]) -> bytes:
        """The answer where nobody counts: `estimate_body` of this module."""
        return estimate_body(fields)


def estimate_body(fields: Mapping[str, msgspec.Raw]) -> bytes:
    """An answer worked out from the request's text, marked as `estimated`; as rough as any estimate made here."""
    size = sum(len(bytes(fields[name])) for name in _TOOLS if name in fields)
    for name in _SAID:
        if name in fields:
            size += _size(fields[name])
    tokens = max(1, estimate(size, 0).input_tokens)
    return msgspec.json.encode({"input_tokens": tokens, "estimated": True})


def _size(written: msgspec.Raw) -> int:
    try:
        return _bytes_in(decode_tolerant(bytes(written)))
    except (ValueError, RecursionError):
        return len(bytes(written))


def _bytes_in(value: Any) -> int:
    """Bytes of text in decoded JSON, media as what they cost."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list):
        return sum(map(_bytes_in, value))
    if not isinstance(value, dict):
        return 0
    kind, source = value.get("type"), value.get("source")
    if kind == "image":
        return _IMAGE
    if kind == "document" and isinstance(source, dict) and source.get("type") in ("base64", "url", "file"):
        data = source.get("data")
        pages = -(-len(data) * 3 // 4 // _PAGE_SIZE) if isinstance(data, str) else 1
        return max(1, pages) * _PAGE + sum(_bytes_in(value.get(name)) for name in ("title", "context"))
    return sum(_bytes_in(field) for name, field in value.items() if name not in _SILENT)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        value = decode_tolerant(body)
    except ValueError:
        value = None
    if _is_count(value):
        counted: dict[str, Any] = value
        return counted
    raise no_answer(value, body, "a count of tokens")


def _is_count(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    number = value.get("input_tokens")
    return number.__class__ is int or number.__class__ is float


def _usage(value: dict[str, Any]) -> Usage:
    return Usage(input_tokens=count(value["input_tokens"]))
