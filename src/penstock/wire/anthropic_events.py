"""Anthropic's answers as the vocabulary's events: a stream's, or the one body of a whole answer.

Blocks are told apart by their index. What only Anthropic has (tools it runs itself and their results, compactions)
comes as `other`, the block as it stood; the input of such a tool streams like that of any tool, so pieces of
arguments count only where a `tool_call` with that index and a name has opened the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.events import Event, ToolCallDelta, collect
from penstock.messages import Response
from penstock.wire.anthropic_errors import classify_body
from penstock.wire.anthropic_parts import (
    Block,
    Delta,
    Message,
    Piece,
    StreamEvent,
    TextPiece,
    ThinkingPiece,
    finish_of,
    message_of,
    plain_pieces,
    read_event,
    read_message,
)
from penstock.wire.anthropic_usage import read_usage
from penstock.wire.signals import relayed
from penstock.wire.sse import Framer, parse
from penstock.wire.tolerant_json import BEFORE, decode_tolerant, repaired

__all__ = ["decode_events", "decode_message"]


def decode_events(data: bytes) -> list[Event]:
    """The events in whole SSE events, or in the body of a whole answer; what is neither gives none."""
    if data.lstrip(BEFORE)[:1] == b"{":
        return _body_events(data)
    pieces = plain_pieces(data)
    if pieces is not None:
        return [_piece_event(piece) for piece in pieces if piece.delta.said]
    framer = Framer()
    events: list[Event] = []
    for block in (*framer.feed(data), framer.take_tail()):
        fields = parse(block)
        payload = fields.data
        if fields.error is not None:
            events.append(_error_event(fields.error))
        if payload is None:
            continue
        event = read_event(payload)
        if fields.event == b"error" or (event is not None and event.type == "error"):
            events.append(_error_event(payload))
        elif event is not None:
            events += _stream_events(event, payload)
    return events


def decode_message(body: bytes, value: dict[str, Any]) -> Response:
    """A whole answer; `value` is its body decoded.

    Its thoughts with their seals stand in the message's `extra`, as `reasoning_details` (see `openai_answer`).
    """
    message = read_message(body) or message_of(value)
    events = list(_message_events(message, value))
    response = collect(events)
    response.raw = value
    response.model = message.model or ""
    details = [_detail(event) for event in events if event.signature or event.redacted]
    if details:
        response.message.extra = {"reasoning_details": details}
    return response


def _detail(event: Event) -> dict[str, Any]:
    detail: dict[str, Any] = {"format": "anthropic-claude-v1", "index": event.index}
    if event.redacted:
        return {"type": "reasoning.encrypted", "data": event.redacted, **detail}
    return {"type": "reasoning.text", "text": event.text, "signature": event.signature, **detail}


def _body_events(body: bytes) -> list[Event]:
    message = read_message(body)
    value: Any = None
    if message is None or message.content is None or _is_rare(message):
        try:
            value = decode_tolerant(body)
        except ValueError:
            return []
        if not isinstance(value, dict):
            return []
        if value.get("type") == "error" or (value.get("error") and "content" not in value):
            return [_error_event(body)]
        message = message_of(value)
    return [] if message.content is None else list(_message_events(message, value))


def _is_rare(message: Message) -> bool:
    """It holds blocks that are given as they stood, for which all of it must be decoded."""
    return any(block.type not in _KNOWN for block in message.content or ())


_KNOWN = frozenset(("text", "thinking", "redacted_thinking", "tool_use"))


def _message_events(message: Message, value: Any) -> Iterator[Event]:
    """`value`: the message as decoded JSON, where it holds blocks of other types."""
    yield Event("start", message.id or "", model=message.model or "")
    written = [block for block in value["content"] if isinstance(block, dict)] if value and message.content else ()
    for index, block in enumerate(message.content or ()):
        yield from _block_events(block, index, written[index] if written else None, whole=True)
    if message.stop_reason:
        yield from _finish(message)
    usage = read_usage(message.usage)
    if usage is not None:
        yield Event("usage", usage=usage)


def _block_events(block: Block, index: int, written: Any, *, whole: bool) -> Iterator[Event]:
    """`written`: a block of another type as decoded JSON; `whole`: no deltas follow."""
    kind = block.type
    if kind == "text":
        if block.text:
            yield Event("text", repaired(block.text), index=index)
        for citation in block.citations or ():
            yield Event("citation", index=index, data=citation)
    elif kind == "thinking":
        if block.thinking or block.signature:
            yield Event("reasoning", repaired(block.thinking or ""), index=index, signature=block.signature or "")
    elif kind == "redacted_thinking":
        yield Event("reasoning", index=index, redacted=block.data or "")
    elif kind == "tool_use":
        call = ToolCallDelta(index, block.id or "", block.name or "", _arguments(block, whole=whole))
        yield Event("tool_call", index=index, tool_call=call)
    else:
        yield Event("other", index=index, data=written)


def _arguments(block: Block, *, whole: bool) -> str:
    """A call's input as JSON text. Where deltas follow, an empty one means nothing yet."""
    text = bytes(block.input).decode("utf-8", "replace") or "{}"
    if text[0] in 'n"':  # null, or a string that holds the JSON: some compatible servers
        text = _unwrapped(text)
    return text if whole or text.strip("{} \t\r\n") else ""


def _unwrapped(text: str) -> str:
    """The object in a JSON string, one without members for nothing; any other string as it is."""
    try:
        inner = msgspec.json.decode(text)
    except ValueError:
        return text
    inner = (inner or "").strip()
    return inner if inner.startswith("{") else (text if inner else "{}")


def _stream_events(event: StreamEvent, payload: bytes) -> Iterator[Event]:
    kind = event.type
    delta = event.delta
    if kind == "content_block_delta" and delta is not None:
        told = _delta_event(delta, event.index or 0, payload)
        if told is not None:
            yield told
    elif kind == "content_block_start" and event.content_block is not None:
        written = None if event.content_block.type in _KNOWN else _written(payload, "content_block")
        yield from _block_events(event.content_block, event.index or 0, written, whole=False)
    elif kind == "message_start" and event.message is not None:
        rare = _is_rare(event.message)
        yield from _message_events(event.message, _written(payload, "message") if rare else None)
    elif kind == "message_delta" and delta is not None:
        if delta.stop_reason:
            yield from _finish(delta)
        usage = read_usage(event.usage)
        if usage is not None:
            yield Event("usage", usage=usage)
    elif kind == "message_stop":
        yield Event("end")


def _written(payload: bytes, name: str) -> Any:
    """A field of an event that has been read, as decoded JSON."""
    try:
        return decode_tolerant(payload).get(name)
    except ValueError:
        return None  # nested more deeply than whoever reads it could bear


def _delta_event(delta: Delta, index: int, payload: bytes) -> Event | None:
    """More of a block; None for an empty piece."""
    kind = delta.type
    if kind == "text_delta":
        return Event("text", repaired(delta.text), index=index) if delta.text else None
    if kind == "thinking_delta":
        return Event("reasoning", repaired(delta.thinking), index=index) if delta.thinking else None
    if kind == "input_json_delta":
        return _input_event(delta.partial_json, index) if delta.partial_json else None
    if kind == "signature_delta":
        return Event("reasoning", index=index, signature=delta.signature) if delta.signature else None
    if kind == "citations_delta":
        return Event("citation", index=index, data=delta.citation)
    return Event("other", index=index, data=_written(payload, "delta"))


def _piece_event(piece: Piece) -> Event:
    """The same of one that has been read with others."""
    delta, index = piece.delta, piece.index
    if delta.__class__ is TextPiece:
        return Event("text", repaired(delta.said), index=index)
    if delta.__class__ is ThinkingPiece:
        return Event("reasoning", repaired(delta.said), index=index)
    return _input_event(delta.said, index)


def _input_event(text: str, index: int) -> Event:
    return Event("tool_call", index=index, tool_call=ToolCallDelta(index, arguments=repaired(text)))


def _finish(ended: Any) -> Iterator[Event]:
    """The end of a message or delta, with what else it says of it; before it, in words, why the vendor refused.

    https://platform.claude.com/docs/en/test-and-evaluate/strengthen-guardrails/handle-streaming-refusals
    """
    told = {"stop_sequence": ended.stop_sequence, "stop_details": ended.stop_details}
    details = {name: value for name, value in told.items() if value is not None}
    why = (ended.stop_details or {}).get("explanation")
    if ended.stop_reason == "refusal" and why.__class__ is str and why:
        yield Event("refusal", repaired(why))
    yield Event("finish", finish_reason=finish_of(ended.stop_reason), data=details or None)


def _error_event(payload: bytes) -> Event:
    return Event("error", error=relayed(classify_body(payload), payload))
