"""What only real sockets do, on uvloop: TLS, a caller that shuts down its half, a flood, and the end of descriptors."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import socket
import ssl
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from penstock.clock import SystemClock
from penstock.server.protocol import STALL_SECONDS
from penstock.server.sockets import UNHEARD_SECONDS, UNSENT_BYTES
from penstock.testing import SimulatedProvider, SimulatedServer
from tests.end_to_end.process import SECONDS, Served
from tests.real import Real, on_uvloop
from tests.security.attack import processor
from tests.server.disconnects import leave_all
from tests.server.test_certificate import write_pair
from tests.stage import Caller, chat

CLOSED = b"\x07"  # Linux, include/net/tcp_states.h
LONG = chat(model="up/small:tokens=100000,between=5ms", stream=True)
JSON = {"content-type": "application/json"}


@asynccontextmanager
async def secure(folder: Path) -> AsyncIterator[tuple[Real, ssl.SSLContext]]:
    cert, key = write_pair(folder, "localhost")
    trusting = ssl.create_default_context(cafile=cert)
    trusting.check_hostname = False
    async with Real({"tls": {"cert": cert, "key": key}}) as real:
        yield real, trusting


def test_tls_whole_streamed_and_large(tmp_path: Path) -> None:
    async def main() -> None:
        async with secure(tmp_path) as (real, tls):
            caller = await real.caller(tls)
            assert (await caller.post(chat())).status == 404, "a model nobody declared"
            assert (await caller.post(chat(model="up/small"))).json()["choices"]
            streamed = await caller.post(chat(model="up/large:tokens=20000,burst=100", stream=True))
            assert streamed.events[-1] == "[DONE]"
            assert len(streamed.body) > 1_000_000
            large = await caller.post(chat("x " * 1_000_000, model="ant/small"))
            assert large.status in (200, 400), large.body[:200]
            caller.close()

    on_uvloop(main)


def test_tls_takes_nothing_that_is_not_tls(tmp_path: Path) -> None:
    async def main() -> None:
        async with secure(tmp_path) as (real, tls):
            plain = await real.caller()
            plain.writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await plain.reader.read()).startswith(b"HTTP/1.1 400 ")
            plain.close()
            for cut in (b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)):
                broken = await real.caller()
                broken.writer.write(cut)
                broken.writer.write_eof()
                with suppress(ConnectionError):
                    await broken.reader.read()
                broken.close()
            good = await real.caller(tls)
            assert (await good.get("/healthz")).status == 200
            good.close()
            await real.until(lambda: not real.plane.listener.connections)

    on_uvloop(main)


def test_tls_callers_that_leave_stop_the_provider(tmp_path: Path) -> None:
    async def main() -> None:
        async with secure(tmp_path) as (real, tls):
            for leave in ("abort", "close"):
                caller = await real.caller(tls)
                await caller.send("POST", "/v1/chat/completions", json.dumps(LONG).encode(), JSON)
                await caller.reader.readuntil(b"data: ")
                assert real.gateway.upstream_busy == 1
                getattr(caller.writer.transport, leave)()
                await real.until(lambda: not real.gateway.upstream_busy and not real.plane.listener.connections)
            assert [record.status for record in real.records] == [499, 499]

    on_uvloop(main)


def test_callers_that_leave_have_their_provider_told_at_once() -> None:
    """A hundred of them; `make soak` has a thousand, and holds the time."""

    async def main() -> list[float]:
        provider = SimulatedServer(SimulatedProvider(SystemClock(), keep=1000))
        async with Real(upstream=provider) as real:
            return await leave_all(real, 100)

    took = on_uvloop(main)
    assert len(took) > 50, "the others left before they were asked for"
    assert sorted(took)[len(took) // 2] < 0.25


@pytest.mark.parametrize("stream", [True, False])
def test_who_shuts_down_its_half_after_asking_has_left(stream: bool) -> None:
    """An end of file behind a whole request is all that a proxy or a dead client's kernel sends."""

    async def main() -> None:
        async with Real() as real:
            caller = await real.caller()
            wanted = LONG if stream else chat(model="up/small:silence")
            await caller.send("POST", "/v1/chat/completions", json.dumps(wanted).encode(), JSON)
            await real.until(lambda: real.gateway.upstream_busy)
            caller.writer.write_eof()
            with suppress(ConnectionError):
                await caller.reader.read()
            await real.until(lambda: not real.gateway.upstream_busy and not real.plane.listener.connections)
            assert [record.status for record in real.records] == [499]
            caller.close()

    on_uvloop(main)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /v1/cha",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "an answered request"],
)
def test_who_shuts_down_its_half_otherwise_is_closed(sent: bytes) -> None:
    async def main() -> None:
        async with Real() as real:
            caller = await real.caller()
            caller.writer.write(sent)
            if sent.endswith(b"\r\n\r\n"):
                assert (await caller.receive()).status == 200
            caller.writer.write_eof()
            with suppress(ConnectionError):
                assert await caller.reader.read() == b""
            await real.until(lambda: not real.plane.listener.connections)
            caller.close()

    on_uvloop(main)


def test_a_flood_of_connections_is_told_so_and_then_served() -> None:
    async def main() -> None:
        async with Real({"max_connections": 10}) as real:
            first = [await real.caller() for _ in range(10)]
            assert (await first[0].get("/healthz")).status == 200
            flood = [await real.caller() for _ in range(100)]
            await real.until(lambda: len(real.plane.listener.connections) <= 10 + 64)
            told = [await _last_word(caller) for caller in flood]
            assert told.count(503) == 64, "and what is more is just closed"
            assert told.count(None) == 36
            assert (await first[9].get("/healthz")).status == 200, "who was there is still served"
            first[0].close()
            while (await (late := await real.caller()).get("/healthz")).status != 200:
                late.close()
            assert len(real.plane.listener.connections) > 50, (
                "those who were told so are still there, in nobody's place"
            )
            late.close()
            for caller in (*first, *flood):
                caller.close()
            await real.until(lambda: not real.plane.listener.connections)
            again = await real.caller()
            assert (await again.get("/healthz")).status == 200
            again.close()

    on_uvloop(main)


async def _last_word(caller: Caller) -> int | None:
    try:
        answer = await caller.receive()
    except ConnectionError:
        return None
    if not answer.status:
        return None
    assert answer.error["code"] == "overloaded"
    assert answer.headers["retry-after"] == "1"
    return answer.status


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hand a listener's options on")
def test_accepted_connections_have_the_options() -> None:
    async def main() -> list[int]:
        async with Real() as real:
            caller = await real.caller()
            await caller.get("/healthz")
            (connection,) = real.plane.listener.connections
            transport: Any = connection._transport
            plug = transport.get_extra_info("socket")
            caller.close()
            return [
                plug.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                plug.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
                plug.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            ]

    assert on_uvloop(main) == [UNHEARD_SECONDS * 1000, 1, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other bounds, and other ways to ask")
def test_a_caller_that_does_not_read_takes_little_of_the_kernels_memory_and_is_reset() -> None:
    async def main() -> int:
        async with Real() as real:
            caller = await real.caller()
            caller.pause()
            wanted = chat(model="up/large:tokens=100000,burst=100", stream=True)
            await caller.send("POST", "/v1/chat/completions", json.dumps(wanted).encode(), JSON)
            await real.until(lambda: any(one.resumed is not None for one in real.plane.listener.connections))
            (connection,) = real.plane.listener.connections
            transport: Any = connection._transport
            plug = transport.get_extra_info("socket").fileno()
            (unsent,) = struct.unpack("i", fcntl.ioctl(plug, termios.TIOCOUTQ, bytes(4)))
            now = SystemClock().monotonic()
            connection.enforce(now)
            connection.enforce(now + STALL_SECONDS + 1)
            ours = caller.writer.transport.get_extra_info("socket")
            await real.until(lambda: ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == CLOSED)
            await real.until(lambda: not real.gateway.upstream_busy and not real.plane.listener.connections)
            caller.close()
            return int(unsent)

    assert on_uvloop(main) < 2 * UNSENT_BYTES
    assert UNHEARD_SECONDS > STALL_SECONDS + 10, "else the kernel is first, and tells the caller nothing"


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux sets another process's limits")
def test_out_of_descriptors_it_waits_and_serves_again(tmp_path: Path) -> None:
    """No accept can succeed then: neither may the loop spin on the one that waits, nor stop for good."""
    (tmp_path / "penstock.yaml").write_text(
        "auth: open\nserver: {max_connections: 1000}\nproviders: {sim: {}}\nlog: {to: none}\n"
    )
    with Served(tmp_path) as served:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        pid, crowd = served.process.pid, []
        assert _ask(served)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 20, hard))
        try:
            for _ in range(60):
                crowd.append(socket.create_connection(("127.0.0.1", served.port), SECONDS))
            before = processor(served)
            assert [_is_served(connection) for connection in (crowd[0], crowd[-1])] == [True, False]
            assert processor(served) - before < 0.5, "seconds of CPU in one of waiting"
        finally:
            for connection in crowd:
                connection.close()
        deadline = time.monotonic() + SECONDS
        while not _ask(served):
            assert time.monotonic() < deadline
        assert served.stop() == 0
        assert "Traceback" not in served.told.text


def _ask(served: Served) -> bool:
    with socket.create_connection(("127.0.0.1", served.port), SECONDS) as connection:
        return _is_served(connection)


def _is_served(connection: socket.socket) -> bool:
    """Whether a request gets its answer within a second."""
    connection.settimeout(1.0)
    try:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        return connection.recv(100).startswith(b"HTTP/1.1 200 ")
    except (TimeoutError, ConnectionError):
        return False
