"""The library over a provider that speaks Anthropic's dialect: the same calls, the same answers."""

from __future__ import annotations

import pytest

from penstock import InvalidRequest, Penstock, UpstreamError
from penstock.testing import SimLoop, run
from tests.stage import Stage

TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def over(stage: Stage) -> Penstock:
    return Penstock.over(stage.gateway)


def test_a_whole_answer() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop) as stage, over(stage) as llm:
            reply = await llm.generate("Say something.", model="ant/small", system="Be brief.", max_tokens=200)
            assert reply.text
            assert (reply.finish_reason, reply.model, reply.attempts) == ("stop", "small", 1)
            assert reply.usage.output_tokens > 0
            assert not reply.usage.estimated
            assert reply.raw["type"] == "message"
            assert reply.message.content == reply.text
            (seen,) = stage.provider.journal.log
            assert seen.path == "/v1/messages"

    run(main, leak_free=True)


def test_a_stream_tells_only_what_the_contract_names() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop) as stage, over(stage) as llm:
            async with llm.stream("Say something.", model="ant/small") as stream:
                events = [event async for event in stream]
            assert {event.kind for event in events} == {"text", "usage", "finish"}
            assert "".join(event.text for event in events if event.kind == "text") == stream.reply.text
            assert stream.reply.usage.output_tokens > 0
            assert stream.reply.raw["type"] == "message_stop"

    run(main, leak_free=True)


def test_thinking_goes_back_with_its_seal() -> None:
    async def main(loop: SimLoop) -> None:
        extra = {"reasoning_effort": "low"}
        async with Stage(loop) as stage, over(stage) as llm:
            for stream in (False, True):
                messages = [{"role": "user", "content": "What is the weather in Rome?"}]
                if stream:
                    async with llm.stream(messages=messages, model="ant/large", tools=[TOOL], extra=extra) as answer:
                        async for _ in answer:
                            pass
                    first = answer.reply
                else:
                    first = await llm.generate(messages=messages, model="ant/large", tools=[TOOL], extra=extra)
                assert first.message.reasoning
                (call,) = first.tool_calls
                result = {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}
                # The simulated provider, as the vendor, takes no thought back whose seal is not its own.
                second = await llm.generate(
                    messages=[*messages, first.message, result], model="ant/large", tools=[TOOL], extra=extra
                )
                assert second.text

    run(main, leak_free=True)


def test_what_cannot_be_said_is_refused_by_name() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop) as stage, over(stage) as llm:
            with pytest.raises(InvalidRequest, match="'n'"):
                await llm.generate("Hello", model="ant/small", extra={"n": 2})

    run(main, leak_free=True)


@pytest.mark.parametrize("script", ["cut=8,between=5ms", "error_event=8"])
def test_a_broken_stream_raises(script: str) -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop) as stage, over(stage) as llm, llm.stream("Hi", model=f"ant/small:{script}") as stream:
            with pytest.raises(UpstreamError):
                [event async for event in stream]

    run(main, leak_free=True)


def test_a_refused_call_raises_its_class() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop) as stage, over(stage) as llm:
            with pytest.raises(UpstreamError) as raised:
                await llm.generate("Hello", model="ant/small:status=529")
            assert raised.value.status == 529

    run(main, leak_free=True)
