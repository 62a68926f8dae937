"""A TLS connection that breaks after every so many bytes, in its handshake and after it, on either side of the gateway.

The simulated network has no TLS, so this is the n-th failure on real sockets and uvloop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from penstock.testing import SimulatedServer
from tests.end_to_end.certificates import Authority
from tests.real import Real, on_uvloop
from tests.server.test_certificate import write_pair
from tests.stage import Caller, chat

STEP = 131  # no record's size, so that cuts fall inside and between records


class Cutter:
    """Passes connections on to another port, and breaks each once so many bytes have passed, both ways counted.

    Attributes:
        left: bytes until it breaks; the connection under way is broken once they are gone.
        passed: bytes of the last connection.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self.left = 0
        self.passed = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Cutter:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self.cut()
        self._server.close()

    def cut(self) -> None:
        """Break what is open."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed = 0
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {writer, back}
        self._open |= ends
        with suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        for end in ends:
            end.transport.abort()
        self._open -= ends

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            piece = data[: self.left]
            self.left -= len(piece)
            self.passed += len(piece)
            writer.write(piece)
            if not self.left:
                await writer.drain()
                raise ConnectionResetError
        raise ConnectionResetError


async def sweep(real: Real, cutter: Cutter, ask: Callable[[], Awaitable[int]]) -> tuple[int, int]:
    """Break after so many bytes, and again after more, until all of an exchange passes; how often, and how many."""
    quiet = len(asyncio.all_tasks())
    broken, at = 0, 0
    while True:
        at += STEP
        cutter.left = at
        status = await ask()
        whole = cutter.left > 0
        cutter.cut()
        await real.until(lambda: not real.gateway.upstream_busy and not real.plane.listener.connections)
        await real.until(lambda: len(asyncio.all_tasks()) <= quiet)
        assert real.gateway.metrics.in_flight.series[()] == 0
        if whole:
            assert status == 200
            return broken, cutter.passed
        broken += 1


def test_a_callers_connection(tmp_path: Path) -> None:
    async def main() -> tuple[int, int]:
        cert, key = write_pair(tmp_path, "localhost")
        tls = ssl.create_default_context(cafile=cert)
        tls.check_hostname = False
        async with Real({"tls": {"cert": cert, "key": key}}) as real, Cutter(real.plane.port) as cutter:

            async def ask() -> int:
                """One whole answer and one stream, as far as it goes."""
                status = 0
                with suppress(OSError, asyncio.IncompleteReadError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", cutter.port, ssl=tls)
                    status = await _ask_twice(reader, writer)
                return status

            return await sweep(real, cutter, ask)

    broken, passed = on_uvloop(main)
    assert broken >= passed // STEP - 1 > 10


async def _ask_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    caller = Caller(reader, writer)
    try:
        await caller.post(chat(model="up/small"))
        answer = await caller.post(chat(model="up/small:tokens=9", stream=True))
        return answer.status if answer.whole else 0
    finally:
        caller.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_providers_connection(tmp_path: Path, stream: bool) -> None:
    async def main() -> tuple[int, int]:
        authority = Authority(tmp_path, "ours")
        async with (
            SimulatedServer(tls=authority.server_context()) as provider,
            Cutter(provider.port) as cutter,
            Real(providers={"far": _far(cutter.port, authority.file)}) as real,
        ):

            async def ask() -> int:
                caller = await real.caller()
                try:
                    answer = await caller.post(chat(model="far/small:tokens=9", stream=stream))
                    assert answer.status in (200, 502), answer.body
                    good = answer.status == 200 and answer.whole and (not stream or answer.events[-1] == "[DONE]")
                    return answer.status if good else 0
                finally:
                    caller.close()

            return await sweep(real, cutter, ask)

    broken, passed = on_uvloop(main)
    assert broken >= passed // STEP - 1 > 10


def _far(port: int, ca_file: Path) -> dict[str, Any]:
    base = f"https://127.0.0.1:{port}/v1"
    return {"kind": "openai", "base_url": base, "api_key": "none", "ca_file": str(ca_file)}
