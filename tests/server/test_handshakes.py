"""Whoever connects to the TLS listener and says nothing takes no caller's place, and no more than a few descriptors."""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import ssl
from collections import UserDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from penstock.clock import Clock, SystemClock
from penstock.server.data_plane import DataPlane
from penstock.server.handshakes import Handshakes, places_for
from penstock.server.protocol import ServerConnection
from penstock.wire.h1 import Refused
from tests.real import Real, on_uvloop
from tests.server.test_certificate import write_pair

PLACES = 16
ASKED = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


def secured(folder: Path) -> Real:
    cert, key = write_pair(folder, "gateway")
    return Real({"tls": {"cert": cert, "key": key}, "max_connections": 100})


def client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def server_of(plane: DataPlane) -> Handshakes:
    (server,) = plane._servers
    assert isinstance(server, Handshakes)
    return server


async def silent(real: Real, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    return [await asyncio.open_connection(*real.address) for _ in range(count)]


async def healthy(real: Real) -> None:
    reader, writer = await asyncio.open_connection(*real.address, ssl=client())
    writer.write(ASKED)
    assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.parametrize(("connections", "places"), [(20, 16), (800, 100), (9936, 1000), (1 << 19, 1000)])
def test_how_many_there_may_be(connections: int, places: int) -> None:
    assert places_for(connections) == places


def test_silent_ones_make_room_for_a_caller(tmp_path: Path) -> None:
    async def main() -> None:
        async with secured(tmp_path) as real:
            server = server_of(real.plane)
            waiting = await silent(real, PLACES + 5)
            await real.until(lambda: len(server) == PLACES)
            # The first five have gone, and no others.
            for reader, _ in waiting[:5]:
                assert await reader.read() == b""
            assert not any(reader.at_eof() for reader, _ in waiting[5:])
            await healthy(real)
            assert await waiting[5][0].read() == b""
            assert len(server) == PLACES - 1
            for _, writer in waiting:
                writer.close()
            await real.until(lambda: not len(server))
            assert not real.plane.listener.connections

    on_uvloop(main)


@pytest.mark.parametrize("said", [b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\n", b"GET", b"\x15\x03\x01\x00\x02\x02\x28"])
def test_what_is_no_handshake_leaves_nothing_behind(said: bytes, tmp_path: Path) -> None:
    async def main() -> None:
        async with secured(tmp_path) as real:
            ((reader, writer),) = await silent(real, 1)
            writer.write(said)
            writer.write_eof()
            await real.until(lambda: not len(server_of(real.plane)))
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
            await healthy(real)

    on_uvloop(main)


CHAT = b'{"model": "up/gpt-5-mini", "messages": []}'


@pytest.mark.parametrize(
    ("asked", "envelope"),
    [
        (b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n", b'{"error":{"message":"Plain HTTP'),
        (b"POST /v1/messages?beta=true HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9", b'{"type":"error",'),
        (b"POST /v1/chat/completions HTTP/1.1\r\n\r\n" + CHAT * 20_000, b'{"error":{"message":"Plain HTTP'),
    ],
)  # fmt: skip
def test_plain_http_is_told_what_to_write(
    asked: bytes, envelope: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with secured(tmp_path) as real:
            for _ in range(2):
                ((reader, writer),) = await silent(real, 1)
                writer.write(asked)
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 400 ")
                assert b"connection: close" in head
                assert body.startswith(envelope)
                assert b"Plain HTTP came to a port that speaks TLS. Write https:// in the base URL." in body
                writer.close()
            await real.until(lambda: not real.plane.listener.connections)
            assert not len(server_of(real.plane))
            assert [record.error for record in real.records] == ["invalid_request"] * 2
            # The caller may have no eyes for it; who looks after the gateway sees it once in a while.
            assert caplog.text.count("plain HTTP from 127.0.0.1 at the TLS port") == 1
            await healthy(real)

    on_uvloop(main)


class Counted(UserDict[str, Any]):
    """Options, and how often a handshake was begun with them."""

    begun = 0

    def keys(self) -> Any:
        """As a dict's."""
        self.begun += 1
        return super().keys()


class Late(SystemClock):
    """Whose callers say their first word at the last moment."""

    def __init__(self) -> None:
        self._seconds = itertools.count(step=10.001)

    def monotonic(self) -> float:
        """Later at each look."""
        return next(self._seconds)


@asynccontextmanager
async def another(real: Real, clock: Clock) -> AsyncIterator[tuple[Handshakes, Counted, Any]]:
    """A server of handshakes for the same gateway, at an address of its own."""
    assert real.plane._certificate is not None
    options = Counted(ssl=real.plane._certificate.context)
    listening = socket.create_server(("127.0.0.1", 0))
    server = Handshakes(real.plane.listener.connection, [listening], options, 1, clock)
    try:
        yield server, options, listening.getsockname()
    finally:
        server.close()


def test_a_first_word_at_the_last_moment_is_heard(tmp_path: Path) -> None:
    async def main() -> None:
        async with secured(tmp_path) as real, another(real, Late()) as (_, options, address):
            reader, writer = await asyncio.open_connection(*address, ssl=client())
            writer.write(ASKED)
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
            assert options.begun == 1
            writer.close()

    on_uvloop(main)


def test_who_goes_without_a_word_costs_no_handshake(tmp_path: Path) -> None:
    async def main() -> None:
        async with secured(tmp_path) as real, another(real, SystemClock()) as (server, options, address):
            reader, writer = await asyncio.open_connection(*address)
            await real.until(lambda: len(server) == 1)
            writer.close()
            await real.until(lambda: not len(server))
            assert await reader.read() == b""
            assert not options.begun

    on_uvloop(main)


def test_a_handshake_that_has_begun_goes_on_when_nobody_listens_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with secured(tmp_path) as real:
            server = server_of(real.plane)
            ((reader, writer),) = await silent(real, 1)
            await real.until(lambda: len(server) == 1)
            real.plane.stop_listening()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*real.address)
            await writer.start_tls(client())
            writer.write(ASKED)
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
            writer.close()

    on_uvloop(main)


class Full(socket.socket):
    """Listens, but there is no descriptor for what it accepts, so many times."""

    times = 1

    def accept(self) -> Any:
        """As a socket's."""
        if self.times:
            self.times -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_a_descriptor_it_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with secured(tmp_path) as real:
            listener = real.plane.listener
            certificate = real.plane._certificate
            assert certificate is not None
            full = Full()
            full.bind(("127.0.0.1", 0))
            full.listen()
            made: list[ServerConnection] = []

            def connection(refused: Refused | None) -> ServerConnection:
                made.append(listener.connection(refused))
                return made[-1]

            server = Handshakes(connection, [full], {"ssl": certificate.context}, 1, SystemClock())
            reader, writer = await asyncio.open_connection(*full.getsockname(), ssl=client())
            writer.write(ASKED)
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
            assert (len(made), full.times) == (1, 0)
            writer.close()
            server.close()

    on_uvloop(main)
