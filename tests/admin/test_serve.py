"""The control plane on real sockets of this machine, and its deadlines in virtual time."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from uvicorn.server import ServerState

from penstock.admin.credential import FILE, VARIABLE
from penstock.admin.serve import RECEIVE_SECONDS, AdminServer, Connection, open_admin, settings
from penstock.clock import SystemClock, SystemRandom
from penstock.config.guards import with_addresses
from penstock.config.schema import Address, Config
from penstock.errors import ConfigError
from penstock.gateway import Gateway
from penstock.testing import SimLoop, run
from tests.admin.asgi import KEY, config

ANY = Address("127.0.0.1", 0)
LOOPS: dict[str, Any] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def on_loop(main: Callable[[], Awaitable[None]], loop: str = "asyncio") -> None:
    async def whole() -> None:
        await main()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(whole())


def somewhere() -> Config:
    return with_addresses(config(), admin=ANY)


async def open_one(folder: Path, env: dict[str, str] | None = None) -> AdminServer:
    gateway = Gateway(somewhere(), SystemClock(), SystemRandom())
    return await open_admin(gateway, {VARIABLE: KEY} if env is None else env, folder)


async def talk(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "host: 127.0.0.1", "connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("loop", LOOPS)
def test_it_answers_and_ends(tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        server = await open_one(tmp_path)
        assert server.port
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert server.credential_source == f"env:{VARIABLE}"
        good = await talk(server.port, get("/api/v1/config", f"authorization: Bearer {KEY}"))
        bad = await talk(server.port, get("/api/v1/config"))
        page = await talk(server.port, get("/metrics"))
        assert good.startswith(b"HTTP/1.1 200 ")
        assert bad.startswith(b"HTTP/1.1 401 ")
        assert page.startswith(b"HTTP/1.1 200 ")
        assert b"\nprocess_open_fds " in page
        assert b"\r\nserver: " not in good.lower()
        assert b"\r\ndate: " in good.lower()
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
        await server.aclose()
        await server.aclose()
        with pytest.raises(ConnectionRefusedError):
            await talk(server.port, b"")

    on_loop(main, loop)


def test_a_connection_kept_alive_does_not_hold_it_up(tmp_path: Path) -> None:
    async def main() -> None:
        server = await open_one(tmp_path)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            writer.write(b"HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await server.aclose()
        await reader.read()
        assert reader.at_eof()
        writer.close()
        await writer.wait_closed()

    on_loop(main)


def test_the_key_is_made_beside_the_state(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        path = tmp_path / FILE
        server = await open_one(tmp_path, {})
        key = path.read_text().strip()
        assert server.credential_source == f"file:{path}"
        answer = await talk(server.port, get("/api/v1/health", f"authorization: Bearer {key}"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        await server.aclose()
        assert caplog.text == ""
        path.chmod(0o644)
        await (await open_one(tmp_path, {})).aclose()
        assert str(path) in caplog.text
        assert key not in caplog.text

    with caplog.at_level(logging.WARNING):
        on_loop(main)


class Noting(asyncio.SelectorEventLoop):
    """Notes in how many seconds it is to be woken."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def call_at(self, when: float, *further: Any, **options: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        self.waits.append(when - self.time())
        return super().call_at(when, *further, **options)


def test_who_answers_requests_is_not_woken_for_it_ten_times_a_second(tmp_path: Path) -> None:
    loop = Noting()

    async def main() -> None:
        server = await open_one(tmp_path)
        assert b"\r\ndate: " in (await talk(server.port, get("/api/v1/health"))).lower()
        assert min(loop.waits) > 0.9
        began = loop.time()
        await server.aclose()
        assert loop.time() - began < 0.5

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def test_a_port_in_use_is_named() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ConfigError, match=f"127.0.0.1:{port}") as refused:
                await AdminServer(nothing, Address("127.0.0.1", port)).open()
        assert "--admin-port" in refused.value.do

    on_loop(main)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", ""])
def test_an_address_others_can_reach_is_refused(host: str) -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="no TLS"):
            await AdminServer(nothing, Address(host, 0)).open()

    on_loop(main)


def test_a_head_without_end_is_cut_off(tmp_path: Path) -> None:
    async def main() -> None:
        server = await open_one(tmp_path)
        try:
            answer = await talk(server.port, b"GET / HTTP/1.1\r\nx: " + b"x" * 200_000)
        except ConnectionResetError:
            answer = b"HTTP/1.1 400 lost on its way, since it did not read the rest"
        assert answer.startswith(b"HTTP/1.1 400 ")
        await server.aclose()

    on_loop(main)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """Answers every request with an empty 200."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """The same, half a minute later."""
    later: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(30.0, later.set_result, None)
    await later
    await nothing(scope, receive, send)


async def dribble(loop: SimLoop, first: bytes, gap: float, times: int, app: Any = nothing) -> tuple[float, bytes]:
    """Send `first`, then a byte every `gap` seconds; when the server closed, and what it had said."""
    chosen = settings(app)
    chosen.load()
    state = ServerState()
    await loop.create_server(lambda: Connection(chosen, state, {}, loop), "127.0.0.1", 8485)
    reader, writer = await asyncio.open_connection("127.0.0.1", 8485)
    start = loop.time()
    writer.write(first)
    waiting = asyncio.ensure_future(reader.read())
    for _ in range(times):
        await asyncio.wait((waiting,), timeout=gap)
        if waiting.done():
            break
        writer.write(b"x")
    try:
        said = await waiting
    except ConnectionResetError:
        said = b""
    writer.close()
    return loop.time() - start, said


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nx: "])
def test_a_request_that_drips_in_is_cut_off(first: bytes) -> None:
    took, said = run(lambda loop: dribble(loop, first, 1.0, 100))
    assert took == pytest.approx(RECEIVE_SECONDS, abs=1.1)
    assert said == b""


def test_a_connection_that_says_nothing_is_cut_off() -> None:
    took, said = run(lambda loop: dribble(loop, b"", 1000.0, 1))
    assert took == pytest.approx(RECEIVE_SECONDS, abs=0.1)
    assert said == b""


def test_an_answer_may_take_longer() -> None:
    took, said = run(lambda loop: dribble(loop, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 1000.0, 1, slow))
    assert said.startswith(b"HTTP/1.1 200 ")
    assert took == pytest.approx(35.0, abs=0.5)


def test_the_second_request_of_a_connection_is_held_to_it_too() -> None:
    whole = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    took, _ = run(lambda loop: dribble(loop, whole, 3.0, 100))
    assert took == pytest.approx(3.0 + RECEIVE_SECONDS, abs=3.1)


def test_so_is_a_body_nobody_reads() -> None:
    head = b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n"
    took, _ = run(lambda loop: dribble(loop, head, 3.0, 100))
    assert took == pytest.approx(3.0 + RECEIVE_SECONDS, abs=3.1)


def test_a_request_in_time_is_answered_and_the_connection_then_closed_when_idle() -> None:
    took, said = run(lambda loop: dribble(loop, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 1000.0, 1))
    assert said.startswith(b"HTTP/1.1 200 ")
    assert took == pytest.approx(5.0, abs=0.5)
