"""The pool towards providers: places, turns, idle connections and the names they were opened by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.errors import Overloaded, Unavailable, UpstreamTimeout
from penstock.testing import Cancel, Faults, ScriptedUpstream, SimLoop, run, sweep_scenario
from penstock.testing.provider import Action
from penstock.transport.http import Connection, Origin, Pool

REQUEST = b"POST / HTTP/1.1\r\nhost: provider\r\ncontent-length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SLOW: list[Action] = [(1.0, OK)]


@asynccontextmanager
async def provider(loop: SimLoop, *replies: list[Action], limit: int = 2) -> AsyncIterator[tuple[Pool, Origin]]:
    pool = Pool(loop.clock)
    async with ScriptedUpstream(*(replies or (SLOW,)), clock=loop.clock) as server:
        try:
            yield pool, Origin("127.0.0.1", server.port, limit=limit)
        finally:
            await pool.aclose()


async def call(pool: Pool, origin: Origin, timeout: float = 60.0) -> bytes:
    connection = pool.take(origin) or await pool.connect(origin, timeout)
    try:
        await connection.exchange(REQUEST, stream=False, timeout=30.0)
        return connection.parser.take()
    finally:
        connection.release()


def test_calls_wait_for_a_place_in_the_order_in_which_they_came() -> None:
    async def main(loop: SimLoop) -> None:
        async with provider(loop, limit=2) as (pool, origin):
            over: list[int] = []

            async def one(number: int) -> None:
                assert await call(pool, origin) == b"ok"
                over.append(number)

            begun = loop.time()
            calls = [asyncio.ensure_future(one(0)), asyncio.ensure_future(one(1))]
            for number in (2, 3):
                await asyncio.sleep(0)
                calls.append(asyncio.ensure_future(one(number)))
            await asyncio.gather(*calls)
            assert sorted(over[:2]) == [0, 1]
            assert sorted(over[2:]) == [2, 3]
            assert loop.time() - begun == 2.0
            assert (pool.opened, pool.open, pool.busy) == (2, 2, 0)

    run(main, leak_free=True)


def test_a_full_queue_refuses_at_once_and_a_long_wait_in_time() -> None:
    async def main(loop: SimLoop) -> None:
        async with provider(loop, [(20.0, OK)], limit=1) as (pool, origin):
            first = asyncio.ensure_future(call(pool, origin))
            await loop.clock.sleep(0.1)
            second = asyncio.ensure_future(call(pool, origin, 5.0))
            await loop.clock.sleep(0.1)
            with pytest.raises(Overloaded) as refused:
                await call(pool, origin)
            assert refused.value.retry_after == 1.0
            begun = loop.time()
            with pytest.raises(Overloaded):
                await second
            assert loop.time() - begun == pytest.approx(4.9)
            assert await first == b"ok"
            # The place is free again, and the connection with it.
            assert await call(pool, origin) == b"ok"
            assert pool.opened == 1

    run(main, leak_free=True)


def test_a_place_passes_on_when_its_connection_breaks() -> None:
    async def main(loop: SimLoop) -> None:
        async with provider(loop, [(1.0, b"garbage\r\n")], SLOW, limit=1) as (pool, origin):
            calls = [asyncio.ensure_future(call(pool, origin)) for _ in range(2)]
            broken, well = await asyncio.gather(*calls, return_exceptions=True)
            assert isinstance(broken, Exception)
            assert well == b"ok"
            assert (pool.opened, pool.open) == (2, 1)

    run(main, leak_free=True)


def test_a_place_is_given_back_by_a_connect_that_fails() -> None:
    async def main(loop: SimLoop) -> None:
        pool, origin = Pool(loop.clock), Origin("127.0.0.1", 9, limit=1)
        for _ in range(3):
            with pytest.raises(Unavailable, match="refused"):
                await call(pool, origin)
        loop.network.faults = Faults(connect_delay=float("inf"))
        for _ in range(3):
            with pytest.raises(UpstreamTimeout, match="within 5 s"):
                await call(pool, origin, 5.0)
        assert pool.open == 0
        await pool.aclose()

    run(main, leak_free=True)


def test_no_cancellation_loses_a_place() -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        async with provider(loop, limit=1) as (pool, origin):
            holding = asyncio.ensure_future(call(pool, origin))
            await loop.clock.sleep(0.5)
            await cancel(call(pool, origin))
            assert await holding == b"ok"
            assert await call(pool, origin) == b"ok"
            assert pool.busy == 0

    assert sweep_scenario(scenario) >= 2


def test_a_connection_is_not_kept_for_ever() -> None:
    async def main(loop: SimLoop) -> None:
        async with provider(loop, [(0.0, OK)]) as (pool, origin):
            for _ in range(150):
                assert await call(pool, origin) == b"ok"
                await loop.clock.sleep(3.0)
            assert pool.opened == 2
            await loop.clock.sleep(10.0)
            assert pool.open == 0

    run(main, leak_free=True)


def test_an_idle_connection_that_speaks_is_closed() -> None:
    async def main(loop: SimLoop) -> None:
        async with provider(loop, [(0.0, OK), (0.5, b"HTTP/1.1 408 Late\r\n\r\n")], SLOW) as (pool, origin):
            assert await call(pool, origin) == b"ok"
            assert pool.open == 1
            await loop.clock.sleep(1.0)
            assert pool.open == 0
            assert await call(pool, origin) == b"ok"

    run(main, leak_free=True)


def test_a_name_that_moves_takes_its_connections_along() -> None:
    async def main(loop: SimLoop) -> None:
        old, new = ScriptedUpstream(SLOW, clock=loop.clock), ScriptedUpstream(SLOW, clock=loop.clock)
        servers = [
            await loop.create_server(server.connection, address, 80)
            for server, address in ((old, "10.0.0.1"), (new, "10.0.0.2"))
        ]
        loop.network.names["provider"] = ["10.0.0.1"]
        pool, origin = Pool(loop.clock), Origin("provider", 80)

        async def pair() -> None:
            """Two at a time, of which the second needs a new connection once the first idles away."""
            await asyncio.gather(call(pool, origin), call(pool, origin))

        await pair()
        assert (len(old.requests), len(new.requests)) == (2, 0)
        loop.network.names["provider"] = ["10.0.0.2"]
        kept = await pool.connect(origin, 5.0)  # still by what is remembered
        assert kept.address == "10.0.0.1"
        for _ in range(30):
            await loop.clock.sleep(5.0)
            await call(pool, origin)
        assert len(new.requests) > 20
        await kept.exchange(REQUEST, stream=False, timeout=5.0)
        kept.parser.take()
        kept.release()
        assert kept.closed
        await pool.aclose()
        for server in servers:
            server.close()

    run(main, leak_free=True)


def test_a_connection_given_up_while_it_is_made_is_closed() -> None:
    async def main(loop: SimLoop) -> None:
        pool = Pool(loop.clock)
        connection = Connection(pool, Origin("127.0.0.1", 80))
        connection.discard()
        async with ScriptedUpstream(SLOW, clock=loop.clock) as server:
            transport, _ = await loop.create_connection(lambda: connection, "127.0.0.1", server.port)
            assert transport.is_closing()

    run(main, leak_free=True)


def test_no_cancellation_leaves_a_race_behind() -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        loop.network.names["provider"] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
        loop.network.faults_at["10.0.0.1", 80] = Faults(connect_delay=0.5)
        server = ScriptedUpstream([(0.0, OK)], clock=loop.clock)
        listener = await loop.create_server(server.connection, None, 80)
        pool, origin = Pool(loop.clock), Origin("provider", 80, limit=1)
        await cancel(call(pool, origin))
        await loop.settle()
        assert pool.busy == 0
        assert await call(pool, origin) == b"ok"
        await pool.aclose()
        listener.close()

    assert sweep_scenario(scenario) > 3
