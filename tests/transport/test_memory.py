"""The pipe keeps asyncio's promises for a transport, on every loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from penstock.testing import run
from penstock.transport.memory import CAPACITY, MemoryTransport, open_transports, pipe

Main = Callable[[], Awaitable[None]]
Runner = Callable[[Main], None]

HIGH = 64 * 1024
DEPTH: ContextVar[str] = ContextVar("DEPTH", default="unset")


def _on_asyncio(main: Main) -> None:
    with asyncio.Runner() as runner:
        runner.run(_coroutine(main))


def _on_uvloop(main: Main) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_coroutine(main))


def _on_simloop(main: Main) -> None:
    run(lambda loop: main())


async def _coroutine(main: Main) -> None:
    await main()


RUNNERS = [_on_asyncio, _on_simloop] + ([_on_uvloop] if sys.platform != "win32" else [])


@pytest.fixture(params=RUNNERS, ids=lambda runner: runner.__name__.rpartition("_")[2])
def on_loop(request: pytest.FixtureRequest) -> Runner:
    runner: Runner = request.param
    return runner


class Recorder(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.keep_open = keep_open
        self.log: list[Any] = []
        self.data: list[bytes] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.log.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data.append(data)

    def eof_received(self) -> bool:
        self.log.append("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.log.append("pause")

    def resume_writing(self) -> None:
        self.log.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.log.append("lost")
        self.lost.set_result(exc)

    @property
    def received(self) -> bytes:
        return b"".join(self.data)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def connect(
    *, client_keeps: bool = False, server_keeps: bool = False
) -> tuple[Recorder, Recorder, MemoryTransport, MemoryTransport]:
    client, server = Recorder(keep_open=client_keeps), Recorder(keep_open=server_keeps)
    ends = pipe(asyncio.get_running_loop(), client, server)
    return client, server, *ends


def test_bytes_flow_both_ways_in_order(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect()
        assert (client.log, server.log) == (["made"], ["made"])
        assert (client.transport, server.transport) == (to_server, to_client)
        to_server.write(b"one ")
        to_server.writelines([b"two ", bytearray(b"three"), memoryview(b"!")])
        to_client.write(b"back")
        to_client.write(b"")
        assert server.data == []
        await turns()
        assert (server.data, client.data) == ([b"one two three!"], [b"back"])

    on_loop(main)


def test_data_is_copied_and_must_be_bytes(on_loop: Runner) -> None:
    async def main() -> None:
        _, server, to_server, _ = connect()
        mutable = bytearray(b"before")
        to_server.write(mutable)
        mutable[:] = b"after!"
        with pytest.raises(TypeError, match="not str"):
            to_server.write("text")  # type: ignore[arg-type]
        await turns()
        assert server.received == b"before"

    on_loop(main)


def test_one_read_is_bounded_and_nothing_is_lost(on_loop: Runner) -> None:
    async def main() -> None:
        _, server, to_server, _ = connect()
        data = bytes(range(256)) * 4096
        to_server.write(data)
        await turns()
        assert server.received == data
        assert max(map(len, server.data)) <= 256 * 1024

    on_loop(main)


def test_addresses(on_loop: Runner) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        client, server = pipe(
            loop, Recorder(), Recorder(), client_address=("10.0.0.1", 5), server_address=("10.0.0.2", 80)
        )
        assert client.get_extra_info("sockname") == server.get_extra_info("peername") == ("10.0.0.1", 5)
        assert client.get_extra_info("peername") == server.get_extra_info("sockname") == ("10.0.0.2", 80)
        assert client.get_extra_info("socket") is None
        assert client.get_extra_info("sslcontext", "none") == "none"
        assert repr(client) == "<MemoryTransport 10.0.0.1:5 -> 10.0.0.2:80 open, 0 bytes unread>"

    on_loop(main)


def test_close_delivers_everything_first(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect()
        to_server.write(b"last words")
        to_server.close()
        assert to_server.is_closing()
        to_server.write(b"too late")
        to_server.close()
        assert await client.lost is None
        assert await server.lost is None
        assert server.received == b"last words"
        assert (client.log, server.log) == (["made", "lost"], ["made", "eof", "lost"])
        assert to_client.is_closing()
        assert open_transports(asyncio.get_running_loop()) == []

    on_loop(main)


def test_close_stops_reading(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect()
        to_client.write(b"unread")
        to_server.close()
        assert await client.lost is None
        assert isinstance(await server.lost, ConnectionResetError)
        assert client.data == []

    on_loop(main)


def test_a_last_answer_arrives_before_the_reset_for_what_was_not_read(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect()
        to_client.write(b"413 too large")
        to_client.close()
        to_server.write(b"more")
        await server.lost
        assert isinstance(await client.lost, ConnectionResetError)
        assert client.received == b"413 too large"
        assert server.data == []

    on_loop(main)


def test_half_close_keeps_the_other_direction(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect(server_keeps=True)
        assert to_server.can_write_eof()
        to_server.write(b"question")
        to_server.write_eof()
        to_server.write_eof()
        with pytest.raises(RuntimeError):
            to_server.write(b"more")
        await turns()
        assert (server.received, server.log) == (b"question", ["made", "eof"])
        to_client.write(b"answer")
        await turns()
        assert client.received == b"answer"
        to_client.close()
        assert await client.lost is None
        assert server.log == ["made", "eof", "lost"]

    on_loop(main)


def test_writing_to_a_closed_end_is_a_reset(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect(server_keeps=True)
        to_server.close()
        await client.lost
        await turns()
        assert server.log == ["made", "eof"]
        to_client.write(b"anybody there?")
        assert isinstance(await server.lost, ConnectionResetError)

    on_loop(main)


def test_writing_to_a_closed_end_is_a_reset_for_a_paused_reader_too(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect()
        to_client.pause_reading()
        to_server.close()
        await client.lost
        await turns()
        assert server.log == ["made"]
        to_client.write(b"anybody there?")
        assert isinstance(await server.lost, ConnectionResetError)

    on_loop(main)


def test_abort_drops_bytes_and_resets_the_other_end(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect()
        to_server.write(b"never arrives")
        to_server.abort()
        to_server.abort()
        assert to_server.is_closing()
        assert await client.lost is None
        assert isinstance(await server.lost, ConnectionResetError)
        assert (client.log, server.log, server.data) == (["made", "lost"], ["made", "lost"], [])
        assert to_client.get_protocol() is not server

    on_loop(main)


def test_abort_ends_a_close_that_waits(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect()
        to_client.pause_reading()
        to_server.write(bytes(CAPACITY + 1))
        to_server.close()
        await turns()
        assert not client.lost.done()
        to_server.abort()
        assert await client.lost is None
        to_client.resume_reading()
        assert isinstance(await server.lost, ConnectionResetError)

    on_loop(main)


def test_close_of_what_the_wire_holds_does_not_wait_for_the_reader(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect()
        to_client.pause_reading()
        to_server.write(bytes(CAPACITY))
        to_server.close()
        assert await client.lost is None
        assert server.data == []
        to_client.resume_reading()
        assert await server.lost is None
        assert len(server.received) == CAPACITY

    on_loop(main)


def test_a_paused_reader_fills_the_writer(on_loop: Runner) -> None:
    async def main() -> None:
        client, server, to_server, to_client = connect()
        to_client.pause_reading()
        to_client.pause_reading()
        assert not to_client.is_reading()
        to_server.write(bytes(CAPACITY + HIGH))
        await turns()
        assert (client.log, server.data, to_server.get_write_buffer_size()) == (["made"], [], HIGH)
        to_server.write(b"x")
        assert client.log == ["made", "pause"]
        to_server.write(b"x")
        to_client.resume_reading()
        await turns()
        assert client.log == ["made", "pause", "resume"]
        assert (len(server.received), to_server.get_write_buffer_size()) == (CAPACITY + HIGH + 2, 0)

    on_loop(main)


def test_resume_waits_for_the_low_mark_even_if_more_is_written_meanwhile(on_loop: Runner) -> None:
    async def main() -> None:
        client, _, to_server, to_client = connect()
        to_server.set_write_buffer_limits(high=100, low=10)
        assert to_server.get_write_buffer_limits() == (10, 100)
        to_server.write(bytes(CAPACITY + 101))
        await asyncio.sleep(0)  # read; resume_writing is on its way
        to_client.pause_reading()
        to_server.write(bytes(CAPACITY + 101))
        await turns()
        assert client.log == ["made", "pause"]
        to_client.resume_reading()
        await turns()
        assert client.log == ["made", "pause", "resume"]

    on_loop(main)


def test_write_buffer_limits_are_asyncios(on_loop: Runner) -> None:
    async def main() -> None:
        _, _, transport, _ = connect()
        assert transport.get_write_buffer_limits() == (HIGH // 4, HIGH)
        transport.set_write_buffer_limits(low=5)
        assert transport.get_write_buffer_limits() == (5, 20)
        transport.set_write_buffer_limits(high=0)
        assert transport.get_write_buffer_limits() == (0, 0)
        with pytest.raises(ValueError, match="high"):
            transport.set_write_buffer_limits(high=1, low=2)

    on_loop(main)


def test_a_protocol_that_raises_is_reported_and_closed(on_loop: Runner) -> None:
    class Clumsy(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ValueError("clumsy")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told: list[Any] = []
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        client, server = Recorder(), Clumsy()
        to_server, _ = pipe(loop, client, server)
        to_server.write(b"x")
        assert str(await server.lost) == "clumsy"
        assert isinstance(await client.lost, ConnectionResetError)
        assert [str(error) for error in told] == ["clumsy"]
        getattr(loop, "errors", []).clear()

    on_loop(main)


def test_a_failing_connection_made_leaves_nothing_open(on_loop: Runner) -> None:
    class Refuser(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            raise ValueError("no")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match="no"):
            pipe(loop, Refuser(), Recorder())
        await turns()
        assert open_transports(loop) == []

    on_loop(main)


def test_the_server_does_not_see_the_clients_context(on_loop: Runner) -> None:
    class Server(Recorder):
        def data_received(self, data: bytes) -> None:
            self.log.append(DEPTH.get())
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.write(data)

    class Client(Recorder):
        def data_received(self, data: bytes) -> None:
            self.log.append(DEPTH.get())

    async def main() -> None:
        DEPTH.set("client")
        client, server = Client(), Server()
        to_server, _ = pipe(asyncio.get_running_loop(), client, server)
        to_server.write(b"x")
        await turns()
        assert (server.log, client.log) == (["made", "unset"], ["made", "client"])

    on_loop(main)


def test_a_protocol_can_be_exchanged(on_loop: Runner) -> None:
    async def main() -> None:
        _, server, to_server, to_client = connect()
        successor = Recorder()
        to_client.set_protocol(successor)
        assert to_client.get_protocol() is successor
        with pytest.raises(TypeError):
            to_client.set_protocol(asyncio.BaseProtocol())
        to_server.write(b"for you")
        await turns()
        assert (server.data, successor.data) == ([], [b"for you"])

    on_loop(main)


def test_open_transports_are_the_loops_own_in_order(on_loop: Runner) -> None:
    async def main() -> None:
        _, _, *first = connect()
        _, _, *second = connect()
        loop = asyncio.get_running_loop()
        assert open_transports(loop) == first + second
        first[0].close()
        await turns()
        assert open_transports(loop) == second

    on_loop(main)
