"""What Anthropic's SDK asks for and gets, whole and streamed, from providers of its own dialect and of OpenAI's."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any, Literal

import anthropic
import pytest
from anthropic import beta_tool
from anthropic.types import Message, MessageParam, ToolParam, ToolResultBlockParam, ToolUseBlock
from pydantic import BaseModel

from tests.end_to_end.ways import APP_KEY, NARROW_KEY, Way

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(32)).decode()

TOOLS: list[ToolParam] = [
    {
        "name": name,
        "description": f"The {name} of a city.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
    for name in ("weather", "population")
]
QUESTION = "What are the weather and the population in Oslo?"

SAME_DIALECT = pytest.mark.parametrize("path", ["sim", "anthropic"], indirect=True)


class Report(BaseModel):
    city: str
    degrees: float
    sky: Literal["clear", "cloudy"]
    warnings: list[str]


def hello(text: str = "Hello") -> list[MessageParam]:
    return [{"role": "user", "content": text}]


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(message: Message) -> list[ToolUseBlock]:
    return [block for block in message.content if block.type == "tool_use"]


# --- messages


def test_an_answer(path: Way, claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model=path.model(), max_tokens=500, messages=hello("Grüße, 世界 🌍"))
    assert (answer.type, answer.role, answer.stop_reason, answer.stop_sequence) == (
        "message", "assistant", "end_turn", None,
    )  # fmt: skip
    assert [block.type for block in answer.content] == ["text"]
    assert '"Grüße, 世界 🌍"' in text_of(answer)
    assert answer.id
    assert answer.usage.input_tokens > 0
    line = path.gateway.line(id=answer._request_id)
    assert (line["status"], line["model"], line["response_model"]) == (200, path.model(), answer.model)
    assert (line["tokens"]["input"], line["tokens"]["output"]) == (
        answer.usage.input_tokens,
        answer.usage.output_tokens,
    )


def test_headers(path: Way, claude: anthropic.Anthropic) -> None:
    raw = claude.messages.with_raw_response.create(model=path.model(), max_tokens=500, messages=hello())
    headers = raw.headers
    assert UUID7.fullmatch(headers["request-id"])
    assert headers["x-request-id"] == headers["request-id"] == raw.parse()._request_id
    assert headers["x-penstock-target"] == path.model()
    assert headers["x-penstock-attempts"] == "1"
    assert headers["content-type"] == "application/json"
    assert not {"x-penstock-dropped", "x-penstock-clamped"} & headers.keys()
    # Whose account pays, and how much is left of it, is none of the caller's business.
    assert not [name for name in headers if name.startswith(("anthropic-", "openai-", "x-ratelimit"))]


@pytest.mark.parametrize("prefix", ["", "/anthropic"])
@pytest.mark.parametrize("credential", ["api_key", "auth_token"])
def test_where_and_how_a_client_connects(path: Way, prefix: str, credential: str) -> None:
    keys: dict[str, Any] = {"api_key": None, "auth_token": None, credential: path.key}
    with path.claude(base_url=path.gateway.url + prefix, **keys) as client:
        answer = client.messages.create(model=path.model(), max_tokens=500, messages=hello())
        assert '"Hello"' in text_of(answer)
        assert client.messages.count_tokens(model=path.model(), messages=hello()).input_tokens > 0
        assert client.models.list().data


def test_a_stream(path: Way, claude: anthropic.Anthropic) -> None:
    stream = claude.messages.create(model=path.model(), max_tokens=500, messages=hello("Hello there"), stream=True)
    events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start"
    assert [kind for kind in kinds[1:] if kind != "content_block_delta"] == [
        "content_block_start", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    said = "".join(
        event.delta.text for event in events if event.type == "content_block_delta" and event.delta.type == "text_delta"
    )
    assert '"Hello there"' in said
    last = events[-2]
    assert last.type == "message_delta"
    assert last.delta.stop_reason == "end_turn"
    headers = stream.response.headers
    assert headers["content-type"].startswith("text/event-stream")
    line = path.gateway.line(id=headers["request-id"])
    assert (line["stream"], line["status"], line["tokens"]["estimated"]) == (True, 200, False)
    assert line["tokens"]["output"] == last.usage.output_tokens > 0


def test_the_stream_helper(path: Way, claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model=path.model(), max_tokens=500, messages=hello()) as stream:
        said = "".join(stream.text_stream)
        final = stream.get_final_message()
        assert stream.request_id == stream.response.headers["x-request-id"]
    assert said == text_of(final)
    assert '"Hello"' in said
    assert final.stop_reason == "end_turn"
    line = path.gateway.line(id=stream.request_id)
    assert (final.usage.input_tokens, final.usage.output_tokens) == (line["tokens"]["input"], line["tokens"]["output"])


def test_the_stream_is_the_answer(path: Way, claude: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"model": path.model("large"), "max_tokens": 500, "messages": hello("The same, twice")}
    whole = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert text_of(final) == text_of(whole)
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_a_stream_torn_to_bytes(path: Way, claude: anthropic.Anthropic) -> None:
    model = path.model("small", "split=1,tokens=12")
    with claude.messages.stream(model=model, max_tokens=500, messages=hello("Grüße 🌍")) as stream:
        assert '"Grüße 🌍"' in stream.get_final_text()


def test_max_tokens(path: Way, claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model=path.model(), max_tokens=3, messages=hello())
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 3)
    with claude.messages.stream(model=path.model(), max_tokens=3, messages=hello()) as stream:
        assert stream.get_final_message().stop_reason == "max_tokens"


def test_a_stop_sequence(path: Way, claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(
        model=path.model(), max_tokens=500, messages=hello("one two three four"), stop_sequences=["never", " three"]
    )
    assert text_of(answer).endswith("two")
    # OpenAI's API does not tell a stop sequence from the end of the answer.
    told = ("end_turn", None) if path.prefix == "up/" else ("stop_sequence", " three")
    assert (answer.stop_reason, answer.stop_sequence) == told


def test_system_prompts(path: Way, claude: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"model": path.model(), "max_tokens": 500, "messages": hello()}
    plain = claude.messages.create(**asked)
    told = claude.messages.create(**asked, system="Answer in one word.")
    parts: Any = [{"type": "text", "text": f"Rule {n}: be brief."} for n in (1, 2)]
    parts[1]["cache_control"] = {"type": "ephemeral"}
    marked = claude.messages.create(**asked, system=parts)
    assert plain.usage.input_tokens < told.usage.input_tokens < marked.usage.input_tokens


def test_a_conversation(path: Way, claude: anthropic.Anthropic) -> None:
    messages = hello("My name is Ada")
    first = claude.messages.create(model=path.model(), max_tokens=500, messages=messages)
    again = claude.messages.create(
        model=path.model(), max_tokens=500,
        messages=[*messages, {"role": "assistant", "content": first.content}, *hello("What is it?")],
    )  # fmt: skip
    assert '"What is it?"' in text_of(again).replace('it"', 'it?"')
    assert again.usage.input_tokens > first.usage.input_tokens


def test_media(path: Way, claude: anthropic.Anthropic) -> None:
    plain = claude.messages.create(model=path.model(), max_tokens=500, messages=hello("What is this?"))
    sources: list[dict[str, Any]] = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PIXEL}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a page " * 40}},
    ]
    for source in sources:
        content: Any = [source, {"type": "text", "text": "What is this?"}]
        answer = claude.messages.create(
            model=path.model(), max_tokens=500, messages=[{"role": "user", "content": content}]
        )
        assert answer.stop_reason == "end_turn"
        assert answer.usage.input_tokens >= plain.usage.input_tokens + 40


# --- tools


def test_a_tool_round_trip(path: Way, claude: anthropic.Anthropic) -> None:
    messages = hello(QUESTION)
    asked = claude.messages.create(model=path.model(), max_tokens=500, messages=messages, tools=TOOLS)
    assert asked.stop_reason == "tool_use"
    calls = calls_of(asked)
    assert [call.name for call in calls] == ["weather", "population"]
    assert all(set(call.input) == {"city"} for call in calls)
    assert len({call.id for call in calls}) == 2
    results: list[ToolResultBlockParam] = [
        {"type": "tool_result", "tool_use_id": calls[0].id, "content": "sunny"},
        {
            "type": "tool_result", "tool_use_id": calls[1].id, "is_error": True,
            "content": [{"type": "text", "text": "nobody knows"}],
        },
    ]  # fmt: skip
    answer = claude.messages.create(
        model=path.model(), max_tokens=500, tools=TOOLS,
        messages=[*messages, {"role": "assistant", "content": asked.content}, {"role": "user", "content": results}],
    )  # fmt: skip
    assert answer.stop_reason == "end_turn"
    assert 'According to weather: "sunny"' in text_of(answer)
    assert "nobody knows" in text_of(answer)


def test_streamed_tool_calls(path: Way, claude: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"model": path.model(), "max_tokens": 500, "messages": hello(QUESTION), "tools": TOOLS}
    with claude.messages.stream(**asked) as stream:
        pieces = [event for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert len(pieces) > 2
    assert final.stop_reason == "tool_use"
    whole = claude.messages.create(**asked)
    assert [(call.name, call.input) for call in calls_of(final)] == [
        (call.name, call.input) for call in calls_of(whole)
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto", "disable_parallel_tool_use": True}, ["weather"]),
        ({"type": "tool", "name": "population"}, ["population"]),
        ({"type": "any"}, ["weather", "population"]),
        ({"type": "none"}, []),
    ],
)
def test_tool_choice(path: Way, claude: anthropic.Anthropic, choice: Any, expected: list[str]) -> None:
    asked: dict[str, Any] = {"model": path.model(), "max_tokens": 500, "messages": hello(QUESTION), "tools": TOOLS}
    answer = claude.messages.create(**asked, tool_choice=choice)
    assert [call.name for call in calls_of(answer)] == expected
    # Agents decide by this whether there is something to do.
    assert answer.stop_reason == ("tool_use" if expected else "end_turn")
    with claude.messages.stream(**asked, tool_choice=choice) as stream:
        assert stream.get_final_message().stop_reason == answer.stop_reason


def test_the_tool_runner(path: Way, claude: anthropic.Anthropic) -> None:
    asked: list[str] = []

    @beta_tool
    def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "rain until noon"

    runner = claude.beta.messages.tool_runner(
        model=path.model(), max_tokens=500, tools=[weather], messages=[{"role": "user", "content": "weather in Oslo?"}]
    )
    final = runner.until_done()
    assert asked == ["Oslo"]
    assert "rain until noon" in "".join(block.text for block in final.content if block.type == "text")


# --- thinking, structured answers


@pytest.mark.parametrize("thinking", [{"type": "enabled", "budget_tokens": 2048}, {"type": "adaptive"}])
def test_thinking(path: Way, claude: anthropic.Anthropic, thinking: Any) -> None:
    asked: dict[str, Any] = {
        "model": path.model("reasoner"), "max_tokens": 9000, "messages": hello(), "thinking": thinking,
    }  # fmt: skip
    answer = claude.messages.create(**asked)
    assert [block.type for block in answer.content] == ["thinking", "text"]
    with claude.messages.stream(**asked) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_message()
    assert "thinking" in kinds
    assert final.content[0] == answer.content[0]
    assert text_of(final) == text_of(answer)
    assert path.gateway.line(id=answer._request_id)["tokens"]["reasoning"] > 0
    # What was thought goes back with the next turn.
    again = claude.messages.create(
        **asked | {"messages": [*hello(), {"role": "assistant", "content": answer.content}, *hello("And now?")]}
    )
    assert again.stop_reason == "end_turn"


def test_a_tool_loop_with_thoughts(path: Way, claude: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {
        "model": path.model("reasoner"), "max_tokens": 9000, "tools": TOOLS,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }  # fmt: skip
    messages = hello(QUESTION)
    with claude.messages.stream(**asked, messages=messages) as stream:
        turn = stream.get_final_message()
    assert [block.type for block in turn.content] == ["thinking", "tool_use", "tool_use"]
    results: list[ToolResultBlockParam] = [
        {"type": "tool_result", "tool_use_id": call.id, "content": call.name} for call in calls_of(turn)
    ]
    answer = claude.messages.create(
        **asked,
        messages=[*messages, {"role": "assistant", "content": turn.content}, {"role": "user", "content": results}],
    )
    assert answer.stop_reason == "end_turn"


def test_parse(path: Way, claude: anthropic.Anthropic) -> None:
    answer = claude.messages.parse(
        model=path.model(), max_tokens=500, messages=hello("The weather in Oslo"), output_format=Report
    )
    assert isinstance(answer.parsed_output, Report)


def test_parse_of_a_stream(path: Way, claude: anthropic.Anthropic) -> None:
    asked = claude.messages.stream(
        model=path.model(), max_tokens=500, messages=hello("The weather in Oslo"), output_format=Report
    )
    with asked as stream:
        assert isinstance(stream.get_final_message().parsed_output, Report)


# --- tokens and models


def test_count_tokens(path: Way, claude: anthropic.Anthropic) -> None:
    long = hello("All work and no play. " * 100)
    asked: dict[str, Any] = {"model": path.model(), "messages": long, "tools": TOOLS, "system": "Be brief."}
    raw = claude.messages.with_raw_response.count_tokens(**asked)
    counted = raw.parse().input_tokens
    used = claude.messages.create(**asked, max_tokens=500).usage.input_tokens
    line = path.gateway.line(id=raw.headers["request-id"])
    assert (line["operation"], line["status"]) == ("count_tokens", 200)
    if path.prefix == "up/":
        # No API of OpenAI's counts: an estimate, said to be one.
        assert raw.headers["x-penstock-estimated"] == "true"
        assert used / 2 < counted < used * 2
        assert "attempts" not in line
    else:
        assert "x-penstock-estimated" not in raw.headers
        assert counted == used


def test_models(path: Way, claude: anthropic.Anthropic) -> None:
    listed = [model.id for model in claude.models.list()]
    assert len(listed) == len(set(listed)) > 0
    wanted = "sim/small" if path.provider is None else "fast"
    assert wanted in listed
    for name in listed:
        found = claude.models.retrieve(name)
        assert (found.id, found.type, found.lifecycle) == (name, "model", "active")
        assert found.display_name
        assert found.created_at.tzinfo is not None
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("nope")


def test_a_narrow_key(path: Way) -> None:
    if path.key != APP_KEY:
        return
    with Way(path.gateway, path.prefix, NARROW_KEY, None).claude() as client:
        assert [model.id for model in client.models.list()] == ["fast"]
        answer = client.messages.create(model="fast", max_tokens=500, messages=hello())
        assert path.gateway.line(id=answer._request_id)["key"] == "narrow"
        with pytest.raises(anthropic.PermissionDeniedError):
            client.messages.create(model=path.model("large"), max_tokens=500, messages=hello())


@SAME_DIALECT
def test_a_body_goes_up_whole(path: Way, claude: anthropic.Anthropic) -> None:
    model = path.model("small", "tokens=7")
    answer = claude.beta.messages.create(
        model=model, max_tokens=500, messages=[{"role": "user", "content": "Hello"}], betas=["context-1m-2025-08-07"],
        metadata={"user_id": "u1"}, extra_headers={"x-mine": "1"}, extra_query={"beta": "true"},
    )  # fmt: skip
    assert answer.content
    seen = path.seen(model)
    if seen is not None:
        assert (seen.path, seen.query) == ("/v1/messages", "beta=true")
        assert seen.headers[b"anthropic-beta"] == b"context-1m-2025-08-07"
        assert seen.headers[b"anthropic-version"].decode() == claude.default_headers["anthropic-version"]
        assert b'"metadata":{"user_id":"u1"}' in seen.body
        assert not [name for name in seen.headers if name.startswith(b"x-") and name != b"x-api-key"]


# --- asyncio


def test_asyncio(path: Way) -> None:
    async def ask() -> None:
        async with path.async_claude() as client:
            answer = await client.messages.create(model=path.model(), max_tokens=500, messages=hello())
            assert '"Hello"' in text_of(answer)
            assert answer._request_id
            async with client.messages.stream(model=path.model(), max_tokens=500, messages=hello()) as stream:
                said = "".join([text async for text in stream.text_stream])
                assert said == text_of(await stream.get_final_message())
            events = await client.messages.create(model=path.model(), max_tokens=9, messages=hello(), stream=True)
            assert [event.type async for event in events][-1] == "message_stop"
            parsed = await client.messages.parse(
                model=path.model(), max_tokens=500, messages=hello(), output_format=Report
            )
            assert isinstance(parsed.parsed_output, Report)
            assert (await client.messages.count_tokens(model=path.model(), messages=hello())).input_tokens > 0
            assert [model.id async for model in client.models.list()]

    asyncio.run(ask())


def test_many_at_once(path: Way) -> None:
    async def one(client: anthropic.AsyncAnthropic, number: int) -> str:
        prompt = f"I am number {number}"
        asked: dict[str, Any] = {"max_tokens": 500, "messages": hello(prompt)}
        if number % 2:
            answer = await client.messages.create(model=path.model(), **asked)
            request_id = answer._request_id
        else:
            async with client.messages.stream(model=path.model("small", "between=2ms"), **asked) as stream:
                answer = await stream.get_final_message()
            request_id = stream.request_id
        assert f'"{prompt}"' in text_of(answer)
        return request_id or ""

    async def ask() -> list[str]:
        async with path.async_claude() as client:
            return await asyncio.gather(*[one(client, number) for number in range(20)])

    ids = asyncio.run(ask())
    assert len(set(ids)) == 20
    for request_id in ids:
        assert path.gateway.line(id=request_id)["status"] == 200
