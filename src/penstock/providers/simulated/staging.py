"""Turns an answer and a script into the steps of a response: heads, framing, waits and faults. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from penstock.providers.simulated.chance import Dice
from penstock.providers.simulated.failures import ApiError, html_page
from penstock.providers.simulated.play import CLOSE, FINISH, HANG, RESET, Act, Step
from penstock.providers.simulated.script import SPLIT_AT_RANDOM, Script
from penstock.wire.framing import encode_chunk
from penstock.wire.h1 import LAST_CHUNK, encode_response_head

__all__ = ["Event", "Form", "Stage"]

Event = tuple[bytes, bool]
"""An event's payload, without SSE's framing, and whether it is output (what a caller waits for)."""

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"

_SURPLUS = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n\r\nsurplus"
_HALF_A_CHARACTER = "€".encode()[:2]
_BLOCK = b"x" * 16_384
_BETWEEN_BLOCKS = 0.001  # without a wait, virtual time would stand still for ever
_TOGETHER = 32  # events in one write where nothing asks for fewer


class Form(msgspec.Struct, frozen=True):
    """How a dialect's events stand in a stream.

    Attributes:
        last: the payload of the last one, which `no_done` leaves out.
        named: each has an `event:` line with its payload's `type`, which is the first field.
    """

    last: bytes
    named: bool = False

    def name(self, payload: bytes) -> bytes:
        """What the `event:` line says; empty without one."""
        return payload[9 : payload.index(b'"', 9)] if self.named else b""


class Stage(msgspec.Struct, frozen=True):
    """How one response is given.

    Attributes:
        headers: of every response, beyond content-type and framing.
        dice: for waits and random splits.
        close: the connection ends with this response.
    """

    script: Script
    headers: tuple[tuple[bytes, bytes], ...]
    dice: Dice
    close: bool

    def instead(self, stream: bool, model: str) -> Iterable[Step] | None:
        """The response of a script that lets the provider not answer at all; None if it shall answer."""
        script = self.script
        if script.silence:
            return [HANG]
        if script.reset == "before_headers":
            return self._whole([RESET])
        if script.reset == "after_headers":
            framing = (b"transfer-encoding", b"chunked") if stream else (b"content-length", b"1024")
            return self._whole([self._head(200, EVENTS if stream else JSON, framing), RESET])
        if script.html:
            page = html_page(script.status or 200)
            return self.unary(script.status or 200, page, b"text/html; charset=UTF-8")
        if script.endless_line:
            return self._whole(self._endless(stream))
        return None

    def error(self, error: ApiError, status: int = 0) -> Iterable[Step]:
        """A refusal or failure, with another status if one is given."""
        return self.unary(status or error.status, error.body, error.content_type, error.headers)

    def unary(
        self, status: int, body: bytes, content_type: bytes = JSON, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> Iterable[Step]:
        """A whole body at once; faults that count events count its bytes."""
        script = self.script
        if script.malformed is not None and content_type == JSON:
            body = body[: len(body) // 2]
        if script.bad_utf8 is not None:
            body = _with_half_a_character(body)
        head = self._head(status, content_type, (b"content-length", b"%d" % len(body)), headers)
        if script.cut is not None and script.cut < len(body):
            return self._whole([head + body[: script.cut], CLOSE])
        if script.stall is not None and script.stall < len(body):
            rest: list[Step] = [script.stall_for, body[script.stall :], *self._end(b"")] if script.stall_for else [HANG]
            return self._whole([head + body[: script.stall], *rest])
        return self._whole([head + body, *self._end(b"")])

    def answer(self, body: bytes, tokens: int) -> Iterable[Step]:
        """A whole answer of so many tokens, after as long as its stream would have taken."""
        script, steps = self.script, self.unary(200, body)
        if script.first_token or script.between:
            gaps = -(-tokens // (script.burst or 1)) - 1
            wait = self._wait(script.first_token) + sum(self._wait(script.between) for _ in range(gaps))
            return _after(wait, steps)
        return steps

    def stream(self, events: Iterable[Event], error: ApiError, form: Form) -> Iterable[Step]:
        """A body of events; `error` is what an error event says."""
        return self._whole(self._streamed(self._damaged(events, error, form)))

    # Head and end

    def _head(
        self, status: int, content_type: bytes, framing: tuple[bytes, bytes], more: tuple[tuple[bytes, bytes], ...] = ()
    ) -> bytes:
        if self.script.content_type:
            content_type = self.script.content_type.encode()
        headers = [(b"content-type", content_type), framing, *self.headers, *more]
        if self.close:
            headers.append((b"connection", b"close"))
        return encode_response_head(status, headers)

    def _end(self, last: bytes) -> Iterator[Step]:
        if self.script.surplus:
            last += _SURPLUS
        if last:
            yield last
        if self.close:
            yield FINISH

    def _whole(self, steps: Iterable[Step]) -> Iterable[Step]:
        """The steps with the wait before the head, split as the script says."""
        if self.script.split:
            steps = self._split(steps)
        if self.script.head:
            steps = _after(self._wait(self.script.head), steps)
        return steps

    def _split(self, steps: Iterable[Step]) -> Iterator[Step]:
        size = self.script.split
        for step in steps:
            if not isinstance(step, bytes):
                yield step
                continue
            at = 0
            while at < len(step):
                end = at + (self.dice.between(1, 64) if size == SPLIT_AT_RANDOM else size)
                yield step[at:end]
                yield 0.0
                at = end

    def _endless(self, stream: bool) -> Iterator[Step]:
        yield self._head(200, EVENTS if stream else JSON, (b"transfer-encoding", b"chunked"))
        yield encode_chunk(b'data: {"id":"' if stream else b'{"id":"')
        while True:
            yield encode_chunk(_BLOCK)
            yield _BETWEEN_BLOCKS

    # Events

    def _streamed(self, events: Iterable[Event | Act | float]) -> Iterator[Step]:
        yield self._head(200, EVENTS, (b"transfer-encoding", b"chunked"))
        act: Act | None = None
        for step in self._paced(events):
            if isinstance(step, Act):
                act = step
            yield step
        if act is None:
            yield from self._end(LAST_CHUNK)

    def _damaged(self, events: Iterable[Event], error: ApiError, form: Form) -> Iterator[Event | Act | float]:
        script = self.script
        stall = script.stall if not script.stall_for else None
        seen = 0
        for payload, output in events:
            if payload == form.last and script.no_done:
                break
            if seen in (script.cut, stall, script.error_event):
                break
            if script.stall_for and seen == script.stall:
                yield script.stall_for
            seen += 1
            name = form.name(payload)
            if script.malformed == seen:
                payload = payload[: len(payload) // 2]
            if script.bad_utf8 == seen:
                payload = _with_half_a_character(payload)
            yield self._framed(payload, name), output
        if seen == script.cut:
            yield CLOSE
        elif seen == stall:
            yield HANG
        elif seen == script.error_event:
            yield self._framed(error.payload, form.name(error.payload)), False

    def _framed(self, payload: bytes, name: bytes) -> bytes:
        end = b"\r\n" if self.script.crlf else b"\n"
        event = b"event: " + name + end if name else b""
        if self.script.comments:
            event = b": keep-alive" + end + end + event
        return b"%bdata: %b%b%b" % (event, payload, end, end)

    def _paced(self, events: Iterable[Event | Act | float]) -> Iterator[Step]:
        """Events gathered into writes, with the waits between them."""
        script = self.script
        burst = script.burst or (1 if script.between else _TOGETHER)
        gathered: list[bytes] = []
        spoken = 0
        for event in events:
            if isinstance(event, Act):
                yield from _chunk(gathered)
                yield event
                return
            if isinstance(event, float):
                yield from _chunk(gathered)
                yield event
                continue
            frame, output = event
            if output:
                wait = script.first_token if spoken == 0 else script.between
                if spoken % burst == 0 and (wait or script.burst):
                    yield from _chunk(gathered)
                    if wait:
                        yield self._wait(wait)
                spoken += 1
            gathered.append(frame)
            if len(gathered) >= max(burst, _TOGETHER):
                yield from _chunk(gathered)
        yield from _chunk(gathered)

    def _wait(self, seconds: float) -> float:
        if self.script.tail and self.dice.random() < self.script.tail:
            return seconds * 10.0
        return seconds


def _chunk(gathered: list[bytes]) -> Iterator[Step]:
    if gathered:
        yield encode_chunk(b"".join(gathered))
        gathered.clear()


def _after(seconds: float, steps: Iterable[Step]) -> Iterator[Step]:
    yield seconds
    yield from steps


def _with_half_a_character(payload: bytes) -> bytes:
    """Broken where the text is, else in the first string there is."""
    for mark in (b'"content":"', b'"text":"', b'":"'):
        before, found, after = payload.partition(mark)
        if found:
            return before + found + _HALF_A_CHARACTER + after
    return payload + _HALF_A_CHARACTER
