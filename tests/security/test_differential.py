"""A second and a third parser beside ours: what two of them read, they must read alike.

h11 reads each vector and mutations of them; haproxy forwards each vector, and what it lets through, we must read as the
request that it meant. A refusal by us is no disagreement: it hides nothing.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.wire.h1 import Refused, RequestParser
from tests.security.smuggling import CANARY, VECTORS

Request = tuple[bytes, bytes, dict[bytes, bytes], bytes]


def ours(data: bytes) -> tuple[list[Request], bool]:
    """What we read, and whether we refused at its end."""
    parser, refused = RequestParser(), False
    try:
        parser.feed(data)
    except Refused:
        refused = True
    for request in parser.ready:
        if b"transfer-encoding" in request.headers:
            request.headers[b"transfer-encoding"] = b"chunked"  # no case
    found: list[Request] = []
    for r in parser.ready:
        found.append((r.method, r.path + (b"?" + r.query if r.query else b""), dict(r.headers), r.body))
        if not r.keep_alive:
            break  # nothing behind it is answered
    parser.close()
    return found, refused


def theirs(data: bytes) -> tuple[list[Request], bool]:
    """What h11 reads, and whether it refused. Empty lines before a request are taken away, which it does not do."""
    found: list[Request] = []
    try:
        while data := data.lstrip(b"\r\n"):
            server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            server.receive_data(data)
            request, body = server.next_event(), b""
            if not isinstance(request, h11.Request):
                break
            while isinstance(event := server.next_event(), h11.Data):
                body += bytes(event.data)
            if not isinstance(event, h11.EndOfMessage):
                break
            found.append((bytes(request.method), bytes(request.target), _joined(request), body))
            if (server.their_state is h11.MUST_CLOSE and not _stays(request)) or request.method == b"CONNECT":
                break
            data = server.trailing_data[0]
    except h11.RemoteProtocolError:
        return found, True
    return found, False


def _stays(request: h11.Request) -> bool:
    """Whether one in HTTP/1.0 asks for its connection to stay (RFC 9112 9.3), which h11 never has it do."""
    asked = [option.strip().lower() for option in _joined(request).get(b"connection", b"").split(b",")]
    return request.http_version == b"1.0" and b"keep-alive" in asked and b"close" not in asked


def _joined(request: h11.Request) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in request.headers:
        key = bytes(name).lower()
        fields[key] = fields[key] + b", " + bytes(value) if key in fields else bytes(value)
    if b"transfer-encoding" in fields:
        fields[b"transfer-encoding"] = fields[b"transfer-encoding"].lower()
    return fields


_ABSOLUTE = re.compile(rb"(?i)https?://[^/]*")


def same(mine: Request, other: Request) -> bool:
    """The same request; the absolute form of a target is its path."""
    target = _ABSOLUTE.sub(b"", other[1], count=1) if not other[1].startswith(b"/") else other[1]
    # A `?` with nothing behind it asks for the same.
    return (mine[0], mine[1].rstrip(b"?"), *mine[2:]) == (other[0], (target or b"/").rstrip(b"?"), *other[2:])


def disagreement(data: bytes) -> str:
    """What the two parsers read differently, "" if nothing."""
    mine, refused = ours(data)
    other, stricter = theirs(data)
    for at, request in enumerate(mine):
        if at >= len(other):
            return f"we read {request} where h11 {'refused' if stricter else 'read nothing'}"
        if not same(request, other[at]):
            return f"we read {request}, h11 {other[at]}"
    if len(other) > len(mine) and not refused:
        return f"h11 read {other[len(mine)]} too"
    return ""


@pytest.mark.parametrize("name", VECTORS)
def test_h11_reads_what_we_read(name: str) -> None:
    assert not disagreement(VECTORS[name].data + CANARY)


def test_a_connection_that_is_to_stay_in_http_1_0_does() -> None:
    for connection, stays in ((b"lose, keep-alive", True), (b"close, keep-alive", False), (b"lose", False)):
        data = b"GET /x HTTP/1.0\r\nConnection: %b\r\nHost: localhost\r\n\r\n" % connection + CANARY
        assert not disagreement(data)
        assert len(ours(data)[0]) == 1 + stays


PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"0",
    b"3",
    b"a",
    b"+",
    b"-",
    b",",
    b";a=b",
    b'"',
    b"\x00",
    b"\xff",
    b"_",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Host: localhost\r\n",
    b"X: y\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"GET ",
    b"/",
    b"?",
    b"#",
    CANARY,
]
SMALL = [vector.data for vector in VECTORS.values() if len(vector.data) < 2000]


@settings(max_examples=1000, deadline=None)
@given(st.data())
def test_h11_reads_what_we_read_of_mutations(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SMALL))
    for _ in range(data.draw(st.integers(1, 3))):
        at, cut = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 3))
        text = text[:at] + data.draw(st.sampled_from([b"", *PIECES])) + text[at + cut :]
    assert not disagreement(text + CANARY)


# --- haproxy


HAPROXY = shutil.which("haproxy")
CONFIG = """
global
    maxconn 100
defaults
    mode http
    option http-server-close
    timeout connect 2s
    timeout client 2s
    timeout server 2s
    timeout http-request 2s
frontend in
    bind 127.0.0.1:{front}
    default_backend out
backend out
    server echo 127.0.0.1:{back}
"""


class Backend(threading.Thread):
    """Takes what haproxy forwards, answers each connection once, and keeps the bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.received: list[bytes] = []

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        at = len(self.received)
        self.received.append(b"")
        try:
            while piece := connection.recv(65536):
                self.received[at] += piece
                if ours(self.received[at]) != ([], False):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    break
        except (OSError, IndexError):
            pass


class Proxy:
    """A running haproxy and what is behind it."""

    def __init__(self, folder: Path) -> None:
        assert HAPROXY is not None
        self.backend = Backend()
        self.backend.start()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        file = folder / "haproxy.cfg"
        file.write_text(CONFIG.format(front=self.port, back=self.backend.port))
        self.process = subprocess.Popen([HAPROXY, "-q", "-db", "-f", str(file)], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < until, "haproxy did not start"
                with suppress(subprocess.TimeoutExpired):
                    raise AssertionError(f"haproxy ended with {self.process.wait(0.02)}") from None

    def forwarded(self, data: bytes) -> list[bytes]:
        """What reaches the backend, a connection each, when `data` is sent."""
        self.backend.received.clear()
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.settimeout(1)
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                pass
        return list(self.backend.received)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.backend.listening.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    if HAPROXY is None:
        pytest.skip("haproxy is not installed: apt-get install haproxy")
    running = Proxy(tmp_path_factory.mktemp("haproxy"))
    yield running
    running.close()


def test_haproxy_forwards_what_is_good(proxy: Proxy) -> None:
    (data,) = proxy.forwarded(CANARY)
    ((method, target, _, body),), refused = ours(data)
    assert (method, target, body, refused) == (b"GET", b"/canary", b"", False)
    forwarded = sum(bool(proxy.forwarded(vector.data)) for vector in VECTORS.values() if vector.body == b"abc")
    assert forwarded > 10, "most of what we read, it reads"


@pytest.mark.parametrize("name", [n for n, vector in VECTORS.items() if len(vector.data) < 2000 and not vector.waits])
def test_what_haproxy_forwards_is_one_request_for_us_too(name: str, proxy: Proxy) -> None:
    """It sends each request on a connection of its own: we must find exactly one there, and nothing behind it."""
    for data in proxy.forwarded(VECTORS[name].data + CANARY):
        mine, _ = ours(data)
        assert len(mine) <= 1, data  # none where it is refused, or broke off
        if mine:
            assert mine[0][0] in data.partition(b" ")[0]
            smuggled = mine[0][1] == b"/canary" and b"/canary" not in data.partition(b"\r\n")[0]
            assert not smuggled
