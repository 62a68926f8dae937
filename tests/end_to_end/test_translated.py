"""What a provider is asked when the caller's SDK speaks another dialect, and what the caller is told of the losses."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.end_to_end.process import Served
from tests.end_to_end.providers import Provider
from tests.end_to_end.test_messages import PIXEL, calls_of, hello, text_of
from tests.end_to_end.ways import APP_KEY, Way, user

CAT = "https://example.com/cat.png"
PDF = base64.b64encode(b"%PDF-1.7\n" + bytes(40)).decode()
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "number"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}


@pytest.fixture
def to_claude(gateway: Served, provider: Provider) -> Way:
    """OpenAI's callers, Anthropic's provider."""
    return Way(gateway, "claude/", APP_KEY, provider)


@pytest.fixture
def to_gpt(gateway: Served, provider: Provider) -> Way:
    """Anthropic's callers, OpenAI's provider."""
    return Way(gateway, "up/", APP_KEY, provider)


@pytest.fixture
def gpt(to_claude: Way) -> Iterator[openai.OpenAI]:
    with to_claude.client() as client:
        yield client


@pytest.fixture
def claude(to_gpt: Way) -> Iterator[anthropic.Anthropic]:
    with to_gpt.claude() as client:
        yield client


def sent(way: Way, model: str) -> tuple[str, dict[str, Any]]:
    """Where the newest request for a model went, and its body."""
    seen = way.seen(model)
    assert seen is not None
    body: dict[str, Any] = json.loads(seen.body)
    return seen.path, body


# --- OpenAI's SDK, Anthropic's provider


def test_openais_conversation_as_anthropic_reads_it(to_claude: Way, gpt: openai.OpenAI) -> None:
    model = to_claude.model("small", "tokens=30")
    call = {"id": "call.1", "type": "function", "function": {"name": "look", "arguments": '{"city": "Oslo"}'}}
    other = {"id": "call_2", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {"type": "image_url", "image_url": {"url": CAT}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
        ]},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call, other]},
        {"role": "tool", "tool_call_id": "call.1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "no city"}]},
        {"role": "developer", "content": "Use metric units."},
        {"role": "user", "content": "And now?"},
    ]  # fmt: skip
    tools: Any = [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": WEATHER}}]
    answer = gpt.chat.completions.create(
        model=model, messages=messages, stop=["never"], temperature=0.5, top_p=0.9, max_completion_tokens=200,
        tools=tools, tool_choice="auto", parallel_tool_calls=False, user="u1",
    )  # fmt: skip
    assert answer.choices[0].finish_reason == "stop"
    path, body = sent(to_claude, model)
    assert path == "/v1/messages"
    assert [block["text"] for block in body["system"]] == ["Be brief.", "Use metric units."]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    first, second, third = (message["content"] for message in body["messages"])
    assert [block["type"] for block in first] == ["text", "image", "image", "document"]
    assert first[1]["source"] == {"type": "base64", "media_type": "image/png", "data": PIXEL}
    assert first[2]["source"] == {"type": "url", "url": CAT}
    assert first[3]["source"] == {"type": "base64", "media_type": "application/pdf", "data": PDF}
    assert second == [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "call_1", "name": "look", "input": {"city": "Oslo"}},
        {"type": "tool_use", "id": "call_2", "name": "look", "input": {}},
    ]
    assert third == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "call_2", "content": "no city"},
        {"type": "text", "text": "And now?"},
    ]
    assert body["tools"] == [{"name": "look", "description": "Looks.", "input_schema": WEATHER}]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert (body["temperature"], body["top_p"], body["stop_sequences"]) == (0.5, 0.9, ["never"])
    assert (body["max_tokens"], body["metadata"]) == (200, {"user_id": "u1"})
    assert "stream" not in body or body["stream"] is False


def test_no_limit_becomes_the_default(to_claude: Way, gpt: openai.OpenAI) -> None:
    model = to_claude.model("small", "tokens=31")
    gpt.chat.completions.create(model=model, messages=user("Hello"))
    assert sent(to_claude, model)[1]["max_tokens"] == 8192
    brief = gpt.chat.completions.create(model="brief", messages=user("Hello"))
    assert (brief.choices[0].finish_reason, brief.usage and brief.usage.completion_tokens) == ("length", 5)


@pytest.mark.parametrize(("effort", "budget"), [("low", 2048), ("medium", 8192), ("high", 16384)])
def test_effort_becomes_a_budget(to_claude: Way, gpt: openai.OpenAI, effort: Any, budget: int) -> None:
    model = to_claude.model("small", f"tokens={budget}")
    answer = gpt.chat.completions.create(
        model=model, messages=user("Hello"), reasoning_effort=effort, max_completion_tokens=30000
    )
    body = sent(to_claude, model)[1]
    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert (answer.usage.completion_tokens_details.reasoning_tokens or 0) > 0


def test_thoughts_come_and_go_back_with_their_seals(to_claude: Way, gpt: openai.OpenAI) -> None:
    model = to_claude.model("reasoner", "tokens=32")
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    asked: dict[str, Any] = {"model": model, "tools": tools, "reasoning_effort": "low"}
    messages: list[Any] = [{"role": "user", "content": "The weather in Oslo?"}]
    first = gpt.chat.completions.create(**asked, messages=messages).choices[0].message
    told = first.model_dump(exclude_none=True)
    assert told["reasoning_content"]
    assert first.tool_calls
    messages += [told, {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "rain"}]
    raw = gpt.chat.completions.with_raw_response.create(**asked, messages=messages)
    assert "x-penstock-dropped" not in raw.headers
    thought = sent(to_claude, model)[1]["messages"][1]["content"][0]
    # The provider refuses a seal that is not its own.
    assert (thought["type"], thought["thinking"]) == ("thinking", told["reasoning_content"])
    assert thought["signature"]


def test_streamed_thoughts(to_claude: Way, gpt: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": to_claude.model("reasoner"), "messages": user("Hi"), "reasoning_effort": "low"}
    whole = gpt.chat.completions.create(**asked).choices[0].message.model_dump()
    chunks = list(gpt.chat.completions.create(**asked, stream=True))
    deltas = [chunk.choices[0].delta.model_dump() for chunk in chunks if chunk.choices]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == whole["reasoning_content"]
    assert "".join(delta.get("content") or "" for delta in deltas) == whole["content"]
    details = [detail for delta in deltas for detail in delta.get("reasoning_details") or []]
    assert [detail["signature"] for detail in details if detail.get("signature")] == [
        detail["signature"] for detail in whole["reasoning_details"]
    ]


def test_a_schema_goes_to_anthropic(to_claude: Way, gpt: openai.OpenAI) -> None:
    model = to_claude.model("small", "tokens=33")
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "report", "schema": SCHEMA, "strict": True}}
    answer = gpt.chat.completions.create(model=model, messages=user("The weather in Oslo"), response_format=wanted)
    assert set(json.loads(answer.choices[0].message.content or "")) == {"city", "degrees"}
    assert sent(to_claude, model)[1]["output_config"]["format"] == {"type": "json_schema", "schema": SCHEMA}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2), ("logprobs", True), ("logit_bias", {"50256": -100}), ("frequency_penalty", 0.5),
        ("response_format", {"type": "json_object"}), ("modalities", ["text", "audio"]),
    ],
)  # fmt: skip
def test_what_anthropic_has_no_word_for(to_claude: Way, gpt: openai.OpenAI, field: str, value: Any) -> None:
    asked: dict[str, Any] = {"messages": user("Answer in JSON"), "extra_body": {field: value}}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as raised:
            gpt.chat.completions.create(model=to_claude.model(), **asked, stream=stream)
        assert raised.value.param == field
        assert raised.value.response.headers["x-penstock-attempts"] == "0"
        assert f"'{field}'" in raised.value.message
        assert "untranslatable: drop" in raised.value.message
    raw = gpt.chat.completions.with_raw_response.create(model="easygoing", **asked)
    assert raw.headers["x-penstock-dropped"] == field
    assert raw.headers["x-penstock-target"] == "claude/small"
    assert gpt.chat.completions.create(model="easygoing", **asked).choices[0].message.content


def test_hints_of_openai_are_dropped_and_named(to_claude: Way, gpt: openai.OpenAI) -> None:
    model = to_claude.model("small", "tokens=34")
    raw = gpt.chat.completions.with_raw_response.create(
        model=model, messages=user("Hello"), seed=7, store=False, metadata={"a": "b"}, service_tier="auto",
        frequency_penalty=0, presence_penalty=0, temperature=1.5,
    )  # fmt: skip
    named = set(raw.headers["x-penstock-dropped"].split(", "))
    assert {"seed", "store", "metadata", "service_tier"} <= named
    assert raw.headers["x-penstock-clamped"] == "temperature"
    body = sent(to_claude, model)[1]
    assert body["temperature"] == 1
    assert not {"seed", "store", "service_tier", "frequency_penalty"} & body.keys()
    stream = gpt.chat.completions.create(model=model, messages=user("Hello"), seed=7, stream=True)
    assert stream.response.headers["x-penstock-dropped"] == "seed"
    assert list(stream)[-1].choices[0].finish_reason == "stop"


def test_usage_of_a_translated_stream(to_claude: Way, gpt: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": to_claude.model(), "messages": user("Hello")}
    whole = gpt.chat.completions.create(**asked)
    *_, last = gpt.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage == whole.usage
    assert all(chunk.choices for chunk in gpt.chat.completions.create(**asked, stream=True))


def test_no_vectors_from_anthropic(to_claude: Way, gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        gpt.embeddings.create(model=to_claude.model("embed"), input="x")
    assert raised.value.param == "model"


# --- Anthropic's SDK, OpenAI's provider


def test_anthropics_conversation_as_openai_reads_it(to_gpt: Way, claude: anthropic.Anthropic) -> None:
    model = to_gpt.model("small", "tokens=40")
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    content: Any = [
        image,
        {"type": "image", "source": {"type": "url", "url": CAT}},
        {"type": "document", "title": "A", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
    ]
    results: Any = [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a shot"}, image]},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no city", "is_error": True},
        {"type": "text", "text": "And now?"},
    ]
    uses: Any = [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"city": "Oslo"}},
        {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}},
    ]
    tools: Any = [{"name": "look", "description": "Looks.", "input_schema": WEATHER}]
    raw = claude.messages.with_raw_response.create(
        model=model, max_tokens=200, system="Be brief.", stop_sequences=["never"], metadata={"user_id": "u1"},
        messages=[
            {"role": "user", "content": content}, {"role": "assistant", "content": uses},
            {"role": "user", "content": results},
        ],
        tools=tools, tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        extra_body={"temperature": 0.5},
    )  # fmt: skip
    assert raw.parse().stop_reason == "end_turn"
    path, body = sent(to_gpt, model)
    assert path == "/v1/chat/completions"
    told = body["messages"]
    assert [message["role"] for message in told] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert told[0]["content"] == "Be brief."
    parts = told[1]["content"]
    assert [part["type"] for part in parts] == ["image_url", "image_url", "file", "text"]
    assert parts[0]["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"
    assert parts[1]["image_url"]["url"] == CAT
    assert parts[2]["file"]["file_data"] == f"data:application/pdf;base64,{PDF}"
    function = told[2]["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == ("look", {"city": "Oslo"})
    assert [(result["tool_call_id"], result["content"]) for result in told[3:5]] == [
        ("toolu_1", "a shot"), ("toolu_2", "Error: no city"),
    ]  # fmt: skip
    # What a `tool` message cannot hold comes after it, and says where it is from.
    shown = told[5]["content"]
    assert [part["type"] for part in shown] == ["text", "image_url", "text"]
    assert "toolu_1" in shown[0]["text"]
    assert shown[2]["text"] == "And now?"
    function = {"name": "look", "description": "Looks.", "parameters": WEATHER}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("auto", False)
    assert (body["max_tokens"], body["stop"], body["temperature"], body["user"]) == (200, ["never"], 0.5, "u1")
    assert raw.headers["x-penstock-dropped"] == "messages.0.content.3.cache_control"


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"type": "enabled", "budget_tokens": 1024}, "low"),
        ({"type": "enabled", "budget_tokens": 8192}, "medium"),
        ({"type": "enabled", "budget_tokens": 20000}, "high"),
        ({"type": "adaptive"}, None),
    ],
)
def test_a_budget_becomes_effort(to_gpt: Way, claude: anthropic.Anthropic, thinking: Any, effort: str | None) -> None:
    model = to_gpt.model("reasoner", f"tokens={thinking.get('budget_tokens', 41)}")
    claude.messages.create(model=model, max_tokens=21000, messages=hello(), thinking=thinking, timeout=20)
    assert sent(to_gpt, model)[1].get("reasoning_effort") == effort


def test_effort_stays_effort(to_gpt: Way, claude: anthropic.Anthropic) -> None:
    model = to_gpt.model("reasoner", "tokens=42")
    claude.messages.create(
        model=model, max_tokens=900, messages=hello(), thinking={"type": "adaptive"}, output_config={"effort": "high"}
    )
    assert sent(to_gpt, model)[1]["reasoning_effort"] == "high"


def test_a_schema_goes_to_openai(to_gpt: Way, claude: anthropic.Anthropic) -> None:
    model = to_gpt.model("small", "tokens=43")
    answer = claude.messages.create(
        model=model, max_tokens=900, messages=hello("The weather in Oslo"),
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
    )  # fmt: skip
    assert set(json.loads(text_of(answer))) == {"city", "degrees"}
    asked = sent(to_gpt, model)[1]["response_format"]
    assert (asked["type"], asked["json_schema"]["schema"]) == ("json_schema", SCHEMA)


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("top_k", {"top_k": 5}),
        ("mcp_servers", {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]}),
        ("tools.0", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ("container", {"container": {"skills": [{"type": "anthropic", "skill_id": "pdf"}]}}),
    ],
)
def test_what_openai_has_no_word_for(to_gpt: Way, claude: anthropic.Anthropic, field: str, more: Any) -> None:
    asked: dict[str, Any] = {"max_tokens": 50, "messages": hello(), "extra_body": more}
    for stream in (False, True):
        with pytest.raises(anthropic.BadRequestError) as raised:
            claude.messages.create(model=to_gpt.model(), **asked, stream=stream)
        assert raised.value.type == "invalid_request_error"
        assert f"'{field}'" in (raised.value.api_message or "")
        assert "untranslatable: drop" in (raised.value.api_message or "")
    raw = claude.messages.with_raw_response.create(model="easy", **asked)
    assert field in raw.headers["x-penstock-dropped"].split(", ")
    assert raw.headers["x-penstock-target"] == "up/small"
    assert raw.parse().content


def test_hints_of_anthropic_are_dropped_and_named(to_gpt: Way, claude: anthropic.Anthropic) -> None:
    model = to_gpt.model("small", "tokens=44")
    asked: dict[str, Any] = {
        "model": model,
        "max_tokens": 500,
        "messages": hello(),
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "service_tier": "auto",
        "extra_headers": {"anthropic-beta": "context-1m-2025-08-07"},
    }
    raw = claude.messages.with_raw_response.create(**asked)
    assert set(raw.headers["x-penstock-dropped"].split(", ")) == {"system.0.cache_control", "service_tier"}
    seen = to_gpt.seen(model)
    assert seen is not None
    assert not [name for name in seen.headers if name.startswith(b"anthropic-")]
    assert sent(to_gpt, model)[1]["messages"][0] == {"role": "system", "content": "Be brief."}
    with claude.messages.stream(**asked) as stream:
        assert stream.get_final_message().stop_reason == "end_turn"
    assert stream.response.headers["x-penstock-dropped"] == raw.headers["x-penstock-dropped"]


def test_thoughts_of_another_family_stay_here(to_gpt: Way, claude: anthropic.Anthropic) -> None:
    model = to_gpt.model("small", "tokens=45")
    turn: Any = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2VhbA=="}, {"type": "redacted_thinking", "data": "eA=="},
        {"type": "text", "text": "Hello."},
    ]  # fmt: skip
    raw = claude.messages.with_raw_response.create(
        model=model, max_tokens=500, messages=[*hello(), {"role": "assistant", "content": turn}, *hello("And?")]
    )
    assert raw.headers["x-penstock-dropped"] == "messages.1.content.0"
    assert sent(to_gpt, model)[1]["messages"][1] == {"role": "assistant", "content": "Hello."}


# --- errors cross over too


def test_the_same_failure_in_both_envelopes(
    to_claude: Way, to_gpt: Way, gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    script = "status=429,retry_after=132"
    with pytest.raises(openai.RateLimitError) as told:
        gpt.chat.completions.create(model=to_claude.model("small", script), messages=user("Hello"))
    assert (told.value.code, told.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    with pytest.raises(anthropic.RateLimitError) as raised:
        claude.messages.create(model=to_gpt.model("small", script), max_tokens=9, messages=hello())
    assert raised.value.type == "rate_limit_error"
    for error in (told.value, raised.value):
        assert error.response.headers["retry-after"] == "132"
        # The provider's own words survive.
        assert "rate limit" in error.response.text.lower()


def test_a_window_that_is_full_in_both_envelopes(
    to_claude: Way, to_gpt: Way, gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    prompt = "word " * 130_000
    with pytest.raises(openai.BadRequestError) as told:
        gpt.chat.completions.create(model=to_claude.model(), messages=user(prompt))
    assert told.value.code == "context_length_exceeded"
    with pytest.raises(anthropic.BadRequestError) as raised:
        claude.messages.create(model=to_gpt.model(), max_tokens=9, messages=hello(prompt))
    assert "prompt is too long" in (raised.value.api_message or "").lower()


def test_a_refused_request_is_told_in_the_callers_words(to_claude: Way, gpt: openai.OpenAI) -> None:
    """What the translation itself finds wrong names OpenAI's field, as OpenAI would."""
    wrong: Any = [{"role": "user", "content": "Hi"}, {"role": "robot", "content": "Hi"}]
    with pytest.raises(openai.BadRequestError) as raised:
        gpt.chat.completions.create(model=to_claude.model(), messages=wrong)
    assert raised.value.param == "messages[1].role"


def test_parallel_calls_with_streamed_arguments(to_claude: Way, gpt: openai.OpenAI) -> None:
    tools: Any = [
        {"type": "function", "function": {"name": name, "parameters": WEATHER}} for name in ("weather", "population")
    ]
    asked: dict[str, Any] = {
        "model": to_claude.model(), "messages": user("weather and population of Oslo"), "tools": tools,
    }  # fmt: skip
    chunks = list(gpt.chat.completions.create(**asked, stream=True))
    pieces = [call for chunk in chunks for call in (chunk.choices[0].delta.tool_calls or [])]
    assert {piece.index for piece in pieces} == {0, 1}
    opened = [piece for piece in pieces if piece.id]
    assert [(piece.index, piece.function and piece.function.name) for piece in opened] == [
        (0, "weather"), (1, "population"),
    ]  # fmt: skip
    assert len(pieces) > 4
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_functions_as_clients_had_them_before_tools(to_claude: Way, gpt: openai.OpenAI) -> None:
    asked: dict[str, Any] = {
        "model": to_claude.model(), "functions": [{"name": "weather", "parameters": WEATHER}],
        "function_call": {"name": "weather"}, "messages": user("weather in Oslo"),
    }  # fmt: skip
    choice = gpt.chat.completions.create(**asked).choices[0]
    said = choice.message.function_call
    assert said is not None
    assert (said.name, json.loads(said.arguments)) == ("weather", {"city": "Oslo"})
    assert (choice.finish_reason, choice.message.tool_calls) == ("function_call", None)
    chunks = list(gpt.chat.completions.create(**asked, stream=True))
    pieces = [chunk.choices[0].delta.function_call for chunk in chunks]
    assert "".join(piece.name or "" for piece in pieces if piece) == "weather"
    assert json.loads("".join(piece.arguments or "" for piece in pieces if piece)) == {"city": "Oslo"}
    assert chunks[-1].choices[0].finish_reason == "function_call"

    turns: Any = [
        *asked["messages"],
        {"role": "assistant", "content": None, "function_call": said.model_dump()},
        {"role": "function", "name": "weather", "content": "12 degrees"},
    ]
    answer = gpt.chat.completions.create(**{**asked, "messages": turns, "function_call": "auto"})
    assert "12 degrees" in (answer.choices[0].message.content or "")
    _, fields = sent(to_claude, "small")
    assert fields["tool_choice"]["disable_parallel_tool_use"] is True


def test_calls_by_the_other_sdk_are_the_same(
    to_claude: Way, to_gpt: Way, gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    tools: Any = [{"name": "weather", "input_schema": WEATHER}]
    with claude.messages.stream(
        model=to_gpt.model(), max_tokens=500, messages=hello("weather in Oslo"), tools=tools
    ) as stream:
        final = stream.get_final_message()
    assert [(call.name, call.input) for call in calls_of(final)] == [("weather", {"city": "Oslo"})]
    assert final.stop_reason == "tool_use"
