"""Anthropic's stream events, messages and content blocks as typed values.

Typed as https://platform.claude.com/docs/en/build-with-claude/streaming has them, what clients cannot do without
being there; `read_event` falls back to a reading that forgives wrong types of what they can.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

from penstock.wire.plain_json import encode_plain
from penstock.wire.tolerant_json import decode_tolerant

__all__ = [
    "Block",
    "Delta",
    "InputPiece",
    "Message",
    "Piece",
    "StreamEvent",
    "TextPiece",
    "ThinkingPiece",
    "finish_of",
    "indexed",
    "message_of",
    "plain_pieces",
    "read_event",
    "read_message",
    "size_of",
]

_CR = 0x0D
_NOTHING = msgspec.Raw()


class Block(msgspec.Struct, gc=False):
    """A content block; of the many types only what text, thinking and tool calls need. `input` is b"" if missing."""

    type: str
    text: str | None = None
    citations: list[Any] | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = _NOTHING
    content: Any = None


class Message(msgspec.Struct, gc=False):
    """A whole answer, or the beginning of a streamed one."""

    content: list[Block] | None = None
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


class Delta(msgspec.Struct, gc=False):
    """What is new: a piece of a content block, or how the answer ended."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    citation: dict[str, Any] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None


class StreamEvent(msgspec.Struct, gc=False):
    """One event's data."""

    type: str
    index: int | None = None
    message: Message | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: dict[str, Any] | None = None


class TextPiece(msgspec.Struct, gc=False, tag_field="type", tag="text_delta", rename={"said": "text"}):
    """More text."""

    said: str


class ThinkingPiece(msgspec.Struct, gc=False, tag_field="type", tag="thinking_delta", rename={"said": "thinking"}):
    """More thinking."""

    said: str


class InputPiece(msgspec.Struct, gc=False, tag_field="type", tag="input_json_delta", rename={"said": "partial_json"}):
    """More of a tool's input, as JSON text."""

    said: str


class Piece(msgspec.Struct, gc=False):
    """More of a block, and nothing else."""

    type: Literal["content_block_delta"]
    index: int
    delta: TextPiece | ThinkingPiece | InputPiece


_read_pieces = msgspec.json.Decoder(Piece).decode_lines
_read_event = msgspec.json.Decoder(StreamEvent).decode
_read_message = msgspec.json.Decoder(Message).decode

_HEAD = b"event: content_block_delta\ndata: "
_BETWEEN = b"}\n\n" + _HEAD + b"{"

_OF_A_BLOCK = frozenset(("content_block_start", "content_block_delta", "content_block_stop"))

# Anthropic's stop reasons in the vocabulary's words
# (https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons); others stay as they are.
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def finish_of(stop_reason: str) -> str:
    """A stop reason in the vocabulary's words, its own where none fits."""
    return _FINISH.get(stop_reason, stop_reason)


def plain_pieces(data: bytes) -> list[Piece] | None:
    """The pieces in whole events that hold nothing else, each written as the vendor does; else None.

    What most of a stream consists of. Where each event's data begins with a brace and ends with one, and there are
    as many values as events, each is a value of its own: inside a value no brace may follow a closing one on the
    next line. So one decode serves them all.
    """
    if _CR in data:
        data = data.replace(b"\r\n", b"\n")
    if not data.startswith(_HEAD) or data[-3:] != b"}\n\n" or _CR in data:
        return None
    lines = data[len(_HEAD) :].replace(_BETWEEN, b"}\n{")
    try:
        if not data.isascii():
            str(data, "utf-8")  # msgspec skips over unknown fields without looking at their UTF-8
        pieces = _read_pieces(lines)
    except (ValueError, RecursionError):
        return None
    return pieces if len(pieces) == lines.count(b"\n") - 1 else None


def read_event(data: bytes) -> StreamEvent | None:
    """An event's data, None where it is not JSON, has no type, or lacks what every client relies on."""
    try:
        if not data.isascii():
            str(data, "utf-8")
        event: StreamEvent | None = _read_event(data)
    except (ValueError, RecursionError):
        try:
            event = _event_of(decode_tolerant(data))
        except (ValueError, RecursionError):
            return None
    return event if event is not None and _is_whole(event) else None


def indexed(data: bytes, last: int) -> bytes | None:
    """The data of a block's event that lacks the block's number, with it; None for any other.

    Args:
        last: the number of the block that was begun last, -1 before the first.
    """
    try:
        value = decode_tolerant(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("index") is not None or value.get("type") not in _OF_A_BLOCK:
        return None
    value["index"] = last + 1 if value["type"] == "content_block_start" else max(last, 0)
    return encode_plain(value)


def read_message(body: bytes) -> Message | None:
    """A whole answer's body as its types have it, None where it is not so."""
    try:
        if not body.isascii():
            str(body, "utf-8")
        return _read_message(body)
    except (ValueError, RecursionError):
        return None


def message_of(value: dict[str, Any]) -> Message:
    """A message from decoded JSON, fields of a wrong type left out."""
    content = value.get("content")
    return Message(
        content=[_block_of(block) for block in content if isinstance(block, dict)]
        if isinstance(content, list)
        else None,
        id=_str(value, "id"),
        model=_str(value, "model"),
        stop_reason=_str(value, "stop_reason"),
        stop_sequence=_str(value, "stop_sequence"),
        stop_details=_dict(value, "stop_details"),
        usage=_dict(value, "usage"),
    )


def size_of(*texts: str | None) -> int:
    """Bytes of output as UTF-8."""
    return sum(len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")) for text in texts if text)


def _is_whole(event: StreamEvent) -> bool:
    kind = event.type
    if kind == "content_block_delta":
        return event.index is not None and event.delta is not None and _is_said(event.delta)
    if kind == "content_block_start":
        return event.index is not None and event.content_block is not None
    if kind == "content_block_stop":
        return event.index is not None
    if kind == "message_start":
        return event.message is not None
    return kind != "message_delta" or event.delta is not None


def _is_said(delta: Delta) -> bool:
    """Clients join these to what they have."""
    kind = delta.type
    if kind == "text_delta":
        return delta.text is not None
    if kind == "thinking_delta":
        return delta.thinking is not None
    return kind != "input_json_delta" or delta.partial_json is not None


def _event_of(value: Any) -> StreamEvent | None:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return None
    index, message, block, delta = (value.get(name) for name in ("index", "message", "content_block", "delta"))
    return StreamEvent(
        value["type"],
        index=index if index.__class__ is int else None,
        message=message_of(message) if isinstance(message, dict) else None,
        content_block=_block_of(block) if isinstance(block, dict) else None,
        delta=_delta_of(delta) if isinstance(delta, dict) else None,
        usage=_dict(value, "usage"),
    )


def _block_of(value: dict[str, Any]) -> Block:
    citations = value.get("citations")
    return Block(
        _str(value, "type") or "",
        text=_str(value, "text"),
        citations=citations if isinstance(citations, list) else None,
        thinking=_str(value, "thinking"),
        signature=_str(value, "signature"),
        data=_str(value, "data"),
        id=_str(value, "id"),
        name=_str(value, "name"),
        input=msgspec.Raw(json.dumps(value["input"], separators=(",", ":")).encode()) if "input" in value else _NOTHING,
        content=value.get("content"),
    )


def _delta_of(value: dict[str, Any]) -> Delta:
    return Delta(
        type=_str(value, "type"),
        text=_str(value, "text"),
        thinking=_str(value, "thinking"),
        partial_json=_str(value, "partial_json"),
        signature=_str(value, "signature"),
        citation=_dict(value, "citation"),
        stop_reason=_str(value, "stop_reason"),
        stop_sequence=_str(value, "stop_sequence"),
        stop_details=_dict(value, "stop_details"),
    )


def _str(value: dict[str, Any], name: str) -> str | None:
    field = value.get(name)
    return field if isinstance(field, str) else None


def _dict(value: dict[str, Any], name: str) -> dict[str, Any] | None:
    field = value.get(name)
    return field if isinstance(field, dict) else None
