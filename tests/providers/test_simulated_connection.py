"""Connections to the simulated provider: order, backpressure, going away, and what the journal says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from penstock.providers.simulated import SimulatedProvider
from penstock.testing import SimLoop, run
from tests.providers.sim import Said, body_of, connect, provider_on, request

Scene = Callable[[SimLoop, SimulatedProvider], Awaitable[None]]


def play(scene: Scene) -> None:
    """Run a scene in virtual time; nothing may be left open or scheduled once the provider is closed."""

    async def main(loop: SimLoop) -> None:
        provider = provider_on(loop)
        await scene(loop, provider)
        provider.close()

    run(main, leak_free=True)


def test_requests_on_one_connection_are_answered_in_order() -> None:
    async def scene(loop: SimLoop, provider: SimulatedProvider) -> None:
        client = connect(loop, provider)
        client.send(request(body_of("small:first_token=1s")) + request(body_of("small:status=503")))
        await provider.clock.sleep(0.5)
        assert client.raw == b""
        assert provider.journal.requests == 1
        await provider.clock.sleep(1)
        first, found, second = client.raw.partition(b"HTTP/1.1 503")
        assert first.startswith(b"HTTP/1.1 200 OK")
        assert found
        assert b"cf_service_unavailable" in second
        assert provider.journal.requests == 2
        assert client.ended is None

    play(scene)


def test_the_journal_remembers_requests_without_their_secrets() -> None:
    async def scene(loop: SimLoop, provider: SimulatedProvider) -> None:
        client = connect(loop, provider)
        body = body_of("small:tokens=3", stream=True)
        client.send(request(body, authorization="Bearer sk-secret", x_custom="kept"))
        await provider.clock.sleep(1)
        (seen,) = provider.journal.log
        assert (seen.method, seen.path, seen.model) == ("POST", "/v1/chat/completions", "small")
        assert (seen.stream, seen.script, seen.outcome) == (True, "tokens=3", "done")
        assert seen.written == len(client.raw)
        assert b'"messages"' in seen.body
        assert (seen.headers[b"authorization"], seen.headers[b"x-custom"]) == (b"***", b"kept")
        assert repr(provider) == "<SimulatedProvider [connections: 1 | requests: 0 open, 1 seen, 0 disconnected]>"

    play(scene)


def test_the_journal_is_bounded() -> None:
    async def scene(loop: SimLoop, unused: SimulatedProvider) -> None:
        provider = provider_on(loop, keep=2)
        client = connect(loop, provider)
        for _ in range(5):
            client.send(request(body_of()))
            await provider.clock.sleep(1)
        assert (provider.journal.requests, len(provider.journal.log)) == (5, 2)
        provider.close()

    play(scene)


@pytest.mark.parametrize("script", ["silence", "first_token=1m", "between=1s,tokens=1000", "stall=3", "endless_line"])
@pytest.mark.parametrize("way", ["close", "abort"])
def test_a_client_that_goes_is_noticed_and_all_is_freed(script: str, way: str) -> None:
    async def scene(loop: SimLoop, provider: SimulatedProvider) -> None:
        client = connect(loop, provider)
        client.send(request(body_of(stream=True), x_penstock_sim=script))
        await provider.clock.sleep(1.5)
        assert provider.journal.open == 1
        left_at = loop.time()
        assert client.transport is not None
        getattr(client.transport, way)()
        await provider.clock.sleep(0.2)
        (seen,) = provider.journal.log
        assert seen.outcome == "disconnected"
        assert seen.ended == pytest.approx(left_at, abs=0.01)
        assert (provider.journal.open, provider.journal.disconnects) == (0, 1)
        assert not provider.connections
        written = seen.written
        await provider.clock.sleep(5)
        assert seen.written == written

    play(scene)


def test_a_client_that_does_not_read_stops_the_generator() -> None:
    async def scene(loop: SimLoop, provider: SimulatedProvider) -> None:
        client = connect(loop, provider)
        assert client.transport is not None
        client.transport.pause_reading()
        client.send(request(body_of("small:tokens=20000", stream=True)))
        await provider.clock.sleep(10)
        (connection,) = provider.connections
        before = provider.journal.open, connection.written
        await provider.clock.sleep(10)
        assert (provider.journal.open, connection.written) == before
        assert 0 < connection.written < 256 * 1024
        client.transport.resume_reading()
        await provider.clock.sleep(10)
        said = Said(client, 0.0)
        assert said.whole
        assert len(said.chunks) == 20_000 + 2
        assert provider.journal.open == 0

    play(scene)


def test_an_endless_line_has_no_end_and_no_line_feed() -> None:
    async def scene(loop: SimLoop, provider: SimulatedProvider) -> None:
        client = connect(loop, provider)
        assert client.transport is not None
        client.send(request(body_of(stream=True), x_penstock_sim="endless_line"))
        await provider.clock.sleep(0.2)
        client.transport.abort()
        assert len(client.raw) > 1_000_000
        head, _, body = client.raw.partition(b"\r\n\r\n")
        assert b"text/event-stream" in head
        assert b"\n" not in body.replace(b"\r\n", b"")

    play(scene)


def test_what_cannot_be_read_is_refused_after_what_can() -> None:
    async def scene(loop: SimLoop, provider: SimulatedProvider) -> None:
        client = connect(loop, provider)
        client.send(request(body_of()) + b"GARBAGE\r\n\r\n")
        await provider.clock.sleep(1)
        assert client.raw.startswith(b"HTTP/1.1 200 OK")
        assert b"HTTP/1.1 400 Bad Request" in client.raw
        assert client.ended == "eof"

    play(scene)


def test_expect_continue() -> None:
    async def scene(loop: SimLoop, provider: SimulatedProvider) -> None:
        client = connect(loop, provider)
        head, _, body = request(body_of(), expect="100-continue").partition(b"\r\n\r\n")
        client.send(head + b"\r\n\r\n")
        await provider.clock.sleep(1)
        assert client.raw == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)
        await provider.clock.sleep(1)
        assert b"HTTP/1.1 200 OK" in client.raw

    play(scene)


def test_connection_close_is_kept() -> None:
    async def scene(loop: SimLoop, provider: SimulatedProvider) -> None:
        client = connect(loop, provider)
        client.send(request(body_of(), connection="close"))
        await provider.clock.sleep(1)
        said = Said(client, 0.0)
        assert (said.whole, said.ended, said.headers[b"connection"]) == (True, "eof", b"close")
        assert provider.journal.log[0].outcome == "done"

    play(scene)


def test_scripts_that_end_a_connection_are_told_apart_from_clients_that_do() -> None:
    async def scene(loop: SimLoop, provider: SimulatedProvider) -> None:
        for script in ("cut=2", "reset=before_headers", "reset=after_headers"):
            client = connect(loop, provider)
            client.send(request(body_of(stream=True), x_penstock_sim=script))
            await provider.clock.sleep(1)
        assert [seen.outcome for seen in provider.journal.log] == ["cut"] * 3
        assert provider.journal.disconnects == 0

    play(scene)


def test_the_script_of_all_requests_may_change_at_any_time() -> None:
    async def scene(loop: SimLoop, provider: SimulatedProvider) -> None:
        client = connect(loop, provider)
        statuses = []
        for script in ("", "status=503", ""):
            provider.script = script
            client.pieces.clear()
            client.send(request(body_of()))
            await provider.clock.sleep(1)
            statuses.append(Said(client, 0.0).status)
        assert statuses == [200, 503, 200]

    play(scene)
