"""The held listeners: nobody else gets the port, a port that is about to be free is waited for."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import select
import socket
import sys
from collections.abc import Sequence

import pytest

from penstock.clock import SystemClock
from penstock.config.schema import Address
from penstock.errors import ConfigError
from penstock.server.listeners import EARS, WAIT_SECONDS, ears_on, hold_listeners
from penstock.testing import SimLoop
from penstock.testing.simloop import run
from tests.real import Real, on_uvloop

HERE = "127.0.0.1"


def close(held: Sequence[Sequence[socket.socket]]) -> None:
    for sockets in held:
        for each in sockets:
            each.close()


async def hold(loop: SimLoop, workers: int, port: int = 0, host: str = HERE) -> list[list[socket.socket]]:
    """Real sockets; only the waiting is in virtual time."""
    return await hold_listeners(Address(host, port), workers, loop.clock)


def test_every_worker_has_the_same_port() -> None:
    async def main(loop: SimLoop) -> None:
        held = await hold(loop, 3)
        ports = {each.getsockname() for sockets in held for each in sockets}
        assert len(ports) == 1
        assert [len(sockets) for sockets in held] == [1, 1, 1]
        listening = [sockets[0] for sockets in held]
        callers = [socket.create_connection(ports.copy().pop()) for _ in range(20)]
        answered = 0
        while answered < len(callers):
            ready, _, _ = select.select(listening, [], [], 5)
            assert ready, f"only {answered} connections came"
            for each in ready:
                each.accept()[0].close()
                answered += 1
        close([callers, *held])

    run(main)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("others", [1, 2])
def test_a_port_that_is_held_is_nobody_elses(workers: int, others: int) -> None:
    async def main(loop: SimLoop) -> None:
        held = await hold(loop, others)
        port = held[0][0].getsockname()[1]
        began = loop.time()
        with pytest.raises(ConfigError, match=f"cannot listen on {HERE}:{port}") as caught:
            await hold(loop, workers, port)
        assert WAIT_SECONDS <= loop.time() - began < WAIT_SECONDS + 1
        assert "--port" in caught.value.do
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EADDRINUSE
        close(held)

    run(main)


def test_one_that_shares_its_port_gets_no_say_in_ours() -> None:
    """A stranger's SO_REUSEPORT socket would be handed a part of our callers."""

    async def main(loop: SimLoop) -> None:
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            stranger.bind((HERE, 0))
            stranger.listen()
            with pytest.raises(ConfigError):
                await hold(loop, 2, stranger.getsockname()[1])

    run(main)


def test_a_port_that_an_orphan_leaves_is_taken() -> None:
    async def main(loop: SimLoop) -> None:
        orphan = await hold(loop, 2)
        port = orphan[0][0].getsockname()[1]
        loop.clock.call_later(1.9, lambda: close(orphan))
        began = loop.time()
        held = await hold(loop, 2, port)
        assert 1.9 <= loop.time() - began < 2.1
        close(held)

    run(main)


def test_an_address_of_another_machine_is_not_waited_for() -> None:
    async def main(loop: SimLoop) -> None:
        began = loop.time()
        with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:0"):
            await hold(loop, 2, 0, "192.0.2.1")
        assert loop.time() == began

    run(main)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a connection may take a turn to come")
def test_a_turn_of_the_loop_takes_several_of_those_that_wait() -> None:
    """libuv takes one from a descriptor, and a turn is long where many are being answered."""

    async def main() -> None:
        waiting = 3 * EARS
        held = await hold_listeners(Address(HERE, 0), 1, SystemClock())
        at = held[0][0].getsockname()
        async with Real() as real:
            await real.plane.open(held[0])
            callers = [socket.create_connection(at) for _ in range(waiting)]
            turns, connections = 0, real.plane.listener.connections
            while len(connections) < waiting and turns < waiting:
                await asyncio.sleep(0)
                turns += 1
            assert turns <= waiting // EARS + 2, f"{len(connections)} of {waiting} in {turns} turns"
            real.plane.stop_listening()
            await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(at)
            close([callers])

    on_uvloop(main)


@pytest.mark.parametrize(("limit", "ears"), [(64, 1), (256, 4), (4096, EARS)])
def test_where_files_are_few_a_listener_takes_few(limit: int, ears: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_server((HERE, 0)) as listening:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            found = ears_on(listening)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(found) == ears
        close([found])


def test_a_socket_that_others_accept_on_too_never_blocks_for_them() -> None:
    """As a worker gets it: whether it blocks is all its owners' affair, and one that accepts meanwhile would wait."""
    with socket.create_server(("127.0.0.1", 0)) as shared:
        shared.setblocking(False)
        inherited = socket.socket(fileno=os.dup(shared.fileno()))
        for ear in ears_on(inherited):
            assert not os.get_blocking(ear.fileno())
            assert not os.get_blocking(shared.fileno())
            ear.close()
