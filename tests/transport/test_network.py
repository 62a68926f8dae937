"""The simulated network: what a link does to bytes, in virtual time."""

from __future__ import annotations

import asyncio
import math
from random import Random

import pytest

from penstock.testing import Connection, Faults, Link, Network, SimLoop, draw_faults, run
from penstock.transport.memory import CAPACITY, MemoryTransport
from tests.transport.test_memory import Recorder, turns

START = 1000.0


class Server(Recorder):
    """Remembers the moments at which data came."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[float] = []

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.moments.append(round(asyncio.get_running_loop().time() - START, 6))


async def connect(loop: SimLoop, faults: Faults) -> tuple[Server, Server, Connection]:
    loop.network.faults_at["server", 80] = faults
    servers: list[Server] = []

    def accept() -> Server:
        servers.append(Server())
        return servers[-1]

    listener = await loop.create_server(accept, "server", 80)
    _, client = await loop.create_connection(Server, "server", 80)
    listener.close()
    assert isinstance(client, Server)
    return client, servers[0], loop.network.connections[-1]


def test_latency_applies_to_each_chunk_and_to_the_end() -> None:
    async def main(loop: SimLoop) -> None:
        client, server, connection = await connect(loop, Faults(up=Link(latency=0.5), down=Link(latency=2.0)))
        assert loop.time() == START + 2.5
        connection.client.write(b"a")
        await loop.clock.sleep(0.25)
        connection.client.write(b"b")
        connection.client.close()
        assert await server.lost is None
        assert (server.data, server.moments) == ([b"a", b"b"], [3.0, 3.25])
        assert await client.lost is None

    run(main, leak_free=True)


def test_jitter_keeps_the_order() -> None:
    async def main(loop: SimLoop) -> None:
        _, server, connection = await connect(loop, Faults(up=Link(latency=0.1, jitter=5.0)))
        for number in range(50):
            connection.client.write(b"%d " % number)
        connection.client.close()
        await server.lost
        assert server.received == b"".join(b"%d " % number for number in range(50))
        assert server.moments == sorted(server.moments)
        assert 1 < len(set(server.moments)) < 50

    run(main, leak_free=True)


def test_bandwidth() -> None:
    async def main(loop: SimLoop) -> None:
        _, server, connection = await connect(loop, Faults(up=Link(bandwidth=1000.0, latency=0.5)))
        connection.client.write(bytes(1000))
        connection.client.write(bytes(500))
        connection.client.close()
        await server.lost
        assert server.moments == [2.0, 2.5]

    run(main, leak_free=True)


def test_one_byte_at_a_time() -> None:
    async def main(loop: SimLoop) -> None:
        _, server, connection = await connect(loop, Faults(up=Link(chunking="bytes")))
        connection.client.write(b"hello ")
        connection.client.write(b"world")
        connection.client.close()
        await server.lost
        assert server.data == [bytes([byte]) for byte in b"hello world"]

    run(main, leak_free=True)


def test_random_chunks_are_the_same_bytes_torn_and_joined() -> None:
    shapes = set()

    async def main(loop: SimLoop) -> None:
        _, server, connection = await connect(loop, Faults(up=Link(chunking="random")))
        for _ in range(20):
            connection.client.write(b"0123456789")
        connection.client.close()
        await server.lost
        assert server.received == b"0123456789" * 20
        shapes.add(tuple(map(len, server.data)))

    for seed in range(5):
        run(main, seed, leak_free=True)
    assert len(shapes) == 5
    assert min(min(shape) for shape in shapes) < 10 < max(max(shape) for shape in shapes)


def test_reset_after_so_many_bytes() -> None:
    async def main(loop: SimLoop) -> None:
        client, server, connection = await connect(loop, Faults(down=Link(reset_after=7)))
        connection.server.write(b"0123456789")
        assert isinstance(await client.lost, ConnectionResetError)
        assert isinstance(await server.lost, ConnectionResetError)
        assert client.received == b"0123456"

    run(main, leak_free=True)


def test_reset_before_the_first_byte() -> None:
    async def main(loop: SimLoop) -> None:
        client, server, connection = await connect(loop, Faults(up=Link(reset_after=0)))
        connection.client.write(b"0123456789")
        assert isinstance(await client.lost, ConnectionResetError)
        assert isinstance(await server.lost, ConnectionResetError)
        assert server.data == []

    run(main, leak_free=True)


def test_reset_by_chance() -> None:
    received = set()

    async def main(loop: SimLoop) -> None:
        client, server, connection = await connect(loop, Faults(up=Link(reset_chance=0.2)))
        while not connection.client.is_closing():
            connection.client.write(b"x")
            await turns(5)
        assert isinstance(await client.lost, ConnectionResetError)
        received.add(len(server.received))

    for seed in range(8):
        run(main, seed, leak_free=True)
    assert len(received) > 2


def test_a_reset_is_found_by_a_paused_reader_when_it_reads_or_writes() -> None:
    async def main(loop: SimLoop, *, by_writing: bool) -> None:
        client, server, connection = await connect(loop, Faults())
        connection.client.pause_reading()
        connection.reset()
        assert isinstance(await server.lost, ConnectionResetError)
        await turns()
        assert not client.lost.done()
        if by_writing:
            connection.client.write(b"x")
        else:
            connection.client.resume_reading()
        assert isinstance(await client.lost, ConnectionResetError)

    run(lambda loop: main(loop, by_writing=True), leak_free=True)
    run(lambda loop: main(loop, by_writing=False), leak_free=True)


def test_half_open_swallows_and_says_nothing() -> None:
    async def main(loop: SimLoop) -> None:
        client, server, connection = await connect(loop, Faults(up=Link(vanish_after=4)))
        connection.client.write(b"0123456789")
        await loop.clock.sleep(3600)
        assert server.received == b"0123"
        connection.server.write(b"answer")
        connection.server.close()
        assert await server.lost is None
        await loop.clock.sleep(3600)
        assert client.log == ["made"]
        connection.client.write(bytes(2 * CAPACITY))
        assert client.log == ["made", "pause"]
        connection.client.close()
        await loop.clock.sleep(3600)
        assert client.log == ["made", "pause"]
        assert [f"{transport!r}" for transport in (connection.client,)] == loop.leaks()
        connection.client.abort()
        assert await client.lost is None

    run(main, leak_free=True)


def test_a_slow_reader_stops_the_writer_across_a_link() -> None:
    async def main(loop: SimLoop) -> None:
        client, server, connection = await connect(loop, Faults(up=Link(latency=0.1, capacity=1000)))
        connection.client.set_write_buffer_limits(high=500)
        connection.server.pause_reading()
        connection.client.write(bytes(1501))
        await loop.clock.sleep(10)
        assert client.log == ["made", "pause"]
        assert connection.client.get_write_buffer_size() == 501
        connection.server.resume_reading()
        await loop.settle()
        assert client.log == ["made", "pause", "resume"]
        assert len(server.received) == 1501
        connection.client.close()
        await server.lost

    run(main, leak_free=True)


def test_nobody_listens() -> None:
    async def main(loop: SimLoop) -> None:
        with pytest.raises(ConnectionRefusedError, match=r"10.*:81 refused"):
            await loop.create_connection(Recorder, "server", 81)
        listener = await loop.create_server(Recorder, "server", 81)
        with pytest.raises(OSError, match="in use"):
            await loop.create_server(Recorder, "server", 81)
        await loop.create_connection(Recorder, "server", 81)
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, "server", 81)
        loop.network.connections[0].client.close()

    run(main, leak_free=True)


def test_refusal_by_chance_takes_its_time() -> None:
    async def main(loop: SimLoop) -> None:
        loop.network.faults = Faults(refuse_chance=1.0, connect_delay=3.0)
        await loop.create_server(Recorder, "server", 80)
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, "server", 80)
        assert loop.time() == START + 3.0

    run(main, leak_free=True)


@pytest.mark.parametrize("delay", [math.inf, 100.0])
def test_a_connect_that_takes_too_long_leaves_nothing(delay: float) -> None:
    async def main(loop: SimLoop) -> None:
        loop.network.faults = Faults(connect_delay=delay)
        await loop.create_server(Recorder, "server", 80)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await loop.create_connection(Recorder, "server", 80)
        assert loop.leaks() == []

    run(main)


def test_a_factory_that_raises_fails_the_connect() -> None:
    def broken() -> Recorder:
        raise ValueError("broken factory")

    async def main(loop: SimLoop) -> None:
        await loop.create_server(Recorder, "server", 80)
        with pytest.raises(ValueError, match="broken"):
            await loop.create_connection(broken, "server", 80)
        with pytest.raises(TypeError, match="Protocol"):
            await loop.create_connection(asyncio.BaseProtocol, "server", 80)

    run(main, leak_free=True)


def test_names_and_ports() -> None:
    async def main(loop: SimLoop) -> None:
        network = loop.network
        assert network.resolve("localhost") == network.resolve(None) == "127.0.0.1"
        assert network.resolve("192.0.2.7") == "192.0.2.7"
        assert network.resolve("Api.Example.com") == network.resolve("api.example.com") != network.resolve("other")
        everywhere = await loop.create_server(Recorder, None, 0)
        port = everywhere.sockets[0].getsockname()[1]
        for host in ("localhost", "anywhere"):
            transport, _ = await loop.create_connection(Recorder, host, port)
            assert isinstance(transport, MemoryTransport)
            assert transport.get_extra_info("peername") == (network.resolve(host), port)
            transport.close()
        everywhere.close()
        assert everywhere.sockets == ()

    run(main, leak_free=True)


def test_it_runs_on_an_ordinary_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        faults = Faults(up=Link(latency=0.001, jitter=0.001, chunking="bytes"), down=Link(chunking="random"))
        network = Network(loop, Random(1), faults)
        listener = network.listen(Recorder, "server", 80)
        await listener.start_serving()
        transport, client = await network.connect(Recorder, "server", 80)
        assert isinstance(client, Recorder)
        transport.write(b"hello")
        transport.close()
        assert await client.lost is None
        server = network.connections[0].server.get_protocol()
        assert isinstance(server, Recorder)
        await server.lost
        assert server.received == b"hello"
        listener.close()
        await listener.wait_closed()

    asyncio.run(main())


def test_drawn_faults_differ_and_break_only_where_asked() -> None:
    calm = [draw_faults(Random(seed)) for seed in range(50)]
    rough = [draw_faults(Random(seed), breaking=True) for seed in range(50)]
    assert len(set(calm)) > 25
    links = [link for faults in calm for link in (faults.up, faults.down)]
    assert all(link.reset_after is None and link.vanish_after is None and not link.reset_chance for link in links)
    assert not any(faults.refuse_chance for faults in calm)
    assert any(faults.down.reset_after is not None for faults in rough)
    assert any(faults.up.vanish_after is not None for faults in rough)
    assert [draw_faults(Random(3))] == [calm[3]]


@pytest.mark.parametrize("breaking", [False, True])
def test_whatever_the_link_does_bytes_arrive_in_order_and_none_twice(breaking: bool) -> None:
    whole = []

    async def main(loop: SimLoop) -> None:
        random = Random(f"bytes {loop.seed}")
        faults = draw_faults(random, breaking=breaking)
        try:
            client, server, connection = await connect(loop, faults)
        except ConnectionRefusedError:
            return
        sent = [b"", b""]
        for _ in range(30):
            for side, end in enumerate((connection.client, connection.server)):
                data = random.randbytes(random.choice((1, 10, 300)))
                if not end.is_closing():
                    end.write(data)
                    sent[side] += data
                if random.random() < 0.2:
                    random.choice((end.pause_reading, end.resume_reading))()
            await loop.clock.sleep(random.choice((0.001, 0.1)))
        connection.client.resume_reading()
        connection.server.resume_reading()
        await loop.clock.sleep(60)
        assert sent[0].startswith(server.received)
        assert sent[1].startswith(client.received)
        whole.append(sent == [server.received, client.received])
        connection.client.abort()
        connection.server.abort()

    for seed in range(25):
        run(main, seed, leak_free=True)
    assert all(whole) is not breaking
