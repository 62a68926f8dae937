"""`generate`, `stream` and `embed`, in process and connected alike."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from penstock import Event, Message, Penstock, Response, Unavailable, UnknownModel
from penstock.gateway import Gateway
from penstock.testing import SimLoop, run
from tests.client.stage import BOTH, Stage, connected, in_process, new_gateway, settle

both = pytest.mark.parametrize("stage", BOTH)

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def play(stage: Stage, scene: Any) -> Any:
    """Run `scene(llm, gateway)` to its end; nothing may be left open."""

    async def main(loop: SimLoop) -> Any:
        async with stage(loop) as (llm, gateway):
            result = await scene(llm, gateway)
            await settle()
            assert gateway.upstream_busy == 0
            return result

    return run(main, leak_free=True)


@both
def test_a_whole_answer(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> Response:
        return await llm.generate("Hello", model="fast", system="Be kind.", max_tokens=7, temperature=0, stop=["%"])

    reply: Response = play(stage, scene)
    assert reply.text
    assert reply.text == reply.message.content == reply.raw["choices"][0]["message"]["content"]
    assert reply.finish_reason == "length"
    assert reply.usage.output_tokens == 7
    assert not reply.usage.estimated
    assert reply.model == "small"
    assert reply.attempts == 1
    assert reply.cost_usd == Decimal(reply.usage.input_tokens + 4 * 7) / 1_000_000
    assert reply.request_id.count("-") == 4


@both
def test_a_stream_is_the_same_answer(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> tuple[Response, Response, list[Event]]:
        whole = await llm.generate("Hello")
        async with llm.stream("Hello") as stream:
            events = [event async for event in stream]
        return whole, stream.reply, events

    whole, streamed, events = play(stage, scene)
    assert "".join(event.text for event in events if event.kind == "text") == whole.text == streamed.text
    assert [event.kind for event in events[-2:]] == ["finish", "usage"]
    assert streamed.usage == whole.usage == events[-1].usage
    assert (streamed.model, streamed.finish_reason) == (whole.model, whole.finish_reason) == ("small", "stop")
    assert streamed.raw["choices"][0]["finish_reason"] == "stop"
    assert streamed.request_id != whole.request_id
    # A stream's cost is known at its end, when a gateway has no header left to tell it.
    assert streamed.cost_usd == (whole.cost_usd if stage is in_process else None)
    assert whole.cost_usd


def test_both_ways_give_the_same_words() -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> str:
        return (await llm.generate("Hello")).text

    assert play(in_process, scene) == play(connected, scene)


@both
def test_embeddings(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> Any:
        one = await llm.embed("a", model="sim/embed", dimensions=4)
        return one, await llm.embed(["a", "b"], model="sim/embed", dimensions=4, user="u1")

    one, two = play(stage, scene)
    assert len(two) == 2
    assert len(two[1]) == 4
    assert two[0] == one[0] != two[1]
    assert (two.model, two.usage.input_tokens, two.attempts, two.cost_usd) == ("embed", 2, 1, Decimal("0.00000004"))
    assert two.request_id != one.request_id


@both
@pytest.mark.parametrize("streamed", [False, True])
def test_tools_and_the_turn_after(stage: Stage, streamed: bool) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> tuple[Response, Response]:
        asked: list[dict[str, Any] | Message] = [{"role": "user", "content": "Weather in Lund?"}]
        if streamed:
            async with llm.stream(messages=asked, tools=[WEATHER], tool_choice="required") as stream:
                async for _ in stream:
                    pass
            first = stream.reply
        else:
            first = await llm.generate(messages=asked, tools=[WEATHER], tool_choice="required")
        result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "rain"}
        return first, await llm.generate(messages=[*asked, first.message, result], tools=[WEATHER])

    first, second = play(stage, scene)
    assert first.finish_reason == "tool_calls"
    assert first.tool_calls[0].name == "weather"
    assert "city" in first.tool_calls[0].arguments
    assert second.text


@both
def test_a_schema_is_followed(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> str:
        schema = {"type": "object", "properties": {"colour": {"enum": ["red"]}}, "required": ["colour"]}
        return (await llm.generate("A colour", output_schema=schema)).text

    assert "".join(play(stage, scene).split()) == '{"colour":"red"}'


@both
def test_further_fields_are_passed_on(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> list[Event]:
        return [event async for event in llm.stream("Hello", extra={"n": 2, "seed": 1})]

    assert {event.choice for event in play(stage, scene)} == {0, 1}


@both
def test_reasoning_is_no_text(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> tuple[list[str], Response]:
        async with llm.stream("Hello", model="sim/reasoner") as stream:
            return [piece async for piece in stream.text()], stream.reply

    pieces, reply = play(stage, scene)
    assert "".join(pieces) == reply.text
    assert reply.usage.reasoning_tokens > 0


def test_the_record_tells_what_became_of_a_call() -> None:
    lines: list[bytes] = []

    async def main(loop: SimLoop) -> None:
        gateway = new_gateway(loop, lines)
        async with Penstock.over(gateway) as llm:
            await llm.generate("Hello", user="Jürgen", task="summary")
            with pytest.raises(UnknownModel):
                await llm.generate("Hello", model="nope")
            async for _ in llm.stream("Hello"):
                pass
            async with llm.stream("Hello", model="sim/small:stall=5") as stream:
                await anext(aiter(stream))
            with pytest.raises(Unavailable):
                async for _ in llm.stream("Hello", model="sim/small:error_event=4"):
                    pass
        await gateway.aclose()

    run(main, leak_free=True)
    good, unknown, streamed, left, broken = map(msgspec.json.decode, lines)
    assert (good["user"], good["task"], good["status"]) == ("Jürgen", "summary", 200)
    assert good["bytes_out"] > good["bytes_in"] > 0
    assert (unknown["status"], unknown["error"]) == (404, "unknown_model")
    assert (streamed["status"], streamed["stream"], streamed["attempts"][0]["outcome"]) == (200, True, "ok")
    assert streamed["bytes_out"] > good["bytes_out"]
    assert (left["status"], left["error"], left["attempts"][0]["outcome"]) == (499, "cancelled", "cancelled")
    assert (broken["status"], broken["stream_error"]) == (200, "unavailable")


def test_calls_side_by_side() -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> set[str]:
        replies = await asyncio.gather(*(llm.generate(f"Number {n}") for n in range(20)))
        return {reply.request_id for reply in replies}

    assert len(play(in_process, scene)) == 20
    assert len(play(connected, scene)) == 20
