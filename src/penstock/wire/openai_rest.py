"""The rest of an OpenAI chat answer: how it is asked for, and how it is told.

https://platform.openai.com/docs/api-reference/chat-streaming: every chunk of one answer has its id and its time.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.events import Event
from penstock.wire.dialect import Begun
from penstock.wire.openai_answer import OpenAIWriter
from penstock.wire.splice import decode_object, encode_object, raw
from penstock.wire.sse import parse, split

__all__ = ["begin_answer", "lowered", "mark_begun", "may_join", "open_rest"]

Fields = dict[str, msgspec.Raw]

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_MESSAGE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRUE = msgspec.Raw(b"true")
_NOTHING = (b"", b"null")


class _Message(msgspec.Struct):
    role: str = ""
    content: str | None = None
    tool_calls: list[Any] | None = None


class _Stamp(msgspec.Struct):
    created: int = 0


def may_join(fields: Fields) -> bool:
    """See `InboundChat`."""
    if bytes(fields.get("n", b"1")) not in (b"1", b"null") or bytes(fields.get("logprobs", b"")) == b"true":
        return False
    if b"audio" in bytes(fields.get("modalities", b"")):
        return False
    form = bytes(fields.get("response_format", b""))
    return form in _NOTHING or msgspec.json.decode(form) == {"type": "text"}


def begin_answer(fields: Fields, said: str, tokens: int) -> Fields | None:
    """See `InboundChat`."""
    try:
        messages = _LIST.decode(fields.get("messages", b""))
        last = msgspec.json.decode(messages[-1], type=_Message) if messages else _Message()
    except msgspec.MsgspecError:
        return None
    if last.role == "assistant":
        if last.tool_calls:
            return None
        messages, said = messages[:-1], (last.content or "") + said
    turn = raw({"role": "assistant", "content": said})
    left = lowered(fields, tokens, "max_tokens", "max_completion_tokens")
    return {**fields, **left, "messages": raw([*messages, turn])}


def lowered(fields: Fields, tokens: int, *names: str) -> Fields:
    """Limits of the output, less what it has been: at least one token."""
    found = {}
    for name in names:
        limit = bytes(fields.get(name, b""))
        if limit.isdigit():
            found[name] = raw(max(1, int(limit[:20]) - tokens))
    return found


def mark_begun(body: bytes, field: str) -> bytes:
    """See `ChatDialect`."""
    fields = decode_object(body)
    messages = _LIST.decode(fields["messages"])
    messages[-1] = msgspec.Raw(encode_object({**_MESSAGE.decode(messages[-1]), field: _TRUE}))
    return encode_object({**fields, "messages": raw(messages)})


def open_rest(begun: Begun, *, keep_usage: bool) -> OpenAIWriter:
    """See `ChatDialect`."""
    writer = OpenAIWriter(begun.id, _created(begun.first), keep_usage=keep_usage)
    writer.write([Event("start", begun.id, model=begun.model)])  # which was said
    return writer


def _created(events: bytes) -> int:
    for block in split(events):
        try:
            return msgspec.json.decode(parse(block).data or b"", type=_Stamp).created
        except msgspec.MsgspecError:
            continue  # a comment, or what another vendor begins with
    return 0
