"""The rest of an Anthropic answer: how it is asked for, and how it is told.

https://platform.claude.com/docs/en/build-with-claude/prompt-engineering/prefill-claudes-response
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.wire.anthropic_answer import AnthropicWriter
from penstock.wire.anthropic_parts import read_event
from penstock.wire.dialect import Begun
from penstock.wire.openai_rest import lowered
from penstock.wire.splice import raw
from penstock.wire.sse import parse, split

__all__ = ["begin_answer", "may_join", "open_rest"]

Fields = dict[str, msgspec.Raw]

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_NOTHING = (b"", b"null")


class _Turn(msgspec.Struct):
    role: str = ""
    content: str | list[dict[str, Any]] = ""


class _Format(msgspec.Struct):
    format: Any = None


class _Thinking(msgspec.Struct):
    type: str = ""


def may_join(fields: Fields) -> bool:
    """See `InboundChat`."""
    config = bytes(fields.get("output_config", b"null"))
    try:
        bound = config != b"null" and msgspec.json.decode(config, type=_Format).format is not None
    except msgspec.MsgspecError:
        return False
    return not bound and bytes(fields.get("output_format", b"")) in _NOTHING


def begin_answer(fields: Fields, said: str, tokens: int) -> Fields | None:
    """See `InboundChat`. Not where it thinks: that and a begun answer exclude each other."""
    try:
        thinking = msgspec.json.decode(fields.get("thinking", b"{}"), type=_Thinking | None)
        turns = _LIST.decode(fields.get("messages", b""))
        last = msgspec.json.decode(turns[-1], type=_Turn) if turns else _Turn()
    except msgspec.MsgspecError:
        return None
    if thinking is not None and thinking.type not in ("", "disabled"):
        return None
    content: str | list[dict[str, Any]] = said
    if last.role == "assistant":
        begun = _continued(last.content, said)
        if begun is None:
            return None
        turns, content = turns[:-1], begun
    left = lowered(fields, tokens, "max_tokens")
    return {**fields, **left, "messages": raw([*turns, raw({"role": "assistant", "content": content})])}


def _continued(content: str | list[dict[str, Any]], said: str) -> str | list[dict[str, Any]] | None:
    """What the caller itself had begun, and what was said behind that."""
    if isinstance(content, str):
        return content + said
    last = content[-1] if content else {}
    if last.get("type") != "text" or not isinstance(last.get("text"), str):
        return None
    return [*content[:-1], {**last, "text": last["text"] + said}]


def open_rest(begun: Begun, *, keep_usage: bool) -> AnthropicWriter:
    """See `ChatDialect`. Usage is always told."""
    writer = AnthropicWriter(begun.id)
    writer.go_on_at(begun.block, closed=_is_closed(begun.last))
    return writer


def _is_closed(events: bytes) -> bool:
    """Whether the block that the text is in has ended."""
    for block in reversed(split(events)):
        event = read_event(parse(block).data or b"")
        if event is not None and event.type != "ping":
            return event.type == "content_block_stop"
    return False
