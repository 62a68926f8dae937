"""The client's side of HTTP/1.1 without I/O, on httptools (llhttp): bytes in, one response after the other out.

As in `h1`, the parser is a library, and what is ours are the checks it lacks. No await, no clock, no socket here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import httptools

from penstock.wire.framing import closes, codings
from penstock.wire.known_head import KnownHead, remember

__all__ = ["PARSER_ERRORS", "Malformed", "ResponseHead", "ResponseParser"]

KIB = 1024

# Servers send at most a few 1xx before an answer.
MAX_INTERIM = 100

# After so many heads of responses in a row, each unlike the one before, the next are not compared any more.
MANY_STRANGE = 8

# Below this, pieces of a body that is held are worth joining.
SMALL_PIECE = 4 * KIB


@lru_cache(64)
def _lowered(names: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """A head's names in lower case, kept: a server mostly sends the same ones in the same order."""
    return tuple(map(bytes.lower, names))


class Malformed(Exception):
    """A response that is not valid HTTP/1.1, or ends before its end."""


# What feeding a response to its parser may raise.
PARSER_ERRORS = (Malformed, httptools.HttpParserError, httptools.HttpParserUpgrade)


class ResponseHead:
    """A response's status and headers.

    Attributes:
        headers: lower-case names; of repeated fields the last one counts, and trailers not at all. Content-Length may
            be missing.
        noted: what a reader found out about it, None until it has looked; a connection's answers that have the same
            head share it.
    """

    __slots__ = ("headers", "noted", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes]) -> None:
        self.status = status
        self.headers = headers
        self.noted: Any = None


_NO_HEAD = ResponseHead(0, {})


class _Callbacks:
    """What httptools calls: where it can, C functions of a dict and a list, which cost a tenth of a Python call."""

    def __init__(self, parser: ResponseParser, fields: dict[bytes, bytes]) -> None:
        self.on_message_begin = parser.ended.clear
        self.on_header = fields.__setitem__
        self.on_headers_complete = parser.headers_completed
        self.on_body = parser.pending.append
        self.on_message_complete = parser.message_completed


class ResponseParser:
    """The client's side: one response a parser at a time; `reset` readies it for the next on the same connection.

    Attributes:
        head: status and headers, once they are known.
        head_complete: they are (1xx responses are skipped).
        complete: the whole body has come.
        surplus: bytes came after the end; the connection must not be used again.
        pending: pieces of body waiting to be taken.
        ended: not empty between the end of a message and the first byte of the next.
        whole: the head of the response before, where that was one that nobody looks at byte by byte: a 200, and no
            text. What comes next, whole and with that head, need not be fed.
        strange: how many heads in a row were unlike the one before.
    """

    __slots__ = (
        "_fields",
        "_head_bytes",
        "_heads",
        "_interim",
        "_interims",
        "_joined",
        "_known",
        "_max_head",
        "_parser",
        "_size",
        "_until_close",
        "complete",
        "ended",
        "feed_body",
        "head",
        "head_complete",
        "keep_alive",
        "pending",
        "strange",
        "surplus",
        "unpaid",
        "whole",
    )

    def __init__(self, max_head: int = 64 * KIB) -> None:
        self._max_head = max_head
        self._known: KnownHead | None = None
        self.whole: KnownHead | None = None
        self.strange = 0
        self._joined = 0
        self._size = 0
        self.pending: list[bytes] = []
        self.ended: list[bool] = []
        self._fields: dict[bytes, bytes] = {}
        self._parser = httptools.HttpResponseParser(_Callbacks(self, self._fields))
        self.feed_body = self._parser.feed_data
        self._begin()
        self.reset()

    @property
    def status(self) -> int:
        """The head's, 0 before it is known."""
        return self.head.status

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The head's, empty before it is known."""
        return self.head.headers

    def reset(self) -> None:
        """Forget the response that was; only right after a complete one without surplus."""
        self.head = _NO_HEAD
        self.head_complete = self.complete = self.keep_alive = False
        if self._head_bytes:  # else its head was known, and nothing was parsed
            self._begin()

    def _begin(self) -> None:
        self.surplus = self._interim = self._until_close = False
        self._head_bytes = self._interims = self.unpaid = 0
        self._heads = b""
        self._fields.clear()

    def feed(self, data: bytes) -> None:
        """Take bytes in.

        Raises:
            Malformed: not HTTP/1.1, or a head above the cap. What was decoded before stays readable.
        """
        if self.complete:
            self.surplus = True
            return
        fresh = not self._head_bytes
        if fresh and self._known is not None and self._take_known(data, self._known):
            return
        try:
            if not self.head_complete:
                self._head_bytes += len(data)
                self._heads = data if fresh else self._heads + data
                if self._head_bytes > self._max_head:
                    room = self._max_head - (self._head_bytes - len(data))
                    self._parser.feed_data(data[:room])
                    if not self.head_complete:
                        raise Malformed(f"the response's head is larger than {self._max_head} bytes")
                    data = data[room:]
                self._parser.feed_data(data)
            else:
                pieces = len(self.pending)
                self._parser.feed_data(data)
                if len(self.pending) == pieces and not self.complete:
                    self._charge(len(data))
                elif self.unpaid:
                    self.unpaid = 0
            if self.complete:
                if not self.ended:
                    self.surplus = True  # the beginning of another response
                elif fresh and self.strange <= MANY_STRANGE:
                    self._remember(data)
        except PARSER_ERRORS as error:
            self.judge(error)

    def _take_known(self, data: bytes, known: KnownHead) -> bool:
        """Whether it is a whole response with the head of the one before: then it is taken in."""
        body = known.body(data)
        if body is None:
            return False
        self.head = known.meaning
        self.pending.append(body)
        self.keep_alive = self.head_complete = self.complete = True
        self.strange = 0
        return True

    def _remember(self, data: bytes) -> None:
        """Keep the head of a response that came in one piece, as long as servers are not found to change it always."""
        self.strange += 1
        if self.strange > MANY_STRANGE:
            self._known = self.whole = None
        elif self.keep_alive and not self._interims and len(self.pending) == 1:
            headers = {name: value for name, value in self.headers.items() if name != b"content-length"}
            plain = self.status == 200 and headers.get(b"content-type", b"")[:5].lower() != b"text/"
            self._known = remember(data, len(self.pending[0]), ResponseHead(self.status, headers))
            self.whole = self._known if plain else None

    def account(self, size: int) -> None:
        """After `feed_body`, where it brought no piece, or the end, or nothing had come before: raises Malformed."""
        if self.complete:
            self.surplus = self.surplus or not self.ended
        elif not self.pending:
            self._charge(size)
        else:
            self.unpaid = 0

    def judge(self, error: Exception) -> None:
        """What to do about one of `PARSER_ERRORS`: raises Malformed; what comes after the end is surplus alone."""
        if isinstance(error, Malformed):
            raise error
        if isinstance(error, httptools.HttpParserCallbackError):
            if isinstance(error.__context__, Malformed):
                raise error.__context__ from None
            if error.__context__ is None and not self.complete:
                raise Malformed("not valid HTTP/1.1, as what came before") from None
            if not self.surplus:
                raise error
        elif not self.complete:
            raise Malformed(f"not valid HTTP/1.1: {error}") from None
        else:
            self.surplus = True

    def _charge(self, size: int) -> None:
        """Count bytes that brought no body: an extension or a trailer may have no end, and the parser holds them."""
        self.unpaid += size
        if self.unpaid > self._max_head:
            raise Malformed(f"more than {self._max_head} bytes of the body are no content")

    def eof(self) -> None:
        """The peer closed.

        Raises:
            Malformed: in the middle of the response (or before it).
        """
        if self.complete:
            return
        if self.head_complete and self._until_close:
            self.complete = True
            self.keep_alive = False
            return
        raise Malformed("the connection was closed before the response was complete")

    def gather(self) -> int:
        """Join the pieces that came since the last call, and return how many bytes wait to be taken.

        A peer may send each byte as a chunk of its own: unjoined, they would take forty times their size.
        """
        pieces, joined = self.pending, self._joined
        if len(pieces) > joined:
            if len(pieces) > joined + 1:
                pieces[joined:] = [b"".join(pieces[joined:])]
            size = len(pieces[joined])
            self._size += size
            # Nor may small reads be kept one by one. Equal ones are joined, so that no byte is copied often.
            while joined and size < SMALL_PIECE and len(pieces[joined - 1]) <= size:
                joined -= 1
                pieces[joined:] = [pieces[joined] + pieces[joined + 1]]
                size = len(pieces[joined])
            self._joined = joined + 1
        return self._size

    def first_byte(self) -> bytes:
        """The first byte of the waiting body that is no white space, b"" if there is none."""
        for piece in self.pending:
            stripped = piece.lstrip()
            if stripped:
                return stripped[:1]
        return b""

    def take(self) -> bytes:
        """The body bytes that came since the last call."""
        pieces = self.pending
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._joined = self._size = 0
        return data

    def close(self) -> None:
        """Break the reference cycle with the parser; feed nothing afterwards."""
        self._parser = self.feed_body = None  # type: ignore[assignment]

    # Called by httptools while it is being fed.

    def headers_completed(self) -> None:
        """The head of a response is whole."""
        if self.complete:
            self.surplus = True  # a second response, unasked
            raise httptools.HttpParserError("surplus")
        parser, fields = self._parser, self._fields
        status = parser.get_status_code()
        if status < 200 and status >= 100:
            if status == 101:
                raise Malformed("not valid HTTP/1.1: it switches protocols, which nobody asked for")
            self._interims += 1
            if self._interims > MAX_INTERIM:
                raise Malformed(f"more than {MAX_INTERIM} interim responses")
            self._interim = True
            fields.clear()
            return
        if not 200 <= status <= 599:
            raise Malformed(f"not valid HTTP/1.1: no status is {status}")
        if len(fields) > 500:
            raise Malformed("the response has more than 500 header fields")
        headers = dict(zip(_lowered(tuple(fields)), fields.values(), strict=True))
        self.head = ResponseHead(status, headers)
        self.keep_alive = parser.should_keep_alive()
        if self._heads.lstrip(b"\r\n")[:1] != b"H":
            raise Malformed("not valid HTTP/1.1: another protocol")  # the parser reads RTSP and ICE as well
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (
            coding.lower().rstrip(b" ") != b"chunked" or codings(self._heads, self._interims) > 1
        ):
            raise Malformed("not valid HTTP/1.1: a Transfer-Encoding other than chunked, which nobody asked for")
        self._heads = b""
        if not self.keep_alive:
            if parser.get_http_version() not in ("1.1", "1.0"):
                raise Malformed("not valid HTTP/1.1: another version")
            # Only where it cannot go on may the connection's end be the body's.
            self._until_close = (
                b"content-length" not in headers and b"transfer-encoding" not in headers and status not in (204, 304)
            )
        elif parser.get_http_version() == "1.0" and (coding is not None or closes(headers)):
            self.keep_alive = False  # RFC 9112, sections 6.1 and 9.3
        self.head_complete = True

    def message_completed(self) -> None:
        """A response is whole."""
        self.ended.append(True)
        if self._interim:
            self._interim = False
            return
        self.complete = True
