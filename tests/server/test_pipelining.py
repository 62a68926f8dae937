"""Many requests in one go: answered in order, a little is held, nothing is paused, and nobody else waits for it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from penstock.server.exchange import Exchange
from penstock.testing import SimLoop, run
from penstock.wire.h1 import HttpRequest
from tests.stage import Caller, Stage, chat

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
NOWHERE = b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


def play(scene: Callable[[Stage, Caller], Awaitable[Any]]) -> list[dict[str, Any]]:
    async def main(loop: SimLoop) -> list[dict[str, Any]]:
        async with Stage(loop) as stage:
            caller = await Caller.connect()
            try:
                await scene(stage, caller)
            finally:
                caller.close()
                await loop.clock.sleep(1)
            assert not stage.plane.listener.connections
            return stage.lines

    return run(main, leak_free=True)


def request(model: str, text: str = "Hello", **headers: str) -> bytes:
    body = json.dumps(chat(text, model)).encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}{fields}content-length: {len(body)}\r\n\r\n".encode() + body


SLOW = request("up/small:first_token=5s")


def test_what_is_held_is_answered_in_order_and_none_is_lost() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(SLOW)
        await stage.loop.clock.sleep(1)
        for number in range(100):
            caller.writer.write(b"GET /nowhere/%d HTTP/1.1\r\nhost: localhost\r\n\r\n" % number)
            await stage.loop.clock.sleep(0.01)
        data = b""
        while data.count(b"HTTP/1.1 404 ") < 100:
            data += await caller.reader.read(65536)
        assert data.startswith(OK)
        places = [data.index(b"/nowhere/%d." % number) for number in range(100)]
        assert places == sorted(places)
        assert (await caller.get("/healthz")).status == 200, "and the connection goes on"

    assert len(play(scene)) == 101


def test_one_waits_parsed_and_the_rest_as_bytes() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(SLOW)
        await stage.loop.clock.sleep(1)
        (connection,) = stage.plane.listener.connections
        for _ in range(5):
            caller.writer.write(SLOW)
            await stage.loop.clock.sleep(0.1)
        assert len(connection._parser.ready) == 1
        assert len(connection._held) == 4 * len(SLOW)
        for _ in range(6):
            assert await caller.reader.readuntil(b"\r\n\r\n")
            await caller.reader.readuntil(b'"completion_tokens"')

    play(scene)


def test_too_much_is_thrown_away_and_the_connection_closed_after_what_was_whole() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(SLOW)
        await stage.loop.clock.sleep(1)
        for _ in range(400):
            caller.writer.write(HEALTH * 10)
            await stage.loop.clock.sleep(0.001)
        (connection,) = stage.plane.listener.connections
        assert len(connection._held) == 0
        data = await caller.reader.read()
        assert data.startswith(OK)
        assert b"connection: close\r\n" not in data.partition(b"\r\n\r\n")[0]
        assert 1 <= data.count(b"\r\n\r\nok\n") <= 16
        assert data.count(b"connection: close\r\n") == 1
        assert data.endswith(b"ok\n")
        assert b" 400 " not in data, "no word about a request that may be repeated"

    play(scene)


def test_leaving_is_seen_behind_what_is_held() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(request("up/small:first_token=60s"))
        await stage.loop.clock.sleep(1)
        for _ in range(200):
            caller.writer.write(SLOW)
            await stage.loop.clock.sleep(0.001)
        left = stage.loop.time()
        caller.close()
        while stage.provider.journal.open:
            await stage.loop.clock.sleep(0.01)
        assert stage.loop.time() - left <= 0.25

    (line,) = play(scene)
    assert line["status"] == 499


def test_garbage_behind_what_is_held_is_refused_in_its_turn() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(SLOW)
        await stage.loop.clock.sleep(1)
        for piece in (HEALTH, NOWHERE, b"GARBAGE\r\n\r\n", HEALTH):
            caller.writer.write(piece)
            await stage.loop.clock.sleep(0.1)
        data = await caller.reader.read()
        assert re.findall(rb"HTTP/1.1 ([0-9]+)", data) == [b"200", b"200", b"404", b"400"]

    play(scene)


def test_a_caller_that_asks_and_never_reads_is_given_no_more_and_cut() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.pause()
        sent = 0
        while stage.plane.listener.connections or not sent:
            caller.writer.write(NOWHERE * 8)
            sent += 8
            await stage.loop.clock.sleep(0.01)
            for connection in stage.plane.listener.connections:
                assert connection._transport is not None
                assert connection._transport.get_write_buffer_size() < 64 * 1024
            assert stage.loop.time() < 1100
        assert len(stage.lines) < 1000 < sent

    play(scene)


def test_others_have_their_turn_between_many_that_are_answered_at_once() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(SLOW)
        await stage.loop.clock.sleep(1)
        for _ in range(120):
            caller.writer.write(HEALTH * 10)
            await stage.loop.clock.sleep(0.01)
        listener, turn, answered = stage.plane.listener, 0, Counter[int]()
        handle = listener.handle

        def next_turn() -> None:
            nonlocal turn
            turn += 1
            if turn < 500:
                stage.loop.call_soon(next_turn)

        def counted(request: HttpRequest, out: Exchange) -> Any:
            if not turn:
                next_turn()
            answered[turn] += 1
            return handle(request, out)

        listener.handle = counted
        data = b""
        while data.count(b"ok\n") < 1200:
            piece = await caller.reader.read(1 << 20)
            assert piece
            data += piece
        assert answered.total() == 1200
        assert max(answered.values()) <= 2 * 16

    play(scene)


def test_an_expectation_behind_another_request_is_met_in_the_end() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(SLOW)
        await stage.loop.clock.sleep(1)
        head, _, body = request("fast", expect="100-continue").partition(b"\r\n\r\n")
        caller.writer.write(head + b"\r\n\r\n")
        assert (await caller.receive()).status == 200
        assert (await caller.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        caller.writer.write(body)
        assert (await caller.receive()).status == 200

    play(scene)


def test_http_1_0_is_told_that_its_connection_goes_on() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        for _ in range(2):
            caller.writer.write(b"GET /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            head = await caller.reader.readuntil(b"\r\n\r\n")
            assert b"connection: keep-alive\r\n" in head
            assert await caller.reader.readexactly(3) == b"ok\n"
        caller.writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"connection: close\r\n" in await caller.reader.read()

    play(scene)
