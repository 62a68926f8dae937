"""The innermost call: one attempt at one deployment, in the caller's own dialect.

The request's top level is written anew with the vendor's model name; the answer's bytes pass as they came, watched
by the dialect's reader. It returns at the commit point: a stream's first output, with what came before it held, or
the whole of any other answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.call import Frame, Reply
from penstock.clock import Clock
from penstock.errors import PenstockError, ProtocolError
from penstock.messages import Request
from penstock.providers.answers import StreamedAnswer
from penstock.providers.deployment import Deployment
from penstock.records import Attempt
from penstock.transport.http import Connection, Pool
from penstock.wire.dialect import Dialect

__all__ = ["Upstream"]


class Upstream:
    """Sends requests to their `target`, a `Deployment`.

    Args:
        pool: the connections.
        dialects: every dialect by name.
    """

    def __init__(self, pool: Pool, dialects: Mapping[str, Dialect], clock: Clock) -> None:
        self._pool = pool
        self._dialects = dialects
        self._clock = clock

    async def __call__(self, request: Request) -> Reply:
        """Raises UpstreamError."""
        deployment: Deployment = request.target
        timeouts = deployment.timeouts
        dialect = self._dialects[request.dialect]
        clock = self._clock
        attempt = Attempt(deployment.id, clock.monotonic())
        request.record.attempts.append(attempt)
        connection: Connection | None = None
        try:
            payload = self._payload(request, deployment, dialect)
            origin = deployment.endpoint.origin
            connection = self._pool.take(origin) or await self._pool.connect(origin, timeouts.connect)
            attempt.sent = clock.monotonic()
            wait = timeouts.output if request.stream else timeouts.answer
            await connection.exchange(payload, stream=request.stream, timeout=wait)
            parser = connection.parser
            attempt.status = parser.status
            if b"content-encoding" in parser.headers:
                _refuse_coding(connection)
            if connection.streaming and parser.status == 200:
                return await self._stream(request, deployment, dialect, attempt, connection)
            return self._unary(request, deployment, dialect, attempt, connection)
        except BaseException as error:
            if connection is not None:
                connection.release()
            attempt.outcome = error.code if isinstance(error, PenstockError) else "cancelled"
            attempt.answered = clock.monotonic()
            raise

    def _payload(self, request: Request, deployment: Deployment, dialect: Dialect) -> bytes:
        body = dialect.encode_request(request.fields, deployment.model, stream=request.stream, ask_usage=True)
        caller = request.caller
        head = deployment.endpoint.head(dialect.path, caller.query, caller.headers)
        return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)

    def _unary(
        self, request: Request, deployment: Deployment, dialect: Dialect, attempt: Attempt, connection: Connection
    ) -> Reply:
        parser = connection.parser
        status, headers, body = parser.status, parser.headers, parser.take()
        now = attempt.answered = self._clock.monotonic()
        connection.release(now)
        if not 200 <= status < 300:
            raise dialect.classify(status, headers, body, self._clock.wall())
        facts = dialect.decode_facts(body, request.record.bytes_in)
        record = request.record
        record.usage, record.response_model, record.finish_reason = facts.usage, facts.model, facts.finish_reason
        attempt.outcome = "ok"
        return Reply(
            status,
            headers.get(b"content-type", b"application/json"),
            Frame(body, dialect.decode_events),
            _passed_down(headers, deployment) if deployment.endpoint.down else (),
        )

    async def _stream(
        self, request: Request, deployment: Deployment, dialect: Dialect, attempt: Attempt, connection: Connection
    ) -> Reply:
        reader = dialect.open_stream(keep_usage=request.usage_asked, prompt_bytes=request.record.bytes_in)
        source = StreamedAnswer(connection, reader, dialect.decode_events, request.record)
        await source.hold(deployment.timeouts)
        attempt.answered = self._clock.monotonic()
        headers = connection.parser.headers
        kind = headers.get(b"content-type", b"text/event-stream")
        return Reply(200, kind, source, _passed_down(headers, deployment))


def _refuse_coding(connection: Connection) -> None:
    if connection.parser.headers[b"content-encoding"].lower() != b"identity":
        raise ProtocolError("the provider's answer is compressed, which it was asked not to do")


def _passed_down(headers: Mapping[bytes, bytes], deployment: Deployment) -> list[tuple[bytes, bytes]]:
    return [(name, headers[name]) for name in deployment.endpoint.down if name in headers]
