"""What must hold for any bytes at all, for whoever makes them up: hypothesis in `make test`, atheris in `make soak`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from penstock.errors import InvalidRequest, NotAvailable, TooLarge
from penstock.routing.wishes import HEADERS, Wishes, wishes_of
from penstock.wire.dialect import ModelFacts
from penstock.wire.dialects import CALLERS, CHAT
from penstock.wire.h1 import MAX_PIPELINED, Refused, RequestParser
from penstock.wire.h1_response import Malformed, ResponseParser
from penstock.wire.splice import decode_object, encode_object
from penstock.wire.sse import Framer, parse
from penstock.wire.weight import check_weight
from scripts import dialect_samples as samples
from tests.security.bombs import BOMBS, bomb
from tests.security.smuggling import CANARY, VECTORS

__all__ = ["CORPUS", "LONGEST", "TARGETS", "torn", "within_reason"]

CASES = Path(__file__).parent / "cases"
# Longer inputs are slower and, for these readers, no more telling; 2,000 bytes where nothing is said.
LONGEST = {"events": 400, "streams": 600, "requests": 800}
# No input may take longer, of this process's own time.
HANG_SECONDS = 0.1


def within_reason(check: Callable[[bytes], None], data: bytes) -> None:
    """The check, which must also not take long."""
    began = time.process_time()
    check(data)
    took = time.process_time() - began
    if took > HANG_SECONDS:
        began = time.process_time()
        check(data)  # once more, for it may have been the collector's turn
        took = min(took, time.process_time() - began)
    assert took <= HANG_SECONDS, f"{took:.3f} s"


def torn(data: bytes) -> Iterator[bytes]:
    """Pieces whose sizes the data itself decides."""
    at = 0
    for size in bytes(data[:64]) * (len(data) // 64 + 2):
        if at >= len(data):
            return
        yield data[at : at + 1 + size % 23]
        at += 1 + size % 23
    if at < len(data):
        yield data[at:]


def _requests(parser: RequestParser, pieces: Iterable[bytes]) -> tuple[list[Any], bool]:
    status = 0
    try:
        for piece in pieces:
            parser.feed(piece)
    except Refused as error:
        status = error.status
    assert status == 0 or 400 <= status < 500
    found = [(one.method, one.path, one.query, one.headers, one.body, one.keep_alive) for one in parser.ready]
    parser.close()
    return found, bool(status)


def requests(data: bytes) -> None:
    """A request parser takes or refuses, and it is the same however the bytes come."""
    whole, pieces = _requests(RequestParser(), [data]), _requests(RequestParser(), torn(data))
    # A request line that came behind another request in one read is refused if anything there is only like it.
    assert whole == pieces or (whole[1] and whole[0] == pieces[0][: len(whole[0])])
    # Caps are counted by the read, so what just fits may depend on how it came.
    capped = _requests(RequestParser(max_body=100, max_head=200, max_fields=5), torn(data))
    for method, path, _, headers, body, _ in (*whole[0], *capped[0]):
        assert method.isascii()
        assert path.startswith(b"/") or path == b"*"
        assert all(value.isascii() and b"\n" not in value and b"\0" not in value for value in headers.values())
        assert len(body) <= len(data)
    assert len(whole[0]) <= MAX_PIPELINED
    assert all(len(body) <= 100 and len(headers) <= 5 for _, _, _, headers, body, _ in capped[0])


def _response(pieces: Iterable[bytes]) -> tuple[Any, ...]:
    parser, body = ResponseParser(), b""
    failed = False
    try:
        for piece in pieces:
            parser.feed(piece)
            parser.gather()
            body += parser.take()
        parser.eof()
    except Malformed:
        failed = True
    surplus, reusable = parser.surplus, parser.complete and parser.keep_alive and not parser.surplus
    found = (failed, parser.complete, parser.status, parser.headers if parser.head_complete else None)
    parser.close()
    return (*found, None if failed or surplus else body, surplus, reusable)


def response(data: bytes) -> None:
    """So does a response parser."""
    whole, pieces = _response([data]), _response(torn(data))
    if data.endswith((b"\r", b"\n")):  # empty lines before a next answer, which the parser skips in the same read
        assert whole[:4] == pieces[:4]
    elif whole[1] and pieces[1]:
        assert whole == pieces
    else:
        assert whole[:2] == pieces[:2]


def events(data: bytes) -> None:
    """Events are cut at the same places however the bytes come; none is lost, and all can be read."""
    framer, other = Framer(limit=1024), Framer(limit=1024)
    blocks = framer.feed(data)
    pieces = [block for piece in torn(data) for block in other.feed(piece)]
    for block in blocks:
        parse(block)
    if framer.error is None and other.error is None:
        assert b"".join(blocks) + framer.take_tail() == data
        assert b"".join(pieces) + other.take_tail() == data
        assert [block for block in blocks if block.strip()] == [block for block in pieces if block.strip()]


def fields(data: bytes) -> None:
    """An object's top level is read as everybody reads it, or refused."""
    try:
        read = decode_object(data)
    except InvalidRequest:
        return
    again = encode_object(read)
    assert decode_object(again) == read
    assert _plain(again) == _plain(data)
    try:
        check_weight(read.values(), 50)
    except TooLarge:
        assert len(data) > 50


def _plain(data: bytes) -> str:
    """As text, since NaN is not itself; numbers as they are written."""
    return json.dumps(json.loads(data, parse_float=str, parse_int=str))


def translation(data: bytes) -> None:
    """A request is said in another dialect, or refused with what to do; the first byte chooses from and to what."""
    if not data:
        return
    names = sorted(CALLERS)
    caller, lenient = CALLERS[names[data[0] % len(names)]], bool(data[0] & 64)
    target = CHAT["openai_chat" if data[0] & 128 else "anthropic_messages"]
    try:
        decoded = caller.decode_request(data[1:])
        prompt = caller.decode_prompt(decoded.fields)
        written = target.encode_prompt(prompt, "m", ModelFacts(), lenient=lenient)
    except (InvalidRequest, NotAvailable):
        return
    json.loads(written.body)
    assert all(isinstance(name, str) for name in (*written.dropped, *written.clamped))


def streams(data: bytes) -> None:
    """A stream's reader passes the same bytes on however they come, and what they say can be said in any dialect."""
    for name, dialect in CHAT.items():
        whole = dialect.open_stream(keep_usage=True, prompt_bytes=100)
        pieces = dialect.open_stream(keep_usage=True, prompt_bytes=100)
        passed = whole.feed(data) + whole.end()
        assert passed == b"".join(map(pieces.feed, torn(data))) + pieces.end()
        said = dialect.decode_events(passed)
        for caller in CALLERS.values():
            writer = caller.open_writer("id", 0, keep_usage=True)
            assert isinstance(writer.write(said) + writer.end(), bytes), name


def wishes(data: bytes) -> None:
    """What a caller wishes for can be read or is refused by name."""
    for header, name in HEADERS.items():
        try:
            found = wishes_of({header: data})
        except InvalidRequest as error:
            found, refused = Wishes(), error
        else:
            refused = InvalidRequest("", param=header.decode())
        assert refused.param == header.decode()
        assert len(refused.message) < 400
        assert found is not None
        assert found.deadline is None or 0 < found.deadline < 1e9
        assert name != "fallbacks" or all(found.fallbacks or ("off",))


TARGETS: dict[str, Callable[[bytes], None]] = {
    check.__name__: check for check in (requests, response, events, fields, translation, streams, wishes)
}


def _sse() -> list[bytes]:
    return [file.read_bytes()[:3000] for file in sorted(CASES.glob("*/*.sse"))]


def _bodies() -> list[bytes]:
    bodies = []
    for caller, asked in samples.FEATURES.items():
        for feature in [*asked.values(), *samples.OTHERS[caller].values()]:
            bodies.append(json.dumps({**samples.BASES[caller], **feature}).encode())
    return [*bodies, *(bomb(name, 300, b"m") for name in BOMBS)]


def _answers() -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    return [
        head + b"content-length: 5\r\n\r\nhello",
        head + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        head + b"\r\nto the end",
        b"HTTP/1.1 100 Continue\r\n\r\n" + head + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 500 X\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx" + head,
    ]


# What each begins with.
CORPUS: dict[str, list[bytes]] = {
    "requests": [vector.data[:3000] + CANARY for vector in VECTORS.values()],
    "response": _answers(),
    "events": _sse(),
    "fields": _bodies(),
    "translation": [bytes([first]) + body for body in _bodies() for first in (0, 65, 130, 195)],
    "streams": _sse(),
    "wishes": [b"20s", b"1.5h", b"high", b"3", b"fast, sim/small,openai/gpt-5", b"off", b"\xb2\xb3", b"m" * 3000],
}
