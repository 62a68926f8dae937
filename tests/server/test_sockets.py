"""Accepted sockets have what was set on their listener."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys

import pytest
import uvloop

from penstock.server.sockets import LEAST_ROOM, UNHEARD_SECONDS, polite_for, prepare, room_for


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hand a listener's options on")
def test_a_connection_inherits_its_listeners_options() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[asyncio.BaseTransport] = loop.create_future()

        class Accepted(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.set_result(transport)

        server = await loop.create_server(Accepted, "127.0.0.1", 0)
        prepare(server)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        accepted = (await made).get_extra_info("socket")
        options = [
            accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
            accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        ]
        writer.close()
        (await made).close()
        server.close()
        return options

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == [1, 1, UNHEARD_SECONDS * 1000]


def test_room_leaves_a_descriptor_for_each_provider() -> None:
    assert LEAST_ROOM <= room_for() <= max(LEAST_ROOM, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


@pytest.mark.parametrize(("files", "polite"), [(64, 4), (256, 16), (4096, 64)])
def test_where_files_are_few_those_there_is_no_room_for_take_few(files: int, polite: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        assert polite_for() == polite
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
