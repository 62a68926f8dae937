"""The vocabulary of streams, and the fold from a stream to a whole answer.

A full answer is a short stream: `collect` makes the same `Response` from events that a unary body gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from penstock.messages import Message, Response, ToolCall, Usage

__all__ = ["Collector", "Event", "ToolCallDelta", "collect"]

Kind = Literal["text", "reasoning", "refusal", "tool_call", "usage", "finish"]


class ToolCallDelta(msgspec.Struct):
    """A piece of a tool call: `id` and `name` come with the first piece, `arguments` grows."""

    index: int = 0
    id: str = ""
    name: str = ""
    arguments: str = ""


class Event(msgspec.Struct):
    """One decoded item of a stream.

    Attributes:
        kind: text, reasoning, refusal, tool_call, usage or finish; says which field is set.
        text: the piece of text for text, reasoning and refusal.
        choice: which of `n` answers it belongs to.
    """

    kind: Kind
    text: str = ""
    tool_call: ToolCallDelta | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    choice: int = 0


class Collector:
    """Folds events of choice 0 into a `Response`; `response` may be read at any time."""

    def __init__(self) -> None:
        self._parts: dict[str, list[str]] = {"text": [], "reasoning": [], "refusal": []}
        self._calls: dict[int, ToolCall] = {}
        self._usage = Usage()
        self._finish_reason: str | None = None

    def add(self, event: Event) -> None:
        """Take one event in."""
        if event.choice:
            return
        if event.kind in self._parts:
            self._parts[event.kind].append(event.text)
        elif event.tool_call is not None:
            delta = event.tool_call
            call = self._calls.setdefault(delta.index, ToolCall())
            call.id = call.id or delta.id
            call.name = call.name or delta.name
            call.arguments += delta.arguments
        elif event.usage is not None:
            self._usage = event.usage
        elif event.kind == "finish":
            self._finish_reason = event.finish_reason

    def response(self, raw: Any = None) -> Response:
        """What the events so far amount to."""
        text, reasoning, refusal = ("".join(self._parts[k]) for k in ("text", "reasoning", "refusal"))
        calls = [self._calls[i] for i in sorted(self._calls)]
        message = Message("assistant", content=text or None, reasoning=reasoning, refusal=refusal, tool_calls=calls)
        return Response(
            text=text, message=message, tool_calls=calls, usage=self._usage, finish_reason=self._finish_reason, raw=raw
        )


def collect(events: Iterable[Event]) -> Response:
    """Fold a stream's events into a whole answer."""
    collector = Collector()
    for event in events:
        collector.add(event)
    return collector.response()
