"""OpenAI's chat answers as the vocabulary's events: a stream's, or the one body of a whole answer."""

from __future__ import annotations

import functools
from typing import Any

from penstock.events import Event, ToolCallDelta, collect
from penstock.messages import Response
from penstock.wire.openai_chunk import Chunk, Delta, ToolPiece, chunk_of, delta_of, read_chunk, said
from penstock.wire.openai_usage import read_usage
from penstock.wire.sse import Framer, parse
from penstock.wire.tolerant_json import decode_tolerant

__all__ = ["decode_events", "decode_message"]

# What of a message is read into the vocabulary; everything else is kept in its `extra`.
_READ = frozenset(
    ("role", "content", "reasoning", "reasoning_content", "refusal", "tool_calls", "function_call", "tool_call_id")
)


def decode_events(data: bytes) -> list[Event]:
    """The events in whole SSE events, or in the body of a whole answer; what is neither gives none."""
    if data.lstrip()[:1] == b"{":
        try:
            return _answer_events(decode_tolerant(data))
        except ValueError:
            return []
    framer = Framer()
    events: list[Event] = []
    for block in (*framer.feed(data), framer.take_tail()):
        payload = parse(block).data
        chunk = read_chunk(payload) if payload is not None else None
        if chunk is not None:
            events += _chunk_events(chunk)
    return events


def decode_message(value: dict[str, Any]) -> Response:
    """A whole answer, decoded: choice 0 as a `Response`, fields of its message that have no place kept in `extra`."""
    response = collect(_answer_events(value))
    response.raw = value
    model = value.get("model")
    response.model = model if isinstance(model, str) else ""
    message = _message(value)
    if isinstance(message.get("content"), list):
        response.message.content = message["content"]
    response.message.extra = {name: field for name, field in message.items() if name not in _READ and field is not None}
    return response


def _message(value: dict[str, Any]) -> dict[str, Any]:
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("message"), dict) and not choice.get("index"):
            message: dict[str, Any] = choice["message"]
            return message
    return {}


def _answer_events(value: Any) -> list[Event]:
    chunk = chunk_of(value)
    if chunk is None:
        return []
    for choice, written in zip(chunk.choices or (), value.get("choices") or (), strict=True):
        message = written.get("message")
        if isinstance(message, dict):
            choice.delta = delta_of(message)
    return _chunk_events(chunk)


def _chunk_events(chunk: Chunk) -> list[Event]:
    events: list[Event] = []
    usages = [chunk.x_groq.get("usage") if chunk.x_groq else None]
    for choice in chunk.choices or ():
        if choice.delta is not None:
            events += _delta_events(choice.delta, choice.index)
        if choice.finish_reason:
            events.append(Event("finish", finish_reason=choice.finish_reason, choice=choice.index))
        usages.append(choice.usage)
    usages.append(chunk.usage)
    counted = [usage for usage in map(read_usage, usages) if usage is not None]
    if counted:
        events.append(Event("usage", usage=counted[-1]))
    return events


def _delta_events(delta: Delta, choice: int) -> list[Event]:
    event = functools.partial(Event, choice=choice)
    text, reasoning, refusal = said(delta)
    events: list[Event] = []
    if reasoning:
        events.append(event("reasoning", reasoning))
    if text:
        events.append(event("text", text))
    if refusal:
        events.append(event("refusal", refusal))
    for at, call in enumerate(delta.tool_calls or ()):
        events.append(event("tool_call", tool_call=_tool_call(call, at)))
    old = delta.function_call  # the predecessor of tool calls; Snowflake sends an empty one beside them
    if old is not None and (old.name or old.arguments):
        events.append(event("tool_call", tool_call=_tool_call(ToolPiece(function=old), 0)))
    return events


def _tool_call(call: ToolPiece, at: int) -> ToolCallDelta:
    index = call.index if call.index is not None else at
    if call.custom is not None:
        return ToolCallDelta(index, call.id or "", call.custom.name or "", call.custom.input or "")
    function = call.function
    if function is None:
        return ToolCallDelta(index, call.id or "")
    return ToolCallDelta(index, call.id or "", function.name or "", function.arguments or "")
