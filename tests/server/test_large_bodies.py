"""Large bodies take turns: whoever sends one does not keep the others waiting, nor do many who send one together."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from penstock.clock import SystemClock, SystemRandom
from penstock.config.load import load_config
from penstock.gateway import Gateway
from penstock.messages import Caller as Facts
from penstock.messages import Request
from penstock.providers.upstream import HEAVY
from penstock.server.routes import LARGE
from penstock.testing import ScriptedUpstream, SimLoop, pipe, run
from penstock.wire.dialects import CALLERS
from tests.security.bombs import bomb
from tests.stage import ENV, Caller, Stage, chat

MANY = 8
ANSWER = json.dumps(
    {
        "id": "x", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1},
    }
).encode()  # fmt: skip


class Mute(asyncio.Protocol):
    """A caller whose answer nobody reads."""

    def data_received(self, data: bytes) -> None:
        return


async def begun_per_turn(loop: SimLoop, stage: Stage, size: int, turns: int) -> list[int]:
    """How many of the requests that come together, each of `size` bytes, begin in each turn of the loop."""
    body = json.dumps(chat("x" * size, "up/small:first_token=2s")).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    live = stage.gateway.live
    callers = [pipe(loop, Mute(), stage.plane.listener.connection())[0] for _ in range(MANY)]
    for caller in callers:
        caller.write(request)
    before, begun = len(live), list[int]()
    for _ in range(turns):
        await asyncio.sleep(0)
        begun.append(len(live) - before)
        before = len(live)
    for caller in callers:
        caller.abort()
    return [count for count in begun if count > 0]


@pytest.mark.parametrize(("size", "most"), [(LARGE + 1, 1), (LARGE // 2, MANY)])
def test_large_bodies_are_read_one_in_a_turn_of_the_loop(size: int, most: int) -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop) as stage:
            begun = await begun_per_turn(loop, stage, size, 100)
            assert sum(begun) == MANY
            assert max(begun) == most

    run(main, leak_free=True)


def test_a_caller_that_leaves_while_it_waits_its_turn_holds_up_nobody() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop) as stage:
            # So few turns that most still wait when they are cut off.
            assert sum(await begun_per_turn(loop, stage, LARGE + 1, 4)) < MANY
            assert sum(await begun_per_turn(loop, stage, LARGE + 1, 100)) == MANY

    run(main, leak_free=True)


class Watched(asyncio.SelectorEventLoop):
    """A loop that counts what is done in a thread of somebody's own beside it (resolving names is not)."""

    beside = 0

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        self.beside += executor is not None
        return super().run_in_executor(executor, func, *args)


async def translate(body: bytes) -> int:
    """The status of a request that has to be said in another dialect."""
    async with ScriptedUpstream(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
    ) as upstream:
        providers = {"ant": {"kind": "anthropic", "base_url": upstream.base_url.removesuffix("/v1"), "api_key": "none"}}
        config = load_config({"auth": "open", "providers": providers}, {})
        gateway = Gateway(config, SystemClock(), SystemRandom())
        decoded = CALLERS["openai_chat"].decode_request(body)
        record = gateway.begin("chat")
        record.bytes_in = len(body)
        request = Request("openai_chat", decoded.model, decoded.stream, decoded.fields, Facts({}, b"", None), record)
        reply = await gateway.call(request)
        reply.close()
        await gateway.aclose()
        return reply.status


@pytest.mark.parametrize(("size", "beside"), [(HEAVY // 2, False), (8 * HEAVY, True)])
def test_a_large_translation_is_done_beside_the_loop(size: int, beside: bool) -> None:
    """In a thread, while the loop goes on; a small one is done at once."""
    loops: list[Watched] = []

    def watched() -> Watched:
        loops.append(Watched())
        return loops[-1]

    with asyncio.Runner(loop_factory=watched) as runner:
        assert runner.run(translate(bomb("turns", size, b"ant/m"))) == 200
    assert (loops[0].beside > 0) == beside


MIB = 1024 * 1024
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"


def test_large_bodies_have_room_for_so_many_together() -> None:
    """Whoever makes it too many is refused, and the room of those that are gone or answered is there for the next."""

    async def main(loop: SimLoop) -> None:
        async with Stage(loop) as stage:
            listener = stage.plane.listener
            listener.limits = listener.limits._replace(max_bodies=8 * MIB)
            crowd = [await Caller.connect() for _ in range(5)]
            for caller in crowd[:3]:
                caller.writer.write(HEAD % (20 * MIB) + bytes(2 * MIB + MIB // 2))
            await loop.clock.sleep(1)
            assert 7 * MIB < listener.bodies <= 8 * MIB
            crowd[3].writer.write(HEAD % (20 * MIB) + bytes(2 * MIB))
            refused = await crowd[3].receive()
            assert (refused.status, refused.error["code"]) == (503, "overloaded")
            assert refused.headers["retry-after"] == "1"
            assert (await crowd[4].post(chat())).status == 200, "small ones are let through"
            crowd[0].close()
            crowd[1].writer.write_eof()
            await loop.clock.sleep(5)
            assert listener.bodies <= 3 * MIB
            for _ in range(5):
                large = await crowd[4].post(chat("x" * 3 * MIB))
                assert large.status == 400, "it does not fit the model, which only the provider can tell"
                assert listener.bodies <= 3 * MIB, "an answered one is not held"
            for caller in crowd:
                caller.close()
            await loop.clock.sleep(1)
            assert listener.bodies == 0

    run(main, leak_free=True)


KEYED = {"auth": "required", "keys": [{"name": "app", "key": "env:APP_KEY", "models": ["*"]}]}
KEYED_HEAD = HEAD.replace(
    b"content-length", b"content-type: application/json\r\nauthorization: Bearer %b\r\ncontent-length"
)


@pytest.mark.parametrize("key", [b"", b"wrong", b"psk_live_0123456789abcdefghijklmnopqrstuvwxyz012345"])
def test_strangers_have_no_room_for_large_bodies(key: bytes) -> None:
    """A few of them, each sending as slowly as is allowed, would else take all of it from those that have a key."""

    async def main(loop: SimLoop) -> None:
        async with Stage(loop, KEYED) as stage:
            listener = stage.plane.listener
            listener.limits = listener.limits._replace(max_bodies=8 * MIB)
            for _ in range(20):
                stranger = await Caller.connect()
                stranger.writer.write(KEYED_HEAD % (key, 20 * MIB) + bytes(MIB))
                refused = await stranger.receive()
                assert refused.status in (401, 429), "without the rest of its body"
                assert refused.headers["connection"] == "close"
                assert refused.error["code"] in ("invalid_api_key", "rate_limit_exceeded", "rate_limited")
                assert listener.bodies == 0
                stranger.close()
            assert {line["status"] for line in stage.lines} <= {401, 429}
            assert len(stage.lines) == 20
            good = await Caller.connect()
            good.writer.write(KEYED_HEAD % (ENV["APP_KEY"].encode(), 2 * MIB) + bytes(MIB))
            await loop.clock.sleep(1)
            assert listener.bodies > MIB // 2
            good.writer.write(bytes(MIB))
            assert (await good.receive()).status == 400, "it is no JSON, and has come whole"
            good.close()

    run(main, leak_free=True)


def test_a_large_body_for_no_route_is_not_read_for_a_stranger() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, KEYED) as stage:
            for key, status in ((b"x", 401), (ENV["APP_KEY"].encode(), 404)):
                caller = await Caller.connect()
                caller.writer.write(KEYED_HEAD.replace(b"/v1/chat/completions", b"/nowhere") % (key, MIB) + bytes(MIB))
                assert (await caller.receive()).status == status
                caller.close()
            assert stage.plane.listener.bodies == 0

    run(main)


def test_a_body_is_held_until_its_answer_is_there_or_nobody_waits_for_it() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, {"defaults": {"timeouts": {"total": "3s"}}}) as stage:
            listener = stage.plane.listener
            body = json.dumps(chat("x" * MIB, "up/small:silence")).encode()
            for leave in (False, True):
                caller = await Caller.connect()
                await caller.send("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
                await loop.clock.sleep(1)
                assert listener.bodies > MIB // 2
                if not leave:
                    assert (await caller.receive()).status == 504
                    assert listener.bodies == 0
                caller.close()
                await loop.clock.sleep(1)
                assert listener.bodies == 0

    run(main, leak_free=True)
