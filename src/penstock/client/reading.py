"""One answer being read: from the call to the last frame, whole or event by event.

The one path of `generate`, `stream` and `embed`, async and sync. A `Reading` owns its reply: however it ends, closing
it gives the connection back and closes the record.
"""

from __future__ import annotations

from typing import NoReturn, cast

from penstock.call import Frame, Reply
from penstock.client.asking import Ask
from penstock.client.engines import Engine, Engines
from penstock.client.failures import error_in, interrupted, last_chunk, last_value
from penstock.errors import PenstockError
from penstock.events import TOLD, Collector, Event
from penstock.layers.record import CALLER_LEFT
from penstock.messages import Embeddings, Request, Response
from penstock.wire.dialects import CHAT, DIALECTS

__all__ = ["Reading", "embed", "generate"]

_SPOKEN = ("text", "reasoning", "refusal")


class Reading:
    """A call, and its answer as it comes."""

    def __init__(self, engines: Engines, ask: Ask) -> None:
        self._engines = engines
        self._ask = ask
        self._dialect = DIALECTS[ask.dialect]
        self._collector = Collector()
        self._foreign: list[Event] = []  # all that a provider of another dialect said
        self._engine: Engine | None = None
        self._request: Request | None = None
        self._reply: Reply | None = None
        self._failure: PenstockError | None = None
        self._told = b""
        self._response: Response | None = None
        self._over = False  # the answer was read to its end, good or bad
        self._closed = False

    @property
    def opened(self) -> bool:
        """Whether the call was made."""
        return self._request is not None

    @property
    def response(self) -> Response:
        """The whole answer, once all of it has been read. Raises RuntimeError before that."""
        if self._response is None:
            raise RuntimeError("the reply is there once the stream has ended: read it to its end first")
        return self._response

    async def open(self) -> None:
        """Make the call; returns when the first output is in hand.

        Raises:
            PenstockError: there is no answer.
            RuntimeError: it was made before, or the engine cannot be used here.
        """
        if self._request is not None or self._closed:
            raise RuntimeError("this stream was opened before: call stream() again for another")
        self._engine = self._engines.get()
        self._request = self._ask.request(self._engine.begin(self._ask.operation))
        self._reply = await self._engine.call(self._request)

    async def read(self) -> list[Event]:
        """The next events, at least one; none at the end, after which `response` is there.

        Raises:
            PenstockError: the stream broke; what came before it has been returned.
            RuntimeError: it is closed.
        """
        if self._response is not None:
            return []
        while True:
            if self._failure is not None:
                await self._fail(self._failure)
            frame = None
            if self._reply is not None and not self._closed:
                frame = await self._reply.read()
            if self._reply is None or self._closed:  # before, or by another task meanwhile
                raise RuntimeError("this stream is closed")
            if frame is None:
                await self._end()
                return []
            events = self._take(frame)
            if events:
                return events

    async def whole(self) -> Response | Embeddings:
        """Make the call, read all of its answer and close it. Raises PenstockError."""
        try:
            await self.open()
            assert self._reply is not None
            if self._reply.streaming:  # nobody asked for one, and a few servers stream all the same
                while await self.read():
                    pass
                return self.response
            frame = await self._reply.read()
            self._over = True
            data = self._seen(frame) if frame is not None else b""
            answer = self._decoded(data, frame.events if frame is not None and self._is_foreign else [])
        finally:
            await self.aclose()
        return self._complete(answer)

    async def aclose(self) -> None:
        """Stop the call and free what it holds; safe at any time and more than once."""
        left, self._closed = not (self._over or self._closed), True
        if self._request is None or self._reply is None:
            return  # the record was closed with the error that was raised instead of a reply
        if left:
            self._request.record.status, self._request.record.error = CALLER_LEFT, "cancelled"
        await self._reply.aclose()

    def _take(self, frame: Frame) -> list[Event]:
        assert self._reply is not None
        data, events = self._seen(frame), _told(frame.events)
        if self._is_foreign:
            self._foreign += frame.events
            self._told = data
            self._failure = next((event.error for event in frame.events if event.error is not None), None)
            return events
        for event in events:
            self._collector.add(event)
        if not self._reply.streaming:
            self._told = data
            return events
        if any(event.kind != "usage" for event in events):
            self._told = data
        self._failure = error_in(data, self._dialect)
        return events

    def _seen(self, frame: Frame) -> bytes:
        assert self._request is not None
        self._request.record.bytes_out += len(frame.data)
        return frame.data

    async def _end(self) -> None:
        assert self._request is not None
        assert self._reply is not None
        self._over = True
        await self.aclose()  # only now does the record know all
        code = self._request.record.stream_error
        if code is not None:
            self._failure = interrupted(code)
            raise self._failure
        if self._reply.streaming and not self._is_foreign:
            response = self._collector.response(last_chunk(self._told))
        else:
            response = cast(Response, self._decoded(self._told, self._foreign))
        self._response = cast(Response, self._complete(response))

    @property
    def _is_foreign(self) -> bool:
        """Whether the provider spoke another dialect than the library's."""
        return self._reply is not None and self._reply.dialect != self._ask.dialect

    def _decoded(self, data: bytes, events: list[Event]) -> Response | Embeddings:
        """The answer; one of another dialect by way of ours, so that `message` can be sent again as it is."""
        if not self._is_foreign:
            return self._dialect.decode_response(data)
        answer = self._dialect.decode_response(CHAT[self._ask.dialect].encode_answer(events, "", 0))
        answer.raw = last_value(data)
        return answer

    async def _fail(self, failure: PenstockError) -> NoReturn:
        # Told by an event, after which a provider may well leave the connection open: nobody waits for that.
        assert self._request is not None
        self._over = True
        self._request.record.stream_error = failure.code
        await self.aclose()
        raise failure

    def _complete(self, answer: Response | Embeddings) -> Response | Embeddings:
        assert self._engine is not None
        assert self._request is not None
        assert self._reply is not None
        record = self._request.record
        answer.request_id, answer.attempts, answer.cost_usd = self._engine.receipt(self._request, self._reply)
        answer.usage = record.usage if record.usage is not None else answer.usage
        answer.model = answer.model or record.response_model or ""
        return answer


def _told(events: list[Event]) -> list[Event]:
    """Those that a user of the library is told of: a seal on a thought, or text without a letter, says nothing here."""
    return [event for event in events if event.kind in TOLD and (event.text or event.kind not in _SPOKEN)]


async def generate(engines: Engines, ask: Ask) -> Response:
    """The whole answer of a chat call. Raises PenstockError."""
    return cast(Response, await Reading(engines, ask).whole())


async def embed(engines: Engines, ask: Ask) -> Embeddings:
    """The vectors of an embeddings call. Raises PenstockError."""
    return cast(Embeddings, await Reading(engines, ask).whole())
