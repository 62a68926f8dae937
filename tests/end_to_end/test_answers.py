"""What the OpenAI SDK asks for and gets, whole and streamed, along every way to a provider."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Literal

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from tests.end_to_end.process import Served
from tests.end_to_end.ways import NARROW_KEY, Way, user

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# What Anthropic's API has no word for, or what is about the bytes of OpenAI's own.
SAME_DIALECT = pytest.mark.parametrize("way", ["sim", "openai", "tls"], indirect=True)

TOOLS: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"The {name} of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("weather", "population")
]


class Report(BaseModel):
    city: str
    degrees: float
    sky: Literal["clear", "cloudy"]
    warnings: list[str]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


# --- chat


def test_an_answer(way: Way, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=way.model(), messages=user("Grüße, 世界 🌍"))
    assert answer.object == "chat.completion"
    assert answer.choices[0].finish_reason == "stop"
    assert '"Grüße, 世界 🌍"' in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    line = way.gateway.line(id=answer._request_id)
    assert (line["status"], line["model"], line["response_model"]) == (200, way.model(), answer.model)
    assert (line["tokens"]["input"], line["tokens"]["output"]) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )


def test_headers(way: Way, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=way.model(), messages=user("Hello"))
    headers = raw.headers
    assert UUID7.fullmatch(headers["x-request-id"])
    assert headers["x-penstock-target"] == way.model()
    assert headers["x-penstock-attempts"] == "1"
    assert headers["x-penstock-cache"] == "off"
    assert 0 < int(headers["x-penstock-overhead-us"]) < 1_000_000
    assert headers["content-type"] == "application/json"
    # A provider's own state is none of the caller's business.
    assert not [name for name in headers if name.startswith("x-ratelimit")]
    assert raw.parse()._request_id == headers["x-request-id"]


def test_a_stream(way: Way, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model=way.model(), messages=user("Hello there"), stream=True)
    chunks = list(stream)
    assert '"Hello there"' in text_of(chunks)
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    # Nobody asked for the chunk that the gateway itself reads the usage from.
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    headers = stream.response.headers
    assert headers["content-type"].startswith("text/event-stream")
    line = way.gateway.line(id=headers["x-request-id"])
    assert line["stream"] is True
    assert line["tokens"]["output"] > 0
    assert not line["tokens"]["estimated"]
    assert line["first_output_ms"] <= line["ms"]


def test_a_stream_with_usage(way: Way, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=way.model(), messages=user("Hello"), stream=True, stream_options={"include_usage": True}
    )
    *_, last = stream
    assert last.choices == []
    assert last.usage is not None
    line = way.gateway.line(id=stream.response.headers["x-request-id"])
    assert line["tokens"]["output"] == last.usage.completion_tokens > 0


def test_the_stream_is_the_answer(way: Way, client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=way.model("large"), messages=user("The same, twice"))
    stream = client.chat.completions.create(model=way.model("large"), messages=user("The same, twice"), stream=True)
    assert text_of(list(stream)) == whole.choices[0].message.content


def test_the_stream_helper(way: Way, client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=way.model(), messages=user("Hello")) as stream:
        kinds = [event.type for event in stream]
    assert {"chunk", "content.delta", "content.done"} <= set(kinds)
    assert '"Hello"' in (stream.get_final_completion().choices[0].message.content or "")


def test_a_stream_torn_to_bytes(way: Way, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=way.model("small", "split=1,tokens=12"), messages=user("Grüße 🌍"), stream=True
    )
    chunks = list(stream)
    assert '"Grüße 🌍"' in text_of(chunks)
    assert chunks[-1].choices[0].finish_reason is not None


@SAME_DIALECT
def test_several_choices(way: Way, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=way.model(), messages=user("Hello"), n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    stream = client.chat.completions.create(model=way.model(), messages=user("Hello"), n=2, stream=True)
    assert {choice.index for chunk in stream for choice in chunk.choices} == {0, 1}


@SAME_DIALECT
def test_logprobs(way: Way, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=way.model(), messages=user("Hi"), logprobs=True, top_logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content
    assert "".join(token.token for token in logprobs.content) == answer.choices[0].message.content
    assert all(len(token.top_logprobs) == 2 for token in logprobs.content)


def test_length(way: Way, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=way.model(), messages=user("Hello"), max_completion_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


@SAME_DIALECT
def test_a_body_goes_up_whole(way: Way, client: openai.OpenAI) -> None:
    hint = {"deep": [1, 2.50, None, "ü"], "of": {"another": "vendor"}}
    model = way.model("small", "tokens=7")
    stream = client.chat.completions.create(
        model=model, messages=user("Hello"), stream=True, temperature=0.5, extra_body={"vendor_hint": hint},
        extra_headers={"openai-beta": "assistants=v2", "x-mine": "1"},
    )  # fmt: skip
    assert list(stream)
    seen = way.seen(model)
    if seen is not None:
        body = json.loads(seen.body)
        assert body["vendor_hint"] == hint
        assert body["temperature"] == 0.5
        # The gateway's own wish, whatever the caller asked for.
        assert body["stream_options"] == {"include_usage": True}
        assert seen.headers[b"openai-beta"] == b"assistants=v2"
        assert not [name for name in seen.headers if name.startswith(b"x-")]


def test_a_big_prompt(way: Way, client: openai.OpenAI) -> None:
    prompt = "All work and no play. " * (2 * 1024 * 1024 // 22)
    answer = client.chat.completions.create(model=way.model("large"), messages=user(prompt))
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 100_000
    assert way.gateway.line(id=answer._request_id)["bytes_in"] > 2_000_000


# --- tools and structured answers


def test_a_tool_round_trip(way: Way, client: openai.OpenAI) -> None:
    messages = user("What are the weather and the population in Oslo?")
    asked = client.chat.completions.create(model=way.model(), messages=messages, tools=TOOLS)
    assert asked.choices[0].finish_reason == "tool_calls"
    calls = asked.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls if call.type == "function"] == ["weather", "population"]
    results: list[ChatCompletionMessageParam] = [
        {"role": "tool", "tool_call_id": call.id, "content": f"result {number}"} for number, call in enumerate(calls)
    ]
    turn: ChatCompletionMessageParam = {
        "role": "assistant",
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in calls
            if call.type == "function"
        ],
    }
    answer = client.chat.completions.create(model=way.model(), messages=[*messages, turn, *results], tools=TOOLS)
    content = answer.choices[0].message.content or ""
    assert "result 0" in content
    assert "result 1" in content


def test_streamed_tool_calls(way: Way, client: openai.OpenAI) -> None:
    messages = user("What are the weather and the population in Oslo?")
    with client.chat.completions.stream(model=way.model(), messages=messages, tools=TOOLS) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ["weather", "population"]
    assert all("city" in json.loads(call.function.arguments) for call in calls)


def test_one_tool_call_at_a_time(way: Way, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=way.model(), messages=user("The weather and the population, please"), tools=TOOLS,
        parallel_tool_calls=False,
    )  # fmt: skip
    assert len(answer.choices[0].message.tool_calls or []) == 1


def test_a_forced_tool(way: Way, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=way.model(), messages=user("Hello"), tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "population"}},
    )  # fmt: skip
    calls = answer.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls if call.type == "function"] == ["population"]


def test_parse(way: Way, client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=way.model(), messages=user("The weather in Oslo"), response_format=Report
    )
    assert isinstance(answer.choices[0].message.parsed, Report)


def test_parse_of_a_stream(way: Way, client: openai.OpenAI) -> None:
    asked = client.chat.completions.stream(model=way.model(), messages=user("Weather?"), response_format=Report)
    with asked as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Report)


@SAME_DIALECT
def test_json_mode(way: Way, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=way.model(), messages=user("Answer in JSON"), response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


# --- embeddings and models


@SAME_DIALECT
def test_embeddings(way: Way, client: openai.OpenAI) -> None:
    texts = ["a river", "a stream"]
    packed = client.embeddings.create(model=way.model("embed"), input=texts)
    plain = client.embeddings.create(model=way.model("embed"), input=texts, encoding_format="float")
    assert [item.index for item in packed.data] == [0, 1]
    assert packed.usage.total_tokens > 0
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert len(one.embedding) == 256
    line = way.gateway.line(id=packed._request_id)
    assert (line["operation"], line["tokens"]["input"]) == ("embeddings", packed.usage.prompt_tokens)


@SAME_DIALECT
def test_shorter_vectors_from_tokens(way: Way, client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=way.model("embed"), input=[[1, 2, 3]], dimensions=8)
    assert len(answer.data[0].embedding) == 8


def test_models(way: Way, client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert len(listed) == len(set(listed)) > 0
    wanted = "sim/small" if way.provider is None else "fast"
    assert wanted in listed
    for name in listed:
        assert client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")


def test_a_public_name_and_the_default(way: Way, client: openai.OpenAI) -> None:
    target = "up/small" if way.provider else "sim/small"
    named = client.chat.completions.with_raw_response.create(
        model="fast" if way.provider else "small", messages=user("Hi")
    )
    assert named.headers["x-penstock-target"] == target
    default = client.post("/chat/completions", body={"messages": user("Hi")}, cast_to=ChatCompletion)
    assert way.gateway.line(id=default._request_id)["deployment"] == target


def test_a_narrow_key(gateway: Served) -> None:
    with Way(gateway, "up/", NARROW_KEY, None).client() as client:
        assert [model.id for model in client.models.list()] == ["fast"]
        answer = client.chat.completions.create(model="fast", messages=user("Hello"))
        assert gateway.line(id=answer._request_id)["key"] == "narrow"
        with pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(model="up/large", messages=user("Hello"))


# --- asyncio


def test_asyncio(way: Way) -> None:
    async def ask() -> None:
        async with way.async_client() as client:
            answer = await client.chat.completions.create(model=way.model(), messages=user("Hello"))
            assert '"Hello"' in (answer.choices[0].message.content or "")
            stream = await client.chat.completions.create(model=way.model(), messages=user("Hello"), stream=True)
            assert '"Hello"' in text_of([chunk async for chunk in stream])
            async with client.chat.completions.stream(model=way.model(), messages=user("Hi"), tools=TOOLS) as helper:
                final = await helper.get_final_completion()
            assert final.choices[0].finish_reason == "stop"
            if way.prefix != "claude/":
                assert len((await client.embeddings.create(model=way.model("embed"), input="x")).data) == 1
            assert [model.id async for model in client.models.list()]

    asyncio.run(ask())


def test_many_at_once(way: Way) -> None:
    async def one(client: openai.AsyncOpenAI, number: int) -> str:
        prompt = f"I am number {number}"
        if number % 2:
            answer = await client.chat.completions.create(model=way.model(), messages=user(prompt))
            text = answer.choices[0].message.content or ""
            request_id = answer._request_id or ""
        else:
            stream = await client.chat.completions.create(
                model=way.model("small", "between=2ms"), messages=user(prompt), stream=True
            )
            text = text_of([chunk async for chunk in stream])
            request_id = stream.response.headers["x-request-id"]
        assert f'"{prompt}"' in text
        return request_id

    async def ask() -> list[str]:
        async with way.async_client() as client:
            return await asyncio.gather(*[one(client, number) for number in range(50)])

    ids = asyncio.run(ask())
    assert len(set(ids)) == 50
    for request_id in ids:
        assert way.gateway.line(id=request_id)["status"] == 200
