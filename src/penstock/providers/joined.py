"""Streams that break off inside a text and are gone on with by another attempt (`on_stream_cut: resume`).

A target that goes on with a begun answer is asked for the rest; any other for the whole again, which is passed on from
where its text has matched all that was said. What comes is told in the words of the first one's dialect, with its id
and its model. Where nothing goes on, the stream ends as it would have without all this: with the error that broke it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from penstock.call import Call, Frame, Reply
from penstock.errors import (
    InvalidRequest,
    PenstockError,
    StreamInterrupted,
    UpstreamContextTooLong,
    UpstreamError,
    UpstreamRefused,
)
from penstock.events import Event
from penstock.messages import Request
from penstock.providers.answers import StreamedAnswer
from penstock.providers.deployment import Deployment
from penstock.records import Decision
from penstock.usage import BYTES_A_TOKEN, Usage, added
from penstock.wire.dialect import AnswerWriter
from penstock.wire.dialects import CALLERS, CHAT
from penstock.wire.matching import Rest, kept_for
from penstock.wire.said import Said, note_of, noted

__all__ = ["Onward", "join"]


class Onward(Protocol):
    """Chooses who is asked next."""

    async def __call__(
        self, request: Request, error: PenstockError, prefer: Callable[[Any], int], *, hopeless: bool
    ) -> Request | None:
        """The request as it is to be made next, None where none may follow.

        Args:
            request: the one that came to nothing, with `error`.
            prefer: of candidates that may be asked, those with the least first.
            hopeless: it is of no use to ask the same one again.
        """
        ...


def join(reply: Reply, request: Request, onward: Onward, call: Call, now: Callable[[], float]) -> Reply:
    """The same answer, gone on with where it breaks off; the very same where that cannot be."""
    source = reply.answer
    if not isinstance(source, StreamedAnswer) or not source.strict:
        return reply
    joined = Joined(reply, request, onward, call, now)
    return Reply(reply.status, reply.content_type, joined, reply.headers, reply.dialect)


class Joined:
    """The source of a streamed answer that may come from several attempts, one after the other.

    Each attempt's own reply is closed with its attempt, so that what hangs on it (permits, health, the count) is told
    at once.

    Args:
        reply: the first attempt's. `request`: what was asked by it.
        onward: says who is asked next; `call`: asks.
    """

    __slots__ = (
        "_asked", "_attempt", "_barren", "_began_at", "_call", "_cause", "_dialect", "_finish", "_first", "_how",
        "_keep_usage", "_last_words", "_now", "_onward", "_over", "_refused", "_reply", "_request", "_rest", "_said",
        "_told", "_writer", "alike", "decode",
    )  # fmt: skip

    def __init__(self, reply: Reply, request: Request, onward: Onward, call: Call, now: Callable[[], float]) -> None:
        self._reply = reply
        self._asked = self._request = request
        self._first = self._attempt = request.attempt
        self._onward = onward
        self._call = call
        self._now = now
        self.decode, self.alike = reply.decode, reply.alike
        self._dialect = CHAT[reply.dialect]
        self._keep_usage = request.usage_asked or reply.dialect != request.dialect
        self._said = Said(self.decode)
        self._began_at = 0  # how long the text was when the attempt began
        self._last_words = b""  # where nothing goes on
        self._cause = ""
        self._how = ""  # of an attempt that has not been seen to go on
        self._barren: set[str] = set()  # candidates that brought nothing new
        self._refused: set[str] = set()  # those that refused a begun answer
        self._writer: AnswerWriter | None = None  # of the rest
        self._rest = Rest("")
        self._finish: Event | None = None
        self._told = False  # that it has ended
        self._over = False

    # --- a source

    def held(self) -> bytes:
        """What was held back until the first output came, once."""
        data = self._reply.begin() if self._writer is None else b""
        if data:
            self._said.note(data)
        return data

    async def read(self) -> Frame | None:
        """The next whole events; the last frame may be an error event. None at the end."""
        while not self._over:
            data = await self._read_first() if self._writer is None else await self._read_rest()
            if data:
                return Frame(data, self.decode)
        return None

    async def pump(
        self,
        push: Callable[[bytes], bool],
        drain: Callable[[], Awaitable[None]],
        finish: Callable[[bytes], None] | None = None,
    ) -> None:
        """Pass all of it on: the first attempt's pieces as its socket gives them."""

        said, known = self._said, self.alike

        def noting(data: bytes) -> bool:
            alike = known(data)
            if alike is None or not said.note_alike(data, alike):
                said.note(data)
            return push(data)

        if self._writer is None and not self._over:
            await self._reply.pump(noting, drain)
        while (frame := await self.read()) is not None:
            if push(frame.data):
                await drain()

    @property
    def usage(self) -> Usage:
        """What all attempts at it have used so far."""
        total = Usage()
        for attempt in self._asked.record.attempts:
            if attempt is self._first or attempt.kind == "resume":
                usage = attempt.usage
                if usage is None and attempt is self._attempt:
                    usage = self._reply.usage
                if usage is not None:
                    total = added(total, usage)
        return total

    def close(self) -> None:
        """Give everything back; safe at any time and more than once."""
        self._over = True
        self._reply.close()

    # --- what comes

    async def _read_first(self) -> bytes:
        frame = await self._reply.read()
        if frame is not None:
            self._said.note(frame.data, frame.events)
            return frame.data
        source: Any = self._reply.answer
        if source.broken is None:
            self._over = True
            return b""
        self._last_words = source.last_words()
        return await self._go_on(source.broken)

    async def _read_rest(self) -> bytes:
        frame = await self._reply.read()
        if frame is not None:
            said = self._take(frame.events)
            return await self._go_on(_otherwise(), hopeless=True) if said is None else said
        source = self._reply.answer
        broken = source.broken if isinstance(source, StreamedAnswer) else None
        if not self._told:
            if broken is not None:
                return await self._go_on(broken)
            if not self._rest.reached:
                return await self._go_on(_otherwise(), hopeless=True)
        self._over = True
        return b"" if self._told else self._end()

    def _take(self, events: list[Event]) -> bytes | None:
        """What goes on of a further attempt's events; None where it says something else than was said."""
        passed: list[Event] = []
        ended = False
        for event in events:
            kind = event.kind
            if kind == "text":
                more = self._rest.feed(event.text)
                if more is None:
                    return None
                if more:
                    self._said.add(more)
                    passed.append(Event("text", more, index=self._said.begun.block))
            elif kind not in _SILENT:
                if not self._rest.reached:
                    return None
                if kind == "finish":
                    self._finish = event
                elif kind == "end":
                    ended = not self._told
                elif kind == "error":  # behind a finish reason; any earlier one is what is gone on behind
                    self._told = True
                    passed += [*self._ending(), event]
                else:
                    self._said.spoil()
                    passed.append(event)
        if (passed or self._finish is not None) and self._how:
            self._decide("resumed", self._how)
            self._how = ""
        said = self._writer.write(passed) if passed and self._writer is not None else b""
        return said + self._end() if ended else said

    def _end(self) -> bytes:
        """The last events, with the note that it was put together."""
        assert self._writer is not None
        self._told = True
        data = self._writer.write([*self._ending(), Event("end")])
        return noted(data, note_of(self._asked.record))

    def _ending(self) -> list[Event]:
        counted = Event("usage", usage=self.usage)
        return [counted] if self._finish is None else [self._finish, counted]

    # --- the next attempt

    async def _go_on(self, error: UpstreamError, *, hopeless: bool = False) -> bytes:
        """Have it gone on with; what is to be told where it is not."""
        request = self._request
        self._reply.close()
        if hopeless:
            self._attempt.outcome = "no_match"
        else:
            self._cause = error.code
        if self._said.length == self._began_at:
            self._barren.add(request.candidate.id)
        if self._said.joinable and await self._resume(error, hopeless=hopeless):
            return b""
        self._over = True
        return self._last_words

    async def _resume(self, error: PenstockError, *, hopeless: bool) -> bool:
        """Another attempt, whose first output is in hand; False where none may be made."""
        while True:
            request = await self._onward(self._request, error, self._rank, hopeless=hopeless)
            if request is None:
                return False
            self._request = request
            try:
                await self._ask(request)
            except PenstockError as failed:
                error, hopeless = failed, False
            else:
                return True

    async def _ask(self, request: Request) -> None:
        """Ask for the rest, or where that is not done, or refused, for all of it. Raises PenstockError."""
        plan, record = request.plan, request.record
        begun = self._begun(request) if self._continues(request.candidate) else None
        if begun is not None:
            asked, rest = begun
            try:
                reply = await self._call(asked)
            except UpstreamContextTooLong:
                raise  # it is not the begun answer that is refused
            except (UpstreamRefused, InvalidRequest):
                self._refused.add(request.candidate.id)
                late = self._now() >= request.deadline
                if late or request.trial or len(record.attempts) >= plan.retry.max_total:
                    raise
            else:
                self._start(asked, reply, rest, "continued")
                return
        self._start(request, await self._call(request), Rest(self._said.text), "matched")

    def _start(self, asked: Request, reply: Reply, rest: Rest, how: str) -> None:
        said = self._said
        self._reply, self._attempt, self._rest = reply, asked.attempt, rest
        self._began_at = said.length
        self._how = f"{how} after {said.length} characters: {self._cause}"
        self._finish = None
        if self._writer is None:
            self._writer = self._dialect.open_rest(said.begun, keep_usage=self._keep_usage)

    def _begun(self, request: Request) -> tuple[Request, Rest] | None:
        """The request for the rest, and what to expect of that; None where it cannot be said."""
        kept, rest = kept_for(self._said.text)
        tokens = len(kept.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN
        fields = CALLERS[request.dialect].begin_answer(request.fields, kept, tokens) if kept else None
        if fields is None:
            return None
        return msgspec.structs.replace(request, fields=fields, prompt=None, begun=True), rest

    def _continues(self, candidate: Any) -> bool:
        deployment: Deployment = candidate.deployment
        return deployment.facts.continues and candidate.id not in self._refused

    def _rank(self, candidate: Any) -> int:
        """Who is the likeliest to go on: those that take a begun answer, then those that hardly say something else."""
        if candidate.id in self._barren:
            return 3
        if self._continues(candidate):
            return 0
        return 1 if candidate.deployment.model == self._asked.target.model else 2

    def _decide(self, what: str, why: str) -> None:
        self._asked.record.decisions.append(Decision(what, self._request.candidate.id, why, self._now()))


_SILENT = frozenset(("start", "reasoning", "usage"))


def _otherwise() -> StreamInterrupted:
    return StreamInterrupted("asked once more, the provider said something else", do="Send the request again.")
