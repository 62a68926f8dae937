"""The stream of `POST /v1/generate`: `start`, then pieces as they come, then `usage` and `done`, or `error`.

Each event's data is one JSON object; that of `done` is the unary answer, that of `error` the failed one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from penstock.errors import PenstockError, StreamInterrupted
from penstock.events import Event, ToolCallDelta, is_whole_input
from penstock.wire.generate_answer import CONTRACT, Told, counts_of, encode_failure, encode_result, usage_of
from penstock.wire.openai_choice import Choice
from penstock.wire.sse import encode_event
from penstock.wire.tolerant_json import repaired

__all__ = ["GenerateWriter"]

_PIECES = frozenset(("text", "reasoning", "refusal"))


class GenerateWriter:
    """One stream's `AnswerWriter`.

    Args:
        told: what the record knows; asked at the start and again for the last event.
    """

    __slots__ = ("_begun", "_calls", "_over", "_said", "_told")

    def __init__(self, told: Callable[[], Told]) -> None:
        self._told = told
        self._said = _Said()
        self._calls: Choice | None = None  # made with the request's id
        self._begun = False
        self._over = False

    def write(self, events: list[Event]) -> bytes:
        """The SSE events these become. `end` and `error` end the stream; what comes later is ignored."""
        return b"".join([piece for event in events for piece in self._events(event)])

    def go_on(self, event: Event, texts: list[bytes], length: int) -> bytes | None:
        """None: the last event says once more all that was said, so every text has to be read."""
        return None

    def end(self) -> bytes:
        """The last of the stream where neither `end` nor `error` came."""
        return self.write([Event("end")])

    def fail(self, error: PenstockError) -> bytes:
        """The stream's end where Penstock itself has to break it off."""
        if self._over:
            return b""
        self._over = True
        return encode_event(encode_failure(error, self._told(), self._said.events()), b"error")

    def _events(self, event: Event) -> Iterator[bytes]:
        if self._over or event.choice:
            return
        self._said.add(event)
        if not self._begun:
            self._begun = True
            yield self._start(event)
        if event.kind in _PIECES and event.text:
            yield _event(event.kind, {"text": repaired(event.text)})
        elif event.tool_call is not None:
            yield from self._call(event.tool_call)
        elif event.kind == "error":
            yield self.fail(event.error or StreamInterrupted("The answer broke off.", do="Send the request again."))
        elif event.kind == "end":
            self._over = True
            told, events = self._told(), self._said.events()
            yield _event("usage", counts_of(usage_of(events, told)))
            yield encode_event(encode_result(events, told), b"done")

    def _start(self, event: Event) -> bytes:
        told = self._told()
        self._calls = Choice(f"{told.request_id}_0")  # the ids it makes up are those of the whole answer
        model = repaired(event.model) or told.model
        return _event("start", {"contract": CONTRACT, "request_id": told.request_id, "model": model})

    def _call(self, delta: ToolCallDelta) -> Iterator[bytes]:
        piece = self._calls.call(delta) if self._calls is not None else None
        if piece is not None:
            function = piece["function"]
            told = {"index": piece["index"], "id": piece.get("id", ""), "name": function.get("name", "")}
            yield _event("tool_call", {**told, "arguments": function.get("arguments", "")})


class _Said:
    """The events so far, runs of text put together: a long answer is thousands of them."""

    __slots__ = ("_events", "_run")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._run: list[str] = []

    def add(self, event: Event) -> None:
        """Keep one event."""
        if self._run and self._goes_on(event):
            if not self._run[0]:
                self._run.clear()  # of arguments the first that are some tell whether they are whole
            self._run.append(event.text if event.tool_call is None else event.tool_call.arguments)
            return
        self._close()
        call = event.tool_call
        if call is not None:
            call = ToolCallDelta(call.index, call.id, call.name, call.arguments)
        self._events.append(msgspec.structs.replace(event, tool_call=call))
        if call is not None:
            self._run.append(call.arguments)
        elif event.kind in _PIECES:
            self._run.append(event.text)

    def events(self) -> list[Event]:
        """All of them."""
        self._close()
        return self._events

    def _goes_on(self, event: Event) -> bool:
        last, call = self._events[-1], event.tool_call
        if event.kind != last.kind or event.index != last.index:
            return False
        if call is not None and last.tool_call is not None:
            # Behind arguments that are whole comes nothing that counts: as one piece with it they would not be.
            whole = len(self._run) == 1 and is_whole_input(self._run[0])
            return call.index == last.tool_call.index and not call.id and not call.name and not whole
        return not (event.signature or event.redacted or last.signature or last.redacted)

    def _close(self) -> None:
        if self._run:
            last, text = self._events[-1], "".join(self._run)
            if last.tool_call is not None:
                last.tool_call.arguments = text
            else:
                last.text = text
            self._run = []


def _event(name: str, data: Any) -> bytes:
    return encode_event(msgspec.json.encode(data), name.encode())
