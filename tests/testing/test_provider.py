"""SimulatedServer and ScriptedUpstream on real loopback sockets, on uvloop, and on a SimLoop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import openai
import pytest
import uvloop

from penstock.clock import SystemClock
from penstock.testing import run
from penstock.testing.provider import EOF, RESET, ScriptedUpstream, SimulatedServer
from tests.providers.sim import body_of, message_body, message_request, request

Runner = Callable[[Coroutine[Any, Any, None]], None]
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def virtually(main: Coroutine[Any, Any, None]) -> None:
    run(lambda _: main, leak_free=True)


everywhere = pytest.mark.parametrize("runner", [asyncio.run, uvloop.run, virtually])
on_sockets = pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])


async def sdk(server: SimulatedServer, use: Callable[[openai.AsyncOpenAI], Awaitable[None]]) -> None:
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
        await use(client)


@on_sockets
def test_the_sdk_talks_to_a_simulated_server(runner: Runner) -> None:
    async def use(client: openai.AsyncOpenAI) -> None:
        whole = await client.chat.completions.create(model="small", messages=HELLO)
        parts = [
            chunk.choices[0].delta.content or ""
            async for chunk in await client.chat.completions.create(model="small", messages=HELLO, stream=True)
        ]
        assert "".join(parts) == whole.choices[0].message.content
        assert len((await client.embeddings.create(model="embed", input="Hello")).data) == 1
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="small:status=429", messages=HELLO)
        for fault in ("reset=before_headers", "reset=after_headers", "cut=3"):
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(model=f"small:{fault}", messages=HELLO)

    async def main() -> None:
        async with SimulatedServer() as server:
            await sdk(server, use)
            assert server.provider.journal.open == 0

    runner(main())


@on_sockets
def test_one_port_speaks_both_vendors_languages(runner: Runner) -> None:
    async def main() -> None:
        async with SimulatedServer() as server:
            # Anthropic's client puts /v1 behind its base URL, which ends with it already.
            asked = [request(body_of()), message_request(message_body(), path="/v1/v1/messages")]
            openais, anthropics = await exchange(server.port, *asked)
            assert b'"object":"chat.completion"' in openais
            assert b'"type":"message"' in anthropics
            assert [seen.model for seen in server.provider.journal.log] == ["small", "small"]

    runner(main())


@on_sockets
def test_a_reset_is_a_reset_on_a_real_socket(runner: Runner) -> None:
    async def main() -> None:
        async with SimulatedServer() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request(body_of("small:reset=after_headers")))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    runner(main())


async def exchange(port: int, *requests: bytes) -> list[bytes]:
    """What comes back to each request on a connection of its own, up to its end or half a second of silence."""
    answers = []
    for each in requests:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(each)
        answers.append(await until_quiet(reader))
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()
    return answers


async def until_quiet(reader: asyncio.StreamReader) -> bytes:
    received = b""
    try:
        async with SystemClock().timeout(0.5):
            while data := await reader.read(65536):
                received += data
    except TimeoutError:
        received += b"<open>"
    except ConnectionResetError:
        received += b"<reset>"
    return received


@everywhere
def test_leaving_the_block_drops_what_is_open(runner: Runner) -> None:
    async def main() -> None:
        async with SimulatedServer() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request(body_of("small:stall=1", stream=True)))
            await reader.readuntil(b"\n\n")
        assert b"<open>" not in await until_quiet(reader)
        writer.close()
        assert not server.provider.connections
        assert server.provider.journal.disconnects == 1

    runner(main())


@everywhere
def test_a_scripted_upstream_replays_bytes_and_remembers_requests(runner: Runner) -> None:
    async def main() -> None:
        replies: list[Any] = [
            RESPONSE,
            [(0.0, b"HTTP/1.1 200 OK\r\n"), (0.01, b"half"), (0.0, EOF)],
            [(0.02, RESET)],
        ]
        async with ScriptedUpstream(*replies) as upstream:
            asked = [request(body_of(n=number)) for number in range(1, 5)]
            answers = await exchange(upstream.port, *asked)
        assert answers == [RESPONSE + b"<open>", b"HTTP/1.1 200 OK\r\nhalf", b"<reset>", b"<reset>"]
        assert [bytes(each) for each in upstream.received] == asked
        assert [each.body for each in upstream.requests] == [each.partition(b"\r\n\r\n")[2] for each in asked]
        assert upstream.disconnects == []

    runner(main())


@everywhere
def test_several_requests_on_one_connection_of_a_scripted_upstream(runner: Runner) -> None:
    async def main() -> None:
        async with ScriptedUpstream([(0.01, RESPONSE)], [(0.0, RESPONSE), (0.0, EOF)]) as upstream:
            both = request(body_of(n=1)) + request(body_of(n=2))
            assert await exchange(upstream.port, both) == [RESPONSE * 2]
            assert len(upstream.requests) == 2

    runner(main())


@everywhere
def test_a_scripted_upstream_notices_who_leaves_in_the_middle(runner: Runner) -> None:
    async def main() -> None:
        async with ScriptedUpstream([(0.0, b"HTTP/1.1 200 OK\r\n\r\n"), (60.0, b"never")]) as upstream:
            reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            writer.write(request(body_of()))
            await reader.readuntil(b"\r\n\r\n")
            writer.close()
            while not upstream.disconnects:  # noqa: ASYNC110 -- nothing there to be told by
                await asyncio.sleep(0)
            assert not upstream.open

    runner(main())


def test_a_scripted_upstream_needs_a_reply() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ScriptedUpstream()
