"""OpenAI's chat completions: the dialect that most providers speak, with the ways they bend it.

Requests are read at their top level only; answers pass as bytes and are watched. What compatible providers do
differently is read where it is met (`openai_usage`, `openai_errors`, `openai_chunk`), with the vendor's name beside.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from penstock.messages import Response
from penstock.records import LONGEST_NAME, kept
from penstock.wire.dialect import Decoded, Facts
from penstock.wire.openai_answer import encode_answer, left_out, open_writer
from penstock.wire.openai_chunk import delta_of, size_of
from penstock.wire.openai_errors import classify, encode_error, encode_stream_error, no_answer
from penstock.wire.openai_events import decode_events, decode_message
from penstock.wire.openai_fields import ASKED, WITH_USAGE, asks_usage, read_flag, read_model
from penstock.wire.openai_prompt import decode_prompt
from penstock.wire.openai_request import encode_prompt
from penstock.wire.openai_rest import begin_answer, mark_begun, may_join, open_rest
from penstock.wire.openai_stream import ChatStream
from penstock.wire.openai_usage import STANDARD, PlainUsage, read_usage, served_by, told
from penstock.wire.splice import decode_object, encode_object, raw_text, replaced
from penstock.wire.tolerant_json import decode_tolerant

__all__ = ["OpenAIChat"]

_TRUE = msgspec.Raw(b"true")


# As a record keeps it; an answer with a longer one is read by `_facts`.
_Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]


class _Ending(msgspec.Struct, gc=False):
    finish_reason: _Name | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Ending] | None = None
    usage: PlainUsage | None = None
    model: _Name | None = None
    service_tier: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class OpenAIChat:
    """The dialect `openai_chat`."""

    name = "openai_chat"
    path = b"/chat/completions"
    waiting = b": waiting\n\n"

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
    mark_begun = staticmethod(mark_begun)

    def decode_request(self, body: bytes) -> Decoded:
        """Read the fields that decide; what only the provider can judge is left to it. Raises InvalidRequest."""
        fields = decode_object(body)
        stream = "stream" in fields and read_flag(fields, "stream")
        return Decoded(fields, read_model(fields), stream, "stream_options" in fields and asks_usage(fields) and stream)

    def encode_request(
        self, fields: dict[str, msgspec.Raw], model: str, *, stream: bool, ask_usage: bool = True
    ) -> bytes:
        """The body with `model` replaced in its place; a stream also asks for usage, its other options kept."""
        changed = fields.copy()
        changed["model"] = raw_text(model)
        if stream and ask_usage:
            asked = fields.get("stream_options")
            plain = asked is None or bytes(asked) in ASKED
            changed["stream_options"] = WITH_USAGE if plain else replaced(asked, {"include_usage": _TRUE})
        return encode_object(changed)

    def decode_facts(self, body: bytes, prompt_bytes: int = 0) -> Facts:
        """Usage, model and finish reason. Raises UpstreamError where the 200 is no answer."""
        try:
            if not body.isascii():
                str(body, "utf-8")
            answer = _ANSWER.decode(body)
        except (ValueError, RecursionError):
            return _facts(_decoded(body), prompt_bytes)
        choices, counted, tier = answer.choices, answer.usage, answer.service_tier
        if not choices or counted is None or (usage := counted.counts()) is None:
            return _facts(_decoded(body), prompt_bytes)
        if tier is not None and tier not in STANDARD:
            usage = served_by(tier, usage)
        return Facts(usage, answer.model or None, choices[0].finish_reason or None)

    def decode_response(self, body: bytes) -> Response:
        """The whole answer, choice 0. Raises UpstreamError where the 200 is no answer."""
        return decode_message(_decoded(body))

    def open_stream(self, *, keep_usage: bool, prompt_bytes: int) -> ChatStream:
        """A reader for one stream."""
        return ChatStream(keep_usage=keep_usage, prompt_bytes=prompt_bytes)


def _decoded(body: bytes) -> dict[str, Any]:
    """The body as JSON with choices; an error beside them is a remark and passes. Raises UpstreamError."""
    try:
        value = decode_tolerant(body)
    except ValueError:
        value = None
    if isinstance(value, dict):
        choices = value.get("choices")
        listed = isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices)
        if listed and (choices or not value.get("error")):
            return value
    raise no_answer(value, body, "a chat completion")


def _facts(value: dict[str, Any], prompt_bytes: int) -> Facts:
    """The facts where the types are not the dialect's, or the count is missing or in another place."""
    said_bytes, finish, counts = 0, None, [value.get("usage")]
    for choice in value["choices"]:
        message = choice.get("message")
        said_bytes += size_of(delta_of(message if isinstance(message, dict) else {"content": choice.get("text")}))
        reason = choice.get("finish_reason")
        finish = finish or (reason if isinstance(reason, str) else None)
        counts.append(choice.get("usage"))
    groq = value.get("x_groq")
    counts.append(groq.get("usage") if isinstance(groq, dict) else None)
    usage = next((usage for usage in map(read_usage, counts) if usage is not None), None)
    usage = served_by(value.get("service_tier"), told(usage, prompt_bytes, said_bytes))
    return Facts(usage, kept(value.get("model")), kept(finish))
