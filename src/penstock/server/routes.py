"""The data plane's routes: from one HTTP request to the gateway's call, and its reply or error back.

Errors come in the envelope of the dialect that was called. Nothing here knows what a body means; dialects do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import lru_cache
from math import floor
from typing import Any
from urllib.parse import unquote

import msgspec

from penstock.call import Reply
from penstock.errors import (
    InvalidRequest,
    NotFound,
    Overloaded,
    PenstockError,
    ProtocolError,
    ProviderAnswer,
    RateLimited,
    UnknownModel,
    UpstreamCredential,
    UpstreamError,
    UpstreamQuota,
)
from penstock.gateway import Gateway
from penstock.layers.record import CALLER_LEFT, STOPPING, is_stopped
from penstock.messages import Caller, Request
from penstock.metrics import Metrics
from penstock.records import LONGEST_NAME, Record, kept, shortened
from penstock.redact import spared
from penstock.routing.admission import shed
from penstock.routing.labels import check_tags, joined
from penstock.routing.wishes import RANKS, read_wishes, wishes_of
from penstock.server.azure_form import is_azure_call, named, plain_call
from penstock.server.exchange import Exchange
from penstock.server.forwarded import Proxies
from penstock.server.guards import Guards, json_only
from penstock.server.misdirected import not_found
from penstock.server.model_list import anthropic_cards, anthropic_page, openai_cards
from penstock.server.own import Own
from penstock.server.spoken import STREAM_TYPE, Spoken
from penstock.server.waiting import Waiting
from penstock.stores.strain import Strain
from penstock.usage import usd
from penstock.wire.dialect import Inbound
from penstock.wire.dialects import CALLERS, DIALECTS, GENERATE
from penstock.wire.h1 import Head, HttpRequest, Refused, encode_headers
from penstock.wire.limit_headers import limit_lines
from penstock.wire.media_type import of_json
from penstock.wire.signals import read_error
from penstock.wire.structured_fields import read_dictionary
from penstock.wire.tolerant_json import decode_tolerant

__all__ = ["Routes"]

log = logging.getLogger("penstock.server")

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
NO_PRICE = "x-penstock-cost-usd: null\r\n"
TEXT = b"content-type: text/plain; charset=utf-8\r\n"
# By the first word of a dialect's name; the second of two is the one that is never ambiguous.
PREFIXES = {"openai": (b"/v1", b"/openai/v1"), "anthropic": (b"/v1", b"/anthropic/v1"), "generate": (b"/v1",)}

OPERATIONS = {
    "openai_chat": "chat",
    "openai_embeddings": "embeddings",
    "anthropic_messages": "chat",
    "anthropic_count_tokens": "count_tokens",
    "generate": "chat",
}

_DIALECTS: dict[str, Inbound] = {**DIALECTS, **CALLERS}

# In which the request's id has a second name.
_ANTHROPIC = frozenset(name for name in OPERATIONS if name.startswith("anthropic"))

# Bodies above this take the loop for a while (1 to 5 ms a MiB, whatever is in them): one at a time, others between
# them.
LARGE = 256 * 1024
# What a caller is told to wait where all connections are in use, seconds.
FULL_RETRY = 1.0


class Routes:
    """Answers requests.

    Attributes:
        ready: what `/readyz` says; the server's lifecycle sets it.
        generation: the configuration's, told by `/healthz` and `/readyz`; 0 where it has none.
    """

    def __init__(self, gateway: Gateway, guards: Guards) -> None:
        self._gateway = gateway
        self._full = gateway.full
        self._guards = guards
        self._cors = guards.cors
        self._large = asyncio.Lock()
        trusted = gateway.config.server.trusted_proxies
        self._proxies = Proxies(trusted) if trusted else None
        shared = gateway.shared
        self._ranking = shared.keys is not None or any(key.priority for key in gateway.config.keys)
        self.ready = True
        self.generation = 0
        self._spoken = Spoken(_reply_headers, gateway.now)
        self._own = Own(gateway, gateway.shared.questions)
        self._waiting = Waiting(gateway.config.server.keepalive, gateway.clock, _waiting_headers)
        self._posts: dict[bytes, Inbound] = {
            prefix + dialect.path: dialect for dialect in _DIALECTS.values() for prefix in PREFIXES[_family(dialect)]
        }

    def handle(self, http: HttpRequest, out: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answer at once, or return what will; it calls `out.close` at its end."""
        head = http.head
        if self._cors is not None:
            out.extra = self._cors.lines(head.headers)
        caller: Caller | None = head.noted
        dialect: Inbound | None
        if caller is not None:
            dialect = caller.asks
        else:
            dialect = self._posts.get(head.path) if head.method == b"POST" else None
        if dialect is not None:
            full = self._full
            if full is not None and (short := full()) is not None:
                self._turn_away(short, dialect, http, out)
                return None
            return self._call(dialect, http, out)
        if head.method == b"POST" and is_azure_call(head.path):
            plain, model = plain_call(http)
            return self._call(self._posts[plain.path], plain, out, model)
        if http.path in (b"/healthz", b"/readyz"):
            self._health(http, out)
        elif head.method == b"OPTIONS":
            self._options(http, out)
        elif http.method in (b"GET", b"HEAD") and Own.knows(http.path):
            return self._ask_own(http, out)
        else:
            self._other(http, out)
        return None

    def close(self) -> None:
        """Leave nothing behind once the requests that are being answered are over."""
        self._waiting.close()

    def refuse(self, refused: Refused, out: Exchange) -> None:
        """Answer what was not valid HTTP or too large: in OpenAI's envelope, where the path tells no dialect."""
        record = self._gateway.begin("http")
        record.address, record.path = out.peer, _path(refused.path)
        dialect = self._posts.get(refused.path, DIALECTS["openai_chat"])
        if refused.status == 503 and refused.error is None:
            _tell(self._gateway, _crowded(refused.message), record, dialect, out)
            return
        error: PenstockError = InvalidRequest(refused.message, do="Mend the request.", status=refused.status)
        if isinstance(refused.error, PenstockError):
            error = refused.error
        self._gateway.refuse(record, error)
        out.send(*_error_answer(error, record, dialect))

    def _turn_away(self, short: Overloaded, dialect: Inbound, http: HttpRequest, out: Exchange) -> None:
        """Answer at once whom there is no place for: thousands may come in a second, and each costs others' time."""
        record = self._begin(OPERATIONS[dialect.name], http, out)
        try:
            self._gateway.metrics.shed.inc((_priority(http.head.noted or self._caller(dialect, http)),))
        except Exception as error:  # noqa: BLE001 -- as below
            self._gateway.refuse(record, error)
            _fail(error, record, dialect, out)
            return
        _tell(self._gateway, short, record, dialect, out)

    def doubt(self, head: Head, peer: str | None) -> Refused | None:
        """Why a large body that begins with this head is not read to its end; None where its caller is known.

        Strangers could otherwise take the room that all large bodies have, by sending a few of their own slowly.
        """
        http, dialect = HttpRequest(head), self._posts.get(head.path)
        record = self._gateway.begin(OPERATIONS[dialect.name] if dialect is not None else "http")
        record.address = peer if self._proxies is None else self._proxies.caller(peer, head.headers)
        try:
            self._guards.check(http)
            self._gateway.whose(caller_of(http), record)
        except PenstockError as error:
            return Refused(error.status, error.message, head.path, error)
        return None

    # --- calls to models

    async def _call(self, dialect: Inbound, http: HttpRequest, out: Exchange, model: str = "") -> None:
        gateway = self._gateway
        record = gateway.begin(OPERATIONS[dialect.name])
        record.address = out.peer if self._proxies is None else self._proxies.caller(out.peer, http.headers)
        reply: Reply | None = None
        try:
            try:
                strain = gateway.strain
                if strain is not None and strain.level >= 1.0:
                    caller = http.head.noted or self._caller(dialect, http)
                    _shut_out(caller, strain, gateway.metrics, ranking=self._ranking)
                size = record.bytes_in = len(http.body)
                if size > LARGE:
                    await self._wait_turn()
                request = self._request(dialect, http, record, model)
            except Exception as error:
                gateway.refuse(record, error)
                raise
            call = gateway.call
            if not request.stream:
                reply = await call(request)
                frame = reply.take()
                if frame is not None and reply.dialect == request.dialect:
                    out.send(reply.status, _reply_headers(reply, request), frame.data)
                else:
                    await self._spoken.translated(reply, frame, request, out)
            else:
                self._waiting.add(out, request)
                try:
                    reply = await call(request)
                finally:
                    self._waiting.remove(out)
                frame = reply.take()
                if frame is not None or reply.dialect != request.dialect:
                    await self._spoken.translated(reply, frame, request, out)
                else:
                    await self._spoken.stream(reply, request, out)
                    if not out.ended:
                        out.finish()
        except Exception as error:
            if not out.started:
                _fail(error, record, dialect, out)
            elif reply is None:
                out.push(dialect.encode_stream_error(_told(error, record)))
                out.finish()
            else:
                log.error("request %s failed inside Penstock", record.id, exc_info=error)
        except asyncio.CancelledError as error:
            if is_stopped(error) and not out.ended:
                self._stop(record, dialect, out)
            raise
        finally:
            if reply is not None:
                record.bytes_out = out.written
                if not out.ended:
                    record.status, record.error = CALLER_LEFT, "cancelled"
                reply.close()
            out.close()

    def _stop(self, record: Record, dialect: Inbound, out: Exchange) -> None:
        """The gateway stops, and nothing more comes: whoever waits hears so. What was pushed are whole events."""
        if out.started:
            record.stream_error = STOPPING.code
            for attempt in record.attempts:
                if not attempt.usage:  # it goes on: what is told of it is told of the request
                    attempt.stream_error = STOPPING.code
            out.push(dialect.encode_stream_error(STOPPING))
            out.finish()
        else:
            out.send(*_error_answer(STOPPING, record, dialect))

    async def _wait_turn(self) -> None:
        """Wait until no other large body is being read; the turn ends with this turn of the loop."""
        await self._large.acquire()
        asyncio.get_running_loop().call_soon(self._large.release)

    def _request(self, dialect: Inbound, http: HttpRequest, record: Record, model: str) -> Request:
        """The request's value; raises CallerError."""
        if not self.ready:
            raise STOPPING
        caller: Caller = http.head.noted or self._caller(dialect, http)
        if caller.filed:
            record.task, record.tags = caller.task, caller.tags
        body = http.body
        decoded = dialect.decode_request(named(body, model) if model else body)
        name, asked = dialect.name, decoded.model
        if name == "generate":
            task = GENERATE.read_task(decoded.fields)
            if task:
                record.task = task if len(task) <= LONGEST_NAME else shortened(task)
            if "tags" in decoded.fields:
                record.tags = joined(caller.tags, check_tags(GENERATE.read_tags(decoded.fields), "tags"))
            if said := GENERATE.read_wishes(decoded.fields):
                caller = caller.wishing(read_wishes(said, caller.wishes))
        record.model = asked if len(asked) <= LONGEST_NAME else shortened(asked)
        stream = record.stream = decoded.stream
        return Request(name, asked, stream, decoded.fields, caller, record, decoded.usage_asked)

    def _caller(self, dialect: Inbound, http: HttpRequest) -> Caller:
        """The edge's facts, once the guards let it pass; a connection's further requests often have the same head."""
        self._guards.check(http)
        json_only(http)
        caller = http.head.noted = caller_of(http)
        caller.asks = dialect
        return caller

    # --- everything else

    def _health(self, http: HttpRequest, out: Exchange) -> None:
        if http.method not in (b"GET", b"HEAD"):
            out.send(405, TEXT + b"allow: GET, HEAD\r\n", b"use GET\n")
            return
        headers = TEXT + b"x-penstock-generation: %d\r\n" % self.generation if self.generation else TEXT
        if http.path == b"/healthz" or self.ready:
            out.send(200, headers, b"ok\n")
        else:
            out.send(503, headers, b"draining\n")

    def _other(self, http: HttpRequest, out: Exchange) -> None:
        record = self._begin("models" if _models_root(http.path) else "http", http, out)
        dialect = self._dialect_of(http)
        try:
            self._guards.check(http)
            body = self._find(http, record)
        except Exception as error:  # noqa: BLE001 -- as above
            self._gateway.refuse(record, error)
            _fail(error, record, dialect, out)
        else:
            record.bytes_out = len(body)
            self._gateway.finish(record, 200)
            headers = [JSON, *_ids(record, dialect)]
            out.send(200, encode_headers(headers), body)

    async def _ask_own(self, http: HttpRequest, out: Exchange) -> None:
        """What a caller asks about itself; it takes a word with the centre."""
        asked = "requests" if b"/requests/" in http.path else "key"
        record, dialect = self._begin(asked, http, out), self._dialect_of(http)
        try:
            self._guards.check(http)
            key = self._gateway.whose(caller_of(http), record)
            body = await self._own.answer(http.path, key)
        except BaseException as error:
            self._gateway.refuse(record, error)
            if not isinstance(error, Exception):
                raise
            _fail(error, record, dialect, out)
        else:
            record.bytes_out = len(body)
            self._gateway.finish(record, 200)
            out.send(200, encode_headers([JSON, *_ids(record, dialect)]), body)
        finally:
            out.close()

    def _options(self, http: HttpRequest, out: Exchange) -> None:
        """What a path can be asked for, and the answer to a browser's preflight."""
        record = self._begin("http", http, out)
        try:
            self._guards.check(http)
            allowed = _EVERY_METHOD if http.path == b"*" else self._allowed(http.path)
            if not allowed:
                raise not_found(http.path)
        except Exception as error:  # noqa: BLE001 -- as above
            self._gateway.refuse(record, error)
            _fail(error, record, self._dialect_of(http), out)
            return
        self._gateway.finish(record, 204)
        told = self._cors.preflight(http.headers, allowed) if self._cors is not None else b""
        out.send_nothing(b"allow: %b\r\nx-request-id: %b\r\n%b" % (allowed, record.id.encode(), told))

    def _begin(self, operation: str, http: HttpRequest, out: Exchange) -> Record:
        record = self._gateway.begin(operation)
        record.address = out.peer if self._proxies is None else self._proxies.caller(out.peer, http.headers)
        if operation == "http":
            record.path = _path(http.path)
        return record

    def _allowed(self, path: bytes) -> bytes:
        """The methods of a path, as the Allow header has them; empty where there is no such path."""
        if path in self._posts or is_azure_call(path):
            return b"POST, OPTIONS"
        return b"GET, HEAD, OPTIONS" if _models_root(path) or Own.knows(path) else b""

    def _dialect_of(self, http: HttpRequest) -> Inbound:
        """The dialect to answer in where no operation says it: the route's, or what the client's headers tell."""
        path = http.path
        known = self._posts.get(path)
        if known is not None:
            return known
        anthropic = path.startswith((b"/anthropic/", b"/v1/messages")) or b"anthropic-version" in http.headers
        return DIALECTS["anthropic_messages" if anthropic and not path.startswith(b"/openai/") else "openai_chat"]

    def _find(self, http: HttpRequest, record: Record) -> bytes:
        """The body for a GET, or the error that says what there is; raises CallerError."""
        path = http.path
        models, allowed = _models_root(path), self._allowed(path)
        if models and http.method in (b"GET", b"HEAD"):
            return self._models(http, record, unquote(path[len(models) + 1 :].decode("latin-1")))
        if allowed:
            raise _WrongMethod(http, allowed)
        raise not_found(path)

    def _models(self, http: HttpRequest, record: Record, wanted: str) -> bytes:
        found = self._gateway.models(caller_of(http), record)
        anthropic = _family(self._dialect_of(http)) == "anthropic"
        cards = anthropic_cards(found) if anthropic else openai_cards(found)
        if not wanted:
            listed = anthropic_page(cards, http.query) if anthropic else {"object": "list", "data": cards}
            return msgspec.json.encode(listed)
        record.model = wanted if len(wanted) <= LONGEST_NAME else shortened(wanted)
        for card in cards:
            if card["id"] == wanted:
                return msgspec.json.encode(card)
        raise UnknownModel(f"no model named '{wanted}' can be asked for", do="GET /v1/models lists them.")


def _path(path: bytes) -> str | None:
    """As the log line tells it."""
    return kept(spared(path.decode("latin-1")))


def _error_answer(error: PenstockError, record: Record, dialect: Inbound) -> tuple[int, bytes, bytes]:
    """An error's status, header lines and body."""
    headers: Headers = [JSON, *_ids(record, dialect)]
    if record.deployment:
        headers.append((b"x-penstock-target", _header_safe(record.deployment)))
        headers.append((b"x-penstock-attempts", b"%d" % len(record.attempts)))
    if isinstance(error, _WrongMethod):
        headers.append((b"allow", error.allowed))
    if error.retry_after is not None:
        # Whole seconds, rounded up; but not for the microsecond by which a wait is made surely long enough.
        headers.append((b"retry-after", b"%d" % -(-(error.retry_after - 1e-5) // 1)))
        if isinstance(error, RateLimited):  # the exact wait, which OpenAI's clients read first
            headers.append((b"retry-after-ms", b"%d" % -(-error.retry_after * 1000 // 1)))
    status, body = error.status, None
    answer = _own_words(error, dialect)
    if answer is not None:
        body = answer.body
        headers[0] = (b"content-type", of_json(answer.headers.get(b"content-type", b"")))
        status = answer.status if answer.status >= 400 else status
    if body is None:
        body = dialect.encode_error(error, record.id)
        if not error.retryable and (status >= 500 or status in (408, 409, 429)):
            headers.append((b"x-should-retry", b"false"))
    return status, encode_headers(headers) + limit_lines(record.limits, dialect.name, record.wall).encode(), body


def _tell(gateway: Gateway, error: PenstockError, record: Record, dialect: Inbound, out: Exchange) -> None:
    """Refuse by an error that many are told."""
    gateway.refuse(record, error)
    status, headers, body = _prepared(error, dialect.name)
    id = record.id.encode()
    out.send(status, headers.replace(_ID, id), body.replace(_ID, id))


@lru_cache(16)
def _crowded(message: str) -> Overloaded:
    return Overloaded(message, do="Try again in a moment.", retry_after=FULL_RETRY)


# Stands for a request's id in an answer that is made once for many.
_ID = b"00000000-0000-0000-0000-000000000000"


@lru_cache(256)
def _prepared(error: PenstockError, dialect: str) -> tuple[int, bytes, bytes]:
    """The answer of an error that many are told, `_ID` in it."""
    return _error_answer(error, Record(_ID.decode(), OPERATIONS[dialect], 0.0, 0.0), _DIALECTS[dialect])


def _fail(error: Exception, record: Record, dialect: Inbound, out: Exchange) -> None:
    out.send(*_error_answer(_told(error, record), record, dialect))


def _shut_out(caller: Caller, strain: Strain, metrics: Metrics, *, ranking: bool) -> None:
    """Refuse what the layer would refuse too, before its body is read. Raises Overloaded.

    Args:
        ranking: a key may say that it is more urgent; then who says nothing is let through.
    """
    if caller.wishes is None and ranking:
        return
    priority = _priority(caller)
    if strain.shuts_out(RANKS[priority]):
        metrics.shed.inc((priority,))
        raise shed(priority, strain.wait())


def _priority(caller: Caller) -> str:
    return caller.wishes.priority if caller.wishes is not None else "normal"


def _told(error: Exception, record: Record) -> PenstockError:
    """What a caller is told of it; of what nobody foresaw the log has the details."""
    if isinstance(error, PenstockError):
        return error
    log.error("request %s failed inside Penstock", record.id, exc_info=error)
    internal = PenstockError("something failed inside Penstock", do=f"Report it with the id {record.id}.")
    internal.code = "internal_error"
    return internal


def caller_of(http: HttpRequest) -> Caller:
    """The edge's facts about a request; raises InvalidRequest where what it wishes for cannot be read."""
    headers = http.headers
    credential = None
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, secret = authorization.partition(b" ")
        if scheme.lower() == b"bearer":
            credential = secret.strip().decode("latin-1")
    else:
        for name in (b"x-api-key", b"x-goog-api-key", b"api-key"):
            if name in headers:
                credential = headers[name].decode("latin-1")
                break
    query = http.query
    if b"key=" in query:
        kept = []
        for pair in query.split(b"&"):
            if pair.startswith(b"key="):
                credential = credential if credential is not None else pair[4:].decode("latin-1")
            else:
                kept.append(pair)
        query = b"&".join(kept)
    caller = Caller(headers, query, credential)
    if b"x-penstock-key" in headers:
        # Then what stands in the usual place is the provider's: `credentials: caller`.
        caller.credential = headers[b"x-penstock-key"].decode("latin-1")
        caller.provider_credential = credential
    caller.wishes = wishes_of(headers)
    if b"x-penstock-task" in headers:
        task = headers[b"x-penstock-task"].decode("latin-1")
        caller.filed, caller.task = True, task if len(task) <= LONGEST_NAME else shortened(task)
    if b"x-penstock-tags" in headers:
        caller.filed, caller.tags = True, _tags(headers[b"x-penstock-tags"].decode("latin-1"))
    return caller


def _tags(text: str) -> tuple[tuple[str, str], ...]:
    try:
        return check_tags(read_dictionary(text), "x-penstock-tags")
    except ValueError as error:
        raise InvalidRequest(
            f"x-penstock-tags: {error}", do='Write it as: feature=search, team="a b".', param="x-penstock-tags"
        ) from None


def _family(dialect: Inbound) -> str:
    return dialect.name.partition("_")[0]


def _ids(record: Record, dialect: Inbound) -> Headers:
    """The request's id, under the names that the vendors' own clients look for."""
    found = [(b"x-request-id", record.id.encode())]
    if _family(dialect) == "anthropic":
        found.append((b"request-id", record.id.encode()))
    return found


def _reply_headers(reply: Reply, request: Request) -> bytes:
    record = request.record
    # As text, which is put together in half the time that bytes take.
    text = f"x-request-id: {record.id}\r\nx-penstock-overhead-us: {floor(record.overhead * 1e6)}\r\n"
    if record.usage is not None:  # of a stream it is known at its end: it stands in the log line
        cost = record.cost
        text += f"x-penstock-cost-usd: {usd(cost)}\r\n" if cost is not None else NO_PRICE
    if request.dialect in _ANTHROPIC:
        text += f"request-id: {record.id}\r\n"
    if record.limits:
        text += limit_lines(record.limits, request.dialect, record.wall)
    usual = _usual_lines(record.deployment, len(record.attempts))
    block = b"content-type: %b\r\n%b%b" % (reply.content_type, usual, text.encode())
    if record.dropped:
        block += b"x-penstock-dropped: %b\r\n" % _header_safe(", ".join(record.dropped))
    if record.clamped:
        block += b"x-penstock-clamped: %b\r\n" % _header_safe(", ".join(record.clamped))
    return block + encode_headers(reply.headers) if reply.headers else block


def _waiting_headers(request: Request) -> bytes:
    """The head of a stream of which nothing else is known yet."""
    known = [(b"content-type", STREAM_TYPE), *_ids(request.record, CALLERS[request.dialect])]
    limits = limit_lines(request.record.limits, request.dialect, request.record.wall)
    return encode_headers([*known, (b"x-penstock-cache", b"off")]) + limits.encode()


@lru_cache(1024)
def _usual_lines(deployment: str, attempts: int) -> bytes:
    """The lines that many answers have in common: who answered, after how many attempts. Not what a provider calls its
    answer: a thousand of these may be 64 KiB each."""
    target = _header_safe(deployment)
    return b"x-penstock-target: %b\r\nx-penstock-attempts: %d\r\nx-penstock-cache: off\r\n" % (target, attempts)


def _header_safe(text: str) -> bytes:
    """A value that may hold what a caller wrote, as a header: visible ASCII only (security.md 10)."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text).encode()


def _own_words(error: PenstockError, dialect: Inbound) -> ProviderAnswer | None:
    """The provider's own answer, where the caller is to have it as it came.

    Not where it is in another dialect than the caller's; nor where it complains about our credential or account,
    which is none of the caller's business; nor where it is no JSON, or says nothing of an error (as a model's answer
    does that came with a 500): a caller that expects an error object gets one.
    """
    if not isinstance(error, UpstreamError) or isinstance(error, ProtocolError):
        return None
    if isinstance(error, (UpstreamCredential, UpstreamQuota)) and not error.callers_own:
        return None
    answer = error.answer
    if answer is None or error.dialect != dialect.name:
        return None
    try:
        told = decode_tolerant(answer.body)
    except ValueError:
        return None
    named = isinstance(told, dict) and told.get("error")
    return answer if named or (isinstance(told, dict | list) and read_error(told).message) else None


_EVERY_METHOD = b"GET, HEAD, POST, OPTIONS"


class _WrongMethod(NotFound):
    """A path that is there, but not for this method (405); the answer names those it is there for."""

    code = NotFound.code

    def __init__(self, http: HttpRequest, allowed: bytes) -> None:
        shown = http.path.decode("latin-1")[:200]
        use = allowed.partition(b",")[0].decode()
        super().__init__(f"{shown} is not there for {http.method.decode('latin-1')}", do=f"Use {use}.", status=405)
        self.allowed = allowed


def _models_root(path: bytes) -> bytes:
    """The part of a path up to `/models`, where it leads there; else empty."""
    for models in (b"/v1/models", b"/openai/v1/models", b"/anthropic/v1/models", b"/openai/models"):
        if path == models or path.startswith(models + b"/"):
            return models
    return b""
