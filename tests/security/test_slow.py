"""Attack 19: callers that are slow on purpose, in their head, their body or their reading; all in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.testing import SimLoop, run
from tests.stage import Caller, Stage, chat

JSON = {"content-type": "application/json"}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"

Scene = Callable[[Stage, Caller], Awaitable[Any]]


def play(scene: Scene, config: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    async def main(loop: SimLoop) -> list[dict[str, Any]]:
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            try:
                await scene(stage, caller)
            finally:
                caller.close()
                await loop.clock.sleep(1)
            assert not stage.plane.listener.connections
            return stage.lines

    return run(main, leak_free=True)


async def drip(stage: Stage, caller: Caller, pieces: list[bytes], every: float) -> tuple[float, bytes]:
    """Send pieces one by one until the gateway has had enough; returns when that was, and what it said."""
    started = stage.loop.time()
    ended = asyncio.ensure_future(caller.reader.read())
    for piece in pieces:
        if ended.done():
            break
        caller.writer.write(piece)
        await stage.loop.clock.sleep(every)
    try:
        answer = await ended
    except ConnectionResetError:
        answer = b""  # closed while a further piece was under way
    return stage.loop.time() - started, answer


def test_a_head_that_drips_has_ten_seconds() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        head = HEAD + b"x: " + b"y" * 500
        took, answer = await drip(stage, caller, [bytes([byte]) for byte in head], 0.5)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close\r\n" in answer
        assert 10 <= took <= 14

    (line,) = play(scene)
    assert line["status"] == 408


def test_lines_before_a_request_are_no_request() -> None:
    """A parser skips empty lines before a request: they must not keep an unused connection open."""

    async def scene(stage: Stage, caller: Caller) -> None:
        took, answer = await drip(stage, caller, [b"\r\n"] * 200, 1)
        assert answer == b""
        assert 75 <= took <= 78

    assert play(scene) == []


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_that_drips_has_fifteen_seconds(framing: str) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        if framing == "length":
            caller.writer.write(HEAD + b"content-length: 100000\r\n\r\n")
            pieces = [b"x"] * 100
        else:
            caller.writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
            pieces = [b"1;" + b"e" * 2000 + b"\r\nx\r\n"] * 100  # what is not body does not count as one
        took, answer = await drip(stage, caller, pieces, 1)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert 15 <= took <= 19

    play(scene)


@pytest.mark.parametrize(("rate", "seconds"), [(900, 15), (2_000, 60), (50_000, 60)])
def test_a_body_must_keep_its_rate(rate: int, seconds: float) -> None:
    """1 KiB/s from 15 s on; after 60 s 64 KiB/s."""

    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(HEAD + b"content-length: 30000000\r\n\r\n")
        took, answer = await drip(stage, caller, [b"x" * rate] * 100, 1)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert seconds <= took <= seconds + 4

    play(scene)


def test_a_large_body_may_take_longer_while_it_keeps_the_rate() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        body = json.dumps(chat("x" * 12_000_000)).encode()
        caller.writer.write(HEAD + b"content-length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 100_000):
            caller.writer.write(body[start : start + 100_000])
            await stage.loop.clock.sleep(1)
        assert stage.loop.time() > 100
        assert (await caller.receive()).error["code"] == "context_length_exceeded"
        assert stage.provider.journal.log, "it was read and sent on"

    play(scene)


def test_a_trailer_without_an_end() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        took, answer = await drip(stage, caller, [b"x: y\r\n"] * 100, 1)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert took <= 19
        fast = await Caller.connect()
        fast.writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        await stage.loop.clock.sleep(1)
        fast.writer.write(b"x: y\r\n" * 20_000)
        assert (await fast.receive()).status in (400, 431)
        fast.close()

    play(scene)


@pytest.mark.parametrize("stream", [True, False])
def test_a_reader_of_a_byte_a_second_is_cut(stream: bool) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        wanted = chat(model="up/large:tokens=60000,burst=50", stream=stream)
        await caller.send("POST", "/v1/chat/completions", json.dumps(wanted).encode(), JSON)
        caller.pause()
        await stage.loop.clock.sleep(5)
        transport: Any = caller.writer.transport
        lane, began = transport._incoming, stage.loop.time()
        while stage.plane.listener.connections and stage.loop.time() - began < 120:
            if lane.chunks:
                lane.size -= len(lane.pull(1))
                lane.sender.sent()
            await stage.loop.clock.sleep(1)
        assert stage.loop.time() - began <= 35
        assert stage.provider.journal.open == 0

    (line,) = play(scene)
    assert line["status"] == (499 if stream else 200)


def test_a_slow_but_honest_reader_of_a_large_answer_gets_all_of_it() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        wanted = chat(model="up/large:tokens=90000")
        caller.pause()
        await caller.send("POST", "/v1/chat/completions", json.dumps(wanted).encode(), {**JSON, "connection": "close"})
        await stage.loop.clock.sleep(1)
        transport: Any = caller.writer.transport
        lane, taken = transport._incoming, b""
        while lane.chunks:
            piece = lane.pull(4_000)
            taken, lane.size = taken + piece, lane.size - len(piece)
            lane.sender.sent()
            await stage.loop.clock.sleep(1)
        assert stage.loop.time() > 90
        head, _, body = taken.partition(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % len(body) in head + b"\r\n"

    play(scene)


def test_a_caller_that_never_takes_the_rest_of_a_closed_answer_is_forgotten() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.pause()
        wanted = json.dumps(chat(model="up/large:tokens=60000")).encode()
        await caller.send("POST", "/v1/chat/completions", wanted, {**JSON, "connection": "close"})
        await stage.loop.clock.sleep(10)
        assert stage.plane.listener.connections
        await stage.loop.clock.sleep(25)
        assert not stage.plane.listener.connections

    play(scene)


def test_a_crowd_of_slow_callers_leaves_the_good_one_alone() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        crowd = [await Caller.connect() for _ in range(300)]
        for number, one in enumerate(crowd):
            one.writer.write((b"POST /v1", HEAD + b"content-length: 99\r\n\r\nx", b"")[number % 3])
        assert len(stage.plane.listener.connections) == 301
        for _ in range(20):
            assert (await caller.post(chat())).status == 200
            await stage.loop.clock.sleep(1)
        assert len(stage.plane.listener.connections) == 101, "only the unused are still there"
        for one in crowd:
            one.close()

    play(scene)


async def refused(stage: Stage, seconds: float) -> list[int]:
    """How many are by the end of each tenth of a second."""
    seen = []
    for _ in range(int(seconds * 10)):
        await stage.loop.clock.sleep(0.1)
        seen.append(len(stage.log))
    return seen


def test_a_crowd_that_is_late_together_is_refused_one_by_one() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        crowd = [await Caller.connect() for _ in range(350)]
        for one in crowd:
            one.writer.write(b"POST /v1")
        counts = await refused(stage, 14)
        assert counts[99] == 0
        assert max(after - before for before, after in itertools.pairwise(counts)) <= 29
        assert counts[-1] == 350
        for one in crowd:
            one.close()

    play(scene)


def test_a_crowd_that_takes_most_of_the_room_is_refused_at_once() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        crowd = [await Caller.connect() for _ in range(350)]
        for one in crowd:
            one.writer.write(b"POST /v1")
        counts = await refused(stage, 14)
        # Four in a turn of the loop, of which there is one in a millisecond.
        assert 100 <= max(after - before for before, after in itertools.pairwise(counts)) <= 400
        assert counts[-1] == 350
        for one in crowd:
            one.close()

    play(scene, {"server": {"max_connections": 400}})


def test_the_date_goes_on_while_a_crowd_is_refused() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        crowd = [await Caller.connect() for _ in range(2000)]
        for one in crowd:
            one.writer.write(b"POST /v1")
        await stage.loop.clock.sleep(11)
        dates = set()
        while len(stage.log) < 2000:
            dates.add((await caller.post(chat())).headers["date"])
            await stage.loop.clock.sleep(1)
        assert len(dates) >= 7
        for one in crowd:
            one.close()

    play(scene)
