"""An answer in the caller's dialect: as it came where the provider speaks it too, said anew where it does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from penstock.call import Frame, Reply
from penstock.errors import ProtocolError
from penstock.events import Event
from penstock.messages import Request
from penstock.server.exchange import Exchange
from penstock.usage import Usage, less, usd
from penstock.wire.dialect import AnswerWriter
from penstock.wire.dialects import CALLERS, GENERATE
from penstock.wire.generate import Generate, Told
from penstock.wire.recast import Recast
from penstock.wire.said import note_of, noted

__all__ = ["Spoken"]

# What may bring something that the caller's dialect has no place for.
_UNSAID = frozenset(("unsaid", "other", "citation"))
# Behind one of these nothing stands behind a call any more.
_WORDS = frozenset(("text", "reasoning", "refusal"))

JSON_TYPE = b"application/json"
STREAM_TYPE = b"text/event-stream"

# A stream that nobody asked for has to be held whole before it can be said as one answer.
MAX_COLLECTED = 64 * 1024 * 1024


class Spoken:
    """Sends replies on.

    Args:
        head: makes the lines of a reply's head.
        now: the monotonic time.
    """

    def __init__(self, head: Callable[[Reply, Request], bytes], now: Callable[[], float]) -> None:
        self._head = head
        self._now = now

    def stream(self, reply: Reply, request: Request, out: Exchange) -> Awaitable[None]:
        """Begin a stream of the caller's own dialect; what is returned passes the rest of its bytes on.

        Where the answer has not ended after that, it has come to its end all the same.
        """
        first = reply.begin()
        if not out.started:
            out.start(reply.status, self._head(reply, request), first)
        elif first:
            out.push(first)
        return reply.pump(out.push, out.drain, out.finish)

    async def translated(self, reply: Reply, frame: Frame | None, request: Request, out: Exchange) -> None:
        """An answer of another dialect, in the form that was asked for.

        Args:
            frame: the whole answer; None where it comes as a stream.

        Raises:
            UpstreamError: one that ended a stream which was to be a whole answer.
        """
        if request.stream:
            reply.content_type = STREAM_TYPE
            await self._stream_anew(reply, frame, request, out)
            return
        events = frame.events if frame is not None else await _collected(reply)
        for event in events:
            if event.error is not None:
                raise event.error
        if all(event.kind != "usage" for event in events):
            events = [*events, *_count(reply, request)]
        _Dropped(request).note(events)
        body = self._encode(events, request)
        reply.content_type = JSON_TYPE
        head = self._head(reply, request)
        if request.record.usage is None and reply.usage is not None:  # it came as a stream
            head += _cost_line(_cost(request, reply.usage))
        out.send(reply.status, head, body)

    async def _stream_anew(self, reply: Reply, frame: Frame | None, request: Request, out: Exchange) -> None:
        writer = _Counted(self._writer(request), reply, request)
        feed = Recast(reply.decode, writer, reply.alike).feed

        def push(data: bytes) -> bool:
            said = feed(data)
            return out.push(said) if said else out.stalled

        events = frame.events if frame is not None else reply.decode(reply.begin())
        writer.expect([event for event in events if event.kind == "usage"] if frame is not None else [])
        self._start(reply, request, out, writer.write(events))
        if frame is None:
            await reply.pump(push, out.drain)
        last = writer.end()
        if last:
            out.push(last)
        out.finish()

    def _start(self, reply: Reply, request: Request, out: Exchange, first: bytes) -> None:
        if not out.started:
            out.start(reply.status, self._head(reply, request), first)
        elif first:  # its head went out while it waited
            out.push(first)

    def _encode(self, events: list[Event], request: Request) -> bytes:
        asking, record = CALLERS[request.dialect], request.record
        if isinstance(asking, Generate):
            return asking.encode_result(events, self._told(request))
        return asking.encode_answer(events, record.id, int(record.wall), request.fields)

    def _writer(self, request: Request) -> AnswerWriter:
        asking, record = CALLERS[request.dialect], request.record
        if isinstance(asking, Generate):
            return asking.open_result_writer(lambda: self._told(request))
        return asking.open_writer(record.id, int(record.wall), keep_usage=request.usage_asked, fields=request.fields)

    def _told(self, request: Request) -> Told:
        record = request.record
        return Told(
            request_id=record.id,
            model=record.response_model or record.model,
            attempts=len(record.attempts),
            latency_ms=int((self._now() - record.started) * 1000),
            fallback_used=record.fallback_used,
            degraded=record.degraded,
            usage=record.usage,
            cost=lambda usage: _cost(request, usage),
            dropped=list(record.dropped),
            clamped=list(record.clamped),
            resumed=sum(decision.what == "resumed" for decision in record.decisions),
            output_schema=request.fields.get("output_schema"),
        )


class _Counted:
    """A writer that is told the usage before the end, an estimate where the provider gave none."""

    __slots__ = ("_counted", "_dropped", "_reply", "_request", "_writer", "go_on")

    def __init__(self, writer: AnswerWriter, reply: Reply, request: Request) -> None:
        self._writer = writer
        self.go_on = writer.go_on
        self._reply = reply
        self._request = request
        self._counted = False
        self._dropped = _Dropped(request)

    def expect(self, counts: list[Event]) -> None:
        """Before the first events: what is known of the count, else how large the input is by its size. Anthropic tells
        the input with a message's beginning, and some of its clients look for it nowhere else."""
        if self._request.dialect == GENERATE.name:
            return
        usage = self._reply.usage
        if not counts and usage is not None:
            counts = [Event("usage", usage=Usage(usage.input_tokens, estimated=True))]
        self._writer.write(counts)

    def write(self, events: list[Event]) -> bytes:
        for at, event in enumerate(events):
            if event.kind == "usage":
                self._counted = True
            elif event.kind == "end":
                self._dropped.note(events[:at])
                counts = [] if self._counted else self._estimate()
                return self._noted(self._writer.write([*events[:at], *counts, *events[at:]]))
        self._dropped.note(events)
        return self._writer.write(events)

    def end(self) -> bytes:
        return (b"" if self._counted else self._writer.write(self._estimate())) + self._noted(self._writer.end())

    def _noted(self, said: bytes) -> bytes:
        # The shape of Penstock's own contract is fixed, and has a place for it.
        if self._request.dialect == GENERATE.name:
            return said
        return noted(said, note_of(self._request.record, self._dropped.names))

    def _estimate(self) -> list[Event]:
        self._counted = True
        return _count(self._reply, self._request)


class _Dropped:
    """What of an answer the caller's dialect has no place for.

    Attributes:
        names: of it, as the answer is told of them; the record has them too.
    """

    __slots__ = ("_behind_call", "_left_out", "_request", "names")

    def __init__(self, request: Request) -> None:
        self.names: dict[str, None] = {}
        self._request = request
        self._left_out = CALLERS[request.dialect].left_out
        self._behind_call = False

    def note(self, events: list[Event]) -> None:
        """More events of the answer, in their order."""
        for event in events:
            kind = event.kind
            if kind in _WORDS:
                self._behind_call = False
            elif kind == "tool_call":
                self._behind_call = True
            elif kind in _UNSAID and (name := self._left_out(event, behind_call=self._behind_call)):
                self._add(name)

    def _add(self, name: str) -> None:
        self.names[name] = None
        record, attempt = self._request.record, self._request.attempt
        # A stream's record takes over what its attempt has, when that is over.
        for one in (record,) if attempt is None else (record, attempt):
            if name not in one.dropped:
                one.dropped = (*one.dropped, name)


def _cost_line(nanos: int | None) -> bytes:
    """The header that tells the cost, `null` where it is not known; JSON either way."""
    return b"x-penstock-cost-usd: %b\r\n" % (b"null" if nanos is None else usd(nanos).encode())


def _cost(request: Request, usage: Usage) -> int | None:
    """What a call costs, all its attempts together, in nano-dollars; None where that is not known.

    Args:
        usage: of an answer that may not be over yet, so that nobody has booked its last attempt.
    """
    record, answering = request.record, request.attempt
    if record.usage is not None:
        return record.cost
    if record.degraded:  # none answered, but one that failed may charge for it
        return record.cost if any(one.usage is not None for one in record.attempts) else 0
    running = next((one for one in reversed(record.attempts) if one.kind == "resume"), answering)
    cost = 0
    for one in record.attempts:
        if one is not running and one.usage is not None:
            if one.cost is None:
                return None
            cost += one.cost
            if one is answering or one.kind == "resume":  # a part of the answer
                usage = less(usage, one.usage)
    asked = next((one for one in request.plan.candidates if running is not None and one.id == running.deployment), None)
    price = asked.deployment.price if asked is not None else None
    return cost + price.cost(usage, record.wall) if price is not None else None


def _count(reply: Reply, request: Request) -> list[Event]:
    """What was counted so far, by the provider or else here."""
    usage = reply.usage or request.record.usage
    return [Event("usage", usage=usage)] if usage is not None else []


async def _collected(reply: Reply) -> list[Event]:
    events: list[Event] = []
    size = 0
    while (frame := await reply.read()) is not None:
        size += len(frame.data)
        if size > MAX_COLLECTED:
            raise ProtocolError(f"the provider's answer is larger than {MAX_COLLECTED} bytes")
        events += frame.events
    return events
