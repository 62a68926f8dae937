"""HTTP/1.1 without I/O, on httptools (llhttp): bytes in, requests out, and the bytes to answer with.

Responses are read in `h1_response`.

The parser is a library; what is ours are the checks it lacks (RFC 9112 with RFC 9110 names the rules): the request
line as it is written there, one valid Host, no Transfer-Encoding in HTTP/1.0, no underscore twins of the headers that
decide, no bytes above ASCII in field values, and caps that are counted before the parser sees the bytes. No await, no
clock, no socket here.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
import msgspec

from penstock.wire.framing import closes
from penstock.wire.known_head import LONGEST, KnownHead, remember
from penstock.wire.unspoken import unspoken

__all__ = [
    "CONTINUE",
    "LAST_CHUNK",
    "Head",
    "HeaderLines",
    "HttpRequest",
    "Refused",
    "RequestParser",
    "awaited_by",
    "encode_headers",
    "encode_response_head",
    "status_line",
]

KIB = 1024
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# A parsed request costs far more than its bytes; a client that pipelines more than this in one go is closed after
# these are answered, and repeats the rest (RFC 9112, section 9.3.2).
MAX_PIPELINED = 16

# RFC 9112, section 3, asks for at least 8,000 octets of request line.
MAX_TARGET = 8 * KIB

# A body that came in more pieces than this is being sent in crumbs, and a list of crumbs takes forty times their size.
MANY_PIECES = 64

# uri-host [ ":" port ] (RFC 9110, section 7.2), without userinfo and without percent-encoding, which no client sends.
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")

# Headers that decide something here: their twins with an underscore are how smuggling hides from a front proxy.
_DECIDING = frozenset((
    b"content-length transfer-encoding content-type content-encoding x-api-key api-key x-goog-api-key x-request-id"
    b" sec-fetch-site x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip"
).split())  # fmt: skip
_ONCE = frozenset((
    b"host content-length transfer-encoding content-type content-encoding authorization x-api-key api-key"
    b" x-goog-api-key expect origin"
).split())  # fmt: skip

# What a target may consist of (RFC 3986, section 3.3), and the brackets that sloppy clients leave in a query. No `#`:
# a fragment is not sent, and readers that cut it off see another path than those that do not.
_TARGET = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:@%/?\[\]-]+\Z")

# A request line, its method and target put in, as the most lenient reader takes it; not where the read ends in it.
_ALIKE = rb"%b\s+%b\s+[A-Za-z]+/[0-9]\.[0-9](?:\r\n|[\n\t\v\f ]|\r(?=[^\n]))"


_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_REASONS[529] = b"Overloaded"  # Anthropic's
_STATUS_LINES = {code: b"HTTP/1.1 %d %s\r\n" % (code, phrase) for code, phrase in _REASONS.items()}


class Refused(Exception):
    """A request that must be answered with `status` and a closed connection.

    Attributes:
        path: what was asked for, where that much was read and sound; else empty.
        error: what to say instead, where whoever refuses knows better.
    """

    def __init__(self, status: int, message: str, path: bytes = b"", error: Exception | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.path = path
        self.error = error


class Head:
    """A request's head.

    Attributes:
        method, path, query: as sent; the path is not decoded and the query comes without its `?`.
        version: `1.1` or `1.0`.
        headers: lower-case names; repeated fields are joined by a comma.
        keep_alive: whether the connection may carry another request.
        noted: what a reader found out about it, None until it has looked; a connection's requests that have the same
            head share it.
        plain: it is answered as nearly all are, with a body and in HTTP/1.1.
        chunks: a stream to it goes in chunks: HTTP/1.0 knows none, and a stream to it ends with the connection.
    """

    __slots__ = ("chunks", "headers", "keep_alive", "method", "noted", "path", "plain", "query", "version")

    def __init__(self, method: bytes, target: bytes, version: str, headers: dict[bytes, bytes]) -> None:
        self.method = method
        self.path, _, self.query = target.partition(b"?")
        self.version = version
        self.headers = headers
        self.keep_alive = True
        self.noted: Any = None
        self.chunks = version == "1.1"
        self.plain = self.chunks and method != b"HEAD"


class HttpRequest(msgspec.Struct, gc=False, eq=False):
    """One whole request: a head, perhaps shared with others, and the body."""

    head: Head
    body: bytes = b""

    @property
    def method(self) -> bytes:
        """As sent."""
        return self.head.method

    @property
    def path(self) -> bytes:
        """As sent, not decoded."""
        return self.head.path

    @property
    def query(self) -> bytes:
        """What follows the `?`."""
        return self.head.query

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Lower-case names; repeated fields are joined by a comma."""
        return self.head.headers

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request."""
        return self.head.keep_alive

    def __repr__(self) -> str:
        return f"<HttpRequest {self.method!r} {self.path!r} {len(self.body)} bytes>"


class RequestParser:
    """The server's side: feed it what the socket gave, take whole requests from `ready`.

    Attributes:
        ready: complete requests in order, those before a refused one included.
        wants_continue: the head of a request asks for `100 Continue` and its body has not come yet.
        idle: no byte of a further request has arrived.
        known: a head that the next request may have; what has it, whole and while nothing else waits or has begun to
            come, need not be fed.
    """

    __slots__ = (
        "_between",
        "_chunks",
        "_head_bytes",
        "_headers",
        "_held",
        "_in_head",
        "_lone",
        "_max_body",
        "_max_fields",
        "_max_head",
        "_offered",
        "_parser",
        "_raw",
        "_repeats",
        "_request",
        "_size",
        "_url",
        "idle",
        "known",
        "ready",
        "wants_continue",
    )

    def __init__(self, max_body: int = 32 * KIB * KIB, max_head: int = 64 * KIB, max_fields: int = 100) -> None:
        self.ready: deque[HttpRequest] = deque()
        self.wants_continue = False
        self.idle = True
        self._max_body = max_body
        self._max_head = max_head
        self._max_fields = max_fields
        self._parser = httptools.HttpRequestParser(self)
        self._offered = b""  # the framing of a body whose request offers an upgrade
        self.known: KnownHead | None = None
        self._in_head = True
        self._lone = True  # no other request came before this one in the bytes at hand
        self._head_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._repeats = 0
        self._url = b""
        self._request: HttpRequest | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._raw = b""
        self._held: bytearray | None = None
        self._between = 0

    def feed(self, data: bytes) -> None:
        """Take bytes in.

        Raises:
            Refused: answer what is in `ready`, then this, then close; feed nothing more.
        """
        if self.idle and self.known is not None and len(self.ready) < MAX_PIPELINED:
            body = self.known.body(data)
            if body is not None:
                self.ready.append(HttpRequest(self.known.meaning, body))
                return
        fresh = self.idle and not self._head_bytes
        if fresh:
            self._lone = True
        try:
            if self._in_head and self._head_bytes + len(data) > self._max_head:
                room = self._max_head - self._head_bytes
                self._parse(data[:room])
                if self._in_head:
                    raise Refused(431, f"the request's head is larger than {self._max_head} bytes")
                data = data[room:]
            waiting, pieces = len(self.ready), len(self._chunks)
            self._parse(data)
            self._count(data, waiting, pieces)
            if fresh and len(self.ready) == waiting + 1:
                self._remember(data)
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, Refused):
                raise error.__context__ from None
            raise
        except httptools.HttpParserError as error:
            raise Refused(400, unspoken(data) or f"not valid HTTP/1.1: {error}") from None

    def _parse(self, data: bytes) -> None:
        self._raw = data
        while data:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                # An offer to switch protocols, which may be ignored (RFC 9110, section 7.8): the parser stopped behind
                # that request, and what follows is HTTP/1.1 still. CONNECT does not come this far.
                data = data[upgrade.args[0] :]
                if self._offered:
                    head, self._offered = b"POST / HTTP/1.1\r\n%b\r\n\r\n" % self._offered, b""
                    self._parser = httptools.HttpRequestParser(_Behind(self))
                    self._parser.feed_data(head)
        self._raw = b""

    def _count(self, data: bytes, waiting: int, pieces: int) -> None:
        """The caps on what is under way, after `data` was parsed; `waiting` and `pieces` are from before."""
        chunks = self._chunks
        if self._in_head:
            if len(self.ready) > waiting:
                # How many of these bytes began the next request is not known: count none.
                self._head_bytes, self._held = 0, None
            else:
                self._head_bytes += len(data)
            if not self.idle:
                if self._held is None:
                    self._held = bytearray()
                self._held += data
            return
        if len(chunks) > pieces:
            self._between = 0
            if len(chunks) > pieces + 1:
                # A chunk a byte would take forty times its size: one piece a read is enough.
                chunks[pieces:] = [b"".join(chunks[pieces:])]
            # Only what is no larger than what follows is joined to it: no byte is copied more than a few times.
            while len(chunks) > MANY_PIECES and len(chunks[-2]) <= len(chunks[-1]):
                chunks[-2:] = [chunks[-2] + chunks[-1]]
            return
        # Chunk extensions and trailers, which nothing here reads, have no end of their own.
        self._between += len(data)
        if self._between > self._max_head:
            raise Refused(431, f"more than {self._max_head} bytes between chunks or after them")

    @property
    def in_head(self) -> bool:
        """Whether the head of a request is still awaited."""
        return self._in_head

    @property
    def received(self) -> int:
        """Bytes of body that have come of the request whose head is known."""
        return self._size

    def _remember(self, data: bytes) -> None:
        """Keep the head of a request that came in one piece: the connection's next one mostly has the same."""
        request = self.ready[-1]
        if request.head.keep_alive and b"expect" not in request.headers and self._max_body >= LONGEST:
            self.known = remember(data, len(request.body), request.head) or self.known

    def drop(self) -> None:
        """Forget what has come of a body; feed nothing afterwards."""
        self._chunks = []

    def close(self) -> None:
        """Break the reference cycle with the parser; feed nothing afterwards."""
        self._parser = None  # type: ignore[assignment]

    # Called by httptools while it is being fed.

    def on_message_begin(self) -> None:
        self.idle = False
        self._in_head = True
        self._headers = {}
        self._repeats = 0
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url = url = self._url + url if self._url else url
        if len(url) > MAX_TARGET:
            raise Refused(414, f"the request's target is larger than {MAX_TARGET} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if not self._in_head:
            # A trailer: nothing here uses any, and they may not override a header. The parser would, with these.
            if name in (b"connection", b"proxy-connection", b"upgrade"):
                raise Refused(400, f"{name.decode()} cannot come after the body")
            return
        if name != b"transfer-encoding":  # which must be one word and nothing else
            value = value.rstrip(b" \t")  # no part of it (RFC 9112, section 5.1)
        headers = self._headers
        if name in headers:
            if name in _ONCE:
                raise Refused(400, f"more than one {name.decode('latin-1')} header")
            self._repeats += 1
            value = headers[name] + b", " + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        self._in_head = False
        self._head_bytes = self._between = 0
        method, version = parser.get_method(), parser.get_http_version()
        self._check_line(method, version)
        self._check_head(version)
        length = headers.get(b"content-length")
        if length is not None and int(length) > self._max_body:
            raise self._too_large()
        if parser.should_upgrade() and (length is not None or b"transfer-encoding" in headers):
            # Java's own client offers h2c with all it sends. This parser takes the body for what follows the switch:
            # another one goes on from there.
            self._offered = b"transfer-encoding: chunked" if length is None else b"content-length: " + length
        head = Head(method, self._target(method), version, headers)
        # In HTTP/1.0 the parser lets `keep-alive` win over a `close` beside it (RFC 9112, section 9.3).
        head.keep_alive = parser.should_keep_alive() and (version == "1.1" or not closes(headers))
        self._request = HttpRequest(head)
        self._size = 0
        if b"expect" in headers:
            if headers[b"expect"].lower() != b"100-continue":
                raise Refused(417, "only Expect: 100-continue is understood")
            self.wants_continue = version == "1.1"

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._max_body:
            raise self._too_large()
        self.wants_continue = False
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self._offered:
            return
        request = self._request
        assert request is not None
        chunks = self._chunks
        if chunks:
            request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self._chunks = []
        self.wants_continue = self._lone = False
        self._request = None
        self._in_head = True
        self.idle = True
        if len(self.ready) >= MAX_PIPELINED:
            raise Refused(400, "too many requests pipelined on one connection")
        self.ready.append(request)

    def _too_large(self) -> Refused:
        path = self._url.partition(b"?")[0]
        return Refused(413, f"the body is larger than {self._max_body} bytes", path)

    def _check_line(self, method: bytes, version: str) -> None:
        """The parser takes several spaces, and RTSP's and ICE's names for HTTP's: the line itself must have come."""
        if version not in ("1.1", "1.0"):
            raise Refused(400, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        if method == b"CONNECT":
            raise Refused(400, "CONNECT is not spoken here")
        held, self._held = self._held, None
        line = b"%b %b HTTP/%b\r\n" % (method, self._url, version.encode())
        seen = self._raw if held is None else bytes(held + self._raw)
        if self._lone and seen.lstrip(b"\r\n").startswith(line):
            return
        # Where it began is not known, and what follows it may hold a better one: so all that look like it must be it.
        alike = re.compile(_ALIKE % (re.escape(method), re.escape(self._url)))
        if {match.group() for match in alike.finditer(seen)} != {line}:
            raise Refused(400, "the request line is not METHOD TARGET HTTP/1.1")

    def _check_head(self, version: str) -> None:
        headers = self._headers
        if len(headers) + self._repeats > self._max_fields:
            raise Refused(431, f"more than {self._max_fields} header fields")
        if not b"".join(headers.values()).isascii():
            raise Refused(400, "a header value has bytes above ASCII")
        if b"_" in b"".join(headers):
            for name in headers:
                meant = name.replace(b"_", b"-")
                if meant != name and (meant in _DECIDING or meant.startswith(b"x-penstock")):
                    raise Refused(400, "a header name with an underscore stands for one with a dash")
        host = headers.get(b"host")
        if host is None:
            if version == "1.1":
                raise Refused(400, "no Host header")
        elif not _HOST.match(host):
            raise Refused(400, "the Host header is not valid")
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
            raise Refused(400, "Transfer-Encoding may only be chunked, and not in HTTP/1.0")

    def _target(self, method: bytes) -> bytes:
        url = self._url
        if not _TARGET.match(url):
            raise Refused(400, "the request target has characters that must be percent-encoded")
        if url.startswith(b"/") or (url == b"*" and method == b"OPTIONS"):
            return url
        # absolute-form (RFC 9112, section 3.2.2): only for the host that is asked anyway.
        scheme, found, rest = url.partition(b"://")
        host = self._headers.get(b"host", b"")
        if found and scheme.lower() in (b"http", b"https") and host:
            authority, slash, path = rest.partition(b"/")
            if authority.lower() == host.lower():
                return slash + path or b"/"
        raise Refused(400, "the request target is not a path of this host")


def awaited_by(parser: RequestParser) -> Head | None:
    """The head of the request whose body is awaited."""
    return parser._request.head if parser._request is not None else None


class _Behind:
    """Tells a reader what another parser of httptools' finds behind the head that it is given first."""

    def __init__(self, reader: RequestParser) -> None:
        self._reader = reader
        self._begun = False
        for name in ("on_message_begin", "on_url", "on_header", "on_body", "on_message_complete"):
            setattr(self, name, partial(self._tell, getattr(reader, name)))

    def on_headers_complete(self) -> None:
        if self._begun:
            self._reader.on_headers_complete()
        self._begun = True

    def _tell(self, callback: Callable[..., None], *found: bytes) -> None:
        if self._begun:
            callback(*found)


def status_line(status: int) -> bytes:
    """The first line of a response."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status


class HeaderLines(tuple[tuple[bytes, bytes], ...]):
    """Headers with the lines that they are written as, for those that are sent more than once."""

    lines: bytes

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> HeaderLines:
        """Names and values must already be clean."""
        made = cls(headers)
        made.lines = encode_headers([*made])
        return made


def encode_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines; names and values must already be clean."""
    if headers.__class__ is HeaderLines:
        return headers.lines
    lines = b""
    for pair in headers:  # few as they are, mostly one, sooner added than joined
        lines += b"%b: %b\r\n" % pair
    return lines


def encode_response_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Status line and headers with the closing blank line."""
    return b"%b%b\r\n" % (status_line(status), encode_headers(headers))
