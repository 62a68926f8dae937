"""Anthropic's messages: https://platform.claude.com/docs/en/api/messages.

Requests are read at their top level only; answers pass as bytes and are watched.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.messages import Response
from penstock.records import kept
from penstock.wire.anthropic_answer import encode_answer, left_out, open_writer
from penstock.wire.anthropic_checks import flag, invalid, text
from penstock.wire.anthropic_errors import classify, encode_error, encode_stream_error, no_answer
from penstock.wire.anthropic_events import decode_events, decode_message
from penstock.wire.anthropic_parts import Message, finish_of, message_of, read_message, size_of
from penstock.wire.anthropic_prompt import decode_prompt
from penstock.wire.anthropic_request import encode_prompt
from penstock.wire.anthropic_rest import begin_answer, may_join, open_rest
from penstock.wire.anthropic_stream import MessageStream
from penstock.wire.anthropic_usage import read_usage
from penstock.wire.dialect import Decoded, Facts
from penstock.wire.openai_usage import told
from penstock.wire.splice import decode_object, encode_object, raw_text
from penstock.wire.tolerant_json import decode_tolerant

__all__ = ["AnthropicMessages", "read_model"]


class AnthropicMessages:
    """The dialect `anthropic_messages`."""

    name = "anthropic_messages"
    path = b"/messages"
    # "Event streams may also include any number of ping events":
    # https://platform.claude.com/docs/en/build-with-claude/streaming
    waiting = b'event: ping\ndata: {"type": "ping"}\n\n'

    classify = staticmethod(classify)
    encode_error = staticmethod(encode_error)
    encode_stream_error = staticmethod(encode_stream_error)
    decode_events = staticmethod(decode_events)
    decode_prompt = staticmethod(decode_prompt)
    encode_prompt = staticmethod(encode_prompt)
    encode_answer = staticmethod(encode_answer)
    left_out = staticmethod(left_out)
    open_writer = staticmethod(open_writer)
    may_join = staticmethod(may_join)
    begin_answer = staticmethod(begin_answer)
    open_rest = staticmethod(open_rest)

    def mark_begun(self, body: bytes, field: str) -> bytes:
        """The body as it is: a turn that stands last is gone on with."""
        return body

    def decode_request(self, body: bytes) -> Decoded:
        """Read the fields that decide; what only the provider can judge is left to it. Raises InvalidRequest."""
        fields = decode_object(body)
        model = read_model(fields)
        stream = "stream" in fields and flag(_plain(fields["stream"]), "stream")
        return Decoded(fields, model, stream, stream)  # the count is in every stream

    def encode_request(
        self, fields: dict[str, msgspec.Raw], model: str, *, stream: bool, ask_usage: bool = True
    ) -> bytes:
        """The body with `model` replaced in its place."""
        return encode_object({**fields, "model": raw_text(model)})

    def decode_facts(self, body: bytes, prompt_bytes: int = 0) -> Facts:
        """Usage, model and finish reason. Raises UpstreamError where the 200 is no answer."""
        message = read_message(body)
        if message is None or message.content is None:
            message = message_of(_decoded(body))
        usage = told(read_usage(message.usage), prompt_bytes, _said(message))
        finish = finish_of(message.stop_reason) if message.stop_reason else None
        return Facts(usage, kept(message.model), kept(finish))

    def decode_response(self, body: bytes) -> Response:
        """The whole answer. Raises UpstreamError where the 200 is no answer."""
        return decode_message(body, _decoded(body))

    def open_stream(self, *, keep_usage: bool, prompt_bytes: int) -> MessageStream:
        """A reader for one stream. The count passes in any case: it is part of events that say more."""
        return MessageStream(prompt_bytes=prompt_bytes)


def read_model(fields: dict[str, msgspec.Raw]) -> str:
    """The name asked for; "" where none is, which asks for the default. Raises InvalidRequest for anything else."""
    if "model" not in fields:
        return ""
    model = text(_plain(fields["model"]), "model")
    if not model:
        raise invalid("model", "String should have at least 1 character")
    return model


def _plain(value: msgspec.Raw) -> Any:
    """A value of which only a short one is right; any list or object serves as a wrong one."""
    return msgspec.json.decode(value) if bytes(value)[:1] not in (b"{", b"[") else ()


def _decoded(body: bytes) -> dict[str, Any]:
    """The body as JSON with content. Raises UpstreamError."""
    try:
        value = decode_tolerant(body)
    except ValueError:
        value = None
    if isinstance(value, dict):
        content = value.get("content")
        if isinstance(content, list) and all(isinstance(block, dict) for block in content):
            return value
    raise no_answer(value, body, "a message")


def _said(message: Message) -> int:
    """Bytes of output, for the estimate where there is no count."""
    return sum(
        size_of(block.text, block.thinking, block.name) + len(bytes(block.input)) for block in message.content or ()
    )
