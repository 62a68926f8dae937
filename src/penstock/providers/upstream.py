"""The innermost call: one attempt at one deployment.

In the caller's own dialect the request's top level is written anew with the vendor's model name, and the answer's
bytes pass as they came, watched by the dialect's reader. A provider that speaks another dialect is asked in its own,
and the reply says which one its bytes are in. It returns at the commit point: a stream's first output, with what came
before it held, or the whole of any other answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import msgspec

from penstock.call import Frame, Reply
from penstock.clock import Clock
from penstock.errors import (
    InvalidRequest,
    PenstockError,
    ProtocolError,
    StreamInterrupted,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
)
from penstock.messages import Request
from penstock.providers.answers import StreamedAnswer
from penstock.providers.deployment import Deployment, Endpoint
from penstock.records import Attempt
from penstock.transport.http import Connection, Pool
from penstock.usage import BYTES_A_TOKEN, Usage
from penstock.wire.dialect import Dialect, Written
from penstock.wire.dialects import CALLERS, CHAT, estimate
from penstock.wire.extent import limit_output
from penstock.wire.h1 import HeaderLines
from penstock.wire.h1_response import ResponseHead
from penstock.wire.media_type import of_json
from penstock.wire.weight import check_weight

__all__ = ["Upstream"]

T = TypeVar("T")

# Of a request's fields the names of those that were left out, and of those that were made smaller.
_Lost = tuple[tuple[str, ...], tuple[str, ...]]

# A body above this takes too long to translate for others to wait meanwhile: up to 25 ms for so much of the worst.
HEAVY = 128 * 1024

# How many lost fields are named, and how many characters of each.
MAX_NAMED = 30
MAX_NAME = 100

# Of a caller's headers, what a provider of another dialect may see: the simulated one's fault script.
_NEUTRAL = (b"x-penstock-sim",)


class Upstream:
    """Sends requests to their `target`, a `Deployment`.

    Args:
        pool: the connections.
        dialects: what providers speak, by name.
    """

    def __init__(self, pool: Pool, dialects: Mapping[str, Dialect], clock: Clock) -> None:
        self._pool = pool
        self._dialects = dict(dialects)
        self._clock = clock
        self._now = clock.monotonic
        # One at a time: each thread that is busy takes its share of the interpreter from the loop.
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="penstock-heavy")

    async def __call__(self, request: Request) -> Reply:
        """Raises UpstreamError; InvalidRequest where the provider's dialect has no word for what is asked."""
        deployment: Deployment = request.target
        endpoint, stream = deployment.endpoint, request.stream
        lost: _Lost | None = None
        said: _Said | None = request.caller.sent
        if (
            said is not None
            and said.endpoint is endpoint
            and said.spoken == request.dialect
            and not (request.most_output or request.begun)
        ):
            # As most requests of a connection: the same as the one before, but for its body.
            dialect = said.dialect
            body = dialect.encode_request(request.fields, deployment.model, stream=stream)
            payload = b"%bcontent-length: %d\r\n\r\n%b" % (said.head, len(body), body)
        else:
            said_anew = await self._say(request, deployment)  # what cannot be said is no attempt
            if isinstance(said_anew, Reply):
                return said_anew
            dialect, payload, lost = said_anew
        if request.opening is not None:
            request.opening()
        now = self._now()
        attempt = Attempt(deployment.id, now, now, 0.0, 0, "open", request.kind, request.pause)
        if lost is not None:
            attempt.dropped, attempt.clamped = lost
        request.attempt = attempt
        request.record.attempts.append(attempt)
        origin = endpoint.origin
        connection = self._pool.take(origin)
        try:
            if connection is None:
                connection = await self._pool.connect(origin, min(deployment.connect, request.wait))
                now = attempt.sent = self._now()
            answer = await connection.exchange(payload, stream=stream, timeout=request.wait, now=now, direct=True)
            head, body = answer if answer is not None else (connection.parser.head, b"")
            attempt.status = head.status
            noted = head.noted
            if noted is None or noted.down is not endpoint.down:
                noted = _note(head, endpoint)
            if answer is None:
                if connection.streaming and head.status == 200:
                    source = _open(request, deployment, dialect, attempt, connection)
                    if not source.begin():
                        await source.hold()
                    attempt.answered = self._now()
                    return _streamed(request, dialect, source, connection)
                body = connection.parser.take()
            now = attempt.answered = self._now()
            connection.release(now)
            if not noted.good:
                raise dialect.classify(head.status, head.headers, body, self._clock.wall())
            try:
                facts = dialect.decode_facts(body, request.record.bytes_in)
            except ProtocolError:
                attempt.ambiguous = _is_answer(head.headers)
                raise
            attempt.response_model, attempt.finish_reason = facts.model, facts.finish_reason
            deployment.book(request.record, attempt, facts.usage)
            attempt.outcome, spoken = "ok", dialect.name
            passed = noted.passed if spoken == request.dialect else ()  # to others they say nothing
            return Reply(head.status, noted.kind, Frame(body, dialect.decode_events), passed, spoken)
        except BaseException as error:
            if isinstance(error, UpstreamError):
                error.dialect = dialect.name
                if endpoint.by_caller:
                    error.blame_caller()
            self._failed(request, deployment, attempt, connection, error)
            raise

    def _failed(
        self,
        request: Request,
        deployment: Deployment,
        attempt: Attempt,
        connection: Connection | None,
        error: BaseException,
    ) -> None:
        """How the attempt ended, and what it may have cost all the same."""
        if connection is not None:
            if isinstance(error, ProtocolError) and attempt.status == 200:
                attempt.ambiguous = attempt.ambiguous or _is_answer(connection.parser.headers)
            if not attempt.answered:  # else it has been given back, and may be another call's
                connection.release()
        attempt.outcome = error.code if isinstance(error, PenstockError) else "cancelled"
        attempt.answered = self._now()
        attempt.unsent = connection is None
        attempt.ambiguous = connection is not None and (attempt.ambiguous or _is_ambiguous(error, attempt))
        if attempt.ambiguous:
            deployment.book(request.record, attempt, _at_least(request))

    async def _beside(self, work: Callable[[], T]) -> T:
        """What `work` returns, done beside the loop; it ends even if nobody waits for it any more."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)

    async def _say(self, request: Request, deployment: Deployment) -> tuple[Dialect, bytes, _Lost] | Reply:
        """In which dialect it is asked, the request's bytes and what they have not; or the reply that needs nobody.

        Raises InvalidRequest.
        """
        if request.dialect in deployment.endpoint.dialects:
            dialect = self._dialects[request.dialect]
            return dialect, *_payload(request, deployment, dialect)
        heavy = request.record.bytes_in > HEAVY
        if heavy:
            await self._beside(lambda: check_weight(request.fields.values()))
        counted = await self._beside(lambda: _count(request)) if heavy else _count(request)
        if counted is not None:
            return _estimated(request, counted)
        dialect = _other(request, deployment)
        say = partial(_payload, request, deployment, dialect)
        payload, lost = await self._beside(say) if heavy else say()
        return dialect, payload, lost


def _open(
    request: Request, deployment: Deployment, dialect: Dialect, attempt: Attempt, connection: Connection
) -> StreamedAnswer:
    """What reads a stream, of which nothing has been read yet."""
    # Until the first output, however often a provider says that it is still there.
    connection.deadline = attempt.sent + request.wait
    keep_usage = request.usage_asked or dialect.name != request.dialect or not request.stream
    reader = dialect.open_stream(keep_usage=keep_usage, prompt_bytes=request.record.bytes_in)
    if request.plan is not None and request.plan.on_stream_cut == "resume":
        reader.strict = CALLERS[request.dialect].may_join(request.fields)
    return StreamedAnswer(connection, reader, dialect.decode_events, request, deployment)


def _streamed(request: Request, dialect: Dialect, source: StreamedAnswer, connection: Connection) -> Reply:
    """The reply of a stream whose first output is in hand."""
    connection.deadline = request.deadline
    head, spoken = connection.parser.head, dialect.name
    kind = head.headers.get(b"content-type", b"")
    if b"event-stream" not in kind and b"event-stream" not in kind.lower():
        kind = b"text/event-stream"
    return Reply(200, kind, source, head.noted.passed if spoken == request.dialect else (), spoken)


# Of these, and of a connection that broke, nobody knows whether the provider went on and what it charges for it.
_PERHAPS_DONE = frozenset((504, 524))


def _is_ambiguous(error: BaseException, attempt: Attempt) -> bool:
    """Whether an attempt that failed, once its request had been sent, may have been done all the same."""
    if attempt.status in _PERHAPS_DONE:
        return True
    # A connection that broke, or was silent, has no whole answer; an error in a stream is one.
    return isinstance(error, Unavailable | UpstreamTimeout | StreamInterrupted) and error.answer is None


def _is_answer(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a 200 that cannot be read was sent as what was asked for: then it may be charged."""
    kind = headers.get(b"content-type", b"").lower()
    return b"json" in kind or b"event-stream" in kind


def _at_least(request: Request) -> Usage:
    """What an attempt has used of which nothing is known but its prompt."""
    return Usage(input_tokens=-(-request.record.bytes_in // BYTES_A_TOKEN), estimated=True)


def _count(request: Request) -> bytes | None:
    return estimate(request.dialect, request.fields)


def _payload(request: Request, deployment: Deployment, dialect: Dialect) -> tuple[bytes, _Lost]:
    """The request's bytes, and what they have not. Raises InvalidRequest."""
    dropped: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()
    caller, endpoint, spoken = request.caller, deployment.endpoint, dialect.name
    bend = endpoint.bends.get(spoken) if endpoint.bends else None
    if spoken == request.dialect:
        fields, ask_usage = request.fields, True
        if request.most_output and request.record.operation == "chat":
            name = "max_tokens" if spoken.startswith("anthropic") else deployment.facts.output_field
            fields, clamped = limit_output(fields, request.most_output, name)
        if bend is not None:
            (fields, lost), ask_usage = bend.fields(fields, deployment.model), bend.asks_usage
            dropped = _named(lost)
        body = dialect.encode_request(fields, deployment.model, stream=request.stream, ask_usage=ask_usage)
        said: _Said | None = caller.sent
        if said is None or said.endpoint is not endpoint or said.dialect is not dialect:
            head = endpoint.head(dialect.path, caller.query, caller.headers)
            said = caller.sent = _Said(endpoint, dialect, spoken if bend is None else "", head)
        head = said.head
    else:
        written = _translated(request, deployment, dialect)
        body, dropped, clamped = written.body, _named(written.dropped), _named(written.clamped)
        if bend is not None:
            body, lost = bend.body(body, deployment.model)
            dropped += _named(lost)
        passed = {name: caller.headers[name] for name in _NEUTRAL if name in caller.headers}
        head = endpoint.head(dialect.path, b"", passed)
    if request.begun and deployment.facts.continued_by:
        body = CHAT[dialect.name].mark_begun(body, deployment.facts.continued_by)
    return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body), (dropped, clamped)


def _translated(request: Request, deployment: Deployment, dialect: Dialect) -> Written:
    """The request in the provider's dialect. Raises InvalidRequest."""
    prompt = request.prompt
    if prompt is None:
        prompt = request.prompt = CALLERS[request.dialect].decode_prompt(request.fields)
    name = ""
    if request.most_output:
        name = prompt.given.get("max_output_tokens", "max_output_tokens")
        given = {**prompt.given, "max_output_tokens": name}
        prompt = msgspec.structs.replace(prompt, max_output_tokens=request.most_output, given=given)
    written = CHAT[dialect.name].encode_prompt(prompt, deployment.model, deployment.facts, lenient=deployment.lenient)
    if name and name not in written.clamped:
        written.clamped.append(name)
    return written


def _named(losses: list[str]) -> tuple[str, ...]:
    """What goes into a header and the log: a caller may have made up any number of fields, of any length."""
    named = tuple(name if len(name) <= MAX_NAME else name[:MAX_NAME] + "..." for name in losses[:MAX_NAMED])
    return named if len(losses) <= MAX_NAMED else (*named, f"and {len(losses) - MAX_NAMED} more")


def _other(request: Request, deployment: Deployment) -> Dialect:
    """The dialect to ask in where the provider does not speak the caller's. Raises InvalidRequest: there is none."""
    if request.dialect in CALLERS:
        for name in deployment.endpoint.dialects:
            if name in CHAT:
                return CHAT[name]
    raise InvalidRequest(
        f"'{request.model}' is served by {deployment.endpoint.name}, which has no {request.record.operation}",
        do="Ask for another model.",
        param="model",
    )


def _estimated(request: Request, body: bytes) -> Reply:
    """An answer that was made here, since the provider has no such thing; marked so."""
    frame = Frame(body, lambda _: [])
    return Reply(200, b"application/json", frame, [(b"x-penstock-estimated", b"true")], request.dialect)


class _Said(msgspec.Struct, eq=False):
    """What requests with a caller's head are sent with.

    Attributes:
        endpoint, dialect: by whom and how.
        spoken: the dialect's name; "" where their fields have to be said otherwise.
        head: up to Content-Length.
    """

    endpoint: Endpoint
    dialect: Dialect
    spoken: str
    head: bytes


class _Noted(msgspec.Struct, eq=False):
    """What an answer's head says to whoever gets it; answers that have the same one share it.

    Attributes:
        down: which headers callers of the same dialect get, by the endpoint that was asked; `passed`: those.
        kind: what the body of a whole answer is called to its caller.
        good: it is no error's.
    """

    down: tuple[bytes, ...]
    passed: HeaderLines
    kind: bytes
    good: bool


def _note(head: ResponseHead, endpoint: Endpoint) -> _Noted:
    """Look at a head. Raises ProtocolError: its body is in a coding."""
    headers, down = head.headers, endpoint.down
    if b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
        raise ProtocolError("the provider's answer is compressed, which it was asked not to do")
    passed = HeaderLines.of([(name, headers[name]) for name in down if name in headers])
    good = 200 <= head.status < 300
    noted = head.noted = _Noted(down, passed, of_json(headers.get(b"content-type", b"")), good)
    return noted
