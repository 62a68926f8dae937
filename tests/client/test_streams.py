"""The life of a stream: begun, left, cancelled, closed; whatever happens, the call at the provider stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock import Penstock
from penstock.gateway import Gateway
from penstock.testing import Cancel, SimLoop, run, sweep_scenario
from tests.client.stage import Stage, in_process, new_gateway, settle
from tests.client.test_calls import both, play

ENDLESS = "sim/small:stall=5"
SLOW = "sim/small:head=1s,first_token=1s,between=100ms"


@both
def test_leaving_the_block_stops_the_call(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> None:
        async with llm.stream("Hello", model=ENDLESS) as stream:
            async for _ in stream:
                assert gateway.upstream_busy == 1
                break
        await settle()
        assert gateway.upstream_busy == 0
        with pytest.raises(RuntimeError, match="closed"):
            async for _ in stream:
                pass

    play(stage, scene)


@both
def test_leaving_a_plain_loop_stops_the_call(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> None:
        async for _ in llm.stream("Hello", model=ENDLESS).text():
            break
        await settle()
        assert gateway.upstream_busy == 0
        async for _ in llm.stream("Hello", model=ENDLESS):
            break
        await settle()
        assert gateway.upstream_busy == 0

    play(stage, scene)


@both
def test_the_loop_can_be_left_and_taken_up_again(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> tuple[str, str]:
        text = ""
        async with llm.stream("Hello", model="sim/small:burst=3") as stream:
            async for event in stream:
                text += event.text
                if len(text) > 5:
                    break
            async for piece in stream.text():
                text += piece
            async for _ in stream:
                raise AssertionError("it was over")
        return text, stream.reply.text

    text, whole = play(stage, scene)
    assert text == whole


def test_a_stream_is_read_once() -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> None:
        stream = llm.stream("Hello")
        with pytest.raises(RuntimeError, match="once the stream has ended"):
            _ = stream.reply
        async with stream:
            with pytest.raises(RuntimeError, match="once the stream has ended"):
                _ = stream.reply
            async for _ in stream:
                pass
        assert stream.reply.text
        with pytest.raises(RuntimeError, match="opened before"):
            await stream.__aenter__()

    play(in_process, scene)


@both
def test_a_cancelled_task_stops_its_call(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> None:
        async def read() -> None:
            async with llm.stream("Hello", model=ENDLESS) as stream:
                async for _ in stream:
                    pass

        calls = [read(), llm.generate("Hello", model="sim/small:silence")]
        tasks = [asyncio.create_task(call) for call in calls]
        await settle()
        assert gateway.upstream_busy == 2
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await settle()
        assert [task.cancelled() for task in tasks] == [True, True]
        assert gateway.upstream_busy == 0

    play(stage, scene)


async def _read(llm: Penstock) -> str:
    async with llm.stream("Hello", model=SLOW, max_tokens=4) as stream:
        async for _ in stream:
            pass
    return stream.reply.text


@both
@pytest.mark.parametrize("what", ["generate", "stream", "embed"])
def test_cancelled_at_every_await(stage: Stage, what: str) -> None:
    calls: dict[str, Any] = {
        "generate": lambda llm: llm.generate("Hello", model=SLOW),
        "stream": _read,
        "embed": lambda llm: llm.embed("a", model="sim/embed:head=1s"),
    }

    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        async with stage(loop) as (llm, gateway):
            await cancel(calls[what](llm))
            await loop.settle()
            assert gateway.upstream_busy == 0
            assert gateway.metrics.in_flight.series[()] == 0

    assert sweep_scenario(scenario) >= 1


@both
def test_closing_under_a_stream_breaks_it(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> None:
        stream = llm.stream("Hello", model=ENDLESS)
        async with stream:
            reader = asyncio.create_task(_drain(stream))
            await settle()
            await stream.aclose()
            with pytest.raises(RuntimeError, match="this stream is closed"):
                await reader

    play(stage, scene)


async def _drain(stream: Any) -> None:
    async for _ in stream:
        pass


def test_seeds() -> None:
    """The same seed gives the same bytes; the words do not depend on it."""

    def once(seed: int) -> tuple[str, str]:
        async def main(loop: SimLoop) -> str:
            gateway = new_gateway(loop)
            async with Penstock.over(gateway) as llm:
                text = await _read(llm)
            await gateway.aclose()
            return text

        async def whole(loop: SimLoop) -> tuple[str, str]:
            return await main(loop), loop.trace_digest()

        return run(whole, seed)

    assert once(3) == once(3)
    assert once(3)[0] == once(4)[0]
